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

tests![
    recording_has_the_voices_of_the_room,
    pause_is_cut_out_of_a_recording,
    recording_of_a_member_has_its_voice_alone,
];

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

/// Waits until the file of a recording that has stopped has this many windows.
pub async fn complete_file(room: &Room<'_>, recording: &str, least: usize) -> Vec<BTreeSet<Tone>> {
    poll::until(
        "the file is complete",
        Duration::from_secs(10),
        async || {
            let windows = tones_in(room, recording);
            (windows.len() >= least).then_some(windows)
        },
    )
    .await
}

async fn pause_is_cut_out_of_a_recording(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    a.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.muted", 1).await;
    let started = room.command("recording/start", &json!({})).await;
    let recording = started["recording_id"].as_str().unwrap();
    room.webhook("conference.recording.started", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[])]).await;
    room.command("recording/pause", &json!({})).await;
    room.webhook("conference.recording.paused", 1).await;
    // This voice is heard during the pause only.
    a.command("conference/unmute", &json!({})).await;
    room.webhook("conference.member.unmuted", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    a.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.muted", 2).await;
    judge(&[a.hears(&[&b]), b.hears(&[])]).await;
    room.command("recording/resume", &json!({})).await;
    room.webhook("conference.recording.resumed", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[])]).await;
    room.command("recording/stop", &json!({})).await;
    room.webhook("conference.recording.stopped", 1).await;

    let windows = complete_file(&room, recording, 12).await;
    let only = BTreeSet::from([B]);
    assert!(
        windows.iter().all(|heard| heard.is_subset(&only)),
        "{windows:?}"
    );
    let voiced = windows.iter().filter(|heard| **heard == only).count();
    assert!(voiced >= 12, "both parts: {windows:?}");
}

async fn recording_of_a_member_has_its_voice_alone(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    let started = room.member(&a, "recording/start", &json!({})).await;
    let recording = started["recording_id"].as_str().unwrap();
    room.webhook("conference.member.recording.started", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a])]).await;
    room.member(&a, "recording/stop", &json!({})).await;
    room.webhook("conference.member.recording.stopped", 1).await;

    let windows = complete_file(&room, recording, 6).await;
    let only = BTreeSet::from([A]);
    assert!(
        windows.iter().all(|heard| heard.is_subset(&only)),
        "{windows:?}"
    );
    let voiced = windows.iter().filter(|heard| **heard == only).count();
    assert!(voiced >= 5, "{windows:?}");
}
