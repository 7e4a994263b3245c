//! The end of a room, and deadlines.

use std::time::Duration;

use crate::ids::CallId;
use crate::room::effect::{EndReason, JoinFailure, LeftReason, RoomCommand, RoomEvent};
use crate::room::member::{JoinAttempt, MemberStatus};
use crate::room::member_settings::MemberSettings;
use crate::room::playback::PlayInput;
use crate::room::recording::RecordInput;
use crate::room::state::RoomStatus;
use crate::time::Timestamp;

use super::Transition;

/// The time that a room which ends by itself may take to remove its members.
pub(super) const ENDING: Duration = Duration::from_secs(10);

impl Transition<'_> {
    pub(super) fn end(&mut self, deadline: Timestamp, reason: LeftReason) {
        if !self.room.is_open() {
            return;
        }
        self.room.status = RoomStatus::Terminating { deadline };
        self.room.lock.room_over();
        self.updated();
        // This comes before any member is parked: the conference ends with its last member.
        if !self.room.playback.operations().is_empty() {
            let (alive, now) = (self.can_play(), self.now);
            let stop = PlayInput::Stop { command_uid: None };
            self.play(|playback| playback.apply(stop, alive, now));
        }
        if self.room.recording.is_some() {
            self.record(RecordInput::Stop {
                call: None,
                command_uid: None,
                deadline,
            });
        }
        self.cancel_dials();
        // A member that moves needs no command: it leaves by its transfer, or has not arrived yet. If it does arrive, it is
        // parked like any call that enters.
        let members: Vec<(CallId, bool)> = self
            .room
            .members
            .iter()
            .filter(|(_, m)| m.moving_to().is_none() && m.moving_from().is_none())
            .map(|(call, m)| (*call, m.membership.is_some()))
            .collect();
        for (call, present) in members {
            if present {
                self.room.with_member(call, |m| {
                    m.requests.clear();
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
                self.command(RoomCommand::Park { call });
            } else {
                self.turn_away(call, JoinFailure::RoomDestroyed);
            }
        }
        self.finish_if_empty();
    }

    /// Ends the room if it must end with this member, which has left for good.
    pub(super) fn end_with(&mut self, member: &MemberSettings) {
        if member.end_on_exit && self.room.is_open() && self.room.registration.is_some() {
            self.room.end_reason = Some(EndReason::MemberLeft);
            self.end(self.now + ENDING, LeftReason::RoomDestroyed);
        }
    }

    pub(super) fn finish_if_empty(&mut self) {
        if matches!(self.room.status, RoomStatus::Terminating { .. })
            && self.room.members.is_empty()
            && self.room.recording.is_none()
            && self.room.member_recordings.is_empty()
            && self.room.coaches.is_empty()
            && self.room.dials.is_none()
        {
            self.room.status = RoomStatus::Terminated;
            self.room.ended_at = Some(self.now);
            self.updated();
            self.play(|playback| playback.conference_over(true));
            let reason = self.room.end_reason;
            self.notify(RoomEvent::Destroyed { reason }, None, false);
        }
    }

    pub(super) fn deadline(&mut self) {
        if let RoomStatus::Terminating { deadline } = self.room.status
            && deadline <= self.now
        {
            let left: Vec<CallId> = self.room.members.keys().copied().collect();
            for call in left {
                self.not_entered(call, JoinFailure::RoomDestroyed, false);
                self.leave(call, None, LeftReason::RoomDestroyed, true);
            }
            self.all_recordings_over();
            self.all_coaches_over();
            self.drop_dials();
            self.finish_if_empty();
            return;
        }
        let expires = self.room.registration.as_ref().and_then(|r| r.expires_at());
        if self.room.is_open() && expires.is_some_and(|at| at <= self.now) {
            self.end(self.now + ENDING, LeftReason::Timeout);
        }
        self.silence_deadline();
        self.control_deadline();
        self.recording_deadlines();
        self.dial_deadlines();
        if self.room.lock.past_deadline(self.now) {
            self.room.changes.head = true;
        }
        let (alive, now) = (self.can_play(), self.now);
        self.play(|playback| playback.past_deadline(alive, now));
        while let Some((at, call)) = self.room.deadlines.first().copied() {
            if at > self.now {
                break;
            }
            let Some(status) = self.room.members.get(&call).map(|m| m.status.clone()) else {
                break;
            };
            let now = self.now;
            self.room.with_member(call, |m| {
                m.requests.expire(now);
            });
            self.levels_deadline(call);
            self.hold_deadline(call);
            self.member_audio_deadline(call);
            match status {
                // The call was in a conference that was ending, and no event reported its removal: it may stay there
                // for ever.
                MemberStatus::Joining {
                    deadline,
                    attempt: JoinAttempt::Interrupted,
                    ..
                } if deadline <= now => self.turn_away(call, JoinFailure::Timeout),
                MemberStatus::Joining { deadline, .. } if deadline <= now => {
                    self.not_entered(call, JoinFailure::Timeout, false);
                }
                MemberStatus::Leaving { deadline, .. } if deadline <= now => {
                    self.revert_leave(call)
                }
                MemberStatus::Joining { .. }
                | MemberStatus::Joined
                | MemberStatus::Leaving { .. } => {}
            }
            if self.room.deadlines.contains(&(at, call)) {
                // Only a member of an ending room keeps a deadline that has passed: the room's own deadline comes with
                // it.
                break;
            }
        }
    }
}
