//! PINs: `pin`, `pin_prompt_url` and `pin_tries` of a conference, and joins of callers who are asked for it.

use serde_json::{Value, json};

use crate::keypad::{press, until_asked};
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        right_pin_joins_the_call,
        right_pin_interrupts_the_prompt,
        wrong_pin_is_asked_for_again_and_then_fails_the_join,
        caller_without_input_stays_parked,
        prompt_that_cannot_be_played_fails_the_join,
        pin_is_set_replaced_and_removed_by_an_update,
        skip_pin_and_moves_do_not_ask,
        conference_that_is_locked_meanwhile_refuses_the_right_pin,
        caller_who_hangs_up_is_asked_no_longer,
        kick_ends_the_request_for_the_pin,
        pin_400_names_the_field,
    ]
    Own: [
        pin_survives_the_loss_of_its_event,
    ]
    Own, not in memory because "the store ends with the controller": [
        pin_survives_a_restart_of_the_controller,
    ]
}

const PIN: &str = "80235917";

/// Creates a conference with a PIN.
async fn room_with_pin(row: &Row<'_>, more: Value) -> String {
    let mut body = json!({ "name": row.fresh_name(), "node": row.node(), "pin": PIN });
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = row.post("/conferences", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let room = answer.text("room_id");
    row.note(&room);
    room
}

/// Requests the join of a call, which is then asked for the PIN.
async fn ask_for_pin(row: &Row<'_>, room: &str, call: &Call) {
    let body = json!({ "room_id": room, "muted": false, "command_uid": "j" });
    let answer = row.command(call, "join", body).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
    until_asked(row, call).await;
    assert_eq!(
        row.state_and_room(call).await,
        ("acting".to_owned(), json!(room))
    );
}

/// Returns the attempt that FreeSWITCH has noted on the channel.
async fn attempt(row: &Row<'_>, call: &Call) -> String {
    let variable = format!("uuid_getvar {} roomkeeper_step", call.channel);
    row.fs(&variable).await.trim().to_owned()
}

/// Waits for another attempt than this one.
async fn until_asked_again(row: &Row<'_>, call: &Call, first: &str) {
    poll::until("another attempt begins", poll::TIMEOUT, async || {
        let step = attempt(row, call).await;
        (!step.contains('=') && step != first).then_some(())
    })
    .await;
    until_asked(row, call).await;
}

async fn joined(row: &Row<'_>, room: &str, call: &Call) {
    let data = json!({
        "caller_id": call.caller, "did": call.did, "muted": false, "conferencecall_id": UUID, "command_uid": "j",
    });
    row.check_first_webhook(room, "conference.member.joined", Some(call), data)
        .await;
}

async fn join_failed(row: &Row<'_>, room: &str, call: &Call, reason: &str) {
    let data = json!({ "reason": reason, "command_uid": "j" });
    row.check_first_webhook(room, "conference.member.join_failed", Some(call), data)
        .await;
}

async fn right_pin_joins_the_call(row: &Row<'_>) {
    let (room, call) = (room_with_pin(row, json!({})).await, row.call().await);
    ask_for_pin(row, &room, &call).await;
    press(row, &call, &format!("{PIN}#")).await;
    joined(row, &room, &call).await;
    let detail = row.status(&room).await.body;
    assert_eq!(detail["pin_required"], json!(true));
    for text in [detail, row.get("/conferences").await.body] {
        assert!(!text.to_string().contains(PIN), "{text}");
    }
    let controller = &row.running.world.controller;
    assert_eq!(controller.log_about(|line| line.contains(PIN)), "");
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn right_pin_interrupts_the_prompt(row: &Row<'_>) {
    let room = room_with_pin(row, json!({ "pin_prompt_url": row.sound(60_000) })).await;
    let call = row.call().await;
    ask_for_pin(row, &room, &call).await;
    // Without the last key, the caller waits for the timeout.
    press(row, &call, PIN).await;
    joined(row, &room, &call).await;
}

async fn wrong_pin_is_asked_for_again_and_then_fails_the_join(row: &Row<'_>) {
    let room = room_with_pin(row, json!({ "pin_tries": 2 })).await;
    let call = row.call().await;
    ask_for_pin(row, &room, &call).await;
    let first = attempt(row, &call).await;
    press(row, &call, "80235918#").await;
    until_asked_again(row, &call, &first).await;
    press(row, &call, "802#").await;
    join_failed(row, &room, &call, "pin").await;
    assert_eq!(row.state_and_room(&call).await.0, "parked");
    ask_for_pin_again(row, &room, &call).await;
    press(row, &call, &format!("{PIN}#")).await;
    row.webhook(&room, "conference.member.joined").await;
}

async fn ask_for_pin_again(row: &Row<'_>, room: &str, call: &Call) {
    let body = json!({ "room_id": room, "command_uid": "again" });
    let answer = row.command(call, "join", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    until_asked(row, call).await;
}

async fn caller_without_input_stays_parked(row: &Row<'_>) {
    let room = room_with_pin(row, json!({ "pin_tries": 1 })).await;
    let call = row.call().await;
    ask_for_pin(row, &room, &call).await;
    press(row, &call, "#").await;
    join_failed(row, &room, &call, "pin").await;
    row.until_parked(&call).await;
}

async fn prompt_that_cannot_be_played_fails_the_join(row: &Row<'_>) {
    let room = room_with_pin(row, json!({ "pin_prompt_url": row.no_sound() })).await;
    let call = row.call().await;
    let body = json!({ "room_id": room, "command_uid": "j" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    join_failed(row, &room, &call, "action_failed").await;
    row.until_parked(&call).await;
}

async fn patch(row: &Row<'_>, room: &str, body: Value) {
    let path = format!("/conferences/{room}");
    let answer = row.ask(&row.app, "PATCH", &path, Some(&body)).await;
    answer.is(202, json!({ "status": "updated" }));
}

async fn pin_is_set_replaced_and_removed_by_an_update(row: &Row<'_>) {
    let (room, member) = row.room_with_member().await;
    assert_eq!(row.status(&room).await.body.get("pin_required"), None);
    patch(row, &room, json!({ "pin": "1234", "command_uid": "p-1" })).await;
    let data = json!({ "pin_required": true, "command_uid": "p-1" });
    row.check_first_webhook(&room, "conference.updated", None, data)
        .await;
    // Its members stay.
    assert_eq!(row.state_and_room(&member).await.0, "in_room");
    patch(row, &room, json!({ "pin": PIN, "pin_tries": 1 })).await;
    let call = row.call().await;
    ask_for_pin(row, &room, &call).await;
    press(row, &call, "1234#").await;
    join_failed(row, &room, &call, "pin").await;
    patch(row, &room, json!({ "pin": false })).await;
    let third = row.nth_webhook(&room, "conference.updated", 3).await;
    assert_eq!(third.body["data"]["pin_required"], json!(false));
    row.join(&call, &room).await;
}

async fn skip_pin_and_moves_do_not_ask(row: &Row<'_>) {
    let room = room_with_pin(row, json!({})).await;
    let call = row.call().await;
    let body = json!({ "room_id": room, "muted": false, "skip_pin": true, "command_uid": "j" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    joined(row, &room, &call).await;
    let (other, member) = row.room_with_member().await;
    let body = json!({ "room_id": room });
    let path = format!("members/{}/move", member.id);
    let answer = row.control(&other, &path, body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.nth_webhook(&room, "conference.member.joined", 2).await;
}

async fn conference_that_is_locked_meanwhile_refuses_the_right_pin(row: &Row<'_>) {
    let (room, call) = (room_with_pin(row, json!({})).await, row.call().await);
    ask_for_pin(row, &room, &call).await;
    let answer = row.control(&room, "lock", json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    press(row, &call, &format!("{PIN}#")).await;
    join_failed(row, &room, &call, "refused").await;
    row.until_parked(&call).await;
}

async fn caller_who_hangs_up_is_asked_no_longer(row: &Row<'_>) {
    let (room, call) = (room_with_pin(row, json!({})).await, row.call().await);
    ask_for_pin(row, &room, &call).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    join_failed(row, &room, &call, "hangup").await;
}

async fn kick_ends_the_request_for_the_pin(row: &Row<'_>) {
    let (room, call) = (room_with_pin(row, json!({})).await, row.call().await);
    ask_for_pin(row, &room, &call).await;
    let path = format!("members/{}/kick", call.id);
    let answer = row.control(&room, &path, json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    join_failed(row, &room, &call, "removed").await;
    row.until_parked(&call).await;
}

async fn pin_400_names_the_field(row: &Row<'_>) {
    let room = row.room().await;
    for (body, field) in [
        (json!({ "pin": "123" }), "pin"),
        (json!({ "pin": "12345678901234567" }), "pin"),
        (json!({ "pin": "12a4" }), "pin"),
        (json!({ "pin": "12#4" }), "pin"),
        (json!({ "pin": 1234 }), "pin"),
        (json!({ "pin": true }), "pin"),
        (json!({ "pin_tries": 11 }), "pin_tries"),
        (json!({ "pin_tries": -1 }), "pin_tries"),
        (
            json!({ "pin_prompt_url": "file:///etc/passwd" }),
            "pin_prompt_url",
        ),
        (json!({ "pin_prompt_url": true }), "pin_prompt_url"),
        (json!({ "pin_prompt_text": "${x}" }), "pin_prompt_text"),
        (
            json!({ "pin_prompt_text": "x".repeat(513) }),
            "pin_prompt_text",
        ),
        (
            json!({ "pin_prompt_url": "http://h.example/a", "pin_prompt_text": "PIN?" }),
            "pin_prompt_text",
        ),
    ] {
        let path = format!("/conferences/{room}");
        let answer = row.ask(&row.app, "PATCH", &path, Some(&body)).await;
        answer.fails(400);
        answer.names_field(field);
        let mut body = body;
        body["name"] = json!(row.fresh_name());
        let answer = row.post("/conferences", body).await;
        answer.fails(400);
        answer.names_field(field);
    }
}

async fn pin_survives_the_loss_of_its_event(row: &Row<'_>) {
    let (room, call) = (room_with_pin(row, json!({})).await, row.call().await);
    ask_for_pin(row, &room, &call).await;
    let hold = row.hold_call(&call);
    press(row, &call, &format!("{PIN}#")).await;
    hold.until_held("Application: play_and_get_digits").await;
    hold.lose();
    let resync = format!("/admin/nodes/{}/resync", row.node());
    row.running.world.controller.operate(&resync).await;
    joined(row, &room, &call).await;
}

async fn pin_survives_a_restart_of_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let room = room_with_pin(&row, json!({ "pin_tries": 2 })).await;
    let call = row.call().await;
    ask_for_pin(&row, &room, &call).await;
    let first = attempt(&row, &call).await;
    row.world_mut().controller.kill();
    press(&row, &call, "1234#").await;
    row.world_mut().controller.start_again();
    until_asked_again(&row, &call, &first).await;
    press(&row, &call, &format!("{PIN}#")).await;
    joined(&row, &room, &call).await;
}
