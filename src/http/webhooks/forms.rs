//! Response bodies for webhook endpoints and deliveries.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use crate::store::Scope;
use crate::store::deliveries::{AttemptRecord, Delivery, DeliveryStatus, LastError};
use crate::webhook::endpoint::{Endpoint, EventFilter};
use roomkeeper_core::time::Timestamp;

/// A webhook endpoint.
#[derive(ToSchema)]
#[schema(as = WebhookEndpointId, pattern = "^ep_[a-z0-9]{1,64}$")]
#[allow(dead_code, reason = "describes a field")]
pub(super) struct EndpointIdText(String);

/// The `webhook-id` of an event.
#[derive(ToSchema)]
#[schema(as = WebhookId, pattern = "^msg_[0-9a-f]{32}$")]
#[allow(dead_code, reason = "describes a field")]
pub(super) struct WebhookIdText(String);

/// The path of a webhook endpoint.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[allow(dead_code, reason = "describes the path")]
pub(super) struct EndpointPath {
    /// The endpoint.
    #[param(value_type = EndpointIdText)]
    id: String,
}

/// The state of a delivery.
#[derive(ToSchema)]
#[schema(as = DeliveryStatus, rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
pub(super) enum Status {
    Pending,
    Delivered,
    Dead,
}

/// The reason why an endpoint is disabled: its owner's request, an answer 410 (`gone`), or no success for five days
/// (`failing`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum DisabledReason {
    Owner,
    Gone,
    Failing,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Webhooks)]
pub(super) struct EndpointList {
    pub(super) webhooks: Vec<EndpointSummary>,
}

/// The last failed attempt at an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookError)]
pub(super) struct LastErrorRow {
    #[schema(format = DateTime)]
    pub(super) at: String,
    /// The HTTP status of the response; absent without a response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<u16>,
    /// The reason of the failure.
    pub(super) error: String,
    /// The event that was not delivered.
    pub(super) event: String,
}

/// A webhook endpoint with the results of its attempts.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSummary)]
pub(super) struct EndpointSummary {
    #[serde(flatten)]
    pub(super) row: EndpointRow,
    /// Time of the last successful delivery.
    #[schema(format = DateTime)]
    pub(super) last_success_at: Option<String>,
    /// The last failed attempt, also if later ones succeeded; `null` without one since the endpoint was made, enabled or
    /// got its URL.
    pub(super) last_error: Option<LastErrorRow>,
}

/// A webhook endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct EndpointRow {
    #[schema(value_type = EndpointIdText)]
    pub(super) id: String,
    pub(super) url: String,
    pub(super) events: Vec<String>,
    /// `false`: the endpoint gets no requests. Its deliveries are stored as dead and can be recovered.
    pub(super) enabled: bool,
    /// `null` while it is enabled.
    #[schema(value_type = Option<DisabledReason>)]
    pub(super) disabled_reason: Option<&'static str>,
    #[schema(format = DateTime)]
    pub(super) disabled_at: Option<String>,
    /// The endpoint is part of the configuration; only `enabled` can be changed here.
    pub(super) configured: bool,
    /// `null` for a configured endpoint.
    #[schema(format = DateTime)]
    pub(super) created_at: Option<String>,
}

/// A webhook endpoint with its health.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookDetail)]
pub(super) struct EndpointDetail {
    #[serde(flatten)]
    pub(super) summary: EndpointSummary,
    /// The number of pending deliveries.
    pub(super) pending: u64,
    /// The number of stored dead deliveries.
    pub(super) dead: u64,
    /// The number of events that were lost because the endpoint's queues were full.
    pub(super) lost: u64,
    /// Time since which all deliveries fail; `null` if they succeed.
    #[schema(format = DateTime)]
    pub(super) failing_since: Option<String>,
}

/// A webhook endpoint with its secret, which is not shown again.
#[derive(Serialize, ToSchema)]
#[schema(as = NewWebhook)]
pub(super) struct MadeEndpoint {
    #[serde(flatten)]
    pub(super) row: EndpointRow,
    /// The signing secret: `whsec_` and base64.
    pub(super) secret: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookSecret)]
pub(super) struct NewSecret {
    #[schema(value_type = EndpointIdText)]
    pub(super) id: String,
    /// The signing secret: `whsec_` and base64. It is not shown again.
    pub(super) secret: String,
    /// Time until which bodies are also signed with the previous secret.
    #[schema(format = DateTime)]
    pub(super) replaced_until: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRef)]
pub(super) struct EndpointRef {
    #[schema(value_type = EndpointIdText)]
    pub(super) id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = WebhookRecovered)]
pub(super) struct RecoveredCount {
    /// The number of deliveries that are pending again.
    pub(super) recovered: u64,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Deliveries)]
pub(super) struct DeliveryList {
    pub(super) deliveries: Vec<DeliveryRow>,
    /// Empty on the last page.
    pub(super) cursor: String,
}

/// One event for one endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryRow {
    /// The `webhook-id` of the delivery.
    #[schema(value_type = WebhookIdText)]
    pub(super) id: String,
    pub(super) event: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) room_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_uuid: Option<String>,
    pub(super) sequence: u64,
    #[schema(value_type = Status)]
    pub(super) status: DeliveryStatus,
    /// Time at which the delivery was queued.
    #[schema(format = DateTime)]
    pub(super) created_at: Option<String>,
    /// The last attempts, oldest first.
    pub(super) attempts: Vec<AttemptRow>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryAttempt)]
pub(super) struct AttemptRow {
    #[schema(format = DateTime)]
    pub(super) at: String,
    /// The HTTP status of the response; `null` without a response.
    pub(super) status: Option<u16>,
    /// The reason why there was no response; `null` otherwise.
    pub(super) error: Option<String>,
    /// Duration in milliseconds.
    pub(super) ms: u64,
}

/// A delivery with its body.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryDetail)]
pub(super) struct DeliveryDetail {
    #[serde(flatten)]
    pub(super) row: DeliveryRow,
    /// The signed body.
    #[schema(value_type = Object)]
    pub(super) body: Box<RawValue>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Redelivery)]
pub(super) struct Redelivery {
    #[schema(value_type = WebhookIdText)]
    pub(super) id: String,
    #[schema(value_type = Status)]
    pub(super) status: DeliveryStatus,
}

impl EndpointRow {
    pub(super) fn from_endpoint(endpoint: &Endpoint) -> Self {
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

impl LastErrorRow {
    pub(super) fn from_error(found: LastError) -> Self {
        let LastError {
            at,
            status,
            error,
            event,
        } = found;
        Self {
            at: Timestamp::from_micros(at).rfc3339_micros(),
            status,
            error,
            event,
        }
    }
}

impl DeliveryRow {
    pub(super) fn from_delivery(delivery: Delivery) -> Self {
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
            created_at: queued.map(|ms| Timestamp::from_millis(ms).rfc3339_seconds()),
            attempts: attempts.into_iter().map(AttemptRow::from_attempt).collect(),
        }
    }
}

impl AttemptRow {
    pub(super) fn from_attempt(attempt: AttemptRecord) -> Self {
        Self {
            at: Timestamp::from_micros(attempt.at).rfc3339_micros(),
            status: attempt.status,
            error: attempt.error,
            ms: attempt.ms,
        }
    }
}

/// Ids that the examples share.
pub(super) mod example {
    pub(in crate::http::webhooks) const ENDPOINT: &str = "ep_b15d4a82272357b381b5eb5e5a2a9a5d";
    pub(in crate::http::webhooks) const MESSAGE: &str = "msg_018f3c2a9b1d7cc2a3f0b1c2d3e4f5a6";
}
