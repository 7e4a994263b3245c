//! The operator's listener: health, metrics, nodes, apps, the rooms and calls of all apps, and the console.

mod apps;
mod audit;
mod calls;
mod eviction;
mod health;
mod nodes;
mod query;
mod rooms;
mod scope;
mod state;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;

use crate::http::console;
use crate::http::index;
use crate::http::middleware::{site, wrap};
use crate::http::state::ApiSettings;
use crate::http::webhooks;

use state::{Inner, Shared};

pub use state::AdminState;

/// The routes whose handlers describe their operations.
fn described_routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(apps::routes())
        .merge(rooms::routes())
        .merge(calls::routes())
        .merge(audit::routes())
}

/// The operator's API.
pub fn admin_router(state: AdminState, settings: &ApiSettings) -> Router {
    let hosts = state.hosts.clone();
    let recorder = state.recorder.clone();
    let shared: Shared = Arc::new(Inner::new(state, settings));
    let routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
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
    let (described, _) = described_routes()
        .with_state(Arc::clone(&shared))
        .split_for_parts();
    let hooks = webhooks::WebhookState {
        store: Arc::clone(&shared.state.store),
        apps: Arc::clone(&shared.state.apps),
        settings: settings.clone(),
    };
    let (hooks, _) = webhooks::routes()
        .with_state(Arc::new(hooks))
        .route_layer(from_fn_with_state(shared, apps::webhooks_of))
        .split_for_parts();
    let routes = routes
        .merge(described)
        .nest("/admin/apps/{app_id}", hooks)
        .merge(index::admin_routes())
        .route_layer(from_fn_with_state(hosts.clone(), site::guard_admin));
    let page = console::operator_routes();
    let page = page.route_layer(from_fn_with_state(hosts, site::guard_pages));
    wrap(routes.merge(page), settings.body_limits(), recorder)
}
