//! Follows an app's event stream from before a command until the event that confirms it.
//!
//! The stream is open before the command is sent, so no confirmation is missed. It resumes behind its last event when
//! the connection ends.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, StatusCode};
use serde_json::Value;
use sse_core::{SseDecoder, SseEvent};

use super::client::{Client, ClientError};
use super::print_to_stderr;
use super::tail::{IDLE_TIMEOUT, MAX_EVENT_BYTES};

/// The pause before a lost stream is opened again.
const RETRY: Duration = Duration::from_millis(500);

/// An open event stream.
#[derive(Debug)]
pub struct Follower<'a> {
    api: &'a Client,
    /// The filter of the stream.
    events: String,
    /// `None` after the connection has ended.
    stream: Option<Response>,
    decoder: SseDecoder,
    bytes: Bytes,
    /// The position to resume from.
    last: Option<String>,
}

impl<'a> Follower<'a> {
    /// Opens the stream of these events and waits until it has begun.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn open(
        api: &'a Client,
        events: impl IntoIterator<Item = &'static str>,
    ) -> Result<Self, ClientError> {
        let mut events: Vec<&str> = events.into_iter().collect();
        events.sort_unstable();
        events.dedup();
        let mut follower = Self {
            api,
            events: events.join(","),
            stream: None,
            decoder: SseDecoder::with_limit(MAX_EVENT_BYTES),
            bytes: Bytes::new(),
            last: None,
        };
        follower.connect().await?;
        // The stream has begun with its first event.
        while follower.next().await?["event"] != "stream.open" {}
        Ok(follower)
    }

    async fn connect(&mut self) -> Result<(), ClientError> {
        let query = [("event", self.events.as_str())];
        let mut headers = vec![("accept", "text/event-stream")];
        if let Some(last) = &self.last {
            headers.push(("last-event-id", last.as_str()));
        }
        self.stream = Some(self.api.stream("api/v1/events", &query, &headers).await?);
        self.decoder = SseDecoder::with_limit(MAX_EVENT_BYTES);
        self.bytes = Bytes::new();
        Ok(())
    }

    /// Returns the next event, also after a lost connection.
    ///
    /// # Errors
    /// [`ClientError`]: the controller refuses to open the stream again.
    pub async fn next(&mut self) -> Result<Value, ClientError> {
        loop {
            if let Some(event) = self.decode() {
                return Ok(event);
            }
            if !self.read().await {
                self.reconnect().await?;
            }
        }
    }

    /// Takes the next event from the bytes that have arrived.
    fn decode(&mut self) -> Option<Value> {
        while let Some(next) = self.decoder.next(&mut self.bytes) {
            let message = match next {
                Ok(SseEvent::Message(message)) => message,
                Ok(SseEvent::Retry(_)) => continue,
                Err(_) => {
                    print_to_stderr(&format!(
                        "skipped an event of more than {MAX_EVENT_BYTES} bytes"
                    ));
                    continue;
                }
            };
            let event = serde_json::from_str::<Value>(&message.data);
            if let Some(last) = self.decoder.last_event_id() {
                self.last = Some(last.to_string());
            }
            let Ok(event) = event else {
                print_to_stderr("skipped a message that is not an event");
                continue;
            };
            if message.event == "stream.gap" {
                print_to_stderr("events are missing: the confirmation can be among them");
            }
            return Some(event);
        }
        None
    }

    /// Reads more bytes; `false` if the connection has ended.
    async fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match tokio::time::timeout(IDLE_TIMEOUT, stream.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                self.bytes = bytes;
                true
            }
            Ok(Ok(None) | Err(_)) | Err(_) => {
                self.stream = None;
                false
            }
        }
    }

    /// Opens the stream again behind its last event, until the controller answers.
    async fn reconnect(&mut self) -> Result<(), ClientError> {
        loop {
            tokio::time::sleep(RETRY).await;
            match self.connect().await {
                Ok(()) => return Ok(()),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// True if the same request can succeed later.
fn is_passing(error: &ClientError) -> bool {
    match error.status() {
        None => matches!(error, ClientError::Unreachable { .. }),
        Some(status) => status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error(),
    }
}
