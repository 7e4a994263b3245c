//! `/conferences/{room_id}/recording/start` and `/recording/stop`.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::{CommandBody, Failure, RoomCommandFailures, RoomPath};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::RoomId;
use roomkeeper_core::intent::{RecordingAccepted, StartRecording, StopRecording};
use roomkeeper_core::room::{Recording, RecordingStatus};

use super::command::{Command, accepted};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(stop))
}

/// The state of a conference's recording.
#[derive(ToSchema)]
#[schema(as = RecordingStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum RecordingStatusText {
    Starting,
    Recording,
    Stopping,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RecordingOperation)]
pub(super) struct Operation {
    recording_id: String,
    #[schema(value_type = RecordingStatusText)]
    status: &'static str,
}

/// The name of a recording's status.
pub(super) const fn status(recording: &Recording) -> &'static str {
    match recording.status {
        RecordingStatus::Starting { .. } => "starting",
        RecordingStatus::Active => "recording",
        RecordingStatus::Stopping { .. } => "stopping",
    }
}

/// Record a conference
///
/// Its webhook is `conference.recording.started` when FreeSWITCH writes the file, or `conference.recording.failed`. The
/// recording ends when it is stopped or when the last member leaves; then `conference.recording.stopped` comes.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/recording/start", tag = "playback", operation_id = "startRecording",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "record-1"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"recording_id": "f1d1c8e2-8e0b-8a3a-9d10-4f3c7a1f6b11", "status": "starting"})),
        (status = 409, description = "The conference has no members or is already recorded, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn start(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let target = Target::Room(room);
    Command::new(caller, target, StartRecording, "recording/start", &fields)?
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
    let target = Target::Room(room);
    Command::new(caller, target, StopRecording, "recording/stop", &fields)?
        .run(&state, |recording| render(recording, "stopping"))
        .await
}

fn render(recording: RecordingAccepted, status: &'static str) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        recording_id: recording.recording.to_string(),
        status,
    })
}
