use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::tree::{Tree, parse_file};
use super::*;
use crate::node::Nudge;
use crate::telemetry::LogFormat;
use crate::webhook::guard::Policy;

mod store;

/// The minimal configuration.
const MINIMAL: &str = r#"
[[nodes]]
id = "acW68"
address = "localhost:8021"
password = "ClueCon"
"#;

/// The example with secrets in place of its placeholders.
fn filled_example() -> String {
    EXAMPLE
        .replace("password = \"replace-me\"", "password = \"ClueCon\"")
        .replace("\napi_key = \"replace-me\"", "\napi_key = \"demo-key\"")
        .replace("whsec_replace-me", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .replace(
            "api_key_sha256 = \"replace-me\"",
            "api_key_sha256 = \"580843d03d2216ff1a275d0991bad66e4d1af871171d929e9de604b7959f9bca\"",
        )
}

fn load(text: &str, env: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    Config::from_text(text, env)
}

/// The errors of this text with the minimal configuration appended.
fn problems(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    match load(&format!("{text}\n{MINIMAL}"), env) {
        Ok(_) => Vec::new(),
        Err(e) => e.to_string().lines().map(str::to_owned).collect(),
    }
}

#[test]
fn minimal_configuration_has_documented_defaults() {
    let config = load(MINIMAL, &[]).unwrap();
    assert_eq!(config.http.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.http.admin_listen.to_string(), "127.0.0.1:9090");
    assert!(config.http.admin_key.is_none());
    assert_eq!(config.http.body_limit, 262_144);
    assert_eq!(config.store.kind, StoreKind::Redis);
    assert_eq!(config.store.timeout, Duration::from_secs(1));
    assert_eq!(config.webhooks, Policy::default());
    assert_eq!(config.calls.park_timeout, Duration::from_secs(3600));
    assert_eq!(config.conference.profile, "roomkeeper");
    assert_eq!(config.conference.connect_profile, "roomkeeper-connect");
    assert_eq!(config.conference.join_timeout, Duration::from_secs(10));
    assert_eq!(config.conference.action_timeout, Duration::from_secs(300));
    assert_eq!(config.conference.keep_ended, Duration::from_secs(3_600));
    assert_eq!(config.recording.directory, "/var/lib/freeswitch/recordings");
    assert_eq!(config.recording.keep, Duration::from_secs(2_592_000));
    assert_eq!(config.speech.module, "mod_flite");
    assert_eq!(config.speech.engine, "flite");
    assert_eq!(config.speech.voice, "kal");
    assert_eq!(config.fleet.command_timeout, Duration::from_secs(5));
    assert_eq!(config.fleet.lost_after, Duration::from_secs(120));
    assert_eq!(config.fleet.recovery_timeout, Duration::ZERO);
    assert_eq!(config.fleet.lease_ttl, Duration::from_secs(10));
    assert_eq!(config.fleet.resync_interval, Duration::from_secs(45));
    assert_eq!(config.fleet.nudge, Nudge::Adaptive);
    assert_eq!(config.nodes[0].nudge, Nudge::Adaptive);
    assert_eq!(config.limits.app_rate, 50);
    assert!(config.limits.cooldowns);
    assert_eq!(config.limits.app_bytes, 256 << 20);
    assert_eq!(config.audit, crate::audit::AuditSettings::default());
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.nodes[0].address.to_string(), "localhost:8021");
    assert!(config.apps.is_empty());
}

#[test]
fn documented_defaults_are_the_defaults() {
    // Setting every key to its default value changes nothing.
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    for doc in KEYS {
        if doc.key.contains('[') || doc.default == "none" {
            continue;
        }
        let (section, key) = doc.key.split_once('.').unwrap();
        let _ = writeln!(
            sections.entry(section).or_default(),
            "{key} = {}",
            doc.default
        );
    }
    let text: String = sections
        .iter()
        .map(|(section, keys)| format!("[{section}]\n{keys}"))
        .collect();
    let written = load(&format!("{text}\n{MINIMAL}"), &[]).unwrap();
    let implied = load(MINIMAL, &[]).unwrap();
    assert_eq!(written.summary(), implied.summary());
}

#[test]
fn example_reports_its_placeholders_and_nothing_else() {
    let problems = load(EXAMPLE, &[]).unwrap_err();
    let keys: Vec<&str> = problems.0.iter().map(|p| p.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "nodes[0].password",
            "apps[0].api_key",
            "apps[0].webhooks[0].secret",
            "apps[1].api_key_sha256",
        ]
    );
    for problem in &problems.0 {
        let start = "is still the example's placeholder: set ";
        assert!(problem.problem.starts_with(start), "{problem:?}");
    }
}

#[test]
fn placeholders_are_refused_in_every_secret() {
    let secrets = [
        ("ROOMKEEPER_HTTP__ADMIN_KEY", "http.admin_key"),
        ("ROOMKEEPER_NODES__0__PASSWORD", "nodes[0].password"),
    ];
    for (name, key) in secrets {
        let found = problems("", &[(name, "Replace-Me-please")]);
        assert_eq!(found.len(), 1, "{found:?}");
        let start = format!("{key}: is still the example's placeholder: set ");
        assert!(found[0].starts_with(&start), "{found:?}");
    }
    let url = "redis://roomkeeper:replace-me@redis:6379/0";
    let found = problems("", &[("ROOMKEEPER_STORE__URL", url)]);
    assert_eq!(
        found,
        ["store.url: is still the example's placeholder: set the password of your Redis"]
    );
}

#[test]
fn example_is_safe_to_start_with() {
    let config = load(&filled_example(), &[]).unwrap();
    assert!(config.http.listen.ip().is_loopback());
    assert!(config.http.admin_listen.ip().is_loopback());
    assert!(config.http.admin_key.is_none(), "a random key is made");
    assert_eq!(config.webhooks, Policy::default());
    assert!(!config.play.allow_private);
    let proxy = config.play.proxy.unwrap();
    assert!(proxy.listen.ip().is_loopback());
}

#[test]
fn example_is_valid_and_has_every_key() {
    let config = load(&filled_example(), &[]).unwrap();
    assert_eq!(config.apps.len(), 2);
    assert!(config.apps[0].api_keys[0].matches("demo-key"));
    assert!(config.apps[1].api_keys[0].matches("other-key"));
    let mut keys = BTreeSet::new();
    collect("", &parse_file(EXAMPLE).unwrap(), &mut keys);
    let known: BTreeSet<String> = KEYS.iter().map(|doc| doc.key.to_owned()).collect();
    // An error in a build without traces, so it is commented out.
    assert!(EXAMPLE.contains("\n# otlp_endpoint = \""));
    keys.insert("telemetry.otlp_endpoint".to_owned());
    // Only one of two keys can be set, and on loopback neither is needed.
    for key in ["admin_key", "admin_key_file"] {
        assert!(EXAMPLE.contains(&format!("\n# {key} = \"")));
        keys.insert(format!("http.{key}"));
    }
    // Errors with a URL without TLS.
    for key in ["tls_ca", "tls_cert", "tls_key"] {
        assert!(EXAMPLE.contains(&format!("\n# {key} = \"")));
        keys.insert(format!("store.{key}"));
    }
    // Required together, and most fleets have no relays.
    for (key, path) in [("key", "relay.key"), ("relay", "nodes[].relay")] {
        assert!(EXAMPLE.contains(&format!("\n# {key} = \"")));
        keys.insert(path.to_owned());
    }
    assert_eq!(keys, known);
}

#[test]
fn listeners_admin_key_and_proxies_are_checked() {
    let shown = |http: &str| {
        let config = load(&format!("[http]\n{http}\n{MINIMAL}"), &[]).unwrap();
        config.summary()
    };
    assert!(shown("").contains("(key: made at start)"));
    let file = "admin_listen = \"0.0.0.0:9090\"\nadmin_key_file = \"/k\"";
    assert!(shown(file).contains("(key: in /k)"));
    let proxies = "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]";
    assert!(shown(proxies).contains("trusted_proxies [10.0.0.0/8, ::1/128]"));
    let problems_found = problems(
        "[http]\nadmin_key = \"k\"\nadmin_key_file = \"/k\"\nallowed_hosts = [\"a b\"]\n\
         trusted_proxies = [\"proxy\"]\nconnections_per_address = 0",
        &[],
    );
    assert_eq!(
        problems_found,
        [
            "http.admin_key_file: cannot be combined with http.admin_key",
            "http.allowed_hosts[0]: \"a b\" is not a host name or address",
            "http.trusted_proxies[0]: \"proxy\" is not an address or a network such as 10.0.0.0/8",
            "http.connections_per_address: expected a number from 1 to 4096",
        ]
    );
}

#[test]
fn otlp_endpoint_requires_build_with_traces() {
    let at = |endpoint: &str| format!("[telemetry]\notlp_endpoint = \"{endpoint}\"");
    for bad in ["collector:4318", "grpc://collector:4317", "http://c/?a=b"] {
        let problems_found = problems(&at(bad), &[]);
        assert_eq!(problems_found.len(), 1, "{problems_found:?}");
        assert!(
            problems_found[0].contains("is not an address such as"),
            "{problems_found:?}"
        );
    }
    let problems_found = problems(&at("http://collector:4318"), &[]);
    if cfg!(feature = "otlp") {
        assert!(problems_found.is_empty(), "{problems_found:?}");
    } else {
        assert!(
            problems_found[0].starts_with("telemetry.otlp_endpoint: ")
                && problems_found[0].contains("--features otlp"),
            "{problems_found:?}"
        );
    }
    let problems_found = problems("[telemetry]\nsample_ratio = 1.5", &[]);
    assert!(
        problems_found[0].contains("from 0 to 1"),
        "{problems_found:?}"
    );
    let config = load(MINIMAL, &[]).unwrap();
    assert!(!config.telemetry.asked_by_environment);
    assert_eq!(config.telemetry.sample_ratio, None);
    let config = load(
        MINIMAL,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")],
    );
    assert!(config.unwrap().telemetry.asked_by_environment);
}

fn collect(path: &str, tree: &Tree, keys: &mut BTreeSet<String>) {
    match tree {
        Tree::Table(table) => {
            for (key, tree) in table {
                let dot = if path.is_empty() { "" } else { "." };
                collect(&format!("{path}{dot}{key}"), tree, keys);
            }
        }
        Tree::List(list) if matches!(list.first(), Some(Tree::Table(_))) => {
            for tree in list {
                collect(&format!("{path}[]"), tree, keys);
            }
        }
        Tree::Variable(_) | Tree::Text(_) | Tree::Flag(_) | Tree::Number(_) | Tree::List(_) => {
            keys.insert(path.to_owned());
        }
    }
}

#[test]
fn all_errors_are_reported_at_once() {
    let text = r#"
[http]
listen = "8080"
admin_listen = "0.0.0.0:9090"
lisen = 1
hide_foreign = "yes"
[store]
url = "redis+sentinel://h1,h2"
timeout_ms = 0
[calls]
park_timeout = 1.5
[conference]
profile = "a@b"
[fleet]
lost_after = "soon"
lease_ttl = 0.02
[limits]
app_rate = 0.5
cooldowns = "no"
[log]
format = "xml"
filter = "info,=="
[nodez]
[[nodes]]
id = "toolong"
address = "localhost"
[[nodes]]
id = "acW68"
address = "localhost:8021"
password = "a\nb"
colour = "red"
[[apps]]
id = "a b"
customer_id = "x"
[[apps]]
id = "a"
api_key = ["one", "two", "three"]
dids = ["1", "1", 2]
rate_limit = 0
[[apps.webhooks]]
url = "http://127.0.0.1/"
secret = "whsec_short"
events = ["conference.*", "call.never"]
[[apps]]
id = "a"
api_key = "one"
rate_limit = 1.5
"#;
    let found = problems(text, &[]);
    insta::assert_snapshot!(found.join("\n"), @r#"
    http.listen: "8080" is not an address and port such as 127.0.0.1:8080
    http.admin_key: is required unless http.admin_listen is loopback
    http.hide_foreign: expected true or false, found a string
    http.lisen: unknown key (did you mean "listen"?)
    store.url: not a valid store URL: the name of the master is missing: redis+sentinel://host,host/master
    store.timeout_ms: expected a number from 10 to 60000
    calls.park_timeout: expected whole seconds
    conference.profile: "a@b" is not 1 to 64 characters of A-Z a-z 0-9 _ - .
    fleet.lost_after: expected a number, found a string
    fleet.lease_ttl: expected a number from 0.1 to 600
    limits.app_rate: expected a whole number
    limits.cooldowns: expected true or false, found a string
    log.format: "xml" is neither "text" nor "json"
    log.filter: "info,==" is not a filter: invalid filter directive
    nodes[0].id: not a valid node id: expected 5 characters of A-Z a-z 0-9
    nodes[0].address: "localhost" is not host:port
    nodes[0].password: is missing
    nodes[1].password: must not be empty or contain control characters
    nodes[1].colour: unknown key
    nodes[2].id: acW68 is already the id of another node
    nodes[2].address: localhost:8021 is already another node's
    apps[0].id: not a valid app id: expected 1 to 64 characters of A-Z a-z 0-9 _ -
    apps[0].customer_id: "x" is not a uuid
    apps[0].api_key: is missing: api_key or api_key_sha256 is required
    apps[1].api_key: at most two keys can be active
    apps[1].dids[2]: expected a string, found a number
    apps[1].dids[1]: 1 is already one of apps[1]
    apps[1].rate_limit: expected a number from 1 to 1000000
    apps[1].webhooks[0].url: the scheme must be https
    apps[1].webhooks[0].secret: not a signing secret: expected whsec_ and 24 to 64 bytes in base64
    apps[1].webhooks[0].events: no event is called "call.never": expected *, a name or a prefix such as conference.member.*
    apps[2].id: a is already the id of another app
    apps[2].api_key: the same key is already one of apps[1]
    apps[2].rate_limit: expected a whole number
    nodez: unknown key (did you mean "nodes"?)
    "#);
}

#[test]
fn lease_must_outlive_three_store_timeouts() {
    let wrong = |ttl: &str, timeout: &str| {
        let text =
            format!("[store]\ntimeout_ms = {timeout}\n[fleet]\nlease_ttl = {ttl}\n{MINIMAL}");
        load(&text, &[]).err().map(|e| e.to_string())
    };
    for (ttl, timeout) in [("3", "1000"), ("10", "3333"), ("0.3", "100")] {
        assert_eq!(wrong(ttl, timeout), None);
    }
    for (ttl, timeout) in [("2.9", "1000"), ("10", "3334"), ("0.1", "60000")] {
        assert_eq!(
            wrong(ttl, timeout).as_deref(),
            Some(
                "fleet.lease_ttl: is less than 3 times store.timeout_ms: a slow store would make this replica lose its nodes"
            )
        );
    }
}

#[test]
fn errors_never_contain_secrets() {
    let text = r#"
[http]
admin_key = "geheim eins"
[store]
url = "redis://:geheim2@"
[[apps]]
id = "a"
api_key = "geheim drei"
api_key_sha256 = "geheim4"
[[apps.webhooks]]
url = "https://u:geheim5@example.com/"
secret = ["geheim6"]
"#;
    let found = problems(text, &[("ROOMKEEPER_NODES__0__PASSWORD", "geheim\n7")]);
    assert_eq!(found.len(), 7, "{found:#?}");
    assert!(!found.join("\n").contains("geheim"), "{found:#?}");
}

#[test]
fn environment_overrides_file_and_extends_lists() {
    let config = load(
        MINIMAL,
        &[
            ("ROOMKEEPER_STORE__URL", "memory:"),
            ("ROOMKEEPER_HTTP__HIDE_FOREIGN", "true"),
            ("ROOMKEEPER_HTTP__ADMIN_KEY", "00123"),
            ("ROOMKEEPER_FLEET__LEASE_TTL", "3.5"),
            ("ROOMKEEPER_PLAY__ALLOW_HOSTS", "[a.example, B.example]"),
            ("ROOMKEEPER_NODES__0__PASSWORD", "[secret"),
            ("ROOMKEEPER_NODES__1__ID", "bbbbb"),
            ("ROOMKEEPER_NODES__1__ADDRESS", "[::1]:8021"),
            ("ROOMKEEPER_NODES__1__PASSWORD", "x"),
            ("ROOMKEEPER_APPS__0__ID", "made"),
            ("ROOMKEEPER_APPS__0__API_KEY", "k"),
            ("ROOMKEEPER_APPS__0__DIDS", "[\"747713001\"]"),
            ("ROOMKEEPER_SERVICE_HOST", "10.0.0.1"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.store.kind, StoreKind::Memory);
    assert!(config.http.hide_foreign);
    assert_eq!(config.http.admin_key.unwrap().expose_secret(), "00123");
    assert_eq!(config.fleet.lease_ttl, Duration::from_millis(3_500));
    assert_eq!(config.play.allow_hosts, ["a.example", "b.example"]);
    assert_eq!(config.nodes[0].password.expose_secret(), "[secret");
    assert_eq!(config.nodes[1].address.to_string(), "[::1]:8021");
    assert_eq!(config.apps[0].dids, ["747713001"]);
    assert!(config.apps[0].api_keys[0].matches("k"));
    assert!(!config.apps[0].customer_id.is_nil());
}

#[test]
fn ineffective_variable_is_reported() {
    let found = problems(
        "",
        &[
            ("ROOMKEEPER_STORE_URL", "memory:"),
            ("ROOMKEEPER_STORE__URI", "memory:"),
            ("ROOMKEEPER_NODES__7__ID", "aaaaa"),
            ("ROOMKEEPER_HTTP__HIDE_FOREIGN", "maybe"),
        ],
    );
    assert_eq!(
        found,
        [
            "ROOMKEEPER_NODES__7__ID: does not name a key",
            "ROOMKEEPER_STORE_URL: is not read (did you mean ROOMKEEPER_STORE__URL?)",
            "http.hide_foreign: expected true or false",
            "store.uri: unknown key (did you mean \"url\"?)",
        ]
    );
}

#[test]
fn summary_hides_secrets() {
    let text = filled_example()
        .replace("redis://127", "redis://user:geheim@127")
        .replace("com/hook", "com/hook?token=geheim")
        .replace("# admin_key = \"replace-me\"", "admin_key = \"change-me\"");
    let config = load(&text, &[]).unwrap();
    let shown = config.summary();
    for secret in [
        "geheim",
        "demo-key",
        "change-me",
        "ClueCon",
        "MfKQ9r8",
        "580843d",
    ] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let debugged = format!("{config:?}");
    for secret in [
        "geheim",
        "demo-key",
        "change-me",
        "ClueCon",
        "MfKQ9r8",
        "580843d",
    ] {
        assert!(!debugged.contains(secret), "{secret} in {debugged}");
    }
    insta::assert_snapshot!(shown, @"
    http: 127.0.0.1:8080, admin 127.0.0.1:9090 (key: set), hide_foreign false, body_limit 262144
    http: allowed_hosts [], trusted_proxies [], connections_per_address 1024
    store: redis://[REDACTED]@127.0.0.1:6379/0, timeout 1s
    webhooks: https to public addresses, at most 100000 pending
    play: media.example.com, allow_private false, proxy http://127.0.0.1:8082/ at 127.0.0.1:8082, at most 536870912 bytes
    calls: park_timeout 3600s
    dial: number set, address set, 1 permissions, at most 20 per app
    conference: profile roomkeeper, connect_profile roomkeeper-connect, join_timeout 10s, action_timeout 300s, keep_ended 3600s
    recording: directory /var/lib/freeswitch/recordings, keep 2592000s
    speech: module mod_flite, engine flite, voice kal
    fleet: command_timeout 5s, lost_after 120s, recovery_timeout 0ns, lease_ttl 10s, resync_interval 45s, nudge adaptive
    limits: app_rate 50, cooldowns true, app_bytes 268435456
    audit: max_entries 100000, keep 7776000s
    log: text, filter info
    traces: none
    node acW68: 127.0.0.1:8021, password set
    app demo: customer_id 5e4a0680-804e-11ec-8477-2fea5968d85b, 1 active key(s), dids [747713001], rate_limit 100
      webhook ep_6b41198e39ce5e70af9833900bd200a3: https://app.example.com/hook, 1 secret(s), events [*]
    app other: customer_id 60b0f65c-329e-5b0d-8e77-f0156c7653a4, 1 active key(s), dids []
    ");
}

#[test]
fn media_proxy_needs_a_base_url_that_freeswitch_can_fetch_from() {
    let with = |play: &str| load(&format!("[play]\n{play}\n{MINIMAL}"), &[]);
    assert!(with("").unwrap().play.proxy.is_none());
    let proxy = with("proxy_url = \"http://10.0.0.5:8082\"").unwrap();
    let proxy = proxy.play.proxy.unwrap();
    assert_eq!(proxy.url.as_str(), "http://10.0.0.5:8082/");
    assert_eq!(proxy.listen.to_string(), "127.0.0.1:8082");
    assert_eq!(proxy.bytes, 512 << 20);
    for (play, key) in [
        ("proxy_url = \"ftp://10.0.0.5\"", "play.proxy_url"),
        ("proxy_url = \"http://10.0.0.5/media\"", "play.proxy_url"),
        ("proxy_url = \"http://10.0.0.5/?a\"", "play.proxy_url"),
        ("proxy_url = \"http://u:p@10.0.0.5/\"", "play.proxy_url"),
        ("proxy_url = \"http://[::1]:8082\"", "play.proxy_url"),
        ("proxy_listen = \"8082\"", "play.proxy_listen"),
        ("proxy_bytes = 1", "play.proxy_bytes"),
    ] {
        let errors = with(play).unwrap_err();
        assert_eq!(errors.0.len(), 1, "{errors}");
        assert_eq!(errors.0[0].key, key, "{errors}");
    }
}

#[test]
fn nudge_is_configured_for_all_nodes_or_for_one() {
    let two = r#"
[[nodes]]
id = "bcX79"
address = "localhost:8022"
password = "ClueCon"
nudge = 5
"#;
    let nudges = |fleet: &str, env: &[(&str, &str)]| -> Vec<String> {
        let config = load(&format!("{fleet}\n{MINIMAL}{two}"), env).unwrap();
        config.nodes.iter().map(|n| n.nudge.to_string()).collect()
    };
    assert_eq!(nudges("", &[]), ["adaptive", "5ms"]);
    assert_eq!(nudges("[fleet]\nnudge = \"off\"", &[]), ["off", "5ms"]);
    let env = [
        ("ROOMKEEPER_FLEET__NUDGE", "2"),
        ("ROOMKEEPER_NODES__1__NUDGE", "off"),
    ];
    assert_eq!(nudges("", &env), ["2ms", "off"]);
    let shown = load(&format!("{MINIMAL}{two}"), &[]).unwrap().summary();
    assert!(
        shown.contains("node acW68: localhost:8021, password set\n"),
        "{shown}"
    );
    assert!(shown.contains("node bcX79: localhost:8022, password set, nudge 5ms\n"));
    for bad in ["0", "20", "2.5", "\"often\""] {
        let problems_found = problems(&format!("[fleet]\nnudge = {bad}"), &[]);
        assert_eq!(
            problems_found,
            [
                "fleet.nudge: expected \"adaptive\", \"off\", or whole milliseconds from 1 to 19 (FreeSWITCH checks by itself every 20)"
            ],
            "{bad}"
        );
    }
    let problems_found = problems("[fleet]\nnudge = true", &[]);
    assert_eq!(
        problems_found,
        ["fleet.nudge: expected a string or a number, found true or false"]
    );
}

#[test]
fn invalid_or_missing_file_is_reported() {
    let e = load("[http\n", &[]).unwrap_err();
    assert_eq!(e.0.len(), 1);
    assert_eq!(e.0[0].key, "configuration file");
    let e = Config::load(Path::new("/nonexistent/roomkeeper.toml"), []).unwrap_err();
    assert_eq!(e.0[0].key, "/nonexistent/roomkeeper.toml");
}

#[test]
fn key_table_has_a_row_for_every_key() {
    let table = key_table_markdown();
    assert_eq!(table.lines().count(), KEYS.len() + 2);
    assert!(table.contains("| `http.hide_foreign` | `false` | "));
    assert!(table.contains("| `nodes[].id` | required | "));
}

#[test]
fn relays_have_addresses_and_one_key_that_is_never_shown() {
    const SECRET: &str = "a-key.of_relays-0123";
    const NODES: &str = r#"
[[nodes]]
id = "acW68"
address = "localhost:8021"
password = "p"
relay = "10.0.0.11:5090"
[[nodes]]
id = "bdX79"
address = "localhost:8022"
password = "p"
"#;
    let of = |relay: &str, env: &[(&str, &str)]| match load(&format!("{relay}{NODES}"), env) {
        Ok(_) => String::new(),
        Err(errors) => errors.to_string(),
    };
    let config = load(NODES, &[("ROOMKEEPER_RELAY__KEY", SECRET)]).unwrap();
    let relay = config.nodes[0].relay.as_ref();
    assert_eq!(relay.unwrap().to_string(), "10.0.0.11:5090");
    assert!(config.nodes[1].relay.is_none());
    let shown = config.summary();
    assert!(shown.contains(
        "relay: key set\nnode acW68: localhost:8021, password set, relay 10.0.0.11:5090\n"
    ));
    assert!(!format!("{config:?}{shown}").contains(SECRET));

    assert_eq!(
        of("", &[]),
        "relay.key: is required, because a node has `relay`"
    );
    let placeholder = of("[relay]\nkey = \"replace-me\"", &[]);
    assert!(placeholder.starts_with("relay.key: is still the example's placeholder"));
    for bad in [
        "short",
        "a key with spaces in it",
        "a-key-that-ends,with}",
        &"k".repeat(129),
    ] {
        let problem = of("", &[("ROOMKEEPER_RELAY__KEY", bad)]);
        assert_eq!(
            problem,
            "relay.key: expected 16 to 128 letters, digits and . _ -"
        );
    }
    let second = ("ROOMKEEPER_NODES__1__RELAY", "10.0.0.11:5090");
    assert_eq!(
        of("", &[("ROOMKEEPER_RELAY__KEY", SECRET), second]),
        "nodes[1].relay: 10.0.0.11:5090 is already another node's"
    );
    for (bad, problem) in [
        ("10.0.0.12", "\"10.0.0.12\" is not host:port"),
        (
            "[::1]:5090",
            "\"[::1]:5090\" is not a host name or IPv4 address with a port",
        ),
    ] {
        let env = [
            ("ROOMKEEPER_RELAY__KEY", SECRET),
            ("ROOMKEEPER_NODES__1__RELAY", bad),
        ];
        assert_eq!(of("", &env), format!("nodes[1].relay: {problem}"));
    }
}
