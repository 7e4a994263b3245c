//! What a node's actor says to whoever listens: that there is something new in the outbox, and what is not stored.
//!
//! Owns the queue between the actor and the store, so that the actor never waits and a storm of words costs it nothing.
//! Leaves out who listens ([`crate::store::live`]). What is lost on this way is looked for (the outbox) or was true for a
//! moment only (the rest), so it is counted and not said again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::belief::LiveNotice;
use crate::ids::NodeId;
use crate::store::Store;
use crate::store::live::LiveEvent;
use crate::telemetry as names;
use crate::time::Timestamp;
use crate::webhook::payload;

/// Words that may wait to be said. The store takes a batch in a millisecond; so many in that time is a storm, and of a
/// storm the end is what counts: the oldest go.
const WAITING: usize = 1_024;

/// Words said at once: with 300 bytes each, one message of some 40 KB.
const BATCH: usize = 128;

/// An actor's voice, and what it has to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Voice(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    stored: bool,
    live: VecDeque<LiveEvent>,
    /// How many had no room since this was last said.
    dropped: u64,
}

impl Voice {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit has put something into the outbox. However many do before it is said, it is said once.
    pub(super) fn something_is_stored(&self) {
        self.waiting().stored = true;
        self.0.wake.notify_one();
    }

    /// This is true since `at`.
    pub(super) fn say(&self, live: impl ExactSizeIterator<Item = LiveNotice>, at: Timestamp) {
        if live.len() == 0 {
            return;
        }
        let mut waiting = self.waiting();
        for LiveNotice { app, room, fact } in live {
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

    /// What is to be said next, if anything is.
    fn next(&self) -> Option<Vec<LiveEvent>> {
        let mut waiting = self.waiting();
        let dropped = std::mem::take(&mut waiting.dropped);
        if dropped > 0 {
            metrics::counter!(names::LIVE_DROPPED, "where" => "queue").increment(dropped);
        }
        let count = waiting.live.len().min(BATCH);
        let stored = std::mem::take(&mut waiting.stored);
        (stored || count > 0).then(|| waiting.live.drain(..count).collect())
    }

    /// Says what there is to say until it is told to stop.
    pub(super) async fn speak(
        &self,
        node: NodeId,
        store: &Arc<dyn Store>,
        stop: &CancellationToken,
    ) {
        let mut refused = false;
        loop {
            let Some(live) = self.next() else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.0.wake.notified() => continue,
                }
            };
            let said = tokio::select! {
                () = stop.cancelled() => return,
                said = store.say(node, &live) => said,
            };
            match said {
                Ok(()) => refused = false,
                Err(error) => {
                    let count = u64::try_from(live.len()).unwrap_or(u64::MAX);
                    metrics::counter!(names::LIVE_DROPPED, "where" => "say").increment(count);
                    metrics::counter!(names::STORE_ERRORS, "caller" => "live").increment(1);
                    // Once, until it goes well again: it may be forbidden for good, and nothing stored is lost by it.
                    if !std::mem::replace(&mut refused, true) {
                        tracing::warn!(
                            node.id = %node,
                            error = &error as &dyn std::error::Error,
                            "what happens cannot be said to the other replicas: event streams are up to a second late, \
                             and who talks is not shown"
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
    use crate::room::LiveFact;

    fn floors(count: usize) -> Vec<LiveNotice> {
        let notice = LiveNotice {
            app: "demo".parse().unwrap(),
            room: "acW68-room-550e8400-e29b-41d4-a716-446655440000"
                .parse()
                .unwrap(),
            fact: LiveFact::Floor {
                holder: None,
                member: None,
            },
        };
        vec![notice; count]
    }

    #[test]
    fn a_storm_is_bounded_and_its_end_is_what_is_said() {
        let voice = Voice::default();
        let at = |n: u64| Timestamp::from_millis(1_000 + n);
        for n in 0..2_000 {
            voice.say(floors(1).into_iter(), at(n));
        }
        voice.something_is_stored();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let mut said = Vec::new();
        metrics::with_local_recorder(&recorder, || {
            while let Some(batch) = voice.next() {
                assert!(batch.len() <= BATCH);
                said.extend(batch);
            }
        });
        assert_eq!(said.len(), WAITING);
        let last = at(1_999).rfc3339_micros();
        assert!(said.last().unwrap().body.contains(&last));
        let page = recorder.handle().render();
        let counted = "roomkeeper_events_live_dropped_total{where=\"queue\"} 976";
        assert!(page.contains(counted), "{page}");
    }

    #[test]
    fn what_is_stored_is_said_once_and_nothing_is_not_said() {
        let voice = Voice::default();
        assert_eq!(voice.next(), None);
        voice.something_is_stored();
        voice.something_is_stored();
        assert_eq!(voice.next(), Some(Vec::new()));
        assert_eq!(voice.next(), None);
    }
}
