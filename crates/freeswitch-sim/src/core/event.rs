//! Events and their forms on the wire.
//!
//! Owns the ordered list of headers and the two renderings. Leaves out the delivery of events. The
//! core makes events, connections render them.
//!
//! ```text
//! Content-Length: 1234                 the outer message; its body is the rest
//! Content-Type: text/event-plain
//!
//! Event-Name: BACKGROUND_JOB           values percent-encoded, an empty one is _undef_
//! …
//! Content-Length: 4                    only with an inner body, which is raw
//!
//! +OK
//! ```

use std::borrow::Cow;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

/// The size from which a body is sent without a copy.
const LARGE: usize = 64 << 10;

/// A header's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// One string.
    Text(Cow<'static, str>),
    /// Several strings, as FreeSWITCH keeps for a variable that was pushed to.
    List(Vec<String>),
}

impl Value {
    /// Returns the value in plain form before it is encoded.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::List(items) => Cow::Owned(format!("ARRAY::{}", items.join("|:"))),
        }
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Value::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text))
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Value::Text(Cow::Borrowed(if flag { "true" } else { "false" }))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Value::Text(Cow::Owned(number.to_string()))
    }
}

/// The format that a connection requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Lines of headers, percent-encoded.
    #[default]
    Plain,
    /// One object of strings.
    Json,
}

/// An event: its headers in order (they may repeat), and perhaps a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `Event-Name`.
    pub name: Cow<'static, str>,
    /// `Event-Subclass`, for `CUSTOM` events.
    pub subclass: Option<String>,
    /// All headers, in order.
    pub headers: Vec<(Cow<'static, str>, Value)>,
    /// The inner body.
    pub body: Option<String>,
}

impl Event {
    /// Appends a header.
    pub fn add(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        self.headers.push((name.into(), value.into()));
    }

    /// Returns the first value of a header, in any case of its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.text())
    }

    /// Appends the complete outer message, except for a large body, which is returned to follow: the result of a job
    /// can have megabytes, which must not be copied.
    pub fn render(self: Arc<Self>, format: Format, out: &mut BytesMut) -> Bytes {
        let (inner, body, kind) = match format {
            Format::Plain => {
                let body = self.body.as_deref().unwrap_or_default();
                (self.plain_head(), body, "text/event-plain")
            }
            Format::Json => (self.json_body(), "", "text/event-json"),
        };
        let length = inner.len() + body.len();
        let outer = format!("Content-Length: {length}\nContent-Type: {kind}\n\n");
        let follows = body.len() >= LARGE;
        out.reserve(outer.len() + inner.len() + if follows { 0 } else { body.len() });
        out.extend_from_slice(outer.as_bytes());
        out.extend_from_slice(inner.as_bytes());
        if follows {
            return Bytes::from_owner(Body(self));
        }
        out.extend_from_slice(body.as_bytes());
        Bytes::new()
    }

    /// Returns the headers, encoded, then the inner body.
    #[must_use]
    pub fn plain_body(&self) -> String {
        self.plain_head() + self.body.as_deref().unwrap_or_default()
    }

    fn plain_head(&self) -> String {
        let mut out = String::with_capacity(64 * (self.headers.len() + 1));
        for (name, value) in &self.headers {
            out.push_str(name);
            out.push_str(": ");
            let text = value.text();
            if text.is_empty() {
                out.push_str("_undef_");
            } else {
                percent_encode(&text, &mut out);
            }
            out.push('\n');
        }
        match &self.body {
            Some(body) => out.push_str(&format!("Content-Length: {}\n\n", body.len())),
            None => out.push('\n'),
        }
        out
    }

    /// Returns one JSON object; the inner body is `_body`.
    #[must_use]
    pub fn json_body(&self) -> String {
        let mut out = String::with_capacity(64 * self.headers.len());
        out.push('{');
        for (index, (name, value)) in self.headers.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            json_string(name, &mut out);
            out.push(':');
            match value {
                Value::Text(text) => json_string(text, &mut out),
                Value::List(items) => {
                    out.push('[');
                    for (at, item) in items.iter().enumerate() {
                        if at > 0 {
                            out.push(',');
                        }
                        json_string(item, &mut out);
                    }
                    out.push(']');
                }
            }
        }
        if let Some(body) = &self.body {
            out.push_str(&format!(
                ",\"Content-Length\":\"{}\",\"_body\":",
                body.len()
            ));
            json_string(body, &mut out);
        }
        out.push('}');
        out
    }
}

/// The body of an event, shared without a copy.
struct Body(Arc<Event>);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.body.as_deref().unwrap_or_default().as_bytes()
    }
}

/// Percent-encodes like the server: an existing `%XX` stays as it is, so decoding cannot distinguish the encoding from the
/// byte that it names.
fn percent_encode(text: &str, out: &mut String) {
    const UNSAFE: &[u8] = b"\"#%&+:;<=>?@[\\]^`{|}";
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let bytes = text.as_bytes();
    // Copied parts begin and end beside an ASCII byte.
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let escaped_before = byte == b'%'
            && bytes.get(at + 1).is_some_and(u8::is_ascii_hexdigit)
            && bytes.get(at + 2).is_some_and(u8::is_ascii_hexdigit);
        if !escaped_before && (byte <= b' ' || byte > b'~' || UNSAFE.contains(&byte)) {
            out.push_str(text.get(from..at).unwrap_or_default());
            out.push('%');
            for half in [byte >> 4, byte & 15] {
                out.push(char::from(HEX[usize::from(half)]));
            }
            from = at + 1;
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
}

/// Undoes the encoding.
#[must_use]
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        if let Some(byte) = hex {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends a JSON string.
pub(super) fn json_string(text: &str, out: &mut String) {
    let is_escaped = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    out.push('"');
    // Almost no text needs escapes, and checking a text as a whole is faster than byte by byte.
    if !text
        .bytes()
        .fold(false, |found, byte| found | is_escaped(byte))
    {
        out.push_str(text);
        out.push('"');
        return;
    }
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        if !is_escaped(byte) {
            continue;
        }
        // Escaped bytes are ASCII, so both ends are between characters.
        out.push_str(text.get(plain..at).unwrap_or_default());
        plain = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            other => out.push_str(&format!("\\u{other:04x}")),
        }
    }
    out.push_str(text.get(plain..).unwrap_or_default());
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let mut event = Event {
            name: "CUSTOM".into(),
            subclass: None,
            headers: Vec::new(),
            body: None,
        };
        event.add("A", "x:y @{}+/(,) %41 %zz".to_owned());
        event.add("B", "");
        event.add("C", Value::List(vec!["a".into(), "b".into()]));
        event
    }

    #[test]
    fn plain_values_are_encoded_like_the_servers() {
        let expected =
            "A: x%3Ay%20%40%7B%7D%2B/(,)%20%41%20%25zz\nB: _undef_\nC: ARRAY%3A%3Aa%7C%3Ab\n\n";
        assert_eq!(event().plain_body(), expected);
    }

    #[test]
    fn non_ascii_bytes_are_encoded() {
        let mut out = String::new();
        percent_encode("aé\u{10ffff}b\n", &mut out);
        assert_eq!(out, "a%C3%A9%F4%8F%BF%BFb%0A");
    }

    #[test]
    fn json_keeps_arrays_and_escapes() {
        let mut event = event();
        event.body = Some("+OK\n".into());
        let expected = "{\"A\":\"x:y @{}+/(,) %41 %zz\",\"B\":\"\",\"C\":[\"a\",\"b\"],\"Content-Length\":\"4\",\"_body\":\"+OK\\n\"}";
        assert_eq!(event.json_body(), expected);
    }

    #[test]
    fn decoding_reverses_encoding() {
        assert_eq!(percent_decode("a%3Ab%2"), "a:b%2");
    }
}
