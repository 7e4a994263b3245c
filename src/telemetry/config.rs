//! Configuration of log and traces.

use url::Url;

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// The output format.
    pub format: LogFormat,
    /// Valid directives of `tracing_subscriber`'s `EnvFilter`.
    pub filter: String,
}

/// Trace export.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    /// The OTLP/HTTP collector.
    pub otlp_endpoint: Option<Url>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, or the one for traces, is set.
    pub asked_by_environment: bool,
    /// The share of traces started here that is kept. `None`: `OTEL_TRACES_SAMPLER` decides, by default all.
    pub sample_ratio: Option<f64>,
}

/// The output format of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}
