//! `type: connect`: "Designed for exactly 2 participants … Auto-ejects the remaining participant when one leaves, then
//! terminates."

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Row, rows};

rows! {
    Plain: [
        two_speak_with_each_other,
        third_call_409,
        third_call_409_while_the_second_still_joins,
        third_call_by_the_dialplan_does_not_join,
        when_one_hangs_up_the_other_is_parked_and_it_is_terminated,
        when_one_is_removed_the_other_is_parked_and_it_is_terminated,
        when_the_only_one_leaves_it_is_terminated,
        gateway_api_lists_its_members,
    ]
}

async fn create_connect(row: &Row<'_>) -> String {
    row.conference(json!({ "type": "connect" })).await
}

async fn two_speak_with_each_other(row: &Row<'_>) {
    let id = create_connect(row).await;
    let (one, _) = row.joined_call(&id).await;
    let (two, _) = row.joined_call(&id).await;
    let room = row.room_of_conference(&id);
    for call in [&one, &two] {
        row.until_speaks(&room, call, Some(true)).await;
    }
    let conference = row.read_conference(&id).await;
    assert_eq!(conference["type"], "connect");
    assert_eq!(conference["status"], "progressing");
    assert_eq!(
        conference["conferencecall_ids"].as_array().unwrap().len(),
        2
    );
}

async fn third_call_409(row: &Row<'_>) {
    let id = create_connect(row).await;
    row.joined_call(&id).await;
    row.joined_call(&id).await;
    let third = row.call().await;
    row.request_entry(&id, &third).await.fails(409);
    // Also through the other API.
    let room = row.room_of_conference(&id);
    row.request_join(&third, &room).await.fails(409);
    row.until_parked(&third).await;
}

async fn third_call_409_while_the_second_still_joins(row: &Row<'_>) {
    let id = create_connect(row).await;
    row.joined_call(&id).await;
    let (two, three) = (row.call().await, row.call().await);
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &two);
    let membership = row.send_in(&id, &two).await;
    row.request_entry(&id, &three).await.fails(409);
    hold.release();
    row.until_conferencecall(&membership, "joined").await;
}

async fn third_call_by_the_dialplan_does_not_join(row: &Row<'_>) {
    let id = create_connect(row).await;
    let (one, _) = row.joined_call(&id).await;
    let (two, _) = row.joined_call(&id).await;
    let room = row.room_of_conference(&id);
    let plan = format!("{room}@roomkeeper-connect");
    let third = row.place_call(&row.app, ("conference", &plan)).await;
    poll::until("the third call was rejected", poll::TIMEOUT, async || {
        (!row.exists(&third).await || row.speaks(&room, &third).await.is_none()).then_some(())
    })
    .await;
    for call in [&one, &two] {
        row.until_speaks(&room, call, Some(true)).await;
    }
    let conference = row.read_conference(&id).await;
    assert_eq!(
        conference["conferencecall_ids"].as_array().unwrap().len(),
        2
    );
    assert_eq!(row.count(&room, "conference.member.joined"), 2);
}

async fn when_one_hangs_up_the_other_is_parked_and_it_is_terminated(row: &Row<'_>) {
    let id = create_connect(row).await;
    let (one, first) = row.joined_call(&id).await;
    let (two, second) = row.joined_call(&id).await;
    row.fs(&format!("uuid_kill {}", one.channel)).await;
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["conferencecall_ids"], json!([]));
    for membership in [&first, &second] {
        assert_eq!(
            row.read_conferencecall(membership).await["status"],
            "leaved"
        );
    }
    row.until_parked(&two).await;
    assert!(row.exists(&two).await);
    let room = row.room_of_conference(&id);
    row.webhook(&room, "conference.destroyed").await;
    row.get(&format!("/conferences/{room}")).await.fails(404);
}

async fn when_one_is_removed_the_other_is_parked_and_it_is_terminated(row: &Row<'_>) {
    let id = create_connect(row).await;
    let (one, first) = row.joined_call(&id).await;
    let (two, second) = row.joined_call(&id).await;
    row.send_ok("DELETE", &format!("/conferencecalls/{first}"), Value::Null)
        .await;
    row.until_conference(&id, "terminated").await;
    row.until_conferencecall(&second, "leaved").await;
    for call in [&one, &two] {
        row.until_parked(call).await;
        assert!(row.exists(call).await);
    }
}

async fn when_the_only_one_leaves_it_is_terminated(row: &Row<'_>) {
    let id = create_connect(row).await;
    let (call, membership) = row.joined_call(&id).await;
    row.command(&call, "leave", Value::Null).await;
    row.until_conferencecall(&membership, "leaved").await;
    row.until_conference(&id, "terminated").await;
    row.until_parked(&call).await;
}

async fn gateway_api_lists_its_members(row: &Row<'_>) {
    let id = create_connect(row).await;
    let (one, _) = row.joined_call(&id).await;
    let members = row.members(&row.room_of_conference(&id)).await;
    assert_eq!(members.body["members"][0]["uuid"], json!(one.id));
}
