//! What can be listened to, on Redis: the outbox, and a channel a node.
//!
//! The channels are those of publish/subscribe as it has always been, also in a cluster, where what is said at one node
//! goes to all of them. The sharded kind would spare the cluster that, at the price that who listens has to follow each
//! slot that moves; what is said is little (one word a commit at most, and who talks), and only one connection a replica
//! listens at all.
//!
//! A user of Redis that is not let onto the channels (`&rk1:*`) costs nothing but time: what is stored is found by who
//! looks for it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use redis::aio::{PubSubSink, PubSubStream};
use redis::{ErrorKind, RedisError};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, timeout};

use super::deliveries::{outbox_message, position_of_entry};
use super::link::Fault;
use super::{OUTBOX_AFTER, Pairs, RedisStore};
use crate::ids::NodeId;
use crate::store::live::{Heard, Live, LiveEvent, OutboxSlice, decode, encode};
use crate::store::{StoreError, keys};

/// How often a server at which we listen is asked whether it is there: one that is gone without a word says nothing,
/// just like one that has nothing to say.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// A key for who does not mind which server it is: what is said at one node of a cluster is heard at all of them.
const ANYWHERE: &str = "";

/// A connection on which we listen.
struct Ear {
    said: PubSubStream,
    /// Must be kept for the pings alone.
    sink: PubSubSink,
    ask: Interval,
    patience: Duration,
    nodes: HashMap<String, NodeId>,
}

impl Ear {
    /// The next that is said; `None`: the connection is of no use any more.
    async fn hear(&mut self) -> Option<(NodeId, Vec<LiveEvent>)> {
        loop {
            tokio::select! {
                said = self.said.next() => {
                    let said = said?;
                    let node = self.nodes.get(said.get_channel_name());
                    let live = decode(said.get_payload_bytes());
                    match (node, live) {
                        (Some(node), Some(live)) => return Some((*node, live)),
                        // Of another version, perhaps: that something was said is a reason to look all the same.
                        (Some(node), None) => return Some((*node, Vec::new())),
                        (None, _) => {}
                    }
                }
                _ = self.ask.tick() => {
                    let pong = timeout(self.patience, self.sink.ping::<redis::Value>()).await;
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
            // What cannot be read is passed over here as it is by the webhooks, where that is told.
            let messages = entries.into_iter().filter_map(|(id, fields)| {
                let position = position_of_entry(&id)?;
                Some((position, outbox_message(&key, fields).ok()?))
            });
            slice.messages.extend(messages);
            // Whoever reads takes an empty page for the last.
            if !slice.messages.is_empty() || !is_full {
                return Ok(slice);
            }
            from = last;
        }
    }

    async fn say(&self, node: NodeId, live: &[LiveEvent]) -> Result<(), StoreError> {
        let channel = keys::said(node, self.db);
        let mut command = redis::cmd("PUBLISH");
        command.arg(&channel).arg(encode(live));
        self.query::<u64>(&channel, &command).await.map(drop)
    }

    async fn hear(&self, nodes: &[NodeId]) -> Result<Heard, StoreError> {
        let channels = nodes.iter().map(|node| (keys::said(*node, self.db), *node));
        let nodes: HashMap<String, NodeId> = channels.collect();
        let names: Vec<&String> = nodes.keys().collect();
        let listen = async {
            let place = self.route.place(ANYWHERE).await?;
            let connection = place.open_pubsub().await.map_err(Fault::Connect)?;
            let (mut sink, said) = connection.split();
            sink.subscribe(names).await.map_err(Fault::Answer)?;
            Ok::<_, Fault>((sink, said))
        };
        let patience = self.options.connect_timeout;
        let (sink, said) = match timeout(patience, listen).await {
            Ok(listens) => listens?,
            Err(_) => {
                let late = (
                    ErrorKind::Io,
                    "the server to listen at did not answer in time",
                );
                return Err(Fault::Connect(RedisError::from(late)).into());
            }
        };
        let mut ask = interval_at(Instant::now() + ASK_EVERY, ASK_EVERY);
        ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let ear = Ear {
            said,
            sink,
            ask,
            patience,
            nodes,
        };
        let heard = stream::unfold(ear, |mut ear| async move {
            let said = ear.hear().await?;
            Some((said, ear))
        });
        Ok(heard.boxed())
    }
}
