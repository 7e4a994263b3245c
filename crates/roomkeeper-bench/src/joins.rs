//! A request to join, until it is accepted; beside what it is made of: a bare handler, one commit, one command.
//!
//! Owns the scenario. The order of a join is fixed: who asks and what it is about is read, the intent is committed, then
//! FreeSWITCH is told, and when it has taken the command the caller is. So it cannot be faster than one read, one commit
//! and one command one after the other, and is to be no slower.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval};
use uuid::Uuid;

use super::bare::Handler;
use super::commits::any_version;
use super::load::{Ends, Load};
use super::outbox::{Monitor, read_for};
use super::report::{Figure, Row, Section, latencies, quantile, record};
use super::rooms;
use super::world::{DID, PASSWORD, PATIENCE, Redis, Setup, World, node_id, until};
use super::{BenchError, Run, raw};

/// Between two joins that are measured one at a time: what the one leads to at the node and in the store is done before
/// the next begins, also on a busy machine.
const PAUSE: Duration = Duration::from_millis(12);

/// Joins under way at once, where several are.
const AT_ONCE: usize = 8;

/// # Errors
/// [`BenchError`] when it cannot be measured.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let each = run.size(800, 80);
    let mut section = Section::new("A request to join, until it is accepted");
    let bare = World::start(run, Setup::nodes(1)).await?;
    let alone = Joins::prepared(run, &bare, 3 * each).await?;
    alone.measure(run, each, &mut section).await?;
    bare.stop().await?;

    let careful = World::start(
        run,
        Setup {
            cooldowns: true,
            ..Setup::nodes(1)
        },
    )
    .await?;
    let cooled = Joins::prepared(run, &careful, each).await?;
    run.says("joins: with cooldowns");
    let latency = cooled.one_by_one(0..each, "").await?;
    section.row(Row::new(
        "with cooldowns, which is the default, p50",
        quantile(&latency, 0.5),
    ));
    careful.stop().await?;
    section.note(format!(
        "Each join is another call; rooms of up to {} members. One at a time: a bare handler, a commit, a command and a \
         join are measured in turn, {} ms between two rounds. The bare handler is axum with one HGETALL, a process of its \
         own; the commit is that of a join, taken from the controller, on a socket that does nothing else, and so is the \
         command, `uuid_transfer` as a join has it, of a call that is not the app's.",
        each.div_ceil(ROOMS) * 3,
        PAUSE.as_millis()
    ));
    Ok(section)
}

/// Rooms that are joined.
const ROOMS: usize = 100;

/// Calls that wait, and rooms to put them into.
struct Joins<'a> {
    world: &'a World,
    rooms: Vec<String>,
    /// Parked.
    calls: Vec<String>,
}

impl<'a> Joins<'a> {
    async fn prepared(run: &Run<'_>, world: &'a World, calls: usize) -> Result<Self, BenchError> {
        let filled = rooms::fill(run, world, &[0; ROOMS]).await?;
        run.says(format!("joins: {calls} calls come in"));
        let calls: Vec<String> = (0..calls)
            .map(|n| {
                let call = world.nodes[0].call_in(DID, &format!("52{n:07}"), &[]);
                format!("{}-{call}", node_id(0))
            })
            .collect();
        for call in &calls {
            let path = format!("/sessions/{call}");
            until("a call is parked", PATIENCE, async || {
                let (_, body) = world.controller.ask(Method::GET, &path, None).await?;
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

    /// The request of the n-th call; `more` fields, each with a comma before it.
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
        let commands = self.commands(0).await?;
        run.says("joins: one at a time");
        let parts = self.beside_its_parts(1..each).await?;
        let p50 = |latency: &Histogram<u64>| Duration::from_micros(latency.value_at_quantile(0.5));
        let sum = p50(&parts.bare) + p50(&parts.commit) + p50(&parts.command);
        section.row(
            Row::new("one at a time, p50", quantile(&parts.join, 0.5))
                .beside("its parts", Figure::time(sum))
                .at_most(1.5),
        );
        section.row(Row::new("one at a time, p99", quantile(&parts.join, 0.99)));
        for (what, latency) in [
            ("a part: the bare handler, p50", &parts.bare),
            ("a part: one commit, p50", &parts.commit),
            ("a part: one command, p50", &parts.command),
        ] {
            section.row(Row::new(what, quantile(latency, 0.5)));
        }
        // The bare handler's one, and one more.
        section.row(
            Row::new(
                "commands that Redis is given for one",
                Figure::count(commands.len() as u64),
            )
            .up_to(Figure::count(2)),
        );
        run.says(format!("joins: {AT_ONCE} at once"));
        let load = Load {
            address: self.world.controller.http(),
            requests: Arc::new((each..2 * each).map(|n| self.request(n, "")).collect()),
            status: 202,
            connections: AT_ONCE,
        };
        let busy = load.run(Ends::Once).await?;
        section.row(Row::new(format!("{AT_ONCE} at once"), busy.rate()));
        for (what, at) in [("p50", 0.5), ("p99", 0.99)] {
            section.row(Row::new(
                format!("{AT_ONCE} at once, {what}"),
                quantile(&busy.latency, at),
            ));
        }
        run.says("joins: with a command_uid");
        let named = self
            .one_by_one(2 * each..3 * each, r#","command_uid":"join""#)
            .await?;
        section.row(Row::new("with a command_uid, p50", quantile(&named, 0.5)));
        section.note(format!("Redis is given, for one: {}.", commands.join(", ")));
        Ok(())
    }

    /// What Redis is asked for the n-th call until it has joined, by the first word and the key.
    async fn commands(&self, n: usize) -> Result<Vec<String>, BenchError> {
        let failed = || BenchError::system("ask the controller");
        let address = self.world.controller.http();
        let (session, room) = (&self.calls[n], &self.rooms[n % self.rooms.len()]);
        let paths = [
            format!("/api/v1/sessions/{session}"),
            format!("/api/v1/conferences/{room}"),
        ];
        let keys = read_for(&self.world.redis, address, paths).await?;
        let mut monitor = Monitor::of(&self.world.redis).await?;
        let mut http = raw::Http::to(address).await.map_err(failed())?;
        let answered = http.ask(&self.request(n, "")).await.map_err(failed())?;
        if answered != 202 {
            return Err(BenchError::Unexpected(format!("{answered} for a join")));
        }
        // The commit is the last that comes before the answer.
        let mut seen = Vec::new();
        loop {
            let words = monitor.next_with("").await?;
            let about = |key: &str| words.iter().any(|word| word == key);
            if !keys.iter().any(|key| about(key)) {
                continue;
            }
            let verb = words.first().map(String::as_str).unwrap_or_default();
            let of = keys.iter().zip(["the call", "the room"]);
            let of = of.filter(|(key, _)| about(key)).map(|(_, what)| what);
            seen.push(format!(
                "{verb} of {}",
                of.collect::<Vec<_>>().join(" and ")
            ));
            if verb == "EVALSHA" {
                return Ok(seen);
            }
        }
    }

    /// Joins one after the other.
    async fn one_by_one(
        &self,
        calls: std::ops::Range<usize>,
        more: &str,
    ) -> Result<Histogram<u64>, BenchError> {
        let failed = || BenchError::system("ask the controller");
        let connection = raw::Http::to(self.world.controller.http()).await;
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

    /// Joins one after the other; before each, what it is made of.
    async fn beside_its_parts(&self, calls: std::ops::Range<usize>) -> Result<Parts, BenchError> {
        let failed = || BenchError::system("ask for a part");
        let World {
            controller,
            nodes,
            redis,
        } = self.world;
        let paths = self.rooms.iter();
        let paths = paths.map(|room| format!("/api/v1/conferences/{room}"));
        let keys = read_for(redis, controller.http(), paths).await?;
        let handler = Handler::start(redis, &keys).await?;
        let mut bare = raw::Http::to(handler.address).await.map_err(failed())?;
        let mut http = raw::Http::to(controller.http()).await.map_err(failed())?;
        let mut esl = raw::Esl::to(nodes[0].addr, PASSWORD)
            .await
            .map_err(failed())?;
        let mut commit = Commit::taken(self, &mut http, calls.start).await?;
        // Whoever calls a number of nobody's is none of the controller's business.
        let stranger = nodes[0].call_in("000", "520000000", &[]);
        // Each transfer uses up one of the call's 70 forwards, which the plan restores, as the controller's plans do.
        let park =
            format!("api uuid_transfer {stranger} set:max_session_transfers=70,park inline\n\n");
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
            let begin = Instant::now();
            let status = bare.ask(&read).await.map_err(failed())?;
            record(&mut parts.bare, begin.elapsed());
            commit.ask(&mut parts.commit).await?;
            let begin = Instant::now();
            let parked = esl.ask(park.as_bytes()).await.map_err(failed())?;
            record(&mut parts.command, begin.elapsed());
            if status != 200 || !parked.ends_with(b"+OK\n") {
                let why = "a part was not answered as it should be";
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
    let begin = Instant::now();
    let status = connection.ask(request).await;
    record(latency, begin.elapsed());
    match status.map_err(BenchError::system("ask the controller"))? {
        202 => Ok(()),
        other => Err(BenchError::Unexpected(format!("{other} for a join"))),
    }
}

/// The commit of a join, asked again and again of the same Redis, as if of another node.
struct Commit {
    redis: raw::Redis,
    /// `EVALSHA` and all behind it.
    words: Vec<String>,
}

/// A node that there is not.
const NOBODY: &str = "bn999";

/// Where the name of the request stands, behind `EVALSHA`, the script's name, the number of keys, and these.
const fn request_at(keys: usize) -> usize {
    3 + keys
}

impl Commit {
    /// Takes that of the n-th call.
    async fn taken(joins: &Joins<'_>, http: &mut raw::Http, n: usize) -> Result<Self, BenchError> {
        let redis = &joins.world.redis;
        let mut monitor = Monitor::of(redis).await?;
        join(http, &joins.request(n, ""), &mut latencies()).await?;
        let words = loop {
            let words = monitor.next_with(&joins.calls[n]).await?;
            if words.first().is_some_and(|verb| verb == "EVALSHA") {
                break words;
            }
        };
        let mut connection = redis.connect().await?;
        let sha: String = redis::cmd("SCRIPT")
            .arg(("LOAD", any_version()?))
            .query_async(&mut connection)
            .await?;
        let node = node_id(0);
        let mut words: Vec<String> = words.iter().map(|w| w.replace(&node, NOBODY)).collect();
        words[1] = sha;
        let keys: usize = words[2].parse().unwrap_or_default();
        let at = request_at(keys);
        let (Some(epoch), Some(owner)) = (words.get(at + 1), words.get(at + 2)) else {
            return Err(BenchError::Unexpected(format!("no commit: {words:?}")));
        };
        redis::cmd("HSET")
            .arg((&words[3], "epoch", epoch, "owner", owner))
            .query_async::<redis::Value>(&mut connection)
            .await?;
        Ok(Self {
            redis: raw::Redis::to(address(redis))
                .await
                .map_err(BenchError::system("connect to Redis"))?,
            words,
        })
    }

    async fn ask(&mut self, latency: &mut Histogram<u64>) -> Result<(), BenchError> {
        let keys: usize = self.words[2].parse().unwrap_or_default();
        self.words[request_at(keys)] = Uuid::new_v4().to_string();
        let begin = Instant::now();
        let answer = self.redis.ask(&self.words).await;
        record(latency, begin.elapsed());
        let answer = answer.map_err(BenchError::system("ask Redis"))?;
        // What it came to, and where its last message stands.
        if answer.starts_with("*2 :0 ") {
            Ok(())
        } else {
            let why = format!("a commit was answered {answer}");
            Err(BenchError::Unexpected(why))
        }
    }
}

fn address(redis: &Redis) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], redis.port()))
}
