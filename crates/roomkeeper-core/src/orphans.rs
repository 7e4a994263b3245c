//! Conferences and calls on a node that belong to no app, as operators see them.
//!
//! Pure: snapshots find them, the store keeps the report.

use serde::{Deserialize, Serialize};

use crate::ids::{AppId, CallId};
use crate::time::Timestamp;

/// The maximum number of entries of each kind in a report. The rest is counted.
pub const MAX_REPORTED: usize = 100;

/// The maximum length of foreign text in a report, in characters.
pub const MAX_TEXT: usize = 300;

/// The reason why a conference belongs to no app.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrphanKind {
    /// Its name is that of a room of this node, and no such room is known.
    Unknown,
    /// The stored record of its room cannot be read.
    Unreadable,
    /// Its name is not a room id of this node.
    Foreign,
}

impl OrphanKind {
    /// Returns the word in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Unreadable => "unreadable",
            Self::Foreign => "foreign",
        }
    }
}

/// A FreeSWITCH conference that is not a known room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrphanConference {
    /// The reason why it belongs to no app.
    pub kind: OrphanKind,
    /// Its name.
    pub name: String,
    /// Its `Conference-Unique-ID`.
    pub conference: String,
    /// Its number of members.
    pub members: u64,
    /// The time when it began.
    pub since: Timestamp,
}

/// A call that belongs to no app.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ForeignCall {
    /// The id that the call would have.
    #[serde(rename = "session")]
    pub call: CallId,
    /// The caller's number.
    pub caller_id: String,
    /// The dialled number.
    pub did: String,
    /// True for an inbound call.
    pub inbound: bool,
    /// The app that its channel names, which does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppId>,
    /// The time when it began, if known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// Returns the first [`MAX_TEXT`] characters of a text.
pub fn shortened(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
