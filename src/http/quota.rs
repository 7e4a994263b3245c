//! The quota: the number of bytes that an app may have in the store.
//!
//! Owns this replica's copy of the counters, and the refusals. The store counts ([`crate::store::usage`]).
//!
//! One task reads the counters of all nodes: every second while changes are admitted or an app is at its quota,
//! otherwise every [`IDLE`]. Between two reads, an admitted request counts with the size of its body: once for the
//! record, once for the outbox and once for each endpoint of its app. So a quota is exceeded at most by the requests of
//! about a second. A body with an announced length counts before it is received, any other one afterwards.
//!
//! Only requests that add data are refused: requests that delete, end or stop something free space. Events of nodes are
//! always committed.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::store::usage::NodeUsage;
use crate::store::{Store, StoreError};
use crate::telemetry::{APP_BYTES_MOST, APPS_AT_QUOTA, Chain, QUOTA_REFUSED, STORE_ERRORS};
use crate::webhook::endpoint::Endpoints;
use roomkeeper_core::ids::{AppId, NodeId};

use super::error::ApiError;

/// The shortest interval between two reads of the counters.
const BUSY: Duration = Duration::from_secs(1);

/// The interval between two reads without admitted requests.
const IDLE: Duration = Duration::from_secs(30);

/// The number of nodes that are read concurrently.
const READS: usize = 16;

/// `Retry-After` of a refused request.
const AGAIN: Duration = Duration::from_secs(5);

/// The last path segments of requests that end or stop something. They are always admitted.
const MAKES_ROOM: [&str; 6] = [
    "leave",
    "hangup",
    "kick",
    "stop",
    "recording_stop",
    "unlock",
];

/// The stored bytes of each app, as known to this replica.
pub struct Quota {
    store: Arc<dyn Store>,
    nodes: Vec<NodeId>,
    receivers: watch::Receiver<Arc<Endpoints>>,
    /// The quota in bytes; 0: unlimited.
    limit: u64,
    usage: Mutex<Usage>,
    /// Notified when a request is admitted or refused.
    wanted: Notify,
}

#[derive(Default)]
struct Usage {
    nodes: HashMap<NodeId, NodeUsage>,
    stored: BTreeMap<AppId, u64>,
    /// Bytes admitted since the counters were last read.
    admitted: HashMap<AppId, u64>,
    /// Apps at their quota that have been logged.
    full: Vec<AppId>,
}

/// A body whose length is known only after it has been received.
#[derive(Clone, Debug)]
pub(super) struct UnannouncedBody {
    quota: Arc<Quota>,
    app: AppId,
}

impl UnannouncedBody {
    /// Admits the received bytes, or refuses the request.
    pub(super) fn admit(&self, bytes: usize) -> Result<(), ApiError> {
        self.quota.admit_bytes(&self.app, bytes)
    }
}

impl fmt::Debug for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quota")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Quota {
    /// Creates a quota without counts; [`Self::run`] reads them. `limit` is the bytes of each app; 0: unlimited.
    pub fn new(
        store: Arc<dyn Store>,
        nodes: Vec<NodeId>,
        receivers: watch::Receiver<Arc<Endpoints>>,
        limit: u64,
    ) -> Self {
        Self {
            store,
            nodes,
            receivers,
            limit,
            usage: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a request of an app, or refuses it. `announced` is the length of its body, if the head announces one;
    /// otherwise the returned body must be admitted when it has been received.
    pub(super) fn admit(
        self: &Arc<Self>,
        app: &AppId,
        method: &Method,
        path: &str,
        announced: Option<usize>,
    ) -> Result<Option<UnannouncedBody>, ApiError> {
        let last = path.rsplit('/').next().unwrap_or_default();
        let adds = !method.is_safe() && *method != Method::DELETE && !MAKES_ROOM.contains(&last);
        if self.limit == 0 || !adds {
            return Ok(None);
        }
        self.admit_bytes(app, announced.unwrap_or_default())?;
        Ok(announced.is_none().then(|| UnannouncedBody {
            quota: Arc::clone(self),
            app: app.clone(),
        }))
    }

    fn admit_bytes(&self, app: &AppId, body: usize) -> Result<(), ApiError> {
        let body = u64::try_from(body).unwrap_or(u64::MAX);
        if body > self.limit {
            metrics::counter!(QUOTA_REFUSED).increment(1);
            let words = "the request is larger than what this application may store";
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, words)
                .detail(json!({ "quota_bytes": self.limit, "request_bytes": body })));
        }
        let receivers = self.receivers.borrow().for_app(app).len();
        let copies = 2 + u64::try_from(receivers).unwrap_or(u64::MAX);
        let mut known = self.usage();
        let stored = known.stored.get(app).copied().unwrap_or_default();
        let admitted = known.admitted.entry(app.clone()).or_default();
        let used = stored.saturating_add(*admitted);
        let fits = used < self.limit;
        if fits {
            *admitted = admitted.saturating_add(body.saturating_mul(copies));
        }
        drop(known);
        self.wanted.notify_one();
        if fits {
            return Ok(());
        }
        metrics::counter!(QUOTA_REFUSED).increment(1);
        let words = "Quota exceeded: this application has too much in the store";
        Err(ApiError::limited(words, AGAIN).detail(json!({
            "quota_bytes": self.limit,
            "used_bytes": used,
            "retry_after_ms": AGAIN.as_millis() as u64,
        })))
    }

    /// Reads the counters until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let start = Instant::now();
            self.refresh().await;
            let wait = async {
                if timeout_at(start + IDLE, self.wanted.notified())
                    .await
                    .is_ok()
                {
                    sleep_until(start + BUSY).await;
                }
            };
            stop.run_until_cancelled(wait).await;
        }
    }

    /// Reads the counters. For a node that does not respond, the last values stay.
    pub async fn refresh(&self) {
        // Admitted bytes count until a read includes their effect.
        let before = self.usage().admitted.clone();
        let reads: Vec<_> = self.nodes.iter().map(|node| self.read(*node)).collect();
        let read: Vec<_> = stream::iter(reads).buffer_unordered(READS).collect().await;
        let receivers = Arc::clone(&self.receivers.borrow());
        let mut known = self.usage();
        let mut failed = 0_u64;
        for (node, usage) in read {
            match usage {
                Ok(usage) => drop(known.nodes.insert(node, usage)),
                Err(error) => {
                    failed += 1;
                    tracing::debug!(node.id = %node, error = %Chain(&error), "cannot read the stored bytes of a node's apps");
                }
            }
        }
        if failed > 0 {
            metrics::counter!(STORE_ERRORS, "caller" => "quota").increment(failed);
        }
        let mut stored = BTreeMap::new();
        for usage in known.nodes.values() {
            for (app, bytes) in &usage.apps {
                *stored.entry(app.clone()).or_default() += bytes;
            }
            for (receiver, bytes) in &usage.endpoints {
                if let Some(receiver) = receivers.get(receiver) {
                    *stored.entry(receiver.app.clone()).or_default() += bytes;
                }
            }
        }
        for (app, bytes) in before {
            if let Some(admitted) = known.admitted.get_mut(&app) {
                *admitted = admitted.saturating_sub(bytes);
            }
        }
        known.admitted.retain(|_, bytes| *bytes > 0);
        known.stored = stored;
        self.report(&mut known);
    }

    async fn read(&self, node: NodeId) -> (NodeId, Result<NodeUsage, StoreError>) {
        (node, self.store.read_usage(node).await)
    }

    /// Reports the largest app and the apps at their quota to log and metrics.
    fn report(&self, known: &mut Usage) {
        let largest = known.stored.values().copied().max().unwrap_or_default();
        metrics::gauge!(APP_BYTES_MOST).set(largest as f64);
        let at_quota = known.stored.iter();
        let at_quota = at_quota.filter(|(_, bytes)| self.limit > 0 && **bytes >= self.limit);
        let full: Vec<AppId> = at_quota.map(|(app, _)| app.clone()).collect();
        metrics::gauge!(APPS_AT_QUOTA).set(full.len() as f64);
        for app in full.iter().filter(|app| !known.full.contains(app)) {
            let bytes = known.stored.get(app).copied().unwrap_or_default();
            tracing::warn!(app.id = %app, bytes, quota = self.limit, "an app is at its quota; its changes are refused");
        }
        for app in known.full.iter().filter(|app| !full.contains(app)) {
            tracing::info!(app.id = %app, "an app is below its quota again");
        }
        known.full = full;
    }
}
