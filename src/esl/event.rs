//! What FreeSWITCH tells: an event, in one type for both of its formats.
//!
//! Owns the inner level of an event message: its headers, its body, how values are written, and
//! each oddity of FreeSWITCH in that, as a function named `quirk_*`. Leaves out what follows from
//! an event; the reconciler reads it through the accessors here and never sees the format.
//!
//! An [`Event`] is the message's bytes and the places of its headers in them. Values are decoded
//! when they are asked for: to decode all of some ninety headers for the five that are read costs
//! thirteen times as much. An event keeps the read buffer alive that it was cut from (64 KiB);
//! what is kept for long goes through [`Event::detached`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use memchr::memchr;

use super::frame::{ContentType, Frame};
use super::parser::{self, HeaderSpan, Limits, ParseError, Shape};

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

/// The events we act on, by `Event-Name`, and for `CUSTOM` by `Event-Subclass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind<'a> {
    /// `CHANNEL_CREATE`
    ChannelCreate,
    /// `CHANNEL_ANSWER`
    ChannelAnswer,
    /// `CHANNEL_PARK`
    ChannelPark,
    /// `CHANNEL_UNPARK`
    ChannelUnpark,
    /// `CHANNEL_BRIDGE`
    ChannelBridge,
    /// `CHANNEL_EXECUTE_COMPLETE`
    ChannelExecuteComplete,
    /// `CHANNEL_HANGUP`
    ChannelHangup,
    /// `CHANNEL_HANGUP_COMPLETE`
    ChannelHangupComplete,
    /// `CHANNEL_DESTROY`
    ChannelDestroy,
    /// `BACKGROUND_JOB`
    BackgroundJob,
    /// `HEARTBEAT`
    Heartbeat,
    /// `SHUTDOWN`
    Shutdown,
    /// `CUSTOM conference::maintenance`, by its `Action`.
    Conference(ConferenceAction<'a>),
    /// Any other `CUSTOM`, by its `Event-Subclass`.
    Custom(Cow<'a, str>),
    /// Any other event, by its name.
    Other(Cow<'a, str>),
}

/// The subclass under which mod_conference tells of its rooms.
pub const CONFERENCE_SUBCLASS: &str = "conference::maintenance";

macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident = $wire:literal,)*) => {
        /// What happened in a conference: `Action` of a `conference::maintenance` event.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum ConferenceAction<'a> {
            $($(#[$doc])* $variant,)*
            /// Any other action, as written; empty if the event has none.
            Other(Cow<'a, str>),
        }

        impl<'a> ConferenceAction<'a> {
            /// The action that is written so.
            #[must_use]
            pub fn from_wire(action: Cow<'a, str>) -> Self {
                match action.as_ref() {
                    $($wire => Self::$variant,)*
                    _ => Self::Other(action),
                }
            }

            /// As it stands on the wire.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $wire,)*
                    Self::Other(action) => action,
                }
            }

            /// Every action that has a name here.
            pub const KNOWN: &'static [&'static str] = &[$($wire),*];
        }
    };
}

actions! {
    /// The room exists; it has no member yet, and may never have one.
    ConferenceCreate = "conference-create",
    /// The room is gone. Can come after the next room of its name was created.
    ConferenceDestroy = "conference-destroy",
    /// A member is in; the size counts it already. Joined muted shows only as `Speak: false`.
    AddMember = "add-member",
    /// A member is out; the size is without it.
    DelMember = "del-member",
    /// Told also when it was muted already.
    MuteMember = "mute-member",
    /// Told also when it was not muted.
    UnmuteMember = "unmute-member",
    /// Cannot hear.
    DeafMember = "deaf-member",
    /// Can hear.
    UndeafMember = "undeaf-member",
    /// Held: neither speaks nor hears, and is not muted.
    HoldMember = "hold-member",
    /// No longer held.
    UnholdMember = "unhold-member",
    /// An intent; [`ConferenceAction::DelMember`] is the fact.
    KickMember = "kick-member",
    /// An intent, like kick, that ends the call too.
    HupMember = "hup-member",
    /// Speaks.
    StartTalking = "start-talking",
    /// Went silent. Not told when a talker is muted or held.
    StopTalking = "stop-talking",
    /// `Old-ID`, `New-ID`; no member block when the holder left.
    FloorChange = "floor-change",
    /// A file was queued; with `Error` it was not, and nothing follows.
    PlayFile = "play-file",
    /// A file was closed. Can precede its [`ConferenceAction::PlayFile`].
    PlayFileDone = "play-file-done",
    /// A file was queued for one member.
    PlayFileMember = "play-file-member",
    /// It was closed; no member block if the member left.
    PlayFileMemberDone = "play-file-member-done",
    /// Without `Error` the recording runs.
    StartRecording = "start-recording",
    /// The recording ended.
    StopRecording = "stop-recording",
    /// The recording pauses.
    PauseRecording = "pause-recording",
    /// The recording goes on.
    ResumeRecording = "resume-recording",
    /// To another room, by `Old-`/`New-Conference-Name`; leave and join follow.
    Transfer = "transfer",
    /// No one else gets in.
    Lock = "lock",
    /// Open again.
    Unlock = "unlock",
    /// `Digits` were dialled.
    DtmfMember = "dtmf-member",
    /// Volume of what the member says.
    VolumeInMember = "volume-in-member",
    /// Volume of what the member hears.
    VolumeOutMember = "volume-out-member",
    /// Threshold of talking.
    EnergyLevelMember = "energy-level-member",
    /// An outbound call of a room ended in `Result`.
    BgdialResult = "bgdial-result",
    /// The one refused join that is told of.
    RejectedJoinOnly = "rejected-join-only",
}

/// One event. Cheap to clone but for its index of headers.
#[derive(Clone)]
pub struct Event {
    bytes: Bytes,
    headers: Vec<HeaderSpan>,
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
        // The two that are needed at once are picked up on the way; of repeated ones, the last.
        let (mut name, mut length) = (None, None);
        let push = |span: HeaderSpan| {
            if span.is_named(&bytes, b"Event-Name") {
                name = Some(span);
            } else if span.is_named(&bytes, b"Content-Length") {
                length = Some(span);
            }
            headers.push(span);
        };
        let body = if json {
            parser::json_object(&bytes, start, limits, push).map_err(EventError::Headers)?;
            Body::Header
        } else {
            let end =
                parser::header_block(&bytes, start, limits, push).map_err(EventError::Headers)?;
            match length {
                Some(length) => plain_body(length.value(&bytes), end, bytes.len())?,
                None => Body::None,
            }
        };
        // A body of megabytes makes the guess far too high.
        if headers.capacity() > 2 * headers.len() + 64 {
            headers.shrink_to_fit();
        }
        Ok(Self {
            name: name.ok_or(EventError::NoName)?,
            bytes,
            headers,
            body,
        })
    }

    // ---- headers ----

    #[inline]
    fn find(&self, name: &str) -> Option<&HeaderSpan> {
        quirk_last_of_repeated(&self.bytes, &self.headers, name)
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

    fn decode(&self, span: &HeaderSpan) -> Cow<'_, str> {
        let raw = span.value(&self.bytes);
        match span.shape() {
            Shape::Line => {
                quirk_any_bytes(quirk_percent_and_literal_plus(quirk_undef_is_empty(raw)))
            }
            Shape::JsonString => quirk_any_bytes(json_unescape(quirk_undef_is_empty(raw))),
            Shape::JsonScalar => String::from_utf8_lossy(raw),
            Shape::JsonArray => {
                let mut text = String::from(ARRAY);
                for (n, item) in json_items(raw).iter().enumerate() {
                    if n > 0 {
                        text.push_str(ARRAY_SEPARATOR);
                    }
                    text.push_str(item);
                }
                Cow::Owned(text)
            }
        }
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
        Some(match span.shape() {
            Shape::JsonArray => json_items(span.value(&self.bytes)),
            Shape::Line | Shape::JsonString | Shape::JsonScalar => {
                quirk_array_in_a_string(self.decode(span))
            }
        })
    }

    /// All headers in the order they came, repeats included, names as written, values decoded.
    pub fn headers(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        self.headers.iter().map(|span| {
            let name = span.name(&self.bytes);
            let name = match span.shape() {
                Shape::Line => String::from_utf8_lossy(name),
                Shape::JsonString | Shape::JsonArray | Shape::JsonScalar => {
                    quirk_any_bytes(json_unescape(name))
                }
            };
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
            Body::Header => self.get_raw("_body").map(json_unescape),
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
                let subclass = self.get("Event-Subclass").unwrap_or_default();
                if subclass == CONFERENCE_SUBCLASS {
                    let action = self.get("Action").unwrap_or_default();
                    EventKind::Conference(ConferenceAction::from_wire(action))
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

// ---- how FreeSWITCH writes values ----

/// How an array starts where values are strings.
const ARRAY: &str = "ARRAY::";
/// What stands between its elements.
const ARRAY_SEPARATOR: &str = "|:";

/// Of a header that repeats, the last counts.
///
/// Floor-change and play-file-member-done repeat the whole `Conference-*` block, a hang-up its
/// cause; a conference variable stands as a bare header in front of `Action`, so that the first of
/// that name could be a tenant's.
#[inline]
fn quirk_last_of_repeated<'a>(
    message: &[u8],
    headers: &'a [HeaderSpan],
    name: &str,
) -> Option<&'a HeaderSpan> {
    headers
        .iter()
        .rev()
        .find(|span| span.is_named(message, name.as_bytes()))
}

/// An empty value is written `_undef_` in a plain event, since an empty header would be dropped.
#[inline]
fn quirk_undef_is_empty(raw: &[u8]) -> &[u8] {
    if raw == b"_undef_" { b"" } else { raw }
}

/// Values of a plain event are percent-encoded, but not as a form is: `+` is a plus. A `%` that no
/// two hex digits follow is itself. What stood as `%41` in the value is not escaped again by the
/// server, and cannot be told from an `A`.
#[inline]
fn quirk_percent_and_literal_plus(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'%', raw) else {
        return Cow::Borrowed(raw);
    };
    let (done, mut rest) = raw.split_at(first);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(done);
    loop {
        match rest {
            [b'%', high, low, tail @ ..] => match hex(*high).zip(hex(*low)) {
                Some((high, low)) => {
                    out.push(high << 4 | low);
                    rest = tail;
                }
                None => {
                    out.push(b'%');
                    rest = &rest[1..];
                }
            },
            [b'%', ..] => {
                out.extend_from_slice(rest);
                return Cow::Owned(out);
            }
            _ => {}
        }
        match memchr(b'%', rest) {
            Some(at) => {
                out.extend_from_slice(&rest[..at]);
                rest = &rest[at..];
            }
            None => {
                out.extend_from_slice(rest);
                return Cow::Owned(out);
            }
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|n| u8::try_from(n).ok())
}

/// Nothing is validated on its way through FreeSWITCH: a caller's name can hold any bytes. They
/// must not cost the event, since a member has joined whatever its name is.
#[inline]
fn quirk_any_bytes(value: Cow<'_, [u8]>) -> Cow<'_, str> {
    match value {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(
            String::from_utf8(bytes)
                .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()),
        ),
    }
}

/// Where values are strings, an array is one string `ARRAY::a|:b`; an element that holds `|:`
/// cannot be told from two.
fn quirk_array_in_a_string(value: Cow<'_, str>) -> Vec<Cow<'_, str>> {
    match value {
        Cow::Borrowed(text) => match text.strip_prefix(ARRAY) {
            Some(items) => items.split(ARRAY_SEPARATOR).map(Cow::Borrowed).collect(),
            None => vec![Cow::Borrowed(text)],
        },
        Cow::Owned(text) => match text.strip_prefix(ARRAY) {
            Some(items) => items
                .split(ARRAY_SEPARATOR)
                .map(|item| Cow::Owned(item.to_owned()))
                .collect(),
            None => vec![Cow::Owned(text)],
        },
    }
}

/// The inside of a JSON string without its escapes. An escape that JSON does not have stands for
/// itself, half of a surrogate pair for U+FFFD.
fn json_unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', raw) else {
        return Cow::Borrowed(raw);
    };
    let (done, mut rest) = raw.split_at(first);
    let mut out = Vec::with_capacity(raw.len());
    out.extend_from_slice(done);
    while let [b'\\', escape, tail @ ..] = rest {
        rest = tail;
        match escape {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'"' | b'\\' | b'/' => out.push(*escape),
            b'u' => {
                let (text, tail) = unicode_escape(rest);
                out.extend_from_slice(text.encode_utf8(&mut [0; 4]).as_bytes());
                rest = tail;
            }
            other => out.extend_from_slice(&[b'\\', *other]),
        }
        let plain = memchr(b'\\', rest).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..plain]);
        rest = &rest[plain..];
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

fn four_hex(input: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, tail) = input.split_first_chunk::<4>()?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | u32::from(hex(*digit)?);
    }
    Some((unit, tail))
}

/// The character behind `\u`, with the second half of a pair if there is one.
fn unicode_escape(input: &[u8]) -> (char, &[u8]) {
    let Some((unit, tail)) = four_hex(input) else {
        return (char::REPLACEMENT_CHARACTER, input);
    };
    if let Some(found) = char::from_u32(unit) {
        return (found, tail);
    }
    if (0xD800..0xDC00).contains(&unit)
        && let Some((low, after)) = tail.strip_prefix(b"\\u").and_then(four_hex)
        && (0xDC00..0xE000).contains(&low)
        && let Some(found) = char::from_u32(0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
    {
        return (found, after);
    }
    (char::REPLACEMENT_CHARACTER, tail)
}

fn json_items(raw: &[u8]) -> Vec<Cow<'_, str>> {
    let mut items = Vec::new();
    // The array was walked once when the event was indexed, so it parses.
    let _parsed = parser::json_array(raw, |item, shape| {
        items.push(match shape {
            Shape::JsonString => quirk_any_bytes(json_unescape(item)),
            Shape::JsonScalar | Shape::JsonArray | Shape::Line => String::from_utf8_lossy(item),
        });
    });
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(content_type: &str, body: &[u8]) -> Result<Event, EventError> {
        let mut wire = format!(
            "Content-Length: {}\nContent-Type: {content_type}\n\n",
            body.len()
        )
        .into_bytes();
        wire.extend_from_slice(body);
        Event::from_frame(Frame::from_bytes(wire).unwrap())
    }

    fn plain(body: &str) -> Event {
        event("text/event-plain", body.as_bytes()).unwrap()
    }

    fn json(body: &str) -> Event {
        event("text/event-json", body.as_bytes()).unwrap()
    }

    #[test]
    fn the_last_of_repeated_headers_counts() {
        let e = plain(
            "Event-Name: CUSTOM\nEvent-Subclass: conference%3A%3Amaintenance\n\
             Action: lock\nAction: add-member\n\n",
        );
        assert_eq!(e.kind(), EventKind::Conference(ConferenceAction::AddMember));
        let e = json(r#"{"Event-Name":"X","Action":"lock","Action":"unlock"}"#);
        assert_eq!(e.get("Action").unwrap(), "unlock");
        assert_eq!(e.header_count(), 3);
    }

    #[test]
    fn undef_is_empty() {
        let e = plain("Event-Name: X\nA: _undef_\nB:\nC: \n\n");
        for name in ["A", "B", "C"] {
            assert_eq!(e.get(name).unwrap(), "", "{name}");
            assert_eq!(e.text(name), None);
        }
        assert_eq!(e.get_raw("A").unwrap(), b"_undef_");
        assert_eq!(json(r#"{"Event-Name":"X","A":"_undef_"}"#).text("A"), None);
    }

    #[test]
    fn plus_is_a_plus_and_percent_is_lazy() {
        let e = plain("Event-Name: X\nA: 1+1%20%2b%2B%7B%zz%4\nB: %\nC: %2\nD: %%41\n\n");
        assert_eq!(e.get("A").unwrap(), "1+1 ++{%zz%4");
        assert_eq!(e.get("B").unwrap(), "%");
        assert_eq!(e.get("C").unwrap(), "%2");
        assert_eq!(e.get("D").unwrap(), "%A");
        assert!(matches!(e.get("Event-Name"), Some(Cow::Borrowed("X"))));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_cost_the_event() {
        let e = event("text/event-plain", b"Event-Name: X\nA: \xff%FFa\n\n").unwrap();
        assert_eq!(e.get("A").unwrap(), "\u{fffd}\u{fffd}a");
        let e = event(
            "text/event-json",
            b"{\"Event-Name\":\"X\",\"A\":\"\xff\x01\n\",\"B\":\"\xe9\\n\"}",
        )
        .unwrap();
        assert_eq!(e.get("A").unwrap(), "\u{fffd}\u{1}\n");
        assert_eq!(e.get("B").unwrap(), "\u{fffd}\n");
        assert_eq!(e.get_raw("A").unwrap(), b"\xff\x01\n");
    }

    #[test]
    fn arrays_read_alike() {
        let p = plain("Event-Name: X\nA: ARRAY%3A%3Aa%7C%3Ab%20c\nB: ARRAY::a|:b c\nC: one\n\n");
        let j = json(r#"{"Event-Name":"X","A":["a","b c"],"B":[ "a" , "b c" ],"C":"one","D":[]}"#);
        for e in [&p, &j] {
            for name in ["A", "B"] {
                assert_eq!(e.list(name).unwrap(), ["a", "b c"]);
                assert_eq!(e.get(name).unwrap(), "ARRAY::a|:b c");
            }
            assert_eq!(e.list("C").unwrap(), ["one"]);
        }
        assert!(j.list("D").unwrap().is_empty());
    }

    #[test]
    fn the_body_of_a_job_is_raw() {
        let p = plain("Event-Name: BACKGROUND_JOB\nContent-Length: 9\n\n+OK a%20\n");
        assert_eq!(p.kind(), EventKind::BackgroundJob);
        assert_eq!(p.body().unwrap().as_ref(), b"+OK a%20\n");
        assert_eq!(p.body_bytes().unwrap().as_ref(), b"+OK a%20\n");
        let j =
            json(r#"{"Event-Name":"BACKGROUND_JOB","Content-Length":"9","_body":"+OK a%20\n"}"#);
        assert_eq!(j.body().unwrap().as_ref(), b"+OK a%20\n");
        assert_eq!(j.body_bytes().unwrap().as_ref(), b"+OK a%20\n");
        assert_eq!(plain("Event-Name: X\n\n").body(), None);
    }

    #[test]
    fn json_escapes() {
        let e = json(r#"{"Event-Name":"X","A":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83dx\q\u12"}"#);
        assert_eq!(
            e.get("A").unwrap(),
            "\"\\/\u{8}\u{c}\n\r\té😀\u{fffd}x\\q\u{fffd}12"
        );
    }

    #[test]
    fn carriage_returns_are_line_ends_too() {
        let e = plain("Event-Name: HEARTBEAT\r\nUptime-msec: 12\r\n\r\n");
        assert_eq!(e.kind(), EventKind::Heartbeat);
        assert_eq!(e.uptime_ms(), Some(12));
    }

    #[test]
    fn names_may_hold_colons() {
        let e = plain("Event-Name: X\na::b:c: d: e\n\n");
        assert_eq!(e.get("a::b:c").unwrap(), "d: e");
    }

    #[test]
    fn what_is_no_event_is_a_typed_error() {
        let err = |t: &str, b: &str| event(t, b.as_bytes()).unwrap_err();
        assert_eq!(err("text/event-plain", "A: b\n\n"), EventError::NoName);
        assert_eq!(err("text/event-plain", ""), EventError::NoName);
        assert!(matches!(
            err("text/event-plain", "nonsense\n\n"),
            EventError::Headers(ParseError::HeaderLine { .. })
        ));
        assert!(matches!(
            err("text/event-plain", "Event-Name: X\nContent-Length: 5\n\nab"),
            EventError::Body {
                declared: 5,
                held: 2
            }
        ));
        assert!(matches!(
            err(
                "text/event-plain",
                "Event-Name: X\nContent-Length: -5\n\nab"
            ),
            EventError::Headers(ParseError::ContentLength)
        ));
        assert!(matches!(
            err("text/event-xml", "<event/>"),
            EventError::NotAnEvent {
                content_type: ContentType::EventXml
            }
        ));
        for (n, bad) in [
            "",
            "{",
            "[]",
            "{}x",
            "{\"Event-Name\"}",
            "{\"Event-Name\":}",
            "{\"Event-Name\":\"X",
            "{\"Event-Name\":\"X\"",
            "{\"Event-Name\":\"X\",}",
            "{\"a\":{}}",
            "{\"a\":[[]]}",
            "{\"a\":[\"b\"",
            "{\"a\" \"b\"}",
            "{\"a\":\"b\\",
        ]
        .into_iter()
        .enumerate()
        {
            assert!(
                matches!(err("text/event-json", bad), EventError::Headers(_)),
                "{n}: {bad}"
            );
        }
        assert_eq!(err("text/event-json", " { } "), EventError::NoName);
    }

    #[test]
    fn too_many_headers_are_a_typed_error() {
        let many = "A: b\n".repeat(1_025);
        assert_eq!(
            event("text/event-plain", many.as_bytes()).unwrap_err(),
            EventError::Headers(ParseError::HeaderCount { limit: 1_024 })
        );
        let long = format!("A: {}\n\n", "b".repeat(256 * 1024));
        assert_eq!(
            event("text/event-plain", long.as_bytes()).unwrap_err(),
            EventError::Headers(ParseError::HeaderBytes { limit: 256 * 1024 })
        );
    }

    #[test]
    fn every_action_reads_back() {
        for wire in ConferenceAction::KNOWN {
            let action = ConferenceAction::from_wire(Cow::Borrowed(wire));
            assert_eq!(action.as_str(), *wire);
            assert!(!matches!(action, ConferenceAction::Other(_)));
        }
        let other = ConferenceAction::from_wire(Cow::Borrowed("video-refresh"));
        assert_eq!(other.as_str(), "video-refresh");
    }
}
