//! What happens is seen when it happens, and what is pressed is done.

use serde_json::json;

use crate::Desk;
use crate::program::controller::{Ask, KEY};
use crate::program::world::{Setup, Store};

#[tokio::test]
async fn a_member_comes_is_muted_talks_and_is_kicked_without_a_reload() {
    let (desk, proxy) = Desk::behind_proxy().await;
    let browser = &desk.browser;
    desk.mark().await;
    let room = desk.room("standup").await;
    browser.sees(".detail-pane", "Nobody is in").await;

    let session = desk.call("527121101").await;
    let row = Desk::member(&session);
    desk.world.join(&session, &room).await;
    browser.sees(&row, "527121101").await;
    browser.sees(&format!("{row} .mark"), "Muted").await;
    browser.sees(".room", "1 member").await;

    // It is shown as unmuted when FreeSWITCH has said so, and as being unmuted until then.
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
    desk.until_members(&room, &[(&session, true)]).await;

    // Who talks, and who has the floor.
    desk.world
        .switch
        .sim()
        .talk(desk.world.channel(&session), true);
    browser.sees(&format!("{row} .mark"), "Talking").await;
    browser.sees(&format!("{row} .mark"), "Floor").await;
    desk.world
        .switch
        .sim()
        .talk(desk.world.channel(&session), false);
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
    desk.until_members(&room, &[(&session, false)]).await;

    browser.click(&format!("{row} .danger")).await;
    browser.sees(".detail-pane", "Nobody is in").await;
    assert!(browser.texts(&row).await.is_empty());
    desk.until_members(&room, &[]).await;
    let (state, _) = desk.world.place(&session).await;
    assert_eq!(state, "parked", "it is still up");
    assert!(desk.is_marked().await, "the page was loaded again");
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn a_room_is_made_locked_played_into_recorded_and_deleted() {
    let desk = Desk::memory().await;
    let browser = &desk.browser;
    browser.click("#new-room").await;
    browser.fill("dialog input", "no spaces").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "1 to 64 letters").await;
    browser.fill("dialog input", "weekly").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("h2", "weekly").await;
    browser.sees(".room", "weekly").await;

    // What the API says no to is said in its own words.
    browser.click("#new-room").await;
    browser.fill("dialog input", "weekly").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "already taken").await;
    browser.click_text("dialog button", "Cancel").await;

    let rooms = desk.world.controller.get("/conferences").await;
    let room = rooms.body["conferences"][0]["room_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let session = desk.call("527121102").await;
    desk.world.join(&session, &room).await;
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
    let media = roomkeeper::sim::core::Media {
        duration: Some(3_600_000_000),
        opening: 0,
    };
    desk.world
        .switch
        .sim()
        .set_media("http://127.0.0.1/long.wav", media);
    browser.click("dialog [type=submit]").await;
    browser.sees(".playing", "http://127.0.0.1/long.wav").await;
    browser.sees(".room .mark", "Playing").await;
    browser.click_text(".controls button", "Stop playing").await;
    browser.sees_no(".mark", "Playing").await;

    browser.click_text(".controls button", "Record").await;
    browser.sees(".detail .mark", "Recording").await;
    // What plays and what is recorded is also known to a page that comes later.
    browser.open("/console").await;
    browser.sees(".room .mark", "Recording").await;
    browser.click_text(".room", "weekly").await;
    browser
        .click_text(".controls button", "Stop recording")
        .await;
    browser.sees_no(".mark", "Recording").await;
    desk.told(&room, "conference.recording.stopped").await;

    browser.click_text(".pane-head .danger", "Delete").await;
    browser.sees("dialog", "1 member leaves it").await;
    browser.click("dialog [type=submit]").await;
    browser.sees(".detail-pane", "This room has ended").await;
    browser.sees("main", "There are no rooms yet").await;
    desk.told(&room, "conference.destroyed").await;
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn a_waiting_call_is_joined_and_another_hung_up() {
    let desk = Desk::memory().await;
    let browser = &desk.browser;
    let room = desk.world.room("support").await;
    let (first, second) = (desk.call("527121103").await, desk.call("527121104").await);
    browser.sees("nav .badge", "2").await;
    browser.click("nav a[href='#/calls']").await;
    browser.sees("h2", "2 calls are waiting").await;
    let row = |session: &str| format!("[data-session='{session}']");

    browser.click(&format!("{} button", row(&first))).await;
    browser.sees("dialog", "support").await;
    browser.click("dialog [type=submit]").await;
    browser.sees(&row(&first), "support").await;
    browser.sees("h2", "1 call is waiting").await;
    desk.until_members(&room, &[(&first, false)]).await;

    browser.click(&format!("{} .danger", row(&second))).await;
    browser.click("dialog [type=submit]").await;
    browser.sees("h2", "Nobody is waiting").await;
    assert!(browser.texts(&row(&second)).await.is_empty());
    desk.told(&second, "call.hangup").await;
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn what_tenants_and_callers_write_is_text() {
    const TEXT: &str = "<img src=x onerror=\"window.hurt=1\"><b>bold</b>";
    let desk = Desk::on(Setup::on(Store::Memory)).await;
    let browser = &desk.browser;
    let body = json!({ "name": TEXT, "type": "conference" });
    let ask = Ask {
        method: "POST",
        path: "/v1.0/conferences",
        app: Some(&desk.world.app),
        key: Some(KEY),
        content_type: Some("application/json"),
        body: Some(body.to_string()),
        ..Ask::default()
    };
    let made = desk.world.controller.exactly(ask).await.unwrap();
    assert_eq!(made.status, 200, "{}", made.body);
    let id = made.body["id"].as_str().unwrap();
    let room = format!("{}-room-{id}", desk.world.node);
    browser.sees(".room-name", TEXT).await;
    browser.click(".room").await;
    browser.sees("h2", TEXT).await;

    let session = desk.call(TEXT).await;
    desk.world.join(&session, &room).await;
    browser.sees(".member b", TEXT).await;
    browser.sees("#said", TEXT).await;
    browser.click("nav a[href='#/calls']").await;
    browser.sees(".table", TEXT).await;
    let hurt = browser.js("return [window.hurt ?? null, document.images.length, document.querySelectorAll('main b > b').length]").await;
    assert_eq!(hurt, json!([null, 0, 0]));
    desk.nothing_to_complain().await;
}

#[tokio::test]
async fn nodes_are_shown_as_they_are() {
    let desk = Desk::memory().await;
    let browser = &desk.browser;
    browser.click("nav a[href='#/nodes']").await;
    browser.sees(".nodes", &desk.world.node).await;
    browser.sees(".nodes .mark", "Up").await;
    desk.world.switch.sim().kill();
    browser.sees(".nodes .mark", "Down").await;
    browser.sees("nav .badge", "1").await;
    desk.world.switch.sim().restart().await.unwrap();
    browser.sees(".nodes .mark", "Up").await;
    desk.nothing_to_complain().await;
}
