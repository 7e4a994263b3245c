//! Converts the tree into a [`Config`]: defaults, and checks of each key and between keys. `tree` provides the tree.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use url::{Host, Url};

use super::read_apps::read_apps;
use super::read_dial::read_dial;
use super::store_tls::read_tls;
use super::tree::{Problems, Section, Tree};
use super::values::KEY_FORM;
use super::{
    CallsConfig, ConferenceConfig, Config, FleetConfig, HttpConfig, LimitsConfig, MediaProxyConfig,
    NodeAddress, NodeConfig, PlayConfig, RecordingConfig, SpeechConfig, StoreConfig, StoreKind,
};
use crate::admin_key::is_key;
use crate::audit::AuditSettings;
use crate::node::Nudge;
use crate::store::deliveries::QueueLimits;
use crate::store::redis::{check_url, uses_tls};
use crate::telemetry::{LogConfig, LogFormat, TelemetryConfig};
use crate::webhook::guard::Policy;
use freeswitch_esl::command::{RelayAddress, RelayKey};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::speech::VoiceName;

/// A lease is renewed at a third of its lifetime, and a renewal may take the store's whole timeout and fail once.
const LEASE_TIMEOUTS: u32 = 3;

/// The shortest key of relays, in characters.
const SHORTEST_RELAY_KEY: usize = 16;

/// The expected form of that key.
const RELAY_KEY_FORM: &str = "expected 16 to 128 letters, digits and . _ -";

/// The largest quota of an app in bytes: a pebibyte.
const MOST_APP_BYTES: f64 = 1_125_899_906_842_624.0;

pub(super) fn read_config(tree: Tree, problems: &mut Problems) -> Option<Config> {
    let mut root = Section::new(String::new(), tree, problems);
    let http = read_http(root.section("http"));
    let mut store = read_store(root.section("store"));
    let (webhooks, max_pending) = read_webhook_policy(root.section("webhooks"));
    let play = read_play(root.section("play"));
    let calls = read_calls(root.section("calls"));
    let dial = read_dial(root.section("dial"));
    let conference = read_conference(root.section("conference"));
    let recording = read_recording(root.section("recording"));
    let speech = read_speech(root.section("speech"));
    let fleet = read_fleet(root.section("fleet"));
    if let Some(store) = &store
        && fleet.lease_ttl < store.timeout * LEASE_TIMEOUTS
    {
        root.problem(
            "fleet.lease_ttl",
            format!(
                "is less than {LEASE_TIMEOUTS} times store.timeout_ms: a slow store would make this replica lose its nodes"
            ),
        );
    }
    let limits = read_limits(root.section("limits"));
    let audit = read_audit(root.section("audit"));
    let log = read_log(root.section("log"));
    let telemetry = read_telemetry(root.section("telemetry"));
    let relay_key = read_relay(root.section("relay"));
    let nodes = read_nodes(&mut root, fleet.nudge);
    if relay_key.is_none()
        && nodes.iter().any(|node| node.relay.is_some())
        && !root.problems.0.iter().any(|p| p.key == "relay.key")
    {
        root.problem("relay.key", "is required, because a node has `relay`");
    }
    let apps = read_apps(&mut root, webhooks);
    root.finish();
    if let Some(store) = &mut store {
        // Each node keeps its part of an endpoint's deliveries.
        let most = QueueLimits::default().delivered;
        let nodes_count = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
        store.queues = QueueLimits {
            pending: max_pending,
            delivered: (most / nodes_count.max(1)).max(100),
        };
    }
    Some(Config {
        http: http?,
        store: store?,
        webhooks,
        play,
        calls,
        dial,
        conference,
        recording,
        speech,
        fleet,
        relay_key,
        limits,
        audit,
        log,
        telemetry,
        nodes,
        apps,
    })
}

/// Reads the policy and the limit of pending deliveries.
fn read_webhook_policy(mut s: Section<'_>) -> (Policy, u64) {
    let policy = Policy {
        allow_http: s.flag("allow_http"),
        allow_private: s.flag("allow_private"),
    };
    let default = QueueLimits::default().pending as f64;
    let max_pending = s.number("max_pending", default, 100.0, 10_000_000.0) as u64;
    s.finish();
    (policy, max_pending)
}

fn read_calls(mut s: Section<'_>) -> CallsConfig {
    let park_timeout = s.seconds("park_timeout", 3600.0, 1.0, 604_800.0);
    if park_timeout.subsec_nanos() != 0 {
        // FreeSWITCH counts them.
        s.problem("park_timeout", "expected whole seconds");
    }
    s.finish();
    CallsConfig { park_timeout }
}

fn read_conference(mut s: Section<'_>) -> ConferenceConfig {
    let conference = ConferenceConfig {
        profile: s.profile("profile", "roomkeeper"),
        connect_profile: s.profile("connect_profile", "roomkeeper-connect"),
        join_timeout: s.seconds("join_timeout", 10.0, 0.1, 600.0),
        action_timeout: s.seconds("action_timeout", 300.0, 1.0, 86_400.0),
        keep_ended: s.seconds("keep_ended", 3_600.0, 1.0, 2_592_000.0),
    };
    s.finish();
    conference
}

fn read_recording(mut s: Section<'_>) -> RecordingConfig {
    let recording = RecordingConfig {
        directory: s.directory("directory", "/var/lib/freeswitch/recordings"),
        keep: s.seconds("keep", 2_592_000.0, 1.0, 31_536_000.0),
    };
    s.finish();
    recording
}

fn read_speech(mut s: Section<'_>) -> SpeechConfig {
    let speech = SpeechConfig {
        module: s.module("module", "mod_flite"),
        engine: s.profile("engine", "flite"),
        voice: s.profile("voice", "kal"),
        voices: read_voices(&mut s),
    };
    s.finish();
    speech
}

fn read_voices(s: &mut Section<'_>) -> Vec<String> {
    let voices = s.texts("voices");
    for (index, voice) in voices.iter().enumerate() {
        if let Err(why) = VoiceName::new(voice) {
            s.problem(&format!("voices[{index}]"), format!("{voice:?}: {why}"));
        }
    }
    voices
}

fn read_fleet(mut s: Section<'_>) -> FleetConfig {
    let fleet = FleetConfig {
        command_timeout: s.seconds("command_timeout", 5.0, 0.1, 600.0),
        lost_after: s.seconds("lost_after", 120.0, 0.1, 86_400.0),
        recovery_timeout: s.seconds("recovery_timeout", 0.0, 0.0, 3600.0),
        lease_ttl: s.seconds("lease_ttl", 10.0, 0.1, 600.0),
        resync_interval: s.seconds("resync_interval", 45.0, 0.1, 3600.0),
        nudge: s.nudge("nudge", Nudge::default()),
    };
    s.finish();
    fleet
}

fn read_relay(mut s: Section<'_>) -> Option<RelayKey> {
    let key = s.text("key");
    let own = "a random key, for example from: openssl rand -hex 32";
    let key = key.filter(|key| !s.refuse_placeholder("key", key, own));
    let read = key.and_then(|key| {
        let read = RelayKey::new(&*key).ok();
        let read = read.filter(|_| key.len() >= SHORTEST_RELAY_KEY);
        if read.is_none() {
            // Never repeats the key.
            s.problem("key", RELAY_KEY_FORM);
        }
        read
    });
    s.finish();
    read
}

/// Takes the address of a node's profile `relays`.
fn read_relay_address(s: &mut Section<'_>) -> Option<RelayAddress> {
    let text = s.text("relay")?;
    let address: NodeAddress = s.parsed("relay", &text)?;
    let fit = RelayAddress::new(address.to_string()).ok();
    if fit.is_none() {
        s.problem(
            "relay",
            format!("{text:?} is not a host name or IPv4 address with a port"),
        );
    }
    fit
}

fn read_limits(mut s: Section<'_>) -> LimitsConfig {
    let app_rate = s.number("app_rate", 50.0, 0.0, 100_000.0);
    if app_rate.fract() != 0.0 {
        s.problem("app_rate", "expected a whole number");
    }
    let cooldowns = s.flag_or("cooldowns", true);
    let app_bytes = s.number("app_bytes", 268_435_456.0, 0.0, MOST_APP_BYTES);
    if app_bytes.fract() != 0.0 {
        s.problem("app_bytes", "expected a whole number");
    }
    s.finish();
    LimitsConfig {
        // Whole and within bounds, or a problem.
        app_rate: app_rate as u32,
        cooldowns,
        app_bytes: app_bytes as u64,
    }
}

fn read_audit(mut s: Section<'_>) -> AuditSettings {
    let default = AuditSettings::default();
    let max_entries = s.number("max_entries", default.max_entries as f64, 0.0, 10_000_000.0);
    if max_entries.fract() != 0.0 {
        s.problem("max_entries", "expected a whole number");
    }
    let keep = s.seconds("keep", default.keep.as_secs_f64(), 60.0, 315_360_000.0);
    s.finish();
    AuditSettings {
        // Whole and within bounds, or a problem.
        max_entries: max_entries as u64,
        keep,
    }
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
    let admin_key_file = s.text("admin_key_file").map(PathBuf::from);
    let own = "a random key, for example from: openssl rand -hex 32";
    match (&admin_key, admin_listen) {
        (Some(key), _) if s.refuse_placeholder("admin_key", key, own) => {}
        (Some(key), _) if !is_key(key) => s.problem("admin_key", KEY_FORM),
        (Some(_), _) if admin_key_file.is_some() => {
            s.problem("admin_key_file", "cannot be combined with http.admin_key");
        }
        (None, Some(at)) if !has_key && admin_key_file.is_none() && !at.ip().is_loopback() => {
            s.problem(
                "admin_key",
                "is required unless http.admin_listen is loopback",
            );
        }
        (Some(_) | None, _) => {}
    }
    let allowed_hosts = read_hosts(&mut s, "allowed_hosts");
    let mut trusted_proxies = Vec::new();
    for (i, text) in s.texts("trusted_proxies").into_iter().enumerate() {
        let network = text.parse::<IpNet>().ok();
        match network.or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from)) {
            Some(network) => trusted_proxies.push(network),
            None => s.problem(
                &format!("trusted_proxies[{i}]"),
                format!("{text:?} is not an address or a network such as 10.0.0.0/8"),
            ),
        }
    }
    let connections_per_address = s.number("connections_per_address", 1024.0, 1.0, 4096.0) as usize;
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
        admin_key_file,
        allowed_hosts,
        trusted_proxies,
        connections_per_address,
        hide_foreign,
        body_limit,
    })
}

fn read_store(mut s: Section<'_>) -> Option<StoreConfig> {
    let url = s
        .text("url")
        .unwrap_or_else(|| "redis://127.0.0.1:6379/0".to_owned());
    let kind = store_kind(&url);
    s.refuse_placeholder("url", &url, "the password of your Redis");
    if let Err(e) = &kind {
        s.problem("url", e.as_ref());
    }
    let timeout = Duration::from_millis(s.number("timeout_ms", 1000.0, 10.0, 60_000.0) as u64);
    let tls = read_tls(&mut s, uses_tls(&url));
    let store = kind.ok().zip(tls.ok()).map(|(kind, tls)| StoreConfig {
        kind,
        url: url.into(),
        timeout,
        tls,
        queues: QueueLimits::default(),
    });
    s.finish();
    store
}

/// Returns the kind of store of a URL. The error never repeats the URL, which may contain a password.
pub(super) fn store_kind(url: &str) -> Result<StoreKind, Cow<'static, str>> {
    const FORMS: &str = "expected memory:, redis://host:port/db, redis+sentinel://h1,h2/master/db or redis+cluster://h1,h2; with TLS, rediss instead of redis";
    if url == "memory:" {
        return Ok(StoreKind::Memory);
    }
    let (scheme, rest) = url.split_once("://").ok_or(FORMS)?;
    let checked = |kind| match check_url(url) {
        Ok(()) => Ok(kind),
        Err(error) => Err(Cow::Owned(error.to_string())),
    };
    match scheme {
        // Refused with a more specific reason than the form.
        "rediss" if rest.contains('#') => checked(StoreKind::Redis),
        "redis" | "rediss" => {
            let rest = rest.split('?').next().unwrap_or_default();
            let (_, db) = rest.split_once('/').unwrap_or((rest, ""));
            let db_ok = db.is_empty() || db.parse::<u16>().is_ok();
            match Url::parse(url) {
                // A comma would be part of the name.
                Ok(parsed) if db_ok && parsed.host_str().is_some_and(|h| !h.contains(',')) => {
                    Ok(StoreKind::Redis)
                }
                Ok(_) | Err(_) => Err(FORMS.into()),
            }
        }
        "redis+sentinel" | "rediss+sentinel" => checked(StoreKind::Sentinel),
        "redis+cluster" | "rediss+cluster" => checked(StoreKind::Cluster),
        _ => Err(FORMS.into()),
    }
}

fn read_hosts(s: &mut Section<'_>, key: &str) -> Vec<String> {
    let mut hosts = Vec::new();
    for (i, text) in s.texts(key).into_iter().enumerate() {
        match Host::parse(&text) {
            // In the form of `Url`, so that they can be compared with its hosts.
            Ok(host) => hosts.push(host.to_string()),
            Err(_) => s.problem(
                &format!("{key}[{i}]"),
                format!("{text:?} is not a host name or address"),
            ),
        }
    }
    hosts
}

fn read_play(mut s: Section<'_>) -> PlayConfig {
    let allow_hosts = read_hosts(&mut s, "allow_hosts");
    let allow_private = s.flag("allow_private");
    let proxy_url = s.text("proxy_url");
    let listen = s
        .text("proxy_listen")
        .unwrap_or_else(|| "127.0.0.1:8082".to_owned());
    let bytes = s.number("proxy_bytes", 536_870_912.0, 1_048_576.0, 1e13) as u64;
    let url = proxy_url.as_deref().and_then(|text| {
        let url = PlayUrl::new(text).map_err(|why| why.to_string());
        let url = url.and_then(|url| {
            let is_base = url.as_str().matches('/').count() == 3 && url.as_str().ends_with('/');
            is_base
                .then_some(url)
                .ok_or_else(|| "it has a path or a query".to_owned())
        });
        url.map_err(|why| s.problem("proxy_url", format!("{text:?} is not a base URL: {why}")))
            .ok()
    });
    let listen = listen.parse().map_err(|_| {
        s.problem(
            "proxy_listen",
            format!("{listen:?} is not an address and port such as 127.0.0.1:8082"),
        );
    });
    s.finish();
    PlayConfig {
        allow_hosts,
        allow_private,
        proxy: url
            .zip(listen.ok())
            .map(|(url, listen)| MediaProxyConfig { url, listen, bytes }),
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

fn read_telemetry(mut s: Section<'_>) -> TelemetryConfig {
    let endpoint = s.text("otlp_endpoint");
    let mut otlp_endpoint = None;
    if let Some(text) = &endpoint {
        otlp_endpoint = Url::parse(text).ok().filter(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
        });
        if otlp_endpoint.is_none() {
            s.problem(
                "otlp_endpoint",
                format!("{text:?} is not an address such as http://collector:4318"),
            );
        } else if cfg!(not(feature = "otlp")) {
            s.problem(
                "otlp_endpoint",
                "this build does not support traces; build with cargo build --release --features otlp",
            );
        }
    }
    let given = s.table.contains_key("sample_ratio");
    let ratio = s.number("sample_ratio", 1.0, 0.0, 1.0);
    s.finish();
    TelemetryConfig {
        otlp_endpoint,
        asked_by_environment: false,
        sample_ratio: given.then_some(ratio),
    }
}

fn read_nodes(root: &mut Section<'_>, of_fleet: Nudge) -> Vec<NodeConfig> {
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
        let nudge = s.nudge("nudge", of_fleet);
        let relay = read_relay_address(&mut s);
        if let Some(password) = &password {
            let own = "the node's Event Socket password";
            s.refuse_placeholder("password", password, own);
        }
        if password
            .as_ref()
            .is_some_and(|p| p.is_empty() || p.contains(|c: char| c.is_control()))
        {
            s.problem(
                "password",
                "must not be empty or contain control characters",
            );
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
        if let Some(relay) = &relay
            && nodes.iter().any(|n| n.relay.as_ref() == Some(relay))
        {
            s.problem("relay", format!("{relay} is already another node's"));
        }
        s.finish();
        if let (Some(id), Some(address), Some(password)) = (id, address, password) {
            nodes.push(NodeConfig {
                id,
                address,
                password: password.into(),
                nudge,
                relay,
            });
        }
    }
    nodes
}
