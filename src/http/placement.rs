//! Placement of new rooms on nodes. A draining node keeps its rooms but gets no new ones.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::reconciler::{IntentError, Link, NodeReport};
use roomkeeper_core::ids::{CallId, NodeId};

use super::auth::Caller;
use super::error::ApiError;
use super::ownership::Nodes;
use super::state::ApiState;

/// `Retry-After` if it is unknown when a node comes up.
const NODE_RETRY: Duration = Duration::from_secs(5);

/// The default of FreeSWITCH's `Max-Sessions`, for nodes that have not reported theirs yet.
const USUAL_MAX_CALLS: u64 = 1000;

/// Selects the node of a new room: the requested one, the session's, or the least loaded one.
pub(crate) async fn place(
    state: &ApiState,
    caller: &Caller,
    node: Option<NodeId>,
    session: Option<CallId>,
) -> Result<NodeId, ApiError> {
    let beside = match session {
        Some(id) => Some(state.find_session(id).await?),
        None => None,
    };
    let nodes = Nodes::now(state);
    if let Some(node) = node
        && nodes.get(node).is_none()
    {
        return Err(state.failed(IntentError::UnknownNode(node)));
    }
    if let Some(call) = &beside {
        state.own_session(caller, call)?;
    }
    let beside = beside.map(|call| call.id().node());
    if let (Some(node), Some(session_node)) = (node, beside)
        && node != session_node
    {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            format!("the session is on node {session_node}, not on the requested node {node}"),
        )
        .detail(json!({
            "session_node": session_node.as_str(),
            "room_node": node.as_str(),
        })));
    }
    match node.or(beside) {
        Some(pinned) => open(&nodes, pinned),
        None => least_loaded(&nodes, (state.new_id)().as_u128()),
    }
}

/// Checks that a node accepts new rooms.
fn open(nodes: &Nodes, id: NodeId) -> Result<NodeId, ApiError> {
    let node = nodes.get(id);
    if node.is_some_and(|node| node.draining) {
        // No `Retry-After`: draining ends only when an operator ends it.
        let words = format!("node {id} is draining and gets no new conferences");
        let error = ApiError::new(StatusCode::CONFLICT, words);
        return Err(error.detail(json!({ "node": id.as_str() })));
    }
    let retry = match node.map(|node| &node.link) {
        Some(Link::Up) => return Ok(id),
        Some(Link::Down { retry_after, .. }) => *retry_after,
        Some(Link::Connecting) | None => NODE_RETRY,
    };
    let words = format!("node {id} is down");
    Err(ApiError::unavailable(words, retry))
}

/// Selects the node with the lowest ratio of calls to its maximum. `draw` selects among equals, so that simultaneous
/// rooms do not all go to the first one.
fn least_loaded(nodes: &Nodes, draw: u128) -> Result<NodeId, ApiError> {
    let load = |node: &NodeReport| {
        let max = match node.max_calls {
            0 => USUAL_MAX_CALLS,
            max => max,
        };
        u128::from(node.calls) * 1_000_000 / u128::from(max)
    };
    let up: Vec<_> = nodes
        .iter()
        .filter(|node| matches!(node.link, Link::Up) && !node.draining)
        .map(|node| (load(node), node.id))
        .collect();
    let Some(least) = up.iter().map(|(load, _)| *load).min() else {
        let retry = nodes
            .iter()
            .filter_map(|node| match &node.link {
                Link::Down { retry_after, .. } => Some(*retry_after),
                Link::Connecting | Link::Up => None,
            })
            .min()
            .unwrap_or(NODE_RETRY);
        let drains = nodes
            .iter()
            .any(|node| matches!(node.link, Link::Up) && node.draining);
        let words = if drains {
            "every node that is up is draining"
        } else {
            "no node is up"
        };
        return Err(ApiError::unavailable(words, retry));
    };
    let equals: Vec<_> = up.iter().filter(|(load, _)| *load == least).collect();
    let count = u128::try_from(equals.len()).unwrap_or(1);
    let drawn = usize::try_from(draw % count).unwrap_or(0);
    Ok(equals[drawn].1)
}
