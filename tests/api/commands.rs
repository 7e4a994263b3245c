//! `/sessions/{uuid}` and its commands.

use std::time::Duration;

use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper::store::StoreError;
use roomkeeper_core::call::{self, CallInput};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, OperationId};
use roomkeeper_core::intent::{
    Answer, FlagAccepted, Hangup, Join, JoinAccepted, Leave, LeaveAccepted, OperationAccepted,
    SetFlag,
};
use roomkeeper_core::room::MemberFlag;
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

fn path(session: CallId, command: &str) -> String {
    format!("/api/v1/sessions/{session}/commands/{command}")
}

/// A world with a room and a call of the demo app; returns the call.
async fn world() -> (World, CallId, String) {
    let world = World::new();
    let session = session_id("acW68", 1);
    world.session(session, "demo", 1).await;
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 0).await;
    (world, session, room.to_string())
}

fn operation() -> OperationAccepted {
    OperationAccepted {
        operation: OperationId::new(Uuid::from_u128(7)),
    }
}

#[tokio::test]
async fn join_gives_202_joining() {
    let (world, session, room) = world().await;
    world.script(Ok(Accepted::Join(JoinAccepted::Joining {
        room: room.parse().unwrap(),
        member: membership_id(),
    })));
    let body = json!({"room_id": room, "muted": false, "command_uid": "my.uid-1"});
    let answer = world.post(&path(session, "conference/join"), body).await;
    answer.is(202, json!({"status": "joining", "room_id": room}));
    assert_eq!(
        world.intents(),
        [Intent::new(
            Target::Member {
                room: room.parse().unwrap(),
                call: session
            },
            app("demo"),
            Join {
                muted: Some(false),
                ..Join::default()
            }
        )
        .with_uid(Some("my.uid-1".parse().unwrap()))]
    );
}

#[tokio::test]
async fn join_gives_200_already_joined() {
    let (world, session, room) = world().await;
    world.script(Ok(Accepted::Join(JoinAccepted::AlreadyJoined {
        room: room.parse().unwrap(),
        member: membership_id(),
    })));
    let answer = world
        .post(&path(session, "conference/join"), json!({"room_id": room}))
        .await;
    answer.is(200, json!({"status": "already_joined", "room_id": room}));
    // Generated, because the request has none.
    let intents = world.intents();
    assert_eq!(names(&intents), ["join"]);
    assert!(intents[0].command_uid.is_some());
    assert_eq!(intents[0].action, Join::default().into());
}

#[tokio::test]
async fn join_gives_409_when_call_is_in_another_room() {
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
async fn join_gives_409_when_room_is_on_another_node() {
    let (world, session, room) = world().await;
    world.script(Err(Refusal::OtherNode {
        call_node: node_id("acW68"),
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
async fn join_gives_400_404_and_403() {
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
async fn leave_mute_and_unmute_give_202() {
    let (world, session, room) = world().await;
    let id = room.parse().unwrap();
    for (command, accepted, status) in [
        (
            "leave",
            Accepted::Leave(LeaveAccepted { room: id }),
            "leaving",
        ),
        (
            "mute",
            Accepted::SetFlag(FlagAccepted {
                room: id,
                flag: MemberFlag::Speak,
                on: false,
            }),
            "muted",
        ),
        (
            "unmute",
            Accepted::SetFlag(FlagAccepted {
                room: id,
                flag: MemberFlag::Speak,
                on: true,
            }),
            "unmuted",
        ),
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
            Intent::new(Target::Call(session), demo.clone(), Leave).with_uid(uid("leave")),
            Intent::new(
                Target::Call(session),
                demo.clone(),
                SetFlag {
                    flag: MemberFlag::Speak,
                    on: false
                }
            )
            .with_uid(uid("mute")),
            Intent::new(
                Target::Call(session),
                demo,
                SetFlag {
                    flag: MemberFlag::Speak,
                    on: true
                }
            )
            .with_uid(uid("unmute")),
        ]
    );
}

#[tokio::test]
async fn leave_mute_and_unmute_give_404_and_409() {
    let (world, session, _) = world().await;
    for (command, refusal, status) in [
        ("leave", Refusal::NotInRoom, 404),
        ("leave", Refusal::StillJoining, 409),
        ("leave", Refusal::StillLeaving, 409),
        ("mute", Refusal::NotInRoom, 404),
        (
            "mute",
            Refusal::FlagAlreadySet {
                flag: MemberFlag::Speak,
                on: false,
            },
            409,
        ),
        ("mute", Refusal::StillJoining, 409),
        ("unmute", Refusal::NotInRoom, 404),
        (
            "unmute",
            Refusal::FlagAlreadySet {
                flag: MemberFlag::Speak,
                on: true,
            },
            409,
        ),
        ("unmute", Refusal::StillJoining, 409),
        ("mute", Refusal::CallNotFound, 404),
        ("mute", Refusal::ForeignCall, 403),
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
async fn answer_and_hangup_give_202_in_progress() {
    let (world, session, _) = world().await;
    let body = json!({"operation_id": Uuid::from_u128(7).to_string(), "status": "in_progress"});
    world
        .script(Ok(Accepted::Answer(operation())))
        .post_empty(&path(session, "answer"))
        .await
        .is(202, body.clone());
    world
        .script(Ok(Accepted::Hangup(operation())))
        .post_empty(&path(session, "hangup"))
        .await
        .is(202, body.clone());
    let cause = json!({"cause": "USER_BUSY"});
    world
        .script(Ok(Accepted::Hangup(operation())))
        .post(&path(session, "hangup"), cause)
        .await
        .is(202, body);
    let demo = app("demo");
    assert_eq!(
        world.intents(),
        [
            Intent::new(Target::Call(session), demo.clone(), Answer),
            Intent::new(Target::Call(session), demo.clone(), Hangup { cause: None }),
            Intent::new(
                Target::Call(session),
                demo,
                Hangup {
                    cause: Some("USER_BUSY".to_owned())
                }
            ),
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
async fn session_commands_give_404_for_missing_and_403_for_foreign() {
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
async fn failures_of_freeswitch_and_store_have_status() {
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
async fn mismatched_result_gives_500() {
    let (world, session, _) = world().await;
    world
        .script(Ok(Accepted::CreateRoom(())))
        .post_empty(&path(session, "answer"))
        .await
        .fails(500);
    let room = format!("/api/v1/conferences/{}", room_id("acW68", 1));
    world
        .script(Ok(Accepted::CreateRoom(())))
        .delete(&room)
        .await
        .fails(500);
}

#[tokio::test]
async fn session_can_be_read_in_every_state() {
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
    put_call(&world.store, &state).await;
    world.get(&path).await.is(200, row("parked", Value::Null));
    for (input, word) in [
        (CallInput::Joining { room }, "joining"),
        (CallInput::Entered { room, sequence: 5 }, "in_room"),
        (CallInput::Leaving, "leaving"),
    ] {
        call::apply(&mut state, input, at(1));
        put_call(&world.store, &state).await;
        world
            .get(&path)
            .await
            .is(200, row(word, json!(room.to_string())));
    }
    let ended = CallInput::Ended {
        cause: "NORMAL_CLEARING".to_owned(),
        at: at(2),
        sequence: Some(9),
        orphan: false,
        synthesized: false,
    };
    call::apply(&mut state, ended, at(2));
    put_call(&world.store, &state).await;
    world.get(&path).await.fails(404);
    world
        .get("/api/v1/sessions")
        .await
        .is(200, json!({"sessions": [], "cursor": ""}));
}

#[tokio::test]
async fn session_gives_404_403_and_400() {
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
