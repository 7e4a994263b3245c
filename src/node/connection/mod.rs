//! One TCP connection, from its greeting to its end: moves bytes between the socket and the session, and answers the
//! callers that wait for commands.
//!
//! Reading never waits for writing: a server that stops reading must not keep us from reading it.

mod driver;
mod settings;

use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;
use tokio::sync::{Notify, mpsc};
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;

use freeswitch_esl::command::Password;
use freeswitch_esl::{EslCodec, Limits, READ_BUFFER, SessionConfig};

use super::handle::Request;

use driver::Driver;
pub(super) use settings::{ConnectionEvent, ConnectionSettings, EndReason, ExpectedMessages};

/// Bytes that wait to be written, and the error that ended writing.
#[derive(Default)]
struct WriteBuffer {
    bytes: BytesMut,
    error: Option<String>,
}

impl WriteBuffer {
    fn is_writable(&self) -> bool {
        self.error.is_none()
    }

    fn has_bytes_to_write(&self) -> bool {
        !self.bytes.is_empty() && self.is_writable()
    }

    /// Writes as much as the socket accepts without waiting, which is usually everything.
    fn try_write(&mut self, writer: &WriteHalf<'_>) {
        if self.has_bytes_to_write()
            && let Ok(written) = writer.try_write(&self.bytes)
        {
            self.bytes.advance(written);
        }
    }

    /// Notes the result of a write. After an error the connection still reads what FreeSWITCH sent before it.
    fn written(&mut self, result: io::Result<usize>) {
        match result {
            Ok(0) => self.error = Some("the connection takes no more bytes".to_owned()),
            Ok(written) => self.bytes.advance(written),
            Err(error) => self.error = Some(error.to_string()),
        }
    }
}

/// The receiving side: bytes, and the codec that decodes them into frames.
struct ReadBuffer {
    bytes: BytesMut,
    codec: EslCodec,
}

impl ReadBuffer {
    fn new() -> Self {
        Self {
            bytes: BytesMut::with_capacity(READ_BUFFER),
            codec: EslCodec::new(Limits::default()),
        }
    }

    /// Handles the result of a read: frames go to the driver, an end of the stream ends the connection.
    fn received(
        &mut self,
        result: io::Result<usize>,
        driver: &mut Driver<'_>,
        output: &mut WriteBuffer,
    ) {
        match result {
            Ok(0) => {
                let reason = match (self.codec.decode_eof(&mut self.bytes), output.error.take()) {
                    (Ok(_), None) => "FreeSWITCH closed the connection".to_owned(),
                    (Ok(_), Some(error)) => error,
                    (Err(error), _) => format!("FreeSWITCH closed the connection: {error}"),
                };
                driver.lose(reason);
            }
            Ok(_) => {
                driver.bytes_received();
                driver.frames(&mut self.codec, &mut self.bytes);
                driver.frames_handled();
            }
            Err(error) => driver.end(EndReason::Lost(error.to_string())),
        }
    }
}

/// Runs a connection until it ends. Callers that still wait then receive [`CommandError::Unknown`].
///
/// [`CommandError::Unknown`]: super::CommandError::Unknown
pub(super) async fn run(
    mut stream: TcpStream,
    password: Password,
    settings: ConnectionSettings<'_>,
    requests: &mut mpsc::Receiver<Request>,
    stop: &CancellationToken,
) -> EndReason {
    if let Err(error) = stream.set_nodelay(true) {
        return EndReason::Lost(error.to_string());
    }
    let (mut reader, mut writer) = stream.split();
    let config = SessionConfig::default();
    let max_in_flight = config.max_in_flight;
    let other = match &settings.expected {
        ExpectedMessages::Events(commands) => Some(Arc::clone(commands)),
        ExpectedMessages::Jobs(_) => None,
    };
    let mut driver = Driver::new(config, password, settings);
    let mut input = ReadBuffer::new();
    let mut output = WriteBuffer::default();
    let mut new_requests = Vec::new();
    let mut wake = driver.origin();
    let mut sleep = pin!(tokio::time::sleep_until(wake));
    let mut stopped = pin!(stop.cancelled());
    loop {
        driver.settle();
        driver.wake_if_due(output.bytes.is_empty() && output.is_writable());
        driver.transmit_into(&mut output.bytes);
        output.try_write(&writer);
        driver.notify_other();
        input.codec.set_job_pending(driver.job_pending());
        if let Some(ended) = driver.finish() {
            return ended;
        }
        let next_wake = driver.next_wake();
        if next_wake != wake {
            sleep.as_mut().reset(next_wake);
            wake = next_wake;
        }
        let free = max_in_flight.saturating_sub(driver.in_flight());
        let takes_requests = driver.is_ready() && output.is_writable() && free > 0;
        tokio::select! {
            () = &mut stopped => driver.end(EndReason::Stopped),
            read = reader.read_buf(&mut input.bytes) => input.received(read, &mut driver, &mut output),
            // The buffer keeps the order, so a wake-up is never inside a command.
            written = writer.write(&output.bytes), if output.has_bytes_to_write() => output.written(written),
            () = command_on_other(other.as_deref()) => driver.on_other_command(),
            taken = requests.recv_many(&mut new_requests, free), if takes_requests => {
                if taken == 0 {
                    driver.end(EndReason::Stopped);
                }
                // Callers that were just answered together are about to send the next commands, and so are those whose
                // commands are in flight. They run first, so that one write carries the commands of all.
                if driver.in_flight() + taken > 1 || driver.answered_several() {
                    tokio::task::yield_now().await;
                }
                driver.requests(new_requests.drain(..));
                while driver.in_flight() < max_in_flight
                    && let Ok(request) = requests.try_recv()
                {
                    driver.requests([request]);
                }
            },
            () = &mut sleep => driver.woken(),
        }
    }
}
/// Waits until the other connection sends a command, if this connection receives events.
async fn command_on_other(other: Option<&Notify>) {
    match other {
        Some(other) => other.notified().await,
        None => std::future::pending().await,
    }
}
