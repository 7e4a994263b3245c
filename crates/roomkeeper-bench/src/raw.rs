//! Sockets on which as little is spoken as it takes: HTTP, Redis and the Event Socket, one question at a time.
//!
//! Owns the other end of what is measured, so that it costs next to nothing, and what is measured is the program. Leaves
//! out what is asked.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::world::{APP, KEY};

/// The app of the harness and its key, as requests carry them.
pub const BENCH: (&str, &str) = (APP, KEY);

/// Room for an answer; longer ones make more.
const BUFFER: usize = 16 * 1024;

/// A connection, and what has come of an answer.
#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    came: BytesMut,
}

impl Socket {
    async fn to(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            came: BytesMut::with_capacity(BUFFER),
        })
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Reads until `is_whole` tells the length of an answer, and drops that.
    async fn answer<T>(
        &mut self,
        is_whole: impl Fn(&[u8]) -> io::Result<Option<(usize, T)>>,
    ) -> io::Result<T> {
        loop {
            if let Some((length, answer)) = is_whole(&self.came)? {
                self.came.advance(length);
                return Ok(answer);
            }
            if self.stream.read_buf(&mut self.came).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// HTTP/1.1, kept alive.
#[derive(Debug)]
pub struct Http(Socket);

impl Http {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn to(address: SocketAddr) -> io::Result<Self> {
        Socket::to(address).await.map(Self)
    }

    /// Sends a request and waits for all of its answer; returned is the status.
    ///
    /// # Errors
    /// When the connection ends, or the answer is none with a length.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        self.0.say(request).await?;
        self.0.answer(http_answer).await
    }

    /// The same, with the answer's body.
    ///
    /// # Errors
    /// As [`Http::ask`].
    pub async fn ask_for_body(&mut self, request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        self.0.say(request).await?;
        self.0
            .answer(|came| {
                let answer = http_answer(came)?;
                Ok(answer.map(|(whole, status)| {
                    let answer = &came[..whole];
                    let head = memmem::find(answer, b"\r\n\r\n").map_or(whole, |end| end + 4);
                    (whole, (status, answer[head..].to_vec()))
                }))
            })
            .await
    }
}

/// The length and the status of an answer, once it is whole.
fn http_answer(came: &[u8]) -> io::Result<Option<(usize, u16)>> {
    let Some(end) = memmem::find(came, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&came[..end]).map_err(|_| nonsense("not HTTP"))?;
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| nonsense("an answer without a status"))?;
    let length = length(head).ok_or_else(|| nonsense("an answer without a length"))?;
    let whole = end + 4 + length;
    Ok((came.len() >= whole).then_some((whole, status)))
}

/// What `Content-Length` says, in HTTP and on the Event Socket.
fn length(head: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse().ok())?
    })
}

/// A request without a body, of this app with this key; `path` from the root on.
pub fn get(path: &str, (app, key): (&str, &str)) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nX-App-ID: {app}\r\nX-API-Key: {key}\r\n\r\n")
        .into_bytes()
}

/// A request with a body of JSON.
pub fn post(path: &str, (app, key): (&str, &str), body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nX-App-ID: {app}\r\nX-API-Key: {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Redis, for answers of one line, and of several such in a list.
#[derive(Debug)]
pub struct Redis(Socket);

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn to(address: SocketAddr) -> io::Result<Self> {
        Socket::to(address).await.map(Self)
    }

    /// Asks a command whose answer is one line, or a list of such; returned are the lines, with spaces between them.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn ask(&mut self, words: &[impl AsRef<[u8]>]) -> io::Result<String> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.0.say(&command).await?;
        self.0.answer(redis_answer).await
    }
}

/// The length of an answer of Redis and its lines, once it is whole.
fn redis_answer(came: &[u8]) -> io::Result<Option<(usize, String)>> {
    let mut lines = Vec::new();
    let (mut at, mut missing) = (0, 1);
    while missing > 0 {
        let Some(end) = memmem::find(&came[at..], b"\r\n") else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&came[at..at + end]);
        if let Some(count) = line.strip_prefix('*') {
            missing += count.parse::<usize>().map_err(|_| nonsense("not Redis"))?;
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
    /// When nobody listens there, or refuses the password.
    pub async fn to(address: SocketAddr, password: &str) -> io::Result<Self> {
        let mut esl = Self(Socket::to(address).await?);
        esl.0.answer(esl_answer).await?;
        let accepted = esl.ask(format!("auth {password}\n\n").as_bytes()).await?;
        if memmem::find(&accepted, b"Reply-Text: +OK").is_some() {
            Ok(esl)
        } else {
            Err(nonsense("the password is refused"))
        }
    }

    /// Sends a command, with its blank line, and waits for its answer; returned is all of it.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn ask(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.say(command).await?;
        self.0.answer(esl_answer).await
    }
}

/// The length of an answer of the Event Socket and all of it, once it is whole.
pub(super) fn esl_answer(came: &[u8]) -> io::Result<Option<(usize, Vec<u8>)>> {
    let Some(end) = memmem::find(came, b"\n\n") else {
        return Ok(None);
    };
    let head = std::str::from_utf8(&came[..end]).map_err(|_| nonsense("not Event Socket"))?;
    let whole = end + 2 + length(head).unwrap_or(0);
    Ok(came.get(..whole).map(|answer| (whole, answer.to_vec())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_body() {
        let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 3\r\nx: y\r\n\r\nabc";
        assert_eq!(http_answer(answer).unwrap(), Some((answer.len(), 202)));
        for cut in 0..answer.len() {
            assert_eq!(http_answer(&answer[..cut]).unwrap(), None, "{cut}");
        }
        assert!(http_answer(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(http_answer(b"what?\r\n\r\n").is_err());
    }

    #[test]
    fn an_answer_of_redis_is_whole_with_all_its_lines() {
        let answer = b"*2\r\n:0\r\n:17\r\n";
        let lines = "*2 :0 :17".to_owned();
        assert_eq!(redis_answer(answer).unwrap(), Some((answer.len(), lines)));
        for cut in 0..answer.len() {
            assert_eq!(redis_answer(&answer[..cut]).unwrap(), None, "{cut}");
        }
        let one = redis_answer(b"+OK\r\n:1").unwrap();
        assert_eq!(one, Some((5, "+OK".to_owned())));
        assert!(redis_answer(b"*x\r\n").is_err());
    }

    #[test]
    fn an_answer_of_the_event_socket_is_whole_with_its_body() {
        let answer = b"Content-Type: api/response\nContent-Length: 3\n\n+OKmore";
        let whole = answer.len() - 4;
        let (length, text) = esl_answer(answer).unwrap().unwrap();
        assert_eq!((length, text.as_slice()), (whole, &answer[..whole]));
        assert_eq!(esl_answer(&answer[..whole - 1]).unwrap(), None);
        let reply = b"Content-Type: command/reply\nReply-Text: +OK\n\n";
        assert_eq!(esl_answer(reply).unwrap().unwrap().0, reply.len());
    }
}
