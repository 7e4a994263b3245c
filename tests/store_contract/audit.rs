//! The audit log.

use super::*;
use roomkeeper::store::contract::audit::{AuditLimits, AuditLogKind};

fn limits(entries: u64, oldest_micros: u64) -> AuditLimits {
    AuditLimits {
        entries,
        keep: LONG,
        oldest: Timestamp::from_micros(oldest_micros),
    }
}

/// An entry at this microsecond.
fn entry(at: u64) -> String {
    format!("{at:016}-00000000 {{\"n\":{at}}}")
}

fn entries(ats: impl IntoIterator<Item = u64>) -> Vec<String> {
    ats.into_iter().map(entry).collect()
}

async fn append(s: &Subject, ats: &[u64], limits: AuditLimits) {
    let entries = entries(ats.iter().copied());
    let append = s.store.append_audit(AuditLogKind::Apps, &entries, limits);
    append.await.unwrap();
}

async fn read(s: &Subject, from: u64, below: Option<u64>, limit: usize) -> Vec<String> {
    let from = format!("{from:016}");
    let below = below.map(|at| format!("{at:016}-00000000"));
    let read = s
        .store
        .read_audit(AuditLogKind::Apps, &from, below.as_deref(), limit);
    read.await.unwrap()
}

pub async fn audit_entries_are_read_newest_first(s: Subject) {
    assert_eq!(read(&s, 0, None, 9).await, entries([]));
    // Replicas write in any order, and repeat a request whose answer was lost.
    append(&s, &[3, 1], limits(9, 0)).await;
    append(&s, &[2, 3], limits(9, 0)).await;
    assert_eq!(read(&s, 0, None, 9).await, entries([3, 2, 1]));
    assert_eq!(read(&s, 0, None, 2).await, entries([3, 2]));
    assert_eq!(read(&s, 0, Some(3), 9).await, entries([2, 1]));
    assert_eq!(read(&s, 2, None, 9).await, entries([3, 2]));
    assert_eq!(read(&s, 2, Some(2), 9).await, entries([]));
    let other = s.store.read_audit(AuditLogKind::Operator, "", None, 9);
    assert_eq!(other.await.unwrap(), entries([]));
}

pub async fn audit_log_drops_oldest_entries_beyond_its_limits(s: Subject) {
    let many: Vec<u64> = (10..40).collect();
    append(&s, &many, limits(20, 0)).await;
    assert_eq!(read(&s, 0, None, 99).await, entries((20..40).rev()));
    append(&s, &[41], limits(20, 30)).await;
    let expected: Vec<u64> = std::iter::once(41).chain((30..40).rev()).collect();
    assert_eq!(read(&s, 0, None, 99).await, entries(expected));
    let operator = entries([5]);
    let append = s
        .store
        .append_audit(AuditLogKind::Operator, &operator, limits(1, 0));
    append.await.unwrap();
    assert_eq!(
        read(&s, 0, None, 99).await.len(),
        11,
        "each log has its own limit"
    );
}
