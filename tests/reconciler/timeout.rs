//! The timeout of a conference takes effect once, whichever replica owns its node.

use std::sync::Arc;
use std::time::Duration;

use roomkeeper::reconciler::{Accepted, Intent};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::RoomId;
use roomkeeper_core::intent::CreateRoom;
use roomkeeper_core::room::{Details, Kind, Origin};
use uuid::Uuid;

use crate::world::{DID, World, app, call_id, node, simulated, until};

#[tokio::test(flavor = "multi_thread")]
async fn command_ends_once_after_ownership_change() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let room = RoomId::generate(node(), Uuid::new_v4());
    let made = one.submit(Intent::new(
        Target::Room(room),
        app(),
        CreateRoom {
            name: String::new(),
            origin: Origin::Voipbin,
            kind: Kind::Conference,
            details: Box::new(Details {
                timeout: 5,
                ..Details::default()
            }),
        },
    ));
    assert_eq!(made.await.unwrap(), Accepted::CreateRoom(()));
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    one.until_webhook(&call.to_string(), "call.new", 1).await;
    one.join(call, room).await;
    let id = room.to_string();
    one.until_webhook(&id, "conference.member.joined", 1).await;
    let two = World::with(&sim, store.clone(), |_, _| {}).await;
    let two = two.beside().await;
    one.end().await;
    let two = two.synced().await;
    two.until_webhook(&id, "conference.destroyed", 1).await;
    until("the call is parked", async || {
        let truth = sim.snapshot();
        let channel = truth.channel(&call.channel().to_string())?;
        (channel.application.as_deref() == Some("park")).then_some(())
    })
    .await;
    assert_eq!(two.count(&id, "conference.destroyed").await, 1);
    // A third replica finds nothing to do.
    two.end().await;
    let three = World::with(&sim, store.clone(), |settings, _| {
        settings.resync_interval = Duration::from_millis(200);
    });
    let three = three.await.synced().await;
    let again = call_id(&sim.call_in(DID, "1002", &[]));
    three.until_webhook(&again.to_string(), "call.new", 1).await;
    let webhooks = three.webhooks().await;
    let destroyed = webhooks
        .iter()
        .filter(|message| message.event == "conference.destroyed")
        .count();
    assert_eq!(destroyed, 0, "the other replica has sent it");
    three.end().await;
}
