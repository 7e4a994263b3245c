//! Entities and views: their ids, versions and records.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::{Fields, RawRecord, StoreError};
pub use roomkeeper_core::entity::{EntityId, EntityKind};
use roomkeeper_core::ids::{InvalidId, MemberId, NodeId, RecordingId, RoomId};

/// The id of a view, which can be read even after its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ViewId {
    /// A room. It is only listed; its content is its entity.
    Conference(RoomId),
    /// A membership of a call in a room.
    Call(MemberId),
    /// A recording of a room.
    Recording(RecordingId),
}

impl ViewId {
    /// Returns the node whose slot contains the view.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Conference(id) => id.node(),
            Self::Call(id) => id.node(),
            Self::Recording(id) => id.node(),
        }
    }

    /// Returns the part of its id besides the node.
    pub const fn uuid(&self) -> Uuid {
        match self {
            Self::Conference(id) => id.uuid(),
            Self::Call(id) => id.uuid(),
            Self::Recording(id) => id.uuid(),
        }
    }

    /// Returns its kind.
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

/// The number of writes of an entity; 0 if it does not exist.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version(pub u64);

impl Version {
    /// The version of an entity that does not exist.
    pub const ABSENT: Self = Self(0);

    /// Returns the version after one more write.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A stored entity.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Its version, never [`Version::ABSENT`].
    pub version: Version,
    /// The small fields.
    pub head: Fields,
    /// The many fields; empty if only the head was requested.
    pub parts: Fields,
}

impl Record {
    /// Copies a borrowed record.
    pub fn from_raw(version: Version, stored: &RawRecord<'_>) -> Self {
        Self {
            version,
            head: Fields::from_pairs(stored.head.iter()),
            parts: Fields::from_pairs(stored.parts.iter()),
        }
    }
}

impl<'a> From<&'a Record> for RawRecord<'a> {
    fn from(record: &'a Record) -> Self {
        Self {
            head: (&record.head).into(),
            parts: (&record.parts).into(),
        }
    }
}

/// Receives the stored entities of a node one by one, borrowed from the answer: a restart reads a fleet, and copies would
/// be as large as the node state.
pub trait NodeReader: Send {
    /// Announces the number of live entities that follow.
    fn expect(&mut self, rooms: usize, calls: usize);

    /// Receives a live entity with its parts.
    fn entity(&mut self, id: EntityId, version: Version, stored: RawRecord<'_>);

    /// Receives a live entity that cannot be decoded. `id` is `None` if its id is invalid. It must not affect the others.
    fn unreadable(&mut self, id: Option<EntityId>, error: StoreError);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn view_ids_of_different_kinds_differ() {
        // Nodes with the names that other forms start with.
        for node in ["acW68", "call0", "recor"] {
            let node: NodeId = node.parse().unwrap();
            let random = Uuid::from_u128(7 << 32);
            let room = RoomId::generate(node, random);
            let views = [
                ViewId::Conference(room),
                ViewId::Call(MemberId::generate(node, random)),
                ViewId::Recording(RecordingId::generate(node, random)),
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
