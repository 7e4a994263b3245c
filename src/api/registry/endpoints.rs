//! Receivers: made, changed and removed by their apps, disabled when they take nothing any more.
//!
//! A receiver of the configuration is changed there; here it can only be taken out of service and back. What an app
//! removes is marked first. Then what the nodes keep of it is forgotten, and when nothing is left its record goes: by
//! whichever replica looks next. In the same way the app's other receivers are told of one that was disabled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use url::Url;
use uuid::Uuid;

use super::{ROUNDS, Read, Registry, Tenants, ids_of, make_secret};
use crate::config::AppConfig;
use crate::ids::{AppId, EndpointId, NodeId};
use crate::store::StoreError;
use crate::store::apps::AppsWrite;
use crate::store::deliveries::NewDelivery;
use crate::store::endpoints::{Disabled, DisabledWhy, EndpointRecord, OwnEndpoint, OwnSecret};
use crate::telemetry::Chain;
use crate::time::Timestamp;
use crate::webhook::endpoint::{Disabling, Endpoint, Endpoints, EventFilter};
use crate::webhook::payload::{ReceiverFact, receiver_message};
use crate::webhook::schedule::DISABLED_AFTER;
use crate::webhook::sign::Secret;

/// How many receivers an app can make for itself: each gets every event that it wants.
pub(crate) const MOST_ENDPOINTS: usize = 16;

/// How long bodies are signed with a secret after it was replaced.
const REPLACED_FOR: Duration = Duration::from_secs(24 * 3600);

/// What the ids of the messages that tell of a disabled receiver are derived in: whoever tells it, it is one message.
const NAMESPACE: Uuid = Uuid::from_u128(0x91c6_3f0e_58b7_5d24_8a6b_2f4d_07e9_c35a);

/// A receiver that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewEndpoint {
    pub(crate) url: Url,
    pub(crate) events: Vec<EventFilter>,
    /// What its bodies are signed with; made when not given.
    pub(crate) secret: Option<SecretString>,
}

/// A receiver whose secret was just made: the one moment at which it is shown.
#[derive(Debug)]
pub(crate) struct Secreted {
    pub(crate) id: EndpointId,
    pub(crate) secret: SecretString,
    /// Until when bodies are signed with the one before, too.
    pub(crate) replaced_until: Option<Timestamp>,
}

/// What is to be changed of a receiver; `None` stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointChange {
    pub(crate) url: Option<Url>,
    pub(crate) events: Option<Vec<EventFilter>>,
    pub(crate) enabled: Option<bool>,
}

/// Why a receiver was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("there is no such webhook endpoint")]
    Unknown(EndpointId),
    #[error("the webhook endpoint {0} is in the configuration, and is changed there")]
    Configured(EndpointId),
    #[error("there is already a webhook endpoint with this URL")]
    UrlTaken(EndpointId),
    #[error("an app can make {MOST_ENDPOINTS} webhook endpoints")]
    TooMany,
    #[error("others are changing webhook endpoints at the same time; try again")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A new id: `ep_` and 32 hexadecimal digits, as those of the configuration.
pub(super) fn fresh_id() -> EndpointId {
    let text = format!("ep_{}", Uuid::new_v4().simple());
    match text.parse() {
        Ok(id) => id,
        Err(_) => unreachable!("{text} has the form of an endpoint id"),
    }
}

/// The receivers of these apps and of the configuration.
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

fn configured_of(configured: &[AppConfig], tenants: &Tenants) -> impl Iterator<Item = Endpoint> {
    let hooks = configured.iter().flat_map(|app| &app.webhooks);
    hooks.map(|hook| {
        let stored = tenants.endpoints.get(&hook.id);
        Endpoint {
            disabled: stored.and_then(|record| record.disabled),
            ..hook.clone()
        }
    })
}

impl Registry {
    /// The receivers of all apps, now and after each change: as soon as a change is answered for, whoever delivers goes by it.
    pub fn receivers(&self) -> watch::Receiver<Arc<Endpoints>> {
        self.receivers.subscribe()
    }

    /// The receivers of all apps, now.
    pub fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.receivers.borrow())
    }

    /// The nodes, each of which has its own queues.
    pub(crate) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// A receiver of an app.
    pub(crate) fn endpoint(&self, app: &AppId, id: &EndpointId) -> Result<Endpoint, EndpointError> {
        let endpoints = self.endpoints();
        let found = endpoints.get(id).filter(|endpoint| endpoint.app == *app);
        let found = found.ok_or_else(|| EndpointError::Unknown(id.clone()))?;
        Ok(Endpoint::clone(found))
    }

    /// Makes a receiver.
    pub(crate) async fn add_endpoint(
        &self,
        app: &AppId,
        new: &NewEndpoint,
    ) -> Result<Secreted, EndpointError> {
        let secret = new.secret.clone().unwrap_or_else(make_secret);
        let record = EndpointRecord {
            id: fresh_id(),
            app: app.clone(),
            own: Some(OwnEndpoint {
                url: new.url.clone(),
                events: new.events.iter().map(EventFilter::to_string).collect(),
                secrets: vec![OwnSecret {
                    text: secret.clone(),
                    until: None,
                }],
            }),
            created_at: Timestamp::now(),
            disabled: None,
            removed: false,
        };
        self.change_endpoint(&record.id, |tenants, _| {
            let others = self.of_app(tenants, app);
            if let Some(other) = others.iter().find(|other| other.url == new.url) {
                return Err(EndpointError::UrlTaken(other.id.clone()));
            }
            // Those of the configuration are the operator's.
            let made = others.iter().filter(|other| other.created_at.is_some());
            if made.count() >= MOST_ENDPOINTS {
                return Err(EndpointError::TooMany);
            }
            Ok(record.clone())
        })
        .await?;
        Ok(Secreted {
            id: record.id,
            secret,
            replaced_until: None,
        })
    }

    /// Changes a receiver. One that is taken back into service is called from the next event on; what was held can be
    /// asked for.
    pub(crate) async fn patch_endpoint(
        &self,
        app: &AppId,
        id: &EndpointId,
        change: &EndpointChange,
    ) -> Result<(), EndpointError> {
        self.change_endpoint(id, |tenants, found| {
            let mut record = self.one_of(app, id, found)?;
            if change.url.is_some() || change.events.is_some() {
                let own = record.own.as_mut();
                let own = own.ok_or_else(|| EndpointError::Configured(id.clone()))?;
                if let Some(url) = &change.url {
                    let others = self.of_app(tenants, app);
                    let taken = others.iter().find(|o| o.url == *url && o.id != *id);
                    if let Some(other) = taken {
                        return Err(EndpointError::UrlTaken(other.id.clone()));
                    }
                    own.url = url.clone();
                }
                if let Some(events) = &change.events {
                    own.events = events.iter().map(EventFilter::to_string).collect();
                }
            }
            match change.enabled {
                Some(true) => record.disabled = None,
                Some(false) if record.disabled.is_none() => {
                    record.disabled = Some(Disabled {
                        at: Timestamp::now(),
                        why: DisabledWhy::Owner,
                        told: true,
                    });
                }
                Some(false) | None => {}
            }
            Ok(record)
        })
        .await
    }

    /// Removes a receiver: it is told nothing from now on, and what is kept of it goes.
    pub(crate) async fn remove_endpoint(
        &self,
        app: &AppId,
        id: &EndpointId,
    ) -> Result<(), EndpointError> {
        self.change_endpoint(id, |_, found| {
            let mut record = self.one_of(app, id, found)?;
            if record.own.is_none() {
                return Err(EndpointError::Configured(id.clone()));
            }
            record.removed = true;
            Ok(record)
        })
        .await
    }

    /// Gives a receiver another secret. For a day bodies are signed with both.
    pub(crate) async fn rotate_secret(
        &self,
        app: &AppId,
        id: &EndpointId,
        secret: Option<&SecretString>,
    ) -> Result<Secreted, EndpointError> {
        let secret = secret.cloned().unwrap_or_else(make_secret);
        let now = Timestamp::now();
        let day = u64::try_from(REPLACED_FOR.as_micros()).unwrap_or(u64::MAX);
        let until = Timestamp::from_micros(now.as_micros().saturating_add(day));
        self.change_endpoint(id, |_, found| {
            let mut record = self.one_of(app, id, found)?;
            let own = record.own.as_mut();
            let own = own.ok_or_else(|| EndpointError::Configured(id.clone()))?;
            own.rotate(secret.clone(), until);
            Ok(record)
        })
        .await?;
        Ok(Secreted {
            id: id.clone(),
            secret,
            replaced_until: Some(until),
        })
    }

    /// Sends a receiver an event that says nothing but that it works. Says the message's id.
    pub(crate) async fn test_endpoint(
        &self,
        app: &AppId,
        id: &EndpointId,
    ) -> Result<String, EndpointError> {
        let endpoint = self.endpoint(app, id)?;
        let message = receiver_message(
            Uuid::new_v4(),
            app,
            id,
            &endpoint.url,
            ReceiverFact::Test,
            Timestamp::now(),
        );
        let webhook_id = message.id.clone();
        let delivery = NewDelivery {
            endpoint: id.clone(),
            message,
            held: endpoint.disabled.is_some(),
        };
        self.enqueue(&delivery).await?;
        Ok(webhook_id)
    }

    /// Queues what is of no node on the first of them: all replicas are configured with the same.
    async fn enqueue(&self, delivery: &NewDelivery) -> Result<(), StoreError> {
        let Some(node) = self.nodes.first() else {
            let error = "no node is configured, and so no queue";
            return Err(StoreError::Unavailable(error.into()));
        };
        self.store.enqueue(*node, delivery).await
    }

    /// The app's receivers, wherever they are from.
    fn of_app(&self, tenants: &Tenants, app: &AppId) -> Vec<Endpoint> {
        let own = tenants.endpoints.values().filter_map(made);
        let all = configured_of(&self.configured, tenants).chain(own);
        all.filter(|endpoint| endpoint.app == *app).collect()
    }

    /// What is stored of an app's receiver, or would be.
    fn one_of(
        &self,
        app: &AppId,
        id: &EndpointId,
        found: Option<EndpointRecord>,
    ) -> Result<EndpointRecord, EndpointError> {
        let found = match found {
            Some(record) => Some(record).filter(|record| !record.removed),
            None => self.configured_record(id),
        };
        found
            .filter(|record| record.app == *app)
            .ok_or_else(|| EndpointError::Unknown(id.clone()))
    }

    /// A record of a receiver of the configuration, which says nothing yet.
    fn configured_record(&self, id: &EndpointId) -> Option<EndpointRecord> {
        let is_this = |app: &&AppConfig| app.webhooks.iter().any(|hook| hook.id == *id);
        let app = self.configured.iter().find(is_this)?;
        Some(EndpointRecord {
            id: id.clone(),
            app: app.id.clone(),
            own: None,
            created_at: Timestamp::now(),
            disabled: None,
            removed: false,
        })
    }

    /// Decides on all that is known, and writes it if nothing was written since.
    async fn change_endpoint(
        &self,
        id: &EndpointId,
        decide: impl Fn(&Tenants, Option<EndpointRecord>) -> Result<EndpointRecord, EndpointError>,
    ) -> Result<(), EndpointError> {
        let _one = self.reading.lock().await;
        for _ in 0..ROUNDS {
            self.read().await?;
            let tenants = self.tenants();
            let Some(version) = tenants.version else {
                continue;
            };
            let record = decide(&tenants, tenants.endpoints.get(id).cloned())?;
            let text = record.encode();
            let write = AppsWrite::Endpoint(id, Some(&text));
            if self.store.put_apps(version, &[write]).await? {
                let mut known = Read::of(&tenants);
                known.endpoints.insert(id.clone(), record);
                // What else has changed is read with the next look.
                self.publish(known, None);
                return Ok(());
            }
        }
        Err(EndpointError::Busy)
    }

    async fn disable_endpoint(&self, id: &EndpointId, why: DisabledWhy) -> Result<(), StoreError> {
        let disabled = self.change_endpoint(id, |_, found| {
            let record = found.or_else(|| self.configured_record(id));
            let mut record = record.ok_or_else(|| EndpointError::Unknown(id.clone()))?;
            record.disabled.get_or_insert(Disabled {
                at: Timestamp::now(),
                why,
                told: false,
            });
            Ok(record)
        });
        match disabled.await {
            Ok(()) => {
                tracing::warn!(endpoint.id = %id, reason = why.as_str(), "a webhook endpoint was disabled");
                self.sweep_endpoints().await;
                Ok(())
            }
            // It was removed, or is not known here; then others will find it.
            Err(EndpointError::Unknown(_)) => Ok(()),
            Err(EndpointError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::Unavailable(Box::new(error))),
        }
    }

    /// Finishes what has begun: tells of receivers that were disabled, and forgets those that were removed. What cannot
    /// be done now is done with the next look.
    pub(super) async fn sweep_endpoints(&self) {
        let tenants = self.tenants();
        for record in tenants.endpoints.values() {
            let swept = if record.removed {
                self.forget(record).await
            } else if record.disabled.is_some_and(|disabled| !disabled.told) {
                self.tell_disabled(record).await
            } else {
                continue;
            };
            if let Err(error) = swept {
                tracing::warn!(
                    endpoint.id = %record.id,
                    error = %Chain(&error),
                    "what follows from a change of a webhook endpoint waits"
                );
            }
        }
    }

    async fn tell_disabled(&self, record: &EndpointRecord) -> Result<(), EndpointError> {
        let endpoints = self.endpoints();
        let (Some(disabled), Some(endpoint)) = (record.disabled, endpoints.get(&record.id)) else {
            return Ok(());
        };
        let name = format!("{}/{}", record.id, disabled.at.as_micros());
        let fact = ReceiverFact::Disabled { why: disabled.why };
        let message = receiver_message(
            Uuid::new_v5(&NAMESPACE, name.as_bytes()),
            &record.app,
            &record.id,
            &endpoint.url,
            fact,
            disabled.at,
        );
        for other in endpoints.wanting(&record.app, &message.event) {
            if other.id != record.id && other.disabled.is_none() {
                let delivery = NewDelivery {
                    endpoint: other.id.clone(),
                    message: message.clone(),
                    held: false,
                };
                self.enqueue(&delivery).await?;
            }
        }
        self.change_endpoint(&record.id, |_, found| {
            let mut now = found.ok_or_else(|| EndpointError::Unknown(record.id.clone()))?;
            if let Some(told) = &mut now.disabled
                && told.at == disabled.at
            {
                told.told = true;
            }
            Ok(now)
        })
        .await
    }

    async fn forget(&self, record: &EndpointRecord) -> Result<(), EndpointError> {
        let mut pending = 0;
        for node in &self.nodes {
            pending += self.store.forget_endpoint(*node, &record.id).await?;
        }
        if pending > 0 {
            return Ok(());
        }
        let _one = self.reading.lock().await;
        self.read().await?;
        let tenants = self.tenants();
        let Some(version) = tenants.version else {
            return Ok(());
        };
        let write = AppsWrite::Endpoint(&record.id, None);
        if self.store.put_apps(version, &[write]).await? {
            let mut known = Read::of(&tenants);
            known.endpoints.remove(&record.id);
            self.publish(known, None);
        }
        Ok(())
    }
}

#[async_trait]
impl Disabling for Registry {
    async fn gone(&self, id: &EndpointId) -> Result<(), StoreError> {
        self.disable_endpoint(id, DisabledWhy::Gone).await
    }

    async fn failing(&self, id: &EndpointId) -> Result<(), StoreError> {
        for node in &self.nodes {
            let health = self.store.endpoint_health(*node, std::slice::from_ref(id));
            let taken = |ago: Duration| ago < DISABLED_AFTER;
            if health
                .await?
                .iter()
                .any(|h| h.delivered_ago.is_some_and(taken))
            {
                return Ok(());
            }
        }
        self.disable_endpoint(id, DisabledWhy::Failing).await
    }
}

/// A receiver that an app made for itself.
fn made(record: &EndpointRecord) -> Option<Endpoint> {
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
        tracing::error!(endpoint.id = %record.id, "a stored receiver's secrets or events are none; nothing is sent");
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
