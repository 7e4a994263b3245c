//! The state of one room.
//!
//! Owns the data and its invariants. The fields are private to this folder: only `transition` changes them, and only
//! `restore` rebuilds them from stored data.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{AppId, CallId, ChannelId, ConferenceId, CoreId, MemberId, RecordingId, RoomId};
use crate::time::Timestamp;

use super::coach::MemberCoach;
use super::details::{Details, Kind};
use super::dial::{DialOut, DialOuts};
use super::effect::EndReason;
use super::lock::Lock;
use super::member::{
    Member, MemberStatus, Membership, MembershipChange, MembershipStatus, Tombstone,
};
use super::member_settings::MemberSettings;
use super::playback::Playback;
use super::recording::{Recording, RecordingView};
use super::room_settings::RoomSettings;
use super::settings::Settings;
use super::stamp::Sequence;

/// The registration of a room: the data that the store has and FreeSWITCH does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// The app that owns the room.
    pub app: AppId,
    /// Its name: in the gateway's form if created there, any text if created through the VoIPBIN API.
    pub name: String,
    /// The API that created it.
    pub origin: Origin,
    /// The time of its creation.
    pub created_at: Timestamp,
    /// The kind of conference.
    pub kind: Kind,
    /// The details, which its owner may change.
    pub details: Details,
}

impl Registration {
    /// Returns the time when the room expires.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.details.expires_at(self.created_at)
    }
}

/// The API that created a room. It decides whether members join muted by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The gateway API: members join muted.
    Gateway,
    /// The VoIPBIN API: members join unmuted.
    Voipbin,
}

/// The status of a room. It only moves forward.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RoomStatus {
    /// Created, and its node cannot be reached yet.
    Starting,
    /// Open for joins.
    Progressing,
    /// Deleted or expired; its members are being removed.
    Terminating {
        /// The room ends then at the latest, whatever FreeSWITCH reports.
        deadline: Timestamp,
    },
    /// Ended.
    Terminated,
}

/// A conference instance: one life of the FreeSWITCH conference that carries the room, from the first member to the
/// last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Conference {
    /// The core.
    pub core: CoreId,
    /// Its `Conference-Unique-ID`.
    pub id: ConferenceId,
    /// The sequence of its `conference-create`, or of the first event that revealed it.
    pub since: Sequence,
    /// The sequence at which its last member left. From then on FreeSWITCH ends it, and removes calls that still enter.
    pub emptied: Option<Sequence>,
}

/// The changes of a room since the last commit.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// True if anything not listed below changed.
    pub head: bool,
    /// True if the playback changed.
    pub play: bool,
    /// True if operations were added or removed.
    pub urls: bool,
    /// True if the registration changed.
    pub registration: bool,
    /// The members that changed, are new or left.
    pub members: BTreeSet<CallId>,
    /// The memberships with a new status.
    pub calls: BTreeMap<MemberId, MembershipChange>,
    /// The recordings with a new state.
    pub recordings: BTreeMap<RecordingId, RecordingView>,
}

impl Changes {
    /// Returns true if there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        !self.head && !self.play && !self.registration && self.members.is_empty()
    }
}

/// The state of a room.
#[derive(Clone, Debug)]
pub struct RoomState {
    pub(super) id: RoomId,
    pub(super) registration: Option<Registration>,
    pub(super) status: RoomStatus,
    /// The conference instances that are not known to be over, oldest first. The next instance of the same name can be
    /// reported before the end of the last one, so there can be two for a moment.
    pub(super) instances: Vec<Conference>,
    pub(super) lock: Lock,
    /// The reason of its end, if it has one for the webhook.
    pub(super) end_reason: Option<EndReason>,
    /// The instance that has the settings, as far as this process has sent them. Not stored: a later owner sends them
    /// again.
    pub(super) controlled: Option<ConferenceId>,
    /// The instance in which a setting was removed. It must have the defaults, too.
    pub(super) removed_in: Option<ConferenceId>,
    /// The time since which a command for a setting has failed. Stored, so that the owner of the node learns of the
    /// failures of other replicas.
    pub(super) resend_at: Option<Timestamp>,
    /// True once a member has started the conference that waited for a moderator, until the last member leaves.
    pub(super) started: bool,
    /// The time at which the room ends unless a member has talked since.
    pub(super) silent_at: Option<Timestamp>,
    /// The time at which a snapshot restored the registration, whose members have entered before. Not stored: they are
    /// reported at that time.
    pub(super) adopted_at: Option<Timestamp>,
    /// The last time that a member talked or entered; unknown after a restart. Not stored: it changes with every word.
    pub(super) talked_at: Option<Timestamp>,
    pub(super) floor: Option<ChannelId>,
    pub(super) floor_at: Sequence,
    pub(super) playback: Playback,
    /// The active recording.
    pub(super) recording: Option<Recording>,
    /// The active recordings of members. A recording can outlive its membership until FreeSWITCH confirms its end.
    pub(super) member_recordings: BTreeMap<CallId, Recording>,
    /// The coach of each member that has one.
    pub(super) coaches: BTreeMap<CallId, MemberCoach>,
    /// All recordings, oldest first.
    pub(super) recordings: Vec<RecordingId>,
    /// The dial-outs in progress; `None` without any.
    pub(super) dials: Option<Box<DialOuts>>,
    /// The time of the last change that its owner can see.
    pub(super) updated_at: Timestamp,
    /// The time of its end.
    pub(super) ended_at: Option<Timestamp>,
    pub(super) members: BTreeMap<CallId, Member>,
    /// The number of notifications about the room.
    pub(super) sequence: u64,
    /// Ended memberships by channel. Not stored: a later owner starts with a snapshot, whose fence is above every end
    /// that was reported before.
    pub(super) ended: BTreeMap<ChannelId, Tombstone>,
    /// Conference instances that are over; none returns. Not stored, for the same reason.
    pub(super) ended_conferences: BTreeMap<ConferenceId, Timestamp>,
    /// The deadlines of all members, so that the next one is found without a scan.
    pub(super) deadlines: BTreeSet<(Timestamp, CallId)>,
    /// The number of members that FreeSWITCH has reported, for comparison with `Conference-Size`.
    pub(super) present: usize,
    pub(super) changes: Changes,
}

impl RoomState {
    /// Returns a room that does not exist yet. [`RoomInput::Created`](super::RoomInput::Created) gives it an owner; a
    /// conference event without that makes it an orphan, which operators see and no app does.
    pub fn unregistered(id: RoomId) -> Self {
        Self {
            id,
            registration: None,
            status: RoomStatus::Progressing,
            instances: Vec::new(),
            lock: Lock::default(),
            end_reason: None,
            controlled: None,
            removed_in: None,
            resend_at: None,
            started: false,
            silent_at: None,
            adopted_at: None,
            talked_at: None,
            floor: None,
            floor_at: 0,
            playback: Playback::default(),
            recording: None,
            member_recordings: BTreeMap::new(),
            coaches: BTreeMap::new(),
            recordings: Vec::new(),
            dials: None,
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

    /// Returns its id.
    pub const fn id(&self) -> RoomId {
        self.id
    }

    /// Returns the registration; `None` for an orphan.
    pub const fn registration(&self) -> Option<&Registration> {
        self.registration.as_ref()
    }

    /// Returns the status.
    pub const fn status(&self) -> RoomStatus {
        self.status
    }

    /// Returns true if the room has neither ended nor begun to end.
    pub const fn is_open(&self) -> bool {
        matches!(self.status, RoomStatus::Starting | RoomStatus::Progressing)
    }

    /// Returns the kind of conference.
    pub fn kind(&self) -> Kind {
        self.registration
            .as_ref()
            .map_or(Kind::Conference, |r| r.kind)
    }

    /// Returns the settings.
    pub fn settings(&self) -> &RoomSettings {
        match &self.registration {
            Some(registration) => &registration.details.settings,
            None => RoomSettings::defaults(),
        }
    }

    /// Returns true if the room has its maximum number of members.
    pub fn is_full(&self) -> bool {
        self.is_full_with(0)
    }

    /// Returns true if the room has its maximum number of members once this many more have joined.
    pub fn is_full_with(&self, coming: usize) -> bool {
        let limit = self.settings().max_members;
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        let most = [self.kind().most_members(), limit];
        let most = most.into_iter().flatten().min();
        most.is_some_and(|most| self.members.len() + coming >= most)
    }

    /// Returns true while its members wait for a moderator, or the first one would.
    pub fn is_waiting(&self) -> bool {
        self.settings().wait_for_moderator && !self.started
    }

    /// Returns true if a member with these settings must wait for a moderator.
    pub fn makes_wait(&self, member: &MemberSettings) -> bool {
        self.is_waiting() && !member.starts_conference()
    }

    /// Returns true if its conference has started after a wait for a moderator.
    pub const fn has_started(&self) -> bool {
        self.started
    }

    /// Returns the time at which the room ends unless a member has talked since.
    pub const fn silent_at(&self) -> Option<Timestamp> {
        self.silent_at
    }

    /// Returns the time since which a command for a setting has failed.
    pub const fn resend_at(&self) -> Option<Timestamp> {
        self.resend_at
    }

    /// Returns the conference instance in which a setting was removed.
    pub const fn removed_in(&self) -> Option<ConferenceId> {
        self.removed_in
    }

    /// Returns the active recording.
    pub const fn recording(&self) -> Option<&Recording> {
        self.recording.as_ref()
    }

    /// Returns the active recordings of members.
    pub const fn member_recordings(&self) -> &BTreeMap<CallId, Recording> {
        &self.member_recordings
    }

    /// Returns the active recording of a member, or of the room.
    pub fn recording_of(&self, call: Option<CallId>) -> Option<&Recording> {
        match call {
            None => self.recording.as_ref(),
            Some(call) => self.member_recordings.get(&call),
        }
    }

    /// Returns the coach of each member that has one.
    pub const fn coaches(&self) -> &BTreeMap<CallId, MemberCoach> {
        &self.coaches
    }

    /// Returns all recordings, oldest first.
    pub fn recordings(&self) -> &[RecordingId] {
        &self.recordings
    }

    /// Returns the dial-outs in progress, oldest first.
    pub fn dials(&self) -> impl Iterator<Item = &DialOut> {
        self.dials.iter().flat_map(|dials| dials.iter())
    }

    /// Returns all of them together; `None` without any.
    pub fn stored_dials(&self) -> Option<&DialOuts> {
        self.dials.as_deref()
    }

    /// Returns a dial-out by its id.
    pub fn dial(&self, id: CallId) -> Option<&DialOut> {
        self.dials().find(|dial| dial.id == id)
    }

    /// Returns the dial-out whose current attempt has this session, while FreeSWITCH may have a channel of it.
    pub fn attempt(&self, session: CallId) -> Option<&DialOut> {
        self.dials()
            .find(|dial| dial.session == session && dial.is_in_flight())
    }

    pub(super) fn dial_mut(&mut self, id: CallId) -> Option<&mut DialOut> {
        let dials = self.dials.as_mut()?.0.iter_mut();
        self.changes.head = true;
        dials.into_iter().find(|dial| dial.id == id)
    }

    pub(super) fn attempt_mut(&mut self, session: CallId) -> Option<&mut DialOut> {
        let id = self.attempt(session)?.id;
        self.dial_mut(id)
    }

    pub(super) fn put_dial(&mut self, dial: DialOut) {
        self.changes.head = true;
        self.dials.get_or_insert_default().0.push(dial);
    }

    pub(super) fn take_dial(&mut self, session: CallId) -> Option<DialOut> {
        let dials = self.dials.as_mut()?;
        let at = dials.0.iter().position(|dial| dial.session == session)?;
        let dial = dials.0.remove(at);
        if dials.0.is_empty() {
            self.dials = None;
        }
        self.changes.head = true;
        Some(dial)
    }

    /// Returns the time of the last change that its owner can see.
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// Returns the time of its end.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// Returns the latest conference instance.
    pub fn conference(&self) -> Option<Conference> {
        self.instances.last().copied()
    }

    /// Returns all conference instances that are not known to be over, oldest first.
    pub fn instances(&self) -> &[Conference] {
        &self.instances
    }

    /// Returns the lock.
    pub const fn lock(&self) -> &Lock {
        &self.lock
    }

    /// Returns the reason of its end, if it has one for the webhook.
    pub const fn end_reason(&self) -> Option<EndReason> {
        self.end_reason
    }

    /// Returns the channel that has the floor.
    pub const fn floor(&self) -> Option<ChannelId> {
        self.floor
    }

    /// Returns the playback.
    pub const fn playback(&self) -> &Playback {
        &self.playback
    }

    /// Returns all members, joining and leaving ones included.
    pub const fn members(&self) -> &BTreeMap<CallId, Member> {
        &self.members
    }

    /// Returns the number of members that FreeSWITCH has reported.
    pub const fn present(&self) -> usize {
        self.present
    }

    /// Returns the number of notifications about the room.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the next deadline.
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
        let recordings = self.member_recordings.values();
        let recorded = recordings.filter_map(Recording::deadline).min();
        let (playback, lock) = (self.playback.deadline(), self.lock.deadline());
        let dial = self.dials().map(|dial| dial.deadline).min();
        [
            member,
            room,
            recording,
            recorded,
            playback,
            lock,
            self.silent_at,
            self.resend_at.filter(|_| self.is_open()),
            dial,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Returns the changes since the last call of this method.
    pub fn take_changes(&mut self) -> Changes {
        let mut changes = std::mem::take(&mut self.changes);
        changes.urls = std::mem::take(&mut self.playback.urls_changed);
        changes
    }

    /// Drops tombstones that no late event can concern any longer.
    pub(super) fn forget_ended_before(&mut self, at: Timestamp) {
        self.ended.retain(|_, end| end.at >= at);
        self.ended_conferences.retain(|_, ended| *ended >= at);
    }

    /// Changes a member and updates every index.
    pub(super) fn with_member<R>(
        &mut self,
        call: CallId,
        change: impl FnOnce(&mut Member) -> R,
    ) -> Option<R> {
        let member = self.members.get_mut(&call)?;
        let before = (member.deadline(), member.membership.is_some());
        let old_status = member.status.membership_status();
        let result = change(member);
        let after = (member.deadline(), member.membership.is_some());
        let (id, status, since) = (member.id, member.status.membership_status(), member.since);
        self.reindex(call, before, after);
        if old_status != status {
            self.record_change(id, call, status, since);
        }
        Some(result)
    }

    /// Adds a member, or replaces one.
    pub(super) fn put_member(&mut self, call: CallId, member: Member) {
        let after = (member.deadline(), member.membership.is_some());
        let (id, status, since) = (member.id, member.status.membership_status(), member.since);
        let old = self.members.insert(call, member);
        let before = old.as_ref().map_or((None, false), |old| {
            (old.deadline(), old.membership.is_some())
        });
        self.reindex(call, before, after);
        if let Some(old) = old
            && old.id != id
        {
            self.record_change(old.id, call, MembershipStatus::Left, old.since);
        }
        self.record_change(id, call, status, since);
    }

    /// Records the present status of a membership for its readers.
    pub(super) fn record_status(&mut self, call: CallId) {
        if let Some(member) = self.members.get(&call) {
            let (id, status, since) = (member.id, member.status.membership_status(), member.since);
            self.record_change(id, call, status, since);
        }
    }

    fn record_change(
        &mut self,
        id: MemberId,
        call: CallId,
        status: MembershipStatus,
        since: Timestamp,
    ) {
        let change = MembershipChange {
            call,
            status,
            since,
        };
        self.changes.calls.insert(id, change);
    }

    /// Removes a member.
    pub(super) fn remove_member(&mut self, call: CallId) -> Option<Member> {
        let member = self.members.remove(&call)?;
        self.reindex(
            call,
            (member.deadline(), member.membership.is_some()),
            (None, false),
        );
        self.record_change(member.id, call, MembershipStatus::Left, member.since);
        Some(member)
    }

    fn reindex(
        &mut self,
        call: CallId,
        before: (Option<Timestamp>, bool),
        after: (Option<Timestamp>, bool),
    ) {
        if before.0 != after.0 {
            if let Some(at) = before.0 {
                self.deadlines.remove(&(at, call));
            }
            if let Some(at) = after.0 {
                self.deadlines.insert((at, call));
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
        self.changes.members.insert(call);
    }

    /// Panics if the room breaks an invariant, which is a bug. Runs after every transition in builds with debug
    /// assertions.
    pub fn check_invariants(&self) {
        if let Err(flaw) = self.check() {
            panic!("{}: {flaw}", self.id);
        }
    }

    /// Checks the invariants of a room, which hold between two inputs and after a restore.
    pub(super) fn check(&self) -> Result<(), String> {
        let ensure = |holds: bool, flaw: &str| if holds { Ok(()) } else { Err(flaw.to_owned()) };
        let members_present = self
            .members
            .values()
            .filter(|m| m.membership.is_some())
            .count();
        ensure(
            self.present == members_present,
            "present is not the number of its members in FreeSWITCH",
        )?;
        let deadlines: BTreeSet<_> = self
            .members
            .iter()
            .filter_map(|(call, m)| m.deadline().map(|at| (at, *call)))
            .collect();
        ensure(
            self.deadlines == deadlines,
            "its deadlines differ from those of its members",
        )?;
        for (call, member) in &self.members {
            let of_member = |flaw: &str| format!("its member {call} {flaw}");
            if let Some(audio) = &member.audio {
                let checked = audio.playback.check();
                checked.map_err(|flaw| format!("its member {call}: {flaw}"))?;
            }
            if call.node() != self.id.node() {
                return Err(of_member("is of another node"));
            }
            let joining = matches!(member.status, MemberStatus::Joining { .. });
            if joining != member.membership.is_none() {
                return Err(of_member(
                    "is joining with a membership, or not joining without one",
                ));
            }
            let instances = |membership: &Membership| {
                let mut instances = self.instances.iter();
                instances.any(|c| c.id == membership.conference && c.core == membership.core)
            };
            if member
                .membership
                .as_ref()
                .is_some_and(|membership| !instances(membership))
            {
                return Err(of_member("is in a conference that is over"));
            }
        }
        self.playback.check()?;
        self.dials.as_ref().map_or(Ok(()), |dials| dials.check())?;
        let instances = !self.instances.is_empty();
        let silent = self.playback.operations().is_empty() && self.playback.opening().is_none();
        self.lock.check(instances)?;
        ensure(
            instances || silent,
            "it has no conference, and has a playback",
        )?;
        ensure(
            self.instances.is_sorted_by_key(|c| c.since),
            "its conference instances are not in order",
        )?;
        ensure(
            instances || self.recording.is_none(),
            "it has no conference, and has a recording",
        )?;
        for recording in self.recording.iter().chain(self.member_recordings.values()) {
            ensure(
                self.recordings.contains(&recording.id),
                "a recording is not in its list of recordings",
            )?;
            let announcement = recording.announcement();
            ensure(
                announcement.is_none_or(|operation| self.playback.has(operation)),
                "a recording waits for an announcement that does not play",
            )?;
        }
        if matches!(self.status, RoomStatus::Terminated) {
            let is_recorded = self.recording.is_some() || !self.member_recordings.is_empty();
            ensure(
                self.ended_at.is_some() && !is_recorded,
                "it is over, and has a recording or no time of its end",
            )?;
            ensure(self.members.is_empty(), "it is over and has members")?;
            ensure(self.coaches.is_empty(), "it is over and has coaches")?;
            ensure(self.dials.is_none(), "it is over and has dial-outs")?;
        }
        Ok(())
    }
}
