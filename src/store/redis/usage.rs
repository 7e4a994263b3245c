//! The bytes of each app, on Redis: counters in the node's slot, which the writing scripts maintain.

use std::collections::BTreeMap;
use std::str::FromStr;

use async_trait::async_trait;

use super::RedisStore;
use super::scripts::{RECOUNT, USAGE};
use super::values::Pairs;
use crate::store::usage::{NodeUsage, Usage};
use crate::store::{StoreError, keys};
use roomkeeper_core::ids::NodeId;

#[async_trait]
impl Usage for RedisStore {
    async fn read_usage(&self, node: NodeId) -> Result<NodeUsage, StoreError> {
        let key = keys::live_bytes(node);
        let (apps, endpoints): (Pairs, Pairs) = self
            .run(&USAGE, &key, 4, |command| {
                command
                    .arg(&key)
                    .arg(keys::ended_bytes(node))
                    .arg(keys::outbox_bytes(node))
                    .arg(keys::delivery_bytes(node));
            })
            .await?;
        Ok(NodeUsage {
            apps: summed(apps),
            endpoints: summed(endpoints),
        })
    }
}

/// Sums by name. A counter below zero began late and counts as nothing.
fn summed<T: FromStr + Ord>(pairs: Pairs) -> BTreeMap<T, u64> {
    let mut sums: BTreeMap<T, i64> = BTreeMap::new();
    for (name, bytes) in pairs {
        if let (Ok(name), Ok(bytes)) = (name.parse(), bytes.parse::<i64>()) {
            let sum = sums.entry(name).or_default();
            *sum = sum.saturating_add(bytes);
        }
    }
    let positive = sums.into_iter();
    positive
        .filter_map(|(name, bytes)| Some((name, u64::try_from(bytes).ok().filter(|b| *b > 0)?)))
        .collect()
}

impl RedisStore {
    /// Returns the number of changes of the count of live bytes.
    pub(super) async fn count_changes(&self, node: NodeId) -> Result<u64, StoreError> {
        let key = keys::live_bytes(node);
        let mut command = redis::cmd("HGET");
        command.arg(&key).arg("#w");
        let changes: Option<u64> = self.query(&key, &command).await?;
        Ok(changes.unwrap_or_default())
    }

    /// Replaces the count of live bytes by the sum from reading the node, unless it has changed since.
    pub(super) async fn recount(
        &self,
        node: NodeId,
        changes: u64,
        found: &BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let key = keys::live_bytes(node);
        self.run::<redis::Value>(&RECOUNT, &key, 1, |command| {
            command.arg(&key).arg(changes);
            for (app, bytes) in found {
                command.arg(app).arg(bytes);
            }
        })
        .await
        .map(drop)
    }
}
