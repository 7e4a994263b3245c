//! A connection with a limit on the bytes of each response.
//!
//! Counts bytes regardless of their meaning, so the limit covers everything that the HTTP library reads before it has
//! a response: a head, and informational responses, of which it reads any number without yielding. The bytes are
//! counted above TLS. Driven by `sender`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};

/// The maximum number of bytes of one read.
const STEP: usize = 8 * 1024;

/// The receiver sent more bytes than the limit of one request.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more than {0} bytes were sent")]
pub(super) struct TooMuch(usize);

/// A connection with a limit. Each write starts a request and resets the count.
#[derive(Debug)]
pub(super) struct Bounded<T> {
    inner: T,
    limit: usize,
    read: usize,
}

impl<T> Bounded<T> {
    /// Limits the bytes that are read for each request.
    pub(super) const fn new(inner: T, limit: usize) -> Self {
        Self {
            inner,
            limit,
            read: 0,
        }
    }
}

impl<T: Read + Unpin> Read for Bounded<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let remaining = self.limit.saturating_sub(self.read);
        if remaining == 0 {
            return Poll::Ready(Err(io::Error::other(TooMuch(self.limit))));
        }
        let mut bytes = [0; STEP];
        let (step, _) = bytes.split_at_mut(STEP.min(remaining).min(buffer.remaining()));
        let mut step = ReadBuf::new(step);
        ready!(Pin::new(&mut self.inner).poll_read(cx, step.unfilled()))?;
        self.read += step.filled().len();
        buffer.put_slice(step.filled());
        Poll::Ready(Ok(()))
    }
}

impl<T: Write + Unpin> Write for Bounded<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.read = 0;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.read = 0;
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }
}

impl<T: Connection> Connection for Bounded<T> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn each_request_reads_bytes_up_to_limit() {
        let (near, mut far) = duplex(64 * 1024);
        let mut bounded = Bounded::new(TokioIo::new(near), 20_000);
        far.write_all(&[b'x'; 50_000]).await.unwrap();
        for _ in 0..2 {
            poll_fn(|cx| Pin::new(&mut bounded).poll_write(cx, b"request"))
                .await
                .unwrap();
            let mut request = [0; 7];
            far.read_exact(&mut request).await.unwrap();
            let mut read = 0;
            let error = loop {
                let mut bytes = [0; 15_000];
                let mut buffer = ReadBuf::new(&mut bytes);
                let done =
                    poll_fn(|cx| Pin::new(&mut bounded).poll_read(cx, buffer.unfilled())).await;
                match done {
                    Ok(()) => read += buffer.filled().len(),
                    Err(error) => break error,
                }
            };
            assert_eq!(read, 20_000);
            assert_eq!(error.to_string(), "more than 20000 bytes were sent");
        }
    }
}
