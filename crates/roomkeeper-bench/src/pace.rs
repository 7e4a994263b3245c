//! When things are made to happen: at a rate that does not depend on what comes of them, or one by one after pauses.
//!
//! Owns the clock. Whoever waits for an answer before it goes on measures a slow system at the rate that suits it; here
//! what is late is made up for at once, and how late it was is told.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::report::{latencies, record};

/// Does something `count` times, `rate` times a second on average: the time between two is random, as between events that
/// know nothing of each other. It is told the how manieth it is. Returns how late each was begun, in microseconds.
///
/// It blocks its thread: a timer of the runtime is only good to the millisecond.
pub fn open_loop(rate: f64, count: u64, mut act: impl FnMut(u64)) -> Histogram<u64> {
    let mut late = latencies();
    let begin = Instant::now();
    let mut due = Duration::ZERO;
    for n in 0..count {
        if let Some(early) = due.checked_sub(begin.elapsed()) {
            thread::sleep(early);
        }
        record(&mut late, begin.elapsed().saturating_sub(due));
        act(n);
        due += Duration::from_secs_f64(-(1.0 - rand::random::<f64>()).ln() / rate);
    }
    late
}

/// Does something `count` times, each after a pause of its own, which is random within these bounds.
pub async fn after_pauses(pauses: Range<Duration>, count: u64, mut act: impl FnMut()) {
    for _ in 0..count {
        tokio::time::sleep(rand::random_range(pauses.clone())).await;
        act();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_done_once_and_in_order() {
        let mut done = Vec::new();
        let late = open_loop(100_000.0, 500, |n| done.push(n));
        assert_eq!(done, (0..500).collect::<Vec<_>>());
        assert_eq!(late.len(), 500);
    }

    #[tokio::test(start_paused = true)]
    async fn before_each_there_is_a_pause() {
        let ms = Duration::from_millis;
        let mut last = tokio::time::Instant::now();
        let mut pauses = Vec::new();
        after_pauses(ms(400)..ms(600), 50, || {
            pauses.push(last.elapsed());
            last = tokio::time::Instant::now();
        })
        .await;
        assert_eq!(pauses.len(), 50);
        // The clock of the runtime goes by milliseconds.
        let within = |pause: &Duration| (ms(399)..=ms(601)).contains(pause);
        assert!(pauses.iter().all(within), "{pauses:?}");
        assert!(pauses.iter().max() > pauses.iter().min(), "{pauses:?}");
    }
}
