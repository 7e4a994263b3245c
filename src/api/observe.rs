//! What the log, the metrics and the traces see of a request: never its headers, its query or its body, but for two
//! headers that are for them: `X-Request-Id`, and `traceparent`.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use crate::telemetry::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS, millis, trace};

/// Names a request in the log and in its answer. A caller may bring one of its own.
static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones, and those of other characters, are not the caller's to put into the log.
const MOST_ID: usize = 64;

/// Runs the request in a span of its own and tells what came of it.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let method = known(request.method());
    // The path as it was routed, not as it was asked for: ids are many, and a label must not be the caller's choice.
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let id = request_id(&request);
    let span = tracing::info_span!(
        "http_request",
        request.id = id,
        method,
        path = path.as_str(),
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
        metrics::counter!(
            HTTP_REQUESTS,
            "route" => path.clone(), "method" => method, "status" => status.to_string()
        )
        .increment(1);
        metrics::histogram!(HTTP_REQUEST_SECONDS, "route" => path.clone())
            .record(took.as_secs_f64());
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
    theirs.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned)
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
