//! 429 and the checks before it: cooldowns, repeated commands, the app's limit.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::CONTENT_LENGTH;
use futures_util::{FutureExt, stream};
use roomkeeper::http::ApiSettings;
use roomkeeper::http::cooldown::{
    CONF_PLAY, CONFERENCE, CONFERENCE_CONTROL, CONFERENCE_MUTE, Group,
};
use roomkeeper::http::rate_limit::LimitSettings;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Accepted, IntentError, Refusal};
use roomkeeper::store::limits::Cooldown;
use roomkeeper::store::limits::RequestLimits as _;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Store, StoreError, Version,
};
use roomkeeper_core::call::{self, CallInput};
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{FlagAccepted, JoinAccepted, LeaveAccepted, OperationAccepted};
use roomkeeper_core::room::MemberFlag;
use roomkeeper_core::room::{Details, Kind, Origin, Registration, RoomInput};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::advance;
use uuid::Uuid;

use crate::faulty::Faulty;
use crate::world::*;

const PATH: &str = "/api/v1/conferences";

pub fn limited(app_rate: u32, cooldowns: bool) -> ApiSettings {
    ApiSettings {
        limits: LimitSettings {
            app_rate,
            cooldowns,
        },
        ..settings()
    }
}

/// A world with cooldowns and a room with two calls: the first is muted, the second speaks. A third call is parked.
struct Cool {
    world: World,
    room: RoomId,
}

impl Cool {
    async fn new() -> Self {
        let world = World::with_settings(limited(0, true));
        let room = room_id("acW68", 1);
        world.room(room, "demo", "n", 1, 2).await;
        let cool = Self { world, room };
        for n in 1..=3 {
            cool.world.session(call(n), "demo", 1).await;
        }
        cool.place(call(1), Some(room)).await;
        cool.place(call(2), Some(room)).await;
        cool
    }

    /// Puts a call into this room, or parks it.
    async fn place(&self, call: CallId, room: Option<RoomId>) {
        let mut state = new_session(call, "demo", 1);
        if let Some(room) = room {
            let at = Timestamp::from_millis(1);
            for input in [
                CallInput::Joining { room },
                CallInput::Entered { room, sequence: 5 },
            ] {
                call::apply(&mut state, input, at);
            }
        }
        put_call(&self.world.store, &state).await;
        let input = match room {
            Some(_) => entered(call, true),
            None => left(call),
        };
        self.world.apply_input(self.room, input, CREATED).await;
    }

    async fn ask(&self, call: CallId, command: &str, body: Value) -> Answer {
        let path = format!("/api/v1/sessions/{call}/commands/{command}");
        self.world.post(&path, body).await
    }

    fn body(&self, command: &str) -> Value {
        match command {
            "conference/join" => json!({"room_id": self.room.to_string()}),
            _ => json!({}),
        }
    }

    fn accepts(&self, command: &str) -> &Self {
        let room = self.room;
        self.world.script(Ok(match command {
            "conference/join" => Accepted::Join(JoinAccepted::Joining {
                room,
                member: membership_id(),
            }),
            "conference/leave" => Accepted::Leave(LeaveAccepted { room }),
            "conference/mute" => Accepted::SetFlag(FlagAccepted {
                room,
                flag: MemberFlag::Speak,
                on: false,
            }),
            _ => Accepted::SetFlag(FlagAccepted {
                room,
                flag: MemberFlag::Speak,
                on: true,
            }),
        }));
        self
    }

    async fn accepted(&self, call: CallId, command: &str) {
        let body = self.body(command);
        let answer = self.accepts(command).ask(call, command, body).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    }

    async fn too_soon(&self, call: CallId, command: &str, wait_ms: u64) {
        let acted = self.world.controller.intents.lock().unwrap().len();
        let answer = self.ask(call, command, self.body(command)).await;
        let detail = json!({"retry_after_ms": wait_ms});
        assert_eq!(answer.fails(429)["detail"], detail);
        let seconds = wait_ms.div_ceil(1000).max(1).to_string();
        assert_eq!(answer.header("retry-after"), seconds);
        assert_eq!(self.world.controller.intents.lock().unwrap().len(), acted);
    }
}

fn call(n: u128) -> CallId {
    session_id("acW68", n)
}

#[test]
fn cooldown_groups_match_documentation() {
    let ms = |group: roomkeeper::http::cooldown::Group| (group.name, group.window.as_millis());
    assert_eq!(ms(CONF_PLAY), ("conf_play", 2_000));
    assert_eq!(ms(CONFERENCE_CONTROL), ("conference_control", 200));
    assert_eq!(ms(CONFERENCE), ("conference", 2_000));
    assert_eq!(ms(CONFERENCE_MUTE), ("conference_mute", 2_000));
}

#[tokio::test(start_paused = true)]
async fn join_and_leave_share_two_seconds() {
    let cool = Cool::new().await;
    cool.accepted(call(3), "conference/join").await;
    cool.too_soon(call(3), "conference/join", 2_000).await;
    cool.place(call(3), Some(cool.room)).await;
    cool.too_soon(call(3), "conference/leave", 2_000).await;
    advance(Duration::from_millis(1_999)).await;
    cool.too_soon(call(3), "conference/leave", 1).await;
    advance(Duration::from_millis(1)).await;
    cool.accepted(call(3), "conference/leave").await;
    cool.place(call(3), None).await;
    cool.too_soon(call(3), "conference/join", 2_000).await;
}

#[tokio::test(start_paused = true)]
async fn mute_and_unmute_share_two_seconds() {
    let cool = Cool::new().await;
    cool.accepted(call(1), "conference/unmute").await;
    cool.too_soon(call(1), "conference/unmute", 2_000).await;
    cool.accepted(call(2), "conference/mute").await;
    advance(Duration::from_millis(500)).await;
    cool.too_soon(call(2), "conference/mute", 1_500).await;
    advance(Duration::from_millis(1_500)).await;
    cool.accepted(call(1), "conference/unmute").await;
    cool.accepted(call(2), "conference/mute").await;
}

#[tokio::test(start_paused = true)]
async fn groups_and_sessions_have_separate_cooldowns() {
    let cool = Cool::new().await;
    cool.accepted(call(1), "conference/unmute").await;
    cool.accepted(call(1), "conference/leave").await;
    cool.accepted(call(2), "conference/mute").await;
    cool.accepted(call(2), "conference/leave").await;
}

#[tokio::test(start_paused = true)]
async fn answers_and_hang_ups_have_no_cooldown() {
    let cool = Cool::new().await;
    for command in ["answer", "answer", "hangup", "hangup"] {
        let operation = uuid::Uuid::nil().to_string().parse().unwrap();
        let accepted = OperationAccepted { operation };
        cool.world.script(Ok(match command {
            "answer" => Accepted::Answer(accepted),
            _ => Accepted::Hangup(accepted),
        }));
        let answer = cool.ask(call(3), command, json!({})).await;
        assert_eq!(answer.status.as_u16(), 202, "{}", answer.text);
    }
}

#[tokio::test(start_paused = true)]
async fn command_without_effect_costs_no_cooldown() {
    let cool = Cool::new().await;
    let down = CommandError::Down {
        retry_after: Duration::from_secs(1),
    };
    for (outcome, status) in [
        (Err(CommandError::NoSuchChannel.into()), 404),
        (Err(CommandError::Refused("-ERR x".to_owned()).into()), 502),
        (Err(down.into()), 503),
        (Err(CommandError::Busy.into()), 503),
        (Err(IntentError::Busy), 503),
        (Err(StoreError::Unavailable("x".into()).into()), 503),
        (Err(Refusal::StillJoining.into()), 409),
        (Err(Refusal::RoomNotFound.into()), 404),
        (
            Ok(Accepted::Join(JoinAccepted::AlreadyJoined {
                room: cool.room,
                member: membership_id(),
            })),
            200,
        ),
    ] {
        cool.world.script(outcome);
        let body = cool.body("conference/join");
        let answer = cool.ask(call(3), "conference/join", body).await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text);
    }
    cool.accepted(call(3), "conference/join").await;
}

#[tokio::test(start_paused = true)]
async fn uncertain_command_costs_cooldown() {
    let cool = Cool::new().await;
    cool.world.script(Err(CommandError::Unknown.into()));
    let body = cool.body("conference/join");
    cool.ask(call(3), "conference/join", body).await.fails(504);
    cool.too_soon(call(3), "conference/join", 2_000).await;
}

#[tokio::test(start_paused = true)]
async fn all_other_checks_come_before_the_cooldown() {
    let cool = Cool::new().await;
    let theirs = call(8);
    cool.world.session(theirs, "other", 1).await;
    let elsewhere = room_id("acW68", 5);
    cool.world.room(elsewhere, "demo", "m", 1, 0).await;
    let far = room_id("bbbbb", 6);
    cool.world.room(far, "demo", "far", 1, 0).await;
    let in_room = json!({"room_id": cool.room.to_string()});
    // All cooldowns run.
    for n in [1, 2, 3] {
        start_cooldown(&cool.world, call(n), CONFERENCE).await;
        start_cooldown(&cool.world, call(n), CONFERENCE_MUTE).await;
    }
    for (n, command, body, status) in [
        (1, "conference/join", in_room.clone(), 200),
        (
            1,
            "conference/join",
            json!({"room_id": elsewhere.to_string()}),
            409,
        ),
        (
            1,
            "conference/join",
            json!({"room_id": far.to_string()}),
            409,
        ),
        (1, "conference/join", json!({"room_id": "x"}), 400),
        (
            1,
            "conference/join",
            json!({"room_id": room_id("acW68", 9).to_string()}),
            404,
        ),
        (1, "conference/mute", json!({}), 409),
        (1, "conference/unmute", json!({}), 429),
        (2, "conference/unmute", json!({}), 409),
        (2, "conference/mute", json!({}), 429),
        (2, "conference/mute", json!({"command_uid": ""}), 400),
        (3, "conference/mute", json!({}), 404),
        (3, "conference/leave", json!({}), 404),
        (3, "conference/join", in_room, 429),
        (8, "conference/mute", json!({}), 403),
        (9, "conference/mute", json!({}), 404),
    ] {
        let answer = cool.ask(call(n), command, body.clone()).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{n} {command} {body}: {}",
            answer.text
        );
    }
    let mut state = new_session(call(3), "demo", 1);
    let room = cool.room;
    for (input, happens, command, status) in [
        (
            CallInput::Joining { room },
            joining(call(3)),
            "conference/leave",
            409,
        ),
        (
            CallInput::Entered { room, sequence: 5 },
            entered(call(3), true),
            "conference/leave",
            429,
        ),
        (
            CallInput::Leaving,
            RoomInput::Leave {
                call: call(3),
                reason: roomkeeper_core::room::LeftReason::Removed,
                command_uid: None,
                deadline: CREATED + Duration::from_secs(10),
            },
            "conference/mute",
            409,
        ),
    ] {
        call::apply(&mut state, input, Timestamp::from_millis(1));
        put_call(&cool.world.store, &state).await;
        cool.world.apply_input(room, happens, CREATED).await;
        cool.ask(call(3), command, json!({})).await.fails(status);
    }
    assert_eq!(cool.world.intents(), [], "nothing of it was carried out");
}

/// A request for a call to join a room.
fn joining(session: CallId) -> RoomInput {
    RoomInput::Join {
        call: session,
        member: member_id(session),
        caller_id: "527121102".to_owned(),
        did: "747713001".to_owned(),
        muted: false,
        settings: Default::default(),
        has_pre_actions: false,
        command_uid: None,
        deadline: CREATED + Duration::from_secs(10),
    }
}

/// Starts the cooldown of a group for a call, as an earlier command would.
async fn start_cooldown(world: &World, call: CallId, group: Group) {
    let taken = world
        .store
        .take_cooldown(
            EntityId::Call(call),
            group.name,
            Uuid::from_u128(7),
            group.window,
        )
        .await;
    assert_eq!(taken.unwrap(), Cooldown::Taken);
}

#[tokio::test(start_paused = true)]
async fn join_of_full_room_gives_409_during_cooldown() {
    let cool = Cool::new().await;
    let full = room_id("acW68", 6);
    let registration = Registration {
        app: app("demo"),
        name: "pair".to_owned(),
        origin: Origin::Voipbin,
        created_at: CREATED,
        kind: Kind::Connect,
        details: Details::default(),
    };
    let mut state = registered(full, registration);
    enter(&mut state, call(1), true);
    enter(&mut state, call(2), true);
    put_room(&cool.world.store, &state).await;
    start_cooldown(&cool.world, call(3), CONFERENCE).await;
    let body = json!({"room_id": full.to_string()});
    let answer = cool.ask(call(3), "conference/join", body).await;
    let error = answer.fails(409)["error"].clone();
    assert_eq!(error, Refusal::RoomFull.to_string());
    assert_eq!(cool.world.intents(), []);
}

#[tokio::test(start_paused = true)]
async fn join_of_joining_call_gives_202_during_cooldown() {
    let cool = Cool::new().await;
    let room = cool.room;
    cool.world
        .apply_input(room, joining(call(3)), CREATED)
        .await;
    let mut state = new_session(call(3), "demo", 1);
    call::apply(&mut state, CallInput::Joining { room }, CREATED);
    put_call(&cool.world.store, &state).await;
    start_cooldown(&cool.world, call(3), CONFERENCE).await;
    let body = json!({"room_id": room.to_string()});
    let answer = cool.ask(call(3), "conference/join", body).await;
    answer.is(
        202,
        json!({"status": "joining", "room_id": room.to_string()}),
    );
    assert_eq!(cool.world.intents(), []);
}

#[tokio::test(start_paused = true)]
async fn other_app_sees_neither_cooldown_nor_repeated_response() {
    let cool = Cool::new().await;
    let path = format!("/api/v1/sessions/{}/commands/conference/join", call(3));
    let plain = json!({"room_id": cool.room.to_string()});
    let named = json!({"room_id": cool.room.to_string(), "command_uid": "u"});
    let first = cool
        .accepts("conference/join")
        .world
        .post(&path, named.clone())
        .await;
    assert_eq!(first.status.as_u16(), 202, "{}", first.text);
    assert_eq!(cool.world.intents().len(), 1);
    for body in [plain, named.clone()] {
        let foreign = request(OTHER, "POST", &path, Some(body));
        cool.world.send(foreign).await.fails(403);
    }
    let again = cool.world.post(&path, named).await;
    assert_eq!((again.status, again.text), (first.status, first.text));
    assert_eq!(cool.world.intents(), [], "it was carried out once");
}

#[tokio::test(start_paused = true)]
async fn repeated_command_acts_once_and_costs_no_cooldown() {
    let cool = Cool::new().await;
    let room = cool.room.to_string();
    let body = json!({"room_id": room, "muted": true, "command_uid": "u"});
    let first = cool
        .accepts("conference/join")
        .ask(call(3), "conference/join", body.clone())
        .await;
    first.is(202, json!({"status": "joining", "room_id": room}));
    advance(Duration::from_millis(59_999)).await;
    cool.place(call(3), Some(cool.room)).await;
    cool.accepted(call(3), "conference/leave").await;
    cool.place(call(3), None).await;
    assert_eq!(cool.world.intents().len(), 2);
    let nulls = json!({"command_uid": "u", "other": null, "muted": true, "room_id": room});
    for body in [body.clone(), nulls] {
        let again = cool.ask(call(3), "conference/join", body).await;
        assert_eq!((again.status, &again.text), (first.status, &first.text));
        assert_eq!(again.header("content-type"), first.header("content-type"));
    }
    assert!(cool.world.intents().is_empty());
    advance(Duration::from_secs(3)).await;
    let late = cool
        .accepts("conference/join")
        .ask(call(3), "conference/join", body)
        .await;
    assert_eq!(late.status.as_u16(), 202);
    assert_eq!(cool.world.intents().len(), 1, "the minute is over");
}

#[tokio::test(start_paused = true)]
async fn repeated_answers_and_hang_ups_act_once() {
    let cool = Cool::new().await;
    for (command, n) in [("answer", 1), ("hangup", 2)] {
        let operation = uuid::Uuid::from_u128(n).to_string();
        let accepted = OperationAccepted {
            operation: operation.parse().unwrap(),
        };
        cool.world.script(Ok(match command {
            "answer" => Accepted::Answer(accepted),
            _ => Accepted::Hangup(accepted),
        }));
        let expected = json!({"operation_id": operation, "status": "in_progress"});
        let body = json!({ "command_uid": command });
        for acts in [1, 0] {
            let answer = cool.ask(call(3), command, body.clone()).await;
            answer.is(202, expected.clone());
            assert_eq!(cool.world.intents().len(), acts);
        }
    }
    let with_cause = json!({"command_uid": "hangup", "cause": "USER_BUSY"});
    cool.ask(call(3), "hangup", with_cause).await.fails(409);
    // The call has ended, so no response is repeated.
    end(&cool.world.store, EntityId::Call(call(3))).await;
    let body = json!({"command_uid": "hangup"});
    cool.ask(call(3), "hangup", body).await.fails(404);
    assert!(cool.world.intents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn reused_command_uid_with_other_request_gives_409() {
    let cool = Cool::new().await;
    let room = cool.room.to_string();
    let body = json!({"room_id": room, "command_uid": "u"});
    let scripted = cool.accepts("conference/join");
    scripted.ask(call(3), "conference/join", body.clone()).await;
    cool.world.intents();
    let muted = json!({"room_id": room, "muted": true, "command_uid": "u"});
    for (command, body) in [
        ("conference/join", muted),
        ("conference/mute", json!({"command_uid": "u"})),
        ("hangup", json!({"command_uid": "u"})),
    ] {
        let answer = cool.ask(call(3), command, body).await;
        let detail = json!({"field": "command_uid"});
        assert_eq!(answer.fails(409)["detail"], detail);
    }
    assert!(cool.world.intents().is_empty());
    // An idempotency key is separate for each call.
    let uid = json!({"command_uid": "u"});
    let other = cool.accepts("conference/mute");
    let answer = other.ask(call(2), "conference/mute", uid).await;
    assert_eq!(answer.status.as_u16(), 202);
}

#[tokio::test(start_paused = true)]
async fn response_is_repeated_only_if_command_may_have_acted() {
    let cool = Cool::new().await;
    let body = json!({"room_id": cool.room.to_string(), "command_uid": "u"});
    for (error, status) in [
        (IntentError::from(Refusal::StillLeaving), 409),
        (CommandError::Refused("-ERR".to_owned()).into(), 502),
        (CommandError::NoSuchChannel.into(), 404),
        (IntentError::Busy, 503),
        (CommandError::Unknown.into(), 504),
    ] {
        cool.world.script(Err(error));
        let answer = cool.ask(call(3), "conference/join", body.clone()).await;
        answer.fails(status);
        assert_eq!(cool.world.intents().len(), 1, "{status} was not repeated");
    }
    let again = cool.ask(call(3), "conference/join", body).await;
    again.fails(504);
    assert!(cool.world.intents().is_empty());
    // First within the cooldown, then again with the same key.
    let uid = json!({"command_uid": "v"});
    cool.place(call(3), Some(cool.room)).await;
    let soon = cool.ask(call(3), "conference/leave", uid.clone()).await;
    soon.fails(429);
    advance(Duration::from_secs(2)).await;
    let scripted = cool.accepts("conference/leave");
    let then = scripted.ask(call(3), "conference/leave", uid).await;
    assert_eq!(then.status.as_u16(), 202);
}

/// Holds the next intent; returns its arrival and its release.
pub fn hold_next_intent(world: &World) -> (Arc<Notify>, Arc<Notify>) {
    let (arrived, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (arrival, released) = (arrived.clone(), release.clone());
    *world.controller.during.lock().unwrap() = Some(Box::new(move |_, _| {
        async move {
            arrival.notify_one();
            released.notified().await;
        }
        .boxed()
    }));
    (arrived, release)
}

#[tokio::test(start_paused = true)]
async fn repeat_of_running_command_waits_and_then_gives_409() {
    let cool = Cool::new().await;
    let body = json!({"room_id": cool.room.to_string(), "command_uid": "u"});
    let (arrived, go) = hold_next_intent(&cool.world);
    cool.accepts("conference/join");
    let first = cool.ask(call(3), "conference/join", body.clone());
    let others = async {
        arrived.notified().await;
        let impatient = cool.ask(call(3), "conference/join", body.clone()).await;
        assert!(impatient.fails(409)["detail"].is_null());
        assert_eq!(impatient.header("retry-after"), "1");
        let second = cool.ask(call(3), "conference/join", body.clone());
        let release = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            go.notify_one();
        };
        tokio::join!(second, release).0
    };
    let (first, second) = tokio::join!(first, others);
    assert_eq!(first.status.as_u16(), 202);
    assert_eq!((second.status, second.text), (first.status, first.text));
    assert_eq!(cool.world.intents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn disconnected_caller_gets_response_on_repeat() {
    let cool = Cool::new().await;
    let body = json!({"room_id": cool.room.to_string(), "command_uid": "u"});
    let (arrived, go) = hold_next_intent(&cool.world);
    cool.accepts("conference/join");
    tokio::select! {
        answer = cool.ask(call(3), "conference/join", body.clone()) => panic!("{answer:?}"),
        () = arrived.notified() => {}
    }
    go.notify_one();
    let again = cool.ask(call(3), "conference/join", body).await;
    assert_eq!(again.status.as_u16(), 202);
    assert_eq!(cool.world.intents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn store_failure_of_cooldowns_gives_503() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["take_cooldown", "begin_command"]);
    let world = World::with_store(faulty.clone(), store, limited(0, true));
    world.session(call(1), "demo", 1).await;
    let room = room_id("acW68", 1);
    world.room(room, "demo", "n", 1, 0).await;
    let path = format!("/api/v1/sessions/{}/commands/conference/join", call(1));
    for mut body in [json!({}), json!({"command_uid": "u"})] {
        body["room_id"] = json!(room.to_string());
        world.post(&path, body).await.fails(503);
    }
    assert_eq!(faulty.fired.load(Ordering::Relaxed), 2);
    assert!(world.intents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn rate_limit_counts_all_requests_of_app() {
    let world = World::with_settings(limited(4, false));
    world
        .get(PATH)
        .await
        .is(200, json!({"conferences": [], "cursor": ""}));
    world.get(&format!("{PATH}/nonsense")).await.fails(400);
    world
        .get(&format!("{PATH}/{}", room_id("acW68", 1)))
        .await
        .fails(404);
    world.post(PATH, json!({"name": ""})).await.fails(400);
    for path in [PATH.to_owned(), format!("{PATH}/nonsense")] {
        let answer = world.get(&path).await;
        let detail = json!({"retry_after_ms": 250});
        assert_eq!(answer.fails(429)["detail"], detail);
        assert_eq!(answer.header("retry-after"), "1");
    }
    // Requests without an app, and those of another app.
    let wrong = ("demo", "wrong-key");
    world
        .send(request(wrong, "GET", PATH, None))
        .await
        .fails(401);
    world.get("/api/v1/nothing").await.fails(404);
    let theirs = world.send(request(OTHER, "GET", PATH, None)).await;
    assert_eq!(theirs.status.as_u16(), 200);
    advance(Duration::from_millis(250)).await;
    assert_eq!(world.get(PATH).await.status.as_u16(), 200);
    world.get(PATH).await.fails(429);
}

#[tokio::test(start_paused = true)]
async fn unauthenticated_requests_do_not_count() {
    let world = World::with_settings(limited(2, false));
    for _ in 0..10 {
        let wrong = ("demo", "wrong-key");
        world
            .send(request(wrong, "GET", PATH, None))
            .await
            .fails(401);
    }
    for status in [200, 200, 429] {
        assert_eq!(world.get(PATH).await.status.as_u16(), status);
    }
}

#[tokio::test(start_paused = true)]
async fn replicas_share_rate_limit() {
    let store = Arc::new(MemoryStore::new());
    let replicas: Vec<_> = (0..3)
        .map(|_| World::with_store(store.clone(), store.clone(), limited(40, false)))
        .collect();
    let mut passed = 0;
    for _ in 0..40 {
        for world in &replicas {
            passed += u32::from(world.get(PATH).await.status.as_u16() == 200);
        }
    }
    assert_eq!(passed, 40);
}

#[tokio::test(start_paused = true)]
async fn rate_limit_holds_without_store() {
    let store = Arc::new(MemoryStore::new());
    let faulty = Faulty::new(store.clone(), &["take_tokens"]);
    let world = World::with_store(faulty.clone(), store, limited(10, false));
    let mut passed = 0;
    for _ in 0..30 {
        passed += u32::from(world.get(PATH).await.status.as_u16() == 200);
    }
    assert_eq!(passed, 10, "alone, it still limits");
    assert_eq!(faulty.fired.load(Ordering::Relaxed), 1);
    faulty.broken.lock().unwrap().clear();
    advance(Duration::from_secs(1)).await;
    assert_eq!(world.get(PATH).await.status.as_u16(), 200);
}

/// A world in which the app is at its quota of bytes.
async fn fills_up(world: &World) {
    let room = new_room(
        room_id("acW68", 1),
        &app("demo"),
        "full",
        Origin::Voipbin,
        Timestamp::from_millis(1_000),
    );
    put_room(&world.store, &room).await;
    // A stored value as large as the quota.
    let full = "x".repeat(usize::try_from(QUOTA).unwrap());
    let mut commit = Commit {
        node: node_id("acW68"),
        request: Uuid::new_v4(),
        lease: None,
        entities: Vec::new(),
        outbox: Vec::new(),
        views: Vec::new(),
    };
    commit.entities.push(EntityWrite {
        entity: EntityId::Room(room.id()),
        expected: Version(1),
        head: vec![("something".to_owned(), full)],
        parts: Vec::new(),
        deadline: None,
        life: Life::Live,
        listed: None,
    });
    let outcome = world.store.commit(&commit).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Applied);
    world.quota.refresh().await;
}

#[tokio::test]
async fn app_at_quota_can_only_free_space() {
    let world = World::new();
    fills_up(&world).await;
    let conference = json!({ "type": "conference" });
    for (path, body) in [
        ("/api/v1/conferences", json!({ "name": "standup" })),
        ("/v1.0/conferences", conference),
    ] {
        let refused = world.post(path, body).await;
        let error = refused.fails(429);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(error["detail"]["quota_bytes"], QUOTA);
        let used = error["detail"]["used_bytes"].as_u64().unwrap();
        assert!((QUOTA..QUOTA + 4_096).contains(&used), "{error}");
        assert!(error["detail"]["retry_after_ms"].as_u64().unwrap() > 0);
    }
    assert!(world.intents().is_empty());
    // Reads, other apps, and requests that end something are admitted.
    assert_eq!(world.get("/api/v1/conferences").await.status.as_u16(), 200);
    let other = request(
        OTHER,
        "POST",
        "/api/v1/conferences",
        Some(json!({ "name": "standup" })),
    );
    assert_ne!(world.send(other).await.status.as_u16(), 429);
    let call = session_id("acW68", 1);
    world.session(call, "demo", 1_000).await;
    let path = format!("/api/v1/sessions/{call}/commands/hangup");
    assert_ne!(world.post(&path, json!({})).await.status.as_u16(), 429);
    let path = format!("/api/v1/conferences/{}", room_id("acW68", 1));
    assert_eq!(world.delete(&path).await.status.as_u16(), 200);
}

#[tokio::test(start_paused = true)]
async fn body_above_quota_is_refused() {
    let world = World::with_settings(ApiSettings {
        body_limit: 4 << 20,
        ..settings()
    });
    let bytes = usize::try_from(QUOTA).unwrap() + 1;
    // The announced body is never sent.
    let announced = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let unannounced = Body::from(" ".repeat(bytes));
    for (body, length) in [(announced, Some(bytes)), (unannounced, None)] {
        let mut request = request(DEMO, "POST", "/v1.0/conferences", None);
        *request.body_mut() = body;
        if let Some(length) = length {
            let headers = request.headers_mut();
            headers.insert(CONTENT_LENGTH, length.into());
        }
        let error = world.send(request).await.fails(413);
        assert_eq!(error["detail"]["quota_bytes"], QUOTA, "{length:?}: {error}");
        assert_eq!(error["detail"]["request_bytes"], bytes as u64);
    }
    // Neither request counts.
    let answer = world
        .post("/v1.0/conferences", json!({ "type": "conference" }))
        .await;
    assert_ne!(answer.status.as_u16(), 429);
}

#[tokio::test]
async fn admitted_requests_count_between_reads() {
    let world = World::new();
    let detail = "x".repeat(4_000);
    let body = json!({ "type": "conference", "detail": detail });
    let mut admitted = 0_u64;
    let refused = loop {
        let answer = world.post("/v1.0/conferences", body.clone()).await;
        if answer.status.as_u16() == 429 {
            break answer;
        }
        admitted += 1;
        assert!(admitted < 1_000, "it is never refused");
    };
    refused.fails(429);
    // Counted once for the record and once for the outbox: the app has no endpoint.
    let each = 2 * u64::try_from(body.to_string().len()).unwrap();
    assert_eq!(admitted, QUOTA.div_ceil(each));
    // After a read, the stored bytes count, and those admitted meanwhile.
    world.quota.refresh().await;
    let answer = world.post("/v1.0/conferences", body).await;
    assert_ne!(answer.status.as_u16(), 429);
}
