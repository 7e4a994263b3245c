//! The contract of a store: its trait and types. Both implementations pass the same contract tests.
//!
//! # Layout
//! All keys of a node are in one slot, `{<node id>}`, so that one script can check the lease and the versions, change rooms
//! and calls, and append the webhook messages. The names that an app gave its rooms are in the app's slot: reserved before
//! a room is committed, confirmed after, and freed by a request that finds a reservation or a name without its room
//! ([`NameOutcome`]).
//!
//! The apps made at run time are in a separate slot, under one version ([`apps`](super::apps)): they change rarely, and no
//! two may have the same number, so each change is decided on all of them.
//!
//! A room or a call is an *entity*: a version, a small *head* of named fields, and *parts* that can be many
//! (a room's members). A commit names only the fields that changed, so its cost does not grow with the room.
//!
//! A *view* is the readable form of a membership or a recording, also after its end: one text under an id, and a position
//! in the lists of its app and its room. It has no version, because it is only written together with its room, whose
//! version is checked. There can be many views, so they have no other data.

pub mod audit;
mod commit;
pub mod deliveries;
mod entity;
mod error;
mod fields;
mod lease;
pub mod limits;
pub mod live;
pub mod node_status;
pub mod polls;
mod stored_apps;
pub mod usage;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use self::audit::AuditLog;
pub(in crate::store) use self::commit::position_of;
pub use self::commit::{
    Commit, CommitOutcome, EntityWrite, Life, ListOf, Listing, Message, REMEMBERED_REQUESTS, Scope,
    ViewWrite,
};
use self::deliveries::Deliveries;
pub use self::entity::{EntityId, EntityKind, NodeReader, Record, Version, ViewId, ViewKind};
pub use self::error::StoreError;
pub use self::fields::{Fields, FieldsRef, RawRecord};
pub use self::lease::{Lease, LeaseOutcome};
use self::limits::RequestLimits;
use self::live::Live;
use self::node_status::NodeStatusStore;
use self::polls::NodePolls;
pub use self::stored_apps::{AppsWrite, StoredApps};
use self::usage::Usage;
use roomkeeper_core::ids::{AppId, NodeId, RoomId, RoomName};
use roomkeeper_core::time::Timestamp;

/// State that outlives the program.
///
/// Every method is atomic, even if its caller goes away. No request waits longer than the store's configured timeout;
/// [`Store::read_node`] and [`Store::list_views`] may send several requests.
#[async_trait]
pub trait Store:
    Deliveries
    + NodeStatusStore
    + NodePolls
    + Live
    + Usage
    + RequestLimits
    + AuditLog
    + Send
    + Sync
    + fmt::Debug
    + 'static
{
    /// The number of connections so far. After a new connection, the server may be another or restarted one that lacks the
    /// last writes, so cached state must be read again.
    fn connections(&self) -> u64 {
        0
    }

    /// Checks that the store accepts writes.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Takes the node's lease for `ttl` on the store's clock, or renews it if this owner holds it.
    async fn acquire_lease(
        &self,
        node: NodeId,
        owner: Uuid,
        ttl: Duration,
    ) -> Result<LeaseOutcome, StoreError>;

    /// Releases the lease, if it is still this one, so that another replica can take it at once.
    async fn release_lease(&self, lease: Lease) -> Result<(), StoreError>;

    /// Reads the entity with all its parts; `None` if it does not exist or has expired.
    async fn read(&self, entity: EntityId) -> Result<Option<Record>, StoreError>;

    /// Reads the entity without its parts.
    async fn read_head(&self, entity: EntityId) -> Result<Option<Record>, StoreError>;

    /// Passes every live entity of the node to the reader, with its parts. Each entity is consistent; concurrent writes may
    /// be missing. Of a call, only the fields of its head ([`HEAD`](crate::store::call::HEAD)) are guaranteed. After an
    /// error, entities that were not passed are unknown.
    async fn read_node(&self, node: NodeId, reader: &mut dyn NodeReader) -> Result<(), StoreError>;

    /// Writes the changes, if lease and versions are as expected.
    async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError>;

    /// Returns live entities whose deadline is at or before `now`, earliest first.
    async fn due(
        &self,
        node: NodeId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError>;

    /// Lists an app's live entities of one kind on one node, after a position, in the lists' order. Fewer than `limit` are
    /// the last, here and in the other lists.
    async fn list(
        &self,
        node: NodeId,
        kind: EntityKind,
        app: &AppId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError>;

    /// Lists the live entities of one kind of all apps on one node, after a position, in the lists' order. Its cost grows
    /// with the number of apps that have such entities there, and not with the number of entities.
    async fn list_all(
        &self,
        node: NodeId,
        kind: EntityKind,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ListEntry>, StoreError>;

    /// Reads the bodies of these views of one node, in this order: `None` for a missing or expired view, and for every
    /// [`ViewId::Conference`].
    async fn read_views(
        &self,
        node: NodeId,
        views: &[ViewId],
    ) -> Result<Vec<Option<String>>, StoreError>;

    /// Lists an app's or a room's views of one kind on one node, live and kept, after a position, in the lists' order.
    async fn list_views(
        &self,
        node: NodeId,
        kind: ViewKind,
        of: ListOf<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ViewEntry>, StoreError>;

    /// Reserves a name within an app for a room that will be created; without confirmation, the reservation ends after
    /// `ttl` on the store's clock.
    async fn reserve_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
        ttl: Duration,
    ) -> Result<NameOutcome, StoreError>;

    /// Makes a reservation permanent. Returns false if the name no longer belongs to this room.
    async fn confirm_name(
        &self,
        app: &AppId,
        name: &RoomName,
        room: RoomId,
    ) -> Result<bool, StoreError>;

    /// Frees the name, if it still belongs to this room.
    async fn free_name(&self, app: &AppId, name: &RoomName, room: RoomId)
    -> Result<(), StoreError>;

    /// Reads the apps and endpoints created at run time; `None` if they are still at the version `known`.
    async fn read_apps(&self, known: Option<u64>) -> Result<Option<StoredApps>, StoreError>;

    /// Writes these changes and increments the version, if it is still `expected`. Otherwise returns false and changes
    /// nothing: the caller must read and decide again.
    async fn put_apps(&self, expected: u64, writes: &[AppsWrite<'_>]) -> Result<bool, StoreError>;
}

/// The result of a reservation of a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NameOutcome {
    /// The name is reserved for the room, now or by an earlier request.
    Reserved,
    /// Another room has or had the name. The caller checks that this room is alive; if not, it frees the name and repeats
    /// the request.
    Taken {
        /// That room.
        room: RoomId,
    },
    /// Another room is being created under the name. After the reservation has expired, the result is
    /// [`NameOutcome::Taken`].
    Pending {
        /// That room.
        room: RoomId,
    },
}

/// One row of a list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ListEntry {
    /// Its position: lists are sorted by this text and continue after a position. The text is `<created_at, milliseconds,
    /// 14 digits>:<id>`, so that positions of different nodes merge into one order.
    pub position: String,
    /// The entry's id.
    pub entity: EntityId,
}

/// One row of a list of views.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ViewEntry {
    /// Its position, like [`ListEntry::position`].
    pub position: String,
    /// The entry's id.
    pub view: ViewId,
}
