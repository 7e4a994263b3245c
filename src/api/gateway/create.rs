//! Making a room under a name that is unique within its app.
//!
//! The name lies in the app's slot of the store, the room in its node's, and no step covers both. So the name is
//! reserved before the room is made and confirmed after. Whoever comes upon something half-done finishes it when its
//! room lives and frees it when it does not; so nothing has to be cleaned up by the request that was cut off.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use axum::http::StatusCode;
use serde_json::json;

use crate::api::ApiState;
use crate::api::access::Nodes;
use crate::api::auth::Caller;
use crate::api::error::ApiError;
use crate::ids::{AppId, NodeId, RoomId, RoomName, SessionId};
use crate::reconciler::{Accepted, Intent, IntentError, Link, NodeReport};
use crate::room::{Kind, Origin, Registration};
use crate::store::{NameOutcome, StoreError};

/// What a caller waits when there is no telling when a node comes up.
const NODE_RETRY: Duration = Duration::from_secs(5);

/// How often a room is made anew after its name went to another while it was being made.
const ROUNDS: usize = 3;

/// What `Max-Sessions` is unless configured; for nodes that have not told theirs yet.
const USUAL_MAX_CALLS: u64 = 1000;

/// The node of a new room: the one asked for, that of the session it is to stand beside, or the least loaded.
pub(super) async fn place(
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
        Some(pinned) => up(&nodes, pinned),
        None => least_loaded(&nodes, (state.new_id)().as_u128()),
    }
}

fn up(nodes: &Nodes, id: NodeId) -> Result<NodeId, ApiError> {
    let retry = match nodes.get(id).map(|node| &node.link) {
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
        .filter(|node| matches!(node.link, Link::Up))
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
        return Err(ApiError::unavailable("no node is up", retry));
    };
    let equals: Vec<_> = up.iter().filter(|(load, _)| *load == least).collect();
    let count = u128::try_from(equals.len()).unwrap_or(1);
    let drawn = usize::try_from(draw % count).unwrap_or(0);
    Ok(equals[drawn].1)
}

/// Makes a room.
pub(super) async fn create(
    state: &ApiState,
    app: &AppId,
    name: &RoomName,
    node: NodeId,
) -> Result<RoomId, ApiError> {
    for _ in 0..ROUNDS {
        let room = RoomId::fresh(node, (state.new_id)());
        reserve(state, app, name, room).await?;
        let reserved = Instant::now();
        if let Err(error) = submit(state, app, name, room).await {
            give_up(state, app, name, room, &error).await;
            return Err(state.failed(error));
        }
        match state.store.confirm_name(app, name, room).await {
            Ok(true) => return Ok(room),
            Ok(false) => take_back(state, app, room).await?,
            // Nobody could have taken the name meanwhile, and who finds the reservation later finds the room alive.
            Err(error) if reserved.elapsed() < state.settings.name_reservation / 2 => {
                tracing::warn!(
                    room.id = %room,
                    error = %error,
                    "the name of a new room is not confirmed yet; the next to ask for it will do so"
                );
                return Ok(room);
            }
            Err(error) => return Err(error.into()),
        }
        tracing::warn!(
            app.id = %app,
            duration_ms = u64::try_from(reserved.elapsed().as_millis()).unwrap_or(u64::MAX),
            "a room took so long to make that its name went to another"
        );
    }
    Err(busy())
}

fn busy() -> ApiError {
    ApiError::unavailable(
        "another conference of this name is being made; try again",
        Duration::from_secs(1),
    )
}

async fn submit(
    state: &ApiState,
    app: &AppId,
    name: &RoomName,
    room: RoomId,
) -> Result<Accepted, IntentError> {
    let intent = Intent::CreateRoom {
        room,
        app: app.clone(),
        name: name.as_str().to_owned(),
        origin: Origin::Gateway,
        kind: Kind::Conference,
        details: Box::default(),
    };
    state.controller.submit(intent).await
}

/// Reserves the name, or answers who has it.
async fn reserve(
    state: &ApiState,
    app: &AppId,
    name: &RoomName,
    room: RoomId,
) -> Result<(), ApiError> {
    let give_up = Instant::now() + state.settings.name_wait;
    let mut pause = Duration::from_millis(10);
    loop {
        let outcome = state
            .store
            .reserve_name(app, name, room, state.settings.name_reservation)
            .await?;
        match outcome {
            NameOutcome::Reserved => return Ok(()),
            NameOutcome::Taken { room: holder } => {
                if lives(state, app, holder).await? {
                    // Its maker may have gone before it could. Should this fail, the next one does it.
                    if let Err(error) = state.store.confirm_name(app, name, holder).await {
                        tracing::debug!(room.id = %holder, error = %error, "a name stays unconfirmed");
                    }
                    return Err(taken(holder));
                }
                state.store.free_name(app, name, holder).await?;
            }
            NameOutcome::Pending { room: holder } => {
                if lives(state, app, holder).await? {
                    return Err(taken(holder));
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
        }
        if Instant::now() >= give_up {
            return Err(busy());
        }
    }
}

fn taken(room: RoomId) -> ApiError {
    ApiError::new(
        StatusCode::CONFLICT,
        "Conference name already taken for this application",
    )
    .detail(json!({ "room_id": room.to_string() }))
}

async fn lives(state: &ApiState, app: &AppId, room: RoomId) -> Result<bool, StoreError> {
    let head = state.open_room(room).await?;
    Ok(head.is_some_and(|head| head.registration.app == *app))
}

/// After a room was not made, or not surely: frees its name, unless the room is there after all or that cannot be
/// told. Then the reservation runs out by itself.
async fn give_up(
    state: &ApiState,
    app: &AppId,
    name: &RoomName,
    room: RoomId,
    error: &IntentError,
) {
    let freed = match error {
        IntentError::Store(_) => return,
        IntentError::Refused(_)
        | IntentError::UnknownNode(_)
        | IntentError::Command(_)
        | IntentError::Busy => match lives(state, app, room).await {
            Ok(true) => return,
            Ok(false) => state.store.free_name(app, name, room).await,
            Err(error) => Err(error),
        },
    };
    if let Err(error) = freed {
        tracing::warn!(app.id = %app, error = %error, "the name of a room that was not made stays reserved for a while");
    }
}

/// Ends a room that lost its name while it was being made: it was never told to anyone.
async fn take_back(state: &ApiState, app: &AppId, room: RoomId) -> Result<(), ApiError> {
    let intent = Intent::DeleteRoom {
        room,
        app: app.clone(),
    };
    state.submit(intent).await.map(|_| ())
}

/// Frees the name of a room that is ending. Should this fail, the next to ask for the name finds that its room does
/// not live.
pub(super) async fn release(state: &ApiState, registration: &Registration, room: RoomId) {
    let name: RoomName = match (registration.origin, registration.name.parse()) {
        (Origin::Gateway, Ok(name)) => name,
        (Origin::Gateway | Origin::Voipbin, _) => return,
    };
    if let Err(error) = state.store.free_name(&registration.app, &name, room).await {
        tracing::warn!(room.id = %room, error = %error, "the name of an ended room is not free yet");
    }
}
