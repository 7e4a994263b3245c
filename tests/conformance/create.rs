//! `POST /api/v1/conferences`.

use serde_json::{Value, json};

use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Row, rows};
use crate::shape::ROOM_ID;

rows! {
    Plain: [
        answers_201_with_the_room_id_and_nothing_else,
        room_id_begins_with_its_node,
        every_room_id_is_unique,
        webhook_conference_created_includes_room_id_and_name,
        name_400_missing,
        name_400_not_a_string,
        name_201_alphanumeric_hyphens_underscores,
        name_400_another_character,
        name_400_does_not_start_with_an_alphanumeric,
        name_201_64_characters,
        name_400_65_characters,
        name_taken_409_names_the_existing_room,
        name_taken_by_another_app_201,
        names_differ_by_case,
        name_of_a_deleted_room_201,
        concurrent_creates_of_one_name_answer_one_201_and_else_409,
        unknown_fields_are_ignored,
    ]
}

async fn create(row: &Row<'_>, name: impl Into<Value>) -> Answer {
    let body = json!({ "name": name.into(), "node": row.node() });
    let answer = row.post("/conferences", body).await;
    if answer.status == 201 {
        row.note(&answer.text("room_id"));
    }
    answer
}

/// Creates a room of this name. The name is free: other backends have other worlds, and no other row creates it.
async fn check_name_is_accepted(row: &Row<'_>, name: &str) {
    create(row, name)
        .await
        .is(201, json!({ "room_id": ROOM_ID }));
}

async fn answers_201_with_the_room_id_and_nothing_else(row: &Row<'_>) {
    let body = json!({ "name": row.fresh_name() });
    let answer = row.post("/conferences", body).await;
    answer.is(201, json!({ "room_id": ROOM_ID }));
    row.note(&answer.text("room_id"));
}

async fn room_id_begins_with_its_node(row: &Row<'_>) {
    let room = row.room().await;
    assert!(room.starts_with(&format!("{}-room-", row.node())), "{room}");
}

async fn every_room_id_is_unique(row: &Row<'_>) {
    let mut rooms = Vec::new();
    for _ in 0..10 {
        rooms.push(row.room().await);
    }
    rooms.sort();
    rooms.dedup();
    assert_eq!(rooms.len(), 10);
}

async fn webhook_conference_created_includes_room_id_and_name(row: &Row<'_>) {
    let name = row.fresh_name();
    let room = create(row, name.as_str()).await.text("room_id");
    let got = row
        .check_first_webhook(&room, "conference.created", None, json!({ "name": name }))
        .await;
    assert_eq!(got.sequence(), 1);
}

async fn name_400_missing(row: &Row<'_>) {
    row.post("/conferences", json!({}))
        .await
        .names_field("name");
    row.post("/conferences", json!({ "name": null }))
        .await
        .names_field("name");
    row.ask(&row.app, "POST", "/conferences", None)
        .await
        .names_field("name");
}

async fn name_400_not_a_string(row: &Row<'_>) {
    for bad in [json!(7), json!(true), json!(["n"]), json!({ "n": "n" })] {
        create(row, bad).await.names_field("name");
    }
}

async fn name_201_alphanumeric_hyphens_underscores(row: &Row<'_>) {
    for name in [
        "a",
        "Z",
        "0",
        "weekly-standup",
        "A-b_9",
        "a-",
        "a_",
        "9__--x",
    ] {
        check_name_is_accepted(row, name).await;
    }
}

async fn name_400_another_character(row: &Row<'_>) {
    for bad in [
        "", "a b", "a.b", "a/b", "a:b", "a@b", "a+b", "ä", "aé", "a\n", "a\u{0}", " a", "a ",
        "日本",
    ] {
        create(row, bad).await.names_field("name");
    }
}

async fn name_400_does_not_start_with_an_alphanumeric(row: &Row<'_>) {
    for bad in ["-a", "_a", "-", "_"] {
        create(row, bad).await.names_field("name");
    }
}

async fn name_201_64_characters(row: &Row<'_>) {
    check_name_is_accepted(row, &"x".repeat(64)).await;
}

async fn name_400_65_characters(row: &Row<'_>) {
    create(row, "y".repeat(65)).await.names_field("name");
}

async fn name_taken_409_names_the_existing_room(row: &Row<'_>) {
    let name = row.fresh_name();
    let room = create(row, name.as_str()).await.text("room_id");
    for _ in 0..2 {
        let again = create(row, name.as_str()).await;
        again.fails(409);
        again.is(
            409,
            json!({
                "success": false,
                "error": "Conference name already taken for this application",
                "detail": { "room_id": room },
            }),
        );
    }
    row.check_only_webhooks(&room, &[]).await;
}

async fn name_taken_by_another_app_201(row: &Row<'_>) {
    let body = json!({ "name": row.fresh_name(), "node": row.node() });
    let theirs = row
        .ask(row.other(), "POST", "/conferences", Some(&body))
        .await;
    theirs.is(201, json!({ "room_id": ROOM_ID }));
    let ours = row.post("/conferences", body).await;
    ours.is(201, json!({ "room_id": ROOM_ID }));
    assert_ne!(ours.text("room_id"), theirs.text("room_id"));
}

async fn names_differ_by_case(row: &Row<'_>) {
    check_name_is_accepted(row, "Case-Of-Names").await;
    check_name_is_accepted(row, "case-of-names").await;
}

async fn name_of_a_deleted_room_201(row: &Row<'_>) {
    let name = row.fresh_name();
    let first = create(row, name.as_str()).await.text("room_id");
    row.delete(&first)
        .await
        .is(200, json!({ "room_id": first }));
    let second = create(row, name.as_str()).await;
    second.is(201, json!({ "room_id": ROOM_ID }));
    assert_ne!(second.text("room_id"), first);
}

async fn concurrent_creates_of_one_name_answer_one_201_and_else_409(row: &Row<'_>) {
    let name = row.fresh_name();
    // A request that waits too long for the one that creates the room gets 503 with Retry-After: on a busy machine all
    // may.
    let answered = async || {
        poll::until("the request is answered", poll::TIMEOUT, async || {
            let answer = create(row, name.as_str()).await;
            (answer.status != 503).then_some(answer)
        })
        .await
    };
    let all = (0..8).map(|_| answered());
    let answers = futures_util::future::join_all(all).await;
    let made: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    let room = made[0].text("room_id");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.fails(409), &json!({ "room_id": room }));
    }
}

async fn unknown_fields_are_ignored(row: &Row<'_>) {
    let body = json!({ "name": row.fresh_name(), "colour": "green", "limit": [] });
    row.post("/conferences", body)
        .await
        .is(201, json!({ "room_id": ROOM_ID }));
}
