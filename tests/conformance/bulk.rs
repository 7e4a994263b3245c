//! Many commands in one request: `POST /api/v1/conferences/{room_id}/mute`, `/unmute`, `/hangup` and `/commands`.

use serde_json::{Value, json};

use crate::program::poll;
use crate::row::{Call, Row, rows};

rows! {
    Plain: [
        unmute_and_mute_of_all_change_each_member_but_those_left_out,
        mute_and_hangup_of_all_leave_out_moderators,
        hangup_of_all_ends_each_call_and_the_conference_stays,
        commands_answer_207_with_one_result_each,
        members_are_filtered_by_muted_and_label_and_sorted_by_time,
    ]
}

async fn three(row: &Row<'_>) -> (String, [Call; 3]) {
    let room = row.room().await;
    let calls = [
        row.member(&room).await,
        row.member(&room).await,
        row.member(&room).await,
    ];
    (room, calls)
}

async fn unmute_and_mute_of_all_change_each_member_but_those_left_out(row: &Row<'_>) {
    let (room, calls) = three(row).await;
    let body = json!({ "except": [calls[0].id], "command_uid": "u" });
    for _ in 0..2 {
        let answer = row.control(&room, "unmute", body.clone()).await;
        answer.is(202, json!({ "accepted": 2, "unchanged": 0, "failed": [] }));
    }
    for n in 1..=2 {
        let unmuted = row.nth_webhook(&room, "conference.member.unmuted", n).await;
        assert_eq!(unmuted.body["data"]["command_uid"], "u");
    }
    for (call, speaks) in calls.iter().zip([false, true, true]) {
        row.until_speaks(&room, call, Some(speaks)).await;
    }
    let answer = row.control(&room, "mute", Value::Null).await;
    answer.is(202, json!({ "accepted": 2, "unchanged": 1, "failed": [] }));
    row.nth_webhook(&room, "conference.member.muted", 2).await;
    for call in &calls {
        row.until_speaks(&room, call, Some(false)).await;
    }
    row.control(&room_of_nobody(row), "mute", Value::Null)
        .await
        .fails(404);
    let theirs = row.room_of(row.other()).await;
    row.control(&theirs, "mute", Value::Null).await.fails(403);
}

async fn mute_and_hangup_of_all_leave_out_moderators(row: &Row<'_>) {
    let (room, calls) = three(row).await;
    let answer = row.control(&room, "unmute", Value::Null).await;
    answer.is(202, json!({ "accepted": 3, "unchanged": 0, "failed": [] }));
    row.nth_webhook(&room, "conference.member.unmuted", 3).await;
    let path = format!("/conferences/{room}/members/{}", calls[0].id);
    let role = json!({ "role": "moderator" });
    row.ask(&row.app, "PATCH", &path, Some(&role)).await;
    let body = json!({ "except_moderators": true });
    for (what, event) in [
        ("mute", "conference.member.muted"),
        ("hangup", "conference.member.left"),
    ] {
        let answer = row.control(&room, what, body.clone()).await;
        answer.is(202, json!({ "accepted": 2, "unchanged": 0, "failed": [] }));
        row.nth_webhook(&room, event, 2).await;
        row.until_speaks(&room, &calls[0], Some(true)).await;
    }
    let bad = json!({ "except_moderators": 1 });
    let answer = row.control(&room, "mute", bad).await;
    answer.names_field("except_moderators");
}

fn room_of_nobody(row: &Row<'_>) -> String {
    format!("{}-room-{}", row.node(), uuid::Uuid::new_v4())
}

async fn hangup_of_all_ends_each_call_and_the_conference_stays(row: &Row<'_>) {
    let (room, calls) = three(row).await;
    let body = json!({ "except": [calls[0].id] });
    let answer = row.control(&room, "hangup", body).await;
    answer.is(202, json!({ "accepted": 2, "unchanged": 0, "failed": [] }));
    for call in &calls[1..] {
        row.webhook(&call.id, "call.hangup").await;
        poll::until("the call is over", poll::TIMEOUT, async || {
            (!row.exists(call).await).then_some(())
        })
        .await;
    }
    assert!(row.exists(&calls[0]).await);
    let members = row.members(&room).await.body["members"].clone();
    assert_eq!(members.as_array().unwrap().len(), 1, "{members}");
}

async fn commands_answer_207_with_one_result_each(row: &Row<'_>) {
    let (room, calls) = three(row).await;
    let commands = json!({ "commands": [
        { "command": "unmute", "session": calls[0].id, "command_uid": "a" },
        { "command": "unmute", "session": calls[1].id, "command_uid": "b" },
        { "command": "unmute", "session": calls[1].id, "command_uid": "b" },
        { "command": "undeaf", "session": calls[2].id },
        { "command": "update", "session": calls[2].id, "labels": { "seat": "3" } },
        { "command": "lock" },
        { "command": "nonsense" },
    ] });
    let answer = row.control(&room, "commands", commands).await;
    assert_eq!(answer.status, 207, "{}", answer.body);
    let results = answer.body["results"].as_array().unwrap();
    let statuses: Vec<_> = results
        .iter()
        .map(|r| r["status"].as_u64().unwrap())
        .collect();
    assert_eq!(
        statuses,
        [202, 202, 202, 409, 202, 202, 400],
        "{}",
        answer.body
    );
    assert_eq!(
        results[0]["body"],
        json!({ "status": "unmuted", "room_id": room })
    );
    assert_eq!(results[3]["body"]["success"], false);
    row.nth_webhook(&room, "conference.member.unmuted", 2).await;
    row.webhook(&room, "conference.member.updated").await;
    row.webhook(&room, "conference.updated").await;
    row.until_speaks(&room, &calls[1], Some(true)).await;
    assert_eq!(row.count(&room, "conference.member.unmuted"), 2);
}

async fn members_are_filtered_by_muted_and_label_and_sorted_by_time(row: &Row<'_>) {
    let (room, calls) = three(row).await;
    let path = format!("/conferences/{room}/members/{}", calls[1].id);
    let body = json!({ "labels": { "team": "b" } });
    row.ask(&row.app, "PATCH", &path, Some(&body))
        .await
        .is(202, json!({ "status": "updated" }));
    row.command(&calls[2], "unmute", Value::Null).await;
    row.webhook(&room, "conference.member.unmuted").await;
    let listed = async |query: &str| -> Vec<String> {
        let answer = row
            .get(&format!("/conferences/{room}/members?{query}"))
            .await;
        let rows = answer.body["members"].as_array().unwrap().iter();
        rows.map(|row| row["uuid"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(listed("label.team=b").await, [calls[1].id.clone()]);
    assert_eq!(listed("muted=false").await, [calls[2].id.clone()]);
    let all: Vec<_> = calls.iter().map(|call| call.id.clone()).collect();
    assert_eq!(listed("sort=joined_at").await, all);
}
