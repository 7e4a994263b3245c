//! Where what FreeSWITCH says meets what callers want.
//!
//! Owns the belief about each node and the one order in which it changes: inputs → belief → one commit → effects.
//! Leaves out the sockets (`node`), the rules (`room`, `session`) and the database (`store`).

pub mod belief;
pub mod intent;
pub mod news;
pub mod translate;

pub use intent::{Accepted, Intent, IntentError, Refusal};

use std::time::Duration;

use async_trait::async_trait;

use crate::ids::NodeId;
use crate::time::Timestamp;

/// What the API needs of the reconciler.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// Commits an intent and tells FreeSWITCH, in this order; answers when FreeSWITCH has answered.
    ///
    /// # Errors
    /// See [`IntentError`].
    async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError>;

    /// How each configured node is, in the order of the configuration.
    fn nodes(&self) -> Vec<NodeReport>;
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeReport {
    /// Which one.
    pub id: NodeId,
    /// Its connections.
    pub link: Link,
    /// A snapshot has been merged since this program started.
    pub synced: bool,
    /// Another replica reconciles it; this one only gives it commands.
    pub owned_elsewhere: bool,
    /// Calls on it (`Session-Count` of its last HEARTBEAT, else what is believed).
    pub calls: u64,
    /// `Max-Sessions` of its last HEARTBEAT; 0 when not known.
    pub max_calls: u64,
    /// When it was last heard.
    pub last_heard: Option<Timestamp>,
}

/// The state of the connections to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// The first connection is being made.
    Connecting,
    /// Both connections stand.
    Up,
    /// They do not, and are tried again.
    Down {
        /// What went wrong, in words for the operator (a refused password or address is told plainly).
        reason: String,
        /// When it is tried again.
        retry_after: Duration,
    },
}
