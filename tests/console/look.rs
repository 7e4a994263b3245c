//! Layout and contrast: on a phone and a desktop, light and dark, with many and few rooms.

use serde_json::json;

use crate::Console;
use crate::program::switch::Switch;
use crate::program::world::{PASSWORD, Setup, Store};

/// Finds texts with a contrast below 4.5 to 1 (WCAG 2.2, 1.4.3), except disabled ones.
pub const FAINT: &str = r#"
const canvas = document.createElement("canvas");
canvas.width = canvas.height = 1;
const paint = canvas.getContext("2d", { willReadFrequently: true });
const rgb = (colours) => {
  paint.clearRect(0, 0, 1, 1);
  paint.fillStyle = "white";
  paint.fillRect(0, 0, 1, 1);
  for (const colour of colours) {
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
  }
  return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
};
const luminance = (one) => {
  const [r, g, b] = one.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let looked = 0;
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || !element.checkVisibility() || element.closest(".hidden, noscript, [aria-disabled]:not(.pending), .skip")) continue;
  const grounds = [];
  for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
  const text = luminance(rgb([...grounds, getComputedStyle(element).color]));
  const ground = luminance(rgb(grounds));
  const contrast = (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  looked += 1;
  if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${node.data.trim().slice(0, 40)} (${element.className})`);
}
return { looked, found };
"#;

/// Finds elements that are wider than the window or too small as targets (WCAG 2.2, 2.5.8).
pub const TOO_WIDE: &str = "
const wide = document.documentElement.scrollWidth > innerWidth
  ? [...document.querySelectorAll('body *')].filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > innerWidth + 0.5)
      .map((one) => `${one.tagName}.${one.className} to ${one.getBoundingClientRect().right}`)
  : [];
const small = [...document.querySelectorAll('button, a, summary')].filter((one) => one.checkVisibility() && !one.matches('.skip, p a'))
  .map((one) => [one, one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 24 || box.width < 24)
  .map(([one, box]) => `${one.outerHTML.slice(0, 80)} is ${box.width} x ${box.height}`);
return { wide, small };
";

/// Finds texts of neighbouring columns that are closer than 8 px, or overlap.
pub const TOUCHING: &str = "
const box = (element) => {
  const range = document.createRange();
  range.selectNodeContents(element);
  return range.getBoundingClientRect();
};
const rows = document.querySelectorAll('.row, .members > li, .delivery, .room, .entry, .endpoint, .activity-entry');
const found = [];
let looked = 0;
for (const row of rows) {
  const cells = [...row.children].filter((one) => one.checkVisibility() && one.textContent.trim());
  for (const [i, left] of cells.entries()) {
    for (const right of cells.slice(i + 1)) {
      const [a, b] = [box(left), box(right)];
      const sameLine = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;
      if (!sameLine) continue;
      looked += 1;
      const gap = Math.max(b.left - a.right, a.left - b.right);
      if (gap < 8) found.push(`${gap}: ${left.textContent.slice(0, 30)} | ${right.textContent.slice(0, 30)}`);
    }
  }
}
return { looked, found };
";

/// A console with many rooms, calls and nodes.
async fn busy_console() -> Console {
    let first = Switch::simulated(PASSWORD).await;
    let mut setup = Setup::on(Store::Memory);
    let unused_address = "127.0.0.1:1".parse().unwrap();
    setup.more_nodes = vec![("edge2".to_owned(), unused_address)];
    let world = setup.start_with(first).await;
    world.controller.until_synced().await;
    let console = Console::for_world(world).await;
    for (name, callers) in [
        ("standup", 5),
        ("weekly-planning", 3),
        ("support", 1),
        ("all_hands", 0),
        ("interviews", 2),
        ("board", 0),
    ] {
        let room = console.world.room(name).await;
        for n in 0..callers {
            let caller = format!("52712{}{n:02}", 10 + name.len());
            let session = console.call(&caller).await;
            console.world.join(&session, &room).await;
        }
    }
    for n in 0..3 {
        console.call(&format!("5559010{n}")).await;
    }
    console
}

#[tokio::test]
async fn page_fits_phone_and_is_legible_in_light_and_dark() {
    let console = busy_console().await;
    let browser = &console.browser;
    let rooms = console.world.controller.get("/conferences").await;
    let rooms = rooms.body["conferences"].as_array().unwrap().clone();
    let id = |name: &str| {
        let room = rooms.iter().find(|room| room["name"] == name).unwrap();
        room["room_id"].as_str().unwrap().to_owned()
    };
    let room = id("standup");
    // One of each: a member that talks, one with the floor, one whose unmute is pending; a room with a playback, a lock
    // and a recording.
    let members = console
        .world
        .controller
        .get(&format!("/conferences/{room}/members"))
        .await;
    let members: Vec<String> = members.body["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["uuid"].as_str().unwrap().to_owned())
        .collect();
    browser.open(&format!("/console#/rooms/{room}")).await;
    browser.sees("h2", "standup").await;
    for session in &members[..3] {
        console.unmute(session).await;
    }
    let expected: Vec<(&str, bool)> = members
        .iter()
        .enumerate()
        .map(|(n, session)| (session.as_str(), n < 3))
        .collect();
    console.until_members(&room, &expected).await;
    let body = json!({ "urls": ["http://127.0.0.1/music-on-hold.wav"] });
    let media = freeswitch_sim::core::Media {
        duration: Some(3_600_000_000),
        opening: 0,
    };
    console
        .world
        .switch
        .sim()
        .set_media("http://127.0.0.1/music-on-hold.wav", media);
    for (what, body) in [
        ("lock", json!({})),
        ("recording/start", json!({})),
        ("play", body),
    ] {
        let path = format!("/conferences/{room}/{what}");
        let answer = console
            .world
            .controller
            .ask("POST", &path, Some(&body))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let hook = console.world.controller.get("/webhooks").await;
    let hook = hook.body["webhooks"][0]["id"].as_str().unwrap().to_owned();
    console
        .world
        .switch
        .sim()
        .talk(console.world.channel(&members[0]), true);
    for mark in ["Recording", "Locked", "Playing", "Talking", "Floor"] {
        browser.sees(".detail .mark", mark).await;
    }

    for (width, height) in [(1440, 900), (820, 1100), (360, 740)] {
        browser.size(width, height).await;
        let mut grounds = Vec::new();
        for scheme in ["light", "dark"] {
            browser.prefers(scheme).await;
            for (place, path, shows) in [
                ("rooms", "#/rooms".to_owned(), "weekly-planning"),
                ("room", format!("#/rooms/{room}"), "Talking"),
                ("calls", "#/calls".to_owned(), "55590100"),
                ("nodes", "#/nodes".to_owned(), "edge2"),
                (
                    "webhooks",
                    format!("#/webhooks/{hook}"),
                    "conference.recording.started",
                ),
            ] {
                browser.js(&format!("location.hash = {path:?}")).await;
                browser.sees("main", shows).await;
                if place == "room" {
                    browser.click(".more").await;
                    browser.sees(".more-buttons button", "Make moderator").await;
                }
                let found = browser.js(FAINT).await;
                assert!(found["looked"].as_u64() > Some(15), "{place}: {found}");
                assert_eq!(
                    found["found"],
                    json!([]),
                    "{place} in {scheme}, {width} wide"
                );
                let found = browser.js(TOO_WIDE).await;
                assert_eq!(
                    found,
                    json!({ "wide": [], "small": [] }),
                    "{place}, {width} wide"
                );
                let found = browser.js(TOUCHING).await;
                assert!(found["looked"].as_u64() > Some(0), "{place}: {found}");
                assert_eq!(found["found"], json!([]), "{place}, {width} wide");
                let broken = "return [...document.querySelectorAll('.caller')].filter((one) => one.getClientRects().length > 1 || one.offsetHeight > 30).length";
                assert_eq!(
                    browser.js(broken).await,
                    0,
                    "{place}, {width} wide: numbers in pieces"
                );
                browser
                    .screenshot(&format!("{place}-{width}-{scheme}"))
                    .await;
            }
            let ground = "return getComputedStyle(document.documentElement).backgroundColor";
            grounds.push(browser.js(ground).await);
        }
        assert_ne!(grounds[0], grounds[1], "light and dark are the same");
    }
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn theme_switch_overrides_system_and_is_stored() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let dark = async || {
        let ground = "return getComputedStyle(document.documentElement).backgroundColor";
        let ground = browser.js(ground).await;
        let text = ground.as_str().unwrap().to_owned();
        let first = text.trim_start_matches("rgb(").split(',').next().unwrap();
        first.parse::<u8>().unwrap() < 128
    };
    browser.prefers("dark").await;
    assert!(dark().await, "the theme is the system's");
    browser.click("#theme").await;
    browser
        .until("the theme is light", async || !dark().await)
        .await;
    browser.open("/console").await;
    browser.sees(".link", "Live").await;
    assert!(!dark().await, "the choice is stored");
    browser.click("#theme").await;
    browser.prefers("light").await;
    browser
        .until("the theme is dark", async || dark().await)
        .await;
    browser.click("#theme").await;
    browser
        .until("the theme is the system's again", async || !dark().await)
        .await;
}

#[tokio::test]
async fn banner_dialog_and_notice_fit_phone() {
    let mut console = Console::memory().await;
    console.browser.size(360, 740).await;
    console.browser.screenshot("empty-360").await;
    console.browser.click("#new-room").await;
    console.browser.sees("dialog", "New room").await;
    let fits = async |browser: &crate::browser::Browser, what: &str| {
        for scheme in ["light", "dark"] {
            browser.prefers(scheme).await;
            let found = browser.js(TOO_WIDE).await;
            assert_eq!(found, json!({ "wide": [], "small": [] }), "{what}");
            let found = browser.js(FAINT).await;
            assert_eq!(found["found"], json!([]), "{what} in {scheme}");
            browser.screenshot(&format!("{what}-360-{scheme}")).await;
        }
    };
    fits(&console.browser, "dialog").await;
    console.world.controller.kill();
    console.browser.sees(".banner", "Connection lost").await;
    console.browser.fill("dialog input", "standup").await;
    console.browser.click("dialog [type=submit]").await;
    console
        .browser
        .sees("dialog [role=alert]", "cannot be reached")
        .await;
    fits(&console.browser, "refused").await;
    console.browser.click_text("dialog button", "Cancel").await;
    fits(&console.browser, "lost").await;
    console.browser.click("#sign-out").await;
    console.browser.sees("h1", "Sign in").await;
    fits(&console.browser, "sign-in").await;
}
