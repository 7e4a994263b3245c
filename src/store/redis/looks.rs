//! What is to be seen of many nodes at once, on Redis.
//!
//! Where one server has all keys, it is asked in one piece; in a cluster, once for each node, whose keys are in one slot.

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{FromRedisValue, Pipeline, Value};

use super::deliveries::{First, ask_first, next_of};
use super::link::{Fault, Request};
use super::{RedisStore, Route, board, decode};
use crate::ids::NodeId;
use crate::store::looks::{Looks, Sight};
use crate::store::{StoreError, keys};
use crate::time::Timestamp;

/// The answers to what is asked of the nodes, the next one first.
struct Answers {
    /// The time of the server.
    now: (u64, u64),
    rest: std::vec::IntoIter<Value>,
}

impl Answers {
    /// Of a question that begins with [`begin`].
    fn of(what: &str, answers: Result<Value, Fault>) -> Result<Self, StoreError> {
        let mut rest = decode::<Vec<Value>>(what, answers)?.into_iter();
        let now = taken(what, rest.next())?;
        Ok(Self { now, rest })
    }

    /// `what` it is about.
    fn take<T: FromRedisValue>(&mut self, what: &str) -> Result<T, StoreError> {
        taken(what, self.rest.next())
    }
}

fn taken<T: FromRedisValue>(what: &str, answer: Option<Value>) -> Result<T, StoreError> {
    let answer = answer.unwrap_or(Value::Nil).extract_error();
    decode(what, answer.map_err(Fault::Answer))
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
    }

    /// Each answer is taken, also behind one that cannot be read: others come after it.
    fn seen(&self, answers: &mut Answers, node: NodeId) -> Result<Sight, StoreError> {
        let board = answers.take(&keys::board(node));
        let due = answers.take::<Vec<Value>>(&keys::deadlines(node));
        let cursor = answers.take::<Option<u64>>(&keys::cursor(node));
        let last = answers.take::<Option<u64>>(&keys::outbox_last(node));
        let behind = answers.take::<Vec<Value>>(&keys::outbox(node));
        let first = answers.take::<First>(&keys::due(node));
        let cursor = cursor?.unwrap_or_default();
        // Where it is not where it was, what lies behind it is not known yet.
        let is_there = cursor == self.outboxes.cursor(node);
        self.outboxes.cursor_is(node, cursor);
        let next = next_of(answers.now, first?);
        // Also when it is gone, or not readable: whoever hands it over finds out.
        let has_more = last.is_ok_and(|last| last.is_some_and(|last| last > cursor))
            || behind.map_or(true, |behind| !behind.is_empty());
        Ok(Sight {
            board: board::written(board?),
            due: !due?.is_empty(),
            deliveries: !is_there || has_more || next.is_some_and(|next| next.is_zero()),
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
        self.seen(&mut Answers::of(&keys::node_prefix(node), answers)?, node)
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
