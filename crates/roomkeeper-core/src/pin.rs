//! PINs of rooms: their form, the hash that is stored instead, and the request to a caller.
//!
//! A PIN has so few digits that anybody who has its hash finds it by trying all of them. The salt and the iterations only
//! make that cost seconds to days, and no table of hashes fits two rooms.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::gather::{Digits, Gather, Prompt};

/// The fewest digits of a PIN.
pub const MIN_PIN: u8 = 4;

/// The most digits of a PIN.
pub const MAX_PIN: u8 = 16;

/// The attempts of a caller, unless the room says otherwise.
pub const DEFAULT_TRIES: u8 = 3;

/// The iterations of a new hash: 0.1 to 0.3 ms of the node's task for each attempt of a caller, measured with the SHA
/// instructions of x86.
const ITERATIONS: u32 = 1_000;

/// The most iterations of a stored hash: no record makes the node's task wait longer.
const MAX_ITERATIONS: u32 = 10_000;

/// The time for the first digit, in milliseconds, after the prompt.
const TIMEOUT_MS: u32 = 10_000;

/// The time for each further digit, in milliseconds.
const INTER_DIGIT_TIMEOUT_MS: u32 = 3_000;

/// A PIN in plain text, between the request and its hash. `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

/// A text that is no PIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("expected 4 to 16 digits of 0 to 9")]
pub struct InvalidPin;

impl FromStr for Pin {
    type Err = InvalidPin;

    fn from_str(text: &str) -> Result<Self, InvalidPin> {
        let fits = (MIN_PIN.into()..=MAX_PIN.into()).contains(&text.len());
        match fits && text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(Self(text.to_owned())),
            false => Err(InvalidPin),
        }
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin")
    }
}

/// The salted hash of a PIN (PBKDF2 with HMAC-SHA-256). `Debug` hides it. Its stored form is
/// `<iterations>.<base64url of salt and hash>`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PinHash {
    iterations: u32,
    salt: Uuid,
    hash: [u8; 32],
}

impl PinHash {
    /// Hashes a PIN with a new random salt.
    pub fn new(pin: &Pin, salt: Uuid) -> Self {
        Self {
            iterations: ITERATIONS,
            salt,
            hash: hash(&pin.0, salt, ITERATIONS),
        }
    }

    /// Returns true if these digits are the PIN. Other digits take the same time.
    pub fn matches(&self, digits: &Digits) -> bool {
        let found = hash(digits.as_str(), self.salt, self.iterations);
        found.ct_eq(&self.hash).into()
    }
}

fn hash(digits: &str, salt: Uuid, iterations: u32) -> [u8; 32] {
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(digits.as_bytes(), salt.as_bytes(), iterations)
}

impl fmt::Debug for PinHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PinHash")
    }
}

/// A stored text that is no hash of a PIN.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("hash of a PIN in another form")]
pub struct InvalidPinHash;

impl TryFrom<String> for PinHash {
    type Error = InvalidPinHash;

    fn try_from(text: String) -> Result<Self, InvalidPinHash> {
        let (iterations, bytes) = text.split_once('.').ok_or(InvalidPinHash)?;
        let iterations = iterations.parse().map_err(|_| InvalidPinHash)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(bytes);
        let bytes = bytes.map_err(|_| InvalidPinHash)?;
        let (salt, hash) = bytes.split_at_checked(16).ok_or(InvalidPinHash)?;
        if !(1..=MAX_ITERATIONS).contains(&iterations) {
            return Err(InvalidPinHash);
        }
        Ok(Self {
            iterations,
            salt: Uuid::from_slice(salt).map_err(|_| InvalidPinHash)?,
            hash: hash.try_into().map_err(|_| InvalidPinHash)?,
        })
    }
}

impl From<PinHash> for String {
    fn from(pin: PinHash) -> Self {
        let bytes = [pin.salt.as_bytes().as_slice(), &pin.hash].concat();
        let bytes = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}.{bytes}", pin.iterations)
    }
}

/// The PIN of a room, or none. Settings are shown in many places, so the JSON form is true or false; the hash is stored
/// beside them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RoomPin(Option<PinHash>);

impl RoomPin {
    /// Returns the PIN with this hash.
    pub const fn new(hash: Option<PinHash>) -> Self {
        Self(hash)
    }

    /// Returns the hash.
    pub const fn hash(&self) -> Option<&PinHash> {
        self.0.as_ref()
    }
}

impl Serialize for RoomPin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(self.0.is_some())
    }
}

impl<'de> Deserialize<'de> for RoomPin {
    /// Reads a PIN without its hash: no digits match until the hash is set.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let is_set = bool::deserialize(deserializer)?;
        Ok(Self(is_set.then_some(PinHash {
            iterations: 1,
            salt: Uuid::nil(),
            hash: [0; 32],
        })))
    }
}

/// A request for the PIN of a room.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PinRequest {
    /// The PIN.
    pub hash: PinHash,
    /// The prompt before each attempt.
    pub prompt: Prompt,
    /// The attempts that are left, this one included.
    pub tries: u8,
}

impl PinRequest {
    /// Returns the request for digits of one attempt. More digits than a PIN can have are accepted, so that the caller ends
    /// each PIN in the same way, and the key after the last digit belongs to no other attempt.
    pub fn attempt(&self) -> Gather {
        Gather {
            prompt: self.prompt.clone(),
            min_digits: 1,
            max_digits: MAX_PIN + 1,
            terminator: Some('#'),
            timeout_ms: TIMEOUT_MS,
            inter_digit_timeout_ms: INTER_DIGIT_TIMEOUT_MS,
            tries: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(pin: &str, salt: u128) -> PinHash {
        PinHash::new(&pin.parse().unwrap(), Uuid::from_u128(salt))
    }

    #[test]
    fn pin_has_4_to_16_digits() {
        for good in ["0000", "1234567890123456"] {
            assert!(good.parse::<Pin>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "123",
            "12345678901234567",
            "12*4",
            "12 4",
            "١٢٣٤",
            "-123",
        ] {
            assert_eq!(bad.parse::<Pin>(), Err(InvalidPin), "{bad}");
        }
    }

    #[test]
    fn only_the_same_digits_match() {
        let hash = hashed("0123", 1);
        assert!(hash.matches(&Digits::from_reported("0123")));
        for wrong in ["", "012", "01234", "123", "0124", "*#"] {
            assert!(!hash.matches(&Digits::from_reported(wrong)), "{wrong}");
        }
        assert_ne!(hash, hashed("0123", 2), "a salt makes another hash");
    }

    #[test]
    fn neither_debug_nor_json_shows_a_pin() {
        let pin: Pin = "9876".parse().unwrap();
        let hash = hashed("9876", 1);
        let room = RoomPin::new(Some(hash.clone()));
        assert_eq!(format!("{pin:?} {room:?}"), "Pin RoomPin(Some(PinHash))");
        assert_eq!(serde_json::to_string(&room).unwrap(), "true");
        let stored: String = hash.clone().into();
        assert!(!stored.contains("9876"), "{stored}");
        assert_eq!(PinHash::try_from(stored), Ok(hash));
    }

    #[test]
    fn pin_whose_hash_is_lost_lets_nobody_in() {
        let room: RoomPin = serde_json::from_str("true").unwrap();
        let hash = room.hash().unwrap();
        for digits in ["", "0000"] {
            assert!(!hash.matches(&Digits::from_reported(digits)), "{digits}");
        }
        let room: RoomPin = serde_json::from_str("false").unwrap();
        assert_eq!(room, RoomPin::default());
    }

    #[test]
    fn hash_in_another_form_is_refused() {
        let good = String::from(hashed("9876", 1));
        let bytes = good.split_once('.').unwrap().1;
        for bad in [
            String::new(),
            bytes.to_owned(),
            format!("0.{bytes}"),
            format!("10001.{bytes}"),
            format!("1000.{}", &bytes[1..]),
            "1000.".to_owned(),
        ] {
            assert_eq!(PinHash::try_from(bad.clone()), Err(InvalidPinHash), "{bad}");
        }
    }
}
