//! Digits of telephones: `/members/{uuid}/dtmf`, `/gather` and `/gather/stop` of a conference, and the same commands of a
//! call.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::OPERATION;
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, RoomCommandFailures, RoomPath, SessionCommandFailures,
    SessionPath,
};
use crate::http::ownership::Nodes;
use crate::http::request::PathId;
use crate::http::state::{ApiState, Shared};
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::gather::{self, InvalidGather, Prompt, Tones};
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{Gather, OperationAccepted, SendDigits, StopGather};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::speech::Speech;

use super::command::{Command, accepted};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(gather_member))
        .routes(routes!(stop_member))
        .routes(routes!(dtmf_member))
        .routes(routes!(gather_call))
        .routes(routes!(stop_call))
        .routes(routes!(dtmf_call))
}

/// The digits to ask for.
#[derive(ToSchema)]
#[schema(as = Gather)]
#[allow(dead_code, reason = "describes the body")]
struct GatherBody {
    /// The file that the caller hears first: an http or https URL. The first digit interrupts it.
    prompt_url: Option<String>,
    /// The text that the caller hears first, instead of a file. A node needs a speech engine.
    #[schema(min_length = 1, max_length = 1024)]
    prompt_text: Option<String>,
    /// Fewer digits are no input.
    #[schema(minimum = 1, maximum = 64, default = 1)]
    min_digits: Option<u8>,
    /// The last of these digits ends the input.
    #[schema(minimum = 1, maximum = 64)]
    max_digits: u8,
    /// The key that ends the input and is not part of it; an empty text for none.
    #[schema(pattern = "^[0-9*#A-D]?$", default = "#")]
    terminator: Option<String>,
    /// The time for the first digit, after the prompt, in milliseconds.
    #[schema(minimum = 1000, maximum = 60000, default = 5000)]
    timeout_ms: Option<u32>,
    /// The time for each further digit, in milliseconds; as long as `timeout_ms` if omitted.
    #[schema(minimum = 1000, maximum = 60000)]
    inter_digit_timeout_ms: Option<u32>,
    /// The number of attempts, each with the prompt. An attempt with fewer digits than `min_digits` is repeated.
    #[schema(minimum = 1, maximum = 10, default = 1)]
    tries: Option<u8>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The tones to send.
#[derive(ToSchema)]
#[schema(as = Dtmf)]
#[allow(dead_code, reason = "describes the body")]
struct DtmfBody {
    /// Keys of a telephone; `w` pauses for half a second, `W` for a second.
    #[schema(pattern = "^[0-9*#A-DwW]{1,64}$")]
    digits: String,
    /// The duration of each tone in milliseconds; FreeSWITCH's own if omitted.
    #[schema(minimum = 50, maximum = 2000)]
    duration_ms: Option<u16>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The status of a request for digits.
#[derive(ToSchema)]
#[schema(as = KeypadStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum StatusText {
    InProgress,
    Stopping,
}

#[derive(Serialize, ToSchema)]
#[schema(as = KeypadOperation)]
struct Operation {
    operation_id: String,
    #[schema(value_type = StatusText)]
    status: &'static str,
}

/// Ask a member for digits
///
/// The member hears the prompt alone and stays in the conference. Until the request ends, the member does not hear the
/// conference and is not heard there. Its webhook is `conference.member.gathered`, once, with the `operation_id`; if the
/// member leaves first, it is `call.gathered`. One request at a time for each call.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/gather", tag = "commands", operation_id = "collectMemberDigits",
    params(RoomPath, SessionPath),
    request_body(content = GatherBody, example = json!({"prompt_url": "https://cdn.example.com/vote.wav", "max_digits": 1})),
    responses(
        (status = 202, description = "The caller hears the prompt; the webhook has the digits.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The caller is already asked for digits, the member is still joining or leaving, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn gather_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    gather(&state, caller, Target::Member { room, call }, &fields).await
}

/// Stop asking a member for digits
///
/// The webhook of the request comes with the reason `stopped` and the digits so far.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/gather/stop", tag = "commands", operation_id = "stopMemberDigits",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "stop-1"})),
    responses(
        (status = 202, description = "The request is ending; its webhook confirms it.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "stopping"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The caller is not asked for digits, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn stop_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    stop(&state, caller, Target::Member { room, call }, &fields).await
}

/// Send tones to a member
///
/// FreeSWITCH sends the tones to the member's telephone; the others do not hear them. There is no webhook.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/dtmf", tag = "commands", operation_id = "sendMemberDigits",
    params(RoomPath, SessionPath),
    request_body(content = DtmfBody, example = json!({"digits": "1234#"})),
    responses(
        (status = 202, description = "FreeSWITCH sends the tones.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        RoomCommandFailures,
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is still joining or leaving, or the `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn dtmf_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    dtmf(&state, caller, Target::Member { room, call }, &fields).await
}

/// Ask a caller for digits
///
/// For a parked call; a call in a conference stays there. Its webhook is `call.gathered`, or for a member
/// `conference.member.gathered`, once, with the `operation_id`. One request at a time for each call. If the call joins a
/// conference meanwhile, the request ends with the reason `stopped`.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/gather", tag = "commands", operation_id = "collectDigits",
    params(SessionPath),
    request_body(content = GatherBody, example = json!({"prompt_url": "https://cdn.example.com/menu.wav", "max_digits": 1})),
    responses(
        (status = 202, description = "The caller hears the prompt; the webhook has the digits.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 409, description = "The caller is already asked for digits; the call is not answered, runs actions, or is joining or leaving a conference; or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn gather_call(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    gather(&state, caller, Target::Call(call), &fields).await
}

/// Stop asking a caller for digits
///
/// The webhook of the request comes with the reason `stopped` and the digits so far.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/gather/stop", tag = "commands", operation_id = "stopDigits",
    params(SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "stop-1"})),
    responses(
        (status = 202, description = "The request is ending; its webhook confirms it.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "stopping"})),
        (status = 409, description = "The caller is not asked for digits, or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn stop_call(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    stop(&state, caller, Target::Call(call), &fields).await
}

/// Send tones to a call
///
/// FreeSWITCH sends the tones to the telephone. There is no webhook.
#[utoipa::path(
    post, path = "/api/v1/sessions/{uuid}/commands/dtmf", tag = "commands", operation_id = "sendDigits",
    params(SessionPath),
    request_body(content = DtmfBody, example = json!({"digits": "1234#"})),
    responses(
        (status = 202, description = "FreeSWITCH sends the tones.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 409, description = "The call is not answered, or is joining or leaving a conference; or the `command_uid` belongs to another command.", body = Failure),
        SessionCommandFailures,
    )
)]
pub(super) async fn dtmf_call(
    State(state): State<Shared>,
    caller: Caller,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    dtmf(&state, caller, Target::Call(call), &fields).await
}

async fn gather(
    state: &Shared,
    caller: Caller,
    target: Target,
    fields: &Fields,
) -> Result<Response, ApiError> {
    let request = request(state, fields)?;
    let rules = state.settings.play.clone();
    let prompt = request.prompt.url().cloned();
    let wrong = |(_, why): (usize, String)| ApiError::field("prompt_url", why);
    let names = rules.names(&prompt).map_err(wrong)?;
    // Names are resolved only for a caller who may send the command, and not for a repeated one.
    let names_resolve = async move { rules.resolve_all(names).await.map_err(wrong) };
    let request = Box::new(request);
    Command::new(
        caller,
        target,
        Gather { request },
        &route(target, "gather"),
        fields,
    )?
    .with_fresh_uid(state)?
    .checked_by(names_resolve)
    .run(state, |accepted| render(accepted, "in_progress"))
    .await
}

async fn stop(
    state: &Shared,
    caller: Caller,
    target: Target,
    fields: &Fields,
) -> Result<Response, ApiError> {
    Command::new(
        caller,
        target,
        StopGather,
        &route(target, "gather/stop"),
        fields,
    )?
    .run(state, |accepted| render(accepted, "stopping"))
    .await
}

async fn dtmf(
    state: &Shared,
    caller: Caller,
    target: Target,
    fields: &Fields,
) -> Result<Response, ApiError> {
    let digits = fields
        .text("digits")?
        .ok_or_else(|| ApiError::field("digits", "is required"))?;
    let duration = number(fields, "duration_ms", "expected 50 to 2000")?;
    let tones = Tones::new(digits, duration).map_err(|error| invalid(&error))?;
    Command::new(
        caller,
        target,
        SendDigits { tones },
        &route(target, "dtmf"),
        fields,
    )?
    .run(state, |accepted| render(accepted, "in_progress"))
    .await
}

/// Names the command for its idempotency key: the same key for the same call in another room is another command.
fn route(target: Target, command: &str) -> String {
    match target.room() {
        Some(room) => format!("conferences/{room}/{command}"),
        None => command.to_owned(),
    }
}

/// Reads a request for digits.
fn request(state: &Shared, fields: &Fields) -> Result<gather::Gather, ApiError> {
    let digits = "expected 1 to 64";
    let timeouts = "expected 1000 to 60000";
    let max_digits = number(fields, "max_digits", digits)?
        .ok_or_else(|| ApiError::field("max_digits", "is required"))?;
    let timeout_ms = number(fields, "timeout_ms", timeouts)?.unwrap_or(5_000);
    let request = gather::Gather {
        prompt: prompt(state, fields)?,
        min_digits: number(fields, "min_digits", digits)?.unwrap_or(1),
        max_digits,
        terminator: terminator(fields)?,
        timeout_ms,
        inter_digit_timeout_ms: number(fields, "inter_digit_timeout_ms", timeouts)?
            .unwrap_or(timeout_ms),
        tries: number(fields, "tries", "expected 1 to 10")?.unwrap_or(1),
    };
    request.check().map_err(|error| invalid(&error))
}

fn prompt(state: &Shared, fields: &Fields) -> Result<Prompt, ApiError> {
    let text = fields.text("prompt_text")?;
    match (fields.text("prompt_url")?, text) {
        (Some(_), Some(_)) => {
            let why = "cannot be combined with prompt_url";
            Err(ApiError::field("prompt_text", why))
        }
        (Some(url), None) => {
            let url = PlayUrl::new(url).map_err(|why| ApiError::field("prompt_url", why))?;
            Ok(Prompt::Play(url))
        }
        (None, Some(text)) => speech(state, "prompt_text", text).map(Prompt::Talk),
        (None, None) => Ok(Prompt::Silence),
    }
}

/// Parses a text that a node can speak.
pub(super) fn speech(state: &ApiState, name: &str, text: &str) -> Result<Speech, ApiError> {
    let text = Speech::new(text).map_err(|why| ApiError::field(name, why))?;
    if Nodes::now(state).iter().any(|node| node.speaks) {
        Ok(text)
    } else {
        Err(ApiError::field(name, "no node has the speech engine"))
    }
}

fn terminator(fields: &Fields) -> Result<Option<char>, ApiError> {
    let Some(text) = fields.text("terminator")? else {
        return Ok(Some('#'));
    };
    let mut keys = text.chars();
    match (keys.next(), keys.next()) {
        (key, None) => Ok(key),
        (_, Some(_)) => Err(ApiError::field("terminator", "expected one key, or \"\"")),
    }
}

fn number<T: TryFrom<i64>>(
    fields: &Fields,
    name: &str,
    expected: &str,
) -> Result<Option<T>, ApiError> {
    let number = fields.integer(name)?;
    let number = number.map(|number| number.try_into());
    number
        .transpose()
        .map_err(|_| ApiError::field(name, expected))
}

fn invalid(error: &InvalidGather) -> ApiError {
    ApiError::field(error.field, error.expected)
}

fn render(operation: OperationAccepted, status: &'static str) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        operation_id: operation.operation.to_string(),
        status,
    })
}
