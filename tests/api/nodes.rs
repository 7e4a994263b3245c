//! `/nodes` for apps, and what the operator does about nodes: drain, resync, orphans.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use roomkeeper::audit::AuditSettings;
use roomkeeper::http::{AdminState, AllowedHosts, admin_router};
use roomkeeper::reconciler::Link;
use roomkeeper::store::node_status::{
    self, ForeignCall, NodeStatusStore, OrphanConference, OrphanKind, OrphanReport, StatusField,
    UnreadableRecord,
};
use roomkeeper::store::{LeaseOutcome, Store, keys};
use roomkeeper::tenants::KeyDigest;
use roomkeeper_core::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::admin::{GENERATED_KEY, admin};
use crate::faulty::Faulty;
use crate::world::*;

const PATH: &str = "/api/v1/conferences";

async fn ask(router: &Router, method: &str, path: &str, key: &str) -> Answer {
    let request = Request::builder().method(method).uri(path);
    let request = request.header("X-Admin-API-Key", key).body(Body::empty());
    send(router, request.unwrap()).await
}

#[tokio::test]
async fn apps_see_node_states_without_addresses() {
    let world = World::new();
    world.set_node("acW68", |n| {
        (n.calls, n.drift, n.lag_ms) = (12, 3, Some(23));
        n.resynced_at = Some(Timestamp::from_millis(1_778_070_896_672));
    });
    world.set_node("bbbbb", |n| {
        (n.link, n.synced, n.draining) = (down(Duration::from_secs(1)), false, true);
    });
    // Another replica owns the node and has synced it.
    world.set_node("ccccc", |n| {
        (n.link, n.synced, n.owned_elsewhere) = (Link::Connecting, false, true);
        n.resynced_at = Some(Timestamp::from_millis(1_778_070_896_000));
        n.max_calls = 0;
    });
    world.get("/api/v1/nodes").await.is(
        200,
        json!({"nodes": [
            {
                "id": "acW68", "state": "up", "synced": true, "draining": false, "calls": 12,
                "max_calls": 100, "lag_ms": 23, "drift": 3, "resynced_at": "2026-05-06T12:34:56.672000Z",
            },
            {
                "id": "bbbbb", "state": "down", "synced": false, "draining": true, "calls": 0,
                "max_calls": 100, "lag_ms": null, "drift": 0, "resynced_at": null,
            },
            {
                "id": "ccccc", "state": "connecting", "synced": true, "draining": false, "calls": 0,
                "max_calls": 0, "lag_ms": null, "drift": 0, "resynced_at": "2026-05-06T12:34:56.000000Z",
            },
        ]}),
    );
    let unauthenticated = request(("demo", "wrong"), "GET", "/api/v1/nodes", None);
    world.send(unauthenticated).await.fails(401);
    world.post_empty("/api/v1/nodes").await.fails(405);
}

#[tokio::test]
async fn draining_node_gets_no_new_rooms() {
    let world = World::new();
    let router = admin(&world, None);
    let drains = async |what: &str, draining: bool| {
        // The command is idempotent.
        for _ in 0..2 {
            let path = format!("/admin/nodes/acW68/{what}");
            let answer = ask(&router, "POST", &path, GENERATED_KEY).await;
            answer.is(200, json!({"id": "acW68", "draining": draining}));
            let status = world
                .store
                .read_node_status(node_id("acW68"))
                .await
                .unwrap();
            assert_eq!(status.draining, draining, "it is stored");
        }
    };
    let session = session_id("acW68", 1);
    world.session(session, "demo", 1).await;
    let existing = room_id("acW68", 1);
    world.room(existing, "demo", "n", 1, 1).await;
    drains("drain", true).await;
    for body in [
        json!({"name": "a", "node": "acW68"}),
        json!({"name": "a", "session": session.to_string()}),
    ] {
        let refused = world.post(PATH, body.clone()).await.fails(409);
        assert_eq!(refused["detail"], json!({"node": "acW68"}));
        assert_eq!(
            refused["error"],
            "node acW68 is draining and gets no new conferences"
        );
        // The same in the VoIPBIN API.
        let body = json!({"node": body["node"], "session": body["session"]});
        let theirs = world.post("/v1.0/conferences", body).await.fails(409);
        assert_eq!(theirs["detail"], json!({"node": "acW68"}));
    }
    // It is the least loaded node, but not selected.
    for other in ["bbbbb", "ccccc"] {
        world.set_node(other, |n| n.calls = 50);
    }
    for n in 0..6 {
        let name = json!({"name": format!("r{n}")});
        let made = world.post(PATH, name).await;
        assert_eq!(made.status.as_u16(), 201);
        let room = made.json()["room_id"].as_str().unwrap().to_owned();
        assert!(!room.starts_with("acW68"), "{room}");
    }
    // Present rooms continue.
    let read = world.get(&format!("{PATH}/{existing}")).await;
    assert_eq!(read.status.as_u16(), 200);
    world.set_node("bbbbb", |n| n.link = down(Duration::from_secs(1)));
    world.set_node("ccccc", |n| n.draining = true);
    let full = world.post(PATH, json!({"name": "z"})).await.fails(503);
    assert_eq!(full["error"], "every node that is up is draining");
    drains("undrain", false).await;
    let made = world.post(PATH, json!({"name": "z"})).await.json();
    assert!(made["room_id"].as_str().unwrap().starts_with("acW68"));
}

#[tokio::test]
async fn resync_gives_202_with_previous_time() {
    let world = World::new();
    let router = admin(&world, None);
    let path = "/admin/nodes/acW68/resync";
    let first = ask(&router, "POST", path, GENERATED_KEY).await;
    first.is(
        202,
        json!({"id": "acW68", "status": "in_progress", "resynced_at": null}),
    );
    let at = Timestamp::from_millis(1_778_070_896_672);
    world.set_node("acW68", |n| n.resynced_at = Some(at));
    let again = ask(&router, "POST", path, GENERATED_KEY).await.json();
    assert_eq!(again["resynced_at"], "2026-05-06T12:34:56.672000Z");
    let status = world
        .store
        .read_node_status(node_id("acW68"))
        .await
        .unwrap();
    assert_eq!(status.resyncs, 2);
    let down_for = Duration::from_millis(2_500);
    world.set_node("acW68", |n| n.link = down(down_for));
    let refused = ask(&router, "POST", path, GENERATED_KEY).await;
    refused.fails(503);
    assert_eq!(refused.header("retry-after"), "3");
}

#[tokio::test]
async fn node_commands_need_admin_key_known_node_and_store() {
    let world = World::new();
    let broken = ["set_draining", "request_resync", "read_report"];
    let faulty = Faulty::new(world.store.clone(), &[]);
    let state = AdminState {
        store: faulty.clone(),
        controller: world.controller.clone(),
        apps: world.apps.clone(),
        audit: AuditSettings::default(),
        recorder: world.recorder.clone(),
        key: KeyDigest::for_key("secret"),
        metrics_are_open: false,
        hosts: AllowedHosts::only(&[]),
        render_metrics: Arc::new(String::new),
    };
    let router = admin_router(state, &settings());
    let of = |node: &str| {
        ["drain", "undrain", "resync"].map(|what| format!("/admin/nodes/{node}/{what}"))
    };
    for path in of("acW68") {
        for key in ["", "wrong"] {
            ask(&router, "POST", &path, key).await.fails(401);
        }
        ask(&router, "GET", &path, "secret").await.fails(405);
    }
    for path in of("zzzzz") {
        ask(&router, "POST", &path, "secret").await.fails(404);
    }
    for path in of("no") {
        ask(&router, "POST", &path, "secret").await.fails(400);
    }
    faulty.broken.lock().unwrap().extend(broken);
    let orphans = ask(&router, "GET", "/admin/orphans", "secret").await;
    orphans.fails(503);
    assert!(faulty.fired.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn orphans_gives_200_with_owners_reports() {
    let world = World::new();
    let router = admin(&world, None);
    let none = json!({
        "at": null, "conferences": [], "conferences_total": 0, "calls": [], "calls_total": 0,
        "records": [], "records_total": 0,
    });
    let nothing = |id: &str| {
        let mut row = none.clone();
        row["id"] = json!(id);
        row
    };
    ask(&router, "GET", "/admin/orphans", GENERATED_KEY)
        .await
        .is(200, json!({"nodes": NODES.map(nothing)}));
    let report = OrphanReport {
        at: Timestamp::from_millis(1_778_070_896_672),
        conferences: vec![OrphanConference {
            kind: OrphanKind::Foreign,
            name: "3500".to_owned(),
            conference: "c0".to_owned(),
            members: 2,
            since: Timestamp::from_millis(1_778_070_895_000),
        }],
        conferences_total: 1,
        calls: vec![ForeignCall {
            call: session_id("bbbbb", 7),
            caller_id: "527121101".to_owned(),
            did: "99".to_owned(),
            inbound: true,
            app: Some(app("gone")),
            since: None,
        }],
        calls_total: 150,
        records: vec![UnreadableRecord {
            key: "k".to_owned(),
            why: "w".to_owned(),
        }],
        records_total: 2,
    };
    let owner = Uuid::from_u128(1);
    let lease = world
        .store
        .acquire_lease(node_id("bbbbb"), owner, Duration::from_secs(10));
    let LeaseOutcome::Held(lease) = lease.await.unwrap() else {
        panic!("another replica has the lease");
    };
    let text = node_status::encode(&report);
    let put = world
        .store
        .write_status(lease, StatusField::Orphans, &text)
        .await;
    assert!(put.unwrap());
    let found = json!({
        "id": "bbbbb",
        "at": "2026-05-06T12:34:56.672000Z",
        "conferences": [{
            "name": "3500", "conference_id": "c0", "kind": "foreign", "members": 2,
            "since": "2026-05-06T12:34:55.000000Z",
        }],
        "conferences_total": 1,
        "calls": [{
            "uuid": session_id("bbbbb", 7).to_string(), "caller_id": "527121101", "did": "99",
            "direction": "inbound", "app": "gone", "since": null,
        }],
        "calls_total": 150,
        "records": [{"key": "k", "why": "w"}],
        "records_total": 2,
    });
    ask(&router, "GET", "/admin/orphans", GENERATED_KEY)
        .await
        .is(
            200,
            json!({"nodes": [nothing("acW68"), found, nothing("ccccc")]}),
        );
    // An unreadable status is reported, and so are the other nodes.
    let put = world
        .store
        .write_status(lease, StatusField::Orphans, "{}")
        .await;
    assert!(put.unwrap());
    let answer = ask(&router, "GET", "/admin/orphans", GENERATED_KEY).await;
    assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
    let nodes = &answer.json()["nodes"];
    assert_eq!(nodes[0], nothing("acW68"));
    let unreadable = &nodes[1]["records"][0]["key"];
    assert_eq!(*unreadable, keys::node_status(node_id("bbbbb")));
}
