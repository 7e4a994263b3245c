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
        webhook_stopped_of_what_plays,
        stops_a_recording,
        its_members_can_join_another_room,
    ]
    Unheard: [
        webhook_join_failed_of_who_is_still_joining,
        who_was_still_joining_is_leaving_until_freeswitch_has_parked_it,
        webhook_comes_within_10_s_also_when_freeswitch_is_silent,
        everything_about_the_room_is_404_afterwards,
    ]
}

async fn deleted(row: &Row<'_>, room: &str) {
    row.delete(room).await.is(200, json!({ "room_id": room }));
}

async fn until_freeswitch_has_none(row: &Row<'_>, room: &str) {
    poll::until(
        "FreeSWITCH has no such conference",
        poll::PATIENCE,
        async || {
            let list = row.fs("conference json_list compact").await;
            (!list.contains(room)).then_some(())
        },
    )
    .await;
}

async fn answers_200_with_the_room_id_and_nothing_else(row: &Row<'_>) {
    let room = row.room().await;
    deleted(row, &room).await;
}

async fn webhook_conference_destroyed_includes_room_id(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    deleted(row, &room).await;
    row.told_exactly(&room, "conference.destroyed", None, json!({}))
        .await;
}

async fn webhook_comes_at_once_for_an_empty_room(row: &Row<'_>) {
    let room = row.room().await;
    // Nothing of FreeSWITCH is waited for.
    let _hold = row.hold_room(&room);
    row.told_only(&room, &[]).await;
}

async fn kicks_all_members_and_their_calls_are_parked(row: &Row<'_>) {
    let (room, first) = row.inhabited().await;
    let second = row.member(&room).await;
    deleted(row, &room).await;
    row.told(&room, "conference.destroyed").await;
    until_freeswitch_has_none(row, &room).await;
    for call in [first, second] {
        row.until_parked(&call).await;
        assert!(row.exists(&call).await, "the call is still up");
        assert_eq!(row.story(&call.id), ["call.new"]);
    }
}

async fn webhook_left_of_every_member_comes_before_destroyed(row: &Row<'_>) {
    let (room, first) = row.inhabited().await;
    let second = row.member(&room).await;
    row.told_only(
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
        let left = row.nth(&room, "conference.member.left", n).await;
        let session = left.body["session_uuid"].as_str().unwrap();
        let call = [&first, &second]
            .into_iter()
            .find(|call| call.id == session);
        row.check_webhook(&left, &room, call, json!({ "reason": "room_destroyed" }));
        who.push(session.to_owned());
    }
    assert_ne!(who[0], who[1]);
}

async fn webhook_join_failed_of_who_is_still_joining(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    let body = json!({ "room_id": room, "command_uid": "too-late" });
    assert_eq!(row.command(&call, "join", body).await.status, 202);
    hold.until_held("Action: add-member").await;
    deleted(row, &room).await;
    let reason = json!({ "reason": "room_destroyed", "command_uid": "too-late" });
    row.told_exactly(&room, "conference.member.join_failed", Some(&call), reason)
        .await;
    hold.release();
    row.told(&room, "conference.destroyed").await;
    let story = [
        "conference.created",
        "conference.member.join_failed",
        "conference.destroyed",
    ];
    assert_eq!(row.story(&room), story);
    until_freeswitch_has_none(row, &room).await;
    row.until_parked(&call).await;
}

async fn who_was_still_joining_is_leaving_until_freeswitch_has_parked_it(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let other = row.room().await;
    let hold = row.hold_room_and_call(&room, &call);
    assert_eq!(row.joins(&call, &room).await.status, 202);
    hold.until_held("Action: add-member").await;
    deleted(row, &room).await;
    row.told(&room, "conference.member.join_failed").await;
    hold.until_held("Event-Name: CHANNEL_PARK").await;
    assert_eq!(row.place(&call).await, ("leaving".to_owned(), Value::Null));
    row.joins(&call, &other).await.fails(409);
    hold.release();
    // It was parked once more when it was seen to come in: it is free after the second time, and not before.
    row.until_parked(&call).await;
    row.join(&call, &other).await;
    let story = ["conference.created", "conference.member.joined"];
    assert_eq!(row.story(&other), story);
}

async fn webhook_stopped_of_what_plays(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    let url = row.sound(60_000);
    let operation = row.play(&room, &[&url]).await;
    row.until_plays(&room, Some(&url)).await;
    row.told_only(
        &room,
        &[
            "conference.member.joined",
            "conference.play.started",
            "conference.play.stopped",
            "conference.member.left",
        ],
    )
    .await;
    let stopped = row.told(&room, "conference.play.stopped").await;
    row.check_webhook(&stopped, &room, None, json!({ "operation_id": operation }));
}

async fn webhook_comes_within_10_s_also_when_freeswitch_is_silent(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    let hold = row.hold_room_and_call(&room, &call);
    let begun = Instant::now();
    deleted(row, &room).await;
    let destroyed = row.told(&room, "conference.destroyed").await;
    let took = destroyed.at - begun;
    // A busy machine may be late with the webhook.
    assert!(took < Duration::from_secs(15), "after {took:?}");
    hold.until_held("Action: del-member").await;
    let left = row.told(&room, "conference.member.left").await;
    let reason = json!({ "reason": "room_destroyed", "synthesized": true });
    row.check_webhook(&left, &room, Some(&call), reason);
    hold.release();
    row.until_parked(&call).await;
}

async fn stops_a_recording(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    // On the server's disk; most servers that tests are run on are this machine.
    let file = std::env::temp_dir().join(format!("{room}.wav"));
    let recording = format!("conference {room} recording");
    let said = row
        .fs(&format!("{recording} start {}", file.display()))
        .await;
    assert!(said.starts_with("+OK"), "{said}");
    poll::until("it records", poll::PATIENCE, async || {
        let list = row.fs("conference json_list compact").await;
        let list: Value = serde_json::from_str(&list).ok()?;
        let rooms = list.as_array()?.iter();
        let mut here = rooms.filter(|conference| conference["conference_name"] == room);
        (here.next()?["recording"] == true).then_some(())
    })
    .await;
    deleted(row, &room).await;
    row.told(&room, "conference.destroyed").await;
    // A conference that records is there until the recording ends.
    until_freeswitch_has_none(row, &room).await;
    let said = row.fs(&format!("{recording} check")).await;
    assert!(said.contains("not found"), "{said}");
    // The simulated node writes no files.
    let _ = std::fs::remove_file(file);
}

async fn everything_about_the_room_is_404_afterwards(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
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
        row.joins(&another, &room).await.fails(404);
        row.delete(&room).await.fails(404);
    };
    // At once: it is not heard yet that its member has gone.
    let hold = row.hold_room_and_call(&room, &call);
    deleted(row, &room).await;
    all_404().await;
    assert_eq!(row.count(&room, "conference.destroyed"), 0);
    hold.release();
    row.told(&room, "conference.destroyed").await;
    all_404().await;
}

async fn its_members_can_join_another_room(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    let next = row.room().await;
    deleted(row, &room).await;
    row.told(&room, "conference.destroyed").await;
    row.until_parked(&call).await;
    row.join(&call, &next).await;
    assert_eq!(row.place(&call).await, ("in_room".to_owned(), json!(next)));
}
