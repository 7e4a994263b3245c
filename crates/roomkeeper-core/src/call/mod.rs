//! The lifecycle of a call, as a pure state machine: ringing, parked, acting, joining, in a room, leaving, ended.
//!
//! Owns the place of a call and its notifications (`call.*`). Leaves out the room's side of a membership
//! ([`crate::room`]) and calls that belong to no app (the reconciler ignores and counts them).
//!
//! A call is in at most one place. Where two events disagree, the one with the higher sequence decides, whichever
//! arrives first.

mod actions;
mod effect;
mod input;
pub mod run;
mod state;
mod transition;

pub use effect::{CallEffect, CallEvent, CallNotification};
pub use input::CallInput;
pub use run::{ActionRun, Checkpoint, Purpose, StepId};
pub use state::{CallData, CallState, Direction, InvalidCall, Parking, Place};
pub use transition::apply;
