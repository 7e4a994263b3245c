//! `/conferencecalls`: join, read and kick.

use std::time::Duration;

use roomkeeper::http::ApiSettings;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper_core::entity::Target;
use roomkeeper_core::intent::{Join, JoinAccepted, Kick};

use super::*;

/// A conference of the demo app and a parked call, on one node.
async fn parked() -> (World, RoomId, CallId) {
    let world = World::new();
    let (room, session) = (conference_id("acW68", 1), session_id("acW68", 1));
    world.conference(room, "demo").await;
    world.session(session, "demo", 1).await;
    (world, room, session)
}

fn shown(member: MemberId, room: RoomId, session: CallId, status: &str) -> Value {
    json!({
        "id": member.uuid(),
        "customer_id": customer(DEMO),
        "conference_id": room.uuid(),
        "reference_type": "call",
        "reference_id": session.channel().to_string(),
        "status": status,
        "tm_create": "2022-02-03 06:08:57.672025",
        "tm_update": NEVER,
        "tm_delete": NEVER,
    })
}

// ---- its nine fields --------------------------------------------------------------------------------------------------

#[tokio::test]
async fn conferencecall_has_nine_fields_through_all_states() {
    let (world, room, session) = parked().await;
    let member = member_id(session);
    let path = call_path(member);
    let join = RoomInput::Join {
        call: session,
        member,
        caller_id: String::new(),
        did: String::new(),
        muted: false,
        settings: Default::default(),
        has_pre_actions: false,
        command_uid: None,
        deadline: later(100),
    };
    let leave = RoomInput::Leave {
        call: session,
        reason: roomkeeper_core::room::LeftReason::Removed,
        command_uid: None,
        deadline: later(100),
    };
    for (second, input, status, updated) in [
        (1, join, "joining", NEVER),
        (
            2,
            entered(session, true),
            "joined",
            "2022-02-03 06:08:58.672025",
        ),
        (3, leave, "leaving", "2022-02-03 06:08:59.672025"),
        (4, left(session), "leaved", "2022-02-03 06:09:00.672025"),
    ] {
        world.apply_input(room, input, later(second)).await;
        let mut expected = shown(member, room, session, status);
        expected["tm_update"] = json!(updated);
        assert_eq!(expected.as_object().unwrap().len(), 9);
        world.get(&path).await.is(200, expected.clone());
        let list = json!({"result": [expected], "next_page_token": ""});
        world.get(CALLS).await.is(200, list);
        // A call that has left is no member, but can be read.
        let ids = world.get(&path_of(room)).await.ok()["conferencecall_ids"].clone();
        let named = ["joined", "leaving"].contains(&status);
        assert_eq!(
            ids,
            if named {
                json!([member.uuid()])
            } else {
                json!([])
            }
        );
    }
}

#[tokio::test]
async fn call_from_dialplan_is_shown() {
    let world = World::new();
    let (room, session) = (conference_id("acW68", 1), session_id("acW68", 1));
    world.conference(room, "demo").await;
    let member = world.member(room, session).await;
    world
        .get(&call_path(member))
        .await
        .is(200, shown(member, room, session, "joined"));
}

#[tokio::test]
async fn unknown_gives_404_malformed_400_foreign_403() {
    let world = World::new();
    let (room, session) = (conference_id("acW68", 1), session_id("acW68", 1));
    world.conference(room, "other").await;
    let theirs = world.member(room, session).await;
    for method in ["GET", "DELETE"] {
        for id in [
            member_id(session_id("acW68", 9)).uuid().to_string(),
            "b8aa51f6-5cc1-40ba-9737-45ca24dab153".to_owned(),
            NIL.to_owned(),
            // Ids that exist but are no calls.
            room.uuid().to_string(),
        ] {
            let path = format!("{CALLS}/{id}");
            world
                .send(request(DEMO, method, &path, None))
                .await
                .fails(404);
        }
        for id in ["x", "%FF", &theirs.uuid().simple().to_string()] {
            let path = format!("{CALLS}/{id}");
            world
                .send(request(DEMO, method, &path, None))
                .await
                .fails(400);
        }
        let path = call_path(theirs);
        world
            .send(request(DEMO, method, &path, None))
            .await
            .fails(403);
    }
    assert!(world.intents().is_empty());
    let upper = format!("{CALLS}/{}", theirs.uuid().to_string().to_uppercase());
    world.send(request(OTHER, "GET", &upper, None)).await.ok();
}

#[tokio::test]
async fn hidden_foreign_objects_give_404() {
    let world = World::with_settings(ApiSettings {
        hide_foreign: true,
        ..settings()
    });
    let (room, session) = (conference_id("acW68", 1), session_id("acW68", 1));
    world.conference(room, "other").await;
    world.session(session, "other", 1).await;
    world.conference(conference_id("acW68", 2), "demo").await;
    let theirs = call_path(world.member(room, session).await);
    let missing = call_path(member_id(session_id("acW68", 9)));
    for method in ["GET", "DELETE"] {
        let theirs = world.send(request(DEMO, method, &theirs, None)).await;
        let missing = world.send(request(DEMO, method, &missing, None)).await;
        assert_eq!(theirs.fails(404), missing.fails(404));
    }
    // Another app's call or conference gives the same response as a missing one.
    let mine = conference_id("acW68", 2);
    let [theirs, missing] = [session, session_id("acW68", 9)].map(|call| joining(mine, call));
    let theirs = world.post(CALLS, theirs).await.fails(404);
    assert_eq!(theirs, world.post(CALLS, missing).await.fails(404));
    world.session(session_id("acW68", 2), "demo", 1).await;
    let [theirs, missing] =
        [room, conference_id("acW68", 9)].map(|room| joining(room, session_id("acW68", 2)));
    let theirs = world.post(CALLS, theirs).await.fails(404);
    assert_eq!(theirs, world.post(CALLS, missing).await.fails(404));
    assert!(world.intents().is_empty());
}

// ---- POST -------------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn join_returns_joining_conferencecall() {
    let (world, room, session) = parked().await;
    let mut body = joining(room, session);
    body["command_uid"] = json!("mine-1");
    body["unknown"] = json!(1);
    let mut expected = shown(member_id(session), room, session, "joining");
    expected["tm_create"] = json!("2026-05-06 12:34:57.672025");
    world.post(CALLS, body).await.is(200, expected);
    let expected = Intent::new(
        Target::Member {
            room,
            call: session,
        },
        app("demo"),
        Join::default(),
    )
    .with_uid(Some("mine-1".parse().unwrap()));
    assert_eq!(world.intents(), [expected]);
}

#[tokio::test]
async fn join_of_present_call_returns_it_unchanged() {
    let (world, room, session) = parked().await;
    let member = world.member(room, session).await;
    world.script(Ok(Accepted::Join(JoinAccepted::AlreadyJoined {
        room,
        member,
    })));
    world
        .post(CALLS, joining(room, session))
        .await
        .is(200, shown(member, room, session, "joined"));
}

#[tokio::test]
async fn bad_body_gives_400() {
    let (world, room, session) = parked().await;
    for field in ["conference_id", "reference_type", "reference_id"] {
        for wrong in [
            None,
            Some(Value::Null),
            Some(json!(1)),
            Some(json!("")),
            Some(json!("x")),
            Some(json!([])),
        ] {
            let mut body = joining(room, session);
            match wrong {
                Some(value) => body[field] = value,
                None => drop(body.as_object_mut().unwrap().remove(field)),
            }
            world.post(CALLS, body).await.refuses(field);
        }
    }
    for (field, wrong) in [
        ("conference_id", json!(room.to_string())),
        ("conference_id", json!(room.uuid().simple().to_string())),
        ("reference_id", json!(session.to_string())),
        ("reference_type", json!("Call")),
        ("reference_type", json!("line")),
        ("command_uid", json!("a b")),
        ("command_uid", json!(1)),
    ] {
        let mut body = joining(room, session);
        body[field] = wrong;
        world.post(CALLS, body).await.refuses(field);
    }
    world.post_empty(CALLS).await.fails(400);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn existence_comes_before_ownership_and_ownership_before_state() {
    let world = World::new();
    let room = |n| conference_id("acW68", n);
    let call = |n| session_id("acW68", n);
    let (mine, theirs, over, missing) = (1, 2, 3, 9);
    world.conference(room(mine), "demo").await;
    world.conference(room(theirs), "other").await;
    world.conference(room(over), "demo").await;
    world.ends(room(over)).await;
    world.session(call(mine), "demo", 1).await;
    world.session(call(theirs), "other", 1).await;
    for (conference, session, status) in [
        (missing, mine, 404),
        (missing, theirs, 404),
        (mine, missing, 404),
        (theirs, missing, 404),
        (over, missing, 404),
        (theirs, mine, 403),
        (theirs, theirs, 403),
        (mine, theirs, 403),
        (over, theirs, 403),
        (over, mine, 409),
    ] {
        let answer = world
            .post(CALLS, joining(room(conference), call(session)))
            .await;
        assert_eq!(answer.status.as_u16(), status, "{conference} {session}");
        answer.fails(status);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn ending_conference_cannot_be_joined() {
    let (world, room, session) = parked().await;
    world.member(room, session_id("acW68", 2)).await;
    world.ends(room).await;
    world.post(CALLS, joining(room, session)).await.fails(409);
    world
        .apply_input(room, left(session_id("acW68", 2)), later(21))
        .await;
    world.post(CALLS, joining(room, session)).await.fails(409);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn call_is_found_on_any_node() {
    let (world, room, _) = parked().await;
    let elsewhere = session_id("ccccc", 7);
    world.session(elsewhere, "demo", 1).await;
    let refusal = Refusal::OtherNode {
        call_node: elsewhere.node(),
        room_node: room.node(),
    };
    world.script(Err(IntentError::Refused(refusal)));
    let answer = world.post(CALLS, joining(room, elsewhere)).await.fails(409);
    assert_eq!(
        answer["detail"],
        json!({"session_node": "ccccc", "room_node": "acW68"})
    );
    let intents = world.intents();
    assert_eq!(names(&intents), ["join"]);
    assert_eq!(intents[0].target.call(), Some(elsewhere));
}

#[tokio::test]
async fn each_refusal_has_its_status() {
    let (world, room, session) = parked().await;
    let other = conference_id("acW68", 2);
    for (refusal, status) in [
        (Refusal::CallNotFound, 404),
        (Refusal::ForeignCall, 403),
        (Refusal::ForeignRoom, 403),
        (Refusal::InOtherRoom { room: other }, 409),
        (Refusal::StillLeaving, 409),
        (Refusal::StillJoining, 409),
        (Refusal::RoomFull, 409),
        // The conference is ending.
        (Refusal::RoomNotFound, 409),
    ] {
        world.script(Err(IntentError::Refused(refusal)));
        world
            .post(CALLS, joining(room, session))
            .await
            .fails(status);
    }
    let retry_after = Duration::from_secs(3);
    for (error, status) in [
        (CommandError::Down { retry_after }, 503),
        (CommandError::Busy, 503),
        (CommandError::NoSuchChannel, 404),
        (CommandError::Refused("-ERR".to_owned()), 502),
        (CommandError::Unknown, 504),
    ] {
        world.script(Err(IntentError::Command(error)));
        world
            .post(CALLS, joining(room, session))
            .await
            .fails(status);
    }
}

#[tokio::test]
async fn rooms_of_both_apis_can_be_joined_in_either() {
    let world = World::new();
    let made = world
        .post("/api/v1/conferences", json!({"name": "n"}))
        .await
        .json();
    let room: RoomId = made["room_id"].as_str().unwrap().parse().unwrap();
    let session = session_id(room.node().as_str(), 1);
    world.session(session, "demo", 1).await;
    let call = world.post(CALLS, joining(room, session)).await.ok();
    assert_eq!(call["status"], "joining");
    let made = world.post(CONFERENCES, json!({"node": "acW68"})).await.ok();
    let id = made["id"].as_str().unwrap().parse().unwrap();
    let room = RoomId::new(node_id("acW68"), id);
    let session = session_id("acW68", 2);
    world.session(session, "demo", 1).await;
    let join = format!("/api/v1/sessions/{session}/commands/conference/join");
    let body = json!({"room_id": room.to_string()});
    let answer = world.post(&join, body).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    let call = world.get(&call_path(member_id(session))).await.ok();
    assert_eq!(call["conference_id"], made["id"]);
    // Both APIs show the member.
    world
        .apply_input(room, entered(session, true), CREATED)
        .await;
    let members = format!("/api/v1/conferences/{room}/members");
    let members = world.get(&members).await.json();
    assert_eq!(members["members"][0]["uuid"], session.to_string());
    let ids = world.get(&path_of(room)).await.ok()["conferencecall_ids"].clone();
    assert_eq!(ids, json!([call["id"]]));
}

// ---- DELETE -----------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn delete_in_each_state() {
    let (world, room, session) = parked().await;
    let member = member_id(session);
    let path = call_path(member);
    world.post(CALLS, joining(room, session)).await.ok();
    world.intents();
    // Joining: the join is cancelled.
    let gone = world.delete(&path).await.ok();
    assert_eq!(gone["status"], "leaved");
    let expected = Intent::new(
        Target::Member {
            room,
            call: session,
        },
        app("demo"),
        Kick {
            member: Some(member),
        },
    );
    assert_eq!(world.intents(), [expected]);
    // Leaved: unchanged.
    world.delete(&path).await.is(200, gone.clone());
    world.get(&path).await.is(200, gone);
    assert!(world.intents().is_empty());

    // Joined: becomes leaving.
    let session = session_id("acW68", 2);
    let path = call_path(world.member(room, session).await);
    let leaving = world.delete(&path).await.ok();
    assert_eq!(leaving["status"], "leaving");
    assert_eq!(world.intents().len(), 1);
    // Leaving: unchanged.
    world.delete(&path).await.is(200, leaving.clone());
    world.get(&path).await.is(200, leaving);
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn call_that_leaves_during_request_is_returned_unchanged() {
    for refusal in [Refusal::NotInRoom, Refusal::RoomNotFound] {
        let (world, room, session) = parked().await;
        let path = call_path(world.member(room, session).await);
        *world.controller.during.lock().unwrap() = Some(Box::new(move |_, store| {
            Box::pin(async move { change(&store, room, left(session), later(5)).await })
        }));
        world.script(Err(IntentError::Refused(refusal)));
        assert_eq!(world.delete(&path).await.ok()["status"], "leaved");
    }
}

#[tokio::test]
async fn calls_of_ended_conference_can_be_read() {
    let (world, room, session) = parked().await;
    let path = call_path(world.member(room, session).await);
    world.ends(room).await;
    assert_eq!(world.get(&path).await.ok()["status"], "leaving");
    assert_eq!(world.delete(&path).await.ok()["status"], "leaving");
    world.apply_input(room, left(session), later(21)).await;
    assert_eq!(world.get(&path).await.ok()["status"], "leaved");
    assert_eq!(world.delete(&path).await.ok()["status"], "leaved");
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn node_errors_of_kick_have_status() {
    let (world, room, session) = parked().await;
    let path = call_path(world.member(room, session).await);
    let retry_after = Duration::from_secs(3);
    for (error, status) in [
        (CommandError::Down { retry_after }, 503),
        (CommandError::Refused("-ERR".to_owned()), 502),
        (CommandError::Unknown, 504),
    ] {
        world.script(Err(IntentError::Command(error)));
        world.delete(&path).await.fails(status);
    }
}
