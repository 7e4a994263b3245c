//! What the store notes so that every replica gives a caller the same answer: cooldowns, commands that were given an id,
//! and the requests of an app.
//!
//! Owns the words. Leaves out which windows and rates there are, and what is exempt from them: that is the API's. All
//! of it is on the store's clock and none of it is state of a room or a call: losing it lets a caller through.

use std::time::Duration;

use uuid::Uuid;

use crate::ids::CommandUid;
use crate::store::EntityId;

/// What came of taking a cooldown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cooldown {
    /// It was free and is the asker's now. Asked again by the same holder, it still says so, and its end stays.
    Taken,
    /// It is another's.
    Wait {
        /// Until it is free, on the store's clock.
        remaining: Duration,
    },
}

/// A command that its caller gave an id, as one request has it in hand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The call or the room it is about.
    pub about: EntityId,
    /// The caller's id of it.
    pub uid: CommandUid,
    /// What is the same for two requests exactly if they ask for the same.
    pub fingerprint: String,
    /// Random for each request.
    pub token: Uuid,
}

/// The answer to a command, as far as it is repeated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandAnswer {
    /// The status.
    pub status: u16,
    /// The body, byte for byte.
    pub body: String,
}

/// What is known of a command when a request comes with it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandStart {
    /// Nothing: this request carries it out.
    First,
    /// It has been answered.
    Replay(CommandAnswer),
    /// Another request is carrying it out.
    Pending,
    /// The id was given to something else.
    Different,
}

/// How fast an app may ask: a bucket of tokens that fills steadily.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Time in which one token comes. At least a microsecond.
    pub every: Duration,
    /// How many the full bucket holds. At least one.
    pub burst: u32,
}

impl Rate {
    /// So many a second, as many of them at once.
    pub fn per_second(rate: u32) -> Self {
        let burst = rate.max(1);
        Self {
            every: Duration::from_micros(u64::from(1_000_000 / burst).max(1)),
            burst,
        }
    }

    /// Takes up to `want` tokens at the time `now` from a bucket of which `full_at` says when it is full again. Answers
    /// what was taken and the new `full_at`.
    ///
    /// The one number is the whole state: what is missing from the bucket is the time until it is full.
    pub fn take(&self, full_at: Duration, now: Duration, want: u32) -> (Tokens, Duration) {
        let whole = self.every.saturating_mul(self.burst);
        // Never further off than an empty bucket, also when the clock was set back.
        let full_at = full_at.clamp(now, now.saturating_add(whole));
        let there = whole.saturating_sub(full_at.saturating_sub(now));
        let every = self.every.as_nanos().max(1);
        let available = u32::try_from(there.as_nanos() / every).unwrap_or(u32::MAX);
        let granted = want.min(available);
        if granted == 0 {
            let wait = self.every.saturating_sub(there);
            return (Tokens::Wait(wait), full_at);
        }
        let full_at = full_at.saturating_add(self.every.saturating_mul(granted));
        (Tokens::Granted(granted), full_at)
    }
}

/// What came of asking for tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// So many, at least one, and not more than were asked for.
    Granted(u32),
    /// None: the next one comes after this long.
    Wait(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate::per_second(4);
        let ms = Duration::from_millis;
        let (got, full) = rate.take(Duration::ZERO, ms(10_000), 3);
        assert_eq!(got, Tokens::Granted(3));
        let (got, full) = rate.take(full, ms(10_000), 3);
        assert_eq!(got, Tokens::Granted(1), "what is left");
        let (got, full) = rate.take(full, ms(10_000), 1);
        assert_eq!(got, Tokens::Wait(ms(250)));
        let (got, full) = rate.take(full, ms(10_100), 1);
        assert_eq!(got, Tokens::Wait(ms(150)));
        let (got, full) = rate.take(full, ms(10_500), 9);
        assert_eq!(got, Tokens::Granted(2));
        let (got, _) = rate.take(full, ms(60_000), 9);
        assert_eq!(got, Tokens::Granted(4), "no more than it holds");
    }

    #[test]
    fn a_clock_that_was_set_back_costs_no_more_than_a_burst() {
        let rate = Rate::per_second(4);
        let (got, full) = rate.take(Duration::from_secs(9_000), Duration::from_secs(1), 1);
        assert_eq!(got, Tokens::Wait(Duration::from_millis(250)));
        let (got, _) = rate.take(full, Duration::from_secs(2), 9);
        assert_eq!(got, Tokens::Granted(4));
    }
}
