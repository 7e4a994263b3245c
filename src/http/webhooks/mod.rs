//! `…/webhooks`: an app's webhook endpoints and their deliveries.
//!
//! The same routes exist twice: in the gateway API for an app's own endpoints, and under `/admin/apps/{app_id}` for the
//! operator. The router that nests them adds [`Owner`] to each request, which names the app and permits the request.
//!
//! A secret is part of one response only: that of the request that created it.

mod deliveries;
mod endpoints;
mod forms;
mod state;

use utoipa_axum::router::OpenApiRouter;

use state::Shared;

pub(crate) use state::{Owner, WebhookState, for_own_app};

/// The routes, relative to the path of their app.
pub(crate) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .merge(endpoints::routes())
        .merge(deliveries::routes())
}
