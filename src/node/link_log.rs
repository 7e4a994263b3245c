//! The log of a node's connection: up, down, and up again.
//!
//! Both connections of a node end together, and each is retried. They report to one log, so that the node has one line for
//! each change of its state.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::time::Instant;

use crate::telemetry::millis;
use crate::telemetry::outage::{OutageChange, OutageLog};
use roomkeeper_core::ids::NodeId;

/// The log of the connections to one node.
#[derive(Debug)]
pub(super) struct LinkLog {
    node: NodeId,
    address: String,
    outage: OutageLog,
    was_up: AtomicBool,
}

impl LinkLog {
    /// Creates the log of the node at this address.
    pub(super) fn new(node: NodeId, address: String) -> Self {
        Self {
            node,
            address,
            outage: OutageLog::new(),
            was_up: AtomicBool::new(false),
        }
    }

    /// Notes that a connection ended or could not be opened.
    pub(super) fn note_down(&self, connection: &'static str, reason: &str) {
        let Some(change) = self.outage.note_failure(Instant::now()) else {
            return;
        };
        let (node, address) = (self.node, &self.address);
        match change {
            OutageChange::Began { unlogged } => {
                let earlier = (unlogged > 0).then_some(unlogged);
                tracing::warn!(node.id = %node, address, connection, error = reason, earlier, "FreeSWITCH is down");
            }
            OutageChange::Continues { down, failures } | OutageChange::Ended { down, failures } => {
                tracing::warn!(
                    node.id = %node,
                    address,
                    connection,
                    error = reason,
                    down_ms = millis(down),
                    failures,
                    "FreeSWITCH is still down"
                );
            }
        }
    }

    /// Notes that all wanted connections are up.
    pub(super) fn note_up(&self) {
        let (node, address) = (self.node, &self.address);
        let was_up = self.was_up.swap(true, Ordering::Relaxed);
        match self.outage.note_success(Instant::now()) {
            Some(OutageChange::Ended { down, failures }) => {
                let down_ms = millis(down);
                tracing::info!(node.id = %node, address, down_ms, failures, "FreeSWITCH is up again");
            }
            _ if !was_up => tracing::info!(node.id = %node, address, "connected to FreeSWITCH"),
            _ => {}
        }
    }
}
