//! `wait_for_moderator` and `wait_url` of a conference, `start_on_enter` of a member, and `conference.started`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        members_wait_until_a_moderator_enters,
        started_names_the_moderator_and_comes_once,
        start_on_enter_decides_before_the_role,
        member_that_becomes_a_moderator_starts_the_conference,
        wait_that_is_switched_off_starts_the_conference,
        conference_waits_again_after_its_last_member_has_left,
        wait_url_plays_to_each_waiting_member_until_the_start,
        deaf_and_hold_of_a_waiting_member_apply_after_the_start,
        waiting_member_that_another_client_undeafens_is_silenced_again,
        member_that_moves_into_a_waiting_conference_waits_and_back_hears,
        recording_409_while_the_conference_waits,
        wait_400_wrong_values,
    ]
    Own: [
        start_whose_events_are_lost_is_completed_by_a_snapshot,
    ]
    Plain, not in memory because "a killed controller loses its state": [
        wait_and_start_outlive_the_controller,
    ]
}

/// Creates a conference that waits.
async fn waiting_room(row: &Row<'_>, mut settings: Value) -> String {
    settings["name"] = json!(row.fresh_name());
    settings["node"] = json!(row.node());
    settings["wait_for_moderator"] = json!(true);
    let answer = row.post("/conferences", settings).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let room = answer.text("room_id");
    row.note(&room);
    room
}

async fn join(row: &Row<'_>, room: &str, mut settings: Value) -> Call {
    let call = row.call().await;
    settings["room_id"] = json!(room);
    let before = row.count(room, "conference.member.joined");
    let answer = row.command(&call, "join", settings).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.nth_webhook(room, "conference.member.joined", before + 1)
        .await;
    call
}

async fn moderator(row: &Row<'_>, room: &str) -> Call {
    join(row, room, json!({ "role": "moderator" })).await
}

async fn patch(row: &Row<'_>, path: &str, body: Value) -> Answer {
    row.ask(&row.app, "PATCH", path, Some(&body)).await
}

/// Returns FreeSWITCH's flag of the member.
async fn hears(row: &Row<'_>, room: &str, call: &Call) -> Option<bool> {
    let listed = row.fs("conference json_list compact").await;
    let listed: Value = serde_json::from_str(&listed).ok()?;
    let rooms = listed.as_array()?.iter();
    let mut members = rooms
        .filter(|one| one["conference_name"] == room)
        .flat_map(|one| one["members"].as_array().into_iter().flatten());
    let member = members.find(|one| one["uuid"] == *call.channel)?;
    member["flags"]["can_hear"].as_bool()
}

async fn until_hears(row: &Row<'_>, room: &str, call: &Call, wanted: bool) {
    let what = format!("FreeSWITCH lets the member hear: {wanted}");
    poll::until(&what, poll::TIMEOUT, async || {
        (hears(row, room, call).await == Some(wanted)).then_some(())
    })
    .await;
}

async fn until_plays(row: &Row<'_>, room: &str, call: &Call, url: Option<&str>) {
    let wanted = url.map_or("Nothing is playing", |url| url.rsplit('/').next().unwrap());
    let what = format!("FreeSWITCH reports {wanted}");
    let command = format!("conference {room} play_status uuid={}", call.channel);
    poll::until(&what, poll::TIMEOUT, async || {
        let status = row.fs(&command).await;
        status.contains(wanted).then_some(())
    })
    .await;
}

/// Returns the marks `waiting` of the conference, its row and its members.
async fn marks(row: &Row<'_>, room: &str) -> (Option<bool>, Vec<Option<bool>>) {
    let detail = row.status(room).await.body["waiting"].as_bool();
    let members = row.members(room).await.body["members"].clone();
    let members = members.as_array().unwrap().iter();
    (
        detail,
        members.map(|one| one["waiting"].as_bool()).collect(),
    )
}

async fn members_wait_until_a_moderator_enters(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let first = join(row, &room, json!({ "muted": false })).await;
    let second = join(row, &room, json!({ "muted": false })).await;
    for call in [&first, &second] {
        assert_eq!(hears(row, &room, call).await, Some(false));
    }
    assert_eq!(marks(row, &room).await, (Some(true), vec![Some(true); 2]));
    let members = row.members(&room).await.body["members"].clone();
    assert!(members[0].get("deaf").is_none(), "{members}");
    assert_eq!(members[0]["muted"], false, "{members}");
    let host = moderator(row, &room).await;
    row.webhook(&room, "conference.started").await;
    for call in [&first, &second, &host] {
        until_hears(row, &room, call, true).await;
    }
    assert_eq!(marks(row, &room).await, (None, vec![None; 3]));
    let late = join(row, &room, json!({})).await;
    assert_eq!(hears(row, &room, &late).await, Some(true));
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.joined",
            "conference.member.joined",
            "conference.started",
            "conference.member.joined",
            "conference.member.left",
            "conference.member.left",
            "conference.member.left",
            "conference.member.left",
        ],
    )
    .await;
}

async fn started_names_the_moderator_and_comes_once(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    join(row, &room, json!({})).await;
    let host = moderator(row, &room).await;
    let data = json!({ "started_by": host.id });
    row.check_first_webhook(&room, "conference.started", None, data)
        .await;
    moderator(row, &room).await;
    assert_eq!(row.count(&room, "conference.started"), 1);
}

async fn start_on_enter_decides_before_the_role(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let settings = json!({ "role": "moderator", "start_on_enter": false });
    let waits = join(row, &room, settings).await;
    assert_eq!(hears(row, &room, &waits).await, Some(false));
    let starter = join(row, &room, json!({ "start_on_enter": true })).await;
    let data = json!({ "started_by": starter.id });
    row.check_first_webhook(&room, "conference.started", None, data)
        .await;
    until_hears(row, &room, &waits, true).await;
    let members = row.members(&room).await.body["members"].clone();
    let shown = members.as_array().unwrap().iter();
    let shown: Vec<_> = shown.map(|one| one["start_on_enter"].clone()).collect();
    assert!(shown.contains(&json!(true)) && shown.contains(&json!(false)));
}

async fn member_that_becomes_a_moderator_starts_the_conference(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let call = join(row, &room, json!({})).await;
    let other = join(row, &room, json!({})).await;
    let path = format!("/conferences/{room}/members/{}", call.id);
    let body = json!({ "role": "moderator", "command_uid": "m" });
    patch(row, &path, body)
        .await
        .is(202, json!({ "status": "updated" }));
    let data = json!({ "started_by": call.id, "command_uid": "m" });
    row.check_first_webhook(&room, "conference.started", None, data)
        .await;
    for call in [&call, &other] {
        until_hears(row, &room, call, true).await;
    }
}

async fn wait_that_is_switched_off_starts_the_conference(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let call = join(row, &room, json!({})).await;
    let path = format!("/conferences/{room}");
    let body = json!({ "wait_for_moderator": false, "command_uid": "off" });
    patch(row, &path, body)
        .await
        .is(202, json!({ "status": "updated" }));
    let data = json!({ "command_uid": "off" });
    row.check_first_webhook(&room, "conference.started", None, data)
        .await;
    until_hears(row, &room, &call, true).await;
    // A running conference goes on.
    patch(row, &path, json!({ "wait_for_moderator": true }))
        .await
        .is(202, json!({ "status": "updated" }));
    assert_eq!(marks(row, &room).await, (None, vec![None]));
    assert_eq!(hears(row, &room, &call).await, Some(true));
}

async fn conference_waits_again_after_its_last_member_has_left(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    for n in 1..=2 {
        let call = join(row, &room, json!({})).await;
        assert_eq!(hears(row, &room, &call).await, Some(false));
        let host = moderator(row, &room).await;
        row.nth_webhook(&room, "conference.started", n).await;
        until_hears(row, &room, &call, true).await;
        for (left, call) in [host, call].into_iter().enumerate() {
            row.command(&call, "leave", Value::Null).await;
            let left = 2 * (n - 1) + left + 1;
            row.nth_webhook(&room, "conference.member.left", left).await;
            let waiting = row.status(&room).await.body["waiting"].as_bool();
            assert_eq!(waiting, (left % 2 == 0).then_some(true));
            row.until_parked(&call).await;
        }
    }
}

async fn wait_url_plays_to_each_waiting_member_until_the_start(row: &Row<'_>) {
    let url = row.sound(60_000);
    let room = waiting_room(row, json!({ "wait_url": url })).await;
    let detail = row.status(&room).await;
    assert_eq!(detail.body["wait_url"], json!(url));
    let first = join(row, &room, json!({})).await;
    let second = join(row, &room, json!({})).await;
    for call in [&first, &second] {
        until_plays(row, &room, call, Some(&url)).await;
    }
    let other = row.sound(50_000);
    let body = json!({ "wait_url": other });
    patch(row, &format!("/conferences/{room}"), body)
        .await
        .is(202, json!({ "status": "updated" }));
    until_plays(row, &room, &first, Some(&other)).await;
    moderator(row, &room).await;
    for call in [&first, &second] {
        until_plays(row, &room, call, None).await;
        until_hears(row, &room, call, true).await;
    }
}

async fn deaf_and_hold_of_a_waiting_member_apply_after_the_start(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let deaf = join(row, &room, json!({})).await;
    let held = join(row, &room, json!({})).await;
    for (call, command, event) in [
        (&deaf, "deaf", "conference.member.deafened"),
        (&held, "hold", "conference.member.held"),
    ] {
        let path = format!("members/{}/{command}", call.id);
        let answer = row.control(&room, &path, json!({})).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        row.webhook(&room, event).await;
    }
    let free = join(row, &room, json!({})).await;
    moderator(row, &room).await;
    until_hears(row, &room, &free, true).await;
    assert_eq!(hears(row, &room, &deaf).await, Some(false));
    assert_eq!(hears(row, &room, &held).await, Some(false));
    for (call, command) in [(&deaf, "undeaf"), (&held, "unhold")] {
        let path = format!("members/{}/{command}", call.id);
        row.control(&room, &path, json!({})).await;
        until_hears(row, &room, call, true).await;
    }
}

async fn waiting_member_that_another_client_undeafens_is_silenced_again(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let call = join(row, &room, json!({})).await;
    let before = row.hold_room(&room);
    row.fs(&format!("conference {room} undeaf uuid={}", call.channel))
        .await;
    before.until_held("Action: undeaf-member").await;
    let after = row.hold_room(&room);
    before.release();
    after.until_held("Action: deaf-member").await;
    after.release();
    until_hears(row, &room, &call, false).await;
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn member_that_moves_into_a_waiting_conference_waits_and_back_hears(row: &Row<'_>) {
    let (from, call) = row.room_with_member().await;
    row.member(&from).await;
    let to = waiting_room(row, json!({})).await;
    let path = format!("members/{}/move", call.id);
    row.control(&from, &path, json!({ "room_id": to })).await;
    row.webhook(&to, "conference.member.joined").await;
    assert_eq!(hears(row, &to, &call).await, Some(false));
    row.control(&to, &path, json!({ "room_id": from })).await;
    row.nth_webhook(&from, "conference.member.joined", 3).await;
    assert_eq!(hears(row, &from, &call).await, Some(true));
    assert_eq!(row.count(&from, "conference.member.deafened"), 0);
}

async fn recording_409_while_the_conference_waits(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    join(row, &room, json!({})).await;
    row.control(&room, "recording/start", json!({}))
        .await
        .fails(409);
    moderator(row, &room).await;
    row.webhook(&room, "conference.started").await;
    let answer = row.control(&room, "recording/start", json!({})).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    row.webhook(&room, "conference.recording.started").await;
}

async fn wait_400_wrong_values(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let call = join(row, &room, json!({})).await;
    let path = format!("/conferences/{room}");
    patch(row, &path, json!({ "wait_for_moderator": "yes" }))
        .await
        .names_field("wait_for_moderator");
    for bad in [
        json!(7),
        json!(true),
        json!("/etc/passwd"),
        json!("shell_stream:///bin/ls"),
        json!("{loops=1}http://127.0.0.1/a.wav"),
    ] {
        patch(row, &path, json!({ "wait_url": bad }))
            .await
            .names_field("wait_url");
    }
    let path = format!("/conferences/{room}/members/{}", call.id);
    patch(row, &path, json!({ "start_on_enter": 1 }))
        .await
        .names_field("start_on_enter");
}

async fn start_whose_events_are_lost_is_completed_by_a_snapshot(row: &Row<'_>) {
    let room = waiting_room(row, json!({})).await;
    let call = join(row, &room, json!({})).await;
    let events = row.hold_room(&room);
    let host = row.call().await;
    let body = json!({ "room_id": room, "role": "moderator" });
    row.command(&host, "join", body).await;
    events.until_held("Action: add-member").await;
    events.lose();
    let path = format!("/admin/nodes/{}/resync", row.node());
    let answer = row.running.world.controller.operate(&path).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let started = row.webhook(&room, "conference.started").await;
    let data = json!({ "started_by": host.id, "synthesized": true });
    row.check_webhook(&started, &room, None, data);
    until_hears(row, &room, &call, true).await;
}

async fn wait_and_start_outlive_the_controller(row: &Row<'_>) {
    let mut row = row.in_own_world(|_| {}).await;
    let room = waiting_room(&row, json!({})).await;
    let call = join(&row, &room, json!({})).await;
    for _ in 0..2 {
        row.world_mut().controller.kill();
        row.world_mut().controller.start_again();
        row.running.world.controller.until_synced().await;
        assert_eq!(hears(&row, &room, &call).await, Some(false));
    }
    moderator(&row, &room).await;
    until_hears(&row, &room, &call, true).await;
    row.world_mut().controller.kill();
    row.world_mut().controller.start_again();
    row.running.world.controller.until_synced().await;
    assert_eq!(marks(&row, &room).await, (None, vec![None; 2]));
    row.check_webhooks();
}
