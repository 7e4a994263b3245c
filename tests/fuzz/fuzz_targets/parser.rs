//! Bytes in any pieces through the codec, events and every accessor: no panic, bounded memory, and
//! the pieces make no difference.
//!
//! Input: one byte `n`, `n % 32` bytes that are sizes of pieces (taken round and round; 0 is a
//! piece of 1,000), and the stream.
#![no_main]

use bytes::{Bytes, BytesMut};
use freeswitch_esl::command::Password;
use freeswitch_esl::{EslCodec, Event, Frame, FrameParser, Limits, Millis, Session, SessionConfig};
use libfuzzer_sys::fuzz_target;
use tokio_util::codec::Decoder;

fuzz_target!(|input: &[u8]| {
    let Some((n, rest)) = input.split_first() else {
        return;
    };
    let n = usize::from(*n % 32).min(rest.len());
    let (sizes, stream) = rest.split_at(n);
    let in_pieces = decode(sizes, stream);
    let at_once = decode(&[], stream);
    assert_eq!(in_pieces.1, at_once.1, "the outcome depends on the pieces");
    assert_eq!(in_pieces.0.len(), at_once.0.len());
    for (a, b) in in_pieces.0.iter().zip(&at_once.0) {
        assert_eq!(a.wire(), b.wire());
    }
    let mut parser = FrameParser::new(Limits::default());
    let mut buffer = Bytes::copy_from_slice(stream);
    for frame in &at_once.0 {
        let taken = Frame::take(&mut parser, &mut buffer).expect("as the codec took it");
        assert_eq!(taken.wire(), frame.wire());
        read(frame);
    }
    converse(at_once.0);
});

/// The frames, and whether the stream broke.
fn decode(sizes: &[u8], stream: &[u8]) -> (Vec<Frame>, bool) {
    let mut codec = EslCodec::default();
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    let mut rest = stream;
    let mut turn = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = match turn.next() {
            None => rest.len(),
            Some(0) => 1_000,
            Some(size) => usize::from(*size),
        };
        let (piece, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        buffer.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buffer) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
        assert!(buffer.capacity() <= stream.len() * 4 + 256 * 1024);
    }
    (frames, false)
}

/// Every accessor of a frame and of the event in it.
fn read(frame: &Frame) {
    let _ = (
        frame.reply_text(),
        frame.body_bytes(),
        frame.header("Job-UUID"),
    );
    let Ok(event) = Event::from_frame(frame.clone()) else {
        return;
    };
    let held = frame.wire().len();
    assert!(event.header_count() <= 1_024);
    let mut names = Vec::new();
    for (name, value) in event.headers() {
        // A byte that is no UTF-8 becomes three; an array gets a prefix and separators.
        assert!(value.len() <= 3 * held + 16);
        names.push(name.into_owned());
    }
    for name in &names {
        let _ = (
            event.get(name),
            event.list(name),
            event.flag(name),
            event.text(name),
        );
    }
    let _ = (
        event.kind(),
        event.subclass(),
        event.sequence(),
        event.timestamp_us(),
    );
    let _ = (event.core_uuid(), event.unique_id(), event.hangup_cause());
    let _ = (
        event.conference_uuid(),
        event.conference_size(),
        event.member_id(),
    );
    let _ = (
        event.variable("a"),
        event.parse::<f64>("Idle-CPU"),
        event.job_uuid(),
        event.uptime_ms(),
    );
    let copy = event.detached();
    assert_eq!(event.body(), copy.body());
    assert_eq!(
        event.body().map(|b| b.into_owned()),
        event.body_bytes().map(|b| b.to_vec())
    );
    assert!(event.headers().eq(copy.headers()));
}

/// The same frames as one conversation.
fn converse(frames: Vec<Frame>) {
    let password = Password::new("x").expect("a password");
    let mut session = Session::new(SessionConfig::default(), password, Millis(0));
    for (now, frame) in (0..).zip(frames) {
        session.handle_frame(frame, Millis(now));
        while session.poll_transmit().is_some() {}
        while session.poll_output().is_some() {}
    }
    session.handle_eof();
}
