//! `role` and `end_on_exit`: at a join, and by `PATCH /api/v1/conferences/{room_id}/members/{uuid}`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        role_of_a_join_is_in_joined_and_in_the_members,
        role_is_changed_by_patch_and_its_webhook,
        role_400_unknown,
        end_on_exit_400_not_a_boolean,
        conference_ends_when_its_host_hangs_up,
        conference_ends_when_its_host_is_kicked,
        end_on_exit_can_be_taken_back,
        move_of_the_host_ends_no_conference,
        conference_of_the_other_api_ends_with_its_host,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        conference_ends_when_its_host_hung_up_while_no_controller_ran,
    ]
}

async fn join_with(row: &Row<'_>, room: &str, settings: Value) -> Call {
    let call = row.call().await;
    let mut body = settings;
    body["room_id"] = json!(room);
    let before = row.count(room, "conference.member.joined");
    let answer = row.command(&call, "join", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.nth_webhook(room, "conference.member.joined", before + 1)
        .await;
    call
}

async fn patch(row: &Row<'_>, room: &str, call: &Call, body: Value) -> Answer {
    let path = format!("/conferences/{room}/members/{}", call.id);
    row.ask(&row.app, "PATCH", &path, Some(&body)).await
}

async fn ends_with_its_host(row: &Row<'_>, room: &str, other: &Call) {
    let destroyed = row.webhook(room, "conference.destroyed").await;
    row.check_webhook(&destroyed, room, None, json!({ "reason": "member_left" }));
    row.until_parked(other).await;
    assert!(row.exists(other).await);
    row.get(&format!("/conferences/{room}")).await.fails(404);
}

async fn role_of_a_join_is_in_joined_and_in_the_members(row: &Row<'_>) {
    let room = row.room().await;
    let call = join_with(
        row,
        &room,
        json!({ "role": "moderator", "end_on_exit": true }),
    )
    .await;
    let data = json!({
        "caller_id": call.caller, "did": call.did, "muted": true, "conferencecall_id": UUID,
        "role": "moderator", "end_on_exit": true, "command_uid": UUID,
    });
    row.check_first_webhook(&room, "conference.member.joined", Some(&call), data)
        .await;
    row.member(&room).await;
    let members = row.members(&room).await.body["members"].clone();
    let members = members.as_array().unwrap();
    let (hosts, others): (Vec<_>, Vec<_>) = members.iter().partition(|m| m["uuid"] == *call.id);
    assert_eq!(hosts[0]["role"], "moderator");
    assert_eq!(hosts[0]["end_on_exit"], true);
    let other = others.first();
    assert!(other.unwrap().get("role").is_none());
}

async fn role_is_changed_by_patch_and_its_webhook(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for (n, role) in ["moderator", "participant"].into_iter().enumerate() {
        let body = json!({ "role": role, "command_uid": format!("r{n}") });
        patch(row, &room, &call, body)
            .await
            .is(202, json!({ "status": "updated" }));
        let updated = row
            .nth_webhook(&room, "conference.member.updated", n + 1)
            .await;
        let data = json!({ "role": role, "command_uid": format!("r{n}") });
        row.check_webhook(&updated, &room, Some(&call), data);
    }
    let again = patch(row, &room, &call, json!({ "role": "participant" })).await;
    again.is(202, json!({ "status": "unchanged" }));
}

async fn role_400_unknown(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for bad in [json!("admin"), json!(true), json!("Moderator")] {
        let answer = patch(row, &room, &call, json!({ "role": bad })).await;
        answer.names_field("role");
    }
}

async fn end_on_exit_400_not_a_boolean(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let answer = patch(row, &room, &call, json!({ "end_on_exit": "yes" })).await;
    answer.names_field("end_on_exit");
}

async fn conference_ends_when_its_host_hangs_up(row: &Row<'_>) {
    let (room, other) = row.room_with_member().await;
    let host = join_with(row, &room, json!({ "end_on_exit": true })).await;
    row.fs(&format!("uuid_kill {}", host.channel)).await;
    ends_with_its_host(row, &room, &other).await;
}

async fn conference_ends_when_its_host_is_kicked(row: &Row<'_>) {
    let (room, host) = row.room_with_member().await;
    let other = row.member(&room).await;
    patch(row, &room, &host, json!({ "end_on_exit": true })).await;
    let path = format!("members/{}/kick", host.id);
    assert_eq!(row.control(&room, &path, json!({})).await.status, 202);
    ends_with_its_host(row, &room, &other).await;
    row.until_parked(&host).await;
}

async fn end_on_exit_can_be_taken_back(row: &Row<'_>) {
    let (room, other) = row.room_with_member().await;
    let host = join_with(row, &room, json!({ "end_on_exit": true })).await;
    patch(row, &room, &host, json!({ "end_on_exit": false })).await;
    row.command(&host, "leave", Value::Null).await;
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&host).await;
    assert_eq!(row.state_and_room(&other).await.0, "in_room");
    assert_eq!(row.status(&room).await.status, 200);
}

async fn move_of_the_host_ends_no_conference(row: &Row<'_>) {
    let (room, other) = row.room_with_member().await;
    let to = row.room().await;
    let host = join_with(row, &room, json!({ "end_on_exit": true })).await;
    let path = format!("members/{}/move", host.id);
    row.control(&room, &path, json!({ "room_id": to })).await;
    row.webhook(&to, "conference.member.joined").await;
    assert_eq!(row.state_and_room(&other).await.0, "in_room");
    // The setting went along.
    row.command(&host, "leave", Value::Null).await;
    let destroyed = row.webhook(&to, "conference.destroyed").await;
    assert_eq!(destroyed.body["data"]["reason"], "member_left");
}

async fn conference_of_the_other_api_ends_with_its_host(row: &Row<'_>) {
    let id = row.conference(json!({})).await;
    let room = row.room_of_conference(&id);
    let (other, _) = row.joined_call(&id).await;
    let host = join_with(
        row,
        &room,
        json!({ "end_on_exit": true, "role": "moderator" }),
    )
    .await;
    row.fs(&format!("uuid_kill {}", host.channel)).await;
    ends_with_its_host(row, &room, &other).await;
    row.until_conference(&id, "terminated").await;
}

async fn conference_ends_when_its_host_hung_up_while_no_controller_ran(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let (room, other) = row.room_with_member().await;
    let host = join_with(&row, &room, json!({ "end_on_exit": true })).await;
    row.world_mut().controller.kill();
    row.fs(&format!("uuid_kill {}", host.channel)).await;
    poll::until("the host is gone", poll::TIMEOUT, async || {
        row.speaks(&room, &host).await.is_none().then_some(())
    })
    .await;
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    ends_with_its_host(&row, &room, &other).await;
    row.check_webhooks();
}
