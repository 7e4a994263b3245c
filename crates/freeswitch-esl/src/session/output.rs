//! Outputs of a session for its driver.

use super::error::SessionError;
use crate::command::{ApiReply, CommandReply};
use crate::event::{Event, EventError};

/// The id of a command of one session, in the order of submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(pub(super) u64);

/// An output of a session for its driver.
#[derive(Debug, Clone)]
pub enum Output {
    /// The password was accepted: commands are accepted from now on.
    Authenticated,
    /// The password was refused. An immediate retry does not help.
    AuthRefused {
        /// The text of the server.
        reason: String,
    },
    /// An access list of the server refuses our address.
    Rude {
        /// The text of the server.
        notice: String,
    },
    /// An event arrived.
    Event(Event),
    /// An event could not be decoded; the stream continues.
    BadEvent {
        /// The reason.
        error: EventError,
    },
    /// A command was answered. A refused job ends with this; for an accepted one, [`Output::JobDone`] follows.
    Reply {
        /// The command.
        id: CommandId,
        /// The answer.
        result: Reply,
    },
    /// A job is done.
    JobDone {
        /// The command that started it.
        id: CommandId,
        /// The output of its command.
        result: ApiReply,
    },
    /// The deadline passed without an answer, or for a job without its result. FreeSWITCH may have carried it out all
    /// the same.
    TimedOut {
        /// The command.
        id: CommandId,
        /// True if it was written; otherwise the server cannot have executed it.
        sent: bool,
    },
    /// The connection ended before the answer came. FreeSWITCH may have carried it out all the same.
    Lost {
        /// The command.
        id: CommandId,
        /// As in [`Output::TimedOut`].
        sent: bool,
    },
    /// The server is about to close.
    Disconnect {
        /// The text of the server.
        notice: String,
    },
    /// The protocol state is lost: close the connection and start again.
    Fatal {
        /// The reason.
        error: SessionError,
    },
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `command/reply`, of everything but `api`; of `api` only as a refusal.
    Command(CommandReply),
    /// `api/response`.
    Api(ApiReply),
}

/// Counts of messages that a session dropped, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// `BACKGROUND_JOB` events of jobs that are not ours, or no longer.
    pub unknown_jobs: u64,
    /// Answers that came after their deadline.
    pub late_replies: u64,
    /// Messages of kinds that we do not use, such as `log/data`.
    pub ignored_frames: u64,
}
