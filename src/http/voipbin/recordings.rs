//! `/recordings`: recordings of conferences. Their files are on the nodes.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::lists::{self, Listed, Source};
use crate::http::openapi::schemas::ReadFailures;
use crate::http::ownership::Nodes;
use crate::http::state::Shared;
use crate::store::view::{RecordingRecord, decode_recording};
use crate::store::{StoreError, ViewId, ViewKind, keys};
use roomkeeper_core::ids::RecordingId;

use super::auth::Customer;
use super::forms::Recording;
use super::request::{self, Page, PathUuid};
use super::schemas::{self, OfConference, RecordingPath, VoipbinPage};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
}

#[derive(Serialize, ToSchema)]
pub(super) struct RecordingList {
    result: Vec<Recording>,
    next_page_token: String,
}

/// List recordings
///
/// Ordered by creation time. Ended ones are listed for a limited time.
#[utoipa::path(
    get, path = "/v1.0/recordings", tag = "recordings (VoIPBIN)", operation_id = "listRecordings",
    params(VoipbinPage, OfConference),
    responses(
        (status = 200, description = "A page of at most 100 rows.", body = RecordingList,
         example = json!({"result": [schemas::recording()], "next_page_token": ""})),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    customer: Customer,
    page: Page,
) -> Result<Json<RecordingList>, ApiError> {
    let room = match page.conference.map(request::room) {
        None => None,
        Some(Some(room)) => Some(room),
        // No conference has this id, so it has no recordings.
        Some(None) => {
            return Ok(Json(RecordingList {
                result: Vec::new(),
                next_page_token: String::new(),
            }));
        }
    };
    let (state, customer) = (&state, &customer);
    let foreign = &AtomicBool::new(false);
    let rows = lists::page(
        state,
        &Nodes::now(state),
        &customer.caller,
        (
            Source::Views(ViewKind::Recording, room),
            List::Recordings(room),
        ),
        (page.token.as_deref(), page.size),
        |listed| async move {
            let Listed::View(ViewId::Recording(id)) = listed else {
                return Ok(None);
            };
            let record = read(state, id).await?;
            let there = record.is_some();
            let own = record.filter(|record| record.app == customer.caller.app);
            foreign.fetch_or(there && own.is_none(), Ordering::Relaxed);
            Ok(own.map(|record| Recording::from_record(id.uuid(), &record, customer.id)))
        },
    )
    .await?;
    // Another app's conference reveals nothing, not even the length of its list.
    let cursor = if foreign.load(Ordering::Relaxed) {
        String::new()
    } else {
        rows.cursor
    };
    Ok(Json(RecordingList {
        result: rows.rows,
        next_page_token: cursor,
    }))
}

/// Read a recording
#[utoipa::path(
    get, path = "/v1.0/recordings/{recording_id}", tag = "recordings (VoIPBIN)", operation_id = "getRecording",
    params(RecordingPath),
    responses(
        (status = 200, description = "The recording. Its file is on the node.", body = Recording,
         example = json!(schemas::recording())),
        ReadFailures,
    )
)]
pub(super) async fn get(
    State(state): State<Shared>,
    customer: Customer,
    PathUuid(id): PathUuid,
) -> Result<Json<Recording>, ApiError> {
    let not_found = || ApiError::not_found("recording not found");
    let recording: RecordingId = id.to_string().parse().map_err(|_| not_found())?;
    let record = read(&state, recording).await?.ok_or_else(not_found)?;
    if record.app != customer.caller.app {
        return Err(state.foreign("recording"));
    }
    Ok(Json(Recording::from_record(id, &record, customer.id)))
}

async fn read(state: &Shared, id: RecordingId) -> Result<Option<RecordingRecord>, StoreError> {
    let views = state
        .store
        .read_views(id.node(), &[ViewId::Recording(id)])
        .await?;
    let body = views.into_iter().next().flatten();
    body.map(|body| decode_recording(&keys::view(ViewId::Recording(id)), &body))
        .transpose()
}
