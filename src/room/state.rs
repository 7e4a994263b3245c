//! What is believed of one room.
//!
//! Owns the data and its invariants. The fields are private to this folder: only `transition` changes them,
//! and only the stored form (`store::record`) rebuilds them.

use std::collections::{BTreeMap, BTreeSet};

use smol_str::SmolStr;

use crate::ids::{
    AppId, ChannelId, CommandUid, ConferenceId, CoreId, MemberId, RecordingId, RoomId, SessionId,
};
use crate::time::Timestamp;

use super::details::{Details, Kind};
use super::lock::Lock;
use super::playback::Playback;
use super::recording::{Recording, RecordingView};

/// FreeSWITCH's `Event-Sequence`: one counter of one core, taken when an event is made. It orders two events
/// about one thing; a gap in it means nothing.
pub type Sequence = u64;

/// A room as it was asked for. What the store knows and FreeSWITCH does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Whose room it is.
    pub app: AppId,
    /// Its name: of the gateway's form when made there, any text when made through the VoIPBIN API.
    pub name: String,
    /// Which API made it.
    pub origin: Origin,
    /// When.
    pub created_at: Timestamp,
    /// Which kind of conference it is.
    pub kind: Kind,
    /// What its owner says of it, and may change.
    pub details: Details,
}

impl Registration {
    /// When the room's time is over.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.details.expires_at(self.created_at)
    }
}

/// Which API made a room; it decides how members come in when nothing else is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The gateway API: members join muted.
    Gateway,
    /// The VoIPBIN API: members join unmuted.
    Voipbin,
}

/// Where a room stands. It only moves forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomStatus {
    /// It is made, and its node cannot be reached yet.
    Starting,
    /// It can be joined.
    Progressing,
    /// It was deleted, or its time is over; its members are being taken out.
    Terminating {
        /// At the latest then it is over, whatever FreeSWITCH says.
        deadline: Timestamp,
    },
    /// It is over.
    Terminated,
}

/// One life of the FreeSWITCH conference that carries the room: from the first member to the last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conference {
    /// The run of FreeSWITCH it is in.
    pub core: CoreId,
    /// Its `Conference-Unique-ID`.
    pub id: ConferenceId,
    /// The sequence of its `conference-create`, or the first that revealed it.
    pub since: Sequence,
    /// The sequence at which its last member left. From there on FreeSWITCH is ending it, and puts out whoever still
    /// comes in.
    pub emptied: Option<Sequence>,
}

/// What a member may do and does, as FreeSWITCH last told it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flags {
    /// Not muted (`Speak`).
    pub speak: bool,
    /// Not deaf (`Hear`).
    pub hear: bool,
    /// On hold: neither heard nor hearing, whatever the other two say (`Hold`).
    pub hold: bool,
    /// Speaking right now (`Talking`).
    pub talking: bool,
}

impl Default for Flags {
    /// As a member is that nothing is asked for.
    fn default() -> Self {
        Self {
            speak: true,
            hear: true,
            hold: false,
            talking: false,
        }
    }
}

impl Flags {
    /// What `json_list` calls `can_speak`: hold clears it there.
    pub const fn can_speak(self) -> bool {
        self.speak && !self.hold
    }

    /// What `json_list` calls `can_hear`: hold clears it there.
    pub const fn can_hear(self) -> bool {
        self.hear && !self.hold
    }
}

/// One presence of a channel in a conference. The same call can leave and come back under the same `Member-ID`,
/// so a stay is told apart by where it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stay {
    /// The run of FreeSWITCH.
    pub core: CoreId,
    /// The life of the conference.
    pub conference: ConferenceId,
    /// The sequence of its add-member, or of the fence or event that revealed it.
    pub opened: Sequence,
    /// A snapshot showed it before its add-member was heard: one that comes above `opened` is of this stay, because
    /// `mod_conference` tells it before the member is in the list. Any other event of a member is told after it.
    pub revealed: bool,
    /// The fence of the last snapshot that showed it: what was told before that is already in it. Not stored, because a
    /// later owner hears nothing that is older than its own first fence.
    pub confirmed: Sequence,
}

/// What is asked of a member and not yet confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pending {
    /// Asked to be muted, or to be unmuted.
    pub mute: bool,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// Forgotten then.
    pub deadline: Timestamp,
}

/// How often FreeSWITCH was told to let a joining call in. A conference that is ending can take a call in and put it out
/// again; that join is repeated once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum JoinAttempt {
    /// Once, with nothing against it.
    #[default]
    First,
    /// Once, and a conference that is ending took the call in. FreeSWITCH parks the call, then the second attempt follows.
    Interrupted,
    /// Twice.
    Second,
}

/// Where a member stands. It only moves forward, but for a leave that was not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberStatus {
    /// Asked for; FreeSWITCH has not shown it yet.
    Joining {
        /// Given up then.
        deadline: Timestamp,
        /// The caller's id of the join.
        command_uid: Option<CommandUid>,
        /// How often it was tried.
        attempt: JoinAttempt,
    },
    /// In the room.
    Joined,
    /// In the room, and on its way out.
    Leaving {
        /// Taken back then, if it is still there.
        deadline: Timestamp,
        /// What the webhook will say.
        reason: super::LeftReason,
        /// The caller's id of the leave.
        command_uid: Option<CommandUid>,
    },
}

/// One stay of one session, from the request to join to the fact that it left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The conferencecall id.
    pub id: MemberId,
    /// Where it stands.
    pub status: MemberStatus,
    /// `None` while it is joining.
    pub stay: Option<Stay>,
    /// The caller's number, fixed at first sight of the call.
    pub caller_id: SmolStr,
    /// The number dialled, fixed at first sight of the call.
    pub did: SmolStr,
    /// As last told; while joining, as asked for.
    pub flags: Flags,
    /// The sequence the flags are of.
    pub flags_at: Sequence,
    /// What is asked of it.
    pub pending: Option<Box<Pending>>,
    /// When it was asked for, or first seen.
    pub since: Timestamp,
}

impl Member {
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        let status = match &self.status {
            MemberStatus::Joining { deadline, .. } | MemberStatus::Leaving { deadline, .. } => {
                Some(*deadline)
            }
            MemberStatus::Joined => None,
        };
        let pending = self.pending.as_ref().map(|p| p.deadline);
        match (status, pending) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// Where a stay stands, for those who read of it later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallStatus {
    /// Asked for.
    Joining,
    /// In the room.
    Joined,
    /// On its way out.
    Leaving,
    /// Over, or it never came about.
    Left,
}

impl CallStatus {
    /// The word in the VoIPBIN API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Joined => "joined",
            Self::Leaving => "leaving",
            Self::Left => "leaved",
        }
    }
}

impl MemberStatus {
    const fn shown(&self) -> CallStatus {
        match self {
            Self::Joining { .. } => CallStatus::Joining,
            Self::Joined => CallStatus::Joined,
            Self::Leaving { .. } => CallStatus::Leaving,
        }
    }
}

/// A stay that stands elsewhere than before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallChange {
    /// The call.
    pub session: SessionId,
    /// Where it stands.
    pub status: CallStatus,
    /// When it was asked for, or first seen.
    pub since: Timestamp,
}

/// The end of a stay, remembered so that what comes late does not open it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EndedStay {
    pub(crate) conference: ConferenceId,
    pub(crate) sequence: Sequence,
    /// What was told of the call in this conference after that, last: since when it may do what.
    pub(crate) flags_since: Option<(Sequence, Flags)>,
    pub(crate) at: Timestamp,
}

/// What of a room changed since it was last committed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Anything but what follows.
    pub head: bool,
    /// What plays.
    pub play: bool,
    /// Which operations there are to play.
    pub urls: bool,
    /// What its owner says of it.
    pub registration: bool,
    /// These members: changed, new or gone.
    pub members: BTreeSet<SessionId>,
    /// These stays stand elsewhere than before.
    pub calls: BTreeMap<MemberId, CallChange>,
    /// These recordings do.
    pub recordings: BTreeMap<RecordingId, RecordingView>,
}

impl Changes {
    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        !self.head && !self.play && !self.registration && self.members.is_empty()
    }
}

/// A room.
#[derive(Clone, Debug)]
pub struct RoomState {
    pub(crate) id: RoomId,
    pub(crate) registration: Option<Registration>,
    pub(crate) status: RoomStatus,
    /// The lives of its conference that are not known to be over, oldest first. The next life of the same name can be told
    /// of before the end of the last one, so there can be two for a moment.
    pub(crate) lives: Vec<Conference>,
    pub(crate) lock: Lock,
    pub(crate) floor: Option<ChannelId>,
    pub(crate) floor_at: Sequence,
    pub(crate) playback: Playback,
    /// The recording that is under way.
    pub(crate) recording: Option<Recording>,
    /// All recordings that there have been, oldest first.
    pub(crate) recordings: Vec<RecordingId>,
    /// When its owner would last have seen it change.
    pub(crate) updated_at: Timestamp,
    /// When it was over.
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) members: BTreeMap<SessionId, Member>,
    /// How many events have been told of this room.
    pub(crate) sequence: u64,
    /// Not stored: a later owner starts with a snapshot, which is fenced above every end that was seen before.
    pub(crate) ended: BTreeMap<ChannelId, EndedStay>,
    /// Lives of the conference that are over; none comes back. Not stored, for the same reason.
    pub(crate) ended_conferences: BTreeMap<ConferenceId, Timestamp>,
    /// Every member's deadline, so that the next one is found without looking at all members.
    pub(crate) deadlines: BTreeSet<(Timestamp, SessionId)>,
    /// Members with a stay, so that `Conference-Size` is checked without counting.
    pub(crate) present: usize,
    pub(crate) changes: Changes,
}

impl RoomState {
    /// A room that does not exist yet; [`RoomInput::Created`](super::RoomInput::Created) makes it one of ours, and a conference event
    /// about it without that makes it an orphan: shown to the operator, told to nobody.
    pub fn unregistered(id: RoomId) -> Self {
        Self {
            id,
            registration: None,
            status: RoomStatus::Progressing,
            lives: Vec::new(),
            lock: Lock::default(),
            floor: None,
            floor_at: 0,
            playback: Playback::default(),
            recording: None,
            recordings: Vec::new(),
            updated_at: Timestamp::default(),
            ended_at: None,
            members: BTreeMap::new(),
            sequence: 0,
            ended: BTreeMap::new(),
            ended_conferences: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            present: 0,
            changes: Changes::default(),
        }
    }

    /// Its id.
    pub const fn id(&self) -> RoomId {
        self.id
    }

    /// What it was asked for as; `None` for an orphan.
    pub const fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// Where it stands.
    pub const fn status(&self) -> RoomStatus {
        self.status
    }

    /// Whether callers of the API can still see it.
    pub const fn is_open(&self) -> bool {
        matches!(self.status, RoomStatus::Starting | RoomStatus::Progressing)
    }

    /// Which kind of conference it is.
    pub fn kind(&self) -> Kind {
        self.registration
            .as_ref()
            .map_or(Kind::Conference, |r| r.kind)
    }

    /// Whether nobody else gets in.
    pub fn is_full(&self) -> bool {
        let most = self.kind().most_members();
        most.is_some_and(|most| self.members.len() >= most)
    }

    /// The recording that is under way.
    pub const fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// All recordings that there have been, oldest first.
    pub fn recordings(&self) -> &[RecordingId] {
        &self.recordings
    }

    /// When its owner would last have seen it change.
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// When it was over.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// The FreeSWITCH conference that carries it, while it has members there.
    pub fn conference(&self) -> Option<Conference> {
        self.lives.last().copied()
    }

    /// All lives of it that are not known to be over, oldest first.
    pub fn lives(&self) -> &[Conference] {
        &self.lives
    }

    /// Whether nobody else gets in.
    pub const fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Who has the floor.
    pub const fn floor(&self) -> Option<ChannelId> {
        self.floor
    }

    /// What plays in it.
    pub const fn playback(&self) -> &Playback {
        &self.playback
    }

    /// All members, joining and leaving ones too.
    pub const fn members(&self) -> &BTreeMap<SessionId, Member> {
        &self.members
    }

    /// How many members FreeSWITCH has shown.
    pub const fn present(&self) -> usize {
        self.present
    }

    /// How many events have been told of it.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// When it next wants to be looked at.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let member = self.deadlines.first().map(|(at, _)| *at);
        let room = match self.status {
            RoomStatus::Terminating { deadline } => Some(deadline),
            RoomStatus::Starting | RoomStatus::Progressing => self
                .registration
                .as_ref()
                .and_then(Registration::expires_at),
            RoomStatus::Terminated => None,
        };
        let recording = self.recording.as_ref().and_then(Recording::deadline);
        let (playback, lock) = (self.playback.deadline(), self.lock.deadline());
        [member, room, recording, playback, lock]
            .into_iter()
            .flatten()
            .min()
    }

    /// What changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = std::mem::take(&mut self.changes);
        changes.urls = std::mem::take(&mut self.playback.urls_changed);
        changes
    }

    /// Forgets ends of stays that nothing can arrive late for any more.
    pub(crate) fn forget_ended_before(&mut self, at: Timestamp) {
        self.ended.retain(|_, end| end.at >= at);
        self.ended_conferences.retain(|_, ended| *ended >= at);
    }

    /// Changes a member and keeps every index about it true.
    pub(crate) fn with_member<R>(
        &mut self,
        who: SessionId,
        change: impl FnOnce(&mut Member) -> R,
    ) -> Option<R> {
        let member = self.members.get_mut(&who)?;
        let before = (member.deadline(), member.stay.is_some());
        let stood = member.status.shown();
        let result = change(member);
        let after = (member.deadline(), member.stay.is_some());
        let (id, stands, since) = (member.id, member.status.shown(), member.since);
        self.reindex(who, before, after);
        if stood != stands {
            self.note_call(id, who, stands, since);
        }
        Some(result)
    }

    /// Has these members as they were stored: that is no change.
    pub(crate) fn set_members(&mut self, members: Vec<(SessionId, Member)>) {
        self.members = members.into_iter().collect();
        self.present = self.members.values().filter(|m| m.stay.is_some()).count();
        let deadlines = self
            .members
            .iter()
            .filter_map(|(who, m)| m.deadline().map(|at| (at, *who)));
        self.deadlines = deadlines.collect();
    }

    /// Adds a member, or replaces one.
    pub(crate) fn put_member(&mut self, who: SessionId, member: Member) {
        let after = (member.deadline(), member.stay.is_some());
        let (id, stands, since) = (member.id, member.status.shown(), member.since);
        let old = self.members.insert(who, member);
        let before = old
            .as_ref()
            .map_or((None, false), |old| (old.deadline(), old.stay.is_some()));
        self.reindex(who, before, after);
        if let Some(old) = old
            && old.id != id
        {
            self.note_call(old.id, who, CallStatus::Left, old.since);
        }
        self.note_call(id, who, stands, since);
    }

    /// A stay is to be shown as it stands.
    pub(crate) fn show_call(&mut self, who: SessionId) {
        if let Some(member) = self.members.get(&who) {
            let (id, stands, since) = (member.id, member.status.shown(), member.since);
            self.note_call(id, who, stands, since);
        }
    }

    fn note_call(
        &mut self,
        id: MemberId,
        session: SessionId,
        status: CallStatus,
        since: Timestamp,
    ) {
        let change = CallChange {
            session,
            status,
            since,
        };
        self.changes.calls.insert(id, change);
    }

    /// Takes a member out.
    pub(crate) fn remove_member(&mut self, who: SessionId) -> Option<Member> {
        let member = self.members.remove(&who)?;
        self.reindex(
            who,
            (member.deadline(), member.stay.is_some()),
            (None, false),
        );
        self.note_call(member.id, who, CallStatus::Left, member.since);
        Some(member)
    }

    fn reindex(
        &mut self,
        who: SessionId,
        before: (Option<Timestamp>, bool),
        after: (Option<Timestamp>, bool),
    ) {
        if before.0 != after.0 {
            if let Some(at) = before.0 {
                self.deadlines.remove(&(at, who));
            }
            if let Some(at) = after.0 {
                self.deadlines.insert((at, who));
            }
        }
        match (before.1, after.1) {
            (false, true) => {
                self.present += 1;
                self.changes.head = true;
            }
            (true, false) => {
                self.present -= 1;
                self.changes.head = true;
            }
            (true, true) | (false, false) => {}
        }
        self.changes.members.insert(who);
    }

    /// Panics when a room is not sound: a mistake of ours. Called after every transition in builds with debug assertions.
    pub fn check_invariants(&self) {
        if let Err(flaw) = self.soundness() {
            panic!("{}: {flaw}", self.id);
        }
    }

    /// Everything that must be true of a room between two inputs, and when it is read.
    pub(crate) fn soundness(&self) -> Result<(), String> {
        let ensure = |holds: bool, flaw: &str| if holds { Ok(()) } else { Err(flaw.to_owned()) };
        let stays = self.members.values().filter(|m| m.stay.is_some()).count();
        ensure(
            self.present == stays,
            "present is not the number of its stays",
        )?;
        let deadlines: BTreeSet<_> = self
            .members
            .iter()
            .filter_map(|(who, m)| m.deadline().map(|at| (at, *who)))
            .collect();
        ensure(
            self.deadlines == deadlines,
            "its deadlines are not those of its members",
        )?;
        for (who, member) in &self.members {
            let of_member = |flaw: &str| format!("its member {who} {flaw}");
            if who.node() != self.id.node() {
                return Err(of_member("is of another node"));
            }
            let joining = matches!(member.status, MemberStatus::Joining { .. });
            if joining != member.stay.is_none() {
                return Err(of_member("is joining and has a stay, or neither"));
            }
            let lives = |stay: &Stay| {
                let mut lives = self.lives.iter();
                lives.any(|c| c.id == stay.conference && c.core == stay.core)
            };
            if member.stay.as_ref().is_some_and(|stay| !lives(stay)) {
                return Err(of_member("is in a conference that is over"));
            }
        }
        self.playback.soundness()?;
        let lives = !self.lives.is_empty();
        let silent = self.playback.operations().is_empty() && self.playback.opening().is_none();
        self.lock.soundness(lives)?;
        ensure(
            lives || silent,
            "it has no conference, and something plays in it",
        )?;
        ensure(
            self.lives.is_sorted_by_key(|c| c.since),
            "its lives are not in order",
        )?;
        ensure(
            lives || self.recording.is_none(),
            "it has no conference, and is recorded",
        )?;
        if let Some(recording) = &self.recording {
            ensure(
                self.recordings.contains(&recording.id),
                "it does not know its recording",
            )?;
        }
        if matches!(self.status, RoomStatus::Terminated) {
            ensure(
                self.ended_at.is_some() && self.recording.is_none(),
                "it is over, and is recorded or does not know when it ended",
            )?;
            ensure(self.members.is_empty(), "it is over and has members")?;
        }
        Ok(())
    }
}
