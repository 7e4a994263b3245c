//! When those who look at the store again and again do so: all at the same moment.
//!
//! Owns that moment. Each node has tasks that look once a second; spread over the second, each look would be a wake-up
//! and a round trip of its own, and a fleet on which nothing happens would keep a core busy with them. What is asked at
//! the same moment goes to the store in one piece, and its answers come back in one. Leaves out what is looked at.

use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

/// From where moments are counted.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The next look of those who look this often; at most so long from now.
pub fn next_look(period: Duration) -> Instant {
    let now = Instant::now();
    let begun = now.saturating_duration_since(*BEGIN).as_micros();
    let period = period.as_micros();
    let past = begun.checked_rem(period).unwrap_or(0);
    // Less than the period, which was a Duration.
    now + Duration::from_micros(u64::try_from(period - past).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_looks_as_often_looks_at_the_same_moment() {
        const PERIOD: Duration = Duration::from_secs(1);
        let first = next_look(PERIOD);
        tokio::time::advance(Duration::from_micros(1_500)).await;
        let begun = Instant::now();
        let second = next_look(PERIOD);
        assert!(begun < second && second <= begun + PERIOD);
        let apart = second - first;
        assert!(apart.is_zero() || apart == PERIOD, "{apart:?}");
        assert_eq!(next_look(Duration::ZERO), begun);
    }
}
