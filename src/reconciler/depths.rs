//! How much waits for the nodes, and how often the store was connected to: looked at when somebody wants to know, because
//! whoever takes from a queue may be the one that hangs.

use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::mpsc;

use crate::node::NodeHandle;
use crate::store::Store;
use crate::telemetry as names;

use super::actor::Work;
use super::feed::FromNode;

/// See the module.
#[derive(Debug)]
pub struct Depths {
    pub(super) nodes: Vec<OfNode>,
    pub(super) store: Arc<dyn Store>,
}

/// The queues of one node.
#[derive(Clone)]
pub(super) struct OfNode {
    handle: NodeHandle,
    news: mpsc::WeakSender<FromNode>,
    work: mpsc::WeakSender<Work>,
    news_depth: Gauge,
    work_depth: Gauge,
    commands_depth: Gauge,
}

impl std::fmt::Debug for OfNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("OfNode").field(&self.handle.id()).finish()
    }
}

impl OfNode {
    pub(super) fn new(
        handle: NodeHandle,
        news: mpsc::WeakSender<FromNode>,
        work: mpsc::WeakSender<Work>,
    ) -> Self {
        let node = handle.id().to_string();
        let depth = |name: &'static str| metrics::gauge!(name, "node" => node.clone());
        Self {
            news_depth: depth(names::ESL_QUEUE_DEPTH),
            work_depth: depth(names::RECONCILER_QUEUE_DEPTH),
            commands_depth: depth(names::NODE_COMMANDS_WAITING),
            handle,
            news,
            work,
        }
    }
}

impl Depths {
    /// Sets the gauges.
    pub fn measure(&self) {
        for node in &self.nodes {
            node.news_depth.set(depth(&node.news));
            node.work_depth.set(depth(&node.work));
            node.commands_depth.set(node.handle.waiting() as f64);
        }
        metrics::counter!(names::STORE_CONNECTIONS).absolute(self.store.connections());
    }
}

/// Nothing waits in what nobody puts anything into any more.
fn depth<T>(queue: &mpsc::WeakSender<T>) -> f64 {
    queue
        .upgrade()
        .map_or(0, |queue| queue.max_capacity() - queue.capacity()) as f64
}
