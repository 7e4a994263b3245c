//! A starting controller finishes some nodes before it reads the others.

use std::sync::Arc;
use std::time::Duration;

use freeswitch_sim::SimNode;
use roomkeeper::reconciler::{Controller, Link};
use roomkeeper_core::ids::NodeId;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::tampered::{Act, Tampered};
use crate::world::{World, simulated, until};

/// More nodes than permits.
const NODES: usize = 20;

/// Less than the time after which a snapshot goes on without a permit.
const NEXT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn first_nodes_are_compared_before_all_are_read() {
    let mut sims: Vec<(NodeId, SimNode)> = Vec::new();
    for n in 0..NODES {
        sims.push((format!("aa{n:03}").parse().unwrap(), simulated().await));
    }
    let (store, go) = (Tampered::new(), Arc::new(Notify::new()));
    store.will("read_node", Act::Hold(Arc::clone(&go)));
    let nodes: Vec<(NodeId, &SimNode)> = sims.iter().map(|(id, sim)| (*id, sim)).collect();
    let world = World::with_nodes(&nodes, store.clone(), |_, _| {}).await;
    // Events arrive from here on, while the stored state is read.
    until("each has both of its connections", async || {
        let open = sims.iter().all(|(_, sim)| sim.connections() == 2);
        let links = world.reconciler.nodes().into_iter();
        let mut links = links.map(|report| report.link);
        (open && links.all(|link| link == Link::Up)).then_some(())
    })
    .await;
    let synced = async || world.reconciler.nodes().iter().any(|report| report.synced);
    assert!(!synced().await);
    until("one is compared, or all are read", async || {
        go.notify_one();
        let one = until("one is compared", async || synced().await.then_some(()));
        let is_one = timeout(NEXT, one).await.is_ok();
        (is_one || store.calls_of("read_node") == NODES as u64).then_some(())
    })
    .await;
    assert!(store.fired() > 0);
    assert!(synced().await);
    let read = store.calls_of("read_node");
    assert!(read < NODES as u64, "all had to be read first");
    store.behaves("read_node");
    for _ in 0..NODES {
        go.notify_one();
    }
    until("all are compared", async || {
        go.notify_waiters();
        let reports = world.reconciler.nodes();
        reports.iter().all(|report| report.synced).then_some(())
    })
    .await;
    world.end().await;
}
