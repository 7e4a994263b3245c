//! Events of FreeSWITCH, in one type for both of their formats.
//!
//! Owns the inner level of an event message: its headers and its body. `kind` classifies events, `value` decodes
//! values, in lines or in JSON; each oddity of FreeSWITCH there is a function named `quirk_*`. Leaves out the
//! consequences of an event; the reconciler reads events through the accessors here and never sees the format.
//!
//! An [`Event`] consists of the message's bytes and the offsets of its headers. Accessors decode values on demand:
//! decoding all of some ninety headers for the five that are read costs thirteen times as much. An event keeps the read
//! buffer alive that it was cut from (64 KiB); an event that is kept for long goes through [`Event::detached`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::content_type::ContentType;
use super::frame::Frame;
use super::parser::{self, HeaderSpan, Limits, ParseError};

#[cfg(feature = "json")]
mod json_value;
mod kind;
mod text;
mod value;

pub use kind::{CONFERENCE_SUBCLASS, ConferenceAction, EventKind};

/// The reason why an event could not be decoded. The stream continues behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The message is not an event in a known format.
    #[error("{content_type} is not a known event format")]
    NotAnEvent {
        /// The type of the message.
        content_type: ContentType,
    },
    /// The headers break the grammar or a limit.
    #[error("event headers cannot be parsed")]
    Headers(#[source] ParseError),
    /// There is no `Event-Name`.
    #[error("event has no Event-Name")]
    NoName,
    /// The inner `Content-Length` is larger than the rest of the message.
    #[error("event announces a body of {declared} bytes and has {held}")]
    Body {
        /// The inner `Content-Length`, in bytes.
        declared: u64,
        /// The length of the body, in bytes.
        held: usize,
    },
}

impl EventError {
    fn not_an_event(frame: &Frame) -> Self {
        Self::NotAnEvent {
            content_type: frame.content_type().clone(),
        }
    }
}

/// One event. Cloning it costs little except for its index of headers.
#[derive(Clone)]
pub struct Event {
    bytes: Bytes,
    headers: Vec<HeaderSpan>,
    /// The tag of each header's name, in order.
    tags: Vec<u8>,
    /// The header `Event-Name`, which every caller reads.
    name: HeaderSpan,
    body: Body,
}

/// The location of the inner body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    /// Raw, from the first offset to the second.
    Range(u32, u32),
    /// The header `_body`.
    #[cfg(feature = "json")]
    Header,
}

/// The number of bytes for each header that the guess of an index's size assumes. It is below the real average of 44,
/// so the index rarely grows.
const HEADER_GUESS: usize = 36;

impl Event {
    /// Decodes the event in a message under the default limits.
    ///
    /// # Errors
    ///
    /// [`EventError`]; the connection remains usable.
    pub fn from_frame(frame: Frame) -> Result<Self, EventError> {
        Self::with_limits(frame, &Limits::default())
    }

    /// Decodes the event in a message.
    ///
    /// # Errors
    ///
    /// [`EventError`]; the connection remains usable.
    pub fn with_limits(frame: Frame, limits: &Limits) -> Result<Self, EventError> {
        let start = frame.body_at;
        let guess = ((frame.bytes.len() - start) / HEADER_GUESS + 8).min(limits.headers);
        let mut headers = Vec::with_capacity(guess);
        let body_at = match frame.content_type() {
            ContentType::EventPlain => {
                parser::header_block(&frame.bytes, start, limits, &mut headers).map(Some)
            }
            #[cfg(feature = "json")]
            ContentType::EventJson => {
                crate::json::json_object(&frame.bytes, start, limits, |span| headers.push(span))
                    .map(|()| None)
            }
            #[cfg(not(feature = "json"))]
            ContentType::EventJson => return Err(EventError::not_an_event(&frame)),
            ContentType::AuthRequest
            | ContentType::CommandReply
            | ContentType::ApiResponse
            | ContentType::EventXml
            | ContentType::DisconnectNotice
            | ContentType::RudeRejection
            | ContentType::LogData
            | ContentType::Other(_) => return Err(EventError::not_an_event(&frame)),
        }
        .map_err(EventError::Headers)?;
        let bytes = frame.bytes;
        // A body of megabytes makes the guess far too high.
        if headers.capacity() > 2 * headers.len() + 64 {
            headers.shrink_to_fit();
        }
        let tags: Vec<u8> = headers.iter().map(HeaderSpan::tag).collect();
        let find = |name| quirk_last_of_repeated(&bytes, &headers, &tags, name).copied();
        let body = match body_at {
            #[cfg(feature = "json")]
            None => Body::Header,
            #[cfg(not(feature = "json"))]
            None => Body::None,
            Some(end) => match find("Content-Length") {
                Some(length) => plain_body(length.value(&bytes), end, bytes.len())?,
                None => Body::None,
            },
        };
        Ok(Self {
            name: find("Event-Name").ok_or(EventError::NoName)?,
            bytes,
            headers,
            tags,
            body,
        })
    }

    // ---- headers ----

    #[inline]
    fn find(&self, name: &str) -> Option<&HeaderSpan> {
        quirk_last_of_repeated(&self.bytes, &self.headers, &self.tags, name)
    }

    /// Returns a header's value as written on the wire: percent-encoded, or the inside of a JSON string. The last one
    /// counts if the header repeats. Names are compared exactly, as FreeSWITCH writes them.
    #[must_use]
    pub fn get_raw(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|span| span.value(&self.bytes))
    }

    /// Returns a header's value, decoded: the last one if the header repeats, empty if FreeSWITCH marks it so, with
    /// invalid UTF-8 replaced. An array reads as `ARRAY::a|:b` in both formats.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.find(name).map(|span| self.decode(span))
    }

    #[inline]
    fn decode(&self, span: &HeaderSpan) -> Cow<'_, str> {
        value::decode(span.value(&self.bytes), span.shape())
    }

    /// Returns a header's value; `None` if it is missing or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Returns a header's value, parsed as a number, an address, or any other type; `None` if that fails.
    #[must_use]
    pub fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// Returns a header that is `true` or `false`; `None` if it is neither.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.parse(name)
    }

    /// Returns the elements of an array; any other value is its only element.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let span = self.find(name)?;
        Some(value::elements(span.value(&self.bytes), span.shape()))
    }

    /// Returns all headers in their order, repeated ones included, with names as written and decoded values.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.headers.iter().map(|span| {
            let name = value::decode_name(span.name(&self.bytes), span.shape());
            (name, self.decode(span))
        })
    }

    /// Returns the number of headers, repeated ones included.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// Returns the inner body, such as the output of a job, decoded; `None` if there is none.
    #[must_use]
    pub fn body(&self) -> Option<Cow<'_, [u8]>> {
        match self.body {
            Body::None => None,
            Body::Range(from, to) => self
                .bytes
                .get(from as usize..to as usize)
                .map(Cow::Borrowed),
            #[cfg(feature = "json")]
            Body::Header => self.get_raw("_body").map(json_value::json_unescape),
        }
    }

    /// Returns the inner body as a buffer, which shares the event's unless it was unescaped.
    #[must_use]
    pub fn body_bytes(&self) -> Option<Bytes> {
        match self.body()? {
            Cow::Borrowed(body) => Some(self.bytes.slice_ref(body)),
            Cow::Owned(body) => Some(Bytes::from(body)),
        }
    }

    /// Returns the same event in memory of its own size, without the read buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self {
            bytes: Bytes::copy_from_slice(&self.bytes),
            headers: self.headers.clone(),
            tags: self.tags.clone(),
            name: self.name,
            body: self.body,
        }
    }

    // ---- headers of every event ----

    /// Returns the kind: `Event-Name`, and for `CUSTOM` the subclass and action.
    #[must_use]
    pub fn kind(&self) -> EventKind<'_> {
        let name = self.name();
        match name.as_ref() {
            "CHANNEL_CREATE" => EventKind::ChannelCreate,
            "CHANNEL_PROGRESS" => EventKind::ChannelProgress,
            "CHANNEL_PROGRESS_MEDIA" => EventKind::ChannelProgressMedia,
            "CHANNEL_ANSWER" => EventKind::ChannelAnswer,
            "CHANNEL_PARK" => EventKind::ChannelPark,
            "CHANNEL_UNPARK" => EventKind::ChannelUnpark,
            "CHANNEL_BRIDGE" => EventKind::ChannelBridge,
            "CHANNEL_EXECUTE_COMPLETE" => EventKind::ChannelExecuteComplete,
            "CHANNEL_HANGUP" => EventKind::ChannelHangup,
            "CHANNEL_HANGUP_COMPLETE" => EventKind::ChannelHangupComplete,
            "CHANNEL_DESTROY" => EventKind::ChannelDestroy,
            "DTMF" => EventKind::Dtmf,
            "MEDIA_BUG_START" => EventKind::MediaBugStart,
            "RECORD_START" => EventKind::RecordStart,
            "RECORD_STOP" => EventKind::RecordStop,
            "BACKGROUND_JOB" => EventKind::BackgroundJob,
            "HEARTBEAT" => EventKind::Heartbeat,
            "SHUTDOWN" => EventKind::Shutdown,
            "CUSTOM" => {
                let conference = || {
                    let action = self.get("Action").unwrap_or_default();
                    EventKind::Conference(ConferenceAction::from_wire(action))
                };
                // A plain event always has this form: comparing it costs less than decoding it.
                if self.get_raw("Event-Subclass") == Some(b"conference%3A%3Amaintenance") {
                    return conference();
                }
                let subclass = self.get("Event-Subclass").unwrap_or_default();
                if subclass == CONFERENCE_SUBCLASS {
                    conference()
                } else {
                    EventKind::Custom(subclass)
                }
            }
            _ => EventKind::Other(name),
        }
    }

    /// Returns `Event-Name`.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        self.decode(&self.name)
    }

    /// Returns `Event-Subclass` of a `CUSTOM` event.
    #[must_use]
    pub fn subclass(&self) -> Option<Cow<'_, str>> {
        self.text("Event-Subclass")
    }

    /// Returns `Event-Sequence`: one counter of the core. It orders two events about the same object; it has gaps for
    /// every listener, and the wire does not keep its order.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        self.parse("Event-Sequence")
    }

    /// Returns `Core-UUID`, which changes when the server restarts.
    #[must_use]
    pub fn core_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Core-UUID")
    }

    /// Returns `Event-Date-Timestamp`: microseconds since the epoch by the server's clock, up to 20 ms early.
    #[must_use]
    pub fn timestamp_us(&self) -> Option<u64> {
        self.parse("Event-Date-Timestamp")
    }

    // ---- headers of channel events ----

    /// Returns `Unique-ID`: the channel.
    #[must_use]
    pub fn unique_id(&self) -> Option<Cow<'_, str>> {
        self.text("Unique-ID")
    }

    /// Returns `Hangup-Cause`, such as `NORMAL_CLEARING`.
    #[must_use]
    pub fn hangup_cause(&self) -> Option<Cow<'_, str>> {
        self.text("Hangup-Cause")
    }

    /// Returns `Caller-Caller-ID-Name`.
    #[must_use]
    pub fn caller_name(&self) -> Option<Cow<'_, str>> {
        self.text("Caller-Caller-ID-Name")
    }

    /// Returns `Caller-Caller-ID-Number`.
    #[must_use]
    pub fn caller_number(&self) -> Option<Cow<'_, str>> {
        self.text("Caller-Caller-ID-Number")
    }

    /// Returns `Caller-Destination-Number`: the dialled number, until the call is transferred.
    #[must_use]
    pub fn destination_number(&self) -> Option<Cow<'_, str>> {
        self.text("Caller-Destination-Number")
    }

    /// Returns `variable_<name>`: a variable of the channel, in events that carry variables.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.headers.iter().rev().find(|span| {
            span.name(&self.bytes).strip_prefix(b"variable_") == Some(name.as_bytes())
        })?;
        Some(self.decode(found)).filter(|value| !value.is_empty())
    }

    /// Returns `Application`: the one that completed.
    #[must_use]
    pub fn application(&self) -> Option<Cow<'_, str>> {
        self.text("Application")
    }

    // ---- headers of conference events ----

    /// Returns `Conference-Name`. Two conferences can have it at once: use [`Event::conference_uuid`] as the key.
    #[must_use]
    pub fn conference_name(&self) -> Option<Cow<'_, str>> {
        self.text("Conference-Name")
    }

    /// Returns `Conference-Unique-ID`.
    #[must_use]
    pub fn conference_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Conference-Unique-ID")
    }

    /// Returns `Conference-Size`: members without ghosts, as of this event.
    #[must_use]
    pub fn conference_size(&self) -> Option<u32> {
        self.parse("Conference-Size")
    }

    /// Returns `Member-ID`: one counter per node, from 1 at its start, kept across rooms.
    #[must_use]
    pub fn member_id(&self) -> Option<u32> {
        self.parse("Member-ID")
    }

    /// Returns `Error`: the reason why a file or a recording did not start.
    #[must_use]
    pub fn error(&self) -> Option<Cow<'_, str>> {
        self.text("Error")
    }

    // ---- headers of other events ----

    /// Returns `Job-UUID` of a `BACKGROUND_JOB`.
    #[must_use]
    pub fn job_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Job-UUID")
    }

    /// Returns `Session-Count` of a `HEARTBEAT`: channels on the node.
    #[must_use]
    pub fn session_count(&self) -> Option<u32> {
        self.parse("Session-Count")
    }

    /// Returns `Max-Sessions` of a `HEARTBEAT`.
    #[must_use]
    pub fn max_sessions(&self) -> Option<u32> {
        self.parse("Max-Sessions")
    }

    /// Returns `Uptime-msec` of a `HEARTBEAT`, which falls when the server restarts.
    #[must_use]
    pub fn uptime_ms(&self) -> Option<u64> {
        self.parse("Uptime-msec")
    }
}

impl fmt::Debug for Event {
    // Values contain names and numbers of callers, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind())
            .field("sequence", &self.sequence())
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Returns the range of the body of a plain event, between `from` and `to`.
fn plain_body(declared: &[u8], from: usize, to: usize) -> Result<Body, EventError> {
    let held = to - from;
    let declared = parser::content_length(declared).map_err(EventError::Headers)?;
    let end = usize::try_from(declared)
        .ok()
        .filter(|len| *len <= held)
        .map(|len| from + len);
    match (u32::try_from(from), end.map(u32::try_from)) {
        (Ok(from), Some(Ok(end))) => Ok(Body::Range(from, end)),
        _ => Err(EventError::Body { declared, held }),
    }
}

/// Returns the last of a repeated header.
///
/// Floor-change and play-file-member-done repeat the whole `Conference-*` block, a hang-up its cause; a conference
/// variable is a bare header in front of `Action`, so the first header of a name could be a tenant's.
#[inline]
fn quirk_last_of_repeated<'a>(
    message: &[u8],
    headers: &'a [HeaderSpan],
    tags: &[u8],
    name: &str,
) -> Option<&'a HeaderSpan> {
    memchr::memrchr_iter(parser::tag(name.as_bytes()), tags)
        .filter_map(|n| headers.get(n))
        .find(|span| span.name(message) == name.as_bytes())
}

// The tests compare both formats.
#[cfg(test)]
#[cfg(feature = "json")]
mod tests;
