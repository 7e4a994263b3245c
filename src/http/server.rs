//! The routers: all routes and their middleware.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::middleware::from_fn_with_state;
use utoipa_axum::router::OpenApiRouter;

use super::middleware::{site, wrap};
use super::state::{ApiState, Shared};
use super::{console, events, gateway, index, openapi, voipbin, webhooks};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().unwrap_or_default());

/// Returns the OpenAPI document of the callers' API as JSON.
///
/// # Errors
/// Fails if the document has no JSON form, which cannot happen: it consists of texts.
pub fn document() -> Result<String, serde_json::Error> {
    let webhooks = OpenApiRouter::new().nest("/api/v1", webhooks::routes());
    let mut api = routes().into_openapi();
    api.merge(webhooks.into_openapi());
    openapi::complete(api).to_json()
}

/// The documented routes that share [`ApiState`].
fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(gateway::routes())
        .merge(events::routes())
        .merge(voipbin::routes())
}

/// The callers' API.
pub fn router(state: ApiState) -> Router {
    let limits = state.settings.body_limits();
    let recorder = state.recorder.clone();
    let state: Shared = Arc::new(state);
    let hooks = webhooks::WebhookState {
        store: Arc::clone(&state.store),
        apps: Arc::clone(&state.apps),
        settings: state.settings.clone(),
    };
    let (hooks, _) = webhooks::routes()
        .with_state(Arc::new(hooks))
        .route_layer(from_fn_with_state(
            Arc::clone(&state),
            webhooks::for_own_app,
        ))
        .split_for_parts();
    let pages = openapi::routes(DOCUMENT.as_str())
        .merge(console::routes())
        .merge(index::api_routes());
    let hosts = state.settings.page_hosts.clone();
    let pages = pages.route_layer(from_fn_with_state(hosts, site::guard_pages));
    let (routes, _) = routes().split_for_parts();
    wrap(
        routes.nest("/api/v1", hooks).merge(pages).with_state(state),
        limits,
        recorder,
    )
}
