//! From the event connection to the reconciler, without ever waiting.
//!
//! Owns the one bounded queue between them and what happens when it is full: news is dropped and counted, and the
//! actor takes a snapshot, which heals whatever the news would have told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::Span;

use crate::esl::{Event, EventKind};
use crate::ids::{CoreId, NodeId};
use crate::node::{EventSink, FENCE_HEADER, FENCE_SUBCLASS};
use crate::telemetry as names;
use crate::telemetry::trace;

use super::news::News;
use super::translate;

/// News that may wait. A storm of 200,000 events leaves at most this much in memory (about 40 MiB); a busy node makes
/// some thousand events a second, so this is seconds of a store that does not answer.
pub(super) const FEED_QUEUE: usize = 65_536;

/// News, and when it was heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) news: News,
    pub(super) since: Instant,
    /// Of the event; it ends when what it led to is committed.
    pub(super) span: Span,
}

/// What the event connection tells.
// Nearly all of it is news: in a box, each would be an allocation more.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub(super) enum FromNode {
    /// Connected and subscribed.
    Up,
    /// Something happened.
    News(Heard),
    /// A fence came back.
    Fence {
        token: u64,
        core: CoreId,
        sequence: u64,
    },
    /// The connection is gone.
    Down,
}

/// The reader's end.
#[derive(Debug)]
pub(super) struct Feed {
    node: NodeId,
    queue: mpsc::Sender<FromNode>,
    dropped: Arc<AtomicU64>,
}

/// A feed, the actor's end of it, and the count of what it dropped.
pub(super) fn feed(node: NodeId) -> (Feed, mpsc::Receiver<FromNode>, Arc<AtomicU64>) {
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
    /// The queue, for those who look at it.
    pub(super) fn queue(&self) -> mpsc::WeakSender<FromNode> {
        self.queue.downgrade()
    }

    fn put(&self, item: FromNode) {
        if self.queue.try_send(item).is_err() {
            metrics::counter!(names::ESL_EVENTS_DROPPED, "node" => self.node.to_string(), "why" => "queue")
                .increment(1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl EventSink for Feed {
    fn up(&mut self) {
        self.put(FromNode::Up);
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
                self.put(FromNode::Fence {
                    token,
                    core,
                    sequence,
                });
            }
            return;
        }
        if let Some(news) = translate::news(event) {
            let span = tracing::info_span!(
                target: trace::TARGET,
                parent: None,
                "event",
                otel.kind = "consumer",
                node.id = %self.node,
                event = ?event.kind(),
                sequence = news.sequence
            );
            self.put(FromNode::News(Heard {
                news,
                since: Instant::now(),
                span,
            }));
        }
    }

    fn down(&mut self) {
        self.put(FromNode::Down);
    }
}
