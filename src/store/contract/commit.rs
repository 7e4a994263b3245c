//! Commits: the changes of one step, and the messages that report them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use uuid::Uuid;

use super::{EntityId, Lease, Version, ViewId};
use roomkeeper_core::ids::{AppId, CallId, InvalidId, NodeId, RoomId};
use roomkeeper_core::time::Timestamp;

/// The number of request ids that each entity remembers, the latest first. A commit whose answer was lost is sent again
/// within seconds, and is recognized after up to this number of other writes.
pub const REMEMBERED_REQUESTS: usize = 5;

/// Changes to one entity.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityWrite {
    /// The entity.
    pub entity: EntityId,
    /// The version these changes were computed from; [`Version::ABSENT`] creates it.
    pub expected: Version,
    /// Head fields to set; the others stay.
    pub head: Vec<(String, String)>,
    /// Parts to set, or with `None` to remove; the others stay.
    pub parts: Vec<(String, Option<String>)>,
    /// The entity's next deadline; `None` removes it from the list of deadlines.
    pub deadline: Option<Timestamp>,
    /// The life of the entity after the write.
    pub life: Life,
    /// The app and the time under which the lists show it. Only evaluated at its creation: `None` then keeps it out of the
    /// lists, and later changes nothing.
    pub listed: Option<Listing>,
}

/// The position of an entity in the lists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// The app.
    pub app: AppId,
    /// The sort key of the lists, before the id.
    pub created_at: Timestamp,
}

impl Listing {
    /// Returns the position of `entity` in the lists: [`ListEntry::position`](super::ListEntry::position).
    pub fn position(&self, entity: EntityId) -> String {
        position_of(self.created_at, &entity)
    }
}

/// Returns the position of an id with this time.
pub(in crate::store) fn position_of(since: Timestamp, id: &dyn fmt::Display) -> String {
    format!("{:014}:{id}", since.as_millis())
}

/// A write of a view.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ViewWrite {
    /// The view.
    pub view: ViewId,
    /// The body, opaque to the store. Empty and not stored for [`ViewId::Conference`].
    pub body: String,
    /// Its position in the lists: the same at every write.
    pub listing: Listing,
    /// Its room, which the same commit writes: the same at every write. Calls and recordings are also listed by room.
    pub room: RoomId,
    /// `None` while it is alive. `Some`: it has ended, and stays readable and listed for this long on the store's clock.
    pub keep: Option<Duration>,
}

impl ViewWrite {
    /// Returns its position in the lists: [`ViewEntry::position`](super::ViewEntry::position).
    pub fn position(&self) -> String {
        position_of(self.listing.created_at, &self.view)
    }

    /// Returns the lists that contain it: its app's, and its room's unless it is the room.
    pub(in crate::store) fn lists(&self) -> (ListOf<'_>, Option<ListOf<'_>>) {
        let of_room = match self.view {
            ViewId::Conference(_) => None,
            ViewId::Call(_) | ViewId::Recording(_) => Some(ListOf::Room(self.room)),
        };
        (ListOf::App(&self.listing.app), of_room)
    }
}

/// The owner of a list of views.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ListOf<'a> {
    /// The list of an app.
    App(&'a AppId),
    /// The list of a room: its calls, or its recordings.
    Room(RoomId),
}

/// The life of an entity after a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Life {
    /// It is alive.
    Live,
    /// It has ended: it leaves every list at once, and stays readable by its id for this long. A repeated commit is
    /// recognized only during that time, so it must be longer than any repetition takes.
    Ended {
        /// The keeping time, on the store's clock.
        keep: Duration,
    },
}

/// The order in which a receiver must see events: by room or by call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Events named `conference.*`.
    Room(RoomId),
    /// Events named `call.*`.
    Session(CallId),
    /// Events named `webhook.*`, which concern no room and no call.
    Webhooks,
}

/// The text of [`Scope::Webhooks`].
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
            EntityId::Call(session) => Self::Session(session),
        })
    }
}

/// A webhook message about a committed change, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The `webhook-id`: created once, before the commit, and never again for the same change.
    pub id: String,
    /// The app.
    pub app: AppId,
    /// The scope of its order.
    pub scope: Scope,
    /// Its number within the scope, from 1 without gaps; 0 for [`Scope::Webhooks`], which has no numbers.
    pub sequence: u64,
    /// Its name, as in `conference.member.joined`.
    pub event: String,
    /// The JSON body, byte for byte as it will be signed and sent.
    pub body: String,
}

/// One atomic step: all of its changes are written, or none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Commit {
    /// The node, and so the slot, of all entities.
    pub node: NodeId,
    /// The id of this commit. A commit that is sent again under the same id is applied at most once and answered with
    /// [`CommitOutcome::Applied`], even if others wrote, or the lease was lost, in between (each entity remembers the last
    /// [`REMEMBERED_REQUESTS`]; after more it is a conflict, and still not applied again).
    pub request: Uuid,
    /// The lease; if given, it must be the stored one.
    pub lease: Option<Lease>,
    /// At least one, none twice.
    pub entities: Vec<EntityWrite>,
    /// The webhook messages, in order.
    pub outbox: Vec<Message>,
    /// The views. The last write of a view counts.
    pub views: Vec<ViewWrite>,
}

impl Commit {
    /// Checks the caller's guarantees in debug builds.
    pub(in crate::store) fn debug_check(&self) {
        debug_assert!(!self.entities.is_empty(), "commit should have an entity");
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

/// The result of a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitOutcome {
    /// Every entity is now at [`Version::next`] of its expected version.
    Applied,
    /// This entity is at another version than expected; nothing was changed.
    Conflict(EntityId),
    /// The lease is not, or no longer, the stored one; nothing was changed.
    LeaseLost,
}
