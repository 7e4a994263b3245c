//! Publishes live events of a node to all replicas: that the outbox has grown, and events that are not stored.
//!
//! A queue between the actor and the store keeps the actor from waiting, also in a storm of events.
//! [`crate::store::live`] distributes the events. A lost announcement only delays the readers of the outbox, and other live
//! events matter for a moment only, so losses are counted and not repeated.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::store::Store;
use crate::store::live::LiveEvent;
use crate::telemetry as names;
use crate::webhook::payload;
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::node_state::LiveNotification;
use roomkeeper_core::time::Timestamp;

/// Live events that may wait. The store takes a batch in a millisecond, so more than this is a storm; the oldest are
/// dropped, because only the latest state counts.
const WAITING: usize = 1_024;

/// Live events in one message: with 300 bytes each, some 40 KB.
const BATCH: usize = 128;

/// An actor's publisher of live events, with its queue.
#[derive(Clone, Debug, Default)]
pub(super) struct LivePublisher(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    stored: bool,
    live: VecDeque<LiveEvent>,
    /// The number of events dropped since the last batch.
    dropped: u64,
}

impl LivePublisher {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a commit wrote to the outbox. Several commits before the next message count as one.
    pub(super) fn outbox_changed(&self) {
        self.waiting().stored = true;
        self.0.wake.notify_one();
    }

    /// Queues live events that happened at `at`.
    pub(super) fn publish(
        &self,
        live: impl ExactSizeIterator<Item = LiveNotification>,
        at: Timestamp,
    ) {
        if live.len() == 0 {
            return;
        }
        let mut waiting = self.waiting();
        for LiveNotification {
            app,
            room,
            change: fact,
        } in live
        {
            if waiting.live.len() >= WAITING {
                waiting.live.pop_front();
                waiting.dropped += 1;
            }
            let event = payload::live_event(&app, room, &fact, at);
            waiting.live.push_back(event);
        }
        drop(waiting);
        self.0.wake.notify_one();
    }

    /// Takes the next batch, if there is anything to publish. An empty batch only announces outbox messages.
    fn next_batch(&self) -> Option<Vec<LiveEvent>> {
        let mut waiting = self.waiting();
        let dropped = std::mem::take(&mut waiting.dropped);
        if dropped > 0 {
            metrics::counter!(names::LIVE_DROPPED, "where" => "queue").increment(dropped);
        }
        let count = waiting.live.len().min(BATCH);
        let stored = std::mem::take(&mut waiting.stored);
        (stored || count > 0).then(|| waiting.live.drain(..count).collect())
    }

    /// Publishes batches until `stop` is cancelled.
    pub(super) async fn run(&self, node: NodeId, store: &Arc<dyn Store>, stop: &CancellationToken) {
        let mut refused = false;
        loop {
            let Some(live) = self.next_batch() else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.0.wake.notified() => continue,
                }
            };
            let sent = tokio::select! {
                () = stop.cancelled() => return,
                sent = store.publish_live(node, &live) => sent,
            };
            match sent {
                Ok(()) => refused = false,
                Err(error) => {
                    let count = u64::try_from(live.len()).unwrap_or(u64::MAX);
                    metrics::counter!(names::LIVE_DROPPED, "where" => "say").increment(count);
                    metrics::counter!(names::STORE_ERRORS, "caller" => "live").increment(1);
                    // Noted once per outage: publishing may be forbidden permanently, and no stored event is lost.
                    if !std::mem::replace(&mut refused, true) {
                        error.log_effect(
                            Some(node),
                            "cannot publish live events to other replicas: event streams are up to a second late, \
                             and talking members are not shown",
                        );
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use roomkeeper_core::room::LiveChange;

    fn floors(count: usize) -> Vec<LiveNotification> {
        let notice = LiveNotification {
            app: "demo".parse().unwrap(),
            room: "acW68-room-550e8400-e29b-41d4-a716-446655440000"
                .parse()
                .unwrap(),
            change: LiveChange::Floor {
                holder: None,
                member: None,
            },
        };
        vec![notice; count]
    }

    #[test]
    fn storm_of_live_events_keeps_the_latest() {
        let publisher = LivePublisher::default();
        let at = |n: u64| Timestamp::from_millis(1_000 + n);
        for n in 0..2_000 {
            publisher.publish(floors(1).into_iter(), at(n));
        }
        publisher.outbox_changed();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let mut sent = Vec::new();
        metrics::with_local_recorder(&recorder, || {
            while let Some(batch) = publisher.next_batch() {
                assert!(batch.len() <= BATCH);
                sent.extend(batch);
            }
        });
        assert_eq!(sent.len(), WAITING);
        let last = at(1_999).rfc3339_micros();
        assert!(sent.last().unwrap().body.contains(&last));
        let page = recorder.handle().render();
        let counted = "roomkeeper_events_live_dropped_total{where=\"queue\"} 976";
        assert!(page.contains(counted), "{page}");
    }

    #[test]
    fn outbox_change_is_published_once() {
        let publisher = LivePublisher::default();
        assert_eq!(publisher.next_batch(), None);
        publisher.outbox_changed();
        publisher.outbox_changed();
        assert_eq!(publisher.next_batch(), Some(Vec::new()));
        assert_eq!(publisher.next_batch(), None);
    }
}
