//! Minimal clients of HTTP, Redis and the Event Socket, with one request in flight.
//!
//! Owns the measuring end of a connection. It costs almost nothing, so that a measurement shows the program under test.
//! Leaves out the requests.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{APP, KEY};

/// The app of the harness and its key, as requests carry them.
pub const BENCH: (&str, &str) = (APP, KEY);

/// Initial capacity for an answer; it grows for longer ones.
const BUFFER: usize = 16 * 1024;

/// A connection, and the received part of an answer.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    received: BytesMut,
}

impl Socket {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: BytesMut::with_capacity(BUFFER),
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads until `parse` returns the length of an answer, and removes that from the buffer.
    async fn read_answer<T>(
        &mut self,
        parse: impl Fn(&[u8]) -> io::Result<Option<(usize, T)>>,
    ) -> io::Result<T> {
        loop {
            if let Some((length, answer)) = parse(&self.received)? {
                self.received.advance(length);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn invalid_data(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// HTTP/1.1, kept alive.
#[derive(Debug)]
pub struct Http(Socket);

impl Http {
    /// Connects.
    ///
    /// # Errors
    /// When the connection is refused.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Socket::connect(address).await.map(Self)
    }

    /// Sends a request, waits for the complete response and returns its status.
    ///
    /// # Errors
    /// When the connection ends, or the response has no length.
    pub async fn send(&mut self, request: &[u8]) -> io::Result<u16> {
        self.0.write(request).await?;
        self.0.read_answer(parse_http_response).await
    }

    /// As [`Http::send`], and returns the response's body.
    ///
    /// # Errors
    /// As [`Http::send`].
    pub async fn send_for_body(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.0.write(request).await?;
        self.0
            .read_answer(|received| {
                let answer = parse_http_response(received)?;
                Ok(answer.map(|(whole, status)| {
                    let answer = &received[..whole];
                    let head = memmem::find(answer, b"\r\n\r\n").map_or(whole, |end| end + 4);
                    (whole, (status, answer[head..].to_vec()))
                }))
            })
            .await
    }
}

/// Returns the length and the status of a response, once it is complete.
fn parse_http_response(received: &[u8]) -> io::Result<Option<(usize, u16)>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end]).map_err(|_| invalid_data("not HTTP"))?;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| invalid_data("a response without a status"))?;
    let length = content_length(head).ok_or_else(|| invalid_data("a response without a length"))?;
    let whole = end + 4 + length;
    Ok((received.len() >= whole).then_some((whole, status)))
}

/// Parses `Content-Length`, in HTTP and on the Event Socket.
fn content_length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_content_length = name.eq_ignore_ascii_case("content-length");
        is_content_length.then(|| value.trim().parse().ok())?
    })
}

/// Returns a request of this app without a body; `path` is absolute.
pub fn get(path: &str, (app, key): (&str, &str)) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-App-ID: {app}\r\nX-API-Key: {key}\r\n\r\n")
        .into_bytes()
}

/// Returns a request with a JSON body.
pub fn post(path: &str, (app, key): (&str, &str), body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-App-ID: {app}\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Redis, for answers of one line or a list of lines.
#[derive(Debug)]
pub struct Redis(Socket);

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// When the connection is refused.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        Socket::connect(address).await.map(Self)
    }

    /// Sends a command whose answer is one line or a list of lines. Returns the lines, separated by spaces.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<String> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.0.write(&command).await?;
        self.0.read_answer(parse_redis_answer).await
    }
}

/// Returns the length and the lines of a Redis answer, once it is complete.
fn parse_redis_answer(received: &[u8]) -> io::Result<Option<(usize, String)>> {
    let mut lines = Vec::new();
    let (mut at, mut missing) = (0, 1);
    while missing > 0 {
        let Some(end) = memmem::find(&received[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&received[at..at + end]);
        if let Some(count) = line.strip_prefix('*') {
            missing += count
                .parse::<usize>()
                .map_err(|_| invalid_data("not a Redis answer"))?;
        }
        missing -= 1;
        lines.push(line.into_owned());
        at += end + 2;
    }
    Ok(Some((at, lines.join(" "))))
}

/// The Event Socket, without events.
#[derive(Debug)]
pub struct Esl(Socket);

impl Esl {
    /// Connects and authenticates.
    ///
    /// # Errors
    /// When the connection or the password is refused.
    pub async fn connect(address: SocketAddr, password: &str) -> io::Result<Self> {
        let mut esl = Self(Socket::connect(address).await?);
        esl.0.read_answer(parse_esl_answer).await?;
        let accepted = esl.send(format!("auth {password}\n\n").as_bytes()).await?;
        if memmem::find(&accepted, b"Reply-Text: +OK").is_some() {
            Ok(esl)
        } else {
            Err(invalid_data("the password is refused"))
        }
    }

    /// Sends a command, which includes its blank line, and returns the complete answer.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn send(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write(command).await?;
        self.0.read_answer(parse_esl_answer).await
    }
}

/// Returns the length and the bytes of an Event Socket answer, once it is complete.
pub(super) fn parse_esl_answer(received: &[u8]) -> io::Result<Option<(usize, Vec<u8>)>> {
    let Some(end) = memmem::find(received, b"\n\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&received[..end])
        .map_err(|_| invalid_data("not an Event Socket answer"))?;
    let whole = end + 2 + content_length(head).unwrap_or(0);
    Ok(received.get(..whole).map(|answer| (whole, answer.to_vec())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn http_response_is_complete_with_its_body() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\nx: y\r\n\r\nabc";
        assert_eq!(
            parse_http_response(answer).unwrap(),
            Some((answer.len(), 202))
        );
        for cut in 0..answer.len() {
            assert_eq!(parse_http_response(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert!(parse_http_response(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(parse_http_response(b"what?\r\n\r\n").is_err());
    }

    #[test]
    fn redis_answer_is_complete_with_all_its_lines() {
        let answer = b"*2\r\n:0\r\n:17\r\n";
        let lines = "*2 :0 :17".to_owned();
        assert_eq!(
            parse_redis_answer(answer).unwrap(),
            Some((answer.len(), lines))
        );
        for cut in 0..answer.len() {
            assert_eq!(parse_redis_answer(&answer[..cut]).unwrap(), None, "{cut}");
        }
        let one = parse_redis_answer(b"+OK\r\n:1").unwrap();
        assert_eq!(one, Some((5, "+OK".to_owned())));
        assert!(parse_redis_answer(b"*x\r\n").is_err());
    }

    #[test]
    fn esl_answer_is_complete_with_its_body() {
        let answer = b"Content-Type: api/response\nContent-Length: 3\n\n+OKmore";
        let whole = answer.len() - 4;
        let (length, text) = parse_esl_answer(answer).unwrap().unwrap();
        assert_eq!((length, text.as_slice()), (whole, &answer[..whole]));
        assert_eq!(parse_esl_answer(&answer[..whole - 1]).unwrap(), None);
        let reply = b"Content-Type: command/reply\nReply-Text: +OK\n\n";
        assert_eq!(parse_esl_answer(reply).unwrap().unwrap().0, reply.len());
    }
}
