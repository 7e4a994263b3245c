//! A model of a FreeSWITCH node: the place of each call, the state of each conference, and the event for each change.
//!
//! It shares no code with the room domain. It emits switch events; the recordings show that real events are decoded to
//! these.

mod callees;
mod controls;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roomkeeper_core::call::{Bridge, Direction, ParkId, StepId};
use roomkeeper_core::ids::{AppId, ChannelId, ConferenceId, CoreId, NodeId, RecordingId, RoomId};
use roomkeeper_core::room::{FileId, Level, MemberFlag, RecordAction, ReportedLevels};
use roomkeeper_core::switch_event::{
    ChannelChange, ChannelDump, ConferenceChange, Identity, ListedChannel, MemberBlock, Snapshot,
    SnapshotMember, SnapshotRoom, SwitchEvent, SwitchEventKind,
};
use roomkeeper_core::time::Timestamp;
use uuid::Uuid;

pub use callees::Callees;
use controls::Controls;
pub use controls::Effect;

/// The maximum number of calls; more are refused.
pub const CALLS: usize = 5;

/// The maximum number of changes by which the list of channels can lag behind.
pub const LATEST_LIST: usize = 3;

pub fn node_id() -> NodeId {
    "acW68".parse().unwrap()
}

pub fn app() -> AppId {
    "demo".parse().unwrap()
}

/// The place of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Parked,
    In(RoomId),
    /// Outside a conference, and in transfer.
    Between,
    /// Listening to this channel.
    Coaching(ChannelId),
    /// Calling the other side of a transfer, or connected with it.
    Bridged {
        answered: bool,
    },
}

/// The target of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Going {
    Into {
        room: RoomId,
        muted: bool,
        deaf: bool,
        bound: bool,
        plan: Plan,
    },
    Park(ParkId, Plan),
    /// To listen to this channel, and then into the park.
    Coach(ParkId, ChannelId, Plan),
    /// To the other side of a transfer, and then into the park.
    Out(ParkId, Plan),
}

/// The variables that the plan of a transfer sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// True if it restores the transfer count.
    pub restores: bool,
    /// True if the call remains up when its conference ends.
    pub stays_up: bool,
    /// True if a park follows at the end.
    pub parks: bool,
    /// The registration of a conference that this call creates.
    pub meta: Option<String>,
    /// The levels that it gives to the member.
    pub levels: ReportedLevels,
}

impl Plan {
    pub fn from_text(text: &str) -> Self {
        Self {
            restores: text.contains("max_session_transfers="),
            stays_up: text.contains("hangup_after_conference=false"),
            parks: text.ends_with(",park inline") || text.ends_with(",park' inline"),
            meta: text
                .split([';', ','])
                .find_map(|word| word.strip_prefix("confvar_roomkeeper_meta="))
                .filter(|meta| !meta.is_empty())
                .map(str::to_owned),
            levels: joined_levels(text),
        }
    }
}

/// The levels of a member that nobody has changed.
const PROFILE: ReportedLevels = ReportedLevels {
    volume_in: Some(0),
    volume_out: Some(0),
    energy: Some(100),
};

/// Returns the levels of a member that enters by a plan.
fn joined_levels(plan: &str) -> ReportedLevels {
    let value = |name: &str| {
        let words = plan.split([';', ']', ',']);
        let mut values = words.filter_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        values.next().map(|value| value.parse().unwrap())
    };
    ReportedLevels {
        volume_in: value("conference_join_volume_in").or(PROFILE.volume_in),
        volume_out: value("conference_join_volume_out").or(PROFILE.volume_out),
        energy: value("conference_join_energy_level").or(PROFILE.energy),
    }
}

/// The number of transfers that a call survives unless a plan restores the count. FreeSWITCH's is 70.
const FORWARDS: u32 = 4;

#[derive(Clone, Debug)]
pub struct Call {
    /// True if the dialplan has set our app.
    pub ours: bool,
    pub answered: bool,
    pub place: Place,
    pub going: Option<Going>,
    /// True if another client has transferred it into a conference.
    pub sent_about: bool,
    /// True if another client, or the end of a conference, has removed it from one.
    pub taken_out: bool,
    /// The flags that are off.
    pub off: BTreeSet<MemberFlag>,
    pub held: bool,
    /// The levels of its sound.
    pub levels: ReportedLevels,
    /// The files that it alone hears, in playing order.
    pub files: VecDeque<FileId>,
    /// Its own recordings, and the rooms that requested them.
    taps: BTreeMap<RecordingId, RoomId>,
    /// The current step.
    step: Option<StepId>,
    /// True if the step collects digits.
    gathers: bool,
    /// The checkpoint on the channel.
    mark: Option<String>,
    /// The id of the last park command that was carried out.
    parked_by: Option<ParkId>,
    /// The result of the last transfer.
    bridge: Option<Bridge>,
    /// The number of transfers that it still survives.
    forwards: u32,
    /// The last transfer that was carried out, which a recovered call executes again.
    last_plan: Option<Going>,
    /// True if it was recovered and has entered no conference since.
    enters_silently: bool,
    /// True if the node has made it for a room.
    dialled: bool,
}

impl Call {
    /// Returns a parked call.
    fn new(ours: bool, answered: bool) -> Self {
        Self {
            ours,
            answered,
            place: Place::Parked,
            going: None,
            sent_about: false,
            taken_out: false,
            off: BTreeSet::new(),
            held: false,
            levels: PROFILE,
            files: VecDeque::new(),
            taps: BTreeMap::new(),
            step: None,
            gathers: false,
            mark: None,
            parked_by: None,
            bridge: None,
            forwards: FORWARDS,
            last_plan: None,
            enters_silently: false,
            dialled: false,
        }
    }

    pub fn is_on(&self, flag: MemberFlag) -> bool {
        !self.off.contains(&flag)
    }

    fn set(&mut self, flag: MemberFlag, on: bool) {
        if on {
            self.off.remove(&flag);
        } else {
            self.off.insert(flag);
        }
    }

    /// Resets the flags of a new member: all are on, except that it can be muted and deaf.
    fn reset_flags(&mut self, muted: bool, deaf: bool) {
        self.off.clear();
        self.set(MemberFlag::Speak, !muted);
        self.set(MemberFlag::Hear, !deaf);
    }
}

/// A conference instance.
#[derive(Clone, Debug)]
pub struct Conference {
    pub instance: ConferenceId,
    pub locked: bool,
    pub floor: Option<ChannelId>,
    /// True if all members leave when one leaves.
    bound: bool,
    meta: Option<String>,
    pub controls: Controls,
    /// The recordings, each with true if it is paused.
    pub recordings: BTreeMap<RecordingId, bool>,
    /// The file that plays, and those that follow.
    pub playing: VecDeque<FileId>,
    paused: bool,
}

/// The reason why a command was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rejection {
    NoSuchChannel,
    NoSuchMember,
    NothingPlaying,
    NotRecorded,
}

#[derive(Debug)]
pub struct Node {
    core: u128,
    sequence: u64,
    next_id: u128,
    pub conferences: BTreeMap<RoomId, Conference>,
    /// Instances without members whose end has not been reported yet.
    dying: Vec<(RoomId, Conference)>,
    pub calls: BTreeMap<ChannelId, Call>,
    pub callees: Callees,
    /// The calls of earlier processes that can be recovered.
    tracked: BTreeMap<ChannelId, Call>,
    events: Vec<SwitchEvent>,
    /// The lists of channels after each of the last changes, oldest first.
    lists: VecDeque<Vec<ListedChannel>>,
    /// The number of times that each call entered each conference.
    pub came_in: BTreeMap<(RoomId, ChannelId), usize>,
    /// The number of times that each call entered a conference that was ending.
    pub interrupted: BTreeMap<(RoomId, ChannelId), usize>,
    /// The number of times that a full conference refused each call.
    pub full: BTreeMap<(RoomId, ChannelId), usize>,
    /// The files of rooms that have been played to their end.
    pub played: BTreeSet<FileId>,
    /// The reason why FreeSWITCH hung up a call without a request, if it did.
    pub unexpected_hangup: Option<&'static str>,
}

impl Node {
    pub fn new() -> Self {
        Self {
            core: 1,
            sequence: 100,
            next_id: 1,
            conferences: BTreeMap::new(),
            dying: Vec::new(),
            calls: BTreeMap::new(),
            callees: Callees::default(),
            tracked: BTreeMap::new(),
            events: Vec::new(),
            lists: VecDeque::new(),
            came_in: BTreeMap::new(),
            interrupted: BTreeMap::new(),
            full: BTreeMap::new(),
            played: BTreeSet::new(),
            unexpected_hangup: None,
        }
    }

    /// Returns the events since the last call, in order.
    pub fn take_events(&mut self) -> Vec<SwitchEvent> {
        std::mem::take(&mut self.events)
    }

    pub fn core_id(&self) -> CoreId {
        CoreId::new(Uuid::from_u128(0xC0DE_0000 + self.core))
    }

    fn next_number(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn report(&mut self, what: SwitchEventKind) {
        self.sequence += 1;
        self.events.push(SwitchEvent {
            core: self.core_id(),
            sequence: self.sequence,
            at: Timestamp::from_millis(self.sequence),
            kind: what,
        });
    }

    fn report_channel(&mut self, channel: ChannelId, change: ChannelChange) {
        let change = self.with_room_that_dialled(channel, change);
        self.report(SwitchEventKind::Channel { channel, change });
    }

    /// Adds the room that dialled a channel to its change: a variable of the channel, which some events have.
    fn with_room_that_dialled(&self, channel: ChannelId, change: ChannelChange) -> ChannelChange {
        let has_variables = matches!(
            change,
            ChannelChange::Created(_)
                | ChannelChange::Ringing
                | ChannelChange::Answered(_)
                | ChannelChange::Parked { .. }
                | ChannelChange::HungUp { .. }
                | ChannelChange::Destroyed { .. }
        );
        match self.callees.room(channel).filter(|_| has_variables) {
            Some(room) => ChannelChange::Dialled {
                room,
                change: Box::new(change),
                sip_status: None,
                answered: self.callees.answered.contains(&channel),
            },
            None => change,
        }
    }

    fn report_instance(&mut self, room: RoomId, instance: ConferenceId, change: ConferenceChange) {
        let current = self.conferences.get(&room).map(|c| c.instance);
        let size = if current == Some(instance) {
            self.members(room).len()
        } else {
            0
        };
        self.report_size(room, instance, size, change);
    }

    fn report_size(
        &mut self,
        room: RoomId,
        instance: ConferenceId,
        size: usize,
        change: ConferenceChange,
    ) {
        self.report(SwitchEventKind::Conference {
            room,
            conference: instance,
            size: Some(size),
            change,
        });
    }

    fn report_room(&mut self, room: RoomId, change: ConferenceChange) {
        if let Some(instance) = self.conferences.get(&room).map(|c| c.instance) {
            self.report_instance(room, instance, change);
        }
    }

    fn identity(call: &Call) -> Identity {
        if call.dialled {
            return callees::identity(call.answered);
        }
        Identity {
            caller_id: "527121101".into(),
            did: None,
            direction: Direction::Inbound,
            app: call.ours.then(app),
            created_at: Some(Timestamp::from_millis(1)),
            answered_at: call.answered.then(|| Timestamp::from_millis(2)),
        }
    }

    fn block(&self, channel: ChannelId) -> MemberBlock {
        let call = &self.calls[&channel];
        MemberBlock {
            channel,
            speak: call.is_on(MemberFlag::Speak),
            hear: call.is_on(MemberFlag::Hear),
            hold: call.held,
            talking: false,
            identity: Self::identity(call),
        }
    }

    /// Returns the members of a conference.
    pub fn members(&self, room: RoomId) -> Vec<ChannelId> {
        self.calls
            .iter()
            .filter(|(_, call)| call.place == Place::In(room))
            .map(|(channel, _)| *channel)
            .collect()
    }

    /// Remembers the present list of channels: the list is written late.
    fn note_list(&mut self) {
        self.lists.push_back(self.list_now());
        if self.lists.len() > LATEST_LIST {
            self.lists.pop_front();
        }
    }

    // ---- changes without a command -------------------------------------------------------------------------------

    pub fn call_in(&mut self, ours: bool, answered: bool) {
        if self.calls.len() >= CALLS {
            return;
        }
        self.note_list();
        let channel = ChannelId::new(Uuid::from_u128(0xCA11_0000 + self.next_number()));
        let call = Call::new(ours, answered);
        let identity = Self::identity(&call);
        self.calls.insert(channel, call);
        self.report_channel(channel, ChannelChange::Created(identity.clone()));
        if answered {
            self.report_channel(channel, ChannelChange::Answered(identity.clone()));
        }
        self.report_channel(
            channel,
            ChannelChange::Parked {
                identity,
                by: None,
                bridge: None,
            },
        );
    }

    pub fn answer(&mut self, channel: ChannelId) -> Result<(), Rejection> {
        let call = self
            .calls
            .get_mut(&channel)
            .ok_or(Rejection::NoSuchChannel)?;
        if !std::mem::replace(&mut call.answered, true) {
            let identity = Self::identity(call);
            self.report_channel(channel, ChannelChange::Answered(identity));
        }
        Ok(())
    }

    /// `uuid_transfer`: answered at once, executed later.
    pub fn send(&mut self, channel: ChannelId, going: Going) -> Result<(), Rejection> {
        let call = self
            .calls
            .get_mut(&channel)
            .ok_or(Rejection::NoSuchChannel)?;
        call.going = Some(going);
        Ok(())
    }

    /// Executes a pending transfer: removes the call from its place, or puts it in the new one.
    pub fn execute_transfer(&mut self, channel: ChannelId) -> bool {
        let Some(call) = self.calls.get(&channel) else {
            return false;
        };
        let Some(going) = call.going.clone() else {
            return false;
        };
        self.note_list();
        self.abort_step(channel);
        if matches!(self.calls[&channel].place, Place::In(_)) {
            self.remove_member(channel, false, false);
            return true;
        }
        if let Place::Bridged { answered } = self.calls[&channel].place {
            self.end_bridge(channel, answered, "ORIGINATOR_CANCEL");
        }
        let (Going::Into { plan, .. }
        | Going::Park(_, plan)
        | Going::Coach(_, _, plan)
        | Going::Out(_, plan)) = &going;
        if !self.count_transfer(channel, plan) {
            return true;
        }
        self.with(channel, |call| call.last_plan = call.going.take());
        match going {
            Going::Into {
                room,
                muted,
                deaf,
                bound,
                plan,
            } => {
                self.with(channel, |call| call.levels = plan.levels);
                self.add_member(channel, room, (muted, deaf), bound, plan.meta);
            }
            Going::Park(parking, _) => {
                self.with(channel, |call| call.parked_by = Some(parking));
                self.park(channel);
            }
            Going::Out(parking, _) => self.with(channel, |call| {
                call.parked_by = Some(parking);
                call.bridge = None;
                call.place = Place::Bridged { answered: false };
            }),
            Going::Coach(parking, member, _) => {
                self.with(channel, |call| call.parked_by = Some(parking));
                if self.calls.contains_key(&member) {
                    self.with(channel, |call| call.place = Place::Coaching(member));
                    self.report_channel(member, ChannelChange::ListenedTo);
                } else {
                    self.park(channel);
                }
            }
        }
        true
    }

    /// Sets the result of a transfer that is over.
    fn end_bridge(&mut self, channel: ChannelId, answered: bool, cause: &str) {
        self.with(channel, |call| {
            call.place = Place::Between;
            call.bridge = Some(match answered {
                true => Bridge::Answered {
                    cause: Some("NORMAL_CLEARING".to_owned()),
                },
                false => Bridge::Failed {
                    cause: cause.to_owned(),
                    sip_status: None,
                },
            });
        });
    }

    /// Lets the other side of a transfer answer, or else end. Returns false if there is none.
    pub fn other_side(&mut self, channel: ChannelId, answers: bool) -> bool {
        let Some(Place::Bridged { answered }) = self.calls.get(&channel).map(|call| call.place)
        else {
            return false;
        };
        self.note_list();
        if answers && !answered {
            self.with(channel, |call| {
                call.place = Place::Bridged { answered: true }
            });
            let by = self.calls[&channel].parked_by;
            self.report_channel(channel, ChannelChange::Bridged { by });
        } else {
            self.end_bridge(channel, answered, "USER_BUSY");
            self.park(channel);
        }
        true
    }

    /// Returns true if the other side of a transfer has not answered.
    pub fn is_ringing_out(&self, channel: ChannelId) -> bool {
        let place = self.calls.get(&channel).map(|call| call.place);
        place == Some(Place::Bridged { answered: false })
    }

    /// Executes a pending transfer into a conference that does not admit the call: the call parks.
    pub fn refuse_transfer(&mut self, channel: ChannelId) -> bool {
        let call = self.calls.get(&channel);
        let Some(Going::Into { plan, .. }) = call.and_then(|call| call.going.clone()) else {
            return false;
        };
        self.note_list();
        self.abort_step(channel);
        self.remove_member(channel, false, false);
        if !self.count_transfer(channel, &plan) {
            return false;
        }
        let _known = self.answer(channel);
        self.with(channel, |call| call.last_plan = call.going.take());
        if plan.parks {
            self.park(channel);
        } else {
            let _it_is_there = self.hang_up(channel);
        }
        true
    }

    /// Counts an executed transfer. The last one hangs the call up.
    fn count_transfer(&mut self, channel: ChannelId, plan: &Plan) -> bool {
        let Some(call) = self.calls.get_mut(&channel) else {
            return false;
        };
        call.forwards -= 1;
        if call.forwards == 0 {
            self.unexpected_hangup = Some("the call was transferred too often");
            let _it_is_there = self.hang_up(channel);
            return false;
        }
        if plan.restores {
            call.forwards = FORWARDS;
        }
        true
    }

    /// Lets a call enter a conference while all others leave. FreeSWITCH ends the conference and removes the call
    /// again.
    pub fn enter_interrupted(&mut self, channel: ChannelId, lingers: bool) -> bool {
        let call = self.calls.get(&channel);
        let Some(Going::Into {
            room,
            muted,
            deaf,
            plan,
            ..
        }) = call.and_then(|call| call.going.clone())
        else {
            return false;
        };
        let place = call.map(|call| call.place);
        let members = self.members(room);
        if members.is_empty() || !matches!(place, Some(Place::Parked | Place::Between)) {
            return false;
        }
        self.note_list();
        self.abort_step(channel);
        if !self.count_transfer(channel, &plan) {
            return false;
        }
        let _known = self.answer(channel);
        for member in members {
            self.with(member, |call| call.taken_out = true);
            self.remove_member(member, false, true);
            let between = self.calls[&member].place == Place::Between;
            if between && self.calls[&member].going.is_none() {
                self.park(member);
            }
        }
        let Some(instance) = self.dying.last().map(|(_, conference)| conference.instance) else {
            return false;
        };
        self.with(channel, |call| {
            call.last_plan = call.going.take();
            call.taken_out = true;
            call.place = Place::Between;
            call.reset_flags(muted, deaf);
            call.held = false;
            call.files.clear();
        });
        *self.interrupted.entry((room, channel)).or_default() += 1;
        let block = self.block(channel);
        self.report_size(room, instance, 1, ConferenceChange::Added(block));
        if !plan.stays_up {
            self.unexpected_hangup = Some("the conference ended by itself");
        }
        let removed = ConferenceChange::Removed {
            channel,
            hung_up: false,
            last: true,
        };
        self.report_size(room, instance, 0, removed);
        if plan.stays_up && plan.parks {
            self.park(channel);
        } else {
            let _it_is_there = self.hang_up(channel);
        }
        if !lingers {
            self.report_ends();
        }
        true
    }

    fn with(&mut self, channel: ChannelId, change: impl FnOnce(&mut Call)) {
        if let Some(call) = self.calls.get_mut(&channel) {
            change(call);
        }
    }

    fn park(&mut self, channel: ChannelId) {
        self.with(channel, |call| call.place = Place::Parked);
        let call = &self.calls[&channel];
        let parked = ChannelChange::Parked {
            identity: Self::identity(call),
            by: call.parked_by,
            bridge: call.bridge.clone(),
        };
        self.report_channel(channel, parked);
    }

    fn add_member(
        &mut self,
        channel: ChannelId,
        room: RoomId,
        (muted, deaf): (bool, bool),
        bound: bool,
        meta: Option<String>,
    ) {
        // A conference answers a call that enters.
        let _known = self.answer(channel);
        if self.is_full(room, channel) {
            return self.park(channel);
        }
        if !self.conferences.contains_key(&room) {
            let instance = ConferenceId::new(Uuid::from_u128(0xCF00_0000 + self.next_number()));
            self.conferences.insert(
                room,
                Conference {
                    instance,
                    locked: false,
                    floor: None,
                    bound,
                    meta,
                    controls: Controls::default(),
                    recordings: BTreeMap::new(),
                    playing: VecDeque::new(),
                    paused: false,
                },
            );
            self.report_room(room, ConferenceChange::Created);
        }
        self.with(channel, |call| {
            call.place = Place::In(room);
            call.reset_flags(muted, deaf);
            call.held = false;
            call.files.clear();
        });
        *self.came_in.entry((room, channel)).or_default() += 1;
        let mut is_silent = false;
        self.with(channel, |call| {
            is_silent = std::mem::take(&mut call.enters_silently)
        });
        if !is_silent {
            let block = self.block(channel);
            self.report_room(room, ConferenceChange::Added(block));
        }
    }

    /// Removes a call from its conference, if it is in one. The last member ends it; `lingers` delays the event of that
    /// end.
    fn remove_member(&mut self, channel: ChannelId, hung_up: bool, lingers: bool) {
        let Some(Place::In(room)) = self.calls.get(&channel).map(|call| call.place) else {
            return;
        };
        self.with(channel, |call| call.place = Place::Between);
        let removed = ConferenceChange::Removed {
            channel,
            hung_up,
            last: self.members(room).is_empty(),
        };
        self.report_room(room, removed);
        let had_floor = self
            .conferences
            .get(&room)
            .is_some_and(|c| c.floor == Some(channel));
        if had_floor {
            self.floor(room, None);
        }
        let left = self.members(room);
        if left.is_empty() {
            self.end_conference(room, lingers);
        } else if self.conferences.get(&room).is_some_and(|c| c.bound) {
            for other in left {
                self.with(other, |call| call.taken_out = true);
                self.remove_member(other, false, false);
                // A transfer that was requested meanwhile comes first.
                if self.calls[&other].going.is_none() {
                    self.park(other);
                }
            }
        }
    }

    fn end_conference(&mut self, room: RoomId, lingers: bool) {
        let Some(conference) = self.conferences.get_mut(&room) else {
            return;
        };
        let files: Vec<FileId> = conference.playing.drain(..).collect();
        let recordings = std::mem::take(&mut conference.recordings);
        for file in files {
            self.report_room(room, ConferenceChange::FileEnded { file, member: None });
        }
        for recording in recordings.into_keys() {
            self.report_recording_over(room, recording);
        }
        if let Some(conference) = self.conferences.remove(&room) {
            self.dying.push((room, conference));
            if !lingers {
                self.report_ends();
            }
        }
    }

    /// Reports the ends of conferences that were not reported yet.
    pub fn report_ends(&mut self) -> bool {
        let dying = std::mem::take(&mut self.dying);
        for (room, conference) in &dying {
            self.report_instance(*room, conference.instance, ConferenceChange::Destroyed);
        }
        !dying.is_empty()
    }

    /// Puts a call into a conference at once, without a command.
    pub fn enter(&mut self, channel: ChannelId, room: RoomId, muted: bool, lingers: bool) {
        if self.calls.contains_key(&channel) {
            self.note_list();
            self.abort_step(channel);
            self.with(channel, |call| {
                call.going = None;
                call.last_plan = Some(Going::Into {
                    room,
                    muted,
                    deaf: false,
                    bound: false,
                    plan: Plan::from_text("hangup_after_conference=false,park inline"),
                });
                call.sent_about = true;
            });
            self.remove_member(channel, false, lingers);
            self.with(channel, |call| call.levels = PROFILE);
            self.add_member(channel, room, (muted, false), false, None);
        }
    }

    /// FreeSWITCH's own transfer between conferences, which has an event.
    pub fn move_to(&mut self, channel: ChannelId, room: RoomId) {
        if let Some(Place::In(from)) = self.calls.get(&channel).map(|call| call.place)
            && from != room
        {
            let muted = !self.calls[&channel].is_on(MemberFlag::Speak);
            self.report_room(from, ConferenceChange::Moving(channel));
            self.enter(channel, room, muted, false);
        }
    }

    pub fn leave(&mut self, channel: ChannelId) {
        if let Some(Place::In(_)) = self.calls.get(&channel).map(|call| call.place) {
            self.note_list();
            self.with(channel, |call| call.taken_out = true);
            self.remove_member(channel, false, false);
            // A transfer that was requested meanwhile remains pending.
            if self.calls[&channel].going.is_none() {
                self.park(channel);
            }
        }
    }

    pub fn hang_up(&mut self, channel: ChannelId) -> Result<(), Rejection> {
        if !self.calls.contains_key(&channel) {
            return Err(Rejection::NoSuchChannel);
        }
        self.note_list();
        let cause = "NORMAL_CLEARING".to_owned();
        self.report_channel(channel, ChannelChange::HungUp { cause });
        self.remove_member(channel, true, false);
        self.abort_step(channel);
        let taps = self.calls.get_mut(&channel);
        let taps = taps.map(|call| std::mem::take(&mut call.taps));
        for (recording, room) in taps.unwrap_or_default() {
            self.report_tap_over(channel, room, recording);
        }
        self.calls.remove(&channel);
        let coaches = self.calls.iter();
        let coaches: Vec<ChannelId> = coaches
            .filter(|(_, call)| call.place == Place::Coaching(channel))
            .map(|(coach, _)| *coach)
            .collect();
        for coach in coaches {
            // A transfer that was requested meanwhile remains pending.
            if self.calls[&coach].going.is_none() {
                self.park(coach);
            } else {
                self.with(coach, |call| call.place = Place::Between);
            }
        }
        self.report_channel(channel, ChannelChange::Destroyed { cause: None });
        Ok(())
    }

    /// Sets a flag of a member: by a command, or by a key that the caller presses.
    pub fn set_flag(
        &mut self,
        channel: ChannelId,
        room: Option<RoomId>,
        flag: MemberFlag,
        on: bool,
    ) -> Result<(), Rejection> {
        let is_in = self.is_in(channel, room)?;
        self.with(channel, |call| call.set(flag, on));
        let block = self.block(channel);
        self.report_room(is_in, ConferenceChange::Flags(block));
        Ok(())
    }

    /// Sets a level of a member: by a command, or by another client.
    pub fn set_level(
        &mut self,
        channel: ChannelId,
        room: Option<RoomId>,
        level: Level,
        value: i32,
    ) -> Result<(), Rejection> {
        let is_in = self.is_in(channel, room)?;
        self.with(channel, |call| match level {
            Level::VolumeIn => call.levels.volume_in = Some(value),
            Level::VolumeOut => call.levels.volume_out = Some(value),
            Level::Energy => call.levels.energy = Some(value),
        });
        let block = self.block(channel);
        self.report_room(
            is_in,
            ConferenceChange::Level {
                block,
                level,
                value,
            },
        );
        Ok(())
    }

    /// Returns the conference of a call; a command that names another one fails.
    fn is_in(&self, channel: ChannelId, room: Option<RoomId>) -> Result<RoomId, Rejection> {
        match self.calls.get(&channel).map(|call| call.place) {
            Some(Place::In(is_in)) if room.is_none_or(|room| room == is_in) => Ok(is_in),
            _ => Err(Rejection::NoSuchMember),
        }
    }

    /// Holds or unholds a member; unhold stops its files.
    pub fn hold(
        &mut self,
        channel: ChannelId,
        room: Option<RoomId>,
        held: bool,
    ) -> Result<(), Rejection> {
        let room = self.is_in(channel, room)?;
        self.with(channel, |call| call.held = held);
        let block = self.block(channel);
        self.report_room(room, ConferenceChange::Flags(block));
        if !held {
            self.stop_member(channel, Some(room))?;
        }
        Ok(())
    }

    pub fn play_to(
        &mut self,
        channel: ChannelId,
        room: Option<RoomId>,
        file: FileId,
        opens: bool,
    ) -> Result<(), Rejection> {
        let room = self
            .is_in(channel, room)
            .map_err(|_| Rejection::NoSuchChannel)?;
        // A file that cannot be opened has no event.
        if !opens {
            return Err(Rejection::NoSuchMember);
        }
        self.with(channel, |call| call.files.push_back(file));
        let opened = ConferenceChange::FileOpened {
            file,
            failed: false,
            member: Some(channel),
        };
        self.report_room(room, opened);
        Ok(())
    }

    /// Ends the file that plays to a member.
    pub fn end_member_file(&mut self, channel: ChannelId) -> bool {
        let Ok(room) = self.is_in(channel, None) else {
            return false;
        };
        let call = self.calls.get_mut(&channel);
        let file = call.and_then(|call| call.files.pop_front());
        if let Some(file) = file {
            let member = Some(channel);
            self.report_room(room, ConferenceChange::FileEnded { file, member });
        }
        file.is_some()
    }

    pub fn stop_member(
        &mut self,
        channel: ChannelId,
        room: Option<RoomId>,
    ) -> Result<(), Rejection> {
        self.is_in(channel, room)?;
        while self.end_member_file(channel) {}
        Ok(())
    }

    /// Returns true if `play_status` reports that nothing plays to the member.
    pub fn is_silent_to(&self, channel: ChannelId, room: RoomId) -> bool {
        self.is_in(channel, Some(room)).is_ok() && self.calls[&channel].files.is_empty()
    }

    pub fn lock(&mut self, room: RoomId, locked: bool) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        conference.locked = locked;
        self.report_room(room, ConferenceChange::Locked(locked));
        Ok(())
    }

    pub fn take_floor(&mut self, channel: ChannelId) {
        if let Some(Place::In(room)) = self.calls.get(&channel).map(|call| call.place) {
            self.floor(room, Some(channel));
        }
    }

    fn floor(&mut self, room: RoomId, holder: Option<ChannelId>) {
        if let Some(conference) = self.conferences.get_mut(&room) {
            conference.floor = holder;
            let holder = holder.map(|channel| self.block(channel));
            self.report_room(room, ConferenceChange::Floor { holder });
        }
    }

    /// Replaces the process by a new one.
    pub fn restart(&mut self) {
        self.core += 1;
        self.sequence = 100;
        self.conferences.clear();
        self.dying.clear();
        self.lists.clear();
        self.callees.restart();
        let tracked = std::mem::take(&mut self.calls).into_iter();
        self.tracked
            .extend(tracked.filter(|(_, call)| call.answered));
    }

    /// Brings the calls of earlier processes back. Returns their number.
    pub fn recover(&mut self) -> usize {
        let tracked = std::mem::take(&mut self.tracked);
        let count = tracked.len();
        for (channel, mut call) in tracked {
            let plan = call.last_plan.clone();
            call.place = Place::Between;
            call.going = None;
            call.step = None;
            call.held = false;
            call.taps.clear();
            call.enters_silently = true;
            let identity = Self::identity(&call);
            self.note_list();
            self.calls.insert(channel, call);
            self.report_channel(channel, ChannelChange::Created(identity));
            match plan {
                Some(Going::Into {
                    room,
                    muted,
                    deaf,
                    bound,
                    plan,
                }) if self.conferences.get(&room).is_none_or(|c| !c.locked) => {
                    self.add_member(channel, room, (muted, deaf), bound, plan.meta);
                }
                _ => self.park(channel),
            }
        }
        count
    }

    // ---- files --------------------------------------------------------------------------------------------------

    pub fn play(&mut self, room: RoomId, file: FileId, opens: bool) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        if opens {
            conference.playing.push_back(file);
        }
        let failed = !opens;
        self.report_room(
            room,
            ConferenceChange::FileOpened {
                file,
                failed,
                member: None,
            },
        );
        if opens {
            Ok(())
        } else {
            Err(Rejection::NoSuchMember)
        }
    }

    /// Ends the file that plays, at its own end.
    pub fn end_file(&mut self, room: RoomId) -> bool {
        let file = self.break_file_off(room);
        self.played.extend(file);
        file.is_some()
    }

    fn break_file_off(&mut self, room: RoomId) -> Option<FileId> {
        let conference = self.conferences.get_mut(&room);
        let file = conference.and_then(|conference| conference.playing.pop_front())?;
        self.report_room(room, ConferenceChange::FileEnded { file, member: None });
        Some(file)
    }

    /// Stops the playback.
    pub fn stop(&mut self, room: RoomId) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        conference.paused = false;
        while self.break_file_off(room).is_some() {}
        Ok(())
    }

    /// Pauses or resumes, and returns which.
    pub fn toggle(&mut self, room: RoomId) -> Result<&'static str, Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        if conference.playing.is_empty() {
            return Err(Rejection::NothingPlaying);
        }
        conference.paused = !conference.paused;
        Ok(if conference.paused { "Pause" } else { "Resume" })
    }

    /// Returns true if `play_status` reports that nothing plays; it never does so without a conference.
    pub fn is_silent(&self, room: RoomId) -> bool {
        self.conferences
            .get(&room)
            .is_some_and(|conference| conference.playing.is_empty())
    }

    /// Sets the variables of a channel at first sight.
    pub fn prepare(&mut self, channel: ChannelId) -> Result<(), Rejection> {
        let call = self
            .calls
            .get_mut(&channel)
            .ok_or(Rejection::NoSuchChannel)?;
        call.forwards = FORWARDS;
        Ok(())
    }

    pub fn describe(&mut self, room: RoomId, meta: String) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        conference.meta = Some(meta);
        Ok(())
    }

    pub fn record(
        &mut self,
        room: RoomId,
        recording: RecordingId,
        opens: bool,
    ) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        if opens {
            conference.recordings.insert(recording, false);
        }
        let failed = !opens;
        self.report_room(
            room,
            ConferenceChange::RecordingStarted { recording, failed },
        );
        Ok(())
    }

    pub fn record_stop(&mut self, room: RoomId, recording: RecordingId) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        if conference.recordings.remove(&recording).is_none() {
            return Err(Rejection::NoSuchMember);
        }
        self.report_recording_over(room, recording);
        Ok(())
    }

    fn report_recording_over(&mut self, room: RoomId, recording: RecordingId) {
        let length = Some(std::time::Duration::from_secs(3));
        self.report_room(
            room,
            ConferenceChange::RecordingStopped { recording, length },
        );
    }

    pub fn record_pause(
        &mut self,
        room: RoomId,
        recording: RecordingId,
        paused: bool,
    ) -> Result<(), Rejection> {
        let conference = self
            .conferences
            .get_mut(&room)
            .ok_or(Rejection::NoSuchChannel)?;
        let known = conference.recordings.get_mut(&recording);
        *known.ok_or(Rejection::NoSuchMember)? = paused;
        self.report_room(
            room,
            ConferenceChange::RecordingPaused { recording, paused },
        );
        Ok(())
    }

    /// Carries out a command of the recording of a call.
    pub fn tap(
        &mut self,
        channel: ChannelId,
        room: RoomId,
        recording: RecordingId,
        action: RecordAction,
    ) -> Result<(), Rejection> {
        let call = self
            .calls
            .get_mut(&channel)
            .ok_or(Rejection::NoSuchChannel)?;
        match action {
            RecordAction::Start => {
                if call.taps.insert(recording, room).is_none() {
                    let change = ChannelChange::RecordingStarted { room, recording };
                    self.report_channel(channel, change);
                }
                Ok(())
            }
            RecordAction::Stop => {
                call.taps.remove(&recording).ok_or(Rejection::NotRecorded)?;
                self.report_tap_over(channel, room, recording);
                Ok(())
            }
            // FreeSWITCH shows a pause nowhere.
            RecordAction::Pause | RecordAction::Resume => {
                let is_recorded = call.taps.contains_key(&recording);
                is_recorded.then_some(()).ok_or(Rejection::NoSuchMember)
            }
        }
    }

    fn report_tap_over(&mut self, channel: ChannelId, room: RoomId, recording: RecordingId) {
        let length = Some(std::time::Duration::from_secs(2));
        let change = ChannelChange::RecordingStopped {
            room,
            recording,
            length,
        };
        self.report_channel(channel, change);
    }

    /// Returns true if the recording of a call runs.
    pub fn is_tapped(&self, channel: ChannelId, recording: RecordingId) -> bool {
        let call = self.calls.get(&channel);
        call.is_some_and(|call| call.taps.contains_key(&recording))
    }

    // ---- steps --------------------------------------------------------------------------------------------------

    pub fn begin_step(
        &mut self,
        channel: ChannelId,
        step: StepId,
        gathers: bool,
    ) -> Result<(), Rejection> {
        let call = self
            .calls
            .get_mut(&channel)
            .ok_or(Rejection::NoSuchChannel)?;
        call.step = Some(step);
        call.gathers = gathers;
        call.mark = Some(step.to_string());
        Ok(())
    }

    /// Ends the current step of a call.
    pub fn end_step(&mut self, channel: ChannelId, well: bool) -> bool {
        let step = self.calls.get_mut(&channel).and_then(|c| c.step.take());
        let Some(step) = step else { return false };
        let gathers = self.calls.get(&channel).is_some_and(|call| call.gathers);
        let response = match (gathers, well) {
            (true, true) => "success:1234",
            (true, false) => "failure:1",
            (false, true) => "FILE PLAYED",
            (false, false) => "FILE NOT FOUND",
        };
        self.with(channel, |call| {
            call.mark = Some(format!("{step}={response}"));
        });
        let response = response.to_owned();
        self.report_channel(channel, ChannelChange::StepEnded { step, response });
        true
    }

    /// Ends the current step if it collects digits. Otherwise the key has no effect.
    pub fn stop_gather(&mut self, channel: ChannelId) -> Result<(), Rejection> {
        let call = self.calls.get(&channel).ok_or(Rejection::NoSuchChannel)?;
        if call.gathers {
            self.end_step(channel, false);
        }
        Ok(())
    }

    /// Ends the current step: a transfer does.
    fn abort_step(&mut self, channel: ChannelId) {
        self.end_step(channel, false);
    }

    // ---- snapshots -----------------------------------------------------------------------------------------------

    /// Emits a fence: every later event has a higher sequence.
    pub fn fence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub fn snapshot(&self, fence: u64) -> Snapshot {
        // The newest instance is listed first.
        let living = self.conferences.iter().map(|(room, c)| (*room, c, true));
        let dying = self.dying.iter().map(|(room, c)| (*room, c, false));
        let rooms = living
            .chain(dying)
            .map(|(room, conference, alive)| SnapshotRoom {
                room,
                conference: conference.instance,
                locked: conference.locked,
                meta: conference.meta.clone(),
                members: if alive {
                    self.members(room)
                        .into_iter()
                        .map(|channel| self.snapshot_member(channel, conference))
                        .collect()
                } else {
                    Vec::new()
                },
                recordings: conference.recordings.clone().into_iter().collect(),
            })
            .collect();
        Snapshot {
            core: self.core_id(),
            fence,
            rooms,
        }
    }

    /// Returns true if two instances of one name are listed at once.
    pub fn lists_two_instances(&self) -> bool {
        self.dying
            .iter()
            .any(|(room, _)| self.conferences.contains_key(room))
    }

    fn snapshot_member(&self, channel: ChannelId, conference: &Conference) -> SnapshotMember {
        let call = &self.calls[&channel];
        SnapshotMember {
            channel,
            can_speak: call.is_on(MemberFlag::Speak) && !call.held,
            can_hear: call.is_on(MemberFlag::Hear) && !call.held,
            hold: call.held,
            talking: false,
            has_floor: conference.floor == Some(channel),
            talked: None,
            levels: call.levels,
            caller_id: "somebody else by now".into(),
        }
    }

    /// Returns `show channels` as it was `late` changes ago.
    pub fn list(&self, late: usize) -> Vec<ListedChannel> {
        match self.lists.len().checked_sub(late) {
            Some(at) if late > 0 => self.lists[at].clone(),
            _ => self.list_now(),
        }
    }

    fn list_now(&self) -> Vec<ListedChannel> {
        self.calls
            .iter()
            .map(|(channel, call)| ListedChannel {
                channel: *channel,
                identity: Identity {
                    app: None,
                    answered_at: None,
                    ..Self::identity(call)
                },
                parked: call.place == Place::Parked,
                listens: matches!(call.place, Place::Coaching(_)),
            })
            .chain(self.callees.listed())
            .collect()
    }

    pub fn dump(&mut self, channel: ChannelId) -> Option<ChannelDump> {
        let call = self.calls.get(&channel)?;
        let (identity, parked) = (Self::identity(call), call.place == Place::Parked);
        self.sequence += 1;
        Some(ChannelDump {
            core: self.core_id(),
            sequence: self.sequence,
            channel,
            identity,
            parked,
            parked_by: call.parked_by,
            listens_to: match call.place {
                Place::Coaching(member) => Some(member),
                Place::Parked | Place::In(_) | Place::Between | Place::Bridged { .. } => None,
            },
            transfers: matches!(call.place, Place::Bridged { .. }),
            bridge: match call.place {
                Place::Bridged { answered: true } => Some(Bridge::Answered { cause: None }),
                Place::Bridged { answered: false } => None,
                Place::Parked | Place::In(_) | Place::Between | Place::Coaching(_) => {
                    call.bridge.clone()
                }
            },
            is_leg: false,
        })
    }

    pub fn exists(&self, channel: ChannelId) -> bool {
        self.calls.contains_key(&channel) || self.callees.is_waiting(channel)
    }

    /// Returns the checkpoint on a channel; `None` if there is no such channel.
    pub fn mark(&self, channel: ChannelId) -> Option<String> {
        let call = self.calls.get(&channel)?;
        Some(call.mark.clone().unwrap_or_default())
    }
}
