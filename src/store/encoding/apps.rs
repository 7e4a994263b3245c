//! Apps that were made at run time: their record and its stored form.
//!
//! Owns [`AppRecord`] and its conversion to and from the stored text. Leaves out its endpoints
//! ([`EndpointRecord`](super::endpoints::EndpointRecord)), permissions and consequences, which the API's registry owns.
//! Pure.
//!
//! A key is kept as its SHA-256 only.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::store::StoreError;
use roomkeeper_core::ids::AppId;
use roomkeeper_core::time::Timestamp;

/// The limit of active keys of an app: one, and its replacement.
pub const ACTIVE_KEYS: usize = 2;

/// The record of an app.
#[derive(Clone)]
pub struct AppRecord {
    /// Its id in the gateway API.
    pub id: AppId,
    /// Its id in the VoIPBIN API.
    pub customer_id: Uuid,
    /// SHA-256 of its active keys, the older first, [`ACTIVE_KEYS`] at most.
    pub keys: Vec<[u8; 32]>,
    /// Its dialled numbers.
    pub dids: Vec<String>,
    /// Its limit of requests per second, if it differs from the default.
    pub rate_limit: Option<u32>,
    /// Its keys are refused.
    pub disabled: bool,
    /// It was deleted. The record stays until the store has nothing of the app any more.
    pub removed: bool,
    /// The time of its creation.
    pub created_at: Timestamp,
}

impl fmt::Debug for AppRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppRecord")
            .field("id", &self.id)
            .field("keys", &self.keys.len())
            .field("dids", &self.dids)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// The stored form, version 1. A field that is added later has a default, so that both forms can be read.
#[derive(Serialize, Deserialize)]
struct Form {
    v: u32,
    customer_id: Uuid,
    keys: Vec<String>,
    dids: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate_limit: Option<u32>,
    #[serde(default)]
    disabled: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
    created_at: u64,
}

const FORM: u32 = 1;

impl AppRecord {
    /// Returns the stored form.
    pub fn encode(&self) -> String {
        let form = Form {
            v: FORM,
            customer_id: self.customer_id,
            keys: self.keys.iter().map(hex).collect(),
            dids: self.dids.clone(),
            rate_limit: self.rate_limit,
            disabled: self.disabled,
            removed: self.removed,
            created_at: self.created_at.as_micros(),
        };
        match serde_json::to_string(&form) {
            Ok(text) => text,
            Err(error) => unreachable!("texts and numbers are always JSON: {error}"),
        }
    }

    /// Reads the stored form of an app.
    ///
    /// # Errors
    /// Fails if it is not one.
    pub fn decode(id: &AppId, text: &str) -> Result<Self, StoreError> {
        let corrupt = |why: String| StoreError::Corrupt {
            key: format!("app {id}"),
            why,
        };
        // serde's message may quote the text, and with it a secret, so only the position is reported.
        let form: Form = serde_json::from_str(text)
            .map_err(|e| corrupt(format!("not readable at column {}", e.column())))?;
        if form.v != FORM {
            return Err(corrupt(format!("its form is {}", form.v)));
        }
        let keys: Option<Vec<_>> = form.keys.iter().map(|text| unhex(text)).collect();
        let keys = keys
            .filter(|keys| keys.len() <= ACTIVE_KEYS)
            .ok_or_else(|| {
                corrupt("it must have at most two keys, which are digests".to_owned())
            })?;
        Ok(Self {
            id: id.clone(),
            customer_id: form.customer_id,
            keys,
            dids: form.dids,
            rate_limit: form.rate_limit,
            disabled: form.disabled,
            removed: form.removed,
            created_at: Timestamp::from_micros(form.created_at),
        })
    }

    /// Marks the app as deleted. Its numbers are free again, and a program that does not know the mark sees an app
    /// without keys.
    pub fn remove(&mut self) {
        self.removed = true;
        self.disabled = true;
        self.keys.clear();
        self.dids.clear();
    }

    /// Makes this key active and drops the oldest of three.
    pub fn add_key(&mut self, digest: [u8; 32]) {
        self.keys.push(digest);
        let over = self.keys.len().saturating_sub(ACTIVE_KEYS);
        self.keys.drain(..over);
    }
}

fn hex(digest: &[u8; 32]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    bytes?.try_into().ok().filter(|_| rest.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AppRecord {
        AppRecord {
            id: "acme".parse().unwrap(),
            customer_id: Uuid::from_u128(7),
            keys: vec![[0xa5; 32]],
            dids: vec!["747713001".to_owned()],
            rate_limit: Some(50),
            disabled: true,
            removed: true,
            created_at: Timestamp::from_micros(1_778_070_896_672_123),
        }
    }

    #[test]
    fn stored_form_reads_back() {
        let text = record().encode();
        let read = AppRecord::decode(&record().id, &text).unwrap();
        assert_eq!(read.encode(), text);
        assert_eq!(read.keys, [[0xa5; 32]]);
        assert_eq!(read.created_at, record().created_at);
        assert!(read.disabled && read.removed);
    }

    #[test]
    fn keys_are_not_shown() {
        let shown = format!("{:?}", record());
        for secret in ["a5a5", "165"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        let broken = record().encode().replace("\"v\":1", "\"v\":\"whsec_x\"");
        let error = AppRecord::decode(&record().id, &broken).unwrap_err();
        assert!(!error.to_string().contains("whsec_x"), "{error}");
    }

    #[test]
    fn oldest_of_three_keys_is_dropped() {
        let mut app = record();
        app.add_key([2; 32]);
        assert_eq!(app.keys, [[0xa5; 32], [2; 32]]);
        app.add_key([3; 32]);
        assert_eq!(app.keys, [[2; 32], [3; 32]]);
    }

    #[test]
    fn invalid_app_is_corrupt() {
        let id = record().id;
        let good = record().encode();
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("a5a5", "xx"),
            good.replace("a5a5", "a5"),
        ] {
            assert!(AppRecord::decode(&id, &bad).is_err(), "{bad}");
        }
    }
}
