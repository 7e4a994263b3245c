//! Calls that join and leave often. FreeSWITCH must hang up none of them.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::program::poll;
use crate::program::switch::{DID, PlacedCall, Switch};
use crate::program::world::{Setup, Store, World};
use crate::report::{Report, rows};
use crate::scene::{Scene, Stage};

rows![
    26 call_survives_many_joins_and_leaves(real),
    27 call_joins_while_last_member_leaves(real),
];

/// The permitted growth of a dump in bytes, for longer counters. A transfer in the history adds more.
const DIGITS: usize = 64;

/// The time a simulated conference takes to add a call. The last member can leave meanwhile.
const ADMISSION: Duration = Duration::from_millis(15);

/// Waits until the API shows the call in this state.
async fn until_state(world: &World, call: &str, state: &str) {
    poll::until(&format!("{call} is {state}"), poll::TIMEOUT, async || {
        (world.call_state(call).await.0 == state).then_some(())
    })
    .await;
}

async fn send_command(world: &World, call: &str, command: &str, room: &str) {
    let body = json!({ "room_id": room });
    let answer = world
        .command(call, &format!("conference/{command}"), &body)
        .await;
    assert_eq!(answer.status, 202, "{command}: {}", answer.body);
}

async fn join_room(world: &World, call: &str, room: &str) {
    send_command(world, call, "join", room).await;
    until_state(world, call, "in_room").await;
}

async fn leave_room(world: &World, call: &str, room: &str) {
    send_command(world, call, "leave", room).await;
    until_state(world, call, "parked").await;
}

async fn variable(world: &World, call: &str, name: &str) -> String {
    let channel = world.channel(call);
    let value = world.fs(&format!("uuid_getvar {channel} {name}")).await;
    value.trim().to_owned()
}

async fn dump_size(world: &World, call: &str) -> usize {
    let channel = world.channel(call);
    let text = world.fs(&format!("uuid_dump {channel} json")).await;
    assert!(text.contains(channel), "{text}");
    text.len()
}

/// Places a call with this `Max-Forwards`.
async fn call_with_forwards(world: &World, forwards: &str) -> String {
    let call = match &world.switch {
        Switch::Sim(sim) => {
            let channel = sim.call_in(DID, "1099", &[("max_forwards", forwards)]);
            world.placed_call_id(&PlacedCall::Channel(channel)).await
        }
        // The far end does not use SIP, so the test sets the variable of a SIP call.
        Switch::Real { .. } => {
            let call = world.call("1099").await;
            let channel = world.channel(&call);
            world
                .fs(&format!("uuid_setvar {channel} max_forwards {forwards}"))
                .await;
            call
        }
    };
    world.receiver.first(&call, "call.new").await;
    assert_eq!(variable(world, &call, "max_forwards").await, forwards);
    // The controller prepares the channel before the first command.
    poll::until("its transfers are restored", poll::TIMEOUT, async || {
        let transfers = variable(world, &call, "max_session_transfers").await;
        (transfers == "70").then_some(())
    })
    .await;
    call
}

async fn call_survives_many_joins_and_leaves(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Memory)).await;
    let world = &scene.world;
    let start = Instant::now();
    // FreeSWITCH allows a call 70 transfers, and each round takes two.
    let rounds = stage.pick(60, 1_000);
    let (mover, room) = (&scene.parked, &scene.room);
    join_room(world, mover, room).await;
    leave_room(world, mover, room).await;
    let dump_before = dump_size(world, mover).await;
    for _ in 1..rounds {
        join_room(world, mover, room).await;
        leave_room(world, mover, room).await;
    }
    let dump_after = dump_size(world, mover).await;
    assert!(
        dump_after <= dump_before + DIGITS,
        "the dump grew from {dump_before} to {dump_after} bytes"
    );
    let few = stage.pick(5, 40);
    for forwards in ["1", "3"] {
        let call = call_with_forwards(world, forwards).await;
        for _ in 0..few {
            join_room(world, &call, room).await;
            leave_room(world, &call, room).await;
        }
        scene.hang_up(&call).await;
        world.receiver.first(&call, "call.hangup").await;
    }
    if let Switch::Sim(sim) = &world.switch {
        assert_eq!(sim.faults().core.out_of_forwards, 0);
    }
    let took = start.elapsed();
    scene
        .report(
            format!("{rounds} joins and leaves of one call, {few} with `Max-Forwards` 1 and 3"),
            format!("no call hung up; a dump has {dump_before} bytes before, {dump_after} after"),
            Some(took),
        )
        .await
}

/// The number of `enter` commands that FreeSWITCH has accepted.
async fn count_enters(world: &World) -> f64 {
    let count = world.controller.metric(
        "roomkeeper_node_orders_total",
        "order=\"enter\",outcome=\"ok\"",
    );
    count.await
}

async fn call_joins_while_last_member_leaves(stage: &Stage) -> Report {
    let scene = stage.scene(Setup::with_short_timeouts(Store::Memory)).await;
    let world = &scene.world;
    if let Switch::Sim(sim) = &world.switch {
        let admission = u64::try_from(ADMISSION.as_micros()).unwrap();
        sim.with_core(|core, _| core.config_mut().admission = admission);
    }
    let room = &scene.room;
    leave_room(world, &scene.other, room).await;
    let start = Instant::now();
    let rounds = stage.pick(30, 1_000);
    let (mut inside, mut outside) = (&scene.call, &scene.parked);
    let (mut expected, mut failed) = (count_enters(world).await, 0);
    for round in 0..rounds {
        expected += 1.0;
        // The leave follows the join after 0 to 11 ms.
        let wait = Duration::from_millis(round % 12);
        if round % 2 == 0 {
            tokio::join!(
                send_command(world, outside, "join", room),
                send_command(world, inside, "leave", room)
            );
        } else {
            send_command(world, outside, "join", room).await;
            // Varies the timing of the race; no assertion waits for it.
            tokio::time::sleep(wait).await;
            send_command(world, inside, "leave", room).await;
        }
        until_state(world, inside, "parked").await;
        if !join_succeeds(&scene, outside, failed).await {
            failed += 1;
            expected += 1.0;
            join_room(world, outside, room).await;
        }
        std::mem::swap(&mut inside, &mut outside);
    }
    let took = start.elapsed();
    let repeated = count_enters(world).await - expected;
    if let Switch::Sim(sim) = &world.switch {
        let put_out = sim.faults().core.put_out;
        assert!(put_out > 0, "no join was interrupted");
        assert!(repeated > 0.0, "no join was repeated; {failed} failed");
    }
    for call in [&scene.call, &scene.parked, &scene.other] {
        let channel = world.channel(call);
        let exists = world.fs(&format!("uuid_exists {channel}")).await;
        assert_eq!(exists.trim(), "true", "{call} was hung up");
    }
    assert_eq!(scene.count("conference.member.join_failed"), failed);
    scene
        .report_without_commands(
            format!("{rounds} joins while the last member left, {repeated} of them interrupted and repeated"),
            format!("no call hung up; all joined except {failed}, each with a `join_failed` webhook"),
            Some(took),
        )
        .await
}

/// Waits until a join succeeds or a webhook reports its failure. Returns `true` if it succeeded.
async fn join_succeeds(scene: &Scene, call: &str, failed: usize) -> bool {
    let world = &scene.world;
    poll::until(
        "the join succeeds or fails",
        poll::TIMEOUT,
        async || match world.call_state(call).await.0.as_str() {
            "in_room" => Some(true),
            "parked" if scene.count("conference.member.join_failed") > failed => Some(false),
            _ => None,
        },
    )
    .await
}
