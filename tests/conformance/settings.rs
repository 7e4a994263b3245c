//! Settings: `PATCH /api/v1/conferences/{room_id}` and `/members/{session}`, and those of a join and a creation.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::row::{Call, Row, rows};
use crate::shape::UUID;

rows! {
    Plain: [
        labels_of_a_new_conference_are_in_its_rows,
        labels_of_a_join_are_in_joined_and_in_the_members,
        update_of_a_member_answers_202_and_its_webhook_has_the_labels,
        update_of_a_member_without_a_change_answers_unchanged_without_a_webhook,
        update_of_a_conference_answers_202_and_its_webhook_has_the_labels,
        update_403_404_409_and_repeated_with_the_same_command_uid,
    ]
}

async fn patch_room(row: &Row<'_>, room: &str, body: Value) -> Answer {
    let path = format!("/conferences/{room}");
    row.ask(&row.app, "PATCH", &path, Some(&body)).await
}

async fn patch_member(row: &Row<'_>, room: &str, call: &Call, body: Value) -> Answer {
    let path = format!("/conferences/{room}/members/{}", call.id);
    row.ask(&row.app, "PATCH", &path, Some(&body)).await
}

fn updated() -> Value {
    json!({ "status": "updated" })
}

async fn labels_of_a_new_conference_are_in_its_rows(row: &Row<'_>) {
    let name = row.fresh_name();
    let body = json!({ "name": name, "node": row.node(), "labels": { "team": "sales" } });
    let answer = row.post("/conferences", body).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let room = answer.text("room_id");
    row.note(&room);
    let detail = row.status(&room).await;
    assert_eq!(detail.body["labels"], json!({ "team": "sales" }));
}

async fn labels_of_a_join_are_in_joined_and_in_the_members(row: &Row<'_>) {
    let (room, call) = (row.room().await, row.call().await);
    let body = json!({ "room_id": room, "labels": { "seat": "12" }, "command_uid": "j" });
    let answer = row.command(&call, "join", body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let data = json!({
        "caller_id": call.caller, "did": call.did, "muted": true, "conferencecall_id": UUID,
        "labels": { "seat": "12" }, "command_uid": "j",
    });
    row.check_first_webhook(&room, "conference.member.joined", Some(&call), data)
        .await;
    let members = row.members(&room).await.body["members"].clone();
    assert_eq!(members[0]["labels"], json!({ "seat": "12" }));
}

async fn update_of_a_member_answers_202_and_its_webhook_has_the_labels(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let text = "\"${x}\"\r\n, 한국 |\\";
    let body = json!({ "labels": { "seat": text, "x": "1" }, "command_uid": "u-1" });
    patch_member(row, &room, &call, body)
        .await
        .is(202, updated());
    let data = json!({ "labels": { "seat": text, "x": "1" }, "command_uid": "u-1" });
    row.check_first_webhook(&room, "conference.member.updated", Some(&call), data)
        .await;
    let body = json!({ "labels": { "x": null, "absent": null } });
    patch_member(row, &room, &call, body)
        .await
        .is(202, updated());
    let second = row.nth_webhook(&room, "conference.member.updated", 2).await;
    assert_eq!(second.body["data"]["labels"], json!({ "seat": text }));
    let members = row.members(&room).await.body["members"].clone();
    assert_eq!(members[0]["labels"], json!({ "seat": text }));
}

async fn update_of_a_member_without_a_change_answers_unchanged_without_a_webhook(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let body = json!({ "labels": { "seat": "12" } });
    patch_member(row, &room, &call, body.clone())
        .await
        .is(202, updated());
    for body in [body, json!({}), json!({ "labels": { "absent": null } })] {
        let answer = patch_member(row, &room, &call, body).await;
        answer.is(202, json!({ "status": "unchanged" }));
    }
    row.check_only_webhooks(
        &room,
        &[
            "conference.member.joined",
            "conference.member.updated",
            "conference.member.left",
        ],
    )
    .await;
}

async fn update_of_a_conference_answers_202_and_its_webhook_has_the_labels(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    let body = json!({ "labels": { "team": "sales" }, "command_uid": "u-1" });
    patch_room(row, &room, body).await.is(202, updated());
    let data = json!({ "labels": { "team": "sales" }, "command_uid": "u-1" });
    row.check_first_webhook(&room, "conference.updated", None, data)
        .await;
    let detail = row.status(&room).await;
    assert_eq!(detail.body["labels"], json!({ "team": "sales" }));
    let unchanged = patch_room(row, &room, json!({ "labels": { "team": "sales" } })).await;
    unchanged.is(202, json!({ "status": "unchanged" }));
}

async fn update_403_404_409_and_repeated_with_the_same_command_uid(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    let theirs = row.room_of(row.other()).await;
    let empty = row.room().await;
    let body = json!({ "labels": { "a": "b" }, "command_uid": "u" });
    patch_room(row, &theirs, body.clone()).await.fails(403);
    patch_member(row, &theirs, &call, body.clone())
        .await
        .fails(403);
    patch_member(row, &empty, &call, body.clone())
        .await
        .fails(404);
    for _ in 0..2 {
        patch_room(row, &room, body.clone())
            .await
            .is(202, updated());
        patch_member(row, &room, &call, body.clone())
            .await
            .is(202, updated());
    }
    let other = json!({ "labels": { "a": "c" }, "command_uid": "u" });
    patch_room(row, &room, other.clone()).await.fails(409);
    patch_member(row, &room, &call, other).await.fails(409);
    let many: serde_json::Map<_, _> = (0..16).map(|n| (n.to_string(), json!("v"))).collect();
    let many = json!({ "labels": many });
    patch_room(row, &room, many.clone()).await.fails(409);
    patch_member(row, &room, &call, many).await.fails(409);
    assert_eq!(row.count(&room, "conference.updated"), 1);
    assert_eq!(row.count(&room, "conference.member.updated"), 1);
}
