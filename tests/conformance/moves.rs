//! `POST /api/v1/conferences/{room_id}/members/{uuid}/move`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        move_answers_202_and_freeswitch_has_the_member_in_the_other_room,
        webhooks_left_and_joined_name_both_rooms_and_the_command,
        member_stays_unmuted_and_deaf_members_stay_deaf,
        muted_true_mutes_and_muted_false_unmutes,
        muted_400_not_a_boolean,
        room_id_400_missing,
        room_id_404_there_is_none,
        room_id_403_it_belongs_to_another_app,
        member_404_it_is_in_another_room,
        move_409_into_the_same_room,
        move_409_into_a_locked_room,
        move_409_into_a_full_room,
        move_409_while_the_member_is_leaving,
        same_command_uid_moves_once,
        member_moves_there_and_back_100_times,
        last_member_of_a_room_moves_and_the_room_stays,
        member_moves_out_of_a_connect_room_which_ends,
        member_that_the_new_room_refuses_returns,
        member_returns_to_a_locked_room,
        member_that_hangs_up_during_its_move_leaves_both_rooms,
        deletion_of_the_old_room_does_not_stop_a_move,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        restart_of_the_controller_does_not_stop_a_move,
    ]
    Own: [
        move_whose_events_are_lost_is_found_by_a_snapshot,
    ]
    Fleet: [
        move_409_to_a_room_on_another_node,
    ]
}

async fn send(row: &Row<'_>, from: &str, call: &Call, body: Value) -> Answer {
    let path = format!("members/{}/move", call.id);
    row.control(from, &path, body).await
}

async fn moves(row: &Row<'_>, from: &str, call: &Call, to: &str) {
    let answer = send(row, from, call, json!({ "room_id": to })).await;
    answer.is(202, json!({ "status": "moving", "room_id": to }));
}

async fn until_in(row: &Row<'_>, call: &Call, room: &str) {
    let what = format!("{} is in {room}", call.id);
    poll::until(&what, poll::TIMEOUT, async || {
        let place = row.state_and_room(call).await;
        (place == ("in_room".to_owned(), json!(room))).then_some(())
    })
    .await;
}

/// Creates two rooms, the first with an unmuted member.
async fn two_rooms(row: &Row<'_>) -> (String, String, Call) {
    let (from, to, call) = (row.room().await, row.room().await, row.call().await);
    let body = json!({ "room_id": from, "muted": false });
    let answer = row.command(&call, "join", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(&from, "conference.member.joined").await;
    (from, to, call)
}

async fn move_answers_202_and_freeswitch_has_the_member_in_the_other_room(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    moves(row, &from, &call, &to).await;
    row.until_speaks(&to, &call, Some(true)).await;
    until_in(row, &call, &to).await;
    assert_eq!(row.speaks(&from, &call).await, None);
    assert_eq!(row.members(&from).await.body["members"], json!([]));
    assert_eq!(
        row.members(&to).await.body["members"][0]["uuid"],
        json!(call.id)
    );
}

async fn webhooks_left_and_joined_name_both_rooms_and_the_command(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let body = json!({ "room_id": to, "command_uid": "move.1" });
    send(row, &from, &call, body).await;
    let left = json!({ "reason": "moved", "to": to, "command_uid": "move.1" });
    row.check_first_webhook(&from, "conference.member.left", Some(&call), left)
        .await;
    let joined = json!({
        "caller_id": call.caller,
        "did": call.did,
        "muted": false,
        "conferencecall_id": UUID,
        "from": from,
        "command_uid": "move.1",
    });
    row.check_first_webhook(&to, "conference.member.joined", Some(&call), joined)
        .await;
}

async fn member_stays_unmuted_and_deaf_members_stay_deaf(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let path = format!("members/{}/deaf", call.id);
    row.control(&from, &path, json!({})).await;
    row.webhook(&from, "conference.member.deafened").await;
    moves(row, &from, &call, &to).await;
    row.webhook(&to, "conference.member.deafened").await;
    let members = row.members(&to).await.body;
    let member = &members["members"][0];
    assert_eq!(
        (&member["muted"], &member["deaf"]),
        (&json!(false), &json!(true))
    );
}

async fn muted_true_mutes_and_muted_false_unmutes(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    for (from, to, muted) in [(&from, &to, true), (&to, &from, false)] {
        let body = json!({ "room_id": to, "muted": muted });
        send(row, from, &call, body).await;
        row.until_speaks(to, &call, Some(!muted)).await;
        until_in(row, &call, to).await;
    }
}

async fn muted_400_not_a_boolean(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let body = json!({ "room_id": to, "muted": "no" });
    send(row, &from, &call, body).await.names_field("muted");
}

async fn room_id_400_missing(row: &Row<'_>) {
    let (from, _, call) = two_rooms(row).await;
    let answer = send(row, &from, &call, json!({})).await;
    answer.names_field("room_id");
}

async fn room_id_404_there_is_none(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    row.delete(&to).await;
    let answer = send(row, &from, &call, json!({ "room_id": to })).await;
    answer.fails(404);
}

async fn room_id_403_it_belongs_to_another_app(row: &Row<'_>) {
    let (from, _, call) = two_rooms(row).await;
    let theirs = row.room_of(&row.other().clone()).await;
    let answer = send(row, &from, &call, json!({ "room_id": theirs })).await;
    answer.fails(403);
    until_in(row, &call, &from).await;
}

async fn member_404_it_is_in_another_room(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let answer = send(row, &to, &call, json!({ "room_id": from })).await;
    answer.fails(404);
}

async fn move_409_into_the_same_room(row: &Row<'_>) {
    let (from, _, call) = two_rooms(row).await;
    let answer = send(row, &from, &call, json!({ "room_id": from })).await;
    answer.fails(409);
}

async fn move_409_into_a_locked_room(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    row.control(&to, "lock", json!({})).await;
    let answer = send(row, &from, &call, json!({ "room_id": to })).await;
    answer.fails(409);
    until_in(row, &call, &from).await;
}

async fn move_409_into_a_full_room(row: &Row<'_>) {
    let id = row.conference(json!({ "type": "connect" })).await;
    row.joined_call(&id).await;
    row.joined_call(&id).await;
    let (from, _, call) = two_rooms(row).await;
    let to = row.room_of_conference(&id);
    let answer = send(row, &from, &call, json!({ "room_id": to })).await;
    answer.fails(409);
}

async fn move_409_while_the_member_is_leaving(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let hold = row.hold_room_and_call(&from, &call);
    row.command(&call, "leave", Value::Null).await;
    let answer = send(row, &from, &call, json!({ "room_id": to })).await;
    answer.fails(409);
    hold.release();
    row.until_parked(&call).await;
}

async fn same_command_uid_moves_once(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let body = json!({ "room_id": to, "command_uid": "move.1" });
    for _ in 0..2 {
        let answer = send(row, &from, &call, body.clone()).await;
        answer.is(202, json!({ "status": "moving", "room_id": to }));
    }
    until_in(row, &call, &to).await;
    assert_eq!(row.count(&to, "conference.member.joined"), 1);
}

/// FreeSWITCH hangs a call up after 70 transfers, unless each plan resets the number.
async fn member_moves_there_and_back_100_times(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    for _ in 0..50 {
        for (from, to) in [(&from, &to), (&to, &from)] {
            moves(row, from, &call, to).await;
            until_in(row, &call, to).await;
        }
    }
    assert!(row.exists(&call).await);
}

async fn last_member_of_a_room_moves_and_the_room_stays(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    moves(row, &from, &call, &to).await;
    until_in(row, &call, &to).await;
    row.member(&from).await;
    row.check_only_webhooks(
        &from,
        &[
            "conference.member.joined",
            "conference.member.left",
            "conference.member.joined",
            "conference.member.left",
        ],
    )
    .await;
}

async fn member_moves_out_of_a_connect_room_which_ends(row: &Row<'_>) {
    let id = row.conference(json!({ "type": "connect" })).await;
    let (one, _) = row.joined_call(&id).await;
    let (two, _) = row.joined_call(&id).await;
    let (from, to) = (row.room_of_conference(&id), row.room().await);
    moves(row, &from, &one, &to).await;
    until_in(row, &one, &to).await;
    row.until_parked(&two).await;
    row.until_conference(&id, "terminated").await;
}

/// Makes FreeSWITCH refuse further members of a room with one, which the controller does not know.
async fn fill(row: &Row<'_>, room: &str) {
    row.member(room).await;
    row.fs(&format!("conference {room} set max_members 1"))
        .await;
}

async fn member_that_the_new_room_refuses_returns(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    fill(row, &to).await;
    moves(row, &from, &call, &to).await;
    let left = row.webhook(&from, "conference.member.left").await;
    assert_eq!(left.body["data"]["to"], json!(to));
    let failed = row.webhook(&from, "conference.member.move_failed").await;
    let data = json!({ "reason": "refused", "to": to, "command_uid": UUID });
    row.check_webhook(&failed, &from, Some(&call), data);
    row.nth_webhook(&from, "conference.member.joined", 2).await;
    until_in(row, &call, &from).await;
    assert_eq!(row.speaks(&from, &call).await, Some(true));
    row.webhook(&to, "conference.member.join_failed").await;
}

async fn member_returns_to_a_locked_room(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    row.member(&from).await;
    row.control(&from, "lock", json!({})).await;
    row.webhook(&from, "conference.updated").await;
    fill(row, &to).await;
    moves(row, &from, &call, &to).await;
    row.nth_webhook(&from, "conference.member.joined", 3).await;
    until_in(row, &call, &from).await;
}

async fn member_that_hangs_up_during_its_move_leaves_both_rooms(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let holds = [row.hold_room_and_call(&from, &call), row.hold_room(&to)];
    moves(row, &from, &call, &to).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    for hold in holds {
        hold.release();
    }
    row.webhook(&call.id, "call.hangup").await;
    row.webhook(&from, "conference.member.left").await;
    for room in [&from, &to] {
        assert_eq!(row.members(room).await.body["members"], json!([]));
    }
}

async fn deletion_of_the_old_room_does_not_stop_a_move(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let hold = row.hold_room_and_call(&from, &call);
    moves(row, &from, &call, &to).await;
    assert_eq!(row.delete(&from).await.status, 200);
    hold.release();
    until_in(row, &call, &to).await;
    row.webhook(&from, "conference.destroyed").await;
    assert_eq!(row.speaks(&to, &call).await, Some(true));
}

async fn restart_of_the_controller_does_not_stop_a_move(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (from, to, call) = two_rooms(&row).await;
    let holds = [row.hold_room_and_call(&from, &call), row.hold_room(&to)];
    moves(&row, &from, &call, &to).await;
    holds[0].until_held("Action: add-member").await;
    row.world_mut().controller.kill();
    drop(holds);
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    until_in(&row, &call, &to).await;
    let joined = row.webhook(&to, "conference.member.joined").await;
    assert_eq!(joined.body["data"]["from"], json!(from));
    let left = row.webhook(&from, "conference.member.left").await;
    assert_eq!(left.body["data"]["to"], json!(to));
    row.check_webhooks();
}

/// Makes the controller compare its state with FreeSWITCH.
async fn resync(row: &Row<'_>) {
    let path = format!("/admin/nodes/{}/resync", row.node());
    let answer = row.running.world.controller.operate(&path).await;
    assert!(answer.status < 300, "{}", answer.body);
}

async fn move_whose_events_are_lost_is_found_by_a_snapshot(row: &Row<'_>) {
    let (from, to, call) = two_rooms(row).await;
    let holds = [row.hold_room_and_call(&from, &call), row.hold_room(&to)];
    moves(row, &from, &call, &to).await;
    holds[0].until_held("Action: add-member").await;
    resync(row).await;
    until_in(row, &call, &to).await;
    let joined = row.webhook(&to, "conference.member.joined").await;
    assert_eq!(joined.body["data"]["synthesized"], true);
    row.webhook(&from, "conference.member.left").await;
    // The events arrive late and change nothing.
    drop(holds);
    row.command(&call, "mute", Value::Null).await;
    row.webhook(&to, "conference.member.muted").await;
    assert_eq!(row.count(&to, "conference.member.joined"), 1);
    assert_eq!(row.count(&from, "conference.member.left"), 1);
}

async fn move_409_to_a_room_on_another_node(row: &Row<'_>) {
    let (from, _, call) = two_rooms(row).await;
    let body = json!({ "name": row.fresh_name(), "node": crate::backend::SECOND });
    let created = row.post("/conferences", body).await;
    let to = created.text("room_id");
    let answer = send(row, &from, &call, json!({ "room_id": to })).await;
    answer.fails(409);
}
