//! The bytes of each app in the store.
//!
//! The stores count them (`scripts/bytes.lua`, `scripts/delivery_bytes.lua`); the API refuses changes beyond the quota.
//!
//! An app's bytes are its rooms, calls and views, alive or kept, its messages in the outbox, and its pending and dead
//! deliveries. Kept messages that are queued or delivered have separate limits ([`MOST_HISTORY`],
//! [`keys::OUTBOX_KEPT_BYTES`](crate::store::keys::OUTBOX_KEPT_BYTES)) and do not count.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreError;
use roomkeeper_core::ids::{AppId, EndpointId, NodeId};

/// The bytes counted for a room or a call besides its large values.
pub const ENTITY_BYTES: u64 = 512;

/// The bytes counted for a view besides its body.
pub const VIEW_BYTES: u64 = 256;

/// The bytes counted for a message in the outbox besides its body.
pub const MESSAGE_BYTES: u64 = 256;

/// From this length on, a value counts with its own bytes.
pub const LARGE: usize = 256;

/// Bytes of delivered messages that are kept of one endpoint on one node: the limit of their number, times 800 bytes.
pub const MOST_HISTORY: u64 = 8 * 1024 * 1024;

/// The bytes stored on one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeUsage {
    /// Bytes of rooms, calls, views and messages in the outbox, by app.
    pub apps: BTreeMap<AppId, u64>,
    /// Bytes of pending and dead deliveries, by endpoint.
    pub endpoints: BTreeMap<EndpointId, u64>,
}

/// Reads the counted bytes.
#[async_trait]
pub trait Usage: Send + Sync + std::fmt::Debug + 'static {
    /// The bytes on one node. Writes in progress may be missing.
    async fn read_usage(&self, node: NodeId) -> Result<NodeUsage, StoreError>;
}
