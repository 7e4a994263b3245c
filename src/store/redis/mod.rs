//! The store on Redis: what several controllers share, and what outlives them.
//!
//! Owns the scripts. Leaves out the keys ([`keys`]), the connection (`link`; `sentinel` knows the master, `cluster` whose a
//! slot is, `address` what a URL says, `connect` opens sockets), how records are read (`reading`; `bulk`, when there
//! are many), the way to the receivers (`deliveries`), what is known of the outboxes without asking (`outbox`), what can
//! be listened to (`live`), what is looked at again and again (`looks`) and what the records mean. Driven by everything
//! that holds a [`Store`].
//!
//! # Structure
//!
//! ```text
//! slot {<node>}
//!   lease ── epoch              who may write as the node's reconciler
//!   entity:<id>, parts:<id>     one room or call: version, last requests, fields; its many parts
//!   live, deadlines, list:…     which entities there are, by id, by deadline, by app
//!   view:<id>, views:…          what can be read of a stay or a recording; by app and by room, while they live and after
//!   views-over                  when those that are over leave the lists; their bodies expire by themselves
//!   outbox ←─ cursor            the stream every commit appends to, and how far it has been handed over; event streams
//!        │                      read it from positions of their own
//!        │                      outbox:last, the newest position there ever was: positions go on also when the stream is
//!        │                      deleted; outbox:aside, for a day: what was no outbox
//!        │ fan_out (cursor moves and queues grow in one step, or neither)
//!        ▼
//!   queue:<endpoint>:<scope>    one list of ids for each receiver and room or call: order within, none between
//!   due                         the receivers, each with its app, by when the first of their queues is due
//!   due:<endpoint>              its queues, by when the head of each may be claimed: now, after a retry, after a claim's
//!                               visibility
//!   claims, failed              whose claim it is, how often it failed
//!   delivery:<endpoint>:<id>    what is sent, what became of it, its attempts
//!        │ finish: delivered, retry → later, dead ▼
//!   log:<status>:<endpoint>     which deliveries a receiver has, by when they were queued
//!   health                      when each receiver last took something, since when it has been failing
//!   cooldown:…, command:…       what was asked just now, and what was answered
//!   board                       what the operator wants of the node, how it stands, what belongs to nothing there
//!   bytes, bytes-…              how many bytes each app or receiver has: alive, ended, in the outbox, queued, delivered
//!   unreadable                  keys of another type that scripts came upon; what was moved aside is at <key>:unreadable
//! slot {app:<app>}
//!   name:<name>                 whose a name is, and until when if it is only reserved
//!   tokens                      how fast it may ask
//! slot {apps}
//!   records, endpoints ── version   the apps and receivers made at run time, and how often one was written
//! ```
//!
//! Each mutation is one script, so it is done whole or not at all, and none is undone by its caller going away. What
//! may be sent twice because an answer was lost is recognised: a commit by its request id, leases and names by their
//! owner, fan-out by the cursor, the end of a claim by its token, cooldowns and commands by theirs. A claim that nobody
//! heard of runs out.
//!
//! In a cluster a slot can be moved while it is in use, key by key. A script whose keys are all known beforehand is then
//! refused by Redis itself unless they are all in one place. A script that finds out what else it touches, or that touches
//! what it may have emptied, asks first whether its slot is being moved, and does nothing if so: Redis would break it off
//! half-way. It is then asked again until the slot has been moved, or the time is over.
//!
//! Commands are those of Redis 7.0, which Valkey shares. Scripts rather than functions, because a server that lost
//! them is handed them again without anyone deploying anything.

mod address;
mod board;
mod bulk;
mod cluster;
mod connect;
mod deliveries;
mod link;
mod live;
mod looks;
mod outbox;
mod reading;
mod sentinel;
mod usage;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use redis::{Cmd, FromRedisValue, Pipeline, Value};
use uuid::Uuid;

use self::address::{Place, StoreUrl};
pub use self::address::{check_url, uses_tls};
use self::cluster::Cluster;
pub use self::connect::TlsConfig;
use self::connect::{Access, Target, Transport};
pub use self::link::RedisOptions;
use self::link::{Fault, Link, Request, says};
use self::outbox::Outboxes;
use self::reading::entity_at;
use self::sentinel::Sentinels;
use super::apps::{AppsWrite, StoredApps};
use super::deliveries::QueueLimits;
use super::gate::{Command, CommandAnswer, CommandStart, Cooldown, Rate, Tokens};
use super::{
    Commit, CommitOutcome, EntityId, EntityKind, Lease, LeaseOutcome, Life, ListEntry, ListOf,
    NameOutcome, NodeReader, OpenError, REMEMBERED_REQUESTS, Record, Store, StoreError, ViewEntry,
    ViewId, ViewKind, ViewWrite, keys, packed, position_of, unreadable,
};
use crate::ids::{AppId, MemberId, NodeId, RecordingId, RoomId, RoomName};
use crate::telemetry::WEBHOOK_LOST;
use crate::time::Timestamp;

/// How many views that are over a commit takes off the lists beside as many as it ends. What has become due while no
/// commit ended any is made up for by so many each time.
const SWEPT: usize = 64;

/// How many rows of a list of views are looked at in one go, at least and at most. Those that are over are passed over,
/// so it can take several, and few rows must not take many.
const LIST_BATCH: std::ops::RangeInclusive<usize> = 64..=1000;

/// The implementation of [`Store`] on Redis or Valkey.
pub struct RedisStore {
    route: Route,
    /// How many connections there were.
    made: Arc<AtomicU64>,
    limits: QueueLimits,
    /// What is known of them without asking: a guess, which is checked.
    outboxes: Outboxes,
    /// The database: channels are those of the whole server.
    db: i64,
    /// For connections of their own.
    options: RedisOptions,
}

/// The way to the server that has the keys.
enum Route {
    /// One server has all of them, for ever or until the sentinels name another.
    Link(Link),
    Cluster(Cluster),
}

impl Route {
    async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        match self {
            Self::Link(link) => link.send(request).await,
            // Apart: it needs more room than the one server, which is not to be made for each call there.
            Self::Cluster(cluster) => Box::pin(cluster.send(request)).await,
        }
    }

    /// The server that has this key, for a connection of its own.
    async fn place(&self, key: &str) -> Result<Target, Fault> {
        match self {
            Self::Link(link) => link.place().await,
            Self::Cluster(cluster) => cluster.place(key).await,
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the URL nor the client: both carry the password.
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl RedisStore {
    /// The store at this `redis://`, `redis+sentinel://` or `redis+cluster://` URL, or at one of them with TLS. Does not
    /// connect, so it does not fail when Redis is not there yet.
    ///
    /// # Errors
    ///
    /// When the URL is not one, or when it has TLS and the options have no TLS settings, or the reverse.
    pub fn connect(url: &str, options: &RedisOptions) -> Result<Self, OpenError> {
        let made = Arc::default();
        let mut db = 0;
        let StoreUrl { uses_tls, place } = StoreUrl::parse(url)?;
        let transport = Transport::new(uses_tls, options.tls.as_ref())?;
        let access = |login| Access {
            transport: transport.clone(),
            login,
        };
        let route = match place {
            Place::Server { address, settings } => {
                db = settings.db();
                let target = access(settings).target(address);
                Route::Link(Link::to_server(target, options, &made))
            }
            Place::Sentinel {
                sentinels,
                introduction,
                master,
                settings,
            } => {
                db = settings.db();
                let own = access(introduction);
                let sentinels = sentinels.into_iter().map(|at| own.target(at)).collect();
                let sentinels =
                    Sentinels::new(sentinels, master, access(settings), options.patience());
                Route::Link(Link::to_master(sentinels, options, &made))
            }
            Place::Cluster { nodes, settings } => {
                Route::Cluster(Cluster::new(nodes, access(settings), options, &made))
            }
        };
        Ok(Self {
            route,
            made,
            limits: QueueLimits::default(),
            outboxes: Outboxes::default(),
            db,
            options: options.clone(),
        })
    }

    /// The same, with these bounds.
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

    /// Notes a view that is not absent but has another type, which a read of many does not tell apart.
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

    /// Runs a script; `what` it is about names it in errors, and `fill` adds its keys, of which there are `keys`, and
    /// then its arguments.
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
            // A server that was restarted has forgotten the scripts; this also tells it again.
            Err(Fault::Answer(error)) if says(&error, "NOSCRIPT") => {
                self.route
                    .send(Request::One(&command("EVAL", script.code)))
                    .await
            }
            value => value,
        };
        decode(what, value)
    }
}

/// A script and the name Redis has for it.
struct Script {
    code: &'static str,
    sha: String,
}

impl Script {
    fn new(code: &'static str) -> Self {
        Self {
            code,
            sha: redis::Script::new(code).get_hash().to_owned(),
        }
    }
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+),* $(,)?) => {
        $(static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("../scripts/", $file))),+))
        });)*
    };
}

scripts! {
    APPS_PUT = "apps_put.lua",
    APPS_READ = "foreign.lua" "apps_read.lua",
    BACKLOG = "slot.lua" "foreign.lua" "outbox.lua" "backlog.lua",
    CLAIM = "slot.lua" "foreign.lua" "due.lua" "claim.lua",
    COMMAND_BEGIN = "command_begin.lua",
    COMMAND_FINISH = "command_finish.lua",
    COMMAND_FORGET = "command_forget.lua",
    COMMIT = "slot.lua" "foreign.lua" "rope.lua" "bytes.lua" "outbox.lua" "commit.lua",
    COOLDOWN_REFUND = "foreign.lua" "cooldown_refund.lua",
    COOLDOWN_TAKE = "foreign.lua" "cooldown_take.lua",
    DELIVERIES_LIST = "slot.lua" "foreign.lua" "deliveries_list.lua",
    FAN_OUT = "slot.lua" "foreign.lua" "due.lua" "delivery_bytes.lua" "fan_out.lua",
    FINISH = "slot.lua" "foreign.lua" "due.lua" "delivery_bytes.lua" "finish.lua",
    FORGET_ENDPOINT = "slot.lua" "foreign.lua" "delivery_bytes.lua" "forget_endpoint.lua",
    HEALTH = "slot.lua" "foreign.lua" "health.lua",
    LEASE_ACQUIRE = "foreign.lua" "lease_acquire.lua",
    LEASE_RELEASE = "foreign.lua" "lease_release.lua",
    LIST = "slot.lua" "foreign.lua" "rope.lua" "list.lua",
    LIVE = "slot.lua" "foreign.lua" "live.lua",
    NAME_CONFIRM = "name_confirm.lua",
    NAME_FREE = "name_free.lua",
    NAME_RESERVE = "name_reserve.lua",
    NOTICE = "foreign.lua" "notice.lua",
    OUTBOX_AFTER = "slot.lua" "foreign.lua" "outbox.lua" "outbox_after.lua",
    OUTBOX_MEND = "slot.lua" "foreign.lua" "due.lua" "outbox.lua" "outbox_mend.lua",
    OUTBOX_NOTE = "foreign.lua" "outbox.lua" "outbox_note.lua",
    RECOUNT = "foreign.lua" "recount.lua",
    RECOVER = "slot.lua" "foreign.lua" "due.lua" "recover.lua",
    REDELIVER = "slot.lua" "foreign.lua" "due.lua" "delivery_bytes.lua" "redeliver.lua",
    TOKENS_TAKE = "foreign.lua" "tokens_take.lua",
    USAGE = "foreign.lua" "usage.lua",
    VIEWS_LIST = "slot.lua" "foreign.lua" "rope.lua" "views_list.lua",
}

/// How often an entity was written.
const VERSION: &str = "#v";

/// What an entity that has ended notes of itself.
const ENDED: &str = "#e";

/// What stands before the name of a field of a head: what the scripts note of an entity has names of its own.
const HEAD: char = 'h';

/// A field of a head, as its hash has it.
fn head_field(name: &str) -> String {
    format!("{HEAD}{name}")
}

/// A hash as Redis answers it.
type Pairs = Vec<(String, String)>;

fn decode<T: FromRedisValue>(what: &str, value: Result<Value, Fault>) -> Result<T, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt {
        key: what.to_owned(),
        why,
    };
    match value {
        Ok(value) => redis::from_redis_value(value).map_err(|error| corrupt(error.to_string())),
        // Someone else's value under our key does not get better by asking again.
        Err(Fault::Answer(error)) if says(&error, "WRONGTYPE") => Err(corrupt(error.to_string())),
        Err(fault) => Err(fault.into()),
    }
}

fn stored<T>(key: &str, text: &str) -> Result<T, StoreError>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    text.parse().map_err(|error: T::Err| StoreError::Corrupt {
        key: key.to_owned(),
        why: format!("{text:?}: {error}"),
    })
}

/// A value that may be unreadable: then it is noted, and left out.
fn readable<T>(value: Result<T, StoreError>) -> Option<T> {
    value.inspect_err(unreadable::note_error).ok()
}

/// A hash of records, in the order of their ids. An unreadable id costs the others nothing.
fn by_id<T>(key: &str, fields: Pairs) -> Vec<(T, String)>
where
    T: std::str::FromStr + Ord,
    T::Err: fmt::Display,
{
    let records = fields.into_iter();
    let records =
        records.filter_map(|(id, record)| Some((readable(stored::<T>(key, &id))?, record)));
    let mut records: Vec<_> = records.collect();
    records.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    records
}

fn millis(duration: Duration) -> u64 {
    // Lua counts in doubles; ten thousand years are more than any duration here means.
    const MOST: u64 = 1 << 48;
    u64::try_from(duration.as_millis()).map_or(MOST, |ms| ms.min(MOST))
}

/// Adds a commit's keys and arguments, as `commit.lua` lists them.
fn fill_commit(commit: &Commit, limits: QueueLimits, command: &mut Cmd) {
    let node = commit.node;
    command
        .arg(keys::lease(node))
        .arg(keys::lists(node))
        .arg(keys::deadlines(node))
        .arg(keys::outbox(node))
        .arg(keys::views_over(node))
        .arg(keys::cursor(node))
        .arg(keys::health(node));
    for write in &commit.entities {
        command
            .arg(keys::entity(write.entity))
            .arg(keys::parts(write.entity));
    }
    command.arg(request_note(commit.request));
    match commit.lease {
        Some(lease) => command.arg(lease.epoch).arg(lease.owner.to_string()),
        None => command.arg("").arg(""),
    };
    command
        .arg(commit.entities.len())
        .arg(commit.outbox.len())
        .arg(REMEMBERED_REQUESTS * REQUEST_DIGITS)
        .arg(commit.views.len())
        .arg(keys::view_list_prefix(node))
        .arg(SWEPT)
        .arg(limits.pending);
    for write in &commit.entities {
        let removed = write.parts.iter().filter(|(_, v)| v.is_none()).count();
        command.arg(write.entity.to_string()).arg(write.expected.0);
        match write.deadline {
            Some(deadline) => command.arg(deadline.as_micros()),
            None => command.arg(""),
        };
        match write.life {
            Life::Live => command.arg(""),
            Life::Ended { keep } => command.arg(millis(keep)),
        };
        let (app, since) = match &write.listed {
            Some(listing) => (listing.app.as_str(), Some(listing.created_at)),
            None => ("", None),
        };
        command
            .arg(keys::list_prefix(node, write.entity.kind()))
            .arg(app)
            .arg(keys::place(since, write.entity.uuid()));
        command
            .arg(write.head.len())
            .arg(write.parts.len() - removed)
            .arg(removed);
        for (field, value) in &write.head {
            command.arg(head_field(field)).arg(value);
        }
        for (part, value) in &write.parts {
            if let Some(value) = value {
                command.arg(part).arg(value);
            }
        }
        for (part, value) in &write.parts {
            if value.is_none() {
                command.arg(part);
            }
        }
    }
    for message in &commit.outbox {
        command
            .arg(&message.id)
            .arg(message.app.as_str())
            .arg(message.scope.to_string())
            .arg(message.sequence)
            .arg(&message.event)
            .arg(&message.body);
    }
    for write in &commit.views {
        fill_view(write, command);
    }
}

fn fill_view(write: &ViewWrite, command: &mut Cmd) {
    let kind = write.view.kind();
    match write.view {
        ViewId::Conference(_) => command.arg("").arg(""),
        ViewId::Call(_) | ViewId::Recording(_) => {
            command.arg(keys::view(write.view)).arg(&write.body)
        }
    };
    match write.keep {
        Some(keep) => command.arg(millis(keep).max(1)),
        None => command.arg(""),
    };
    let (of_app, of_room) = write.lists();
    let of_app = keys::view_list_name(kind, of_app);
    let of_room = of_room.map_or_else(String::new, |of| keys::view_list_name(kind, of));
    let place = keys::place(Some(write.listing.created_at), write.view.uuid());
    let note = keys::view_note(&of_app, &of_room, &place);
    command.arg(of_app).arg(of_room).arg(place).arg(note);
}

/// So many digits of a request's id are remembered: 72 bits, which no two requests of one entity have in common, and so few
/// that what is remembered is a small value to Redis.
const REQUEST_DIGITS: usize = 12;

fn request_note(request: Uuid) -> String {
    let mut text = String::new();
    packed::push_uuid(&mut text, request);
    // What is random in it comes last.
    text.split_off(packed::UUID_DIGITS - REQUEST_DIGITS)
}

fn since_and_uuid(place: &str) -> Option<(Timestamp, Uuid)> {
    let (since, uuid) = place.split_at_checked(keys::SINCE_DIGITS)?;
    let since = Timestamp::from_millis(packed::read_padded(since)?);
    Some((since, packed::read_uuid(uuid)?))
}

fn view_at(node: NodeId, kind: ViewKind, place: &str) -> Option<(Timestamp, ViewId)> {
    let (since, uuid) = since_and_uuid(place)?;
    let view = match kind {
        ViewKind::Conference => ViewId::Conference(RoomId::new(node, uuid)),
        ViewKind::Call => ViewId::Call(MemberId::of(uuid)?),
        ViewKind::Recording => ViewId::Recording(RecordingId::of(uuid)?),
    };
    (view.node() == node).then_some((since, view))
}

fn no_place(list: &str, place: &str) -> StoreError {
    StoreError::Corrupt {
        key: list.to_owned(),
        why: format!("{place:?} is no place in a list"),
    }
}

/// Where a list goes on after this position, which can be another node's: as BYLEX takes it.
fn beyond(node: NodeId, key: &str, after: Option<&str>) -> Result<String, StoreError> {
    let Some(position) = after else {
        return Ok("-".to_owned());
    };
    let parts = position.split_once(':').and_then(|(since, id)| {
        let since = since.parse().ok()?;
        // Ids of entities begin with the node and are in that order first; those of most views are UUIDs and no more.
        let (of, uuid) = match id.parse::<ViewId>() {
            Ok(ViewId::Conference(room)) => (room.node(), room.uuid()),
            Ok(view @ (ViewId::Call(_) | ViewId::Recording(_))) => (node, view.uuid()),
            Err(_) => {
                let entity: EntityId = id.parse().ok()?;
                (entity.node(), entity.uuid())
            }
        };
        Some((Timestamp::from_millis(since), of, uuid))
    });
    let (since, of, uuid) = parts.ok_or_else(|| no_place(key, position))?;
    Ok(match of.cmp(&node) {
        std::cmp::Ordering::Less => format!("[{}", keys::place(Some(since), Uuid::nil())),
        std::cmp::Ordering::Equal => format!("({}", keys::place(Some(since), uuid)),
        std::cmp::Ordering::Greater => format!("({}", keys::place(Some(since), Uuid::max())),
    })
}

#[async_trait]
impl Store for RedisStore {
    fn connections(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        // PING is answered by a replica and by a server that is out of memory; a write is what has to work.
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
                    self.outboxes.grew(commit.node, last, &commit.outbox);
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
        let key = keys::list(node, kind, app);
        let from = beyond(node, &key, after)?;
        let places: Vec<String> = self
            .run(&LIST, &key, 1, |command| {
                command.arg(&key).arg(&from).arg(limit);
            })
            .await?;
        let entries = places.into_iter().filter_map(|place| {
            let entity = entity_at(node, kind, &place);
            let found = entity.zip(since_and_uuid(&place));
            let (entity, (since, _)) = readable(found.ok_or_else(|| no_place(&key, &place)))?;
            let position = position_of(since, &entity);
            Some(ListEntry { entity, position })
        });
        Ok(entries.collect())
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
        if views.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for view in views {
            command.arg(keys::view(*view));
        }
        let bodies: Vec<Option<String>> = self.query(&keys::node_prefix(node), &command).await?;
        let absent = views.iter().zip(&bodies);
        for (view, _) in absent.filter(|(_, body)| body.is_none()) {
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
        let key = keys::view_list(node, kind, of);
        // How the script tells what is over: by the body that is gone, or, where there is none, by the note.
        let (bodies, notes) = match kind {
            ViewKind::Conference => {
                let name = keys::view_list_name(kind, of);
                (String::new(), keys::view_note(&name, "", ""))
            }
            ViewKind::Call | ViewKind::Recording => (keys::view_prefix(node, kind), String::new()),
        };
        let mut entries = Vec::new();
        let mut from = beyond(node, &key, after)?;
        let in_pieces = matches!(of, ListOf::App(_));
        while entries.len() < limit {
            let wanted = limit - entries.len();
            let look_at = wanted.clamp(*LIST_BATCH.start(), *LIST_BATCH.end());
            let (last, places): (String, Vec<String>) = self
                .run(&VIEWS_LIST, &key, 2, |command| {
                    command.arg(&key).arg(keys::views_over(node));
                    command.arg(&from).arg(wanted).arg(look_at);
                    command.arg(&bodies).arg(&notes).arg(u8::from(in_pieces));
                })
                .await?;
            for place in places {
                let found = view_at(node, kind, &place).ok_or_else(|| no_place(&key, &place));
                if let Some((since, view)) = readable(found) {
                    let position = position_of(since, &view);
                    entries.push(ViewEntry { view, position });
                }
            }
            if last.is_empty() {
                break;
            }
            from = format!("({last}");
        }
        Ok(entries)
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
                    AppsWrite::App(id, record) => command.arg(2).arg(id.as_str()).arg(record),
                    AppsWrite::Endpoint(id, record) => command
                        .arg(3)
                        .arg(id.as_str())
                        .arg(record.unwrap_or_default()),
                };
            }
        })
        .await
    }

    async fn take_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
        window: Duration,
    ) -> Result<Cooldown, StoreError> {
        let key = keys::cooldown(about, group);
        let answer: i64 = self
            .run(&COOLDOWN_TAKE, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(holder.to_string())
                    .arg(millis(window).max(1));
            })
            .await?;
        Ok(match u64::try_from(answer) {
            Ok(left) => Cooldown::Wait {
                remaining: Duration::from_millis(left),
            },
            Err(_) => Cooldown::Taken,
        })
    }

    async fn refund_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
    ) -> Result<(), StoreError> {
        let key = keys::cooldown(about, group);
        self.run::<Value>(&COOLDOWN_REFUND, &key, 1, |command| {
            command.arg(&key).arg(holder.to_string());
        })
        .await
        .map(drop)
    }

    async fn begin_command(
        &self,
        command: &Command,
        hold: Duration,
    ) -> Result<CommandStart, StoreError> {
        let key = keys::command(command.about, &command.uid);
        let (answer, status, body): (u8, u16, String) = self
            .run(&COMMAND_BEGIN, &key, 1, |cmd| {
                cmd.arg(&key)
                    .arg(&command.fingerprint)
                    .arg(command.token.to_string())
                    .arg(millis(hold).max(1));
            })
            .await?;
        Ok(match answer {
            0 => CommandStart::First,
            1 => CommandStart::Replay(CommandAnswer { status, body }),
            2 => CommandStart::Pending,
            _ => CommandStart::Different,
        })
    }

    async fn finish_command(
        &self,
        command: &Command,
        answer: &CommandAnswer,
        keep: Duration,
    ) -> Result<bool, StoreError> {
        let key = keys::command(command.about, &command.uid);
        self.run(&COMMAND_FINISH, &key, 1, |cmd| {
            cmd.arg(&key)
                .arg(&command.fingerprint)
                .arg(command.token.to_string())
                .arg(answer.status)
                .arg(&answer.body)
                .arg(millis(keep).max(1));
        })
        .await
    }

    async fn forget_command(&self, command: &Command) -> Result<(), StoreError> {
        let key = keys::command(command.about, &command.uid);
        self.run::<Value>(&COMMAND_FORGET, &key, 1, |cmd| {
            cmd.arg(&key).arg(command.token.to_string());
        })
        .await
        .map(drop)
    }

    async fn take_tokens(&self, app: &AppId, rate: Rate, want: u32) -> Result<Tokens, StoreError> {
        let key = keys::tokens(app);
        let every = u64::try_from(rate.every.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let (granted, wait): (u32, u64) = self
            .run(&TOKENS_TAKE, &key, 1, |command| {
                command
                    .arg(&key)
                    .arg(every)
                    .arg(rate.burst.max(1))
                    .arg(want);
            })
            .await?;
        Ok(match granted {
            0 => Tokens::Wait(Duration::from_micros(wait)),
            n => Tokens::Granted(n),
        })
    }
}
