//! What this replica knows of the outboxes without asking: where their cursors were, and what it has committed since.
//!
//! Owns that knowledge and its bound. Leaves out how it is come by and whether it is still so: all of it is a guess, which
//! `fan_out.lua` checks against the outbox itself. Driven by [`RedisStore`](super::RedisStore).
//!
//! A message that was committed here is mostly handed over from here a moment later. Reading it back first would be the way
//! to Redis and back between an event and its webhook.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ids::{AppId, NodeId};
use crate::store::Message;
use crate::store::deliveries::{OutboxBatch, OutboxCursor};
use crate::store::usage::MESSAGE_BYTES;

/// How many messages of a node are kept to be handed over as they are. Where more of them wait, reading them takes no
/// longer than what is waited for.
const KEPT: usize = 64;

/// The bytes that messages count for in the outbox.
fn bytes_by_app(messages: &[Message]) -> BTreeMap<AppId, u64> {
    let mut bytes = BTreeMap::new();
    for message in messages {
        let length = u64::try_from(message.body.len()).unwrap_or(u64::MAX);
        *bytes.entry(message.app.clone()).or_default() += MESSAGE_BYTES + length;
    }
    bytes
}

/// All nodes' outboxes, as far as they are known.
#[derive(Default)]
pub(super) struct Outboxes(Mutex<HashMap<NodeId, Known>>);

#[derive(Default)]
struct Known {
    /// Where the cursor was when it was last heard of.
    cursor: u64,
    /// What was committed here and may not have been handed over yet, by position.
    fresh: BTreeMap<u64, Message>,
    /// What was given out last to be handed over: up to which position, and the ids of the last of it.
    given: Option<(u64, Vec<String>)>,
    /// The bytes of all messages that were given out last, by app, and up to which position.
    given_bytes: (u64, BTreeMap<AppId, u64>),
}

impl Outboxes {
    fn nodes(&self) -> MutexGuard<'_, HashMap<NodeId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the node's cursor was when it was last heard of.
    pub(super) fn cursor(&self, node: NodeId) -> u64 {
        self.nodes().get(&node).map_or(0, |known| known.cursor)
    }

    /// It is here.
    pub(super) fn cursor_is(&self, node: NodeId, at: u64) {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        known.cursor = at;
        known.fresh = known.fresh.split_off(&at.saturating_add(1));
    }

    /// These were appended, the last of them at this position.
    pub(super) fn grew(&self, node: NodeId, last: u64, messages: &[Message]) {
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let Some(before) = last.checked_sub(count) else {
            return;
        };
        if before < known.cursor {
            // They have been handed over by another, or the outbox began anew.
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

    /// What follows the cursor, as far as it was committed here; nothing when that does not begin there.
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

    /// These messages behind the cursor were read, up to this position. `last` is the one at this position, if there is one.
    pub(super) fn was_read(
        &self,
        node: NodeId,
        cursor: u64,
        to: u64,
        messages: &[Message],
        last: Option<&Message>,
    ) {
        self.cursor_is(node, cursor);
        // What is at one position of one history has all before it behind it.
        let last = last.map(|message| message.id.clone());
        let mut nodes = self.nodes();
        let known = nodes.entry(node).or_default();
        known.given = last.map(|last| (to, vec![last]));
        known.given_bytes = (to, bytes_by_app(messages));
    }

    /// The ids of the last messages up to there, as they were given out.
    pub(super) fn given(&self, node: NodeId, to: u64) -> Vec<String> {
        let nodes = self.nodes();
        let given = nodes.get(&node).and_then(|known| known.given.as_ref());
        given
            .filter(|(position, _)| *position == to)
            .map(|(_, ids)| ids.clone())
            .unwrap_or_default()
    }

    /// The bytes of all that was given out last, by app, if it went up to there.
    pub(super) fn given_bytes(&self, node: NodeId, to: u64) -> BTreeMap<AppId, u64> {
        let nodes = self.nodes();
        let given = nodes.get(&node).map(|known| &known.given_bytes);
        given
            .filter(|(position, _)| *position == to)
            .map(|(_, bytes)| bytes.clone())
            .unwrap_or_default()
    }

    /// What was known of it was not so.
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
    use crate::ids::RoomId;
    use crate::store::Scope;

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
    fn what_was_committed_here_is_given_out_as_far_as_nothing_is_missing() {
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
    fn what_is_not_so_any_more_is_not_given_out() {
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
    fn bytes_are_known_when_no_message_is_at_the_end_of_what_was_read() {
        let outboxes = Outboxes::default();
        let read = messages(&["a"]);
        outboxes.was_read(node(), 0, 3, &read, None);
        assert!(outboxes.given(node(), 3).is_empty());
        assert_eq!(outboxes.given_bytes(node(), 3), bytes_by_app(&read));
        assert!(!outboxes.given_bytes(node(), 3).is_empty());
        assert!(outboxes.given_bytes(node(), 1).is_empty());
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
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
