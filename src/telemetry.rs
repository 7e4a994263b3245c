//! Setup of log, metrics and traces, and the name of every metric.
//!
//! All names are in this one place, so that two modules never count the same thing under two names. The endpoint that
//! serves the metrics is in `http`; the modules that measure something update them.

mod config;
#[cfg(feature = "otlp")]
mod otlp;
pub mod outage;
pub mod trace;

use std::error::Error;
use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::time::Duration;

use metrics::Unit;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

pub use config::{LogConfig, LogFormat, TelemetryConfig};

/// The kind of a metric.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A current value.
    Gauge,
    /// Observations counted in buckets.
    Histogram,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric's documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricDoc {
    /// The name.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The labels; every series has all of them. No label contains a room, a call or an app: their number is unbounded.
    pub labels: &'static [&'static str],
    /// The meaning, and the values of its labels.
    pub description: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident = $name:literal, [$($label:literal),*], $description:literal;)*) => {
        $(
            #[doc = $description]
            pub const $constant: &str = $name;
        )*

        /// All metrics.
        pub const METRICS: &[MetricDoc] = &[
            $(MetricDoc { name: $name, kind: Kind::$kind, labels: &[$($label),*], description: $description },)*
        ];
    };
}

metrics! {
    ESL_EVENTS: Counter = "roomkeeper_esl_events_total", ["node", "event"], "Events received from FreeSWITCH, by `Event-Name`, conference events by `Action`; `other` for an unknown one.";
    ESL_EVENTS_DROPPED: Counter = "roomkeeper_esl_events_dropped_total", ["node", "why"], "Events that were not applied and that a snapshot replaces: the queue was full (`queue`), the store did not answer (`store`), or another replica owns the node (`not_owned`, no loss).";
    ESL_BAD_FRAMES: Counter = "roomkeeper_esl_bad_frames_total", ["node"], "Frames that could not be parsed; each one closes the connection.";
    ESL_BAD_EVENTS: Counter = "roomkeeper_esl_bad_events_total", ["node"], "Events that could not be parsed and were skipped.";
    ESL_RECONNECTS: Counter = "roomkeeper_esl_reconnects_total", ["node", "connection"], "Reconnects after a connection ended or could not be opened (`event`, `command`).";
    ESL_QUEUE_DEPTH: Gauge = "roomkeeper_esl_queue_depth", ["node"], "Events waiting for the reconciler.";
    ESL_QUEUE_SECONDS: Histogram = "roomkeeper_esl_queue_seconds", ["node"], "Time that an event waited for the reconciler.";
    ESL_LAG_SECONDS: Histogram = "roomkeeper_esl_lag_seconds", ["node"], "Time from an event in FreeSWITCH (`Event-Date-Timestamp`) to the commit of its changes. FreeSWITCH's clock advances in steps, so the value is off by up to 20 ms. The clocks of both machines must agree.";
    EVENTS_IGNORED: Counter = "roomkeeper_reconciler_events_ignored_total", ["node"], "Events without effect: they concern none of our rooms or calls, or came too late.";
    FOREIGN_CALLS: Counter = "roomkeeper_reconciler_foreign_calls_total", ["node"], "Calls that belong to no app and were ignored.";
    BATCH_ITEMS: Histogram = "roomkeeper_reconciler_batch_items", ["node"], "Items (events, intents, replies, deadlines) that were applied together and committed in one step.";
    APPLY_SECONDS: Histogram = "roomkeeper_reconciler_apply_seconds", ["node"], "Time to apply a batch to the node state.";
    RECONCILER_QUEUE_DEPTH: Gauge = "roomkeeper_reconciler_queue_depth", ["node"], "Intents, replies and snapshots waiting for the reconciler.";
    RECONCILER_QUEUE_SECONDS: Histogram = "roomkeeper_reconciler_queue_seconds", ["node"], "Time that an intent waited for the reconciler.";
    INTENTS: Counter = "roomkeeper_reconciler_intents_total", ["node", "intent", "outcome"], "Intents of callers by outcome: `accepted`, `refused` (by the rules), `failed` (FreeSWITCH refused), `timeout` (FreeSWITCH did not answer), `down` (the node is not connected), `busy`, `store`.";
    INTENT_SECONDS: Histogram = "roomkeeper_reconciler_intent_seconds", ["node", "intent"], "Time from a request to its answer: checked, committed and, for commands that FreeSWITCH answers immediately, answered.";
    CONFIRM_SECONDS: Histogram = "roomkeeper_reconciler_confirm_seconds", ["node", "intent", "outcome"], "Time from a request to the commit of the event that settled it (`confirmed`, or `failed`, as a join or a recording that did not start), by command (`join`, `mute`, `lock`, …).";
    RESYNCS: Counter = "roomkeeper_reconciler_resyncs_total", ["node"], "Snapshots merged.";
    RESYNCS_FAILED: Counter = "roomkeeper_reconciler_resyncs_failed_total", ["node"], "Snapshots that failed and changed nothing.";
    RESYNC_SECONDS: Histogram = "roomkeeper_reconciler_resync_seconds", ["node"], "Duration of a resync from its fence to its end, failed ones included.";
    RESYNC_STAGE_SECONDS: Histogram = "roomkeeper_reconciler_resync_stage_seconds", ["node", "stage"], "Duration of each stage of a resync: `fence`, `list` (channels and conferences), `snapshot` (receiving the events up to the fence, and the merge), `channels` (queried one by one), `playback`, `second_look` (with its pause; only when a difference is in doubt).";
    DRIFT: Counter = "roomkeeper_drift_total", ["node", "kind"], "Differences that a snapshot revealed and no event had reported, by the resulting webhook without `conference.`, as `member.left`.";
    ROOMS: Gauge = "roomkeeper_reconciler_rooms", ["node"], "Active rooms in the node state, reported by the node's owner.";
    CALLS: Gauge = "roomkeeper_reconciler_calls", ["node"], "Active calls in the node state, reported by the node's owner.";
    LEASE_HELD: Gauge = "roomkeeper_lease_held", ["node"], "1 while this replica owns the node.";
    LEASES_TAKEN: Counter = "roomkeeper_lease_taken_total", ["node"], "Number of times this replica became the node's owner.";
    LEASES_LOST: Counter = "roomkeeper_lease_lost_total", ["node"], "Number of times this replica lost the node to another, or its lease expired; a hand-over at shutdown does not count.";
    NODE_UP: Gauge = "roomkeeper_node_up", ["node"], "1 while the node is connected: the command connection and, on the node's owner, the event connection.";
    NODE_COMMANDS: Counter = "roomkeeper_node_commands_total", ["node", "outcome"], "Commands sent to FreeSWITCH (`ok`, `refused`, `timeout`, `down`: the connection was lost).";
    NODE_COMMAND_SECONDS: Histogram = "roomkeeper_node_command_seconds", ["node"], "Time until FreeSWITCH answered a command; for a job, until it was done.";
    NODE_NUDGES: Counter = "roomkeeper_node_nudges_total", ["node"], "Wake-ups sent to a node on both connections: newlines that make FreeSWITCH send its events at once (`nodes[].nudge`).";
    NODE_COMMANDS_WAITING: Gauge = "roomkeeper_node_commands_waiting", ["node"], "Commands waiting to be sent.";
    NODE_BUSY: Counter = "roomkeeper_node_busy_total", ["node", "queue"], "Rejections because too much was waiting for a node (`intents`: from callers; `orders`: switch commands that follow from state changes; `commands`, `connection`: to FreeSWITCH).";
    ORDERS: Counter = "roomkeeper_node_orders_total", ["node", "order", "outcome"], "Switch commands by kind and outcome (`ok`, `refused`, `no_such_channel`, `timeout`, `down`, `busy`).";
    ORDERS_WAITING: Gauge = "roomkeeper_node_orders_waiting", ["node", "queue"], "Switch commands that are queued (`prompt`: a caller waits for the result; `paced`: no caller waits, so they are sent a few at a time).";
    ORDER_WAIT_SECONDS: Histogram = "roomkeeper_node_order_wait_seconds", ["node", "queue"], "Time that a switch command was queued (`prompt`: a caller waits for the result; `paced`: no caller waits, so it is sent in turn).";
    COMMITS: Counter = "roomkeeper_store_commits_total", ["node", "outcome"], "Commits (`applied`, `conflict`, `lease_lost`, `error`).";
    COMMIT_CONFLICTS: Counter = "roomkeeper_store_conflicts_total", ["node"], "Commits that failed because another writer had committed first.";
    COMMIT_SECONDS: Histogram = "roomkeeper_store_commit_seconds", ["node"], "Duration of a commit.";
    STORE_ERRORS: Counter = "roomkeeper_store_errors_total", ["caller"], "Store calls that failed, by caller (`api`, `reconciler`, `lease`, `webhook`, `board`: node status, `live`, `events`, `quota`, `audit`).";
    STORE_CONNECTIONS: Counter = "roomkeeper_store_connections_total", [], "Connections opened to the store; each one after the first is a reconnect. Zero for a store in memory.";
    STORE_LOST_ROOMS: Counter = "roomkeeper_store_lost_rooms_total", ["node"], "Known rooms that were missing from the store after a failover or an outage.";
    STORE_CORRUPT: Counter = "roomkeeper_store_corrupt_records_total", ["node"], "Stored values of a node that could not be decoded and were left unchanged; each key counts once.";
    STORE_CORRUPT_OTHER: Counter = "roomkeeper_store_corrupt_other_total", [], "Stored values outside any node that could not be decoded; each key counts once.";
    APP_BYTES_MOST: Gauge = "roomkeeper_store_app_bytes_most", [], "Bytes in the store of the app that uses most (`limits.app_bytes`), as this replica last read them.";
    APPS_AT_QUOTA: Gauge = "roomkeeper_store_apps_at_quota", [], "Apps that have reached their quota of bytes in the store; the log names them.";
    QUOTA_REFUSED: Counter = "roomkeeper_http_quota_refused_total", [], "Requests refused (413, 429) because of the app's quota of bytes.";
    WEBHOOK_HANDED_OVER: Counter = "roomkeeper_webhook_handed_over_total", ["node"], "Notifications moved from the outbox to the queues of their endpoints.";
    WEBHOOK_HAND_OVER_SECONDS: Histogram = "roomkeeper_webhook_hand_over_seconds", ["node"], "Time from the commit of a notification until it was in the queues.";
    WEBHOOK_DELIVERED_SECONDS: Histogram = "roomkeeper_webhook_delivered_seconds", ["node"], "Time from the commit of a notification until the receiver accepted it, with all attempts and pauses; includes deliveries that were sent again.";
    WEBHOOK_ATTEMPTS: Counter = "roomkeeper_webhook_attempts_total", ["node", "outcome"], "Delivery attempts (`ok`, `status`, `timeout`, `refused`: by the guard, `connect`, `error`, `gone`).";
    WEBHOOK_ATTEMPT_SECONDS: Histogram = "roomkeeper_webhook_attempt_seconds", ["node"], "Duration of an attempt.";
    WEBHOOK_DELIVERIES: Counter = "roomkeeper_webhook_deliveries_total", ["node", "result"], "Deliveries that ended or stopped blocking their queue (`delivered`, `dead`, `parked`, `forgotten`).";
    WEBHOOK_LOST: Counter = "roomkeeper_webhook_lost_total", [], "Deliveries that were not queued because the queue was full.";
    WEBHOOK_DEAD_DROPPED: Counter = "roomkeeper_webhook_dead_dropped_total", [], "Dead deliveries that were removed because the list of dead deliveries was full.";
    WEBHOOK_OUTBOX_DEPTH: Gauge = "roomkeeper_webhook_outbox_depth", ["node"], "Notifications in the outbox that are not queued yet.";
    WEBHOOK_OUTBOX_MISSING: Counter = "roomkeeper_webhook_outbox_missing_total", ["node"], "Notifications that were deleted from the outbox by another program before they were queued. Every replica counts them.";
    WEBHOOK_OUTBOX_UNREADABLE: Counter = "roomkeeper_webhook_outbox_unreadable_total", ["node"], "Outbox entries that Roomkeeper did not write and skipped. Every replica counts them.";
    WEBHOOK_QUEUES: Gauge = "roomkeeper_webhook_queues", ["node"], "Delivery queues that are not empty; an endpoint has one for each room or call.";
    WEBHOOK_PENDING: Gauge = "roomkeeper_webhook_pending", ["node"], "Deliveries waiting for their receivers.";
    WEBHOOK_FULL_RATIO: Gauge = "roomkeeper_webhook_full_ratio", ["node"], "Fill level of the outbox or of the fullest endpoint, whichever is higher; 1 is the limit (`webhooks.max_pending`).";
    WEBHOOK_DEAD: Gauge = "roomkeeper_webhook_dead", ["node"], "Dead deliveries that are kept.";
    WEBHOOK_IN_FLIGHT: Gauge = "roomkeeper_webhook_in_flight", ["node"], "Attempts in progress in this process.";
    WEBHOOK_LOWERED: Gauge = "roomkeeper_webhook_lowered_endpoints", ["node"], "Endpoints that this process limits to fewer parallel attempts because they do not answer in time.";
    HTTP_REQUESTS: Counter = "roomkeeper_http_requests_total", ["route", "method", "status"], "Requests answered, by route as documented.";
    HTTP_REQUEST_SECONDS: Histogram = "roomkeeper_http_request_seconds", ["route"], "Duration of a request.";
    HTTP_CONNECTIONS: Gauge = "roomkeeper_http_connections", ["listener"], "Open client connections (`api`, `admin`, `media`).";
    HTTP_CONNECTIONS_CLOSED: Counter = "roomkeeper_http_connections_closed_total", ["listener", "why"], "Connections closed at the connection limit: an idle one made room for a new one (`replaced`), or a new one was refused because all connections of its address are in use (`address`).";
    HTTP_UNAUTHORIZED: Counter = "roomkeeper_http_unauthorized_total", ["listener", "outcome"], "Requests without a valid key (`missing`, `wrong`), and requests refused unchecked because their address sent too many wrong keys (`throttled`).";
    AUDIT_LOST: Counter = "roomkeeper_audit_lost_total", [], "Entries of the audit log that were not stored: too many waited while the store did not answer.";
    EVENT_STREAMS: Gauge = "roomkeeper_events_streams", [], "Open event streams.";
    EVENTS_SENT: Counter = "roomkeeper_events_sent_total", ["kind"], "Events written to event streams (`stored`, `live`).";
    EVENT_GAPS: Counter = "roomkeeper_events_gaps_total", [], "Gaps reported to event streams: events were no longer stored, or the store was replaced.";
    LIVE_DROPPED: Counter = "roomkeeper_events_live_dropped_total", ["where"], "Live events dropped (`queue`: the store was too slow; `say`: the store refused them; `stream`: the client read too slowly).";
    MEDIA_REQUESTS: Counter = "roomkeeper_media_requests_total", ["outcome"], "Requests to the media proxy (`held`: answered from disk, `fetched`, `failed`, `invalid_link`).";
    MEDIA_FETCHES: Counter = "roomkeeper_media_fetches_total", ["outcome"], "Audio files that the media proxy fetched, by outcome (`ok`, `forbidden`: the URL or a redirect leads to a host that is not allowed, `not_found`, `status`, `redirects`: too many, `too_large`, `timeout`, `connect`, `error`, `busy`: too many at once, `full`: no space, `disk`).";
    MEDIA_FETCHED_BYTES: Counter = "roomkeeper_media_fetched_bytes_total", [], "Bytes of audio that the media proxy fetched.";
    MEDIA_STORED_BYTES: Gauge = "roomkeeper_media_stored_bytes", [], "Bytes that the media proxy holds on disk; the limit is `play.proxy_bytes`.";
    TASK_PANICS: Counter = "roomkeeper_task_panics_total", ["task", "of"], "Panics of supervised tasks, which then restart; `of` is the node, or `all`.";
    BUILD_INFO: Gauge = "roomkeeper_build_info", ["version", "traces"], "Always 1; the labels give the version and whether the build supports traces.";
    PROCESS_CPU_SECONDS: Counter = "process_cpu_seconds_total", [], "CPU time of the process.";
    PROCESS_RESIDENT_BYTES: Gauge = "process_resident_memory_bytes", [], "Resident memory of the process.";
    PROCESS_VIRTUAL_BYTES: Gauge = "process_virtual_memory_bytes", [], "Virtual memory of the process.";
    PROCESS_VIRTUAL_MAX_BYTES: Gauge = "process_virtual_memory_max_bytes", [], "Limit of the virtual memory; 0: none.";
    PROCESS_OPEN_FDS: Gauge = "process_open_fds", [], "Open files and sockets of the process.";
    PROCESS_MAX_FDS: Gauge = "process_max_fds", [], "Limit of open files and sockets.";
    PROCESS_THREADS: Gauge = "process_threads", [], "Threads of the process.";
    PROCESS_START_SECONDS: Gauge = "process_start_time_seconds", [], "Start time of the process in seconds since 1970.";
}

/// Counters that alerts watch, with the values of the label besides the node's. They start at zero, so that the first
/// occurrence counts as an increase.
const FROM_ZERO: &[(&str, &str, &[&str])] = &[
    (ESL_EVENTS_DROPPED, "why", &["queue", "store", "not_owned"]),
    (
        COMMITS,
        "outcome",
        &["applied", "conflict", "lease_lost", "error"],
    ),
    (
        NODE_BUSY,
        "queue",
        &["intents", "orders", "commands", "connection"],
    ),
    (
        NODE_COMMANDS,
        "outcome",
        &["ok", "refused", "timeout", "down"],
    ),
    (ESL_RECONNECTS, "connection", &["event", "command"]),
    (
        WEBHOOK_DELIVERIES,
        "result",
        &["delivered", "dead", "parked", "forgotten"],
    ),
    (
        WEBHOOK_ATTEMPTS,
        "outcome",
        &[
            "ok", "status", "timeout", "refused", "connect", "error", "gone",
        ],
    ),
];

/// The callers that [`STORE_ERRORS`] distinguishes.
const STORE_CALLERS: [&str; 9] = [
    "api",
    "reconciler",
    "lease",
    "webhook",
    "board",
    "live",
    "events",
    "quota",
    "audit",
];

/// Outcomes of a fetch by the media proxy.
const MEDIA_OUTCOMES: [&str; 12] = [
    "ok",
    "forbidden",
    "not_found",
    "status",
    "redirects",
    "too_large",
    "timeout",
    "connect",
    "error",
    "busy",
    "full",
    "disk",
];

/// [`METRICS`] as a table for the documentation.
pub fn metric_table_markdown() -> String {
    let mut table = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            metric.name,
            metric.kind.as_str(),
            labels.join(", "),
            metric.description
        );
    }
    table
}

/// Buckets from the response time of a local store to the timeout of a webhook receiver.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Metrics with their own buckets: times without network, times that include an outage of a receiver, and counts.
const OTHER_BUCKETS: &[(&str, &[f64])] = &[
    (
        APPLY_SECONDS,
        &[
            0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5,
            0.005, 0.01, 0.025, 0.1, 1.0,
        ],
    ),
    (
        WEBHOOK_DELIVERED_SECONDS,
        &[
            0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
            300.0, 1_800.0, 7_200.0, 86_400.0,
        ],
    ),
    (
        BATCH_ITEMS,
        &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 576.0],
    ),
];

/// A failure to set up log, metrics or traces.
#[derive(Debug)]
pub struct TelemetryError(&'static str, Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for TelemetryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot set up the {}", self.0)
    }
}

impl std::error::Error for TelemetryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.1.as_ref())
    }
}

/// Displays an error with all its causes, for a log field: the innermost cause is usually the informative one.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        f.write_str(&last)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            let text = inner.to_string();
            // Some libraries show the cause in the error's own text as well.
            if !last.contains(&text) {
                write!(f, ": {text}")?;
                last = text;
            }
            cause = inner.source();
        }
        Ok(())
    }
}

/// Converts a duration to whole milliseconds for a log field. JSON output would write more than 64 bits as a string.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The trace exporter, which must be flushed when the program ends.
#[derive(Debug, Default)]
pub struct Traces {
    #[cfg(feature = "otlp")]
    provider: Option<otlp::Provider>,
}

impl Traces {
    /// Sends the remaining spans within this time and stops accepting new ones. Blocks.
    pub fn flush(self, within: Duration) {
        #[cfg(feature = "otlp")]
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(within)
        {
            tracing::warn!(%error, "cannot send the last spans");
        }
        #[cfg(not(feature = "otlp"))]
        let _ = within;
    }
}

/// Sends the log of this process to standard error, and its traces to the collector of the configuration or of the
/// `OTEL_*` variables. Call it once per process, where blocking is allowed.
///
/// # Errors
/// Fails if the filter is invalid, the log is set up already, or the trace exporter cannot be created.
pub fn init_log(config: &LogConfig, telemetry: &TelemetryConfig) -> Result<Traces, TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|e| TelemetryError("log", e.into()))?;
    // The log leaves out spans that exist for traces only; without traces they cost nothing.
    let filter = filter.and(filter_fn(|meta| meta.target() != trace::TARGET));
    let layer = tracing_subscriber::fmt::layer()
        // Colours would be noise in a file or a log collector.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let log: Box<dyn Layer<Registry> + Send + Sync> = match config.format {
        LogFormat::Text => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let registry = tracing_subscriber::registry().with(log);
    let (done, traces) = with_traces(registry, telemetry)?;
    done.map_err(|e| TelemetryError("log", e.into()))?;
    if cfg!(not(feature = "otlp")) && telemetry.asked_by_environment {
        tracing::warn!(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this build does not support traces"
        );
    }
    Ok(traces)
}

type Set = Result<(), tracing_subscriber::util::TryInitError>;

#[cfg(feature = "otlp")]
fn with_traces<S>(registry: S, telemetry: &TelemetryConfig) -> Result<(Set, Traces), TelemetryError>
where
    S: tracing::Subscriber
        + for<'a> tracing_subscriber::registry::LookupSpan<'a>
        + Send
        + Sync
        + 'static,
{
    if telemetry.otlp_endpoint.is_none() && !telemetry.asked_by_environment {
        return Ok((registry.try_init(), Traces::default()));
    }
    let provider = otlp::provider(telemetry).map_err(|e| TelemetryError("traces", e))?;
    let done = registry.with(otlp::layer(&provider)).try_init();
    let provider = Some(provider);
    Ok((done, Traces { provider }))
}

#[cfg(not(feature = "otlp"))]
fn with_traces<S>(registry: S, _: &TelemetryConfig) -> Result<(Set, Traces), TelemetryError>
where
    S: tracing::Subscriber + Send + Sync + 'static,
{
    Ok((registry.try_init(), Traces::default()))
}

/// Installs the metrics recorder; call it once per process. The caller must call `run_upkeep` on the handle every few
/// seconds, so that histograms stay small even if nothing scrapes them.
///
/// # Errors
/// Fails if a recorder is installed already.
pub fn init_metrics() -> Result<PrometheusHandle, TelemetryError> {
    let handle = builder()
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| TelemetryError("metrics", e.into()))?;
    describe_all();
    metrics::gauge!(
        BUILD_INFO,
        "version" => env!("CARGO_PKG_VERSION"),
        "traces" => if cfg!(feature = "otlp") { "true" } else { "false" }
    )
    .set(1.0);
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    let mut builder = PrometheusBuilder::new().set_buckets(SECONDS_BUCKETS)?;
    for (name, buckets) in OTHER_BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
    }
    Ok(builder)
}

/// Starts the counters of these nodes, and those without a node, at zero.
pub fn begin_at_zero<'a>(nodes: impl IntoIterator<Item = &'a str>) {
    for node in nodes {
        for metric in METRICS {
            if metric.kind == Kind::Counter && metric.labels == ["node"] {
                metrics::counter!(metric.name, "node" => node.to_owned()).increment(0);
            }
        }
        for (name, label, values) in FROM_ZERO {
            for value in *values {
                metrics::counter!(*name, "node" => node.to_owned(), *label => *value).increment(0);
            }
        }
    }
    for caller in STORE_CALLERS {
        metrics::counter!(STORE_ERRORS, "caller" => caller).increment(0);
    }
    for name in [
        WEBHOOK_LOST,
        WEBHOOK_DEAD_DROPPED,
        EVENT_GAPS,
        QUOTA_REFUSED,
        AUDIT_LOST,
        STORE_CORRUPT_OTHER,
    ] {
        metrics::counter!(name).increment(0);
    }
    for kind in ["stored", "live"] {
        metrics::counter!(EVENTS_SENT, "kind" => kind).increment(0);
    }
    for place in ["queue", "say", "stream"] {
        metrics::counter!(LIVE_DROPPED, "where" => place).increment(0);
    }
    for listener in ["api", "admin"] {
        for why in ["replaced", "address"] {
            metrics::counter!(HTTP_CONNECTIONS_CLOSED, "listener" => listener, "why" => why)
                .increment(0);
        }
        for outcome in ["missing", "wrong", "throttled"] {
            metrics::counter!(HTTP_UNAUTHORIZED, "listener" => listener, "outcome" => outcome)
                .increment(0);
        }
    }
    metrics::gauge!(EVENT_STREAMS).set(0.0);
    for outcome in MEDIA_OUTCOMES {
        metrics::counter!(MEDIA_FETCHES, "outcome" => outcome).increment(0);
    }
    for outcome in ["held", "fetched", "failed", "invalid_link"] {
        metrics::counter!(MEDIA_REQUESTS, "outcome" => outcome).increment(0);
    }
    metrics::counter!(MEDIA_FETCHED_BYTES).increment(0);
    metrics::gauge!(MEDIA_STORED_BYTES).set(0.0);
}

/// Updates the metrics of the process: memory, CPU time and files. Call it before rendering the metrics.
pub fn measure_process() {
    Collector::default().collect();
}

/// Registers the description of each metric.
pub fn describe_all() {
    for metric in METRICS {
        let unit = if metric.name.contains("_seconds") {
            Unit::Seconds
        } else if metric.name.ends_with("_bytes") {
            Unit::Bytes
        } else {
            Unit::Count
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
    fn metric_names_are_unique_and_follow_conventions() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} twice");
            // Process metrics have the usual names of all Prometheus clients.
            let process = name.starts_with("process_");
            assert!(process || name.starts_with("roomkeeper_"), "{name}");
            let total = name.ends_with("_total");
            assert_eq!(total, metric.kind == Kind::Counter, "{name}");
            let unit = name.ends_with("_seconds") || name.ends_with("_items");
            assert_eq!(unit && !process, metric.kind == Kind::Histogram, "{name}");
            assert!(metric.description.ends_with('.'), "{name}");
            assert!(!metric.description.contains('|'), "{name} breaks its table");
        }
    }

    #[test]
    fn counters_that_start_at_zero_have_their_documented_labels() {
        for (name, label, _) in FROM_ZERO {
            let metric = METRICS.iter().find(|m| m.name == *name).unwrap();
            assert_eq!(metric.labels, ["node", label], "{name}");
        }
    }

    #[test]
    fn chain_shows_error_with_causes() {
        let inner = std::io::Error::other("connection refused");
        let error = crate::store::StoreError::Unavailable(Box::new(inner));
        let shown = Chain(&error).to_string();
        assert_eq!(shown, "the store is unavailable: connection refused");
    }

    #[test]
    fn chain_shows_cause_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect: {0}")]
        struct Repeating(#[source] std::io::Error);
        let error = Repeating(std::io::Error::other("connection refused"));
        let error = crate::store::StoreError::Unavailable(Box::new(error));
        let shown = Chain(&error).to_string();
        assert_eq!(
            shown,
            "the store is unavailable: cannot connect: connection refused"
        );
    }

    #[test]
    fn rendered_metrics_include_descriptions() {
        let recorder = builder().unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            describe_all();
            metrics::counter!(WEBHOOK_ATTEMPTS, "node" => "acW68", "outcome" => "ok").increment(2);
            metrics::histogram!(WEBHOOK_ATTEMPT_SECONDS, "node" => "acW68").record(0.2);
        });
        let page = handle.render();
        assert!(page.contains("# HELP roomkeeper_webhook_attempts_total Delivery attempts"));
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
