//! The data of commits in Redis, read from outside: their messages, a commit as it was sent, and the hashes that requests
//! read.
//!
//! Owns the harness's knowledge of a few keys of the layout. Leaves out their meaning for the controller.

use std::io;
use std::net::SocketAddr;

use redis::Value;
use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::world::{Redis, node_id};
use super::{BenchError, raw};

/// Returns the key of the stream to which a node's commits append one message per event.
pub fn stream_key(node: usize) -> String {
    format!("rk1:{{{}}}:outbox", node_id(node))
}

/// The outboxes of the simulated nodes, watched from outside.
#[derive(Debug)]
pub struct Outboxes {
    connection: MultiplexedConnection,
    nodes: usize,
}

impl Outboxes {
    /// Connects to the outboxes of the first `nodes` nodes.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn for_nodes(redis: &Redis, nodes: usize) -> Result<Self, BenchError> {
        let connection = redis.connect().await?;
        Ok(Self { connection, nodes })
    }

    /// Returns the number of messages committed since the store was empty, including those no longer in an outbox.
    ///
    /// # Errors
    /// When Redis returns an error or an unexpected answer.
    pub async fn count_committed(&mut self) -> Result<u64, BenchError> {
        let mut pipe = redis::pipe();
        for node in 0..self.nodes {
            pipe.cmd("XREVRANGE")
                .arg((stream_key(node), "+", "-", "COUNT", 1));
        }
        let last: Vec<Value> = pipe.query_async(&mut self.connection).await?;
        last.iter().map(position).sum()
    }
}

/// Returns the position of the message in an answer to `XREVRANGE`: its id is `0-<position>`; 0 without a message.
fn position(entries: &Value) -> Result<u64, BenchError> {
    type Entry = (String, Value);
    let entries: Vec<Entry> = redis::from_redis_value(entries.clone()).map_err(|error| {
        BenchError::Unexpected(format!("an outbox entry is not a message: {error}"))
    })?;
    let Some((id, _)) = entries.first() else {
        return Ok(0);
    };
    let position = id.split_once('-').and_then(|(_, n)| n.parse().ok());
    position
        .ok_or_else(|| BenchError::Unexpected(format!("id {id} is not a position in an outbox")))
}

/// Watches the commands of all other clients of a Redis (`MONITOR`).
#[derive(Debug)]
pub struct Monitor(BufReader<TcpStream>);

impl Monitor {
    /// Starts watching.
    ///
    /// # Errors
    /// When Redis refuses.
    pub async fn start(redis: &Redis) -> Result<Self, BenchError> {
        let watching = || BenchError::system("watch Redis");
        let stream = TcpStream::connect(("127.0.0.1", redis.port())).await;
        let mut stream = BufReader::new(stream.map_err(watching())?);
        let sent = stream.get_mut().write_all(b"MONITOR\r\n").await;
        sent.map_err(watching())?;
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

    /// Returns the words of the next command with a word that contains `part`.
    ///
    /// # Errors
    /// When the connection ends.
    pub async fn next_with(&mut self, part: &str) -> Result<Vec<String>, BenchError> {
        loop {
            let words = parse_words(&self.line().await?);
            if words.iter().any(|word| word.contains(part)) {
                return Ok(words);
            }
        }
    }
}

/// Returns the keys of the hashes that a controller reads for these paths of its API, one for each, as `MONITOR` shows them.
///
/// # Errors
/// When a path is not found, or Redis refuses to be watched.
pub async fn hash_keys_for(
    redis: &Redis,
    controller: SocketAddr,
    paths: impl IntoIterator<Item = String>,
) -> Result<Vec<String>, BenchError> {
    let failed = || BenchError::system("send a request to the controller");
    let mut monitor = Monitor::start(redis).await?;
    let mut http = raw::Http::connect(controller).await.map_err(failed())?;
    let mut keys = Vec::new();
    for path in paths {
        let status = http.send(&raw::get(&path, raw::BENCH)).await;
        let status = status.map_err(failed())?;
        if status != 200 {
            return Err(BenchError::Unexpected(format!(
                "status {status} for {path}"
            )));
        }
        // Background work reads other hashes.
        let is_entity = |key: &String| key.contains("}:room:") || key.contains("}:call:");
        let key = loop {
            let mut words = monitor.next_with("HGETALL").await?;
            if let Some(key) = words.pop().filter(is_entity) {
                break key;
            }
        };
        keys.push(key);
    }
    Ok(keys)
}

/// Parses the words of a line of `MONITOR`: the quoted texts, without their escapes.
fn parse_words(line: &str) -> Vec<String> {
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
    fn monitor_line_is_split_into_words() {
        let line = r#"1700000000.1 [0 127.0.0.1:5] "EVALSHA" "ab" "" "{\"a\":\"\\\\\xc3\xa9\n\"}""#;
        assert_eq!(
            parse_words(line),
            ["EVALSHA", "ab", "", "{\"a\":\"\\\\é\n\"}"]
        );
    }

    #[test]
    fn message_position_is_the_number_in_its_id() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = Value::Array(vec![text("id"), text("msg_1")]);
        let entry = Value::Array(vec![text("0-42"), fields]);
        assert_eq!(position(&Value::Array(vec![entry])).unwrap(), 42);
        assert_eq!(position(&Value::Array(Vec::new())).unwrap(), 0);
        assert!(position(&text("x")).is_err());
    }
}
