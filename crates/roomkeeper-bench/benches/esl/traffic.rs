//! The bytes that all read, and what is read of each event.
//!
//! Owns the recordings as one buffer, and which values the controller reads of which event. Leaves
//! out who reads.

use std::borrow::Cow;
use std::fs;
use std::hint::black_box;
use std::path::Path;

use bytes::Bytes;
use freeswitch_esl::{ConferenceAction, ContentType, EventKind, Frame, FrameParser, Limits};

/// The events of all recordings in one format, again and again until there are so many bytes.
///
/// Events alone: a connection says what else there is once, and one of the peers ends at the notice
/// that the server is about to close.
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

/// What an event is, as far as it decides what is read of it.
#[derive(Clone, Copy)]
pub enum Read {
    /// A member of a conference came or changed: who it is, what it may.
    Member,
    /// A member left.
    Left,
    /// Anything else in a conference.
    Conference,
    /// A call came, was answered, was parked: who it is.
    Call,
    /// A call ended.
    Ended,
    /// An application of a call ended.
    Step,
    /// Nothing that rooms or calls are about.
    Nothing,
}

impl Read {
    /// By what the event is.
    pub fn of(kind: &EventKind<'_>) -> Self {
        match kind {
            EventKind::Conference(action) => Self::of_action(action),
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

    /// By the names that stand on the wire, for those who have no such type. A subclass may be
    /// percent-encoded.
    pub fn named<'a>(get: impl Fn(&'static str) -> Option<&'a str>) -> Self {
        match get("Event-Name") {
            Some("CUSTOM") => match get("Event-Subclass") {
                Some("conference::maintenance" | "conference%3A%3Amaintenance") => {
                    let action = get("Action").unwrap_or_default();
                    Self::of_action(&ConferenceAction::from_wire(Cow::Borrowed(action)))
                }
                _ => Self::Nothing,
            },
            Some("CHANNEL_CREATE" | "CHANNEL_ANSWER" | "CHANNEL_PARK") => Self::Call,
            Some("CHANNEL_HANGUP" | "CHANNEL_HANGUP_COMPLETE" | "CHANNEL_DESTROY") => Self::Ended,
            Some("CHANNEL_EXECUTE_COMPLETE") => Self::Step,
            _ => Self::Nothing,
        }
    }

    fn of_action(action: &ConferenceAction<'_>) -> Self {
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

    /// The headers that `reconciler::translate` then reads, for a conference that is a room.
    fn headers(self) -> [&'static [&'static str]; 4] {
        const EVERY: &[&str] = &["Core-UUID", "Event-Sequence", "Event-Date-Timestamp"];
        const ROOM: &[&str] = &["Conference-Name", "Conference-Unique-ID", "Conference-Size"];
        const FLAGS: &[&str] = &["Unique-ID", "Speak", "Hear", "Hold", "Talking"];
        const WHO: &[&str] = &[
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
            Self::Member => [EVERY, ROOM, FLAGS, WHO],
            Self::Left => [EVERY, ROOM, CAUSE, &[]],
            Self::Conference => [EVERY, ROOM, &[], &[]],
            Self::Call => [EVERY, &["Unique-ID"], WHO, &[]],
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

    /// Reads them.
    pub fn values<T>(self, get: impl Fn(&'static str) -> Option<T>) {
        for name in self.headers().into_iter().flatten() {
            black_box(get(name));
        }
    }

    /// How many they are.
    pub fn count(self) -> usize {
        self.headers().map(<[_]>::len).iter().sum()
    }
}
