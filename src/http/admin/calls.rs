//! `/admin/calls` and `/admin/search`: the live calls of all apps.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::body::Fields;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::gateway::checked_cause;
use crate::http::lists::{Listed, READS, or_nothing};
use crate::http::middleware::audit::AuditApp;
use crate::http::openapi::schemas::example::{OPERATION, ROOM, SESSION};
use crate::http::openapi::schemas::{
    CallDirection, CallStateText, Failure, RoomIdText, SessionIdText, SessionPath, limit,
};
use crate::http::ownership::{live_call, typed};
use crate::http::request::{Page, PathId};
use crate::reconciler::{Intent, Refusal, Requester};
use crate::store::{EntityId, EntityKind};
use roomkeeper_core::call::CallState;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::CallId;
use roomkeeper_core::intent::Hangup;

use super::query::Query;
use super::scope::Scope;
use super::state::{Inner, Operator, Shared};

/// The maximum number of calls that a search reads. The store has no index of numbers.
const MOST_SEARCHED: usize = 20_000;

/// The number of positions that a search reads at a time. Each read visits the lists of all apps, so a search needs few.
const BATCH: usize = 5_000;

/// The maximum number of calls that a search returns.
const MOST_FOUND: usize = 100;

/// The length of a number to search: a shorter one would match nearly all calls.
const NUMBER_LENGTH: std::ops::RangeInclusive<usize> = 3..=64;

/// The states of a live call.
const STATES: [&str; 9] = [
    "ringing",
    "parked",
    "acting",
    "coaching",
    "transferring",
    "transferred",
    "joining",
    "in_room",
    "leaving",
];

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get))
        .routes(routes!(hangup))
        .routes(routes!(search))
}

/// The page and the filters of a list of calls.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes parameters")]
struct CallsQuery {
    /// Only calls of this app.
    app_id: Option<String>,
    /// Only calls on this node.
    node: Option<String>,
    /// Only calls in this state: `ringing`, `parked`, `acting`, `joining`, `in_room` or `leaving`.
    state: Option<String>,
    /// The maximum number of rows. A larger number is reduced to the allowed maximum.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the previous page, unchanged.
    cursor: Option<String>,
}

/// A number to search.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes parameters")]
struct SearchQuery {
    /// A part of the caller's number or of the dialled number.
    #[param(min_length = 3, max_length = 64)]
    number: String,
    /// Only calls of this app.
    app_id: Option<String>,
    /// Only calls on this node.
    node: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminCallList)]
pub(super) struct CallList {
    calls: Vec<CallRow>,
    cursor: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminSearch)]
pub(super) struct FoundCalls {
    calls: Vec<CallRow>,
    /// There may be more calls with this number.
    truncated: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminCall)]
pub(super) struct CallRow {
    #[schema(value_type = SessionIdText)]
    uuid: String,
    app_id: String,
    node: String,
    did: String,
    caller_id: String,
    #[schema(value_type = CallDirection)]
    direction: &'static str,
    #[schema(value_type = CallStateText)]
    state: &'static str,
    /// `null` while the call is in no room.
    #[schema(value_type = Option<RoomIdText>)]
    room_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    /// The node is not connected, so the state may be out of date. Present only while this is `true`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

/// How to end a call.
#[derive(ToSchema)]
#[schema(as = AdminHangup)]
#[allow(dead_code, reason = "describes the body")]
struct HangupBody {
    /// FreeSWITCH's name of the hang-up cause; `NORMAL_CLEARING` if omitted.
    cause: Option<String>,
}

/// The status of an accepted command.
#[derive(ToSchema)]
#[schema(as = AdminOperationStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum HangupStatus {
    InProgress,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AdminOperation)]
pub(super) struct Operation {
    operation_id: String,
    #[schema(value_type = HangupStatus)]
    status: &'static str,
}

/// List the calls of all apps
///
/// Ordered by the time of their begin. An empty `cursor` marks the last page. With `state`, a page can be short or empty
/// without being the last.
#[utoipa::path(
    get, path = "/admin/calls", tag = "calls", operation_id = "listCalls",
    params(CallsQuery),
    responses(
        (status = 200, description = "A page of 50 rows by default, 200 at most.", body = CallList,
         example = json!({"calls": [{"uuid": SESSION, "app_id": "demo", "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "in_room", "room_id": ROOM, "created_at": "2026-05-06T12:34:56Z"}], "cursor": ""})),
        (status = 404, description = "The node does not exist.", body = Failure),
    )
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    _: Operator,
    page: Page,
    query: Query,
) -> Result<Json<CallList>, ApiError> {
    let scope = Scope::from_query(&shared, &query)?;
    let wanted = query.text("state")?;
    if wanted.is_some_and(|state| !STATES.contains(&state)) {
        let words = format!("expected one of {}", STATES.join(", "));
        return Err(ApiError::field("state", words));
    }
    let (shared, nodes) = (&*shared, &scope.nodes);
    let rows = scope
        .list(shared, EntityKind::Call, List::Sessions)
        .page(
            (page.cursor.as_deref(), page.limit(50, 200)),
            |listed| async move {
                let Listed::Entity(EntityId::Call(id)) = listed else {
                    return Ok(None);
                };
                let call = live_call(&*shared.state.store, id).await?;
                let call =
                    call.filter(|call| wanted.is_none_or(|state| state == call.status().as_str()));
                Ok(call.map(|call| CallRow::from_call(&call, nodes.stale(id.node()))))
            },
        )
        .await?;
    Ok(Json(CallList {
        calls: rows.rows,
        cursor: rows.cursor,
    }))
}

/// Read a call of any app
#[utoipa::path(
    get, path = "/admin/calls/{uuid}", tag = "calls", operation_id = "getCall",
    params(SessionPath),
    responses(
        (status = 200, description = "The call.", body = CallRow,
         example = json!({"uuid": SESSION, "app_id": "demo", "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "in_room", "room_id": ROOM, "created_at": "2026-05-06T12:34:56Z"})),
        (status = 404, description = "The call does not exist, or has ended.", body = Failure),
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<CallId>,
) -> Result<Json<CallRow>, ApiError> {
    let call = find_call(&shared, id).await?;
    let stale = shared.is_stale(id.node());
    Ok(Json(CallRow::from_call(&call, stale)))
}

/// End a call of any app
///
/// Its app gets the same webhook as after its own request.
#[utoipa::path(
    post, path = "/admin/calls/{uuid}/hangup", tag = "calls", operation_id = "hangUpCall",
    params(SessionPath),
    request_body(content = HangupBody, example = json!({"cause": "NORMAL_CLEARING"})),
    responses(
        (status = 202, description = "The command is accepted; the webhook confirms it.", body = Operation,
         example = json!({"operation_id": OPERATION, "status": "in_progress"})),
        (status = 404, description = "The call does not exist, or has ended.", body = Failure),
        (status = 502, description = "FreeSWITCH refused the command.", body = Failure),
        (status = 504, description = "FreeSWITCH did not answer in time. The command may have been executed.", body = Failure),
    )
)]
pub(super) async fn hangup(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<CallId>,
    fields: Fields,
) -> Result<(StatusCode, Extension<AuditApp>, Json<Operation>), ApiError> {
    let cause = fields.text("cause")?.map(checked_cause).transpose()?;
    let hangup = Hangup {
        cause: cause.map(str::to_owned),
    };
    let owner = find_call(&shared, id).await?.app().clone();
    let intent = Intent::new(Target::Call(id), Requester::Operator, hangup);
    let accepted = typed::<Hangup>(shared.submit(intent).await?)?;
    let operation = Operation {
        operation_id: accepted.operation.to_string(),
        status: "in_progress",
    };
    let owner = Extension(AuditApp(owner));
    Ok((StatusCode::ACCEPTED, owner, Json(operation)))
}

/// Find calls by number
///
/// Calls whose caller's number or dialled number contains the given text, oldest first. A search reads at most 20,000
/// calls and returns at most 100. A replica executes one search at a time and refuses a second one with 503.
#[utoipa::path(
    get, path = "/admin/search", tag = "calls", operation_id = "searchCalls",
    params(SearchQuery),
    responses(
        (status = 200, description = "The calls. `truncated`: there may be more.", body = FoundCalls,
         example = json!({"calls": [{"uuid": SESSION, "app_id": "demo", "node": "acW68", "did": "747713001", "caller_id": "527121102", "direction": "inbound", "state": "parked", "room_id": null, "created_at": "2026-05-06T12:34:56Z"}], "truncated": false})),
        (status = 404, description = "The node does not exist.", body = Failure),
    )
)]
pub(super) async fn search(
    State(shared): State<Shared>,
    _: Operator,
    query: Query,
) -> Result<Json<FoundCalls>, ApiError> {
    let number = query.text("number")?;
    let number = number.ok_or_else(|| ApiError::field("number", "is required"))?;
    if !NUMBER_LENGTH.contains(&number.chars().count()) {
        return Err(ApiError::field("number", "expected 3 to 64 characters"));
    }
    let scope = Scope::from_query(&shared, &query)?;
    let Ok(_permit) = shared.search.try_acquire() else {
        let error = "another search is in progress; try again";
        return Err(ApiError::unavailable(error, Duration::from_secs(1)));
    };
    let list = scope.list(&shared, EntityKind::Call, List::Sessions);
    let (mut calls, mut searched, mut after) = (Vec::new(), 0, None);
    let truncated = 'search: loop {
        let entries = list.entries(after.as_deref(), BATCH).await?;
        let Some((last, _)) = entries.last() else {
            break false;
        };
        if searched >= MOST_SEARCHED {
            break true;
        }
        searched += entries.len();
        after = Some(last.clone());
        let store = &*shared.state.store;
        let reads = entries.into_iter().map(|(_, listed)| async move {
            match listed {
                Listed::Entity(EntityId::Call(id)) => or_nothing(live_call(store, id).await),
                Listed::Entity(EntityId::Room(_)) | Listed::View(_) => Ok(None),
            }
        });
        let mut reads = stream::iter(reads).buffered(READS);
        while let Some(call) = reads.try_next().await? {
            let Some(call) = call.filter(|call| has_number(call, number)) else {
                continue;
            };
            if calls.len() == MOST_FOUND {
                break 'search true;
            }
            let stale = scope.nodes.stale(call.id().node());
            calls.push(CallRow::from_call(&call, stale));
        }
    };
    Ok(Json(FoundCalls { calls, truncated }))
}

/// True if the caller's number or the dialled number contains this text.
fn has_number(call: &CallState, number: &str) -> bool {
    call.caller_id().contains(number) || call.did().contains(number)
}

/// Reads a live call, or returns 404.
async fn find_call(shared: &Inner, id: CallId) -> Result<CallState, ApiError> {
    let call = live_call(&*shared.state.store, id).await?;
    call.ok_or_else(|| ApiError::refused(&Refusal::CallNotFound, false))
}

impl CallRow {
    fn from_call(call: &CallState, stale: bool) -> Self {
        Self {
            uuid: call.id().to_string(),
            app_id: call.app().to_string(),
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
