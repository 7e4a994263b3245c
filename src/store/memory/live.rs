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
        // An error only means that there is no subscriber.
        let _no_subscriber = self.live_events.send((node, live.to_vec()));
        Ok(())
    }

    async fn subscribe_live(&self, nodes: &[NodeId]) -> Result<LiveStream, StoreError> {
        let nodes = nodes.to_vec();
        let events = stream::unfold(self.live_events.subscribe(), |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let of_these = move |(node, _): &NodeLiveEvents| {
            let wanted = nodes.contains(node);
            async move { wanted }
        };
        Ok(events.filter(of_these).boxed())
    }
}
