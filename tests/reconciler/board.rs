//! What the replicas tell each other of a node, and what the operator asks of it through any of them.

use std::sync::Arc;
use std::time::Duration;

use roomkeeper::ids::NodeId;
use roomkeeper::node::CommandError;
use roomkeeper::reconciler::{Controller, IntentError, NodeReport};
use roomkeeper::sim::SimNode;
use roomkeeper::store::board::{self, Boards, Notice, OrphanKind};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::time::Timestamp;

use crate::world::{DID, World, node, session, simulated, until};

/// As often as a replica looks, and some time to look in.
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

/// One replica that has the node, and one that does not.
async fn two(sim: &SimNode) -> (World, World, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let one = World::with(sim, store.clone(), |_, _| {}).await;
    let one = one.synced().await;
    let two = World::with(sim, store.clone(), |_, _| {}).await;
    (one, two.beside().await, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_drains_is_known_to_all_replicas_and_to_those_that_come_later() {
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
    // What is there goes on.
    let room = one.room("goes-on").await;
    let call = session(&sim.call_in(DID, "1001", &[]));
    one.until_told(&call.to_string(), "call.new", 1).await;
    one.join(call, room).await;
    one.until_told(&room.to_string(), "conference.member.joined", 1)
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
async fn a_snapshot_is_taken_by_the_owner_whoever_is_asked() {
    let sim = simulated().await;
    let (one, two, _) = two(&sim).await;
    let mut last = resynced_after(&two, None).await;
    // One comes by itself, soon after the connection. The next one after that would come in ten minutes.
    for _ in 0..3 {
        two.reconciler.resync(node()).await.unwrap();
        resynced_after(&one, Some(last)).await;
        // And the one that was asked says so, too.
        last = resynced_after(&two, Some(last)).await;
    }
    one.reconciler.resync(node()).await.unwrap();
    resynced_after(&one, Some(last)).await;
    resynced_after(&two, Some(last)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_asked_of_a_node_that_is_not_there() {
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
    let board = world.store.read_board(node()).await.unwrap();
    let asked = board.resyncs;
    world.reconciler.resync(node()).await.unwrap_err();
    let board = world.store.read_board(node()).await.unwrap();
    assert_eq!(board.resyncs, asked);
    // It drains all the same.
    world.reconciler.drain(node(), true).await.unwrap();
    assert!(report(&world).draining);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_a_node_stands_is_told_by_all() {
    let sim = simulated().await;
    let (one, two, _) = two(&sim).await;
    for n in 0..3 {
        let call = session(&sim.call_in(DID, &format!("100{n}"), &[]));
        one.until_told(&call.to_string(), "call.new", 1).await;
    }
    let lag = until("the lag is known", async || report(&one).lag_ms).await;
    assert!(lag < 60_000, "{lag}");
    until("the other says the same", async || {
        let (own, told) = (report(&one), report(&two));
        let same = (own.calls, own.drift, own.lag_ms, own.resynced_at)
            == (told.calls, told.drift, told.lag_ms, told.resynced_at);
        (same && told.calls == 3).then_some(())
    })
    .await;
    assert!(report(&two).is_compared());
    assert!(!report(&two).synced, "it has not compared it itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_nothing_is_reported_by_the_owner() {
    let sim = simulated().await;
    let (one, two, store) = two(&sim).await;
    let foreign = session(&sim.call_in("99", "1002", &[]));
    let gone = [("roomkeeper_app", "gone")];
    let of_no_app = session(&sim.call_in(DID, "1003", &gone));
    let before = resynced_after(&two, None).await;
    two.reconciler.resync(node()).await.unwrap();
    resynced_after(&one, Some(before)).await;
    let found = until("the report has both", async || {
        let text = store.read_report(node()).await.unwrap()?;
        let report: board::NodeReport = board::decode(node(), Notice::Report, &text).unwrap();
        (report.at > before && report.calls_total == 2).then_some(report)
    })
    .await;
    let mut calls: Vec<_> = found
        .calls
        .iter()
        .map(|c| {
            (
                c.session,
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
async fn conferences_that_are_no_room_are_reported() {
    let sim = simulated().await;
    let world = World::with(&sim, Arc::new(MemoryStore::new()), |_, _| {}).await;
    let world = world.synced().await;
    let (known, unknown) = (world.room("known").await, session_room());
    for name in [known.to_string(), unknown.clone(), "3500".to_owned()] {
        sim.call_in_with(roomkeeper::sim::core::InboundCall {
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
        .until_told(&known.to_string(), "conference.member.joined", 1)
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
        let report: board::NodeReport = board::decode(node(), Notice::Report, &text).unwrap();
        (report.at > before).then_some(report)
    })
    .await;
    let told: Vec<_> = found
        .conferences
        .iter()
        .map(|c| (c.kind, c.name.as_str(), c.members))
        .collect();
    assert_eq!(
        told,
        [
            (OrphanKind::Unknown, unknown.as_str(), 1),
            (OrphanKind::Foreign, "3500", 1)
        ]
    );
    assert_eq!(found.conferences_total, 2);
}

/// The name of a room of this node that there is not.
fn session_room() -> String {
    format!("{}-room-{}", node(), uuid::Uuid::new_v4())
}
