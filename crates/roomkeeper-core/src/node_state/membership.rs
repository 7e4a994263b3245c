//! Joins and leaves.

use crate::call::{ActionRun, CallInput, CallStatus};
use crate::ids::{CallId, CommandUid, MemberId, RoomId};
use crate::room::{LeftReason, MemberStatus, Origin, RoomInput, RoomState};

use crate::intent::{Accepted, Decision, Join, JoinAccepted, LeaveAccepted, Refusal};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn check_join(&self, room: RoomId, call: CallId) -> Result<Decision, Refusal> {
        if room.node() != call.node() {
            return Err(Refusal::OtherNode {
                call_node: call.node(),
                room_node: room.node(),
            });
        }
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        match state.status() {
            // A call that still runs the post-actions of its last room stops doing so.
            CallStatus::Ringing | CallStatus::Parked | CallStatus::Acting(None) => {}
            CallStatus::Acting(Some(current))
            | CallStatus::Joining(current)
            | CallStatus::Moving { to: current, .. }
            | CallStatus::InRoom(current)
                if *current != room =>
            {
                return Err(Refusal::InOtherRoom { room: *current });
            }
            CallStatus::Acting(Some(_)) | CallStatus::Joining(_) | CallStatus::Moving { .. } => {
                let member = self.membership(room, call)?;
                let accepted = JoinAccepted::Joining { room, member };
                return Ok(Decision::NoChange(Accepted::Join(accepted)));
            }
            CallStatus::InRoom(_) => {
                let member = self.membership(room, call)?;
                let accepted = JoinAccepted::AlreadyJoined { room, member };
                return Ok(Decision::NoChange(Accepted::Join(accepted)));
            }
            CallStatus::Leaving(_) => return Err(Refusal::StillLeaving),
            CallStatus::Coaching => return Err(Refusal::Coaching),
            CallStatus::Transferring | CallStatus::Transferred => {
                return Err(Refusal::Transferring);
            }
            CallStatus::Ended => return Err(Refusal::CallNotFound),
        }
        if self.is_locked(room) {
            return Err(Refusal::RoomLocked);
        }
        if self.room(room).is_some_and(RoomState::is_full) {
            return Err(Refusal::RoomFull);
        }
        Ok(Decision::Act)
    }

    fn membership(&self, room: RoomId, call: CallId) -> Result<MemberId, Refusal> {
        let member = self.room(room).and_then(|room| room.members().get(&call));
        member.map(|member| member.id).ok_or(Refusal::StillLeaving)
    }

    pub(super) fn join(
        &mut self,
        by: Request,
        join: Join,
        cx: &mut Context<'_>,
    ) -> Result<JoinAccepted, Refusal> {
        let (room, call) = (by.room()?, by.call()?);
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        let registration = self.room(room).and_then(RoomState::registration);
        let registration = registration.ok_or(Refusal::RoomNotFound)?;
        let member = MemberId::generate(room.node(), cx.ids.next_uuid());
        let details = &registration.details;
        let pin = details.settings.pin_request().filter(|_| !join.skip_pin);
        let run = self.run_before(state, room, (pin, &details.pre_actions), cx);
        let first = run.as_ref().map(ActionRun::longest).unwrap_or_default();
        let input = RoomInput::Join {
            call,
            member,
            caller_id: state.caller_id().to_string(),
            did: state.did().to_string(),
            muted: join.muted.unwrap_or(registration.origin == Origin::Gateway),
            settings: join.settings,
            has_pre_actions: run.is_some(),
            command_uid: by.command_uid,
            deadline: cx.now + first + self.rules.timeouts.join,
        };
        let going = match run {
            Some(run) => CallInput::Acting { run },
            None => CallInput::Joining { room },
        };
        // A node that takes the call can host the room.
        self.room_input(room, RoomInput::Placed, cx);
        self.call_input(call, going, cx);
        self.room_input(room, input, cx);
        Ok(JoinAccepted::Joining { room, member })
    }

    pub(super) fn leave(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<LeaveAccepted, Refusal> {
        let call = by.call()?;
        let room = self.joined(call)?;
        self.take_out(call, room, by.command_uid, cx);
        Ok(LeaveAccepted { room })
    }

    /// Makes FreeSWITCH park a member.
    pub(super) fn take_out(
        &mut self,
        call: CallId,
        room: RoomId,
        command_uid: Option<CommandUid>,
        cx: &mut Context<'_>,
    ) {
        self.call_input(call, CallInput::Leaving, cx);
        self.leave_room(call, room, (LeftReason::Removed, command_uid), cx);
    }

    /// Makes a room take out a member whose call is leaving it.
    pub(super) fn leave_room(
        &mut self,
        call: CallId,
        room: RoomId,
        (reason, command_uid): (LeftReason, Option<CommandUid>),
        cx: &mut Context<'_>,
    ) {
        let leave = RoomInput::Leave {
            call,
            reason,
            command_uid,
            deadline: cx.now + self.rules.timeouts.leave,
        };
        self.room_input(room, leave, cx);
    }

    /// Returns the room of a call that is neither joining nor leaving.
    pub(super) fn joined(&self, call: CallId) -> Result<RoomId, Refusal> {
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        if state.status().is_transfer() {
            return Err(Refusal::Transferring);
        }
        let room = state.status().room().ok_or(Refusal::NotInRoom)?;
        let member = self
            .room(room)
            .filter(|room| room.registration().is_some())
            .and_then(|room| room.members().get(&call))
            .ok_or(Refusal::NotInRoom)?;
        match member.status {
            MemberStatus::Joining { .. } => Err(Refusal::StillJoining),
            MemberStatus::Joined => Ok(room),
            MemberStatus::Leaving { .. } => Err(Refusal::StillLeaving),
        }
    }
}
