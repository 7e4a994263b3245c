//! What the log and the metrics tell of a request, and what they must not.

use std::io::Write;
use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;
use tracing_subscriber::fmt::MakeWriter;

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

/// What was told of some requests.
pub struct Told {
    pub log: String,
    /// The metrics.
    pub page: String,
}

/// Runs these requests and listens, to everything that is said at any level.
pub fn tell(requests: impl Future<Output = ()>) -> Told {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        tracing::subscriber::with_default(subscriber, || runtime.block_on(requests));
    });
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let page = metrics.render();
    Told { log, page }
}

#[test]
fn requests_are_logged_and_counted_by_route_and_without_keys() {
    let room = room_id("acW68", 1);
    let Told { log, page } = tell(async {
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
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
    assert!(page.contains("roomkeeper_http_request_seconds"));
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
            !log.contains(secret) && !page.contains(secret),
            "{secret} was told"
        );
    }
}
