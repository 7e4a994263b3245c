//! `POST /api/v1/conferences/{room_id}/pause`, `/stop` and `/volume`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Row, rows};

rows! {
    Plain: [
        pause_answers_202_with_operation_id_and_status_paused,
        pause_again_answers_202_with_status_in_progress,
        pause_needs_no_body,
        pause_keeps_freeswitch_from_playing_until_it_is_resumed,
        pause_webhook_paused_includes_room_id_and_operation_id,
        pause_webhook_resumed_includes_room_id_and_operation_id,
        pause_webhook_carries_the_command_uid,
        pause_409_nothing_plays,
        pause_409_playback_has_finished,
        stop_answers_202_with_operation_id_and_status_stopped,
        stop_needs_no_body,
        stop_ends_all_playback_at_once,
        stop_webhook_stopped_includes_room_id_and_operation_id,
        stop_webhook_is_immediate,
        stop_webhook_of_every_operation_and_none_is_finished,
        stop_webhook_carries_the_command_uid,
        stop_202_while_paused,
        stop_with_nothing_playing_202_without_an_operation_and_without_a_webhook,
        play_after_a_stop_plays,
        volume_answers_202_with_operation_id_and_volume,
        volume_answers_202_with_an_empty_operation_id_when_nothing_plays,
        volume_202_from_minus_50_to_7,
        volume_400_out_of_range,
        volume_400_missing,
        volume_400_not_an_integer,
        volume_webhook_includes_room_id_volume_and_operation_id,
        volume_webhook_has_an_empty_operation_id_when_nothing_plays,
        volume_webhook_is_immediate,
        volume_webhook_carries_the_command_uid,
        volume_holds_for_later_files,
    ]
}

/// Returns a room that plays a long file, and the operation.
async fn room_that_plays(row: &Row<'_>) -> (String, String) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    (room, operation)
}

async fn pause(row: &Row<'_>, room: &str, operation: &str, status: &str) {
    let answer = row.control(room, "pause", Value::Null).await;
    answer.is(202, json!({ "operation_id": operation, "status": status }));
}

async fn stop(row: &Row<'_>, room: &str, operation: &str) {
    let answer = row.control(room, "stop", Value::Null).await;
    answer.is(
        202,
        json!({ "operation_id": operation, "status": "stopped" }),
    );
}

async fn volume(row: &Row<'_>, room: &str, operation: &str, volume: i64) {
    let answer = row
        .control(room, "volume", json!({ "volume": volume }))
        .await;
    answer.is(202, json!({ "operation_id": operation, "volume": volume }));
}

async fn pause_answers_202_with_operation_id_and_status_paused(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    pause(row, &room, &operation, "paused").await;
}

async fn pause_again_answers_202_with_status_in_progress(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    for status in ["paused", "in_progress", "paused", "in_progress"] {
        pause(row, &room, &operation, status).await;
    }
}

async fn pause_needs_no_body(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    pause(row, &room, &operation, "paused").await;
    let answer = row.control(&room, "pause", json!({})).await;
    answer.is(
        202,
        json!({ "operation_id": operation, "status": "in_progress" }),
    );
}

async fn pause_keeps_freeswitch_from_playing_until_it_is_resumed(row: &Row<'_>) {
    const LASTS: Duration = Duration::from_millis(2_000);
    let (room, _) = row.room_with_member().await;
    let url = row.sound(u64::try_from(LASTS.as_millis()).unwrap());
    let operation = row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    pause(row, &room, &operation, "paused").await;
    poll::stays("paused", LASTS + LASTS / 2, async || {
        row.count(&room, "conference.play.finished") == 0
    })
    .await;
    pause(row, &room, &operation, "in_progress").await;
    let data = json!({ "errors": [], "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
}

async fn pause_webhook_paused_includes_room_id_and_operation_id(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    pause(row, &room, &operation, "paused").await;
    let data = json!({ "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.paused", None, data)
        .await;
}

async fn pause_webhook_resumed_includes_room_id_and_operation_id(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    pause(row, &room, &operation, "paused").await;
    pause(row, &room, &operation, "in_progress").await;
    let data = json!({ "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.resumed", None, data)
        .await;
    assert_eq!(row.count(&room, "conference.play.paused"), 1);
}

async fn pause_webhook_carries_the_command_uid(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    row.control(&room, "pause", json!({ "command_uid": "p-1" }))
        .await;
    let data = json!({ "operation_id": operation, "command_uid": "p-1" });
    row.check_first_webhook(&room, "conference.play.paused", None, data)
        .await;
}

async fn pause_409_nothing_plays(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.control(&room, "pause", Value::Null).await.fails(409);
    let empty = row.room().await;
    row.control(&empty, "pause", Value::Null).await.fails(409);
    row.check_only_webhooks(&empty, &[]).await;
}

async fn pause_409_playback_has_finished(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.play(&room, &[&row.sound(200)]).await;
    row.webhook(&room, "conference.play.finished").await;
    row.control(&room, "pause", Value::Null).await.fails(409);
}

async fn stop_answers_202_with_operation_id_and_status_stopped(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    stop(row, &room, &operation).await;
}

async fn stop_needs_no_body(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    let answer = row.control(&room, "stop", json!({})).await;
    answer.is(
        202,
        json!({ "operation_id": operation, "status": "stopped" }),
    );
    stop(row, &room, "").await;
}

async fn stop_ends_all_playback_at_once(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    row.play(&room, &[&row.sound(60_000), &row.sound(60_000)])
        .await;
    stop(row, &room, &operation).await;
    assert_eq!(row.status(&room).await.body["playback_status"], "stopped");
    row.until_plays(&room, None).await;
}

async fn stop_webhook_stopped_includes_room_id_and_operation_id(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    stop(row, &room, &operation).await;
    let data = json!({ "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.stopped", None, data)
        .await;
}

async fn stop_webhook_is_immediate(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    // The webhook does not wait for FreeSWITCH's report that the file ended.
    let _hold = row.hold_room(&room);
    stop(row, &room, &operation).await;
    row.webhook(&room, "conference.play.stopped").await;
}

async fn stop_webhook_of_every_operation_and_none_is_finished(row: &Row<'_>) {
    let (room, first) = room_that_plays(row).await;
    let mut operations = vec![first.clone()];
    for _ in 0..2 {
        operations.push(row.play(&room, &[&row.sound(60_000)]).await);
    }
    stop(row, &room, &first).await;
    for (n, operation) in operations.iter().enumerate() {
        let stopped = row
            .nth_webhook(&room, "conference.play.stopped", n + 1)
            .await;
        row.check_webhook(&stopped, &room, None, json!({ "operation_id": operation }));
    }
    row.until_plays(&room, None).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.play.started",
            "conference.play.started",
            "conference.play.started",
            "conference.play.stopped",
            "conference.play.stopped",
            "conference.play.stopped",
            "conference.member.left",
        ],
    )
    .await;
}

async fn stop_webhook_carries_the_command_uid(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    row.control(&room, "stop", json!({ "command_uid": "s-1" }))
        .await;
    let data = json!({ "operation_id": operation, "command_uid": "s-1" });
    row.check_first_webhook(&room, "conference.play.stopped", None, data)
        .await;
}

async fn stop_202_while_paused(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    pause(row, &room, &operation, "paused").await;
    stop(row, &room, &operation).await;
    assert_eq!(row.status(&room).await.body["playback_status"], "stopped");
    row.until_plays(&room, None).await;
    // The next operation is not paused.
    let next = row.play(&room, &[&row.sound(200)]).await;
    let data = json!({ "errors": [], "operation_id": next });
    row.check_first_webhook(&room, "conference.play.finished", None, data)
        .await;
}

async fn stop_with_nothing_playing_202_without_an_operation_and_without_a_webhook(row: &Row<'_>) {
    let room = row.room().await;
    stop(row, &room, "").await;
    row.member(&room).await;
    stop(row, &room, "").await;
    row.play(&room, &[&row.sound(200)]).await;
    row.webhook(&room, "conference.play.finished").await;
    stop(row, &room, "").await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.play.started",
            "conference.play.finished",
            "conference.member.left",
        ],
    )
    .await;
}

async fn play_after_a_stop_plays(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    stop(row, &room, &operation).await;
    let url = row.sound(60_000);
    row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
}

async fn volume_answers_202_with_operation_id_and_volume(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    volume(row, &room, &operation, 2).await;
}

async fn volume_answers_202_with_an_empty_operation_id_when_nothing_plays(row: &Row<'_>) {
    let room = row.room().await;
    volume(row, &room, "", -3).await;
    row.member(&room).await;
    volume(row, &room, "", 3).await;
}

async fn volume_202_from_minus_50_to_7(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    for good in [-50, -49, -1, 0, 1, 6, 7] {
        volume(row, &room, &operation, good).await;
        assert_eq!(row.status(&room).await.body["playback_volume"], good);
    }
}

async fn volume_400_out_of_range(row: &Row<'_>) {
    let room = row.room().await;
    for bad in [-51, 8, -1_000, 1_000, 256, i64::MIN, i64::MAX] {
        row.control(&room, "volume", json!({ "volume": bad }))
            .await
            .names_field("volume");
    }
    assert_eq!(row.status(&room).await.body["playback_volume"], 0);
    row.check_only_webhooks(&room, &[]).await;
}

async fn volume_400_missing(row: &Row<'_>) {
    let room = row.room().await;
    for body in [json!({}), json!({ "volume": null }), Value::Null] {
        row.control(&room, "volume", body)
            .await
            .names_field("volume");
    }
}

async fn volume_400_not_an_integer(row: &Row<'_>) {
    let room = row.room().await;
    for bad in [json!("2"), json!(1.5), json!(true), json!([2]), json!(1e30)] {
        row.control(&room, "volume", json!({ "volume": bad }))
            .await
            .names_field("volume");
    }
}

async fn volume_webhook_includes_room_id_volume_and_operation_id(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    volume(row, &room, &operation, -20).await;
    let data = json!({ "volume": -20, "operation_id": operation });
    row.check_first_webhook(&room, "conference.play.volume_changed", None, data)
        .await;
}

async fn volume_webhook_has_an_empty_operation_id_when_nothing_plays(row: &Row<'_>) {
    let room = row.room().await;
    volume(row, &room, "", 5).await;
    let data = json!({ "volume": 5, "operation_id": "" });
    row.check_first_webhook(&room, "conference.play.volume_changed", None, data)
        .await;
}

async fn volume_webhook_is_immediate(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    let _hold = row.hold_room(&room);
    volume(row, &room, &operation, 4).await;
    row.webhook(&room, "conference.play.volume_changed").await;
}

async fn volume_webhook_carries_the_command_uid(row: &Row<'_>) {
    let room = row.room().await;
    row.control(
        &room,
        "volume",
        json!({ "volume": 1, "command_uid": "v-1" }),
    )
    .await;
    let data = json!({ "volume": 1, "operation_id": "", "command_uid": "v-1" });
    row.check_first_webhook(&room, "conference.play.volume_changed", None, data)
        .await;
}

async fn volume_holds_for_later_files(row: &Row<'_>) {
    let (room, operation) = room_that_plays(row).await;
    volume(row, &room, &operation, -7).await;
    let next = row.sound(60_000);
    row.play(&room, &[&next]).await;
    row.fs(&format!("conference {room} stop current")).await;
    row.until_plays(&room, Some(&next)).await;
    assert_eq!(row.status(&room).await.body["playback_volume"], -7);
}
