//! Apps that are created at runtime.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use roomkeeper::http::ApiSettings;
use roomkeeper::http::rate_limit::LimitSettings;
use roomkeeper::store::AppsWrite;
use roomkeeper::store::Store;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::tenants::Registry;
use serde_json::{Value, json};

use crate::admin::admin;
use crate::faulty::Faulty;
use crate::world::*;

pub async fn ask(router: &Router, method: &str, path: &str, body: Option<Value>) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("X-Admin-API-Key", "secret");
    let body = match body {
        Some(body) => {
            request = request.header("Content-Type", "application/json");
            Body::from(body.to_string())
        }
        None => Body::empty(),
    };
    send(router, request.body(body).unwrap()).await
}

pub async fn add(router: &Router, id: &str, body: Value) -> Answer {
    ask(router, "POST", &format!("/admin/apps/{id}"), Some(body)).await
}

pub async fn create_app(router: &Router, id: &str, body: Value) -> String {
    let answer = add(router, id, body).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
    answer.json()["api_key"].as_str().unwrap().to_owned()
}

/// The status that the API returns for this key.
pub async fn status(world: &World, id: &str, key: &str) -> u16 {
    let request = request((id, key), "GET", "/api/v1/conferences", None);
    world.send(request).await.status.as_u16()
}

#[tokio::test]
async fn new_app_can_use_its_key_at_once() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let body = json!({
        "dids": ["100", "101"], "rate_limit": 50, "webhook_url": "https://example.com/hook",
    });
    let answer = add(&router, "acme", body).await;
    assert_eq!(answer.status.as_u16(), 201, "{}", answer.text);
    assert_eq!(answer.header("cache-control"), "no-store");
    let mut app = answer.json();
    let key = app["api_key"].take().as_str().unwrap().to_owned();
    let secret = app["webhook_secret"].take().as_str().unwrap().to_owned();
    // 256 bits in base64url: 43 characters.
    assert_eq!(key.strip_prefix("rk_").unwrap().len(), 43, "{key}");
    assert!(secret.parse::<roomkeeper::webhook::sign::Secret>().is_ok());
    assert_eq!(status(&world, "acme", &key).await, 200);
    assert_eq!(status(&world, "acme", "rk_other").await, 401);
    assert_eq!(status(&world, "demo", &key).await, 401);

    for path in ["/admin/apps", "/admin/apps/acme"] {
        let answer = ask(&router, "GET", path, None).await;
        assert_eq!(answer.status.as_u16(), 200);
        for hidden in [&key[3..], &secret[6..]] {
            assert!(!answer.text.contains(hidden), "{}", answer.text);
        }
    }
    let row = ask(&router, "GET", "/admin/apps/acme", None).await.json();
    assert_eq!(row["dids"], json!(["100", "101"]));
    assert_eq!(row["rate_limit"], 50);
    assert_eq!(row["webhook_urls"], json!(["https://example.com/hook"]));
    assert_eq!(row["active_keys"], 1);
    assert_eq!(
        (&row["disabled"], &row["configured"]),
        (&json!(false), &json!(false))
    );
    let list = ask(&router, "GET", "/admin/apps", None).await.json();
    let ids: Vec<_> = list["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a["app_id"].clone())
        .collect();
    assert_eq!(ids, ["acme", "demo", "other"]);
}

#[tokio::test]
async fn calls_and_endpoints_follow_app_changes() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let mut changes = world.apps.watch();
    changes.mark_unchanged();
    // The webhook workers' endpoints: they include the new app before the response, without another task.
    let receivers = world.apps.receivers();
    create_app(
        &router,
        "acme",
        json!({"dids": ["100"], "webhook_url": "https://example.com/h"}),
    )
    .await;
    assert_eq!(receivers.borrow().for_app(&app("acme")).len(), 1);
    assert!(changes.has_changed().unwrap());
    assert_eq!(world.apps.dids()["100"], app("acme"));
    assert!(world.apps.ids().contains(&app("acme")) && world.apps.ids().contains(&app("demo")));
    // A disabled app still owns its calls and gets their events.
    ask(&router, "POST", "/admin/apps/acme/disable", None).await;
    assert_eq!(world.apps.dids()["100"], app("acme"));
    assert_eq!(receivers.borrow().for_app(&app("acme")).len(), 1);
}

#[tokio::test]
async fn third_key_replaces_oldest_of_two() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let mut keys = vec![create_app(&router, "acme", json!({})).await];
    for active in [2, 2] {
        let answer = ask(&router, "POST", "/admin/apps/acme/rotate-key", None).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.json()["active_keys"], active);
        keys.push(answer.json()["api_key"].as_str().unwrap().to_owned());
    }
    let mut opens = Vec::new();
    for key in &keys {
        opens.push(status(&world, "acme", key).await);
    }
    assert_eq!(opens, [401, 200, 200]);
}

#[tokio::test]
async fn disabled_app_gets_401_and_no_new_key() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let key = create_app(&router, "acme", json!({"dids": ["100"]})).await;
    for _ in 0..2 {
        let answer = ask(&router, "POST", "/admin/apps/acme/disable", None).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        assert_eq!(answer.json()["disabled"], true);
    }
    assert_eq!(status(&world, "acme", &key).await, 401);
    ask(&router, "POST", "/admin/apps/acme/rotate-key", None)
        .await
        .fails(409);
    add(&router, "acme", json!({})).await.fails(409);
    add(&router, "beta", json!({"dids": ["100"]}))
        .await
        .fails(409);
}

#[tokio::test]
async fn value_of_another_app_gives_409() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    let customer = "5e4a0680-804e-11ec-8477-2fea5968d85b";
    create_app(
        &router,
        "acme",
        json!({"dids": ["100"], "customer_id": customer}),
    )
    .await;
    for id in ["acme", "demo"] {
        add(&router, id, json!({})).await.fails(409);
    }
    let envelope = add(&router, "beta", json!({"dids": ["1", "100"]}))
        .await
        .fails(409);
    assert_eq!(envelope["detail"], json!({"did": "100", "app_id": "acme"}));
    let envelope = add(&router, "beta", json!({"customer_id": customer}))
        .await
        .fails(409);
    assert_eq!(envelope["detail"], json!({"app_id": "acme"}));
    for action in ["rotate-key", "disable"] {
        let path = format!("/admin/apps/demo/{action}");
        ask(&router, "POST", &path, None).await.fails(409);
        let path = format!("/admin/apps/nobody/{action}");
        ask(&router, "POST", &path, None).await.fails(404);
    }
    ask(&router, "GET", "/admin/apps/nobody", None)
        .await
        .fails(404);
    let row = ask(&router, "GET", "/admin/apps/demo", None).await.json();
    assert_eq!(
        (&row["configured"], &row["created_at"]),
        (&json!(true), &Value::Null)
    );
}

#[tokio::test]
async fn bad_field_gives_400_with_its_name() {
    let world = World::new();
    let router = admin(&world, Some("secret"));
    for (field, bad) in [
        ("customer_id", json!("x")),
        ("customer_id", json!("00000000-0000-0000-0000-000000000000")),
        ("dids", json!("100")),
        ("dids", json!([100])),
        ("dids", json!(["1 2"])),
        ("dids", json!(["1", "1"])),
        ("dids", json!(vec!["1"; 1001])),
        ("rate_limit", json!(0)),
        ("rate_limit", json!(-1)),
        ("rate_limit", json!(1.5)),
        ("rate_limit", json!(1_000_001)),
        ("webhook_url", json!("nothing")),
        ("webhook_url", json!("http://example.com/")),
        ("webhook_url", json!("https://127.0.0.1/")),
    ] {
        let envelope = add(&router, "acme", json!({field: bad})).await.fails(400);
        assert_eq!(envelope["detail"]["field"], field, "{bad}");
    }
    let envelope = add(&router, "a.b", json!({})).await.fails(400);
    assert_eq!(envelope["detail"]["field"], "app_id");
    assert_eq!(
        world.store.read_apps(None).await.unwrap().unwrap().version,
        0
    );
}

#[tokio::test]
async fn missing_admin_key_gives_401() {
    let world = World::new();
    let router = admin(&world, Some("other"));
    for (method, path) in [
        ("GET", "/admin/apps"),
        ("GET", "/admin/apps/acme"),
        ("POST", "/admin/apps/acme"),
        ("POST", "/admin/apps/acme/rotate-key"),
        ("POST", "/admin/apps/acme/rate-limit"),
        ("POST", "/admin/apps/acme/disable"),
    ] {
        ask(&router, method, path, None).await.fails(401);
    }
}

#[tokio::test]
async fn change_of_another_replica_is_found_with_next_poll() {
    let (here, there) = (World::new(), World::new());
    let store: Arc<dyn Store> = here.store.clone();
    let replica = Arc::new(Registry::new(store, &[], Vec::new()));
    let key = create_app(
        &admin(&here, Some("secret")),
        "acme",
        json!({"dids": ["100"]}),
    )
    .await;
    assert_eq!(status(&here, "acme", &key).await, 200);
    assert_eq!(
        status(&there, "acme", &key).await,
        401,
        "it has a different store"
    );
    assert!(!replica.ids().contains(&app("acme")));
    replica.refresh().await.unwrap();
    assert_eq!(replica.dids()["100"], app("acme"));
}

#[tokio::test(start_paused = true)]
async fn changes_are_polled_every_second_also_after_outage() {
    let world = World::new();
    let faulty = Faulty::new(world.store.clone(), &["read_apps"]);
    let replica = Arc::new(Registry::new(faulty.clone(), &[], Vec::new()));
    let mut changes = replica.watch();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(replica.clone().run(stop.clone()));
    create_app(&admin(&world, Some("secret")), "acme", json!({})).await;
    // Polling continues during the outage.
    faulty.until_fired(3).await;
    faulty.broken.lock().unwrap().clear();
    let start = tokio::time::Instant::now();
    changes.changed().await.unwrap();
    assert!(start.elapsed() < std::time::Duration::from_secs(2));
    assert!(replica.ids().contains(&app("acme")));
    stop.cancel();
    running.await.unwrap();
}

/// Settings with this default rate limit.
fn with_default_rate(app_rate: u32) -> ApiSettings {
    ApiSettings {
        limits: LimitSettings {
            app_rate,
            cooldowns: false,
        },
        ..settings()
    }
}

/// Sends requests at once and returns the number of admitted ones.
async fn count_admitted(world: &World, id: &str, key: &str, requests: u32) -> u32 {
    let mut passed = 0;
    for _ in 0..requests {
        match status(world, id, key).await {
            200 => passed += 1,
            other => assert_eq!(other, 429),
        }
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn app_has_own_limit_or_default() {
    for (everyone, of_demo) in [(2, 2), (0, 12)] {
        let world = World::with_settings(with_default_rate(everyone));
        let router = admin(&world, Some("secret"));
        let few = create_app(&router, "few", json!({"rate_limit": 1})).await;
        let many = create_app(&router, "many", json!({"rate_limit": 9})).await;
        let none = create_app(&router, "none", json!({})).await;
        assert_eq!(count_admitted(&world, "few", &few, 12).await, 1);
        assert_eq!(count_admitted(&world, "many", &many, 12).await, 9);
        assert_eq!(count_admitted(&world, "none", &none, 12).await, of_demo);
        assert_eq!(count_admitted(&world, DEMO.0, DEMO.1, 12).await, of_demo);
    }
}

#[tokio::test(start_paused = true)]
async fn configured_app_can_have_own_limit() {
    let store = Arc::new(MemoryStore::new());
    let mut demo = configured(DEMO);
    demo.rate_limit = Some(3);
    let world = World::with_apps(&[demo], store.clone(), store, with_default_rate(50));
    assert_eq!(count_admitted(&world, DEMO.0, DEMO.1, 12).await, 3);
    let router = admin(&world, Some("secret"));
    let row = ask(&router, "GET", "/admin/apps/demo", None).await.json();
    assert_eq!(row["rate_limit"], 3);
    let path = "/admin/apps/demo/rate-limit";
    ask(&router, "POST", path, Some(json!({"rate_limit": 1})))
        .await
        .fails(409);
}

#[tokio::test(start_paused = true)]
async fn new_limit_applies_at_once_here_and_with_next_poll_elsewhere() {
    let store = Arc::new(MemoryStore::new());
    let here = World::with_store(store.clone(), store.clone(), with_default_rate(50));
    let there = World::with_store(store.clone(), store, with_default_rate(50));
    let router = admin(&here, Some("secret"));
    let key = create_app(&router, "acme", json!({"rate_limit": 40})).await;
    let mut changes = there.apps.watch();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(there.apps.clone().run(stop.clone()));
    changes.changed().await.unwrap();
    // The replicas share the limit, also while each has leased tokens.
    let both = count_admitted(&here, "acme", &key, 30).await
        + count_admitted(&there, "acme", &key, 30).await;
    assert!((34..=40).contains(&both), "{both}");

    for (limit, shown, passed) in [(Some(2), json!(2), 2), (None, Value::Null, 50)] {
        let body = json!({ "rate_limit": limit });
        let answer = ask(&router, "POST", "/admin/apps/acme/rate-limit", Some(body)).await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text);
        assert_eq!(answer.json()["rate_limit"], shown);
        let start = tokio::time::Instant::now();
        changes.changed().await.unwrap();
        assert!(start.elapsed() < std::time::Duration::from_secs(2));
        for world in [&here, &there] {
            // After a second the bucket is full.
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
            assert_eq!(count_admitted(world, "acme", &key, 60).await, passed);
        }
    }
    stop.cancel();
    running.await.unwrap();
    for (id, body, status) in [
        ("acme", json!({"rate_limit": 0}), 400),
        ("acme", json!({"rate_limit": "1"}), 400),
        ("nobody", json!({"rate_limit": 1}), 404),
    ] {
        let path = format!("/admin/apps/{id}/rate-limit");
        ask(&router, "POST", &path, Some(body)).await.fails(status);
    }
}

#[tokio::test]
async fn unread_stored_apps_give_503_instead_of_401() {
    let store = Arc::new(roomkeeper::store::memory::MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["read_apps"]);
    let world = World::with_store(faulty.clone(), store, settings());
    let unknown = || request(("acme", "rk_x"), "GET", "/api/v1/conferences", None);
    world.send(unknown()).await.fails(503);
    assert_eq!(faulty.fired.load(Ordering::Relaxed), 1);
    // Authentication of a configured app needs no store.
    assert_eq!(world.get("/api/v1/conferences").await.status.as_u16(), 200);
    faulty.broken.lock().unwrap().clear();
    world.send(unknown()).await.fails(401);
    // After one read, the last known apps count.
    faulty.broken.lock().unwrap().insert("read_apps");
    world.send(unknown()).await.fails(401);
    let router = admin(&world, Some("secret"));
    add(&router, "acme", json!({})).await.fails(503);
}

#[tokio::test]
async fn concurrent_app_creation_never_shares_number() {
    let world = World::new();
    let replicas: Vec<_> = (0..8)
        .map(|_| world.store.clone() as Arc<dyn Store>)
        .collect();
    let made = replicas.into_iter().enumerate().map(|(n, store)| {
        let mut there = World::with_store(store, world.store.clone(), settings());
        there.store = world.store.clone();
        async move {
            let router = admin(&there, Some("secret"));
            add(&router, &format!("app{n}"), json!({"dids": ["100"]}))
                .await
                .status
                .as_u16()
        }
    });
    let mut all = futures_util::future::join_all(made).await;
    all.sort_unstable();
    assert_eq!(all, [201, 409, 409, 409, 409, 409, 409, 409]);
}

#[tokio::test]
async fn unreadable_app_does_not_affect_others() {
    let world = World::new();
    assert!(
        world
            .store
            .put_apps(0, &[AppsWrite::App(&app("broken"), Some("{}"))])
            .await
            .unwrap()
    );
    let router = admin(&world, Some("secret"));
    let key = create_app(&router, "acme", json!({})).await;
    assert_eq!(status(&world, "acme", &key).await, 200);
    add(&router, "broken", json!({})).await.fails(409);
}
