//! A fleet that is full: a hundred nodes with ten thousand calls each, in rooms of ten.
//!
//! Owns the scenario. The rooms are made through the API; the calls stand on the simulated nodes at once, without an
//! event, so that the controller learns of them as it does after it has been away: from a snapshot. What is measured
//! afterwards is what it and Redis hold, what another snapshot takes that shows nothing new, and what a restart takes
//! that has to read all of it.
//!
//! What the simulated nodes themselves need to write their lists is told beside: a real node needs time for that, too,
//! and neither is the controller's.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use redis::aio::MultiplexedConnection;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use freeswitch_sim::SimNode;
use freeswitch_sim::core::InboundCall;
use roomkeeper::telemetry as names;

use super::process::Usage;
use super::report::{Figure, Row, Section};
use super::stages::Moment;
use super::world::{APP, Controller, DID, PASSWORD, Setup, World, node_id, until};
use super::{BenchError, Run};

/// The profile that the controller asks for by default.
const PROFILE: &str = "roomkeeper";

/// How many members a room has.
const MEMBERS: usize = 10;

/// Requests in flight while rooms are made.
const REQUESTS: usize = 64;

/// Nodes that are filled at a time: more would only wait for the same cores.
const FILLED_AT_ONCE: usize = 4;

/// How long all of one phase may take.
const PHASE: Duration = Duration::from_secs(900);

/// How often what is waited for is looked at, where looking costs something.
const LOOKS: Duration = Duration::from_millis(100);

/// How often a snapshot is repeated that shows nothing new.
const REPEATED: usize = 3;

/// # Errors
/// [`BenchError`] when the fleet cannot be started, or does not become what it is to be.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let nodes = run.nodes();
    let rooms = run.size(1_000, 20);
    let members = nodes * rooms * MEMBERS;
    run.says(format!("fleet: {nodes} nodes connect"));
    let mut world = World::start(
        run,
        Setup {
            // Snapshots are taken when they are asked for.
            resync_interval: Some(3_600),
            ..Setup::nodes(nodes)
        },
    )
    .await?;
    let mut redis = world.redis.connect().await?;
    let empty = used_memory(&mut redis).await?;
    let (first_fill, of_node) = fill(run, &world, rooms).await?;

    let mut section = Section::new(format!(
        "Fleet: {nodes} nodes, {} rooms, {members} members",
        nodes * rooms
    ));
    let usage = Usage::of(world.controller.pid()).map_err(BenchError::system("read /proc"))?;
    section.row(
        Row::new("memory of the controller", Figure::bytes(usage.resident))
            .up_to(Figure::bytes(1 << 30)),
    );
    section.row(Row::new(
        "at most, while it was filled",
        Figure::bytes(usage.peak),
    ));

    run.says("fleet: Redis is measured");
    let used = used_memory(&mut redis).await?.saturating_sub(empty);
    let outbox = outboxes(&mut redis, nodes).await?;
    let each = used.saturating_sub(outbox) / members as u64;
    section.row(
        Row::new("Redis, a member, outbox apart", Figure::bytes(each)).up_to(Figure::bytes(900)),
    );
    section.row(Row::new("outboxes", Figure::bytes(outbox)));
    section.note(kinds_of_keys(&mut redis, (rooms * MEMBERS) as u64).await?);

    section.row(Row::new(
        "snapshot of a node that is all new",
        Figure::time(first_fill),
    ));
    section.note(format!("The first: {of_node}"));
    let (steady, of_node) = steady(run, &world).await?;
    section.row(
        Row::new(
            "snapshot of a node that shows nothing new",
            Figure::time(steady),
        )
        .up_to(Figure::time(Duration::from_secs(1))),
    );
    section.note(format!("The others: {of_node}"));
    section.row(Row::new(
        "of it, the simulated node writes its lists",
        Figure::time(rendering(&world.nodes[0])),
    ));

    restarts(run, &mut world, members as u64, &mut section).await?;
    let own = Usage::own().map_err(BenchError::system("read /proc"))?;
    section.note(format!(
        "The harness, with all nodes in it, held {}.",
        Figure::bytes(own.peak)
    ));
    world.stop().await?;
    Ok(section)
}

/// Rooms through the API, then the members: the first node alone, the others a few at a time. What the first one took,
/// and its stages.
async fn fill(
    run: &Run<'_>,
    world: &World,
    rooms: usize,
) -> Result<(Duration, String), BenchError> {
    let controller = &world.controller;
    let nodes = world.nodes.len();
    run.bar.set_length((nodes * rooms) as u64);
    run.says("fleet: rooms are made");
    let made = futures_util::stream::iter(0..nodes * rooms)
        .map(|n| async move {
            let node = n % nodes;
            let body = json!({ "name": format!("room-{n}"), "node": node_id(node) });
            let answer = controller.ask(Method::POST, "/conferences", Some(&body));
            let (status, answer) = answer.await?;
            let room = answer["room_id"].as_str().map(str::to_owned);
            run.bar.inc(1);
            room.map(|room| (node, room))
                .ok_or_else(|| BenchError::Unexpected(format!("a room was refused: {status}")))
        })
        .buffer_unordered(REQUESTS);
    let mut of_node: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let made: Vec<(usize, String)> = made.try_collect().await?;
    for (node, room) in made {
        of_node.entry(node).or_default().push(room);
    }
    run.bar.set_position(0);
    run.bar.set_length(nodes as u64);
    let fill_one = |node: usize| {
        let rooms = of_node.get(&node).map_or(&[][..], Vec::as_slice);
        async move {
            place(node, &world.nodes[node], rooms);
            let taken = snapshot(controller, node).await?;
            until("every call is known", PHASE, async || {
                tokio::time::sleep(LOOKS).await;
                let calls = calls_of(controller, node).await?;
                Ok((calls == (rooms.len() * MEMBERS) as u64).then_some(()))
            })
            .await?;
            run.bar.inc(1);
            Ok::<_, BenchError>(taken)
        }
    };
    run.says("fleet: one node is filled, by a snapshot");
    let first = fill_one(0).await?;
    run.says("fleet: the others are filled");
    let others = futures_util::stream::iter(1..nodes).map(fill_one);
    others
        .buffer_unordered(FILLED_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(first)
}

/// The members of these rooms, in their conferences.
fn place(node: usize, sim: &SimNode, rooms: &[String]) {
    for (at, room) in rooms.iter().enumerate() {
        let calls = (0..MEMBERS).map(|n| InboundCall {
            did: DID.to_owned(),
            caller_name: format!("Caller {n}"),
            caller_number: format!("+8210{:08}", (node * rooms.len() + at) * MEMBERS + n),
            vars: vec![("roomkeeper_app".to_owned(), APP.to_owned())],
            ..InboundCall::default()
        });
        sim.with_core(|core, now| core.place_conference(room, PROFILE, calls, now));
    }
}

/// One snapshot of a node: how long it took, and its stages.
async fn snapshot(controller: &Controller, node: usize) -> Result<(Duration, String), BenchError> {
    let id = node_id(node);
    let before = controller.moment_of(&id).await?;
    let path = format!("/admin/nodes/{id}/resync");
    until("a snapshot is agreed to", PHASE, async || {
        let (status, _) = controller.operator(Method::POST, &path).await?;
        match status {
            202 => Ok(Some(())),
            // A machine that is busy for others keeps Redis from answering in time now and then.
            503 => Ok(None),
            _ => Err(BenchError::Unexpected(format!(
                "a snapshot of {id} was refused: {status}"
            ))),
        }
    })
    .await?;
    until("the snapshot is taken", PHASE, async || {
        // The page of metrics is long, and whoever writes it is the one that is measured.
        tokio::time::sleep(LOOKS).await;
        let after = controller.moment_of(&id).await?;
        let taken = after.mean(&before, names::RESYNC_SECONDS);
        Ok(taken.map(|(took, _)| (took, stages(&before, &after))))
    })
    .await
}

fn stages(before: &Moment, after: &Moment) -> String {
    let stages = [
        ("its parts", names::RESYNC_STAGE_SECONDS),
        ("batch applied", names::APPLY_SECONDS),
        ("commit", names::COMMIT_SECONDS),
    ];
    after.stages(before, &stages)
}

/// Snapshots of the first node that show nothing new: the shortest of them.
async fn steady(run: &Run<'_>, world: &World) -> Result<(Duration, String), BenchError> {
    let mut best: Option<(Duration, String)> = None;
    for n in 1..=REPEATED {
        run.says(format!("fleet: snapshot {n} of {REPEATED}"));
        let taken = snapshot(&world.controller, 0).await?;
        best = match best {
            Some(best) if best.0 <= taken.0 => Some(best),
            Some(_) | None => Some(taken),
        };
    }
    best.ok_or_else(|| BenchError::Unexpected("no snapshot was taken".to_owned()))
}

/// What a node needs to write the two lists of a snapshot, without anybody who reads them.
fn rendering(sim: &SimNode) -> Duration {
    sim.with_core(|core, now| {
        let conn = core.connect(now);
        core.handle_command(conn, &format!("auth {PASSWORD}"), now);
        let begun = std::time::Instant::now();
        for list in [
            "api show channels as delim \x1f",
            "api conference json_list compact",
        ] {
            core.handle_command(conn, list, now);
        }
        let written = core.poll_output(conn).len();
        let took = begun.elapsed();
        core.disconnect(conn);
        std::hint::black_box(written);
        took
    })
}

/// A restart by an operator, and one after a crash.
async fn restarts(
    run: &Run<'_>,
    world: &mut World,
    calls: u64,
    section: &mut Section,
) -> Result<(), BenchError> {
    run.says("fleet: restart after SIGTERM");
    let redis = world.redis.pid();
    let beside = || {
        let redis = Usage::of(redis).map_err(BenchError::system("read /proc"))?;
        let own = Usage::own().map_err(BenchError::system("read /proc"))?;
        Ok::<_, BenchError>((redis.cpu, own.cpu))
    };
    let before = beside()?;
    let then = run.moment()?;
    let begun = world.controller.stop_and_start_again().await?;
    let times = comes_back(&world.controller, begun, calls).await?;
    let after = beside()?;
    // All that came before takes minutes, and of all figures this is the one that a slow machine shows in.
    section.took_time(run.since(&then)?);
    section.row(
        Row::new(
            "restart after SIGTERM until ready",
            Figure::time(times.ready),
        )
        .up_to(Figure::time(Duration::from_secs(10))),
    );
    let usage = Usage::of(world.controller.pid()).map_err(BenchError::system("read /proc"))?;
    for (what, cpu) in [
        ("CPU of the controller for it", usage.cpu),
        ("CPU of Redis for it", after.0.saturating_sub(before.0)),
        (
            "CPU of the simulated nodes for it",
            after.1.saturating_sub(before.1),
        ),
    ] {
        section.row(Row::new(what, Figure::time(cpu)));
    }
    section.row(
        Row::new("memory after it", Figure::bytes(usage.resident)).up_to(Figure::bytes(1 << 30)),
    );
    section.row(Row::new(
        "at most, while it started",
        Figure::bytes(usage.peak),
    ));

    run.says("fleet: restart after SIGKILL");
    let begun = Instant::now();
    world.controller.kill_and_start_again()?;
    let times = comes_back(&world.controller, begun, calls).await?;
    section.row(Row::new(
        "restart after SIGKILL until every node is synced",
        Figure::time(times.synced),
    ));
    section.note(
        "Ready is when /readyz says so: every node is this replica's, all that is stored of it has been read, and a snapshot of it has been merged. After a crash the leases are left, for 10 s at most: until then /readyz takes the nodes for another replica's, so it is waited for the last of them.",
    );
    Ok(())
}

struct Times {
    ready: Duration,
    synced: Duration,
}

async fn comes_back(
    controller: &Controller,
    begun: Instant,
    calls: u64,
) -> Result<Times, BenchError> {
    controller.until_ready().await?;
    let ready = begun.elapsed();
    until(
        "every node is this replica's, and synced",
        PHASE,
        async || {
            let (_, body) = controller.operator(Method::GET, "/admin/nodes").await?;
            let all = body["nodes"].as_array().is_some_and(|nodes| {
                let ours = |n: &Value| n["synced"] == true && n["owned_elsewhere"] == false;
                nodes.iter().all(ours)
            });
            Ok(all.then_some(()))
        },
    )
    .await?;
    let synced = begun.elapsed();
    let known: u64 = nodes_calls(controller).await?.values().sum();
    if known != calls {
        let why = format!("after a restart {known} of {calls} calls are known");
        return Err(BenchError::Unexpected(why));
    }
    Ok(Times { ready, synced })
}

async fn calls_of(controller: &Controller, node: usize) -> Result<u64, BenchError> {
    let calls = nodes_calls(controller).await?;
    Ok(calls.get(&node_id(node)).copied().unwrap_or(0))
}

async fn nodes_calls(controller: &Controller) -> Result<BTreeMap<String, u64>, BenchError> {
    let (_, body) = controller.operator(Method::GET, "/admin/nodes").await?;
    let nodes = body["nodes"].as_array().into_iter().flatten();
    let calls = nodes.filter_map(|node| {
        let id = node["id"].as_str()?.to_owned();
        Some((id, node["calls"].as_u64()?))
    });
    Ok(calls.collect())
}

async fn used_memory(redis: &mut MultiplexedConnection) -> Result<u64, BenchError> {
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("memory").query_async(redis).await?;
    info.lines()
        .find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
        .ok_or_else(|| BenchError::Unexpected("Redis does not tell its memory".to_owned()))
}

/// All of what the outboxes of these nodes hold: exactly, not by samples.
async fn outboxes(redis: &mut MultiplexedConnection, nodes: usize) -> Result<u64, BenchError> {
    let mut sum = 0;
    for node in 0..nodes {
        let mut command = redis::cmd("MEMORY");
        command
            .arg("USAGE")
            .arg(format!("rk1:{{{}}}:outbox", node_id(node)));
        let bytes: Option<u64> = command.arg("SAMPLES").arg(0).query_async(redis).await?;
        sum += bytes.unwrap_or(0);
    }
    Ok(sum)
}

/// What each kind of key of the first node holds, by member, as a sentence.
async fn kinds_of_keys(
    redis: &mut MultiplexedConnection,
    members: u64,
) -> Result<String, BenchError> {
    let prefix = format!("rk1:{{{}}}:", node_id(0));
    let mut kinds: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let mut cursor = 0_u64;
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(format!("{prefix}*"))
            .arg("COUNT")
            .arg(10_000);
        let (next, keys): (u64, Vec<String>) = scan.query_async(redis).await?;
        if !keys.is_empty() {
            let mut pipe = redis::pipe();
            for key in &keys {
                pipe.cmd("MEMORY")
                    .arg("USAGE")
                    .arg(key)
                    .arg("SAMPLES")
                    .arg(0);
            }
            let sizes: Vec<Option<u64>> = pipe.query_async(redis).await?;
            for (key, size) in keys.iter().zip(sizes) {
                let kind = kinds.entry(kind_of(key, &prefix)).or_default();
                *kind = (kind.0 + 1, kind.1 + size.unwrap_or(0));
            }
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    kinds.remove("outbox");
    let told: Vec<String> = kinds
        .iter()
        .filter(|(_, (_, bytes))| bytes / members > 0)
        .map(|(kind, (count, bytes))| format!("{kind} {} B ({count} keys)", bytes / members))
        .collect();
    Ok(format!(
        "Bytes a member by kind of key, as MEMORY USAGE has it: {}.",
        told.join(", ")
    ))
}

/// A key without what tells one from another of its kind: ids, names, numbers.
fn kind_of(key: &str, prefix: &str) -> String {
    let rest = key.strip_prefix(prefix).unwrap_or(key);
    let words = rest.split(':').map(|word| {
        let is_id = word.len() > 16 || word.parse::<u64>().is_ok();
        if is_id { "…" } else { word }
    });
    words.collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_one_kind_are_told_as_one() {
        let kind = |key: &str| kind_of(key, "rk1:{bn000}:");
        let id = "550e8400-e29b-41d4-a716-446655440000";
        assert_eq!(
            kind(&format!("rk1:{{bn000}}:parts:bn000-room-{id}")),
            "parts:…"
        );
        assert_eq!(
            kind("rk1:{bn000}:views:calls:app:bench"),
            "views:calls:app:bench"
        );
        assert_eq!(
            kind(&format!("rk1:{{bn000}}:views:calls:room:{id}")),
            "views:calls:room:…"
        );
    }
}
