//! Transitions of a call that is connected with somebody outside of every room.

use std::time::Duration;

use crate::ids::CommandUid;
use crate::room::dial::UNKNOWN_CAUSE;

use super::effect::{CallEffect, CallEvent};
use super::state::{CallStatus, ParkId};
use super::transferring::{
    Bridge, ENDING, NOT_TRIED, OVERDUE, Transfer, TransferChange, TransferEnd, TransferEvent,
    cause_of,
};
use super::transition::Transition;

impl Transition<'_> {
    /// Begins a transfer of a parked call, or takes a member out of its room first.
    pub(super) fn transfer(&mut self, transfer: Box<Transfer>) {
        match self.state.status {
            CallStatus::Parked => {
                self.state.transfer = Some(transfer);
                self.begin_transfer(None);
            }
            CallStatus::InRoom(room) => {
                self.set_status(CallStatus::Leaving(Some(room)), None);
                self.state.transfer = Some(transfer);
            }
            CallStatus::Ringing
            | CallStatus::Acting(_)
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::Leaving(_)
            | CallStatus::Ended => {}
        }
    }

    /// Makes FreeSWITCH begin the transfer that waits; the call is parked, by this command.
    pub(super) fn begin_transfer(&mut self, parked_by: Option<ParkId>) {
        let after = parked_by.map(|by| by.0 + Duration::from_micros(1));
        let id = ParkId(after.map_or(self.now, |after| after.max(self.now)));
        let Some(transfer) = &mut self.state.transfer else {
            return;
        };
        transfer.id = Some(id.0);
        transfer.deadline = Some(self.now + transfer.timeout() + OVERDUE);
        let (request, leg) = (transfer.request.clone(), transfer.leg);
        self.state.pending_park = Some(id);
        self.set_status(CallStatus::Transferring, None);
        let begin = CallEffect::Transfer { request, leg, id };
        self.effects.push(begin);
    }

    /// The plan of a transfer runs. An event from before the call was parked last belongs to another transfer.
    pub(super) fn bridged(&mut self, id: Option<ParkId>, answered: bool, sequence: Option<u64>) {
        let is_late = sequence.is_some_and(|sequence| sequence <= self.state.status_at);
        let Some(transfer) = self.state.transfer.as_ref() else {
            return;
        };
        if is_late || transfer.id.is_none() || transfer.id.map(ParkId) != id {
            return;
        }
        // A dump shows that the command that ends it was lost.
        if let Some((reason, command_uid)) = transfer.ending.clone()
            && sequence.is_none()
            && transfer.deadline.is_none()
        {
            self.end_transfer(reason, command_uid);
        }
        if sequence.is_none() && !answered && self.is_overdue() {
            self.end_transfer(TransferEnd::NoAnswer, None);
        }
        if answered && self.state.status == CallStatus::Transferring {
            if let Some(transfer) = &mut self.state.transfer
                && transfer.ending.is_none()
            {
                transfer.deadline = None;
            }
            self.set_status(CallStatus::Transferred, sequence);
            self.report_transfer(TransferChange::Answered, None, sequence.is_none());
        }
    }

    /// Returns true if the other side should have answered, or FreeSWITCH have given up.
    fn is_overdue(&self) -> bool {
        self.state.transfer.as_ref().is_some_and(|transfer| {
            let begun = transfer.id.map(|begun| self.now.since(begun));
            transfer.ending.is_none() && begun >= Some(transfer.timeout() + OVERDUE)
        })
    }

    /// Makes FreeSWITCH end the transfer and park the call.
    pub(super) fn end_transfer(&mut self, reason: TransferEnd, command_uid: Option<CommandUid>) {
        if !self.state.status.is_transfer() {
            return;
        }
        if let Some(transfer) = &mut self.state.transfer {
            transfer.ending = Some((reason, command_uid));
            transfer.deadline = Some(self.now + ENDING);
            self.state.changed = true;
            self.effects.push(CallEffect::EndTransfer);
        }
    }

    /// Reports the end of a transfer whose plan is over, if there is one. `by` is the command that parked the call, with
    /// the result that the channel carries; without it somebody else moved the call.
    pub(super) fn transfer_over(
        &mut self,
        parked: Option<(Option<ParkId>, Option<Bridge>)>,
        synthesized: bool,
    ) {
        if !self.state.status.is_transfer() {
            return;
        }
        let Some(transfer) = self.state.transfer.as_ref() else {
            return;
        };
        let is_moved = parked.is_none();
        let (by, bridge) = parked.unwrap_or_default();
        // Before the plan ran, the channel carries the result of an earlier one.
        let bridge = bridge.filter(|_| by >= transfer.id.map(ParkId));
        let is_answered = matches!(bridge, Some(Bridge::Answered { .. }));
        let ending = transfer.ending.clone();
        if is_answered && self.state.status == CallStatus::Transferring {
            self.report_transfer(TransferChange::Answered, None, true);
            self.state.status = CallStatus::Transferred;
        }
        let (requested, ending_uid) = ending.unzip();
        let change = if self.state.status == CallStatus::Transferred {
            TransferChange::Ended {
                reason: match (is_moved, requested) {
                    (true, _) => TransferEnd::Removed,
                    (false, Some(TransferEnd::Cancelled)) => TransferEnd::Cancelled,
                    (false, _) => TransferEnd::Hangup,
                },
                cause: match bridge {
                    Some(Bridge::Answered { cause }) => cause,
                    Some(Bridge::Failed { .. }) | None => None,
                },
            }
        } else {
            failure(is_moved, requested, bridge)
        };
        self.report_transfer(change, ending_uid.flatten(), synthesized);
        self.state.transfer = None;
    }

    /// Fails a transfer of a call that did not leave its room, or was taken elsewhere first.
    fn transfer_not_begun(&mut self, reason: TransferEnd) {
        let change = TransferChange::Failed {
            reason,
            cause: NOT_TRIED.to_owned(),
            sip_status: None,
        };
        self.report_transfer(change, None, false);
        self.state.transfer = None;
    }

    /// Ends a transfer because the call changes its place. The end of the call is reported alone.
    pub(super) fn interrupt_transfer(&mut self, next: &CallStatus) {
        if self.state.transfer.is_none() {
            return;
        }
        match next {
            CallStatus::Leaving(_) | CallStatus::Transferring | CallStatus::Transferred
                if !self.state.status.is_transfer() || next.is_transfer() => {}
            CallStatus::Ended => self.state.transfer = None,
            CallStatus::InRoom(_) if matches!(self.state.status, CallStatus::Leaving(Some(_))) => {
                self.transfer_not_begun(TransferEnd::Failed);
            }
            CallStatus::Ringing
            | CallStatus::Parked
            | CallStatus::Acting(_)
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(_) => match self.state.status.is_transfer() {
                true => self.transfer_over(None, false),
                false => self.transfer_not_begun(TransferEnd::Removed),
            },
        }
    }

    /// FreeSWITCH refused to begin a transfer: the call never left the park.
    pub(super) fn transfer_refused(&mut self, id: ParkId) {
        let is_current = self
            .state
            .transfer
            .as_ref()
            .is_some_and(|t| t.id == Some(id.0));
        if !is_current || self.state.status != CallStatus::Transferring {
            return;
        }
        if self.state.pending_park == Some(id) {
            self.state.pending_park = None;
        }
        self.transfer_not_begun(TransferEnd::Failed);
        self.set_status(self.state.parked(), None);
    }

    /// FreeSWITCH confirmed neither the answer nor the end in time.
    pub(super) fn transfer_deadline(&mut self) {
        let Some(transfer) = self.state.transfer.as_mut() else {
            return;
        };
        self.effects.push(CallEffect::CheckAgain);
        // The event of the answer or of the end may be lost: the dump of the channel decides. A caller may try again.
        transfer.deadline = None;
        self.state.changed = true;
    }

    fn report_transfer(
        &mut self,
        change: TransferChange,
        command_uid: Option<CommandUid>,
        synthesized: bool,
    ) {
        if let Some(transfer) = &self.state.transfer {
            let event = TransferEvent {
                to: transfer.request.to.clone(),
                command_uid: command_uid.or_else(|| transfer.command_uid.clone()),
                change,
            };
            self.notify(CallEvent::Transfer(event), synthesized);
        }
    }
}

/// The failure of a transfer that was not answered.
fn failure(
    is_moved: bool,
    requested: Option<TransferEnd>,
    bridge: Option<Bridge>,
) -> TransferChange {
    let (cause, sip_status) = match bridge {
        Some(Bridge::Failed { cause, sip_status }) => (Some(cause), sip_status),
        Some(Bridge::Answered { .. }) | None => (None, None),
    };
    let reason = match (is_moved, requested, &cause) {
        (true, _, _) => TransferEnd::Removed,
        (false, Some(reason), _) => reason,
        (false, None, Some(cause)) => TransferEnd::from_cause(cause),
        (false, None, None) => TransferEnd::Failed,
    };
    let cause = cause.unwrap_or_else(|| match requested {
        Some(reason) => cause_of(reason).to_owned(),
        None => UNKNOWN_CAUSE.to_owned(),
    });
    TransferChange::Failed {
        reason,
        cause,
        sip_status,
    }
}
