//! This replica's cache of the outboxes: their last known cursors, and the messages that it has committed since.
//!
//! The cache is bounded and can be outdated, so `fan_out.lua` verifies it against the outbox. Driven by
//! [`RedisStore`](super::RedisStore).
//!
//! A message that was committed here is usually queued from here a moment later. Reading it back first would add a round
//! trip to Redis between an event and its webhook.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::Message;
use crate::store::deliveries::{OutboxBatch, OutboxCursor};
use crate::store::usage::MESSAGE_BYTES;
use roomkeeper_core::ids::{AppId, NodeId};

/// The limit of cached messages of a node. With more messages in the queue, reading them adds no delay.
const KEPT: usize = 64;

/// Sums up the bytes that messages take in the outbox, by app.
fn bytes_by_app(messages: &[Message]) -> BTreeMap<AppId, u64> {
    let mut bytes = BTreeMap::new();
    for message in messages {
        let length = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
        *bytes.entry(message.app.clone()).or_default() += MESSAGE_BYTES + length;
    }
    bytes
}

/// The cached outboxes of all nodes.
#[derive(Default)]
pub(super) struct Outboxes(Mutex<HashMap<NodeId, CachedOutbox>>);

#[derive(Default)]
struct CachedOutbox {
    /// The last known cursor.
    cursor: u64,
    /// Messages that were committed here and may not be queued yet, by position.
    fresh: BTreeMap<u64, Message>,
    /// The last messages returned for queueing: their end position, and the ids of the last ones.
    returned_ids: Option<(u64, Vec<String>)>,
    /// The bytes of all messages returned last, by app, and their end position.
    returned_bytes: (u64, BTreeMap<AppId, u64>),
}

impl Outboxes {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, CachedOutbox>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last known cursor of the node.
    pub(super) fn cursor(&self, node: NodeId) -> u64 {
        self.nodes().get(&node).map_or(0, |known| known.cursor)
    }

    /// Sets the known cursor.
    pub(super) fn set_cursor(&self, node: NodeId, at: u64) {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        known.cursor = at;
        known.fresh = known.fresh.split_off(&at.saturating_add(1));
    }

    /// Adds appended messages, the last of them at this position.
    pub(super) fn add_committed(&self, node: NodeId, last: u64, messages: &[Message]) {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let Some(before) = last.checked_sub(count) else {
            return;
        };
        if before < known.cursor {
            // Another replica has queued them, or the outbox was restarted.
            return;
        }
        if known.fresh.len() + messages.len() > KEPT {
            known.fresh.clear();
            return;
        }
        known
            .fresh
            .extend((before + 1..).zip(messages.iter().cloned()));
    }

    /// Returns the messages behind the cursor that were committed here; `None` unless they start at the cursor.
    pub(super) fn fresh(&self, node: NodeId, limit: usize) -> Option<OutboxBatch> {
        let mut nodes = self.nodes();
        let known = nodes.get_mut(&node)?;
        let following = known.fresh.range(known.cursor + 1..);
        let messages: Vec<Message> = (known.cursor + 1..)
            .zip(following)
            .take_while(|(expected, (position, _))| expected == *position)
            .map(|(_, (_, message))| message.clone())
            .take(limit)
            .collect();
        let to = known.cursor + u64::try_from(messages.len()).ok()?;
        if messages.is_empty() {
            return None;
        }
        let ids = messages.iter().map(|message| message.id.clone());
        known.returned_ids = Some((to, ids.collect()));
        known.returned_bytes = (to, bytes_by_app(&messages));
        Some(OutboxBatch {
            from: OutboxCursor::at(known.cursor),
            to: OutboxCursor::at(to),
            messages,
            ..OutboxBatch::default()
        })
    }

    /// Adds messages that were read behind the cursor, up to this position. `last` is the message at this position, if any.
    pub(super) fn add_read(
        &self,
        node: NodeId,
        cursor: u64,
        to: u64,
        messages: &[Message],
        last: Option<&Message>,
    ) {
        self.set_cursor(node, cursor);
        // A matching id at one position implies that all earlier messages match.
        let last = last.map(|message| message.id.clone());
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        known.returned_ids = last.map(|last| (to, vec![last]));
        known.returned_bytes = (to, bytes_by_app(messages));
    }

    /// Returns the ids of the last returned messages up to this position.
    pub(super) fn returned_ids(&self, node: NodeId, to: u64) -> Vec<String> {
        let nodes = self.nodes();
        let returned_ids = nodes
            .get(&node)
            .and_then(|known| known.returned_ids.as_ref());
        returned_ids
            .filter(|(position, _)| *position == to)
            .map(|(_, ids)| ids.clone())
            .unwrap_or_default()
    }

    /// Returns the bytes of the last returned messages by app, if they ended at this position.
    pub(super) fn returned_bytes(&self, node: NodeId, to: u64) -> BTreeMap<AppId, u64> {
        let nodes = self.nodes();
        let returned_ids = nodes.get(&node).map(|known| &known.returned_bytes);
        returned_ids
            .filter(|(position, _)| *position == to)
            .map(|(_, bytes)| bytes.clone())
            .unwrap_or_default()
    }

    /// Drops the cache of a node, because it was wrong.
    pub(super) fn forget(&self, node: NodeId) {
        if let Some(known) = self.nodes().get_mut(&node) {
            known.fresh.clear();
            known.returned_ids = None;
            known.returned_bytes = (0, BTreeMap::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::store::Scope;
    use roomkeeper_core::ids::RoomId;

    fn node() -> NodeId {
        "acW68".parse().unwrap()
    }

    fn messages(ids: &[&str]) -> Vec<Message> {
        let message = |id: &&str| Message {
            id: (*id).to_owned(),
            app: "acme".parse().unwrap(),
            scope: Scope::Room(RoomId::new(node(), Uuid::from_u128(1))),
            sequence: 1,
            event: "conference.created".to_owned(),
            body: "{}".to_owned(),
        };
        ids.iter().map(message).collect()
    }

    fn returned(outboxes: &Outboxes) -> Option<(u64, u64, String)> {
        let batch = outboxes.fresh(node(), 9)?;
        let ids: Vec<_> = batch
            .messages
            .into_iter()
            .map(|message| message.id)
            .collect();
        let to = batch.to.position().unwrap();
        assert_eq!(outboxes.returned_ids(node(), to), ids);
        Some((batch.from.position().unwrap(), to, ids.concat()))
    }

    #[test]
    fn cached_messages_are_returned_without_gaps() {
        let outboxes = Outboxes::default();
        assert_eq!(returned(&outboxes), None);
        outboxes.add_committed(node(), 2, &messages(&["a", "b"]));
        // Another replica has committed the third message.
        outboxes.add_committed(node(), 4, &messages(&["d"]));
        assert_eq!(returned(&outboxes), Some((0, 2, "ab".to_owned())));
        outboxes.set_cursor(node(), 2);
        assert_eq!(returned(&outboxes), None);
        outboxes.set_cursor(node(), 3);
        assert_eq!(returned(&outboxes), Some((3, 4, "d".to_owned())));
        outboxes.set_cursor(node(), 4);
        assert_eq!(returned(&outboxes), None);
        // Answers can arrive out of order.
        outboxes.add_committed(node(), 6, &messages(&["f"]));
        assert_eq!(returned(&outboxes), None);
        outboxes.add_committed(node(), 5, &messages(&["e"]));
        assert_eq!(returned(&outboxes), Some((4, 6, "ef".to_owned())));
    }

    #[test]
    fn outdated_cache_is_not_used() {
        let outboxes = Outboxes::default();
        outboxes.add_read(node(), 7, 7, &[], None);
        outboxes.add_committed(node(), 8, &messages(&["h"]));
        outboxes.forget(node());
        assert_eq!(returned(&outboxes), None);
        assert!(outboxes.returned_ids(node(), 8).is_empty());
        // The outbox restarts at position 1.
        outboxes.add_committed(node(), 1, &messages(&["a"]));
        assert_eq!(returned(&outboxes), None);
        let read = messages(&["a"]);
        outboxes.add_read(node(), 0, 1, &read, read.last());
        assert_eq!(outboxes.returned_ids(node(), 1), ["a"]);
        assert!(outboxes.returned_ids(node(), 2).is_empty());
        outboxes.add_committed(node(), 1, &messages(&["a"]));
        assert_eq!(returned(&outboxes), Some((0, 1, "a".to_owned())));
    }

    #[test]
    fn outbox_bytes_are_known_without_message_at_end() {
        let outboxes = Outboxes::default();
        let read = messages(&["a"]);
        outboxes.add_read(node(), 0, 3, &read, None);
        assert!(outboxes.returned_ids(node(), 3).is_empty());
        assert_eq!(outboxes.returned_bytes(node(), 3), bytes_by_app(&read));
        assert!(!outboxes.returned_bytes(node(), 3).is_empty());
        assert!(outboxes.returned_bytes(node(), 1).is_empty());
    }

    #[test]
    fn cache_is_bounded() {
        let outboxes = Outboxes::default();
        for last in 1..=64 {
            outboxes.add_committed(node(), last, &messages(&["a"]));
        }
        assert_eq!(outboxes.nodes()[&node()].fresh.len(), KEPT);
        outboxes.add_committed(node(), 65, &messages(&["a"]));
        assert_eq!(returned(&outboxes), None);
        outboxes.set_cursor(node(), 65);
        outboxes.add_committed(node(), 66, &messages(&["b"]));
        assert_eq!(returned(&outboxes), Some((65, 66, "b".to_owned())));
    }
}
