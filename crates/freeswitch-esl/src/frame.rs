//! A message of the Event Socket: one block of headers and a body, over one buffer.
//!
//! Owns the outer message only. `event` decodes an event inside the body, `command` a reply; `parser` finds the end of
//! the message. Nothing is copied: a frame consists of the bytes from the socket and the offsets of its headers.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use super::content_type::ContentType;
use super::parser::{FrameParser, Head, HeaderSpan, Limits, Unfinished};

/// A complete message. Cloning it costs little; it shares the read buffer that it was cut from.
#[derive(Clone)]
pub struct Frame {
    pub(crate) bytes: Bytes,
    headers: SmallVec<[HeaderSpan; 4]>,
    content_type: ContentType,
    pub(crate) body_at: usize,
}

impl Frame {
    /// Creates a frame from exactly the bytes that `head` was parsed from.
    pub(crate) fn new(bytes: Bytes, head: Head) -> Self {
        debug_assert_eq!(bytes.len(), head.body_at + head.body_len);
        Self {
            bytes,
            headers: head.headers,
            content_type: head.content_type,
            body_at: head.body_at,
        }
    }

    /// Takes one frame off the front of a buffer, with a `parser` that keeps its position between calls.
    ///
    /// # Errors
    ///
    /// [`Unfinished`], as for [`FrameParser`].
    pub fn take(parser: &mut FrameParser, input: &mut Bytes) -> Result<Self, Unfinished> {
        let head = parser.parse(input)?;
        let bytes = input.split_to(head.body_at + head.body_len);
        Ok(Self::new(bytes, head))
    }

    /// Creates a frame from a complete message, for tests and tools.
    ///
    /// # Errors
    ///
    /// [`Unfinished`] if `bytes` do not start with one complete message under the default limits.
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Result<Self, Unfinished> {
        Self::take(&mut FrameParser::new(Limits::default()), &mut bytes.into())
    }

    /// Returns the type of the message.
    #[must_use]
    pub fn content_type(&self) -> &ContentType {
        &self.content_type
    }

    /// Returns a header of the outer block as written, the last one if it repeats; names are compared without regard to
    /// case.
    #[must_use]
    pub fn header_raw(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .rev()
            .find(|span| span.name(&self.bytes).eq_ignore_ascii_case(name.as_bytes()))
            .map(|span| span.value(&self.bytes))
    }

    /// Like [`Frame::header_raw`], with invalid UTF-8 replaced.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        self.header_raw(name).map(String::from_utf8_lossy)
    }

    /// Returns `Reply-Text` of a `command/reply`; empty if there is none.
    #[must_use]
    pub fn reply_text(&self) -> Cow<'_, str> {
        self.header("Reply-Text").unwrap_or_default()
    }

    /// Returns the body; empty if the message has none.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.body_at..).unwrap_or_default()
    }

    /// Returns the body as a buffer that shares the frame's.
    #[must_use]
    pub fn body_bytes(&self) -> Bytes {
        self.bytes.slice(self.body_at..)
    }

    /// Returns the complete message as it was on the wire.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Frame {
    // Bodies contain names and numbers of callers, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame")
            .field("content_type", &self.content_type.as_str())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}
