#![doc = include_str!("../README.md")]
//!
//! ## Modules
//!
//! | module | contents | pure |
//! |---|---|---|
//! | `parser` | the wire grammar and its bounds | yes |
//! | `json` | the grammar of an event in JSON | yes |
//! | `lines` | the ends of lines, many at a time | yes |
//! | `frame` | the outer message | yes |
//! | `event` | the inner message, and how its values are written | yes |
//! | [`command`] | the text of commands, and the meaning of replies | yes |
//! | `session` | authentication, order of replies, jobs, deadlines | yes |
//! | `codec` | frames on a `tokio_util` transport | no |

#[cfg(feature = "codec")]
mod codec;
pub mod command;
mod content_type;
mod event;
mod frame;
#[cfg(feature = "json")]
mod json;
mod lines;
mod parser;
mod session;

#[cfg(feature = "codec")]
pub use codec::{CodecError, EslCodec, READ_BUFFER};
pub use command::{ApiFailure, ApiReply, Command, CommandReply};
pub use content_type::ContentType;
pub use event::{CONFERENCE_SUBCLASS, ConferenceAction, Event, EventError, EventKind};
pub use frame::Frame;
pub use parser::{FrameParser, Limits, ParseError, Unfinished};
pub use session::{
    CommandId, Millis, Output, Reply, Session, SessionConfig, SessionError, SessionStats,
    SubmitError,
};
