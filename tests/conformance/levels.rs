//! `volume_in`, `volume_out` and `energy`: at a join, and by `PATCH /api/v1/conferences/{room_id}/members/{uuid}`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        levels_of_a_join_are_in_joined_in_the_members_and_at_freeswitch,
        levels_of_a_later_join_are_not_those_of_the_last_one,
        levels_are_changed_by_patch_and_its_webhook,
        unchanged_level_answers_unchanged,
        levels_400_out_of_range_or_not_whole,
        levels_go_along_with_a_move,
        change_by_another_client_is_reported,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        change_by_another_client_while_no_controller_ran_is_reported,
    ]
}

async fn patch(row: &Row<'_>, room: &str, call: &Call, body: Value) -> Answer {
    let path = format!("/conferences/{room}/members/{}", call.id);
    row.ask(&row.app, "PATCH", &path, Some(&body)).await
}

async fn join_with(row: &Row<'_>, room: &str, call: &Call, settings: Value) {
    let before = row.count(room, "conference.member.joined");
    let mut body = settings;
    body["room_id"] = json!(room);
    let answer = row.command(call, "join", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.nth_webhook(room, "conference.member.joined", before + 1)
        .await;
}

/// Waits until FreeSWITCH lists the member with these levels: `volume_in;volume_out;energy`.
async fn until_listed(row: &Row<'_>, room: &str, channel: &str, levels: &str) {
    poll::until("the levels at FreeSWITCH", poll::TIMEOUT, async || {
        let list = row.fs(&format!("conference {room} list")).await;
        let mut lines = list.lines();
        let line = lines.find(|line| line.contains(channel))?;
        line.trim_end()
            .ends_with(&format!(";{levels}"))
            .then_some(())
    })
    .await;
}

async fn levels_of_a_join_are_in_joined_in_the_members_and_at_freeswitch(row: &Row<'_>) {
    let room = row.room().await;
    let call = row.call().await;
    let levels = json!({ "volume_in": 2, "volume_out": -3, "energy": 300 });
    join_with(row, &room, &call, levels).await;
    let data = json!({
        "caller_id": call.caller, "did": call.did, "muted": true, "conferencecall_id": UUID,
        "volume_in": 2, "volume_out": -3, "energy": 300, "command_uid": UUID,
    });
    row.check_first_webhook(&room, "conference.member.joined", Some(&call), data)
        .await;
    until_listed(row, &room, &call.channel, "2;-3;300").await;
    let members = row.members(&room).await.body["members"].clone();
    let listed = [
        &members[0]["volume_in"],
        &members[0]["volume_out"],
        &members[0]["energy"],
    ];
    assert_eq!(listed, [2, -3, 300]);
}

async fn levels_of_a_later_join_are_not_those_of_the_last_one(row: &Row<'_>) {
    let room = row.room().await;
    let call = row.call().await;
    let levels = json!({ "volume_in": 2, "volume_out": -3, "energy": 300 });
    join_with(row, &room, &call, levels).await;
    let left = row.command(&call, "leave", json!({})).await;
    assert_eq!(left.status, 202, "{}", left.body);
    row.webhook(&room, "conference.member.left").await;
    row.until_parked(&call).await;
    join_with(row, &room, &call, json!({ "volume_out": 1 })).await;
    until_listed(row, &room, &call.channel, "0;1;100").await;
}

async fn levels_are_changed_by_patch_and_its_webhook(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let levels = json!({ "volume_in": -4, "volume_out": 4, "energy": 1800 });
    let zeros = json!({ "volume_in": 0, "volume_out": 0, "energy": 0 });
    for (n, (levels, listed)) in [(levels, "-4;4;1800"), (zeros, "0;0;0")]
        .into_iter()
        .enumerate()
    {
        let mut data = levels;
        data["command_uid"] = json!(format!("v{n}"));
        patch(row, &room, &call, data.clone())
            .await
            .is(202, json!({ "status": "updated" }));
        let updated = row
            .nth_webhook(&room, "conference.member.updated", n + 1)
            .await;
        row.check_webhook(&updated, &room, Some(&call), data);
        until_listed(row, &room, &call.channel, listed).await;
    }
    let members = row.members(&room).await.body["members"].clone();
    assert!(members[0].get("volume_in").is_none());
    assert_eq!(members[0]["energy"], 0);
}

async fn unchanged_level_answers_unchanged(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "volume_in": 0, "volume_out": 0 });
    let answer = patch(row, &room, &call, body).await;
    answer.is(202, json!({ "status": "unchanged" }));
}

async fn levels_400_out_of_range_or_not_whole(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for (field, bad) in [
        ("volume_in", json!(5)),
        ("volume_in", json!("2")),
        ("volume_out", json!(-5)),
        ("volume_out", json!(1.5)),
        ("energy", json!(-1)),
        ("energy", json!(1801)),
        ("energy", json!(9_223_372_036_854_775_807_i64)),
    ] {
        let answer = patch(row, &room, &call, json!({ field: bad })).await;
        answer.names_field(field);
    }
    let other = row.call().await;
    let body = json!({ "room_id": room, "volume_in": 5 });
    row.command(&other, "join", body)
        .await
        .names_field("volume_in");
}

async fn levels_go_along_with_a_move(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let to = row.room().await;
    patch(row, &room, &call, json!({ "volume_in": 3 })).await;
    let path = format!("/conferences/{room}/members/{}/move", call.id);
    let moved = row.post(&path, json!({ "room_id": to })).await;
    assert_eq!(moved.status, 202, "{}", moved.body);
    let joined = row.webhook(&to, "conference.member.joined").await;
    assert_eq!(joined.body["data"]["volume_in"], 3);
    until_listed(row, &to, &call.channel, "3;0;100").await;
}

async fn change_by_another_client_is_reported(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for (n, (command, data)) in [
        ("volume_in", json!({ "volume_in": 4 })),
        ("volume_out", json!({ "volume_out": 4 })),
        ("energy", json!({ "energy": 5000 })),
    ]
    .into_iter()
    .enumerate()
    {
        // FreeSWITCH bounds a volume, and not an energy.
        let change = format!("conference {room} {command} uuid={} 5000", call.channel);
        row.fs(&change).await;
        let updated = row
            .nth_webhook(&room, "conference.member.updated", n + 1)
            .await;
        row.check_webhook(&updated, &room, Some(&call), data);
    }
}

async fn change_by_another_client_while_no_controller_ran_is_reported(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| ()).await;
    let (room, call) = row.room_with_member().await;
    patch(&row, &room, &call, json!({ "energy": 300 })).await;
    row.webhook(&room, "conference.member.updated").await;
    row.world_mut().controller.kill();
    for change in ["volume_in", "energy"] {
        let command = format!("conference {room} {change} uuid={} 1", call.channel);
        row.fs(&command).await;
    }
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    let updated = row.nth_webhook(&room, "conference.member.updated", 2).await;
    let data = json!({ "volume_in": 1, "energy": 1, "synthesized": true });
    row.check_webhook(&updated, &room, Some(&call), data);
}
