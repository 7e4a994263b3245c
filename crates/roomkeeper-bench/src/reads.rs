//! `GET /conferences/{room_id}`, beside a bare handler that asks Redis for the same hash.
//!
//! Owns the scenario. What the controller does more than the bare handler: it knows the app by its key, counts the
//! request, finds out whose the room is, writes the answer that is documented, and keeps deadlines all the while.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::Value;

use super::bare::Handler;
use super::load::{Answered, Ends, Load};
use super::outbox::read_for;
use super::process::Usage;
use super::report::{Figure, Row, Section, quantile};
use super::rooms;
use super::world::{Controller, Setup, World};
use super::{BenchError, Run, raw};

/// Requests under way at once.
const CONNECTIONS: usize = 48;

/// Members of each room.
const MEMBERS: usize = 3;

/// How often each is measured, in turn.
const ROUNDS: usize = 5;

/// An app that has a limit, which it does not come near: what counting its requests costs.
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
    let keys = read_for(&world.redis, http, paths.iter().cloned()).await?;
    let handler = Handler::start(&world.redis, &keys).await?;
    let limited = limited_room(&world.controller).await?;

    let mut asked = [
        Asked::of(http, world.controller.pid(), paths, raw::BENCH),
        Asked::of(
            handler.address,
            handler.pid(),
            handler.paths.clone(),
            raw::BENCH,
        ),
        Asked::of(http, world.controller.pid(), vec![limited], LIMITED),
    ];
    let lasts = Duration::from_millis(run.size(2_000, 50));
    for round in 1..=ROUNDS {
        run.says(format!("reads: round {round} of {ROUNDS}"));
        for one in &mut asked {
            one.ask(lasts).await?;
        }
    }
    let [ours, bare, limited] = asked;
    let mut section = Section::new("GET /conferences/{room_id}");
    section.row(
        Row::new("requests", ours.rate())
            .beside("bare handler", bare.rate())
            .at_least(0.7),
    );
    section.row(Row::new("CPU of each", ours.cpu()).beside("bare handler", bare.cpu()));
    for (what, at) in [("p50", 0.5), ("p99", 0.99)] {
        section.row(
            Row::new(format!("{CONNECTIONS} at once, {what}"), ours.busy(at))
                .beside("bare handler", bare.busy(at)),
        );
    }
    section.row(Row::new("one at a time, p50", ours.alone()).beside("bare handler", bare.alone()));
    section.row(
        Row::new("requests of an app that has a limit", limited.rate())
            .beside("of one that has none", ours.rate()),
    );
    section.note(format!(
        "A closed loop of {CONNECTIONS} connections that are kept alive, {count} rooms of {MEMBERS} members; best of \
         {ROUNDS} rounds in turn. The bare handler is a process of its own: axum, one HGETALL of the same hash on one \
         connection, and that as JSON. Generator, server and Redis share the machine, so the ratio of the CPU is that \
         of the servers alone. The limit of the last row is never reached: it is what counting costs."
    ));
    world.stop().await?;
    Ok(section)
}

/// Where the API has rooms.
const API: &str = "/api/v1/conferences/";

/// Makes a room of the app that has a limit; returned is its path.
async fn limited_room(controller: &Controller) -> Result<String, BenchError> {
    let failed = || BenchError::system("make a room");
    let request = raw::post("/api/v1/conferences", LIMITED, r#"{"name":"limited"}"#);
    let mut connection = raw::Http::to(controller.http()).await.map_err(failed())?;
    let (status, body) = connection.ask_for_body(&request).await.map_err(failed())?;
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    match body["room_id"].as_str() {
        Some(id) => Ok(format!("{API}{id}")),
        None => Err(BenchError::Unexpected(format!("{status}: {body}"))),
    }
}

/// One of those that are asked, and the best that came of it.
struct Asked {
    load: Load,
    pid: u32,
    best: Option<(Answered, Duration)>,
    alone: Option<Histogram<u64>>,
}

impl Asked {
    fn of(address: SocketAddr, pid: u32, paths: Vec<String>, who: (&str, &str)) -> Self {
        let requests = paths.iter().map(|path| raw::get(path, who)).collect();
        Self {
            load: Load {
                address,
                requests: Arc::new(requests),
                status: 200,
                connections: CONNECTIONS,
            },
            pid,
            best: None,
            alone: None,
        }
    }

    /// A round: many at once for so long, then one at a time for a quarter of it.
    async fn ask(&mut self, lasts: Duration) -> Result<(), BenchError> {
        let usage = || Usage::of(self.pid).map_err(BenchError::system("read /proc"));
        let before = usage()?;
        let answered = self.load.clone().run(Ends::After(lasts)).await?;
        let cpu = usage()?.cpu.saturating_sub(before.cpu);
        let better = |best: &(Answered, Duration)| answered.rate().value > best.0.rate().value;
        if self.best.as_ref().is_none_or(better) {
            self.best = Some((answered, cpu));
        }
        let one = Load {
            connections: 1,
            ..self.load.clone()
        };
        let alone = one.run(Ends::After(lasts / 4)).await?.latency;
        let p50 = |latency: &Histogram<u64>| latency.value_at_quantile(0.5);
        if self
            .alone
            .as_ref()
            .is_none_or(|best| p50(&alone) < p50(best))
        {
            self.alone = Some(alone);
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

    fn busy(&self, at: f64) -> Figure {
        let best = self.best.as_ref();
        best.map_or(Figure::time(Duration::ZERO), |(best, _)| {
            quantile(&best.latency, at)
        })
    }

    fn alone(&self) -> Figure {
        let alone = self.alone.as_ref();
        alone.map_or(Figure::time(Duration::ZERO), |latency| {
            quantile(latency, 0.5)
        })
    }
}
