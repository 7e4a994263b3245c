//! The webhook messages of one node, from the outbox through the queues to the log of each endpoint.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use super::endpoint_log::EndpointLog;
use super::outbox::Outbox;
use super::queue::{Queue, QueueKey, ReadyQueues};
use super::share::RemainingShare;
use crate::store::deliveries::{
    AttemptRecord, Backlog, ClaimedDelivery, DeliveryResult, DeliveryStatus, EndpointHealth,
    FinishOutcome, LastError, NewDelivery, OutboxCursor, QueueLimits, RecoverOutcome, Share,
};
use crate::store::{Message, StoreError};
use roomkeeper_core::ids::{AppId, EndpointId};

/// The outbox, the queues and the endpoints of a node.
#[derive(Default)]
pub(super) struct Queues {
    pub(super) outbox: Outbox,
    queues: HashMap<QueueKey, Queue>,
    ready: ReadyQueues,
    logs: HashMap<EndpointId, EndpointLog>,
}

impl Queues {
    /// The bytes of the deliveries of these statuses, by endpoint.
    pub(super) fn bytes(&self, statuses: &[DeliveryStatus]) -> BTreeMap<EndpointId, u64> {
        let logs = self.logs.iter();
        let bytes = logs.map(|(id, log)| (id.clone(), log.bytes(statuses)));
        bytes.filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// Returns true if a message can be queued or claimed.
    pub(super) fn has_work(&self, now: Duration) -> bool {
        !self.outbox.is_empty() || self.first_due().is_some_and(|due| due <= now)
    }

    /// Returns the time at which the first queue is due.
    pub(super) fn first_due(&self) -> Option<Duration> {
        self.ready.first_due()
    }

    pub(super) fn backlog(&self, now: Duration) -> Backlog {
        self.outbox.backlog(self.queues.len(), now)
    }

    /// The endpoint of this id, without deliveries whose keeping time is over.
    pub(super) fn log(&mut self, endpoint: &EndpointId, now: Duration) -> Option<&EndpointLog> {
        let log = self.logs.get_mut(endpoint)?;
        log.expire(now);
        Some(log)
    }

    /// Queues a new delivery. `position` is its place in the log of the endpoint, without its id.
    pub(super) fn enqueue(
        &mut self,
        new: &NewDelivery,
        position: &str,
        now: Duration,
        limits: QueueLimits,
    ) {
        let log = self.logs.entry(new.endpoint.clone()).or_default();
        let position = format!("{position}:{}", new.message.id);
        if log.add(new, position, limits) {
            self.append(new.endpoint.clone(), &new.message, now);
        }
    }

    /// Appends a message to the queue of its endpoint and scope.
    fn append(&mut self, endpoint: EndpointId, message: &Message, now: Duration) {
        let key = QueueKey {
            endpoint,
            scope: message.scope,
            parked: None,
        };
        let ready = &mut self.ready;
        let queue = self.queues.entry(key.clone()).or_insert_with(|| {
            ready.insert(&message.app, now, key);
            Queue {
                due: now,
                ..Queue::default()
            }
        });
        queue.waiting.push_back(message.id.clone());
    }

    /// Moves the cursor of the outbox and queues the deliveries. `at` is the time of the log in milliseconds. Returns
    /// false, and does nothing, if the cursor is not at `from`.
    pub(super) fn fan_out(
        &mut self,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
        (now, at): (Duration, u64),
        limits: QueueLimits,
    ) -> Result<bool, StoreError> {
        let Some(begin) = self.outbox.hand_over(from, to)? else {
            return Ok(false);
        };
        for (n, delivery) in deliveries.iter().enumerate() {
            let position = format!("{at:014}:{begin:011}{n:05}");
            self.enqueue(delivery, &position, now, limits);
        }
        Ok(true)
    }

    /// Claims the heads of queues that are due, within the bounds of `share`.
    pub(super) fn claim(
        &mut self,
        visibility: Duration,
        share: Share<'_>,
        now: Duration,
    ) -> Vec<ClaimedDelivery> {
        let mut remaining = RemainingShare::new(share);
        let mut claims = Vec::new();
        while claims.len() < share.total {
            let Some((app, due, key)) = self.next_due(&remaining, now) else {
                break;
            };
            self.ready.remove(due, &key);
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            let delivery = queue.waiting.front().and_then(|id| {
                let log = self.logs.get(&key.endpoint)?;
                log.delivery(id)
            });
            let Some(message) = delivery.map(|delivery| delivery.message.clone()) else {
                // Its head was parked, and no message came behind it.
                self.queues.remove(&key);
                continue;
            };
            remaining.take(&app, &key.endpoint);
            let token = Uuid::new_v4();
            queue.token = Some(token);
            queue.due = now.saturating_add(visibility);
            self.ready.insert(&app, queue.due, key.clone());
            claims.push(ClaimedDelivery {
                endpoint: key.endpoint,
                message,
                failed_attempts: queue.failed_attempts,
                failing_for: queue
                    .failing_since
                    .map(|since| now.saturating_sub(since))
                    .unwrap_or_default(),
                parked: key.parked.is_some(),
                token,
            });
        }
        claims
    }

    /// Returns the queue to claim next, with its app and when it is due.
    fn next_due(
        &self,
        remaining: &RemainingShare,
        now: Duration,
    ) -> Option<(AppId, Duration, QueueKey)> {
        let due = self.ready.firsts();
        let due = due.filter(|(app, due, key)| *due <= now && remaining.allows(app, &key.endpoint));
        // The oldest queue of an app determines the app's turn, even if another of its queues is claimed.
        let mut oldest: HashMap<&AppId, Duration> = HashMap::new();
        for (app, due, _) in due.clone() {
            let known = oldest.entry(app).or_insert(due);
            *known = due.min(*known);
        }
        let next = due.min_by_key(|(app, due, key)| {
            let of_app = (remaining.used_by_app(app), oldest.get(app), *app);
            (of_app, remaining.used_by_endpoint(&key.endpoint), *due)
        });
        next.map(|(app, due, key)| (app.clone(), due, key.clone()))
    }

    /// Ends a claim with the result of its attempt. Returns `None` if the claim is not valid any more.
    pub(super) fn finish(
        &mut self,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&AttemptRecord>,
        now: Duration,
        limits: QueueLimits,
    ) -> Option<FinishOutcome> {
        let Message { id, app, scope, .. } = &claim.message;
        let key = QueueKey {
            endpoint: claim.endpoint.clone(),
            scope: *scope,
            parked: claim.parked.then(|| id.clone()),
        };
        let queue = self.queues.get_mut(&key)?;
        if queue.token != Some(claim.token) {
            return None;
        }
        queue.token = None;
        self.ready.remove(queue.due, &key);
        let log = self.logs.entry(claim.endpoint.clone()).or_default();
        if let Some(attempt) = attempt {
            log.note_attempt(id, attempt, result, now);
        }
        let mut finished = FinishOutcome {
            failing_for: log.failing_for(now),
            behind: 0,
        };
        match result {
            DeliveryResult::Park { after, hold } if !claim.parked => {
                let parked = queue.park_head(after, hold, now);
                let parked_key = QueueKey {
                    parked: Some(id.clone()),
                    ..key.clone()
                };
                // This also holds for an empty queue: later messages wait until then, too.
                self.ready.insert(app, queue.due, key);
                self.ready.insert(app, parked.due, parked_key.clone());
                self.queues.insert(parked_key, parked);
            }
            // A parked message stays in its queue.
            DeliveryResult::Retry { after } | DeliveryResult::Park { after, .. } => {
                queue.retry_head(after, now);
                self.ready.insert(app, queue.due, key);
            }
            DeliveryResult::Restart => {
                queue.restart_head(now);
                self.ready.insert(app, queue.due, key);
            }
            DeliveryResult::Delivered | DeliveryResult::Dead | DeliveryResult::Forgotten => {
                queue.remove_head(now);
                finished.behind = u64::try_from(queue.waiting.len()).unwrap_or(u64::MAX);
                if queue.waiting.is_empty() {
                    self.queues.remove(&key);
                } else {
                    self.ready.insert(app, queue.due, key);
                }
                log.settle(id, result, now, limits);
                if claim.parked {
                    self.release_held(claim, now);
                }
            }
        }
        Some(finished)
    }

    /// Ends the wait of a queue for its parked message, which has ended.
    fn release_held(&mut self, claim: &ClaimedDelivery, now: Duration) {
        let Message { id, app, scope, .. } = &claim.message;
        let key = QueueKey {
            endpoint: claim.endpoint.clone(),
            scope: *scope,
            parked: None,
        };
        if let Some(queue) = self.queues.get_mut(&key)
            && queue.held_by.take_if(|held_by| held_by == id).is_some()
            && queue.token.is_none()
            && queue.failed_attempts == 0
            && queue.due > now
        {
            self.ready.remove(queue.due, &key);
            queue.due = now;
            self.ready.insert(app, now, key);
        }
    }

    /// Makes the deliveries of an endpoint that wait for another attempt due now, each with a new schedule.
    pub(super) fn retry_endpoint(&mut self, endpoint: &EndpointId, now: Duration) {
        let Some(log) = self.logs.get_mut(endpoint) else {
            return;
        };
        log.forget_failures();
        for (key, queue) in &mut self.queues {
            let is_waiting = queue.failed_attempts > 0 && queue.token.is_none() && queue.due > now;
            let head = queue.waiting.front().and_then(|id| log.delivery(id));
            if key.endpoint == *endpoint
                && is_waiting
                && let Some(delivery) = head
            {
                self.ready.remove(queue.due, key);
                queue.restart_head(now);
                self.ready.insert(&delivery.message.app, now, key.clone());
            }
        }
    }

    /// Makes a delivery due now, and pending again if it is not. Returns false if there is none of this id.
    pub(super) fn redeliver(&mut self, endpoint: &EndpointId, id: &str, now: Duration) -> bool {
        let log = self.logs.entry(endpoint.clone()).or_default();
        log.expire(now);
        let Some(delivery) = log.delivery(id) else {
            return false;
        };
        let Message { scope, app, .. } = delivery.message.clone();
        let shared = QueueKey {
            endpoint: endpoint.clone(),
            scope,
            parked: None,
        };
        let own = QueueKey {
            parked: Some(id.to_owned()),
            ..shared.clone()
        };
        if delivery.status == DeliveryStatus::Pending {
            // The head of a queue becomes due, unless its attempt is in progress.
            for key in [shared, own] {
                if let Some(queue) = self.queues.get_mut(&key)
                    && queue.waiting.front().is_some_and(|head| head == id)
                    && queue.token.is_none()
                {
                    self.ready.remove(queue.due, &key);
                    queue.due = now;
                    self.ready.insert(&app, now, key);
                }
            }
            return true;
        }
        log.reopen(id);
        let queue = Queue {
            waiting: VecDeque::from([id.to_owned()]),
            due: now,
            ..Queue::default()
        };
        self.queues.insert(own.clone(), queue);
        self.ready.insert(&app, now, own);
        true
    }

    /// Queues dead deliveries again, at most `limit` from a position on.
    pub(super) fn recover(
        &mut self,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
        now: Duration,
    ) -> RecoverOutcome {
        let Some(log) = self.logs.get_mut(endpoint) else {
            return RecoverOutcome::default();
        };
        let (messages, next) = log.reopen_dead(from, limit);
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        for message in messages {
            self.append(endpoint.clone(), &message, now);
        }
        RecoverOutcome { count, next }
    }

    pub(super) fn health(&self, endpoint: &EndpointId, now: Duration) -> EndpointHealth {
        let log = self.logs.get(endpoint);
        log.map_or_else(EndpointHealth::default, |log| log.health(now))
    }

    /// Returns the last failed attempt at an endpoint.
    pub(super) fn last_error(&self, endpoint: &EndpointId) -> Option<LastError> {
        self.logs.get(endpoint)?.last_error()
    }

    /// Drops the data of an endpoint except its pending deliveries. Returns their number.
    pub(super) fn forget(&mut self, endpoint: &EndpointId) -> u64 {
        let pending = self.logs.get_mut(endpoint).map_or(0, EndpointLog::forget);
        if pending == 0 {
            self.logs.remove(endpoint);
        }
        pending
    }
}
