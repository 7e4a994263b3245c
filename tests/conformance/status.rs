//! `GET /api/v1/conferences/{room_id}`.

use serde_json::{Value, json};

use crate::row::{Row, rows};
use crate::shape::UNIX_SECONDS;

rows! {
    Plain: [
        answers_200_with_the_documented_fields_and_no_other,
        created_at_is_a_string_of_unix_seconds_of_the_creation,
        members_counts_joined_calls,
        playback_shows_the_playing_operation,
        playback_shows_the_paused_operation,
        playback_of_a_room_after_a_stop,
        playback_of_a_room_after_the_last_file,
        playback_volume_is_the_requested_one,
        playback_of_two_operations_shows_the_first,
        is_read_only_and_sends_no_webhooks,
    ]
}

async fn check_status(
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
    let webhook: i64 = row.status(&room).await.text("created_at").parse().unwrap();
    assert!((before..=after).contains(&webhook), "{webhook}");
}

async fn members_counts_joined_calls(row: &Row<'_>) {
    let (room, first) = row.room_with_member().await;
    assert_eq!(row.status(&room).await.body["members"], 1);
    let second = row.member(&room).await;
    assert_eq!(row.status(&room).await.body["members"], 2);
    for (call, left) in [(first, 1), (second, 0)] {
        row.command(&call, "leave", Value::Null).await;
        row.nth_webhook(&room, "conference.member.left", 2 - left)
            .await;
        assert_eq!(row.status(&room).await.body["members"], left);
    }
}

async fn playback_shows_the_playing_operation(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let (one, two) = (row.sound(60_000), row.sound(60_000));
    let operation = row.play(&room, &[&one, &two]).await;
    // Immediately, also before the first file is open.
    check_status(row, &room, "playing", 0, &[&one, &two], &operation).await;
    row.until_plays(&room, Some(&one)).await;
    check_status(row, &room, "playing", 0, &[&one, &two], &operation).await;
}

async fn playback_shows_the_paused_operation(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "pause", Value::Null).await;
    check_status(row, &room, "paused", 0, &[&url], &operation).await;
    row.control(&room, "pause", Value::Null).await;
    check_status(row, &room, "playing", 0, &[&url], &operation).await;
}

async fn playback_of_a_room_after_a_stop(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "stop", Value::Null).await;
    check_status(row, &room, "stopped", 0, &[], "").await;
}

async fn playback_of_a_room_after_the_last_file(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.play(&room, &[&row.sound(300)]).await;
    row.webhook(&room, "conference.play.finished").await;
    check_status(row, &room, "stopped", 0, &[], "").await;
}

async fn playback_volume_is_the_requested_one(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.control(&room, "volume", json!({ "volume": -12 })).await;
    check_status(row, &room, "stopped", -12, &[], "").await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    check_status(row, &room, "playing", -12, &[&url], &operation).await;
    row.until_plays(&room, Some(&url)).await;
    row.control(&room, "volume", json!({ "volume": 7 })).await;
    check_status(row, &room, "playing", 7, &[&url], &operation).await;
}

async fn playback_of_two_operations_shows_the_first(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let (one, two) = (row.sound(60_000), row.sound(60_000));
    let first = row.play(&room, &[&one]).await;
    let second = row.play(&room, &[&two]).await;
    check_status(row, &room, "playing", 0, &[&one], &first).await;
    row.until_plays(&room, Some(&one)).await;
    row.fs(&format!("conference {room} stop current")).await;
    row.webhook(&room, "conference.play.finished").await;
    check_status(row, &room, "playing", 0, &[&two], &second).await;
}

async fn is_read_only_and_sends_no_webhooks(row: &Row<'_>) {
    let room = row.room().await;
    for _ in 0..3 {
        row.status(&room).await;
    }
    row.check_only_webhooks(&room, &[]).await;
}
