//! Sounds that a room makes by itself: tones, and music for a lone member.

use std::time::Duration;

use serde_json::json;

use crate::judge::judge;
use crate::party::{A, B, FIRST, SECOND};
use crate::scene::Scene;
use crate::tests;

/// Long enough to be judged, after a busy machine has noticed it.
const TONE: Duration = Duration::from_secs(5);

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

tests![
    tones_are_heard_when_a_member_enters_and_leaves,
    lone_member_hears_music_until_another_enters,
];

async fn tones_are_heard_when_a_member_enters_and_leaves(scene: &Scene) {
    let room = scene.room().await;
    let [enter, exit] = [FIRST, SECOND].map(|tone| scene.file(tone, TONE));
    let tones = json!({ "enter": enter, "exit": exit });
    room.patch(&json!({ "tones": tones })).await;
    let a = room.party(A).await;
    judge(&[a.hears(&[])]).await;
    let b = room.party(B).await;
    judge(&[a.hears(&[&b]).and(FIRST), b.hears(&[&a]).and(FIRST)]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    b.command("conference/leave", &json!({})).await;
    room.webhook("conference.member.left", 1).await;
    judge(&[a.hears(&[]).and(SECOND), b.hears(&[])]).await;
    judge(&[a.hears(&[]), b.hears(&[])]).await;
    room.patch(&json!({ "tones": false })).await;
    room.webhook("conference.updated", 2).await;
    room.join(&b).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}

async fn lone_member_hears_music_until_another_enters(scene: &Scene) {
    let room = scene.room().await;
    let music = json!({ "alone_url": scene.file(FIRST, LONG) });
    room.patch(&music).await;
    let a = room.party(A).await;
    judge(&[a.hears(&[]).and(FIRST)]).await;
    let b = room.party(B).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    b.command("conference/leave", &json!({})).await;
    room.webhook("conference.member.left", 1).await;
    judge(&[a.hears(&[]).and(FIRST), b.hears(&[])]).await;
}
