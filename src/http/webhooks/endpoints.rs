//! An app's webhook endpoints: create, read, change, test, remove.

use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock;
use crate::http::body::Fields;
use crate::http::error::ApiError;
use crate::http::middleware::audit::AuditTarget;
use crate::http::openapi::schemas::{Failure, event_filter};
use crate::http::request::{InPath, PathId};
use crate::store::deliveries::{DeliveryStatus, EndpointHealth, LastError, log_position};
use crate::tenants::{EndpointChange, NewEndpoint, WithSecret};
use crate::webhook::endpoint::{Endpoint, EventFilter};
use crate::webhook::payload::event_names;
use crate::webhook::sign::Secret;
use roomkeeper_core::ids::EndpointId;
use roomkeeper_core::time::Timestamp;

use super::forms::example::{ENDPOINT, MESSAGE};
use super::forms::{
    EndpointDetail, EndpointList, EndpointPath, EndpointRef, EndpointRow, EndpointSummary,
    LastErrorRow, MadeEndpoint, NewSecret, RecoveredCount, Redelivery,
};
use super::state::{Owner, Shared, WebhookState};

/// The number of deliveries that one store call makes pending again.
const RECOVER_BATCH: usize = 500;

/// A response that contains a secret must not be cached.
const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, change, remove))
        .routes(routes!(rotate_secret))
        .routes(routes!(test))
        .routes(routes!(recover))
}

impl InPath for EndpointId {
    const PARAM: &'static str = "id";
}

/// The signing secret: `whsec_` and 24 to 64 bytes in base64.
#[derive(ToSchema)]
#[schema(
    as = SigningSecret,
    pattern = "^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/][AQgw]==)?)$"
)]
#[allow(dead_code, reason = "describes a field")]
struct SecretText(String);

event_filter! {
    /// Filter of event names.
    WebhookFilter, event_names()
}

/// A new webhook endpoint.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct WebhookRequest {
    /// The URL that events are posted to: https at a public address, unless the configuration allows others.
    #[schema(pattern = "^https?://", max_length = 2048)]
    url: String,
    /// Event names, prefixes such as `conference.member.*`, or `*`; all events if omitted.
    #[schema(min_items = 1)]
    #[schema(value_type = Option<Vec<WebhookFilter>>)]
    events: Option<Vec<String>>,
    /// The signing secret: `whsec_` and 24 to 64 bytes in base64. Generated if omitted.
    #[schema(value_type = Option<SecretText>)]
    secret: Option<String>,
}

/// The changes of a webhook endpoint. Omitted fields stay unchanged.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct WebhookChange {
    #[schema(pattern = "^https?://", max_length = 2048)]
    url: Option<String>,
    #[schema(min_items = 1)]
    #[schema(value_type = Option<Vec<WebhookFilter>>)]
    events: Option<Vec<String>>,
    /// `false`: the endpoint gets no requests.
    enabled: Option<bool>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct WebhookRotation {
    /// `whsec_` and 24 to 64 bytes in base64. Generated if omitted.
    #[schema(value_type = Option<SecretText>)]
    secret: Option<String>,
}

#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the body")]
struct WebhookRecovery {
    /// Deliveries that were queued since this time are sent again.
    #[schema(format = DateTime)]
    since: String,
}

/// List the app's webhook endpoints
#[utoipa::path(
    get, path = "/webhooks", tag = "webhooks", operation_id = "listWebhooks",
    responses((status = 200, description = "Configured endpoints, then the others by creation time.", body = EndpointList,
         example = json!({"webhooks": [{"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z", "last_success_at": "2026-05-06T12:34:56.672025Z", "last_error": null}]})))
)]
async fn list(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
) -> Result<Json<EndpointList>, ApiError> {
    // Another replica may have created one within the last second.
    state.apps.refresh().await?;
    let endpoints = state.apps.endpoints();
    let mut rows: Vec<_> = endpoints.for_app(&app).iter().collect();
    rows.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    let ids: Vec<EndpointId> = rows.iter().map(|endpoint| endpoint.id.clone()).collect();
    let health = read_health(&state, &ids).await?;
    let rows = rows.iter().zip(health);
    Ok(Json(EndpointList {
        webhooks: rows
            .map(|(endpoint, health)| health.into_summary(endpoint))
            .collect(),
    }))
}

/// Create a webhook endpoint
///
/// Only this response contains the secret.
#[utoipa::path(
    post, path = "/webhooks", tag = "webhooks", operation_id = "createWebhook",
    request_body(content = WebhookRequest, example = json!({"url": "https://example.com/hook", "events": ["conference.*"]})),
    responses(
        (status = 201, description = "The endpoint is created and gets all events from now on.", body = MadeEndpoint,
         example = json!({"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})),
        (status = 409, description = "The app already has an endpoint with this URL (`detail.id`), or it has 16 endpoints; configured ones do not count.", body = Failure),
    )
)]
async fn create(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    fields: Fields,
) -> Result<
    (
        StatusCode,
        [(HeaderName, &'static str); 1],
        Extension<AuditTarget>,
        Json<MadeEndpoint>,
    ),
    ApiError,
> {
    let new = NewEndpoint {
        url: url(&state, &fields)?.ok_or_else(|| ApiError::field("url", "is required"))?,
        events: events(&fields)?.unwrap_or_else(|| vec![EventFilter::All]),
        secret: secret(&fields)?,
    };
    let WithSecret { id, secret, .. } = state.apps.add_endpoint(&app, &new).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "created a webhook endpoint");
    let made = MadeEndpoint {
        row: EndpointRow::from_endpoint(&state.apps.endpoint(&app, &id)?),
        secret: secret.expose_secret().to_owned(),
    };
    let target = Extension(AuditTarget(id.to_string()));
    Ok((StatusCode::CREATED, NO_STORE, target, Json(made)))
}

/// Read a webhook endpoint
#[utoipa::path(
    get, path = "/webhooks/{id}", tag = "webhooks", operation_id = "getWebhook",
    params(EndpointPath),
    responses(
        (status = 200, description = "The endpoint and its health.", body = EndpointDetail,
         example = json!({"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z", "last_success_at": "2026-05-06T12:34:56.672025Z", "last_error": {"at": "2026-05-06T11:20:03.120388Z", "status": 503, "error": "the receiver answered 503", "event": "conference.member.joined"}, "pending": 0, "dead": 0, "lost": 0, "failing_since": null})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
    )
)]
async fn read(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
) -> Result<Json<EndpointDetail>, ApiError> {
    let endpoint = state.find(&app, &id).await?;
    let health = read_health(&state, std::slice::from_ref(&id)).await?;
    let health = health.into_iter().next().unwrap_or_default();
    let (pending, dead, lost) = (health.all.pending, health.all.dead, health.all.lost);
    let failing_since = health.all.failing_for.map(time_before_now);
    Ok(Json(EndpointDetail {
        summary: health.into_summary(&endpoint),
        pending,
        dead,
        lost,
        failing_since,
    }))
}

/// The health of an endpoint on all nodes.
#[derive(Default)]
struct WholeHealth {
    all: EndpointHealth,
    last_error: Option<LastError>,
}

impl WholeHealth {
    /// Adds the health on one node.
    fn add(&mut self, health: EndpointHealth, error: Option<LastError>) {
        let all = &mut self.all;
        all.pending += health.pending;
        all.dead += health.dead;
        all.lost += health.lost;
        all.delivered_ago = match (all.delivered_ago, health.delivered_ago) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        all.failing_for = all.failing_for.max(health.failing_for);
        let last = self.last_error.take().into_iter().chain(error);
        self.last_error = last.max_by_key(|error| error.at);
    }

    fn into_summary(self, endpoint: &Endpoint) -> EndpointSummary {
        EndpointSummary {
            row: EndpointRow::from_endpoint(endpoint),
            last_success_at: self.all.delivered_ago.map(time_before_now),
            last_error: self.last_error.map(LastErrorRow::from_error),
        }
    }
}

/// Reads the health of endpoints, in this order.
async fn read_health(
    state: &WebhookState,
    ids: &[EndpointId],
) -> Result<Vec<WholeHealth>, ApiError> {
    let mut found: Vec<_> = ids.iter().map(|_| WholeHealth::default()).collect();
    for node in state.apps.nodes() {
        let health = state.store.endpoint_health(*node, ids);
        let errors = state.store.last_errors(*node, ids);
        let (health, errors) = tokio::try_join!(health, errors)?;
        for ((whole, health), error) in found.iter_mut().zip(health).zip(errors) {
            whole.add(health, error);
        }
    }
    for whole in &mut found {
        let all = &mut whole.all;
        // The endpoint works for one node, although another node's deliveries may still wait for their next attempt.
        if all.delivered_ago < all.failing_for && all.delivered_ago.is_some() {
            all.failing_for = None;
        }
    }
    Ok(found)
}

fn time_before_now(ago: Duration) -> String {
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    let now = clock::now().as_micros();
    Timestamp::from_micros(now.saturating_sub(micros)).rfc3339_micros()
}

/// Change a webhook endpoint
///
/// A configured endpoint can only be disabled and enabled.
#[utoipa::path(
    patch, path = "/webhooks/{id}", tag = "webhooks", operation_id = "updateWebhook",
    params(EndpointPath),
    request_body(content = WebhookChange, example = json!({"enabled": true})),
    responses(
        (status = 200, description = "The changed endpoint.", body = EndpointRow,
         example = json!({"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z"})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "The endpoint is configured, or the app has another one with this URL.", body = Failure),
    )
)]
async fn change(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    fields: Fields,
) -> Result<Json<EndpointRow>, ApiError> {
    let change = EndpointChange {
        url: url(&state, &fields)?,
        events: events(&fields)?,
        enabled: fields.boolean("enabled")?,
    };
    state.apps.patch_endpoint(&app, &id, &change).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "changed a webhook endpoint");
    let endpoint = state.apps.endpoint(&app, &id)?;
    Ok(Json(EndpointRow::from_endpoint(&endpoint)))
}

/// Remove a webhook endpoint
///
/// Undelivered events are discarded.
#[utoipa::path(
    delete, path = "/webhooks/{id}", tag = "webhooks", operation_id = "deleteWebhook",
    params(EndpointPath),
    responses(
        (status = 200, description = "The endpoint is removed.", body = EndpointRef,
         example = json!({"id": ENDPOINT})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "The endpoint is configured.", body = Failure),
    )
)]
async fn remove(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
) -> Result<Json<EndpointRef>, ApiError> {
    state.apps.remove_endpoint(&app, &id).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "removed a webhook endpoint");
    Ok(Json(EndpointRef { id: id.to_string() }))
}

/// Replace the secret of a webhook endpoint
///
/// For 24 hours, bodies are signed with both secrets.
#[utoipa::path(
    post, path = "/webhooks/{id}/rotate-secret", tag = "webhooks", operation_id = "rotateWebhookSecret",
    params(EndpointPath),
    request_body(content = WebhookRotation, example = json!({})),
    responses(
        (status = 200, description = "The new secret.", body = NewSecret,
         example = json!({"id": ENDPOINT, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "replaced_until": "2026-05-07T12:34:56Z"})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "The endpoint is configured.", body = Failure),
    )
)]
async fn rotate_secret(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    fields: Fields,
) -> Result<([(HeaderName, &'static str); 1], Json<NewSecret>), ApiError> {
    let given = secret(&fields)?;
    let made = state.apps.rotate_secret(&app, &id, given.as_ref()).await?;
    tracing::info!(app.id = %app, endpoint.id = %id, "rotated the secret of a webhook endpoint");
    Ok((
        NO_STORE,
        Json(NewSecret {
            id: made.id.to_string(),
            secret: made.secret.expose_secret().to_owned(),
            replaced_until: made.replaced_until.map(|until| until.rfc3339_seconds()),
        }),
    ))
}

/// Send a webhook endpoint a test event
///
/// The event is `webhook.test`. Only this endpoint gets it; delivery and log work as for any other event.
#[utoipa::path(
    post, path = "/webhooks/{id}/test", tag = "webhooks", operation_id = "testWebhook",
    params(EndpointPath),
    responses(
        (status = 202, description = "The delivery is queued.", body = Redelivery,
         example = json!({"id": MESSAGE, "status": "pending"})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
    )
)]
async fn test(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    _: Fields,
) -> Result<(StatusCode, Json<Redelivery>), ApiError> {
    let endpoint = state.find(&app, &id).await?;
    let webhook_id = state.apps.test_endpoint(&app, &id).await?;
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

/// Send dead deliveries again
///
/// All dead deliveries that were queued since that time, in order, including those from while the endpoint was
/// disabled.
#[utoipa::path(
    post, path = "/webhooks/{id}/recover", tag = "webhooks", operation_id = "recoverDeliveries",
    params(EndpointPath),
    request_body(content = WebhookRecovery, example = json!({"since": "2026-05-06T12:00:00Z"})),
    responses(
        (status = 202, description = "The deliveries are queued.", body = RecoveredCount,
         example = json!({"recovered": 3})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "The endpoint is disabled.", body = Failure),
    )
)]
async fn recover(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    fields: Fields,
) -> Result<(StatusCode, Json<RecoveredCount>), ApiError> {
    let form = "an RFC 3339 time such as 2026-05-06T12:34:56Z";
    let since: Option<jiff::Timestamp> = fields.of_form("since", form)?;
    let since = since.ok_or_else(|| ApiError::field("since", "is required"))?;
    let since = Timestamp::from_micros(u64::try_from(since.as_microsecond()).unwrap_or_default());
    state.find_enabled(&app, &id).await?;
    let mut recovered = 0;
    for node in state.apps.nodes() {
        let mut from = Some(log_position(since));
        while let Some(position) = from {
            let store = &state.store;
            let batch = store.recover(*node, &id, &position, RECOVER_BATCH).await?;
            recovered += batch.count;
            from = batch.next;
        }
    }
    tracing::info!(app.id = %app, endpoint.id = %id, recovered, "queued the dead deliveries of a webhook endpoint again");
    Ok((StatusCode::ACCEPTED, Json(RecoveredCount { recovered })))
}

fn url(state: &WebhookState, fields: &Fields) -> Result<Option<Url>, ApiError> {
    let form = "a URL such as https://example.com/hook";
    let url: Option<Url> = fields.of_form("url", form)?;
    if let Some(url) = &url {
        let allowed = state.settings.webhooks.check_url(url);
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
        // Without duplicates the list is never longer than the list of all filters.
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
