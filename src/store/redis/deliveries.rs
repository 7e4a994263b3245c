//! [`Deliveries`] on Redis: the outbox, the queues and the log.

use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, Value};
use serde::Serialize;
use uuid::Uuid;

use super::RedisStore;
use super::message::{decode_message, encode_message, read_delivery};
use super::scripts::{
    BACKLOG, CLAIM, DELIVERIES_LIST, FAN_OUT, FINISH, FORGET_ENDPOINT, HEALTH, OUTBOX_NOTE,
    RECOVER, REDELIVER, RETRY_ENDPOINT,
};
use super::values::{Pairs, millis, readable, stored};
use crate::store::deliveries::{
    APP_PART, ATTEMPTS_KEPT, AttemptRecord, Backlog, CLAIM_SCAN_LIMIT, ClaimedDelivery, DEAD_LIMIT,
    DEFERRAL, DELIVERED_KEPT, Deliveries, Delivery, DeliveryResult, DeliveryStatus, EndpointHealth,
    FinishOutcome, LastError, NewDelivery, OutboxBatch, OutboxCursor, RecoverOutcome, Share,
};
use crate::store::{StoreError, keys, unreadable};
use crate::telemetry::{Chain, WEBHOOK_DEAD_DROPPED, WEBHOOK_LOST};
use roomkeeper_core::ids::{EndpointId, NodeId};

/// The limit of queues that one step of [`Deliveries::retry_endpoint`] visits.
const RETRY_BATCH: u64 = 500;

/// Renders a value for the store. Texts and numbers always have a JSON form.
fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

impl RedisStore {
    /// Queues deliveries; `cursor` is its old and its new position. Returns false, and queues nothing, if it was elsewhere.
    async fn queue(
        &self,
        node: NodeId,
        cursor: Option<(u64, u64)>,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError> {
        let key = keys::cursor(node);
        let (from, _) = cursor.unwrap_or_default();
        let known = cursor.map(|(_, to)| self.outboxes.returned_ids(node, to));
        let known = known.unwrap_or_default();
        let handed_over = cursor.map(|(_, to)| self.outboxes.returned_bytes(node, to));
        let handed_over = handed_over.unwrap_or_default();
        let (lost, dropped): (i64, u64) = self
            .run(&FAN_OUT, &key, 4, |command| {
                command
                    .arg(&key)
                    .arg(keys::outbox(node))
                    .arg(keys::due(node))
                    .arg(keys::health(node));
                match cursor {
                    Some((from, to)) => command.arg(from).arg(to),
                    None => command.arg("").arg(""),
                };
                command
                    .arg(keys::OUTBOX_KEPT)
                    .arg(keys::node_prefix(node))
                    .arg(self.limits.pending)
                    .arg(DEAD_LIMIT)
                    .arg(known.len())
                    .arg(deliveries.len())
                    .arg(&known);
                for (n, delivery) in deliveries.iter().enumerate() {
                    command
                        .arg(delivery.endpoint.as_str())
                        .arg(keys::queue_name(&delivery.endpoint, delivery.message.scope))
                        .arg(&delivery.message.id)
                        .arg(format!("{from:011}{n:05}"))
                        .arg(encode_message(&delivery.message))
                        .arg(u8::from(delivery.held))
                        .arg(delivery.message.app.as_str());
                }
                command.arg(keys::OUTBOX_KEPT_BYTES);
                for (app, bytes) in &handed_over {
                    command.arg(app.as_str()).arg(bytes);
                }
            })
            .await?;
        if let Ok(lost @ 1..) = u64::try_from(lost) {
            metrics::counter!(WEBHOOK_LOST).increment(lost);
        }
        if dropped > 0 {
            metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
        }
        match cursor {
            Some(_) if lost < 0 => self.outboxes.forget(node),
            Some((_, to)) => self.outboxes.set_cursor(node, to),
            None => {}
        }
        Ok(lost >= 0)
    }
}

#[async_trait]
impl Deliveries for RedisStore {
    async fn read_outbox(&self, node: NodeId, limit: usize) -> Result<OutboxBatch, StoreError> {
        let (batch, _) = self.read_outbox_and_due(node, limit, false).await?;
        Ok(batch)
    }

    fn fresh_outbox(&self, node: NodeId, limit: usize) -> Option<OutboxBatch> {
        self.outboxes.fresh(node, limit)
    }

    async fn poll_outbox(
        &self,
        node: NodeId,
        limit: usize,
    ) -> Result<(OutboxBatch, Option<Duration>), StoreError> {
        self.read_outbox_and_due(node, limit, true).await
    }

    async fn fan_out(
        &self,
        node: NodeId,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
    ) -> Result<bool, StoreError> {
        let cursor = (from.position()?, to.position()?);
        self.queue(node, Some(cursor), deliveries).await
    }

    async fn note_outbox(
        &self,
        node: NodeId,
        missing: u64,
        unreadable: u64,
    ) -> Result<(), StoreError> {
        let key = keys::health(node);
        self.run::<Value>(&OUTBOX_NOTE, &key, 1, |command| {
            command.arg(&key).arg(missing).arg(unreadable);
        })
        .await
        .map(drop)
    }

    async fn enqueue(&self, node: NodeId, delivery: &NewDelivery) -> Result<(), StoreError> {
        self.queue(node, None, std::slice::from_ref(delivery))
            .await
            .map(drop)
    }

    async fn claim_deliveries(
        &self,
        node: NodeId,
        visibility: Duration,
        share: Share<'_>,
    ) -> Result<Vec<ClaimedDelivery>, StoreError> {
        let key = keys::due(node);
        // One token for all: a claim is identified by its queue and its token.
        let token = Uuid::new_v4();
        // Lua counts in doubles, which hold this exactly.
        let bounded = |count: usize| count.min(1 << 40);
        let answer: Vec<String> = self
            .run(&CLAIM, &key, 3, |command| {
                command
                    .arg(&key)
                    .arg(keys::claims(node))
                    .arg(keys::failed(node))
                    .arg(keys::node_prefix(node))
                    .arg(millis(visibility))
                    .arg(token.to_string())
                    .arg(share.total)
                    .arg(bounded(share.free))
                    .arg(bounded(share.each))
                    .arg(bounded(share.lowered_left))
                    .arg(CLAIM_SCAN_LIMIT)
                    .arg(millis(DEFERRAL))
                    .arg(APP_PART)
                    .arg(share.under_way.len());
                for (app, endpoint, count) in share.under_way {
                    command.arg(app.as_str()).arg(endpoint.as_str()).arg(count);
                }
                for (endpoint, most) in share.lowered {
                    command.arg(endpoint.as_str()).arg(most);
                }
            })
            .await?;
        let (rows, _) = answer.as_chunks::<4>();
        let mut claims = Vec::with_capacity(rows.len());
        for [queue, failed, failing, message] in rows {
            let key = keys::queue(node, queue);
            let claim = || {
                let (endpoint, _) = queue.split_once(':').unwrap_or((queue, ""));
                let endpoint: EndpointId = stored(&key, endpoint)?;
                let message = decode_message(&key, message)?;
                Ok::<_, StoreError>(ClaimedDelivery {
                    parked: *queue != keys::queue_name(&endpoint, message.scope),
                    endpoint,
                    message,
                    failed_attempts: stored(&key, failed)?,
                    failing_for: Duration::from_millis(stored(&key, failing)?),
                    token,
                })
            };
            match claim() {
                Ok(claim) => claims.push(claim),
                Err(error) => {
                    unreadable::note(&key, &error.to_string());
                    // The other claims of the batch must be delivered.
                    tracing::error!(error = %Chain(&error), "a delivery is unreadable; its queue waits until it is removed");
                }
            }
        }
        Ok(claims)
    }

    async fn finish_delivery(
        &self,
        node: NodeId,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&AttemptRecord>,
    ) -> Result<Option<FinishOutcome>, StoreError> {
        let own = keys::queue_name(&claim.endpoint, claim.message.scope);
        let parked = keys::parked_name(&own, &claim.message.id);
        let queue = if claim.parked { &parked } else { &own };
        let key = keys::queue(node, queue);
        let (result, after, hold) = match result {
            DeliveryResult::Delivered => ("delivered", Duration::ZERO, Duration::ZERO),
            // It is parked already.
            DeliveryResult::Park { after, .. } if claim.parked => ("retry", after, Duration::ZERO),
            DeliveryResult::Retry { after } => ("retry", after, Duration::ZERO),
            DeliveryResult::Park { after, hold } => ("park", after, hold),
            DeliveryResult::Restart => ("restart", Duration::ZERO, Duration::ZERO),
            DeliveryResult::Dead => ("dead", Duration::ZERO, Duration::ZERO),
            DeliveryResult::Forgotten => ("forgotten", Duration::ZERO, Duration::ZERO),
        };
        let failed = attempt.filter(|_| !["delivered", "restart"].contains(&result));
        let error = failed.map(|failed| LastError::from_attempt(failed, &claim.message.event));
        let error = error.as_ref().map_or_else(String::new, to_json);
        let attempt = attempt.map_or_else(String::new, to_json);
        let (dropped, failing, behind): (i64, i64, u64) = self
            .run(&FINISH, &key, 7, |command| {
                command
                    .arg(keys::due(node))
                    .arg(keys::claims(node))
                    .arg(keys::failed(node))
                    .arg(keys::health(node))
                    .arg(&key)
                    .arg(keys::queue(node, &parked))
                    .arg(keys::delivery(node, &claim.endpoint, &claim.message.id))
                    .arg(queue)
                    .arg(claim.token.to_string())
                    .arg(result)
                    .arg(millis(after))
                    .arg(millis(hold))
                    .arg(&parked)
                    .arg(keys::node_prefix(node))
                    .arg(claim.endpoint.as_str())
                    .arg(&attempt)
                    .arg(ATTEMPTS_KEPT)
                    .arg(DEAD_LIMIT)
                    .arg(self.limits.delivered)
                    .arg(millis(DELIVERED_KEPT))
                    .arg(claim.message.app.as_str())
                    .arg(&error);
            })
            .await?;
        let Ok(dropped) = u64::try_from(dropped) else {
            return Ok(None);
        };
        if dropped > 0 {
            metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
        }
        Ok(Some(FinishOutcome {
            failing_for: u64::try_from(failing).ok().map(Duration::from_millis),
            behind,
        }))
    }

    async fn next_delivery(&self, node: NodeId) -> Result<Option<Duration>, StoreError> {
        self.read_next_due(node).await
    }

    async fn backlog(&self, node: NodeId) -> Result<Backlog, StoreError> {
        let key = keys::outbox(node);
        type Answer = (u64, u64, u64, u64, u64, i64);
        let (outbox, queues, lost, missing, unreadable, ago): Answer = self
            .run(&BACKLOG, &key, 4, |command| {
                command
                    .arg(keys::cursor(node))
                    .arg(&key)
                    .arg(keys::due(node))
                    .arg(keys::health(node));
            })
            .await?;
        Ok(Backlog {
            outbox,
            queues,
            lost,
            missing,
            unreadable,
            noticed_ago: u64::try_from(ago).ok().map(Duration::from_millis),
        })
    }

    async fn endpoint_health(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<EndpointHealth>, StoreError> {
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let key = keys::health(node);
        let answer: Vec<String> = self
            .run(&HEALTH, &key, 1 + 2 * endpoints.len(), |command| {
                command.arg(&key);
                for endpoint in endpoints {
                    for status in [DeliveryStatus::Pending, DeliveryStatus::Dead] {
                        command.arg(keys::log(node, endpoint, status));
                    }
                }
                for endpoint in endpoints {
                    command.arg(endpoint.as_str());
                }
            })
            .await?;
        let mut numbers = answer.iter().map(|text| text.parse::<u64>().ok());
        let mut next = || numbers.next().flatten();
        let now = next().unwrap_or_default();
        let ago = |at: Option<u64>| at.map(|at| Duration::from_millis(now.saturating_sub(at)));
        let health = endpoints.iter().map(|_| EndpointHealth {
            delivered_ago: ago(next()),
            failing_for: ago(next()),
            lost: next().unwrap_or_default(),
            pending: next().unwrap_or_default(),
            dead: next().unwrap_or_default(),
        });
        Ok(health.collect())
    }

    async fn last_errors(
        &self,
        node: NodeId,
        endpoints: &[EndpointId],
    ) -> Result<Vec<Option<LastError>>, StoreError> {
        if endpoints.is_empty() {
            return Ok(Vec::new());
        }
        let key = keys::health(node);
        let mut command = redis::cmd("HMGET");
        command.arg(&key);
        for endpoint in endpoints {
            command.arg(format!("{endpoint}:err"));
        }
        let texts: Vec<Option<String>> = match self.query(&key, &command).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                unreadable::note_error(&error);
                vec![None; endpoints.len()]
            }
            texts => texts?,
        };
        let errors = texts.into_iter().map(|text| {
            let text = text?;
            let decoded = serde_json::from_str(&text);
            decoded
                .inspect_err(|error| unreadable::note(&key, &error.to_string()))
                .ok()
        });
        Ok(errors.collect())
    }

    async fn retry_endpoint(&self, node: NodeId, endpoint: &EndpointId) -> Result<(), StoreError> {
        let key = keys::due(node);
        let mut skip = 0;
        loop {
            let (visited, waiting): (u64, u64) = self
                .run(&RETRY_ENDPOINT, &key, 4, |command| {
                    command
                        .arg(&key)
                        .arg(keys::claims(node))
                        .arg(keys::failed(node))
                        .arg(keys::health(node))
                        .arg(keys::node_prefix(node))
                        .arg(endpoint.as_str())
                        .arg(skip)
                        .arg(RETRY_BATCH);
                })
                .await?;
            if visited < RETRY_BATCH {
                return Ok(());
            }
            skip += waiting;
        }
    }

    async fn list_deliveries(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        status: DeliveryStatus,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let key = keys::log(node, endpoint, status);
        let deliveries = keys::delivery(node, endpoint, "");
        let mut found = Vec::new();
        let mut below = below.unwrap_or_default().to_owned();
        while found.len() < limit {
            let (last, rows): (String, Vec<Pairs>) = self
                .run(&DELIVERIES_LIST, &key, 1, |command| {
                    command.arg(&key).arg(&below).arg(limit).arg(&deliveries);
                })
                .await?;
            for fields in rows {
                found.extend(readable(read_delivery(&deliveries, fields)));
            }
            if last.is_empty() {
                break;
            }
            below = last;
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn read_delivery(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        let key = keys::delivery(node, endpoint, id);
        let mut command: Cmd = redis::cmd("HGETALL");
        command.arg(&key);
        let fields: Pairs = self.query(&key, &command).await?;
        if fields.is_empty() {
            return Ok(None);
        }
        read_delivery(&key, fields).map(Some)
    }

    async fn redeliver(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<bool, StoreError> {
        let key = keys::delivery(node, endpoint, id);
        self.run(&REDELIVER, &key, 4, |command| {
            command
                .arg(keys::due(node))
                .arg(keys::claims(node))
                .arg(keys::failed(node))
                .arg(&key)
                .arg(keys::node_prefix(node))
                .arg(endpoint.as_str())
                .arg(id);
        })
        .await
    }

    async fn recover(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
    ) -> Result<RecoverOutcome, StoreError> {
        let key = keys::due(node);
        let (count, next): (u64, String) = self
            .run(&RECOVER, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(keys::node_prefix(node))
                    .arg(endpoint.as_str())
                    .arg(from)
                    .arg(limit);
            })
            .await?;
        Ok(RecoverOutcome {
            count,
            next: Some(next).filter(|next| !next.is_empty()),
        })
    }

    async fn forget_endpoint(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
    ) -> Result<u64, StoreError> {
        let key = keys::health(node);
        self.run(&FORGET_ENDPOINT, &key, 4, |command| {
            command.arg(&key);
            for status in DeliveryStatus::ALL {
                command.arg(keys::log(node, endpoint, status));
            }
            command
                .arg(endpoint.as_str())
                .arg(keys::delivery(node, endpoint, ""));
        })
        .await
    }
}
