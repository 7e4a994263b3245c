//! `/conferences/{room_id}/say` and `/conferences/{room_id}/members/{uuid}/say`.

use std::time::Duration;

use roomkeeper::http::ApiSettings;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Link, Refusal};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, OperationId, RoomId};
use roomkeeper_core::intent::{OperationAccepted, Play};
use roomkeeper_core::room::{Media, Spoken};
use roomkeeper_core::room::{PlayInput, RoomInput};
use roomkeeper_core::speech::{Speech, VoiceName};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

async fn world() -> (World, RoomId, CallId) {
    let world = World::with_settings(ApiSettings {
        voices: ["kal", "slt"]
            .map(|name| VoiceName::new(name).unwrap())
            .into(),
        ..settings()
    });
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    let call = session_id("acW68", 1);
    world.session(call, "demo", 1).await;
    (world, room, call)
}

fn paths(room: RoomId, call: CallId) -> [(Target, String); 2] {
    let path = format!("/api/v1/conferences/{room}");
    [
        (Target::Room(room), format!("{path}/say")),
        (
            Target::Member { room, call },
            format!("{path}/members/{call}/say"),
        ),
    ]
}

fn accepted() -> Accepted {
    let operation = OperationId::new(Uuid::from_u128(7));
    Accepted::Play(OperationAccepted { operation })
}

fn text(text: &str, voice: Option<&str>) -> Media {
    Media::Speech(Spoken {
        text: Speech::new(text).unwrap(),
        voice: voice.map(|name| VoiceName::new(name).unwrap()),
    })
}

#[tokio::test]
async fn say_gives_202_and_its_intent() {
    let (world, room, call) = world().await;
    for (target, path) in paths(room, call) {
        for (body, media) in [
            (
                json!({"text": "It's  5\no'clock"}),
                text("It's 5 o'clock", None),
            ),
            (
                json!({"text": "Hi", "voice": "slt"}),
                text("Hi", Some("slt")),
            ),
            (json!({"text": "Hi", "voice": null}), text("Hi", None)),
        ] {
            world.script(Ok(accepted()));
            let answer = world.post(&path, body).await;
            let id = OperationId::new(Uuid::from_u128(7)).to_string();
            answer.is(202, json!({"operation_id": id, "status": "in_progress"}));
            let play = Play { media: vec![media] };
            assert_eq!(world.intents(), [Intent::new(target, app("demo"), play)]);
        }
    }
}

#[tokio::test]
async fn bad_text_and_voice_give_400_with_their_field() {
    let (world, room, call) = world().await;
    let long = "x".repeat(4_097);
    for (_, path) in paths(room, call) {
        for (body, field) in [
            (json!({}), "text"),
            (json!({"text": null}), "text"),
            (json!({"text": 7}), "text"),
            (json!({"text": " \n "}), "text"),
            (json!({"text": "a\u{7}b"}), "text"),
            (json!({"text": "${uptime}"}), "text"),
            (json!({"text": "{rate=1}a"}), "text"),
            (json!({ "text": long }), "text"),
            (json!({"text": "a", "voice": 7}), "voice"),
            (json!({"text": "a", "voice": ""}), "voice"),
            (json!({"text": "a", "voice": "rms"}), "voice"),
            (json!({"text": "a", "voice": "kal|x"}), "voice"),
        ] {
            let answer = world.post(&path, body.clone()).await;
            assert_eq!(answer.fails(400)["detail"]["field"], field, "{body}");
        }
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn node_without_speech_engine_gives_400() {
    let (world, room, call) = world().await;
    world.set_node("acW68", |node| node.speaks = false);
    let body = json!({"text": "a"});
    for (_, path) in paths(room, call) {
        let answer = world.post(&path, body.clone()).await;
        assert_eq!(answer.fails(400)["detail"]["field"], "text");
    }
    assert!(world.intents().is_empty());
    // The modules of a node that cannot be reached are unknown: its command fails.
    let retry_after = Duration::from_secs(1);
    world.set_node("acW68", |node| node.link = Link::Connecting);
    for (_, path) in paths(room, call) {
        world.script(Err(CommandError::Down { retry_after }.into()));
        world.post(&path, body.clone()).await.fails(503);
    }
}

#[tokio::test]
async fn foreign_and_missing_rooms_and_refusals_have_their_status() {
    let (world, room, call) = world().await;
    let theirs = room_id("acW68", 3);
    world.room(theirs, "other", "n", 1, 1).await;
    let body = json!({"text": "a"});
    world.set_node("acW68", |node| node.speaks = false);
    for (room, status) in [(room_id("acW68", 9), 404), (theirs, 403)] {
        for (_, path) in paths(room, call) {
            world.post(&path, body.clone()).await.fails(status);
        }
    }
    world.set_node("acW68", |node| node.speaks = true);
    for (_, path) in paths(room, call) {
        let errors: [(IntentError, u16); 5] = [
            (Refusal::NotInRoom.into(), 404),
            (Refusal::TooMuchPlaying.into(), 409),
            (CommandError::Refused("no".to_owned()).into(), 502),
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
async fn command_uid_speaks_once() {
    let (world, room, call) = world().await;
    for (uid, (_, path)) in ["u.1", "u.2"].into_iter().zip(paths(room, call)) {
        let body = json!({"text": "a", "command_uid": uid});
        world.script(Ok(accepted()));
        let first = world.post(&path, body.clone()).await;
        world.post(&path, body).await.is(202, first.json());
        let other = json!({"text": "b", "command_uid": uid});
        world.post(&path, other).await.fails(409);
        assert_eq!(world.intents().len(), 1);
    }
}

#[tokio::test]
async fn room_shows_the_text_that_is_spoken() {
    let (world, room, _) = world().await;
    let path = format!("/api/v1/conferences/{room}");
    assert_eq!(world.get(&path).await.json()["playback_text"], Value::Null);
    let start = PlayInput::Start {
        operation: OperationId::new(Uuid::from_u128(7)),
        media: vec![text("Hello", None)],
        command_uid: None,
    };
    world
        .apply_input(room, RoomInput::Play(start), Timestamp::from_millis(1_000))
        .await;
    let shown = world.get(&path).await.json();
    assert_eq!(shown["playback_status"], "playing");
    assert_eq!(shown["playback_text"], "Hello");
    assert_eq!(shown["playback_urls"], json!([]));
}
