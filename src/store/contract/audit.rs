//! The audit log: what was changed, by whom, with what result.
//!
//! There are two logs with separate limits, so that the commands of a busy app do not displace what the operator did. The
//! store knows the ids of entries, which sort by time, and not their content
//! ([`AuditEntry`](crate::store::audit::AuditEntry)).

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use roomkeeper_core::time::Timestamp;

/// A log.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum AuditLogKind {
    /// The requests of the operator.
    Operator,
    /// The requests of all apps.
    Apps,
}

/// The limits of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditLimits {
    /// The maximum number of entries.
    pub entries: u64,
    /// The time for which entries are kept.
    pub keep: Duration,
    /// The time before which entries are dropped.
    pub oldest: Timestamp,
}

/// Stores the audit log. Its keys are in a separate slot.
#[async_trait]
pub trait AuditLog: Send + Sync + std::fmt::Debug + 'static {
    /// Adds entries, and drops the oldest ones beyond the limits. An entry is a text that begins with its id and a space. An
    /// entry that is stored already is not added again.
    async fn append_audit(
        &self,
        log: AuditLogKind,
        entries: &[String],
        limits: AuditLimits,
    ) -> Result<(), StoreError>;

    /// Reads entries whose id is at least `from` and, if given, less than `below`, newest first.
    async fn read_audit(
        &self,
        log: AuditLogKind,
        from: &str,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;
}
