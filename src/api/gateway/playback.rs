//! `/conferences/{room_id}/play`, `/pause`, `/stop`, `/volume`: what plays in a room.
//!
//! Which files may be played is in `media::rules`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::access::LookUp;
use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::limits::{CONF_PLAY, CONFERENCE_CONTROL};
use crate::api::request::PathId;
use crate::ids::{OperationId, RoomId};
use crate::play_url::PlayUrl;
use crate::reconciler::{Accepted, Intent};
use crate::room::Playback;
use crate::store::EntityId;
use crate::store::gate::CommandAnswer;

use super::asked::{Asked, answered, given_uid, own};

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
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Play {
        room,
        app: caller.app,
        urls,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "play", given, &fields);
    // Names are resolved for those only who may play at all, and whose command was not answered already.
    let rules = rules.clone();
    let names_are_good = async move {
        let resolved = rules.resolve_all(names).await;
        resolved.map_err(|(index, why)| bad_url(index, &why))
    };
    asked
        .of(&CONF_PLAY)
        .carried_out(&state, names_are_good, LookUp::done(), intent, render)
        .await
}

/// `POST …/pause`.
pub(super) async fn pause(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Pause {
        room,
        app: caller.app,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "pause", given, &fields);
    command(&state, asked.of(&CONFERENCE_CONTROL), intent).await
}

/// `POST …/stop`.
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Stop {
        room,
        app: caller.app,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "stop", given, &fields);
    command(&state, asked.of(&CONFERENCE_CONTROL), intent).await
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
    let given = given_uid(&fields)?;
    own(&state, &caller, room).await?;
    let intent = Intent::Volume {
        room,
        app: caller.app,
        volume,
        command_uid: given.clone(),
    };
    let asked = Asked::new(EntityId::Room(room), "volume", given, &fields);
    command(&state, asked.of(&CONFERENCE_CONTROL), intent).await
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

/// The commands that look at nothing but the state.
async fn command(state: &Shared, asked: Asked, intent: Intent) -> Result<Response, ApiError> {
    let nothing = std::future::ready(Ok(()));
    asked
        .carried_out(state, nothing, LookUp::done(), intent, render)
        .await
}

fn render(accepted: Accepted) -> Result<CommandAnswer, ApiError> {
    let (operation_id, status) = match accepted {
        Accepted::Playing { operation } => (operation.to_string(), "in_progress"),
        Accepted::Toggled { operation, paused } => (
            operation.to_string(),
            if paused { "paused" } else { "in_progress" },
        ),
        Accepted::Stopped { operation } => (or_empty(operation), "stopped"),
        Accepted::VolumeSet { operation, volume } => {
            let operation_id = or_empty(operation);
            let body = Volume {
                operation_id,
                volume,
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
    };
    let body = Operation {
        operation_id,
        status,
    };
    answered(StatusCode::ACCEPTED, &body)
}

/// The empty text stands for nothing that plays.
fn or_empty(operation: Option<OperationId>) -> String {
    operation.map_or_else(String::new, |id| id.to_string())
}
