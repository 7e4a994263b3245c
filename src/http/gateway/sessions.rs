//! `/sessions`: calls.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::auth::Caller;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::lists::{self, Listed, Source};
use crate::http::openapi::schemas::example::{ROOM, SESSION};
use crate::http::openapi::schemas::{
    CallDirection, CallStateText, PageQuery, ReadFailures, RoomIdText, SessionIdText, SessionPath,
};
use crate::http::ownership::Nodes;
use crate::http::request::{Page, PathId};
use crate::http::state::Shared;
use crate::store::{EntityId, EntityKind};
use roomkeeper_core::call::CallState;
use roomkeeper_core::ids::CallId;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
}

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
    #[schema(value_type = CallStateText)]
    state: &'static str,
    /// `null` while the call is in no conference.
    #[schema(value_type = Option<RoomIdText>)]
    room_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// List the app's calls
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions", operation_id = "listCalls",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of 50 rows by default, 200 at most.", body = SessionList,
         example = json!({"sessions": [{"uuid": SESSION, "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "parked", "room_id": null, "created_at": "2026-05-06T12:34:56Z"}], "cursor": ""})),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    caller: Caller,
    page: Page,
) -> Result<Json<SessionList>, ApiError> {
    let limit = page.limit(50, 200);
    let state = &*state;
    let nodes = &Nodes::now(state);
    let what = (Source::Entities(EntityKind::Call), List::Sessions);
    let rows = lists::page(
        state,
        nodes,
        &caller,
        what,
        (page.cursor.as_deref(), limit),
        |listed| async move {
            let Listed::Entity(EntityId::Call(id)) = listed else {
                return Ok(None);
            };
            let call = state.live_session(id).await?;
            Ok(call.map(|call| SessionRow::from_call(&call, nodes.stale(id.node()))))
        },
    )
    .await?;
    Ok(Json(SessionList {
        sessions: rows.rows,
        cursor: rows.cursor,
    }))
}

/// Read a call
#[utoipa::path(
    get, path = "/api/v1/sessions/{uuid}", tag = "sessions", operation_id = "getCall",
    params(SessionPath),
    responses(
        (status = 200, description = "The call. `state` is `ringing`, `parked`, `acting`, `coaching`, `transferring`, `transferred`, `joining`, `in_room` or `leaving`.", body = SessionRow,
         example = json!({"uuid": SESSION, "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "in_room", "room_id": ROOM, "created_at": "2026-05-06T12:34:56Z"})),
        ReadFailures,
    )
)]
pub(super) async fn get(
    State(state): State<Shared>,
    caller: Caller,
    PathId(id): PathId<CallId>,
) -> Result<Json<SessionRow>, ApiError> {
    let call = state.find_session(id).await?;
    state.own_session(&caller, &call)?;
    let stale = state.stale(id.node());
    Ok(Json(SessionRow::from_call(&call, stale)))
}

impl SessionRow {
    fn from_call(call: &CallState, stale: bool) -> Self {
        Self {
            uuid: call.id().to_string(),
            node: call.id().node().to_string(),
            did: call.did().to_string(),
            caller_id: call.caller_id().to_string(),
            direction: call.direction().as_str(),
            state: call.status().as_str(),
            room_id: call.status().room().map(|room| room.to_string()),
            created_at: call.created_at().rfc3339_seconds(),
            stale,
        }
    }
}
