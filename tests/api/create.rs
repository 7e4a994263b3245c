//! `POST /conferences`.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Link, Refusal, Requester};
use roomkeeper::store::{EntityId, NameOutcome, Store, StoreError};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::RoomName;
use roomkeeper_core::intent::{Action, CreateRoom};
use roomkeeper_core::room::{Details, Kind, Origin, RoomStatus};
use serde_json::json;

use crate::world::*;

const PATH: &str = "/api/v1/conferences";
const TTL: Duration = Duration::from_secs(30);

fn name(text: &str) -> RoomName {
    text.parse().unwrap()
}

#[tokio::test]
async fn create_gives_201_with_room_id() {
    let world = World::new();
    let answer = world
        .post(PATH, json!({"name": "weekly-standup", "extra": 1}))
        .await;
    assert_eq!(answer.status.as_u16(), 201);
    let intents = world.intents();
    let [
        Intent {
            target: Target::Room(room),
            requester: Requester::App(owner),
            action:
                Action::CreateRoom(CreateRoom {
                    name: n,
                    origin,
                    kind,
                    details,
                }),
            ..
        },
    ] = &intents[..]
    else {
        panic!("{intents:?}");
    };
    assert_eq!(
        (owner.as_str(), n.as_str(), *origin),
        ("demo", "weekly-standup", Origin::Gateway)
    );
    assert_eq!((*kind, &**details), (Kind::Conference, &Details::default()));
    assert_eq!(answer.json(), json!({"room_id": room.to_string()}));
    // The name is confirmed: a reservation would be pending.
    let other = room_id("acW68", 1);
    let outcome = world
        .store
        .reserve_name(owner, &name("weekly-standup"), other, TTL)
        .await;
    assert_eq!(outcome.unwrap(), NameOutcome::Taken { room: *room });
}

#[tokio::test]
async fn invalid_name_gives_400() {
    let world = World::new();
    let long = "a".repeat(65);
    for bad in ["", "-a", "_a", "a b", "a.b", "ä", "a\n", long.as_str()] {
        let answer = world.post(PATH, json!({"name": bad})).await;
        assert_eq!(answer.fails(400)["detail"], json!({"field": "name"}));
    }
    for bad in [
        json!({}),
        json!({"name": null}),
        json!({"name": 7}),
        json!({"name": ["a"]}),
    ] {
        assert_eq!(
            world.post(PATH, bad).await.fails(400)["detail"],
            json!({"field": "name"})
        );
    }
    world.post_empty(PATH).await.fails(400);
    for good in ["a", "0", "A-b_c", &"a".repeat(64)] {
        assert_eq!(
            world
                .post(PATH, json!({"name": good}))
                .await
                .status
                .as_u16(),
            201
        );
    }
}

#[tokio::test]
async fn taken_name_gives_409_with_existing_room_id() {
    let world = World::new();
    let first = world.post(PATH, json!({"name": "n"})).await.json();
    world.post(PATH, json!({"name": "n"})).await.is(
        409,
        json!({
            "success": false,
            "error": "Conference name already taken for this application",
            "detail": first,
        }),
    );
    // Names are unique within an app only.
    let answer = world
        .send(request(OTHER, "POST", PATH, Some(json!({"name": "n"}))))
        .await;
    assert_eq!(answer.status.as_u16(), 201);
}

#[tokio::test]
async fn concurrent_creates_make_one_room_and_all_get_its_id() {
    let world = World::new();
    let answers = join_all((0..20).map(|_| world.post(PATH, json!({"name": "n"})))).await;
    let (created, taken): (Vec<_>, Vec<_>) = answers.iter().partition(|a| a.status.as_u16() == 201);
    assert_eq!(created.len(), 1);
    for answer in taken {
        assert_eq!(answer.fails(409)["detail"], created[0].json());
    }
}

#[tokio::test]
async fn room_is_placed_on_least_loaded_node_that_is_up() {
    let world = World::new();
    world.set_node("acW68", |n| n.link = down(TTL));
    world.set_node("bbbbb", |n| n.calls = 50);
    // More calls, but a lower share of its maximum.
    world.set_node("ccccc", |n| (n.calls, n.max_calls) = (60, 1000));
    let answer = world.post(PATH, json!({"name": "n"})).await.json();
    assert!(
        answer["room_id"]
            .as_str()
            .unwrap()
            .starts_with("ccccc-room-")
    );
}

#[tokio::test]
async fn equally_loaded_nodes_share() {
    let world = World::new();
    for n in 0..9 {
        world.post(PATH, json!({"name": n.to_string()})).await;
    }
    for node in NODES {
        let listed = world
            .store
            .list(
                node_id(node),
                roomkeeper::store::EntityKind::Room,
                &app("demo"),
                None,
                10,
            )
            .await
            .unwrap();
        assert!(!listed.is_empty(), "{node} got nothing");
    }
}

#[tokio::test]
async fn node_and_session_determine_placement() {
    let world = World::new();
    world.session(session_id("bbbbb", 1), "demo", 1).await;
    let beside = session_id("bbbbb", 1).to_string();
    for (body, node) in [
        (json!({"name": "a", "node": "ccccc"}), "ccccc"),
        (json!({"name": "b", "session": beside}), "bbbbb"),
        (
            json!({"name": "c", "session": beside, "node": "bbbbb"}),
            "bbbbb",
        ),
    ] {
        let answer = world.post(PATH, body).await.json();
        assert!(
            answer["room_id"].as_str().unwrap().starts_with(node),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn node_and_session_are_checked_in_order() {
    let world = World::new();
    world.session(session_id("bbbbb", 1), "demo", 1).await;
    world.session(session_id("bbbbb", 2), "other", 1).await;
    let (ours, theirs) = (
        session_id("bbbbb", 1).to_string(),
        session_id("bbbbb", 2).to_string(),
    );
    for (body, status) in [
        (json!({"name": "a", "node": "no"}), 400),
        (json!({"name": "a", "node": "zzzzz"}), 404),
        (json!({"name": "a", "session": "x"}), 400),
        (
            json!({"name": "a", "session": session_id("bbbbb", 9).to_string()}),
            404,
        ),
        (json!({"name": "a", "session": theirs}), 403),
        (json!({"name": "a", "session": ours, "node": "acW68"}), 409),
    ] {
        world.post(PATH, body).await.fails(status);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn create_gives_503_with_retry_after_when_no_node_is_up() {
    let world = World::new();
    for (node, link) in [
        ("acW68", down(Duration::from_millis(2500))),
        ("bbbbb", down(Duration::from_secs(9))),
        ("ccccc", Link::Connecting),
    ] {
        world.set_node(node, |n| n.link = link);
    }
    let answer = world.post(PATH, json!({"name": "n"})).await;
    answer.fails(503);
    assert_eq!(answer.header("retry-after"), "3");
    let answer = world
        .post(PATH, json!({"name": "n", "node": "bbbbb"}))
        .await;
    answer.fails(503);
    assert_eq!(answer.header("retry-after"), "9");
}

#[tokio::test]
async fn name_of_ended_room_is_free() {
    let world = World::new();
    let gone = room_id("acW68", 1);
    let n = name("n");
    world
        .store
        .reserve_name(&app("demo"), &n, gone, TTL)
        .await
        .unwrap();
    assert!(
        world
            .store
            .confirm_name(&app("demo"), &n, gone)
            .await
            .unwrap()
    );
    assert_eq!(
        world.post(PATH, json!({"name": "n"})).await.status.as_u16(),
        201
    );
}

#[tokio::test(start_paused = true)]
async fn expired_reservation_is_freed_or_finished() {
    let world = World::new();
    let (dead, alive) = (room_id("acW68", 1), room_id("acW68", 2));
    for (text, room) in [("dead", dead), ("alive", alive)] {
        world
            .store
            .reserve_name(&app("demo"), &name(text), room, TTL)
            .await
            .unwrap();
    }
    world.room(alive, "demo", "alive", 1, 0).await;
    tokio::time::sleep(TTL).await;
    assert_eq!(
        world
            .post(PATH, json!({"name": "dead"}))
            .await
            .status
            .as_u16(),
        201
    );
    let answer = world.post(PATH, json!({"name": "alive"})).await;
    assert_eq!(
        answer.fails(409)["detail"],
        json!({"room_id": alive.to_string()})
    );
}

#[tokio::test(start_paused = true)]
async fn create_waits_for_concurrent_create() {
    let world = World::new();
    let maker = room_id("acW68", 1);
    world
        .store
        .reserve_name(&app("demo"), &name("n"), maker, TTL)
        .await
        .unwrap();
    // The other request neither creates the room nor frees its name.
    let started = tokio::time::Instant::now();
    world.post(PATH, json!({"name": "n"})).await.fails(503);
    assert!(started.elapsed() >= Duration::from_secs(2));
    // The other request creates the room.
    let (answer, ()) = tokio::join!(world.post(PATH, json!({"name": "n"})), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world.room(maker, "demo", "n", 1, 0).await;
    });
    assert_eq!(
        answer.fails(409)["detail"],
        json!({"room_id": maker.to_string()})
    );
    // The other request frees the name.
    end(&world.store, EntityId::Room(maker)).await;
    let (answer, ()) = tokio::join!(world.post(PATH, json!({"name": "n"})), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        world
            .store
            .free_name(&app("demo"), &name("n"), maker)
            .await
            .unwrap();
    });
    assert_eq!(answer.status.as_u16(), 201);
}

#[tokio::test]
async fn refused_create_frees_name() {
    let world = World::new();
    for error in [
        IntentError::Busy,
        IntentError::Command(CommandError::Down { retry_after: TTL }),
    ] {
        world
            .script(Err(error))
            .post(PATH, json!({"name": "n"}))
            .await
            .fails(503);
    }
    assert_eq!(
        world.post(PATH, json!({"name": "n"})).await.status.as_u16(),
        201
    );
}

#[tokio::test]
async fn uncertain_create_keeps_name() {
    let world = World::new();
    let unavailable = StoreError::Unavailable("timed out".into());
    world
        .script(Err(IntentError::Store(unavailable)))
        .post(PATH, json!({"name": "n"}))
        .await
        .fails(503);
    let other = room_id("acW68", 1);
    let outcome = world
        .store
        .reserve_name(&app("demo"), &name("n"), other, TTL)
        .await
        .unwrap();
    assert!(
        matches!(outcome, NameOutcome::Pending { .. }),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn room_lost_by_store_is_created_again() {
    let world = World::new();
    // A failover lost both the room and its name.
    *world.controller.during.lock().unwrap() = Some(Box::new(move |intent, store| {
        async move {
            let (Target::Room(room), Action::CreateRoom(create)) = (intent.target, intent.action)
            else {
                return;
            };
            let named = name(&create.name);
            store.free_name(&app("demo"), &named, room).await.unwrap();
        }
        .boxed()
    }));
    world.script(Ok(Accepted::CreateRoom(())));
    world.script(Err(IntentError::Refused(Refusal::RoomNotFound)));
    let answer = world.post(PATH, json!({"name": "n"})).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
    let intents = world.intents();
    assert_eq!(
        names(&intents),
        ["create_room", "delete_room", "create_room"]
    );
    assert_ne!(intents[0].target, intents[2].target);
    let made = intents[2].target.room().unwrap();
    answer.is(201, json!({"room_id": made.to_string()}));
}

#[tokio::test]
async fn room_that_lost_its_name_is_deleted() {
    let world = World::new();
    let winner = room_id("bbbbb", 1);
    *world.controller.during.lock().unwrap() = Some(Box::new(move |intent, store| {
        async move {
            let (Target::Room(room), Action::CreateRoom(create)) = (intent.target, intent.action)
            else {
                panic!("another intent than to create a room");
            };
            let (app, named) = (app("demo"), name(&create.name));
            store.free_name(&app, &named, room).await.unwrap();
            let reserved = store.reserve_name(&app, &named, winner, TTL).await;
            reserved.unwrap();
            store.confirm_name(&app, &named, winner).await.unwrap();
            let at = roomkeeper_core::time::Timestamp::from_millis(1);
            put_room(
                &store,
                &new_room(winner, &app, &create.name, Origin::Gateway, at),
            )
            .await;
        }
        .boxed()
    }));
    let answer = world.post(PATH, json!({"name": "n"})).await;
    assert_eq!(
        answer.fails(409)["detail"],
        json!({"room_id": winner.to_string()})
    );
    let intents = world.intents();
    assert_eq!(names(&intents), ["create_room", "delete_room"]);
    assert_eq!(intents[0].target, intents[1].target);
    let made = intents[0].target.room().unwrap();
    let made = stored_room(&world.store, made).await.unwrap();
    assert_eq!(made.status(), RoomStatus::Terminated);
}
