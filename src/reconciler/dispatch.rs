//! From the actor to the node: which order is given when, and who is told what came of it.
//!
//! What a caller waits for, and what plays, is given at once. What nobody waits for takes its turn in the backlog: a room
//! of thousands that ends has an order for each of its members, and a caller of another room must not wait for them, nor
//! may they be refused because they are so many. While the node cannot be reached, or takes no more, they are kept for
//! a while; what then was not given has failed, and is counted.
//!
//! One task a node, beside the actor, so that a slow commit does not hold orders up and a slow node no commit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use metrics::{Counter, Gauge, Histogram};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;
use tracing::field::Empty;
use uuid::Uuid;

use crate::ids::{NodeId, RoomId};
use crate::node::{CommandError, NodeHandle};
use crate::telemetry as names;
use crate::telemetry::trace;

use super::actor::{Waiting, Work};
use super::backlog::{Backlog, Waits};
use super::belief::Order;
use super::orders::{self, OrderSettings};

/// Orders that are given at once and may be on their way to the task that gives them. It waits for nothing, so they are
/// a batch of the actor or two; each of them is an intent or about what plays in a room.
const MOST_PROMPT: usize = 4_096;

/// How long orders are kept that cannot be given. What they were decided for has run out by then: the deadlines of
/// leaves, and of rooms that end, are as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the backlog rests when the node took no more.
const REST: Duration = Duration::from_millis(50);

/// How often orders that cannot be given are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// How long what is left may take when the program is stopped: FreeSWITCH parks 3,000 calls in less.
const DRAIN: Duration = Duration::from_secs(2);

/// An order, and who waits for it.
pub(super) type Errand = (Order, Option<Waiting>);

/// An order that is given at once.
struct Prompt {
    errand: Errand,
    since: Duration,
}

/// What the actor holds: it puts orders in, and never waits.
#[derive(Clone)]
pub(super) struct Dispatch {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Orders>,
    more: Notify,
    origin: Instant,
}

#[derive(Default)]
struct Orders {
    prompt: VecDeque<Prompt>,
    backlog: Backlog,
}

/// What became of an order that was given.
enum Given {
    /// Whoever had to be told is told; which order it was, and what came of it.
    Prompt(&'static str, &'static str),
    Paced(&'static str, &'static str),
    /// It did not reach FreeSWITCH, and can be given again.
    Again(RoomId, Waits),
}

/// The room in whose line an order waits; `None`: it does not wait.
fn line(order: &Order) -> Option<RoomId> {
    match order {
        Order::Enter { room, .. }
        | Order::Park { room, .. }
        | Order::Mute { room, .. }
        | Order::Step { room, .. }
        | Order::Break { room, .. }
        | Order::Describe { room, .. } => Some(*room),
        // One a room at most, and neither the next file nor a recording must be late.
        Order::Play { .. } | Order::RecordStart { .. } | Order::RecordStop { .. } => None,
        // Nor before an earlier one: the last one counts.
        Order::Lock { .. } => None,
        // A snapshot can show thousands of calls for the first time. They share one line, in which no room waits.
        Order::Prepare { session } => Some(RoomId::new(session.node(), Uuid::nil())),
        Order::Answer { .. } | Order::Hangup { .. } => None,
    }
}

impl Dispatch {
    pub(super) fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                waiting: Mutex::default(),
                more: Notify::new(),
                origin: Instant::now(),
            }),
        }
    }

    /// Takes orders, in the order in which they were decided; returned are those for which there is no room.
    pub(super) fn give(&self, errands: impl IntoIterator<Item = Errand>) -> Vec<Errand> {
        let now = self.now();
        let mut refused = Vec::new();
        let mut waiting = self.lock();
        for (order, caller) in errands {
            match line(&order) {
                Some(room) if caller.is_none() => {
                    if let Err(order) = waiting.backlog.put(room, order, now) {
                        refused.push((order, None));
                    }
                }
                Some(_) | None => {
                    let prompt = |errand| Prompt { errand, since: now };
                    let before = waiting.backlog.before(&order);
                    let before = before.into_iter().map(|order| prompt((order, None)));
                    waiting.prompt.extend(before);
                    if waiting.prompt.len() < MOST_PROMPT {
                        waiting.prompt.push_back(prompt((order, caller)));
                    } else {
                        refused.push((order, caller));
                    }
                }
            }
        }
        drop(waiting);
        self.shared.more.notify_one();
        refused
    }

    /// Gives orders until `stop` is cancelled, and then what is left.
    pub(super) async fn run(
        &self,
        node: &NodeHandle,
        settings: &OrderSettings,
        actor: &mpsc::Sender<Work>,
        stop: &CancellationToken,
    ) {
        // What was in flight when the one before it panicked is nobody's any more.
        self.lock().backlog.begin_anew();
        let mut desk = Desk {
            given: FuturesUnordered::new(),
            rest_until: None,
            meters: Meters::new(node.id()),
            dispatch: self.clone(),
            settings: settings.clone(),
            actor: actor.clone(),
            node: node.clone(),
        };
        tokio::select! {
            () = desk.work(false) => {}
            () = stop.cancelled() => {}
        }
        if tokio::time::timeout(DRAIN, desk.work(true)).await.is_err() {
            let left = self.lock().backlog.len();
            tracing::warn!(node.id = %node.id(), left, "orders were left when the program ended; a snapshot will show what they were for");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }
}

type Giving = std::pin::Pin<Box<dyn Future<Output = Given> + Send>>;

struct Meters {
    node: String,
    prompt_waited: Histogram,
    paced_waited: Histogram,
    prompt_waiting: Gauge,
    paced_waiting: Gauge,
    given: HashMap<(&'static str, &'static str), Counter>,
}

impl Meters {
    fn new(node: NodeId) -> Self {
        let node = node.to_string();
        let waited = |queue: &'static str| metrics::histogram!(names::ORDER_WAIT_SECONDS, "node" => node.clone(), "queue" => queue);
        let waiting = |queue: &'static str| metrics::gauge!(names::ORDERS_WAITING, "node" => node.clone(), "queue" => queue);
        Self {
            prompt_waited: waited("prompt"),
            paced_waited: waited("paced"),
            prompt_waiting: waiting("prompt"),
            paced_waiting: waiting("paced"),
            given: HashMap::new(),
            node,
        }
    }

    fn given(&mut self, order: &'static str, outcome: &'static str) {
        let node = &self.node;
        self.given
            .entry((order, outcome))
            .or_insert_with(|| {
                metrics::counter!(
                    names::ORDERS,
                    "node" => node.clone(), "order" => order, "outcome" => outcome
                )
            })
            .increment(1);
    }
}

struct Desk {
    meters: Meters,
    dispatch: Dispatch,
    node: NodeHandle,
    settings: OrderSettings,
    actor: mpsc::Sender<Work>,
    given: FuturesUnordered<Giving>,
    rest_until: Option<Instant>,
}

impl Desk {
    /// Gives orders; with `drain` until there are none, else for ever.
    async fn work(&mut self, drain: bool) {
        let mut link = self.node.watch();
        let dispatch = self.dispatch.clone();
        loop {
            self.give_what_can_be();
            let (prompt, waiting, idle) = {
                let orders = dispatch.lock();
                let backlog = &orders.backlog;
                (orders.prompt.len(), backlog.len(), backlog.is_idle())
            };
            self.meters.prompt_waiting.set(prompt as f64);
            self.meters.paced_waiting.set(waiting as f64);
            if drain && idle && self.given.is_empty() {
                return;
            }
            let wake = self.rest_until.unwrap_or_else(|| Instant::now() + LOOK);
            tokio::select! {
                Some(given) = self.given.next() => self.ended(given),
                () = dispatch.shared.more.notified() => {}
                Ok(()) = link.changed() => {}
                () = tokio::time::sleep_until(wake), if waiting > 0 => {}
            }
        }
    }

    /// Puts orders into the queue of the connection, in the order in which they are to reach FreeSWITCH.
    fn give_what_can_be(&mut self) {
        loop {
            let errand = self.dispatch.lock().prompt.pop_front();
            let Some(Prompt { errand, since }) = errand else {
                break;
            };
            let now = self.dispatch.now();
            self.meters.prompt_waited.record(now.saturating_sub(since));
            let (order, caller) = errand;
            let span = span(&order, caller.as_ref(), &self.node);
            // The command is queued, and its span is begun, before this returns.
            let answer = span.in_scope(|| orders::give(&order, &self.settings, &self.node));
            let (node, actor) = (self.node.id(), self.actor.clone());
            self.given.push(Box::pin(async move {
                let result = answer.await;
                let (kind, came) = (order.kind(), outcome(&result));
                span.record("outcome", came);
                drop(span);
                finish(node, &actor, order, caller, result).await;
                Given::Prompt(kind, came)
            }));
        }
        if self.rest_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        self.rest_until = None;
        if self.node.down_for().is_some() {
            let expired = {
                let now = self.dispatch.now();
                self.dispatch.lock().backlog.expired(now, PATIENCE)
            };
            for order in expired {
                self.fail(order);
            }
            return;
        }
        loop {
            let next = self.dispatch.lock().backlog.next();
            let Some((room, waits)) = next else {
                return;
            };
            let waited = waits.waited(self.dispatch.now());
            self.meters.paced_waited.record(waited);
            let answer = orders::give(&waits.order, &self.settings, &self.node);
            let (node, actor) = (self.node.id(), self.actor.clone());
            self.given.push(Box::pin(async move {
                match answer.await {
                    Err(CommandError::Busy | CommandError::Down { .. }) => {
                        Given::Again(room, waits)
                    }
                    result => {
                        let (kind, came) = (waits.order.kind(), outcome(&result));
                        finish(node, &actor, waits.order, None, result).await;
                        Given::Paced(kind, came)
                    }
                }
            }));
        }
    }

    fn ended(&mut self, given: Given) {
        match given {
            Given::Prompt(order, outcome) => self.meters.given(order, outcome),
            Given::Paced(order, outcome) => {
                self.meters.given(order, outcome);
                self.dispatch.lock().backlog.done();
            }
            Given::Again(room, waits) => {
                self.rest_until = Some(Instant::now() + REST);
                self.dispatch.lock().backlog.put_back(room, waits);
            }
        }
    }

    /// It could not be given for so long that it is not any more.
    fn fail(&mut self, order: Order) {
        let retry_after = self.node.down_for().unwrap_or(LOOK);
        let (node, actor) = (self.node.id(), self.actor.clone());
        self.given.push(Box::pin(async move {
            let result = Err(CommandError::Down { retry_after });
            let (kind, came) = (order.kind(), outcome(&result));
            finish(node, &actor, order, None, result).await;
            Given::Prompt(kind, came)
        }));
    }
}

/// An order that somebody waits for is part of that caller's trace; what only follows from the state is of none.
fn span(order: &Order, caller: Option<&Waiting>, node: &NodeHandle) -> Span {
    caller.map_or_else(Span::none, |(_, reply)| {
        tracing::info_span!(
            target: trace::TARGET,
            parent: reply.span(),
            "order",
            node.id = %node.id(),
            order = order.kind(),
            outcome = Empty
        )
    })
}

/// What came of an order, as a label.
const fn outcome(result: &Result<String, CommandError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(CommandError::Refused(_)) => "refused",
        Err(CommandError::NoSuchChannel) => "no_such_channel",
        Err(CommandError::Unknown) => "timeout",
        Err(CommandError::Down { .. }) => "down",
        Err(CommandError::Busy) => "busy",
    }
}

/// Tells the actor and the caller what came of an order.
async fn finish(
    node: NodeId,
    actor: &mpsc::Sender<Work>,
    order: Order,
    caller: Option<Waiting>,
    result: Result<String, CommandError>,
) {
    let verdict = orders::verdict(&order, &result);
    if let Ok(text) = &result
        && orders::is_told(&order)
    {
        let text = text.clone();
        // The caller is answered when what it led to is committed. The actor ends only when the program does.
        let answered = Work::Answered {
            order,
            text,
            caller,
        };
        let _stopping = actor.send(answered).await;
        return;
    }
    if let Err(error) = result {
        tracing::info!(node.id = %node, ?order, %error, "FreeSWITCH did not carry an order out");
        // Unknown is not refused: what was asked for stands until its deadline.
        if error != CommandError::Unknown {
            // The actor ends only when the program does, and then the deadline is the next one's.
            let _stopping = actor.send(Work::Failed { order, error }).await;
        }
    }
    if let Some((accepted, reply)) = caller {
        reply.send(verdict.map(|()| accepted));
    }
}
