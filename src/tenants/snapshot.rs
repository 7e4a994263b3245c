//! A snapshot of all apps and endpoints, and new ids, keys and secrets.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::config::AppConfig;
use crate::store::apps::AppRecord;
use crate::store::endpoints::EndpointRecord;
use crate::webhook::endpoint::{Endpoint, Endpoints};
use crate::webhook::sign::Secret;
use roomkeeper_core::ids::{AppId, EndpointId};

use super::apps::{App, Apps};

/// All apps at one moment.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    /// The apps and their keys.
    pub(super) apps: Apps,
    pub(super) stored: BTreeMap<AppId, AppRecord>,
    /// Apps whose stored form cannot be decoded. Their ids are taken.
    pub(super) unreadable: BTreeSet<AppId>,
    /// The stored records of endpoints.
    pub(super) endpoints: BTreeMap<EndpointId, EndpointRecord>,
    /// The version of the stored apps; `None` if they must be read again.
    pub(super) version: Option<u64>,
    /// The stored apps have been read at least once.
    pub(super) loaded: bool,
}

/// An authenticated app with its rate limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AuthenticatedApp {
    pub(crate) app: AppId,
    /// Its rate limit in requests per second; `None`: the configured default.
    pub(crate) rate_limit: Option<u32>,
}

/// Returns the ids of all apps, also of deleted ones: messages about their last rooms and calls wait for no endpoint.
pub(super) fn ids_of(configured: &[AppConfig], tenants: &Tenants) -> BTreeSet<AppId> {
    let configured = configured.iter().map(|app| app.id.clone());
    tenants.stored.keys().cloned().chain(configured).collect()
}

/// The stored apps and endpoints.
#[derive(Default)]
pub(super) struct StoredTenants {
    pub(super) stored: BTreeMap<AppId, AppRecord>,
    pub(super) unreadable: BTreeSet<AppId>,
    pub(super) endpoints: BTreeMap<EndpointId, EndpointRecord>,
}

impl StoredTenants {
    pub(super) fn from_tenants(tenants: &Tenants) -> Self {
        Self {
            stored: tenants.stored.clone(),
            unreadable: tenants.unreadable.clone(),
            endpoints: tenants.endpoints.clone(),
        }
    }
}

impl Tenants {
    /// Returns the apps created at run time, without deleted ones.
    pub(crate) fn stored(&self) -> impl Iterator<Item = &AppRecord> {
        self.stored.values().filter(|app| !app.removed)
    }

    /// Finds an app that was created at run time and not deleted.
    pub(crate) fn stored_app(&self, id: &AppId) -> Option<&AppRecord> {
        self.stored.get(id).filter(|app| !app.removed)
    }

    /// Finds an app, configured or stored.
    pub fn get(&self, id: &AppId) -> Option<&App> {
        self.apps.get(id)
    }

    pub(super) fn authenticate(&self, id: Option<&AppId>, key: &[u8]) -> Option<AuthenticatedApp> {
        self.apps.authenticate(id, key).map(AuthenticatedApp::from)
    }
}

impl From<&App> for AuthenticatedApp {
    fn from(app: &App) -> Self {
        Self {
            app: app.id.clone(),
            rate_limit: app.rate_limit,
        }
    }
}

/// Generates an endpoint id: `ep_` and 32 hexadecimal digits, as for configured endpoints.
pub(super) fn fresh_id() -> EndpointId {
    let text = format!("ep_{}", Uuid::new_v4().simple());
    match text.parse() {
        Ok(id) => id,
        Err(_) => unreachable!("{text} has the form of an endpoint id"),
    }
}

/// Returns the endpoints of these apps and of the configuration.
pub(super) fn receivers_of(configured: &[AppConfig], tenants: &Tenants) -> Endpoints {
    let stored = &tenants.endpoints;
    let removed: BTreeSet<_> = stored
        .values()
        .filter(|record| record.removed)
        .map(|record| record.id.clone())
        .collect();
    let all = configured_of(configured, tenants).chain(stored.values().filter_map(made));
    Endpoints::new(all)
        .with_apps(ids_of(configured, tenants))
        .with_removed(removed)
}

pub(super) fn configured_of(
    configured: &[AppConfig],
    tenants: &Tenants,
) -> impl Iterator<Item = Endpoint> {
    let hooks = configured.iter().flat_map(|app| &app.webhooks);
    hooks.map(|hook| {
        let stored = tenants.endpoints.get(&hook.id);
        Endpoint {
            disabled: stored.and_then(|record| record.disabled),
            ..hook.clone()
        }
    })
}

/// Converts the record of an endpoint that an app created.
pub(super) fn made(record: &EndpointRecord) -> Option<Endpoint> {
    let own = record.own.as_ref().filter(|_| !record.removed)?;
    let parsed = || {
        let mut secrets = Vec::new();
        let mut replaced = None;
        for secret in &own.secrets {
            let parsed: Secret = secret.text.expose_secret().parse().ok()?;
            match secret.until {
                Some(until) => replaced = Some((parsed, until)),
                None => secrets.push(parsed),
            }
        }
        let events = own.events.iter().map(|event| event.parse().ok());
        Some((secrets, replaced, events.collect::<Option<Vec<_>>>()?))
    };
    let Some((secrets, replaced, events)) = parsed() else {
        tracing::error!(endpoint.id = %record.id, "a stored webhook endpoint has invalid secrets or events; it gets no deliveries");
        return None;
    };
    Some(Endpoint {
        id: record.id.clone(),
        app: record.app.clone(),
        url: own.url.clone(),
        secrets,
        replaced,
        events,
        disabled: record.disabled,
        created_at: Some(record.created_at),
    })
}

/// Generates a key of 256 random bits.
pub(super) fn make_key() -> SecretString {
    let bits: [u8; 32] = rand::random();
    format!("rk_{}", URL_SAFE_NO_PAD.encode(bits)).into()
}

/// Generates a signing secret of 256 random bits.
pub(super) fn make_secret() -> SecretString {
    let bits: [u8; 32] = rand::random();
    format!("whsec_{}", STANDARD.encode(bits)).into()
}
