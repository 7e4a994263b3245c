//! Files played in a room: heard by all members, in order, at the wanted volume.

use std::time::Duration;

use serde_json::json;

use crate::judge::{judge, loudness};
use crate::party::{A, B, C, FIRST, SECOND};
use crate::scene::Scene;
use crate::tests;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(60);

tests![
    played_file_is_heard_by_all_beside_their_voices,
    files_play_one_after_the_other,
    paused_file_is_silent_and_continues,
    volume_changes_the_file_and_not_the_voices,
];

async fn played_file_is_heard_by_all_beside_their_voices(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let file = scene.file(FIRST, LONG);
    room.command("play", &json!({ "urls": [file] })).await;
    judge(&[a.hears(&[&b]).and(FIRST), b.hears(&[&a]).and(FIRST)]).await;
    // A muted member hears it, a latecomer as well.
    a.command("conference/mute", &json!({})).await;
    let late = room.party(C).await;
    judge(&[
        a.hears(&[&b, &late]).and(FIRST),
        b.hears(&[&late]).and(FIRST),
        late.hears(&[&b]).and(FIRST),
    ])
    .await;
    room.command("stop", &json!({})).await;
    room.webhook("conference.play.stopped", 1).await;
    judge(&[a.hears(&[&b, &late]), late.hears(&[&b])]).await;
}

async fn files_play_one_after_the_other(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let files = [
        scene.file(FIRST, Duration::from_secs(4)),
        scene.file(SECOND, Duration::from_secs(4)),
    ];
    room.command("play", &json!({ "urls": files })).await;
    judge(&[a.hears(&[&b]).and(FIRST), b.hears(&[&a]).and(FIRST)]).await;
    judge(&[a.hears(&[&b]).and(SECOND), b.hears(&[&a]).and(SECOND)]).await;
    let finished = room.webhook("conference.play.finished", 1).await;
    assert_eq!(finished.body["data"]["errors"], json!([]));
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
}

async fn paused_file_is_silent_and_continues(scene: &Scene) {
    let room = scene.room().await;
    let [a] = room.parties([A]).await;
    let file = scene.file(FIRST, LONG);
    room.command("play", &json!({ "urls": [file] })).await;
    judge(&[a.hears(&[]).and(FIRST)]).await;
    let answer = room.command("pause", &json!({})).await;
    assert_eq!(answer["status"], "paused");
    judge(&[a.hears(&[])]).await;
    room.command("pause", &json!({})).await;
    judge(&[a.hears(&[]).and(FIRST)]).await;
}

async fn volume_changes_the_file_and_not_the_voices(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let file = scene.file(FIRST, LONG);
    room.command("play", &json!({ "urls": [file] })).await;
    judge(&[a.hears(&[&b]).and(FIRST), b.hears(&[&a]).and(FIRST)]).await;
    let before = loudness(&a, FIRST).await;
    room.command("volume", &json!({ "volume": -6 })).await;
    room.webhook("conference.play.volume_changed", 1).await;
    crate::program::poll::until("the file is quieter", Duration::from_secs(10), async || {
        (loudness(&a, FIRST).await < before * 0.75).then_some(())
    })
    .await;
    // −6 dB is half of the amplitude.
    let ratio = loudness(&a, FIRST).await / before;
    assert!((0.4..0.6).contains(&ratio), "{ratio}");
    let voice = loudness(&a, B).await;
    assert!((0.8..1.2).contains(&voice), "{voice}");
}
