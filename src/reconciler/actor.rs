//! The actor of one node: everything about the node is applied here, one thing after the other.
//!
//! Owns the loop: gather what has queued → apply it to the belief → one commit → orders, answers. Owns, too, the
//! lease that makes this replica the one that reconciles the node, the deadlines, and when a resync is due.
//!
//! A commit that finds another version than expected changes nothing: what was touched is read again and the batch is
//! applied once more. When the store does not answer, what is believed is thrown away: callers are refused, news is
//! not kept (its reader must not wait), and when the store is back everything is read again and a snapshot makes it
//! whole.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::ids::{ChannelId, CoreId, NodeId};
use crate::node::{CommandError, NodeHandle};
use crate::room::RoomStatus;
use crate::room::plan::Suspect;
use crate::store::record::{decode_room, decode_session, encode_room, encode_session};
use crate::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Lease, LeaseOutcome, Life, Listing, Message,
    Store, StoreError, Version,
};
use crate::telemetry as names;
use crate::time::Timestamp;
use crate::webhook::payload;

use super::Settings;
use super::belief::{About, Belief, Cx, FreshIds, Notice, Order, Outcome};
use super::feed::FromNode;
use super::intent::{Accepted, Intent, IntentError, Refusal};
use super::news::{Dump, ListedChannel, Snapshot};
use super::orders;
use super::resync::{Found, ResyncError, resync};

/// News applied in one commit at most: enough to keep up with a storm, little enough for a commit of milliseconds.
const NEWS_BATCH: usize = 512;

/// Other work applied in one commit at most.
const WORK_BATCH: usize = 64;

/// How often a commit is tried against other writers before the store is taken to be in trouble. A conflict means that
/// another replica added an intent, which is rare.
const CONFLICT_TRIES: usize = 16;

/// Between two resyncs at the least, so that a cause that persists does not become a load.
const RESYNC_PAUSE: Duration = Duration::from_secs(2);

/// Between two attempts to read everything again from a store that was away.
const STORE_PAUSE: Duration = Duration::from_millis(250);

/// How often the store is asked for deadlines, which another replica may have set.
const DUE_PAUSE: Duration = Duration::from_secs(1);

/// Deadlines taken from the store at once.
const DUE_BATCH: usize = 256;

/// What others ask of the actor.
#[derive(Debug)]
pub(super) enum Work {
    /// A caller wants something.
    Intent {
        intent: Intent,
        reply: oneshot::Sender<Result<Accepted, IntentError>>,
    },
    /// FreeSWITCH did not carry an order out.
    Failed { order: Order, error: CommandError },
    /// Told when this fence comes back.
    AwaitFence {
        token: u64,
        seen: oneshot::Sender<(CoreId, u64)>,
    },
    /// A snapshot of the conferences.
    Snapshot {
        snapshot: Snapshot,
        confirmed: BTreeSet<Suspect>,
        reply: oneshot::Sender<BTreeSet<Suspect>>,
    },
    /// Who the channels are.
    Listed(Vec<ListedChannel>),
    /// Which of these channels are to be asked about, and which believed ones are not among them.
    WhichChannels {
        listed: Vec<ListedChannel>,
        reply: oneshot::Sender<(Vec<ChannelId>, Vec<ChannelId>)>,
    },
    /// What was told about channels.
    Dumps(Vec<Dump>),
    /// Calls that FreeSWITCH says do not exist.
    Vanished {
        channels: Vec<ChannelId>,
        core: CoreId,
        fence: u64,
    },
    /// The resync that was under way has ended.
    Resynced(Result<Found, ResyncError>),
}

/// How the actor stands, for those who report it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Standing {
    /// A snapshot has been merged.
    pub(super) synced: bool,
    /// Another replica reconciles the node.
    pub(super) owned_elsewhere: bool,
    /// Calls that are believed in.
    pub(super) calls: u64,
}

struct RandomIds;

impl FreshIds for RandomIds {
    fn uuid(&mut self) -> Uuid {
        Uuid::new_v4()
    }
}

/// One thing to apply.
enum Item {
    News(FromNode),
    Work(Work),
    Due(EntityId),
    NodeLost,
}

/// What applying a batch came to.
#[derive(Default)]
struct Applied {
    out: Outcome,
    /// For each item that is an intent: what it came to, and the first of its orders.
    verdicts: HashMap<usize, (Result<Accepted, Refusal>, Option<usize>)>,
    suspects: HashMap<usize, BTreeSet<Suspect>>,
}

pub(super) struct Actor {
    node: NodeHandle,
    store: Arc<dyn Store>,
    settings: Settings,
    owner: Uuid,
    queue: mpsc::Sender<Work>,
    standing: watch::Sender<Standing>,
    told: Arc<Notify>,
    tasks: TaskTracker,
    ids: RandomIds,

    belief: Belief,
    versions: HashMap<EntityId, Version>,
    deadlines: BTreeSet<(Timestamp, EntityId)>,
    deadline_of: HashMap<EntityId, Timestamp>,
    fences: BTreeMap<u64, oneshot::Sender<(CoreId, u64)>>,

    lease: Option<Lease>,
    /// What is believed is not what is stored: it must be read again before anything is applied.
    stale: bool,
    resyncing: bool,
    /// Why a resync is wanted, and not before when.
    resync_wanted: Option<(&'static str, Instant)>,
    next_resync: Instant,
    next_lease: Instant,
    next_due: Instant,
    next_read: Instant,
    down_since: Option<Instant>,
    lost: bool,
}

impl Actor {
    #[allow(
        clippy::too_many_arguments,
        reason = "the composition root hands in each part once"
    )]
    pub(super) fn new(
        node: NodeHandle,
        store: Arc<dyn Store>,
        settings: Settings,
        owner: Uuid,
        queue: mpsc::Sender<Work>,
        standing: watch::Sender<Standing>,
        told: Arc<Notify>,
        tasks: TaskTracker,
    ) -> Self {
        let now = Instant::now();
        let belief = Belief::new(node.id(), settings.rules.clone());
        Self {
            node,
            store,
            settings,
            owner,
            queue,
            standing,
            told,
            tasks,
            ids: RandomIds,
            belief,
            versions: HashMap::new(),
            deadlines: BTreeSet::new(),
            deadline_of: HashMap::new(),
            fences: BTreeMap::new(),
            lease: None,
            stale: false,
            resyncing: false,
            resync_wanted: None,
            next_resync: now,
            next_lease: now,
            next_due: now,
            next_read: now,
            down_since: Some(now),
            lost: false,
        }
    }

    fn id(&self) -> NodeId {
        self.node.id()
    }

    fn label(&self) -> String {
        self.id().to_string()
    }

    /// Runs until `stop` is cancelled, then gives the node up.
    pub(super) async fn run(
        mut self,
        mut news: mpsc::Receiver<FromNode>,
        dropped: Arc<AtomicU64>,
        mut work: mpsc::Receiver<Work>,
        stop: CancellationToken,
    ) {
        let mut fresh = Vec::with_capacity(NEWS_BATCH);
        let mut asked = Vec::with_capacity(WORK_BATCH);
        loop {
            let wake = self.next_wake();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = news.recv_many(&mut fresh, NEWS_BATCH) => {}
                n = work.recv_many(&mut asked, WORK_BATCH) => if n == 0 { break },
                () = tokio::time::sleep_until(wake) => {}
            }
            // What else has queued goes into the same commit.
            while fresh.len() < NEWS_BATCH
                && let Ok(item) = news.try_recv()
            {
                fresh.push(item);
            }
            while asked.len() < WORK_BATCH
                && let Ok(item) = work.try_recv()
            {
                asked.push(item);
            }
            let lost = dropped.swap(0, Ordering::Relaxed);
            if lost > 0 {
                tracing::warn!(node.id = %self.id(), lost, "news was dropped because the queue was full; a snapshot will heal it");
                self.want_resync("news was dropped");
            }
            self.keep_lease().await;
            self.read_again().await;
            let mut items: Vec<Item> = fresh.drain(..).map(Item::News).collect();
            items.extend(asked.drain(..).map(Item::Work));
            self.add_due(&mut items).await;
            if !items.is_empty() {
                self.step(items).await;
            }
            self.start_resync();
            self.report(news.len(), work.len());
        }
        self.give_up().await;
        // Whoever still asks is told that nothing was done.
        work.close();
        while let Ok(item) = work.try_recv() {
            refuse(item, || IntentError::Busy);
        }
    }

    fn next_wake(&self) -> Instant {
        let mut wake = self.next_lease;
        if self.lease.is_some() {
            wake = wake.min(self.next_due).min(self.next_resync);
            if self.stale {
                wake = wake.min(self.next_read);
            }
            if let Some((_, at)) = self.resync_wanted
                && !self.resyncing
            {
                wake = wake.min(at);
            }
            if let Some((at, _)) = self.deadlines.first() {
                let left = at.since(Timestamp::now());
                wake = wake.min(Instant::now() + left);
            }
            if let Some(since) = self.down_since
                && !self.lost
            {
                wake = wake.min(since + self.settings.lost_after);
            }
        }
        wake
    }

    // ---- ownership ------------------------------------------------------------------------------------------------

    async fn keep_lease(&mut self) {
        if Instant::now() < self.next_lease {
            return;
        }
        let ttl = self.settings.lease_ttl;
        match self.store.acquire_lease(self.id(), self.owner, ttl).await {
            Ok(LeaseOutcome::Held(lease)) => {
                self.next_lease = Instant::now() + ttl / 3;
                if self.lease != Some(lease) {
                    tracing::info!(node.id = %self.id(), epoch = lease.epoch, "this replica reconciles the node");
                    self.lease = Some(lease);
                    self.stale = true;
                    self.next_read = Instant::now();
                    self.down_since = Some(Instant::now());
                    self.node.want_events(true);
                    self.want_resync("the node is ours now");
                }
            }
            Ok(LeaseOutcome::Other { remaining }) => {
                self.lose_lease("another replica has it");
                // A little late rather than early: the moment it runs out is the store's, not ours.
                let wait = remaining.clamp(Duration::from_millis(20), ttl);
                self.next_lease = Instant::now() + wait;
            }
            Err(error) => {
                // The lease may run out, or not; every write is checked against it, so nothing wrong can be written.
                tracing::warn!(node.id = %self.id(), %error, "the lease could not be renewed");
                self.next_lease = Instant::now() + STORE_PAUSE;
            }
        }
    }

    fn lose_lease(&mut self, why: &'static str) {
        if self.lease.take().is_some() {
            tracing::warn!(node.id = %self.id(), why, "this replica does not reconcile the node any more");
            self.node.want_events(false);
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.belief.clear();
        self.versions.clear();
        self.deadlines.clear();
        self.deadline_of.clear();
    }

    async fn give_up(&mut self) {
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.store.release_lease(lease).await
        {
            tracing::warn!(node.id = %self.id(), %error, "the lease could not be given up and will run out");
        }
    }

    // ---- the store ------------------------------------------------------------------------------------------------

    /// Reads everything of the node again, if that is due.
    async fn read_again(&mut self) {
        if !self.stale || self.lease.is_none() || Instant::now() < self.next_read {
            return;
        }
        match self.store.read_node(self.id()).await {
            Ok(entities) => {
                self.forget();
                let (mut rooms, mut calls) = (0_u64, 0_u64);
                for (entity, record) in entities {
                    match entity {
                        EntityId::Room(_) => rooms += 1,
                        EntityId::Session(_) => calls += 1,
                    }
                    if let Err(error) = self.believe(entity, Some(&record)) {
                        // One unreadable record must not cost the node; it is left as it is, for a person to look at.
                        metrics::counter!(names::STORE_CORRUPT, "node" => self.label())
                            .increment(1);
                        tracing::error!(node.id = %self.id(), %error, "a stored record is left alone");
                    }
                }
                self.stale = false;
                tracing::info!(node.id = %self.id(), rooms, calls, "what is stored of the node is read");
                self.want_resync("the state was read from the store");
            }
            Err(error) => {
                tracing::warn!(node.id = %self.id(), %error, "what is stored of the node cannot be read yet");
                self.next_read = Instant::now() + STORE_PAUSE;
            }
        }
    }

    fn believe(
        &mut self,
        entity: EntityId,
        record: Option<&crate::store::Record>,
    ) -> Result<(), StoreError> {
        let deadline = match entity {
            EntityId::Room(id) => {
                let room = record.map(|r| decode_room(id, r)).transpose()?;
                let deadline = room.as_ref().and_then(|r| r.next_deadline());
                self.belief.put_room(id, room);
                deadline
            }
            EntityId::Session(id) => {
                let session = record.map(|r| decode_session(id, r)).transpose()?;
                self.belief.put_session(id, session);
                None
            }
        };
        match record {
            Some(record) => self.versions.insert(entity, record.version),
            None => self.versions.remove(&entity),
        };
        self.set_deadline(entity, deadline);
        Ok(())
    }

    async fn reload(&mut self, entities: &BTreeSet<EntityId>) -> Result<(), StoreError> {
        for entity in entities {
            // An orphan is in nobody's store: what is believed of it is all there is.
            if let EntityId::Room(id) = entity
                && self
                    .belief
                    .room(*id)
                    .is_some_and(|r| r.registration().is_none())
            {
                continue;
            }
            let record = self.store.read(*entity).await?;
            self.believe(*entity, record.as_ref())?;
        }
        Ok(())
    }

    fn set_deadline(&mut self, entity: EntityId, at: Option<Timestamp>) {
        if let Some(old) = self.deadline_of.remove(&entity) {
            self.deadlines.remove(&(old, entity));
        }
        if let Some(at) = at {
            self.deadline_of.insert(entity, at);
            self.deadlines.insert((at, entity));
        }
    }

    async fn add_due(&mut self, items: &mut Vec<Item>) {
        if self.lease.is_none() || self.stale {
            return;
        }
        let now = Timestamp::now();
        let mut due: BTreeSet<EntityId> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(DUE_BATCH)
            .map(|(_, entity)| *entity)
            .collect();
        if Instant::now() >= self.next_due {
            self.next_due = Instant::now() + DUE_PAUSE;
            match self.store.due(self.id(), now, DUE_BATCH).await {
                Ok(stored) => {
                    // One that we do not know to be due was written by another replica: it is read first.
                    let unknown: BTreeSet<EntityId> = stored
                        .into_iter()
                        .filter(|entity| !due.contains(entity))
                        .collect();
                    match self.reload(&unknown).await {
                        Ok(()) => due.extend(unknown),
                        Err(error) => self.store_failed(&error),
                    }
                }
                Err(error) => self.store_failed(&error),
            }
        }
        items.extend(due.into_iter().map(Item::Due));
        if let Some(since) = self.down_since
            && !self.lost
            && since.elapsed() >= self.settings.lost_after
        {
            self.lost = true;
            tracing::error!(node.id = %self.id(), "the node could not be reached for so long that its calls are taken for lost");
            items.push(Item::NodeLost);
        }
    }

    fn store_failed(&mut self, error: &StoreError) {
        tracing::warn!(node.id = %self.id(), %error, "the store does not answer; what it missed will be read from FreeSWITCH");
        metrics::counter!(names::STORE_ERRORS, "caller" => "reconciler").increment(1);
        self.forget();
        self.stale = true;
        self.next_read = Instant::now() + STORE_PAUSE;
    }

    // ---- one step -------------------------------------------------------------------------------------------------

    async fn step(&mut self, items: Vec<Item>) {
        let owner = self.lease.is_some();
        if owner && self.stale {
            let skipped = items.len() as u64;
            metrics::counter!(names::ESL_EVENTS_DROPPED, "node" => self.label()).increment(skipped);
            for item in items {
                self.skip(item);
            }
            self.want_resync("the store was away");
            return;
        }
        for _ in 0..CONFLICT_TRIES {
            if !owner && let Err(error) = self.load_for(&items).await {
                return self.fail(items, error);
            }
            let now = Timestamp::now();
            let applied = self.apply(&items, now);
            let touched = self.belief.take_touched();
            let (writes, deadlines) = self.writes(&touched);
            if writes.is_empty() {
                return self.done(items, applied, &touched, now).await;
            }
            let commit = Commit {
                node: self.id(),
                request: Uuid::new_v4(),
                lease: self.lease,
                outbox: self.messages(&applied.out.notices, now),
                entities: writes,
            };
            let tells = !commit.outbox.is_empty();
            match self.commit(&commit).await {
                Ok(CommitOutcome::Applied) => {
                    for write in &commit.entities {
                        self.versions.insert(write.entity, write.expected.next());
                    }
                    for (entity, at) in deadlines {
                        self.set_deadline(entity, at);
                    }
                    if tells {
                        self.told.notify_one();
                    }
                    return self.done(items, applied, &touched, now).await;
                }
                Ok(CommitOutcome::Conflict(entity)) => {
                    metrics::counter!(names::COMMIT_CONFLICTS, "node" => self.label()).increment(1);
                    tracing::debug!(node.id = %self.id(), %entity, "another has written; applying once more");
                    if let Err(error) = self.reload(&touched).await {
                        return self.fail(items, error);
                    }
                }
                Ok(CommitOutcome::LeaseLost) => {
                    self.lose_lease("another replica took it");
                    self.next_lease = Instant::now();
                    for item in items {
                        self.skip(item);
                    }
                    return;
                }
                Err(error) => return self.fail(items, error),
            }
        }
        self.fail(
            items,
            StoreError::Unavailable("too many writers at once".into()),
        );
    }

    /// Commits, and asks once more under the same request id when the answer was lost.
    async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        let begun = Instant::now();
        let mut outcome = self.store.commit(commit).await;
        if matches!(outcome, Err(StoreError::Unavailable(_))) {
            outcome = self.store.commit(commit).await;
        }
        let result = match &outcome {
            Ok(CommitOutcome::Applied) => "applied",
            Ok(CommitOutcome::Conflict(_)) => "conflict",
            Ok(CommitOutcome::LeaseLost) => "lease_lost",
            Err(_) => "error",
        };
        metrics::counter!(names::COMMITS, "node" => self.label(), "outcome" => result).increment(1);
        metrics::histogram!(names::COMMIT_SECONDS, "node" => self.label())
            .record(begun.elapsed().as_secs_f64());
        outcome
    }

    /// A replica that does not reconcile the node believes nothing between two intents: it reads what they are about.
    async fn load_for(&mut self, items: &[Item]) -> Result<(), StoreError> {
        self.forget();
        let mut wanted = BTreeSet::new();
        for item in items {
            if let Item::Work(work) = item {
                wanted.extend(about(work));
            }
        }
        self.reload(&wanted).await?;
        let rooms: BTreeSet<EntityId> = self
            .belief
            .sessions()
            .filter_map(|s| s.place().room())
            .map(EntityId::Room)
            .filter(|room| !wanted.contains(room))
            .collect();
        self.reload(&rooms).await
    }

    fn apply(&mut self, items: &[Item], now: Timestamp) -> Applied {
        let mut applied = Applied::default();
        let mut cx = Cx::new(now, &mut self.ids);
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::News(FromNode::Up | FromNode::Down) => {}
                Item::News(FromNode::News(news)) => self.belief.news(news.clone(), &mut cx),
                Item::News(FromNode::Fence { core, .. }) => {
                    self.belief.core_changed(Some(*core), &mut cx);
                }
                Item::NodeLost => self.belief.core_changed(None, &mut cx),
                Item::Due(entity) => self.belief.deadline(*entity, &mut cx),
                Item::Work(work) => match work {
                    Work::Intent { intent, .. } => {
                        let first = cx.out.orders.len();
                        let verdict = self.belief.intent(intent.clone(), &mut cx);
                        let order = (cx.out.orders.len() > first).then_some(first);
                        applied.verdicts.insert(index, (verdict, order));
                    }
                    Work::Failed { order, error } => {
                        let unknown_call = *error == CommandError::NoSuchChannel;
                        self.belief.refused(order, unknown_call, &mut cx);
                    }
                    Work::Snapshot {
                        snapshot,
                        confirmed,
                        ..
                    } => {
                        let suspects = self.belief.snapshot(snapshot, confirmed, &mut cx);
                        applied.suspects.insert(index, suspects);
                    }
                    Work::Dumps(dumps) => {
                        for dump in dumps {
                            self.belief.dump(dump.clone(), &mut cx);
                        }
                    }
                    Work::Vanished {
                        channels,
                        core,
                        fence,
                    } => {
                        if self.belief.core() == Some(*core) {
                            for channel in channels {
                                self.belief.vanished(*channel, *fence, &mut cx);
                            }
                        }
                    }
                    Work::Listed(listed) => self.belief.listed(listed),
                    Work::AwaitFence { .. } | Work::WhichChannels { .. } | Work::Resynced(_) => {}
                },
            }
        }
        applied.out = cx.out;
        applied
    }

    /// What is to be written of what was touched, and the deadlines it then has.
    fn writes(
        &mut self,
        touched: &BTreeSet<EntityId>,
    ) -> (Vec<EntityWrite>, Vec<(EntityId, Option<Timestamp>)>) {
        let mut writes = Vec::new();
        let mut deadlines = Vec::new();
        for entity in touched {
            let expected = self.versions.get(entity).copied().unwrap_or_default();
            let created = expected == Version::ABSENT;
            let write = match entity {
                EntityId::Room(id) => {
                    let Some(room) = self.belief.room_mut(*id) else {
                        continue;
                    };
                    let changes = room.take_changes();
                    let Some(registration) = room.registration() else {
                        continue;
                    };
                    if changes.is_empty() {
                        continue;
                    }
                    let (head, parts) = encode_room(room, &changes, created);
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head,
                        parts,
                        deadline: room.next_deadline(),
                        life: match room.status() {
                            RoomStatus::Terminated => Life::Ended {
                                keep: self.settings.keep_ended_rooms,
                            },
                            RoomStatus::Progressing | RoomStatus::Terminating { .. } => Life::Live,
                        },
                        listed: Some(Listing {
                            app: registration.app.clone(),
                            created_at: registration.created_at,
                        }),
                    }
                }
                EntityId::Session(id) => {
                    let Some(session) = self.belief.session_mut(*id) else {
                        continue;
                    };
                    if !session.take_changed() {
                        continue;
                    }
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head: encode_session(session),
                        parts: Vec::new(),
                        deadline: None,
                        life: if session.is_over() {
                            Life::Ended {
                                keep: self.settings.keep_ended_sessions,
                            }
                        } else {
                            Life::Live
                        },
                        listed: Some(Listing {
                            app: session.app().clone(),
                            created_at: session.created_at(),
                        }),
                    }
                }
            };
            deadlines.push((*entity, write.deadline));
            writes.push(write);
        }
        (writes, deadlines)
    }

    /// What tells of it. The ids are made here, before the commit, and never again for the same change.
    fn messages(&mut self, notices: &[Notice], now: Timestamp) -> Vec<Message> {
        notices
            .iter()
            .map(|notice| match &notice.about {
                About::Room(room, told) => {
                    payload::room_message(self.ids.uuid(), &notice.app, *room, told, now)
                }
                About::Session(session, told) => {
                    payload::session_message(self.ids.uuid(), &notice.app, *session, told, now)
                }
            })
            .collect()
    }

    /// The commit stands, or there was nothing to commit: carry out what follows.
    async fn done(
        &mut self,
        items: Vec<Item>,
        mut applied: Applied,
        touched: &BTreeSet<EntityId>,
        now: Timestamp,
    ) {
        for entity in touched {
            self.belief.drop_over(*entity, now);
            let gone = match entity {
                EntityId::Room(id) => self.belief.room(*id).is_none(),
                EntityId::Session(id) => self.belief.session(*id).is_none(),
            };
            if gone {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
        if applied.out.drift > 0 {
            metrics::counter!(names::DRIFT, "node" => self.label()).increment(applied.out.drift);
        }
        if applied.out.ignored > 0 {
            metrics::counter!(names::EVENTS_IGNORED, "node" => self.label())
                .increment(applied.out.ignored);
        }
        if applied.out.foreign > 0 {
            metrics::counter!(names::FOREIGN_CALLS, "node" => self.label())
                .increment(applied.out.foreign);
        }
        self.measure_lag(&items, now);
        if let Some(why) = applied.out.resync {
            self.want_resync(why);
        }
        // In the order they were decided, and before anyone is answered.
        let mut answers: Vec<Option<_>> = applied
            .out
            .orders
            .iter()
            .map(|order| Some(orders::give(order, &self.settings.orders, &self.node)))
            .collect();
        let mut waiting: HashMap<
            usize,
            (Accepted, oneshot::Sender<Result<Accepted, IntentError>>),
        > = HashMap::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Item::News(FromNode::Up) => {
                    self.down_since = None;
                    self.lost = false;
                    self.want_resync("the event connection is up");
                }
                Item::News(FromNode::Down) => self.down_since = Some(Instant::now()),
                Item::News(FromNode::Fence {
                    token,
                    core,
                    sequence,
                }) => {
                    if let Some(seen) = self.fences.remove(&token) {
                        // A resync that gave up does not need it any more.
                        let _gone = seen.send((core, sequence));
                    }
                }
                Item::News(FromNode::News(_)) | Item::Due(_) | Item::NodeLost => {}
                Item::Work(Work::Intent { reply, .. }) => {
                    match applied.verdicts.remove(&index) {
                        Some((Ok(accepted), Some(order)))
                            if !matches!(accepted, Accepted::Deleted) =>
                        {
                            waiting.insert(order, (accepted, reply));
                        }
                        Some((verdict, _)) => {
                            // A caller that hung up has its answer in the state.
                            let _gone = reply.send(verdict.map_err(IntentError::from));
                        }
                        None => {
                            let _gone = reply.send(Err(IntentError::Busy));
                        }
                    }
                }
                Item::Work(Work::AwaitFence { token, seen }) => {
                    self.fences.retain(|_, waits| !waits.is_closed());
                    self.fences.insert(token, seen);
                }
                Item::Work(Work::Snapshot { reply, .. }) => {
                    let suspects = applied.suspects.remove(&index).unwrap_or_default();
                    let _gone = reply.send(suspects);
                }
                Item::Work(Work::WhichChannels { listed, reply }) => {
                    let wanted = self.belief.wants_dump(&listed);
                    let known = listed.iter().map(|l| l.channel).collect();
                    let missing = self.belief.missing_from(&known);
                    self.belief.keep_identities(&known);
                    let _gone = reply.send((wanted, missing));
                }
                Item::Work(Work::Resynced(result)) => self.resynced(result),
                Item::Work(
                    Work::Failed { .. } | Work::Listed(_) | Work::Dumps(_) | Work::Vanished { .. },
                ) => {}
            }
        }
        for (index, order) in applied.out.orders.into_iter().enumerate() {
            let Some(answer) = answers.get_mut(index).and_then(Option::take) else {
                continue;
            };
            let caller = waiting.remove(&index);
            let queue = self.queue.clone();
            let node = self.id();
            self.tasks.spawn(async move {
                let result = answer.await;
                if let Err(error) = &result {
                    tracing::info!(node.id = %node, ?order, %error, "FreeSWITCH did not carry an order out");
                    // Unknown is not refused: what was asked for stands until its deadline.
                    if *error != CommandError::Unknown {
                        let failed = Work::Failed {
                            order,
                            error: error.clone(),
                        };
                        // The actor ends only when the program does, and then the deadline is the next one's.
                        let _stopping = queue.send(failed).await;
                    }
                }
                if let Some((accepted, reply)) = caller {
                    let _gone = reply.send(result.map(|()| accepted).map_err(IntentError::from));
                }
            });
        }
        if self.lease.is_none() {
            self.forget();
        }
    }

    /// How old the oldest event of the batch is now that it is committed. FreeSWITCH's clock is up to 20 ms early.
    fn measure_lag(&self, items: &[Item], now: Timestamp) {
        let oldest = items
            .iter()
            .filter_map(|item| match item {
                Item::News(FromNode::News(news)) => Some(news.at),
                Item::News(FromNode::Up | FromNode::Down | FromNode::Fence { .. })
                | Item::Work(_)
                | Item::Due(_)
                | Item::NodeLost => None,
            })
            .min();
        if let Some(at) = oldest {
            metrics::histogram!(names::ESL_LAG_SECONDS, "node" => self.label())
                .record(now.since(at).as_secs_f64());
        }
    }

    /// The store did not take the batch: callers are told, the rest will be read from FreeSWITCH.
    fn fail(&mut self, items: Vec<Item>, error: StoreError) {
        self.store_failed(&error);
        let mut first = Some(error);
        for item in items {
            match item {
                Item::Work(work @ Work::Intent { .. }) => refuse(work, || {
                    IntentError::Store(first.take().unwrap_or_else(|| {
                        StoreError::Unavailable("the state could not be written".into())
                    }))
                }),
                other @ (Item::News(_) | Item::Work(_) | Item::Due(_) | Item::NodeLost) => {
                    self.skip(other);
                }
            }
        }
        self.want_resync("the store was away");
    }

    /// Lets go of something that cannot be applied now.
    fn skip(&mut self, item: Item) {
        match item {
            Item::News(FromNode::Up) => {
                self.down_since = None;
                self.lost = false;
                self.want_resync("the event connection is up");
            }
            Item::News(FromNode::Down) => self.down_since = Some(Instant::now()),
            Item::NodeLost => self.lost = false,
            Item::News(FromNode::News(_) | FromNode::Fence { .. }) | Item::Due(_) => {}
            Item::Work(Work::Resynced(result)) => self.resynced(result),
            // Dropping a reply tells the one who waits.
            Item::Work(work) => refuse(work, || {
                IntentError::Store(StoreError::Unavailable("the store does not answer".into()))
            }),
        }
    }

    // ---- resync ---------------------------------------------------------------------------------------------------

    fn want_resync(&mut self, why: &'static str) {
        if self.resync_wanted.is_none() {
            self.resync_wanted = Some((why, Instant::now()));
        }
    }

    fn start_resync(&mut self) {
        if self.lease.is_none() || self.stale || self.resyncing || self.down_since.is_some() {
            return;
        }
        let now = Instant::now();
        if now >= self.next_resync {
            self.want_resync("it is time");
        }
        let Some((why, at)) = self.resync_wanted else {
            return;
        };
        if at > now {
            return;
        }
        tracing::debug!(node.id = %self.id(), why, "resync begins");
        self.resync_wanted = None;
        self.resyncing = true;
        self.next_resync = now + self.resync_interval();
        let (node, queue) = (self.node.clone(), self.queue.clone());
        self.tasks.spawn(async move {
            let result = resync(&node, &queue).await;
            // Without an actor nobody wants to know.
            let _stopping = queue.send(Work::Resynced(result)).await;
        });
    }

    /// A third more or less, so that nodes and replicas do not all ask at once.
    fn resync_interval(&self) -> Duration {
        let spread: f64 = rand::random();
        self.settings
            .resync_interval
            .mul_f64(2.0 / 3.0 + spread * 2.0 / 3.0)
    }

    fn resynced(&mut self, result: Result<Found, ResyncError>) {
        self.resyncing = false;
        match result {
            Ok(found) => {
                metrics::counter!(names::RESYNCS, "node" => self.label()).increment(1);
                tracing::info!(
                    node.id = %self.id(),
                    rooms = found.rooms,
                    channels = found.channels,
                    second_look = found.second_look,
                    "a snapshot of the node is merged"
                );
                self.standing.send_if_modified(|s| {
                    let changed = !s.synced;
                    s.synced = true;
                    changed
                });
                // What was asked for while this one ran is due, but not at once.
                if let Some((_, at)) = &mut self.resync_wanted {
                    *at = Instant::now() + RESYNC_PAUSE;
                }
            }
            Err(error) => {
                metrics::counter!(names::RESYNCS_FAILED, "node" => self.label()).increment(1);
                tracing::warn!(node.id = %self.id(), %error, "a snapshot of the node came to nothing, and changes nothing");
                self.resync_wanted = Some(("the last one failed", Instant::now() + RESYNC_PAUSE));
            }
        }
    }

    fn report(&self, news: usize, work: usize) {
        metrics::gauge!(names::ESL_QUEUE_DEPTH, "node" => self.label()).set(news as f64);
        metrics::gauge!(names::RECONCILER_QUEUE_DEPTH, "node" => self.label()).set(work as f64);
        let calls = self.belief.session_count() as u64;
        if self.lease.is_some() {
            metrics::gauge!(names::ROOMS, "node" => self.label())
                .set(self.belief.room_count() as f64);
            metrics::gauge!(names::CALLS, "node" => self.label()).set(calls as f64);
        }
        let owned_elsewhere = self.lease.is_none();
        self.standing.send_if_modified(|s| {
            let changed = s.calls != calls || s.owned_elsewhere != owned_elsewhere;
            s.calls = calls;
            s.owned_elsewhere = owned_elsewhere;
            changed
        });
    }
}

/// The entities that work is about, for a replica that has to read them first.
fn about(work: &Work) -> Vec<EntityId> {
    match work {
        Work::Intent { intent, .. } => match intent {
            Intent::CreateRoom { room, .. } | Intent::DeleteRoom { room, .. } => {
                vec![EntityId::Room(*room)]
            }
            Intent::Join { session, room, .. } => {
                let mut about = vec![EntityId::Session(*session)];
                if room.node() == session.node() {
                    about.push(EntityId::Room(*room));
                }
                about
            }
            Intent::Leave { session, .. }
            | Intent::Mute { session, .. }
            | Intent::Answer { session, .. }
            | Intent::Hangup { session, .. } => vec![EntityId::Session(*session)],
        },
        Work::Failed { order, .. } => match order {
            Order::Enter { session, room, .. }
            | Order::Park { session, room }
            | Order::Mute { session, room, .. } => {
                vec![EntityId::Session(*session), EntityId::Room(*room)]
            }
            Order::Describe { .. } | Order::Answer { .. } | Order::Hangup { .. } => Vec::new(),
        },
        Work::AwaitFence { .. }
        | Work::Snapshot { .. }
        | Work::WhichChannels { .. }
        | Work::Listed(_)
        | Work::Dumps(_)
        | Work::Vanished { .. }
        | Work::Resynced(_) => Vec::new(),
    }
}

fn refuse(work: Work, error: impl FnOnce() -> IntentError) {
    if let Work::Intent { reply, .. } = work {
        let _gone = reply.send(Err(error()));
    }
}
