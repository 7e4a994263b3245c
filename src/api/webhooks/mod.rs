//! `…/webhooks`: the receivers of an app, and what became of what they were sent.
//!
//! The same routes stand twice: in the gateway API for an app's own, and under `/admin/apps/{app_id}` for the operator.
//! Whoever mounts them says with [`Owner`] whose receivers are meant, and thereby that the caller may.
//!
//! A secret is in one answer only: the one to the request that made it.

mod docs;

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, FromRequestParts, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use url::Url;
use utoipa::ToSchema;

use super::ApiSettings;
use super::body::Fields;
use super::cursor::List;
use super::error::ApiError;
use super::registry::{
    EndpointChange, EndpointError, MOST_ENDPOINTS, NewEndpoint, Registry, Secreted,
};
use super::request::{InPath, Page, PathId};
use crate::ids::{AppId, EndpointId, InvalidId, invalid};
use crate::store::deliveries::{Attempted, Delivery, DeliveryStatus, EndpointHealth, log_position};
use crate::store::{Scope, Store};
use crate::time::Timestamp;
use crate::webhook::endpoint::{Endpoint, EventFilter};
use crate::webhook::sign::Secret;

pub(crate) use docs::Paths;

/// How many deliveries are made pending again in one step of the store.
const RECOVER_BATCH: usize = 500;

/// What holds a secret is nobody's to keep on the way.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

/// What the handlers need, whoever mounts them.
#[derive(Clone)]
pub(crate) struct Hooks {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) apps: Arc<Registry>,
    pub(crate) settings: ApiSettings,
}

/// Whose receivers are meant.
#[derive(Clone, Debug)]
pub(crate) struct Owner(pub(crate) AppId);

pub(crate) fn routes(hooks: Hooks) -> Router {
    Router::new()
        .route("/webhooks", get(list).post(create))
        .route("/webhooks/{id}", get(read).patch(change).delete(remove))
        .route("/webhooks/{id}/rotate-secret", post(rotate_secret))
        .route("/webhooks/{id}/test", post(test))
        .route("/webhooks/{id}/recover", post(recover))
        .route("/webhooks/{id}/deliveries", get(deliveries))
        .route("/webhooks/{id}/deliveries/{webhook_id}", get(delivery))
        .route(
            "/webhooks/{id}/deliveries/{webhook_id}/redeliver",
            post(redeliver),
        )
        .with_state(Arc::new(hooks))
}

type Shared = Arc<Hooks>;

impl InPath for EndpointId {
    const PARAM: &'static str = "id";
}

/// The `webhook-id` of a message: `msg_` and 32 hexadecimal digits.
struct WebhookId(String);

impl std::str::FromStr for WebhookId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let digits = text.strip_prefix("msg_").unwrap_or_default();
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() == 32 && digits.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(
                "webhook-id",
                "msg_ and 32 hexadecimal digits in lower case",
            ))
        }
    }
}

impl InPath for WebhookId {
    const PARAM: &'static str = "webhook_id";
}

#[derive(Serialize, ToSchema)]
#[schema(as = Webhooks)]
pub(super) struct EndpointList {
    webhooks: Vec<EndpointRow>,
}

/// A receiver.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct EndpointRow {
    #[schema(value_type = docs::EndpointIdText)]
    id: String,
    url: String,
    events: Vec<String>,
    /// Whether it is called. What comes for one that is not is kept as dead, and can be recovered.
    enabled: bool,
    /// `owner`, `gone` (it answered 410) or `failing` (it took nothing for five days); `null` while it is enabled.
    disabled_reason: Option<&'static str>,
    #[schema(format = DateTime)]
    disabled_at: Option<String>,
    /// It stands in the configuration and is changed there, but for `enabled`.
    configured: bool,
    /// `null` for one of the configuration.
    #[schema(format = DateTime)]
    created_at: Option<String>,
}

/// A receiver, and how it is.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDetail)]
pub(super) struct EndpointDetail {
    #[serde(flatten)]
    row: EndpointRow,
    /// Deliveries that wait for it.
    pending: u64,
    /// Deliveries that were given up and are kept.
    dead: u64,
    /// Events that could not be queued for it, because there were too many already.
    lost: u64,
    /// When it last took something.
    #[schema(format = DateTime)]
    last_success_at: Option<String>,
    /// Since when it has been taking nothing.
    #[schema(format = DateTime)]
    failing_since: Option<String>,
}

/// A receiver with its secret, which is not shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = NewWebhook)]
pub(super) struct MadeEndpoint {
    #[serde(flatten)]
    row: EndpointRow,
    /// What bodies are signed with: `whsec_` and base64.
    secret: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(super) struct NewSecret {
    #[schema(value_type = docs::EndpointIdText)]
    id: String,
    /// What bodies are signed with: `whsec_` and base64. It is not shown again.
    secret: String,
    /// Until when bodies are signed with the secret before, too.
    #[schema(format = DateTime)]
    replaced_until: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRef)]
pub(super) struct EndpointRef {
    #[schema(value_type = docs::EndpointIdText)]
    id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRecovered)]
pub(super) struct RecoveredCount {
    /// How many deliveries are pending again.
    recovered: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
pub(super) struct DeliveryList {
    deliveries: Vec<DeliveryRow>,
    /// Empty on the last page.
    cursor: String,
}

/// An event on its way to a receiver, or after it.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryRow {
    /// Its `webhook-id`.
    #[schema(value_type = docs::WebhookIdText)]
    id: String,
    event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_uuid: Option<String>,
    sequence: u64,
    #[schema(value_type = docs::Status)]
    status: DeliveryStatus,
    /// When it was queued.
    #[schema(format = DateTime)]
    created_at: Option<String>,
    /// The last attempts, the oldest first.
    attempts: Vec<AttemptRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(super) struct AttemptRow {
    #[schema(format = DateTime)]
    at: String,
    /// What the receiver answered; `null` when it did not.
    status: Option<u16>,
    /// Why it did not; `null` when it did.
    error: Option<String>,
    /// How long it took.
    ms: u64,
}

/// A delivery with what was sent.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryDetail)]
pub(super) struct DeliveryDetail {
    #[serde(flatten)]
    row: DeliveryRow,
    /// The body, as it was signed.
    #[schema(value_type = Object)]
    body: Box<RawValue>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Redelivery)]
pub(super) struct Redelivery {
    #[schema(value_type = docs::WebhookIdText)]
    id: String,
    #[schema(value_type = docs::Status)]
    status: DeliveryStatus,
}

/// `GET /webhooks`.
async fn list(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
) -> Result<Json<EndpointList>, ApiError> {
    // Another replica may have made one in this second.
    hooks.apps.refresh().await?;
    let endpoints = hooks.apps.endpoints();
    let mut rows: Vec<_> = endpoints.of_app(&app).iter().collect();
    rows.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    Ok(Json(EndpointList {
        webhooks: rows.iter().map(|e| EndpointRow::of(e)).collect(),
    }))
}

/// `POST /webhooks`.
async fn create(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    fields: Fields,
) -> Result<
    (
        StatusCode,
        [(HeaderName, &'static str); 1],
        Json<MadeEndpoint>,
    ),
    ApiError,
> {
    let new = NewEndpoint {
        url: url(&hooks, &fields)?.ok_or_else(|| ApiError::field("url", "it is required"))?,
        events: events(&fields)?.unwrap_or_else(|| vec![EventFilter::All]),
        secret: secret(&fields)?,
    };
    let Secreted { id, secret, .. } = hooks.apps.add_endpoint(&app, &new).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "a webhook endpoint was made");
    let made = MadeEndpoint {
        row: EndpointRow::of(&hooks.apps.endpoint(&app, &id)?),
        secret: secret.expose_secret().to_owned(),
    };
    Ok((StatusCode::CREATED, NO_STORE, Json(made)))
}

/// `GET /webhooks/{id}`.
async fn read(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
) -> Result<Json<EndpointDetail>, ApiError> {
    let endpoint = hooks.find(&app, &id).await?;
    let mut whole = EndpointHealth::default();
    for node in hooks.apps.nodes() {
        let ids = std::slice::from_ref(&id);
        for health in hooks.store.endpoint_health(*node, ids).await? {
            whole.pending += health.pending;
            whole.dead += health.dead;
            whole.lost += health.lost;
            whole.delivered_ago = match (whole.delivered_ago, health.delivered_ago) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            whole.failing_for = whole.failing_for.max(health.failing_for);
        }
    }
    // What one node's calls are told works, though another's messages may still be waiting for their next attempt.
    if whole.delivered_ago < whole.failing_for && whole.delivered_ago.is_some() {
        whole.failing_for = None;
    }
    let now = Timestamp::now();
    let ago = |ago: Duration| {
        let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_sub(micros)).rfc3339_micros()
    };
    Ok(Json(EndpointDetail {
        row: EndpointRow::of(&endpoint),
        pending: whole.pending,
        dead: whole.dead,
        lost: whole.lost,
        last_success_at: whole.delivered_ago.map(ago),
        failing_since: whole.failing_for.map(ago),
    }))
}

/// `PATCH /webhooks/{id}`.
async fn change(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    fields: Fields,
) -> Result<Json<EndpointRow>, ApiError> {
    let change = EndpointChange {
        url: url(&hooks, &fields)?,
        events: events(&fields)?,
        enabled: fields.boolean("enabled")?,
    };
    hooks.apps.patch_endpoint(&app, &id, &change).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "a webhook endpoint was changed");
    let endpoint = hooks.apps.endpoint(&app, &id)?;
    Ok(Json(EndpointRow::of(&endpoint)))
}

/// `DELETE /webhooks/{id}`.
async fn remove(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
) -> Result<Json<EndpointRef>, ApiError> {
    hooks.apps.remove_endpoint(&app, &id).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "a webhook endpoint was removed");
    Ok(Json(EndpointRef { id: id.to_string() }))
}

/// `POST /webhooks/{id}/rotate-secret`.
async fn rotate_secret(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    fields: Fields,
) -> Result<([(HeaderName, &'static str); 1], Json<NewSecret>), ApiError> {
    let given = secret(&fields)?;
    let made = hooks.apps.rotate_secret(&app, &id, given.as_ref()).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "a webhook endpoint was given another secret");
    Ok((
        NO_STORE,
        Json(NewSecret {
            id: made.id.to_string(),
            secret: made.secret.expose_secret().to_owned(),
            replaced_until: made.replaced_until.map(|until| until.rfc3339_seconds()),
        }),
    ))
}

/// `POST /webhooks/{id}/test`.
async fn test(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    _: Fields,
) -> Result<(StatusCode, Json<Redelivery>), ApiError> {
    let endpoint = hooks.find(&app, &id).await?;
    let webhook_id = hooks.apps.test_endpoint(&app, &id).await?;
    let status = match endpoint.disabled {
        None => DeliveryStatus::Pending,
        Some(_) => DeliveryStatus::Dead,
    };
    let sent = Redelivery {
        id: webhook_id,
        status,
    };
    Ok((StatusCode::ACCEPTED, Json(sent)))
}

/// `POST /webhooks/{id}/recover`.
async fn recover(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    fields: Fields,
) -> Result<(StatusCode, Json<RecoveredCount>), ApiError> {
    let since: jiff::Timestamp = fields.required("since")?;
    let since = Timestamp::from_micros(u64::try_from(since.as_microsecond()).unwrap_or_default());
    hooks.find_enabled(&app, &id).await?;
    let mut recovered = 0;
    for node in hooks.apps.nodes() {
        let mut from = Some(log_position(since));
        while let Some(position) = from {
            let store = &hooks.store;
            let batch = store.recover(*node, &id, &position, RECOVER_BATCH).await?;
            recovered += batch.count;
            from = batch.next;
        }
    }
    tracing::info!(app.id = %app, endpoint.id = %id, recovered, "what a webhook endpoint missed is sent again");
    Ok((StatusCode::ACCEPTED, Json(RecoveredCount { recovered })))
}

/// `GET /webhooks/{id}/deliveries`.
async fn deliveries(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    page: Page,
    WithStatus(status): WithStatus,
) -> Result<Json<DeliveryList>, ApiError> {
    let limit = page.limit(50, 200);
    let key = &hooks.settings.cursor_key;
    let below = page.cursor.as_deref();
    let below = below.map(|cursor| key.open(&app, List::Deliveries, cursor));
    let below = below.transpose()?;
    hooks.find(&app, &id).await?;
    let mut found: Vec<Delivery> = Vec::new();
    let statuses = status.map_or(DeliveryStatus::ALL.to_vec(), |status| vec![status]);
    for node in hooks.apps.nodes() {
        for status in &statuses {
            let store = &hooks.store;
            let rows = store.list_deliveries(*node, &id, *status, below.as_deref(), limit + 1);
            found.extend(rows.await?);
        }
    }
    // One that came to its end between two lists is in both.
    found.sort_by_cached_key(|row| Reverse((row.position.clone(), row.status)));
    found.dedup_by(|a, b| a.position == b.position);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let cursor = last.map(|row| key.seal(&app, List::Deliveries, &row.position));
    Ok(Json(DeliveryList {
        cursor: cursor.unwrap_or_default(),
        deliveries: found.into_iter().map(DeliveryRow::of).collect(),
    }))
}

/// `GET /webhooks/{id}/deliveries/{webhook_id}`.
async fn delivery(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    PathId(WebhookId(webhook_id)): PathId<WebhookId>,
) -> Result<Json<DeliveryDetail>, ApiError> {
    hooks.find(&app, &id).await?;
    for node in hooks.apps.nodes() {
        if let Some(found) = hooks.store.read_delivery(*node, &id, &webhook_id).await? {
            let body = RawValue::from_string(found.message.body.clone());
            let body = body.map_err(|error| ApiError::internal(&error))?;
            let row = DeliveryRow::of(found);
            return Ok(Json(DeliveryDetail { row, body }));
        }
    }
    Err(not_kept())
}

/// `POST /webhooks/{id}/deliveries/{webhook_id}/redeliver`.
async fn redeliver(
    State(hooks): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    PathId(WebhookId(webhook_id)): PathId<WebhookId>,
    _: Fields,
) -> Result<(StatusCode, Json<Redelivery>), ApiError> {
    hooks.find_enabled(&app, &id).await?;
    for node in hooks.apps.nodes() {
        if hooks.store.redeliver(*node, &id, &webhook_id).await? {
            let sent = Redelivery {
                id: webhook_id,
                status: DeliveryStatus::Pending,
            };
            return Ok((StatusCode::ACCEPTED, Json(sent)));
        }
    }
    Err(not_kept())
}

fn not_kept() -> ApiError {
    ApiError::not_found("there is no such delivery, or it is not kept any more")
}

impl Hooks {
    /// The app's receiver, or 404. One that is not known may have been made on another replica in this second.
    async fn find(&self, app: &AppId, id: &EndpointId) -> Result<Endpoint, ApiError> {
        if let Ok(found) = self.apps.endpoint(app, id) {
            return Ok(found);
        }
        self.apps.refresh().await?;
        Ok(self.apps.endpoint(app, id)?)
    }

    /// The same, but one that is called, or 409: what is sent again to one that is not would be dead at once.
    async fn find_enabled(&self, app: &AppId, id: &EndpointId) -> Result<Endpoint, ApiError> {
        let endpoint = self.find(app, id).await?;
        match endpoint.disabled {
            None => Ok(endpoint),
            Some(disabled) => {
                let words = "the webhook endpoint is disabled";
                let detail = json!({ "disabled_reason": disabled.why.as_str() });
                Err(ApiError::new(StatusCode::CONFLICT, words).detail(detail))
            }
        }
    }
}

/// Which deliveries are listed.
struct WithStatus(Option<DeliveryStatus>);

impl<S: Sync> FromRequestParts<S> for WithStatus {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let mut found = None;
        for (name, value) in url::form_urlencoded::parse(query) {
            if name == "status" {
                let status = value.parse().map_err(|e| ApiError::field("status", e))?;
                if found.replace(status).is_some() {
                    return Err(ApiError::field("status", "it is given twice"));
                }
            }
        }
        Ok(Self(found))
    }
}

fn url(hooks: &Hooks, fields: &Fields) -> Result<Option<Url>, ApiError> {
    let url: Option<Url> = fields.parsed("url")?;
    if let Some(url) = &url {
        let allowed = hooks.settings.webhooks.check_url(url);
        allowed.map_err(|e| ApiError::field("url", e))?;
    }
    Ok(url)
}

fn events(fields: &Fields) -> Result<Option<Vec<EventFilter>>, ApiError> {
    let Some(texts) = fields.texts("events")? else {
        return Ok(None);
    };
    if texts.is_empty() {
        return Err(ApiError::field("events", "expected at least one"));
    }
    let mut events = Vec::new();
    for (n, text) in texts.into_iter().enumerate() {
        let event = text
            .parse()
            .map_err(|e| ApiError::field(&format!("events[{n}]"), e))?;
        // So it cannot hold more than there are.
        if !events.contains(&event) {
            events.push(event);
        }
    }
    Ok(Some(events))
}

fn secret(fields: &Fields) -> Result<Option<SecretString>, ApiError> {
    let Some(text) = fields.text("secret")? else {
        return Ok(None);
    };
    let _: Secret = text.parse().map_err(|e| ApiError::field("secret", e))?;
    Ok(Some(text.to_owned().into()))
}

impl EndpointRow {
    fn of(endpoint: &Endpoint) -> Self {
        Self {
            id: endpoint.id.to_string(),
            url: endpoint.url.to_string(),
            events: endpoint.events.iter().map(EventFilter::to_string).collect(),
            enabled: endpoint.disabled.is_none(),
            disabled_reason: endpoint.disabled.map(|disabled| disabled.why.as_str()),
            disabled_at: endpoint.disabled.map(|d| d.at.rfc3339_seconds()),
            configured: endpoint.created_at.is_none(),
            created_at: endpoint.created_at.map(Timestamp::rfc3339_seconds),
        }
    }
}

impl DeliveryRow {
    fn of(delivery: Delivery) -> Self {
        let Delivery {
            position,
            message,
            status,
            attempts,
        } = delivery;
        let (room, session) = match message.scope {
            Scope::Room(room) => (Some(room.to_string()), None),
            Scope::Session(session) => (None, Some(session.to_string())),
            Scope::Webhooks => (None, None),
        };
        let queued = position.split(':').next().and_then(|ms| ms.parse().ok());
        Self {
            id: message.id,
            event: message.event,
            room_id: room,
            session_uuid: session,
            sequence: message.sequence,
            status,
            created_at: queued.map(|ms| Timestamp::from_millis(ms).rfc3339_micros()),
            attempts: attempts.into_iter().map(AttemptRow::of).collect(),
        }
    }
}

impl AttemptRow {
    fn of(attempt: Attempted) -> Self {
        Self {
            at: Timestamp::from_micros(attempt.at).rfc3339_micros(),
            status: attempt.status,
            error: attempt.error,
            ms: attempt.ms,
        }
    }
}

impl From<EndpointError> for ApiError {
    fn from(error: EndpointError) -> Self {
        let words = error.to_string();
        let conflict = || Self::new(StatusCode::CONFLICT, words.clone());
        match error {
            EndpointError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, words),
            EndpointError::Configured(_) => conflict(),
            EndpointError::UrlTaken(id) => conflict().detail(json!({ "id": id.as_str() })),
            EndpointError::TooMany => conflict().detail(json!({ "most": MOST_ENDPOINTS })),
            EndpointError::Busy => Self::unavailable(words, Duration::from_secs(1)),
            EndpointError::Store(error) => error.into(),
        }
    }
}
