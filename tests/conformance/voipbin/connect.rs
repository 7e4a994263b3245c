//! `type: connect`: "Designed for exactly 2 participants … Auto-ejects the remaining participant when one leaves, then
//! terminates."

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Row, rows};

rows! {
    Plain: [
        two_speak_with_each_other,
        a_third_409,
        a_third_409_also_while_the_second_is_on_its_way,
        a_third_by_the_dialplan_does_not_come_in,
        when_one_hangs_up_the_other_is_parked_and_it_is_terminated,
        when_one_is_taken_out_the_other_is_parked_and_it_is_terminated,
        when_the_only_one_leaves_it_is_terminated,
        the_gateway_sees_its_members,
    ]
}

async fn made(row: &Row<'_>) -> String {
    row.conference(json!({ "type": "connect" })).await
}

async fn two_speak_with_each_other(row: &Row<'_>) {
    let id = made(row).await;
    let (one, _) = row.inside(&id).await;
    let (two, _) = row.inside(&id).await;
    let room = row.room_of_conference(&id);
    for call in [&one, &two] {
        row.until_speaks(&room, call, Some(true)).await;
    }
    let conference = row.conference_is(&id).await;
    assert_eq!(conference["type"], "connect");
    assert_eq!(conference["status"], "progressing");
    assert_eq!(
        conference["conferencecall_ids"].as_array().unwrap().len(),
        2
    );
}

async fn a_third_409(row: &Row<'_>) {
    let id = made(row).await;
    row.inside(&id).await;
    row.inside(&id).await;
    let third = row.call().await;
    row.enters(&id, &third).await.fails(409);
    // By the other API, too.
    let room = row.room_of_conference(&id);
    row.joins(&third, &room).await.fails(409);
    row.until_parked(&third).await;
}

async fn a_third_409_also_while_the_second_is_on_its_way(row: &Row<'_>) {
    let id = made(row).await;
    row.inside(&id).await;
    let (two, three) = (row.call().await, row.call().await);
    let hold = row.hold_room_and_call(&row.room_of_conference(&id), &two);
    let stay = row.sent(&id, &two).await;
    row.enters(&id, &three).await.fails(409);
    hold.release();
    row.until_call(&stay, "joined").await;
}

async fn a_third_by_the_dialplan_does_not_come_in(row: &Row<'_>) {
    let id = made(row).await;
    let (one, _) = row.inside(&id).await;
    let (two, _) = row.inside(&id).await;
    let room = row.room_of_conference(&id);
    let plan = format!("{room}@roomkeeper-connect");
    let third = row.placed(&row.app, ("conference", &plan)).await;
    poll::until("it was sent away", poll::PATIENCE, async || {
        (!row.exists(&third).await || row.speaks(&room, &third).await.is_none()).then_some(())
    })
    .await;
    for call in [&one, &two] {
        row.until_speaks(&room, call, Some(true)).await;
    }
    let conference = row.conference_is(&id).await;
    assert_eq!(
        conference["conferencecall_ids"].as_array().unwrap().len(),
        2
    );
    assert_eq!(row.count(&room, "conference.member.joined"), 2);
}

async fn when_one_hangs_up_the_other_is_parked_and_it_is_terminated(row: &Row<'_>) {
    let id = made(row).await;
    let (one, first) = row.inside(&id).await;
    let (two, second) = row.inside(&id).await;
    row.fs(&format!("uuid_kill {}", one.channel)).await;
    let over = row.until_conference(&id, "terminated").await;
    assert_eq!(over["conferencecall_ids"], json!([]));
    for stay in [&first, &second] {
        assert_eq!(row.call_is(stay).await["status"], "leaved");
    }
    row.until_parked(&two).await;
    assert!(row.exists(&two).await);
    let room = row.room_of_conference(&id);
    row.told(&room, "conference.destroyed").await;
    row.get(&format!("/conferences/{room}")).await.fails(404);
}

async fn when_one_is_taken_out_the_other_is_parked_and_it_is_terminated(row: &Row<'_>) {
    let id = made(row).await;
    let (one, first) = row.inside(&id).await;
    let (two, second) = row.inside(&id).await;
    row.good("DELETE", &format!("/conferencecalls/{first}"), Value::Null)
        .await;
    row.until_conference(&id, "terminated").await;
    row.until_call(&second, "leaved").await;
    for call in [&one, &two] {
        row.until_parked(call).await;
        assert!(row.exists(call).await);
    }
}

async fn when_the_only_one_leaves_it_is_terminated(row: &Row<'_>) {
    let id = made(row).await;
    let (call, stay) = row.inside(&id).await;
    row.command(&call, "leave", Value::Null).await;
    row.until_call(&stay, "leaved").await;
    row.until_conference(&id, "terminated").await;
    row.until_parked(&call).await;
}

async fn the_gateway_sees_its_members(row: &Row<'_>) {
    let id = made(row).await;
    let (one, _) = row.inside(&id).await;
    let members = row.members(&row.room_of_conference(&id)).await;
    assert_eq!(members.body["members"][0]["uuid"], json!(one.id));
}
