//! The node itself: it dies, hangs, blocks, floods.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll;
use crate::program::switch::{DID, Switch};
use crate::program::world::{PASSWORD, Setup, Store};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage};
use crate::server::ServerProcess;

rows![
    3 node_killed_and_restarted(real),
    4 node_stopped(real),
];

async fn core(scene: &Scene) -> String {
    match &scene.world.switch {
        Switch::Sim(sim) => sim.snapshot().core_uuid,
        Switch::Real { .. } => scene.world.fs("eval ${core_uuid}").await,
    }
}

async fn node_killed_and_restarted(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::on(Store::Redis)).await;
    let world = &scene.world;
    let before = core(&scene).await;
    match &world.switch {
        Switch::Sim(sim) => {
            sim.restart().await.unwrap();
            assert_eq!(sim.faults().restarts, 1);
        }
        Switch::Real { .. } => {
            let mut server = ServerProcess::of(world).await;
            server.kill().await;
            server.start_again(world).await;
        }
    }
    let begun = Instant::now();
    assert_ne!(core(&scene).await, before, "it is another run");
    for n in 1..=2 {
        let left = world
            .receiver
            .nth(&scene.room, "conference.member.left", n)
            .await;
        assert_eq!(left.body["data"]["reason"], "orphan", "{}", left.body);
    }
    for session in [&scene.session, &scene.other, &scene.parked] {
        world.receiver.first(session, "call.hangup").await;
        let answer = world.controller.get(&format!("/sessions/{session}")).await;
        assert_eq!(answer.status, 404, "{}", answer.body);
    }
    let recovery = begun.elapsed();
    let answer = world
        .controller
        .get(&format!("/conferences/{}", scene.room))
        .await;
    assert_eq!(answer.status, 200, "the room lives on: {}", answer.body);
    assert_eq!(answer.body["members"], 0);

    // And can be used.
    world.controller.until_synced().await;
    let session = world.call("1004").await;
    world.join(&session, &scene.room).await;
    let names: Vec<_> = world.receiver.delivered(&scene.room);
    let names: Vec<&str> = names.iter().map(|got| got.event()).collect();
    let (joined, left) = ("conference.member.joined", "conference.member.left");
    assert_eq!(
        names,
        ["conference.created", joined, joined, left, left, joined],
        "one left for each member, and nothing else"
    );
    scene
        .report_quietly(
            "restarts: 1, another Core-UUID",
            "one left (orphan) a member, one hangup a call, the room lives on; I1 I3 I4",
            Some(recovery),
        )
        .await
}

/// Stops the node, and lets it go on also when the row fails.
enum Stopped<'a> {
    Sim(&'a Switch),
    Real(ServerProcess),
}

impl Stopped<'_> {
    async fn go_on(&self) {
        match self {
            Self::Sim(switch) => switch.sim().stall(false),
            Self::Real(server) => server.resume().await,
        }
    }
}

async fn node_stopped(stage: &Stage) -> Report {
    let other = Switch::simulated(PASSWORD).await;
    let mut setup = Setup::on(Store::Redis);
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
    let beside = room.body["room_id"].as_str().unwrap().to_owned();

    let stopped = match &world.switch {
        switch @ Switch::Sim(sim) => {
            sim.stall(true);
            Stopped::Sim(switch)
        }
        Switch::Real { .. } => {
            let server = ServerProcess::of(world).await;
            server.pause().await;
            Stopped::Real(server)
        }
    };
    let begun = Instant::now();
    let span = Duration::from_secs(stage.pick(3, 60));
    let unmute = format!("/sessions/{}/commands/conference/unmute", scene.session);
    let bound = Duration::from_secs(stage.pick(1, 5)) + Duration::from_secs(1);
    let (mut commands, mut slowest, mut slowest_beside) = (0, Duration::ZERO, Duration::ZERO);
    let mut calls = 0;
    while begun.elapsed() < span {
        let answer = controller
            .once("POST", &unmute, Some(&json!({})))
            .await
            .unwrap();
        // 409: it was given once, and what became of it is not known yet.
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
        // What needs no node does not wait for it.
        let read = controller
            .once("GET", &format!("/conferences/{}", scene.room), None)
            .await;
        let read = read.unwrap();
        assert_eq!(read.status, 200);
        assert!(read.took < Duration::from_secs(1), "{:?}", read.took);
        // The other node: a call comes in, joins, and is told of.
        let at = Instant::now();
        calls += 1;
        let session = format!(
            "other-{}",
            other.sim().call_in(DID, &format!("2{calls:03}"), &[])
        );
        receiver.first(&session, "call.new").await;
        world.join(&session, &beside).await;
        slowest_beside = slowest_beside.max(at.elapsed());
    }
    assert!(slowest < stage.within(bound), "a command took {slowest:?}");
    assert!(
        slowest_beside < stage.within(Duration::from_secs(1)),
        "the other node's callers waited {slowest_beside:?}"
    );
    stopped.go_on().await;
    let begun = Instant::now();
    if let Switch::Sim(sim) = &world.switch {
        assert!(sim.faults().stalled > 0, "it did hang");
    }
    controller.until_synced().await;
    poll::until("the node is up again", poll::PATIENCE, async || {
        let nodes = controller.operator("/admin/nodes").await?.body;
        (nodes["nodes"][0]["link"] == "up").then_some(())
    })
    .await;
    // A command that was on its way is carried out late, and told as any other change.
    receiver
        .first(&scene.room, "conference.member.unmuted")
        .await;
    let recovery = begun.elapsed();
    assert_eq!(scene.count("conference.member.left"), 0, "nobody left");
    scene
        .report(
            format!("stopped for {span:?}, {commands} commands meanwhile"),
            format!(
                "each answered in {slowest:.1?}, calls of another node joined in {slowest_beside:.1?}; I1 I3"
            ),
            Some(recovery),
        )
        .await
}
