//! Recordings of a room: the file has every voice of its time, and no other.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::judge::judge;
use crate::party::{A, B, C};
use crate::phone::tone::{RATE, Tone};
use crate::program::poll;
use crate::scene::{Room, Scene};
use crate::tests;

tests![recording_has_the_voices_of_the_room];

/// The tones in each tenth of a second of a recording.
pub fn tones_in(room: &Room<'_>, recording: &str) -> Vec<BTreeSet<Tone>> {
    let bytes = std::fs::read(room.scene.world.recording(recording)).unwrap();
    let data = bytes
        .windows(4)
        .position(|window| window == b"data")
        .expect("a WAV file");
    let samples: Vec<i16> = bytes[data + 8..]
        .chunks_exact(2)
        .map(|two| i16::from_le_bytes([two[0], two[1]]))
        .collect();
    let windows = samples.chunks_exact(RATE as usize / 10);
    windows.map(Tone::audible).collect()
}

async fn recording_has_the_voices_of_the_room(scene: &Scene) {
    let room = scene.room().await;
    let [a, b, c] = room.parties([A, B, C]).await;
    c.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.muted", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    let started = room.command("recording/start", &json!({})).await;
    let recording = started["recording_id"].as_str().unwrap();
    room.webhook("conference.recording.started", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a]), c.hears(&[&a, &b])]).await;
    a.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.muted", 2).await;
    judge(&[a.hears(&[&b]), b.hears(&[])]).await;
    room.command("recording/stop", &json!({})).await;
    room.webhook("conference.recording.stopped", 1).await;

    let windows = poll::until(
        "the file is complete",
        Duration::from_secs(10),
        async || {
            let windows = tones_in(&room, recording);
            (windows.len() >= 12).then_some(windows)
        },
    )
    .await;
    let both = BTreeSet::from([A, B]);
    assert!(
        windows.iter().all(|heard| heard.is_subset(&both)),
        "{windows:?}"
    );
    let count = |tones: &BTreeSet<Tone>| windows.iter().filter(|heard| *heard == tones).count();
    assert!(count(&both) >= 6, "both voices: {windows:?}");
    assert!(count(&BTreeSet::from([B])) >= 6, "one voice: {windows:?}");
}
