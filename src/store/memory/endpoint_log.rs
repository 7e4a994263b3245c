//! One endpoint on a node: its deliveries, by id and by status, and its health.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::store::Message;
use crate::store::deliveries::{
    ATTEMPTS_KEPT, AttemptRecord, DEAD_LIMIT, DELIVERED_KEPT, Delivery, DeliveryResult,
    DeliveryStatus, EndpointHealth, LastError, NewDelivery, QueueLimits,
};
use crate::store::usage::MOST_HISTORY;
use crate::telemetry::{WEBHOOK_DEAD_DROPPED, WEBHOOK_LOST};

/// The deliveries of an endpoint.
#[derive(Default)]
pub(super) struct EndpointLog {
    deliveries: HashMap<String, KeptDelivery>,
    /// The positions by status, with the id at each.
    log: BTreeMap<DeliveryStatus, BTreeMap<String, String>>,
    delivered_at: Option<Duration>,
    failing_since: Option<Duration>,
    last_error: Option<LastError>,
    lost: u64,
}

struct KeptDelivery {
    delivery: Delivery,
    /// The end of the keeping time, once it was delivered.
    until: Option<Duration>,
}

impl KeptDelivery {
    fn bytes(&self) -> u64 {
        u64::try_from(self.delivery.message.body.len()).unwrap_or(u64::MAX)
    }
}

impl EndpointLog {
    /// Returns the delivery of this id.
    pub(super) fn delivery(&self, id: &str) -> Option<&Delivery> {
        self.deliveries.get(id).map(|kept| &kept.delivery)
    }

    /// Returns deliveries of a status, newest first, from below a position.
    pub(super) fn list(
        &self,
        status: DeliveryStatus,
        below: Option<&str>,
        limit: usize,
    ) -> Vec<Delivery> {
        let rows = self.log.get(&status).into_iter().flatten().rev();
        rows.filter(|(position, _)| below.is_none_or(|below| position.as_str() < below))
            .filter_map(|(_, id)| self.deliveries.get(id))
            .take(limit)
            .map(|kept| kept.delivery.clone())
            .collect()
    }

    /// Returns the bytes of the deliveries of these statuses.
    pub(super) fn bytes(&self, statuses: &[DeliveryStatus]) -> u64 {
        let kept = self.deliveries.values();
        let counted = kept.filter(|kept| statuses.contains(&kept.delivery.status));
        counted.map(KeptDelivery::bytes).sum()
    }

    /// Adds a delivery at a position. Returns true if it waits to be sent: it is new, is not held, and fits.
    pub(super) fn add(&mut self, new: &NewDelivery, position: String, limits: QueueLimits) -> bool {
        let id = &new.message.id;
        if self.deliveries.contains_key(id) {
            return false;
        }
        let status = match new.held {
            true => DeliveryStatus::Dead,
            false => DeliveryStatus::Pending,
        };
        if !new.held && self.count(status) >= limits.pending {
            self.lost += 1;
            metrics::counter!(WEBHOOK_LOST).increment(1);
            return false;
        }
        self.log(status).insert(position.clone(), id.clone());
        let delivery = Delivery {
            position,
            message: new.message.clone(),
            status,
            attempts: Vec::new(),
        };
        let kept = KeptDelivery {
            delivery,
            until: None,
        };
        self.deliveries.insert(id.clone(), kept);
        if new.held {
            self.trim_dead();
        }
        !new.held
    }

    /// Stores an attempt and updates the health, unless the attempt was at an earlier URL.
    pub(super) fn note_attempt(
        &mut self,
        id: &str,
        attempt: &AttemptRecord,
        result: DeliveryResult,
        now: Duration,
    ) {
        let is_delivered = result == DeliveryResult::Delivered;
        let is_failure = !is_delivered && result != DeliveryResult::Restart;
        if is_delivered {
            self.delivered_at = Some(now);
            self.failing_since = None;
        } else if is_failure {
            self.failing_since.get_or_insert(now);
        }
        if let Some(kept) = self.deliveries.get_mut(id) {
            if is_failure {
                let event = &kept.delivery.message.event;
                self.last_error = Some(LastError::from_attempt(attempt, event));
            }
            let attempts = &mut kept.delivery.attempts;
            attempts.push(attempt.clone());
            if u64::try_from(attempts.len()).is_ok_and(|n| n > ATTEMPTS_KEPT) {
                attempts.remove(0);
            }
        }
    }

    /// Moves a delivery to the status of its result. A delivery that will be retried stays pending.
    pub(super) fn settle(
        &mut self,
        id: &str,
        result: DeliveryResult,
        now: Duration,
        limits: QueueLimits,
    ) {
        match result {
            DeliveryResult::Delivered => {
                let until = now.saturating_add(DELIVERED_KEPT);
                self.put(id, DeliveryStatus::Delivered, Some(until));
                self.trim(DeliveryStatus::Delivered, limits.delivered);
                self.trim_delivered_bytes();
            }
            DeliveryResult::Dead => {
                self.put(id, DeliveryStatus::Dead, None);
                self.trim_dead();
            }
            DeliveryResult::Forgotten => {
                if let Some(kept) = self.deliveries.remove(id) {
                    let status = kept.delivery.status;
                    self.log(status).remove(&kept.delivery.position);
                }
            }
            DeliveryResult::Retry { .. }
            | DeliveryResult::Park { .. }
            | DeliveryResult::Restart => {}
        }
    }

    /// Makes a delivery pending again.
    pub(super) fn reopen(&mut self, id: &str) {
        self.put(id, DeliveryStatus::Pending, None);
    }

    /// Makes dead deliveries pending again, at most `limit` from a position on. Returns their messages and the position
    /// of the next.
    pub(super) fn reopen_dead(
        &mut self,
        from: &str,
        limit: usize,
    ) -> (Vec<Message>, Option<String>) {
        let mut rows = self
            .log(DeliveryStatus::Dead)
            .range(from.to_owned()..)
            .map(|(position, id)| (position.clone(), id.clone()));
        let first: Vec<_> = rows.by_ref().take(limit).collect();
        let next = rows.next().map(|(position, _)| position);
        let mut messages = Vec::with_capacity(first.len());
        for (_, id) in &first {
            self.reopen(id);
            messages.extend(self.delivery(id).map(|delivery| delivery.message.clone()));
        }
        (messages, next)
    }

    /// Drops delivered messages whose keeping time is over.
    pub(super) fn expire(&mut self, now: Duration) {
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

    /// Returns the time since the first failure after the last success.
    pub(super) fn failing_for(&self, now: Duration) -> Option<Duration> {
        self.failing_since.map(|since| now.saturating_sub(since))
    }

    /// Returns the health of the endpoint.
    pub(super) fn health(&self, now: Duration) -> EndpointHealth {
        EndpointHealth {
            delivered_ago: self.delivered_at.map(|at| now.saturating_sub(at)),
            failing_for: self.failing_for(now),
            pending: self.count(DeliveryStatus::Pending),
            dead: self.count(DeliveryStatus::Dead),
            lost: self.lost,
        }
    }

    /// Drops everything but pending deliveries. Returns their number.
    pub(super) fn forget(&mut self) -> u64 {
        self.trim(DeliveryStatus::Dead, 0);
        self.trim(DeliveryStatus::Delivered, 0);
        self.delivered_at = None;
        self.forget_failures();
        self.lost = 0;
        self.count(DeliveryStatus::Pending)
    }

    /// Forgets the failures of the endpoint, but not those of its deliveries.
    pub(super) fn forget_failures(&mut self) {
        self.failing_since = None;
        self.last_error = None;
    }

    /// Returns the last failed attempt.
    pub(super) fn last_error(&self) -> Option<LastError> {
        self.last_error.clone()
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

    /// Drops the oldest deliveries of a status until `most` are left. Returns the number of dropped ones.
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

    /// Drops and counts the oldest dead deliveries beyond the limit.
    fn trim_dead(&mut self) {
        let dropped = self.trim(DeliveryStatus::Dead, DEAD_LIMIT);
        metrics::counter!(WEBHOOK_DEAD_DROPPED).increment(dropped);
    }

    /// Drops the oldest delivered messages while they have too many bytes. Keeps the newest.
    fn trim_delivered_bytes(&mut self) {
        let mut bytes = self.bytes(&[DeliveryStatus::Delivered]);
        while bytes > MOST_HISTORY && self.count(DeliveryStatus::Delivered) > 1 {
            let Some((_, id)) = self.log(DeliveryStatus::Delivered).pop_first() else {
                break;
            };
            bytes -= self.deliveries.remove(&id).map_or(0, |kept| kept.bytes());
        }
    }
}
