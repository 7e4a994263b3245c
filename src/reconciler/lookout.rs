//! Who looks at the store for all nodes: what other replicas have written there, nobody here is told of.
//!
//! Owns when that is (once a second, and at once where this replica was asked for something), who is woken for what is seen,
//! and that the owners' boards are written. Leaves out what those who are woken do: they look for themselves. So a fleet
//! on which nothing happens costs one question a second. One that is not answered wakes nobody: who has no business with the
//! store believes what it believed, and the next answer says all that this one would have.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::ids::NodeId;
use crate::store::looks::{Sight, next_look};
use crate::store::{Store, StoreError};
use crate::telemetry::{self as names, Chain};
use crate::time::Timestamp;

use super::board::Clerk;

/// How often it looks.
const LOOK: Duration = Duration::from_secs(1);

/// What it has of one node.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) clerk: Clerk,
    /// The actor: it is to look for what is due.
    pub(super) actor: Arc<Notify>,
    /// Who delivers: there may be something.
    pub(super) told: Arc<Notify>,
    /// Its board could not be read or written the last time, which was said.
    pub(super) failing: bool,
}

impl Post {
    /// Its actor and who delivers are to see for themselves.
    fn wake(&self) {
        self.actor.notify_one();
        self.told.notify_one();
    }

    fn take_in(&self, sight: Sight, writes: u64) {
        let (_, seen) = self.clerk.seen();
        if let Some(board) = sight.board {
            seen.read(board, writes);
        }
        if sight.due && self.clerk.lease().is_some() {
            self.actor.notify_one();
        }
        if sight.deliveries {
            self.told.notify_one();
        }
    }

    /// Says once that the store fails, and not again before it has not.
    fn note(&mut self, came_to: Result<(), StoreError>) {
        let was = std::mem::replace(&mut self.failing, came_to.is_err());
        if let Err(error) = came_to
            && !was
        {
            let (node, _) = self.clerk.seen();
            metrics::counter!(names::STORE_ERRORS, "caller" => "board").increment(1);
            tracing::warn!(
                node.id = %node,
                error = %Chain(&error),
                "the node's board cannot be read or written; what was read last counts"
            );
        }
    }
}

/// Looks for all nodes.
#[derive(Debug)]
pub(super) struct Lookout {
    store: Arc<dyn Store>,
    posts: Vec<Post>,
    /// Somebody does not want to wait.
    bell: Arc<Notify>,
    /// The connections of the store at the time of the last look.
    connections: u64,
    /// The store could not be asked the last time, which was said.
    failing: bool,
}

impl Lookout {
    pub(super) const fn new(store: Arc<dyn Store>, posts: Vec<Post>, bell: Arc<Notify>) -> Self {
        Self {
            store,
            posts,
            bell,
            connections: 0,
            failing: false,
        }
    }

    /// Runs until `stop` is cancelled.
    pub(super) async fn run(&mut self, stop: &CancellationToken) {
        let mut all = true;
        while !stop.is_cancelled() {
            self.look(all).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.bell.notified() => all = false,
                () = tokio::time::sleep_until(next_look(LOOK)) => all = true,
            }
        }
    }

    /// Looks at all nodes, or at those where somebody does not want to wait.
    async fn look(&mut self, all: bool) {
        let wanted = |post: &&mut Post| post.clerk.seen().1.take_wanted() || all;
        let mut posts: Vec<&mut Post> = self.posts.iter_mut().filter(wanted).collect();
        if posts.is_empty() {
            return;
        }
        let ids: Vec<NodeId> = posts.iter().map(|post| post.clerk.seen().0).collect();
        let writes: Vec<u64> = posts
            .iter()
            .map(|post| post.clerk.seen().1.writes())
            .collect();
        let seen = self.store.look_at(&ids, Timestamp::now()).await;
        let was_failing = std::mem::replace(&mut self.failing, seen.is_err());
        match seen {
            Ok(sights) => {
                for ((post, sight), writes) in posts.iter_mut().zip(sights).zip(writes) {
                    match sight {
                        Ok(sight) => post.take_in(sight, writes),
                        Err(error) => {
                            post.wake();
                            post.note(Err(error));
                        }
                    }
                }
            }
            Err(error) => {
                if !was_failing {
                    metrics::counter!(names::STORE_ERRORS, "caller" => "board").increment(1);
                    tracing::warn!(
                        error = %Chain(&error),
                        "the nodes' boards cannot be read; what was read last counts"
                    );
                }
                return;
            }
        }
        let store = &*self.store;
        let news = posts.iter_mut().filter(|post| post.clerk.has_news());
        join_all(news.map(async |post| {
            let written = post.clerk.write(store).await;
            post.note(written);
        }))
        .await;
        // Another server may be behind it, or one that has forgotten: whoever believes something reads it again.
        let connections = self.store.connections();
        if std::mem::replace(&mut self.connections, connections) != connections {
            self.posts.iter().for_each(|post| post.actor.notify_one());
        }
    }
}
