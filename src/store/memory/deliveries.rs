//! [`Deliveries`] in memory.

use std::time::Duration;

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::StoreError;
use crate::store::deliveries::{
    AttemptRecord, Backlog, ClaimedDelivery, Deliveries, Delivery, DeliveryResult, DeliveryStatus,
    EndpointHealth, FinishOutcome, LastError, NewDelivery, OutboxBatch, OutboxCursor,
    RecoverOutcome, Share,
};
use roomkeeper_core::ids::{EndpointId, NodeId};

#[async_trait]
impl Deliveries for MemoryStore {
    async fn read_outbox(&self, node: NodeId, limit: usize) -> Result<OutboxBatch, StoreError> {
        Ok(self.lock().node(node).queues.outbox.read(limit))
    }

    async fn fan_out(
        &self,
        node: NodeId,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError> {
        let times = (self.now(), self.log_time());
        let mut inner = self.lock();
        let queues = &mut inner.node(node).queues;
        queues.fan_out(from, to, deliveries, times, self.limits)
    }

    async fn note_outbox(
        &self,
        node: NodeId,
        missing: u64,
        unreadable: u64,
    ) -> Result<(), StoreError> {
        if missing + unreadable > 0 {
            let now = self.now();
            let mut inner = self.lock();
            let queues = &mut inner.node(node).queues;
            queues.outbox.note(missing, unreadable, now);
        }
        Ok(())
    }

    async fn enqueue(&self, node: NodeId, delivery: &NewDelivery) -> Result<(), StoreError> {
        let (now, at) = (self.now(), self.log_time());
        let position = format!("{at:014}:{:016}", 0);
        let mut inner = self.lock();
        let queues = &mut inner.node(node).queues;
        queues.enqueue(delivery, &position, now, self.limits);
        Ok(())
    }

    async fn claim_deliveries(
        &self,
        node: NodeId,
        visibility: Duration,
        share: Share<'_>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let now = self.now();
        Ok(self.lock().node(node).queues.claim(visibility, share, now))
    }

    async fn finish_delivery(
        &self,
        node: NodeId,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&AttemptRecord>,
    ) -> Result<Option<FinishOutcome>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let queues = &mut inner.node(node).queues;
        Ok(queues.finish(claim, result, attempt, now, self.limits))
    }

    async fn next_delivery(&self, node: NodeId) -> Result<Option<Duration>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let first = inner.node(node).queues.first_due();
        Ok(first.map(|due| due.saturating_sub(now)))
    }

    async fn backlog(&self, node: NodeId) -> Result<Backlog, StoreError> {
        let now = self.now();
        Ok(self.lock().node(node).queues.backlog(now))
    }

    async fn endpoint_health(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<EndpointHealth>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let queues = &inner.node(node).queues;
        Ok(endpoints.iter().map(|id| queues.health(id, now)).collect())
    }

    async fn last_errors(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<Option<LastError>>, StoreError> {
        let mut inner = self.lock();
        let queues = &inner.node(node).queues;
        Ok(endpoints.iter().map(|id| queues.last_error(id)).collect())
    }

    async fn retry_endpoint(&self, node: NodeId, endpoint: &EndpointId) -> Result<(), StoreError> {
        let now = self.now();
        self.lock().node(node).queues.retry_endpoint(endpoint, now);
        Ok(())
    }

    async fn list_deliveries(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        status: DeliveryStatus,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let log = inner.node(node).queues.log(endpoint, now);
        let listed = log.map(|log| log.list(status, below, limit));
        Ok(listed.unwrap_or_default())
    }

    async fn read_delivery(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let log = inner.node(node).queues.log(endpoint, now);
        Ok(log.and_then(|log| log.delivery(id).cloned()))
    }

    async fn redeliver(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        Ok(self.lock().node(node).queues.redeliver(endpoint, id, now))
    }

    async fn recover(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
    ) -> Result<RecoverOutcome, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let queues = &mut inner.node(node).queues;
        Ok(queues.recover(endpoint, from, limit, now))
    }

    async fn forget_endpoint(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
    ) -> Result<u64, StoreError> {
        Ok(self.lock().node(node).queues.forget(endpoint))
    }
}
