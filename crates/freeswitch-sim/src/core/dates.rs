//! Times as the server writes them.

/// Returns a time as `Event-Date-Local` and as `Event-Date-GMT`. The node's zone is UTC.
pub(super) fn dates(now: u64) -> (String, String) {
    let stamp = i64::try_from(now)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    (
        stamp.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

/// Returns a duration in microseconds as the server writes it.
pub(super) fn uptime(micros: u64) -> String {
    let plural =
        |count: u64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    let seconds = micros / 1_000_000;
    [
        plural(seconds / 31_536_000, "year"),
        plural(seconds % 31_536_000 / 86_400, "day"),
        plural(seconds % 86_400 / 3_600, "hour"),
        plural(seconds % 3_600 / 60, "minute"),
        plural(seconds % 60, "second"),
        plural(micros % 1_000_000 / 1_000, "millisecond"),
        plural(micros % 1_000, "microsecond"),
    ]
    .join(", ")
}
