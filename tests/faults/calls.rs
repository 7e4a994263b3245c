//! Calls that move all day: FreeSWITCH hangs up none of them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll;
use crate::program::switch::{DID, Placed, Switch};
use crate::program::world::{Setup, Store, World};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage};

rows![
    26 call_joins_and_leaves_all_day(real),
    27 call_joins_while_the_last_member_leaves(real),
];

/// Digits of counters in a dump grow. A transfer that is remembered adds more than this.
const DIGITS: usize = 64;

/// How long a simulated conference takes to add a call that found it. The last member can leave meanwhile.
const ADMISSION: Duration = Duration::from_millis(15);

/// Waits until the API shows the call in this state.
async fn until_state(world: &World, session: &str, state: &str) {
    poll::until(
        &format!("{session} is {state}"),
        poll::PATIENCE,
        async || (world.place(session).await.0 == state).then_some(()),
    )
    .await;
}

async fn asks(world: &World, session: &str, what: &str, room: &str) {
    let body = json!({ "room_id": room });
    let answer = world
        .command(session, &format!("conference/{what}"), &body)
        .await;
    assert_eq!(answer.status, 202, "{what}: {}", answer.body);
}

async fn joins(world: &World, session: &str, room: &str) {
    asks(world, session, "join", room).await;
    until_state(world, session, "in_room").await;
}

async fn leaves(world: &World, session: &str, room: &str) {
    asks(world, session, "leave", room).await;
    until_state(world, session, "parked").await;
}

async fn variable(world: &World, session: &str, name: &str) -> String {
    let channel = world.channel(session);
    let value = world.fs(&format!("uuid_getvar {channel} {name}")).await;
    value.trim().to_owned()
}

async fn dump(world: &World, session: &str) -> usize {
    let channel = world.channel(session);
    let text = world.fs(&format!("uuid_dump {channel} json")).await;
    assert!(text.contains(channel), "{text}");
    text.len()
}

/// A call of somebody whose SIP request could be forwarded only so often.
async fn call_with_forwards(world: &World, forwards: &str) -> String {
    let session = match &world.switch {
        Switch::Sim(sim) => {
            let channel = sim.call_in(DID, "1099", &[("max_forwards", forwards)]);
            world.placed(&Placed::Channel(channel)).await
        }
        // Its far end has nothing to do with SIP, so it is given what a SIP call brings along.
        Switch::Real { .. } => {
            let session = world.call("1099").await;
            let channel = world.channel(&session);
            world
                .fs(&format!("uuid_setvar {channel} max_forwards {forwards}"))
                .await;
            session
        }
    };
    world.receiver.first(&session, "call.new").await;
    assert_eq!(variable(world, &session, "max_forwards").await, forwards);
    // Its channel is prepared before anybody asks anything of it.
    poll::until("its transfers are restored", poll::PATIENCE, async || {
        let left = variable(world, &session, "max_session_transfers").await;
        (left == "70").then_some(())
    })
    .await;
    session
}

async fn call_joins_and_leaves_all_day(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::impatient(Store::Memory)).await;
    let world = &scene.world;
    let begun = Instant::now();
    // 70 transfers are what FreeSWITCH allows a call, and each round takes two.
    let rounds = stage.pick(60, 1_000);
    let (mover, room) = (&scene.parked, &scene.room);
    joins(world, mover, room).await;
    leaves(world, mover, room).await;
    let at_first = dump(world, mover).await;
    for _ in 1..rounds {
        joins(world, mover, room).await;
        leaves(world, mover, room).await;
    }
    let at_last = dump(world, mover).await;
    assert!(
        at_last <= at_first + DIGITS,
        "the dump grew from {at_first} to {at_last} bytes"
    );
    let few = stage.pick(5, 40);
    for forwards in ["1", "3"] {
        let session = call_with_forwards(world, forwards).await;
        for _ in 0..few {
            joins(world, &session, room).await;
            leaves(world, &session, room).await;
        }
        scene.hangs_up(&session).await;
        world.receiver.first(&session, "call.hangup").await;
    }
    if let Switch::Sim(sim) = &world.switch {
        assert_eq!(sim.faults().core.out_of_forwards, 0);
    }
    let took = begun.elapsed();
    scene
        .report(
            format!("{rounds} joins and leaves of one call, {few} with `Max-Forwards` 1 and 3"),
            format!("nobody was hung up; a dump of {at_first} bytes, then {at_last}"),
            Some(took),
        )
        .await
}

/// How often FreeSWITCH was told to let a call in.
async fn enters(world: &World) -> f64 {
    let told = world.controller.metric(
        "roomkeeper_node_orders_total",
        "order=\"enter\",outcome=\"ok\"",
    );
    told.await
}

async fn call_joins_while_the_last_member_leaves(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::impatient(Store::Memory)).await;
    let world = &scene.world;
    if let Switch::Sim(sim) = &world.switch {
        let admission = u64::try_from(ADMISSION.as_micros()).unwrap();
        sim.with_core(|core, _| core.config_mut().admission = admission);
    }
    let room = &scene.room;
    leaves(world, &scene.other, room).await;
    let begun = Instant::now();
    let rounds = stage.pick(30, 1_000);
    let (mut inside, mut outside) = (&scene.session, &scene.parked);
    let (mut asked, mut failed) = (enters(world).await, 0);
    for round in 0..rounds {
        asked += 1.0;
        // From both at once to one a little after the other.
        let wait = Duration::from_millis(round % 12);
        if round % 2 == 0 {
            tokio::join!(
                asks(world, outside, "join", room),
                asks(world, inside, "leave", room)
            );
        } else {
            asks(world, outside, "join", room).await;
            // The race is won by either side at one time or another: nothing waits for this.
            tokio::time::sleep(wait).await;
            asks(world, inside, "leave", room).await;
        }
        until_state(world, inside, "parked").await;
        if !comes_in(&scene, outside, failed).await {
            failed += 1;
            asked += 1.0;
            joins(world, outside, room).await;
        }
        std::mem::swap(&mut inside, &mut outside);
    }
    let took = begun.elapsed();
    let repeated = enters(world).await - asked;
    if let Switch::Sim(sim) = &world.switch {
        let put_out = sim.faults().core.put_out;
        assert!(put_out > 0, "no join was interrupted");
        assert!(repeated > 0.0, "no join was repeated; {failed} failed");
    }
    for session in [&scene.session, &scene.parked, &scene.other] {
        let channel = world.channel(session);
        let exists = world.fs(&format!("uuid_exists {channel}")).await;
        assert_eq!(exists.trim(), "true", "{session} was hung up");
    }
    assert_eq!(scene.count("conference.member.join_failed"), failed);
    scene
        .report_quietly(
            format!("{rounds} joins while the last member left, {repeated} of them interrupted and repeated"),
            format!("nobody was hung up; all came in but {failed}, which were told why not"),
            Some(took),
        )
        .await
}

/// Waits until a join has come about, or was told to have failed; says whether it did.
async fn comes_in(scene: &Scene, session: &str, failed: usize) -> bool {
    let world = &scene.world;
    poll::until(
        "the join came to something",
        poll::PATIENCE,
        async || match world.place(session).await.0.as_str() {
            "in_room" => Some(true),
            "parked" if scene.count("conference.member.join_failed") > failed => Some(false),
            _ => None,
        },
    )
    .await
}
