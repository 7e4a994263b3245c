//! `/conferences/{room_id}/lock`, `/unlock` and `/members/{uuid}/kick`, `/move`.

use std::time::Duration;

use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper::store::{EntityId, StoreError};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::RoomId;
use roomkeeper_core::intent::{
    JoinAccepted, Kick, LeaveAccepted, LockAccepted, Move, MoveAccepted, SetLock,
};
use roomkeeper_core::room::RoomInput;
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

use crate::world::*;

fn path(room: RoomId, what: &str) -> String {
    format!("/api/v1/conferences/{room}/{what}")
}

/// A room of the demo app with one member.
fn paths(room: RoomId) -> [String; 3] {
    let kick = format!("members/{}/kick", session_id("acW68", 1));
    [path(room, "lock"), path(room, "unlock"), path(room, &kick)]
}

async fn world() -> (World, RoomId) {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    (world, room)
}

/// A locked room without members.
async fn locked(world: &World, room: RoomId) {
    let input = RoomInput::Lock {
        lock: true,
        command_uid: None,
        deadline: Timestamp::from_millis(9),
    };
    world
        .apply_input(room, input, Timestamp::from_millis(5))
        .await;
}

#[tokio::test]
async fn lock_and_unlock_give_202_with_status() {
    let (world, room) = world().await;
    for (what, lock) in [("lock", true), ("unlock", false)] {
        let said = if lock { "locked" } else { "unlocked" };
        for (accepted, status) in [
            (Accepted::SetLock(LockAccepted::InProgress), "in_progress"),
            (
                Accepted::SetLock(LockAccepted::Locked { locked: lock }),
                said,
            ),
        ] {
            world.script(Ok(accepted));
            let answer = world.post_empty(&path(room, what)).await;
            answer.is(202, json!({ "status": status }));
            let expected = Intent::new(Target::Room(room), app("demo"), SetLock { locked: lock });
            assert_eq!(world.intents(), [expected]);
        }
    }
}

#[tokio::test]
async fn kick_gives_202_also_with_command_uid() {
    let (world, room) = world().await;
    let session = session_id("acW68", 1);
    let leaving = json!({"status": "leaving", "room_id": room.to_string()});
    world.script(Ok(Accepted::Kick(LeaveAccepted { room })));
    let body = json!({"command_uid": "k.1"});
    let [.., kick] = paths(room);
    world.post(&kick, body).await.is(202, leaving.clone());
    let expected = Intent::new(
        Target::Member {
            room,
            call: session,
        },
        app("demo"),
        Kick { member: None },
    )
    .with_uid(Some("k.1".parse().unwrap()));
    assert_eq!(world.intents(), [expected]);
    // Without a command_uid, one is generated for the webhook.
    world.script(Ok(Accepted::Kick(LeaveAccepted { room })));
    world.post_empty(&kick).await.is(202, leaving);
    let intents = world.intents();
    assert_eq!(names(&intents), ["kick"]);
    assert!(intents[0].command_uid.is_some());
}

#[tokio::test]
async fn move_gives_202_and_names_the_other_room() {
    let (world, room) = world().await;
    let (call, to) = (session_id("acW68", 1), room_id("acW68", 2));
    world.session(call, "demo", 1).await;
    world.room(to, "demo", "m", 1, 0).await;
    let path = path(room, &format!("members/{call}/move"));
    let moving = json!({"status": "moving", "room_id": to.to_string()});
    for muted in [None, Some(true), Some(false)] {
        world.script(Ok(Accepted::Move(MoveAccepted { room: to })));
        let mut body = json!({"room_id": to.to_string(), "command_uid": format!("m.{muted:?}").replace(['(', ')'], "-")});
        if let Some(muted) = muted {
            body["muted"] = muted.into();
        }
        world
            .post(&path, body.clone())
            .await
            .is(202, moving.clone());
        // The same request is executed once.
        world
            .post(&path, body.clone())
            .await
            .is(202, moving.clone());
        let uid = body["command_uid"].as_str().unwrap().parse().unwrap();
        let expected = Intent::new(
            Target::Member { room, call },
            app("demo"),
            Move { to, muted },
        );
        assert_eq!(world.intents(), [expected.with_uid(Some(uid))]);
        // The same id for another request is refused.
        body["room_id"] = room.to_string().into();
        world.post(&path, body).await.fails(409);
    }
}

#[tokio::test]
async fn move_with_invalid_body_is_400() {
    let (world, room) = world().await;
    let path = path(room, &format!("members/{}/move", session_id("acW68", 1)));
    let to = room_id("acW68", 2).to_string();
    for (body, field) in [
        (json!({}), "room_id"),
        (json!({"room_id": "standup"}), "room_id"),
        (json!({"room_id": 1}), "room_id"),
        (json!({"room_id": to, "muted": "yes"}), "muted"),
        (json!({"room_id": to, "command_uid": "a b"}), "command_uid"),
    ] {
        let answer = world.post(&path, body).await;
        answer.fails(400);
        assert_eq!(answer.json()["detail"]["field"], field);
    }
    assert_eq!(world.intents(), []);
}

#[tokio::test]
async fn refusals_and_node_errors_of_move_have_status() {
    let (world, room) = world().await;
    let path = path(room, &format!("members/{}/move", session_id("acW68", 1)));
    let body = json!({"room_id": room_id("acW68", 2).to_string()});
    let (call_node, room_node) = (room.node(), room_id("bbbbb", 1).node());
    for (refusal, status) in [
        (Refusal::InSameRoom, 409),
        (Refusal::RoomLocked, 409),
        (Refusal::RoomFull, 409),
        (
            Refusal::OtherNode {
                call_node,
                room_node,
            },
            409,
        ),
        (Refusal::StillJoining, 409),
        (Refusal::StillLeaving, 409),
        (Refusal::NotInRoom, 404),
        (Refusal::RoomNotFound, 404),
        (Refusal::CallNotFound, 404),
        (Refusal::ForeignRoom, 403),
        (Refusal::ForeignCall, 403),
    ] {
        world.script(Err(refusal.into()));
        world.post(&path, body.clone()).await.fails(status);
    }
    for (error, status) in [
        (CommandError::Refused("no".to_owned()), 502),
        (CommandError::Unknown, 504),
        (
            CommandError::Down {
                retry_after: Duration::from_secs(1),
            },
            503,
        ),
    ] {
        world.script(Err(error.into()));
        world.post(&path, body.clone()).await.fails(status);
    }
}

#[tokio::test]
async fn command_uid_executes_once_for_one_request() {
    let (world, room) = world().await;
    let other = room_id("acW68", 2);
    world.room(other, "demo", "m", 1, 1).await;
    let [lock, unlock, kick] = paths(room);
    let body = json!({"command_uid": "u.1"});
    world.script(Ok(Accepted::SetLock(LockAccepted::InProgress)));
    let first = world.post(&lock, body.clone()).await;
    first.is(202, json!({"status": "in_progress"}));
    // The room is locked now; the repeated response is still the first one.
    world.post(&lock, body.clone()).await.is(202, first.json());
    assert_eq!(world.intents().len(), 1);
    world.post(&unlock, body.clone()).await.fails(409);
    // The key of a command to a call is separate, and so is that for the same call in another room.
    world.script(Ok(Accepted::Kick(LeaveAccepted { room })));
    assert_eq!(world.post(&kick, body.clone()).await.status.as_u16(), 202);
    assert_eq!(world.post(&kick, body.clone()).await.status.as_u16(), 202);
    let [.., elsewhere] = paths(other);
    world.post(&elsewhere, body).await.fails(409);
    assert_eq!(world.intents().len(), 1);
}

#[tokio::test]
async fn invalid_ids_and_bodies_give_400() {
    let (world, room) = world().await;
    for path in [
        "/api/v1/conferences/standup/lock".to_owned(),
        "/api/v1/conferences/standup/unlock".to_owned(),
        path(room, "members/527121101/kick"),
        format!(
            "/api/v1/conferences/standup/members/{}/kick",
            session_id("acW68", 1)
        ),
    ] {
        world.post_empty(&path).await.fails(400);
    }
    for path in paths(room) {
        for body in [json!({"command_uid": "no spaces"}), json!([])] {
            world.post(&path, body).await.fails(400);
        }
        world
            .send(request(DEMO, "GET", &path, None))
            .await
            .fails(405);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn missing_key_gives_401_missing_room_404_foreign_room_403() {
    let (world, room) = world().await;
    let theirs = room_id("acW68", 3);
    world.room(theirs, "other", "n", 1, 1).await;
    for path in paths(room) {
        let unauthenticated = request(("demo", "wrong"), "POST", &path, None);
        world.send(unauthenticated).await.fails(401);
    }
    for path in paths(room_id("acW68", 9)) {
        world.post_empty(&path).await.fails(404);
    }
    for path in paths(theirs) {
        world.post_empty(&path).await.fails(403);
    }
    // A call of another node cannot be in a room of this one.
    let elsewhere = format!("members/{}/kick", session_id("bbbbb", 1));
    world.post_empty(&path(room, &elsewhere)).await.fails(404);
    end(&world.store, EntityId::Room(room)).await;
    for path in paths(room) {
        world.post_empty(&path).await.fails(404);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn reconciler_errors_give_404_502_503_504() {
    let (world, room) = world().await;
    let retry_after = Duration::from_millis(2_500);
    for path in paths(room) {
        for (error, status) in [
            (Refusal::RoomNotFound.into(), 404),
            (
                IntentError::Command(CommandError::Refused("no".to_owned())),
                502,
            ),
            (CommandError::Down { retry_after }.into(), 503),
            (CommandError::Busy.into(), 503),
            (IntentError::Busy, 503),
            (
                StoreError::Unavailable("unavailable for a test".into()).into(),
                503,
            ),
            (CommandError::Unknown.into(), 504),
        ] {
            world.script(Err(error));
            world.post_empty(&path).await.fails(status);
        }
    }
    world.script(Err(Refusal::NotInRoom.into()));
    let [.., kick] = paths(room);
    world.post_empty(&kick).await.fails(404);
}

#[tokio::test]
async fn locked_field_is_present_only_while_locked() {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 0).await;
    let read = async || {
        let one = world.get(&format!("/api/v1/conferences/{room}")).await;
        let list = world.get("/api/v1/conferences").await.json();
        (
            one.json().get("locked").cloned(),
            list["conferences"][0].get("locked").cloned(),
        )
    };
    assert_eq!(read().await, (None, None));
    locked(&world, room).await;
    let yes = Some(Value::Bool(true));
    assert_eq!(read().await, (yes.clone(), yes));
}

#[tokio::test]
async fn join_fails_with_409_when_room_is_locked_also_during_cooldown() {
    let world = World::with_settings(roomkeeper::http::ApiSettings {
        limits: roomkeeper::http::rate_limit::LimitSettings {
            app_rate: 0,
            cooldowns: true,
        },
        ..settings()
    });
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 0).await;
    let session = session_id("acW68", 1);
    world.session(session, "demo", 1).await;
    let join = format!("/api/v1/sessions/{session}/commands/conference/join");
    let body = json!({"room_id": room.to_string()});
    // A successful command starts the cooldown.
    world.script(Ok(Accepted::Join(JoinAccepted::Joining {
        room,
        member: membership_id(),
    })));
    assert_eq!(world.post(&join, body.clone()).await.status.as_u16(), 202);
    world.post(&join, body.clone()).await.fails(429);
    locked(&world, room).await;
    let refused = world.post(&join, body).await.fails(409);
    assert_eq!(refused["error"], "the conference is locked");
    assert_eq!(world.intents().len(), 1);
}
