//! Transitions of a member that moves to another room of its node: one transfer takes it out of the old room and into the
//! new one. The new room reports a failure, after which the old room takes the member back.

use crate::ids::{CallId, CommandUid, RoomId};
use crate::room::audio::MemberAudio;
use crate::room::effect::{LeftReason, RoomCommand, RoomEffect, RoomEvent};
use crate::room::flag::Flags;
use crate::room::input::{Arrival, Failed};
use crate::room::member::{JoinAttempt, Member, MemberStatus, Move};
use crate::room::state::RoomStatus;
use crate::time::Timestamp;

use super::Transition;

impl Transition<'_> {
    pub(super) fn move_out(
        &mut self,
        call: CallId,
        to: RoomId,
        command_uid: Option<CommandUid>,
        deadline: Timestamp,
    ) {
        self.room.with_member(call, |m| {
            // FreeSWITCH may never confirm them: the new room gets the requested flags.
            m.requests.clear();
            m.moving = Some(Box::new(Move::To(to)));
            m.status = MemberStatus::Leaving {
                deadline,
                reason: LeftReason::Moved,
                command_uid,
            };
        });
    }

    pub(super) fn move_in(&mut self, arrival: Arrival) {
        let call = arrival.call;
        let status = MemberStatus::Joining {
            deadline: arrival.deadline,
            command_uid: arrival.command_uid,
            attempt: JoinAttempt::First,
        };
        let numbers = (arrival.caller_id, arrival.did);
        let muted = !arrival.flags.speak;
        let member = Member {
            flags: entry_flags(arrival.flags),
            settings: arrival.settings,
            audio: arrival.hold.map(MemberAudio::with_hold),
            moving: Some(Box::new(Move::From {
                room: arrival.from,
                flags: arrival.flags_before,
            })),
            ..self.new_member(arrival.member, status, numbers, muted)
        };
        self.join(call, member, false);
    }

    /// Takes a member back that did not get into another room. If it has not left, it stays.
    pub(super) fn move_failed(&mut self, failed: Failed) {
        let call = failed.call;
        let event = RoomEvent::MoveFailed {
            call,
            to: failed.to,
            reason: failed.reason,
        };
        if let Some(member) = self.room.members.get(&call) {
            let is_moving = member.moving_to() == Some(failed.to);
            match self.room.status {
                RoomStatus::Terminating { deadline } if is_moving => {
                    self.room.with_member(call, |m| {
                        m.moving = None;
                        m.status = MemberStatus::Leaving {
                            deadline,
                            reason: LeftReason::RoomDestroyed,
                            command_uid: None,
                        };
                    });
                    self.command(RoomCommand::Park { call });
                }
                RoomStatus::Starting | RoomStatus::Progressing => {
                    if is_moving {
                        self.revert_leave(call);
                    }
                    self.notify(event, failed.command_uid, false);
                }
                RoomStatus::Terminating { .. } | RoomStatus::Terminated => {}
            }
            return;
        }
        if !self.room.is_open() || self.room.is_full() {
            return;
        }
        self.notify(event, failed.command_uid, false);
        let status = MemberStatus::Joining {
            deadline: failed.deadline,
            command_uid: None,
            attempt: JoinAttempt::First,
        };
        let numbers = (failed.caller_id, failed.did);
        let muted = !failed.flags.speak;
        let member = Member {
            flags: entry_flags(failed.flags),
            settings: failed.settings,
            audio: failed.hold.map(MemberAudio::with_hold),
            moving: Some(Box::new(Move::Back)),
            ..self.new_member(failed.new_id, status, numbers, muted)
        };
        self.effects.push(RoomEffect::CallReenters { call });
        self.join(call, member, false);
    }
}

/// Returns the flags that a member has when it enters. A hold begins after that.
const fn entry_flags(flags: Flags) -> Flags {
    Flags {
        hold: false,
        talking: false,
        ..flags
    }
}
