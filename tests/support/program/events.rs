//! A client of the event stream that remembers its position.

use serde_json::Value;

use super::controller::{Controller, KEY};
use super::poll::TIMEOUT;

/// One event as the client receives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    pub id: Option<String>,
    pub name: String,
    pub data: String,
}

impl Event {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

/// The next item of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    Event(Event),
    /// The regular end.
    End,
    /// The connection broke.
    Broken,
}

pub struct EventStream {
    response: reqwest::Response,
    text: String,
    /// The last received id.
    pub last: String,
}

impl EventStream {
    /// Opens a stream of the controller's app and reads its first event.
    pub async fn open(controller: &Controller, app: &str, query: &str, last: Option<&str>) -> Self {
        Self::open_as(controller, (app, KEY), query, last).await
    }

    /// Opens a stream of any app, with its key.
    pub async fn open_as(
        controller: &Controller,
        (app, key): (&str, &str),
        query: &str,
        last: Option<&str>,
    ) -> Self {
        let url = format!(
            "http://127.0.0.1:{}/api/v1/events{query}",
            controller.http()
        );
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client
            .get(url)
            .header("X-App-ID", app)
            .header("X-API-Key", key);
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let mut stream = Self {
            response,
            text: String::new(),
            last: String::new(),
        };
        let first = stream.event().await;
        assert_eq!(first.name, "stream.open");
        assert_eq!(first.json()["data"]["resumed"], last.is_some());
        stream
    }

    async fn block(&mut self) -> Next {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let found = block.lines().find_map(|line| line.strip_prefix(name));
                    found.map(str::to_owned)
                };
                let event = Event {
                    id: field("id: "),
                    name: field("event: ").unwrap_or_default(),
                    data: field("data: ").unwrap_or_default(),
                };
                if let Some(id) = &event.id {
                    self.last.clone_from(id);
                }
                self.text = rest.to_owned();
                return Next::Event(event);
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.text += std::str::from_utf8(&bytes).unwrap(),
                Ok(None) => return Next::End,
                Err(_) => return Next::Broken,
            }
        }
    }

    /// Returns the next item, without comments.
    pub async fn next(&mut self) -> Next {
        let next = async {
            loop {
                match self.block().await {
                    Next::Event(event) if event.name.is_empty() => {}
                    next @ (Next::Event(_) | Next::End | Next::Broken) => return next,
                }
            }
        };
        let next = tokio::time::timeout(TIMEOUT, next).await;
        next.expect("an event or the end arrives")
    }

    /// Returns the next event.
    pub async fn event(&mut self) -> Event {
        match self.next().await {
            Next::Event(event) => event,
            other @ (Next::End | Next::Broken) => panic!("{other:?}"),
        }
    }

    /// Returns all events up to and including the first of this name whose data contains `about`.
    pub async fn until(&mut self, name: &str, about: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let matches = event.name == name && event.data.contains(about);
            events.push(event);
            if matches {
                return events;
            }
        }
    }

    /// Returns all remaining events and how the stream ended.
    pub async fn rest(&mut self) -> (Vec<Event>, Next) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Next::Event(event) => events.push(event),
                end @ (Next::End | Next::Broken) => return (events, end),
            }
        }
    }
}
