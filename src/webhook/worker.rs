//! The worker of a node: moves messages from the outbox to the queues, and delivers those that are due.
//!
//! Owns the loop and its bounds. Leaves out the order within a queue and the exclusion of other workers (the store's
//! claims), the request (`sender`) and the next delay (`schedule`).
//!
//! A round starts after a commit, when the store poller finds work of another replica, when an attempt ends that
//! others wait for, when the next delivery is due, and at long intervals in any case. While the store does not
//! respond, the worker backs off; running attempts continue.
//!
//! Fan-out and claim are one request: the store executes them in order, which saves a round trip.
//!
//! # Changed endpoints
//!
//! When an endpoint gets another URL, or is enabled, its failures say nothing about the next attempt. Every worker that
//! learns of the change makes the endpoint's waiting deliveries due ([`Deliveries::retry_endpoint`]), and an attempt at
//! the old URL that fails later is repeated at once. So no delivery waits, whichever replica attempted it last.
//!
//! [`Deliveries::retry_endpoint`]: crate::store::deliveries::Deliveries::retry_endpoint
//!
//! # Fair shares
//!
//! An attempt at an endpoint that hangs holds its permit until the request times out. So that one app's endpoints do
//! not delay another app's webhooks, permits are shared, and the store claims by these shares ([`Share`]): there is
//! no list of claimed deliveries here that one app could fill.
//!
//! ```text
//! permits of the node (256)
//!   app:        less than a third of the free permits, so a single app gets a quarter, and some are always free
//!     endpoint: less than its app may still get, and at most 32
//!               halved by each attempt that times out, to 1; doubled by each response (`breaker`)
//!                 queue (one per room or call): one attempt at a time, in order
//!   endpoints with a lowered limit, of all apps together: 64
//! ```
//!
//! The app with the fewest permits comes first, within it the endpoint with the fewest, within that the queue that
//! has been due for longest. An endpoint's limit is its weight. A due delivery without a permit is claimed as soon as
//! an attempt ends. Each replica has its own permits. A claim is exclusive, so replicas share the work, and with n
//! replicas an endpoint has up to n times its limit.

mod attempt;
mod changes;
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

use self::changes::ChangedEndpoints;
use self::depths::Depths;
use self::in_flight::InFlight;
use super::backpressure::Backpressure;
use super::endpoint::{EndpointDisabler, Endpoints};
use super::payload;
use super::schedule::{DISABLED_AFTER, Schedule};
use super::sender::Sender;
use crate::clock;
use crate::store::deliveries::{ClaimedDelivery, NewDelivery, OutboxBatch, Share};
use crate::store::polls::next_poll;
use crate::store::{Message, Store, StoreError};
use crate::telemetry::{self, Chain, trace};
use roomkeeper_core::ids::{AppId, NodeId};
use roomkeeper_core::time::Timestamp;

/// The maximum number of commits that the span of a fan-out is linked with.
const MAX_LINKS: usize = 32;

/// The limits of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The maximum number of concurrent attempts. Each holds a body and a socket.
    pub concurrency: usize,
    /// The maximum number of concurrent attempts at one endpoint: one that hangs must not delay the others.
    pub per_endpoint: usize,
    /// The maximum number of concurrent attempts at all endpoints whose limit is lowered because of timeouts.
    pub lowered: usize,
    /// The maximum number of messages of one fan-out.
    pub batch: usize,
    /// The longest time between two rounds. Work usually wakes the worker earlier.
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
            per_endpoint: 32,
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
const MIN_PAUSE: Duration = Duration::from_millis(5);

/// The same while an endpoint has its maximum number of attempts.
const LIMITED_PAUSE: Duration = Duration::from_millis(100);

/// The time for which events of an unknown app stay in the outbox. Another replica may have just created the app, and
/// fan-out now would reach no endpoint. A removed app delays the others only once and briefly.
const UNKNOWN_APP_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Due deliveries may be unclaimed for lack of permits: each attempt that ends frees one.
    is_full: bool,
    /// Deliveries are on their way, so the depths will change soon.
    is_busy: bool,
    /// The outbox has missing entries, which must be reported at once.
    has_losses: bool,
}

/// A worker's state between rounds.
struct RunState {
    in_flight: InFlight,
    /// Unknown apps with events in the outbox, and the time of their first event.
    unknown_apps: HashMap<AppId, Instant>,
    /// The number of consecutive rounds that failed because of the store.
    failures: u32,
    depths: Depths,
    changes: ChangedEndpoints,
}

impl RunState {
    fn new(node: NodeId, per_endpoint: usize, endpoints: Arc<Endpoints>) -> Self {
        Self {
            in_flight: InFlight::new(per_endpoint),
            unknown_apps: HashMap::new(),
            failures: 0,
            depths: Depths::new(node),
            changes: ChangedEndpoints::new(endpoints),
        }
    }
}

/// The result of reading the outbox.
struct Outbox {
    /// The messages for fan-out.
    batch: Option<OutboxBatch>,
    /// The time until the next delivery is due, or `None` without one, if it was read.
    due: Option<Option<Duration>>,
    /// The outbox has missing entries, which must be counted at once.
    has_losses: bool,
}

/// The shared state of all workers.
#[derive(Clone, Debug)]
pub struct WorkerContext {
    /// The current endpoints.
    pub endpoints: watch::Receiver<Arc<Endpoints>>,
    /// Disables endpoints that fail permanently.
    pub disabler: Arc<dyn EndpointDisabler>,
    /// Receives the depths of the queues.
    pub backpressure: Arc<Backpressure>,
}

/// Delivers the webhooks of one node.
#[derive(Clone, Debug)]
pub struct Worker {
    node: NodeId,
    store: Arc<dyn Store>,
    context: WorkerContext,
    sender: Sender,
    schedule: Arc<Schedule>,
    settings: Settings,
    in_flight: Gauge,
}

impl Worker {
    /// Creates a worker; [`Self::run`] starts it.
    pub fn new(
        node: NodeId,
        store: Arc<dyn Store>,
        context: WorkerContext,
        sender: Sender,
        schedule: Schedule,
        settings: Settings,
    ) -> Self {
        Self {
            node,
            store,
            context,
            sender,
            schedule: Arc::new(schedule),
            settings,
            in_flight: metrics::gauge!(telemetry::WEBHOOK_IN_FLIGHT, "node" => node.to_string()),
        }
    }

    /// Delivers until `stop`, then lets the running attempts finish. Each commit for this node calls
    /// `wake.notify_one()`. If the future is dropped, its claims expire and other workers repeat the attempts.
    pub async fn run(self, wake: Arc<Notify>, stop: CancellationToken) {
        let mut endpoints = self.context.endpoints.clone();
        let known = Arc::clone(&endpoints.borrow_and_update());
        let mut state = RunState::new(self.node, self.settings.per_endpoint, known);
        let mut reason = Reason::Notified;
        while !stop.is_cancelled() {
            let next = self.try_round(&mut state, reason).await;
            tokio::select! {
                () = stop.cancelled() => {}
                woken = self.next_reason(&mut state, &next, &wake) => reason = woken,
                // The sender ends with the program.
                Ok(()) = endpoints.changed(), if state.failures == 0 => reason = Reason::Time,
            }
            while let Some(done) = state.in_flight.try_next() {
                self.handle_end(done);
            }
        }
        self.drain(state.in_flight).await;
    }

    /// Runs one round, and measures the depths when that is due. After an error of the store, returns the back-off.
    async fn try_round(&self, state: &mut RunState, reason: Reason) -> Next {
        let measure = state.depths.is_due();
        let round = async {
            self.follow_changes(state).await?;
            if measure {
                self.measure(state).await?;
            }
            let next = self
                .round(&mut state.in_flight, reason, &mut state.unknown_apps)
                .await?;
            if next.has_losses {
                self.measure(state).await?;
            }
            Ok::<_, StoreError>(next)
        };
        match round.await {
            Ok(mut next) => {
                if let Some(due) = state.depths.note_round(measure, next.is_busy) {
                    next.wait = next.wait.min(due);
                }
                state.failures = 0;
                next
            }
            Err(e) => {
                let wait = back_off(state.failures);
                state.failures = state.failures.saturating_add(1);
                metrics::counter!(telemetry::STORE_ERRORS, "caller" => "webhook").increment(1);
                e.log_effect(Some(self.node), "webhooks wait for the store");
                Next {
                    wait,
                    is_full: false,
                    is_busy: true,
                    has_losses: false,
                }
            }
        }
    }

    /// Waits for the reason of the next round. Handles the attempts that end meanwhile.
    async fn next_reason(&self, state: &mut RunState, next: &Next, wake: &Notify) -> Reason {
        let until = match next.wait == self.settings.idle {
            true => next_poll(next.wait),
            false => Instant::now() + next.wait,
        };
        // Nothing shortens a back-off, or every event would cause a request to a store that is down.
        let is_store_up = state.failures == 0;
        let in_flight = &mut state.in_flight;
        loop {
            tokio::select! {
                () = wake.notified(), if is_store_up => return Reason::Notified,
                Some(done) = in_flight.next(), if is_store_up => {
                    let mut more = self.handle_end(done);
                    while let Some(done) = in_flight.try_next() {
                        more |= self.handle_end(done);
                    }
                    // If no delivery waited for a permit, the store has nothing new since the last round.
                    if more || next.is_full {
                        return Reason::Ended;
                    }
                    self.in_flight.set(in_flight.len() as f64);
                }
                () = sleep_until(until) => return Reason::Time,
            }
        }
    }

    /// Makes the waiting deliveries of changed endpoints due.
    async fn follow_changes(&self, state: &mut RunState) -> Result<(), StoreError> {
        state.changes.follow(self.endpoints());
        while let Some(endpoint) = state.changes.next() {
            self.store.retry_endpoint(self.node, &endpoint).await?;
            state.in_flight.breaker.reset(&endpoint);
            state.changes.finish(&endpoint);
        }
        Ok(())
    }

    async fn measure(&self, state: &mut RunState) -> Result<(), StoreError> {
        let endpoints = self.endpoints();
        let (breaker, backpressure) = (&mut state.in_flight.breaker, &self.context.backpressure);
        let measured = state
            .depths
            .measure(&*self.store, &endpoints, backpressure, breaker);
        measured.await
    }

    /// Waits for the running attempts, within the time limit.
    async fn drain(&self, mut in_flight: InFlight) {
        let finish = async {
            while let Some(done) = in_flight.next().await {
                self.handle_end(done);
            }
        };
        if timeout(self.settings.drain, finish).await.is_err() {
            warn!(node.id = %self.node, "webhook attempts were interrupted by the shutdown and will be repeated");
        }
    }

    /// Handles the end of an attempt; true if more deliveries may be claimed now.
    fn handle_end(&self, done: Result<bool, task::JoinError>) -> bool {
        done.unwrap_or_else(|e| {
            error!(node.id = %self.node, error = %Chain(&e), "a webhook attempt panicked");
            true
        })
    }

    /// Fans out the outbox and starts the due attempts. Returns the time of the next round.
    async fn round(
        &self,
        in_flight: &mut InFlight,
        reason: Reason,
        unknown_apps: &mut HashMap<AppId, Instant>,
    ) -> Result<Next, StoreError> {
        let Outbox {
            batch,
            due,
            has_losses,
        } = self.read_outbox(reason, unknown_apps).await?;
        // Most nodes have nothing to fan out and nothing to claim most of the time. This costs one request.
        if let Some(due) = due
            && batch.is_none()
            && in_flight.len() == 0
            && due.is_none_or(|due| !due.is_zero())
        {
            self.in_flight.set(0.0);
            let idle = self.settings.idle;
            return Ok(Next {
                wait: due.map_or(idle, |due| idle.min(due.max(MIN_PAUSE))),
                is_full: false,
                is_busy: due.is_some(),
                has_losses,
            });
        }
        let free = self.settings.concurrency.saturating_sub(in_flight.len());
        // In this order, the deliveries of the fan-out are claimed at once. A store that reorders the two reports that
        // deliveries are due.
        let (fanned_out, (claims, due)) = tokio::join!(
            biased;
            async {
                match batch {
                    Some(batch) => self.fan_out(batch).await,
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
            is_full: !all_taken || is_passed,
            is_busy: true,
            has_losses,
        };
        if all_taken && let Some(due) = due {
            let shortest = if next.is_full {
                LIMITED_PAUSE
            } else {
                MIN_PAUSE
            };
            next.wait = next.wait.min(due.max(shortest));
        }
        if fanned_out? {
            next.wait = Duration::ZERO;
        }
        Ok(next)
    }

    /// Reads the outbox if the reason of the round says that it may have messages.
    async fn read_outbox(
        &self,
        reason: Reason,
        unknown_apps: &mut HashMap<AppId, Instant>,
    ) -> Result<Outbox, StoreError> {
        let (batch, due) = match reason {
            Reason::Notified => {
                // This replica has usually just committed the messages itself, and needs no request.
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
        let has_losses = batch
            .as_ref()
            .is_some_and(|batch| batch.mended || batch.missing + batch.unreadable > 0);
        Ok(Outbox {
            batch: batch.and_then(|batch| self.new_messages(batch, unknown_apps)),
            due,
            has_losses,
        })
    }

    /// Claims as many deliveries as there are permits, and reads when the next one is due.
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
            each: self.settings.per_endpoint,
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

    /// The current endpoints.
    fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.context.endpoints.borrow())
    }

    /// The messages that can be fanned out. `unknown_apps` are unknown apps with the time of their first message.
    fn new_messages(
        &self,
        batch: OutboxBatch,
        unknown_apps: &mut HashMap<AppId, Instant>,
    ) -> Option<OutboxBatch> {
        let endpoints = self.endpoints();
        let is_early = |message: &Message| {
            !endpoints.knows(&message.app)
                && unknown_apps
                    .entry(message.app.clone())
                    .or_insert_with(Instant::now)
                    .elapsed()
                    < UNKNOWN_APP_TIMEOUT
        };
        let is_none = batch.from == batch.to || batch.messages.iter().any(is_early);
        (!is_none).then_some(batch)
    }

    /// Moves a batch from the outbox to the queues of the endpoints that want it; true if there may be more.
    async fn fan_out(&self, batch: OutboxBatch) -> Result<bool, StoreError> {
        let full = batch.messages.len() >= self.settings.batch;
        let mut deliveries = Vec::with_capacity(batch.messages.len());
        let endpoints = self.endpoints();
        let span = fan_out_span(self.node, &batch.messages);
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
        // A worker that was faster has moved and counted the same messages, but maybe not all of them.
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
            let seconds = metrics::histogram!(telemetry::WEBHOOK_HAND_OVER_SECONDS, "node" => node);
            let now = clock::now();
            for at in times.into_iter().flatten() {
                seconds.record(now.since(at));
            }
        }
        Ok(full || !done)
    }
}

/// Creates the span of a fan-out, linked with the commits of its messages, because it belongs to several of them.
fn fan_out_span(node: NodeId, messages: &[Message]) -> Span {
    let span = info_span!(
        target: trace::TARGET,
        parent: None,
        "hand_over",
        node.id = %node,
        messages = messages.len()
    );
    if !span.is_disabled() {
        for message in messages.iter().take(MAX_LINKS) {
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
