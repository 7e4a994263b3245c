//! Webhook endpoints: created, changed and removed by their apps, and disabled when no delivery succeeds any more.
//!
//! A configured endpoint is changed in the configuration; here it can only be disabled and enabled. A removed endpoint
//! is first marked. Then its queues on the nodes are deleted, and at last its record; any replica continues this. In
//! the same way the app's other endpoints are notified of a disabled one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio::sync::watch;
use url::Url;
use uuid::Uuid;

use crate::clock;
use crate::config::AppConfig;
use crate::store::AppsWrite;
use crate::store::StoreError;
use crate::store::deliveries::NewDelivery;
use crate::store::endpoints::{Disabled, DisabledWhy, EndpointRecord, OwnEndpoint, OwnSecret};
use crate::telemetry::Chain;
use crate::webhook::endpoint::{Endpoint, EndpointDisabler, Endpoints, EventFilter};
use crate::webhook::payload::{EndpointEvent, endpoint_message};
use crate::webhook::schedule::DISABLED_AFTER;
use roomkeeper_core::ids::{AppId, EndpointId, NodeId};
use roomkeeper_core::time::Timestamp;

use super::registry::{ROUNDS, Registry};
use super::snapshot::{StoredTenants, Tenants, configured_of, fresh_id, made, make_secret};

/// The maximum number of endpoints that an app can create. Each one multiplies the deliveries.
pub(crate) const MOST_ENDPOINTS: usize = 16;

/// The time for which bodies are also signed with a replaced secret.
const REPLACED_FOR: Duration = Duration::from_secs(24 * 3600);

/// The UUID namespace of messages about disabled endpoints. Derived ids make the message the same on every replica.
const NAMESPACE: Uuid = Uuid::from_u128(0x91c6_3f0e_58b7_5d24_8a6b_2f4d_07e9_c35a);

/// A new endpoint.
#[derive(Clone, Debug)]
pub(crate) struct NewEndpoint {
    pub(crate) url: Url,
    pub(crate) events: Vec<EventFilter>,
    /// The signing secret; generated if absent.
    pub(crate) secret: Option<SecretString>,
}

/// An endpoint with its new secret, which is shown only once.
#[derive(Debug)]
pub(crate) struct WithSecret {
    pub(crate) id: EndpointId,
    pub(crate) secret: SecretString,
    /// Time until which bodies are also signed with the previous secret.
    pub(crate) replaced_until: Option<Timestamp>,
}

/// The changes of an endpoint; `None` leaves a field unchanged.
#[derive(Clone, Debug, Default)]
pub(crate) struct EndpointChange {
    pub(crate) url: Option<Url>,
    pub(crate) events: Option<Vec<EventFilter>>,
    pub(crate) enabled: Option<bool>,
}

/// The reason why an endpoint was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    #[error("webhook endpoint not found")]
    Unknown(EndpointId),
    #[error("the webhook endpoint {0} is configured and can only be changed in the configuration")]
    Configured(EndpointId),
    #[error("there is already a webhook endpoint with this URL")]
    UrlTaken(EndpointId),
    #[error("an app can create at most {MOST_ENDPOINTS} webhook endpoints")]
    TooMany,
    #[error("webhook endpoints are being changed concurrently; try again")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Registry {
    /// Returns a watch on the endpoints of all apps. A change is visible here before its request is answered.
    pub fn receivers(&self) -> watch::Receiver<Arc<Endpoints>> {
        self.receivers.subscribe()
    }

    /// Returns the current endpoints of all apps.
    pub fn endpoints(&self) -> Arc<Endpoints> {
        Arc::clone(&self.receivers.borrow())
    }

    /// Returns the nodes. Each has its own queues.
    pub(crate) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Finds an endpoint of an app.
    pub(crate) fn endpoint(&self, app: &AppId, id: &EndpointId) -> Result<Endpoint, EndpointError> {
        let endpoints = self.endpoints();
        let found = endpoints.get(id).filter(|endpoint| endpoint.app == *app);
        let found = found.ok_or_else(|| EndpointError::Unknown(id.clone()))?;
        Ok(Endpoint::clone(found))
    }

    /// Creates an endpoint.
    pub(crate) async fn add_endpoint(
        &self,
        app: &AppId,
        new: &NewEndpoint,
    ) -> Result<WithSecret, EndpointError> {
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
            created_at: clock::now(),
            disabled: None,
            removed: false,
        };
        self.change_endpoint(&record.id, |tenants, _| {
            let others = self.endpoints_of(tenants, app);
            if let Some(other) = others.iter().find(|other| other.url == new.url) {
                return Err(EndpointError::UrlTaken(other.id.clone()));
            }
            // Configured endpoints do not count.
            let made = others.iter().filter(|other| other.created_at.is_some());
            if made.count() >= MOST_ENDPOINTS {
                return Err(EndpointError::TooMany);
            }
            Ok(record.clone())
        })
        .await?;
        Ok(WithSecret {
            id: record.id,
            secret,
            replaced_until: None,
        })
    }

    /// Changes an endpoint. A re-enabled one gets deliveries from the next event on; its dead deliveries can be
    /// recovered.
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
                    let others = self.endpoints_of(tenants, app);
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
                        at: clock::now(),
                        why: DisabledWhy::Owner,
                        is_reported: true,
                    });
                }
                Some(false) | None => {}
            }
            Ok(record)
        })
        .await
    }

    /// Removes an endpoint. It gets no more deliveries, and its queues are deleted.
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

    /// Rotates an endpoint's secret. For a day, bodies are signed with both.
    pub(crate) async fn rotate_secret(
        &self,
        app: &AppId,
        id: &EndpointId,
        secret: Option<&SecretString>,
    ) -> Result<WithSecret, EndpointError> {
        let secret = secret.cloned().unwrap_or_else(make_secret);
        let now = clock::now();
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
        Ok(WithSecret {
            id: id.clone(),
            secret,
            replaced_until: Some(until),
        })
    }

    /// Queues a test event for an endpoint and returns its message id.
    pub(crate) async fn test_endpoint(
        &self,
        app: &AppId,
        id: &EndpointId,
    ) -> Result<String, EndpointError> {
        let endpoint = self.endpoint(app, id)?;
        let message = endpoint_message(
            Uuid::new_v4(),
            app,
            id,
            &endpoint.url,
            EndpointEvent::Test,
            clock::now(),
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

    /// Queues a delivery without a node on the first node, which is the same on all replicas.
    async fn enqueue(&self, delivery: &NewDelivery) -> Result<(), StoreError> {
        let Some(node) = self.nodes.first() else {
            let error = "no node is configured, so there is no queue";
            return Err(StoreError::Unavailable(error.into()));
        };
        self.store.enqueue(*node, delivery).await
    }

    /// Returns all endpoints of an app, configured and created.
    fn endpoints_of(&self, tenants: &Tenants, app: &AppId) -> Vec<Endpoint> {
        let own = tenants.endpoints.values().filter_map(made);
        let all = configured_of(&self.configured, tenants).chain(own);
        all.filter(|endpoint| endpoint.app == *app).collect()
    }

    /// Returns the record of an app's endpoint; for a configured endpoint without a record, a new one.
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

    /// Creates an empty record of a configured endpoint.
    fn configured_record(&self, id: &EndpointId) -> Option<EndpointRecord> {
        let is_this = |app: &&AppConfig| app.webhooks.iter().any(|hook| hook.id == *id);
        let app = self.configured.iter().find(is_this)?;
        Some(EndpointRecord {
            id: id.clone(),
            app: app.id.clone(),
            own: None,
            created_at: clock::now(),
            disabled: None,
            removed: false,
        })
    }

    /// Decides on the current state and writes the result if nothing was written meanwhile (optimistic concurrency).
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
                let mut known = StoredTenants::from_tenants(&tenants);
                known.endpoints.insert(id.clone(), record);
                // Other changes are read with the next poll.
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
                at: clock::now(),
                why,
                is_reported: false,
            });
            Ok(record)
        });
        match disabled.await {
            Ok(()) => {
                tracing::warn!(endpoint.id = %id, reason = why.as_str(), "disabled a webhook endpoint");
                self.sweep_endpoints().await;
                Ok(())
            }
            // The endpoint was removed, or this replica does not know it yet.
            Err(EndpointError::Unknown(_)) => Ok(()),
            Err(EndpointError::Store(error)) => Err(error),
            Err(error) => Err(StoreError::Unavailable(Box::new(error))),
        }
    }

    /// Continues unfinished changes: notifies of disabled endpoints and deletes removed ones. Failures are retried with
    /// the next poll.
    pub(super) async fn sweep_endpoints(&self) {
        let tenants = self.tenants();
        for record in tenants.endpoints.values() {
            let swept = if record.removed {
                self.forget(record).await
            } else if record
                .disabled
                .is_some_and(|disabled| !disabled.is_reported)
            {
                self.notify_disabled(record).await
            } else {
                continue;
            };
            let effect = "cannot finish the change of a webhook endpoint yet";
            match swept {
                Ok(()) => {}
                Err(EndpointError::Store(error)) => error.log_effect(None, effect),
                Err(error) => {
                    tracing::warn!(endpoint.id = %record.id, error = %Chain(&error), "{effect}");
                }
            }
        }
    }

    async fn notify_disabled(&self, record: &EndpointRecord) -> Result<(), EndpointError> {
        let endpoints = self.endpoints();
        let (Some(disabled), Some(endpoint)) = (record.disabled, endpoints.get(&record.id)) else {
            return Ok(());
        };
        let name = format!("{}/{}", record.id, disabled.at.as_micros());
        let fact = EndpointEvent::Disabled { why: disabled.why };
        let message = endpoint_message(
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
            if let Some(current) = &mut now.disabled
                && current.at == disabled.at
            {
                current.is_reported = true;
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
            let mut known = StoredTenants::from_tenants(&tenants);
            known.endpoints.remove(&record.id);
            self.publish(known, None);
        }
        Ok(())
    }
}

#[async_trait]
impl EndpointDisabler for Registry {
    async fn disable_gone(&self, id: &EndpointId) -> Result<(), StoreError> {
        self.disable_endpoint(id, DisabledWhy::Gone).await
    }

    async fn disable_failing(&self, id: &EndpointId) -> Result<(), StoreError> {
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
