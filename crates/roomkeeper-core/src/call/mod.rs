//! The lifecycle of a call, as a pure state machine: ringing, parked, acting, joining, in a room, leaving,
//! transferred, ended.
//!
//! Owns the status of a call and its notifications (`call.*`). Leaves out the room's side of a membership
//! ([`crate::room`]) and calls that belong to no app (the reconciler ignores and counts them).
//!
//! A call is in at most one room. If two events contradict each other, the one with the higher sequence wins, in any
//! order of arrival.

mod actions;
mod coach;
mod coaching;
mod effect;
mod gather;
mod gathering;
mod input;
pub mod run;
mod state;
mod transfer;
mod transferring;
mod transition;

pub use crate::dial::TransferTarget;
pub use crate::gather::{GatherResult, PressedDigit};
pub use coaching::{COACH_TIMEOUT, Coaching};
pub use effect::{CallEffect, CallEvent, CallNotification};
pub use gathering::Gathering;
pub use input::CallInput;
pub use run::{ActionRun, Checkpoint, Purpose, StepId};
pub use state::{CallData, CallState, CallStatus, Direction, InvalidCall, ParkId};
pub use transferring::{Bridge, Transfer, TransferChange, TransferEnd, TransferEvent};
pub use transition::{apply, report_gathered};
