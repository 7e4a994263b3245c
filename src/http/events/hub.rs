//! The parts that all event streams of this replica share: one outbox reader per node, one listener for live events,
//! and the limits on the number of streams.
//!
//! Owns reading each message once for all streams, and only while there are streams. Leaves out the streams (`reader`).
//! The ring buffers drop their oldest messages. A stream that is too slow for them reads the store itself from its own
//! position, so no stream is buffered for and none waits for another.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cursor::{NodePosition, PositionStatus};
use crate::store::live::LiveEvent;
use crate::store::{Message, Store, StoreError};
use crate::supervise::{ShutdownPhase, supervise};
use crate::telemetry as names;
use roomkeeper_core::ids::{AppId, NodeId};

/// The number of messages of all nodes in the ring: 1 MiB with 1 KiB each.
const RING: usize = 1_024;

/// The number of messages of one read.
const READ: usize = 256;

/// The pause before the subscription to live events is renewed.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The number of consecutive polls that found messages without any notification. Then the subscription counts as
/// broken.
const MISSED_NOTIFICATIONS: u32 = 3;

/// Settings of event streams.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamSettings {
    /// The silence after which a stream gets a comment: shorter than the timeout of proxies (60 s for most), and short
    /// enough to detect a vanished client.
    pub heartbeat: Duration,
    /// The poll interval of the store without notifications.
    pub poll: Duration,
    /// The maximum number of streams of one app in this process.
    pub each_app: usize,
    /// The maximum number of streams in this process. Each uses one of 4,096 connections.
    pub all: usize,
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            poll: Duration::from_secs(1),
            each_app: 50,
            all: 1_000,
        }
    }
}

/// The limit that forbids another stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LimitReached {
    /// The app's limit.
    App,
    /// The process's limit.
    All,
}

/// A message of an outbox, as sent to every stream.
#[derive(Debug)]
pub(super) struct StoredMessage {
    pub(super) node: NodeId,
    pub(super) position: NodePosition,
    pub(super) message: Message,
}

/// A message to all streams.
#[derive(Clone, Debug)]
pub(super) enum HubMessage {
    /// The next message of a node.
    Stored(Arc<StoredMessage>),
    /// Messages of this node may be missing, or the store was replaced: each stream must read the store.
    CheckStore(NodeId),
}

/// Distributes events to the streams of this replica.
pub struct Hub {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: StreamSettings,
    nodes: Vec<NodeId>,
    signals: HashMap<NodeId, NodeSignals>,
    messages: broadcast::Sender<HubMessage>,
    live: broadcast::Sender<Arc<LiveEvent>>,
    /// The number of streams of each app.
    open_by_app: Mutex<HashMap<AppId, usize>>,
    /// The number of streams.
    open: watch::Sender<usize>,
    /// Signals that the subscription to live events is broken.
    resubscribe: Notify,
    stop: CancellationToken,
}

/// Signals for the reader of a node.
#[derive(Default)]
struct NodeSignals {
    wake: Notify,
    /// The number of notifications about the node.
    notifications: AtomicU64,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("nodes", &self.nodes)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// Starts the readers of these nodes and the listener. When the stage stops, every stream ends.
    pub fn start(
        store: Arc<dyn Store>,
        nodes: Vec<NodeId>,
        settings: StreamSettings,
        stage: &ShutdownPhase,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            store,
            settings,
            signals: nodes
                .iter()
                .map(|node| (*node, NodeSignals::default()))
                .collect(),
            nodes,
            messages: broadcast::Sender::new(RING),
            live: broadcast::Sender::new(RING),
            open_by_app: Mutex::default(),
            open: watch::Sender::new(0),
            resubscribe: Notify::new(),
            stop: stage.stop().clone(),
        });
        for node in hub.nodes.clone() {
            let state = Arc::clone(&hub);
            stage.spawn(async move {
                let (name, stop) = (node.to_string(), state.stop.clone());
                supervise("event_reader", &name, &stop, state, |hub| {
                    Box::pin(async move {
                        let stop = hub.stop.clone();
                        stop.run_until_cancelled(hub.follow(node)).await;
                    })
                })
                .await;
            });
        }
        let state = Arc::clone(&hub);
        stage.spawn(async move {
            let stop = state.stop.clone();
            supervise("event_ear", "all", &stop, state, |hub| {
                Box::pin(async move {
                    let stop = hub.stop.clone();
                    stop.run_until_cancelled(hub.listen()).await;
                })
            })
            .await;
        });
        hub
    }

    /// The configured nodes.
    pub(super) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Cancelled when all streams must end.
    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Subscribes to stored messages from now on.
    pub(super) fn subscribe(&self) -> broadcast::Receiver<HubMessage> {
        self.messages.subscribe()
    }

    /// Subscribes to live events from now on.
    pub(super) fn subscribe_live(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.live.subscribe()
    }

    /// Acquires a permit for one more stream of this app.
    pub(super) fn acquire(self: &Arc<Self>, app: &AppId) -> Result<StreamPermit, LimitReached> {
        let mut open_by_app = self
            .open_by_app
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if open_by_app.values().sum::<usize>() >= self.settings.all {
            return Err(LimitReached::All);
        }
        let own = open_by_app.entry(app.clone()).or_default();
        if *own >= self.settings.each_app {
            return Err(LimitReached::App);
        }
        *own += 1;
        drop(open_by_app);
        self.open.send_modify(|open| *open += 1);
        metrics::gauge!(names::EVENT_STREAMS).increment(1.0);
        Ok(StreamPermit {
            hub: Arc::clone(self),
            app: app.clone(),
        })
    }

    /// Reads a node's outbox continuously while there are streams.
    async fn follow(&self, node: NodeId) {
        let Some(signals) = self.signals.get(&node) else {
            return;
        };
        let mut open = self.open.subscribe();
        loop {
            // The sender is in this struct.
            let _ = open.wait_for(|open| *open > 0).await;
            let (mut at, mut missed, mut notified) = (None, 0, 0);
            let (mut failed, mut polled) = (false, false);
            loop {
                let found = match self.read_on(node, &mut at).await {
                    Ok(found) => {
                        failed = false;
                        found
                    }
                    Err(error) => {
                        metrics::counter!(names::STORE_ERRORS, "caller" => "events").increment(1);
                        if !std::mem::replace(&mut failed, true) {
                            error.log_effect(
                                Some(node),
                                "event streams wait: the store does not respond",
                            );
                        }
                        0
                    }
                };
                let notifications = signals.notifications.load(Ordering::Relaxed);
                if notifications != notified {
                    missed = 0;
                } else if polled && found > 0 {
                    missed += 1;
                }
                notified = notifications;
                polled = false;
                if missed >= MISSED_NOTIFICATIONS {
                    missed = 0;
                    self.resubscribe.notify_one();
                }
                if found == READ {
                    continue;
                }
                tokio::select! {
                    () = signals.wake.notified() => {}
                    () = tokio::time::sleep(self.settings.poll) => polled = true,
                    _ = open.wait_for(|open| *open == 0) => break,
                }
            }
        }
    }

    /// Reads new messages of a node, sends them to the streams, and returns their number.
    async fn read_on(
        &self,
        node: NodeId,
        at: &mut Option<NodePosition>,
    ) -> Result<usize, StoreError> {
        // Sending fails without streams, which may all have just ended.
        let send = |message| drop(self.messages.send(message));
        let Some(position) = *at else {
            let slice = self.store.read_outbox_after(node, None, 0).await?;
            *at = Some(NodePosition::newest(&slice));
            // Streams that started before this read may lack earlier messages.
            send(HubMessage::CheckStore(node));
            return Ok(0);
        };
        let offset = Some(position.offset);
        let slice = self.store.read_outbox_after(node, offset, READ).await?;
        match position.check(&slice) {
            PositionStatus::Valid => {
                let count = slice.messages.len();
                for (offset, message) in slice.messages {
                    let position = NodePosition::after(offset, &message.id);
                    *at = Some(position);
                    send(HubMessage::Stored(Arc::new(StoredMessage {
                        node,
                        position,
                        message,
                    })));
                }
                Ok(count)
            }
            // Each stream determines its own gap; the hub continues with new messages.
            PositionStatus::Trimmed(_) | PositionStatus::Unknown => {
                *at = None;
                send(HubMessage::CheckStore(node));
                // Read again at once; this does not count as a missed notification.
                self.wake(node);
                Ok(0)
            }
        }
    }

    fn wake(&self, node: NodeId) {
        if let Some(signals) = self.signals.get(&node) {
            signals.wake.notify_one();
        }
    }

    /// Listens to live events of all nodes while there are streams.
    async fn listen(&self) {
        let mut open = self.open.subscribe();
        let mut failed = false;
        loop {
            // The sender is in this struct.
            let _ = open.wait_for(|open| *open > 0).await;
            match self.store.subscribe_live(&self.nodes).await {
                Ok(mut live) => {
                    failed = false;
                    // Notifications may have been missed before the subscription.
                    self.nodes.iter().for_each(|node| self.wake(*node));
                    loop {
                        tokio::select! {
                            next = live.next() => match next {
                                Some((node, live)) => self.handle(node, live),
                                None => break,
                            },
                            () = self.resubscribe.notified() => break,
                            _ = open.wait_for(|open| *open == 0) => break,
                        }
                    }
                }
                Err(error) => {
                    metrics::counter!(names::STORE_ERRORS, "caller" => "events").increment(1);
                    if !std::mem::replace(&mut failed, true) {
                        error.log_effect(
                            None,
                            "cannot subscribe to live events: event streams are up to a second late and lack talking events",
                        );
                    }
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    fn handle(&self, node: NodeId, live: Vec<LiveEvent>) {
        let Some(signals) = self.signals.get(&node) else {
            return;
        };
        signals.notifications.fetch_add(1, Ordering::Relaxed);
        signals.wake.notify_one();
        for event in live.into_iter().filter(|event| event.room.node() == node) {
            // Sending fails without streams.
            let _ = self.live.send(Arc::new(event));
        }
    }

    /// The time of the next attempt after the store did not respond.
    pub(super) fn next_attempt(&self) -> Instant {
        Instant::now() + self.settings.poll
    }
}

/// The permit of one stream, released when dropped.
pub(super) struct StreamPermit {
    hub: Arc<Hub>,
    app: AppId,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let open_by_app = &self.hub.open_by_app;
        let mut open_by_app = open_by_app.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = open_by_app.get_mut(&self.app) {
            *own -= 1;
            if *own == 0 {
                open_by_app.remove(&self.app);
            }
        }
        drop(open_by_app);
        self.hub.open.send_modify(|open| *open -= 1);
        metrics::gauge!(names::EVENT_STREAMS).decrement(1.0);
    }
}
