//! `/conferences/{room_id}/play`, `/pause`, `/stop`, `/volume`: what plays in a room.
//!
//! Which files may be played is in `play_rules`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::limits::{CONF_PLAY, CONFERENCE_CONTROL, Group, to_the_end};
use crate::api::request::PathId;
use crate::api::{ApiState, Shared};
use crate::ids::{CommandUid, RoomId};
use crate::play_url::PlayUrl;
use crate::reconciler::{Accepted, Intent};
use crate::room::Playback;
use crate::store::EntityId;

/// Files that one operation may have.
const MOST_FILES: usize = 128;

/// The volumes that there are, in decibels.
const VOLUMES: std::ops::RangeInclusive<i64> = -50..=7;

#[derive(Serialize, ToSchema)]
#[schema(as = PlaybackOperation)]
pub(super) struct Operation {
    operation_id: String,
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

/// `POST …/play`.
pub(super) async fn play(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let urls = urls(&fields)?;
    let rules = &state.settings.play;
    let names = rules
        .names(&urls)
        .map_err(|(index, why)| bad_url(index, &why))?;
    let command_uid = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    // Names are resolved for those only who may play at all.
    rules
        .resolve_all(names)
        .await
        .map_err(|(index, why)| bad_url(index, &why))?;
    let intent = Intent::Play {
        room,
        app: caller.app,
        urls,
        command_uid,
    };
    command(&state, &CONF_PLAY, room, intent).await
}

/// `POST …/pause`.
pub(super) async fn pause(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let command_uid = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Pause {
        room,
        app: caller.app,
        command_uid,
    };
    command(&state, &CONFERENCE_CONTROL, room, intent).await
}

/// `POST …/stop`.
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let command_uid = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Stop {
        room,
        app: caller.app,
        command_uid,
    };
    command(&state, &CONFERENCE_CONTROL, room, intent).await
}

/// `POST …/volume`.
pub(super) async fn volume(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let volume = fields
        .integer("volume")?
        .ok_or_else(|| ApiError::field("volume", "it is required"))?;
    let volume = i8::try_from(volume)
        .ok()
        .filter(|v| VOLUMES.contains(&i64::from(*v)))
        .ok_or_else(|| ApiError::field("volume", "expected -50 to 7"))?;
    let command_uid = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Volume {
        room,
        app: caller.app,
        volume,
        command_uid,
    };
    command(&state, &CONFERENCE_CONTROL, room, intent).await
}

fn urls(fields: &Fields) -> Result<Vec<PlayUrl>, ApiError> {
    let texts = fields
        .texts("urls")?
        .ok_or_else(|| ApiError::field("urls", "it is required"))?;
    if texts.is_empty() || texts.len() > MOST_FILES {
        return Err(ApiError::field(
            "urls",
            format!("expected 1 to {MOST_FILES} URLs"),
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

/// The caller's id of the command. A room's operations have ids of their own, so none is made.
fn given_uid(fields: &Fields) -> Result<Option<CommandUid>, ApiError> {
    fields.parsed("command_uid")
}

async fn own(state: &ApiState, caller: &Caller, room: RoomId) -> Result<(), ApiError> {
    let head = state.find_room(room).await?;
    state.own_room(caller, &head)
}

/// The cooldown, the domain call and its answer.
async fn command(
    state: &Shared,
    group: &'static Group,
    room: RoomId,
    intent: Intent,
) -> Result<Response, ApiError> {
    let asked = Arc::clone(state);
    let accepted = to_the_end(async move {
        asked
            .submit_cooled(group, EntityId::Room(room), intent)
            .await
    })
    .await?;
    answer(accepted)
}

fn answer(accepted: Accepted) -> Result<Response, ApiError> {
    let operation = |id: String, status: &'static str| {
        let body = Operation {
            operation_id: id,
            status,
        };
        (StatusCode::ACCEPTED, Json(body)).into_response()
    };
    Ok(match accepted {
        Accepted::Playing { operation: id } => operation(id.to_string(), "in_progress"),
        Accepted::Toggled {
            operation: id,
            paused,
        } => operation(
            id.to_string(),
            if paused { "paused" } else { "in_progress" },
        ),
        Accepted::Stopped { operation: id } => {
            operation(id.map_or_else(String::new, |id| id.to_string()), "stopped")
        }
        Accepted::VolumeSet {
            operation: id,
            volume,
        } => {
            let body = Volume {
                operation_id: id.map_or_else(String::new, |id| id.to_string()),
                volume,
            };
            (StatusCode::ACCEPTED, Json(body)).into_response()
        }
        other @ (Accepted::Created
        | Accepted::Updated
        | Accepted::Deleted
        | Accepted::Recording { .. }
        | Accepted::RecordingStops { .. }
        | Accepted::Joining { .. }
        | Accepted::AlreadyJoined { .. }
        | Accepted::Leaving { .. }
        | Accepted::Muted { .. }
        | Accepted::Unmuted { .. }
        | Accepted::InProgress { .. }) => {
            return Err(ApiError::internal(&format!(
                "a command about what plays was answered {other:?}"
            )));
        }
    })
}
