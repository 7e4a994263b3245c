//! What commits leave in Redis, read from outside: the messages they have written, a commit as it was sent, and which hashes
//! are read.
//!
//! Owns the few keys that the harness knows of the layout. Leaves out what they mean to the controller.

use std::io;
use std::net::SocketAddr;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::world::{Redis, node_id};
use super::{BenchError, raw};

/// The stream that a node's commits append to; one message for each event that is told.
pub fn key(node: usize) -> String {
    format!("rk1:{{{}}}:outbox", node_id(node))
}

/// The outboxes of the simulated nodes, each watched from outside.
#[derive(Debug)]
pub struct Outboxes {
    connection: MultiplexedConnection,
    nodes: usize,
}

impl Outboxes {
    /// Those of so many nodes.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn of(redis: &Redis, nodes: usize) -> Result<Self, BenchError> {
        let connection = redis.connect().await?;
        Ok(Self { connection, nodes })
    }

    /// How many messages have been committed since the store was empty. What has been handed over and forgotten counts.
    ///
    /// # Errors
    /// When Redis does not answer as it should.
    pub async fn told(&mut self) -> Result<u64, BenchError> {
        let mut pipe = redis::pipe();
        for node in 0..self.nodes {
            pipe.cmd("XREVRANGE").arg((key(node), "+", "-", "COUNT", 1));
        }
        let last: Vec<Value> = pipe.query_async(&mut self.connection).await?;
        last.iter().map(position).sum()
    }
}

/// Where the one message of an answer to `XREVRANGE` stands: its id is `0-<position>`; 0 when there is none.
fn position(entries: &Value) -> Result<u64, BenchError> {
    type Entry = (String, Value);
    let entries: Vec<Entry> = redis::from_redis_value(entries.clone()).map_err(|error| {
        BenchError::Unexpected(format!("what lies in an outbox is no message: {error}"))
    })?;
    let Some((id, _)) = entries.first() else {
        return Ok(0);
    };
    let position = id.split_once('-').and_then(|(_, n)| n.parse().ok());
    position.ok_or_else(|| BenchError::Unexpected(format!("{id} is no place in an outbox")))
}

/// Whoever watches what others ask of a Redis.
#[derive(Debug)]
pub struct Monitor(BufReader<TcpStream>);

impl Monitor {
    /// From now on.
    ///
    /// # Errors
    /// When Redis does not let it.
    pub async fn of(redis: &Redis) -> Result<Self, BenchError> {
        let watching = || BenchError::system("watch Redis");
        let stream = TcpStream::connect(("127.0.0.1", redis.port())).await;
        let mut stream = BufReader::new(stream.map_err(watching())?);
        let asked = stream.get_mut().write_all(b"MONITOR\r\n").await;
        asked.map_err(watching())?;
        let mut monitor = Self(stream);
        let answer = monitor.line().await?;
        if answer == "+OK" {
            Ok(monitor)
        } else {
            Err(BenchError::Unexpected(format!("MONITOR: {answer}")))
        }
    }

    async fn line(&mut self) -> Result<String, BenchError> {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).await;
        match read.map_err(BenchError::system("watch Redis"))? {
            0 => Err(BenchError::System(
                "watch Redis".to_owned(),
                io::ErrorKind::UnexpectedEof.into(),
            )),
            _ => Ok(line.trim_end().to_owned()),
        }
    }

    /// The words of the next command that has this among them.
    ///
    /// # Errors
    /// When Redis is gone.
    pub async fn next_with(&mut self, part: &str) -> Result<Vec<String>, BenchError> {
        loop {
            let words = words(&self.line().await?);
            if words.iter().any(|word| word.contains(part)) {
                return Ok(words);
            }
        }
    }
}

/// The keys of the hashes that a controller reads for these paths of its API, one each, as they are seen to be read.
///
/// # Errors
/// When one is not there, or Redis does not let anybody watch.
pub async fn read_for(
    redis: &Redis,
    controller: SocketAddr,
    paths: impl IntoIterator<Item = String>,
) -> Result<Vec<String>, BenchError> {
    let failed = || BenchError::system("ask the controller");
    let mut monitor = Monitor::of(redis).await?;
    let mut http = raw::Http::to(controller).await.map_err(failed())?;
    let mut keys = Vec::new();
    for path in paths {
        let status = http.ask(&raw::get(&path, raw::BENCH)).await;
        let status = status.map_err(failed())?;
        if status != 200 {
            return Err(BenchError::Unexpected(format!("{status} for {path}")));
        }
        // Others are read by what goes on besides.
        let is_of_one = |key: &String| key.contains("}:room:") || key.contains("}:call:");
        let key = loop {
            let mut words = monitor.next_with("HGETALL").await?;
            if let Some(key) = words.pop().filter(is_of_one) {
                break key;
            }
        };
        keys.push(key);
    }
    Ok(keys)
}

/// The words of a line of `MONITOR`: what stands between quotes, with its escapes undone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars();
    while chars.by_ref().any(|c| c == '"') {
        let mut word = Vec::new();
        loop {
            match chars.next() {
                None | Some('"') => break,
                Some('\\') => match chars.next() {
                    Some('x') => {
                        let hex: String = chars.by_ref().take(2).collect();
                        word.push(u8::from_str_radix(&hex, 16).unwrap_or(b'?'));
                    }
                    Some('n') => word.push(b'\n'),
                    Some('r') => word.push(b'\r'),
                    Some('t') => word.push(b'\t'),
                    Some(c) => word.extend(c.to_string().bytes()),
                    None => break,
                },
                Some(c) => word.extend(c.to_string().bytes()),
            }
        }
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_line_of_monitor_is_taken_apart() {
        let line = r#"1700000000.1 [0 127.0.0.1:5] "EVALSHA" "ab" "" "{\"a\":\"\\\\\xc3\xa9\n\"}""#;
        assert_eq!(words(line), ["EVALSHA", "ab", "", "{\"a\":\"\\\\é\n\"}"]);
    }

    #[test]
    fn the_position_of_a_message_is_its_number() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = Value::Array(vec![text("id"), text("msg_1")]);
        let entry = Value::Array(vec![text("0-42"), fields]);
        assert_eq!(position(&Value::Array(vec![entry])).unwrap(), 42);
        assert_eq!(position(&Value::Array(Vec::new())).unwrap(), 0);
        assert!(position(&text("x")).is_err());
    }
}
