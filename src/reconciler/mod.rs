//! Where what FreeSWITCH says meets what callers want.
//!
//! Owns the belief about each node and the one order in which it changes: inputs → belief → one commit → effects.
//! Leaves out the sockets (`node`), the rules (`room`, `session`) and the database (`store`).
//!
//! One actor a node applies everything that is about that node, serially: what has queued while a commit was under
//! way goes into the next one, so that a busy node costs fewer, larger commits, and nothing waits for a timer.

mod actor;
mod asked;
mod backlog;
pub mod belief;
mod board;
mod conference_list;
mod depths;
mod dispatch;
mod feed;
mod fences;
pub mod intent;
mod live;
mod lookout;
pub mod meta;
pub mod news;
mod orders;
mod resync;
pub mod table;
pub mod translate;
mod turns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::esl::command::Unfit;
use crate::ids::NodeId;
use crate::node::{self, CommandError, NodeConfig, NodeHandle};
use crate::store::Store;
use crate::supervise::{Stage, keep};
use crate::telemetry as names;
use crate::time::Timestamp;

use actor::{Actor, Inbox, Keeper, Ownership, Parts, Standing, Work};
use asked::Reply;
use belief::Rules;
use board::{Clerk, Seen};
use depths::OfNode;
use dispatch::Dispatch;
use fences::Fences;
use live::Voice;
use lookout::{Lookout, Post};
use turns::Turns;

pub use crate::node::Link;
pub use depths::Depths;
pub use intent::{Accepted, Intent, IntentError, Refusal};
pub use orders::{OrderSettings, text as order_text};

/// Intents and answers that may wait for one node's actor. It takes them in milliseconds; more is a store or a node
/// that does not keep up, and callers are told so.
const WORK_QUEUE: usize = 1_024;

/// What the API needs of the reconciler.
#[async_trait]
pub trait Controller: Send + Sync + 'static {
    /// Commits an intent and tells FreeSWITCH, in this order; answers when FreeSWITCH has answered.
    ///
    /// # Errors
    /// See [`IntentError`].
    async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError>;

    /// The same for an intent of which nobody has looked up whether what it names is there and is of the app that asks, which
    /// is what [`Controller::submit`] takes for granted. `None`: that is not known here either; nothing was done, and it is
    /// to be looked up and then submitted.
    async fn submit_as_believed(&self, _: &Intent) -> Option<Result<Accepted, IntentError>> {
        None
    }

    /// Whether what the intent names is known here to be there and to be of the app that asks. `false` says nothing.
    async fn vouches_for(&self, _: &Intent) -> bool {
        false
    }

    /// How each configured node is, in the order of the configuration.
    fn nodes(&self) -> Vec<NodeReport>;

    /// How the connections of one node are; `None`: there is no such node. Every read asks this, so it is not to cost a
    /// report of all of them.
    fn link(&self, node: NodeId) -> Option<Link> {
        let reports = self.nodes().into_iter();
        let mut of = reports.filter(|report| report.id == node);
        of.next().map(|report| report.link)
    }

    /// Places no new room on the node, or does again: every replica, within a second, until it is said otherwise.
    ///
    /// # Errors
    /// When there is no such node, or the store does not take it.
    async fn drain(&self, node: NodeId, draining: bool) -> Result<(), IntentError>;

    /// Has the replica that reconciles the node take a snapshot of it.
    ///
    /// # Errors
    /// When there is no such node, it is down, or the store does not take it.
    async fn resync(&self, node: NodeId) -> Result<(), IntentError>;
}

/// How a node is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeReport {
    /// Which one.
    pub id: NodeId,
    /// Its connections.
    pub link: Link,
    /// A snapshot has been merged by this replica since it started.
    pub synced: bool,
    /// When the last one was.
    pub resynced_at: Option<Timestamp>,
    /// Differences that snapshots have revealed since this program started, and nothing else told of.
    pub drift: u64,
    /// When the last of them was found.
    pub drifted_at: Option<Timestamp>,
    /// An attempt to connect has failed since this program started.
    pub failed_once: bool,
    /// Another replica reconciles it; this one only gives it commands. What that one says of it is told here.
    pub owned_elsewhere: bool,
    /// No new room is placed on it.
    pub draining: bool,
    /// How long the last events took from FreeSWITCH's clock, which is up to 20 ms early, to the commit, in milliseconds.
    pub lag_ms: Option<u64>,
    /// It has a module that speaks texts.
    pub speaks: bool,
    /// Calls on it (`Session-Count` of its last HEARTBEAT, else what is believed).
    pub calls: u64,
    /// `Max-Sessions` of its last HEARTBEAT; 0 when not known.
    pub max_calls: u64,
    /// When it was last heard.
    pub last_heard: Option<Timestamp>,
}

impl NodeReport {
    /// Whether somebody has compared it with what FreeSWITCH shows: this replica, or the one that reconciles it.
    pub const fn is_compared(&self) -> bool {
        self.synced || (self.owned_elsewhere && self.resynced_at.is_some())
    }
}

/// What all nodes' actors have in common.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who numbers belong to, and how long what was asked for may take; apps come and go while the actors run.
    pub rules: watch::Receiver<Rules>,
    /// How orders are put.
    pub orders: OrderSettings,
    /// How long the right to reconcile a node lasts without being renewed.
    pub lease_ttl: Duration,
    /// A snapshot is taken this often, give or take a third.
    pub resync_interval: Duration,
    /// A node that cannot be reached for this long is lost: its members leave, its calls end.
    pub lost_after: Duration,
    /// Rooms and stays that are over can be read by their id for this long.
    pub keep_ended_rooms: Duration,
    /// Recordings that are over, for this long.
    pub keep_recordings: Duration,
    /// Calls that are over are remembered for this long.
    pub keep_ended_sessions: Duration,
}

/// Who is woken when a commit has put something into a node's outbox. A commit of another node wakes nobody: each look at
/// an outbox is a way to the store, and nodes are many.
#[derive(Clone, Debug, Default)]
pub struct Told(HashMap<NodeId, Arc<Notify>>);

impl Told {
    /// For these nodes.
    pub fn of(nodes: impl IntoIterator<Item = NodeId>) -> Self {
        Self(nodes.into_iter().map(|id| (id, Arc::default())).collect())
    }

    /// What is notified for this node; of another than it was made for, nobody is woken.
    pub fn wake(&self, node: NodeId) -> Arc<Notify> {
        self.0.get(&node).map(Arc::clone).unwrap_or_default()
    }
}

/// All nodes.
#[derive(Debug)]
pub struct Reconciler {
    order: Vec<NodeId>,
    nodes: HashMap<NodeId, Desk>,
    queues: Vec<OfNode>,
    store: Arc<dyn Store>,
}

#[derive(Debug)]
struct Desk {
    work: mpsc::Sender<Work>,
    handle: NodeHandle,
    standing: watch::Receiver<Standing>,
    board: Seen,
    store: Arc<dyn Store>,
}

impl Reconciler {
    /// Starts the connections and the actor of every node. `told` is woken whenever a commit has put something into a
    /// node's outbox. The actors' stage is to end first: they give the orders that are left and hand their nodes over, and need
    /// the connections for it.
    ///
    /// # Errors
    /// When a constant is not fit to be sent to FreeSWITCH, which is a mistake of ours.
    pub fn start(
        nodes: Vec<NodeConfig>,
        store: &Arc<dyn Store>,
        settings: &Settings,
        told: &Told,
        actors: &Stage,
        connections: &Stage,
    ) -> Result<Self, Unfit> {
        // A new one each run: an earlier run's lease must not be taken for ours.
        let owner = Uuid::new_v4();
        let turns = Turns::default();
        let mut order = Vec::new();
        let mut desks = HashMap::new();
        let mut depths = Vec::new();
        let mut posts = Vec::new();
        let bell = Arc::new(Notify::new());
        for config in nodes {
            let id = config.id;
            let (feed, news, dropped) = feed::feed(id);
            let heard = feed.queue();
            let handle = node::start(config, feed, connections)?;
            let (work, queue) = mpsc::channel(WORK_QUEUE);
            let (standing, seen) = watch::channel(Standing::default());
            let parts = Parts {
                node: handle.clone(),
                store: Arc::clone(store),
                settings: settings.clone(),
                queue: work.clone(),
                turns: turns.clone(),
                fences: Fences::default(),
                dispatch: Dispatch::new(),
                ownership: Ownership::new(),
                standing,
                board: Seen::new(&bell),
                look: Arc::default(),
                told: told.wake(id),
                voice: Voice::default(),
                tasks: actors.tasks().clone(),
                stop: actors.stop().clone(),
            };
            let board = parts.board.clone();
            posts.push(post(&parts));
            let inbox = Inbox {
                news,
                dropped,
                work: queue,
            };
            depths.push(OfNode::new(handle.clone(), heard, work.downgrade()));
            reconcile(parts, inbox, owner, actors);
            order.push(id);
            desks.insert(
                id,
                Desk {
                    work,
                    handle,
                    standing: seen,
                    board,
                    store: Arc::clone(store),
                },
            );
        }
        look_out(Lookout::new(Arc::clone(store), posts, bell), actors);
        Ok(Self {
            order,
            nodes: desks,
            queues: depths,
            store: Arc::clone(store),
        })
    }

    /// How much waits for the nodes, for whoever shows the metrics.
    pub fn depths(&self) -> Depths {
        Depths {
            nodes: self.queues.clone(),
            store: Arc::clone(&self.store),
        }
    }
}

impl Reconciler {
    fn desk(&self, node: NodeId) -> Result<&Desk, IntentError> {
        self.nodes.get(&node).ok_or(IntentError::UnknownNode(node))
    }

    /// That of the intent's node, if this replica may know what the intent is about and can carry it out just now.
    fn believing_desk(&self, intent: &Intent) -> Option<&Desk> {
        let desk = self.nodes.get(&intent.node())?;
        let ours = !desk.standing.borrow().owned_elsewhere;
        (ours && desk.handle.down_for().is_none()).then_some(desk)
    }
}

/// What is looked for at one node.
fn post(parts: &Parts) -> Post {
    let (node, seen) = (parts.node.clone(), parts.board.clone());
    let standing = parts.standing.subscribe();
    Post {
        clerk: Clerk::new(node, seen, parts.ownership.watch(), standing),
        actor: Arc::clone(&parts.look),
        told: Arc::clone(&parts.told),
        failing: false,
    }
}

fn look_out(lookout: Lookout, stage: &Stage) {
    let stop = stage.stop().clone();
    stage.spawn(async move {
        let state = (lookout, stop.clone());
        keep("lookout", "all", &stop, state, |(lookout, stop)| {
            Box::pin(lookout.run(stop))
        })
        .await;
    });
}

/// Begins the tasks of one node: its actor, what gives its orders, and what keeps its lease. They end in this order, so
/// that what the actor decided is carried out, and the node is another's only then.
fn reconcile(parts: Parts, inbox: Inbox, owner: Uuid, stage: &Stage) {
    let of = parts.node.id().to_string();
    let (no_more_orders, hand_over) = (CancellationToken::new(), CancellationToken::new());

    let keeper = Keeper {
        node: parts.node.id(),
        store: Arc::clone(&parts.store),
        owner,
        ttl: parts.settings.lease_ttl,
        ownership: parts.ownership.clone(),
    };
    let (stop, label) = (hand_over.clone(), of.clone());
    stage.spawn(async move {
        let state = (keeper, stop.clone());
        keep("lease", &label, &stop, state, |(keeper, stop)| {
            Box::pin(keeper.run(stop))
        })
        .await;
    });

    let (voice, store) = (parts.voice.clone(), Arc::clone(&parts.store));
    let (node, stop, label) = (parts.node.id(), no_more_orders.clone(), of.clone());
    stage.spawn(async move {
        let state = (voice, store, stop.clone());
        keep("live", &label, &stop, state, |(voice, store, stop)| {
            Box::pin(voice.speak(node, store, stop))
        })
        .await;
    });

    let (giving, stop, label) = (parts.clone(), no_more_orders.clone(), of.clone());
    stage.spawn(async move {
        let state = (giving, stop.clone());
        keep("orders", &label, &stop, state, |(parts, stop)| {
            let Parts {
                node,
                settings,
                queue,
                dispatch,
                ..
            } = parts;
            Box::pin(dispatch.run(node, &settings.orders, queue, stop))
        })
        .await;
        hand_over.cancel();
    });

    stage.spawn(async move {
        let stop = parts.stop.clone();
        keep("actor", &of, &stop, (parts, inbox), |(parts, inbox)| {
            Box::pin(Actor::new(parts.clone()).run(inbox))
        })
        .await;
        no_more_orders.cancel();
    });
}

#[async_trait]
impl Controller for Reconciler {
    async fn submit(&self, intent: Intent) -> Result<Accepted, IntentError> {
        let id = intent.node();
        let desk = self.desk(id)?;
        let (reply, answer) = Reply::new(&intent);
        // Nothing is committed that could not be carried out: a caller that is told to come back finds no trace.
        if !matches!(intent, Intent::CreateRoom { .. })
            && let Some(retry_after) = desk.handle.down_for()
        {
            reply.send(Err(CommandError::Down { retry_after }.into()));
        } else if let Err(full) = desk.work.try_send(Work::Intent {
            intent,
            looked_up: true,
            reply,
        }) {
            metrics::counter!(names::NODE_BUSY, "node" => id.to_string(), "queue" => "intents")
                .increment(1);
            actor::refuse(full.into_inner(), || IntentError::Busy);
        }
        // Whoever had it is gone, and was refused nothing: it may have been carried out.
        let verdict = answer.await.ok().flatten();
        verdict.unwrap_or_else(|| Err(CommandError::Unknown.into()))
    }

    async fn submit_as_believed(&self, intent: &Intent) -> Option<Result<Accepted, IntentError>> {
        let desk = self.believing_desk(intent)?;
        let (reply, answer) = Reply::new(intent);
        let work = Work::Intent {
            intent: intent.clone(),
            looked_up: false,
            reply,
        };
        if let Err(full) = desk.work.try_send(work) {
            actor::refuse(full.into_inner(), || IntentError::Busy);
        }
        match answer.await {
            Ok(verdict) => verdict,
            // As in `submit`.
            Err(_) => Some(Err(CommandError::Unknown.into())),
        }
    }

    async fn vouches_for(&self, intent: &Intent) -> bool {
        let Some(desk) = self.believing_desk(intent) else {
            return false;
        };
        let (reply, answer) = oneshot::channel();
        let intent = intent.clone();
        // A queue that is full, or nobody's any more, vouches for nothing.
        desk.work.try_send(Work::Vouch { intent, reply }).is_ok() && answer.await.unwrap_or(false)
    }

    fn nodes(&self) -> Vec<NodeReport> {
        self.order
            .iter()
            .filter_map(|id| self.nodes.get(id).map(|desk| desk.report(*id)))
            .collect()
    }

    fn link(&self, node: NodeId) -> Option<Link> {
        self.nodes.get(&node).map(|desk| desk.handle.link())
    }

    async fn drain(&self, node: NodeId, draining: bool) -> Result<(), IntentError> {
        let desk = self.desk(node)?;
        desk.store.set_draining(node, draining).await?;
        // The others see it at their next look.
        desk.board.set_draining(draining);
        Ok(())
    }

    async fn resync(&self, node: NodeId) -> Result<(), IntentError> {
        let desk = self.desk(node)?;
        if let Some(retry_after) = desk.handle.down_for() {
            return Err(CommandError::Down { retry_after }.into());
        }
        desk.store.ask_resync(node).await?;
        desk.board.look_now();
        Ok(())
    }
}

impl Desk {
    fn report(&self, id: NodeId) -> NodeReport {
        let status = self.handle.status();
        let standing = self.standing.borrow().clone();
        // What another replica knows of its own node, it says on the board.
        let told = self.board.standing(id).filter(|_| standing.owned_elsewhere);
        let told = told.unwrap_or_else(|| standing.published(&self.handle));
        NodeReport {
            id,
            link: status.link(),
            synced: standing.synced,
            resynced_at: told.resynced_at,
            drift: told.drift,
            drifted_at: told.drifted_at,
            failed_once: status.failed_once,
            owned_elsewhere: standing.owned_elsewhere,
            draining: self.board.draining(),
            lag_ms: told.lag_ms,
            speaks: status.speaks,
            calls: told.calls,
            max_calls: told.max_calls,
            last_heard: status.vitals.last_heard,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_commit_wakes_who_delivers_for_its_node_alone() {
        let [one, other, unknown] = ["node1", "node2", "node3"].map(|id| id.parse().unwrap());
        let told = Told::of([one, other]);
        assert!(Arc::ptr_eq(&told.wake(one), &told.wake(one)));
        assert!(!Arc::ptr_eq(&told.wake(one), &told.wake(other)));
        assert!(!Arc::ptr_eq(&told.wake(unknown), &told.wake(one)));
    }
}
