//! What FreeSWITCH tells: an event, in one type for both of its formats.
//!
//! Owns the inner level of an event message: its headers and its body. `kind` names what happened,
//! `value` reads how values are written, in lines or in JSON; each oddity of FreeSWITCH in that is
//! a function named `quirk_*`. Leaves out what follows from an event; the reconciler reads it
//! through the accessors here and never sees the format.
//!
//! An [`Event`] is the message's bytes and the places of its headers in them. Values are decoded
//! when they are asked for: to decode all of some ninety headers for the five that are read costs
//! thirteen times as much. An event keeps the read buffer alive that it was cut from (64 KiB);
//! what is kept for long goes through [`Event::detached`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

use super::frame::{ContentType, Frame};
use super::json;
use super::parser::{self, HeaderSpan, Limits, ParseError};

mod kind;
mod value;

pub use kind::{CONFERENCE_SUBCLASS, ConferenceAction, EventKind};

/// Why one event could not be read. The stream goes on behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The message is no event in a format we read.
    #[error("{content_type} is no event in a known format")]
    NotAnEvent {
        /// What it is.
        content_type: ContentType,
    },
    /// The headers break the grammar or a limit.
    #[error("the headers of an event cannot be read")]
    Headers(#[source] ParseError),
    /// There is no `Event-Name`.
    #[error("an event without Event-Name")]
    NoName,
    /// The inner `Content-Length` announces more than the message holds.
    #[error("an event announces a body of {declared} bytes and holds {held}")]
    Body {
        /// What the inner `Content-Length` said, in bytes.
        declared: u64,
        /// What there is, in bytes.
        held: usize,
    },
}

/// One event. Cheap to clone but for its index of headers.
#[derive(Clone)]
pub struct Event {
    bytes: Bytes,
    headers: Vec<HeaderSpan>,
    /// Of each header the tag of its name, in their order.
    tags: Vec<u8>,
    /// Which header is `Event-Name`, asked for by everybody.
    name: HeaderSpan,
    body: Body,
}

/// Where the inner body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    /// Raw, from here to there.
    Range(u32, u32),
    /// The header `_body`.
    Header,
}

/// Bytes of an average header line, to guess the size of an index: short of the real 44 so that
/// the guess holds and the index is not grown.
const HEADER_GUESS: usize = 36;

impl Event {
    /// Reads the event in a message under the default limits.
    ///
    /// # Errors
    ///
    /// [`EventError`]; the connection is not worse for it.
    pub fn from_frame(frame: Frame) -> Result<Self, EventError> {
        Self::with_limits(frame, &Limits::default())
    }

    /// Reads the event in a message.
    ///
    /// # Errors
    ///
    /// [`EventError`]; the connection is not worse for it.
    pub fn with_limits(frame: Frame, limits: &Limits) -> Result<Self, EventError> {
        let json = match frame.content_type() {
            ContentType::EventPlain => false,
            ContentType::EventJson => true,
            other @ (ContentType::AuthRequest
            | ContentType::CommandReply
            | ContentType::ApiResponse
            | ContentType::EventXml
            | ContentType::DisconnectNotice
            | ContentType::RudeRejection
            | ContentType::LogData
            | ContentType::Other(_)) => {
                return Err(EventError::NotAnEvent {
                    content_type: other.clone(),
                });
            }
        };
        let start = frame.body_at;
        let bytes = frame.bytes;
        let guess = ((bytes.len() - start) / HEADER_GUESS + 8).min(limits.headers);
        let mut headers = Vec::with_capacity(guess);
        let end = if json {
            json::json_object(&bytes, start, limits, |span| headers.push(span)).map(|()| None)
        } else {
            parser::header_block(&bytes, start, limits, &mut headers).map(Some)
        }
        .map_err(EventError::Headers)?;
        // A body of megabytes makes the guess far too high.
        if headers.capacity() > 2 * headers.len() + 64 {
            headers.shrink_to_fit();
        }
        let tags: Vec<u8> = headers.iter().map(HeaderSpan::tag).collect();
        let find = |name| quirk_last_of_repeated(&bytes, &headers, &tags, name).copied();
        let body = match end {
            None => Body::Header,
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

    /// A header's value as it stands on the wire: percent-encoded, or the inside of a JSON string.
    /// The last if it repeats. Names are compared exactly, as FreeSWITCH writes them.
    #[must_use]
    pub fn get_raw(&self, name: &str) -> Option<&[u8]> {
        self.find(name).map(|span| span.value(&self.bytes))
    }

    /// A header's value, decoded: the last if it repeats, empty if FreeSWITCH says it is, bytes
    /// that are no UTF-8 replaced. An array reads as `ARRAY::a|:b` in both formats.
    #[must_use]
    #[inline]
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.find(name).map(|span| self.decode(span))
    }

    #[inline]
    fn decode(&self, span: &HeaderSpan) -> Cow<'_, str> {
        value::decode(span.value(&self.bytes), span.shape())
    }

    /// A header that says something: `None` if it is missing or empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// A header's value as a number, an address, whatever it parses to; `None` if it does not.
    #[must_use]
    pub fn parse<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }

    /// A header that is `true` or `false`; `None` if it is neither.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.parse(name)
    }

    /// The elements of an array; a value that is none is its only element.
    #[must_use]
    pub fn list(&self, name: &str) -> Option<Vec<Cow<'_, str>>> {
        let span = self.find(name)?;
        Some(value::elements(span.value(&self.bytes), span.shape()))
    }

    /// All headers in the order they came, repeats included, names as written, values decoded.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.headers.iter().map(|span| {
            let name = value::decode_name(span.name(&self.bytes), span.shape());
            (name, self.decode(span))
        })
    }

    /// How many headers there are, repeats included.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// The inner body, such as the output of a job, decoded; `None` if there is none.
    #[must_use]
    pub fn body(&self) -> Option<Cow<'_, [u8]>> {
        match self.body {
            Body::None => None,
            Body::Range(from, to) => self
                .bytes
                .get(from as usize..to as usize)
                .map(Cow::Borrowed),
            Body::Header => self.get_raw("_body").map(value::json_unescape),
        }
    }

    /// The inner body as a buffer; shares the event's unless it has to be unescaped.
    #[must_use]
    pub fn body_bytes(&self) -> Option<Bytes> {
        match (self.body, self.body()?) {
            (Body::Range(from, to), Cow::Borrowed(_)) => {
                Some(self.bytes.slice(from as usize..to as usize))
            }
            (Body::Range(..) | Body::Header | Body::None, body) => {
                Some(Bytes::from(body.into_owned()))
            }
        }
    }

    /// The same event over memory of its own size, to be kept without its read buffer.
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

    // ---- what every event says ----

    /// `Event-Name`, and for `CUSTOM` what stands under it.
    #[must_use]
    pub fn kind(&self) -> EventKind<'_> {
        let name = self.name();
        match name.as_ref() {
            "CHANNEL_CREATE" => EventKind::ChannelCreate,
            "CHANNEL_ANSWER" => EventKind::ChannelAnswer,
            "CHANNEL_PARK" => EventKind::ChannelPark,
            "CHANNEL_UNPARK" => EventKind::ChannelUnpark,
            "CHANNEL_BRIDGE" => EventKind::ChannelBridge,
            "CHANNEL_EXECUTE_COMPLETE" => EventKind::ChannelExecuteComplete,
            "CHANNEL_HANGUP" => EventKind::ChannelHangup,
            "CHANNEL_HANGUP_COMPLETE" => EventKind::ChannelHangupComplete,
            "CHANNEL_DESTROY" => EventKind::ChannelDestroy,
            "BACKGROUND_JOB" => EventKind::BackgroundJob,
            "HEARTBEAT" => EventKind::Heartbeat,
            "SHUTDOWN" => EventKind::Shutdown,
            "CUSTOM" => {
                let conference = || {
                    let action = self.get("Action").unwrap_or_default();
                    EventKind::Conference(ConferenceAction::from_wire(action))
                };
                // As it always stands in a plain event: to compare it costs less than to decode it.
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

    /// `Event-Name`.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        self.decode(&self.name)
    }

    /// `Event-Subclass` of a `CUSTOM` event.
    #[must_use]
    pub fn subclass(&self) -> Option<Cow<'_, str>> {
        self.text("Event-Subclass")
    }

    /// `Event-Sequence`: one counter of the core. Orders two events about one thing; has gaps for
    /// every listener, and the wire is not in its order.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        self.parse("Event-Sequence")
    }

    /// `Core-UUID`: changes when the server restarts.
    #[must_use]
    pub fn core_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Core-UUID")
    }

    /// `Event-Date-Timestamp`: microseconds since the epoch by the server's clock, up to 20 ms
    /// early.
    #[must_use]
    pub fn timestamp_us(&self) -> Option<u64> {
        self.parse("Event-Date-Timestamp")
    }

    // ---- what an event of a channel says ----

    /// `Unique-ID`: the channel.
    #[must_use]
    pub fn unique_id(&self) -> Option<Cow<'_, str>> {
        self.text("Unique-ID")
    }

    /// `Hangup-Cause`, such as `NORMAL_CLEARING`.
    #[must_use]
    pub fn hangup_cause(&self) -> Option<Cow<'_, str>> {
        self.text("Hangup-Cause")
    }

    /// `Caller-Caller-ID-Name`.
    #[must_use]
    pub fn caller_name(&self) -> Option<Cow<'_, str>> {
        self.text("Caller-Caller-ID-Name")
    }

    /// `Caller-Caller-ID-Number`.
    #[must_use]
    pub fn caller_number(&self) -> Option<Cow<'_, str>> {
        self.text("Caller-Caller-ID-Number")
    }

    /// `Caller-Destination-Number`: what was dialled, until the call is transferred.
    #[must_use]
    pub fn destination_number(&self) -> Option<Cow<'_, str>> {
        self.text("Caller-Destination-Number")
    }

    /// `variable_<name>`: a variable of the channel, in the events that carry them.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.headers.iter().rev().find(|span| {
            span.name(&self.bytes).strip_prefix(b"variable_") == Some(name.as_bytes())
        })?;
        Some(self.decode(found)).filter(|value| !value.is_empty())
    }

    /// `Application`: which one completed.
    #[must_use]
    pub fn application(&self) -> Option<Cow<'_, str>> {
        self.text("Application")
    }

    /// `Application-UUID`: the `event-uuid` of the `sendmsg` that ran it.
    #[must_use]
    pub fn application_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Application-UUID")
    }

    /// `Application-Response`, such as `FILE PLAYED`.
    #[must_use]
    pub fn application_response(&self) -> Option<Cow<'_, str>> {
        self.text("Application-Response")
    }

    // ---- what an event of a conference says ----

    /// `Conference-Name`. Two rooms can bear it at once: key on [`Event::conference_uuid`].
    #[must_use]
    pub fn conference_name(&self) -> Option<Cow<'_, str>> {
        self.text("Conference-Name")
    }

    /// `Conference-Unique-ID`.
    #[must_use]
    pub fn conference_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Conference-Unique-ID")
    }

    /// `Conference-Size`: members without ghosts, as of this event.
    #[must_use]
    pub fn conference_size(&self) -> Option<u32> {
        self.parse("Conference-Size")
    }

    /// `Conference-Profile-Name`.
    #[must_use]
    pub fn conference_profile(&self) -> Option<Cow<'_, str>> {
        self.text("Conference-Profile-Name")
    }

    /// `Member-ID`: one counter per node, from 1 at its start; kept across rooms.
    #[must_use]
    pub fn member_id(&self) -> Option<u32> {
        self.parse("Member-ID")
    }

    /// `Member-Type`: `member` or `moderator`.
    #[must_use]
    pub fn member_type(&self) -> Option<Cow<'_, str>> {
        self.text("Member-Type")
    }

    /// `Error`: why a file or a recording did not start.
    #[must_use]
    pub fn error(&self) -> Option<Cow<'_, str>> {
        self.text("Error")
    }

    // ---- what the others say ----

    /// `Job-UUID` of a `BACKGROUND_JOB`.
    #[must_use]
    pub fn job_uuid(&self) -> Option<Cow<'_, str>> {
        self.text("Job-UUID")
    }

    /// `Session-Count` of a `HEARTBEAT`: channels on the node.
    #[must_use]
    pub fn session_count(&self) -> Option<u32> {
        self.parse("Session-Count")
    }

    /// `Max-Sessions` of a `HEARTBEAT`.
    #[must_use]
    pub fn max_sessions(&self) -> Option<u32> {
        self.parse("Max-Sessions")
    }

    /// `Idle-CPU` of a `HEARTBEAT`, in percent.
    #[must_use]
    pub fn idle_cpu(&self) -> Option<f64> {
        self.parse("Idle-CPU")
    }

    /// `Uptime-msec` of a `HEARTBEAT`: falls when the server restarts.
    #[must_use]
    pub fn uptime_ms(&self) -> Option<u64> {
        self.parse("Uptime-msec")
    }
}

impl fmt::Debug for Event {
    // Values carry names and numbers of callers, which do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("kind", &self.kind())
            .field("sequence", &self.sequence())
            .field("headers", &self.headers.len())
            .finish_non_exhaustive()
    }
}

/// Where the body of a plain event lies, that goes from `from` at most to `to`.
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

/// Of a header that repeats, the last counts.
///
/// Floor-change and play-file-member-done repeat the whole `Conference-*` block, a hang-up its
/// cause; a conference variable stands as a bare header in front of `Action`, so that the first of
/// that name could be a tenant's.
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

#[cfg(test)]
mod tests;
