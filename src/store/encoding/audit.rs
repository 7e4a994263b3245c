//! Entries of the audit log and their stored form. Pure.
//!
//! An entry is one request that may change something: its sender, its subject, its result. It contains no body and no query,
//! which may contain secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::store::StoreError;
use crate::store::contract::audit::AuditLogKind;
use roomkeeper_core::ids::AppId;
use roomkeeper_core::time::Timestamp;

/// The number of digits of the time in an id.
const TIME_DIGITS: usize = 16;

/// The id of an entry: its time in microseconds, and a random number. Ids sort by time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AuditId(String);

impl AuditId {
    /// Creates the id of an entry.
    pub fn new(at: Timestamp, random: u32) -> Self {
        Self(format!("{}-{random:08x}", time_digits(at)))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the time of the entry.
    pub fn at(&self) -> Timestamp {
        let micros = self.0.get(..TIME_DIGITS).and_then(|text| text.parse().ok());
        Timestamp::from_micros(micros.unwrap_or_default())
    }
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The error of a text that is no id of an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not the id of an audit entry")]
pub struct InvalidAuditId;

impl FromStr for AuditId {
    type Err = InvalidAuditId;

    fn from_str(text: &str) -> Result<Self, InvalidAuditId> {
        let parts = text.split_once('-');
        let is_id = parts.is_some_and(|(time, random)| {
            time.len() == TIME_DIGITS
                && time.bytes().all(|b| b.is_ascii_digit())
                && random.len() == 8
                && random
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        is_id.then(|| Self(text.to_owned())).ok_or(InvalidAuditId)
    }
}

/// Returns the beginning of the ids of this time. It sorts before them.
pub fn time_digits(at: Timestamp) -> String {
    format!("{:0TIME_DIGITS$}", at.as_micros())
}

/// The sender of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditActor {
    /// The operator.
    Operator,
    /// An app.
    App(AppId),
}

impl AuditActor {
    /// Returns the log that contains the sender's entries.
    pub const fn log(&self) -> AuditLogKind {
        match self {
            Self::Operator => AuditLogKind::Operator,
            Self::App(_) => AuditLogKind::Apps,
        }
    }
}

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEntry {
    /// Its id, with the time of the request.
    pub id: AuditId,
    /// The sender.
    pub actor: AuditActor,
    /// The action, such as `sessions.hangup`.
    pub action: String,
    /// The method and the route of the request.
    pub method: String,
    /// See [`AuditEntry::method`].
    pub route: String,
    /// The id that the request is about, if there is one.
    pub target: Option<String>,
    /// The app that the request is about, if it is known.
    pub app: Option<AppId>,
    /// The status of the response.
    pub status: u16,
    /// The error of the response.
    pub error: Option<String>,
    /// The id of the request in the log.
    pub request: String,
    /// The address of the client.
    pub client: String,
    /// The parameters of the route.
    pub params: BTreeMap<String, String>,
}

/// The stored form after the id.
#[derive(Serialize, Deserialize)]
struct Form {
    #[serde(rename = "by", default, skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(rename = "do")]
    action: String,
    #[serde(rename = "m")]
    method: String,
    #[serde(rename = "r")]
    route: String,
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    app: Option<String>,
    #[serde(rename = "s")]
    status: u16,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(rename = "q", default)]
    request: String,
    #[serde(rename = "c", default)]
    client: String,
    #[serde(rename = "p", default, skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, String>,
}

impl AuditEntry {
    /// Returns the stored form.
    pub fn encode(&self) -> String {
        let form = Form {
            by: match &self.actor {
                AuditActor::Operator => None,
                AuditActor::App(app) => Some(app.to_string()),
            },
            action: self.action.clone(),
            method: self.method.clone(),
            route: self.route.clone(),
            target: self.target.clone(),
            app: self.app.as_ref().map(ToString::to_string),
            status: self.status,
            error: self.error.clone(),
            request: self.request.clone(),
            client: self.client.clone(),
            params: self.params.clone(),
        };
        match serde_json::to_string(&form) {
            Ok(json) => format!("{} {json}", self.id),
            Err(error) => unreachable!("texts and numbers are always JSON: {error}"),
        }
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// Fails if it is not one.
    pub fn decode(text: &str) -> Result<Self, StoreError> {
        let corrupt = |why: String| StoreError::Corrupt {
            key: "the audit log".to_owned(),
            why,
        };
        let (id, json) = text
            .split_once(' ')
            .ok_or_else(|| corrupt("an entry has no id".to_owned()))?;
        let id: AuditId = id
            .parse()
            .map_err(|_| corrupt(format!("{id:?} is no id")))?;
        let form: Form = serde_json::from_str(json).map_err(|e| {
            corrupt(format!(
                "entry {id} is not readable at column {}",
                e.column()
            ))
        })?;
        let app = |text: Option<String>| {
            text.map(|text| text.parse::<AppId>())
                .transpose()
                .map_err(|e| corrupt(format!("entry {id}: {e}")))
        };
        Ok(Self {
            actor: app(form.by)?.map_or(AuditActor::Operator, AuditActor::App),
            app: app(form.app)?,
            action: form.action,
            method: form.method,
            route: form.route,
            target: form.target,
            status: form.status,
            error: form.error,
            request: form.request,
            client: form.client,
            params: form.params,
            id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            id: AuditId::new(Timestamp::from_micros(1_778_070_896_672_123), 7),
            actor: AuditActor::App("acme".parse().unwrap()),
            action: "sessions.hangup".to_owned(),
            method: "POST".to_owned(),
            route: "/api/v1/sessions/{uuid}/commands/hangup".to_owned(),
            target: Some("acW68-x y".to_owned()),
            app: Some("acme".parse().unwrap()),
            status: 404,
            error: Some("session not found".to_owned()),
            request: "r-1".to_owned(),
            client: "192.0.2.1".to_owned(),
            params: [("uuid".to_owned(), "acW68-x y".to_owned())].into(),
        }
    }

    #[test]
    fn stored_form_reads_back() {
        let full = entry();
        assert_eq!(AuditEntry::decode(&full.encode()).unwrap(), full);
        let bare = AuditEntry {
            actor: AuditActor::Operator,
            target: None,
            app: None,
            error: None,
            params: BTreeMap::new(),
            ..entry()
        };
        assert_eq!(AuditEntry::decode(&bare.encode()).unwrap(), bare);
        assert_eq!(bare.id.at().as_micros(), 1_778_070_896_672_123);
    }

    #[test]
    fn ids_sort_by_time_and_after_the_digits_of_their_time() {
        let at = Timestamp::from_micros;
        let (early, late) = (AuditId::new(at(9), u32::MAX), AuditId::new(at(10), 0));
        assert!(early < late);
        assert!(*time_digits(at(10)) < *late.as_str() && *early.as_str() < *time_digits(at(10)));
        assert_eq!(late.to_string().parse(), Ok(late));
        for bad in ["", "1-2", "0000000000000010", "0000000000000010-0000000G"] {
            assert_eq!(bad.parse::<AuditId>(), Err(InvalidAuditId), "{bad}");
        }
    }

    #[test]
    fn invalid_entry_is_corrupt() {
        let good = entry().encode();
        for bad in [
            "",
            "x {}",
            &good.replace("acme", "a.b"),
            &good.replace("404", "\"4\""),
        ] {
            assert!(AuditEntry::decode(bad).is_err(), "{bad}");
        }
    }
}
