//! Measures queue depths and store connections. It does so when the metrics are read, because the task that takes from a
//! queue may be the one that hangs.

use std::sync::Arc;

use metrics::Gauge;
use tokio::sync::mpsc;

use crate::node::NodeHandle;
use crate::store::Store;
use crate::telemetry as names;

use super::feed::NodeInput;
use super::messages::ActorMessage;

/// The queues of all nodes.
#[derive(Debug)]
pub struct Depths {
    pub(super) nodes: Vec<NodeQueues>,
    pub(super) store: Arc<dyn Store>,
}

/// The queues of one node.
#[derive(Clone)]
pub(super) struct NodeQueues {
    handle: NodeHandle,
    events: mpsc::WeakSender<NodeInput>,
    work: mpsc::WeakSender<ActorMessage>,
    events_depth: Gauge,
    work_depth: Gauge,
    commands_depth: Gauge,
}

impl std::fmt::Debug for NodeQueues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("NodeQueues")
            .field(&self.handle.id())
            .finish()
    }
}

impl NodeQueues {
    pub(super) fn new(
        handle: NodeHandle,
        events: mpsc::WeakSender<NodeInput>,
        work: mpsc::WeakSender<ActorMessage>,
    ) -> Self {
        let node = handle.id().to_string();
        let depth = |name: &'static str| metrics::gauge!(name, "node" => node.clone());
        Self {
            events_depth: depth(names::ESL_QUEUE_DEPTH),
            work_depth: depth(names::RECONCILER_QUEUE_DEPTH),
            commands_depth: depth(names::NODE_COMMANDS_WAITING),
            handle,
            events,
            work,
        }
    }
}

impl Depths {
    /// Sets the gauges.
    pub fn measure(&self) {
        for node in &self.nodes {
            node.events_depth.set(depth(&node.events));
            node.work_depth.set(depth(&node.work));
            node.commands_depth.set(node.handle.waiting() as f64);
        }
        metrics::counter!(names::STORE_CONNECTIONS).absolute(self.store.connections());
    }
}

/// The number of waiting items; 0 if the queue has no senders any more.
fn depth<T>(queue: &mpsc::WeakSender<T>) -> f64 {
    queue
        .upgrade()
        .map_or(0, |queue| queue.max_capacity() - queue.capacity()) as f64
}
