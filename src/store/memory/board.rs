//! The boards of the nodes, in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::ids::NodeId;
use crate::store::board::{Board, Boards, Notice};
use crate::store::{Lease, StoreError};

/// What is on the board of a node.
#[derive(Default)]
pub(super) struct Written {
    board: Board,
    report: Option<String>,
}

impl Written {
    pub(super) fn board(&self) -> Board {
        self.board.clone()
    }
}

#[async_trait]
impl Boards for MemoryStore {
    async fn read_board(&self, node: NodeId) -> Result<Board, StoreError> {
        Ok(self.lock().node(node).board.board())
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError> {
        self.lock().node(node).board.board.draining = draining;
        Ok(())
    }

    async fn ask_resync(&self, node: NodeId) -> Result<(), StoreError> {
        self.lock().node(node).board.board.resyncs += 1;
        Ok(())
    }

    async fn put_notice(
        &self,
        lease: Lease,
        notice: Notice,
        text: &str,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let node = inner.node(lease.node);
        if node.held_lease(now) != Some(&lease) {
            return Ok(false);
        }
        let text = Some(text.to_owned());
        match notice {
            Notice::Standing => node.board.board.standing = text,
            Notice::Report => node.board.report = text,
        }
        Ok(true)
    }

    async fn read_report(&self, node: NodeId) -> Result<Option<String>, StoreError> {
        Ok(self.lock().node(node).board.report.clone())
    }
}
