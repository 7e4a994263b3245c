//! `/admin/audit`: the audit log, newest first.

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::cursor::{List, OPERATOR};
use crate::http::error::ApiError;
use crate::http::openapi::schemas::example::SESSION;
use crate::http::openapi::schemas::limit;
use crate::http::request::Page;
use crate::store::audit::{AuditActor, AuditEntry, time_digits};
use crate::store::contract::audit::AuditLogKind;
use crate::store::{StoreError, unreadable};
use roomkeeper_core::ids::AppId;
use roomkeeper_core::time::Timestamp;

use super::query::Query;
use super::state::{Inner, Operator, Shared};

/// The number of entries of each log that one request to the store returns.
const BATCH: usize = 500;

/// The maximum number of batches for a page: a page that few entries match may be short, and its cursor continues.
const ROUNDS: usize = 10;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The page and the filters of the audit log.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes parameters")]
struct AuditQuery {
    /// Only requests about this app.
    app_id: Option<String>,
    /// Only this action, such as `rooms.delete`, or those below a prefix, such as `apps.*`.
    action: Option<String>,
    /// Only requests of `operator`, or of the app with this id.
    actor: Option<String>,
    /// Only requests at this time or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Only requests before this time.
    #[param(format = DateTime)]
    until: Option<String>,
    /// The maximum number of rows. A larger number is reduced to the allowed maximum.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the previous page, unchanged.
    cursor: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AuditList {
    entries: Vec<AuditRow>,
    cursor: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct AuditRow {
    id: String,
    #[schema(format = DateTime)]
    at: String,
    actor: Actor,
    /// As `rooms.delete`: derived from the route.
    action: String,
    /// The id that the request is about.
    target: Option<String>,
    /// The app that the request is about, if it is known.
    app_id: Option<String>,
    /// `accepted`, `refused` (4xx) or `failed` (5xx, or 499: the client disconnected before the response).
    result: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The request's id in the log of the program.
    request_id: String,
    /// The client's address.
    client: String,
    /// `method`, `route` and the parameters of the route.
    #[schema(value_type = Object)]
    details: Value,
}

/// The sender of a request.
#[derive(Serialize, ToSchema)]
#[schema(as = AuditActor)]
struct Actor {
    /// `operator` or `app`.
    kind: &'static str,
    /// The app's id; `operator` for the operator.
    id: String,
}

/// The conditions that entries must meet.
struct Filter {
    app: Option<AppId>,
    action: Option<String>,
    actor: Option<AuditActor>,
    /// The beginning of the oldest id.
    from: String,
}

/// Read the audit log
///
/// Every authenticated request that may change something, newest first. An empty `cursor` marks the last page. With filters,
/// a page can be short or empty without being the last.
#[utoipa::path(
    get, path = "/admin/audit", tag = "audit", operation_id = "listAuditEntries",
    params(AuditQuery),
    responses(
        (status = 200, description = "A page of 50 rows by default, 200 at most.", body = AuditList,
         example = json!({"entries": [{"id": "1778070896672025-0a1b2c3d", "at": "2026-05-06T12:34:56.672025Z", "actor": {"kind": "operator", "id": "operator"}, "action": "calls.hangup", "target": SESSION, "app_id": "demo", "result": "accepted", "status": 202, "request_id": "0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "client": "192.0.2.1", "details": {"method": "POST", "route": "/admin/calls/{uuid}/hangup", "params": {"uuid": SESSION}}}], "cursor": ""})),
    )
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    _: Operator,
    page: Page,
    query: Query,
) -> Result<Json<AuditList>, ApiError> {
    let filter = Filter::from_query(&shared, &query)?;
    let until: Option<Timestamp> = time(&query, "until")?;
    let key = &shared.cursor_key;
    let mut below = match &page.cursor {
        Some(cursor) => Some(key.open(&OPERATOR, List::Audit, cursor)?),
        None => until.map(time_digits),
    };
    let limit = page.limit(50, 200);
    let mut entries = Vec::new();
    for _ in 0..ROUNDS {
        let batch = filter.read(&shared, below.as_deref()).await?;
        for entry in batch.entries {
            if entries.len() == limit {
                return Ok(Json(AuditList::page(&shared, entries, below)));
            }
            below = Some(entry.id.to_string());
            if filter.matches(&entry) {
                entries.push(AuditRow::from(entry));
            }
        }
        if batch.is_last {
            return Ok(Json(AuditList::page(&shared, entries, None)));
        }
        below = batch.horizon.or(below);
    }
    Ok(Json(AuditList::page(&shared, entries, below)))
}

/// Entries of both logs, newest first.
struct Batch {
    entries: Vec<AuditEntry>,
    /// Nothing older is stored.
    is_last: bool,
    /// The id below which the next batch begins.
    horizon: Option<String>,
}

impl Filter {
    fn from_query(shared: &Inner, query: &Query) -> Result<Self, ApiError> {
        let actor = match query.text("actor")? {
            None => None,
            Some("operator") => Some(AuditActor::Operator),
            Some(id) => {
                let app = id.parse().map_err(|e| ApiError::field("actor", e))?;
                Some(AuditActor::App(app))
            }
        };
        // Entries that are too old may still be stored while nothing new is written.
        let oldest = shared.state.audit.oldest();
        let since = time(query, "since")?.unwrap_or(oldest);
        Ok(Self {
            app: query.parsed("app_id")?,
            action: query.text("action")?.map(str::to_owned),
            actor,
            from: time_digits(since.max(oldest)),
        })
    }

    fn matches(&self, entry: &AuditEntry) -> bool {
        let is_action = |wanted: &String| match wanted.strip_suffix('*') {
            Some(prefix) => entry.action.starts_with(prefix),
            None => entry.action == *wanted,
        };
        self.app
            .as_ref()
            .is_none_or(|app| entry.app.as_ref() == Some(app))
            && self
                .actor
                .as_ref()
                .is_none_or(|actor| entry.actor == *actor)
            && self.action.as_ref().is_none_or(is_action)
    }

    /// Reads the next entries below an id. Where one log has more, older entries of the other one wait.
    async fn read(&self, shared: &Inner, below: Option<&str>) -> Result<Batch, StoreError> {
        let logs = match &self.actor {
            Some(actor) => vec![actor.log()],
            None => vec![AuditLogKind::Operator, AuditLogKind::Apps],
        };
        let store = &shared.state.store;
        let reads = logs
            .into_iter()
            .map(|log| store.read_audit(log, &self.from, below, BATCH));
        let read = try_join_all(reads).await?;
        let oldest_of = |texts: &Vec<String>| {
            let last = texts.last().filter(|_| texts.len() == BATCH)?;
            Some(last.split(' ').next().unwrap_or_default().to_owned())
        };
        let horizon = read.iter().filter_map(oldest_of).max();
        let mut texts = read.concat();
        texts.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(horizon) = &horizon {
            texts.retain(|text| text >= horizon);
        }
        let entries = texts.iter().filter_map(|text| decoded(text));
        Ok(Batch {
            entries: entries.collect(),
            is_last: horizon.is_none(),
            horizon,
        })
    }
}

/// Decodes an entry; reports and skips an unreadable one, so that the others are still shown.
fn decoded(text: &str) -> Option<AuditEntry> {
    match AuditEntry::decode(text) {
        Ok(entry) => Some(entry),
        Err(error) => {
            unreadable::note_error(&error);
            None
        }
    }
}

fn time(query: &Query, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let parse = |text: &str| {
        Timestamp::from_rfc3339(text)
            .ok_or_else(|| ApiError::field(name, "expected a time in RFC 3339"))
    };
    query.text(name)?.map(parse).transpose()
}

impl AuditList {
    /// A page; `below` is the position after which the next one begins, if there is one.
    fn page(shared: &Inner, entries: Vec<AuditRow>, below: Option<String>) -> Self {
        let seal = |at: String| shared.cursor_key.seal(&OPERATOR, List::Audit, &at);
        Self {
            entries,
            cursor: below.map_or_else(String::new, seal),
        }
    }
}

impl From<AuditEntry> for AuditRow {
    fn from(entry: AuditEntry) -> Self {
        let (kind, id) = match &entry.actor {
            AuditActor::Operator => ("operator", "operator".to_owned()),
            AuditActor::App(app) => ("app", app.to_string()),
        };
        Self {
            at: entry.id.at().rfc3339_micros(),
            id: entry.id.to_string(),
            actor: Actor { kind, id },
            action: entry.action,
            target: entry.target,
            app_id: entry.app.map(|app| app.to_string()),
            result: match entry.status {
                ..400 => "accepted",
                499.. => "failed",
                400..499 => "refused",
            },
            status: entry.status,
            error: entry.error,
            request_id: entry.request,
            client: entry.client,
            details: json!({
                "method": entry.method,
                "route": entry.route,
                "params": entry.params,
            }),
        }
    }
}
