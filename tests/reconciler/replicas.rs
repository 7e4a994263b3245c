//! What is asked of a replica that does not have the node comes about like what is asked of the one that has it.

use std::sync::Arc;

use roomkeeper::action;
use roomkeeper::ids::RoomId;
use roomkeeper::reconciler::{Accepted, Intent};
use roomkeeper::room::{Details, Kind, Origin};
use roomkeeper::store::memory::MemoryStore;
use serde_json::json;
use uuid::Uuid;

use crate::world::{DID, World, app, node, session, simulated};

#[tokio::test(flavor = "multi_thread")]
async fn a_join_with_actions_before_it_and_a_recording() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    one.until_told(&call.to_string(), "call.new", 1).await;
    let two = World::with(&sim, store.clone(), |_, _| {}).await;
    let two = two.beside().await;
    let room = RoomId::fresh(node(), Uuid::new_v4());
    let beep = action::read(vec![json!({"type": "beep"})]).unwrap();
    let made = two.ask(Intent::CreateRoom {
        room,
        app: app(),
        name: String::new(),
        origin: Origin::Voipbin,
        kind: Kind::Conference,
        details: Box::new(Details {
            pre_actions: beep,
            ..Details::default()
        }),
    });
    assert_eq!(made.await.unwrap(), Accepted::Created);
    let joins = two.ask(Intent::Join {
        session: call,
        room,
        app: app(),
        muted: None,
        command_uid: None,
    });
    let joins = joins.await;
    assert!(matches!(joins, Ok(Accepted::Joining { .. })), "{joins:?}");
    let id = room.to_string();
    one.until_told(&id, "conference.member.joined", 1).await;
    let recorded = two.ask(Intent::record_start(room, app(), None)).await;
    assert!(
        matches!(recorded, Ok(Accepted::Recording { .. })),
        "{recorded:?}"
    );
    one.until_told(&id, "conference.recording.started", 1).await;
    assert_eq!(one.count(&id, "conference.member.join_failed").await, 0);
    assert_eq!(one.count(&id, "conference.recording.failed").await, 0);
}
