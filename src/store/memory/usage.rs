//! [`Usage`] in memory: counts the bytes of each app on request.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::MemoryStore;
use super::node::Entity;
use crate::store::StoreError;
use crate::store::deliveries::DeliveryStatus;
use crate::store::usage::{ENTITY_BYTES, LARGE, MESSAGE_BYTES, NodeUsage, Usage, VIEW_BYTES};
use roomkeeper_core::ids::NodeId;

fn bytes(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

fn of_entity(entity: &Entity) -> u64 {
    let values = entity.head.values().chain(entity.parts.values());
    let large = values.filter(|value| value.len() >= LARGE);
    ENTITY_BYTES + large.map(|value| bytes(value)).sum::<u64>()
}

#[async_trait]
impl Usage for MemoryStore {
    async fn read_usage(&self, node: NodeId) -> Result<NodeUsage, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let state = inner.node(node);
        state.expire(now);
        let mut apps = BTreeMap::new();
        for entity in state.entities.values() {
            if let Some((app, _)) = &entity.listed {
                *apps.entry(app.clone()).or_default() += of_entity(entity);
            }
        }
        // The views of live memberships are as many as the members.
        let ended = state
            .views
            .values()
            .filter(|view| view.kept_until.is_some());
        for view in ended.filter(|view| !view.written.body.is_empty()) {
            let app = view.written.listing.app.clone();
            *apps.entry(app).or_default() += VIEW_BYTES + bytes(&view.written.body);
        }
        for message in state.queues.outbox.waiting() {
            *apps.entry(message.app.clone()).or_default() += MESSAGE_BYTES + bytes(&message.body);
        }
        let endpoints = state
            .queues
            .bytes(&[DeliveryStatus::Pending, DeliveryStatus::Dead]);
        Ok(NodeUsage { apps, endpoints })
    }
}
