//! `/conferences/{room_id}/recording/start` and `/recording/stop`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::auth::Caller;
use crate::api::body::Fields;
use crate::api::error::ApiError;
use crate::api::request::PathId;
use crate::ids::RoomId;
use crate::reconciler::{Accepted, Intent};
use crate::store::EntityId;
use crate::store::gate::CommandAnswer;

use super::asked::{Asked, answered, given_uid, own};

#[derive(Serialize, ToSchema)]
#[schema(as = RecordingOperation)]
pub(super) struct Operation {
    recording_id: String,
    /// `starting` or `stopping`.
    status: &'static str,
}

/// `POST …/recording/start`.
pub(super) async fn start(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    command(&state, caller, room, "recording/start", &fields, true).await
}

/// `POST …/recording/stop`.
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    command(&state, caller, room, "recording/stop", &fields, false).await
}

async fn command(
    state: &Shared,
    caller: Caller,
    room: RoomId,
    route: &str,
    fields: &Fields,
    start: bool,
) -> Result<Response, ApiError> {
    let given = given_uid(fields)?;
    own(state, &caller, room).await?;
    let (app, command_uid) = (caller.app, given.clone());
    let intent = if start {
        Intent::RecordStart {
            room,
            app,
            command_uid,
        }
    } else {
        Intent::RecordStop {
            room,
            app,
            command_uid,
        }
    };
    let asked = Asked::new(EntityId::Room(room), route, given, fields);
    let nothing = std::future::ready(Ok(()));
    asked.carried_out(state, nothing, intent, render).await
}

fn render(accepted: Accepted) -> Result<CommandAnswer, ApiError> {
    let (recording, status) = match accepted {
        Accepted::Recording { recording } => (recording, "starting"),
        Accepted::RecordingStops { recording } => (recording, "stopping"),
        other @ (Accepted::Created
        | Accepted::Updated
        | Accepted::Deleted
        | Accepted::Joining { .. }
        | Accepted::AlreadyJoined { .. }
        | Accepted::Leaving { .. }
        | Accepted::Muted { .. }
        | Accepted::Unmuted { .. }
        | Accepted::Playing { .. }
        | Accepted::Toggled { .. }
        | Accepted::Stopped { .. }
        | Accepted::VolumeSet { .. }
        | Accepted::InProgress { .. }) => {
            return Err(ApiError::internal(&format!(
                "a command about a recording was answered {other:?}"
            )));
        }
    };
    let body = Operation {
        recording_id: recording.to_string(),
        status,
    };
    answered(StatusCode::ACCEPTED, &body)
}
