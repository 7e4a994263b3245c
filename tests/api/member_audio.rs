//! `/conferences/{room_id}/members/{uuid}/hold`, `/unhold`, `/play` and `/stop`.

use std::time::Duration;

use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, OperationId, RoomId};
use roomkeeper_core::intent::{
    Action, HoldAccepted, OperationAccepted, Play, SetHold, Stop, StopAccepted,
};
use roomkeeper_core::play_url::PlayUrl;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

const MUSIC: &str = "http://1.1.1.1/music.wav";

async fn world() -> (World, RoomId, CallId) {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    let call = session_id("acW68", 1);
    world.session(call, "demo", 1).await;
    (world, room, call)
}

fn path(room: RoomId, call: CallId, what: &str) -> String {
    format!("/api/v1/conferences/{room}/members/{call}/{what}")
}

/// Every command with a good body.
fn commands(room: RoomId, call: CallId) -> [(String, Value); 4] {
    let body = |what: &str| match what {
        "hold" => json!({ "music_url": MUSIC }),
        "play" => json!({ "urls": [MUSIC] }),
        _ => json!({}),
    };
    ["hold", "unhold", "play", "stop"].map(|what| (path(room, call, what), body(what)))
}

fn operation() -> OperationId {
    OperationId::new(Uuid::from_u128(7))
}

#[tokio::test]
async fn each_command_gives_202_and_its_intent() {
    let (world, room, call) = world().await;
    let url = || PlayUrl::new(MUSIC).unwrap();
    let hold = |on| Accepted::SetHold(HoldAccepted { room, on });
    let operation_id = operation().to_string();
    let held = |status: &str| json!({ "status": status, "room_id": room.to_string() });
    let intended: [(Accepted, Action, Value); 4] = [
        (
            hold(true),
            SetHold {
                on: true,
                music: Some(url()),
            }
            .into(),
            held("held"),
        ),
        (
            hold(false),
            SetHold {
                on: false,
                music: None,
            }
            .into(),
            held("unheld"),
        ),
        (
            Accepted::Play(OperationAccepted {
                operation: operation(),
            }),
            Play {
                media: vec![url().into()],
            }
            .into(),
            json!({ "operation_id": operation_id, "status": "in_progress" }),
        ),
        (
            Accepted::Stop(StopAccepted {
                operation: Some(operation()),
            }),
            Stop.into(),
            json!({ "operation_id": operation_id, "status": "stopped" }),
        ),
    ];
    for ((path, mut body), (accepted, action, answer)) in
        commands(room, call).into_iter().zip(intended)
    {
        let uid = path.rsplit('/').next().unwrap().to_owned();
        body["command_uid"] = json!(uid);
        world.script(Ok(accepted));
        world.post(&path, body).await.is(202, answer);
        let target = Target::Member { room, call };
        let uid = Some(uid.parse().unwrap());
        let expected = Intent::new(target, app("demo"), action).with_uid(uid);
        assert_eq!(world.intents(), [expected]);
    }
}

#[tokio::test]
async fn hold_without_music_and_without_uid_has_a_fresh_uid() {
    let (world, room, call) = world().await;
    world.script(Ok(Accepted::SetHold(HoldAccepted { room, on: true })));
    let answer = world.post_empty(&path(room, call, "hold")).await;
    assert_eq!(answer.status.as_u16(), 202);
    let intents = world.intents();
    assert!(intents[0].command_uid.is_some());
    let silent = SetHold {
        on: true,
        music: None,
    };
    assert_eq!(intents[0].action, silent.into());
}

#[tokio::test]
async fn bad_music_and_bad_urls_give_400_with_their_field() {
    let (world, room, call) = world().await;
    for music in [
        json!(7),
        json!([MUSIC]),
        json!(""),
        json!("music.wav"),
        json!("say:hello"),
        json!("http://10.0.0.1/private.wav"),
    ] {
        let body = json!({ "music_url": music });
        let failed = world.post(&path(room, call, "hold"), body).await;
        assert_eq!(failed.fails(400)["detail"]["field"], "music_url", "{music}");
    }
    for (urls, field) in [(json!([]), "urls"), (json!([MUSIC, "x"]), "urls[1]")] {
        let body = json!({ "urls": urls });
        let failed = world.post(&path(room, call, "play"), body).await;
        assert_eq!(failed.fails(400)["detail"]["field"], field);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn missing_key_gives_401_missing_room_404_foreign_room_403() {
    let (world, room, call) = world().await;
    let theirs = room_id("acW68", 3);
    world.room(theirs, "other", "n", 1, 1).await;
    for (path, body) in commands(room, call) {
        let request = request(("demo", "wrong"), "POST", &path, Some(body));
        world.send(request).await.fails(401);
    }
    for (room, status) in [(room_id("acW68", 9), 404), (theirs, 403)] {
        for (path, body) in commands(room, call) {
            world.post(&path, body).await.fails(status);
        }
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn reconciler_errors_give_404_409_502_503_504() {
    let (world, room, call) = world().await;
    let retry_after = Duration::from_millis(2_500);
    for (path, body) in commands(room, call) {
        let errors: [(IntentError, u16); 8] = [
            (Refusal::NotInRoom.into(), 404),
            (Refusal::HoldAlreadySet { on: true }.into(), 409),
            (Refusal::StillJoining.into(), 409),
            (Refusal::TooMuchPlaying.into(), 409),
            (CommandError::Refused("no".to_owned()).into(), 502),
            (CommandError::Down { retry_after }.into(), 503),
            (CommandError::Busy.into(), 503),
            (CommandError::Unknown.into(), 504),
        ];
        for (error, status) in errors {
            world.script(Err(error));
            world.post(&path, body.clone()).await.fails(status);
        }
    }
}

#[tokio::test]
async fn command_uid_executes_once_for_one_request() {
    let (world, room, call) = world().await;
    let [(hold, mut body), (unhold, _), ..] = commands(room, call);
    body["command_uid"] = json!("u.1");
    world.script(Ok(Accepted::SetHold(HoldAccepted { room, on: true })));
    let first = world.post(&hold, body.clone()).await;
    world.post(&hold, body.clone()).await.is(202, first.json());
    // The same id with other music, or of another command.
    body["music_url"] = json!("http://1.1.1.1/other.wav");
    world.post(&hold, body.clone()).await.fails(409);
    let uid = json!({ "command_uid": "u.1" });
    world.post(&unhold, uid).await.fails(409);
    assert_eq!(world.intents().len(), 1);
}
