//! The latency of an accepted join request, beside its parts: a bare handler, one commit, one command.
//!
//! Owns the scenario. The order of a join is fixed: the controller reads the caller and the room, commits the intent, sends
//! the command to FreeSWITCH, and answers the caller when FreeSWITCH has accepted it. So a join cannot be faster than one
//! read, one commit and one command in sequence, and should not be much slower.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use super::bare::Handler;
use super::commits::unversioned_script;
use super::load::{Load, StopCondition};
use super::outbox::{Monitor, hash_keys_for};
use super::report::{Figure, Row, Section, latencies, quantile, record};
use super::rooms;
use super::world::{DID, PASSWORD, Redis, Setup, TIMEOUT, World, node_id, until};
use super::{BenchError, Run, raw};

/// Pause between two sequential joins: long enough that the node and the store finish the work of one before the next,
/// also on a busy machine.
const PAUSE: Duration = Duration::from_millis(12);

/// Concurrent joins in the concurrent part.
const CONCURRENCY: usize = 8;

/// # Errors
/// [`BenchError`] when it cannot be measured.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let each = run.size(800, 80);
    let mut section = Section::new("A join request, until it is accepted");
    let bare = World::start(run, Setup::nodes(1)).await?;
    let idle_joins = Joins::prepare(run, &bare, 3 * each).await?;
    idle_joins.measure(run, each, &mut section).await?;
    bare.stop().await?;

    let cooled_world = World::start(
        run,
        Setup {
            cooldowns: true,
            ..Setup::nodes(1)
        },
    )
    .await?;
    let cooled_joins = Joins::prepare(run, &cooled_world, each).await?;
    run.show_progress("joins: with cooldowns");
    let latency = cooled_joins.measure_sequential(0..each, "").await?;
    section.row(Row::new(
        "with cooldowns (the default), p50",
        quantile(&latency, 0.5),
    ));
    cooled_world.stop().await?;
    section.note(format!(
        "Each join is a different call; rooms have up to {} members. One at a time: a bare handler, a commit, a command and a \
         join are measured in turn, with a pause of {} ms between rounds. The bare handler is axum with one HGETALL, a separate \
         process. The commit is that of a join, captured from the controller and sent on a dedicated socket. The command is \
         `uuid_transfer` as in a join, for a call of no app, also on a dedicated socket.",
        each.div_ceil(ROOMS) * 3,
        PAUSE.as_millis()
    ));
    Ok(section)
}

/// Rooms to join.
const ROOMS: usize = 100;

/// Waiting calls, and the rooms that they join.
struct Joins<'a> {
    world: &'a World,
    rooms: Vec<String>,
    /// The ids of parked calls.
    calls: Vec<String>,
}

impl<'a> Joins<'a> {
    async fn prepare(run: &Run<'_>, world: &'a World, calls: usize) -> Result<Self, BenchError> {
        let filled = rooms::fill(run, world, &[0; ROOMS]).await?;
        run.show_progress(format!("joins: creating {calls} calls"));
        let calls: Vec<String> = (0..calls)
            .map(|n| {
                let call = world.nodes[0].call_in(DID, &format!("52{n:07}"), &[]);
                format!("{}-{call}", node_id(0))
            })
            .collect();
        for call in &calls {
            let path = format!("/sessions/{call}");
            until("a call is parked", TIMEOUT, async || {
                let (_, body) = world.controller.request(Method::GET, &path, None).await?;
                Ok((body["state"] == "parked").then_some(()))
            })
            .await?;
        }
        Ok(Self {
            world,
            rooms: filled.into_iter().map(|room| room.id).collect(),
            calls,
        })
    }

    /// The join request of the n-th call; each of the `more` fields begins with a comma.
    fn request(&self, n: usize, more: &str) -> Vec<u8> {
        let path = format!(
            "/api/v1/sessions/{}/commands/conference/join",
            self.calls[n]
        );
        let room = json!(self.rooms[n % self.rooms.len()]);
        raw::post(&path, raw::BENCH, &format!("{{\"room_id\":{room}{more}}}"))
    }

    async fn measure(
        &self,
        run: &Run<'_>,
        each: usize,
        section: &mut Section,
    ) -> Result<(), BenchError> {
        let redis_commands = self.redis_commands(0).await?;
        run.show_progress("joins: one at a time");
        let parts = self.measure_with_parts(1..each).await?;
        let p50 = |latency: &Histogram<u64>| Duration::from_micros(latency.value_at_quantile(0.5));
        let sum = p50(&parts.bare) + p50(&parts.commit) + p50(&parts.command);
        section.row(
            Row::new("one at a time, p50", quantile(&parts.join, 0.5))
                .beside("its parts", Figure::time(sum))
                .at_most(1.5),
        );
        section.row(Row::new("one at a time, p99", quantile(&parts.join, 0.99)));
        for (label, latency) in [
            ("part: the bare handler, p50", &parts.bare),
            ("part: one commit, p50", &parts.commit),
            ("part: one command, p50", &parts.command),
        ] {
            section.row(Row::new(label, quantile(latency, 0.5)));
        }
        // The read of the bare handler, and one more.
        section.row(
            Row::new(
                "Redis commands for one join",
                Figure::count(redis_commands.len() as u64),
            )
            .up_to(Figure::count(2)),
        );
        run.show_progress(format!("joins: {CONCURRENCY} at once"));
        let load = Load {
            address: self.world.controller.http(),
            requests: Arc::new((each..2 * each).map(|n| self.request(n, "")).collect()),
            status: 202,
            connections: CONCURRENCY,
        };
        let busy = load.run(StopCondition::Once).await?;
        section.row(Row::new(format!("{CONCURRENCY} at once"), busy.rate()));
        for (label, at) in [("p50", 0.5), ("p99", 0.99)] {
            section.row(Row::new(
                format!("{CONCURRENCY} at once, {label}"),
                quantile(&busy.latency, at),
            ));
        }
        run.show_progress("joins: with a command_uid");
        let named = self
            .measure_sequential(2 * each..3 * each, r#","command_uid":"join""#)
            .await?;
        section.row(Row::new("with a command_uid, p50", quantile(&named, 0.5)));
        section.note(format!(
            "Redis commands for one join: {}.",
            redis_commands.join(", ")
        ));
        Ok(())
    }

    /// Lists the Redis commands until the n-th call has joined, by name and key.
    async fn redis_commands(&self, n: usize) -> Result<Vec<String>, BenchError> {
        let failed = || BenchError::system("send a request to the controller");
        let address = self.world.controller.http();
        let (call, room) = (&self.calls[n], &self.rooms[n % self.rooms.len()]);
        let paths = [
            format!("/api/v1/sessions/{call}"),
            format!("/api/v1/conferences/{room}"),
        ];
        let keys = hash_keys_for(&self.world.redis, address, paths).await?;
        let mut monitor = Monitor::start(&self.world.redis).await?;
        let mut http = raw::Http::connect(address).await.map_err(failed())?;
        let status = http.send(&self.request(n, "")).await.map_err(failed())?;
        if status != 202 {
            return Err(BenchError::Unexpected(format!(
                "status {status} for a join"
            )));
        }
        // The commit is the last command before the response.
        let mut commands = Vec::new();
        loop {
            let words = monitor.next_with("").await?;
            let mentions = |key: &str| words.iter().any(|word| word == key);
            if !keys.iter().any(|key| mentions(key)) {
                continue;
            }
            let verb = words.first().map(String::as_str).unwrap_or_default();
            let names = keys.iter().zip(["the call", "the room"]);
            let names = names
                .filter(|(key, _)| mentions(key))
                .map(|(_, label)| label);
            commands.push(format!(
                "{verb} of {}",
                names.collect::<Vec<_>>().join(" and ")
            ));
            if verb == "EVALSHA" {
                return Ok(commands);
            }
        }
    }

    /// Measures sequential joins.
    async fn measure_sequential(
        &self,
        calls: std::ops::Range<usize>,
        more: &str,
    ) -> Result<Histogram<u64>, BenchError> {
        let failed = || BenchError::system("send a request to the controller");
        let connection = raw::Http::connect(self.world.controller.http()).await;
        let mut connection = connection.map_err(failed())?;
        let mut latency = latencies();
        let mut tick = interval(PAUSE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in calls {
            let request = self.request(n, more);
            tick.tick().await;
            join(&mut connection, &request, &mut latency).await?;
        }
        Ok(latency)
    }

    /// Measures sequential joins, and each part before each join.
    async fn measure_with_parts(&self, calls: std::ops::Range<usize>) -> Result<Parts, BenchError> {
        let failed = || BenchError::system("measure a part");
        let World {
            controller,
            nodes,
            redis,
        } = self.world;
        let paths = self.rooms.iter();
        let paths = paths.map(|room| format!("/api/v1/conferences/{room}"));
        let keys = hash_keys_for(redis, controller.http(), paths).await?;
        let handler = Handler::start(redis, &keys).await?;
        let mut bare = raw::Http::connect(handler.address)
            .await
            .map_err(failed())?;
        let mut http = raw::Http::connect(controller.http())
            .await
            .map_err(failed())?;
        let mut esl = raw::Esl::connect(nodes[0].addr, PASSWORD)
            .await
            .map_err(failed())?;
        let mut commit = Commit::capture(self, &mut http, calls.start).await?;
        // The controller ignores a call to an unassigned number.
        let unrelated_call = nodes[0].call_in("000", "520000000", &[]);
        // Each transfer uses up one of the call's 70 forwards; the plan restores them, as the controller's plans do.
        let park = format!(
            "api uuid_transfer {unrelated_call} set:max_session_transfers=70,park inline\n\n"
        );
        let mut parts = Parts {
            bare: latencies(),
            commit: latencies(),
            command: latencies(),
            join: latencies(),
        };
        let mut tick = interval(PAUSE);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for n in calls.skip(1) {
            let read = raw::get(&handler.paths[n % self.rooms.len()], raw::BENCH);
            let request = self.request(n, "");
            tick.tick().await;
            let start = Instant::now();
            let status = bare.send(&read).await.map_err(failed())?;
            record(&mut parts.bare, start.elapsed());
            commit.send(&mut parts.commit).await?;
            let start = Instant::now();
            let parked = esl.send(park.as_bytes()).await.map_err(failed())?;
            record(&mut parts.command, start.elapsed());
            if status != 200 || !parked.ends_with(b"+OK\n") {
                let why = "a part returned an unexpected answer";
                return Err(BenchError::Unexpected(why.to_owned()));
            }
            join(&mut http, &request, &mut parts.join).await?;
        }
        Ok(parts)
    }
}

struct Parts {
    bare: Histogram<u64>,
    commit: Histogram<u64>,
    command: Histogram<u64>,
    join: Histogram<u64>,
}

async fn join(
    connection: &mut raw::Http,
    request: &[u8],
    latency: &mut Histogram<u64>,
) -> Result<(), BenchError> {
    let start = Instant::now();
    let status = connection.send(request).await;
    record(latency, start.elapsed());
    match status.map_err(BenchError::system("send a request to the controller"))? {
        202 => Ok(()),
        other => Err(BenchError::Unexpected(format!("status {other} for a join"))),
    }
}

/// The commit of a join, repeated on the same Redis as if for another node.
struct Commit {
    redis: raw::Redis,
    /// `EVALSHA` and its arguments.
    words: Vec<String>,
}

/// The id of a node that does not exist.
const OTHER_NODE: &str = "bn999";

/// Index of the request's name, after `EVALSHA`, the script's name, the number of keys, and the keys.
const fn request_index(keys: usize) -> usize {
    3 + keys
}

impl Commit {
    /// Captures the commit of the n-th call's join.
    async fn capture(
        joins: &Joins<'_>,
        http: &mut raw::Http,
        n: usize,
    ) -> Result<Self, BenchError> {
        let redis = &joins.world.redis;
        let mut monitor = Monitor::start(redis).await?;
        join(http, &joins.request(n, ""), &mut latencies()).await?;
        let words = loop {
            let words = monitor.next_with(&joins.calls[n]).await?;
            if words.first().is_some_and(|verb| verb == "EVALSHA") {
                break words;
            }
        };
        let mut connection = redis.connect().await?;
        let sha: String = redis::cmd("SCRIPT")
            .arg(("LOAD", unversioned_script()?))
            .query_async(&mut connection)
            .await?;
        let node = node_id(0);
        let mut words: Vec<String> = words.iter().map(|w| w.replace(&node, OTHER_NODE)).collect();
        words[1] = sha;
        let keys: usize = words[2].parse().unwrap_or_default();
        let at = request_index(keys);
        let (Some(epoch), Some(owner)) = (words.get(at + 1), words.get(at + 2)) else {
            return Err(BenchError::Unexpected(format!("not a commit: {words:?}")));
        };
        redis::cmd("HSET")
            .arg((&words[3], "epoch", epoch, "owner", owner))
            .query_async::<redis::Value>(&mut connection)
            .await?;
        Ok(Self {
            redis: raw::Redis::connect(address(redis))
                .await
                .map_err(BenchError::system("connect to Redis"))?,
            words,
        })
    }

    async fn send(&mut self, latency: &mut Histogram<u64>) -> Result<(), BenchError> {
        let keys: usize = self.words[2].parse().unwrap_or_default();
        self.words[request_index(keys)] = Uuid::new_v4().to_string();
        let start = Instant::now();
        let answer = self.redis.send(&self.words).await;
        record(latency, start.elapsed());
        let answer = answer.map_err(BenchError::system("send a command to Redis"))?;
        // The result code and the position of the last message.
        if answer.starts_with("*2 :0 ") {
            Ok(())
        } else {
            let why = format!("unexpected answer to a commit: {answer}");
            Err(BenchError::Unexpected(why))
        }
    }
}

fn address(redis: &Redis) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], redis.port()))
}
