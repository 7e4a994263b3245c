//! Digits: `/members/{session}/gather`, `/gather/stop` and `/dtmf` of a conference, and the same commands of a call.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::program::receiver::SECRET;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        gather_of_a_member_answers_202_and_reports_the_digits_once,
        gather_of_a_parked_call_reports_for_the_call,
        gather_ends_at_the_last_digit,
        gather_plays_a_prompt_that_the_first_digit_interrupts,
        gather_reports_timeout_and_no_input,
        gather_repeats_an_attempt_with_too_few_digits,
        gather_failed_names_the_prompt_that_cannot_be_played,
        gather_stop_reports_the_digits_so_far,
        gather_stop_during_the_prompt_ends_it,
        gather_ends_with_the_call,
        gather_ends_when_the_member_leaves,
        gather_409_one_at_a_time_and_stop_without_one,
        gather_with_the_same_command_uid_answers_the_same_and_acts_once,
        gather_403_and_404,
        gather_400_names_the_field,
        gathering_member_can_be_muted_and_stays,
        dtmf_answers_202_and_sends_the_tones,
        dtmf_400_names_the_field,
        dtmf_403_404_and_repeated,
    ]
    Own: [
        digits_are_reported_only_to_an_endpoint_that_names_them,
        gather_survives_the_loss_of_its_event,
    ]
    Own, not in memory because "the store ends with the controller": [
        gather_survives_a_restart_of_the_controller,
    ]
}

/// Presses keys of the call's telephone.
pub async fn press(row: &Row<'_>, call: &Call, keys: &str) {
    let answer = row
        .fs(&format!("uuid_recv_dtmf {} {keys}", call.channel))
        .await;
    assert!(answer.starts_with("+OK"), "{answer}");
}

/// Waits until FreeSWITCH asks the call for digits.
pub async fn until_asked(row: &Row<'_>, call: &Call) {
    let command = format!("uuid_getvar {} current_application", call.channel);
    poll::until("FreeSWITCH asks for digits", poll::TIMEOUT, async || {
        (row.fs(&command).await.trim() == "play_and_get_digits").then_some(())
    })
    .await;
}

async fn member_command(row: &Row<'_>, room: &str, call: &Call, what: &str, body: Value) -> Answer {
    row.control(room, &format!("members/{}/{what}", call.id), body)
        .await
}

async fn call_command(row: &Row<'_>, call: &Call, what: &str, body: Value) -> Answer {
    row.post(&format!("/sessions/{}/commands/{what}", call.id), body)
        .await
}

/// Asks a member, and waits until FreeSWITCH does; returns the operation.
async fn ask(row: &Row<'_>, room: &str, call: &Call, body: Value) -> String {
    let answer = member_command(row, room, call, "gather", body).await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
    until_asked(row, call).await;
    answer.text("operation_id")
}

/// Checks the whole webhook of a member.
async fn gathered(row: &Row<'_>, room: &str, call: &Call, n: usize, data: Value) {
    let event = "conference.member.gathered";
    let webhook = row.nth_webhook(room, event, n).await;
    row.check_webhook(&webhook, room, Some(call), data);
}

fn digits(operation: &str, digits: &str, reason: &str) -> Value {
    json!({ "operation_id": operation, "digits": digits, "reason": reason, "command_uid": UUID })
}

async fn gather_of_a_member_answers_202_and_reports_the_digits_once(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "max_digits": 4, "command_uid": "g.1" });
    let operation = ask(row, &room, &call, body).await;
    press(row, &call, "1*2#").await;
    let data = json!({ "operation_id": operation, "digits": "1*2", "reason": "matched", "command_uid": "g.1" });
    gathered(row, &room, &call, 1, data).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.gathered",
            "conference.member.left",
        ],
    )
    .await;
}

async fn gather_of_a_parked_call_reports_for_the_call(row: &Row<'_>) {
    let call = row.call().await;
    let body = json!({ "max_digits": 2, "terminator": "" });
    let answer = call_command(row, &call, "gather", body).await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
    until_asked(row, &call).await;
    press(row, &call, "#1").await;
    let webhook = row.webhook(&call.id, "call.gathered").await;
    let expected = digits(&answer.text("operation_id"), "#1", "matched");
    crate::shape::check(&webhook.body["data"], &expected);
    assert_eq!(webhook.body["session_uuid"], call.id.as_str());
    row.until_parked(&call).await;
}

async fn gather_ends_at_the_last_digit(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let operation = ask(row, &room, &call, json!({ "max_digits": 3 })).await;
    press(row, &call, "123").await;
    gathered(row, &room, &call, 1, digits(&operation, "123", "matched")).await;
}

async fn gather_plays_a_prompt_that_the_first_digit_interrupts(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let prompt = row.sound(60_000);
    let body = json!({ "prompt_url": prompt, "max_digits": 1 });
    let operation = ask(row, &room, &call, body).await;
    press(row, &call, "9").await;
    gathered(row, &room, &call, 1, digits(&operation, "9", "matched")).await;
}

async fn gather_reports_timeout_and_no_input(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "min_digits": 3, "max_digits": 4, "timeout_ms": 1000 });
    let operation = ask(row, &room, &call, body.clone()).await;
    gathered(row, &room, &call, 1, digits(&operation, "", "no_input")).await;
    let operation = ask(row, &room, &call, body).await;
    press(row, &call, "12").await;
    gathered(row, &room, &call, 2, digits(&operation, "12", "timeout")).await;
}

async fn gather_repeats_an_attempt_with_too_few_digits(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "min_digits": 3, "max_digits": 4, "tries": 2 });
    let operation = ask(row, &room, &call, body).await;
    press(row, &call, "1#").await;
    let command = format!("uuid_getvar {} roomkeeper_step", call.channel);
    let second = format!("{operation}.1");
    poll::until("the second attempt runs", poll::TIMEOUT, async || {
        (row.fs(&command).await.trim() == second).then_some(())
    })
    .await;
    until_asked(row, &call).await;
    press(row, &call, "234#").await;
    gathered(row, &room, &call, 1, digits(&operation, "234", "matched")).await;
}

async fn gather_failed_names_the_prompt_that_cannot_be_played(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let prompt = row.no_sound();
    let body = json!({ "prompt_url": prompt, "max_digits": 1, "tries": 3 });
    let answer = member_command(row, &room, &call, "gather", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let mut data = digits(&answer.text("operation_id"), "", "failed");
    data["url"] = json!(prompt);
    gathered(row, &room, &call, 1, data).await;
}

async fn gather_stop_reports_the_digits_so_far(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "min_digits": 3, "max_digits": 4, "timeout_ms": 60000, "tries": 3 });
    let operation = ask(row, &room, &call, body).await;
    press(row, &call, "1").await;
    let answer = member_command(row, &room, &call, "gather/stop", Value::Null).await;
    answer.is(
        202,
        json!({ "operation_id": operation, "status": "stopping" }),
    );
    gathered(row, &room, &call, 1, digits(&operation, "1", "stopped")).await;
}

async fn gather_stop_during_the_prompt_ends_it(row: &Row<'_>) {
    let call = row.call().await;
    let body = json!({ "prompt_url": row.sound(60_000), "max_digits": 4, "tries": 2 });
    let answer = call_command(row, &call, "gather", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    until_asked(row, &call).await;
    let stopped = call_command(row, &call, "gather/stop", json!({})).await;
    assert_eq!(stopped.status, 202, "{}", stopped.body);
    let webhook = row.webhook(&call.id, "call.gathered").await;
    let expected = digits(&answer.text("operation_id"), "", "stopped");
    crate::shape::check(&webhook.body["data"], &expected);
}

async fn gather_ends_with_the_call(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let operation = ask(
        row,
        &room,
        &call,
        json!({ "min_digits": 2, "max_digits": 4 }),
    )
    .await;
    press(row, &call, "1").await;
    let hangup = call_command(row, &call, "hangup", json!({})).await;
    assert_eq!(hangup.status, 202, "{}", hangup.body);
    gathered(row, &room, &call, 1, digits(&operation, "", "hangup")).await;
    row.webhook(&room, "conference.member.left").await;
    row.webhook(&call.id, "call.hangup").await;
    assert_eq!(row.count(&room, "conference.member.gathered"), 1);
}

async fn gather_ends_when_the_member_leaves(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let operation = ask(row, &room, &call, json!({ "max_digits": 4 })).await;
    let answer = row.command(&call, "leave", json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    gathered(row, &room, &call, 1, digits(&operation, "", "stopped")).await;
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    // The call is free for the next request.
    let body = json!({ "max_digits": 1 });
    let answer = call_command(row, &call, "gather", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    until_asked(row, &call).await;
    press(row, &call, "5").await;
    let webhook = row.webhook(&call.id, "call.gathered").await;
    assert_eq!(webhook.body["data"]["digits"], "5");
}

async fn gather_409_one_at_a_time_and_stop_without_one(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let stop = async || member_command(row, &room, &call, "gather/stop", Value::Null).await;
    stop().await.fails(409);
    let body = json!({ "max_digits": 1 });
    let operation = ask(row, &room, &call, body.clone()).await;
    let second = member_command(row, &room, &call, "gather", body.clone()).await;
    second.fails(409);
    call_command(row, &call, "gather", body).await.fails(409);
    press(row, &call, "1").await;
    gathered(row, &room, &call, 1, digits(&operation, "1", "matched")).await;
    stop().await.fails(409);
}

async fn gather_with_the_same_command_uid_answers_the_same_and_acts_once(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "max_digits": 1, "command_uid": "again" });
    let operation = ask(row, &room, &call, body.clone()).await;
    let again = ask(row, &room, &call, body.clone()).await;
    assert_eq!(operation, again);
    press(row, &call, "1").await;
    row.webhook(&room, "conference.member.gathered").await;
    let answer = member_command(row, &room, &call, "gather", body).await;
    assert_eq!(answer.text("operation_id"), operation);
    assert_eq!(row.count(&room, "conference.member.gathered"), 1);
}

async fn gather_403_and_404(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (theirs, empty) = (row.room_of(row.other()).await, row.room().await);
    let body = json!({ "max_digits": 1 });
    for what in ["gather", "gather/stop"] {
        let asked = async |room: &str| member_command(row, room, &call, what, body.clone()).await;
        asked(&theirs).await.fails(403);
        asked(&empty).await.fails(404);
        let foreign = row.call_of(row.other()).await;
        call_command(row, &foreign, what, body.clone())
            .await
            .fails(403);
        let unknown = format!("{}-{}", row.node(), uuid::Uuid::new_v4());
        let path = format!("/sessions/{unknown}/commands/{what}");
        row.post(&path, body.clone()).await.fails(404);
    }
    let parked = row.call().await;
    member_command(row, &room, &parked, "gather", body)
        .await
        .fails(404);
}

async fn gather_400_names_the_field(row: &Row<'_>) {
    let call = row.call().await;
    for (body, field) in [
        (json!({}), "max_digits"),
        (json!({ "max_digits": 0 }), "max_digits"),
        (json!({ "max_digits": 65 }), "max_digits"),
        (json!({ "max_digits": "4" }), "max_digits"),
        (json!({ "max_digits": 4, "min_digits": 5 }), "min_digits"),
        (json!({ "max_digits": 4, "terminator": "##" }), "terminator"),
        (json!({ "max_digits": 4, "terminator": "F" }), "terminator"),
        (json!({ "max_digits": 4, "timeout_ms": 999 }), "timeout_ms"),
        (
            json!({ "max_digits": 4, "inter_digit_timeout_ms": 60_001 }),
            "inter_digit_timeout_ms",
        ),
        (json!({ "max_digits": 4, "tries": 0 }), "tries"),
        (
            json!({ "max_digits": 4, "prompt_url": "ftp://h/a.wav" }),
            "prompt_url",
        ),
        (
            json!({ "max_digits": 4, "prompt_text": "${x}" }),
            "prompt_text",
        ),
        (
            json!({ "max_digits": 4, "prompt_text": "x".repeat(1_025) }),
            "prompt_text",
        ),
        (
            json!({ "max_digits": 4, "prompt_text": "a", "prompt_url": "http://h/a" }),
            "prompt_text",
        ),
    ] {
        let answer = call_command(row, &call, "gather", body).await;
        answer.fails(400);
        answer.names_field(field);
    }
}

async fn gathering_member_can_be_muted_and_stays(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let operation = ask(row, &room, &call, json!({ "max_digits": 1 })).await;
    assert_eq!(row.command(&call, "unmute", json!({})).await.status, 202);
    row.webhook(&room, "conference.member.unmuted").await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(room))
    );
    press(row, &call, "0").await;
    gathered(row, &room, &call, 1, digits(&operation, "0", "matched")).await;
    assert_eq!(row.speaks(&room, &call).await, Some(true));
}

async fn dtmf_answers_202_and_sends_the_tones(row: &Row<'_>) {
    // The tones end the calls of these telephones, which wait for a key.
    for body in [
        json!({ "digits": "1234567890*#ABCDwW" }),
        json!({ "digits": "1", "duration_ms": 100 }),
    ] {
        let (room, call) = row.room_with_member().await;
        let answer = member_command(row, &room, &call, "dtmf", body).await;
        answer.is(
            202,
            json!({ "operation_id": UUID, "status": "in_progress" }),
        );
    }
    let parked = row.call().await;
    let answer = call_command(row, &parked, "dtmf", json!({ "digits": "5" })).await;
    answer.is(
        202,
        json!({ "operation_id": UUID, "status": "in_progress" }),
    );
}

async fn dtmf_400_names_the_field(row: &Row<'_>) {
    let call = row.call().await;
    for (body, field) in [
        (json!({}), "digits"),
        (json!({ "digits": "" }), "digits"),
        (json!({ "digits": 1 }), "digits"),
        (json!({ "digits": "1 2" }), "digits"),
        (json!({ "digits": "1@50000" }), "digits"),
        (json!({ "digits": "F" }), "digits"),
        (json!({ "digits": "1".repeat(65) }), "digits"),
        (json!({ "digits": "1", "duration_ms": 49 }), "duration_ms"),
        (
            json!({ "digits": "1", "duration_ms": 99_999 }),
            "duration_ms",
        ),
    ] {
        let answer = call_command(row, &call, "dtmf", body).await;
        answer.fails(400);
        answer.names_field(field);
    }
}

async fn dtmf_403_404_and_repeated(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (theirs, empty) = (row.room_of(row.other()).await, row.room().await);
    let body = json!({ "digits": "12", "command_uid": "d.1" });
    let sent = async |room: &str| member_command(row, room, &call, "dtmf", body.clone()).await;
    sent(&theirs).await.fails(403);
    sent(&empty).await.fails(404);
    let first = sent(&room).await.text("operation_id");
    assert_eq!(sent(&room).await.text("operation_id"), first);
    let foreign = row.call_of(row.other()).await;
    call_command(row, &foreign, "dtmf", body).await.fails(403);
}

async fn digits_are_reported_only_to_an_endpoint_that_names_them(row: &Row<'_>) {
    let (room, member) = row.room_with_member().await;
    let parked = row.call().await;
    press(row, &member, "1").await;
    let url = format!("{}?digits", row.running.world.receiver.url);
    let body = json!({
        "url": url,
        "secret": SECRET,
        "events": ["conference.member.dtmf", "call.dtmf"],
    });
    let made = row.post("/webhooks", body).await;
    assert_eq!(made.status, 201, "{}", made.body);
    // The subscription at FreeSWITCH follows.
    poll::until("the first digit is reported", poll::TIMEOUT, async || {
        press(row, &member, "2").await;
        (row.count(&room, "conference.member.dtmf") > 0).then_some(())
    })
    .await;
    press(row, &parked, "*").await;
    let webhook = row.webhook(&parked.id, "call.dtmf").await;
    assert_eq!(
        webhook.body["data"],
        json!({ "digit": "*", "duration_ms": 250 })
    );
    let first = row.webhook(&room, "conference.member.dtmf").await;
    let data = json!({ "digit": "2", "duration_ms": 250 });
    row.check_webhook(&first, &room, Some(&member), data);
}

async fn gather_survives_the_loss_of_its_event(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let operation = ask(row, &room, &call, json!({ "max_digits": 4 })).await;
    let hold = row.hold_call(&call);
    press(row, &call, "42#").await;
    hold.until_held("Application: play_and_get_digits").await;
    hold.lose();
    let mut data = digits(&operation, "42", "matched");
    data["synthesized"] = json!(true);
    let resync = format!("/admin/nodes/{}/resync", row.node());
    row.running.world.controller.operate(&resync).await;
    gathered(row, &room, &call, 1, data).await;
}

async fn gather_survives_a_restart_of_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (room, call) = row.room_with_member().await;
    let operation = ask(&row, &room, &call, json!({ "max_digits": 4 })).await;
    row.world_mut().controller.kill();
    press(&row, &call, "77#").await;
    row.world_mut().controller.start_again();
    let mut data = digits(&operation, "77", "matched");
    data["synthesized"] = json!(true);
    gathered(&row, &room, &call, 1, data).await;
}
