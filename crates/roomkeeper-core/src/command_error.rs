//! Failures of switch commands.

use std::borrow::Cow;
use std::time::Duration;

/// The reason why a switch command has no good answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CommandError {
    /// The node cannot be reached: the command was not sent.
    #[error("the node is down")]
    Down {
        /// The time until the next attempt to connect, as far as it is known.
        retry_after: Duration,
    },
    /// FreeSWITCH knows no such channel.
    #[error("FreeSWITCH knows no such channel")]
    NoSuchChannel,
    /// FreeSWITCH refused the command with this text, which may be empty.
    #[error("FreeSWITCH refused{}", suffix(.0))]
    Refused(String),
    /// No answer came in time, or the connection was lost first: the command may have been carried out.
    #[error("FreeSWITCH did not answer in time")]
    Unknown,
    /// Too many commands wait for the node.
    #[error("too many commands are waiting for the node")]
    Busy,
}

/// FreeSWITCH refuses a transfer without any text.
fn suffix(text: &str) -> Cow<'static, str> {
    if text.is_empty() {
        Cow::Borrowed(" without a reason")
    } else {
        Cow::Owned(format!(": {text}"))
    }
}
