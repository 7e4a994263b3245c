//! `/conferences`: create, read, change and end; and the same rooms in the gateway API.

use std::time::Duration;

use roomkeeper::http::ApiSettings;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, IntentError, Link, Refusal};
use roomkeeper_core::room::{RecordInput, Update};

use super::*;

/// An action as in the documentation: older ones state the voice.
fn talk(text: &str, gender: bool) -> Value {
    let mut action = json!({
        "id": NIL,
        "next_id": NIL,
        "type": "talk",
        "option": {"text": text, "language": "en-US"},
    });
    if gender {
        action["option"]["gender"] = json!("female");
    }
    action
}

fn room_of(conference: &Value) -> RoomId {
    let id = conference["id"].as_str().unwrap().parse().unwrap();
    RoomId::new(roomkeeper_core::ids::node_in_uuid(id).unwrap(), id)
}

fn refused(refusal: Refusal) -> Result<Accepted, IntentError> {
    Err(IntentError::Refused(refusal))
}

// ---- its sixteen fields -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn conference_matches_documented_example() {
    for gender in [false, true] {
        let world = World::new();
        let room = conference_id("acW68", 1);
        let pre = talk("Hello. Welcome to the test conference.", gender);
        let post = talk("The conference has closed. Thank you. Good bye.", gender);
        world.conference(room, "demo").await;
        let update = Update {
            detail: Some("test conference for example.".to_owned()),
            pre_actions: Some(roomkeeper_core::action::parse_list(vec![pre.clone()]).unwrap()),
            post_actions: Some(roomkeeper_core::action::parse_list(vec![post.clone()]).unwrap()),
            ..Update::default()
        };
        // 2022-08-06 19:11:13.040418.
        let changed = Timestamp::from_micros(1_659_813_073_040_418);
        world
            .apply_input(
                room,
                RoomInput::Update {
                    update: Box::new(update),
                    command_uid: None,
                },
                changed,
            )
            .await;
        world.get(&path_of(room)).await.is(
            200,
            json!({
                "id": room.uuid(),
                "customer_id": customer(DEMO),
                "type": "conference",
                "status": "progressing",
                "name": "test conference",
                "detail": "test conference for example.",
                "data": {},
                "timeout": 0,
                "pre_actions": [pre],
                "post_actions": [post],
                "conferencecall_ids": [],
                "recording_id": NIL,
                "recording_ids": [],
                "tm_create": "2022-02-03 06:08:56.672025",
                "tm_update": "2022-08-06 19:11:13.040418",
                "tm_delete": NEVER,
            }),
        );
    }
}

#[tokio::test]
async fn create_with_documented_body_returns_all_fields() {
    let world = World::new();
    let body = json!({
        "type": "conference",
        "name": "test conference",
        "detail": "test conference for example",
    });
    let made = world.post(CONFERENCES, body).await.ok();
    let room = room_of(&made);
    let shown = json!({
        "id": room.uuid(),
        "customer_id": customer(DEMO),
        "type": "conference",
        "status": "progressing",
        "name": "test conference",
        "detail": "test conference for example",
        "data": {},
        "timeout": 0,
        "pre_actions": [],
        "post_actions": [],
        "conferencecall_ids": [],
        "recording_id": NIL,
        "recording_ids": [],
        "tm_create": "2026-05-06 12:34:56.672025",
        "tm_update": NEVER,
        "tm_delete": NEVER,
    });
    assert_eq!(made, shown);
    world.get(&path_of(room)).await.is(200, shown.clone());
    let upper = format!("{CONFERENCES}/{}", room.uuid().to_string().to_uppercase());
    world.get(&upper).await.is(200, shown.clone());
    let list = json!({"result": [shown], "next_page_token": ""});
    world.get(CONFERENCES).await.is(200, list);
    // All sixteen names, so that no change stays unnoticed.
    assert_eq!(made.as_object().unwrap().len(), 16);
}

#[tokio::test]
async fn status_and_members_through_all_states() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let shown = || async { world.get(&path_of(room)).await.ok() };
    world.apply_input(room, RoomInput::Unplaced, later(1)).await;
    assert_eq!(shown().await["status"], "starting");
    world.apply_input(room, RoomInput::Placed, later(2)).await;
    assert_eq!(shown().await["status"], "progressing");
    let [stays, goes, comes] = [1, 2, 3].map(|n| session_id("acW68", n));
    let mut ids = vec![
        world.member(room, stays).await.uuid().to_string(),
        world.member(room, goes).await.uuid().to_string(),
    ];
    ids.sort();
    let join = RoomInput::Join {
        call: comes,
        member: member_id(comes),
        caller_id: String::new(),
        did: String::new(),
        muted: false,
        settings: Default::default(),
        has_pre_actions: false,
        command_uid: None,
        deadline: later(100),
    };
    world.apply_input(room, join, later(3)).await;
    let leave = RoomInput::Leave {
        call: goes,
        reason: roomkeeper_core::room::LeftReason::Removed,
        command_uid: None,
        deadline: later(100),
    };
    world.apply_input(room, leave, later(4)).await;
    // Joined and leaving members count, joining ones do not.
    let mut now: Vec<String> =
        serde_json::from_value(shown().await["conferencecall_ids"].clone()).unwrap();
    now.sort();
    assert_eq!(now, ids);
    world.ends(room).await;
    let ending = shown().await;
    assert_eq!(ending["status"], "terminating");
    assert_eq!(ending["tm_delete"], NEVER);
    assert_eq!(ending["tm_update"], "2022-02-03 06:09:16.672025");
    for session in [stays, goes] {
        world.apply_input(room, left(session), later(25)).await;
    }
    let over = shown().await;
    assert_eq!(over["status"], "terminated");
    assert_eq!(over["conferencecall_ids"], json!([]));
    assert_eq!(over["tm_delete"], "2022-02-03 06:09:21.672025");
    assert_eq!(over["tm_update"], over["tm_delete"]);
}

// ---- POST -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn given_fields_are_stored() {
    let world = World::new();
    let actions = json!([
        talk("One", true),
        {"id": NIL, "next_id": NIL, "type": "play", "option": {"stream_urls": ["https://93.184.216.34/a.wav"]}},
        {"id": NIL, "next_id": NIL, "type": "beep", "option": {}},
        {"id": NIL, "next_id": NIL, "type": "sleep", "option": {"duration": 500}},
        {"id": NIL, "next_id": NIL, "type": "hangup", "option": {"reason": "kept"}},
    ]);
    for (field, value) in [
        ("type", json!("conference")),
        ("type", json!("connect")),
        ("name", json!("")),
        ("name", json!("Réunion du lundi 🎉 / \"A\" <b>\n\u{0}")),
        ("name", json!("é".repeat(255))),
        ("detail", json!("")),
        ("detail", json!("é".repeat(4_096))),
        ("data", json!({})),
        ("data", json!({"a": [1, null, {"b": 1.5}], "": "ü"})),
        ("timeout", json!(0)),
        ("timeout", json!(31_536_000)),
        ("pre_actions", json!([])),
        ("pre_actions", actions.clone()),
        ("post_actions", actions),
    ] {
        let mut body = json!({});
        body[field] = value.clone();
        let made = world.post(CONFERENCES, body).await.ok();
        assert_eq!(made[field], value);
        let read = world.get(&path_of(room_of(&made))).await.ok();
        assert_eq!(read, made);
    }
}

#[tokio::test]
async fn omitted_or_null_fields_have_defaults() {
    let world = World::new();
    let fields = [
        "type",
        "name",
        "detail",
        "data",
        "timeout",
        "pre_actions",
        "post_actions",
        "node",
        "session",
    ];
    let mut nulls = json!({"unknown": 1, "id": "mine", "status": "terminated"});
    for field in fields {
        nulls[field] = Value::Null;
    }
    for body in [json!({}), nulls] {
        let made = world.post(CONFERENCES, body).await.ok();
        assert_eq!(made["type"], "conference");
        assert_eq!(made["status"], "progressing");
        assert_eq!((&made["name"], &made["detail"]), (&json!(""), &json!("")));
        assert_eq!((&made["data"], &made["timeout"]), (&json!({}), &json!(0)));
    }
    // No body, and one with the type of a form, as the documented commands send it.
    world.post_empty(CONFERENCES).await.ok();
    let mut form = request(DEMO, "POST", CONFERENCES, Some(json!({"name": "n"})));
    form.headers_mut().insert(
        "content-type",
        "application/x-www-form-urlencoded".parse().unwrap(),
    );
    assert_eq!(world.send(form).await.ok()["name"], "n");
}

#[tokio::test]
async fn names_may_repeat() {
    let world = World::new();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let made = world.post(CONFERENCES, json!({"name": "same"})).await.ok();
        seen.insert(made["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), 3);
}

/// Bodies with one wrong field, and the reported field.
fn wrong() -> Vec<(Value, &'static str)> {
    let action = |action: Value| json!({"pre_actions": [{"type": "beep"}, action]});
    let url = |url: &str| action(json!({"type": "play", "option": {"stream_urls": [url]}}));
    let id = "11111111-1111-4111-8111-111111111111";
    let mut bodies = vec![
        (json!({"name": 1}), "name"),
        (json!({"name": ["a"]}), "name"),
        (json!({"name": "é".repeat(256)}), "name"),
        (json!({"detail": {}}), "detail"),
        (json!({"detail": "é".repeat(4_097)}), "detail"),
        (json!({"data": "text"}), "data"),
        (json!({"data": [1]}), "data"),
        (json!({"data": {"a": "x".repeat(16 * 1024)}}), "data"),
        (json!({"timeout": -1}), "timeout"),
        (json!({"timeout": 31_536_001}), "timeout"),
        (json!({"timeout": 1e300}), "timeout"),
        (json!({"timeout": 1.5}), "timeout"),
        (json!({"timeout": "60"}), "timeout"),
        (json!({"timeout": true}), "timeout"),
        (json!({"pre_actions": {}}), "pre_actions"),
        (json!({"pre_actions": "talk"}), "pre_actions"),
        (json!({"post_actions": 1}), "post_actions"),
        (
            json!({"post_actions": [{"type": "dance"}]}),
            "post_actions[0]",
        ),
        (
            json!({"pre_actions": vec![json!({"type": "beep"}); 65]}),
            "pre_actions[64]",
        ),
        (
            json!({"pre_actions": [{"id": id, "type": "beep"}, {"id": id, "type": "beep"}]}),
            "pre_actions[1]",
        ),
        (
            json!({"pre_actions": [{"type": "beep"}, {"id": id, "next_id": id, "type": "beep"}]}),
            "pre_actions[1]",
        ),
    ];
    let second = [
        json!(null),
        json!("talk"),
        json!([]),
        json!({}),
        json!({"type": null}),
        json!({"type": "Talk"}),
        json!({"type": "answer"}),
        json!({"type": "conference_join", "option": {}}),
        json!({"type": "beep", "id": "x"}),
        json!({"type": "beep", "id": 7}),
        json!({"type": "beep", "next_id": id}),
        json!({"type": "beep", "option": []}),
        json!({"type": "talk"}),
        json!({"type": "talk", "option": {"text": 1}}),
        json!({"type": "talk", "option": {"text": ""}}),
        json!({"type": "talk", "option": {"text": "${system(id)}"}}),
        json!({"type": "talk", "option": {"text": "x".repeat(4_097)}}),
        json!({"type": "play"}),
        json!({"type": "play", "option": {"stream_urls": "http://192.0.2.1/a.wav"}}),
        json!({"type": "play", "option": {"stream_urls": []}}),
        json!({"type": "play", "option": {"stream_urls": [1]}}),
        json!({"type": "sleep"}),
        json!({"type": "sleep", "option": {"duration": -1}}),
        json!({"type": "sleep", "option": {"duration": 3_600_001}}),
        json!({"type": "sleep", "option": {"duration": "1"}}),
    ];
    bodies.extend(second.map(|bad| (action(bad), "pre_actions[1]")));
    for bad in [
        "",
        "file:///etc/passwd",
        "ftp://192.0.2.1/a",
        "http://127.0.0.1/a.wav",
        "http://[::1]/a.wav",
        "http://169.254.169.254/latest",
        "http://localhost/a.wav",
    ] {
        bodies.push((url(bad), "pre_actions[1]"));
    }
    bodies
}

#[tokio::test]
async fn wrong_fields_400_in_post_and_put() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let before = world.get(&path_of(room)).await.json();
    for (body, field) in wrong() {
        world.post(CONFERENCES, body.clone()).await.refuses(field);
        world.put(&path_of(room), body).await.refuses(field);
    }
    for (body, field) in [
        (json!({"type": "room"}), "type"),
        (json!({"type": ""}), "type"),
        (json!({"type": "Conference"}), "type"),
        (json!({"type": 1}), "type"),
        (json!({"node": "acW6"}), "node"),
        (json!({"node": 1}), "node"),
        (json!({"session": "acW68"}), "session"),
    ] {
        world.post(CONFERENCES, body).await.refuses(field);
    }
    for text in [
        "[]",
        "null",
        "1",
        "\"a\"",
        "{",
        "{\"name\": \"a\"} x",
        "\u{1}",
    ] {
        for (method, path) in [("POST", CONFERENCES.to_owned()), ("PUT", path_of(room))] {
            let mut bad = request(DEMO, method, &path, None);
            *bad.body_mut() = axum::body::Body::from(text);
            world.send(bad).await.fails(400);
        }
    }
    assert!(world.intents().is_empty());
    assert_eq!(world.get(&path_of(room)).await.json(), before);
}

#[tokio::test]
async fn too_large_actions_give_400() {
    let settings = ApiSettings {
        body_limit: 1024 * 1024,
        ..settings()
    };
    let world = World::with_settings(settings);
    let long = "x".repeat(4_000);
    let many = vec![json!({"type": "talk", "option": {"text": long}}); 17];
    world
        .post(CONFERENCES, json!({"post_actions": many}))
        .await
        .refuses("post_actions");
}

#[tokio::test]
async fn null_fields_of_action_count_as_omitted() {
    let world = World::new();
    let beep = json!({"id": null, "next_id": null, "type": "beep", "option": null});
    let made = world
        .post(CONFERENCES, json!({"pre_actions": [beep]}))
        .await;
    assert_eq!(
        made.ok()["pre_actions"],
        json!([{"id": NIL, "next_id": NIL, "type": "beep", "option": {}}])
    );
}

#[tokio::test]
async fn talk_without_speech_engine_gives_400_with_index() {
    let world = World::new();
    let body = json!({"post_actions": [{"type": "beep"}, talk("Hello", false)]});
    for id in NODES {
        world.set_node(id, |n| n.speaks = id == "ccccc");
    }
    world.post(CONFERENCES, body.clone()).await.ok();
    world.set_node("ccccc", |n| n.speaks = false);
    world
        .post(CONFERENCES, body)
        .await
        .refuses("post_actions[1]");
}

#[tokio::test]
async fn node_and_session_determine_placement() {
    let world = World::new();
    world.set_node("acW68", |n| n.calls = 90);
    world.set_node("bbbbb", |n| n.calls = 10);
    world.set_node("ccccc", |n| n.calls = 20);
    let call = session_id("ccccc", 1);
    world.session(call, "demo", 1).await;
    world.session(session_id("ccccc", 2), "other", 1).await;
    for (body, node) in [
        (json!({}), "bbbbb"),
        (json!({"node": "acW68"}), "acW68"),
        (json!({"session": call.to_string()}), "ccccc"),
    ] {
        let made = world.post(CONFERENCES, body).await.ok();
        assert_eq!(room_of(&made).node().as_str(), node);
    }
    let theirs = session_id("ccccc", 2).to_string();
    let apart = json!({"node": "acW68", "session": call.to_string()});
    for (body, status) in [
        (json!({"node": "zzzzz"}), 404),
        (json!({"session": session_id("ccccc", 9).to_string()}), 404),
        (json!({"session": theirs}), 403),
        (apart, 409),
    ] {
        world.post(CONFERENCES, body).await.fails(status);
    }
    world.set_node("ccccc", |n| n.link = down(Duration::from_secs(7)));
    let pinned = world.post(CONFERENCES, json!({"node": "ccccc"})).await;
    pinned.fails(503);
    assert_eq!(pinned.header("retry-after"), "7");
    for id in NODES {
        world.set_node(id, |n| n.link = Link::Connecting);
    }
    world.post(CONFERENCES, json!({})).await.fails(503);
}

// ---- PUT --------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn omitted_fields_stay_unchanged() {
    let world = World::new();
    let body = json!({
        "type": "connect",
        "name": "n",
        "detail": "d",
        "data": {"k": 1},
        "timeout": 60,
        "pre_actions": [talk("Hello", true)],
        "post_actions": [talk("Bye", false)],
    });
    let mut shown = world.post(CONFERENCES, body).await.ok();
    let path = path_of(room_of(&shown));
    let mut second = 0;
    for (field, value) in [
        ("name", json!("another")),
        ("detail", json!("")),
        ("data", json!({"other": [1]})),
        ("timeout", json!(0)),
        ("pre_actions", json!([])),
        ("post_actions", json!([talk("Later", true)])),
    ] {
        let mut change = json!({});
        change[field] = value.clone();
        shown[field] = value;
        second += 1;
        shown["tm_update"] = json!((CREATED + Duration::from_secs(second)).voipbin());
        world.put(&path, change).await.is(200, shown.clone());
        world.get(&path).await.is(200, shown.clone());
    }
    // An empty body changes nothing.
    for body in [json!({}), json!({"name": null, "type": null, "unknown": 1})] {
        world.put(&path, body).await.is(200, shown.clone());
    }
}

#[tokio::test]
async fn type_cannot_change() {
    let world = World::new();
    let made = world.post(CONFERENCES, json!({})).await.ok();
    let path = path_of(room_of(&made));
    world.intents();
    for kind in [json!("connect"), json!("conference"), json!(1)] {
        let body = json!({"type": kind, "name": "n"});
        world.put(&path, body).await.refuses("type");
    }
    assert!(world.intents().is_empty());
    world.get(&path).await.is(200, made);
}

#[tokio::test]
async fn post_action_is_alias_of_post_actions() {
    let world = World::new();
    let actions = json!([talk("Bye", true)]);
    let made = world
        .post(CONFERENCES, json!({"post_action": actions}))
        .await
        .ok();
    assert_eq!(made["post_actions"], actions);
    assert_eq!(made.as_object().unwrap().len(), 16);
    let path = path_of(room_of(&made));
    let changed = world.put(&path, json!({"post_action": []})).await.ok();
    assert_eq!(changed["post_actions"], json!([]));
    let wrong = json!({"post_action": [{"type": "dance"}]});
    world.put(&path, wrong).await.refuses("post_action[0]");
    // Both names together are ambiguous.
    let both = json!({"post_action": [], "post_actions": []});
    world.put(&path, both).await.refuses("post_action");
}

// ---- missing and foreign conferences --------------------------------------------------------------------------------

/// Every request about one conference.
fn requests(path: &str) -> Vec<axum::http::Request<axum::body::Body>> {
    vec![
        request(DEMO, "GET", path, None),
        request(DEMO, "PUT", path, Some(json!({"name": "n"}))),
        request(DEMO, "DELETE", path, None),
        request(DEMO, "POST", &format!("{path}/recording_start"), None),
        request(DEMO, "POST", &format!("{path}/recording_stop"), None),
    ]
}

#[tokio::test]
async fn unknown_gives_404_and_malformed_400() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    for id in [
        conference_id("acW68", 9).uuid().to_string(),
        conference_id("zzzzz", 1).uuid().to_string(),
        // A UUID that no node generated.
        "99accfb7-c0dd-4a54-997d-dd18af7bc280".to_owned(),
        NIL.to_owned(),
        "ffffffff-ffff-8fff-bfff-ffffffffffff".to_owned(),
    ] {
        for request in requests(&format!("{CONFERENCES}/{id}")) {
            world.send(request).await.fails(404);
        }
    }
    let simple = room.uuid().simple().to_string();
    for id in [
        "x",
        "1",
        "%20",
        "%FF",
        simple.as_str(),
        &room.to_string(),
        &format!("%7B{}%7D", room.uuid()),
        &format!("urn:uuid:{}", room.uuid()),
        &format!("{}0", room.uuid()),
    ] {
        for request in requests(&format!("{CONFERENCES}/{id}")) {
            world.send(request).await.fails(400);
        }
    }
    assert!(world.intents().is_empty());
    for (method, path) in [
        ("PATCH", path_of(room)),
        ("DELETE", CONFERENCES.to_owned()),
        ("GET", format!("{}/recording_start", path_of(room))),
    ] {
        world
            .send(request(DEMO, method, &path, None))
            .await
            .fails(405);
    }
    for path in ["/v1.0", "/v1.0/", "/v1.0/rooms", "/v1/conferences"] {
        world.get(path).await.fails(404);
    }
}

#[tokio::test]
async fn foreign_conference_gives_403() {
    let world = World::new();
    let theirs = conference_id("acW68", 1);
    world.conference(theirs, "other").await;
    for request in requests(&path_of(theirs)) {
        world.send(request).await.fails(403);
    }
    // Ownership precedes state.
    world.ends(theirs).await;
    for request in requests(&path_of(theirs)) {
        world.send(request).await.fails(403);
    }
    assert!(world.intents().is_empty());
    let none = json!({"result": [], "next_page_token": ""});
    world.get(CONFERENCES).await.is(200, none);
}

#[tokio::test]
async fn hidden_foreign_objects_give_404() {
    let world = World::with_settings(ApiSettings {
        hide_foreign: true,
        ..settings()
    });
    let theirs = conference_id("acW68", 1);
    world.conference(theirs, "other").await;
    let missing = path_of(conference_id("acW68", 9));
    for (theirs, missing) in requests(&path_of(theirs))
        .into_iter()
        .zip(requests(&missing))
    {
        let (theirs, missing) = (world.send(theirs).await, world.send(missing).await);
        assert_eq!(theirs.fails(404), missing.fails(404));
    }
}

// ---- DELETE -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn delete_terminates_empty_conference() {
    let world = World::new();
    let made = world.post(CONFERENCES, json!({"name": "n"})).await.ok();
    let path = path_of(room_of(&made));
    let mut over = made;
    over["status"] = json!("terminated");
    over["tm_update"] = json!("2026-05-06 12:34:57.672025");
    over["tm_delete"] = json!("2026-05-06 12:34:57.672025");
    world.delete(&path).await.is(200, over.clone());
    world.intents();
    // It stays readable and unchanged.
    world.get(&path).await.is(200, over.clone());
    world.delete(&path).await.is(200, over.clone());
    let list = json!({"result": [over], "next_page_token": ""});
    world.get(CONFERENCES).await.is(200, list);
    for request in requests(&path).into_iter().skip(3) {
        world.send(request).await.fails(409);
    }
    world.put(&path, json!({"name": "m"})).await.fails(409);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn delete_removes_members_first() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let session = session_id("acW68", 1);
    let member = world.member(room, session).await;
    let ending = world.delete(&path_of(room)).await.ok();
    assert_eq!(ending["status"], "terminating");
    assert_eq!(ending["conferencecall_ids"], json!([member.uuid()]));
    assert_eq!(ending["tm_delete"], NEVER);
    world.delete(&path_of(room)).await.is(200, ending);
    assert_eq!(names(&world.intents()), ["delete_room"]);
    world.put(&path_of(room), json!({})).await.fails(409);
}

#[tokio::test]
async fn conference_that_ends_during_request_is_returned() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let path = path_of(room);
    // The conference ends between the read and the command: the controller no longer knows it.
    let mut requests = requests(&path);
    let delete = requests.remove(2);
    for request in requests.into_iter().skip(1) {
        world.script(refused(Refusal::RoomNotFound));
        world.send(request).await.fails(409);
    }
    *world.controller.during.lock().unwrap() = Some(Box::new(move |_, store| {
        Box::pin(async move {
            let deadline = later(30);
            change(&store, room, RoomInput::Delete { deadline }, later(20)).await;
        })
    }));
    world.script(refused(Refusal::RoomNotFound));
    assert_eq!(world.send(delete).await.ok()["status"], "terminated");
}

#[tokio::test]
async fn errors_of_node_and_domain_have_status() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let command = |error| Err(IntentError::Command(error));
    let retry_after = Duration::from_secs(3);
    for at in 1..5 {
        for (answer, status) in [
            (command(CommandError::Down { retry_after }), 503),
            (command(CommandError::Busy), 503),
            (command(CommandError::Unknown), 504),
            (command(CommandError::Refused("-ERR".to_owned())), 502),
            (Err(IntentError::Busy), 503),
            (refused(Refusal::ForeignRoom), 403),
        ] {
            world.script(answer);
            let request = requests(&path_of(room)).remove(at);
            world.send(request).await.fails(status);
        }
    }
}

// ---- both APIs --------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn gateway_room_is_a_conference() {
    let world = World::new();
    let made = world
        .post("/api/v1/conferences", json!({"name": "weekly-standup"}))
        .await
        .json();
    let room: RoomId = made["room_id"].as_str().unwrap().parse().unwrap();
    let path = path_of(room);
    let shown = world.get(&path).await.ok();
    assert_eq!(shown["id"], room.uuid().to_string());
    assert_eq!(shown["type"], "conference");
    assert_eq!(shown["name"], "weekly-standup");
    let list = world.get(CONFERENCES).await.ok();
    assert_eq!(list["result"], json!([shown]));
    // Names of the gateway API are unique, so only the name cannot change.
    world.put(&path, json!({"name": "other"})).await.fails(409);
    let same = json!({"name": "weekly-standup", "timeout": 60});
    assert_eq!(world.put(&path, same).await.ok()["timeout"], 60);
    // After its end in one API, it is missing in the other, and its name is free.
    assert_eq!(world.delete(&path).await.ok()["status"], "terminated");
    let there = format!("/api/v1/conferences/{room}");
    world.get(&there).await.fails(404);
    let again = world
        .post("/api/v1/conferences", json!({"name": "weekly-standup"}))
        .await;
    assert_eq!(again.status.as_u16(), 201, "{}", again.text);
}

#[tokio::test]
async fn conference_is_a_gateway_room_with_its_name() {
    let world = World::new();
    let name = "Réunion / \"A\"";
    for _ in 0..2 {
        world.post(CONFERENCES, json!({"name": name})).await.ok();
    }
    let list = world.get("/api/v1/conferences").await.json();
    let rows = list["conferences"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows.iter().all(|row| row["name"] == name), "{list}");
    let id = rows[0]["room_id"].as_str().unwrap();
    let room: RoomId = id.parse().unwrap();
    let there = world.get(&format!("/api/v1/conferences/{id}")).await.json();
    assert_eq!(there["name"], name);
    world.delete(&format!("/api/v1/conferences/{id}")).await;
    // After its end in the gateway API, it can still be read in this one.
    assert_eq!(world.get(&path_of(room)).await.ok()["status"], "terminated");
    // Names of this API do not occupy names of the gateway API.
    let free = json!({"name": "free"});
    world.post(CONFERENCES, free.clone()).await.ok();
    let made = world.post("/api/v1/conferences", free).await;
    assert_eq!(made.status.as_u16(), 201);
}

// ---- recording it -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn recording_starts_and_stops() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    world.member(room, session_id("acW68", 1)).await;
    let (start, stop) = (
        format!("{}/recording_start", path_of(room)),
        format!("{}/recording_stop", path_of(room)),
    );
    let uid = "a".parse().unwrap();
    let first = world.post(&start, json!({"command_uid": "a"})).await.ok();
    let intents = world.intents();
    assert_eq!(names(&intents), ["record_start"]);
    assert_eq!(intents[0].command_uid, Some(uid));
    let id = first["recording_id"].as_str().unwrap().to_owned();
    assert_ne!(id, NIL);
    assert_eq!(first["recording_ids"], json!([id]));
    let started = |id: &str| {
        RoomInput::Record(RecordInput::Started {
            id: id.parse().unwrap(),
            failed: false,
            sequence: 110,
            synthesized: false,
        })
    };
    world.apply_input(room, started(&id), CREATED).await;
    let stopping = world.post_empty(&stop).await.ok();
    assert_eq!(
        stopping["recording_id"], *id,
        "the recording runs until its stop event"
    );
    let stopped = RoomInput::Record(RecordInput::Stopped {
        id: id.parse().unwrap(),
        length: Some(Duration::from_millis(1_500)),
        synthesized: false,
    });
    world.apply_input(room, stopped, CREATED).await;
    let shown = world.get(&path_of(room)).await.ok();
    assert_eq!(shown["recording_id"], NIL);
    assert_eq!(shown["recording_ids"], json!([id]));
    let second = world.post(&start, json!({})).await.ok();
    assert_eq!(second["recording_ids"][0], *id);
    assert_eq!(second["recording_ids"][1], second["recording_id"]);
}

#[tokio::test]
async fn recording_gives_409_in_wrong_state() {
    let world = World::new();
    let room = conference_id("acW68", 1);
    world.conference(room, "demo").await;
    let of = |command: &str| format!("{}/{command}", path_of(room));
    for (command, refusal) in [
        ("recording_start", Refusal::NoMembers),
        ("recording_start", Refusal::AlreadyRecording),
        ("recording_start", Refusal::TooManyRecordings),
        ("recording_stop", Refusal::NotRecording),
    ] {
        let words = refusal.to_string();
        world.script(refused(refusal));
        let answer = world.post_empty(&of(command)).await;
        assert_eq!(answer.fails(409)["error"], words);
    }
    for command in ["recording_start", "recording_stop"] {
        let body = json!({"command_uid": "a b"});
        world.post(&of(command), body).await.refuses("command_uid");
    }
}
