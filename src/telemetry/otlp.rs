//! Trace export: OTLP over HTTP, in batches, from its own thread.
//!
//! The standard variables apply unless the configuration overrides them: `OTEL_EXPORTER_OTLP_ENDPOINT` and its kind,
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`. Up to 2,048 spans
//! (`OTEL_BSP_MAX_QUEUE_SIZE`) wait for the collector; more are dropped, and the log reports it.

use std::error::Error;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Subscriber;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::config::TelemetryConfig;
use crate::tls::install_crypto;

use super::trace::{TARGET, UNTRACED};

pub(super) type Provider = SdkTracerProvider;

/// The path of spans below the collector's address.
const PATH: &str = "v1/traces";

/// The variables that select the encoding of spans.
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
];

/// The span that the log shows, too.
const REQUEST: &str = "http_request";

pub(super) fn provider(config: &TelemetryConfig) -> Result<Provider, Box<dyn Error + Send + Sync>> {
    // The collector's URL may be https.
    install_crypto();
    let mut exporter = SpanExporter::builder().with_http();
    if let Some(endpoint) = &config.otlp_endpoint {
        exporter = exporter.with_endpoint(below(endpoint));
    }
    if PROTOCOLS
        .iter()
        .all(|name| std::env::var_os(name).is_none())
    {
        // The specification's default; the library would choose the other encoding that is built in.
        exporter = exporter.with_protocol(Protocol::HttpBinary);
    }
    let mut resource = Resource::builder();
    // The resource contains the variable's value already.
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("roomkeeper");
    }
    let mut provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter.build()?)
        .with_resource(resource.build());
    if let Some(ratio) = config.sample_ratio {
        // Follow the caller's sampling decision, so that no trace has holes.
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
        provider = provider.with_sampler(sampler);
    }
    Ok(provider.build())
}

fn below(endpoint: &Url) -> String {
    let base = endpoint.as_str().trim_end_matches('/');
    if base.ends_with(PATH) {
        base.to_owned()
    } else {
        format!("{base}/{PATH}")
    }
}

pub(super) fn layer<S>(provider: &Provider) -> impl Layer<S> + Send + Sync + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("roomkeeper"))
        // Source lines and threads do not help an operator.
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(|meta| {
            let is_request = meta.name() == REQUEST && meta.target() != UNTRACED;
            meta.is_span() && (meta.target() == TARGET || is_request)
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_sent_below_the_given_address() {
        for (given, sent) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://c/otlp", "https://c/otlp/v1/traces"),
            ("https://c/otlp/v1/traces", "https://c/otlp/v1/traces"),
        ] {
            assert_eq!(below(&given.parse().unwrap()), sent);
        }
    }
}
