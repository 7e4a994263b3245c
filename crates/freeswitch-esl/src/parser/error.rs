//! Errors of the parser.

use std::num::NonZeroUsize;

use nom::error::ErrorKind;
use nom::{Err as Stop, Needed};

/// The reason why bytes are not a message. The stream has lost its framing: only a new connection helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A header block did not end within the limit.
    #[error("header block is longer than {limit} bytes")]
    HeaderBytes {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A header block has too many headers.
    #[error("header block has more than {limit} headers")]
    HeaderCount {
        /// The limit.
        limit: usize,
    },
    /// A line of a header block is not a header.
    #[error("line at byte {at} of a header block is not a header")]
    HeaderLine {
        /// The offset of the line within the message.
        at: usize,
    },
    /// A message has no `Content-Type`; FreeSWITCH always writes one.
    #[error("message has no Content-Type")]
    NoContentType,
    /// `Content-Length` is not a number.
    #[error("Content-Length is not a number")]
    ContentLength,
    /// The announced body exceeds its limit.
    #[error("announced body of {declared} bytes exceeds the limit of {limit}")]
    BodyTooLarge {
        /// The `Content-Length`, in bytes.
        declared: u64,
        /// The limit that applied, in bytes.
        limit: usize,
    },
    /// A value has no JSON form that is allowed in an event.
    #[error("byte {at} is not allowed there in a JSON event")]
    Json {
        /// The offset of the offending byte within the message.
        at: usize,
    },
    /// The text ends within an element.
    #[error("text ends too early")]
    CutShort,
}

impl nom::error::ParseError<&[u8]> for ParseError {
    fn from_error_kind(_: &[u8], _: ErrorKind) -> Self {
        Self::CutShort
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// The reason why a parser has no result: nom's three outcomes, mapped to two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfinished {
    /// More bytes are needed; their minimum number, if known.
    Incomplete(Option<NonZeroUsize>),
    /// The bytes are not a message.
    Failure(ParseError),
}

impl From<Stop<ParseError>> for Unfinished {
    fn from(stop: Stop<ParseError>) -> Self {
        match stop {
            Stop::Incomplete(Needed::Unknown) => Self::Incomplete(None),
            Stop::Incomplete(Needed::Size(n)) => Self::Incomplete(Some(n)),
            // Nothing here backtracks, so nom's recoverable error is as final as its failure.
            Stop::Error(e) | Stop::Failure(e) => Self::Failure(e),
        }
    }
}
