//! Polls of many nodes on Redis.
//!
//! One server gets one request for all nodes. A cluster gets one for each node, whose keys share a slot.

use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{FromRedisValue, Pipeline, Value};

use super::connection::{Fault, Request};
use super::outbox_read::{First, add_first, next_due};
use super::values::{Pairs, decode};
use super::{RedisStore, Route, node_status};
use crate::store::polls::{NodePoll, NodePolls};
use crate::store::{StoreError, keys, unreadable};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

/// The answers to the commands of a poll, the next one first.
struct Answers {
    /// The time of the server.
    now: (u64, u64),
    rest: std::vec::IntoIter<Result<Value, Fault>>,
}

impl Answers {
    /// Reads the answers to a request that begins with [`new_poll`].
    fn from_reply(what: &str, answers: Result<Value, Fault>) -> Result<Self, StoreError> {
        let answers = decode::<Vec<Value>>(what, answers)?.into_iter();
        let each = answers.map(|answer| answer.extract_error().map_err(Fault::Answer));
        Self::from_each(what, each.collect())
    }

    /// Combines the answers of commands that were sent one by one.
    fn from_each(what: &str, answers: Vec<Result<Value, Fault>>) -> Result<Self, StoreError> {
        let mut rest = answers.into_iter();
        let now = decode(what, rest.next().unwrap_or(Ok(Value::Nil)))?;
        Ok(Self { now, rest })
    }

    /// Decodes the next answer; `what` names it in errors.
    fn take<T: FromRedisValue>(&mut self, what: &str) -> Result<T, StoreError> {
        decode(what, self.rest.next().unwrap_or(Ok(Value::Nil)))
    }
}

/// Returns an answer; `None` if its key is unreadable, which is noted.
fn present<T>(answer: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match answer {
        Err(error @ StoreError::Corrupt { .. }) => {
            unreadable::note_error(&error);
            Ok(None)
        }
        answer => answer.map(Some),
    }
}

/// Creates a request that polls several nodes.
fn new_poll() -> Pipeline {
    let mut pipe = redis::pipe();
    pipe.cmd("TIME");
    pipe
}

impl RedisStore {
    /// Adds the commands whose answers [`Self::read_poll`] reads.
    fn add_poll(&self, pipe: &mut Pipeline, node: NodeId, now: Timestamp) {
        pipe.add_command(node_status::read(&keys::node_status(node)));
        pipe.cmd("ZRANGE").arg(keys::deadlines(node)).arg("-inf");
        pipe.arg(now.as_micros()).arg(("BYSCORE", "LIMIT", 0, 1));
        pipe.cmd("GET").arg(keys::cursor(node));
        pipe.cmd("GET").arg(keys::outbox_last(node));
        pipe.cmd("XRANGE").arg(keys::outbox(node));
        pipe.arg(format!("(0-{}", self.outboxes.cursor(node)));
        pipe.arg(("+", "COUNT", 1));
        add_first(pipe, &keys::due(node));
        pipe.cmd("HGETALL").arg(keys::unreadable(node));
    }

    /// Reads the answers for one node. Takes all of them, even after an unreadable one, because those of other nodes
    /// follow.
    fn read_poll(&self, answers: &mut Answers, node: NodeId) -> Result<NodePoll, StoreError> {
        let status = answers.take(&keys::node_status(node));
        let due = answers.take::<Vec<Value>>(&keys::deadlines(node));
        let cursor = answers.take::<Option<u64>>(&keys::cursor(node));
        let last = answers.take::<Option<u64>>(&keys::outbox_last(node));
        let behind = answers.take::<Vec<Value>>(&keys::outbox(node));
        let first = answers.take::<First>(&keys::due(node));
        let noted = answers.take::<Pairs>(&keys::unreadable(node));
        for (key, why) in present(noted)?.unwrap_or_default() {
            unreadable::note(&key, &why);
        }
        // The woken tasks handle unreadable values: they rebuild or skip them.
        let due = present(due)?.is_none_or(|due| !due.is_empty());
        let (cursor, last) = (present(cursor)?, present(last)?);
        let (behind, first) = (present(behind)?, present(first)?);
        let deliveries = match (cursor, last, behind, first) {
            (Some(cursor), Some(last), Some(behind), Some(first)) => {
                let cursor = cursor.unwrap_or_default();
                // If the cursor has moved, the messages behind it are unknown.
                let is_unmoved = cursor == self.outboxes.cursor(node);
                self.outboxes.set_cursor(node, cursor);
                // A message that was deleted counts, too: the fan-out finds out.
                let has_more = last.is_some_and(|last| last > cursor) || !behind.is_empty();
                let next = next_due(answers.now, first);
                !is_unmoved || has_more || next.is_some_and(|next| next.is_zero())
            }
            _ => true,
        };
        Ok(NodePoll {
            status: present(status)?.map(node_status::from_fields),
            due,
            deliveries,
        })
    }

    /// Polls nodes whose keys are on one server.
    async fn poll_together(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<NodePoll, StoreError>>, StoreError> {
        let mut pipe = new_poll();
        for node in nodes {
            self.add_poll(&mut pipe, *node, now);
        }
        let answers = self.route.send(Request::Several(&pipe)).await;
        let mut answers = Answers::from_reply("all nodes", answers)?;
        let polls = nodes.iter().map(|node| self.read_poll(&mut answers, *node));
        Ok(polls.collect())
    }

    async fn poll_one(&self, node: NodeId, now: Timestamp) -> Result<NodePoll, StoreError> {
        let mut pipe = new_poll();
        pipe.atomic();
        self.add_poll(&mut pipe, node, now);
        let answers = self.route.send(Request::Atomic(&pipe)).await;
        let what = keys::node_prefix(node);
        let answers = Answers::from_reply(&what, answers);
        if !matches!(answers, Err(StoreError::Corrupt { .. })) {
            return self.read_poll(&mut answers?, node);
        }
        // One answer is unreadable, and the transaction does not say which.
        let mut each = Vec::new();
        for command in pipe.cmd_iter() {
            each.push(self.route.send(Request::One(command)).await);
        }
        self.read_poll(&mut Answers::from_each(&what, each)?, node)
    }
}

#[async_trait]
impl NodePolls for RedisStore {
    async fn poll_nodes(
        &self,
        nodes: &[NodeId],
        now: Timestamp,
    ) -> Result<Vec<Result<NodePoll, StoreError>>, StoreError> {
        match self.route {
            Route::Server(_) => self.poll_together(nodes, now).await,
            Route::Cluster(_) => {
                let each = nodes.iter().map(|node| self.poll_one(*node, now));
                Ok(join_all(each).await)
            }
        }
    }
}
