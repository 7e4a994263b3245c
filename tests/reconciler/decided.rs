//! Existence, ownership and state are decided by the actor of the node: from what it knows, or from what it loads.

use std::sync::Arc;

use freeswitch_sim::SimNode;
use roomkeeper::reconciler::{Accepted, Controller, Decision, Depth, Intent, IntentError, Refusal};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::room::encode_room;
use roomkeeper::store::{Commit, CommitOutcome, EntityId, EntityWrite, Life, Store, Version};
use roomkeeper_core::command_error::CommandError;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{AppId, CallId, RoomId};
use roomkeeper_core::intent::{Hangup, Join, JoinAccepted, Leave, SetLock};
use roomkeeper_core::room::{self, Details, Kind, Origin, Registration, RoomInput, RoomState};
use roomkeeper_core::time::Timestamp;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::tampered::{Act, Tampered};
use crate::world::{DID, World, app, call_id, node, simulated, until};

fn join(call: CallId, room: RoomId, by: &str) -> Intent {
    Intent::new(
        Target::Member { room, call },
        by.parse::<AppId>().unwrap(),
        Join::default(),
    )
}

/// Another replica, which has no lease and can give commands.
async fn second(sim: &SimNode, store: Arc<dyn Store>) -> World {
    World::with(sim, store, |_, _| {}).await.beside().await
}

#[tokio::test(flavor = "multi_thread")]
async fn join_of_loaded_entities_reads_nothing_from_the_store() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let room = world.room("walk").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    // Reads hang for ever.
    for method in ["read", "read_head"] {
        store.will(method, Act::Hold(Arc::new(Notify::new())));
    }
    let intent = join(call, room, app().as_str());
    for depth in [Depth::Ownership, Depth::State] {
        let decision = world.reconciler.check(&intent, depth).await;
        assert!(matches!(decision, Ok(Decision::Act)), "{decision:?}");
    }
    let accepted = world.reconciler.submit(intent).await;
    assert!(
        matches!(accepted, Ok(Accepted::Join(JoinAccepted::Joining { room: into, .. })) if into == room),
        "{accepted:?}"
    );
    assert_eq!(store.fired(), 0);
    for method in ["read", "read_head"] {
        store.behaves(method);
    }
    let joined = "conference.member.joined";
    world.until_webhook(&room.to_string(), joined, 1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn existence_and_ownership_come_first_on_every_replica() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let room = one.room("walk").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    one.until_webhook(&call.to_string(), "call.new", 1).await;
    let two = second(&sim, store.clone()).await;
    let stranger = call_id(&Uuid::from_u128(7).to_string());
    let no_room = RoomId::new(node(), Uuid::from_u128(7));
    let elsewhere = RoomId::new("bbbbb".parse().unwrap(), room.uuid());
    let other = || "other".parse::<AppId>().unwrap();
    for (intent, refusal) in [
        (join(stranger, no_room, "other"), Refusal::CallNotFound),
        (join(call, no_room, "other"), Refusal::RoomNotFound),
        (join(call, elsewhere, "demo"), Refusal::RoomNotFound),
        (join(call, room, "other"), Refusal::ForeignCall),
        (
            Intent::new(Target::Call(call), other(), Leave),
            Refusal::ForeignCall,
        ),
        (
            Intent::new(Target::Call(call), other(), Hangup { cause: None }),
            Refusal::ForeignCall,
        ),
    ] {
        for reconciler in [&one.reconciler, &two.reconciler] {
            for depth in [Depth::Ownership, Depth::State] {
                let decision = reconciler.check(&intent, depth).await;
                assert!(
                    matches!(&decision, Err(IntentError::Refused(found)) if *found == refusal),
                    "{intent:?}: {decision:?}"
                );
            }
            let answer = reconciler.submit(intent.clone()).await;
            assert!(
                matches!(&answer, Err(IntentError::Refused(found)) if *found == refusal),
                "{intent:?}: {answer:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn join_across_nodes_fails_by_room_first_and_then_by_node() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    for (n, owner) in [(1, "other"), (2, "demo")] {
        put_room(&store, far_room(n), owner).await;
    }
    for (n, refusal) in [
        (1, Refusal::ForeignRoom),
        (
            2,
            Refusal::OtherNode {
                call_node: node(),
                room_node: far_room(2).node(),
            },
        ),
        (3, Refusal::RoomNotFound),
    ] {
        let answer = world
            .reconciler
            .submit(join(call, far_room(n), "demo"))
            .await;
        assert!(
            matches!(&answer, Err(IntentError::Refused(found)) if *found == refusal),
            "{n}: {answer:?}"
        );
    }
    // The node state keeps nothing of them.
    assert_eq!(world.reconciler.nodes()[0].drift, 0);
}

fn far_room(n: u128) -> RoomId {
    RoomId::new("bbbbb".parse().unwrap(), Uuid::from_u128(n))
}

/// Stores a room as another node's owner would.
async fn put_room(store: &MemoryStore, id: RoomId, owner: &str) {
    let at = Timestamp::from_millis(1);
    let registration = Registration {
        app: owner.parse().unwrap(),
        name: "far".to_owned(),
        origin: Origin::Gateway,
        created_at: at,
        kind: Kind::Conference,
        details: Details::default(),
    };
    let mut room = RoomState::unregistered(id);
    room::apply(&mut room, RoomInput::Created(registration), at);
    let (head, parts) = encode_room(&room, &room.clone().take_changes(), true);
    let commit = Commit {
        node: id.node(),
        request: Uuid::new_v4(),
        lease: None,
        entities: vec![EntityWrite {
            entity: EntityId::Room(id),
            expected: Version::ABSENT,
            head,
            parts,
            deadline: None,
            life: Life::Live,
            listed: None,
        }],
        outbox: Vec::new(),
        views: Vec::new(),
    };
    assert_eq!(store.commit(&commit).await.unwrap(), CommitOutcome::Applied);
}

#[tokio::test(flavor = "multi_thread")]
async fn room_ended_by_other_replica_is_not_found() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let room = one.room("walk").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    one.until_webhook(&call.to_string(), "call.new", 1).await;
    let two = second(&sim, store.clone()).await;
    two.delete(room).await;
    let intent = join(call, room, "demo");
    let decision = one.reconciler.check(&intent, Depth::Ownership).await;
    assert!(
        matches!(decision, Ok(Decision::Act)),
        "replica two has not read the change"
    );
    let answer = one.reconciler.submit(intent.clone()).await;
    assert!(
        matches!(answer, Err(IntentError::Refused(Refusal::RoomNotFound))),
        "{answer:?}"
    );
    let decision = one.reconciler.check(&intent, Depth::Ownership).await;
    assert!(
        matches!(decision, Err(IntentError::Refused(Refusal::RoomNotFound))),
        "the reload shows the change: {decision:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn other_refusals_precede_a_node_that_is_down() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let (room, locked) = (world.room("walk").await, world.room("locked").await);
    let lock = Intent::new(Target::Room(locked), app(), SetLock { locked: true });
    world.submit(lock).await.unwrap();
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    sim.kill();
    let intent = join(call, room, "demo");
    until("the node is down", async || {
        let checked = world.reconciler.check(&intent, Depth::State).await;
        is_down(&checked).then_some(())
    })
    .await;
    let no_room = RoomId::new(node(), Uuid::from_u128(7));
    for (intent, refusal) in [
        (join(call, no_room, "demo"), Refusal::RoomNotFound),
        (join(call, room, "other"), Refusal::ForeignCall),
        (join(call, locked, "demo"), Refusal::RoomLocked),
    ] {
        let answer = world.reconciler.submit(intent.clone()).await;
        assert!(
            matches!(&answer, Err(IntentError::Refused(found)) if *found == refusal),
            "{intent:?}: {answer:?}"
        );
    }
    let stored = |id| {
        let store = store.clone();
        async move { store.read_head(id).await.unwrap().unwrap().version }
    };
    let (call_id, room_id) = (EntityId::Call(call), EntityId::Room(room));
    let before = (stored(call_id).await, stored(room_id).await);
    let owned = world.reconciler.check(&intent, Depth::Ownership).await;
    assert!(matches!(owned, Ok(Decision::Act)), "{owned:?}");
    let submitted = world.reconciler.submit(intent).await;
    assert!(is_down(&submitted), "{submitted:?}");
    assert_eq!((stored(call_id).await, stored(room_id).await), before);
}

fn is_down<T>(answer: &Result<T, IntentError>) -> bool {
    matches!(answer, Err(IntentError::Command(CommandError::Down { .. })))
}
