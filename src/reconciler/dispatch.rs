//! Sends the switch commands of one node, and reports their results to the actor and to callers.
//!
//! A prompt command is sent at once. A paced command waits in the backlog: a room of thousands that ends needs one for each
//! member, a caller of another room must not wait for them, and none may be refused for their number. While the node is not
//! connected or accepts no more commands, the backlog is kept for a while; then its commands fail and are counted.
//!
//! This is a separate task beside the actor, so that a slow commit delays no command and a slow node delays no commit.

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

use crate::node::{CommandError, NodeHandle};
use crate::telemetry as names;
use crate::telemetry::trace;
use roomkeeper_core::ids::{NodeId, RoomId};

use super::backlog::{Backlog, QueuedItem};
use super::messages::{ActorMessage, Waiting};
use super::render::CommandSettings;
use super::send::{answer_has_content, caller_result, may_take_minutes, send};
use roomkeeper_core::switch_command::{Priority, SwitchCommand};

/// The most prompt commands that wait for the sending task. It never blocks, so one or two batches of the actor are enough;
/// each command belongs to an intent or to what plays in a room.
const MOST_PROMPT: usize = 4_096;

/// Commands that cannot be sent are kept for this long. The deadlines of leaves and of rooms that end are as long.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause of the backlog when the node accepts no more commands.
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// The interval between attempts to send waiting commands.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The time for the remaining commands when the program stops: FreeSWITCH parks 3,000 calls in less.
const DRAIN: Duration = Duration::from_secs(2);

/// A command, and the caller who waits for it.
pub(super) type Pending = (SwitchCommand, Option<Waiting>);

/// A command that is sent at once.
struct Prompt {
    pending: Pending,
    since: Duration,
}

/// The actor's end: it adds commands and never waits.
#[derive(Clone)]
pub(super) struct Dispatch {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Queues>,
    more: Notify,
    origin: Instant,
}

#[derive(Default)]
struct Queues {
    prompt: VecDeque<Prompt>,
    backlog: Backlog,
}

/// The outcome of a command that was sent.
enum SendOutcome {
    /// The actor and the caller have their answer. The labels of the command and its outcome.
    Prompt(&'static str, &'static str),
    Paced(&'static str, &'static str),
    /// It did not reach FreeSWITCH and can be sent again.
    Retry(RoomId, QueuedItem),
}

/// The line in which a paced command waits: that of its room. New calls without a room share one, in which no room waits,
/// because a snapshot can show thousands of them at once.
fn line(command: &SwitchCommand) -> RoomId {
    let no_room = || RoomId::new(command.target.node(), Uuid::nil());
    command.target.room().unwrap_or_else(no_room)
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

    /// Adds commands in the order of the decisions. Returns those that find no place.
    pub(super) fn give(&self, commands: impl IntoIterator<Item = Pending>) -> Vec<Pending> {
        let now = self.now();
        let mut refused = Vec::new();
        let mut waiting = self.lock();
        for (command, caller) in commands {
            match command.priority {
                Priority::Paced => {
                    if let Err(command) = waiting.backlog.put(line(&command), command, now) {
                        refused.push((command, None));
                    }
                }
                Priority::Prompt => {
                    let prompt = |pending| Prompt {
                        pending,
                        since: now,
                    };
                    let before = waiting.backlog.before(&command);
                    let before = before.into_iter().map(|command| prompt((command, None)));
                    waiting.prompt.extend(before);
                    if waiting.prompt.len() < MOST_PROMPT {
                        waiting.prompt.push_back(prompt((command, caller)));
                    } else {
                        refused.push((command, caller));
                    }
                }
            }
        }
        drop(waiting);
        self.shared.more.notify_one();
        refused
    }

    /// Sends commands until `stop` is cancelled, and then the remaining ones.
    pub(super) async fn run(
        &self,
        node: &NodeHandle,
        settings: &CommandSettings,
        actor: &mpsc::Sender<ActorMessage>,
        stop: &CancellationToken,
    ) {
        // After a panic, nobody waits any more for the commands that were in flight.
        self.lock().backlog.reset_in_flight();
        let mut sender = Sender {
            in_flight: FuturesUnordered::new(),
            dialling: FuturesUnordered::new(),
            paused_until: None,
            meters: Meters::new(node.id()),
            dispatch: self.clone(),
            settings: settings.clone(),
            actor: actor.clone(),
            node: node.clone(),
        };
        tokio::select! {
            () = sender.run(false) => {}
            () = stop.cancelled() => {}
        }
        if tokio::time::timeout(DRAIN, sender.run(true)).await.is_err() {
            let left = self.lock().backlog.len();
            tracing::warn!(node.id = %node.id(), left, "switch commands were not sent before the program ended; the next snapshot will show their rooms and calls");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queues> {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.shared.origin.elapsed()
    }
}

type SendFuture = std::pin::Pin<Box<dyn Future<Output = SendOutcome> + Send>>;

struct Meters {
    node: String,
    prompt_waited: Histogram,
    paced_waited: Histogram,
    prompt_waiting: Gauge,
    paced_waiting: Gauge,
    outcomes: HashMap<(&'static str, &'static str), Counter>,
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
            outcomes: HashMap::new(),
            node,
        }
    }

    fn count(&mut self, order: &'static str, outcome: &'static str) {
        let node = &self.node;
        self.outcomes
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

struct Sender {
    meters: Meters,
    dispatch: Dispatch,
    node: NodeHandle,
    settings: CommandSettings,
    actor: mpsc::Sender<ActorMessage>,
    in_flight: FuturesUnordered<SendFuture>,
    /// Commands that wait for a callee. The limit of dial-outs bounds them.
    dialling: FuturesUnordered<SendFuture>,
    paused_until: Option<Instant>,
}

impl Sender {
    /// Sends commands: with `drain` until none is left, else for ever.
    async fn run(&mut self, drain: bool) {
        let mut link = self.node.watch();
        let dispatch = self.dispatch.clone();
        loop {
            self.send_queued();
            let (prompt, waiting, idle) = {
                let queue = dispatch.lock();
                let backlog = &queue.backlog;
                (queue.prompt.len(), backlog.len(), backlog.is_idle())
            };
            self.meters.prompt_waiting.set(prompt as f64);
            self.meters.paced_waiting.set(waiting as f64);
            if drain && idle && self.in_flight.is_empty() {
                return;
            }
            let wake = self
                .paused_until
                .unwrap_or_else(|| Instant::now() + RETRY_INTERVAL);
            tokio::select! {
                Some(outcome) = self.in_flight.next() => self.record_outcome(outcome),
                Some(outcome) = self.dialling.next() => self.record_outcome(outcome),
                () = dispatch.shared.more.notified() => {}
                Ok(()) = link.changed() => {}
                () = tokio::time::sleep_until(wake), if waiting > 0 => {}
            }
        }
    }

    /// Puts commands into the queue of the connection, in the order in which FreeSWITCH must receive them.
    fn send_queued(&mut self) {
        loop {
            let next = self.dispatch.lock().prompt.pop_front();
            let Some(Prompt { pending, since }) = next else {
                break;
            };
            let now = self.dispatch.now();
            self.meters.prompt_waited.record(now.saturating_sub(since));
            let (command, caller) = pending;
            let span = span(&command, caller.as_ref(), &self.node);
            // This queues the command, and starts its span, before it returns.
            let answer = span.in_scope(|| send(&command, &self.settings, &self.node));
            let (node, actor) = (self.node.id(), self.actor.clone());
            let in_flight = match may_take_minutes(&command) {
                true => &self.dialling,
                false => &self.in_flight,
            };
            in_flight.push(Box::pin(async move {
                let result = answer.await;
                let (kind, came) = (command.name(), outcome(&result));
                span.record("outcome", came);
                drop(span);
                finish(node, &actor, command, caller, result).await;
                SendOutcome::Prompt(kind, came)
            }));
        }
        if self
            .paused_until
            .is_some_and(|until| Instant::now() < until)
        {
            return;
        }
        self.paused_until = None;
        if self.node.down_for().is_some() {
            let expired = {
                let now = self.dispatch.now();
                self.dispatch.lock().backlog.expired(now, SEND_TIMEOUT)
            };
            for command in expired {
                self.fail(command);
            }
            return;
        }
        loop {
            let next = self.dispatch.lock().backlog.next();
            let Some((room, queued)) = next else {
                return;
            };
            let waited = queued.waited(self.dispatch.now());
            self.meters.paced_waited.record(waited);
            let answer = send(&queued.command, &self.settings, &self.node);
            let (node, actor) = (self.node.id(), self.actor.clone());
            self.in_flight.push(Box::pin(async move {
                match answer.await {
                    Err(CommandError::Busy | CommandError::Down { .. }) => {
                        SendOutcome::Retry(room, queued)
                    }
                    result => {
                        let (kind, came) = (queued.command.name(), outcome(&result));
                        finish(node, &actor, queued.command, None, result).await;
                        SendOutcome::Paced(kind, came)
                    }
                }
            }));
        }
    }

    fn record_outcome(&mut self, outcome: SendOutcome) {
        match outcome {
            SendOutcome::Prompt(order, outcome) => self.meters.count(order, outcome),
            SendOutcome::Paced(order, outcome) => {
                self.meters.count(order, outcome);
                self.dispatch.lock().backlog.done();
            }
            SendOutcome::Retry(room, queued) => {
                self.paused_until = Some(Instant::now() + BUSY_PAUSE);
                self.dispatch.lock().backlog.put_back(room, queued);
            }
        }
    }

    /// Fails a command that could not be sent in time.
    fn fail(&mut self, command: SwitchCommand) {
        let retry_after = self.node.down_for().unwrap_or(RETRY_INTERVAL);
        let (node, actor) = (self.node.id(), self.actor.clone());
        self.in_flight.push(Box::pin(async move {
            let result = Err(CommandError::Down { retry_after });
            let (kind, came) = (command.name(), outcome(&result));
            finish(node, &actor, command, None, result).await;
            SendOutcome::Prompt(kind, came)
        }));
    }
}

/// The span of a command: part of the caller's trace if a caller waits for it, otherwise disabled.
fn span(command: &SwitchCommand, caller: Option<&Waiting>, node: &NodeHandle) -> Span {
    caller.map_or_else(Span::none, |(_, reply)| {
        tracing::info_span!(
            target: trace::TARGET,
            parent: reply.span(),
            "order",
            node.id = %node.id(),
            order = command.name(),
            outcome = Empty
        )
    })
}

/// The outcome of a command, as a label.
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

/// Reports the outcome of a command to the actor and to the caller.
async fn finish(
    node: NodeId,
    actor: &mpsc::Sender<ActorMessage>,
    command: SwitchCommand,
    caller: Option<Waiting>,
    result: Result<String, CommandError>,
) {
    let verdict = caller_result(&command, &result);
    if let Ok(text) = &result
        && answer_has_content(&command)
    {
        let text = text.clone();
        // The caller is answered after the commit of the result. The actor ends only with the program.
        let answered = ActorMessage::Answered {
            command,
            text,
            caller,
        };
        let _stopping = actor.send(answered).await;
        return;
    }
    if let Err(error) = result {
        let disconnected = matches!(error, CommandError::Down { .. });
        if disconnected {
            tracing::debug!(node.id = %node, ?command, %error, "FreeSWITCH did not carry out a command");
        } else {
            tracing::info!(node.id = %node, ?command, %error, "FreeSWITCH did not carry out a command");
        }
        // Unknown is not refused: the request stands until its deadline.
        if error != CommandError::Unknown || command.action.is_repeated() {
            // The actor ends only with the program; then the next owner handles the deadline.
            let _stopping = actor.send(ActorMessage::Failed { command, error }).await;
        }
    }
    if let Some((accepted, reply)) = caller {
        reply.send(verdict.map(|()| accepted));
    }
}
