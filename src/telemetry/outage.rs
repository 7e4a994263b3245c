//! The log of one subject's outages: a line when it goes down, one a minute while it is down, and one when it is up again.
//!
//! Many tasks notice the same outage, and each of them retries. All of them report to one [`OutageLog`], which decides
//! about the lines. The caller writes the line, because it knows the subject.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two lines of an outage that lasts, and the window in which outages are counted.
pub const REMIND_EVERY: Duration = Duration::from_secs(60);

/// Outages that begin within [`REMIND_EVERY`] and are logged. A subject that changes its state more often gets a line a
/// minute.
const LOGGED_OUTAGES: usize = 5;

/// A line that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OutageChange {
    /// The subject is down.
    Began {
        /// Earlier outages without a line, because there were too many.
        unlogged: u64,
    },
    /// The subject is still down.
    Continues {
        /// The time since it went down.
        down: Duration,
        /// The failures since then.
        failures: u64,
    },
    /// The subject is up again.
    Ended {
        /// The time for which it was down.
        down: Duration,
        /// The failures in that time.
        failures: u64,
    },
}

/// Decides which failures and successes of one subject are logged.
#[derive(Default, Debug)]
pub struct OutageLog {
    /// True during an outage, so that a success without one costs no lock.
    is_down: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default, Debug)]
struct State {
    outage: Option<Outage>,
    /// When the last logged outages began, at most [`LOGGED_OUTAGES`].
    begins: VecDeque<Instant>,
    unlogged: u64,
}

#[derive(Debug)]
struct Outage {
    since: Instant,
    last_failure: Instant,
    /// The last line; for an outage without one, its begin.
    last_line: Instant,
    failures: u64,
    is_logged: bool,
}

impl OutageLog {
    /// Creates the log of a subject that is up.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns true if the subject is down.
    pub fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// Notes a failure, and returns the line that is due.
    pub fn note_failure(&self, now: Instant) -> Option<OutageChange> {
        let mut state = self.state();
        if let Some(outage) = &mut state.outage {
            outage.failures += 1;
            outage.last_failure = now;
            if now.duration_since(outage.last_line) < REMIND_EVERY {
                return None;
            }
            outage.last_line = now;
            outage.is_logged = true;
            return Some(OutageChange::Continues {
                down: now.duration_since(outage.since),
                failures: outage.failures,
            });
        }
        state
            .begins
            .retain(|begin| now.duration_since(*begin) < REMIND_EVERY);
        let is_logged = state.begins.len() < LOGGED_OUTAGES;
        state.outage = Some(Outage {
            since: now,
            last_failure: now,
            last_line: now,
            failures: 1,
            is_logged,
        });
        self.is_down.store(true, Ordering::Relaxed);
        if !is_logged {
            state.unlogged += 1;
            return None;
        }
        state.begins.push_back(now);
        let unlogged = std::mem::take(&mut state.unlogged);
        Some(OutageChange::Began { unlogged })
    }

    /// Notes that the subject is up, and returns the line that is due.
    pub fn note_success(&self, now: Instant) -> Option<OutageChange> {
        self.note_success_after(now, Duration::ZERO)
    }

    /// Notes a success that ends the outage only if the last failure is at least this old. For a subject of which a part
    /// can fail while another part works.
    pub fn note_success_after(&self, now: Instant, quiet: Duration) -> Option<OutageChange> {
        if !self.is_down() {
            return None;
        }
        let mut state = self.state();
        let outage = state
            .outage
            .take_if(|outage| now.duration_since(outage.last_failure) >= quiet)?;
        self.is_down.store(false, Ordering::Relaxed);
        outage.is_logged.then(|| OutageChange::Ended {
            down: now.duration_since(outage.since),
            failures: outage.failures,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn outage_has_one_line_at_its_begin_and_one_at_its_end() {
        let (log, start) = (OutageLog::new(), Instant::now());
        assert_eq!(log.note_success(start), None);
        let began = OutageChange::Began { unlogged: 0 };
        assert_eq!(log.note_failure(start), Some(began));
        for second in 1..60 {
            assert_eq!(log.note_failure(start + SECOND * second), None);
        }
        assert!(log.is_down());
        let ended = OutageChange::Ended {
            down: SECOND * 59,
            failures: 60,
        };
        assert_eq!(log.note_success(start + SECOND * 59), Some(ended));
        assert_eq!(log.note_success(start + SECOND * 59), None);
        assert!(!log.is_down());
    }

    #[test]
    fn long_outage_has_one_line_a_minute() {
        let (log, start) = (OutageLog::new(), Instant::now());
        let lines = (0..=600).filter_map(|second| log.note_failure(start + SECOND * second));
        let lines: Vec<_> = lines.collect();
        assert_eq!(lines.len(), 11, "{lines:?}");
        let last = OutageChange::Continues {
            down: SECOND * 600,
            failures: 601,
        };
        assert_eq!(lines.last(), Some(&last));
    }

    #[test]
    fn frequent_outages_are_counted_and_not_logged() {
        let (log, start) = (OutageLog::new(), Instant::now());
        let mut lines = Vec::new();
        for second in 0..30 {
            lines.extend(log.note_failure(start + SECOND * second));
            lines.extend(log.note_success(start + SECOND * second));
        }
        assert_eq!(lines.len(), 2 * LOGGED_OUTAGES, "{lines:?}");
        let later = log.note_failure(start + SECOND * 100);
        assert_eq!(later, Some(OutageChange::Began { unlogged: 25 }));
    }

    #[test]
    fn unlogged_outage_that_lasts_is_logged_after_a_minute() {
        let (log, start) = (OutageLog::new(), Instant::now());
        for _ in 0..LOGGED_OUTAGES {
            log.note_failure(start);
            log.note_success(start);
        }
        assert_eq!(log.note_failure(start), None);
        let line = log.note_failure(start + REMIND_EVERY);
        assert!(matches!(line, Some(OutageChange::Continues { .. })));
        let line = log.note_success(start + REMIND_EVERY);
        assert!(matches!(line, Some(OutageChange::Ended { .. })));
    }

    #[test]
    fn partial_outage_ends_after_a_time_without_failures() {
        let (log, start) = (OutageLog::new(), Instant::now());
        log.note_failure(start);
        assert_eq!(log.note_success_after(start + SECOND, SECOND * 10), None);
        log.note_failure(start + SECOND * 2);
        assert_eq!(
            log.note_success_after(start + SECOND * 11, SECOND * 10),
            None
        );
        let line = log.note_success_after(start + SECOND * 12, SECOND * 10);
        let ended = OutageChange::Ended {
            down: SECOND * 12,
            failures: 2,
        };
        assert_eq!(line, Some(ended));
    }
}
