//! Rate limits, cooldowns and idempotent commands, which all replicas share through the store.
//!
//! The API determines windows, rates and exemptions. All times are on the store's clock. None of this is state of a room
//! or a call: losing it only lets a request pass.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{EntityId, StoreError};
use roomkeeper_core::ids::{AppId, CallId, CommandUid, InvalidId, RoomId};

/// Rate limits, cooldowns and idempotent commands. As with [`Store`](super::Store), every method is atomic.
#[async_trait]
pub trait RequestLimits: Send + Sync + std::fmt::Debug + 'static {
    /// Takes the cooldown of a group of commands to one room or call, for `window`. Exactly one of several concurrent
    /// requests gets it; groups are independent.
    async fn take_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
        window: Duration,
    ) -> Result<Cooldown, StoreError>;

    /// Returns a cooldown, if it still belongs to this holder.
    async fn refund_cooldown(
        &self,
        about: EntityId,
        group: &str,
        holder: Uuid,
    ) -> Result<(), StoreError>;

    /// Begins a command, or returns the state of an earlier request. The command belongs to this request for `hold`; if it
    /// is not finished by then, the next request counts as the first.
    async fn begin_command(
        &self,
        command: &IdempotentCommand,
        hold: Duration,
    ) -> Result<CommandStart, StoreError>;

    /// Stores the answer to a command for `keep` from now. Returns false and changes nothing if the command belongs to
    /// another request now.
    async fn finish_command(
        &self,
        command: &IdempotentCommand,
        answer: &StoredAnswer,
        keep: Duration,
    ) -> Result<bool, StoreError>;

    /// Removes a command, if it still belongs to this request: the next request counts as the first.
    async fn forget_command(&self, command: &IdempotentCommand) -> Result<(), StoreError>;

    /// Takes up to `want` (at least one) tokens from the app's bucket, which all replicas share. Repeated after a lost
    /// answer, it may take them twice.
    async fn take_tokens(&self, app: &AppId, rate: Rate, want: u32) -> Result<Tokens, StoreError>;

    /// Takes one of the app's `most` places for dial-outs. Without a free one, returns the dial-outs whose places are
    /// older than `settled`: they may have ended.
    async fn take_dial_slot(
        &self,
        app: &AppId,
        slot: DialSlot,
        most: u32,
        settled: Duration,
    ) -> Result<DialSlotOutcome, StoreError>;

    /// Frees the places of these dial-outs.
    async fn free_dial_slots(&self, app: &AppId, slots: &[DialSlot]) -> Result<(), StoreError>;
}

/// The place of a dial-out among those of its app.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DialSlot {
    /// The room.
    pub room: RoomId,
    /// The dial-out.
    pub id: CallId,
}

impl fmt::Display for DialSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.room, self.id)
    }
}

impl FromStr for DialSlot {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (room, id) = text.split_once(' ').unwrap_or((text, ""));
        Ok(Self {
            room: room.parse()?,
            id: id.parse()?,
        })
    }
}

/// The result of taking a place for a dial-out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DialSlotOutcome {
    /// It is taken, now or by an earlier request for the same dial-out.
    Taken,
    /// All places are taken.
    Full {
        /// The older ones, which may be free again.
        settled: Vec<DialSlot>,
    },
}

/// The result of taking a cooldown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cooldown {
    /// It belongs to the holder now. A repeated request of the same holder gives the same result and does not extend it.
    Taken,
    /// It belongs to another holder.
    Wait {
        /// The time until it is free, on the store's clock.
        remaining: Duration,
    },
}

/// A command with an idempotency key, as handled by one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdempotentCommand {
    /// Its call or room.
    pub about: EntityId,
    /// The caller's idempotency key.
    pub uid: CommandUid,
    /// Equal for two requests exactly if they request the same.
    pub fingerprint: String,
    /// Random for each request.
    pub token: Uuid,
}

/// The stored part of the answer to a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body, byte for byte.
    pub body: String,
}

/// The state of a command when a request arrives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CommandStart {
    /// It is new: this request executes it.
    First,
    /// It was answered.
    Replay(StoredAnswer),
    /// Another request is executing it.
    Pending,
    /// The idempotency key belongs to a different command.
    Different,
}

/// A rate limit: a bucket of tokens that fills steadily.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// The time for one token. At least a microsecond.
    pub every: Duration,
    /// The size of the bucket. At least one.
    pub burst: u32,
}

impl Rate {
    /// A limit per second, with a bucket of the same size.
    pub fn per_second(rate: u32) -> Self {
        let burst = rate.max(1);
        Self {
            every: Duration::from_micros(u64::from(1_000_000 / burst).max(1)),
            burst,
        }
    }

    /// Takes up to `want` tokens at the time `now` from a bucket that is full at `full_at`. Returns the taken tokens and the
    /// new `full_at`.
    ///
    /// `full_at` is the whole state: the missing tokens are the time until the bucket is full.
    pub fn take(&self, full_at: Duration, now: Duration, want: u32) -> (Tokens, Duration) {
        let whole = self.every.saturating_mul(self.burst);
        // At most an empty bucket, also after the clock was set back.
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

/// The result of a request for tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tokens {
    /// The number of tokens, from one to the requested number.
    Granted(u32),
    /// No token is available; the next one comes after this long.
    Wait(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bucket_grants_its_burst_and_then_its_rate() {
        let rate = Rate::per_second(4);
        let ms = Duration::from_millis;
        let (got, full) = rate.take(Duration::ZERO, ms(10_000), 3);
        assert_eq!(got, Tokens::Granted(3));
        let (got, full) = rate.take(full, ms(10_000), 3);
        assert_eq!(got, Tokens::Granted(1), "the remaining token");
        let (got, full) = rate.take(full, ms(10_000), 1);
        assert_eq!(got, Tokens::Wait(ms(250)));
        let (got, full) = rate.take(full, ms(10_100), 1);
        assert_eq!(got, Tokens::Wait(ms(150)));
        let (got, full) = rate.take(full, ms(10_500), 9);
        assert_eq!(got, Tokens::Granted(2));
        let (got, _) = rate.take(full, ms(60_000), 9);
        assert_eq!(got, Tokens::Granted(4), "at most its burst");
    }

    #[test]
    fn clock_set_back_costs_at_most_a_burst() {
        let rate = Rate::per_second(4);
        let (got, full) = rate.take(Duration::from_secs(9_000), Duration::from_secs(1), 1);
        assert_eq!(got, Tokens::Wait(Duration::from_millis(250)));
        let (got, _) = rate.take(full, Duration::from_secs(2), 9);
        assert_eq!(got, Tokens::Granted(4));
    }
}
