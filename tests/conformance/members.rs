//! `GET /api/v1/conferences/{room_id}/members`.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::poll;
use crate::row::{Row, rows};
use crate::shape::{CURSOR, check};

rows! {
    Plain: [
        answers_200_with_the_documented_fields_and_no_other,
        an_empty_room_has_an_empty_list_and_an_empty_cursor,
        muted_follows_mute_and_unmute,
        who_has_left_is_not_listed,
        who_has_hung_up_is_not_listed,
        who_hangs_up_makes_nobody_look_at_all_calls_anew,
        limit_is_50_when_omitted,
        limit_is_taken,
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
    Unheard: [
        who_is_still_joining_is_not_listed,
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

/// So many calls that the dialplan brings into the room; the room has them all.
async fn crowd(row: &Row<'_>, room: &str, n: usize) {
    let plan = format!("{room}@roomkeeper+flags{{mute}}");
    let calls = stream::iter(0..n)
        .map(|_| row.placed(&row.app, ("conference", &plan)))
        .buffer_unordered(8);
    calls.collect::<Vec<_>>().await;
    poll::until("all are in the room", poll::PATIENCE, async || {
        (row.status(room).await.body["members"] == n).then_some(())
    })
    .await;
}

/// The first page has so many, and the next one the rest.
async fn breaks_at(row: &Row<'_>, room: &str, n: usize, query: &str, first: usize) {
    let (mut listed, cursor) = page(row, room, query).await;
    assert_eq!(listed.len(), first);
    check(&json!(cursor), &json!(CURSOR));
    let (rest, end) = page(row, room, &format!("{query}&cursor={cursor}")).await;
    assert_eq!((rest.len(), end.as_str()), (n - first, ""));
    listed.extend(rest);
    assert_eq!(BTreeSet::from_iter(listed).len(), n, "one is listed twice");
}

async fn answers_200_with_the_documented_fields_and_no_other(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    row.members(&room).await.is(
        200,
        json!({
            "room_id": room,
            "members": [
                { "uuid": call.id, "did": call.did, "caller_id": call.caller, "muted": true },
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
    let (room, call) = row.inhabited().await;
    let muted = async || row.members(&room).await.body["members"][0]["muted"].clone();
    assert_eq!(muted().await, true);
    row.command(&call, "unmute", Value::Null).await;
    row.told(&room, "conference.member.unmuted").await;
    assert_eq!(muted().await, false);
    row.command(&call, "mute", Value::Null).await;
    row.told(&room, "conference.member.muted").await;
    assert_eq!(muted().await, true);
}

async fn who_is_still_joining_is_not_listed(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let hold = row.hold_room(&room);
    row.joins(&call, &room)
        .await
        .is(202, json!({ "status": "joining", "room_id": room }));
    hold.until_held("Action: add-member").await;
    assert!(page(row, &room, "").await.0.is_empty());
    hold.release();
    row.told(&room, "conference.member.joined").await;
    assert_eq!(page(row, &room, "").await.0, [call.id]);
}

async fn who_has_left_is_not_listed(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    let stays = row.member(&room).await;
    row.command(&call, "leave", Value::Null).await;
    row.told(&room, "conference.member.left").await;
    assert_eq!(page(row, &room, "").await.0, [stays.id]);
}

async fn who_has_hung_up_is_not_listed(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    let stays = row.member(&room).await;
    row.fs(&format!("uuid_kill {}", call.channel)).await;
    let left = row.told(&room, "conference.member.left").await;
    row.check_webhook(&left, &room, Some(&call), json!({ "reason": "hangup" }));
    assert_eq!(page(row, &room, "").await.0, [stays.id]);
}

/// FreeSWITCH counts a member until it has taken it out, and tells of the call's end before: nothing was lost.
async fn who_hangs_up_makes_nobody_look_at_all_calls_anew(row: &Row<'_>) {
    // In a world of its own: others do make it look.
    let row = row.elsewhere(row.backend.start_with(row.backend.setup(), None).await);
    let (room, first) = row.inhabited().await;
    // The first has the floor, and the second gets it.
    let second = row.member(&room).await;
    for call in [&first, &second] {
        row.fs(&format!("uuid_kill {}", call.channel)).await;
        row.told(&call.id, "call.hangup").await;
    }
    row.nth(&room, "conference.member.left", 2).await;
    // Its end is the last that is heard of it, and what was to be looked at is said by then.
    let deleted = row.delete(&room).await;
    assert_eq!(deleted.status, 200, "{}", deleted.body);
    row.told(&room, "conference.destroyed").await;
    let log = row
        .running
        .world
        .controller
        .log_about(|line| line.contains("Conference-Size disagrees"));
    assert_eq!(log, "");
    row.check_story();
}

async fn limit_is_50_when_omitted(row: &Row<'_>) {
    let room = row.room().await;
    crowd(row, &room, 51).await;
    breaks_at(row, &room, 51, "", 50).await;
}

async fn limit_is_clamped_to_1000(row: &Row<'_>) {
    // In a world of its own: so many members would slow down the others. Nobody reads its webhooks.
    let mut setup = row.backend.setup();
    setup.webhooks = false;
    let row = row.elsewhere(row.backend.start_with(setup, None).await);
    let room = row.room().await;
    crowd(&row, &room, 1_001).await;
    breaks_at(&row, &room, 1_001, "limit=1001", 1_000).await;
}

async fn limit_is_taken(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    row.member(&room).await;
    row.member(&room).await;
    breaks_at(row, &room, 3, "limit=2", 2).await;
    // A page that is just full is the last one.
    let (listed, cursor) = page(row, &room, "limit=3").await;
    assert_eq!((listed.len(), cursor.as_str()), (3, ""));
}

async fn limit_400_not_a_positive_integer(row: &Row<'_>) {
    let room = row.room().await;
    for bad in ["0", "-1", "+1", "1.5", "x", "", "0x10"] {
        row.get(&format!("/conferences/{room}/members?limit={bad}"))
            .await
            .blames("limit");
    }
}

async fn cursor_400_not_one_of_ours(row: &Row<'_>) {
    let room = row.room().await;
    for bad in ["x", "0", "AAAA", "%00", &"A".repeat(3_000)] {
        row.get(&format!("/conferences/{room}/members?cursor={bad}"))
            .await
            .blames("cursor");
    }
}

async fn cursor_400_of_another_room(row: &Row<'_>) {
    let (room, _) = row.inhabited().await;
    row.member(&room).await;
    let (_, cursor) = page(row, &room, "limit=1").await;
    let other = row.room().await;
    row.get(&format!("/conferences/{other}/members?cursor={cursor}"))
        .await
        .blames("cursor");
}

async fn cursor_goes_on_while_members_come_and_go(row: &Row<'_>) {
    let room = row.room().await;
    let mut stayed = Vec::new();
    for _ in 0..5 {
        stayed.push(row.member(&room).await);
    }
    stayed.sort_by(|a, b| a.id.cmp(&b.id));
    let (mut listed, cursor) = page(row, &room, "limit=2").await;
    // One that was listed and one that was not go, one comes.
    let mut left = Vec::new();
    for seen in [true, false] {
        let at = stayed
            .iter()
            .position(|call| listed.contains(&call.id) == seen);
        left.push(stayed.remove(at.unwrap()));
    }
    for (n, call) in left.iter().enumerate() {
        row.command(call, "leave", Value::Null).await;
        row.nth(&room, "conference.member.left", n + 1).await;
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
    assert!(!unique.contains(&left[1].id), "it had left: {listed:?}");
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
    // In the words of a room that does not exist.
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
    row.told_only(&room, &[]).await;
}
