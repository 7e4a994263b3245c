//! Who asks: apps and their keys, and the check of a request's headers. Which apps there are, the registry knows.
//!
//! Keys are known by their SHA-256 only and compared in constant time. An app that does not exist costs the same
//! work as one that does, so that neither apps nor keys can be told by the clock. Nothing here is ever logged.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use uuid::Uuid;

use crate::config::AppConfig;
use crate::ids::AppId;
use crate::listen::{Connection, Outcome};

use super::error::ApiError;
use super::registry::Known;
use super::webhooks::Owner;
use super::{ApiState, Shared};

const APP_ID: &str = "x-app-id";
const API_KEY: &str = "x-api-key";

/// When who is told that the queues are full should come back: they are looked at every five seconds.
const FULL: Duration = Duration::from_secs(5);

/// What is kept of a key: its SHA-256.
#[derive(Clone, Copy)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of this key.
    pub fn of(key: impl AsRef<[u8]>) -> Self {
        Self(Sha256::digest(key.as_ref()).into())
    }

    /// A digest that was computed elsewhere.
    pub const fn from_bytes(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest itself, to be stored.
    pub(crate) const fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// Whether both are of one key; takes the same time either way.
    pub fn same(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

/// A tenant.
#[derive(Clone, Debug)]
pub struct App {
    /// Its id in the gateway API.
    pub id: AppId,
    /// Its id in the VoIPBIN API.
    pub customer_id: Uuid,
    /// Its active keys: two while one is being replaced by the other.
    pub keys: [Option<KeyDigest>; 2],
    /// The numbers whose calls are its own.
    pub dids: Vec<String>,
    /// How many requests a second it may make, where that is not what every app may.
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
            // The configuration takes no more than two.
            keys: [next(), next()],
            dids: config.dids.clone(),
            rate_limit: config.rate_limit,
        }
    }
}

impl App {
    /// Whether this is one of its keys.
    pub(crate) fn has(&self, key: &KeyDigest) -> bool {
        let same = |held: &KeyDigest| bool::from(held.same(key));
        self.keys.iter().flatten().any(same)
    }
}

/// All tenants.
#[derive(Clone, Debug, Default)]
pub struct Apps(HashMap<AppId, App>);

impl Apps {
    /// These apps; of two with one id the later counts.
    pub fn new(apps: impl IntoIterator<Item = App>) -> Self {
        Self(apps.into_iter().map(|app| (app.id.clone(), app)).collect())
    }

    /// The apps of the configuration.
    pub fn configured(apps: &[AppConfig]) -> Self {
        Self::new(apps.iter().map(App::from))
    }

    /// The app of this id.
    pub fn get(&self, id: &AppId) -> Option<&App> {
        self.0.get(id)
    }

    /// The app of this id, if the key is one of its own. Two digests are compared whatever is given.
    pub fn authenticate(&self, id: Option<&AppId>, key: &[u8]) -> Option<&App> {
        // No key has this digest as far as anyone can tell, and an empty place would not be let in if one had.
        const NOBODY: KeyDigest = KeyDigest([0; 32]);
        let given = KeyDigest::of(key);
        let app = id.and_then(|id| self.0.get(id));
        let keys = app.map_or([None; 2], |app| app.keys);
        let good = keys
            .iter()
            .map(|slot| {
                let held = Choice::from(u8::from(slot.is_some()));
                given.same(slot.as_ref().unwrap_or(&NOBODY)) & held
            })
            .fold(Choice::from(0), |any, one| any | one);
        app.filter(|_| bool::from(good))
    }
}

impl Apps {
    /// The app of this key, if exactly one has it: of two, nobody could say whose caller asks. All are compared, whoever
    /// it is.
    pub fn of_key(&self, key: &[u8]) -> Option<&App> {
        let given = KeyDigest::of(key);
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

/// The app that asks: the first extractor of every handler, so that nothing is looked at before.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Which app.
    pub(crate) app: AppId,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let Known { app, rate_limit } =
            Self::known(state, &parts.headers, &parts.extensions).await?;
        // What anybody can send in an app's name costs the app nothing.
        state.admit(&app, rate_limit, parts).await?;
        Ok(Self { app })
    }
}

impl Caller {
    /// Who asks.
    async fn known(
        state: &ApiState,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Known, ApiError> {
        let id: Option<AppId> = only(headers, APP_ID)
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|text| text.parse().ok());
        let key = only(headers, API_KEY).unwrap_or_default();
        let attempt = Attempt::begin(headers, extensions, key)?;
        let known = state.apps.authenticate(id.as_ref(), key).await?;
        // What exactly was wrong is not told.
        attempt.end(known, "missing or invalid X-App-ID or X-API-Key")
    }
}

/// A request's key while it is looked at: an address that sends wrong ones is throttled.
pub(super) struct Attempt<'a> {
    /// `None`: the request did not come by a listener.
    connection: Option<(&'a Connection, IpAddr)>,
    key: &'a [u8],
}

impl<'a> Attempt<'a> {
    /// To be called before the key is looked at.
    ///
    /// # Errors
    /// 429, when the address has sent too many wrong keys.
    pub(super) fn begin(
        headers: &HeaderMap,
        extensions: &'a Extensions,
        key: &'a [u8],
    ) -> Result<Self, ApiError> {
        let connection = extensions.get::<Arc<Connection>>();
        let connection = connection.map(|one| (one.as_ref(), one.client(headers)));
        if let Some((connection, client)) = connection
            && !key.is_empty()
            && let Err(wait) = connection.attempts().admit(client, key)
        {
            let error = "too many requests with a wrong key from this address";
            return Err(ApiError::limited(error, wait).unlogged());
        }
        Ok(Self { connection, key })
    }

    /// The owner of the key that was found.
    ///
    /// # Errors
    /// 401 with this text, when there is none.
    pub(super) fn end<T>(self, owner: Option<T>, error: &'static str) -> Result<T, ApiError> {
        let outcome = match &owner {
            Some(_) => Outcome::Valid,
            None if self.key.is_empty() => Outcome::Missing,
            None => Outcome::Wrong,
        };
        if let Some((connection, client)) = self.connection {
            connection.attempts().settle(client, self.key, outcome);
            if outcome == Outcome::Valid {
                connection.keep();
            }
        }
        owner.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, error).unlogged())
    }
}

impl ApiState {
    /// Lets a request of an app in, or says when it may come back. Who asks too fast waits; who would change something
    /// while the queues are full of what nobody takes waits, too.
    pub(super) async fn admit(
        &self,
        app: &AppId,
        rate_limit: Option<u32>,
        request: &mut Parts,
    ) -> Result<(), ApiError> {
        self.limiter.admit(app, rate_limit).await?;
        if let Some(why) = self.pressure.refuses(app)
            && !request.method.is_safe()
        {
            return Err(ApiError::unavailable(why, FULL));
        }
        self.quota.admit(app, request)
    }
}

/// Around the routes of webhooks: they are the caller's own. Its receivers it may always change, also when what waits
/// for them is too much: that is how there will be less.
pub(super) async fn own_webhooks(
    State(state): State<Shared>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let known = Caller::known(&state, request.headers(), request.extensions()).await?;
    state.limiter.admit(&known.app, known.rate_limit).await?;
    request.extensions_mut().insert(Owner(known.app));
    Ok(next.run(request).await)
}

/// The key that a request gives, as far as it is kept.
pub(super) fn given_key(headers: &HeaderMap) -> KeyDigest {
    KeyDigest::of(only(headers, API_KEY).unwrap_or_default())
}

/// The header's value, if it is there exactly once: of two, nobody could say which was checked.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKeyDigest;

    fn apps() -> Apps {
        Apps::new([App {
            id: "demo".parse().unwrap(),
            customer_id: Uuid::nil(),
            keys: [Some(KeyDigest::of("old")), Some(KeyDigest::of("new"))],
            dids: Vec::new(),
            rate_limit: None,
        }])
    }

    #[test]
    fn both_active_keys_open_and_no_other() {
        let (apps, demo, other) = (apps(), "demo".parse().unwrap(), "other".parse().unwrap());
        assert!(apps.authenticate(Some(&demo), b"old").is_some());
        assert!(apps.authenticate(Some(&demo), b"new").is_some());
        assert!(apps.authenticate(Some(&demo), b"newer").is_none());
        assert!(apps.authenticate(Some(&demo), b"").is_none());
        assert!(apps.authenticate(Some(&other), b"old").is_none());
        assert!(apps.authenticate(None, b"old").is_none());
    }

    #[test]
    fn a_key_names_its_app_unless_two_have_it() {
        let app = |id: &str, keys: [Option<&str>; 2]| App {
            id: id.parse().unwrap(),
            customer_id: Uuid::nil(),
            keys: keys.map(|key| key.map(KeyDigest::of)),
            dids: Vec::new(),
            rate_limit: None,
        };
        let apps = Apps::new([
            app("a", [Some("one"), Some("both")]),
            app("b", [Some("both"), None]),
            app("c", [None, None]),
        ]);
        let of = |key: &str| apps.of_key(key.as_bytes()).map(|app| app.id.as_str());
        assert_eq!(of("one"), Some("a"));
        assert_eq!(of("both"), None);
        assert_eq!(of(""), None);
        assert_eq!(of("two"), None);
    }

    #[test]
    fn an_app_without_keys_lets_nobody_in() {
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
    fn configured_keys_open() {
        let configured = AppConfig {
            id: "demo".parse().unwrap(),
            customer_id: Uuid::nil(),
            api_keys: ["old", "new"].map(ApiKeyDigest::of).to_vec(),
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

    #[test]
    fn digests_are_not_shown() {
        assert_eq!(format!("{:?}", KeyDigest::of("k")), "KeyDigest(..)");
    }
}
