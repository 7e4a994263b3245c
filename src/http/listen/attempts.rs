//! Wrong keys by address: throttled, counted, and logged at intervals.
//!
//! An address may send [`BURST`] wrong keys at once and then [`RATE`] per second. Above that, its keys are refused
//! unchecked, except those that were valid from that address before: a caller that shares an address with a guesser
//! is not affected. The table is bounded. When it is full, it drops the address with the oldest request.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::client_of;
use crate::telemetry::HTTP_UNAUTHORIZED;

/// The burst of wrong keys that an address may send.
pub const BURST: f64 = 200.0;

/// The rate of wrong keys per second after the burst.
pub const RATE: f64 = 10.0;

/// The maximum number of remembered addresses.
const MAX_ADDRESSES: usize = 4_096;

/// The maximum number of remembered valid keys per address.
const MAX_VALID: usize = 8;

/// The interval in which an address is logged once.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The maximum number of log lines in that interval for all addresses.
const LOG_LINES: u32 = 60;

/// The outcome of checking a request's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The key is valid.
    Valid,
    /// There is no key.
    Missing,
    /// The key is wrong.
    Wrong,
}

/// The attempts of all addresses on one listener.
#[derive(Debug)]
pub struct Attempts {
    listener: &'static str,
    /// The hash of keys, keyed with a secret of this process.
    hasher: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    addresses: HashMap<IpAddr, Address>,
    /// The start of the current log interval, and the lines logged in it.
    lines: (Instant, u32),
}

#[derive(Debug)]
struct Address {
    /// The number of wrong keys that it may send now.
    tokens: f64,
    last_request: Instant,
    /// The hashes of the last valid keys.
    valid: Vec<u64>,
    logged: Option<Instant>,
    /// The number of requests refused since the last log line.
    unlogged: u64,
}

impl Attempts {
    pub(super) fn new(listener: &'static str) -> Self {
        Self {
            listener,
            hasher: RandomState::new(),
            table: Mutex::new(Table {
                addresses: HashMap::new(),
                lines: (Instant::now(), 0),
            }),
        }
    }

    /// Admits a key to be checked.
    ///
    /// # Errors
    /// The wait, when the address has sent too many wrong keys.
    pub fn admit(&self, address: IpAddr, key: &[u8]) -> Result<(), Duration> {
        let (client, now) = (client_of(address), Instant::now());
        let mut table = self.table();
        let Some(entry) = table.addresses.get_mut(&client) else {
            return Ok(());
        };
        entry.refill(now);
        if entry.tokens >= 1.0 || entry.valid.contains(&self.hasher.hash_one(key)) {
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - entry.tokens) / RATE);
        self.count_refusal(&mut table, client, now, "throttled");
        Err(wait)
    }

    /// Records the outcome of a check.
    pub fn settle(&self, address: IpAddr, key: &[u8], outcome: Outcome) {
        let (client, now) = (client_of(address), Instant::now());
        let mut table = self.table();
        let entry = table.entry(client, now);
        match outcome {
            Outcome::Valid => {
                let key = self.hasher.hash_one(key);
                if !entry.valid.contains(&key) {
                    entry.valid.truncate(MAX_VALID - 1);
                    entry.valid.insert(0, key);
                }
            }
            Outcome::Missing => self.count_refusal(&mut table, client, now, "missing"),
            Outcome::Wrong => {
                entry.tokens = (entry.tokens - 1.0).max(0.0);
                self.count_refusal(&mut table, client, now, "wrong");
            }
        }
    }

    /// Counts a refused request. Logs all refusals since the last log line if the log interval has passed.
    fn count_refusal(
        &self,
        table: &mut Table,
        client: IpAddr,
        now: Instant,
        outcome: &'static str,
    ) {
        metrics::counter!(HTTP_UNAUTHORIZED, "listener" => self.listener, "outcome" => outcome)
            .increment(1);
        let entry = table.entry(client, now);
        entry.unlogged += 1;
        let is_due = entry.logged.is_none_or(|at| now - at >= LOG_INTERVAL);
        if !is_due {
            return;
        }
        let (since, lines) = table.lines;
        table.lines = match now - since >= LOG_INTERVAL {
            true => (now, 1),
            false if lines >= LOG_LINES => return,
            false => (since, lines + 1),
        };
        let entry = table.entry(client, now);
        entry.logged = Some(now);
        let count = std::mem::take(&mut entry.unlogged);
        tracing::warn!(
            listener = self.listener,
            address = %client,
            count,
            last = outcome,
            "requests without a valid key were refused"
        );
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn entry(&mut self, client: IpAddr, now: Instant) -> &mut Address {
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&client) {
            let oldest = self
                .addresses
                .iter()
                .min_by_key(|(_, one)| one.last_request);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.addresses.remove(&oldest);
            }
        }
        let entry = self.addresses.entry(client).or_insert_with(|| Address {
            tokens: BURST,
            last_request: now,
            valid: Vec::new(),
            logged: None,
            unlogged: 0,
        });
        entry.refill(now);
        entry
    }
}

impl Address {
    fn refill(&mut self, now: Instant) {
        let since = now
            .saturating_duration_since(self.last_request)
            .as_secs_f64();
        self.tokens = (self.tokens + since * RATE).min(BURST);
        self.last_request = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn address_with_too_many_wrong_keys_is_throttled_except_its_valid_keys() {
        let attempts = Attempts::new("test");
        let guesser = address(1);
        attempts.settle(guesser, b"valid", Outcome::Valid);
        for _ in 0..BURST as u32 {
            assert_eq!(attempts.admit(guesser, b"guess"), Ok(()));
            attempts.settle(guesser, b"guess", Outcome::Wrong);
        }
        let wait = attempts.admit(guesser, b"guess").unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(
            attempts.admit(guesser, b"never seen").is_err(),
            "the key is not checked"
        );
        assert_eq!(attempts.admit(guesser, b"valid"), Ok(()));
        assert_eq!(attempts.admit(address(2), b"guess"), Ok(()));
        tokio::time::advance(Duration::from_millis(101)).await;
        assert_eq!(attempts.admit(guesser, b"guess"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_without_a_key_cost_no_attempt() {
        let attempts = Attempts::new("test");
        for _ in 0..1_000 {
            attempts.settle(address(1), b"", Outcome::Missing);
        }
        assert_eq!(attempts.admit(address(1), b"guess"), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn table_is_bounded() {
        let attempts = Attempts::new("test");
        for at in 0..2 * MAX_ADDRESSES as u32 {
            attempts.settle(IpAddr::from(at.to_be_bytes()), b"guess", Outcome::Wrong);
        }
        let table = attempts.table();
        assert_eq!(table.addresses.len(), MAX_ADDRESSES);
        assert_eq!(table.lines.1, LOG_LINES);
    }
}
