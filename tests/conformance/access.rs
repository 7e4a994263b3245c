//! Access: authentication, ownership, and the common form of every error answer.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::controller::{Answer, ApiRequest};
use crate::row::{App, Row, rows};

rows! {
    Plain: [
        every_endpoint_401_without_x_app_id,
        every_endpoint_401_without_x_api_key,
        every_endpoint_401_with_an_unknown_app,
        every_endpoint_401_with_an_invalid_key,
        request_refused_with_401_has_no_effect,
        room_endpoints_403_the_room_belongs_to_another_app,
        room_endpoints_404_there_is_no_such_room,
        room_endpoints_400_a_malformed_room_id,
        session_commands_403_the_session_belongs_to_another_app,
        session_commands_404_there_is_no_such_session,
        session_commands_400_a_malformed_session_id,
        every_endpoint_with_a_body_400_malformed_json,
        an_unknown_path_404_and_a_wrong_method_405_look_like_every_error,
        authentication_is_checked_before_syntax,
        syntax_is_checked_before_existence,
        existence_is_checked_before_ownership,
        ownership_is_checked_before_state,
    ]
}

struct Endpoint {
    method: &'static str,
    path: String,
    body: Option<Value>,
}

const URL: &str = "http://127.0.0.1:1/a.wav";

fn endpoint(method: &'static str, path: String, body: Option<Value>) -> Endpoint {
    Endpoint { method, path, body }
}

/// The endpoints that need ownership of the room.
fn room_endpoints(room: &str) -> Vec<Endpoint> {
    let path = format!("/conferences/{room}");
    vec![
        endpoint("GET", path.clone(), None),
        endpoint(
            "POST",
            format!("{path}/play"),
            Some(json!({ "urls": [URL] })),
        ),
        endpoint("POST", format!("{path}/pause"), None),
        endpoint("POST", format!("{path}/stop"), None),
        endpoint(
            "POST",
            format!("{path}/volume"),
            Some(json!({ "volume": 2 })),
        ),
        endpoint("DELETE", path, None),
    ]
}

/// The endpoints that need ownership of the session.
fn session_endpoints(session: &str, room: &str) -> Vec<Endpoint> {
    let path = format!("/sessions/{session}/commands/conference");
    vec![
        endpoint(
            "POST",
            format!("{path}/join"),
            Some(json!({ "room_id": room })),
        ),
        endpoint("POST", format!("{path}/leave"), None),
        endpoint("POST", format!("{path}/mute"), None),
        endpoint("POST", format!("{path}/unmute"), None),
    ]
}

fn all(session: &str, room: &str) -> Vec<Endpoint> {
    let mut all = vec![
        endpoint(
            "POST",
            "/conferences".to_owned(),
            Some(json!({ "name": "n" })),
        ),
        endpoint("GET", "/conferences".to_owned(), None),
        endpoint("GET", format!("/conferences/{room}/members"), None),
    ];
    all.extend(room_endpoints(room));
    all.extend(session_endpoints(session, room));
    assert_eq!(all.len(), 13, "the endpoints of the document");
    all
}

async fn send(row: &Row<'_>, endpoint: &Endpoint, app: Option<&str>, key: Option<&str>) -> Answer {
    row.exactly(ApiRequest {
        method: endpoint.method,
        path: &endpoint.path,
        app,
        key,
        content_type: endpoint.body.as_ref().map(|_| "application/json"),
        body: endpoint.body.as_ref().map(Value::to_string),
        ..ApiRequest::default()
    })
    .await
}

async fn send_as(row: &Row<'_>, endpoint: &Endpoint, app: &App) -> Answer {
    send(row, endpoint, Some(&app.id), Some(&app.key)).await
}

fn no_room(row: &Row<'_>) -> String {
    format!("{}-room-{}", row.node(), Uuid::new_v4())
}

fn no_session(row: &Row<'_>) -> String {
    format!("{}-{}", row.node(), Uuid::new_v4())
}

async fn every_endpoint_401(row: &Row<'_>, app: Option<&str>, key: Option<&str>) {
    let room = row.room().await;
    for endpoint in all(&no_session(row), &room) {
        send(row, &endpoint, app, key).await.fails(401);
    }
}

async fn every_endpoint_401_without_x_app_id(row: &Row<'_>) {
    every_endpoint_401(row, None, Some(&row.app.key)).await;
}

async fn every_endpoint_401_without_x_api_key(row: &Row<'_>) {
    every_endpoint_401(row, Some(&row.app.id), None).await;
}

async fn every_endpoint_401_with_an_unknown_app(row: &Row<'_>) {
    every_endpoint_401(row, Some("nobody"), Some(&row.app.key)).await;
}

async fn every_endpoint_401_with_an_invalid_key(row: &Row<'_>) {
    let others = row.other().key.clone();
    for key in ["", "x", &others, &row.app.key.to_uppercase()] {
        every_endpoint_401(row, Some(&row.app.id), Some(key)).await;
    }
}

async fn request_refused_with_401_has_no_effect(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for endpoint in all(&call.id, &room) {
        send(row, &endpoint, Some(&row.app.id), Some("x"))
            .await
            .fails(401);
    }
    assert_eq!(row.status(&room).await.body["playback_volume"], 0);
    assert_eq!(row.speaks(&room, &call).await, Some(false));
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn room_endpoints_403_the_room_belongs_to_another_app(row: &Row<'_>) {
    let room = row.room_of(row.other()).await;
    for endpoint in room_endpoints(&room) {
        send_as(row, &endpoint, &row.app).await.fails(403);
    }
    let path = format!("/conferences/{room}");
    let theirs = row.ask(row.other(), "GET", &path, None).await;
    assert_eq!(
        theirs.status, 200,
        "the owner lost the room: {}",
        theirs.body
    );
    assert_eq!(theirs.body["playback_volume"], 0);
}

async fn room_endpoints_404_there_is_no_such_room(row: &Row<'_>) {
    for endpoint in room_endpoints(&no_room(row)) {
        send_as(row, &endpoint, &row.app).await.fails(404);
    }
}

async fn room_endpoints_400_a_malformed_room_id(row: &Row<'_>) {
    let id = Uuid::new_v4();
    for bad in [
        "x".to_owned(),
        id.to_string(),
        format!("room-{id}"),
        format!("abcd-room-{id}"),
        format!("abcdef-room-{id}"),
        format!("abcd_-room-{id}"),
        format!("abcde-room-{}", id.simple()),
        format!("abcde-{id}"),
    ] {
        for endpoint in room_endpoints(&bad) {
            send_as(row, &endpoint, &row.app)
                .await
                .names_field("room_id");
        }
        let path = format!("/conferences/{bad}/members");
        row.get(&path).await.names_field("room_id");
    }
}

async fn session_commands_403_the_session_belongs_to_another_app(row: &Row<'_>) {
    let call = row.call_of(row.other()).await;
    let room = row.room().await;
    for endpoint in session_endpoints(&call.id, &room) {
        send_as(row, &endpoint, &row.app).await.fails(403);
    }
    let path = format!("/sessions/{}", call.id);
    let theirs = row.ask(row.other(), "GET", &path, None).await;
    assert_eq!(theirs.body["state"], "parked", "{}", theirs.body);
    row.check_only_webhooks(&room, &[]).await;
}

async fn session_commands_404_there_is_no_such_session(row: &Row<'_>) {
    let room = row.room().await;
    for endpoint in session_endpoints(&no_session(row), &room) {
        send_as(row, &endpoint, &row.app).await.fails(404);
    }
}

async fn session_commands_400_a_malformed_session_id(row: &Row<'_>) {
    let room = row.room().await;
    for bad in ["x", &Uuid::new_v4().to_string(), &room] {
        for endpoint in session_endpoints(bad, &room) {
            send_as(row, &endpoint, &row.app).await.names_field("uuid");
        }
    }
}

async fn every_endpoint_with_a_body_400_malformed_json(row: &Row<'_>) {
    let (room, call) = row.room_with_member().await;
    for endpoint in all(&call.id, &room) {
        if endpoint.method != "POST" {
            continue;
        }
        for bad in ["{", "{\"name\": }", "nonsense", "[]", "\"x\"", "7", "\u{0}"] {
            let answer = row
                .exactly(ApiRequest {
                    method: endpoint.method,
                    path: &endpoint.path,
                    app: Some(&row.app.id),
                    key: Some(&row.app.key),
                    content_type: Some("application/json"),
                    body: Some(bad.to_owned()),
                    ..ApiRequest::default()
                })
                .await;
            answer.fails(400);
        }
    }
    row.check_only_webhooks(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn an_unknown_path_404_and_a_wrong_method_405_look_like_every_error(row: &Row<'_>) {
    let room = row.room().await;
    row.get("/conference").await.fails(404);
    row.get(&format!("/conferences/{room}/nothing"))
        .await
        .fails(404);
    for (method, path) in [
        ("DELETE", "/conferences".to_owned()),
        ("PUT", format!("/conferences/{room}")),
        ("POST", format!("/conferences/{room}/members")),
        ("GET", format!("/conferences/{room}/play")),
        (
            "GET",
            format!("/sessions/{}/commands/conference/join", no_session(row)),
        ),
    ] {
        row.ask(&row.app, method, &path, None).await.fails(405);
    }
}

async fn authentication_is_checked_before_syntax(row: &Row<'_>) {
    let bad = json!({ "name": "-" });
    let wrong = App {
        id: row.app.id.clone(),
        key: "x".to_owned(),
    };
    row.ask(&wrong, "POST", "/conferences", Some(&bad))
        .await
        .fails(401);
    row.ask(&wrong, "GET", "/conferences?limit=x", None)
        .await
        .fails(401);
    row.ask(&wrong, "GET", "/conferences/x", None)
        .await
        .fails(401);
}

async fn syntax_is_checked_before_existence(row: &Row<'_>) {
    let (room, session) = (no_room(row), no_session(row));
    row.control(&room, "volume", json!({ "volume": 8 }))
        .await
        .names_field("volume");
    row.control(&room, "play", json!({ "urls": [] }))
        .await
        .names_field("urls");
    row.get(&format!("/conferences/{room}/members?limit=0"))
        .await
        .names_field("limit");
    let path = format!("/sessions/{session}/commands/conference/join");
    row.post(&path, json!({ "room_id": "x" }))
        .await
        .names_field("room_id");
}

async fn existence_is_checked_before_ownership(row: &Row<'_>) {
    let theirs = row.call_of(row.other()).await;
    row.request_join(&theirs, &no_room(row)).await.fails(404);
    let path = format!("/sessions/{}/commands/conference/join", no_session(row));
    let room = row.room_of(row.other()).await;
    row.post(&path, json!({ "room_id": room })).await.fails(404);
}

async fn ownership_is_checked_before_state(row: &Row<'_>) {
    let (_, call) = row.room_with_member().await;
    let theirs = row.room_of(row.other()).await;
    // The call is also in a different room, which would be 409.
    row.request_join(&call, &theirs).await.fails(403);
    // The room plays nothing, which would be 409.
    row.control(&theirs, "pause", Value::Null).await.fails(403);
}
