//! The status of nodes in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::node_status::{NodeStatus, NodeStatusStore, StatusField};
use crate::store::{Lease, StoreError};
use roomkeeper_core::ids::NodeId;

#[async_trait]
impl NodeStatusStore for MemoryStore {
    async fn read_node_status(&self, node: NodeId) -> Result<NodeStatus, StoreError> {
        Ok(self.lock().node(node).status.clone())
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError> {
        self.lock().node(node).status.draining = draining;
        Ok(())
    }

    async fn request_resync(&self, node: NodeId) -> Result<(), StoreError> {
        self.lock().node(node).status.resyncs += 1;
        Ok(())
    }

    async fn write_status(
        &self,
        lease: Lease,
        field: StatusField,
        text: &str,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let node = inner.node(lease.node);
        if node.held_lease(now) != Some(&lease) {
            return Ok(false);
        }
        let text = Some(text.to_owned());
        match field {
            StatusField::Owner => node.status.owner = text,
            StatusField::Orphans => node.report = text,
        }
        Ok(true)
    }

    async fn read_report(&self, node: NodeId) -> Result<Option<String>, StoreError> {
        Ok(self.lock().node(node).report.clone())
    }
}
