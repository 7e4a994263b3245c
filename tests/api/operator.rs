//! The operator's view of the rooms and calls of all apps, and the operator's commands.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use roomkeeper::http::admin_router;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Link, Requester};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::OperationId;
use roomkeeper_core::intent::{DeleteRoom, Hangup, OperationAccepted};
use serde_json::{Value, json};
use tokio::time::timeout;
use uuid::Uuid;

use crate::admin::{admin, state};
use crate::apps::ask;
use crate::faulty::Faulty;
use crate::world::*;

const AT: u64 = 1_778_070_896_000;

fn router(world: &World) -> Router {
    admin(world, Some("secret"))
}

async fn get(router: &Router, path: &str) -> Value {
    let answer = ask(router, "GET", path, None).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}: {}", answer.text);
    answer.json()
}

/// Reads all pages of a list and returns one field of its rows.
async fn all(router: &Router, path: &str, rows: &str, field: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let page = get(router, &format!("{path}{sign}limit=2&cursor={cursor}")).await;
        let on_page = page[rows].as_array().unwrap();
        assert!(on_page.len() <= 2);
        found.extend(
            on_page
                .iter()
                .map(|row| row[field].as_str().unwrap().to_owned()),
        );
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            return found;
        }
    }
}

/// Five rooms of two apps on two nodes, in the order of their creation.
async fn world_with_rooms() -> (World, Vec<String>) {
    let world = World::new();
    let mut ids = Vec::new();
    for (n, (node, owner)) in [
        ("acW68", "demo"),
        ("bbbbb", "other"),
        ("acW68", "other"),
        ("bbbbb", "demo"),
        ("acW68", "demo"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = room_id(node, 1 + n as u128);
        let at = AT + 1_000 * n as u64;
        world.room(id, owner, &format!("r{n}"), at, n as u128).await;
        ids.push(id.to_string());
    }
    (world, ids)
}

#[tokio::test]
async fn rooms_of_all_apps_are_listed_by_time() {
    let (world, ids) = world_with_rooms().await;
    let router = router(&world);
    assert_eq!(all(&router, "/admin/rooms", "rooms", "room_id").await, ids);
    let page = get(&router, "/admin/rooms?limit=1").await;
    assert_eq!(
        page["rooms"][0],
        json!({
            "room_id": ids[0], "app_id": "demo", "node": "acW68", "name": "r0", "type": "conference",
            "status": "progressing", "members": 0, "locked": false, "created_at": "2026-05-06T12:34:56Z",
        })
    );
    let of = |chosen: &[usize]| chosen.iter().map(|n| ids[*n].clone()).collect::<Vec<_>>();
    for (filter, chosen) in [
        ("app_id=demo", &[0, 3, 4][..]),
        ("app_id=other", &[1, 2]),
        ("node=bbbbb", &[1, 3]),
        ("node=acW68&app_id=other", &[2]),
        ("node=ccccc", &[]),
        ("app_id=nobody", &[]),
    ] {
        let path = format!("/admin/rooms?{filter}");
        assert_eq!(
            all(&router, &path, "rooms", "room_id").await,
            of(chosen),
            "{filter}"
        );
    }
}

#[tokio::test]
async fn room_is_shown_with_its_members() {
    let (world, ids) = world_with_rooms().await;
    let router = router(&world);
    let room = get(&router, &format!("/admin/rooms/{}", ids[2])).await;
    assert_eq!(
        (&room["app_id"], &room["name"]),
        (&json!("other"), &json!("r2"))
    );
    let members = room["members"].as_array().unwrap();
    assert_eq!(members.len(), 2);
    assert_eq!(
        members[0],
        json!({
            "uuid": session_id("acW68", 1).to_string(), "did": "747713001", "caller_id": "527121102",
            "muted": true, "deaf": false, "held": false, "status": "joined", "joined_at": "1970-01-01T00:00:00Z",
        })
    );
    for (path, status) in [
        (format!("/admin/rooms/{}", room_id("acW68", 99)), 404),
        ("/admin/rooms/x".to_owned(), 400),
    ] {
        ask(&router, "GET", &path, None).await.fails(status);
    }
}

#[tokio::test]
async fn calls_of_all_apps_are_listed_filtered_and_found() {
    let world = World::new();
    let router = router(&world);
    let (one, two) = (session_id("bbbbb", 1), session_id("acW68", 2));
    world.session(one, "demo", AT).await;
    world.session(two, "other", AT + 1).await;
    let both = [one.to_string(), two.to_string()];
    assert_eq!(all(&router, "/admin/calls", "calls", "uuid").await, both);
    let row = json!({
        "uuid": both[0], "app_id": "demo", "node": "bbbbb", "did": "747713001", "caller_id": "527121102",
        "direction": "inbound", "state": "parked", "room_id": null, "created_at": "2026-05-06T12:34:56Z",
    });
    assert_eq!(get(&router, &format!("/admin/calls/{one}")).await, row);
    for (filter, chosen) in [
        ("state=parked", &both[..]),
        ("state=in_room", &[]),
        ("app_id=other", &both[1..]),
        ("node=bbbbb&state=parked", &both[..1]),
    ] {
        let path = format!("/admin/calls?{filter}");
        assert_eq!(
            all(&router, &path, "calls", "uuid").await,
            chosen,
            "{filter}"
        );
    }
    for (number, count) in [("747713001", 2), ("5271", 2), ("999", 0)] {
        let found = get(&router, &format!("/admin/search?number={number}")).await;
        assert_eq!(found["calls"].as_array().unwrap().len(), count, "{number}");
        assert_eq!(found["truncated"], false);
    }
    let found = get(&router, "/admin/search?number=3001&app_id=demo").await;
    assert_eq!(found, json!({"calls": [row], "truncated": false}));
    world.set_node("bbbbb", |node| node.link = Link::Connecting);
    let stale = get(&router, &format!("/admin/calls/{one}")).await;
    assert_eq!(stale["stale"], true);
}

#[tokio::test]
async fn search_stops_at_its_limit() {
    let world = World::new();
    let router = router(&world);
    for n in 1..=101 {
        world.session(session_id("acW68", n), "demo", AT).await;
    }
    let found = get(&router, "/admin/search?number=747713001").await;
    assert_eq!(found["calls"].as_array().unwrap().len(), 100);
    assert_eq!(found["truncated"], true);
}

#[tokio::test]
async fn second_search_at_once_gives_503() {
    let world = World::new();
    let faulty = Faulty::new(world.store.clone(), &["list_all"]);
    let mut state = state(&world, Some("secret"));
    state.store = faulty.clone();
    let router = admin_router(state, &settings());
    let path = "/admin/search?number=123";
    let first = tokio::spawn({
        let router = router.clone();
        async move { ask(&router, "GET", path, None).await.status }
    });
    while faulty.fired.load(Ordering::Relaxed) == 0 {
        assert!(!first.is_finished(), "the search does not read the store");
        tokio::task::yield_now().await;
    }
    let second = timeout(Duration::from_secs(5), ask(&router, "GET", path, None));
    second.await.expect("refused at once").fails(503);
    // The permit of an abandoned search is free.
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    faulty.broken.lock().unwrap().clear();
    assert_eq!(get(&router, path).await["truncated"], false);
}

#[tokio::test]
async fn bad_parameters_give_400_and_unknown_nodes_404() {
    let world = World::new();
    let router = router(&world);
    for (path, field) in [
        ("/admin/rooms?limit=0", "limit"),
        ("/admin/rooms?cursor=AAAA", "cursor"),
        ("/admin/rooms?app_id=a.b", "app_id"),
        ("/admin/rooms?node=x", "node"),
        ("/admin/rooms?node=acW68&node=bbbbb", "node"),
        ("/admin/calls?state=done", "state"),
        ("/admin/calls/x", "uuid"),
        ("/admin/search", "number"),
        ("/admin/search?number=12", "number"),
    ] {
        let envelope = ask(&router, "GET", path, None).await.fails(400);
        assert_eq!(envelope["detail"]["field"], field, "{path}");
    }
    for path in ["/admin/rooms", "/admin/calls", "/admin/search"] {
        let path = format!("{path}?node=zzzzz&number=123");
        ask(&router, "GET", &path, None).await.fails(404);
    }
    let missing = format!("/admin/calls/{}", session_id("acW68", 9));
    ask(&router, "GET", &missing, None).await.fails(404);
}

#[tokio::test]
async fn cursor_of_an_app_is_not_valid_for_the_operator() {
    let (world, _) = world_with_rooms().await;
    let page = world.get("/api/v1/conferences?limit=1").await.json();
    let cursor = page["cursor"].as_str().unwrap();
    assert!(!cursor.is_empty());
    let path = format!("/admin/rooms?cursor={cursor}");
    ask(&router(&world), "GET", &path, None).await.fails(400);
}

#[tokio::test]
async fn requests_without_admin_key_give_401() {
    let world = World::new();
    let router = admin(&world, Some("other"));
    let (room, call) = (room_id("acW68", 1), session_id("acW68", 1));
    world.room(room, "demo", "r", AT, 0).await;
    for (method, path) in [
        ("GET", "/admin/rooms".to_owned()),
        ("GET", format!("/admin/rooms/{room}")),
        ("DELETE", format!("/admin/rooms/{room}")),
        ("GET", "/admin/calls".to_owned()),
        ("GET", format!("/admin/calls/{call}")),
        ("POST", format!("/admin/calls/{call}/hangup")),
        ("GET", "/admin/search?number=123".to_owned()),
        ("DELETE", "/admin/apps/acme".to_owned()),
        ("POST", "/admin/apps/acme/enable".to_owned()),
        ("PUT", "/admin/apps/acme/dids".to_owned()),
    ] {
        ask(&router, method, &path, None).await.fails(401);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn operator_ends_room_of_any_app_and_frees_its_name() {
    let world = World::new();
    let router = router(&world);
    let made = world
        .post("/api/v1/conferences", json!({"name": "n"}))
        .await
        .json();
    let id = made["room_id"].as_str().unwrap();
    world.intents();
    let path = format!("/admin/rooms/{id}");
    ask(&router, "DELETE", &path, None)
        .await
        .is(200, made.clone());
    let target = Target::Room(id.parse().unwrap());
    assert_eq!(
        world.intents(),
        [Intent::new(target, Requester::Operator, DeleteRoom)]
    );
    world
        .get(&format!("/api/v1/conferences/{id}"))
        .await
        .fails(404);
    ask(&router, "DELETE", &path, None).await.fails(404);
    let again = world
        .post("/api/v1/conferences", json!({"name": "n"}))
        .await;
    assert_eq!(again.status.as_u16(), 201, "{}", again.text);
}

#[tokio::test]
async fn operator_hangs_up_call_of_any_app() {
    let world = World::new();
    let router = router(&world);
    let call = session_id("acW68", 1);
    world.session(call, "other", AT).await;
    let operation = OperationId::new(Uuid::from_u128(7));
    let accepted = Accepted::Hangup(OperationAccepted { operation });
    world.script(Ok(accepted));
    let path = format!("/admin/calls/{call}/hangup");
    let body = json!({"cause": "USER_BUSY"});
    ask(&router, "POST", &path, Some(body)).await.is(
        202,
        json!({"operation_id": operation.to_string(), "status": "in_progress"}),
    );
    let hangup = Hangup {
        cause: Some("USER_BUSY".to_owned()),
    };
    let expected = Intent::new(Target::Call(call), Requester::Operator, hangup);
    assert_eq!(world.intents(), [expected]);

    let bad = ask(&router, "POST", &path, Some(json!({"cause": "NONE"}))).await;
    assert_eq!(bad.fails(400)["detail"]["field"], "cause");
    for (error, status) in [
        (CommandError::NoSuchChannel, 404),
        (CommandError::Unknown, 504),
        (CommandError::Busy, 503),
    ] {
        world.script(Err(IntentError::Command(error)));
        ask(&router, "POST", &path, None).await.fails(status);
    }
    let missing = format!("/admin/calls/{}/hangup", session_id("acW68", 9));
    ask(&router, "POST", &missing, None).await.fails(404);
}
