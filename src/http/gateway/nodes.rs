//! `/nodes`: the state of the nodes for API callers, without addresses and reasons.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::ownership::Nodes;
use crate::http::state::Shared;
use crate::reconciler::{Link, NodeReport};
use roomkeeper_core::time::Timestamp;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The state of the connection to a node.
#[derive(ToSchema)]
#[schema(as = NodeState, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum NodeStateText {
    Up,
    Down,
    Connecting,
}

#[derive(Serialize, ToSchema)]
pub(super) struct NodeList {
    nodes: Vec<NodeRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(super) struct NodeRow {
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    id: String,
    #[schema(value_type = NodeStateText)]
    state: &'static str,
    /// `true` once the node has been compared with a snapshot.
    synced: bool,
    /// The node gets no new conferences.
    draining: bool,
    calls: u64,
    /// The maximum number of calls; 0 if unknown.
    max_calls: u64,
    /// Milliseconds from FreeSWITCH's latest events to their processing here.
    #[schema(required)]
    lag_ms: Option<u64>,
    /// The number of differences that snapshots have revealed.
    drift: u64,
    /// Time of the last comparison with a snapshot.
    #[schema(required, format = DateTime)]
    resynced_at: Option<String>,
}

/// List the nodes
///
/// The FreeSWITCH servers that host conferences, with their state. All apps share them; `calls` counts the calls of all
/// apps.
#[utoipa::path(
    get, path = "/api/v1/nodes", tag = "nodes", operation_id = "listNodes",
    responses(
        (status = 200, description = "All nodes.", body = NodeList,
         example = json!({"nodes": [{"id": "acW68", "state": "up", "synced": true, "draining": false, "calls": 12, "max_calls": 1000, "lag_ms": 23, "drift": 0, "resynced_at": "2026-05-06T12:34:56.672025Z"}]})),
    )
)]
pub(super) async fn list(State(state): State<Shared>, _: Caller) -> Json<NodeList> {
    let nodes = Nodes::now(&state);
    Json(NodeList {
        nodes: nodes.iter().map(NodeRow::from_report).collect(),
    })
}

impl NodeRow {
    fn from_report(node: &NodeReport) -> Self {
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
