//! The store for one process: everything in memory, gone with it.
//!
//! Owns the plain-Rust reading of the contract of [`Store`] (in `deliveries` of what is on its way, in `live` of what can be
//! listened to), which the contract suite holds against the one on Redis.
//! Leaves out durability and other replicas. Driven by the lab, by tests, and by a controller told `memory:`.
//!
//! One mutex over all of it, never held across an await: a commit changes a handful of maps, and contention is not
//! what an in-memory store is measured by. Expiry is looked at when something is touched; the clock can be handed in
//! so that a test moves it.

mod board;
mod deliveries;
mod live;
mod looks;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use uuid::Uuid;

use self::board::Written;
use self::deliveries::Queues;
use self::live::Said;
use super::apps::{AppsWrite, StoredApps};
use super::deliveries::QueueLimits;
use super::gate::{Command, CommandAnswer, CommandStart, Cooldown, Rate, Tokens};
use super::{
    Commit, CommitOutcome, EntityId, EntityKind, EntityWrite, Fields, Lease, LeaseOutcome, Life,
    ListEntry, ListOf, NameOutcome, NodeReader, REMEMBERED_REQUESTS, Record, Store, StoreError,
    Version, ViewEntry, ViewId, ViewKind, ViewWrite,
};
use crate::ids::{AppId, CommandUid, EndpointId, NodeId, RoomId, RoomName};
use crate::time::Timestamp;

/// The store's clock: how long it has been running. Never goes back.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The implementation of [`Store`] in memory.
pub struct MemoryStore {
    clock: Clock,
    /// What time it was when the clock began.
    began: Timestamp,
    limits: QueueLimits,
    inner: Mutex<Inner>,
    /// What is said, of any node.
    said: broadcast::Sender<Said>,
}

impl MemoryStore {
    /// An empty store on the runtime's clock, which a paused test runtime moves.
    pub fn new() -> Self {
        let start = tokio::time::Instant::now();
        Self::with_clock(Arc::new(move || start.elapsed()))
    }

    /// An empty store on this clock.
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            began: Timestamp::now(),
            limits: QueueLimits::default(),
            inner: Mutex::default(),
            said: live::channel(),
        }
    }

    /// The same, with these bounds.
    #[must_use]
    pub fn with_limits(self, limits: QueueLimits) -> Self {
        Self { limits, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a bug that its own task reports; the others go on with what is there.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        (self.clock)()
    }

    /// The time of the log, in milliseconds since the epoch.
    fn log_time(&self) -> u64 {
        let since = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.began.as_millis().saturating_add(since)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Inner {
    nodes: HashMap<NodeId, Node>,
    names: HashMap<(AppId, RoomName), Name>,
    /// When each app's bucket of requests is full.
    buckets: HashMap<AppId, Duration>,
    apps: BTreeMap<AppId, String>,
    endpoints: BTreeMap<EndpointId, String>,
    apps_version: u64,
}

type CooldownKey = (EntityId, String);
type CommandKey = (EntityId, CommandUid);

/// A command that its caller gave an id.
struct Begun {
    fingerprint: String,
    token: Uuid,
    answer: Option<CommandAnswer>,
    until: Duration,
}

struct Name {
    room: RoomId,
    /// Until when the reservation holds; `None` once it is confirmed.
    pending_until: Option<Duration>,
}

#[derive(Default)]
struct Node {
    /// The lease and when it expires.
    lease: Option<(Lease, Duration)>,
    epoch: u64,
    entities: HashMap<EntityId, Entity>,
    /// Ended entities by the end of their keeping time.
    ended: BTreeSet<(Duration, EntityId)>,
    deadlines: BTreeSet<(Timestamp, EntityId)>,
    lists: HashMap<(EntityKind, AppId), BTreeMap<String, EntityId>>,
    views: HashMap<ViewId, View>,
    view_lists: HashMap<(ViewKind, Whose), BTreeMap<String, ViewId>>,
    /// Views that are over by the end of their keeping time.
    views_over: BTreeSet<(Duration, ViewId)>,
    /// The way to the receivers.
    queues: Queues,
    board: Written,
    /// Who holds a cooldown, and until when.
    cooldowns: HashMap<CooldownKey, (Uuid, Duration)>,
    /// The ends of cooldowns, also of those that were given back.
    cooldown_ends: BTreeSet<(Duration, CooldownKey)>,
    commands: HashMap<CommandKey, Begun>,
    /// The ends of commands, also of those that have another by now.
    command_ends: BTreeSet<(Duration, CommandKey)>,
}

#[derive(Default)]
struct Entity {
    version: Version,
    head: BTreeMap<String, String>,
    parts: BTreeMap<String, String>,
    /// The requests it was last written by, latest first.
    requests: VecDeque<Uuid>,
    deadline: Option<Timestamp>,
    /// Which list shows it, and where.
    listed: Option<(AppId, String)>,
    /// When its keeping time is over, once it has ended.
    kept_until: Option<Duration>,
}

struct View {
    written: ViewWrite,
    /// When its keeping time is over, once it is.
    kept_until: Option<Duration>,
}

/// Whose views a list shows.
#[derive(PartialEq, Eq, Hash)]
enum Whose {
    App(AppId),
    Room(RoomId),
}

impl From<ListOf<'_>> for Whose {
    fn from(of: ListOf<'_>) -> Self {
        match of {
            ListOf::App(app) => Self::App(app.clone()),
            ListOf::Room(room) => Self::Room(room),
        }
    }
}

impl Inner {
    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.entry(node).or_default()
    }
}

impl Node {
    fn held_lease(&self, now: Duration) -> Option<&Lease> {
        self.lease
            .as_ref()
            .filter(|(_, until)| now < *until)
            .map(|(lease, _)| lease)
    }

    /// Drops what has been kept long enough.
    fn expire(&mut self, now: Duration) {
        while let Some(&(until, entity)) = self.ended.first()
            && until <= now
        {
            self.ended.pop_first();
            self.entities.remove(&entity);
        }
        self.expire_views(now);
    }

    fn expire_views(&mut self, now: Duration) {
        while let Some(&(until, view)) = self.views_over.first()
            && until <= now
        {
            self.views_over.pop_first();
            let Some(View { written, .. }) = self.views.remove(&view) else {
                continue;
            };
            let position = written.position();
            let (of_app, of_room) = written.lists();
            for of in std::iter::once(of_app).chain(of_room) {
                let list = (view.kind(), of.into());
                if let Some(rows) = self.view_lists.get_mut(&list) {
                    rows.remove(&position);
                    if rows.is_empty() {
                        self.view_lists.remove(&list);
                    }
                }
            }
        }
    }

    fn put_view(&mut self, write: &ViewWrite, now: Duration) {
        let id = write.view;
        let position = write.position();
        let (of_app, of_room) = write.lists();
        for of in std::iter::once(of_app).chain(of_room) {
            let rows = self.view_lists.entry((id.kind(), of.into())).or_default();
            rows.insert(position.clone(), id);
        }
        let kept_until = write.keep.map(|keep| now.saturating_add(keep));
        let written = write.clone();
        let before = self.views.insert(
            id,
            View {
                written,
                kept_until,
            },
        );
        if let Some(until) = before.and_then(|view| view.kept_until) {
            self.views_over.remove(&(until, id));
        }
        if let Some(until) = kept_until {
            self.views_over.insert((until, id));
        }
    }

    fn view_body(&self, view: ViewId) -> Option<String> {
        match view {
            ViewId::Conference(_) => None,
            ViewId::Call(_) | ViewId::Recording(_) => {
                self.views.get(&view).map(|v| v.written.body.clone())
            }
        }
    }

    /// Drops cooldowns and commands whose time is over.
    fn expire_gates(&mut self, now: Duration) {
        while let Some((until, _)) = self.cooldown_ends.first()
            && *until <= now
            && let Some((_, key)) = self.cooldown_ends.pop_first()
        {
            if self
                .cooldowns
                .get(&key)
                .is_some_and(|(_, until)| *until <= now)
            {
                self.cooldowns.remove(&key);
            }
        }
        while let Some((until, _)) = self.command_ends.first()
            && *until <= now
            && let Some((_, key)) = self.command_ends.pop_first()
        {
            if self.commands.get(&key).is_some_and(|c| c.until <= now) {
                self.commands.remove(&key);
            }
        }
    }

    fn take_cooldown(
        &mut self,
        key: CooldownKey,
        holder: Uuid,
        window: Duration,
        now: Duration,
    ) -> Cooldown {
        self.expire_gates(now);
        match self.cooldowns.get(&key) {
            Some((other, until)) if *other != holder => Cooldown::Wait {
                remaining: until.saturating_sub(now),
            },
            Some(_) => Cooldown::Taken,
            None => {
                let until = now.saturating_add(window);
                self.cooldown_ends.insert((until, key.clone()));
                self.cooldowns.insert(key, (holder, until));
                Cooldown::Taken
            }
        }
    }

    fn begin_command(&mut self, command: &Command, hold: Duration, now: Duration) -> CommandStart {
        self.expire_gates(now);
        let key = (command.about, command.uid.clone());
        match self.commands.get(&key) {
            Some(begun) if begun.fingerprint != command.fingerprint => CommandStart::Different,
            Some(Begun {
                answer: Some(answer),
                ..
            }) => CommandStart::Replay(answer.clone()),
            Some(begun) if begun.token == command.token => CommandStart::First,
            Some(_) => CommandStart::Pending,
            None => {
                self.note_command(key, command, None, now.saturating_add(hold));
                CommandStart::First
            }
        }
    }

    fn note_command(
        &mut self,
        key: CommandKey,
        command: &Command,
        answer: Option<CommandAnswer>,
        until: Duration,
    ) {
        self.command_ends.insert((until, key.clone()));
        let begun = Begun {
            fingerprint: command.fingerprint.clone(),
            token: command.token,
            answer,
            until,
        };
        self.commands.insert(key, begun);
    }

    fn entity(&self, entity: EntityId, now: Duration) -> Option<&Entity> {
        self.entities
            .get(&entity)
            .filter(|e| e.kept_until.is_none_or(|until| now < until))
    }

    fn commit(&mut self, commit: &Commit, now: Duration, limits: QueueLimits) -> CommitOutcome {
        self.expire(now);
        // First of all: a repeated request was accepted under a lease and versions that need not be there any more.
        let repeated = commit.entities.iter().any(|write| {
            self.entities
                .get(&write.entity)
                .is_some_and(|e| e.requests.contains(&commit.request))
        });
        if repeated {
            return CommitOutcome::Applied;
        }
        if commit
            .lease
            .as_ref()
            .is_some_and(|lease| self.held_lease(now) != Some(lease))
        {
            return CommitOutcome::LeaseLost;
        }
        for write in &commit.entities {
            let stored = self
                .entities
                .get(&write.entity)
                .map_or(Version::ABSENT, |e| e.version);
            if stored != write.expected {
                return CommitOutcome::Conflict(write.entity);
            }
        }
        for write in &commit.entities {
            self.apply(write, commit.request, now);
        }
        for write in &commit.views {
            self.put_view(write, now);
        }
        self.queues.append(&commit.outbox, limits);
        CommitOutcome::Applied
    }

    fn apply(&mut self, write: &EntityWrite, request: Uuid, now: Duration) {
        let id = write.entity;
        let entity = self.entities.entry(id).or_default();
        entity.version = entity.version.next();
        entity.requests.push_front(request);
        entity.requests.truncate(REMEMBERED_REQUESTS);
        entity.head.extend(write.head.iter().cloned());
        for (part, value) in &write.parts {
            match value {
                Some(value) => {
                    entity.parts.insert(part.clone(), value.clone());
                }
                None => {
                    entity.parts.remove(part);
                }
            }
        }
        if entity.listed.is_none() {
            entity.listed = write
                .listed
                .as_ref()
                .map(|listing| (listing.app.clone(), listing.position(id)));
        }
        if let Some(deadline) = entity.deadline.take() {
            self.deadlines.remove(&(deadline, id));
        }
        if let Some(until) = entity.kept_until.take() {
            self.ended.remove(&(until, id));
        }
        match write.life {
            Life::Live => {
                entity.deadline = write.deadline;
                if let Some(deadline) = write.deadline {
                    self.deadlines.insert((deadline, id));
                }
                if let Some((app, position)) = &entity.listed {
                    self.lists
                        .entry((id.kind(), app.clone()))
                        .or_default()
                        .insert(position.clone(), id);
                }
            }
            Life::Ended { keep } => {
                let until = now.saturating_add(keep);
                entity.kept_until = Some(until);
                self.ended.insert((until, id));
                if let Some((app, position)) = &entity.listed {
                    let list = (id.kind(), app.clone());
                    if let Some(rows) = self.lists.get_mut(&list) {
                        rows.remove(position);
                        if rows.is_empty() {
                            self.lists.remove(&list);
                        }
                    }
                }
            }
        }
    }
}

impl Entity {
    fn head(&self) -> Record {
        Record {
            version: self.version,
            head: self.head.iter().collect(),
            parts: Fields::default(),
        }
    }

    fn record(&self) -> Record {
        Record {
            parts: self.parts.iter().collect(),
            ..self.head()
        }
    }
}

fn of_map<T: Clone>(records: &BTreeMap<T, String>) -> Vec<(T, String)> {
    let record = |(id, record): (&T, &String)| (id.clone(), record.clone());
    records.iter().map(record).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn acquire_lease(
        &self,
        node: NodeId,
        owner: Uuid,
        ttl: Duration,
    ) -> Result<LeaseOutcome, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let state = inner.node(node);
        let lease = match &state.lease {
            Some((lease, until)) if now < *until => {
                if lease.owner != owner {
                    return Ok(LeaseOutcome::Other {
                        remaining: until.saturating_sub(now),
                    });
                }
                *lease
            }
            Some(_) | None => {
                state.epoch += 1;
                Lease {
                    node,
                    epoch: state.epoch,
                    owner,
                }
            }
        };
        state.lease = Some((lease, now.saturating_add(ttl)));
        Ok(LeaseOutcome::Held(lease))
    }

    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let state = inner.node(lease.node);
        if state.lease.is_some_and(|(stored, _)| stored == lease) {
            state.lease = None;
        }
        Ok(())
    }

    async fn read(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let found = inner.node(entity.node()).entity(entity, now);
        Ok(found.map(Entity::record))
    }

    async fn read_head(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let found = inner.node(entity.node()).entity(entity, now);
        Ok(found.map(Entity::head))
    }

    async fn read_node(&self, node: NodeId, reader: &mut dyn NodeReader) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let all = inner.node(node).entities.iter();
        let live: Vec<_> = all
            .filter(|(_, entity)| entity.kept_until.is_none())
            .collect();
        let rooms = live.iter().filter(|(id, _)| id.kind() == EntityKind::Room);
        let rooms = rooms.count();
        reader.expect(rooms, live.len() - rooms);
        for (id, entity) in live {
            let record = entity.record();
            reader.entity(*id, record.version, (&record).into());
        }
        Ok(())
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        commit.debug_check();
        let now = self.now();
        let mut inner = self.lock();
        Ok(inner.node(commit.node).commit(commit, now, self.limits))
    }

    async fn due(
        &self,
        node: NodeId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let mut inner = self.lock();
        Ok(inner
            .node(node)
            .deadlines
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .take(limit)
            .map(|(_, entity)| *entity)
            .collect())
    }

    async fn list(
        &self,
        node: NodeId,
        kind: EntityKind,
        app: &AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError> {
        let mut inner = self.lock();
        let Some(rows) = inner.node(node).lists.get(&(kind, app.clone())) else {
            return Ok(Vec::new());
        };
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        Ok(rows
            .range::<str, _>((from, std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(position, entity)| ListEntry {
                position: position.clone(),
                entity: *entity,
            })
            .collect())
    }

    async fn read_views(
        &self,
        node: NodeId,
        views: &[ViewId],
    ) -> Result<Vec<Option<String>>, StoreError> {
        debug_assert!(
            views.iter().all(|view| view.node() == node),
            "another node's"
        );
        let now = self.now();
        let mut inner = self.lock();
        let state = inner.node(node);
        state.expire_views(now);
        Ok(views.iter().map(|view| state.view_body(*view)).collect())
    }

    async fn list_views(
        &self,
        node: NodeId,
        kind: ViewKind,
        of: ListOf<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let state = inner.node(node);
        state.expire_views(now);
        let Some(rows) = state.view_lists.get(&(kind, of.into())) else {
            return Ok(Vec::new());
        };
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        Ok(rows
            .range::<str, _>((from, std::ops::Bound::Unbounded))
            .take(limit)
            .map(|(position, view)| ViewEntry {
                position: position.clone(),
                view: *view,
            })
            .collect())
    }

    async fn reserve_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
        ttl: Duration,
    ) -> Result<NameOutcome, StoreError> {
        let now = self.now();
        let until = now.saturating_add(ttl);
        let mut inner = self.lock();
        let stored = inner
            .names
            .entry((app.clone(), name.clone()))
            .or_insert(Name {
                room,
                pending_until: Some(until),
            });
        Ok(if stored.room == room {
            if let Some(pending) = &mut stored.pending_until {
                *pending = until;
            }
            NameOutcome::Reserved
        } else if stored.pending_until.is_some_and(|until| now < until) {
            NameOutcome::Pending { room: stored.room }
        } else {
            NameOutcome::Taken { room: stored.room }
        })
    }

    async fn confirm_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
    ) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        let stored = inner.names.get_mut(&(app.clone(), name.clone()));
        Ok(match stored {
            Some(stored) if stored.room == room => {
                stored.pending_until = None;
                true
            }
            Some(_) | None => false,
        })
    }

    async fn free_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        let key = (app.clone(), name.clone());
        if inner
            .names
            .get(&key)
            .is_some_and(|stored| stored.room == room)
        {
            inner.names.remove(&key);
        }
        Ok(())
    }

    async fn read_apps(&self, known: Option<u64>) -> Result<Option<StoredApps>, StoreError> {
        let inner = self.lock();
        if known == Some(inner.apps_version) {
            return Ok(None);
        }
        Ok(Some(StoredApps {
            version: inner.apps_version,
            records: of_map(&inner.apps),
            endpoints: of_map(&inner.endpoints),
        }))
    }

    async fn put_apps(&self, expected: u64, writes: &[AppsWrite<'_>]) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        // As on Redis: it was this very call, or one that wanted the same.
        let is_there = |write: &AppsWrite<'_>| match *write {
            AppsWrite::App(id, record) => inner.apps.get(id).is_some_and(|found| found == record),
            AppsWrite::Endpoint(id, record) => {
                inner.endpoints.get(id).map(String::as_str) == record
            }
        };
        if writes.iter().all(is_there) {
            return Ok(true);
        }
        if inner.apps_version != expected {
            return Ok(false);
        }
        inner.apps_version += 1;
        for write in writes {
            match *write {
                AppsWrite::App(id, record) => {
                    inner.apps.insert(id.clone(), record.to_owned());
                }
                AppsWrite::Endpoint(id, Some(record)) => {
                    inner.endpoints.insert(id.clone(), record.to_owned());
                }
                AppsWrite::Endpoint(id, None) => {
                    inner.endpoints.remove(id);
                }
            }
        }
        Ok(true)
    }

    async fn take_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
        window: Duration,
    ) -> Result<Cooldown, StoreError> {
        let now = self.now();
        let key = (about, group.to_owned());
        let mut inner = self.lock();
        let node = inner.node(about.node());
        Ok(node.take_cooldown(key, holder, window, now))
    }

    async fn refund_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
    ) -> Result<(), StoreError> {
        let key = (about, group.to_owned());
        let mut inner = self.lock();
        let cooldowns = &mut inner.node(about.node()).cooldowns;
        if cooldowns.get(&key).is_some_and(|(held, _)| *held == holder) {
            cooldowns.remove(&key);
        }
        Ok(())
    }

    async fn begin_command(
        &self,
        command: &Command,
        hold: Duration,
    ) -> Result<CommandStart, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let node = inner.node(command.about.node());
        Ok(node.begin_command(command, hold, now))
    }

    async fn finish_command(
        &self,
        command: &Command,
        answer: &CommandAnswer,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let node = inner.node(command.about.node());
        node.expire_gates(now);
        let key = (command.about, command.uid.clone());
        if node
            .commands
            .get(&key)
            .is_some_and(|begun| begun.token != command.token)
        {
            return Ok(false);
        }
        let until = now.saturating_add(keep);
        node.note_command(key, command, Some(answer.clone()), until);
        Ok(true)
    }

    async fn forget_command(&self, command: &Command) -> Result<(), StoreError> {
        let key = (command.about, command.uid.clone());
        let mut inner = self.lock();
        let commands = &mut inner.node(command.about.node()).commands;
        if commands
            .get(&key)
            .is_some_and(|begun| begun.token == command.token)
        {
            commands.remove(&key);
        }
        Ok(())
    }

    async fn take_tokens(&self, app: &AppId, rate: Rate, want: u32) -> Result<Tokens, StoreError> {
        let now = self.now();
        let mut inner = self.lock();
        let full_at = inner.buckets.entry(app.clone()).or_default();
        let (tokens, after) = rate.take(*full_at, now, want);
        *full_at = after;
        Ok(tokens)
    }
}
