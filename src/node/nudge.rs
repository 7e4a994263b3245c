//! Schedules wake-ups of a node: newlines, which FreeSWITCH ignores as commands and which end its sleep.
//!
//! mod_event_socket checks a connection for events every 20 ms (`read_packet` in `mod_event_socket.c` of 1.11.2). A queued
//! event does not wake it, but received bytes do. Time is an argument. The connection calls [`WakeUpScheduler::due`] and
//! sends a newline only between whole commands.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// FreeSWITCH's own interval: rarer wake-ups are useless.
const POLL: Duration = Duration::from_millis(20);

/// The shortest interval, which is the resolution of tokio's timers.
const FAST: Duration = Duration::from_millis(1);

/// The interval is a sixteenth of the time without activity, so wake-ups become rarer and end after 320 ms, when they are
/// no better than the poll. An event n ms after the last activity waits n/32 ms on average. A series has 16 + 16 ln 20,
/// about 64, wake-ups.
const SHARE: u32 = 16;

/// The shortest interval between wake-ups of all connections together, so that a large fleet costs a bounded share of a
/// core: 20,000 a second. Up to 20 busy connections it has no effect; 100 are woken every 5 ms.
const SHARED: Duration = Duration::from_micros(50);

/// Wake-ups at a fixed interval pause after this long without any data, not even a HEARTBEAT (every 20 s): the node does
/// not read, and must not find thousands of newlines when it reads again.
const HEARTBEATS: Duration = Duration::from_secs(30);

/// The configured wake-ups of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Nudge {
    /// Every millisecond after an activity, then more and more rarely, and none without activity.
    #[default]
    Adaptive,
    /// At this interval, always. From 1 to 19 ms.
    Every(Duration),
    /// Never.
    Off,
}

impl Nudge {
    /// Wake-ups at an interval in milliseconds.
    ///
    /// # Errors
    /// Fails unless it is a whole number from 1 to 19.
    pub fn every_ms(ms: f64) -> Result<Self, UnfitNudge> {
        if ms.fract() == 0.0 && (1.0..POLL.as_secs_f64() * 1_000.0).contains(&ms) {
            Ok(Self::Every(Duration::from_secs_f64(ms / 1_000.0)))
        } else {
            Err(UnfitNudge)
        }
    }

    /// The wake-ups of a connection that receives only the results of its own jobs.
    #[must_use]
    pub(super) const fn for_jobs(self) -> Self {
        match self {
            Self::Adaptive | Self::Every(_) => Self::Adaptive,
            Self::Off => Self::Off,
        }
    }
}

/// An invalid configuration of wake-ups.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "expected \"adaptive\", \"off\", or whole milliseconds from 1 to 19 (FreeSWITCH checks by itself every 20)"
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

/// Schedules the wake-ups of one connection. Times count from the caller's origin.
#[derive(Debug)]
pub(super) struct WakeUpScheduler {
    nudge: Nudge,
    /// The time of the last activity.
    last_activity: Duration,
    /// The next wake-up; `None` until the next activity.
    next: Option<Duration>,
    /// The earliest next wake-up, because other connections have their share.
    not_before: Duration,
    /// The only activity is our own request, whose answer arrives as an event.
    awaits_reply: bool,
}

impl WakeUpScheduler {
    /// A scheduler for a connection that is not ready yet.
    pub(super) const fn new(nudge: Nudge) -> Self {
        Self {
            nudge,
            last_activity: Duration::ZERO,
            next: None,
            not_before: Duration::ZERO,
            awaits_reply: false,
        }
    }

    /// Notes an activity that other events follow: an event or a command.
    pub(super) fn on_activity(&mut self, now: Duration) {
        self.last_activity = now;
        self.awaits_reply = false;
        if self.nudge == Nudge::Adaptive {
            // Continuous activity must not delay the next wake-up for ever.
            let soon = (now + FAST).max(self.not_before);
            self.next = Some(self.next.map_or(soon, |next| next.min(soon)));
        }
    }

    /// Notes our own request, whose answer arrives as an event: wake-ups help until then.
    pub(super) fn on_request(&mut self, now: Duration) {
        let is_only_activity = self.awaits_reply || self.next.is_none();
        self.on_activity(now);
        self.awaits_reply = is_only_activity;
    }

    /// Notes the answer to our own request. Without other activity, wake-ups stop, so that an idle fleet stays idle while
    /// snapshots are taken.
    pub(super) fn on_reply(&mut self) {
        if self.awaits_reply {
            self.stop();
        }
    }

    /// Stops wake-ups until the next activity.
    pub(super) fn stop(&mut self) {
        self.awaits_reply = false;
        if self.nudge == Nudge::Adaptive {
            self.next = None;
        }
    }

    /// Notes that the node sent any data.
    pub(super) fn on_input(&mut self, now: Duration) {
        if let Nudge::Every(interval) = self.nudge {
            self.last_activity = now;
            self.next.get_or_insert(now + interval);
        }
    }

    /// The time to call [`Self::due`]; `None` until the next activity.
    pub(super) const fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Returns true if a wake-up is due, and then schedules the next one. Missed wake-ups are not made up for. `busy` is the
    /// number of connections with scheduled wake-ups, this one included.
    pub(super) fn due(&mut self, now: Duration, busy: u32) -> bool {
        if self.next.is_none_or(|next| now < next) {
            return false;
        }
        let quiet = now.saturating_sub(self.last_activity);
        let interval = match self.nudge {
            Nudge::Adaptive => {
                let interval = (quiet / SHARE).max(FAST).max(SHARED * busy);
                Some(interval).filter(|interval| *interval < POLL)
            }
            Nudge::Every(interval) => Some(interval).filter(|_| quiet < HEARTBEATS),
            Nudge::Off => None,
        };
        self.not_before = now + SHARED * busy;
        // From the scheduled time, not from now: a late timer must not delay all later wake-ups.
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

    /// The wake-ups until `end`, with `due` called `late` after each scheduled time.
    fn nudges(wake_ups: &mut WakeUpScheduler, end: Duration, late: Duration) -> Vec<Duration> {
        let mut at = Vec::new();
        while let Some(next) = wake_ups.next().filter(|next| *next <= end) {
            if wake_ups.due(next + late, 1) {
                at.push(next + late);
            }
        }
        at
    }

    #[test]
    fn wake_ups_after_activity_become_rarer_and_end() {
        let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
        assert_eq!(wake_ups.next(), None, "no activity yet");
        wake_ups.on_activity(ms(1_000));
        let at = nudges(&mut wake_ups, ms(100_000), Duration::ZERO);
        assert_eq!(
            wake_ups.next(),
            None,
            "the wake-ups end, and no timer remains"
        );
        let first: Vec<Duration> = (1_001..=1_016).map(ms).collect();
        assert_eq!(at[..16], first);
        let gaps: Vec<Duration> = at.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.is_sorted(), "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap < POLL), "{gaps:?}");
        // A node that does not read receives no more than these.
        assert!((50..=70).contains(&at.len()), "{}", at.len());
        assert!(*at.last().unwrap() < ms(1_330), "{at:?}");
        wake_ups.on_activity(ms(9_000));
        assert_eq!(
            wake_ups.next(),
            Some(ms(9_001)),
            "the next event restarts the short interval"
        );
    }

    #[test]
    fn wake_ups_continue_until_requested_event() {
        let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
        wake_ups.on_request(ms(0));
        assert_eq!(nudges(&mut wake_ups, ms(3), Duration::ZERO).len(), 3);
        wake_ups.on_reply();
        assert_eq!(wake_ups.next(), None);
        // Two requests, one answer: FreeSWITCH's own poll serves the other request.
        wake_ups.on_request(ms(10));
        wake_ups.on_request(ms(11));
        wake_ups.on_reply();
        assert_eq!(wake_ups.next(), None);
        // Other activity continues.
        for (at, request_first) in [(1_000, true), (2_000, false)] {
            if request_first {
                wake_ups.on_request(ms(at));
            }
            wake_ups.on_activity(ms(at));
            wake_ups.on_request(ms(at));
            wake_ups.on_reply();
            assert_eq!(wake_ups.next(), Some(ms(at + 1)));
            nudges(&mut wake_ups, ms(at + 900), Duration::ZERO);
        }
    }

    #[test]
    fn idle_connection_has_no_wake_up_timer() {
        let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
        wake_ups.on_activity(ms(0));
        assert_eq!(nudges(&mut wake_ups, ms(3), Duration::ZERO).len(), 3);
        wake_ups.stop();
        assert_eq!(wake_ups.next(), None);
        wake_ups.on_activity(ms(10));
        assert_eq!(wake_ups.next(), Some(ms(11)));
        // A configured interval continues.
        let every = Duration::from_millis(5);
        let mut wake_ups = WakeUpScheduler::new(Nudge::Every(every));
        wake_ups.on_input(ms(0));
        wake_ups.stop();
        assert_eq!(wake_ups.next(), Some(every));
    }

    #[test]
    fn continuous_activity_neither_delays_nor_multiplies_wake_ups() {
        for (busy, nudges) in [(1, 999), (100, 200)] {
            let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
            let mut seen = 0;
            for step in 0..10_000u32 {
                let now = Duration::from_micros(100) * step;
                wake_ups.on_activity(now);
                seen += u32::from(wake_ups.due(now, busy));
            }
            assert_eq!(seen, nudges, "in a second, {busy} connections");
        }
    }

    #[test]
    fn events_during_activity_wait_briefly() {
        for gap in [5, 20, 50, 100, 200] {
            let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
            wake_ups.on_activity(ms(0));
            let at = nudges(&mut wake_ups, ms(gap + 20), Duration::ZERO);
            let wait = at.into_iter().find(|at| *at >= ms(gap)).unwrap() - ms(gap);
            assert!(wait <= ms(1).max(ms(gap) / SHARE), "{gap} ms: {wait:?}");
        }
    }

    #[test]
    fn late_timer_causes_neither_delay_nor_burst() {
        let mut wake_ups = WakeUpScheduler::new(Nudge::Every(ms(5)));
        wake_ups.on_input(ms(0));
        let late = Duration::from_micros(900);
        let at = nudges(&mut wake_ups, ms(100), late);
        assert_eq!(at[..3], [ms(5) + late, ms(10) + late, ms(15) + late]);
        // The task did not run for a while: one wake-up, without the missed ones.
        assert!(wake_ups.due(ms(1_000), 1));
        assert!(!wake_ups.due(ms(1_004), 1));
        assert!(wake_ups.due(ms(1_005), 1));
    }

    #[test]
    fn fixed_interval_continues_while_node_sends_data() {
        let mut wake_ups = WakeUpScheduler::new(Nudge::Every(ms(10)));
        wake_ups.on_activity(ms(0));
        assert_eq!(wake_ups.next(), None, "the node has sent no data yet");
        wake_ups.on_input(ms(0));
        assert_eq!(
            nudges(&mut wake_ups, ms(20_000), Duration::ZERO).len(),
            2_000
        );
        wake_ups.on_input(ms(20_000));
        let at = nudges(&mut wake_ups, ms(600_000), Duration::ZERO);
        assert!(
            *at.last().unwrap() < ms(50_000),
            "the node sends no data any more"
        );
        assert_eq!(wake_ups.next(), None);
        wake_ups.on_input(ms(600_000));
        assert_eq!(wake_ups.next(), Some(ms(600_010)));
    }

    #[test]
    fn large_fleet_has_rarer_wake_ups() {
        for (busy, interval) in [(1, 1), (20, 1), (100, 5), (300, 15)] {
            let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
            wake_ups.on_activity(ms(0));
            assert!(wake_ups.due(ms(1), busy));
            assert_eq!(
                wake_ups.next(),
                Some(ms(1 + interval)),
                "{busy} connections"
            );
        }
        // The interval would be no shorter than the poll.
        let mut wake_ups = WakeUpScheduler::new(Nudge::Adaptive);
        wake_ups.on_activity(ms(0));
        assert!(!wake_ups.due(ms(1), 400));
        assert_eq!(wake_ups.next(), None);
        // A configured interval applies.
        let mut wake_ups = WakeUpScheduler::new(Nudge::Every(ms(2)));
        wake_ups.on_input(ms(0));
        assert!(wake_ups.due(ms(2), 400));
        assert_eq!(wake_ups.next(), Some(ms(4)));
    }

    #[test]
    fn off_schedules_no_wake_ups() {
        let mut wake_ups = WakeUpScheduler::new(Nudge::Off);
        wake_ups.on_input(ms(1));
        wake_ups.on_activity(ms(1));
        assert_eq!(wake_ups.next(), None);
        assert!(!wake_ups.due(ms(1_000), 1));
    }

    #[test]
    fn settings_round_trip() {
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
