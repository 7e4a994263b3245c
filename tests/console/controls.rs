//! The operator's controls of a room and its members: each button is pressed, and the API then shows its effect.

use serde_json::{Value, json};

use crate::Console;
use crate::program::poll;
use crate::program::switch::SILENT;
use crate::program::world::{Setup, Store};

impl Console {
    async fn row_of_room(&self, room: &str) -> Value {
        let path = format!("/conferences/{room}");
        self.world.controller.get(&path).await.body
    }

    /// Waits until the API shows this value of a room.
    async fn until_room(&self, room: &str, field: &str, value: Value) {
        poll::until(
            &format!("{field} of the room is {value}"),
            poll::TIMEOUT,
            async || (self.row_of_room(room).await[field] == value).then_some(()),
        )
        .await;
    }

    /// Waits until the API shows this value of a member.
    async fn until_member(&self, room: &str, session: &str, field: &str, value: Value) {
        let path = format!("/conferences/{room}/members");
        poll::until(
            &format!("{field} of the member is {value}"),
            poll::TIMEOUT,
            async || {
                let members = self.world.controller.get(&path).await.body;
                let members = members["members"].as_array()?;
                let member = members.iter().find(|member| member["uuid"] == session)?;
                (member[field] == value).then_some(())
            },
        )
        .await;
    }

    /// Presses a button of a member.
    async fn press(&self, session: &str, label: &str) {
        let button = format!("{} .member-buttons button", Self::member(session));
        self.browser.click_text(&button, label).await;
    }

    /// Opens the rarer commands of a member.
    async fn open_more(&self, session: &str) {
        let more = format!("{} .more", Self::member(session));
        self.browser.click(&more).await;
    }

    /// Chooses an option of the open dialog.
    async fn choose(&self, field: &str, value: &str) {
        let script = format!(
            "const field = document.querySelector('dialog select[id$=\"{field}\"]'); field.value = '{value}'; return field.value"
        );
        self.browser
            .until("the option is chosen", async || {
                self.browser.js(&script).await == value
            })
            .await;
    }

    async fn submit(&self) {
        self.browser.click("dialog [type=submit]").await;
        self.browser
            .until("the dialog is closed", async || {
                self.browser.texts("dialog").await.is_empty()
            })
            .await;
    }
}

#[tokio::test]
async fn member_is_held_deafened_and_moved() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let other = console.world.room("breakout").await;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    let marks = format!("{} .mark", Console::member(&session));
    for (set, mark, clear, field) in [
        ("Hold", "On hold", "Unhold", "held"),
        ("Deafen", "Deaf", "Undeafen", "deaf"),
    ] {
        console.press(&session, set).await;
        browser.sees(&marks, mark).await;
        console
            .until_member(&room, &session, field, json!(true))
            .await;
        console.press(&session, clear).await;
        browser.sees_no(&marks, mark).await;
        console
            .until_member(&room, &session, field, Value::Null)
            .await;
    }
    console.press(&session, "Move").await;
    browser.sees("dialog", "Move: 527121101").await;
    console.submit().await;
    browser.sees(".detail-pane", "The room is empty").await;
    console.until_members(&other, &[(&session, false)]).await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn member_has_role_volume_and_coach() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    let coach = console.call("527121109").await;
    console.world.join(&session, &room).await;
    let row = Console::member(&session);
    let marks = format!("{row} .mark");
    browser.sees(&row, "527121101").await;
    let is_open = format!("return document.querySelector(`{row} .more-buttons`).checkVisibility()");
    // The switch does not move, so a second press never meets another button.
    let place = format!("return document.querySelector(`{row} .more`).getBoundingClientRect().x");
    let before = browser.js(&place).await;
    for expanded in [false, true, false] {
        assert_eq!(browser.js(&is_open).await, expanded);
        assert_eq!(browser.js(&place).await, before);
        console.open_more(&session).await;
    }
    console.press(&session, "Make moderator").await;
    browser.sees(&marks, "Moderator").await;
    console
        .until_member(&room, &session, "role", json!("moderator"))
        .await;
    browser.sees("#said", "527121101 is a moderator").await;
    console.press(&session, "Make participant").await;
    browser.sees_no(&marks, "Moderator").await;
    console
        .until_member(&room, &session, "role", Value::Null)
        .await;

    console.press(&session, "Volume").await;
    browser
        .sees("dialog", "Volume of what the member says")
        .await;
    console.choose("volume_in", "-2").await;
    console.submit().await;
    browser.sees(&marks, "Volume −2").await;
    console
        .until_member(&room, &session, "volume_in", json!(-2))
        .await;
    // The same again is no change: the button does not wait for an event.
    console.press(&session, "Volume").await;
    let chosen = "return document.querySelector('dialog select').value";
    assert_eq!(browser.js(chosen).await, "-2", "the present volume");
    console.submit().await;
    browser.sees(&format!("{row} button"), "Volume …").await;

    browser.sees("nav .badge", "1").await;
    console.press(&session, "Coach").await;
    browser
        .sees("dialog", "Only this member hears the coach.")
        .await;
    console.submit().await;
    browser.sees(&marks, "Has a coach").await;
    console
        .until_member(&room, &session, "coach", json!(coach))
        .await;
    assert_eq!(console.world.call_state(&coach).await.0, "coaching");
    browser
        .until("the coach is no waiting call", async || {
            browser.texts("nav .badge.info").await.is_empty()
        })
        .await;
    // A page that is opened later shows all of it.
    browser.open("/console").await;
    browser.click_text(".room", "standup").await;
    browser.sees(&marks, "Has a coach").await;
    browser.sees(&marks, "Volume −2").await;
    console.open_more(&session).await;
    console.press(&session, "Stop coaching").await;
    browser.sees_no(&marks, "Has a coach").await;
    console
        .until_member(&room, &session, "coach", Value::Null)
        .await;
    assert_eq!(console.world.call_state(&coach).await.0, "parked");
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn all_members_but_moderators_are_muted() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let (chair, other) = (
        console.call("527121101").await,
        console.call("527121102").await,
    );
    for session in [&chair, &other] {
        console.world.join(session, &room).await;
    }
    let path = format!("/conferences/{room}/members/{chair}");
    let role = json!({ "role": "moderator" });
    let changed = console
        .world
        .controller
        .ask("PATCH", &path, Some(&role))
        .await;
    assert_eq!(changed.status, 202, "{}", changed.body);
    browser.sees(".member .mark", "Moderator").await;
    browser.click("label[for=except-moderators]").await;
    browser
        .click_text(".member-head button", "Unmute all")
        .await;
    console
        .until_members(&room, &[(&chair, false), (&other, true)])
        .await;
    browser.click("label[for=except-moderators]").await;
    browser
        .click_text(".member-head button", "Unmute all")
        .await;
    console
        .until_members(&room, &[(&chair, true), (&other, true)])
        .await;
    browser.sees_no(".member .mark", "Muted").await;
    browser.click("label[for=except-moderators]").await;
    browser.click_text(".member-head button", "Mute all").await;
    console
        .until_members(&room, &[(&chair, true), (&other, false)])
        .await;
    browser
        .sees(&format!("{} .mark", Console::member(&other)), "Muted")
        .await;
    // One request has one id.
    let uids: Vec<Value> = console
        .world
        .receiver
        .all()
        .iter()
        .filter(|webhook| webhook.event() == "conference.member.unmuted")
        .map(|webhook| webhook.body["data"]["command_uid"].clone())
        .collect();
    assert_eq!(uids.len(), 2, "{uids:?}");
    assert!(uids[0].is_string());
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn text_is_spoken_and_recording_is_paused() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let session = console.call("527121101").await;
    console.world.join(&session, &room).await;
    browser.sees(".member", "527121101").await;
    // Long enough to be still spoken when a busy browser looks.
    let text = "Please wait <b>here</b>. ".repeat(160);
    browser.click_text(".controls button", "Say …").await;
    browser.fill("dialog textarea", &text).await;
    console.submit().await;
    browser.sees(".playing", "Please wait <b>here</b>.").await;
    let spoken = console
        .world
        .receiver
        .first(&room, "conference.play.started")
        .await;
    assert_eq!(spoken.body["data"]["text"], text.trim());
    browser
        .sees(".activity", "Playback queued: Please wait")
        .await;
    browser.click_text(".playing button", "Stop playing").await;
    browser.sees_no(".mark", "Playing").await;

    browser.click_text(".controls button", "Record").await;
    browser
        .click_text(".controls button", "Pause recording")
        .await;
    browser.sees(".controls button", "Resume recording").await;
    console
        .until_room(&room, "recording_status", json!("paused"))
        .await;
    browser
        .click_text(".controls button", "Resume recording")
        .await;
    browser.sees(".controls button", "Pause recording").await;
    console
        .until_room(&room, "recording_status", json!("recording"))
        .await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn music_of_room_is_changed_and_removed() {
    let console = Console::memory().await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    let url = "http://127.0.0.1/alone.wav";
    browser.click_text(".controls button", "Music …").await;
    browser
        .fill("dialog input[id$=alone_url]", "ftp://127.0.0.1/a.wav")
        .await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "alone_url").await;
    browser.fill("dialog input[id$=alone_url]", url).await;
    browser.fill("dialog input[id$=wait_url]", url).await;
    console.choose("wait_for_moderator", "yes").await;
    console.submit().await;
    for (field, value) in [
        ("alone_url", json!(url)),
        ("wait_url", json!(url)),
        ("wait_for_moderator", json!(true)),
    ] {
        console.until_room(&room, field, value).await;
    }
    browser.sees(".activity", "Changed: ").await;
    browser.sees(".controls button", "Music …").await;
    // The dialog has the present values.
    let present = async |value: &str| {
        browser
            .until("the dialog has the value", async || {
                browser.click_text(".controls button", "Music …").await;
                let script = "return document.querySelector('dialog input[id$=alone_url]').value";
                let has = browser.js(script).await == value;
                if !has {
                    browser.click_text("dialog button", "Cancel").await;
                }
                has
            })
            .await;
    };
    present(url).await;
    browser
        .js("document.querySelector('dialog input[id$=alone_url]').value = ''")
        .await;
    console.submit().await;
    console.until_room(&room, "alone_url", Value::Null).await;
    assert_eq!(console.row_of_room(&room).await["wait_url"], url);
    // Without a change no event follows, and nothing stays pending.
    present("").await;
    console.submit().await;
    browser
        .until("nothing is pending", async || {
            browser.texts(".controls .pending").await.is_empty()
        })
        .await;
    console.assert_no_browser_errors().await;
}

#[tokio::test]
async fn call_to_the_outside_is_shown_and_cancelled() {
    let dial = [
        ("ROOMKEEPER_DIAL__NUMBER", "sofia/gateway/trunk/${number}"),
        ("ROOMKEEPER_DIAL__ALLOW__0__APP", "*"),
        ("ROOMKEEPER_DIAL__ALLOW__0__NUMBERS", "[\"+4930\"]"),
    ];
    let console = Console::on(Setup {
        environment: dial
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
        ..Setup::on(Store::Memory)
    })
    .await;
    let browser = &console.browser;
    let room = console.room("standup").await;
    browser.click_text(".controls button", "Call …").await;
    browser.fill("dialog input[id$=to]", "+4940").await;
    browser.click("dialog [type=submit]").await;
    browser.sees("dialog [role=alert]", "does not allow").await;
    browser.fill("dialog input[id$=to]", SILENT).await;
    console.submit().await;
    browser.sees(".dial", &format!("{SILENT} rings")).await;
    let calls = format!("/conferences/{room}/calls");
    let listed = console.world.controller.get(&calls).await.body;
    assert_eq!(listed["calls"][0]["status"], "ringing", "{listed}");

    // A page that is opened later shows it, too.
    browser.open("/console").await;
    browser.click_text(".room", "standup").await;
    browser.sees(".dial", "rings").await;
    browser.click(".dial button").await;
    browser
        .until("the call is no longer shown", async || {
            browser.texts(".dial").await.is_empty()
        })
        .await;
    let over = console
        .world
        .receiver
        .first(&room, "conference.call.cancelled")
        .await;
    assert_eq!(over.body["data"]["call_id"], listed["calls"][0]["call_id"]);
    let listed = console.world.controller.get(&calls).await.body;
    assert_eq!(listed["calls"], json!([]));
    console.assert_no_browser_errors().await;
}
