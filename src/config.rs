//! The configuration: a TOML file and the environment become one validated [`Config`], or a list of everything that
//! is wrong with them.
//!
//! Owns the keys, their defaults and their checks. Leaves out what they lead to. The tree is read by hand rather than
//! by a derive, because a derive stops at the first mistake and an operator wants to see all of them.
//!
//! A variable is named after its key: `ROOMKEEPER_STORE__URL` is `store.url`, and `ROOMKEEPER_NODES__0__PASSWORD` that
//! of the first node. It wins over the file. Its text is taken as it is where a text is expected; lists are written
//! `[a, b]`. Variables without a double underscore are not ours to judge: an orchestrator sets some of that prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use figment::providers::{Format, Toml};
use figment::value::Value;
use figment::{Figment, Profile, Provider};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::{Host, Url};
use uuid::Uuid;

use crate::ids::{AppId, NodeId};
use crate::store::redis::RedisOptions;
use crate::store::{self, OpenError, Store};
use crate::webhook::endpoint::{Endpoint, Endpoints, EventFilter};
use crate::webhook::guard::Policy;
use crate::webhook::sign::Secret;

/// A complete configuration, with a word on every key.
pub const EXAMPLE: &str = include_str!("../fixtures/roomkeeper.example.toml");

/// What variables start with.
const ENV_PREFIX: &str = "ROOMKEEPER_";

/// What customer ids are derived in, when none is given.
const CUSTOMERS: Uuid = Uuid::from_u128(0x9b1d_6a0e_7f3c_5d28_a1c4_0e5b_92f7_46d3);

/// One key, for the documentation and for telling known keys from unknown ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyDoc {
    /// Its path; `[]` stands for each element of a list.
    pub key: &'static str,
    /// What holds without it, as it would be written, or in words.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

const fn doc(key: &'static str, default: &'static str, meaning: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        default,
        meaning,
    }
}

/// Every key there is.
pub const KEYS: &[KeyDoc] = &[
    doc(
        "http.listen",
        "\"127.0.0.1:8080\"",
        "address of the APIs, the console and the documentation",
    ),
    doc(
        "http.admin_listen",
        "\"127.0.0.1:9090\"",
        "address of `/healthz`, `/readyz`, `/metrics` and `/admin/*`",
    ),
    doc(
        "http.admin_key",
        "none",
        "`X-Admin-API-Key`; required unless `admin_listen` is loopback",
    ),
    doc(
        "http.hide_foreign",
        "false",
        "answer 404 for another app's rooms and sessions, always",
    ),
    doc(
        "http.body_limit",
        "262144",
        "longest body of a request, in bytes",
    ),
    doc(
        "store.url",
        "\"redis://127.0.0.1:6379/0\"",
        "where state lives; also `memory:`, `redis+sentinel://h1,h2/master/0`, `redis+cluster://h1,h2`",
    ),
    doc(
        "store.timeout_ms",
        "1000",
        "how long the store has to answer, in milliseconds",
    ),
    doc(
        "webhooks.allow_http",
        "false",
        "allow receivers without TLS",
    ),
    doc(
        "webhooks.allow_private",
        "false",
        "allow receivers at private and loopback addresses",
    ),
    doc(
        "play.allow_hosts",
        "[]",
        "hosts that audio may be played from; empty: any public one",
    ),
    doc(
        "play.allow_private",
        "false",
        "allow audio from private and loopback addresses",
    ),
    doc(
        "calls.park_timeout",
        "3600",
        "after so many seconds in park a call is hung up, by the node itself",
    ),
    doc(
        "conference.profile",
        "\"roomkeeper\"",
        "profile of rooms in the nodes' `conference.conf.xml`",
    ),
    doc(
        "conference.connect_profile",
        "\"roomkeeper-connect\"",
        "profile of conferences of the type `connect`",
    ),
    doc(
        "conference.join_timeout",
        "10",
        "seconds in which FreeSWITCH must confirm a join",
    ),
    doc(
        "fleet.command_timeout",
        "5",
        "seconds in which FreeSWITCH must answer a command",
    ),
    doc(
        "fleet.lost_after",
        "120",
        "seconds without a connection after which a node is lost: its members leave, its calls end",
    ),
    doc(
        "fleet.lease_ttl",
        "10",
        "seconds after which another replica takes over the nodes of one that is gone",
    ),
    doc(
        "fleet.resync_interval",
        "45",
        "seconds between two snapshots of a node, a third more or less",
    ),
    doc(
        "log.format",
        "\"text\"",
        "`text`, or `json` with one object a line",
    ),
    doc(
        "log.filter",
        "\"info\"",
        "what is logged, as in `info,roomkeeper::webhook=debug`",
    ),
    doc(
        "nodes[].id",
        "required",
        "5 characters of A-Z a-z 0-9; never changes, for it is part of every id",
    ),
    doc(
        "nodes[].address",
        "required",
        "`host:port` of its event socket",
    ),
    doc(
        "nodes[].password",
        "required",
        "password of its event socket",
    ),
    doc(
        "apps[].id",
        "required",
        "1 to 64 characters of A-Z a-z 0-9 _ -",
    ),
    doc(
        "apps[].customer_id",
        "derived from the id",
        "the app's uuid in the VoIPBIN API",
    ),
    doc(
        "apps[].api_key",
        "none",
        "its key, or a list of two while one is being replaced; one here or in `api_key_sha256` is required",
    ),
    doc(
        "apps[].api_key_sha256",
        "none",
        "the same as SHA-256 in hexadecimal, so that the file holds no key",
    ),
    doc(
        "apps[].dids",
        "[]",
        "dialled numbers whose calls are the app's",
    ),
    doc(
        "apps[].webhooks[].url",
        "required",
        "a receiver of the app's events",
    ),
    doc(
        "apps[].webhooks[].secret",
        "required",
        "`whsec_…`, or a list of two while one is being replaced",
    ),
    doc(
        "apps[].webhooks[].events",
        "[\"*\"]",
        "names and prefixes of the events it gets, as in `conference.member.*`",
    ),
];

/// [`KEYS`] as a table for the documentation.
pub fn key_table_markdown() -> String {
    let mut table = String::from("| key | default | meaning |\n|---|---|---|\n");
    for key in KEYS {
        let is_value = matches!(key.default, "true" | "false")
            || key
                .default
                .starts_with(|c: char| matches!(c, '"' | '[') || c.is_ascii_digit());
        let quote = if is_value { "`" } else { "" };
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "| `{}` | {quote}{}{quote} | {} |",
            key.key, key.default, key.meaning
        );
    }
    table
}

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
    /// What holds for all nodes.
    pub fleet: FleetConfig,
    /// The log.
    pub log: LogConfig,
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
    /// There always is one unless [`Self::admin_listen`] is loopback.
    pub admin_key: Option<SecretString>,
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
        };
        store::open(self.url.expose_secret(), &options)
    }
}

/// The kinds of store that a URL can name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreKind {
    /// `memory:`
    Memory,
    /// `redis://` or `rediss://`
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
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Its form.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber`'s `EnvFilter`, checked.
    pub filter: String,
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
        let mut problems = Problems::default();
        let tree = match parse_file(text) {
            Ok(tree) => tree,
            Err(e) => {
                problems.add("configuration file", e);
                return Err(ConfigErrors(problems.0));
            }
        };
        let tree = lay_over(tree, env, &mut problems);
        let config = read_config(tree, &mut problems);
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
            hide_foreign,
            body_limit,
        } = &self.http;
        let key = if admin_key.is_some() { "set" } else { "none" };
        writeln!(
            s,
            "http: {listen}, admin {admin_listen} (key: {key}), hide_foreign {hide_foreign}, body_limit {body_limit}"
        )?;
        writeln!(
            s,
            "store: {}, timeout {:?}",
            redacted_url(self.store.url.expose_secret()),
            self.store.timeout
        )?;
        writeln!(s, "webhooks: {}", self.webhooks)?;
        let hosts = match self.play.allow_hosts.as_slice() {
            [] => "any host".to_owned(),
            hosts => hosts.join(", "),
        };
        writeln!(
            s,
            "play: {hosts}, allow_private {}",
            self.play.allow_private
        )?;
        writeln!(s, "calls: park_timeout {:?}", self.calls.park_timeout)?;
        writeln!(
            s,
            "conference: profile {}, connect_profile {}, join_timeout {:?}",
            self.conference.profile, self.conference.connect_profile, self.conference.join_timeout
        )?;
        writeln!(
            s,
            "fleet: command_timeout {:?}, lost_after {:?}, lease_ttl {:?}, resync_interval {:?}",
            self.fleet.command_timeout,
            self.fleet.lost_after,
            self.fleet.lease_ttl,
            self.fleet.resync_interval
        )?;
        let format = match self.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(s, "log: {format}, filter {}", self.log.filter)?;
        for node in &self.nodes {
            writeln!(s, "node {}: {}, password set", node.id, node.address)?;
        }
        for app in &self.apps {
            writeln!(
                s,
                "app {}: customer_id {}, {} active key(s), dids [{}]",
                app.id,
                app.customer_id,
                app.api_keys.len(),
                app.dids.join(", ")
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

// ---- the tree -----------------------------------------------------------------------------------------------------

#[derive(Default)]
struct Problems(Vec<ConfigError>);

impl Problems {
    fn add(&mut self, key: impl Into<String>, problem: impl fmt::Display) {
        self.0.push(ConfigError {
            key: key.into(),
            problem: problem.to_string(),
        });
    }
}

/// A value of either source. A variable has only text, and what it means depends on what is expected.
#[derive(Clone)]
enum Tree {
    Variable(String),
    Text(String),
    Flag(bool),
    Number(f64),
    List(Vec<Tree>),
    Table(BTreeMap<String, Tree>),
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::String(_, text) => Self::Text(text),
            Value::Char(_, c) => Self::Text(c.to_string()),
            Value::Bool(_, flag) => Self::Flag(flag),
            Value::Num(_, number) => Self::Number(match (number.to_i128(), number.to_f64()) {
                // No setting is large enough to be rounded.
                (Some(whole), _) => whole as f64,
                (None, fraction) => fraction.unwrap_or(f64::NAN),
            }),
            Value::Empty(..) => Self::Text(String::new()),
            Value::Dict(_, dict) => {
                Self::Table(dict.into_iter().map(|(k, v)| (k, v.into())).collect())
            }
            Value::Array(_, list) => Self::List(list.into_iter().map(Self::from).collect()),
        }
    }
}

impl Tree {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Variable(_) | Self::Text(_) => "a text",
            Self::Flag(_) => "true or false",
            Self::Number(_) => "a number",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }

    /// A variable that stands where a list or a table is expected, read in figment's way of writing them.
    fn structured(self) -> Self {
        match self {
            Self::Variable(text) => match text.parse::<Value>() {
                Ok(value @ (Value::Array(..) | Value::Dict(..))) => value.into(),
                Ok(_) | Err(_) => Self::Text(text),
            },
            other @ (Self::Text(_)
            | Self::Flag(_)
            | Self::Number(_)
            | Self::List(_)
            | Self::Table(_)) => other,
        }
    }
}

fn parse_file(text: &str) -> Result<Tree, String> {
    let provider = Toml::string(text);
    let data = Figment::from(provider)
        .data()
        .map_err(|e| e.to_string())?
        .remove(&Profile::Default)
        .unwrap_or_default();
    Ok(Tree::Table(
        data.into_iter().map(|(k, v)| (k, v.into())).collect(),
    ))
}

fn lay_over(
    mut tree: Tree,
    env: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) -> Tree {
    // Sorted, so that a list's elements are appended in their order.
    let variables: BTreeMap<String, String> = env
        .into_iter()
        .filter(|(name, _)| name.starts_with(ENV_PREFIX))
        .collect();
    for (name, value) in variables {
        let path = name[ENV_PREFIX.len()..].to_ascii_lowercase();
        if !path.contains("__") {
            // `ROOMKEEPER_STORE_URL` would otherwise be ignored without a word.
            let meant = KEYS.iter().find(|k| k.key.replace('.', "_") == path);
            if let Some(meant) = meant {
                let variable = meant.key.to_ascii_uppercase().replace('.', "__");
                problems.add(
                    &name,
                    format!("is not read: did you mean {ENV_PREFIX}{variable}?"),
                );
            }
            continue;
        }
        let steps: Vec<&str> = path.split("__").collect();
        if !put(&mut tree, &steps, value) {
            problems.add(&name, "does not name a key");
        }
    }
    tree
}

/// Puts a variable's value where the steps lead. `false` when they lead nowhere.
fn put(tree: &mut Tree, steps: &[&str], value: String) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        *tree = Tree::Variable(value);
        return true;
    };
    if step.is_empty() {
        return false;
    }
    let index = step.parse::<usize>().ok();
    if let Tree::Table(table) = tree {
        let child = table.entry((*step).to_owned()).or_insert_with(|| {
            let into_list = rest.first().is_some_and(|s| s.parse::<usize>().is_ok());
            if into_list {
                Tree::List(Vec::new())
            } else {
                Tree::Table(BTreeMap::new())
            }
        });
        return put(child, rest, value);
    }
    if let (Tree::List(list), Some(index)) = (tree, index) {
        // One more than there are is a new element; a gap is a mistake.
        if index == list.len() {
            list.push(Tree::Table(BTreeMap::new()));
        }
        return list
            .get_mut(index)
            .is_some_and(|child| put(child, rest, value));
    }
    false
}

/// A table that is being read: what is taken is known, what is left over is not.
struct Section<'a> {
    path: String,
    table: BTreeMap<String, Tree>,
    problems: &'a mut Problems,
}

impl<'a> Section<'a> {
    fn new(path: String, tree: Tree, problems: &'a mut Problems) -> Self {
        let table = match tree.structured() {
            Tree::Table(table) => table,
            other @ (Tree::Variable(_)
            | Tree::Text(_)
            | Tree::Flag(_)
            | Tree::Number(_)
            | Tree::List(_)) => {
                problems.add(&path, format!("expected a table, found {}", other.kind()));
                BTreeMap::new()
            }
        };
        Self {
            path,
            table,
            problems,
        }
    }

    fn key(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    fn problem(&mut self, key: &str, problem: impl fmt::Display) {
        let key = self.key(key);
        self.problems.add(key, problem);
    }

    fn take(&mut self, key: &str) -> Option<Tree> {
        self.table.remove(key)
    }

    fn section(&mut self, key: &str) -> Section<'_> {
        let path = self.key(key);
        let tree = self
            .take(key)
            .unwrap_or_else(|| Tree::Table(BTreeMap::new()));
        Section::new(path, tree, self.problems)
    }

    fn wrong_kind(&mut self, key: &str, expected: &str, found: &Tree) {
        self.problem(key, format!("expected {expected}, found {}", found.kind()));
    }

    fn list(&mut self, key: &str) -> Vec<Tree> {
        match self.take(key).map(Tree::structured) {
            None => Vec::new(),
            Some(Tree::List(list)) => list,
            Some(
                other @ (Tree::Variable(_)
                | Tree::Text(_)
                | Tree::Flag(_)
                | Tree::Number(_)
                | Tree::Table(_)),
            ) => {
                self.wrong_kind(key, "a list", &other);
                Vec::new()
            }
        }
    }

    fn text(&mut self, key: &str) -> Option<String> {
        match self.take(key)? {
            Tree::Text(text) | Tree::Variable(text) => Some(text),
            other @ (Tree::Flag(_) | Tree::Number(_) | Tree::List(_) | Tree::Table(_)) => {
                self.wrong_kind(key, "a text", &other);
                None
            }
        }
    }

    /// A text that must be there.
    fn required(&mut self, key: &str) -> Option<String> {
        if !self.table.contains_key(key) {
            self.problem(key, "is missing");
        }
        self.text(key)
    }

    fn texts(&mut self, key: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for (i, item) in self.list(key).into_iter().enumerate() {
            match item {
                Tree::Text(text) | Tree::Variable(text) => texts.push(text),
                other @ (Tree::Flag(_) | Tree::Number(_) | Tree::List(_) | Tree::Table(_)) => {
                    self.wrong_kind(&format!("{key}[{i}]"), "a text", &other);
                }
            }
        }
        texts
    }

    /// One text, or a list of them.
    fn text_or_texts(&mut self, key: &str) -> Vec<String> {
        let is_list = match self.table.get(key) {
            Some(Tree::List(_)) => true,
            Some(Tree::Variable(text)) => text.trim_start().starts_with('['),
            Some(Tree::Text(_) | Tree::Flag(_) | Tree::Number(_) | Tree::Table(_)) | None => false,
        };
        if is_list {
            self.texts(key)
        } else {
            self.text(key).into_iter().collect()
        }
    }

    fn parsed<T: FromStr<Err: fmt::Display>>(&mut self, key: &str, text: &str) -> Option<T> {
        match text.parse() {
            Ok(value) => Some(value),
            Err(e) => {
                self.problem(key, e);
                None
            }
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.take(key) {
            None => false,
            Some(Tree::Flag(flag)) => flag,
            Some(Tree::Variable(text)) => match text.as_str() {
                "true" => true,
                "false" => false,
                _ => {
                    self.problem(key, "expected true or false");
                    false
                }
            },
            Some(other @ (Tree::Text(_) | Tree::Number(_) | Tree::List(_) | Tree::Table(_))) => {
                self.wrong_kind(key, "true or false", &other);
                false
            }
        }
    }

    fn number(&mut self, key: &str, default: f64, min: f64, max: f64) -> f64 {
        let number = match self.take(key) {
            None => return default,
            Some(Tree::Number(number)) => number,
            Some(Tree::Variable(text)) => text.trim().parse().unwrap_or(f64::NAN),
            Some(other @ (Tree::Text(_) | Tree::Flag(_) | Tree::List(_) | Tree::Table(_))) => {
                self.wrong_kind(key, "a number", &other);
                return default;
            }
        };
        if (min..=max).contains(&number) {
            number
        } else {
            self.problem(key, format!("expected a number from {min} to {max}"));
            default
        }
    }

    fn seconds(&mut self, key: &str, default: f64, min: f64, max: f64) -> Duration {
        Duration::from_secs_f64(self.number(key, default, min, max))
    }

    /// A setting that names a thing in FreeSWITCH, where much of what a text can hold has a meaning of its own.
    fn profile(&mut self, key: &str, default: &str) -> String {
        let name = self.text(key).unwrap_or_else(|| default.to_owned());
        let ok = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if !ok {
            self.problem(
                key,
                format!("{name:?} is not 1 to 64 characters of A-Z a-z 0-9 _ - ."),
            );
        }
        name
    }

    /// Whatever is left over is a mistake.
    fn finish(self) {
        for key in self.table.keys() {
            let path = self.key(key);
            let known = generic(&self.path);
            let siblings = KEYS.iter().filter_map(|doc| {
                let rest = match known.as_str() {
                    "" => doc.key,
                    parent => doc.key.strip_prefix(parent)?.strip_prefix('.')?,
                };
                rest.split(['.', '[']).next()
            });
            let nearest = siblings
                .map(|name| (edit_distance(name, key), name))
                .min()
                .filter(|(distance, name)| *distance <= 2.max(name.len() / 3));
            match nearest {
                Some((_, name)) => {
                    self.problems
                        .add(path, format!("unknown key: did you mean {name}?"));
                }
                None => self.problems.add(path, "unknown key"),
            }
        }
    }
}

/// `apps[3].webhooks[0]` as [`KEYS`] names it: `apps[].webhooks[]`.
fn generic(path: &str) -> String {
    path.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// How many characters must be inserted, deleted or replaced to make one text of the other.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

// ---- the keys -----------------------------------------------------------------------------------------------------

fn read_config(tree: Tree, problems: &mut Problems) -> Option<Config> {
    let mut root = Section::new(String::new(), tree, problems);
    let http = read_http(root.section("http"));
    let store = read_store(root.section("store"));
    let webhooks = {
        let mut s = root.section("webhooks");
        let policy = Policy {
            allow_http: s.flag("allow_http"),
            allow_private: s.flag("allow_private"),
        };
        s.finish();
        policy
    };
    let play = read_play(root.section("play"));
    let calls = {
        let mut s = root.section("calls");
        let park_timeout = s.seconds("park_timeout", 3600.0, 1.0, 604_800.0);
        if park_timeout.subsec_nanos() != 0 {
            // FreeSWITCH counts them.
            s.problem("park_timeout", "expected whole seconds");
        }
        s.finish();
        CallsConfig { park_timeout }
    };
    let conference = {
        let mut s = root.section("conference");
        let conference = ConferenceConfig {
            profile: s.profile("profile", "roomkeeper"),
            connect_profile: s.profile("connect_profile", "roomkeeper-connect"),
            join_timeout: s.seconds("join_timeout", 10.0, 0.1, 600.0),
        };
        s.finish();
        conference
    };
    let fleet = {
        let mut s = root.section("fleet");
        let fleet = FleetConfig {
            command_timeout: s.seconds("command_timeout", 5.0, 0.1, 600.0),
            lost_after: s.seconds("lost_after", 120.0, 0.1, 86_400.0),
            lease_ttl: s.seconds("lease_ttl", 10.0, 0.1, 600.0),
            resync_interval: s.seconds("resync_interval", 45.0, 0.1, 3600.0),
        };
        s.finish();
        fleet
    };
    let log = read_log(root.section("log"));
    let nodes = read_nodes(&mut root);
    let apps = read_apps(&mut root, webhooks);
    root.finish();
    Some(Config {
        http: http?,
        store: store?,
        webhooks,
        play,
        calls,
        conference,
        fleet,
        log,
        nodes,
        apps,
    })
}

fn read_http(mut s: Section<'_>) -> Option<HttpConfig> {
    let address = |s: &mut Section<'_>, key: &str, default: &str| -> Option<SocketAddr> {
        let text = s.text(key).unwrap_or_else(|| default.to_owned());
        let parsed = text.parse().ok();
        if parsed.is_none() {
            s.problem(
                key,
                format!("{text:?} is not an address and port such as {default}"),
            );
        }
        parsed
    };
    let listen = address(&mut s, "listen", "127.0.0.1:8080");
    let admin_listen = address(&mut s, "admin_listen", "127.0.0.1:9090");
    let has_key = s.table.contains_key("admin_key");
    let admin_key = s.text("admin_key");
    match (&admin_key, admin_listen) {
        (Some(key), _) if !is_key(key) => s.problem("admin_key", KEY_FORM),
        (None, Some(at)) if !has_key && !at.ip().is_loopback() => {
            s.problem(
                "admin_key",
                "is required unless http.admin_listen is loopback",
            );
        }
        (Some(_) | None, _) => {}
    }
    if let (Some(a), Some(b)) = (listen, admin_listen)
        && a == b
        && a.port() != 0
    {
        s.problem("admin_listen", "is the same as http.listen");
    }
    let hide_foreign = s.flag("hide_foreign");
    let body_limit = s.number("body_limit", 262_144.0, 1024.0, 67_108_864.0) as usize;
    s.finish();
    Some(HttpConfig {
        listen: listen?,
        admin_listen: admin_listen?,
        admin_key: admin_key.map(SecretString::from),
        hide_foreign,
        body_limit,
    })
}

const KEY_FORM: &str = "expected 1 to 256 visible ASCII characters, as a header can carry them";

fn is_key(key: &str) -> bool {
    (1..=256).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
}

fn read_store(mut s: Section<'_>) -> Option<StoreConfig> {
    let url = s
        .text("url")
        .unwrap_or_else(|| "redis://127.0.0.1:6379/0".to_owned());
    let kind = store_kind(&url);
    if let Err(e) = kind {
        s.problem("url", e);
    }
    let timeout = Duration::from_millis(s.number("timeout_ms", 1000.0, 10.0, 60_000.0) as u64);
    let store = kind.ok().map(|kind| StoreConfig {
        kind,
        url: url.into(),
        timeout,
    });
    // What has the right form is still of no use when this program cannot open it.
    if let Some(Err(e)) = store.as_ref().map(StoreConfig::open) {
        s.problem("url", e);
    }
    s.finish();
    store
}

/// What kind of store a URL names. Never repeats the URL: it may carry a password.
fn store_kind(url: &str) -> Result<StoreKind, &'static str> {
    const FORMS: &str = "expected memory:, redis://host:port/db, redis+sentinel://h1,h2/master/db or redis+cluster://h1,h2";
    if url == "memory:" {
        return Ok(StoreKind::Memory);
    }
    let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
    let rest = rest.split('?').next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = authority.rsplit_once('@').map_or(authority, |(_, h)| h);
    let is_host = |text: &str| {
        let with_port = text.parse::<NodeAddress>().is_ok();
        with_port || Host::parse(text).is_ok()
    };
    let is_db = |text: &str| text.is_empty() || text.parse::<u16>().is_ok();
    let hosts_ok = hosts.split(',').all(is_host);
    match scheme {
        "redis" | "rediss" => match Url::parse(url) {
            Ok(parsed) if parsed.has_host() && !hosts.contains(',') && is_db(path) => {
                Ok(StoreKind::Redis)
            }
            Ok(_) | Err(_) => Err(FORMS),
        },
        "redis+sentinel" => match path.split_once('/').unwrap_or((path, "")) {
            (master, db) if hosts_ok && !master.is_empty() && is_db(db) => Ok(StoreKind::Sentinel),
            _ => Err(FORMS),
        },
        "redis+cluster" if hosts_ok && path.is_empty() => Ok(StoreKind::Cluster),
        _ => Err(FORMS),
    }
}

fn read_play(mut s: Section<'_>) -> PlayConfig {
    let mut allow_hosts = Vec::new();
    for (i, text) in s.texts("allow_hosts").into_iter().enumerate() {
        match Host::parse(&text) {
            // As `Url` writes them, so that they can be compared with its hosts.
            Ok(host) => allow_hosts.push(host.to_string()),
            Err(_) => s.problem(
                &format!("allow_hosts[{i}]"),
                format!("{text:?} is not a host name or address"),
            ),
        }
    }
    let allow_private = s.flag("allow_private");
    s.finish();
    PlayConfig {
        allow_hosts,
        allow_private,
    }
}

fn read_log(mut s: Section<'_>) -> LogConfig {
    let format = match s.text("format").as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            s.problem(
                "format",
                format!("{other:?} is neither \"text\" nor \"json\""),
            );
            LogFormat::Text
        }
    };
    let filter = s.text("filter").unwrap_or_else(|| "info".to_owned());
    if let Err(e) = tracing_subscriber::EnvFilter::builder().parse(&filter) {
        s.problem("filter", format!("{filter:?} is not a filter: {e}"));
    }
    s.finish();
    LogConfig { format, filter }
}

fn read_nodes(root: &mut Section<'_>) -> Vec<NodeConfig> {
    let mut nodes: Vec<NodeConfig> = Vec::new();
    let mut seen = BTreeSet::new();
    let list = root.list("nodes");
    if list.is_empty() && !root.problems.0.iter().any(|p| p.key == "nodes") {
        root.problem("nodes", "at least one node is required");
    }
    for (i, tree) in list.into_iter().enumerate() {
        let mut s = Section::new(format!("nodes[{i}]"), tree, root.problems);
        let id: Option<NodeId> = s.required("id").and_then(|text| s.parsed("id", &text));
        let address: Option<NodeAddress> = s
            .required("address")
            .and_then(|text| s.parsed("address", &text));
        let password = s.required("password");
        if password
            .as_ref()
            .is_some_and(|p| p.is_empty() || p.contains(|c: char| c.is_control()))
        {
            s.problem("password", "must not be empty nor hold control characters");
        }
        if let Some(id) = id
            && !seen.insert(id)
        {
            s.problem("id", format!("{id} is already the id of another node"));
        }
        if let Some(address) = &address
            && nodes.iter().any(|n| n.address == *address)
        {
            s.problem("address", format!("{address} is already another node's"));
        }
        s.finish();
        if let (Some(id), Some(address), Some(password)) = (id, address, password) {
            nodes.push(NodeConfig {
                id,
                address,
                password: password.into(),
            });
        }
    }
    nodes
}

/// The uuid of an app that was given none: always the same one.
pub fn customer_of(id: &AppId) -> Uuid {
    Uuid::new_v5(&CUSTOMERS, id.as_str().as_bytes())
}

/// Whether a text can be a dialled number: 1 to 64 visible characters.
pub fn is_did(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// What must not be in two apps, with the app that has it.
#[derive(Default)]
struct Taken {
    ids: BTreeSet<AppId>,
    customers: BTreeMap<Uuid, String>,
    keys: BTreeMap<[u8; 32], String>,
    dids: BTreeMap<String, String>,
}

fn read_apps(root: &mut Section<'_>, policy: Policy) -> Vec<AppConfig> {
    let mut taken = Taken::default();
    let list = root.list("apps");
    let mut apps = Vec::new();
    for (i, tree) in list.into_iter().enumerate() {
        let s = Section::new(format!("apps[{i}]"), tree, root.problems);
        apps.extend(read_app(s, policy, &mut taken));
    }
    apps
}

fn read_app(mut s: Section<'_>, policy: Policy, taken: &mut Taken) -> Option<AppConfig> {
    let path = s.path.clone();
    let id: Option<AppId> = s.required("id").and_then(|text| s.parsed("id", &text));
    let repeated = id.as_ref().is_some_and(|id| !taken.ids.insert(id.clone()));
    if let Some(id) = &id
        && repeated
    {
        s.problem("id", format!("{id} is already the id of another app"));
    }
    let given = s.text("customer_id");
    let derived = given.is_none();
    let customer_id: Option<Uuid> = match (given, &id) {
        (Some(text), _) => {
            let parsed = Uuid::try_parse(&text).ok().filter(|uuid| !uuid.is_nil());
            if parsed.is_none() {
                s.problem("customer_id", format!("{text:?} is not a uuid"));
            }
            parsed
        }
        (None, Some(id)) => Some(customer_of(id)),
        (None, None) => None,
    };
    // That the same id leads to the same uuid has been said.
    if let Some(uuid) = customer_id
        && let Some(other) = taken.customers.insert(uuid, path.clone())
        && !(derived && repeated)
    {
        s.problem("customer_id", format!("{uuid} is already that of {other}"));
    }
    let api_keys = read_api_keys(&mut s, taken);
    let dids = s.texts("dids");
    for (i, did) in dids.iter().enumerate() {
        let key = format!("dids[{i}]");
        if !is_did(did) {
            s.problem(&key, format!("{did:?} is not 1 to 64 visible characters"));
        } else if let Some(other) = taken.dids.insert(did.clone(), path.clone()) {
            s.problem(&key, format!("{did} is already one of {other}"));
        }
    }
    let webhooks = read_webhooks(&mut s, id.as_ref(), policy);
    s.finish();
    Some(AppConfig {
        id: id?,
        customer_id: customer_id?,
        api_keys,
        dids,
        webhooks,
    })
}

fn read_api_keys(s: &mut Section<'_>, taken: &mut Taken) -> Vec<ApiKeyDigest> {
    let given = s.table.contains_key("api_key") || s.table.contains_key("api_key_sha256");
    let mut digests = Vec::new();
    for key in s.text_or_texts("api_key") {
        if is_key(&key) {
            digests.push(("api_key", ApiKeyDigest::of(&key)));
        } else {
            s.problem("api_key", KEY_FORM);
        }
    }
    for text in s.text_or_texts("api_key_sha256") {
        if let Some(digest) = s.parsed("api_key_sha256", &text) {
            digests.push(("api_key_sha256", digest));
        }
    }
    if !given {
        s.problem(
            "api_key",
            "is missing: api_key or api_key_sha256 is required",
        );
    }
    if digests.len() > 2 {
        s.problem("api_key", "at most two keys can be active");
    }
    for (key, digest) in &digests {
        let path = s.path.clone();
        if let Some(other) = taken.keys.insert(*digest.as_bytes(), path) {
            s.problem(key, format!("the same key is already one of {other}"));
        }
    }
    digests.into_iter().map(|(_, digest)| digest).collect()
}

fn read_webhooks(s: &mut Section<'_>, app: Option<&AppId>, policy: Policy) -> Vec<Endpoint> {
    let mut webhooks: Vec<Endpoint> = Vec::new();
    let parent = s.key("webhooks");
    let list = s.list("webhooks");
    for (i, tree) in list.into_iter().enumerate() {
        let mut w = Section::new(format!("{parent}[{i}]"), tree, s.problems);
        let url: Option<Url> = w.required("url").and_then(|text| w.parsed("url", &text));
        if let Some(url) = &url
            && let Err(e) = policy.check_url(url)
        {
            w.problem("url", e);
        }
        let missing = !w.table.contains_key("secret");
        let texts = w.text_or_texts("secret");
        if missing {
            w.problem("secret", "is missing");
        } else if texts.len() > 2 {
            w.problem("secret", "at most two secrets can be active");
        }
        let secrets: Vec<Secret> = texts
            .iter()
            .filter_map(|text| w.parsed("secret", text))
            .collect();
        let events = if w.table.contains_key("events") {
            w.texts("events")
        } else {
            vec!["*".to_owned()]
        };
        let events: Vec<EventFilter> = events
            .iter()
            .filter_map(|text| w.parsed("events", text))
            .collect();
        if let (Some(app), Some(url)) = (app, url) {
            let endpoint = Endpoint::new(app.clone(), url, secrets, events);
            if webhooks.iter().any(|other| other.id == endpoint.id) {
                w.problem("url", "is already that of another webhook of the app");
            }
            webhooks.push(endpoint);
        }
        w.finish();
    }
    webhooks
}

#[cfg(test)]
mod tests;
