//! The log, the metrics and the traces: how they are set up, and every metric's name.
//!
//! Owns the names, so that a dashboard can be written from this page and two modules never count the same thing under
//! two names. Leaves out the endpoint that shows them, and who counts.

#[cfg(feature = "otlp")]
mod otlp;
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

use crate::config::{LogConfig, LogFormat, TelemetryConfig};

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

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric, for the documentation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricDoc {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, all of them on every series. None has a room, a call or an app in it: there is no end of those.
    pub labels: &'static [&'static str],
    /// What it tells, and what its labels can be.
    pub description: &'static str,
}

macro_rules! metrics {
    ($($constant:ident: $kind:ident = $name:literal, [$($label:literal),*], $description:literal;)*) => {
        $(
            #[doc = $description]
            pub const $constant: &str = $name;
        )*

        /// Every metric there is.
        pub const METRICS: &[MetricDoc] = &[
            $(MetricDoc { name: $name, kind: Kind::$kind, labels: &[$($label),*], description: $description },)*
        ];
    };
}

metrics! {
    ESL_EVENTS: Counter = "roomkeeper_esl_events_total", ["node", "event"], "Events received from FreeSWITCH, by `Event-Name`, those of conferences by `Action`; one that is not known is `other`.";
    ESL_EVENTS_DROPPED: Counter = "roomkeeper_esl_events_dropped_total", ["node", "why"], "Events that were not applied, and that a snapshot makes up for: the queue was full (`queue`), the store was away (`store`), or another replica reconciles the node by now (`not_owned`, where it is no loss).";
    ESL_BAD_FRAMES: Counter = "roomkeeper_esl_bad_frames_total", ["node"], "Frames that were not readable; each ends the connection.";
    ESL_BAD_EVENTS: Counter = "roomkeeper_esl_bad_events_total", ["node"], "Events that were not readable and were skipped.";
    ESL_RECONNECTS: Counter = "roomkeeper_esl_reconnects_total", ["node", "connection"], "Connections that ended, or could not be made, and are made again (`event`, `command`).";
    ESL_QUEUE_DEPTH: Gauge = "roomkeeper_esl_queue_depth", ["node"], "Events that wait for the reconciler.";
    ESL_QUEUE_SECONDS: Histogram = "roomkeeper_esl_queue_seconds", ["node"], "Time an event waited for the reconciler.";
    ESL_LAG_SECONDS: Histogram = "roomkeeper_esl_lag_seconds", ["node"], "Time between an event in FreeSWITCH (`Event-Date-Timestamp`) and the commit of what it led to. FreeSWITCH's clock moves in steps: up to 20 ms of it are not real. Its clock and ours must agree.";
    EVENTS_IGNORED: Counter = "roomkeeper_reconciler_events_ignored_total", ["node"], "News that was about nothing of ours, or too late to mean anything.";
    FOREIGN_CALLS: Counter = "roomkeeper_reconciler_foreign_calls_total", ["node"], "Calls that belong to no app and were ignored.";
    BATCH_ITEMS: Histogram = "roomkeeper_reconciler_batch_items", ["node"], "How many things (events, intents, answers, deadlines) were applied together, and committed in one step.";
    APPLY_SECONDS: Histogram = "roomkeeper_reconciler_apply_seconds", ["node"], "Time it took to apply a batch to what is believed.";
    RECONCILER_QUEUE_DEPTH: Gauge = "roomkeeper_reconciler_queue_depth", ["node"], "Intents, answers and snapshots that wait for the reconciler.";
    RECONCILER_QUEUE_SECONDS: Histogram = "roomkeeper_reconciler_queue_seconds", ["node"], "Time a caller's intent waited for the reconciler.";
    INTENTS: Counter = "roomkeeper_reconciler_intents_total", ["node", "intent", "outcome"], "What callers asked for, and what came of it: `accepted`, `refused` (by the rules), `failed` (FreeSWITCH refused), `timeout` (it did not answer), `down` (it is not reached), `busy`, `store`.";
    INTENT_SECONDS: Histogram = "roomkeeper_reconciler_intent_seconds", ["node", "intent"], "Time from a caller's request to the answer: checked, committed, and answered by FreeSWITCH where it is told at once.";
    CONFIRM_SECONDS: Histogram = "roomkeeper_reconciler_confirm_seconds", ["node", "intent", "outcome"], "Time from a caller's request to the commit of the event that settled it (`confirmed`, or `failed` as a join or a recording that came to nothing), of `join`, `leave`, `kick`, `mute`, `unmute`, `lock`, `unlock`, `answer`, `hangup`, `delete_room`, `record_start` and `record_stop`.";
    RESYNCS: Counter = "roomkeeper_reconciler_resyncs_total", ["node"], "Snapshots merged.";
    RESYNCS_FAILED: Counter = "roomkeeper_reconciler_resyncs_failed_total", ["node"], "Snapshots that failed and changed nothing.";
    RESYNC_SECONDS: Histogram = "roomkeeper_reconciler_resync_seconds", ["node"], "Time a resync took, from its fence to its end, also one that failed.";
    RESYNC_STAGE_SECONDS: Histogram = "roomkeeper_reconciler_resync_stage_seconds", ["node", "stage"], "Time of its parts: `fence`, `list` (both: of channels and of conferences), `snapshot` (what was told before them is heard, and they are merged), `channels` (asked one by one), `playback`, `second_look` (with its pause; only when something was suspected).";
    DRIFT: Counter = "roomkeeper_drift_total", ["node", "kind"], "Differences that a snapshot revealed and no event had told, by what they became: the webhook's name without `conference.`, as `member.left`.";
    ROOMS: Gauge = "roomkeeper_reconciler_rooms", ["node"], "Rooms that are believed to live, as the replica that reconciles the node has it.";
    CALLS: Gauge = "roomkeeper_reconciler_calls", ["node"], "Calls that are believed to live, as the replica that reconciles the node has it.";
    LEASE_HELD: Gauge = "roomkeeper_lease_held", ["node"], "1 while this replica reconciles the node.";
    LEASES_TAKEN: Counter = "roomkeeper_lease_taken_total", ["node"], "How often this replica took the node.";
    LEASES_LOST: Counter = "roomkeeper_lease_lost_total", ["node"], "How often this replica lost the node to another, or let its lease run out; a hand-over at the end is none.";
    NODE_UP: Gauge = "roomkeeper_node_up", ["node"], "1 while the connections to a node stand: the command connection, and where this replica reconciles the node the event connection.";
    NODE_COMMANDS: Counter = "roomkeeper_node_commands_total", ["node", "outcome"], "Commands sent to FreeSWITCH (`ok`, `refused`, `timeout`, `down`: the connection was lost).";
    NODE_COMMAND_SECONDS: Histogram = "roomkeeper_node_command_seconds", ["node"], "Time until FreeSWITCH answered a command; of a job, until it was done.";
    NODE_NUDGES: Counter = "roomkeeper_node_nudges_total", ["node"], "Bare newlines sent to a node so that it tells at once what has happened (`nodes[].nudge`), on both connections.";
    NODE_COMMANDS_WAITING: Gauge = "roomkeeper_node_commands_waiting", ["node"], "Commands that wait to be sent.";
    NODE_BUSY: Counter = "roomkeeper_node_busy_total", ["node", "queue"], "What was refused because too much was waiting for a node (`intents`: of callers; `orders`: of what follows from the state; `commands`, `connection`: to FreeSWITCH).";
    ORDERS: Counter = "roomkeeper_node_orders_total", ["node", "order", "outcome"], "Orders that were given, and what came of them (`ok`, `refused`, `no_such_channel`, `timeout`, `down`, `busy`).";
    ORDERS_WAITING: Gauge = "roomkeeper_node_orders_waiting", ["node", "queue"], "Orders that are not given yet (`prompt`: those that somebody waits for; `paced`: those that wait for their turn).";
    ORDER_WAIT_SECONDS: Histogram = "roomkeeper_node_order_wait_seconds", ["node", "queue"], "Time an order waited until it was given (`prompt`: at once, for somebody waits; `paced`: in its turn).";
    COMMITS: Counter = "roomkeeper_store_commits_total", ["node", "outcome"], "Commits (`applied`, `conflict`, `lease_lost`, `error`).";
    COMMIT_CONFLICTS: Counter = "roomkeeper_store_conflicts_total", ["node"], "Commits that another writer was faster than.";
    COMMIT_SECONDS: Histogram = "roomkeeper_store_commit_seconds", ["node"], "Time a commit took.";
    STORE_ERRORS: Counter = "roomkeeper_store_errors_total", ["caller"], "Calls that the store did not answer (`api`, `reconciler`, `lease`, `webhook`, `board`, `live`, `events`, `quota`).";
    STORE_CONNECTIONS: Counter = "roomkeeper_store_connections_total", [], "Connections to the store that were made; each after the first is a reconnect. None in memory.";
    STORE_LOST_ROOMS: Counter = "roomkeeper_store_lost_rooms_total", ["node"], "Rooms that were known and that the store did not have any more after another server took over or it came back.";
    STORE_CORRUPT: Counter = "roomkeeper_store_corrupt_records_total", ["node"], "Stored values of a node that were not readable and were left alone, once a key.";
    STORE_CORRUPT_OTHER: Counter = "roomkeeper_store_corrupt_other_total", [], "Stored values that are no node's and were not readable, once a key.";
    APP_BYTES_MOST: Gauge = "roomkeeper_store_app_bytes_most", [], "Bytes in the store of the app that has most (`limits.app_bytes`), as this replica last read them.";
    APPS_AT_QUOTA: Gauge = "roomkeeper_store_apps_at_quota", [], "Apps that have as many bytes in the store as they may; the log names them.";
    QUOTA_REFUSED: Counter = "roomkeeper_http_quota_refused_total", [], "Requests that were refused (413, 429) because of their app's quota of bytes.";
    WEBHOOK_HANDED_OVER: Counter = "roomkeeper_webhook_handed_over_total", ["node"], "Events that were moved from the outbox to the queues of those who want them.";
    WEBHOOK_HAND_OVER_SECONDS: Histogram = "roomkeeper_webhook_hand_over_seconds", ["node"], "Time from the commit of an event until it was in the queues.";
    WEBHOOK_DELIVERED_SECONDS: Histogram = "roomkeeper_webhook_delivered_seconds", ["node"], "Time from the commit of an event until a receiver had taken it, with all attempts and pauses, also of what was sent again later.";
    WEBHOOK_ATTEMPTS: Counter = "roomkeeper_webhook_attempts_total", ["node", "outcome"], "Attempts to deliver (`ok`, `status`, `timeout`, `refused`: by the guard, `connect`, `error`, `gone`).";
    WEBHOOK_ATTEMPT_SECONDS: Histogram = "roomkeeper_webhook_attempt_seconds", ["node"], "Time an attempt took.";
    WEBHOOK_DELIVERIES: Counter = "roomkeeper_webhook_deliveries_total", ["node", "result"], "Deliveries that came to an end or must not be waited for any more (`delivered`, `dead`, `parked`, `forgotten`).";
    WEBHOOK_LOST: Counter = "roomkeeper_webhook_lost_total", [], "Messages that were not queued because there were too many already.";
    WEBHOOK_DEAD_DROPPED: Counter = "roomkeeper_webhook_dead_dropped_total", [], "Given-up messages that were dropped from a full list of the dead.";
    WEBHOOK_OUTBOX_DEPTH: Gauge = "roomkeeper_webhook_outbox_depth", ["node"], "Events not yet handed to the delivery queues.";
    WEBHOOK_OUTBOX_MISSING: Counter = "roomkeeper_webhook_outbox_missing_total", ["node"], "Events that somebody deleted from the outbox before they were handed over. Every replica counts them.";
    WEBHOOK_OUTBOX_UNREADABLE: Counter = "roomkeeper_webhook_outbox_unreadable_total", ["node"], "Entries of the outbox that this program did not write, and that were passed over. Every replica counts them.";
    WEBHOOK_QUEUES: Gauge = "roomkeeper_webhook_queues", ["node"], "Delivery queues (one an endpoint and room or call) that are not empty.";
    WEBHOOK_PENDING: Gauge = "roomkeeper_webhook_pending", ["node"], "Messages that wait for their receivers.";
    WEBHOOK_FULL_RATIO: Gauge = "roomkeeper_webhook_full_ratio", ["node"], "How full the outbox or the fullest receiver's queue is; 1 is the bound (`webhooks.max_pending`).";
    WEBHOOK_DEAD: Gauge = "roomkeeper_webhook_dead", ["node"], "Messages given up and kept.";
    WEBHOOK_IN_FLIGHT: Gauge = "roomkeeper_webhook_in_flight", ["node"], "Attempts under way in this process.";
    WEBHOOK_LOWERED: Gauge = "roomkeeper_webhook_lowered_endpoints", ["node"], "Endpoints that this process gives fewer places for attempts than others, because they do not answer in time.";
    HTTP_REQUESTS: Counter = "roomkeeper_http_requests_total", ["route", "method", "status"], "Requests answered, by route as it is written in the documentation.";
    HTTP_REQUEST_SECONDS: Histogram = "roomkeeper_http_request_seconds", ["route"], "Time a request took.";
    HTTP_CONNECTIONS: Gauge = "roomkeeper_http_connections", ["listener"], "Connections of clients that are open (`api`, `admin`, `media`).";
    HTTP_CONNECTIONS_CLOSED: Counter = "roomkeeper_http_connections_closed_total", ["listener", "why"], "Connections closed because there were as many as there may be: an idle one gave way to a new one (`replaced`), or a new one was refused because all of its address are in use (`address`).";
    HTTP_UNAUTHORIZED: Counter = "roomkeeper_http_unauthorized_total", ["listener", "outcome"], "Requests without a valid key (`missing`, `wrong`), and those that were not looked at because their address sent too many wrong keys (`throttled`).";
    EVENT_STREAMS: Gauge = "roomkeeper_events_streams", [], "Event streams that are open.";
    EVENTS_SENT: Counter = "roomkeeper_events_sent_total", ["kind"], "Events written to event streams (`stored`, `live`).";
    EVENT_GAPS: Counter = "roomkeeper_events_gaps_total", [], "Gaps that event streams were told of: what they had not seen was not kept any more, or the store is not the one that it was.";
    LIVE_DROPPED: Counter = "roomkeeper_events_live_dropped_total", ["where"], "Live events that were dropped (`queue`: the store did not take them in time; `say`: it refused them; `stream`: a reader was too slow).";
    MEDIA_REQUESTS: Counter = "roomkeeper_media_requests_total", ["outcome"], "Requests of the media proxy (`held`: answered without a fetch, `fetched`, `failed`, `invalid_link`).";
    MEDIA_FETCHES: Counter = "roomkeeper_media_fetches_total", ["outcome"], "Audio files fetched by the media proxy (`ok`, `forbidden`: it or a redirect leads where nothing may be played from, `not_found`, `status`, `redirects`: too many, `too_large`, `timeout`, `connect`, `error`, `busy`: too many at the same time, `full`: no space, `disk`).";
    MEDIA_FETCHED_BYTES: Counter = "roomkeeper_media_fetched_bytes_total", [], "Bytes of the audio files that the media proxy fetched.";
    MEDIA_STORED_BYTES: Gauge = "roomkeeper_media_stored_bytes", [], "Bytes that the media proxy holds on disk; the bound is `play.proxy_bytes`.";
    TASK_PANICS: Counter = "roomkeeper_task_panics_total", ["task", "of"], "Tasks that panicked and were begun anew, and what they work for (a node, or `all`).";
    BUILD_INFO: Gauge = "roomkeeper_build_info", ["version", "traces"], "Always 1: which version runs, and whether it was built with traces.";
    PROCESS_CPU_SECONDS: Counter = "process_cpu_seconds_total", [], "CPU time of the process.";
    PROCESS_RESIDENT_BYTES: Gauge = "process_resident_memory_bytes", [], "Memory of the process that is in RAM.";
    PROCESS_VIRTUAL_BYTES: Gauge = "process_virtual_memory_bytes", [], "Memory of the process by address.";
    PROCESS_VIRTUAL_MAX_BYTES: Gauge = "process_virtual_memory_max_bytes", [], "How much of that it may have; 0: any.";
    PROCESS_OPEN_FDS: Gauge = "process_open_fds", [], "Open files and sockets of the process.";
    PROCESS_MAX_FDS: Gauge = "process_max_fds", [], "How many it may have.";
    PROCESS_THREADS: Gauge = "process_threads", [], "Threads of the process.";
    PROCESS_START_SECONDS: Gauge = "process_start_time_seconds", [], "When the process was started, seconds since 1970.";
}

/// What the other labels than the node's can be, of counters that somebody is to be woken by: they begin at zero, so that
/// the first time something happens is an increase like any other.
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

/// Who [`STORE_ERRORS`] is counted for.
const STORE_CALLERS: [&str; 8] = [
    "api",
    "reconciler",
    "lease",
    "webhook",
    "board",
    "live",
    "events",
    "quota",
];

/// The outcomes of a fetch of the media proxy.
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
    let mut table = String::from("| metric | kind | labels | what it tells |\n|---|---|---|---|\n");
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

/// From what a local store answers in to what a receiver may take.
const SECONDS_BUCKETS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// Metrics with buckets of their own: those that no clock of a network is in, those that wait for a receiver to come back,
/// and those that count things.
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

/// An error with all its causes, for a field of the log: what went wrong is mostly said by the innermost.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a>(pub &'a (dyn Error + 'a));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(inner) = cause {
            write!(f, ": {inner}")?;
            cause = inner.source();
        }
        Ok(())
    }
}

/// A time for a field of the log, in whole milliseconds; a larger number than 64 bits would be a text in JSON.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// What was begun with the log and has to be ended with the program.
#[derive(Debug, Default)]
pub struct Traces {
    #[cfg(feature = "otlp")]
    provider: Option<otlp::Provider>,
}

impl Traces {
    /// Sends what has not been sent yet, for so long at most; no span is taken any more. Blocks.
    pub fn flush(self, within: Duration) {
        #[cfg(feature = "otlp")]
        if let Some(provider) = self.provider
            && let Err(error) = provider.shutdown_with_timeout(within)
        {
            tracing::warn!(%error, "the last spans could not be sent");
        }
        #[cfg(not(feature = "otlp"))]
        let _ = within;
    }
}

/// Sends the log of this process to standard error, and its traces to where the configuration or the `OTEL_*` variables
/// say. Once a process. To be called where blocking is allowed.
///
/// # Errors
/// When the filter is not one, the log is set up already, or traces cannot be sent as is asked for.
pub fn init_log(config: &LogConfig, telemetry: &TelemetryConfig) -> Result<Traces, TelemetryError> {
    let filter = EnvFilter::builder()
        .parse(&config.filter)
        .map_err(|e| TelemetryError("log", e.into()))?;
    // Spans that are for traces alone are none of the log's business: nobody pays for them where there are no traces.
    let filter = filter.and(filter_fn(|meta| meta.target() != trace::TARGET));
    let layer = tracing_subscriber::fmt::layer()
        // Colours are for eyes: in a file or a collector they are garbage around every field.
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
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but this program was built without traces: none are sent"
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

/// Collects the metrics of this process. Once a process. Whoever holds the handle also calls its `run_upkeep` every
/// few seconds, so that histograms nobody scrapes do not grow.
///
/// # Errors
/// When metrics are set up already.
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

/// Lets the counters of these nodes begin at zero.
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

/// Looks at the process: its memory, time and files. For whoever is about to show the metrics.
pub fn measure_process() {
    Collector::default().collect();
}

/// Tells the recorder what each metric means.
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
    fn names_follow_the_rule_and_are_used_once() {
        let mut seen = BTreeSet::new();
        for metric in METRICS {
            let name = metric.name;
            assert!(seen.insert(name), "{name} twice");
            // Those of the process have the names that every program gives them.
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
    fn what_begins_at_zero_has_the_labels_that_it_has() {
        for (name, label, _) in FROM_ZERO {
            let metric = METRICS.iter().find(|m| m.name == *name).unwrap();
            assert_eq!(metric.labels, ["node", label], "{name}");
        }
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let inner = std::io::Error::other("connection refused");
        let error = crate::store::StoreError::Unavailable(Box::new(inner));
        let told = Chain(&error).to_string();
        assert_eq!(told, "the store is unavailable: connection refused");
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
