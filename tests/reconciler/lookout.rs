//! Who looks at the store for all nodes, and who need not.

use crate::panics::METRICS;
use crate::tampered::{Act, Tampered};
use crate::world::{World, node, simulated, until};
use roomkeeper::reconciler::Controller;
use roomkeeper::store::board::Boards;

/// What a replica asks the store for a node that is its own, also while nothing happens.
const ALWAYS: [&str; 2] = ["look_at", "acquire_lease"];

#[tokio::test(flavor = "multi_thread")]
async fn a_node_on_which_nothing_happens_asks_the_store_for_nothing() {
    let (sim, store) = (simulated().await, Tampered::new());
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    let others = || store.calls().filter(|(name, _)| !ALWAYS.contains(name));
    let looks = || store.calls_of("look_at");
    // What follows the first connection has to be over.
    until("several looks, and nothing besides", async || {
        let (before, begun) = (others().collect::<Vec<_>>(), looks());
        until("it was looked several times", async || {
            (looks() >= begun + 4).then_some(())
        })
        .await;
        (others().collect::<Vec<_>>() == before).then_some(())
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_goes_on_after_a_panic() {
    let (sim, store) = (simulated().await, Tampered::new());
    let _counted = &*METRICS;
    let world = World::with(&sim, store.clone(), |_, _| {}).await;
    let world = world.synced().await;
    store.will("look_at", Act::PanicOnce);
    until("it panics", async || (store.fired() == 1).then_some(())).await;
    // As another replica does.
    store.set_draining(node(), true).await.unwrap();
    until("what was written since is seen", async || {
        world.reconciler.nodes()[0].draining.then_some(())
    })
    .await;
    world.end().await;
}
