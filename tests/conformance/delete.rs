//! `DELETE /api/v1/conferences/{room_id}`.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Row, rows};

rows! {
    Plain: [
        answers_200_with_the_room_id_and_nothing_else,
        webhook_conference_destroyed_includes_room_id,
        webhook_comes_at_once_for_an_empty_room,
        kicks_all_members_and_their_calls_are_parked,
        webhook_left_of_every_member_comes_before_destroyed,
        webhook_stopped_of_the_current_operation,
        stops_a_recording,
        its_members_can_join_another_room,
    ]
    Own: [
        webhook_join_failed_of_a_joining_call,
        joining_call_is_leaving_until_freeswitch_has_parked_it,
        webhook_comes_within_10_s_also_when_freeswitch_is_silent,
        everything_about_the_room_is_404_afterwards,
    ]
}

async fn delete_room(row: &Row<'_>, room: &str) {
    row.delete(room).await.is(200, json!({ "room_id": room }));
}

async fn until_freeswitch_has_none(row: &Row<'_>, room: &str) {
    poll::until(
        "FreeSWITCH has no such conference",
        poll::TIMEOUT,
        async || {
            let list = row.fs("conference json_list compact").await;
            (!list.contains(room)).then_some(())
        },
    )
    .await;
}

async fn answers_200_with_the_room_id_and_nothing_else(row: &Row<'_>) {
    let room = row.room().await;
    delete_room(row, &room).await;
}

async fn webhook_conference_destroyed_includes_room_id(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    delete_room(row, &room).await;
    row.check_first_webhook(&room, "conference.destroyed", None, json!({}))
        .await;
}

async fn webhook_comes_at_once_for_an_empty_room(row: &Row<'_>) {
    let room = row.room().await;
    // The webhook does not wait for FreeSWITCH.
    let _hold = row.hold_room(&room);
    row.check_only_webhooks(&room, &[]).await;
}

async fn kicks_all_members_and_their_calls_are_parked(row: &Row<'_>) {
    let (room, first) = row.room_with_member().await;
    let second = row.member(&room).await;
    delete_room(row, &room).await;
    row.webhook(&room, "conference.destroyed").await;
    until_freeswitch_has_none(row, &room).await;
    for call in [first, second] {
        row.until_parked(&call).await;
        assert!(row.exists(&call).await, "the call is still up");
        assert_eq!(row.event_names(&call.id), ["call.new"]);
    }
}

async fn webhook_left_of_every_member_comes_before_destroyed(row: &Row<'_>) {
    let (room, first) = row.room_with_member().await;
    let second = row.member(&room).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.joined",
            "conference.member.left",
            "conference.member.left",
        ],
    )
    .await;
    let mut who = Vec::new();
    for n in [1, 2] {
        let left = row.nth_webhook(&room, "conference.member.left", n).await;
        let session = left.body["session_uuid"].as_str().unwrap();
        let call = [&first, &second]
            .into_iter()
            .find(|call| call.id == session);
        row.check_webhook(&left, &room, call, json!({ "reason": "room_destroyed" }));
        who.push(session.to_owned());
    }
    assert_ne!(who[0], who[1]);
}

async fn webhook_join_failed_of_a_joining_call(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    let body = json!({ "room_id": room, "command_uid": "too-late" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    hold.until_held("Action: add-member").await;
    delete_room(row, &room).await;
    let reason = json!({ "reason": "room_destroyed", "command_uid": "too-late" });
    row.check_first_webhook(&room, "conference.member.join_failed", Some(&call), reason)
        .await;
    hold.release();
    row.webhook(&room, "conference.destroyed").await;
    let story = [
        "conference.created",
        "conference.member.join_failed",
        "conference.destroyed",
    ];
    assert_eq!(row.event_names(&room), story);
    until_freeswitch_has_none(row, &room).await;
    row.until_parked(&call).await;
}

async fn joining_call_is_leaving_until_freeswitch_has_parked_it(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let other = row.room().await;
    let hold = row.hold_room_and_call(&room, &call);
    assert_eq!(row.request_join(&call, &room).await.status, 202);
    hold.until_held("Action: add-member").await;
    delete_room(row, &room).await;
    row.webhook(&room, "conference.member.join_failed").await;
    hold.until_held("Event-Name: CHANNEL_PARK").await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("leaving".to_owned(), Value::Null)
    );
    row.request_join(&call, &other).await.fails(409);
    hold.release();
    // The call is parked again because FreeSWITCH reported it in the room: it is free after the second time, not
    // before.
    row.until_parked(&call).await;
    row.join(&call, &other).await;
    let story = ["conference.created", "conference.member.joined"];
    assert_eq!(row.event_names(&other), story);
}

async fn webhook_stopped_of_the_current_operation(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.play.started",
            "conference.play.stopped",
            "conference.member.left",
        ],
    )
    .await;
    let stopped = row.webhook(&room, "conference.play.stopped").await;
    row.check_webhook(&stopped, &room, None, json!({ "operation_id": operation }));
}

async fn webhook_comes_within_10_s_also_when_freeswitch_is_silent(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let hold = row.hold_room_and_call(&room, &call);
    let begun = Instant::now();
    delete_room(row, &room).await;
    let destroyed = row.webhook(&room, "conference.destroyed").await;
    let took = destroyed.at - begun;
    // A busy machine may be late with the webhook.
    assert!(took < Duration::from_secs(15), "after {took:?}");
    hold.until_held("Action: del-member").await;
    let left = row.webhook(&room, "conference.member.left").await;
    let reason = json!({ "reason": "room_destroyed", "synthesized": true });
    row.check_webhook(&left, &room, Some(&call), reason);
    hold.release();
    row.until_parked(&call).await;
}

async fn stops_a_recording(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    // The file is on the server's disk; most servers used for tests are this machine.
    let file = std::env::temp_dir().join(format!("{room}.wav"));
    let recording = format!("conference {room} recording");
    let reply = row
        .fs(&format!("{recording} start {}", file.display()))
        .await;
    assert!(reply.starts_with("+OK"), "{reply}");
    poll::until("the conference records", poll::TIMEOUT, async || {
        let list = row.fs("conference json_list compact").await;
        let list: Value = serde_json::from_str(&list).ok()?;
        let rooms = list.as_array()?.iter();
        let mut here = rooms.filter(|conference| conference["conference_name"] == room);
        (here.next()?["recording"] == true).then_some(())
    })
    .await;
    delete_room(row, &room).await;
    row.webhook(&room, "conference.destroyed").await;
    // A recording conference exists until the recording ends.
    until_freeswitch_has_none(row, &room).await;
    let reply = row.fs(&format!("{recording} check")).await;
    assert!(reply.contains("not found"), "{reply}");
    // The simulated node writes no files.
    let _ = std::fs::remove_file(file);
}

async fn everything_about_the_room_is_404_afterwards(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let another = row.call().await;
    let all_404 = async || {
        let url = "http://127.0.0.1:1/a.wav";
        row.get(&format!("/conferences/{room}")).await.fails(404);
        row.get(&format!("/conferences/{room}/members"))
            .await
            .fails(404);
        row.control(&room, "play", json!({ "urls": [url] }))
            .await
            .fails(404);
        row.control(&room, "pause", Value::Null).await.fails(404);
        row.control(&room, "stop", Value::Null).await.fails(404);
        row.control(&room, "volume", json!({ "volume": 1 }))
            .await
            .fails(404);
        row.request_join(&another, &room).await.fails(404);
        row.delete(&room).await.fails(404);
    };
    // Immediately: the controller does not know yet that the member has gone.
    let hold = row.hold_room_and_call(&room, &call);
    delete_room(row, &room).await;
    all_404().await;
    assert_eq!(row.count(&room, "conference.destroyed"), 0);
    hold.release();
    row.webhook(&room, "conference.destroyed").await;
    all_404().await;
}

async fn its_members_can_join_another_room(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let next = row.room().await;
    delete_room(row, &room).await;
    row.webhook(&room, "conference.destroyed").await;
    row.until_parked(&call).await;
    row.join(&call, &next).await;
    assert_eq!(
        row.state_and_room(&call).await,
        ("in_room".to_owned(), json!(next))
    );
}
