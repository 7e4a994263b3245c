//! The announcement of a recording: `announcement` of `POST /api/v1/conferences/{room_id}/recording/start`, and the setting
//! `announce_recording`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::row::{Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        recording_starts_after_its_announcement,
        recording_starts_after_a_spoken_announcement,
        recording_fails_when_its_announcement_cannot_be_played,
        recording_fails_when_its_announcement_is_stopped,
        recording_that_is_stopped_during_its_announcement_does_not_start,
        recording_fails_when_the_conference_ends_during_its_announcement,
        announcement_plays_before_what_waits,
        setting_announces_a_recording,
        announcement_400_names_the_field,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        announcement_outlives_the_controller,
    ]
}

const FAILED: &str = "conference.recording.failed";

async fn start(row: &Row<'_>, room: &str, announcement: Value) -> Answer {
    let body = json!({ "announcement": announcement, "command_uid": "r.1" });
    row.control(room, "recording/start", body).await
}

/// Starts an announced recording, and returns its id.
async fn announced(row: &Row<'_>, room: &str, announcement: Value) -> String {
    let answer = start(row, room, announcement).await;
    answer.is(202, json!({ "recording_id": UUID, "status": "starting" }));
    assert_eq!(status(row, room).await, "announcing");
    answer.text("recording_id")
}

async fn status(row: &Row<'_>, room: &str) -> Value {
    row.status(room).await.body["recording_status"].clone()
}

async fn fs_records(row: &Row<'_>, room: &str) -> bool {
    let listed = row.fs("conference json_list compact").await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut rooms = listed.as_array().unwrap().iter();
    let listed = rooms.find(|one| one["conference_name"] == room);
    let members = listed.and_then(|room| room["members"].as_array());
    let mut members = members.into_iter().flatten();
    members.any(|one| one["type"] == "recording_node")
}

/// Waits until the recording has failed for this reason, and checks that FreeSWITCH does not record.
async fn fails(row: &Row<'_>, room: &str, recording: &str, reason: &str) {
    let data = json!({ "recording_id": recording, "reason": reason, "command_uid": "r.1" });
    row.check_first_webhook(room, FAILED, None, data).await;
    assert!(!fs_records(row, room).await);
    assert_eq!(row.count(room, "conference.recording.started"), 0);
}

async fn recording_starts_after_its_announcement(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(1_000);
    let recording = announced(row, &room, json!({ "url": url })).await;
    let finished = row.webhook(&room, "conference.play.finished").await;
    let data = json!({ "recording_id": recording, "command_uid": "r.1" });
    let started = row
        .check_first_webhook(&room, "conference.recording.started", None, data)
        .await;
    assert!(started.at >= finished.at);
    assert_eq!(status(row, &room).await, "recording");
    assert!(fs_records(row, &room).await);
}

async fn recording_starts_after_a_spoken_announcement(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let text = "This conference is recorded. ".repeat(20);
    if row.fs("module_exists mod_flite").await != "true" {
        let refused = start(row, &room, json!({ "text": text })).await;
        return refused.names_field("announcement.text");
    }
    announced(row, &room, json!({ "text": text, "voice": "slt" })).await;
    let started = row.webhook(&room, "conference.play.started").await;
    assert_eq!(started.body["data"]["text"], text.trim_end());
    row.webhook(&room, "conference.recording.started").await;
    assert_eq!(row.count(&room, "conference.play.finished"), 1);
}

async fn recording_fails_when_its_announcement_cannot_be_played(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let answer = start(row, &room, json!({ "url": row.no_sound() })).await;
    let recording = answer.text("recording_id");
    fails(row, &room, &recording, "announcement").await;
    assert_eq!(status(row, &room).await, Value::Null);
}

async fn recording_fails_when_its_announcement_is_stopped(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let recording = announced(row, &room, json!({ "url": url })).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "stop", Value::Null).await;
    fails(row, &room, &recording, "announcement").await;
}

async fn recording_that_is_stopped_during_its_announcement_does_not_start(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let recording = announced(row, &room, json!({ "url": url })).await;
    row.until_plays(&room, Some(&url)).await;
    let answer = row.control(&room, "recording/stop", Value::Null).await;
    answer.is(
        202,
        json!({ "recording_id": recording, "status": "stopping" }),
    );
    let data = json!({ "recording_id": recording, "reason": "stopped" });
    row.check_first_webhook(&room, FAILED, None, data).await;
    // The announcement plays on, and its end starts nothing.
    row.fs(&format!("conference {room} stop current")).await;
    row.webhook(&room, "conference.play.finished").await;
    assert_eq!(status(row, &room).await, Value::Null);
    assert!(!fs_records(row, &room).await);
}

async fn recording_fails_when_the_conference_ends_during_its_announcement(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let url = row.sound(60_000);
    let recording = announced(row, &room, json!({ "url": url })).await;
    row.until_plays(&room, Some(&url)).await;
    row.command(&call, "leave", Value::Null).await;
    fails(row, &room, &recording, "announcement").await;
}

async fn announcement_plays_before_what_waits(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let files = [row.sound(60_000), row.sound(60_000), row.sound(60_000)];
    row.play(&room, &[&files[0]]).await;
    row.play(&room, &[&files[1]]).await;
    row.play(&room, &[&files[2]]).await;
    row.until_plays(&room, Some(&files[0])).await;
    let url = row.sound(60_000);
    let recording = announced(row, &room, json!({ "url": url })).await;
    // FreeSWITCH has two files already.
    for file in &files[..2] {
        row.until_plays(&room, Some(file)).await;
        row.fs(&format!("conference {room} stop current")).await;
    }
    row.until_plays(&room, Some(&url)).await;
    row.fs(&format!("conference {room} stop current")).await;
    let data = json!({ "recording_id": recording, "command_uid": "r.1" });
    row.check_first_webhook(&room, "conference.recording.started", None, data)
        .await;
    row.until_plays(&room, Some(&files[2])).await;
}

async fn setting_announces_a_recording(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(500);
    let body = json!({ "announce_recording": { "url": url } });
    let path = format!("/conferences/{room}");
    let answer = row.ask(&row.app, "PATCH", &path, Some(&body)).await;
    answer.is(202, json!({ "status": "updated" }));
    let updated = row.webhook(&room, "conference.updated").await;
    assert_eq!(
        updated.body["data"]["announce_recording"],
        json!({ "url": url })
    );
    let shown = row.status(&room).await.body;
    assert_eq!(shown["announce_recording"], json!({ "url": url }));
    row.control(&room, "recording/start", Value::Null).await;
    let started = row.webhook(&room, "conference.play.started").await;
    assert_eq!(started.body["data"]["urls"], json!([url]));
    row.webhook(&room, "conference.recording.started").await;
    assert_eq!(row.count(&room, "conference.play.finished"), 1);
}

async fn announcement_400_names_the_field(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    for (announcement, field) in [
        (json!("a.wav"), "announcement"),
        (json!({}), "announcement"),
        (json!({ "url": "/etc/passwd" }), "announcement.url"),
        (json!({ "text": "${a}" }), "announcement.text"),
        (json!({ "text": "a", "voice": "b" }), "announcement.voice"),
    ] {
        let answer = start(row, &room, announcement).await;
        answer.names_field(field);
    }
    assert_eq!(status(row, &room).await, Value::Null);
}

async fn announcement_outlives_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let recording = announced(&row, &room, json!({ "url": url })).await;
    row.until_plays(&room, Some(&url)).await;
    row.world_mut().controller.kill();
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    assert_eq!(status(&row, &room).await, "announcing");
    row.fs(&format!("conference {room} stop current")).await;
    let data = json!({ "recording_id": recording, "command_uid": "r.1" });
    row.check_first_webhook(&room, "conference.recording.started", None, data)
        .await;
    row.check_webhooks();
}
