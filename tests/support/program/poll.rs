//! Waiting: for a condition, under a deadline, and in one place.

use std::time::{Duration, Instant};

/// Longer than anything takes that is not waiting for a schedule of the program's own.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A delivery that was under way when its worker was killed is claimed by another after 20 s.
pub const REDELIVERY: Duration = Duration::from_secs(45);

const PAUSE: Duration = Duration::from_millis(10);

/// Waits until there is something.
pub async fn until<T>(
    what: &str,
    patience: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            begun.elapsed() < patience,
            "waited {patience:?} in vain: {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

/// Asserts that something stays as it is for a while.
pub async fn stays(what: &str, span: Duration, mut look: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < span {
        assert!(look().await, "did not stay so: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
