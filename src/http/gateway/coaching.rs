//! `/conferences/{room_id}/members/{uuid}/coach` and `/uncoach`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::SESSION;
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, RoomCommandFailures, RoomPath, SessionIdText, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{Coach, CoachAccepted, Uncoach};

use super::command::{Command, accepted};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(coach))
        .routes(routes!(uncoach))
}

/// The call that coaches the member.
#[derive(ToSchema)]
#[schema(as = CoachCommand)]
#[allow(dead_code, reason = "describes the body")]
struct CoachBody {
    /// The session of the coach: a call of the app on the same node, answered and parked.
    #[schema(value_type = SessionIdText)]
    session: String,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

#[derive(ToSchema)]
#[schema(as = CoachStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum CoachStatusText {
    InProgress,
    Stopping,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CoachOperation)]
struct Operation {
    #[schema(value_type = CoachStatusText)]
    status: &'static str,
    /// The session of the coach.
    #[schema(value_type = SessionIdText)]
    coach: String,
}

/// Coach a member
///
/// The coach hears what the member hears and says, and is heard by the member alone: not by the other members, and not in
/// a recording of the conference. Its keys have no effect. Its session has the state `coaching`, and is parked afterwards.
/// The webhook is `conference.member.coached`, or `conference.member.coach_failed`. The coaching ends with `uncoach`, when
/// the member leaves the conference, or when either call ends; then `conference.member.uncoached` comes with the reason.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/coach", tag = "conferences", operation_id = "coachMember",
    params(RoomPath, SessionPath),
    request_body(content = CoachBody, example = json!({"session": SESSION, "command_uid": "coach-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = Operation,
         example = json!({"status": "in_progress", "coach": SESSION})),
        RoomCommandFailures,
        (status = 404, description = "The conference or one of the calls does not exist, or the call is not in the conference.", body = Failure),
        (status = 409, description = "The coach is the member itself, is not parked, or coaches already; the member has a coach or is joining or leaving; or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn coach(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let coach: CallId = fields.required("session")?;
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/coach");
    Command::new(caller, target, Coach { coach }, &route, &fields)?
        .run(&state, |accepted| render(accepted, "in_progress"))
        .await
}

/// End the coaching of a member
///
/// The coach is parked. The webhook is `conference.member.uncoached` with the reason `requested`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/uncoach", tag = "conferences", operation_id = "uncoachMember",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "uncoach-1"})),
    responses(
        (status = 202, description = "FreeSWITCH accepted the command; the webhook confirms it.", body = Operation,
         example = json!({"status": "stopping", "coach": SESSION})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member has no coach, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn uncoach(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Member { room, call };
    let route = format!("conferences/{room}/uncoach");
    Command::new(caller, target, Uncoach, &route, &fields)?
        .run(&state, |accepted| render(accepted, "stopping"))
        .await
}

fn render(done: CoachAccepted, status: &'static str) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        status,
        coach: done.coach.to_string(),
    })
}
