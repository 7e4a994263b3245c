//! The one form of every answer that is not a success, and which status each failure has.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::{Value, json};

use crate::listen::RefusedHead;
use crate::node::CommandError;
use crate::reconciler::{IntentError, Refusal};
use crate::store::gate::CommandAnswer;
use crate::store::{StoreError, unreadable};
use crate::telemetry::{Chain, STORE_ERRORS};

use super::observe;

/// What a caller is told to wait where nothing better is known.
const SOON: Duration = Duration::from_secs(1);

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error: Cow<'static, str>,
    detail: Option<Value>,
    retry_after: Option<Duration>,
    /// It is counted and need not have a line of its own in the log: anybody can have it as often as they like.
    is_unlogged: bool,
}

#[derive(Serialize)]
struct Envelope<'a> {
    success: bool,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a Value>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            error: error.into(),
            detail: None,
            retry_after: None,
            is_unlogged: false,
        }
    }

    /// The same, without a line of its own in the log.
    pub(crate) fn unlogged(mut self) -> Self {
        self.is_unlogged = true;
        self
    }

    /// 400, about this field, parameter or part of the path.
    pub(crate) fn field(name: &str, why: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{name}: {why}"))
            .detail(json!({ "field": name }))
    }

    /// 404.
    pub(crate) fn not_found(error: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 503 with what to wait.
    pub(crate) fn unavailable(error: impl Into<Cow<'static, str>>, retry: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(retry)
    }

    /// 429 with what to wait, to the millisecond too.
    pub(crate) fn limited(error: impl Into<Cow<'static, str>>, wait: Duration) -> Self {
        let up = u128::from(!wait.subsec_nanos().is_multiple_of(1_000_000));
        let ms = u64::try_from(wait.as_millis() + up).unwrap_or(u64::MAX);
        Self::new(StatusCode::TOO_MANY_REQUESTS, error)
            .detail(json!({ "retry_after_ms": ms.max(1) }))
            .retry_after(wait)
    }

    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// This answer as it can be repeated.
    pub(crate) fn answer(&self) -> CommandAnswer {
        CommandAnswer {
            status: self.status.as_u16(),
            // Two texts and JSON: there is nothing in it that has no JSON form.
            body: serde_json::to_string(&self.envelope()).unwrap_or_default(),
        }
    }

    fn envelope(&self) -> Envelope<'_> {
        Envelope {
            success: false,
            error: &self.error,
            detail: self.detail.as_ref(),
        }
    }

    /// 500. The caller learns nothing of a mistake of ours; the log does.
    pub(crate) fn internal(why: &dyn Display) -> Self {
        let _named = observe::named();
        tracing::error!(error = %why, "a request failed by a mistake of ours");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    pub(crate) fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    /// What a refusal is. With `hide_foreign` what is another's is not found, in the very words of what does not
    /// exist.
    pub(crate) fn refused(refusal: &Refusal, hide_foreign: bool) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::SessionNotFound | Refusal::RoomNotFound | Refusal::NotInRoom => {
                Self::new(StatusCode::NOT_FOUND, words)
            }
            Refusal::ForeignSession if hide_foreign => {
                Self::refused(&Refusal::SessionNotFound, true)
            }
            Refusal::ForeignRoom if hide_foreign => Self::refused(&Refusal::RoomNotFound, true),
            Refusal::ForeignSession | Refusal::ForeignRoom => {
                Self::new(StatusCode::FORBIDDEN, words)
            }
            Refusal::OtherNode {
                session_node,
                room_node,
            } => Self::new(StatusCode::CONFLICT, words).detail(json!({
                "session_node": session_node.as_str(),
                "room_node": room_node.as_str(),
            })),
            Refusal::StillJoining
            | Refusal::StillLeaving
            | Refusal::InOtherRoom { .. }
            | Refusal::AlreadyMuted
            | Refusal::AlreadyUnmuted
            | Refusal::NoMembers
            | Refusal::RoomFull
            | Refusal::RoomLocked
            | Refusal::AlreadyRecording
            | Refusal::NotRecording
            | Refusal::TooManyRecordings
            | Refusal::NothingPlaying
            | Refusal::TooMuchPlaying
            | Refusal::AlreadyAnswered => Self::new(StatusCode::CONFLICT, words),
        }
    }

    /// What a failed intent is.
    pub(crate) fn intent(error: IntentError, hide_foreign: bool) -> Self {
        match error {
            IntentError::Refused(refusal) => Self::refused(&refusal, hide_foreign),
            IntentError::UnknownNode(node) => {
                Self::new(StatusCode::NOT_FOUND, format!("there is no node {node}"))
            }
            IntentError::Command(error) => error.into(),
            IntentError::Store(error) => error.into(),
            IntentError::Busy => {
                Self::unavailable("too much is waiting for the node; try again", SOON)
            }
        }
    }
}

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Down { retry_after } => Self::unavailable(error.to_string(), retry_after),
            CommandError::Busy => Self::unavailable(error.to_string(), SOON),
            CommandError::NoSuchChannel => Self::new(StatusCode::NOT_FOUND, error.to_string()),
            CommandError::Refused(_) => Self::new(StatusCode::BAD_GATEWAY, error.to_string()),
            CommandError::Unknown => Self::new(StatusCode::GATEWAY_TIMEOUT, error.to_string()),
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                metrics::counter!(STORE_ERRORS, "caller" => "api").increment(1);
                let _named = observe::named();
                tracing::warn!(
                    error = %Chain(&error),
                    "a request needs the store, which does not answer"
                );
                Self::unavailable(error.to_string(), SOON)
            }
            StoreError::Corrupt { .. } => {
                unreadable::note_error(&error);
                Self::internal(&error)
            }
        }
    }
}

impl From<RefusedHead> for ApiError {
    fn from(refusal: RefusedHead) -> Self {
        Self::new(refusal.status, refusal.error).unlogged()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = (self.status, Json(self.envelope())).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        if self.is_unlogged {
            response.extensions_mut().insert(observe::Unlogged);
        }
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("X-API-Key"));
        }
        response
    }
}

/// Rounded up, and at least one: a caller that comes back earlier is turned away again.
fn whole_seconds(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(up).max(1)
}

/// What is answered when a handler panics.
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response<axum::body::Body> {
    let why = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words");
    let mut response = ApiError::internal(&why).into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_whole_seconds_rounded_up() {
        for (wait, seconds) in [(0, 1), (1, 1), (999, 1), (1000, 1), (1001, 2), (7300, 8)] {
            assert_eq!(whole_seconds(Duration::from_millis(wait)), seconds);
        }
        assert_eq!(whole_seconds(Duration::MAX), u64::MAX);
    }
}
