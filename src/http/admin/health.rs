//! `/healthz`, `/readyz` and `/metrics`.
//!
//! Probes have no keys, so the first two name the state of each node and not its reason.

use std::sync::PoisonError;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::error::ApiError;
use crate::http::openapi::schemas::Failure;
use crate::reconciler::{Link, NodeReport};
use crate::store::unreadable;

use super::nodes;
use super::state::{Inner, Operator, Shared};

/// The timeout of a health check, shorter than that of usual probes.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(metrics))
}

/// `alive` from the one probe, `ready` from the other.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[allow(dead_code, reason = "describes a field")]
enum HealthStatus {
    Alive,
    Ready,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(value_type = HealthStatus)]
    status: &'static str,
    store: StoreHealth,
    nodes: Vec<NodeHealth>,
}

#[derive(Serialize, ToSchema)]
struct StoreHealth {
    ok: bool,
    /// The number of undecodable stored values that belong to no node.
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: usize,
}

// serde passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize, ToSchema)]
struct NodeHealth {
    id: String,
    #[schema(value_type = nodes::LinkText)]
    link: &'static str,
    synced: bool,
    owned_elsewhere: bool,
    /// The number of undecodable stored values of the node; `/admin/orphans` lists them.
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: usize,
}

/// Check that the process lives
#[utoipa::path(
    get, path = "/healthz", tag = "health", operation_id = "getHealth", security(()),
    responses((status = 200, description = "The process lives, whatever the states of the store and the nodes are.", body = Health,
         example = json!({"status": "alive", "store": {"ok": true}, "nodes": [{"id": "acW68", "link": "up", "synced": true, "owned_elsewhere": false}]})))
)]
pub(super) async fn healthz(State(shared): State<Shared>) -> Json<Health> {
    Json(Health {
        status: "alive",
        store: store_health(&shared).await,
        nodes: node_health(&shared.state.controller.nodes()),
    })
}

/// Check that the process serves requests
#[utoipa::path(
    get, path = "/readyz", tag = "health", operation_id = "getReadiness", security(()),
    responses(
        (status = 200, description = "The store answers, and each node was compared with FreeSWITCH or is unreachable.", body = Health,
         example = json!({"status": "ready", "store": {"ok": true}, "nodes": [{"id": "acW68", "link": "up", "synced": true, "owned_elsewhere": false}]})),
        (status = 503, description = "Not ready: `detail.reasons` says why.", body = Failure),
    )
)]
pub(super) async fn readyz(State(shared): State<Shared>) -> Result<Json<Health>, ApiError> {
    let store = store_health(&shared).await;
    let reports = shared.state.controller.nodes();
    let mut reasons = shared.unsettled(&reports);
    if !store.ok {
        reasons.insert(0, "the store does not respond".to_owned());
    }
    let nodes = node_health(&reports);
    if reasons.is_empty() {
        return Ok(Json(Health {
            status: "ready",
            store,
            nodes,
        }));
    }
    Err(
        ApiError::unavailable("not ready", Duration::from_secs(1)).detail(json!({
            "reasons": reasons,
            "store": store,
            "nodes": nodes,
        })),
    )
}

/// A request that may read the metrics.
pub(super) struct Reader;

impl FromRequestParts<Shared> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        if !shared.state.metrics_are_open {
            Operator::from_request_parts(parts, shared).await?;
        }
        Ok(Self)
    }
}

/// Read the metrics
///
/// They need no key unless one is configured.
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "getMetrics", security((), ("admin_key" = [])),
    responses((status = 200, description = "Metrics for Prometheus.", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(shared): State<Shared>, _: Reader) -> impl IntoResponse {
    let text = (shared.state.render_metrics)();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
}

impl Inner {
    /// The reasons why nodes are not ready yet.
    fn unsettled(&self, reports: &[NodeReport]) -> Vec<String> {
        // The set stays valid after a panic of another thread.
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reasons = Vec::new();
        for node in reports {
            let done = match &node.link {
                Link::Down { .. } => true,
                // A node of another replica is never synced here.
                Link::Up => node.synced || node.owned_elsewhere || node.failed_once,
                Link::Connecting => node.synced || node.failed_once,
            };
            if done {
                settled.insert(node.id);
            } else if !settled.contains(&node.id) {
                let id = node.id;
                reasons.push(match &node.link {
                    Link::Connecting => format!("node {id} is connecting"),
                    Link::Up | Link::Down { .. } => format!("node {id} is not synced yet"),
                });
            }
        }
        reasons
    }
}

async fn store_health(shared: &Inner) -> StoreHealth {
    let ping = tokio::time::timeout(STORE_TIMEOUT, shared.state.store.ping()).await;
    StoreHealth {
        ok: matches!(ping, Ok(Ok(()))),
        unreadable: unreadable::of_no_node().len(),
    }
}

fn node_health(reports: &[NodeReport]) -> Vec<NodeHealth> {
    reports
        .iter()
        .map(|node| NodeHealth {
            id: node.id.to_string(),
            link: nodes::word(&node.link),
            synced: node.synced,
            owned_elsewhere: node.owned_elsewhere,
            unreadable: unreadable::of_node(node.id).len(),
        })
        .collect()
}
