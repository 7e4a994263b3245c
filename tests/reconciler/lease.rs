//! Who reconciles a node: as long as it lives, and no longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomkeeper::reconciler::{Accepted, Controller, Intent, IntentError, Link, Refusal};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{LeaseOutcome, Store};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::tampered::{Act, Tampered};
use crate::world::{DID, World, app, node, session, simulated, until};

/// Long enough that a busy machine does not miss a renewal.
const TTL: Duration = Duration::from_millis(1_500);

/// Nobody waits for such a lease to run out.
const UNHURRIED: Duration = Duration::from_secs(60);

async fn rival_gets_it(store: &dyn Store) -> bool {
    let rival = Uuid::from_u128(1);
    let asked = store.acquire_lease(node(), rival, Duration::from_millis(1));
    matches!(asked.await.unwrap(), LeaseOutcome::Held(_))
}

#[tokio::test(flavor = "multi_thread")]
async fn until_the_store_has_said_whose_a_node_is_it_is_not_taken_for_anothers() {
    let (sim, store) = (simulated().await, Tampered::new());
    let go = Arc::new(Notify::new());
    store.will("acquire_lease", Act::Hold(go.clone()));
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    until("the node is reached", async || {
        (world.reconciler.nodes()[0].link == Link::Up).then_some(())
    })
    .await;
    assert_eq!(store.fired(), 1);
    // The second is answered when the reconciler has come round after the first.
    for _ in 0..2 {
        let refused = world.mute(session("00000000-0000-0000-0000-000000000001"), true);
        assert!(refused.await.is_err());
    }
    let report = &world.reconciler.nodes()[0];
    assert!(!report.synced && !report.owned_elsewhere, "{report:?}");
    store.behaves("acquire_lease");
    go.notify_one();
    world.synced().await.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_renewed_while_a_step_takes_long() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |settings, _| settings.lease_ttl = TTL);
    let world = world.await.synced().await;
    let room = world.room("walk").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    world.until_told(&call.to_string(), "call.new", 1).await;
    world.join(call, room).await;
    let joined = "conference.member.joined";
    world.until_told(&room.to_string(), joined, 1).await;

    let go = Arc::new(Notify::new());
    store.will("commit", Act::Hold(go.clone()));
    let mute = world.mute(call, true);
    let meanwhile = async {
        until("the commit hangs", async || {
            (store.fired() == 1).then_some(())
        })
        .await;
        let begun = Instant::now();
        while begun.elapsed() < TTL * 2 {
            assert!(!rival_gets_it(&*store).await, "after {:?}", begun.elapsed());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        store.behaves("commit");
        go.notify_one();
    };
    let (accepted, ()) = tokio::join!(mute, meanwhile);
    assert_eq!(accepted.unwrap(), Accepted::Muted { room });
    assert_eq!(store.fired(), 1);
    let muted = "conference.member.muted";
    world.until_told(&room.to_string(), muted, 1).await;
    world.end().await;
    assert!(rival_gets_it(&*store).await, "it was given up");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconciler_that_does_not_move_any_more_loses_it_and_goes_on_when_it_does() {
    let (sim, store) = (simulated().await, Tampered::new());
    let ttl = Duration::from_millis(500);
    let world = World::with(&sim, store.clone(), |settings, _| settings.lease_ttl = ttl);
    let world = world.await.synced().await;
    let go = Arc::new(Notify::new());
    store.will("commit", Act::Hold(go.clone()));
    let call = session(&sim.call_in(DID, "1001", &[]));
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
    world.until_told(&call.to_string(), "call.new", 1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_hands_over_what_it_has_decided_first() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |settings, _| {
        settings.lease_ttl = UNHURRIED;
    });
    let one = one.await.synced().await;
    let room = one.room("walk").await;
    let calls: Vec<_> = (0..100)
        .map(|n| session(&sim.call_in(DID, &format!("1{n}"), &[])))
        .collect();
    for call in &calls {
        one.until_told(&call.to_string(), "call.new", 1).await;
        one.join(*call, room).await;
    }
    let joined = "conference.member.joined";
    one.until_told(&room.to_string(), joined, calls.len()).await;
    let two = World::with(&sim, store.clone(), |_, _| {}).await;
    let two = two.beside().await;

    // None is carried out before it is told to stop.
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
    // It is told first.
    tokio::join!(one.end(), goes_on);
    until("all orders were given before it ended", async || {
        sim.snapshot()
            .room(&room.to_string())
            .is_none()
            .then_some(())
    })
    .await;
    let two = two.synced().await;
    // It did not have to run out.
    assert!(stopped.elapsed() < UNHURRIED, "{:?}", stopped.elapsed());
    let destroyed = "conference.destroyed";
    two.until_told(&room.to_string(), destroyed, 1).await;
    let refused = two.mute(calls[0], true).await;
    assert!(
        matches!(refused, Err(IntentError::Refused(_))),
        "{refused:?}"
    );
    two.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_replica_has_written_is_known_to_the_owner_before_it_refuses() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let owner = World::with(&sim, store.clone(), |_, _| {})
        .await
        .synced()
        .await;
    let other = World::with(&sim, store.clone(), |_, _| {}).await;
    let other = other.beside().await;
    let room = owner.room("walk").await;
    let channel = sim.call_in(DID, "1001", &[]);
    let call = session(&channel);
    owner.until_told(&call.to_string(), "call.new", 1).await;
    // The owner hears nothing of it.
    sim.lose_events_about(Some(&channel));
    other.join(call, room).await;
    // It is in the room, or on its way; by what the owner has heard it would be in none.
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
async fn a_room_that_another_replica_deletes_lets_go_of_the_call_that_is_still_joining() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let owner = World::with(&sim, store.clone(), |_, _| {})
        .await
        .synced()
        .await;
    let other = World::with(&sim, store.clone(), |_, _| {}).await;
    let other = other.beside().await;
    let room = owner.room("walk").await;
    let channel = sim.call_in(DID, "1001", &[]);
    let call = session(&channel);
    owner.until_told(&call.to_string(), "call.new", 1).await;
    // That it comes in is heard by nobody.
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
    owner.until_told(&room.to_string(), failed, 1).await;
    until("it is out again", async || {
        let room = room.to_string();
        sim.snapshot().room(&room).is_none().then_some(())
    })
    .await;
    // Nor that it is parked; a snapshot has to tell.
    sim.drop_connections(false);
    sim.lose_events_about(None);
    // It can be sent elsewhere once it is parked.
    let next = owner.room("next").await;
    until("the call can join another room", async || {
        let intent = Intent::Join {
            session: call,
            room: next,
            app: app(),
            muted: None,
            command_uid: None,
        };
        owner.ask(intent).await.ok()
    })
    .await;
    other.end().await;
    owner.end().await;
}
