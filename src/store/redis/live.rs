//! Outbox reads and live events on Redis, with one pub/sub channel per node.
//!
//! The channels use classic pub/sub, also in a cluster, where a message reaches all cluster nodes. Sharded pub/sub would
//! avoid that, but a subscriber would have to follow each migrating slot. There are few messages (at most one per commit,
//! and talking members), and each replica has only one subscribed connection.
//!
//! If the Redis user has no access to the channels (`&rk1:*`), only time is lost: readers poll for stored messages.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use redis::aio::{PubSubSink, PubSubStream};
use redis::{ErrorKind, RedisError, Value};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::RedisStore;
use super::connection::Fault;
use super::message::outbox_message;
use super::outbox_read::position_of_entry;
use super::scripts::OUTBOX_AFTER;
use super::values::Pairs;
use crate::store::live::{Live, LiveEvent, LiveStream, OutboxSlice, decode, encode};
use crate::store::{StoreError, keys};
use roomkeeper_core::ids::NodeId;

/// The interval of pings on a subscribed connection: a dead server is as silent as an idle one.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// A key for any server: in a cluster, messages reach all nodes.
const ANYWHERE: &str = "";

/// A subscribed connection.
struct Subscription {
    messages: PubSubStream,
    /// Kept for the pings.
    sink: PubSubSink,
    ping_timer: Interval,
    timeout: Duration,
    nodes: HashMap<String, NodeId>,
}

impl Subscription {
    /// The next live events; `None` if the connection is lost.
    async fn next(&mut self) -> Option<(NodeId, Vec<LiveEvent>)> {
        loop {
            tokio::select! {
                message = self.messages.next() => {
                    let message = message?;
                    let node = self.nodes.get(message.get_channel_name());
                    let live = decode(message.get_payload_bytes());
                    match (node, live) {
                        (Some(node), Some(live)) => return Some((*node, live)),
                        // Perhaps of another version: it still announces outbox messages.
                        (Some(node), None) => return Some((*node, Vec::new())),
                        (None, _) => {}
                    }
                }
                _ = self.ping_timer.tick() => {
                    let pong = timeout(self.timeout, self.sink.ping::<redis::Value>()).await;
                    if !matches!(pong, Ok(Ok(_))) {
                        return None;
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Live for RedisStore {
    async fn read_outbox_after(
        &self,
        node: NodeId,
        position: Option<u64>,
        limit: usize,
    ) -> Result<OutboxSlice, StoreError> {
        let key = keys::outbox(node);
        type Entries = Vec<(String, Pairs)>;
        let mut slice = OutboxSlice::default();
        let mut from = position;
        loop {
            let (oldest, newest, before, entries): (u64, u64, String, Entries) = self
                .run(&OUTBOX_AFTER, &key, 1, |command| {
                    command.arg(&key);
                    match from {
                        Some(position) => command.arg(position),
                        None => command.arg(""),
                    };
                    command.arg(limit);
                })
                .await?;
            if from == position {
                slice.oldest = oldest.max(1);
                slice.newest = newest;
                slice.before = (!before.is_empty()).then_some(before);
            }
            let is_full = limit > 0 && entries.len() == limit;
            let last = entries.last().and_then(|(id, _)| position_of_entry(id));
            // Unreadable entries are skipped here, as by the webhooks, which report them.
            let messages = entries.into_iter().filter_map(|(id, fields)| {
                let position = position_of_entry(&id)?;
                Some((position, outbox_message(&key, fields).ok()?))
            });
            slice.messages.extend(messages);
            // Readers take an empty page for the last one.
            if !slice.messages.is_empty() || !is_full {
                return Ok(slice);
            }
            from = last;
        }
    }

    async fn publish_live(&self, node: NodeId, live: &[LiveEvent]) -> Result<(), StoreError> {
        let channel = keys::live_channel(node, self.db);
        let mut command = redis::cmd("PUBLISH");
        command.arg(&channel).arg(encode(live));
        self.query::<u64>(&channel, &command).await.map(drop)
    }

    async fn subscribe_live(&self, nodes: &[NodeId]) -> Result<LiveStream, StoreError> {
        let channels = nodes
            .iter()
            .map(|node| (keys::live_channel(*node, self.db), *node));
        let nodes: HashMap<String, NodeId> = channels.collect();
        let names: Vec<&String> = nodes.keys().collect();
        let subscribe = async {
            let target = self.route.target_for(ANYWHERE).await?;
            let connection = target.open_pubsub().await.map_err(Fault::Connect)?;
            let (mut sink, messages) = connection.split();
            let subscribed = sink.subscribe(names).await;
            // This connection is separate, so its refusals are logged here.
            let health = self.health.server(&target.address);
            let answer = subscribed.as_ref().map(|()| Value::Nil);
            health.answered(&answer.map_err(Clone::clone));
            subscribed.map_err(Fault::Answer)?;
            Ok::<_, Fault>((sink, messages))
        };
        let connect_timeout = self.options.connect_timeout;
        let (sink, messages) = match timeout(connect_timeout, subscribe).await {
            Ok(subscribed) => subscribed?,
            Err(_) => {
                let late = (
                    ErrorKind::Io,
                    "the server did not answer the subscription in time",
                );
                return Err(Fault::Connect(RedisError::from(late)).into());
            }
        };
        let mut ping_timer = interval_at(Instant::now() + PING_INTERVAL, PING_INTERVAL);
        ping_timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let subscription = Subscription {
            messages,
            sink,
            ping_timer,
            timeout: connect_timeout,
            nodes,
        };
        let events = stream::unfold(subscription, |mut subscription| async move {
            let live = subscription.next().await?;
            Some((live, subscription))
        });
        Ok(events.boxed())
    }
}
