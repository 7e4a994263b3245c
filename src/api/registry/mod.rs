//! All apps and their receivers: those of the configuration, which are read-only, and those made while the program runs.
//!
//! Owns what this replica knows of those that are stored, and the only way to change one (receivers: `endpoints`). Leaves out who may change it (the
//! admin listener) and who else has to learn of it: the composition root hands [`Tenants`] on.
//!
//! Every replica asks the store each second for the version of its apps and reads them when it has changed, so that a
//! change counts everywhere within two seconds. On the replica that made it, it counts at once. While the store does
//! not answer, what was known last counts. Each change is decided on all apps and written only if none was written
//! since, so two replicas never give one number or one id to two apps.

mod endpoints;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::config::{AppConfig, customer_of};
use crate::ids::{AppId, EndpointId, NodeId};
use crate::store::apps::{AppRecord, AppsWrite};
use crate::store::endpoints::{EndpointRecord, OwnEndpoint, OwnSecret};
use crate::store::{Store, StoreError};
use crate::telemetry::Chain;
use crate::time::Timestamp;
use crate::webhook::endpoint::Endpoints;

pub(crate) use self::endpoints::{
    EndpointChange, EndpointError, MOST_ENDPOINTS, NewEndpoint, Secreted,
};
use self::endpoints::{fresh_id, receivers_of};
use super::auth::{App, Apps, KeyDigest};

/// How often the store is asked whether there is something new.
const POLL: Duration = Duration::from_secs(1);

/// How often a change is decided anew because another replica was faster. Apps are changed by people.
const ROUNDS: usize = 16;

/// How many numbers an app can be given, so that a mistake does not fill every replica's memory.
pub(crate) const MOST_DIDS: usize = 1_000;

/// What is known of all apps.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    /// Who may ask.
    apps: Apps,
    stored: BTreeMap<AppId, AppRecord>,
    /// Apps that are stored in a form that this program cannot read. Their ids are taken.
    unreadable: BTreeSet<AppId>,
    /// What is stored of receivers.
    endpoints: BTreeMap<EndpointId, EndpointRecord>,
    /// The version of the stored apps; `None` when they are to be read again.
    version: Option<u64>,
    /// They have been read once.
    loaded: bool,
}

/// All apps, as this replica knows them.
pub struct Registry {
    store: Arc<dyn Store>,
    configured: Vec<AppConfig>,
    /// Whose queues there are.
    nodes: Vec<NodeId>,
    tenants: watch::Sender<Arc<Tenants>>,
    /// The receivers of all of them.
    receivers: watch::Sender<Arc<Endpoints>>,
    /// Held by whoever reads the stored apps or changes one, so that what is older never replaces what is newer.
    reading: Mutex<()>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// An app that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewApp {
    pub(crate) id: AppId,
    /// Its uuid; made from its id when not given.
    pub(crate) customer_id: Option<Uuid>,
    pub(crate) dids: Vec<String>,
    pub(crate) rate_limit: Option<u32>,
    pub(crate) webhook_url: Option<Url>,
}

/// An app that asks, as far as its requests are counted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) app: AppId,
    /// How many requests a second it may make, where that is not what every app may.
    pub(crate) rate_limit: Option<u32>,
}

/// An app whose key was just made: the one moment at which the key is known.
#[derive(Debug)]
pub(crate) struct Keyed {
    pub(crate) app: AppRecord,
    pub(crate) key: SecretString,
    /// What the webhooks of its receiver are signed with, if it was given one.
    pub(crate) webhook_secret: Option<SecretString>,
}

/// Why an app was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("there is no app {0}")]
    Unknown(AppId),
    #[error("there is already an app {0}")]
    Exists(AppId),
    #[error("the app {0} is in the configuration, and is changed there")]
    Configured(AppId),
    #[error("the app {0} is disabled")]
    Disabled(AppId),
    #[error("the number {did} is already one of app {owner}")]
    DidTaken { did: String, owner: AppId },
    #[error("the customer_id is already that of app {owner}")]
    CustomerTaken { owner: AppId },
    #[error("others are changing apps at the same time; try again")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    /// The apps of the configuration. Those of the store are not read yet.
    pub fn new(store: Arc<dyn Store>, configured: &[AppConfig], nodes: Vec<NodeId>) -> Self {
        let configured = configured.to_vec();
        let tenants = Tenants {
            apps: Apps::configured(&configured),
            ..Tenants::default()
        };
        Self {
            store,
            receivers: watch::Sender::new(Arc::new(receivers_of(&configured, &tenants))),
            configured,
            nodes,
            tenants: watch::Sender::new(Arc::new(tenants)),
            reading: Mutex::default(),
        }
    }

    /// What is known, now and after each change.
    pub fn watch(&self) -> watch::Receiver<Arc<Tenants>> {
        self.tenants.subscribe()
    }

    /// What is known now.
    pub fn tenants(&self) -> Arc<Tenants> {
        Arc::clone(&self.tenants.borrow())
    }

    /// The apps of the configuration.
    pub(crate) fn configured(&self) -> &[AppConfig] {
        &self.configured
    }

    /// Which app has this id and this key, if one has.
    ///
    /// # Errors
    /// When that cannot be said: the stored apps have never been read, and cannot be now.
    pub(crate) async fn authenticate(
        &self,
        id: Option<&AppId>,
        key: &[u8],
    ) -> Result<Option<Known>, StoreError> {
        let tenants = self.tenants();
        let found = tenants.authenticate(id, key);
        if found.is_some() || tenants.loaded {
            return Ok(found);
        }
        // Apart: it is hardly ever waited for, and each request would make room for it.
        Box::pin(self.refresh()).await?;
        Ok(self.tenants().authenticate(id, key))
    }

    /// Which app has this key, if exactly one has.
    ///
    /// # Errors
    /// As [`Registry::authenticate`].
    pub(crate) async fn authenticate_key(&self, key: &[u8]) -> Result<Option<Known>, StoreError> {
        let tenants = self.tenants();
        let found = tenants.apps.of_key(key).map(Known::from);
        if found.is_some() || tenants.loaded {
            return Ok(found);
        }
        Box::pin(self.refresh()).await?;
        Ok(self.tenants().apps.of_key(key).map(Known::from))
    }

    /// Reads what is new in the store.
    ///
    /// # Errors
    /// When the store does not answer; then what was known still counts.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one = self.reading.lock().await;
        self.read().await
    }

    /// Reads what is new every second until it is stopped.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            let refreshed = self.refresh().await;
            if refreshed.is_ok() {
                self.sweep_endpoints().await;
            }
            match refreshed {
                Ok(()) if failing => tracing::info!("the stored apps can be read again"),
                Err(error) if !failing => {
                    tracing::warn!(
                        error = %Chain(&error),
                        "the stored apps cannot be read; those known last still count"
                    );
                }
                Ok(()) | Err(_) => {
                    continue;
                }
            }
            failing = !failing;
        }
    }

    /// Makes an app with its first key. When the store's answer is lost, the app may be there all the same; its key is
    /// then known to nobody, and another is made for it.
    pub(crate) async fn add(&self, new: &NewApp) -> Result<Keyed, ChangeError> {
        let key = make_key();
        let record = AppRecord {
            id: new.id.clone(),
            customer_id: new.customer_id.unwrap_or_else(|| customer_of(&new.id)),
            keys: vec![KeyDigest::of(key.expose_secret()).bytes()],
            dids: new.dids.clone(),
            rate_limit: new.rate_limit,
            disabled: false,
            created_at: Timestamp::now(),
        };
        let hook = new.webhook_url.clone().map(|url| EndpointRecord {
            id: fresh_id(),
            app: new.id.clone(),
            own: Some(OwnEndpoint {
                url,
                events: vec!["*".to_owned()],
                secrets: vec![OwnSecret {
                    text: make_secret(),
                    until: None,
                }],
            }),
            created_at: record.created_at,
            disabled: None,
            removed: false,
        });
        let app = self
            .change(&new.id, hook.as_ref(), |_, found| {
                if found.is_some() {
                    return Err(ChangeError::Exists(new.id.clone()));
                }
                Ok(record.clone())
            })
            .await?;
        let webhook_secret = hook.and_then(|hook| Some(hook.own?.secrets.first()?.text.clone()));
        Ok(Keyed {
            app,
            key,
            webhook_secret,
        })
    }

    /// Gives an app another key. The one before it stays active, any older one does not.
    pub(crate) async fn rotate_key(&self, id: &AppId) -> Result<Keyed, ChangeError> {
        let key = make_key();
        let digest = KeyDigest::of(key.expose_secret()).bytes();
        let app = self
            .change(id, None, |id, found| {
                let mut record = found.ok_or_else(|| ChangeError::Unknown(id.clone()))?;
                if record.disabled {
                    return Err(ChangeError::Disabled(id.clone()));
                }
                record.add_key(digest);
                Ok(record)
            })
            .await?;
        Ok(Keyed {
            app,
            key,
            webhook_secret: None,
        })
    }

    /// Closes the API to an app. Its calls, rooms, numbers and webhooks stay.
    pub(crate) async fn disable(&self, id: &AppId) -> Result<AppRecord, ChangeError> {
        self.change(id, None, |id, found| {
            let mut record = found.ok_or_else(|| ChangeError::Unknown(id.clone()))?;
            record.disabled = true;
            Ok(record)
        })
        .await
    }

    /// Says how many requests a second an app may make; `None`: what every app may.
    pub(crate) async fn limit(
        &self,
        id: &AppId,
        rate_limit: Option<u32>,
    ) -> Result<AppRecord, ChangeError> {
        self.change(id, None, |id, found| {
            let mut record = found.ok_or_else(|| ChangeError::Unknown(id.clone()))?;
            record.rate_limit = rate_limit;
            Ok(record)
        })
        .await
    }

    /// Writes an app, and with it a receiver of it.
    async fn change(
        &self,
        id: &AppId,
        hook: Option<&EndpointRecord>,
        decide: impl Fn(&AppId, Option<AppRecord>) -> Result<AppRecord, ChangeError>,
    ) -> Result<AppRecord, ChangeError> {
        let _one = self.reading.lock().await;
        for _ in 0..ROUNDS {
            self.read().await?;
            let tenants = self.tenants();
            let (Some(version), false) = (tenants.version, tenants.unreadable.contains(id)) else {
                return Err(ChangeError::Exists(id.clone()));
            };
            let found = tenants.stored.get(id).cloned();
            let is_configured = self.is_configured(id);
            let is_new = found.is_none();
            let record = match decide(id, found) {
                // Whether it is to be made or changed: this one is not made here.
                Ok(_) | Err(ChangeError::Unknown(_)) if is_configured => {
                    return Err(ChangeError::Configured(id.clone()));
                }
                decided => decided?,
            };
            if is_new {
                self.check_free(&tenants, &record)?;
            }
            let (text, hook_text) = (record.encode(), hook.map(EndpointRecord::encode));
            let mut writes = vec![AppsWrite::App(id, &text)];
            if let (Some(hook), Some(text)) = (hook, &hook_text) {
                writes.push(AppsWrite::Endpoint(&hook.id, Some(text)));
            }
            if self.store.put_apps(version, &writes).await? {
                let mut known = Read::of(&tenants);
                known.stored.insert(id.clone(), record.clone());
                if let Some(hook) = hook {
                    known.endpoints.insert(hook.id.clone(), hook.clone());
                }
                // What else has changed is read with the next look.
                self.publish(known, None);
                return Ok(record);
            }
        }
        Err(ChangeError::Busy)
    }

    /// Whether what only one app can have is free for a new one.
    fn check_free(&self, tenants: &Tenants, new: &AppRecord) -> Result<(), ChangeError> {
        let configured = self
            .configured
            .iter()
            .map(|app| (&app.id, app.customer_id, &app.dids));
        let stored = tenants
            .stored
            .values()
            .map(|app| (&app.id, app.customer_id, &app.dids));
        for (owner, customer_id, dids) in configured.chain(stored) {
            if let Some(did) = new.dids.iter().find(|did| dids.contains(did)) {
                return Err(ChangeError::DidTaken {
                    did: did.clone(),
                    owner: owner.clone(),
                });
            }
            if customer_id == new.customer_id {
                return Err(ChangeError::CustomerTaken {
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }

    /// Only under the lock.
    async fn read(&self) -> Result<(), StoreError> {
        let known = self.tenants.borrow().version;
        let Some(read) = self.store.read_apps(known).await? else {
            return Ok(());
        };
        let mut found = Read::default();
        for (id, text) in read.records {
            match AppRecord::decode(&id, &text) {
                Ok(record) => {
                    found.stored.insert(id, record);
                }
                Err(error) => {
                    // The others must not go without their apps for it.
                    tracing::error!(app.id = %id, %error, "a stored app cannot be read; its keys open nothing");
                    found.unreadable.insert(id);
                }
            }
        }
        for (id, text) in read.endpoints {
            match EndpointRecord::decode(&id, &text) {
                Ok(record) => {
                    found.endpoints.insert(id, record);
                }
                Err(error) => {
                    tracing::error!(endpoint.id = %id, %error, "a stored receiver cannot be read; it is told nothing");
                }
            }
        }
        self.publish(found, Some(read.version));
        Ok(())
    }

    fn publish(&self, known: Read, version: Option<u64>) {
        // What the configuration says of an app counts: it may have been moved there.
        let stored = known.stored.values();
        let made = stored.filter(|record| !self.is_configured(&record.id));
        let apps = Apps::new(
            made.map(App::from)
                .chain(self.configured.iter().map(App::from)),
        );
        let tenants = Tenants {
            apps,
            stored: known.stored,
            unreadable: known.unreadable,
            endpoints: known.endpoints,
            version,
            loaded: true,
        };
        // First those who deliver: what is told of a new app is to find its receiver.
        let receivers = receivers_of(&self.configured, &tenants);
        self.receivers.send_replace(Arc::new(receivers));
        self.tenants.send_replace(Arc::new(tenants));
    }

    fn is_configured(&self, id: &AppId) -> bool {
        self.configured.iter().any(|app| app.id == *id)
    }

    /// Whose each number is.
    pub fn dids(&self) -> HashMap<String, AppId> {
        let tenants = self.tenants();
        let stored = tenants.stored.values().map(|app| (&app.id, &app.dids));
        // Of two that have a number, which only a changed configuration can lead to, the configured one counts.
        let configured = self.configured.iter().map(|app| (&app.id, &app.dids));
        stored
            .chain(configured)
            .flat_map(|(id, dids)| dids.iter().map(|did| (did.clone(), id.clone())))
            .collect()
    }

    /// Every app there is, the disabled too.
    pub fn ids(&self) -> BTreeSet<AppId> {
        ids_of(&self.configured, &self.tenants())
    }
}

fn ids_of(configured: &[AppConfig], tenants: &Tenants) -> BTreeSet<AppId> {
    let configured = configured.iter().map(|app| app.id.clone());
    tenants.stored.keys().cloned().chain(configured).collect()
}

/// What is read of the store.
#[derive(Default)]
struct Read {
    stored: BTreeMap<AppId, AppRecord>,
    unreadable: BTreeSet<AppId>,
    endpoints: BTreeMap<EndpointId, EndpointRecord>,
}

impl Read {
    fn of(tenants: &Tenants) -> Self {
        Self {
            stored: tenants.stored.clone(),
            unreadable: tenants.unreadable.clone(),
            endpoints: tenants.endpoints.clone(),
        }
    }
}

impl Tenants {
    /// The apps made at run time.
    pub(crate) fn stored(&self) -> &BTreeMap<AppId, AppRecord> {
        &self.stored
    }

    /// An app, wherever it is from.
    pub fn get(&self, id: &AppId) -> Option<&App> {
        self.apps.get(id)
    }

    fn authenticate(&self, id: Option<&AppId>, key: &[u8]) -> Option<Known> {
        self.apps.authenticate(id, key).map(Known::from)
    }
}

impl From<&App> for Known {
    fn from(app: &App) -> Self {
        Self {
            app: app.id.clone(),
            rate_limit: app.rate_limit,
        }
    }
}

impl From<&AppRecord> for App {
    fn from(record: &AppRecord) -> Self {
        let key = |n: usize| {
            // A disabled app is one without keys: it costs an asker the same time as one that does not exist.
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

/// A key: 256 random bits.
fn make_key() -> SecretString {
    let bits: [u8; 32] = rand::random();
    format!("rk_{}", URL_SAFE_NO_PAD.encode(bits)).into()
}

/// A secret to sign with: 256 random bits.
fn make_secret() -> SecretString {
    let bits: [u8; 32] = rand::random();
    format!("whsec_{}", STANDARD.encode(bits)).into()
}
