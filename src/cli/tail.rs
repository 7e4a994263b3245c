//! `roomkeeper tail`: an app's events as they come, from the API's stream of them.
//!
//! Owns the connection: it is made again when it ends, from behind the last event, so that none is lost or shown twice;
//! what was missed for good is told. The bytes of the stream are read by `sse-core`, within a bound. Leaves out which
//! events there are.

use std::num::NonZeroUsize;
use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;
use sse_core::{MessageEvent, SseDecoder, SseEvent};

use crate::app;
use crate::ids::RoomId;

use super::client::{Client, ClientError};
use super::{Failure, aside, chain, line, print};

/// The longest event that is read. Bodies of webhooks are some KiB: names and URLs are bounded.
const LONGEST: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 20) - 1);

/// A stream says something every 15 s; one that has been silent for this long is dead.
const SILENCE: Duration = Duration::from_secs(45);

/// Between two attempts to connect, until the controller says otherwise; it doubles while they fail.
const RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this room alone.
    pub room: Option<RoomId>,
    /// Names and prefixes; none: all.
    pub events: Vec<String>,
    /// Behind the event of this id.
    pub since: Option<String>,
}

/// How they are shown.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// One JSON object a line, the event's body with its `id`.
    pub json: bool,
    /// With colours.
    pub colours: bool,
}

/// Prints events until a signal comes, the room is over, or the output is closed.
///
/// # Errors
/// [`Failure`]: the controller was never reached, or refuses.
pub async fn run(api: &Client, wanted: Wanted, form: Form) -> Result<(), Failure> {
    let stop = app::stop_signal();
    let mut tail = Tail {
        api,
        last: wanted.since.clone(),
        wanted,
        form,
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
        aside(&format!("to go on behind the last event: --since {last}"));
    }
    ended
}

struct Tail<'a> {
    api: &'a Client,
    wanted: Wanted,
    form: Form,
    /// The id of the last event that was printed, or where to begin.
    last: Option<String>,
    retry: Duration,
    /// Attempts to connect that have failed since the last one that did not.
    failures: u32,
    was_connected: bool,
    /// It was said that the connection is gone.
    is_lost: bool,
    /// The room's last event was printed.
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
                        aside("the room is over");
                        return Ok(());
                    }
                    self.lost(&why);
                    self.pause()
                }
                Err(error) => match self.judge(error)? {
                    Some(wait) => wait,
                    None => return Ok(()),
                },
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Whether it ended because its room did, which is not shown when other events are asked for.
    async fn is_room_gone(&self) -> bool {
        let Some(room) = self.wanted.room else {
            return false;
        };
        let path = format!("api/v1/conferences/{room}");
        let asked = self.api.get(&path, &[]).await;
        asked.is_err_and(|error| error.status() == Some(StatusCode::NOT_FOUND))
    }

    async fn open(&self) -> Result<Response, ClientError> {
        let room = self.wanted.room.map(|room| room.to_string());
        let events = self.wanted.events.join(",");
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

    /// What to do when the stream does not begin: wait so long and try again; `None`: there is nothing more to come.
    fn judge(&mut self, error: ClientError) -> Result<Option<Duration>, Failure> {
        let retry_after = match &error {
            ClientError::Refused { retry_after, .. } => *retry_after,
            ClientError::Unreachable { .. }
            | ClientError::Unauthorized { .. }
            | ClientError::NotOurs { .. }
            | ClientError::KeyFile { .. }
            | ClientError::NoClient(_) => None,
        };
        match (&error, error.status()) {
            (ClientError::Unauthorized { .. } | ClientError::NoClient(_), _) => Err(error.into()),
            (_, Some(StatusCode::NOT_FOUND))
                if self.was_connected && self.wanted.room.is_some() =>
            {
                self.is_over = true;
                aside("the room is over");
                Ok(None)
            }
            // It was taken before, so what is not taken now is the place in the stream.
            (_, Some(StatusCode::BAD_REQUEST)) if self.was_connected && self.last.is_some() => {
                self.last = None;
                aside(
                    "the controller does not know the last event any more: events may be missing here",
                );
                Ok(Some(Duration::ZERO))
            }
            (_, Some(status))
                if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() =>
            {
                self.lost(&error.to_string());
                let pause = self.pause();
                Ok(Some(retry_after.unwrap_or(pause)))
            }
            (ClientError::Refused { .. }, _) => Err(error.into()),
            (_, _) if self.was_connected => {
                self.lost(&error.to_string());
                Ok(Some(self.pause()))
            }
            (_, _) => Err(error.into()),
        }
    }

    /// Says it once, however often it is tried.
    fn lost(&mut self, why: &str) {
        if !self.is_lost {
            self.is_lost = true;
            aside(&format!("{why}; connecting again"));
        }
    }

    /// How long to wait before the next attempt: a half to a whole of what doubles with each that fails.
    fn pause(&mut self) -> Duration {
        let longest = self
            .retry
            .saturating_mul(1 << self.failures.min(10))
            .min(LONGEST_RETRY.max(self.retry));
        self.failures += 1;
        longest.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// Prints what comes, until it ends: why it did.
    async fn read(&mut self, mut stream: Response) -> Result<String, Failure> {
        let mut decoder = SseDecoder::with_limit(LONGEST);
        loop {
            let mut bytes = match tokio::time::timeout(SILENCE, stream.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) => return Ok("the controller has ended the stream".to_owned()),
                Ok(Err(error)) => {
                    return Ok(format!(
                        "the connection is lost: {}",
                        chain(&error.without_url())
                    ));
                }
                Err(_) => return Ok(format!("nothing has come for {SILENCE:.0?}")),
            };
            let mut text = String::new();
            while let Some(next) = decoder.next(&mut bytes) {
                match next {
                    Ok(SseEvent::Message(message)) => text.push_str(&self.shown(&message)),
                    Ok(SseEvent::Retry(ms)) => self.retry = Duration::from_millis(ms.into()),
                    Err(_) => aside(&format!(
                        "an event of more than {LONGEST} bytes is left out here"
                    )),
                }
            }
            if !text.is_empty() {
                print(&text)?;
            }
            // Not before it is printed: what goes on goes on behind it. An id can come alone, for what is not asked for.
            if let Some(last) = decoder.last_event_id() {
                self.last = Some(last.to_string());
            }
        }
    }

    /// A message of the stream as it is printed; nothing for what is said beside the output.
    fn shown(&mut self, message: &MessageEvent) -> String {
        let Ok(body) = serde_json::from_str::<Value>(&message.data) else {
            aside("something that is no event is left out here");
            return String::new();
        };
        if message.event == "stream.open" {
            self.opened(body["data"]["resumed"] == true);
            return String::new();
        }
        self.is_over |= message.event == "conference.destroyed" && self.wanted.room.is_some();
        if self.form.json {
            let rest = message.data.trim_start().strip_prefix('{');
            return match (&message.last_event_id, rest) {
                // What is not stored has the id of what was before it, and cannot be gone on from.
                (Some(id), Some(rest)) if self.is_stored(&message.event) => {
                    format!("{{\"id\":{},{rest}\n", Value::from(&**id))
                }
                _ => format!("{}\n", message.data),
            };
        }
        if message.event == "stream.gap" {
            return gap(&body, self.form.colours);
        }
        line::event(&body, self.form.colours)
    }

    fn is_stored(&self, event: &str) -> bool {
        !event.starts_with("member.")
    }

    fn opened(&mut self, resumed: bool) {
        let url = self.api.shown();
        match (self.was_connected, self.last.is_some(), resumed) {
            (false, _, _) => aside(&format!("connected to {url}; times are UTC")),
            (true, true, true) => aside("connected again: what has happened meanwhile follows"),
            (true, _, _) => aside("connected again: what has happened meanwhile is not shown"),
        }
        self.was_connected = true;
        self.is_lost = false;
        self.failures = 0;
    }
}

/// That events were missed for good, in words.
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
    line::said(
        &line::clock(body["timestamp"].as_str().unwrap_or_default()),
        "stream.gap",
        &[&format!(
            "events were missed for good: {}; look at the rooms again",
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
    fn a_gap_says_how_much_is_missing_where() {
        let body = json!({"event": "stream.gap", "timestamp": "2026-05-06T12:34:56.000000Z", "app_id": "demo",
            "data": {"nodes": [{"node": "acW68", "missing": 12}, {"node": "bbbbb", "missing": null}]}});
        assert_eq!(
            gap(&body, false),
            "12:34:56.000  stream.gap                   events were missed for good: 12 of acW68, some of bbbbb; \
             look at the rooms again\n"
        );
    }

    #[test]
    fn attempts_come_ever_more_slowly_and_not_all_at_once() {
        let api = Client::api("http://127.0.0.1:9".parse().unwrap(), None, None).unwrap();
        let mut tail = Tail {
            api: &api,
            wanted: Wanted::default(),
            form: Form {
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
            let pause = tail.pause().as_secs_f64();
            assert!((longest / 2.0..=longest).contains(&pause), "{pause}");
        }
        tail.opened(false);
        assert!(tail.pause() <= Duration::from_secs(2));
    }

    #[test]
    fn an_id_is_shown_to_programs_with_what_can_be_gone_on_from() {
        let api = Client::api("http://127.0.0.1:9".parse().unwrap(), None, None).unwrap();
        let mut tail = Tail {
            api: &api,
            wanted: Wanted::default(),
            form: Form {
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
            tail.shown(&message("call.new")),
            "{\"id\":\"a\\\"b\",\"event\":\"call.new\"}\n"
        );
        assert_eq!(
            tail.shown(&message("member.talking")),
            "{\"event\":\"member.talking\"}\n"
        );
    }
}
