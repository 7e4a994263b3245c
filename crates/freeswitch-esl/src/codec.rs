//! Frames on a `tokio_util` transport.
//!
//! Owns the management of the read buffer and nothing else: grammar and limits are in `parser`. The node's connection
//! task drives it through `Framed::with_capacity(io, EslCodec::new(limits), READ_BUFFER)`, and writes the commands that
//! `session` returns, each one whole.

use std::num::NonZeroUsize;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::frame::Frame;
use super::parser::{FrameParser, Limits, ParseError, Unfinished};

/// The initial size of the read buffer, in bytes. Larger buffers are slower: they fall out of the cache.
pub const READ_BUFFER: usize = 64 * 1024;

/// The minimum free space, in bytes. Below it, a new buffer costs less than another small read.
const LOW_ROOM: usize = 16 * 1024;

/// The size, in bytes, above which a buffer is not reused for later messages. No event is so large; bytes of later
/// messages that were read already are copied then, and they are few in comparison.
const LARGE: usize = 4 * READ_BUFFER;

/// The reason why a stream of bytes cannot be followed any further.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The stream broke the grammar or a limit.
    #[error("the stream is not Event Socket")]
    Parse(#[from] ParseError),
    /// The stream ended within a message, as when a server is killed.
    #[error("the stream ended with {bytes} bytes of an unfinished message")]
    CutShort {
        /// The received part of the message, in bytes.
        bytes: usize,
    },
    /// Reading or writing failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
}

/// Decodes bytes to frames, and passes whole commands through as bytes.
#[derive(Debug, Clone)]
pub struct EslCodec {
    parser: FrameParser,
}

impl EslCodec {
    /// Creates a codec at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            parser: FrameParser::new(limits),
        }
    }

    /// Allows the larger body of a `BACKGROUND_JOB` while a job is pending. The connection task calls it after each
    /// command that it sends and each frame that it receives (`codec.set_job_pending(session.job_pending())`).
    pub fn set_job_pending(&mut self, pending: bool) {
        self.parser.set_job_pending(pending);
    }
}

impl Default for EslCodec {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Decoder for EslCodec {
    type Item = Frame;
    type Error = CodecError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match self.parser.parse(src) {
            Ok(head) => {
                let bytes = src.split_to(head.body_at + head.body_len).freeze();
                if bytes.len() > LARGE {
                    // The buffer has grown for this message and would be filled again after it: a list of ten thousand
                    // channels has four megabytes, and each node's connection would keep that for good.
                    let mut next = BytesMut::with_capacity(READ_BUFFER.max(src.len()));
                    next.extend_from_slice(src);
                    *src = next;
                }
                Ok(Some(Frame::new(bytes, head)))
            }
            Err(Unfinished::Incomplete(missing)) => {
                if src.capacity() - src.len() < LOW_ROOM {
                    // An announced length must not cost memory before the bytes arrive. But a list of megabytes would
                    // be moved each time that the buffer doubles, so the buffer has room for three times the bytes that
                    // have arrived.
                    let missing = missing.map_or(0, NonZeroUsize::get);
                    src.reserve(missing.min(3 * src.len()).max(READ_BUFFER));
                }
                Ok(None)
            }
            Err(Unfinished::Failure(e)) => Err(e.into()),
        }
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, CodecError> {
        match self.decode(src)? {
            Some(frame) => Ok(Some(frame)),
            None if src.is_empty() => Ok(None),
            None => Err(CodecError::CutShort { bytes: src.len() }),
        }
    }
}

impl Encoder<Bytes> for EslCodec {
    type Error = CodecError;

    fn encode(&mut self, command: Bytes, dst: &mut BytesMut) -> Result<(), CodecError> {
        dst.extend_from_slice(&command);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_of_a_large_message_is_released() {
        let body = "x".repeat(4_000_000);
        let next = "Content-Type: command/reply\nReply-Text: +OK\n\n";
        let text = format!(
            "Content-Type: api/response\nContent-Length: {}\n\n{body}{next}",
            body.len()
        );
        let (mut codec, mut buffer) = (EslCodec::default(), BytesMut::with_capacity(READ_BUFFER));
        let mut frames = Vec::new();
        // Delivers the bytes as a socket does: as many as there is room for.
        for piece in text.as_bytes().chunks(READ_BUFFER) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).unwrap() {
                frames.push(frame);
            }
        }
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].body(), body.as_bytes());
        assert_eq!(frames[1].header("Reply-Text").as_deref(), Some("+OK"));
        drop(frames);
        // The buffer has no other holder, so it could be filled again.
        assert!(!buffer.try_reclaim(2 * LARGE), "it is still there");
    }

    #[test]
    fn announced_length_reserves_at_most_three_times_the_received_bytes() {
        let announced = "Content-Type: api/response\nContent-Length: 4000000\n\n";
        let (mut codec, mut buffer) = (EslCodec::default(), BytesMut::from(announced));
        assert!(codec.decode(&mut buffer).unwrap().is_none());
        assert!(
            buffer.capacity() < 2 * READ_BUFFER,
            "nothing has come of it"
        );
        buffer.resize(READ_BUFFER * 4, b'x');
        buffer.reserve(1);
        while buffer.capacity() - buffer.len() >= LOW_ROOM {
            buffer.extend_from_slice(&[b'x'; 1024]);
        }
        assert!(codec.decode(&mut buffer).unwrap().is_none());
        let (has, came) = (buffer.capacity(), buffer.len());
        assert!((3 * came..=4 * came).contains(&has), "{has} for {came}");
    }
}
