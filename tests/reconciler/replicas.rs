//! Two replicas on one store: what one has begun, the other knows when it is asked about it.

use roomkeeper::reconciler::{Accepted, Controller, Intent, IntentError, Refusal};
use roomkeeper::session::Place;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::record::decode_session;
use roomkeeper::store::{EntityId, Store};
use std::sync::Arc;

use crate::world::{DID, World, app, session, simulated, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_refuses_by_what_another_replica_has_begun_not_by_what_it_remembers() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let owner = World::with(&sim, store.clone(), |_, _| {});
    let owner = owner.await.synced().await;
    let other = World::with(&sim, store.clone(), |_, _| {}).await;
    until("the other one leaves the node to its owner", async || {
        other.reconciler.nodes()[0].owned_elsewhere.then_some(())
    })
    .await;
    let room = owner.room("walk").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    owner.until_told(&call.to_string(), "call.new", 1).await;

    // FreeSWITCH says nothing, so that the owner hears of it from nobody.
    sim.stall(true);
    let (asking, intent) = (other.reconciler.clone(), join(call, room));
    let joining = tokio::spawn(async move { asking.submit(intent).await });
    until("the join is stored", async || {
        let record = store.read(EntityId::Session(call)).await.unwrap()?;
        let stored = decode_session(call, &record).unwrap();
        matches!(stored.place(), Place::Joining(_)).then_some(())
    })
    .await;
    let leave = Intent::Leave {
        session: call,
        app: app(),
        command_uid: None,
    };
    let refused = owner.ask(leave).await.unwrap_err();
    assert!(
        matches!(refused, IntentError::Refused(Refusal::StillJoining)),
        "{refused:?}"
    );

    sim.stall(false);
    let joined = joining.await.unwrap().unwrap();
    assert!(matches!(joined, Accepted::Joining { .. }), "{joined:?}");
    let told = "conference.member.joined";
    owner.until_told(&room.to_string(), told, 1).await;
    owner.end().await;
    other.end().await;
}

fn join(session: roomkeeper::ids::SessionId, room: roomkeeper::ids::RoomId) -> Intent {
    Intent::Join {
        session,
        room,
        app: app(),
        muted: Some(false),
        command_uid: None,
    }
}
