//! The outbox, the queues and the log of deliveries in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::MemoryStore;
use crate::ids::{AppId, EndpointId, NodeId};
use crate::store::deliveries::{
    APP_PART, ATTEMPTS_KEPT, Attempted, Backlog, ClaimedDelivery, DEAD_LIMIT, DELIVERED_KEPT,
    Deliveries, Delivery, DeliveryResult, DeliveryStatus, EndpointHealth, Finished, NewDelivery,
    OutboxBatch, OutboxCursor, QueueLimits, Recovered, Share,
};
use crate::store::keys::{OUTBOX_KEPT, OUTBOX_KEPT_BYTES};
use crate::store::live::OutboxSlice;
use crate::store::usage::{MESSAGE_BYTES, MOST_HISTORY};
use crate::store::{Message, Scope, StoreError};
use crate::telemetry::{WEBHOOK_DEAD_DROPPED, WEBHOOK_LOST};

/// What a node has on its way to the receivers.
#[derive(Default)]
pub(super) struct Queues {
    /// The messages that are not handed over yet.
    outbox: VecDeque<Message>,
    /// The last of what is, for those who read the outbox themselves.
    handed: VecDeque<Message>,
    /// How many messages were ever handed over: the cursor.
    handed_over: u64,
    /// How many messages the outbox had no room for.
    lost: u64,
    /// The notes on the outbox: here nobody deletes or spoils anything.
    missing: u64,
    unreadable: u64,
    noticed_at: Option<Duration>,
    queues: HashMap<QueueKey, Queue>,
    ready: Ready,
    receivers: HashMap<EndpointId, Receiver>,
}

/// The last is the message that is parked there, alone.
type QueueKey = (EndpointId, Scope, Option<String>);

/// The queues that are not empty by when they are due, for each endpoint.
#[derive(Default)]
struct Ready(BTreeMap<EndpointId, ReadyEndpoint>);

struct ReadyEndpoint {
    app: AppId,
    queues: BTreeSet<(Duration, QueueKey)>,
}

impl Ready {
    fn insert(&mut self, app: &AppId, due: Duration, key: QueueKey) {
        let endpoint = self.0.entry(key.0.clone());
        let endpoint = endpoint.or_insert_with(|| ReadyEndpoint {
            app: app.clone(),
            queues: BTreeSet::new(),
        });
        endpoint.queues.insert((due, key));
    }

    fn remove(&mut self, due: Duration, key: &QueueKey) {
        if let Some(endpoint) = self.0.get_mut(&key.0) {
            endpoint.queues.remove(&(due, key.clone()));
            if endpoint.queues.is_empty() {
                self.0.remove(&key.0);
            }
        }
    }

    /// When the first queue is due.
    fn first(&self) -> Option<Duration> {
        let firsts = self.0.values().filter_map(|endpoint| {
            let (due, _) = endpoint.queues.first()?;
            Some(*due)
        });
        firsts.min()
    }
}

/// The places that are left while a claim goes on: see [`Share`].
struct Places {
    free: usize,
    each: usize,
    lowered_left: usize,
    by_app: HashMap<AppId, usize>,
    by_endpoint: HashMap<EndpointId, usize>,
    lowered: HashMap<EndpointId, usize>,
}

impl Places {
    fn for_share(share: Share<'_>) -> Self {
        let mut by_app: HashMap<AppId, usize> = HashMap::new();
        for (app, _, count) in share.under_way {
            *by_app.entry(app.clone()).or_default() += count;
        }
        let under_way = share.under_way.iter();
        Self {
            free: share.free,
            each: share.each,
            lowered_left: share.lowered_left,
            by_app,
            by_endpoint: under_way
                .map(|(_, id, count)| (id.clone(), *count))
                .collect(),
            lowered: share.lowered.iter().cloned().collect(),
        }
    }

    fn of_app(&self, app: &AppId) -> usize {
        self.by_app.get(app).copied().unwrap_or_default()
    }

    fn of_endpoint(&self, endpoint: &EndpointId) -> usize {
        self.by_endpoint.get(endpoint).copied().unwrap_or_default()
    }

    fn allow(&self, app: &AppId, endpoint: &EndpointId) -> bool {
        let left = (self.free / APP_PART)
            .max(1)
            .saturating_sub(self.of_app(app));
        let lowered = self.lowered.get(endpoint);
        let most = lowered.copied().unwrap_or(self.each).min(left);
        self.of_endpoint(endpoint) < most && (lowered.is_none() || self.lowered_left > 0)
    }

    fn take(&mut self, app: &AppId, endpoint: &EndpointId) {
        *self.by_app.entry(app.clone()).or_default() += 1;
        *self.by_endpoint.entry(endpoint.clone()).or_default() += 1;
        self.free = self.free.saturating_sub(1);
        if self.lowered.contains_key(endpoint) {
            self.lowered_left = self.lowered_left.saturating_sub(1);
        }
    }
}

#[derive(Default)]
struct Queue {
    /// The ids of messages.
    waiting: VecDeque<String>,
    /// Of the message at the head.
    failed_attempts: u32,
    /// When the first of them failed.
    failing_since: Option<Duration>,
    /// The claim on the head, if there is one.
    token: Option<Uuid>,
    /// When the head is due, or claimable again. Also its place in [`Ready`].
    due: Duration,
}

/// A receiver, as far as it has, or had, deliveries.
#[derive(Default)]
struct Receiver {
    deliveries: HashMap<String, Kept>,
    /// The positions by status, with the id at each.
    log: BTreeMap<DeliveryStatus, BTreeMap<String, String>>,
    delivered_at: Option<Duration>,
    failing_since: Option<Duration>,
    lost: u64,
}

struct Kept {
    delivery: Delivery,
    /// For one that was delivered: when its keeping time is over.
    until: Option<Duration>,
}

/// The bytes that a message counts for in the outbox.
fn message_bytes(message: &Message) -> u64 {
    MESSAGE_BYTES + u64::try_from(message.body.len()).unwrap_or(u64::MAX)
}

impl Kept {
    fn bytes(&self) -> u64 {
        u64::try_from(self.delivery.message.body.len()).unwrap_or(u64::MAX)
    }
}

impl Receiver {
    /// Drops the oldest of what was delivered while there are too many bytes of it. Keeps the newest.
    fn trim_history(&mut self) {
        let delivered = self.deliveries.values();
        let delivered = delivered.filter(|kept| kept.delivery.status == DeliveryStatus::Delivered);
        let mut bytes: u64 = delivered.map(Kept::bytes).sum();
        while bytes > MOST_HISTORY && self.count(DeliveryStatus::Delivered) > 1 {
            let Some((_, id)) = self.log(DeliveryStatus::Delivered).pop_first() else {
                break;
            };
            bytes -= self.deliveries.remove(&id).map_or(0, |kept| kept.bytes());
        }
    }

    fn log(&mut self, status: DeliveryStatus) -> &mut BTreeMap<String, String> {
        self.log.entry(status).or_default()
    }

    fn count(&self, status: DeliveryStatus) -> u64 {
        let log = self.log.get(&status);
        u64::try_from(log.map_or(0, BTreeMap::len)).unwrap_or(u64::MAX)
    }

    /// Moves a delivery from one log to another.
    fn put(&mut self, id: &str, status: DeliveryStatus, until: Option<Duration>) {
        let Some(kept) = self.deliveries.get_mut(id) else {
            return;
        };
        let was = std::mem::replace(&mut kept.delivery.status, status);
        kept.until = until;
        let position = kept.delivery.position.clone();
        self.log(was).remove(&position);
        self.log(status).insert(position, id.to_owned());
    }

    /// Drops the oldest of a log that are too many. Says how many those were.
    fn trim(&mut self, status: DeliveryStatus, most: u64) -> u64 {
        let mut dropped = 0;
        while self.count(status) > most {
            let Some((_, id)) = self.log(status).pop_first() else {
                break;
            };
            self.deliveries.remove(&id);
            dropped += 1;
        }
        dropped
    }

    fn expire(&mut self, now: Duration) {
        let deliveries = &mut self.deliveries;
        if let Some(log) = self.log.get_mut(&DeliveryStatus::Delivered) {
            log.retain(|_, id| {
                let over = deliveries
                    .get(id)
                    .is_some_and(|kept| kept.until.is_some_and(|until| until <= now));
                if over {
                    deliveries.remove(id);
                }
                !over
            });
        }
    }
}

impl Queues {
    fn cursor(&self) -> OutboxCursor {
        OutboxCursor::at(self.handed_over)
    }

    /// The messages that are not handed over yet.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Message> {
        self.outbox.iter()
    }

    /// The bytes of the deliveries of these statuses, by receiver.
    pub(super) fn bytes(&self, statuses: &[DeliveryStatus]) -> BTreeMap<EndpointId, u64> {
        let receivers = self.receivers.iter();
        let bytes = receivers.map(|(id, receiver)| {
            let kept = receiver.deliveries.values();
            let counted = kept.filter(|kept| statuses.contains(&kept.delivery.status));
            (id.clone(), counted.map(Kept::bytes).sum())
        });
        bytes.filter(|(_, bytes)| *bytes > 0).collect()
    }

    /// Whether there is something to hand over, or to claim.
    pub(super) fn has_something(&self, now: Duration) -> bool {
        !self.outbox.is_empty() || self.ready.first().is_some_and(|due| due <= now)
    }

    /// Takes the messages of a commit, as far as there is room.
    pub(super) fn append(&mut self, messages: &[Message], limits: QueueLimits) {
        for message in messages {
            let waiting = u64::try_from(self.outbox.len()).unwrap_or(u64::MAX);
            if waiting < limits.pending {
                self.outbox.push_back(message.clone());
            } else {
                self.lost += 1;
                metrics::counter!(WEBHOOK_LOST).increment(1);
            }
        }
    }

    /// What lies in the outbox after a position, or after the newest.
    pub(super) fn after(&self, position: Option<u64>, limit: usize) -> OutboxSlice {
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let newest = self.handed_over + count(self.outbox.len());
        let oldest = self.handed_over - count(self.handed.len()) + 1;
        let position = position.unwrap_or(newest);
        let mut at_or_after = (oldest..)
            .zip(self.handed.iter().chain(&self.outbox))
            // One that lies before all that is kept has nothing to pass over; one behind it, everything.
            .skip(usize::try_from(position.saturating_sub(oldest)).unwrap_or(usize::MAX))
            .peekable();
        let before = at_or_after.next_if(|(at, _)| *at <= position);
        OutboxSlice {
            oldest,
            newest,
            before: before.map(|(_, message)| message.id.clone()),
            messages: at_or_after
                .take(limit)
                .map(|(at, message)| (at, message.clone()))
                .collect(),
        }
    }

    /// `at` is the time of the log in milliseconds.
    fn queue(
        &mut self,
        new: &NewDelivery,
        place: &str,
        now: Duration,
        at: u64,
        limits: QueueLimits,
    ) {
        let id = &new.message.id;
        let receiver = self.receivers.entry(new.endpoint.clone()).or_default();
        if receiver.deliveries.contains_key(id) {
            return;
        }
        let status = match new.held {
            true => DeliveryStatus::Dead,
            false => DeliveryStatus::Pending,
        };
        if !new.held && receiver.count(status) >= limits.pending {
            receiver.lost += 1;
            metrics::counter!(WEBHOOK_LOST).increment(1);
            return;
        }
        let position = format!("{at:014}:{place}:{id}");
        receiver.log(status).insert(position.clone(), id.clone());
        let delivery = Delivery {
            position,
            message: new.message.clone(),
            status,
            attempts: Vec::new(),
        };
        let kept = Kept {
            delivery,
            until: None,
        };
        receiver.deliveries.insert(id.clone(), kept);
        if new.held {
            let dropped = receiver.trim(status, DEAD_LIMIT);
            metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
        } else {
            self.wait(new.endpoint.clone(), &new.message, now);
        }
    }

    /// Appends to the queue of a receiver and scope.
    fn wait(&mut self, endpoint: EndpointId, message: &Message, now: Duration) {
        let key = (endpoint, message.scope, None);
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

    fn fan_out(
        &mut self,
        from: &OutboxCursor,
        to: &OutboxCursor,
        deliveries: &[NewDelivery],
        (now, at): (Duration, u64),
        limits: QueueLimits,
    ) -> Result<bool, StoreError> {
        if self.cursor() != *from {
            return Ok(false);
        }
        let (begin, target) = (from.position()?, to.position()?);
        // A cursor that was read from this outbox lies within it.
        while self.handed_over < target
            && let Some(message) = self.outbox.pop_front()
        {
            self.handed_over += 1;
            self.handed.push_back(message);
        }
        let kept = usize::try_from(OUTBOX_KEPT).unwrap_or(usize::MAX);
        let over = self.handed.len().saturating_sub(kept);
        self.handed.drain(..over);
        let mut bytes: u64 = self.handed.iter().map(message_bytes).sum();
        while bytes > OUTBOX_KEPT_BYTES
            && self.handed.len() > 1
            && let Some(oldest) = self.handed.pop_front()
        {
            bytes -= message_bytes(&oldest);
        }
        for (n, delivery) in deliveries.iter().enumerate() {
            self.queue(delivery, &format!("{begin:011}{n:05}"), now, at, limits);
        }
        Ok(true)
    }

    fn claim(
        &mut self,
        visibility: Duration,
        share: Share<'_>,
        now: Duration,
    ) -> Vec<ClaimedDelivery> {
        let mut places = Places::for_share(share);
        let mut claims = Vec::new();
        while claims.len() < share.total {
            let first = |endpoint: &ReadyEndpoint| Some(endpoint.queues.first()?.0);
            let due = self.ready.0.iter().filter_map(|(id, endpoint)| {
                let due = first(endpoint).filter(|due| *due <= now)?;
                let allowed = places.allow(&endpoint.app, id);
                allowed.then_some((id, endpoint, due))
            });
            // An app's place in the order is that of its oldest, also when it is another that is claimed.
            let mut oldest: HashMap<&AppId, Duration> = HashMap::new();
            for (_, endpoint, due) in due.clone() {
                let known = oldest.entry(&endpoint.app).or_insert(due);
                *known = due.min(*known);
            }
            let next = due.min_by_key(|(id, endpoint, due)| {
                let app = &endpoint.app;
                let of_app = (places.of_app(app), oldest.get(app), app);
                (of_app, places.of_endpoint(id), *due)
            });
            let Some((app, (due, key))) =
                next.and_then(|(_, e, _)| Some((e.app.clone(), e.queues.first()?.clone())))
            else {
                break;
            };
            self.ready.remove(due, &key);
            let Some(queue) = self.queues.get_mut(&key) else {
                continue;
            };
            let kept = queue.waiting.front().and_then(|id| {
                let receiver = self.receivers.get(&key.0)?;
                receiver.deliveries.get(id)
            });
            let Some(message) = kept.map(|kept| kept.delivery.message.clone()) else {
                // Its head was parked, and nothing came behind it.
                self.queues.remove(&key);
                continue;
            };
            places.take(&app, &key.0);
            let token = Uuid::new_v4();
            queue.token = Some(token);
            queue.due = now.saturating_add(visibility);
            self.ready.insert(&app, queue.due, key.clone());
            claims.push(ClaimedDelivery {
                endpoint: key.0,
                message,
                failed_attempts: queue.failed_attempts,
                failing_for: queue
                    .failing_since
                    .map(|since| now.saturating_sub(since))
                    .unwrap_or_default(),
                parked: key.2.is_some(),
                token,
            });
        }
        claims
    }

    fn finish(
        &mut self,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempt: Option<&Attempted>,
        now: Duration,
        limits: QueueLimits,
    ) -> Option<Finished> {
        let id = &claim.message.id;
        let parked = claim.parked.then(|| id.clone());
        let key = (claim.endpoint.clone(), claim.message.scope, parked);
        let queue = self.queues.get_mut(&key)?;
        if queue.token != Some(claim.token) {
            return None;
        }
        queue.token = None;
        let receiver = self.receivers.entry(claim.endpoint.clone()).or_default();
        if let Some(attempt) = attempt {
            receiver.note(id, attempt, result == DeliveryResult::Delivered, now);
        }
        let mut finished = Finished {
            failing_for: receiver
                .failing_since
                .map(|since| now.saturating_sub(since)),
            behind: 0,
        };
        let app = &claim.message.app;
        self.ready.remove(queue.due, &key);
        match result {
            DeliveryResult::Park { after, hold } if !claim.parked => {
                let own = Queue {
                    waiting: queue.waiting.pop_front().into_iter().collect(),
                    failed_attempts: queue.failed_attempts + 1,
                    failing_since: queue.failing_since.or(Some(now)),
                    token: None,
                    due: now.saturating_add(after),
                };
                queue.failed_attempts = 0;
                queue.failing_since = None;
                queue.due = now.saturating_add(hold);
                // Also when nothing is behind it: what comes until then waits, too.
                self.ready.insert(app, queue.due, key.clone());
                let parked = (key.0, key.1, Some(id.clone()));
                self.ready.insert(app, own.due, parked.clone());
                self.queues.insert(parked, own);
                return Some(finished);
            }
            // It has been on a queue of its own all along.
            DeliveryResult::Retry { after } | DeliveryResult::Park { after, .. } => {
                queue.failed_attempts += 1;
                queue.failing_since = queue.failing_since.or(Some(now));
                queue.due = now.saturating_add(after);
                self.ready.insert(app, queue.due, key);
                return Some(finished);
            }
            DeliveryResult::Delivered | DeliveryResult::Dead | DeliveryResult::Forgotten => {}
        }
        queue.failed_attempts = 0;
        queue.failing_since = None;
        queue.due = now;
        queue.waiting.pop_front();
        finished.behind = u64::try_from(queue.waiting.len()).unwrap_or(u64::MAX);
        if queue.waiting.is_empty() {
            self.queues.remove(&key);
        } else {
            self.ready.insert(app, queue.due, key);
        }
        match result {
            DeliveryResult::Delivered => {
                let until = now.saturating_add(DELIVERED_KEPT);
                receiver.put(id, DeliveryStatus::Delivered, Some(until));
                receiver.trim(DeliveryStatus::Delivered, limits.delivered);
                receiver.trim_history();
            }
            DeliveryResult::Dead => {
                receiver.put(id, DeliveryStatus::Dead, None);
                let dropped = receiver.trim(DeliveryStatus::Dead, DEAD_LIMIT);
                metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
            }
            DeliveryResult::Forgotten => {
                if let Some(kept) = receiver.deliveries.remove(id) {
                    let status = kept.delivery.status;
                    receiver.log(status).remove(&kept.delivery.position);
                }
            }
            DeliveryResult::Retry { .. } | DeliveryResult::Park { .. } => {}
        }
        Some(finished)
    }

    fn redeliver(&mut self, endpoint: &EndpointId, id: &str, now: Duration) -> bool {
        let receiver = self.receivers.entry(endpoint.clone()).or_default();
        receiver.expire(now);
        let Some(kept) = receiver.deliveries.get(id) else {
            return false;
        };
        let Message { scope, app, .. } = kept.delivery.message.clone();
        let own: QueueKey = (endpoint.clone(), scope, Some(id.to_owned()));
        if kept.delivery.status == DeliveryStatus::Pending {
            // Where it is its turn, it need not wait; under way, it is.
            for key in [(endpoint.clone(), scope, None), own] {
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
        receiver.put(id, DeliveryStatus::Pending, None);
        let queue = Queue {
            waiting: VecDeque::from([id.to_owned()]),
            due: now,
            ..Queue::default()
        };
        self.queues.insert(own.clone(), queue);
        self.ready.insert(&app, now, own);
        true
    }

    fn recover(
        &mut self,
        endpoint: &EndpointId,
        from: &str,
        limit: usize,
        now: Duration,
    ) -> Recovered {
        let Some(receiver) = self.receivers.get_mut(endpoint) else {
            return Recovered::default();
        };
        let mut rows = receiver
            .log(DeliveryStatus::Dead)
            .range(from.to_owned()..)
            .map(|(position, id)| (position.clone(), id.clone()));
        let first: Vec<_> = rows.by_ref().take(limit).collect();
        let next = rows.next().map(|(position, _)| position);
        let mut messages = Vec::with_capacity(first.len());
        for (_, id) in &first {
            receiver.put(id, DeliveryStatus::Pending, None);
            if let Some(kept) = receiver.deliveries.get(id) {
                messages.push(kept.delivery.message.clone());
            }
        }
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        for message in messages {
            self.wait(endpoint.clone(), &message, now);
        }
        Recovered { count, next }
    }

    fn health(&self, endpoint: &EndpointId, now: Duration) -> EndpointHealth {
        let Some(receiver) = self.receivers.get(endpoint) else {
            return EndpointHealth::default();
        };
        let ago = |at: Option<Duration>| at.map(|at| now.saturating_sub(at));
        EndpointHealth {
            delivered_ago: ago(receiver.delivered_at),
            failing_for: ago(receiver.failing_since),
            pending: receiver.count(DeliveryStatus::Pending),
            dead: receiver.count(DeliveryStatus::Dead),
            lost: receiver.lost,
        }
    }

    fn forget(&mut self, endpoint: &EndpointId) -> u64 {
        let Some(receiver) = self.receivers.get_mut(endpoint) else {
            return 0;
        };
        let pending = receiver.count(DeliveryStatus::Pending);
        if pending == 0 {
            self.receivers.remove(endpoint);
            return 0;
        }
        receiver.trim(DeliveryStatus::Dead, 0);
        receiver.trim(DeliveryStatus::Delivered, 0);
        receiver.delivered_at = None;
        receiver.failing_since = None;
        receiver.lost = 0;
        pending
    }
}

impl Receiver {
    /// Notes an attempt, and what it says of the receiver.
    fn note(&mut self, id: &str, attempt: &Attempted, delivered: bool, now: Duration) {
        if delivered {
            self.delivered_at = Some(now);
            self.failing_since = None;
        } else {
            self.failing_since.get_or_insert(now);
        }
        if let Some(kept) = self.deliveries.get_mut(id) {
            let attempts = &mut kept.delivery.attempts;
            attempts.push(attempt.clone());
            if u64::try_from(attempts.len()).is_ok_and(|n| n > ATTEMPTS_KEPT) {
                attempts.remove(0);
            }
        }
    }
}

#[async_trait]
impl Deliveries for MemoryStore {
    async fn read_outbox(&self, node: NodeId, limit: usize) -> Result<OutboxBatch, StoreError> {
        let mut inner = self.lock();
        let state = &inner.node(node).queues;
        let messages: Vec<_> = state.outbox.iter().take(limit).cloned().collect();
        let read = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        Ok(OutboxBatch {
            from: state.cursor(),
            to: OutboxCursor::at(state.handed_over.saturating_add(read)),
            messages,
            ..OutboxBatch::default()
        })
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
            queues.missing += missing;
            queues.unreadable += unreadable;
            queues.noticed_at = Some(now);
        }
        Ok(())
    }

    async fn enqueue(&self, node: NodeId, delivery: &NewDelivery) -> Result<(), StoreError> {
        let (now, at) = (self.now(), self.log_time());
        let place = format!("{:016}", 0);
        let mut inner = self.lock();
        let queues = &mut inner.node(node).queues;
        queues.queue(delivery, &place, now, at, self.limits);
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
        attempt: Option<&Attempted>,
    ) -> Result<Option<Finished>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let queues = &mut inner.node(node).queues;
        Ok(queues.finish(claim, result, attempt, now, self.limits))
    }

    async fn next_delivery(&self, node: NodeId) -> Result<Option<Duration>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let first = inner.node(node).queues.ready.first();
        Ok(first.map(|due| due.saturating_sub(now)))
    }

    async fn backlog(&self, node: NodeId) -> Result<Backlog, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let queues = &inner.node(node).queues;
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        Ok(Backlog {
            outbox: count(queues.outbox.len()),
            queues: count(queues.queues.len()),
            lost: queues.lost,
            missing: queues.missing,
            unreadable: queues.unreadable,
            noticed_ago: queues.noticed_at.map(|at| now.saturating_sub(at)),
        })
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
        let Some(receiver) = inner.node(node).queues.receivers.get_mut(endpoint) else {
            return Ok(Vec::new());
        };
        receiver.expire(now);
        let Receiver {
            deliveries, log, ..
        } = receiver;
        let rows = log.get(&status).into_iter().flatten().rev();
        Ok(rows
            .filter(|(position, _)| below.is_none_or(|below| position.as_str() < below))
            .filter_map(|(_, id)| deliveries.get(id))
            .take(limit)
            .map(|kept| kept.delivery.clone())
            .collect())
    }

    async fn read_delivery(
        &self,
        node: NodeId,
        endpoint: &EndpointId,
        id: &str,
    ) -> Result<Option<Delivery>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let receiver = inner.node(node).queues.receivers.get_mut(endpoint);
        Ok(receiver.and_then(|receiver| {
            receiver.expire(now);
            let kept = receiver.deliveries.get(id)?;
            Some(kept.delivery.clone())
        }))
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
    ) -> Result<Recovered, StoreError> {
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
