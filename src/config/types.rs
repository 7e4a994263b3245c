//! The types of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use freeswitch_esl::command::DialTemplate;
use ipnet::IpNet;
use secrecy::SecretString;
use uuid::Uuid;

use crate::audit::AuditSettings;
use crate::node::Nudge;
use crate::store::deliveries::QueueLimits;
use crate::telemetry::{LogConfig, TelemetryConfig};
use crate::webhook::endpoint::Endpoint;
use crate::webhook::guard::Policy;
use freeswitch_esl::command::{RelayAddress, RelayKey};
use roomkeeper_core::dial::DialRules;
use roomkeeper_core::ids::{AppId, NodeId};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::speech::VoiceName;

use super::store_tls::StoreTls;
use super::values::{ApiKeyDigest, NodeAddress};

/// The whole configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners.
    pub http: HttpConfig,
    /// The store of the state.
    pub store: StoreConfig,
    /// Restrictions on the addresses of webhook receivers.
    pub webhooks: Policy,
    /// Restrictions on audio.
    pub play: PlayConfig,
    /// Calls outside of rooms.
    pub calls: CallsConfig,
    /// Calls that apps may make.
    pub dial: DialConfig,
    /// Rooms.
    pub conference: ConferenceConfig,
    /// Recordings of rooms.
    pub recording: RecordingConfig,
    /// The speech engine.
    pub speech: SpeechConfig,
    /// Settings for all nodes.
    pub fleet: FleetConfig,
    /// The key of relays between the nodes; set if a node has an address for them.
    pub relay_key: Option<RelayKey>,
    /// Limits of the apps.
    pub limits: LimitsConfig,
    /// The audit log.
    pub audit: AuditSettings,
    /// The log.
    pub log: LogConfig,
    /// The traces.
    pub telemetry: TelemetryConfig,
    /// The FreeSWITCH servers, at least one.
    pub nodes: Vec<NodeConfig>,
    /// The configured tenants.
    pub apps: Vec<AppConfig>,
}

/// Listeners.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The address of the APIs.
    pub listen: SocketAddr,
    /// The address of the admin listener.
    pub admin_listen: SocketAddr,
    /// This or [`Self::admin_key_file`] is given unless [`Self::admin_listen`] is loopback.
    pub admin_key: Option<SecretString>,
    /// File with the admin key.
    pub admin_key_file: Option<PathBuf>,
    /// Accepted host names of the listeners, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies.
    pub trusted_proxies: Vec<IpNet>,
    /// The limit of connections of one address to a listener.
    pub connections_per_address: usize,
    /// Answer 404 for the rooms and calls of other apps.
    pub hide_foreign: bool,
    /// The limit of a request's body, in bytes.
    pub body_limit: usize,
}

/// The store of the state.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The kind of store.
    pub kind: StoreKind,
    /// The URL, which may contain a password.
    pub url: SecretString,
    /// Time limit of a call.
    pub timeout: Duration,
    /// TLS, if the URL has it.
    pub tls: Option<StoreTls>,
    /// Limits of the webhook queues.
    pub queues: QueueLimits,
}

/// The kinds of store that a URL can name. All but `memory:` can have TLS, with `rediss` instead of `redis`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// `memory:`
    Memory,
    /// `redis://`
    Redis,
    /// `redis+sentinel://`
    Sentinel,
    /// `redis+cluster://`
    Cluster,
}

/// Restrictions on audio.
#[derive(Clone, Debug)]
pub struct PlayConfig {
    /// Allowed hosts, in lower case; empty: any that [`Self::allow_private`] permits.
    pub allow_hosts: Vec<String>,
    /// Allow private and loopback addresses.
    pub allow_private: bool,
    /// The media proxy; without it the nodes fetch files themselves.
    pub proxy: Option<MediaProxyConfig>,
}

/// The media proxy.
#[derive(Clone, Debug)]
pub struct MediaProxyConfig {
    /// The base URL by which the nodes reach it.
    pub url: PlayUrl,
    /// Its address.
    pub listen: SocketAddr,
    /// The limit of its space on disk.
    pub bytes: u64,
}

/// Calls outside of rooms.
#[derive(Clone, Debug)]
pub struct CallsConfig {
    /// Time limit of a parked call.
    pub park_timeout: Duration,
}

/// Calls that apps may make.
#[derive(Clone, Debug)]
pub struct DialConfig {
    /// The allowed destinations.
    pub rules: DialRules,
    /// The dial string of numbers.
    pub number: Option<DialTemplate>,
    /// The dial string of SIP addresses.
    pub address: Option<DialTemplate>,
    /// The limit of an app's dial-outs in progress.
    pub max_per_app: u32,
}

/// Rooms.
#[derive(Clone, Debug)]
pub struct ConferenceConfig {
    /// Profile of rooms.
    pub profile: String,
    /// Profile of conferences of the type `connect`.
    pub connect_profile: String,
    /// Time limit of a join.
    pub join_timeout: Duration,
    /// Time limit of one file or text of an action.
    pub action_timeout: Duration,
    /// The time for which ended conferences and calls can be read.
    pub keep_ended: Duration,
}

/// Recordings of rooms.
#[derive(Clone, Debug)]
pub struct RecordingConfig {
    /// Their directory, an absolute path on the nodes.
    pub directory: String,
    /// The time for which ended recordings are listed.
    pub keep: Duration,
}

/// The speech engine.
#[derive(Clone, Debug)]
pub struct SpeechConfig {
    /// The module that must be loaded.
    pub module: String,
    /// The engine's name for `speak`.
    pub engine: String,
    /// Its voice.
    pub voice: String,
    /// Other voices that a request may name.
    pub voices: Vec<String>,
}

impl SpeechConfig {
    /// Returns the voices that a request may name.
    pub fn all_voices(&self) -> Vec<VoiceName> {
        let names = std::iter::once(&self.voice).chain(&self.voices);
        names.filter_map(|name| VoiceName::new(name).ok()).collect()
    }
}

/// Settings for all nodes.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Time limit of a command.
    pub command_timeout: Duration,
    /// The time without a connection after which a node's calls count as ended.
    pub lost_after: Duration,
    /// The time for FreeSWITCH to recover its calls after it restarted; zero if they end at once.
    pub recovery_timeout: Duration,
    /// The lifetime of a lease without renewal.
    pub lease_ttl: Duration,
    /// The average time between two snapshots.
    pub resync_interval: Duration,
    /// The default wake-ups of the nodes.
    pub nudge: Nudge,
}

/// Rate limits and quotas of the apps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsConfig {
    /// Requests per second of an app without its own limit; 0: unlimited.
    pub app_rate: u32,
    /// Enforce cooldowns of command groups.
    pub cooldowns: bool,
    /// The limit of an app's bytes in the store; 0: unlimited.
    pub app_bytes: u64,
}

/// One FreeSWITCH server.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its id.
    pub id: NodeId,
    /// The address of its Event Socket.
    pub address: NodeAddress,
    /// The password of its Event Socket.
    pub password: SecretString,
    /// The wake-ups that make it send its events at once.
    pub nudge: Nudge,
    /// Where other nodes reach its profile `relays`.
    pub relay: Option<RelayAddress>,
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Its id in the gateway API.
    pub id: AppId,
    /// Its id in the VoIPBIN API.
    pub customer_id: Uuid,
    /// The digests of its keys: one, or two.
    pub api_keys: Vec<ApiKeyDigest>,
    /// Its dialled numbers.
    pub dids: Vec<String>,
    /// Its requests per second, if they differ from [`LimitsConfig::app_rate`].
    pub rate_limit: Option<u32>,
    /// Its webhook endpoints.
    pub webhooks: Vec<Endpoint>,
}
