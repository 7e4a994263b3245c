//! What is stored of a node itself: what the operator wants of it, how its owner says that it stands, and what its owner
//! found there that belongs to nothing.
//!
//! Owns the words and their stored form. Leaves out what follows: the reconciler reads the boards of all nodes once
//! a second, on every replica, and writes those of which it has the node's lease.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Lease, StoreError};
use crate::ids::{AppId, NodeId, SessionId};
use crate::time::Timestamp;

/// What a report holds of each kind at most. What there is beyond is counted.
pub const MOST_REPORTED: usize = 100;

/// How long a text of another's making in a report may be, in characters.
pub const LONGEST_TEXT: usize = 300;

/// What everybody may read of a node once a second.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Board {
    /// No new room is placed on it.
    pub draining: bool,
    /// How often somebody has asked for a snapshot of it.
    pub resyncs: u64,
    /// How its owner says that it stands ([`NodeStanding`]), opaque to the store.
    pub standing: Option<String>,
}

/// What the owner of a node writes on its board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// [`NodeStanding`].
    Standing,
    /// [`NodeReport`].
    Report,
}

impl Notice {
    /// Its field.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standing => "standing",
            Self::Report => "report",
        }
    }
}

/// The boards of the nodes. Everything of a node is in its slot.
#[async_trait]
pub trait Boards: Send + Sync + std::fmt::Debug + 'static {
    /// The board of a node; of one that nobody has written of, the default one.
    async fn read_board(&self, node: NodeId) -> Result<Board, StoreError>;

    /// Says whether new rooms are placed on the node. Stays until it is said otherwise.
    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError>;

    /// Asks whoever reconciles the node for a snapshot: counts [`Board::resyncs`] up. Sent again because an answer was
    /// lost, it may ask twice.
    async fn ask_resync(&self, node: NodeId) -> Result<(), StoreError>;

    /// Writes a notice, if the lease is the stored one. `false`, and nothing changed, when it is not.
    async fn put_notice(
        &self,
        lease: Lease,
        notice: Notice,
        text: &str,
    ) -> Result<bool, StoreError>;

    /// The last report of the node's owner ([`NodeReport`]), opaque to the store.
    async fn read_report(&self, node: NodeId) -> Result<Option<String>, StoreError>;
}

/// How a node stands, as the replica knows that reconciles it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeStanding {
    /// When a snapshot of it was last merged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resynced_at: Option<Timestamp>,
    /// Differences that snapshots have revealed to its owner.
    pub drift: u64,
    /// When the last of them was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drifted_at: Option<Timestamp>,
    /// How long the last events took from FreeSWITCH's clock to the commit, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// Calls on it.
    pub calls: u64,
    /// How many it takes; 0 when not known.
    pub max_calls: u64,
}

/// What of a node belongs to nothing, as its owner found it at its last snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct NodeReport {
    /// When.
    pub at: Timestamp,
    /// Conferences that are no room that is known.
    pub conferences: Vec<OrphanConference>,
    /// How many there are.
    pub conferences_total: u64,
    /// Calls that belong to no app.
    pub calls: Vec<ForeignCall>,
    /// How many there are.
    pub calls_total: u64,
    /// Records that cannot be read.
    pub records: Vec<UnreadableRecord>,
    /// How many there are.
    pub records_total: u64,
}

/// Why a conference is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanKind {
    /// Its name is that of a room of this node, and there is none such.
    Unknown,
    /// What is stored of its room cannot be read.
    Unreadable,
    /// Its name is no room id of this node: somebody else's conference.
    Foreign,
}

impl OrphanKind {
    /// The word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
        }
    }
}

/// A conference that FreeSWITCH has, and that is no room that is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrphanConference {
    /// Why it is nobody's.
    pub kind: OrphanKind,
    /// Its name.
    pub name: String,
    /// FreeSWITCH's id of it.
    pub conference: String,
    /// How many are in it.
    pub members: u64,
    /// When it began.
    pub since: Timestamp,
}

/// A call that belongs to no app.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ForeignCall {
    /// What its id would be.
    pub session: SessionId,
    /// The caller's number.
    pub caller_id: String,
    /// The number dialled.
    pub did: String,
    /// Somebody called in.
    pub inbound: bool,
    /// The app that its channel names, and that there is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// When it began, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Something that is stored and cannot be read.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct UnreadableRecord {
    /// Where it is.
    pub key: String,
    /// What is wrong with it.
    pub why: String,
}

/// A stored text.
pub fn encode<T: Serialize>(value: &T) -> String {
    // Numbers, flags and texts under fixed names cannot fail to serialise; an empty text would be told as unreadable.
    serde_json::to_string(value).unwrap_or_default()
}

/// What was stored as a text.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is not what [`encode`] writes.
pub fn decode<T: serde::de::DeserializeOwned>(
    node: NodeId,
    notice: Notice,
    text: &str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt {
        key: format!("the {} of node {node}", notice.as_str()),
        why: error.to_string(),
    })
}

/// The beginning of a text that may be of any length.
pub fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_TEXT).collect()
}
