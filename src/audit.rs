//! Writes the audit log: requests hand over their entries, and one task stores them in batches.
//!
//! A request never waits for the log and never fails because of it. The queue is bounded: while the store does not answer,
//! entries wait in it, and those that find no place are lost and counted. `http::middleware` makes the entries; the store
//! keeps them within the limits.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::store::audit::AuditEntry;
use crate::store::contract::audit::{AuditLimits, AuditLogKind};
use crate::store::{Store, StoreError};
use crate::telemetry::{AUDIT_LOST, Chain, STORE_ERRORS};
use roomkeeper_core::time::Timestamp;

/// The limit of entries that wait: some seconds of a busy controller, at most about 8 MB.
const QUEUE: usize = 10_000;

/// The maximum number of entries in one request to the store.
const BATCH: usize = 500;

/// The first pause after a failed write; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause after a failed write.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The limits of each log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditSettings {
    /// The maximum number of entries; 0 disables the log.
    pub max_entries: u64,
    /// The time for which entries are kept.
    pub keep: Duration,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            max_entries: 100_000,
            keep: Duration::from_secs(90 * 24 * 3600),
        }
    }
}

impl AuditSettings {
    /// The time of the oldest entries that are kept.
    pub fn oldest(&self) -> Timestamp {
        let keep = u64::try_from(self.keep.as_micros()).unwrap_or(u64::MAX);
        Timestamp::from_micros(clock::now().as_micros().saturating_sub(keep))
    }
}

/// Accepts entries of the audit log.
#[derive(Clone, Debug)]
pub struct AuditRecorder {
    /// `None`: nothing is recorded.
    queue: Option<mpsc::Sender<AuditEntry>>,
}

impl AuditRecorder {
    /// Creates a recorder that records nothing.
    pub const fn disabled() -> Self {
        Self { queue: None }
    }

    /// True if entries are recorded.
    pub const fn is_enabled(&self) -> bool {
        self.queue.is_some()
    }

    /// Queues an entry. Counts it as lost if the queue is full.
    pub fn record(&self, entry: AuditEntry) {
        if let Some(queue) = &self.queue
            && queue.try_send(entry).is_err()
        {
            metrics::counter!(AUDIT_LOST).increment(1);
        }
    }
}

/// Stores the entries of one or more recorders.
#[derive(Debug)]
pub struct AuditWriter {
    queue: mpsc::Receiver<AuditEntry>,
    store: Arc<dyn Store>,
    settings: AuditSettings,
    /// The entries of the current batch, which survive a restart of the task.
    batch: Vec<AuditEntry>,
}

/// Creates a recorder and the writer of its entries.
pub fn audit_log(store: Arc<dyn Store>, settings: AuditSettings) -> (AuditRecorder, AuditWriter) {
    // The bound limits the memory during an outage of the store.
    let (sender, queue) = mpsc::channel(QUEUE);
    let recorder = AuditRecorder {
        queue: (settings.max_entries > 0).then_some(sender),
    };
    let writer = AuditWriter {
        queue,
        store,
        settings,
        batch: Vec::new(),
    };
    (recorder, writer)
}

impl AuditWriter {
    /// Writes entries until there is no recorder any more, or until it is stopped: then it writes what waits.
    pub async fn run(&mut self, stop: &CancellationToken) {
        loop {
            if self.batch.is_empty() {
                let received = tokio::select! {
                    received = self.queue.recv_many(&mut self.batch, BATCH) => received,
                    () = stop.cancelled() => break,
                };
                if received == 0 {
                    return;
                }
            }
            if !self.write_until_stored(stop).await {
                break;
            }
        }
        self.write_rest().await;
    }

    /// Repeats the batch until the store has it. Returns false if it was stopped before.
    async fn write_until_stored(&mut self, stop: &CancellationToken) -> bool {
        let mut pause = FIRST_PAUSE;
        let mut failing = false;
        while let Err(error) = self.write().await {
            metrics::counter!(STORE_ERRORS, "caller" => "audit").increment(1);
            if !failing {
                tracing::warn!(error = %Chain(&error), "cannot write the audit log; entries wait");
            }
            failing = true;
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if failing {
            tracing::info!("writing the audit log again");
        }
        true
    }

    /// Writes everything that waits, each batch once.
    async fn write_rest(&mut self) {
        self.queue.close();
        loop {
            if self.batch.is_empty() && self.queue.recv_many(&mut self.batch, BATCH).await == 0 {
                return;
            }
            if let Err(error) = self.write().await {
                let lost = self.batch.len() + self.queue.len();
                metrics::counter!(AUDIT_LOST).increment(lost as u64);
                tracing::warn!(
                    error = %Chain(&error),
                    entries = lost,
                    "lost the last entries of the audit log"
                );
                return;
            }
        }
    }

    /// Writes the batch once and empties it.
    async fn write(&mut self) -> Result<(), StoreError> {
        let limits = AuditLimits {
            entries: self.settings.max_entries,
            keep: self.settings.keep,
            oldest: self.settings.oldest(),
        };
        for log in [AuditLogKind::Operator, AuditLogKind::Apps] {
            let entries = self.batch.iter().filter(|entry| entry.actor.log() == log);
            let entries: Vec<String> = entries.map(AuditEntry::encode).collect();
            if !entries.is_empty() {
                self.store.append_audit(log, &entries, limits).await?;
            }
        }
        self.batch.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::audit::{AuditActor, AuditId};
    use crate::store::contract::audit::AuditLog;
    use crate::store::memory::MemoryStore;

    fn entry(n: u32) -> AuditEntry {
        AuditEntry {
            id: AuditId::new(clock::now(), n),
            actor: AuditActor::Operator,
            action: "rooms.delete".to_owned(),
            method: "DELETE".to_owned(),
            route: "/admin/rooms/{room_id}".to_owned(),
            target: None,
            app: None,
            status: 200,
            error: None,
            request: "r".to_owned(),
            client: String::new(),
            params: BTreeMap::new(),
        }
    }

    async fn stored(store: &MemoryStore) -> usize {
        let log = AuditLogKind::Operator;
        let entries = store.read_audit(log, "", None, usize::MAX).await;
        entries.unwrap().len()
    }

    #[tokio::test]
    async fn full_queue_loses_entries_without_waiting() {
        let store = Arc::new(MemoryStore::new());
        let (recorder, mut writer) = audit_log(store.clone(), AuditSettings::default());
        for n in 0..u32::try_from(QUEUE).unwrap() + 5 {
            recorder.record(entry(n));
        }
        let stop = CancellationToken::new();
        stop.cancel();
        writer.run(&stop).await;
        assert_eq!(stored(&store).await, QUEUE);
    }

    #[tokio::test]
    async fn log_without_entries_records_nothing() {
        let settings = AuditSettings {
            max_entries: 0,
            ..AuditSettings::default()
        };
        let store = Arc::new(MemoryStore::new());
        let (recorder, mut writer) = audit_log(store, settings);
        assert!(!recorder.is_enabled());
        recorder.record(entry(1));
        // There is no recorder, so it ends by itself.
        writer.run(&CancellationToken::new()).await;
    }
}
