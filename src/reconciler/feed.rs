//! The queue from the event connection to the actor. Its writer never waits.
//!
//! The queue is bounded. When it is full, events are dropped and counted, and the actor takes a snapshot, which makes up
//! for the dropped events.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Span;

use crate::node::{EventSink, FENCE_HEADER, FENCE_SUBCLASS};
use crate::telemetry as names;
use crate::telemetry::trace;
use freeswitch_esl::{Event, EventKind};
use roomkeeper_core::ids::{CoreId, NodeId};

use super::translate;
use roomkeeper_core::switch_event::SwitchEvent;

/// Events that may wait. A storm of 200,000 events leaves at most this many in memory (about 40 MiB). A busy node sends
/// some thousand events a second, so the queue covers seconds without an answer of the store.
pub(super) const FEED_QUEUE: usize = 65_536;

/// A switch event, and the time at which it was received.
#[derive(Debug)]
pub(super) struct ReceivedEvent {
    pub(super) event: SwitchEvent,
    pub(super) since: Instant,
    /// The event's span. It ends with the commit of the event's changes.
    pub(super) span: Span,
}

/// An input from the event connection.
// Nearly all are events: a box would cost an allocation for each.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum NodeInput {
    /// Connected and subscribed.
    Up,
    /// FreeSWITCH reported something.
    SwitchEvent(ReceivedEvent),
    /// A fence came back.
    Fence {
        token: u64,
        core: CoreId,
        sequence: u64,
    },
    /// The connection ended.
    Down,
}

/// The connection's end of the queue.
#[derive(Debug)]
pub(super) struct Feed {
    node: NodeId,
    queue: mpsc::Sender<NodeInput>,
    dropped: Arc<AtomicU64>,
}

/// Creates a feed. Returns it with the actor's end and the number of dropped events.
pub(super) fn feed(node: NodeId) -> (Feed, mpsc::Receiver<NodeInput>, Arc<AtomicU64>) {
    let (sender, queue) = mpsc::channel(FEED_QUEUE);
    let dropped = Arc::new(AtomicU64::new(0));
    let feed = Feed {
        node,
        queue: sender,
        dropped: Arc::clone(&dropped),
    };
    (feed, queue, dropped)
}

impl Feed {
    /// The queue, to measure its depth.
    pub(super) fn queue(&self) -> mpsc::WeakSender<NodeInput> {
        self.queue.downgrade()
    }

    fn put(&self, item: NodeInput) {
        if self.queue.try_send(item).is_err() {
            metrics::counter!(names::ESL_EVENTS_DROPPED, "node" => self.node.to_string(), "why" => "queue")
                .increment(1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EventSink for Feed {
    fn up(&mut self) {
        self.put(NodeInput::Up);
    }

    fn event(&mut self, event: &Event) {
        if let EventKind::Custom(subclass) = event.kind()
            && subclass == FENCE_SUBCLASS
        {
            let fence = (
                event.parse(FENCE_HEADER),
                translate::core(event),
                event.sequence(),
            );
            if let (Some(token), Some(core), Some(sequence)) = fence {
                self.put(NodeInput::Fence {
                    token,
                    core,
                    sequence,
                });
            }
            return;
        }
        if let Some(received) = translate::switch_event(event) {
            let span = tracing::info_span!(
                target: trace::TARGET,
                parent: None,
                "event",
                otel.kind = "consumer",
                node.id = %self.node,
                event = ?event.kind(),
                sequence = received.sequence
            );
            self.put(NodeInput::SwitchEvent(ReceivedEvent {
                event: received,
                since: Instant::now(),
                span,
            }));
        }
    }

    fn down(&mut self) {
        self.put(NodeInput::Down);
    }
}
