//! The endpoints whose waiting deliveries must become due, because the endpoint has changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::webhook::endpoint::{Endpoint, Endpoints};
use roomkeeper_core::ids::EndpointId;

/// The endpoints that have changed since the worker's last check.
pub(super) struct ChangedEndpoints {
    known: Arc<Endpoints>,
    /// The changed endpoints that are not handled yet.
    pending: BTreeSet<EndpointId>,
}

impl ChangedEndpoints {
    /// Starts with the endpoints that are known now.
    pub(super) const fn new(known: Arc<Endpoints>) -> Self {
        Self {
            known,
            pending: BTreeSet::new(),
        }
    }

    /// Compares the known endpoints with the current ones.
    pub(super) fn follow(&mut self, current: Arc<Endpoints>) {
        if Arc::ptr_eq(&self.known, &current) {
            return;
        }
        let known = std::mem::replace(&mut self.known, Arc::clone(&current));
        let changed = current.ids().filter(|id| {
            let (before, now) = (known.get(id), current.get(id));
            before
                .zip(now)
                .is_some_and(|(before, now)| is_changed(before, now))
        });
        self.pending.extend(changed.cloned());
    }

    /// The next changed endpoint.
    pub(super) fn next(&self) -> Option<EndpointId> {
        self.pending.first().cloned()
    }

    /// Notes that a changed endpoint is handled.
    pub(super) fn finish(&mut self, endpoint: &EndpointId) {
        self.pending.remove(endpoint);
    }
}

/// Returns true if the earlier failures of an endpoint say nothing about its next attempt.
fn is_changed(before: &Endpoint, now: &Endpoint) -> bool {
    before.url != now.url || (before.disabled.is_some() && now.disabled.is_none())
}
