//! The lifecycle of a room and of its members, as a pure state machine.
//!
//! Owns the members of a room, their flags, and the rule which events report a change. Leaves out sockets, clocks,
//! databases and FreeSWITCH's headers: the reconciler translates events into [`RoomInput`]s, commits the changes that
//! [`apply`] left in the state, and then carries out the [`RoomEffect`]s.
#![doc = include_str!("LIFECYCLE.md")]

pub mod audio;
pub mod coach;
pub mod control;
pub mod details;
pub mod dial;
pub mod effect;
pub mod entry;
pub mod flag;
pub mod input;
pub mod level;
pub mod lock;
pub mod media;
pub mod member;
pub mod member_settings;
pub mod plan;
pub mod play;
pub mod playback;
pub mod recording;
mod restore;
pub mod room_settings;
pub mod settings;
pub mod stamp;
pub mod state;
pub mod tones;
mod transition;

pub use crate::pin::PinHash;
pub use audio::{Hold, HoldRequest, MEMBER_LIMITS, MemberAudio};
pub use coach::{CoachChange, CoachEnd, MemberCoach};
pub use control::RoomControl;
pub use details::{Actions, Details, Kind, Update};
pub use dial::{
    DialChange, DialEvent, DialInput, DialOut, DialOutcome, DialOuts, DialPhase, DialRequest,
};
pub use effect::{
    EndReason, JoinFailure, LeftReason, LiveChange, RoomCommand, RoomEffect, RoomEvent,
    RoomNotification,
};
pub use entry::Entry;
pub use flag::{FlagNames, FlagRequest, FlagRequests, Flags, MemberFlag, ReportedFlags};
pub use input::{Arrival, Failed, ReportedMember, RoomInput};
pub use level::{Level, LevelSet, ReportedLevels};
pub use lock::{Lock, LockRequest};
pub use media::{Announcement, CountAnnouncement, Media, Spoken};
pub use member::{
    JoinAttempt, Member, MemberStatus, Membership, MembershipChange, MembershipStatus, Move,
};
pub use member_settings::{MemberSettings, MemberUpdate, Role};
pub use play::{FileId, MemberPlayEvent, PlayCommand, PlayEvent, PlayFailure};
pub use playback::{PlayInput, Playback};
pub use recording::{
    PauseRequest, RecordAction, RecordInput, Recording, RecordingChange, RecordingFailure,
    RecordingPause, RecordingState, RecordingStatus, RecordingView,
};
pub use restore::{InvalidRoom, RoomData};
pub use room_settings::{RoomSettings, RoomSettingsUpdate};
pub use settings::{Settings, Sparse};
pub use stamp::{EventStamp, Sequence};
pub use state::{Conference, Origin, Registration, RoomState, RoomStatus};
pub use tones::{Tone, Tones};
pub use transition::apply;
