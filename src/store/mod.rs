//! Where state lives between two events: one trait, two implementations, one suite of contract tests.
//!
//! Owns the words of storage: records, versions, leases, the outbox and the delivery queues. Leaves out what
//! a record means (the records are translated beside it, the pure core decides) and when to write (the reconciler's).
//!
//! # Layout
//!
//! Everything of a node is in one slot, `{<node id>}`, so that one script can check the lease and the
//! versions it writes under, change rooms and calls, and append the events that tell of it. The names an app
//! has given its rooms are in the app's slot: reserved before a room is committed, confirmed after, and whoever
//! finds a reservation or a name without its room frees it ([`NameOutcome`]).
//!
//! The apps made at run time are in a slot of their own, under one version ([`apps`]): they change rarely, and no two
//! may have the same number, so each change is decided on all of them.
//!
//! A room or a call is an *entity*: a version, a small *head* of named fields, and *parts* that can be many
//! (a room's members). A commit names only the fields that changed, so its cost does not grow with the room.
//!
//! A *view* is what can be read of a stay or of a recording, also after it is over: one text under an id, and a place in
//! the lists of its app and of its room. It has no version, because it is only written together with its room, whose
//! version is checked. There can be many of them, so there is nothing else to it.

pub mod apps;
pub mod board;
pub mod call;
pub mod deliveries;
pub mod endpoints;
mod fields;
pub mod gate;
pub mod live;
pub mod looks;
mod member;
pub mod packed;
pub mod record;
pub mod unreadable;
pub mod usage;
pub mod view;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use crate::ids::{AppId, InvalidId, MemberId, NodeId, RecordingId, RoomId, RoomName, SessionId};
use crate::time::Timestamp;

pub mod keys;
pub mod memory;
pub mod redis;

use self::apps::{AppsWrite, StoredApps};
use self::board::Boards;
use self::deliveries::{Deliveries, QueueLimits};
pub use self::fields::{Fields, Hashes, Named};
use self::gate::{Command, CommandAnswer, CommandStart, Cooldown, Rate, Tokens};
use self::live::Live;
use self::looks::Looks;
use self::memory::MemoryStore;
use self::redis::{RedisOptions, RedisStore};
use self::usage::Usage;

/// How many request ids each entity remembers, the latest first. A commit whose answer was lost is sent again within
/// seconds; so many writes of others may come between the two and it is still recognised.
pub const REMEMBERED_REQUESTS: usize = 5;

/// What is stored under a version of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EntityId {
    /// A room and its members.
    Room(RoomId),
    /// A call.
    Session(SessionId),
}

impl EntityId {
    /// The node whose slot the entity is in.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Room(id) => id.node(),
            Self::Session(id) => id.node(),
        }
    }

    /// What is of itself in its id, the node apart.
    pub const fn uuid(&self) -> Uuid {
        match self {
            Self::Room(id) => id.uuid(),
            Self::Session(id) => id.channel().uuid(),
        }
    }

    /// Which kind of entity this is.
    pub const fn kind(&self) -> EntityKind {
        match self {
            Self::Room(_) => EntityKind::Room,
            Self::Session(_) => EntityKind::Session,
        }
    }
}

/// As the id of which kind it is: a room and a call hardly ever have the same UUID.
impl Hash for EntityId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Room(id) => id.hash(state),
            Self::Session(id) => id.hash(state),
        }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
        }
    }
}

impl FromStr for EntityId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // The two forms exclude each other: no uuid begins with `room-`.
        match text.parse() {
            Ok(room) => Ok(Self::Room(room)),
            Err(_) => text.parse().map(Self::Session),
        }
    }
}

/// The kinds of entity, for the lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntityKind {
    /// [`EntityId::Room`].
    Room,
    /// [`EntityId::Session`].
    Session,
}

/// What can be read under an id of its own, also after it is over.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ViewId {
    /// A room. It is only listed: what there is to read of it is its entity.
    Conference(RoomId),
    /// A stay of a call in a room.
    Call(MemberId),
    /// A recording of a room.
    Recording(RecordingId),
}

impl ViewId {
    /// The node whose slot the view is in.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Conference(id) => id.node(),
            Self::Call(id) => id.node(),
            Self::Recording(id) => id.node(),
        }
    }

    /// What is of itself in its id, the node apart.
    pub const fn uuid(&self) -> Uuid {
        match self {
            Self::Conference(id) => id.uuid(),
            Self::Call(id) => id.uuid(),
            Self::Recording(id) => id.uuid(),
        }
    }

    /// Which kind of view this is.
    pub const fn kind(&self) -> ViewKind {
        match self {
            Self::Conference(_) => ViewKind::Conference,
            Self::Call(_) => ViewKind::Call,
            Self::Recording(_) => ViewKind::Recording,
        }
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conference(id) => id.fmt(f),
            Self::Call(id) => write!(f, "call-{id}"),
            Self::Recording(id) => write!(f, "recording-{id}"),
        }
    }
}

impl FromStr for ViewId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // The forms exclude each other: a room's begins with a node's five characters and `-room-`.
        if let Some(call) = text.strip_prefix("call-") {
            call.parse().map(Self::Call)
        } else if let Some(recording) = text.strip_prefix("recording-") {
            recording.parse().map(Self::Recording)
        } else {
            text.parse().map(Self::Conference)
        }
    }
}

/// The kinds of view, for the lists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ViewKind {
    /// [`ViewId::Conference`].
    Conference,
    /// [`ViewId::Call`].
    Call,
    /// [`ViewId::Recording`].
    Recording,
}

/// How often an entity was written; 0 means that it does not exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version(pub u64);

impl Version {
    /// The version of what does not exist.
    pub const ABSENT: Self = Self(0);

    /// The version after one more write.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// An entity as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Its version, never [`Version::ABSENT`].
    pub version: Version,
    /// The small fields.
    pub head: Fields,
    /// The many fields; empty when only the head was asked for.
    pub parts: Fields,
}

impl Record {
    /// What lies there, for longer.
    pub fn of(version: Version, stored: &Hashes<'_>) -> Self {
        Self {
            version,
            head: Fields::of(stored.head.iter()),
            parts: Fields::of(stored.parts.iter()),
        }
    }
}

impl<'a> From<&'a Record> for Hashes<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            head: (&record.head).into(),
            parts: (&record.parts).into(),
        }
    }
}

/// Takes in what is stored of a node, one entity after the other, where it lies: a restart reads a fleet, and what was
/// copied before it is believed would be as large as what is believed.
pub trait NodeReader: Send {
    /// So many are on the lists of the living, and are about to be handed over.
    fn expect(&mut self, rooms: usize, calls: usize);

    /// One that lives, with its parts.
    fn entity(&mut self, id: EntityId, version: Version, stored: Hashes<'_>);

    /// One that is on a list of the living and is not readable: which, unless that is what is not, and why. It must not cost
    /// the others.
    fn unreadable(&mut self, id: Option<EntityId>, error: StoreError);
}

/// Who reconciles a node. `owner` is random for each run of the program, so that a lease cannot be taken for
/// that of an earlier run; `epoch` grows whenever the lease changes hands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The node.
    pub node: NodeId,
    /// Grows by one with every change of owner, also when an owner takes a lease anew that it had let go or let expire,
    /// and outlives the lease.
    pub epoch: u64,
    /// This run of the program.
    pub owner: Uuid,
}

/// What came of asking for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseOutcome {
    /// It is ours, newly or still.
    Held(Lease),
    /// It is another's for at least this long, unless it is renewed.
    Other {
        /// Time left on the store's clock.
        remaining: Duration,
    },
}

/// Changes to one entity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityWrite {
    /// Which one.
    pub entity: EntityId,
    /// The version these changes were computed from; [`Version::ABSENT`] creates it.
    pub expected: Version,
    /// Head fields to set; the others stay.
    pub head: Vec<(String, String)>,
    /// Parts to set, or with `None` to remove; the others stay.
    pub parts: Vec<(String, Option<String>)>,
    /// When the entity next wants to be looked at; `None` takes it off the list of deadlines.
    pub deadline: Option<Timestamp>,
    /// Whether it lives on, or ends here.
    pub life: Life,
    /// Under which app, and since when, the lists show it. Said once, when it is created; `None` then leaves it out of
    /// them, and later says nothing new.
    pub listed: Option<Listing>,
}

/// Where the lists show an entity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Whose it is.
    pub app: AppId,
    /// Lists are in this order, then by id.
    pub created_at: Timestamp,
}

impl Listing {
    /// Where the lists show `entity`: [`ListEntry::position`].
    pub fn position(&self, entity: EntityId) -> String {
        position_of(self.created_at, &entity)
    }
}

/// Where the lists show what is of this id since then.
fn position_of(since: Timestamp, id: &dyn fmt::Display) -> String {
    format!("{:014}:{id}", since.as_millis())
}

/// A view as it is from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewWrite {
    /// Which one.
    pub view: ViewId,
    /// What is read of it, opaque to the store. Empty for [`ViewId::Conference`], and not stored.
    pub body: String,
    /// Where the lists show it: the same at every write.
    pub listing: Listing,
    /// The room it is of, which the same commit writes. The same at every write. Calls and recordings are listed by it,
    /// too.
    pub room: RoomId,
    /// `None` while it lives. `Some`: it is over, and still readable and listed for this long on the store's clock.
    pub keep: Option<Duration>,
}

impl ViewWrite {
    /// Where the lists show it: [`ViewEntry::position`].
    pub fn position(&self) -> String {
        position_of(self.listing.created_at, &self.view)
    }

    /// The lists that show it: its app's, and its room's unless it is the room.
    fn lists(&self) -> (ListOf<'_>, Option<ListOf<'_>>) {
        let of_room = match self.view {
            ViewId::Conference(_) => None,
            ViewId::Call(_) | ViewId::Recording(_) => Some(ListOf::Room(self.room)),
        };
        (ListOf::App(&self.listing.app), of_room)
    }
}

/// Whose views a list shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListOf<'a> {
    /// An app's.
    App(&'a AppId),
    /// A room's: its calls, or its recordings.
    Room(RoomId),
}

/// Whether an entity lives on after a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It is one of the node's entities.
    Live,
    /// It is over: off every list at once, still readable by its id for this long, and no longer than this known to
    /// have been written: keep it longer than anyone repeats a request.
    Ended {
        /// How long, on the store's clock.
        keep: Duration,
    },
}

/// The order in which a receiver must see events: by room or by call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Everything named `conference.*`.
    Room(RoomId),
    /// Everything named `call.*`.
    Session(SessionId),
    /// Everything named `webhook.*`: of no room and no call.
    Webhooks,
}

/// How [`Scope::Webhooks`] is written.
const WEBHOOKS: &str = "webhooks";

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(id) => id.fmt(f),
            Self::Session(id) => id.fmt(f),
            Self::Webhooks => f.write_str(WEBHOOKS),
        }
    }
}

impl FromStr for Scope {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == WEBHOOKS {
            return Ok(Self::Webhooks);
        }
        Ok(match text.parse()? {
            EntityId::Room(room) => Self::Room(room),
            EntityId::Session(session) => Self::Session(session),
        })
    }
}

/// An event that tells of a committed change, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The `webhook-id`: made once, before the commit, and never again for the same change.
    pub id: String,
    /// Whose it is.
    pub app: AppId,
    /// What it is ordered by.
    pub scope: Scope,
    /// Its number within the scope, from 1 without a gap; 0 for [`Scope::Webhooks`], where nothing counts.
    pub sequence: u64,
    /// Its name, as in `conference.member.joined`.
    pub event: String,
    /// The JSON body, byte for byte as it will be signed and sent.
    pub body: String,
}

/// One atomic step: every change in it is made, or none is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The slot. All entities are this node's.
    pub node: NodeId,
    /// Names this attempt. The same commit sent again under the same id after an answer was lost is applied at
    /// most once and answered [`CommitOutcome::Applied`], even if others wrote, or the lease went, in between (each
    /// entity knows the last [`REMEMBERED_REQUESTS`]; after more it is a conflict, and still not applied again).
    pub request: Uuid,
    /// When given, it must be the stored lease.
    pub lease: Option<Lease>,
    /// At least one, none twice.
    pub entities: Vec<EntityWrite>,
    /// What tells of it, in order.
    pub outbox: Vec<Message>,
    /// What can be read of it. The last write of a view counts.
    pub views: Vec<ViewWrite>,
}

impl Commit {
    /// What the callers promise, checked where it costs nothing in production.
    fn debug_check(&self) {
        debug_assert!(!self.entities.is_empty(), "a commit of nothing");
        debug_assert!(
            self.entities.iter().all(|w| w.entity.node() == self.node)
                && self.lease.is_none_or(|lease| lease.node == self.node),
            "a commit across nodes"
        );
        debug_assert!(
            self.entities
                .iter()
                .enumerate()
                .all(|(i, w)| self.entities[..i].iter().all(|v| v.entity != w.entity)),
            "an entity twice in a commit"
        );
        debug_assert!(
            self.views.iter().all(|v| v.view.node() == self.node
                && self
                    .entities
                    .iter()
                    .any(|w| w.entity == EntityId::Room(v.room))),
            "a view without its room"
        );
    }
}

/// What came of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    /// Every entity is now at [`Version::next`] of what was expected.
    Applied,
    /// This entity is at another version than expected; nothing was changed.
    Conflict(EntityId),
    /// The lease is not, or no longer, the stored one; nothing was changed.
    LeaseLost,
}

/// What came of reserving a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameOutcome {
    /// It is reserved for the room that asked; a repeated request by the same room says so too.
    Reserved,
    /// A room has it, or had it when it was last looked at: the caller checks that the room lives, and if it does
    /// not, frees the name and asks again.
    Taken {
        /// That room.
        room: RoomId,
    },
    /// Another room is being made under it right now: neither confirmed nor given up yet. After the reservation's
    /// time it is answered as [`NameOutcome::Taken`].
    Pending {
        /// That room.
        room: RoomId,
    },
}

/// One row of a list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ListEntry {
    /// Where it stands: lists are sorted by this text, and go on after one. It is `<created_at, milliseconds, 14
    /// digits>:<id>`, so that positions of different nodes merge into one order.
    pub position: String,
    /// What stands there.
    pub entity: EntityId,
}

/// One row of a list of views.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ViewEntry {
    /// Where it stands, like [`ListEntry::position`].
    pub position: String,
    /// What stands there.
    pub view: ViewId,
}

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It could not be reached, or refused for now: nothing is known of what was asked, so it may be asked again
    /// under the same request id.
    #[error("the store is unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored under this key is not what this program writes.
    #[error("the stored value of {key} is not readable: {why}")]
    Corrupt {
        /// The key.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl StoreError {
    /// Whether the same may be asked again with hope of another answer.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Corrupt { .. } => false,
        }
    }
}

/// Why a store's URL does not lead to a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is not a URL of its scheme.
    #[error("not a valid store URL: {why}")]
    Invalid {
        /// What is wrong with it, without the URL: it may hold a password.
        why: String,
    },
    /// Nothing here speaks this scheme.
    #[error(
        "store URLs begin with redis://, redis+sentinel://, redis+cluster:// (with TLS: rediss) or memory:, and {scheme}: is not supported"
    )]
    Unsupported {
        /// The scheme.
        scheme: String,
    },
}

/// The store a URL names: `memory:` for one that is gone with the process; `redis://…`, `redis+sentinel://…` or
/// `redis+cluster://…` for one on Redis, which need not be there yet; with `rediss` instead of `redis`, over TLS.
///
/// # Errors
///
/// When the URL is not one, or of a scheme that is not supported.
pub fn open(
    url: &str,
    options: &RedisOptions,
    limits: QueueLimits,
) -> Result<Arc<dyn Store>, OpenError> {
    let (scheme, _) = url.split_once(':').ok_or_else(|| OpenError::Invalid {
        why: "it has no scheme".to_owned(),
    })?;
    match scheme {
        "memory" => Ok(Arc::new(MemoryStore::new().with_limits(limits))),
        "redis" | "redis+sentinel" | "redis+cluster" | "rediss" | "rediss+sentinel"
        | "rediss+cluster" => Ok(Arc::new(
            RedisStore::connect(url, options)?.with_limits(limits),
        )),
        _ => Err(OpenError::Unsupported {
            scheme: scheme.to_owned(),
        }),
    }
}

/// State that outlives the program.
///
/// Every method is one step: it is done whole or not at all, whatever happens to the caller. None waits for an answer
/// for longer than the configured timeout of the store; [`Store::read_node`] and [`Store::list_views`] may ask more than
/// once.
#[async_trait]
pub trait Store:
    Deliveries + Boards + Looks + Live + Usage + Send + Sync + fmt::Debug + 'static
{
    /// Counts connections. When it has grown, there may be another server behind the store, or one that was restarted, and
    /// what was written last may be gone: whoever believes something reads it again.
    fn connections(&self) -> u64 {
        0
    }

    /// Answers when the store can be written to.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Takes the node's lease, or renews it if it is this owner's, for `ttl` on the store's clock.
    async fn acquire_lease(
        &self,
        node: NodeId,
        owner: Uuid,
        ttl: Duration,
    ) -> Result<LeaseOutcome, StoreError>;

    /// Gives the lease up, if it is still this one, so that another can take it at once.
    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError>;

    /// The entity with all its parts; `None` when it does not exist or its keeping time is over.
    async fn read(&self, entity: EntityId) -> Result<Option<Record>, StoreError>;

    /// The entity without its parts.
    async fn read_head(&self, entity: EntityId) -> Result<Option<Record>, StoreError>;

    /// Hands over every live entity of the node, with parts. Each is whole in itself; what is written meanwhile may be seen or
    /// not. Of a call, the fields that a call's head has ([`call::HEAD`]); another's may be left out. After an error nothing
    /// is known of those that were not handed over.
    async fn read_node(&self, node: NodeId, reader: &mut dyn NodeReader) -> Result<(), StoreError>;

    /// Makes the changes, if lease and versions are as expected.
    async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError>;

    /// Live entities whose deadline is at or before `now`, earliest first.
    async fn due(
        &self,
        node: NodeId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError>;

    /// An app's live entities of one kind on one node, after a position, in the lists' order.
    async fn list(
        &self,
        node: NodeId,
        kind: EntityKind,
        app: &AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError>;

    /// The bodies of these views of one node, in this order: `None` for what does not exist or is over for longer than it
    /// is kept, and for every [`ViewId::Conference`].
    async fn read_views(
        &self,
        node: NodeId,
        views: &[ViewId],
    ) -> Result<Vec<Option<String>>, StoreError>;

    /// An app's or a room's views of one kind on one node, after a position, in the lists' order: those that live and
    /// those that are kept.
    async fn list_views(
        &self,
        node: NodeId,
        kind: ViewKind,
        of: ListOf<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, StoreError>;

    /// Reserves a name within an app for a room that is about to be made; unconfirmed, it is given up after `ttl`
    /// on the store's clock.
    async fn reserve_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
        ttl: Duration,
    ) -> Result<NameOutcome, StoreError>;

    /// Makes the reservation last. `false` when the name is no longer this room's.
    async fn confirm_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
    ) -> Result<bool, StoreError>;

    /// Frees the name, if it is still this room's.
    async fn free_name(&self, app: &AppId, name: &RoomName, room: RoomId)
    -> Result<(), StoreError>;

    /// The apps and receivers that were made at run time, unless they are still at the version `known`: then `None`.
    async fn read_apps(&self, known: Option<u64>) -> Result<Option<StoredApps>, StoreError>;

    /// Makes these changes and counts the version up, if nothing was written since `expected`. `false`, and nothing
    /// changed, when something was: read again, and decide again.
    async fn put_apps(&self, expected: u64, writes: &[AppsWrite<'_>]) -> Result<bool, StoreError>;

    /// Takes the cooldown of a group of commands to one room or call, for `window`. Of those who ask at once exactly one
    /// gets it; groups do not mix.
    async fn take_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
        window: Duration,
    ) -> Result<Cooldown, StoreError>;

    /// Gives a cooldown back, if it is still this holder's.
    async fn refund_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
    ) -> Result<(), StoreError>;

    /// Begins a command, or says what became of it. Begun, it is this request's for `hold`: not finished by then, the
    /// next request with it is the first again.
    async fn begin_command(
        &self,
        command: &Command,
        hold: Duration,
    ) -> Result<CommandStart, StoreError>;

    /// Notes the answer to a command for `keep` from now. `false`, and nothing changed, when it is another request's by
    /// now.
    async fn finish_command(
        &self,
        command: &Command,
        answer: &CommandAnswer,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Forgets a command, if it is still this request's: the next request with it is the first again.
    async fn forget_command(&self, command: &Command) -> Result<(), StoreError>;

    /// Takes up to `want` (at least one) tokens out of the app's bucket, which all replicas share. Sent again because an
    /// answer was lost, it may take them twice.
    async fn take_tokens(&self, app: &AppId, rate: Rate, want: u32) -> Result<Tokens, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_views_exclude_each_other() {
        // Nodes that are called what the other forms begin with.
        for node in ["acW68", "call0", "recor"] {
            let node: NodeId = node.parse().unwrap();
            let random = Uuid::from_u128(7 << 32);
            let room = RoomId::fresh(node, random);
            let views = [
                ViewId::Conference(room),
                ViewId::Call(MemberId::fresh(node, random)),
                ViewId::Recording(RecordingId::fresh(node, random)),
            ];
            for view in views {
                assert_eq!(view.to_string().parse(), Ok(view));
                assert_eq!(view.node(), node);
            }
            assert!(room.uuid().to_string().parse::<ViewId>().is_err());
        }
        let elsewhere = "call-550e8400-e29b-41d4-a716-446655440000";
        assert!(elsewhere.parse::<ViewId>().is_err());
    }
}
