//! What the log, the metrics and the traces see of a request: never its headers, its query or its body, but for two
//! headers that are for them: `X-Request-Id`, and `traceparent`.
//!
//! Owns what is said of each request, and at which level: a read that went well is what a busy service is asked all day, and
//! is said at `debug`; everything else at `info`. Who has to say something of a request where it fails says so
//! [`named`].

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::response::Response;
use futures_util::FutureExt;
use metrics::{Counter, Histogram};
use tracing::field::Empty;
use tracing::span::EnteredSpan;
use tracing::{Instrument, Level, Span};
use uuid::fmt::Hyphenated;

use crate::telemetry::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS, millis, trace};

/// Marks an answer that the log has at `debug` only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlogged;

/// Names a request in the log and in its answer. A caller may bring one of its own.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones, and those of other characters, are not the caller's to put into the log.
const MOST_ID: usize = 64;

/// What is counted of requests: handles that are made when a route first answers so, so that counting one more puts no
/// label together.
#[derive(Clone, Default)]
pub(crate) struct Meters(Arc<RwLock<HashMap<String, Route>>>);

/// What is counted of one route. There are as many as the router has, and one for what it does not know.
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
    /// `false`: it is not counted yet, for there is no such counter.
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
    /// The request that is answered.
    static ASKED: Asked;
}

/// What the log says of a request. It is put into words only where they are wanted.
pub(crate) struct Asked {
    /// What it is answered in.
    span: Span,
    id: HeaderValue,
    method: &'static str,
    /// The path as it was routed, not as it was asked for: ids are many, and a label must not be the caller's choice.
    routed: Option<MatchedPath>,
}

/// The span of a request at this level. The level is part of what is known of a span at compile time.
macro_rules! request_span {
    ($level:ident, $asked:expr $(, target: $target:expr)?) => {
        tracing::$level!(
            $(target: $target,)?
            "http_request",
            request.id = $asked.id(),
            method = $asked.method,
            path = $asked.path(),
            status = Empty,
            duration_ms = Empty
        )
    };
}

impl Asked {
    pub(crate) fn of(request: &Request) -> Self {
        let mut asked = Self {
            span: Span::none(),
            id: request_id(request.headers().get(&REQUEST_ID)),
            method: known(request.method()),
            routed: request.extensions().get::<MatchedPath>().cloned(),
        };
        asked.span = asked.span();
        trace::accept(&asked.span, request.headers());
        asked
    }

    fn id(&self) -> &str {
        // It is one of ours, or of those that are let into the log.
        self.id.to_str().unwrap_or_default()
    }

    fn path(&self) -> &str {
        self.routed.as_ref().map_or("none", MatchedPath::as_str)
    }

    fn only_reads(&self) -> bool {
        matches!(self.method, "GET" | "HEAD")
    }

    /// The span that it is answered in. Reads are most of what is asked, and a span that nobody will see costs more than
    /// routing does: theirs is for who looks closely, and for traces.
    fn span(&self) -> Span {
        match self.only_reads() {
            true => request_span!(debug_span, self),
            false => request_span!(info_span, self),
        }
    }

    /// The span for what the log has to say of it after all.
    fn late_span(&self) -> Span {
        let has_one = !self.only_reads() || tracing::enabled!(Level::DEBUG);
        match has_one {
            true => Span::none(),
            false => request_span!(info_span, self, target: trace::UNTRACED),
        }
    }

    fn answered(&self, status: u16, took: Duration, is_unlogged: bool) {
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

/// What is said in the log while this lives says of which request it is. For warnings: the request itself need not have a
/// span that the log sees.
pub(crate) fn named() -> EnteredSpan {
    let span = ASKED.try_with(Asked::late_span);
    // Outside of requests there is nothing to name.
    span.unwrap_or_else(|_| Span::none()).entered()
}

/// Waits for the answer in a span of its own, and tells what came of it.
pub(crate) fn observed(
    meters: Meters,
    asked: Asked,
    answer: impl Future<Output = Response>,
) -> impl Future<Output = Response> {
    let started = Instant::now();
    let span = asked.span.clone();
    let answered = answer.map(move |mut response| {
        let took = started.elapsed();
        let status = response.status().as_u16();
        ASKED.with(|asked| {
            let is_unlogged = response.extensions().get::<Unlogged>().is_some();
            asked.answered(status, took, is_unlogged);
            meters.count(asked.path(), asked.method, status, took);
            let headers = response.headers_mut();
            headers.insert(REQUEST_ID.clone(), asked.id.clone());
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        });
        response
    });
    ASKED.scope(asked, answered).instrument(span)
}

fn request_id(theirs: Option<&HeaderValue>) -> HeaderValue {
    let fits = |id: &&HeaderValue| {
        (1..=MOST_ID).contains(&id.len())
            && id
                .as_bytes()
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    };
    if let Some(theirs) = theirs.filter(fits) {
        return theirs.clone();
    }
    // It is a name and no secret: it need not be asked of the system for each request.
    let ours = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    let mut text = [0; Hyphenated::LENGTH];
    let text: &str = ours.hyphenated().encode_lower(&mut text);
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
}

/// The method, as long as it is one that exists: anything else is the caller's own text.
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
