//! Request bodies: received whole when a handler requests the fields, then read field by field.
//!
//! A handler authenticates its caller before it requests the fields, so the body of a caller without a valid key is
//! never stored.
//!
//! A server that answers before it has read the request must close the connection. So a body is received up to the
//! limit, and the part above it is read and discarded up to a bound. A body that no handler requests is discarded
//! for [`DRAIN_TIME`]. Only beyond that, or when it arrives too slowly, is the connection closed after the response.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::mem;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequestParts, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::quota::UnannouncedBody;

/// The number of bytes above the limit that are read and discarded.
const DRAIN: usize = 8 * 1024 * 1024;

/// The limits for receiving bodies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimits {
    limit: usize,
    timeout: Duration,
}

impl BodyLimits {
    /// Limits bodies to `limit` bytes, received within `timeout`.
    pub(crate) const fn new(limit: usize, timeout: Duration) -> Self {
        Self { limit, timeout }
    }
}

/// The time for which an unread body is discarded.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The outcome of receiving a body.
#[derive(Debug)]
enum Received {
    Whole(Bytes),
    TooLarge { limit: usize },
    TooSlow,
    Broken,
}

/// The body of a request, an extension of the request.
#[derive(Clone, Debug)]
pub(crate) enum RequestBody {
    /// The request has no body.
    None,
    /// The request has a body, which can be received once.
    Unread(UnreadBody),
}

#[derive(Clone, Debug)]
pub(crate) struct UnreadBody {
    limits: BodyLimits,
    state: Arc<Mutex<BodyState>>,
}

#[derive(Debug)]
enum BodyState {
    Unread(Body),
    /// The body was received or is being received; true if to its end.
    Taken {
        at_end: bool,
    },
}

impl UnreadBody {
    /// Takes the body out of a request and adds a handle to it to the extensions.
    pub(crate) fn take(limits: BodyLimits, request: &mut Request) -> Self {
        let body = mem::take(request.body_mut());
        let unread = Self {
            limits,
            state: Arc::new(Mutex::new(BodyState::Unread(body))),
        };
        let extension = RequestBody::Unread(unread.clone());
        request.extensions_mut().insert(extension);
        unread
    }

    fn state(&self) -> MutexGuard<'_, BodyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_body(&self) -> Result<Body, bool> {
        match mem::replace(&mut *self.state(), BodyState::Taken { at_end: false }) {
            BodyState::Unread(body) => Ok(body),
            BodyState::Taken { at_end } => Err(at_end),
        }
    }

    async fn receive(&self, headers: &HeaderMap) -> Received {
        let Ok(body) = self.take_body() else {
            return Received::Broken;
        };
        let (received, at_end) = receive_body(headers, body, self.limits).await;
        *self.state() = BodyState::Taken { at_end };
        received
    }

    /// Discards the body if no handler has read it. `false`: the connection cannot be used again.
    pub(crate) async fn finish(&self, announced: Announced) -> bool {
        let body = match self.take_body() {
            Ok(body) => body,
            Err(at_end) => return at_end,
        };
        if !announced.may_come() {
            return false;
        }
        let drained = tokio::time::timeout(DRAIN_TIME, read(body, 0)).await;
        drained.is_ok_and(|(_, at_end)| at_end)
    }
}

/// The announcement of the body in the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced {
    length: Option<u64>,
    /// The client waits for `100 Continue`.
    asks_first: bool,
}

impl Announced {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse().ok());
        Self {
            length,
            asks_first: headers.contains_key(EXPECT),
        }
    }

    fn fits(self, bound: usize) -> bool {
        self.length
            .is_none_or(|n| usize::try_from(n).is_ok_and(|n| n <= bound))
    }

    /// True if the client sends the body without waiting and it is small enough to be discarded.
    fn may_come(self) -> bool {
        !self.asks_first && self.fits(DRAIN)
    }
}

/// The announced number of bytes that will be received; `None` if the head does not announce it. A body above the
/// limit is refused and counts as 0.
pub(super) fn announced_bytes(request: &Parts) -> Option<usize> {
    let Some(RequestBody::Unread(body)) = request.extensions.get::<RequestBody>() else {
        return Some(0);
    };
    let announced = Announced::from_headers(&request.headers);
    let bytes = usize::try_from(announced.length?).unwrap_or(usize::MAX);
    Some(if bytes <= body.limits.limit { bytes } else { 0 })
}

/// True if the request has no body.
pub(crate) fn is_none(request: &Request) -> bool {
    request.body().is_end_stream()
}

/// Marks a request as one without a body.
pub(crate) fn received_none(request: &mut Request) {
    request.extensions_mut().insert(RequestBody::None);
}

/// Reads a body; returns the outcome and whether it was read to its end.
async fn receive_body(headers: &HeaderMap, body: Body, limits: BodyLimits) -> (Received, bool) {
    let limit = limits.limit;
    let announced = Announced::from_headers(headers);
    // A client that waits for `100 Continue` has not sent the body and need not send it. A body above the bound is
    // not read.
    if !announced.fits(limit) && !announced.may_come() {
        return (Received::TooLarge { limit }, false);
    }
    match tokio::time::timeout(limits.timeout, read(body, limit)).await {
        Ok(outcome) => outcome,
        Err(_) => (Received::TooSlow, false),
    }
}

async fn read(body: Body, limit: usize) -> (Received, bool) {
    let mut chunks = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut seen = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            return (Received::Broken, false);
        };
        seen = seen.saturating_add(chunk.len());
        if seen <= limit {
            kept.extend_from_slice(&chunk);
        } else if seen > DRAIN {
            return (Received::TooLarge { limit }, false);
        }
    }
    if seen > limit {
        (Received::TooLarge { limit }, true)
    } else {
        (Received::Whole(kept.freeze()), true)
    }
}

/// The fields of a JSON object. A missing body counts as an object without fields.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

/// The same for any `Content-Type`: the examples of the VoIPBIN API send JSON with the type of a form.
#[derive(Debug)]
pub(crate) struct AnyFields(pub(crate) Fields);

impl<S: Sync> FromRequestParts<S> for Fields {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::receive(parts, is_json(&parts.headers)).await
    }
}

impl<S: Sync> FromRequestParts<S> for AnyFields {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Fields::receive(parts, true).await.map(Self)
    }
}

impl Fields {
    async fn receive(parts: &Parts, is_json: bool) -> Result<Self, ApiError> {
        let received = match parts.extensions.get::<RequestBody>() {
            Some(RequestBody::None) => return Ok(Self(Map::new())),
            // Boxed, because most requests have no body and every future would reserve space for it.
            Some(RequestBody::Unread(body)) => Box::pin(body.receive(&parts.headers)).await,
            None => return Err(ApiError::internal(&"a handler without its body")),
        };
        let bytes = match received {
            Received::Whole(bytes) => bytes,
            Received::TooLarge { limit } => {
                return Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is larger than {limit} bytes"),
                ));
            }
            Received::TooSlow => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body did not arrive in time",
                ));
            }
            Received::Broken => {
                return Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "the body could not be received",
                ));
            }
        };
        if bytes.is_empty() {
            return Ok(Self(Map::new()));
        }
        if let Some(body) = parts.extensions.get::<UnannouncedBody>() {
            body.admit(bytes.len())?;
        }
        if !is_json {
            let found = parts.headers.get(CONTENT_TYPE);
            let found = found.and_then(|value| value.to_str().ok());
            let found = found.unwrap_or("text that is not ASCII");
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("the Content-Type must be application/json, found {found}"),
            ));
        }
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)),
            ) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                format!("the body must be a JSON object, found {}", type_of(&other)),
            )),
            Err(error) => Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                format!("the body is not valid JSON: {error}"),
            )),
        }
    }
}

/// True if the `Content-Type` is JSON or missing.
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return true;
    };
    let Ok(text) = value.to_str() else {
        return false;
    };
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// 400 for a value of another type.
fn wrong_type(name: &str, expected: &str, found: &Value) -> ApiError {
    let found = type_of(found);
    ApiError::field(name, format!("expected {expected}, found {found}"))
}

/// Names the JSON type of a value.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a number with a fraction or exponent",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Converts a float without fraction to an integer.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() != 0.0 || number.abs() > EXACT {
        return None;
    }
    // Parses the printed number, because a cast would hide an overflow.
    format!("{number:.0}").parse().ok()
}

impl Fields {
    /// Returns the same text for the same fields: sorted by name, without null fields, which count as omitted.
    pub(crate) fn canonical(&self) -> String {
        let given: BTreeMap<&String, &Value> = self
            .0
            .iter()
            .filter(|(_, value)| !value.is_null())
            .collect();
        // The keys are texts, so every value has a JSON form.
        serde_json::to_string(&given).unwrap_or_default()
    }

    /// Takes the fields of an object inside a body.
    pub(crate) const fn from_object(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Adds a field, or replaces one.
    pub(crate) fn insert(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    /// Removes a field.
    pub(crate) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// A field of any type, if present.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text, if present.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        self.get(name)
            .map(|value| {
                value
                    .as_str()
                    .ok_or_else(|| wrong_type(name, "a string", value))
            })
            .transpose()
    }

    /// A list of texts, if present. The error names the index of an element that is no text.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<&str>>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let items = value
            .as_array()
            .ok_or_else(|| wrong_type(name, "a list of strings", value))?;
        items
            .iter()
            .enumerate()
            .map(|(index, item)| {
                let wrong = || wrong_type(&format!("{name}[{index}]"), "a string", item);
                item.as_str().ok_or_else(wrong)
            })
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// An integer, if present. `2.0` is an integer, too, as in JSON Schema: some clients have floats only.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        self.get(name)
            .map(|value| {
                value
                    .as_i64()
                    .or_else(|| value.as_f64().and_then(whole))
                    .ok_or_else(|| wrong_type(name, "a whole number", value))
            })
            .transpose()
    }

    /// A list, if present.
    pub(crate) fn list(&self, name: &str) -> Result<Option<Vec<Value>>, ApiError> {
        self.get(name)
            .map(|value| {
                value
                    .as_array()
                    .cloned()
                    .ok_or_else(|| wrong_type(name, "a list", value))
            })
            .transpose()
    }

    /// An object, if present.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Map<String, Value>>, ApiError> {
        self.get(name)
            .map(|value| {
                value
                    .as_object()
                    .cloned()
                    .ok_or_else(|| wrong_type(name, "an object", value))
            })
            .transpose()
    }

    /// A boolean, if present.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.get(name)
            .map(|value| {
                value
                    .as_bool()
                    .ok_or_else(|| wrong_type(name, "true or false", value))
            })
            .transpose()
    }

    /// A text that is parsed, if present.
    pub(crate) fn parsed<T>(&self, name: &str) -> Result<Option<T>, ApiError>
    where
        T: FromStr<Err: Display>,
    {
        self.text(name)?
            .map(|text| text.parse().map_err(|e| ApiError::field(name, e)))
            .transpose()
    }

    /// A text that is parsed, if present. The error names the expected form and the found text.
    pub(crate) fn of_form<T: FromStr>(
        &self,
        name: &str,
        form: &str,
    ) -> Result<Option<T>, ApiError> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| ApiError::form(name, form, text))
    }

    /// A required text that is parsed.
    pub(crate) fn required<T>(&self, name: &str) -> Result<T, ApiError>
    where
        T: FromStr<Err: Display>,
    {
        self.parsed(name)?
            .ok_or_else(|| ApiError::field(name, "is required"))
    }
}
