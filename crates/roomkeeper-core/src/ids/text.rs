//! Ids that are texts of a restricted form.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{InvalidId, invalid};

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $expected:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
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
                    Err(invalid($kind, $expected))
                }
            }
        }

        text_id!($name);
    };
}

checked_text!(
    /// The id of an app, a tenant: `^[A-Za-z0-9_-]{1,64}$`.
    AppId,
    "app id",
    "1 to 64 characters of A-Z a-z 0-9 _ -",
    |t| (1..=64).contains(&t.len())
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
);
checked_text!(
    /// A caller's own id of a command, repeated in the resulting webhook: `^[a-zA-Z0-9._-]{1,128}$`.
    CommandUid,
    "command_uid",
    "1 to 128 characters of A-Z a-z 0-9 . _ -",
    |t| (1..=128).contains(&t.len())
        && t.bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
);
checked_text!(
    /// The name of a room that was created through the gateway API: `^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`.
    RoomName,
    "conference name",
    "1 to 64 characters of A-Z a-z 0-9 _ -, the first of them a letter or digit",
    |t| (1..=64).contains(&t.len())
        && t.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
);
checked_text!(
    /// The id of a webhook endpoint of an app: `^ep_[a-z0-9]{1,64}$`.
    EndpointId,
    "webhook endpoint id",
    "ep_ and 1 to 64 characters of a-z 0-9",
    |t| t.strip_prefix("ep_").is_some_and(|rest| (1..=64).contains(&rest.len())
        && rest.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
);
