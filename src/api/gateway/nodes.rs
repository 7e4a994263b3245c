//! `/nodes`: how the nodes are, as far as it concerns their users: no addresses, and no reasons.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::access::Nodes;
use crate::api::auth::Caller;
use crate::reconciler::{Link, NodeReport};
use crate::time::Timestamp;

use super::docs::NodeState;

#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeRow {
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    id: String,
    #[schema(value_type = NodeState)]
    state: &'static str,
    /// It has been compared with what FreeSWITCH shows.
    synced: bool,
    /// No new conference is made on it.
    draining: bool,
    calls: u64,
    /// How many calls it takes; 0 when not known.
    max_calls: u64,
    /// How long its last events took to be taken in, in milliseconds.
    #[schema(required)]
    lag_ms: Option<u64>,
    /// How many differences comparing has revealed.
    drift: u64,
    /// When it was last compared.
    #[schema(required, format = DateTime)]
    resynced_at: Option<String>,
}

/// `GET /nodes`. They are the same for every app.
pub(super) async fn list(State(state): State<Shared>, _: Caller) -> Json<NodeList> {
    let nodes = Nodes::now(&state);
    Json(NodeList {
        nodes: nodes.iter().map(NodeRow::of).collect(),
    })
}

impl NodeRow {
    fn of(node: &NodeReport) -> Self {
        Self {
            id: node.id.to_string(),
            state: match node.link {
                Link::Connecting => "connecting",
                Link::Up => "up",
                Link::Down { .. } => "down",
            },
            synced: node.is_compared(),
            draining: node.draining,
            calls: node.calls,
            max_calls: node.max_calls,
            lag_ms: node.lag_ms,
            drift: node.drift,
            resynced_at: node.resynced_at.map(Timestamp::rfc3339_micros),
        }
    }
}
