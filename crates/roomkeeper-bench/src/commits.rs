//! Events of rooms that change something, as fast as they are committed; beside what Redis does of such commits when
//! nothing else is asked of it.
//!
//! Owns the scenario and its limit. An operator at each node mutes and unmutes members: each is one event, one change of
//! a room, and one message to its app, in one commit with whatever else has queued. As much is under way as keeps the
//! controller busy, and no more, so that nothing is dropped; that it was not is checked.

use std::process::Command;
use std::time::{Duration, Instant};

use redis::Value;

use roomkeeper::telemetry as names;

use super::outbox::{self, Monitor, Outboxes};
use super::process::Usage;
use super::report::{Figure, Row, Section, Unit};
use super::rooms::{self, Operator, Room, Rounds};
use super::stages::EVENT_STAGES;
use super::world::{PATIENCE, Redis, Setup, World};
use super::{BenchError, Run};

/// How many fired events may wait for their commit: less than the controller's queue holds, and enough for full batches
/// on every node.
const UNDER_WAY: u64 = 8_192;

/// How many are fired on a node at once.
const BURST: u64 = 64;

/// Between two looks at how far the controller is.
const LOOKS: Duration = Duration::from_millis(1);

/// Members of each room.
const MEMBERS: usize = 3;

/// The stages up to the commit.
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
        on(run, nodes, count, events, &mut section).await?;
    }
    section.note(format!(
        "An event mutes or unmutes one of {MEMBERS} members of a room: it changes the room and is told by one message. \
         The limit is the same script with one such commit, its arguments taken from a running controller, but that the \
         version is not compared, which cannot be counted up in a benchmark. Both are the best of {ROUNDS} rounds, in turn. \
         The nodes are simulated in the harness, which is the generator."
    ));
    Ok(section)
}

/// How often each is measured.
const ROUNDS: usize = 3;

async fn on(
    run: &Run<'_>,
    nodes: usize,
    count: usize,
    events: u64,
    section: &mut Section,
) -> Result<(), BenchError> {
    let world = World::start(run, Setup::nodes(nodes)).await?;
    let filled = rooms::fill(run, &world, &vec![MEMBERS; count]).await?;
    let limit = Limit::of(&world, &filled).await?;
    let mut load = Load::on(&world, &filled).await?;
    let (mut best, mut most) = (None::<Pushed>, 0.0_f64);
    for round in 1..=ROUNDS {
        run.says(format!("{nodes} nodes, round {round}: what Redis can"));
        most = most.max(limit.measure(events, count.max(LEAST_ROOMS)).await?);
        run.says(format!("{nodes} nodes, round {round}: {events} events"));
        let pushed = load.push(events).await?;
        if best.as_ref().is_none_or(|best| pushed.took < best.took) {
            best = Some(pushed);
        }
    }
    if let Some(best) = best {
        best.tell(nodes, most, section);
    }
    world.stop().await
}

/// One round.
struct Pushed {
    events: u64,
    took: Duration,
    controller: Duration,
    redis: Duration,
    generator: Duration,
    batch: f64,
    stages: String,
}

impl Pushed {
    fn tell(&self, nodes: usize, limit: f64, section: &mut Section) {
        let node = if nodes == 1 { "node" } else { "nodes" };
        let of = |what: &str| format!("{nodes} {node}: {what}");
        section.row(
            Row::new(of("committed"), Figure::rate(self.events, self.took))
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
            section.row(Row::new(of(what), Figure::cores(cpu, self.took)));
        }
        section.note(format!(
            "{nodes} {node}: {:.0} events a commit. {}",
            self.batch, self.stages
        ));
    }
}

struct Load<'a> {
    world: &'a World,
    outboxes: Outboxes,
    /// For each node: who mutes there, and whom.
    nodes: Vec<(Operator, Rounds<'a>)>,
}

impl<'a> Load<'a> {
    async fn on(world: &'a World, filled: &'a [Room]) -> Result<Self, BenchError> {
        let outboxes = Outboxes::of(&world.redis, world.nodes.len()).await?;
        let nodes = world.nodes.iter().enumerate();
        let nodes = nodes.map(|(n, node)| {
            let rooms = filled.iter().filter(|room| room.node == n);
            (Operator::at(node), Rounds::new(rooms))
        });
        Ok(Self {
            world,
            outboxes,
            nodes: nodes.collect(),
        })
    }

    async fn push(&mut self, events: u64) -> Result<Pushed, BenchError> {
        let World {
            controller,
            redis,
            nodes,
        } = self.world;
        let usage = |pid| Usage::of(pid).map_err(BenchError::system("read /proc"));
        let costs = || {
            Ok::<_, BenchError>((
                usage(controller.pid())?,
                usage(redis.pid())?,
                usage(std::process::id())?,
            ))
        };
        let before = controller.moment().await?;
        let base = self.outboxes.told().await?;
        let cost = costs()?;
        let begin = Instant::now();
        let mut fired = 0;
        let took = loop {
            let told = self.outboxes.told().await? - base;
            if told >= events {
                break begin.elapsed();
            }
            if begin.elapsed() > PATIENCE {
                let why = format!("{fired} events were fired, and only {told} committed");
                return Err(BenchError::Unexpected(why));
            }
            while fired < events && fired < told + UNDER_WAY {
                for (node, (operator, rounds)) in nodes.iter().zip(&mut self.nodes) {
                    let burst = BURST.min(events - fired);
                    let some = usize::try_from(burst).unwrap_or_default();
                    operator.mute(node, rounds.by_ref().take(some));
                    fired += burst;
                }
                // The nodes' own connections are to be written, too.
                tokio::task::yield_now().await;
            }
            tokio::time::sleep(LOOKS).await;
        };
        let spent = costs()?;
        let after = controller.moment().await?;
        let dropped = after.grown(&before, names::ESL_EVENTS_DROPPED);
        let overflowed: u64 = nodes.iter().map(|node| node.faults().core.overflowed).sum();
        if dropped > 0.0 || overflowed > 0 {
            let why = format!("the controller dropped {dropped} events, the nodes {overflowed}");
            return Err(BenchError::Unexpected(why));
        }
        let batch = after.mean(&before, names::BATCH_ITEMS);
        Ok(Pushed {
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

/// The script of a commit, as the store runs it.
const SCRIPT: &str = concat!(
    include_str!("../../../src/store/redis/scripts/slot.lua"),
    include_str!("../../../src/store/redis/scripts/foreign.lua"),
    include_str!("../../../src/store/redis/scripts/rope.lua"),
    include_str!("../../../src/store/redis/scripts/bytes.lua"),
    include_str!("../../../src/store/redis/scripts/outbox.lua"),
    include_str!("../../../src/store/redis/scripts/commit.lua")
);

/// The limit is measured with so many rooms at least: a request is named by two of the numbers of rooms, and one that was
/// just named so is not made again.
const LEAST_ROOMS: usize = 1_000;

/// What of it compares versions, and what never finds them different.
const COMPARES: (&str, &str) = (
    "(stored[n][1] or '0') ~= ARGV[at + 1]",
    "ARGV[at + 1] == ''",
);

/// The script of a commit, without regard to versions: those of a running controller cannot be counted up from outside.
///
/// # Errors
/// When the script does not compare them as it did.
pub fn any_version() -> Result<String, BenchError> {
    let (compares, never) = COMPARES;
    let script = SCRIPT.replace(compares, never);
    if script == SCRIPT {
        let why = "the script of a commit compares versions in another way";
        return Err(BenchError::Unexpected(why.to_owned()));
    }
    Ok(script)
}

/// What `redis-benchmark` puts a number into, of so many digits, another one each time.
const NUMBER: &str = "__rand_int__";

/// How many keys a commit of one entity has.
const ONE_ENTITY: &str = "9";

/// Where the keys begin, behind `EVALSHA`, the script's name and their number.
const KEYS: usize = 3;

/// Where the arguments begin: the request, and then the lease's epoch and owner.
const REQUEST: usize = KEYS + 9;

/// What Redis does of commits of one event each, and of nothing else.
struct Limit {
    redis: Redis,
    /// `EVALSHA` and all behind it.
    command: Vec<String>,
}

impl Limit {
    /// Takes a commit of the running controller, and puts it before a Redis of its own, so that nobody else asks it.
    async fn of(world: &World, filled: &[Room]) -> Result<Self, BenchError> {
        let (node, room) = (&world.nodes[0], &filled[0]);
        let member = &room.members[0];
        let mut monitor = Monitor::of(&world.redis).await?;
        let operator = Operator::at(node);
        operator.mute(node, [(room, member, true)]);
        let sent = monitor.next_with("conference.member.muted").await?;
        operator.mute(node, [(room, member, false)]);
        monitor.next_with("conference.member.unmuted").await?;
        let redis = Redis::start().await?;
        let mut connection = redis.connect().await?;
        let script = any_version()?;
        let sha: String = redis::cmd("SCRIPT")
            .arg(("LOAD", script))
            .query_async(&mut connection)
            .await?;
        let command = any_room(sent, sha, &room.id)?;
        let (epoch, owner) = (&command[REQUEST + 1], &command[REQUEST + 2]);
        redis::cmd("HSET")
            .arg((&command[KEYS], "epoch", epoch, "owner", owner))
            .query_async::<Value>(&mut connection)
            .await?;
        Ok(Self { redis, command })
    }

    /// How many a second, with 16 sent before each answer.
    async fn measure(&self, commits: u64, rooms: usize) -> Result<f64, BenchError> {
        let mut connection = self.redis.connect().await?;
        let outbox = outbox::key(0);
        // The first commit of each room makes it, which costs more: those are made before.
        self.run(20 * rooms as u64, rooms)?;
        // The position of its last message is kept beside it.
        let last = format!("{outbox}:last");
        let cleared = redis::cmd("DEL").arg((&outbox, last)).to_owned();
        cleared.query_async::<Value>(&mut connection).await?;
        let rate = self.run(commits, rooms)?;
        // Who names a request that one of the last of its room had is told that it is done; that is one in 100,000.
        let written = Outboxes::of(&self.redis, 1).await?.told().await?;
        if written < commits - commits / 1_000 {
            let why = format!("of {commits} commits by redis-benchmark only {written} were made");
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
        per_second(&text)
            .ok_or_else(|| BenchError::Unexpected(format!("redis-benchmark said: {text}")))
    }
}

/// What `redis-benchmark --csv` says: the title, which may have anything in it, then seven numbers, of which this is the
/// first.
fn per_second(csv: &str) -> Option<f64> {
    let line = csv.lines().rfind(|line| !line.is_empty())?;
    let number = line.rsplit("\",\"").nth(6)?;
    number.parse().ok()
}

/// The same commit, of this script, for any room and under any request's name.
fn any_room(mut sent: Vec<String>, sha: String, room: &str) -> Result<Vec<String>, BenchError> {
    let is_one = sent.len() > REQUEST + 10 && sent[0] == "EVALSHA" && sent[2] == ONE_ENTITY;
    // Keys name it in another way than texts do.
    let of_key = sent.get(KEYS + 7).and_then(|key| key.rsplit(':').next());
    let Some(of_key) = of_key.map(str::to_owned).filter(|_| is_one) else {
        let why = format!("this is no commit of one room: {sent:?}");
        return Err(BenchError::Unexpected(why));
    };
    for id in [room, &of_key] {
        let any = any_of(id)?;
        for word in &mut sent {
            *word = word.replace(id, &any);
        }
    }
    sent[1] = sha;
    // Nobody hands over there what the commits tell, and full it would not be written any more.
    sent[REQUEST + 9] = u32::MAX.to_string();
    sent[REQUEST] = format!("{NUMBER}{NUMBER}");
    Ok(sent)
}

/// An id with a number for its end.
fn any_of(id: &str) -> Result<String, BenchError> {
    let kept = id.len().checked_sub(NUMBER.len()).map(|kept| &id[..kept]);
    let kept = kept.ok_or_else(|| BenchError::Unexpected(format!("{id} is too short an id")))?;
    Ok(format!("{kept}{NUMBER}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_script_is_as_the_limit_needs_it() {
        assert_eq!(SCRIPT.matches(COMPARES.0).count(), 1);
    }

    #[test]
    fn the_rate_is_read_whatever_the_title_says() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\
                   \"evalsha 1 {\"a\",\"b\"}\",\"25000.50\",\"1.1\",\"0.1\",\"1.0\",\"2.0\",\"3.0\",\"4.0\"\n";
        assert_eq!(per_second(csv), Some(25_000.5));
        assert_eq!(per_second("no such command"), None);
    }

    #[test]
    fn a_commit_becomes_one_of_any_room() {
        let room = "bn000-room-6a0c2f5e-0000-4000-8000-0123456789ab";
        let of_key = "u2abcdefghijklmnopqrst";
        let mut sent: Vec<String> = ["EVALSHA", "old", "9"].map(str::to_owned).into();
        sent.extend((0..7).map(|n| format!("key:{n}")));
        sent.extend([format!("room:{of_key}"), format!("room:{of_key}:parts")]);
        sent.extend(["request", "1", "owner"].map(str::to_owned));
        sent.extend((3..20).map(|n| n.to_string()));
        sent.push(format!("of {room}"));
        let any = any_room(sent.clone(), "new".to_owned(), room).unwrap();
        assert_eq!(any[KEYS + 7], "room:u2abcdefgh__rand_int__");
        assert_eq!(any[KEYS + 8], "room:u2abcdefgh__rand_int__:parts");
        let text = "of bn000-room-6a0c2f5e-0000-4000-8000-__rand_int__";
        assert_eq!(any.last().map(String::as_str), Some(text));
        assert_eq!(any[1], "new");
        sent[2] = "11".to_owned();
        assert!(any_room(sent, "new".to_owned(), room).is_err());
    }
}
