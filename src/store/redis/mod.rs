//! The store on Redis, which several controllers share and which outlives them.
//!
//! This file has the store itself and [`Store`]. The other traits of the contract have separate files: `deliveries`,
//! `node_status`, `polls`, `live`, `usage`, `limits`, `audit`. Below them are:
//!
//! - the connection: `connection`, `sentinel` (finds the master), `cluster` (finds the server of a slot), `address`
//! - reading: `entity` (one room or call), `node` (all of a node), `list` and `list_position` (pages of lists),
//!   `outbox_read`
//! - writing: `scripts`, `commit`
//! - stored forms: `message`, `values`; the keys are in [`keys`]
//! - `outbox`: this replica's cache of the outboxes
//!
//! # Structure
//!
//! ```text
//! slot {<node>}
//!   lease ── epoch              the node's owner
//!   entity:<id>, parts:<id>     one room or call: version, last requests, fields; its many parts
//!   live, deadlines, list:…     the live entities, by id, by deadline, by app
//!   view:<id>, views:…          the views of memberships and recordings; by app and by room, live and ended
//!   views-over                  the times at which ended views leave the lists; their bodies expire by themselves
//!   outbox ←─ cursor            the stream every commit appends to, and the position up to which it is queued; event
//!        │                      streams read it from their own positions
//!        │                      outbox:last, the newest position ever: positions continue after the stream is deleted;
//!        │                      outbox:aside, for a day: a key of another type that was moved
//!        │ fan_out (cursor moves and queues grow in one step, or neither)
//!        ▼
//!   queue:<endpoint>:<scope>    one list of ids for each endpoint and room or call: order within, none between
//!   due                         the endpoints, each with its app, by the due time of their first queue
//!   due:<endpoint>              its queues, by the time from which their head can be claimed: now, after a retry, after
//!                               a claim's visibility
//!   claims, failed              the token of a claim, the number of failures
//!   delivery:<endpoint>:<id>    the message, its status, its attempts
//!        │ finish: delivered, retry → later, dead ▼
//!   log:<status>:<endpoint>     an endpoint's deliveries by the time of queueing
//!   health                      each endpoint's last success, and the start of its failures
//!   cooldown:…, command:…       cooldowns, and idempotent commands with their answers
//!   board                       the node status: the operator's requests, the owner's status, the report of orphans
//!   bytes, bytes-…              the bytes of each app or endpoint: alive, ended, in the outbox, queued, delivered
//!   unreadable                  keys of another type that scripts found; renamed ones are at <key>:unreadable
//! slot {app:<app>}
//!   name:<name>                 the room of a name, and the end of a reservation
//!   tokens                      the rate limit
//! slot {apps}
//!   records, endpoints ── version   the apps and endpoints created at run time, and the number of writes
//! slot {audit}
//!   operator, apps              the audit log: entries by the time of their request
//! ```
//!
//! Each mutation is one script, so it is atomic, and completes even if its caller goes away. Requests that are repeated
//! after a lost answer are recognized: a commit by its request id, leases and names by their owner, fan-out by the cursor,
//! the end of a claim by its token, cooldowns and commands by theirs. A claim whose answer was lost expires.
//!
//! In a cluster a slot can migrate while it is in use, key by key. Redis itself refuses a script with declared keys unless
//! all are on one server. A script that discovers further keys, or uses keys that it may have emptied, first checks whether
//! its slot is migrating, and does nothing if so: Redis would stop it half-way. The request is repeated until the migration
//! or the time is over.
//!
//! The commands are those of Redis 7.0, which Valkey shares. Scripts are used rather than functions, because a server that
//! lost them gets them again without a deployment.

mod address;
mod audit;
mod cluster;
mod commit;
mod connect;
mod connection;
mod deliveries;
mod entity;
mod health;
mod limits;
mod list;
mod list_position;
mod live;
mod message;
mod node;
mod node_status;
mod outbox;
mod outbox_read;
mod polls;
mod scripts;
mod sentinel;
mod usage;
mod values;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use uuid::Uuid;

use self::address::{StoreUrl, Topology};
pub use self::address::{check_url, uses_tls};
use self::cluster::Cluster;
use self::commit::fill_commit;
pub use self::connect::TlsConfig;
use self::connect::{Access, Target, Transport};
pub use self::connection::RedisOptions;
use self::connection::{Fault, Request, ServerConnection};
use self::health::{StoreHealth, has_code};
use self::outbox::Outboxes;
use self::scripts::{
    APPS_PUT, APPS_READ, COMMIT, LEASE_ACQUIRE, LEASE_RELEASE, NAME_CONFIRM, NAME_FREE,
    NAME_RESERVE, Script,
};
use self::sentinel::Sentinels;
use self::values::{Pairs, by_id, decode, millis, stored};
use super::deliveries::QueueLimits;
use super::{
    AppsWrite, Commit, CommitOutcome, EntityId, EntityKind, Lease, LeaseOutcome, ListEntry, ListOf,
    NameOutcome, NodeReader, OpenError, Record, Store, StoreError, StoredApps, ViewEntry, ViewId,
    ViewKind, keys, unreadable,
};
use crate::telemetry::WEBHOOK_LOST;
use roomkeeper_core::ids::{AppId, NodeId, RoomId, RoomName};
use roomkeeper_core::time::Timestamp;

/// The implementation of [`Store`] on Redis or Valkey.
pub struct RedisStore {
    route: Route,
    /// The connections to all servers, and the log of their outages.
    health: Arc<StoreHealth>,
    limits: QueueLimits,
    /// The cache of the outboxes, which the scripts verify.
    outboxes: Outboxes,
    /// The database: channels belong to the whole server.
    db: i64,
    /// Options for separate connections.
    options: RedisOptions,
}

/// The way to the server of a key.
enum Route {
    /// One server has all keys, until the sentinels name another.
    Server(ServerConnection),
    Cluster(Cluster),
}

impl Route {
    async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        match self {
            Self::Server(connection) => connection.send(request).await,
            // Boxed: a request to a single server needs less space than this future.
            Self::Cluster(cluster) => Box::pin(cluster.send(request)).await,
        }
    }

    /// Returns the server of this key, for a separate connection.
    async fn target_for(&self, key: &str) -> Result<Target, Fault> {
        match self {
            Self::Server(connection) => connection.target().await,
            Self::Cluster(cluster) => cluster.target_for(key).await,
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the URL nor the client is shown: both contain the password.
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl RedisStore {
    /// Creates the store at this `redis://`, `redis+sentinel://` or `redis+cluster://` URL, or at one of them with TLS.
    /// Does not connect, so Redis need not be reachable yet.
    ///
    /// # Errors
    ///
    /// Fails if the URL is invalid, or if only one of the URL and the options has TLS settings.
    pub fn connect(url: &str, options: &RedisOptions) -> Result<Self, OpenError> {
        let health = Arc::default();
        let mut db = 0;
        let StoreUrl { uses_tls, topology } = StoreUrl::parse(url)?;
        let transport = Transport::new(uses_tls, options.tls.as_ref())?;
        let access = |login| Access {
            transport: transport.clone(),
            login,
        };
        let route = match topology {
            Topology::Server { address, settings } => {
                db = settings.db();
                let target = access(settings).target(address);
                Route::Server(ServerConnection::to_server(target, options, &health))
            }
            Topology::Sentinel {
                sentinels,
                introduction,
                master,
                settings,
            } => {
                db = settings.db();
                let own = access(introduction);
                let sentinels = sentinels.into_iter().map(|at| own.target(at)).collect();
                let sentinels =
                    Sentinels::new(sentinels, master, access(settings), options.query_timeout());
                Route::Server(ServerConnection::to_master(sentinels, options, &health))
            }
            Topology::Cluster { nodes, settings } => {
                Route::Cluster(Cluster::new(nodes, access(settings), options, &health))
            }
        };
        Ok(Self {
            route,
            health,
            limits: QueueLimits::default(),
            outboxes: Outboxes::default(),
            db,
            options: options.clone(),
        })
    }

    /// Sets the limits of the queues.
    #[must_use]
    pub fn with_limits(self, limits: QueueLimits) -> Self {
        Self { limits, ..self }
    }

    async fn query<T: FromRedisValue>(&self, what: &str, command: &Cmd) -> Result<T, StoreError> {
        let value = self.route.send(Request::One(command)).await;
        decode(what, value)
    }

    async fn transaction<T: FromRedisValue>(
        &self,
        what: &str,
        commands: &Pipeline,
    ) -> Result<T, StoreError> {
        let value = self.route.send(Request::Atomic(commands)).await;
        decode(what, value)
    }

    /// Notes a view of another type, which a read of many views reports as absent.
    async fn note_view(&self, view: ViewId) -> Result<(), StoreError> {
        let key = keys::view(view);
        let mut command = redis::cmd("TYPE");
        command.arg(&key);
        let found: String = self.query(&key, &command).await?;
        if !matches!(found.as_str(), "none" | "string") {
            unreadable::note(&key, &format!("it is a {found}"));
        }
        Ok(())
    }

    /// Runs a script. `what` names its subject in errors; `fill` adds its keys, `keys` in number, and then its arguments.
    async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        what: &str,
        keys: usize,
        fill: impl Fn(&mut Cmd) + Send + Sync,
    ) -> Result<T, StoreError> {
        let command = |verb: &str, script: &str| {
            let mut command = redis::cmd(verb);
            command.arg(script).arg(keys);
            fill(&mut command);
            command
        };
        let value = self
            .route
            .send(Request::One(&command("EVALSHA", &script.sha)))
            .await;
        let value = match value {
            // A restarted server has lost the scripts; `EVAL` also loads the script again.
            Err(Fault::Answer(error)) if has_code(&error, "NOSCRIPT") => {
                self.route
                    .send(Request::One(&command("EVAL", script.code)))
                    .await
            }
            value => value,
        };
        decode(what, value)
    }
}

#[async_trait]
impl Store for RedisStore {
    fn connections(&self) -> u64 {
        self.health.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // Replicas and servers without free memory answer PING, so the test is a write.
        let mut command = redis::cmd("SET");
        command.arg(keys::ping()).arg("1").arg("PX").arg(10_000);
        self.query(&keys::ping(), &command).await
    }

    async fn acquire_lease(
        &self,
        node: NodeId,
        owner: Uuid,
        ttl: Duration,
    ) -> Result<LeaseOutcome, StoreError> {
        let key = keys::lease(node);
        let (ours, number): (bool, u64) = self
            .run(&LEASE_ACQUIRE, &key, 2, |command| {
                command
                    .arg(&key)
                    .arg(keys::epoch(node))
                    .arg(owner.to_string())
                    .arg(millis(ttl));
            })
            .await?;
        Ok(if ours {
            LeaseOutcome::Held(Lease {
                node,
                epoch: number,
                owner,
            })
        } else {
            LeaseOutcome::Other {
                remaining: Duration::from_millis(number),
            }
        })
    }

    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError> {
        let key = keys::lease(lease.node);
        self.run::<Value>(&LEASE_RELEASE, &key, 1, |command| {
            command
                .arg(&key)
                .arg(lease.epoch)
                .arg(lease.owner.to_string());
        })
        .await
        .map(drop)
    }

    async fn read(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        self.read_whole(entity).await
    }

    async fn read_head(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        self.read_head_of(entity).await
    }

    async fn read_node(&self, node: NodeId, reader: &mut dyn NodeReader) -> Result<(), StoreError> {
        self.read_all_of(node, reader).await
    }

    async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        commit.debug_check();
        let what = format!("commit to {}", commit.node);
        let (answer, last): (i64, u64) = self
            .run(&COMMIT, &what, 7 + 2 * commit.entities.len(), |command| {
                fill_commit(commit, self.limits, command);
            })
            .await?;
        match answer {
            0 => {
                if last > 0 {
                    self.outboxes
                        .add_committed(commit.node, last, &commit.outbox);
                }
                Ok(CommitOutcome::Applied)
            }
            -1 => Ok(CommitOutcome::LeaseLost),
            n @ ..-1 => {
                metrics::counter!(WEBHOOK_LOST).increment((n + 1).unsigned_abs());
                Ok(CommitOutcome::Applied)
            }
            n => usize::try_from(n - 1)
                .ok()
                .and_then(|index| commit.entities.get(index))
                .map(|write| CommitOutcome::Conflict(write.entity))
                .ok_or_else(|| StoreError::Corrupt {
                    key: what,
                    why: format!("the script answered {n}"),
                }),
        }
    }

    async fn due(
        &self,
        node: NodeId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let key = keys::deadlines(node);
        let mut command = redis::cmd("ZRANGE");
        command.arg(&key).arg("-inf").arg(now.as_micros());
        command.arg("BYSCORE").arg("LIMIT").arg(0).arg(limit);
        let ids: Vec<String> = self.query(&key, &command).await?;
        ids.iter().map(|id| stored(&key, id)).collect()
    }

    async fn list(
        &self,
        node: NodeId,
        kind: EntityKind,
        app: &AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError> {
        self.list_entities(node, kind, app, after, limit).await
    }

    async fn list_all(
        &self,
        node: NodeId,
        kind: EntityKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError> {
        self.list_entities_of_all(node, kind, after, limit).await
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
        if views.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for view in views {
            command.arg(keys::view(*view));
        }
        let bodies: Vec<Option<String>> = self.query(&keys::node_prefix(node), &command).await?;
        let bodies_by_view = views.iter().zip(&bodies);
        for (view, _) in bodies_by_view.filter(|(_, body)| body.is_none()) {
            self.note_view(*view).await?;
        }
        Ok(bodies)
    }

    async fn list_views(
        &self,
        node: NodeId,
        kind: ViewKind,
        of: ListOf<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, StoreError> {
        self.list_views_of(node, kind, of, after, limit).await
    }

    async fn reserve_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
        ttl: Duration,
    ) -> Result<NameOutcome, StoreError> {
        let key = keys::name(app, name);
        let (answer, holder): (u8, String) = self
            .run(&NAME_RESERVE, &key, 1, |command| {
                command.arg(&key).arg(room.to_string()).arg(millis(ttl));
            })
            .await?;
        let holder: RoomId = stored(&key, &holder)?;
        Ok(match answer {
            0 => NameOutcome::Reserved,
            1 => NameOutcome::Taken { room: holder },
            _ => NameOutcome::Pending { room: holder },
        })
    }

    async fn confirm_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
    ) -> Result<bool, StoreError> {
        let key = keys::name(app, name);
        self.run(&NAME_CONFIRM, &key, 1, |command| {
            command.arg(&key).arg(room.to_string());
        })
        .await
    }

    async fn free_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
    ) -> Result<(), StoreError> {
        let key = keys::name(app, name);
        self.run::<Value>(&NAME_FREE, &key, 1, |command| {
            command.arg(&key).arg(room.to_string());
        })
        .await
        .map(drop)
    }

    async fn read_apps(&self, known: Option<u64>) -> Result<Option<StoredApps>, StoreError> {
        let (apps, endpoints) = (keys::apps(), keys::endpoints());
        let (version, app_fields, endpoint_fields, noted): (u64, Pairs, Pairs, Pairs) = self
            .run(&APPS_READ, &apps, 3, |command| {
                command.arg(keys::apps_version()).arg(&apps).arg(&endpoints);
                match known {
                    Some(version) => command.arg(version),
                    None => command.arg(""),
                };
            })
            .await?;
        for (key, why) in &noted {
            unreadable::note(key, why);
        }
        let unreadable = noted.into_iter();
        let mut records = unreadable.filter(|(key, _)| [&apps, &endpoints].contains(&key));
        if let Some((key, why)) = records.next() {
            return Err(StoreError::Corrupt { key, why });
        }
        if known == Some(version) {
            return Ok(None);
        }
        Ok(Some(StoredApps {
            version,
            records: by_id(&apps, app_fields),
            endpoints: by_id(&endpoints, endpoint_fields),
        }))
    }

    async fn put_apps(&self, expected: u64, writes: &[AppsWrite<'_>]) -> Result<bool, StoreError> {
        let key = keys::apps();
        self.run(&APPS_PUT, &key, 3, |command| {
            command
                .arg(keys::apps_version())
                .arg(&key)
                .arg(keys::endpoints())
                .arg(expected);
            for write in writes {
                match write {
                    AppsWrite::App(id, record) => command
                        .arg(2)
                        .arg(id.as_str())
                        .arg(record.unwrap_or_default()),
                    AppsWrite::Endpoint(id, record) => command
                        .arg(3)
                        .arg(id.as_str())
                        .arg(record.unwrap_or_default()),
                };
            }
        })
        .await
    }
}
