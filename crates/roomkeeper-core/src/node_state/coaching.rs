//! Coaching: calls that are heard by one member of a room alone.

use crate::call::{COACH_TIMEOUT, CallInput, CallState, CallStatus, Coaching, ParkId};
use crate::entity::Target;
use crate::ids::{CallId, ChannelId, RoomId};
use crate::room::{CoachChange, CoachEnd, RoomInput};

use crate::intent::{Accepted, Coach, CoachAccepted, Decision, Refusal, Requester};

use crate::switch_command::{SwitchAction, SwitchCommand};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    /// Checks a coaching. Both calls belong to the caller; the coach is parked and the other one a member.
    pub(super) fn check_coach(
        &self,
        room: RoomId,
        member: CallId,
        coach: CallId,
        by: &Requester,
    ) -> Result<Decision, Refusal> {
        if coach.node() != self.node {
            return Err(Refusal::OtherNode {
                call_node: coach.node(),
                room_node: room.node(),
            });
        }
        let state = self.own_call(coach, by)?;
        let owner = self.room(room).and_then(|room| room.registration());
        if owner.is_none_or(|registration| registration.app != *state.app()) {
            return Err(Refusal::ForeignCall);
        }
        if coach == member {
            return Err(Refusal::CoachItself);
        }
        if self.joined(member)? != room {
            return Err(Refusal::NotInRoom);
        }
        if self.coach_of(room, member).is_some() {
            return Err(Refusal::AlreadyCoached);
        }
        match state.status() {
            CallStatus::Parked if state.pending_park().is_none() => Ok(Decision::Act),
            CallStatus::Coaching => Err(Refusal::Coaching),
            CallStatus::Transferring | CallStatus::Transferred => Err(Refusal::Transferring),
            CallStatus::Parked
            | CallStatus::Ringing
            | CallStatus::Acting(_)
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(_)
            | CallStatus::Ended => Err(Refusal::CoachNotParked),
        }
    }

    pub(super) fn coach(
        &mut self,
        by: Request,
        Coach { coach }: Coach,
        cx: &mut Context<'_>,
    ) -> Result<CoachAccepted, Refusal> {
        let (room, member) = (by.room()?, by.call()?);
        let coaching = Coaching {
            room,
            member,
            began: false,
            ending: None,
            command_uid: by.command_uid,
            deadline: Some(cx.now + COACH_TIMEOUT),
        };
        self.room_input(room, RoomInput::Coach { member, coach }, cx);
        // The call parks with this id again when FreeSWITCH ends the coaching.
        let id = ParkId(cx.now);
        self.call_input(coach, CallInput::Coach { coaching, id }, cx);
        Ok(CoachAccepted { coach })
    }

    pub(super) fn check_uncoach(&self, room: RoomId, member: CallId) -> Result<Decision, Refusal> {
        let members = self.room(room).ok_or(Refusal::RoomNotFound)?.members();
        if !members.contains_key(&member) {
            return Err(Refusal::NotInRoom);
        }
        let coach = self.coach_of(room, member).ok_or(Refusal::NotCoached)?;
        let work = self.call(coach).and_then(CallState::coaching);
        let is_ending = work.is_none_or(|work| work.ending.is_some() && work.deadline.is_some());
        if is_ending {
            return Ok(Decision::NoChange(Accepted::Uncoach(CoachAccepted {
                coach,
            })));
        }
        Ok(Decision::Act)
    }

    pub(super) fn uncoach(
        &mut self,
        by: Request,
        cx: &mut Context<'_>,
    ) -> Result<CoachAccepted, Refusal> {
        let (room, member) = (by.room()?, by.call()?);
        let coach = self.coach_of(room, member).ok_or(Refusal::NotCoached)?;
        let input = CallInput::EndCoaching {
            member,
            reason: CoachEnd::Requested,
            command_uid: by.command_uid,
        };
        self.call_input(coach, input, cx);
        Ok(CoachAccepted { coach })
    }

    fn coach_of(&self, room: RoomId, member: CallId) -> Option<CallId> {
        self.room(room)?
            .coaches()
            .get(&member)
            .map(|coach| coach.call)
    }

    /// Ends the coaching of a member that has left.
    pub(super) fn coached_left(
        &mut self,
        room: RoomId,
        member: CallId,
        coach: CallId,
        cx: &mut Context<'_>,
    ) {
        let work = self.call(coach).and_then(CallState::coaching);
        if work.is_some_and(|work| work.room == room && work.member == member) {
            let input = CallInput::EndCoaching {
                member,
                reason: CoachEnd::MemberLeft,
                command_uid: None,
            };
            return self.call_input(coach, input, cx);
        }
        let coaches = self.room(room).map(|room| room.coaches());
        let began = coaches
            .and_then(|coaches| coaches.get(&member))
            .is_some_and(|coach| coach.began);
        let over = RoomInput::CoachChanged {
            member,
            coach,
            change: if began {
                CoachChange::Ended(CoachEnd::MemberLeft)
            } else {
                CoachChange::Failed(CoachEnd::MemberLeft)
            },
            command_uid: None,
            synthesized: true,
        };
        self.room_input_later(room, over, cx);
    }

    /// Returns the room whose stored state may name the coach of a channel that FreeSWITCH lets somebody listen to.
    pub(super) fn room_of_unknown_coach(&self, channel: ChannelId) -> Option<RoomId> {
        let member = CallId::new(self.node, channel);
        let room = self.call(member)?.status().room()?;
        let is_unknown = self.coach_of(room, member).is_none();
        is_unknown.then_some(room)
    }

    /// Applies that FreeSWITCH lets somebody listen to this channel.
    pub(super) fn listened_to(&mut self, channel: ChannelId, sequence: u64, cx: &mut Context<'_>) {
        let member = CallId::new(self.node, channel);
        let room = self.call(member).and_then(|call| call.status().room());
        let coach = room.and_then(|room| self.coach_of(room, member));
        let Some(coach) = coach else {
            cx.out.ignored += 1;
            return;
        };
        let sequence = Some(sequence);
        self.call_input(coach, CallInput::Coaches { member, sequence }, cx);
    }

    /// Applies that a call listens to this channel at this sequence. A call that must not listen is parked: the command
    /// of a coaching that has failed was late.
    pub(super) fn listens(
        &mut self,
        call: CallId,
        (member, sequence): (CallId, u64),
        cx: &mut Context<'_>,
    ) {
        let must_park = |call: &CallState| match call.status() {
            CallStatus::Parked => call.status_at() < sequence,
            CallStatus::Leaving(None) => call.pending_park().is_none(),
            CallStatus::Ringing
            | CallStatus::Acting(_)
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(Some(_))
            | CallStatus::Ended => false,
        };
        if !self.call(call).is_some_and(must_park) {
            let sequence = None;
            return self.call_input(call, CallInput::Coaches { member, sequence }, cx);
        }
        self.call_input(call, CallInput::Strayed { sequence }, cx);
        let id = self.next_park_id(call, cx);
        let action = SwitchAction::Break { id };
        let command = SwitchCommand::new(Target::Call(call), action);
        cx.out.commands.push(command);
    }
}
