//! Dial-outs: `POST /api/v1/conferences/{room_id}/calls`, their list, and `DELETE`.
//!
//! The last digits of a number decide how its callee on the simulated node behaves. On a real server every callee answers
//! at once: the call goes through the dialplan's context `inbound`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::program::switch::{ANSWERING, BUSY, SILENT};
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        dial_answers_202_and_the_callee_enters_the_conference,
        dial_webhooks_are_answered_new_and_joined_with_the_command_uid,
        dial_400_403_404_and_repeated_with_the_same_command_uid,
        dial_of_an_answered_call_is_not_found,
        dial_409_the_conference_is_full,
        locked_conference_admits_the_callee,
    ]
    Plain, not on a real server because "its callees answer at once": [
        busy_callee_is_reported_with_cause_and_sip_status,
        busy_callee_is_called_again_after_the_pause,
        silent_callee_is_reported_at_its_timeout,
        dial_is_listed_while_it_rings_and_cancelled_by_delete,
        deleted_conference_cancels_its_calls,
    ]
    Own, not on a real server because "its callees answer at once", not in memory because "a killed controller loses its state": [
        callee_rings_through_a_restart_of_the_controller,
    ]
}

async fn dial(row: &Row<'_>, room: &str, fields: Value) -> Answer {
    row.control(room, "calls", fields).await
}

/// Calls this number. Returns the call that an answer makes.
async fn dialled(row: &Row<'_>, room: &str, number: &str, mut fields: Value) -> Call {
    fields["to"] = json!(number);
    let answer = dial(row, room, fields).await;
    answer.is(
        202,
        json!({ "call_id": answer.text("call_id"), "session_uuid": answer.text("call_id"), "status": "dialling" }),
    );
    row.note_dialled(&answer.text("call_id"), number)
}

async fn calls(row: &Row<'_>, room: &str) -> Value {
    let answer = row.get(&format!("/conferences/{room}/calls")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["calls"].clone()
}

async fn cancel(row: &Row<'_>, room: &str, call: &Call) -> Answer {
    let path = format!("/conferences/{room}/calls/{}", call.id);
    row.ask(&row.app, "DELETE", &path, None).await
}

/// The data of a dial-out's webhook.
fn data(call: &Call, attempt: u32, attempts: u32) -> Value {
    json!({ "call_id": call.id, "to": call.did, "attempt": attempt, "attempts": attempts })
}

async fn dial_answers_202_and_the_callee_enters_the_conference(row: &Row<'_>) {
    let room = row.room().await;
    let call = dialled(row, &room, ANSWERING, json!({ "muted": true })).await;
    row.until_speaks(&room, &call, Some(false)).await;
    row.webhook(&room, "conference.member.joined").await;
    assert_eq!(calls(row, &room).await, json!([]));
    let (state, joined) = row.state_and_room(&call).await;
    assert_eq!((state.as_str(), joined), ("in_room", json!(room)));
    let members = row.members(&room).await.body["members"].clone();
    assert_eq!(members[0]["uuid"], call.id);
}

async fn dial_webhooks_are_answered_new_and_joined_with_the_command_uid(row: &Row<'_>) {
    let room = row.room().await;
    let fields = json!({ "from": "+4955", "command_uid": "d-1", "labels": { "seat": "9" } });
    let call = dialled(row, &room, ANSWERING, fields).await;
    let mut answered = data(&call, 1, 1);
    answered["command_uid"] = json!("d-1");
    let got = row.webhook(&room, "conference.call.answered").await;
    // On a busy machine, a snapshot can reveal the answer before its event arrives.
    if got.body["data"]["synthesized"] == true {
        answered["synthesized"] = json!(true);
    }
    row.check_webhook(&got, &room, Some(&call), answered);
    let new = row.webhook(&call.id, "call.new").await;
    assert_eq!(new.body["data"]["direction"], "outbound");
    assert_eq!(new.body["data"]["did"], call.did);
    let joined = json!({
        "caller_id": "+4955", "did": call.did, "muted": false, "conferencecall_id": UUID,
        "labels": { "seat": "9" }, "command_uid": "d-1",
    });
    row.check_first_webhook(&room, "conference.member.joined", Some(&call), joined)
        .await;
}

async fn dial_400_403_404_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let room = row.room().await;
    for body in [
        json!({}),
        json!({ "to": "nobody" }),
        json!({ "to": "+49 30" }),
        json!({ "to": ANSWERING, "timeout": 0 }),
        json!({ "to": ANSWERING, "retries": 11 }),
        json!({ "to": ANSWERING, "headers": { "Via": "x" } }),
    ] {
        dial(row, &room, body).await.fails(400);
    }
    let elsewhere = json!({ "to": "+1999" });
    dial(row, &room, elsewhere).await.fails(403);
    let theirs = row.room_of(row.other()).await;
    let body = json!({ "to": ANSWERING, "command_uid": "d" });
    dial(row, &theirs, body.clone()).await.fails(403);
    let unknown = format!("{}-room-{}", row.node(), uuid::Uuid::new_v4());
    dial(row, &unknown, body.clone()).await.fails(404);
    let first = dial(row, &room, body.clone()).await;
    let second = dial(row, &room, body).await;
    assert_eq!((first.status, second.status), (202, 202), "{}", second.body);
    assert_eq!(first.body, second.body);
    row.note_dialled(&first.text("call_id"), ANSWERING);
    row.webhook(&room, "conference.member.joined").await;
    assert_eq!(row.count(&room, "conference.call.answered"), 1);
}

async fn dial_of_an_answered_call_is_not_found(row: &Row<'_>) {
    let room = row.room().await;
    let call = dialled(row, &room, ANSWERING, json!({})).await;
    row.webhook(&room, "conference.call.answered").await;
    let path = format!("/conferences/{room}/calls/{}", call.id);
    row.get(&path).await.fails(404);
    cancel(row, &room, &call).await.fails(404);
}

async fn dial_409_the_conference_is_full(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let path = format!("/conferences/{room}");
    let body = json!({ "max_members": 2 });
    let answer = row.ask(&row.app, "PATCH", &path, Some(&body)).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.member(&room).await;
    dial(row, &room, json!({ "to": ANSWERING }))
        .await
        .fails(409);
}

async fn locked_conference_admits_the_callee(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.control(&room, "lock", Value::Null).await;
    row.webhook(&room, "conference.updated").await;
    let call = dialled(row, &room, ANSWERING, json!({})).await;
    row.until_speaks(&room, &call, Some(true)).await;
}

async fn busy_callee_is_reported_with_cause_and_sip_status(row: &Row<'_>) {
    let room = row.room().await;
    let call = dialled(row, &room, BUSY, json!({ "command_uid": "d-1" })).await;
    let mut busy = data(&call, 1, 1);
    busy["cause"] = json!("USER_BUSY");
    busy["sip_status"] = json!(486);
    busy["command_uid"] = json!("d-1");
    row.check_first_webhook(&room, "conference.call.busy", Some(&call), busy)
        .await;
    assert_eq!(calls(row, &room).await, json!([]));
    row.get(&format!("/sessions/{}", call.id)).await.fails(404);
}

async fn busy_callee_is_called_again_after_the_pause(row: &Row<'_>) {
    let room = row.room().await;
    let fields = json!({ "retries": 1, "retry_pause": 1 });
    dialled(row, &room, BUSY, fields).await;
    let first = row.webhook(&room, "conference.call.busy").await;
    assert!(first.body["data"]["retry_at"].is_string(), "{}", first.text);
    let second = row.nth_webhook(&room, "conference.call.busy", 2).await;
    assert_eq!(second.body["data"]["attempt"], 2);
    assert!(second.body["data"]["retry_at"].is_null(), "{}", second.text);
    assert_ne!(first.body["session_uuid"], second.body["session_uuid"]);
}

async fn silent_callee_is_reported_at_its_timeout(row: &Row<'_>) {
    let room = row.room().await;
    let call = dialled(row, &room, SILENT, json!({ "timeout": 1 })).await;
    let mut over = data(&call, 1, 1);
    over["cause"] = json!("NO_ANSWER");
    over["command_uid"] = json!(UUID);
    row.check_first_webhook(&room, "conference.call.no_answer", Some(&call), over)
        .await;
}

async fn dial_is_listed_while_it_rings_and_cancelled_by_delete(row: &Row<'_>) {
    let room = row.room().await;
    let call = dialled(row, &room, SILENT, json!({})).await;
    row.webhook(&room, "conference.call.ringing").await;
    let listed = calls(row, &room).await;
    assert_eq!(listed[0]["call_id"], call.id);
    assert_eq!(listed[0]["status"], "ringing");
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let answer = cancel(row, &room, &call).await;
    answer.is(202, json!({ "status": "cancelling" }));
    let over = row.webhook(&room, "conference.call.cancelled").await;
    assert_eq!(over.body["data"]["call_id"], call.id);
    poll::until("the callee rings no longer", poll::TIMEOUT, async || {
        (!row.exists(&call).await).then_some(())
    })
    .await;
    cancel(row, &room, &call).await.fails(404);
}

async fn deleted_conference_cancels_its_calls(row: &Row<'_>) {
    let room = row.room().await;
    let call = dialled(row, &room, SILENT, json!({ "retries": 3 })).await;
    row.webhook(&room, "conference.call.ringing").await;
    row.check_only_webhooks(
        &room,
        &["conference.call.ringing", "conference.call.cancelled"],
    )
    .await;
    assert!(!row.exists(&call).await);
}

async fn callee_rings_through_a_restart_of_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let room = row.room().await;
    let call = dialled(&row, &room, SILENT, json!({ "timeout": 600 })).await;
    row.webhook(&room, "conference.call.ringing").await;
    row.world_mut().controller.kill();
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    let listed = calls(&row, &room).await;
    assert_eq!(listed[0]["status"], "ringing", "{listed}");
    let answer = cancel(&row, &room, &call).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(&room, "conference.call.cancelled").await;
    row.check_webhooks();
}
