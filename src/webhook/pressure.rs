//! How near the queues are to their bounds: said by the workers, heeded by the API.
//!
//! What nodes tell has to be taken as it comes. What callers ask for need not: long before messages are lost, changes are
//! refused, so that whoever makes them hears of it. A node's outbox that is not emptied concerns all; a receiver that
//! takes nothing concerns its app.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use crate::ids::{AppId, NodeId};

/// Who has too much on the way. Every replica looks for itself, every few seconds.
#[derive(Debug)]
pub struct Pressure {
    most: u64,
    nodes: Mutex<BTreeMap<NodeId, Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    outbox: bool,
    apps: BTreeSet<AppId>,
}

impl Pressure {
    /// With this bound ([`QueueLimits::pending`](crate::store::deliveries::QueueLimits)).
    pub const fn new(most: u64) -> Self {
        Self {
            most,
            nodes: Mutex::new(BTreeMap::new()),
        }
    }

    /// The bound.
    pub const fn most(&self) -> u64 {
        self.most
    }

    /// From so many on, nine tenths of the bound, changes are refused.
    pub const fn tight(&self) -> u64 {
        self.most - self.most / 10
    }

    /// What a node has: messages not handed over yet, and apps of which a receiver has too much.
    pub fn note(&self, node: NodeId, outbox: u64, apps: BTreeSet<AppId>) {
        let seen = Seen {
            outbox: outbox >= self.tight(),
            apps,
        };
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.insert(node, seen);
    }

    /// Why an app may not change anything now, if so.
    pub fn refuses(&self, app: &AppId) -> Option<&'static str> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.values().any(|seen| seen.apps.contains(app)) {
            return Some("too many webhooks wait for a receiver of this app");
        }
        if nodes.values().any(|seen| seen.outbox) {
            return Some("too many webhooks wait to be sent");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_refused_before_anything_is_lost_and_until_there_is_room() {
        let pressure = Pressure::new(100);
        let (a, b): (AppId, AppId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (one, two): (NodeId, NodeId) = ("node1".parse().unwrap(), "node2".parse().unwrap());
        assert_eq!(pressure.tight(), 90);
        pressure.note(one, 89, BTreeSet::new());
        assert_eq!(pressure.refuses(&a), None);
        pressure.note(one, 90, BTreeSet::new());
        assert!(pressure.refuses(&a).is_some() && pressure.refuses(&b).is_some());
        pressure.note(two, 0, BTreeSet::from([a.clone()]));
        pressure.note(one, 0, BTreeSet::new());
        assert!(pressure.refuses(&a).is_some() && pressure.refuses(&b).is_none());
        pressure.note(two, 0, BTreeSet::new());
        assert_eq!(pressure.refuses(&a), None);
    }
}
