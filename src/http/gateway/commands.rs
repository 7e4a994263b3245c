//! `/sessions/{uuid}/commands`: commands to calls.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::{ObjectBuilder, Type};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::cooldown::{CONFERENCE, CONFERENCE_MUTE};
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::{OPERATION, ROOM};
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, MemberSettingsText, RoomIdText, SessionCommandFailures,
    SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{
    Answer, FlagAccepted, Hangup, Join, JoinAccepted, Leave, LeaveAccepted, OperationAccepted,
    SetFlag,
};
use roomkeeper_core::room::MemberFlag;

use super::command::{Command, accepted, answered};
use super::settings::member_settings;

type Session = PathId<CallId>;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(mute))
        .routes(routes!(unmute))
        .routes(routes!(answer))
        .routes(routes!(hangup))
}

/// The conference to join.
#[derive(ToSchema)]
#[schema(as = Join)]
#[allow(dead_code, reason = "describes the body")]
struct JoinBody {
    /// The conference.
    #[schema(value_type = RoomIdText)]
    room_id: String,
    /// `true`: the member joins muted, so the others do not hear it; `false`: it joins unmuted. If omitted, members of
    /// a conference created through this API join muted.
    muted: Option<bool>,
    /// `true`: the caller is not asked for the PIN of the conference, because the app knows it already.
    skip_pin: Option<bool>,
    #[serde(flatten)]
    settings: MemberSettingsText,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// How to end a call.
#[derive(ToSchema)]
#[schema(as = Hangup)]
#[allow(dead_code, reason = "describes the body")]
struct HangupBody {
    #[schema(schema_with = cause_schema)]
    cause: Option<String>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

fn cause_schema() -> ObjectBuilder {
    let causes = CAUSES.iter().map(|cause| Some(*cause)).chain([None]);
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some(
            "FreeSWITCH's name of the hang-up cause; `NORMAL_CLEARING` if omitted.",
        ))
        .enum_values(Some(causes))
}

/// The effect of an accepted command on a membership. `muted`, `unmuted`, `deafened`, `undeafened`, `held` and `unheld` name
/// the state that the webhook confirms.
#[derive(ToSchema)]
#[schema(as = MemberCommandStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum StatusText {
    Joining,
    AlreadyJoined,
    Leaving,
    Moving,
    Muted,
    Unmuted,
    Deafened,
    Undeafened,
    Held,
    Unheld,
}

/// The status of a command that takes time.
#[derive(ToSchema)]
#[schema(as = OperationStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum OperationStatusText {
    InProgress,
}

#[derive(Serialize, ToSchema)]
#[schema(as = MemberCommand)]
pub(super) struct Status {
    #[schema(value_type = StatusText)]
    pub(super) status: &'static str,
    #[schema(value_type = RoomIdText)]
    pub(super) room_id: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Operation {
    operation_id: String,
    #[schema(value_type = OperationStatusText)]
    status: &'static str,
}

/// Join a call to a conference
///
/// Its webhook is `conference.member.joined`, or `conference.member.join_failed`. If the conference has a PIN, the caller
/// is asked for it first.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/conference/join", tag = "commands", operation_id = "joinRoom",
    params(SessionPath),
    request_body(content = JoinBody, example = json!({"room_id": ROOM})),
    responses(
        (status = 200, description = "The call is already in this conference.", body = Status,
         example = json!({"status": "already_joined", "room_id": ROOM})),
        (status = 202, description = "The call is joining; the webhook confirms it.", body = Status,
         example = json!({"status": "joining", "room_id": ROOM})),
        (status = 403, description = "The call or the conference belongs to another app.", body = Failure),
        (status = 404, description = "The call or the conference does not exist.", body = Failure),
        (status = 409, description = "The call is in another conference, is still leaving one, or is on another node; the conference is locked; or the `command_uid` belongs to another command.", body = Failure,
         example = json!({"success": false, "error": "Session is already in a different conference room. Use conference/leave first."})),
        (status = 502, description = "FreeSWITCH refused the command.", body = Failure),
        (status = 504, description = "FreeSWITCH did not answer in time. The command may have been executed.", body = Failure),
    )
)]
pub(super) async fn join(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let room: RoomId = fields.required("room_id")?;
    let join = Join {
        muted: fields.boolean("muted")?,
        settings: member_settings(&fields)?,
        skip_pin: fields.boolean("skip_pin")?.unwrap_or_default(),
    };
    let target = Target::Member { room, call };
    Command::new(caller, target, join, "conference/join", &fields)?
        .with_fresh_uid(&state)?
        .in_group(&CONFERENCE)
        .run(&state, render_join)
        .await
}

/// Remove a call from its conference
///
/// Its webhook is `conference.member.left`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/conference/leave", tag = "commands", operation_id = "leaveRoom",
    params(SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "leave-1"})),
    responses(
        (status = 202, description = "The command is accepted; the webhook confirms it.", body = Status,
         example = json!({"status": "leaving", "room_id": ROOM})),
        (status = 409, description = "The call is still joining, or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn leave(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Call(call);
    Command::new(caller, target, Leave, "conference/leave", &fields)?
        .with_fresh_uid(&state)?
        .in_group(&CONFERENCE)
        .run(&state, render_leave)
        .await
}

/// Mute a member
///
/// Its webhook is `conference.member.muted`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/conference/mute", tag = "commands", operation_id = "muteMember",
    params(SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "mute-1"})),
    responses(
        (status = 202, description = "The command is accepted; the webhook confirms it.", body = Status,
         example = json!({"status": "muted", "room_id": ROOM})),
        (status = 409, description = "The member is already muted or still joining, or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn mute(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_flag(&state, caller, call, &fields, MemberFlag::Speak, false).await
}

/// Unmute a member
///
/// Its webhook is `conference.member.unmuted`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/conference/unmute", tag = "commands", operation_id = "unmuteMember",
    params(SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "unmute-1"})),
    responses(
        (status = 202, description = "The command is accepted; the webhook confirms it.", body = Status,
         example = json!({"status": "unmuted", "room_id": ROOM})),
        (status = 409, description = "The member is already unmuted or still joining, or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn unmute(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_flag(&state, caller, call, &fields, MemberFlag::Speak, true).await
}

async fn set_flag(
    state: &Shared,
    caller: Caller,
    call: CallId,
    fields: &Fields,
    flag: MemberFlag,
    on: bool,
) -> Result<Response, ApiError> {
    let route = format!("conference/{}", flag.names(on).command);
    Command::new(
        caller,
        Target::Call(call),
        SetFlag { flag, on },
        &route,
        fields,
    )?
    .with_fresh_uid(state)?
    .in_group(&CONFERENCE_MUTE)
    .run(state, render_flag)
    .await
}

/// Answer a call
///
/// Its webhook is `call.answered`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/answer", tag = "commands", operation_id = "answerCall",
    params(SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "answer-1"})),
    responses(
        (status = 202, description = "The command is accepted; the webhook confirms it.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 409, description = "The call is already answered, or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn answer(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    Command::new(caller, Target::Call(call), Answer, "answer", &fields)?
        .run(&state, render_operation)
        .await
}

/// End a call
///
/// Its webhook is `call.hangup`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/hangup", tag = "commands", operation_id = "hangUpCall",
    params(SessionPath),
    request_body(content = HangupBody, example = json!({"cause": "NORMAL_CLEARING"})),
    responses(
        (status = 202, description = "The command is accepted; the webhook confirms it.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 409, description = "The call is already ending, or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn hangup(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let cause = fields.text("cause")?.map(checked_cause).transpose()?;
    let hangup = Hangup {
        cause: cause.map(str::to_owned),
    };
    Command::new(caller, Target::Call(call), hangup, "hangup", &fields)?
        .run(&state, render_operation)
        .await
}

fn render_join(join: JoinAccepted) -> Result<StoredAnswer, ApiError> {
    let (code, status, room) = match join {
        JoinAccepted::Joining { room, .. } => (StatusCode::ACCEPTED, "joining", room),
        JoinAccepted::AlreadyJoined { room, .. } => (StatusCode::OK, "already_joined", room),
    };
    let room_id = room.to_string();
    answered(code, &Status { status, room_id })
}

pub(super) fn render_leave(leave: LeaveAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Status {
        status: "leaving",
        room_id: leave.room.to_string(),
    })
}

pub(super) fn render_flag(set: FlagAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Status {
        status: set.flag.names(set.on).state,
        room_id: set.room.to_string(),
    })
}

fn render_operation(operation: OperationAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        operation_id: operation.operation.to_string(),
        status: "in_progress",
    })
}

/// The causes that FreeSWITCH knows. It ignores an unknown one.
pub(super) const CAUSES: &[&str] = &[
    "ACCESS_INFO_DISCARDED",
    "ALLOTTED_TIMEOUT",
    "ATTENDED_TRANSFER",
    "BAD_IDENTITY_INFO",
    "BEARERCAPABILITY_NOTAUTH",
    "BEARERCAPABILITY_NOTAVAIL",
    "BEARERCAPABILITY_NOTIMPL",
    "BLIND_TRANSFER",
    "BUSY_EVERYWHERE",
    "CALL_AWARDED_DELIVERED",
    "CALL_REJECTED",
    "CHANNEL_UNACCEPTABLE",
    "CHAN_NOT_IMPLEMENTED",
    "CRASH",
    "DECLINE",
    "DESTINATION_OUT_OF_ORDER",
    "DOES_NOT_EXIST_ANYWHERE",
    "EXCHANGE_ROUTING_ERROR",
    "FACILITY_NOT_IMPLEMENTED",
    "FACILITY_NOT_SUBSCRIBED",
    "FACILITY_REJECTED",
    "GATEWAY_DOWN",
    "IE_NONEXIST",
    "INCOMING_CALL_BARRED",
    "INCOMPATIBLE_DESTINATION",
    "INTERWORKING",
    "INVALID_CALL_REFERENCE",
    "INVALID_GATEWAY",
    "INVALID_IDENTITY",
    "INVALID_IE_CONTENTS",
    "INVALID_MSG_UNSPECIFIED",
    "INVALID_NUMBER_FORMAT",
    "INVALID_PROFILE",
    "INVALID_URL",
    "LOSE_RACE",
    "MANAGER_REQUEST",
    "MANDATORY_IE_LENGTH_ERROR",
    "MANDATORY_IE_MISSING",
    "MEDIA_TIMEOUT",
    "MESSAGE_TYPE_NONEXIST",
    "NETWORK_OUT_OF_ORDER",
    "NORMAL_CIRCUIT_CONGESTION",
    "NORMAL_CLEARING",
    "NORMAL_TEMPORARY_FAILURE",
    "NORMAL_UNSPECIFIED",
    "NOT_ACCEPTABLE",
    "NO_ANSWER",
    "NO_IDENTITY",
    "NO_PICKUP",
    "NO_ROUTE_DESTINATION",
    "NO_ROUTE_TRANSIT_NET",
    "NO_USER_RESPONSE",
    "NUMBER_CHANGED",
    "ORIGINATOR_CANCEL",
    "OUTGOING_CALL_BARRED",
    "PICKED_OFF",
    "PRE_EMPTED",
    "PROGRESS_TIMEOUT",
    "PROTOCOL_ERROR",
    "RECOVERY_ON_TIMER_EXPIRE",
    "REDIRECTION_TO_NEW_DESTINATION",
    "REJECT_ALL",
    "REQUESTED_CHAN_UNAVAIL",
    "RESPONSE_TO_STATUS_ENQUIRY",
    "SERVICE_NOT_IMPLEMENTED",
    "SERVICE_UNAVAILABLE",
    "SRTP_READ_ERROR",
    "STALE_DATE",
    "SUBSCRIBER_ABSENT",
    "SUCCESS",
    "SWITCH_CONGESTION",
    "SYSTEM_SHUTDOWN",
    "UNALLOCATED_NUMBER",
    "UNSUPPORTED_CERTIFICATE",
    "UNWANTED",
    "USER_BUSY",
    "USER_CHALLENGE",
    "USER_NOT_REGISTERED",
    "WRONG_CALL_STATE",
    "WRONG_MESSAGE",
];

pub(crate) fn checked_cause(text: &str) -> Result<&'static str, ApiError> {
    CAUSES
        .binary_search(&text)
        .map(|at| CAUSES[at])
        .map_err(|_| {
            ApiError::field(
                "cause",
                "not a hang-up cause of FreeSWITCH, such as NORMAL_CLEARING",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_sorted_and_only_they_pass() {
        assert!(CAUSES.is_sorted());
        for cause in CAUSES {
            assert_eq!(checked_cause(cause).unwrap(), *cause);
        }
        for bad in ["", "NONE", "normal_clearing", "16", "USER_BUSY\n", "${x}"] {
            assert!(checked_cause(bad).is_err(), "{bad:?}");
        }
    }
}
