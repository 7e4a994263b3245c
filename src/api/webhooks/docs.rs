//! What the OpenAPI document says of the receivers: one empty function a route, above which stands what its handler takes
//! and answers.
#![allow(dead_code, reason = "what stands here is read by the macros alone")]

use utoipa::{IntoParams, OpenApi, ToSchema};

use super::{
    DeliveryDetail, DeliveryList, EndpointDetail, EndpointList, EndpointRef, EndpointRow,
    MadeEndpoint, NewSecret, RecoveredCount, Redelivery,
};
use crate::api::gateway::{Failure, limit};
use crate::api::openapi::event_filter;
use crate::webhook::payload::EVENTS;

/// The paths of the receivers.
#[derive(OpenApi)]
#[openapi(paths(
    webhooks,
    create_webhook,
    webhook,
    change_webhook,
    delete_webhook,
    rotate_webhook_secret,
    test_webhook,
    recover_webhook,
    deliveries,
    delivery,
    redeliver
))]
pub(crate) struct Paths;

/// A webhook endpoint.
#[derive(ToSchema)]
#[schema(as = WebhookEndpointId, pattern = "^ep_[a-z0-9]{1,64}$")]
pub(super) struct EndpointIdText(String);

/// The `webhook-id` of an event.
#[derive(ToSchema)]
#[schema(as = WebhookId, pattern = "^msg_[0-9a-f]{32}$")]
pub(super) struct WebhookIdText(String);

/// What bodies are signed with: `whsec_` and 24 to 64 bytes in base64.
#[derive(ToSchema)]
#[schema(
    as = SigningSecret,
    pattern = "^whsec_(([A-Za-z0-9+/]{4}){8,20}([A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)?|([A-Za-z0-9+/]{4}){21}([A-Za-z0-9+/][AQgw]==)?)$"
)]
struct SecretText(String);

event_filter! {
    /// Which events are meant.
    WebhookFilter, EVENTS.iter().copied()
}

/// What became of an event for a receiver.
#[derive(ToSchema)]
#[schema(as = DeliveryStatus, rename_all = "snake_case")]
pub(super) enum Status {
    Pending,
    Delivered,
    Dead,
}

/// A receiver that is to be made.
#[derive(ToSchema)]
struct WebhookRequest {
    /// Where events are posted: https to a public address, unless the configuration allows others.
    #[schema(pattern = "^https?://", max_length = 2048)]
    url: String,
    /// Names of events, prefixes as `conference.member.*`, or `*`. Without it, all.
    #[schema(min_items = 1)]
    #[schema(value_type = Option<Vec<WebhookFilter>>)]
    events: Option<Vec<String>>,
    /// What bodies are signed with: `whsec_` and 24 to 64 bytes in base64. Made when not given.
    #[schema(value_type = Option<SecretText>)]
    secret: Option<String>,
}

/// What is to be changed of a receiver. What is left out stays.
#[derive(ToSchema)]
struct WebhookChange {
    #[schema(pattern = "^https?://", max_length = 2048)]
    url: Option<String>,
    #[schema(min_items = 1)]
    #[schema(value_type = Option<Vec<WebhookFilter>>)]
    events: Option<Vec<String>>,
    /// Whether it is called.
    enabled: Option<bool>,
}

#[derive(ToSchema)]
struct WebhookRotation {
    /// `whsec_` and 24 to 64 bytes in base64. Made when not given.
    #[schema(value_type = Option<SecretText>)]
    secret: Option<String>,
}

#[derive(ToSchema)]
struct WebhookRecovery {
    /// What was queued since then.
    #[schema(format = DateTime)]
    since: String,
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
struct DeliveryQuery {
    /// Only these.
    #[param(inline)]
    status: Option<Status>,
    /// How many rows at most. What is above the most allowed is taken as that.
    #[param(schema_with = limit)]
    limit: Option<u64>,
    /// The `cursor` of the page before, as it was.
    cursor: Option<String>,
}

const ENDPOINT: &str = "ep_b15d4a82272357b381b5eb5e5a2a9a5d";
const MESSAGE: &str = "msg_018f3c2a9b1d7cc2a3f0b1c2d3e4f5a6";

/// List the app's webhook endpoints
#[utoipa::path(
    get, path = "/api/v1/webhooks", tag = "webhooks",
    responses((status = 200, description = "Those of the configuration, then the others by time of creation.", body = EndpointList,
         example = json!({"webhooks": [{"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z"}]})))
)]
fn webhooks() {}

/// Make a webhook endpoint
///
/// The answer is the only place that shows its secret.
#[utoipa::path(
    post, path = "/api/v1/webhooks", tag = "webhooks",
    request_body(content = WebhookRequest, example = json!({"url": "https://example.com/hook", "events": ["conference.*"]})),
    responses(
        (status = 201, description = "It is made, and gets what happens from now on.", body = MadeEndpoint,
         example = json!({"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})),
        (status = 409, description = "The app has one with this URL (`detail.id`), or has made 16 already: those of the configuration do not count.", body = Failure),
    )
)]
fn create_webhook() {}

/// Read a webhook endpoint
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint.")),
    responses(
        (status = 200, description = "What it is, and how it is.", body = EndpointDetail,
         example = json!({"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z", "pending": 0, "dead": 0, "lost": 0, "last_success_at": "2026-05-06T12:34:56.672025Z", "failing_since": null})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
    )
)]
fn webhook() {}

/// Change a webhook endpoint
///
/// One of the configuration can be disabled and enabled here, and nothing else.
#[utoipa::path(
    patch, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint.")),
    request_body(content = WebhookChange, example = json!({"enabled": true})),
    responses(
        (status = 200, description = "It is changed.", body = EndpointRow,
         example = json!({"id": ENDPOINT, "url": "https://example.com/hook", "events": ["conference.*"], "enabled": true, "disabled_reason": null, "disabled_at": null, "configured": false, "created_at": "2026-05-06T12:34:56Z"})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "It is in the configuration, or the app has another with this URL.", body = Failure),
    )
)]
fn change_webhook() {}

/// Remove a webhook endpoint
///
/// With it goes what was not delivered.
#[utoipa::path(
    delete, path = "/api/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint.")),
    responses(
        (status = 200, description = "It gets nothing more.", body = EndpointRef,
         example = json!({"id": ENDPOINT})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "It is in the configuration.", body = Failure),
    )
)]
fn delete_webhook() {}

/// Replace the secret of a webhook endpoint
///
/// For 24 hours bodies are signed with both.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/rotate-secret", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint.")),
    request_body(content = WebhookRotation, example = json!({})),
    responses(
        (status = 200, description = "It has another.", body = NewSecret,
         example = json!({"id": ENDPOINT, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "replaced_until": "2026-05-07T12:34:56Z"})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "It is in the configuration.", body = Failure),
    )
)]
fn rotate_webhook_secret() {}

/// Send a webhook endpoint a test event
///
/// It is called `webhook.test`, goes to this endpoint alone, and is delivered and logged as any other.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/test", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint.")),
    responses(
        (status = 202, description = "It is on its way.", body = Redelivery,
         example = json!({"id": MESSAGE, "status": "pending"})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
    )
)]
fn test_webhook() {}

/// Send again what was given up
///
/// Everything dead that was queued since then, in its order, also what came while the endpoint was disabled.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/recover", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint.")),
    request_body(content = WebhookRecovery, example = json!({"since": "2026-05-06T12:00:00Z"})),
    responses(
        (status = 202, description = "It is on its way.", body = RecoveredCount,
         example = json!({"recovered": 3})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
        (status = 409, description = "It is disabled.", body = Failure),
    )
)]
fn recover_webhook() {}

/// List what an endpoint was sent
///
/// The latest first. What was delivered is kept for 72 hours, or as the last 10,000; what was given up until it is sent
/// again.
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries", tag = "webhooks",
    params(("id" = EndpointIdText, Path, description = "The endpoint."), DeliveryQuery),
    responses(
        (status = 200, description = "A page: 50 unless asked otherwise, 200 at most.", body = DeliveryList,
         example = json!({"deliveries": [{"id": MESSAGE, "event": "call.new", "session_uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "sequence": 1, "status": "dead", "created_at": "2026-05-06T12:34:56.672025Z", "attempts": [{"at": "2026-05-06T12:34:56.680025Z", "status": 500, "error": null, "ms": 12}]}], "cursor": ""})),
        (status = 404, description = "The app has no such endpoint.", body = Failure),
    )
)]
fn deliveries() {}

/// Read what an endpoint was sent
#[utoipa::path(
    get, path = "/api/v1/webhooks/{id}/deliveries/{webhook_id}", tag = "webhooks",
    params(
        ("id" = EndpointIdText, Path, description = "The endpoint."),
        ("webhook_id" = WebhookIdText, Path, description = "The delivery's `webhook-id`."),
    ),
    responses(
        (status = 200, description = "The delivery with its body.", body = DeliveryDetail,
         example = json!({"id": MESSAGE, "event": "call.new", "session_uuid": "acW68-0b6b4f0a-6a4e-4a3e-9d4e-6f6b0c9d2a11", "sequence": 1, "status": "dead", "created_at": "2026-05-06T12:34:56.672025Z", "attempts": [{"at": "2026-05-06T12:34:56.680025Z", "status": 500, "error": null, "ms": 12}], "body": {"event": "call.new"}})),
        (status = 404, description = "There is no such endpoint or delivery.", body = Failure),
    )
)]
fn delivery() {}

/// Send something again
///
/// At once, under the same `webhook-id`, and on a schedule that begins anew; nothing waits for it.
#[utoipa::path(
    post, path = "/api/v1/webhooks/{id}/deliveries/{webhook_id}/redeliver", tag = "webhooks",
    params(
        ("id" = EndpointIdText, Path, description = "The endpoint."),
        ("webhook_id" = WebhookIdText, Path, description = "The delivery's `webhook-id`."),
    ),
    responses(
        (status = 202, description = "It is on its way.", body = Redelivery,
         example = json!({"id": MESSAGE, "status": "pending"})),
        (status = 404, description = "There is no such endpoint or delivery.", body = Failure),
        (status = 409, description = "The endpoint is disabled.", body = Failure),
    )
)]
fn redeliver() {}
