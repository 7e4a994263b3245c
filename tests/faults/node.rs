//! Faults of the node: it dies, hangs, blocks or floods.

use std::time::{Duration, Instant};

use freeswitch_sim::core::Core;
use freeswitch_sim::{SimConfig, SimNode};
use serde_json::json;

use crate::program::poll;
use crate::program::switch::{DID, Switch};
use crate::program::world::{PASSWORD, Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage, until_consistent};
use crate::server::ServerProcess;
use crate::support::process;

rows![
    3 node_killed_and_restarted(real),
    4 node_stopped(real),
    8 room_recreated_under_same_name(real),
    9 command_blocks(real),
    10 event_storm,
];

async fn core(scene: &Scene) -> String {
    match &scene.world.switch {
        Switch::Sim(sim) => sim.snapshot().core_uuid,
        Switch::Real { .. } => scene.world.fs("eval ${core_uuid}").await,
    }
}

async fn node_killed_and_restarted(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let world = &scene.world;
    let before = core(&scene).await;
    match &world.switch {
        Switch::Sim(sim) => {
            sim.restart().await.unwrap();
            assert_eq!(sim.faults().restarts, 1);
        }
        Switch::Real { .. } => {
            let mut server = ServerProcess::for_world(world).await;
            server.kill().await;
            server.restart(world).await;
        }
    }
    let start = Instant::now();
    assert_ne!(core(&scene).await, before, "the core UUID changes");
    for n in 1..=2 {
        let left = world
            .receiver
            .nth(&scene.room, "conference.member.left", n)
            .await;
        assert_eq!(left.body["data"]["reason"], "orphan", "{}", left.body);
    }
    for call in [&scene.call, &scene.other, &scene.parked] {
        world.receiver.first(call, "call.hangup").await;
        let answer = world.controller.get(&format!("/sessions/{call}")).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    let recovery = start.elapsed();
    let answer = world
        .controller
        .get(&format!("/conferences/{}", scene.room))
        .await;
    assert_eq!(answer.status, 200, "the room still exists: {}", answer.body);
    assert_eq!(answer.body["members"], 0);

    // The room is still usable.
    world.controller.until_synced().await;
    let call = world.call("1004").await;
    world.join(&call, &scene.room).await;
    let names: Vec<_> = world.receiver.delivered(&scene.room);
    let names: Vec<&str> = names.iter().map(|webhook| webhook.event()).collect();
    let (joined, left) = ("conference.member.joined", "conference.member.left");
    assert_eq!(
        names,
        ["conference.created", joined, joined, left, left, joined],
        "one `left` for each member, and nothing else"
    );
    scene
        .report_without_commands(
            "restarts: 1, another Core-UUID",
            "one `left` (orphan) per member, one `hangup` per call, the room still exists; I1 I3 I4",
            Some(recovery),
        )
        .await
}

/// A stopped node.
enum StoppedNode<'a> {
    Sim(&'a Switch),
    Real(ServerProcess),
}

impl StoppedNode<'_> {
    async fn resume(&self) {
        match self {
            Self::Sim(switch) => switch.sim().stall(false),
            Self::Real(server) => server.resume().await,
        }
    }
}

async fn node_stopped(stage: &Stage) -> Report {
    let other = Switch::simulated(PASSWORD).await;
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.command_timeout = stage.pick(1, 5);
    setup.more_nodes = vec![("other".to_owned(), other.address())];
    let scene = stage.scene(setup).await;
    let world = &scene.world;
    let (controller, receiver) = (&world.controller, &world.receiver);
    let room = controller
        .ask(
            "POST",
            "/conferences",
            Some(&json!({ "name": "beside", "node": "other" })),
        )
        .await;
    assert_eq!(room.status, 201, "{}", room.body);
    let other_room = room.body["room_id"].as_str().unwrap().to_owned();

    let stopped = match &world.switch {
        switch @ Switch::Sim(sim) => {
            sim.stall(true);
            StoppedNode::Sim(switch)
        }
        Switch::Real { .. } => {
            let server = ServerProcess::for_world(world).await;
            server.pause().await;
            StoppedNode::Real(server)
        }
    };
    let start = Instant::now();
    let span = Duration::from_secs(stage.pick(3, 60));
    let unmute = format!("/sessions/{}/commands/conference/unmute", scene.call);
    let bound = Duration::from_secs(stage.pick(1, 5)) + Duration::from_secs(1);
    let (mut commands, mut slowest, mut slowest_other) = (0, Duration::ZERO, Duration::ZERO);
    let mut calls = 0;
    while start.elapsed() < span {
        let answer = controller
            .once("POST", &unmute, Some(&json!({})))
            .await
            .unwrap();
        // 409: the command was sent before, and its result is not known yet.
        assert!(
            matches!(answer.status, 409 | 503 | 504),
            "{} {}",
            answer.status,
            answer.body
        );
        assert_eq!(answer.body["success"], false);
        if answer.status == 503 {
            assert!(answer.retry_after.is_some_and(|s| s >= 1));
        }
        commands += 1;
        slowest = slowest.max(answer.took);
        // A read does not wait for the node.
        let read = controller
            .once("GET", &format!("/conferences/{}", scene.room), None)
            .await;
        let read = read.unwrap();
        assert_eq!(read.status, 200);
        assert!(read.took < Duration::from_secs(1), "{:?}", read.took);
        // The other node: a call arrives, joins, and webhooks report it.
        let at = Instant::now();
        calls += 1;
        let call = format!(
            "other-{}",
            other.sim().call_in(DID, &format!("2{calls:03}"), &[])
        );
        receiver.first(&call, "call.new").await;
        world.join(&call, &other_room).await;
        slowest_other = slowest_other.max(at.elapsed());
    }
    assert!(slowest < stage.within(bound), "a command took {slowest:?}");
    assert!(
        slowest_other < stage.within(Duration::from_secs(1)),
        "a call of the other node took {slowest_other:?}"
    );
    stopped.resume().await;
    let start = Instant::now();
    if let Switch::Sim(sim) = &world.switch {
        assert!(sim.faults().stalled > 0, "the node did not hang");
    }
    controller.until_synced().await;
    poll::until("the node is connected again", poll::TIMEOUT, async || {
        let nodes = controller.operator("/admin/nodes").await?.body;
        (nodes["nodes"][0]["link"] == "up").then_some(())
    })
    .await;
    // FreeSWITCH carries out the delayed command, and a webhook reports it.
    receiver
        .first(&scene.room, "conference.member.unmuted")
        .await;
    let recovery = start.elapsed();
    assert_eq!(scene.count("conference.member.left"), 0, "no member left");
    scene
        .report(
            format!("stopped for {span:?}, {commands} commands meanwhile"),
            format!(
                "each answered within {slowest:.1?}, calls of another node joined within {slowest_other:.1?}; I1 I3"
            ),
            Some(recovery),
        )
        .await
}

async fn room_recreated_under_same_name(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Redis)).await;
    let world = &scene.world;
    let times = stage.pick(2, 10);
    let start = Instant::now();

    // FreeSWITCH ends a conference with its last member and creates another one of the same name for the next member.
    let mut members = vec![scene.call.clone(), scene.other.clone()];
    for n in 0..times {
        let old = conference_uuid(&scene).await;
        let channels: Vec<String> = members
            .iter()
            .map(|call| format!("Unique-ID: {}\n", world.channel(call)))
            .collect();
        let about_old = format!("Conference-Unique-ID: {old}\n");
        let held = scene.proxy.hold_events(move |event| {
            event.contains(&about_old) || channels.iter().any(|id| event.contains(id))
        });
        for call in &members {
            scene.hang_up(call).await;
        }
        poll::until("the old conference has ended", poll::TIMEOUT, async || {
            world
                .switch
                .members(PASSWORD, &scene.room)
                .await
                .is_none()
                .then_some(())
        })
        .await;
        held.until_held("Action: conference-destroy\n").await;
        let new = world.call(&format!("4{n:03}")).await;
        // All webhooks about the new conference precede the old one's end.
        world.join(&new, &scene.room).await;
        assert_ne!(
            conference_uuid(&scene).await,
            old,
            "the conference is a new one"
        );
        held.release();
        for call in &members {
            world.receiver.first(call, "call.hangup").await;
        }
        assert_eq!(
            world.call_state(&new).await,
            ("in_room".to_owned(), Some(scene.room.clone()))
        );
        members = vec![new];
    }

    // The same for a room that is deleted and created again under its name.
    let mut room = scene.room.clone();
    for n in 0..times {
        let new = world.call(&format!("5{n:03}")).await;
        let about_old = format!("Conference-Name: {room}\n");
        let held = scene
            .proxy
            .hold_events(move |event| event.contains(&about_old));
        let answer = world
            .controller
            .ask("DELETE", &format!("/conferences/{room}"), None)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let recreated = poll::until("the name is free", poll::TIMEOUT, async || {
            let body = json!({ "name": "faults", "node": world.node });
            let answer = world
                .controller
                .once("POST", "/conferences", Some(&body))
                .await
                .ok()?;
            (answer.status == 201).then(|| answer.body["room_id"].as_str().unwrap().to_owned())
        })
        .await;
        assert_ne!(recreated, room);
        world.join(&new, &recreated).await;
        held.release();
        world.receiver.first(&room, "conference.destroyed").await;
        assert_eq!(
            world.call_state(&new).await,
            ("in_room".to_owned(), Some(recreated.clone()))
        );
        let events = world.receiver.delivered(&recreated);
        let events: Vec<&str> = events.iter().map(|webhook| webhook.event()).collect();
        assert_eq!(events, ["conference.created", "conference.member.joined"]);
        room = recreated;
    }
    scene
        .report_without_commands(
            format!("late conference ends: {times}, rooms deleted and recreated: {times}"),
            "the old one's end does not affect the new one; I1 I3 I4",
            Some(start.elapsed() / (2 * times)),
        )
        .await
}

async fn conference_uuid(scene: &Scene) -> String {
    let text = scene.world.fs("conference json_list").await;
    let list: serde_json::Value = serde_json::from_str(&text).unwrap();
    let rooms = list.as_array().unwrap();
    let room = rooms.iter().find(|c| c["conference_name"] == *scene.room);
    room.unwrap()["conference_uuid"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn command_blocks(stage: &Stage) -> Report {
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.command_timeout = stage.pick(1, 5);
    let scene = stage.scene(setup).await;
    let controller = &scene.world.controller;
    let times = stage.pick(10, 100);
    let unblocked = percentile_95(latency(&scene, times).await);

    let span = Duration::from_secs(stage.pick(8, 30));
    scene
        .proxy
        .replace_command(&format!("msleep {}", span.as_millis()));
    let start = Instant::now();
    let mute = format!("/sessions/{}/commands/conference/mute", scene.other);
    let unmute = format!("/sessions/{}/commands/conference/unmute", scene.other);
    let command = async {
        let answer = controller
            .once("POST", &unmute, Some(&json!({})))
            .await
            .unwrap();
        assert_eq!(answer.status, 504, "{}", answer.body);
        answer.took
    };
    let (took, mut blocked) = tokio::join!(command, latency(&scene, times));
    assert!(
        scene.proxy.has_replaced(),
        "no command was replaced by a blocking one"
    );
    assert!(
        took < stage.within(Duration::from_secs(stage.pick(2, 6))),
        "{took:?}"
    );
    while start.elapsed() < span {
        blocked.extend(latency(&scene, times).await);
    }
    let events = blocked.len();
    let slowest = *blocked.iter().max().unwrap();
    let blocked = percentile_95(blocked);
    let bound = (unblocked * 2).max(Duration::from_millis(stage.pick(1_000, 250)));
    assert!(
        blocked < bound,
        "{unblocked:?} before, {blocked:?} during the blocking command"
    );
    // An event that waits for the command takes about as long as the command blocks. A busy machine alone is faster.
    let limit = stage.pick(span / 2, Duration::from_millis(1_500));
    assert!(slowest < limit, "an event took {slowest:?}");
    let recovery = Instant::now();
    poll::until("commands succeed again", poll::TIMEOUT, async || {
        let answer = controller
            .once("POST", &unmute, Some(&json!({})))
            .await
            .unwrap();
        let muted = controller
            .once("POST", &mute, Some(&json!({})))
            .await
            .unwrap();
        (answer.status == 202 || muted.status == 202).then_some(())
    })
    .await;
    let recovery = recovery.elapsed();
    scene
        .report(
            format!("a command blocks for {span:?}, {events} events meanwhile"),
            format!("95 % of events within {unblocked:.0?} before, {blocked:.0?} meanwhile; I1 I6"),
            Some(recovery),
        )
        .await
}

/// Measures the time of N changes from FreeSWITCH to the webhook receiver.
async fn latency(scene: &Scene, times: u32) -> Vec<Duration> {
    let mut took = Vec::new();
    for _ in 0..times {
        for (command, event) in [
            ("unmute", "conference.member.unmuted"),
            ("mute", "conference.member.muted"),
        ] {
            took.push(
                scene
                    .time_until(event, async || scene.change_member(command).await)
                    .await,
            );
        }
    }
    took
}

/// The 95th percentile. Slower ones are attributed to the machine.
fn percentile_95(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[took.len() * 19 / 20]
}

async fn event_storm(stage: &Stage) -> Report {
    const MIB: u64 = 1 << 10;
    const BACKLOG: usize = 5_000;
    let storm: u64 = stage.pick(20_000, 200_000);
    let mut config = SimConfig::default();
    PASSWORD.clone_into(&mut config.node.password);
    // The node must not drop any event.
    config.node.max_queued_events = 1_000_000;
    let switch = Switch::Sim(SimNode::start(config).await.unwrap());
    let mut setup = Setup::with_short_timeouts(Store::Redis);
    setup.node_address = Some(switch.address());
    // A storm occupies the whole machine and delays the renewal of a short lease.
    setup.lease_ttl = 10;
    let scene = stage.scene_on(switch, setup).await;
    let world = &scene.world;
    let (controller, sim) = (&world.controller, world.switch.sim());
    let id = world.member_id(&scene.room, &scene.channel).await;
    let resident = process::resident(controller.pid());
    let events = "roomkeeper_esl_events_total";
    let before = controller.metric(events, "").await;

    let start = Instant::now();
    let listeners = sim.with_core(|core, _| core.listeners());
    let conn = sim.with_core(|core, now| {
        let conn = core.connect(now);
        core.handle_command(conn, &format!("auth {PASSWORD}"), now);
        conn
    });
    let (mut made, mut most, mut longest_stall) = (0, resident, Duration::ZERO);
    let (mut read, mut at) = (before, Instant::now());
    poll::until(
        "the controller has read the storm",
        poll::REDELIVERY * 4,
        async || {
            let requested = Instant::now();
            let now = controller.metric(events, "").await;
            if now > read {
                (read, at) = (now, Instant::now());
            } else {
                // Measured between two equal answers, without the time of the request itself.
                longest_stall = longest_stall.max(requested.saturating_duration_since(at));
            }
            most = most.max(process::resident(controller.pid()));
            let remaining: usize = sim.with_core(|core, now| {
                let queued = |core: &Core| listeners.iter().map(|c| core.queued_events(*c)).sum();
                let waiting: usize = queued(core);
                // Enough events wait until the next poll, so the test's memory stays bounded.
                if waiting >= BACKLOG || made >= storm {
                    return waiting;
                }
                for n in made..made + BACKLOG as u64 {
                    // Two in a hundred change the member's flag; the others only set its energy.
                    let what = match n % 100 {
                        0 => format!("mute {id} quiet"),
                        50 => format!("unmute {id} quiet"),
                        level => format!("energy {id} {level}"),
                    };
                    core.handle_command(
                        conn,
                        &format!("api conference {} {what}", scene.room),
                        now,
                    );
                    core.poll_output(conn);
                }
                made += (queued(core) - waiting) as u64;
                queued(core)
            });
            (remaining == 0 && made >= storm).then_some(())
        },
    )
    .await;
    let storm_read = start.elapsed();
    // Wait until the queued events are applied, because all views may agree in between as well.
    poll::until(
        "all read events are applied",
        poll::REDELIVERY * 4,
        async || {
            let depth = controller.metric("roomkeeper_esl_queue_depth", "").await;
            (depth < 1.0).then_some(())
        },
    )
    .await;
    until_consistent(world).await;
    let recovery = start.elapsed();
    let dropped = controller
        .metric("roomkeeper_esl_events_dropped_total", "")
        .await as u64;
    let lag = controller
        .metric("roomkeeper_esl_lag_seconds_count", "")
        .await;
    assert!(lag > 0.0, "the lag is measured");
    let limit = stage.pick(Duration::from_secs(3), Duration::from_secs(1));
    assert!(
        longest_stall < limit,
        "the reader stalled for {longest_stall:?}"
    );
    let grown = most.saturating_sub(resident) / MIB;
    assert!(grown < 128, "{grown} MiB grown");
    scene
        .report(
            format!("events in one burst: {made}"),
            format!(
                "read in {storm_read:.1?}, longest stall {longest_stall:.0?}, {grown} MiB grown, {dropped} dropped and healed, lag measured; I1 I6"
            ),
            Some(recovery),
        )
        .await
}
