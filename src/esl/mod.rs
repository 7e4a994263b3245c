//! The Event Socket protocol.
//!
//! Bytes come in at [`EslCodec`] and leave it as [`Frame`]s; a [`Frame`] that tells something is
//! read as an [`Event`]. Nothing here knows what a room is.

mod codec;
pub mod command;
mod event;
mod frame;
mod parser;

pub use codec::{CodecError, EslCodec, READ_BUFFER};
pub use event::{CONFERENCE_SUBCLASS, ConferenceAction, Event, EventError, EventKind};
pub use frame::{ContentType, Frame};
pub use parser::{FrameParser, Limits, ParseError, Unfinished};
