//! The lease of a node: which replica writes for it.

use std::time::Duration;

use uuid::Uuid;

use roomkeeper_core::ids::NodeId;

/// The right to write for a node. Each run of the program has a random `owner`, so that no run takes the lease of an
/// earlier one for its own; `epoch` grows whenever the lease changes hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// Grows by one with every change of owner, even if an owner takes a lease again that it had released or let expire.
    /// Outlives the lease.
    pub epoch: u64,
    /// This run of the program.
    pub owner: Uuid,
}

/// The result of a request for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseOutcome {
    /// The caller holds it, newly or still.
    Held(Lease),
    /// Another run holds it for at least this long, unless it renews the lease.
    Other {
        /// Time left on the store's clock.
        remaining: Duration,
    },
}
