//! The pace of a load: a rate that does not depend on the system's responses, or single events after pauses.
//!
//! Owns the clock. A generator that waits for each response measures a slow system at a rate that suits it. This one makes
//! up for a delay at once, and reports how late each action was.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::report::{latencies, record};

/// Calls `act` `count` times with the iteration index, at `rate` calls a second on average. The intervals are random, as
/// between independent events. Returns how late each call started, in microseconds.
///
/// It blocks its thread, because a timer of the runtime is only accurate to 1 ms.
pub fn open_loop(rate: f64, count: u64, mut act: impl FnMut(u64)) -> Histogram<u64> {
    let mut late = latencies();
    let start = Instant::now();
    let mut due = Duration::ZERO;
    for n in 0..count {
        if let Some(early) = due.checked_sub(start.elapsed()) {
            thread::sleep(early);
        }
        record(&mut late, start.elapsed().saturating_sub(due));
        act(n);
        due += Duration::from_secs_f64(-(1.0 - rand::random::<f64>()).ln() / rate);
    }
    late
}

/// Calls `act` `count` times, each after a random pause within these bounds.
pub async fn run_after_pauses(pauses: Range<Duration>, count: u64, mut act: impl FnMut()) {
    for _ in 0..count {
        tokio::time::sleep(rand::random_range(pauses.clone())).await;
        act();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_loop_calls_each_index_once_in_order() {
        let mut done = Vec::new();
        let late = open_loop(100_000.0, 500, |n| done.push(n));
        assert_eq!(done, (0..500).collect::<Vec<_>>());
        assert_eq!(late.len(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn each_call_follows_a_random_pause() {
        let ms = Duration::from_millis;
        let mut last = tokio::time::Instant::now();
        let mut pauses = Vec::new();
        run_after_pauses(ms(400)..ms(600), 50, || {
            pauses.push(last.elapsed());
            last = tokio::time::Instant::now();
        })
        .await;
        assert_eq!(pauses.len(), 50);
        // The runtime's clock has a resolution of 1 ms.
        let within = |pause: &Duration| (ms(399)..=ms(601)).contains(pause);
        assert!(pauses.iter().all(within), "{pauses:?}");
        assert!(pauses.iter().max() > pauses.iter().min(), "{pauses:?}");
    }
}
