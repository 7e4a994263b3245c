//! The configuration: a TOML file and the environment become one validated [`Config`], or a list of everything that
//! is wrong with them.
//!
//! Here are the types, [`Config::load`] and the operator's summary; `keys` lists every key, `tree` lays the
//! environment over the file, `read` has the defaults and the checks, `store_tls` reads the files of certificates. Leaves out what they lead to. The tree is read
//! by hand rather than by a derive, because a derive stops at the first mistake and an operator wants to see all of
//! them.
//!
//! A variable is named after its key: `ROOMKEEPER_STORE__URL` is `store.url`, and `ROOMKEEPER_NODES__0__PASSWORD` that
//! of the first node. It wins over the file. Its text is taken as it is where a text is expected; lists are written
//! `[a, b]`. Variables without a double underscore are not ours to judge: an orchestrator sets some of that prefix.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::{Host, Url};
use uuid::Uuid;

use crate::ids::{AppId, NodeId};
use crate::node::Nudge;
use crate::play_url::PlayUrl;
use crate::store::deliveries::QueueLimits;
use crate::store::redis::RedisOptions;
use crate::store::{self, OpenError, Store};
use crate::webhook::endpoint::{Endpoint, Endpoints};
use crate::webhook::guard::Policy;

mod keys;
mod read;
mod store_tls;
mod tree;

pub use keys::{KEYS, KeyDoc, key_table_markdown};
pub use read::{MOST_REQUESTS, customer_of, is_did};
pub use store_tls::StoreTls;

/// A complete configuration, with a word on every key.
pub const EXAMPLE: &str = include_str!("../../fixtures/roomkeeper.example.toml");

/// The standard variables that ask for traces.
const OTLP_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// Everything that is configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// Listeners.
    pub http: HttpConfig,
    /// Where state lives.
    pub store: StoreConfig,
    /// Which receivers of webhooks may be called.
    pub webhooks: Policy,
    /// Which audio may be played.
    pub play: PlayConfig,
    /// Calls outside of rooms.
    pub calls: CallsConfig,
    /// Rooms.
    pub conference: ConferenceConfig,
    /// Recordings of rooms.
    pub recording: RecordingConfig,
    /// What speaks texts.
    pub speech: SpeechConfig,
    /// What holds for all nodes.
    pub fleet: FleetConfig,
    /// How fast callers may ask.
    pub limits: LimitsConfig,
    /// The log.
    pub log: LogConfig,
    /// The traces.
    pub telemetry: TelemetryConfig,
    /// The FreeSWITCH servers, at least one.
    pub nodes: Vec<NodeConfig>,
    /// The tenants that are configured here.
    pub apps: Vec<AppConfig>,
}

/// Listeners.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// For everybody.
    pub listen: SocketAddr,
    /// For the operator.
    pub admin_listen: SocketAddr,
    /// This or [`Self::admin_key_file`] is given unless [`Self::admin_listen`] is loopback.
    pub admin_key: Option<SecretString>,
    /// File with the admin key.
    pub admin_key_file: Option<PathBuf>,
    /// Names that a listener may be called by, in lower case.
    pub allowed_hosts: Vec<String>,
    /// Networks of proxies.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections that one address may have to a listener.
    pub connections_per_address: usize,
    /// Another app's things are always 404.
    pub hide_foreign: bool,
    /// Longest body of a request, in bytes.
    pub body_limit: usize,
}

/// Where state lives.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Which kind of store the URL names.
    pub kind: StoreKind,
    /// It may carry a password.
    pub url: SecretString,
    /// How long a call may take.
    pub timeout: Duration,
    /// TLS, where the URL has it.
    pub tls: Option<StoreTls>,
    /// How much of what is on its way to the receivers there may be.
    pub queues: QueueLimits,
}

impl StoreConfig {
    /// The store. It is not connected to before it is used.
    ///
    /// # Errors
    /// When this program has no store of that kind.
    pub fn open(&self) -> Result<Arc<dyn Store>, OpenError> {
        let options = RedisOptions {
            timeout: self.timeout,
            // An attempt to connect that hangs is over before the call that makes it is.
            connect_timeout: self.timeout * 4 / 5,
            tls: self.tls.as_ref().map(|tls| tls.config.clone()),
        };
        store::open(self.url.expose_secret(), &options, self.queues)
    }
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

/// Which audio may be played.
#[derive(Clone, Debug)]
pub struct PlayConfig {
    /// Hosts, in lower case; empty: any that [`Self::allow_private`] lets through.
    pub allow_hosts: Vec<String>,
    /// Private and loopback addresses too.
    pub allow_private: bool,
    /// The media proxy; without it the nodes fetch files themselves.
    pub proxy: Option<MediaProxyConfig>,
}

/// The media proxy.
#[derive(Clone, Debug)]
pub struct MediaProxyConfig {
    /// By which the nodes reach it.
    pub url: PlayUrl,
    /// Where it listens.
    pub listen: SocketAddr,
    /// How much it may hold on disk.
    pub bytes: u64,
}

/// Calls outside of rooms.
#[derive(Clone, Debug)]
pub struct CallsConfig {
    /// How long a call may be parked.
    pub park_timeout: Duration,
}

/// Rooms.
#[derive(Clone, Debug)]
pub struct ConferenceConfig {
    /// Profile of rooms.
    pub profile: String,
    /// Profile of conferences of the type `connect`.
    pub connect_profile: String,
    /// How long a join may take.
    pub join_timeout: Duration,
    /// How long one file or text of an action may take.
    pub action_timeout: Duration,
    /// For how long what is over can be read.
    pub keep_ended: Duration,
}

/// Recordings of rooms.
#[derive(Clone, Debug)]
pub struct RecordingConfig {
    /// Where the nodes write them, an absolute path there.
    pub directory: String,
    /// For how long they are listed.
    pub keep: Duration,
}

/// What speaks texts.
#[derive(Clone, Debug)]
pub struct SpeechConfig {
    /// The module that must be there.
    pub module: String,
    /// The engine's name for `speak`.
    pub engine: String,
    /// Its voice.
    pub voice: String,
}

/// What holds for all nodes.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// How long a command may take.
    pub command_timeout: Duration,
    /// How long a node may be out of reach before what it carried is over.
    pub lost_after: Duration,
    /// How long a replica's ownership of a node holds without being renewed.
    pub lease_ttl: Duration,
    /// Between two snapshots, on average.
    pub resync_interval: Duration,
    /// How the nodes are nudged for which nothing else is said.
    pub nudge: Nudge,
}

/// How fast callers may ask, and how much they may store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitsConfig {
    /// Requests a second of each app that has no limit of its own; 0: any number.
    pub app_rate: u32,
    /// Whether groups of commands have cooldowns.
    pub cooldowns: bool,
    /// Bytes that an app may have in the store; 0: any number.
    pub app_bytes: u64,
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Its form.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber`'s `EnvFilter`, checked.
    pub filter: String,
}

/// Where traces go.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    /// The OTLP/HTTP collector.
    pub otlp_endpoint: Option<Url>,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`, or the one for traces, is set.
    pub asked_by_environment: bool,
    /// Which share of the traces that begin here is kept; `None`: as `OTEL_TRACES_SAMPLER` says, else all.
    pub sample_ratio: Option<f64>,
}

/// The form of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One FreeSWITCH server.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Its id.
    pub id: NodeId,
    /// Its event socket.
    pub address: NodeAddress,
    /// Of the event socket.
    pub password: SecretString,
    /// How it is made to tell its events at once.
    pub nudge: Nudge,
}

/// A host, by name or address, and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeAddress {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl FromStr for NodeAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
        let host = match Host::parse(host).map_err(|_| bad())? {
            Host::Domain(name) => name,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct AppConfig {
    /// Its id in the gateway API.
    pub id: AppId,
    /// Its id in the VoIPBIN API.
    pub customer_id: Uuid,
    /// What its keys are recognised by: one, or two.
    pub api_keys: Vec<ApiKeyDigest>,
    /// Its dialled numbers.
    pub dids: Vec<String>,
    /// How many requests a second it may make, where that is not [`LimitsConfig::app_rate`].
    pub rate_limit: Option<u32>,
    /// Its receivers.
    pub webhooks: Vec<Endpoint>,
}

/// The SHA-256 of an API key: enough to recognise it, not enough to use it.
#[derive(Clone, Copy, Eq)]
pub struct ApiKeyDigest([u8; 32]);

impl ApiKeyDigest {
    /// The digest of a key.
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Whether this is the key's digest, in a time that does not tell how near it was.
    pub fn matches(&self, key: &str) -> bool {
        *self == Self::of(key)
    }

    /// The digest itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for ApiKeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::hash::Hash for ApiKeyDigest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for ApiKeyDigest {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const BAD: &str = "not a SHA-256: expected 64 hexadecimal digits";
        if text.len() != 64 {
            return Err(BAD);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(BAD);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| BAD)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Debug for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED digest]")
    }
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// The path of the key, or the file.
    pub key: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything that is wrong, at least one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, ConfigError { key, problem }) in self.0.iter().enumerate() {
            let line = if i == 0 { "" } else { "\n" };
            write!(f, "{line}{key}: {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl Config {
    /// Reads the file, lays the environment over it, and checks the whole.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn load(
        path: &Path,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let text = std::fs::read_to_string(path).map_err(|e| {
            ConfigErrors(vec![ConfigError {
                key: path.display().to_string(),
                problem: format!("cannot be read: {e}"),
            }])
        })?;
        Self::from_text(&text, env)
    }

    /// As [`Config::load`], with the text of the file.
    ///
    /// # Errors
    /// Everything that is wrong.
    pub fn from_text(
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let mut problems = tree::Problems::default();
        let tree = match tree::parse_file(text) {
            Ok(tree) => tree,
            Err(e) => {
                problems.add("configuration file", e);
                return Err(ConfigErrors(problems.0));
            }
        };
        let mut asked_by_environment = false;
        let env = env.into_iter().inspect(|(name, value)| {
            asked_by_environment |= OTLP_VARIABLES.contains(&name.as_str()) && !value.is_empty();
        });
        let tree = tree::lay_over(tree, env, &mut problems);
        let mut config = read::read_config(tree, &mut problems);
        if let Some(config) = &mut config {
            config.telemetry.asked_by_environment = asked_by_environment;
        }
        match config {
            Some(config) if problems.0.is_empty() => Ok(config),
            Some(_) | None => Err(ConfigErrors(problems.0)),
        }
    }

    /// The receivers of all configured apps.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints::new(
            self.apps
                .iter()
                .flat_map(|app| app.webhooks.iter().cloned()),
        )
    }

    /// What was understood, for the operator: without passwords, keys and secrets.
    pub fn summary(&self) -> String {
        let mut s = String::new();
        // Writing to a String does not fail.
        let _ = self.write_summary(&mut s);
        s
    }

    fn write_summary(&self, s: &mut String) -> fmt::Result {
        let HttpConfig {
            listen,
            admin_listen,
            admin_key,
            admin_key_file,
            allowed_hosts,
            trusted_proxies,
            connections_per_address,
            hide_foreign,
            body_limit,
        } = &self.http;
        let key = match (admin_key, admin_key_file) {
            (Some(_), _) => "set".to_owned(),
            (None, Some(file)) => format!("in {}", file.display()),
            (None, None) => "made at start".to_owned(),
        };
        writeln!(
            s,
            "http: {listen}, admin {admin_listen} (key: {key}), hide_foreign {hide_foreign}, body_limit {body_limit}"
        )?;
        let proxies: Vec<String> = trusted_proxies.iter().map(ToString::to_string).collect();
        writeln!(
            s,
            "http: allowed_hosts [{}], trusted_proxies [{}], connections_per_address {connections_per_address}",
            allowed_hosts.join(", "),
            proxies.join(", ")
        )?;
        write!(
            s,
            "store: {}, timeout {:?}",
            redacted_url(self.store.url.expose_secret()),
            self.store.timeout
        )?;
        match &self.store.tls {
            Some(tls) => writeln!(s, ", {tls}")?,
            None => writeln!(s)?,
        }
        writeln!(
            s,
            "webhooks: {}, at most {} pending",
            self.webhooks, self.store.queues.pending
        )?;
        let hosts = match self.play.allow_hosts.as_slice() {
            [] => "any host".to_owned(),
            hosts => hosts.join(", "),
        };
        let proxy = match &self.play.proxy {
            Some(proxy) => format!(
                "proxy {} at {}, at most {} bytes",
                proxy.url, proxy.listen, proxy.bytes
            ),
            None => "no proxy".to_owned(),
        };
        writeln!(
            s,
            "play: {hosts}, allow_private {}, {proxy}",
            self.play.allow_private
        )?;
        writeln!(s, "calls: park_timeout {:?}", self.calls.park_timeout)?;
        writeln!(
            s,
            "conference: profile {}, connect_profile {}, join_timeout {:?}, action_timeout {:?}, keep_ended {:?}",
            self.conference.profile,
            self.conference.connect_profile,
            self.conference.join_timeout,
            self.conference.action_timeout,
            self.conference.keep_ended
        )?;
        writeln!(
            s,
            "recording: directory {}, keep {:?}",
            self.recording.directory, self.recording.keep
        )?;
        writeln!(
            s,
            "speech: module {}, engine {}, voice {}",
            self.speech.module, self.speech.engine, self.speech.voice
        )?;
        writeln!(
            s,
            "fleet: command_timeout {:?}, lost_after {:?}, lease_ttl {:?}, resync_interval {:?}, nudge {}",
            self.fleet.command_timeout,
            self.fleet.lost_after,
            self.fleet.lease_ttl,
            self.fleet.resync_interval,
            self.fleet.nudge
        )?;
        writeln!(
            s,
            "limits: app_rate {}, cooldowns {}, app_bytes {}",
            self.limits.app_rate, self.limits.cooldowns, self.limits.app_bytes
        )?;
        let format = match self.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(s, "log: {format}, filter {}", self.log.filter)?;
        let TelemetryConfig {
            otlp_endpoint,
            asked_by_environment,
            sample_ratio,
        } = &self.telemetry;
        let traces = match (otlp_endpoint, asked_by_environment) {
            (Some(endpoint), _) => redacted_url(endpoint.as_str()),
            (None, true) if cfg!(feature = "otlp") => "as OTEL_* says".to_owned(),
            (None, _) => "none".to_owned(),
        };
        match sample_ratio {
            Some(ratio) if traces != "none" => writeln!(s, "traces: {traces}, share {ratio}")?,
            Some(_) | None => writeln!(s, "traces: {traces}")?,
        }
        for node in &self.nodes {
            write!(s, "node {}: {}, password set", node.id, node.address)?;
            if node.nudge != self.fleet.nudge {
                write!(s, ", nudge {}", node.nudge)?;
            }
            writeln!(s)?;
        }
        for app in &self.apps {
            writeln!(
                s,
                "app {}: customer_id {}, {} active key(s), dids [{}]{}",
                app.id,
                app.customer_id,
                app.api_keys.len(),
                app.dids.join(", "),
                app.rate_limit
                    .map_or_else(String::new, |limit| format!(", rate_limit {limit}"))
            )?;
            for hook in &app.webhooks {
                let events: Vec<String> = hook.events.iter().map(ToString::to_string).collect();
                writeln!(
                    s,
                    "  webhook {}: {}, {} secret(s), events [{}]",
                    hook.id,
                    redacted_url(hook.url.as_str()),
                    hook.secrets.len(),
                    events.join(", ")
                )?;
            }
        }
        Ok(())
    }
}

/// A URL without what may be secret in it: the user info and the query.
fn redacted_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://[REDACTED]@{rest}"),
            None => format!("{scheme}://{rest}"),
        },
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests;
