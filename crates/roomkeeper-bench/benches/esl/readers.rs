//! The readers of events: this project, two other clients, and the limits of all.
//!
//! Owns how each is driven: by the most direct way that it offers, on the same bytes. Each returns the number of events that
//! it has read, so that none is fast by leaving some out.
//!
//! | reader | from a buffer | over loopback | values |
//! |---|---|---|---|
//! | ours | `Frame::take`, `Event::from_frame` | `EslCodec` on `FramedRead` | decoded on access |
//! | eslrs | its connection, on a reader with the bytes in memory: its parser is not public | its connection on a socket | never percent-decoded |
//! | freeswitch-esl-tokio | `parse_channel_dump`, its public access to the parser of an event's body; it gets the bounds of each event for free | its client on a socket | all decoded at once |

use std::hint::black_box;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use eslrs::ESLConnection;
use eslrs::event::PlainEvent;
use freeswitch_esl::{EslCodec, Event, Frame, FrameParser, Limits, READ_BUFFER};
use freeswitch_esl_tokio::{
    EslClient, EslConnectOptions, EslEvent, EventOverflow, parse_channel_dump,
};
use futures_util::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Runtime;
use tokio_util::codec::FramedRead;

use crate::traffic::EventClass;

// ---- limits ----

/// Finds each line feed.
pub fn newlines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// Copies all bytes.
pub fn copy(bytes: &[u8], into: &mut Vec<u8>) -> usize {
    into.clear();
    into.extend_from_slice(bytes);
    into.len()
}

/// Starts a server that sends all bytes to each client. Returns its address.
pub fn server(bytes: Bytes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sent = stream.and_then(|mut s| s.write_all(&bytes));
            if sent.is_err() {
                return;
            }
        }
    });
    addr
}

/// Reads the bytes from a socket and ignores them.
pub fn bare_read(addr: SocketAddr) -> usize {
    let mut stream = TcpStream::connect(addr).expect("the server");
    let mut buffer = vec![0; READ_BUFFER];
    let mut total = 0;
    loop {
        match stream.read(&mut buffer).expect("bytes") {
            0 => return total,
            n => total += black_box(n),
        }
    }
}

// ---- ours ----

/// Indexes an event's headers, classifies it, and decodes the values that the controller reads.
fn read_ours(frame: Frame) -> usize {
    let event = Event::from_frame(frame).expect("an event");
    EventClass::from_kind(&black_box(event.kind())).values(|name| event.get(name));
    black_box(event.header_count());
    1
}

/// From a buffer.
pub fn ours(bytes: &Bytes) -> usize {
    let mut rest = bytes.clone();
    let mut parser = FrameParser::new(Limits::default());
    let mut events = 0;
    while let Ok(frame) = Frame::take(&mut parser, &mut rest) {
        events += read_ours(frame);
    }
    assert!(rest.is_empty(), "{} unread bytes", rest.len());
    events
}

/// Over loopback.
pub fn ours_over(runtime: &Runtime, addr: SocketAddr) -> usize {
    runtime.block_on(async {
        let stream = connect(addr).await;
        let mut frames = FramedRead::with_capacity(stream, EslCodec::default(), READ_BUFFER);
        let mut events = 0;
        while let Some(frame) = frames.next().await {
            events += read_ours(frame.expect("a frame"));
        }
        events
    })
}

async fn connect(addr: SocketAddr) -> tokio::net::TcpStream {
    tokio::net::TcpStream::connect(addr)
        .await
        .expect("the server")
}

// ---- eslrs ----

/// Reads all events of a connection. Its feature `tracing` is off, because it only costs time.
async fn read_eslrs<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> usize {
    let mut connection = ESLConnection::new(stream);
    let mut events = 0;
    while let Ok(event) = connection.recv().await {
        // `PlainEvent` parses the headers of the event.
        let Ok(event) = PlainEvent::try_from(event);
        EventClass::from_headers(|name| event.get_header(name))
            .values(|name| event.get_header(name));
        black_box(&event);
        events += 1;
    }
    events
}

/// From a buffer.
pub fn eslrs(runtime: &Runtime, bytes: &Bytes) -> usize {
    runtime.block_on(read_eslrs(InMemory {
        bytes: bytes.clone(),
        remaining: READ_BUFFER,
    }))
}

/// Over loopback.
pub fn eslrs_over(runtime: &Runtime, addr: SocketAddr) -> usize {
    runtime.block_on(async { read_eslrs(connect(addr).await).await })
}

/// A stream over bytes in memory.
///
/// It is pending after each 64 KiB: eslrs reads as long as there are bytes before it returns events, and would hold all
/// events at once.
struct InMemory {
    bytes: Bytes,
    remaining: usize,
}

impl AsyncRead for InMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.remaining == 0 {
            self.remaining = READ_BUFFER;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = self.bytes.len().min(self.remaining).min(buffer.remaining());
        buffer.put_slice(&self.bytes.split_to(n));
        self.remaining -= n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for InMemory {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

// ---- freeswitch-esl-tokio ----

fn read_tokio(event: &EslEvent) -> usize {
    black_box(event.event_type());
    EventClass::from_headers(|name| event.header_str(name)).values(|name| event.header_str(name));
    1
}

/// The bodies of the events in a buffer.
pub fn bodies(bytes: &Bytes) -> Vec<Bytes> {
    let mut rest = bytes.clone();
    let mut parser = FrameParser::new(Limits::default());
    std::iter::from_fn(|| Frame::take(&mut parser, &mut rest).ok())
        .map(|frame| frame.body_bytes())
        .collect()
}

/// From a buffer that is already split into bodies. Like its own parser, this replaces invalid UTF-8.
pub fn tokio(bodies: &[Bytes]) -> usize {
    let mut events = 0;
    for body in bodies {
        let text = String::from_utf8_lossy(body);
        events += read_tokio(&parse_channel_dump(&text).expect("an event"));
    }
    events
}

/// Over loopback. Its reader waits for the consumer, as ours does; by default it would drop events.
pub fn tokio_over(runtime: &Runtime, addr: SocketAddr) -> usize {
    runtime.block_on(async {
        let options = EslConnectOptions::default()
            .with_event_overflow(EventOverflow::BlockFor(Duration::from_secs(60)));
        let (_client, mut stream) =
            EslClient::adopt_stream_with_options(connect(addr).await, &[], options)
                .expect("a client");
        let mut events = 0;
        while let Some(Ok(event)) = stream.recv().await {
            events += read_tokio(&event);
        }
        events
    })
}
