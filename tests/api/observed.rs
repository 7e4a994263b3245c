//! The log and the metrics of a request, and the secrets that they must not contain.

use std::io::Write;
use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;
use roomkeeper::store::memory::MemoryStore;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::fmt::MakeWriter;

use crate::faulty::Faulty;
use crate::world::*;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;
    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The log and the metrics of some requests.
pub struct Observation {
    pub log: String,
    /// The metrics page.
    pub metrics: String,
}

/// Runs these requests and records the log at all levels.
pub fn observe(requests: impl Future<Output = ()>) -> Observation {
    observe_at(Level::TRACE, requests)
}

/// Runs these requests and records the log at this level or above.
fn observe_at(level: Level, requests: impl Future<Output = ()>) -> Observation {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(subscriber, || runtime.block_on(requests));
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let metrics = handle.render();
    Observation { log, metrics }
}

#[test]
fn requests_are_logged_and_counted_by_route_and_without_keys() {
    let room = room_id("acW68", 1);
    let Observation { log, metrics } = observe(async {
        let world = World::new();
        let path = format!("/api/v1/conferences/{room}?token=secret-token");
        world.get(&path).await.fails(404);
        world
            .send(request(("demo", "wrong-key"), "GET", &path, None))
            .await
            .fails(401);
        world
            .send(request(DEMO, "BREW", "/odd/path", None))
            .await
            .fails(404);
    });
    for line in [
        "roomkeeper_http_requests_total{route=\"/api/v1/conferences/{room_id}\",method=\"GET\",status=\"404\"} 1",
        "roomkeeper_http_requests_total{route=\"/api/v1/conferences/{room_id}\",method=\"GET\",status=\"401\"} 1",
        "roomkeeper_http_requests_total{route=\"none\",method=\"OTHER\",status=\"404\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(metrics.contains("roomkeeper_http_request_seconds"));
    for word in [
        "method=\"GET\"",
        "/api/v1/conferences/{room_id}",
        "status=404",
        "duration_ms=",
    ] {
        assert!(log.contains(word), "{word} is not in\n{log}");
    }
    for secret in ["demo-key", "wrong-key", "secret-token", "odd/path"] {
        assert!(
            !log.contains(secret) && !metrics.contains(secret),
            "{secret} was disclosed"
        );
    }
}

/// The log lines that contain this text.
fn lines<'a>(log: &'a str, word: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains(word)).collect()
}

/// A request with the caller's id.
fn named(id: &str, method: &str, path: &str) -> axum::http::Request<axum::body::Body> {
    let mut request = request(DEMO, method, path, None);
    request
        .headers_mut()
        .insert("x-request-id", id.parse().unwrap());
    request
}

#[test]
fn successful_read_is_logged_at_debug() {
    let asks = async || {
        let world = World::new();
        let room = room_id("acW68", 1);
        world.room(room, "demo", "n", 1, 0).await;
        let path = format!("/api/v1/conferences/{room}");
        for (id, method, path, status) in [
            ("well", "GET", &*path, 200),
            ("failed", "GET", "/api/v1/conferences/no", 400),
            ("changed", "DELETE", &*path, 200),
        ] {
            let answer = world.send(named(id, method, path)).await;
            assert_eq!(answer.status.as_u16(), status);
            assert_eq!(
                answer.header("x-request-id"),
                id,
                "independent of the log level"
            );
        }
    };
    let what = "answered an HTTP request";
    for (level, expected) in [
        (Level::INFO, &["failed", "changed"][..]),
        (Level::DEBUG, &["well", "failed", "changed"]),
    ] {
        let Observation { log, metrics } = observe_at(level, asks());
        let lines = lines(&log, what);
        assert_eq!(lines.len(), expected.len(), "at {level}:\n{log}");
        for (line, id) in lines.iter().zip(expected) {
            for word in [
                format!("request.id=\"{id}\""),
                "path=\"/api/v1/conferences/{room_id}\"".to_owned(),
                "status=".to_owned(),
                "duration_ms=".to_owned(),
            ] {
                assert_eq!(line.matches(&word).count(), 1, "{word} in {line}");
            }
        }
        assert!(metrics.contains("status=\"200\"} 1"), "{metrics}");
    }
}

#[test]
fn failure_of_store_names_its_request_at_debug_alone() {
    // The store logs its outage itself; each request has its own line with status 503.
    for (level, expected) in [(Level::INFO, 0), (Level::DEBUG, 2)] {
        let Observation { log, .. } = observe_at(level, async {
            let store = std::sync::Arc::new(MemoryStore::new());
            let faulty = Faulty::new(store.clone(), &["read_head", "reserve_name"]);
            let world = World::with_store(faulty, store, settings());
            let path = format!("/api/v1/conferences/{}", room_id("acW68", 1));
            let answer = world.send(named("reads", "GET", &path)).await;
            assert_eq!(answer.status.as_u16(), 503);
            let body = Some(json!({"name": "n"}));
            let mut request = request(DEMO, "POST", "/api/v1/conferences", body);
            let headers = request.headers_mut();
            headers.insert("x-request-id", "writes".parse().unwrap());
            assert_eq!(world.send(request).await.status.as_u16(), 503);
        });
        let lines = lines(&log, "the store does not respond");
        assert_eq!(lines.len(), expected, "{log}");
        for (line, id) in lines.iter().zip(["reads", "writes"]) {
            let word = format!("request.id=\"{id}\"");
            assert_eq!(line.matches(&word).count(), 1, "at {level}: {line}");
        }
    }
}
