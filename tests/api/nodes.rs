//! `/nodes` for apps, and what the operator does about nodes: drain, resync, orphans.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use roomkeeper::audit::AuditSettings;
use roomkeeper::http::{AdminState, AllowedHosts, admin_router};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Link, RelayFigures, RelayTest, RelayTestError};
use roomkeeper::store::node_status::{
    self, ForeignCall, NodeStatusStore, OrphanConference, OrphanKind, OrphanReport, StatusField,
    UnreadableRecord,
};
use roomkeeper::store::{LeaseOutcome, Store, keys};
use roomkeeper::tenants::KeyDigest;
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
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

/// Requests a test of the way from acW68.
async fn test_relay(router: &Router, path: &str, key: &str, body: &Value) -> Answer {
    let request = Request::builder().method("POST").uri(path);
    let request = request.header("X-Admin-API-Key", key);
    let request = request.header("Content-Type", "application/json");
    send(router, request.body(Body::from(body.to_string())).unwrap()).await
}

#[tokio::test]
async fn relay_test_gives_200_with_its_result() {
    let world = World::new();
    let router = admin(&world, None);
    let path = "/admin/nodes/acW68/relay-test";
    let to = json!({"to": "bbbbb"});
    let works = RelayTest {
        to: node_id("bbbbb"),
        at: Timestamp::from_millis(1_778_070_896_672),
        cause: None,
        figures: Some(RelayFigures {
            answered: Duration::from_micros(21_900),
            sent: 100,
            received: 98,
            lost: 1,
            jitter: Duration::from_micros(1_449),
        }),
    };
    let rejected = RelayTest {
        cause: Some("CALL_REJECTED".to_owned()),
        figures: None,
        ..works.clone()
    };
    let silent = RelayTest {
        cause: Some("NO_MEDIA".to_owned()),
        ..works.clone()
    };
    let at = "2026-05-06T12:34:56.672000Z";
    for (test, expected) in [
        (
            works.clone(),
            json!({"works": true, "cause": null, "answered_ms": 21, "sent": 100, "received": 98, "lost": 1, "jitter_ms": 1.4}),
        ),
        (
            rejected.clone(),
            json!({"works": false, "cause": "CALL_REJECTED", "answered_ms": null, "sent": null, "received": null, "lost": null, "jitter_ms": null}),
        ),
        (
            silent,
            json!({"works": false, "cause": "NO_MEDIA", "answered_ms": 21, "sent": 100, "received": 98, "lost": 1, "jitter_ms": 1.4}),
        ),
    ] {
        let mut expected = expected;
        for (field, value) in [("from", "acW68"), ("to", "bbbbb"), ("at", at)] {
            expected[field] = json!(value);
        }
        world
            .controller
            .relay_test
            .lock()
            .unwrap()
            .replace(Ok(test));
        let answer = test_relay(&router, path, GENERATED_KEY, &to).await;
        answer.is(200, expected);
    }
    world.set_node("acW68", |node| {
        node.relay = Some("10.0.0.11:5090".to_owned());
        node.relay_tests = vec![rejected];
    });
    let list = ask(&router, "GET", "/admin/nodes", GENERATED_KEY).await;
    let list = list.json();
    assert_eq!(list["nodes"][0]["relay"], "10.0.0.11:5090");
    assert_eq!(
        list["nodes"][0]["relay_tests"],
        json!([{"to": "bbbbb", "at": at, "works": false, "cause": "CALL_REJECTED"}])
    );
    assert_eq!(list["nodes"][1]["relay"], json!(null));
    assert_eq!(list["nodes"][1]["relay_tests"], json!([]));
}

#[tokio::test]
async fn relay_test_has_a_status_for_each_failure() {
    let world = World::new();
    let router = admin(&world, None);
    let path = "/admin/nodes/acW68/relay-test";
    let to = json!({"to": "bbbbb"});
    let other = node_id("bbbbb");
    let failed = |error| RelayTestError::Command { node: other, error };
    let retry_after = Duration::from_millis(2_500);
    for (error, status, words) in [
        (
            RelayTestError::SameNode,
            409,
            "a relay leads to another node",
        ),
        (
            RelayTestError::NoAddress(other),
            409,
            "node bbbbb has no relay address",
        ),
        (
            RelayTestError::InProgress(other),
            409,
            "another relay test from node bbbbb is in progress",
        ),
        (
            failed(CommandError::Refused("-USAGE".to_owned())),
            502,
            "node bbbbb: FreeSWITCH refused: -USAGE",
        ),
        (
            failed(CommandError::Down { retry_after }),
            503,
            "node bbbbb: the node is down",
        ),
        (
            failed(CommandError::Unknown),
            504,
            "node bbbbb: FreeSWITCH did not answer in time",
        ),
    ] {
        world
            .controller
            .relay_test
            .lock()
            .unwrap()
            .replace(Err(error));
        let answer = test_relay(&router, path, GENERATED_KEY, &to).await;
        assert_eq!(answer.fails(status)["error"], words);
    }
    for (path, key, body, status) in [
        (path, "wrong", &to, 401),
        ("/admin/nodes/zzzzz/relay-test", GENERATED_KEY, &to, 404),
        ("/admin/nodes/no/relay-test", GENERATED_KEY, &to, 400),
        (path, GENERATED_KEY, &json!({"to": "zzzzz"}), 404),
        (path, GENERATED_KEY, &json!({"to": "no"}), 400),
        (path, GENERATED_KEY, &json!({"to": 5}), 400),
        (path, GENERATED_KEY, &json!({}), 400),
    ] {
        test_relay(&router, path, key, body).await.fails(status);
    }
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
