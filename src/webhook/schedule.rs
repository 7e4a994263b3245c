//! The retry schedule of failed deliveries.
//!
//! Pure: jitter and the receiver's `Retry-After` come in, a [`DeliveryResult`] comes out.

use std::time::Duration;

use crate::store::deliveries::DeliveryResult;
use roomkeeper_core::time::Timestamp;

/// The longest `Retry-After` that is obeyed.
pub const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(3600);

/// The time for which a failing head of a queue holds the messages behind it.
pub const HOLD_TIMEOUT: Duration = Duration::from_secs(300);

/// The time of continuous failure after which an endpoint is disabled.
pub const DISABLED_AFTER: Duration = Duration::from_secs(5 * 24 * 3600);

/// The result of an attempt, as far as it affects the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attempt {
    /// The receiver accepted the message.
    Accepted,
    /// The attempt failed and can be repeated.
    Failed {
        /// The requested delay.
        retry_after: Option<Duration>,
    },
    /// The receiver will never accept it (410).
    Gone,
}

/// The delays between attempts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Schedule {
    delays: Vec<Duration>,
    hold_timeout: Duration,
}

impl Default for Schedule {
    /// Eleven attempts in about 28 hours: at once, then after 1 s, 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 5 h, 10 h
    /// and 10 h.
    fn default() -> Self {
        Self::new([1, 5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000].map(Duration::from_secs))
    }
}

impl Schedule {
    /// Creates a schedule: a first attempt at once, and one more after each of these delays.
    pub fn new(delays: impl IntoIterator<Item = Duration>) -> Self {
        Self {
            delays: delays.into_iter().collect(),
            hold_timeout: HOLD_TIMEOUT,
        }
    }

    /// Sets the time for which a failing message holds those behind it.
    #[must_use]
    pub fn with_hold_timeout(self, hold_timeout: Duration) -> Self {
        Self {
            hold_timeout,
            ..self
        }
    }

    /// The maximum number of attempts.
    pub fn attempts(&self) -> usize {
        self.delays.len() + 1
    }

    /// The next step of a delivery after an attempt. `failed_before` attempts had failed before this one, the first of
    /// them `failing_for` ago; `jitter` is within 0 and 1 and moves the delay within ±20 %, so that deliveries that
    /// failed together are not repeated together.
    pub fn after(
        &self,
        attempt: Attempt,
        failed_before: u32,
        failing_for: Duration,
        jitter: f64,
    ) -> DeliveryResult {
        match attempt {
            Attempt::Accepted => DeliveryResult::Delivered,
            Attempt::Gone => DeliveryResult::Dead,
            Attempt::Failed { retry_after } => {
                let index = usize::try_from(failed_before).unwrap_or(usize::MAX);
                let Some(delay) = self.delays.get(index) else {
                    return DeliveryResult::Dead;
                };
                let delay = delay.mul_f64(0.8 + 0.4 * jitter.clamp(0.0, 1.0));
                let requested = retry_after.unwrap_or_default().min(RETRY_AFTER_LIMIT);
                let after = delay.max(requested);
                let hold = self.hold_timeout.saturating_sub(failing_for);
                if after > hold {
                    DeliveryResult::Park { after, hold }
                } else {
                    DeliveryResult::Retry { after }
                }
            }
        }
    }
}

/// Parses a `Retry-After`: whole seconds or a date; `None` for anything else.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // A number that overflows is a long time.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    let at = u64::try_from(at.as_microsecond()).ok()?;
    Some(Timestamp::from_micros(at).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FAILED: Attempt = Attempt::Failed { retry_after: None };

    #[test]
    fn default_delays_match_documentation() {
        let schedule = Schedule::default();
        let delays: Vec<u64> = (0..)
            .map_while(
                |failed| match schedule.after(FAILED, failed, Duration::ZERO, 0.5) {
                    DeliveryResult::Retry { after } | DeliveryResult::Park { after, .. } => {
                        Some(after.as_secs())
                    }
                    DeliveryResult::Dead
                    | DeliveryResult::Delivered
                    | DeliveryResult::Restart
                    | DeliveryResult::Forgotten => None,
                },
            )
            .collect();
        assert_eq!(
            delays,
            [1, 5, 30, 120, 600, 1800, 7200, 18_000, 36_000, 36_000]
        );
        assert_eq!(schedule.attempts(), 11);
    }

    #[test]
    fn success_delivers_and_gone_or_last_failure_is_dead() {
        let schedule = Schedule::default();
        assert_eq!(
            schedule.after(Attempt::Accepted, 9, Duration::ZERO, 0.0),
            DeliveryResult::Delivered
        );
        assert_eq!(
            schedule.after(Attempt::Gone, 0, Duration::ZERO, 0.0),
            DeliveryResult::Dead
        );
        assert_eq!(
            schedule.after(FAILED, u32::MAX, Duration::ZERO, 0.0),
            DeliveryResult::Dead
        );
    }

    #[test]
    fn retry_after_extends_delay_up_to_an_hour() {
        let schedule = Schedule::default();
        let after = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            schedule.after(Attempt::Failed { retry_after }, 2, Duration::ZERO, 0.5)
        };
        let retry = |seconds| DeliveryResult::Retry {
            after: Duration::from_secs(seconds),
        };
        assert_eq!(after(1), retry(30));
        assert_eq!(after(90), retry(90));
        let park = DeliveryResult::Park {
            after: Duration::from_secs(3600),
            hold: HOLD_TIMEOUT,
        };
        assert_eq!(after(86_400), park);
    }

    #[test]
    fn failing_head_holds_later_messages_for_five_minutes() {
        let schedule = Schedule::default();
        let after = |failed, failing| {
            let failing = Duration::from_secs(failing);
            schedule.after(FAILED, failed, failing, 0.5)
        };
        let park = |after, hold| DeliveryResult::Park {
            after: Duration::from_secs(after),
            hold: Duration::from_secs(hold),
        };
        let retry = |after| DeliveryResult::Retry {
            after: Duration::from_secs(after),
        };
        assert_eq!(after(3, 36), retry(120));
        assert_eq!(after(3, 180), retry(120));
        assert_eq!(after(3, 181), park(120, 119));
        assert_eq!(after(4, 156), park(600, 144));
        assert_eq!(after(0, 301), park(1, 0));
        let never = Schedule::default().with_hold_timeout(Duration::MAX);
        assert_eq!(never.after(FAILED, 4, HOLD_TIMEOUT, 0.5), retry(600));
    }

    #[test]
    fn retry_after_is_seconds_or_date() {
        let now = Timestamp::from_millis(1_445_412_420_000); // 2015-10-21T07:27:00Z
        let parse = |text| parse_retry_after(text, now).map(|d| d.as_secs());
        assert_eq!(parse("120"), Some(120));
        assert_eq!(parse(" 0 "), Some(0));
        assert_eq!(parse("99999999999999999999999"), Some(u64::MAX));
        assert_eq!(parse("Wed, 21 Oct 2015 07:28:00 GMT"), Some(60));
        assert_eq!(parse("Wed, 21 Oct 2015 07:20:00 GMT"), Some(0));
        for invalid in ["", "-1", "soon", "1.5"] {
            assert_eq!(parse(invalid), None, "{invalid:?}");
        }
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(failed in 0_u32..10, jitter in 0.0..=1.0_f64) {
            let schedule = Schedule::default();
            let exact = schedule.after(FAILED, failed, Duration::ZERO, 0.5);
            let moved = schedule.after(FAILED, failed, Duration::ZERO, jitter);
            let delay = |result| match result {
                DeliveryResult::Retry { after } | DeliveryResult::Park { after, .. } => Some(after),
                DeliveryResult::Delivered
                | DeliveryResult::Dead
                | DeliveryResult::Restart
                | DeliveryResult::Forgotten => None,
            };
            let (exact, moved) = (delay(exact).unwrap(), delay(moved).unwrap());
            prop_assert!(moved >= exact.mul_f64(0.799) && moved <= exact.mul_f64(1.201));
        }
    }
}
