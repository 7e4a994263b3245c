//! Recordings of a room and of its members: `POST /api/v1/conferences/{room_id}/recording/…` and
//! `/members/{session}/recording/…`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        pause_and_resume_answer_202_and_freeswitch_has_it_paused,
        pause_webhooks_include_the_recording_id_and_the_command_uid,
        pause_of_a_paused_recording_answers_202_without_a_webhook,
        pause_by_another_client_sends_a_webhook,
        pause_403_404_409,
        member_recording_answers_202_and_freeswitch_records_the_channel,
        member_recording_webhooks_include_session_and_command_uid,
        member_recording_is_shown_and_listed_and_pauses,
        member_recording_stops_when_the_member_leaves,
        member_recording_stops_when_the_call_ends,
        member_recording_stops_when_the_conference_is_deleted,
        member_recording_403_404_409_and_repeated_with_the_same_command_uid,
    ]
    Own, not in memory because "a killed controller loses its state": [
        member_recording_outlives_a_restart_of_the_controller,
    ]
    Unwritable: [
        member_recording_that_cannot_be_written_is_refused,
    ]
}

async fn record(row: &Row<'_>, room: &str, verb: &str, body: Value) -> Answer {
    row.control(room, &format!("recording/{verb}"), body).await
}

async fn record_member(row: &Row<'_>, room: &str, call: &Call, verb: &str, uid: &str) -> Answer {
    let path = format!("members/{}/recording/{verb}", call.id);
    row.control(room, &path, json!({ "command_uid": uid }))
        .await
}

/// Starts the recording of the room, waits until it runs, and returns its id.
async fn recorded(row: &Row<'_>, room: &str) -> String {
    let answer = record(row, room, "start", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(room, "conference.recording.started").await;
    answer.text("recording_id").to_owned()
}

/// Starts the recording of a member, waits until it runs, and returns its id.
async fn recorded_member(row: &Row<'_>, room: &str, call: &Call) -> String {
    let answer = record_member(row, room, call, "start", "m-start").await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(room, "conference.member.recording.started")
        .await;
    answer.text("recording_id").to_owned()
}

async fn status_of(row: &Row<'_>, room: &str) -> Value {
    row.status(room).await.body["recording_status"].clone()
}

async fn status_of_member(row: &Row<'_>, room: &str) -> Value {
    row.members(room).await.body["members"][0]["recording_status"].clone()
}

/// Returns true if FreeSWITCH lists the recording of the conference as paused; `None` if it lists none.
async fn fs_paused(row: &Row<'_>, room: &str) -> Option<bool> {
    let text = row.fs("conference json_list compact").await;
    let list: Value = serde_json::from_str(&text).ok()?;
    let mut conferences = list.as_array()?.iter();
    let conference = conferences.find(|c| c["conference_name"] == room)?;
    let mut members = conference["members"].as_array()?.iter();
    let recording = members.find(|m| m["type"] == "recording_node")?;
    Some(recording["status"] == "paused")
}

async fn until_fs_paused(row: &Row<'_>, room: &str, paused: bool) {
    let what = format!("the recording of {room} is paused: {paused}");
    poll::until(&what, poll::TIMEOUT, async || {
        (fs_paused(row, room).await == Some(paused)).then_some(())
    })
    .await;
}

/// Returns true if FreeSWITCH records the channel of the call into the file of this recording.
async fn fs_records(row: &Row<'_>, call: &Call, recording: &str) -> bool {
    let list = row.fs(&format!("uuid_buglist {}", call.channel)).await;
    list.contains(&format!("/{recording}.wav</target>"))
}

async fn until_fs_records(row: &Row<'_>, call: &Call, recording: &str, records: bool) {
    let what = format!("FreeSWITCH records {}: {records}", call.id);
    poll::until(&what, poll::TIMEOUT, async || {
        (fs_records(row, call, recording).await == records).then_some(())
    })
    .await;
}

async fn pause_and_resume_answer_202_and_freeswitch_has_it_paused(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let id = recorded(row, &room).await;
    let answer = record(row, &room, "pause", Value::Null).await;
    answer.is(202, json!({ "recording_id": id, "status": "paused" }));
    until_fs_paused(row, &room, true).await;
    row.webhook(&room, "conference.recording.paused").await;
    assert_eq!(status_of(row, &room).await, "paused");
    let answer = record(row, &room, "resume", Value::Null).await;
    answer.is(202, json!({ "recording_id": id, "status": "recording" }));
    until_fs_paused(row, &room, false).await;
    row.webhook(&room, "conference.recording.resumed").await;
    assert_eq!(status_of(row, &room).await, "recording");
}

async fn pause_webhooks_include_the_recording_id_and_the_command_uid(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let id = recorded(row, &room).await;
    for (verb, event) in [("pause", "paused"), ("resume", "resumed")] {
        let body = json!({ "command_uid": format!("uid-{verb}") });
        record(row, &room, verb, body.clone()).await;
        let data = json!({ "recording_id": id, "command_uid": body["command_uid"] });
        let event = format!("conference.recording.{event}");
        row.check_first_webhook(&room, &event, None, data).await;
    }
}

async fn pause_of_a_paused_recording_answers_202_without_a_webhook(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let id = recorded(row, &room).await;
    let same = json!({ "recording_id": id, "status": "recording" });
    record(row, &room, "resume", Value::Null)
        .await
        .is(202, same);
    record(row, &room, "pause", Value::Null).await;
    row.webhook(&room, "conference.recording.paused").await;
    let same = json!({ "recording_id": id, "status": "paused" });
    record(row, &room, "pause", Value::Null).await.is(202, same);
    // A paused recording can be stopped.
    assert_eq!(record(row, &room, "stop", Value::Null).await.status, 202);
    row.webhook(&room, "conference.recording.stopped").await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.recording.started",
            "conference.recording.paused",
            "conference.recording.stopped",
            "conference.member.left",
        ],
    )
    .await;
}

async fn pause_by_another_client_sends_a_webhook(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let id = recorded(row, &room).await;
    let path = row.running.world.recording(&id);
    row.fs(&format!("conference {room} recording pause {path}"))
        .await;
    let data = json!({ "recording_id": id });
    row.check_first_webhook(&room, "conference.recording.paused", None, data)
        .await;
}

async fn pause_403_404_409(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let theirs = row.room_of(row.other()).await;
    for verb in ["pause", "resume"] {
        record(row, &room, verb, Value::Null).await.fails(409);
        record(row, &theirs, verb, Value::Null).await.fails(403);
        let none = format!("{}-room-{}", row.node(), uuid::Uuid::new_v4());
        record(row, &none, verb, Value::Null).await.fails(404);
    }
}

async fn member_recording_answers_202_and_freeswitch_records_the_channel(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let answer = record_member(row, &room, &call, "start", "a").await;
    answer.is(202, json!({ "recording_id": UUID, "status": "starting" }));
    let id = answer.text("recording_id").to_owned();
    until_fs_records(row, &call, &id, true).await;
    row.webhook(&room, "conference.member.recording.started")
        .await;
    let answer = record_member(row, &room, &call, "stop", "b").await;
    answer.is(202, json!({ "recording_id": id, "status": "stopping" }));
    until_fs_records(row, &call, &id, false).await;
}

async fn member_recording_webhooks_include_session_and_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let id = recorded_member(row, &room, &call).await;
    for (verb, event, uid) in [
        ("", "started", "m-start"),
        ("pause", "paused", "m-pause"),
        ("resume", "resumed", "m-resume"),
        ("stop", "stopped", "m-stop"),
    ] {
        if !verb.is_empty() {
            let answer = record_member(row, &room, &call, verb, uid).await;
            assert_eq!(answer.status, 202, "{}", answer.body);
        }
        let event = format!("conference.member.recording.{event}");
        let data = json!({ "recording_id": id, "command_uid": uid });
        row.check_first_webhook(&room, &event, Some(&call), data)
            .await;
    }
}

async fn member_recording_is_shown_and_listed_and_pauses(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    assert_eq!(status_of_member(row, &room).await, Value::Null);
    let id = recorded_member(row, &room, &call).await;
    assert_eq!(status_of_member(row, &room).await, "recording");
    assert_eq!(status_of(row, &room).await, Value::Null);
    record_member(row, &room, &call, "pause", "p").await;
    assert_eq!(status_of_member(row, &room).await, "paused");
    let again = record_member(row, &room, &call, "pause", "q").await;
    again.is(202, json!({ "recording_id": id, "status": "paused" }));
    // The room itself can be recorded at the same time.
    let other = recorded(row, &room).await;
    let listed = row.read_conference(&room[room.len() - 36..]).await;
    assert_eq!(listed["recording_ids"], json!([id, other]));
    assert_eq!(listed["recording_id"], json!(other));
    let record = row.read_recording(&id).await;
    assert_eq!(record["status"], "recording");
    record_member(row, &room, &call, "stop", "s").await;
    row.webhook(&room, "conference.member.recording.stopped")
        .await;
    assert_eq!(status_of_member(row, &room).await, Value::Null);
    let record = row.read_recording(&id).await;
    assert_eq!(record["status"], "ended");
    assert!(
        record["duration"].as_f64().is_some_and(|s| s > 0.0),
        "{record}"
    );
}

async fn member_recording_stops_when_the_member_leaves(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let id = recorded_member(row, &room, &call).await;
    row.command(&call, "leave", Value::Null).await;
    row.webhook(&room, "conference.member.left").await;
    let data = json!({ "recording_id": id });
    row.check_first_webhook(
        &room,
        "conference.member.recording.stopped",
        Some(&call),
        data,
    )
    .await;
    until_fs_records(row, &call, &id, false).await;
    assert!(row.exists(&call).await);
}

async fn member_recording_stops_when_the_call_ends(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let id = recorded_member(row, &room, &call).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    let data = json!({ "recording_id": id });
    row.check_first_webhook(
        &room,
        "conference.member.recording.stopped",
        Some(&call),
        data,
    )
    .await;
}

async fn member_recording_stops_when_the_conference_is_deleted(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let id = recorded_member(row, &room, &call).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.recording.started",
            "conference.member.left",
            "conference.member.recording.stopped",
        ],
    )
    .await;
    until_fs_records(row, &call, &id, false).await;
}

async fn member_recording_403_404_409_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let theirs = row.room_of(row.other()).await;
    let empty = row.room().await;
    for verb in ["start", "stop", "pause", "resume"] {
        let uid = format!("{verb}-1");
        record_member(row, &theirs, &call, verb, &uid)
            .await
            .fails(403);
        record_member(row, &empty, &call, verb, &uid)
            .await
            .fails(404);
        if verb != "start" {
            record_member(row, &room, &call, verb, &uid)
                .await
                .fails(409);
        }
    }
    let first = record_member(row, &room, &call, "start", "s").await;
    row.webhook(&room, "conference.member.recording.started")
        .await;
    let again = record_member(row, &room, &call, "start", "s").await;
    again.is(202, first.body);
    record_member(row, &room, &call, "start", "t")
        .await
        .fails(409);
}

async fn member_recording_that_cannot_be_written_is_refused(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let answer = record_member(row, &room, &call, "start", "s").await;
    answer.fails(502);
    row.webhook(&room, "conference.member.recording.failed")
        .await;
    assert_eq!(status_of_member(row, &room).await, Value::Null);
}

async fn member_recording_outlives_a_restart_of_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (room, call) = row.room_with_member().await;
    let id = recorded_member(&row, &room, &call).await;
    record_member(&row, &room, &call, "pause", "p").await;
    row.world_mut().controller.kill();
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    assert_eq!(status_of_member(&row, &room).await, "paused");
    let answer = record_member(&row, &room, &call, "resume", "r").await;
    answer.is(202, json!({ "recording_id": id, "status": "recording" }));
    // Another client ends it while no controller receives the event.
    row.world_mut().controller.kill();
    let path = row.running.world.recording(&id);
    row.fs(&format!("uuid_record {} stop {path}", call.channel))
        .await;
    row.world_mut().controller.start_again();
    let data = json!({ "recording_id": id, "synthesized": true });
    let event = "conference.member.recording.stopped";
    row.check_first_webhook(&room, event, Some(&call), data)
        .await;
    row.check_webhooks();
}
