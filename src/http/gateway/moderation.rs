//! `/conferences/{room_id}/lock`, `/unlock` and `/members/{uuid}/kick`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::ROOM;
use crate::http::openapi::schemas::{
    CommandBody, Failure, RoomCommandFailures, RoomPath, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{Kick, LockAccepted, SetFlag, SetLock};
use roomkeeper_core::room::MemberFlag;

use super::command::{Command, accepted};
use super::commands;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(lock))
        .routes(routes!(unlock))
        .routes(routes!(kick))
        .routes(routes!(deaf))
        .routes(routes!(undeaf))
}

/// `in_progress`, or the state `locked` or `unlocked` if FreeSWITCH has nothing to do.
#[derive(ToSchema)]
#[schema(as = LockStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum LockStatusText {
    InProgress,
    Locked,
    Unlocked,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LockCommand)]
pub(super) struct Lock {
    #[schema(value_type = LockStatusText)]
    status: &'static str,
}

/// Lock a conference
///
/// No further call can join: a join fails with 409, and FreeSWITCH rejects calls from the dialplan, except those that
/// it dialled itself. Present members stay. The lock holds until it is removed, also while the conference is empty:
/// then the first call that the dialplan sends to it gets in, and no further one. Its webhook is `conference.updated`
/// with `locked`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/lock", tag = "conferences", operation_id = "lockRoom",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "lock-1"})),
    responses(
        (status = 202, description = "`in_progress`: FreeSWITCH got the command, and the webhook confirms it. `locked` or `unlocked`: nothing had to be done, because the conference was in that state or is empty.", body = Lock,
         example = json!({"status": "in_progress"})),
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn lock(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_lock(&state, caller, room, &fields, true).await
}

/// Unlock a conference
///
/// Its webhook is `conference.updated` with `locked`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/unlock", tag = "conferences", operation_id = "unlockRoom",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "unlock-1"})),
    responses(
        (status = 202, description = "`in_progress`: FreeSWITCH got the command, and the webhook confirms it. `locked` or `unlocked`: nothing had to be done, because the conference was in that state or is empty.", body = Lock,
         example = json!({"status": "in_progress"})),
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
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
    locked: bool,
) -> Result<Response, ApiError> {
    let route = if locked { "lock" } else { "unlock" };
    Command::new(
        caller,
        Target::Room(room),
        SetLock { locked },
        route,
        fields,
    )?
    .run(state, render)
    .await
}

/// Remove a member from a conference
///
/// Like `leave`, but names the conference, and also removes another app's call that the dialplan sent there. The call
/// goes back to park and stays up. Its webhook is `conference.member.left` with the reason `removed`. A call that is
/// still joining does not get in: its webhook is `conference.member.join_failed` with the reason `removed`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/kick", tag = "conferences", operation_id = "kickMember",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "kick-1"})),
    responses(
        (status = 202, description = "The member is leaving; the webhook confirms it.", body = commands::Status,
         example = json!({"status": "leaving", "room_id": ROOM})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn kick(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Member { room, call };
    // The same key for the same call in another room is another command.
    let route = format!("conferences/{room}/kick");
    Command::new(caller, target, Kick { member: None }, &route, &fields)?
        .with_fresh_uid(&state)?
        .run(&state, commands::render_leave)
        .await
}

/// Deafen a member
///
/// The member no longer hears the conference, except files that are played to it alone. The others still hear it.
/// Its webhook is `conference.member.deafened`. A member that leaves and joins again is not deaf.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/deaf", tag = "conferences", operation_id = "deafenMember",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "deaf-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = commands::Status,
         example = json!({"status": "deafened", "room_id": ROOM})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is already deaf or still joining, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn deaf(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_hear(&state, caller, (room, call), &fields, false).await
}

/// Undeafen a member
///
/// Its webhook is `conference.member.undeafened`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/undeaf", tag = "conferences", operation_id = "undeafenMember",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "undeaf-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = commands::Status,
         example = json!({"status": "undeafened", "room_id": ROOM})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is not deaf or still joining, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn undeaf(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_hear(&state, caller, (room, call), &fields, true).await
}

async fn set_hear(
    state: &Shared,
    caller: Caller,
    (room, call): (RoomId, CallId),
    fields: &Fields,
    on: bool,
) -> Result<Response, ApiError> {
    let flag = MemberFlag::Hear;
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/{}", flag.names(on).command);
    Command::new(caller, target, SetFlag { flag, on }, &route, fields)?
        .with_fresh_uid(state)?
        .run(state, commands::render_flag)
        .await
}

fn render(lock: LockAccepted) -> Result<StoredAnswer, ApiError> {
    let status = match lock {
        LockAccepted::InProgress => "in_progress",
        LockAccepted::Locked { locked: true } => "locked",
        LockAccepted::Locked { locked: false } => "unlocked",
    };
    accepted(&Lock { status })
}
