//! The lease that makes this replica the owner of a node.
//!
//! A separate task takes and renews the lease, so that a long step of the actor does not delay a renewal. The actor follows
//! the state of that task. The task does not renew the lease for an actor that hangs: another replica takes the node over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::polls::next_poll;
use crate::store::{Lease, LeaseOutcome, Store};
use crate::telemetry as names;
use roomkeeper_core::ids::NodeId;

/// The longest pause before a replica asks again for the lease of another replica's node.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The pause after a request to the store that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// An actor hangs if it does not report progress for this many lifetimes of the lease. Each call to the store ends
/// within a third of one.
const HUNG: u32 = 6;

/// The lower bound of that time, for short leases.
const HUNG_AT_LEAST: Duration = Duration::from_secs(3);

/// An actor that reports no progress for this long hangs.
fn hung_after(ttl: Duration) -> Duration {
    (ttl * HUNG).max(HUNG_AT_LEAST)
}

/// The longest time between two progress reports of an idle actor.
pub(super) fn progress_interval(ttl: Duration) -> Duration {
    hung_after(ttl) / 3
}

/// The owner of the node, according to the last answer of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// The store has not answered yet, or this replica has released the lease.
    Unknown,
    /// This replica, under this lease.
    Us(Lease),
    /// Another replica.
    Another,
}

impl Owner {
    /// The lease of this replica.
    pub(super) const fn lease(self) -> Option<Lease> {
        match self {
            Self::Us(lease) => Some(lease),
            Self::Unknown | Self::Another => None,
        }
    }
}

/// The state that the lease task and the actor share.
#[derive(Clone, Debug)]
pub(super) struct Ownership {
    owner: watch::Sender<Owner>,
    /// The store has refused the lease: ask again at once.
    refused: Arc<Notify>,
    /// The last progress report of the actor.
    progress: watch::Sender<Instant>,
}

impl Ownership {
    pub(super) fn new() -> Self {
        Self {
            owner: watch::Sender::new(Owner::Unknown),
            refused: Arc::new(Notify::new()),
            progress: watch::Sender::new(Instant::now()),
        }
    }

    /// The last answer of the store.
    pub(super) fn owner(&self) -> Owner {
        *self.owner.borrow()
    }

    /// Subscribes to changes of the owner.
    pub(super) fn watch(&self) -> watch::Receiver<Owner> {
        self.owner.subscribe()
    }

    /// Returns true if another replica owns the node.
    pub(super) fn is_another(&self) -> bool {
        self.owner() == Owner::Another
    }

    /// Has the lease task ask the store at once, because the store has refused the lease.
    pub(super) fn ask_again(&self) {
        self.refused.notify_one();
    }

    /// Reports progress of the actor.
    pub(super) fn report_progress(&self) {
        self.progress.send_replace(Instant::now());
    }

    fn is_hung(&self, ttl: Duration) -> bool {
        self.progress.borrow().elapsed() > hung_after(ttl)
    }
}

/// Takes the lease of a node whenever it is free, and renews it.
#[derive(Debug)]
pub(super) struct LeaseKeeper {
    pub(super) node: NodeId,
    pub(super) store: Arc<dyn Store>,
    pub(super) owner: Uuid,
    pub(super) ttl: Duration,
    pub(super) ownership: Ownership,
}

impl LeaseKeeper {
    /// Runs until `stop` is cancelled, then releases the lease.
    pub(super) async fn run(&self, stop: &CancellationToken) {
        loop {
            let next = self.request_lease().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.ownership.refused.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        let owner = self.ownership.owner.send_replace(Owner::Unknown);
        self.set_gauge(None);
        if let Some(lease) = owner.lease()
            && let Err(error) = self.store.release_lease(lease).await
        {
            error.log_effect(
                Some(self.node),
                "the lease could not be given up and will run out",
            );
        }
    }

    /// Requests the lease, and returns the time of the next request.
    async fn request_lease(&self) -> Instant {
        let holds = self.ownership.owner().lease().is_some();
        if holds && self.ownership.is_hung(self.ttl) {
            tracing::error!(node.id = %self.node, "the node's reconciler has not moved for long: its lease is not renewed");
            return next_poll(self.ttl / 3);
        }
        match self
            .store
            .acquire_lease(self.node, self.owner, self.ttl)
            .await
        {
            Ok(LeaseOutcome::Held(lease)) => {
                self.set_owner(Owner::Us(lease));
                next_poll(self.ttl / 3)
            }
            Ok(LeaseOutcome::Other { remaining }) => {
                self.set_owner(Owner::Another);
                // Not before the lease expires by the store's clock, and soon enough to take over a released node.
                Instant::now()
                    + remaining.clamp(Duration::from_millis(20), self.ttl.min(LOOK_AGAIN))
            }
            Err(error) => {
                metrics::counter!(names::STORE_ERRORS, "caller" => "lease").increment(1);
                // The lease may expire. Every write is checked against it, so no wrong write is possible.
                error.log_effect(Some(self.node), "the lease could not be renewed");
                Instant::now() + RETRY_PAUSE
            }
        }
    }

    fn set_owner(&self, owner: Owner) {
        let mut before = Owner::Unknown;
        self.ownership.owner.send_if_modified(|current| {
            before = std::mem::replace(current, owner);
            before != owner
        });
        let (before, lease) = (before.lease(), owner.lease());
        let node = self.node.to_string();
        // A lease of a later epoch: it had expired in between.
        if before.is_some() && before != lease {
            metrics::counter!(names::LEASES_LOST, "node" => node.clone()).increment(1);
        }
        if lease.is_some() && before != lease {
            metrics::counter!(names::LEASES_TAKEN, "node" => node.clone()).increment(1);
        }
        self.set_gauge(lease);
    }

    fn set_gauge(&self, lease: Option<Lease>) {
        let held = f64::from(u8::from(lease.is_some()));
        metrics::gauge!(names::LEASE_HELD, "node" => self.node.to_string()).set(held);
    }
}
