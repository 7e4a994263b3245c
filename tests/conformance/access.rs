//! Access: authentication, ownership, and the one form of every answer that is not a success.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::program::controller::{Answer, Ask};
use crate::row::{App, Row, rows};

rows! {
    Plain: [
        every_endpoint_401_without_x_app_id,
        every_endpoint_401_without_x_api_key,
        every_endpoint_401_with_an_unknown_app,
        every_endpoint_401_with_an_invalid_key,
        what_is_401_does_nothing,
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
fn of_room(room: &str) -> Vec<Endpoint> {
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
fn of_session(session: &str, room: &str) -> Vec<Endpoint> {
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
    all.extend(of_room(room));
    all.extend(of_session(session, room));
    assert_eq!(all.len(), 13, "the endpoints of the document");
    all
}

async fn send(row: &Row<'_>, endpoint: &Endpoint, app: Option<&str>, key: Option<&str>) -> Answer {
    row.exactly(Ask {
        method: endpoint.method,
        path: &endpoint.path,
        app,
        key,
        content_type: endpoint.body.as_ref().map(|_| "application/json"),
        body: endpoint.body.as_ref().map(Value::to_string),
        ..Ask::default()
    })
    .await
}

async fn asked(row: &Row<'_>, endpoint: &Endpoint, app: &App) -> Answer {
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

async fn what_is_401_does_nothing(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    for endpoint in all(&call.id, &room) {
        send(row, &endpoint, Some(&row.app.id), Some("x"))
            .await
            .fails(401);
    }
    assert_eq!(row.status(&room).await.body["playback_volume"], 0);
    assert_eq!(row.speaks(&room, &call).await, Some(false));
    row.told_only(
        &room,
        &["conference.member.joined", "conference.member.left"],
    )
    .await;
}

async fn room_endpoints_403_the_room_belongs_to_another_app(row: &Row<'_>) {
    let room = row.room_of(row.other()).await;
    for endpoint in of_room(&room) {
        asked(row, &endpoint, &row.app).await.fails(403);
    }
    let path = format!("/conferences/{room}");
    let theirs = row.ask(row.other(), "GET", &path, None).await;
    assert_eq!(
        theirs.status, 200,
        "its owner still has it: {}",
        theirs.body
    );
    assert_eq!(theirs.body["playback_volume"], 0);
}

async fn room_endpoints_404_there_is_no_such_room(row: &Row<'_>) {
    for endpoint in of_room(&no_room(row)) {
        asked(row, &endpoint, &row.app).await.fails(404);
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
        for endpoint in of_room(&bad) {
            asked(row, &endpoint, &row.app).await.blames("room_id");
        }
        let path = format!("/conferences/{bad}/members");
        row.get(&path).await.blames("room_id");
    }
}

async fn session_commands_403_the_session_belongs_to_another_app(row: &Row<'_>) {
    let call = row.call_of(row.other()).await;
    let room = row.room().await;
    for endpoint in of_session(&call.id, &room) {
        asked(row, &endpoint, &row.app).await.fails(403);
    }
    let path = format!("/sessions/{}", call.id);
    let theirs = row.ask(row.other(), "GET", &path, None).await;
    assert_eq!(theirs.body["state"], "parked", "{}", theirs.body);
    row.told_only(&room, &[]).await;
}

async fn session_commands_404_there_is_no_such_session(row: &Row<'_>) {
    let room = row.room().await;
    for endpoint in of_session(&no_session(row), &room) {
        asked(row, &endpoint, &row.app).await.fails(404);
    }
}

async fn session_commands_400_a_malformed_session_id(row: &Row<'_>) {
    let room = row.room().await;
    for bad in ["x", &Uuid::new_v4().to_string(), &room] {
        for endpoint in of_session(bad, &room) {
            asked(row, &endpoint, &row.app).await.blames("uuid");
        }
    }
}

async fn every_endpoint_with_a_body_400_malformed_json(row: &Row<'_>) {
    let (room, call) = row.inhabited().await;
    for endpoint in all(&call.id, &room) {
        if endpoint.method != "POST" {
            continue;
        }
        for bad in ["{", "{\"name\": }", "nonsense", "[]", "\"x\"", "7", "\u{0}"] {
            let answer = row
                .exactly(Ask {
                    method: endpoint.method,
                    path: &endpoint.path,
                    app: Some(&row.app.id),
                    key: Some(&row.app.key),
                    content_type: Some("application/json"),
                    body: Some(bad.to_owned()),
                    ..Ask::default()
                })
                .await;
            answer.fails(400);
        }
    }
    row.told_only(
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
        .blames("volume");
    row.control(&room, "play", json!({ "urls": [] }))
        .await
        .blames("urls");
    row.get(&format!("/conferences/{room}/members?limit=0"))
        .await
        .blames("limit");
    let path = format!("/sessions/{session}/commands/conference/join");
    row.post(&path, json!({ "room_id": "x" }))
        .await
        .blames("room_id");
}

async fn existence_is_checked_before_ownership(row: &Row<'_>) {
    let theirs = row.call_of(row.other()).await;
    row.joins(&theirs, &no_room(row)).await.fails(404);
    let path = format!("/sessions/{}/commands/conference/join", no_session(row));
    let room = row.room_of(row.other()).await;
    row.post(&path, json!({ "room_id": room })).await.fails(404);
}

async fn ownership_is_checked_before_state(row: &Row<'_>) {
    let (_, call) = row.inhabited().await;
    let theirs = row.room_of(row.other()).await;
    // It is in a different room, too, which would be 409.
    row.joins(&call, &theirs).await.fails(403);
    // Nothing plays there, which would be 409.
    row.control(&theirs, "pause", Value::Null).await.fails(403);
}
