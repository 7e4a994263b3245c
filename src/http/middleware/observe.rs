//! Log line, metrics and span of each request. None of them contains headers, query or body, except two headers that
//! exist for them: `X-Request-Id` and `traceparent`.
//!
//! A successful read is logged at `debug`, because a busy service answers them all day; everything else at `info`. A
//! module that logs the failure of a request does so inside [`enter_request_span`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram};
use tracing::field::Empty;
use tracing::span::EnteredSpan;
use tracing::{Instrument, Level, Span};
use uuid::fmt::Hyphenated;

use crate::telemetry::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS, millis, trace};

/// Marks a response that is logged at `debug` only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DebugLogOnly;

/// The id of a request, in the log and in its response. A caller may send its own.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The maximum length of a caller's id that enters the log.
const MAX_ID: usize = 64;

/// Counters of requests. A handle is created with the first response of its kind, so that counting builds no labels.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<RwLock<HashMap<String, Route>>>);

/// Counters of one route. Unknown paths share one.
struct Route {
    seconds: Histogram,
    /// By method and status.
    answered: HashMap<(&'static str, u16), Counter>,
}

impl Meters {
    fn count(&self, path: &str, method: &'static str, status: u16, took: Duration) {
        let counted = {
            let routes = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let route = routes.get(path);
            route.is_some_and(|route| route.count(method, status, took))
        };
        if counted {
            return;
        }
        let mut routes = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let route = routes.entry(path.to_owned()).or_insert_with(|| Route {
            seconds: metrics::histogram!(HTTP_REQUEST_SECONDS, "route" => path.to_owned()),
            answered: HashMap::new(),
        });
        route.answered.entry((method, status)).or_insert_with(|| {
            metrics::counter!(
                HTTP_REQUESTS,
                "route" => path.to_owned(), "method" => method, "status" => status.to_string()
            )
        });
        route.count(method, status, took);
    }
}

impl Route {
    /// Returns `false` if there is no counter for this response yet.
    fn count(&self, method: &'static str, status: u16, took: Duration) -> bool {
        let Some(answered) = self.answered.get(&(method, status)) else {
            return false;
        };
        answered.increment(1);
        self.seconds.record(took.as_secs_f64());
        true
    }
}

tokio::task_local! {
    /// The request that this task handles.
    static CURRENT_REQUEST: RequestInfo;
}

/// The data of a request for log and metrics. It becomes text only where a log needs it.
struct RequestInfo {
    /// The span of its handler.
    span: Span,
    id: HeaderValue,
    method: &'static str,
    /// The pattern of the route instead of the path: ids are many, and a caller must not choose a label.
    routed: Option<MatchedPath>,
}

/// A request span at this level. A macro, because the level of a span is fixed at compile time.
macro_rules! request_span {
    ($level:ident, $request:expr $(, target: $target:expr)?) => {
        tracing::$level!(
            $(target: $target,)?
            "http_request",
            request.id = $request.id(),
            method = $request.method,
            path = $request.path(),
            status = Empty,
            duration_ms = Empty
        )
    };
}

impl RequestInfo {
    fn from_request(request: &Request) -> Self {
        let mut info = Self {
            span: Span::none(),
            id: request_id(request.headers().get(&REQUEST_ID)),
            method: known(request.method()),
            routed: request.extensions().get::<MatchedPath>().cloned(),
        };
        info.span = info.span();
        trace::accept(&info.span, request.headers());
        info
    }

    fn id(&self) -> &str {
        // Every id is ASCII, generated or checked.
        self.id.to_str().unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.routed.as_ref().map_or("none", MatchedPath::as_str)
    }

    fn only_reads(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// The span of the handler. Most requests are reads, and a span costs more than routing, so that of a read is
    /// enabled at `debug` and for traces only.
    fn span(&self) -> Span {
        match self.only_reads() {
            true => request_span!(debug_span, self),
            false => request_span!(info_span, self),
        }
    }

    /// A span for a log line about a request whose own span is disabled.
    fn late_span(&self) -> Span {
        let has_one = !self.only_reads() || tracing::enabled!(Level::DEBUG);
        match has_one {
            true => Span::none(),
            false => request_span!(info_span, self, target: trace::UNTRACED),
        }
    }

    fn log_answer(&self, status: u16, took: Duration, is_unlogged: bool) {
        let tell = |span: &Span| {
            span.record("status", status);
            span.record("duration_ms", millis(took));
        };
        tell(&self.span);
        if is_unlogged || self.only_reads() && status < 400 {
            tracing::debug!("answered an HTTP request");
            return;
        }
        let late = self.late_span();
        tell(&late);
        late.in_scope(|| tracing::info!("answered an HTTP request"));
    }
}

/// Returns the id of the current request.
pub(crate) fn current_request_id() -> Option<String> {
    let id = CURRENT_REQUEST.try_with(|request| request.id().to_owned());
    id.ok()
}

/// Enters a span that names the current request, so that a warning names it even if the span of the request itself is
/// not enabled.
pub(crate) fn enter_request_span() -> EnteredSpan {
    let span = CURRENT_REQUEST.try_with(RequestInfo::late_span);
    // Outside of requests there is no request to name.
    span.unwrap_or_else(|_| Span::none()).entered()
}

/// Middleware: answers a request inside its span, then logs and counts it.
pub(crate) async fn observe(
    State(meters): State<Meters>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let info = RequestInfo::from_request(&request);
    let span = info.span.clone();
    let answer = async move {
        let mut response = next.run(request).await;
        let took = started.elapsed();
        let status = response.status().as_u16();
        let is_unlogged = response.extensions().get::<DebugLogOnly>().is_some();
        CURRENT_REQUEST.with(|info| {
            info.log_answer(status, took, is_unlogged);
            meters.count(info.path(), info.method, status, took);
            let headers = response.headers_mut();
            headers.insert(REQUEST_ID.clone(), info.id.clone());
        });
        response
    };
    CURRENT_REQUEST.scope(info, answer).instrument(span).await
}

fn request_id(theirs: Option<&HeaderValue>) -> HeaderValue {
    let fits = |id: &&HeaderValue| {
        (1..=MAX_ID).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if let Some(theirs) = theirs.filter(fits) {
        return theirs.clone();
    }
    // An id is no secret, so the generator of the thread is good enough.
    let ours = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = [0; Hyphenated::LENGTH];
    let text: &str = ours.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// The name of a known method. Any other method is text of the caller.
fn known(method: &Method) -> &'static str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
        Method::TRACE,
        Method::CONNECT,
    ];
    const WORDS: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    ];
    KNOWN
        .iter()
        .position(|m| m == method)
        .map_or("OTHER", |at| WORDS[at])
}
