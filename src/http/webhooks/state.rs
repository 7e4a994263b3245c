//! The state that the webhook handlers share, and the owner of the endpoints.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use crate::http::auth::Caller;
use crate::http::error::ApiError;
use crate::http::middleware::audit::note_sender;
use crate::http::state::{ApiSettings, ApiState};
use crate::store::Store;
use crate::store::audit::AuditActor;
use crate::tenants::Registry;
use crate::webhook::endpoint::Endpoint;
use roomkeeper_core::ids::{AppId, EndpointId};

/// The shared state of the webhook handlers.
#[derive(Clone)]
pub(crate) struct WebhookState {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) apps: Arc<Registry>,
    pub(crate) settings: ApiSettings,
}

/// The app whose endpoints a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Owner(pub(crate) AppId);

pub(super) type Shared = Arc<WebhookState>;

impl WebhookState {
    /// Finds the app's endpoint, or returns 404. An unknown one may be new on another replica, so the list is
    /// refreshed.
    pub(super) async fn find(&self, app: &AppId, id: &EndpointId) -> Result<Endpoint, ApiError> {
        if let Ok(found) = self.apps.endpoint(app, id) {
            return Ok(found);
        }
        self.apps.refresh().await?;
        Ok(self.apps.endpoint(app, id)?)
    }

    /// Finds an enabled endpoint, or returns 409: a delivery to a disabled one would be dead at once.
    pub(super) async fn find_enabled(
        &self,
        app: &AppId,
        id: &EndpointId,
    ) -> Result<Endpoint, ApiError> {
        let endpoint = self.find(app, id).await?;
        match endpoint.disabled {
            None => Ok(endpoint),
            Some(disabled) => {
                let words = "the webhook endpoint is disabled";
                let detail = json!({ "disabled_reason": disabled.why.as_str() });
                Err(ApiError::new(StatusCode::CONFLICT, words).detail(detail))
            }
        }
    }
}

/// Middleware for an app's own webhook endpoints. An app may change them even while the queues are full or its quota is
/// used up: that is how it reduces both.
pub(crate) async fn for_own_app(
    State(state): State<Arc<ApiState>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let known = Caller::known(&state, request.headers(), request.extensions()).await?;
    state.limiter.admit(&known.app, known.rate_limit).await?;
    note_sender(request.extensions(), || AuditActor::App(known.app.clone()));
    request.extensions_mut().insert(Owner(known.app));
    Ok(next.run(request).await)
}
