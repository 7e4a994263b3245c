//! `POST /api/v1/sessions/{uuid}/commands/conference/join`.

use std::time::Instant;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        answers_202_with_status_joining_and_room_id,
        webhook_member_joined_includes_the_call_and_its_flags,
        members_join_muted,
        muted_false_joins_unmuted,
        muted_400_not_a_boolean,
        again_200_already_joined_and_no_second_webhook,
        other_room_409_with_the_documented_words,
        room_id_400_missing,
        room_id_400_malformed,
        room_404_there_is_none,
        room_404_it_was_deleted,
        room_403_it_belongs_to_another_app,
        session_404_there_is_none,
        session_404_it_has_hung_up,
        session_403_it_belongs_to_another_app,
        freeswitch_502_when_it_refuses_without_a_reason,
        webhook_join_failed_refused_and_the_call_can_join_again,
        freeswitch_504_without_an_answer_and_the_join_stands,
        call_that_has_left_joins_another_room,
    ]
    StateLost: [
        session_404_freeswitch_knows_no_such_call,
    ]
    Own: [
        webhook_member_joined_is_deferred_until_freeswitch_confirms,
        again_202_joining_while_it_still_joins,
        other_room_409_while_it_still_joins,
        room_409_while_the_call_is_still_leaving,
        webhook_join_failed_hung_up_before_the_join_was_confirmed,
        webhook_join_failed_timeout_not_confirmed_within_10_s,
    ]
}

async fn answers_202_with_status_joining_and_room_id(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let answer = row.request_join(&call, &room).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
}

async fn webhook_member_joined_includes_the_call_and_its_flags(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let data = json!({
        "caller_id": call.caller,
        "did": call.did,
        "muted": true,
        "conferencecall_id": UUID,
        // Generated, because the request has none.
        "command_uid": UUID,
    });
    row.check_first_webhook(&room, "conference.member.joined", Some(&call), data)
        .await;
}

async fn webhook_member_joined_is_deferred_until_freeswitch_confirms(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    hold.until_held("Action: add-member").await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("joining".to_owned(), json!(room))
    );
    // The next webhook of the room is not the join's.
    row.control(&room, "volume", json!({ "volume": 1 })).await;
    assert_eq!(
        row.webhook(&room, "conference.play.volume_changed")
            .await
            .sequence(),
        2
    );
    hold.release();
    assert_eq!(
        row.webhook(&room, "conference.member.joined")
            .await
            .sequence(),
        3
    );
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(room))
    );
}

async fn members_join_muted(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    assert_eq!(row.speaks(&room, &call).await, Some(false));
    assert_eq!(row.members(&room).await.body["members"][0]["muted"], true);
}

async fn muted_false_joins_unmuted(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "muted": false });
    let answer = row.command(&call, "join", body).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
    let joined = row.webhook(&room, "conference.member.joined").await;
    assert_eq!(joined.body["data"]["muted"], false);
    assert_eq!(row.speaks(&room, &call).await, Some(true));
    assert_eq!(row.members(&room).await.body["members"][0]["muted"], false);
}

async fn muted_400_not_a_boolean(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    for bad in [json!("false"), json!(0)] {
        let body = json!({ "room_id": room, "muted": bad });
        row.command(&call, "join", body).await.names_field("muted");
    }
}

async fn again_200_already_joined_and_no_second_webhook(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for _ in 0..2 {
        let again = row.request_join(&call, &room).await;
        again.is(200, json!({ "status": "already_joined", "room_id": room }));
    }
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn again_202_joining_while_it_still_joins(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    for _ in 0..3 {
        let answer = row.request_join(&call, &room).await;
        answer.is(202, json!({ "status": "joining", "room_id": room }));
    }
    hold.until_held("Action: add-member").await;
    let answer = row.request_join(&call, &room).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
    hold.release();
    row.webhook(&room, "conference.member.joined").await;
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

fn in_a_different_room() -> Value {
    json!({
        "success": false,
        "error": "Session is already in a different conference room. Use conference/leave first.",
    })
}

async fn other_room_409_with_the_documented_words(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let other = row.room().await;
    row.request_join(&call, &other)
        .await
        .is(409, in_a_different_room());
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(room))
    );
    row.check_only_webhooks(&other, &[]).await;
}

async fn other_room_409_while_it_still_joins(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let other = row.room().await;
    let hold = row.hold_room(&room);
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    row.request_join(&call, &other)
        .await
        .is(409, in_a_different_room());
    hold.release();
    row.webhook(&room, "conference.member.joined").await;
    row.check_only_webhooks(&other, &[]).await;
}

async fn room_409_while_the_call_is_still_leaving(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let other = row.room().await;
    let hold = row.hold_room_and_call(&room, &call);
    assert_eq!(row.command(&call, "leave", Value::Null).await.status, 202);
    hold.until_held("Action: del-member").await;
    for room in [&room, &other] {
        row.request_join(&call, room).await.fails(409);
    }
    hold.release();
    row.webhook(&room, "conference.member.left").await;
}

async fn room_id_400_missing(row: &Row<'_>) {
    let call = row.call().await;
    for body in [json!({}), json!({ "room_id": null }), Value::Null] {
        row.command(&call, "join", body)
            .await
            .names_field("room_id");
    }
}

async fn room_id_400_malformed(row: &Row<'_>) {
    let call = row.call().await;
    let id = Uuid::new_v4();
    for bad in [
        json!(""),
        json!("x"),
        json!(id.to_string()),
        json!(format!("room-{id}")),
        json!(format!("abcd-room-{id}")),
        json!(format!("abcdef-room-{id}")),
        json!(format!("abc_e-room-{id}")),
        json!(format!("abcde-room-{}", id.simple())),
        json!(format!("abcde-room-{id} ")),
        json!(7),
        json!([id.to_string()]),
    ] {
        row.command(&call, "join", json!({ "room_id": bad }))
            .await
            .names_field("room_id");
    }
}

async fn room_404_there_is_none(row: &Row<'_>) {
    let call = row.call().await;
    let room = format!("{}-room-{}", row.node(), Uuid::new_v4());
    row.request_join(&call, &room).await.fails(404);
    let nowhere = format!("zzzzz-room-{}", Uuid::new_v4());
    row.request_join(&call, &nowhere).await.fails(404);
}

async fn room_404_it_was_deleted(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    assert_eq!(row.delete(&room).await.status, 200);
    row.request_join(&call, &room).await.fails(404);
}

async fn room_403_it_belongs_to_another_app(row: &Row<'_>) {
    let call = row.call().await;
    let room = row.room_of(row.other()).await;
    row.request_join(&call, &room).await.fails(403);
    assert_eq!(
        row.state_and_room(&call).await,
        ("parked".to_owned(), Value::Null)
    );
}

async fn session_404_there_is_none(row: &Row<'_>) {
    let room = row.room().await;
    let session = format!("{}-{}", row.node(), Uuid::new_v4());
    let path = format!("/sessions/{session}/commands/conference/join");
    row.post(&path, json!({ "room_id": room })).await.fails(404);
}

async fn session_404_it_has_hung_up(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    row.webhook(&call.id, "call.hangup").await;
    row.request_join(&call, &room).await.fails(404);
}

async fn session_404_freeswitch_knows_no_such_call(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_call(&call);
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    hold.until_held("Event-Name: CHANNEL_HANGUP").await;
    crate::program::poll::until(
        "the call is gone",
        crate::program::poll::TIMEOUT,
        async || (!row.exists(&call).await).then_some(()),
    )
    .await;
    row.request_join(&call, &room).await.fails(404);
    assert_eq!(row.members(&room).await.body["members"], json!([]));
    hold.release();
    row.webhook(&call.id, "call.hangup").await;
}

async fn session_403_it_belongs_to_another_app(row: &Row<'_>) {
    let room = row.room().await;
    let call = row.call_of(row.other()).await;
    row.request_join(&call, &room).await.fails(403);
    row.check_only_webhooks(&room, &[]).await;
}

async fn freeswitch_502_when_it_refuses_without_a_reason(row: &Row<'_>) {
    // Other controllers on a real server prepare the channel as well, and one of them can be later than this row.
    for _ in 0..5 {
        let (room, call) = (row.room().await, row.call().await);
        // Another client has used up the call's transfers.
        until_prepared(row, &call).await;
        row.fs(&format!(
            "uuid_setvar {} max_session_transfers 1",
            call.channel
        ))
        .await;
        let answer = row.request_join(&call, &room).await;
        if answer.status == 202 {
            continue;
        }
        answer.fails(502);
        assert_eq!(answer.body["error"], "FreeSWITCH refused without a reason");
        // FreeSWITCH also hangs the call up, and either event can arrive first.
        let webhook = row
            .nth_webhook(&room, "conference.member.join_failed", 1)
            .await;
        let reason = webhook.body["data"]["reason"].as_str();
        assert!(matches!(reason, Some("refused" | "hangup")), "{reason:?}");
        return;
    }
    panic!("no join was refused");
}

/// Waits until the controller has prepared the channel, which follows soon after `call.new`.
async fn until_prepared(row: &Row<'_>, call: &Call) {
    let ask = format!("uuid_getvar {} max_session_transfers", call.channel);
    poll::until("the channel is prepared", poll::TIMEOUT, async || {
        (row.fs(&ask).await.trim() == "70").then_some(())
    })
    .await;
}

async fn webhook_join_failed_refused_and_the_call_can_join_again(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let call = row.call().await;
    // With the lock known, the controller would refuse the join at once.
    let hold = row.hold_room(&room);
    let reply = row.fs(&format!("conference {room} lock")).await;
    assert!(reply.contains("locked"), "{reply}");
    hold.until_held("Action: lock").await;
    // Without it, the lock does not bind calls that FreeSWITCH has placed itself.
    let secure = format!(
        "uuid_setvar {} conference_enforce_security true",
        call.channel
    );
    row.fs(&secure).await;
    let body = json!({ "room_id": room, "command_uid": "locked-out" });
    let answer = row.command(&call, "join", body).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
    let reason = json!({ "reason": "refused", "command_uid": "locked-out" });
    row.check_first_webhook(&room, "conference.member.join_failed", Some(&call), reason)
        .await;
    row.until_parked(&call).await;
    assert!(row.exists(&call).await, "the call is still up");
    hold.release();
    row.fs(&format!("conference {room} unlock")).await;
    row.nth_webhook(&room, "conference.updated", 2).await;
    let answer = row.request_join(&call, &room).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
    row.nth_webhook(&room, "conference.member.joined", 2).await;
}

async fn webhook_join_failed_hung_up_before_the_join_was_confirmed(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    let body = json!({ "room_id": room, "command_uid": "hangs-up" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    hold.until_held("Action: add-member").await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    let reason = json!({ "reason": "hangup", "command_uid": "hangs-up" });
    row.check_first_webhook(&room, "conference.member.join_failed", Some(&call), reason)
        .await;
    // FreeSWITCH loses events like this.
    hold.lose();
    row.webhook(&call.id, "call.hangup").await;
    row.check_only_webhooks(&room, &["conference.member.join_failed"])
        .await;
}

async fn webhook_join_failed_timeout_not_confirmed_within_10_s(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room_and_call(&room, &call);
    let start = Instant::now();
    let body = json!({ "room_id": room, "command_uid": "unheard" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    let failed = row.webhook(&room, "conference.member.join_failed").await;
    let took = failed.at - start;
    // A busy machine may be late with the webhook.
    assert!((10..15).contains(&took.as_secs()), "after {took:?}");
    let mut data = failed.body["data"].clone();
    // A deadline reveals it, not an event.
    data.as_object_mut().unwrap().remove("synthesized");
    assert_eq!(
        data,
        json!({ "reason": "timeout", "command_uid": "unheard" })
    );
    assert_eq!(
        row.state_and_room(&call).await,
        ("parked".to_owned(), Value::Null)
    );
    hold.lose();
}

async fn freeswitch_504_without_an_answer_and_the_join_stands(row: &Row<'_>) {
    // In a world of its own: other rows' commands to FreeSWITCH would wait, too.
    let mut setup = row.backend.setup();
    setup.command_timeout = 1;
    let row = row.in_world(row.backend.start_with(setup, None).await);
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.running.proxy.hold_answers();
    let body = json!({ "room_id": room, "command_uid": "unanswered" });
    row.command(&call, "join", body.clone()).await.fails(504);
    hold.until_held("+OK").await;
    let joined = row.webhook(&room, "conference.member.joined").await;
    assert_eq!(joined.body["data"]["command_uid"], "unanswered");
    hold.release();
    let again = row.request_join(&call, &room).await;
    again.is(200, json!({ "status": "already_joined", "room_id": room }));
    row.check_webhooks();
}

async fn call_that_has_left_joins_another_room(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let other = row.room().await;
    assert_eq!(row.command(&call, "leave", Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    row.join(&call, &other).await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(other))
    );
    assert_eq!(row.speaks(&other, &call).await, Some(false));
}
