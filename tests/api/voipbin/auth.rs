//! Credentials: the gateway's headers, a bearer token, a token in the query. None of them is disclosed.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use super::*;
use crate::limits::limited;
use crate::observed::{Observation, observe};

/// A request with exactly these headers.
fn plain(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut builder = Request::builder().uri(path);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::empty()).unwrap()
}

async fn status(world: &World, path: &str, headers: &[(&str, &str)]) -> u16 {
    world.send(plain(path, headers)).await.status.as_u16()
}

#[tokio::test]
async fn key_is_accepted_in_headers_bearer_and_query() {
    let world = World::new();
    let mine = conference_id("acW68", 1);
    world.conference(mine, "demo").await;
    world.conference(conference_id("acW68", 2), "other").await;
    let with_token = |token: &str| format!("{CONFERENCES}?token={token}");
    let both = format!("{CONFERENCES}?page_size=5&token=demo-key&page_token=");
    let gateway = [("X-App-ID", "demo"), ("X-API-Key", "demo-key")];
    for (path, headers) in [
        (CONFERENCES, &gateway[..]),
        (CONFERENCES, &[("Authorization", "Bearer demo-key")]),
        (CONFERENCES, &[("authorization", "bearer demo-key")]),
        (CONFERENCES, &[("Authorization", "BEARER  demo-key ")]),
        (&with_token("demo-key"), &[]),
        (&with_token("demo%2Dkey"), &[]),
        (&both, &[]),
    ] {
        let list = world.send(plain(path, headers)).await.ok();
        let rows = list["result"].as_array().unwrap();
        assert_eq!(rows.len(), 1, "{path} {headers:?}: {list}");
        assert_eq!(rows[0]["id"], mine.uuid().to_string());
    }
    // The key determines the app.
    let list = world.send(plain(&with_token("other-key"), &[])).await.ok();
    assert_eq!(list["result"][0]["customer_id"], customer(OTHER));
    assert_eq!(list["result"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn anything_else_401() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let paths = [
        CONFERENCES.to_owned(),
        path_of(room),
        // Authentication precedes the check of the path.
        format!("{CONFERENCES}/no-uuid"),
        CALLS.to_owned(),
        RECORDINGS.to_owned(),
    ];
    let wrong: &[(&str, &[(&str, &str)])] = &[
        ("", &[]),
        ("", &[("X-App-ID", "demo")]),
        ("", &[("X-API-Key", "demo-key")]),
        ("", &[("X-App-ID", "demo"), ("X-API-Key", "other-key")]),
        (
            "",
            &[
                ("X-App-ID", "demo"),
                ("X-API-Key", "demo-key"),
                ("X-API-Key", "demo-key"),
            ],
        ),
        (
            "",
            &[
                ("X-App-ID", "demo"),
                ("X-App-ID", "demo"),
                ("X-API-Key", "demo-key"),
            ],
        ),
        ("", &[("Authorization", "demo-key")]),
        ("", &[("Authorization", "Bearer")]),
        ("", &[("Authorization", "Bearer ")]),
        ("", &[("Authorization", "Bearerdemo-key")]),
        ("", &[("Authorization", "Bearer wrong")]),
        ("", &[("Authorization", "Bearer demo-key other-key")]),
        ("", &[("Authorization", "Basic demo-key")]),
        (
            "",
            &[
                ("Authorization", "Bearer demo-key"),
                ("Authorization", "Bearer demo-key"),
            ],
        ),
        ("?token=", &[]),
        ("?token", &[]),
        ("?token=wrong", &[]),
        ("?token=%FF", &[]),
        ("?token=DEMO-KEY", &[]),
        ("?Token=demo-key", &[]),
        ("?token=demo-key&token=demo-key", &[]),
        ("?token=demo-key&token=other-key", &[]),
        ("?token=demo-key&token=", &[]),
        // The way with precedence counts, and its key is wrong.
        ("?token=demo-key", &[("Authorization", "Bearer wrong")]),
        ("?token=demo-key", &[("Authorization", "Basic x")]),
        ("?token=demo-key", &[("X-App-ID", "demo")]),
        (
            "",
            &[("Authorization", "Bearer demo-key"), ("X-App-ID", "demo")],
        ),
    ];
    for path in &paths {
        for (query, headers) in wrong {
            let answer = world.send(plain(&format!("{path}{query}"), headers)).await;
            assert_eq!(answer.status.as_u16(), 401, "{path}{query} {headers:?}");
            answer.fails(401);
            assert!(!answer.header("www-authenticate").is_empty());
        }
    }
}

#[tokio::test]
async fn headers_win_over_bearer_and_bearer_over_query() {
    let world = World::new();
    world.conference(conference_id("acW68", 1), "demo").await;
    let whose = |path: &'static str, headers: &'static [(&str, &str)]| {
        let world = &world;
        async move {
            let list = world.send(plain(path, headers)).await.ok();
            list["result"].as_array().unwrap().len()
        }
    };
    let gateway = &[
        ("X-App-ID", "demo"),
        ("X-API-Key", "demo-key"),
        ("Authorization", "Bearer other-key"),
    ];
    assert_eq!(whose("/v1.0/conferences?token=other-key", gateway).await, 1);
    let bearer = &[("Authorization", "Bearer demo-key")];
    assert_eq!(whose("/v1.0/conferences?token=other-key", bearer).await, 1);
}

#[tokio::test]
async fn gateway_api_rejects_bearer_and_token() {
    let world = World::new();
    let path = "/api/v1/conferences";
    let bearer = [("Authorization", "Bearer demo-key")];
    assert_eq!(status(&world, path, &bearer).await, 401);
    let path = "/api/v1/conferences?token=demo-key";
    assert_eq!(status(&world, path, &[]).await, 401);
}

#[tokio::test]
async fn key_of_two_apps_is_rejected() {
    let apps = [configured(("one", "shared")), configured(("two", "shared"))];
    let store = std::sync::Arc::new(roomkeeper::store::memory::MemoryStore::new());
    let world = World::with_apps(&apps, store.clone(), store, settings());
    assert_eq!(
        status(&world, "/v1.0/conferences?token=shared", &[]).await,
        401
    );
    let named = [("X-App-ID", "two"), ("X-API-Key", "shared")];
    assert_eq!(status(&world, CONFERENCES, &named).await, 200);
}

#[tokio::test(start_paused = true)]
async fn every_way_of_authentication_counts_against_limit() {
    let world = World::with_settings(limited(3, false));
    let bearer = [("Authorization", "Bearer demo-key")];
    let headers = [("X-App-ID", "demo"), ("X-API-Key", "demo-key")];
    assert_eq!(status(&world, CONFERENCES, &bearer).await, 200);
    assert_eq!(status(&world, CONFERENCES, &headers).await, 200);
    let token = format!("{CONFERENCES}?token=demo-key");
    assert_eq!(status(&world, &token, &[]).await, 200);
    // The rate limit precedes syntax and follows authentication.
    let wrong = format!("{CONFERENCES}/no-uuid?token=demo-key");
    world.send(plain(&wrong, &[])).await.fails(429);
    assert_eq!(status(&world, "/v1.0/conferences?token=x", &[]).await, 401);
    let other = "/v1.0/conferences?token=other-key";
    assert_eq!(status(&world, other, &[]).await, 200);
}

#[test]
fn keys_are_never_logged() {
    let Observation { log, metrics } = observe(async {
        let world = World::new();
        let room = conference_id("acW68", 1);
        world.conference(room, "demo").await;
        let session = session_id("acW68", 1);
        world.session(session, "demo", 1).await;
        for (path, headers) in [
            (format!("{}?token=demo-key", path_of(room)), &[][..]),
            (format!("{}?token=wrong-key", path_of(room)), &[]),
            (format!("{CONFERENCES}/odd?token=demo-key"), &[]),
            ("/v1.0/nowhere?token=demo-key".to_owned(), &[]),
            (
                format!("{CONFERENCES}?token=demo-key&token=second-key"),
                &[],
            ),
            (
                format!("{CALLS}?token=wrong-key&page_size=0"),
                &[("Authorization", "Bearer demo-key")],
            ),
            (CALLS.to_owned(), &[("Authorization", "Bearer wrong-key")]),
        ] {
            world.send(plain(&path, headers)).await;
        }
        // An internal error does not disclose it, either.
        *world.controller.panics.lock().unwrap() = true;
        let body = joining(room, session).to_string();
        let panicking = Request::builder()
            .method("POST")
            .uri(format!("{CALLS}?token=demo-key"))
            .body(Body::from(body))
            .unwrap();
        world.send(panicking).await.fails(500);
    });
    assert!(log.contains("/v1.0/conferences/{conference_id}"), "{log}");
    assert!(metrics.contains("route=\"/v1.0/conferences/{conference_id}\""));
    for secret in ["demo-key", "wrong-key", "second-key", "token", "nowhere"] {
        assert!(
            !log.contains(secret) && !metrics.contains(secret),
            "{secret} was disclosed:\n{log}"
        );
    }
}

#[tokio::test]
async fn customer_id_comes_from_configuration() {
    let mut configured = configured(DEMO);
    configured.customer_id = "5e4a0680-804e-11ec-8477-2fea5968d85b".parse().unwrap();
    let store = std::sync::Arc::new(roomkeeper::store::memory::MemoryStore::new());
    let world = World::with_apps(&[configured], store.clone(), store, settings());
    let made = world.post(CONFERENCES, json!({})).await.ok();
    assert_eq!(made["customer_id"], "5e4a0680-804e-11ec-8477-2fea5968d85b");
}
