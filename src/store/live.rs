//! What is told to whoever listens just now: a node's outbox as a stream, and what is said of a node and kept nowhere.
//!
//! Owns the words. Leaves out who listens and what they are shown (`api::events`), and what is worth saying (the
//! reconciler's).
//!
//! The outbox is what was committed, in its order, each message under its position: 1, 2, 3, … without a gap. Whoever
//! remembers a position goes on behind it, independent of the webhooks' cursor, for as long as it is kept
//! ([`OUTBOX_KEPT`](super::keys::OUTBOX_KEPT)).
//!
//! What is *said* reaches those who listen at that moment, once, or not at all: a replica says after a commit that there
//! is something new in the outbox, and the owner of a node says what changes too often to be stored. Nothing may depend
//! on it being heard.

use std::fmt;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::{Message, StoreError};
use crate::ids::{AppId, NodeId, RoomId};

/// Something that is true for the moment and not stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveEvent {
    /// Whose it is: nobody else is to see it.
    pub app: AppId,
    /// The room that it happened in.
    pub room: RoomId,
    /// Its name, as in `member.talking`.
    pub event: String,
    /// The JSON body.
    pub body: String,
}

/// A part of a node's outbox.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OutboxSlice {
    /// The position of the oldest message that is kept; one above `newest` when none is.
    pub oldest: u64,
    /// The position of the newest message; 0 when there has been none.
    pub newest: u64,
    /// The id of the message at the position that was asked for, if it is kept. Another one than is remembered means that
    /// the store is not the one that it was: wiped, or set back by a failover.
    pub before: Option<String>,
    /// What follows it, each with its position. It begins at `oldest` where the position lies before that.
    pub messages: Vec<(u64, Message)>,
}

/// What is said, as it is heard: of which node, and what. An empty list says that there is something new in its outbox,
/// and so may any other.
pub type Heard = BoxStream<'static, (NodeId, Vec<LiveEvent>)>;

/// What can be listened to. As with [`Store`](super::Store), every method is one step.
#[async_trait]
pub trait Live: Send + Sync + fmt::Debug + 'static {
    /// What the node's outbox holds after a position, `limit` messages at most; after the newest, and so nothing, when no
    /// position is given. Changes nothing.
    async fn read_outbox_after(
        &self,
        node: NodeId,
        position: Option<u64>,
        limit: usize,
    ) -> Result<OutboxSlice, StoreError>;

    /// Says this to whoever listens to the node.
    async fn say(&self, node: NodeId, live: &[LiveEvent]) -> Result<(), StoreError>;

    /// Hears what is said of these nodes from the answer on. It ends when nothing can be heard any more; whoever wants to
    /// go on asks anew. Who does not keep up misses something.
    async fn hear(&self, nodes: &[NodeId]) -> Result<Heard, StoreError>;
}

/// What is said, as it travels: an array of arrays.
#[derive(Serialize, Deserialize)]
struct Spoken(AppId, String, String, String);

/// What is said as text.
pub(super) fn encode(live: &[LiveEvent]) -> String {
    let spoken = live.iter().map(|live| {
        let (room, event) = (live.room.to_string(), live.event.clone());
        Spoken(live.app.clone(), room, event, live.body.clone())
    });
    // Strings: there is nothing in it that has no JSON form.
    serde_json::to_string(&spoken.collect::<Vec<_>>()).unwrap_or_default()
}

/// What was said; `None` when it is not of this form: a newer version, or a stranger, speaks on the same channel.
pub(super) fn decode(text: &[u8]) -> Option<Vec<LiveEvent>> {
    let spoken: Vec<Spoken> = serde_json::from_slice(text).ok()?;
    let live = spoken.into_iter().map(|Spoken(app, room, event, body)| {
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
    fn what_is_said_is_heard_as_it_was_and_nonsense_is_not() {
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
