//! Traces as a collector receives them: a join from the request to the webhook, and the export at shutdown.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::program::controller::KEY;
use crate::program::poll;
use crate::program::world::{Setup, Store, World};

/// The caller's trace, and the span of its request.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

type Got = Arc<Mutex<Vec<(String, Bytes)>>>;

/// A collector that stores all requests with their content type.
struct Collector {
    url: String,
    got: Got,
    task: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Got::default();
        let routes = Router::new()
            .route("/v1/traces", post(take))
            .with_state(Arc::clone(&got));
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, got, task }
    }

    /// The requests parsed as JSON.
    fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (_, body) in self.got.lock().unwrap().iter() {
            let batch: Value = serde_json::from_slice(body).unwrap();
            for resource in list(&batch["resourceSpans"]) {
                let service = attributes(&resource["resource"]);
                assert_eq!(service["service.name"], "roomkeeper");
                for scope in list(&resource["scopeSpans"]) {
                    spans.extend(list(&scope["spans"]).iter().map(Span::from_json));
                }
            }
        }
        spans
    }

    /// Waits for a span that satisfies this condition.
    async fn span(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Span {
        let found = poll::until(what, Duration::from_secs(10), async || {
            self.spans().into_iter().find(|span| wanted(span))
        });
        found.await
    }
}

async fn take(State(got): State<Got>, headers: HeaderMap, body: Bytes) {
    let kind = headers["content-type"].to_str().unwrap().to_owned();
    got.lock().unwrap().push((kind, body));
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn attributes(of: &Value) -> HashMap<String, String> {
    let mut found = HashMap::new();
    for attribute in list(&of["attributes"]) {
        let value = attribute["value"].as_object().unwrap();
        let text = match value.values().next() {
            Some(Value::String(text)) => text.clone(),
            other => other.map(Value::to_string).unwrap_or_default(),
        };
        found.insert(attribute["key"].as_str().unwrap().to_owned(), text);
    }
    found
}

#[derive(Clone, Debug)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: String,
    attributes: HashMap<String, String>,
    /// The spans that this span links to.
    links: Vec<String>,
}

impl Span {
    fn from_json(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let link = |link: &Value| link["spanId"].as_str().unwrap().to_owned();
        Self {
            name: text("name"),
            trace: text("traceId"),
            id: text("spanId"),
            parent: text("parentSpanId"),
            attributes: attributes(value),
            links: list(&value["links"]).iter().map(link).collect(),
        }
    }

    fn has_attribute(&self, name: &str, value: &str) -> bool {
        self.attributes.get(name).is_some_and(|text| text == value)
    }

    fn is_child(&self, name: &str, parent: &Self) -> bool {
        self.name == name && self.parent == parent.id && self.trace == parent.trace
    }
}

async fn post_as(world: &World, path: &str, body: &Value) -> u16 {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(format!(
            "http://127.0.0.1:{}/api/v1{path}",
            world.controller.http()
        ))
        .header("X-App-ID", &world.app)
        .header("X-API-Key", KEY)
        .header("Content-Type", "application/json")
        .header("traceparent", format!("00-{TRACE}-{CALLER}-01"))
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_of_join_reaches_its_webhook() {
    let collector = Collector::start().await;
    let mut setup = Setup::on(Store::Memory);
    setup.environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let world = setup.start().await;
    world.controller.until_synced().await;
    let room = world.room("traced").await;
    let session = world.call("527121100").await;
    let path = format!("/sessions/{session}/commands/conference/join");
    let status = post_as(&world, &path, &json!({ "room_id": room })).await;
    assert_eq!(status, 202);
    let webhook = world
        .receiver
        .first(&room, "conference.member.joined")
        .await;

    // Spans of waiting tasks are parents, and all belong to the caller's trace.
    let request = collector
        .span("the request", |s| {
            s.name == "http_request" && s.parent == CALLER
        })
        .await;
    assert_eq!(request.trace, TRACE);
    assert!(request.has_attribute("status", "202"), "{request:?}");
    let intent = collector
        .span("the intent", |s| s.is_child("intent", &request))
        .await;
    assert!(intent.has_attribute("intent", "join") && intent.has_attribute("outcome", "accepted"));
    assert!(intent.has_attribute("node.id", &world.node));
    let commit = collector.span("the commit", |s| s.is_child("commit", &intent));
    commit.await;
    let order = collector
        .span("the order", |s| s.is_child("order", &intent))
        .await;
    assert!(order.has_attribute("order", "enter") && order.has_attribute("outcome", "ok"));
    let command = collector
        .span("the command", |s| s.is_child("command", &order))
        .await;
    assert!(
        command.has_attribute("command", "uuid_transfer") && command.has_attribute("outcome", "ok")
    );

    // An event of FreeSWITCH starts its own trace, linked to the intent that it confirms.
    let event = collector
        .span("the event", |s| {
            s.name == "event" && s.links.contains(&intent.id)
        })
        .await;
    assert_eq!(event.parent, "");
    assert_ne!(event.trace, TRACE);
    assert!(event.attributes["event"].contains("AddMember"), "{event:?}");
    let attempt = collector
        .span("the attempt", |s| {
            s.name == "attempt" && s.has_attribute("webhook.id", &webhook.id)
        })
        .await;
    assert!(attempt.has_attribute("outcome", "ok"), "{attempt:?}");
    // The attempt follows a commit: of that event, or of one in the same batch.
    let commit = collector
        .span("the commit", |s| {
            s.name == "commit" && s.id == attempt.parent
        })
        .await;
    assert!(
        commit.is_child("commit", &event) || commit.links.contains(&event.id),
        "{commit:?} {event:?}"
    );
    collector
        .span("the hand-over", |s| {
            s.name == "hand_over" && s.links.contains(&commit.id)
        })
        .await;
    // The receiver gets no trace headers.
    assert!(webhook.headers.get("traceparent").is_none());
    // No span contains a tenant's secret.
    for span in collector.spans() {
        assert!(!format!("{span:?}").contains(KEY), "{span:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn remaining_commands_are_sent_at_shutdown() {
    let collector = Collector::start().await;
    let mut setup = Setup::on(Store::Memory);
    setup.environment = [
        (
            "ROOMKEEPER_TELEMETRY__OTLP_ENDPOINT",
            collector.url.as_str(),
        ),
        // No span is sent before the stop.
        ("OTEL_BSP_SCHEDULE_DELAY", "600000"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    world.room("last").await;
    assert!(collector.got.lock().unwrap().is_empty());
    world.controller.terminate();
    let status = world.controller.ended(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0));
    let got = collector.got.lock().unwrap();
    let kinds: Vec<&str> = got.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["application/x-protobuf"], "in one batch");
    let text = String::from_utf8_lossy(&got[0].1).into_owned();
    for name in ["http_request", "create_room", "attempt", "resync"] {
        assert!(text.contains(name), "{name} was not sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_sampled_share_is_sent() {
    let collector = Collector::start().await;
    let mut setup = Setup::on(Store::Memory);
    setup.environment = [
        (
            "ROOMKEEPER_TELEMETRY__OTLP_ENDPOINT",
            collector.url.as_str(),
        ),
        ("ROOMKEEPER_TELEMETRY__SAMPLE_RATIO", "0"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
    let mut world = setup.start().await;
    world.controller.until_synced().await;
    world.room("left-out").await;
    // The caller's sampling decision is followed.
    let status = post_as(&world, "/conferences", &json!({ "name": "kept" })).await;
    assert_eq!(status, 201);
    world.controller.terminate();
    let status = world.controller.ended(Duration::from_secs(10)).await;
    assert_eq!(status.code(), Some(0));
    let spans = collector.spans();
    assert!(spans.iter().any(|s| s.name == "intent"), "{spans:?}");
    for span in spans {
        // The webhook's attempt belongs to the trace of its cause.
        assert_eq!(span.trace, TRACE, "{span:?}");
    }
}
