//! On which node a new room is made. Never on one that is draining: its rooms go on, and none are added.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::json;

use crate::ids::{NodeId, SessionId};
use crate::reconciler::{IntentError, Link, NodeReport};

use super::ApiState;
use super::access::Nodes;
use super::auth::Caller;
use super::error::ApiError;

/// What a caller waits when there is no telling when a node comes up.
const NODE_RETRY: Duration = Duration::from_secs(5);

/// What `Max-Sessions` is unless configured; for nodes that have not told theirs yet.
const USUAL_MAX_CALLS: u64 = 1000;

/// The node of a new room: the one asked for, that of the session it is to stand beside, or the least loaded.
pub(crate) async fn place(
    state: &ApiState,
    caller: &Caller,
    node: Option<NodeId>,
    session: Option<SessionId>,
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
            "the session is on another node than the one asked for",
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

/// The one node that it can be, if it takes new rooms.
fn open(nodes: &Nodes, id: NodeId) -> Result<NodeId, ApiError> {
    let node = nodes.get(id);
    if node.is_some_and(|node| node.draining) {
        // It does not help to come back: that is over when somebody says so.
        let words = format!("node {id} is draining: no new conference is made on it");
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

/// The node with the smallest part of its calls in use. `draw` decides between equals, so that the rooms of one
/// moment do not all go to the first of them.
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
