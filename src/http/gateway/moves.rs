//! `/conferences/{room_id}/members/{uuid}/move`.

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::ROOM;
use crate::http::openapi::schemas::{
    CommandUidText, Failure, RoomCommandFailures, RoomIdText, RoomPath, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{Move, MoveAccepted};

use super::command::{Command, accepted};
use super::commands::Status;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(move_member))
}

/// The conference to move to.
#[derive(ToSchema)]
#[schema(as = Move)]
#[allow(dead_code, reason = "describes the body")]
struct MoveBody {
    /// The conference, on the same node.
    #[schema(value_type = RoomIdText)]
    room_id: String,
    /// `true`: the member enters muted; `false`: it enters unmuted. If omitted, it stays as it is.
    muted: Option<bool>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// Move a member to another conference
///
/// The member leaves this conference and enters the other one in one step, with its settings. Its webhooks are
/// `conference.member.left` with the reason `moved` and `to`, and `conference.member.joined` with `from` in the other
/// conference. Pre-actions and post-actions do not run.
///
/// If the other conference does not admit the member after all, its webhook there is `conference.member.join_failed`.
/// The member then stays in this conference or enters it again, even if it is locked by now, and the webhook here is
/// `conference.member.move_failed`. If this conference has ended by then, the call is parked.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/move", tag = "conferences", operation_id = "moveMember",
    params(RoomPath, SessionPath),
    request_body(content = MoveBody, example = json!({"room_id": ROOM, "command_uid": "move-1"})),
    responses(
        (status = 202, description = "The member is moving; the webhooks confirm it. `room_id` is the other conference.", body = Status,
         example = json!({"status": "moving", "room_id": ROOM})),
        RoomCommandFailures,
        (status = 404, description = "One of the conferences does not exist, or the call is not in the first one.", body = Failure),
        (status = 409, description = "The other conference is locked, full or on another node, or is the same one; the member is still joining or leaving; or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn move_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let action = Move {
        to: fields.required("room_id")?,
        muted: fields.boolean("muted")?,
    };
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/move");
    Command::new(caller, target, action, &route, &fields)?
        .with_fresh_uid(&state)?
        .run(&state, render)
        .await
}

fn render(moved: MoveAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Status {
        status: "moving",
        room_id: moved.room.to_string(),
    })
}
