//! `/conferences/{room_id}/play`, `/pause`, `/stop`, `/volume`.

use std::time::Duration;

use roomkeeper::http::{ApiSettings, PlayRules};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, Intent, IntentError, Refusal};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{OperationId, RoomId};
use roomkeeper_core::intent::{
    OperationAccepted, PauseAccepted, Play, SetVolume, StopAccepted, VolumeAccepted,
};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{self, FileId, Origin, PlayInput, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::*;

const FILE: &str = "http://1.1.1.1/a.wav";

fn path(room: RoomId, what: &str) -> String {
    format!("/api/v1/conferences/{room}/{what}")
}

fn operation() -> OperationId {
    OperationId::new(Uuid::from_u128(7))
}

async fn world() -> (World, RoomId) {
    let world = World::new();
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    (world, room)
}

#[tokio::test]
async fn play_gives_202_in_progress() {
    let (world, room) = world().await;
    let operation = operation();
    world.script(Ok(Accepted::Play(OperationAccepted { operation })));
    let body = json!({"urls": [FILE, "HTTP://1.1.1.1/b c.wav"], "command_uid": "p.1"});
    let answer = world.post(&path(room, "play"), body).await;
    answer.is(
        202,
        json!({"operation_id": operation.to_string(), "status": "in_progress"}),
    );
    let urls = [FILE, "http://1.1.1.1/b%20c.wav"].map(|url| PlayUrl::new(url).unwrap().into());
    assert_eq!(
        world.intents(),
        [Intent::new(
            Target::Room(room),
            app("demo"),
            Play {
                media: urls.to_vec()
            }
        )
        .with_uid(Some("p.1".parse().unwrap()))]
    );
}

#[tokio::test]
async fn play_gives_400_with_index_of_file() {
    let (world, room) = world().await;
    let path = path(room, "play");
    let many: Vec<&str> = std::iter::repeat_n(FILE, 129).collect();
    let long = format!("http://1.1.1.1/{}", "a".repeat(2_048));
    for (body, field) in [
        (json!({}), "urls"),
        (json!({"urls": FILE}), "urls"),
        (json!({"urls": []}), "urls"),
        (json!({ "urls": many }), "urls"),
        (json!({"urls": [FILE, 1]}), "urls[1]"),
        (json!({"urls": [FILE, FILE, "ftp://1.1.1.1/a"]}), "urls[2]"),
        (json!({"urls": ["/etc/passwd"]}), "urls[0]"),
        (json!({"urls": ["http://u:p@1.1.1.1/a"]}), "urls[0]"),
        (json!({"urls": [FILE, long]}), "urls[1]"),
        (json!({"urls": [FILE, "http://127.0.0.1/a"]}), "urls[1]"),
        (json!({"urls": ["http://169.254.169.254/a"]}), "urls[0]"),
        (json!({"urls": [FILE, "http://localhost/a"]}), "urls[1]"),
        (
            json!({"urls": [FILE], "command_uid": "no spaces"}),
            "command_uid",
        ),
    ] {
        let answer = world.post(&path, body.clone()).await;
        assert_eq!(answer.fails(400)["detail"]["field"], field, "{body}");
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn only_configured_hosts_can_be_played() {
    let settings = ApiSettings {
        play: PlayRules {
            allow_hosts: vec!["1.1.1.1".to_owned(), "127.0.0.1".to_owned()],
            allow_private: true,
        },
        ..settings()
    };
    let world = World::with_settings(settings);
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 1).await;
    let operation = operation();
    world.script(Ok(Accepted::Play(OperationAccepted { operation })));
    let good = json!({"urls": [FILE, "http://127.0.0.1:8080/a"]});
    let answer = world.post(&path(room, "play"), good).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    let bad = json!({"urls": [FILE, "http://1.0.0.1/a"]});
    let answer = world.post(&path(room, "play"), bad).await;
    assert_eq!(answer.fails(400)["detail"]["field"], "urls[1]");
}

#[tokio::test]
async fn pause_stop_and_volume_give_202() {
    let (world, room) = world().await;
    let operation = operation();
    let id = operation.to_string();
    for (what, body, accepted, expected) in [
        (
            "pause",
            Value::Null,
            Accepted::Pause(PauseAccepted {
                operation,
                paused: true,
            }),
            json!({"operation_id": id, "status": "paused"}),
        ),
        (
            "pause",
            Value::Null,
            Accepted::Pause(PauseAccepted {
                operation,
                paused: false,
            }),
            json!({"operation_id": id, "status": "in_progress"}),
        ),
        (
            "stop",
            Value::Null,
            Accepted::Stop(StopAccepted {
                operation: Some(operation),
            }),
            json!({"operation_id": id, "status": "stopped"}),
        ),
        (
            "stop",
            Value::Null,
            Accepted::Stop(StopAccepted { operation: None }),
            json!({"operation_id": "", "status": "stopped"}),
        ),
        (
            "volume",
            json!({"volume": -50}),
            Accepted::SetVolume(VolumeAccepted {
                operation: Some(operation),
                volume: -50,
            }),
            json!({"operation_id": id, "volume": -50}),
        ),
        (
            "volume",
            json!({"volume": 7}),
            Accepted::SetVolume(VolumeAccepted {
                operation: None,
                volume: 7,
            }),
            json!({"operation_id": "", "volume": 7}),
        ),
    ] {
        world.script(Ok(accepted));
        let answer = if body.is_null() {
            world.post_empty(&path(room, what)).await
        } else {
            world.post(&path(room, what), body).await
        };
        answer.is(202, expected);
    }
    assert_eq!(world.intents().len(), 6);
}

#[tokio::test]
async fn volume_with_zero_fraction_is_an_integer_as_in_json_schema() {
    let (world, room) = world().await;
    let operation = None;
    world.script(Ok(Accepted::SetVolume(VolumeAccepted {
        operation,
        volume: -18,
    })));
    let body = json!({"volume": -18.0});
    let answer = world.post(&path(room, "volume"), body).await;
    answer.is(202, json!({"operation_id": "", "volume": -18}));
    let intents = world.intents();
    let actions: Vec<_> = intents.into_iter().map(|intent| intent.action).collect();
    assert_eq!(actions, [SetVolume { volume: -18 }.into()]);
}

#[tokio::test]
async fn invalid_volume_gives_400() {
    let (world, room) = world().await;
    for body in [
        json!({}),
        json!({"volume": -51}),
        json!({"volume": 8}),
        json!({"volume": 1000}),
        json!({"volume": 1.5}),
        json!({"volume": 1e300}),
        json!({"volume": u64::MAX}),
        json!({"volume": "2"}),
    ] {
        let answer = world.post(&path(room, "volume"), body.clone()).await;
        assert_eq!(answer.fails(400)["detail"]["field"], "volume", "{body}");
    }
}

#[tokio::test]
async fn playback_conflicts_and_freeswitch_failures_have_status() {
    let (world, room) = world().await;
    let down = CommandError::Down {
        retry_after: Duration::from_secs(3),
    };
    for (what, error, status) in [
        ("play", Refusal::NoMembers.into(), 409),
        ("play", Refusal::TooMuchPlaying.into(), 409),
        ("pause", Refusal::NothingPlaying.into(), 409),
        ("stop", IntentError::Command(down), 503),
        ("stop", IntentError::Command(CommandError::Unknown), 504),
        ("pause", Refusal::RoomNotFound.into(), 404),
    ] {
        world.script(Err(error));
        let body = json!({"urls": [FILE]});
        world.post(&path(room, what), body).await.fails(status);
    }
    world.script(Ok(Accepted::CreateRoom(())));
    world.post_empty(&path(room, "stop")).await.fails(500);
}

#[tokio::test]
async fn room_commands_give_404_for_missing_and_403_for_foreign() {
    let (world, _) = world().await;
    let foreign = room_id("acW68", 2);
    world.room(foreign, "other", "n", 1, 1).await;
    let body = json!({"urls": [FILE], "volume": 1});
    for what in ["play", "pause", "stop", "volume"] {
        let missing = path(room_id("acW68", 9), what);
        world.post(&missing, body.clone()).await.fails(404);
        world
            .post(&path(foreign, what), body.clone())
            .await
            .fails(403);
        world.get(&path(foreign, what)).await.fails(405);
        let nonsense = format!("/api/v1/conferences/nonsense/{what}");
        world.post(&nonsense, body.clone()).await.fails(400);
    }
    assert!(world.intents().is_empty());
}

#[tokio::test]
async fn room_shows_operation_at_head_of_queue() {
    let id = room_id("acW68", 1);
    let at = Timestamp::from_millis(1);
    let mut state = new_room(id, &app("demo"), "n", Origin::Gateway, at);
    enter(&mut state, session_id("acW68", 1), true);
    let operation = operation();
    let file = FileId {
        operation,
        index: 0,
    };
    let mut shows = Vec::new();
    let media = vec![PlayUrl::new(FILE).unwrap().into()];
    let start = PlayInput::Start {
        operation,
        media,
        command_uid: None,
    };
    let volume = PlayInput::Volume {
        volume: -3,
        command_uid: None,
    };
    let toggled = PlayInput::Toggled {
        paused: true,
        command_uid: None,
    };
    for (inputs, status) in [
        (vec![volume], "stopped"),
        (vec![start], "playing"),
        (vec![PlayInput::Opened(file), toggled], "paused"),
        (vec![PlayInput::Ended(file)], "stopped"),
    ] {
        for input in inputs {
            room::apply(&mut state, RoomInput::Play(input), at);
        }
        let world = World::new();
        put_room(&world.store, &state).await;
        shows.push((world, status));
    }
    for (world, status) in shows {
        let answer = world.get(&format!("/api/v1/conferences/{id}")).await.json();
        assert_eq!(answer["playback_status"], status);
        assert_eq!(answer["playback_volume"], -3);
        let (urls, id) = match status {
            "stopped" => (json!([]), String::new()),
            _ => (json!([FILE]), operation.to_string()),
        };
        assert_eq!(answer["playback_urls"], urls);
        assert_eq!(answer["playback_operation_id"], id);
    }
}
