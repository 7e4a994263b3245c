//! Event streams of nodes: reads of the outbox from any position, and live events that are published but not stored.
//!
//! `http::events` subscribes and serves the streams; the reconciler publishes.
//!
//! The outbox contains the committed messages in order, each at its position: 1, 2, 3, … without gaps. A reader continues
//! behind a remembered position, independently of the webhooks' cursor, for as long as messages are kept
//! ([`OUTBOX_KEPT`](crate::store::keys::OUTBOX_KEPT)).
//!
//! *Live events* reach current subscribers at most once: after a commit, a replica announces new messages in the outbox,
//! and the owner of a node publishes changes that are too frequent to be stored. Nothing may depend on their arrival.

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::{Message, StoreError};
use roomkeeper_core::ids::{AppId, NodeId, RoomId};

/// A short-lived event that is not stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveEvent {
    /// The app, which alone may see it.
    pub app: AppId,
    /// The room.
    pub room: RoomId,
    /// The name, as in `member.talking`.
    pub event: String,
    /// The JSON body.
    pub body: String,
}

/// A part of a node's outbox.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxSlice {
    /// The position of the oldest kept message; one above `newest` if none is kept.
    pub oldest: u64,
    /// The position of the newest message; 0 if there has been none.
    pub newest: u64,
    /// The id of the message at the requested position, if it is kept. If it differs from the remembered one, the store was
    /// wiped, or set back by a failover.
    pub before: Option<String>,
    /// The following messages with their positions. They start at `oldest` if the requested position is before it.
    pub messages: Vec<(u64, Message)>,
}

/// A subscription: live events with their node. Any list, and in particular an empty one, can announce new messages in the
/// node's outbox.
pub type LiveStream = BoxStream<'static, (NodeId, Vec<LiveEvent>)>;

/// Outbox reads and live events. As with [`Store`](super::Store), every method is atomic.
#[async_trait]
pub trait Live: Send + Sync + fmt::Debug + 'static {
    /// Reads the node's outbox after a position, at most `limit` messages; without a position, after the newest message, so
    /// none. Changes nothing.
    async fn read_outbox_after(
        &self,
        node: NodeId,
        position: Option<u64>,
        limit: usize,
    ) -> Result<OutboxSlice, StoreError>;

    /// Publishes live events to the subscribers of the node.
    async fn publish_live(&self, node: NodeId, live: &[LiveEvent]) -> Result<(), StoreError>;

    /// Subscribes to live events of these nodes, beginning with the answer. The stream ends when the subscription is lost;
    /// the caller subscribes again. A slow reader misses events.
    async fn subscribe_live(&self, nodes: &[NodeId]) -> Result<LiveStream, StoreError>;
}

/// The wire form of a live event: a message is an array of arrays.
#[derive(Serialize, Deserialize)]
struct WireEvent(AppId, String, String, String);

/// Encodes live events.
pub(in crate::store) fn encode(live: &[LiveEvent]) -> String {
    let spoken = live.iter().map(|live| {
        let (room, event) = (live.room.to_string(), live.event.clone());
        WireEvent(live.app.clone(), room, event, live.body.clone())
    });
    // Serializing strings cannot fail.
    serde_json::to_string(&spoken.collect::<Vec<_>>()).unwrap_or_default()
}

/// Decodes live events; `None` if a newer version or another program wrote the message.
pub(in crate::store) fn decode(text: &[u8]) -> Option<Vec<LiveEvent>> {
    let spoken: Vec<WireEvent> = serde_json::from_slice(text).ok()?;
    let live = spoken.into_iter().map(|WireEvent(app, room, event, body)| {
        Some(LiveEvent {
            app,
            room: room.parse().ok()?,
            event,
            body,
        })
    });
    live.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_events_survive_encoding_and_garbage_is_rejected() {
        let live = [LiveEvent {
            app: "demo".parse().unwrap(),
            room: "acW68-room-550e8400-e29b-41d4-a716-446655440000"
                .parse()
                .unwrap(),
            event: "member.talking".to_owned(),
            body: r#"{"event":"member.talking"}"#.to_owned(),
        }];
        assert_eq!(decode(encode(&live).as_bytes()).unwrap(), live);
        assert_eq!(encode(&[]), "[]");
        assert_eq!(decode(b"[]").unwrap(), []);
        for bad in ["", "{}", "[1]", r#"[["demo","room","x","{}"]]"#] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
