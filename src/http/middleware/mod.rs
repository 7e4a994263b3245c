//! The middleware of every route. From the outside in:
//!
//! 1. [`observe()`]: request id, span, log line, metrics.
//! 2. `X-Content-Type-Options`, a header layer of tower-http.
//! 3. [`receive`]: answers a refused head; after the handler, it discards the rest of the body.
//! 4. [`audit()`]: the audit log.
//! 5. [`CatchPanicLayer`] of tower-http with our response, so that a panic in a handler becomes a JSON 500 that passes
//!    through the layers above.
//!
//! Three more layers of tower-http do not fit:
//!
//! - `TraceLayer` gives its callback for the response neither method nor route, which the log line and the metrics need, and
//!   keeps the span open until the body ends, which takes hours for an event stream.
//! - `RequestBodyLimitLayer` answers 413 without reading the body. The connection then closes while the client still sends,
//!   and many clients never see the answer. [`body`] discards the body first.
//! - `SetRequestIdLayer` keeps every id that a caller sends. Only a short id of harmless characters may enter the log.

pub(crate) mod audit;
pub(crate) mod observe;
pub(crate) mod site;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONNECTION, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode, Uri, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::audit::AuditRecorder;
use crate::http::body::{self, Announced, BodyLimits, UnreadBody};
use crate::http::error::{ApiError, answer_panic};
use crate::http::listen::RefusedHead;

use self::audit::audit;
use self::observe::{Meters, observe};

/// Wraps the routes of a listener: answers for unknown paths and methods, and the middleware.
pub(super) fn wrap(routes: Router, limits: BodyLimits, recorder: AuditRecorder) -> Router {
    let nosniff = HeaderValue::from_static("nosniff");
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(Meters::default(), observe))
        .layer(SetResponseHeaderLayer::overriding(
            X_CONTENT_TYPE_OPTIONS,
            nosniff,
        ))
        .layer(from_fn_with_state(limits, receive))
        .layer(from_fn_with_state(recorder, audit))
        .layer(CatchPanicLayer::custom(answer_panic));
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(layers)
}

/// Gives the handler access to the body, and discards the part that the handler did not read. If too much is left, or it
/// comes too slowly, the connection closes after the answer.
async fn receive(State(limits): State<BodyLimits>, mut request: Request, next: Next) -> Response {
    if let Some(refusal) = request.extensions().get::<RefusedHead>() {
        return ApiError::from(*refusal).into_response();
    }
    if body::is_none(&request) {
        body::received_none(&mut request);
        return next.run(request).await;
    }
    let version = request.version();
    let announced = Announced::from_headers(request.headers());
    let unread = UnreadBody::take(limits, &mut request);
    let mut response = next.run(request).await;
    if !unread.finish(announced).await && version <= Version::HTTP_11 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// The longest path that an error repeats.
const LONGEST_PATH: usize = 200;

async fn not_found(uri: Uri) -> ApiError {
    let path = shown(&uri);
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at this path: {path}; GET / lists the paths of this listener"),
    )
}

async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    let path = shown(&uri);
    // The router adds the Allow header.
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{path} does not take the method {method}; the Allow header lists those it takes"),
    )
}

/// The beginning of a path. Its characters are ASCII, because others are not valid in a URI.
fn shown(uri: &Uri) -> &str {
    let path = uri.path();
    path.get(..LONGEST_PATH).unwrap_or(path)
}
