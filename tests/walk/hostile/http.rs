//! Requests that no client would send, byte for byte.

use std::fmt::Write as _;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A request whose parts can be any bytes.
#[derive(Clone, Debug)]
pub struct Raw {
    pub method: String,
    pub target: Vec<u8>,
    pub app: Vec<u8>,
    pub key: Vec<u8>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// Returns true if the answer has the common form of all errors.
    pub fn is_envelope(&self) -> bool {
        let json = self.json();
        json["success"] == false && json["error"].as_str().is_some_and(|text| !text.is_empty())
    }
}

impl Raw {
    pub fn new(method: &str, target: impl Into<Vec<u8>>, (app, key): (&str, &str)) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            app: app.into(),
            key: key.into(),
            body: None,
        }
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the request on a connection of its own.
    pub async fn send(&self, port: u16) -> Answer {
        let mut wire = format!("{} ", self.method).into_bytes();
        wire.extend_from_slice(&self.target);
        wire.extend_from_slice(b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-App-ID: ");
        wire.extend_from_slice(&self.app);
        wire.extend_from_slice(b"\r\nX-API-Key: ");
        wire.extend_from_slice(&self.key);
        wire.extend_from_slice(b"\r\n");
        if let Some(body) = &self.body {
            let length = body.len();
            let about = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
            wire.extend_from_slice(about.as_bytes());
        }
        wire.extend_from_slice(b"\r\n");
        wire.extend_from_slice(self.body.as_deref().unwrap_or_default());
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut answers, mut requests) = stream.into_split();
        // A server that has read enough answers and closes without reading the rest.
        let sending = async {
            let _ = requests.write_all(&wire).await;
            std::future::pending::<()>().await;
        };
        let mut got = Vec::new();
        let reading = async {
            // A server that resets the connection has answered before.
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = answers.read(&mut buffer).await {
                got.extend_from_slice(&buffer[..length]);
                if is_stream(&got) {
                    break;
                }
            }
        };
        tokio::select! {
            () = sending => {}
            () = reading => {}
        }
        let text = String::from_utf8_lossy(&got).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Answer {
            status: status.unwrap_or_else(|| panic!("no answer to {self:?}: {text:?}")),
            text: body.to_owned(),
        }
    }
}

/// Returns true at the beginning of an answer that does not end by itself.
fn is_stream(got: &[u8]) -> bool {
    let text = String::from_utf8_lossy(got).to_ascii_lowercase();
    let head = text.split_once("\r\n\r\n").map(|(head, _)| head);
    head.is_some_and(|head| head.contains("content-type: text/event-stream"))
}

/// Encodes every byte as `%XX`, as a client encodes a text in a path.
pub fn encoded(text: &[u8]) -> String {
    let mut written = String::with_capacity(text.len() * 3);
    for byte in text {
        write!(written, "%{byte:02X}").unwrap();
    }
    written
}
