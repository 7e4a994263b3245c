//! `GET /conferences/{room_id}`, beside a bare handler that reads the same hash from Redis.
//!
//! Owns the scenario. The controller does more than the bare handler: it authenticates the app, counts the request, checks
//! the room's ownership, writes the documented response, and keeps deadlines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;

use super::bare::Handler;
use super::load::{Load, LoadResult, StopCondition};
use super::outbox::hash_keys_for;
use super::process::Usage;
use super::report::{Figure, Row, Section, quantile};
use super::rooms;
use super::world::{Controller, Setup, World};
use super::{BenchError, Run, raw};

/// Requests in flight.
const CONNECTIONS: usize = 48;

/// Members of each room.
const MEMBERS: usize = 3;

/// Rounds per server, in turn.
const ROUNDS: usize = 5;

/// An app with a rate limit that it never reaches: its requests show the cost of counting.
const LIMITED: (&str, &str) = ("limited", "limited-key");

/// # Errors
/// [`BenchError`] when it cannot be measured.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let count = run.size(100, 4);
    let (app, key) = LIMITED;
    let world = World::start(
        run,
        Setup {
            more: format!("[[apps]]\nid = \"{app}\"\napi_key = \"{key}\"\nrate_limit = 1000000\n"),
            ..Setup::nodes(1)
        },
    )
    .await?;
    let filled = rooms::fill(run, &world, &vec![MEMBERS; count]).await?;
    let ids: Vec<&str> = filled.iter().map(|room| room.id.as_str()).collect();
    let http = world.controller.http();
    let paths: Vec<String> = ids.iter().map(|id| format!("{API}{id}")).collect();
    let keys = hash_keys_for(&world.redis, http, paths.iter().cloned()).await?;
    let handler = Handler::start(&world.redis, &keys).await?;
    let limited = create_limited_room(&world.controller).await?;

    let mut targets = [
        Target::new(http, world.controller.pid(), paths, raw::BENCH),
        Target::new(
            handler.address,
            handler.pid(),
            handler.paths.clone(),
            raw::BENCH,
        ),
        Target::new(http, world.controller.pid(), vec![limited], LIMITED),
    ];
    let duration = Duration::from_millis(run.size(2_000, 50));
    for round in 1..=ROUNDS {
        run.show_progress(format!("reads: round {round} of {ROUNDS}"));
        for target in &mut targets {
            target.run_round(duration).await?;
        }
    }
    let [ours, bare, limited] = targets;
    let mut section = Section::new("GET /conferences/{room_id}");
    section.row(
        Row::new("requests", ours.rate())
            .beside("bare handler", bare.rate())
            .at_least(0.7),
    );
    section.row(Row::new("CPU per request", ours.cpu()).beside("bare handler", bare.cpu()));
    for (label, at) in [("p50", 0.5), ("p99", 0.99)] {
        section.row(
            Row::new(
                format!("{CONNECTIONS} in flight, {label}"),
                ours.concurrent(at),
            )
            .beside("bare handler", bare.concurrent(at)),
        );
    }
    section.row(
        Row::new("one at a time, p50", ours.sequential()).beside("bare handler", bare.sequential()),
    );
    section
        .row(Row::new("requests with a rate limit", limited.rate()).beside("without", ours.rate()));
    section.note(format!(
        "A closed loop of {CONNECTIONS} kept-alive connections, {count} rooms of {MEMBERS} members; the best of {ROUNDS} rounds, in \
         turn. The bare handler is a separate process: axum, one HGETALL of the same hash on one connection, returned as JSON. \
         Generator, server and Redis share the machine; the CPU row is of the servers alone. The rate limit of the last row is \
         never reached: the row shows the cost of counting."
    ));
    world.stop().await?;
    Ok(section)
}

/// The API's path of rooms.
const API: &str = "/api/v1/conferences/";

/// Creates a room of the app with a rate limit. Returns its path.
async fn create_limited_room(controller: &Controller) -> Result<String, BenchError> {
    let failed = || BenchError::system("create a room");
    let request = raw::post("/api/v1/conferences", LIMITED, r#"{"name":"limited"}"#);
    let mut connection = raw::Http::connect(controller.http())
        .await
        .map_err(failed())?;
    let (status, body) = connection.send_for_body(&request).await.map_err(failed())?;
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match body["room_id"].as_str() {
        Some(id) => Ok(format!("{API}{id}")),
        None => Err(BenchError::Unexpected(format!(
            "creating a room: status {status}: {body}"
        ))),
    }
}

/// A server under load, and its best results.
struct Target {
    load: Load,
    pid: u32,
    best: Option<(LoadResult, Duration)>,
    sequential: Option<Histogram<u64>>,
}

impl Target {
    fn new(address: SocketAddr, pid: u32, paths: Vec<String>, app: (&str, &str)) -> Self {
        let requests = paths.iter().map(|path| raw::get(path, app)).collect();
        Self {
            load: Load {
                address,
                requests: Arc::new(requests),
                status: 200,
                connections: CONNECTIONS,
            },
            pid,
            best: None,
            sequential: None,
        }
    }

    /// Runs a round: concurrent requests for `duration`, then sequential ones for a quarter of that.
    async fn run_round(&mut self, duration: Duration) -> Result<(), BenchError> {
        let usage = || Usage::for_process(self.pid).map_err(BenchError::system("read /proc"));
        let before = usage()?;
        let result = self
            .load
            .clone()
            .run(StopCondition::After(duration))
            .await?;
        let cpu = usage()?.cpu.saturating_sub(before.cpu);
        let better = |best: &(LoadResult, Duration)| result.rate().value > best.0.rate().value;
        if self.best.as_ref().is_none_or(better) {
            self.best = Some((result, cpu));
        }
        let one = Load {
            connections: 1,
            ..self.load.clone()
        };
        let sequential = one.run(StopCondition::After(duration / 4)).await?.latency;
        let p50 = |latency: &Histogram<u64>| latency.value_at_quantile(0.5);
        if self
            .sequential
            .as_ref()
            .is_none_or(|best| p50(&sequential) < p50(best))
        {
            self.sequential = Some(sequential);
        }
        Ok(())
    }

    fn rate(&self) -> Figure {
        let best = self.best.as_ref();
        best.map_or(Figure::rate(0, Duration::from_secs(1)), |(best, _)| {
            best.rate()
        })
    }

    fn cpu(&self) -> Figure {
        let each = self.best.as_ref().map_or(Duration::ZERO, |(best, cpu)| {
            cpu.div_f64(best.count.max(1) as f64)
        });
        Figure::time(each)
    }

    fn concurrent(&self, at: f64) -> Figure {
        let best = self.best.as_ref();
        best.map_or(Figure::time(Duration::ZERO), |(best, _)| {
            quantile(&best.latency, at)
        })
    }

    fn sequential(&self) -> Figure {
        let sequential = self.sequential.as_ref();
        sequential.map_or(Figure::time(Duration::ZERO), |latency| {
            quantile(latency, 0.5)
        })
    }
}
