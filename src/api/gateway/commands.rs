//! `/sessions/{uuid}/commands`: what can be asked of a call.
//!
//! Every handler has the same order: syntax, existence of all that is named, ownership of all that is named, the
//! domain call. What belongs between ownership and the call (replay of a `command_uid`, cooldowns) goes into
//! [`command`], once for all.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::request::PathId;
use crate::api::{ApiState, Shared};
use crate::ids::{CommandUid, RoomId, SessionId};
use crate::reconciler::{Accepted, Intent};

type Session = PathId<SessionId>;

#[derive(Serialize)]
struct Status {
    status: &'static str,
    room_id: String,
}

#[derive(Serialize)]
struct Operation {
    operation_id: String,
    status: &'static str,
}

/// `POST …/conference/join`.
pub(super) async fn join(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let room: RoomId = fields.required("room_id")?;
    let muted = fields.boolean("muted")?;
    let command_uid = Some(command_uid(&state, &fields)?);
    let call = state.find_session(session).await?;
    let head = state.find_room(room).await?;
    state.own_session(&caller, &call)?;
    state.own_room(&caller, &head)?;
    let intent = Intent::Join {
        session,
        room,
        app: caller.app,
        muted,
        command_uid,
    };
    command(&state, intent).await
}

/// `POST …/conference/leave`.
pub(super) async fn leave(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let command_uid = Some(command_uid(&state, &fields)?);
    own(&state, &caller, session).await?;
    let intent = Intent::Leave {
        session,
        app: caller.app,
        command_uid,
    };
    command(&state, intent).await
}

/// `POST …/conference/mute`.
pub(super) async fn mute(
    state: State<Shared>,
    caller: Caller,
    session: Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_mute(state, caller, session, fields, true).await
}

/// `POST …/conference/unmute`.
pub(super) async fn unmute(
    state: State<Shared>,
    caller: Caller,
    session: Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    set_mute(state, caller, session, fields, false).await
}

async fn set_mute(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
    mute: bool,
) -> Result<Response, ApiError> {
    let command_uid = Some(command_uid(&state, &fields)?);
    own(&state, &caller, session).await?;
    let intent = Intent::Mute {
        session,
        app: caller.app,
        mute,
        command_uid,
    };
    command(&state, intent).await
}

/// `POST …/answer`.
pub(super) async fn answer(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    given_uid(&fields)?;
    own(&state, &caller, session).await?;
    let intent = Intent::Answer {
        session,
        app: caller.app,
    };
    command(&state, intent).await
}

/// `POST …/hangup`.
pub(super) async fn hangup(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let cause = fields.text("cause")?.map(checked_cause).transpose()?;
    given_uid(&fields)?;
    own(&state, &caller, session).await?;
    let intent = Intent::Hangup {
        session,
        app: caller.app,
        cause: cause.map(str::to_owned),
    };
    command(&state, intent).await
}

/// The caller's id of the command. What answers and hang-ups lead to does not name it, but it is checked all the same.
fn given_uid(fields: &Fields) -> Result<Option<CommandUid>, ApiError> {
    fields.parsed("command_uid")
}

/// The caller's id of the command, or one made for it.
fn command_uid(state: &ApiState, fields: &Fields) -> Result<CommandUid, ApiError> {
    match given_uid(fields)? {
        Some(given) => Ok(given),
        None => {
            let made = (state.new_id)().to_string();
            made.parse().map_err(|e| ApiError::internal(&e))
        }
    }
}

async fn own(state: &ApiState, caller: &Caller, session: SessionId) -> Result<(), ApiError> {
    let call = state.find_session(session).await?;
    state.own_session(caller, &call)
}

/// The domain call and its answer.
async fn command(state: &ApiState, intent: Intent) -> Result<Response, ApiError> {
    let accepted = state.submit(intent).await?;
    let (code, status, room) = match accepted {
        Accepted::Joining { room } => (StatusCode::ACCEPTED, "joining", room),
        Accepted::AlreadyJoined { room } => (StatusCode::OK, "already_joined", room),
        Accepted::Leaving { room } => (StatusCode::ACCEPTED, "leaving", room),
        Accepted::Muted { room } => (StatusCode::ACCEPTED, "muted", room),
        Accepted::Unmuted { room } => (StatusCode::ACCEPTED, "unmuted", room),
        Accepted::InProgress { operation } => {
            let body = Operation {
                operation_id: operation.to_string(),
                status: "in_progress",
            };
            return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
        }
        other @ (Accepted::Created
        | Accepted::Deleted
        | Accepted::Playing { .. }
        | Accepted::Toggled { .. }
        | Accepted::Stopped { .. }
        | Accepted::VolumeSet { .. }) => {
            return Err(ApiError::internal(&format!(
                "a call's command was answered {other:?}"
            )));
        }
    };
    let room_id = room.to_string();
    Ok((code, Json(Status { status, room_id })).into_response())
}

/// The causes that FreeSWITCH knows by name. One that it does not know it would take for none at all.
const CAUSES: &[&str] = &[
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

fn checked_cause(text: &str) -> Result<&'static str, ApiError> {
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
