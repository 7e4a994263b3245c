//! Several nodes: where a room is created, and which calls can join it.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::backend::{DOWN, SECOND};
use crate::program::controller::Answer;
use crate::program::poll;
use crate::row::{Row, rows};
use crate::shape::ROOM_ID;

rows! {
    Fleet: [
        create_picks_a_node_that_is_up,
        create_201_on_the_requested_node,
        create_201_beside_the_named_session,
        create_404_there_is_no_such_node,
        create_404_there_is_no_such_session,
        create_403_the_session_belongs_to_another_app,
        create_400_malformed_node_or_session,
        create_409_the_session_is_on_another_node,
        create_503_the_node_is_down,
        join_409_the_session_is_on_another_node_than_the_room,
        list_goes_over_all_nodes,
        nodes_are_listed_with_their_status,
    ]
}

async fn create(row: &Row<'_>, mut body: Value) -> Answer {
    body["name"] = json!(row.fresh_name());
    row.post("/conferences", body).await
}

fn node_of(answer: &Answer) -> String {
    answer.is(201, json!({ "room_id": ROOM_ID }));
    answer.text("room_id")[..5].to_owned()
}

async fn create_picks_a_node_that_is_up(row: &Row<'_>) {
    for _ in 0..8 {
        let node = node_of(&create(row, json!({})).await);
        assert!([row.node(), SECOND].contains(&node.as_str()), "{node}");
    }
}

async fn create_201_on_the_requested_node(row: &Row<'_>) {
    for node in [row.node(), SECOND] {
        let answer = create(row, json!({ "node": node })).await;
        assert_eq!(node_of(&answer), node);
    }
}

async fn create_201_beside_the_named_session(row: &Row<'_>) {
    let call = row.call().await;
    for _ in 0..4 {
        let answer = create(row, json!({ "session": call.id })).await;
        assert_eq!(node_of(&answer), row.node());
    }
    let answer = create(row, json!({ "session": call.id, "node": row.node() })).await;
    assert_eq!(node_of(&answer), row.node());
}

async fn create_404_there_is_no_such_node(row: &Row<'_>) {
    create(row, json!({ "node": "nOnOd" })).await.fails(404);
}

async fn create_404_there_is_no_such_session(row: &Row<'_>) {
    let session = format!("{}-{}", row.node(), Uuid::new_v4());
    create(row, json!({ "session": session })).await.fails(404);
}

async fn create_403_the_session_belongs_to_another_app(row: &Row<'_>) {
    let call = row.call_of(row.other()).await;
    create(row, json!({ "session": call.id })).await.fails(403);
}

async fn create_400_malformed_node_or_session(row: &Row<'_>) {
    for bad in [
        json!(""),
        json!("four"),
        json!("sixsix"),
        json!("a-b_c"),
        json!(7),
    ] {
        create(row, json!({ "node": bad }))
            .await
            .names_field("node");
    }
    for bad in [
        json!(""),
        json!(row.node()),
        json!(Uuid::new_v4().to_string()),
        json!(7),
    ] {
        create(row, json!({ "session": bad }))
            .await
            .names_field("session");
    }
}

async fn create_409_the_session_is_on_another_node(row: &Row<'_>) {
    let call = row.call().await;
    let answer = create(row, json!({ "session": call.id, "node": SECOND })).await;
    let detail = json!({ "session_node": row.node(), "room_node": SECOND });
    assert_eq!(answer.fails(409), &detail);
}

async fn create_503_the_node_is_down(row: &Row<'_>) {
    // With Retry-After, as every 503.
    create(row, json!({ "node": DOWN })).await.fails(503);
}

async fn join_409_the_session_is_on_another_node_than_the_room(row: &Row<'_>) {
    let call = row.call().await;
    let room = create(row, json!({ "node": SECOND })).await.text("room_id");
    let detail = json!({ "session_node": row.node(), "room_node": SECOND });
    assert_eq!(row.request_join(&call, &room).await.fails(409), &detail);
    // The other way round.
    let second = row.running.second();
    let channel = second
        .place_call_for(
            &row.app.id,
            "5270000",
            ("park", ""),
            crate::program::world::PASSWORD,
        )
        .await;
    let session = format!("{SECOND}-{channel}");
    poll::until("the call is known", poll::TIMEOUT, async || {
        (row.get(&format!("/sessions/{session}")).await.status == 200).then_some(())
    })
    .await;
    let here = row.room().await;
    let path = format!("/sessions/{session}/commands/conference/join");
    let detail = json!({ "session_node": SECOND, "room_node": row.node() });
    let answer = row.post(&path, json!({ "room_id": here })).await;
    assert_eq!(answer.fails(409), &detail);
    let answer = row.post(&path, json!({ "room_id": room })).await;
    answer.is(202, json!({ "status": "joining", "room_id": room }));
    row.webhook(&room, "conference.member.joined").await;
}

async fn list_goes_over_all_nodes(row: &Row<'_>) {
    let app = row.running.new_app();
    let mut made = Vec::new();
    for node in [row.node(), SECOND, row.node(), SECOND, row.node()] {
        let body = json!({ "name": row.fresh_name(), "node": node });
        let answer = row.ask(&app, "POST", "/conferences", Some(&body)).await;
        made.push(answer.text("room_id"));
    }
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/conferences?limit=2&cursor={cursor}");
        let answer = row.ask(&app, "GET", &path, None).await;
        for room in answer.body["conferences"].as_array().unwrap() {
            listed.push(room["room_id"].as_str().unwrap().to_owned());
        }
        cursor = answer.text("cursor");
        if cursor.is_empty() {
            break;
        }
    }
    listed.sort();
    made.sort();
    assert_eq!(listed, made);
}

async fn nodes_are_listed_with_their_status(row: &Row<'_>) {
    let seen = poll::until("each node was compared", poll::TIMEOUT, async || {
        let answer = row.get("/nodes").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let nodes = answer.body["nodes"].as_array().unwrap().clone();
        let compared = nodes.iter().filter(|node| node["synced"] == true);
        (compared.count() == 2).then_some(nodes)
    })
    .await;
    let states = seen.iter().map(|node| {
        let fields: Vec<_> = node.as_object().unwrap().keys().collect();
        assert_eq!(
            fields,
            [
                "calls",
                "draining",
                "drift",
                "id",
                "lag_ms",
                "max_calls",
                "resynced_at",
                "state",
                "synced"
            ]
        );
        assert_eq!(node["draining"], false);
        (
            node["id"].as_str().unwrap(),
            node["state"].as_str().unwrap(),
        )
    });
    let mut states: Vec<_> = states.collect();
    states.sort_unstable();
    let mut expected = vec![(row.node(), "up"), (SECOND, "up"), (DOWN, "down")];
    expected.sort_unstable();
    assert_eq!(states, expected);
}
