//! `apply`: what an input makes of a room.
//!
//! The rules that keep it right under loss, duplication and reordering are few: a conference's life that ended
//! never comes back; a stay opens only above the end of the last one; flags of a higher sequence win, whenever they
//! arrive; everything else is idempotent.

use std::time::Duration;

use smol_str::SmolStr;

use crate::ids::{CommandUid, RecordingId, SessionId};
use crate::time::Timestamp;

use super::effect::{
    JoinFailure, LeftReason, LiveFact, RoomCommand, RoomEffect, RoomFact, RoomNotice,
};
use super::input::{EventStamp, RoomInput, Who};
use super::lock::{Lock, LockAsked, Told, Turned};
use super::playback::{PlayEffect, PlayInput, Playback};
use super::recording::{RecordInput, Recording, RecordingState, RecordingStatus, RecordingView};
use super::state::{
    Conference, EndedStay, Flags, JoinAttempt, Member, MemberStatus, Pending, RoomState,
    RoomStatus, Stay,
};

/// Ends of stays are remembered this long. Events were seen up to 30 places late, which is milliseconds; a minute
/// outlives every queue between FreeSWITCH and us that is still worth reading.
const REMEMBER_ENDS: Duration = Duration::from_secs(60);

/// A room that ends by itself takes no longer than this to take its members out.
const ENDING: Duration = Duration::from_secs(10);

/// Applies an input. What changed is left in the state ([`RoomState::take_changes`]), what follows is returned.
pub fn apply(state: &mut RoomState, input: RoomInput, now: Timestamp) -> Vec<RoomEffect> {
    let mut step = Step {
        room: state,
        now,
        effects: Vec::new(),
    };
    step.input(input);
    let effects = step.effects;
    if !state.changes.calls.is_empty() || !state.changes.recordings.is_empty() {
        state.updated_at = state.updated_at.max(now);
        state.changes.head = true;
    }
    if cfg!(debug_assertions) {
        state.check_invariants();
    }
    effects
}

struct Step<'a> {
    room: &'a mut RoomState,
    now: Timestamp,
    effects: Vec<RoomEffect>,
}

impl Step<'_> {
    fn input(&mut self, input: RoomInput) {
        match input {
            RoomInput::Created(registration) => {
                let name = registration.name.clone();
                self.room.registration = Some(registration);
                self.room.changes.registration = true;
                self.updated();
                self.notify(RoomFact::Created { name }, None, false);
            }
            RoomInput::Unplaced => {
                if self.room.status == RoomStatus::Progressing && self.room.lives.is_empty() {
                    self.room.status = RoomStatus::Starting;
                    self.updated();
                }
            }
            RoomInput::Placed => {
                if self.room.status == RoomStatus::Starting {
                    self.room.status = RoomStatus::Progressing;
                    self.updated();
                }
            }
            RoomInput::Update(update) => {
                if let Some(registration) = &mut self.room.registration {
                    let update = update.against(&registration.name, &registration.details);
                    if !update.is_empty() {
                        let (name, details) = (&mut registration.name, &mut registration.details);
                        update.clone().make(name, details);
                        self.room.changes.registration = true;
                        self.updated();
                        self.notify(RoomFact::Updated(update), None, false);
                        // What is written on the conference is to say so, too.
                        if !self.room.lives.is_empty() {
                            self.command(RoomCommand::Describe);
                        }
                    }
                }
            }
            RoomInput::Adopted(registration) => {
                if self.room.registration.is_none() {
                    self.room.registration = Some(registration);
                    self.room.changes.registration = true;
                    self.updated();
                    self.tell_of_all();
                }
            }
            RoomInput::Delete { deadline } => self.end(deadline, LeftReason::RoomDestroyed),
            RoomInput::Join {
                session,
                member,
                caller_id,
                did,
                muted,
                acts,
                command_uid,
                deadline,
            } => {
                let flags = Flags {
                    speak: !muted,
                    ..Flags::default()
                };
                self.room.put_member(
                    session,
                    Member {
                        id: member,
                        status: MemberStatus::Joining {
                            deadline,
                            command_uid,
                            attempt: JoinAttempt::First,
                        },
                        stay: None,
                        caller_id: caller_id.into(),
                        did: did.into(),
                        flags,
                        flags_at: 0,
                        pending: None,
                        since: self.now,
                    },
                );
                if !acts {
                    self.command(RoomCommand::Enter { session, muted });
                }
            }
            RoomInput::Enter { session, deadline } => {
                let entering = self.room.with_member(session, |m| match &mut m.status {
                    MemberStatus::Joining {
                        deadline: until, ..
                    } => {
                        *until = deadline;
                        Some(!m.flags.speak)
                    }
                    MemberStatus::Joined | MemberStatus::Leaving { .. } => None,
                });
                if let Some(muted) = entering.flatten() {
                    self.command(RoomCommand::Enter { session, muted });
                }
            }
            RoomInput::Cancel { session } => {
                let joining = |m: &Member| matches!(m.status, MemberStatus::Joining { .. });
                if self.room.members.get(&session).is_some_and(joining) {
                    self.turn_away(session, JoinFailure::Removed);
                }
            }
            RoomInput::NotEntered {
                session,
                reason: JoinFailure::Refused,
            } => self.refused(session),
            RoomInput::NotEntered { session, reason } => self.not_entered(session, reason, false),
            RoomInput::Leave {
                session,
                command_uid,
                deadline,
            } => {
                self.room.with_member(session, |m| {
                    m.status = MemberStatus::Leaving {
                        deadline,
                        reason: LeftReason::Removed,
                        command_uid,
                    };
                });
                self.command(RoomCommand::Park { session });
            }
            RoomInput::Mute {
                session,
                mute,
                command_uid,
                deadline,
            } => {
                self.room.with_member(session, |m| {
                    m.pending = Some(Box::new(Pending {
                        mute,
                        command_uid,
                        deadline,
                    }));
                });
                self.command(RoomCommand::Mute { session, mute });
            }
            RoomInput::Lock {
                lock,
                command_uid,
                deadline,
            } => self.lock(LockAsked {
                lock,
                command_uid,
                deadline,
            }),
            RoomInput::LockRefused { lock } => {
                if self.room.lock.refused(lock) {
                    self.room.changes.head = true;
                }
            }
            RoomInput::LeaveRefused { session } => self.stays(session),
            RoomInput::MuteRefused { session, mute } => {
                let asked = |m: &Member| m.pending.as_ref().is_some_and(|p| p.mute == mute);
                if self.room.members.get(&session).is_some_and(asked) {
                    self.room.with_member(session, |m| m.pending = None);
                }
            }
            RoomInput::ConferenceStarted(at) => self.conference_started(at),
            RoomInput::ConferenceEnded(at) => self.conference_ended(at),
            RoomInput::ConferenceEmptied(at) => self.conference_emptied(at),
            RoomInput::Seen { at, who, entered } => self.seen(at, who, entered),
            RoomInput::Gone {
                at,
                session,
                reason,
            } => self.gone(at, session, reason),
            RoomInput::Moving { session, deadline } => {
                let joined = |m: &Member| matches!(m.status, MemberStatus::Joined);
                if self.room.members.get(&session).is_some_and(joined) {
                    self.room.with_member(session, |m| {
                        m.status = MemberStatus::Leaving {
                            deadline,
                            reason: LeftReason::Moved,
                            command_uid: None,
                        };
                    });
                }
            }
            RoomInput::Floor { at, holder } => {
                if self.is_current(at) && at.sequence > self.room.floor_at {
                    // The floor is not stored: it changes with every word and a snapshot tells it again.
                    self.give_floor(holder);
                    self.room.floor_at = at.sequence;
                }
            }
            RoomInput::Locked { at, locked } => {
                if self.is_current(at) {
                    self.told_of_lock(at, locked);
                }
            }
            RoomInput::CoreChanged { core } => {
                let elsewhere: Vec<_> = self
                    .room
                    .members
                    .iter()
                    .filter(|(_, m)| m.stay.is_some_and(|s| Some(s.core) != core))
                    .map(|(who, _)| *who)
                    .collect();
                for session in elsewhere {
                    self.leave(session, None, LeftReason::Orphan, true);
                }
                self.change_lives(|lives| lives.retain(|c| Some(c.core) == core));
                self.finish_if_empty();
            }
            RoomInput::Play(input) => {
                let (alive, now) = (self.can_play(), self.now);
                self.play(|playback| playback.apply(input, alive, now));
            }
            RoomInput::Record(input) => self.record(input),
            RoomInput::Deadline => self.deadline(),
        }
    }

    /// Something changed that its owner sees.
    fn updated(&mut self) {
        self.room.updated_at = self.now;
        self.room.changes.head = true;
    }

    // ---- its lock -------------------------------------------------------------------------------------------------

    fn lock(&mut self, asked: LockAsked) {
        if !self.room.is_open() {
            return;
        }
        if self.room.lives.is_empty() {
            let turned = self.room.lock.set(asked.lock, asked.command_uid);
            return self.turned(turned, false);
        }
        let lock = asked.lock;
        self.room.lock.asked = Some(asked);
        self.room.changes.head = true;
        self.command(RoomCommand::Lock { lock });
    }

    fn told_of_lock(&mut self, at: EventStamp, locked: bool) {
        match self.room.lock.told(at, locked) {
            Told::Nothing => {}
            Told::Noted => self.room.changes.head = true,
            Told::Turned(turned) => self.turned(Some(turned), at.synthesized),
            Told::Again => self.command(RoomCommand::Lock { lock: true }),
        }
    }

    fn turned(&mut self, turned: Option<Turned>, synthesized: bool) {
        // Of a room that is over nobody is told any more, whatever is done with a conference of its name.
        if let Some((locked, command_uid)) = turned
            && self.room.status != RoomStatus::Terminated
        {
            self.updated();
            self.notify(RoomFact::Locked { locked }, command_uid, synthesized);
        }
    }

    /// The floor is this call's from now on, or nobody's.
    fn give_floor(&mut self, holder: Option<SessionId>) {
        let channel = holder.map(|call| call.channel());
        if self.room.floor != channel {
            self.room.floor = channel;
            let member = holder.and_then(|call| self.room.members.get(&call));
            let member = member.map(|member| member.id);
            self.effects
                .push(RoomEffect::Live(LiveFact::Floor { holder, member }));
        }
    }

    /// Says whether a member talks, if that is news.
    fn tell_talk(&mut self, session: SessionId, talked: bool) {
        let member = self.room.members.get(&session);
        if let Some(member) = member.filter(|member| member.flags.talking != talked) {
            let fact = LiveFact::Talking {
                session,
                member: member.id,
                talking: member.flags.talking,
            };
            self.effects.push(RoomEffect::Live(fact));
        }
    }

    // ---- its recording --------------------------------------------------------------------------------------------

    fn record(&mut self, input: RecordInput) {
        match input {
            RecordInput::Start {
                id,
                path,
                command_uid,
                deadline,
            } => {
                if self.room.recording.is_some() || !self.can_play() {
                    return;
                }
                self.room.recordings.push(id);
                self.room.recording = Some(Recording {
                    id,
                    path: path.clone(),
                    status: RecordingStatus::Starting {
                        deadline,
                        command_uid,
                    },
                    created_at: self.now,
                    started_at: None,
                    since: 0,
                });
                self.show_recording(RecordingState::Starting, None);
                self.command(RoomCommand::RecordStart { id, path });
            }
            RecordInput::Stop {
                command_uid,
                deadline,
            } => {
                if let Some(recording) = &mut self.room.recording {
                    recording.status = RecordingStatus::Stopping {
                        deadline,
                        command_uid,
                    };
                    let (id, path) = (recording.id, recording.path.clone());
                    self.room.changes.head = true;
                    self.command(RoomCommand::RecordStop { id, path });
                }
            }
            RecordInput::Started { id, failed, .. } if failed => self.not_recorded(id, false),
            RecordInput::Started {
                id,
                sequence,
                synthesized,
                ..
            } => self.recorded(id, sequence, synthesized),
            RecordInput::Stopped {
                id,
                length,
                synthesized,
            } => {
                if self.room.recording.as_ref().is_some_and(|r| r.id == id) {
                    self.recording_over(length, synthesized);
                    self.finish_if_empty();
                }
            }
            RecordInput::StartRefused { id } => self.not_recorded(id, true),
            RecordInput::StopRefused { id } => {
                if let Some(recording) = &mut self.room.recording
                    && recording.id == id
                    && matches!(recording.status, RecordingStatus::Stopping { .. })
                {
                    recording.status = RecordingStatus::Active;
                    self.room.changes.head = true;
                }
            }
        }
    }

    fn recorded(&mut self, id: RecordingId, sequence: u64, synthesized: bool) {
        let now = self.now;
        let Some(recording) = self.room.recording.as_mut().filter(|r| r.id == id) else {
            return;
        };
        recording.since = recording.since.max(sequence);
        if recording.started_at.is_some() {
            return;
        }
        recording.started_at = Some(now);
        let mut command_uid = None;
        if let RecordingStatus::Starting {
            command_uid: uid, ..
        } = &mut recording.status
        {
            command_uid = uid.take();
            recording.status = RecordingStatus::Active;
        }
        self.show_recording(RecordingState::Recording, None);
        let fact = RoomFact::RecordingStarted { recording: id };
        self.notify(fact, command_uid, synthesized);
    }

    /// The recording did not begin. A refusal says so of one that was not heard of; an event may come late.
    fn not_recorded(&mut self, id: RecordingId, refused: bool) {
        let Some(recording) = self.room.recording.as_ref().filter(|r| r.id == id) else {
            return;
        };
        if refused && recording.started_at.is_some() {
            return;
        }
        let command_uid = match &recording.status {
            RecordingStatus::Starting { command_uid, .. }
            | RecordingStatus::Stopping { command_uid, .. } => command_uid.clone(),
            RecordingStatus::Active => None,
        };
        self.show_recording(RecordingState::Failed, None);
        self.room.recording = None;
        let fact = RoomFact::RecordingFailed { recording: id };
        self.notify(fact, command_uid, false);
        self.finish_if_empty();
    }

    /// The recording is over, by a command or with its conference.
    fn recording_over(&mut self, length: Option<Duration>, synthesized: bool) {
        let Some(id) = self.room.recording.as_ref().map(|r| r.id) else {
            return;
        };
        // Its end is told, so it had begun.
        if length.is_some() {
            self.recorded(id, 0, true);
        }
        let Some(recording) = &self.room.recording else {
            return;
        };
        let Some(started) = recording.started_at else {
            return self.not_recorded(id, false);
        };
        let command_uid = match &recording.status {
            RecordingStatus::Stopping { command_uid, .. } => command_uid.clone(),
            RecordingStatus::Starting { .. } | RecordingStatus::Active => None,
        };
        let length = length.unwrap_or_else(|| self.now.since(started));
        self.show_recording(RecordingState::Ended, Some(length));
        self.room.recording = None;
        let fact = RoomFact::RecordingStopped { recording: id };
        self.notify(fact, command_uid, synthesized);
    }

    fn show_recording(&mut self, state: RecordingState, length: Option<Duration>) {
        if let Some(recording) = &self.room.recording {
            let view = RecordingView {
                path: recording.path.clone(),
                state,
                created_at: recording.created_at,
                started_at: recording.started_at,
                ended_at: state.is_over().then_some(self.now),
                length,
            };
            self.room.changes.recordings.insert(recording.id, view);
        }
    }

    // ---- what plays -----------------------------------------------------------------------------------------------

    /// There is a conference to play into.
    fn can_play(&self) -> bool {
        self.room.conference().is_some() && !matches!(self.room.status, RoomStatus::Terminated)
    }

    fn play(&mut self, change: impl FnOnce(&mut Playback) -> Vec<PlayEffect>) {
        let before = self.room.playback.clone();
        let effects = change(&mut self.room.playback);
        if self.room.playback != before {
            self.room.changes.play = true;
        }
        for effect in effects {
            match effect {
                PlayEffect::Command(command) => self.command(RoomCommand::Play(command)),
                PlayEffect::Tell(fact, command_uid, synthesized) => {
                    self.notify(RoomFact::Play(fact), command_uid, synthesized);
                }
            }
        }
    }

    // ---- the conference -------------------------------------------------------------------------------------------

    /// Whether an event is about the latest life of the conference.
    fn is_current(&self, at: EventStamp) -> bool {
        self.room
            .conference()
            .is_some_and(|c| c.id == at.conference && c.core == at.core)
    }

    /// Takes the life that an event is about for one that is not over, if it may be.
    fn enter_conference(&mut self, at: EventStamp) -> bool {
        if self.room.ended_conferences.contains_key(&at.conference) {
            return false;
        }
        if let Some(known) = self.room.lives.iter().find(|c| c.id == at.conference) {
            return known.core == at.core;
        }
        self.change_lives(|lives| {
            lives.push(Conference {
                core: at.core,
                id: at.conference,
                since: at.sequence,
                emptied: None,
            });
        });
        true
    }

    /// `conference-create` tells exactly when a life began, which a snapshot or a member's event does not.
    fn conference_started(&mut self, at: EventStamp) {
        if self.enter_conference(at) && !at.synthesized {
            self.change_lives(|lives| {
                for life in lives.iter_mut().filter(|c| c.id == at.conference) {
                    life.since = at.sequence;
                }
            });
        }
    }

    /// Changes which lives there are. In a conference that is new, or the latest now, nobody has the floor, as far as is
    /// known; it is told whose it is, and to be locked if its room is.
    fn change_lives(&mut self, change: impl FnOnce(&mut Vec<Conference>)) {
        let before = self.room.lives.clone();
        change(&mut self.room.lives);
        self.room.lives.sort_by_key(|c| c.since);
        if self.room.lives == before {
            return;
        }
        self.room.changes.head = true;
        let latest = self.room.conference().map(|c| c.id);
        if before.last().map(|c| c.id) == latest {
            return;
        }
        self.give_floor(None);
        self.room.floor_at = 0;
        // What played went with the last one, and so did its recording.
        self.play(|playback| playback.conference_over(false));
        self.recording_over(None, true);
        if latest.is_some() && self.room.status == RoomStatus::Starting {
            self.room.status = RoomStatus::Progressing;
            self.updated();
        }
        let is_new = latest.is_some_and(|id| before.iter().all(|c| c.id != id));
        if is_new && self.room.registration.is_some() && self.room.is_open() {
            self.command(RoomCommand::Describe);
        }
        self.another_conference(latest.is_some());
    }

    /// FreeSWITCH forgets a lock with the conference; the room, if it is anyone's, does not.
    fn another_conference(&mut self, began: bool) {
        if self.room.registration.is_none() {
            self.room.lock = Lock::default();
        } else if !began {
            let turned = self.room.lock.conference_over();
            self.turned(turned, false);
        } else {
            self.room.lock.conference_began();
            if !self.room.is_open() {
                self.room.lock.room_over();
            } else if self.room.lock.due() {
                self.command(RoomCommand::Lock { lock: true });
            }
        }
    }

    fn conference_ended(&mut self, at: EventStamp) {
        let within: Vec<_> = self
            .room
            .members
            .iter()
            .filter(|(_, m)| {
                m.stay
                    .is_some_and(|s| s.conference == at.conference && s.opened < at.sequence)
            })
            .map(|(who, _)| *who)
            .collect();
        for session in within {
            self.leave(session, Some(at), LeftReason::Removed, true);
        }
        self.room.ended_conferences.insert(at.conference, self.now);
        self.change_lives(|lives| lives.retain(|c| c.id != at.conference));
        self.finish_if_empty();
    }

    /// FreeSWITCH ends a conference that has lost its last member, whoever comes in meanwhile. The first such event counts:
    /// the others are of those who came in meanwhile.
    fn conference_emptied(&mut self, at: EventStamp) {
        self.change_lives(|lives| {
            for life in lives.iter_mut().filter(|life| life.id == at.conference) {
                life.emptied = life.emptied.or(Some(at.sequence));
            }
        });
    }

    /// Returns true if an event is of a time at which its conference had lost its last member.
    fn is_of_emptied(&self, at: EventStamp) -> bool {
        let life = self.room.lives.iter().find(|c| c.id == at.conference);
        life.and_then(|life| life.emptied)
            .is_some_and(|emptied| emptied < at.sequence)
    }

    // ---- members --------------------------------------------------------------------------------------------------

    /// Returns true if a joining call came into a conference that is ending: FreeSWITCH puts it out again, so it has not joined.
    fn is_interrupted(&mut self, at: EventStamp, session: SessionId) -> bool {
        let joining = |m: &Member| matches!(m.status, MemberStatus::Joining { .. });
        if !self.is_of_emptied(at) || !self.room.members.get(&session).is_some_and(joining) {
            return false;
        }
        self.room.with_member(session, |m| {
            if let MemberStatus::Joining { attempt, .. } = &mut m.status
                && *attempt == JoinAttempt::First
            {
                *attempt = JoinAttempt::Interrupted;
            }
        });
        true
    }

    /// FreeSWITCH did not let a joining call in. A join that a conference's end interrupted is repeated, within its deadline.
    fn refused(&mut self, session: SessionId) {
        let Some(member) = self.room.members.get(&session) else {
            return;
        };
        let MemberStatus::Joining {
            deadline, attempt, ..
        } = &member.status
        else {
            return;
        };
        let (deadline, attempt) = (*deadline, *attempt);
        let muted = !member.flags.speak;
        let is_interrupted = match attempt {
            // The park can be told before the events of the conference that took the call in.
            JoinAttempt::First => self.room.lives.iter().any(|life| life.emptied.is_some()),
            JoinAttempt::Interrupted => true,
            JoinAttempt::Second => false,
        };
        if !is_interrupted || !self.room.is_open() {
            return self.not_entered(session, JoinFailure::Refused, false);
        }
        if deadline <= self.now {
            return self.not_entered(session, JoinFailure::Timeout, false);
        }
        self.room.with_member(session, |m| {
            if let MemberStatus::Joining { attempt, .. } = &mut m.status {
                *attempt = JoinAttempt::Second;
            }
        });
        self.effects.push(RoomEffect::SessionReenters { session });
        self.command(RoomCommand::Enter { session, muted });
    }

    fn seen(&mut self, at: EventStamp, who: Who, entered: bool) {
        if matches!(self.room.status, RoomStatus::Terminated) {
            // A join that was under way when the room ended.
            if entered || at.synthesized {
                self.strayed(who.session, at.sequence);
            }
            return;
        }
        if self.is_late(at, &who, entered) {
            return self.remember_flags(at, &who);
        }
        if !self.enter_conference(at) || self.is_interrupted(at, who.session) {
            return;
        }
        let session = who.session;
        let stay = Stay {
            core: at.core,
            conference: at.conference,
            opened: at.sequence,
            revealed: at.synthesized && !entered,
            confirmed: 0,
        };
        let synthesized = at.synthesized || !entered;
        match self.room.members.get(&session).map(|m| m.stay) {
            None => self.open(session, stay, &who, synthesized),
            Some(None) => self.confirm(session, stay, &who, synthesized),
            Some(Some(old)) if old.conference == at.conference => {
                if entered && at.sequence > old.opened && !old.revealed {
                    // Two add-members with no del-member between them: it was lost.
                    self.leave(session, Some(at), LeftReason::Removed, true);
                    self.open(session, stay, &who, synthesized);
                } else {
                    if entered && old.revealed && at.sequence >= old.opened {
                        self.room.with_member(session, |m| {
                            m.stay = Some(Stay {
                                opened: at.sequence,
                                revealed: false,
                                ..old
                            });
                        });
                        // Its end was told below this, if it is another stay than the one that was shown.
                        self.effects.push(RoomEffect::SessionEntered {
                            session,
                            sequence: at.sequence,
                            synthesized: true,
                        });
                    }
                    if at.synthesized {
                        self.confirm_presence(session, at.sequence);
                    }
                    self.flags(at, &who);
                }
            }
            Some(Some(old)) if at.sequence > old.opened => {
                // In the next life of the conference already: the end of the last one is late, or was lost.
                let ended = EventStamp {
                    conference: old.conference,
                    ..at
                };
                self.leave(session, Some(ended), LeftReason::Removed, true);
                self.open(session, stay, &who, synthesized);
            }
            Some(Some(_)) => {}
        }
    }

    /// Whether an event is about a stay that ended, as far as that can be told from it.
    fn is_late(&self, at: EventStamp, who: &Who, entered: bool) -> bool {
        if self.room.ended_conferences.contains_key(&at.conference) {
            return true;
        }
        let Some(end) = self.room.ended.get(&who.session.channel()) else {
            return false;
        };
        if end.conference != at.conference {
            // Of another life than the one that it left last: an older one, when it is told from before that.
            return at.sequence <= end.sequence;
        }
        let live_since = self
            .room
            .members
            .get(&who.session)
            .and_then(|m| m.stay)
            .map(|s| s.opened);
        match live_since {
            // There is a newer stay: the event is of it unless it is older.
            Some(opened) => at.sequence < opened,
            None => at.sequence <= end.sequence || !(entered || at.synthesized),
        }
    }

    /// What is told of a call above the end of its stay may be of the next one, whose add-member is not heard yet.
    fn remember_flags(&mut self, at: EventStamp, who: &Who) {
        let Some(end) = self.room.ended.get_mut(&who.session.channel()) else {
            return;
        };
        let told_before = end.flags_since.map_or(end.sequence, |(at, _)| at);
        if end.conference == at.conference && at.sequence > told_before {
            end.flags_since = Some((at.sequence, who.flags_over(Flags::default())));
        }
    }

    /// What a stay begins with, and since when: what was told of it before its add-member was heard counts.
    fn first_flags(&self, stay: Stay, who: &Who, believed: Flags) -> (Flags, u64) {
        self.room
            .ended
            .get(&who.session.channel())
            .filter(|end| end.conference == stay.conference)
            .and_then(|end| end.flags_since)
            .filter(|(at, _)| *at > stay.opened)
            .map_or((who.flags_over(believed), stay.opened), |(at, flags)| {
                (flags, at)
            })
    }

    fn open(&mut self, session: SessionId, stay: Stay, who: &Who, synthesized: bool) {
        if matches!(self.room.status, RoomStatus::Terminated) {
            // The end of the stay before, of which nobody was told in time, was the end of the room.
            self.strayed(session, stay.opened);
            return;
        }
        let (flags, flags_at) = self.first_flags(stay, who, Flags::default());
        let ending = self.ending_status(session);
        self.room.put_member(
            session,
            Member {
                id: who.fresh,
                status: ending.clone().unwrap_or(MemberStatus::Joined),
                stay: Some(stay),
                caller_id: who.caller_id.clone(),
                did: who.did.clone(),
                flags,
                flags_at,
                pending: None,
                since: self.now,
            },
        );
        self.joined(session, stay.opened, None, synthesized, ending.is_some());
    }

    fn confirm(&mut self, session: SessionId, stay: Stay, who: &Who, synthesized: bool) {
        let ending = self.ending_status(session);
        let Some(believed) = self.room.members.get(&session).map(|m| m.flags) else {
            return;
        };
        let (flags, flags_at) = self.first_flags(stay, who, believed);
        let command_uid = self
            .room
            .with_member(session, |m| {
                (m.flags, m.flags_at) = (flags, flags_at);
                m.stay = Some(stay);
                let status = ending.clone().unwrap_or(MemberStatus::Joined);
                match std::mem::replace(&mut m.status, status) {
                    MemberStatus::Joining { command_uid, .. } => command_uid,
                    MemberStatus::Joined | MemberStatus::Leaving { .. } => None,
                }
            })
            .flatten();
        self.joined(
            session,
            stay.opened,
            command_uid,
            synthesized,
            ending.is_some(),
        );
    }

    /// In a room that is ending, whoever comes in goes out again; so does one too many.
    fn ending_status(&self, session: SessionId) -> Option<MemberStatus> {
        let out = |deadline, reason| {
            Some(MemberStatus::Leaving {
                deadline,
                reason,
                command_uid: None,
            })
        };
        match self.room.status {
            RoomStatus::Terminating { deadline } => out(deadline, LeftReason::RoomDestroyed),
            RoomStatus::Starting | RoomStatus::Progressing => {
                let others = self
                    .room
                    .members
                    .iter()
                    .filter(|(who, m)| **who != session && m.stay.is_some());
                let most = self.room.kind().most_members()?;
                if others.count() >= most {
                    out(self.now + ENDING, LeftReason::Removed)
                } else {
                    None
                }
            }
            RoomStatus::Terminated => None,
        }
    }

    fn joined(
        &mut self,
        session: SessionId,
        sequence: u64,
        command_uid: Option<CommandUid>,
        synthesized: bool,
        ending: bool,
    ) {
        let Some(m) = self.room.members.get(&session) else {
            return;
        };
        let fact = RoomFact::MemberJoined {
            session,
            member: m.id,
            caller_id: m.caller_id.to_string(),
            did: m.did.to_string(),
            muted: !m.flags.speak,
        };
        self.effects.push(RoomEffect::SessionEntered {
            session,
            sequence,
            synthesized,
        });
        self.notify(fact, command_uid, synthesized);
        self.tell_talk(session, false);
        if ending {
            self.command(RoomCommand::Park { session });
        }
    }

    /// A snapshot shows what was believed: nothing changes, but that older news of a leave means nothing any more.
    fn confirm_presence(&mut self, session: SessionId, sequence: u64) {
        if let Some(stay) = self
            .room
            .members
            .get_mut(&session)
            .and_then(|m| m.stay.as_mut())
        {
            stay.confirmed = stay.confirmed.max(sequence);
            self.effects.push(RoomEffect::SessionEntered {
                session,
                sequence,
                synthesized: true,
            });
        }
    }

    /// Whoever was seen in the room while nobody could be told of it is told of now.
    fn tell_of_all(&mut self) {
        let present: Vec<(SessionId, u64)> = self
            .room
            .members
            .iter()
            .filter_map(|(who, m)| Some((*who, m.stay?.opened)))
            .collect();
        for (session, opened) in present {
            self.room.changes.members.insert(session);
            self.room.show_call(session);
            self.joined(session, opened, None, true, false);
        }
        if self.room.lock.locked() {
            self.notify(RoomFact::Locked { locked: true }, None, true);
        }
    }

    fn flags(&mut self, at: EventStamp, who: &Who) {
        let Some(m) = self.room.members.get_mut(&who.session) else {
            return;
        };
        if at.sequence <= m.flags_at {
            return;
        }
        let before = m.flags;
        let after = who.flags_over(before);
        let (Flags { speak, .. }, session) = (after, who.session);
        let only_talk = before
            == Flags {
                talking: before.talking,
                ..after
            };
        let answered = m
            .pending
            .as_ref()
            .is_some_and(|p| p.mute != speak && who.speak.is_some());
        if only_talk && !answered {
            // Who talks right now is not stored: it changes with every word and a snapshot tells it again.
            m.flags = after;
            m.flags_at = at.sequence;
            self.tell_talk(session, before.talking);
            return;
        }
        let command_uid = self
            .room
            .with_member(session, |m| {
                m.flags = after;
                m.flags_at = at.sequence;
                let pending = if answered { m.pending.take() } else { None };
                pending.and_then(|p| p.command_uid)
            })
            .flatten();
        if before.speak != speak {
            let fact = if speak {
                RoomFact::MemberUnmuted { session }
            } else {
                RoomFact::MemberMuted { session }
            };
            self.notify(fact, command_uid, at.synthesized);
        }
        self.tell_talk(session, before.talking);
    }

    fn gone(&mut self, at: EventStamp, session: SessionId, reason: LeftReason) {
        let is_old = self
            .room
            .ended
            .get(&session.channel())
            .is_some_and(|e| e.conference == at.conference && at.sequence <= e.sequence);
        if is_old {
            return;
        }
        match self.room.members.get(&session).map(|m| m.stay) {
            None => self.remember_end(session, at),
            Some(None) if self.is_interrupted(at, session) => {}
            Some(None) => {
                // It came and went, and its coming was not seen.
                let stay = Stay {
                    core: at.core,
                    conference: at.conference,
                    opened: at.sequence,
                    revealed: true,
                    confirmed: 0,
                };
                if !self.enter_conference(at) {
                    return;
                }
                let muted_as_asked = |m: &Member| Who {
                    session,
                    caller_id: SmolStr::default(),
                    did: SmolStr::default(),
                    fresh: m.id,
                    speak: None,
                    hear: None,
                    hold: false,
                    talking: false,
                };
                if let Some(who) = self.room.members.get(&session).map(muted_as_asked) {
                    self.confirm(session, stay, &who, true);
                    self.leave(session, Some(at), reason, at.synthesized);
                }
            }
            Some(Some(stay)) => {
                if stay.conference == at.conference
                    && stay.core == at.core
                    && at.sequence > stay.opened
                    && (at.synthesized || at.sequence > stay.confirmed)
                {
                    self.leave(session, Some(at), reason, at.synthesized);
                }
            }
        }
        self.finish_if_empty();
    }

    /// Ends a stay. `at` is `None` when the whole run of FreeSWITCH is over.
    fn leave(
        &mut self,
        session: SessionId,
        at: Option<EventStamp>,
        reason: LeftReason,
        synthesized: bool,
    ) {
        let Some(member) = self.room.remove_member(session) else {
            return;
        };
        if let Some(at) = at {
            self.remember_end(session, at);
        }
        let (asked, command_uid) = match member.status {
            MemberStatus::Leaving {
                reason,
                command_uid,
                ..
            } => (Some(reason), command_uid),
            MemberStatus::Joining { command_uid, .. } => (None, command_uid),
            MemberStatus::Joined => (None, None),
        };
        // What was asked for says more than "it is gone"; that the call or the node ended says more than that.
        let reason = match (reason, asked) {
            (LeftReason::Removed, Some(asked)) => asked,
            (LeftReason::Hangup, Some(LeftReason::RoomDestroyed)) => LeftReason::RoomDestroyed,
            (reason, _) => reason,
        };
        self.effects.push(RoomEffect::SessionLeft {
            session,
            // What is concluded from something else, such as the end of the conference, does not say since when: the call may
            // have been parked before that.
            sequence: at.filter(|_| !synthesized).map(|a| a.sequence),
        });
        self.notify(
            RoomFact::MemberLeft {
                session,
                member: member.id,
                reason,
            },
            command_uid,
            synthesized,
        );
        if self.room.present == 0 {
            // The conference goes with its last member, and closes its files before it says so: they did not end.
            self.play(|playback| playback.conference_over(synthesized));
        }
        self.part();
    }

    /// Of two that are connected, one has gone.
    fn part(&mut self) {
        let most = self.room.kind().most_members();
        if most.is_some_and(|most| self.room.present < most) {
            self.end(self.now + ENDING, LeftReason::RoomDestroyed);
        }
    }

    fn remember_end(&mut self, session: SessionId, at: EventStamp) {
        if let Some(horizon) = self
            .now
            .as_micros()
            .checked_sub(REMEMBER_ENDS.as_micros() as u64)
        {
            // A room forgets when it learns, so that a quiet room costs nothing; the bound is a minute's leavings.
            if self.room.ended.len() % 64 == 63 || self.room.ended_conferences.len() > 64 {
                self.room
                    .forget_ended_before(Timestamp::from_micros(horizon));
            }
        }
        let end = EndedStay {
            conference: at.conference,
            sequence: at.sequence,
            flags_since: None,
            at: self.now,
        };
        // The end of an older stay that is heard late is not the last one.
        self.room
            .ended
            .entry(session.channel())
            .and_modify(|last| {
                if last.sequence <= end.sequence {
                    *last = end;
                }
            })
            .or_insert(end);
    }

    /// A joining call is not to come in. FreeSWITCH may be about to let it in, so it is told to park it.
    fn turn_away(&mut self, session: SessionId, reason: JoinFailure) {
        self.not_entered(session, reason, true);
        self.command(RoomCommand::Park { session });
    }

    /// It is in a room that is over, and is parked again.
    fn strayed(&mut self, session: SessionId, sequence: u64) {
        self.effects
            .push(RoomEffect::SessionStrayed { session, sequence });
        self.command(RoomCommand::Park { session });
    }

    fn not_entered(&mut self, session: SessionId, reason: JoinFailure, turned_away: bool) {
        let joining = |m: &Member| matches!(m.status, MemberStatus::Joining { .. });
        if !self.room.members.get(&session).is_some_and(joining) {
            return;
        }
        if let Some(member) = self.room.remove_member(session) {
            let command_uid = match member.status {
                MemberStatus::Joining { command_uid, .. } => command_uid,
                MemberStatus::Joined | MemberStatus::Leaving { .. } => None,
            };
            self.effects.push(RoomEffect::SessionNotEntered {
                session,
                turned_away,
            });
            self.notify(
                RoomFact::JoinFailed {
                    session,
                    member: member.id,
                    reason,
                },
                command_uid,
                matches!(reason, JoinFailure::Orphan),
            );
        }
        self.finish_if_empty();
    }

    fn stays(&mut self, session: SessionId) {
        let leaving = |m: &Member| {
            matches!(
                m.status,
                MemberStatus::Leaving {
                    reason: LeftReason::Removed | LeftReason::Moved,
                    ..
                }
            )
        };
        if self.room.members.get(&session).is_some_and(leaving) {
            self.room
                .with_member(session, |m| m.status = MemberStatus::Joined);
            self.effects.push(RoomEffect::SessionStays { session });
        }
    }

    // ---- the room -------------------------------------------------------------------------------------------------

    fn end(&mut self, deadline: Timestamp, reason: LeftReason) {
        if !self.room.is_open() {
            return;
        }
        self.room.status = RoomStatus::Terminating { deadline };
        self.room.lock.room_over();
        self.updated();
        // Before anyone is parked: the last one to go would take the conference along.
        if !self.room.playback.operations().is_empty() {
            let (alive, now) = (self.can_play(), self.now);
            let stop = PlayInput::Stop { command_uid: None };
            self.play(|playback| playback.apply(stop, alive, now));
        }
        if self.room.recording.is_some() {
            self.record(RecordInput::Stop {
                command_uid: None,
                deadline,
            });
        }
        let members: Vec<(SessionId, bool)> = self
            .room
            .members
            .iter()
            .map(|(who, m)| (*who, m.stay.is_some()))
            .collect();
        for (session, present) in members {
            if present {
                self.room.with_member(session, |m| {
                    m.pending = None;
                    let command_uid = match &m.status {
                        MemberStatus::Leaving { command_uid, .. } => command_uid.clone(),
                        MemberStatus::Joined | MemberStatus::Joining { .. } => None,
                    };
                    m.status = MemberStatus::Leaving {
                        deadline,
                        reason,
                        command_uid,
                    };
                });
                self.command(RoomCommand::Park { session });
            } else {
                self.turn_away(session, JoinFailure::RoomDestroyed);
            }
        }
        self.finish_if_empty();
    }

    fn finish_if_empty(&mut self) {
        if matches!(self.room.status, RoomStatus::Terminating { .. })
            && self.room.members.is_empty()
            && self.room.recording.is_none()
        {
            self.room.status = RoomStatus::Terminated;
            self.room.ended_at = Some(self.now);
            self.updated();
            self.play(|playback| playback.conference_over(true));
            self.notify(RoomFact::Destroyed, None, false);
        }
    }

    fn deadline(&mut self) {
        if let RoomStatus::Terminating { deadline } = self.room.status
            && deadline <= self.now
        {
            let left: Vec<SessionId> = self.room.members.keys().copied().collect();
            for session in left {
                self.not_entered(session, JoinFailure::RoomDestroyed, false);
                self.leave(session, None, LeftReason::RoomDestroyed, true);
            }
            self.recording_over(None, true);
            self.finish_if_empty();
            return;
        }
        let expires = self.room.registration.as_ref().and_then(|r| r.expires_at());
        if self.room.is_open() && expires.is_some_and(|at| at <= self.now) {
            self.end(self.now + ENDING, LeftReason::Timeout);
        }
        self.recording_deadline();
        if self.room.lock.past_deadline(self.now) {
            self.room.changes.head = true;
        }
        let (alive, now) = (self.can_play(), self.now);
        self.play(|playback| playback.past_deadline(alive, now));
        while let Some((at, session)) = self.room.deadlines.first().copied() {
            if at > self.now {
                break;
            }
            let Some(status) = self.room.members.get(&session).map(|m| m.status.clone()) else {
                break;
            };
            let now = self.now;
            self.room.with_member(session, |m| {
                if m.pending.as_ref().is_some_and(|p| p.deadline <= now) {
                    m.pending = None;
                }
            });
            match status {
                // It was in a conference that was ending, and nobody said that it is out: it may be there for ever.
                MemberStatus::Joining {
                    deadline,
                    attempt: JoinAttempt::Interrupted,
                    ..
                } if deadline <= now => self.turn_away(session, JoinFailure::Timeout),
                MemberStatus::Joining { deadline, .. } if deadline <= now => {
                    self.not_entered(session, JoinFailure::Timeout, false);
                }
                MemberStatus::Leaving { deadline, .. } if deadline <= now => self.stays(session),
                MemberStatus::Joining { .. }
                | MemberStatus::Joined
                | MemberStatus::Leaving { .. } => {}
            }
            if self.room.deadlines.contains(&(at, session)) {
                // Only a member of a room that is ending keeps a deadline that has passed: the room's own comes with it.
                break;
            }
        }
    }

    fn recording_deadline(&mut self) {
        let now = self.now;
        let Some(recording) = &mut self.room.recording else {
            return;
        };
        if recording.deadline().is_none_or(|at| at > now) {
            return;
        }
        let (id, path) = (recording.id, recording.path.clone());
        if recording.started_at.is_some() {
            // It was not confirmed to have ended: it runs.
            recording.status = RecordingStatus::Active;
            self.room.changes.head = true;
        } else {
            // Should it begin after all, nobody would know of it.
            self.command(RoomCommand::RecordStop { id, path });
            self.not_recorded(id, false);
        }
    }

    fn command(&mut self, command: RoomCommand) {
        self.effects.push(RoomEffect::Command(command));
    }

    fn notify(&mut self, fact: RoomFact, command_uid: Option<CommandUid>, synthesized: bool) {
        if self.room.registration.is_none() {
            return;
        }
        self.room.sequence += 1;
        self.room.changes.head = true;
        self.effects.push(RoomEffect::Notify(RoomNotice {
            sequence: self.room.sequence,
            fact,
            command_uid,
            synthesized,
        }));
    }
}
