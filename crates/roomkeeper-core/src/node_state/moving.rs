//! Moves of members between two rooms of the node, and their failures.

use crate::call::{CallInput, CallStatus};
use crate::ids::{CallId, MemberId, RoomId};
use crate::room::{Arrival, Failed, MemberFlag, MemberStatus, RoomEffect, RoomInput, RoomState};
use crate::time::Timestamp;

use crate::intent::{Decision, Move, MoveAccepted, Refusal};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    /// Checks a move out of a room that names the member.
    pub(super) fn check_move(
        &self,
        from: RoomId,
        call: CallId,
        to: RoomId,
    ) -> Result<Decision, Refusal> {
        let member = self.room(from).and_then(|room| room.members().get(&call));
        match member.ok_or(Refusal::NotInRoom)?.status {
            MemberStatus::Joining { .. } => return Err(Refusal::StillJoining),
            MemberStatus::Leaving { .. } => return Err(Refusal::StillLeaving),
            MemberStatus::Joined => {}
        }
        if to == from {
            return Err(Refusal::InSameRoom);
        }
        if to.node() != call.node() {
            return Err(Refusal::OtherNode {
                call_node: call.node(),
                room_node: to.node(),
            });
        }
        let status = self.call(call).ok_or(Refusal::CallNotFound)?.status();
        if *status != CallStatus::InRoom(from) {
            return Err(Refusal::StillLeaving);
        }
        if self.is_member(to, call) {
            return Err(Refusal::StillJoining);
        }
        if self.is_locked(to) {
            return Err(Refusal::RoomLocked);
        }
        if self.room(to).is_some_and(RoomState::is_full) {
            return Err(Refusal::RoomFull);
        }
        Ok(Decision::Act)
    }

    pub(super) fn move_member(
        &mut self,
        by: Request,
        moved: Move,
        cx: &mut Context<'_>,
    ) -> Result<MoveAccepted, Refusal> {
        let (from, call, to) = (by.room()?, by.call()?, moved.to);
        let member = self.room(from).and_then(|room| room.members().get(&call));
        let member = member.ok_or(Refusal::NotInRoom)?;
        let mut flags = member.flags;
        for request in member.requests.iter() {
            match request.flag {
                MemberFlag::Speak => flags.speak = request.on,
                MemberFlag::Hear => flags.hear = request.on,
            }
        }
        let flags_before = flags;
        flags.speak = moved.muted.map_or(flags.speak, |muted| !muted);
        let deadline = cx.now + self.rules.timeouts.join;
        let arrival = Arrival {
            call,
            member: MemberId::generate(to.node(), cx.ids.next_uuid()),
            caller_id: member.caller_id.clone(),
            did: member.did.clone(),
            flags,
            settings: member.settings.clone(),
            hold: member.kept_hold(),
            from,
            flags_before,
            command_uid: by.command_uid.clone(),
            deadline,
        };
        let leaving = RoomInput::MoveOut {
            call,
            to,
            command_uid: by.command_uid,
            // The new room's deadline comes first: it reverts both.
            deadline: deadline + self.rules.timeouts.leave,
        };
        self.room_input(to, RoomInput::Placed, cx);
        self.call_input(call, CallInput::Moving { to }, cx);
        self.room_input(from, leaving, cx);
        self.room_input(to, RoomInput::MoveIn(Box::new(arrival)), cx);
        Ok(MoveAccepted { room: to })
    }

    /// Reports a failed move to the old room, which takes the call back.
    pub(super) fn move_failed(&mut self, to: RoomId, effect: RoomEffect, cx: &mut Context<'_>) {
        let RoomEffect::MoveFailed {
            call,
            from,
            flags,
            settings,
            hold,
            reason,
            command_uid,
        } = effect
        else {
            return;
        };
        let Some(state) = self.call(call).filter(|call| !call.is_over()) else {
            return;
        };
        // The old room may have ended meanwhile.
        if self.registration(from).is_none() {
            return;
        }
        let failed = Failed {
            call,
            to,
            reason,
            new_id: MemberId::generate(from.node(), cx.ids.next_uuid()),
            caller_id: state.caller_id().clone(),
            did: state.did().clone(),
            flags,
            settings,
            hold: hold.map(|hold| *hold),
            command_uid,
            deadline: self.join_deadline(cx.now),
        };
        self.room_input(from, RoomInput::MoveFailed(Box::new(failed)), cx);
    }

    fn join_deadline(&self, now: Timestamp) -> Timestamp {
        now + self.rules.timeouts.join
    }
}
