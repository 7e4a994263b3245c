//! A message of the Event Socket: one block of headers and a body, over one buffer.
//!
//! Owns the outer message only. What an event says inside its body is `event`'s, what a reply
//! means is `command`'s; where a message ends was `parser`'s. Nothing is copied: a frame is the
//! bytes that came from the socket and the places of its headers in them.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use super::parser::{FrameParser, Head, HeaderSpan, Limits, Unfinished};

/// What a message is, by its `Content-Type` (`mod_event_socket.c`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentType {
    /// `auth/request`: the greeting, asks for the password.
    AuthRequest,
    /// `command/reply`: the answer to anything but `api`, in `Reply-Text`.
    CommandReply,
    /// `api/response`: the answer to `api`, in the body.
    ApiResponse,
    /// `text/event-plain`.
    EventPlain,
    /// `text/event-json`.
    EventJson,
    /// `text/event-xml`, which we never ask for.
    EventXml,
    /// `text/disconnect-notice`: the server is about to close.
    DisconnectNotice,
    /// `text/rude-rejection`: our address is refused by an access list.
    RudeRejection,
    /// `log/data`, which we never ask for.
    LogData,
    /// Anything else, as written.
    Other(String),
}

impl ContentType {
    pub(crate) fn from_wire(value: &[u8]) -> Self {
        match value {
            b"auth/request" => Self::AuthRequest,
            b"command/reply" => Self::CommandReply,
            b"api/response" => Self::ApiResponse,
            b"text/event-plain" => Self::EventPlain,
            b"text/event-json" => Self::EventJson,
            b"text/event-xml" => Self::EventXml,
            b"text/disconnect-notice" => Self::DisconnectNotice,
            b"text/rude-rejection" => Self::RudeRejection,
            b"log/data" => Self::LogData,
            other => Self::Other(String::from_utf8_lossy(other).into_owned()),
        }
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::AuthRequest => "auth/request",
            Self::CommandReply => "command/reply",
            Self::ApiResponse => "api/response",
            Self::EventPlain => "text/event-plain",
            Self::EventJson => "text/event-json",
            Self::EventXml => "text/event-xml",
            Self::DisconnectNotice => "text/disconnect-notice",
            Self::RudeRejection => "text/rude-rejection",
            Self::LogData => "log/data",
            Self::Other(other) => other,
        }
    }
}

impl fmt::Display for ContentType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One whole message. Cheap to clone; shares the read buffer it was cut from.
#[derive(Clone)]
pub struct Frame {
    pub(crate) bytes: Bytes,
    headers: SmallVec<[HeaderSpan; 4]>,
    content_type: ContentType,
    pub(crate) body_at: usize,
}

impl Frame {
    /// A frame from exactly the bytes that `head` was parsed from.
    pub(crate) fn new(bytes: Bytes, head: Head) -> Self {
        debug_assert_eq!(bytes.len(), head.body_at + head.body_len);
        Self {
            bytes,
            headers: head.headers,
            content_type: head.content_type,
            body_at: head.body_at,
        }
    }

    /// Takes one frame off the front of a buffer, by `parser`, which keeps its place in between.
    ///
    /// # Errors
    ///
    /// [`Unfinished`], as [`FrameParser`] has it.
    pub fn take(parser: &mut FrameParser, input: &mut Bytes) -> Result<Self, Unfinished> {
        let head = parser.parse(input)?;
        let bytes = input.split_to(head.body_at + head.body_len);
        Ok(Self::new(bytes, head))
    }

    /// The frame that `bytes` are, for tests and tools that hold a whole message.
    ///
    /// # Errors
    ///
    /// [`Unfinished`] if `bytes` do not start with one whole message under the default limits.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, Unfinished> {
        Self::take(&mut FrameParser::new(Limits::default()), &mut bytes.into())
    }

    /// What the message is.
    #[must_use]
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// A header of the outer block as it stands, the last if it repeats; names are compared
    /// without regard to case.
    #[must_use]
    pub fn header_raw(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .rev()
            .find(|span| span.name(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            .map(|span| span.value(&self.bytes))
    }

    /// Like [`Frame::header_raw`], with what is no UTF-8 replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header_raw(name).map(String::from_utf8_lossy)
    }

    /// `Reply-Text` of a `command/reply`; empty if there is none.
    #[must_use]
    pub fn reply_text(&self) -> Cow<'_, str> {
        self.header("Reply-Text").unwrap_or_default()
    }

    /// The body; empty if the message has none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }

    /// The body as a buffer of its own that shares the frame's.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice(self.body_at..)
    }

    /// The whole message as it stood on the wire.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Frame {
    // Bodies carry names and numbers of callers, which do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("content_type", &self.content_type.as_str())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
