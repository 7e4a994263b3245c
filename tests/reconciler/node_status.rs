//! The status of a node that replicas share, and requests of the operator through any replica.

use std::sync::Arc;
use std::time::Duration;

use freeswitch_sim::SimNode;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Controller, IntentError, NodeReport};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::node_status::{self, NodeStatusStore, OrphanKind, StatusField};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

use crate::world::{DID, World, call_id, node, simulated, until};

/// The interval of the poller, with a margin.
const SOON: Duration = Duration::from_secs(10);

fn report(world: &World) -> NodeReport {
    world.reconciler.nodes().remove(0)
}

async fn resynced_after(world: &World, before: Option<Timestamp>) -> Timestamp {
    until("there is a later snapshot", async || {
        report(world).resynced_at.filter(|at| Some(*at) > before)
    })
    .await
}

/// The owner of the node, and another replica.
async fn two(sim: &SimNode) -> (World, World, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let one = World::with(sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let two = World::with(sim, store.clone(), |_, _| {}).await;
    (one, two.beside().await, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_node_is_known_to_all_replicas_and_later_ones() {
    let sim = simulated().await;
    let (one, two, store) = two(&sim).await;
    two.reconciler.drain(node(), true).await.unwrap();
    assert!(report(&two).draining, "at once, where it was asked");
    let seen = until("the other knows", async || {
        report(&one).draining.then_some(())
    });
    tokio::time::timeout(SOON, seen).await.unwrap();
    let three = World::with(&sim, store.clone(), |_, _| {}).await;
    until("so does one that comes later", async || {
        report(&three).draining.then_some(())
    })
    .await;
    // Existing rooms continue.
    let room = one.room("goes-on").await;
    let call = call_id(&sim.call_in(DID, "1001", &[]));
    one.until_webhook(&call.to_string(), "call.new", 1).await;
    one.join(call, room).await;
    one.until_webhook(&room.to_string(), "conference.member.joined", 1)
        .await;
    one.reconciler.drain(node(), false).await.unwrap();
    for world in [&one, &two, &three] {
        until("it takes rooms again", async || {
            (!report(world).draining).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_takes_snapshot_requested_at_any_replica() {
    let sim = simulated().await;
    let (one, two, _) = two(&sim).await;
    let mut last = resynced_after(&two, None).await;
    // One snapshot follows the connection. The next one would follow after ten minutes.
    for _ in 0..3 {
        two.reconciler.resync(node()).await.unwrap();
        resynced_after(&one, Some(last)).await;
        // The replica that received the request reports it, too.
        last = resynced_after(&two, Some(last)).await;
    }
    one.reconciler.resync(node()).await.unwrap();
    resynced_after(&one, Some(last)).await;
    resynced_after(&two, Some(last)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_unknown_or_down_node_are_refused() {
    let sim = simulated().await;
    let world = World::with(&sim, Arc::new(MemoryStore::new()), |_, _| {}).await;
    let world = world.synced().await;
    let unknown: NodeId = "zzzzz".parse().unwrap();
    for asked in [
        world.reconciler.resync(unknown).await,
        world.reconciler.drain(unknown, true).await,
    ] {
        assert!(
            matches!(asked, Err(IntentError::UnknownNode(node)) if node == unknown),
            "{asked:?}"
        );
    }
    sim.kill();
    let refused = until("it is down", async || {
        world.reconciler.resync(node()).await.err()
    })
    .await;
    assert!(
        matches!(refused, IntentError::Command(CommandError::Down { .. })),
        "{refused:?}"
    );
    let board = world.store.read_node_status(node()).await.unwrap();
    let asked = board.resyncs;
    world.reconciler.resync(node()).await.unwrap_err();
    let board = world.store.read_node_status(node()).await.unwrap();
    assert_eq!(board.resyncs, asked);
    // It is drained all the same.
    world.reconciler.drain(node(), true).await.unwrap();
    assert!(report(&world).draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_report_the_same_node_status() {
    let sim = simulated().await;
    let (one, two, _) = two(&sim).await;
    for n in 0..3 {
        let call = call_id(&sim.call_in(DID, &format!("100{n}"), &[]));
        one.until_webhook(&call.to_string(), "call.new", 1).await;
    }
    let lag = until("the lag is known", async || report(&one).lag_ms).await;
    assert!(lag < 60_000, "{lag}");
    until("the other says the same", async || {
        let (own, webhooks) = (report(&one), report(&two));
        let same = (own.calls, own.drift, own.lag_ms, own.resynced_at)
            == (
                webhooks.calls,
                webhooks.drift,
                webhooks.lag_ms,
                webhooks.resynced_at,
            );
        (same && webhooks.calls == 3).then_some(())
    })
    .await;
    assert!(report(&two).is_compared());
    assert!(!report(&two).synced, "it has not compared it itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_reports_calls_of_no_app() {
    let sim = simulated().await;
    let (one, two, store) = two(&sim).await;
    let foreign = call_id(&sim.call_in("99", "1002", &[]));
    let gone = [("roomkeeper_app", "gone")];
    let of_no_app = call_id(&sim.call_in(DID, "1003", &gone));
    let before = resynced_after(&two, None).await;
    two.reconciler.resync(node()).await.unwrap();
    resynced_after(&one, Some(before)).await;
    let found = until("the report has both", async || {
        let text = store.read_report(node()).await.unwrap()?;
        let report: node_status::OrphanReport =
            node_status::decode(node(), StatusField::Orphans, &text).unwrap();
        (report.at > before && report.calls_total == 2).then_some(report)
    })
    .await;
    let mut calls: Vec<_> = found
        .calls
        .iter()
        .map(|c| {
            (
                c.call,
                c.did.as_str(),
                c.app.as_ref().map(ToString::to_string),
            )
        })
        .collect();
    calls.sort_by_key(|(_, did, _)| did.len());
    assert_eq!(
        calls,
        [
            (foreign, "99", None),
            (of_no_app, DID, Some("gone".to_owned()))
        ]
    );
    assert!(found.conferences.is_empty());
    assert!(found.records.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn conferences_without_a_room_are_reported() {
    let sim = simulated().await;
    let world = World::with(&sim, Arc::new(MemoryStore::new()), |_, _| {}).await;
    let world = world.synced().await;
    let (known, unknown) = (world.room("known").await, session_room());
    for name in [known.to_string(), unknown.clone(), "3500".to_owned()] {
        sim.call_in_with(freeswitch_sim::core::InboundCall {
            did: DID.to_owned(),
            caller_number: "1004".to_owned(),
            plan: vec![
                ("answer".to_owned(), String::new()),
                ("conference".to_owned(), format!("{name}@roomkeeper")),
            ],
            ..Default::default()
        });
    }
    world
        .until_webhook(&known.to_string(), "conference.member.joined", 1)
        .await;
    until("all are there", async || {
        (sim.snapshot().rooms.len() == 3).then_some(())
    })
    .await;
    let before = resynced_after(&world, None).await;
    world.reconciler.resync(node()).await.unwrap();
    resynced_after(&world, Some(before)).await;
    let found = until("the report is written", async || {
        let text = world.store.read_report(node()).await.unwrap()?;
        let report: node_status::OrphanReport =
            node_status::decode(node(), StatusField::Orphans, &text).unwrap();
        (report.at > before).then_some(report)
    })
    .await;
    let webhooks: Vec<_> = found
        .conferences
        .iter()
        .map(|c| (c.kind, c.name.as_str(), c.members))
        .collect();
    assert_eq!(
        webhooks,
        [
            (OrphanKind::Unknown, unknown.as_str(), 1),
            (OrphanKind::Foreign, "3500", 1)
        ]
    );
    assert_eq!(found.conferences_total, 2);
}

/// The name of a room of this node that does not exist.
fn session_room() -> String {
    format!("{}-room-{}", node(), uuid::Uuid::new_v4())
}
