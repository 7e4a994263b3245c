//! `POST /api/v1/sessions/{uuid}/commands/conference/leave`.

use serde_json::{Value, json};

use crate::row::{Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        answers_202_with_status_leaving_and_room_id,
        needs_no_body,
        webhook_member_left_includes_the_reason,
        webhook_member_left_of_a_call_transferred_to_another_room,
        call_is_parked_and_still_up,
        channel_names_the_command_that_parked_it,
        room_remains,
        session_404_it_is_not_in_any_conference,
        session_404_it_has_left_already,
    ]
    Own: [
        webhook_member_left_is_deferred_until_freeswitch_confirms,
        session_409_it_still_joins,
        session_409_it_still_leaves,
    ]
}

async fn leave(row: &Row<'_>, room: &str, call: &crate::row::Call) {
    let answer = row.command(call, "leave", Value::Null).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
}

async fn answers_202_with_status_leaving_and_room_id(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    leave(row, &room, &call).await;
}

async fn needs_no_body(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    leave(row, &room, &call).await;
    let (room, call) = row.room_with_member().await;
    let answer = row.command(&call, "leave", json!({})).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
}

async fn webhook_member_left_includes_the_reason(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    leave(row, &room, &call).await;
    let data = json!({ "reason": "removed", "command_uid": UUID });
    row.check_first_webhook(&room, "conference.member.left", Some(&call), data)
        .await;
}

async fn webhook_member_left_of_a_call_transferred_to_another_room(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let next = row.room().await;
    let to = format!("conference:{next}@roomkeeper");
    row.fs(&format!("uuid_transfer {} {to} inline", call.channel))
        .await;
    let left = row.webhook(&room, "conference.member.left").await;
    let reason = left.body["data"]["reason"].as_str().unwrap();
    // The order in which FreeSWITCH reports the two rooms decides which.
    assert!(["removed", "moved"].contains(&reason), "{}", left.body);
    row.webhook(&next, "conference.member.joined").await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(next))
    );
    assert_eq!(row.members(&room).await.body["members"], json!([]));
}

async fn webhook_member_left_is_deferred_until_freeswitch_confirms(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let hold = row.hold_room_and_call(&room, &call);
    leave(row, &room, &call).await;
    hold.until_held("Action: del-member").await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("leaving".to_owned(), json!(room))
    );
    // The next webhook of the room is not the leave's.
    row.control(&room, "volume", json!({ "volume": 1 })).await;
    assert_eq!(
        row.webhook(&room, "conference.play.volume_changed")
            .await
            .sequence(),
        3
    );
    hold.release();
    assert_eq!(
        row.webhook(&room, "conference.member.left")
            .await
            .sequence(),
        4
    );
}

async fn call_is_parked_and_still_up(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    leave(row, &room, &call).await;
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    row.until_speaks(&room, &call, None).await;
    assert!(row.exists(&call).await);
    assert_eq!(row.event_names(&call.id), ["call.new"]);
}

async fn channel_names_the_command_that_parked_it(row: &Row<'_>) {
    // In a world of its own: other rows trigger resyncs.
    let row = row.in_world(row.backend.start_with(row.backend.setup(), None).await);
    let (room, call) = row.room_with_member().await;
    leave(&row, &room, &call).await;
    row.until_parked(&call).await;
    let noted = row
        .fs(&format!("uuid_getvar {} roomkeeper_park", call.channel))
        .await;
    assert!(noted.trim().parse::<u64>().is_ok(), "{noted}");
    // The controller took the channel's variable for the end of this command.
    let controller = &row.running.world.controller;
    let log = controller.log_about(|line| line.contains("a command may not have been carried out"));
    assert_eq!(log, "");
}

async fn room_remains(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    leave(row, &room, &call).await;
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    assert_eq!(row.status(&room).await.body["members"], 0);
    row.join(&call, &room).await;
    assert_eq!(row.status(&room).await.body["members"], 1);
}

async fn session_404_it_is_not_in_any_conference(row: &Row<'_>) {
    let call = row.call().await;
    row.command(&call, "leave", Value::Null).await.fails(404);
}

async fn session_404_it_has_left_already(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    leave(row, &room, &call).await;
    row.webhook(&room, "conference.member.left").await;
    row.command(&call, "leave", Value::Null).await.fails(404);
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn session_409_it_still_joins(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    row.command(&call, "leave", Value::Null).await.fails(409);
    hold.release();
    row.webhook(&room, "conference.member.joined").await;
    leave(row, &room, &call).await;
}

async fn session_409_it_still_leaves(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let hold = row.hold_room_and_call(&room, &call);
    leave(row, &room, &call).await;
    row.command(&call, "leave", Value::Null).await.fails(409);
    hold.release();
    row.webhook(&room, "conference.member.left").await;
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}
