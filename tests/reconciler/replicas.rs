//! Intents at a replica that does not own the node have the same effect as at the owner.

use std::sync::Arc;

use roomkeeper::reconciler::{Accepted, Intent};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper_core::action;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::RoomId;
use roomkeeper_core::intent::CreateRoom;
use roomkeeper_core::intent::{Join, JoinAccepted, RecordingAccepted, StartRecording};
use roomkeeper_core::room::{Details, Kind, Origin};
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
    let beep = action::parse_list(vec![json!({"type": "beep"})]).unwrap();
    let made = two.ask(Intent::new(
        Target::Room(room),
        app(),
        CreateRoom {
            name: String::new(),
            origin: Origin::Voipbin,
            kind: Kind::Conference,
            details: Box::new(Details {
                pre_actions: beep,
                ..Details::default()
            }),
        },
    ));
    assert_eq!(made.await.unwrap(), Accepted::CreateRoom(()));
    let joins = two.ask(Intent::new(
        Target::Member { room, call },
        app(),
        Join { muted: None },
    ));
    let joins = joins.await;
    assert!(
        matches!(joins, Ok(Accepted::Join(JoinAccepted::Joining { .. }))),
        "{joins:?}"
    );
    let id = room.to_string();
    one.until_told(&id, "conference.member.joined", 1).await;
    let recorded = two
        .ask(Intent::new(Target::Room(room), app(), StartRecording).with_uid(None))
        .await;
    assert!(
        matches!(
            recorded,
            Ok(Accepted::StartRecording(RecordingAccepted { .. }))
        ),
        "{recorded:?}"
    );
    one.until_told(&id, "conference.recording.started", 1).await;
    assert_eq!(one.count(&id, "conference.member.join_failed").await, 0);
    assert_eq!(one.count(&id, "conference.recording.failed").await, 0);
}
