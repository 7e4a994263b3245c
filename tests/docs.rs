//! What the documents say is so: the configuration, the API, the metrics, the files they name, the image.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use clap::CommandFactory;
use roomkeeper::api::limits::AppLimiter;
use roomkeeper::api::{
    AdminState, AllowedHosts, ApiSettings, ApiState, Hub, KeyDigest, Quota, Registry, admin_router,
    router,
};
use roomkeeper::config::{self, Config};
use roomkeeper::ids::NodeId;
use roomkeeper::reconciler::{Accepted, Controller, Intent, IntentError, NodeReport};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::supervise::Stage;
use roomkeeper::telemetry::{self, METRICS};
use roomkeeper::webhook::payload;
use roomkeeper::webhook::pressure::Pressure;
use tower::ServiceExt;
use uuid::Uuid;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "freeswitch-conf/README.md",
    "src/ARCHITECTURE.md",
    "src/room/LIFECYCLE.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start:?}")) + start.len();
    let rest = &text[from..];
    let to = rest.find(end).unwrap_or_else(|| panic!("no {end:?}"));
    &rest[..to]
}

/// The code blocks of this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    text.split(open.as_str())
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

// ---- the configuration ----------------------------------------------------------------------------------------------

#[test]
fn the_table_of_the_configuration_is_the_programs() {
    let readme = read("README.md");
    let start = "<!-- configuration: made by config::key_table_markdown() -->\n";
    let table = between(&readme, start, "<!-- /configuration -->");
    assert_eq!(table, config::key_table_markdown());
}

#[test]
fn the_table_of_the_metrics_is_the_programs() {
    let readme = read("README.md");
    let start = "<!-- metrics: made by telemetry::metric_table_markdown() -->\n";
    let table = between(&readme, start, "<!-- /metrics -->");
    assert_eq!(table, telemetry::metric_table_markdown());
}

#[test]
fn the_configurations_that_are_shown_can_be_loaded() {
    let readme = read("README.md");
    let shown = blocks(&readme, "toml");
    assert!(!shown.is_empty());
    for text in shown {
        if let Err(e) = Config::from_text(text, std::iter::empty()) {
            panic!("{e}\n{text}");
        }
    }
}

// ---- the API --------------------------------------------------------------------------------------------------------

struct Nobody;

#[async_trait]
impl Controller for Nobody {
    async fn submit(&self, _: Intent) -> Result<Accepted, IntentError> {
        Err(IntentError::Busy)
    }
    fn nodes(&self) -> Vec<NodeReport> {
        Vec::new()
    }
    async fn drain(&self, node: NodeId, _: bool) -> Result<(), IntentError> {
        Err(IntentError::UnknownNode(node))
    }
    async fn resync(&self, node: NodeId) -> Result<(), IntentError> {
        Err(IntentError::UnknownNode(node))
    }
}

fn routers() -> (Router, Router) {
    let store = Arc::new(MemoryStore::new());
    let settings = ApiSettings::default();
    let apps = Arc::new(Registry::new(store.clone(), &[], Vec::new()));
    let admin = AdminState {
        store: store.clone(),
        controller: Arc::new(Nobody),
        apps: apps.clone(),
        key: KeyDigest::of("k"),
        metrics_are_open: false,
        hosts: AllowedHosts::Any,
        render_metrics: Arc::new(String::new),
    };
    let admin = admin_router(admin, &settings);
    let limiter = Arc::new(AppLimiter::new(store.clone(), &settings.limits));
    let events = Hub::start(store.clone(), Vec::new(), settings.streams, &Stage::new());
    let quota = Quota::new(store.clone(), Vec::new(), apps.receivers(), 0);
    let api = router(ApiState {
        events,
        quota: Arc::new(quota),
        store,
        limiter,
        pressure: Arc::new(Pressure::new(1_000)),
        controller: Arc::new(Nobody),
        apps,
        settings,
        new_id: Arc::new(Uuid::nil),
    });
    (api, admin)
}

/// Whether a router of ours has this route: an unknown one is told apart from what is not there by its words.
async fn exists(method: &str, path: &str) -> bool {
    let (api, admin) = routers();
    let of_apps = ["/api/", "/v1.0/"].iter().any(|api| path.starts_with(api));
    let router = if of_apps { api } else { admin };
    let request = Request::builder().method(method).uri(path);
    let answer = router
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let answer = answer.expect("a router always answers");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20)
        .await
        .expect("the whole answer");
    let unknown = String::from_utf8_lossy(&body).contains("there is nothing at this path");
    !(status == StatusCode::METHOD_NOT_ALLOWED || (status == StatusCode::NOT_FOUND && unknown))
}

/// The requests in the README's tables, as method and path.
fn documented(readme: &str) -> BTreeSet<(String, String)> {
    readme
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split('`').next())
        .filter_map(|cell| cell.split_once(' '))
        .filter(|(method, path)| {
            path.starts_with('/') && method.chars().all(|c| c.is_ascii_uppercase())
        })
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect()
}

/// The requests that its shell blocks make.
fn walked(readme: &str) -> Vec<(String, String)> {
    let variables = [
        ("$ROOM", "{room_id}"),
        ("$CALL", "{uuid}"),
        ("$API", "/api/v1"),
    ];
    let mut found = Vec::new();
    for line in blocks(readme, "sh").concat().lines() {
        let Some(from) = line.find("\"$API/") else {
            continue;
        };
        let url = line[from + 1..].split('"').next().unwrap_or_default();
        let path = variables.iter().fold(url.to_owned(), |url, (name, value)| {
            url.replace(name, value)
        });
        let method = line.split_once("-X ").map_or("GET", |(_, rest)| {
            rest.split(' ').next().unwrap_or_default()
        });
        found.push((method.to_owned(), path));
    }
    found
}

#[tokio::test]
async fn every_request_that_is_documented_has_a_route() {
    let readme = read("README.md");
    let documented = documented(&readme);
    assert!(documented.len() >= 17, "{documented:?}");
    for (method, path) in &documented {
        assert!(exists(method, path).await, "{method} {path} has no route");
    }
    let walked = walked(&readme);
    assert!(walked.len() >= 10, "{walked:?}");
    for (method, path) in walked {
        assert!(
            documented.contains(&(method.clone(), path.clone())),
            "{method} {path} is in the walk and not in the table"
        );
    }
    // The check can fail.
    assert!(!exists("GET", "/api/v1/conference").await);
    assert!(!exists("PUT", "/api/v1/conferences").await);
}

#[test]
fn every_route_is_documented() {
    let documented = documented(&read("README.md"));
    for (file, prefix) in [
        ("src/api/gateway/mod.rs", "/api/v1"),
        ("src/api/webhooks/mod.rs", "/api/v1"),
        ("src/api/voipbin/mod.rs", "/v1.0"),
        ("src/api/admin/mod.rs", ""),
    ] {
        let source = read(file);
        let routes: Vec<&str> = source
            .split(".route(")
            .skip(1)
            .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
            .collect();
        assert!(routes.len() >= 4, "{file}: {routes:?}");
        for route in routes {
            let is_shown = documented
                .iter()
                .any(|(_, path)| path.starts_with(prefix) && path.ends_with(route));
            assert!(is_shown, "{route} of {file} is not in README.md");
        }
    }
}

// ---- the command line -----------------------------------------------------------------------------------------------

#[test]
fn every_command_and_variable_of_the_command_line_is_documented() {
    let readme = read("README.md");
    let section = between(&readme, "## Command line\n", "\n## ");
    let quoted = quoted(section);
    let mut command = roomkeeper::cli::Arguments::command();
    command.build();
    for command in command.get_subcommands().filter(|c| !c.is_hide_set()) {
        let name = command.get_name();
        if name == "help" {
            continue;
        }
        let full = format!("roomkeeper {name}");
        assert!(
            quoted
                .iter()
                .any(|q| *q == full || q.starts_with(&format!("{full} "))),
            "{full} is not in README.md"
        );
        for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
            let below = below.get_name();
            assert!(
                quoted.contains(below) || quoted.contains(&*format!("{full} {below}")),
                "{full} {below} is not in README.md"
            );
        }
        for argument in command.get_arguments() {
            let Some(variable) = argument.get_env().and_then(|v| v.to_str()) else {
                continue;
            };
            assert!(readme.contains(variable), "{variable} is not in README.md");
        }
    }
    // And what is there can be typed.
    for typed in quoted.iter().filter_map(|q| q.strip_prefix("roomkeeper ")) {
        let words = typed
            .split_whitespace()
            .filter(|word| !word.starts_with(['[', '-']));
        let mut at = Some(&command);
        for word in words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())) {
            at = at.and_then(|command| command.find_subcommand(word));
            assert!(at.is_some(), "roomkeeper {typed} cannot be typed");
        }
    }
}

// ---- names ----------------------------------------------------------------------------------------------------------

/// Everything in backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        found.extend(line.split('`').skip(1).step_by(2));
    }
    found
}

#[test]
fn every_metric_that_is_named_is_counted() {
    let known: BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
    for document in DOCUMENTS {
        let text = read(document);
        for name in quoted(&text) {
            let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
            let is_metric = ["_total", "_seconds", "_depth", "_queues", "_up"]
                .iter()
                .any(|end| name.ends_with(end));
            if name.starts_with("roomkeeper_") && name.chars().all(is_name) && is_metric {
                assert!(known.contains(name), "{document} names {name}");
            }
        }
    }
    assert!(quoted(&read("README.md")).iter().any(|n| known.contains(n)));
}

#[test]
fn every_webhook_that_is_named_is_sent() {
    for document in ["README.md", "src/room/LIFECYCLE.md"] {
        let text = read(document);
        for name in quoted(&text) {
            let is_event = name.starts_with("conference.member.")
                || ["created", "destroyed", "new", "answered", "hangup"]
                    .iter()
                    .any(|end| {
                        name == format!("conference.{end}") || name == format!("call.{end}")
                    });
            if is_event && !name.ends_with('*') {
                assert!(payload::EVENTS.contains(&name), "{document} names {name}");
            }
        }
    }
}

#[test]
fn the_two_commands_are_named() {
    let readme = read("README.md");
    let shell = blocks(&readme, "sh").concat();
    for command in ["cargo run --release -- lab", "tests/run"] {
        assert!(
            shell.lines().any(|line| line.starts_with(command)),
            "{command} is not in README.md"
        );
    }
}

#[test]
fn every_module_is_in_the_code_map() {
    let architecture = read("src/ARCHITECTURE.md");
    let map = between(&architecture, "## Code map", "## What always holds");
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let is_module = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if is_module && name != "lib" {
            let named = [format!("`{name}`"), format!("`{name}::")];
            assert!(
                named.iter().any(|n| map.contains(n)),
                "{name} is not in the code map"
            );
        }
    }
    // And what the map names is there.
    for name in quoted(map) {
        if name.contains("::")
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || "_:".contains(c))
        {
            let path = name.replace("::", "/");
            let there = [format!("src/{path}.rs"), format!("src/{path}/mod.rs")];
            assert!(
                there.iter().any(|f| root().join(f).exists()),
                "there is no {name}"
            );
        }
    }
}

// ---- links and places -----------------------------------------------------------------------------------------------

#[test]
fn every_link_to_a_file_leads_to_one() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = root()
            .join(document)
            .parent()
            .map(Path::to_path_buf)
            .unwrap();
        for target in text.split("](").skip(1) {
            let target = target.split(')').next().unwrap();
            let target = target.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{document} links to {target}");
        }
    }
}

#[test]
fn nothing_of_one_machine_is_named() {
    let mut files: Vec<String> = DOCUMENTS.iter().map(|d| (*d).to_owned()).collect();
    files.extend(["Dockerfile", "docker-compose.yml", "tests/compose"].map(str::to_owned));
    for folder in [
        "docker",
        "docker/grafana/provisioning/dashboards",
        "docker/grafana/provisioning/datasources",
        "docker/prometheus",
        "freeswitch-conf",
        "freeswitch-conf/configuration",
    ] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap();
                files.push(format!("{folder}/{name}"));
            }
        }
    }
    // Wherever this checkout happens to be, and where others usually are.
    let here = env!("CARGO_MANIFEST_DIR");
    let beside = Path::new(here).parent().and_then(Path::to_str);
    let beside = beside.filter(|path| path.len() > 1).unwrap_or(here);
    for file in files {
        let text = read(&file);
        for place in ["/home/", "/root/", "/opt/", "/tmp/", &format!("{beside}/")] {
            assert!(!text.contains(place), "{file} names {place}");
        }
    }
}

// ---- the image ------------------------------------------------------------------------------------------------------

#[test]
fn what_the_image_copies_exists_and_is_sent_to_the_builder() {
    let ignored = read(".dockerignore");
    for line in read("Dockerfile").lines() {
        let Some(rest) = line.strip_prefix("COPY ") else {
            continue;
        };
        if rest.starts_with("--from") {
            continue;
        }
        let mut paths: Vec<&str> = rest.split(' ').collect();
        paths.pop();
        for path in paths {
            assert!(root().join(path).exists(), "the image copies {path}");
            let sent = ignored.lines().any(|line| line == format!("!{path}"));
            assert!(sent, "{path} is kept from the builder");
        }
    }
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).map(|_| ())
}

#[test]
fn cargo_can_build_from_what_the_image_copies() {
    let dir = tempfile::tempdir().unwrap();
    for line in read("Dockerfile").lines() {
        let rest = line.strip_prefix("COPY ").unwrap_or("--from");
        let paths: Vec<&str> = rest.split(' ').collect();
        if let ([first, ..], Some((_, sources))) = (paths.as_slice(), paths.split_last())
            && !first.starts_with("--from")
        {
            for source in sources {
                copy(&root().join(source), &dir.path().join(source)).unwrap();
            }
        }
    }
    // It reads the manifest and the lock file, and then finds nothing to build. A target whose file is not there, and
    // whose path the manifest does not say, stops it before that.
    let done = std::process::Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--bin", "nothing"])
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", dir.path().join("target"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(said.contains("no bin target named `nothing`"), "{said}");
    assert!(said.contains("    roomkeeper"), "{said}");
}
