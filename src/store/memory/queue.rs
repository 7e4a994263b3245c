//! One queue of deliveries, and the order in which queues are due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use uuid::Uuid;

use crate::store::Scope;
use roomkeeper_core::ids::{AppId, EndpointId};

/// The name of a queue.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QueueKey {
    pub(super) endpoint: EndpointId,
    pub(super) scope: Scope,
    /// The id of the only message of a queue for a parked message.
    pub(super) parked: Option<String>,
}

/// The messages of one room or call for one endpoint.
#[derive(Default)]
pub(super) struct Queue {
    /// The ids of messages.
    pub(super) waiting: VecDeque<String>,
    /// The failed attempts of the head.
    pub(super) failed_attempts: u32,
    /// The time of the first of them.
    pub(super) failing_since: Option<Duration>,
    /// The claim on the head, if there is one.
    pub(super) token: Option<Uuid>,
    /// The parked message for which this queue waits.
    pub(super) held_by: Option<String>,
    /// The time from which the head can be claimed. Also its position in [`ReadyQueues`].
    pub(super) due: Duration,
}

impl Queue {
    /// Delays the head after a failed attempt.
    pub(super) fn retry_head(&mut self, after: Duration, now: Duration) {
        self.failed_attempts += 1;
        self.failing_since = self.failing_since.or(Some(now));
        self.due = now.saturating_add(after);
    }

    /// Makes the head due at once, with a new schedule.
    pub(super) fn restart_head(&mut self, now: Duration) {
        self.failed_attempts = 0;
        self.failing_since = None;
        self.due = now;
    }

    /// Moves the head after a failed attempt into a separate queue, which is returned; the next message waits for `hold`.
    pub(super) fn park_head(&mut self, after: Duration, hold: Duration, now: Duration) -> Self {
        let mut parked = Self {
            failed_attempts: self.failed_attempts,
            failing_since: self.failing_since,
            ..Self::default()
        };
        parked.retry_head(after, now);
        let head = self.remove_head(now.saturating_add(hold));
        self.held_by.clone_from(&head);
        parked.waiting.extend(head);
        parked
    }

    /// Removes the head. The next message is due at this time.
    pub(super) fn remove_head(&mut self, next_due: Duration) -> Option<String> {
        self.restart_head(next_due);
        self.waiting.pop_front()
    }
}

/// The queues that are not empty, by endpoint and due time.
#[derive(Default)]
pub(super) struct ReadyQueues(BTreeMap<EndpointId, ReadyEndpoint>);

struct ReadyEndpoint {
    app: AppId,
    queues: BTreeSet<(Duration, QueueKey)>,
}

impl ReadyQueues {
    pub(super) fn insert(&mut self, app: &AppId, due: Duration, key: QueueKey) {
        let endpoint = self.0.entry(key.endpoint.clone());
        let endpoint = endpoint.or_insert_with(|| ReadyEndpoint {
            app: app.clone(),
            queues: BTreeSet::new(),
        });
        endpoint.queues.insert((due, key));
    }

    pub(super) fn remove(&mut self, due: Duration, key: &QueueKey) {
        if let Some(endpoint) = self.0.get_mut(&key.endpoint) {
            endpoint.queues.remove(&(due, key.clone()));
            if endpoint.queues.is_empty() {
                self.0.remove(&key.endpoint);
            }
        }
    }

    /// Returns the time at which the first queue is due.
    pub(super) fn first_due(&self) -> Option<Duration> {
        self.firsts().map(|(_, due, _)| due).min()
    }

    /// Returns the first queue of each endpoint, with its app and its due time.
    pub(super) fn firsts(&self) -> impl Iterator<Item = (&AppId, Duration, &QueueKey)> + Clone {
        self.0.values().filter_map(|endpoint| {
            let (due, key) = endpoint.queues.first()?;
            Some((&endpoint.app, *due, key))
        })
    }
}
