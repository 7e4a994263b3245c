//! The delivery log of a webhook endpoint, and redelivery.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::{Extension, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde_json::value::RawValue;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::body::Fields;
use crate::http::cursor::List;
use crate::http::error::ApiError;
use crate::http::openapi::schemas::{Failure, limit};
use crate::http::request::{InPath, Page, PathId};
use crate::store::deliveries::{Delivery, DeliveryStatus};
use roomkeeper_core::ids::{EndpointId, InvalidId};

use super::forms::example::MESSAGE;
use super::forms::{
    DeliveryDetail, DeliveryList, DeliveryRow, EndpointPath, Redelivery, Status, WebhookIdText,
};
use super::state::{Owner, Shared};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(deliveries))
        .routes(routes!(delivery))
        .routes(routes!(redeliver))
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
            Err(InvalidId {
                kind: "webhook-id",
                expected: "msg_ and 32 hexadecimal digits in lower case",
            })
        }
    }
}

impl InPath for WebhookId {
    const PARAM: &'static str = "webhook_id";
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query")]
struct DeliveryQuery {
    /// Only deliveries with this status.
    #[param(inline)]
    status: Option<Status>,
    /// The maximum number of rows. A larger number is reduced to the allowed maximum.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the previous page, unchanged.
    cursor: Option<String>,
}

/// The path of a delivery below its endpoint.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path")]
struct DeliveryPath {
    /// The delivery's `webhook-id`.
    #[param(value_type = WebhookIdText)]
    webhook_id: String,
}

/// List an endpoint's deliveries
///
/// Latest first. Successful deliveries are stored for 72 hours, at most the last 10,000; dead ones until they are sent
/// again.
#[utoipa::path(
    get, path = "/webhooks/{id}/deliveries", tag = "webhooks", operation_id = "listDeliveries",
    params(EndpointPath, DeliveryQuery),
    responses(
        (status = 200, description = "A page of 50 rows by default, 200 at most.", body = DeliveryList,
         example = json!({"deliveries": [{"id": MESSAGE, "event": "call.new", "session_uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "sequence": 1, "status": "dead", "created_at": "2026-05-06T12:34:56Z", "attempts": [{"at": "2026-05-06T12:34:56.680025Z", "status": 500, "error": null, "ms": 12}]}], "cursor": ""})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
    )
)]
async fn deliveries(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    page: Page,
    WithStatus(status): WithStatus,
) -> Result<Json<DeliveryList>, ApiError> {
    let limit = page.limit(50, 200);
    let key = &state.settings.cursor_key;
    let below = page.cursor.as_deref();
    let below = below.map(|cursor| key.open(&app, List::Deliveries, cursor));
    let below = below.transpose()?;
    state.find(&app, &id).await?;
    let mut found: Vec<Delivery> = Vec::new();
    let statuses = status.map_or(DeliveryStatus::ALL.to_vec(), |status| vec![status]);
    for node in state.apps.nodes() {
        for status in &statuses {
            let store = &state.store;
            let rows = store.list_deliveries(*node, &id, *status, below.as_deref(), limit + 1);
            found.extend(rows.await?);
        }
    }
    // A delivery that changed its status between two lists is in both.
    found.sort_by_cached_key(|row| Reverse((row.position.clone(), row.status)));
    found.dedup_by(|a, b| a.position == b.position);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.last().filter(|_| more);
    let cursor = last.map(|row| key.seal(&app, List::Deliveries, &row.position));
    Ok(Json(DeliveryList {
        cursor: cursor.unwrap_or_default(),
        deliveries: found.into_iter().map(DeliveryRow::from_delivery).collect(),
    }))
}

/// Read a delivery
#[utoipa::path(
    get, path = "/webhooks/{id}/deliveries/{webhook_id}", tag = "webhooks", operation_id = "getDelivery",
    params(EndpointPath, DeliveryPath),
    responses(
        (status = 200, description = "The delivery with its body.", body = DeliveryDetail,
         example = json!({"id": MESSAGE, "event": "call.new", "session_uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "sequence": 1, "status": "dead", "created_at": "2026-05-06T12:34:56Z", "attempts": [{"at": "2026-05-06T12:34:56.680025Z", "status": 500, "error": null, "ms": 12}], "body": {"event": "call.new"}})),
        (status = 404, description = "The endpoint or the delivery does not exist.", body = Failure),
    )
)]
async fn delivery(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    PathId(WebhookId(webhook_id)): PathId<WebhookId>,
) -> Result<Json<DeliveryDetail>, ApiError> {
    state.find(&app, &id).await?;
    for node in state.apps.nodes() {
        if let Some(found) = state.store.read_delivery(*node, &id, &webhook_id).await? {
            let body = RawValue::from_string(found.message.body.clone());
            let body = body.map_err(|error| ApiError::internal(&error))?;
            let row = DeliveryRow::from_delivery(found);
            return Ok(Json(DeliveryDetail { row, body }));
        }
    }
    Err(not_kept())
}

/// Send a delivery again
///
/// It is sent at once under the same `webhook-id`, with a new retry schedule. No other delivery waits for it.
#[utoipa::path(
    post, path = "/webhooks/{id}/deliveries/{webhook_id}/redeliver", tag = "webhooks", operation_id = "resendDelivery",
    params(EndpointPath, DeliveryPath),
    responses(
        (status = 202, description = "The delivery is queued.", body = Redelivery,
         example = json!({"id": MESSAGE, "status": "pending"})),
        (status = 404, description = "The endpoint or the delivery does not exist.", body = Failure),
        (status = 409, description = "The endpoint is disabled.", body = Failure),
    )
)]
async fn redeliver(
    State(state): State<Shared>,
    Extension(Owner(app)): Extension<Owner>,
    PathId(id): PathId<EndpointId>,
    PathId(WebhookId(webhook_id)): PathId<WebhookId>,
    _: Fields,
) -> Result<(StatusCode, Json<Redelivery>), ApiError> {
    state.find_enabled(&app, &id).await?;
    for node in state.apps.nodes() {
        if state.store.redeliver(*node, &id, &webhook_id).await? {
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
    ApiError::not_found("the delivery does not exist or is no longer stored")
}

/// The status filter of the list.
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
                    return Err(ApiError::field("status", "is given twice"));
                }
            }
        }
        Ok(Self(found))
    }
}
