//! The audit log: which requests become entries, and how the operator reads them.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::FutureExt;
use roomkeeper::audit::{AuditSettings, audit_log};
use roomkeeper::store::audit::{AuditActor, AuditEntry, AuditId};
use roomkeeper::store::contract::audit::{AuditLimits, AuditLog, AuditLogKind};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::admin::admin;
use crate::apps::{add, ask, create_app};
use crate::world::*;

const AT: u64 = 1_778_070_896_000;

fn router(world: &World) -> Router {
    admin(world, Some("secret"))
}

/// Reads the log once it has this number of entries.
async fn entries(router: &Router, query: &str, count: usize) -> Vec<Value> {
    let read = async {
        loop {
            let path = format!("/admin/audit?{query}");
            let answer = ask(router, "GET", &path, None).await;
            assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
            let page = answer.json();
            let found = page["entries"].as_array().unwrap().clone();
            if found.len() >= count {
                return found;
            }
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(std::time::Duration::from_secs(20), read);
    let found = found.await.expect("the entries are written");
    assert_eq!(found.len(), count, "{found:?}");
    found
}

fn field(entries: &[Value], name: &str) -> Vec<Value> {
    entries.iter().map(|entry| entry[name].clone()).collect()
}

#[tokio::test]
async fn changes_of_operator_and_apps_become_entries_without_secrets() {
    let world = World::new();
    let router = router(&world);
    let key = create_app(
        &router,
        "acme",
        json!({"webhook_url": "https://example.com/h?token=t0p"}),
    )
    .await;
    let made = world
        .post("/api/v1/conferences", json!({"name": "secret-name"}))
        .await
        .json();
    let room = made["room_id"].as_str().unwrap();
    let webhook =
        json!({"url": "https://example.com/x", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let hook = world.post("/api/v1/webhooks", webhook).await.json();
    world.delete(&format!("/api/v1/conferences/{room}")).await;
    // Reads are no entries.
    world.get("/api/v1/conferences").await;
    let found = entries(&router, "", 4).await;
    assert_eq!(
        field(&found, "action"),
        [
            "conferences.delete",
            "webhooks.create",
            "conferences.create",
            "apps.create"
        ]
    );
    assert_eq!(
        field(&found, "target"),
        [json!(room), hook["id"].clone(), json!(room), json!("acme")]
    );
    assert_eq!(field(&found, "status"), [200, 201, 201, 201]);
    let oldest = &found[3];
    assert_eq!(
        oldest["actor"],
        json!({"kind": "operator", "id": "operator"})
    );
    assert_eq!(oldest["app_id"], "acme");
    assert_eq!(oldest["result"], "accepted");
    assert_eq!(
        oldest["details"],
        json!({"method": "POST", "route": "/admin/apps/{app_id}", "params": {"app_id": "acme"}})
    );
    assert!(oldest["at"].as_str().unwrap().ends_with('Z'));
    assert!(!oldest["request_id"].as_str().unwrap().is_empty());
    assert_eq!(found[0]["actor"], json!({"kind": "app", "id": "demo"}));
    assert_eq!(found[0]["app_id"], "demo");
    let text = serde_json::to_string(&found).unwrap();
    for hidden in [&key[..], "t0p", "whsec", "secret-name"] {
        assert!(!text.contains(hidden), "{hidden} in {text}");
    }
}

#[tokio::test]
async fn refused_and_failed_requests_are_entries_with_their_error() {
    let world = World::new();
    let router = router(&world);
    let missing = room_id("acW68", 9);
    let id = "b7c1f6a0";
    let mut request = request(
        DEMO,
        "DELETE",
        &format!("/api/v1/conferences/{missing}"),
        None,
    );
    request
        .headers_mut()
        .insert("x-request-id", id.parse().unwrap());
    world.send(request).await.fails(404);
    world.set_node("acW68", |node| {
        node.link = down(std::time::Duration::from_secs(1))
    });
    ask(&router, "POST", "/admin/nodes/acW68/resync", None)
        .await
        .fails(503);
    let found = entries(&router, "", 2).await;
    assert_eq!(
        field(&found, "action"),
        ["nodes.resync", "conferences.delete"]
    );
    assert_eq!(field(&found, "result"), ["failed", "refused"]);
    assert_eq!(field(&found, "status"), [503, 404]);
    assert_eq!(found[1]["error"], "room not found");
    assert_eq!(found[1]["request_id"], id);
    assert_eq!(found[1]["target"], missing.to_string());
}

#[tokio::test]
async fn entries_do_not_repeat_text_of_body() {
    let world = World::new();
    let router = router(&world);
    let url = "https//hooks.example.com/s3cret";
    let envelope = world
        .post("/api/v1/webhooks", json!({"url": url}))
        .await
        .fails(400);
    assert!(envelope.to_string().contains("s3cret"), "{envelope}");
    add(&router, "acme", json!({"webhook_url": url}))
        .await
        .fails(400);
    let found = entries(&router, "", 2).await;
    assert_eq!(
        field(&found, "error"),
        [
            "webhook_url: expected a URL such as https://app.example.com/hook",
            "url: expected a URL such as https://example.com/hook",
        ]
    );
}

#[tokio::test]
async fn requests_without_valid_key_are_no_entries() {
    let world = World::new();
    let router = router(&world);
    world
        .send(request(
            ("demo", "wrong"),
            "POST",
            "/api/v1/conferences",
            Some(json!({"name": "n"})),
        ))
        .await
        .fails(401);
    let unknown = Request::builder()
        .method("POST")
        .uri("/admin/nodes/acW68/drain");
    send(&router, unknown.body(Body::empty()).unwrap())
        .await
        .fails(401);
    world.post_empty("/api/v1/nothing").await.fails(404);
    ask(&router, "POST", "/admin/nodes/acW68/drain", None).await;
    let found = entries(&router, "", 1).await;
    assert_eq!(field(&found, "action"), ["nodes.drain"]);
}

#[tokio::test]
async fn operators_commands_name_the_app_of_their_subject() {
    let world = World::new();
    let router = router(&world);
    let room = room_id("acW68", 1);
    world.room(room, "other", "r", AT, 0).await;
    ask(&router, "DELETE", &format!("/admin/rooms/{room}"), None).await;
    let found = entries(&router, "app_id=other", 1).await;
    assert_eq!(
        (&found[0]["action"], &found[0]["target"]),
        (&json!("rooms.delete"), &json!(room.to_string()))
    );
}

#[tokio::test]
async fn entries_are_filtered() {
    let world = World::new();
    let router = router(&world);
    create_app(&router, "acme", json!({})).await;
    ask(&router, "POST", "/admin/apps/acme/disable", None).await;
    ask(&router, "POST", "/admin/nodes/acW68/drain", None).await;
    world
        .post("/api/v1/conferences", json!({"name": "n"}))
        .await;
    let all = entries(&router, "", 4).await;
    let actions = [
        "conferences.create",
        "nodes.drain",
        "apps.disable",
        "apps.create",
    ];
    assert_eq!(field(&all, "action"), actions);
    for (query, chosen) in [
        ("actor=operator", &actions[1..]),
        ("actor=demo", &actions[..1]),
        ("app_id=acme", &actions[2..]),
        ("action=apps.*", &actions[2..]),
        ("action=apps.disable", &actions[2..3]),
        ("action=apps", &[]),
        ("since=2999-01-01T00:00:00Z", &[]),
        ("until=2001-01-01T00:00:00Z", &[]),
        (
            "until=2999-01-01T00:00:00Z&since=2001-01-01T00:00:00Z",
            &actions[..],
        ),
    ] {
        let found = entries(&router, query, chosen.len()).await;
        assert_eq!(field(&found, "action"), chosen, "{query}");
    }
    let third = all[2]["at"].as_str().unwrap();
    let found = entries(&router, &format!("since={third}"), 3).await;
    assert_eq!(field(&found, "action"), &actions[..3]);
    let found = entries(&router, &format!("until={third}"), 1).await;
    assert_eq!(field(&found, "action"), &actions[3..]);
    for (query, name) in [
        ("since=yesterday", "since"),
        ("actor=a.b", "actor"),
        ("app_id=a.b", "app_id"),
        ("limit=0", "limit"),
        ("cursor=AAAA", "cursor"),
    ] {
        let path = format!("/admin/audit?{query}");
        let envelope = ask(&router, "GET", &path, None).await.fails(400);
        assert_eq!(envelope["detail"]["field"], name);
    }
    let other = admin(&world, Some("other"));
    ask(&other, "GET", "/admin/audit", None).await.fails(401);
}

fn entry(id: AuditId, actor: AuditActor) -> AuditEntry {
    AuditEntry {
        id,
        actor,
        action: "rooms.delete".to_owned(),
        method: "DELETE".to_owned(),
        route: "/admin/rooms/{room_id}".to_owned(),
        target: None,
        app: None,
        status: 200,
        error: None,
        request: String::new(),
        client: String::new(),
        params: std::collections::BTreeMap::new(),
    }
}

/// Stores entries of this sender, a microsecond apart.
async fn store_entries(world: &World, actor: &AuditActor, from: u64, count: u64) {
    let texts: Vec<String> = (0..count)
        .map(|n| {
            let random = u32::from(*actor == AuditActor::Operator);
            let id = AuditId::new(Timestamp::from_micros(from + n), random);
            let entry = AuditEntry {
                target: Some(n.to_string()),
                ..entry(id, actor.clone())
            };
            entry.encode()
        })
        .collect();
    let limits = AuditLimits {
        entries: 1_000_000,
        keep: std::time::Duration::from_secs(60),
        oldest: Timestamp::from_micros(0),
    };
    let append = world.store.append_audit(actor.log(), &texts, limits);
    append.await.unwrap();
}

#[tokio::test]
async fn pages_of_both_logs_neither_repeat_nor_miss_entries() {
    let world = World::new();
    let router = router(&world);
    let now = roomkeeper::clock::now().as_micros() - 1_000_000;
    // Uneven, so that one log has more batches than the other.
    store_entries(&world, &AuditActor::App(app("demo")), now, 1_300).await;
    store_entries(&world, &AuditActor::Operator, now + 400, 200).await;
    let mut ids = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/admin/audit?limit=170&cursor={cursor}");
        let page = ask(&router, "GET", &path, None).await.json();
        let rows = page["entries"].as_array().unwrap();
        assert!(rows.len() <= 170);
        ids.extend(rows.iter().map(|row| {
            row["id"].as_str().unwrap().to_owned() + row["actor"]["id"].as_str().unwrap()
        }));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if cursor.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 1_500);
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), 1_500);
    let times: Vec<&str> = ids.iter().map(|id| &id[..16]).collect();
    assert!(times.is_sorted_by(|a, b| a >= b));
    let found = entries(&router, "actor=operator&limit=200", 200).await;
    assert_eq!(found[0]["target"], "199");
}

#[tokio::test]
async fn entries_beyond_their_keeping_time_are_not_shown() {
    let world = World::new();
    let router = router(&world);
    store_entries(&world, &AuditActor::Operator, 1_000_000, 3).await;
    let stored = world.store.read_audit(AuditLogKind::Operator, "", None, 9);
    assert_eq!(stored.await.unwrap().len(), 3);
    entries(&router, "", 0).await;
}

#[tokio::test]
async fn unavailable_store_gives_503_to_readers_and_does_not_affect_changes() {
    let store = std::sync::Arc::new(roomkeeper::store::memory::MemoryStore::new());
    let faulty = crate::faulty::Faulty::new(store.clone(), &["append_audit", "read_audit"]);
    let world = World::with_store(faulty.clone(), store, settings());
    let made = world
        .post("/api/v1/conferences", json!({"name": "n"}))
        .await;
    assert_eq!(made.status.as_u16(), 201);
    let state = roomkeeper::http::AdminState {
        store: faulty.clone(),
        ..crate::admin::state(&world, Some("secret"))
    };
    let router = roomkeeper::http::admin_router(state, &settings());
    ask(&router, "GET", "/admin/audit", None).await.fails(503);
    faulty.broken.lock().unwrap().clear();
    // The entry has waited.
    let found = entries(&router, "", 1).await;
    assert_eq!(field(&found, "action"), ["conferences.create"]);
}

#[tokio::test(start_paused = true)]
async fn request_of_a_client_that_disconnects_is_an_entry() {
    let world = World::new();
    let router = router(&world);
    let room = room_id("acW68", 1);
    world.room(room, "demo", "r", AT, 0).await;
    *world.controller.during.lock().unwrap() =
        Some(Box::new(|_, _| std::future::pending().boxed()));
    let path = format!("/admin/rooms/{room}");
    let deleted = ask(&router, "DELETE", &path, None);
    let cut_off = tokio::time::timeout(std::time::Duration::from_secs(1), deleted).await;
    assert!(cut_off.is_err(), "{cut_off:?}");
    let found = entries(&router, "", 1).await;
    assert_eq!(
        (&found[0]["status"], &found[0]["result"]),
        (&json!(499), &json!("failed"))
    );
    assert_eq!(found[0]["target"], room.to_string());
    assert!(!found[0]["request_id"].as_str().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn requests_above_the_rate_limit_are_no_entries() {
    let world = World::with_settings(roomkeeper::http::ApiSettings {
        limits: roomkeeper::http::rate_limit::LimitSettings {
            app_rate: 1,
            cooldowns: false,
        },
        ..settings()
    });
    let router = router(&world);
    let create = async |name: &str| {
        world
            .post("/api/v1/conferences", json!({ "name": name }))
            .await
    };
    assert_eq!(create("a").await.status.as_u16(), 201);
    create("b").await.fails(429);
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    assert_eq!(create("c").await.status.as_u16(), 201);
    let found = entries(&router, "", 2).await;
    assert_eq!(field(&found, "status"), [201, 201]);
}

#[tokio::test(start_paused = true)]
async fn entries_wait_for_the_store_and_are_written_at_the_end() {
    let memory = std::sync::Arc::new(roomkeeper::store::memory::MemoryStore::new());
    let faulty = crate::faulty::Faulty::new(memory.clone(), &["append_audit"]);
    let (recorder, mut writer) = audit_log(faulty.clone(), AuditSettings::default());
    let now = roomkeeper::clock::now();
    let entry = |n: u32| entry(AuditId::new(now, n), AuditActor::App(app("demo")));
    for n in 0..700 {
        recorder.record(entry(n));
    }
    let stop = tokio_util::sync::CancellationToken::new();
    let ends = stop.clone();
    let running = tokio::spawn(async move { writer.run(&ends).await });
    let pause = std::time::Duration::from_millis(100);
    faulty.until_fired(3).await;
    faulty.broken.lock().unwrap().clear();
    let stored = async || {
        let read = memory.read_audit(AuditLogKind::Apps, "", None, usize::MAX);
        read.await.unwrap().len()
    };
    let all = async {
        while stored().await < 700 {
            tokio::time::sleep(pause).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), all)
        .await
        .unwrap();
    recorder.record(entry(700));
    stop.cancel();
    running.await.unwrap();
    assert_eq!(stored().await, 701);
}
