//! A full fleet: a hundred nodes with ten thousand calls each, in rooms of ten.
//!
//! Owns the scenario. The rooms are created through the API. The calls appear on the simulated nodes at once, without an
//! event, so the controller learns of them from a snapshot, as after an outage. Then it measures the memory of the controller
//! and of Redis, a snapshot without differences, and a restart that reads everything.
//!
//! The report states separately how long the simulated nodes need to write their lists: a real node needs time for that,
//! too, and it is not the controller's.

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
use super::stages::Metrics;
use super::world::{APP, Controller, DID, PASSWORD, Setup, World, node_id, until};
use super::{BenchError, Run};

/// The profile that the controller requests by default.
const PROFILE: &str = "roomkeeper";

/// Members of each room.
const MEMBERS: usize = 10;

/// Requests in flight while rooms are created.
const REQUESTS: usize = 64;

/// Nodes that are filled at a time: more would only wait for the same cores.
const CONCURRENT_FILLS: usize = 4;

/// Time limit of one phase.
const PHASE_TIMEOUT: Duration = Duration::from_secs(900);

/// Poll interval where a poll is expensive.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How often the snapshot without differences is repeated.
const REPETITIONS: usize = 3;

/// # Errors
/// [`BenchError`] when the fleet does not start, or does not reach the expected state.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    let nodes = run.nodes();
    let rooms = run.size(1_000, 20);
    let members = nodes * rooms * MEMBERS;
    run.show_progress(format!("fleet: {nodes} nodes connect"));
    let mut world = World::start(
        run,
        Setup {
            // Long enough that only requested snapshots are taken.
            resync_interval: Some(3_600),
            ..Setup::nodes(nodes)
        },
    )
    .await?;
    let mut redis = world.redis.connect().await?;
    let empty = used_memory(&mut redis).await?;
    let (first_fill, stages) = fill(run, &world, rooms).await?;

    let mut section = Section::new(format!(
        "Fleet: {nodes} nodes, {} rooms, {members} members",
        nodes * rooms
    ));
    let usage =
        Usage::for_process(world.controller.pid()).map_err(BenchError::system("read /proc"))?;
    section.row(
        Row::new("memory of the controller", Figure::bytes(usage.resident))
            .up_to(Figure::bytes(1 << 30)),
    );
    section.row(Row::new(
        "peak memory while filling",
        Figure::bytes(usage.peak),
    ));

    run.show_progress("fleet: measuring Redis");
    let used = used_memory(&mut redis).await?.saturating_sub(empty);
    let outbox = outbox_memory(&mut redis, nodes).await?;
    let each = used.saturating_sub(outbox) / members as u64;
    section.row(
        Row::new("Redis per member, without outbox", Figure::bytes(each)).up_to(Figure::bytes(900)),
    );
    section.row(Row::new("outboxes", Figure::bytes(outbox)));
    section.note(describe_key_kinds(&mut redis, (rooms * MEMBERS) as u64).await?);

    section.row(Row::new(
        "snapshot of a node, everything new",
        Figure::time(first_fill),
    ));
    section.note(format!("First snapshot: {stages}"));
    let (shortest_snapshot, stages) = shortest_snapshot(run, &world).await?;
    section.row(
        Row::new(
            "snapshot of a node, nothing new",
            Figure::time(shortest_snapshot),
        )
        .up_to(Figure::time(Duration::from_secs(1))),
    );
    section.note(format!("Later snapshots: {stages}"));
    section.row(Row::new(
        "its part: the simulated node writes its lists",
        Figure::time(measure_list_rendering(&world.nodes[0])),
    ));

    measure_restarts(run, &mut world, members as u64, &mut section).await?;
    let own = Usage::for_this_process().map_err(BenchError::system("read /proc"))?;
    section.note(format!(
        "Peak memory of the harness, which contains all nodes: {}.",
        Figure::bytes(own.peak)
    ));
    world.stop().await?;
    Ok(section)
}

/// Creates rooms through the API, then members: first on one node, then on several at a time. Returns the duration and the
/// stages of the first node's snapshot.
async fn fill(
    run: &Run<'_>,
    world: &World,
    rooms: usize,
) -> Result<(Duration, String), BenchError> {
    let controller = &world.controller;
    let nodes = world.nodes.len();
    run.bar.set_length((nodes * rooms) as u64);
    run.show_progress("fleet: creating rooms");
    let created = futures_util::stream::iter(0..nodes * rooms)
        .map(|n| async move {
            let node = n % nodes;
            let body = json!({ "name": format!("room-{n}"), "node": node_id(node) });
            let answer = controller.request(Method::POST, "/conferences", Some(&body));
            let (status, answer) = answer.await?;
            let room = answer["room_id"].as_str().map(str::to_owned);
            run.bar.inc(1);
            room.map(|room| (node, room)).ok_or_else(|| {
                BenchError::Unexpected(format!("creating a room was refused: {status}"))
            })
        })
        .buffer_unordered(REQUESTS);
    let mut by_node: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    let created: Vec<(usize, String)> = created.try_collect().await?;
    for (node, room) in created {
        by_node.entry(node).or_default().push(room);
    }
    run.bar.set_position(0);
    run.bar.set_length(nodes as u64);
    let fill_one = |node: usize| {
        let rooms = by_node.get(&node).map_or(&[][..], Vec::as_slice);
        async move {
            place_members(node, &world.nodes[node], rooms);
            let taken = take_snapshot(controller, node).await?;
            until(
                "the controller knows every call",
                PHASE_TIMEOUT,
                async || {
                    tokio::time::sleep(POLL_INTERVAL).await;
                    let calls = call_count(controller, node).await?;
                    Ok((calls == (rooms.len() * MEMBERS) as u64).then_some(()))
                },
            )
            .await?;
            run.bar.inc(1);
            Ok::<_, BenchError>(taken)
        }
    };
    run.show_progress("fleet: filling one node, by a snapshot");
    let first = fill_one(0).await?;
    run.show_progress("fleet: filling the others");
    let others = futures_util::stream::iter(1..nodes).map(fill_one);
    others
        .buffer_unordered(CONCURRENT_FILLS)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(first)
}

/// Places the members of these rooms in their conferences on the node.
fn place_members(node: usize, sim: &SimNode, rooms: &[String]) {
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

/// Takes a snapshot of a node. Returns its duration and its stages.
async fn take_snapshot(
    controller: &Controller,
    node: usize,
) -> Result<(Duration, String), BenchError> {
    let id = node_id(node);
    let before = controller.metrics_for_node(&id).await?;
    let path = format!("/admin/nodes/{id}/resync");
    until("a snapshot is accepted", PHASE_TIMEOUT, async || {
        let (status, _) = controller.admin_request(Method::POST, &path).await?;
        match status {
            202 => Ok(Some(())),
            // On a shared machine Redis does not always answer in time.
            503 => Ok(None),
            _ => Err(BenchError::Unexpected(format!(
                "a snapshot of {id} was refused: {status}"
            ))),
        }
    })
    .await?;
    until("the snapshot is taken", PHASE_TIMEOUT, async || {
        // The metrics page is long, and writing it loads the controller, which is being measured.
        tokio::time::sleep(POLL_INTERVAL).await;
        let after = controller.metrics_for_node(&id).await?;
        let taken = after.mean(&before, names::RESYNC_SECONDS);
        Ok(taken.map(|(took, _)| (took, describe_stages(&before, &after))))
    })
    .await
}

fn describe_stages(before: &Metrics, after: &Metrics) -> String {
    let stages = [
        ("its parts", names::RESYNC_STAGE_SECONDS),
        ("batch applied", names::APPLY_SECONDS),
        ("commit", names::COMMIT_SECONDS),
    ];
    after.stages(before, &stages)
}

/// Takes snapshots of the first node without differences. Returns the shortest.
async fn shortest_snapshot(run: &Run<'_>, world: &World) -> Result<(Duration, String), BenchError> {
    let mut best: Option<(Duration, String)> = None;
    for n in 1..=REPETITIONS {
        run.show_progress(format!("fleet: snapshot {n} of {REPETITIONS}"));
        let taken = take_snapshot(&world.controller, 0).await?;
        best = match best {
            Some(best) if best.0 <= taken.0 => Some(best),
            Some(_) | None => Some(taken),
        };
    }
    best.ok_or_else(|| BenchError::Unexpected("no snapshot was taken".to_owned()))
}

/// Measures how long a node needs to write the two lists of a snapshot, without a reader.
fn measure_list_rendering(sim: &SimNode) -> Duration {
    sim.with_core(|core, now| {
        let conn = core.connect(now);
        core.handle_command(conn, &format!("auth {PASSWORD}"), now);
        let start = std::time::Instant::now();
        for list in [
            "api show channels as delim \x1f",
            "api conference json_list compact",
        ] {
            core.handle_command(conn, list, now);
        }
        let written = core.poll_output(conn).len();
        let took = start.elapsed();
        core.disconnect(conn);
        std::hint::black_box(written);
        took
    })
}

/// Measures a restart by an operator and one after a crash.
async fn measure_restarts(
    run: &Run<'_>,
    world: &mut World,
    calls: u64,
    section: &mut Section,
) -> Result<(), BenchError> {
    run.show_progress("fleet: restart after SIGTERM");
    let redis = world.redis.pid();
    let cpu_of_others = || {
        let redis = Usage::for_process(redis).map_err(BenchError::system("read /proc"))?;
        let own = Usage::for_this_process().map_err(BenchError::system("read /proc"))?;
        Ok::<_, BenchError>((redis.cpu, own.cpu))
    };
    let before = cpu_of_others()?;
    let then = run.read_machine()?;
    let start = world.controller.restart().await?;
    let times = wait_for_restart(&world.controller, start, calls).await?;
    let after = cpu_of_others()?;
    // The phases before take minutes; the restart is the figure that a slow machine distorts.
    section.set_speed(run.since(&then)?);
    section.row(
        Row::new(
            "restart after SIGTERM until ready",
            Figure::time(times.ready),
        )
        .up_to(Figure::time(Duration::from_secs(10))),
    );
    let usage =
        Usage::for_process(world.controller.pid()).map_err(BenchError::system("read /proc"))?;
    for (label, cpu) in [
        ("CPU of the controller, restart", usage.cpu),
        ("CPU of Redis, restart", after.0.saturating_sub(before.0)),
        (
            "CPU of the simulated nodes, restart",
            after.1.saturating_sub(before.1),
        ),
    ] {
        section.row(Row::new(label, Figure::time(cpu)));
    }
    section.row(
        Row::new("memory after the restart", Figure::bytes(usage.resident))
            .up_to(Figure::bytes(1 << 30)),
    );
    section.row(Row::new(
        "peak memory while starting",
        Figure::bytes(usage.peak),
    ));

    run.show_progress("fleet: restart after SIGKILL");
    let start = Instant::now();
    world.controller.kill_and_restart()?;
    let times = wait_for_restart(&world.controller, start, calls).await?;
    section.row(Row::new(
        "restart after SIGKILL until every node is synced",
        Figure::time(times.synced),
    ));
    section.note(
        "Ready means that /readyz reports it: this replica owns every node, has read its stored state and has merged a snapshot of it. After a crash the old leases are valid for at most 10 s, and /readyz attributes the nodes to another replica until then, so this row waits for the last node.",
    );
    Ok(())
}

struct Times {
    ready: Duration,
    synced: Duration,
}

async fn wait_for_restart(
    controller: &Controller,
    start: Instant,
    calls: u64,
) -> Result<Times, BenchError> {
    controller.until_ready().await?;
    let ready = start.elapsed();
    until(
        "this replica owns and has synced every node",
        PHASE_TIMEOUT,
        async || {
            let (_, body) = controller
                .admin_request(Method::GET, "/admin/nodes")
                .await?;
            let all = body["nodes"].as_array().is_some_and(|nodes| {
                let is_ready = |n: &Value| n["synced"] == true && n["owned_elsewhere"] == false;
                nodes.iter().all(is_ready)
            });
            Ok(all.then_some(()))
        },
    )
    .await?;
    let synced = start.elapsed();
    let known: u64 = call_counts(controller).await?.values().sum();
    if known != calls {
        let why = format!("the controller knows {known} of {calls} calls after a restart");
        return Err(BenchError::Unexpected(why));
    }
    Ok(Times { ready, synced })
}

async fn call_count(controller: &Controller, node: usize) -> Result<u64, BenchError> {
    let calls = call_counts(controller).await?;
    Ok(calls.get(&node_id(node)).copied().unwrap_or(0))
}

async fn call_counts(controller: &Controller) -> Result<BTreeMap<String, u64>, BenchError> {
    let (_, body) = controller
        .admin_request(Method::GET, "/admin/nodes")
        .await?;
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
        .ok_or_else(|| BenchError::Unexpected("INFO memory has no used_memory".to_owned()))
}

/// Returns the memory of the outboxes of these nodes: exact, without sampling.
async fn outbox_memory(redis: &mut MultiplexedConnection, nodes: usize) -> Result<u64, BenchError> {
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

/// Describes the bytes per member for each kind of key of the first node.
async fn describe_key_kinds(
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
    let described: Vec<String> = kinds
        .iter()
        .filter(|(_, (_, bytes))| bytes / members > 0)
        .map(|(kind, (count, bytes))| format!("{kind} {} B ({count} keys)", bytes / members))
        .collect();
    Ok(format!(
        "Bytes per member by kind of key (MEMORY USAGE): {}.",
        described.join(", ")
    ))
}

/// Returns a key with its ids, names and numbers replaced.
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
    fn keys_of_one_kind_have_one_name() {
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
