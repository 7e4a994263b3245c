//! `GET` and `DELETE /conferences/{room_id}` and its members.

use std::time::Duration;

use roomkeeper_core::room::{self, Origin, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::json;

use crate::world::*;

fn path(room: roomkeeper_core::ids::RoomId) -> String {
    format!("/api/v1/conferences/{room}")
}

#[tokio::test]
async fn room_has_all_eight_fields() {
    let world = World::new();
    let room = room_id("acW68", 1);
    world
        .room(room, "demo", "weekly-standup", 1_711_036_800_123, 5)
        .await;
    world.get(&path(room)).await.is(
        200,
        json!({
            "room_id": room.to_string(),
            "name": "weekly-standup",
            "created_at": "1711036800",
            "members": 5,
            "playback_status": "stopped",
            "playback_volume": 0,
            "playback_urls": [],
            "playback_operation_id": "",
        }),
    );
}

#[tokio::test]
async fn reads_of_down_node_are_stale() {
    let world = World::new();
    let room = room_id("acW68", 1);
    let session = session_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    world.session(session, "demo", 1).await;
    world.set_node("acW68", |n| n.link = down(Duration::from_secs(1)));
    for at in ["", "/members"] {
        assert_eq!(
            world.get(&format!("{}{at}", path(room))).await.json()["stale"],
            true
        );
    }
    let list = world.get("/api/v1/conferences").await.json();
    assert_eq!(list["conferences"][0]["stale"], true);
    let list = world.get("/api/v1/sessions").await.json();
    assert_eq!(list["sessions"][0]["stale"], true);
    assert_eq!(
        world
            .get(&format!("/api/v1/sessions/{session}"))
            .await
            .json()["stale"],
        true
    );
}

#[tokio::test]
async fn missing_room_gives_404_and_foreign_room_403() {
    let world = World::new();
    let theirs = room_id("acW68", 1);
    world.room(theirs, "other", "n", 1, 0).await;
    for method in ["GET", "DELETE"] {
        let missing = path(room_id("acW68", 9));
        world
            .send(request(DEMO, method, &missing, None))
            .await
            .fails(404);
        world
            .send(request(DEMO, method, &path(theirs), None))
            .await
            .fails(403);
    }
    let members = format!("{}/members", path(theirs));
    world.get(&members).await.fails(404);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn hidden_foreign_rooms_give_404() {
    let world = World::with_settings(roomkeeper::http::ApiSettings {
        hide_foreign: true,
        ..settings()
    });
    let theirs = room_id("acW68", 1);
    world.room(theirs, "other", "n", 1, 0).await;
    world.session(session_id("acW68", 1), "other", 1).await;
    let pairs = [
        (path(theirs), path(room_id("acW68", 9))),
        (
            format!("/api/v1/sessions/{}", session_id("acW68", 1)),
            format!("/api/v1/sessions/{}", session_id("acW68", 9)),
        ),
    ];
    for (theirs, missing) in pairs {
        assert_eq!(
            world.get(&theirs).await.fails(404),
            world.get(&missing).await.fails(404)
        );
    }
}

#[tokio::test]
async fn delete_gives_200_then_404_and_frees_name() {
    let world = World::new();
    let create = || world.post("/api/v1/conferences", json!({"name": "n"}));
    let made = create().await.json();
    let path = format!("/api/v1/conferences/{}", made["room_id"].as_str().unwrap());
    world.intents();
    world.delete(&path).await.is(200, made.clone());
    assert_eq!(names(&world.intents()), ["delete_room"]);
    world.get(&path).await.fails(404);
    world.get(&format!("{path}/members")).await.fails(404);
    world.delete(&path).await.fails(404);
    assert_eq!(create().await.status.as_u16(), 201);
}

#[tokio::test]
async fn ending_room_is_not_found() {
    let world = World::new();
    let id = room_id("acW68", 1);
    let at = Timestamp::from_millis(1);
    let mut state = new_room(id, &app("demo"), "n", Origin::Gateway, at);
    enter(&mut state, session_id("acW68", 1), true);
    let deadline = Timestamp::from_millis(10_000);
    room::apply(&mut state, RoomInput::Delete { deadline }, at);
    put_room(&world.store, &state).await;
    world.get(&path(id)).await.fails(404);
    world.delete(&path(id)).await.fails(404);
    world.get(&format!("{}/members", path(id))).await.fails(404);
    world
        .get("/api/v1/conferences")
        .await
        .is(200, json!({"conferences": [], "cursor": ""}));
}

#[tokio::test]
async fn members_gives_200_with_present_members() {
    let world = World::new();
    let id = room_id("acW68", 1);
    let at = Timestamp::from_millis(1);
    let mut state = new_room(id, &app("demo"), "n", Origin::Gateway, at);
    let [muted, speaking, joining] = [1, 2, 3].map(|n| session_id("acW68", n));
    enter(&mut state, muted, false);
    enter(&mut state, speaking, true);
    let deadline = Timestamp::from_millis(10_000);
    let join = RoomInput::Join {
        call: joining,
        member: member_id(joining),
        caller_id: String::new(),
        did: String::new(),
        muted: true,
        settings: Default::default(),
        has_pre_actions: false,
        command_uid: None,
        deadline,
    };
    room::apply(&mut state, join, at);
    let leave = RoomInput::Leave {
        call: speaking,
        reason: roomkeeper_core::room::LeftReason::Removed,
        command_uid: None,
        deadline,
    };
    room::apply(&mut state, leave, at);
    put_room(&world.store, &state).await;
    let row = |who: roomkeeper_core::ids::CallId, muted| json!({"uuid": who.to_string(), "did": "747713001", "caller_id": "527121102", "muted": muted, "joined_at": "1970-01-01T00:00:00Z"});
    world.get(&format!("{}/members", path(id))).await.is(
        200,
        json!({
            "room_id": id.to_string(),
            "members": [row(muted, true), row(speaking, false)],
            "cursor": "",
        }),
    );
}
