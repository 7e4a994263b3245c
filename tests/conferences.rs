//! Invariants of rooms under any requests through either API, any events, refusals and silence of FreeSWITCH, and any
//! takeover: a room never returns to an earlier state, it is not recorded after its end, and no member stays joining or
//! leaving after its deadline.
//!
//! The inputs are arbitrary: they may contradict each other, come late or name unknown entities. The stored state after
//! each input is the one that another replica starts with.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use roomkeeper::node::CommandError;
use roomkeeper::store::call::{decode_call_state, encode_call_state};
use roomkeeper::store::room::{decode_room, encode_room};
use roomkeeper::store::{EntityId, Fields, Record, Version};
use roomkeeper_core::action;
use roomkeeper_core::call::{CallStatus, Direction, ParkId};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{
    AppId, CallId, ChannelId, ConferenceId, CoreId, MemberId, NodeId, RecordingId, RoomId,
};
use roomkeeper_core::intent::Intent;
use roomkeeper_core::intent::{
    CreateRoom, DeleteRoom, Hangup, Join, Kick, Leave, SetFlag, StartRecording, StopRecording,
    UpdateRoom,
};
use roomkeeper_core::node_state::{Context, IdSource, NodeState, Rules, Subject};
use roomkeeper_core::room::MemberFlag;
use roomkeeper_core::room::state::Changes;
use roomkeeper_core::room::{
    Details, Kind, MemberStatus, MembershipStatus, Origin, RecordAction, RecordingState,
    ReportedLevels, RoomEvent, RoomState, RoomStatus, Update,
};
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use roomkeeper_core::switch_event::{
    ChannelChange, ChannelDump, ConferenceChange, Identity, MemberBlock, Snapshot, SnapshotMember,
    SnapshotRoom, SwitchEvent, SwitchEventKind,
};
use roomkeeper_core::time::Timestamp;
use serde_json::json;
use uuid::Uuid;

const ROOMS: usize = 3;
const CALLS: usize = 4;

struct CountingIds(u128);

impl IdSource for CountingIds {
    fn next_uuid(&mut self) -> Uuid {
        self.0 += 1;
        // Above the bits that hold the node in an id that carries its node.
        Uuid::from_u128((0xAAAA_0000 + self.0) << 32)
    }
}

fn node() -> NodeId {
    "acW68".parse().unwrap()
}

fn app() -> AppId {
    "demo".parse().unwrap()
}

fn room(n: usize) -> RoomId {
    RoomId::new(node(), Uuid::from_u128(1 + n as u128))
}

fn call(n: usize) -> CallId {
    CallId::new(node(), ChannelId::new(Uuid::from_u128(0xCA11 + n as u128)))
}

fn identity() -> Identity {
    Identity {
        caller_id: "527121101".into(),
        did: Some("747713001".into()),
        direction: Direction::Inbound,
        app: Some(app()),
        created_at: Some(Timestamp::from_millis(1)),
        answered_at: Some(Timestamp::from_millis(2)),
    }
}

fn block(call: CallId, speak: bool) -> MemberBlock {
    MemberBlock {
        channel: call.channel(),
        speak,
        hear: true,
        hold: false,
        talking: false,
        identity: identity(),
    }
}

// ---- inputs ------------------------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Input {
    Intent(RequestedIntent),
    /// FreeSWITCH reports this, in an event that arrives so many positions late.
    Report(Report, u64),
    /// FreeSWITCH carries out a command and reports it.
    CommandSucceeds(usize),
    /// FreeSWITCH does not carry out a command.
    CommandFails(usize, Failure),
    /// Two snapshots of the node show this.
    Snapshots(Vec<ShownRoom>),
    /// One channel gets a dump.
    Dump {
        call: usize,
        parked: bool,
    },
    /// One channel does not exist.
    ChannelMissing {
        call: usize,
    },
    Restart,
    /// The node is given up.
    Lost,
    /// Seconds pass.
    Wait(u64),
    /// Another replica continues with the stored state.
    TakenOver,
}

#[derive(Clone, Debug)]
enum RequestedIntent {
    Create {
        room: usize,
        origin: Origin,
        kind: Kind,
        timeout: u32,
        has_actions: bool,
    },
    Update {
        room: usize,
        timeout: u32,
    },
    Delete {
        room: usize,
    },
    Join {
        call: usize,
        room: usize,
    },
    Leave {
        call: usize,
    },
    Kick {
        call: usize,
        room: usize,
    },
    Mute {
        call: usize,
        mute: bool,
    },
    RecordStart {
        room: usize,
    },
    RecordStop {
        room: usize,
    },
    Hangup {
        call: usize,
    },
}

#[derive(Clone, Debug)]
enum Report {
    Created {
        room: usize,
    },
    Destroyed {
        room: usize,
    },
    Added {
        call: usize,
        room: usize,
    },
    Removed {
        call: usize,
        room: usize,
        hung_up: bool,
        last: bool,
    },
    Moving {
        call: usize,
        room: usize,
    },
    Flags {
        call: usize,
        room: usize,
        speak: bool,
    },
    RecordingStarted {
        room: usize,
        failed: bool,
    },
    RecordingStopped {
        room: usize,
        length: Option<u64>,
    },
    Parked {
        call: usize,
    },
    HungUp {
        call: usize,
    },
    Gone {
        call: usize,
    },
}

#[derive(Clone, Copy, Debug)]
enum Failure {
    Refused,
    NoSuchChannel,
    Down,
    Unknown,
}

#[derive(Clone, Debug)]
struct ShownRoom {
    room: usize,
    calls: BTreeSet<usize>,
    recorded: bool,
}

fn timeout() -> impl Strategy<Value = u32> {
    prop_oneof![3 => Just(0), 1 => 1_u32..200]
}

fn create() -> impl Strategy<Value = RequestedIntent> {
    let origin = prop_oneof![Just(Origin::Gateway), Just(Origin::Voipbin)];
    let kind = prop_oneof![2 => Just(Kind::Conference), 1 => Just(Kind::Connect)];
    (0..ROOMS, origin, kind, timeout(), any::<bool>()).prop_map(
        |(room, origin, kind, timeout, has_actions)| RequestedIntent::Create {
            room,
            origin,
            kind,
            timeout,
            has_actions,
        },
    )
}

fn intents() -> impl Strategy<Value = RequestedIntent> {
    let (room, call) = (0..ROOMS, 0..CALLS);
    let both = (call.clone(), room.clone());
    prop_oneof![
        3 => create(),
        1 => (room.clone(), timeout()).prop_map(|(room, timeout)| RequestedIntent::Update { room, timeout }),
        1 => room.clone().prop_map(|room| RequestedIntent::Delete { room }),
        8 => both.clone().prop_map(|(call, room)| RequestedIntent::Join { call, room }),
        2 => call.clone().prop_map(|call| RequestedIntent::Leave { call }),
        2 => both.prop_map(|(call, room)| RequestedIntent::Kick { call, room }),
        1 => (call.clone(), any::<bool>()).prop_map(|(call, mute)| RequestedIntent::Mute { call, mute }),
        6 => room.clone().prop_map(|room| RequestedIntent::RecordStart { room }),
        2 => room.prop_map(|room| RequestedIntent::RecordStop { room }),
        1 => call.prop_map(|call| RequestedIntent::Hangup { call }),
    ]
}

fn reports() -> impl Strategy<Value = Report> {
    let (room, call) = (0..ROOMS, 0..CALLS);
    let both = (call.clone(), room.clone());
    let length = proptest::option::of(0_u64..10_000);
    prop_oneof![
        1 => room.clone().prop_map(|room| Report::Created { room }),
        1 => room.clone().prop_map(|room| Report::Destroyed { room }),
        3 => both.clone().prop_map(|(call, room)| Report::Added { call, room }),
        2 => (both.clone(), any::<bool>(), any::<bool>())
            .prop_map(|((call, room), hung_up, last)| Report::Removed { call, room, hung_up, last }),
        1 => both.clone().prop_map(|(call, room)| Report::Moving { call, room }),
        1 => (both, any::<bool>())
            .prop_map(|((call, room), speak)| Report::Flags { call, room, speak }),
        2 => (room.clone(), any::<bool>())
            .prop_map(|(room, failed)| Report::RecordingStarted { room, failed }),
        2 => (room, length).prop_map(|(room, length)| Report::RecordingStopped { room, length }),
        5 => call.clone().prop_map(|call| Report::Parked { call }),
        1 => call.clone().prop_map(|call| Report::HungUp { call }),
        1 => call.prop_map(|call| Report::Gone { call }),
    ]
}

fn shown() -> impl Strategy<Value = ShownRoom> {
    let calls = proptest::collection::btree_set(0..CALLS, 0..CALLS);
    (0..ROOMS, calls, any::<bool>()).prop_map(|(room, calls, recorded)| ShownRoom {
        room,
        calls,
        recorded,
    })
}

fn inputs() -> impl Strategy<Value = Input> {
    let refuses = prop_oneof![
        Just(Failure::Refused),
        Just(Failure::NoSuchChannel),
        Just(Failure::Down),
        Just(Failure::Unknown),
    ];
    let late = prop_oneof![6 => Just(0_u64), 1 => 1_u64..30];
    let wait = prop_oneof![6 => 0_u64..4, 2 => 4_u64..12, 1 => 12_u64..1_000];
    prop_oneof![
        60 => intents().prop_map(Input::Intent),
        30 => (reports(), late).prop_map(|(report, late)| Input::Report(report, late)),
        60 => (0_usize..4).prop_map(Input::CommandSucceeds),
        8 => (0_usize..4, refuses).prop_map(|(order, why)| Input::CommandFails(order, why)),
        4 => proptest::collection::vec(shown(), 0..ROOMS).prop_map(Input::Snapshots),
        3 => (0..CALLS, any::<bool>()).prop_map(|(call, parked)| Input::Dump { call, parked }),
        1 => (0..CALLS).prop_map(|call| Input::ChannelMissing { call }),
        1 => Just(Input::Restart),
        1 => Just(Input::Lost),
        10 => wait.prop_map(Input::Wait),
        4 => Just(Input::TakenOver),
    ]
}

// ---- the model
// ---------------------------------------------------------------------------------------------------------

/// Returns the position of a status in the lifecycle of a room.
const fn rank(status: RoomStatus) -> u8 {
    match status {
        RoomStatus::Starting => 0,
        RoomStatus::Progressing => 1,
        RoomStatus::Terminating { .. } => 2,
        RoomStatus::Terminated => 3,
    }
}

/// The last observed state of a room.
#[derive(Default)]
struct Seen {
    rank: u8,
    recordings: Vec<RecordingId>,
    /// The number of its webhooks.
    sequence: u64,
    destroyed: bool,
}

struct World {
    node_state: NodeState,
    ids: CountingIds,
    now: Timestamp,
    core: u128,
    /// True if the node answers.
    there: bool,
    sequence: u64,
    lives: [u128; ROOMS],
    /// Events that have not arrived yet, with the sequence at which they do.
    delayed: Vec<(u64, SwitchEvent)>,
    /// Commands that FreeSWITCH has not answered, the latest last.
    orders: Vec<SwitchCommand>,
    rooms: BTreeMap<RoomId, Record>,
    calls: BTreeMap<CallId, Record>,
    seen: BTreeMap<RoomId, Seen>,
    /// The last views of memberships and recordings.
    memberships: BTreeMap<MemberId, MembershipStatus>,
    recordings: BTreeMap<RecordingId, RecordingState>,
}

fn rules() -> Rules {
    Rules {
        apps: BTreeSet::from([app()]),
        ..Rules::default()
    }
}

impl World {
    fn new() -> Self {
        Self {
            node_state: NodeState::new(node(), rules()),
            ids: CountingIds(0),
            now: Timestamp::from_millis(1_000_000),
            core: 1,
            there: false,
            sequence: 100,
            lives: [1; ROOMS],
            delayed: Vec::new(),
            orders: Vec::new(),
            rooms: BTreeMap::new(),
            calls: BTreeMap::new(),
            seen: BTreeMap::new(),
            memberships: BTreeMap::new(),
            recordings: BTreeMap::new(),
        }
    }

    fn core_id(&self) -> CoreId {
        CoreId::new(Uuid::from_u128(0xC0DE_0000 + self.core))
    }

    fn life(&self, n: usize) -> ConferenceId {
        let life = self.lives[n] + 1_000 * self.core;
        ConferenceId::new(Uuid::from_u128(0xCF00_0000 + 100_000 * n as u128 + life))
    }

    /// Applies one input and commits its changes.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut NodeState, &mut Context<'_>) -> T,
    ) -> Result<T, TestCaseError> {
        self.now = self.now + Duration::from_millis(1);
        self.node_state.set_reachable(self.there);
        let mut cx = Context::new(self.now, &mut self.ids);
        let result = act(&mut self.node_state, &mut cx);
        let out = cx.out;
        self.orders.extend(out.commands);
        for notice in out.notifications {
            if let Subject::Room(room, notification) = notice.about {
                let seen = self.seen.entry(room).or_default();
                prop_assert_eq!(
                    notification.sequence,
                    seen.sequence + 1,
                    "{:?}",
                    notification.event
                );
                prop_assert!(
                    !seen.destroyed,
                    "notification after the end: {:?}",
                    notification.event
                );
                seen.sequence = notification.sequence;
                seen.destroyed = matches!(notification.event, RoomEvent::Destroyed { .. });
            }
        }
        for entity in self.node_state.take_touched() {
            match entity {
                EntityId::Room(id) => self.commit_room(id)?,
                EntityId::Call(id) => {
                    if let Some(call) = self.node_state.call_mut(id) {
                        call.take_changed();
                        let head = encode_call_state(call);
                        self.calls.insert(id, record(head, BTreeMap::new()));
                    }
                }
            }
            self.node_state.drop_over(entity, self.now);
        }
        Ok(result)
    }

    fn commit_room(&mut self, id: RoomId) -> Result<(), TestCaseError> {
        let Some(state) = self.node_state.room_mut(id) else {
            return Ok(());
        };
        if state.registration().is_none() {
            return Ok(());
        }
        let changes = state.take_changes();
        let stored = self.rooms.get(&id);
        let (head, parts) = encode_room(state, &changes, stored.is_none());
        let stored = stored.cloned().unwrap_or_default();
        let mut heads: BTreeMap<String, String> = owned(&stored.head);
        heads.extend(head);
        let mut all: BTreeMap<String, String> = owned(&stored.parts);
        for (name, value) in parts {
            match value {
                Some(value) => all.insert(name, value),
                None => all.remove(&name),
            };
        }
        let state = state.clone();
        let written = record(heads, all);
        let read = decode_room(id, &written).unwrap();
        prop_assert_eq!(rank(read.status()), rank(state.status()));
        let stays = |state: &RoomState| -> Vec<_> {
            let members = state.members().values();
            members.map(|m| (m.id, m.status.clone())).collect()
        };
        prop_assert_eq!(stays(&read), stays(&state));
        prop_assert_eq!(read.next_deadline(), state.next_deadline());
        self.rooms.insert(id, written);
        self.only_forward(&state)?;
        self.shows_only_forward(&changes)
    }

    fn only_forward(&mut self, state: &RoomState) -> Result<(), TestCaseError> {
        let seen = self.seen.entry(state.id()).or_default();
        let now = rank(state.status());
        prop_assert!(seen.rank <= now, "status went back to {:?}", state.status());
        seen.rank = now;
        let over = state.status() == RoomStatus::Terminated;
        prop_assert_eq!(over, state.ended_at().is_some());
        prop_assert_eq!(
            over,
            seen.destroyed,
            "the end must be reported exactly when the room is over"
        );
        if over {
            prop_assert!(
                state.recording().is_none(),
                "recording after the end of the room"
            );
            prop_assert!(
                state.members().is_empty(),
                "members after the end of the room"
            );
        }
        if let Some(recording) = state.recording() {
            prop_assert_eq!(state.recordings().last(), Some(&recording.id));
        }
        prop_assert!(
            state.recordings().starts_with(&seen.recordings),
            "a recording is missing"
        );
        seen.recordings = state.recordings().to_vec();
        Ok(())
    }

    /// Checks that the view of a membership only moves forward, except for a leave that is reverted, and that an end is
    /// final.
    fn shows_only_forward(&mut self, changes: &Changes) -> Result<(), TestCaseError> {
        for (id, change) in &changes.calls {
            let before = self.memberships.insert(*id, change.status);
            let forward = match (before, change.status) {
                (None, _)
                | (Some(MembershipStatus::Joining), _)
                | (
                    Some(MembershipStatus::Joined | MembershipStatus::Leaving),
                    MembershipStatus::Joined | MembershipStatus::Leaving | MembershipStatus::Left,
                )
                | (Some(MembershipStatus::Left), MembershipStatus::Left) => true,
                (Some(_), _) => false,
            };
            prop_assert!(
                forward,
                "membership {id}: {before:?}, then {:?}",
                change.status
            );
        }
        for (id, view) in &changes.recordings {
            let before = self.recordings.insert(*id, view.state);
            let forward = match before {
                None | Some(RecordingState::Starting) => true,
                Some(RecordingState::Recording) => view.state != RecordingState::Starting,
                Some(over) => over == view.state,
            };
            prop_assert!(forward, "recording {id}: {before:?}, then {:?}", view.state);
        }
        Ok(())
    }

    /// Loads a named room that is not in memory from the store, as the actor does.
    fn load(&mut self, id: RoomId) {
        let known = self
            .node_state
            .room(id)
            .is_some_and(|r| r.registration().is_some());
        if let Some(record) = self.rooms.get(&id)
            && !known
        {
            let state = decode_room(id, record).unwrap();
            self.node_state.put_room(id, Some(state));
        }
    }

    /// Emits an event that arrives after `late` others.
    fn emit(&mut self, late: u64, what: SwitchEventKind) -> Result<(), TestCaseError> {
        self.sequence += 1;
        let event = SwitchEvent {
            core: self.core_id(),
            sequence: self.sequence,
            at: self.now,
            kind: what,
        };
        self.delayed.push((self.sequence + late, event));
        let now = self.sequence;
        let arrived = self.delayed.extract_if(.., |(at, _)| *at <= now);
        for (_, event) in arrived.collect::<Vec<_>>() {
            if let SwitchEventKind::Conference { room, .. } = &event.kind {
                self.load(*room);
            }
            self.with(|node_state, cx| node_state.apply_event(event, cx))?;
        }
        Ok(())
    }

    fn conference(
        &mut self,
        late: u64,
        n: usize,
        change: ConferenceChange,
    ) -> Result<(), TestCaseError> {
        let what = SwitchEventKind::Conference {
            room: room(n),
            conference: self.life(n),
            size: None,
            change,
        };
        self.emit(late, what)
    }

    fn channel(
        &mut self,
        late: u64,
        call: CallId,
        change: ChannelChange,
    ) -> Result<(), TestCaseError> {
        let channel = call.channel();
        self.emit(late, SwitchEventKind::Channel { channel, change })
    }

    fn apply_input(&mut self, input: Input) -> Result<(), TestCaseError> {
        match input {
            Input::Intent(asks) => self.asks(&asks),
            Input::Report(report, late) => self.report(&report, late),
            Input::CommandSucceeds(n) => match self.take_order(n) {
                Some(order) => self.obeys(order),
                None => Ok(()),
            },
            Input::CommandFails(n, why) => {
                let error = match why {
                    Failure::Refused => CommandError::Refused("-ERR".to_owned()),
                    Failure::NoSuchChannel => CommandError::NoSuchChannel,
                    Failure::Down => CommandError::Down {
                        retry_after: Duration::from_secs(1),
                    },
                    // Then the outcome is unknown, and no input follows.
                    Failure::Unknown => {
                        self.take_order(n);
                        return Ok(());
                    }
                };
                match self.take_order(n) {
                    Some(order) => {
                        self.with(|node_state, cx| node_state.revert_command(&order, &error, cx))
                    }
                    None => Ok(()),
                }
            }
            Input::Snapshots(shown) => self.merge_snapshots(&shown),
            Input::Dump { call: n, parked } => {
                self.sequence += 1;
                let dump = ChannelDump {
                    transfers: false,
                    bridge: None,
                    is_leg: false,
                    core: self.core_id(),
                    sequence: self.sequence,
                    channel: call(n).channel(),
                    identity: identity(),
                    parked,
                    parked_by: None,
                    listens_to: None,
                };
                self.with(|node_state, cx| node_state.apply_dump(dump, cx))
            }
            Input::ChannelMissing { call: n } => {
                self.sequence += 1;
                let (channel, fence) = (call(n).channel(), self.sequence);
                self.with(|node_state, cx| node_state.end_vanished_call(channel, fence, cx))
            }
            Input::Restart => {
                self.core += 1;
                self.there = true;
                let core = self.core_id();
                self.with(|node_state, cx| node_state.core_changed(Some(core), cx))
            }
            Input::Lost => {
                self.there = false;
                self.with(|node_state, cx| node_state.core_changed(None, cx))
            }
            Input::Wait(seconds) => {
                self.now = self.now + Duration::from_secs(seconds);
                self.runs_deadlines()
            }
            Input::TakenOver => {
                self.node_state = NodeState::new(node(), rules());
                for (id, record) in &self.rooms {
                    let state = decode_room(*id, record).unwrap();
                    if state.status() != RoomStatus::Terminated {
                        self.node_state.put_room(*id, Some(state));
                    }
                }
                for (id, record) in &self.calls {
                    let state = decode_call_state(*id, record).unwrap();
                    if !state.is_over() {
                        self.node_state.put_call(*id, Some(state));
                    }
                }
                let core = self.there.then(|| self.core_id());
                match core {
                    Some(core) => {
                        self.with(|node_state, cx| node_state.core_changed(Some(core), cx))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn take_order(&mut self, n: usize) -> Option<SwitchCommand> {
        // The latest commands come first: a command that waits for long was not received.
        let at = self.orders.len().checked_sub(1 + n)?;
        Some(self.orders.remove(at))
    }

    fn asks(&mut self, asks: &RequestedIntent) -> Result<(), TestCaseError> {
        let app = app();
        let intent = match *asks {
            RequestedIntent::Create {
                room: n,
                origin,
                kind,
                timeout,
                has_actions,
            } => {
                // An id is used once.
                if self.rooms.contains_key(&room(n)) {
                    return Ok(());
                }
                let list = vec![json!({"type": "beep"}), json!({"type": "beep"})];
                let actions = if has_actions {
                    action::parse_list(list).unwrap()
                } else {
                    Vec::new()
                };
                let details = Details {
                    timeout,
                    pre_actions: actions.clone(),
                    post_actions: actions,
                    ..Details::default()
                };
                Intent::new(
                    Target::Room(room(n)),
                    app,
                    CreateRoom {
                        name: format!("room-{n}"),
                        origin,
                        kind,
                        details: Box::new(details),
                    },
                )
            }
            RequestedIntent::Update { room: n, timeout } => {
                let update = Box::new(Update {
                    timeout: Some(timeout),
                    ..Update::default()
                });
                Intent::new(
                    Target::Room(room(n)),
                    app,
                    UpdateRoom {
                        update,
                        labels: Default::default(),
                    },
                )
            }
            RequestedIntent::Delete { room: n } => {
                Intent::new(Target::Room(room(n)), app, DeleteRoom)
            }
            RequestedIntent::Join { call: c, room: n } => Intent::new(
                Target::Member {
                    room: room(n),
                    call: call(c),
                },
                app,
                Join::default(),
            ),
            RequestedIntent::Leave { call: c } => Intent::new(Target::Call(call(c)), app, Leave),
            RequestedIntent::Kick { call: c, room: n } => {
                let state = self.node_state.room(room(n));
                let stay = state.and_then(|r| r.members().get(&call(c)));
                let random = Uuid::from_u128(1 << 40);
                Intent::new(
                    Target::Member {
                        room: room(n),
                        call: call(c),
                    },
                    app,
                    Kick {
                        member: Some(
                            stay.map_or_else(|| MemberId::generate(node(), random), |m| m.id),
                        ),
                    },
                )
            }
            RequestedIntent::Mute { call: c, mute } => Intent::new(
                Target::Call(call(c)),
                app,
                SetFlag {
                    flag: MemberFlag::Speak,
                    on: !mute,
                },
            ),
            RequestedIntent::RecordStart { room: n } => {
                Intent::new(Target::Room(room(n)), app, StartRecording::default())
            }
            RequestedIntent::RecordStop { room: n } => {
                Intent::new(Target::Room(room(n)), app, StopRecording)
            }
            RequestedIntent::Hangup { call: c } => {
                Intent::new(Target::Call(call(c)), app, Hangup { cause: None })
            }
        };
        for n in 0..ROOMS {
            self.load(room(n));
        }
        // A refusal is as good as any other answer.
        self.with(|node_state, cx| drop(node_state.intent(intent, cx)))
    }

    /// Returns the recording that an event about the room would name.
    fn recording(&self, n: usize) -> RecordingId {
        let state = self.node_state.room(room(n));
        let last = state.and_then(|r| r.recordings().last().copied());
        last.unwrap_or_else(|| RecordingId::generate(node(), Uuid::from_u128(1 << 41)))
    }

    fn report(&mut self, report: &Report, late: u64) -> Result<(), TestCaseError> {
        let (n, change) = match *report {
            Report::Created { room } => (room, ConferenceChange::Created),
            Report::Destroyed { room } => {
                self.conference(late, room, ConferenceChange::Destroyed)?;
                self.lives[room] += 1;
                return Ok(());
            }
            Report::Added { call: c, room } => {
                (room, ConferenceChange::Added(block(call(c), true)))
            }
            Report::Removed {
                call: c,
                room,
                hung_up,
                last,
            } => {
                let removed = ConferenceChange::Removed {
                    channel: call(c).channel(),
                    hung_up,
                    last,
                };
                (room, removed)
            }
            Report::Moving { call: c, room } => (room, ConferenceChange::Moving(call(c).channel())),
            Report::Flags {
                call: c,
                room,
                speak,
            } => (room, ConferenceChange::Flags(block(call(c), speak))),
            Report::RecordingStarted { room, failed } => {
                let recording = self.recording(room);
                (
                    room,
                    ConferenceChange::RecordingStarted { recording, failed },
                )
            }
            Report::RecordingStopped { room, length } => {
                let recording = self.recording(room);
                let length = length.map(Duration::from_millis);
                (
                    room,
                    ConferenceChange::RecordingStopped { recording, length },
                )
            }
            Report::Parked { call: c } => {
                let identity = identity();
                let by = None;
                return self.channel(
                    late,
                    call(c),
                    ChannelChange::Parked {
                        identity,
                        by,
                        bridge: None,
                    },
                );
            }
            Report::HungUp { call: c } => {
                let cause = "NORMAL_CLEARING".to_owned();
                return self.channel(late, call(c), ChannelChange::HungUp { cause });
            }
            Report::Gone { call: c } => {
                let cause = None;
                return self.channel(late, call(c), ChannelChange::Destroyed { cause });
            }
        };
        self.conference(late, n, change)
    }

    fn parks(&mut self, call: CallId, order: ParkId) -> Result<(), TestCaseError> {
        let (identity, by) = (identity(), Some(order));
        self.channel(
            0,
            call,
            ChannelChange::Parked {
                identity,
                by,
                bridge: None,
            },
        )
    }

    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "the model leaves the other commands without effect"
    )]
    fn obeys(&mut self, command: SwitchCommand) -> Result<(), TestCaseError> {
        let number = |id: RoomId| (0..ROOMS).find(|n| room(*n) == id).unwrap();
        let room = command.target.room().map(number).unwrap_or_default();
        let Some(call) = command.target.call() else {
            return match command.action {
                SwitchAction::Record {
                    recording,
                    action: RecordAction::Start,
                    ..
                } => {
                    let failed = false;
                    let change = ConferenceChange::RecordingStarted { recording, failed };
                    self.conference(0, room, change)
                }
                SwitchAction::Record {
                    recording,
                    action: RecordAction::Stop,
                    ..
                } => {
                    let length = Some(Duration::from_secs(1));
                    let change = ConferenceChange::RecordingStopped { recording, length };
                    self.conference(0, room, change)
                }
                _ => Ok(()),
            };
        };
        match command.action {
            SwitchAction::Enter(entry) => {
                let change = ConferenceChange::Added(block(call, !entry.muted));
                self.conference(0, room, change)
            }
            SwitchAction::Park { id: parking } => {
                let change = ConferenceChange::Removed {
                    channel: call.channel(),
                    hung_up: false,
                    last: false,
                };
                self.conference(0, room, change)?;
                self.parks(call, parking)
            }
            SwitchAction::Break { id: parking } => self.parks(call, parking),
            SwitchAction::SetFlag {
                flag: MemberFlag::Speak,
                on,
            } => {
                let change = ConferenceChange::Flags(block(call, on));
                self.conference(0, room, change)
            }
            SwitchAction::Step { id, .. } => {
                let response = "FILE PLAYED".to_owned();
                let change = ChannelChange::StepEnded { step: id, response };
                self.channel(0, call, change)
            }
            SwitchAction::Answer => self.channel(0, call, ChannelChange::Answered(identity())),
            SwitchAction::Hangup { .. } => {
                let cause = "NORMAL_CLEARING".to_owned();
                self.channel(0, call, ChannelChange::HungUp { cause })?;
                self.channel(0, call, ChannelChange::Destroyed { cause: None })
            }
            _ => Ok(()),
        }
    }

    fn merge_snapshots(&mut self, shown: &[ShownRoom]) -> Result<(), TestCaseError> {
        let mut confirmed = BTreeSet::new();
        for _ in 0..2 {
            self.sequence += 1;
            let rooms = shown.iter().map(|shown| SnapshotRoom {
                room: room(shown.room),
                conference: self.life(shown.room),
                locked: false,
                meta: None,
                members: shown
                    .calls
                    .iter()
                    .map(|c| SnapshotMember {
                        talked: None,
                        channel: call(*c).channel(),
                        can_speak: true,
                        can_hear: true,
                        hold: false,
                        talking: false,
                        has_floor: false,
                        levels: ReportedLevels::default(),
                        caller_id: "".into(),
                    })
                    .collect(),
                recordings: shown
                    .recorded
                    .then(|| (self.recording(shown.room), false))
                    .into_iter()
                    .collect(),
            });
            let snapshot = Snapshot {
                core: self.core_id(),
                fence: self.sequence,
                rooms: rooms.collect(),
            };
            for shown in shown {
                self.load(room(shown.room));
            }
            confirmed =
                self.with(|node_state, cx| node_state.merge_snapshot(&snapshot, &confirmed, cx))?;
        }
        Ok(())
    }

    fn runs_deadlines(&mut self) -> Result<(), TestCaseError> {
        // One input can cause another that is due at once: a run that fails ends its join.
        for _ in 0..4 {
            let now = self.now;
            let passed = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
            let rooms = self
                .node_state
                .rooms()
                .filter(|r| r.registration().is_some());
            let rooms = rooms.filter(|r| passed(r.next_deadline()));
            let mut due: Vec<EntityId> = rooms.map(|r| EntityId::Room(r.id())).collect();
            let calls = self
                .node_state
                .calls()
                .filter(|s| passed(s.next_deadline()));
            due.extend(calls.map(|s| EntityId::Call(s.id())));
            for entity in due {
                self.with(|node_state, cx| node_state.deadline(entity, cx))?;
            }
            // The inputs took a moment each, which does not count.
            self.now = now;
        }
        self.nobody_is_left_behind()
    }

    fn nobody_is_left_behind(&self) -> Result<(), TestCaseError> {
        let now = self.now;
        for state in self.node_state.rooms() {
            if state.registration().is_none() {
                continue;
            }
            let next = state.next_deadline();
            prop_assert!(
                next.is_none_or(|at| at > now),
                "{} has a deadline that has passed",
                state.id()
            );
            if let RoomStatus::Terminating { deadline } = state.status() {
                prop_assert!(
                    deadline > now,
                    "{} does not end at its deadline",
                    state.id()
                );
            }
            for (who, member) in state.members() {
                match member.status {
                    MemberStatus::Joining { deadline, .. }
                    | MemberStatus::Leaving { deadline, .. } => {
                        prop_assert!(
                            deadline > now,
                            "{who} is {:?} after its deadline",
                            member.status
                        );
                    }
                    MemberStatus::Joined => {}
                }
            }
        }
        for call in self.node_state.calls() {
            let next = call.next_deadline();
            prop_assert!(
                next.is_none_or(|at| at > now),
                "{} has a deadline that has passed",
                call.id()
            );
            if let CallStatus::Joining(room) | CallStatus::Acting(Some(room)) = call.status() {
                let state = self.node_state.room(*room);
                let stay = state.and_then(|r| r.members().get(&call.id()));
                prop_assert!(
                    stay.is_some(),
                    "{} is {:?} without a room that waits for it",
                    call.id(),
                    call.status()
                );
            }
        }
        Ok(())
    }
}

fn owned(fields: &Fields) -> BTreeMap<String, String> {
    let pairs = fields.iter();
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn record(
    head: impl IntoIterator<Item = (String, String)>,
    parts: BTreeMap<String, String>,
) -> Record {
    Record {
        version: Version(1),
        head: head.into_iter().collect(),
        parts: parts.into_iter().collect(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn room_never_goes_back_and_leaves_no_member_behind(
        reached in proptest::bool::weighted(0.8),
        conferences in proptest::collection::vec(create(), 0..ROOMS),
        calls in 0..=CALLS,
        inputs_in_order in proptest::collection::vec(inputs(), 1..100),
    ) {
        let mut world = World::new();
        if reached {
            world.apply_input(Input::Restart)?;
        }
        for made in conferences {
            world.apply_input(Input::Intent(made))?;
        }
        for call in 0..calls {
            world.apply_input(Input::Report(Report::Parked { call }, 0))?;
        }
        for what in inputs_in_order {
            world.apply_input(what)?;
        }
        // Whatever happened, everything is over in the end.
        world.apply_input(Input::Wait(1_000))?;
    }
}
