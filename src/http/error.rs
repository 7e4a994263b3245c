//! The form of every error response, and the status of each failure.

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

use crate::http::listen::RefusedHead;
use crate::node::CommandError;
use crate::reconciler::{IntentError, Refusal};
use crate::store::limits::StoredAnswer;
use crate::store::{StoreError, unreadable};
use crate::telemetry::STORE_ERRORS;
use crate::tenants::{EndpointError, MOST_ENDPOINTS};

use super::middleware::audit::AuditError;
use super::middleware::observe;

/// The default of `Retry-After`.
const SOON: Duration = Duration::from_secs(1);

/// An error response.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    error: Cow<'static, str>,
    /// The text for the audit log if `error` repeats text of the request, which can be a secret.
    audit_error: Option<Cow<'static, str>>,
    detail: Option<Value>,
    retry_after: Option<Duration>,
    /// Logged at `debug` only, because any client can cause it without a key.
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
            audit_error: None,
            detail: None,
            retry_after: None,
            is_unlogged: false,
        }
    }

    /// Logs the response at `debug` only.
    pub(crate) fn debug_log_only(mut self) -> Self {
        self.is_unlogged = true;
        self
    }

    /// 400 for a field, parameter or part of the path.
    pub(crate) fn field(name: &str, why: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("{name}: {why}"))
            .detail(json!({ "field": name }))
    }

    /// 400 for a field with a text of another form. Repeats the beginning of the text, but not in the audit log.
    pub(crate) fn form(name: &str, form: &str, found: &str) -> Self {
        let found: String = found.chars().take(LONGEST_FOUND).collect();
        let mut error = Self::field(name, format!("expected {form}, found {found:?}"));
        error.audit_error = Some(format!("{name}: expected {form}").into());
        error
    }

    /// 404.
    pub(crate) fn not_found(error: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    /// 503 with `Retry-After`.
    pub(crate) fn unavailable(error: impl Into<Cow<'static, str>>, retry: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(retry)
    }

    /// 429 with `Retry-After`, and the wait in milliseconds in its details.
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

    /// The text of the error.
    pub(crate) fn text(&self) -> &str {
        &self.error
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    /// Converts to a response that can be stored and repeated.
    pub(crate) fn answer(&self) -> StoredAnswer {
        StoredAnswer {
            status: self.status.as_u16(),
            // Texts and JSON values always serialize.
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

    /// 500. The cause is logged and not part of the response.
    pub(crate) fn internal(why: &dyn Display) -> Self {
        let _span = observe::enter_request_span();
        tracing::error!(error = %why, "a request failed because of an internal error");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
    }

    pub(crate) fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Converts a refusal. With `hide_foreign`, another app's object gives the same response as a missing one.
    pub(crate) fn refused(refusal: &Refusal, hide_foreign: bool) -> Self {
        let words = refusal.to_string();
        match refusal {
            Refusal::CallNotFound
            | Refusal::RoomNotFound
            | Refusal::NotInRoom
            | Refusal::DialNotFound => Self::new(StatusCode::NOT_FOUND, words),
            Refusal::ForeignCall if hide_foreign => Self::refused(&Refusal::CallNotFound, true),
            Refusal::ForeignRoom if hide_foreign => Self::refused(&Refusal::RoomNotFound, true),
            Refusal::ForeignCall
            | Refusal::ForeignRoom
            | Refusal::NoOwner
            | Refusal::DestinationNotAllowed => Self::new(StatusCode::FORBIDDEN, words),
            Refusal::OtherNode {
                call_node: session_node,
                room_node,
            } => Self::new(StatusCode::CONFLICT, words).detail(json!({
                "session_node": session_node.as_str(),
                "room_node": room_node.as_str(),
            })),
            Refusal::StillJoining
            | Refusal::StillLeaving
            | Refusal::InOtherRoom { .. }
            | Refusal::FlagAlreadySet { .. }
            | Refusal::HoldAlreadySet { .. }
            | Refusal::NameFixed
            | Refusal::NoMembers
            | Refusal::WaitsForModerator
            | Refusal::RoomFull
            | Refusal::RoomLocked
            | Refusal::AlreadyRecording
            | Refusal::NotRecording
            | Refusal::AlreadyRecordingMember
            | Refusal::NotRecordingMember
            | Refusal::CoachItself
            | Refusal::AlreadyCoached
            | Refusal::NotCoached
            | Refusal::CoachNotParked
            | Refusal::Coaching
            | Refusal::Transferring
            | Refusal::NotTransferring
            | Refusal::RecordingStarting
            | Refusal::TooManyRecordings
            | Refusal::TooManyDials
            | Refusal::Labels(_)
            | Refusal::NothingPlaying
            | Refusal::TooMuchPlaying
            | Refusal::NotAnswered
            | Refusal::RunningActions
            | Refusal::AlreadyGathering
            | Refusal::NotGathering
            | Refusal::InSameRoom
            | Refusal::AlreadyAnswered => Self::new(StatusCode::CONFLICT, words),
        }
    }

    /// Converts the error of an intent.
    pub(crate) fn intent(error: IntentError, hide_foreign: bool) -> Self {
        match error {
            IntentError::Refused(refusal) => Self::refused(&refusal, hide_foreign),
            IntentError::UnknownNode(node) => {
                Self::new(StatusCode::NOT_FOUND, format!("there is no node {node}"))
            }
            IntentError::Command(error) => error.into(),
            IntentError::Store(error) => error.into(),
            IntentError::Busy => Self::unavailable("the node's queue is full; try again", SOON),
        }
    }

    /// Converts the failure of a command, with this text.
    pub(crate) fn command(words: String, error: CommandError) -> Self {
        match error {
            CommandError::Down { retry_after } => Self::unavailable(words, retry_after),
            CommandError::Busy => Self::unavailable(words, SOON),
            CommandError::NoSuchChannel => Self::new(StatusCode::NOT_FOUND, words),
            CommandError::Refused(_) => Self::new(StatusCode::BAD_GATEWAY, words),
            CommandError::Unknown => Self::new(StatusCode::GATEWAY_TIMEOUT, words),
        }
    }
}

/// The longest part of a wrong value that an error repeats.
const LONGEST_FOUND: usize = 40;

impl From<CommandError> for ApiError {
    fn from(error: CommandError) -> Self {
        Self::command(error.to_string(), error)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                metrics::counter!(STORE_ERRORS, "caller" => "api").increment(1);
                let _span = observe::enter_request_span();
                error.log_effect(None, "a request failed because the store does not respond");
                Self::unavailable(error.to_string(), SOON)
            }
            StoreError::Corrupt { .. } => {
                unreadable::note_error(&error);
                Self::internal(&error)
            }
        }
    }
}

impl From<EndpointError> for ApiError {
    fn from(error: EndpointError) -> Self {
        let words = error.to_string();
        let conflict = || Self::new(StatusCode::CONFLICT, words.clone());
        match error {
            EndpointError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, words),
            EndpointError::Configured(_) => conflict(),
            EndpointError::UrlTaken(id) => conflict().detail(json!({ "id": id.as_str() })),
            EndpointError::TooMany => conflict().detail(json!({ "most": MOST_ENDPOINTS })),
            EndpointError::Busy => Self::unavailable(words, Duration::from_secs(1)),
            EndpointError::Store(error) => error.into(),
        }
    }
}

impl From<RefusedHead> for ApiError {
    fn from(refusal: RefusedHead) -> Self {
        Self::new(refusal.status, refusal.error).debug_log_only()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> axum::response::Response {
        let mut response = (self.status, Json(self.envelope())).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
        }
        let audit_error = self.audit_error.unwrap_or(self.error);
        response.extensions_mut().insert(AuditError(audit_error));
        if self.is_unlogged {
            response.extensions_mut().insert(observe::DebugLogOnly);
        }
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("X-API-Key"));
        }
        response
    }
}

/// Rounds up to at least one second, because an earlier retry would be refused again.
fn whole_seconds(wait: Duration) -> u64 {
    let up = u64::from(wait.subsec_nanos() > 0);
    wait.as_secs().saturating_add(up).max(1)
}

/// Returns the response to a request whose handler panicked, and logs the panic.
pub(crate) fn answer_panic(payload: Box<dyn Any + Send + 'static>) -> Response<axum::body::Body> {
    let why = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without a message");
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
