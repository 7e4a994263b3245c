//! The required form of an answer or a webhook: exact values, and forms for unpredictable ones.

use serde_json::Value;
use uuid::Uuid;

use crate::program::controller::Answer;

/// Forms, which stand in place of an expected value.
pub const UUID: &str = "<uuid>";
pub const ROOM_ID: &str = "<room id>";
pub const CURSOR: &str = "<cursor>";
/// RFC 3339 in UTC: with whole seconds as in the document's example, or with any fraction.
pub const RFC3339_SECONDS: &str = "<2026-05-06T12:34:56Z>";
pub const RFC3339: &str = "<RFC 3339>";
/// The VoIPBIN API's time format, in UTC.
pub const VOIPBIN_TIME: &str = "<2022-02-03 06:08:56.672025>";
pub const UNIX_SECONDS: &str = "<unix seconds>";

fn has_form(form: &str, text: &str) -> bool {
    let time = || text.parse::<jiff::Timestamp>().is_ok() && text.ends_with('Z');
    match form {
        UUID => text.len() == 36 && Uuid::parse_str(text).is_ok(),
        ROOM_ID => text.split_once("-room-").is_some_and(|(node, id)| {
            node.len() == 5 && node.bytes().all(|b| b.is_ascii_alphanumeric()) && has_form(UUID, id)
        }),
        CURSOR => !text.is_empty(),
        RFC3339_SECONDS => text.len() == 20 && time(),
        RFC3339 => time(),
        VOIPBIN_TIME => {
            let year = text.get(..4).unwrap_or_default();
            text.len() == 26
                && text.as_bytes()[10] == b' '
                && text.parse::<jiff::civil::DateTime>().is_ok()
                && ("2026".."9999").contains(&year)
        }
        UNIX_SECONDS => text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit()),
        _ => false,
    }
}

/// Panics unless `found` matches `expected`: the same fields and no other, the same types, the same values or forms.
#[track_caller]
pub fn check(found: &Value, expected: &Value) {
    if let Err(at) = fits(found, expected) {
        panic!("not as expected at {at:?}\n   found {found}\nexpected {expected}");
    }
}

fn fits(found: &Value, expected: &Value) -> Result<(), String> {
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for name in found.keys().chain(expected.keys()) {
                let (Some(found), Some(expected)) = (found.get(name), expected.get(name)) else {
                    return Err(name.clone());
                };
                fits(found, expected).map_err(|at| format!("{name}.{at}"))?;
            }
            Ok(())
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
                fits(found, expected).map_err(|at| format!("{n}.{at}"))?;
            }
            Ok(())
        }
        (Value::String(text), Value::String(form)) if has_form(form, text) => Ok(()),
        (found, expected) if found == expected => Ok(()),
        _ => Err(String::new()),
    }
}

impl Answer {
    /// Checks status and body.
    #[track_caller]
    pub fn is(&self, status: u16, body: Value) -> &Self {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.content_type(), "application/json");
        check(&self.body, &body);
        self
    }

    /// Checks an error answer's common form and returns its `detail`.
    #[track_caller]
    pub fn fails(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.content_type(), "application/json");
        let fields = self.body.as_object().expect("a JSON object");
        assert_eq!(fields["success"], false, "{}", self.body);
        let words = fields["error"].as_str().expect("an error text");
        assert!(!words.is_empty(), "{}", self.body);
        for name in fields.keys() {
            let known = ["success", "error", "detail"].contains(&name.as_str());
            assert!(known, "{}", self.body);
        }
        if let Some(detail) = fields.get("detail") {
            assert!(detail.is_object(), "{}", self.body);
        }
        if status == 429 || status == 503 {
            assert!(self.retry_after.is_some_and(|seconds| seconds >= 1));
        }
        &self.body["detail"]
    }

    /// Checks a 400 that names the wrong field.
    #[track_caller]
    pub fn names_field(&self, field: &str) {
        assert_eq!(self.fails(400)["field"], field, "{}", self.body);
    }

    /// Checks a 429 of this window; returns the time to wait, in milliseconds.
    #[track_caller]
    pub fn is_limited(&self, window_ms: u64) -> u64 {
        let detail = self.fails(429);
        let ms = detail["retry_after_ms"].as_u64().expect("milliseconds");
        assert!((1..=window_ms).contains(&ms), "{}", self.body);
        check(detail, &serde_json::json!({ "retry_after_ms": ms }));
        assert_eq!(self.retry_after, Some(ms.div_ceil(1_000)));
        ms
    }

    fn content_type(&self) -> &str {
        let value = self.headers.get("content-type");
        value.and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        let value = self.body[field].as_str();
        value
            .unwrap_or_else(|| panic!("no text {field}: {}", self.body))
            .to_owned()
    }
}
