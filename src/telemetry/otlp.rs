//! Sending traces: OTLP over HTTP, in batches, from a thread of its own.
//!
//! The standard variables hold where the configuration says nothing: `OTEL_EXPORTER_OTLP_ENDPOINT` and its kind,
//! `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_*`. A queue of 2,048 spans
//! (`OTEL_BSP_MAX_QUEUE_SIZE`) waits for the collector; what comes beyond is dropped and said in the log.

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

use crate::config::TelemetryConfig;
use crate::tls::install_crypto;

use super::trace::{TARGET, UNTRACED};

pub(super) type Provider = SdkTracerProvider;

/// Where spans go below the collector's address.
const PATH: &str = "v1/traces";

/// The variables that say how spans are written.
const PROTOCOLS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
];

/// The span that is in the log, too.
const REQUEST: &str = "http_request";

pub(super) fn provider(config: &TelemetryConfig) -> Result<Provider, Box<dyn Error + Send + Sync>> {
    // A collector may be asked by TLS.
    install_crypto();
    let mut exporter = SpanExporter::builder().with_http();
    if let Some(endpoint) = &config.otlp_endpoint {
        exporter = exporter.with_endpoint(below(endpoint));
    }
    if PROTOCOLS
        .iter()
        .all(|name| std::env::var_os(name).is_none())
    {
        // What the specification has for a default; the library takes the other one that is built in.
        exporter = exporter.with_protocol(Protocol::HttpBinary);
    }
    let mut resource = Resource::builder();
    // What the variable says stands in the resource already.
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name("roomkeeper");
    }
    let mut provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter.build()?)
        .with_resource(resource.build());
    if let Some(ratio) = config.sample_ratio {
        // A caller that has decided already is followed, so that no trace has holes.
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
        // Which line of ours and which thread began a span tells an operator nothing.
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_target(false)
        .with_filter(filter_fn(|meta| {
            let of_a_request = meta.name() == REQUEST && meta.target() != UNTRACED;
            meta.is_span() && (meta.target() == TARGET || of_a_request)
        }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_go_below_the_address_that_is_given() {
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
