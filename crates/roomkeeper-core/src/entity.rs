//! Rooms and calls as entities of the store, and the targets of commands.
//!
//! Pure: ids only.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use uuid::Uuid;

use crate::ids::{CallId, InvalidId, NodeId, RoomId};

/// A room or a call. The store keeps each under its own version.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EntityId {
    /// A room and its members.
    Room(RoomId),
    /// A call.
    Call(CallId),
}

impl EntityId {
    /// Returns the node whose slot holds the entity.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Room(id) => id.node(),
            Self::Call(id) => id.node(),
        }
    }

    /// Returns the UUID in its id.
    pub const fn uuid(&self) -> Uuid {
        match self {
            Self::Room(id) => id.uuid(),
            Self::Call(id) => id.channel().uuid(),
        }
    }

    /// Returns the kind of entity.
    pub const fn kind(&self) -> EntityKind {
        match self {
            Self::Room(_) => EntityKind::Room,
            Self::Call(_) => EntityKind::Call,
        }
    }
}

/// Hashes the id alone: a room and a call rarely share a UUID.
impl Hash for EntityId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Room(id) => id.hash(state),
            Self::Call(id) => id.hash(state),
        }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(id) => id.fmt(f),
            Self::Call(id) => id.fmt(f),
        }
    }
}

impl FromStr for EntityId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        // The two forms exclude each other: no UUID begins with `room-`.
        match text.parse() {
            Ok(room) => Ok(Self::Room(room)),
            Err(_) => text.parse().map(Self::Call),
        }
    }
}

/// The kinds of entity, for lists.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntityKind {
    /// [`EntityId::Room`].
    Room,
    /// [`EntityId::Call`].
    Call,
}

/// The room, call or member that a command is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Target {
    /// A room.
    Room(RoomId),
    /// A call, whether in a room or not.
    Call(CallId),
    /// A call in one room, or on its way into it.
    Member {
        /// The room.
        room: RoomId,
        /// The call.
        call: CallId,
    },
}

impl Target {
    /// Returns the node that acts: the call's node if there is a call.
    pub const fn node(&self) -> NodeId {
        self.entity().node()
    }

    /// Returns the room, if it names one.
    pub const fn room(&self) -> Option<RoomId> {
        match self {
            Self::Room(room) | Self::Member { room, .. } => Some(*room),
            Self::Call(_) => None,
        }
    }

    /// Returns the call, if it names one.
    pub const fn call(&self) -> Option<CallId> {
        match self {
            Self::Call(call) | Self::Member { call, .. } => Some(*call),
            Self::Room(_) => None,
        }
    }

    /// Returns the entity that idempotency keys and cooldowns count by: the call if there is one.
    pub const fn entity(&self) -> EntityId {
        match self {
            Self::Room(room) => EntityId::Room(*room),
            Self::Call(call) | Self::Member { call, .. } => EntityId::Call(*call),
        }
    }

    /// Returns its call and its room, as far as it names them.
    pub fn entities(&self) -> impl Iterator<Item = EntityId> + use<> {
        let call = self.call().map(EntityId::Call);
        call.into_iter().chain(self.room().map(EntityId::Room))
    }
}
