//! [`Live`] in memory.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::broadcast::error::RecvError;

use super::{MemoryStore, NodeLiveEvents};
use crate::store::StoreError;
use crate::store::live::{Live, LiveEvent, LiveStream, OutboxSlice};
use roomkeeper_core::ids::NodeId;

#[async_trait]
impl Live for MemoryStore {
    async fn read_outbox_after(
        &self,
        node: NodeId,
        position: Option<u64>,
        limit: usize,
    ) -> Result<OutboxSlice, StoreError> {
        Ok(self
            .lock()
            .node(node)
            .queues
            .outbox
            .read_after(position, limit))
    }

    async fn publish_live(&self, node: NodeId, live: &[LiveEvent]) -> Result<(), StoreError> {
        // An error only says that nobody is subscribed.
        let _nobody = self.live_events.send((node, live.to_vec()));
        Ok(())
    }

    async fn subscribe_live(&self, nodes: &[NodeId]) -> Result<LiveStream, StoreError> {
        let nodes = nodes.to_vec();
        let said = stream::unfold(self.live_events.subscribe(), |mut said| async move {
            loop {
                match said.recv().await {
                    Ok(word) => return Some((word, said)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let of_these = move |(node, _): &NodeLiveEvents| {
            let wanted = nodes.contains(node);
            async move { wanted }
        };
        Ok(said.filter(of_these).boxed())
    }
}
