//! Decodes recordings of a real server, cut into pieces in various ways.
//!
//! Each recording has its `expected_events.txt`: a line per message of both connections, written by this code and
//! checked once with another parser of the format. `UPDATE_EXPECTED=1` rewrites it.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "what is not expected here may panic"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use freeswitch_esl::{
    CodecError, ConferenceAction, ContentType, EslCodec, Event, EventKind, Frame, FrameParser,
    Limits, ParseError, Unfinished,
};
use proptest::prelude::*;
use tokio_util::codec::Decoder;

fn scenarios() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut found = Vec::new();
    for format in ["plain", "json"] {
        for entry in fs::read_dir(fixtures.join(format)).unwrap() {
            found.push(entry.unwrap().path());
        }
    }
    found.sort();
    assert_eq!(found.len(), 15);
    found
}

fn recordings() -> Vec<(String, Vec<u8>)> {
    scenarios()
        .iter()
        .flat_map(|dir| ["events.esl", "commands.esl"].map(|file| dir.join(file)))
        .map(|path| (path.display().to_string(), fs::read(&path).unwrap()))
        .collect()
}

/// Feeds the pieces one after another. Returns the frames as on the wire, and the number of bytes left at the end.
fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Frame>, usize) {
    let mut codec = EslCodec::default();
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(frame) = codec.decode(&mut buffer).unwrap() {
            frames.push(frame);
        }
    }
    let left = buffer.len();
    match codec.decode_eof(&mut buffer) {
        Ok(None) => assert_eq!(left, 0),
        Err(CodecError::CutShort { bytes }) => assert_eq!(left, bytes),
        other => panic!("{other:?}"),
    }
    (frames, left)
}

fn is_event(frame: &Frame) -> bool {
    matches!(
        frame.content_type(),
        ContentType::EventPlain | ContentType::EventJson
    )
}

/// Formats a frame as one line, with enough detail to notice a decoding error.
fn line(frame: &Frame) -> String {
    if !is_event(frame) {
        let text = frame.reply_text();
        let first = String::from_utf8_lossy(frame.body());
        let first = first.lines().next().unwrap_or_default();
        let line = format!(
            "{} | {text} | {} {}",
            frame.content_type(),
            frame.body().len(),
            first.chars().take(60).collect::<String>()
        );
        return line.trim_end().to_owned();
    }
    let event = Event::from_frame(frame.clone()).unwrap();
    let id = event.unique_id().unwrap_or_default();
    let mut line = format!(
        "{} {} {} | {} | {} headers",
        event.sequence().unwrap(),
        event.name(),
        event.get("Action").unwrap_or_default(),
        id.get(..8).unwrap_or("-"),
        event.header_count(),
    );
    if let Some(room) = event.conference_uuid() {
        let size = event.conference_size().unwrap();
        write!(line, " | {} size {size}", &room[..8]).unwrap();
        if let Some(member) = event.member_id() {
            let flag = |name| event.flag(name).map_or('-', |b| if b { 'y' } else { 'n' });
            write!(line, " member {member} ").unwrap();
            line.extend(["Speak", "Hear", "Hold", "Talking"].map(flag));
        }
    }
    if let Some(cause) = event.hangup_cause() {
        write!(line, " | {cause}").unwrap();
    }
    if let Some(body) = event.body() {
        write!(line, " | body {}", body.len()).unwrap();
    }
    line.trim_end().to_owned()
}

fn summary(dir: &Path) -> String {
    let mut text = String::new();
    for file in ["events.esl", "commands.esl"] {
        let bytes = fs::read(dir.join(file)).unwrap();
        let (frames, left) = feed([bytes.as_slice()]);
        let events = frames.iter().filter(|f| is_event(f)).count();
        writeln!(
            text,
            "# {file}: {} messages, {events} events, {left} bytes of an unfinished one",
            frames.len()
        )
        .unwrap();
        for frame in &frames {
            writeln!(text, "{}", line(frame)).unwrap();
        }
    }
    text
}

#[test]
fn every_recording_decodes_as_expected() {
    for dir in scenarios() {
        let path = dir.join("expected_events.txt");
        let read = summary(&dir);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, &read).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap();
        for (n, (read, expected)) in read.lines().zip(expected.lines()).enumerate() {
            assert_eq!(read, expected, "{} line {}", dir.display(), n + 1);
        }
        assert_eq!(read, expected, "{}", dir.display());
    }
}

/// A small deterministic generator: a failure must be reproducible.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

fn random_pieces(bytes: &[u8], seed: u64) -> Vec<&[u8]> {
    let mut random = Seeded(seed);
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let limit = [3, 40, 700, 9_000][random.below(4)];
        let (piece, after) = rest.split_at((1 + random.below(limit)).min(rest.len()));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[test]
fn decoding_is_independent_of_cuts() {
    for (name, bytes) in recordings() {
        let (whole, left) = feed([bytes.as_slice()]);
        let wire: Vec<&[u8]> = whole.iter().map(Frame::wire).collect();
        let total: usize = wire.iter().map(|w| w.len()).sum();
        assert_eq!(total + left, bytes.len(), "{name}: nothing is lost");
        let same = |pieces: Vec<&[u8]>, how: &str| {
            let (frames, after) = feed(pieces);
            let read: Vec<&[u8]> = frames.iter().map(Frame::wire).collect();
            assert!(read == wire && after == left, "{name} {how}");
        };
        for size in [1, 7, 64 * 1024] {
            same(
                bytes.chunks(size).collect(),
                &format!("in pieces of {size}"),
            );
        }
        for seed in 1..=8 {
            same(random_pieces(&bytes, seed), &format!("seed {seed}"));
        }
    }
}

#[test]
fn buffer_decodes_like_a_stream() {
    for (name, bytes) in recordings() {
        let (streamed, _) = feed([bytes.as_slice()]);
        let mut rest = Bytes::from(bytes);
        let mut parser = FrameParser::new(Limits::default());
        for frame in &streamed {
            let taken = Frame::take(&mut parser, &mut rest).unwrap();
            assert_eq!(taken.wire(), frame.wire(), "{name}");
        }
        assert!(matches!(
            Frame::take(&mut parser, &mut rest),
            Err(Unfinished::Incomplete(_))
        ));
    }
}

fn events(scenario: &str) -> Vec<Event> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let bytes = fs::read(path.join(scenario).join("events.esl")).unwrap();
    let (frames, _) = feed([bytes.as_slice()]);
    frames
        .into_iter()
        .filter(is_event)
        .map(|frame| Event::from_frame(frame).unwrap())
        .collect()
}

fn conference_actions(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter_map(|event| match event.kind() {
            EventKind::Conference(action) => Some(action.as_str().to_owned()),
            _ => None,
        })
        .collect()
}

/// Two runs of one script: ids and times differ, and some events change places, but the content is the same.
#[test]
fn both_formats_decode_to_the_same_events() {
    for scenario in ["join_mute_leave", "playback", "talk_floor"] {
        let plain = events(&format!("plain/{scenario}"));
        let json = events(&format!("json/{scenario}"));
        let sorted = |events: &[Event]| {
            let mut actions = conference_actions(events);
            // The script does not determine talking and the floor.
            actions.retain(|a| !a.contains("talking") && a != "floor-change");
            actions.sort();
            actions
        };
        assert_eq!(sorted(&plain), sorted(&json), "{scenario}");
        for (action, speak) in [
            (ConferenceAction::AddMember, "Speak"),
            (ConferenceAction::DelMember, "Hear"),
            (ConferenceAction::MuteMember, "Speak"),
            (ConferenceAction::UnmuteMember, "Speak"),
        ] {
            let contents = |events: &[Event]| -> Vec<_> {
                let mut contents: Vec<_> = events
                    .iter()
                    .filter(|e| e.kind() == EventKind::Conference(action.clone()))
                    .map(|e| {
                        (
                            e.flag(speak),
                            e.conference_size(),
                            e.text("Member-Type").map(String::from),
                            e.caller_name().map(String::from),
                            e.caller_number().map(String::from),
                            e.text("Conference-Profile-Name").map(String::from),
                        )
                    })
                    .collect();
                contents.sort();
                contents
            };
            assert_eq!(contents(&plain), contents(&json), "{scenario} {action:?}");
        }
        let jobs = |events: &[Event]| -> Vec<String> {
            events
                .iter()
                .filter(|e| e.kind() == EventKind::BackgroundJob)
                .map(|e| {
                    let text = String::from_utf8(e.body().unwrap().into_owned()).unwrap();
                    // The node chooses a member's number.
                    match text.split_once(" to member ") {
                        Some((before, _)) => before.to_owned(),
                        None => text,
                    }
                })
                .collect()
        };
        assert_eq!(jobs(&plain), jobs(&json), "{scenario}");
        for event in plain.iter().chain(&json) {
            assert!(event.sequence().is_some() && event.timestamp_us().is_some());
            assert_eq!(event.core_uuid().unwrap().len(), 36);
            if let Some(history) = event.list("variable_transfer_history") {
                assert!(
                    history.iter().all(|h| h.contains(":bl_xfer:")),
                    "{history:?}"
                );
            }
        }
    }
}

#[test]
fn detached_event_equals_the_original() {
    for event in events("plain/playback") {
        let copy = event.detached();
        assert!(event.headers().eq(copy.headers()));
        assert_eq!(event.body(), copy.body());
    }
}

// ---- bounds ----

fn refuses(pieces: impl Iterator<Item = Vec<u8>>, limit: usize) -> ParseError {
    let mut codec = EslCodec::default();
    let mut buffer = BytesMut::new();
    for piece in pieces {
        buffer.extend_from_slice(&piece);
        assert!(buffer.len() <= limit, "{} bytes are held", buffer.len());
        match codec.decode(&mut buffer) {
            Ok(None) => {}
            Ok(Some(frame)) => panic!("{frame:?}"),
            Err(CodecError::Parse(error)) => return error,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the input was never refused");
}

#[test]
fn header_block_longer_than_limit_is_refused() {
    let limit = 256 * 1024;
    let error = refuses(std::iter::repeat(b"A: b\n".to_vec()), limit + 10);
    assert_eq!(error, ParseError::HeaderBytes { limit });
    let error = refuses(std::iter::repeat(vec![b'a'; 1_000]), limit + 1_100);
    assert_eq!(error, ParseError::HeaderBytes { limit });
}

#[test]
fn too_many_headers_are_refused() {
    let mut block = b"A: b\n".repeat(1_025);
    block.push(b'\n');
    let error = refuses(std::iter::once(block), 8_000);
    assert_eq!(error, ParseError::HeaderCount { limit: 1_024 });
}

#[test]
fn body_larger_than_limit_is_refused_before_it_arrives() {
    let head =
        |kind: &str, n: u64| format!("Content-Length: {n}\nContent-Type: {kind}\n\n").into_bytes();
    let limit = 4 * 1024 * 1024;
    for n in [limit as u64 + 1, u64::MAX] {
        let error = refuses(std::iter::once(head("text/event-plain", n)), 100);
        assert_eq!(error, ParseError::BodyTooLarge { declared: n, limit });
    }
    for bad in ["-1", "", "1x", "99999999999999999999", "+1", " 1"] {
        let wire = format!("Content-Type: api/response\nContent-Length: {bad}\n\n");
        let error = refuses(std::iter::once(wire.into_bytes()), 200);
        assert_eq!(error, ParseError::ContentLength, "{bad:?}");
    }
}

#[test]
fn pending_job_allows_a_larger_body() {
    let size = 7 * 1024 * 1024;
    let event = format!(
        "Event-Name: BACKGROUND_JOB\nJob-UUID: rk-1\nContent-Length: {size}\n\n{}",
        "x".repeat(size)
    );
    let wire = format!(
        "Content-Length: {}\nContent-Type: text/event-plain\n\n{event}",
        event.len()
    );
    let mut codec = EslCodec::default();
    let mut buffer = BytesMut::from(wire.as_bytes());
    assert!(codec.decode(&mut buffer).is_err(), "no job is pending");

    let mut codec = EslCodec::default();
    codec.set_job_pending(true);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    for piece in wire.as_bytes().chunks(50_000) {
        buffer.extend_from_slice(piece);
        frames.extend(codec.decode(&mut buffer).unwrap());
    }
    let event = Event::from_frame(frames.pop().unwrap()).unwrap();
    assert_eq!(event.body().unwrap().len(), size);

    // Another event of that size is refused at its first bytes.
    let other = "Content-Length: 7000000\nContent-Type: text/event-plain\n\n\
                 Event-Name: CHANNEL_CREATE\nCore-UUID: x\n";
    let mut codec = EslCodec::default();
    codec.set_job_pending(true);
    let mut buffer = BytesMut::from(other.as_bytes());
    assert!(matches!(
        codec.decode(&mut buffer),
        Err(CodecError::Parse(ParseError::BodyTooLarge { .. }))
    ));
    // A body of 33 MiB exceeds even the limit of a job.
    let huge = "Content-Length: 34603008\nContent-Type: text/event-json\n\n";
    let mut codec = EslCodec::default();
    codec.set_job_pending(true);
    assert!(codec.decode(&mut BytesMut::from(huge.as_bytes())).is_err());
}

#[test]
fn grammar_violation_is_a_typed_error() {
    let check = |wire: &[u8], expected: ParseError| {
        let error = refuses(std::iter::once(wire.to_vec()), 1_000);
        assert_eq!(error, expected, "{:?}", String::from_utf8_lossy(wire));
    };
    check(b"\n", ParseError::NoContentType);
    check(b"\r\n", ParseError::NoContentType);
    check(b"A: b\n\n", ParseError::NoContentType);
    check(b"A: b\nnonsense\n\n", ParseError::HeaderLine { at: 5 });
    check(b": x\n\n", ParseError::HeaderLine { at: 0 });
}

#[test]
fn carriage_returns_are_tolerated() {
    let wire = b"Content-Type: api/response\r\nContent-Length: 4\r\n\r\n+OK\nContent-Type: auth/request\r\n\r\n";
    for size in [1, 2, 3, 100] {
        let (frames, left) = feed(wire.chunks(size));
        assert_eq!(left, 0);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].body(), b"+OK\n");
        assert_eq!(frames[1].content_type(), &ContentType::AuthRequest);
    }
}

fn touch(frame: Frame) {
    let Ok(event) = Event::from_frame(frame) else {
        return;
    };
    for (name, value) in event.headers() {
        assert!(value.len() <= 256 * 1024);
        let _ = event.get_raw(&name);
    }
    let _ = (
        event.kind(),
        event.sequence(),
        event.body(),
        event.list("a"),
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_cut_yields_the_same_events(cuts in prop::collection::vec(1..400usize, 1..200)) {
        let bytes = include_bytes!("../fixtures/plain/crash/events.esl");
        let (whole, left) = feed([bytes.as_slice()]);
        let mut pieces = Vec::new();
        let mut rest = bytes.as_slice();
        for cut in cuts {
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let (read, after) = feed(pieces);
        prop_assert_eq!(after, left);
        prop_assert!(whole.iter().map(Frame::wire).eq(read.iter().map(Frame::wire)));
    }

    #[test]
    fn garbage_causes_at_most_an_error(
        pieces in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            Just(b"Content-Type: text/event-plain\n".to_vec()),
            Just(b"Content-Type: text/event-json\n".to_vec()),
            (0..300u32).prop_map(|n| format!("Content-Length: {n}\n\n").into_bytes()),
            Just(b"\n\n".to_vec()),
            Just(b"Event-Name: X\nA: %41%\nContent-Length: 2\n\nab".to_vec()),
            Just(b"{\"Event-Name\":\"X\",\"a\":[\"\\u00\",1],\"b\":\"\\ud800\"}".to_vec()),
        ], 0..40)
    ) {
        let mut codec = EslCodec::default();
        let mut buffer = BytesMut::new();
        'fed: for piece in pieces {
            buffer.extend_from_slice(&piece);
            loop {
                match codec.decode(&mut buffer) {
                    Ok(Some(frame)) => touch(frame),
                    Ok(None) => break,
                    Err(_) => break 'fed,
                }
            }
            prop_assert!(buffer.len() < 256 * 1024 + 512);
        }
    }

    #[test]
    fn damaged_recording_causes_at_most_an_error(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)
    ) {
        let mut bytes = include_bytes!("../fixtures/json/playback/events.esl")[..30_000].to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut codec = EslCodec::default();
        let mut buffer = BytesMut::from(bytes.as_slice());
        while let Ok(Some(frame)) = codec.decode(&mut buffer) {
            touch(frame);
        }
    }
}
