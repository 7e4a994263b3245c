//! `/conferences/{room_id}/lock`, `/unlock` and `/members/{uuid}/kick`: who may be in a room.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::access::LookUp;
use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::request::PathId;
use crate::ids::{RoomId, SessionId};
use crate::reconciler::{Accepted, Intent, Refusal};
use crate::store::EntityId;
use crate::store::gate::CommandAnswer;

use super::asked::{Asked, answered, given_uid, own};
use super::commands;

#[derive(Serialize, ToSchema)]
#[schema(as = LockStatus)]
pub(super) struct Lock {
    /// `in_progress`, or `locked` or `unlocked` where that is so already.
    status: &'static str,
}

/// `POST …/lock`.
pub(super) async fn lock(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_lock(&state, caller, room, &fields, true).await
}

/// `POST …/unlock`.
pub(super) async fn unlock(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_lock(&state, caller, room, &fields, false).await
}

async fn set_lock(
    state: &Shared,
    caller: Caller,
    room: RoomId,
    fields: &Fields,
    lock: bool,
) -> Result<Response, ApiError> {
    let given = given_uid(fields)?;
    own(state, &caller, room).await?;
    let intent = Intent::Lock {
        room,
        app: caller.app,
        lock,
        command_uid: given.clone(),
    };
    let route = if lock { "lock" } else { "unlock" };
    let asked = Asked::new(EntityId::Room(room), route, given, fields);
    let nothing = std::future::ready(Ok(()));
    asked
        .carried_out(state, nothing, LookUp::done(), intent, render)
        .await
}

/// `POST …/members/{uuid}/kick`.
pub(super) async fn kick(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(session): PathId<SessionId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let (given, made) = commands::command_uid(&state, &fields)?;
    own(&state, &caller, room).await?;
    if session.node() != room.node() {
        return Err(state.refuse(&Refusal::NotInRoom));
    }
    let intent = Intent::Kick {
        session,
        room,
        member: None,
        app: caller.app,
        command_uid: Some(made),
    };
    // The same id may be given for the same call in another room: that is another command.
    let route = format!("conferences/{room}/kick");
    let asked = Asked::new(EntityId::Session(session), &route, given, &fields);
    let nothing = std::future::ready(Ok(()));
    asked
        .carried_out(&state, nothing, LookUp::done(), intent, commands::render)
        .await
}

fn render(accepted: Accepted) -> Result<CommandAnswer, ApiError> {
    let status = if matches!(accepted, Accepted::Locking) {
        "in_progress"
    } else if let Accepted::Locked { locked } = accepted {
        if locked { "locked" } else { "unlocked" }
    } else {
        let why = format!("a command about a lock was answered {accepted:?}");
        return Err(ApiError::internal(&why));
    };
    answered(StatusCode::ACCEPTED, &Lock { status })
}
