//! What the log and the metrics see of a request: never its headers, its query or its body.

use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use tracing::Instrument;
use tracing::field::Empty;

use crate::telemetry::{HTTP_REQUEST_SECONDS, HTTP_REQUESTS};

/// Runs the request in a span of its own and tells what came of it.
pub(crate) async fn observe(request: Request, next: Next) -> Response {
    let method = known(request.method());
    // The path as it was routed, not as it was asked for: ids are many, and a label must not be the caller's choice.
    let path = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!(
        "http_request",
        method,
        path = path.as_str(),
        status = Empty,
        duration_ms = Empty
    );
    async {
        let started = Instant::now();
        let response = next.run(request).await;
        let took = started.elapsed();
        let status = response.status().as_u16();
        let span = tracing::Span::current();
        span.record("status", status);
        span.record(
            "duration_ms",
            u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        );
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
