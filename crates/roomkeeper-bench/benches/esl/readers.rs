//! Who reads events: this project, two other clients, and what bounds them all.
//!
//! Owns how each is driven: by the most direct way that it offers, on the same bytes. Each tells how
//! many events it has read, so that none is fast by leaving some out.
//!
//! | reader | from a buffer | over loopback | values |
//! |---|---|---|---|
//! | ours | `Frame::take`, `Event::from_frame` | `EslCodec` on `FramedRead` | decoded when asked for |
//! | eslrs | its connection, on a reader that has the bytes in memory: its parser is not public | its connection on a socket | never percent-decoded |
//! | freeswitch-esl-tokio | `parse_channel_dump`, its public way to the parser of an event's body; where events begin and end is told it for nothing | its client on a socket | all decoded at once |

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

use crate::traffic::Read;

// ---- what bounds them ----

/// Looks for each line feed.
pub fn newlines(bytes: &[u8]) -> usize {
    memchr::memchr_iter(b'\n', bytes).count()
}

/// Copies all bytes.
pub fn copy(bytes: &[u8], into: &mut Vec<u8>) -> usize {
    into.clear();
    into.extend_from_slice(bytes);
    into.len()
}

/// A server that sends all of it to whoever connects.
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

/// Takes the bytes off a socket and does not look at them.
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

/// Indexes an event's headers, types it, decodes what the controller reads of it.
fn read_ours(frame: Frame) -> usize {
    let event = Event::from_frame(frame).expect("an event");
    Read::of(&black_box(event.kind())).values(|name| event.get(name));
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
    assert!(rest.is_empty(), "{} bytes are left", rest.len());
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

/// Reads all that a connection has. Without its feature `tracing`, which only costs.
async fn read_eslrs<S: AsyncRead + AsyncWrite + Unpin>(stream: S) -> usize {
    let mut connection = ESLConnection::new(stream);
    let mut events = 0;
    while let Ok(event) = connection.recv().await {
        // What is between the headers of an event is `PlainEvent`'s.
        let Ok(event) = PlainEvent::try_from(event);
        Read::named(|name| event.get_header(name)).values(|name| event.get_header(name));
        black_box(&event);
        events += 1;
    }
    events
}

/// From a buffer.
pub fn eslrs(runtime: &Runtime, bytes: &Bytes) -> usize {
    runtime.block_on(read_eslrs(InMemory {
        bytes: bytes.clone(),
        left: READ_BUFFER,
    }))
}

/// Over loopback.
pub fn eslrs_over(runtime: &Runtime, addr: SocketAddr) -> usize {
    runtime.block_on(async { read_eslrs(connect(addr).await).await })
}

/// A stream whose bytes are all there already.
///
/// It has nothing at hand after each 64 KiB: as long as there is something, eslrs reads on before it
/// hands out what it has, and would hold all events at once.
struct InMemory {
    bytes: Bytes,
    left: usize,
}

impl AsyncRead for InMemory {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            self.left = READ_BUFFER;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let n = self.bytes.len().min(self.left).min(buffer.remaining());
        buffer.put_slice(&self.bytes.split_to(n));
        self.left -= n;
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
    Read::named(|name| event.header_str(name)).values(|name| event.header_str(name));
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

/// From a buffer that is split into bodies already. As its own parser does it, what is no UTF-8 is
/// replaced.
pub fn tokio(bodies: &[Bytes]) -> usize {
    let mut events = 0;
    for body in bodies {
        let text = String::from_utf8_lossy(body);
        events += read_tokio(&parse_channel_dump(&text).expect("an event"));
    }
    events
}

/// Over loopback. Its reader waits for who takes the events, as ours does; by default it would drop
/// them.
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
