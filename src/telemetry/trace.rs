//! Traces: the spans of one request through every task that has to do with it.
//!
//! Owns the target that marks these spans, and how they are joined where one task hands over to another: as parent and
//! child where the one waits for the other, by a link where one only follows from the other. Leaves out where they are
//! sent. Without the feature `otlp`, and without a collector, the spans are disabled at the cost of one comparison each.
//!
//! ```text
//! http_request → intent → order → command          event ┈link┈> intent
//!                  └ commit                           └ commit ← (parent) attempt
//!                                                                 hand_over ┈link┈> commit
//! ```

use axum::http::HeaderMap;
use tracing::Span;

#[cfg(feature = "otlp")]
use self::linked as inner;
#[cfg(not(feature = "otlp"))]
use self::unlinked as inner;

/// The target of spans that are for traces alone. The log leaves them out.
pub const TARGET: &str = "roomkeeper::trace";

/// The target of spans that are for the log alone: they name a request whose own span the log does not see.
pub const UNTRACED: &str = "roomkeeper::api::observe::untraced";

/// Where a span is, so that another can refer to it when it is over.
#[derive(Clone, Debug, Default)]
pub struct Place(inner::Place);

impl Place {
    /// That of this span; nowhere when it is disabled.
    pub fn of(span: &Span) -> Self {
        Self(inner::of(span))
    }

    /// The span follows from what happened here.
    pub fn link_from(&self, span: &Span) {
        inner::link(&self.0, span);
    }

    /// The span is part of what happened here. Before anything else is done with it.
    pub fn adopt(&self, span: &Span) {
        inner::adopt(&self.0, span);
    }
}

/// The span is part of the caller's trace, if the request says that it has one (`traceparent`, W3C Trace Context).
pub fn accept(span: &Span, headers: &HeaderMap) {
    inner::accept(span, headers);
}

/// Keeps in mind what led to a webhook, by its id, for whoever delivers it: it lies in the store meanwhile. Another
/// replica does not know; it has the id.
pub fn remember(webhook: &str, place: &Place) {
    inner::remember(webhook, &place.0);
}

/// See [`remember`].
pub fn recall(webhook: &str) -> Place {
    Place(inner::recall(webhook))
}

/// A child of the current span; none where there is no current one, so that what nobody asked for is no trace.
macro_rules! child_span {
    ($($fields:tt)*) => {
        if ::tracing::Span::current().is_none() {
            ::tracing::Span::none()
        } else {
            ::tracing::info_span!(target: $crate::telemetry::trace::TARGET, $($fields)*)
        }
    };
}
pub(crate) use child_span;

#[cfg(not(feature = "otlp"))]
mod unlinked {
    use super::{HeaderMap, Span};

    #[derive(Clone, Debug, Default)]
    pub(super) struct Place;

    pub(super) const fn of(_: &Span) -> Place {
        Place
    }
    pub(super) const fn link(_: &Place, _: &Span) {}
    pub(super) const fn adopt(_: &Place, _: &Span) {}
    pub(super) const fn accept(_: &Span, _: &HeaderMap) {}
    pub(super) const fn remember(_: &str, _: &Place) {}
    pub(super) const fn recall(_: &str) -> Place {
        Place
    }
}

#[cfg(feature = "otlp")]
mod linked {
    use std::collections::{HashMap, VecDeque};
    use std::sync::{LazyLock, Mutex, PoisonError};

    use opentelemetry::Context;
    use opentelemetry::propagation::{Extractor, TextMapPropagator};
    use opentelemetry::trace::{SpanContext, TraceContextExt};
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    use super::{HeaderMap, Span};

    /// Webhooks whose commit is kept in mind: those of some seconds of a storm, at some hundred bytes each. What is older
    /// is delivered without its trace.
    const REMEMBERED: usize = 16_384;

    pub(super) type Place = Option<SpanContext>;

    #[derive(Default)]
    struct Memory {
        places: HashMap<String, SpanContext>,
        order: VecDeque<String>,
    }

    static MEMORY: LazyLock<Mutex<Memory>> = LazyLock::new(Mutex::default);

    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }
        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(|name| name.as_str()).collect()
        }
    }

    pub(super) fn of(span: &Span) -> Place {
        if span.is_disabled() {
            return None;
        }
        let place = span.context().span().span_context().clone();
        // What is not sampled is not sent either: a link to it leads nowhere.
        place.is_sampled().then_some(place)
    }

    pub(super) fn link(place: &Place, span: &Span) {
        if let Some(place) = place {
            span.add_link(place.clone());
        }
    }

    pub(super) fn adopt(place: &Place, span: &Span) {
        if let Some(place) = place {
            // It fails where there are no traces, and then nothing is lost.
            let _ = span.set_parent(Context::new().with_remote_span_context(place.clone()));
        }
    }

    pub(super) fn accept(span: &Span, headers: &HeaderMap) {
        if span.is_disabled() || !headers.contains_key("traceparent") {
            return;
        }
        let theirs = TraceContextPropagator::new().extract(&Headers(headers));
        if theirs.span().span_context().is_valid() {
            let _ = span.set_parent(theirs);
        }
    }

    pub(super) fn remember(webhook: &str, place: &Place) {
        let Some(place) = place else {
            return;
        };
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.order.len() >= REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.places.remove(&oldest);
        }
        memory.places.insert(webhook.to_owned(), place.clone());
        memory.order.push_back(webhook.to_owned());
    }

    pub(super) fn recall(webhook: &str) -> Place {
        let memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        memory.places.get(webhook).cloned()
    }
}
