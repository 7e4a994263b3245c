//! `apply`: what an input makes of a call.

use std::time::Duration;

use crate::ids::{RoomId, SessionId};
use crate::room::{JoinFailure, LeftReason};
use crate::time::Timestamp;

use super::state::{Direction, Place, SessionState};

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
    },
    /// It was asked to join a room.
    Joining {
        /// The room.
        room: RoomId,
    },
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
    /// It is not in this room any more, nor on its way into it.
    Left {
        /// The room.
        room: RoomId,
        /// `Event-Sequence`, when an event said so.
        sequence: Option<u64>,
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
                caller_id: state.caller_id.clone(),
                did: state.did.clone(),
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
        SessionInput::Parked { sequence } => {
            if sequence <= state.place_at {
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
            let parked = if state.answered_at.is_some() {
                Place::Parked
            } else {
                Place::Ringing
            };
            place(state, parked, Some(sequence));
        }
        SessionInput::Joining { room } => place(state, Place::Joining(room), None),
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
                place(state, Place::InRoom(room), None);
            }
        }
        SessionInput::Left { room, sequence } => {
            if state.place.room() != Some(room) || sequence.is_some_and(|s| s < state.place_at) {
                return;
            }
            let next = match (&state.place, sequence) {
                // It never went: it is parked as before.
                (Place::Joining(_), None) => {
                    if state.answered_at.is_some() {
                        Place::Parked
                    } else {
                        Place::Ringing
                    }
                }
                // It is out, and FreeSWITCH will say where it goes next.
                _ => Place::Leaving(None),
            };
            place(state, next, sequence);
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
        Place::Joining(room) if next != Some(room) => effects.push(SessionEffect::RoomNotEntered {
            room,
            session,
            reason: failed,
        }),
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
        | Place::Joining(_)
        | Place::InRoom(_)
        | Place::Leaving(_)
        | Place::Ended => {}
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
