//! `/conferences/{room_id}/calls`: dial-outs.

use roomkeeper::http::ApiSettings;
use roomkeeper::reconciler::{Accepted, Refusal};
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{Action, Dial, DialAccepted, DialCancelled};
use roomkeeper_core::room::{DialInput, DialOut, DialRequest, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::*;

async fn world() -> (World, RoomId) {
    world_with(settings()).await
}

async fn world_with(settings: ApiSettings) -> (World, RoomId) {
    let world = World::with_settings(settings);
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    (world, room)
}

fn path(room: RoomId) -> String {
    format!("/api/v1/conferences/{room}/calls")
}

fn dial_request(to: &str) -> DialRequest {
    DialRequest {
        to: to.parse().unwrap(),
        from: Some("+49309".parse().unwrap()),
        caller_name: None,
        timeout: 60,
        muted: false,
        retries: 2,
        retry_pause: 10,
        member: Default::default(),
        headers: Vec::new(),
    }
}

/// A stored dial-out of the room, 100 s after the start of time.
async fn dialling(world: &World, room: RoomId, id: CallId) {
    let at = Timestamp::from_millis(100_000);
    let dial = DialOut::new(id, dial_request("+49301"), None, at);
    let start = RoomInput::Dial(DialInput::Start(Box::new(dial)));
    world.apply_input(room, start, at).await;
}

fn accepted(session: CallId) -> Accepted {
    Accepted::Dial(DialAccepted { session })
}

/// The only intent, which dials.
fn dialled(world: &World) -> Dial {
    let mut intents = world.intents();
    assert_eq!(names(&intents), ["dial"]);
    let Action::Dial(dial) = intents.remove(0).action else {
        panic!("not a dial-out");
    };
    dial
}

#[tokio::test]
async fn dial_gives_202_with_the_id_of_the_call() {
    let (world, room) = world().await;
    let session = session_id("acW68", 7);
    world.script(Ok(accepted(session)));
    let body = json!({
        "to": "sip:Bob@PBX.example.com", "from": "+49309", "caller_name": "Front desk", "timeout": 20,
        "muted": true, "retries": 3, "retry_pause": 5, "headers": {"X-Ticket": "a 1"},
        "labels": {"team": "sales"}, "command_uid": "d.1",
    });
    let expected = json!({
        "call_id": session.to_string(), "session_uuid": session.to_string(), "status": "dialling",
    });
    world
        .post(&path(room), body.clone())
        .await
        .is(202, expected.clone());
    let dial = dialled(&world);
    assert_eq!(dial.session.node(), room.node());
    let request = *dial.request;
    assert_eq!(request.to.to_string(), "Bob@pbx.example.com");
    assert_eq!((request.timeout, request.muted), (20, true));
    assert_eq!((request.retries, request.retry_pause), (3, 5));
    assert_eq!(request.headers[0].name(), "X-Ticket");
    assert!(!request.member.is_default(), "it has the label");
    // The same command again returns the same answer, and dials once.
    world.post(&path(room), body).await.is(202, expected);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn omitted_fields_have_defaults() {
    let (world, room) = world().await;
    world.script(Ok(accepted(session_id("acW68", 7))));
    let body = json!({"to": "+49301"});
    assert_eq!(world.post(&path(room), body).await.status.as_u16(), 202);
    let expected = DialRequest {
        from: None,
        retries: 0,
        ..dial_request("+49301")
    };
    assert_eq!(*dialled(&world).request, expected);
}

#[tokio::test]
async fn invalid_fields_give_400() {
    let (world, room) = world().await;
    let many: Value = (0..17)
        .map(|n| (format!("X-{n}"), json!("a")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    for body in [
        json!({}),
        json!({"to": 49301}),
        json!({"to": ""}),
        json!({"to": "+49 30"}),
        json!({"to": "+4930,sofia/x/y"}),
        json!({"to": "{a=b}+4930"}),
        json!({"to": "a@b;transport=tcp"}),
        json!({"to": "${system(id)}"}),
        json!({"to": "+49301", "from": "Bob"}),
        json!({"to": "+49301", "caller_name": "a'b"}),
        json!({"to": "+49301", "timeout": 0}),
        json!({"to": "+49301", "timeout": 601}),
        json!({"to": "+49301", "timeout": "20"}),
        json!({"to": "+49301", "retries": 11}),
        json!({"to": "+49301", "retry_pause": 0}),
        json!({"to": "+49301", "muted": "yes"}),
        json!({"to": "+49301", "headers": {"Via": "a"}}),
        json!({"to": "+49301", "headers": {"X-A": 1}}),
        json!({"to": "+49301", "headers": {"X-A": "a\r\nVia: b"}}),
        json!({"to": "+49301", "headers": {"X-A": "a", "x-a": "b"}}),
        json!({"to": "+49301", "headers": many}),
        json!({"to": "+49301", "labels": {"a": 1}}),
        json!({"to": "+49301", "command_uid": "no spaces"}),
    ] {
        world.post(&path(room), body).await.fails(400);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn only_allowed_destinations_are_called() {
    let (world, room) = world().await;
    for to in ["+1555", "bob@evil.example.com"] {
        let refused = world.post(&path(room), json!({"to": to})).await;
        refused.fails(403);
        let text = Refusal::DestinationNotAllowed.to_string();
        assert_eq!(refused.json()["error"], text);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn other_apps_and_missing_rooms_are_refused() {
    let (world, room) = world().await;
    let body = json!({"to": "+49301"});
    for (method, path, body) in [
        ("POST", path(room), Some(body.clone())),
        ("GET", path(room), None),
        (
            "GET",
            format!("{}/{}", path(room), session_id("acW68", 7)),
            None,
        ),
        (
            "DELETE",
            format!("{}/{}", path(room), session_id("acW68", 7)),
            None,
        ),
    ] {
        world
            .send(request(OTHER, method, &path, body))
            .await
            .fails(403);
    }
    let missing = path(room_id("acW68", 2));
    world.post(&missing, body).await.fails(404);
    world.get(&missing).await.fails(404);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn dial_outs_in_progress_are_listed() {
    let (world, room) = world().await;
    let empty = json!({"room_id": room.to_string(), "calls": []});
    world.get(&path(room)).await.is(200, empty);
    let id = session_id("acW68", 7);
    dialling(&world, room, id).await;
    let row = json!({
        "call_id": id.to_string(), "session_uuid": id.to_string(), "to": "+49301", "from": "+49309",
        "status": "dialling", "attempt": 1, "attempts": 3, "muted": false, "created_at": "1970-01-01T00:01:40Z",
    });
    let list = json!({"room_id": room.to_string(), "calls": [row]});
    world.get(&path(room)).await.is(200, list);
    world
        .get(&format!("{}/{id}", path(room)))
        .await
        .is(200, row);
    let other = session_id("acW68", 8);
    world
        .get(&format!("{}/{other}", path(room)))
        .await
        .fails(404);
}

#[tokio::test]
async fn cancel_gives_202_or_404() {
    let (world, room) = world().await;
    let id = session_id("acW68", 7);
    let one = format!("{}/{id}", path(room));
    dialling(&world, room, id).await;
    for (over, status) in [(false, "cancelling"), (true, "cancelled")] {
        world.script(Ok(Accepted::CancelDial(DialCancelled { over })));
        let answer = world.send(request(DEMO, "DELETE", &one, None)).await;
        answer.is(202, json!({ "status": status }));
        assert_eq!(names(&world.intents()), ["cancel_dial"]);
    }
    world.script(Err(Refusal::DialNotFound.into()));
    world
        .send(request(DEMO, "DELETE", &one, None))
        .await
        .fails(404);
}

#[tokio::test]
async fn app_has_a_limit_of_dial_outs_and_ended_ones_do_not_count() {
    let (world, room) = world_with(ApiSettings {
        max_dials: 1,
        ..settings()
    })
    .await;
    let dial = async || world.post(&path(room), json!({"to": "+49301"})).await;
    world.script(Ok(accepted(session_id("acW68", 7))));
    assert_eq!(dial().await.status.as_u16(), 202);
    let first = dialled(&world).session;
    dialling(&world, room, first).await;
    let refused = dial().await;
    refused.fails(429);
    assert!(refused.headers.contains_key("retry-after"));
    // A place is looked at only after a while, so that a dial-out which is not stored yet keeps its own.
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    dial().await.fails(429);
    let over = DialInput::HungUp {
        session: first,
        cause: "CALL_REJECTED".to_owned(),
        sip_status: Some(603),
    };
    let at = Timestamp::from_millis(101_000);
    world.apply_input(room, RoomInput::Dial(over), at).await;
    world.script(Ok(accepted(session_id("acW68", 8))));
    assert_eq!(dial().await.status.as_u16(), 202);
}
