//! Points in time as plain numbers, so that the pure modules can be given `now` and never ask for it.
//!
//! Owns [`Timestamp`] and its text forms. Leaves out every clock: only the shell around the pure core
//! reads one ([`Timestamp::now`] is for it alone).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point `micros` microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// The point `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// This machine's clock. For the I/O shell only; pure code is handed its `now`.
    pub fn now() -> Self {
        let micros = jiff::Timestamp::now().as_microsecond();
        Self(u64::try_from(micros).unwrap_or(0))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since the epoch.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// The time so long before this, and not before the epoch.
    pub fn before(self, by: Duration) -> Self {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(micros))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// What [`Timestamp::rfc3339_micros`] and its like have written; `None` for what is not RFC 3339 or before the epoch.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let at: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(at.as_microsecond()).ok().map(Self)
    }

    /// RFC 3339 with whole seconds, as the gateway API's lists show it: `2026-05-06T12:34:56Z`.
    pub fn rfc3339_seconds(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    /// As the VoIPBIN API shows it: `2022-02-03 06:08:56.672025`.
    pub fn voipbin(self) -> String {
        self.format("%Y-%m-%d %H:%M:%S.%6f")
    }

    /// RFC 3339 with microseconds, as webhook bodies carry it: `2026-05-06T12:34:56.000000Z`.
    pub fn rfc3339_micros(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%S.%6fZ")
    }

    fn format(self, form: &str) -> String {
        let micros = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_microsecond(micros) {
            Ok(at) => at.strftime(form).to_string(),
            // Past the year 9999 there is no text form; the number still tells the truth.
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
    fn text_forms() {
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
