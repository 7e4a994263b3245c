//! The store for one process: everything is in memory and ends with the process.
//!
//! The lab, tests and a controller with `memory:` use it. The contract tests compare it with the store on Redis.
//!
//! Each trait of the contract has a file that implements it: `deliveries`, `node_status`, `polls`, `live`, `usage`,
//! `limits`, `audit`, and this one for [`Store`] itself. They change the state of one node (`node`): its `outbox`, the
//! `queues` of deliveries (each a `queue`, recorded in an `endpoint_log`, claimed by `share`), its `cooldowns` and
//! idempotent `commands`.
//!
//! One mutex protects everything and is never held across an await: a commit changes a few maps, and contention does not
//! matter for an in-memory store. Expiry is checked on access. A test can pass in the clock.

mod audit;
mod commands;
mod cooldowns;
mod deliveries;
mod endpoint_log;
mod limits;
mod live;
mod node;
mod node_status;
mod outbox;
mod polls;
mod queue;
mod queues;
mod share;
mod usage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use uuid::Uuid;

use self::node::{Entity, Node};
use super::contract::audit::AuditLogKind;
use super::deliveries::QueueLimits;
use super::limits::DialSlot;
use super::live::LiveEvent;
use super::{
    AppsWrite, Commit, CommitOutcome, EntityId, EntityKind, Lease, LeaseOutcome, ListEntry, ListOf,
    NameOutcome, NodeReader, Record, Store, StoreError, StoredApps, ViewEntry, ViewId, ViewKind,
};
use crate::clock;
use roomkeeper_core::ids::{AppId, EndpointId, NodeId, RoomId, RoomName};
use roomkeeper_core::time::Timestamp;

/// The store's clock: the time since its start. Never goes back.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Live events of one node.
type NodeLiveEvents = (NodeId, Vec<LiveEvent>);

/// The number of live events that wait for the slowest subscriber. A subscriber that is further behind misses some, as
/// after a lost connection.
const LIVE_EVENTS: usize = 1_024;

/// The implementation of [`Store`] in memory.
pub struct MemoryStore {
    clock: Clock,
    /// The time at the start of the clock.
    start: Timestamp,
    limits: QueueLimits,
    inner: Mutex<Inner>,
    live_events: broadcast::Sender<NodeLiveEvents>,
}

impl MemoryStore {
    /// Creates an empty store on the runtime's clock, which a paused test runtime moves.
    pub fn new() -> Self {
        let start = tokio::time::Instant::now();
        Self::with_clock(Arc::new(move || start.elapsed()))
    }

    /// Creates an empty store on this clock.
    pub fn with_clock(clock: Clock) -> Self {
        Self {
            clock,
            start: clock::now(),
            limits: QueueLimits::default(),
            inner: Mutex::default(),
            live_events: broadcast::Sender::new(LIVE_EVENTS),
        }
    }

    /// Sets the limits of the queues.
    #[must_use]
    pub fn with_limits(self, limits: QueueLimits) -> Self {
        Self { limits, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a bug that its own task reports; the others continue with the current state.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        (self.clock)()
    }

    /// The time of the log, in milliseconds since the epoch.
    fn log_time(&self) -> u64 {
        let since = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        self.start.as_millis().saturating_add(since)
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
    /// The time at which each app's bucket of requests is full.
    buckets: HashMap<AppId, Duration>,
    /// The places of each app for dial-outs, with the time of the request.
    dial_slots: HashMap<AppId, BTreeMap<DialSlot, Duration>>,
    apps: BTreeMap<AppId, String>,
    endpoints: BTreeMap<EndpointId, String>,
    apps_version: u64,
    /// The entries of each audit log, in the order of their ids.
    audit: BTreeMap<AuditLogKind, BTreeSet<String>>,
}

struct Name {
    room: RoomId,
    /// Until when the reservation holds; `None` once it is confirmed.
    pending_until: Option<Duration>,
}

impl Inner {
    fn node(&mut self, node: NodeId) -> &mut Node {
        self.nodes.entry(node).or_default()
    }
}

fn to_records<T: Clone>(records: &BTreeMap<T, String>) -> Vec<(T, String)> {
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

    async fn list_all(
        &self,
        node: NodeId,
        kind: EntityKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError> {
        let mut inner = self.lock();
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let lists = inner.node(node).lists.iter();
        let rows = lists
            .filter(|((listed, _), _)| *listed == kind)
            .flat_map(|(_, rows)| {
                rows.range::<str, _>((from, std::ops::Bound::Unbounded))
                    .take(limit)
            });
        let mut entries: Vec<ListEntry> = rows
            .map(|(position, entity)| ListEntry {
                position: position.clone(),
                entity: *entity,
            })
            .collect();
        entries.sort_unstable();
        entries.truncate(limit);
        Ok(entries)
    }

    async fn read_views(
        &self,
        node: NodeId,
        views: &[ViewId],
    ) -> Result<Vec<Option<String>>, StoreError> {
        debug_assert!(
            views.iter().all(|view| view.node() == node),
            "views should be on the node"
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
            records: to_records(&inner.apps),
            endpoints: to_records(&inner.endpoints),
        }))
    }

    async fn put_apps(&self, expected: u64, writes: &[AppsWrite<'_>]) -> Result<bool, StoreError> {
        let mut inner = self.lock();
        // As on Redis, the records were written by the same call, whose answer was lost, or by one with the same content.
        let is_stored = |write: &AppsWrite<'_>| match *write {
            AppsWrite::App(id, record) => inner.apps.get(id).map(String::as_str) == record,
            AppsWrite::Endpoint(id, record) => {
                inner.endpoints.get(id).map(String::as_str) == record
            }
        };
        if writes.iter().all(is_stored) {
            return Ok(true);
        }
        if inner.apps_version != expected {
            return Ok(false);
        }
        inner.apps_version += 1;
        for write in writes {
            match *write {
                AppsWrite::App(id, Some(record)) => {
                    inner.apps.insert(id.clone(), record.to_owned());
                }
                AppsWrite::App(id, None) => {
                    inner.apps.remove(id);
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
}
