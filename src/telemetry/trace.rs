//! Traces: the spans of one request across all tasks that handle it.
//!
//! Defines the target that marks these spans, and how spans of different tasks are connected: as parent and child if one
//! task waits for the other, by a link if one only follows from the other. `otlp` exports them. Without the feature
//! `otlp` or without a collector, the spans are disabled and cost one comparison each.
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

/// The target of spans that exist for traces only. The log leaves them out.
pub const TARGET: &str = "roomkeeper::trace";

/// The target of spans that exist for the log only: they name a request whose own span the log does not show.
pub const UNTRACED: &str = "roomkeeper::http::middleware::observe::untraced";

/// A reference to a span that stays valid after the span has ended.
#[derive(Clone, Debug, Default)]
pub struct SpanRef(inner::SpanRef);

impl SpanRef {
    /// Refers to this span; empty if the span is disabled.
    pub fn from_span(span: &Span) -> Self {
        Self(inner::span_ref(span))
    }

    /// Links `span` to this one, which caused it.
    pub fn link_from(&self, span: &Span) {
        inner::link(&self.0, span);
    }

    /// Makes `span` a child of this one. Call it before any other use of `span`.
    pub fn adopt(&self, span: &Span) {
        inner::adopt(&self.0, span);
    }
}

/// Makes the span part of the caller's trace if the request names one (`traceparent`, W3C Trace Context).
pub fn accept(span: &Span, headers: &HeaderMap) {
    inner::accept(span, headers);
}

/// Remembers the span that caused a webhook, by the webhook's id, until this process delivers it. Other replicas do
/// not know the span.
pub fn remember(webhook: &str, span_ref: &SpanRef) {
    inner::remember(webhook, &span_ref.0);
}

/// Returns the span stored by [`remember`].
pub fn recall(webhook: &str) -> SpanRef {
    SpanRef(inner::recall(webhook))
}

/// A child of the current span; disabled without a current span, so that internal work does not start traces.
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
    use axum::http::HeaderMap;
    use tracing::Span;

    #[derive(Clone, Debug, Default)]
    pub(super) struct SpanRef;

    pub(super) const fn span_ref(_: &Span) -> SpanRef {
        SpanRef
    }
    pub(super) const fn link(_: &SpanRef, _: &Span) {}
    pub(super) const fn adopt(_: &SpanRef, _: &Span) {}
    pub(super) const fn accept(_: &Span, _: &HeaderMap) {}
    pub(super) const fn remember(_: &str, _: &SpanRef) {}
    pub(super) const fn recall(_: &str) -> SpanRef {
        SpanRef
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

    use axum::http::HeaderMap;
    use tracing::Span;

    /// Webhooks whose commit span is remembered: a few seconds of peak load, at some hundred bytes each. Older ones are
    /// delivered without their trace.
    const REMEMBERED: usize = 16_384;

    pub(super) type SpanRef = Option<SpanContext>;

    #[derive(Default)]
    struct SpanMemory {
        spans: HashMap<String, SpanContext>,
        order: VecDeque<String>,
    }

    static MEMORY: LazyLock<Mutex<SpanMemory>> = LazyLock::new(Mutex::default);

    struct Headers<'a>(&'a HeaderMap);

    impl Extractor for Headers<'_> {
        fn get(&self, key: &str) -> Option<&str> {
            self.0.get(key)?.to_str().ok()
        }
        fn keys(&self) -> Vec<&str> {
            self.0.keys().map(|name| name.as_str()).collect()
        }
    }

    pub(super) fn span_ref(span: &Span) -> SpanRef {
        if span.is_disabled() {
            return None;
        }
        let span_ref = span.context().span().span_context().clone();
        // An unsampled span is not exported, so a link to it would lead nowhere.
        span_ref.is_sampled().then_some(span_ref)
    }

    pub(super) fn link(span_ref: &SpanRef, span: &Span) {
        if let Some(span_ref) = span_ref {
            span.add_link(span_ref.clone());
        }
    }

    pub(super) fn adopt(span_ref: &SpanRef, span: &Span) {
        if let Some(span_ref) = span_ref {
            // It fails only if traces are off, and then nothing is lost.
            let _ = span.set_parent(Context::new().with_remote_span_context(span_ref.clone()));
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

    pub(super) fn remember(webhook: &str, span_ref: &SpanRef) {
        let Some(span_ref) = span_ref else {
            return;
        };
        let mut memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.order.len() >= REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.spans.remove(&oldest);
        }
        memory.spans.insert(webhook.to_owned(), span_ref.clone());
        memory.order.push_back(webhook.to_owned());
    }

    pub(super) fn recall(webhook: &str) -> SpanRef {
        let memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
        memory.spans.get(webhook).cloned()
    }
}
