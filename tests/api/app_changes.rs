//! Apps are enabled, get other numbers, and are deleted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, IntentError, Requester};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{EntityId, Store};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::OperationId;
use roomkeeper_core::intent::OperationAccepted;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::admin::admin;
use crate::apps::{add, ask, create_app, status};
use crate::faulty::Faulty;
use crate::world::*;

const AT: u64 = 1_778_070_896_000;

fn hung_up() -> Accepted {
    Accepted::Hangup(OperationAccepted {
        operation: OperationId::new(Uuid::nil()),
    })
}

#[tokio::test]
async fn enabled_app_can_use_its_keys_again() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let key = create_app(&router, "acme", json!({})).await;
    ask(&router, "POST", "/admin/apps/acme/disable", None).await;
    assert_eq!(status(&world, "acme", &key).await, 401);
    for _ in 0..2 {
        let answer = ask(&router, "POST", "/admin/apps/acme/enable", None).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        assert_eq!(answer.json()["disabled"], false);
    }
    assert_eq!(status(&world, "acme", &key).await, 200);
    ask(&router, "POST", "/admin/apps/demo/enable", None)
        .await
        .fails(409);
    ask(&router, "POST", "/admin/apps/nobody/enable", None)
        .await
        .fails(404);
}

#[tokio::test]
async fn numbers_are_replaced_unless_another_app_has_one() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    create_app(&router, "acme", json!({"dids": ["100", "101"]})).await;
    create_app(&router, "beta", json!({"dids": ["200"]})).await;
    let set = async |id: &str, body: Value| {
        ask(
            &router,
            "PUT",
            &format!("/admin/apps/{id}/dids"),
            Some(body),
        )
        .await
    };
    let answer = set("acme", json!({"dids": ["101", "102"]})).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    assert_eq!(answer.json()["dids"], json!(["101", "102"]));
    assert_eq!(world.apps.dids().get("100"), None);
    assert_eq!(world.apps.dids()["102"], app("acme"));
    let envelope = set("beta", json!({"dids": ["100", "102"]}))
        .await
        .fails(409);
    assert_eq!(envelope["detail"], json!({"did": "102", "app_id": "acme"}));
    assert_eq!(world.apps.dids()["200"], app("beta"));
    // A freed number can go to another app.
    assert_eq!(
        set("beta", json!({"dids": ["100"]})).await.status.as_u16(),
        200
    );
    assert_eq!(set("beta", json!({"dids": []})).await.status.as_u16(), 200);
    for bad in [json!({}), json!({"dids": "1"}), json!({"dids": ["1 2"]})] {
        let envelope = set("acme", bad).await.fails(400);
        assert_eq!(envelope["detail"]["field"], "dids");
    }
    set("demo", json!({"dids": []})).await.fails(409);
    set("nobody", json!({"dids": []})).await.fails(404);
}

#[tokio::test(start_paused = true)]
async fn deleted_app_is_gone_with_its_endpoints() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let body = json!({"dids": ["100"], "webhook_url": "https://example.com/h"});
    let key = create_app(&router, "acme", body).await;
    ask(&router, "DELETE", "/admin/apps/acme", None).await.is(
        200,
        json!({"app_id": "acme", "ended_rooms": 0, "ended_calls": 0}),
    );
    assert_eq!(status(&world, "acme", &key).await, 401);
    ask(&router, "GET", "/admin/apps/acme", None)
        .await
        .fails(404);
    for (method, path) in [
        ("DELETE", "/admin/apps/acme"),
        ("POST", "/admin/apps/acme/enable"),
        ("POST", "/admin/apps/acme/rotate-key"),
        ("GET", "/admin/apps/acme/webhooks"),
    ] {
        ask(&router, method, path, None).await.fails(404);
    }
    let list = ask(&router, "GET", "/admin/apps", None).await;
    assert!(!list.text.contains("acme"), "{}", list.text);
    assert!(
        world
            .apps
            .receivers()
            .borrow()
            .for_app(&app("acme"))
            .is_empty()
    );
    assert!(!world.apps.ids().contains(&app("acme")));
    assert_eq!(world.apps.dids().get("100"), None);
    // Id and number are free.
    let again = create_app(&router, "acme", json!({"dids": ["100"]})).await;
    assert_eq!(status(&world, "acme", &again).await, 200);
    assert_eq!(status(&world, "acme", &key).await, 401);
    ask(&router, "DELETE", "/admin/apps/demo", None)
        .await
        .fails(409);
    ask(&router, "DELETE", "/admin/apps/demo?force=true", None)
        .await
        .fails(409);
    ask(&router, "DELETE", "/admin/apps/acme?force=yes", None)
        .await
        .fails(400);
}

#[tokio::test(start_paused = true)]
async fn record_of_deleted_app_stays_until_its_data_is_gone() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    create_app(
        &router,
        "acme",
        json!({"webhook_url": "https://example.com/h"}),
    )
    .await;
    let room = room_id("acW68", 1);
    world.room(room, "acme", "r", AT, 0).await;
    end(&world.store, EntityId::Room(room)).await;
    ask(&router, "DELETE", "/admin/apps/acme", None).await;
    let other = session_id("acW68", 1);
    world.session(other, "acme", AT).await;
    let mut changes = world.apps.watch();
    changes.mark_unchanged();
    let stop = CancellationToken::new();
    let running = tokio::spawn(world.apps.clone().run(stop.clone()));
    tokio::time::sleep(Duration::from_secs(60)).await;
    let stored = async || world.store.read_apps(None).await.unwrap().unwrap();
    let kept = stored().await;
    assert_eq!((kept.records.len(), kept.endpoints.len()), (1, 0));
    end(&world.store, EntityId::Call(other)).await;
    tokio::time::timeout(Duration::from_secs(60), async {
        while !stored().await.records.is_empty() {
            changes.changed().await.unwrap();
        }
    })
    .await
    .unwrap();
    stop.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn usage_is_read_once_for_all_deleted_apps() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["read_usage"]);
    let world = World::with_store(faulty.clone(), store.clone(), settings());
    let router = admin(&world, Some("secret"));
    let reads_in_a_minute = async || {
        let before = faulty.fired.load(Ordering::Relaxed);
        let stop = CancellationToken::new();
        let running = tokio::spawn(world.apps.clone().run(stop.clone()));
        tokio::time::sleep(Duration::from_secs(60)).await;
        stop.cancel();
        running.await.unwrap();
        faulty.fired.load(Ordering::Relaxed) - before
    };
    for id in ["acme", "beta", "gamma"] {
        create_app(&router, id, json!({})).await;
    }
    assert_eq!(reads_in_a_minute().await, 0);
    ask(&router, "DELETE", "/admin/apps/acme", None).await;
    let for_one = reads_in_a_minute().await;
    assert!(for_one > 0);
    for id in ["beta", "gamma"] {
        ask(&router, "DELETE", &format!("/admin/apps/{id}"), None).await;
    }
    assert_eq!(reads_in_a_minute().await, for_one);
    faulty.broken.lock().unwrap().clear();
    reads_in_a_minute().await;
    let stored = store.read_apps(None).await.unwrap().unwrap();
    assert!(stored.records.is_empty());
}

#[tokio::test(start_paused = true)]
async fn app_with_rooms_or_calls_is_deleted_by_force_only() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let key = create_app(&router, "acme", json!({})).await;
    let (room, call) = (room_id("acW68", 1), session_id("bbbbb", 1));
    world.room(room, "acme", "r", AT, 0).await;
    world.session(call, "acme", AT).await;
    let envelope = ask(&router, "DELETE", "/admin/apps/acme", None)
        .await
        .fails(409);
    assert_eq!(envelope["detail"], json!({"rooms": 1, "calls": 1}));
    assert_eq!(status(&world, "acme", &key).await, 200);
    // A node that does not answer keeps the app, which is disabled.
    world.script(Err(IntentError::Command(CommandError::Unknown)));
    let path = "/admin/apps/acme?force=true";
    ask(&router, "DELETE", path, None).await.fails(504);
    let row = ask(&router, "GET", "/admin/apps/acme", None).await.json();
    assert_eq!(row["disabled"], true);
    world.intents();

    world.script(Ok(hung_up()));
    ask(&router, "DELETE", path, None).await.is(
        200,
        json!({"app_id": "acme", "ended_rooms": 1, "ended_calls": 1}),
    );
    let intents = world.intents();
    assert_eq!(names(&intents), ["hangup", "delete_room"]);
    assert!(
        intents
            .iter()
            .all(|intent| intent.requester == Requester::Operator)
    );
    // The call has not ended yet: the operator still sees it, and nobody gets it with the id.
    let left = ask(&router, "GET", "/admin/calls?app_id=acme", None)
        .await
        .json();
    assert_eq!(left["calls"][0]["uuid"], call.to_string());
    add(&router, "acme", json!({})).await.fails(409);
    end(&world.store, EntityId::Call(call)).await;
    end(&world.store, EntityId::Room(room)).await;
    create_app(&router, "acme", json!({})).await;
}

#[tokio::test(start_paused = true)]
async fn forced_deletion_ends_calls_that_began_meanwhile() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    create_app(&router, "acme", json!({"dids": ["100"]})).await;
    let (first, second) = (session_id("acW68", 1), session_id("bbbbb", 2));
    world.session(first, "acme", AT).await;
    world.script(Ok(hung_up())).script(Ok(hung_up()));
    let deletion = ask(&router, "DELETE", "/admin/apps/acme?force=true", None);
    // Another replica, which does not know of the deletion yet, gives the app a call.
    let (begins, began) = tokio::sync::oneshot::channel();
    *world.controller.during.lock().unwrap() = Some(Box::new(move |_, _| {
        begins.send(()).unwrap();
        Box::pin(std::future::ready(()))
    }));
    let late_call = async {
        // The first call is hung up.
        began.await.unwrap();
        let row = ask(&router, "GET", "/admin/apps/acme", None).await.json();
        assert_eq!((&row["disabled"], &row["dids"]), (&json!(true), &json!([])));
        assert_eq!(world.apps.dids().get("100"), None);
        world.session(second, "acme", AT).await;
    };
    let (answer, ()) = tokio::join!(deletion, late_call);
    answer.is(
        200,
        json!({"app_id": "acme", "ended_rooms": 0, "ended_calls": 2}),
    );
    let targets: Vec<_> = world.intents().into_iter().map(|i| i.target).collect();
    assert_eq!(targets, [Target::Call(first), Target::Call(second)]);
}

#[tokio::test(start_paused = true)]
async fn app_that_gets_call_during_its_deletion_is_kept() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let key = create_app(&router, "acme", json!({"dids": ["100"]})).await;
    let call = session_id("acW68", 1);
    let deletion = ask(&router, "DELETE", "/admin/apps/acme", None);
    let mut changes = world.apps.watch();
    let late_call = async {
        while world.apps.dids().contains_key("100") {
            changes.changed().await.unwrap();
        }
        assert_eq!(status(&world, "acme", &key).await, 401);
        world.session(call, "acme", AT).await;
    };
    let (answer, ()) = tokio::join!(deletion, late_call);
    let envelope = answer.fails(409);
    assert_eq!(envelope["detail"], json!({"rooms": 0, "calls": 1}));
    assert_eq!(status(&world, "acme", &key).await, 200);
    assert_eq!(world.apps.dids()["100"], app("acme"));
    assert!(world.intents().is_empty());
}
