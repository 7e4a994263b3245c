//! The outbox of one node: the messages of its commits, and the last queued ones.

use std::collections::VecDeque;
use std::time::Duration;

use crate::store::deliveries::{Backlog, OutboxBatch, OutboxCursor, QueueLimits};
use crate::store::keys::{OUTBOX_KEPT, OUTBOX_KEPT_BYTES};
use crate::store::live::OutboxSlice;
use crate::store::usage::MESSAGE_BYTES;
use crate::store::{Message, StoreError};
use crate::telemetry::WEBHOOK_LOST;

/// The messages of a node in the order of their commits.
#[derive(Default)]
pub(super) struct Outbox {
    /// The messages that are not queued yet.
    waiting: VecDeque<Message>,
    /// The newest queued messages, for readers with separate positions.
    handed_over: VecDeque<Message>,
    /// The number of messages that were ever queued: the cursor.
    cursor: u64,
    /// The number of messages that did not fit.
    lost: u64,
    /// The counts of the worker. In memory nothing deletes or damages messages.
    missing: u64,
    unreadable: u64,
    noticed_at: Option<Duration>,
}

impl Outbox {
    /// Returns the messages that are not queued yet.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &Message> {
        self.waiting.iter()
    }

    /// Returns true if no message waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Appends the messages of a commit. Counts and drops those that do not fit.
    pub(super) fn append(&mut self, messages: &[Message], limits: QueueLimits) {
        for message in messages {
            if count(self.waiting.len()) < limits.pending {
                self.waiting.push_back(message.clone());
            } else {
                self.lost += 1;
                metrics::counter!(WEBHOOK_LOST).increment(1);
            }
        }
    }

    /// Returns the first messages that are not queued yet, at most `limit`.
    pub(super) fn read(&self, limit: usize) -> OutboxBatch {
        let messages: Vec<_> = self.waiting.iter().take(limit).cloned().collect();
        OutboxBatch {
            from: OutboxCursor::at(self.cursor),
            to: OutboxCursor::at(self.cursor.saturating_add(count(messages.len()))),
            messages,
            ..OutboxBatch::default()
        }
    }

    /// Returns the messages after a position, or after the newest message.
    pub(super) fn read_after(&self, position: Option<u64>, limit: usize) -> OutboxSlice {
        let newest = self.cursor + count(self.waiting.len());
        let oldest = self.cursor - count(self.handed_over.len()) + 1;
        let position = position.unwrap_or(newest);
        let mut at_or_after = (oldest..)
            .zip(self.handed_over.iter().chain(&self.waiting))
            // A position before the oldest message skips nothing, one behind the newest skips everything.
            .skip(usize::try_from(position.saturating_sub(oldest)).unwrap_or(usize::MAX))
            .peekable();
        let before = at_or_after.next_if(|(at, _)| *at <= position);
        OutboxSlice {
            oldest,
            newest,
            before: before.map(|(_, message)| message.id.clone()),
            messages: at_or_after
                .take(limit)
                .map(|(at, message)| (at, message.clone()))
                .collect(),
        }
    }

    /// Moves the cursor over the messages between two cursors. Returns the position of the first, or `None` if the
    /// cursor is not at `from`.
    pub(super) fn hand_over(
        &mut self,
        from: &OutboxCursor,
        to: &OutboxCursor,
    ) -> Result<Option<u64>, StoreError> {
        if OutboxCursor::at(self.cursor) != *from {
            return Ok(None);
        }
        let (begin, target) = (from.position()?, to.position()?);
        // A cursor of this outbox is never behind its end.
        while self.cursor < target
            && let Some(message) = self.waiting.pop_front()
        {
            self.cursor += 1;
            self.handed_over.push_back(message);
        }
        self.trim_handed_over();
        Ok(Some(begin))
    }

    /// Drops the oldest messages beyond the limits of number and size.
    fn trim_handed_over(&mut self) {
        let kept = usize::try_from(OUTBOX_KEPT).unwrap_or(usize::MAX);
        let over = self.handed_over.len().saturating_sub(kept);
        self.handed_over.drain(..over);
        let mut bytes: u64 = self.handed_over.iter().map(message_bytes).sum();
        while bytes > OUTBOX_KEPT_BYTES
            && self.handed_over.len() > 1
            && let Some(oldest) = self.handed_over.pop_front()
        {
            bytes -= message_bytes(&oldest);
        }
    }

    /// Counts messages that the worker found missing or unreadable.
    pub(super) fn note(&mut self, missing: u64, unreadable: u64, now: Duration) {
        self.missing += missing;
        self.unreadable += unreadable;
        self.noticed_at = Some(now);
    }

    /// Returns the sizes of the outbox and of the node's queues, whose number is given.
    pub(super) fn backlog(&self, queues: usize, now: Duration) -> Backlog {
        Backlog {
            outbox: count(self.waiting.len()),
            queues: count(queues),
            lost: self.lost,
            missing: self.missing,
            unreadable: self.unreadable,
            noticed_ago: self.noticed_at.map(|at| now.saturating_sub(at)),
        }
    }
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// Returns the bytes that a message counts for in the outbox.
fn message_bytes(message: &Message) -> u64 {
    MESSAGE_BYTES + count(message.body.len())
}
