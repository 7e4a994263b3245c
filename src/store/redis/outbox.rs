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

/// The limit of cached messages of a node. If more wait, reading them does not add to the delay.
const KEPT: usize = 64;

/// The bytes of messages in the outbox.
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
pub(super) struct Outboxes(Mutex<HashMap<NodeId, Known>>);

#[derive(Default)]
struct Known {
    /// The last known cursor.
    cursor: u64,
    /// Messages that were committed here and may not be queued yet, by position.
    fresh: BTreeMap<u64, Message>,
    /// The last messages returned for queueing: their end position, and the ids of the last ones.
    given: Option<(u64, Vec<String>)>,
    /// The bytes of all messages that were given out last, by app, and up to which position.
    given_bytes: (u64, BTreeMap<AppId, u64>),
}

impl Outboxes {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last known cursor of the node.
    pub(super) fn cursor(&self, node: NodeId) -> u64 {
        self.nodes().get(&node).map_or(0, |known| known.cursor)
    }

    /// Sets the known cursor.
    pub(super) fn cursor_is(&self, node: NodeId, at: u64) {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        known.cursor = at;
        known.fresh = known.fresh.split_off(&at.saturating_add(1));
    }

    /// Adds appended messages, the last of them at this position.
    pub(super) fn grew(&self, node: NodeId, last: u64, messages: &[Message]) {
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

    /// The messages behind the cursor that were committed here; none unless they start at the cursor.
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
        known.given = Some((to, ids.collect()));
        known.given_bytes = (to, bytes_by_app(&messages));
        Some(OutboxBatch {
            from: OutboxCursor::at(known.cursor),
            to: OutboxCursor::at(to),
            messages,
            ..OutboxBatch::default()
        })
    }

    /// Adds messages that were read behind the cursor, up to this position. `last` is the one at this position, if any.
    pub(super) fn was_read(
        &self,
        node: NodeId,
        cursor: u64,
        to: u64,
        messages: &[Message],
        last: Option<&Message>,
    ) {
        self.cursor_is(node, cursor);
        // A matching id at one position implies that all earlier messages match.
        let last = last.map(|message| message.id.clone());
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        known.given = last.map(|last| (to, vec![last]));
        known.given_bytes = (to, bytes_by_app(messages));
    }

    /// The ids of the last returned messages up to this position.
    pub(super) fn given(&self, node: NodeId, to: u64) -> Vec<String> {
        let nodes = self.nodes();
        let given = nodes.get(&node).and_then(|known| known.given.as_ref());
        given
            .filter(|(position, _)| *position == to)
            .map(|(_, ids)| ids.clone())
            .unwrap_or_default()
    }

    /// The bytes of the last returned messages by app, if they ended at this position.
    pub(super) fn given_bytes(&self, node: NodeId, to: u64) -> BTreeMap<AppId, u64> {
        let nodes = self.nodes();
        let given = nodes.get(&node).map(|known| &known.given_bytes);
        given
            .filter(|(position, _)| *position == to)
            .map(|(_, bytes)| bytes.clone())
            .unwrap_or_default()
    }

    /// Drops the cache of a node, because it was wrong.
    pub(super) fn forget(&self, node: NodeId) {
        if let Some(known) = self.nodes().get_mut(&node) {
            known.fresh.clear();
            known.given = None;
            known.given_bytes = (0, BTreeMap::new());
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

    fn given(outboxes: &Outboxes) -> Option<(u64, u64, String)> {
        let batch = outboxes.fresh(node(), 9)?;
        let ids: Vec<_> = batch
            .messages
            .into_iter()
            .map(|message| message.id)
            .collect();
        let to = batch.to.position().unwrap();
        assert_eq!(outboxes.given(node(), to), ids);
        Some((batch.from.position().unwrap(), to, ids.concat()))
    }

    #[test]
    fn cached_messages_are_returned_without_gaps() {
        let outboxes = Outboxes::default();
        assert_eq!(given(&outboxes), None);
        outboxes.grew(node(), 2, &messages(&["a", "b"]));
        // The third is another's.
        outboxes.grew(node(), 4, &messages(&["d"]));
        assert_eq!(given(&outboxes), Some((0, 2, "ab".to_owned())));
        outboxes.cursor_is(node(), 2);
        assert_eq!(given(&outboxes), None);
        outboxes.cursor_is(node(), 3);
        assert_eq!(given(&outboxes), Some((3, 4, "d".to_owned())));
        outboxes.cursor_is(node(), 4);
        assert_eq!(given(&outboxes), None);
        // Answers overtake each other.
        outboxes.grew(node(), 6, &messages(&["f"]));
        assert_eq!(given(&outboxes), None);
        outboxes.grew(node(), 5, &messages(&["e"]));
        assert_eq!(given(&outboxes), Some((4, 6, "ef".to_owned())));
    }

    #[test]
    fn outdated_cache_is_not_used() {
        let outboxes = Outboxes::default();
        outboxes.was_read(node(), 7, 7, &[], None);
        outboxes.grew(node(), 8, &messages(&["h"]));
        outboxes.forget(node());
        assert_eq!(given(&outboxes), None);
        assert!(outboxes.given(node(), 8).is_empty());
        // It began anew.
        outboxes.grew(node(), 1, &messages(&["a"]));
        assert_eq!(given(&outboxes), None);
        let read = messages(&["a"]);
        outboxes.was_read(node(), 0, 1, &read, read.last());
        assert_eq!(outboxes.given(node(), 1), ["a"]);
        assert!(outboxes.given(node(), 2).is_empty());
        outboxes.grew(node(), 1, &messages(&["a"]));
        assert_eq!(given(&outboxes), Some((0, 1, "a".to_owned())));
    }

    #[test]
    fn outbox_bytes_are_known_without_message_at_end() {
        let outboxes = Outboxes::default();
        let read = messages(&["a"]);
        outboxes.was_read(node(), 0, 3, &read, None);
        assert!(outboxes.given(node(), 3).is_empty());
        assert_eq!(outboxes.given_bytes(node(), 3), bytes_by_app(&read));
        assert!(!outboxes.given_bytes(node(), 3).is_empty());
        assert!(outboxes.given_bytes(node(), 1).is_empty());
    }

    #[test]
    fn cache_is_bounded() {
        let outboxes = Outboxes::default();
        for last in 1..=64 {
            outboxes.grew(node(), last, &messages(&["a"]));
        }
        assert_eq!(outboxes.nodes()[&node()].fresh.len(), KEPT);
        outboxes.grew(node(), 65, &messages(&["a"]));
        assert_eq!(given(&outboxes), None);
        outboxes.cursor_is(node(), 65);
        outboxes.grew(node(), 66, &messages(&["b"]));
        assert_eq!(given(&outboxes), Some((65, 66, "b".to_owned())));
    }
}
