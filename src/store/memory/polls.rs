//! [`NodePolls`] in memory: polls many nodes at once.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::StoreError;
use crate::store::polls::{NodePoll, NodePolls};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

#[async_trait]
impl NodePolls for MemoryStore {
    async fn poll_nodes(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<NodePoll, StoreError>>, StoreError> {
        let time = self.now();
        let mut inner = self.lock();
        let seen = nodes.iter().map(|node| {
            let node = inner.node(*node);
            Ok(NodePoll {
                status: Some(node.status.clone()),
                due: node.deadlines.first().is_some_and(|(at, _)| *at <= now),
                deliveries: node.queues.has_work(time),
            })
        });
        Ok(seen.collect())
    }
}
