//! `apply`: the transitions of a call.
//!
//! Most follow one rule: an event with a sequence below that of the event that set the status is late and changes
//! nothing.

use std::time::Duration;

use crate::gather::{Digits, GatherEnd, GatherResult};
use crate::ids::{CoreId, RoomId};
use crate::room::{CoachEnd, JoinFailure, LeftReason};
use crate::time::Timestamp;

use super::effect::{CallEffect, CallEvent, CallNotification};
use super::input::CallInput;
use super::run::{ActionRun, MAX_QUEUE_TIME};
use super::state::{CallState, CallStatus, ParkId};
use super::transferring::Bridge;

/// Applies an input to a call and returns the effects. The changes stay in the state.
pub fn apply(state: &mut CallState, input: CallInput, now: Timestamp) -> Vec<CallEffect> {
    let mut transition = Transition {
        state,
        now,
        effects: Vec::new(),
    };
    if !transition.state.is_over() {
        transition.apply(input);
    }
    if cfg!(debug_assertions) {
        transition.state.check_invariants();
    }
    transition.effects
}

/// Reports the result of a request for digits that the call's room cannot report any longer, also for a call that has
/// just ended: before the notifications among the later effects of the same input, which are numbered anew.
pub fn report_gathered(
    state: &mut CallState,
    result: Box<GatherResult>,
    later: &mut [CallEffect],
) -> CallNotification {
    state.sequence += 1;
    state.changed = true;
    let mut sequence = state.sequence;
    for effect in later.iter_mut().rev() {
        if let CallEffect::Notify(notification) = effect {
            std::mem::swap(&mut notification.sequence, &mut sequence);
        }
    }
    CallNotification {
        sequence,
        synthesized: result.synthesized,
        event: CallEvent::Gathered(result),
    }
}

/// The application of one input: the call, the time, and the effects so far.
pub(super) struct Transition<'a> {
    pub(super) state: &'a mut CallState,
    pub(super) now: Timestamp,
    pub(super) effects: Vec<CallEffect>,
}

/// The reason why a call is no longer in its room, or no longer on its way into it.
struct Departure {
    left: LeftReason,
    failed: JoinFailure,
    synthesized: bool,
}

impl Departure {
    const fn new(left: LeftReason, failed: JoinFailure) -> Self {
        Self {
            left,
            failed,
            synthesized: false,
        }
    }
}

impl Transition<'_> {
    fn apply(&mut self, input: CallInput) {
        match input {
            CallInput::FirstSeen { synthesized } => self.first_seen(synthesized),
            CallInput::Answered { at, synthesized } => self.answered(at, synthesized),
            CallInput::ParkSent(id) => {
                self.state.pending_park = Some(id);
                self.state.changed = true;
            }
            CallInput::Parked {
                sequence,
                by,
                bridge,
            } => self.parked(sequence, by, bridge),
            // The transfer is repeated: the call may still be in its old room.
            CallInput::Joining { room } if matches!(self.state.status, CallStatus::Moving { to, .. } if to == room) =>
                {}
            CallInput::Moving { to } => {
                if let CallStatus::InRoom(from) = self.state.status {
                    let from = Some(from);
                    self.set_status(CallStatus::Moving { from, to }, None);
                }
            }
            CallInput::Joining { room } => {
                self.state.run = None;
                self.set_status(CallStatus::Joining(room), None);
            }
            CallInput::Acting { run } => self.begin_run(Box::new(run)),
            CallInput::ThenAct { run } => self.act_once_parked(run),
            CallInput::Gather(gathering) => self.begin_gather(gathering),
            CallInput::StopGather => self.stop_gather(),
            CallInput::Digit(pressed) => self.notify(CallEvent::Digit(pressed), false),
            CallInput::StepEnded { step, response } => {
                if self.gathers(step) {
                    self.attempt_ended(&response, false);
                } else if self.is_under_way(step) {
                    self.step_ended(&response);
                }
            }
            CallInput::StepRefused { step } => {
                if self.gathers(step) {
                    self.end_gather(GatherEnd::Failed, Digits::default(), false);
                } else if self.is_under_way(step) {
                    self.give_up_run(self.state.parked());
                }
            }
            CallInput::CheckpointRead {
                requested,
                checkpoint,
            } => {
                if self.gathers(requested) {
                    self.attempt_checked(requested, checkpoint);
                } else if self.is_under_way(requested) {
                    self.checkpoint_read(requested, checkpoint);
                }
            }
            CallInput::Coach { coaching, id } => self.begin_coaching(coaching, id),
            CallInput::Coaches { member, sequence } => {
                self.coaching_confirmed(member, sequence, sequence.is_none());
            }
            CallInput::EndCoaching {
                member,
                reason,
                command_uid,
            } => self.end_coaching(member, reason, command_uid),
            CallInput::CoachRefused(id) => self.coaching_refused(id),
            CallInput::Transfer(transfer) => self.transfer(transfer),
            CallInput::Bridged {
                id,
                answered,
                sequence,
            } => self.bridged(id, answered, sequence),
            CallInput::EndTransfer {
                reason,
                command_uid,
            } => self.end_transfer(reason, command_uid),
            CallInput::TransferRefused(id) => self.transfer_refused(id),
            CallInput::CoreRestarted => {
                // The new core counts its events from 1 again.
                self.state.status_at = 0;
                self.state.pending_park = None;
                self.state.changed = true;
            }
            CallInput::Recovered { core } => self.recovered(core),
            CallInput::Deadline => self.deadline_passed(),
            CallInput::Entered { room, sequence } => self.entered(room, sequence),
            CallInput::Leaving => {
                if let CallStatus::InRoom(room) = self.state.status {
                    self.set_status(CallStatus::Leaving(Some(room)), None);
                }
            }
            CallInput::Stays { room } => {
                if matches!(
                    self.state.status,
                    CallStatus::Leaving(Some(_)) | CallStatus::Moving { .. }
                ) && self.state.status.present_in() == Some(room)
                {
                    self.state.pending_park = None;
                    self.set_status(CallStatus::InRoom(room), None);
                }
            }
            CallInput::Left { room, sequence } => self.left(room, sequence),
            CallInput::NotEntered { room, turned_away } => self.not_entered(room, turned_away),
            CallInput::Strayed { sequence } => self.strayed(sequence),
            CallInput::Ended {
                cause,
                at,
                sequence,
                orphan,
                synthesized,
            } => {
                let mut departure = match orphan {
                    true => Departure::new(LeftReason::Orphan, JoinFailure::Orphan),
                    false => Departure::new(LeftReason::Hangup, JoinFailure::Hangup),
                };
                departure.synthesized = synthesized;
                self.ended(cause, at, sequence, &departure);
            }
        }
    }

    fn first_seen(&mut self, synthesized: bool) {
        let event = CallEvent::New {
            caller_id: self.state.caller_id.to_string(),
            did: self.state.did.to_string(),
            direction: self.state.direction,
        };
        self.notify(event, synthesized);
    }

    fn answered(&mut self, at: Timestamp, synthesized: bool) {
        if self.state.answered_at.is_some() {
            return;
        }
        self.state.answered_at = Some(at);
        self.state.changed = true;
        if self.state.status == CallStatus::Ringing {
            self.state.status = CallStatus::Parked;
        }
        self.notify(CallEvent::Answered, synthesized);
    }

    fn parked(&mut self, sequence: u64, by: Option<ParkId>, bridge: Option<Bridge>) {
        if sequence <= self.state.status_at {
            return;
        }
        if let Some(pending) = self.state.pending_park {
            // The park commands of the members of a room that ends are not stored, and follow those that are.
            if by < Some(pending) && self.now.since(pending.0) < MAX_QUEUE_TIME {
                // The call is not free yet: the pending transfer would end any step that begins before it.
                self.effects.push(CallEffect::CheckAgain);
                return;
            }
            self.state.pending_park = None;
            self.state.changed = true;
        }
        if matches!(self.state.status, CallStatus::Acting(_)) {
            // Steps run while the call is parked.
            self.state.status_at = sequence;
            return;
        }
        self.coaching_over(CoachEnd::Removed, false);
        self.transfer_over(Some((by, bridge)), false);
        let departure = Departure::new(LeftReason::Removed, JoinFailure::Refused);
        self.vacate(None, Some(sequence), &departure);
        if self.state.transfer.is_some() {
            // The call has left its room.
            self.state.status_at = sequence;
            return self.begin_transfer(by);
        }
        let waiting = self.state.run.take();
        self.set_status(self.state.parked(), Some(sequence));
        if let Some(run) = waiting {
            self.begin_run(run);
        }
    }

    /// Starts the run now if the call is parked, or keeps it until the call parks.
    fn act_once_parked(&mut self, run: ActionRun) {
        match self.state.status {
            CallStatus::Ringing | CallStatus::Parked => self.begin_run(Box::new(run)),
            // A transfer follows instead.
            CallStatus::Leaving(None) if self.state.transfer.is_some() => {}
            CallStatus::Leaving(None) => {
                self.state.run = Some(Box::new(run));
                self.state.changed = true;
            }
            // The call has moved on, or has ended.
            CallStatus::Acting(_)
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(Some(_))
            | CallStatus::Ended => {}
        }
    }

    fn deadline_passed(&mut self) {
        self.gather_overdue();
        if self.state.status_deadline().is_none_or(|at| at > self.now) {
            return;
        }
        if self.state.status == CallStatus::Coaching {
            return self.coaching_deadline();
        }
        if self.state.status.is_transfer() {
            return self.transfer_deadline();
        }
        if self.state.status == CallStatus::Leaving(None) {
            // The event that parked the call may have arrived before the call was loaded here.
            self.state.pending_park = None;
            self.state.changed = true;
            self.effects.push(CallEffect::CheckAgain);
            return;
        }
        if let Some(run) = &self.state.run {
            let room = run.owning_room();
            self.effects.push(CallEffect::Break { room });
        }
        // The call is free only when FreeSWITCH reports it parked: the transfer would end any step that begins before.
        self.give_up_run(CallStatus::Leaving(None));
    }

    fn recovered(&mut self, core: CoreId) {
        self.state.core = core;
        self.state.changed = true;
        // FreeSWITCH recovers the park or the conference, and no application inside.
        self.end_gather(GatherEnd::Stopped, Digits::default(), true);
        if matches!(self.state.status, CallStatus::Acting(_)) {
            // FreeSWITCH recovers the park, and not the step that ran in it.
            self.give_up_run(self.state.parked());
        }
    }

    fn entered(&mut self, room: RoomId, sequence: u64) {
        if sequence < self.state.status_at {
            return;
        }
        if self.state.status.present_in() == Some(room) {
            // The status is the same. The higher sequence alone is not worth a write.
            self.state.status_at = sequence;
            return;
        }
        let began = self.state.coaching.as_ref().map(|coaching| coaching.began);
        self.coaching_over(CoachEnd::Removed, false);
        self.interrupt_transfer(&CallStatus::InRoom(room));
        let departure = Departure::new(LeftReason::Moved, JoinFailure::Moved);
        self.vacate(Some(room), Some(sequence), &departure);
        self.state.run = None;
        // FreeSWITCH may have dropped the park for this transfer, so no park may follow.
        self.state.pending_park = None;
        self.set_status(CallStatus::InRoom(room), Some(sequence));
        if began == Some(false) {
            // The command for the coaching may still take the call out of the room, and no event would tell.
            self.effects.push(CallEffect::Break { room });
        }
        if self.state.answered_at.is_none() {
            // A conference answers the calls that enter it. The CHANNEL_ANSWER was lost or has not arrived yet.
            self.state.answered_at = Some(self.now);
            self.notify(CallEvent::Answered, true);
        }
    }

    fn left(&mut self, room: RoomId, sequence: Option<u64>) {
        let is_late = sequence.is_some_and(|s| s < self.state.status_at);
        if is_late {
            return;
        }
        if let CallStatus::Moving {
            from: Some(from),
            to,
        } = self.state.status
        {
            if from == room {
                self.set_status(CallStatus::Moving { from: None, to }, sequence);
            }
            return;
        }
        if self.state.status.room() != Some(room) {
            return;
        }
        self.state.run = None;
        let was_joining = matches!(
            self.state.status,
            CallStatus::Joining(_) | CallStatus::Acting(_)
        );
        let next = if was_joining && sequence.is_none() {
            // The call was in the room before its status was last reported.
            self.state.parked()
        } else {
            // An event of FreeSWITCH will set the next status.
            CallStatus::Leaving(None)
        };
        self.set_status(next, sequence);
    }

    fn not_entered(&mut self, room: RoomId, turned_away: bool) {
        let old_room = match self.state.status {
            CallStatus::Joining(r) | CallStatus::Acting(Some(r)) if r == room => None,
            CallStatus::Moving { from, to } if to == room => from,
            CallStatus::Ringing
            | CallStatus::Parked
            | CallStatus::Acting(_)
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(_)
            | CallStatus::Ended => return,
        };
        self.state.run = None;
        let next = match (turned_away, old_room) {
            // The call is free only when FreeSWITCH reports it parked.
            (true, old_room) => CallStatus::Leaving(old_room),
            (false, Some(old_room)) => CallStatus::InRoom(old_room),
            // The call never left the park.
            (false, None) => self.state.parked(),
        };
        self.set_status(next, None);
    }

    fn strayed(&mut self, sequence: u64) {
        if sequence < self.state.status_at {
            return;
        }
        match self.state.status {
            CallStatus::Ringing | CallStatus::Parked | CallStatus::Leaving(None) => {
                self.set_status(CallStatus::Leaving(None), Some(sequence));
            }
            // A join that was requested meanwhile fails when the call parks; a coaching ends then.
            CallStatus::Acting(_)
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(Some(_))
            | CallStatus::Ended => {}
        }
    }

    fn ended(
        &mut self,
        cause: String,
        at: Timestamp,
        sequence: Option<u64>,
        departure: &Departure,
    ) {
        let end = match departure.left {
            LeftReason::Orphan => CoachEnd::Orphan,
            LeftReason::Hangup
            | LeftReason::Removed
            | LeftReason::Moved
            | LeftReason::Transferred
            | LeftReason::RoomDestroyed
            | LeftReason::Silence
            | LeftReason::Timeout => CoachEnd::Hangup,
        };
        self.coaching_over(end, departure.synthesized);
        self.interrupt_gather(&CallStatus::Ended);
        self.vacate(None, sequence, departure);
        self.state.run = None;
        self.state.pending_park = None;
        self.set_status(CallStatus::Ended, sequence);
        let answered_at = self.state.answered_at;
        let duration = answered_at.map_or(Duration::ZERO, |answered| at.since(answered));
        self.notify(CallEvent::Hangup { cause, duration }, departure.synthesized);
    }

    /// Reports to the call's room that the call is gone, unless `next` is the same room. A call that moves has two rooms.
    fn vacate(&mut self, next: Option<RoomId>, sequence: Option<u64>, departure: &Departure) {
        let call = self.state.id;
        if let Some(room) = self.state.status.present_in()
            && next != Some(room)
        {
            self.interrupt_gather(&CallStatus::Leaving(None));
            self.effects.push(CallEffect::RoomGone {
                room,
                call,
                sequence,
                reason: departure.left,
                synthesized: departure.synthesized,
            });
        }
        match self.state.status {
            CallStatus::Joining(room)
            | CallStatus::Acting(Some(room))
            | CallStatus::Moving { to: room, .. }
                if next != Some(room) =>
            {
                self.effects.push(CallEffect::RoomNotEntered {
                    room,
                    call,
                    reason: departure.failed,
                });
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
            | CallStatus::Leaving(_)
            | CallStatus::Ended => {}
        }
    }

    pub(super) fn set_status(&mut self, status: CallStatus, sequence: Option<u64>) {
        if status != self.state.status {
            self.interrupt_gather(&status);
            self.interrupt_transfer(&status);
        }
        if let Some(sequence) = sequence {
            self.state.status_at = sequence;
        }
        self.state.status = status;
        self.state.changed = true;
    }

    pub(super) fn notify(&mut self, event: CallEvent, synthesized: bool) {
        self.state.sequence += 1;
        self.state.changed = true;
        self.effects.push(CallEffect::Notify(CallNotification {
            sequence: self.state.sequence,
            event,
            synthesized,
        }));
    }
}
