//! The state that the operator's handlers share, and the check of the admin key.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use tokio::sync::Semaphore;

use crate::audit::{AuditRecorder, AuditSettings};
use crate::http::auth::{Attempt, only};
use crate::http::cursor::CursorKey;
use crate::http::error::ApiError;
use crate::http::middleware::audit::note_sender;
use crate::http::middleware::site::AllowedHosts;
use crate::http::state::ApiSettings;
use crate::reconciler::{Accepted, Controller, Intent, Link};
use crate::store::Store;
use crate::store::audit::AuditActor;
use crate::tenants::{KeyDigest, Registry};
use crate::webhook::guard::Policy;
use roomkeeper_core::ids::NodeId;

const ADMIN_KEY: &str = "x-admin-api-key";

/// The dependencies of the admin listener.
#[derive(Clone)]
pub struct AdminState {
    /// The store, for health checks and orphans.
    pub store: Arc<dyn Store>,
    /// The controller, for the nodes.
    pub controller: Arc<dyn Controller>,
    /// The apps.
    pub apps: Arc<Registry>,
    /// The limits of the audit log.
    pub audit: AuditSettings,
    /// Records the operator's requests.
    pub recorder: AuditRecorder,
    /// The key for every route except the probes.
    pub key: KeyDigest,
    /// Metrics need no key.
    pub metrics_are_open: bool,
    /// The accepted host names.
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

pub(super) struct Inner {
    pub(super) state: AdminState,
    /// The rules for URLs of webhook endpoints.
    pub(super) webhooks: Policy,
    /// Signs the cursors.
    pub(super) cursor_key: CursorKey,
    /// Nodes that have once been synced or found unreachable: readiness no longer waits for them.
    pub(super) settled: Mutex<BTreeSet<NodeId>>,
    /// The permit of the one search that may be in progress: it reads the calls of the whole fleet.
    pub(super) search: Semaphore,
}

impl Inner {
    pub(super) fn new(state: AdminState, settings: &ApiSettings) -> Self {
        Self {
            state,
            webhooks: settings.webhooks,
            cursor_key: settings.cursor_key.clone(),
            settled: Mutex::default(),
            search: Semaphore::new(1),
        }
    }

    /// Submits an intent of the operator.
    pub(super) async fn submit(&self, intent: Intent) -> Result<Accepted, ApiError> {
        let accepted = self.state.controller.submit(intent).await;
        accepted.map_err(|error| ApiError::intent(error, false))
    }

    /// True if the state of this node's rooms and calls may be out of date, because no replica is connected to it.
    pub(super) fn is_stale(&self, node: NodeId) -> bool {
        !matches!(self.state.controller.link(node), Some(Link::Up))
    }
}

pub(super) type Shared = Arc<Inner>;

/// A request with the admin key.
pub(super) struct Operator;

impl FromRequestParts<Shared> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, ApiError> {
        let key = &shared.state.key;
        let given = only(&parts.headers, ADMIN_KEY).unwrap_or_default();
        let attempt = Attempt::begin(&parts.headers, &parts.extensions, given)?;
        let is_key = bool::from(KeyDigest::for_key(given).same(key));
        let error = match parts.headers.contains_key(ADMIN_KEY) {
            false => "the header X-Admin-API-Key is missing",
            true => "X-Admin-API-Key is not the admin key",
        };
        let operator = attempt.end(is_key.then_some(Self), error)?;
        note_sender(&parts.extensions, || AuditActor::Operator);
        Ok(operator)
    }
}
