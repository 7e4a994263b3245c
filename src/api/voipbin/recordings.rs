//! `/recordings`: recordings of conferences. Their files are on the nodes.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::access::Nodes;
use crate::api::cursor::List;
use crate::api::error::ApiError;
use crate::api::lists::{self, Listed, Source};
use crate::ids::RecordingId;
use crate::store::view::{RecordingRecord, decode_recording};
use crate::store::{StoreError, ViewId, ViewKind, keys};

use super::auth::Customer;
use super::forms::Recording;
use super::request::{self, Page, PathUuid};

#[derive(Serialize, ToSchema)]
pub(super) struct RecordingList {
    result: Vec<Recording>,
    next_page_token: String,
}

/// `GET /recordings`.
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
            Ok(own.map(|record| Recording::of(id.uuid(), &record, customer.id)))
        },
    )
    .await?;
    // Of another's conference there is nothing to see, not even how long its list is.
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

/// `GET /recordings/{recording_id}`.
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
    Ok(Json(Recording::of(id, &record, customer.id)))
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
