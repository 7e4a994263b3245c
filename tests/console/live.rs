//! Events appear on the page at once, and buttons send their commands.

use serde_json::json;

use crate::Console;
use crate::program::controller::{ApiRequest, KEY};
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn member_joins_is_muted_talks_and_is_kicked_without_reload() {
    let (console, proxy) = Console::behind_proxy().await;
    let browser = &console.browser;
    console.mark().await;
    let room = console.room("standup").await;
    browser.sees(".detail-pane", "The room is empty").await;

    let session = console.call("527121101").await;
    let row = Console::member(&session);
    console.world.join(&session, &room).await;
    browser.sees(&row, "527121101").await;
    browser.sees(&format!("{row} .mark"), "Muted").await;
    browser.sees(".room", "1 member").await;

    // The member is shown as unmuted after FreeSWITCH's confirmation, and as pending until then.
    let hold = proxy.hold_events(|event| event.contains("Action: unmute-member"));
    browser
        .click(&format!("{row} .member-buttons button"))
        .await;
    hold.until_held("Action: unmute-member").await;
    browser.sees(&format!("{row} button"), "Unmuting …").await;
    browser.sees(&format!("{row} .mark"), "Muted").await;
    hold.release();
    browser.sees(&format!("{row} button"), "Mute").await;
    browser.sees_no(&format!("{row} .mark"), "Muted").await;
    console.until_members(&room, &[(&session, true)]).await;

    // Talking and floor.
    console
        .world
        .switch
        .sim()
        .talk(console.world.channel(&session), true);
    browser.sees(&format!("{row} .mark"), "Talking").await;
    browser.sees(&format!("{row} .mark"), "Floor").await;
    console
        .world
        .switch
        .sim()
        .talk(console.world.channel(&session), false);
    browser.sees_no(&format!("{row} .mark"), "Talking").await;

    let hold = proxy.hold_events(|event| event.contains("Action: mute-member"));
    browser
        .click(&format!("{row} .member-buttons button"))
        .await;
    hold.until_held("Action: mute-member").await;
    browser.sees(&format!("{row} button"), "Muting …").await;
    browser.sees_no(&format!("{row} .mark"), "Muted").await;
    hold.release();
    browser.sees(&format!("{row} .mark"), "Muted").await;
    browser.sees("#said", "527121101 is muted").await;
    console.until_members(&room, &[(&session, false)]).await;

    browser.click(&format!("{row} .danger")).await;
    browser.sees("dialog", "Kick 527121101?").await;
    browser.click("dialog [type=submit]").await;
    browser.sees(".detail-pane", "The room is empty").await;
    assert!(browser.texts(&row).await.is_empty());
    console.until_members(&room, &[]).await;
    let (state, _) = console.world.call_state(&session).await;
    assert_eq!(state, "parked", "the call is still up");
    assert!(console.is_marked().await, "the page was loaded again");
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn room_is_created_locked_played_to_recorded_and_deleted() {
    let console = Console::memory().await;
    let browser = &console.browser;
    browser.click("#new-room").await;
    browser.fill("dialog input", "no spaces").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "1 to 64 letters").await;
    browser.fill("dialog input", "weekly").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("h2", "weekly").await;
    browser.sees(".room", "weekly").await;

    // The dialog shows the API's own error text.
    browser.click("#new-room").await;
    browser.fill("dialog input", "weekly").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "already taken").await;
    browser.click_text("dialog button", "Cancel").await;

    let rooms = console.world.controller.get("/conferences").await;
    let room = rooms.body["conferences"][0]["room_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let session = console.call("527121102").await;
    console.world.join(&session, &room).await;
    browser.sees(".member", "527121102").await;

    browser.click_text(".controls button", "Lock").await;
    browser.sees(".detail .mark", "Locked").await;
    browser.sees(".room .mark", "Locked").await;
    browser.click_text(".controls button", "Unlock").await;
    browser.sees_no(".mark", "Locked").await;

    browser.click_text(".controls button", "Play …").await;
    browser
        .fill("dialog textarea", "ftp://127.0.0.1/a.wav")
        .await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "urls").await;
    browser
        .fill("dialog textarea", "http://127.0.0.1/long.wav")
        .await;
    let media = freeswitch_sim::core::Media {
        duration: Some(3_600_000_000),
        opening: 0,
    };
    console
        .world
        .switch
        .sim()
        .set_media("http://127.0.0.1/long.wav", media);
    browser.click("dialog [type=submit]").await;
    browser.sees(".playing", "http://127.0.0.1/long.wav").await;
    browser.sees(".room .mark", "Playing").await;
    browser.click_text(".playing button", "Stop playing").await;
    browser.sees_no(".mark", "Playing").await;

    browser.click_text(".controls button", "Record").await;
    browser.sees(".detail .mark", "Recording").await;
    // A page that is opened later shows the playback and the recording, too.
    browser.open("/console").await;
    browser.sees(".room .mark", "Recording").await;
    browser.click_text(".room", "weekly").await;
    browser
        .click_text(".controls button", "Stop recording")
        .await;
    browser.sees_no(".mark", "Recording").await;
    console
        .until_delivered(&room, "conference.recording.stopped")
        .await;

    browser.click_text(".pane-head .danger", "Delete").await;
    browser.sees("dialog", "1 member goes back to park").await;
    browser.click("dialog [type=submit]").await;
    browser.sees(".detail-pane", "This room has ended").await;
    browser.sees("main", "There are no rooms yet").await;
    console.until_delivered(&room, "conference.destroyed").await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn waiting_calls_are_joined_and_hung_up() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.world.room("support").await;
    let (first, second) = (
        console.call("527121103").await,
        console.call("527121104").await,
    );
    browser.sees("nav .badge", "2").await;
    browser.click("nav a[href='#/calls']").await;
    browser.sees("h2", "2 calls are waiting").await;
    let row = |session: &str| format!("[data-session='{session}']");

    browser
        .click(&format!("{} .row-buttons button", row(&first)))
        .await;
    browser.sees("dialog", "support").await;
    browser.click("dialog [type=submit]").await;
    browser.sees(&row(&first), "support").await;
    browser.sees("h2", "1 call is waiting").await;
    console.until_members(&room, &[(&first, false)]).await;

    browser.click(&format!("{} .danger", row(&second))).await;
    browser.click("dialog [type=submit]").await;
    browser.sees("h2", "No calls are waiting").await;
    assert!(browser.texts(&row(&second)).await.is_empty());
    console.until_delivered(&second, "call.hangup").await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn texts_of_tenants_and_callers_never_become_markup() {
    const TEXT: &str = "<img src=x onerror=\"window.hurt=1\"><b>bold</b>";
    let console = Console::on(Setup::on(Store::Memory)).await;
    let browser = &console.browser;
    let body = json!({ "name": TEXT, "type": "conference" });
    let ask = ApiRequest {
        method: "POST",
        path: "/v1.0/conferences",
        app: Some(&console.world.app),
        key: Some(KEY),
        content_type: Some("application/json"),
        body: Some(body.to_string()),
        ..ApiRequest::default()
    };
    let made = console.world.controller.exactly(ask).await.unwrap();
    assert_eq!(made.status, 200, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    let room = format!("{}-room-{id}", console.world.node);
    browser.sees(".room-name", TEXT).await;
    browser.click(".room").await;
    browser.sees("h2", TEXT).await;

    let session = console.call(TEXT).await;
    console.world.join(&session, &room).await;
    browser.sees(".member b", TEXT).await;
    browser.sees("#said", TEXT).await;
    browser.click("nav a[href='#/calls']").await;
    browser.sees(".table", TEXT).await;
    let hurt = browser.js("return [window.hurt ?? null, document.images.length, document.querySelectorAll('main b > b').length]").await;
    assert_eq!(hurt, json!([null, 0, 0]));
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn node_states_are_shown() {
    let console = Console::memory().await;
    let browser = &console.browser;
    browser.click("nav a[href='#/nodes']").await;
    browser.sees(".nodes", &console.world.node).await;
    browser.sees(".nodes .mark", "Up").await;
    console.world.switch.sim().kill();
    browser.sees(".nodes .mark", "Down").await;
    browser.sees("nav .badge", "1").await;
    console.world.switch.sim().restart().await.unwrap();
    browser.sees(".nodes .mark", "Up").await;
    console.assert_no_browser_errors().await;
}
