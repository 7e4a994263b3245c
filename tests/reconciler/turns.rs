//! A controller that starts takes in one node after the other, and not each of them halfway.

use std::sync::Arc;
use std::time::Duration;

use roomkeeper::ids::NodeId;
use roomkeeper::reconciler::{Controller, Link};
use roomkeeper::sim::SimNode;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::tampered::{Act, Tampered};
use crate::world::{World, simulated, until};

/// More than are read at once.
const NODES: usize = 20;

/// Less than a snapshot waits for its turn in vain: after that it goes on without one.
const NEXT: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_read_is_compared_before_the_last_one_is_read() {
    let mut sims: Vec<(NodeId, SimNode)> = Vec::new();
    for n in 0..NODES {
        sims.push((format!("aa{n:03}").parse().unwrap(), simulated().await));
    }
    let (store, go) = (Tampered::new(), Arc::new(Notify::new()));
    store.will("read_node", Act::Hold(Arc::clone(&go)));
    let nodes: Vec<(NodeId, &SimNode)> = sims.iter().map(|(id, sim)| (*id, sim)).collect();
    let world = World::of(&nodes, store.clone(), |_, _| {}).await;
    // Events are told of from then on, while what is stored is being read.
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
