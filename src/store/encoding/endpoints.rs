//! Webhook endpoints: their record and its stored form. Pure.
//!
//! There are two kinds. The record of an endpoint that an app made is complete. A configured endpoint has a record only
//! while it is disabled. A secret is stored in plain text, because it signs the bodies.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::store::StoreError;
use roomkeeper_core::ids::{AppId, EndpointId};
use roomkeeper_core::time::Timestamp;

/// The limit of signing secrets of an endpoint: one, and its predecessor.
pub const ACTIVE_SECRETS: usize = 2;

/// The record of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointRecord {
    /// Its id.
    pub id: EndpointId,
    /// Its app.
    pub app: AppId,
    /// The endpoint's data; `None` for a configured one.
    pub own: Option<OwnEndpoint>,
    /// The time of its creation; for a configured one, of the first write of this record.
    pub created_at: Timestamp,
    /// The reason and the time, if it is disabled.
    pub disabled: Option<Disabled>,
    /// It was deleted: its data is being removed, and this record goes last.
    pub removed: bool,
}

/// An endpoint that an app made for itself.
#[derive(Clone)]
pub struct OwnEndpoint {
    /// The URL of the receiver.
    pub url: Url,
    /// The filters of its events, as text.
    pub events: Vec<String>,
    /// The signing secrets, the older first, at most [`ACTIVE_SECRETS`].
    pub secrets: Vec<OwnSecret>,
}

impl fmt::Debug for OwnEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Receivers keep their tokens in the query.
        f.debug_struct("OwnEndpoint")
            .field("events", &self.events)
            .field("secrets", &self.secrets.len())
            .finish_non_exhaustive()
    }
}

/// A signing secret of an endpoint, as text.
#[derive(Clone, Debug)]
pub struct OwnSecret {
    /// `whsec_…`.
    pub text: SecretString,
    /// Until when it signs; `None` for the current one.
    pub until: Option<Timestamp>,
}

/// The state of a disabled endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Disabled {
    /// Since when.
    pub at: Timestamp,
    /// The reason.
    pub why: DisabledWhy,
    /// The webhook about it is queued for the app's other endpoints, if it needs one.
    pub is_reported: bool,
}

/// The reason why an endpoint gets no webhooks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DisabledWhy {
    /// Its app disabled it.
    Owner,
    /// Its receiver answered 410: it is gone for good.
    Gone,
    /// It accepted nothing for days.
    Failing,
}

impl DisabledWhy {
    /// Returns its stored and public name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

/// The stored form, version 1.
#[derive(Serialize, Deserialize)]
struct Form {
    v: u32,
    app: AppId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own: Option<OwnForm>,
    created_at: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled: Option<DisabledForm>,
    #[serde(default)]
    removed: bool,
}

#[derive(Serialize, Deserialize)]
struct OwnForm {
    url: Url,
    events: Vec<String>,
    secrets: Vec<SecretForm>,
}

#[derive(Serialize, Deserialize)]
struct SecretForm {
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct DisabledForm {
    at: u64,
    why: DisabledWhy,
    told: bool,
}

const FORM: u32 = 1;

impl EndpointRecord {
    /// The stored form.
    pub fn encode(&self) -> String {
        let form = Form {
            v: FORM,
            app: self.app.clone(),
            own: self.own.as_ref().map(|own| OwnForm {
                url: own.url.clone(),
                events: own.events.clone(),
                secrets: own.secrets.iter().map(SecretForm::from_secret).collect(),
            }),
            created_at: self.created_at.as_micros(),
            disabled: self.disabled.map(|disabled| DisabledForm {
                at: disabled.at.as_micros(),
                why: disabled.why,
                told: disabled.is_reported,
            }),
            removed: self.removed,
        };
        match serde_json::to_string(&form) {
            Ok(text) => text,
            Err(error) => unreachable!("texts and numbers are always JSON: {error}"),
        }
    }

    /// Reads the stored form of an endpoint.
    ///
    /// # Errors
    /// Fails if it is not one.
    pub fn decode(id: &EndpointId, text: &str) -> Result<Self, StoreError> {
        let corrupt = |why: String| StoreError::Corrupt {
            key: format!("endpoint {id}"),
            why,
        };
        // serde's message may quote the text, and with it a secret, so only the position is reported.
        let form: Form = serde_json::from_str(text)
            .map_err(|e| corrupt(format!("not readable at column {}", e.column())))?;
        if form.v != FORM {
            return Err(corrupt(format!("its form is {}", form.v)));
        }
        let own = form.own.map(|own| OwnEndpoint {
            url: own.url,
            events: own.events,
            secrets: own.secrets.into_iter().map(OwnSecret::from).collect(),
        });
        if let Some(own) = &own
            && !(1..=ACTIVE_SECRETS).contains(&own.secrets.len())
        {
            return Err(corrupt("it must have one or two secrets".to_owned()));
        }
        Ok(Self {
            id: id.clone(),
            app: form.app,
            own,
            created_at: Timestamp::from_micros(form.created_at),
            disabled: form.disabled.map(|disabled| Disabled {
                at: Timestamp::from_micros(disabled.at),
                why: disabled.why,
                is_reported: disabled.told,
            }),
            removed: form.removed,
        })
    }
}

impl OwnEndpoint {
    /// Makes this secret the current one. The previous one signs until `until`, any older one no more.
    pub fn rotate(&mut self, secret: SecretString, until: Timestamp) {
        for old in &mut self.secrets {
            old.until.get_or_insert(until);
        }
        self.secrets.push(OwnSecret {
            text: secret,
            until: None,
        });
        let over = self.secrets.len().saturating_sub(ACTIVE_SECRETS);
        self.secrets.drain(..over);
    }
}

impl SecretForm {
    fn from_secret(secret: &OwnSecret) -> Self {
        Self {
            text: secret.text.expose_secret().to_owned(),
            until: secret.until.map(|until| until.as_micros()),
        }
    }
}

impl From<SecretForm> for OwnSecret {
    fn from(form: SecretForm) -> Self {
        Self {
            text: form.text.into(),
            until: form.until.map(Timestamp::from_micros),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> EndpointRecord {
        EndpointRecord {
            id: "ep_1".parse().unwrap(),
            app: "acme".parse().unwrap(),
            own: Some(OwnEndpoint {
                url: "https://example.com/hook?token=t".parse().unwrap(),
                events: vec!["call.*".to_owned()],
                secrets: vec![OwnSecret {
                    text: "whsec_QUFB".to_owned().into(),
                    until: None,
                }],
            }),
            created_at: Timestamp::from_micros(1_778_070_896_672_123),
            disabled: Some(Disabled {
                at: Timestamp::from_micros(7),
                why: DisabledWhy::Gone,
                is_reported: true,
            }),
            removed: false,
        }
    }

    #[test]
    fn stored_form_reads_back() {
        let configured = EndpointRecord {
            own: None,
            disabled: None,
            removed: true,
            ..record()
        };
        for written in [record(), configured] {
            let text = written.encode();
            let read = EndpointRecord::decode(&written.id, &text).unwrap();
            assert_eq!(read.encode(), text);
            assert_eq!(read.disabled, written.disabled);
            assert_eq!(read.removed, written.removed);
            assert_eq!(read.created_at, written.created_at);
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", record());
        let broken = record().encode().replace("\"v\":1", "\"v\":\"whsec_x\"");
        let error = EndpointRecord::decode(&record().id, &broken).unwrap_err();
        for secret in ["whsec", "token"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
            assert!(!error.to_string().contains(secret), "{error}");
        }
    }

    #[test]
    fn replaced_secret_signs_until_its_deadline() {
        let mut own = record().own.unwrap();
        let at = Timestamp::from_millis;
        let secrets = |own: &OwnEndpoint| -> Vec<(String, Option<Timestamp>)> {
            let secret = |s: &OwnSecret| (s.text.expose_secret().to_owned(), s.until);
            own.secrets.iter().map(secret).collect()
        };
        let named = |name: &str, until| (name.to_owned(), until);
        own.rotate("whsec_2".to_owned().into(), at(100));
        let both = [named("whsec_QUFB", Some(at(100))), named("whsec_2", None)];
        assert_eq!(secrets(&own), both);
        own.rotate("whsec_3".to_owned().into(), at(200));
        let later = [named("whsec_2", Some(at(200))), named("whsec_3", None)];
        assert_eq!(secrets(&own), later);
    }

    #[test]
    fn invalid_endpoint_is_corrupt() {
        let record = record();
        let good = record.encode();
        for bad in [
            String::new(),
            "{}".to_owned(),
            good.replace("\"v\":1", "\"v\":2"),
            good.replace("https:", "nothing"),
            good.replace("gone", "bored"),
            good.replace(r#"[{"text":"whsec_QUFB"}]"#, "[]"),
        ] {
            assert!(EndpointRecord::decode(&record.id, &bad).is_err(), "{bad}");
        }
    }
}
