//! The operator's listener.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use roomkeeper::audit::AuditSettings;
use roomkeeper::http::{AdminState, AllowedHosts, admin_router};
use roomkeeper::reconciler::Link;
use roomkeeper::tenants::KeyDigest;
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::faulty::Faulty;
use crate::world::*;

/// The admin key if none is configured.
pub const GENERATED_KEY: &str = "generated";

pub fn admin(world: &World, key: Option<&str>) -> Router {
    admin_router(state(world, key), &settings())
}

pub fn state(world: &World, key: Option<&str>) -> AdminState {
    AdminState {
        store: world.store.clone(),
        controller: world.controller.clone(),
        apps: world.apps.clone(),
        audit: AuditSettings::default(),
        recorder: world.recorder.clone(),
        key: KeyDigest::for_key(key.unwrap_or(GENERATED_KEY)),
        metrics_are_open: key.is_none(),
        hosts: AllowedHosts::only(&[]),
        render_metrics: Arc::new(|| "roomkeeper_up 1\n".to_owned()),
    }
}

async fn get(router: &Router, path: &str, key: &str) -> Answer {
    let request = Request::builder().uri(path).header("X-Admin-API-Key", key);
    send(router, request.body(Body::empty()).unwrap()).await
}

fn health(status: &str, nodes: Value) -> Value {
    json!({"status": status, "store": {"ok": true}, "nodes": nodes})
}

fn probe(id: &str, link: &str, synced: bool) -> Value {
    json!({"id": id, "link": link, "synced": synced, "owned_elsewhere": false})
}

#[tokio::test]
async fn healthz_and_readyz_give_200() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let nodes = json!(NODES.map(|id| probe(id, "up", true)));
    get(&router, "/healthz", "")
        .await
        .is(200, health("alive", nodes.clone()));
    get(&router, "/readyz", "")
        .await
        .is(200, health("ready", nodes));
}

#[tokio::test]
async fn readyz_gives_503_until_every_node_was_synced_or_failed_once() {
    let world = World::new();
    let router = admin(&world, None);
    world.set_node("acW68", |n| (n.link, n.synced) = (Link::Connecting, false));
    world.set_node("bbbbb", |n| n.synced = false);
    let envelope = get(&router, "/readyz", "").await.fails(503);
    assert_eq!(
        envelope["detail"]["reasons"],
        json!(["node acW68 is connecting", "node bbbbb is not synced yet"])
    );
    assert_eq!(envelope["detail"]["store"], json!({"ok": true}));
    assert_eq!(get(&router, "/healthz", "").await.status.as_u16(), 200);
    world.set_node("acW68", |n| n.link = down(Duration::from_secs(1)));
    world.set_node("bbbbb", |n| n.owned_elsewhere = true);
    assert_eq!(get(&router, "/readyz", "").await.status.as_u16(), 200);
    // One failure is enough.
    world.set_node("acW68", |n| n.link = Link::Up);
    assert_eq!(get(&router, "/readyz", "").await.status.as_u16(), 200);
}

#[tokio::test(start_paused = true)]
async fn unresponsive_store_gives_503() {
    let world = World::new();
    let mute = Faulty::new(world.store.clone(), &["ping"]);
    let state = AdminState {
        store: mute.clone(),
        controller: world.controller.clone(),
        apps: world.apps.clone(),
        audit: AuditSettings::default(),
        recorder: world.recorder.clone(),
        key: KeyDigest::for_key(GENERATED_KEY),
        metrics_are_open: true,
        hosts: AllowedHosts::only(&[]),
        render_metrics: Arc::new(String::new),
    };
    let router = admin_router(state, &settings());
    let envelope = get(&router, "/readyz", "").await.fails(503);
    assert_eq!(
        envelope["detail"]["reasons"],
        json!(["the store does not respond"])
    );
    let alive = get(&router, "/healthz", "").await;
    assert_eq!(alive.status.as_u16(), 200);
    assert_eq!(alive.json()["store"], json!({"ok": false}));
    assert_eq!(mute.fired.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn all_routes_except_probes_need_key() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    for path in ["/metrics", "/admin/nodes", "/admin/orphans"] {
        for key in ["", "wrong", "secret2"] {
            get(&router, path, key).await.fails(401);
        }
        assert_eq!(get(&router, path, "secret").await.status.as_u16(), 200);
    }
    get(&router, "/admin/nothing", "secret").await.fails(404);
    let open = admin(&world, None);
    assert_eq!(get(&open, "/metrics", "").await.text, "roomkeeper_up 1\n");
    let post = Request::builder()
        .method("POST")
        .uri("/healthz")
        .body(Body::empty());
    send(&open, post.unwrap()).await.fails(405);
}

#[tokio::test]
async fn nodes_are_listed_with_state() {
    let world = World::new();
    world.controller.nodes.lock().unwrap().truncate(2);
    world.set_node("acW68", |n| {
        n.calls = 3;
        n.drift = 2;
        n.resynced_at = Some(Timestamp::from_millis(1_778_070_896_000));
        n.drifted_at = Some(Timestamp::from_millis(1_778_070_895_000));
        n.last_heard = Some(Timestamp::from_millis(1_778_070_896_672));
        (n.draining, n.lag_ms) = (true, Some(23));
    });
    world.set_node("bbbbb", |n| {
        (n.link, n.synced) = (down(Duration::from_millis(1_500)), false)
    });
    get(&admin(&world, None), "/admin/nodes", GENERATED_KEY).await.is(
        200,
        json!({"nodes": [
            {
                "id": "acW68", "link": "up", "reason": null, "retry_after_ms": null, "synced": true,
                "resynced_at": "2026-05-06T12:34:56.000000Z", "drift": 2, "drifted_at": "2026-05-06T12:34:55.000000Z",
                "draining": true, "lag_ms": 23,
                "owned_elsewhere": false, "calls": 3, "max_calls": 100,
                "last_heard": "2026-05-06T12:34:56.672000Z", "relay": null, "relay_tests": [],
            },
            {
                "id": "bbbbb", "link": "down", "reason": "connection refused", "retry_after_ms": 1500,
                "resynced_at": null, "drift": 0, "drifted_at": null, "draining": false, "lag_ms": null,
                "synced": false, "owned_elsewhere": false, "calls": 0, "max_calls": 100,
                "last_heard": null, "relay": null, "relay_tests": [],
            },
        ]}),
    );
}
