//! What is to be seen of many nodes at once, on Redis.
//!
//! Where one server has all keys, it is asked in one piece; in a cluster, once for each node, whose keys are in one slot.

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{FromRedisValue, Pipeline, Value};

use super::deliveries::{First, ask_first, next_of};
use super::link::{Fault, Request};
use super::{Pairs, RedisStore, Route, board, decode};
use crate::ids::NodeId;
use crate::store::looks::{Looks, Sight};
use crate::store::{StoreError, keys, unreadable};
use crate::time::Timestamp;

/// The answers to what is asked of the nodes, the next one first.
struct Answers {
    /// The time of the server.
    now: (u64, u64),
    rest: std::vec::IntoIter<Result<Value, Fault>>,
}

impl Answers {
    /// Of a question that begins with [`begin`].
    fn of(what: &str, answers: Result<Value, Fault>) -> Result<Self, StoreError> {
        let answers = decode::<Vec<Value>>(what, answers)?.into_iter();
        let each = answers.map(|answer| answer.extract_error().map_err(Fault::Answer));
        Self::of_each(what, each.collect())
    }

    /// The same, of commands that were sent one by one.
    fn of_each(what: &str, answers: Vec<Result<Value, Fault>>) -> Result<Self, StoreError> {
        let mut rest = answers.into_iter();
        let now = decode(what, rest.next().unwrap_or(Ok(Value::Nil)))?;
        Ok(Self { now, rest })
    }

    /// `what` it is about.
    fn take<T: FromRedisValue>(&mut self, what: &str) -> Result<T, StoreError> {
        decode(what, self.rest.next().unwrap_or(Ok(Value::Nil)))
    }
}

/// An answer, unless its key is unreadable, which is noted.
fn present<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Err(error @ StoreError::Corrupt { .. }) => {
            unreadable::note_error(&error);
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// A question in which nodes are asked about.
fn begin() -> Pipeline {
    let mut pipe = redis::pipe();
    pipe.cmd("TIME");
    pipe
}

impl RedisStore {
    /// Asks what [`Self::seen`] reads.
    fn ask(&self, pipe: &mut Pipeline, node: NodeId, now: Timestamp) {
        pipe.add_command(board::read(&keys::board(node)));
        pipe.cmd("ZRANGE").arg(keys::deadlines(node)).arg("-inf");
        pipe.arg(now.as_micros()).arg(("BYSCORE", "LIMIT", 0, 1));
        pipe.cmd("GET").arg(keys::cursor(node));
        pipe.cmd("GET").arg(keys::outbox_last(node));
        pipe.cmd("XRANGE").arg(keys::outbox(node));
        pipe.arg(format!("(0-{}", self.outboxes.cursor(node)));
        pipe.arg(("+", "COUNT", 1));
        ask_first(pipe, &keys::due(node));
        pipe.cmd("HGETALL").arg(keys::unreadable(node));
    }

    /// Each answer is taken, also behind one that cannot be read: others come after it.
    fn seen(&self, answers: &mut Answers, node: NodeId) -> Result<Sight, StoreError> {
        let board = answers.take(&keys::board(node));
        let due = answers.take::<Vec<Value>>(&keys::deadlines(node));
        let cursor = answers.take::<Option<u64>>(&keys::cursor(node));
        let last = answers.take::<Option<u64>>(&keys::outbox_last(node));
        let behind = answers.take::<Vec<Value>>(&keys::outbox(node));
        let first = answers.take::<First>(&keys::due(node));
        let noted = answers.take::<Pairs>(&keys::unreadable(node));
        for (key, why) in present(noted)?.unwrap_or_default() {
            unreadable::note(&key, &why);
        }
        // What is unreadable here is for those who are woken: they make it anew, or pass it over.
        let due = present(due)?.is_none_or(|due| !due.is_empty());
        let (cursor, last) = (present(cursor)?, present(last)?);
        let (behind, first) = (present(behind)?, present(first)?);
        let deliveries = match (cursor, last, behind, first) {
            (Some(cursor), Some(last), Some(behind), Some(first)) => {
                let cursor = cursor.unwrap_or_default();
                // Where it is not where it was, what lies behind it is not known yet.
                let is_there = cursor == self.outboxes.cursor(node);
                self.outboxes.cursor_is(node, cursor);
                // Also when it is gone: whoever hands it over finds out.
                let has_more = last.is_some_and(|last| last > cursor) || !behind.is_empty();
                let next = next_of(answers.now, first);
                !is_there || has_more || next.is_some_and(|next| next.is_zero())
            }
            _ => true,
        };
        Ok(Sight {
            board: present(board)?.map(board::written),
            due,
            deliveries,
        })
    }

    /// What is to be seen of nodes that one server has.
    async fn seen_at_once(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<Sight, StoreError>>, StoreError> {
        let mut pipe = begin();
        for node in nodes {
            self.ask(&mut pipe, *node, now);
        }
        let answers = self.route.send(Request::Several(&pipe)).await;
        let mut answers = Answers::of("all nodes", answers)?;
        let seen = nodes.iter().map(|node| self.seen(&mut answers, *node));
        Ok(seen.collect())
    }

    async fn seen_alone(&self, node: NodeId, now: Timestamp) -> Result<Sight, StoreError> {
        let mut pipe = begin();
        pipe.atomic();
        self.ask(&mut pipe, node, now);
        let answers = self.route.send(Request::Atomic(&pipe)).await;
        let what = keys::node_prefix(node);
        let answers = Answers::of(&what, answers);
        if !matches!(answers, Err(StoreError::Corrupt { .. })) {
            return self.seen(&mut answers?, node);
        }
        // One of them is unreadable, and the transaction does not say which.
        let mut each = Vec::new();
        for command in pipe.cmd_iter() {
            each.push(self.route.send(Request::One(command)).await);
        }
        self.seen(&mut Answers::of_each(&what, each)?, node)
    }
}

#[async_trait]
impl Looks for RedisStore {
    async fn look_at(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<Sight, StoreError>>, StoreError> {
        match self.route {
            Route::Link(_) => self.seen_at_once(nodes, now).await,
            Route::Cluster(_) => {
                let each = nodes.iter().map(|node| self.seen_alone(*node, now));
                Ok(join_all(each).await)
            }
        }
    }
}
