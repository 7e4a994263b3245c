//! The middleware of every route: it answers a refused head, throws away the part of a body that no handler has read, so that
//! no answer leaves a half-read request behind, turns a panic into an answer, and shows the answer to the log, the metrics
//! and the traces.
//!
//! Owns the order of these, and that they are one service with one future: as layers of their own each would box the
//! request's future once more, which for a short read was a sixth of what it costs. Leaves out what each of them does
//! ([`body`], [`error`], [`observe`]).

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt;
use tower::{Layer, Service};

use super::body::{self, Announced, BodyLimits, UnreadBody};
use super::error::{self, ApiError};
use super::observe::{self, Asked, Meters};
use crate::listen::RefusedHead;

/// What every route of a router is put into.
#[derive(Clone)]
pub(super) struct Around {
    limits: BodyLimits,
    meters: Meters,
}

impl Around {
    pub(super) fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            meters: Meters::default(),
        }
    }
}

impl Layer<Route> for Around {
    type Service = Surrounded;

    fn layer(&self, route: Route) -> Surrounded {
        Surrounded {
            route,
            around: self.clone(),
        }
    }
}

/// A route and what is around it.
#[derive(Clone)]
pub(super) struct Surrounded {
    route: Route,
    around: Around,
}

impl Service<Request> for Surrounded {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // As a route always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let asked = Asked::of(&request);
        let Around { limits, meters } = self.around.clone();
        if let Some(refusal) = request.extensions().get::<RefusedHead>() {
            let answer = ApiError::from(*refusal).into_response();
            let answer = std::future::ready(answer);
            return Box::pin(observe::observed(meters, asked, answer).map(Ok));
        }
        // Most requests have no body. What is boxed for one is kept small: beyond a kilobyte an allocator of the system
        // takes its slow way.
        if body::is_none(&request) {
            body::received_none(&mut request);
            let answer = self.route.call(request);
            return Box::pin(observe::observed(meters, asked, caught(answer)).map(Ok));
        }
        let version = request.version();
        let announced = Announced::from_headers(request.headers());
        let unread = UnreadBody::take(limits, &mut request);
        let answer = caught(self.route.call(request));
        let answer = Box::pin(async move {
            let mut response = answer.await;
            if !unread.finish(announced).await && version <= Version::HTTP_11 {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            response
        });
        Box::pin(observe::observed(meters, asked, answer).map(Ok))
    }
}

/// What it answers, or what is answered instead of a panic.
fn caught(
    answer: impl Future<Output = Result<Response, Infallible>>,
) -> impl Future<Output = Response> {
    AssertUnwindSafe(answer)
        .catch_unwind()
        .map(|answer| match answer {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(panic) => error::panicked(panic),
        })
}
