//! `GET /api/v1/conferences/{room_id}/members`.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::poll;
use crate::row::{Row, rows};
use crate::shape::{CURSOR, RFC3339_SECONDS, check};

rows! {
    Plain: [
        answers_200_with_the_documented_fields_and_no_other,
        an_empty_room_has_an_empty_list_and_an_empty_cursor,
        muted_follows_mute_and_unmute,
        call_that_left_is_not_listed,
        call_that_hung_up_is_not_listed,
        hangup_triggers_no_resync,
        limit_is_50_when_omitted,
        limit_is_applied,
        limit_400_not_a_positive_integer,
        cursor_400_not_one_of_ours,
        cursor_400_of_another_room,
        cursor_goes_on_while_members_come_and_go,
        room_404_there_is_none,
        room_404_it_belongs_to_another_app,
        is_read_only_and_sends_no_webhooks,
    ]
    Plain, not on a real server because "it takes 1,001 calls, twice as many channels, and the server has other users": [
        limit_is_clamped_to_1000,
    ]
    Own: [
        joining_call_is_not_listed,
    ]
}

async fn page(row: &Row<'_>, room: &str, query: &str) -> (Vec<String>, String) {
    let answer = row
        .get(&format!("/conferences/{room}/members?{query}"))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = answer.body["members"].as_array().unwrap();
    let ids = rows
        .iter()
        .map(|member| member["uuid"].as_str().unwrap().to_owned());
    (ids.collect(), answer.text("cursor"))
}

/// Lets the dialplan bring `n` calls into the room and waits until it has them all.
async fn fill_room(row: &Row<'_>, room: &str, n: usize) {
    let plan = format!("{room}@roomkeeper+flags{{mute}}");
    let calls = stream::iter(0..n)
        .map(|_| row.place_call(&row.app, ("conference", &plan)))
        .buffer_unordered(8);
    calls.collect::<Vec<_>>().await;
    poll::until("all are in the room", poll::TIMEOUT, async || {
        (row.status(room).await.body["members"] == n).then_some(())
    })
    .await;
}

/// Checks that the first page has `first` members, and the next one the rest.
async fn check_page_break(row: &Row<'_>, room: &str, n: usize, query: &str, first: usize) {
    let (mut listed, cursor) = page(row, room, query).await;
    assert_eq!(listed.len(), first);
    check(&json!(cursor), &json!(CURSOR));
    let (rest, end) = page(row, room, &format!("{query}&cursor={cursor}")).await;
    assert_eq!((rest.len(), end.as_str()), (n - first, ""));
    listed.extend(rest);
    assert_eq!(BTreeSet::from_iter(listed).len(), n, "one is listed twice");
}

async fn answers_200_with_the_documented_fields_and_no_other(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    row.members(&room).await.is(
        200,
        json!({
            "room_id": room,
            "members": [
                { "uuid": call.id, "did": call.did, "caller_id": call.caller, "muted": true, "joined_at": RFC3339_SECONDS },
            ],
            "cursor": "",
        }),
    );
}

async fn an_empty_room_has_an_empty_list_and_an_empty_cursor(row: &Row<'_>) {
    let room = row.room().await;
    let empty = json!({ "room_id": room, "members": [], "cursor": "" });
    row.members(&room).await.is(200, empty);
}

async fn muted_follows_mute_and_unmute(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let muted = async || row.members(&room).await.body["members"][0]["muted"].clone();
    assert_eq!(muted().await, true);
    row.command(&call, "unmute", Value::Null).await;
    row.webhook(&room, "conference.member.unmuted").await;
    assert_eq!(muted().await, false);
    row.command(&call, "mute", Value::Null).await;
    row.webhook(&room, "conference.member.muted").await;
    assert_eq!(muted().await, true);
}

async fn joining_call_is_not_listed(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    row.request_join(&call, &room)
        .await
        .is(202, json!({ "status": "joining", "room_id": room }));
    hold.until_held("Action: add-member").await;
    assert!(page(row, &room, "").await.0.is_empty());
    hold.release();
    row.webhook(&room, "conference.member.joined").await;
    assert_eq!(page(row, &room, "").await.0, [call.id]);
}

async fn call_that_left_is_not_listed(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let memberships = row.member(&room).await;
    row.command(&call, "leave", Value::Null).await;
    row.webhook(&room, "conference.member.left").await;
    assert_eq!(page(row, &room, "").await.0, [memberships.id]);
}

async fn call_that_hung_up_is_not_listed(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let memberships = row.member(&room).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    let left = row.webhook(&room, "conference.member.left").await;
    row.check_webhook(&left, &room, Some(&call), json!({ "reason": "hangup" }));
    assert_eq!(page(row, &room, "").await.0, [memberships.id]);
}

/// FreeSWITCH counts a member until it has removed it, and reports the call's end before: no event was lost.
async fn hangup_triggers_no_resync(row: &Row<'_>) {
    // In a world of its own: other rows trigger resyncs.
    let row = row.in_world(row.backend.start_with(row.backend.setup(), None).await);
    let (room, first) = row.room_with_member().await;
    // The first member has the floor, and the second one gets it.
    let second = row.member(&room).await;
    for call in [&first, &second] {
        row.fs(&format!("uuid_kill {}", call.channel)).await;
        row.webhook(&call.id, "call.hangup").await;
    }
    row.nth_webhook(&room, "conference.member.left", 2).await;
    // The call's end is its last event, and a needed resync would be logged by then.
    let deleted = row.delete(&room).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    row.webhook(&room, "conference.destroyed").await;
    let log = row
        .running
        .world
        .controller
        .log_about(|line| line.contains("Conference-Size disagrees"));
    assert_eq!(log, "");
    row.check_webhooks();
}

async fn limit_is_50_when_omitted(row: &Row<'_>) {
    let room = row.room().await;
    fill_room(row, &room, 51).await;
    check_page_break(row, &room, 51, "", 50).await;
}

async fn limit_is_clamped_to_1000(row: &Row<'_>) {
    // In a world of its own: this many members would slow down other rows. No row reads its webhooks.
    let mut setup = row.backend.setup();
    setup.webhooks = false;
    let row = row.in_world(row.backend.start_with(setup, None).await);
    let room = row.room().await;
    fill_room(&row, &room, 1_001).await;
    check_page_break(&row, &room, 1_001, "limit=1001", 1_000).await;
}

async fn limit_is_applied(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.member(&room).await;
    row.member(&room).await;
    check_page_break(row, &room, 3, "limit=2", 2).await;
    // A page that is exactly full is the last one.
    let (listed, cursor) = page(row, &room, "limit=3").await;
    assert_eq!((listed.len(), cursor.as_str()), (3, ""));
}

async fn limit_400_not_a_positive_integer(row: &Row<'_>) {
    let room = row.room().await;
    for bad in ["0", "-1", "+1", "1.5", "x", "", "0x10"] {
        row.get(&format!("/conferences/{room}/members?limit={bad}"))
            .await
            .names_field("limit");
    }
}

async fn cursor_400_not_one_of_ours(row: &Row<'_>) {
    let room = row.room().await;
    for bad in ["x", "0", "AAAA", "%00", &"A".repeat(3_000)] {
        row.get(&format!("/conferences/{room}/members?cursor={bad}"))
            .await
            .names_field("cursor");
    }
}

async fn cursor_400_of_another_room(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.member(&room).await;
    let (_, cursor) = page(row, &room, "limit=1").await;
    let other = row.room().await;
    row.get(&format!("/conferences/{other}/members?cursor={cursor}"))
        .await
        .names_field("cursor");
}

async fn cursor_goes_on_while_members_come_and_go(row: &Row<'_>) {
    let room = row.room().await;
    let mut stayed = Vec::new();
    for _ in 0..5 {
        stayed.push(row.member(&room).await);
    }
    stayed.sort_by(|a, b| a.id.cmp(&b.id));
    let (mut listed, cursor) = page(row, &room, "limit=2").await;
    // A listed member and an unlisted one leave, and a new one joins.
    let mut left = Vec::new();
    for seen in [true, false] {
        let at = stayed
            .iter()
            .position(|call| listed.contains(&call.id) == seen);
        left.push(stayed.remove(at.unwrap()));
    }
    for (n, call) in left.iter().enumerate() {
        row.command(call, "leave", Value::Null).await;
        row.nth_webhook(&room, "conference.member.left", n + 1)
            .await;
    }
    row.member(&room).await;
    let (rest, end) = page(row, &room, &format!("limit=1000&cursor={cursor}")).await;
    assert_eq!(end, "");
    listed.extend(rest);
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(
        unique.len(),
        listed.len(),
        "one is listed twice: {listed:?}"
    );
    for call in stayed {
        assert!(
            unique.contains(&call.id),
            "{} is missing: {listed:?}",
            call.id
        );
    }
    assert!(
        !unique.contains(&left[1].id),
        "a call that left is listed: {listed:?}"
    );
}

async fn room_404_there_is_none(row: &Row<'_>) {
    let path = format!(
        "/conferences/{}-room-{}/members",
        row.node(),
        Uuid::new_v4()
    );
    row.get(&path).await.fails(404);
}

async fn room_404_it_belongs_to_another_app(row: &Row<'_>) {
    let room = row.room_of(row.other()).await;
    let path = format!("/conferences/{room}/members");
    let ours = row.get(&path).await;
    ours.fails(404);
    // With the same text as for a room that does not exist.
    let nowhere = format!(
        "/conferences/{}-room-{}/members",
        row.node(),
        Uuid::new_v4()
    );
    assert_eq!(ours.body, row.get(&nowhere).await.body);
    let theirs = row.ask(row.other(), "GET", &path, None).await;
    theirs.is(200, json!({ "room_id": room, "members": [], "cursor": "" }));
}

async fn is_read_only_and_sends_no_webhooks(row: &Row<'_>) {
    let room = row.room().await;
    for _ in 0..3 {
        row.members(&room).await;
    }
    row.check_only_webhooks(&room, &[]).await;
}
