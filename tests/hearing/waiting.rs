//! Rooms that wait for a moderator.

use std::time::Duration;

use serde_json::{Value, json};

use crate::judge::judge;
use crate::party::{A, B, C, D, FIRST, Party, SECOND};
use crate::scene::{Room, Scene};
use crate::tests;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

tests![
    members_hear_their_music_alone_until_a_moderator_enters,
    member_that_becomes_a_moderator_starts_the_conference,
    hold_and_deafness_last_beyond_the_start,
];

async fn waits(room: &Room<'_>, mut settings: Value) {
    settings["wait_for_moderator"] = json!(true);
    room.patch(&settings).await;
}

async fn moderator<'a>(room: &Room<'a>, tone: crate::phone::tone::Tone) -> Party<'a> {
    let party = Party::call(room.scene, room.node, tone).await;
    let body = json!({ "room_id": room.id, "muted": false, "role": "moderator" });
    party.command("conference/join", &body).await;
    room.webhook("conference.started", 1).await;
    party
}

async fn members_hear_their_music_alone_until_a_moderator_enters(scene: &Scene) {
    let room = scene.room().await;
    let music = json!({ "wait_url": scene.file(FIRST, LONG) });
    waits(&room, music).await;
    let [a, b, c] = room.parties([A, B, C]).await;
    // A file for the room is heard by nobody.
    let file = json!({ "urls": [scene.file(SECOND, LONG)] });
    room.command("play", &file).await;
    judge(&[
        a.hears(&[]).and(FIRST),
        b.hears(&[]).and(FIRST),
        c.hears(&[]).and(FIRST),
    ])
    .await;
    room.command("stop", &json!({})).await;
    let d = moderator(&room, D).await;
    judge(&[
        a.hears(&[&b, &c, &d]),
        b.hears(&[&a, &c, &d]),
        c.hears(&[&a, &b, &d]),
        d.hears(&[&a, &b, &c]),
    ])
    .await;
    d.command("conference/leave", &json!({})).await;
    room.webhook("conference.member.left", 1).await;
    judge(&[a.hears(&[&b, &c]), b.hears(&[&a, &c]), c.hears(&[&a, &b])]).await;
}

async fn member_that_becomes_a_moderator_starts_the_conference(scene: &Scene) {
    let room = scene.room().await;
    waits(&room, json!({})).await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    room.patch_member(&a, &json!({ "role": "moderator" })).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}

async fn hold_and_deafness_last_beyond_the_start(scene: &Scene) {
    let room = scene.room().await;
    let music = json!({ "wait_url": scene.file(FIRST, LONG) });
    waits(&room, music).await;
    let [a, b, c] = room.parties([A, B, C]).await;
    let own = json!({ "music_url": scene.file(SECOND, LONG) });
    room.member(&a, "hold", &own).await;
    room.webhook("conference.member.held", 1).await;
    room.member(&b, "deaf", &json!({})).await;
    judge(&[
        a.hears(&[]).and(SECOND),
        b.hears(&[]).and(FIRST),
        c.hears(&[]).and(FIRST),
    ])
    .await;
    let d = moderator(&room, D).await;
    judge(&[
        a.hears(&[]).and(SECOND),
        b.hears(&[]),
        c.hears(&[&b, &d]),
        d.hears(&[&b, &c]),
    ])
    .await;
    room.member(&a, "unhold", &json!({})).await;
    room.member(&b, "undeaf", &json!({})).await;
    judge(&[
        a.hears(&[&b, &c, &d]),
        b.hears(&[&a, &c, &d]),
        c.hears(&[&a, &b, &d]),
    ])
    .await;
}
