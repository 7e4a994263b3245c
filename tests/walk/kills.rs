//! The walk with SIGKILL and a restart of the controller between any two steps.
//!
//! Invariants: every step still succeeds, no webhook is lost, none has a second id, sequences have no gap. The program
//! gets no time to prepare, so the user would miss whatever was not committed in time.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use crate::program::poll;
use crate::program::switch::{DID, Switch};
use crate::program::world::{PASSWORD, Setup, Store, World};
use crate::walk::{STEPS, Step, Walk};

/// Concurrent worlds: each has three processes.
const WORLDS: usize = 6;

/// The moment of the kill, in relation to a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// All webhooks of the step were received.
    After,
    /// The request was just answered; no controller receives FreeSWITCH's events about it.
    AtOnce,
    /// The receiver refuses; the webhook was attempted and waits.
    Undelivered,
}

/// Waits until the receiver has refused the step's first webhook, if it has one.
async fn until_refused(world: &World, walk: &Walk, step: Step) {
    let scope = match step {
        Step::CallIn | Step::HangUp => walk.session.clone(),
        Step::Create
        | Step::Join
        | Step::List
        | Step::Unmute
        | Step::Mute
        | Step::Leave
        | Step::Delete
        | Step::NotFound => walk.room.clone(),
    };
    poll::until("a delivery is refused", poll::TIMEOUT, async || {
        (world.receiver.refused(&scope) > 0).then_some(())
    })
    .await;
}

/// Runs one walk with one kill. Returns the number of synthesized webhooks.
async fn walk_with_a_kill(step: Step, moment: Moment) -> usize {
    let mut world = Setup::with_short_timeouts(Store::Redis).start().await;
    world.controller.until_ready().await;
    world.controller.until_synced().await;
    let mut walk = Walk::new();
    for current in STEPS {
        if current != step {
            walk.step(&world, current).await;
            continue;
        }
        match moment {
            Moment::After => {
                walk.step(&world, step).await;
                world.kill_and_start_again();
            }
            Moment::AtOnce => {
                walk.request(&world, step).await;
                world.kill_and_start_again();
                walk.confirm(&world, step).await;
            }
            Moment::Undelivered => {
                world.receiver.answer(500);
                walk.request(&world, step).await;
                until_refused(&world, &walk, step).await;
                world.controller.kill();
                world.receiver.answer(204);
                world.controller.start_again();
                walk.confirm(&world, step).await;
            }
        }
    }
    // A kill may have followed the last step: the restarted controller must be complete.
    world.controller.until_synced().await;
    walk.check_all_webhooks(&world)
}

async fn kill_at_every_step(moment: Moment, steps: &[Step]) {
    let places = Arc::new(Semaphore::new(WORLDS));
    let mut walks = JoinSet::new();
    let local = LocalSet::new();
    for step in steps.iter().copied() {
        let places = Arc::clone(&places);
        let walk = async move {
            let _place = places.acquire_owned().await.unwrap();
            let start = std::time::Instant::now();
            let synthesized = walk_with_a_kill(step, moment).await;
            eprintln!(
                "killed {moment:?} {step:?}: {synthesized} synthesized, {:.1?}",
                start.elapsed()
            );
        };
        walks.spawn_local_on(walk, &local);
    }
    let all = async {
        let mut failed = 0;
        while let Some(walk) = walks.join_next().await {
            failed += usize::from(walk.is_err());
        }
        failed
    };
    let failed = local.run_until(all).await;
    assert_eq!(failed, 0, "walks failed; their errors are above");
}

/// The steps with a webhook.
const REPORTED: [Step; 8] = [
    Step::CallIn,
    Step::Create,
    Step::Join,
    Step::Unmute,
    Step::Mute,
    Step::Leave,
    Step::HangUp,
    Step::Delete,
];

#[tokio::test(flavor = "multi_thread")]
async fn walk_survives_a_kill_between_any_two_steps() {
    kill_at_every_step(Moment::After, &STEPS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_survives_a_kill_right_after_an_answer() {
    kill_at_every_step(Moment::AtOnce, &REPORTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn walk_survives_a_kill_while_webhooks_wait() {
    kill_at_every_step(Moment::Undelivered, &REPORTED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_during_restart_are_reported() {
    let world = Setup::with_short_timeouts(Store::Redis).start().await;
    meanwhile(world).await;
}

/// Changes calls in FreeSWITCH while no controller runs, and checks that the next one reports each.
pub async fn meanwhile(mut world: World) {
    world.controller.until_synced().await;
    let room = world.room("meanwhile").await;
    let mut sessions = Vec::new();
    for caller in ["1001", "1002", "1003"] {
        let session = world.call(caller).await;
        world.join(&session, &room).await;
        sessions.push(session);
    }
    let [gone, kicked, unmuted] = sessions.as_slice() else {
        panic!("three calls were made");
    };
    let channel = |session: &str| world.channel(session).to_owned();
    let (gone_channel, kicked_channel, unmuted_channel) =
        (channel(gone), channel(kicked), channel(unmuted));

    world.controller.kill();
    let reply = world.fs(&format!("uuid_kill {gone_channel}")).await;
    assert!(reply.contains("OK"), "{reply}");
    let id = world.member_id(&room, &kicked_channel).await;
    let reply = world.fs(&format!("conference {room} kick {id}")).await;
    assert!(reply.contains("OK"), "{reply}");
    let id = world.member_id(&room, &unmuted_channel).await;
    let reply = world.fs(&format!("conference {room} unmute {id}")).await;
    assert!(reply.contains("OK"), "{reply}");
    let new = world.switch.place_call("1004", PASSWORD).await;
    let new = world.placed_call_id(&new).await;
    world
        .switch
        .until_members(PASSWORD, &room, &[(&unmuted_channel, true)])
        .await;
    assert_eq!(
        world.receiver.delivered(&room).len(),
        4,
        "no controller ran"
    );
    world.controller.start_again();

    let webhook = world
        .receiver
        .first(&room, "conference.member.unmuted")
        .await;
    assert_eq!(webhook.body["session_uuid"], **unmuted);
    assert_eq!(webhook.body["data"], json!({ "synthesized": true }));
    let left = [
        world.receiver.nth(&room, "conference.member.left", 1).await,
        world.receiver.nth(&room, "conference.member.left", 2).await,
    ];
    for (session, reason) in [(gone, "hangup"), (kicked, "removed")] {
        let webhook = left
            .iter()
            .find(|got| got.body["session_uuid"] == **session)
            .unwrap_or_else(|| panic!("{session} left"));
        assert!(webhook.synthesized(), "{}", webhook.body);
        assert_eq!(webhook.body["data"]["reason"], reason, "{}", webhook.body);
    }
    let hangup = world.receiver.first(gone, "call.hangup").await;
    assert!(hangup.synthesized(), "{}", hangup.body);
    let call = world.receiver.first(&new, "call.new").await;
    assert!(call.synthesized(), "{}", call.body);
    if matches!(world.switch, Switch::Sim(_)) {
        assert_eq!(call.body["data"]["did"], DID);
    }
    assert_eq!(call.body["data"]["caller_id"], "1004");

    world.controller.until_synced().await;
    assert_eq!(world.call_state(kicked).await, ("parked".to_owned(), None));
    assert_eq!(world.call_state(&new).await, ("parked".to_owned(), None));
    let answer = world.controller.get(&format!("/sessions/{gone}")).await;
    assert_eq!(answer.status, 404);
    world.check_members(&room).await;
    assert_eq!(world.receiver.delivered(&room).len(), 7, "and nothing else");
    world.receiver.check_sequences();
}
