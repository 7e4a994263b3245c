//! `GET /api/v1/conferences/{room_id}`.

use serde_json::{Value, json};

use crate::row::{Row, rows};
use crate::shape::UNIX_SECONDS;

rows! {
    Plain: [
        answers_200_with_the_documented_fields_and_no_other,
        created_at_is_a_string_of_unix_seconds_of_the_creation,
        members_counts_those_who_have_joined,
        playback_of_a_room_in_which_something_plays,
        playback_of_a_room_in_which_something_is_paused,
        playback_of_a_room_in_which_it_was_stopped,
        playback_of_a_room_in_which_it_has_finished,
        playback_volume_is_the_one_that_was_set,
        playback_of_two_operations_is_that_of_the_first,
        is_read_only_and_sends_no_webhooks,
    ]
}

async fn shows(
    row: &Row<'_>,
    room: &str,
    status: &str,
    volume: i64,
    urls: &[&str],
    operation: &str,
) {
    let answer = row.status(room).await;
    let mut playback = answer.body.clone();
    playback
        .as_object_mut()
        .unwrap()
        .retain(|name, _| name.starts_with("playback_"));
    assert_eq!(
        playback,
        json!({
            "playback_status": status,
            "playback_volume": volume,
            "playback_urls": urls,
            "playback_operation_id": operation,
        })
    );
}

async fn answers_200_with_the_documented_fields_and_no_other(row: &Row<'_>) {
    let name = row.fresh_name();
    let made = row.post("/conferences", json!({ "name": name })).await;
    let room = made.text("room_id");
    row.note(&room);
    row.status(&room).await.is(
        200,
        json!({
            "room_id": room,
            "name": name,
            "created_at": UNIX_SECONDS,
            "members": 0,
            "playback_status": "stopped",
            "playback_volume": 0,
            "playback_urls": [],
            "playback_operation_id": "",
        }),
    );
}

async fn created_at_is_a_string_of_unix_seconds_of_the_creation(row: &Row<'_>) {
    let before = jiff::Timestamp::now().as_second();
    let room = row.room().await;
    let after = jiff::Timestamp::now().as_second();
    let told: i64 = row.status(&room).await.text("created_at").parse().unwrap();
    assert!((before..=after).contains(&told), "{told}");
}

async fn members_counts_those_who_have_joined(row: &Row<'_>) {
    let (room, first) = row.inhabited().await;
    assert_eq!(row.status(&room).await.body["members"], 1);
    let second = row.member(&room).await;
    assert_eq!(row.status(&room).await.body["members"], 2);
    for (call, left) in [(first, 1), (second, 0)] {
        row.command(&call, "leave", Value::Null).await;
        row.nth(&room, "conference.member.left", 2 - left).await;
        assert_eq!(row.status(&room).await.body["members"], left);
    }
}

async fn playback_of_a_room_in_which_something_plays(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let (one, two) = (row.sound(60_000), row.sound(60_000));
    let operation = row.play(&room, &[&one, &two]).await;
    // At once, also before the first file is open.
    shows(row, &room, "playing", 0, &[&one, &two], &operation).await;
    row.until_plays(&room, Some(&one)).await;
    shows(row, &room, "playing", 0, &[&one, &two], &operation).await;
}

async fn playback_of_a_room_in_which_something_is_paused(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "pause", Value::Null).await;
    shows(row, &room, "paused", 0, &[&url], &operation).await;
    row.control(&room, "pause", Value::Null).await;
    shows(row, &room, "playing", 0, &[&url], &operation).await;
}

async fn playback_of_a_room_in_which_it_was_stopped(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let url = row.sound(60_000);
    row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "stop", Value::Null).await;
    shows(row, &room, "stopped", 0, &[], "").await;
}

async fn playback_of_a_room_in_which_it_has_finished(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    row.play(&room, &[&row.sound(300)]).await;
    row.told(&room, "conference.play.finished").await;
    shows(row, &room, "stopped", 0, &[], "").await;
}

async fn playback_volume_is_the_one_that_was_set(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    row.control(&room, "volume", json!({ "volume": -12 })).await;
    shows(row, &room, "stopped", -12, &[], "").await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    shows(row, &room, "playing", -12, &[&url], &operation).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "volume", json!({ "volume": 7 })).await;
    shows(row, &room, "playing", 7, &[&url], &operation).await;
}

async fn playback_of_two_operations_is_that_of_the_first(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let (one, two) = (row.sound(60_000), row.sound(60_000));
    let first = row.play(&room, &[&one]).await;
    let second = row.play(&room, &[&two]).await;
    shows(row, &room, "playing", 0, &[&one], &first).await;
    row.until_plays(&room, Some(&one)).await;
    row.fs(&format!("conference {room} stop current")).await;
    row.told(&room, "conference.play.finished").await;
    shows(row, &room, "playing", 0, &[&two], &second).await;
}

async fn is_read_only_and_sends_no_webhooks(row: &Row<'_>) {
    let room = row.room().await;
    for _ in 0..3 {
        row.status(&room).await;
    }
    row.told_only(&room, &[]).await;
}
