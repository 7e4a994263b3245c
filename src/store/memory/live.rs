//! What can be listened to, in memory.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::broadcast::{self, error::RecvError};

use super::MemoryStore;
use crate::ids::NodeId;
use crate::store::StoreError;
use crate::store::live::{Heard, Live, LiveEvent, OutboxSlice};

/// What was said, and of which node.
pub(super) type Said = (NodeId, Vec<LiveEvent>);

/// What has been said and not been heard yet by the slowest: whoever is further behind misses something, as on a
/// connection that broke.
const WAITING: usize = 1_024;

pub(super) fn channel() -> broadcast::Sender<Said> {
    broadcast::Sender::new(WAITING)
}

#[async_trait]
impl Live for MemoryStore {
    async fn read_outbox_after(
        &self,
        node: NodeId,
        position: Option<u64>,
        limit: usize,
    ) -> Result<OutboxSlice, StoreError> {
        Ok(self.lock().node(node).queues.after(position, limit))
    }

    async fn say(&self, node: NodeId, live: &[LiveEvent]) -> Result<(), StoreError> {
        // That nobody listens is no mistake.
        let _nobody = self.said.send((node, live.to_vec()));
        Ok(())
    }

    async fn hear(&self, nodes: &[NodeId]) -> Result<Heard, StoreError> {
        let nodes = nodes.to_vec();
        let said = stream::unfold(self.said.subscribe(), |mut said| async move {
            loop {
                match said.recv().await {
                    Ok(word) => return Some((word, said)),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        let of_these = move |(node, _): &Said| {
            let wanted = nodes.contains(node);
            async move { wanted }
        };
        Ok(said.filter(of_these).boxed())
    }
}
