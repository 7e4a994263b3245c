//! Commands of operators that use routes of the admin listener, against a server that answers as `docs/admin-api.md`
//! describes.

use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::command::text;
use crate::program::controller::binary;

const ROOM: &str = "acW68-room-d3249143-1498-4edb-a694-ac208e579e94";
const OTHER_ROOM: &str = "bbbbb-room-d3249143-1498-4edb-a694-ac208e579e94";
const CALL: &str = "acW68-04c64c27-1498-4edb-a694-ac208e579e94";
const OTHER_CALL: &str = "acW68-04c64c27-2498-4edb-a694-ac208e579e94";

type Requests = Arc<Mutex<Vec<String>>>;

/// A server with the admin listener's answers, which records the requests.
struct AdminStandIn {
    url: String,
    requests: Requests,
    task: JoinHandle<()>,
}

impl Drop for AdminStandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl AdminStandIn {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = listener.local_addr().unwrap().to_string();
        let requests = Requests::default();
        let routes = Router::new()
            .fallback(answer)
            .with_state(Arc::clone(&requests));
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self {
            url,
            requests,
            task,
        }
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = binary();
        // No context and no generated key of the user who runs the tests.
        let nowhere = tempfile::tempdir().unwrap();
        command
            .env("XDG_CONFIG_HOME", nowhere.path())
            .env("XDG_STATE_HOME", nowhere.path())
            .env("ROOMKEEPER_ADMIN", &self.url)
            .env("ROOMKEEPER_ADMIN_KEY", "operator")
            .args(args);
        tokio::task::block_in_place(|| command.output().unwrap())
    }

    fn shown(&self, args: &[&str]) -> String {
        let out = self.run(args);
        assert_eq!(
            out.status.code(),
            Some(0),
            "{args:?}: {}",
            text(&out.stderr)
        );
        text(&out.stdout)
    }

    /// The requests since the last call.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

fn call(uuid: &str, state: &str, room: Option<&str>) -> Value {
    json!({"uuid": uuid, "app_id": "demo", "node": &uuid[..5], "did": "747713001", "caller_id": "527121101",
        "direction": "inbound", "state": state, "room_id": room, "created_at": "2026-05-06T12:34:56Z"})
}

fn room(id: &str, app: &str) -> Value {
    json!({"room_id": id, "app_id": app, "node": &id[..5], "name": "standup", "type": "conference", "status": "open",
        "members": 1, "locked": false, "created_at": "2026-05-06T12:34:56Z"})
}

async fn answer(
    State(requests): State<Requests>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let query = uri.query().unwrap_or_default().to_owned();
    let has = |pair: &str| query.split('&').any(|each| each == pair);
    let body = String::from_utf8_lossy(&body).into_owned();
    let line = format!("{method} {uri} {body}");
    requests.lock().unwrap().push(line.trim_end().to_owned());
    let answer = match (method.as_str(), uri.path()) {
        // Two pages.
        ("GET", "/admin/rooms") if has("cursor=2") => {
            json!({"rooms": [room(OTHER_ROOM, "other")], "cursor": ""})
        }
        ("GET", "/admin/rooms") if has("node=acW68") => {
            json!({"rooms": [room(ROOM, "demo")], "cursor": ""})
        }
        ("GET", "/admin/rooms") => json!({"rooms": [room(ROOM, "demo")], "cursor": "2"}),
        ("GET", "/admin/calls") if has("state=parked") => {
            json!({"calls": [call(OTHER_CALL, "parked", None)], "cursor": ""})
        }
        ("GET", "/admin/calls") => {
            json!({"calls": [call(CALL, "in_room", Some(ROOM)), call(OTHER_CALL, "parked", None)], "cursor": ""})
        }
        ("GET", "/admin/search") => {
            json!({"calls": [call(CALL, "in_room", Some(ROOM))], "truncated": true})
        }
        ("GET", path) if path == format!("/admin/rooms/{ROOM}") => {
            let mut room = room(ROOM, "demo");
            room["members"] = json!([{"uuid": CALL, "did": "747713001", "caller_id": "527121101", "muted": true,
                "deaf": false, "status": "joined", "joined_at": "2026-05-06T12:34:56Z"}]);
            room
        }
        ("DELETE", path) if path == format!("/admin/rooms/{ROOM}") => json!({"room_id": ROOM}),
        ("POST", path) if path == format!("/admin/calls/{CALL}/hangup") => {
            json!({"operation_id": "", "status": "in_progress"})
        }
        ("DELETE", "/admin/apps/demo") if !has("force=true") => {
            let refused = json!({"success": false, "error": "the app has calls"});
            return (StatusCode::CONFLICT, axum::Json(refused)).into_response();
        }
        ("DELETE", "/admin/apps/demo") => {
            json!({"app_id": "demo", "ended_rooms": 1, "ended_calls": 2})
        }
        ("POST" | "PUT", path) if path.starts_with("/admin/apps/demo") => {
            json!({"app_id": "demo"})
        }
        ("GET", "/admin/audit") => json!({"entries": [
            {"id": "1", "at": "2026-05-06T12:34:56.000000Z", "actor": {"kind": "app", "id": "demo"},
             "action": "room.lock", "target": ROOM, "app_id": "demo", "result": "accepted", "status": 202,
             "request_id": "r1", "client": "127.0.0.1"}], "cursor": ""}),
        ("GET", "/admin/nodes") => json!({"nodes": [
            {"id": "acW68", "relay": "10.0.0.11:5090"}, {"id": "bdX79", "relay": "10.0.0.12:5090"},
            {"id": "ccccc", "relay": "10.0.0.13:5090"}, {"id": "ddddd", "relay": null}]}),
        ("POST", "/admin/nodes/acW68/relay-test") if body.contains("bdX79") => {
            json!({"from": "acW68", "to": "bdX79", "at": "2026-05-06T12:34:56.000000Z", "works": true, "cause": null,
                "answered_ms": 21, "sent": 100, "received": 99, "lost": 0, "jitter_ms": 1.4})
        }
        ("POST", "/admin/nodes/acW68/relay-test") => {
            let down = json!({"success": false, "error": "node ccccc: the node is down"});
            return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(down)).into_response();
        }
        _ => {
            let missing = json!({"success": false, "error": "no such path"});
            return (StatusCode::NOT_FOUND, axum::Json(missing)).into_response();
        }
    };
    axum::Json(answer).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_and_calls_of_all_apps_are_listed() {
    let admin = AdminStandIn::start().await;
    assert_eq!(
        admin.shown(&["room", "list", "--all-apps", "--utc"]),
        "ROOM                 APP    NAME     MEMBERS  LOCKED  STATUS  TYPE        CREATED (UTC)\n\
         acW68-room-d3249143  demo   standup  1        no      open    conference  2026-05-06 12:34:56\n\
         bbbbb-room-d3249143  other  standup  1        no      open    conference  2026-05-06 12:34:56\n"
    );
    // The prefix is as long as it must be.
    let calls = admin.shown(&["call", "list", "--all-apps", "--utc"]);
    assert_eq!(
        calls,
        "CALL              APP   STATE    CALLER     DIALLED    ROOM                 CREATED (UTC)        DIRECTION\n\
         acW68-04c64c27-1  demo  in_room  527121101  747713001  acW68-room-d3249143  2026-05-06 12:34:56  inbound\n\
         acW68-04c64c27-2  demo  parked   527121101  747713001  -                    2026-05-06 12:34:56  inbound\n"
    );
    let parked = admin.shown(&["call", "list", "--all-apps", "--state", "parked"]);
    assert!(
        parked.contains("\nacW68-04c64c27-2  demo  parked"),
        "{parked}"
    );
    assert_eq!(parked.lines().count(), 2, "{parked}");
    admin.requests();
    let json = admin.shown(&[
        "call",
        "list",
        "--all-apps",
        "--state",
        "parked",
        "--node",
        "acW68",
        "--json",
    ]);
    assert_eq!(
        serde_json::from_str::<Value>(&json).unwrap(),
        json!({"calls": [call(OTHER_CALL, "parked", None)]})
    );
    assert_eq!(
        admin.requests(),
        ["GET /admin/calls?limit=200&node=acW68&state=parked"]
    );
    let whole = admin.shown(&[
        "room",
        "list",
        "--all-apps",
        "--node",
        "acW68",
        "--full-ids",
    ]);
    assert!(whole.contains(&format!("\n{ROOM}  demo")), "{whole}");
    assert!(!whole.contains(OTHER_ROOM), "{whole}");
}

#[tokio::test(flavor = "multi_thread")]
async fn room_of_any_app_is_shown_and_deleted() {
    let admin = AdminStandIn::start().await;
    let shown = admin.shown(&["room", "show", "acW68-room-d3249143", "--all-apps", "--utc"]);
    assert!(
        shown.starts_with(&format!("room     {ROOM}\napp      demo\n")),
        "{shown}"
    );
    assert!(
        shown.contains(&format!(
            "\n{CALL}  527121101  747713001  joined  yes    no "
        )),
        "{shown}"
    );
    // Both apps have a room of this name.
    let out = admin.run(&["room", "show", "standup", "--all-apps"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    assert!(
        text(&out.stderr).contains(OTHER_ROOM),
        "{}",
        text(&out.stderr)
    );
    let out = admin.run(&["room", "delete", ROOM, "--all-apps"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    admin.requests();
    admin.shown(&["room", "delete", ROOM, "--all-apps", "--yes"]);
    assert_eq!(admin.requests(), [format!("DELETE /admin/rooms/{ROOM}")]);
    for args in [
        &["room", "lock", ROOM, "--all-apps"][..],
        &["room", "delete", ROOM, "--all-apps", "--yes", "--wait"],
        &["call", "answer", CALL, "--all-apps"],
    ] {
        let out = admin.run(args);
        assert_eq!(
            out.status.code(),
            Some(2),
            "{args:?}: {}",
            text(&out.stderr)
        );
        assert!(
            text(&out.stderr).contains("--all-apps is possible for"),
            "{args:?}"
        );
    }
    assert!(admin.requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn call_of_any_app_is_found_and_ended() {
    let admin = AdminStandIn::start().await;
    let found = admin.shown(&["call", "search", "527121101", "--all-apps", "--utc"]);
    assert_eq!(
        found,
        format!(
            "call       {CALL}\napp        demo\nstate      in_room\nroom       {ROOM}\ncaller     527121101\n\
             dialled    747713001\ndirection  inbound\ncreated    2026-05-06 12:34:56 UTC\n\n\
             (only the first 1 calls are shown)\n"
        )
    );
    assert_eq!(admin.requests(), ["GET /admin/search?number=527121101"]);
    admin.shown(&[
        "call",
        "hangup",
        "acW68-04c64c27-1",
        "--all-apps",
        "--cause",
        "USER_BUSY",
    ]);
    assert_eq!(
        admin.requests(),
        [
            "GET /admin/calls?limit=200".to_owned(),
            format!("POST /admin/calls/{CALL}/hangup {{\"cause\":\"USER_BUSY\"}}")
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn app_is_enabled_renumbered_and_deleted() {
    let admin = AdminStandIn::start().await;
    assert_eq!(
        admin.shown(&["app", "set-dids", "demo", "100", "101"]),
        "The dialled numbers of app demo are 100, 101.\n"
    );
    admin.shown(&["app", "set-dids", "demo", "--none"]);
    admin.shown(&["app", "enable", "demo"]);
    let out = admin.run(&["app", "delete", "demo"]);
    assert_eq!(out.status.code(), Some(2), "{}", text(&out.stderr));
    let out = admin.run(&["app", "delete", "demo", "--yes"]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("the app has calls (409 Conflict)"));
    assert_eq!(
        admin.shown(&["app", "delete", "demo", "--yes", "--force"]),
        "The app demo is deleted. Ended rooms: 1, ended calls: 2.\n"
    );
    assert_eq!(
        admin.requests(),
        [
            "PUT /admin/apps/demo/dids {\"dids\":[\"100\",\"101\"]}",
            "PUT /admin/apps/demo/dids {\"dids\":[]}",
            "POST /admin/apps/demo/enable",
            "DELETE /admin/apps/demo",
            "DELETE /admin/apps/demo?force=true",
        ]
    );
    let out = admin.run(&["app", "set-dids", "demo"]);
    assert_eq!(out.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_log_is_filtered_by_controller() {
    let admin = AdminStandIn::start().await;
    let log = admin.shown(&[
        "audit",
        "--app-id",
        "demo",
        "--action",
        "room.lock",
        "--actor",
        "demo",
        "--since",
        "2026-05-06T12:00:00Z",
        "--limit",
        "5",
        "--utc",
    ]);
    assert!(
        log.contains("\n2026-05-06 12:34:56  app demo  room.lock  accepted"),
        "{log}"
    );
    assert_eq!(
        admin.requests(),
        [
            "GET /admin/audit?limit=5&app_id=demo&action=room.lock&actor=demo&since=2026-05-06T12%3A00%3A00Z"
        ]
    );
    let json: Value = serde_json::from_str(&admin.shown(&["audit", "--json"])).unwrap();
    assert_eq!(json["entries"][0]["action"], "room.lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn relays_are_tested_to_one_node_or_to_all() {
    let admin = AdminStandIn::start().await;
    let head = "FROM   TO     WORKS  ANSWERED  SENT  RECEIVED  LOST  JITTER  CAUSE\n";
    let row = "acW68  bdX79  yes    21 ms     100   99        0     1.4 ms  -\n";
    assert_eq!(
        admin.shown(&["nodes", "relay-test", "acW68", "bdX79"]),
        format!("{head}{row}")
    );
    let out = admin.run(&["nodes", "relay-test", "acW68"]);
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(text(&out.stderr), "roomkeeper: 1 of 2 relays failed\n");
    let shown = text(&out.stdout);
    let failed =
        "acW68  ccccc  no     -         -     -         -     -       node ccccc: the node is down";
    assert_eq!(shown, format!("{head}{row}{failed}\n"));
    assert_eq!(
        admin.requests(),
        [
            "POST /admin/nodes/acW68/relay-test {\"to\":\"bdX79\"}",
            "GET /admin/nodes",
            "POST /admin/nodes/acW68/relay-test {\"to\":\"bdX79\"}",
            "POST /admin/nodes/acW68/relay-test {\"to\":\"ccccc\"}",
        ]
    );
    let json = admin.run(&["nodes", "relay-test", "acW68", "--json"]);
    let tests: Value = serde_json::from_str(&text(&json.stdout)).unwrap();
    assert_eq!(tests["tests"][1]["cause"], "node ccccc: the node is down");
    assert_eq!(json.status.code(), Some(1));
    let down = admin.run(&["nodes", "relay-test", "acW68", "ccccc"]);
    assert!(text(&down.stderr).contains("(503 Service Unavailable)"));
    assert_eq!(down.status.code(), Some(1));
    let unknown = admin.run(&["nodes", "relay-test", "zzzzz"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", text(&unknown.stderr));
}
