//! Connections to FreeSWITCH nodes.

use std::time::Duration;

/// Why a command got no good answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The node cannot be reached now: the command was not sent.
    #[error("the node is down")]
    Down {
        /// When it is tried again, as far as that is known.
        retry_after: Duration,
    },
    /// FreeSWITCH knows no such channel.
    #[error("FreeSWITCH knows no such channel")]
    NoSuchChannel,
    /// FreeSWITCH refused, in its own words.
    #[error("FreeSWITCH refused: {0}")]
    Refused(String),
    /// No answer came in time, or the connection was lost before it: whether it was carried out is unknown.
    #[error("FreeSWITCH did not answer in time")]
    Unknown,
    /// Too many commands wait for this node.
    #[error("too many commands are waiting for the node")]
    Busy,
}
