//! The fence of a snapshot is recognized at any time, also while the actor is busy.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::tampered::{Act, Tampered};
use crate::world::{DID, World, call_id, simulated, until};

/// A snapshot that missed its fence fails after 10 s and a pause.
const SOON: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
async fn fence_during_slow_commit_is_not_missed() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |settings, _| {
        settings.resync_interval = Duration::from_secs(1);
    });
    let world = world.await.synced().await;
    let room = world.room("walk").await;
    let channels = ["1001", "1002", "1003"].map(|caller| sim.call_in(DID, caller, &[]));
    let calls = channels.each_ref().map(|channel| call_id(channel));
    for call in calls {
        world.until_webhook(&call.to_string(), "call.new", 1).await;
        world.join(call, room).await;
    }
    let joined = "conference.member.joined";
    world.until_webhook(&room.to_string(), joined, 3).await;

    // A snapshot lacks a member, and a second one follows immediately.
    sim.lose_events_about(Some(&channels[0]));
    assert!(sim.hang_up(&channels[0], "NORMAL_CLEARING"));
    world
        .until_webhook(&calls[0].to_string(), "call.hangup", 1)
        .await;
    assert!(sim.faults().core.dropped > 0);
    let (go, before) = (Arc::new(Notify::new()), sim.faults().core.commands);
    store.will("commit", Act::Hold(go.clone()));
    let meanwhile = async {
        until("the commit hangs", async || {
            (store.fired() == 1).then_some(())
        })
        .await;
        // No command is sent before its commit, so the next message is the fence.
        until("the fence is raised and has come back", async || {
            let back = sim.with_core(|core, _| {
                let mut listeners = core.listeners().into_iter();
                listeners.all(|conn| core.queued_events(conn) == 0)
            });
            (back && sim.faults().core.commands > before).then_some(())
        })
        .await;
        store.behaves("commit");
        go.notify_one();
    };
    let (muted, ()) = tokio::join!(world.mute(calls[1], true), meanwhile);
    muted.unwrap();

    sim.lose_events_about(Some(&channels[2]));
    assert!(sim.hang_up(&channels[2], "NORMAL_CLEARING"));
    let started = Instant::now();
    world
        .until_webhook(&calls[2].to_string(), "call.hangup", 1)
        .await;
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    world.end().await;
}
