//! How many bytes an app may have in the store.
//!
//! Owns what this replica knows of it and who is refused. Leaves out the counting, which is the store's
//! ([`crate::store::usage`]).
//!
//! One task reads the counters of all nodes: every second while changes are admitted or an app is at its quota, else every
//! [`IDLE`]. Between two readings an admitted request counts for its body, once for the record, once for the outbox and once
//! for each receiver of its app. So a quota is exceeded by what is admitted within about a second at most. A body whose
//! length the head announces counts before it is received, any other one when it has been received.
//!
//! Only requests that add something are refused: what deletes, ends or stops something makes room. Events of a node are
//! committed whoever's they are.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use futures_util::stream::{self, StreamExt};
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::ids::{AppId, NodeId};
use crate::store::usage::NodeUsage;
use crate::store::{Store, StoreError};
use crate::telemetry::{APP_BYTES_MOST, APPS_AT_QUOTA, Chain, QUOTA_REFUSED, STORE_ERRORS};
use crate::webhook::endpoint::Endpoints;

use super::body::announced_bytes;
use super::error::ApiError;

/// How often the counters are read at most.
const BUSY: Duration = Duration::from_secs(1);

/// How often they are read when nothing is admitted.
const IDLE: Duration = Duration::from_secs(30);

/// How many nodes are asked at once.
const READS: usize = 16;

/// When a refused caller should come back.
const AGAIN: Duration = Duration::from_secs(5);

/// The last parts of the paths whose requests end or stop something: they are admitted at any time.
const MAKES_ROOM: [&str; 6] = [
    "leave",
    "hangup",
    "kick",
    "stop",
    "recording_stop",
    "unlock",
];

/// The bytes of each app, as far as this replica knows.
pub struct Quota {
    store: Arc<dyn Store>,
    nodes: Vec<NodeId>,
    receivers: watch::Receiver<Arc<Endpoints>>,
    /// Bytes; 0: any number.
    most: u64,
    known: Mutex<Known>,
    /// Something was admitted or refused.
    wanted: Notify,
}

#[derive(Default)]
struct Known {
    nodes: HashMap<NodeId, NodeUsage>,
    stored: BTreeMap<AppId, u64>,
    /// Admitted since the counters were last read.
    admitted: HashMap<AppId, u64>,
    /// Apps at their quota, which the log has.
    full: Vec<AppId>,
}

/// A body whose length is known when it has been received.
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
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl Quota {
    /// Nothing is known until [`Self::run`] has read the counters. `most` is what each app may have, in bytes; 0: any number.
    pub fn new(
        store: Arc<dyn Store>,
        nodes: Vec<NodeId>,
        receivers: watch::Receiver<Arc<Endpoints>>,
        most: u64,
    ) -> Self {
        Self {
            store,
            nodes,
            receivers,
            most,
            known: Mutex::default(),
            wanted: Notify::new(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a request of an app, or refuses it. A body without an announced length is admitted when it has been received.
    pub(super) fn admit(
        self: &Arc<Self>,
        app: &AppId,
        request: &mut Parts,
    ) -> Result<(), ApiError> {
        let (method, path) = (&request.method, request.uri.path());
        let last = path.rsplit('/').next().unwrap_or_default();
        let adds = !method.is_safe() && *method != Method::DELETE && !MAKES_ROOM.contains(&last);
        if self.most == 0 || !adds {
            return Ok(());
        }
        let announced = announced_bytes(request);
        self.admit_bytes(app, announced.unwrap_or_default())?;
        if announced.is_none() {
            request.extensions.insert(UnannouncedBody {
                quota: Arc::clone(self),
                app: app.clone(),
            });
        }
        Ok(())
    }

    fn admit_bytes(&self, app: &AppId, body: usize) -> Result<(), ApiError> {
        let body = u64::try_from(body).unwrap_or(u64::MAX);
        if body > self.most {
            metrics::counter!(QUOTA_REFUSED).increment(1);
            let words = "the request is larger than what this application may store";
            return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, words)
                .detail(json!({ "quota_bytes": self.most, "request_bytes": body })));
        }
        let receivers = self.receivers.borrow().of_app(app).len();
        let copies = 2 + u64::try_from(receivers).unwrap_or(u64::MAX);
        let mut known = self.known();
        let stored = known.stored.get(app).copied().unwrap_or_default();
        let admitted = known.admitted.entry(app.clone()).or_default();
        let used = stored.saturating_add(*admitted);
        let fits = used < self.most;
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
            "quota_bytes": self.most,
            "used_bytes": used,
            "retry_after_ms": AGAIN.as_millis() as u64,
        })))
    }

    /// Reads the counters until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let begun = Instant::now();
            self.refresh().await;
            let wait = async {
                if timeout_at(begun + IDLE, self.wanted.notified())
                    .await
                    .is_ok()
                {
                    sleep_until(begun + BUSY).await;
                }
            };
            stop.run_until_cancelled(wait).await;
        }
    }

    /// Reads the counters. Of a node that does not answer, what was read last counts.
    pub async fn refresh(&self) {
        // It counts until what it led to is read.
        let before = self.known().admitted.clone();
        let reads: Vec<_> = self.nodes.iter().map(|node| self.read(*node)).collect();
        let read: Vec<_> = stream::iter(reads).buffer_unordered(READS).collect().await;
        let receivers = Arc::clone(&self.receivers.borrow());
        let mut known = self.known();
        let mut failed = 0_u64;
        for (node, usage) in read {
            match usage {
                Ok(usage) => drop(known.nodes.insert(node, usage)),
                Err(error) => {
                    failed += 1;
                    tracing::debug!(node.id = %node, error = %Chain(&error), "what apps have stored on a node cannot be read");
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
            for (receiver, bytes) in &usage.receivers {
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

    /// Tells the log and the metrics who has most, and who is at its quota.
    fn report(&self, known: &mut Known) {
        let most = known.stored.values().copied().max().unwrap_or_default();
        metrics::gauge!(APP_BYTES_MOST).set(most as f64);
        let at_quota = known.stored.iter();
        let at_quota = at_quota.filter(|(_, bytes)| self.most > 0 && **bytes >= self.most);
        let full: Vec<AppId> = at_quota.map(|(app, _)| app.clone()).collect();
        metrics::gauge!(APPS_AT_QUOTA).set(full.len() as f64);
        for app in full.iter().filter(|app| !known.full.contains(app)) {
            let bytes = known.stored.get(app).copied().unwrap_or_default();
            tracing::warn!(app.id = %app, bytes, quota = self.most, "an app is at its quota; its changes are refused");
        }
        for app in known.full.iter().filter(|app| !full.contains(app)) {
            tracing::info!(app.id = %app, "an app is below its quota again");
        }
        known.full = full;
    }
}
