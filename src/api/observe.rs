//! What the log, the metrics and the traces see of a request: never its headers, its query or its body, but for two
//! headers that are for them: `X-Request-Id`, and `traceparent`.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use metrics::{Counter, Histogram};
use tracing::Instrument;
use tracing::field::Empty;

use crate::telemetry::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS, millis, trace};

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

/// Runs the request in a span of its own and tells what came of it.
pub(crate) async fn observe(
    State(meters): State<Meters>,
    request: Request,
    next: Next,
) -> Response {
    let method = known(request.method());
    // The path as it was routed, not as it was asked for: ids are many, and a label must not be the caller's choice.
    let routed = request.extensions().get::<MatchedPath>().cloned();
    let path = routed.as_ref().map_or("none", MatchedPath::as_str);
    let id = request_id(&request);
    let span = tracing::info_span!(
        "http_request",
        request.id = id,
        method,
        path,
        status = Empty,
        duration_ms = Empty
    );
    trace::accept(&span, request.headers());
    async {
        let started = Instant::now();
        let mut response = next.run(request).await;
        if let Ok(id) = HeaderValue::from_str(&id) {
            response.headers_mut().insert(REQUEST_ID.clone(), id);
        }
        let took = started.elapsed();
        let status = response.status().as_u16();
        let span = tracing::Span::current();
        span.record("status", status);
        span.record("duration_ms", millis(took));
        tracing::info!("answered an HTTP request");
        meters.count(path, method, status, took);
        response
    }
    .instrument(span)
    .await
}

fn request_id(request: &Request) -> String {
    let theirs = request.headers().get(&REQUEST_ID);
    let theirs = theirs.and_then(|id| id.to_str().ok()).filter(|id| {
        (1..=MOST_ID).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    });
    // It is a name and no secret: it need not be asked of the system for each request.
    let ours = || uuid::Builder::from_random_bytes(rand::random()).into_uuid();
    theirs.map_or_else(|| ours().to_string(), str::to_owned)
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
