//! Parses recordings, and the model's output, into the same form.

use std::fmt;

use freeswitch_sim::core::percent_decode;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// One message of the outer level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub offset: usize,
    pub head: String,
    pub body: String,
}

impl Frame {
    pub fn content_type(&self) -> &str {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Type: "))
            .unwrap_or("")
    }
}

/// Splits a stream into messages; an incomplete last one is dropped.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(end) = bytes[at..].windows(2).position(|pair| pair == b"\n\n") {
        let head = String::from_utf8_lossy(&bytes[at..at + end]).into_owned();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("Content-Length: "))
            .map_or(0, |n| n.parse().unwrap());
        let start = at + end + 2;
        let Some(body) = bytes.get(start..start + length) else {
            break;
        };
        all.push(Frame {
            offset: at,
            head,
            body: String::from_utf8_lossy(body).into_owned(),
        });
        at = start + length;
    }
    all
}

/// An event with all headers, decoded, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub offset: usize,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Event {
    pub fn get(&self, name: &str) -> &str {
        self.headers
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value)
    }

    pub fn name(&self) -> &str {
        self.get("Event-Name")
    }

    pub fn time(&self) -> u64 {
        self.get("Event-Date-Timestamp").parse().unwrap()
    }

    /// Returns a title for reports.
    pub fn title(&self) -> String {
        match self.get("Action") {
            "" => format!("{} {}", self.name(), self.get("Application")),
            action => action.to_owned(),
        }
    }
}

/// Returns the events among messages.
pub fn events(frames: &[Frame]) -> Vec<Event> {
    frames.iter().filter_map(event).collect()
}

fn event(frame: &Frame) -> Option<Event> {
    match frame.content_type() {
        "text/event-plain" => {
            let (head, body) = frame.body.split_once("\n\n")?;
            let headers = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .map(|(key, value)| (key.to_owned(), percent_decode(value)))
                .collect();
            Some(Event {
                offset: frame.offset,
                headers,
                body: body.to_owned(),
            })
        }
        "text/event-json" => {
            let Pairs(mut headers) = serde_json::from_str(&frame.body).unwrap();
            let at = headers.iter().position(|(key, _)| key == "_body");
            let body = at.map(|at| headers.remove(at).1).unwrap_or_default();
            Some(Event {
                offset: frame.offset,
                headers,
                body,
            })
        }
        _ => None,
    }
}

/// An object with repeatable keys. Empty values and lists look as in the plain format.
pub struct Pairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, serde_json::Value>()? {
                    let text = match value {
                        serde_json::Value::String(text) if text.is_empty() => "_undef_".to_owned(),
                        serde_json::Value::String(text) => text,
                        serde_json::Value::Array(items) => {
                            let items: Vec<&str> =
                                items.iter().filter_map(serde_json::Value::as_str).collect();
                            format!("ARRAY::{}", items.join("|:"))
                        }
                        other @ (serde_json::Value::Null
                        | serde_json::Value::Bool(_)
                        | serde_json::Value::Number(_)
                        | serde_json::Value::Object(_)) => {
                            panic!("a value that is neither text nor a list: {other}")
                        }
                    };
                    pairs.push((key, text));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
