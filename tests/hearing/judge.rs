//! The judgement: which tones each participant hears.
//!
//! A test states what every participant hears from now on. The judge waits until all of them hear exactly that, and then
//! judges the time that follows: another tone in any window is a failure, also for a moment; an expected tone may be
//! missing in a few windows, because a busy machine delays packets.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::party::Party;
use crate::phone::tone::{AMPLITUDE, Tone};
use crate::program::poll;

/// The length of a window.
const WINDOW: Duration = Duration::from_millis(100);

/// The windows that must be as expected before the judgement begins, and those that are judged.
const BEFORE: u32 = 2;
const JUDGED: u32 = 8;

/// The windows in which an expected tone may be missing.
const MISSING: usize = 2;

/// Time limit for a change to become audible.
pub const CHANGE: Duration = Duration::from_secs(10);

/// The tones that one participant must hear.
pub struct Expectation<'a> {
    listener: &'a Party<'a>,
    tones: BTreeSet<Tone>,
}

impl Party<'_> {
    /// Expects that this participant hears these others, and nothing else.
    pub fn hears<'a>(&'a self, others: &[&Party<'_>]) -> Expectation<'a> {
        Expectation {
            listener: self,
            tones: others.iter().map(|other| other.tone).collect(),
        }
    }
}

impl Expectation<'_> {
    /// Expects this tone as well.
    pub fn and(mut self, tone: Tone) -> Self {
        self.tones.insert(tone);
        self
    }

    fn is_met(&self) -> bool {
        let call = &self.listener.call;
        let windows = call.audible(call.clock() - WINDOW * BEFORE, WINDOW, BEFORE);
        windows.iter().all(|heard| *heard == self.tones)
    }

    /// Checks the windows from this time on; returns what is wrong.
    fn check(&self, from: Instant) -> Option<String> {
        let windows = self.listener.call.audible(from, WINDOW, JUDGED);
        let foreign = windows.iter().any(|heard| !heard.is_subset(&self.tones));
        let missing = self.tones.iter().any(|tone| {
            let without = windows.iter().filter(|heard| !heard.contains(tone));
            without.count() > MISSING
        });
        let expected = names(&self.tones);
        (foreign || missing).then(|| {
            let heard: Vec<String> = windows.iter().map(names).collect();
            format!(
                "{} heard {} instead of {expected}",
                self.listener.tone.hertz(),
                heard.join(" ")
            )
        })
    }

    /// Describes the difference between what is expected and what is heard now.
    fn describe(&self) -> String {
        let call = &self.listener.call;
        let windows = call.audible(call.clock() - WINDOW, WINDOW, 1);
        format!(
            "{} hears {}, expected {}",
            self.listener.tone.hertz(),
            names(&windows[0]),
            names(&self.tones)
        )
    }
}

fn names(tones: &BTreeSet<Tone>) -> String {
    let names: Vec<String> = tones.iter().map(|tone| tone.hertz().to_string()).collect();
    format!("[{}]", names.join(","))
}

/// Waits until every expectation is met, and judges the sound that follows.
pub async fn judge(expectations: &[Expectation<'_>]) {
    let start = Instant::now();
    while !expectations.iter().all(Expectation::is_met) {
        if start.elapsed() > CHANGE {
            let all: Vec<String> = expectations.iter().map(Expectation::describe).collect();
            panic!("after {CHANGE:?}: {}", all.join("; "));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let from = Instant::now();
    for expectation in expectations {
        until_received(expectation.listener, from + WINDOW * JUDGED).await;
    }
    let wrong: Vec<String> = expectations
        .iter()
        .filter_map(|expectation| expectation.check(from))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("; "));
}

/// Waits until everything that was sent before this time has arrived.
async fn until_received(listener: &Party<'_>, time: Instant) {
    poll::until("the sound has arrived", CHANGE, async || {
        (listener.call.clock() >= time).then_some(())
    })
    .await;
}

/// Measures how loud the listener hears this tone, as a multiple of the loudness with which telephones send it.
pub async fn loudness(listener: &Party<'_>, tone: Tone) -> f64 {
    let from = Instant::now();
    let to = from + WINDOW * JUDGED;
    until_received(listener, to).await;
    // The median of windows ignores one that a late packet has cut.
    let mut measured: Vec<f64> = (0..JUDGED)
        .map(|n| {
            let start = from + WINDOW * n;
            tone.amplitude(&listener.call.sound(start, start + WINDOW)) / AMPLITUDE
        })
        .collect();
    measured.sort_by(f64::total_cmp);
    measured[measured.len() / 2]
}
