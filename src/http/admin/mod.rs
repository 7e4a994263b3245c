//! The operator's listener: health, metrics, nodes, apps, the rooms and calls of all apps, and the console.

mod apps;
mod audit;
mod calls;
mod eviction;
mod health;
mod nodes;
mod query;
mod relay;
mod rooms;
mod scope;
mod state;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

use crate::http::console;
use crate::http::index;
use crate::http::middleware::{site, wrap};
use crate::http::openapi;
use crate::http::state::ApiSettings;
use crate::http::webhooks;

use state::{Inner, Shared};

pub use state::AdminState;

/// The document of the operator's API, made once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| admin_document().unwrap_or_default());

/// Returns the OpenAPI document of the operator's API as JSON.
///
/// # Errors
/// Fails if the document has no JSON form, which cannot happen: it consists of texts.
pub fn admin_document() -> Result<String, serde_json::Error> {
    let hooks = OpenApiRouter::new().nest(OF_APP, webhooks::routes());
    let mut api = routes().into_openapi();
    api.merge(hooks.into_openapi());
    openapi::complete_admin(api).to_json()
}

/// The path below which the routes of webhook endpoints are nested.
const OF_APP: &str = "/admin/apps/{app_id}";

/// The routes of all modules. Each module names its handlers, which describe themselves for the document.
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(nodes::routes())
        .merge(relay::routes())
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
    let (routes, _) = routes().split_for_parts();
    let routes = routes
        .merge(openapi::routes(DOCUMENT.as_str()))
        .with_state(Arc::clone(&shared));
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
        .nest(OF_APP, hooks)
        .merge(index::admin_routes())
        .route_layer(from_fn_with_state(hosts.clone(), site::guard_admin));
    let page = console::operator_routes();
    let page = page.route_layer(from_fn_with_state(hosts, site::guard_pages));
    wrap(routes.merge(page), settings.body_limits(), recorder)
}
