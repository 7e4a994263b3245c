//! The limit of reported digits: each at most once, and a bounded number a second for each call.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::CallId;
use crate::time::Timestamp;

/// The number of calls whose digits are remembered before old ones are forgotten.
const MOST_WINDOWS: usize = 1_024;

/// The most digits of a call in a second that are reported: more than a person can press.
const MOST_DIGITS: usize = 16;

const SECOND: Duration = Duration::from_secs(1);

/// The digits of one second, by their sequences.
#[derive(Debug)]
struct DigitWindow {
    since: Timestamp,
    sequences: Vec<u64>,
    /// The sequence of the last end of a request or a step: digits below it belong to that.
    closed_at: u64,
}

/// The digits of the last second, by call.
#[derive(Debug, Default)]
pub(super) struct DigitWindows(BTreeMap<CallId, DigitWindow>);

impl DigitWindows {
    /// Decides whether a digit is reported, and remembers it.
    pub(super) fn admits(&mut self, call: CallId, sequence: u64, now: Timestamp) -> bool {
        let window = self.window(call, now);
        if now.since(window.since) >= SECOND {
            window.since = now;
            window.sequences.clear();
        }
        let admits = sequence > window.closed_at
            && window.sequences.len() < MOST_DIGITS
            && !window.sequences.contains(&sequence);
        if admits {
            window.sequences.push(sequence);
        }
        admits
    }

    /// Excludes the digits of a call below this sequence.
    pub(super) fn close(&mut self, call: CallId, sequence: u64, now: Timestamp) {
        let window = self.window(call, now);
        window.since = now;
        window.sequences.clear();
        window.closed_at = window.closed_at.max(sequence);
    }

    fn window(&mut self, call: CallId, now: Timestamp) -> &mut DigitWindow {
        if self.0.len() >= MOST_WINDOWS {
            self.0.retain(|_, window| now.since(window.since) < SECOND);
        }
        self.0.entry(call).or_insert_with(|| DigitWindow {
            since: now,
            sequences: Vec::new(),
            closed_at: 0,
        })
    }
}
