//! What all event streams of this replica have in common: one reader a node, one ear for all nodes, and the places.
//!
//! Owns reading each message once, however many streams want it, and only while there is a stream. Leaves out what a
//! stream does with it (`reader`). Every ring here forgets its oldest when a stream does not keep up: that stream reads
//! the store itself, from where it is, so that nobody is buffered for and nobody waits for another.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::place::{Found, Mark};
use crate::ids::{AppId, NodeId};
use crate::store::live::LiveEvent;
use crate::store::{Message, Store, StoreError};
use crate::supervise::{Stage, keep};
use crate::telemetry as names;

/// What is kept for streams that are a moment behind, of all nodes together: with 1 KiB each, 1 MiB.
const RING: usize = 1_024;

/// Messages read at once.
const READ: usize = 256;

/// How long after the ear was deaf, or nobody could be listened to, it is tried again.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// So often in a row something was found that nobody had told of, and nothing was heard meanwhile: the ear is deaf.
const UNHEARD: u32 = 3;

/// How event streams behave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamSettings {
    /// A stream on which nothing was sent for this long gets a comment: less than proxies wait (60 s with most), and
    /// often enough that a client which is gone is noticed.
    pub heartbeat: Duration,
    /// How often the store is asked when nobody says that there is something new.
    pub poll: Duration,
    /// Streams of one app at the same time, in this process.
    pub each_app: usize,
    /// Streams at the same time, in this process. Each holds a connection, of which there are 4,096.
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

/// Why there is no place for another stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Full {
    /// The app has as many as it may.
    App,
    /// The process has.
    All,
}

/// A message of an outbox, as every stream gets it.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) node: NodeId,
    pub(super) mark: Mark,
    pub(super) message: Message,
}

/// What streams are told.
#[derive(Clone, Debug)]
pub(super) enum Told {
    /// The next message of a node.
    Stored(Arc<Stored>),
    /// What of this node came before the next message, or whether it is the node's any more, is for each to look up.
    Look(NodeId),
}

/// Hands what happens to the event streams of this replica.
pub struct Hub {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: StreamSettings,
    nodes: Vec<NodeId>,
    desks: HashMap<NodeId, Desk>,
    told: broadcast::Sender<Told>,
    live: broadcast::Sender<Arc<LiveEvent>>,
    /// Streams by app.
    places: Mutex<HashMap<AppId, usize>>,
    /// How many streams there are.
    open: watch::Sender<usize>,
    /// The ear hears nothing of what it should.
    deaf: Notify,
    stop: CancellationToken,
}

/// What wakes the reader of a node.
#[derive(Default)]
struct Desk {
    nudge: Notify,
    /// How often something was said of the node.
    heard: AtomicU64,
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
    /// Begins the readers of these nodes and the ear. When the stage is told to stop, every stream ends.
    pub fn start(
        store: Arc<dyn Store>,
        nodes: Vec<NodeId>,
        settings: StreamSettings,
        stage: &Stage,
    ) -> Arc<Self> {
        let hub = Arc::new(Self {
            store,
            settings,
            desks: nodes.iter().map(|node| (*node, Desk::default())).collect(),
            nodes,
            told: broadcast::Sender::new(RING),
            live: broadcast::Sender::new(RING),
            places: Mutex::default(),
            open: watch::Sender::new(0),
            deaf: Notify::new(),
            stop: stage.stop().clone(),
        });
        for node in hub.nodes.clone() {
            let state = Arc::clone(&hub);
            stage.spawn(async move {
                let (of, stop) = (node.to_string(), state.stop.clone());
                keep("event_reader", &of, &stop, state, |hub| {
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
            keep("event_ear", "all", &stop, state, |hub| {
                Box::pin(async move {
                    let stop = hub.stop.clone();
                    stop.run_until_cancelled(hub.listen()).await;
                })
            })
            .await;
        });
        hub
    }

    /// The nodes that there are.
    pub(super) fn nodes(&self) -> &[NodeId] {
        &self.nodes
    }

    /// Ends when all streams are to.
    pub(super) const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// What is told from now on.
    pub(super) fn told(&self) -> broadcast::Receiver<Told> {
        self.told.subscribe()
    }

    /// What is said from now on.
    pub(super) fn live(&self) -> broadcast::Receiver<Arc<LiveEvent>> {
        self.live.subscribe()
    }

    /// A place for one more stream of this app, until it is dropped.
    pub(super) fn take_place(self: &Arc<Self>, app: &AppId) -> Result<Held, Full> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.values().sum::<usize>() >= self.settings.all {
            return Err(Full::All);
        }
        let own = places.entry(app.clone()).or_default();
        if *own >= self.settings.each_app {
            return Err(Full::App);
        }
        *own += 1;
        drop(places);
        self.open.send_modify(|open| *open += 1);
        metrics::gauge!(names::EVENT_STREAMS).increment(1.0);
        Ok(Held {
            hub: Arc::clone(self),
            app: app.clone(),
        })
    }

    /// Reads a node's outbox on and on, while there are streams.
    async fn follow(&self, node: NodeId) {
        let Some(desk) = self.desks.get(&node) else {
            return;
        };
        let mut open = self.open.subscribe();
        loop {
            // The other end is here.
            let _ = open.wait_for(|open| *open > 0).await;
            let (mut at, mut unheard, mut heard) = (None, 0, 0);
            let (mut failed, mut looked) = (false, false);
            loop {
                let found = match self.read_on(node, &mut at).await {
                    Ok(found) => {
                        failed = false;
                        found
                    }
                    Err(error) => {
                        metrics::counter!(names::STORE_ERRORS, "caller" => "events").increment(1);
                        if !std::mem::replace(&mut failed, true) {
                            tracing::warn!(
                                node.id = %node,
                                error = &error as &dyn std::error::Error,
                                "event streams wait for the store"
                            );
                        }
                        0
                    }
                };
                let hears = desk.heard.load(Ordering::Relaxed);
                if hears != heard {
                    unheard = 0;
                } else if looked && found > 0 {
                    unheard += 1;
                }
                heard = hears;
                looked = false;
                if unheard >= UNHEARD {
                    unheard = 0;
                    self.deaf.notify_one();
                }
                if found == READ {
                    continue;
                }
                tokio::select! {
                    () = desk.nudge.notified() => {}
                    () = tokio::time::sleep(self.settings.poll) => looked = true,
                    _ = open.wait_for(|open| *open == 0) => break,
                }
            }
        }
    }

    /// Reads what is new of a node and hands it on; says how much that was.
    async fn read_on(&self, node: NodeId, at: &mut Option<Mark>) -> Result<usize, StoreError> {
        // That nobody is there any more is no mistake: there was somebody a moment ago.
        let tell = |told| drop(self.told.send(told));
        let Some(mark) = *at else {
            let slice = self.store.read_outbox_after(node, None, 0).await?;
            *at = Some(Mark::newest(&slice));
            // Whoever came before this was read may lack something of before it, and nobody else will tell.
            tell(Told::Look(node));
            return Ok(0);
        };
        let position = Some(mark.position);
        let slice = self.store.read_outbox_after(node, position, READ).await?;
        match mark.find(&slice) {
            Found::Here => {
                let count = slice.messages.len();
                for (position, message) in slice.messages {
                    let mark = Mark::behind(position, &message.id);
                    *at = Some(mark);
                    tell(Told::Stored(Arc::new(Stored {
                        node,
                        mark,
                        message,
                    })));
                }
                Ok(count)
            }
            // Each finds out for itself what it has missed; here it is gone on with what comes.
            Found::Trimmed(_) | Found::Lost => {
                *at = None;
                tell(Told::Look(node));
                // At once, and nothing of it was unheard of.
                self.wake(node);
                Ok(0)
            }
        }
    }

    fn wake(&self, node: NodeId) {
        if let Some(desk) = self.desks.get(&node) {
            desk.nudge.notify_one();
        }
    }

    /// Listens to what is said of all nodes, while there are streams.
    async fn listen(&self) {
        let mut open = self.open.subscribe();
        let mut failed = false;
        loop {
            // The other end is here.
            let _ = open.wait_for(|open| *open > 0).await;
            match self.store.hear(&self.nodes).await {
                Ok(mut heard) => {
                    failed = false;
                    // Something may have been said before.
                    self.nodes.iter().for_each(|node| self.wake(*node));
                    loop {
                        tokio::select! {
                            said = heard.next() => match said {
                                Some((node, live)) => self.heard(node, live),
                                None => break,
                            },
                            () = self.deaf.notified() => break,
                            _ = open.wait_for(|open| *open == 0) => break,
                        }
                    }
                }
                Err(error) => {
                    metrics::counter!(names::STORE_ERRORS, "caller" => "events").increment(1);
                    if !std::mem::replace(&mut failed, true) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "what happens is not heard: event streams are up to a second late, and who talks is not shown"
                        );
                    }
                }
            }
            tokio::time::sleep(LISTEN_AGAIN).await;
        }
    }

    fn heard(&self, node: NodeId, live: Vec<LiveEvent>) {
        let Some(desk) = self.desks.get(&node) else {
            return;
        };
        desk.heard.fetch_add(1, Ordering::Relaxed);
        desk.nudge.notify_one();
        for event in live.into_iter().filter(|event| event.room.node() == node) {
            // As above: nobody is no mistake.
            let _ = self.live.send(Arc::new(event));
        }
    }

    /// When a store that did not answer is asked again.
    pub(super) fn ask_again(&self) -> Instant {
        Instant::now() + self.settings.poll
    }
}

/// The place of one stream.
pub(super) struct Held {
    hub: Arc<Hub>,
    app: AppId,
}

impl Drop for Held {
    fn drop(&mut self) {
        let places = &self.hub.places;
        let mut places = places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = places.get_mut(&self.app) {
            *own -= 1;
            if *own == 0 {
                places.remove(&self.app);
            }
        }
        drop(places);
        self.hub.open.send_modify(|open| *open -= 1);
        metrics::gauge!(names::EVENT_STREAMS).decrement(1.0);
    }
}
