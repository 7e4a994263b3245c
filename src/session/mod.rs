//! The life of a call, as a pure state machine: ringing, parked, busy with actions, on its way into a room, in it,
//! on its way out, ended.
//!
//! Owns where a call is and what the app is told of it (`call.*`). Leaves out the room's side of a stay (that is
//! [`crate::room`]) and calls that belong to no app (the reconciler ignores and counts them).
//!
//! A call is in at most one place, and the sequence of the event that put it there decides between two events that
//! disagree, whichever comes first.

pub mod run;
mod state;
mod transition;

pub use run::{Mark, Purpose, Run, StepId};
pub use state::{Direction, Parking, Place, SessionState};
pub use transition::{SessionEffect, SessionFact, SessionInput, SessionNotice, apply};
