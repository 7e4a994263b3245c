//! The Event Socket protocol.
//!
//! Bytes come in at [`EslCodec`] and leave it as [`Frame`]s. A [`Session`] takes the frames in and
//! tells what they mean: who may speak, which answer is whose, what happened, as [`Event`]s. What
//! is said to the server is a [`command::Command`]. Nothing here knows what a room is.
//!
//! | module | owns | pure |
//! |---|---|---|
//! | `parser` | the wire grammar, its bounds | yes |
//! | `json` | the grammar of an event in JSON | yes |
//! | `lines` | where lines end, many at a time | yes |
//! | `frame` | the outer message | yes |
//! | `event` | the inner message, how values are written | yes |
//! | [`command`] | the text of commands, the reading of replies | yes |
//! | `session` | authentication, order of replies, jobs, deadlines | yes |
//! | `codec` | frames on a `tokio_util` transport | no |

mod codec;
pub mod command;
mod event;
mod frame;
mod json;
mod lines;
mod parser;
mod session;

pub use codec::{CodecError, EslCodec, READ_BUFFER};
pub use command::{ApiFailure, ApiReply, Command, CommandReply};
pub use event::{CONFERENCE_SUBCLASS, ConferenceAction, Event, EventError, EventKind};
pub use frame::{ContentType, Frame};
pub use parser::{FrameParser, Limits, ParseError, Unfinished};
pub use session::{
    CommandId, Millis, Output, Reply, Session, SessionConfig, SessionError, SessionStats,
    SubmitError,
};
