//! The lease that makes this replica the one that reconciles the node.
//!
//! A task of its own takes and renews it, so that it is renewed however long a step of the actor takes; the actor follows
//! what that task has. A lease is not renewed for an actor that has not moved for long: another replica gets the node.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::ids::NodeId;
use crate::reconciler::Link;
use crate::store::looks::next_look;
use crate::store::{Lease, LeaseOutcome, Store};
use crate::telemetry as names;
use crate::telemetry::Chain;

use super::{Actor, STORE_PAUSE};

/// How often a replica looks whether a node has been given up.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// An actor that has not come round for so many times the lease's life is not taken to live. Each call to the store ends
/// within a third of it.
const HUNG: u32 = 6;

/// However short the lease is.
const HUNG_AT_LEAST: Duration = Duration::from_secs(3);

/// An actor that has not come round for so long is not taken to live.
fn hung_after(ttl: Duration) -> Duration {
    (ttl * HUNG).max(HUNG_AT_LEAST)
}

/// How often an actor with nothing to do comes round, to be seen to live.
pub(super) fn comes_round(ttl: Duration) -> Duration {
    hung_after(ttl) / 3
}

/// Who reconciles the node, as far as the store has said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::reconciler) enum Owner {
    /// It has not been heard yet, or this replica has given the node up.
    Unknown,
    /// This replica, under this lease.
    Us(Lease),
    /// Another one.
    Another,
}

impl Owner {
    /// That of this replica.
    pub(in crate::reconciler) const fn lease(self) -> Option<Lease> {
        match self {
            Self::Us(lease) => Some(lease),
            Self::Unknown | Self::Another => None,
        }
    }
}

/// What the keeper and its actor have in common.
#[derive(Clone, Debug)]
pub(in crate::reconciler) struct Ownership {
    /// As the store has said last.
    owner: watch::Sender<Owner>,
    /// Look at once: the store has refused the lease.
    look: Arc<Notify>,
    /// When the actor came round last.
    moved: watch::Sender<Instant>,
}

impl Ownership {
    pub(in crate::reconciler) fn new() -> Self {
        Self {
            owner: watch::Sender::new(Owner::Unknown),
            look: Arc::new(Notify::new()),
            moved: watch::Sender::new(Instant::now()),
        }
    }

    /// Told whenever the lease comes or goes.
    pub(in crate::reconciler) fn watch(&self) -> watch::Receiver<Owner> {
        self.owner.subscribe()
    }

    /// Whether the store has said that the node is another's.
    pub(super) fn is_another(&self) -> bool {
        *self.owner.borrow() == Owner::Another
    }

    /// The actor has come round.
    pub(super) fn moves(&self) {
        self.moved.send_replace(Instant::now());
    }

    fn is_hung(&self, ttl: Duration) -> bool {
        self.moved.borrow().elapsed() > hung_after(ttl)
    }
}

/// Takes the lease whenever it can be had, and renews it.
#[derive(Debug)]
pub(in crate::reconciler) struct Keeper {
    pub(in crate::reconciler) node: NodeId,
    pub(in crate::reconciler) store: Arc<dyn Store>,
    pub(in crate::reconciler) owner: Uuid,
    pub(in crate::reconciler) ttl: Duration,
    pub(in crate::reconciler) ownership: Ownership,
}

impl Keeper {
    /// Runs until `stop` is cancelled, then gives the lease up.
    pub(in crate::reconciler) async fn run(&self, stop: &CancellationToken) {
        loop {
            let next = self.round().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.ownership.look.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        let owner = self.ownership.owner.send_replace(Owner::Unknown);
        self.show(None);
        if let Some(lease) = owner.lease()
            && let Err(error) = self.store.release_lease(lease).await
        {
            tracing::warn!(node.id = %self.node, error = %Chain(&error), "the lease could not be given up and will run out");
        }
    }

    /// Asks for the lease; when it is to be asked for again.
    async fn round(&self) -> Instant {
        let holds = self.ownership.owner.borrow().lease().is_some();
        if holds && self.ownership.is_hung(self.ttl) {
            tracing::error!(node.id = %self.node, "the node's reconciler has not moved for long: its lease is not renewed");
            return next_look(self.ttl / 3);
        }
        match self
            .store
            .acquire_lease(self.node, self.owner, self.ttl)
            .await
        {
            Ok(LeaseOutcome::Held(lease)) => {
                self.tell(Owner::Us(lease));
                next_look(self.ttl / 3)
            }
            Ok(LeaseOutcome::Other { remaining }) => {
                self.tell(Owner::Another);
                // A little late rather than early: the moment it runs out is the store's, not ours.
                // And soon enough to take over at once what another gives up.
                Instant::now()
                    + remaining.clamp(Duration::from_millis(20), self.ttl.min(LOOK_AGAIN))
            }
            Err(error) => {
                metrics::counter!(names::STORE_ERRORS, "caller" => "lease").increment(1);
                // The lease may run out, or not; every write is checked against it, so nothing wrong can be written.
                tracing::warn!(node.id = %self.node, error = %Chain(&error), "the lease could not be renewed");
                Instant::now() + STORE_PAUSE
            }
        }
    }

    fn tell(&self, owner: Owner) {
        let mut before = Owner::Unknown;
        self.ownership.owner.send_if_modified(|known| {
            before = std::mem::replace(known, owner);
            before != owner
        });
        let (before, lease) = (before.lease(), owner.lease());
        let node = self.node.to_string();
        // One of a later epoch was another's in between, or nobody's.
        if before.is_some() && before != lease {
            metrics::counter!(names::LEASES_LOST, "node" => node.clone()).increment(1);
        }
        if lease.is_some() && before != lease {
            metrics::counter!(names::LEASES_TAKEN, "node" => node.clone()).increment(1);
        }
        self.show(lease);
    }

    fn show(&self, lease: Option<Lease>) {
        let held = f64::from(u8::from(lease.is_some()));
        metrics::gauge!(names::LEASE_HELD, "node" => self.node.to_string()).set(held);
    }
}

impl Actor {
    /// Takes the node up, or lets go of it, as the keeper has it.
    pub(super) fn follow_lease(&mut self) {
        let owner = *self.parts.ownership.owner.borrow();
        match owner.lease() {
            None => self.lose_lease("another replica has it"),
            Some(lease) if Some(lease) == self.lease || Some(lease) == self.refused => {}
            Some(lease) => {
                tracing::info!(node.id = %self.id(), epoch = lease.epoch, "this replica reconciles the node");
                // It is ours anew though nobody took it: it had run out, or the store has forgotten it, and what else?
                self.remember();
                self.lease = Some(lease);
                self.refused = None;
                self.stale = true;
                self.next_read = Instant::now();
                self.parts.node.want_events(true);
                // A lease that ran out and is ours again finds the connection as it was: no news will tell of it.
                let up = matches!(self.parts.node.status().events, Some(Link::Up));
                self.down_since = (!up).then(Instant::now);
                self.lost = false;
                self.missed = true;
                self.want_resync("the node is ours now");
            }
        }
    }

    /// The store has refused the lease: it is not ours, whatever the keeper knows.
    pub(super) fn lease_refused(&mut self) {
        self.refused = self.lease;
        self.lose_lease("another replica took it");
        self.parts.ownership.look.notify_one();
    }

    fn lose_lease(&mut self, why: &'static str) {
        self.remember();
        if self.lease.take().is_some() {
            tracing::warn!(node.id = %self.id(), why, "this replica does not reconcile the node any more");
            self.parts.node.want_events(false);
            // They are not heard any more.
            self.parts.fences.lose_all();
        }
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.belief.clear();
        self.versions.clear();
        self.deadlines.clear();
        self.deadline_of.clear();
    }
}
