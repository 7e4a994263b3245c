//! What is believed of one node: its rooms, its calls, and who its channels are.
//!
//! Owns the interplay of `room` and `session`: an input to the one can make one for the other, and both end up in
//! the same commit. Pure: time and fresh ids are handed in. Leaves out how news arrives and what becomes of the
//! outcome; the actor does that.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use uuid::Uuid;

use crate::ids::{
    AppId, ChannelId, CommandUid, ConferenceId, CoreId, MemberId, NodeId, OperationId, RoomId,
    SessionId,
};
use crate::room::plan::{Shown, Suspect, plan};
use crate::room::{
    self, EventStamp, JoinFailure, LeftReason, MemberStatus, Origin, Registration, RoomCommand,
    RoomEffect, RoomInput, RoomNotice, RoomState, Who,
};
use crate::session::{
    self, Direction, Place, SessionEffect, SessionInput, SessionNotice, SessionState,
};
use crate::store::EntityId;
use crate::time::Timestamp;

use super::intent::{Accepted, Intent, Refusal};
use super::meta;
use super::news::{
    ChannelChange, ConferenceChange, Dump, Identity, ListedChannel, MemberBlock, News, ShownRoom,
    Snapshot, What,
};

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
    /// A room to end.
    pub delete: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let ten = Duration::from_secs(10);
        Self {
            join: ten,
            leave: ten,
            mute: ten,
            delete: ten,
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
        /// Muted.
        muted: bool,
    },
    /// Put the call back into park.
    Park {
        /// The call.
        session: SessionId,
        /// Out of this room.
        room: RoomId,
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
    /// Write on the conference whose it is.
    Describe {
        /// The room.
        room: RoomId,
        /// Whose.
        registration: Registration,
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

/// What follows from inputs, in order. What changed is found in the belief ([`Belief::take_touched`]).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Outcome {
    /// To be told to FreeSWITCH, after the commit.
    pub orders: Vec<Order>,
    /// To be told to apps, in the commit.
    pub notices: Vec<Notice>,
    /// Why a snapshot is wanted, if one is.
    pub resync: Option<&'static str>,
    /// Differences that a snapshot revealed.
    pub drift: u64,
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
    rooms: HashMap<RoomId, RoomState>,
    sessions: HashMap<SessionId, SessionState>,
    /// Every live channel of the node at first sight, ours or not: a call that enters a room later is known by it.
    identities: HashMap<ChannelId, Identity>,
    /// Channels that the last list did not have. The list is written late, so one absence means nothing.
    unlisted: BTreeSet<ChannelId>,
    ended: BTreeMap<ChannelId, Timestamp>,
    touched: BTreeSet<EntityId>,
    rules: Rules,
}

impl Belief {
    /// Nothing is believed yet.
    pub fn new(node: NodeId, rules: Rules) -> Self {
        Self {
            node,
            core: None,
            fence: 0,
            rooms: HashMap::new(),
            sessions: HashMap::new(),
            identities: HashMap::new(),
            unlisted: BTreeSet::new(),
            ended: BTreeMap::new(),
            touched: BTreeSet::new(),
            rules,
        }
    }

    /// The node.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The run of FreeSWITCH that is believed in.
    pub const fn core(&self) -> Option<CoreId> {
        self.core
    }

    /// All rooms, orphans too.
    pub fn rooms(&self) -> impl Iterator<Item = &RoomState> {
        self.rooms.values()
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
        self.rooms.get(&id)
    }

    /// All live calls.
    pub fn sessions(&self) -> impl Iterator<Item = &SessionState> {
        self.sessions.values()
    }

    /// One call.
    pub fn session(&self, id: SessionId) -> Option<&SessionState> {
        self.sessions.get(&id)
    }

    /// One call, to take its changes.
    pub fn session_mut(&mut self, id: SessionId) -> Option<&mut SessionState> {
        self.sessions.get_mut(&id)
    }

    /// One room, to take its changes.
    pub fn room_mut(&mut self, id: RoomId) -> Option<&mut RoomState> {
        self.rooms.get_mut(&id)
    }

    /// Replaces what is believed of a room by what was stored; `None`: nothing is.
    pub fn put_room(&mut self, id: RoomId, room: Option<RoomState>) {
        self.touched.remove(&EntityId::Room(id));
        match room {
            Some(room) => self.rooms.insert(id, room),
            None => self.rooms.remove(&id),
        };
    }

    /// Replaces what is believed of a call by what was stored; `None`: nothing is.
    pub fn put_session(&mut self, id: SessionId, session: Option<SessionState>) {
        self.touched.remove(&EntityId::Session(id));
        match session {
            Some(session) => self.sessions.insert(id, session),
            None => self.sessions.remove(&id),
        };
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
        std::mem::take(&mut self.touched)
    }

    /// Lets go of what is over, once that is committed.
    pub fn drop_over(&mut self, entity: EntityId, now: Timestamp) {
        match entity {
            EntityId::Room(id) => {
                if self
                    .rooms
                    .get(&id)
                    .is_some_and(|r| matches!(r.status(), room::RoomStatus::Terminated))
                {
                    self.rooms.remove(&id);
                }
            }
            EntityId::Session(id) => {
                if self.sessions.get(&id).is_some_and(SessionState::is_over) {
                    self.sessions.remove(&id);
                    self.remember_ended(id.channel(), now);
                }
            }
        }
    }

    fn remember_ended(&mut self, channel: ChannelId, now: Timestamp) {
        self.ended.insert(channel, now);
        if self.ended.len() % 256 == 255 {
            self.ended.retain(|_, at| now.since(*at) < REMEMBER_ENDED);
        }
    }

    // ---- what FreeSWITCH says -------------------------------------------------------------------------------------

    /// Learns which run of FreeSWITCH lives (`None`: the node is lost). What lived in another is over.
    pub fn core_changed(&mut self, core: Option<CoreId>, cx: &mut Cx<'_>) {
        if self.core == core && core.is_some() {
            return;
        }
        self.core = core;
        self.fence = 0;
        self.identities.clear();
        let rooms: BTreeSet<RoomId> = self.rooms.keys().copied().collect();
        for id in rooms {
            self.room_input(id, RoomInput::CoreChanged { core }, cx);
        }
        let over: BTreeSet<SessionId> = self
            .sessions
            .values()
            .filter(|s| Some(s.core()) != core)
            .map(SessionState::id)
            .collect();
        for id in over {
            self.session_input(
                id,
                SessionInput::Ended {
                    cause: "NORMAL_TEMPORARY_FAILURE".to_owned(),
                    at: cx.now,
                    sequence: None,
                    orphan: true,
                    synthesized: true,
                },
                cx,
            );
        }
    }

    /// Takes in one event.
    pub fn news(&mut self, news: News, cx: &mut Cx<'_>) {
        if self.core != Some(news.core) {
            // Of a run that is over, or of one that has not been met yet: its snapshot will tell.
            cx.out.ignored += 1;
            return;
        }
        match news.what {
            What::Conference {
                room,
                conference,
                size,
                change,
            } => {
                let at = EventStamp {
                    core: news.core,
                    conference,
                    sequence: news.sequence,
                    synthesized: false,
                };
                if news.sequence <= self.fence && !change.is_an_end() {
                    // The snapshot has spoken of it, also where it showed nothing.
                    cx.out.ignored += 1;
                    return;
                }
                self.conference_news(room, at, change, cx);
                self.check_size(room, conference, size, cx);
            }
            What::Channel { channel, change } => {
                self.channel_news(channel, news.sequence, news.at, change, cx);
            }
        }
    }

    fn conference_news(
        &mut self,
        room: RoomId,
        at: EventStamp,
        change: ConferenceChange,
        cx: &mut Cx<'_>,
    ) {
        // The hang-up of a call can be told before its coming: it does not come any more.
        let is_over = change
            .present()
            .is_some_and(|channel| self.ended.contains_key(&channel));
        if room.node() != self.node || is_over {
            cx.out.ignored += 1;
            return;
        }
        let session = |channel| SessionId::new(room.node(), channel);
        let input = match change {
            ConferenceChange::Created => RoomInput::ConferenceStarted(at),
            ConferenceChange::Destroyed => RoomInput::ConferenceEnded(at),
            ConferenceChange::Added(block) => RoomInput::Seen {
                at,
                who: self.who(block, cx),
                entered: true,
            },
            ConferenceChange::Flags(block) => RoomInput::Seen {
                at,
                who: self.who(block, cx),
                entered: false,
            },
            ConferenceChange::Removed { channel, hung_up } => RoomInput::Gone {
                at,
                session: session(channel),
                reason: if hung_up {
                    LeftReason::Hangup
                } else {
                    LeftReason::Removed
                },
            },
            ConferenceChange::Moving(channel) => RoomInput::Moving {
                session: session(channel),
                deadline: cx.now + self.rules.patience.leave,
            },
            ConferenceChange::Floor { holder } => {
                let channel = holder.as_ref().map(|b| b.channel);
                if let Some(block) = holder {
                    let who = self.who(block, cx);
                    self.room_input(
                        room,
                        RoomInput::Seen {
                            at,
                            who,
                            entered: false,
                        },
                        cx,
                    );
                }
                RoomInput::Floor {
                    at,
                    holder: channel.map(session),
                }
            }
            ConferenceChange::Locked(locked) => RoomInput::Locked { at, locked },
            ConferenceChange::Other => return,
        };
        self.room_input(room, input, cx);
    }

    /// The conference's own count is a free checksum: where it disagrees, an event was lost.
    fn check_size(
        &self,
        room: RoomId,
        conference: ConferenceId,
        size: Option<usize>,
        cx: &mut Cx<'_>,
    ) {
        let Some(size) = size else { return };
        let disagrees = self.rooms.get(&room).is_some_and(|r| {
            r.conference().is_some_and(|c| c.id == conference) && r.present() != size
        });
        if disagrees {
            cx.out.resync = Some("Conference-Size disagrees");
        }
    }

    fn channel_news(
        &mut self,
        channel: ChannelId,
        sequence: u64,
        at: Timestamp,
        change: ChannelChange,
        cx: &mut Cx<'_>,
    ) {
        if self.ended.contains_key(&channel) {
            cx.out.ignored += 1;
            return;
        }
        let id = SessionId::new(self.node, channel);
        match change {
            ChannelChange::Created(identity) => self.meet(channel, identity),
            ChannelChange::Answered(identity) => {
                self.meet(channel, identity);
                if self.sessions.contains_key(&id) {
                    self.session_input(
                        id,
                        SessionInput::Answered {
                            at,
                            synthesized: false,
                        },
                        cx,
                    );
                }
            }
            ChannelChange::Parked(identity) => {
                if sequence <= self.fence && !self.sessions.contains_key(&id) {
                    // Told late, of a call that the snapshot may have shown to be gone: it is looked for once more.
                    cx.out.resync = Some("a call was told late");
                }
                self.meet(channel, identity);
                self.parked(channel, sequence, at, false, cx);
            }
            ChannelChange::HungUp { cause } => {
                self.hung_up(channel, cause, at, Some(sequence), false, cx);
            }
            ChannelChange::Destroyed { cause } => {
                let cause = cause.unwrap_or_else(|| "UNKNOWN".to_owned());
                self.hung_up(channel, cause, at, Some(sequence), false, cx);
                self.identities.remove(&channel);
            }
        }
    }

    /// Keeps who a channel is as it was at first sight; what was unknown then is filled in.
    fn meet(&mut self, channel: ChannelId, identity: Identity) {
        match self.identities.get_mut(&channel) {
            None => {
                self.identities.insert(channel, identity);
            }
            Some(known) => {
                // The app can be set by the dialplan after the channel was made; the rest is as it was.
                if identity.app.is_some() {
                    known.app = identity.app;
                }
                if known.did.is_none() {
                    known.did = identity.did;
                }
                known.answered_at = known.answered_at.or(identity.answered_at);
                known.created_at = known.created_at.or(identity.created_at);
            }
        }
    }

    fn parked(
        &mut self,
        channel: ChannelId,
        sequence: u64,
        at: Timestamp,
        synthesized: bool,
        cx: &mut Cx<'_>,
    ) {
        let id = SessionId::new(self.node, channel);
        if !self.sessions.contains_key(&id) {
            let app = self.app_of(channel);
            let Some(app) = app else {
                cx.out.foreign += 1;
                return;
            };
            self.first_seen(id, app, at, synthesized, cx);
        }
        self.session_input(id, SessionInput::Parked { sequence }, cx);
    }

    fn app_of(&self, channel: ChannelId) -> Option<AppId> {
        let identity = self.identities.get(&channel)?;
        match &identity.app {
            Some(app) => self.rules.apps.get(app).cloned(),
            None if identity.direction == Direction::Inbound => {
                self.rules.dids.get(identity.did.as_ref()?).cloned()
            }
            None => None,
        }
    }

    fn first_seen(
        &mut self,
        id: SessionId,
        app: AppId,
        at: Timestamp,
        synthesized: bool,
        cx: &mut Cx<'_>,
    ) {
        let Some(core) = self.core else { return };
        let identity = self.identities.get(&id.channel());
        let session = SessionState::first_seen(
            id,
            app,
            core,
            identity.map(|i| i.caller_id.clone()).unwrap_or_default(),
            identity.and_then(|i| i.did.clone()).unwrap_or_default(),
            identity.map_or(Direction::Inbound, |i| i.direction),
            identity.and_then(|i| i.created_at).unwrap_or(at),
            identity.and_then(|i| i.answered_at),
        );
        self.sessions.insert(id, session);
        self.session_input(id, SessionInput::FirstSeen { synthesized }, cx);
    }

    fn hung_up(
        &mut self,
        channel: ChannelId,
        cause: String,
        at: Timestamp,
        sequence: Option<u64>,
        synthesized: bool,
        cx: &mut Cx<'_>,
    ) {
        let id = SessionId::new(self.node, channel);
        if !self.sessions.contains_key(&id) {
            // Its beginning may still come.
            self.remember_ended(channel, cx.now);
        } else {
            self.session_input(
                id,
                SessionInput::Ended {
                    cause,
                    at,
                    sequence,
                    orphan: false,
                    synthesized,
                },
                cx,
            );
        }
    }

    fn who(&mut self, block: MemberBlock, cx: &mut Cx<'_>) -> Who {
        let channel = block.channel;
        self.meet(channel, block.identity);
        let identity = self.identities.get(&channel);
        Who {
            session: SessionId::new(self.node, channel),
            caller_id: identity.map(|i| i.caller_id.clone()).unwrap_or_default(),
            did: identity.and_then(|i| i.did.clone()).unwrap_or_default(),
            fresh: MemberId::new(cx.ids.uuid()),
            speak: Some(block.speak),
            hear: Some(block.hear),
            hold: block.hold,
            talking: block.talking,
        }
    }

    // ---- snapshots ------------------------------------------------------------------------------------------------

    /// Merges a snapshot of the conferences. `confirmed` is what the snapshot just before it lacked; returned is what
    /// this one lacks and that one did not.
    pub fn snapshot(
        &mut self,
        snapshot: &Snapshot,
        confirmed: &BTreeSet<Suspect>,
        cx: &mut Cx<'_>,
    ) -> BTreeSet<Suspect> {
        let mut suspects = BTreeSet::new();
        if self.core != Some(snapshot.core) {
            return suspects;
        }
        let mut shown: BTreeMap<RoomId, Vec<&ShownRoom>> = BTreeMap::new();
        for room in &snapshot.rooms {
            shown.entry(room.room).or_default().push(room);
        }
        let ids: BTreeSet<RoomId> = self
            .rooms
            .keys()
            .copied()
            .chain(shown.keys().copied())
            .collect();
        let before = cx.out.notices.len();
        for id in ids {
            // Two lives of one name can be listed at once; the list is newest first, and the newest one counts.
            let newest = shown.get(&id).and_then(|lives| lives.first().copied());
            if newest.is_none() && !self.rooms.contains_key(&id) {
                continue;
            }
            let view = newest.map(|room| self.shown(room, cx));
            if let Some(registration) = newest.and_then(|room| self.adoptable(room)) {
                self.room_input(id, RoomInput::Adopted(registration), cx);
            }
            let room = self
                .rooms
                .entry(id)
                .or_insert_with(|| RoomState::unregistered(id));
            let planned = plan(
                room,
                view.as_ref(),
                snapshot.core,
                snapshot.fence,
                confirmed,
            );
            suspects.extend(planned.suspects);
            for input in planned.inputs {
                self.room_input(id, input, cx);
            }
        }
        self.fence = self.fence.max(snapshot.fence);
        cx.out.drift += (cx.out.notices.len() - before) as u64;
        suspects
    }

    /// What a room that nothing is believed of says it was asked for as. If the store remembers it as ended, the commit
    /// will not go through, and what is remembered counts.
    fn adoptable(&self, room: &ShownRoom) -> Option<Registration> {
        if self
            .rooms
            .get(&room.room)
            .is_some_and(|r| r.registration().is_some())
        {
            return None;
        }
        let registration = meta::decode(room.meta.as_ref()?)?;
        self.rules
            .apps
            .contains(&registration.app)
            .then_some(registration)
    }

    fn shown(&self, room: &ShownRoom, cx: &mut Cx<'_>) -> Shown {
        let members = room
            .members
            .iter()
            .filter(|m| !self.ended.contains_key(&m.channel))
            .map(|m| {
                let identity = self.identities.get(&m.channel);
                let who = Who {
                    session: SessionId::new(self.node, m.channel),
                    caller_id: identity
                        .map_or_else(|| m.caller_id.clone(), |i| i.caller_id.clone()),
                    did: identity.and_then(|i| i.did.clone()).unwrap_or_default(),
                    fresh: MemberId::new(cx.ids.uuid()),
                    // A held member can do neither, whatever its own settings are: the snapshot says nothing of them.
                    speak: (!m.hold).then_some(m.can_speak),
                    hear: (!m.hold).then_some(m.can_hear),
                    hold: m.hold,
                    talking: m.talking,
                };
                (who, m.has_floor)
            })
            .collect();
        Shown {
            conference: room.conference,
            locked: room.locked,
            members,
        }
    }

    /// Learns who the channels of a list are, where that is not known yet.
    pub fn listed(&mut self, listed: &[ListedChannel]) {
        for channel in listed {
            if !self.ended.contains_key(&channel.channel) {
                self.identities
                    .entry(channel.channel)
                    .or_insert_with(|| channel.identity.clone());
            }
        }
    }

    /// The channels of a list that should be asked about: parked and not known as calls of ours, or believed to be where
    /// no list can confirm it.
    pub fn wants_dump(&self, listed: &[ListedChannel]) -> Vec<ChannelId> {
        listed
            .iter()
            .filter(|listed| {
                if self.ended.contains_key(&listed.channel) {
                    return false;
                }
                match self
                    .sessions
                    .get(&SessionId::new(self.node, listed.channel))
                    .map(SessionState::place)
                {
                    Some(Place::Ringing | Place::Joining(_) | Place::Leaving(_)) => true,
                    Some(Place::Parked | Place::InRoom(_) | Place::Ended) => false,
                    None => listed.parked,
                }
            })
            .map(|listed| listed.channel)
            .collect()
    }

    /// The believed calls that are not among these.
    pub fn missing_from(&self, listed: &BTreeSet<ChannelId>) -> Vec<ChannelId> {
        self.sessions
            .keys()
            .map(SessionId::channel)
            .filter(|channel| !listed.contains(channel))
            .collect()
    }

    /// Forgets who the channels are that two lists in a row did not have: their end was lost.
    pub fn keep_identities(&mut self, listed: &BTreeSet<ChannelId>) {
        let unlisted: BTreeSet<ChannelId> = self
            .identities
            .keys()
            .copied()
            .filter(|channel| !listed.contains(channel))
            .collect();
        for channel in unlisted.intersection(&self.unlisted) {
            self.identities.remove(channel);
        }
        self.unlisted = unlisted;
    }

    /// Takes in what `uuid_dump` told of a channel.
    pub fn dump(&mut self, dump: Dump, cx: &mut Cx<'_>) {
        if self.core != Some(dump.core) || self.ended.contains_key(&dump.channel) {
            cx.out.ignored += 1;
            return;
        }
        let before = cx.out.notices.len();
        let id = SessionId::new(self.node, dump.channel);
        let answered_at = dump.identity.answered_at;
        self.meet(dump.channel, dump.identity);
        if dump.parked {
            self.parked(dump.channel, dump.sequence, cx.now, true, cx);
        }
        if let Some(at) = answered_at
            && self.sessions.contains_key(&id)
        {
            self.session_input(
                id,
                SessionInput::Answered {
                    at,
                    synthesized: true,
                },
                cx,
            );
        }
        cx.out.drift += (cx.out.notices.len() - before) as u64;
    }

    /// `uuid_exists` said that a believed call does not exist, at this fence.
    pub fn vanished(&mut self, channel: ChannelId, fence: u64, cx: &mut Cx<'_>) {
        let before = cx.out.notices.len();
        self.hung_up(channel, "UNKNOWN".to_owned(), cx.now, Some(fence), true, cx);
        self.identities.remove(&channel);
        cx.out.drift += (cx.out.notices.len() - before) as u64;
    }

    // ---- what callers want ----------------------------------------------------------------------------------------

    /// Checks an intent and, when it may stand, takes it in.
    ///
    /// # Errors
    /// [`Refusal`], and nothing has changed.
    pub fn intent(&mut self, intent: Intent, cx: &mut Cx<'_>) -> Result<Accepted, Refusal> {
        match intent {
            Intent::CreateRoom {
                room,
                app,
                name,
                origin,
            } => {
                let registration = Registration {
                    app,
                    name,
                    origin,
                    created_at: cx.now,
                };
                self.room_input(room, RoomInput::Created(registration), cx);
                Ok(Accepted::Created)
            }
            Intent::DeleteRoom { room, app } => {
                self.own_room(room, &app)?;
                let deadline = cx.now + self.rules.patience.delete;
                self.room_input(room, RoomInput::Delete { deadline }, cx);
                Ok(Accepted::Deleted)
            }
            Intent::Join {
                session,
                room,
                app,
                muted,
                command_uid,
            } => self.join(session, room, &app, muted, command_uid, cx),
            Intent::Leave {
                session,
                app,
                command_uid,
            } => {
                let room = self.joined(session, &app)?;
                self.session_input(session, SessionInput::Leaving, cx);
                self.room_input(
                    room,
                    RoomInput::Leave {
                        session,
                        command_uid,
                        deadline: cx.now + self.rules.patience.leave,
                    },
                    cx,
                );
                Ok(Accepted::Leaving { room })
            }
            Intent::Mute {
                session,
                app,
                mute,
                command_uid,
            } => {
                let room = self.joined(session, &app)?;
                let speaks = self
                    .rooms
                    .get(&room)
                    .and_then(|r| r.members().get(&session))
                    .is_some_and(|m| m.flags.speak);
                match (mute, speaks) {
                    (true, false) => return Err(Refusal::AlreadyMuted),
                    (false, true) => return Err(Refusal::AlreadyUnmuted),
                    (true, true) | (false, false) => {}
                }
                self.room_input(
                    room,
                    RoomInput::Mute {
                        session,
                        mute,
                        command_uid,
                        deadline: cx.now + self.rules.patience.mute,
                    },
                    cx,
                );
                Ok(if mute {
                    Accepted::Muted { room }
                } else {
                    Accepted::Unmuted { room }
                })
            }
            Intent::Answer { session, app } => {
                let call = self.own_session(session, &app)?;
                if call.answered_at().is_some() {
                    return Err(Refusal::AlreadyAnswered);
                }
                cx.out.orders.push(Order::Answer { session });
                Ok(Accepted::InProgress {
                    operation: OperationId::new(cx.ids.uuid()),
                })
            }
            Intent::Hangup {
                session,
                app,
                cause,
            } => {
                self.own_session(session, &app)?;
                cx.out.orders.push(Order::Hangup { session, cause });
                Ok(Accepted::InProgress {
                    operation: OperationId::new(cx.ids.uuid()),
                })
            }
        }
    }

    fn join(
        &mut self,
        session: SessionId,
        room: RoomId,
        app: &AppId,
        muted: Option<bool>,
        command_uid: Option<CommandUid>,
        cx: &mut Cx<'_>,
    ) -> Result<Accepted, Refusal> {
        let call = self
            .sessions
            .get(&session)
            .filter(|s| !s.is_over())
            .ok_or(Refusal::SessionNotFound)?;
        if room.node() != session.node() {
            // Whether that room exists and whose it is, is for the caller to look up: it is not in this belief.
            if call.app() != app {
                return Err(Refusal::ForeignSession);
            }
            return Err(Refusal::OtherNode {
                session_node: session.node(),
                room_node: room.node(),
            });
        }
        let target = self
            .rooms
            .get(&room)
            .filter(|r| r.is_open())
            .and_then(|r| r.registration())
            .ok_or(Refusal::RoomNotFound)?;
        if call.app() != app {
            return Err(Refusal::ForeignSession);
        }
        if target.app != *app {
            return Err(Refusal::ForeignRoom);
        }
        match call.place() {
            Place::Ringing | Place::Parked => {}
            Place::Joining(current) if *current == room => return Ok(Accepted::Joining { room }),
            Place::InRoom(current) if *current == room => {
                return Ok(Accepted::AlreadyJoined { room });
            }
            Place::Joining(current) | Place::InRoom(current) => {
                return Err(Refusal::InOtherRoom { room: *current });
            }
            Place::Leaving(_) => return Err(Refusal::StillLeaving),
            Place::Ended => return Err(Refusal::SessionNotFound),
        }
        let input = RoomInput::Join {
            session,
            member: MemberId::new(cx.ids.uuid()),
            caller_id: call.caller_id().to_owned(),
            did: call.did().to_owned(),
            muted: muted.unwrap_or(target.origin == Origin::Gateway),
            command_uid,
            deadline: cx.now + self.rules.patience.join,
        };
        self.session_input(session, SessionInput::Joining { room }, cx);
        self.room_input(room, input, cx);
        Ok(Accepted::Joining { room })
    }

    fn own_session(&self, session: SessionId, app: &AppId) -> Result<&SessionState, Refusal> {
        let call = self
            .sessions
            .get(&session)
            .filter(|s| !s.is_over())
            .ok_or(Refusal::SessionNotFound)?;
        if call.app() == app {
            Ok(call)
        } else {
            Err(Refusal::ForeignSession)
        }
    }

    fn own_room(&self, room: RoomId, app: &AppId) -> Result<&Registration, Refusal> {
        let registration = self
            .rooms
            .get(&room)
            .filter(|r| r.is_open())
            .and_then(RoomState::registration)
            .ok_or(Refusal::RoomNotFound)?;
        if registration.app == *app {
            Ok(registration)
        } else {
            Err(Refusal::ForeignRoom)
        }
    }

    /// The room a call is in, as a member that can be told to do something.
    fn joined(&self, session: SessionId, app: &AppId) -> Result<RoomId, Refusal> {
        let room = self
            .own_session(session, app)?
            .place()
            .room()
            .ok_or(Refusal::NotInRoom)?;
        let member = self
            .rooms
            .get(&room)
            .filter(|r| r.registration().is_some())
            .and_then(|r| r.members().get(&session))
            .ok_or(Refusal::NotInRoom)?;
        match member.status {
            MemberStatus::Joining { .. } => Err(Refusal::StillJoining),
            MemberStatus::Joined => Ok(room),
            MemberStatus::Leaving { .. } => Err(Refusal::StillLeaving),
        }
    }

    /// FreeSWITCH refused an order: the state says so.
    pub fn refused(&mut self, order: &Order, no_such_channel: bool, cx: &mut Cx<'_>) {
        match order {
            Order::Enter { session, room, .. } => self.room_input(
                *room,
                RoomInput::NotEntered {
                    session: *session,
                    reason: JoinFailure::Refused,
                },
                cx,
            ),
            Order::Park { session, room } => {
                self.room_input(*room, RoomInput::LeaveRefused { session: *session }, cx);
            }
            Order::Mute {
                session,
                room,
                mute,
            } => self.room_input(
                *room,
                RoomInput::MuteRefused {
                    session: *session,
                    mute: *mute,
                },
                cx,
            ),
            Order::Describe { .. } | Order::Answer { .. } | Order::Hangup { .. } => {}
        }
        if no_such_channel {
            cx.out.resync = Some("FreeSWITCH does not know a call");
        }
    }

    /// Time has passed for a room.
    pub fn deadline(&mut self, entity: EntityId, cx: &mut Cx<'_>) {
        match entity {
            EntityId::Room(id) => {
                if self.rooms.contains_key(&id) {
                    self.room_input(id, RoomInput::Deadline, cx);
                }
            }
            EntityId::Session(_) => {}
        }
    }

    // ---- the two machines -----------------------------------------------------------------------------------------

    fn room_input(&mut self, id: RoomId, input: RoomInput, cx: &mut Cx<'_>) {
        let room = self
            .rooms
            .entry(id)
            .or_insert_with(|| RoomState::unregistered(id));
        self.touched.insert(EntityId::Room(id));
        for effect in room::apply(room, input, cx.now) {
            self.room_effect(id, effect, cx);
        }
        // A conference that came and went without being one of ours leaves nothing behind.
        let forgotten = self.rooms.get(&id).is_some_and(|r| {
            r.registration().is_none() && r.conference().is_none() && r.members().is_empty()
        });
        if forgotten {
            self.rooms.remove(&id);
        }
    }

    fn room_effect(&mut self, id: RoomId, effect: RoomEffect, cx: &mut Cx<'_>) {
        let registration = self.rooms.get(&id).and_then(|r| r.registration().cloned());
        match effect {
            RoomEffect::Command(command) => {
                let order = match command {
                    RoomCommand::Enter { session, muted } => Order::Enter {
                        session,
                        room: id,
                        muted,
                    },
                    RoomCommand::Park { session } => Order::Park { session, room: id },
                    RoomCommand::Mute { session, mute } => Order::Mute {
                        session,
                        room: id,
                        mute,
                    },
                    RoomCommand::Describe => {
                        let Some(registration) = registration else {
                            return;
                        };
                        Order::Describe {
                            room: id,
                            registration,
                        }
                    }
                };
                cx.out.orders.push(order);
            }
            RoomEffect::Notify(notice) => {
                if let Some(registration) = registration {
                    cx.out.notices.push(Notice {
                        app: registration.app,
                        about: About::Room(id, notice),
                    });
                }
            }
            RoomEffect::SessionEntered { session, sequence } => {
                if !self.sessions.contains_key(&session) {
                    // The dialplan brought it straight in: it is the app's whose room it is, unless it has one.
                    let app = self
                        .app_of(session.channel())
                        .or(registration.map(|r| r.app));
                    let Some(app) = app else { return };
                    self.first_seen(session, app, cx.now, false, cx);
                }
                self.session_input(session, SessionInput::Entered { room: id, sequence }, cx);
            }
            RoomEffect::SessionLeft { session, sequence } => {
                if self.sessions.contains_key(&session) {
                    self.session_input(session, SessionInput::Left { room: id, sequence }, cx);
                }
            }
            RoomEffect::SessionStays { session } => {
                if self.sessions.contains_key(&session) {
                    self.session_input(session, SessionInput::Stays { room: id }, cx);
                }
            }
        }
    }

    fn session_input(&mut self, id: SessionId, input: SessionInput, cx: &mut Cx<'_>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let app = session.app().clone();
        self.touched.insert(EntityId::Session(id));
        for effect in session::apply(session, input, cx.now) {
            match effect {
                SessionEffect::Notify(notice) => cx.out.notices.push(Notice {
                    app: app.clone(),
                    about: About::Session(id, notice),
                }),
                SessionEffect::RoomGone {
                    room,
                    session,
                    sequence,
                    reason,
                    synthesized,
                } => self.room_gone(room, session, sequence, (reason, synthesized), cx),
                SessionEffect::RoomNotEntered {
                    room,
                    session,
                    reason,
                } => self.room_input(room, RoomInput::NotEntered { session, reason }, cx),
            }
        }
    }

    fn room_gone(
        &mut self,
        room: RoomId,
        session: SessionId,
        sequence: Option<u64>,
        (reason, synthesized): (LeftReason, bool),
        cx: &mut Cx<'_>,
    ) {
        let stay = self
            .rooms
            .get(&room)
            .and_then(|r| r.members().get(&session))
            .and_then(|m| m.stay);
        // Without a stay there is nothing to end; without a sequence the run of FreeSWITCH is over, and the room has
        // been told so already.
        if let (Some(stay), Some(sequence)) = (stay, sequence) {
            let at = EventStamp {
                core: stay.core,
                conference: stay.conference,
                sequence,
                synthesized,
            };
            self.room_input(
                room,
                RoomInput::Gone {
                    at,
                    session,
                    reason,
                },
                cx,
            );
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
