//! Digits: requests for them, and tones for a call.

use crate::call::{self, CallEffect, CallInput, CallState, CallStatus, Gathering};
use crate::entity::Target;
use crate::gather::{GatherResult, PressedDigit};
use crate::ids::{CallId, OperationId, RoomId};
use crate::room::RoomInput;

use crate::intent::{Decision, Gather, OperationAccepted, Refusal, SendDigits};
use crate::switch_command::{SwitchAction, SwitchCommand};

use super::intent::{Request, call as called};
use super::{Context, NodeState, Notification, Subject};

impl NodeState {
    /// Reports a digit of a call to an app that wants them. The digits of a request, or during actions, belong to it.
    pub(super) fn digit(
        &mut self,
        call: CallId,
        sequence: u64,
        pressed: PressedDigit,
        cx: &mut Context<'_>,
    ) {
        let Some(state) = self.call(call).filter(|call| !call.is_over()) else {
            return;
        };
        let room = match state.status() {
            CallStatus::InRoom(room) => Some(*room),
            CallStatus::Acting(_) => return,
            CallStatus::Ringing
            | CallStatus::Parked
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::Leaving(_)
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Ended => None,
        };
        if state.gather().is_some() || !self.rules.digit_apps.contains(state.app()) {
            return;
        }
        if !self.digits.admits(call, sequence, cx.now) {
            cx.out.ignored += 1;
            return;
        }
        match room.filter(|room| self.is_member(*room, call)) {
            Some(room) => self.room_input(room, RoomInput::Digit { call, pressed }, cx),
            None => self.call_input(call, CallInput::Digit(pressed), cx),
        }
    }

    /// Returns the room of the call, if it is in one. A target that names a room means a member of that room.
    fn place(&self, target: Target) -> Result<Option<RoomId>, Refusal> {
        let call = called(target)?;
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        if target.room().is_none() && state.status().room().is_none() {
            return Ok(None);
        }
        let room = self.joined(call)?;
        if target.room().is_some_and(|meant| meant != room) {
            return Err(Refusal::NotInRoom);
        }
        Ok(Some(room))
    }

    pub(super) fn check_gather(&self, target: Target) -> Result<Decision, Refusal> {
        self.place(target)?;
        let state = self.call(called(target)?).ok_or(Refusal::CallNotFound)?;
        match state.status() {
            CallStatus::Parked | CallStatus::InRoom(_) => {}
            CallStatus::Ringing => return Err(Refusal::NotAnswered),
            CallStatus::Acting(_) => return Err(Refusal::RunningActions),
            CallStatus::Coaching => return Err(Refusal::Coaching),
            CallStatus::Transferring | CallStatus::Transferred => {
                return Err(Refusal::Transferring);
            }
            CallStatus::Joining(_) | CallStatus::Moving { .. } => {
                return Err(Refusal::StillJoining);
            }
            CallStatus::Leaving(_) => return Err(Refusal::StillLeaving),
            CallStatus::Ended => return Err(Refusal::CallNotFound),
        }
        match state.gather() {
            Some(_) => Err(Refusal::AlreadyGathering),
            None => Ok(Decision::Act),
        }
    }

    pub(super) fn gather(
        &mut self,
        by: Request,
        gather: Gather,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        let call = by.call()?;
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        let operation = OperationId::new(cx.ids.next_uuid());
        let gathering = Gathering::new(
            operation,
            by.command_uid,
            state.status().room(),
            *gather.request,
            (cx.now, self.rules.timeouts.step),
        );
        self.call_input(call, CallInput::Gather(Box::new(gathering)), cx);
        Ok(OperationAccepted { operation })
    }

    pub(super) fn check_stop_gather(&self, target: Target) -> Result<Decision, Refusal> {
        self.place(target)?;
        self.gathering(called(target)?).map(|_| Decision::Act)
    }

    pub(super) fn stop_gather(
        &mut self,
        by: &Request,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        let call = by.call()?;
        let operation = self.gathering(call)?;
        self.call_input(call, CallInput::StopGather, cx);
        Ok(OperationAccepted { operation })
    }

    fn gathering(&self, call: CallId) -> Result<OperationId, Refusal> {
        let gathering = self.call(call).and_then(CallState::gather);
        let gathering = gathering.ok_or(Refusal::NotGathering)?;
        Ok(gathering.operation)
    }

    /// Reports the result in the room whose member the call still is, or else for the call. A room that has numbered
    /// later notifications already reports none before them. `later` are the effects of the call that follow.
    pub(super) fn gathered(
        &mut self,
        (room, call): (RoomId, CallId),
        result: Box<GatherResult>,
        later: &mut [CallEffect],
        cx: &mut Context<'_>,
    ) {
        if self.is_member(room, call) && !self.reporting.contains(&room) {
            return self.room_input(room, RoomInput::Gathered { call, result }, cx);
        }
        if let Some(state) = self.calls.get_mut(&call) {
            let notification = call::report_gathered(state, result, later);
            cx.out.notifications.push(Notification {
                app: state.app().clone(),
                about: Subject::Call(call, notification),
            });
        }
    }

    pub(super) fn check_send_digits(&self, target: Target) -> Result<Decision, Refusal> {
        self.place(target)?;
        let state = self.call(called(target)?).ok_or(Refusal::CallNotFound)?;
        if state.status().is_transfer() {
            return Err(Refusal::Transferring);
        }
        match state.answered_at() {
            Some(_) => Ok(Decision::Act),
            None => Err(Refusal::NotAnswered),
        }
    }

    pub(super) fn send_digits(
        &mut self,
        by: &Request,
        send: SendDigits,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        let action = SwitchAction::SendDigits { tones: send.tones };
        let target = Target::Call(by.call()?);
        cx.out.commands.push(SwitchCommand::new(target, action));
        Ok(OperationAccepted {
            operation: OperationId::new(cx.ids.next_uuid()),
        })
    }
}
