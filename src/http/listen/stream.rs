//! The byte stream of a connection: heads are held until they have been checked, bodies pass in small pieces.
//!
//! A refused head is replaced by a request that the service answers with the refusal. So the refusal comes in order, is
//! counted, and has the common form of errors. Bytes after a chunked body are not checked: that request is the last of
//! its connection.
//!
//! Closing a connection with unread bytes resets it, and the reset can destroy the response on its way. So after the
//! response to a request that was not read to its end, the rest is read and discarded for a limited time.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::connections::{Charge, Connection};
use super::head::{self, BodyLength, MAX_HEAD, RefusedHead};
use super::limits::Limits;

/// The request that replaces a refused head.
const SUBSTITUTE: &[u8] =
    b"GET /-/refused HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// The size of one read of the HTTP library. Its buffer, which starts with twice this size, grows when a read fills it.
const PIECE: usize = 4 * 1024;

/// The time and the number of bytes that are discarded after a response.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 8 * 1024 * 1024;

pub(super) fn write_timeout_error() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the client accepts no bytes")
}

/// The next part of the byte stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// A head. This number of its bytes has been searched for its end.
    Head { searched: usize },
    /// The rest of a body, in bytes.
    Body { remaining: u64 },
    /// Nothing that is checked.
    Unchecked,
    /// Nothing: a head was refused.
    Nothing,
}

/// A connection whose request heads are checked on their way to the HTTP library.
#[derive(Debug)]
pub(super) struct CheckedStream {
    stream: TcpStream,
    connection: Arc<Connection>,
    next: Next,
    /// Bytes that were read and not yet passed on.
    held: BytesMut,
    /// The number of held bytes that were checked and can be passed on.
    passed: usize,
    charge: Charge,
    /// The time from the first to the last byte of a head.
    head_timeout: Duration,
    head_due: Option<Pin<Box<Sleep>>>,
    /// Cancelled when the first byte arrives; `None` afterwards.
    first_byte: Option<CancellationToken>,
    /// The maximum wait of a write.
    write_timeout: Duration,
    /// The end of that time, while a write waits.
    write_due: Option<Pin<Box<Sleep>>>,
    /// Publishes whether a write waits.
    blocked: watch::Sender<bool>,
    linger: Linger,
}

#[derive(Debug)]
enum Linger {
    No,
    Yes {
        until: Pin<Box<Sleep>>,
        bytes: usize,
    },
}

impl CheckedStream {
    pub(super) fn new(
        stream: TcpStream,
        connection: Arc<Connection>,
        charge: Charge,
        timeouts: Limits,
        first_byte: CancellationToken,
        blocked: watch::Sender<bool>,
    ) -> Self {
        Self {
            stream,
            connection,
            next: Next::Head { searched: 0 },
            held: BytesMut::new(),
            passed: 0,
            charge,
            head_timeout: timeouts.head_completion,
            head_due: None,
            first_byte: Some(first_byte),
            write_timeout: timeouts.write,
            write_due: None,
            blocked,
            linger: Linger::No,
        }
    }

    /// Checks the held part of the next head, once it may have ended.
    fn advance_head(&mut self, searched: usize) {
        // Empty lines before a request line are allowed.
        let empty = self.held.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        let empty = empty.count();
        self.held.advance(empty);
        let length = self.held.len();
        if length == 0 {
            self.next = Next::Head { searched: 0 };
            return;
        }
        // The first bytes can already show that this is no HTTP request.
        let is_checked = searched == 0 || head::may_end(&self.held, searched);
        let checked = match is_checked {
            true => head::check_head(&self.held),
            false => Ok(None),
        };
        match checked {
            Ok(Some(head)) => {
                self.passed = head.length;
                self.head_due = None;
                self.next = match head.body {
                    BodyLength::Known(remaining) => Next::Body { remaining },
                    BodyLength::Chunked => Next::Unchecked,
                };
            }
            Ok(None) if length >= MAX_HEAD => self.refuse(RefusedHead::too_long(&self.held)),
            Ok(None) if !self.charge.cover(length) => self.refuse(RefusedHead::no_memory()),
            Ok(None) => self.next = Next::Head { searched: length },
            Err(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(&mut self, refusal: RefusedHead) {
        self.connection.refuse_next(refusal);
        self.held = BytesMut::from(SUBSTITUTE);
        self.passed = SUBSTITUTE.len();
        self.head_due = None;
        self.charge.reset();
        self.next = Next::Nothing;
    }

    /// Passes checked bytes on to the HTTP library.
    fn pass_on(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.passed.min(buffer.remaining()).min(PIECE);
        buffer.put_slice(&self.held[..length]);
        self.held.advance(length);
        self.passed -= length;
        if self.held.is_empty() {
            // An idle connection holds no memory.
            self.held = BytesMut::new();
            self.charge.reset();
        }
    }

    fn is_head_late(&mut self, cx: &mut Context<'_>) -> bool {
        if self.held.is_empty() {
            self.head_due = None;
            return false;
        }
        let timeout = self.head_timeout;
        let due = self
            .head_due
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        due.as_mut().poll(cx).is_ready()
    }

    fn report_first_byte(&mut self) {
        if let Some(first_byte) = self.first_byte.take() {
            first_byte.cancel();
        }
    }

    /// Returns the outcome of a write, or an error when it has waited too long.
    fn check_write(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.write_due.take().is_some() {
                self.blocked.send_replace(false);
            }
            return written;
        }
        let due = match &mut self.write_due {
            Some(due) => due,
            none @ None => {
                self.blocked.send_replace(true);
                none.insert(Box::pin(tokio::time::sleep(self.write_timeout)))
            }
        };
        due.as_mut().poll(cx).map(|()| Err(write_timeout_error()))
    }
}

impl AsyncRead for CheckedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passed > 0 {
                this.pass_on(buffer);
                return Poll::Ready(Ok(()));
            }
            let searched = match this.next {
                Next::Body { remaining: 0 } => {
                    this.next = Next::Head { searched: 0 };
                    if !this.held.is_empty() {
                        this.advance_head(0);
                    }
                    continue;
                }
                Next::Body { remaining } if !this.held.is_empty() => {
                    let held = u64::try_from(this.held.len()).unwrap_or(u64::MAX);
                    let part = held.min(remaining);
                    this.passed = usize::try_from(part).unwrap_or(this.held.len());
                    this.next = Next::Body {
                        remaining: remaining - part,
                    };
                    continue;
                }
                Next::Unchecked if !this.held.is_empty() => {
                    this.passed = this.held.len();
                    continue;
                }
                Next::Body { remaining } => {
                    let limit = usize::try_from(remaining).unwrap_or(PIECE).min(PIECE);
                    let read = ready!(read_piece(&mut this.stream, cx, buffer, limit))?;
                    let read = u64::try_from(read).unwrap_or(remaining);
                    this.next = Next::Body {
                        remaining: remaining - read,
                    };
                    return Poll::Ready(Ok(()));
                }
                Next::Unchecked => {
                    ready!(read_piece(&mut this.stream, cx, buffer, PIECE))?;
                    return Poll::Ready(Ok(()));
                }
                // The response ends the connection.
                Next::Nothing => return Poll::Pending,
                Next::Head { searched } => searched,
            };
            let mut space = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if piece.filled().is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {
                    this.report_first_byte();
                    this.held.extend_from_slice(piece.filled());
                    this.advance_head(searched);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending if this.is_head_late(cx) => this.refuse(RefusedHead::slow()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn read_piece(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
    limit: usize,
) -> Poll<io::Result<usize>> {
    let mut space = [const { MaybeUninit::uninit() }; PIECE];
    let mut piece = ReadBuf::uninit(&mut space[..limit.min(buffer.remaining())]);
    ready!(Pin::new(stream).poll_read(cx, &mut piece))?;
    buffer.put_slice(piece.filled());
    Poll::Ready(Ok(piece.filled().len()))
}

impl AsyncWrite for CheckedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.check_write(cx, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, slices);
        this.check_write(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Linger::No = this.linger {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            let is_read = match this.next {
                Next::Head { .. } | Next::Body { remaining: 0 } => true,
                Next::Body { .. } | Next::Unchecked | Next::Nothing => false,
            };
            if is_read {
                return Poll::Ready(Ok(()));
            }
            this.linger = Linger::Yes {
                until: Box::pin(tokio::time::sleep(LINGER)),
                bytes: 0,
            };
        }
        let Linger::Yes { until, bytes } = &mut this.linger else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let mut space = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut space);
            match Pin::new(&mut this.stream).poll_read(cx, &mut piece) {
                Poll::Ready(Ok(())) if !piece.filled().is_empty() && *bytes < LINGER_BYTES => {
                    *bytes += piece.filled().len();
                }
                // The stream has ended, or too many bytes have been discarded.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return until.as_mut().poll(cx).map(Ok),
            }
        }
    }
}
