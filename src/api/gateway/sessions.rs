//! `/sessions`: calls.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Shared;
use crate::api::access::Nodes;
use crate::api::auth::Caller;
use crate::api::cursor::List;
use crate::api::error::ApiError;
use crate::api::lists::{self, Listed, Source};
use crate::api::request::{Page, PathId};
use crate::ids::SessionId;
use crate::session::SessionState;
use crate::store::{EntityId, EntityKind};

use super::docs::{CallDirection, CallState, RoomIdText, SessionIdText};

#[derive(Serialize, ToSchema)]
pub(super) struct SessionList {
    sessions: Vec<SessionRow>,
    cursor: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct SessionRow {
    #[schema(value_type = SessionIdText)]
    uuid: String,
    #[schema(pattern = "^[A-Za-z0-9]{5}$")]
    node: String,
    did: String,
    caller_id: String,
    #[schema(value_type = CallDirection)]
    direction: &'static str,
    #[schema(value_type = CallState)]
    state: &'static str,
    /// `null` while it is in none.
    #[schema(value_type = Option<RoomIdText>)]
    room_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// `GET /sessions`.
pub(super) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    page: Page,
) -> Result<Json<SessionList>, ApiError> {
    let limit = page.limit(50, 200);
    let state = &*state;
    let nodes = &Nodes::now(state);
    let what = (Source::Entities(EntityKind::Session), List::Sessions);
    let rows = lists::page(
        state,
        nodes,
        &caller,
        what,
        (page.cursor.as_deref(), limit),
        |listed| async move {
            let Listed::Entity(EntityId::Session(id)) = listed else {
                return Ok(None);
            };
            let call = state.live_session(id).await?;
            Ok(call.map(|call| SessionRow::of(&call, nodes.stale(id.node()))))
        },
    )
    .await?;
    Ok(Json(SessionList {
        sessions: rows.rows,
        cursor: rows.cursor,
    }))
}

/// `GET /sessions/{uuid}`.
pub(super) async fn get(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<SessionId>,
) -> Result<Json<SessionRow>, ApiError> {
    let call = state.find_session(id).await?;
    state.own_session(&caller, &call)?;
    let stale = state.stale(id.node());
    Ok(Json(SessionRow::of(&call, stale)))
}

impl SessionRow {
    fn of(call: &SessionState, stale: bool) -> Self {
        Self {
            uuid: call.id().to_string(),
            node: call.id().node().to_string(),
            did: call.did().to_string(),
            caller_id: call.caller_id().to_string(),
            direction: call.direction().as_str(),
            state: call.place().as_str(),
            room_id: call.place().room().map(|room| room.to_string()),
            created_at: call.created_at().rfc3339_seconds(),
            stale,
        }
    }
}
