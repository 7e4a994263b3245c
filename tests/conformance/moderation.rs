//! Admission to a room: `POST /api/v1/conferences/{room_id}/lock`, `/unlock` and `/members/{session}/kick`.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        lock_answers_202_in_progress_and_freeswitch_has_it_locked,
        unlock_answers_202_in_progress_and_freeswitch_has_it_unlocked,
        lock_webhook_updated_includes_locked_and_the_command_uid,
        lock_again_answers_202_locked_without_a_webhook,
        unlock_of_an_unlocked_conference_answers_202_unlocked_without_a_webhook,
        lock_of_an_empty_conference_holds_at_once,
        lock_holds_when_the_first_member_joins,
        lock_outlives_the_last_member,
        lock_by_another_client_sends_a_webhook,
        lock_404_there_is_no_such_conference,
        lock_403_another_apps_conference,
        join_409_the_conference_is_locked,
        join_goes_on_after_an_unlock,
        members_of_a_locked_conference_stay_and_can_be_muted,
        kick_answers_202_with_status_leaving_and_room_id,
        kick_webhook_member_left_includes_removed_and_the_command_uid,
        kick_leaves_the_call_parked_and_still_up,
        kick_404_the_session_is_not_in_this_conference,
        kick_404_there_is_no_such_conference,
        kick_403_another_apps_conference,
        deaf_and_undeaf_answer_202_and_change_the_flag_in_freeswitch,
        deaf_403_404_409_and_repeated_with_the_same_command_uid,
    ]
    Own: [
        lock_webhook_is_deferred_until_freeswitch_confirms,
        repeated_lock_sends_one_webhook,
        kick_of_a_joining_call_ends_the_join,
        repeated_kick_answers_202_and_sends_one_webhook,
    ]
    Own, not on a real server because "its test calls are dialled by FreeSWITCH, and those a lock does not bind": [
        join_failed_refused_when_freeswitch_has_a_lock_that_was_not_reported,
    ]
}

async fn set(row: &Row<'_>, room: &str, what: &str) -> Answer {
    row.control(room, what, Value::Null).await
}

async fn locks(row: &Row<'_>, room: &str) {
    let before = row.count(room, "conference.updated");
    let answer = set(row, room, "lock").await;
    answer.is(202, json!({ "status": "in_progress" }));
    row.nth_webhook(room, "conference.updated", before + 1)
        .await;
}

async fn kick(row: &Row<'_>, room: &str, call: &Call, body: Value) -> Answer {
    let path = format!("members/{}/kick", call.id);
    row.control(room, &path, body).await
}

/// Returns FreeSWITCH's lock state of the conference; `None` if it has no such conference.
async fn fs_locked(row: &Row<'_>, room: &str) -> Option<bool> {
    let text = row.fs("conference json_list compact").await;
    let list: Value = serde_json::from_str(&text).unwrap_or_default();
    let conference = list
        .as_array()?
        .iter()
        .find(|c| c["conference_name"] == room)?;
    conference["locked"].as_bool()
}

async fn until_fs_has_it(row: &Row<'_>, room: &str, locked: bool) {
    let what = format!("FreeSWITCH has {room} locked: {locked}");
    poll::until(&what, poll::TIMEOUT, async || {
        (fs_locked(row, room).await == Some(locked)).then_some(())
    })
    .await;
}

/// Reads the lock state: the field is present only when the room is locked.
async fn is_locked(row: &Row<'_>, room: &str) -> bool {
    let answer = row.status(room).await;
    let field = answer.body.get("locked");
    assert!(
        field.is_none_or(|locked| *locked == true),
        "{}",
        answer.body
    );
    field.is_some()
}

/// Lets the dialplan bring a call into the room.
async fn place_into(row: &Row<'_>, room: &str) -> Call {
    let plan = format!("{room}@roomkeeper");
    row.place_call(&row.app, ("conference", &plan)).await
}

async fn lock_answers_202_in_progress_and_freeswitch_has_it_locked(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    locks(row, &room).await;
    assert_eq!(fs_locked(row, &room).await, Some(true));
    assert!(is_locked(row, &room).await);
}

async fn unlock_answers_202_in_progress_and_freeswitch_has_it_unlocked(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    locks(row, &room).await;
    let answer = row.control(&room, "unlock", json!({})).await;
    answer.is(202, json!({ "status": "in_progress" }));
    let webhook = row.nth_webhook(&room, "conference.updated", 2).await;
    row.check_webhook(&webhook, &room, None, json!({ "locked": false }));
    assert_eq!(fs_locked(row, &room).await, Some(false));
    assert!(!is_locked(row, &room).await);
}

async fn lock_webhook_updated_includes_locked_and_the_command_uid(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let body = json!({ "command_uid": "lock.1" });
    let answer = row.control(&room, "lock", body).await;
    answer.is(202, json!({ "status": "in_progress" }));
    let data = json!({ "locked": true, "command_uid": "lock.1" });
    row.check_first_webhook(&room, "conference.updated", None, data)
        .await;
}

async fn lock_again_answers_202_locked_without_a_webhook(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    locks(row, &room).await;
    for _ in 0..2 {
        let answer = set(row, &room, "lock").await;
        answer.is(202, json!({ "status": "locked" }));
    }
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.updated",
            "conference.member.left",
        ],
    )
    .await;
}

async fn unlock_of_an_unlocked_conference_answers_202_unlocked_without_a_webhook(row: &Row<'_>) {
    let room = row.room().await;
    let answer = set(row, &room, "unlock").await;
    answer.is(202, json!({ "status": "unlocked" }));
    row.check_only_webhooks(&room, &[]).await;
}

async fn lock_of_an_empty_conference_holds_at_once(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "command_uid": "lock.1" });
    let answer = row.control(&room, "lock", body).await;
    answer.is(202, json!({ "status": "locked" }));
    assert!(is_locked(row, &room).await);
    let data = json!({ "locked": true, "command_uid": "lock.1" });
    row.check_first_webhook(&room, "conference.updated", None, data)
        .await;
    row.request_join(&call, &room).await.fails(409);
    let answer = set(row, &room, "unlock").await;
    answer.is(202, json!({ "status": "unlocked" }));
    row.join(&call, &room).await;
}

async fn lock_holds_when_the_first_member_joins(row: &Row<'_>) {
    let room = row.room().await;
    set(row, &room, "lock").await;
    place_into(row, &room).await;
    row.webhook(&room, "conference.member.joined").await;
    until_fs_has_it(row, &room, true).await;
    // The room was locked already, so no webhook follows.
    let answer = set(row, &room, "lock").await;
    answer.is(202, json!({ "status": "locked" }));
    row.check_only_webhooks(
        &room,
        &[
            "conference.updated",
            "conference.member.joined",
            "conference.member.left",
        ],
    )
    .await;
}

async fn lock_outlives_the_last_member(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    locks(row, &room).await;
    assert_eq!(row.command(&call, "leave", Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    poll::until("FreeSWITCH has no conference", poll::TIMEOUT, async || {
        fs_locked(row, &room).await.is_none().then_some(())
    })
    .await;
    assert!(is_locked(row, &room).await);
    row.request_join(&call, &room).await.fails(409);
}

async fn lock_by_another_client_sends_a_webhook(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let reply = row.fs(&format!("conference {room} lock")).await;
    assert!(reply.contains("locked"), "{reply}");
    row.check_first_webhook(&room, "conference.updated", None, json!({ "locked": true }))
        .await;
    row.fs(&format!("conference {room} unlock")).await;
    let webhook = row.nth_webhook(&room, "conference.updated", 2).await;
    row.check_webhook(&webhook, &room, None, json!({ "locked": false }));
}

async fn lock_404_there_is_no_such_conference(row: &Row<'_>) {
    let room = format!("{}-room-{}", row.node(), Uuid::new_v4());
    for what in ["lock", "unlock"] {
        set(row, &room, what).await.fails(404);
    }
}

async fn lock_403_another_apps_conference(row: &Row<'_>) {
    let room = row.room_of(row.other()).await;
    for what in ["lock", "unlock"] {
        set(row, &room, what).await.fails(403);
    }
}

async fn join_409_the_conference_is_locked(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let call = row.call().await;
    locks(row, &room).await;
    let answer = row.request_join(&call, &room).await;
    answer.fails(409);
    assert_eq!(answer.text("error"), "the conference is locked");
    assert_eq!(
        row.state_and_room(&call).await,
        ("parked".to_owned(), Value::Null)
    );
}

async fn join_goes_on_after_an_unlock(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let call = row.call().await;
    locks(row, &room).await;
    set(row, &room, "unlock").await;
    row.nth_webhook(&room, "conference.updated", 2).await;
    row.join(&call, &room).await;
}

async fn members_of_a_locked_conference_stay_and_can_be_muted(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    locks(row, &room).await;
    let again = row.request_join(&call, &room).await;
    again.is(200, json!({ "status": "already_joined", "room_id": room }));
    let answer = row.command(&call, "unmute", Value::Null).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(&room, "conference.member.unmuted").await;
}

async fn lock_webhook_is_deferred_until_freeswitch_confirms(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let hold = row.hold_room(&room);
    let answer = set(row, &room, "lock").await;
    answer.is(202, json!({ "status": "in_progress" }));
    hold.until_held("Action: lock").await;
    assert!(!is_locked(row, &room).await);
    assert_eq!(row.count(&room, "conference.updated"), 0);
    hold.release();
    row.check_first_webhook(&room, "conference.updated", None, json!({ "locked": true }))
        .await;
    assert!(is_locked(row, &room).await);
}

async fn repeated_lock_sends_one_webhook(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let hold = row.hold_room(&room);
    for _ in 0..2 {
        let answer = set(row, &room, "lock").await;
        answer.is(202, json!({ "status": "in_progress" }));
    }
    hold.until_held("Action: lock").await;
    hold.release();
    row.webhook(&room, "conference.updated").await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.updated",
            "conference.member.left",
        ],
    )
    .await;
}

async fn join_failed_refused_when_freeswitch_has_a_lock_that_was_not_reported(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let call = row.call().await;
    let hold = row.hold_room(&room);
    row.fs(&format!("conference {room} lock")).await;
    hold.until_held("Action: lock").await;
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    let failed = row.webhook(&room, "conference.member.join_failed").await;
    assert_eq!(failed.body["data"]["reason"], "refused", "{}", failed.body);
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
    hold.release();
    row.webhook(&room, "conference.updated").await;
}

async fn kick_answers_202_with_status_leaving_and_room_id(row: &Row<'_>) {
    for body in [Value::Null, json!({})] {
        let (room, call) = row.room_with_member().await;
        let answer = kick(row, &room, &call, body).await;
        answer.is(202, json!({ "status": "leaving", "room_id": room }));
    }
}

async fn kick_webhook_member_left_includes_removed_and_the_command_uid(row: &Row<'_>) {
    for (given, uid) in [(json!({}), UUID), (json!({ "command_uid": "k.1" }), "k.1")] {
        let (room, call) = row.room_with_member().await;
        assert_eq!(kick(row, &room, &call, given).await.status, 202);
        let data = json!({ "reason": "removed", "command_uid": uid });
        row.check_first_webhook(&room, "conference.member.left", Some(&call), data)
            .await;
    }
}

async fn kick_leaves_the_call_parked_and_still_up(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let memberships = row.member(&room).await;
    assert_eq!(kick(row, &room, &call, Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    assert!(row.exists(&call).await);
    let members = row.members(&room).await;
    let members = members.body["members"].as_array().unwrap().clone();
    assert_eq!(members.len(), 1);
    assert_eq!(members[0]["uuid"], memberships.id.as_str());
    // The call can come back.
    row.join(&call, &room).await;
}

async fn kick_404_the_session_is_not_in_this_conference(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let (empty, parked) = (row.room().await, row.call().await);
    for (room, call) in [(&empty, &call), (&room, &parked)] {
        kick(row, room, call, Value::Null).await.fails(404);
    }
    let unknown = format!("members/{}-{}/kick", row.node(), Uuid::new_v4());
    row.control(&room, &unknown, Value::Null).await.fails(404);
    let elsewhere = format!("members/zzzzz-{}/kick", Uuid::new_v4());
    row.control(&room, &elsewhere, Value::Null).await.fails(404);
    // A call that has left.
    assert_eq!(kick(row, &room, &call, Value::Null).await.status, 202);
    row.webhook(&room, "conference.member.left").await;
    kick(row, &room, &call, Value::Null).await.fails(404);
}

async fn kick_404_there_is_no_such_conference(row: &Row<'_>) {
    let call = row.call().await;
    let room = format!("{}-room-{}", row.node(), Uuid::new_v4());
    kick(row, &room, &call, Value::Null).await.fails(404);
}

async fn kick_403_another_apps_conference(row: &Row<'_>) {
    let room = row.room_of(row.other()).await;
    let call = row.call().await;
    kick(row, &room, &call, Value::Null).await.fails(403);
}

async fn kick_of_a_joining_call_ends_the_join(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room_and_call(&room, &call);
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    let answer = kick(row, &room, &call, Value::Null).await;
    answer.is(202, json!({ "status": "leaving", "room_id": room }));
    let failed = row.webhook(&room, "conference.member.join_failed").await;
    assert_eq!(failed.body["data"]["reason"], "removed", "{}", failed.body);
    assert_eq!(
        row.state_and_room(&call).await,
        ("leaving".to_owned(), Value::Null)
    );
    hold.release();
    row.until_parked(&call).await;
    row.until_speaks(&room, &call, None).await;
}

async fn repeated_kick_answers_202_and_sends_one_webhook(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let hold = row.hold_room_and_call(&room, &call);
    for _ in 0..2 {
        let answer = kick(row, &room, &call, Value::Null).await;
        answer.is(202, json!({ "status": "leaving", "room_id": room }));
    }
    hold.until_held("Action: del-member").await;
    hold.release();
    row.webhook(&room, "conference.member.left").await;
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

/// Sends `deaf` or `undeaf` and returns the answer.
async fn set_hear(row: &Row<'_>, room: &str, call: &Call, command: &str, uid: &str) -> Answer {
    let path = format!("members/{}/{command}", call.id);
    row.control(room, &path, json!({ "command_uid": uid }))
        .await
}

async fn deaf_and_undeaf_answer_202_and_change_the_flag_in_freeswitch(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for (command, state, deaf) in [("deaf", "deafened", true), ("undeaf", "undeafened", false)] {
        let answer = set_hear(row, &room, &call, command, command).await;
        answer.is(202, json!({ "status": state, "room_id": room }));
        let event = format!("conference.member.{state}");
        let data = json!({ "command_uid": command });
        row.check_first_webhook(&room, &event, Some(&call), data)
            .await;
        let listed = row.fs("conference json_list compact").await;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let mut rooms = listed.as_array().unwrap().iter();
        let listed = rooms.find(|one| one["conference_name"] == room.as_str());
        let flags = &listed.unwrap()["members"][0]["flags"];
        assert_eq!(flags["can_hear"], !deaf, "{flags}");
        let members = row.members(&room).await.body["members"].clone();
        let shown = members[0].get("deaf").cloned();
        assert_eq!(shown, deaf.then_some(json!(true)), "{members}");
    }
}

async fn deaf_403_404_409_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let theirs = row.room_of(row.other()).await;
    let empty = row.room().await;
    set_hear(row, &theirs, &call, "deaf", "d").await.fails(403);
    set_hear(row, &empty, &call, "deaf", "d").await.fails(404);
    set_hear(row, &room, &call, "undeaf", "u").await.fails(409);
    for _ in 0..2 {
        let answer = set_hear(row, &room, &call, "deaf", "d").await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        row.webhook(&room, "conference.member.deafened").await;
    }
    set_hear(row, &room, &call, "deaf", "e").await.fails(409);
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.deafened",
            "conference.member.left",
        ],
    )
    .await;
}
