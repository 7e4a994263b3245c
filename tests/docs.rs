//! Compares the documents with the code: configuration, API, metrics, webhooks, commands, links, examples, the image, deploy/.
//!
//! `ROOMKEEPER_WRITE_DOCS=1 cargo test --test docs` writes the generated tables and the included examples.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use clap::CommandFactory;
use roomkeeper::audit::{AuditRecorder, AuditSettings};
use roomkeeper::config::{self, Config};
use roomkeeper::http::cooldown::{GROUPS, cooldown_table_markdown};
use roomkeeper::http::rate_limit::AppLimiter;
use roomkeeper::http::{
    AdminState, AllowedHosts, ApiSettings, ApiState, Hub, Quota, admin_document, admin_router,
    document, router,
};
use roomkeeper::reconciler::{
    Accepted, Controller, Decision, Depth, Intent, IntentError, NodeReport, RelayTest,
    RelayTestError,
};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::supervise::ShutdownPhase;
use roomkeeper::telemetry::{self, METRICS};
use roomkeeper::tenants::{KeyDigest, Registry};
use roomkeeper::webhook::backpressure::Backpressure;
use roomkeeper::webhook::payload;
use roomkeeper_core::ids::NodeId;
use tower::ServiceExt;
use uuid::Uuid;

#[path = "docs/deploy.rs"]
mod deploy;

/// The documents outside `docs/`.
const OTHER_DOCUMENTS: &[&str] = &[
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "crates/roomkeeper-bench/README.md",
    "freeswitch-conf/README.md",
    "src/ARCHITECTURE.md",
    "crates/roomkeeper-core/src/room/LIFECYCLE.md",
];

/// The longest README.
const README_LINES: usize = 200;

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

/// The pages of the handbook, as paths from the root.
fn pages() -> Vec<String> {
    let entries = fs::read_dir(root().join("docs")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut pages: Vec<String> = names
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    pages.sort();
    assert!(pages.len() >= 18, "{pages:?}");
    pages
}

/// README.md and the handbook as one text.
fn handbook() -> String {
    let mut text = read("README.md");
    for page in pages() {
        text.push_str(&read(&page));
    }
    text
}

fn documents() -> Vec<String> {
    let others = OTHER_DOCUMENTS.iter().map(|d| (*d).to_owned());
    others.chain(pages()).collect()
}

/// Compares the text between two lines of a page with what the code generates, or writes it.
fn check_generated(page: &str, start: &str, end: &str, expected: &str) {
    let text = read(page);
    let present = between(&text, start, end);
    if std::env::var_os("ROOMKEEPER_WRITE_DOCS").is_some() {
        let (before, rest) = text.split_once(start).unwrap();
        let after = &rest[present.len()..];
        fs::write(
            root().join(page),
            format!("{before}{start}{expected}{after}"),
        )
        .unwrap();
        return;
    }
    assert_eq!(
        present, expected,
        "{page} is outdated: run this test with ROOMKEEPER_WRITE_DOCS=1"
    );
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
fn configuration_table_is_generated() {
    check_generated(
        "docs/configuration.md",
        "<!-- configuration: made by config::key_table_markdown() -->\n",
        "<!-- /configuration -->",
        &config::key_table_markdown(),
    );
}

#[test]
fn metric_table_is_generated() {
    check_generated(
        "docs/metrics.md",
        "<!-- metrics: made by telemetry::metric_table_markdown() -->\n",
        "<!-- /metrics -->",
        &telemetry::metric_table_markdown(),
    );
}

#[test]
fn cooldown_tables_are_generated() {
    for page in ["docs/gateway-api.md", "docs/limits.md"] {
        check_generated(
            page,
            "<!-- cooldowns: made by http::cooldown::cooldown_table_markdown() -->\n",
            "<!-- /cooldowns -->",
            &cooldown_table_markdown(),
        );
    }
}

#[test]
fn cooldowns_name_commands_of_the_document() {
    let document: serde_json::Value = serde_json::from_str(&document().unwrap()).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    for group in GROUPS {
        let start = match group.of {
            "room" => "/api/v1/conferences/{room_id}/",
            "call" => "/api/v1/sessions/{uuid}/commands/",
            other => panic!("{other}"),
        };
        for command in group.commands {
            let path = format!("{start}{command}");
            assert!(paths.contains(&&path), "{path}");
        }
    }
}

#[test]
fn shown_configurations_load() {
    for page in ["README.md", "docs/configuration.md"] {
        // The README's blocks are indented, as parts of a list.
        let text = read(page).replace("\n   ", "\n");
        let shown = blocks(&text, "toml");
        assert!(!shown.is_empty(), "{page}");
        for text in shown {
            let errors = Config::from_text(text, std::iter::empty()).unwrap_err();
            let placeholder = "is still the example's placeholder";
            for error in &errors.0 {
                assert!(
                    error.problem.starts_with(placeholder),
                    "{page}: {error:?}\n{text}"
                );
            }
            assert_eq!(errors.0.len(), text.matches("replace-me").count(), "{page}");
        }
    }
}

#[test]
fn shown_json_is_valid() {
    for page in documents() {
        for block in blocks(&read(&page), "json") {
            let json: Result<serde_json::Value, _> = serde_json::from_str(block);
            assert!(json.is_ok(), "{page}: {json:?}\n{block}");
        }
    }
}

// ---- the API --------------------------------------------------------------------------------------------------------

struct NoController;

#[async_trait]
impl Controller for NoController {
    async fn check(&self, _: &Intent, _: Depth) -> Result<Decision, IntentError> {
        Err(IntentError::Busy)
    }

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
    async fn test_relay(&self, from: NodeId, _: NodeId) -> Result<RelayTest, RelayTestError> {
        Err(RelayTestError::UnknownNode(from))
    }
}

fn routers() -> (Router, Router) {
    let store = Arc::new(MemoryStore::new());
    let settings = ApiSettings::default();
    let apps = Arc::new(Registry::new(store.clone(), &[], Vec::new()));
    let admin = AdminState {
        store: store.clone(),
        controller: Arc::new(NoController),
        apps: apps.clone(),
        audit: AuditSettings::default(),
        recorder: AuditRecorder::disabled(),
        key: KeyDigest::for_key("k"),
        metrics_are_open: false,
        hosts: AllowedHosts::Any,
        render_metrics: Arc::new(String::new),
    };
    let admin = admin_router(admin, &settings);
    let limiter = Arc::new(AppLimiter::new(store.clone(), &settings.limits));
    let events = Hub::start(
        store.clone(),
        Vec::new(),
        settings.streams,
        &ShutdownPhase::new(),
    );
    let quota = Quota::new(store.clone(), Vec::new(), apps.receivers(), 0);
    let api = router(ApiState {
        recorder: AuditRecorder::disabled(),
        events,
        quota: Arc::new(quota),
        store,
        limiter,
        backpressure: Arc::new(Backpressure::new(1_000)),
        controller: Arc::new(NoController),
        apps,
        settings,
        new_id: Arc::new(Uuid::nil),
    });
    (api, admin)
}

/// Returns whether a router has this route. The error text of an unknown path differs from that of a missing object.
async fn exists(method: &str, path: &str) -> bool {
    let (api, admin) = routers();
    let is_app_api = ["/api/", "/v1.0/"].iter().any(|api| path.starts_with(api));
    let router = if is_app_api { api } else { admin };
    let request = Request::builder().method(method).uri(path);
    let answer = router
        .oneshot(request.body(Body::empty()).expect("a request"))
        .await;
    let answer = answer.expect("the router answers");
    let status = answer.status();
    let body = to_bytes(answer.into_body(), 1 << 20)
        .await
        .expect("the whole answer");
    let unknown = String::from_utf8_lossy(&body).contains("there is nothing at this path");
    !(status == StatusCode::METHOD_NOT_ALLOWED || (status == StatusCode::NOT_FOUND && unknown))
}

/// The requests in the handbook's tables, as method and path.
fn documented(handbook: &str) -> BTreeSet<(String, String)> {
    handbook
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split(" | ").next())
        // A cell can name several requests, each in quotes.
        .flat_map(|cell| cell.split('`').step_by(2))
        .filter_map(|request| request.split_once(' '))
        .filter(|(method, path)| {
            path.starts_with('/') && method.chars().all(|c| c.is_ascii_uppercase())
        })
        .map(|(method, path)| (method.to_owned(), path.to_owned()))
        .collect()
}

/// The requests that the shell blocks make.
fn walked(handbook: &str) -> Vec<(String, String)> {
    let variables = [
        ("$ROOM", "{room_id}"),
        ("$CALL", "{uuid}"),
        ("$API", "/api/v1"),
    ];
    let mut found = Vec::new();
    for line in blocks(handbook, "sh").concat().lines() {
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
async fn documented_requests_have_routes() {
    let handbook = handbook();
    let documented = documented(&handbook);
    assert!(documented.len() >= 17, "{documented:?}");
    for (method, path) in &documented {
        assert!(exists(method, path).await, "{method} {path} has no route");
    }
    let walked = walked(&handbook);
    assert!(walked.len() >= 10, "{walked:?}");
    for (method, path) in walked {
        assert!(
            documented.contains(&(method.clone(), path.clone())),
            "{method} {path} is in an example and in no table"
        );
    }
    // The check detects unknown routes and methods.
    assert!(!exists("GET", "/api/v1/conference").await);
    assert!(!exists("PUT", "/api/v1/conferences").await);
}

#[test]
fn routes_are_documented() {
    let documented = documented(&handbook());
    for (text, least) in [(document(), 40), (admin_document(), 20)] {
        let api: serde_json::Value = serde_json::from_str(&text.unwrap()).unwrap();
        let described = api["paths"].as_object().unwrap().iter();
        let described = described.flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| (method.to_uppercase(), path.clone()))
        });
        let described: Vec<_> = described.collect();
        assert!(described.len() >= least, "{described:?}");
        for route in &described {
            let (_, path) = route;
            // One row stands for all webhook routes, which are those of the gateway API.
            let is_webhook = path.starts_with("/admin/apps/{app_id}/webhooks");
            assert!(
                documented.contains(route) || is_webhook,
                "{route:?} is not in docs/"
            );
        }
    }
}

// ---- the command line -----------------------------------------------------------------------------------------------

#[test]
fn commands_and_variables_are_documented() {
    let page = read("docs/cli.md");
    let quoted = quoted(&page);
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
            "{full} is not in docs/cli.md"
        );
        for below in command.get_subcommands().filter(|c| c.get_name() != "help") {
            let below = below.get_name();
            assert!(
                quoted.contains(below) || quoted.contains(&*format!("{full} {below}")),
                "{full} {below} is not in docs/cli.md"
            );
        }
        for argument in command.get_arguments() {
            let Some(variable) = argument.get_env().and_then(|v| v.to_str()) else {
                continue;
            };
            assert!(page.contains(variable), "{variable} is not in docs/cli.md");
        }
    }
    // The documented commands exist.
    for typed in quoted.iter().filter_map(|q| q.strip_prefix("roomkeeper ")) {
        let words = typed
            .split_whitespace()
            .filter(|word| !word.starts_with(['[', '-']));
        let mut at = Some(&command);
        for word in words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())) {
            at = at.and_then(|command| command.find_subcommand(word));
            assert!(at.is_some(), "roomkeeper {typed} is not a command");
        }
    }
}

// ---- names ----------------------------------------------------------------------------------------------------------

/// The texts in backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        found.extend(line.split('`').skip(1).step_by(2));
    }
    found
}

#[test]
fn named_metrics_exist() {
    let known: BTreeSet<&str> = METRICS.iter().map(|m| m.name).collect();
    for document in documents() {
        let text = read(&document);
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
    assert!(quoted(&handbook()).iter().any(|n| known.contains(n)));
}

#[test]
fn named_webhooks_exist() {
    for document in documents() {
        let text = read(&document);
        for name in quoted(&text) {
            let is_event = name.starts_with("conference.member.")
                || ["created", "destroyed", "new", "answered", "hangup"]
                    .iter()
                    .any(|end| {
                        name == format!("conference.{end}") || name == format!("call.{end}")
                    });
            if is_event && !name.ends_with('*') {
                assert!(
                    payload::event_names().any(|known| known == name),
                    "{document} names {name}"
                );
            }
        }
    }
}

#[test]
fn webhooks_are_documented() {
    let page = read("docs/webhooks.md");
    let named = quoted(&page);
    for name in payload::event_names() {
        assert!(
            named.contains(&name),
            "docs/webhooks.md does not name {name}"
        );
    }
}

#[test]
fn readme_names_the_two_commands() {
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
fn modules_are_in_the_code_map() {
    let architecture = read("src/ARCHITECTURE.md");
    let map = between(&architecture, "## Code map", "## Invariants");
    let entries = ["src", "crates"].map(|folder| fs::read_dir(root().join(folder)).unwrap());
    for entry in entries.into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let name = &name.replace('-', "_");
        let is_module = path.is_dir() || path.extension().is_some_and(|e| e == "rs");
        if is_module && name != "lib" {
            let named = [format!("`{name}`"), format!("`{name}::")];
            assert!(
                named.iter().any(|n| map.contains(n)),
                "{name} is not in the code map"
            );
        }
    }
    // The modules of the map exist.
    for name in quoted(map) {
        if name.contains("::")
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || "_:".contains(c))
        {
            let path = name.replace("::", "/");
            let (first, rest) = path.split_once('/').unwrap();
            let package = format!("crates/{}/src/{rest}", first.replace('_', "-"));
            let there = [format!("src/{path}"), package];
            let there = there
                .iter()
                .flat_map(|p| [format!("{p}.rs"), format!("{p}/mod.rs")]);
            let there: Vec<String> = there.collect();
            assert!(
                there.iter().any(|f| root().join(f).exists()),
                "{name} does not exist"
            );
        }
    }
}

// ---- links ----------------------------------------------------------------------------------------------------------

/// A document's text without its code blocks.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    assert!(!is_code, "a code block has no end");
    prose
}

/// The targets of the links and pictures: file and anchor.
fn links(text: &str) -> Vec<(String, String)> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://"))
        .map(|target| {
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            (file.to_owned(), anchor.to_owned())
        })
        .collect()
}

/// The anchors of the headings, as a forge derives them.
fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            heading
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

/// The file that a link in this document leads to, as a path from the root.
fn target(document: &str, file: &str) -> String {
    if file.is_empty() {
        return document.to_owned();
    }
    let folder = Path::new(document).parent().unwrap();
    let mut parts: Vec<String> = Vec::new();
    for part in folder.join(file).components() {
        match part.as_os_str().to_str().unwrap() {
            ".." => assert!(parts.pop().is_some(), "{document} links out to {file}"),
            "." => {}
            part => parts.push(part.to_owned()),
        }
    }
    parts.join("/")
}

#[test]
fn links_lead_to_files_and_headings() {
    let mut followed = 0;
    for document in documents() {
        for (file, anchor) in links(&read(&document)) {
            let path = target(&document, &file);
            assert!(
                root().join(&path).exists(),
                "{document} links to {file}, which does not exist"
            );
            if !anchor.is_empty() {
                assert!(
                    anchors(&read(&path)).contains(&anchor),
                    "{document} links to {path}#{anchor}, which is no heading"
                );
                followed += 1;
            }
        }
    }
    assert!(followed >= 10, "{followed}");
}

/// The tables of these documents have one row for each subject.
const REFERENCE_TABLES: &[&str] = &[
    "docs/gateway-api.md",
    "docs/webhooks.md",
    "docs/cli.md",
    "docs/controls.md",
    "src/ARCHITECTURE.md",
];

#[test]
fn no_subject_has_two_rows_in_a_table() {
    let mut repeated = Vec::new();
    let mut rows = 0;
    for document in REFERENCE_TABLES {
        let mut subjects = BTreeSet::new();
        for line in read(document).lines() {
            let Some(row) = line.strip_prefix("| ") else {
                subjects.clear();
                continue;
            };
            let subject = row.split(" |").next().unwrap_or_default().to_owned();
            rows += 1;
            if !subjects.insert(subject.clone()) {
                repeated.push(format!("{document}: {subject}"));
            }
        }
    }
    assert!(rows > 200, "{rows} rows");
    assert_eq!(repeated, [""; 0]);
}

#[test]
fn index_leads_to_every_page() {
    let index = links(&read("docs/README.md"));
    let linked: BTreeSet<String> = index
        .iter()
        .map(|(file, _)| target("docs/README.md", file))
        .collect();
    for page in pages() {
        assert!(
            page == "docs/README.md" || linked.contains(&page),
            "docs/README.md does not link to {page}"
        );
    }
    for document in OTHER_DOCUMENTS.iter().filter(|d| d.starts_with("src/")) {
        assert!(linked.contains(*document), "{document}");
    }
    let readme = links(&read("README.md"));
    assert!(readme.iter().any(|(file, _)| file == "docs/README.md"));
    // Pictures and examples are used.
    let text = handbook();
    for folder in ["docs", "docs/examples"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(
                text.contains(&name) || name == "examples" || name == "README.md",
                "no page uses {folder}/{name}"
            );
        }
    }
}

// ---- form -----------------------------------------------------------------------------------------------------------

#[test]
fn readme_is_short() {
    let lines = read("README.md").lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines; move details into docs/"
    );
}

#[test]
fn pages_include_their_examples_verbatim() {
    let mut included = 0;
    for page in pages() {
        let text = read(&page);
        for part in text.split("<!-- include: ").skip(1) {
            let (name, rest) = part.split_once(" -->\n```").unwrap();
            let (language, _) = rest.split_once('\n').unwrap();
            let start = format!("<!-- include: {name} -->\n```{language}\n");
            check_generated(&page, &start, "```", &read(&format!("docs/{name}")));
            included += 1;
        }
    }
    assert_eq!(included, 2);
}

/// Sentences have a concrete subject: none begins with one of these words, except questions.
#[test]
fn sentences_begin_with_a_subject() {
    let documents = pages().into_iter();
    for document in documents.chain(["README.md".to_owned(), "CHANGELOG.md".to_owned()]) {
        let text = prose(&read(&document));
        // The generated tables are the code's text.
        let text = text
            .lines()
            .filter(|line| !line.starts_with("| `roomkeeper_"));
        for line in text {
            let words = line.split(|c: char| !c.is_alphanumeric());
            for word in words {
                assert!(
                    !["What", "Who", "Whoever", "Whether"].contains(&word) || line.contains('?'),
                    "{document}: {line}"
                );
            }
        }
    }
}

// ---- places ---------------------------------------------------------------------------------------------------------

#[test]
fn documents_name_no_path_of_one_machine() {
    let mut files = documents();
    files.extend(["Dockerfile", "docker-compose.yml", "tests/compose"].map(str::to_owned));
    for folder in [
        "docker",
        "docker/grafana/provisioning/dashboards",
        "docker/grafana/provisioning/datasources",
        "docker/prometheus",
        "freeswitch-conf",
        "freeswitch-conf/configuration",
        "deploy/debian",
        "deploy/systemd",
        "deploy/kubernetes/base",
        "deploy/kubernetes/components/service-monitor",
        "deploy/kubernetes/overlays/example",
    ] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap().to_str().unwrap();
                files.push(format!("{folder}/{name}"));
            }
        }
    }
    // The folder of this checkout, and usual folders of others.
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
fn files_of_the_image_exist_and_are_sent_to_the_builder() {
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
            assert!(sent, ".dockerignore excludes {path}");
        }
    }
}

/// Copies a file, or a folder with its content.
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
fn cargo_accepts_the_files_of_the_image() {
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
    // Cargo reads the manifest and the lock file, and then finds nothing to build. It fails earlier for a target without a
    // file and without a path in the manifest.
    let done = std::process::Command::new(env!("CARGO"))
        .args(["build", "--offline", "--locked", "--bin", "nothing"])
        .current_dir(dir.path())
        .env("CARGO_TARGET_DIR", dir.path().join("target"))
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&done.stderr);
    assert!(output.contains("no bin target named `nothing`"), "{output}");
    assert!(output.contains("    roomkeeper"), "{output}");
}
