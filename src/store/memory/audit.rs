//! The audit log in memory.

use std::ops::Bound;

use async_trait::async_trait;

use super::MemoryStore;
use crate::store::StoreError;
use crate::store::audit::time_digits;
use crate::store::contract::audit::{AuditLimits, AuditLog, AuditLogKind};

#[async_trait]
impl AuditLog for MemoryStore {
    async fn append_audit(
        &self,
        log: AuditLogKind,
        entries: &[String],
        limits: AuditLimits,
    ) -> Result<(), StoreError> {
        let oldest = time_digits(limits.oldest);
        let mut inner = self.lock();
        let stored = inner.audit.entry(log).or_default();
        stored.extend(entries.iter().cloned());
        while let Some(first) = stored.first()
            && (*first < oldest || stored.len() as u64 > limits.entries)
        {
            stored.pop_first();
        }
        Ok(())
    }

    async fn read_audit(
        &self,
        log: AuditLogKind,
        from: &str,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let inner = self.lock();
        let Some(stored) = inner.audit.get(&log) else {
            return Ok(Vec::new());
        };
        if below.is_some_and(|below| below <= from) {
            return Ok(Vec::new());
        }
        let below = below.map_or(Bound::Unbounded, Bound::Excluded);
        let found = stored.range::<str, _>((Bound::Included(from), below));
        Ok(found.rev().take(limit).cloned().collect())
    }
}
