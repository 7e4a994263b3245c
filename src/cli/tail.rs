//! `roomkeeper tail`: follows an app's events through the API's event stream.
//!
//! Owns the connection: it reconnects behind the last event, so that no event is lost or shown twice, and reports gaps.
//! `sse-core` decodes the stream, with a limit on the size of an event. Leaves out the events themselves.

use std::num::NonZeroUsize;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use sse_core::{MessageEvent, SseDecoder, SseEvent};

use crate::shutdown::stop_signal;
use roomkeeper_core::ids::RoomId;

use super::client::{Client, ClientError};
use super::{Failure, chain, line, print, print_to_stderr};

/// The maximum size of an event in bytes. Webhook bodies have a few KiB, because names and URLs are bounded.
pub(super) const MAX_EVENT_BYTES: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 20) - 1);

/// The time without any bytes after which a stream counts as dead. A healthy one sends something every 15 s.
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(45);

/// The pause between two attempts to connect, unless the controller sends another; it doubles with each failure.
const RETRY: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const MAX_RETRY: Duration = Duration::from_secs(15);

/// The events to follow.
#[derive(Clone, Debug, Default)]
pub struct EventQuery {
    /// Only events of this room.
    pub room: Option<RoomId>,
    /// Names and prefixes; all events if empty.
    pub events: Vec<String>,
    /// Start behind the event with this id.
    pub since: Option<String>,
}

/// The output format.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// One JSON object per line: the event's body with its `id`.
    pub json: bool,
    /// Use colours.
    pub colours: bool,
}

/// Prints events until a signal comes, the room ends, or the output is closed.
///
/// # Errors
/// [`Failure`]: the controller was never reached, or it refuses.
pub async fn run(api: &Client, query: EventQuery, format: Format) -> Result<(), Failure> {
    let stop = stop_signal();
    let mut tail = Tail {
        api,
        last: query.since.clone(),
        query,
        format,
        retry: RETRY,
        failures: 0,
        was_connected: false,
        is_lost: false,
        is_over: false,
    };
    let ended = tokio::select! {
        ended = tail.follow() => ended,
        () = stop => Ok(()),
    };
    if let Some(last) = tail.last
        && !tail.is_over
    {
        print_to_stderr(&format!(
            "continue behind the last event with: --since {last}"
        ));
    }
    ended
}

struct Tail<'a> {
    api: &'a Client,
    query: EventQuery,
    format: Format,
    /// The id of the last printed event, or the start position.
    last: Option<String>,
    retry: Duration,
    /// Consecutive failed attempts to connect.
    failures: u32,
    was_connected: bool,
    /// The loss of the connection has been reported.
    is_lost: bool,
    /// The room's last event has been printed.
    is_over: bool,
}

impl Tail<'_> {
    async fn follow(&mut self) -> Result<(), Failure> {
        loop {
            let wait = match self.open().await {
                Ok(stream) => {
                    let why = self.read(stream).await?;
                    if self.is_over || self.is_room_gone().await {
                        self.is_over = true;
                        print_to_stderr("the room has ended");
                        return Ok(());
                    }
                    self.report_loss(&why);
                    self.next_pause()
                }
                Err(error) => match self.handle_error(error)? {
                    Some(wait) => wait,
                    None => return Ok(()),
                },
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// True if the stream ended because its room did. A filter can hide the room's last event.
    async fn is_room_gone(&self) -> bool {
        let Some(room) = self.query.room else {
            return false;
        };
        let path = format!("api/v1/conferences/{room}");
        let answer = self.api.get(&path, &[]).await;
        answer.is_err_and(|error| error.status() == Some(StatusCode::NOT_FOUND))
    }

    async fn open(&self) -> Result<Response, ClientError> {
        let room = self.query.room.map(|room| room.to_string());
        let events = self.query.events.join(",");
        let mut query = Vec::new();
        if let Some(room) = &room {
            query.push(("room_id", room.as_str()));
        }
        if !events.is_empty() {
            query.push(("event", events.as_str()));
        }
        let mut headers = vec![("accept", "text/event-stream")];
        if let Some(last) = &self.last {
            headers.push(("last-event-id", last.as_str()));
        }
        self.api.stream("api/v1/events", &query, &headers).await
    }

    /// The pause before the next attempt after a failed one; `None` if no more events can come.
    fn handle_error(&mut self, error: ClientError) -> Result<Option<Duration>, Failure> {
        let retry_after = match &error {
            ClientError::Refused { retry_after, .. } => *retry_after,
            ClientError::Unreachable { .. }
            | ClientError::Unauthorized { .. }
            | ClientError::NotRoomkeeper { .. }
            | ClientError::KeyFile { .. }
            | ClientError::NoClient(_) => None,
        };
        match (&error, error.status()) {
            (ClientError::Unauthorized { .. } | ClientError::NoClient(_), _) => Err(error.into()),
            (_, Some(StatusCode::NOT_FOUND)) if self.was_connected && self.query.room.is_some() => {
                self.is_over = true;
                print_to_stderr("the room has ended");
                Ok(None)
            }
            // The same request was accepted before, so the controller rejects the stream position.
            (_, Some(StatusCode::BAD_REQUEST)) if self.was_connected && self.last.is_some() => {
                self.last = None;
                print_to_stderr(
                    "the controller no longer knows the last event: events may be missing here",
                );
                Ok(Some(Duration::ZERO))
            }
            (_, Some(status))
                if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() =>
            {
                self.report_loss(&error.to_string());
                let pause = self.next_pause();
                Ok(Some(retry_after.unwrap_or(pause)))
            }
            (ClientError::Refused { .. }, _) => Err(error.into()),
            (_, _) if self.was_connected => {
                self.report_loss(&error.to_string());
                Ok(Some(self.next_pause()))
            }
            (_, _) => Err(error.into()),
        }
    }

    /// Reports the loss of the connection once, not for each attempt.
    fn report_loss(&mut self, why: &str) {
        if !self.is_lost {
            self.is_lost = true;
            print_to_stderr(&format!("{why}; reconnecting"));
        }
    }

    /// The pause before the next attempt: a random half to all of a time that doubles with each failure.
    fn next_pause(&mut self) -> Duration {
        let longest = self
            .retry
            .saturating_mul(1 << self.failures.min(10))
            .min(MAX_RETRY.max(self.retry));
        self.failures += 1;
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Prints events until the stream ends, and returns the reason.
    async fn read(&mut self, mut stream: Response) -> Result<String, Failure> {
        let mut decoder = SseDecoder::with_limit(MAX_EVENT_BYTES);
        loop {
            let mut bytes = match tokio::time::timeout(IDLE_TIMEOUT, stream.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Ok("the controller ended the stream".to_owned()),
                Ok(Err(error)) => {
                    return Ok(format!(
                        "the connection was lost: {}",
                        chain(&error.without_url())
                    ));
                }
                Err(_) => return Ok(format!("the stream was silent for {IDLE_TIMEOUT:.0?}")),
            };
            let mut text = String::new();
            while let Some(next) = decoder.next(&mut bytes) {
                match next {
                    Ok(SseEvent::Message(message)) => text.push_str(&self.render(&message)),
                    Ok(SseEvent::Retry(ms)) => self.retry = Duration::from_millis(ms.into()),
                    Err(_) => print_to_stderr(&format!(
                        "skipped an event of more than {MAX_EVENT_BYTES} bytes"
                    )),
                }
            }
            if !text.is_empty() {
                print(&text)?;
            }
            // Set after printing, because the stream resumes behind it. Filtered events can send their id alone.
            if let Some(last) = decoder.last_event_id() {
                self.last = Some(last.to_string());
            }
        }
    }

    /// Renders a message of the stream; empty for one that is reported on standard error.
    fn render(&mut self, message: &MessageEvent) -> String {
        let Ok(body) = serde_json::from_str::<Value>(&message.data) else {
            print_to_stderr("skipped a message that is not an event");
            return String::new();
        };
        if message.event == "stream.open" {
            self.handle_open(body["data"]["resumed"] == true);
            return String::new();
        }
        self.is_over |= message.event == "conference.destroyed" && self.query.room.is_some();
        if self.format.json {
            let rest = message.data.trim_start().strip_prefix('{');
            return match (&message.last_event_id, rest) {
                // An event that is not stored carries the id of its predecessor and is no resume position.
                (Some(id), Some(rest)) if self.is_stored(&message.event) => {
                    format!("{{\"id\":{},{rest}\n", Value::from(&**id))
                }
                _ => format!("{}\n", message.data),
            };
        }
        if message.event == "stream.gap" {
            return gap(&body, self.format.colours);
        }
        line::event(&body, self.format.colours)
    }

    fn is_stored(&self, event: &str) -> bool {
        !event.starts_with("member.")
    }

    fn handle_open(&mut self, resumed: bool) {
        let url = self.api.origin();
        match (self.was_connected, self.last.is_some(), resumed) {
            (false, _, _) => print_to_stderr(&format!("connected to {url}; times are UTC")),
            (true, true, true) => print_to_stderr("reconnected: the events in between follow"),
            (true, _, _) => print_to_stderr("reconnected: the events in between are not shown"),
        }
        self.was_connected = true;
        self.is_lost = false;
        self.failures = 0;
    }
}

/// Renders a `stream.gap`: events that can no longer be read.
fn gap(body: &Value, colours: bool) -> String {
    let nodes = body["data"]["nodes"].as_array().map(Vec::as_slice);
    let missing: Vec<String> = nodes
        .unwrap_or_default()
        .iter()
        .map(|node| {
            let name = node["node"].as_str().unwrap_or("?");
            match node["missing"].as_u64() {
                Some(number) => format!("{number} of {name}"),
                None => format!("some of {name}"),
            }
        })
        .collect();
    line::other(
        &line::clock(body["timestamp"].as_str().unwrap_or_default()),
        "stream.gap",
        &[&format!(
            "events are missing: {}; read the rooms again",
            missing.join(", ")
        )],
        &console::Style::new().red().bold().force_styling(colours),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn gap_names_missing_events_of_each_node() {
        let body = json!({"event": "stream.gap", "timestamp": "2026-05-06T12:34:56.000000Z", "app_id": "demo",
            "data": {"nodes": [{"node": "acW68", "missing": 12}, {"node": "bbbbb", "missing": null}]}});
        assert_eq!(
            gap(&body, false),
            "12:34:56.000  stream.gap                   events are missing: 12 of acW68, some of bbbbb; \
             read the rooms again\n"
        );
    }

    #[test]
    fn pause_doubles_with_each_failure_and_is_random() {
        let api = Client::api("http://127.0.0.1:9".parse().unwrap(), None, None).unwrap();
        let mut tail = Tail {
            api: &api,
            query: EventQuery::default(),
            format: Format {
                json: false,
                colours: false,
            },
            last: None,
            retry: Duration::from_secs(2),
            failures: 0,
            was_connected: false,
            is_lost: false,
            is_over: false,
        };
        for longest in [2.0, 4.0, 8.0, 15.0, 15.0] {
            let pause = tail.next_pause().as_secs_f64();
            assert!((longest / 2.0..=longest).contains(&pause), "{pause}");
        }
        tail.handle_open(false);
        assert!(tail.next_pause() <= Duration::from_secs(2));
    }

    #[test]
    fn json_has_id_of_stored_events_only() {
        let api = Client::api("http://127.0.0.1:9".parse().unwrap(), None, None).unwrap();
        let mut tail = Tail {
            api: &api,
            query: EventQuery::default(),
            format: Format {
                json: true,
                colours: false,
            },
            last: None,
            retry: RETRY,
            failures: 0,
            was_connected: false,
            is_lost: false,
            is_over: false,
        };
        let message = |event: &'static str| MessageEvent {
            event: event.into(),
            data: format!("{{\"event\":\"{event}\"}}"),
            last_event_id: Some("a\"b".into()),
        };
        assert_eq!(
            tail.render(&message("call.new")),
            "{\"id\":\"a\\\"b\",\"event\":\"call.new\"}\n"
        );
        assert_eq!(
            tail.render(&message("member.talking")),
            "{\"event\":\"member.talking\"}\n"
        );
    }
}
