//! Points in time as plain numbers, and their text forms. There is no clock here: callers pass `now`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Returns the time `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns the time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Returns the microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Returns the whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Returns the time `by` before this one, but not before the epoch.
    pub fn before(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// Returns the time elapsed since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// Parses RFC 3339, as [`Timestamp::rfc3339_micros`] and the like write it; `None` if it is invalid or before the
    /// epoch.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_microsecond()).ok().map(Self)
    }

    /// Formats as RFC 3339 with whole seconds, as in the gateway API's lists: `2026-05-06T12:34:56Z`.
    pub fn rfc3339_seconds(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// Formats as in the VoIPBIN API: `2022-02-03 06:08:56.672025`.
    pub fn voipbin(self) -> String {
        self.format("%Y-%m-%d %H:%M:%S.%6f")
    }

    /// Formats as RFC 3339 with microseconds, as in webhook bodies: `2026-05-06T12:34:56.000000Z`.
    pub fn rfc3339_micros(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S.%6fZ")
    }

    fn format(self, form: &str) -> String {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(at) => at.strftime(form).to_string(),
            // There is no text form after the year 9999; the number is still correct.
            Err(_) => self.0.to_string(),
        }
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_forms_match_the_apis() {
        let at = Timestamp::from_micros(1_778_070_896_672_025);
        assert_eq!(at.rfc3339_seconds(), "2026-05-06T12:34:56Z");
        assert_eq!(at.rfc3339_micros(), "2026-05-06T12:34:56.672025Z");
        assert_eq!(at.as_secs(), 1_778_070_896);
        assert_eq!(Timestamp::from_rfc3339(&at.rfc3339_micros()), Some(at));
        assert_eq!(Timestamp::from_rfc3339("yesterday"), None);
    }

    #[test]
    fn arithmetic_saturates() {
        let at = Timestamp::from_millis(5);
        assert_eq!(at + Duration::from_millis(2), Timestamp::from_millis(7));
        assert_eq!(at.since(Timestamp::from_millis(9)), Duration::ZERO);
        assert_eq!(
            at.before(Duration::from_millis(2)),
            Timestamp::from_millis(3)
        );
        assert_eq!(at.before(Duration::from_secs(1)), Timestamp::default());
        assert_eq!(
            Timestamp::from_micros(u64::MAX) + Duration::from_secs(1),
            Timestamp::from_micros(u64::MAX)
        );
    }
}
