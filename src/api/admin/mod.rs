//! The operator's listener: whether the program lives and can work, its metrics, its nodes, its apps.
//!
//! `/healthz` and `/readyz` are for probes, which have no keys; so they tell which node is how, but not why.

mod apps;
mod nodes;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;

use crate::ids::NodeId;
use crate::reconciler::{Controller, Link, NodeReport};
use crate::store::{Store, unreadable};
use crate::webhook::guard::Policy;

use super::auth::{Attempt, KeyDigest, only};
use super::body::BodyLimits;
use super::error::ApiError;
use super::registry::Registry;
use super::site::{self, AllowedHosts};
use super::{ApiSettings, dress, webhooks};

const ADMIN_KEY: &str = "x-admin-api-key";

/// A probe that is answered later than this has been given up on already.
const STORE_PATIENCE: Duration = Duration::from_secs(1);

/// What the admin listener needs.
#[derive(Clone)]
pub struct AdminState {
    /// Asked whether it answers.
    pub store: Arc<dyn Store>,
    /// Asked how the nodes are.
    pub controller: Arc<dyn Controller>,
    /// The apps, listed and changed.
    pub apps: Arc<Registry>,
    /// The key of every route but the probes.
    pub key: KeyDigest,
    /// Metrics need no key.
    pub metrics_are_open: bool,
    /// The names that it may be called by.
    pub hosts: AllowedHosts,
    /// The metrics in Prometheus' text form.
    pub render_metrics: Arc<dyn Fn() -> String + Send + Sync>,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState")
            .field("store", &self.store)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

struct Inner {
    state: AdminState,
    /// Which receivers an app can be given.
    webhooks: Policy,
    /// Nodes that have once been synced or found unreachable: they are not waited for again.
    settled: Mutex<BTreeSet<NodeId>>,
}

type Shared = Arc<Inner>;

/// The operator's API.
pub fn admin_router(state: AdminState, settings: &ApiSettings) -> Router {
    let hosts = state.hosts.clone();
    let shared: Shared = Arc::new(Inner {
        state,
        webhooks: settings.webhooks,
        settled: Mutex::default(),
    });
    let routes = Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/admin/nodes", get(nodes::list))
        .route("/admin/nodes/{id}/drain", post(nodes::drain))
        .route("/admin/nodes/{id}/undrain", post(nodes::undrain))
        .route("/admin/nodes/{id}/resync", post(nodes::resync))
        .route("/admin/orphans", get(nodes::orphans))
        .route("/admin/apps", get(apps::list))
        .route("/admin/apps/{app_id}", get(apps::get).post(apps::add))
        .route("/admin/apps/{app_id}/rotate-key", post(apps::rotate_key))
        .route("/admin/apps/{app_id}/rate-limit", post(apps::limit))
        .route("/admin/apps/{app_id}/disable", post(apps::disable))
        .with_state(Arc::clone(&shared));
    let hooks = webhooks::routes(webhooks::Hooks {
        store: Arc::clone(&shared.state.store),
        apps: Arc::clone(&shared.state.apps),
        settings: settings.clone(),
    });
    let hooks = hooks.route_layer(from_fn_with_state(shared, apps::webhooks_of));
    let routes = routes
        .nest("/admin/apps/{app_id}", hooks)
        .route_layer(from_fn_with_state(hosts, site::guard_admin));
    dress(routes, BodyLimits::of(settings))
}

#[derive(Serialize)]
struct Health {
    status: &'static str,
    store: StoreHealth,
    nodes: Vec<NodeHealth>,
}

#[derive(Serialize)]
struct StoreHealth {
    ok: bool,
    /// How many stored values that are no node's cannot be read.
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: usize,
}

// As serde calls it.
#[allow(clippy::trivially_copy_pass_by_ref)]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

#[derive(Serialize)]
struct NodeHealth {
    id: String,
    link: &'static str,
    synced: bool,
    owned_elsewhere: bool,
    /// How many stored values of it cannot be read; `/admin/orphans` names them.
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: usize,
}

/// Whoever may read more than the probes.
struct Operator;

impl FromRequestParts<Shared> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        let key = &shared.state.key;
        let given = only(&parts.headers, ADMIN_KEY).unwrap_or_default();
        let attempt = Attempt::begin(&parts.headers, &parts.extensions, given)?;
        let is_key = bool::from(KeyDigest::of(given).same(key));
        attempt.end(is_key.then_some(Self), "missing or invalid X-Admin-API-Key")
    }
}

async fn healthz(State(shared): State<Shared>) -> Json<Health> {
    Json(Health {
        status: "alive",
        store: store_health(&shared).await,
        nodes: node_health(&shared.state.controller.nodes()),
    })
}

async fn readyz(State(shared): State<Shared>) -> Result<Json<Health>, ApiError> {
    let store = store_health(&shared).await;
    let reports = shared.state.controller.nodes();
    let mut reasons = shared.unsettled(&reports);
    if !store.ok {
        reasons.insert(0, "the store does not answer".to_owned());
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
struct Reader;

impl FromRequestParts<Shared> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        if !shared.state.metrics_are_open {
            Operator::from_request_parts(parts, shared).await?;
        }
        Ok(Self)
    }
}

async fn metrics(State(shared): State<Shared>, _: Reader) -> impl IntoResponse {
    let text = (shared.state.render_metrics)();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
}

impl Inner {
    /// Why nodes are still waited for.
    fn unsettled(&self, reports: &[NodeReport]) -> Vec<String> {
        // A panic elsewhere does not make what is known here less true.
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reasons = Vec::new();
        for node in reports {
            let done = match &node.link {
                Link::Down { .. } => true,
                // What another replica reconciles is never synced here.
                Link::Up => node.synced || node.owned_elsewhere || node.failed_once,
                Link::Connecting => node.synced || node.failed_once,
            };
            if done {
                settled.insert(node.id);
            } else if !settled.contains(&node.id) {
                let id = node.id;
                reasons.push(match &node.link {
                    Link::Connecting => format!("node {id} is being connected to"),
                    Link::Up | Link::Down { .. } => format!("node {id} is not synced yet"),
                });
            }
        }
        reasons
    }
}

async fn store_health(shared: &Inner) -> StoreHealth {
    let ping = tokio::time::timeout(STORE_PATIENCE, shared.state.store.ping()).await;
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
