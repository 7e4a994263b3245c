//! `/conferences/{room_id}/play`, `/pause`, `/stop`, `/volume`.
//!
//! `media::rules` decides which files may be played.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::body::Fields;
use crate::http::cooldown::{CONF_PLAY, CONFERENCE_CONTROL};
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::OPERATION;
use crate::http::openapi::schemas::{
    CommandBody, CommandUidText, Failure, RoomCommandFailures, RoomPath,
};
use crate::http::request::PathId;
use crate::http::state::Shared;
use crate::store::limits::StoredAnswer;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{OperationId, RoomId};
use roomkeeper_core::intent::{
    OperationAccepted, Pause, PauseAccepted, Play, SetVolume, Stop, StopAccepted, VolumeAccepted,
};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::Media;
use roomkeeper_core::room::Playback;

use super::command::{Command, accepted};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(play))
        .routes(routes!(pause))
        .routes(routes!(stop))
        .routes(routes!(volume))
}

/// The state of playback.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum PlaybackStatus {
    Playing,
    Paused,
    Stopped,
}

/// The files to play.
#[derive(ToSchema)]
#[schema(as = Play)]
#[allow(dead_code, reason = "describes the body")]
pub(super) struct PlayBody {
    /// http or https URLs of the files, in the order of playback.
    #[schema(min_items = 1, max_items = 128)]
    urls: Vec<String>,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// A playback volume.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct NewVolume {
    /// In decibels, for the current and all later playback.
    #[schema(minimum = -50, maximum = 7)]
    volume: i64,
    #[schema(value_type = Option<CommandUidText>)]
    command_uid: Option<String>,
}

/// The maximum number of files of one operation.
const MAX_FILES: usize = 128;

/// The accepted volumes, in decibels.
const VOLUMES: std::ops::RangeInclusive<i64> = -50..=7;

/// The effect of an accepted playback command. `in_progress` also follows a resumed playback.
#[derive(ToSchema)]
#[schema(as = PlaybackOperationStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum OperationStatusText {
    InProgress,
    Paused,
    Stopped,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackOperation)]
pub(super) struct Operation {
    operation_id: String,
    #[schema(value_type = OperationStatusText)]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackVolume)]
pub(super) struct Volume {
    operation_id: String,
    volume: i8,
}

/// `playback_status` of a room.
pub(super) fn status(playback: &Playback) -> &'static str {
    match (playback.head(), playback.paused()) {
        (None, _) => "stopped",
        (Some(_), true) => "paused",
        (Some(_), false) => "playing",
    }
}

/// Play files to a conference
///
/// The files are queued after those that already play. The webhook `conference.play.started` comes at once,
/// `conference.play.finished` after the last file.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/play", tag = "playback", operation_id = "startPlayback",
    params(RoomPath),
    request_body(content = PlayBody, example = json!({"urls": ["https://cdn.example.com/announcement.wav"]})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 409, description = "The conference has no members, the playback queue is full, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn play(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let urls = urls(&fields)?;
    let names_resolve = names_resolve(&state, &urls)?;
    let media = urls.into_iter().map(Media::Url).collect();
    Command::new(caller, Target::Room(room), Play { media }, "play", &fields)?
        .checked_by(names_resolve)
        .in_group(&CONF_PLAY)
        .run(&state, render_play)
        .await
}

/// Pause or resume playback
///
/// Its webhook is `conference.play.paused` or `conference.play.resumed`.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/pause", tag = "playback", operation_id = "pausePlayback",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "pause-1"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "paused"})),
        (status = 409, description = "Nothing is playing, or the `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn pause(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    Command::new(caller, Target::Room(room), Pause, "pause", &fields)?
        .in_group(&CONFERENCE_CONTROL)
        .run(&state, render_pause)
        .await
}

/// Stop all playback
///
/// Its webhook is `conference.play.stopped`, one for each operation. If nothing plays, `operation_id` is empty.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/stop", tag = "playback", operation_id = "stopPlayback",
    params(RoomPath),
    request_body(content = CommandBody, example = json!({"command_uid": "stop-1"})),
    responses(
        (status = 202, description = "The command is accepted.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "stopped"})),
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    Command::new(caller, Target::Room(room), Stop, "stop", &fields)?
        .in_group(&CONFERENCE_CONTROL)
        .run(&state, render_stop)
        .await
}

/// Set the playback volume
///
/// Its webhook is `conference.play.volume_changed`. If nothing plays, `operation_id` is empty.
#[utoipa::path(
    post, path = "/api/v1/conferences/{room_id}/volume", tag = "playback", operation_id = "setPlaybackVolume",
    params(RoomPath),
    request_body(content = NewVolume, example = json!({"volume": 2})),
    responses(
        (status = 202, description = "The command is accepted.", body = Volume,
         example = json!({"operation_id": OPERATION, "volume": 2})),
        (status = 409, description = "The `command_uid` belongs to another command.", body = Failure),
        RoomCommandFailures,
    )
)]
pub(super) async fn volume(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let volume = fields
        .integer("volume")?
        .ok_or_else(|| ApiError::field("volume", "is required"))?;
    let volume = i8::try_from(volume)
        .ok()
        .filter(|v| VOLUMES.contains(&i64::from(*v)))
        .ok_or_else(|| ApiError::field("volume", "expected -50 to 7"))?;
    let target = Target::Room(room);
    Command::new(caller, target, SetVolume { volume }, "volume", &fields)?
        .in_group(&CONFERENCE_CONTROL)
        .run(&state, render_volume)
        .await
}

/// Checks that the files may be played. The returned check resolves their hosts: only for a caller who may play, and not for a
/// repeated command.
pub(super) fn names_resolve(
    state: &Shared,
    urls: &[PlayUrl],
) -> Result<impl Future<Output = Result<(), ApiError>> + Send + use<>, ApiError> {
    let rules = state.settings.play.clone();
    let names = rules
        .names(urls)
        .map_err(|(index, why)| bad_url(index, &why))?;
    Ok(async move {
        let resolved = rules.resolve_all(names).await;
        resolved.map_err(|(index, why)| bad_url(index, &why))
    })
}

pub(super) fn urls(fields: &Fields) -> Result<Vec<PlayUrl>, ApiError> {
    let texts = fields
        .texts("urls")?
        .ok_or_else(|| ApiError::field("urls", "is required"))?;
    if texts.is_empty() || texts.len() > MAX_FILES {
        return Err(ApiError::field(
            "urls",
            format!("expected 1 to {MAX_FILES} URLs"),
        ));
    }
    texts
        .into_iter()
        .enumerate()
        .map(|(index, text)| PlayUrl::new(text).map_err(|why| bad_url(index, &why)))
        .collect()
}

fn bad_url(index: usize, why: &impl std::fmt::Display) -> ApiError {
    ApiError::field(&format!("urls[{index}]"), why)
}

pub(super) fn render_play(play: OperationAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        operation_id: play.operation.to_string(),
        status: "in_progress",
    })
}

fn render_pause(pause: PauseAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        operation_id: pause.operation.to_string(),
        status: if pause.paused {
            "paused"
        } else {
            "in_progress"
        },
    })
}

pub(super) fn render_stop(stop: StopAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Operation {
        operation_id: or_empty(stop.operation),
        status: "stopped",
    })
}

fn render_volume(set: VolumeAccepted) -> Result<StoredAnswer, ApiError> {
    accepted(&Volume {
        operation_id: or_empty(set.operation),
        volume: set.volume,
    })
}

/// The operation's id, or an empty text for none.
fn or_empty(operation: Option<OperationId>) -> String {
    operation.map_or_else(String::new, |id| id.to_string())
}
