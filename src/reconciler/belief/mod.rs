//! What is believed of one node: its rooms, its calls, and who its channels are.
//!
//! Owns the interplay of `room` and `session`: an input to the one can make one for the other, and both end up in
//! the same commit. Pure: time and fresh ids are handed in. Leaves out how news arrives and what becomes of the
//! outcome; the actor does that.

mod acting;
mod events;
mod intents;
mod locks;
mod machines;
mod orphans;
mod playback;
mod recording;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::action::Step;
use crate::ids::{AppId, ChannelId, CoreId, IdMap, IdSet, NodeId, RecordingId, RoomId, SessionId};
use crate::room::{Kind, LiveFact, PlayCommand, Registration, RoomNotice, RoomState, RoomStatus};
use crate::session::{Parking, SessionNotice, SessionState, StepId};
use crate::store::EntityId;
use crate::time::Timestamp;

use super::news::Identity;

pub use self::orphans::Orphans;

/// Ended calls are remembered this long, so that what comes late does not bring one back. A channel's uuid is never
/// used again, so this only has to outlive the queues.
const REMEMBER_ENDED: Duration = Duration::from_secs(60);

/// Where fresh uuids come from.
pub trait FreshIds: Send {
    /// One that was never given before.
    fn uuid(&mut self) -> Uuid;
}

/// How long what was asked for may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patience {
    /// A join to be confirmed.
    pub join: Duration,
    /// A leave to be confirmed.
    pub leave: Duration,
    /// A mute to be confirmed.
    pub mute: Duration,
    /// A lock to be confirmed.
    pub lock: Duration,
    /// A room to end.
    pub delete: Duration,
    /// A recording to begin or to end.
    pub record: Duration,
    /// A file to be played to a call, or a text to be said.
    pub step: Duration,
}

impl Default for Patience {
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
        }
    }
}

/// Who the numbers dialled belong to, and how long to wait.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rules {
    /// Dialled number → app, for inbound calls without a `roomkeeper_app`.
    pub dids: HashMap<String, AppId>,
    /// The apps that exist: a `roomkeeper_app` of none of them is nobody's.
    pub apps: BTreeSet<AppId>,
    /// How long what was asked for may take.
    pub patience: Patience,
    /// Where the nodes write recordings, an absolute path there.
    pub recordings: String,
}

/// What FreeSWITCH is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Order {
    /// Put the call into the room.
    Enter {
        /// The call.
        session: SessionId,
        /// The room.
        room: RoomId,
        /// Which kind of conference it is.
        kind: Kind,
        /// Muted.
        muted: bool,
        /// The room's registration, if the room has no conference yet: the conference carries it from its creation. A
        /// store that is wiped before [`Self::Describe`] can then still be rebuilt.
        registration: Option<Box<Registration>>,
    },
    /// Put the call back into park.
    Park {
        /// The call.
        session: SessionId,
        /// Out of this room.
        room: RoomId,
        /// What its channel shall say.
        parking: Parking,
    },
    /// Mute or unmute a member.
    Mute {
        /// The call.
        session: SessionId,
        /// Where.
        room: RoomId,
        /// Mute, or unmute.
        mute: bool,
    },
    /// Lock the conference of a room, or unlock it.
    Lock {
        /// The room.
        room: RoomId,
        /// Lock, or unlock.
        lock: bool,
    },
    /// Write on the conference whose it is.
    Describe {
        /// The room.
        room: RoomId,
        /// Whose, and what it does.
        registration: Box<Registration>,
    },
    /// About what plays in a room.
    Play {
        /// The room.
        room: RoomId,
        /// What about it.
        command: PlayCommand,
    },
    /// Begin to record a room.
    RecordStart {
        /// The room.
        room: RoomId,
        /// The recording.
        recording: RecordingId,
        /// The file on the node.
        path: String,
    },
    /// End the recording of a room.
    RecordStop {
        /// The room.
        room: RoomId,
        /// The recording.
        recording: RecordingId,
        /// The file on the node.
        path: String,
    },
    /// Begin a step of a call's run.
    Step {
        /// The call.
        session: SessionId,
        /// Whose actions it is one of.
        room: RoomId,
        /// Which step.
        id: StepId,
        /// What to do.
        step: Step,
    },
    /// Stop whatever the call does, and park it.
    Break {
        /// The call.
        session: SessionId,
        /// Whose actions it was busy with.
        room: RoomId,
        /// What its channel shall say.
        parking: Parking,
    },
    /// Prepare the channel of a call that is seen for the first time: it can be transferred without limit, and stays up
    /// when a conference ends around it.
    Prepare {
        /// The call.
        session: SessionId,
    },
    /// Answer the call.
    Answer {
        /// The call.
        session: SessionId,
    },
    /// End the call.
    Hangup {
        /// The call.
        session: SessionId,
        /// FreeSWITCH's hang-up cause.
        cause: Option<String>,
    },
}

impl Order {
    /// What it is, as a label.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Enter { .. } => "enter",
            Self::Park { .. } => "park",
            Self::Mute { .. } => "mute",
            Self::Lock { .. } => "lock",
            Self::Describe { .. } => "describe",
            Self::Play { .. } => "play",
            Self::RecordStart { .. } => "record_start",
            Self::RecordStop { .. } => "record_stop",
            Self::Step { .. } => "step",
            Self::Break { .. } => "break",
            Self::Prepare { .. } => "prepare",
            Self::Answer { .. } => "answer",
            Self::Hangup { .. } => "hangup",
        }
    }
}

/// Something an app is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notice {
    /// Whose.
    pub app: AppId,
    /// Of what.
    pub about: About,
}

/// What a notice is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum About {
    /// A room.
    Room(RoomId, RoomNotice),
    /// A call.
    Session(SessionId, SessionNotice),
}

/// Something an app is shown if it looks just now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveNotice {
    /// Whose.
    pub app: AppId,
    /// Where.
    pub room: RoomId,
    /// What.
    pub fact: LiveFact,
}

/// What follows from inputs, in order. What changed is found in the belief ([`Belief::take_touched`]).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// To be told to FreeSWITCH, after the commit.
    pub orders: Vec<Order>,
    /// To be told to apps, in the commit.
    pub notices: Vec<Notice>,
    /// To be shown to apps, after the commit, and in none.
    pub live: Vec<LiveNotice>,
    /// Why a snapshot is wanted, if one is.
    pub resync: Option<&'static str>,
    /// Differences that a snapshot revealed: which of the notices tell them.
    pub revealed: Vec<usize>,
    /// Parked calls that belong to no app.
    pub foreign: u64,
    /// News that was not about a room or call of ours, or too late to mean anything.
    pub ignored: u64,
}

/// What is believed of one node.
#[derive(Debug)]
pub struct Belief {
    node: NodeId,
    core: Option<CoreId>,
    /// The fence of the last snapshot that was merged, of this run of FreeSWITCH.
    fence: u64,
    /// In boxes, as the calls: a map has up to twice the places that are taken, and there are ten thousands of them.
    rooms: IdMap<RoomId, Box<RoomState>>,
    sessions: IdMap<SessionId, Box<SessionState>>,
    /// Every live channel of the node at first sight that is no call of ours yet: one that enters a room later is known by it.
    identities: IdMap<ChannelId, Identity>,
    /// Channels that the last list did not have. The list is written late, so one absence means nothing.
    unlisted: BTreeSet<ChannelId>,
    ended: BTreeMap<ChannelId, Timestamp>,
    /// Who left a room, as the channel has told, and whom the conference has not said to be gone: it counts them still.
    /// Until the conference ends, for it may never say so.
    still_counted: BTreeMap<RoomId, BTreeSet<ChannelId>>,
    touched: IdSet<EntityId>,
    /// What is stored of these cannot be read: nothing is believed of them, and nothing makes it.
    left_alone: BTreeSet<EntityId>,
    rules: Rules,
    /// Whether the node can be reached just now.
    reachable: bool,
    orphans: Orphans,
}

impl Belief {
    /// Nothing is believed yet.
    pub fn new(node: NodeId, rules: Rules) -> Self {
        Self {
            node,
            core: None,
            fence: 0,
            rooms: IdMap::default(),
            sessions: IdMap::default(),
            identities: IdMap::default(),
            unlisted: BTreeSet::new(),
            ended: BTreeMap::new(),
            still_counted: BTreeMap::new(),
            touched: IdSet::default(),
            left_alone: BTreeSet::new(),
            rules,
            reachable: false,
            orphans: Orphans::default(),
        }
    }

    /// The node can be reached, or cannot.
    pub const fn set_reachable(&mut self, reachable: bool) {
        self.reachable = reachable;
    }

    /// From here on these rules hold; what was decided under others stays. Says whether they are other ones.
    pub fn set_rules(&mut self, rules: Rules) -> bool {
        let other = self.rules != rules;
        self.rules = rules;
        other
    }

    /// The node.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The run of FreeSWITCH that is believed in.
    pub const fn core(&self) -> Option<CoreId> {
        self.core
    }

    /// The run of FreeSWITCH that is believed in, and the last fence of it.
    pub const fn run(&self) -> (Option<CoreId>, u64) {
        (self.core, self.fence)
    }

    /// Takes back what was learnt of the run of FreeSWITCH.
    pub const fn believe_run(&mut self, core: Option<CoreId>, fence: u64) {
        self.core = core;
        self.fence = fence;
    }

    /// All rooms, orphans too.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomState> {
        self.rooms.values().map(Box::as_ref)
    }

    /// The rooms of apps that have not ended and are not about to.
    pub fn live_rooms(&self) -> impl Iterator<Item = RoomId> {
        let lives = |room: &&RoomState| {
            let status = room.status();
            room.registration().is_some()
                && matches!(status, RoomStatus::Starting | RoomStatus::Progressing)
        };
        self.rooms().filter(lives).map(RoomState::id)
    }

    /// How many rooms, orphans too.
    pub fn room_count(&self) -> usize {
        self.rooms.len()
    }

    /// How many live calls.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// One room.
    pub fn room(&self, id: RoomId) -> Option<&RoomState> {
        self.rooms.get(&id).map(Box::as_ref)
    }

    /// All live calls.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionState> {
        self.sessions.values().map(Box::as_ref)
    }

    /// One call.
    pub fn session(&self, id: SessionId) -> Option<&SessionState> {
        self.sessions.get(&id).map(Box::as_ref)
    }

    /// One call, to take its changes.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut SessionState> {
        self.sessions.get_mut(&id).map(Box::as_mut)
    }

    /// One room, to take its changes.
    pub fn room_mut(&mut self, id: RoomId) -> Option<&mut RoomState> {
        self.rooms.get_mut(&id).map(Box::as_mut)
    }

    /// Replaces what is believed of a room by what was stored; `None`: nothing is.
    pub fn put_room(&mut self, id: RoomId, room: Option<RoomState>) {
        self.touched.remove(&EntityId::Room(id));
        match room {
            Some(room) => self.rooms.insert(id, Box::new(room)),
            None => self.rooms.remove(&id),
        };
    }

    /// So many rooms and calls are about to be put.
    pub fn expect(&mut self, rooms: usize, calls: usize) {
        self.rooms.reserve(rooms);
        self.sessions.reserve(calls);
    }

    /// Replaces what is believed of a call by what was stored; `None`: nothing is.
    pub fn put_session(&mut self, id: SessionId, session: Option<SessionState>) {
        self.touched.remove(&EntityId::Session(id));
        match session {
            Some(session) => self.sessions.insert(id, Box::new(session)),
            None => self.sessions.remove(&id),
        };
    }

    /// Believes nothing of this from here on, because what is stored of it cannot be read; `false`: that was so already.
    pub fn leave_alone(&mut self, entity: EntityId) -> bool {
        match entity {
            EntityId::Room(id) => self.put_room(id, None),
            EntityId::Session(id) => self.put_session(id, None),
        }
        self.left_alone.insert(entity)
    }

    /// It can be read again.
    pub fn take_up(&mut self, entity: EntityId) {
        self.left_alone.remove(&entity);
    }

    /// Forgets everything but who the channels are: it is loaded anew.
    pub fn clear(&mut self) {
        self.rooms.clear();
        self.sessions.clear();
        self.touched.clear();
        self.core = None;
        self.fence = 0;
    }

    /// Every room and call that an input reached since this was last asked, whether or not it changed.
    pub fn take_touched(&mut self) -> BTreeSet<EntityId> {
        self.touched.drain().collect()
    }

    /// Lets go of what is over, once that is committed.
    pub fn drop_over(&mut self, entity: EntityId, now: Timestamp) {
        if self.forget_over(entity)
            && let EntityId::Session(id) = entity
        {
            self.remember_ended(id.channel(), now);
        }
    }

    /// Lets go of what was over already when it was read. Says whether it was.
    pub fn forget_over(&mut self, entity: EntityId) -> bool {
        match entity {
            EntityId::Room(id) => {
                let over = |room: &RoomState| matches!(room.status(), RoomStatus::Terminated);
                self.room(id).is_some_and(over) && self.rooms.remove(&id).is_some()
            }
            EntityId::Session(id) => {
                self.session(id).is_some_and(SessionState::is_over)
                    && self.sessions.remove(&id).is_some()
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

/// What every input needs besides itself: the time, fresh ids, and where to put what follows.
pub struct Cx<'a> {
    /// Now.
    pub now: Timestamp,
    /// Fresh ids.
    pub ids: &'a mut dyn FreshIds,
    /// What follows.
    pub out: Outcome,
}

impl<'a> Cx<'a> {
    /// Nothing has followed yet.
    pub fn new(now: Timestamp, ids: &'a mut dyn FreshIds) -> Self {
        Self {
            now,
            ids,
            out: Outcome::default(),
        }
    }
}
