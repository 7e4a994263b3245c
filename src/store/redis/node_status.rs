//! The status of nodes on Redis: one hash per node.

use async_trait::async_trait;
use redis::Cmd;

use super::RedisStore;
use super::scripts::NOTICE;
use crate::store::node_status::{NodeStatus, NodeStatusStore, StatusField};
use crate::store::{Lease, StoreError, keys};
use roomkeeper_core::ids::NodeId;

/// The field that exists while no new room is placed on the node.
const DRAINING: &str = "draining";

/// The field with the number of requested snapshots.
const RESYNCS: &str = "resyncs";

/// The answer to [`read`].
pub(super) type Fields = (Option<String>, Option<u64>, Option<String>);

/// Returns the command that reads the fields for [`from_fields`].
pub(super) fn read(key: &str) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg(DRAINING).arg(RESYNCS);
    command.arg(StatusField::Owner.as_str());
    command
}

pub(super) fn from_fields((draining, resyncs, owner): Fields) -> NodeStatus {
    NodeStatus {
        draining: draining.is_some(),
        resyncs: resyncs.unwrap_or_default(),
        owner,
    }
}

#[async_trait]
impl NodeStatusStore for RedisStore {
    async fn read_node_status(&self, node: NodeId) -> Result<NodeStatus, StoreError> {
        let key = keys::node_status(node);
        let fields = self.query(&key, &read(&key)).await;
        fields.map(from_fields)
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError> {
        let key = keys::node_status(node);
        let mut command = if draining {
            redis::cmd("HSET")
        } else {
            redis::cmd("HDEL")
        };
        command.arg(&key).arg(DRAINING);
        if draining {
            command.arg(1);
        }
        self.query::<u64>(&key, &command).await.map(drop)
    }

    async fn request_resync(&self, node: NodeId) -> Result<(), StoreError> {
        let key = keys::node_status(node);
        let mut command = redis::cmd("HINCRBY");
        command.arg(&key).arg(RESYNCS).arg(1);
        self.query::<u64>(&key, &command).await.map(drop)
    }

    async fn write_status(
        &self,
        lease: Lease,
        field: StatusField,
        text: &str,
    ) -> Result<bool, StoreError> {
        let key = keys::node_status(lease.node);
        self.run(&NOTICE, &key, 2, |command| {
            command
                .arg(keys::lease(lease.node))
                .arg(&key)
                .arg(lease.epoch)
                .arg(lease.owner.to_string())
                .arg(field.as_str())
                .arg(text);
        })
        .await
    }

    async fn read_report(&self, node: NodeId) -> Result<Option<String>, StoreError> {
        let key = keys::node_status(node);
        let mut command = redis::cmd("HGET");
        command.arg(&key).arg(StatusField::Orphans.as_str());
        self.query(&key, &command).await
    }
}
