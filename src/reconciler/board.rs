//! What the replicas tell each other of a node, by way of the store.
//!
//! Owns the look at the node's board: once a second, and at once when this replica was asked for something. What it reads
//! is kept for everyone here; what the owner has to say is written when it has changed. Leaves out what a snapshot asked
//! for leads to, which is the actor's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::ids::NodeId;
use crate::node::NodeHandle;
use crate::store::board::{self, Board, NodeStanding, Notice};
use crate::store::looks::next_look;
use crate::store::{Lease, Store, StoreError};
use crate::telemetry as names;

use super::actor::{Owner, Standing};

/// How often a replica looks.
const LOOK: Duration = Duration::from_secs(1);

/// What this replica knows of a node's board.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// As last read; `None`: not yet.
    board: watch::Sender<Option<Board>>,
    /// What the actor has found that belongs to nothing, in its stored form.
    report: watch::Sender<Option<Arc<str>>>,
    now: Arc<Notify>,
    /// How often this replica has written on it: what was read meanwhile is old.
    writes: Arc<AtomicU64>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            board: watch::Sender::new(None),
            report: watch::Sender::new(None),
            now: Arc::new(Notify::new()),
            writes: Arc::default(),
        }
    }

    /// Told whenever somebody has written on it.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Board>> {
        self.board.subscribe()
    }

    /// How often a snapshot has been asked for, as far as is known.
    pub(super) fn resyncs(&self) -> Option<u64> {
        self.board.borrow().as_ref().map(|board| board.resyncs)
    }

    /// Whether no new room is placed on the node.
    pub(super) fn draining(&self) -> bool {
        let board = self.board.borrow();
        board.as_ref().is_some_and(|board| board.draining)
    }

    /// How the owner says that the node stands.
    pub(super) fn standing(&self, node: NodeId) -> Option<NodeStanding> {
        let board = self.board.borrow();
        let text = board.as_ref()?.standing.as_ref()?;
        board::decode(node, Notice::Standing, text).ok()
    }

    /// This replica has just written so.
    pub(super) fn set_draining(&self, draining: bool) {
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.board
            .send_modify(|board| board.get_or_insert_default().draining = draining);
    }

    /// Somebody has written on it through this replica.
    pub(super) fn look_now(&self) {
        self.now.notify_one();
    }

    /// What the owner has found. What is no news is written with the next look: that is what most snapshots find.
    pub(super) fn report(&self, text: String, is_news: bool) {
        self.report.send_replace(Some(text.into()));
        if is_news {
            self.now.notify_one();
        }
    }
}

impl Standing {
    /// What the other replicas are told of it.
    pub(super) fn published(&self, node: &NodeHandle) -> NodeStanding {
        let vitals = node.status().vitals;
        NodeStanding {
            resynced_at: self.resynced_at,
            drift: self.drift,
            drifted_at: self.drifted_at,
            lag_ms: self.lag_ms,
            calls: vitals.calls.max(self.calls),
            max_calls: vitals.max_calls,
        }
    }
}

/// Reads the board, and writes on it for the owner.
#[derive(Debug)]
pub(super) struct Clerk {
    pub(super) node: NodeHandle,
    pub(super) store: Arc<dyn Store>,
    pub(super) seen: Seen,
    pub(super) owner: watch::Receiver<Owner>,
    pub(super) standing: watch::Receiver<Standing>,
    /// Under which lease what was written last.
    pub(super) written: Option<(Lease, NodeStanding)>,
}

impl Clerk {
    /// Runs until `stop` is cancelled.
    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        let mut was_away = false;
        loop {
            let looked = self.look().await;
            if let Err(error) = &looked
                && !was_away
            {
                metrics::counter!(names::STORE_ERRORS, "caller" => "board").increment(1);
                tracing::warn!(node.id = %self.node.id(), %error, "the node's board cannot be read or written; what was read last counts");
            }
            was_away = looked.is_err();
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.seen.now.notified() => {}
                () = tokio::time::sleep_until(next_look(LOOK)) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), StoreError> {
        let writes = self.seen.writes.load(Ordering::SeqCst);
        let read = self.store.read_board(self.node.id()).await?;
        self.seen.board.send_if_modified(|board| {
            if self.seen.writes.load(Ordering::SeqCst) != writes {
                self.seen.look_now();
                return false;
            }
            let changed = board.as_ref() != Some(&read);
            *board = Some(read);
            changed
        });
        let Some(lease) = self.owner.borrow().lease() else {
            return Ok(());
        };
        let standing = self.standing.borrow().published(&self.node);
        let is_written = self.written.as_ref();
        if is_written.is_none_or(|(under, text)| *under != lease || *text != standing) {
            let text = board::encode(&standing);
            let is_ours = self
                .store
                .put_notice(lease, Notice::Standing, &text)
                .await?;
            if is_ours {
                self.written = Some((lease, standing));
            }
        }
        let found = self.seen.report.borrow().clone();
        if let Some(text) = found {
            let is_ours = self.store.put_notice(lease, Notice::Report, &text).await?;
            if is_ours {
                // Unless there is another by now.
                self.seen.report.send_if_modified(|report| {
                    if report.as_ref().is_some_and(|now| Arc::ptr_eq(now, &text)) {
                        *report = None;
                    }
                    false
                });
            }
        }
        Ok(())
    }
}
