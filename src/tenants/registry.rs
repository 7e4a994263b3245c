//! All apps and their webhook endpoints: configured ones, which are read-only, and those created at run time.
//!
//! Owns this replica's copy of the stored apps, and all changes of apps (`endpoints`: of endpoints). Leaves out
//! permissions (the admin listener) and the distribution of [`Tenants`], which the composition root does.
//!
//! Every replica polls the version of the stored apps each second and reads them after a change, so a change is
//! effective everywhere within two seconds, and at once on the replica that made it. While the store does not respond,
//! the last known state applies. A change is decided on all apps and written only if none was written meanwhile, so two
//! replicas never give one number or id to two apps.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::clock;
use crate::config::{AppConfig, customer_of};
use crate::store::AppsWrite;
use crate::store::apps::AppRecord;
use crate::store::endpoints::{EndpointRecord, OwnEndpoint, OwnSecret};
use crate::store::{Store, StoreError};
use crate::webhook::endpoint::Endpoints;
use roomkeeper_core::ids::{AppId, NodeId};

use super::apps::{App, Apps};
use super::key::KeyDigest;
use super::snapshot::{
    AuthenticatedApp, StoredTenants, Tenants, fresh_id, ids_of, make_key, make_secret, receivers_of,
};

/// The poll interval of the store.
const POLL: Duration = Duration::from_secs(1);

/// The time after which a change is effective on every replica whose store responds.
pub(crate) const PROPAGATION: Duration = Duration::from_secs(2);

/// The interval at which deleted apps are examined: they stay for as long as their ended rooms can be read.
const SWEEP: Duration = Duration::from_secs(15);

/// The maximum number of attempts of a change when other replicas write first. Apps are changed by people.
pub(super) const ROUNDS: usize = 16;

/// The maximum numbers of an app, so that a mistake does not fill every replica's memory.
pub(crate) const MOST_DIDS: usize = 1_000;

/// All apps, as known to this replica.
pub struct Registry {
    pub(super) store: Arc<dyn Store>,
    pub(super) configured: Vec<AppConfig>,
    /// The nodes, which have the queues.
    pub(super) nodes: Vec<NodeId>,
    pub(super) tenants: watch::Sender<Arc<Tenants>>,
    /// The endpoints of all apps.
    pub(super) receivers: watch::Sender<Arc<Endpoints>>,
    /// Serializes reads and changes of the stored apps, so that older state never replaces newer state.
    pub(super) reading: Mutex<()>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// A new app.
#[derive(Clone, Debug)]
pub(crate) struct NewApp {
    pub(crate) id: AppId,
    /// Its UUID; derived from its id if absent.
    pub(crate) customer_id: Option<Uuid>,
    pub(crate) dids: Vec<String>,
    pub(crate) rate_limit: Option<u32>,
    pub(crate) webhook_url: Option<Url>,
}

/// A change of an app: its new record, and those of its endpoints that change with it.
pub(super) struct AppChange {
    pub(super) app: AppRecord,
    pub(super) endpoints: Vec<EndpointRecord>,
}

/// An app with its new key, which is shown only once.
#[derive(Debug)]
pub(crate) struct WithKey {
    pub(crate) app: AppRecord,
    pub(crate) key: SecretString,
    /// The signing secret of its endpoint, if it has one.
    pub(crate) webhook_secret: Option<SecretString>,
}

/// The reason why an app was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("there is no app {0}")]
    Unknown(AppId),
    #[error("there is already an app {0}")]
    Exists(AppId),
    #[error("the app {0} is configured and can only be changed in the configuration")]
    Configured(AppId),
    #[error("the app {0} is disabled")]
    Disabled(AppId),
    #[error("the app {app} has {rooms} open rooms and {calls} calls")]
    InUse {
        app: AppId,
        rooms: usize,
        calls: usize,
    },
    #[error("the number {did} already belongs to app {owner}")]
    DidTaken { did: String, owner: AppId },
    #[error("the customer_id already belongs to app {owner}")]
    CustomerTaken { owner: AppId },
    #[error("apps are being changed concurrently; try again")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    /// Creates a registry with the configured apps. Stored apps are not read yet.
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

    /// Returns a watch on the apps.
    pub fn watch(&self) -> watch::Receiver<Arc<Tenants>> {
        self.tenants.subscribe()
    }

    /// Returns the current apps.
    pub fn tenants(&self) -> Arc<Tenants> {
        Arc::clone(&self.tenants.borrow())
    }

    /// Returns the configured apps.
    pub(crate) fn configured(&self) -> &[AppConfig] {
        &self.configured
    }

    /// Finds the app with this id and key.
    ///
    /// # Errors
    /// Fails if the stored apps have never been read and cannot be read now.
    pub(crate) async fn authenticate(
        &self,
        id: Option<&AppId>,
        key: &[u8],
    ) -> Result<Option<AuthenticatedApp>, StoreError> {
        let tenants = self.tenants();
        let found = tenants.authenticate(id, key);
        if found.is_some() || tenants.loaded {
            return Ok(found);
        }
        // Boxed because it is rare: otherwise every request's future would contain it.
        Box::pin(self.refresh()).await?;
        Ok(self.tenants().authenticate(id, key))
    }

    /// Finds the app with this key, if exactly one has it.
    ///
    /// # Errors
    /// Fails like [`Registry::authenticate`].
    pub(crate) async fn authenticate_key(
        &self,
        key: &[u8],
    ) -> Result<Option<AuthenticatedApp>, StoreError> {
        let tenants = self.tenants();
        let found = tenants.apps.find_by_key(key).map(AuthenticatedApp::from);
        if found.is_some() || tenants.loaded {
            return Ok(found);
        }
        Box::pin(self.refresh()).await?;
        Ok(self
            .tenants()
            .apps
            .find_by_key(key)
            .map(AuthenticatedApp::from))
    }

    /// Reads changes from the store.
    ///
    /// # Errors
    /// Fails if the store does not respond; then the known state still applies.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        let _one = self.reading.lock().await;
        self.read().await
    }

    /// Polls the store every second until it is stopped.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut failing = false;
        let mut swept: Option<Instant> = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLL) => {}
            }
            let refreshed = self.refresh().await;
            let was_failing = std::mem::replace(&mut failing, refreshed.is_err());
            match refreshed {
                Ok(()) => {
                    self.sweep_endpoints().await;
                    if swept.is_none_or(|at| at.elapsed() >= SWEEP) {
                        self.sweep_apps().await;
                        swept = Some(Instant::now());
                    }
                }
                Err(error) if !was_failing => {
                    error.log_effect(
                        None,
                        "cannot read the stored apps; using the last known ones",
                    );
                }
                Err(_) => {}
            }
        }
    }

    /// Creates an app with its first key. If the store's response is lost, the app may exist with an unknown
    /// key, which must then be rotated.
    pub(crate) async fn add(&self, new: &NewApp) -> Result<WithKey, ChangeError> {
        let key = make_key();
        let record = AppRecord {
            id: new.id.clone(),
            customer_id: new.customer_id.unwrap_or_else(|| customer_of(&new.id)),
            keys: vec![KeyDigest::for_key(key.expose_secret()).bytes()],
            dids: new.dids.clone(),
            rate_limit: new.rate_limit,
            disabled: false,
            removed: false,
            created_at: clock::now(),
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
        self.refresh().await?;
        if self
            .tenants()
            .stored
            .get(&new.id)
            .is_some_and(|app| app.removed)
        {
            // The remaining data of a deleted app must not become that of a new one.
            self.check_unused(&new.id).await?;
        }
        let app = self
            .change(&new.id, |_, found| {
                if found.is_some_and(|found| !found.removed) {
                    return Err(ChangeError::Exists(new.id.clone()));
                }
                Ok(AppChange {
                    app: record.clone(),
                    endpoints: hook.iter().cloned().collect(),
                })
            })
            .await?;
        let webhook_secret = hook.and_then(|hook| Some(hook.own?.secrets.first()?.text.clone()));
        Ok(WithKey {
            app,
            key,
            webhook_secret,
        })
    }

    /// Rotates an app's key. The previous key stays active, older ones do not.
    pub(crate) async fn rotate_key(&self, id: &AppId) -> Result<WithKey, ChangeError> {
        let key = make_key();
        let digest = KeyDigest::for_key(key.expose_secret()).bytes();
        let app = self
            .change_existing(id, |record| {
                if record.disabled {
                    return Err(ChangeError::Disabled(id.clone()));
                }
                record.add_key(digest);
                Ok(())
            })
            .await?;
        Ok(WithKey {
            app,
            key,
            webhook_secret: None,
        })
    }

    /// Disables an app's keys. Its calls, rooms, numbers and webhooks stay.
    pub(crate) async fn disable(&self, id: &AppId) -> Result<AppRecord, ChangeError> {
        self.change_existing(id, |record| {
            record.disabled = true;
            Ok(())
        })
        .await
    }

    /// Makes a disabled app's keys valid again.
    pub(crate) async fn enable(&self, id: &AppId) -> Result<AppRecord, ChangeError> {
        self.change_existing(id, |record| {
            record.disabled = false;
            Ok(())
        })
        .await
    }

    /// Replaces an app's dialled numbers. Calls that it has already stay its calls.
    pub(crate) async fn set_dids(
        &self,
        id: &AppId,
        dids: &[String],
    ) -> Result<AppRecord, ChangeError> {
        self.change_existing(id, |record| {
            record.dids = dids.to_vec();
            Ok(())
        })
        .await
    }

    /// Sets an app's rate limit in requests per second; `None`: the configured default.
    pub(crate) async fn limit(
        &self,
        id: &AppId,
        rate_limit: Option<u32>,
    ) -> Result<AppRecord, ChangeError> {
        self.change_existing(id, |record| {
            record.rate_limit = rate_limit;
            Ok(())
        })
        .await
    }

    /// Changes the record of an app that exists.
    pub(super) async fn change_existing(
        &self,
        id: &AppId,
        mut change: impl FnMut(&mut AppRecord) -> Result<(), ChangeError>,
    ) -> Result<AppRecord, ChangeError> {
        self.change(id, |_, found| {
            let mut app = existing(id, found)?;
            change(&mut app)?;
            Ok(AppChange {
                app,
                endpoints: Vec::new(),
            })
        })
        .await
    }

    /// Decides on the current state, and writes an app together with endpoints of it if nothing was written meanwhile
    /// (optimistic concurrency).
    pub(super) async fn change(
        &self,
        id: &AppId,
        mut decide: impl FnMut(&Tenants, Option<AppRecord>) -> Result<AppChange, ChangeError>,
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
            let before = found.clone();
            let change = match decide(&tenants, found) {
                // A configured app can neither be created nor changed here.
                Ok(_) | Err(ChangeError::Unknown(_)) if is_configured => {
                    return Err(ChangeError::Configured(id.clone()));
                }
                decided => decided?,
            };
            let AppChange { app, endpoints } = change;
            self.check_free(&tenants, before.as_ref(), &app)?;
            let text = app.encode();
            let texts: Vec<String> = endpoints.iter().map(EndpointRecord::encode).collect();
            let mut writes = vec![AppsWrite::App(id, Some(&text))];
            let hooks = endpoints.iter().zip(&texts);
            writes.extend(hooks.map(|(hook, text)| AppsWrite::Endpoint(&hook.id, Some(text))));
            if self.store.put_apps(version, &writes).await? {
                let mut known = StoredTenants::from_tenants(&tenants);
                known.stored.insert(id.clone(), app.clone());
                for hook in endpoints {
                    known.endpoints.insert(hook.id.clone(), hook);
                }
                // Other changes are read with the next poll.
                self.publish(known, None);
                return Ok(app);
            }
        }
        Err(ChangeError::Busy)
    }

    /// Checks that the unique values that an app gets with a change are free.
    fn check_free(
        &self,
        tenants: &Tenants,
        before: Option<&AppRecord>,
        app: &AppRecord,
    ) -> Result<(), ChangeError> {
        let before = before.filter(|before| !before.removed);
        let old_dids = before.map_or(&[][..], |before| &before.dids);
        let is_new = |did: &&String| !old_dids.contains(did);
        let new_dids: Vec<&String> = app.dids.iter().filter(is_new).collect();
        let new_customer = before.is_none_or(|before| before.customer_id != app.customer_id);
        let configured = self
            .configured
            .iter()
            .map(|app| (&app.id, app.customer_id, &app.dids));
        let stored = tenants
            .stored
            .values()
            .filter(|app| !app.removed)
            .map(|app| (&app.id, app.customer_id, &app.dids));
        let others = configured.chain(stored).filter(|(id, ..)| **id != app.id);
        for (owner, customer_id, dids) in others {
            if let Some(did) = new_dids.iter().find(|did| dids.contains(did)) {
                return Err(ChangeError::DidTaken {
                    did: (*did).clone(),
                    owner: owner.clone(),
                });
            }
            if new_customer && customer_id == app.customer_id {
                return Err(ChangeError::CustomerTaken {
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }

    /// Reads the stored apps. Requires the lock.
    pub(super) async fn read(&self) -> Result<(), StoreError> {
        let known = self.tenants.borrow().version;
        let Some(read) = self.store.read_apps(known).await? else {
            return Ok(());
        };
        let mut found = StoredTenants::default();
        for (id, text) in read.records {
            match AppRecord::decode(&id, &text) {
                Ok(record) => {
                    found.stored.insert(id, record);
                }
                Err(error) => {
                    // One unreadable record must not affect the other apps.
                    tracing::error!(app.id = %id, %error, "cannot decode a stored app; its keys are invalid");
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
                    tracing::error!(endpoint.id = %id, %error, "cannot decode a stored webhook endpoint; it gets no deliveries");
                }
            }
        }
        self.publish(found, Some(read.version));
        Ok(())
    }

    pub(super) fn publish(&self, known: StoredTenants, version: Option<u64>) {
        // The configuration overrides a stored app, which may have been moved there.
        let stored = known.stored.values();
        let made = stored.filter(|app| !app.removed && !self.is_configured(&app.id));
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
        // Endpoints first, so that events of a new app find its endpoint.
        let receivers = receivers_of(&self.configured, &tenants);
        self.receivers.send_replace(Arc::new(receivers));
        self.tenants.send_replace(Arc::new(tenants));
    }

    pub(super) fn is_configured(&self, id: &AppId) -> bool {
        self.configured.iter().any(|app| app.id == *id)
    }

    /// Returns the app of each number.
    pub fn dids(&self) -> HashMap<String, AppId> {
        let tenants = self.tenants();
        let stored = tenants.stored.values().map(|app| (&app.id, &app.dids));
        // A configured app overrides a stored one with the same number, which only a changed configuration can cause.
        let configured = self.configured.iter().map(|app| (&app.id, &app.dids));
        stored
            .chain(configured)
            .flat_map(|(id, dids)| dids.iter().map(|did| (did.clone(), id.clone())))
            .collect()
    }

    /// Returns the ids of all apps, including disabled ones and without deleted ones.
    pub fn ids(&self) -> BTreeSet<AppId> {
        let tenants = self.tenants();
        let mut ids = ids_of(&self.configured, &tenants);
        ids.retain(|id| self.is_configured(id) || !is_removed(&tenants, id));
        ids
    }
}

fn is_removed(tenants: &Tenants, id: &AppId) -> bool {
    tenants.stored.get(id).is_some_and(|app| app.removed)
}

/// Returns the record of an app that exists and is not deleted.
pub(super) fn existing(id: &AppId, found: Option<AppRecord>) -> Result<AppRecord, ChangeError> {
    found
        .filter(|app| !app.removed)
        .ok_or_else(|| ChangeError::Unknown(id.clone()))
}
