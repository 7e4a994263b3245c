//! The HTTP APIs: parse, authorise, one domain call, render.
//!
//! Owns what a caller may ask, who may ask it, and the one form of every answer. Leaves out what follows from a
//! request: the state changes behind [`Controller`], and is read through [`Store`].
//!
//! # The order of checks
//!
//! | check | answer | where |
//! |---|---|---|
//! | form of the head | 400, 408, 414, 431 | `listen`; answered by `around` |
//! | too many wrong keys from an address | 429 | `auth::Attempt`; a key that was valid from there before passes |
//! | authentication | 401 | `auth::Caller`, the first extractor of every handler, before the body is received |
//! | the app's rate limit | 429 | `limits`: the end of `auth::Caller`, so that it counts every request |
//! | room for the webhooks of a change | 503 | `ApiState::admit`, after it |
//! | the app's quota of bytes | 413, 429 | `quota`, after it, for requests that add something |
//! | syntax: path, query, body | 400, 413, 415 | the extractors after it, then the handler's own parsing |
//! | existence | 404 | `access`: `find_*` |
//! | ownership | 403 | `access`: `own` |
//! | replay of a `command_uid` | the first answer, 409 | `replay`, between `own` and `submit` in `gateway::asked` |
//! | state | 409 | [`Controller::submit`]; while a cooldown runs, `access`: `answered_by_state` |
//! | cooldown | 429 | `limits`: `submit_cooled`, around `submit`; why the order holds is said there |
//! | the command | 404, 502, 503, 504 | [`Controller::submit`] |
//!
//! Existence and ownership of what a join, a leave or a mute names are not looked up where the node's reconciler vouches for
//! them: what it believes under its lease is what is stored, and the commit fails where it is not. What is answered without
//! it, a replay or a 429, comes after a look-up all the same (`access::LookUp`).
//!
//! Unknown paths and wrong methods are answered (404, 405) before authentication: they tell nothing that the
//! documentation does not.
//!
//! # Reading requests
//!
//! Unknown fields of a body and unknown parameters of a query are ignored, so that a newer client can talk to an
//! older server. A known field of a wrong type is 400 and named. `null` is the same as a field left out. A body may
//! be left out where no field is required; when there is one, its `Content-Type` is `application/json` or not given.

mod access;
mod admin;
mod around;
mod auth;
mod body;
mod cursor;
mod error;
mod events;
mod gateway;
pub mod limits;
mod lists;
mod observe;
pub mod openapi;
mod placement;
mod quota;
mod registry;
pub mod replay;
mod request;
mod site;
mod voipbin;
mod webhooks;

pub use crate::media::PlayRules;
pub use admin::{AdminState, admin_router};
pub use auth::{App, Apps, KeyDigest};
pub use cursor::CursorKey;
pub use events::{Hub, StreamSettings};
pub use quota::Quota;
pub use registry::{Registry, Tenants};
pub use site::AllowedHosts;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use uuid::Uuid;

use crate::config::HttpConfig;
use crate::console;
use crate::reconciler::Controller;
use crate::store::Store;
use crate::webhook::guard::Policy;
use crate::webhook::pressure::Pressure;

use around::Around;
use body::BodyLimits;
use error::ApiError;
use limits::{AppLimiter, LimitSettings};

/// Where new ids come from: random in production, counted in tests.
pub type IdSource = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// What the API can be told.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Another app's rooms and calls are not found, rather than forbidden.
    pub hide_foreign: bool,
    /// The largest body that is read.
    pub body_limit: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Signs the cursors. Replicas that serve the same callers need the same one.
    pub cursor_key: CursorKey,
    /// How long a name is held for a room that is being made.
    pub name_reservation: Duration,
    /// How long a request waits for another that makes a room of the same name.
    pub name_wait: Duration,
    /// How fast callers may ask.
    pub limits: LimitSettings,
    /// How long a command with an id may be under way before another request may begin it anew: longer than any takes.
    pub command_hold: Duration,
    /// How long a request waits for another with the same `command_uid`.
    pub command_wait: Duration,
    /// Which files may be played.
    pub play: PlayRules,
    /// Which receivers an app can be given.
    pub webhooks: Policy,
    /// How event streams behave.
    pub streams: StreamSettings,
    /// The names that the pages may be called by.
    pub page_hosts: AllowedHosts,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            hide_foreign: false,
            body_limit: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            cursor_key: CursorKey::random(),
            name_reservation: Duration::from_secs(30),
            name_wait: Duration::from_secs(2),
            limits: LimitSettings::default(),
            command_hold: Duration::from_secs(15),
            command_wait: Duration::from_secs(2),
            play: PlayRules::default(),
            webhooks: Policy::default(),
            streams: StreamSettings::default(),
            page_hosts: AllowedHosts::Any,
        }
    }
}

impl ApiSettings {
    /// As configured; what the configuration does not say is as in the default.
    pub fn configured(http: &HttpConfig) -> Self {
        Self {
            hide_foreign: http.hide_foreign,
            body_limit: http.body_limit,
            page_hosts: match http.listen.ip().is_loopback() || !http.allowed_hosts.is_empty() {
                true => AllowedHosts::only(&http.allowed_hosts),
                false => AllowedHosts::Any,
            },
            ..Self::default()
        }
    }
}

/// What the handlers share.
#[derive(Clone)]
pub struct ApiState {
    /// What they read.
    pub store: Arc<dyn Store>,
    /// What they change things through.
    pub controller: Arc<dyn Controller>,
    /// Who may ask.
    pub apps: Arc<Registry>,
    /// How they behave.
    pub settings: ApiSettings,
    /// Counts their requests.
    pub limiter: Arc<AppLimiter>,
    /// Whether there is room for what their changes lead to.
    pub pressure: Arc<Pressure>,
    /// The bytes that apps may have in the store.
    pub quota: Arc<Quota>,
    /// What event streams are fed by.
    pub events: Arc<Hub>,
    /// Makes the ids of rooms and commands.
    pub new_id: IdSource,
}

impl fmt::Debug for ApiState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiState")
            .field("store", &self.store)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The state as the handlers get it.
type Shared = Arc<ApiState>;

/// The callers' API.
pub fn router(state: ApiState) -> Router {
    let limits = BodyLimits::of(&state.settings);
    let state: Shared = Arc::new(state);
    let hooks = webhooks::routes(webhooks::Hooks {
        store: Arc::clone(&state.store),
        apps: Arc::clone(&state.apps),
        settings: state.settings.clone(),
    });
    let hooks = hooks.route_layer(from_fn_with_state(Arc::clone(&state), auth::own_webhooks));
    let pages = openapi::routes().merge(console::routes());
    let hosts = state.settings.page_hosts.clone();
    let pages = pages.route_layer(from_fn_with_state(hosts, site::guard_pages));
    dress(
        Router::new()
            .merge(gateway::routes())
            .nest("/api/v1", hooks.with_state(()))
            .merge(voipbin::routes())
            .merge(pages)
            .with_state(state),
        limits,
    )
}

/// What every router of ours has around its routes.
fn dress(routes: Router, limits: BodyLimits) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(Around::new(limits))
}

async fn not_found() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path")
}

async fn method_not_allowed() -> ApiError {
    // The router adds the Allow header.
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "this path does not take this method",
    )
}
