//! Transitions of members that FreeSWITCH reports as present or gone.

use std::time::Duration;

use crate::ids::{CallId, CommandUid};
use crate::room::effect::{LeftReason, RoomCommand, RoomEffect, RoomEvent};
use crate::room::flag::{FlagRequest, FlagRequests, Flags, MemberFlag, ReportedFlags};
use crate::room::input::ReportedMember;
use crate::room::level::ReportedLevels;
use crate::room::member::{Member, MemberStatus, Membership, Move, Tombstone};
use crate::room::settings::Sparse;
use crate::room::stamp::EventStamp;
use crate::room::state::RoomStatus;
use crate::time::Timestamp;
use smol_str::SmolStr;

use super::Transition;
use super::ending::ENDING;
use super::waiting::is_settled_wait;

/// The time for which tombstones are kept. Events arrive up to 30 positions (milliseconds) late; a minute is longer
/// than any queue between FreeSWITCH and the controller.
const REMEMBER_ENDS: Duration = Duration::from_secs(60);

/// A held member is deaf at FreeSWITCH, because a hold of ours deafens it. Nobody knows whether its app had deafened it
/// before.
const fn quirk_held_is_deaf(reported: ReportedFlags) -> ReportedFlags {
    if reported.hold {
        ReportedFlags {
            hear: None,
            ..reported
        }
    } else {
        reported
    }
}

/// Returns the flags of a member after a report. A flag that is being restored stays as it is.
fn updated_flags(m: &Member, reported: ReportedFlags) -> Flags {
    let before = m.flags;
    let mut after = reported.update(before);
    for flag in MemberFlag::ALL.iter().copied() {
        let request = m.requests.get(flag);
        if request.is_some_and(|request| request.restores(before)) {
            flag.set(&mut after, flag.is_on(before));
        }
    }
    after
}

impl Transition<'_> {
    pub(super) fn member_reported(
        &mut self,
        at: EventStamp,
        member: ReportedMember,
        entered: bool,
    ) {
        if matches!(self.room.status, RoomStatus::Terminated) {
            // The join was in progress when the room ended.
            if entered || at.synthesized {
                self.park_strayed(member.call, at.sequence);
            }
            return;
        }
        if self.is_late(at, &member, entered) {
            return self.remember_flags(at, &member);
        }
        if !self.enter_conference(at) || self.is_interrupted(at, member.call) {
            return;
        }
        let call = member.call;
        // The event of the answer is late, or was lost.
        self.dial_answered(call, member.new_id, self.now + ENDING, true);
        let membership = Membership {
            core: at.core,
            conference: at.conference,
            opened: at.sequence,
            revealed: at.synthesized && !entered,
            confirmed: 0,
        };
        let synthesized = at.synthesized || !entered;
        let is_newer = |m: &Member| at.sequence > m.flags_at;
        let is_newer = self.room.members.get(&call).is_none_or(is_newer);
        match self.room.members.get(&call).map(|m| m.membership) {
            None => self.open(call, membership, &member, synthesized),
            Some(None) => self.confirm(call, membership, &member, synthesized),
            Some(Some(old)) if old.core != at.core => self.reconnected(at, membership, &member),
            Some(Some(old)) if old.conference == at.conference => {
                if entered && at.sequence > old.opened && !old.revealed {
                    // Two add-member events without a del-member between them: that one was lost.
                    self.leave(call, Some(at), LeftReason::Removed, true);
                    self.open(call, membership, &member, synthesized);
                } else {
                    if entered && old.revealed && at.sequence >= old.opened {
                        self.room.with_member(call, |m| {
                            m.membership = Some(Membership {
                                opened: at.sequence,
                                revealed: false,
                                ..old
                            });
                        });
                        // Its end was reported below this, if it is another membership than the one that was shown.
                        self.effects.push(RoomEffect::CallEntered {
                            call,
                            sequence: at.sequence,
                            synthesized: true,
                        });
                    }
                    if at.synthesized {
                        self.confirm_presence(call, at.sequence);
                    }
                    self.flags(at, &member);
                }
            }
            Some(Some(old)) if at.sequence > old.opened => {
                // The call is in the next conference instance already: the end of the last membership is late, or was
                // lost.
                let ended = EventStamp {
                    conference: old.conference,
                    ..at
                };
                self.leave(call, Some(ended), LeftReason::Removed, true);
                self.open(call, membership, &member, synthesized);
            }
            Some(Some(_)) => return,
        }
        self.levels_reported(at, call, member.levels, is_newer);
    }

    /// Returns true if an event belongs to a membership that has ended, as far as the event shows.
    pub(super) fn is_late(&self, at: EventStamp, member: &ReportedMember, entered: bool) -> bool {
        if self.room.ended_conferences.contains_key(&at.conference) {
            return true;
        }
        let Some(end) = self.room.ended.get(&member.call.channel()) else {
            return false;
        };
        if end.conference != at.conference {
            // An event of another instance than the one that the call left last is late if it is older than that end.
            return at.sequence <= end.sequence;
        }
        let live_since = self
            .room
            .members
            .get(&member.call)
            .and_then(|m| m.membership)
            .map(|s| s.opened);
        match live_since {
            // There is a newer membership: the event belongs to it unless it is older.
            Some(opened) => at.sequence < opened,
            None => at.sequence <= end.sequence || !(entered || at.synthesized),
        }
    }

    /// Keeps flags that were reported above the end of a membership: they may belong to the next one, whose add-member
    /// has not arrived yet.
    pub(super) fn remember_flags(&mut self, at: EventStamp, member: &ReportedMember) {
        let Some(end) = self.room.ended.get_mut(&member.call.channel()) else {
            return;
        };
        let reported_at = end.flags_since.map_or(end.sequence, |(at, _)| at);
        if end.conference == at.conference && at.sequence > reported_at {
            let flags = quirk_held_is_deaf(member.flags).update(Flags::default());
            end.flags_since = Some((at.sequence, flags));
        }
    }

    /// Returns the first flags of a membership, and their sequence: flags that arrived before its add-member count.
    pub(super) fn first_flags(
        &self,
        membership: Membership,
        member: &ReportedMember,
        known: Flags,
    ) -> (Flags, u64) {
        self.room
            .ended
            .get(&member.call.channel())
            .filter(|end| end.conference == membership.conference)
            .and_then(|end| end.flags_since)
            .filter(|(at, _)| *at > membership.opened)
            .map_or(
                (
                    quirk_held_is_deaf(member.flags).update(known),
                    membership.opened,
                ),
                |(at, flags)| (flags, at),
            )
    }

    pub(super) fn open(
        &mut self,
        call: CallId,
        membership: Membership,
        member: &ReportedMember,
        synthesized: bool,
    ) {
        if matches!(self.room.status, RoomStatus::Terminated) {
            // The end of the membership before, which could not be reported in time, was the end of the room.
            self.park_strayed(call, membership.opened);
            return;
        }
        let (mut flags, flags_at) = self.first_flags(membership, member, Flags::default());
        let audio = self.found_waiting(&mut flags);
        let ending = self.ending_status(call);
        self.room.put_member(
            call,
            Member {
                id: member.new_id,
                status: ending.clone().unwrap_or(MemberStatus::Joined),
                membership: Some(membership),
                caller_id: member.caller_id.clone(),
                did: member.did.clone(),
                flags,
                flags_at,
                talk_reported: false,
                requests: FlagRequests::default(),
                audio,
                since: self.now,
                moving: None,
                settings: Sparse::default(),
            },
        );
        self.joined(call, membership.opened, None, synthesized, ending.is_some());
    }

    pub(super) fn confirm(
        &mut self,
        call: CallId,
        membership: Membership,
        member: &ReportedMember,
        synthesized: bool,
    ) {
        let ending = self.ending_status(call);
        let Some(known) = self.room.members.get(&call).map(|m| m.flags) else {
            return;
        };
        let (flags, flags_at) = self.first_flags(membership, member, known);
        let command_uid = self
            .room
            .with_member(call, |m| {
                (m.flags, m.flags_at) = (flags, flags_at);
                m.membership = Some(membership);
                if let Some(hold) = m.audio.as_mut().and_then(|audio| audio.hold.as_mut()) {
                    // It entered deaf.
                    hold.hears = member.flags.hear.map(|_| flags.hear);
                    m.flags.hear = known.hear;
                }
                let status = ending.clone().unwrap_or(MemberStatus::Joined);
                match std::mem::replace(&mut m.status, status) {
                    MemberStatus::Joining { command_uid, .. } => command_uid,
                    MemberStatus::Joined | MemberStatus::Leaving { .. } => None,
                }
            })
            .flatten();
        self.joined(
            call,
            membership.opened,
            command_uid,
            synthesized,
            ending.is_some(),
        );
    }

    /// Returns the status of a member that must leave at once: the room is ending, or is full.
    pub(super) fn ending_status(&self, call: CallId) -> Option<MemberStatus> {
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
                    .filter(|(other, m)| **other != call && m.membership.is_some());
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

    pub(super) fn joined(
        &mut self,
        call: CallId,
        sequence: u64,
        command_uid: Option<CommandUid>,
        synthesized: bool,
        ending: bool,
    ) {
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let event = RoomEvent::MemberJoined {
            call,
            member: m.id,
            caller_id: m.caller_id.to_string(),
            did: m.did.to_string(),
            muted: !m.flags.speak,
            from: m.moving_from(),
            settings: m.settings.clone(),
        };
        let was_moving = m.moving.is_some();
        let has_returned = matches!(m.moving.as_deref(), Some(Move::Back));
        self.effects.push(RoomEffect::CallEntered {
            call,
            sequence,
            synthesized,
        });
        let flags = m.flags;
        self.notify(event, command_uid, synthesized);
        if was_moving {
            self.room.with_member(call, |m| m.moving = None);
        }
        // The event above reports whether the member is muted; any other flag that is off gets its own event.
        let others = MemberFlag::ALL.iter().copied();
        for flag in others.filter(|flag| *flag != MemberFlag::Speak && !flag.is_on(flags)) {
            let event = RoomEvent::FlagChanged {
                call,
                flag,
                on: false,
            };
            self.notify(event, None, synthesized);
        }
        self.report_talking(call, false);
        self.talked(Duration::ZERO);
        if ending {
            self.command(RoomCommand::Park { call });
        } else {
            self.joined_held(call, synthesized);
            self.joined_waiting(call, synthesized);
            if !has_returned {
                self.announce_count(call);
            }
        }
    }

    /// Confirms a membership that a snapshot shows. Nothing changes, except that older events of a leave no longer
    /// count.
    pub(super) fn confirm_presence(&mut self, call: CallId, sequence: u64) {
        if let Some(membership) = self
            .room
            .members
            .get_mut(&call)
            .and_then(|m| m.membership.as_mut())
        {
            membership.confirmed = membership.confirmed.max(sequence);
            self.effects.push(RoomEffect::CallEntered {
                call,
                sequence,
                synthesized: true,
            });
        }
    }

    /// Reports the members that joined before the room had an owner to notify.
    pub(super) fn report_members(&mut self) {
        let present: Vec<(CallId, u64)> = self
            .room
            .members
            .iter()
            .filter_map(|(call, m)| Some((*call, m.membership?.opened)))
            .collect();
        for (call, opened) in present {
            self.room.changes.members.insert(call);
            self.room.record_status(call);
            self.joined(call, opened, None, true, false);
        }
        if self.room.lock.locked() {
            self.notify(RoomEvent::Locked { locked: true }, None, true);
        }
    }

    pub(super) fn flags(&mut self, at: EventStamp, member: &ReportedMember) {
        let waits = self.room.is_waiting();
        let Some(m) = self.room.members.get_mut(&member.call) else {
            return;
        };
        if at.sequence <= m.flags_at {
            return;
        }
        let call = member.call;
        let before = m.flags;
        if waits && is_settled_wait(m, member.flags) {
            m.flags.talking = member.flags.talking;
            m.flags_at = at.sequence;
            return self.report_talking(call, before.talking);
        }
        if member.flags.hold || m.hold().is_some() {
            return self.flags_of_held(at, call, member.flags);
        }
        let after = updated_flags(m, member.flags);
        let only_talk = before
            == Flags {
                talking: before.talking,
                ..after
            };
        let is_confirmed =
            |request: &FlagRequest| member.flags.get(request.flag) == Some(request.on);
        if only_talk && !m.requests.iter().any(is_confirmed) {
            // Talking is not stored: it changes with every word, and a snapshot reports it again.
            m.flags = after;
            m.flags_at = at.sequence;
            self.report_talking(call, before.talking);
            return;
        }
        self.change_flags(at, call, member.flags);
    }

    /// Applies reported flags of a member that is held, or is about to be or not to be.
    fn flags_of_held(&mut self, at: EventStamp, call: CallId, reported: ReportedFlags) {
        let command_uid = self.follow_hold(call, reported);
        let was_held = self.room.members.get(&call).is_some_and(|m| m.flags.hold);
        // FreeSWITCH's own `Hear` belongs to the hold.
        let visible = ReportedFlags {
            hear: None,
            ..reported
        };
        self.change_flags(at, call, visible);
        if was_held != reported.hold {
            self.hold_changed(call, reported.hold, command_uid, at.synthesized);
        }
        self.adjust_hearing(call);
        self.resume_music(call);
    }

    fn change_flags(&mut self, at: EventStamp, call: CallId, reported: ReportedFlags) {
        let Some(m) = self.room.members.get(&call) else {
            return;
        };
        let (before, after) = (m.flags, updated_flags(m, reported));
        let is_confirmed = |request: &FlagRequest| reported.get(request.flag) == Some(request.on);
        self.room.with_member(call, |m| {
            m.flags = after;
            m.flags_at = at.sequence;
        });
        for flag in MemberFlag::ALL.iter().copied() {
            let on = flag.is_on(after);
            let confirmed = self.room.with_member(call, |m| {
                let request = m
                    .requests
                    .get(flag)
                    .filter(|request| is_confirmed(request))?;
                m.requests.take(request.flag)
            });
            if flag.is_on(before) != on {
                let command_uid = confirmed.flatten().and_then(|request| request.command_uid);
                let event = RoomEvent::FlagChanged { call, flag, on };
                self.notify(event, command_uid, at.synthesized);
            }
        }
        self.report_talking(call, before.talking);
    }

    pub(super) fn member_gone(&mut self, at: EventStamp, call: CallId, reason: LeftReason) {
        let is_old = self
            .room
            .ended
            .get(&call.channel())
            .is_some_and(|e| e.conference == at.conference && at.sequence <= e.sequence);
        if is_old {
            return;
        }
        match self.room.members.get(&call).map(|m| m.membership) {
            None => self.remember_end(call, at),
            Some(None) if self.is_interrupted(at, call) => {}
            Some(None) => {
                // The call came and left, and no event reported that it entered.
                let membership = Membership {
                    core: at.core,
                    conference: at.conference,
                    opened: at.sequence,
                    revealed: true,
                    confirmed: 0,
                };
                if !self.enter_conference(at) {
                    return;
                }
                let muted_as_requested = |m: &Member| ReportedMember {
                    call,
                    caller_id: SmolStr::default(),
                    did: SmolStr::default(),
                    new_id: m.id,
                    flags: ReportedFlags::default(),
                    levels: ReportedLevels::default(),
                };
                if let Some(member) = self.room.members.get(&call).map(muted_as_requested) {
                    self.confirm(call, membership, &member, true);
                    self.leave(call, Some(at), reason, at.synthesized);
                }
            }
            Some(Some(membership)) => {
                if membership.conference == at.conference
                    && membership.core == at.core
                    && at.sequence > membership.opened
                    && (at.synthesized || at.sequence > membership.confirmed)
                {
                    self.leave(call, Some(at), reason, at.synthesized);
                }
            }
        }
        self.finish_if_empty();
    }

    /// Ends a membership. `at` is `None` if the core is over.
    pub(super) fn leave(
        &mut self,
        call: CallId,
        at: Option<EventStamp>,
        reason: LeftReason,
        synthesized: bool,
    ) {
        self.end_member_playback(call, synthesized);
        let Some(member) = self.room.remove_member(call) else {
            return;
        };
        if self.room.present == 0 {
            // The next conference waits for a moderator again.
            self.room.started = false;
        }
        if let Some(at) = at {
            self.remember_end(call, at);
        }
        let (requested, command_uid) = match member.status {
            MemberStatus::Leaving {
                reason,
                command_uid,
                ..
            } => (Some(reason), command_uid),
            MemberStatus::Joining { command_uid, .. } => (None, command_uid),
            MemberStatus::Joined => (None, None),
        };
        // A requested reason is more specific than "removed"; the end of the call or of the node is more specific than
        // that.
        let to = member.moving.as_deref().and_then(Move::to);
        let reason = match (reason, requested) {
            (LeftReason::Removed, Some(requested)) => requested,
            (LeftReason::Hangup, Some(LeftReason::RoomDestroyed)) => LeftReason::RoomDestroyed,
            (reason, _) => reason,
        };
        self.effects.push(RoomEffect::CallLeft {
            call,
            // An end that is derived from something else, such as the end of the conference, has no position: the call
            // may have been parked before that.
            sequence: at.filter(|_| !synthesized).map(|a| a.sequence),
            moved: to.is_some(),
        });
        self.notify(
            RoomEvent::MemberLeft {
                call,
                member: member.id,
                reason,
                to: to.filter(|_| reason == LeftReason::Moved),
            },
            command_uid,
            synthesized,
        );
        self.member_recording_over(call, reason);
        self.coached_left(call);
        if self.room.present == 0 {
            // The conference ends with its last member, and closes its files before it reports that: they did not play
            // to the end.
            self.play(|playback| playback.conference_over(synthesized));
        }
        if to.is_none() && ends_on_exit(reason) {
            self.end_with(&member.settings);
        }
        self.end_broken_pair();
    }

    /// Ends a room of two members when one of them has left.
    pub(super) fn end_broken_pair(&mut self) {
        let most = self.room.kind().most_members();
        if most.is_some_and(|most| self.room.present < most) {
            self.end(self.now + ENDING, LeftReason::RoomDestroyed);
        }
    }

    pub(super) fn remember_end(&mut self, call: CallId, at: EventStamp) {
        if let Some(horizon) = self
            .now
            .as_micros()
            .checked_sub(REMEMBER_ENDS.as_micros() as u64)
        {
            // A room drops tombstones when it adds one, so that a quiet room costs nothing; the bound is a minute's
            // leaves.
            if self.room.ended.len() % 64 == 63 || self.room.ended_conferences.len() > 64 {
                self.room
                    .forget_ended_before(Timestamp::from_micros(horizon));
            }
        }
        let end = Tombstone {
            conference: at.conference,
            sequence: at.sequence,
            flags_since: None,
            at: self.now,
        };
        // The late end of an older membership is not the last one.
        self.room
            .ended
            .entry(call.channel())
            .and_modify(|last| {
                if last.sequence <= end.sequence {
                    *last = end;
                }
            })
            .or_insert(end);
    }

    /// Parks a call that entered a room which is over.
    pub(super) fn park_strayed(&mut self, call: CallId, sequence: u64) {
        self.effects
            .push(RoomEffect::CallStrayed { call, sequence });
        self.command(RoomCommand::Park { call });
    }
}

/// Returns true if a member that leaves for this reason takes a room along that ends on its exit.
const fn ends_on_exit(reason: LeftReason) -> bool {
    match reason {
        LeftReason::Hangup | LeftReason::Removed | LeftReason::Moved | LeftReason::Transferred => {
            true
        }
        // The room ends already, or its node was lost with all members.
        LeftReason::RoomDestroyed
        | LeftReason::Timeout
        | LeftReason::Silence
        | LeftReason::Orphan => false,
    }
}
