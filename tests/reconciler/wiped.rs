//! A store that loses everything while a call joins a room.

use std::sync::Arc;
use std::time::Duration;

use roomkeeper::reconciler::Accepted;
use roomkeeper::store::memory::MemoryStore;
use roomkeeper_core::intent::FlagAccepted;
use roomkeeper_core::room::MemberFlag;

use crate::world::{DID, World, call_id, simulated, until};

#[tokio::test(flavor = "multi_thread")]
async fn room_is_rebuilt_when_its_conference_was_not_described() {
    let sim = simulated().await;
    let world = World::with(&sim, Arc::new(MemoryStore::new()), |_, patience| {
        // No deadline asks for a snapshot, which would show the conference.
        patience.join = Duration::from_secs(600);
    })
    .await
    .synced()
    .await;
    let room = world.room("wiped").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    world.until_webhook(&call.to_string(), "call.new", 1).await;
    // `conference-create` never arrives, so the conference is not described.
    sim.lose_events_about(Some(&room.to_string()));
    world.join(call, room).await;
    until("the call is in the conference", async || {
        let snapshot = sim.snapshot();
        let conference = snapshot.room(&room.to_string())?;
        (conference.members.len() == 1).then_some(())
    })
    .await;
    world.end().await;
    assert!(sim.faults().core.dropped > 0, "events were lost");
    sim.lose_events_about(None);

    let world = World::with(&sim, Arc::new(MemoryStore::new()), |_, _| {}).await;
    let world = world.synced().await;
    // The reconciler reports this call only after it has merged its first snapshot.
    let second = call_id(&sim.call_in(DID, "1002", &[]));
    world
        .until_webhook(&second.to_string(), "call.new", 1)
        .await;
    // The app still has the room, and the room its member.
    world.join(second, room).await;
    let joined = "conference.member.joined";
    world.until_webhook(&room.to_string(), joined, 2).await;
    let accepted = world.mute(call, true).await.unwrap();
    assert_eq!(
        accepted,
        Accepted::SetFlag(FlagAccepted {
            room,
            flag: MemberFlag::Speak,
            on: false
        })
    );
    world.end().await;
}
