//! Reconciles the events of FreeSWITCH with the intents of callers.
//!
//! Keeps the state of each node and the one order in which it changes: inputs → node state → one commit → effects.
//! The connections are in `node`, the rules in `roomkeeper-core`, the database in `store`.
//!
//! One actor per node applies all inputs of that node serially. Inputs that arrive during a commit go into the next one,
//! so that a busy node costs fewer and larger commits, and nothing waits for a timer.

mod actor;
mod backlog;
mod conference_list;
mod depths;
mod dispatch;
mod feed;
mod fences;
mod live;
mod messages;
mod node_status;
mod ownership;
mod plans;
mod relay;
mod render;
mod reply;
mod resync;
mod resync_error;
mod resync_limiter;
mod send;
mod settings;
mod store_poller;
pub mod table;
pub mod translate;
mod variables;

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::node::{self, CommandError, NodeConfig, NodeHandle};
use crate::store::Store;
use crate::supervise::{ShutdownPhase, supervise};
use crate::telemetry as names;
use freeswitch_esl::command::Unfit;
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

use actor::{Actor, Inbox, Parts};
use depths::NodeQueues;
use dispatch::Dispatch;
use fences::Fences;
use live::LivePublisher;
use messages::{ActorMessage, ActorStatus};
use node_status::{SharedStatus, StatusPublisher};
use ownership::{LeaseKeeper, Ownership};
use relay::RelayTests;
use reply::{Answer, Reply};
use resync_limiter::ResyncLimiter;
use roomkeeper_core::intent::Action;
use store_poller::{PollTarget, StorePoller};

pub use crate::node::Link;
pub use depths::Depths;
pub use relay::{RelayFigures, RelaySettings, RelayTest, RelayTestError};
pub use render::{CommandSettings, DialTemplates, text as command_text};
pub use reply::IntentError;
pub use roomkeeper_core::intent::{Accepted, Decision, Depth, Intent, Refusal, Requester};
pub use settings::Settings;

/// Messages that may wait for a node's actor, which takes them in milliseconds. If more wait, the store or the node does
/// not keep up, and callers receive an error.
const WORK_QUEUE: usize = 1_024;

/// The reconciler's interface for the API.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// Decides about an intent without carrying it out: existence and ownership, and with [`Depth::State`] also the rules
    /// about the state and whether its node can be reached.
    ///
    /// # Errors
    /// See [`IntentError`].
    async fn check(&self, intent: &Intent, depth: Depth) -> Result<Decision, IntentError>;

    /// Checks an intent with [`Depth::State`], commits it and sends the switch commands, in this order; returns after
    /// FreeSWITCH's answer.
    ///
    /// # Errors
    /// See [`IntentError`].
    async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError>;

    /// The status of each configured node, in the order of the configuration.
    fn nodes(&self) -> Vec<NodeReport>;

    /// The connections of one node; `None` if there is no such node. Every read calls this, so it must not cost a report
    /// of all nodes.
    fn link(&self, node: NodeId) -> Option<Link> {
        let reports = self.nodes().into_iter();
        let mut of = reports.filter(|report| report.id == node);
        of.next().map(|report| report.link)
    }

    /// Sets whether new rooms are placed on the node. Every replica follows within a second, until the next change.
    ///
    /// # Errors
    /// Fails if there is no such node or the store cannot write it.
    async fn drain(&self, node: NodeId, draining: bool) -> Result<(), IntentError>;

    /// Requests a snapshot from the node's owner.
    ///
    /// # Errors
    /// Fails if there is no such node, it is down, or the store cannot write the request.
    async fn resync(&self, node: NodeId) -> Result<(), IntentError>;

    /// Tests the way for relays from one node to another. Returns after a few seconds.
    ///
    /// # Errors
    /// See [`RelayTestError`].
    async fn test_relay(&self, from: NodeId, to: NodeId) -> Result<RelayTest, RelayTestError>;
}

/// The status of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeReport {
    /// The node.
    pub id: NodeId,
    /// Its connections.
    pub link: Link,
    /// A snapshot has been merged by this replica since it started.
    pub synced: bool,
    /// The time of the last one.
    pub resynced_at: Option<Timestamp>,
    /// Differences that snapshots have revealed since this program started and that no event had reported.
    pub drift: u64,
    /// The time of the last difference.
    pub drifted_at: Option<Timestamp>,
    /// An attempt to connect has failed since this program started.
    pub failed_once: bool,
    /// Another replica owns the node; this one only sends commands. Its fields come from the owner's published status.
    pub owned_elsewhere: bool,
    /// No new room is placed on it.
    pub draining: bool,
    /// The time from FreeSWITCH's clock, which is up to 20 ms early, to the commit of the last events, in milliseconds.
    pub lag_ms: Option<u64>,
    /// It has a module that speaks texts.
    pub speaks: bool,
    /// Calls on the node (`Session-Count` of its last HEARTBEAT, else those of the node state).
    pub calls: u64,
    /// `Max-Sessions` of its last HEARTBEAT; 0 if unknown.
    pub max_calls: u64,
    /// The time of the last message on its event connection.
    pub last_heard: Option<Timestamp>,
    /// `host:port` where it accepts relays.
    pub relay: Option<String>,
    /// The last tests of relays from it by this replica, one for each other node.
    pub relay_tests: Vec<RelayTest>,
}

impl NodeReport {
    /// Returns true if this replica or the owner has merged a snapshot of the node.
    pub const fn is_compared(&self) -> bool {
        self.synced || (self.owned_elsewhere && self.resynced_at.is_some())
    }
}

/// Wakes the webhook worker of a node when a commit has written to the node's outbox. Workers of other nodes are not
/// woken: each read of an outbox is a request to the store, and there are many nodes.
#[derive(Clone, Debug, Default)]
pub struct OutboxSignals(HashMap<NodeId, Arc<Notify>>);

impl OutboxSignals {
    /// Creates a signal for each of these nodes.
    pub fn for_nodes(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self(nodes.into_iter().map(|id| (id, Arc::default())).collect())
    }

    /// The signal of this node; for an unknown node, one that nobody notifies.
    pub fn signal(&self, node: NodeId) -> Arc<Notify> {
        self.0.get(&node).map(Arc::clone).unwrap_or_default()
    }
}

/// The actors and connections of all nodes.
#[derive(Debug)]
pub struct Reconciler {
    order: Vec<NodeId>,
    nodes: HashMap<NodeId, ManagedNode>,
    queues: Vec<NodeQueues>,
    store: Arc<dyn Store>,
    relays: RelaySettings,
}

#[derive(Debug)]
struct ManagedNode {
    work: mpsc::Sender<ActorMessage>,
    handle: NodeHandle,
    actor_status: watch::Receiver<ActorStatus>,
    status: SharedStatus,
    store: Arc<dyn Store>,
    relay_tests: RelayTests,
}

impl Reconciler {
    /// Starts the connections and the actor of every node. `signals` is notified after each commit that writes to a node's
    /// outbox. The actors' phase must end first: actors need the connections to send the remaining commands and to hand
    /// their nodes over.
    ///
    /// # Errors
    /// Fails if a constant cannot be sent to FreeSWITCH, which is a bug.
    pub fn start(
        nodes: Vec<NodeConfig>,
        store: &Arc<dyn Store>,
        settings: &Settings,
        signals: &OutboxSignals,
        actors: &ShutdownPhase,
        connections: &ShutdownPhase,
    ) -> Result<Self, Unfit> {
        // Random for each run, so that an earlier run's lease is not taken for ours.
        let owner = Uuid::new_v4();
        let limiter = ResyncLimiter::default();
        let mut order = Vec::new();
        let mut managed = HashMap::new();
        let mut depths = Vec::new();
        let mut targets = Vec::new();
        let poll_now = Arc::new(Notify::new());
        for config in nodes {
            let id = config.id;
            let (feed, events, dropped) = feed::feed(id);
            let heard = feed.queue();
            let handle = node::start(config, feed, connections)?;
            let (work, queue) = mpsc::channel(WORK_QUEUE);
            let (actor_status, seen) = watch::channel(ActorStatus::default());
            let parts = Parts {
                node: handle.clone(),
                store: Arc::clone(store),
                settings: settings.clone(),
                queue: work.clone(),
                limiter: limiter.clone(),
                fences: Fences::default(),
                dispatch: Dispatch::new(),
                ownership: Ownership::new(),
                actor_status,
                status: SharedStatus::new(&poll_now),
                store_changed: Arc::default(),
                outbox_signal: signals.signal(id),
                live: LivePublisher::default(),
                tasks: actors.tasks().clone(),
                stop: actors.stop().clone(),
            };
            let status = parts.status.clone();
            targets.push(poll_target(&parts));
            let inbox = Inbox {
                events,
                dropped,
                work: queue,
            };
            depths.push(NodeQueues::new(handle.clone(), heard, work.downgrade()));
            reconcile(parts, inbox, owner, actors);
            order.push(id);
            managed.insert(
                id,
                ManagedNode {
                    work,
                    handle,
                    actor_status: seen,
                    status,
                    store: Arc::clone(store),
                    relay_tests: RelayTests::default(),
                },
            );
        }
        let poller = StorePoller::new(Arc::clone(store), targets, poll_now);
        start_poller(poller, actors);
        Ok(Self {
            order,
            nodes: managed,
            queues: depths,
            store: Arc::clone(store),
            relays: settings.relays.clone(),
        })
    }

    /// The queue depths of the nodes, for the metrics.
    pub fn depths(&self) -> Depths {
        Depths {
            nodes: self.queues.clone(),
            store: Arc::clone(&self.store),
        }
    }
}

impl Reconciler {
    fn managed(&self, node: NodeId) -> Result<&ManagedNode, IntentError> {
        self.nodes.get(&node).ok_or(IntentError::UnknownNode(node))
    }

    /// The queue of the actor that decides about an intent.
    fn work_for(&self, intent: &Intent) -> Result<&mpsc::Sender<ActorMessage>, IntentError> {
        let node = intent.node();
        match (self.nodes.get(&node), &intent.action) {
            (Some(managed), _) => Ok(&managed.work),
            (None, Action::CreateRoom(_)) => Err(IntentError::UnknownNode(node)),
            (None, _) => Err(intent.not_found().into()),
        }
    }

    /// Queues work for an actor and waits for its answer.
    async fn request<T>(
        queue: &mpsc::Sender<ActorMessage>,
        node: NodeId,
        work: ActorMessage,
        answer: Answer<T>,
    ) -> Result<T, IntentError> {
        if let Err(full) = queue.try_send(work) {
            metrics::counter!(names::NODE_BUSY, "node" => node.to_string(), "queue" => "intents")
                .increment(1);
            full.into_inner().refuse(|| IntentError::Busy);
        }
        // A dropped reply refused nothing: the intent may have been carried out.
        answer
            .await
            .unwrap_or_else(|_| Err(CommandError::Unknown.into()))
    }
}

/// Describes a node to the poller.
fn poll_target(parts: &Parts) -> PollTarget {
    let (node, shared) = (parts.node.clone(), parts.status.clone());
    let actor_status = parts.actor_status.subscribe();
    PollTarget {
        status: StatusPublisher::new(node, shared, parts.ownership.watch(), actor_status),
        actor: Arc::clone(&parts.store_changed),
        worker: Arc::clone(&parts.outbox_signal),
        is_failing: false,
    }
}

fn start_poller(poller: StorePoller, phase: &ShutdownPhase) {
    let stop = phase.stop().clone();
    phase.spawn(async move {
        let state = (poller, stop.clone());
        // Metrics and the log know the task by this name.
        supervise("lookout", "all", &stop, state, |(poller, stop)| {
            Box::pin(poller.run(stop))
        })
        .await;
    });
}

/// Starts the tasks of one node: the actor, the sender of its commands, and the lease keeper. They end in this order, so
/// that the actor's decisions are carried out before another replica can take the node over.
fn reconcile(parts: Parts, inbox: Inbox, owner: Uuid, phase: &ShutdownPhase) {
    let of = parts.node.id().to_string();
    let (no_more_orders, hand_over) = (CancellationToken::new(), CancellationToken::new());

    let keeper = LeaseKeeper {
        node: parts.node.id(),
        store: Arc::clone(&parts.store),
        owner,
        ttl: parts.settings.lease_ttl,
        ownership: parts.ownership.clone(),
    };
    let (stop, label) = (hand_over.clone(), of.clone());
    phase.spawn(async move {
        let state = (keeper, stop.clone());
        supervise("lease", &label, &stop, state, |(keeper, stop)| {
            Box::pin(keeper.run(stop))
        })
        .await;
    });

    let (live, store) = (parts.live.clone(), Arc::clone(&parts.store));
    let (node, stop, label) = (parts.node.id(), no_more_orders.clone(), of.clone());
    phase.spawn(async move {
        let state = (live, store, stop.clone());
        supervise("live", &label, &stop, state, |(live, store, stop)| {
            Box::pin(live.run(node, store, stop))
        })
        .await;
    });

    let (giving, stop, label) = (parts.clone(), no_more_orders.clone(), of.clone());
    phase.spawn(async move {
        let state = (giving, stop.clone());
        supervise("orders", &label, &stop, state, |(parts, stop)| {
            let Parts {
                node,
                settings,
                queue,
                dispatch,
                ..
            } = parts;
            Box::pin(dispatch.run(node, &settings.commands, queue, stop))
        })
        .await;
        hand_over.cancel();
    });

    phase.spawn(async move {
        let stop = parts.stop.clone();
        supervise("actor", &of, &stop, (parts, inbox), |(parts, inbox)| {
            Box::pin(Actor::new(parts.clone()).run(inbox))
        })
        .await;
        no_more_orders.cancel();
    });
}

#[async_trait]
impl Controller for Reconciler {
    async fn check(&self, intent: &Intent, depth: Depth) -> Result<Decision, IntentError> {
        let queue = self.work_for(intent)?;
        let (reply, answer) = Reply::to_check(intent);
        let work = ActorMessage::Check {
            intent: intent.clone(),
            depth,
            reply,
        };
        Self::request(queue, intent.node(), work, answer).await
    }

    async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError> {
        let (queue, node) = (self.work_for(&intent)?, intent.node());
        let (reply, answer) = Reply::to_submit(&intent);
        Self::request(queue, node, ActorMessage::Submit { intent, reply }, answer).await
    }

    fn nodes(&self) -> Vec<NodeReport> {
        self.order
            .iter()
            .filter_map(|id| {
                let mut report = self.nodes.get(id)?.report(*id);
                report.relay = self.relays.addresses.get(id).map(ToString::to_string);
                Some(report)
            })
            .collect()
    }

    fn link(&self, node: NodeId) -> Option<Link> {
        self.nodes.get(&node).map(|managed| managed.handle.link())
    }

    async fn drain(&self, node: NodeId, draining: bool) -> Result<(), IntentError> {
        let managed = self.managed(node)?;
        managed.store.set_draining(node, draining).await?;
        // Other replicas read it with their next poll.
        managed.status.set_draining(draining);
        Ok(())
    }

    async fn resync(&self, node: NodeId) -> Result<(), IntentError> {
        let managed = self.managed(node)?;
        if let Some(retry_after) = managed.handle.down_for() {
            return Err(CommandError::Down { retry_after }.into());
        }
        managed.store.request_resync(node).await?;
        managed.status.request_poll();
        Ok(())
    }

    async fn test_relay(&self, from: NodeId, to: NodeId) -> Result<RelayTest, RelayTestError> {
        let managed = |node| {
            let managed = self.nodes.get(&node);
            managed.ok_or(RelayTestError::UnknownNode(node))
        };
        let (from, to) = (managed(from)?, managed(to)?);
        let tests = &from.relay_tests;
        tests.run(&self.relays, &from.handle, &to.handle).await
    }
}

impl ManagedNode {
    fn report(&self, id: NodeId) -> NodeReport {
        let status = self.handle.status();
        let actor_status = self.actor_status.borrow().clone();
        // The owner publishes the status of its node.
        let published = self
            .status
            .owner_status(id)
            .filter(|_| actor_status.owned_elsewhere);
        let published = published.unwrap_or_else(|| actor_status.published(&self.handle));
        NodeReport {
            id,
            link: status.link(),
            synced: actor_status.synced,
            resynced_at: published.resynced_at,
            drift: published.drift,
            drifted_at: published.drifted_at,
            failed_once: status.failed_once,
            owned_elsewhere: actor_status.owned_elsewhere,
            draining: self.status.is_draining(),
            lag_ms: published.lag_ms,
            speaks: status.speaks,
            calls: published.calls,
            max_calls: published.max_calls,
            last_heard: status.vitals.last_heard,
            relay: None,
            relay_tests: self.relay_tests.last(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn commit_wakes_only_the_worker_of_its_node() {
        let [one, other, unknown] = ["node1", "node2", "node3"].map(|id| id.parse().unwrap());
        let published = OutboxSignals::for_nodes([one, other]);
        assert!(Arc::ptr_eq(&published.signal(one), &published.signal(one)));
        assert!(!Arc::ptr_eq(
            &published.signal(one),
            &published.signal(other)
        ));
        assert!(!Arc::ptr_eq(
            &published.signal(unknown),
            &published.signal(one)
        ));
    }
}
