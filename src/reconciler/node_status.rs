//! The status of a node that replicas share through the store.
//!
//! Owns this replica's copy of the status ([`SharedStatus`]), and what the owner publishes ([`StatusPublisher`]). Leaves
//! out the times of reading the store (`store_poller`) and the taking of requested snapshots (the actor).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

use crate::node::NodeHandle;
use crate::store::node_status::{self, NodeStatus, OwnerStatus, StatusField};
use crate::store::{Lease, Store, StoreError};
use roomkeeper_core::ids::NodeId;

use super::messages::ActorStatus;
use super::ownership::Owner;

/// This replica's copy of the shared status of a node.
#[derive(Clone, Debug)]
pub(super) struct SharedStatus {
    /// The last version read; `None` until the first one.
    status: watch::Sender<Option<NodeStatus>>,
    /// The report of conferences and calls that belong to no app, in its stored form, until it is published.
    report: watch::Sender<Option<Arc<str>>>,
    /// The poller must read the status without waiting for its next round.
    poll_requested: Arc<AtomicBool>,
    /// Wakes the poller.
    poll_now: Arc<Notify>,
    /// The number of writes of this replica. A version that was read during a write is stale.
    writes: Arc<AtomicU64>,
}

impl SharedStatus {
    /// An unknown status. `poll_now` wakes the poller.
    pub(super) fn new(poll_now: &Arc<Notify>) -> Self {
        Self {
            status: watch::Sender::new(None),
            report: watch::Sender::new(None),
            poll_requested: Arc::default(),
            poll_now: Arc::clone(poll_now),
            writes: Arc::default(),
        }
    }

    /// Subscribes to changes.
    pub(super) fn watch(&self) -> watch::Receiver<Option<NodeStatus>> {
        self.status.subscribe()
    }

    /// The number of snapshots that were requested, if it is known.
    pub(super) fn requested_resyncs(&self) -> Option<u64> {
        self.status.borrow().as_ref().map(|status| status.resyncs)
    }

    /// Returns true if no new room is placed on the node.
    pub(super) fn is_draining(&self) -> bool {
        let status = self.status.borrow();
        status.as_ref().is_some_and(|status| status.draining)
    }

    /// The status that the owner has published.
    pub(super) fn owner_status(&self, node: NodeId) -> Option<OwnerStatus> {
        let status = self.status.borrow();
        let text = status.as_ref()?.owner.as_ref()?;
        node_status::decode(node, StatusField::Owner, text).ok()
    }

    /// Notes that this replica has just stored this.
    pub(super) fn set_draining(&self, draining: bool) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.status
            .send_modify(|status| status.get_or_insert_default().draining = draining);
    }

    /// Has the poller read the status at once.
    pub(super) fn request_poll(&self) {
        self.poll_requested.store(true, Ordering::SeqCst);
        self.poll_now.notify_one();
    }

    /// Returns true if a poll was requested, and clears the request.
    pub(super) fn take_poll_request(&self) -> bool {
        self.poll_requested.swap(false, Ordering::SeqCst)
    }

    /// The number of writes of this replica.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// Replaces the copy by a version that was read after this number of writes. Requests another poll if this replica has
    /// written since.
    pub(super) fn update(&self, read: NodeStatus, writes: u64) {
        self.status.send_if_modified(|status| {
            if self.writes() != writes {
                self.request_poll();
                return false;
            }
            let changed = status.as_ref() != Some(&read);
            *status = Some(read);
            changed
        });
    }

    /// Sets the report to publish. A report that repeats the last one waits for the next round: most snapshots find nothing
    /// new.
    pub(super) fn set_report(&self, text: String, is_new: bool) {
        self.report.send_replace(Some(text.into()));
        if is_new {
            self.request_poll();
        }
    }
}

impl ActorStatus {
    /// The part that other replicas read.
    pub(super) fn published(&self, node: &NodeHandle) -> OwnerStatus {
        let vitals = node.status().vitals;
        OwnerStatus {
            resynced_at: self.resynced_at,
            drift: self.drift,
            drifted_at: self.drifted_at,
            lag_ms: self.lag_ms,
            calls: vitals.calls.max(self.calls),
            max_calls: vitals.max_calls,
        }
    }
}

/// Publishes the status of a node while this replica owns it.
#[derive(Debug)]
pub(super) struct StatusPublisher {
    node: NodeHandle,
    shared: SharedStatus,
    owner: watch::Receiver<Owner>,
    actor: watch::Receiver<ActorStatus>,
    /// The last published status, and its lease.
    published: Option<(Lease, OwnerStatus)>,
}

impl StatusPublisher {
    /// A publisher that has published nothing yet.
    pub(super) const fn new(
        node: NodeHandle,
        shared: SharedStatus,
        owner: watch::Receiver<Owner>,
        actor: watch::Receiver<ActorStatus>,
    ) -> Self {
        Self {
            node,
            shared,
            owner,
            actor,
            published: None,
        }
    }

    /// The node.
    pub(super) fn node(&self) -> NodeId {
        self.node.id()
    }

    /// The copy of the node's status.
    pub(super) const fn shared(&self) -> &SharedStatus {
        &self.shared
    }

    /// The lease, if this replica owns the node.
    pub(super) fn lease(&self) -> Option<Lease> {
        self.owner.borrow().lease()
    }

    /// Returns true if there is something to publish.
    pub(super) fn has_changes(&self) -> bool {
        let Some(lease) = self.lease() else {
            return false;
        };
        self.unpublished(lease).is_some() || self.shared.report.borrow().is_some()
    }

    /// The current status, unless it is published already.
    fn unpublished(&self, lease: Lease) -> Option<OwnerStatus> {
        let status = self.actor.borrow().published(&self.node);
        let last = self.published.as_ref();
        let is_published = last.is_some_and(|(under, last)| *under == lease && *last == status);
        (!is_published).then_some(status)
    }

    /// Publishes the changes.
    pub(super) async fn publish(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Some(lease) = self.lease() else {
            return Ok(());
        };
        if let Some(status) = self.unpublished(lease) {
            let text = node_status::encode(&status);
            if store.write_status(lease, StatusField::Owner, &text).await? {
                self.published = Some((lease, status));
            }
        }
        let report = self.shared.report.borrow().clone();
        if let Some(text) = report
            && store
                .write_status(lease, StatusField::Orphans, &text)
                .await?
        {
            // The actor may have set another report meanwhile.
            self.shared.report.send_if_modified(|report| {
                if report.as_ref().is_some_and(|now| Arc::ptr_eq(now, &text)) {
                    *report = None;
                }
                false
            });
        }
        Ok(())
    }
}
