//! The store poller, and the requests that it saves for an idle node.

use crate::panics::METRICS;
use crate::tampered::{Act, Tampered};
use crate::world::{World, node, simulated, until};
use roomkeeper::reconciler::Controller;
use roomkeeper::store::node_status::NodeStatusStore;

/// The requests of a replica for its own idle node.
const ALWAYS: [&str; 2] = ["poll_nodes", "acquire_lease"];

#[tokio::test(flavor = "multi_thread")]
async fn idle_node_sends_no_request_of_its_own() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let others = || store.calls().filter(|(name, _)| !ALWAYS.contains(name));
    let polls = || store.calls_of("poll_nodes");
    // The work after the first connection must have ended.
    until("several polls, and nothing besides", async || {
        let (before, started) = (others().collect::<Vec<_>>(), polls());
        until("several polls", async || {
            (polls() >= started + 4).then_some(())
        })
        .await;
        (others().collect::<Vec<_>>() == before).then_some(())
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn poller_restarts_after_a_panic() {
    let (sim, store) = (simulated().await, Tampered::new());
    let _counted = &*METRICS;
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    store.will("poll_nodes", Act::PanicOnce);
    until("it panics", async || (store.fired() == 1).then_some(())).await;
    // Like another replica.
    store.set_draining(node(), true).await.unwrap();
    until("what was written since is seen", async || {
        world.reconciler.nodes()[0].draining.then_some(())
    })
    .await;
    world.end().await;
}
