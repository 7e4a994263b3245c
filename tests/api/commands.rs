//! `/sessions/{uuid}` and its commands.

use std::time::Duration;

use roomkeeper::ids::{OperationId, SessionId};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper::session::{self, SessionInput};
use roomkeeper::store::StoreError;
use roomkeeper::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

fn path(session: SessionId, command: &str) -> String {
    format!("/api/v1/sessions/{session}/commands/{command}")
}

/// One room and one call of the demo app, and the call.
async fn world() -> (World, SessionId, String) {
    let world = World::new();
    let session = session_id("acW68", 1);
    world.session(session, "demo", 1).await;
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 0).await;
    (world, session, room.to_string())
}

fn operation() -> Accepted {
    Accepted::InProgress {
        operation: OperationId::new(Uuid::from_u128(7)),
    }
}

#[tokio::test]
async fn join_202_joining() {
    let (world, session, room) = world().await;
    world.script(Ok(Accepted::Joining {
        room: room.parse().unwrap(),
        member: stay(),
    }));
    let body = json!({"room_id": room, "muted": false, "command_uid": "my.uid-1"});
    let answer = world.post(&path(session, "conference/join"), body).await;
    answer.is(202, json!({"status": "joining", "room_id": room}));
    assert_eq!(
        world.intents(),
        [Intent::Join {
            session,
            room: room.parse().unwrap(),
            app: app("demo"),
            muted: Some(false),
            command_uid: Some("my.uid-1".parse().unwrap()),
        }]
    );
}

#[tokio::test]
async fn join_200_already_joined() {
    let (world, session, room) = world().await;
    world.script(Ok(Accepted::AlreadyJoined {
        room: room.parse().unwrap(),
        member: stay(),
    }));
    let answer = world
        .post(&path(session, "conference/join"), json!({"room_id": room}))
        .await;
    answer.is(200, json!({"status": "already_joined", "room_id": room}));
    // Made here, since none was given.
    let intents = world.intents();
    assert!(
        matches!(
            &intents[..],
            [Intent::Join {
                command_uid: Some(_),
                muted: None,
                ..
            }]
        ),
        "{intents:?}"
    );
}

#[tokio::test]
async fn join_409_in_a_different_room() {
    let (world, session, room) = world().await;
    let other = room_id("acW68", 2);
    world.script(Err(Refusal::InOtherRoom { room: other }.into()));
    let answer = world
        .post(&path(session, "conference/join"), json!({"room_id": room}))
        .await;
    answer.is(
        409,
        json!({
            "success": false,
            "error": "Session is already in a different conference room. Use conference/leave first.",
        }),
    );
}

#[tokio::test]
async fn join_409_on_another_node() {
    let (world, session, room) = world().await;
    world.script(Err(Refusal::OtherNode {
        session_node: node_id("acW68"),
        room_node: node_id("bbbbb"),
    }
    .into()));
    let answer = world
        .post(&path(session, "conference/join"), json!({"room_id": room}))
        .await;
    let detail = json!({"session_node": "acW68", "room_node": "bbbbb"});
    assert_eq!(answer.fails(409)["detail"], detail);
}

#[tokio::test]
async fn join_400_404_403() {
    let (world, session, room) = world().await;
    let (theirs, their_room) = (session_id("acW68", 2), room_id("acW68", 2));
    world.session(theirs, "other", 1).await;
    world.room(their_room, "other", "n", 1, 0).await;
    let (missing, no_room) = (session_id("acW68", 9), room_id("acW68", 9).to_string());
    let their_room = their_room.to_string();
    for (session, body, status) in [
        (session, json!({}), 400),
        (session, json!({"room_id": "acW68-room-x"}), 400),
        (session, json!({"room_id": 7}), 400),
        (session, json!({"room_id": room, "muted": "yes"}), 400),
        (session, json!({"room_id": room, "command_uid": "a b"}), 400),
        (session, json!({"room_id": room, "command_uid": ""}), 400),
        (missing, json!({"room_id": "x"}), 400),
        (missing, json!({"room_id": room}), 404),
        (session, json!({"room_id": no_room}), 404),
        (theirs, json!({"room_id": no_room}), 404),
        (theirs, json!({"room_id": room}), 403),
        (session, json!({"room_id": their_room}), 403),
    ] {
        world
            .post(&path(session, "conference/join"), body)
            .await
            .fails(status);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn leave_mute_unmute_202() {
    let (world, session, room) = world().await;
    let id = room.parse().unwrap();
    for (command, accepted, status) in [
        ("leave", Accepted::Leaving { room: id }, "leaving"),
        ("mute", Accepted::Muted { room: id }, "muted"),
        ("unmute", Accepted::Unmuted { room: id }, "unmuted"),
    ] {
        world.script(Ok(accepted));
        let path = path(session, &format!("conference/{command}"));
        let uid = format!("u-{command}");
        let answer = world.post(&path, json!({"command_uid": uid})).await;
        answer.is(202, json!({"status": status, "room_id": room}));
    }
    let demo = app("demo");
    let uid = |command: &str| Some(format!("u-{command}").parse().unwrap());
    assert_eq!(
        world.intents(),
        [
            Intent::Leave {
                session,
                app: demo.clone(),
                command_uid: uid("leave")
            },
            Intent::Mute {
                session,
                app: demo.clone(),
                mute: true,
                command_uid: uid("mute")
            },
            Intent::Mute {
                session,
                app: demo,
                mute: false,
                command_uid: uid("unmute")
            },
        ]
    );
}

#[tokio::test]
async fn leave_mute_unmute_404_and_409() {
    let (world, session, _) = world().await;
    for (command, refusal, status) in [
        ("leave", Refusal::NotInRoom, 404),
        ("leave", Refusal::StillJoining, 409),
        ("leave", Refusal::StillLeaving, 409),
        ("mute", Refusal::NotInRoom, 404),
        ("mute", Refusal::AlreadyMuted, 409),
        ("mute", Refusal::StillJoining, 409),
        ("unmute", Refusal::NotInRoom, 404),
        ("unmute", Refusal::AlreadyUnmuted, 409),
        ("unmute", Refusal::StillJoining, 409),
        ("mute", Refusal::SessionNotFound, 404),
        ("mute", Refusal::ForeignSession, 403),
        ("mute", Refusal::ForeignRoom, 403),
        ("mute", Refusal::RoomNotFound, 404),
    ] {
        world.script(Err(refusal.clone().into()));
        let answer = world
            .post_empty(&path(session, &format!("conference/{command}")))
            .await;
        assert_eq!(answer.fails(status)["error"], refusal.to_string());
    }
}

#[tokio::test]
async fn answer_and_hangup_202_in_progress() {
    let (world, session, _) = world().await;
    let body = json!({"operation_id": Uuid::from_u128(7).to_string(), "status": "in_progress"});
    world
        .script(Ok(operation()))
        .post_empty(&path(session, "answer"))
        .await
        .is(202, body.clone());
    world
        .script(Ok(operation()))
        .post_empty(&path(session, "hangup"))
        .await
        .is(202, body.clone());
    let cause = json!({"cause": "USER_BUSY"});
    world
        .script(Ok(operation()))
        .post(&path(session, "hangup"), cause)
        .await
        .is(202, body);
    let demo = app("demo");
    assert_eq!(
        world.intents(),
        [
            Intent::Answer {
                session,
                app: demo.clone()
            },
            Intent::Hangup {
                session,
                app: demo.clone(),
                cause: None
            },
            Intent::Hangup {
                session,
                app: demo,
                cause: Some("USER_BUSY".to_owned())
            },
        ]
    );
    for bad in [
        json!("NO_SUCH_CAUSE"),
        json!("16"),
        json!(16),
        json!("${x}"),
    ] {
        world
            .post(&path(session, "hangup"), json!({"cause": bad}))
            .await
            .fails(400);
    }
    world.script(Err(Refusal::AlreadyAnswered.into()));
    world.post_empty(&path(session, "answer")).await.fails(409);
}

#[tokio::test]
async fn every_command_of_a_session_that_is_not_there_404_or_anothers_403() {
    let (world, _, _) = world().await;
    let (missing, theirs) = (session_id("acW68", 9), session_id("acW68", 2));
    world.session(theirs, "other", 1).await;
    for command in [
        "conference/leave",
        "conference/mute",
        "conference/unmute",
        "answer",
        "hangup",
    ] {
        world.post_empty(&path(missing, command)).await.fails(404);
        world.post_empty(&path(theirs, command)).await.fails(403);
        let bad = format!("/api/v1/sessions/nonsense/commands/{command}");
        world.post_empty(&bad).await.fails(400);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn what_freeswitch_and_the_store_do_has_a_status() {
    let (world, session, _) = world().await;
    let down = CommandError::Down {
        retry_after: Duration::from_millis(1_200),
    };
    let corrupt = StoreError::Corrupt {
        key: "secret-key".to_owned(),
        why: "x".to_owned(),
    };
    for (error, status, retry) in [
        (IntentError::Command(CommandError::NoSuchChannel), 404, ""),
        (
            IntentError::Command(CommandError::Refused("-ERR x".to_owned())),
            502,
            "",
        ),
        (IntentError::Command(CommandError::Unknown), 504, ""),
        (IntentError::Command(down), 503, "2"),
        (IntentError::Command(CommandError::Busy), 503, "1"),
        (IntentError::Busy, 503, "1"),
        (
            IntentError::Store(StoreError::Unavailable("x".into())),
            503,
            "1",
        ),
        (IntentError::Store(corrupt), 500, ""),
        (IntentError::UnknownNode(node_id("zzzzz")), 404, ""),
    ] {
        let answer = world
            .script(Err(error))
            .post_empty(&path(session, "answer"))
            .await;
        answer.fails(status);
        assert_eq!(answer.header("retry-after"), retry);
        assert!(!answer.text.contains("secret-key"));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_the_question_500() {
    let (world, session, _) = world().await;
    world
        .script(Ok(Accepted::Created))
        .post_empty(&path(session, "answer"))
        .await
        .fails(500);
    let room = format!("/api/v1/conferences/{}", room_id("acW68", 1));
    world
        .script(Ok(Accepted::Created))
        .delete(&room)
        .await
        .fails(500);
}

#[tokio::test]
async fn session_200_in_every_state() {
    let world = World::new();
    let id = session_id("acW68", 1);
    let room = room_id("acW68", 2);
    let mut state = new_session(id, "demo", 1_778_070_896_672);
    let row = |word: &str, room: Value| {
        json!({
            "uuid": id.to_string(),
            "node": "acW68",
            "did": "747713001",
            "caller_id": "527121102",
            "direction": "inbound",
            "state": word,
            "room_id": room,
            "created_at": "2026-05-06T12:34:56Z",
        })
    };
    let at = |n| Timestamp::from_millis(n);
    let path = format!("/api/v1/sessions/{id}");
    put_session(&world.store, &state).await;
    world.get(&path).await.is(200, row("parked", Value::Null));
    for (input, word) in [
        (SessionInput::Joining { room }, "joining"),
        (SessionInput::Entered { room, sequence: 5 }, "in_room"),
        (SessionInput::Leaving, "leaving"),
    ] {
        session::apply(&mut state, input, at(1));
        put_session(&world.store, &state).await;
        world
            .get(&path)
            .await
            .is(200, row(word, json!(room.to_string())));
    }
    let ended = SessionInput::Ended {
        cause: "NORMAL_CLEARING".to_owned(),
        at: at(2),
        sequence: Some(9),
        orphan: false,
        synthesized: false,
    };
    session::apply(&mut state, ended, at(2));
    put_session(&world.store, &state).await;
    world.get(&path).await.fails(404);
    world
        .get("/api/v1/sessions")
        .await
        .is(200, json!({"sessions": [], "cursor": ""}));
}

#[tokio::test]
async fn session_404_403_400() {
    let world = World::new();
    world.session(session_id("acW68", 2), "other", 1).await;
    world
        .get(&format!("/api/v1/sessions/{}", session_id("acW68", 9)))
        .await
        .fails(404);
    world
        .get(&format!("/api/v1/sessions/{}", session_id("acW68", 2)))
        .await
        .fails(403);
    world.get("/api/v1/sessions/nonsense").await.fails(400);
}
