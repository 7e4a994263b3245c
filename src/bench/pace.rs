//! When things are made to happen: at a rate that does not depend on what comes of them.
//!
//! Owns the clock. Whoever waits for an answer before it goes on measures a slow system at the rate that suits it; here
//! what is late is made up for at once, and how late it was is told.

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
}
