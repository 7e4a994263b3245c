//! How it looks: on a phone, in light and in dark, with much and with little in it.

use serde_json::json;

use crate::Desk;
use crate::program::switch::Switch;
use crate::program::world::{PASSWORD, Setup, Store};

/// Texts that are too faint on what is behind them: at least 4.5 to 1 (WCAG 2.2, 1.4.3), what is disabled excepted.
const FAINT: &str = r#"
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

/// What is wider than the window, or too small for a finger (WCAG 2.2, 2.5.8).
const TOO_WIDE: &str = "
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

/// A busy evening.
async fn busy() -> Desk {
    let first = Switch::simulated(PASSWORD).await;
    let mut setup = Setup::on(Store::Memory);
    let nobody = "127.0.0.1:1".parse().unwrap();
    setup.more_nodes = vec![("edge2".to_owned(), nobody)];
    let world = setup.start_with(first).await;
    world.controller.until_synced().await;
    let desk = Desk::of(world).await;
    for (name, callers) in [
        ("standup", 5),
        ("weekly-planning", 3),
        ("support", 1),
        ("all_hands", 0),
        ("interviews", 2),
        ("board", 0),
    ] {
        let room = desk.world.room(name).await;
        for n in 0..callers {
            let caller = format!("52712{}{n:02}", 10 + name.len());
            let session = desk.call(&caller).await;
            desk.world.join(&session, &room).await;
        }
    }
    for n in 0..3 {
        desk.call(&format!("5559010{n}")).await;
    }
    desk
}

#[tokio::test]
async fn it_fits_a_phone_and_is_legible_in_light_and_dark() {
    let desk = busy().await;
    let browser = &desk.browser;
    let rooms = desk.world.controller.get("/conferences").await;
    let rooms = rooms.body["conferences"].as_array().unwrap().clone();
    let id = |name: &str| {
        let room = rooms.iter().find(|room| room["name"] == name).unwrap();
        room["room_id"].as_str().unwrap().to_owned()
    };
    let room = id("standup");
    // Something of everything: who talks, has the floor, waits to be unmuted; what plays, is locked, is recorded.
    let members = desk
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
        desk.unmute(session).await;
    }
    let expected: Vec<(&str, bool)> = members
        .iter()
        .enumerate()
        .map(|(n, session)| (session.as_str(), n < 3))
        .collect();
    desk.until_members(&room, &expected).await;
    let body = json!({ "urls": ["http://127.0.0.1/music-on-hold.wav"] });
    let media = roomkeeper::sim::core::Media {
        duration: Some(3_600_000_000),
        opening: 0,
    };
    desk.world
        .switch
        .sim()
        .set_media("http://127.0.0.1/music-on-hold.wav", media);
    for (what, body) in [
        ("lock", json!({})),
        ("recording/start", json!({})),
        ("play", body),
    ] {
        let path = format!("/conferences/{room}/{what}");
        let answer = desk.world.controller.ask("POST", &path, Some(&body)).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    let hook = desk.world.controller.get("/webhooks").await;
    let hook = hook.body["webhooks"][0]["id"].as_str().unwrap().to_owned();
    desk.world
        .switch
        .sim()
        .talk(desk.world.channel(&members[0]), true);
    for mark in ["Recording", "Locked", "Playing", "Talking", "Floor"] {
        browser.sees(".detail .mark", mark).await;
    }

    for (width, height) in [(1280, 820), (360, 740)] {
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
                let found = browser.js(FAINT).await;
                assert!(found["looked"].as_u64() > Some(15), "{place}: {found}");
                assert_eq!(
                    found["found"],
                    json!([]),
                    "{place} in {scheme}, {width} wide"
                );
                if width < 600 {
                    let found = browser.js(TOO_WIDE).await;
                    assert_eq!(found, json!({ "wide": [], "small": [] }), "{place}");
                }
                browser.picture(&format!("{place}-{width}-{scheme}")).await;
            }
            let ground = "return getComputedStyle(document.documentElement).backgroundColor";
            grounds.push(browser.js(ground).await);
        }
        assert_ne!(grounds[0], grounds[1], "light and dark are the same");
    }
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn the_switch_overrides_what_the_system_likes_and_is_remembered() {
    let desk = Desk::memory().await;
    let browser = &desk.browser;
    let dark = async || {
        let ground = "return getComputedStyle(document.documentElement).backgroundColor";
        let ground = browser.js(ground).await;
        let text = ground.as_str().unwrap().to_owned();
        let first = text.trim_start_matches("rgb(").split(',').next().unwrap();
        first.parse::<u8>().unwrap() < 128
    };
    browser.prefers("dark").await;
    assert!(dark().await, "as the system likes");
    browser.click("#theme").await;
    browser.until("it is light", async || !dark().await).await;
    browser.open("/console").await;
    browser.sees(".link", "Live").await;
    assert!(!dark().await, "it is remembered");
    browser.click("#theme").await;
    browser.prefers("light").await;
    browser.until("it is dark", async || dark().await).await;
    browser.click("#theme").await;
    browser
        .until("it is as the system likes", async || !dark().await)
        .await;
}

#[tokio::test]
async fn the_connection_that_is_lost_the_question_and_the_message_fit_a_phone() {
    let mut desk = Desk::memory().await;
    desk.browser.size(360, 740).await;
    desk.browser.picture("empty-360").await;
    desk.browser.click("#new-room").await;
    desk.browser.sees("dialog", "New room").await;
    let fits = async |browser: &crate::browser::Browser, what: &str| {
        for scheme in ["light", "dark"] {
            browser.prefers(scheme).await;
            let found = browser.js(TOO_WIDE).await;
            assert_eq!(found, json!({ "wide": [], "small": [] }), "{what}");
            let found = browser.js(FAINT).await;
            assert_eq!(found["found"], json!([]), "{what} in {scheme}");
            browser.picture(&format!("{what}-360-{scheme}")).await;
        }
    };
    fits(&desk.browser, "dialog").await;
    desk.world.controller.kill();
    desk.browser.sees(".banner", "Connection lost").await;
    desk.browser.fill("dialog input", "standup").await;
    desk.browser.click("dialog [type=submit]").await;
    desk.browser
        .sees("dialog [role=alert]", "cannot be reached")
        .await;
    fits(&desk.browser, "refused").await;
    desk.browser.click_text("dialog button", "Cancel").await;
    fits(&desk.browser, "lost").await;
    desk.browser.click("#sign-out").await;
    desk.browser.sees("h1", "Sign in").await;
    fits(&desk.browser, "sign-in").await;
}
