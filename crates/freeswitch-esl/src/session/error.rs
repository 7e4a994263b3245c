//! Errors of a session.

use crate::content_type::ContentType;

/// The reason why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The server did not complete the authentication in time.
    #[error("no authentication within {millis} ms")]
    AuthTimeout {
        /// The limit, in milliseconds.
        millis: u64,
    },
    /// An unexpected message: an answer without a command, or a second greeting.
    #[error("unexpected {content_type}")]
    Unexpected {
        /// The received message.
        content_type: ContentType,
    },
    /// An answer of the wrong kind: the order of answers is lost.
    #[error("{content_type} is no answer to the command")]
    WrongReply {
        /// The received message.
        content_type: ContentType,
    },
}

/// The reason why a command was not accepted. It was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Not authenticated yet, or closed.
    #[error("the connection is not ready")]
    NotReady,
    /// Too many commands wait for their answers.
    #[error("{limit} commands are in flight already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The job's id is in use.
    #[error("a job with this id is pending")]
    DuplicateJob,
}
