//! `/admin/apps`: create apps, rotate their keys, set their numbers, disable, enable and delete them.
//!
//! A key or a webhook secret is part of one response only: that of the request that created it.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::config::{AppConfig, MOST_REQUESTS, is_did};
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::Failure;
use crate::http::request::{InPath, PathId};
use crate::http::webhooks::Owner;
use crate::store::apps::AppRecord;
use crate::tenants::{ChangeError, MOST_DIDS, NewApp, WithKey};
use crate::webhook::endpoint::Endpoints;
use roomkeeper_core::ids::AppId;

use super::eviction::{EvictionCounts, evict};
use super::query::Query;
use super::state::{Operator, Shared};

impl InPath for AppId {
    const PARAM: &'static str = "app_id";
}

/// The parameters of a deletion.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes a parameter")]
struct RemovalQuery {
    /// End the app's rooms and calls first.
    force: Option<bool>,
}

/// The dialled numbers of an app.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct Numbers {
    #[schema(max_items = 1000)]
    dids: Vec<String>,
}

/// A response that contains a key must not be cached.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(get, add))
        .routes(routes!(rotate_key))
        .routes(routes!(limit))
        .routes(routes!(disable))
        .routes(routes!(remove))
        .routes(routes!(enable))
        .routes(routes!(set_dids))
}

/// The path of an app.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path")]
struct AppPath {
    /// The app.
    #[param(pattern = "^[A-Za-z0-9_-]{1,64}$")]
    app_id: String,
}

/// A new app.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct AppRequest {
    /// The app's id in the VoIPBIN API. Generated if omitted.
    customer_id: Option<Uuid>,
    /// The numbers whose calls belong to the app.
    #[schema(max_items = 1000)]
    dids: Option<Vec<String>>,
    /// Requests per second. The configured default applies if omitted.
    #[schema(minimum = 1)]
    rate_limit: Option<u32>,
    /// The URL of a webhook endpoint that gets all events.
    #[schema(pattern = "^https?://", max_length = 2048)]
    webhook_url: Option<String>,
}

/// A new rate limit.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct RateLimit {
    /// Requests per second. The configured default applies if omitted.
    #[schema(minimum = 1)]
    rate_limit: Option<u32>,
}

/// The new key of an app, which is not shown again.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the answer")]
struct NewAppKey {
    app_id: String,
    api_key: String,
    /// The number of active keys, at most two.
    active_keys: usize,
}

#[derive(Serialize, ToSchema)]
pub(super) struct AppList {
    apps: Vec<AppRow>,
}

/// An app without its keys.
#[derive(Serialize, ToSchema)]
#[schema(as = App)]
pub(super) struct AppRow {
    app_id: String,
    #[schema(format = Uuid)]
    customer_id: String,
    dids: Vec<String>,
    /// `null`: the configured default applies.
    #[schema(required)]
    rate_limit: Option<u32>,
    webhook_urls: Vec<String>,
    active_keys: usize,
    disabled: bool,
    /// The app is configured and can only be changed in the configuration.
    configured: bool,
    /// `null` for a configured app.
    #[schema(required, format = DateTime)]
    created_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct RemovedApp {
    app_id: String,
    /// The number of rooms that were ended.
    ended_rooms: usize,
    /// The number of calls that were hung up.
    ended_calls: usize,
}

/// An app with its key and the secret of its webhook endpoint, which are not shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = NewApp)]
pub(super) struct MadeApp {
    #[serde(flatten)]
    app: AppRow,
    api_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<String>,
}

/// List the apps
///
/// Without their keys.
#[utoipa::path(
    get, path = "/admin/apps", tag = "apps", operation_id = "listApps",
    responses((status = 200, description = "All apps, by id.", body = AppList,
         example = json!({"apps": [example()]})))
)]
pub(super) async fn list(
    State(shared): State<Shared>,
    _: Operator,
) -> Result<Json<AppList>, ApiError> {
    let registry = &shared.state.apps;
    // Another replica may have created one within the last second.
    registry.refresh().await?;
    let tenants = registry.tenants();
    let configured = registry.configured();
    let endpoints = registry.endpoints();
    let mut apps: Vec<AppRow> = tenants
        .stored()
        .filter(|record| !configured.iter().any(|app| app.id == record.id))
        .map(|record| AppRow::stored(record, &endpoints))
        .chain(
            configured
                .iter()
                .map(|app| AppRow::configured(app, &endpoints)),
        )
        .collect();
    apps.sort_unstable_by(|a, b| a.app_id.cmp(&b.app_id));
    Ok(Json(AppList { apps }))
}

/// Read an app
#[utoipa::path(
    get, path = "/admin/apps/{app_id}", tag = "apps", operation_id = "getApp",
    params(AppPath),
    responses(
        (status = 200, description = "The app.", body = AppRow, example = json!(example())),
        (status = 404, description = "The app does not exist.", body = Failure),
    )
)]
pub(super) async fn get(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
) -> Result<Json<AppRow>, ApiError> {
    let registry = &shared.state.apps;
    if let Some(app) = registry.configured().iter().find(|app| app.id == id) {
        return Ok(Json(AppRow::configured(app, &registry.endpoints())));
    }
    registry.refresh().await?;
    let tenants = registry.tenants();
    tenants
        .stored_app(&id)
        .map(|record| Json(AppRow::stored(record, &registry.endpoints())))
        .ok_or_else(|| ChangeError::Unknown(id).into())
}

/// Create an app
///
/// Only this response contains its key and the secret of its webhook endpoint.
#[utoipa::path(
    post, path = "/admin/apps/{app_id}", tag = "apps", operation_id = "createApp",
    params(AppPath),
    request_body(content = AppRequest, example = json!({"dids": ["747713001"]})),
    responses(
        (status = 201, description = "The app is created.", body = MadeApp, example = json!(new_example())),
        (status = 409, description = "The app exists, or a number or the customer id belongs to `detail.app_id`.", body = Failure),
    )
)]
pub(super) async fn add(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    fields: Fields,
) -> Result<(StatusCode, [(HeaderName, &'static str); 1], Json<MadeApp>), ApiError> {
    let new = NewApp {
        id,
        customer_id: customer_id(&fields)?,
        dids: dids(&fields)?,
        rate_limit: rate_limit(&fields)?,
        webhook_url: webhook_url(&shared, &fields)?,
    };
    let WithKey {
        app,
        key,
        webhook_secret,
    } = shared.state.apps.add(&new).await?;
    tracing::info!(app.id = %app.id, "created an app");
    let made = MadeApp {
        app: AppRow::stored(&app, &shared.state.apps.endpoints()),
        api_key: key.expose_secret().to_owned(),
        webhook_secret: webhook_secret.map(|secret| secret.expose_secret().to_owned()),
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(made)))
}

/// Replace an app's key
///
/// An app has two active keys; the older one of two stops working.
#[utoipa::path(
    post, path = "/admin/apps/{app_id}/rotate-key", tag = "apps", operation_id = "rotateAppKey",
    params(AppPath),
    responses(
        (status = 200, description = "The new key.", body = NewAppKey,
         example = json!({"app_id": "demo", "api_key": "rk_3f0a…", "active_keys": 2})),
        (status = 404, description = "The app does not exist.", body = Failure),
        (status = 409, description = "The app is configured or disabled.", body = Failure),
    )
)]
pub(super) async fn rotate_key(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    _: Fields,
) -> Result<([(HeaderName, &'static str); 1], Json<Value>), ApiError> {
    let WithKey { app, key, .. } = shared.state.apps.rotate_key(&id).await?;
    tracing::info!(app.id = %app.id, "rotated the key of an app");
    Ok((
        NO_STORE,
        Json(json!({
            "app_id": app.id.as_str(),
            "api_key": key.expose_secret(),
            "active_keys": app.keys.len(),
        })),
    ))
}

/// Limit an app's requests
///
/// Every replica applies the limit within two seconds. Without a `rate_limit` the configured default applies again.
#[utoipa::path(
    post, path = "/admin/apps/{app_id}/rate-limit", tag = "apps", operation_id = "setAppRateLimit",
    params(AppPath),
    request_body(content = RateLimit, example = json!({"rate_limit": 50})),
    responses(
        (status = 200, description = "The changed app.", body = AppRow, example = json!(example())),
        (status = 404, description = "The app does not exist.", body = Failure),
        (status = 409, description = "The app is configured or disabled.", body = Failure),
    )
)]
pub(super) async fn limit(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    fields: Fields,
) -> Result<Json<AppRow>, ApiError> {
    let limit = rate_limit(&fields)?;
    let app = shared.state.apps.limit(&id, limit).await?;
    tracing::info!(app.id = %app.id, limit, "changed the rate limit of an app");
    Ok(Json(AppRow::stored(&app, &shared.state.apps.endpoints())))
}

/// Disable an app
///
/// Its requests get 401 from then on.
#[utoipa::path(
    post, path = "/admin/apps/{app_id}/disable", tag = "apps", operation_id = "disableApp",
    params(AppPath),
    responses(
        (status = 200, description = "The app, which may have been disabled before.", body = AppRow, example = json!(example())),
        (status = 404, description = "The app does not exist.", body = Failure),
        (status = 409, description = "The app is configured.", body = Failure),
    )
)]
pub(super) async fn disable(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    _: Fields,
) -> Result<Json<AppRow>, ApiError> {
    let app = shared.state.apps.disable(&id).await?;
    tracing::info!(app.id = %app.id, "disabled an app");
    Ok(Json(AppRow::stored(&app, &shared.state.apps.endpoints())))
}

/// Enable an app
///
/// The keys of a disabled app are valid again. Idempotent.
#[utoipa::path(
    post, path = "/admin/apps/{app_id}/enable", tag = "apps", operation_id = "enableApp",
    params(AppPath),
    responses(
        (status = 200, description = "The app.", body = AppRow, example = json!(example())),
        (status = 404, description = "The app does not exist.", body = Failure),
        (status = 409, description = "The app is configured.", body = Failure),
    )
)]
pub(super) async fn enable(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    _: Fields,
) -> Result<Json<AppRow>, ApiError> {
    let app = shared.state.apps.enable(&id).await?;
    tracing::info!(app.id = %app.id, "enabled an app");
    Ok(Json(AppRow::stored(&app, &shared.state.apps.endpoints())))
}

/// Set the numbers of an app
///
/// Replaces them all. Calls that the app has already stay its calls.
#[utoipa::path(
    put, path = "/admin/apps/{app_id}/dids", tag = "apps", operation_id = "setAppNumbers",
    params(AppPath),
    request_body(content = Numbers, example = json!({"dids": ["747713001"]})),
    responses(
        (status = 200, description = "The app.", body = AppRow, example = json!(example())),
        (status = 404, description = "The app does not exist.", body = Failure),
        (status = 409, description = "`detail.app_id` has the number `detail.did` already, or the app is configured.", body = Failure),
    )
)]
pub(super) async fn set_dids(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    fields: Fields,
) -> Result<Json<AppRow>, ApiError> {
    if fields.get("dids").is_none() {
        return Err(ApiError::field("dids", "is required"));
    }
    let app = shared.state.apps.set_dids(&id, &dids(&fields)?).await?;
    tracing::info!(app.id = %app.id, dids = app.dids.len(), "changed the numbers of an app");
    Ok(Json(AppRow::stored(&app, &shared.state.apps.endpoints())))
}

/// Delete an app
///
/// Its keys end, its numbers are free again, its webhook endpoints are deleted with everything that waits for them.
/// With `force`, its calls are hung up and its rooms end first. The app is disabled and without numbers from the start;
/// the answer takes at least the two seconds after which every replica applies that.
#[utoipa::path(
    delete, path = "/admin/apps/{app_id}", tag = "apps", operation_id = "deleteApp",
    params(AppPath, RemovalQuery),
    responses(
        (status = 200, description = "The app is deleted.", body = RemovedApp,
         example = json!({"app_id": "acme", "ended_rooms": 0, "ended_calls": 0})),
        (status = 404, description = "The app does not exist.", body = Failure),
        (status = 409, description = "It has `detail.rooms` open rooms and `detail.calls` calls, or the app is configured.", body = Failure),
    )
)]
pub(super) async fn remove(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    query: Query,
) -> Result<Json<RemovedApp>, ApiError> {
    let force = query.flag("force")?;
    let registry = &shared.state.apps;
    let (app, ended) = if force {
        registry.retire(&id).await?;
        let ended = evict(&shared.state, &id).await?;
        (registry.remove(&id).await?, ended)
    } else {
        let app = registry.remove_unused(&id).await?;
        (app, EvictionCounts::default())
    };
    let EvictionCounts { rooms, calls } = ended;
    tracing::info!(app.id = %app.id, force, rooms, calls, "deleted an app");
    Ok(Json(RemovedApp {
        app_id: app.id.to_string(),
        ended_rooms: rooms,
        ended_calls: calls,
    }))
}

/// An example of an app.
fn example() -> Value {
    json!({
        "app_id": "demo",
        "customer_id": "5e4a0680-804e-11ec-8477-2fea5968d85b",
        "dids": ["747713001"],
        "rate_limit": null,
        "webhook_urls": ["https://example.com/hook"],
        "active_keys": 1,
        "disabled": false,
        "configured": false,
        "created_at": "2026-05-06T12:34:56Z",
    })
}

/// An example of a new app.
fn new_example() -> Value {
    let mut app = example();
    app["api_key"] = "rk_3f0a…".into();
    app["webhook_secret"] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into();
    app
}

fn customer_id(fields: &Fields) -> Result<Option<Uuid>, ApiError> {
    let given: Option<Uuid> = fields.of_form("customer_id", "a uuid")?;
    if given.is_some_and(|id| id.is_nil()) {
        return Err(ApiError::field("customer_id", "it must not be all zeros"));
    }
    Ok(given)
}

fn dids(fields: &Fields) -> Result<Vec<String>, ApiError> {
    let Some(value) = fields.get("dids") else {
        return Ok(Vec::new());
    };
    let wrong = |why: &str| ApiError::field("dids", why);
    let list = value
        .as_array()
        .ok_or_else(|| wrong("expected a list of strings"))?;
    if list.len() > MOST_DIDS {
        return Err(wrong(&format!("there are more than {MOST_DIDS}")));
    }
    let mut dids: Vec<String> = Vec::with_capacity(list.len());
    for (i, value) in list.iter().enumerate() {
        let did = value
            .as_str()
            .filter(|text| is_did(text))
            .ok_or_else(|| wrong(&format!("[{i}] is not 1 to 64 visible characters")))?;
        if dids.iter().any(|other| other == did) {
            return Err(wrong(&format!("[{i}] is given twice")));
        }
        dids.push(did.to_owned());
    }
    Ok(dids)
}

fn rate_limit(fields: &Fields) -> Result<Option<u32>, ApiError> {
    let Some(value) = fields.get("rate_limit") else {
        return Ok(None);
    };
    value
        .as_u64()
        .and_then(|n| u32::try_from(n).ok())
        .filter(|n| (1..=MOST_REQUESTS).contains(n))
        .map(Some)
        .ok_or_else(|| {
            ApiError::field(
                "rate_limit",
                format!("expected a whole number from 1 to {MOST_REQUESTS}"),
            )
        })
}

/// The expected form of a URL, for errors.
const URL_FORM: &str = "a URL such as https://app.example.com/hook";

fn webhook_url(shared: &Shared, fields: &Fields) -> Result<Option<Url>, ApiError> {
    let url: Option<Url> = fields.of_form("webhook_url", URL_FORM)?;
    if let Some(url) = &url {
        let allowed = shared.webhooks.check_url(url);
        allowed.map_err(|e| ApiError::field("webhook_url", e))?;
    }
    Ok(url)
}

impl AppRow {
    fn stored(app: &AppRecord, endpoints: &Endpoints) -> Self {
        Self {
            app_id: app.id.to_string(),
            customer_id: app.customer_id.to_string(),
            dids: app.dids.clone(),
            rate_limit: app.rate_limit,
            webhook_urls: urls(endpoints, &app.id),
            active_keys: app.keys.len(),
            disabled: app.disabled,
            configured: false,
            created_at: Some(app.created_at.rfc3339_seconds()),
        }
    }

    fn configured(app: &AppConfig, endpoints: &Endpoints) -> Self {
        Self {
            app_id: app.id.to_string(),
            customer_id: app.customer_id.to_string(),
            dids: app.dids.clone(),
            rate_limit: app.rate_limit,
            webhook_urls: urls(endpoints, &app.id),
            active_keys: app.api_keys.len(),
            disabled: false,
            configured: true,
            created_at: None,
        }
    }
}

fn urls(endpoints: &Endpoints, app: &AppId) -> Vec<String> {
    let of_app = endpoints.for_app(app).iter();
    of_app.map(|endpoint| endpoint.url.to_string()).collect()
}

/// Middleware of the webhook routes: sets the app in the path as their owner, or returns 404.
pub(super) async fn webhooks_of(
    State(shared): State<Shared>,
    _: Operator,
    PathId(id): PathId<AppId>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let registry = &shared.state.apps;
    if registry.tenants().get(&id).is_none() {
        registry.refresh().await?;
        if registry.tenants().get(&id).is_none() {
            return Err(ChangeError::Unknown(id).into());
        }
    }
    request.extensions_mut().insert(Owner(id));
    Ok(next.run(request).await)
}

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let words = error.to_string();
        let conflict = || Self::new(StatusCode::CONFLICT, words.clone());
        match error {
            ChangeError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, words),
            ChangeError::Exists(_) | ChangeError::Configured(_) | ChangeError::Disabled(_) => {
                conflict()
            }
            ChangeError::DidTaken { did, owner } => {
                conflict().detail(json!({ "did": did, "app_id": owner.as_str() }))
            }
            ChangeError::InUse { rooms, calls, .. } => {
                conflict().detail(json!({ "rooms": rooms, "calls": calls }))
            }
            ChangeError::CustomerTaken { owner } => {
                conflict().detail(json!({ "app_id": owner.as_str() }))
            }
            ChangeError::Busy => Self::unavailable(words, std::time::Duration::from_secs(1)),
            ChangeError::Store(error) => error.into(),
        }
    }
}
