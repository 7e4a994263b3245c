//! Backpressure: workers report the depths of the queues, and the API refuses changes before they are full.
//!
//! Events of nodes must be stored in any case, but callers' changes can be refused. So changes are refused long before
//! messages would be lost, and the callers notice. A full outbox of a node affects all apps, an endpoint that accepts
//! nothing affects its app.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use roomkeeper_core::ids::{AppId, NodeId};

/// The apps whose changes are refused. Each replica measures the queues itself every few seconds.
#[derive(Debug)]
pub struct Backpressure {
    limit: u64,
    nodes: Mutex<BTreeMap<NodeId, NodeBacklog>>,
}

#[derive(Debug, Default)]
struct NodeBacklog {
    outbox: bool,
    apps: BTreeSet<AppId>,
}

impl Backpressure {
    /// Sets the limit of pending deliveries
    /// ([`QueueLimits::pending`](crate::store::deliveries::QueueLimits)).
    pub const fn new(limit: u64) -> Self {
        Self {
            limit,
            nodes: Mutex::new(BTreeMap::new()),
        }
    }

    /// The limit of pending deliveries.
    pub const fn limit(&self) -> u64 {
        self.limit
    }

    /// The number of pending deliveries from which changes are refused: nine tenths of the limit.
    pub const fn threshold(&self) -> u64 {
        self.limit - self.limit / 10
    }

    /// Updates a node: the number of messages in its outbox, and the apps with an endpoint above the threshold.
    pub fn update(&self, node: NodeId, outbox: u64, apps: BTreeSet<AppId>) {
        let backlog = NodeBacklog {
            outbox: outbox >= self.threshold(),
            apps,
        };
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, backlog);
    }

    /// The reason why an app's changes are refused, if they are.
    pub fn refusal(&self, app: &AppId) -> Option<&'static str> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.values().any(|backlog| backlog.apps.contains(app)) {
            return Some("too many webhooks wait for an endpoint of this app");
        }
        if nodes.values().any(|backlog| backlog.outbox) {
            return Some("too many webhooks wait to be sent");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_refused_from_threshold_until_queues_shrink() {
        let backpressure = Backpressure::new(100);
        let (a, b): (AppId, AppId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (one, two): (NodeId, NodeId) = ("node1".parse().unwrap(), "node2".parse().unwrap());
        assert_eq!(backpressure.threshold(), 90);
        backpressure.update(one, 89, BTreeSet::new());
        assert_eq!(backpressure.refusal(&a), None);
        backpressure.update(one, 90, BTreeSet::new());
        assert!(backpressure.refusal(&a).is_some() && backpressure.refusal(&b).is_some());
        backpressure.update(two, 0, BTreeSet::from([a.clone()]));
        backpressure.update(one, 0, BTreeSet::new());
        assert!(backpressure.refusal(&a).is_some() && backpressure.refusal(&b).is_none());
        backpressure.update(two, 0, BTreeSet::new());
        assert_eq!(backpressure.refusal(&a), None);
    }
}
