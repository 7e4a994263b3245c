//! The actor of one node, which applies all inputs of the node serially.
//!
//! Its loop: gather queued inputs → apply them to the node state → one commit → switch commands and answers. It also follows
//! the lease, handles deadlines and starts resyncs. After a panic its node state is lost, and the next actor starts from the
//! store and a snapshot.
//!
//! A commit that finds an unexpected version changes nothing: the touched entities are read again, and the batch is applied
//! once more. When the store does not answer, the node state is dropped: callers are refused, events are dropped (their
//! reader must not wait), and when the store is back, the actor reads everything again and takes a snapshot.

mod answer;
mod apply;
mod batch;
mod lease;
mod load;
mod meters;
mod resyncing;
mod state;
mod step;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::clock;
use crate::node::{Link, NodeHandle};
use crate::store::node_status::{OrphanReport, UnreadableRecord};
use crate::store::{EntityId, Lease, Store, Version};
use roomkeeper_core::ids::{IdMap, NodeId, RoomId};
use roomkeeper_core::time::Timestamp;

use self::batch::Item;
use self::meters::Meters;

use super::dispatch::Dispatch;
use super::feed::NodeInput;
use super::fences::Fences;
use super::live::LivePublisher;
use super::messages::{ActorMessage, ActorStatus};
use super::node_status::SharedStatus;
use super::ownership::{Ownership, progress_interval};
use super::reply::IntentError;
use super::resync_limiter::{ResyncLimiter, ResyncPermit};
use super::settings::Settings;
use roomkeeper_core::node_state::{IdSource, NodeState, Rules};

/// Events in one commit: enough to keep up with a storm, few enough for a commit of milliseconds.
const EVENT_BATCH: usize = 512;

/// Messages in one commit.
const MESSAGE_BATCH: usize = 64;

/// Attempts of a commit against other writers before it counts as a failure of the store. A conflict means that another
/// replica added an intent, which is rare.
const CONFLICT_TRIES: usize = 16;

/// The shortest time between two resyncs, so that a persistent cause does not become a load.
const RESYNC_PAUSE: Duration = Duration::from_secs(2);

/// FreeSWITCH writes its list of calls late, so a call that arrived without an event connection can be missing from the
/// first snapshot. Another snapshot follows after this time.
const LATE_LIST: Duration = Duration::from_secs(2);

/// The pause between two resyncs while FreeSWITCH recovers calls after a restart.
const RECOVERY_PAUSE: Duration = Duration::from_millis(500);

/// The pause between attempts to read the state from a store that does not answer.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// Deadlines read from the store at once.
const DUE_BATCH: usize = 256;

struct RandomIds;

impl IdSource for RandomIds {
    fn next_uuid(&mut self) -> Uuid {
        // Like `new_v4`, which asks the kernel for each id; this one is needed for every event.
        uuid::Builder::from_random_bytes(rand::random()).into_uuid()
    }
}

/// The environment of an actor, which the next actor takes over after a panic.
#[derive(Clone)]
pub(super) struct Parts {
    pub(super) node: NodeHandle,
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    /// The actor's own queue, for the tasks that report to it.
    pub(super) queue: mpsc::Sender<ActorMessage>,
    pub(super) limiter: ResyncLimiter,
    pub(super) fences: Fences,
    pub(super) dispatch: Dispatch,
    pub(super) ownership: Ownership,
    pub(super) actor_status: watch::Sender<ActorStatus>,
    /// The status of the node that replicas share.
    pub(super) status: SharedStatus,
    /// Notified if deadlines of another replica may be due, and after a new connection to the store.
    pub(super) store_changed: Arc<Notify>,
    pub(super) outbox_signal: Arc<Notify>,
    pub(super) live: LivePublisher,
    pub(super) tasks: TaskTracker,
    /// Stops the actor and its tasks.
    pub(super) stop: CancellationToken,
}

/// The inputs of an actor. After a panic, the next actor receives the remaining ones.
pub(super) struct Inbox {
    pub(super) events: mpsc::Receiver<NodeInput>,
    /// The number of events dropped because the queue was full.
    pub(super) dropped: Arc<AtomicU64>,
    pub(super) work: mpsc::Receiver<ActorMessage>,
}

pub(super) struct Actor {
    parts: Parts,
    /// Failures of commands that found no place in the queue. They precede the queued messages.
    own: Vec<ActorMessage>,
    ids: RandomIds,
    meters: Meters,

    node_state: NodeState,
    versions: IdMap<EntityId, Version>,
    deadlines: BTreeSet<(Timestamp, EntityId)>,
    deadline_of: IdMap<EntityId, Timestamp>,
    lease: Option<Lease>,
    /// A lease that the store has refused.
    refused: Option<Lease>,
    /// The node state differs from the store and must be read again before anything is applied.
    stale: bool,
    /// The store's number of connections at the last check.
    store_connections: u64,
    /// Rooms of the last dropped node state: the store should have them.
    remembered: BTreeSet<RoomId>,
    /// The permit under which the stored state was just read; the next snapshot uses it, too.
    permit: Option<ResyncPermit>,
    resyncing: bool,
    /// Events were missed, and no snapshot has started since.
    missed: bool,
    /// Events were missed before the running snapshot.
    after_gap: bool,
    /// The reason for a resync, and its earliest time.
    resync_wanted: Option<(&'static str, Instant)>,
    next_resync: Instant,
    /// The end of the pause after the last resync.
    resync_not_before: Instant,
    /// The number of the event connection that was handled last.
    connection: u64,
    /// The number of requested snapshots when it was last read.
    resyncs_requested: Option<u64>,
    /// The last report of orphans.
    reported: Option<OrphanReport>,
    /// Records that cannot be decoded; the reports name them.
    unreadable: BTreeMap<EntityId, UnreadableRecord>,
    /// Members of the entity lists that are no valid ids.
    unnamed_records: BTreeSet<UnreadableRecord>,
    /// The store may contain due deadlines of another replica.
    check_due: bool,
    next_read: Instant,
    down_since: Option<Instant>,
    lost: bool,
}

impl Actor {
    /// An actor without node state.
    pub(super) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        let rules = parts.settings.rules.borrow().clone();
        let node_state = NodeState::new(parts.node.id(), rules);
        // For fences of the previous actor it is unknown whether all earlier events were applied.
        parts.fences.lose_all();
        Self {
            meters: Meters::new(parts.node.id()),
            parts,
            own: Vec::new(),
            ids: RandomIds,
            node_state,
            versions: IdMap::default(),
            deadlines: BTreeSet::new(),
            deadline_of: IdMap::default(),
            lease: None,
            refused: None,
            stale: false,
            store_connections: 0,
            remembered: BTreeSet::new(),
            permit: None,
            resyncing: false,
            missed: true,
            after_gap: false,
            resync_wanted: None,
            next_resync: now,
            resync_not_before: now,
            connection: 0,
            resyncs_requested: None,
            reported: None,
            unreadable: BTreeMap::new(),
            unnamed_records: BTreeSet::new(),
            check_due: false,
            next_read: now,
            down_since: Some(now),
            lost: false,
        }
    }

    fn id(&self) -> NodeId {
        self.parts.node.id()
    }

    fn label(&self) -> String {
        self.id().to_string()
    }

    /// Runs until it is stopped.
    pub(super) async fn run(mut self, inbox: &mut Inbox) {
        let stop = self.parts.stop.clone();
        let Inbox {
            events,
            dropped,
            work,
        } = inbox;
        let mut new_events = Vec::with_capacity(EVENT_BATCH);
        let mut new_messages = Vec::with_capacity(MESSAGE_BATCH);
        let mut link = self.parts.node.watch();
        let mut lease = self.parts.ownership.watch();
        let mut rules = self.parts.settings.rules.clone();
        let mut status = self.parts.status.watch();
        // Rules may have changed since the actor was created.
        rules.mark_changed();
        loop {
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = events.recv_many(&mut new_events, EVENT_BATCH) => {}
                n = work.recv_many(&mut new_messages, MESSAGE_BATCH) => if n == 0 { break },
                () = tokio::time::sleep_until(wake) => {}
                // Ends with the supervisors, and they with the program.
                Ok(()) = link.changed() => {}
                // Ends with this actor, which holds the other end, too.
                Ok(()) = lease.changed() => {}
                // Ends with this actor, too.
                Ok(()) = status.changed() => {}
                () = self.parts.store_changed.notified() => self.check_due = true,
                // Without a sender the rules stay as they are, and this branch is disabled.
                Ok(()) = rules.changed() => self.follow_rules(&rules.borrow_and_update().clone()),
            }
            // Everything else that is queued goes into the same commit.
            while new_events.len() < EVENT_BATCH
                && let Ok(item) = events.try_recv()
            {
                new_events.push(item);
            }
            while new_messages.len() < MESSAGE_BATCH
                && let Ok(item) = work.try_recv()
            {
                new_messages.push(item);
            }
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(node.id = %self.id(), lost, "events were dropped because the queue was full; a snapshot will replace them");
                self.missed = true;
                self.want_resync("events were dropped");
            }
            self.parts.ownership.report_progress();
            self.follow_lease();
            self.follow_link();
            self.follow_status();
            self.follow_store();
            self.reload_if_stale().await;
            // The connection may have come up meanwhile, if it was opened for the lease.
            self.follow_link();
            let mut items: Vec<Item> = new_events.drain(..).map(Item::SwitchEvent).collect();
            items.extend(self.own.drain(..).map(Item::Message));
            items.extend(new_messages.drain(..).map(Item::Message));
            self.add_due(&mut items).await;
            if !items.is_empty() {
                self.step(items).await;
            }
            self.start_resync();
            // A snapshot that does not start now needs another permit.
            self.permit = None;
            self.report();
        }
        // The remaining callers learn that nothing was done.
        work.close();
        while let Ok(item) = work.try_recv() {
            item.refuse(|| IntentError::Busy);
        }
    }

    /// Follows the event connection. Its status is read here because its notifications can be dropped. A new connection
    /// means that earlier events may have been missed.
    fn follow_link(&mut self) {
        let status = self.parts.node.status();
        let up = status.events == Some(Link::Up);
        if up && status.connections != self.connection {
            self.connection = status.connections;
            self.down_since = None;
            self.lost = false;
            self.missed = true;
            self.want_resync("the event connection is up");
        } else if !up && self.down_since.is_none() && self.lease.is_some() {
            self.down_since = Some(Instant::now());
        }
    }

    /// Applies new rules. Calls without an app may belong to one now; a snapshot shows them. It is delayed, because
    /// FreeSWITCH writes the list of channels late and it would lack a call that was parked just before.
    fn follow_rules(&mut self, rules: &Rules) {
        if self.node_state.set_rules(rules.clone()) && self.resync_wanted.is_none() {
            self.resync_wanted = Some(("the apps changed", Instant::now() + RESYNC_PAUSE));
        }
    }

    fn next_wake(&self) -> Instant {
        let mut wake = Instant::now() + progress_interval(self.parts.settings.lease_ttl);
        if !self.own.is_empty() {
            return Instant::now();
        }
        if self.lease.is_some() {
            // Each time counts only under the conditions under which it is handled: otherwise a time in the past
            // would wake the actor for ever.
            if self.stale {
                return wake.min(self.next_read);
            }
            if self.can_resync() {
                wake = wake.min(self.next_resync);
                if let Some((_, at)) = self.resync_wanted {
                    wake = wake.min(at);
                }
            }
            let entity = self.deadlines.first().map(|(at, _)| *at);
            for at in entity
                .into_iter()
                .chain(self.node_state.recovery_deadline())
            {
                let remaining = at.since(clock::now());
                wake = wake.min(Instant::now() + remaining);
            }
            if let Some(since) = self.down_since
                && !self.lost
            {
                wake = wake.min(since + self.parts.settings.lost_after);
            }
        }
        wake
    }
}
