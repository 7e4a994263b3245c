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

use crate::world::{DID, World, app, call_id, node, simulated};

#[tokio::test(flavor = "multi_thread")]
async fn join_with_pre_actions_and_recording_work_at_any_replica() {
    let (sim, store) = (simulated().await, Arc::new(MemoryStore::new()));
    let one = World::with(&sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    one.until_webhook(&call.to_string(), "call.new", 1).await;
    let two = World::with(&sim, store.clone(), |_, _| {}).await;
    let two = two.beside().await;
    let room = RoomId::generate(node(), Uuid::new_v4());
    let beep = action::parse_list(vec![json!({"type": "beep"})]).unwrap();
    let made = two.submit(Intent::new(
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
    let joins = two.submit(Intent::new(
        Target::Member { room, call },
        app(),
        Join::default(),
    ));
    let joins = joins.await;
    assert!(
        matches!(joins, Ok(Accepted::Join(JoinAccepted::Joining { .. }))),
        "{joins:?}"
    );
    let id = room.to_string();
    one.until_webhook(&id, "conference.member.joined", 1).await;
    let recorded = two
        .submit(Intent::new(Target::Room(room), app(), StartRecording::default()).with_uid(None))
        .await;
    assert!(
        matches!(
            recorded,
            Ok(Accepted::StartRecording(RecordingAccepted { .. }))
        ),
        "{recorded:?}"
    );
    one.until_webhook(&id, "conference.recording.started", 1)
        .await;
    assert_eq!(one.count(&id, "conference.member.join_failed").await, 0);
    assert_eq!(one.count(&id, "conference.recording.failed").await, 0);
}
