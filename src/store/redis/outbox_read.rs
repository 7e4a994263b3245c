//! Reads the outbox of a node, and when its next queue is due. Repairs values that this program does not write.

use std::time::Duration;

use redis::Pipeline;

use super::RedisStore;
use super::message::outbox_message;
use super::scripts::OUTBOX_MEND;
use super::values::Pairs;
use crate::store::deliveries::{OutboxBatch, OutboxCursor};
use crate::store::{StoreError, keys};
use crate::telemetry::Chain;
use roomkeeper_core::ids::NodeId;

/// The number of reads that follow a cursor that other replicas move. After that, the others do the fan-out.
const CURSOR_TRIES: usize = 4;

/// Entries of a stream.
type Entries = Vec<(String, Pairs)>;

/// The first member of a sorted set with its score, if there is one.
pub(super) type First = Vec<(String, u64)>;

/// One reply to a read of the outbox.
#[derive(Default)]
struct Reply {
    cursor: Option<u64>,
    /// The newest position that the outbox ever had.
    newest: Option<u64>,
    entries: Entries,
    next_due: Option<Duration>,
}

/// The entries behind the cursor.
#[derive(Default)]
struct Found {
    cursor: u64,
    /// The store has a cursor.
    is_cursor_stored: bool,
    newest: u64,
    entries: Entries,
    next_due: Option<Duration>,
    /// Entries were set aside.
    mended: bool,
}

/// The numbers of unreadable values that were repaired.
struct RepairCount {
    /// Entries of the outbox that were set aside, the cursor included.
    spoilt: u64,
    /// Other keys.
    others: u64,
}

impl RepairCount {
    const fn is_nothing(&self) -> bool {
        self.spoilt == 0 && self.others == 0
    }
}

/// Returns the position of an entry of the outbox; `None` for an id that this program does not write.
pub(super) fn position_of_entry(id: &str) -> Option<u64> {
    id.strip_prefix("0-")?.parse().ok()
}

/// Adds the commands for the time of the server and the next queue.
fn add_time_and_first(pipe: &mut Pipeline, due: &str) {
    pipe.cmd("TIME");
    add_first(pipe, due);
}

/// Adds the command for the next queue.
pub(super) fn add_first(pipe: &mut Pipeline, due: &str) {
    pipe.cmd("ZRANGE").arg(due).arg(0).arg(0).arg("WITHSCORES");
}

/// Returns the time until the next queue is due. `now` is the server's reply to `TIME`.
pub(super) fn next_due(now: (u64, u64), first: First) -> Option<Duration> {
    let (_, due) = first.first()?;
    Some(Duration::from_millis(due.saturating_sub(clock(now))))
}

/// Returns the milliseconds of a reply to `TIME`.
const fn clock((secs, micros): (u64, u64)) -> u64 {
    secs * 1000 + micros / 1000
}

impl RedisStore {
    /// Reads the outbox from its cursor on; with `and_next`, also the time of the next due queue.
    pub(super) async fn read_outbox_and_due(
        &self,
        node: NodeId,
        limit: usize,
        and_next: bool,
    ) -> Result<(OutboxBatch, Option<Duration>), StoreError> {
        let mut found = self.find_entries(node, limit, and_next).await?;
        let next_due = found.next_due;
        let entries = std::mem::take(&mut found.entries);
        let is_all = entries.len() < limit;
        let mut batch = OutboxBatch {
            from: OutboxCursor::at(found.cursor),
            mended: found.mended,
            ..OutboxBatch::default()
        };
        let key = keys::outbox(node);
        let (mut last, mut last_message) = (found.cursor, found.cursor);
        for (id, fields) in entries {
            let Some(position) = position_of_entry(&id) else {
                break;
            };
            batch.missing += position.saturating_sub(last + 1);
            last = position;
            match outbox_message(&key, fields) {
                Ok(message) => {
                    last_message = position;
                    batch.messages.push(message);
                }
                Err(error) => {
                    batch.unreadable += 1;
                    tracing::error!(node.id = %node, entry = id, error = %Chain(&error), "an entry of the outbox is not a message and is skipped");
                }
            }
        }
        if is_all && found.newest > last {
            batch.missing += found.newest - last;
            last = found.newest;
        }
        if !found.is_cursor_stored {
            // Without a cursor, missing messages count as queued: the cursor may have been deleted.
            batch.missing = 0;
        }
        batch.to = OutboxCursor::at(last);
        // The fan-out verifies the message at its end, if there is one.
        let at_end = batch.messages.last().filter(|_| last_message == last);
        self.outboxes
            .add_read(node, found.cursor, last, &batch.messages, at_end);
        Ok((batch, next_due))
    }

    /// Finds the cursor and the entries behind it.
    ///
    /// A script that reads the cursor first would have to unpack each message and pack it again. Usually the cursor is
    /// where this replica left it; otherwise the read is repeated from there.
    async fn find_entries(
        &self,
        node: NodeId,
        limit: usize,
        and_next: bool,
    ) -> Result<Found, StoreError> {
        let mut found = Found {
            cursor: self.outboxes.cursor(node),
            ..Found::default()
        };
        for _ in 0..CURSOR_TRIES {
            let reply = self
                .request_outbox(node, found.cursor, limit, and_next)
                .await;
            if let Ok(reply) = &reply {
                found.next_due = reply.next_due;
            }
            let reply = match reply {
                Ok(reply) if reply.has_known_ids() => reply,
                // This program does not write such values.
                Ok(_) | Err(StoreError::Corrupt { .. }) => {
                    let done = self.mend_outbox(node).await?;
                    found.mended |= done.spoilt > 0;
                    if done.is_nothing() {
                        reply?
                    } else {
                        continue;
                    }
                }
                reply => reply?,
            };
            let cursor = reply.cursor.unwrap_or_default();
            let is_unmoved = cursor == found.cursor;
            found.cursor = cursor;
            if is_unmoved {
                found.is_cursor_stored = reply.cursor.is_some();
                found.newest = reply.newest.unwrap_or_default();
                found.entries = reply.entries;
                break;
            }
        }
        Ok(found)
    }

    /// Requests the cursor, the newest position and the entries behind `cursor`.
    async fn request_outbox(
        &self,
        node: NodeId,
        cursor: u64,
        limit: usize,
        and_next: bool,
    ) -> Result<Reply, StoreError> {
        let key = keys::outbox(node);
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("GET").arg(keys::cursor(node));
        pipe.cmd("GET").arg(keys::outbox_last(node));
        pipe.cmd("XRANGE")
            .arg(&key)
            .arg(format!("(0-{cursor}"))
            .arg(("+", "COUNT", limit));
        if !and_next {
            let (cursor, newest, entries) = self.transaction(&key, &pipe).await?;
            return Ok(Reply {
                cursor,
                newest,
                entries,
                next_due: None,
            });
        }
        add_time_and_first(&mut pipe, &keys::due(node));
        let (cursor, newest, entries, now, first) = self.transaction(&key, &pipe).await?;
        Ok(Reply {
            cursor,
            newest,
            entries,
            next_due: next_due(now, first),
        })
    }

    /// Reads the time until the next queue is due.
    pub(super) async fn read_next_due(&self, node: NodeId) -> Result<Option<Duration>, StoreError> {
        let key = keys::due(node);
        let mut pipe = redis::pipe();
        pipe.atomic();
        add_time_and_first(&mut pipe, &key);
        let mut answer = self.transaction(&key, &pipe).await;
        if let Err(StoreError::Corrupt { .. }) = answer
            && !self.mend_outbox(node).await?.is_nothing()
        {
            answer = self.transaction(&key, &pipe).await;
        }
        let (now, first) = answer?;
        Ok(next_due(now, first))
    }

    /// Sets aside an outbox that is not a stream, and repairs due times that are not numbers.
    async fn mend_outbox(&self, node: NodeId) -> Result<RepairCount, StoreError> {
        let key = keys::outbox(node);
        let (spoilt, others): (u64, u64) = self
            .run(&OUTBOX_MEND, &key, 4, |command| {
                command
                    .arg(keys::cursor(node))
                    .arg(&key)
                    .arg(keys::health(node))
                    .arg(keys::due(node));
            })
            .await?;
        if spoilt > 0 {
            tracing::error!(
                node.id = %node,
                key,
                entries = spoilt,
                "entries of the outbox are unreadable and were set aside"
            );
        }
        Ok(RepairCount { spoilt, others })
    }
}

impl Reply {
    /// Returns true if this program can have written all ids.
    fn has_known_ids(&self) -> bool {
        let mut ids = self.entries.iter().map(|(id, _)| id);
        ids.all(|id| position_of_entry(id).is_some())
    }
}
