//! The status of a node that replicas share: the operator's requests, the owner's status, and the owner's report of orphans.
//!
//! This module defines the types and their stored form. On every replica the reconciler reads the status of all nodes once
//! a second, and writes that of the nodes that it owns.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Lease, StoreError};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

pub use roomkeeper_core::orphans::{
    ForeignCall, MAX_REPORTED, MAX_TEXT, OrphanConference, OrphanKind, shortened,
};

/// The shared status of a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NodeStatus {
    /// No new room is placed on the node.
    pub draining: bool,
    /// The number of requested snapshots.
    pub resyncs: u64,
    /// The owner's status ([`OwnerStatus`]), opaque to the store.
    pub owner: Option<String>,
}

/// A field of the status that the node's owner writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusField {
    /// [`OwnerStatus`].
    Owner,
    /// [`OrphanReport`].
    Orphans,
}

impl StatusField {
    /// Returns the name of the stored field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "standing",
            Self::Orphans => "report",
        }
    }
}

/// Stores the status of nodes. All keys of a node are in its slot.
#[async_trait]
pub trait NodeStatusStore: Send + Sync + std::fmt::Debug + 'static {
    /// Reads the status of a node; the default one if nothing is stored.
    async fn read_node_status(&self, node: NodeId) -> Result<NodeStatus, StoreError>;

    /// Sets whether new rooms are placed on the node, until the next change.
    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError>;

    /// Requests a snapshot from the node's owner by incrementing [`NodeStatus::resyncs`]. Repeated after a lost answer, it
    /// may request two.
    async fn request_resync(&self, node: NodeId) -> Result<(), StoreError>;

    /// Writes a field, if the lease is the stored one. Otherwise returns false and changes nothing.
    async fn write_status(
        &self,
        lease: Lease,
        field: StatusField,
        text: &str,
    ) -> Result<bool, StoreError>;

    /// Reads the last report of the node's owner ([`OrphanReport`]), opaque to the store.
    async fn read_report(&self, node: NodeId) -> Result<Option<String>, StoreError>;
}

/// The status of a node as its owner knows it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OwnerStatus {
    /// The time of the last merged snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resynced_at: Option<Timestamp>,
    /// The number of differences that snapshots have revealed to the owner.
    pub drift: u64,
    /// The time of the last difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted_at: Option<Timestamp>,
    /// The time from FreeSWITCH's clock to the commit of the last events, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// Calls on the node.
    pub calls: u64,
    /// The node's limit of calls; 0 if unknown.
    pub max_calls: u64,
}

/// The owner's report of conferences, calls and records without owner, as of its last snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OrphanReport {
    /// The time of the report.
    pub at: Timestamp,
    /// Conferences that are no known room.
    pub conferences: Vec<OrphanConference>,
    /// Their total number.
    pub conferences_total: u64,
    /// Calls that belong to no app.
    pub calls: Vec<ForeignCall>,
    /// Their total number.
    pub calls_total: u64,
    /// Records that cannot be decoded.
    pub records: Vec<UnreadableRecord>,
    /// Their total number.
    pub records_total: u64,
}

/// A stored record that cannot be decoded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct UnreadableRecord {
    /// Its key.
    pub key: String,
    /// The reason.
    pub why: String,
}

/// Encodes a field of the status.
pub fn encode<T: Serialize>(value: &T) -> String {
    // Serializing numbers, booleans and strings under fixed names cannot fail; readers would reject an empty text.
    serde_json::to_string(value).unwrap_or_default()
}

/// Decodes a field of the status.
///
/// # Errors
/// Fails with [`StoreError::Corrupt`] if [`encode`] did not write the text.
pub fn decode<T: serde::de::DeserializeOwned>(
    node: NodeId,
    field: StatusField,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        key: format!("the {} of node {node}", field.as_str()),
        why: error.to_string(),
    })
}
