//! Transfers: `POST /api/v1/sessions/{uuid}/commands/transfer` and `/transfer/cancel`.
//!
//! The last digits of a number decide how the other side behaves on the simulated node. On a real server it answers at
//! once, through the dialplan's context `inbound`; the context `nowhere` does not exist.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::program::switch::{ANSWERING, BUSY, SILENT};
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        transfer_answers_202_and_the_other_side_answers,
        transferred_call_is_no_longer_in_its_conference,
        transfer_to_an_extension_connects_the_call,
        unknown_extension_parks_the_call,
        cancelled_transfer_parks_the_call,
        other_side_that_hangs_up_parks_the_call,
        caller_that_hangs_up_ends_the_transfer,
        other_side_is_no_session,
        transferred_call_refuses_other_commands,
        transfer_400_403_404_409_and_repeated_with_the_same_command_uid,
    ]
    Plain, not on a real server because "its callees answer at once": [
        busy_other_side_is_reported_with_cause_and_sip_status,
        silent_other_side_is_reported_at_the_timeout,
        ringing_transfer_is_cancelled,
    ]
    Own, not in memory because "a killed controller loses its state": [
        transfer_outlives_a_restart_of_the_controller,
    ]
}

async fn transfer(row: &Row<'_>, call: &Call, body: Value) -> Answer {
    command(row, call, "transfer", body).await
}

async fn command(row: &Row<'_>, call: &Call, what: &str, body: Value) -> Answer {
    row.post(&format!("/sessions/{}/commands/{what}", call.id), body)
        .await
}

async fn cancel(row: &Row<'_>, call: &Call, uid: &str) -> Answer {
    let body = json!({ "command_uid": uid });
    command(row, call, "transfer/cancel", body).await
}

/// A call that is connected with somebody.
async fn transferred(row: &Row<'_>) -> Call {
    let call = row.call().await;
    let body = json!({ "to": ANSWERING, "from": "+4955", "caller_name": "Front desk 7", "command_uid": "t-1" });
    let answer = transfer(row, &call, body).await;
    answer.is(202, json!({ "status": "transferring" }));
    row.webhook(&call.id, "call.transferred").await;
    call
}

/// Returns the channel of the other side.
async fn other_side(row: &Row<'_>, call: &Call) -> String {
    let other = row
        .fs(&format!("uuid_getvar {} bridge_uuid", call.channel))
        .await;
    if !other.contains("_undef_") {
        return other.trim().to_owned();
    }
    let data = format!("uuid_getvar {} current_application_data", call.channel);
    let data = row.fs(&data).await;
    let (_, rest) = data.split_once("origination_uuid=").expect("a transfer");
    rest.split(';').next().unwrap().to_owned()
}

async fn state(row: &Row<'_>, call: &Call) -> String {
    row.state_and_room(call).await.0
}

async fn reports(row: &Row<'_>, call: &Call, event: &str, wanted: Value) {
    let webhook = row.webhook(&call.id, event).await;
    for (name, value) in wanted.as_object().unwrap() {
        assert_eq!(webhook.body["data"][name], *value, "{}", webhook.text);
    }
}

async fn ends_with(row: &Row<'_>, call: &Call, event: &str, wanted: Value) {
    reports(row, call, event, wanted).await;
    row.until_parked(call).await;
    assert!(row.exists(call).await);
}

async fn transfer_answers_202_and_the_other_side_answers(row: &Row<'_>) {
    let call = transferred(row).await;
    let data = json!({ "to": ANSWERING, "command_uid": "t-1" });
    reports(row, &call, "call.transferred", data).await;
    let shown = row.state_and_room(&call).await;
    assert_eq!(shown, ("transferred".to_owned(), Value::Null));
}

async fn transferred_call_is_no_longer_in_its_conference(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "to": ANSWERING, "command_uid": "t-1" });
    let answer = transfer(row, &call, body).await;
    answer.is(202, json!({ "status": "transferring" }));
    let left = row.webhook(&room, "conference.member.left").await;
    assert_eq!(left.body["data"]["reason"], "transferred", "{}", left.text);
    row.webhook(&call.id, "call.transferred").await;
    assert_eq!(row.members(&room).await.body["members"], json!([]));
    assert_eq!(row.speaks(&room, &call).await, None);
    // It can return.
    cancel(row, &call, "c-1").await;
    row.until_parked(&call).await;
    row.join(&call, &room).await;
}

async fn transfer_to_an_extension_connects_the_call(row: &Row<'_>) {
    let call = row.call().await;
    let body = json!({ "extension": "4711", "context": "inbound", "command_uid": "t-1" });
    let answer = transfer(row, &call, body).await;
    answer.is(202, json!({ "status": "transferring" }));
    let data = json!({ "extension": "4711", "context": "inbound", "command_uid": "t-1" });
    reports(row, &call, "call.transferred", data).await;
}

async fn unknown_extension_parks_the_call(row: &Row<'_>) {
    let call = row.call().await;
    let body = json!({ "extension": "4711", "context": "nowhere" });
    let answer = transfer(row, &call, body).await;
    answer.is(202, json!({ "status": "transferring" }));
    let wanted =
        json!({ "reason": "failed", "cause": "NO_ROUTE_DESTINATION", "context": "nowhere" });
    ends_with(row, &call, "call.transfer_failed", wanted).await;
}

async fn cancelled_transfer_parks_the_call(row: &Row<'_>) {
    let call = transferred(row).await;
    let other = other_side(row, &call).await;
    let answer = cancel(row, &call, "c-1").await;
    answer.is(202, json!({ "status": "cancelling" }));
    let wanted = json!({ "reason": "cancelled", "command_uid": "c-1", "to": ANSWERING });
    ends_with(row, &call, "call.transfer_ended", wanted).await;
    poll::until("the other side has ended", poll::TIMEOUT, async || {
        let exists = row.fs(&format!("uuid_exists {other}")).await;
        (exists.trim() == "false").then_some(())
    })
    .await;
    cancel(row, &call, "c-2").await.fails(409);
}

async fn other_side_that_hangs_up_parks_the_call(row: &Row<'_>) {
    let call = transferred(row).await;
    let other = other_side(row, &call).await;
    row.fs(&format!("uuid_kill {other}")).await;
    let wanted = json!({ "reason": "hangup", "cause": "NORMAL_CLEARING", "command_uid": "t-1" });
    ends_with(row, &call, "call.transfer_ended", wanted).await;
    // It can be transferred again.
    let answer = transfer(row, &call, json!({ "to": ANSWERING })).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.nth_webhook(&call.id, "call.transferred", 2).await;
}

async fn caller_that_hangs_up_ends_the_transfer(row: &Row<'_>) {
    let call = transferred(row).await;
    let other = other_side(row, &call).await;
    let answer = command(row, &call, "hangup", json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(&call.id, "call.hangup").await;
    assert_eq!(row.count(&call.id, "call.transfer_ended"), 0);
    poll::until("the other side has ended", poll::TIMEOUT, async || {
        let exists = row.fs(&format!("uuid_exists {other}")).await;
        (exists.trim() == "false").then_some(())
    })
    .await;
}

async fn other_side_is_no_session(row: &Row<'_>) {
    let call = transferred(row).await;
    let other = other_side(row, &call).await;
    let path = format!("/sessions/{}-{other}", row.node());
    row.get(&path).await.fails(404);
}

async fn transferred_call_refuses_other_commands(row: &Row<'_>) {
    let call = transferred(row).await;
    let room = row.room().await;
    let wrong = "the session is being transferred, or is connected by a transfer";
    let again = transfer(row, &call, json!({ "to": ANSWERING })).await;
    let join = row.request_join(&call, &room).await;
    let leave = row.command(&call, "leave", Value::Null).await;
    let dtmf = command(row, &call, "dtmf", json!({ "digits": "1" })).await;
    let gather = command(row, &call, "gather", json!({ "max_digits": 1 })).await;
    for answer in [again, join, leave, dtmf, gather] {
        assert_eq!(answer.text("error"), wrong);
        answer.fails(409);
    }
    assert_eq!(state(row, &call).await, "transferred");
}

async fn transfer_400_403_404_409_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let call = row.call().await;
    for body in [
        json!({}),
        json!({ "to": "nobody" }),
        json!({ "to": "+49 30" }),
        json!({ "to": ANSWERING, "timeout": 0 }),
        json!({ "to": ANSWERING, "extension": "1" }),
        json!({ "to": ANSWERING, "context": "inbound" }),
        json!({ "extension": "1" }),
        json!({ "extension": "1!park", "context": "inbound" }),
        json!({ "extension": "1", "context": "in/bound" }),
        json!({ "to": ANSWERING, "caller_name": "a'b" }),
    ] {
        transfer(row, &call, body).await.fails(400);
    }
    let elsewhere = json!({ "to": "+1999" });
    transfer(row, &call, elsewhere).await.fails(403);
    let forbidden = json!({ "extension": "1", "context": "default" });
    transfer(row, &call, forbidden).await.fails(403);
    let stranger = row.call_of(row.other()).await;
    let body = json!({ "to": ANSWERING, "command_uid": "t" });
    transfer(row, &stranger, body.clone()).await.fails(403);
    cancel(row, &call, "c").await.fails(409);
    let first = transfer(row, &call, body.clone()).await;
    let second = transfer(row, &call, body).await;
    assert_eq!((first.status, second.status), (202, 202), "{}", second.body);
    row.webhook(&call.id, "call.transferred").await;
    assert_eq!(row.count(&call.id, "call.transferred"), 1);
}

async fn busy_other_side_is_reported_with_cause_and_sip_status(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    transfer(row, &call, json!({ "to": BUSY, "command_uid": "t-1" })).await;
    row.webhook(&room, "conference.member.left").await;
    let data = json!({
        "to": BUSY, "reason": "busy", "cause": "USER_BUSY", "sip_status": 486, "command_uid": "t-1",
    });
    reports(row, &call, "call.transfer_failed", data).await;
    row.until_parked(&call).await;
}

async fn silent_other_side_is_reported_at_the_timeout(row: &Row<'_>) {
    let call = row.call().await;
    transfer(row, &call, json!({ "to": SILENT, "timeout": 1 })).await;
    let wanted = json!({ "reason": "no_answer", "cause": "NO_ANSWER" });
    ends_with(row, &call, "call.transfer_failed", wanted).await;
}

async fn ringing_transfer_is_cancelled(row: &Row<'_>) {
    let call = row.call().await;
    transfer(row, &call, json!({ "to": SILENT })).await;
    assert_eq!(state(row, &call).await, "transferring");
    cancel(row, &call, "c-1").await;
    let wanted = json!({ "reason": "cancelled", "command_uid": "c-1" });
    ends_with(row, &call, "call.transfer_failed", wanted).await;
}

async fn transfer_outlives_a_restart_of_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let call = transferred(&row).await;
    row.world_mut().controller.kill();
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    assert_eq!(state(&row, &call).await, "transferred");
    // The other side ends while no controller receives the events: FreeSWITCH parks the call.
    let other = other_side(&row, &call).await;
    row.world_mut().controller.kill();
    row.fs(&format!("uuid_kill {other}")).await;
    row.world_mut().controller.start_again();
    row.webhook(&call.id, "call.transfer_ended").await;
    row.until_parked(&call).await;
    row.check_webhooks();
}
