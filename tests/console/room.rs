//! The selected room: its members' commands and times, cooldowns, playback, the log; and the order of the rooms.

use serde_json::json;

use crate::Console;
use crate::browser::Browser;
use crate::program::world::{Setup, Store};

/// Makes copying visible to the test: a headless browser has no clipboard to read.
const CATCH_COPIES: &str =
    "navigator.clipboard.writeText = async (text) => { window.copied = text; }";

/// A long file that the simulated node can play.
fn set_music(console: &Console, url: &str) {
    let media = freeswitch_sim::core::Media {
        duration: Some(3_600_000_000),
        opening: 0,
    };
    console.world.switch.sim().set_media(url, media);
}

#[tokio::test]
async fn command_that_is_too_early_counts_down_and_is_then_sent() {
    let mut setup = Setup::on(Store::Memory);
    setup.cooldowns = true;
    let console = Console::on(setup).await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    let row = Console::member(&session);
    let button = format!("{row} .member-buttons button");
    browser.sees(&format!("{row} .mark"), "Muted").await;

    browser.click(&button).await;
    browser.sees_no(&format!("{row} .mark"), "Muted").await;
    // The cooldown of mute and unmute is 2 s, so this press is early.
    browser.click(&button).await;
    browser.sees(&format!("{row} .cooling"), "Mute in").await;
    browser.sees(&format!("{row} .mark"), "Muted").await;
    console.until_members(&room, &[(&session, false)]).await;
    browser.sees("#said", "527121101 is muted").await;

    // A second press cancels the wait.
    browser.click(&button).await;
    browser.sees(&format!("{row} .cooling"), "Unmute in").await;
    browser.click(&format!("{row} .cooling")).await;
    browser.sees(&button, "Unmute").await;
    assert!(browser.texts(&format!("{row} .cooling")).await.is_empty());
    assert!(browser.texts(".notice").await.is_empty(), "no error");
    console.until_members(&room, &[(&session, false)]).await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn all_members_are_muted_and_unmuted() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let mut sessions = Vec::new();
    for n in 0..6 {
        let session = console.call(&format!("52712110{n}")).await;
        console.world.join(&session, &room).await;
        sessions.push(session);
    }
    browser.sees("h3", "6 members").await;
    let all = |speaks: bool| sessions.iter().map(|one| (one.as_str(), speaks)).collect();
    let (speaking, silent): (Vec<_>, Vec<_>) = (all(true), all(false));

    browser
        .click_text(".member-head button", "Unmute all")
        .await;
    console.until_members(&room, &speaking).await;
    browser.sees_no(".member .mark", "Muted").await;
    browser.click_text(".member-head button", "Mute all").await;
    console.until_members(&room, &silent).await;
    browser
        .until("all members are shown as muted", async || {
            let marks = browser.texts(".member .mark").await;
            marks.iter().filter(|mark| *mark == "Muted").count() == 6
        })
        .await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn member_is_hung_up_after_a_question() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    let row = Console::member(&session);
    browser
        .click_text(&format!("{row} button"), "Hang up")
        .await;
    browser.sees("dialog", "Hang up 527121101?").await;
    browser.click_text("dialog button", "Cancel").await;
    browser.sees_no("dialog", "Hang up").await;
    browser.sees(&row, "527121101").await;
    browser
        .click_text(&format!("{row} button"), "Hang up")
        .await;
    browser.click("dialog [type=submit]").await;
    browser.sees(".detail-pane", "The room is empty").await;
    console.until_delivered(&session, "call.hangup").await;
    browser.sees(".activity", "527121101 hung up").await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn playback_is_paused_resumed_and_its_volume_set() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    browser.sees(".member", "527121101").await;
    let url = "http://127.0.0.1/long.wav";
    set_music(&console, url);
    let body = json!({ "urls": [url] });
    let path = format!("/conferences/{room}/play");
    let answer = console
        .world
        .controller
        .ask("POST", &path, Some(&body))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    browser.sees(".playing", url).await;

    browser.click_text(".playing button", "Pause").await;
    browser.sees(".playing .mark", "Paused").await;
    browser.click_text(".playing button", "Resume").await;
    browser.sees(".playing .mark", "Playing").await;

    // The slider follows the keyboard, a step of 1 dB each.
    browser
        .js("document.querySelector('.volume input').focus()")
        .await;
    for _ in 0..3 {
        browser.press(fantoccini::key::Key::Left).await;
    }
    browser.sees(".volume output", "-3 dB").await;
    browser
        .sees(".activity", "Playback volume set to -3 dB")
        .await;
    let found = console
        .world
        .controller
        .get(&format!("/conferences/{room}"))
        .await;
    assert_eq!(found.body["playback_volume"], -3);
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn log_names_callers_events_and_origins() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    let row = Console::member(&session);
    browser
        .sees(".activity", "527121101 joined, muted, by the API")
        .await;
    browser
        .click(&format!("{row} .member-buttons button"))
        .await;
    browser
        .sees(".activity", "527121101 is unmuted, by this console")
        .await;
    let entries = browser.texts(".activity-entry").await;
    assert!(
        entries[0].contains("unmuted") && entries[1].contains("joined"),
        "the latest first: {entries:?}"
    );
    // The time in the room runs.
    let time = async || {
        browser
            .texts(&format!("{row} .member-time"))
            .await
            .remove(0)
    };
    let before = time().await;
    assert!(before.starts_with("0:"), "{before}");
    browser
        .until("the time changes", async || time().await != before)
        .await;
    // A page that is opened later knows the time, too, but not the events.
    browser.open("/console").await;
    browser.click_text(".room", "standup").await;
    browser.sees(&format!("{row} .member-time"), "0:").await;
    browser.sees(".activity", "Nothing has happened").await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn ids_are_copied() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    browser.sees(".member", "527121101").await;
    browser.js(CATCH_COPIES).await;
    copies(browser, ".facts .copy", &room, "Copied the room's id").await;
    let member = format!("{} .copy", Console::member(&session));
    copies(
        browser,
        &member,
        &session,
        "Copied the call id of 527121101",
    )
    .await;
    // Without the clipboard's interface, as on an origin that is not secure.
    browser
        .js("navigator.clipboard.writeText = async () => { throw new Error('refused'); };
             document.execCommand = () => { window.copied = document.activeElement.value; return true; }")
        .await;
    copies(browser, ".facts .copy", &room, "Copied the room's id").await;
    assert!(browser.focused(".facts .copy").await, "the focus stays");
    console.assert_no_browser_errors().await;
}

async fn copies(browser: &Browser, css: &str, text: &str, announced: &str) {
    browser.js("window.copied = null").await;
    browser.click(css).await;
    browser
        .until("the text was copied", async || {
            browser.js("return window.copied").await == text
        })
        .await;
    browser.sees("#said", announced).await;
}

#[tokio::test]
async fn rooms_are_sorted_by_activity_or_by_name() {
    let console = Console::memory().await;
    let browser = &console.browser;
    for name in ["alpha", "beta", "gamma"] {
        console.world.room(name).await;
        browser.sees(".room-name", name).await;
    }
    let shows = async |expected: [&str; 3]| {
        let what = format!("the rooms are {expected:?}");
        browser
            .until(&what, async || {
                browser.texts(".room-name").await == expected
            })
            .await;
    };
    // The room with the latest event is first.
    shows(["gamma", "beta", "alpha"]).await;
    let rooms = console.world.controller.get("/conferences").await;
    let rooms = rooms.body["conferences"].as_array().unwrap();
    let alpha = rooms.iter().find(|room| room["name"] == "alpha").unwrap();
    let alpha = alpha["room_id"].as_str().unwrap().to_owned();
    let session = console.call("527121101").await;
    console.world.join(&session, &alpha).await;
    shows(["alpha", "gamma", "beta"]).await;
    browser.click_text(".list-tools button", "By name").await;
    shows(["alpha", "beta", "gamma"]).await;
    browser
        .click_text(".list-tools button", "By activity")
        .await;
    shows(["alpha", "gamma", "beta"]).await;

    // Nothing moves under the pointer.
    let point = async |event: &str| {
        let script =
            format!("document.querySelector('.rooms').dispatchEvent(new PointerEvent('{event}'))");
        browser.js(&script).await;
    };
    point("pointerenter").await;
    let beta = rooms.iter().find(|room| room["name"] == "beta").unwrap();
    let lock = format!("/conferences/{}/lock", beta["room_id"].as_str().unwrap());
    let answer = console
        .world
        .controller
        .ask("POST", &lock, Some(&json!({})))
        .await;
    assert!(answer.status < 300, "{}", answer.body);
    browser.sees(".room .mark", "Locked").await;
    shows(["alpha", "gamma", "beta"]).await;
    point("pointerleave").await;
    shows(["beta", "alpha", "gamma"]).await;
    console.assert_no_browser_errors().await;
}
