//! Deletes apps.
//!
//! An app is first retired: without valid keys and numbers it gets no new rooms and calls once all replicas know. When
//! it has none, it is marked, together with its endpoints: its keys end, and its endpoints get nothing more. Any replica then deletes the queues of the endpoints (`endpoints`), and the record of the app when the
//! store has nothing of the app any more. Until then the mark tells the webhook workers that messages of the app need
//! not wait for its endpoints.

use futures_util::future::try_join_all;

use crate::store::apps::AppRecord;
use crate::store::{AppsWrite, EntityKind, StoreError};
use roomkeeper_core::ids::{AppId, NodeId};

use super::registry::{AppChange, ChangeError, PROPAGATION, Registry, existing};
use super::snapshot::StoredTenants;

/// The maximum number of rooms or calls of a node that are counted.
const MOST_COUNTED: usize = 1_000;

/// The maximum number of records that one sweep deletes.
const MOST_FORGOTTEN: usize = 100;

impl Registry {
    /// Deletes an app that has no open room and no call.
    ///
    /// # Errors
    /// [`ChangeError::InUse`] with the number of its rooms and calls, at most 1,000 of each on a node. The app is then
    /// as before.
    pub(crate) async fn remove_unused(&self, id: &AppId) -> Result<AppRecord, ChangeError> {
        self.refresh().await?;
        if self.tenants().stored_app(id).is_some() && !self.is_configured(id) {
            self.check_unused(id).await?;
        }
        let before = self.retire(id).await?;
        // Until then, other replicas start rooms and calls of the app.
        tokio::time::sleep(PROPAGATION).await;
        if let Err(error) = self.check_unused(id).await {
            self.restore(&before).await?;
            return Err(error);
        }
        self.remove(id).await
    }

    /// Disables an app and frees its numbers, so that it gets no new rooms and calls; returns its record before.
    pub(crate) async fn retire(&self, id: &AppId) -> Result<AppRecord, ChangeError> {
        let mut before = None;
        let retired = self.change_existing(id, |record| {
            before = Some(record.clone());
            record.disabled = true;
            record.dids.clear();
            Ok(())
        });
        let retired = retired.await?;
        Ok(before.unwrap_or(retired))
    }

    /// Gives a retired app its numbers and keys back, unless it was changed meanwhile.
    async fn restore(&self, before: &AppRecord) -> Result<AppRecord, ChangeError> {
        self.change_existing(&before.id, |record| {
            if record.disabled && record.dids.is_empty() {
                record.disabled = before.disabled;
                record.dids.clone_from(&before.dids);
            }
            Ok(())
        })
        .await
    }

    /// Deletes a retired app.
    pub(crate) async fn remove(&self, id: &AppId) -> Result<AppRecord, ChangeError> {
        let removed = self
            .change(id, |tenants, found| {
                let mut app = existing(id, found)?;
                app.remove();
                let own = tenants.endpoints.values().filter(|hook| hook.app == *id);
                let mut endpoints: Vec<_> = own.cloned().collect();
                for endpoint in &mut endpoints {
                    endpoint.removed = true;
                }
                Ok(AppChange { app, endpoints })
            })
            .await?;
        self.sweep_endpoints().await;
        Ok(removed)
    }

    /// Checks that an app has no open room and no call.
    pub(super) async fn check_unused(&self, id: &AppId) -> Result<(), ChangeError> {
        let (rooms, calls) = tokio::try_join!(
            self.count(id, EntityKind::Room),
            self.count(id, EntityKind::Call)
        )?;
        if rooms + calls == 0 {
            return Ok(());
        }
        Err(ChangeError::InUse {
            app: id.clone(),
            rooms,
            calls,
        })
    }

    /// Counts an app's live entities of one kind.
    async fn count(&self, id: &AppId, kind: EntityKind) -> Result<usize, StoreError> {
        let on_node = async |node: &NodeId| {
            let listed = self.store.list(*node, kind, id, None, MOST_COUNTED);
            Ok::<_, StoreError>(listed.await?.len())
        };
        let counts = try_join_all(self.nodes.iter().map(on_node)).await?;
        Ok(counts.into_iter().sum())
    }

    /// Deletes the records of deleted apps of which nothing is left. Failures are retried with the next sweep.
    pub(super) async fn sweep_apps(&self) {
        let tenants = self.tenants();
        let removed = tenants.stored.values().filter(|app| app.removed);
        let removed: Vec<&AppId> = removed.map(|app| &app.id).collect();
        if removed.is_empty() {
            return;
        }
        if let Err(error) = self.forget_apps(&removed).await {
            error.log_effect(None, "cannot finish the deletion of apps yet");
        }
    }

    /// Decides on all these apps at once, because the sweep delays the poll of the store.
    async fn forget_apps(&self, removed: &[&AppId]) -> Result<(), StoreError> {
        let reads = self.nodes.iter().map(|node| self.store.read_usage(*node));
        let usages = try_join_all(reads).await?;
        let _one = self.reading.lock().await;
        self.read().await?;
        let tenants = self.tenants();
        let Some(version) = tenants.version else {
            return Ok(());
        };
        let is_unused = |id: &AppId| {
            let is_stored = usages.iter().any(|usage| usage.apps.contains_key(id));
            let has_endpoint = tenants.endpoints.values().any(|hook| hook.app == *id);
            let is_removed = tenants.stored.get(id).is_some_and(|app| app.removed);
            is_removed && !is_stored && !has_endpoint
        };
        let unused = removed.iter().copied().filter(|id| is_unused(id));
        let unused: Vec<&AppId> = unused.take(MOST_FORGOTTEN).collect();
        if unused.is_empty() {
            return Ok(());
        }
        let writes: Vec<_> = unused.iter().map(|id| AppsWrite::App(id, None)).collect();
        if self.store.put_apps(version, &writes).await? {
            let mut known = StoredTenants::from_tenants(&tenants);
            for id in unused {
                known.stored.remove(id);
                tracing::info!(app.id = %id, "deleted the record of an app");
            }
            self.publish(known, None);
        }
        Ok(())
    }
}
