//! `conference.member.talking` and `conference.member.talking_muted`, for endpoints that name them.

use serde_json::json;

use crate::program::poll;
use crate::program::receiver::Receiver;
use crate::program::switch::Switch;
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        talk_is_reported_only_to_an_endpoint_that_names_it,
    ]
}

const TALKING: &str = "conference.member.talking";
const MUTED: &str = "conference.member.talking_muted";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Lets the caller's telephone send sound. A caller at a real server always does.
fn sends_sound(row: &Row<'_>, call: &Call) {
    if let Switch::Sim(sim) = &row.running.world.switch {
        sim.talk(&call.channel, true);
    }
}

async fn set_speech(row: &Row<'_>, room: &str, call: &Call, command: &str) {
    let command = format!("conference {room} {command} uuid={}", call.channel);
    row.fs(&command).await;
}

async fn talk_is_reported_only_to_an_endpoint_that_names_it(row: &Row<'_>) {
    // An endpoint would get the talk of all rows.
    let row = row.in_own_world(|_| ()).await;
    let (room, call) = row.room_with_member().await;
    sends_sound(&row, &call);
    let receiver = Receiver::start().await;
    let events = [TALKING, MUTED, "conference.created"];
    let body = json!({ "url": receiver.url, "secret": SECRET, "events": events });
    let made = row.post("/webhooks", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    // The endpoint is in force a moment later. Until then, talk is not reported.
    poll::until("the endpoint is in force", poll::TIMEOUT, async || {
        row.room().await;
        (!receiver.all().is_empty()).then_some(())
    })
    .await;
    set_speech(&row, &room, &call, "unmute").await;
    let first = receiver.nth(&room, TALKING, 1).await;
    row.check_webhook(&first, &room, Some(&call), json!({ "talking": true }));
    set_speech(&row, &room, &call, "mute").await;
    let second = receiver.nth(&room, TALKING, 2).await;
    row.check_webhook(&second, &room, Some(&call), json!({ "talking": false }));
    // It joined before the endpoint was known, so FreeSWITCH does not look at it while it is muted.
    let told = |event| {
        let delivered = receiver.delivered(&room).into_iter();
        delivered.filter(|webhook| webhook.event() == event).count()
    };
    assert_eq!(told(MUTED), 0);
    let other = row.call().await;
    row.join(&other, &room).await;
    sends_sound(&row, &other);
    let muted = receiver.first(&room, MUTED).await;
    row.check_webhook(&muted, &room, Some(&other), json!({}));
    assert_eq!(told(TALKING), 2, "a muted member is not heard");
    set_speech(&row, &room, &other, "unmute").await;
    let third = receiver.nth(&room, TALKING, 3).await;
    row.check_webhook(&third, &room, Some(&other), json!({ "talking": true }));
    set_speech(&row, &room, &other, "mute").await;
    let fourth = receiver.nth(&room, TALKING, 4).await;
    row.check_webhook(&fourth, &room, Some(&other), json!({ "talking": false }));
    receiver.nth(&room, MUTED, 2).await;
    assert_eq!(row.count(&room, TALKING) + row.count(&room, MUTED), 0);
}
