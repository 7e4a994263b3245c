//! Places in lists, as callers carry them: opaque and signed.
//!
//! A cursor is `base64url(tag ‖ position)`, the tag being the first 16 bytes of HMAC-SHA256 over the app, the list
//! and the position. So nobody can make one up, use another app's, or take that of one list to another. It holds no
//! secret and does not expire.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

use crate::ids::{AppId, RoomId};

use super::error::ApiError;

const TAG: usize = 16;

/// The longest cursor of a list that is looked at; ours are below 150.
const LONGEST: usize = 512;

/// The longest id of an event that is looked at: 40 bytes a node at most, and many nodes.
const LONGEST_EVENT: usize = 16 * 1024;

/// What cursors are signed with.
#[derive(Clone)]
pub struct CursorKey([u8; 32]);

impl CursorKey {
    /// This key.
    pub const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// A key that only this run of the program knows: its cursors end with it.
    pub fn random() -> Self {
        let mut key = [0; 32];
        rand::rng().fill_bytes(&mut key);
        Self(key)
    }

    /// The cursor that stands for this position.
    pub(crate) fn seal(&self, app: &AppId, list: List, position: &str) -> String {
        let tag = self.mac(app, list, position).finalize().into_bytes();
        let mut bytes = tag[..TAG].to_vec();
        bytes.extend_from_slice(position.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position that a cursor stands for.
    pub(crate) fn open(&self, app: &AppId, list: List, cursor: &str) -> Result<String, ApiError> {
        let name = list.parameter();
        self.opened(app, list, cursor)
            .ok_or_else(|| ApiError::field(name, list.stranger()))
    }

    fn opened(&self, app: &AppId, list: List, cursor: &str) -> Option<String> {
        if cursor.len() > list.longest() {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (tag, position) = bytes.split_at_checked(TAG)?;
        let position = std::str::from_utf8(position).ok()?;
        self.mac(app, list, position)
            .verify_truncated_left(tag)
            .ok()?;
        Some(position.to_owned())
    }

    fn mac(&self, app: &AppId, list: List, position: &str) -> Hmac<Sha256> {
        // HMAC pads a short key with zeros to this size anyway; done here, it cannot fail.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        // An app id and a list's name have no line break, so no two of these texts run into each other.
        mac.update(format!("{app}\n{list}\n{position}").as_bytes());
        mac
    }
}

impl fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorKey(..)")
    }
}

/// The lists there are.
#[derive(Clone, Copy, Debug)]
pub(crate) enum List {
    Rooms,
    Sessions,
    Deliveries,
    Members(RoomId),
    Conferences,
    Calls(Option<RoomId>),
    Recordings(Option<RoomId>),
    /// Not a list: the events of an app, or of a room.
    Events(Option<RoomId>),
}

impl List {
    /// What its API calls a cursor.
    const fn parameter(self) -> &'static str {
        match self {
            Self::Rooms | Self::Sessions | Self::Deliveries | Self::Members(_) => "cursor",
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
            | Self::Members(_)
            | Self::Conferences
            | Self::Calls(_)
            | Self::Recordings(_) => LONGEST,
        }
    }

    /// What who gives a cursor is told that is none of this list.
    fn stranger(self) -> String {
        match self {
            Self::Events(_) => {
                "not an id of this stream; without it, the stream begins now".to_owned()
            }
            Self::Rooms
            | Self::Sessions
            | Self::Deliveries
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
            // Whose they are is looked at anyway, and a position is the same in all of them: a time.
            Self::Deliveries => f.write_str("deliveries"),
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

    #[test]
    fn a_cursor_opens_only_where_it_was_made() {
        let key = CursorKey::new([7; 32]);
        let (a, b): (AppId, AppId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let cursor = key.seal(&a, List::Rooms, "00000000000001:x");
        assert_eq!(
            key.open(&a, List::Rooms, &cursor).unwrap(),
            "00000000000001:x"
        );
        assert!(key.open(&b, List::Rooms, &cursor).is_err());
        assert!(key.open(&a, List::Sessions, &cursor).is_err());
        assert!(
            CursorKey::new([8; 32])
                .open(&a, List::Rooms, &cursor)
                .is_err()
        );
    }

    #[test]
    fn any_changed_byte_is_noticed() {
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
