//! Reads a recording of FreeSWITCH's bytes as a controller's connection does: the same frames, events and translation.
//!
//! Owns the byte position of each message. Leaves out its outcomes.

use std::io::{self, Read};

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::cli::chain;
use crate::reconciler::translate;
use freeswitch_esl::{CodecError, ContentType, EslCodec, Event, Frame};
use roomkeeper_core::ids::CoreId;
use roomkeeper_core::switch_event::SwitchEvent;
use roomkeeper_core::time::Timestamp;

/// The size of one read, in bytes.
const CHUNK: usize = 64 * 1024;

/// A message of the stream.
#[derive(Debug)]
pub(super) struct Message {
    /// The position of its first byte.
    pub(super) at: u64,
    /// Its kind.
    pub(super) kind: MessageKind,
}

/// The kind of a message.
#[derive(Debug)]
pub(super) enum MessageKind {
    /// An event.
    Event(Box<ReceivedEvent>),
    /// An event that cannot be decoded. It is skipped, as a controller does.
    Unreadable(String),
    /// The greeting, or the reply to a command.
    Reply,
    /// FreeSWITCH closes the connection with this text. A controller reads no further.
    Disconnect(String),
}

/// A decoded and translated event.
#[derive(Debug)]
pub(super) struct ReceivedEvent {
    /// Its name, with the subclass and the conference action.
    pub(super) name: String,
    /// The FreeSWITCH core that sent it.
    pub(super) core: Option<CoreId>,
    /// FreeSWITCH's timestamp.
    pub(super) time: Option<Timestamp>,
    /// Its meaning for rooms and calls, if any.
    pub(super) switch_event: Option<SwitchEvent>,
}

/// The reason why a recording cannot be read further.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// The file could not be read.
    #[error("cannot read after byte {at}")]
    Io {
        /// The number of bytes that were read.
        at: u64,
        /// The cause.
        source: io::Error,
    },
    /// The bytes are not Event Socket.
    #[error("the message at byte {at} is not Event Socket: {why}")]
    NotEventSocket {
        /// The first byte of the message.
        at: u64,
        /// The parser's error.
        why: String,
    },
    /// The recording ends within a message.
    #[error(
        "the message at byte {at} is incomplete: the recording ends after {bytes} of its bytes"
    )]
    Incomplete {
        /// The first byte of the message.
        at: u64,
        /// The number of bytes that are present.
        bytes: usize,
    },
}

/// A reader of a recording.
#[derive(Debug)]
pub(super) struct Recording<R> {
    input: R,
    codec: EslCodec,
    buffer: BytesMut,
    chunk: Box<[u8]>,
    /// The number of bytes that were read from the input.
    read: u64,
    is_at_end: bool,
}

impl<R: Read> Recording<R> {
    pub(super) fn new(input: R) -> Self {
        let mut codec = EslCodec::default();
        // A recording lacks the sent commands, so it is unknown whether a job was pending.
        codec.set_job_pending(true);
        Self {
            input,
            codec,
            buffer: BytesMut::new(),
            chunk: vec![0; CHUNK].into_boxed_slice(),
            read: 0,
            is_at_end: false,
        }
    }

    /// The number of bytes that were read.
    pub(super) const fn bytes(&self) -> u64 {
        self.read
    }

    /// Reads the next message; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Message>, ReadError> {
        loop {
            let at = self.read - self.buffer.len() as u64;
            let frame = if self.is_at_end {
                self.codec.decode_eof(&mut self.buffer)
            } else {
                self.codec.decode(&mut self.buffer)
            };
            match frame {
                Ok(Some(frame)) => {
                    let kind = decode(frame);
                    return Ok(Some(Message { at, kind }));
                }
                Ok(None) if self.is_at_end => return Ok(None),
                Ok(None) => self.more()?,
                Err(CodecError::CutShort { bytes }) => {
                    return Err(ReadError::Incomplete { at, bytes });
                }
                Err(CodecError::Parse(error)) => {
                    let why = error.to_string();
                    return Err(ReadError::NotEventSocket { at, why });
                }
                Err(CodecError::Io(source)) => return Err(ReadError::Io { at, source }),
            }
        }
    }

    fn more(&mut self) -> Result<(), ReadError> {
        loop {
            match self.input.read(&mut self.chunk) {
                Ok(0) => self.is_at_end = true,
                Ok(n) => {
                    self.buffer.extend_from_slice(&self.chunk[..n]);
                    self.read += n as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let at = self.read;
                    return Err(ReadError::Io { at, source });
                }
            }
            return Ok(());
        }
    }
}

fn decode(frame: Frame) -> MessageKind {
    match frame.content_type() {
        ContentType::EventPlain | ContentType::EventJson => {}
        ContentType::DisconnectNotice | ContentType::RudeRejection => {
            let text = String::from_utf8_lossy(frame.body()).into_owned();
            let words = text.lines().next().unwrap_or_default();
            return MessageKind::Disconnect(words.trim().to_owned());
        }
        ContentType::AuthRequest
        | ContentType::CommandReply
        | ContentType::ApiResponse
        | ContentType::EventXml
        | ContentType::LogData
        | ContentType::Other(_) => return MessageKind::Reply,
    }
    let event = match Event::from_frame(frame) {
        Ok(event) => event,
        Err(error) => return MessageKind::Unreadable(chain(&error)),
    };
    let mut name = event.name().into_owned();
    for part in [event.subclass(), event.get("Action")]
        .into_iter()
        .flatten()
    {
        name.push(' ');
        name.push_str(&part);
    }
    MessageKind::Event(Box::new(ReceivedEvent {
        name,
        core: translate::core(&event),
        time: event.timestamp_us().map(Timestamp::from_micros),
        switch_event: translate::switch_event(&event),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREETING: &[u8] = b"Content-Type: auth/request\n\n";
    const EVENT: &[u8] =
        b"Content-Length: 23\nContent-Type: text/event-plain\n\nEvent-Name: HEARTBEAT\n\n";
    const NAMELESS: &[u8] = b"Content-Length: 7\nContent-Type: text/event-plain\n\nA: b\n\n\n";
    const BYE: &[u8] =
        b"Content-Type: text/disconnect-notice\nContent-Length: 14\n\nDisconnected.\n";

    /// Reads messages, with a word for each, and the error at the end.
    fn read(parts: &[&[u8]]) -> (Vec<(u64, String)>, Option<ReadError>) {
        let bytes = parts.concat();
        let mut recording = Recording::new(&bytes[..]);
        let mut found = Vec::new();
        loop {
            match recording.next() {
                Ok(Some(message)) => {
                    let word = match message.kind {
                        MessageKind::Event(received) => received.name,
                        MessageKind::Unreadable(why) => why,
                        MessageKind::Reply => "reply".to_owned(),
                        MessageKind::Disconnect(words) => words,
                    };
                    found.push((message.at, word));
                }
                Ok(None) => return (found, None),
                Err(error) => return (found, Some(error)),
            }
        }
    }

    #[test]
    fn messages_have_byte_positions() {
        let (found, error) = read(&[GREETING, EVENT, NAMELESS, BYE]);
        assert!(error.is_none(), "{error:?}");
        let positions: Vec<u64> = found.iter().map(|(at, _)| *at).collect();
        let behind = |parts: &[&[u8]]| parts.concat().len() as u64;
        assert_eq!(
            positions,
            [
                0,
                behind(&[GREETING]),
                behind(&[GREETING, EVENT]),
                behind(&[GREETING, EVENT, NAMELESS])
            ]
        );
        let words: Vec<&str> = found.iter().map(|(_, word)| word.as_str()).collect();
        assert_eq!(
            words,
            [
                "reply",
                "HEARTBEAT",
                "event has no Event-Name",
                "Disconnected."
            ]
        );
    }

    #[test]
    fn errors_name_byte_position() {
        let (found, error) = read(&[GREETING, EVENT, b"no header\n\n"]);
        assert_eq!(found.len(), 2);
        let at = GREETING.len() + EVENT.len();
        let text = error.unwrap().to_string();
        assert!(
            text.starts_with(&format!("the message at byte {at} is not Event Socket: ")),
            "{text}"
        );
        let (found, error) = read(&[GREETING, &EVENT[..60]]);
        assert_eq!(found.len(), 1);
        let text = error.unwrap().to_string();
        assert_eq!(
            text,
            format!(
                "the message at byte {} is incomplete: the recording ends after 60 of its bytes",
                GREETING.len()
            )
        );
    }
}
