//! What the replicas tell each other of a node, by way of the store.
//!
//! Owns what this replica knows of a node's board, and what the owner has to say on it. Leaves out when the store is looked
//! at (`lookout`), and what a snapshot asked for leads to, which is the actor's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::{Notify, watch};

use crate::ids::NodeId;
use crate::node::NodeHandle;
use crate::store::board::{self, Board, NodeStanding, Notice};
use crate::store::{Lease, Store, StoreError};

use super::actor::{Owner, Standing};

/// What this replica knows of a node's board.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// As last read; `None`: not yet.
    board: watch::Sender<Option<Board>>,
    /// What the actor has found that belongs to nothing, in its stored form.
    report: watch::Sender<Option<Arc<str>>>,
    /// It is to be looked at without waiting for its time.
    wanted: Arc<AtomicBool>,
    /// Who looks.
    bell: Arc<Notify>,
    /// How often this replica has written on it: what was read meanwhile is old.
    writes: Arc<AtomicU64>,
}

impl Seen {
    /// Nothing yet. `bell` is rung when it is to be looked at soon.
    pub(super) fn new(bell: &Arc<Notify>) -> Self {
        Self {
            board: watch::Sender::new(None),
            report: watch::Sender::new(None),
            wanted: Arc::default(),
            bell: Arc::clone(bell),
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
        self.wanted.store(true, Ordering::SeqCst);
        self.bell.notify_one();
    }

    /// Whether it is to be looked at at once. Says so once.
    pub(super) fn take_wanted(&self) -> bool {
        self.wanted.swap(false, Ordering::SeqCst)
    }

    /// How often this replica has written on it.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::SeqCst)
    }

    /// It was read so, after this replica had written on it so often.
    pub(super) fn read(&self, read: Board, writes: u64) {
        self.board.send_if_modified(|board| {
            if self.writes() != writes {
                self.look_now();
                return false;
            }
            let changed = board.as_ref() != Some(&read);
            *board = Some(read);
            changed
        });
    }

    /// What the owner has found. What is no news is written with the next look: that is what most snapshots find.
    pub(super) fn report(&self, text: String, is_news: bool) {
        self.report.send_replace(Some(text.into()));
        if is_news {
            self.look_now();
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

/// Writes on the board of a node what its owner has to say.
#[derive(Debug)]
pub(super) struct Clerk {
    node: NodeHandle,
    seen: Seen,
    owner: watch::Receiver<Owner>,
    standing: watch::Receiver<Standing>,
    /// Under which lease what was written last.
    written: Option<(Lease, NodeStanding)>,
}

impl Clerk {
    /// Who has written nothing yet.
    pub(super) const fn new(
        node: NodeHandle,
        seen: Seen,
        owner: watch::Receiver<Owner>,
        standing: watch::Receiver<Standing>,
    ) -> Self {
        Self {
            node,
            seen,
            owner,
            standing,
            written: None,
        }
    }

    /// The node, and what is known of its board.
    pub(super) fn seen(&self) -> (NodeId, &Seen) {
        (self.node.id(), &self.seen)
    }

    /// The lease, if this replica reconciles the node.
    pub(super) fn lease(&self) -> Option<Lease> {
        self.owner.borrow().lease()
    }

    /// Whether this replica has something to say.
    pub(super) fn has_news(&self) -> bool {
        let Some(lease) = self.lease() else {
            return false;
        };
        self.news_of(lease).is_some() || self.seen.report.borrow().is_some()
    }

    /// How the node stands, unless that is what is written.
    fn news_of(&self, lease: Lease) -> Option<NodeStanding> {
        let standing = self.standing.borrow().published(&self.node);
        let written = self.written.as_ref();
        let is_written = written.is_some_and(|(under, said)| *under == lease && *said == standing);
        (!is_written).then_some(standing)
    }

    /// Writes what has changed.
    pub(super) async fn write(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let Some(lease) = self.lease() else {
            return Ok(());
        };
        if let Some(standing) = self.news_of(lease) {
            let text = board::encode(&standing);
            if store.put_notice(lease, Notice::Standing, &text).await? {
                self.written = Some((lease, standing));
            }
        }
        let found = self.seen.report.borrow().clone();
        if let Some(text) = found
            && store.put_notice(lease, Notice::Report, &text).await?
        {
            // Unless there is another by now.
            self.seen.report.send_if_modified(|report| {
                if report.as_ref().is_some_and(|now| Arc::ptr_eq(now, &text)) {
                    *report = None;
                }
                false
            });
        }
        Ok(())
    }
}
