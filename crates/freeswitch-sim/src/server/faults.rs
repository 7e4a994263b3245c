//! The counters of injected faults.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::Counters;

/// The number of injected faults, and the counters of the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Faults {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections cut between messages.
    pub cut: u64,
    /// Connections cut in the middle of a message.
    pub torn: u64,
    /// Connections that ended because the node was killed.
    pub killed: u64,
    /// Restarts.
    pub restarts: u64,
    /// Graceful shutdowns that were started.
    pub shutdowns: u64,
    /// Event connections that got bytes which no server would send.
    pub garbage: u64,
    /// Chunks read or written late because the node stalled.
    pub stalled: u64,
    /// Connections refused with `text/rude-rejection`.
    pub rejected: u64,
    /// The counters of the model since its last start.
    pub core: Counters,
}

/// The counters behind [`Faults`].
#[derive(Debug, Default)]
pub(super) struct FaultCounters {
    pub(super) accepted: AtomicU64,
    pub(super) cut: AtomicU64,
    pub(super) torn: AtomicU64,
    pub(super) killed: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) shutdowns: AtomicU64,
    pub(super) garbage: AtomicU64,
    pub(super) stalled: AtomicU64,
    pub(super) rejected: AtomicU64,
}

impl FaultCounters {
    /// Returns the counts, with those of the model.
    pub(super) fn read(&self, core: Counters) -> Faults {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Faults {
            accepted: read(&self.accepted),
            cut: read(&self.cut),
            torn: read(&self.torn),
            killed: read(&self.killed),
            restarts: read(&self.restarts),
            shutdowns: read(&self.shutdowns),
            garbage: read(&self.garbage),
            stalled: read(&self.stalled),
            rejected: read(&self.rejected),
            core,
        }
    }
}

/// Adds one to a counter.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
