//! Apps and their keys, and authentication.
//!
//! Authentication costs the same time for an existing and a missing app, so that the response time reveals neither apps
//! nor keys.

use std::collections::HashMap;

use subtle::Choice;
use uuid::Uuid;

use crate::config::AppConfig;
use crate::store::apps::AppRecord;
use roomkeeper_core::ids::AppId;

use super::key::KeyDigest;

/// A tenant.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id in the gateway API.
    pub id: AppId,
    /// Its id in the VoIPBIN API.
    pub customer_id: Uuid,
    /// Its active keys: two during a rotation.
    pub keys: [Option<KeyDigest>; 2],
    /// The dialled numbers whose calls it owns.
    pub dids: Vec<String>,
    /// Its rate limit in requests per second; `None`: the configured default.
    pub rate_limit: Option<u32>,
}

impl From<&AppConfig> for App {
    fn from(config: &AppConfig) -> Self {
        let mut digests = config.api_keys.iter();
        let mut next = || {
            digests
                .next()
                .map(|digest| KeyDigest::from_bytes(*digest.as_bytes()))
        };
        Self {
            id: config.id.clone(),
            customer_id: config.customer_id,
            // The configuration accepts at most two keys.
            keys: [next(), next()],
            dids: config.dids.clone(),
            rate_limit: config.rate_limit,
        }
    }
}

impl From<&AppRecord> for App {
    fn from(record: &AppRecord) -> Self {
        let key = |n: usize| {
            // A disabled app has no keys, so that authentication takes the same time as for a missing app.
            let active = record.keys.get(n).filter(|_| !record.disabled);
            active.map(|digest| KeyDigest::from_bytes(*digest))
        };
        Self {
            id: record.id.clone(),
            customer_id: record.customer_id,
            keys: [key(0), key(1)],
            dids: record.dids.clone(),
            rate_limit: record.rate_limit,
        }
    }
}

impl App {
    /// Returns true if this is one of its keys.
    pub(crate) fn has(&self, key: &KeyDigest) -> bool {
        let same = |held: &KeyDigest| bool::from(held.same(key));
        self.keys.iter().flatten().any(same)
    }
}

/// All tenants.
#[derive(Clone, Debug, Default)]
pub struct Apps(HashMap<AppId, App>);

impl Apps {
    /// Collects apps; a later one replaces an earlier one with the same id.
    pub fn new(apps: impl IntoIterator<Item = App>) -> Self {
        Self(apps.into_iter().map(|app| (app.id.clone(), app)).collect())
    }

    /// Creates the set of configured apps.
    pub fn configured(apps: &[AppConfig]) -> Self {
        Self::new(apps.iter().map(App::from))
    }

    /// Finds the app with this id.
    pub fn get(&self, id: &AppId) -> Option<&App> {
        self.0.get(id)
    }

    /// Finds the app with this id if the key is one of its keys. Always compares two digests.
    pub fn authenticate(&self, id: Option<&AppId>, key: &[u8]) -> Option<&App> {
        // No known key has this digest, and an empty slot never matches anyway.
        const PLACEHOLDER: KeyDigest = KeyDigest::from_bytes([0; 32]);
        let given = KeyDigest::for_key(key);
        let app = id.and_then(|id| self.0.get(id));
        let keys = app.map_or([None; 2], |app| app.keys);
        let good = keys
            .iter()
            .map(|slot| {
                let held = Choice::from(u8::from(slot.is_some()));
                given.same(slot.as_ref().unwrap_or(&PLACEHOLDER)) & held
            })
            .fold(Choice::from(0), |any, one| any | one);
        app.filter(|_| bool::from(good))
    }

    /// Finds the app with this key, if exactly one has it; two would be ambiguous. Always compares all keys.
    pub fn find_by_key(&self, key: &[u8]) -> Option<&App> {
        let given = KeyDigest::for_key(key);
        let mut found = None;
        let mut many = false;
        for app in self.0.values() {
            let has = app
                .keys
                .iter()
                .flatten()
                .fold(Choice::from(0), |any, held| any | given.same(held));
            if bool::from(has) {
                many |= found.is_some();
                found = Some(app);
            }
        }
        found.filter(|_| !many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKeyDigest;

    fn apps() -> Apps {
        Apps::new([App {
            id: "demo".parse().unwrap(),
            customer_id: Uuid::nil(),
            keys: [
                Some(KeyDigest::for_key("old")),
                Some(KeyDigest::for_key("new")),
            ],
            dids: Vec::new(),
            rate_limit: None,
        }])
    }

    #[test]
    fn only_active_keys_are_valid() {
        let (apps, demo, other) = (apps(), "demo".parse().unwrap(), "other".parse().unwrap());
        assert!(apps.authenticate(Some(&demo), b"old").is_some());
        assert!(apps.authenticate(Some(&demo), b"new").is_some());
        assert!(apps.authenticate(Some(&demo), b"newer").is_none());
        assert!(apps.authenticate(Some(&demo), b"").is_none());
        assert!(apps.authenticate(Some(&other), b"old").is_none());
        assert!(apps.authenticate(None, b"old").is_none());
    }

    #[test]
    fn key_identifies_app_unless_two_have_it() {
        let app = |id: &str, keys: [Option<&str>; 2]| App {
            id: id.parse().unwrap(),
            customer_id: Uuid::nil(),
            keys: keys.map(|key| key.map(KeyDigest::for_key)),
            dids: Vec::new(),
            rate_limit: None,
        };
        let apps = Apps::new([
            app("a", [Some("one"), Some("both")]),
            app("b", [Some("both"), None]),
            app("c", [None, None]),
        ]);
        let of = |key: &str| apps.find_by_key(key.as_bytes()).map(|app| app.id.as_str());
        assert_eq!(of("one"), Some("a"));
        assert_eq!(of("both"), None);
        assert_eq!(of(""), None);
        assert_eq!(of("two"), None);
    }

    #[test]
    fn app_without_keys_rejects_empty_key() {
        let id: AppId = "demo".parse().unwrap();
        let apps = Apps::new([App {
            id: id.clone(),
            customer_id: Uuid::nil(),
            keys: [None, None],
            dids: Vec::new(),
            rate_limit: None,
        }]);
        assert!(apps.authenticate(Some(&id), b"").is_none());
    }

    #[test]
    fn configured_keys_are_valid() {
        let configured = AppConfig {
            id: "demo".parse().unwrap(),
            customer_id: Uuid::nil(),
            api_keys: ["old", "new"].map(ApiKeyDigest::from_key).to_vec(),
            dids: vec!["1".to_owned()],
            rate_limit: None,
            webhooks: Vec::new(),
        };
        let apps = Apps::configured(std::slice::from_ref(&configured));
        for (key, opens) in [(&b"old"[..], true), (b"new", true), (b"other", false)] {
            let app = apps.authenticate(Some(&configured.id), key);
            assert_eq!(app.is_some(), opens);
        }
        assert_eq!(apps.get(&configured.id).unwrap().dids, ["1"]);
    }
}
