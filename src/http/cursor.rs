//! Cursors of lists: opaque, signed positions.
//!
//! A cursor is `base64url(tag ‖ position)`, the tag being the first 16 bytes of HMAC-SHA256 over the owner (an app, or
//! [`OPERATOR`]), the list and the position. So a cursor cannot be forged, or used for another app or list. It holds no
//! secret and does not expire.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

use roomkeeper_core::ids::RoomId;

use super::error::ApiError;

/// The owner of the operator's cursors; no app has this id.
pub(crate) const OPERATOR: &str = "*";

const TAG: usize = 16;

/// The maximum length of a list's cursor. Real ones are below 150.
const LONGEST: usize = 512;

/// The maximum length of an event id: at most 40 bytes per node, for many nodes.
const LONGEST_EVENT: usize = 16 * 1024;

/// The signing key of cursors.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// Wraps a key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Generates a key for this process: its cursors become invalid with it.
    pub fn random() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// Signs a position as a cursor.
    pub(crate) fn seal(&self, owner: &dyn fmt::Display, list: List, position: &str) -> String {
        let tag = self.mac(owner, list, position).finalize().into_bytes();
        let mut bytes = tag[..TAG].to_vec();
        bytes.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies a cursor and returns its position.
    pub(crate) fn open(
        &self,
        owner: &dyn fmt::Display,
        list: List,
        cursor: &str,
    ) -> Result<String, ApiError> {
        let name = list.parameter();
        self.opened(owner, list, cursor)
            .ok_or_else(|| ApiError::field(name, list.stranger()))
    }

    fn opened(&self, owner: &dyn fmt::Display, list: List, cursor: &str) -> Option<String> {
        if cursor.len() > list.longest() {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, position) = bytes.split_at_checked(TAG)?;
        let position = std::str::from_utf8(position).ok()?;
        self.mac(owner, list, position)
            .verify_truncated_left(tag)
            .ok()?;
        Some(position.to_owned())
    }

    fn mac(&self, owner: &dyn fmt::Display, list: List, position: &str) -> Hmac<Sha256> {
        // HMAC pads short keys with zeros to the block size; padding here makes it infallible.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        // App ids and list names have no line breaks, so the text is unambiguous.
        mac.update(format!("{owner}\n{list}\n{position}").as_bytes());
        mac
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

/// A list that has cursors.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Rooms,
    Sessions,
    Deliveries,
    Audit,
    Members(RoomId),
    Conferences,
    Calls(Option<RoomId>),
    Recordings(Option<RoomId>),
    /// The event stream of an app or a room.
    Events(Option<RoomId>),
}

impl List {
    /// The name of the cursor's parameter or header.
    const fn parameter(self) -> &'static str {
        match self {
            Self::Rooms | Self::Sessions | Self::Deliveries | Self::Audit | Self::Members(_) => {
                "cursor"
            }
            Self::Conferences | Self::Calls(_) | Self::Recordings(_) => "page_token",
            Self::Events(_) => "Last-Event-ID",
        }
    }

    const fn longest(self) -> usize {
        match self {
            Self::Events(_) => LONGEST_EVENT,
            Self::Rooms
            | Self::Sessions
            | Self::Deliveries
            | Self::Audit
            | Self::Members(_)
            | Self::Conferences
            | Self::Calls(_)
            | Self::Recordings(_) => LONGEST,
        }
    }

    /// The error for an invalid cursor.
    fn stranger(self) -> String {
        match self {
            Self::Events(_) => {
                "not an id of this stream; without it, the stream begins now".to_owned()
            }
            Self::Rooms
            | Self::Sessions
            | Self::Deliveries
            | Self::Audit
            | Self::Members(_)
            | Self::Conferences
            | Self::Calls(_)
            | Self::Recordings(_) => format!("not a {} of this list", self.parameter()),
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rooms => f.write_str("rooms"),
            Self::Sessions => f.write_str("sessions"),
            // The endpoint is checked separately, and positions are times in all delivery lists.
            Self::Deliveries => f.write_str("deliveries"),
            Self::Audit => f.write_str("audit"),
            Self::Members(room) => write!(f, "members/{room}"),
            Self::Conferences => f.write_str("conferences"),
            Self::Calls(None) => f.write_str("calls"),
            Self::Calls(Some(room)) => write!(f, "calls/{room}"),
            Self::Recordings(None) => f.write_str("recordings"),
            Self::Recordings(Some(room)) => write!(f, "recordings/{room}"),
            Self::Events(None) => f.write_str("events"),
            Self::Events(Some(room)) => write!(f, "events/{room}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roomkeeper_core::ids::AppId;

    #[test]
    fn cursor_is_valid_for_its_app_and_list_only() {
        let key = CursorKey::new([7; 32]);
        let (a, b): (AppId, AppId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let cursor = key.seal(&a, List::Rooms, "00000000000001:x");
        assert_eq!(
            key.open(&a, List::Rooms, &cursor).unwrap(),
            "00000000000001:x"
        );
        assert!(key.open(&b, List::Rooms, &cursor).is_err());
        assert!(key.open(&OPERATOR, List::Rooms, &cursor).is_err());
        assert!(OPERATOR.parse::<AppId>().is_err());
        assert!(key.open(&a, List::Sessions, &cursor).is_err());
        assert!(
            CursorKey::new([8; 32])
                .open(&a, List::Rooms, &cursor)
                .is_err()
        );
    }

    #[test]
    fn changed_byte_invalidates_cursor() {
        let key = CursorKey::random();
        let app: AppId = "a".parse().unwrap();
        let cursor = key.seal(&app, List::Sessions, "00000000000001:x");
        for at in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let bent = String::from_utf8(bytes).unwrap();
            assert!(key.open(&app, List::Sessions, &bent).is_err(), "{bent}");
        }
        for bad in ["", "%", "AAAA", &"A".repeat(10_000)] {
            assert!(key.open(&app, List::Sessions, bad).is_err());
        }
    }
}
