//! `/sessions/{uuid}/commands`: what can be asked of a call.
//!
//! Every handler has the same order: syntax, existence of all that is named, ownership of all that is named, then what
//! [`Asked`] does for all of them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::access::LookUp;
use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::limits::{CONFERENCE, CONFERENCE_MUTE};
use crate::api::request::PathId;
use crate::api::{ApiState, Shared};
use crate::ids::{CommandUid, RoomId, SessionId};
use crate::reconciler::{Accepted, Intent};
use crate::store::EntityId;
use crate::store::gate::CommandAnswer;

use super::asked::{Asked, answered, given_uid};

use super::docs::RoomIdText;

type Session = PathId<SessionId>;

#[derive(Serialize, ToSchema)]
pub(super) struct Status {
    status: &'static str,
    #[schema(value_type = RoomIdText)]
    room_id: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Operation {
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
    let (given, made) = command_uid(&state, &fields)?;
    let intent = Intent::Join {
        session,
        room,
        app: caller.app.clone(),
        muted,
        command_uid: Some(made),
    };
    let asked = Asked::new(
        EntityId::Session(session),
        "conference/join",
        given,
        &fields,
    );
    let looked_up = Arc::clone(&state);
    let look_up = LookUp::by(async move {
        let state = looked_up;
        // Both are asked for at once, and still looked at in this order.
        let (call, head) = tokio::join!(state.find_session(session), state.find_room(room));
        let (call, head) = (call?, head?);
        state.own_session(&caller, &call)?;
        state.own_room(&caller, &head)
    });
    command(&state, asked.of(&CONFERENCE), look_up, intent).await
}

/// `POST …/conference/leave`.
pub(super) async fn leave(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let (given, made) = command_uid(&state, &fields)?;
    let intent = Intent::Leave {
        session,
        app: caller.app.clone(),
        command_uid: Some(made),
    };
    let asked = Asked::new(
        EntityId::Session(session),
        "conference/leave",
        given,
        &fields,
    );
    let look_up = owned(&state, caller, session);
    command(&state, asked.of(&CONFERENCE), look_up, intent).await
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
    let (given, made) = command_uid(&state, &fields)?;
    let intent = Intent::Mute {
        session,
        app: caller.app.clone(),
        mute,
        command_uid: Some(made),
    };
    let route = if mute {
        "conference/mute"
    } else {
        "conference/unmute"
    };
    let asked = Asked::new(EntityId::Session(session), route, given, &fields);
    let look_up = owned(&state, caller, session);
    command(&state, asked.of(&CONFERENCE_MUTE), look_up, intent).await
}

/// `POST …/answer`.
pub(super) async fn answer(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    // What answers and hang-ups lead to does not name it, but it makes them happen once.
    let given = given_uid(&fields)?;
    own(&state, &caller, session).await?;
    let intent = Intent::Answer {
        session,
        app: caller.app,
    };
    let asked = Asked::new(EntityId::Session(session), "answer", given, &fields);
    command(&state, asked, LookUp::done(), intent).await
}

/// `POST …/hangup`.
pub(super) async fn hangup(
    State(state): State<Shared>,
    caller: Caller,
    PathId(session): Session,
    fields: Fields,
) -> Result<Response, ApiError> {
    let cause = fields.text("cause")?.map(checked_cause).transpose()?;
    let given = given_uid(&fields)?;
    own(&state, &caller, session).await?;
    let intent = Intent::Hangup {
        session,
        app: caller.app,
        cause: cause.map(str::to_owned),
    };
    let asked = Asked::new(EntityId::Session(session), "hangup", given, &fields);
    command(&state, asked, LookUp::done(), intent).await
}

/// The caller's id of the command, and that or one made for it.
pub(super) fn command_uid(
    state: &ApiState,
    fields: &Fields,
) -> Result<(Option<CommandUid>, CommandUid), ApiError> {
    let given = given_uid(fields)?;
    let made = match &given {
        Some(given) => given.clone(),
        None => {
            let made = (state.new_id)().to_string();
            made.parse().map_err(|e| ApiError::internal(&e))?
        }
    };
    Ok((given, made))
}

async fn own(state: &ApiState, caller: &Caller, session: SessionId) -> Result<(), ApiError> {
    let call = state.find_session(session).await?;
    state.own_session(caller, &call)
}

/// Whether the call is the caller's, where that has to be looked up.
fn owned(state: &Shared, caller: Caller, session: SessionId) -> LookUp {
    let state = Arc::clone(state);
    LookUp::by(async move { own(&state, &caller, session).await })
}

/// The commands of calls that look at nothing but the state.
async fn command(
    state: &Shared,
    asked: Asked,
    look_up: LookUp,
    intent: Intent,
) -> Result<Response, ApiError> {
    let nothing = std::future::ready(Ok(()));
    asked
        .carried_out(state, nothing, look_up, intent, render)
        .await
}

pub(super) fn render(accepted: Accepted) -> Result<CommandAnswer, ApiError> {
    let (code, status, room) = match accepted {
        Accepted::Joining { room, .. } => (StatusCode::ACCEPTED, "joining", room),
        Accepted::AlreadyJoined { room, .. } => (StatusCode::OK, "already_joined", room),
        Accepted::Leaving { room } => (StatusCode::ACCEPTED, "leaving", room),
        Accepted::Muted { room } => (StatusCode::ACCEPTED, "muted", room),
        Accepted::Unmuted { room } => (StatusCode::ACCEPTED, "unmuted", room),
        Accepted::InProgress { operation } => {
            let body = Operation {
                operation_id: operation.to_string(),
                status: "in_progress",
            };
            return answered(StatusCode::ACCEPTED, &body);
        }
        other @ (Accepted::Created
        | Accepted::Updated
        | Accepted::Locking
        | Accepted::Locked { .. }
        | Accepted::Deleted
        | Accepted::Recording { .. }
        | Accepted::RecordingStops { .. }
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
    answered(code, &Status { status, room_id })
}

/// The causes that FreeSWITCH knows by name. One that it does not know it would take for none at all.
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
