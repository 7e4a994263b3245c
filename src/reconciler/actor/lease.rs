//! Follows the lease of the node: takes the node over and gives it up.

use tokio::time::Instant;

use crate::node::Link;

use super::Actor;

impl Actor {
    /// Takes the node over, or gives it up, according to the lease task.
    pub(super) fn follow_lease(&mut self) {
        let owner = self.parts.ownership.owner();
        match owner.lease() {
            None => self.lose_lease("another replica has it"),
            Some(lease) if Some(lease) == self.lease || Some(lease) == self.refused => {}
            Some(lease) => {
                tracing::info!(node.id = %self.id(), epoch = lease.epoch, "this replica reconciles the node");
                // No other replica took it: it expired, or the store lost it, possibly with more.
                self.remember();
                self.lease = Some(lease);
                self.refused = None;
                self.stale = true;
                self.next_read = Instant::now();
                self.parts.node.want_events(true);
                // If the lease expired and is ours again, the connection is the same, so no event reports it.
                let up = matches!(self.parts.node.status().events, Some(Link::Up));
                self.down_since = (!up).then(Instant::now);
                self.lost = false;
                self.missed = true;
                self.want_resync("the node is ours now");
            }
        }
    }

    /// Gives the node up, because the store has refused the lease.
    pub(super) fn lease_refused(&mut self) {
        self.refused = self.lease;
        self.lose_lease("another replica took it");
        self.parts.ownership.ask_again();
    }

    fn lose_lease(&mut self, why: &'static str) {
        self.remember();
        if self.lease.take().is_some() {
            tracing::warn!(node.id = %self.id(), why, "this replica does not reconcile the node any more");
            self.parts.node.want_events(false);
            // Without events no fence arrives any more.
            self.parts.fences.lose_all();
        }
        self.forget();
    }
}
