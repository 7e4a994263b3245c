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
use crate::api::error::ApiError;
use crate::ids::{AppId, NodeId, RoomId, RoomName};
use crate::reconciler::{Accepted, Intent, IntentError, Refusal};
use crate::room::{Kind, Origin, Registration};
use crate::store::{NameOutcome, StoreError};
use crate::telemetry::{Chain, millis};

/// How often a room is made anew after its name went to another while it was being made.
const ROUNDS: usize = 3;

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
                    error = %Chain(&error),
                    "the name of a new room is not confirmed yet; the next to ask for it will do so"
                );
                return Ok(room);
            }
            Err(error) => return Err(error.into()),
        }
        tracing::warn!(
            app.id = %app,
            duration_ms = millis(reserved.elapsed()),
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
                        tracing::debug!(room.id = %holder, error = %Chain(&error), "a name stays unconfirmed");
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
        tracing::warn!(app.id = %app, error = %Chain(&error), "the name of a room that was not made stays reserved for a while");
    }
}

/// Ends a room that lost its name while it was being made: it was never told to anyone.
async fn take_back(state: &ApiState, app: &AppId, room: RoomId) -> Result<(), ApiError> {
    let intent = Intent::DeleteRoom {
        room,
        app: app.clone(),
    };
    match state.controller.submit(intent).await {
        // The store has lost it together with its name.
        Ok(_) | Err(IntentError::Refused(Refusal::RoomNotFound)) => Ok(()),
        Err(error) => Err(state.failed(error)),
    }
}

/// Frees the name of a room that is ending. Should this fail, the next to ask for the name finds that its room does
/// not live.
pub(crate) async fn release(state: &ApiState, registration: &Registration, room: RoomId) {
    let name: RoomName = match (registration.origin, registration.name.parse()) {
        (Origin::Gateway, Ok(name)) => name,
        (Origin::Gateway | Origin::Voipbin, _) => return,
    };
    if let Err(error) = state.store.free_name(&registration.app, &name, room).await {
        tracing::warn!(room.id = %room, error = %Chain(&error), "the name of an ended room is not free yet");
    }
}
