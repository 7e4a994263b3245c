//! `POST /api/v1/sessions/{uuid}/commands/conference/mute` and `/unmute`.

use serde_json::{Value, json};

use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        mute_answers_202_with_status_muted_and_room_id,
        mute_needs_no_body,
        mute_keeps_freeswitch_from_mixing_the_member_in,
        mute_webhook_member_muted_includes_the_call,
        mute_404_not_in_any_conference,
        mute_409_already_muted,
        unmute_answers_202_with_status_unmuted_and_room_id,
        unmute_needs_no_body,
        unmute_lets_freeswitch_mix_the_member_in,
        unmute_webhook_member_unmuted_includes_the_call,
        unmute_404_not_in_any_conference,
        unmute_409_already_unmuted,
        only_the_named_member_is_muted,
    ]
    StateLost: [
        mute_404_freeswitch_has_no_such_member,
    ]
    Own: [
        mute_webhook_is_deferred_until_freeswitch_confirms,
        unmute_webhook_is_deferred_until_freeswitch_confirms,
        mute_409_it_still_joins,
        unmute_409_it_still_joins,
    ]
}

/// Returns a room with one member who speaks.
async fn room_with_speaker(row: &Row<'_>) -> (String, Call) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "muted": false });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    row.webhook(&room, "conference.member.joined").await;
    (room, call)
}

/// Returns a room with one member, whose flag the command `what` can change.
async fn room_ready_for(row: &Row<'_>, what: &str) -> (String, Call) {
    match what {
        "mute" => room_with_speaker(row).await,
        _ => row.room_with_member().await,
    }
}

async fn answers_202(row: &Row<'_>, what: &str, status: &str, body: Value) -> (String, Call) {
    let (room, call) = room_ready_for(row, what).await;
    let answer = row.command(&call, what, body).await;
    answer.is(202, json!({ "status": status, "room_id": room }));
    (room, call)
}

async fn mute_answers_202_with_status_muted_and_room_id(row: &Row<'_>) {
    answers_202(row, "mute", "muted", Value::Null).await;
}

async fn unmute_answers_202_with_status_unmuted_and_room_id(row: &Row<'_>) {
    answers_202(row, "unmute", "unmuted", Value::Null).await;
}

async fn mute_needs_no_body(row: &Row<'_>) {
    answers_202(row, "mute", "muted", Value::Null).await;
    answers_202(row, "mute", "muted", json!({})).await;
}

async fn unmute_needs_no_body(row: &Row<'_>) {
    answers_202(row, "unmute", "unmuted", Value::Null).await;
    answers_202(row, "unmute", "unmuted", json!({})).await;
}

async fn mute_keeps_freeswitch_from_mixing_the_member_in(row: &Row<'_>) {
    let (room, call) = room_with_speaker(row).await;
    assert_eq!(row.speaks(&room, &call).await, Some(true));
    row.command(&call, "mute", Value::Null).await;
    row.webhook(&room, "conference.member.muted").await;
    assert_eq!(row.speaks(&room, &call).await, Some(false));
    assert_eq!(row.members(&room).await.body["members"][0]["muted"], true);
}

async fn unmute_lets_freeswitch_mix_the_member_in(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    assert_eq!(row.speaks(&room, &call).await, Some(false));
    row.command(&call, "unmute", Value::Null).await;
    row.webhook(&room, "conference.member.unmuted").await;
    assert_eq!(row.speaks(&room, &call).await, Some(true));
    assert_eq!(row.members(&room).await.body["members"][0]["muted"], false);
}

async fn mute_webhook_member_muted_includes_the_call(row: &Row<'_>) {
    let (room, call) = answers_202(row, "mute", "muted", Value::Null).await;
    let data = json!({ "command_uid": UUID });
    row.check_first_webhook(&room, "conference.member.muted", Some(&call), data)
        .await;
}

async fn unmute_webhook_member_unmuted_includes_the_call(row: &Row<'_>) {
    let (room, call) = answers_202(row, "unmute", "unmuted", Value::Null).await;
    let data = json!({ "command_uid": UUID });
    row.check_first_webhook(&room, "conference.member.unmuted", Some(&call), data)
        .await;
}

async fn webhook_is_deferred(row: &Row<'_>, what: &str, event: &str) {
    let (room, call) = room_ready_for(row, what).await;
    let hold = row.hold_room(&room);
    assert_eq!(row.command(&call, what, Value::Null).await.status, 202);
    hold.until_held(&format!("Action: {what}-member")).await;
    // An unconfirmed change is not shown, and the next webhook of the room is not the command's.
    let muted = row.members(&room).await.body["members"][0]["muted"].clone();
    assert_eq!(muted, what == "unmute");
    row.control(&room, "volume", json!({ "volume": 1 })).await;
    assert_eq!(
        row.webhook(&room, "conference.play.volume_changed")
            .await
            .sequence(),
        3
    );
    hold.release();
    assert_eq!(row.webhook(&room, event).await.sequence(), 4);
}

async fn mute_webhook_is_deferred_until_freeswitch_confirms(row: &Row<'_>) {
    webhook_is_deferred(row, "mute", "conference.member.muted").await;
}

async fn unmute_webhook_is_deferred_until_freeswitch_confirms(row: &Row<'_>) {
    webhook_is_deferred(row, "unmute", "conference.member.unmuted").await;
}

async fn not_in_any_conference_404(row: &Row<'_>, what: &str) {
    let call = row.call().await;
    row.command(&call, what, Value::Null).await.fails(404);
    let (room, call) = room_ready_for(row, what).await;
    assert_eq!(row.command(&call, "leave", Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    row.command(&call, what, Value::Null).await.fails(404);
}

async fn mute_404_not_in_any_conference(row: &Row<'_>) {
    not_in_any_conference_404(row, "mute").await;
}

async fn unmute_404_not_in_any_conference(row: &Row<'_>) {
    not_in_any_conference_404(row, "unmute").await;
}

async fn mute_409_already_muted(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    row.command(&call, "mute", Value::Null).await.fails(409);
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn unmute_409_already_unmuted(row: &Row<'_>) {
    let (room, call) = room_with_speaker(row).await;
    row.command(&call, "unmute", Value::Null).await.fails(409);
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn still_joins_409(row: &Row<'_>, what: &str) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    row.command(&call, what, Value::Null).await.fails(409);
    hold.release();
    row.webhook(&room, "conference.member.joined").await;
}

async fn mute_409_it_still_joins(row: &Row<'_>) {
    still_joins_409(row, "mute").await;
}

async fn unmute_409_it_still_joins(row: &Row<'_>) {
    still_joins_409(row, "unmute").await;
}

async fn mute_404_freeswitch_has_no_such_member(row: &Row<'_>) {
    let (room, call) = room_with_speaker(row).await;
    // Another member keeps the conference alive.
    row.member(&room).await;
    let hold = row.hold_room_and_call(&room, &call);
    row.fs(&format!("uuid_transfer {} park inline", call.channel))
        .await;
    row.until_speaks(&room, &call, None).await;
    row.command(&call, "mute", Value::Null).await.fails(404);
    hold.release();
    row.webhook(&room, "conference.member.left").await;
    assert_eq!(row.count(&room, "conference.member.muted"), 0);
}

async fn only_the_named_member_is_muted(row: &Row<'_>) {
    let (room, one) = row.room_with_member().await;
    let two = row.member(&room).await;
    row.command(&one, "unmute", Value::Null).await;
    let webhook = row.webhook(&room, "conference.member.unmuted").await;
    assert_eq!(webhook.body["session_uuid"], json!(one.id));
    assert_eq!(row.speaks(&room, &one).await, Some(true));
    assert_eq!(row.speaks(&room, &two).await, Some(false));
}
