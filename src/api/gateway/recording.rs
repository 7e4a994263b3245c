//! `/conferences/{room_id}/recording/start` and `/recording/stop`.

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
use crate::api::request::PathId;
use crate::ids::{AppId, CommandUid, RoomId};
use crate::reconciler::{Accepted, Intent};
use crate::room::{Recording, RecordingStatus};
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

/// The word for where a recording stands.
pub(super) const fn status(recording: &Recording) -> &'static str {
    match recording.status {
        RecordingStatus::Starting { .. } => "starting",
        RecordingStatus::Active => "recording",
        RecordingStatus::Stopping { .. } => "stopping",
    }
}

/// `POST …/recording/start`.
pub(super) async fn start(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    command(&state, caller, room, "start", &fields, Intent::record_start).await
}

/// `POST …/recording/stop`.
pub(super) async fn stop(
    State(state): State<Shared>,
    caller: Caller,
    PathId(room): PathId<RoomId>,
    fields: Fields,
) -> Result<Response, ApiError> {
    command(&state, caller, room, "stop", &fields, Intent::record_stop).await
}

async fn command(
    state: &Shared,
    caller: Caller,
    room: RoomId,
    what: &str,
    fields: &Fields,
    intent: fn(RoomId, AppId, Option<CommandUid>) -> Intent,
) -> Result<Response, ApiError> {
    let given = given_uid(fields)?;
    own(state, &caller, room).await?;
    let intent = intent(room, caller.app, given.clone());
    let route = format!("recording/{what}");
    let asked = Asked::new(EntityId::Room(room), &route, given, fields);
    let nothing = std::future::ready(Ok(()));
    asked
        .carried_out(state, nothing, LookUp::done(), intent, render)
        .await
}

fn render(accepted: Accepted) -> Result<CommandAnswer, ApiError> {
    let (recording, status) = if let Accepted::Recording { recording } = accepted {
        (recording, "starting")
    } else if let Accepted::RecordingStops { recording } = accepted {
        (recording, "stopping")
    } else {
        let why = format!("a command about a recording was answered {accepted:?}");
        return Err(ApiError::internal(&why));
    };
    let body = Operation {
        recording_id: recording.to_string(),
        status,
    };
    answered(StatusCode::ACCEPTED, &body)
}
