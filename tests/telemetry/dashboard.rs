//! The dashboard and the alert rules refer only to existing metrics and cover all that matter.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use roomkeeper::telemetry::{self as names, Kind, METRICS, MetricDoc};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Labels that Prometheus adds.
const ADDED: [&str; 3] = ["job", "instance", "le"];

/// Metrics that no panel shows, because another panel covers them.
const NOT_SHOWN: [&str; 4] = [
    // Thousands per second; they would dwarf the others.
    names::NODE_NUDGES,
    names::PROCESS_VIRTUAL_BYTES,
    names::PROCESS_VIRTUAL_MAX_BYTES,
    names::PROCESS_THREADS,
];

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// A metric in an expression, with the labels of its selector.
#[derive(Debug)]
struct Selector {
    name: String,
    labels: Vec<String>,
}

fn selectors(expression: &str) -> Vec<Selector> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic()) {
        let after = &rest[at..];
        let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
        let (name, tail) = after.split_at(end);
        let mut labels = Vec::new();
        let mut next = tail;
        if let Some(selected) = tail.strip_prefix('{') {
            let (inside, behind) = selected.split_once('}').unwrap();
            // No value contains a comma.
            let label = |matcher: &str| matcher.split(['=', '!']).next().unwrap().trim().to_owned();
            labels = inside
                .split(',')
                .filter(|m| !m.is_empty())
                .map(label)
                .collect();
            next = behind;
        }
        if name.starts_with("roomkeeper_") || name.starts_with("process_") {
            found.push(Selector {
                name: name.to_owned(),
                labels,
            });
        }
        rest = next;
    }
    found
}

/// Returns the metric to which a name in an expression belongs.
fn metric(name: &str) -> Option<&'static MetricDoc> {
    METRICS.iter().find(|metric| match metric.kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"]
            .iter()
            .any(|end| name.strip_suffix(end) == Some(metric.name)),
        Kind::Counter | Kind::Gauge => metric.name == name,
    })
}

/// Returns the mistakes in an expression.
fn mistakes(expression: &str) -> Vec<String> {
    let mut mistakes = Vec::new();
    let mut labels: BTreeSet<&str> = ADDED.into_iter().collect();
    for used in selectors(expression) {
        let Some(metric) = metric(&used.name) else {
            mistakes.push(format!("there is no {}", used.name));
            continue;
        };
        labels.extend(metric.labels);
        for label in used.labels {
            let known = metric.labels.contains(&&*label) || ADDED.contains(&&*label);
            if !known {
                mistakes.push(format!("{} has no label {label}", used.name));
            }
        }
        let rate = ["rate(", "increase("].map(|of| format!("{of}{}", used.name));
        let is_rated = rate.iter().any(|rate| expression.contains(rate));
        if is_rated == (metric.kind == Kind::Gauge) {
            mistakes.push(format!("{} is a {:?}", used.name, metric.kind));
        }
    }
    for grouped in expression.split("by (").skip(1) {
        for label in grouped.split(')').next().unwrap().split(',') {
            if !labels.contains(label.trim()) {
                mistakes.push(format!("nothing has the label {label}: {expression}"));
            }
        }
    }
    mistakes
}

#[test]
fn mistakes_in_expressions_are_found() {
    for (good, expression) in [
        (
            true,
            "sum by (node) (rate(roomkeeper_drift_total{kind=\"play\"}[5m]))",
        ),
        (true, "max by (node) (roomkeeper_node_up) == 0"),
        (true, "rate(roomkeeper_esl_lag_seconds_bucket[5m])"),
        (false, "rate(roomkeeper_drifts_total[5m])"),
        (false, "rate(roomkeeper_drift_total{room=\"x\"}[5m])"),
        (false, "sum by (room) (rate(roomkeeper_drift_total[5m]))"),
        (false, "rate(roomkeeper_esl_lag_seconds[5m])"),
        (false, "roomkeeper_drift_total > 3"),
        (false, "rate(roomkeeper_node_up[5m])"),
    ] {
        assert_eq!(mistakes(expression).is_empty(), good, "{expression}");
    }
}

fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), value) {
                    ("expr", Value::String(text)) => found.push(text.clone()),
                    (_, value) => expressions(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn dashboard_shows_every_metric_that_matters() {
    let text = read("docker/grafana/dashboards/roomkeeper.json");
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    let mut shown = BTreeSet::new();
    for expression in &found {
        // Grafana's variable is not a metric name.
        let expression = expression.replace("$__rate_interval", "5m");
        let mistakes = mistakes(&expression);
        // Annotations of restarts count the changes of a start time, which is a gauge.
        let marks = expression.starts_with("changes(");
        assert!(mistakes.is_empty() || marks, "{expression}: {mistakes:?}");
        let names = selectors(&expression).into_iter();
        shown.extend(names.filter_map(|used| Some(metric(&used.name)?.name)));
    }
    for metric in METRICS {
        let wanted = !NOT_SHOWN.contains(&metric.name);
        assert_eq!(shown.contains(metric.name), wanted, "{}", metric.name);
    }
    // Every panel works with any data source and node.
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|variable| variable["name"].as_str())
        .collect();
    assert_eq!(variables, ["datasource", "node"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        }
    }
    let rows: Vec<&str> = panels
        .iter()
        .filter(|panel| panel["type"] == "row")
        .filter_map(|panel| panel["title"].as_str())
        .collect();
    assert_eq!(
        rows,
        [
            "Health",
            "Events",
            "Store",
            "FreeSWITCH: commands and snapshots",
            "Rooms, calls and intents",
            "API",
            "Webhooks",
            "Process",
            "Media proxy",
        ]
    );
}

fn yaml(path: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(&read(path)).unwrap();
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

#[test]
fn alerts_use_existing_metrics_and_link_to_remedies() {
    let rules = yaml("docker/prometheus/alerts.yml");
    let page = read("docs/troubleshooting.md");
    let mut alerts = BTreeSet::new();
    let mut watched = BTreeSet::new();
    for group in rules["groups"].as_vec().unwrap() {
        for rule in group["rules"].as_vec().unwrap() {
            let alert = rule["alert"].as_str().unwrap();
            assert!(alerts.insert(alert.to_owned()), "{alert} twice");
            let expression = rule["expr"].as_str().unwrap();
            let mistakes = mistakes(expression);
            assert!(mistakes.is_empty(), "{alert}: {mistakes:?}");
            let names = selectors(expression).into_iter();
            watched.extend(names.filter_map(|used| Some(metric(&used.name)?.name)));
            let severity = rule["labels"]["severity"].as_str().unwrap();
            assert!(["critical", "warning"].contains(&severity), "{alert}");
            let notes = &rule["annotations"];
            assert!(notes["summary"].as_str().is_some_and(|s| s.len() > 20));
            let runbook = notes["runbook"].as_str().unwrap();
            let row = runbook.strip_prefix("docs/troubleshooting.md: ");
            let row = format!(
                "\n| {} |",
                row.unwrap_or_else(|| panic!("{alert}: {runbook}"))
            );
            assert!(page.contains(&row), "{alert} leads to no row: {row}");
        }
    }
    for name in [
        names::NODE_UP,
        names::LEASE_HELD,
        names::ESL_LAG_SECONDS,
        names::ESL_EVENTS_DROPPED,
        names::DRIFT,
        names::RESYNCS,
        names::RESYNCS_FAILED,
        names::STORE_ERRORS,
        names::STORE_LOST_ROOMS,
        names::STORE_CORRUPT,
        names::NODE_BUSY,
        names::WEBHOOK_LOST,
        names::WEBHOOK_FULL_RATIO,
        names::WEBHOOK_DELIVERIES,
        names::TASK_PANICS,
    ] {
        assert!(watched.contains(name), "no alert watches {name}");
    }
    // Each alert fires in the tests of the rules (promtool, see tests/run).
    let tests = yaml("docker/prometheus/alerts.test.yml");
    let fired = &tests["tests"][1]["promql_expr_test"][0]["exp_samples"][0]["value"];
    assert_eq!(fired.as_i64(), i64::try_from(alerts.len()).ok());
    // Each alert that must stay silent exists.
    for silent in tests["tests"][0]["alert_rule_test"].as_vec().unwrap() {
        let name = silent["alertname"].as_str().unwrap();
        assert!(alerts.contains(name), "there is no {name}");
    }
}
