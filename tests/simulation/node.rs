//! A model of a FreeSWITCH node: where each call is, what each conference does, and which event it makes of each change.
//!
//! Shares no code with the room domain. It speaks the words of `reconciler::news`; that real events come to these words
//! is for the recordings to show.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use roomkeeper::ids::{AppId, ChannelId, ConferenceId, CoreId, NodeId, RecordingId, RoomId};
use roomkeeper::reconciler::news::{
    ChannelChange, ConferenceChange, Dump, Identity, ListedChannel, MemberBlock, News, ShownMember,
    ShownRoom, Snapshot, What,
};
use roomkeeper::room::FileId;
use roomkeeper::session::{Direction, Parking, StepId};
use roomkeeper::time::Timestamp;
use uuid::Uuid;

/// More calls than this are turned away.
pub const CALLS: usize = 5;

/// How many changes late the list of channels can be.
pub const LATEST_LIST: usize = 3;

pub fn node_id() -> NodeId {
    "acW68".parse().unwrap()
}

pub fn app() -> AppId {
    "demo".parse().unwrap()
}

/// Where a call is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    Parked,
    In(RoomId),
    /// Out of a conference, and on its way to where it was told to go.
    Between,
}

/// Where a call was told to go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Going {
    Into {
        room: RoomId,
        muted: bool,
        bound: bool,
        plan: Plan,
    },
    Park(Parking, Plan),
}

/// The variables that the text of a transfer's plan sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// It restores what transfers use up.
    pub restores: bool,
    /// The call stays up when its conference ends by itself.
    pub stays_up: bool,
    /// A park stands behind the rest.
    pub parks: bool,
    /// The registration that a conference has from its creation by this call.
    pub meta: Option<String>,
}

impl Plan {
    pub fn from_text(text: &str) -> Self {
        Self {
            restores: text.contains("max_session_transfers="),
            stays_up: text.contains("hangup_after_conference=false"),
            parks: text.ends_with(",park inline"),
            meta: text
                .split([';', ','])
                .find_map(|word| word.strip_prefix("confvar_roomkeeper_meta="))
                .filter(|meta| !meta.is_empty())
                .map(str::to_owned),
        }
    }
}

/// How many transfers a call survives unless a plan restores them. FreeSWITCH's 70, made small.
const FORWARDS: u32 = 4;

#[derive(Clone, Debug)]
pub struct Call {
    /// The dialplan has said whose it is.
    pub ours: bool,
    pub answered: bool,
    pub place: Place,
    pub going: Option<Going>,
    /// Somebody else has sent it into a conference.
    pub sent_about: bool,
    /// Somebody else has taken it out of a conference, or the conference's end has.
    pub taken_out: bool,
    pub speaks: bool,
    pub held: bool,
    /// The step it is busy with.
    step: Option<StepId>,
    /// What is noted on the channel of its steps.
    mark: Option<String>,
    /// What is noted there of the last order that parked it.
    parked_by: Option<Parking>,
    /// How many transfers it survives.
    forwards: u32,
}

/// One life of a conference.
#[derive(Clone, Debug)]
pub struct Conference {
    pub life: ConferenceId,
    pub locked: bool,
    pub floor: Option<ChannelId>,
    /// When one goes, all go.
    bound: bool,
    meta: Option<String>,
    pub recordings: BTreeSet<RecordingId>,
    /// What plays and what follows.
    pub playing: VecDeque<FileId>,
    paused: bool,
}

/// Why a command was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum No {
    SuchChannel,
    SuchMember,
    NothingPlaying,
}

#[derive(Debug)]
pub struct Node {
    core: u128,
    sequence: u64,
    next_id: u128,
    pub conferences: BTreeMap<RoomId, Conference>,
    /// Lives without members whose end has not been told yet.
    dying: Vec<(RoomId, Conference)>,
    pub calls: BTreeMap<ChannelId, Call>,
    told: Vec<News>,
    /// What the list of channels was after each of the last changes, oldest first.
    lists: VecDeque<Vec<ListedChannel>>,
    /// How often each call came into each conference.
    pub came_in: BTreeMap<(RoomId, ChannelId), usize>,
    /// How often each call came into each conference that was ending.
    pub interrupted: BTreeMap<(RoomId, ChannelId), usize>,
    /// Calls that FreeSWITCH hung up although nobody wanted that, and why.
    pub hung_up_unasked: Option<&'static str>,
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
            told: Vec::new(),
            lists: VecDeque::new(),
            came_in: BTreeMap::new(),
            interrupted: BTreeMap::new(),
            hung_up_unasked: None,
        }
    }

    /// What has been told since this was last asked, in order.
    pub fn take_told(&mut self) -> Vec<News> {
        std::mem::take(&mut self.told)
    }

    pub fn core_id(&self) -> CoreId {
        CoreId::new(Uuid::from_u128(0xC0DE_0000 + self.core))
    }

    fn fresh(&mut self) -> u128 {
        self.next_id += 1;
        self.next_id
    }

    fn tell(&mut self, what: What) {
        self.sequence += 1;
        self.told.push(News {
            core: self.core_id(),
            sequence: self.sequence,
            at: Timestamp::from_millis(self.sequence),
            what,
        });
    }

    fn tell_channel(&mut self, channel: ChannelId, change: ChannelChange) {
        self.tell(What::Channel { channel, change });
    }

    fn tell_life(&mut self, room: RoomId, life: ConferenceId, change: ConferenceChange) {
        let current = self.conferences.get(&room).map(|c| c.life);
        let size = if current == Some(life) {
            self.members(room).len()
        } else {
            0
        };
        self.tell_size(room, life, size, change);
    }

    fn tell_size(
        &mut self,
        room: RoomId,
        life: ConferenceId,
        size: usize,
        change: ConferenceChange,
    ) {
        self.tell(What::Conference {
            room,
            conference: life,
            size: Some(size),
            change,
        });
    }

    fn tell_room(&mut self, room: RoomId, change: ConferenceChange) {
        if let Some(life) = self.conferences.get(&room).map(|c| c.life) {
            self.tell_life(room, life, change);
        }
    }

    fn identity(call: &Call) -> Identity {
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
            speak: call.speaks,
            hear: true,
            hold: call.held,
            talking: false,
            identity: Self::identity(call),
        }
    }

    /// Who is in a conference.
    pub fn members(&self, room: RoomId) -> Vec<ChannelId> {
        self.calls
            .iter()
            .filter(|(_, call)| call.place == Place::In(room))
            .map(|(channel, _)| *channel)
            .collect()
    }

    /// The list of channels is written late: it is remembered how it was.
    fn note_list(&mut self) {
        self.lists.push_back(self.list_now());
        if self.lists.len() > LATEST_LIST {
            self.lists.pop_front();
        }
    }

    // ---- what happens by itself ---------------------------------------------------------------------------------

    pub fn call_in(&mut self, ours: bool, answered: bool) {
        if self.calls.len() >= CALLS {
            return;
        }
        self.note_list();
        let channel = ChannelId::new(Uuid::from_u128(0xCA11_0000 + self.fresh()));
        let call = Call {
            ours,
            answered,
            place: Place::Parked,
            going: None,
            sent_about: false,
            taken_out: false,
            speaks: true,
            held: false,
            step: None,
            mark: None,
            parked_by: None,
            forwards: FORWARDS,
        };
        let identity = Self::identity(&call);
        self.calls.insert(channel, call);
        self.tell_channel(channel, ChannelChange::Created(identity.clone()));
        if answered {
            self.tell_channel(channel, ChannelChange::Answered(identity.clone()));
        }
        let by = None;
        self.tell_channel(channel, ChannelChange::Parked { identity, by });
    }

    pub fn answer(&mut self, channel: ChannelId) -> Result<(), No> {
        let call = self.calls.get_mut(&channel).ok_or(No::SuchChannel)?;
        if !std::mem::replace(&mut call.answered, true) {
            let identity = Self::identity(call);
            self.tell_channel(channel, ChannelChange::Answered(identity));
        }
        Ok(())
    }

    /// `uuid_transfer`: answered at once, carried out when the call comes round to it.
    pub fn send(&mut self, channel: ChannelId, going: Going) -> Result<(), No> {
        let call = self.calls.get_mut(&channel).ok_or(No::SuchChannel)?;
        call.going = Some(going);
        Ok(())
    }

    /// A call that was told to go goes: out of where it is, or to where it was told.
    pub fn go_on(&mut self, channel: ChannelId) -> bool {
        let Some(call) = self.calls.get(&channel) else {
            return false;
        };
        let Some(going) = call.going.clone() else {
            return false;
        };
        self.note_list();
        self.break_off(channel);
        if matches!(self.calls[&channel].place, Place::In(_)) {
            self.take_out(channel, false, false);
            return true;
        }
        let (Going::Into { plan, .. } | Going::Park(_, plan)) = &going;
        if !self.uses_a_forward(channel, plan) {
            return true;
        }
        self.with(channel, |call| call.going = None);
        match going {
            Going::Into {
                room,
                muted,
                bound,
                plan,
            } => self.put_in(channel, room, muted, bound, plan.meta),
            Going::Park(order, _) => {
                self.with(channel, |call| call.parked_by = Some(order));
                self.park(channel);
            }
        }
        true
    }

    /// A transfer that is carried out uses up a forward of the call. The last one hangs it up.
    fn uses_a_forward(&mut self, channel: ChannelId, plan: &Plan) -> bool {
        let Some(call) = self.calls.get_mut(&channel) else {
            return false;
        };
        call.forwards -= 1;
        if call.forwards == 0 {
            self.hung_up_unasked = Some("its forwards were used up");
            let _it_is_there = self.hang_up(channel);
            return false;
        }
        if plan.restores {
            call.forwards = FORWARDS;
        }
        true
    }

    /// A call that was told to go into a conference comes in while all others leave. FreeSWITCH ends the conference, and the
    /// call is put out again.
    pub fn is_interrupted(&mut self, channel: ChannelId, lingers: bool) -> bool {
        let call = self.calls.get(&channel);
        let Some(Going::Into {
            room, muted, plan, ..
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
        self.break_off(channel);
        if !self.uses_a_forward(channel, &plan) {
            return false;
        }
        let _known = self.answer(channel);
        for member in members {
            self.with(member, |call| call.taken_out = true);
            self.take_out(member, false, true);
            let between = self.calls[&member].place == Place::Between;
            if between && self.calls[&member].going.is_none() {
                self.park(member);
            }
        }
        let Some(life) = self.dying.last().map(|(_, conference)| conference.life) else {
            return false;
        };
        self.with(channel, |call| {
            call.going = None;
            call.taken_out = true;
            call.place = Place::Between;
            call.speaks = !muted;
            call.held = false;
        });
        *self.interrupted.entry((room, channel)).or_default() += 1;
        let block = self.block(channel);
        self.tell_size(room, life, 1, ConferenceChange::Added(block));
        if !plan.stays_up {
            self.hung_up_unasked = Some("its conference ended by itself");
        }
        let removed = ConferenceChange::Removed {
            channel,
            hung_up: false,
            last: true,
        };
        self.tell_size(room, life, 0, removed);
        if plan.stays_up && plan.parks {
            self.park(channel);
        } else {
            let _it_is_there = self.hang_up(channel);
        }
        if !lingers {
            self.tell_ends();
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
        let (identity, by) = (Self::identity(call), call.parked_by);
        self.tell_channel(channel, ChannelChange::Parked { identity, by });
    }

    fn put_in(
        &mut self,
        channel: ChannelId,
        room: RoomId,
        muted: bool,
        bound: bool,
        meta: Option<String>,
    ) {
        // A conference answers the call that it takes in.
        let _known = self.answer(channel);
        if !self.conferences.contains_key(&room) {
            let life = ConferenceId::new(Uuid::from_u128(0xCF00_0000 + self.fresh()));
            self.conferences.insert(
                room,
                Conference {
                    life,
                    locked: false,
                    floor: None,
                    bound,
                    meta,
                    recordings: BTreeSet::new(),
                    playing: VecDeque::new(),
                    paused: false,
                },
            );
            self.tell_room(room, ConferenceChange::Created);
        }
        self.with(channel, |call| {
            call.place = Place::In(room);
            call.speaks = !muted;
            call.held = false;
        });
        *self.came_in.entry((room, channel)).or_default() += 1;
        let block = self.block(channel);
        self.tell_room(room, ConferenceChange::Added(block));
    }

    /// Takes a call out of its conference, if it is in one. The last one ends it; `lingers`: that is told later.
    fn take_out(&mut self, channel: ChannelId, hung_up: bool, lingers: bool) {
        let Some(Place::In(room)) = self.calls.get(&channel).map(|call| call.place) else {
            return;
        };
        self.with(channel, |call| call.place = Place::Between);
        let removed = ConferenceChange::Removed {
            channel,
            hung_up,
            last: self.members(room).is_empty(),
        };
        self.tell_room(room, removed);
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
                self.take_out(other, false, false);
                self.park(other);
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
            self.tell_room(room, ConferenceChange::FileEnded(file));
        }
        for recording in recordings {
            self.tell_recording_over(room, recording);
        }
        if let Some(conference) = self.conferences.remove(&room) {
            self.dying.push((room, conference));
            if !lingers {
                self.tell_ends();
            }
        }
    }

    /// The ends of conferences that were not told yet.
    pub fn tell_ends(&mut self) -> bool {
        let dying = std::mem::take(&mut self.dying);
        for (room, conference) in &dying {
            self.tell_life(*room, conference.life, ConferenceChange::Destroyed);
        }
        !dying.is_empty()
    }

    /// A call goes somewhere without having been told to, all at once.
    pub fn enter(&mut self, channel: ChannelId, room: RoomId, muted: bool, lingers: bool) {
        if self.calls.contains_key(&channel) {
            self.note_list();
            self.break_off(channel);
            self.with(channel, |call| {
                call.going = None;
                call.sent_about = true;
            });
            self.take_out(channel, false, lingers);
            self.put_in(channel, room, muted, false, None);
        }
    }

    /// FreeSWITCH's own transfer between conferences, which announces itself.
    pub fn moves(&mut self, channel: ChannelId, room: RoomId) {
        if let Some(Place::In(from)) = self.calls.get(&channel).map(|call| call.place)
            && from != room
        {
            let muted = !self.calls[&channel].speaks;
            self.tell_room(from, ConferenceChange::Moving(channel));
            self.enter(channel, room, muted, false);
        }
    }

    pub fn leave(&mut self, channel: ChannelId) {
        if let Some(Place::In(_)) = self.calls.get(&channel).map(|call| call.place) {
            self.note_list();
            self.with(channel, |call| call.taken_out = true);
            self.take_out(channel, false, false);
            // A transfer that it was told of meanwhile is not lost with the stay.
            if self.calls[&channel].going.is_none() {
                self.park(channel);
            }
        }
    }

    pub fn hang_up(&mut self, channel: ChannelId) -> Result<(), No> {
        if !self.calls.contains_key(&channel) {
            return Err(No::SuchChannel);
        }
        self.note_list();
        let cause = "NORMAL_CLEARING".to_owned();
        self.tell_channel(channel, ChannelChange::HungUp { cause });
        self.take_out(channel, true, false);
        self.break_off(channel);
        self.calls.remove(&channel);
        self.tell_channel(channel, ChannelChange::Destroyed { cause: None });
        Ok(())
    }

    /// Mute or unmute: the command, or a key that the caller has pressed.
    pub fn mute(&mut self, channel: ChannelId, room: Option<RoomId>, mute: bool) -> Result<(), No> {
        let place = self.calls.get(&channel).map(|call| call.place);
        let Some(Place::In(is_in)) = place else {
            return Err(No::SuchMember);
        };
        if room.is_some_and(|room| room != is_in) {
            return Err(No::SuchMember);
        }
        self.with(channel, |call| call.speaks = !mute);
        let block = self.block(channel);
        self.tell_room(is_in, ConferenceChange::Flags(block));
        Ok(())
    }

    pub fn hold(&mut self, channel: ChannelId, held: bool) {
        if let Some(Place::In(room)) = self.calls.get(&channel).map(|call| call.place) {
            self.with(channel, |call| call.held = held);
            let block = self.block(channel);
            self.tell_room(room, ConferenceChange::Flags(block));
        }
    }

    pub fn lock(&mut self, room: RoomId, locked: bool) -> Result<(), No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        conference.locked = locked;
        self.tell_room(room, ConferenceChange::Locked(locked));
        Ok(())
    }

    pub fn takes_floor(&mut self, channel: ChannelId) {
        if let Some(Place::In(room)) = self.calls.get(&channel).map(|call| call.place) {
            self.floor(room, Some(channel));
        }
    }

    fn floor(&mut self, room: RoomId, holder: Option<ChannelId>) {
        if let Some(conference) = self.conferences.get_mut(&room) {
            conference.floor = holder;
            let holder = holder.map(|channel| self.block(channel));
            self.tell_room(room, ConferenceChange::Floor { holder });
        }
    }

    /// The process is gone, and another one runs.
    pub fn restart(&mut self) {
        self.core += 1;
        self.sequence = 100;
        self.conferences.clear();
        self.dying.clear();
        self.calls.clear();
        self.lists.clear();
    }

    // ---- files --------------------------------------------------------------------------------------------------

    pub fn play(&mut self, room: RoomId, file: FileId, opens: bool) -> Result<(), No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        if opens {
            conference.playing.push_back(file);
        }
        let failed = !opens;
        self.tell_room(room, ConferenceChange::FileOpened { file, failed });
        if opens { Ok(()) } else { Err(No::SuchMember) }
    }

    /// The file that plays has come to its end.
    pub fn file_ends(&mut self, room: RoomId) -> bool {
        let file = self
            .conferences
            .get_mut(&room)
            .and_then(|conference| conference.playing.pop_front());
        if let Some(file) = file {
            self.tell_room(room, ConferenceChange::FileEnded(file));
        }
        file.is_some()
    }

    /// Everything that plays is stopped.
    pub fn stop(&mut self, room: RoomId) -> Result<(), No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        conference.paused = false;
        while self.file_ends(room) {}
        Ok(())
    }

    /// Pauses, or goes on: says which.
    pub fn toggle(&mut self, room: RoomId) -> Result<&'static str, No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        if conference.playing.is_empty() {
            return Err(No::NothingPlaying);
        }
        conference.paused = !conference.paused;
        Ok(if conference.paused { "Pause" } else { "Resume" })
    }

    /// `play_status` says that nothing plays. Without the conference it says nothing of the kind.
    pub fn is_silent(&self, room: RoomId) -> bool {
        self.conferences
            .get(&room)
            .is_some_and(|conference| conference.playing.is_empty())
    }

    /// The variables set on a channel that is seen for the first time.
    pub fn prepare(&mut self, channel: ChannelId) -> Result<(), No> {
        let call = self.calls.get_mut(&channel).ok_or(No::SuchChannel)?;
        call.forwards = FORWARDS;
        Ok(())
    }

    pub fn describe(&mut self, room: RoomId, meta: String) -> Result<(), No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        conference.meta = Some(meta);
        Ok(())
    }

    pub fn record(&mut self, room: RoomId, recording: RecordingId, opens: bool) -> Result<(), No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        if opens {
            conference.recordings.insert(recording);
        }
        let failed = !opens;
        self.tell_room(
            room,
            ConferenceChange::RecordingStarted { recording, failed },
        );
        Ok(())
    }

    pub fn record_stop(&mut self, room: RoomId, recording: RecordingId) -> Result<(), No> {
        let conference = self.conferences.get_mut(&room).ok_or(No::SuchChannel)?;
        if !conference.recordings.remove(&recording) {
            return Err(No::SuchMember);
        }
        self.tell_recording_over(room, recording);
        Ok(())
    }

    fn tell_recording_over(&mut self, room: RoomId, recording: RecordingId) {
        let length = Some(std::time::Duration::from_secs(3));
        self.tell_room(
            room,
            ConferenceChange::RecordingStopped { recording, length },
        );
    }

    // ---- steps --------------------------------------------------------------------------------------------------

    pub fn begin_step(&mut self, channel: ChannelId, step: StepId) -> Result<(), No> {
        let call = self.calls.get_mut(&channel).ok_or(No::SuchChannel)?;
        call.step = Some(step);
        call.mark = Some(step.to_string());
        Ok(())
    }

    /// The step that a call is busy with is over.
    pub fn end_step(&mut self, channel: ChannelId, well: bool) -> bool {
        let step = self.calls.get_mut(&channel).and_then(|c| c.step.take());
        let Some(step) = step else { return false };
        let response = if well {
            "FILE PLAYED"
        } else {
            "FILE NOT FOUND"
        };
        self.with(channel, |call| {
            call.mark = Some(format!("{step}={response}"));
        });
        let response = response.to_owned();
        self.tell_channel(channel, ChannelChange::StepEnded { step, response });
        true
    }

    /// A transfer ends whatever runs.
    fn break_off(&mut self, channel: ChannelId) {
        self.end_step(channel, false);
    }

    // ---- what it shows ------------------------------------------------------------------------------------------

    /// A fence: whatever is told later has a higher sequence.
    pub fn fence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub fn snapshot(&self, fence: u64) -> Snapshot {
        // The newest is listed first.
        let living = self.conferences.iter().map(|(room, c)| (*room, c, true));
        let dying = self.dying.iter().map(|(room, c)| (*room, c, false));
        let rooms = living
            .chain(dying)
            .map(|(room, conference, alive)| ShownRoom {
                room,
                conference: conference.life,
                locked: conference.locked,
                meta: conference.meta.clone(),
                members: if alive {
                    self.members(room)
                        .into_iter()
                        .map(|channel| self.shown(channel, conference))
                        .collect()
                } else {
                    Vec::new()
                },
                recordings: conference.recordings.iter().copied().collect(),
            })
            .collect();
        Snapshot {
            core: self.core_id(),
            fence,
            rooms,
        }
    }

    /// Whether two lives of one name are listed at once.
    pub fn lists_two_lives(&self) -> bool {
        self.dying
            .iter()
            .any(|(room, _)| self.conferences.contains_key(room))
    }

    fn shown(&self, channel: ChannelId, conference: &Conference) -> ShownMember {
        let call = &self.calls[&channel];
        ShownMember {
            channel,
            can_speak: call.speaks && !call.held,
            can_hear: !call.held,
            hold: call.held,
            talking: false,
            has_floor: conference.floor == Some(channel),
            caller_id: "somebody else by now".into(),
        }
    }

    /// `show channels`, so many changes late.
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
            })
            .collect()
    }

    pub fn dump(&mut self, channel: ChannelId) -> Option<Dump> {
        let call = self.calls.get(&channel)?;
        let (identity, parked) = (Self::identity(call), call.place == Place::Parked);
        self.sequence += 1;
        Some(Dump {
            core: self.core_id(),
            sequence: self.sequence,
            channel,
            identity,
            parked,
            parked_by: call.parked_by,
        })
    }

    pub fn exists(&self, channel: ChannelId) -> bool {
        self.calls.contains_key(&channel)
    }

    /// What is noted on a channel; `None`: there is no such channel.
    pub fn mark(&self, channel: ChannelId) -> Option<String> {
        let call = self.calls.get(&channel)?;
        Some(call.mark.clone().unwrap_or_default())
    }
}
