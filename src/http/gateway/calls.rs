//! `/conferences/{room_id}/calls`: calls that FreeSWITCH makes for a conference.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::dial_slots;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::{ROOM, SESSION};
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, MemberSettingsText, ReadFailures, RoomCommandFailures,
    RoomIdText, RoomPath, SessionIdText, SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::reconciler::{Intent, Refusal};
use crate::store::limits::StoredAnswer;
use roomkeeper_core::dial::{MAX_HEADERS, SipHeader};
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, ChannelId, RoomId};
use roomkeeper_core::intent::{CancelDial, Dial, DialAccepted, DialCancelled};
use roomkeeper_core::room::{DialOut, DialRequest};

use super::command::{Command, accepted};
use super::settings::member_settings;

/// The default time for an answer, in seconds.
const TIMEOUT: i64 = 60;

/// The default pause before another attempt, in seconds.
const RETRY_PAUSE: i64 = 10;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, dial))
        .routes(routes!(get, cancel))
}

/// A call to make.
#[derive(ToSchema)]
#[schema(as = NewDialOut)]
#[allow(dead_code, reason = "describes the body")]
pub(super) struct NewDialOut {
    /// A number (`^\+?[0-9*]{1,32}$`) or a SIP address such as `alice@example.com`. The operator's configuration must
    /// allow it.
    #[schema(
        pattern = r"^(sip:)?(\+?[0-9*]{1,32}|[A-Za-z0-9+_.-]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:[1-9][0-9]{0,4})?)$"
    )]
    to: String,
    /// The caller's number that the callee sees.
    #[schema(pattern = r"^\+?[0-9*]{1,32}$")]
    from: Option<String>,
    /// The caller's name that the callee sees: letters, digits, spaces and `-._`.
    #[schema(
        max_length = 64,
        pattern = r"^[A-Za-z0-9._-]([A-Za-z0-9 ._-]*[A-Za-z0-9._-])?$"
    )]
    caller_name: Option<String>,
    /// Seconds for an answer.
    #[schema(minimum = 1, maximum = 600, default = 60)]
    timeout: Option<u16>,
    /// The callee joins muted.
    #[schema(default = false)]
    muted: Option<bool>,
    /// Further attempts after a busy callee, no answer, or a temporary failure.
    #[schema(minimum = 0, maximum = 10, default = 0)]
    retries: Option<u8>,
    /// Seconds before each further attempt.
    #[schema(minimum = 1, maximum = 3600, default = 10)]
    retry_pause: Option<u16>,
    /// SIP headers of the call, 16 at most: their names begin with `X-`.
    headers: Option<BTreeMap<String, String>>,
    #[serde(flatten)]
    settings: MemberSettingsText,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The state of a dial-out.
#[derive(ToSchema)]
#[schema(as = DialOutStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum DialOutStatusText {
    Dialling,
    Ringing,
    Waiting,
    Cancelling,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DialOutStarted)]
pub(super) struct Started {
    /// The id of the dial-out, which is also the session of its first attempt.
    #[schema(value_type = SessionIdText)]
    call_id: String,
    #[schema(value_type = SessionIdText)]
    session_uuid: String,
    #[schema(value_type = DialOutStatusText)]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DialOutCancelled)]
pub(super) struct Cancelled {
    #[schema(value_type = CancelStatusText)]
    status: &'static str,
}

/// `cancelling`, or `cancelled` if no attempt was in progress.
#[derive(ToSchema)]
#[schema(as = DialOutCancelStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum CancelStatusText {
    Cancelling,
    Cancelled,
}

/// A dial-out in progress.
#[derive(Serialize, ToSchema)]
#[schema(as = DialOut)]
pub(super) struct Row {
    #[schema(value_type = SessionIdText)]
    call_id: String,
    /// The session of the current attempt, or of the last one while the next is awaited.
    #[schema(value_type = SessionIdText)]
    session_uuid: String,
    to: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[schema(value_type = DialOutStatusText)]
    status: &'static str,
    /// The number of the attempt, from 1.
    attempt: u8,
    /// The number of attempts that the request allows.
    attempts: u8,
    muted: bool,
    #[schema(format = DateTime)]
    created_at: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DialOutList)]
pub(super) struct Rows {
    #[schema(value_type = RoomIdText)]
    room_id: String,
    calls: Vec<Row>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// Call somebody into a conference
///
/// FreeSWITCH makes a call, and the callee enters the conference once it answers; a locked conference admits it, a full
/// one does not. The webhooks are `conference.call.ringing`, then `conference.call.answered` followed by `call.new` and
/// `conference.member.joined`; or `conference.call.busy`, `.no_answer`, `.failed` or `.cancelled` with the SIP status and
/// FreeSWITCH's cause. Each further attempt has a session of its own, the `call_id` stays. An app calls only the
/// destinations that the operator allows; by default there are none.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/calls", tag = "conferences", operation_id = "createDialOut",
    params(RoomPath),
    request_body(content = NewDialOut, example = json!({"to": "+493012345", "from": "+493099999", "timeout": 30, "command_uid": "dial-1"})),
    responses(
        (status = 202, description = "FreeSWITCH gets the command; webhooks report the progress.", body = Started,
         example = json!({"call_id": SESSION, "session_uuid": SESSION, "status": "dialling"})),
        RoomCommandFailures,
        (status = 403, description = "The conference belongs to another app, or the configuration does not allow the destination.", body = Failure),
        (status = 409, description = "The conference is full or has too many dial-outs, or the `command_uid` belongs to another command.", body = Failure),
        (status = 429, description = "The app has as many dial-outs in progress as the configuration allows, or made too many requests. `Retry-After` has the seconds to wait.", body = Failure),
    )
)]
pub(super) async fn dial(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let request = Box::new(request(&fields)?);
    let session = CallId::new(room.node(), ChannelId::new((state.new_id)()));
    let dial = Dial { session, request };
    let app = caller.app.clone();
    let intent = Intent::new(Target::Room(room), app.clone(), dial.clone());
    let slot = dial_slots::take(Arc::clone(&state), app, intent);
    Command::new(caller, Target::Room(room), dial, "calls", &fields)?
        .with_fresh_uid(&state)?
        .checked_by(slot)
        .run(&state, render_started)
        .await
}

/// Reads the time for an answer, in seconds.
pub(super) fn answer_timeout(fields: &Fields) -> Result<u16, ApiError> {
    within(fields, "timeout", TIMEOUT, 1, 600).map(small)
}

fn within(
    fields: &Fields,
    name: &str,
    default: i64,
    least: i64,
    most: i64,
) -> Result<i64, ApiError> {
    let number = fields.integer(name)?.unwrap_or(default);
    if (least..=most).contains(&number) {
        Ok(number)
    } else {
        let expected = format!("expected a whole number from {least} to {most}");
        Err(ApiError::field(name, expected))
    }
}

fn small(number: i64) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

fn request(fields: &Fields) -> Result<DialRequest, ApiError> {
    Ok(DialRequest {
        to: fields.required("to")?,
        from: fields.parsed("from")?,
        caller_name: fields.parsed("caller_name")?,
        timeout: answer_timeout(fields)?,
        muted: fields.boolean("muted")?.unwrap_or(false),
        retries: u8::try_from(within(fields, "retries", 0, 0, 10)?).unwrap_or(u8::MAX),
        retry_pause: small(within(fields, "retry_pause", RETRY_PAUSE, 1, 3_600)?),
        member: member_settings(fields)?,
        headers: headers(fields)?,
    })
}

fn headers(fields: &Fields) -> Result<Vec<SipHeader>, ApiError> {
    let given = fields.object("headers")?.unwrap_or_default();
    if given.len() > MAX_HEADERS {
        let limit = format!("expected at most {MAX_HEADERS} headers");
        return Err(ApiError::field("headers", limit));
    }
    let mut headers: Vec<SipHeader> = Vec::with_capacity(given.len());
    for (name, value) in &given {
        let Value::String(value) = value else {
            return Err(ApiError::field("headers", "expected strings as values"));
        };
        let header = SipHeader::new(name, value).map_err(|e| ApiError::field("headers", e))?;
        let is_same = |other: &SipHeader| other.name().eq_ignore_ascii_case(name);
        if headers.iter().any(is_same) {
            return Err(ApiError::field("headers", "expected each name once"));
        }
        headers.push(header);
    }
    Ok(headers)
}

/// Cancel a dial-out
///
/// Its webhook is `conference.call.cancelled`. If the callee answers before FreeSWITCH gets the command, the webhook is
/// `conference.call.answered`, and the call is hung up.
#[utoipa::path(
    delete, path = "/api/v1/conferences/{room_id}/calls/{uuid}", tag = "conferences", operation_id = "deleteDialOut",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "cancel-1"})),
    responses(
        (status = 202, description = "`cancelling`: FreeSWITCH gets the command, and the webhook confirms it. `cancelled`: no attempt was in progress.", body = Cancelled,
         example = json!({"status": "cancelling"})),
        RoomCommandFailures,
        (status = 404, description = "The conference or the dial-out does not exist, or it was answered or has ended.", body = Failure),
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn cancel(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(id): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let route = format!("calls/{id}/cancel");
    let target = Target::Room(room);
    Command::new(caller, target, CancelDial { id }, &route, &fields)?
        .run(&state, render_cancelled)
        .await
}

/// List the dial-outs of a conference
///
/// Those in progress, oldest first. An answered call is a member, and no longer listed here.
#[utoipa::path(
    get, path = "/api/v1/conferences/{room_id}/calls", tag = "conferences", operation_id = "listDialOuts",
    params(RoomPath),
    responses(
        (status = 200, description = "All dial-outs in progress, 50 at most.", body = Rows,
         example = json!({"room_id": ROOM, "calls": [{"call_id": SESSION, "session_uuid": SESSION, "to": "+493012345", "status": "ringing", "attempt": 1, "attempts": 3, "muted": false, "created_at": "2026-05-06T12:34:56Z"}]})),
        ReadFailures,
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<RoomId>,
) -> Result<Json<Rows>, ApiError> {
    let head = state.find_room(id).await?;
    state.own_room(&caller, &head)?;
    Ok(Json(Rows {
        room_id: id.to_string(),
        calls: head.dials().map(Row::from_dial).collect(),
        stale: state.stale(id.node()),
    }))
}

/// Read a dial-out
#[utoipa::path(
    get, path = "/api/v1/conferences/{room_id}/calls/{uuid}", tag = "conferences", operation_id = "getDialOut",
    params(RoomPath, SessionPath),
    responses(
        (status = 200, description = "The dial-out in progress.", body = Row,
         example = json!({"call_id": SESSION, "session_uuid": SESSION, "to": "+493012345", "status": "ringing", "attempt": 1, "attempts": 3, "muted": false, "created_at": "2026-05-06T12:34:56Z"})),
        ReadFailures,
        (status = 404, description = "The conference or the dial-out does not exist, or it was answered or has ended.", body = Failure),
    )
)]
pub(super) async fn get(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(id): PathId<CallId>,
) -> Result<Json<Row>, ApiError> {
    let head = state.find_room(room).await?;
    state.own_room(&caller, &head)?;
    let dial = head.dials().find(|dial| dial.id == id);
    let dial = dial.ok_or_else(|| state.refuse(&Refusal::DialNotFound))?;
    Ok(Json(Row::from_dial(dial)))
}

impl Row {
    fn from_dial(dial: &DialOut) -> Self {
        Self {
            call_id: dial.id.to_string(),
            session_uuid: dial.session.to_string(),
            to: dial.request.to.to_string(),
            from: dial.request.from.as_ref().map(ToString::to_string),
            status: dial.status(),
            attempt: dial.attempt,
            attempts: dial.request.attempts(),
            muted: dial.request.muted,
            created_at: dial.created_at.rfc3339_seconds(),
        }
    }
}

fn render_started(started: DialAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Started {
        call_id: started.session.to_string(),
        session_uuid: started.session.to_string(),
        status: "dialling",
    })
}

fn render_cancelled(cancelled: DialCancelled) -> Result<StoredAnswer, ApiError> {
    accepted(&Cancelled {
        status: if cancelled.over {
            "cancelled"
        } else {
            "cancelling"
        },
    })
}
