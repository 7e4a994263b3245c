//! The boards of the nodes, on Redis: one hash a node.

use async_trait::async_trait;
use redis::Cmd;

use super::{NOTICE, RedisStore};
use crate::ids::NodeId;
use crate::store::board::{Board, Boards, Notice};
use crate::store::{Lease, StoreError, keys};

/// There while no new room is placed on the node.
const DRAINING: &str = "draining";

/// How often a snapshot was asked for.
const RESYNCS: &str = "resyncs";

/// What [`read`] is answered.
pub(super) type Fields = (Option<String>, Option<u64>, Option<String>);

/// Asks for what [`written`] reads.
pub(super) fn read(key: &str) -> Cmd {
    let mut command = redis::cmd("HMGET");
    command.arg(key).arg(DRAINING).arg(RESYNCS);
    command.arg(Notice::Standing.as_str());
    command
}

pub(super) fn written((draining, resyncs, standing): Fields) -> Board {
    Board {
        draining: draining.is_some(),
        resyncs: resyncs.unwrap_or_default(),
        standing,
    }
}

#[async_trait]
impl Boards for RedisStore {
    async fn read_board(&self, node: NodeId) -> Result<Board, StoreError> {
        let key = keys::board(node);
        let fields = self.query(&key, &read(&key)).await;
        fields.map(written)
    }

    async fn set_draining(&self, node: NodeId, draining: bool) -> Result<(), StoreError> {
        let key = keys::board(node);
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

    async fn ask_resync(&self, node: NodeId) -> Result<(), StoreError> {
        let key = keys::board(node);
        let mut command = redis::cmd("HINCRBY");
        command.arg(&key).arg(RESYNCS).arg(1);
        self.query::<u64>(&key, &command).await.map(drop)
    }

    async fn put_notice(
        &self,
        lease: Lease,
        notice: Notice,
        text: &str,
    ) -> Result<bool, StoreError> {
        let key = keys::board(lease.node);
        self.run(&NOTICE, &key, 2, |command| {
            command
                .arg(keys::lease(lease.node))
                .arg(&key)
                .arg(lease.epoch)
                .arg(lease.owner.to_string())
                .arg(notice.as_str())
                .arg(text);
        })
        .await
    }

    async fn read_report(&self, node: NodeId) -> Result<Option<String>, StoreError> {
        let key = keys::board(node);
        let mut command = redis::cmd("HGET");
        command.arg(&key).arg(Notice::Report.as_str());
        self.query(&key, &command).await
    }
}
