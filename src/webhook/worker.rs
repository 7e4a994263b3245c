//! The worker of a node: hands the outbox over to the queues, and delivers what is due.
//!
//! Owns the loop and its bounds. Leaves out the order within a queue and the exclusion of other workers (the store's
//! claims), the request (`sender`) and the next delay (`schedule`).
//!
//! It is woken by a commit, by whoever sees that another replica has left something, by the end of an attempt behind
//! which others wait, and by the time of the next delivery; and seldom, whatever happens. While the store does not
//! answer it backs off; attempts under way go on meanwhile.
//!
//! Fan-out and claim are one request: the store executes them in order, which saves a round trip.
//!
//! # Fair shares
//!
//! An attempt at an endpoint that hangs holds its place for as long as a request may take. So that one app's endpoints
//! do not hold up another's webhooks, places are shared, and the store claims by these shares ([`Share`]): there is no
//! list of claimed deliveries here that could fill up with those of one app.
//!
//! ```text
//! places of the node (256)
//!   app:        fewer than a third of what is free, so alone a quarter of all, and there is always something free
//!     endpoint: fewer than its app may still get, and at most 32
//!               halved by each attempt that times out, to 1; doubled by each answer (`breaker`)
//!                 queue (one a room or call): one attempt at a time, in order
//!   lowered endpoints, of all apps together: 64
//! ```
//!
//! The app with the fewest places comes first, within it the endpoint with the fewest, within that the queue that has
//! been due for longest. An endpoint's bound is its weight. A delivery that is due and finds no place is claimed as
//! soon as an attempt ends. Each replica has places of its own and knows of no other's: a claim is exclusive, so they
//! share the work, and with n replicas an endpoint has up to n times the bound.

mod attempt;
mod depths;
mod in_flight;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{Notify, watch};
use tokio::task;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, error, info_span, warn};

use self::depths::Depths;
use self::in_flight::InFlight;
use super::backpressure::Backpressure;
use super::endpoint::{Disabling, Endpoints};
use super::payload;
use super::schedule::{DISABLED_AFTER, Schedule};
use super::sender::Sender;
use crate::clock;
use crate::store::deliveries::{ClaimedDelivery, NewDelivery, OutboxBatch, Share};
use crate::store::polls::next_poll;
use crate::store::{Message, Store, StoreError};
use crate::telemetry::{self, Chain, millis, trace};
use roomkeeper_core::ids::{AppId, NodeId};
use roomkeeper_core::time::Timestamp;

/// With how many commits a hand-over is linked at most.
const MOST_LINKS: usize = 32;

/// The bounds of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Attempts at the same time. Each holds a body and a socket.
    pub concurrency: usize,
    /// Attempts at the same time at one receiver: one that hangs must not hold up the others.
    pub each: usize,
    /// Attempts at the same time at all receivers whose bound is lowered because they did not answer in time.
    pub lowered: usize,
    /// Messages handed over in one step.
    pub batch: usize,
    /// The longest time between two looks at the store. Whoever wakes the worker sees sooner what there is to do.
    pub idle: Duration,
    /// The time beyond a request's timeout for which a claim holds, to store the outcome.
    pub margin: Duration,
    /// The time of continuous failure after which an endpoint is disabled.
    pub disabled_after: Duration,
    /// The time for running attempts at shutdown; the rest is left to other replicas.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 256,
            each: 32,
            lowered: 64,
            batch: 256,
            idle: Duration::from_secs(30),
            margin: Duration::from_secs(10),
            disabled_after: DISABLED_AFTER,
            // The whole program has 10 s.
            drain: Duration::from_secs(8),
        }
    }
}

/// The first and the longest pause after an error of the store.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// The shortest pause between two rounds, for a store that reports due deliveries but returns none.
const SHORTEST: Duration = Duration::from_millis(5);

/// The same while an endpoint has its maximum number of attempts.
const SHARE_LOOK: Duration = Duration::from_millis(100);

/// The time for which events of an unknown app stay in the outbox. Another replica may have just created the app, and
/// fan-out now would reach no endpoint. A removed app delays the others only once and briefly.
const UNKNOWN_APP_PATIENCE: Duration = Duration::from_secs(5);

/// The reason for a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// The outbox may have messages.
    Notified,
    /// An attempt has ended, so another delivery may be claimed.
    Ended,
    /// The timer.
    Time,
}

/// The time of the next round without another reason.
#[derive(Clone, Copy, Debug)]
struct Next {
    wait: Duration,
    /// Something may have been left for want of room: each attempt that ends makes some.
    crowded: bool,
    /// There is something on its way, so that the depths are other ones soon.
    busy: bool,
    /// The outbox has missing entries, which must be reported at once.
    spoilt: bool,
}

/// A worker's state between rounds.
struct RunState {
    in_flight: InFlight,
    /// Unknown apps with events in the outbox, and the time of their first event.
    strangers: HashMap<AppId, Instant>,
    /// Consecutive rounds that the store failed.
    failures: u32,
    depths: Depths,
}

impl RunState {
    fn new(node: NodeId, each: usize) -> Self {
        Self {
            in_flight: InFlight::new(each),
            strangers: HashMap::new(),
            failures: 0,
            depths: Depths::new(node),
        }
    }
}

/// The result of reading the outbox.
struct Outbox {
    /// The messages to hand over.
    batch: Option<OutboxBatch>,
    /// The time until the next delivery is due, or `None` without one, if the store was asked for it.
    due: Option<Option<Duration>>,
    /// The outbox has missing entries, which must be counted at once.
    spoilt: bool,
}

/// The shared state of all workers.
#[derive(Clone, Debug)]
pub struct Receivers {
    /// The current endpoints.
    pub endpoints: watch::Receiver<Arc<Endpoints>>,
    /// Disables endpoints that fail permanently.
    pub disabling: Arc<dyn Disabling>,
    /// Receives the depths of the queues.
    pub backpressure: Arc<Backpressure>,
}

/// Delivers the webhooks of one node.
#[derive(Clone, Debug)]
pub struct Worker {
    node: NodeId,
    store: Arc<dyn Store>,
    receivers: Receivers,
    sender: Sender,
    schedule: Arc<Schedule>,
    settings: Settings,
    in_flight: Gauge,
}

impl Worker {
    /// A worker; it does nothing until it is run.
    pub fn new(
        node: NodeId,
        store: Arc<dyn Store>,
        receivers: Receivers,
        sender: Sender,
        schedule: Schedule,
        settings: Settings,
    ) -> Self {
        Self {
            node,
            store,
            receivers,
            sender,
            schedule: Arc::new(schedule),
            settings,
            in_flight: metrics::gauge!(telemetry::WEBHOOK_IN_FLIGHT, "node" => node.to_string()),
        }
    }

    /// Delivers until `stop`, then lets the attempts under way finish. Whoever commits for this node calls
    /// `wake.notify_one()`. Dropped, it leaves what was under way to be claimed again.
    pub async fn run(self, wake: Arc<Notify>, stop: CancellationToken) {
        let mut state = RunState::new(self.node, self.settings.each);
        let mut reason = Reason::Notified;
        while !stop.is_cancelled() {
            let next = self.try_round(&mut state, reason).await;
            tokio::select! {
                () = stop.cancelled() => {}
                woken = self.next_reason(&mut state, &next, &wake) => reason = woken,
            }
            while let Some(done) = state.in_flight.ended() {
                self.ended(done);
            }
        }
        self.drain(state.in_flight).await;
    }

    /// One round, with the measurement of depths when it is due. After an error of the store, returns the back-off.
    async fn try_round(&self, state: &mut RunState, reason: Reason) -> Next {
        let measure = state.depths.is_due();
        let round = async {
            if measure {
                self.measure(state).await?;
            }
            let next = self
                .round(&mut state.in_flight, reason, &mut state.strangers)
                .await?;
            if next.spoilt {
                self.measure(state).await?;
            }
            Ok::<_, StoreError>(next)
        };
        match round.await {
            Ok(mut next) => {
                if let Some(due) = state.depths.note_round(measure, next.busy) {
                    next.wait = next.wait.min(due);
                }
                state.failures = 0;
                next
            }
            Err(e) => {
                let wait = back_off(state.failures);
                state.failures = state.failures.saturating_add(1);
                metrics::counter!(telemetry::STORE_ERRORS, "caller" => "webhook").increment(1);
                warn!(
                    node.id = %self.node,
                    error = %Chain(&e),
                    retry_ms = millis(wait),
                    "webhooks wait for the store"
                );
                Next {
                    wait,
                    crowded: false,
                    busy: true,
                    spoilt: false,
                }
            }
        }
    }

    /// Waits for a reason to look at the store again. Notes the attempts that end meanwhile.
    async fn next_reason(&self, state: &mut RunState, next: &Next, wake: &Notify) -> Reason {
        let until = match next.wait == self.settings.idle {
            true => next_poll(next.wait),
            false => Instant::now() + next.wait,
        };
        // Nothing cuts a back-off short, or every event would be one more call to a store that is down.
        let calm = state.failures == 0;
        let in_flight = &mut state.in_flight;
        loop {
            tokio::select! {
                () = wake.notified(), if calm => return Reason::Notified,
                Some(done) = in_flight.next(), if calm => {
                    let mut more = self.ended(done);
                    while let Some(done) = in_flight.ended() {
                        more |= self.ended(done);
                    }
                    // If no delivery waited for its place, the store has nothing new since the last look.
                    if more || next.crowded {
                        return Reason::Ended;
                    }
                    self.in_flight.set(in_flight.len() as f64);
                }
                () = sleep_until(until) => return Reason::Time,
            }
        }
    }

    async fn measure(&self, state: &mut RunState) -> Result<(), StoreError> {
        let endpoints = self.endpoints();
        let (breaker, backpressure) = (&mut state.in_flight.breaker, &self.receivers.backpressure);
        let measured = state
            .depths
            .measure(&*self.store, &endpoints, backpressure, breaker);
        measured.await
    }

    /// Lets the attempts under way finish, within the time for it.
    async fn drain(&self, mut in_flight: InFlight) {
        let finish = async {
            while let Some(done) = in_flight.next().await {
                self.ended(done);
            }
        };
        if timeout(self.settings.drain, finish).await.is_err() {
            warn!(node.id = %self.node, "webhook attempts were cut short by the end of the program and will be made again");
        }
    }

    /// True if more deliveries may be claimed since.
    fn ended(&self, done: Result<bool, task::JoinError>) -> bool {
        done.unwrap_or_else(|e| {
            error!(node.id = %self.node, error = %Chain(&e), "a webhook attempt ended in a panic");
            true
        })
    }

    /// Hands over what is in the outbox and starts the attempts that are due. Returns when to look again.
    async fn round(
        &self,
        in_flight: &mut InFlight,
        reason: Reason,
        strangers: &mut HashMap<AppId, Instant>,
    ) -> Result<Next, StoreError> {
        let Outbox { batch, due, spoilt } = self.read_outbox(reason, strangers).await?;
        // Nothing to hand over, nothing to claim: so it is on most nodes most of the time, and costs one question.
        if let Some(due) = due
            && batch.is_none()
            && in_flight.len() == 0
            && due.is_none_or(|due| !due.is_zero())
        {
            self.in_flight.set(0.0);
            let idle = self.settings.idle;
            return Ok(Next {
                wait: due.map_or(idle, |due| idle.min(due.max(SHORTEST))),
                crowded: false,
                busy: due.is_some(),
                spoilt,
            });
        }
        let free = self.settings.concurrency.saturating_sub(in_flight.len());
        // In this order: what is handed over can be claimed at once. Where a store does it the other way round, it says
        // that something is due.
        let (handed_over, (claims, due)) = tokio::join!(
            biased;
            async {
                match batch {
                    Some(batch) => self.hand_over(batch).await,
                    None => Ok(false),
                }
            },
            self.claim(in_flight, free),
        );
        let claims = claims?;
        let all_taken = claims.len() < free;
        for claim in claims {
            let (app, endpoint) = (claim.message.app.clone(), claim.endpoint.clone());
            in_flight.spawn(app, endpoint, self.clone().deliver(claim));
        }
        self.in_flight.set(in_flight.len() as f64);
        let due = due?;
        // Due deliveries that were not claimed belong to endpoints at their limit: the end of an attempt wakes this.
        let is_passed = due.is_some_and(|due| due.is_zero()) && in_flight.len() > 0;
        let mut next = Next {
            wait: self.settings.idle,
            crowded: !all_taken || is_passed,
            busy: true,
            spoilt,
        };
        if all_taken && let Some(due) = due {
            let shortest = if next.crowded { SHARE_LOOK } else { SHORTEST };
            next.wait = next.wait.min(due.max(shortest));
        }
        if handed_over? {
            next.wait = Duration::ZERO;
        }
        Ok(next)
    }

    /// Reads the outbox, if the reason to look says that it may have something.
    async fn read_outbox(
        &self,
        reason: Reason,
        strangers: &mut HashMap<AppId, Instant>,
    ) -> Result<Outbox, StoreError> {
        let (batch, due) = match reason {
            Reason::Notified => {
                // Mostly this replica has just committed the messages itself, and need not ask the store.
                let batch = match self.store.fresh_outbox(self.node, self.settings.batch) {
                    Some(batch) => batch,
                    None => {
                        let read = self.store.read_outbox(self.node, self.settings.batch);
                        read.await?
                    }
                };
                (Some(batch), None)
            }
            Reason::Ended => (None, None),
            Reason::Time => {
                let (batch, next) = self
                    .store
                    .poll_outbox(self.node, self.settings.batch)
                    .await?;
                (Some(batch), Some(next))
            }
        };
        let spoilt = batch
            .as_ref()
            .is_some_and(|batch| batch.mended || batch.missing + batch.unreadable > 0);
        Ok(Outbox {
            batch: batch.and_then(|batch| self.new_messages(batch, strangers)),
            due,
            spoilt,
        })
    }

    /// Claims as many as there is room for, and asks when the next is due.
    async fn claim(
        &self,
        in_flight: &InFlight,
        free: usize,
    ) -> (
        Result<Vec<ClaimedDelivery>, StoreError>,
        Result<Option<Duration>, StoreError>,
    ) {
        if free == 0 {
            return (Ok(Vec::new()), Ok(None));
        }
        let visibility = self.sender.limits().request + self.settings.margin;
        let share = Share {
            total: free,
            free,
            each: self.settings.each,
            lowered_left: self
                .settings
                .lowered
                .saturating_sub(in_flight.lowered_count()),
            under_way: &in_flight.by_endpoint(),
            lowered: &in_flight.breaker.lowered(),
        };
        tokio::join!(
            biased;
            self.store.claim_deliveries(self.node, visibility, share),
            self.store.next_delivery(self.node),
        )
    }

    /// The receivers of this moment: apps come and go.
    fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.receivers.endpoints.borrow())
    }

    /// The messages that can be fanned out. `strangers` are unknown apps with the time of their first message.
    fn new_messages(
        &self,
        batch: OutboxBatch,
        strangers: &mut HashMap<AppId, Instant>,
    ) -> Option<OutboxBatch> {
        let endpoints = self.endpoints();
        let is_early = |message: &Message| {
            !endpoints.knows(&message.app)
                && strangers
                    .entry(message.app.clone())
                    .or_insert_with(Instant::now)
                    .elapsed()
                    < UNKNOWN_APP_PATIENCE
        };
        let is_none = batch.from == batch.to || batch.messages.iter().any(is_early);
        (!is_none).then_some(batch)
    }

    /// Moves a batch from the outbox to the queues of those who want it. Says whether there may be more.
    async fn hand_over(&self, batch: OutboxBatch) -> Result<bool, StoreError> {
        let full = batch.messages.len() >= self.settings.batch;
        let mut deliveries = Vec::with_capacity(batch.messages.len());
        let endpoints = self.endpoints();
        let span = hand_over_span(self.node, &batch.messages);
        let (missing, unreadable) = (batch.missing, batch.unreadable);
        let times: Vec<Option<Timestamp>> =
            batch.messages.iter().map(payload::event_time).collect();
        for message in batch.messages {
            for endpoint in endpoints.wanting(&message.app, &message.event) {
                deliveries.push(NewDelivery {
                    endpoint: endpoint.id.clone(),
                    message: message.clone(),
                    held: endpoint.disabled.is_some(),
                });
            }
        }
        // When another worker was faster, it has done the same, and counted it, but perhaps not of all.
        let done = self
            .store
            .fan_out(self.node, &batch.from, &batch.to, &deliveries)
            .instrument(span)
            .await?;
        if done && missing + unreadable > 0 {
            let noted = self.store.note_outbox(self.node, missing, unreadable);
            noted.await?;
        }
        if done {
            let node = self.node.to_string();
            metrics::counter!(telemetry::WEBHOOK_HANDED_OVER, "node" => node.clone())
                .increment(times.len() as u64);
            let took = metrics::histogram!(telemetry::WEBHOOK_HAND_OVER_SECONDS, "node" => node);
            let now = clock::now();
            for at in times.into_iter().flatten() {
                took.record(now.since(at));
            }
        }
        Ok(full || !done)
    }
}

/// Linked with the commits of what is handed over, for it is part of none of them alone.
fn hand_over_span(node: NodeId, messages: &[Message]) -> Span {
    let span = info_span!(
        target: trace::TARGET,
        parent: None,
        "hand_over",
        node.id = %node,
        messages = messages.len()
    );
    if !span.is_disabled() {
        for message in messages.iter().take(MOST_LINKS) {
            trace::recall(&message.id).link_from(&span);
        }
    }
    span
}

fn back_off(failures: u32) -> Duration {
    let (first, longest) = BACK_OFF;
    first.saturating_mul(1 << failures.min(10)).min(longest)
}

#[cfg(test)]
mod tests;
