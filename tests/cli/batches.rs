//! Commands for all members of a room, against a server that revokes the app's key in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::command::text;
use crate::program::controller::binary;

const ROOM: &str = "acW68-room-d3249143-1498-4edb-a694-ac208e579e94";
const CALLS: [&str; 3] = [
    "acW68-04c64c27-1498-4edb-a694-ac208e579e94",
    "acW68-04c64c27-2498-4edb-a694-ac208e579e94",
    "acW68-04c64c27-3498-4edb-a694-ac208e579e94",
];

async fn members() -> Response {
    let members = CALLS.map(|call| json!({"uuid": call, "muted": false}));
    axum::Json(json!({"members": members, "cursor": ""})).into_response()
}

/// Accepts the first command, and then no longer the key.
async fn mute(State(commands): State<Arc<AtomicUsize>>) -> Response {
    if commands.fetch_add(1, Ordering::Relaxed) == 0 {
        return axum::Json(json!({"status": "muted", "room_id": ROOM})).into_response();
    }
    let refused = json!({"success": false, "error": "unknown app or wrong key"});
    (StatusCode::UNAUTHORIZED, axum::Json(refused)).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn json_contains_results_before_error_that_ends_the_batch() {
    let commands = Arc::new(AtomicUsize::new(0));
    let routes = Router::new()
        .route("/api/v1/conferences/{room}/members", get(members))
        .route(
            "/api/v1/sessions/{call}/commands/conference/mute",
            post(mute),
        )
        .with_state(Arc::clone(&commands));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    // No context of the user who runs the tests.
    let nowhere = tempfile::tempdir().unwrap();
    let mut command = binary();
    command
        .env("XDG_CONFIG_HOME", nowhere.path())
        .env("ROOMKEEPER_API", &address)
        .env("ROOMKEEPER_APP", "demo")
        .env("ROOMKEEPER_KEY", "key")
        .args(["room", "mute-all", ROOM, "--json"]);
    let out = tokio::task::block_in_place(|| command.output().unwrap());
    server.abort();
    let errors = text(&out.stderr);
    assert_eq!(out.status.code(), Some(77), "{errors}");
    assert!(errors.contains("unknown app or wrong key"), "{errors}");
    let printed: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let done = json!({"status": "muted", "room_id": ROOM, "command": format!("mute {}", CALLS[0])});
    assert_eq!(printed, json!({ "results": [done] }));
    // The third command would fail for the same reason.
    assert_eq!(commands.load(Ordering::Relaxed), 2);
}
