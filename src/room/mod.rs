//! The life of a room and of its members, as a pure state machine.
//!
//! Owns who is in a room, what they may do there, and which events tell of a change. Leaves out sockets,
//! clocks, databases and every FreeSWITCH header: the reconciler translates events into [`RoomInput`]s, commits
//! what [`apply`] left in the state, and carries out the [`RoomEffect`]s after that.
#![doc = include_str!("LIFECYCLE.md")]

pub mod details;
pub mod effect;
pub mod input;
pub mod lock;
pub mod plan;
pub mod playback;
pub mod recording;
pub mod state;
mod transition;

pub use details::{Actions, Details, Kind, Update};
pub use effect::{
    JoinFailure, LeftReason, LiveFact, PlayCommand, PlayFact, RoomCommand, RoomEffect, RoomFact,
    RoomNotice,
};
pub use input::{EventStamp, RoomInput, Who};
pub use lock::{Lock, LockAsked};
pub use playback::{FileId, PlayInput, Playback, Unplayed};
pub use recording::{RecordInput, Recording, RecordingState, RecordingStatus, RecordingView};
pub use state::{
    CallChange, CallStatus, Conference, Flags, JoinAttempt, Member, MemberStatus, Origin, Pending,
    Registration, RoomState, RoomStatus, Stay,
};
pub use transition::apply;
