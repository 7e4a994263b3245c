//! `recording_start`, `recording_stop` and `/v1.0/recordings`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{NEVER, NIL};
use crate::program::poll;
use crate::program::switch::Switch;
use crate::row::{Row, rows};
use crate::shape::{self, UUID, VOIPBIN_TIME};

rows! {
    Plain: [
        start_names_the_recording_while_it_runs,
        start_409_the_conference_is_empty,
        start_409_it_is_recorded_already,
        stop_ends_it_and_the_file_is_as_long_as_it_took,
        stop_409_it_is_not_recorded,
        one_after_the_other_both_are_named,
        ended_when_the_last_member_has_left,
        ended_when_the_conference_ends,
        webhooks_carry_the_recording_id_and_the_command_uid,
        list_by_conference,
        gateway_api_starts_and_stops_recordings,
        get_404_there_is_none,
        get_403_it_belongs_to_another_app,
    ]
    Unwritable: [
        failed_when_freeswitch_cannot_write_the_file,
    ]
}

async fn command(row: &Row<'_>, conference: &str, what: &str) -> Value {
    let path = format!("/conferences/{conference}/recording_{what}");
    row.send_ok("POST", &path, Value::Null).await
}

async fn start_recording(row: &Row<'_>, conference: &str) -> String {
    let recording = command(row, conference, "start").await["recording_id"].clone();
    let recording = recording.as_str().unwrap().to_owned();
    until(row, &recording, "recording").await;
    recording
}

async fn until(row: &Row<'_>, recording: &str, status: &str) -> Value {
    let what = format!("the recording is {status}");
    poll::until(&what, poll::TIMEOUT, async || {
        let record = row.read_recording(recording).await;
        (record["status"] == status).then_some(record)
    })
    .await
}

async fn start_names_the_recording_while_it_runs(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let answer = command(row, &id, "start").await;
    assert_eq!(answer.as_object().unwrap().len(), 16);
    let recording = answer["recording_id"].as_str().unwrap().to_owned();
    shape::check(&answer["recording_id"], &json!(UUID));
    assert_ne!(recording, NIL);
    assert_eq!(answer["recording_ids"], json!([recording]));
    let record = until(row, &recording, "recording").await;
    shape::check(
        &record,
        &json!({
            "id": recording,
            "customer_id": answer["customer_id"],
            "conference_id": id,
            "status": "recording",
            "format": "wav",
            "path": row.running.world.recording(&recording),
            "duration": 0.0,
            "tm_start": VOIPBIN_TIME,
            "tm_end": NEVER,
            "tm_create": VOIPBIN_TIME,
            "tm_update": VOIPBIN_TIME,
            "tm_delete": NEVER,
        }),
    );
    let room = row.room_of_conference(&id);
    let path = record["path"].as_str().unwrap();
    let reply = row.fs(&format!("conference {room} recording check")).await;
    assert!(reply.contains(path), "{reply}");
}

async fn start_409_the_conference_is_empty(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}/recording_start");
    row.v("POST", &path, Value::Null).await.fails(409);
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["recording_ids"], json!([]));
}

async fn start_409_it_is_recorded_already(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let recording = start_recording(row, &id).await;
    let path = format!("/conferences/{id}/recording_start");
    row.v("POST", &path, Value::Null).await.fails(409);
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["recording_ids"], json!([recording]));
}

async fn stop_ends_it_and_the_file_is_as_long_as_it_took(row: &Row<'_>) {
    const LASTS: Duration = Duration::from_secs(5);
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let recording = start_recording(row, &id).await;
    let start = Instant::now();
    poll::until(
        "the recording has run for a while",
        poll::TIMEOUT,
        async || (start.elapsed() >= LASTS).then_some(()),
    )
    .await;
    let answer = command(row, &id, "stop").await;
    assert_eq!(answer["recording_ids"], json!([recording]));
    let record = until(row, &recording, "ended").await;
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["recording_id"], NIL);
    shape::check(&record["tm_end"], &json!(VOIPBIN_TIME));
    let duration = record["duration"].as_f64().unwrap();
    let close = |seconds: f64| (seconds - duration).abs() <= duration * 0.1;
    assert!(duration >= LASTS.as_secs_f64() * 0.9, "{record}");
    if matches!(row.running.world.switch, Switch::Real { .. }) {
        let file = std::fs::read(record["path"].as_str().unwrap()).unwrap();
        let seconds = wav_seconds(&file);
        assert!(close(seconds), "{seconds} s in the file: {record}");
        assert!(seconds >= LASTS.as_secs_f64() * 0.9, "{seconds} s");
    }
}

/// Returns the duration of a WAVE file: its samples at the rate in its header.
fn wav_seconds(file: &[u8]) -> f64 {
    let number = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    assert_eq!(&file[..4], b"RIFF");
    let (mut at, mut bytes_a_second) = (12, 0);
    loop {
        let size = number(at + 4);
        match &file[at..at + 4] {
            b"fmt " => bytes_a_second = number(at + 16),
            b"data" => {
                let there = u32::try_from(file.len() - at - 8).unwrap();
                assert!(
                    size <= there,
                    "the header says {size} bytes, the file has {there}"
                );
                return f64::from(size) / f64::from(bytes_a_second);
            }
            _ => {}
        }
        at += 8 + usize::try_from(size).unwrap();
    }
}

async fn stop_409_it_is_not_recorded(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let path = format!("/conferences/{id}/recording_stop");
    row.v("POST", &path, Value::Null).await.fails(409);
    row.joined_call(&id).await;
    row.v("POST", &path, Value::Null).await.fails(409);
}

async fn one_after_the_other_both_are_named(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let first = start_recording(row, &id).await;
    command(row, &id, "stop").await;
    until(row, &first, "ended").await;
    let second = start_recording(row, &id).await;
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["recording_id"], json!(second));
    assert_eq!(conference["recording_ids"], json!([first, second]));
}

async fn ended_when_the_last_member_has_left(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let (call, _) = row.joined_call(&id).await;
    let recording = start_recording(row, &id).await;
    row.command(&call, "leave", Value::Null).await;
    until(row, &recording, "ended").await;
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["recording_id"], NIL);
    assert_eq!(conference["status"], "progressing");
}

async fn ended_when_the_conference_ends(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let recording = start_recording(row, &id).await;
    row.send_ok("DELETE", &format!("/conferences/{id}"), Value::Null)
        .await;
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["recording_id"], NIL);
    assert_eq!(over["recording_ids"], json!([recording]));
    until(row, &recording, "ended").await;
}

async fn webhooks_carry_the_recording_id_and_the_command_uid(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let room = row.room_of_conference(&id);
    let path = |what: &str| format!("/conferences/{id}/recording_{what}");
    let body = json!({ "command_uid": "rec-1" });
    let answer = row.send_ok("POST", &path("start"), body).await;
    let recording = &answer["recording_id"];
    let data = json!({ "recording_id": recording, "command_uid": "rec-1" });
    row.check_first_webhook(&room, "conference.recording.started", None, data)
        .await;
    let body = json!({ "command_uid": "rec-2" });
    row.send_ok("POST", &path("stop"), body).await;
    let data = json!({ "recording_id": recording, "command_uid": "rec-2" });
    row.check_first_webhook(&room, "conference.recording.stopped", None, data)
        .await;
}

async fn gateway_api_starts_and_stops_recordings(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let path = |what: &str| format!("/conferences/{room}/recording/{what}");
    row.post(&path("stop"), json!({})).await.fails(409);
    let body = json!({ "command_uid": "rec-1" });
    let answer = row.post(&path("start"), body.clone()).await;
    answer.is(202, json!({ "recording_id": UUID, "status": "starting" }));
    let recording = answer.text("recording_id");
    until(row, &recording, "recording").await;
    // Repeated with the same id it acts once; without an id it is a new command.
    assert_eq!(row.post(&path("start"), body).await.body, answer.body);
    row.post(&path("start"), json!({})).await.fails(409);
    let data = json!({ "recording_id": recording, "command_uid": "rec-1" });
    row.check_first_webhook(&room, "conference.recording.started", None, data)
        .await;
    let theirs = row.ask(row.other(), "POST", &path("stop"), None).await;
    theirs.fails(403);
    let answer = row.post(&path("stop"), json!({})).await;
    answer.is(
        202,
        json!({ "recording_id": recording, "status": "stopping" }),
    );
    until(row, &recording, "ended").await;
    row.webhook(&room, "conference.recording.stopped").await;
}

async fn list_by_conference(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let recording = start_recording(row, &id).await;
    let path = format!("/recordings?conference_id={id}");
    let page = row.send_ok("GET", &path, Value::Null).await;
    let record = row.read_recording(&recording).await;
    assert_eq!(page, json!({ "result": [record], "next_page_token": "" }));
    let all = row.send_ok("GET", "/recordings", Value::Null).await;
    let all = all["result"].as_array().unwrap();
    assert!(all.iter().any(|record| record["id"] == json!(recording)));
}

async fn get_404_there_is_none(row: &Row<'_>) {
    let path = format!("/recordings/{}", uuid::Uuid::new_v4());
    row.v("GET", &path, Value::Null).await.fails(404);
    let answer = row.v("GET", "/recordings/latest", Value::Null).await;
    answer.names_field("recording_id");
}

async fn get_403_it_belongs_to_another_app(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    let recording = start_recording(row, &id).await;
    let path = format!("/recordings/{recording}");
    let answer = row.v_as(row.other(), "GET", &path, Value::Null).await;
    answer.fails(403);
    let list = row
        .v_as(row.other(), "GET", "/recordings", Value::Null)
        .await;
    list.is(200, json!({ "result": [], "next_page_token": "" }));
}

async fn failed_when_freeswitch_cannot_write_the_file(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    row.joined_call(&id).await;
    // The recording can have failed before the conference is read: then it is not active any more.
    let recording = command(row, &id, "start").await["recording_ids"][0].clone();
    let recording = recording.as_str().unwrap();
    until(row, recording, "failed").await;
    let room = row.room_of_conference(&id);
    row.webhook(&room, "conference.recording.failed").await;
    assert_eq!(row.count(&room, "conference.recording.started"), 0);
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["recording_id"], NIL);
    assert_eq!(conference["recording_ids"], json!([recording]));
}
