//! The bytes that all readers read, and the values that they read of each event.
//!
//! Owns the recordings as one buffer, and which values the controller reads of which event. Leaves out the readers.

use std::borrow::Cow;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use freeswitch_esl::{ConferenceAction, ContentType, EventKind, Frame, FrameParser, Limits};

/// Returns the events of all recordings in one format, repeated until they have at least `bytes` bytes.
///
/// Only events: a connection has its other messages once, and one of the peers stops at the server's disconnect notice.
pub fn events(format: &str, bytes: usize) -> Bytes {
    let dir = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"));
    let mut scenarios: Vec<_> = fs::read_dir(dir.join(format))
        .expect("recordings")
        .map(|entry| entry.expect("a scenario").path())
        .collect();
    scenarios.sort();
    let mut once = Vec::new();
    for scenario in scenarios {
        let mut rest = Bytes::from(fs::read(scenario.join("events.esl")).expect("a recording"));
        let mut parser = FrameParser::new(Limits::default());
        while let Ok(frame) = Frame::take(&mut parser, &mut rest) {
            if matches!(
                frame.content_type(),
                ContentType::EventPlain | ContentType::EventJson
            ) {
                once.extend_from_slice(frame.wire());
            }
        }
    }
    Bytes::from(once.repeat(bytes.div_ceil(once.len())))
}

/// A class of events from which the controller reads the same values.
#[derive(Clone, Copy)]
pub enum EventClass {
    /// A member of a conference joined or changed: its identity and its flags.
    Member,
    /// A member left.
    Left,
    /// Anything else in a conference.
    Conference,
    /// A call was created, answered or parked: its identity.
    Call,
    /// A call ended.
    Ended,
    /// An application of a call ended.
    Step,
    /// An event that concerns neither rooms nor calls.
    Nothing,
}

impl EventClass {
    /// Classifies an event by its kind.
    pub fn from_kind(kind: &EventKind<'_>) -> Self {
        match kind {
            EventKind::Conference(action) => Self::from_action(action),
            EventKind::ChannelCreate | EventKind::ChannelAnswer | EventKind::ChannelPark => {
                Self::Call
            }
            EventKind::ChannelHangup
            | EventKind::ChannelHangupComplete
            | EventKind::ChannelDestroy => Self::Ended,
            EventKind::ChannelExecuteComplete => Self::Step,
            _ => Self::Nothing,
        }
    }

    /// Classifies an event by its header values, for clients without such a type. A subclass may be percent-encoded.
    pub fn from_headers<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        match get("Event-Name") {
            Some("CUSTOM") => match get("Event-Subclass") {
                Some("conference::maintenance" | "conference%3A%3Amaintenance") => {
                    let action = get("Action").unwrap_or_default();
                    Self::from_action(&ConferenceAction::from_wire(Cow::Borrowed(action)))
                }
                _ => Self::Nothing,
            },
            Some("CHANNEL_CREATE" | "CHANNEL_ANSWER" | "CHANNEL_PARK") => Self::Call,
            Some("CHANNEL_HANGUP" | "CHANNEL_HANGUP_COMPLETE" | "CHANNEL_DESTROY") => Self::Ended,
            Some("CHANNEL_EXECUTE_COMPLETE") => Self::Step,
            _ => Self::Nothing,
        }
    }

    fn from_action(action: &ConferenceAction<'_>) -> Self {
        match action {
            ConferenceAction::AddMember
            | ConferenceAction::FloorChange
            | ConferenceAction::MuteMember
            | ConferenceAction::UnmuteMember
            | ConferenceAction::DeafMember
            | ConferenceAction::UndeafMember
            | ConferenceAction::HoldMember
            | ConferenceAction::UnholdMember
            | ConferenceAction::StartTalking
            | ConferenceAction::StopTalking
            | ConferenceAction::DtmfMember
            | ConferenceAction::VolumeInMember
            | ConferenceAction::VolumeOutMember
            | ConferenceAction::EnergyLevelMember => Self::Member,
            ConferenceAction::DelMember => Self::Left,
            _ => Self::Conference,
        }
    }

    /// The headers that `reconciler::translate` reads of such an event, if its conference is a room.
    fn headers(self) -> [&'static [&'static str]; 4] {
        const EVERY: &[&str] = &["Core-UUID", "Event-Sequence", "Event-Date-Timestamp"];
        const ROOM: &[&str] = &["Conference-Name", "Conference-Unique-ID", "Conference-Size"];
        const FLAGS: &[&str] = &["Unique-ID", "Speak", "Hear", "Hold", "Talking"];
        const CALLER: &[&str] = &[
            "Answer-State",
            "Caller-Channel-Created-Time",
            "Caller-Direction",
            "Caller-Caller-ID-Number",
            "Caller-Profile-Index",
            "Caller-Destination-Number",
            "Call-Direction",
            "variable_roomkeeper_app",
            "Caller-Channel-Answered-Time",
        ];
        const CAUSE: &[&str] = &["Unique-ID", "Hangup-Cause"];
        match self {
            Self::Member => [EVERY, ROOM, FLAGS, CALLER],
            Self::Left => [EVERY, ROOM, CAUSE, &[]],
            Self::Conference => [EVERY, ROOM, &[], &[]],
            Self::Call => [EVERY, &["Unique-ID"], CALLER, &[]],
            Self::Ended => [EVERY, CAUSE, &[], &[]],
            Self::Step => [
                EVERY,
                &["Application-UUID", "Application-Response"],
                &["Unique-ID"],
                &[],
            ],
            Self::Nothing => [&[]; 4],
        }
    }

    /// Reads these headers.
    pub fn values<T>(self, get: impl Fn(&'static str) -> Option<T>) {
        for name in self.headers().into_iter().flatten() {
            black_box(get(name));
        }
    }

    /// The number of these headers.
    pub fn count(self) -> usize {
        self.headers().map(<[_]>::len).iter().sum()
    }
}
