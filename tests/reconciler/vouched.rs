//! What the owner of a node believes is enough for a caller's command, where it is what is stored; where it is not, the
//! caller is told to look it up.

use std::sync::Arc;

use roomkeeper::ids::{RoomId, SessionId};
use roomkeeper::reconciler::{Accepted, Controller, Intent, IntentError, Refusal};
use roomkeeper::sim::SimNode;
use roomkeeper::store::Store;
use roomkeeper::store::memory::MemoryStore;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::tampered::{Act, Tampered};
use crate::world::{DID, World, app, node, session, simulated};

fn join(session: SessionId, room: RoomId, by: &str) -> Intent {
    Intent::Join {
        session,
        room,
        app: by.parse().unwrap(),
        muted: None,
        command_uid: None,
    }
}

/// Another replica, which has no lease and can give commands.
async fn second(sim: &SimNode, store: Arc<dyn Store>) -> World {
    World::with(sim, store, |_, _| {}).await.beside().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_of_what_is_believed_asks_the_store_for_nothing() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let room = world.room("walk").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    world.until_told(&call.to_string(), "call.new", 1).await;
    // Whoever reads waits for ever.
    for method in ["read", "read_head"] {
        store.will(method, Act::Hold(Arc::new(Notify::new())));
    }
    let intent = join(call, room, app().as_str());
    assert!(world.reconciler.vouches_for(&intent).await);
    let accepted = world.reconciler.submit_as_believed(&intent).await;
    assert!(
        matches!(accepted, Some(Ok(Accepted::Joining { room: into, .. })) if into == room),
        "{accepted:?}"
    );
    assert_eq!(store.fired(), 0);
    for method in ["read", "read_head"] {
        store.behaves(method);
    }
    let joined = "conference.member.joined";
    world.until_told(&room.to_string(), joined, 1).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_is_not_believed_nothing_is_said_and_nothing_done() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let room = world.room("walk").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    world.until_told(&call.to_string(), "call.new", 1).await;
    for method in ["read", "read_head"] {
        store.will(method, Act::Hold(Arc::new(Notify::new())));
    }
    let stranger = session(&Uuid::from_u128(7).to_string());
    let no_room = RoomId::new(node(), Uuid::from_u128(7));
    let elsewhere = RoomId::new("bbbbb".parse().unwrap(), room.uuid());
    let hangup = Intent::Hangup {
        session: call,
        app: app(),
        cause: None,
    };
    for intent in [
        join(stranger, room, "demo"),
        join(call, no_room, "demo"),
        join(call, elsewhere, "demo"),
        join(call, room, "other"),
        Intent::Leave {
            session: call,
            app: "other".parse().unwrap(),
            command_uid: None,
        },
        // It changes nothing that is stored: no commit would say whether the belief is right.
        hangup,
    ] {
        assert!(!world.reconciler.vouches_for(&intent).await, "{intent:?}");
        let answer = world.reconciler.submit_as_believed(&intent).await;
        assert!(answer.is_none(), "{intent:?}: {answer:?}");
    }
    assert_eq!(store.fired(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_does_not_have_the_node_believes_nothing() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let room = one.room("walk").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    one.until_told(&call.to_string(), "call.new", 1).await;
    let two = second(&sim, store.clone()).await;
    let intent = join(call, room, "demo");
    assert!(!two.reconciler.vouches_for(&intent).await);
    assert!(two.reconciler.submit_as_believed(&intent).await.is_none());
    // Looked up, it comes about.
    assert!(matches!(
        two.ask(intent).await,
        Ok(Accepted::Joining { .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_another_replica_has_ended_is_not_found() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let room = one.room("walk").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    one.until_told(&call.to_string(), "call.new", 1).await;
    let two = second(&sim, store.clone()).await;
    two.delete(room).await;
    let intent = join(call, room, "demo");
    assert!(one.reconciler.vouches_for(&intent).await, "it was not told");
    let answer = one.reconciler.submit_as_believed(&intent).await;
    assert!(
        matches!(
            answer,
            Some(Err(IntentError::Refused(Refusal::RoomNotFound)))
        ),
        "{answer:?}"
    );
    assert!(!one.reconciler.vouches_for(&intent).await, "it knows now");
}
