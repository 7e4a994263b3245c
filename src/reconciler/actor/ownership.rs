//! The lease that makes this replica the one that reconciles the node.

use std::time::Duration;

use tokio::time::Instant;

use crate::reconciler::Link;
use crate::store::LeaseOutcome;

use super::{Actor, STORE_PAUSE};

/// How often a replica looks whether a node has been given up.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Actor {
    pub(super) async fn keep_lease(&mut self) {
        if Instant::now() < self.next_lease {
            return;
        }
        let ttl = self.settings.lease_ttl;
        match self.store.acquire_lease(self.id(), self.owner, ttl).await {
            Ok(LeaseOutcome::Held(lease)) => {
                self.next_lease = Instant::now() + ttl / 3;
                if self.lease != Some(lease) {
                    tracing::info!(node.id = %self.id(), epoch = lease.epoch, "this replica reconciles the node");
                    self.lease = Some(lease);
                    self.stale = true;
                    self.next_read = Instant::now();
                    self.node.want_events(true);
                    // A lease that ran out and is ours again finds the connection as it was: no news will tell of it.
                    let up = matches!(self.node.status().events, Some(Link::Up));
                    self.down_since = (!up).then(Instant::now);
                    self.lost = false;
                    self.missed = true;
                    self.want_resync("the node is ours now");
                }
            }
            Ok(LeaseOutcome::Other { remaining }) => {
                self.lose_lease("another replica has it");
                // A little late rather than early: the moment it runs out is the store's, not ours.
                // And soon enough to take over at once what another gives up.
                let wait = remaining.clamp(Duration::from_millis(20), ttl.min(LOOK_AGAIN));
                self.next_lease = Instant::now() + wait;
            }
            Err(error) => {
                // The lease may run out, or not; every write is checked against it, so nothing wrong can be written.
                tracing::warn!(node.id = %self.id(), %error, "the lease could not be renewed");
                self.next_lease = Instant::now() + STORE_PAUSE;
            }
        }
    }

    pub(super) fn lose_lease(&mut self, why: &'static str) {
        if self.lease.take().is_some() {
            tracing::warn!(node.id = %self.id(), why, "this replica does not reconcile the node any more");
            self.node.want_events(false);
        }
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.belief.clear();
        self.versions.clear();
        self.deadlines.clear();
        self.deadline_of.clear();
    }

    pub(super) async fn give_up(&mut self) {
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.store.release_lease(lease).await
        {
            tracing::warn!(node.id = %self.id(), %error, "the lease could not be given up and will run out");
        }
    }
}
