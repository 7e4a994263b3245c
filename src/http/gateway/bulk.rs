//! `/conferences/{room_id}/mute`, `/unmute`, `/hangup` and `/commands`: many commands in one request.
//!
//! Each command runs the same steps as one that is sent alone, a few at a time, so that a command of another caller waits
//! for at most those.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::cooldown::run_detached;
use crate::http::error::ApiError;
use crate::http::idempotency;
use crate::http::openapi::schemas::example::{ROOM, SESSION};
use crate::http::openapi::schemas::{
    CommandUidText, Failure, ReadFailures, RoomPath, SessionIdText,
};
use crate::http::request::PathId;
use crate::http::state::{ApiState, Shared};
use crate::reconciler::{Intent, IntentError, Refusal};
use crate::store::EntityId;
use crate::store::limits::StoredAnswer;
use crate::store::room::decode_room;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, CommandUid, RoomId};
use roomkeeper_core::intent::{Action, Hangup, SetFlag};
use roomkeeper_core::room::{Member, MemberFlag, MemberStatus, Role};

use super::command::answered;
use super::{
    coaching, commands, keypad, member_audio, moderation, moves, playback, recording, say, settings,
};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(mute))
        .routes(routes!(unmute))
        .routes(routes!(hangup))
        .routes(routes!(commands))
}

/// The commands of one request that run at a time.
const AT_A_TIME: usize = 8;

/// The most commands of one request.
const MOST_COMMANDS: usize = 100;

/// The largest answer of a single command, in bytes.
const LARGEST_ANSWER: usize = 64 * 1024;

/// The members that a command leaves out.
#[derive(ToSchema)]
#[schema(as = BulkCommand)]
#[allow(dead_code, reason = "describes the body")]
struct BulkBody {
    /// The members that are left out.
    #[schema(value_type = Option<Vec<SessionIdText>>)]
    except: Option<Vec<String>>,
    /// `true`: members with the role `moderator` are left out, too.
    except_moderators: Option<bool>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The results of a command to many members.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkResult {
    /// The members for which FreeSWITCH accepted the command; a webhook confirms each.
    accepted: usize,
    /// The members that had the wanted state.
    unchanged: usize,
    failed: Vec<BulkFailure>,
}

/// A member for which a command failed.
#[derive(Serialize, ToSchema)]
pub(super) struct BulkFailure {
    #[schema(value_type = SessionIdText)]
    session: String,
    /// The status that the command alone would have.
    status: u16,
    error: String,
}

/// An entry of a request with its position.
type NumberedEntry = (usize, Map<String, Value>);

/// Commands to a conference and its members, in order.
#[derive(ToSchema)]
#[schema(as = Commands)]
#[allow(dead_code, reason = "describes the body")]
struct CommandsBody {
    #[schema(min_items = 1, max_items = 100)]
    commands: Vec<CommandEntry>,
}

/// A command: the last part of its path, and the fields of its body.
#[derive(ToSchema)]
#[schema(as = CommandEntry)]
#[allow(dead_code, reason = "describes the body")]
struct CommandEntry {
    /// With `session`: `join`, `leave`, `mute`, `unmute`, `answer`, `hangup`, `kick`, `deaf`, `undeaf`, `move`,
    /// `update`, `hold`, `unhold`, `play`, `say`, `stop`, `coach`, `uncoach`, `gather`, `gather/stop`, `dtmf`,
    /// `recording/start`, `recording/stop`, `recording/pause`, `recording/resume`. Without it: `lock`, `unlock`, `play`,
    /// `say`, `pause`, `stop`, `volume`, `update`, and the same commands of a recording.
    command: String,
    #[schema(value_type = Option<SessionIdText>)]
    session: Option<String>,
}

/// The results, in the order of the commands.
#[derive(Serialize, ToSchema)]
pub(super) struct CommandResults {
    results: Vec<CommandResult>,
}

/// The answer that the command alone would have.
#[derive(Serialize, ToSchema)]
pub(super) struct CommandResult {
    status: u16,
    #[schema(value_type = Object)]
    body: Box<RawValue>,
}

/// Mute all members
///
/// Mutes each member that is not muted. Its webhooks are those of the single command, each with the `command_uid`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/mute", tag = "conferences", operation_id = "muteMembers",
    params(RoomPath),
    request_body(content = BulkBody, example = json!({"except": [SESSION]})),
    responses(
        (status = 202, description = "The results.", body = BulkResult,
         example = json!({"accepted": 3, "unchanged": 1, "failed": []})),
        ReadFailures,
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn mute(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let flag = MemberFlag::Speak;
    let action = SetFlag { flag, on: false };
    for_members(state, caller, room, fields, ("mute", action.into())).await
}

/// Unmute all members
///
/// Unmutes each member that is muted. Its webhooks are those of the single command, each with the `command_uid`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/unmute", tag = "conferences", operation_id = "unmuteMembers",
    params(RoomPath),
    request_body(content = BulkBody, example = json!({"except": [SESSION]})),
    responses(
        (status = 202, description = "The results.", body = BulkResult,
         example = json!({"accepted": 3, "unchanged": 1, "failed": []})),
        ReadFailures,
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn unmute(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let flag = MemberFlag::Speak;
    let action = SetFlag { flag, on: true };
    for_members(state, caller, room, fields, ("unmute", action.into())).await
}

/// Hang up all members
///
/// Ends the call of each member. The conference stays. Its webhooks are those of the single command.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/hangup", tag = "conferences", operation_id = "hangUpMembers",
    params(RoomPath),
    request_body(content = BulkBody, example = json!({"except": [SESSION]})),
    responses(
        (status = 202, description = "The results.", body = BulkResult,
         example = json!({"accepted": 3, "unchanged": 0, "failed": []})),
        ReadFailures,
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
    )
)]
pub(super) async fn hangup(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let action = Hangup { cause: None };
    for_members(state, caller, room, fields, ("hangup", action.into())).await
}

/// Runs an action for each member of the room, once for a `command_uid`.
async fn for_members(
    state: Shared,
    caller: Caller,
    room: RoomId,
    fields: Fields,
    (route, action): (&'static str, Action),
) -> Result<Response, ApiError> {
    let uid: Option<CommandUid> = fields.parsed("command_uid")?;
    let left_out = LeftOut {
        calls: except(&fields)?,
        moderators: fields.boolean("except_moderators")?.unwrap_or(false),
    };
    let head = state.find_room(room).await?;
    state.own_room(&caller, &head)?;
    let key = uid.clone().map(|uid| {
        let about = EntityId::Room(room);
        idempotency::command(about, uid, &format!("all/{route}"), &fields)
    });
    run_detached(async move {
        if let Some(key) = &key
            && let Some(answer) = state.begin(key).await?
        {
            return idempotency::respond(answer);
        }
        let outcome = run_for_members(&state, &caller, room, &left_out, &action, uid).await;
        if let Some(key) = &key {
            state.end(key, &outcome).await;
        }
        idempotency::respond(outcome?)
    })
    .await
}

/// The members that a command leaves out.
struct LeftOut {
    calls: BTreeSet<CallId>,
    moderators: bool,
}

fn except(fields: &Fields) -> Result<BTreeSet<CallId>, ApiError> {
    let texts = fields.texts("except")?.unwrap_or_default();
    let calls = texts.into_iter().enumerate().map(|(index, text)| {
        let wrong = |error| ApiError::field(&format!("except[{index}]"), error);
        text.parse().map_err(wrong)
    });
    calls.collect()
}

async fn run_for_members(
    state: &ApiState,
    caller: &Caller,
    room: RoomId,
    left_out: &LeftOut,
    action: &Action,
    uid: Option<CommandUid>,
) -> Result<StoredAnswer, ApiError> {
    let not_found = || state.refuse(&Refusal::RoomNotFound);
    let record = state.store.read(EntityId::Room(room)).await?;
    let members = decode_room(room, &record.ok_or_else(not_found)?)?;
    let members = members.members().iter();
    let wanted = |(call, member): &(&CallId, &Member)| {
        member.status == MemberStatus::Joined
            && !left_out.calls.contains(call)
            && !(left_out.moderators && member.settings.role == Role::Moderator)
    };
    let calls: Vec<CallId> = members.filter(wanted).map(|(call, _)| *call).collect();
    let outcomes = stream::iter(calls).map(|call| {
        let target = match action {
            Action::Hangup(_) => Target::Call(call),
            _ => Target::Member { room, call },
        };
        let intent = Intent::new(target, caller.app.clone(), action.clone());
        let submitted = state.controller.submit(intent.with_uid(uid.clone()));
        async move { (call, submitted.await) }
    });
    let mut outcomes = outcomes.buffer_unordered(AT_A_TIME);
    let (mut accepted, mut unchanged, mut failed) = (0, 0, Vec::new());
    while let Some((call, outcome)) = outcomes.next().await {
        match outcome {
            Ok(_) => accepted += 1,
            Err(IntentError::Refused(Refusal::FlagAlreadySet { .. })) => unchanged += 1,
            Err(error) => {
                let error = state.failed_on(call.node(), error);
                failed.push(BulkFailure {
                    session: call.to_string(),
                    status: error.status().as_u16(),
                    error: error.text().to_owned(),
                });
            }
        }
    }
    failed.sort_by(|a, b| a.session.cmp(&b.session));
    let result = BulkResult {
        accepted,
        unchanged,
        failed,
    };
    answered(StatusCode::ACCEPTED, &result)
}

/// Run many commands
///
/// The commands run a few at a time, those of one call in order. Each has the answer, the webhooks, the `command_uid` and
/// the cooldown that it would have alone; one that fails stops no other.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/commands", tag = "conferences", operation_id = "runCommands",
    params(RoomPath),
    request_body(content = CommandsBody, example = json!({"commands": [{"command": "mute", "session": SESSION}, {"command": "lock"}]})),
    responses(
        (status = 207, description = "A result for each command, in order.", body = CommandResults,
         example = json!({"results": [{"status": 202, "body": {"status": "muted", "room_id": ROOM}}, {"status": 202, "body": {"status": "in_progress"}}]})),
        ReadFailures,
    )
)]
pub(super) async fn commands(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let entries = entries(&fields)?;
    let head = state.find_room(room).await?;
    state.own_room(&caller, &head)?;
    run_detached(async move {
        let mut lines: Vec<(Option<Value>, Vec<NumberedEntry>)> = Vec::new();
        let total = entries.len();
        for (index, entry) in entries.into_iter().enumerate() {
            let about = entry.get("session").cloned();
            match lines.iter_mut().find(|(line, _)| *line == about) {
                Some((_, line)) => line.push((index, entry)),
                None => lines.push((about, vec![(index, entry)])),
            }
        }
        let runs = lines.into_iter().map(|(_, line)| {
            let (state, caller) = (Arc::clone(&state), caller.clone());
            async move {
                let mut results = Vec::with_capacity(line.len());
                for (index, entry) in line {
                    let answer = run_entry(&state, &caller, room, entry).await;
                    results.push((index, result(answer).await));
                }
                results
            }
        });
        let runs = stream::iter(runs).buffer_unordered(AT_A_TIME);
        let mut results: Vec<(usize, Result<CommandResult, ApiError>)> = Vec::with_capacity(total);
        runs.for_each(|line| {
            results.extend(line);
            std::future::ready(())
        })
        .await;
        results.sort_by_key(|(index, _)| *index);
        let results = results.into_iter().map(|(_, result)| result);
        let results = CommandResults {
            results: results.collect::<Result<_, _>>()?,
        };
        idempotency::respond(answered(StatusCode::MULTI_STATUS, &results)?)
    })
    .await
}

/// Parses the list of commands.
fn entries(fields: &Fields) -> Result<Vec<Map<String, Value>>, ApiError> {
    let list = fields
        .list("commands")?
        .ok_or_else(|| ApiError::field("commands", "is required"))?;
    if list.is_empty() || list.len() > MOST_COMMANDS {
        let why = format!("expected 1 to {MOST_COMMANDS} commands");
        return Err(ApiError::field("commands", why));
    }
    let entries = list
        .into_iter()
        .enumerate()
        .map(|(index, entry)| match entry {
            Value::Object(entry) => Ok(entry),
            _ => {
                let field = format!("commands[{index}]");
                Err(ApiError::field(&field, "expected an object"))
            }
        });
    entries.collect()
}

/// Runs one command by the handler of its own path.
async fn run_entry(
    state: &Shared,
    caller: &Caller,
    room: RoomId,
    mut entry: Map<String, Value>,
) -> Result<Response, ApiError> {
    let name = match entry.remove("command") {
        Some(Value::String(name)) => name,
        _ => return Err(ApiError::field("command", "expected a string")),
    };
    let mut fields = Fields::from_object(entry);
    let call: Option<CallId> = fields.parsed("session")?;
    fields.remove("session");
    let (s, c) = (State(Arc::clone(state)), caller.clone());
    let r = PathId(room);
    let Some(call) = call else {
        return match name.as_str() {
            "lock" => moderation::lock(s, c, r, fields).await,
            "unlock" => moderation::unlock(s, c, r, fields).await,
            "play" => playback::play(s, c, r, fields).await,
            "say" => say::say(s, c, r, fields).await,
            "pause" => playback::pause(s, c, r, fields).await,
            "stop" => playback::stop(s, c, r, fields).await,
            "volume" => playback::volume(s, c, r, fields).await,
            "update" => settings::update_room(s, c, r, fields).await,
            "recording/start" => recording::start(s, c, r, fields).await,
            "recording/stop" => recording::stop(s, c, r, fields).await,
            "recording/pause" => recording::pause(s, c, r, fields).await,
            "recording/resume" => recording::resume(s, c, r, fields).await,
            _ => Err(unknown("without a session")),
        };
    };
    let m = PathId(call);
    match name.as_str() {
        "join" => {
            fields.insert("room_id", json!(room.to_string()));
            commands::join(s, c, m, fields).await
        }
        "leave" => commands::leave(s, c, m, fields).await,
        "mute" => commands::mute(s, c, m, fields).await,
        "unmute" => commands::unmute(s, c, m, fields).await,
        "answer" => commands::answer(s, c, m, fields).await,
        "hangup" => commands::hangup(s, c, m, fields).await,
        "kick" => moderation::kick(s, c, r, m, fields).await,
        "deaf" => moderation::deaf(s, c, r, m, fields).await,
        "undeaf" => moderation::undeaf(s, c, r, m, fields).await,
        "update" => settings::update_member(s, c, r, m, fields).await,
        "move" => moves::move_member(s, c, r, m, fields).await,
        "hold" => member_audio::hold(s, c, r, m, fields).await,
        "unhold" => member_audio::unhold(s, c, r, m, fields).await,
        "play" => member_audio::play(s, c, r, m, fields).await,
        "say" => say::say_member(s, c, r, m, fields).await,
        "stop" => member_audio::stop(s, c, r, m, fields).await,
        "coach" => coaching::coach(s, c, r, m, fields).await,
        "uncoach" => coaching::uncoach(s, c, r, m, fields).await,
        "gather" => keypad::gather_member(s, c, r, m, fields).await,
        "gather/stop" => keypad::stop_member(s, c, r, m, fields).await,
        "dtmf" => keypad::dtmf_member(s, c, r, m, fields).await,
        "recording/start" => recording::start_member(s, c, r, m, fields).await,
        "recording/stop" => recording::stop_member(s, c, r, m, fields).await,
        "recording/pause" => recording::pause_member(s, c, r, m, fields).await,
        "recording/resume" => recording::resume_member(s, c, r, m, fields).await,
        _ => Err(unknown("with a session")),
    }
}

fn unknown(which: &str) -> ApiError {
    ApiError::field("command", format!("is not a command {which}"))
}

/// Converts the answer of one command.
async fn result(answer: Result<Response, ApiError>) -> Result<CommandResult, ApiError> {
    let answer = answer.unwrap_or_else(IntoResponse::into_response);
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), LARGEST_ANSWER).await;
    let body = body.map_err(|error| ApiError::internal(&error))?;
    let body = serde_json::from_slice(&body).map_err(|error| ApiError::internal(&error))?;
    Ok(CommandResult { status, body })
}
