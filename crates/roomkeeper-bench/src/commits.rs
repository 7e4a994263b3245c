//! Throughput of room events, from the node to the commit, beside the commit rate of an otherwise idle Redis.
//!
//! Owns the scenario and its limit. An operator at each node mutes and unmutes members: each command is one event, one
//! change of a room, and one message to its app, in one commit with all others that have queued. The number of events in
//! flight keeps the controller busy but its queue not full; a dropped event fails the scenario.

use std::process::Command;
use std::time::{Duration, Instant};

use redis::Value;

use roomkeeper::telemetry as names;

use super::outbox::{self, Monitor, Outboxes};
use super::process::Usage;
use super::report::{Figure, Row, Section, Unit};
use super::rooms::{self, MuteRounds, Operator, Room};
use super::stages::EVENT_STAGES;
use super::world::{Redis, Setup, TIMEOUT, World};
use super::{BenchError, Run};

/// Maximum number of fired events that wait for their commit: fewer than the controller's queue holds, and enough for full
/// batches on every node.
const MAX_IN_FLIGHT: u64 = 8_192;

/// Events fired on a node at once.
const BURST: u64 = 64;

/// Interval between two checks of the controller's progress.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// Members of each room.
const MEMBERS: usize = 3;

/// Returns the stages up to the commit.
fn stages() -> &'static [(&'static str, &'static str)] {
    &EVENT_STAGES[..3]
}

/// # Errors
/// [`BenchError`] when it cannot be measured, also when the controller dropped an event.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let count = run.size(1_000, 20);
    let events = run.size(150_000, 1_000);
    let title = format!("Events of rooms, committed in Redis: {count} rooms busy");
    let mut section = Section::new(title);
    for nodes in [4, 1] {
        measure_on(run, nodes, count, events, &mut section).await?;
    }
    section.note(format!(
        "An event mutes or unmutes one of {MEMBERS} members of a room: it changes the room and writes one message. \
         The limit is the same script with one such commit, its arguments captured from a running controller, without the \
         version comparison, because a benchmark cannot count versions up. Both are the best of {ROUNDS} rounds, in turn. \
         The harness simulates the nodes and is the load generator."
    ));
    Ok(section)
}

/// Rounds per measurement.
const ROUNDS: usize = 3;

async fn measure_on(
    run: &Run<'_>,
    nodes: usize,
    count: usize,
    events: u64,
    section: &mut Section,
) -> Result<(), BenchError> {
    let world = World::start(run, Setup::nodes(nodes)).await?;
    let filled = rooms::fill(run, &world, &vec![MEMBERS; count]).await?;
    let limit = Limit::capture(&world, &filled).await?;
    let mut load = EventLoad::prepare(&world, &filled).await?;
    let (mut best, mut limit_rate) = (None::<RoundResult>, 0.0_f64);
    for round in 1..=ROUNDS {
        run.show_progress(format!("{nodes} nodes, round {round}: limit of Redis"));
        limit_rate = limit_rate.max(limit.measure(events, count.max(MIN_ROOMS)).await?);
        run.show_progress(format!("{nodes} nodes, round {round}: {events} events"));
        let result = load.run_round(events).await?;
        if best.as_ref().is_none_or(|best| result.took < best.took) {
            best = Some(result);
        }
    }
    if let Some(best) = best {
        best.add_to(nodes, limit_rate, section);
    }
    world.stop().await
}

/// The result of one round.
struct RoundResult {
    events: u64,
    took: Duration,
    controller: Duration,
    redis: Duration,
    generator: Duration,
    batch: f64,
    stages: String,
}

impl RoundResult {
    fn add_to(&self, nodes: usize, limit: f64, section: &mut Section) {
        let node = if nodes == 1 { "node" } else { "nodes" };
        let label = |what: &str| format!("{nodes} {node}: {what}");
        section.row(
            Row::new(label("committed"), Figure::rate(self.events, self.took))
                .beside(
                    "redis-benchmark -P 16",
                    Figure {
                        value: limit,
                        unit: Unit::PerSecond,
                    },
                )
                .at_least(0.5),
        );
        for (what, cpu) in [
            ("CPU of the controller", self.controller),
            ("CPU of Redis", self.redis),
            ("CPU of the generator", self.generator),
        ] {
            section.row(Row::new(label(what), Figure::cores(cpu, self.took)));
        }
        section.note(format!(
            "{nodes} {node}: {:.0} events a commit. {}",
            self.batch, self.stages
        ));
    }
}

struct EventLoad<'a> {
    world: &'a World,
    outboxes: Outboxes,
    /// For each node: its operator and the members to mute.
    nodes: Vec<(Operator, MuteRounds<'a>)>,
}

impl<'a> EventLoad<'a> {
    async fn prepare(world: &'a World, filled: &'a [Room]) -> Result<Self, BenchError> {
        let outboxes = Outboxes::for_nodes(&world.redis, world.nodes.len()).await?;
        let nodes = world.nodes.iter().enumerate();
        let nodes = nodes.map(|(n, node)| {
            let rooms = filled.iter().filter(|room| room.node == n);
            (Operator::log_in(node), MuteRounds::new(rooms))
        });
        Ok(Self {
            world,
            outboxes,
            nodes: nodes.collect(),
        })
    }

    async fn run_round(&mut self, events: u64) -> Result<RoundResult, BenchError> {
        let World {
            controller,
            redis,
            nodes,
        } = self.world;
        let usage = |pid| Usage::for_process(pid).map_err(BenchError::system("read /proc"));
        let costs = || {
            Ok::<_, BenchError>((
                usage(controller.pid())?,
                usage(redis.pid())?,
                usage(std::process::id())?,
            ))
        };
        let before = controller.metrics().await?;
        let base = self.outboxes.count_committed().await?;
        let cost = costs()?;
        let start = Instant::now();
        let mut fired = 0;
        let took = loop {
            let committed = self.outboxes.count_committed().await? - base;
            if committed >= events {
                break start.elapsed();
            }
            if start.elapsed() > TIMEOUT {
                let why = format!("{fired} events were fired, but only {committed} were committed");
                return Err(BenchError::Unexpected(why));
            }
            while fired < events && fired < committed + MAX_IN_FLIGHT {
                for (node, (operator, rounds)) in nodes.iter().zip(&mut self.nodes) {
                    let burst = BURST.min(events - fired);
                    let some = usize::try_from(burst).unwrap_or_default();
                    operator.mute(node, rounds.by_ref().take(some));
                    fired += burst;
                }
                // Lets the nodes' own connections write.
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        let spent = costs()?;
        let after = controller.metrics().await?;
        let dropped = after.increase(&before, names::ESL_EVENTS_DROPPED);
        let overflowed: u64 = nodes.iter().map(|node| node.faults().core.overflowed).sum();
        if dropped > 0.0 || overflowed > 0 {
            let why = format!("the controller dropped {dropped} events, the nodes {overflowed}");
            return Err(BenchError::Unexpected(why));
        }
        let batch = after.mean(&before, names::BATCH_ITEMS);
        Ok(RoundResult {
            events,
            took,
            controller: spent.0.cpu.saturating_sub(cost.0.cpu),
            redis: spent.1.cpu.saturating_sub(cost.1.cpu),
            generator: spent.2.cpu.saturating_sub(cost.2.cpu),
            batch: batch.map_or(0.0, |(mean, _)| mean.as_secs_f64()),
            stages: after.stages(&before, stages()),
        })
    }
}

/// The commit script, as the store runs it.
const SCRIPT: &str = concat!(
    include_str!("../../../src/store/redis/scripts/slot.lua"),
    include_str!("../../../src/store/redis/scripts/foreign.lua"),
    include_str!("../../../src/store/redis/scripts/rope.lua"),
    include_str!("../../../src/store/redis/scripts/bytes.lua"),
    include_str!("../../../src/store/redis/scripts/outbox.lua"),
    include_str!("../../../src/store/redis/scripts/commit.lua")
);

/// Minimum number of rooms for measuring the limit. Two random room numbers name a request, and Redis skips a commit whose
/// request name was just used.
const MIN_ROOMS: usize = 1_000;

/// The version comparison in the script, and a replacement that never finds a difference.
const VERSION_COMPARISON: (&str, &str) = (
    "(stored[n][1] or '0') ~= ARGV[at + 1]",
    "ARGV[at + 1] == ''",
);

/// Returns the commit script without its version comparison: a benchmark cannot count up a running controller's versions.
///
/// # Errors
/// When the script contains no such comparison.
pub fn unversioned_script() -> Result<String, BenchError> {
    let (comparison, replacement) = VERSION_COMPARISON;
    let script = SCRIPT.replace(comparison, replacement);
    if script == SCRIPT {
        let why = "the commit script contains no known version comparison";
        return Err(BenchError::Unexpected(why.to_owned()));
    }
    Ok(script)
}

/// Placeholder that `redis-benchmark` replaces with a new 12-digit number each time.
const NUMBER: &str = "__rand_int__";

/// The number of keys of a commit of one entity.
const ONE_ENTITY: &str = "9";

/// Index of the first key, after `EVALSHA`, the script's name and the number of keys.
const KEYS: usize = 3;

/// Index of the first argument: the request, followed by the lease's epoch and owner.
const REQUEST: usize = KEYS + 9;

/// The limit: commits of one event each, on a Redis that does nothing else.
struct Limit {
    redis: Redis,
    /// `EVALSHA` and its arguments.
    command: Vec<String>,
}

impl Limit {
    /// Captures a commit of the running controller and prepares a separate Redis for it.
    async fn capture(world: &World, filled: &[Room]) -> Result<Self, BenchError> {
        let (node, room) = (&world.nodes[0], &filled[0]);
        let member = &room.members[0];
        let mut monitor = Monitor::start(&world.redis).await?;
        let operator = Operator::log_in(node);
        operator.mute(node, [(room, member, true)]);
        let sent = monitor.next_with("conference.member.muted").await?;
        operator.mute(node, [(room, member, false)]);
        monitor.next_with("conference.member.unmuted").await?;
        let redis = Redis::start().await?;
        let mut connection = redis.connect().await?;
        let script = unversioned_script()?;
        let sha: String = redis::cmd("SCRIPT")
            .arg(("LOAD", script))
            .query_async(&mut connection)
            .await?;
        let command = for_random_room(sent, sha, &room.id)?;
        let (epoch, owner) = (&command[REQUEST + 1], &command[REQUEST + 2]);
        redis::cmd("HSET")
            .arg((&command[KEYS], "epoch", epoch, "owner", owner))
            .query_async::<Value>(&mut connection)
            .await?;
        Ok(Self { redis, command })
    }

    /// Returns commits per second, with 16 in flight.
    async fn measure(&self, commits: u64, rooms: usize) -> Result<f64, BenchError> {
        let mut connection = self.redis.connect().await?;
        let outbox = outbox::stream_key(0);
        // The first commit of each room creates it, which costs more: the rooms are created before the measurement.
        self.run(20 * rooms as u64, rooms)?;
        // The position of the last message has a key of its own.
        let last = format!("{outbox}:last");
        let cleared = redis::cmd("DEL").arg((&outbox, last)).to_owned();
        cleared.query_async::<Value>(&mut connection).await?;
        let rate = self.run(commits, rooms)?;
        // Redis skips a commit whose request name is among the last of its room: about one in 100,000.
        let written = Outboxes::for_nodes(&self.redis, 1)
            .await?
            .count_committed()
            .await?;
        if written < commits - commits / 1_000 {
            let why =
                format!("only {written} of {commits} commits by redis-benchmark were written");
            return Err(BenchError::Unexpected(why));
        }
        Ok(rate)
    }

    fn run(&self, commits: u64, rooms: usize) -> Result<f64, BenchError> {
        let output = Command::new("redis-benchmark")
            .args(["-h", "127.0.0.1", "-P", "16", "--csv", "-p"])
            .arg(self.redis.port().to_string())
            .args(["-n", &commits.to_string(), "-r", &rooms.to_string()])
            .args(&self.command)
            .output()
            .map_err(BenchError::system("run redis-benchmark"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        per_second(&text).ok_or_else(|| {
            BenchError::Unexpected(format!("unexpected output of redis-benchmark: {text}"))
        })
    }
}

/// Parses the rate from `redis-benchmark --csv`: the first of the seven numbers after the title, which may contain anything.
fn per_second(csv: &str) -> Option<f64> {
    let line = csv.lines().rfind(|line| !line.is_empty())?;
    let number = line.rsplit("\",\"").nth(6)?;
    number.parse().ok()
}

/// Rewrites a commit for this script, a random room and a random request name.
fn for_random_room(
    mut sent: Vec<String>,
    sha: String,
    room: &str,
) -> Result<Vec<String>, BenchError> {
    let is_one = sent.len() > REQUEST + 10 && sent[0] == "EVALSHA" && sent[2] == ONE_ENTITY;
    // Keys contain an encoded form of the room's id.
    let key_id = sent.get(KEYS + 7).and_then(|key| key.rsplit(':').next());
    let Some(key_id) = key_id.map(str::to_owned).filter(|_| is_one) else {
        let why = format!("not a commit of one room: {sent:?}");
        return Err(BenchError::Unexpected(why));
    };
    for id in [room, &key_id] {
        let any = with_random_end(id)?;
        for word in &mut sent {
            *word = word.replace(id, &any);
        }
    }
    sent[1] = sha;
    // No worker empties that outbox; the script stops writing to a full one.
    sent[REQUEST + 9] = u32::MAX.to_string();
    sent[REQUEST] = format!("{NUMBER}{NUMBER}");
    Ok(sent)
}

/// Replaces the end of an id with [`NUMBER`].
fn with_random_end(id: &str) -> Result<String, BenchError> {
    let kept = id.len().checked_sub(NUMBER.len()).map(|kept| &id[..kept]);
    let kept = kept.ok_or_else(|| BenchError::Unexpected(format!("id {id} is too short")))?;
    Ok(format!("{kept}{NUMBER}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn script_contains_version_comparison_once() {
        assert_eq!(SCRIPT.matches(VERSION_COMPARISON.0).count(), 1);
    }

    #[test]
    fn rate_parser_ignores_title() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\
                   \"evalsha 1 {\"a\",\"b\"}\",\"25000.50\",\"1.1\",\"0.1\",\"1.0\",\"2.0\",\"3.0\",\"4.0\"\n";
        assert_eq!(per_second(csv), Some(25_000.5));
        assert_eq!(per_second("no such command"), None);
    }

    #[test]
    fn captured_commit_is_rewritten_for_random_room() {
        let room = "bn000-room-6a0c2f5e-0000-4000-8000-0123456789ab";
        let key_id = "u2abcdefghijklmnopqrst";
        let mut sent: Vec<String> = ["EVALSHA", "old", "9"].map(str::to_owned).into();
        sent.extend((0..7).map(|n| format!("key:{n}")));
        sent.extend([format!("room:{key_id}"), format!("room:{key_id}:parts")]);
        sent.extend(["request", "1", "owner"].map(str::to_owned));
        sent.extend((3..20).map(|n| n.to_string()));
        sent.push(format!("of {room}"));
        let any = for_random_room(sent.clone(), "new".to_owned(), room).unwrap();
        assert_eq!(any[KEYS + 7], "room:u2abcdefgh__rand_int__");
        assert_eq!(any[KEYS + 8], "room:u2abcdefgh__rand_int__:parts");
        let text = "of bn000-room-6a0c2f5e-0000-4000-8000-__rand_int__";
        assert_eq!(any.last().map(String::as_str), Some(text));
        assert_eq!(any[1], "new");
        sent[2] = "11".to_owned();
        assert!(for_random_room(sent, "new".to_owned(), room).is_err());
    }
}
