//! The audit log on Redis: a sorted set of entries for each log, in which all scores are 0, so that the ids give the order.

use async_trait::async_trait;
use redis::Value;

use super::RedisStore;
use super::scripts::AUDIT_APPEND;
use super::values::millis;
use crate::store::audit::time_digits;
use crate::store::contract::audit::{AuditLimits, AuditLog, AuditLogKind};
use crate::store::{StoreError, keys};

#[async_trait]
impl AuditLog for RedisStore {
    async fn append_audit(
        &self,
        log: AuditLogKind,
        entries: &[String],
        limits: AuditLimits,
    ) -> Result<(), StoreError> {
        let key = keys::audit(log);
        self.run::<Value>(&AUDIT_APPEND, &key, 1, |command| {
            command
                .arg(&key)
                .arg(limits.entries)
                .arg(time_digits(limits.oldest))
                .arg(millis(limits.keep));
            for entry in entries {
                command.arg(entry);
            }
        })
        .await
        .map(drop)
    }

    async fn read_audit(
        &self,
        log: AuditLogKind,
        from: &str,
        below: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let key = keys::audit(log);
        let mut command = redis::cmd("ZRANGE");
        let below = below.map_or_else(|| "+".to_owned(), |below| format!("({below}"));
        command.arg(&key).arg(below).arg(format!("[{from}"));
        command.arg("BYLEX").arg("REV");
        command.arg("LIMIT").arg(0).arg(limit);
        self.query(&key, &command).await
    }
}
