//! When a node is nudged: a bare newline, which FreeSWITCH ignores as a command and which ends its sleep.
//!
//! mod_event_socket looks for events of a connection every 20 ms (`read_packet` in `mod_event_socket.c` of 1.11.2), and one
//! that has queued does not wake it; bytes that arrive do. Owns how often that is worth it. Leaves out the clock, which is
//! an argument, and the writing: the connection asks [`Pacer::due`] and sends a newline only between whole commands.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How often FreeSWITCH looks by itself: to nudge it more seldom is of no use.
const POLL: Duration = Duration::from_millis(20);

/// The shortest time between two nudges, that of the timers of tokio.
const FAST: Duration = Duration::from_millis(1);

/// Nudges are as far apart as a sixteenth of the time for which nothing has happened, so they become rarer and rarer and
/// end after 320 ms, when they are no better than the poll. What comes n ms after the last thing waits n/32 ms on average.
/// They number 16 + 16 ln 20: about 64.
const SHARE: u32 = 16;

/// Nudges of all connections together are no closer than this, so that a large fleet costs a bounded share of a core:
/// 20,000 a second. Up to 20 busy connections it makes no difference; 100 are nudged every 5 ms.
const SHARED: Duration = Duration::from_micros(50);

/// A fixed interval ends, too, when nothing at all has come for so long, not even a HEARTBEAT (every 20 s): the node does
/// not read, and must not find a heap of newlines when it does again.
const HEARTBEATS: Duration = Duration::from_secs(30);

/// How a node is nudged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nudge {
    /// Every millisecond after something has happened, then less and less, and not at all while nothing happens.
    #[default]
    Adaptive,
    /// At this interval, always. From 1 to 19 ms.
    Every(Duration),
    /// Never.
    Off,
}

impl Nudge {
    /// At this interval, if it is one.
    ///
    /// # Errors
    /// When it is no whole number of milliseconds from 1 to 19.
    pub fn every_ms(ms: f64) -> Result<Self, UnfitNudge> {
        if ms.fract() == 0.0 && (1.0..POLL.as_secs_f64() * 1_000.0).contains(&ms) {
            Ok(Self::Every(Duration::from_secs_f64(ms / 1_000.0)))
        } else {
            Err(UnfitNudge)
        }
    }

    /// That of a connection on which nothing comes by itself, only the results of what was begun there.
    #[must_use]
    pub(super) const fn for_jobs(self) -> Self {
        match self {
            Self::Adaptive | Self::Every(_) => Self::Adaptive,
            Self::Off => Self::Off,
        }
    }
}

/// What is no way to nudge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "expected \"adaptive\", \"off\", or whole milliseconds from 1 to 19 (FreeSWITCH looks by itself every 20)"
)]
pub struct UnfitNudge;

impl FromStr for Nudge {
    type Err = UnfitNudge;

    fn from_str(text: &str) -> Result<Self, UnfitNudge> {
        match text {
            "adaptive" => Ok(Self::Adaptive),
            "off" => Ok(Self::Off),
            number => Self::every_ms(number.parse().map_err(|_| UnfitNudge)?),
        }
    }
}

impl fmt::Display for Nudge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Adaptive => f.write_str("adaptive"),
            Self::Every(interval) => write!(f, "{interval:?}"),
            Self::Off => f.write_str("off"),
        }
    }
}

/// Says when to nudge one connection. Times are since an origin of the caller's.
#[derive(Debug)]
pub(super) struct Pacer {
    nudge: Nudge,
    /// When something happened last.
    stirred: Duration,
    /// When to nudge next; `None` until something happens.
    next: Option<Duration>,
    /// Not before that, whatever happens: the other connections' share.
    not_before: Duration,
    /// Nothing has happened but that we have asked for something that comes as an event.
    asking: bool,
}

impl Pacer {
    /// One for a connection that is not ready yet.
    pub(super) const fn new(nudge: Nudge) -> Self {
        Self {
            nudge,
            stirred: Duration::ZERO,
            next: None,
            not_before: Duration::ZERO,
            asking: false,
        }
    }

    /// Something happened that more may follow, or will: an event came, a command was given.
    pub(super) fn stir(&mut self, now: Duration) {
        self.stirred = now;
        self.asking = false;
        if self.nudge == Nudge::Adaptive {
            // What comes all the time must not put it off for ever.
            let soon = (now + FAST).max(self.not_before);
            self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
        }
    }

    /// We have asked for something that comes as an event: until it has, nudges are of use.
    pub(super) fn ask(&mut self, now: Duration) {
        let is_all = self.asking || self.next.is_none();
        self.stir(now);
        self.asking = is_all;
    }

    /// What was asked for has come. If nothing else has happened, there is nothing to nudge for: an idle fleet that is
    /// asked for snapshots stays idle.
    pub(super) fn settled(&mut self) {
        if self.asking {
            self.rest();
        }
    }

    /// Nothing is to come before something else happens.
    pub(super) fn rest(&mut self) {
        self.asking = false;
        if self.nudge == Nudge::Adaptive {
            self.next = None;
        }
    }

    /// The node lives: whatever came.
    pub(super) fn heard(&mut self, now: Duration) {
        if let Nudge::Every(interval) = self.nudge {
            self.stirred = now;
            self.next.get_or_insert(now + interval);
        }
    }

    /// When to ask [`Self::due`]; `None`: not before something happens.
    pub(super) const fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Whether to nudge now; if so, the next time is settled as well. Times that were missed are not made up for. `busy` is how
    /// many connections are being nudged, this one included.
    pub(super) fn due(&mut self, now: Duration, busy: u32) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let quiet = now.saturating_sub(self.stirred);
        let interval = match self.nudge {
            Nudge::Adaptive => {
                let interval = (quiet / SHARE).max(FAST).max(SHARED * busy);
                Some(interval).filter(|interval| *interval < POLL)
            }
            Nudge::Every(interval) => Some(interval).filter(|_| quiet < HEARTBEATS),
            Nudge::Off => None,
        };
        self.not_before = now + SHARED * busy;
        // From the time it was due, not from now: a timer that fires late must not make all of them later.
        self.next = interval.map(|interval| {
            let due = self.next.unwrap_or(now) + interval;
            if due > now { due } else { now + interval }
        });
        interval.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// When it nudges until `end`, asked only when it wants to be, `late` after that.
    fn nudges(pacer: &mut Pacer, end: Duration, late: Duration) -> Vec<Duration> {
        let mut at = Vec::new();
        while let Some(next) = pacer.next().filter(|next| *next <= end) {
            if pacer.due(next + late, 1) {
                at.push(next + late);
            }
        }
        at
    }

    #[test]
    fn after_something_happened_nudges_come_fast_then_less_and_less_and_end() {
        let mut pacer = Pacer::new(Nudge::Adaptive);
        assert_eq!(pacer.next(), None, "nothing has happened");
        pacer.stir(ms(1_000));
        let at = nudges(&mut pacer, ms(100_000), Duration::ZERO);
        assert_eq!(pacer.next(), None, "it ends, and no timer is left");
        let first: Vec<Duration> = (1_001..=1_016).map(ms).collect();
        assert_eq!(at[..16], first);
        let gaps: Vec<Duration> = at.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap < POLL), "{gaps:?}");
        // This is also the most that a node which does not read is ever sent.
        assert!((50..=70).contains(&at.len()), "{}", at.len());
        assert!(*at.last().unwrap() < ms(1_330), "{at:?}");
        pacer.stir(ms(9_000));
        assert_eq!(
            pacer.next(),
            Some(ms(9_001)),
            "the next event makes it fast again"
        );
    }

    #[test]
    fn what_was_asked_for_is_nudged_for_until_it_has_come() {
        let mut pacer = Pacer::new(Nudge::Adaptive);
        pacer.ask(ms(0));
        assert_eq!(nudges(&mut pacer, ms(3), Duration::ZERO).len(), 3);
        pacer.settled();
        assert_eq!(pacer.next(), None);
        // Asked twice, answered once: who still waits has FreeSWITCH's own poll.
        pacer.ask(ms(10));
        pacer.ask(ms(11));
        pacer.settled();
        assert_eq!(pacer.next(), None);
        // What happened besides goes on.
        for (at, asks_first) in [(1_000, true), (2_000, false)] {
            if asks_first {
                pacer.ask(ms(at));
            }
            pacer.stir(ms(at));
            pacer.ask(ms(at));
            pacer.settled();
            assert_eq!(pacer.next(), Some(ms(at + 1)));
            nudges(&mut pacer, ms(at + 900), Duration::ZERO);
        }
    }

    #[test]
    fn who_knows_that_nothing_is_to_come_is_not_woken_for_nudges() {
        let mut pacer = Pacer::new(Nudge::Adaptive);
        pacer.stir(ms(0));
        assert_eq!(nudges(&mut pacer, ms(3), Duration::ZERO).len(), 3);
        pacer.rest();
        assert_eq!(pacer.next(), None);
        pacer.stir(ms(10));
        assert_eq!(pacer.next(), Some(ms(11)));
        // An interval that somebody has asked for goes on.
        let every = Duration::from_millis(5);
        let mut pacer = Pacer::new(Nudge::Every(every));
        pacer.heard(ms(0));
        pacer.rest();
        assert_eq!(pacer.next(), Some(every));
    }

    #[test]
    fn what_happens_all_the_time_neither_puts_it_off_nor_takes_the_share_of_others() {
        for (busy, nudges) in [(1, 999), (100, 200)] {
            let mut pacer = Pacer::new(Nudge::Adaptive);
            let mut seen = 0;
            for step in 0..10_000u32 {
                let now = Duration::from_micros(100) * step;
                pacer.stir(now);
                seen += u32::from(pacer.due(now, busy));
            }
            assert_eq!(seen, nudges, "in a second, {busy} connections");
        }
    }

    #[test]
    fn while_events_come_they_wait_for_a_fraction_of_the_time_between_them() {
        for gap in [5, 20, 50, 100, 200] {
            let mut pacer = Pacer::new(Nudge::Adaptive);
            pacer.stir(ms(0));
            let at = nudges(&mut pacer, ms(gap + 20), Duration::ZERO);
            let wait = at.into_iter().find(|at| *at >= ms(gap)).unwrap() - ms(gap);
            assert!(wait <= ms(1).max(ms(gap) / SHARE), "{gap} ms: {wait:?}");
        }
    }

    #[test]
    fn a_late_timer_neither_makes_them_all_later_nor_makes_a_burst() {
        let mut pacer = Pacer::new(Nudge::Every(ms(5)));
        pacer.heard(ms(0));
        let late = Duration::from_micros(900);
        let at = nudges(&mut pacer, ms(100), late);
        assert_eq!(at[..3], [ms(5) + late, ms(10) + late, ms(15) + late]);
        // The task was not run for a while: one nudge, not those it has missed.
        assert!(pacer.due(ms(1_000), 1));
        assert!(!pacer.due(ms(1_004), 1));
        assert!(pacer.due(ms(1_005), 1));
    }

    #[test]
    fn a_fixed_interval_is_kept_while_the_node_lives() {
        let mut pacer = Pacer::new(Nudge::Every(ms(10)));
        pacer.stir(ms(0));
        assert_eq!(pacer.next(), None, "not before the node has said something");
        pacer.heard(ms(0));
        assert_eq!(nudges(&mut pacer, ms(20_000), Duration::ZERO).len(), 2_000);
        pacer.heard(ms(20_000));
        let at = nudges(&mut pacer, ms(600_000), Duration::ZERO);
        assert!(*at.last().unwrap() < ms(50_000), "it says nothing any more");
        assert_eq!(pacer.next(), None);
        pacer.heard(ms(600_000));
        assert_eq!(pacer.next(), Some(ms(600_010)));
    }

    #[test]
    fn a_large_fleet_is_nudged_less_often() {
        for (busy, interval) in [(1, 1), (20, 1), (100, 5), (300, 15)] {
            let mut pacer = Pacer::new(Nudge::Adaptive);
            pacer.stir(ms(0));
            assert!(pacer.due(ms(1), busy));
            assert_eq!(pacer.next(), Some(ms(1 + interval)), "{busy} connections");
        }
        // It would be no better than the poll.
        let mut pacer = Pacer::new(Nudge::Adaptive);
        pacer.stir(ms(0));
        assert!(!pacer.due(ms(1), 400));
        assert_eq!(pacer.next(), None);
        // Whoever asks for an interval has it.
        let mut pacer = Pacer::new(Nudge::Every(ms(2)));
        pacer.heard(ms(0));
        assert!(pacer.due(ms(2), 400));
        assert_eq!(pacer.next(), Some(ms(4)));
    }

    #[test]
    fn off_is_never() {
        let mut pacer = Pacer::new(Nudge::Off);
        pacer.heard(ms(1));
        pacer.stir(ms(1));
        assert_eq!(pacer.next(), None);
        assert!(!pacer.due(ms(1_000), 1));
    }

    #[test]
    fn ways_are_read_and_written() {
        for (text, nudge) in [
            ("adaptive", Nudge::Adaptive),
            ("off", Nudge::Off),
            ("1", Nudge::Every(ms(1))),
            ("19", Nudge::Every(ms(19))),
        ] {
            assert_eq!(text.parse(), Ok(nudge));
        }
        for text in ["", "on", "0", "20", "-1", "1.5", "NaN", "5ms", "inf"] {
            assert_eq!(text.parse::<Nudge>(), Err(UnfitNudge), "{text}");
        }
        assert_eq!(Nudge::Every(ms(5)).to_string(), "5ms");
    }
}
