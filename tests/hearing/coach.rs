//! Coaches: one member hears them, and nobody else.

use std::collections::BTreeSet;

use serde_json::json;

use crate::judge::judge;
use crate::party::{A, B, C, Party};
use crate::recording::complete_file;
use crate::scene::Scene;
use crate::tests;

tests![
    coach_hears_the_room_and_is_heard_by_its_member_alone,
    recording_of_the_room_lacks_the_coach,
];

async fn coach_hears_the_room_and_is_heard_by_its_member_alone(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let coach = Party::call(scene, room.node, C).await;
    let body = json!({ "session": coach.session });
    room.member(&a, "coach", &body).await;
    room.webhook("conference.member.coached", 1).await;
    judge(&[
        a.hears(&[&b, &coach]),
        b.hears(&[&a]),
        coach.hears(&[&a, &b]),
    ])
    .await;
    // A muted member is heard by its coach alone.
    a.command("conference/mute", &json!({})).await;
    room.webhook("conference.member.muted", 1).await;
    judge(&[a.hears(&[&b, &coach]), b.hears(&[]), coach.hears(&[&a, &b])]).await;
    a.command("conference/unmute", &json!({})).await;
    room.webhook("conference.member.unmuted", 1).await;
    room.member(&a, "uncoach", &json!({})).await;
    room.webhook("conference.member.uncoached", 1).await;
    judge(&[a.hears(&[&b]), b.hears(&[&a]), coach.hears(&[])]).await;
}

async fn recording_of_the_room_lacks_the_coach(scene: &Scene) {
    let room = scene.room().await;
    let [a, b] = room.parties([A, B]).await;
    let coach = Party::call(scene, room.node, C).await;
    let started = room.command("recording/start", &json!({})).await;
    let recording = started["recording_id"].as_str().unwrap();
    room.webhook("conference.recording.started", 1).await;
    let body = json!({ "session": coach.session });
    room.member(&a, "coach", &body).await;
    room.webhook("conference.member.coached", 1).await;
    judge(&[a.hears(&[&b, &coach]), b.hears(&[&a])]).await;
    room.command("recording/stop", &json!({})).await;
    room.webhook("conference.recording.stopped", 1).await;

    let windows = complete_file(&room, recording, 8).await;
    let members = BTreeSet::from([A, B]);
    assert!(
        windows.iter().all(|heard| heard.is_subset(&members)),
        "{windows:?}"
    );
    let voiced = windows.iter().filter(|heard| **heard == members).count();
    assert!(voiced >= 6, "{windows:?}");
}
