//! The log and the metrics: how they are set up, and every metric's name.
//!
//! Owns the names, so that a dashboard can be written from this page and two modules never count the same thing under
//! two names. Leaves out the endpoint that shows them.

use std::fmt;
use std::io::IsTerminal;

use metrics::Unit;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogConfig, LogFormat};

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Is what it is now.
    Gauge,
    /// Is spread over buckets.
    Histogram,
}

/// A metric, for the documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricDoc {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it tells, with its labels.
    pub description: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident = $name:literal, $description:literal;)*) => {
        $(
            #[doc = $description]
            pub const $constant: &str = $name;
        )*

        /// Every metric there is.
        pub const METRICS: &[MetricDoc] = &[
            $(MetricDoc { name: $name, kind: Kind::$kind, description: $description },)*
        ];
    };
}

metrics! {
    ESL_EVENTS: Counter = "roomkeeper_esl_events_total", "Events received from FreeSWITCH, by node and event.";
    ESL_EVENTS_DROPPED: Counter = "roomkeeper_esl_events_dropped_total", "Events dropped because the reconciler was behind, by node; a snapshot heals them.";
    ESL_BAD_FRAMES: Counter = "roomkeeper_esl_bad_frames_total", "Frames that were not readable, by node; each ends the connection.";
    ESL_BAD_EVENTS: Counter = "roomkeeper_esl_bad_events_total", "Events that were not readable and were skipped, by node.";
    EVENTS_IGNORED: Counter = "roomkeeper_reconciler_events_ignored_total", "News that was about nothing of ours, or too late to mean anything, by node.";
    STORE_LOST_ROOMS: Counter = "roomkeeper_store_lost_rooms_total", "Rooms that were known and that the store did not have any more after another server took over or it came back, by node.";
    STORE_CORRUPT: Counter = "roomkeeper_store_corrupt_records_total", "Stored records that were not readable and were left alone, by node.";
    ESL_RECONNECTS: Counter = "roomkeeper_esl_reconnects_total", "Connections made again to a node, by node and connection (event, command).";
    ESL_QUEUE_DEPTH: Gauge = "roomkeeper_esl_queue_depth", "Events that wait for the reconciler, by node.";
    ESL_LAG_SECONDS: Histogram = "roomkeeper_esl_lag_seconds", "Time between an event in FreeSWITCH and its commit, by node.";
    NODE_COMMANDS: Counter = "roomkeeper_node_commands_total", "Commands sent to FreeSWITCH, by node and outcome (ok, refused, timeout, down).";
    NODE_COMMAND_SECONDS: Histogram = "roomkeeper_node_command_seconds", "Time until FreeSWITCH answered a command, by node.";
    NODE_BUSY: Counter = "roomkeeper_node_busy_total", "What was refused because too much was waiting for a node, by node and queue (intents: of callers; orders: of what follows from the state; commands, connection: to FreeSWITCH).";
    ORDERS_WAITING: Gauge = "roomkeeper_node_orders_waiting", "Orders that nobody waits for and that wait for their turn, by node.";
    NODE_UP: Gauge = "roomkeeper_node_up", "1 while both connections to a node stand, by node.";
    COMMITS: Counter = "roomkeeper_store_commits_total", "Commits, by node and outcome (applied, conflict, lease_lost, error).";
    COMMIT_CONFLICTS: Counter = "roomkeeper_store_conflicts_total", "Commits that another writer was faster than, by node.";
    COMMIT_SECONDS: Histogram = "roomkeeper_store_commit_seconds", "Time a commit took, by node.";
    STORE_ERRORS: Counter = "roomkeeper_store_errors_total", "Calls that the store did not answer, by the caller (webhook, reconciler, api, live, events).";
    RESYNCS: Counter = "roomkeeper_reconciler_resyncs_total", "Snapshots merged, by node.";
    RESYNCS_FAILED: Counter = "roomkeeper_reconciler_resyncs_failed_total", "Snapshots that failed and changed nothing, by node.";
    DRIFT: Counter = "roomkeeper_drift_total", "Differences that a snapshot revealed, by node.";
    FOREIGN_CALLS: Counter = "roomkeeper_reconciler_foreign_calls_total", "Calls that belong to no app and were ignored, by node.";
    RECONCILER_QUEUE_DEPTH: Gauge = "roomkeeper_reconciler_queue_depth", "Inputs that wait to be applied, by node.";
    ROOMS: Gauge = "roomkeeper_reconciler_rooms", "Rooms that are believed to live, by node.";
    CALLS: Gauge = "roomkeeper_reconciler_calls", "Calls that are believed to live, by node.";
    WEBHOOK_ATTEMPTS: Counter = "roomkeeper_webhook_attempts_total", "Attempts to deliver, by node and outcome (ok, status, timeout, refused, connect, error, gone).";
    WEBHOOK_ATTEMPT_SECONDS: Histogram = "roomkeeper_webhook_attempt_seconds", "Time an attempt took, by node.";
    WEBHOOK_DELIVERIES: Counter = "roomkeeper_webhook_deliveries_total", "Deliveries that came to an end or must not be waited for any more, by node and result (delivered, dead, parked, forgotten).";
    WEBHOOK_LOST: Counter = "roomkeeper_webhook_lost_total", "Messages that were not queued because there were too many already.";
    WEBHOOK_DEAD_DROPPED: Counter = "roomkeeper_webhook_dead_dropped_total", "Given-up messages that were dropped from a full list of the dead.";
    WEBHOOK_OUTBOX_DEPTH: Gauge = "roomkeeper_webhook_outbox_depth", "Events not yet handed to the delivery queues, by node.";
    WEBHOOK_QUEUES: Gauge = "roomkeeper_webhook_queues", "Delivery queues (one an endpoint and room or call) that are not empty, by node.";
    WEBHOOK_PENDING: Gauge = "roomkeeper_webhook_pending", "Messages that wait for their receivers, by node.";
    WEBHOOK_DEAD: Gauge = "roomkeeper_webhook_dead", "Messages given up and kept, by node.";
    WEBHOOK_IN_FLIGHT: Gauge = "roomkeeper_webhook_in_flight", "Attempts under way in this process, by node.";
    TASK_PANICS: Counter = "roomkeeper_task_panics_total", "Tasks that panicked and were begun anew, by task and what it works for (of).";
    HTTP_REQUESTS: Counter = "roomkeeper_http_requests_total", "Requests answered, by route, method and status.";
    HTTP_CONNECTIONS: Gauge = "roomkeeper_http_connections", "Connections of clients that are open, by listener (api, admin).";
    EVENT_STREAMS: Gauge = "roomkeeper_events_streams", "Event streams that are open.";
    EVENTS_SENT: Counter = "roomkeeper_events_sent_total", "Events written to event streams, by kind (stored, live).";
    EVENT_GAPS: Counter = "roomkeeper_events_gaps_total", "Gaps that event streams were told of: what they had not seen was not kept any more, or the store is not the one that it was.";
    LIVE_DROPPED: Counter = "roomkeeper_events_live_dropped_total", "Live events that were dropped, by where (queue: the store did not take them in time; say: it refused them; stream: a reader was too slow).";
    HTTP_REQUEST_SECONDS: Histogram = "roomkeeper_http_request_seconds", "Time a request took, by route.";
}

/// From what a local store answers in to what a receiver may take.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Why the log or the metrics could not be set up.
#[derive(Debug)]
pub struct TelemetryError(&'static str, Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} could not be set up", self.0)
    }
}

impl std::error::Error for TelemetryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.1.as_ref())
    }
}

/// Sends the log of this process to standard error. Once a process.
///
/// # Errors
/// When the filter is not one, or the log is set up already.
pub fn init_log(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|e| TelemetryError("log", e.into()))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // Colours are for eyes: in a file or a collector they are garbage around every field.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let done = match config.format {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    done.map_err(|e| TelemetryError("log", e.into()))
}

/// Collects the metrics of this process. Once a process. Whoever holds the handle also calls its `run_upkeep` every
/// few seconds, so that histograms nobody scrapes do not grow.
///
/// # Errors
/// When metrics are set up already.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = builder()?
        .install_recorder()
        .map_err(|e| TelemetryError("metrics", e.into()))?;
    describe_all();
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets(SECONDS_BUCKETS)
        .map_err(|e| TelemetryError("metrics", e.into()))
}

/// Tells the recorder what each metric means.
pub fn describe_all() {
    for metric in METRICS {
        let unit = match metric.kind {
            Kind::Histogram => Unit::Seconds,
            Kind::Counter | Kind::Gauge => Unit::Count,
        };
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, unit, metric.description),
            Kind::Gauge => metrics::describe_gauge!(metric.name, unit, metric.description),
            Kind::Histogram => metrics::describe_histogram!(metric.name, unit, metric.description),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rule_and_are_used_once() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} twice");
            assert!(name.starts_with("roomkeeper_"), "{name}");
            let total = name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{name}");
            let seconds = name.ends_with("_seconds");
            assert_eq!(seconds, metric.kind == Kind::Histogram, "{name}");
            assert!(metric.description.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn what_is_counted_is_shown_with_its_description() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe_all();
            metrics::counter!(WEBHOOK_ATTEMPTS, "node" => "acW68", "outcome" => "ok").increment(2);
            metrics::histogram!(WEBHOOK_ATTEMPT_SECONDS, "node" => "acW68").record(0.2);
        });
        let page = handle.render();
        assert!(page.contains("# HELP roomkeeper_webhook_attempts_total Attempts to deliver"));
        assert!(
            page.contains("roomkeeper_webhook_attempts_total{node=\"acW68\",outcome=\"ok\"} 2")
        );
        assert!(
            page.contains(
                "roomkeeper_webhook_attempt_seconds_bucket{node=\"acW68\",le=\"0.25\"} 1"
            )
        );
    }
}
