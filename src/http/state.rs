//! The state that the handlers of the callers' API share.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::audit::AuditRecorder;
use crate::config::HttpConfig;
use crate::media::PlayRules;
use crate::reconciler::Controller;
use crate::store::Store;
use crate::tenants::Registry;
use crate::webhook::backpressure::Backpressure;
use crate::webhook::guard::Policy;
use roomkeeper_core::speech::VoiceName;

use super::body::BodyLimits;
use super::cursor::CursorKey;
use super::events::hub::{Hub, StreamSettings};
use super::middleware::site::AllowedHosts;
use super::quota::Quota;
use super::rate_limit::{AppLimiter, LimitSettings};

/// The source of new ids: random in production, sequential in tests.
pub type IdSource = Arc<dyn Fn() -> Uuid + Send + Sync>;

/// The settings of the API.
#[derive(Clone, Debug)]
pub struct ApiSettings {
    /// Another app's rooms and calls give 404 instead of 403.
    pub hide_foreign: bool,
    /// The maximum size of a body, in bytes.
    pub body_limit: usize,
    /// The time within which a body must arrive.
    pub body_timeout: Duration,
    /// Signs the cursors. Replicas that serve the same callers need the same one.
    pub cursor_key: CursorKey,
    /// The lifetime of a name reservation for a new room.
    pub name_reservation: Duration,
    /// The time that a request waits for another one that creates a room with the same name.
    pub name_wait: Duration,
    /// The rate limits.
    pub limits: LimitSettings,
    /// The time after which a command with an idempotency key may be executed again if it never finished: longer than
    /// any command takes.
    pub command_hold: Duration,
    /// The time that a request waits for another one with the same `command_uid`.
    pub command_wait: Duration,
    /// The rules for files that may be played.
    pub play: PlayRules,
    /// The voices that a request may name.
    pub voices: Vec<VoiceName>,
    /// The rules for URLs of webhook endpoints.
    pub webhooks: Policy,
    /// The settings of event streams.
    pub streams: StreamSettings,
    /// The limit of an app's dial-outs in progress.
    pub max_dials: u32,
    /// The host names that the pages accept.
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
            voices: Vec::new(),
            webhooks: Policy::default(),
            streams: StreamSettings::default(),
            max_dials: 20,
            page_hosts: AllowedHosts::Any,
        }
    }
}

impl ApiSettings {
    /// Takes the settings from the configuration; all others have their defaults.
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

    /// The limits for receiving bodies.
    pub(crate) const fn body_limits(&self) -> BodyLimits {
        BodyLimits::new(self.body_limit, self.body_timeout)
    }
}

/// The shared state of the handlers.
#[derive(Clone)]
pub struct ApiState {
    /// The store, for reads.
    pub store: Arc<dyn Store>,
    /// The controller, for changes.
    pub controller: Arc<dyn Controller>,
    /// The apps and their keys.
    pub apps: Arc<Registry>,
    /// The settings.
    pub settings: ApiSettings,
    /// The rate limiter of the apps.
    pub limiter: Arc<AppLimiter>,
    /// Refuses changes while webhook queues are nearly full.
    pub backpressure: Arc<Backpressure>,
    /// The quota of stored bytes.
    pub quota: Arc<Quota>,
    /// Records requests that may change something.
    pub recorder: AuditRecorder,
    /// The source of the event streams.
    pub events: Arc<Hub>,
    /// Generates the ids of rooms and commands.
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

/// The state as passed to handlers.
pub(crate) type Shared = Arc<ApiState>;
