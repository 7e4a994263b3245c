//! What is to be seen of many nodes at once, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::ids::NodeId;
use crate::store::StoreError;
use crate::store::looks::{Looks, Sight};
use crate::time::Timestamp;

#[async_trait]
impl Looks for MemoryStore {
    async fn look_at(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<Sight, StoreError>>, StoreError> {
        let time = self.now();
        let mut inner = self.lock();
        let seen = nodes.iter().map(|node| {
            let node = inner.node(*node);
            Ok(Sight {
                board: Some(node.board.board()),
                due: node.deadlines.first().is_some_and(|(at, _)| *at <= now),
                deliveries: node.queues.has_something(time),
            })
        });
        Ok(seen.collect())
    }
}
