//! Identifiers, parsed once and valid ever after.
//!
//! Every id that crosses a border (a URL, a FreeSWITCH header, a stored key) becomes one of these types
//! there, and only there. What does not parse never gets inside. Ids are made from randomness that the
//! caller hands in, so that this module stays pure.
//!
//! # Located ids
//!
//! Where a bare UUID is all that a caller sends, the node must be found from it. So the UUIDs that are made here carry
//! their node: they are of version 8 (RFC 9562, section 5.8), and their last 30 bits are the node's five characters, read
//! as a number in base 62 ([`located`], [`locate`]). The other 92 bits are random.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is found by an id. Ids are random, so that the hash need not be one that nobody can guess: whoever makes one up
/// would have to know the seed of this process, too. A fleet's controller looks up millions.
pub type IdMap<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Ids, hashed as those of an [`IdMap`].
pub type IdSet<T> = HashSet<T, foldhash::fast::RandomState>;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: expected {expected}")]
pub struct InvalidId {
    /// The kind of id, for the message.
    pub what: &'static str,
    /// Its form, for the message.
    pub expected: &'static str,
}

pub(crate) const fn invalid(what: &'static str, expected: &'static str) -> InvalidId {
    InvalidId { what, expected }
}

/// A UUID in the one text form FreeSWITCH writes: lower case, hyphenated, 36 characters.
///
/// Other spellings are refused, because FreeSWITCH finds a channel by its text.
fn canonical_uuid(text: &str) -> Option<Uuid> {
    if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    Uuid::try_parse(text).ok()
}

/// One FreeSWITCH server: five characters `[A-Za-z0-9]`, from the configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 5]);

impl NodeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        // Only ASCII alphanumerics get in.
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

/// The digits of a node's number, by value.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How many nodes there can be: less than fit into [`NODE_BITS`].
const NODES: u128 = 62_u128.pow(5);

const NODE_BITS: u32 = 30;

/// A UUID that carries this node, and else the bits of `random`. Its last 30 bits are lost: what counts in them only makes
/// the same id again and again.
pub fn located(node: NodeId, random: Uuid) -> Uuid {
    let number = node.0.iter().fold(0_u128, |number, byte| {
        let digit = (0..).zip(DIGITS).find(|(_, digit)| *digit == byte);
        number * 62 + digit.map_or(0, |(value, _)| value)
    });
    let bits = random.as_u128() >> NODE_BITS << NODE_BITS | number;
    uuid::Builder::from_custom_bytes(bits.to_be_bytes()).into_uuid()
}

/// The node that a UUID carries; `None` for one that [`located`] cannot have made.
pub fn locate(uuid: Uuid) -> Option<NodeId> {
    let number = uuid.as_u128() & ((1 << NODE_BITS) - 1);
    let ours = uuid.get_version() == Some(uuid::Version::Custom)
        && uuid.get_variant() == uuid::Variant::RFC4122
        && number < NODES;
    ours.then(|| node_of(number))
}

/// The node of this number, which is below [`NODES`].
fn node_of(number: u128) -> NodeId {
    let mut rest = number;
    let mut text = [0; 5];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(rest % 62).unwrap_or_default();
        *place = DIGITS[digit];
        rest /= 62;
    }
    NodeId(text)
}

/// A room: `<node>-room-<uuid>`. It is also the name of the FreeSWITCH conference, so no tenant's text ever is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoomId {
    node: NodeId,
    uuid: Uuid,
}

impl RoomId {
    /// A new room on `node`, whose uuid alone leads there.
    pub fn fresh(node: NodeId, random: Uuid) -> Self {
        Self::new(node, located(node, random))
    }

    /// The room `uuid` on `node`. The uuid can be any: rooms are also heard of, not only made.
    pub const fn new(node: NodeId, uuid: Uuid) -> Self {
        Self { node, uuid }
    }

    /// The node whose conference this is.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The uuid alone, the conference id of the VoIPBIN API.
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
    /// The channel whose `Unique-ID` is `uuid`.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// The uuid.
    pub const fn uuid(&self) -> Uuid {
        self.0
    }
}

/// A call on a node: `<node>-<channel uuid>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SessionId {
    node: NodeId,
    channel: ChannelId,
}

impl SessionId {
    /// The call whose channel is `channel` on `node`.
    pub const fn new(node: NodeId, channel: ChannelId) -> Self {
        Self { node, channel }
    }

    /// The node the call is on.
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The channel on that node.
    pub const fn channel(&self) -> ChannelId {
        self.channel
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.node, self.channel)
    }
}

impl FromStr for SessionId {
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

/// Hashed is the UUID alone, in one piece: it is what tells one id from another, and there are millions of lookups.
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

impl Hash for SessionId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.channel.hash(state);
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// The id with this uuid.
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The uuid.
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
                    .ok_or(invalid($what, "a lower-case hyphenated uuid"))
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

macro_rules! located_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// Carries the node.
            uuid: Uuid,
            node: NodeId,
        }

        impl $name {
            /// A new one on `node`.
            pub fn fresh(node: NodeId, random: Uuid) -> Self {
                let uuid = located(node, random);
                Self { uuid, node }
            }

            /// The one with this uuid; `None` when it was not made here.
            pub fn of(uuid: Uuid) -> Option<Self> {
                Some(Self { uuid, node: locate(uuid)? })
            }

            /// The node it is on.
            pub const fn node(&self) -> NodeId {
                self.node
            }

            /// The uuid, which is all there is to it.
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
                    .and_then(|uuid| Some(Self { uuid, node: locate(uuid)? }))
                    .ok_or(invalid($what, "a lower-case hyphenated uuid of version 8 that was made here"))
            }
        }

        text_id!($name);
    };
}

located_id!(
    /// One stay of one session in one room; the conferencecall id of the VoIPBIN API.
    MemberId,
    "member id"
);
located_id!(
    /// One recording of one room.
    RecordingId,
    "recording id"
);
uuid_id!(
    /// One accepted command that lasts, such as a playback or an answer.
    OperationId,
    "operation id"
);
uuid_id!(
    /// `Core-UUID`: one run of one FreeSWITCH process. A new one means that all its calls and rooms are gone.
    CoreId,
    "Core-UUID"
);
uuid_id!(
    /// `Conference-Unique-ID`: one life of a FreeSWITCH conference, from its first member to its last.
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
text_id!(SessionId);

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $expected:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let ok: fn(&str) -> bool = $ok;
                if ok(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(invalid($what, $expected))
                }
            }
        }

        text_id!($name);
    };
}

checked_text!(
    /// A tenant: `^[A-Za-z0-9_-]{1,64}$`.
    AppId,
    "app id",
    "1 to 64 characters of A-Z a-z 0-9 _ -",
    |t| (1..=64).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
);
checked_text!(
    /// A caller's own id of a command, echoed in the webhook it leads to: `^[a-zA-Z0-9._-]{1,128}$`.
    CommandUid,
    "command_uid",
    "1 to 128 characters of A-Z a-z 0-9 . _ -",
    |t| (1..=128).contains(&t.len())
        && t.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
);
checked_text!(
    /// The name of a room made through the gateway API: `^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`.
    RoomName,
    "conference name",
    "1 to 64 characters of A-Z a-z 0-9 _ -, the first of them a letter or digit",
    |t| (1..=64).contains(&t.len())
        && t.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
);
checked_text!(
    /// A webhook endpoint of an app: `^ep_[a-z0-9]{1,64}$`.
    EndpointId,
    "webhook endpoint id",
    "ep_ and 1 to 64 characters of a-z 0-9",
    |t| t.strip_prefix("ep_").is_some_and(|rest| (1..=64).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
);

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<T: FromStr<Err = InvalidId> + fmt::Display>(text: &str) {
        let id: T = text.parse().map_err(|e: InvalidId| e.to_string()).unwrap();
        assert_eq!(id.to_string(), text);
    }

    fn refused<T: FromStr>(text: &str) {
        assert!(text.parse::<T>().is_err(), "{text:?} was taken for an id");
    }

    fn node(text: &str) -> NodeId {
        text.parse().unwrap()
    }

    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";

    #[test]
    fn ids_print_as_they_were_read() {
        round_trip::<NodeId>("acW68");
        round_trip::<RoomId>(&format!("acW68-room-{UUID}"));
        round_trip::<SessionId>(&format!("acW68-{UUID}"));
        round_trip::<ChannelId>(UUID);
        round_trip::<AppId>("my_app-1");
        round_trip::<CommandUid>("a.b-c_D9");
        round_trip::<RoomName>("weekly-standup");
        round_trip::<EndpointId>("ep_0af3");
        let uuid = located(node("acW68"), Uuid::max()).to_string();
        round_trip::<MemberId>(&uuid);
        round_trip::<RecordingId>(&uuid);
    }

    #[test]
    fn anything_else_is_refused() {
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
        refused::<SessionId>(&format!("acW68-room-{UUID}"));
        refused::<SessionId>("acW68");
        for bad in ["", "-x", "_x", "a b", "a\n", "ä", &"a".repeat(65)] {
            refused::<RoomName>(bad);
        }
        for bad in ["", "a b", "a$b", &"a".repeat(129)] {
            refused::<CommandUid>(bad);
        }
        refused::<AppId>("a:b");
    }

    #[test]
    fn json_carries_ids_as_text() {
        let room: RoomId = format!("acW68-room-{UUID}").parse().unwrap();
        let json = serde_json::to_string(&room).unwrap();
        assert_eq!(json, format!("\"acW68-room-{UUID}\""));
        assert_eq!(serde_json::from_str::<RoomId>(&json).unwrap(), room);
        assert!(serde_json::from_str::<RoomId>("\"x\"").is_err());
    }

    #[test]
    fn a_located_uuid_is_of_version_8_and_ends_with_its_node() {
        for (text, random, uuid) in [
            ("00000", 0, "00000000-0000-8000-8000-000000000000"),
            ("00010", 0, "00000000-0000-8000-8000-00000000003e"),
            ("0000z", 0, "00000000-0000-8000-8000-00000000003d"),
            ("zzzzz", 0, "00000000-0000-8000-8000-0000369b13df"),
            ("zzzzz", u128::MAX, "ffffffff-ffff-8fff-bfff-fffff69b13df"),
        ] {
            let made = located(node(text), Uuid::from_u128(random));
            assert_eq!(made.to_string(), uuid);
        }
    }

    #[test]
    fn a_number_that_is_no_nodes_is_not_located() {
        let last = located(node("zzzzz"), Uuid::nil()).as_u128();
        assert_eq!(locate(Uuid::from_u128(last)), Some(node("zzzzz")));
        for no_node in [last + 1, last | 0x3fff_ffff] {
            assert_eq!(locate(Uuid::from_u128(no_node)), None);
        }
        assert_eq!(locate(Uuid::nil()), None);
        assert_eq!(locate(Uuid::max()), None);
        // The right version, in another variant.
        let other_variant = last ^ (1 << 62);
        assert_eq!(locate(Uuid::from_u128(other_variant)), None);
    }

    #[test]
    fn a_fresh_room_is_found_by_its_uuid() {
        let room = RoomId::fresh(node("acW68"), Uuid::from_u128(7 << 32));
        assert_eq!(locate(room.uuid()), Some(room.node()));
        assert_eq!(room.to_string().parse(), Ok(room));
    }

    proptest::proptest! {
        #[test]
        fn a_located_uuid_leads_to_its_node(text in "[A-Za-z0-9]{5}", random: u128) {
            let (node, random) = (node(&text), Uuid::from_u128(random));
            let uuid = located(node, random);
            proptest::prop_assert_eq!(locate(uuid), Some(node));
            // All that is random in it is as it was given.
            let fixed: u128 = 0xf << 76 | 0b11 << 62 | ((1 << NODE_BITS) - 1);
            proptest::prop_assert_eq!(uuid.as_u128() & !fixed, random.as_u128() & !fixed);
            proptest::prop_assert_eq!(located(node, uuid), uuid);
            let member = MemberId::fresh(node, random);
            proptest::prop_assert_eq!((member.node(), member.uuid()), (node, uuid));
            proptest::prop_assert_eq!(uuid.to_string().parse(), Ok(member));
            let json = serde_json::to_string(&member).unwrap();
            proptest::prop_assert_eq!(serde_json::from_str::<MemberId>(&json).unwrap(), member);
            let recording = RecordingId::fresh(node, random);
            proptest::prop_assert_eq!(recording.to_string().parse(), Ok(recording));
        }

        #[test]
        fn a_uuid_from_elsewhere_leads_nowhere(random: [u8; 16], version in 0_usize..3) {
            let uuid = match version {
                0 => uuid::Builder::from_random_bytes(random).into_uuid(),
                1 => uuid::Builder::from_sha1_bytes(random).into_uuid(),
                _ => uuid::Builder::from_bytes(random).with_version(uuid::Version::SortRand).into_uuid(),
            };
            proptest::prop_assert_eq!(locate(uuid), None);
            refused::<MemberId>(&uuid.to_string());
            refused::<RecordingId>(&uuid.to_string());
            let json = serde_json::to_string(&uuid).unwrap();
            proptest::prop_assert!(serde_json::from_str::<MemberId>(&json).is_err());
        }
    }
}
