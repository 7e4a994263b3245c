//! Waits for a condition, with a time limit.

use std::time::{Duration, Instant};

/// Time limit for everything that does not wait for one of the program's schedules.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Time limit for a delivery whose worker was killed: another worker claims it after 20 s.
pub const REDELIVERY: Duration = Duration::from_secs(45);

const PAUSE: Duration = Duration::from_millis(10);

/// Calls `poll` until it returns a value. Panics after `timeout`; `what` names the expected condition.
pub async fn until<T>(
    what: &str,
    timeout: Duration,
    mut poll: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = poll().await {
            return value;
        }
        assert!(
            start.elapsed() < timeout,
            "timed out after {timeout:?}: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asserts that a condition holds during the whole span.
pub async fn stays(what: &str, span: Duration, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(holds().await, "no longer true: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
