//! Identifiers, parsed once at the boundary.
//!
//! Every id that crosses a boundary (a URL, a FreeSWITCH header, a stored key) becomes one of these types there, and
//! only there, and invalid text is rejected. Callers pass the randomness for new ids, so this module stays pure.
//!
//! # Ids that carry their node
//!
//! Callers of the VoIPBIN API send bare UUIDs, which must identify the node. So UUIDs that are created here carry it:
//! they have version 8 (RFC 9562, section 5.8), and their last 30 bits are the node's five characters, read as a number
//! in base 62 ([`uuid_with_node`], [`node_in_uuid`]). The other 92 bits are random.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A map by id. Ids are random, so the hash need not resist chosen keys: an attacker would also need the seed of this
/// process. A fleet's controller looks up millions of ids.
pub type IdMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A set of ids, hashed like the keys of an [`IdMap`].
pub type IdSet<T> = HashSet<T, foldhash::fast::RandomState>;

/// An error for text that is not a valid id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}: expected {expected}")]
pub struct InvalidId {
    /// The kind of id, for the message.
    pub kind: &'static str,
    /// The expected form, for the message.
    pub expected: &'static str,
}

const fn invalid(kind: &'static str, expected: &'static str) -> InvalidId {
    InvalidId { kind, expected }
}

/// Parses a UUID in the only form that FreeSWITCH writes: lower case, hyphenated, 36 characters.
///
/// Other spellings are refused, because FreeSWITCH finds a channel by its text.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Uuid::try_parse(text).ok()
}

/// The id of a FreeSWITCH server: five characters `[A-Za-z0-9]`, from the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 5]);

impl NodeId {
    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        // Parsing allows only ASCII alphanumerics.
        std::str::from_utf8(&self.0).unwrap_or("?????")
    }
}

impl FromStr for NodeId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let bytes: [u8; 5] = text
            .as_bytes()
            .try_into()
            .map_err(|_| invalid("node id", "5 characters of A-Z a-z 0-9"))?;
        if bytes.iter().all(u8::is_ascii_alphanumeric) {
            Ok(Self(bytes))
        } else {
            Err(invalid("node id", "5 characters of A-Z a-z 0-9"))
        }
    }
}

/// The digits of a node's number, in order of value.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The number of possible nodes, which fits into [`NODE_BITS`].
const NODES: u128 = 62_u128.pow(5);

const NODE_BITS: u32 = 30;

/// Returns a UUID that carries this node and otherwise the bits of `random`. The last 30 bits of `random` are lost: a
/// counter in them would produce the same id repeatedly.
pub fn uuid_with_node(node: NodeId, random: Uuid) -> Uuid {
    let number = node.0.iter().fold(0_u128, |number, byte| {
        let digit = (0..).zip(DIGITS).find(|(_, digit)| *digit == byte);
        number * 62 + digit.map_or(0, |(value, _)| value)
    });
    let bits = random.as_u128() >> NODE_BITS << NODE_BITS | number;
    uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid()
}

/// Returns the node that a UUID carries; `None` if [`uuid_with_node`] cannot have created it.
pub fn node_in_uuid(uuid: Uuid) -> Option<NodeId> {
    let number = uuid.as_u128() & ((1 << NODE_BITS) - 1);
    let is_ours = uuid.get_version() == Some(uuid::Version::Custom)
        && uuid.get_variant() == uuid::Variant::RFC4122
        && number < NODES;
    is_ours.then(|| node_from_number(number))
}

/// Returns the node with this number, which is below [`NODES`].
fn node_from_number(number: u128) -> NodeId {
    let mut rest = number;
    let mut text = [0; 5];
    for character in text.iter_mut().rev() {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        *character = DIGITS[digit];
        rest /= 62;
    }
    NodeId(text)
}

/// The id of a room: `<node>-room-<uuid>`. It is also the name of the FreeSWITCH conference, so no conference name
/// contains tenants' text.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomId {
    node: NodeId,
    uuid: Uuid,
}

impl RoomId {
    /// Creates the id of a new room on `node`. Its UUID alone identifies the node.
    pub fn generate(node: NodeId, random: Uuid) -> Self {
        Self::new(node, uuid_with_node(node, random))
    }

    /// Returns the id of the room `uuid` on `node`. Any UUID is valid: rooms also become known through FreeSWITCH.
    pub const fn new(node: NodeId, uuid: Uuid) -> Self {
        Self { node, uuid }
    }

    /// Returns the node of the conference.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the UUID, which is the conference id of the VoIPBIN API.
    pub const fn uuid(&self) -> Uuid {
        self.uuid
    }
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-room-{}", self.node, self.uuid)
    }
}

impl FromStr for RoomId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const EXPECTED: &str = "<5-character node>-room-<uuid>";
        let err = || invalid("room id", EXPECTED);
        let (node, rest) = text.split_at_checked(5).ok_or_else(err)?;
        let uuid = rest.strip_prefix("-room-").ok_or_else(err)?;
        Ok(Self {
            node: node.parse().map_err(|_| err())?,
            uuid: canonical_uuid(uuid).ok_or_else(err)?,
        })
    }
}

/// A FreeSWITCH channel's `Unique-ID`, in the canonical text form of a UUID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelId(Uuid);

impl ChannelId {
    /// Returns the channel whose `Unique-ID` is `uuid`.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID.
    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

/// The id of a call: `<node>-<channel uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallId {
    node: NodeId,
    channel: ChannelId,
}

impl CallId {
    /// Returns the id of the call whose channel is `channel` on `node`.
    pub const fn new(node: NodeId, channel: ChannelId) -> Self {
        Self { node, channel }
    }

    /// Returns the node of the call.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// Returns the channel on that node.
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.node, self.channel)
    }
}

impl FromStr for CallId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        const EXPECTED: &str = "<5-character node>-<channel uuid>";
        let err = || invalid("session id", EXPECTED);
        let (node, rest) = text.split_at_checked(5).ok_or_else(err)?;
        let uuid = rest.strip_prefix('-').ok_or_else(err)?;
        Ok(Self {
            node: node.parse().map_err(|_| err())?,
            channel: ChannelId(canonical_uuid(uuid).ok_or_else(err)?),
        })
    }
}

/// Hashes the UUID alone, in one piece: it identifies the object, and there are millions of lookups.
macro_rules! hashed_by_uuid {
    ($($name:ident),+) => {$(
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write_u128(self.uuid().as_u128());
            }
        }
    )+};
}

hashed_by_uuid!(RoomId, ChannelId);

impl Hash for CallId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.channel.hash(state);
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns the id with this UUID.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID.
            pub const fn uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                canonical_uuid(text)
                    .map(Self)
                    .ok_or(invalid($kind, "a lower-case hyphenated uuid"))
            }
        }

        text_id!($name);
    };
}

macro_rules! text_id {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(d)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! node_uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// Carries the node.
            uuid: Uuid,
            node: NodeId,
        }

        impl $name {
            /// Creates a new id on `node`.
            pub fn generate(node: NodeId, random: Uuid) -> Self {
                let uuid = uuid_with_node(node, random);
                Self { uuid, node }
            }

            /// Returns the id with this UUID; `None` if it was not created by `generate`.
            pub fn from_uuid(uuid: Uuid) -> Option<Self> {
                Some(Self { uuid, node: node_in_uuid(uuid)? })
            }

            /// Returns the node.
            pub const fn node(&self) -> NodeId {
                self.node
            }

            /// Returns the UUID, which is the whole id.
            pub const fn uuid(&self) -> Uuid {
                self.uuid
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.uuid.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                canonical_uuid(text)
                    .and_then(|uuid| Some(Self { uuid, node: node_in_uuid(uuid)? }))
                    .ok_or(invalid($kind, "a lower-case hyphenated uuid of version 8 that was made here"))
            }
        }

        text_id!($name);
    };
}

node_uuid_id!(
    /// The id of one membership of a call in a room; the conferencecall id of the VoIPBIN API.
    MemberId,
    "member id"
);
node_uuid_id!(
    /// The id of a recording.
    RecordingId,
    "recording id"
);
uuid_id!(
    /// The id of an accepted command that lasts, such as a playback or an answer.
    OperationId,
    "operation id"
);
uuid_id!(
    /// `Core-UUID`: one run of a FreeSWITCH process. A new one means that all calls and rooms of the old one are gone.
    CoreId,
    "Core-UUID"
);
uuid_id!(
    /// `Conference-Unique-ID`: one conference instance, from its first member to its last.
    ConferenceId,
    "Conference-Unique-ID"
);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ChannelId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        canonical_uuid(text)
            .map(Self)
            .ok_or(invalid("channel id", "a lower-case hyphenated uuid"))
    }
}

text_id!(NodeId);
text_id!(RoomId);
text_id!(ChannelId);
text_id!(CallId);

mod text;
pub use text::{AppId, CommandUid, EndpointId, RoomName};

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: FromStr<Err = InvalidId> + fmt::Display>(text: &str) {
        let id: T = text.parse().map_err(|e: InvalidId| e.to_string()).unwrap();
        assert_eq!(id.to_string(), text);
    }

    fn refused<T: FromStr>(text: &str) {
        assert!(text.parse::<T>().is_err(), "{text:?} was accepted as an id");
    }

    fn node(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn ids_round_trip() {
        round_trip::<NodeId>("acW68");
        round_trip::<RoomId>(&format!("acW68-room-{UUID}"));
        round_trip::<CallId>(&format!("acW68-{UUID}"));
        round_trip::<ChannelId>(UUID);
        round_trip::<AppId>("my_app-1");
        round_trip::<CommandUid>("a.b-c_D9");
        round_trip::<RoomName>("weekly-standup");
        round_trip::<EndpointId>("ep_0af3");
        let uuid = uuid_with_node(node("acW68"), Uuid::max()).to_string();
        round_trip::<MemberId>(&uuid);
        round_trip::<RecordingId>(&uuid);
    }

    #[test]
    fn invalid_ids_are_refused() {
        for bad in ["", "acW6", "acW689", "ac-68", "acWé"] {
            refused::<NodeId>(bad);
        }
        for bad in [
            UUID.to_owned(),
            format!("acW68-room-{}", UUID.to_uppercase()),
            format!("acW68-room-{}", UUID.replace('-', "")),
            format!("acW68-room-{UUID}\n"),
            format!("acW68-{UUID}"),
            format!("é{UUID}"),
        ] {
            refused::<RoomId>(&bad);
        }
        refused::<CallId>(&format!("acW68-room-{UUID}"));
        refused::<CallId>("acW68");
        for bad in ["", "-x", "_x", "a b", "a\n", "ä", &"a".repeat(65)] {
            refused::<RoomName>(bad);
        }
        for bad in ["", "a b", "a$b", &"a".repeat(129)] {
            refused::<CommandUid>(bad);
        }
        refused::<AppId>("a:b");
    }

    #[test]
    fn ids_are_json_strings() {
        let room: RoomId = format!("acW68-room-{UUID}").parse().unwrap();
        let json = serde_json::to_string(&room).unwrap();
        assert_eq!(json, format!("\"acW68-room-{UUID}\""));
        assert_eq!(serde_json::from_str::<RoomId>(&json).unwrap(), room);
        assert!(serde_json::from_str::<RoomId>("\"x\"").is_err());
    }

    #[test]
    fn uuid_with_node_has_version_8_and_ends_with_its_node() {
        for (text, random, uuid) in [
            ("00000", 0, "00000000-0000-8000-8000-000000000000"),
            ("00010", 0, "00000000-0000-8000-8000-00000000003e"),
            ("0000z", 0, "00000000-0000-8000-8000-00000000003d"),
            ("zzzzz", 0, "00000000-0000-8000-8000-0000369b13df"),
            ("zzzzz", u128::MAX, "ffffffff-ffff-8fff-bfff-fffff69b13df"),
        ] {
            let made = uuid_with_node(node(text), Uuid::from_u128(random));
            assert_eq!(made.to_string(), uuid);
        }
    }

    #[test]
    fn uuid_with_invalid_node_number_yields_no_node() {
        let last = uuid_with_node(node("zzzzz"), Uuid::nil()).as_u128();
        assert_eq!(node_in_uuid(Uuid::from_u128(last)), Some(node("zzzzz")));
        for no_node in [last + 1, last | 0x3fff_ffff] {
            assert_eq!(node_in_uuid(Uuid::from_u128(no_node)), None);
        }
        assert_eq!(node_in_uuid(Uuid::nil()), None);
        assert_eq!(node_in_uuid(Uuid::max()), None);
        // The right version, in another variant.
        let other_variant = last ^ (1 << 62);
        assert_eq!(node_in_uuid(Uuid::from_u128(other_variant)), None);
    }

    #[test]
    fn uuid_of_generated_room_yields_its_node() {
        let room = RoomId::generate(node("acW68"), Uuid::from_u128(7 << 32));
        assert_eq!(node_in_uuid(room.uuid()), Some(room.node()));
        assert_eq!(room.to_string().parse(), Ok(room));
    }

    proptest::proptest! {
        #[test]
        fn uuid_with_node_yields_its_node(text in "[A-Za-z0-9]{5}", random: u128) {
            let (node, random) = (node(&text), Uuid::from_u128(random));
            let uuid = uuid_with_node(node, random);
            proptest::prop_assert_eq!(node_in_uuid(uuid), Some(node));
            // All random bits come from the input.
            let fixed: u128 = 0xf << 76 | 0b11 << 62 | ((1 << NODE_BITS) - 1);
            proptest::prop_assert_eq!(uuid.as_u128() & !fixed, random.as_u128() & !fixed);
            proptest::prop_assert_eq!(uuid_with_node(node, uuid), uuid);
            let member = MemberId::generate(node, random);
            proptest::prop_assert_eq!((member.node(), member.uuid()), (node, uuid));
            proptest::prop_assert_eq!(uuid.to_string().parse(), Ok(member));
            let json = serde_json::to_string(&member).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<MemberId>(&json).unwrap(), member);
            let recording = RecordingId::generate(node, random);
            proptest::prop_assert_eq!(recording.to_string().parse(), Ok(recording));
        }

        #[test]
        fn foreign_uuid_yields_no_node(random: [u8; 16], version in 0_usize..3) {
            let uuid = match version {
                0 => uuid::Builder::from_random_bytes(random).into_uuid(),
                1 => uuid::Builder::from_sha1_bytes(random).into_uuid(),
                _ => uuid::Builder::from_bytes(random).with_version(uuid::Version::SortRand).into_uuid(),
            };
            proptest::prop_assert_eq!(node_in_uuid(uuid), None);
            refused::<MemberId>(&uuid.to_string());
            refused::<RecordingId>(&uuid.to_string());
            let json = serde_json::to_string(&uuid).unwrap();
            proptest::prop_assert!(serde_json::from_str::<MemberId>(&json).is_err());
        }
    }
}
