//! How many bytes each app has in the store.
//!
//! Owns the words. Leaves out how the stores count (`scripts/bytes.lua`, `scripts/delivery_bytes.lua`), and what follows
//! from a number: the API refuses changes.
//!
//! An app's bytes are its rooms, calls and views with what they hold, alive or kept, its messages in the outbox, and the
//! deliveries that are pending or dead. What is kept of delivered messages, and of messages that are handed over, has bounds
//! of its own ([`MOST_HISTORY`], [`keys::OUTBOX_KEPT_BYTES`](super::keys::OUTBOX_KEPT_BYTES)), and is not counted.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::StoreError;
use crate::ids::{AppId, EndpointId, NodeId};

/// The bytes that a room or a call counts for besides its large values.
pub const ENTITY_BYTES: u64 = 512;

/// The bytes that a view counts for besides its body.
pub const VIEW_BYTES: u64 = 256;

/// The bytes that a message in the outbox counts for besides its body.
pub const MESSAGE_BYTES: u64 = 256;

/// From this length on a value counts by itself.
pub const LARGE: usize = 256;

/// How many bytes of delivered messages are kept of one receiver on one node: as many as the bound of their number is of
/// messages of 800 bytes.
pub const MOST_HISTORY: u64 = 8 * 1024 * 1024;

/// The bytes stored on one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeUsage {
    /// Bytes of rooms, calls, views and messages in the outbox, by app.
    pub apps: BTreeMap<AppId, u64>,
    /// Bytes of pending and dead deliveries, by receiver.
    pub receivers: BTreeMap<EndpointId, u64>,
}

/// Reads what is counted.
#[async_trait]
pub trait Usage: Send + Sync + std::fmt::Debug + 'static {
    /// The bytes on one node. They may be behind what is stored by what is being written.
    async fn read_usage(&self, node: NodeId) -> Result<NodeUsage, StoreError>;
}
