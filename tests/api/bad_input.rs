//! Invalid requests: every error status has the common envelope.

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use roomkeeper::http::ApiSettings;
use serde_json::json;
use std::time::Duration;

use crate::world::*;

const PATH: &str = "/api/v1/conferences";

fn raw(content_type: Option<&str>, body: impl Into<Body>) -> Request<Body> {
    let mut builder = Request::builder()
        .method("POST")
        .uri(PATH)
        .header("X-App-ID", DEMO.0)
        .header("X-API-Key", DEMO.1);
    if let Some(text) = content_type {
        builder = builder.header("Content-Type", text);
    }
    builder.body(body.into()).unwrap()
}

#[tokio::test]
async fn invalid_bodies_give_400_or_415() {
    let world = World::new();
    let json = Some("application/json");
    let deep = "[".repeat(20_000);
    for (content_type, body, status) in [
        (json, &b"{"[..], 400),
        (json, b"{\"name\":}", 400),
        (json, b"{\"name\":\"a\"} x", 400),
        (json, b"{\"name\":\"\\ud800\"}", 400),
        (json, b"[]", 400),
        (json, b"null", 400),
        (json, b"\"a\"", 400),
        (json, b" ", 400),
        (json, b"", 400),
        (json, b"{\"name\":\"\xff\xfe\"}", 400),
        (json, b"\xff\xfe\x00", 400),
        (json, deep.as_bytes(), 400),
        (Some("text/plain"), b"{\"name\":\"a\"}", 415),
        (Some("application/x-www-form-urlencoded"), b"name=a", 415),
        (Some("applicationjson"), b"{\"name\":\"a\"}", 415),
        (Some("\u{e9}"), b"{\"name\":\"a\"}", 415),
    ] {
        world
            .send(raw(content_type, Body::from(body.to_vec())))
            .await
            .fails(status);
    }
    assert!(world.intents().is_empty());
    for (at, content_type) in [
        None,
        Some("application/json; charset=utf-8"),
        Some("Application/JSON"),
        Some("application/vnd.example+json"),
    ]
    .into_iter()
    .enumerate()
    {
        let body = format!("{{\"name\":\"good{at}\"}}");
        let answer = world.send(raw(content_type, body)).await;
        assert_eq!(answer.status.as_u16(), 201, "{content_type:?}");
    }
}

#[tokio::test]
async fn errors_name_field_and_problem() {
    let world = World::new();
    let (room, call) = (room_id(NODES[0], 1), session_id(NODES[0], 1));
    world.room(room, "demo", "named", 1, 0).await;
    world.session(call, "demo", 1).await;
    let path = format!("{PATH}/{room}");
    let join = &*format!("/api/v1/sessions/{call}/commands/conference/join");
    for (method, path, body, error, field) in [
        (
            "POST",
            PATH,
            Some(json!({"name": 7})),
            "name: expected a string, found a whole number",
            "name",
        ),
        ("POST", PATH, Some(json!({})), "name: is required", "name"),
        (
            "POST",
            join,
            Some(json!({"room_id": "x"})),
            "room_id: not a valid",
            "room_id",
        ),
        (
            "POST",
            join,
            Some(json!({"room_id": room.to_string(), "muted": "yes"})),
            "muted: expected true or false, found a string",
            "muted",
        ),
        (
            "POST",
            &*format!("{path}/play"),
            Some(json!({"urls": ["https://example.com/a.wav", 1]})),
            "urls[1]: expected a string, found a whole number",
            "urls[1]",
        ),
        (
            "POST",
            &*format!("{path}/play"),
            Some(json!({"urls": {}})),
            "urls: expected a list of strings, found an object",
            "urls",
        ),
        (
            "POST",
            &*format!("{path}/volume"),
            Some(json!({"volume": 1.5})),
            "volume: expected a whole number, found a number with a fraction or exponent",
            "volume",
        ),
        (
            "POST",
            "/api/v1/webhooks",
            Some(json!({"url": "x"})),
            "url: expected a URL such as https://example.com/hook, found \"x\"",
            "url",
        ),
        (
            "POST",
            "/api/v1/webhooks",
            Some(json!({"url": "https://example.com/h", "events": "*"})),
            "events: expected a list of strings, found a string",
            "events",
        ),
    ] {
        let answer = world.send(request(DEMO, method, path, body)).await;
        check_field_error(&answer, error, field);
    }
}

/// Checks the beginning of an error about a field, and the field's name.
fn check_field_error(answer: &Answer, error: &str, field: &str) {
    answer.fails(400);
    let found = answer.json();
    let text = found["error"].as_str().unwrap();
    assert!(text.starts_with(error), "{text}");
    assert_eq!(found["detail"]["field"], field, "{text}");
}

#[tokio::test]
async fn errors_name_parameter_and_problem() {
    let world = World::new();
    for (method, path, body, error, field) in [
        (
            "GET",
            "/api/v1/conferences/nonsense",
            None,
            "room_id: not a valid",
            "room_id",
        ),
        (
            "GET",
            "/api/v1/sessions/nonsense",
            None,
            "uuid: not a valid",
            "uuid",
        ),
        (
            "GET",
            "/api/v1/conferences?limit=many",
            None,
            "limit: expected a positive integer, found \"many\"",
            "limit",
        ),
        (
            "GET",
            "/api/v1/conferences?limit=1&limit=2",
            None,
            "limit: is given twice",
            "limit",
        ),
        (
            "GET",
            "/api/v1/conferences?cursor=x",
            None,
            "cursor: ",
            "cursor",
        ),
    ] {
        let answer = world.send(request(DEMO, method, path, body)).await;
        check_field_error(&answer, error, field);
    }
}

#[tokio::test]
async fn errors_name_path_method_and_type_of_body() {
    let world = World::new();
    for (method, path, status, error) in [
        (
            "GET",
            "/api/v1/conference",
            404,
            "there is nothing at this path: /api/v1/conference; GET / lists the paths of this listener",
        ),
        (
            "PUT",
            PATH,
            405,
            "/api/v1/conferences does not take the method PUT; the Allow header lists those it takes",
        ),
    ] {
        let answer = world.send(request(DEMO, method, path, None)).await;
        answer.fails(status);
        assert_eq!(answer.json()["error"], error);
    }
    let answer = world.send(raw(Some("text/plain"), "{}")).await;
    let error = "the Content-Type must be application/json, found text/plain";
    assert_eq!(answer.json()["error"], error);
    let answer = world.send(raw(None, "[]")).await;
    let error = "the body must be a JSON object, found a list";
    assert_eq!(answer.json()["error"], error);
}

#[tokio::test]
async fn missing_header_is_named() {
    let world = World::new();
    for (names, error) in [
        (&["X-App-ID"][..], "the header X-App-ID is missing"),
        (&["X-API-Key"], "the header X-API-Key is missing"),
        (
            &["X-App-ID", "X-API-Key"],
            "the headers X-App-ID and X-API-Key are missing",
        ),
        (&[], "X-App-ID names no app, or X-API-Key is not its key"),
    ] {
        let mut request = raw(None, "{}");
        let headers = request.headers_mut();
        headers.insert("X-API-Key", "wrong".parse().unwrap());
        for name in names {
            headers.remove(*name);
        }
        let answer = world.send(request).await;
        answer.fails(401);
        assert_eq!(answer.json()["error"], error);
    }
    // The same text for an unknown app: nobody learns which apps exist.
    let mut request = raw(None, "{}");
    let nobody = "nobody".parse().unwrap();
    request.headers_mut().insert("X-App-ID", nobody);
    let error = "X-App-ID names no app, or X-API-Key is not its key";
    assert_eq!(world.send(request).await.json()["error"], error);
}

#[tokio::test]
async fn too_large_body_gives_413() {
    let world = World::with_settings(ApiSettings {
        body_limit: 100,
        ..settings()
    });
    let body = |n| format!("{{\"name\":\"n\",\"pad\":\"{}\"}}", "x".repeat(n));
    world.send(raw(None, body(100))).await.fails(413);
    // No content length.
    let chunks = (0..1_000).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 50])));
    world
        .send(raw(
            None,
            Body::from_stream(futures_util::stream::iter(chunks)),
        ))
        .await
        .fails(413);
    // Authentication precedes the checks of the body.
    let mut request = raw(None, body(100));
    request.headers_mut().remove("X-API-Key");
    world.send(request).await.fails(401);
    assert_eq!(world.send(raw(None, body(50))).await.status.as_u16(), 201);
}

#[tokio::test]
async fn truncated_body_gives_400() {
    let world = World::new();
    let chunks = [
        Ok(Bytes::from_static(b"{")),
        Err(std::io::Error::other("gone")),
    ];
    let body = Body::from_stream(futures_util::stream::iter(chunks));
    world.send(raw(None, body)).await.fails(400);
}

#[tokio::test(start_paused = true)]
async fn missing_body_gives_408_and_closes_connection() {
    let world = World::with_settings(ApiSettings {
        body_timeout: Duration::from_secs(3),
        ..settings()
    });
    let body = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let answer = world.send(raw(None, body)).await;
    answer.fails(408);
    assert_eq!(answer.header("connection"), "close");
}

#[tokio::test]
async fn unknown_paths_and_methods_give_404_and_405() {
    let world = World::new();
    let room = room_id("acW68", 1);
    for (method, path, status, allow) in [
        ("POST", "/", 405, "GET,HEAD"),
        ("GET", "/nothing", 404, ""),
        ("GET", "/api/v1", 404, ""),
        ("GET", "/api/v1/", 404, ""),
        ("GET", "/api/v1/conferences/", 404, ""),
        ("GET", "/api/v1/nothing", 404, ""),
        ("POST", "/api/v2/conferences", 404, ""),
        ("GET", "/api/v1/sessions/x/commands/dance", 404, ""),
        ("PUT", "/api/v1/conferences", 405, "GET,HEAD,POST"),
        ("BREW", "/api/v1/conferences", 405, "GET,HEAD,POST"),
        ("OPTIONS", "/api/v1/sessions", 405, "GET,HEAD"),
        (
            "POST",
            &format!("/api/v1/conferences/{room}"),
            405,
            "GET,HEAD,DELETE,PATCH",
        ),
        ("GET", "/api/v1/sessions/x/commands/hangup", 405, "POST"),
        ("GET", "/api/v1/conferences/%FF", 400, ""),
        ("GET", "/api/v1/conferences/acW68-room-%00", 400, ""),
        ("GET", "/api/v1/conferences/%2e%2e", 400, ""),
        ("GET", "/api/v1/sessions/%C3%28", 400, ""),
    ] {
        let answer = world.send(request(DEMO, method, path, None)).await;
        answer.fails(status);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn unauthenticated_request_gives_401() {
    let world = World::new();
    let room = room_id("acW68", 1);
    let session = session_id("acW68", 1);
    let bytes = |b: &'static [u8]| axum::http::HeaderValue::from_bytes(b).unwrap();
    let cases: [&[(&str, &'static [u8])]; 9] = [
        &[],
        &[("X-App-ID", b"demo")],
        &[("X-API-Key", b"demo-key")],
        &[("X-App-ID", b"demo"), ("X-API-Key", b"other-key")],
        &[("X-App-ID", b"nobody"), ("X-API-Key", b"demo-key")],
        &[("X-App-ID", b"not an id!"), ("X-API-Key", b"demo-key")],
        &[("X-App-ID", b"\xff"), ("X-API-Key", b"demo-key")],
        &[("X-App-ID", b"demo"), ("X-API-Key", b"\xff\xfe")],
        &[
            ("X-App-ID", b"demo"),
            ("X-API-Key", b"demo-key"),
            ("X-API-Key", b"demo-key"),
        ],
    ];
    let paths = [
        ("GET", PATH.to_owned()),
        ("POST", PATH.to_owned()),
        ("GET", format!("{PATH}/{room}")),
        ("GET", format!("{PATH}/nonsense")),
        ("DELETE", format!("{PATH}/{room}")),
        ("GET", format!("{PATH}/{room}/members?limit=x")),
        ("GET", "/api/v1/sessions?cursor=x".to_owned()),
        ("GET", format!("/api/v1/sessions/{session}")),
        (
            "POST",
            format!("/api/v1/sessions/{session}/commands/conference/join"),
        ),
        (
            "POST",
            format!("/api/v1/sessions/{session}/commands/conference/leave"),
        ),
        (
            "POST",
            format!("/api/v1/sessions/{session}/commands/conference/mute"),
        ),
        (
            "POST",
            format!("/api/v1/sessions/{session}/commands/conference/unmute"),
        ),
        (
            "POST",
            format!("/api/v1/sessions/{session}/commands/answer"),
        ),
        (
            "POST",
            format!("/api/v1/sessions/{session}/commands/hangup"),
        ),
    ];
    for (method, path) in &paths {
        for headers in cases {
            let mut request = Request::builder().method(*method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, bytes(value));
            }
            // Malformed, because authentication precedes syntax.
            let answer = world.send(request.body(Body::from("{")).unwrap()).await;
            answer.fails(401);
            assert!(!answer.header("www-authenticate").is_empty());
            assert!(!answer.text.contains("demo-key"));
        }
    }
}

#[tokio::test]
async fn panic_gives_500() {
    let world = World::new();
    *world.controller.panics.lock().unwrap() = true;
    let answer = world.post(PATH, json!({"name": "n"})).await;
    let envelope = answer.fails(500);
    assert_eq!(envelope["error"], "internal error");
}
