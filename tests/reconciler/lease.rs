//! A node has one owner, as long as that replica lives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomkeeper::reconciler::{Accepted, Controller, Intent, IntentError, Link, Refusal};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{LeaseOutcome, Store};
use roomkeeper_core::entity::Target;
use roomkeeper_core::intent::{FlagAccepted, Join};
use roomkeeper_core::room::MemberFlag;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::tampered::{Act, Tampered};
use crate::world::{DID, World, app, call_id, node, simulated, until};

/// Long enough that a busy machine does not miss a renewal.
const TTL: Duration = Duration::from_millis(1_500);

/// A lease that no test waits for to expire.
const UNHURRIED: Duration = Duration::from_secs(60);

async fn rival_gets_it(store: &dyn Store) -> bool {
    let rival = Uuid::from_u128(1);
    let asked = store.acquire_lease(node(), rival, Duration::from_millis(1));
    matches!(asked.await.unwrap(), LeaseOutcome::Held(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn node_without_known_owner_is_not_owned_elsewhere() {
    let (sim, store) = (simulated().await, Tampered::new());
    let go = Arc::new(Notify::new());
    store.will("acquire_lease", Act::Hold(go.clone()));
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    until("the node is reached", async || {
        (world.reconciler.nodes()[0].link == Link::Up).then_some(())
    })
    .await;
    until("the lease is requested", async || {
        (store.fired() == 1).then_some(())
    })
    .await;
    // The second intent is answered after the step of the first one.
    for _ in 0..2 {
        let refused = world.mute(call_id("00000000-0000-0000-0000-000000000001"), true);
        assert!(refused.await.is_err());
    }
    let report = &world.reconciler.nodes()[0];
    assert!(!report.synced && !report.owned_elsewhere, "{report:?}");
    store.behaves("acquire_lease");
    go.notify_one();
    world.synced().await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_is_renewed_during_long_step() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |settings, _| settings.lease_ttl = TTL);
    let world = world.await.synced().await;
    let room = world.room("walk").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    world.join(call, room).await;
    let joined = "conference.member.joined";
    world.until_webhook(&room.to_string(), joined, 1).await;

    let go = Arc::new(Notify::new());
    store.will("commit", Act::Hold(go.clone()));
    let mute = world.mute(call, true);
    let meanwhile = async {
        until("the commit hangs", async || {
            (store.fired() == 1).then_some(())
        })
        .await;
        let started = Instant::now();
        while started.elapsed() < TTL * 2 {
            assert!(
                !rival_gets_it(&*store).await,
                "after {:?}",
                started.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        store.behaves("commit");
        go.notify_one();
    };
    let (accepted, ()) = tokio::join!(mute, meanwhile);
    assert_eq!(
        accepted.unwrap(),
        Accepted::SetFlag(FlagAccepted {
            room,
            flag: MemberFlag::Speak,
            on: false
        })
    );
    assert_eq!(store.fired(), 1);
    let muted = "conference.member.muted";
    world.until_webhook(&room.to_string(), muted, 1).await;
    world.end().await;
    assert!(rival_gets_it(&*store).await, "the lease was released");
}

#[tokio::test(flavor = "multi_thread")]
async fn hanging_actor_loses_lease_and_regains_it() {
    let (sim, store) = (simulated().await, Tampered::new());
    let ttl = Duration::from_millis(500);
    let world = World::with(&sim, store.clone(), |settings, _| settings.lease_ttl = ttl);
    let world = world.await.synced().await;
    let go = Arc::new(Notify::new());
    store.will("commit", Act::Hold(go.clone()));
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    until("the reconciler hangs", async || {
        (store.fired() == 1).then_some(())
    })
    .await;
    until("another one gets the node", async || {
        rival_gets_it(&*store).await.then_some(())
    })
    .await;
    store.behaves("commit");
    go.notify_one();
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_sends_commands_before_release() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |settings, _| {
        settings.lease_ttl = UNHURRIED;
    });
    let one = one.await.synced().await;
    let room = one.room("walk").await;
    let calls: Vec<_> = (0..100)
        .map(|n| call_id(&sim.call_in(DID, &format!("1{n}"), &[])))
        .collect();
    for call in &calls {
        one.until_webhook(&call.to_string(), "call.new", 1).await;
        one.join(*call, room).await;
    }
    let joined = "conference.member.joined";
    one.until_webhook(&room.to_string(), joined, calls.len())
        .await;
    let two = World::with(&sim, store.clone(), |_, _| {}).await;
    let two = two.beside().await;

    // No command is executed before the shutdown.
    sim.stall(true);
    one.delete(room).await;
    let stopped = Instant::now();
    let goes_on = async {
        until("orders are on their way", async || {
            (sim.faults().stalled > 0).then_some(())
        })
        .await;
        let inside = sim
            .snapshot()
            .room(&room.to_string())
            .unwrap()
            .members
            .len();
        assert_eq!(inside, calls.len());
        sim.stall(false);
    };
    // The webhook precedes the release.
    tokio::join!(one.end(), goes_on);
    until("all orders were given before it ended", async || {
        sim.snapshot()
            .room(&room.to_string())
            .is_none()
            .then_some(())
    })
    .await;
    let two = two.synced().await;
    // The lease was released and did not have to expire.
    assert!(stopped.elapsed() < UNHURRIED, "{:?}", stopped.elapsed());
    let destroyed = "conference.destroyed";
    two.until_webhook(&room.to_string(), destroyed, 1).await;
    let refused = two.mute(calls[0], true).await;
    assert!(
        matches!(refused, Err(IntentError::Refused(_))),
        "{refused:?}"
    );
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_reads_other_replicas_writes_before_refusing() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let owner = World::with(&sim, store.clone(), |_, _| {})
        .await
        .synced()
        .await;
    let other = World::with(&sim, store.clone(), |_, _| {}).await;
    let other = other.beside().await;
    let room = owner.room("walk").await;
    let channel = sim.call_in(DID, "1001", &[]);
    let call = call_id(&channel);
    owner.until_webhook(&call.to_string(), "call.new", 1).await;
    // The owner receives no events.
    sim.lose_events_about(Some(&channel));
    other.join(call, room).await;
    // The call is in the room or entering it; according to the owner's events it is in none.
    let refused = owner.mute(call, true).await;
    assert!(
        matches!(refused, Err(IntentError::Refused(Refusal::StillJoining))),
        "{refused:?}"
    );
    until("what told of it was lost", async || {
        (sim.faults().core.dropped > 0).then_some(())
    })
    .await;
    other.end().await;
    owner.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn room_deleted_by_other_replica_releases_joining_call() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let owner = World::with(&sim, store.clone(), |_, _| {})
        .await
        .synced()
        .await;
    let other = World::with(&sim, store.clone(), |_, _| {}).await;
    let other = other.beside().await;
    let room = owner.room("walk").await;
    let channel = sim.call_in(DID, "1001", &[]);
    let call = call_id(&channel);
    owner.until_webhook(&call.to_string(), "call.new", 1).await;
    // No replica receives the event of its join.
    sim.lose_events_about(Some(&channel));
    other.join(call, room).await;
    until("it is in the room", async || {
        let room = room.to_string();
        sim.snapshot()
            .room(&room)
            .is_some_and(|room| !room.members.is_empty())
            .then_some(())
    })
    .await;
    other.delete(room).await;
    let failed = "conference.member.join_failed";
    owner.until_webhook(&room.to_string(), failed, 1).await;
    until("it is out again", async || {
        let room = room.to_string();
        sim.snapshot().room(&room).is_none().then_some(())
    })
    .await;
    // Nor the event of its park, so a snapshot must reveal it.
    sim.drop_connections(false);
    sim.lose_events_about(None);
    // It can join another room once it is parked.
    let next = owner.room("next").await;
    until("the call can join another room", async || {
        let intent = Intent::new(Target::Member { room: next, call }, app(), Join::default());
        owner.submit(intent).await.ok()
    })
    .await;
    other.end().await;
    owner.end().await;
}
