//! Polls the store once a second on behalf of all nodes.
//!
//! Replicas are not notified of each other's writes. One request reads, for all nodes, whether deadlines are due, whether
//! deliveries wait, and the shared status; a replica that changed a status itself polls that node at once. The poller
//! wakes the actors and the webhook workers that have something to do, and they read the details themselves. It also
//! publishes the status of the nodes that this replica owns. So an idle fleet costs one request a second. A request that
//! fails wakes no task: the next one finds the same.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::store::polls::{NodePoll, next_poll};
use crate::store::{Store, StoreError};
use crate::telemetry as names;
use roomkeeper_core::ids::NodeId;

use super::node_status::StatusPublisher;

/// The time between two polls.
const INTERVAL: Duration = Duration::from_secs(1);

/// One node, for the poller.
#[derive(Debug)]
pub(super) struct PollTarget {
    pub(super) status: StatusPublisher,
    /// Has the actor look for due deadlines.
    pub(super) actor: Arc<Notify>,
    /// Has the webhook worker look for deliveries.
    pub(super) worker: Arc<Notify>,
    /// The last access to the node's status failed, and is logged.
    pub(super) is_failing: bool,
}

impl PollTarget {
    fn wake_all(&self) {
        self.actor.notify_one();
        self.worker.notify_one();
    }

    /// Takes in the result of a poll that began after this number of writes.
    fn apply(&self, poll: NodePoll, writes: u64) {
        if let Some(status) = poll.status {
            self.status.shared().update(status, writes);
        }
        if poll.due && self.status.lease().is_some() {
            self.actor.notify_one();
        }
        if poll.deliveries {
            self.worker.notify_one();
        }
    }

    /// Counts and logs the first failure after a success.
    fn note(&mut self, result: Result<(), StoreError>) {
        let was_failing = std::mem::replace(&mut self.is_failing, result.is_err());
        if let Err(error) = result
            && !was_failing
        {
            metrics::counter!(names::STORE_ERRORS, "caller" => "board").increment(1);
            error.log_effect(
                Some(self.status.node()),
                "the node's status cannot be read or written; using the last one read",
            );
        }
    }
}

/// Polls the store for all nodes.
#[derive(Debug)]
pub(super) struct StorePoller {
    store: Arc<dyn Store>,
    targets: Vec<PollTarget>,
    /// A target has requested a poll.
    poll_now: Arc<Notify>,
    /// The connections of the store at the last poll.
    connections: u64,
    /// The last poll failed, and is logged.
    is_failing: bool,
}

impl StorePoller {
    pub(super) const fn new(
        store: Arc<dyn Store>,
        targets: Vec<PollTarget>,
        poll_now: Arc<Notify>,
    ) -> Self {
        Self {
            store,
            targets,
            poll_now,
            connections: 0,
            is_failing: false,
        }
    }

    /// Runs until `stop` is cancelled.
    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        let mut all = true;
        while !stop.is_cancelled() {
            self.poll(all).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.poll_now.notified() => all = false,
                () = tokio::time::sleep_until(next_poll(INTERVAL)) => all = true,
            }
        }
    }

    /// Polls all nodes, or those that have requested it. Then publishes the changes of all that were polled.
    async fn poll(&mut self, all: bool) {
        let is_wanted =
            |target: &&mut PollTarget| target.status.shared().take_poll_request() || all;
        let mut targets: Vec<&mut PollTarget> = self.targets.iter_mut().filter(is_wanted).collect();
        if targets.is_empty() {
            return;
        }
        let ids: Vec<NodeId> = targets.iter().map(|target| target.status.node()).collect();
        let writes = targets.iter().map(|target| target.status.shared().writes());
        let writes: Vec<u64> = writes.collect();
        let result = self.store.poll_nodes(&ids, clock::now()).await;
        let was_failing = std::mem::replace(&mut self.is_failing, result.is_err());
        let polls = match result {
            Ok(polls) => polls,
            Err(error) => {
                if !was_failing {
                    metrics::counter!(names::STORE_ERRORS, "caller" => "board").increment(1);
                    error.log_effect(
                        None,
                        "the status of the nodes cannot be read; using the last one read",
                    );
                }
                return;
            }
        };
        for ((target, poll), writes) in targets.iter_mut().zip(polls).zip(writes) {
            match poll {
                Ok(poll) => target.apply(poll, writes),
                Err(error) => {
                    target.wake_all();
                    target.note(Err(error));
                }
            }
        }
        let store = &*self.store;
        let changed = targets
            .iter_mut()
            .filter(|target| target.status.has_changes());
        join_all(changed.map(async |target| {
            let result = target.status.publish(store).await;
            target.note(result);
        }))
        .await;
        // Behind a new connection may be another server, or one that lost data: the actors read their nodes again.
        let connections = self.store.connections();
        if std::mem::replace(&mut self.connections, connections) != connections {
            self.targets
                .iter()
                .for_each(|target| target.actor.notify_one());
        }
    }
}
