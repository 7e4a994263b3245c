//! `apply`: the transitions of a call.
//!
//! One rule is behind most of them: where events disagree, the sequence of the event that placed the call decides. An
//! event below it is late and changes nothing.

use std::time::Duration;

use crate::ids::RoomId;
use crate::room::{JoinFailure, LeftReason};
use crate::time::Timestamp;

use super::effect::{CallEffect, CallEvent, CallNotification};
use super::input::CallInput;
use super::run::{ActionRun, ON_ITS_WAY};
use super::state::{CallState, Parking, Place};

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

/// One input being applied: the call, the time, and the effects so far.
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
            CallInput::Parking(parking) => {
                self.state.parking = Some(parking);
                self.state.changed = true;
            }
            CallInput::Parked { sequence, by } => self.parked(sequence, by),
            CallInput::Joining { room } => {
                self.state.run = None;
                self.place(Place::Joining(room), None);
            }
            CallInput::Acting { run } => self.begin_run(Box::new(run)),
            CallInput::ThenAct { run } => self.act_once_parked(run),
            CallInput::StepEnded { step, response } => {
                if self.is_under_way(step) {
                    self.step_ended(&response);
                }
            }
            CallInput::StepRefused { step } => {
                if self.is_under_way(step) {
                    self.give_up_run(self.state.parked());
                }
            }
            CallInput::CheckpointRead {
                requested,
                checkpoint,
            } => {
                if self.is_under_way(requested) {
                    self.checkpoint_read(requested, checkpoint);
                }
            }
            CallInput::Deadline => self.deadline_passed(),
            CallInput::Entered { room, sequence } => self.entered(room, sequence),
            CallInput::Leaving => {
                if let Place::InRoom(room) = self.state.place {
                    self.place(Place::Leaving(Some(room)), None);
                }
            }
            CallInput::Stays { room } => {
                if self.state.place == Place::Leaving(Some(room)) {
                    self.state.parking = None;
                    self.place(Place::InRoom(room), None);
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
        if self.state.place == Place::Ringing {
            self.state.place = Place::Parked;
        }
        self.notify(CallEvent::Answered, synthesized);
    }

    fn parked(&mut self, sequence: u64, by: Option<Parking>) {
        if sequence <= self.state.place_at {
            return;
        }
        if let Some(parking) = self.state.parking {
            if by != Some(parking) && self.now.since(parking.0) < ON_ITS_WAY {
                // The call is not free yet: the transfer that is on its way would end any step before it.
                self.effects.push(CallEffect::CheckAgain);
                return;
            }
            self.state.parking = None;
            self.state.changed = true;
        }
        if matches!(self.state.place, Place::Acting(_)) {
            // Steps run while the call is parked.
            self.state.place_at = sequence;
            return;
        }
        let departure = Departure::new(LeftReason::Removed, JoinFailure::Refused);
        self.vacate(None, Some(sequence), &departure);
        let waiting = self.state.run.take();
        self.place(self.state.parked(), Some(sequence));
        if let Some(run) = waiting {
            self.begin_run(run);
        }
    }

    /// Starts the run now if the call is parked, or keeps it until the call parks.
    fn act_once_parked(&mut self, run: ActionRun) {
        match self.state.place {
            Place::Ringing | Place::Parked => self.begin_run(Box::new(run)),
            Place::Leaving(None) => {
                self.state.run = Some(Box::new(run));
                self.state.changed = true;
            }
            // The call is elsewhere already, or over.
            Place::Acting(_)
            | Place::Joining(_)
            | Place::InRoom(_)
            | Place::Leaving(Some(_))
            | Place::Ended => {}
        }
    }

    fn deadline_passed(&mut self) {
        if self.state.next_deadline().is_none_or(|at| at > self.now) {
            return;
        }
        if self.state.place == Place::Leaving(None) {
            // The event that parked the call may have come before the call was known here.
            self.state.parking = None;
            self.state.changed = true;
            self.effects.push(CallEffect::CheckAgain);
            return;
        }
        if let Some(run) = &self.state.run {
            let room = run.owning_room();
            self.effects.push(CallEffect::Break { room });
        }
        // The call is free only when FreeSWITCH reports it parked: the transfer would end any step before that.
        self.give_up_run(Place::Leaving(None));
    }

    fn entered(&mut self, room: RoomId, sequence: u64) {
        if sequence < self.state.place_at {
            return;
        }
        if matches!(self.state.place, Place::InRoom(r) | Place::Leaving(Some(r)) if r == room) {
            // The place is the same. Only the sequence grows, which is not worth a write.
            self.state.place_at = sequence;
            return;
        }
        let departure = Departure::new(LeftReason::Moved, JoinFailure::Moved);
        self.vacate(Some(room), Some(sequence), &departure);
        self.state.run = None;
        // FreeSWITCH may have dropped the park for this transfer, so no park may follow.
        self.state.parking = None;
        self.place(Place::InRoom(room), Some(sequence));
        if self.state.answered_at.is_none() {
            // A conference answers the calls that it takes. The CHANNEL_ANSWER was lost or is still to come.
            self.state.answered_at = Some(self.now);
            self.notify(CallEvent::Answered, true);
        }
    }

    fn left(&mut self, room: RoomId, sequence: Option<u64>) {
        let is_late = sequence.is_some_and(|s| s < self.state.place_at);
        if self.state.place.room() != Some(room) || is_late {
            return;
        }
        self.state.run = None;
        let was_going = matches!(self.state.place, Place::Joining(_) | Place::Acting(_));
        let next = if was_going && sequence.is_none() {
            // The call was in the room before it reported its present place.
            self.state.parked()
        } else {
            // FreeSWITCH reports the next place.
            Place::Leaving(None)
        };
        self.place(next, sequence);
    }

    fn not_entered(&mut self, room: RoomId, turned_away: bool) {
        let place = &self.state.place;
        if !matches!(place, Place::Joining(r) | Place::Acting(Some(r)) if *r == room) {
            return;
        }
        self.state.run = None;
        let next = match turned_away {
            // The call is free only when FreeSWITCH reports it parked.
            true => Place::Leaving(None),
            // The call never left the park.
            false => self.state.parked(),
        };
        self.place(next, None);
    }

    fn strayed(&mut self, sequence: u64) {
        if sequence < self.state.place_at {
            return;
        }
        match self.state.place {
            Place::Ringing | Place::Parked | Place::Leaving(None) => {
                self.place(Place::Leaving(None), Some(sequence));
            }
            // A join that was requested since then fails when the call parks.
            Place::Acting(_)
            | Place::Joining(_)
            | Place::InRoom(_)
            | Place::Leaving(Some(_))
            | Place::Ended => {}
        }
    }

    fn ended(
        &mut self,
        cause: String,
        at: Timestamp,
        sequence: Option<u64>,
        departure: &Departure,
    ) {
        self.vacate(None, sequence, departure);
        self.state.run = None;
        self.state.parking = None;
        self.place(Place::Ended, sequence);
        let answered_at = self.state.answered_at;
        let duration = answered_at.map_or(Duration::ZERO, |answered| at.since(answered));
        self.notify(CallEvent::Hangup { cause, duration }, departure.synthesized);
    }

    /// Reports to the call's room that the call is gone, unless `next` is the same room.
    fn vacate(&mut self, next: Option<RoomId>, sequence: Option<u64>, departure: &Departure) {
        let call = self.state.id;
        match self.state.place {
            Place::Joining(room) | Place::Acting(Some(room)) if next != Some(room) => {
                self.effects.push(CallEffect::RoomNotEntered {
                    room,
                    call,
                    reason: departure.failed,
                });
            }
            Place::InRoom(room) | Place::Leaving(Some(room)) if next != Some(room) => {
                self.effects.push(CallEffect::RoomGone {
                    room,
                    call,
                    sequence,
                    reason: departure.left,
                    synthesized: departure.synthesized,
                });
            }
            Place::Ringing
            | Place::Parked
            | Place::Acting(_)
            | Place::Joining(_)
            | Place::InRoom(_)
            | Place::Leaving(_)
            | Place::Ended => {}
        }
    }

    pub(super) fn place(&mut self, place: Place, sequence: Option<u64>) {
        if let Some(sequence) = sequence {
            self.state.place_at = sequence;
        }
        self.state.place = place;
        self.state.changed = true;
    }

    fn notify(&mut self, event: CallEvent, synthesized: bool) {
        self.state.sequence += 1;
        self.state.changed = true;
        self.effects.push(CallEffect::Notify(CallNotification {
            sequence: self.state.sequence,
            event,
            synthesized,
        }));
    }
}
