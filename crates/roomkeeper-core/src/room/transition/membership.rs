//! Transitions of members on request of callers: joins, leaves and flags, and their refusals.

use crate::ids::{CallId, CommandUid, MemberId};
use crate::room::effect::{JoinFailure, LeftReason, RoomCommand, RoomEffect, RoomEvent};
use crate::room::flag::{FlagRequest, FlagRequests, Flags, MemberFlag};
use crate::room::member::{JoinAttempt, Member, MemberStatus, Move};
use crate::room::member_settings::MemberUpdate;
use crate::room::settings::Sparse;
use crate::room::stamp::EventStamp;
use crate::time::Timestamp;
use smol_str::SmolStr;

use super::Transition;

impl Transition<'_> {
    pub(super) fn new_member(
        &self,
        id: MemberId,
        status: MemberStatus,
        (caller_id, did): (SmolStr, SmolStr),
        muted: bool,
    ) -> Member {
        Member {
            id,
            status,
            membership: None,
            caller_id,
            did,
            flags: Flags {
                speak: !muted,
                ..Flags::default()
            },
            flags_at: 0,
            talk_reported: false,
            requests: FlagRequests::default(),
            audio: None,
            since: self.now,
            moving: None,
            settings: Sparse::default(),
        }
    }

    pub(super) fn join(&mut self, call: CallId, member: Member, has_pre_actions: bool) {
        self.room.put_member(call, member);
        self.prepare_wait(call);
        if !has_pre_actions {
            self.command(RoomCommand::Enter { call });
        }
    }

    pub(super) fn enter(&mut self, call: CallId, new_deadline: Timestamp) {
        let entering = self.room.with_member(call, |m| match &mut m.status {
            MemberStatus::Joining { deadline, .. } => {
                *deadline = new_deadline;
                true
            }
            MemberStatus::Joined | MemberStatus::Leaving { .. } => false,
        });
        if entering != Some(true) {
            return;
        }
        // The room can be locked since the request. A conference refuses the call then, but there may be none yet.
        if self.room.lock.locked() {
            return self.not_entered(call, JoinFailure::Refused, false);
        }
        self.prepare_wait(call);
        self.command(RoomCommand::Enter { call });
    }

    pub(super) fn cancel(&mut self, call: CallId) {
        let joining = |m: &Member| matches!(m.status, MemberStatus::Joining { .. });
        if self.room.members.get(&call).is_some_and(joining) {
            self.turn_away(call, JoinFailure::Removed);
        }
    }

    pub(super) fn leave_on_request(
        &mut self,
        call: CallId,
        reason: LeftReason,
        command_uid: Option<CommandUid>,
        deadline: Timestamp,
    ) {
        self.room.with_member(call, |m| {
            m.status = MemberStatus::Leaving {
                deadline,
                reason,
                command_uid,
            };
        });
        self.command(RoomCommand::Park { call });
    }

    pub(super) fn move_away(&mut self, call: CallId, deadline: Timestamp) {
        let joined = |m: &Member| matches!(m.status, MemberStatus::Joined);
        if self.room.members.get(&call).is_some_and(joined) {
            self.room.with_member(call, |m| {
                m.status = MemberStatus::Leaving {
                    deadline,
                    reason: LeftReason::Moved,
                    command_uid: None,
                };
            });
        }
    }

    pub(super) fn update_member(
        &mut self,
        call: CallId,
        update: MemberUpdate,
        command_uid: Option<CommandUid>,
    ) {
        let Some(member) = self.room.members.get(&call) else {
            return;
        };
        let update = Box::new(update.against(&member.settings));
        if update.is_empty() {
            return;
        }
        let changed = (*update).clone();
        self.room.with_member(call, |m| m.settings.apply(changed));
        self.send_levels(call, &update);
        self.notify(
            RoomEvent::MemberUpdated { call, update },
            command_uid.clone(),
            false,
        );
        self.start_with(call, command_uid, false);
    }

    pub(super) fn request_flag(&mut self, call: CallId, request: FlagRequest) {
        let FlagRequest { flag, on, .. } = request;
        if flag == MemberFlag::Hear
            && self.set_hearing_of_held(call, on, request.command_uid.clone())
        {
            return;
        }
        self.room.with_member(call, |m| m.requests.put(request));
        self.command(RoomCommand::SetFlag { call, flag, on });
    }

    pub(super) fn flag_refused(&mut self, call: CallId, flag: MemberFlag, on: bool) {
        let requested = |m: &Member| m.requests.get(flag).is_some_and(|request| request.on == on);
        if self.room.members.get(&call).is_some_and(requested) {
            self.room.with_member(call, |m| m.requests.take(flag));
        }
    }

    /// Returns true if a joining call entered a conference that is ending: FreeSWITCH removes it again, so it has not
    /// joined.
    pub(super) fn is_interrupted(&mut self, at: EventStamp, call: CallId) -> bool {
        let joining = |m: &Member| matches!(m.status, MemberStatus::Joining { .. });
        if !self.is_of_emptied(at) || !self.room.members.get(&call).is_some_and(joining) {
            return false;
        }
        self.room.with_member(call, |m| {
            if let MemberStatus::Joining { attempt, .. } = &mut m.status
                && *attempt == JoinAttempt::First
            {
                *attempt = JoinAttempt::Interrupted;
            }
        });
        true
    }

    /// Fails the join of a call that FreeSWITCH did not let in. A join that a conference's end interrupted is repeated,
    /// within its deadline.
    pub(super) fn join_refused(&mut self, call: CallId) {
        let Some(member) = self.room.members.get(&call) else {
            return;
        };
        let MemberStatus::Joining {
            deadline, attempt, ..
        } = &member.status
        else {
            return;
        };
        let (deadline, attempt) = (*deadline, *attempt);
        let is_interrupted = match attempt {
            // The park event can precede the events of the conference that admitted the call.
            JoinAttempt::First => self
                .room
                .instances
                .iter()
                .any(|instance| instance.emptied.is_some()),
            JoinAttempt::Interrupted => true,
            JoinAttempt::Second => false,
        };
        if !is_interrupted || !self.room.is_open() {
            return self.not_entered(call, JoinFailure::Refused, false);
        }
        if deadline <= self.now {
            return self.not_entered(call, JoinFailure::Timeout, false);
        }
        self.room.with_member(call, |m| {
            if let MemberStatus::Joining { attempt, .. } = &mut m.status {
                *attempt = JoinAttempt::Second;
            }
        });
        self.effects.push(RoomEffect::CallReenters { call });
        self.prepare_wait(call);
        self.command(RoomCommand::Enter { call });
    }

    /// Fails the join of a call that must not enter. FreeSWITCH may be about to let it in, so it gets a park command.
    pub(super) fn turn_away(&mut self, call: CallId, reason: JoinFailure) {
        self.not_entered(call, reason, true);
        self.command(RoomCommand::Park { call });
    }

    pub(super) fn not_entered(&mut self, call: CallId, reason: JoinFailure, turned_away: bool) {
        let joining = |m: &Member| matches!(m.status, MemberStatus::Joining { .. });
        if !self.room.members.get(&call).is_some_and(joining) {
            return;
        }
        if let Some(member) = self.room.remove_member(call) {
            let returns = !turned_away && returns_after(reason);
            // A member that could not return is gone.
            let has_left = member.moving.as_deref() == Some(&Move::Back);
            let hold = member.kept_hold();
            let moving = member.moving.filter(|_| returns);
            let command_uid = match member.status {
                MemberStatus::Joining { command_uid, .. } => command_uid,
                MemberStatus::Joined | MemberStatus::Leaving { .. } => None,
            };
            self.effects
                .push(RoomEffect::CallNotEntered { call, turned_away });
            self.notify(
                RoomEvent::JoinFailed {
                    call,
                    member: member.id,
                    reason,
                },
                command_uid.clone(),
                matches!(reason, JoinFailure::Orphan),
            );
            if has_left {
                self.end_with(&member.settings);
            }
            if let Some(Move::From { room, flags }) = moving.as_deref() {
                self.effects.push(RoomEffect::MoveFailed {
                    call,
                    from: *room,
                    flags: *flags,
                    settings: member.settings,
                    hold: hold.map(Box::new),
                    reason,
                    command_uid,
                });
            }
        }
        self.finish_if_empty();
    }

    pub(super) fn revert_leave(&mut self, call: CallId) {
        let leaving = |m: &Member| {
            matches!(
                m.status,
                MemberStatus::Leaving {
                    reason: LeftReason::Removed | LeftReason::Moved | LeftReason::Transferred,
                    ..
                }
            )
        };
        if self.room.members.get(&call).is_some_and(leaving) {
            self.room.with_member(call, |m| {
                m.status = MemberStatus::Joined;
                m.moving = None;
            });
            self.effects.push(RoomEffect::CallStays { call });
            self.resume_member_playback(call);
            self.adjust_hearing(call);
        }
    }
}

/// Returns true if a call that moved here goes back to its old room after this failure.
const fn returns_after(reason: JoinFailure) -> bool {
    match reason {
        JoinFailure::Refused | JoinFailure::Timeout | JoinFailure::RoomDestroyed => true,
        // The call is over, went elsewhere, or was removed by its app.
        JoinFailure::Hangup
        | JoinFailure::Moved
        | JoinFailure::Orphan
        | JoinFailure::Removed
        | JoinFailure::ActionFailed
        | JoinFailure::Pin => false,
    }
}
