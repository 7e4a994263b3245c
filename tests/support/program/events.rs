//! An app that follows the event stream, and remembers how far it is.

use serde_json::Value;

use super::controller::{Controller, KEY};
use super::poll::PATIENCE;

/// One event, as a client gets it.
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

/// How a stream went on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Next {
    Event(Event),
    /// It ended, as it should.
    End,
    /// The connection broke.
    Broken,
}

pub struct EventStream {
    response: reqwest::Response,
    text: String,
    /// The last id that was seen.
    pub last: String,
}

impl EventStream {
    /// Opens a stream of the controller's app. The first event has been read.
    pub async fn open(controller: &Controller, app: &str, query: &str, last: Option<&str>) -> Self {
        Self::open_as(controller, (app, KEY), query, last).await
    }

    /// The same of any app, with its key.
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

    /// The next item, comments aside.
    pub async fn next(&mut self) -> Next {
        let next = async {
            loop {
                match self.block().await {
                    Next::Event(event) if event.name.is_empty() => {}
                    next @ (Next::Event(_) | Next::End | Next::Broken) => return next,
                }
            }
        };
        let next = tokio::time::timeout(PATIENCE, next).await;
        next.expect("something comes, or the end")
    }

    /// The next event.
    pub async fn event(&mut self) -> Event {
        match self.next().await {
            Next::Event(event) => event,
            other @ (Next::End | Next::Broken) => panic!("{other:?}"),
        }
    }

    /// All events up to the first of this name that is about this, with it.
    pub async fn until(&mut self, name: &str, about: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await;
            let is_it = event.name == name && event.data.contains(about);
            events.push(event);
            if is_it {
                return events;
            }
        }
    }

    /// All that is left until it is over, and how it ended.
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
