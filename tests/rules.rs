//! The rules of rooms and calls, one by one: requests, FreeSWITCH's events, and the resulting notifications.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "rules/actions.rs"]
mod actions;
#[path = "rules/announcement.rs"]
mod announcement;
#[path = "rules/coaching.rs"]
mod coaching;
#[path = "rules/connect.rs"]
mod connect;
#[path = "rules/count.rs"]
mod count;
#[path = "rules/dial.rs"]
mod dial;
#[path = "rules/digits.rs"]
mod digits;
#[path = "rules/gather.rs"]
mod gather;
#[path = "rules/interrupted.rs"]
mod interrupted;
#[path = "rules/late.rs"]
mod late;
#[path = "rules/levels.rs"]
mod levels;
#[path = "rules/live.rs"]
mod live;
#[path = "rules/lock.rs"]
mod lock;
#[path = "rules/member_audio.rs"]
mod member_audio;
#[path = "rules/moves.rs"]
mod moves;
#[path = "rules/operator.rs"]
mod operator;
#[path = "rules/orphans.rs"]
mod orphans;
#[path = "rules/pin.rs"]
mod pin;
#[path = "rules/playback.rs"]
mod playback;
#[path = "rules/recording.rs"]
mod recording;
#[path = "rules/recovery.rs"]
mod recovery;
#[path = "rules/replicas.rs"]
mod replicas;
#[path = "rules/roles.rs"]
mod roles;
#[path = "rules/say.rs"]
mod say;
#[path = "rules/settings.rs"]
mod settings;
#[path = "rules/talk.rs"]
mod talk;
#[path = "rules/transfer.rs"]
mod transfer;
#[path = "rules/waiting.rs"]
mod waiting;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use roomkeeper::node::CommandError;
use roomkeeper::store::EntityId;
use roomkeeper::store::call::{decode_call_state, encode_call_state};
use roomkeeper::store::packed::push_uuid;
use roomkeeper::store::room::{decode_room, encode_room};
use roomkeeper::store::{Fields, Record, Version, keys};
use roomkeeper_core::call::{CallEvent, CallStatus, Direction, ParkId};
use roomkeeper_core::conference_meta;
use roomkeeper_core::entity::Target;
use roomkeeper_core::gather::GatherResult;
use roomkeeper_core::ids::{
    AppId, CallId, ChannelId, ConferenceId, CoreId, MemberId, NodeId, RoomId,
};
use roomkeeper_core::intent::{Accepted, Intent, Refusal};
use roomkeeper_core::intent::{
    CreateRoom, DeleteRoom, FlagAccepted, Join, JoinAccepted, Leave, LeaveAccepted, SetFlag,
};
use roomkeeper_core::node_state::{Context, IdSource, LiveNotification, NodeState, Rules, Subject};
use roomkeeper_core::room::{CoachChange, MemberFlag};
use roomkeeper_core::room::{
    Details, Kind, Origin, RecordingChange, Registration, ReportedLevels, RoomEvent,
};
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use roomkeeper_core::switch_event::{
    ChannelChange, ChannelDump, ConferenceChange, Identity, ListedChannel, MemberBlock, Snapshot,
    SnapshotMember, SnapshotRoom, SwitchEvent, SwitchEventKind,
};
use roomkeeper_core::time::Timestamp;
use uuid::Uuid;

struct CountingIds(u128);

impl IdSource for CountingIds {
    fn next_uuid(&mut self) -> Uuid {
        self.0 += 1;
        // Above the bits that hold the node in an id that carries its node.
        Uuid::from_u128((0xF000 + self.0) << 32)
    }
}

struct World {
    node_state: NodeState,
    ids: CountingIds,
    now: Timestamp,
    sequence: u64,
    commands: Vec<SwitchCommand>,
    /// The calls whose channels were prepared.
    prepared: Vec<CallId>,
    notifications: Vec<String>,
    live: Vec<LiveNotification>,
    wants_resync: bool,
}

fn demo() -> AppId {
    "demo".parse().unwrap()
}

fn node() -> NodeId {
    "acW68".parse().unwrap()
}

fn core() -> CoreId {
    CoreId::new(Uuid::from_u128(7))
}

fn room(n: u128) -> RoomId {
    RoomId::new(node(), Uuid::from_u128(n))
}

fn call(n: u128) -> CallId {
    CallId::new(node(), ChannelId::new(Uuid::from_u128(100 + n)))
}

fn gathered(result: &GatherResult) -> String {
    let url = result.failed_prompt.as_ref();
    let url = url.map(|url| format!(" {}", url.as_str()));
    format!(
        "gathered {} {}{}",
        result.digits.as_str(),
        result.reason.as_str(),
        url.unwrap_or_default()
    )
}

/// Returns a word and the number of a room; an empty text without a room.
fn numbered(word: &str, room: Option<RoomId>) -> String {
    let number = room.map(|room| format!("{word} {}", room.uuid().as_u128()));
    number.unwrap_or_default()
}

fn conference_id(n: u128) -> ConferenceId {
    ConferenceId::new(Uuid::from_u128(0xCF00 + n))
}

fn identity(app: Option<&str>) -> Identity {
    Identity {
        caller_id: "527121101".into(),
        did: Some("747713001".into()),
        direction: Direction::Inbound,
        app: app.map(|a| a.parse().unwrap()),
        created_at: Some(Timestamp::from_millis(900)),
        answered_at: Some(Timestamp::from_millis(950)),
    }
}

fn block(call: CallId, speak: bool) -> MemberBlock {
    MemberBlock {
        channel: call.channel(),
        speak,
        hear: true,
        hold: false,
        talking: false,
        identity: identity(None),
    }
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            node_state: NodeState::new(
                node(),
                Rules {
                    dids: HashMap::from([("747713009".to_owned(), "other".parse().unwrap())]),
                    apps: BTreeSet::from([demo(), "other".parse().unwrap()]),
                    ..Rules::default()
                },
            ),
            ids: CountingIds(0),
            now: Timestamp::from_millis(1_000),
            sequence: 10,
            commands: Vec::new(),
            prepared: Vec::new(),
            notifications: Vec::new(),
            live: Vec::new(),
            wants_resync: false,
        };
        world.with(|node_state, cx| node_state.core_changed(Some(core()), cx));
        world
    }

    /// A room of the gateway API and a parked call of the same app, both already reported.
    fn with_room_and_call() -> Self {
        let mut world = Self::new();
        world.create(1);
        world.parks(call(1), Some("demo"));
        world.notifications.clear();
        world
    }

    /// A room with the call in it, muted.
    fn joined() -> Self {
        let mut world = Self::with_room_and_call();
        world.join(call(1), room(1)).unwrap();
        world.enters(call(1), 1, 1, false);
        world.notifications.clear();
        world.commands.clear();
        world
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut NodeState, &mut Context<'_>) -> T) -> T {
        let mut cx = Context::new(self.now, &mut self.ids);
        let result = act(&mut self.node_state, &mut cx);
        let out = cx.out;
        for command in out.commands {
            if let SwitchCommand {
                target: Target::Call(call),
                action: SwitchAction::Prepare,
                ..
            } = command
            {
                self.prepared.push(call);
            } else {
                self.commands.push(command);
            }
        }
        self.live.extend(out.live);
        self.notifications
            .extend(out.notifications.into_iter().map(|n| match n.about {
                Subject::Room(_, notification) => {
                    let uid = notification
                        .command_uid
                        .map(|uid| format!(" [{uid}]"))
                        .unwrap_or_default();
                    let synthesized = if notification.synthesized {
                        " (synthesized)"
                    } else {
                        ""
                    };
                    let text = match notification.event {
                        RoomEvent::Created { name } => format!("created {name}"),
                        RoomEvent::Updated(update) => {
                            format!("updated {}", serde_json::to_string(&update).unwrap())
                        }
                        RoomEvent::Locked { locked } => format!("locked={locked}"),
                        RoomEvent::Started { .. } => "started".to_owned(),
                        RoomEvent::Destroyed { reason } => {
                            let reason = reason.map(|reason| format!(" {}", reason.as_str()));
                            format!("destroyed{}", reason.unwrap_or_default())
                        }
                        RoomEvent::Coach { change, .. } => match change {
                            CoachChange::Began => "coached".to_owned(),
                            CoachChange::Failed(why) => format!("coach_failed {}", why.as_str()),
                            CoachChange::Ended(why) => format!("uncoached {}", why.as_str()),
                        },
                        RoomEvent::Recording { call, change, .. } => {
                            let of = if call.is_some() { "member " } else { "" };
                            match change {
                                RecordingChange::Failed(reason) => {
                                    let reason = reason.map(|why| format!(" {}", why.as_str()));
                                    format!("{of}recording failed{}", reason.unwrap_or_default())
                                }
                                other => format!("{of}recording {other:?}").to_lowercase(),
                            }
                        }
                        RoomEvent::MemberJoined {
                            muted,
                            caller_id,
                            settings,
                            from,
                            ..
                        } => {
                            let settings = match settings.is_default() {
                                true => String::new(),
                                false => format!(" {}", serde_json::to_string(&settings).unwrap()),
                            };
                            let from = numbered(" from", from);
                            format!("joined {caller_id} muted={muted}{settings}{from}")
                        }
                        RoomEvent::MemberUpdated { update, .. } => {
                            format!("member updated {}", serde_json::to_string(&update).unwrap())
                        }
                        RoomEvent::MemberReconnected { .. } => "reconnected".to_owned(),
                        RoomEvent::MemberLeft { reason, to, .. } => {
                            format!("left {reason}{}", numbered(" to", to))
                        }
                        RoomEvent::MoveFailed { to, reason, .. } => {
                            let to = numbered(" to", Some(to));
                            format!("move_failed{to} {}", reason.as_str())
                        }
                        RoomEvent::JoinFailed { reason, .. } => {
                            format!("join_failed {}", reason.as_str())
                        }
                        RoomEvent::FlagChanged { flag, on, .. } => flag.names(on).state.to_owned(),
                        RoomEvent::Gathered { result, .. } => gathered(&result),
                        RoomEvent::Talking { talking, .. } => format!("talking {talking}"),
                        RoomEvent::TalkingMuted { .. } => "talks muted".to_owned(),
                        RoomEvent::Digit { pressed, .. } => format!("dtmf {}", pressed.digit),
                        RoomEvent::Play(event) => playback::words(&event),
                        RoomEvent::Dial(event) => dial::words(&event),
                        RoomEvent::HoldChanged { on, music, .. } => {
                            member_audio::hold_words(on, music.as_ref())
                        }
                        RoomEvent::MemberPlay { event, .. } => member_audio::words(&event),
                    };
                    format!("{text}{uid}{synthesized}")
                }
                Subject::Call(_, notification) => match notification.event {
                    CallEvent::New { did, .. } => format!("call.new {did}"),
                    CallEvent::Answered => "call.answered".to_owned(),
                    CallEvent::Digit(pressed) => format!("call.dtmf {}", pressed.digit),
                    CallEvent::Gathered(result) => {
                        let uid = result.command_uid.as_ref().unwrap();
                        format!("call.{} [{uid}]", gathered(&result))
                    }
                    CallEvent::Transfer(event) => {
                        let synthesized = if notification.synthesized {
                            " synthesized"
                        } else {
                            ""
                        };
                        format!("{}{synthesized}", transfer::words(&event))
                    }
                    CallEvent::Hangup { cause, duration } => {
                        format!("call.hangup {cause} {}ms", duration.as_millis())
                    }
                },
            }));
        self.wants_resync |= out.resync.is_some();
        result
    }

    fn emit(&mut self, kind: SwitchEventKind) {
        self.sequence += 1;
        let event = SwitchEvent {
            core: core(),
            sequence: self.sequence,
            at: self.now,
            kind,
        };
        self.with(|node_state, cx| node_state.apply_event(event, cx));
    }

    fn channel(&mut self, call: CallId, change: ChannelChange) {
        self.emit(SwitchEventKind::Channel {
            channel: call.channel(),
            change,
        });
    }

    fn conference(&mut self, n: u128, instance: u128, size: usize, change: ConferenceChange) {
        self.emit(SwitchEventKind::Conference {
            room: room(n),
            conference: conference_id(instance),
            size: Some(size),
            change,
        });
    }

    /// Parks the call by the last park command, if there was one.
    fn parks(&mut self, call: CallId, app: Option<&str>) {
        let by = self.node_state.call(call).and_then(|c| c.pending_park());
        self.is_parked(call, app, by);
    }

    fn is_parked(&mut self, call: CallId, app: Option<&str>, by: Option<ParkId>) {
        let identity = identity(app);
        self.channel(
            call,
            ChannelChange::Parked {
                identity,
                by,
                bridge: None,
            },
        );
    }

    fn enters(&mut self, call: CallId, n: u128, instance: u128, speak: bool) {
        self.conference(n, instance, 1, ConferenceChange::Added(block(call, speak)));
    }

    fn create(&mut self, n: u128) {
        self.create_as(n, Origin::Gateway, Kind::Conference, Details::default());
    }

    fn create_as(&mut self, n: u128, origin: Origin, kind: Kind, details: Details) {
        let intent = Intent::new(
            Target::Room(room(n)),
            demo(),
            CreateRoom {
                name: format!("room-{n}"),
                origin,
                kind,
                details: Box::new(details),
            },
        );
        self.submit(intent).unwrap();
    }

    fn leaves(&mut self, call: CallId, n: u128, instance: u128, size: usize) {
        let channel = call.channel();
        let gone = ConferenceChange::Removed {
            channel,
            hung_up: false,
            last: size == 0,
        };
        self.conference(n, instance, size, gone);
    }

    /// Returns the membership of a call.
    fn member(&self, call: CallId) -> MemberId {
        self.node_state.room(room(1)).unwrap().members()[&call].id
    }

    fn submit(&mut self, intent: Intent) -> Result<Accepted, Refusal> {
        self.with(|node_state, cx| node_state.intent(intent, cx))
    }

    fn join(&mut self, call: CallId, to: RoomId) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(Target::Member { room: to, call }, demo(), Join::default())
                .with_uid(Some("c-1".parse().unwrap())),
        )
    }

    fn mute(&mut self, mute: bool) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(
                Target::Call(call(1)),
                demo(),
                SetFlag {
                    flag: MemberFlag::Speak,
                    on: !mute,
                },
            )
            .with_uid(Some("c-2".parse().unwrap())),
        )
    }

    fn leave(&mut self) -> Result<Accepted, Refusal> {
        self.submit(
            Intent::new(Target::Call(call(1)), demo(), Leave)
                .with_uid(Some("c-3".parse().unwrap())),
        )
    }

    fn delete(&mut self) -> Result<Accepted, Refusal> {
        self.submit(Intent::new(Target::Room(room(1)), demo(), DeleteRoom))
    }

    fn waits(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        let entity = EntityId::Room(room(1));
        self.with(|node_state, cx| node_state.deadline(entity, cx));
    }

    fn call_status(&self) -> CallStatus {
        self.node_state.call(call(1)).unwrap().status().clone()
    }

    #[track_caller]
    fn expect_notifications(&mut self, expected: &[&str]) {
        assert_eq!(std::mem::take(&mut self.notifications), expected);
    }
}

#[test]
fn parked_call_is_reported_to_the_app_in_its_variable() {
    let mut world = World::new();
    world.channel(call(1), ChannelChange::Created(identity(None)));
    world.expect_notifications(&[]);
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&["call.new 747713001"]);
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&[]);
}

#[test]
fn call_without_variable_belongs_to_the_app_of_its_number() {
    let mut world = World::new();
    let mut dialled = identity(None);
    dialled.did = Some("747713009".into());
    let (identity, by) = (dialled, None);
    world.channel(
        call(1),
        ChannelChange::Parked {
            identity,
            by,
            bridge: None,
        },
    );
    world.expect_notifications(&["call.new 747713009"]);
    let app = world.node_state.call(call(1)).unwrap().app().clone();
    assert_eq!(app.as_str(), "other");
    world.parks(call(2), None);
    world.parks(call(3), Some("unknown-app"));
    world.expect_notifications(&[]);
}

#[test]
fn join_is_reported_once_freeswitch_confirms_it() {
    let mut world = World::with_room_and_call();
    assert!(matches!(
        world.join(call(1), room(1)),
        Ok(Accepted::Join(JoinAccepted::Joining { room: r, .. })) if r == room(1)
    ));
    let member = world.member(call(1));
    world.expect_notifications(&[]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Enter(entry),
            ..
        }] if entry.muted
    ));
    assert_eq!(world.call_status(), CallStatus::Joining(room(1)));
    assert_eq!(
        world.join(call(1), room(1)),
        Ok(Accepted::Join(JoinAccepted::Joining {
            room: room(1),
            member
        })),
        "the room is loaded again while the call joins"
    );
    assert_eq!(world.mute(true), Err(Refusal::StillJoining));
    assert_eq!(world.leave(), Err(Refusal::StillJoining));
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
    assert_eq!(
        world.join(call(1), room(1)),
        Ok(Accepted::Join(JoinAccepted::AlreadyJoined {
            room: room(1),
            member
        }))
    );
}

#[test]
fn join_without_confirmation_fails_at_its_deadline() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    world.waits(9);
    world.expect_notifications(&[]);
    world.waits(2);
    world.expect_notifications(&["join_failed timeout [c-1]"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert!(world.join(call(1), room(1)).is_ok());
}

#[test]
fn join_fails_when_freeswitch_parks_the_call_again() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    world.parks(call(1), Some("demo"));
    world.expect_notifications(&["join_failed refused [c-1]"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn join_fails_when_freeswitch_refuses_the_command() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    let command = world.commands.pop().unwrap();
    world.with(|node_state, cx| {
        node_state.revert_command(&command, &CommandError::NoSuchChannel, cx)
    });
    world.expect_notifications(&["join_failed refused [c-1]"]);
    assert!(
        world.wants_resync,
        "the call may have ended, so a snapshot is needed"
    );
}

#[test]
fn joining_call_that_is_still_parked_is_not_refused() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    let listed = ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        listens: false,
    };
    assert!(world.node_state.channels_to_dump(&[listed]).is_empty());
    world.sequence += 1;
    let dump = ChannelDump {
        transfers: false,
        bridge: None,
        is_leg: false,
        core: core(),
        sequence: world.sequence,
        channel: call(1).channel(),
        identity: identity(Some("demo")),
        parked: true,
        parked_by: None,
        listens_to: None,
    };
    world.with(|node_state, cx| node_state.apply_dump(dump, cx));
    world.expect_notifications(&[]);
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn core_change_in_a_batch_can_be_applied_again() {
    let mut world = World::joined();
    let before = world.node_state.run();
    let stored = world.node_state.room(room(1)).unwrap().clone();
    let next = CoreId::new(Uuid::from_u128(8));
    world.with(|node_state, cx| node_state.core_changed(Some(next), cx));
    world.notifications.clear();
    // Another replica had written: the stored state is loaded, and the batch is applied again.
    world.node_state.put_room(room(1), Some(stored));
    world.node_state.restore_run(before);
    world.with(|node_state, cx| node_state.core_changed(Some(next), cx));
    world.expect_notifications(&["left orphan (synthesized)"]);
}

#[test]
fn hang_up_of_a_joining_call_fails_the_join_first() {
    let mut world = World::with_room_and_call();
    world.join(call(1), room(1)).unwrap();
    world.channel(
        call(1),
        ChannelChange::HungUp {
            cause: "USER_BUSY".to_owned(),
        },
    );
    world.expect_notifications(&["join_failed hangup [c-1]", "call.hangup USER_BUSY 50ms"]);
    assert_eq!(world.leave(), Err(Refusal::CallNotFound));
}

#[test]
fn call_can_be_in_one_room_only() {
    let mut world = World::joined();
    world.create(2);
    assert_eq!(
        world.join(call(1), room(2)),
        Err(Refusal::InOtherRoom { room: room(1) })
    );
    let far = RoomId::new("zzzzz".parse().unwrap(), Uuid::from_u128(1));
    assert_eq!(world.join(call(1), far), Err(Refusal::RoomNotFound));
    let other = "other".parse().unwrap();
    world.node_state.set_foreign_room(far, Some(other));
    assert_eq!(world.join(call(1), far), Err(Refusal::ForeignRoom));
    world.node_state.set_foreign_room(far, Some(demo()));
    assert!(matches!(
        world.join(call(1), far),
        Err(Refusal::OtherNode { .. })
    ));
    assert_eq!(world.join(call(9), room(1)), Err(Refusal::CallNotFound));
    assert_eq!(world.join(call(1), room(9)), Err(Refusal::RoomNotFound));
}

#[test]
fn entities_of_another_app_are_refused() {
    let mut world = World::joined();
    let other: AppId = "other".parse().unwrap();
    let intent = Intent::new(Target::Call(call(1)), other.clone(), Leave);
    assert_eq!(world.submit(intent), Err(Refusal::ForeignCall));
    let intent = Intent::new(Target::Room(room(1)), other, DeleteRoom);
    assert_eq!(world.submit(intent), Err(Refusal::ForeignRoom));
}

#[test]
fn mute_and_unmute_are_reported_once_with_their_command() {
    let mut world = World::joined();
    assert_eq!(
        world.mute(true),
        Err(Refusal::FlagAlreadySet {
            flag: MemberFlag::Speak,
            on: false
        })
    );
    assert_eq!(
        world.mute(false),
        Ok(Accepted::SetFlag(FlagAccepted {
            room: room(1),
            flag: MemberFlag::Speak,
            on: true
        }))
    );
    world.expect_notifications(&[]);
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.expect_notifications(&["unmuted [c-2]"]);
    // FreeSWITCH repeats the event of a repeated command.
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.expect_notifications(&[]);
    assert_eq!(
        world.mute(false),
        Err(Refusal::FlagAlreadySet {
            flag: MemberFlag::Speak,
            on: true
        })
    );
    // FreeSWITCH's console muted the member: no command of ours caused it.
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), false)));
    world.expect_notifications(&["muted"]);
}

#[test]
fn mute_acts_while_unmute_is_unconfirmed() {
    let mut world = World::joined();
    world.mute(false).unwrap();
    world.commands.clear();
    // The member still has the flag, but FreeSWITCH is about to clear it.
    let muted = world.mute(true);
    let accepted = FlagAccepted {
        room: room(1),
        flag: MemberFlag::Speak,
        on: false,
    };
    assert_eq!(muted, Ok(Accepted::SetFlag(accepted)));
    assert_eq!(world.commands.len(), 1);
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.expect_notifications(&["unmuted"]);
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), false)));
    world.expect_notifications(&["muted [c-2]"]);
}

#[test]
fn deaf_member_is_reported_with_the_command_that_deafened_it() {
    let mut world = World::joined();
    let set_hear = |on| {
        let action = SetFlag {
            flag: MemberFlag::Hear,
            on,
        };
        let (room, call) = (room(1), call(1));
        Intent::new(Target::Member { room, call }, demo(), action)
            .with_uid(Some("c-9".parse().unwrap()))
    };
    assert!(world.submit(set_hear(true)).is_err());
    world.submit(set_hear(false)).unwrap();
    world.expect_notifications(&[]);
    let deaf = MemberBlock {
        hear: false,
        ..block(call(1), false)
    };
    world.conference(1, 1, 1, ConferenceChange::Flags(deaf.clone()));
    world.expect_notifications(&["deafened [c-9]"]);
    // FreeSWITCH's own command, not ours.
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), false)));
    world.expect_notifications(&["undeafened"]);
    // The dialplan can deafen a member before it joins.
    world.conference(
        1,
        1,
        1,
        ConferenceChange::Added(MemberBlock {
            channel: call(2).channel(),
            ..deaf
        }),
    );
    world.expect_notifications(&[
        "call.new 747713001",
        "joined 527121101 muted=true",
        "deafened",
    ]);
}

#[test]
fn flag_is_set_in_the_named_room() {
    let mut world = World::joined();
    world.create(2);
    let call = call(1);
    let unmute = |room| {
        let action = SetFlag {
            flag: MemberFlag::Speak,
            on: true,
        };
        Intent::new(Target::Member { room, call }, demo(), action)
    };
    world.commands.clear();
    assert_eq!(world.submit(unmute(room(2))), Err(Refusal::NotInRoom));
    assert!(world.commands.is_empty());
    let accepted = FlagAccepted {
        room: room(1),
        flag: MemberFlag::Speak,
        on: true,
    };
    assert_eq!(
        world.submit(unmute(room(1))),
        Ok(Accepted::SetFlag(accepted))
    );
}

#[test]
fn unconfirmed_mute_expires_and_claims_no_later_event() {
    let mut world = World::joined();
    world.mute(false).unwrap();
    world.waits(11);
    world.conference(1, 1, 1, ConferenceChange::Flags(block(call(1), true)));
    world.expect_notifications(&["unmuted"]);
}

#[test]
fn hold_is_not_mute() {
    let mut world = World::joined();
    let mut held = block(call(1), false);
    held.hold = true;
    world.conference(1, 1, 1, ConferenceChange::Flags(held));
    world.expect_notifications(&["held"]);
}

#[test]
fn leave_parks_the_call_and_is_reported_as_removed() {
    let mut world = World::joined();
    assert_eq!(
        world.leave(),
        Ok(Accepted::Leave(LeaveAccepted { room: room(1) }))
    );
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
    assert_eq!(world.call_status(), CallStatus::Leaving(Some(room(1))));
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::StillLeaving));
    assert_eq!(world.leave(), Err(Refusal::StillLeaving));
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed.clone());
    world.expect_notifications(&["left removed [c-3]"]);
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
    assert_eq!(world.leave(), Err(Refusal::NotInRoom));
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.parks(call(1), Some("demo"));
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.expect_notifications(&[]);
    // That conference instance is over; the next join begins another one.
    world.join(call(1), room(1)).unwrap();
    world.enters(call(1), 1, 2, false);
    world.expect_notifications(&["joined 527121101 muted=true [c-1]"]);
}

#[test]
fn unconfirmed_leave_is_reverted() {
    let mut world = World::joined();
    world.leave().unwrap();
    world.waits(11);
    world.expect_notifications(&[]);
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
    assert!(world.leave().is_ok());
}

#[test]
fn hang_up_is_reported_as_left_first_in_any_event_order() {
    let hung_up = || ChannelChange::HungUp {
        cause: "NORMAL_CLEARING".to_owned(),
    };
    let removed = || ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: true,
        last: false,
    };
    let expected = ["left hangup", "call.hangup NORMAL_CLEARING 50ms"];
    let mut world = World::joined();
    world.channel(call(1), hung_up());
    world.conference(1, 1, 0, removed());
    world.expect_notifications(&expected);
    let mut world = World::joined();
    world.conference(1, 1, 0, removed());
    world.channel(call(1), hung_up());
    world.expect_notifications(&expected);
}

#[test]
fn deleted_room_parks_its_members_and_ends_with_the_last() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.notifications.clear();
    world.commands.clear();
    assert!(matches!(world.delete(), Ok(Accepted::DeleteRoom(_))));
    assert_eq!(world.delete(), Err(Refusal::RoomNotFound));
    assert_eq!(world.join(call(1), room(1)), Err(Refusal::RoomNotFound));
    world.expect_notifications(&["join_failed room_destroyed [c-1]"]);
    assert_eq!(world.commands.len(), 2, "{:?}", world.commands);
    let removed = ConferenceChange::Removed {
        channel: call(1).channel(),
        hung_up: false,
        last: false,
    };
    world.conference(1, 1, 0, removed);
    world.expect_notifications(&["left room_destroyed", "destroyed"]);
}

#[test]
fn deletion_writes_only_the_room_until_its_members_leave() {
    let mut world = World::joined();
    world.node_state.take_touched();
    world.delete().unwrap();
    let touched = world.node_state.take_touched();
    assert_eq!(touched, BTreeSet::from([EntityId::Room(room(1))]));
    // The member leaves before the park command takes effect.
    world.leaves(call(1), 1, 1, 0);
    world.is_parked(call(1), None, None);
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn deleted_room_ends_after_ten_seconds_at_the_latest() {
    let mut world = World::joined();
    world.delete().unwrap();
    world.waits(9);
    world.expect_notifications(&[]);
    world.waits(1);
    world.expect_notifications(&["left room_destroyed (synthesized)", "destroyed"]);
}

#[test]
fn member_that_enters_an_ending_room_is_removed() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    world.delete().unwrap();
    world.notifications.clear();
    world.commands.clear();
    world.conference(1, 1, 2, ConferenceChange::Added(block(call(2), false)));
    world.expect_notifications(&["joined 527121101 muted=true"]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
}

/// Returns a world with a call on its way into a room that is deleted.
fn turned_away() -> World {
    let mut world = World::with_room_and_call();
    world.create(2);
    world.notifications.clear();
    world.join(call(1), room(1)).unwrap();
    world.commands.clear();
    world.delete().unwrap();
    world.expect_notifications(&["join_failed room_destroyed [c-1]", "destroyed"]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
    world
}

#[test]
fn turned_away_call_is_free_once_freeswitch_reports_its_park() {
    let mut world = turned_away();
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
    // The transfer that parks the call would end this join.
    assert_eq!(world.join(call(1), room(2)), Err(Refusal::StillLeaving));
    world.parks(call(1), None);
    assert_eq!(world.call_status(), CallStatus::Parked);
    assert!(world.join(call(1), room(2)).is_ok());
    world.expect_notifications(&[]);
}

#[test]
fn call_with_two_park_commands_is_free_after_the_second() {
    let mut world = turned_away();
    world.enters(call(1), 1, 1, false);
    let parkings = |commands: &[SwitchCommand]| -> Vec<ParkId> {
        let parking = |command: &SwitchCommand| {
            if let SwitchCommand {
                action: SwitchAction::Park { id: parking, .. },
                ..
            } = command
            {
                Some(*parking)
            } else {
                None
            }
        };
        commands.iter().filter_map(parking).collect()
    };
    let [first, second] = <[ParkId; 2]>::try_from(parkings(&world.commands)).unwrap();
    world.leaves(call(1), 1, 1, 0);
    for not_the_last in [None, Some(first)] {
        world.wants_resync = false;
        world.is_parked(call(1), None, not_the_last);
        assert_eq!(world.call_status(), CallStatus::Leaving(None));
        assert_eq!(world.join(call(1), room(2)), Err(Refusal::StillLeaving));
        assert!(world.wants_resync, "the last park event may be lost");
    }
    world.is_parked(call(1), None, Some(second));
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.join(call(1), room(2)).unwrap();
    world.expect_notifications(&[]);
    // A conference that refuses the call has it parked, with the park id that its channel had before.
    world.is_parked(call(1), None, Some(second));
    world.expect_notifications(&["join_failed refused [c-1]"]);
}

#[test]
fn call_without_park_event_is_checked_after_five_seconds() {
    let mut world = turned_away();
    let due = |world: &mut World, seconds| {
        world.wants_resync = false;
        world.now = world.now + Duration::from_secs(seconds);
        world.with(|node_state, cx| node_state.deadline(EntityId::Call(call(1)), cx));
        world.wants_resync
    };
    assert!(!due(&mut world, 4));
    assert!(due(&mut world, 1));
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
    assert!(!due(&mut world, 1), "once");
    world.is_parked(call(1), None, None);
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.expect_notifications(&[]);
}

#[test]
fn refused_leave_waits_for_no_park() {
    let mut world = World::joined();
    world.leave().unwrap();
    let command = world.commands.pop().unwrap();
    let refused = CommandError::Refused("no".to_owned());
    world.with(|b, cx| b.revert_command(&command, &refused, cx));
    assert_eq!(world.call_status(), CallStatus::InRoom(room(1)));
    // Another client parks it.
    world.is_parked(call(1), None, None);
    world.expect_notifications(&["left removed"]);
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn parked_call_that_enters_an_ended_room_is_parked_again() {
    let mut world = turned_away();
    world.parks(call(1), None);
    world.commands.clear();
    world.enters(call(1), 1, 1, false);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
    world.parks(call(1), None);
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.expect_notifications(&[]);
}

#[test]
fn call_that_a_snapshot_shows_in_an_ended_room_is_parked_again() {
    let mut world = turned_away();
    world.commands.clear();
    let fence = world.sequence + 1;
    world.merge_snapshot(fence, vec![late::shown(1, 1, &[call(1)])]);
    assert!(matches!(
        world.commands.as_slice(),
        [SwitchCommand {
            action: SwitchAction::Park { .. },
            ..
        }]
    ));
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
}

#[test]
fn turned_away_call_is_checked_when_its_park_fails() {
    let mut world = turned_away();
    let command = world.commands.pop().unwrap();
    world.wants_resync = false;
    let retry_after = Duration::from_secs(1);
    world.with(|b, cx| b.revert_command(&command, &CommandError::Down { retry_after }, cx));
    assert!(world.wants_resync);
    let listed = [ListedChannel {
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        listens: false,
    }];
    assert_eq!(
        world.node_state.channels_to_dump(&listed),
        [call(1).channel()]
    );
    world.sequence += 1;
    let dump = ChannelDump {
        transfers: false,
        bridge: None,
        is_leg: false,
        core: core(),
        sequence: world.sequence,
        channel: call(1).channel(),
        identity: identity(None),
        parked: true,
        parked_by: None,
        listens_to: None,
    };
    // The command may have been on its way at that time.
    world.wants_resync = false;
    world.with(|b, cx| b.apply_dump(dump.clone(), cx));
    assert_eq!(world.call_status(), CallStatus::Leaving(None));
    assert!(world.wants_resync, "the call must be checked again");
    world.now = world.now + Duration::from_secs(5);
    world.with(|b, cx| b.apply_dump(dump, cx));
    assert_eq!(world.call_status(), CallStatus::Parked);
    world.expect_notifications(&[]);
}

#[test]
fn empty_room_ends_at_once_when_deleted() {
    let mut world = World::with_room_and_call();
    world.delete().unwrap();
    world.expect_notifications(&["destroyed"]);
}

#[test]
fn call_from_the_dialplan_belongs_to_the_app_of_its_room() {
    let mut world = World::new();
    world.create(1);
    world.notifications.clear();
    world.enters(call(5), 1, 1, true);
    world.expect_notifications(&["call.new 747713001", "joined 527121101 muted=false"]);
    assert_eq!(*world.node_state.call(call(5)).unwrap().app(), demo());
}

#[test]
fn orphan_room_is_tracked_without_notifications() {
    let mut world = World::new();
    world.parks(call(1), Some("demo"));
    world.notifications.clear();
    world.enters(call(1), 8, 1, true);
    world.expect_notifications(&[]);
    assert!(
        world
            .node_state
            .room(room(8))
            .unwrap()
            .registration()
            .is_none()
    );
    world.conference(
        8,
        1,
        0,
        ConferenceChange::Removed {
            channel: call(1).channel(),
            hung_up: false,
            last: false,
        },
    );
    world.conference(8, 1, 0, ConferenceChange::Destroyed);
    assert!(
        world.node_state.room(room(8)).is_none(),
        "the orphan must be dropped"
    );
}

#[test]
fn members_of_an_adopted_room_are_reported() {
    let registration = Registration {
        app: demo(),
        name: "lost and found".to_owned(),
        origin: Origin::Gateway,
        created_at: Timestamp::from_millis(500),
        kind: Kind::Conference,
        details: Details::default(),
    };
    let mut world = World::new();
    world.enters(call(1), 8, 1, false);
    world.expect_notifications(&[]);
    let snapshot = Snapshot {
        core: core(),
        fence: world.sequence + 1,
        rooms: vec![SnapshotRoom {
            room: room(8),
            conference: conference_id(1),
            locked: false,
            meta: Some(conference_meta::encode(&registration)),
            members: Vec::new(),
            recordings: Vec::new(),
        }],
    };
    world.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &BTreeSet::new(), cx));
    world.expect_notifications(&[
        "call.new 747713001",
        "joined 527121101 muted=true (synthesized)",
    ]);
    world.conference(
        8,
        1,
        0,
        ConferenceChange::Removed {
            channel: call(1).channel(),
            hung_up: false,
            last: false,
        },
    );
}

#[test]
fn leaving_member_of_a_deleted_room_is_free_once_it_parks() {
    let mut world = World::joined();
    world.leave().unwrap();
    world.delete().unwrap();
    world.leaves(call(1), 1, 1, 0);
    let SwitchAction::Park { id } = world.commands.last().unwrap().action else {
        panic!("the last command parks the call");
    };
    world.is_parked(call(1), Some("demo"), Some(id));
    assert_eq!(world.call_status(), CallStatus::Parked);
}

#[test]
fn freeswitch_restart_ends_calls_and_memberships_but_no_rooms() {
    let mut world = World::joined();
    let next = CoreId::new(Uuid::from_u128(8));
    world.with(|node_state, cx| node_state.core_changed(Some(next), cx));
    world.expect_notifications(&[
        "left orphan (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
    ]);
    let room = world.node_state.room(room(1)).unwrap();
    assert!(room.is_open() && room.members().is_empty());
}

#[test]
fn returned_node_revives_its_calls_and_continues_their_sequence() {
    let mut world = World::joined();
    world.with(|node_state, cx| node_state.core_changed(None, cx));
    world.expect_notifications(&[
        "left orphan (synthesized)",
        "call.hangup NORMAL_TEMPORARY_FAILURE 50ms",
    ]);
    // An ended call is dropped, and found in the store when the same call returns.
    let over = world.node_state.call(call(1)).unwrap().clone();
    assert_eq!(over.sequence(), 2);
    let now = world.now;
    world.node_state.drop_over(EntityId::Call(call(1)), now);
    world.with(|node_state, cx| node_state.core_changed(Some(core()), cx));
    world.node_state.put_call(call(1), Some(over));
    world.enters(call(1), 1, 1, false);
    world.expect_notifications(&["call.new 747713001", "joined 527121101 muted=true"]);
    let call = world.node_state.call(call(1)).unwrap();
    assert_eq!(call.sequence(), 3);
    assert_eq!(*call.status(), CallStatus::InRoom(room(1)));
}

#[test]
fn late_end_of_an_instance_does_not_affect_the_next() {
    let mut world = World::joined();
    world.parks(call(2), Some("demo"));
    world.notifications.clear();
    // The next instance of the same name is reported before the end of the last one.
    world.conference(1, 2, 0, ConferenceChange::Created);
    world.conference(1, 2, 1, ConferenceChange::Added(block(call(2), false)));
    world.expect_notifications(&["joined 527121101 muted=true"]);
    world.conference(
        1,
        1,
        0,
        ConferenceChange::Removed {
            channel: call(1).channel(),
            hung_up: false,
            last: false,
        },
    );
    world.conference(1, 1, 0, ConferenceChange::Destroyed);
    world.expect_notifications(&["left removed"]);
    assert_eq!(world.node_state.room(room(1)).unwrap().present(), 1);
    assert_eq!(
        world
            .node_state
            .room(room(1))
            .unwrap()
            .conference()
            .unwrap()
            .id,
        conference_id(2)
    );
}

#[test]
fn conference_size_mismatch_requests_a_snapshot() {
    let mut world = World::joined();
    assert!(!world.wants_resync);
    world.conference(1, 1, 3, ConferenceChange::Other);
    assert!(world.wants_resync);
}

#[test]
fn late_entry_into_a_deleted_room_requests_no_snapshot() {
    let mut world = turned_away();
    world.conference(1, 1, 0, ConferenceChange::Created);
    world.enters(call(1), 1, 1, false);
    world.conference(1, 1, 1, ConferenceChange::Other);
    // A deleted room has no members, so there is nothing to compare the size with.
    assert!(!world.wants_resync);
}

#[test]
fn stored_room_and_call_are_restored_unchanged() {
    let mut world = World::joined();
    world.leave().unwrap();
    world.parks(call(2), Some("demo"));
    world.join(call(2), room(1)).unwrap();
    let node_room = world.node_state.room_mut(room(1)).unwrap();
    let mut changes = node_room.take_changes();
    changes.head = true;
    changes.members = node_room.members().keys().copied().collect();
    let (head, parts) = encode_room(node_room, &changes, true);
    let record = Record {
        version: Version(1),
        head: head.into_iter().collect(),
        parts: parts
            .into_iter()
            .map(|(name, value)| (name, value.unwrap()))
            .collect(),
    };
    let read = decode_room(room(1), &record).unwrap();
    read.check_invariants();
    assert_eq!(read.members(), node_room.members());
    assert_eq!(read.registration(), node_room.registration());
    assert_eq!(read.conference(), node_room.conference());
    assert_eq!(read.sequence(), node_room.sequence());
    assert_eq!(read.next_deadline(), node_room.next_deadline());

    for n in [1, 2] {
        let state = world.node_state.call_mut(call(n)).unwrap();
        state.take_changed();
        let record = Record {
            version: Version(1),
            head: encode_call_state(state).into_iter().collect(),
            parts: Fields::default(),
        };
        assert_eq!(decode_call_state(call(n), &record).unwrap(), *state);
    }
}

#[test]
fn foreign_record_is_an_error_that_names_it() {
    let record = Record {
        version: Version(1),
        head: Fields::from_iter([("run", "{\"status\":\"dancing\"}")]),
        parts: Fields::default(),
    };
    let error = decode_room(room(1), &record).unwrap_err().to_string();
    let key = keys::entity(EntityId::Room(room(1)));
    assert!(error.contains(&key), "{error}");
}

/// Each field can be decoded, but the combination is invalid for a room or a call.
#[test]
fn record_with_contradicting_fields_is_an_error() {
    let registration =
        r#"{"app":"demo","name":"","origin":"gateway","created":1,"kind":"conference"}"#;
    let digits = |uuid: Uuid| {
        let mut text = String::new();
        push_uuid(&mut text, uuid);
        text
    };
    let who = digits("aaaa0000-0000-8100-8000-00052040f50c".parse().unwrap());
    let who = format!("m{who}|f5|d7|t0");
    let channel = digits(call(1).channel().uuid());
    let read = |run: &str, play: &str, moves: &str| {
        let head = [("reg", registration), ("run", run), ("play", play)];
        let parts = [
            (channel.clone(), who.clone()),
            (format!("{channel}."), format!("{moves}|g2|n0")),
        ];
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: parts.into_iter().filter(|_| !moves.is_empty()).collect(),
        };
        decode_room(room(1), &record)
    };
    let (run, play) = (
        r#"{"status":"progressing","present":0,"seq":1}"#,
        r#"{"vol":0}"#,
    );
    assert!(read(run, play, "").is_ok());
    assert!(read(run, play, "p0|u8").is_ok());
    for (run, play, member) in [
        (run, play, "p1"),
        (run, play, "p0"),
        (run, play, "p9"),
        (r#"{"status":"terminated","present":0,"seq":1}"#, play, ""),
        (run, r#"{"vol":0,"paused":true}"#, ""),
    ] {
        let error = read(run, play, member).unwrap_err();
        assert!(!error.is_retryable(), "{run} {play} {member}: {error}");
    }

    let read = |call_more: &str, place: &str| {
        let core = digits(core().uuid());
        let head = [
            ("app", "demo".to_owned()),
            ("call", format!("f5|d7|i|t0{call_more}")),
            ("place", format!("c{core}|{place}|n0")),
        ];
        let record = Record {
            version: Version(1),
            head: head.into_iter().collect(),
            parts: Fields::default(),
        };
        decode_call_state(call(1), &record)
    };
    assert!(read("|s0", "p1").is_ok());
    for (call_more, place) in [
        ("|s", "p1"),
        ("|s0", "p2"),
        ("|s0|w4", "p0"),
        ("|s0", "p4|Rzzzzz-room-00000000-0000-0000-0000-000000000001"),
        ("|s0", "p4"),
    ] {
        assert!(read(call_more, place).is_err(), "{call_more} {place}");
    }
}
