//! Commands to the members of a room by one request: who is affected, the wait, and failures.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::command::{RunningCommand, document, shown, text};
use crate::program::controller::binary;
use crate::program::poll::{self, TIMEOUT};
use crate::program::proxy::Proxy;
use crate::program::switch::Switch;
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::{fails, world};

/// Three members of a room, all muted; the last one is a moderator.
async fn members(world: &World, room: &str) -> Vec<String> {
    let mut calls = Vec::new();
    for number in ["527121101", "527121102", "527121103"] {
        let call = world.call(number).await;
        world.join(&call, room).await;
        calls.push(call);
    }
    shown(
        world,
        &[
            "member",
            "update",
            "standup",
            "527121103",
            "--role",
            "moderator",
            "--wait",
        ],
    );
    calls
}

/// The members that are muted.
async fn muted(world: &World, room: &str) -> Vec<String> {
    let path = format!("/conferences/{room}/members?muted=true");
    let members = world.controller.get(&path).await.body;
    let members = members["members"].as_array().unwrap().iter();
    let mut members: Vec<String> = members
        .map(|member| member["caller_id"].as_str().unwrap().to_owned())
        .collect();
    members.sort();
    members
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_muted_and_unmuted_with_exceptions() {
    let world = world().await;
    let room = world.room("standup").await;
    assert_eq!(
        shown(&world, &["room", "mute-all", "standup", "--wait"]),
        format!("mute all members of {room}: 0 confirmed, 0 unchanged\n")
    );
    let calls = members(&world, &room).await;
    shown(
        &world,
        &["member", "unmute", "standup", "527121102", "--wait"],
    );
    // Those that are unmuted already are unchanged.
    let done = document(
        &world,
        &["room", "unmute-all", "standup", "--wait", "--json"],
    );
    assert_eq!(done["accepted"], 2, "{done}");
    assert_eq!(done["unchanged"], 1, "{done}");
    let events = done["events"].as_array().unwrap();
    assert_eq!(events.len(), 2, "{done}");
    for event in events {
        assert_eq!(event["event"], "conference.member.unmuted");
        // One request has one id.
        let uid = &event["data"]["command_uid"];
        assert!(uid.is_string() && *uid == events[0]["data"]["command_uid"]);
    }
    assert_eq!(muted(&world, &room).await, [""; 0]);

    let args = ["room", "mute-all", "standup", "--except-moderators"];
    let except = ["--except", "527121101", "--wait"];
    assert_eq!(
        shown(&world, &[&args[..], &except[..]].concat()),
        format!("mute all members of {room}: 1 confirmed, 0 unchanged\n")
    );
    assert_eq!(muted(&world, &room).await, ["527121102"]);
    let args = ["room", "mute-all", "standup"];
    let except = ["--except", &calls[0], "--except", "527121103", "--wait"];
    assert_eq!(
        shown(&world, &[&args[..], &except[..]].concat()),
        format!("mute all members of {room}: 0 confirmed, 1 unchanged\n")
    );
    // An exception that is not in the room is an error, and nothing is sent.
    let (code, errors) = fails(
        &world,
        &["room", "mute-all", "standup", "--except", "527121109"],
    );
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("there is no member \"527121109\""),
        "{errors}"
    );
    assert_eq!(muted(&world, &room).await, ["527121102"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_hung_up_after_a_question() {
    let world = world().await;
    let room = world.room("standup").await;
    let calls = members(&world, &room).await;
    let (code, errors) = fails(&world, &["room", "hangup-all", "standup"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("use --yes"), "{errors}");
    assert!(errors.contains(&format!("standup ({room})")), "{errors}");
    for call in &calls {
        assert_eq!(world.call_state(call).await.0, "in_room");
    }
    assert_eq!(
        shown(
            &world,
            &[
                "room",
                "hangup-all",
                "standup",
                "--except-moderators",
                "--yes",
                "--wait"
            ]
        ),
        format!("hangup all members of {room}: 2 confirmed, 0 unchanged\n")
    );
    let left = document(&world, &["call", "list", "--json"]);
    let left = left["sessions"].as_array().unwrap();
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0]["uuid"], *calls[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wait_ends_with_members_that_confirm_too_late() {
    let switch = Switch::simulated(PASSWORD).await;
    let proxy = Proxy::start(switch.address()).await;
    let mut setup = Setup::on(Store::Memory);
    setup.node_address = Some(proxy.address);
    let world = setup.start_with(switch).await;
    world.controller.until_synced().await;
    let room = world.room("standup").await;
    let calls = members(&world, &room).await;
    // Not even the fence of a snapshot arrives, which would reveal the change.
    let held = proxy.hold_events(|_| true);
    let late = ["--wait", "--timeout", "1"];
    let args = ["room", "unmute-all", "standup"];
    let out = crate::run(&world, &[&args[..], &late[..]].concat());
    let errors = text(&out.stderr);
    assert_eq!(out.status.code(), Some(75), "{errors}");
    assert!(errors.contains("0 of 3 confirmed within 1 s"), "{errors}");
    held.release();
    poll::until("all are unmuted", TIMEOUT, async || {
        muted(&world, &room).await.is_empty().then_some(())
    })
    .await;

    // A member that hangs up cannot confirm.
    let held = proxy.hold_events(|event| event.contains("mute-member"));
    let mut wait = RunningCommand::start(&world, &["room", "mute-all", "standup", "--wait"]);
    let is_silent = async || {
        let list = world.fs("conference json_list compact").await;
        (!list.contains("\"can_speak\":true")).then_some(())
    };
    poll::until("FreeSWITCH has muted all", TIMEOUT, is_silent).await;
    let path = format!("/sessions/{}/commands/hangup", calls[0]);
    let gone = world.controller.ask("POST", &path, Some(&json!({}))).await;
    assert_eq!(gone.status, 202, "{}", gone.body);
    world.receiver.first(&calls[0], "call.hangup").await;
    held.release();
    assert_eq!(wait.ends().await, Some(1), "{}", wait.errors());
    let errors = wait.errors();
    assert!(errors.contains(&format!("{}: ", calls[0])), "{errors}");
    assert!(errors.contains("1 of 3 commands failed"), "{errors}");
    wait.prints("2 confirmed, 0 unchanged").await;
}

const ROOM: &str = "acW68-room-d3249143-1498-4edb-a694-ac208e579e94";
const CALL: &str = "acW68-04c64c27-1498-4edb-a694-ac208e579e94";

type Bodies = Arc<Mutex<Vec<Value>>>;

async fn list() -> Response {
    let member = json!({"uuid": CALL, "caller_id": "527121101", "muted": false});
    axum::Json(json!({"members": [member], "cursor": ""})).into_response()
}

/// Accepts one command, and reports another one as failed.
async fn mute(State(bodies): State<Bodies>, Json(body): Json<Value>) -> Response {
    bodies.lock().unwrap().push(body);
    let failed = json!([{"session": "acW68-broken", "status": 504, "error": "no answer in time"}]);
    let answer = json!({"accepted": 1, "unchanged": 2, "failed": failed});
    (StatusCode::ACCEPTED, axum::Json(answer)).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_has_all_exceptions_and_its_failures_are_shown() {
    let bodies = Bodies::default();
    let routes = Router::new()
        .route("/api/v1/conferences/{room}/members", get(list))
        .route("/api/v1/conferences/{room}/mute", post(mute))
        .with_state(Arc::clone(&bodies));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    // No context of the user who runs the tests.
    let nowhere = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let mut command = binary();
        command
            .env("XDG_CONFIG_HOME", nowhere.path())
            .env("ROOMKEEPER_API", &address)
            .env("ROOMKEEPER_APP", "demo")
            .env("ROOMKEEPER_KEY", "key")
            .args(["room", "mute-all", ROOM])
            .args(args);
        tokio::task::block_in_place(|| command.output().unwrap())
    };
    let out = run(&["--except", "527121101", "--except-moderators"]);
    let errors = text(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{errors}");
    let printed = text(&out.stdout);
    let expected = format!("mute all members of {ROOM}: 1 accepted, 2 unchanged\n");
    assert_eq!(printed, expected);
    assert!(
        errors.contains("acW68-broken: no answer in time (504)"),
        "{errors}"
    );
    assert!(errors.contains("1 of 2 commands failed"), "{errors}");
    let out = run(&["--json"]);
    let printed: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    assert_eq!(printed["failed"][0]["status"], 504, "{printed}");
    server.abort();
    let mut bodies = bodies.lock().unwrap().clone();
    for body in &mut bodies {
        let uid = body.as_object_mut().unwrap().remove("command_uid");
        assert!(uid.is_some_and(|uid| uid.is_string()));
    }
    assert_eq!(
        bodies,
        [
            json!({"except": [CALL], "except_moderators": true}),
            json!({})
        ]
    );
}
