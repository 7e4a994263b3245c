//! `apply`: what an input makes of a call.

use std::time::Duration;

use crate::action::Step;
use crate::ids::{RoomId, SessionId};
use crate::room::{JoinFailure, LeftReason};
use crate::time::Timestamp;

use super::run::{Mark, ON_ITS_WAY, Purpose, Run, StepId};
use super::state::{Direction, Parking, Place, SessionState};

/// What can happen to a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionInput {
    /// It is seen for the first time.
    FirstSeen {
        /// Known from a snapshot, not from an event.
        synthesized: bool,
    },
    /// It was answered.
    Answered {
        /// When.
        at: Timestamp,
        /// Known from a snapshot, not from an event.
        synthesized: bool,
    },
    /// It is parked, since this event or fence.
    Parked {
        /// `Event-Sequence`.
        sequence: u64,
        /// The last order to park it that was carried out on its channel.
        by: Option<Parking>,
    },
    /// It is told to be parked.
    Parking(Parking),
    /// It was asked to join a room.
    Joining {
        /// The room.
        room: RoomId,
    },
    /// It was asked to join a room, and has something to do before.
    Acting {
        /// What.
        run: Run,
    },
    /// It has left a room, and has something to do once it is parked.
    ThenAct {
        /// What.
        run: Run,
    },
    /// A step is over.
    StepEnded {
        /// Which.
        step: StepId,
        /// What FreeSWITCH says that it came to.
        response: String,
    },
    /// FreeSWITCH did not begin a step.
    StepRefused {
        /// Which.
        step: StepId,
    },
    /// What the channel itself says of how far it is.
    Marked {
        /// The step that was under way when it was asked.
        asked: StepId,
        /// The last step that was begun there, if any.
        mark: Option<Mark>,
    },
    /// Time has passed: whatever is due is done.
    Deadline,
    /// It is in a room, since this event or fence.
    Entered {
        /// The room.
        room: RoomId,
        /// `Event-Sequence`.
        sequence: u64,
    },
    /// It was asked to leave the room it is in.
    Leaving,
    /// It is, after all, still in this room.
    Stays {
        /// The room.
        room: RoomId,
    },
    /// It is not in this room any more.
    Left {
        /// The room.
        room: RoomId,
        /// `Event-Sequence`, when an event said so.
        sequence: Option<u64>,
    },
    /// It is not on its way into this room any more.
    NotEntered {
        /// The room.
        room: RoomId,
        /// FreeSWITCH is told to park it once more.
        turned_away: bool,
    },
    /// It has come into a room that is over, since this event or fence, and is to be parked.
    Strayed {
        /// `Event-Sequence`.
        sequence: u64,
    },
    /// It is over.
    Ended {
        /// FreeSWITCH's hang-up cause, such as `NORMAL_CLEARING`.
        cause: String,
        /// When.
        at: Timestamp,
        /// `Event-Sequence`, when an event said so.
        sequence: Option<u64>,
        /// The node was lost or restarted, rather than the call hung up.
        orphan: bool,
        /// Known from a snapshot, not from an event.
        synthesized: bool,
    },
}

/// Something that the app is told of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionNotice {
    /// From 1 without a gap.
    pub sequence: u64,
    /// What.
    pub fact: SessionFact,
    /// Known from a snapshot, not from an event.
    pub synthesized: bool,
}

/// What the app is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionFact {
    /// There is a call.
    New {
        /// The caller's number.
        caller_id: String,
        /// The number dialled.
        did: String,
        /// Which way it was set up.
        direction: Direction,
    },
    /// It was answered.
    Answered,
    /// It is over.
    Hangup {
        /// FreeSWITCH's hang-up cause.
        cause: String,
        /// Since its answer; zero when it was never answered.
        duration: Duration,
    },
}

/// What follows from an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionEffect {
    /// Tell the app.
    Notify(SessionNotice),
    /// The call is not in that room, whether or not the conference's own event says so.
    RoomGone {
        /// The room.
        room: RoomId,
        /// Which call.
        session: SessionId,
        /// Since this event; `None` when no event says so.
        sequence: Option<u64>,
        /// Why.
        reason: LeftReason,
        /// Known from a snapshot, not from an event.
        synthesized: bool,
    },
    /// Tell FreeSWITCH to begin this step.
    Step {
        /// Whose actions it is one of.
        room: RoomId,
        /// Which.
        id: StepId,
        /// What to do.
        step: Step,
    },
    /// FreeSWITCH has not heard yet of the step, or of the order to park it: ask it again in a while.
    AskAgain,
    /// Tell FreeSWITCH to stop whatever the call does, and to park it ([`SessionInput::Parking`]).
    Break {
        /// Whose actions it was busy with.
        room: RoomId,
    },
    /// The call has done what it had to do before it goes into that room.
    Ready {
        /// The room.
        room: RoomId,
    },
    /// The call will not come into that room.
    RoomNotEntered {
        /// The room.
        room: RoomId,
        /// Which call.
        session: SessionId,
        /// Why.
        reason: JoinFailure,
    },
}

/// Applies an input. What changed is left in the state, what follows is returned.
pub fn apply(state: &mut SessionState, input: SessionInput, now: Timestamp) -> Vec<SessionEffect> {
    let mut effects = Vec::new();
    if !state.is_over() {
        step(state, input, now, &mut effects);
    }
    if cfg!(debug_assertions) {
        state.check_invariants();
    }
    effects
}

fn step(
    state: &mut SessionState,
    input: SessionInput,
    now: Timestamp,
    effects: &mut Vec<SessionEffect>,
) {
    match input {
        SessionInput::FirstSeen { synthesized } => {
            let fact = SessionFact::New {
                caller_id: state.caller_id.to_string(),
                did: state.did.to_string(),
                direction: state.direction,
            };
            notify(state, fact, synthesized, effects);
        }
        SessionInput::Answered { at, synthesized } => {
            if state.answered_at.is_none() {
                state.answered_at = Some(at);
                state.changed = true;
                if state.place == Place::Ringing {
                    state.place = Place::Parked;
                }
                notify(state, SessionFact::Answered, synthesized, effects);
            }
        }
        SessionInput::Parking(parking) => {
            state.parking = Some(parking);
            state.changed = true;
        }
        SessionInput::Parked { sequence, by } => {
            if sequence <= state.place_at {
                return;
            }
            if let Some(parking) = state.parking {
                if by != Some(parking) && now.since(parking.0) < ON_ITS_WAY {
                    // It is not free: the transfer that is on its way would end what comes before it.
                    effects.push(SessionEffect::AskAgain);
                    return;
                }
                state.parking = None;
                state.changed = true;
            }
            if matches!(state.place, Place::Acting(_)) {
                // It acts where it is parked.
                state.place_at = sequence;
                return;
            }
            vacate(
                state,
                None,
                Some(sequence),
                LeftReason::Removed,
                JoinFailure::Refused,
                false,
                effects,
            );
            let waiting = state.run.take();
            place(state, state.parked(), Some(sequence));
            if let Some(run) = waiting {
                begin(state, run, now, effects);
            }
        }
        SessionInput::Joining { room } => {
            state.run = None;
            place(state, Place::Joining(room), None);
        }
        SessionInput::Acting { run } => begin(state, Box::new(run), now, effects),
        SessionInput::ThenAct { run } => match state.place {
            Place::Ringing | Place::Parked => begin(state, Box::new(run), now, effects),
            Place::Leaving(None) => {
                state.run = Some(Box::new(run));
                state.changed = true;
            }
            // It is elsewhere already, or over.
            Place::Acting(_)
            | Place::Joining(_)
            | Place::InRoom(_)
            | Place::Leaving(Some(_))
            | Place::Ended => {}
        },
        SessionInput::StepEnded { step, response } => {
            if under_way(state, step) {
                step_ended(state, &response, now, effects);
            }
        }
        SessionInput::StepRefused { step } => {
            if under_way(state, step) {
                give_up(state, state.parked(), effects);
            }
        }
        SessionInput::Marked { asked, mark } => {
            if under_way(state, asked) {
                marked(state, asked, mark, now, effects);
            }
        }
        SessionInput::Deadline => {
            let is_due = state.next_deadline().is_some_and(|at| at <= now);
            if is_due && state.place == Place::Leaving(None) {
                // Whoever listened may not have known yet that there was something to hear.
                state.parking = None;
                state.changed = true;
                effects.push(SessionEffect::AskAgain);
            } else if is_due {
                if let Some(run) = &state.run {
                    effects.push(SessionEffect::Break { room: run.of() });
                }
                // It is free when FreeSWITCH says that it is parked: the transfer would end what comes before it.
                give_up(state, Place::Leaving(None), effects);
            }
        }
        SessionInput::Entered { room, sequence } => {
            if sequence < state.place_at {
                return;
            }
            if matches!(state.place, Place::InRoom(r) | Place::Leaving(Some(r)) if r == room) {
                // Seen again where it is believed to be, or on its way out of there: only older news is outdone, which is
                // not worth a write.
                state.place_at = sequence;
                return;
            }
            vacate(
                state,
                Some(room),
                Some(sequence),
                LeftReason::Moved,
                JoinFailure::Moved,
                false,
                effects,
            );
            state.run = None;
            // An order to park it may have been given up for this: there may be no end of it to wait for.
            state.parking = None;
            place(state, Place::InRoom(room), Some(sequence));
            if state.answered_at.is_none() {
                // A conference answers the call it takes in; its CHANNEL_ANSWER was missed or is on its way.
                state.answered_at = Some(now);
                notify(state, SessionFact::Answered, true, effects);
            }
        }
        SessionInput::Leaving => {
            if let Place::InRoom(room) = state.place {
                place(state, Place::Leaving(Some(room)), None);
            }
        }
        SessionInput::Stays { room } => {
            if state.place == Place::Leaving(Some(room)) {
                state.parking = None;
                place(state, Place::InRoom(room), None);
            }
        }
        SessionInput::Left { room, sequence } => {
            if state.place.room() != Some(room) || sequence.is_some_and(|s| s < state.place_at) {
                return;
            }
            state.run = None;
            let was_going = matches!(state.place, Place::Joining(_) | Place::Acting(_));
            let next = if was_going && sequence.is_none() {
                // It was in there before it told where it is now.
                state.parked()
            } else {
                // It is out, and FreeSWITCH will say where it goes next.
                Place::Leaving(None)
            };
            place(state, next, sequence);
        }
        SessionInput::NotEntered { room, turned_away } => {
            let was_going =
                matches!(state.place, Place::Joining(r) | Place::Acting(Some(r)) if r == room);
            if !was_going {
                return;
            }
            state.run = None;
            let next = if turned_away {
                // It is free when FreeSWITCH says so: the transfer that parks it would end what comes before it.
                Place::Leaving(None)
            } else {
                // It never went: it is parked as before.
                state.parked()
            };
            place(state, next, None);
        }
        SessionInput::Strayed { sequence } => {
            if sequence < state.place_at {
                return;
            }
            match state.place {
                Place::Ringing | Place::Parked | Place::Leaving(None) => {
                    place(state, Place::Leaving(None), Some(sequence));
                }
                // What it was asked for since is told to have failed when it is parked.
                Place::Acting(_)
                | Place::Joining(_)
                | Place::InRoom(_)
                | Place::Leaving(Some(_))
                | Place::Ended => {}
            }
        }
        SessionInput::Ended {
            cause,
            at,
            sequence,
            orphan,
            synthesized,
        } => {
            let (left, failed) = if orphan {
                (LeftReason::Orphan, JoinFailure::Orphan)
            } else {
                (LeftReason::Hangup, JoinFailure::Hangup)
            };
            vacate(state, None, sequence, left, failed, synthesized, effects);
            state.run = None;
            state.parking = None;
            place(state, Place::Ended, sequence);
            let duration = state.answered_at.map_or(Duration::ZERO, |a| at.since(a));
            notify(
                state,
                SessionFact::Hangup { cause, duration },
                synthesized,
                effects,
            );
        }
    }
}

/// Tells the room that the call was in that it is not, unless it is the room it goes to.
fn vacate(
    state: &SessionState,
    next: Option<RoomId>,
    sequence: Option<u64>,
    left: LeftReason,
    failed: JoinFailure,
    synthesized: bool,
    effects: &mut Vec<SessionEffect>,
) {
    let session = state.id;
    match state.place {
        Place::Joining(room) | Place::Acting(Some(room)) if next != Some(room) => {
            effects.push(SessionEffect::RoomNotEntered {
                room,
                session,
                reason: failed,
            });
        }
        Place::InRoom(room) | Place::Leaving(Some(room)) if next != Some(room) => {
            effects.push(SessionEffect::RoomGone {
                room,
                session,
                sequence,
                reason: left,
                synthesized,
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

// ---- the run ----------------------------------------------------------------------------------------------------------

/// Begins a run, in place of the one that was under way, if one was.
fn begin(
    state: &mut SessionState,
    mut run: Box<Run>,
    now: Timestamp,
    effects: &mut Vec<SessionEffect>,
) {
    run.begin(now);
    let room = run.room();
    state.run = Some(run);
    place(state, Place::Acting(room), None);
    tell_step(state, effects);
}

fn tell_step(state: &SessionState, effects: &mut Vec<SessionEffect>) {
    if let Some(run) = &state.run
        && let Some(step) = run.step()
    {
        effects.push(SessionEffect::Step {
            room: run.of(),
            id: run.step_id(),
            step: step.clone(),
        });
    }
}

fn under_way(state: &SessionState, step: StepId) -> bool {
    let acting = matches!(state.place, Place::Acting(_));
    acting && state.run.as_ref().is_some_and(|run| run.step_id() == step)
}

fn step_ended(
    state: &mut SessionState,
    response: &str,
    now: Timestamp,
    effects: &mut Vec<SessionEffect>,
) {
    let Some(run) = &mut state.run else { return };
    if !run.succeeds_with(response) {
        return give_up(state, state.parked(), effects);
    }
    if run.advance(now) {
        state.changed = true;
        return tell_step(state, effects);
    }
    match run.purpose {
        Purpose::Before(room) => {
            state.run = None;
            place(state, Place::Joining(room), None);
            effects.push(SessionEffect::Ready { room });
        }
        Purpose::After(_) => {
            state.run = None;
            place(state, state.parked(), None);
        }
    }
}

/// A step failed: the run ends here, and what it was for does not come about.
fn give_up(state: &mut SessionState, next: Place, effects: &mut Vec<SessionEffect>) {
    let Some(run) = state.run.take() else { return };
    let session = state.id;
    place(state, next, None);
    if let Some(room) = run.room() {
        effects.push(SessionEffect::RoomNotEntered {
            room,
            session,
            reason: JoinFailure::ActionFailed,
        });
    }
}

/// The end of a step may not have been heard, and its beginning may not have reached FreeSWITCH.
fn marked(
    state: &mut SessionState,
    step: StepId,
    mark: Option<Mark>,
    now: Timestamp,
    effects: &mut Vec<SessionEffect>,
) {
    match mark {
        Some(Mark {
            step: marked,
            response,
        }) if marked == step => {
            if let Some(response) = response {
                step_ended(state, &response, now, effects);
            }
        }
        // It was told of an earlier one at most.
        Some(_) | None => {
            let run = state.run.as_deref();
            if run.is_some_and(|run| run.may_be_on_its_way(now)) {
                effects.push(SessionEffect::AskAgain);
            } else {
                tell_step(state, effects);
            }
        }
    }
}

fn place(state: &mut SessionState, place: Place, sequence: Option<u64>) {
    if let Some(sequence) = sequence {
        state.place_at = sequence;
    }
    state.place = place;
    state.changed = true;
}

fn notify(
    state: &mut SessionState,
    fact: SessionFact,
    synthesized: bool,
    effects: &mut Vec<SessionEffect>,
) {
    state.sequence += 1;
    state.changed = true;
    effects.push(SessionEffect::Notify(SessionNotice {
        sequence: state.sequence,
        fact,
        synthesized,
    }));
}
