//! The worker of a node: hands the outbox over to the queues, and delivers what is due.
//!
//! Owns the loop and its bounds. Leaves out the order within a queue and the exclusion of other workers (the store's
//! claims), the request (`sender`) and the next delay (`schedule`).
//!
//! It is woken by a commit, by whoever sees that another replica has left something, by the end of an attempt behind which
//! others wait, and by the time of the next delivery; and seldom, whatever happens. While the store does not answer it
//! backs off; attempts under way go on meanwhile.
//!
//! What is handed over is asked for in the same breath: the store does one after the other, and the way there and back is
//! gone once.
//!
//! # Fair shares
//!
//! An attempt at an endpoint that hangs holds its place for as long as a request may take. So that one app's endpoints do
//! not hold up another's webhooks, places are shared, and the store claims by these shares ([`Share`]): there is no list of
//! claimed deliveries here that could fill up with those of one app.
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
//! The app with the fewest places comes first, within it the endpoint with the fewest, within that the queue that has been
//! due for longest. An endpoint's bound is its weight. A delivery that is due and finds no place is claimed as soon as an
//! attempt ends. Each replica has places of its own and knows of no other's: a claim is exclusive, so they share the work,
//! and with n replicas an endpoint has up to n times the bound.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use tokio::sync::{Notify, watch};
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, error, info_span, warn};

use super::breaker::Breaker;
use super::endpoint::{Disabling, Endpoint, Endpoints};
use super::payload;
use super::pressure::Pressure;
use super::schedule::{Attempt, DISABLED_AFTER, Schedule};
use super::sender::{Report, Sender};
use crate::ids::{AppId, EndpointId, NodeId};
use crate::store::deliveries::{
    Attempted, Backlog, ClaimedDelivery, DeliveryResult, EndpointHealth, Finished, NewDelivery,
    OutboxBatch, Share,
};
use crate::store::looks::next_look;
use crate::store::{Message, Store, StoreError};
use crate::telemetry::{self, Chain, millis, trace};
use crate::time::Timestamp;

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
    /// How much longer than a request a claim holds, to write down what came of it.
    pub margin: Duration,
    /// How long a receiver may fail before it is to be disabled.
    pub disabled_after: Duration,
    /// How long attempts under way get when the worker is stopped; what is not done then is left to others.
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

/// After a refusal of the store: the first delay, and the longest.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Between two looks when the store says that something is due and yet gives nothing out.
const SHORTEST: Duration = Duration::from_millis(5);

/// The same while a receiver has its share of the attempts.
const SHARE_LOOK: Duration = Duration::from_millis(100);

/// How often the depths of the queues are measured, while there is something in them.
const MEASURE: Duration = Duration::from_secs(5);

/// How often a message for a receiver that is not configured is tried. A replica that has not been restarted yet does
/// not know a new one, and must leave it to those that do; one that was removed must not be kept for days.
const UNKNOWN_ENDPOINT_ATTEMPTS: u32 = 7;

/// How long events of an app that is not known here are kept in the outbox. It may have been made on another replica a
/// moment ago, and handed over now they would reach nobody. One that was removed must not hold the others up for long,
/// and does so once.
const UNKNOWN_APP_PATIENCE: Duration = Duration::from_secs(5);

/// How often the end of an attempt is written, before the message is left to be sent again.
const FINISH_ATTEMPTS: u32 = 4;

/// The outcome of an attempt.
#[derive(Debug)]
struct Ended {
    /// There is something to claim now that there was not before.
    more: bool,
    /// The endpoint, and whether it did not answer in time; `None` when it was not asked.
    timed_out: Option<(EndpointId, bool)>,
}

/// The attempts that are under way, and whose they are.
struct InFlight {
    tasks: JoinSet<Ended>,
    receivers: HashMap<task::Id, (AppId, EndpointId)>,
    breaker: Breaker,
}

impl InFlight {
    fn new(each: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            receivers: HashMap::new(),
            breaker: Breaker::new(each),
        }
    }

    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn spawn(
        &mut self,
        app: AppId,
        endpoint: EndpointId,
        attempt: impl Future<Output = Ended> + Send + 'static,
    ) {
        let id = self.tasks.spawn(attempt).id();
        self.receivers.insert(id, (app, endpoint));
    }

    /// The next that ends, and whether there may be something to claim since; `None` when none is under way.
    async fn next(&mut self) -> Option<Result<bool, task::JoinError>> {
        let done = self.tasks.join_next_with_id().await?;
        Some(self.forget(done))
    }

    /// One that has ended.
    fn ended(&mut self) -> Option<Result<bool, task::JoinError>> {
        let done = self.tasks.try_join_next_with_id()?;
        Some(self.forget(done))
    }

    fn forget(
        &mut self,
        done: Result<(task::Id, Ended), task::JoinError>,
    ) -> Result<bool, task::JoinError> {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        self.receivers.remove(&id);
        let (_, ended) = done?;
        if let Some((endpoint, timed_out)) = &ended.timed_out {
            self.breaker.note(endpoint, *timed_out);
        }
        Ok(ended.more)
    }

    /// The places that are taken, by endpoint.
    fn by_endpoint(&self) -> Vec<(AppId, EndpointId, usize)> {
        let mut counts: HashMap<&(AppId, EndpointId), usize> = HashMap::new();
        for of in self.receivers.values() {
            *counts.entry(of).or_default() += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((app, id), count)| (app.clone(), id.clone(), count))
            .collect()
    }

    /// How many places lowered endpoints hold.
    fn of_lowered(&self) -> usize {
        let endpoints = self.receivers.values();
        endpoints
            .filter(|(_, endpoint)| self.breaker.is_lowered(endpoint))
            .count()
    }
}

/// What gives reason to look at the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// There may be something in the outbox.
    Told,
    /// An attempt has ended: something else may be claimed.
    Ended,
    /// Time has passed, and that is all.
    Time,
}

/// When to look at the store again, if nothing else gives reason to.
#[derive(Clone, Copy, Debug)]
struct Next {
    wait: Duration,
    /// Something may have been left for want of room: each attempt that ends makes some.
    crowded: bool,
    /// There is something on its way, so that the depths are other ones soon.
    busy: bool,
    /// The outbox was found to lack something, which is to be told at once.
    spoilt: bool,
}

/// What the workers of all nodes share.
#[derive(Clone, Debug)]
pub struct Receivers {
    /// Who wants what, now and after each change.
    pub endpoints: watch::Receiver<Arc<Endpoints>>,
    /// Told of a receiver that will never take anything again.
    pub disabling: Arc<dyn Disabling>,
    /// Told how much there is on the way.
    pub pressure: Arc<Pressure>,
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
        let mut in_flight = InFlight::new(self.settings.each);
        let mut reason = Reason::Told;
        let mut strangers = HashMap::new();
        let mut failures: u32 = 0;
        let mut measured: Option<Instant> = None;
        // What was measured last is not how it is any more.
        let mut outdated = false;
        let mut seen = None;
        while !stop.is_cancelled() {
            let measure = measured.is_none_or(|at| at.elapsed() >= MEASURE);
            let round = async {
                if measure {
                    self.measure(&mut in_flight, &mut seen).await?;
                }
                let next = self.round(&mut in_flight, reason, &mut strangers).await?;
                if next.spoilt {
                    self.measure(&mut in_flight, &mut seen).await?;
                }
                Ok::<_, StoreError>(next)
            };
            let Next { wait, crowded, .. } = match round.await {
                Ok(mut next) => {
                    let now = Instant::now();
                    if measure {
                        measured = Some(now);
                    }
                    outdated = next.busy || (outdated && !measure);
                    if outdated && let Some(at) = measured {
                        let due = (at + MEASURE).saturating_duration_since(now);
                        next.wait = next.wait.min(due);
                    }
                    failures = 0;
                    next
                }
                Err(e) => {
                    let wait = back_off(failures);
                    failures = failures.saturating_add(1);
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
            };
            let until = match wait == self.settings.idle {
                true => next_look(wait),
                false => Instant::now() + wait,
            };
            // Nothing cuts a back-off short, or every event would be one more call to a store that is down.
            let calm = failures == 0;
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = wake.notified(), if calm => {
                        reason = Reason::Told;
                        break;
                    }
                    Some(done) = in_flight.next(), if calm => {
                        let mut more = self.ended(done);
                        while let Some(done) = in_flight.ended() {
                            more |= self.ended(done);
                        }
                        // An end behind which nobody waits leaves the store as it was at the last look.
                        if more || crowded {
                            reason = Reason::Ended;
                            break;
                        }
                        self.in_flight.set(in_flight.len() as f64);
                    }
                    () = sleep_until(until) => {
                        reason = Reason::Time;
                        break;
                    }
                }
            }
            while let Some(done) = in_flight.ended() {
                self.ended(done);
            }
        }
        let finish = async {
            while let Some(done) = in_flight.next().await {
                self.ended(done);
            }
        };
        if timeout(self.settings.drain, finish).await.is_err() {
            warn!(node.id = %self.node, "webhook attempts were cut short by the end of the program and will be made again");
        }
    }

    /// Whether there may be something to claim since.
    fn ended(&self, done: Result<bool, task::JoinError>) -> bool {
        done.unwrap_or_else(|e| {
            error!(node.id = %self.node, error = %Chain(&e), "a webhook attempt ended in a panic");
            true
        })
    }

    /// One look at the store. Says when to look again.
    async fn round(
        &self,
        in_flight: &mut InFlight,
        reason: Reason,
        strangers: &mut HashMap<AppId, Instant>,
    ) -> Result<Next, StoreError> {
        let mut due = None;
        let mut spoilt = false;
        let mut look_into = |batch: OutboxBatch| {
            spoilt |= batch.mended || batch.missing + batch.unreadable > 0;
            self.new_messages(batch, strangers)
        };
        let batch = match reason {
            Reason::Told => {
                // Mostly it is this replica that has just committed, and it need not ask what.
                let batch = match self.store.fresh_outbox(self.node, self.settings.batch) {
                    Some(batch) => batch,
                    None => {
                        let read = self.store.read_outbox(self.node, self.settings.batch);
                        read.await?
                    }
                };
                look_into(batch)
            }
            Reason::Ended => None,
            Reason::Time => {
                let (batch, next) = self.store.look(self.node, self.settings.batch).await?;
                due = Some(next);
                look_into(batch)
            }
        };
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
        // What is due and was not given is for an endpoint that has its share: the end of an attempt wakes.
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
            lowered_left: self.settings.lowered.saturating_sub(in_flight.of_lowered()),
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

    /// What of it can be handed over. `strangers` are the apps that were not known, by when that was first
    /// seen.
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
        let told: Vec<Option<Timestamp>> = batch.messages.iter().map(payload::told_at).collect();
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
                .increment(told.len() as u64);
            let took = metrics::histogram!(telemetry::WEBHOOK_HAND_OVER_SECONDS, "node" => node);
            let now = Timestamp::now();
            for at in told.into_iter().flatten() {
                took.record(now.since(at));
            }
        }
        Ok(full || !done)
    }

    /// Measures the depths. `seen` is what the outbox was known to lack.
    async fn measure(
        &self,
        in_flight: &mut InFlight,
        seen: &mut Option<(u64, u64)>,
    ) -> Result<(), StoreError> {
        let backlog = self.store.backlog(self.node).await?;
        let node = self.node.to_string();
        self.tell_outbox(&backlog, seen);
        for (name, depth) in [
            (telemetry::WEBHOOK_OUTBOX_DEPTH, backlog.outbox),
            (telemetry::WEBHOOK_QUEUES, backlog.queues),
        ] {
            metrics::gauge!(name, "node" => node.clone()).set(depth as f64);
        }
        let endpoints = self.endpoints();
        in_flight.breaker.retain(|id| endpoints.get(id).is_some());
        let lowered = in_flight.breaker.lowered().len();
        metrics::gauge!(telemetry::WEBHOOK_LOWERED, "node" => node.clone()).set(lowered as f64);
        let ids: Vec<_> = endpoints.ids().cloned().collect();
        let health = self.store.endpoint_health(self.node, &ids).await?;
        let (mut pending, mut dead) = (0, 0);
        for health in &health {
            pending += health.pending;
            dead += health.dead;
        }
        for (name, count) in [
            (telemetry::WEBHOOK_PENDING, pending),
            (telemetry::WEBHOOK_DEAD, dead),
        ] {
            metrics::gauge!(name, "node" => node.clone()).set(count as f64);
        }
        let pressure = &self.receivers.pressure;
        let fullest = health.iter().map(|health| health.pending).max();
        let fullest = fullest.unwrap_or_default().max(backlog.outbox);
        metrics::gauge!(telemetry::WEBHOOK_FULL_RATIO, "node" => node)
            .set(fullest as f64 / pressure.most().max(1) as f64);
        let full = |health: &EndpointHealth| health.pending >= pressure.tight();
        let full = ids.iter().zip(&health).filter(|(_, health)| full(health));
        let apps = full.filter_map(|(id, _)| Some(endpoints.get(id)?.app.clone()));
        pressure.note(self.node, backlog.outbox, apps.collect());
        Ok(())
    }

    /// Counts what the outbox has been found to lack since the last time, by whichever replica.
    fn tell_outbox(&self, backlog: &Backlog, seen: &mut Option<(u64, u64)>) {
        let now = (backlog.missing, backlog.unreadable);
        let (missing, unreadable) = seen.replace(now).unwrap_or(now);
        let missing = now.0.saturating_sub(missing);
        let unreadable = now.1.saturating_sub(unreadable);
        if missing + unreadable == 0 {
            return;
        }
        for (name, count) in [
            (telemetry::WEBHOOK_OUTBOX_MISSING, missing),
            (telemetry::WEBHOOK_OUTBOX_UNREADABLE, unreadable),
        ] {
            metrics::counter!(name, "node" => self.node.to_string()).increment(count);
        }
        error!(
            node.id = %self.node,
            missing,
            unreadable,
            "somebody has deleted or spoilt entries of the outbox: their webhooks are lost, all others are sent"
        );
    }

    async fn deliver(self, claim: ClaimedDelivery) -> Ended {
        let mut timed_out = None;
        let endpoints = self.endpoints();
        let (result, attempted) = match endpoints.get(&claim.endpoint) {
            // What is held is dead until it is asked for.
            Some(endpoint) if endpoint.disabled.is_some() => (DeliveryResult::Dead, None),
            Some(endpoint) => {
                let at = Timestamp::now();
                let span = self.attempt_span(&claim);
                let post = self.sender.post(endpoint, &claim.message);
                let report = post.instrument(span.clone()).await;
                span.record("outcome", report.outcome());
                drop(span);
                let jitter = rand::random();
                let result = self.schedule.after(
                    report.attempt(),
                    claim.failed_attempts,
                    claim.failing_for,
                    jitter,
                );
                self.tell(endpoint, &claim, &report, result);
                let is_late = report.took >= self.sender.limits().request;
                timed_out = Some((endpoint.id.clone(), is_late || report.is_timeout()));
                (result, Some((report.attempt(), report.attempted(at))))
            }
            None if endpoints.is_removed(&claim.endpoint) => (DeliveryResult::Forgotten, None),
            None => (self.unknown(&claim), None),
        };
        let noted = attempted.as_ref().map(|(_, noted)| noted);
        let finished = self.finish(&claim, result, noted).await;
        if let (Some((attempt, _)), Some(finished)) = (attempted, finished) {
            self.judge(&claim, attempt, finished).await;
        }
        let more = match result {
            DeliveryResult::Retry { .. } | DeliveryResult::Park { .. } => true,
            DeliveryResult::Delivered | DeliveryResult::Dead | DeliveryResult::Forgotten => {
                finished.is_none_or(|finished| finished.behind > 0)
            }
        };
        Ended { more, timed_out }
    }

    /// An attempt is part of the trace of what it tells.
    fn attempt_span(&self, claim: &ClaimedDelivery) -> Span {
        let span = info_span!(
            target: trace::TARGET,
            parent: None,
            "attempt",
            otel.kind = "client",
            node.id = %self.node,
            endpoint.id = %claim.endpoint,
            webhook.id = claim.message.id,
            event = claim.message.event,
            attempt = claim.failed_attempts + 1,
            outcome = Empty
        );
        if !span.is_disabled() {
            trace::recall(&claim.message.id).adopt(&span);
        }
        span
    }

    /// Takes a receiver out of service that will never take anything again.
    async fn judge(&self, claim: &ClaimedDelivery, attempt: Attempt, finished: Finished) {
        let failing_for = finished.failing_for.unwrap_or_default();
        let disabling = &self.receivers.disabling;
        let done = match attempt {
            Attempt::Accepted => return,
            Attempt::Gone => disabling.gone(&claim.endpoint).await,
            Attempt::Failed { .. } if failing_for >= self.settings.disabled_after => {
                disabling.failing(&claim.endpoint).await
            }
            Attempt::Failed { .. } => return,
        };
        if let Err(error) = done {
            warn!(
                node.id = %self.node,
                endpoint.id = %claim.endpoint,
                error = %Chain(&error),
                "a receiver could not be disabled; the next attempt will ask for it again"
            );
        }
    }

    fn unknown(&self, claim: &ClaimedDelivery) -> DeliveryResult {
        warn!(
            node.id = %self.node,
            endpoint.id = %claim.endpoint,
            webhook.id = claim.message.id,
            "a webhook is for a receiver that is not configured here"
        );
        if claim.failed_attempts + 1 >= UNKNOWN_ENDPOINT_ATTEMPTS {
            return DeliveryResult::Dead;
        }
        let failed = Attempt::Failed { retry_after: None };
        self.schedule.after(
            failed,
            claim.failed_attempts,
            claim.failing_for,
            rand::random(),
        )
    }

    fn tell(
        &self,
        endpoint: &Endpoint,
        claim: &ClaimedDelivery,
        report: &Report,
        result: DeliveryResult,
    ) {
        let node = self.node.to_string();
        metrics::counter!(telemetry::WEBHOOK_ATTEMPTS, "node" => node.clone(), "outcome" => report.outcome())
            .increment(1);
        metrics::histogram!(telemetry::WEBHOOK_ATTEMPT_SECONDS, "node" => node)
            .record(report.took.as_secs_f64());
        let next = match result {
            DeliveryResult::Delivered => {
                debug!(
                    node.id = %self.node,
                    endpoint.id = %endpoint.id,
                    webhook.id = claim.message.id,
                    event = claim.message.event,
                    duration_ms = millis(report.took),
                    "webhook delivered"
                );
                return;
            }
            DeliveryResult::Retry { after } => format!("again in {:.1} s", after.as_secs_f64()),
            DeliveryResult::Park { after, hold } if !claim.parked => format!(
                "again in {:.1} s, and those behind it wait for {:.1} s yet",
                after.as_secs_f64(),
                hold.as_secs_f64()
            ),
            DeliveryResult::Park { after, .. } => format!("again in {:.1} s", after.as_secs_f64()),
            DeliveryResult::Dead | DeliveryResult::Forgotten => "given up".to_owned(),
        };
        let problem = match &report.result {
            Ok(status) => format!("status {}", status.as_u16()),
            Err(failure) => failure.to_string(),
        };
        warn!(
            node.id = %self.node,
            endpoint.id = %endpoint.id,
            endpoint.host = endpoint.url.host_str(),
            webhook.id = claim.message.id,
            event = claim.message.event,
            attempt = claim.failed_attempts + 1,
            duration_ms = millis(report.took),
            problem,
            next,
            "webhook not delivered"
        );
    }

    /// Writes down what came of an attempt. When that cannot be done the claim runs out, and the message is sent
    /// again under the same id.
    async fn finish(
        &self,
        claim: &ClaimedDelivery,
        result: DeliveryResult,
        attempted: Option<&Attempted>,
    ) -> Option<Finished> {
        for failures in 0..FINISH_ATTEMPTS {
            let store = &self.store;
            let finish = store.finish_delivery(self.node, claim, result, attempted);
            match finish.await {
                Ok(Some(finished)) => {
                    self.count_end(result, claim);
                    return Some(finished);
                }
                Ok(None) => {
                    warn!(
                        node.id = %self.node,
                        webhook.id = claim.message.id,
                        "the claim on a webhook ran out before its attempt was written down"
                    );
                    return None;
                }
                Err(e) => {
                    metrics::counter!(telemetry::STORE_ERRORS, "caller" => "webhook").increment(1);
                    warn!(
                        node.id = %self.node,
                        webhook.id = claim.message.id,
                        error = %Chain(&e),
                        "the end of a webhook attempt could not be written"
                    );
                }
            }
            sleep(back_off(failures)).await;
        }
        None
    }

    fn count_end(&self, result: DeliveryResult, claim: &ClaimedDelivery) {
        let parked = claim.parked;
        let result = match result {
            DeliveryResult::Delivered => {
                if let Some(at) = payload::told_at(&claim.message) {
                    metrics::histogram!(telemetry::WEBHOOK_DELIVERED_SECONDS, "node" => self.node.to_string())
                        .record(Timestamp::now().since(at));
                }
                "delivered"
            }
            DeliveryResult::Dead => "dead",
            DeliveryResult::Forgotten => "forgotten",
            DeliveryResult::Park { .. } if !parked => "parked",
            DeliveryResult::Retry { .. } | DeliveryResult::Park { .. } => return,
        };
        metrics::counter!(telemetry::WEBHOOK_DELIVERIES, "node" => self.node.to_string(), "result" => result)
            .increment(1);
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
