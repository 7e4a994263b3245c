//! `GET /api/v1/conferences`.

use std::collections::BTreeSet;

use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::row::{App, Row, rows};
use crate::shape::{CURSOR, RFC3339_SECONDS, check};

rows! {
    Plain: [
        answers_200_with_the_documented_fields_and_no_other,
        an_app_without_rooms_has_an_empty_list_and_an_empty_cursor,
        created_at_is_rfc_3339_of_the_creation,
        members_counts_joined_calls,
        only_rooms_of_the_callers_app_are_listed,
        deleted_rooms_are_not_listed,
        limit_is_50_when_omitted,
        limit_is_clamped_to_200,
        limit_is_applied,
        limit_400_not_a_positive_integer,
        cursor_empty_is_the_first_page,
        cursor_400_not_one_of_ours,
        cursor_400_of_another_app,
        cursor_400_of_another_list,
        cursor_goes_on_while_rooms_come_and_go,
        is_read_only_and_sends_no_webhooks,
    ]
}

/// Creates `n` rooms of a new app.
async fn rooms(row: &Row<'_>, n: usize) -> (App, BTreeSet<String>) {
    let app = row.running.new_app();
    let made = stream::iter(0..n)
        .map(|_| row.room_of(&app))
        .buffer_unordered(8);
    let rooms = made.collect().await;
    (app, rooms)
}

async fn page(row: &Row<'_>, app: &App, query: &str) -> (Vec<String>, String) {
    let path = format!("/conferences?{query}");
    let answer = row.ask(app, "GET", &path, None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let rows = answer.body["conferences"].as_array().unwrap();
    let ids = rows
        .iter()
        .map(|room| room["room_id"].as_str().unwrap().to_owned());
    (ids.collect(), answer.text("cursor"))
}

async fn answers_200_with_the_documented_fields_and_no_other(row: &Row<'_>) {
    let app = row.running.new_app();
    let body = json!({ "name": "team-standup", "node": row.node() });
    let made = row.ask(&app, "POST", "/conferences", Some(&body)).await;
    let listed = row.ask(&app, "GET", "/conferences", None).await;
    listed.is(
        200,
        json!({
            "conferences": [{
                "room_id": made.text("room_id"),
                "name": "team-standup",
                "members": 0,
                "created_at": RFC3339_SECONDS,
            }],
            "cursor": "",
        }),
    );
}

async fn an_app_without_rooms_has_an_empty_list_and_an_empty_cursor(row: &Row<'_>) {
    let app = row.running.new_app();
    let listed = row.ask(&app, "GET", "/conferences", None).await;
    listed.is(200, json!({ "conferences": [], "cursor": "" }));
}

async fn created_at_is_rfc_3339_of_the_creation(row: &Row<'_>) {
    let before = jiff::Timestamp::now().as_second();
    let (app, _) = rooms(row, 1).await;
    let after = jiff::Timestamp::now().as_second();
    let listed = row.ask(&app, "GET", "/conferences", None).await;
    let room = &listed.body["conferences"][0];
    check(&room["created_at"], &json!(RFC3339_SECONDS));
    let created: jiff::Timestamp = room["created_at"].as_str().unwrap().parse().unwrap();
    assert!((before..=after).contains(&created.as_second()), "{room}");
}

async fn members_counts_joined_calls(row: &Row<'_>) {
    let (room, first) = row.room_with_member().await;
    row.member(&room).await;
    let members = async || {
        let mut query = "limit=200".to_owned();
        loop {
            let path = format!("/conferences?{query}");
            let answer = row.get(&path).await;
            let rows = answer.body["conferences"].as_array().unwrap().clone();
            if let Some(found) = rows.iter().find(|listed| listed["room_id"] == room) {
                return found["members"].clone();
            }
            let cursor = answer.text("cursor");
            assert!(!cursor.is_empty(), "the room is not listed");
            query = format!("limit=200&cursor={cursor}");
        }
    };
    assert_eq!(members().await, 2);
    row.command(&first, "leave", Value::Null).await;
    row.webhook(&room, "conference.member.left").await;
    assert_eq!(members().await, 1);
}

async fn only_rooms_of_the_callers_app_are_listed(row: &Row<'_>) {
    let (one, ones) = rooms(row, 3).await;
    let (two, twos) = rooms(row, 2).await;
    for (app, expected) in [(one, ones), (two, twos)] {
        let (listed, _) = page(row, &app, "").await;
        assert_eq!(BTreeSet::from_iter(listed), expected);
    }
}

async fn deleted_rooms_are_not_listed(row: &Row<'_>) {
    let (app, mut rooms) = rooms(row, 3).await;
    let gone = rooms.pop_first().unwrap();
    let path = format!("/conferences/{gone}");
    row.ask(&app, "DELETE", &path, None)
        .await
        .is(200, json!({ "room_id": gone }));
    let (listed, cursor) = page(row, &app, "").await;
    assert_eq!(
        (BTreeSet::from_iter(listed), cursor),
        (rooms, String::new())
    );
}

/// Checks that the first page has `first` rooms, and the next one the rest.
async fn check_page_break(row: &Row<'_>, n: usize, query: &str, first: usize) {
    let (app, rooms) = rooms(row, n).await;
    let (mut listed, cursor) = page(row, &app, query).await;
    assert_eq!(listed.len(), first);
    check(&json!(cursor), &json!(CURSOR));
    let (rest, end) = page(row, &app, &format!("{query}&cursor={cursor}")).await;
    assert_eq!((rest.len(), end.as_str()), (n - first, ""));
    listed.extend(rest);
    assert_eq!(BTreeSet::from_iter(listed), rooms);
}

async fn limit_is_50_when_omitted(row: &Row<'_>) {
    check_page_break(row, 51, "", 50).await;
}

async fn limit_is_clamped_to_200(row: &Row<'_>) {
    check_page_break(row, 201, "limit=201", 200).await;
}

async fn limit_is_applied(row: &Row<'_>) {
    check_page_break(row, 3, "limit=2", 2).await;
    let (app, _) = rooms(row, 2).await;
    // A page that is exactly full is the last one.
    let (listed, cursor) = page(row, &app, "limit=2").await;
    assert_eq!((listed.len(), cursor.as_str()), (2, ""));
    // A number this large is still a positive integer.
    let huge = "limit=99999999999999999999999";
    assert_eq!(page(row, &app, huge).await.0.len(), 2);
}

async fn limit_400_not_a_positive_integer(row: &Row<'_>) {
    for bad in ["0", "-1", "+1", "1.5", "x", "", "0x10", "%31%20"] {
        row.get(&format!("/conferences?limit={bad}"))
            .await
            .names_field("limit");
    }
}

async fn cursor_empty_is_the_first_page(row: &Row<'_>) {
    let (app, rooms) = rooms(row, 2).await;
    let (listed, _) = page(row, &app, "cursor=").await;
    assert_eq!(BTreeSet::from_iter(listed), rooms);
}

async fn cursor_400_not_one_of_ours(row: &Row<'_>) {
    let (app, _) = rooms(row, 2).await;
    let (_, cursor) = page(row, &app, "limit=1").await;
    for bad in [
        "x",
        "0",
        "AAAA",
        "%00",
        &cursor[1..],
        &format!("{cursor}A"),
        &"A".repeat(3_000),
    ] {
        let path = format!("/conferences?cursor={bad}");
        row.ask(&app, "GET", &path, None)
            .await
            .names_field("cursor");
    }
}

async fn cursor_400_of_another_app(row: &Row<'_>) {
    let (app, _) = rooms(row, 2).await;
    let (_, cursor) = page(row, &app, "limit=1").await;
    row.get(&format!("/conferences?cursor={cursor}"))
        .await
        .names_field("cursor");
}

async fn cursor_400_of_another_list(row: &Row<'_>) {
    let (room, _) = row.room_with_member().await;
    row.member(&room).await;
    let members = row
        .get(&format!("/conferences/{room}/members?limit=1"))
        .await;
    let cursor = members.text("cursor");
    check(&json!(cursor), &json!(CURSOR));
    row.get(&format!("/conferences?cursor={cursor}"))
        .await
        .names_field("cursor");
}

async fn cursor_goes_on_while_rooms_come_and_go(row: &Row<'_>) {
    let (app, mut stayed) = rooms(row, 9).await;
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let (ids, next) = page(row, &app, &format!("limit=2&cursor={cursor}")).await;
        assert!(ids.len() <= 2);
        // A listed room goes, one that may not have been listed goes, and a new one comes.
        let unseen = stayed
            .iter()
            .find(|room| !listed.contains(*room) && !ids.contains(room));
        for gone in [ids.first().cloned(), unseen.cloned()]
            .into_iter()
            .flatten()
        {
            stayed.remove(&gone);
            let path = format!("/conferences/{gone}");
            row.ask(&app, "DELETE", &path, None)
                .await
                .is(200, json!({ "room_id": gone }));
        }
        listed.extend(ids);
        if next.is_empty() {
            break;
        }
        if listed.len() < 9 {
            row.room_of(&app).await;
        }
        cursor = next;
    }
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(
        unique.len(),
        listed.len(),
        "one is listed twice: {listed:?}"
    );
    assert!(
        unique.is_superset(&stayed),
        "one that stayed is missing: {listed:?}"
    );
}

async fn is_read_only_and_sends_no_webhooks(row: &Row<'_>) {
    let room = row.room().await;
    for query in ["", "?limit=1", "?limit=200"] {
        assert_eq!(row.get(&format!("/conferences{query}")).await.status, 200);
    }
    row.check_only_webhooks(&room, &[]).await;
}
