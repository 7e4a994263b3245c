//! A recording of what FreeSWITCH sent, read as a controller's connection reads it: the same frames, the same events, the
//! same meaning.
//!
//! Owns where in the bytes each message stands. Leaves out what it leads to.

use std::io::{self, Read};

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::cli::chain;
use crate::esl::{CodecError, ContentType, EslCodec, Event, Frame};
use crate::ids::CoreId;
use crate::reconciler::news::News;
use crate::reconciler::translate;
use crate::time::Timestamp;

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// A message of the stream.
#[derive(Debug)]
pub(super) struct Message {
    /// Its first byte.
    pub(super) at: u64,
    /// What it is.
    pub(super) what: What,
}

/// What a message is.
#[derive(Debug)]
pub(super) enum What {
    /// Something happened.
    Event(Box<Heard>),
    /// An event that cannot be read; a controller skips it, and so does this.
    Unreadable(String),
    /// The greeting, or an answer to what was sent.
    Answer,
    /// FreeSWITCH ends the connection, in these words: a controller reads no further.
    Farewell(String),
}

/// An event, and what it means.
#[derive(Debug)]
pub(super) struct Heard {
    /// Its name, and that of a conference's action.
    pub(super) name: String,
    /// The run of FreeSWITCH.
    pub(super) core: Option<CoreId>,
    /// FreeSWITCH's clock.
    pub(super) time: Option<Timestamp>,
    /// What it says of rooms and calls, if anything.
    pub(super) news: Option<News>,
}

/// Why a recording cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// It could not be read.
    #[error("cannot be read behind byte {at}")]
    Io {
        /// How much was read, in bytes.
        at: u64,
        /// Why.
        source: io::Error,
    },
    /// It is not what FreeSWITCH sends.
    #[error("the message at byte {at} is not Event Socket: {why}")]
    NotEventSocket {
        /// The first byte of the message.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It ends within a message.
    #[error("it ends within the message at byte {at}, of which there are {bytes} bytes")]
    Torn {
        /// The first byte of the message.
        at: u64,
        /// What there is of it.
        bytes: usize,
    },
}

/// A recording that is being read.
#[derive(Debug)]
pub(super) struct Recording<R> {
    input: R,
    codec: EslCodec,
    buffer: BytesMut,
    chunk: Box<[u8]>,
    /// Bytes that were read of the input.
    read: u64,
    is_at_end: bool,
}

impl<R: Read> Recording<R> {
    pub(super) fn new(input: R) -> Self {
        let mut codec = EslCodec::default();
        // Whether a job was pending stands in what was sent, which is not here.
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

    /// How many bytes were read.
    pub(super) const fn bytes(&self) -> u64 {
        self.read
    }

    /// The next message; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Broken> {
        loop {
            let at = self.read - self.buffer.len() as u64;
            let frame = if self.is_at_end {
                self.codec.decode_eof(&mut self.buffer)
            } else {
                self.codec.decode(&mut self.buffer)
            };
            match frame {
                Ok(Some(frame)) => {
                    let what = understand(frame);
                    return Ok(Some(Message { at, what }));
                }
                Ok(None) if self.is_at_end => return Ok(None),
                Ok(None) => self.more()?,
                Err(CodecError::CutShort { bytes }) => return Err(Broken::Torn { at, bytes }),
                Err(CodecError::Parse(error)) => {
                    let why = error.to_string();
                    return Err(Broken::NotEventSocket { at, why });
                }
                Err(CodecError::Io(source)) => return Err(Broken::Io { at, source }),
            }
        }
    }

    fn more(&mut self) -> Result<(), Broken> {
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
                    return Err(Broken::Io { at, source });
                }
            }
            return Ok(());
        }
    }
}

fn understand(frame: Frame) -> What {
    match frame.content_type() {
        ContentType::EventPlain | ContentType::EventJson => {}
        ContentType::DisconnectNotice | ContentType::RudeRejection => {
            let text = String::from_utf8_lossy(frame.body()).into_owned();
            let words = text.lines().next().unwrap_or_default();
            return What::Farewell(words.trim().to_owned());
        }
        ContentType::AuthRequest
        | ContentType::CommandReply
        | ContentType::ApiResponse
        | ContentType::EventXml
        | ContentType::LogData
        | ContentType::Other(_) => return What::Answer,
    }
    let event = match Event::from_frame(frame) {
        Ok(event) => event,
        Err(error) => return What::Unreadable(chain(&error)),
    };
    let mut name = event.name().into_owned();
    for part in [event.subclass(), event.get("Action")]
        .into_iter()
        .flatten()
    {
        name.push(' ');
        name.push_str(&part);
    }
    What::Event(Box::new(Heard {
        name,
        core: translate::core(&event),
        time: event.timestamp_us().map(Timestamp::from_micros),
        news: translate::news(&event),
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

    /// What is read, a word each, and how it ends.
    fn read(parts: &[&[u8]]) -> (Vec<(u64, String)>, Option<Broken>) {
        let bytes = parts.concat();
        let mut recording = Recording::new(&bytes[..]);
        let mut found = Vec::new();
        loop {
            match recording.next() {
                Ok(Some(message)) => {
                    let word = match message.what {
                        What::Event(heard) => heard.name,
                        What::Unreadable(why) => why,
                        What::Answer => "answer".to_owned(),
                        What::Farewell(words) => words,
                    };
                    found.push((message.at, word));
                }
                Ok(None) => return (found, None),
                Err(broken) => return (found, Some(broken)),
            }
        }
    }

    #[test]
    fn every_message_has_its_place() {
        let (found, broken) = read(&[GREETING, EVENT, NAMELESS, BYE]);
        assert!(broken.is_none(), "{broken:?}");
        let places: Vec<u64> = found.iter().map(|(at, _)| *at).collect();
        let behind = |parts: &[&[u8]]| parts.concat().len() as u64;
        assert_eq!(
            places,
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
                "answer",
                "HEARTBEAT",
                "an event without Event-Name",
                "Disconnected."
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let (found, broken) = read(&[GREETING, EVENT, b"no header\n\n"]);
        assert_eq!(found.len(), 2);
        let at = GREETING.len() + EVENT.len();
        let text = broken.unwrap().to_string();
        assert!(
            text.starts_with(&format!("the message at byte {at} is not Event Socket: ")),
            "{text}"
        );
        let (found, broken) = read(&[GREETING, &EVENT[..60]]);
        assert_eq!(found.len(), 1);
        let text = broken.unwrap().to_string();
        assert_eq!(
            text,
            format!(
                "it ends within the message at byte {}, of which there are 60 bytes",
                GREETING.len()
            )
        );
    }
}
