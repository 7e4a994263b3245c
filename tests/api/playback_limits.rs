//! 429 for playback commands and the checks before it: cooldowns, repeated commands, the order of checks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use roomkeeper::http::{ApiSettings, PlayRules};
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, IntentError, Refusal};
use roomkeeper::store::StoreError;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper_core::ids::{OperationId, RoomId};
use roomkeeper_core::intent::{OperationAccepted, PauseAccepted, StopAccepted, VolumeAccepted};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::{self, Origin, PlayInput, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::time::advance;
use uuid::Uuid;

use crate::faulty::Faulty;
use crate::limits::{hold_next_intent, limited};
use crate::world::*;

const FILE: &str = "http://1.1.1.1/a.wav";
const COMMANDS: [&str; 4] = ["play", "pause", "stop", "volume"];
/// The commands that share a cooldown.
const CONTROLS: [&str; 3] = ["pause", "stop", "volume"];

/// A world with cooldowns and two rooms with playback.
struct Playing {
    world: World,
}

fn room(n: u128) -> RoomId {
    room_id("acW68", n)
}

fn operation() -> OperationId {
    OperationId::new(Uuid::from_u128(7))
}

async fn put_playing(store: &MemoryStore, id: RoomId, owner: &str, plays: bool) {
    let at = Timestamp::from_millis(1);
    let mut state = new_room(id, &app(owner), &id.to_string()[..9], Origin::Gateway, at);
    if plays {
        enter(&mut state, session_id("acW68", 1), true);
        let start = PlayInput::Start {
            operation: operation(),
            media: vec![PlayUrl::new(FILE).unwrap().into()],
            command_uid: None,
        };
        room::apply(&mut state, RoomInput::Play(start), at);
    }
    put_room(store, &state).await;
}

impl Playing {
    async fn new() -> Self {
        let world = World::with_settings(limited(0, true));
        for n in [1, 2] {
            put_playing(&world.store, room(n), "demo", true).await;
        }
        Self { world }
    }

    async fn ask(&self, id: RoomId, what: &str, body: Value) -> Answer {
        let path = format!("/api/v1/conferences/{id}/{what}");
        self.world.post(&path, body).await
    }

    fn accepts(&self, what: &str) -> &Self {
        self.world.script(Ok(accepted(what)));
        self
    }

    async fn accepted(&self, id: RoomId, what: &str) {
        let answer = self.accepts(what).ask(id, what, body(what)).await;
        assert_eq!(answer.status.as_u16(), 202, "{what}: {}", answer.text);
    }

    async fn too_soon(&self, id: RoomId, what: &str, wait_ms: u64) {
        let acted = self.world.controller.intents.lock().unwrap().len();
        let answer = self.ask(id, what, body(what)).await;
        let detail = json!({"retry_after_ms": wait_ms});
        assert_eq!(answer.fails(429)["detail"], detail, "{what}");
        let seconds = wait_ms.div_ceil(1000).max(1).to_string();
        assert_eq!(answer.header("retry-after"), seconds);
        assert_eq!(self.world.controller.intents.lock().unwrap().len(), acted);
    }
}

fn body(what: &str) -> Value {
    match what {
        "play" => json!({"urls": [FILE]}),
        "volume" => json!({"volume": 1}),
        _ => json!({}),
    }
}

fn named(what: &str, uid: &str) -> Value {
    let mut body = body(what);
    body["command_uid"] = uid.into();
    body
}

fn accepted(what: &str) -> Accepted {
    let operation = operation();
    match what {
        "play" => Accepted::Play(OperationAccepted { operation }),
        "pause" => Accepted::Pause(PauseAccepted {
            operation,
            paused: true,
        }),
        "stop" => Accepted::Stop(StopAccepted {
            operation: Some(operation),
        }),
        _ => Accepted::SetVolume(VolumeAccepted {
            operation: Some(operation),
            volume: 1,
        }),
    }
}

#[tokio::test(start_paused = true)]
async fn play_has_two_seconds_for_each_room() {
    let playing = Playing::new().await;
    playing.accepted(room(1), "play").await;
    playing.too_soon(room(1), "play", 2_000).await;
    playing.accepted(room(2), "play").await;
    advance(Duration::from_millis(1_999)).await;
    playing.too_soon(room(1), "play", 1).await;
    advance(Duration::from_millis(1)).await;
    playing.accepted(room(1), "play").await;
}

#[tokio::test(start_paused = true)]
async fn pause_stop_and_volume_share_200_milliseconds_for_each_room() {
    for first in CONTROLS {
        let playing = Playing::new().await;
        playing.accepted(room(1), first).await;
        for next in CONTROLS {
            playing.too_soon(room(1), next, 200).await;
        }
        // The cooldown affects neither another room nor the other group.
        playing.accepted(room(2), first).await;
        playing.accepted(room(1), "play").await;
        advance(Duration::from_millis(199)).await;
        for next in CONTROLS {
            playing.too_soon(room(1), next, 1).await;
        }
        advance(Duration::from_millis(1)).await;
        playing.accepted(room(1), first).await;
    }
}

/// Every failure without effect, and its status.
fn failures() -> Vec<(IntentError, u16)> {
    let down = CommandError::Down {
        retry_after: Duration::from_secs(1),
    };
    vec![
        (Refusal::RoomNotFound.into(), 404),
        (Refusal::ForeignRoom.into(), 403),
        (Refusal::NoMembers.into(), 409),
        (Refusal::NothingPlaying.into(), 409),
        (Refusal::TooMuchPlaying.into(), 409),
        (CommandError::NoSuchChannel.into(), 404),
        (CommandError::Refused("-ERR x".to_owned()).into(), 502),
        (down.into(), 503),
        (CommandError::Busy.into(), 503),
        (IntentError::Busy, 503),
        (StoreError::Unavailable("x".into()).into(), 503),
    ]
}

#[tokio::test(start_paused = true)]
async fn command_without_effect_costs_nothing_and_is_forgotten() {
    for what in COMMANDS {
        let playing = Playing::new().await;
        for (error, status) in failures() {
            playing.world.script(Err(error));
            let answer = playing.ask(room(1), what, named(what, "u")).await;
            answer.fails(status);
        }
        assert_eq!(playing.world.intents().len(), failures().len());
        playing.accepts(what);
        let answer = playing.ask(room(1), what, named(what, "u")).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn uncertain_command_costs_cooldown_and_is_repeated() {
    for (what, wait) in [
        ("play", 2_000),
        ("pause", 200),
        ("stop", 200),
        ("volume", 200),
    ] {
        let playing = Playing::new().await;
        playing.world.script(Err(CommandError::Unknown.into()));
        for _ in 0..2 {
            let answer = playing.ask(room(1), what, named(what, "u")).await;
            answer.fails(504);
        }
        assert_eq!(playing.world.intents().len(), 1, "{what}");
        playing.too_soon(room(1), what, wait).await;
    }
}

#[tokio::test(start_paused = true)]
async fn repeated_command_acts_once_and_costs_no_cooldown() {
    for what in COMMANDS {
        let playing = Playing::new().await;
        let first = playing.accepts(what).ask(room(1), what, named(what, "u"));
        let first = first.await;
        assert_eq!(first.status.as_u16(), 202, "{}", first.text);
        let mut null = named(what, "u");
        null["other"] = Value::Null;
        for body in [named(what, "u"), null] {
            let again = playing.ask(room(1), what, body).await;
            assert_eq!((again.status, &again.text), (first.status, &first.text));
            assert_eq!(again.header("content-type"), first.header("content-type"));
        }
        assert_eq!(playing.world.intents().len(), 1);
        // The 60 seconds start with the response.
        advance(Duration::from_millis(59_999)).await;
        let again = playing.ask(room(1), what, named(what, "u")).await;
        assert_eq!(again.text, first.text);
        assert!(playing.world.intents().is_empty());
        playing.accepted(room(1), what).await;
        playing.world.intents();
        advance(Duration::from_secs(3)).await;
        let late = playing.accepts(what).ask(room(1), what, named(what, "u"));
        assert_eq!(late.await.status.as_u16(), 202);
        assert_eq!(playing.world.intents().len(), 1, "the minute is over");
    }
}

#[tokio::test(start_paused = true)]
async fn reused_command_uid_with_other_request_gives_409() {
    let playing = Playing::new().await;
    let scripted = playing.accepts("play");
    scripted.ask(room(1), "play", named("play", "u")).await;
    playing.world.intents();
    let mut longer = named("play", "u");
    longer["urls"] = json!([FILE, FILE]);
    let mut other = vec![("play", longer)];
    other.extend(CONTROLS.map(|what| (what, named(what, "u"))));
    for (what, body) in other {
        let answer = playing.ask(room(1), what, body).await.fails(409);
        assert_eq!(answer["detail"], json!({"field": "command_uid"}));
        assert_eq!(
            answer["error"],
            "command_uid: it belongs to another command on this conference"
        );
    }
    assert!(playing.world.intents().is_empty());
    // The key is separate for each room, and for a call with the same number.
    let scripted = playing.accepts("pause");
    let answer = scripted.ask(room(2), "pause", named("pause", "u")).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    playing
        .world
        .session(session_id("acW68", 1), "demo", 1)
        .await;
    let operation = operation();
    playing
        .world
        .script(Ok(Accepted::Answer(OperationAccepted { operation })));
    let path = format!(
        "/api/v1/sessions/{}/commands/answer",
        session_id("acW68", 1)
    );
    let answer = playing.world.post(&path, json!({"command_uid": "u"})).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn concurrent_repeats_act_once_and_get_same_response() {
    let playing = Playing::new().await;
    let (arrived, go) = hold_next_intent(&playing.world);
    playing.accepts("play");
    let first = playing.ask(room(1), "play", named("play", "u"));
    let others = async {
        arrived.notified().await;
        let impatient = playing.ask(room(1), "play", named("play", "u")).await;
        assert!(impatient.fails(409)["detail"].is_null());
        assert_eq!(impatient.header("retry-after"), "1");
        let second = playing.ask(room(1), "play", named("play", "u"));
        let release = async {
            go.notify_one();
        };
        tokio::join!(second, release).0
    };
    let (first, second) = tokio::join!(first, others);
    assert_eq!(first.status.as_u16(), 202);
    assert_eq!((second.status, second.text), (first.status, first.text));
    assert_eq!(playing.world.intents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn all_other_checks_come_before_the_cooldown() {
    let playing = Playing::new().await;
    let (empty, theirs, missing) = (room(3), room(8), room(9));
    put_playing(&playing.world.store, empty, "demo", true).await;
    put_playing(&playing.world.store, theirs, "other", true).await;
    // All cooldowns run.
    for id in [room(1), empty] {
        for what in ["play", "pause"] {
            let uid = named(what, what);
            let answer = playing.accepts(what).ask(id, what, uid).await;
            assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
        }
    }
    playing.world.intents();
    let left = left(session_id("acW68", 1));
    playing.world.apply_input(empty, left, CREATED).await;
    for (id, what, body, status) in [
        // Syntax, also for a missing room.
        (room(1), "play", json!({"urls": []}), 400),
        (room(1), "play", named("play", "a b"), 400),
        (missing, "play", json!({"urls": ["ftp://1.1.1.1/"]}), 400),
        (missing, "volume", json!({"volume": 8}), 400),
        (theirs, "pause", named("pause", "a b"), 400),
        // Existence, then ownership.
        (missing, "play", body("play"), 404),
        (missing, "pause", body("pause"), 404),
        (theirs, "play", body("play"), 403),
        (theirs, "stop", body("stop"), 403),
        (theirs, "volume", body("volume"), 403),
        // The idempotency key, before the state that would refuse the command now.
        (empty, "play", named("play", "play"), 202),
        (empty, "pause", named("pause", "pause"), 202),
        // The state.
        (empty, "play", body("play"), 409),
        (empty, "pause", body("pause"), 409),
        // The cooldown.
        (room(1), "play", body("play"), 429),
        (room(1), "play", named("play", "v"), 429),
        (room(1), "pause", body("pause"), 429),
        (room(1), "stop", body("stop"), 429),
        (empty, "stop", body("stop"), 429),
        (empty, "volume", body("volume"), 429),
    ] {
        let answer = playing.ask(id, what, body.clone()).await;
        let found = answer.status.as_u16();
        assert_eq!(found, status, "{id} {what} {body}: {}", answer.text);
    }
    assert!(
        playing.world.intents().is_empty(),
        "no command was executed"
    );
    // A command within the cooldown is not stored under its key.
    advance(Duration::from_secs(2)).await;
    let scripted = playing.accepts("play");
    let answer = scripted.ask(room(1), "play", named("play", "v")).await;
    assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
}

#[tokio::test(start_paused = true)]
async fn repeated_command_does_not_resolve_names_again() {
    let store = Arc::new(MemoryStore::new());
    let private = |allow_private| ApiSettings {
        play: PlayRules {
            allow_hosts: Vec::new(),
            allow_private,
        },
        ..limited(0, true)
    };
    let lenient = World::with_store(store.clone(), store.clone(), private(true));
    // For this replica, the host may not be played from any more.
    let strict = World::with_store(store.clone(), store.clone(), private(false));
    put_playing(&store, room(1), "demo", true).await;
    let path = format!("/api/v1/conferences/{}/play", room(1));
    let body = |uid: &str| json!({"urls": ["http://localhost/a.wav"], "command_uid": uid});
    lenient.script(Ok(accepted("play")));
    let first = lenient.post(&path, body("u")).await;
    assert_eq!(first.status.as_u16(), 202, "{}", first.text);
    let again = strict.post(&path, body("u")).await;
    assert_eq!((again.status, again.text), (first.status, first.text));
    advance(Duration::from_secs(2)).await;
    let refused = strict.post(&path, body("v")).await;
    assert_eq!(refused.fails(400)["detail"]["field"], "urls[0]");
    // The refused command costs no cooldown and is not stored.
    lenient.script(Ok(accepted("play")));
    let good = lenient.post(&path, body("v")).await;
    assert_eq!(good.status.as_u16(), 202, "{}", good.text);
}

#[tokio::test(start_paused = true)]
async fn store_failure_of_cooldowns_and_commands_gives_503() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["take_cooldown", "begin_command"]);
    let world = World::with_store(faulty.clone(), store.clone(), limited(0, true));
    put_playing(&store, room(1), "demo", true).await;
    for what in COMMANDS {
        let path = format!("/api/v1/conferences/{}/{what}", room(1));
        world.post(&path, body(what)).await.fails(503);
        world.post(&path, named(what, "u")).await.fails(503);
    }
    assert_eq!(faulty.fired.load(Ordering::Relaxed), 8);
    assert!(world.intents().is_empty());
}
