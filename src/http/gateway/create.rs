//! Creation of a room under a name that is unique within its app.
//!
//! The name is stored in the app's slot, the room in its node's slot, and no transaction covers both. So the name is
//! reserved before the room is created and confirmed afterwards. The next request for the same name finishes a
//! reservation whose room is open and frees one whose room is not, so an interrupted request needs no cleanup.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use axum::http::StatusCode;
use serde_json::json;

use crate::http::error::ApiError;
use crate::http::state::ApiState;
use crate::reconciler::{Accepted, Intent, IntentError, Refusal};
use crate::store::{NameOutcome, Store, StoreError};
use crate::telemetry::{Chain, millis};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, NodeId, RoomId, RoomName};
use roomkeeper_core::intent::{CreateRoom, DeleteAccepted, DeleteRoom};
use roomkeeper_core::room::{Details, Kind, Origin};

/// The number of attempts to create a room when its name reservation expires meanwhile.
const ROUNDS: usize = 3;

/// Creates a room.
pub(super) async fn create(
    state: &ApiState,
    app: &AppId,
    name: &RoomName,
    node: NodeId,
    details: Details,
) -> Result<RoomId, ApiError> {
    for _ in 0..ROUNDS {
        let room = RoomId::generate(node, (state.new_id)());
        reserve(state, app, name, room).await?;
        let reserved = Instant::now();
        if let Err(error) = submit(state, app, name, room, details.clone()).await {
            give_up(state, app, name, room, &error).await;
            return Err(state.failed(error));
        }
        match state.store.confirm_name(app, name, room).await {
            Ok(true) => return Ok(room),
            Ok(false) => take_back(state, app, room).await?,
            // The reservation has not expired, and a later request for the name finds the room open.
            Err(error) if reserved.elapsed() < state.settings.name_reservation / 2 => {
                tracing::warn!(
                    room.id = %room,
                    error = %Chain(&error),
                    "cannot confirm the name of a new room yet; the next request for the name will"
                );
                return Ok(room);
            }
            Err(error) => return Err(error.into()),
        }
        tracing::warn!(
            app.id = %app,
            duration_ms = millis(reserved.elapsed()),
            "the name of a new room went to another room because creating it took too long"
        );
    }
    Err(busy())
}

fn busy() -> ApiError {
    ApiError::unavailable(
        "another conference with this name is being created; try again",
        Duration::from_secs(1),
    )
}

async fn submit(
    state: &ApiState,
    app: &AppId,
    name: &RoomName,
    room: RoomId,
    details: Details,
) -> Result<Accepted, IntentError> {
    let create = CreateRoom {
        name: name.as_str().to_owned(),
        origin: Origin::Gateway,
        kind: Kind::Conference,
        details: Box::new(details),
    };
    let intent = Intent::new(Target::Room(room), app.clone(), create);
    state.controller.submit(intent).await
}

/// Reserves the name, or returns 409 with the room that has it.
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
                    // The creating request may have been interrupted. If this fails, the next request confirms it.
                    if let Err(error) = state.store.confirm_name(app, name, holder).await {
                        tracing::debug!(room.id = %holder, error = %Chain(&error), "cannot confirm the name of a room");
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

/// Frees the name of a room whose creation failed, unless the room exists or its existence is unknown. Then the
/// reservation expires on its own.
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
        tracing::warn!(app.id = %app, error = %Chain(&error), "cannot free the name of a room that was not created; the reservation will expire");
    }
}

/// Deletes a room that lost its name during creation. No caller knows its id.
async fn take_back(state: &ApiState, app: &AppId, room: RoomId) -> Result<(), ApiError> {
    let intent = Intent::new(Target::Room(room), app.clone(), DeleteRoom);
    match state.controller.submit(intent).await {
        // The store lost it together with its name.
        Ok(_) | Err(IntentError::Refused(Refusal::RoomNotFound)) => Ok(()),
        Err(error) => Err(state.failed(error)),
    }
}

/// Frees the name of a room that is ending. If this fails, the next request for the name finds that its room is closed.
pub(crate) async fn release(store: &dyn Store, room: RoomId, deleted: &DeleteAccepted) {
    let name: RoomName = match (deleted.origin, deleted.name.parse()) {
        (Origin::Gateway, Ok(name)) => name,
        (Origin::Gateway | Origin::Voipbin, _) => return,
    };
    if let Err(error) = store.free_name(&deleted.app, &name, room).await {
        tracing::warn!(room.id = %room, error = %Chain(&error), "cannot free the name of an ended room yet");
    }
}
