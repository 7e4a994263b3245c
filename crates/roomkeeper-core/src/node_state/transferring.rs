//! Transfers: calls that are connected with somebody outside of every room.

use crate::call::{CallInput, CallState, CallStatus, ParkId, Transfer, TransferEnd};
use crate::entity::Target;
use crate::ids::{CallId, ChannelId};
use crate::room::LeftReason;

use crate::intent::{
    Accepted, CancelTransfer, Decision, Refusal, Transfer as Action, TransferAccepted,
};
use crate::switch_command::{SwitchAction, SwitchCommand};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn check_transfer(
        &self,
        call: CallId,
        action: &Action,
    ) -> Result<Decision, Refusal> {
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        if !self
            .rules
            .dial
            .allows_transfer(state.app(), &action.request)
        {
            return Err(Refusal::DestinationNotAllowed);
        }
        match state.status() {
            CallStatus::Parked if state.pending_park().is_some() => {
                return Err(Refusal::StillLeaving);
            }
            CallStatus::Parked => {}
            CallStatus::InRoom(_) => {
                let room = self.joined(call)?;
                if self
                    .room(room)
                    .is_some_and(|room| room.coaches().contains_key(&call))
                {
                    return Err(Refusal::AlreadyCoached);
                }
            }
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

    pub(super) fn transfer(
        &mut self,
        by: Request,
        action: Action,
        cx: &mut Context<'_>,
    ) -> Result<TransferAccepted, Refusal> {
        let call = by.call()?;
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        let room = state.status().present_in();
        let leg = ChannelId::new(cx.ids.next_uuid());
        let transfer = Transfer::new(action.request, leg, by.command_uid.clone());
        self.call_input(call, CallInput::Transfer(Box::new(transfer)), cx);
        if let Some(room) = room {
            let why = (LeftReason::Transferred, by.command_uid);
            self.leave_room(call, room, why, cx);
        }
        Ok(TransferAccepted)
    }

    pub(super) fn check_cancel_transfer(&self, call: CallId) -> Result<Decision, Refusal> {
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        let transfer = state.transfer().filter(|_| state.status().is_transfer());
        let transfer = transfer.ok_or(Refusal::NotTransferring)?;
        Ok(match transfer.is_ending() {
            true => Decision::NoChange(Accepted::CancelTransfer(TransferAccepted)),
            false => Decision::Act,
        })
    }

    pub(super) fn cancel_transfer(
        &mut self,
        by: Request,
        _: CancelTransfer,
        cx: &mut Context<'_>,
    ) -> Result<TransferAccepted, Refusal> {
        let input = CallInput::EndTransfer {
            reason: TransferEnd::Cancelled,
            command_uid: by.command_uid.clone(),
        };
        self.call_input(by.call()?, input, cx);
        Ok(TransferAccepted)
    }

    /// Applies that the plan of a transfer connects the call, or calls the other side. A call that must be parked is
    /// parked: the command of a transfer that has failed was late.
    pub(super) fn bridged(
        &mut self,
        call: CallId,
        (id, answered): (Option<ParkId>, bool),
        (sequence, dumped): (u64, bool),
        cx: &mut Context<'_>,
    ) {
        let must_park = |call: &CallState| match call.status() {
            CallStatus::Parked => call.status_at() < sequence,
            CallStatus::Leaving(None) => call.pending_park().is_none() && call.transfer().is_none(),
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
            let bridged = CallInput::Bridged {
                id,
                answered,
                sequence: (!dumped).then_some(sequence),
            };
            return self.call_input(call, bridged, cx);
        }
        self.call_input(call, CallInput::Strayed { sequence }, cx);
        let id = self.next_park_id(call, cx);
        let action = SwitchAction::Break { id };
        let command = SwitchCommand::new(Target::Call(call), action);
        cx.out.commands.push(command);
    }

    /// Notes that a channel is the other side of a transfer, or no longer exists.
    pub(super) fn leg_seen(&mut self, channel: ChannelId, is_over: bool) {
        self.identities.remove(&channel);
        match is_over {
            true => self.legs.remove(&channel),
            false => self.legs.insert(channel),
        };
    }

    /// Returns the channels that transfers make.
    pub(super) fn legs(&self) -> impl Iterator<Item = ChannelId> {
        let transfers = self.calls.values().filter_map(|call| call.transfer());
        let known = self.legs.iter().copied();
        transfers.map(|transfer| transfer.leg).chain(known)
    }
}
