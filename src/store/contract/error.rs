//! The errors of a store.

use crate::telemetry::Chain;
use roomkeeper_core::ids::NodeId;

/// A request that the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store could not be reached, or refused for now. Nothing is known about the request, so the caller may repeat
    /// it under the same request id.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The value stored under this key is not one that this program writes.
    #[error("the stored value of {key} is not readable: {why}")]
    Corrupt {
        /// The key.
        key: String,
        /// The reason.
        why: String,
    },
}

impl StoreError {
    /// Returns true if a repeated request may succeed.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Corrupt { .. } => false,
        }
    }

    /// Logs the effect of this failure. If the store is unavailable, that is a detail: the store logs its outage itself,
    /// once for all callers.
    pub(crate) fn log_effect(&self, node: Option<NodeId>, effect: &str) {
        let (node, error) = (node.map(tracing::field::display), Chain(self));
        match self {
            Self::Unavailable(_) => tracing::debug!(node.id = node, %error, "{effect}"),
            Self::Corrupt { .. } => tracing::warn!(node.id = node, %error, "{effect}"),
        }
    }
}
