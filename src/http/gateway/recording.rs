//! `/conferences/{room_id}/recording/start`, `stop`, `pause`, `resume`, and the same under `/members/{uuid}`.

use std::borrow::Cow;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::{
    AnnouncementText, CommandBody, CommandUidText, Failure, RoomCommandFailures, RoomPath,
    SessionPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{CallId, RoomId};
use roomkeeper_core::intent::{PauseRecording, RecordingAccepted, StartRecording, StopRecording};
use roomkeeper_core::room::Announcement;

use super::command::{Command, accepted};
use super::say;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(stop))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(start_member))
        .routes(routes!(stop_member))
        .routes(routes!(pause_member))
        .routes(routes!(resume_member))
}

/// The state of a recording.
#[derive(ToSchema)]
#[schema(as = RecordingStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum RecordingStatusText {
    /// The announcement waits or plays.
    Announcing,
    Starting,
    Recording,
    Paused,
    Stopping,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RecordingOperation)]
pub(super) struct Operation {
    recording_id: String,
    #[schema(value_type = RecordingStatusText)]
    status: &'static str,
}

/// A request to record a conference.
#[derive(ToSchema)]
#[schema(as = StartRecording)]
#[allow(dead_code, reason = "describes the body")]
struct StartBody {
    /// Replaces the setting `announce_recording` of the conference.
    announcement: Option<AnnouncementText>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// Record a conference
///
/// An announcement plays to all first, after what is playing and before what waits; `recording_status` is `announcing` until
/// it has ended. If it is not played to its end, the conference is not recorded: the webhook is
/// `conference.recording.failed` with the reason `announcement`. Members that join later do not hear it.
/// Its webhook is `conference.recording.started` when FreeSWITCH writes the file, or `conference.recording.failed`. The
/// recording ends when it is stopped or when the last member leaves; then `conference.recording.stopped` comes.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/recording/start", tag = "playback", operation_id = "startRecording",
    params(RoomPath),
    request_body(content = StartBody, example = json!({"announcement": {"text": "This conference is recorded."}, "command_uid": "record-1"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "starting"})),
        (status = 409, description = "The conference has no members, waits for a moderator or is already recorded, the playback queue has no room for the announcement, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn start(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let announcement = fields.get("announcement");
    let announcement = announcement.map(|value| say::announcement(&state, "announcement", value));
    let announcement = announcement.transpose()?;
    let bad_url = |(_, why): (usize, String)| ApiError::field("announcement.url", why);
    let rules = state.settings.play.clone();
    let names = rules.names(announcement.iter().filter_map(Announcement::url));
    let names = names.map_err(bad_url)?;
    let speaks = announcement
        .as_ref()
        .is_some_and(|announcement| announcement.url().is_none())
        .then(|| say::speech_engine(&state, room.node(), "announcement.text"));
    let can_announce = async move {
        if let Some(speaks) = speaks {
            speaks.await?;
        }
        rules.resolve_all(names).await.map_err(bad_url)
    };
    let start = StartRecording { announcement };
    Command::new(
        caller,
        Target::Room(room),
        start,
        "recording/start",
        &fields,
    )?
    .checked_by(can_announce)
    .run(&state, |recording| render(recording, "starting"))
    .await
}

/// Stop the recording of a conference
///
/// Its webhook is `conference.recording.stopped`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/recording/stop", tag = "playback", operation_id = "stopRecording",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-2"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "stopping"})),
        (status = 409, description = "The conference is not recorded, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    run_stop(&state, caller, Target::Room(room), &fields).await
}

/// Pause the recording of a conference
///
/// The pause is cut out of the file. Its webhook is `conference.recording.paused`; `recording_status` is then `paused`. A
/// recording that is paused already gets no command, and no webhook.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/recording/pause", tag = "playback", operation_id = "pauseRecording",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-3"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "paused"})),
        (status = 409, description = "The conference is not recorded, its recording has not started yet or is ending, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn pause(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    run_pause(&state, caller, Target::Room(room), &fields, true).await
}

/// Resume the recording of a conference
///
/// Its webhook is `conference.recording.resumed`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/recording/resume", tag = "playback", operation_id = "resumeRecording",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-4"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "recording"})),
        (status = 409, description = "The conference is not recorded, its recording has not started yet or is ending, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn resume(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    run_pause(&state, caller, Target::Room(room), &fields, false).await
}

/// Record one member of a conference
///
/// The file contains what this member says, also while it is muted, and nothing else. Its webhook is
/// `conference.member.recording.started` when FreeSWITCH writes the file, or `conference.member.recording.failed`. The
/// recording ends when it is stopped or when the member leaves; then `conference.member.recording.stopped` comes. At most
/// 100 members of a conference are recorded at the same time.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/recording/start", tag = "playback", operation_id = "startMemberRecording",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-5"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "starting"})),
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is already recorded, joining or leaving, or too many members are recorded, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn start_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Member { room, call };
    let (start, route) = (StartRecording::default(), route(target, "recording/start"));
    Command::new(caller, target, start, &route, &fields)?
        .run(&state, |recording| render(recording, "starting"))
        .await
}

/// Stop the recording of one member
///
/// Its webhook is `conference.member.recording.stopped`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/recording/stop", tag = "playback", operation_id = "stopMemberRecording",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-6"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "stopping"})),
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is not recorded, or joining or leaving, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn stop_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    run_stop(&state, caller, Target::Member { room, call }, &fields).await
}

/// Pause the recording of one member
///
/// The file has silence for the time of the pause. Its webhook is `conference.member.recording.paused`. A recording that
/// is paused already gets no command, and no webhook.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/recording/pause", tag = "playback", operation_id = "pauseMemberRecording",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-7"})),
    responses(
        (status = 202, description = "FreeSWITCH carried out the command.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "paused"})),
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is not recorded, or its recording has not started yet or is ending, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn pause_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    run_pause(&state, caller, Target::Member { room, call }, &fields, true).await
}

/// Resume the recording of one member
///
/// Its webhook is `conference.member.recording.resumed`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/members/{uuid}/recording/resume", tag = "playback", operation_id = "resumeMemberRecording",
    params(RoomPath, SessionPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-8"})),
    responses(
        (status = 202, description = "FreeSWITCH carried out the command.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "recording"})),
        (status = 404, description = "The conference does not exist, or the call is not in it.", body = Failure),
        (status = 409, description = "The member is not recorded, or its recording has not started yet or is ending, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn resume_member(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    PathId(call): PathId<CallId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    run_pause(
        &state,
        caller,
        Target::Member { room, call },
        &fields,
        false,
    )
    .await
}

async fn run_stop(
    state: &Shared,
    caller: Caller,
    target: Target,
    fields: &Fields,
) -> Result<Response, ApiError> {
    let route = route(target, "recording/stop");
    Command::new(caller, target, StopRecording, &route, fields)?
        .run(state, |recording| render(recording, "stopping"))
        .await
}

async fn run_pause(
    state: &Shared,
    caller: Caller,
    target: Target,
    fields: &Fields,
    pause: bool,
) -> Result<Response, ApiError> {
    let verb = if pause {
        "recording/pause"
    } else {
        "recording/resume"
    };
    let command = Command::new(
        caller,
        target,
        PauseRecording { pause },
        &route(target, verb),
        fields,
    )?;
    if pause {
        command
            .run(state, |recording| render(recording, "paused"))
            .await
    } else {
        command
            .run(state, |recording| render(recording, "recording"))
            .await
    }
}

/// The route that distinguishes a command from another one with the same id. Ids count by the call if there is one, so
/// the same id for the same call in another room is another command.
fn route(target: Target, verb: &str) -> Cow<'_, str> {
    match target {
        Target::Member { room, .. } => Cow::Owned(format!("conferences/{room}/{verb}")),
        Target::Room(_) | Target::Call(_) => Cow::Borrowed(verb),
    }
}

fn render(recording: RecordingAccepted, status: &'static str) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        recording_id: recording.recording.to_string(),
        status,
    })
}
