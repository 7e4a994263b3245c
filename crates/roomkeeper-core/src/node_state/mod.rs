//! The controller's in-memory model of one node: its rooms, its calls, and the identities of its channels.
//!
//! Owns the interplay of [`room`](crate::room) and [`call`](crate::call): an input of one can cause an input of the
//! other, and both end up in the same commit. Pure: time and new ids are arguments. Leaves out the arrival of events and
//! the use of the outcome, which the actor handles.

mod acting;
mod calls;
mod coaching;
mod dial;
mod digit_windows;
mod events;
mod failures;
mod intent;
mod keypad;
mod machines;
mod membership;
mod moderation;
mod moving;
mod orphans;
mod playback;
mod recording;
mod recovery;
mod rooms;
mod snapshots;
mod talk;
mod talk_windows;
mod transferring;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use smallvec::SmallVec;
use uuid::Uuid;

use crate::call::{CallNotification, CallState};
use crate::dial::DialRules;
use crate::entity::EntityId;
use crate::ids::{AppId, CallId, ChannelId, CoreId, IdMap, IdSet, NodeId, RoomId};
use crate::room::{LiveChange, RoomInput, RoomNotification, RoomState, RoomStatus};
use crate::time::Timestamp;

use super::switch_command::SwitchCommand;
use crate::switch_event::Identity;

pub use self::orphans::Orphans;

use self::digit_windows::DigitWindows;
pub use self::recording::RecordedMember;
use self::talk_windows::TalkWindows;

/// The time for which ended calls are remembered, so that late events do not revive them. A channel's UUID is never
/// reused, so this only has to outlive the queues.
const REMEMBER_ENDED: Duration = Duration::from_secs(60);

/// A source of new UUIDs.
pub trait IdSource: Send {
    /// Returns a UUID that was never returned before.
    fn next_uuid(&mut self) -> Uuid;
}

/// The time limits of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For FreeSWITCH to confirm a join.
    pub join: Duration,
    /// For FreeSWITCH to confirm a leave.
    pub leave: Duration,
    /// For FreeSWITCH to confirm a mute.
    pub mute: Duration,
    /// For FreeSWITCH to confirm a lock.
    pub lock: Duration,
    /// For a room to end.
    pub delete: Duration,
    /// For a recording to begin or to end.
    pub record: Duration,
    /// For a file to be played to a call, or a text to be spoken.
    pub step: Duration,
    /// For FreeSWITCH to recover the calls of its last run after it restarted; zero if they are over.
    pub recovery: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self {
            join: ten,
            leave: ten,
            mute: ten,
            lock: ten,
            delete: ten,
            record: ten,
            step: Duration::from_secs(300),
            recovery: Duration::ZERO,
        }
    }
}

/// The configuration of the node state: apps, dialled numbers, timeouts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Dialled number → app, for inbound calls without a `roomkeeper_app`.
    pub dids: HashMap<String, AppId>,
    /// The configured apps: a `roomkeeper_app` that names another is ignored.
    pub apps: BTreeSet<AppId>,
    /// The time limits of requests.
    pub timeouts: Timeouts,
    /// The apps that want each digit of their calls.
    pub digit_apps: BTreeSet<AppId>,
    /// The apps that want to know when a member talks.
    pub talk_apps: BTreeSet<AppId>,
    /// The apps that want to know when a muted member talks.
    pub muted_talk_apps: BTreeSet<AppId>,
    /// The directory for recordings on the nodes, an absolute path.
    pub recordings: String,
    /// The calls that the operator allows.
    pub dial: DialRules,
}

/// A notification for an app.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notification {
    /// The app.
    pub app: AppId,
    /// The room or call, with the numbered domain event.
    pub about: Subject,
}

impl Notification {
    /// Returns the name of its event.
    pub const fn name(&self) -> &'static str {
        match &self.about {
            Subject::Room(_, notification) => notification.event.name(),
            Subject::Call(_, notification) => notification.event.name(),
        }
    }
}

/// The subject of a notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Subject {
    /// A room.
    Room(RoomId, RoomNotification),
    /// A call.
    Call(CallId, CallNotification),
}

/// A notification for live readers only; it is neither stored nor delivered later.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveNotification {
    /// The app.
    pub app: AppId,
    /// The room.
    pub room: RoomId,
    /// The change.
    pub change: LiveChange,
}

/// The outcome of inputs, in order. The changes themselves are in the node state ([`NodeState::take_touched`]).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// Commands for FreeSWITCH, sent after the commit.
    pub commands: Vec<SwitchCommand>,
    /// Notifications for apps, part of the commit.
    pub notifications: Vec<Notification>,
    /// Notifications for live readers, sent after the commit and never stored.
    pub live: Vec<LiveNotification>,
    /// The reason for another snapshot, if one is needed.
    pub resync: Option<&'static str>,
    /// The drift that a snapshot revealed: indices into the notifications.
    pub revealed: Vec<usize>,
    /// The number of parked calls that belong to no app.
    pub foreign: u64,
    /// The number of events that were too late, or about none of our rooms and calls.
    pub ignored: u64,
}

/// The run of FreeSWITCH as the node state has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoreRun {
    core: Option<CoreId>,
    fence: u64,
    recovery: Option<Timestamp>,
}

/// The node state: everything known about one node.
#[derive(Debug)]
pub struct NodeState {
    node: NodeId,
    core: Option<CoreId>,
    /// The fence of the last merged snapshot of this core.
    fence: u64,
    /// The time until which calls of the last core may return.
    recovery: Option<Timestamp>,
    /// Recovered calls that have entered no room since. FreeSWITCH does not report the first entry of such a call, so a
    /// snapshot must show it. Not stored: a later owner starts with snapshots, and a join that they miss fails.
    silent: BTreeSet<ChannelId>,
    /// Boxed, like the calls: a map allocates up to twice the slots that it uses, and there are tens of thousands of
    /// rooms.
    rooms: IdMap<RoomId, Box<RoomState>>,
    calls: IdMap<CallId, Box<CallState>>,
    /// The identities, from the first event, of all live channels that are not our calls yet. A channel that enters a room
    /// later gets its data from here.
    identities: IdMap<ChannelId, Identity>,
    /// Channels that were missing in the last list. FreeSWITCH writes the list late, so a single absence is no evidence.
    unlisted: BTreeSet<ChannelId>,
    /// The channels of attempts to dial that the last list lacks, and that FreeSWITCH is asked for: they may begin, and be
    /// answered, while it answers that it knows none of them.
    asked_dials: BTreeSet<ChannelId>,
    /// The channels of the last attempts to dial that were over because FreeSWITCH did not know them.
    unknown_dials: BTreeSet<ChannelId>,
    /// Live channels that are the other sides of transfers. Not stored: a later owner knows those of its transfers.
    legs: BTreeSet<ChannelId>,
    ended: BTreeMap<ChannelId, Timestamp>,
    /// Channels that left a room by their own events and that the conference has not reported as gone: it still counts
    /// them. Kept until the conference ends, because it may never report them.
    still_counted: BTreeMap<RoomId, BTreeSet<ChannelId>>,
    touched: IdSet<EntityId>,
    /// The digits of the current second, by call: a telephone can be made to send hundreds.
    digits: DigitWindows,
    /// The reported talk of the last seconds: noise can begin and end many times a second.
    talks: TalkWindows,
    /// The rooms whose notifications are numbered already and not reported yet, the innermost last.
    reporting: SmallVec<[RoomId; 2]>,
    /// The owners of open rooms of other nodes that joins of the current batch name.
    foreign_rooms: BTreeMap<RoomId, AppId>,
    /// Entities whose stored records cannot be decoded: they have no state here, and no input creates one.
    unreadable: BTreeSet<EntityId>,
    rules: Rules,
    /// True while the node can be reached.
    reachable: bool,
    /// Inputs of rooms that wait until the effects of others are applied.
    deferred: Vec<(RoomId, RoomInput)>,
    orphans: Orphans,
}

impl NodeState {
    /// Returns an empty node state.
    pub fn new(node: NodeId, rules: Rules) -> Self {
        Self {
            node,
            core: None,
            fence: 0,
            recovery: None,
            silent: BTreeSet::new(),
            rooms: IdMap::default(),
            calls: IdMap::default(),
            identities: IdMap::default(),
            unlisted: BTreeSet::new(),
            asked_dials: BTreeSet::new(),
            unknown_dials: BTreeSet::new(),
            legs: BTreeSet::new(),
            ended: BTreeMap::new(),
            still_counted: BTreeMap::new(),
            touched: IdSet::default(),
            digits: DigitWindows::default(),
            talks: TalkWindows::default(),
            reporting: SmallVec::new(),
            foreign_rooms: BTreeMap::new(),
            unreadable: BTreeSet::new(),
            rules,
            reachable: false,
            deferred: Vec::new(),
            orphans: Orphans::default(),
        }
    }

    /// Sets whether the node can be reached.
    pub const fn set_reachable(&mut self, reachable: bool) {
        self.reachable = reachable;
    }

    /// Replaces the rules; earlier decisions stay. Returns true if they differ.
    pub fn set_rules(&mut self, rules: Rules) -> bool {
        let other = self.rules != rules;
        self.rules = rules;
        other
    }

    /// Returns the node.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the core that runs; `None` if it is unknown.
    pub const fn core(&self) -> Option<CoreId> {
        self.core
    }

    /// Returns the run of FreeSWITCH, to restore it later.
    pub const fn run(&self) -> CoreRun {
        CoreRun {
            core: self.core,
            fence: self.fence,
            recovery: self.recovery,
        }
    }

    /// Restores what [`Self::run`] returned.
    pub const fn restore_run(&mut self, run: CoreRun) {
        self.core = run.core;
        self.fence = run.fence;
        self.recovery = run.recovery;
    }

    /// Returns all rooms, orphans included.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomState> {
        self.rooms.values().map(Box::as_ref)
    }

    /// Returns the rooms of apps that have not ended and are not ending.
    pub fn live_rooms(&self) -> impl Iterator<Item = RoomId> {
        let instances = |room: &&RoomState| {
            let status = room.status();
            room.registration().is_some()
                && matches!(status, RoomStatus::Starting | RoomStatus::Progressing)
        };
        self.rooms().filter(instances).map(RoomState::id)
    }

    /// Returns the number of rooms, orphans included.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// Returns the number of live calls.
    pub fn call_count(&self) -> usize {
        self.calls.len()
    }

    /// Returns a room.
    pub fn room(&self, id: RoomId) -> Option<&RoomState> {
        self.rooms.get(&id).map(Box::as_ref)
    }

    /// Returns all live calls.
    pub fn calls(&self) -> impl Iterator<Item = &CallState> {
        self.calls.values().map(Box::as_ref)
    }

    /// Returns a call.
    pub fn call(&self, id: CallId) -> Option<&CallState> {
        self.calls.get(&id).map(Box::as_ref)
    }

    /// Returns a call, to take its changes.
    pub fn call_mut(&mut self, id: CallId) -> Option<&mut CallState> {
        self.calls.get_mut(&id).map(Box::as_mut)
    }

    /// Returns a room, to take its changes.
    pub fn room_mut(&mut self, id: RoomId) -> Option<&mut RoomState> {
        self.rooms.get_mut(&id).map(Box::as_mut)
    }

    /// Replaces a room by its stored state; `None` removes it.
    pub fn put_room(&mut self, id: RoomId, room: Option<RoomState>) {
        self.touched.remove(&EntityId::Room(id));
        match room {
            Some(room) => self.rooms.insert(id, Box::new(room)),
            None => self.rooms.remove(&id),
        };
    }

    /// Reserves memory for this many rooms and calls.
    pub fn reserve(&mut self, rooms: usize, calls: usize) {
        self.rooms.reserve(rooms);
        self.calls.reserve(calls);
    }

    /// Replaces a call by its stored state; `None` removes it.
    pub fn put_call(&mut self, id: CallId, call: Option<CallState>) {
        self.touched.remove(&EntityId::Call(id));
        match call {
            Some(call) => self.calls.insert(id, Box::new(call)),
            None => self.calls.remove(&id),
        };
    }

    /// Drops an entity because its stored record cannot be decoded, and ignores inputs for it. Returns false if it was
    /// dropped before.
    pub fn mark_unreadable(&mut self, entity: EntityId) -> bool {
        match entity {
            EntityId::Room(id) => self.put_room(id, None),
            EntityId::Call(id) => self.put_call(id, None),
        }
        self.unreadable.insert(entity)
    }

    /// Accepts inputs for an entity again: its record can be decoded.
    pub fn mark_readable(&mut self, entity: EntityId) {
        self.unreadable.remove(&entity);
    }

    /// Drops everything but the identities of channels, before the state is read again.
    pub fn clear(&mut self) {
        self.rooms.clear();
        self.calls.clear();
        self.touched.clear();
        self.core = None;
        self.fence = 0;
        self.recovery = None;
        self.silent.clear();
    }

    /// Returns the rooms and calls that an input has reached since the last call of this method, changed or not.
    pub fn take_touched(&mut self) -> BTreeSet<EntityId> {
        self.touched.drain().collect()
    }

    /// Drops an entity that is over, once that is committed.
    pub fn drop_over(&mut self, entity: EntityId, now: Timestamp) {
        // Of a call that ended with its core no event can come any longer; the call itself can return.
        let is_of_core = match entity {
            EntityId::Call(id) => self.call(id).map(CallState::core) == self.core,
            EntityId::Room(_) => false,
        };
        if self.forget_over(entity)
            && is_of_core
            && let EntityId::Call(id) = entity
        {
            self.remember_ended(id.channel(), now);
        }
    }

    /// Drops an entity that was over already when it was loaded. Returns true if it was.
    pub fn forget_over(&mut self, entity: EntityId) -> bool {
        match entity {
            EntityId::Room(id) => {
                let over = |room: &RoomState| matches!(room.status(), RoomStatus::Terminated);
                self.room(id).is_some_and(over) && self.rooms.remove(&id).is_some()
            }
            EntityId::Call(id) => {
                self.call(id).is_some_and(CallState::is_over) && self.calls.remove(&id).is_some()
            }
        }
    }

    fn remember_ended(&mut self, channel: ChannelId, now: Timestamp) {
        self.ended.insert(channel, now);
        if self.ended.len() % 256 == 255 {
            self.ended.retain(|_, at| now.since(*at) < REMEMBER_ENDED);
        }
    }
}

/// The context of an input: the time, a source of ids, and the outcome so far.
pub struct Context<'a> {
    /// The current time.
    pub now: Timestamp,
    /// The source of new ids.
    pub ids: &'a mut dyn IdSource,
    /// The outcome so far.
    pub out: Outcome,
}

impl<'a> Context<'a> {
    /// Returns a context with an empty outcome.
    pub fn new(now: Timestamp, ids: &'a mut dyn IdSource) -> Self {
        Self {
            now,
            ids,
            out: Outcome::default(),
        }
    }
}
