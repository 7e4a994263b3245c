//! The rate limit of an app over all its requests.
//!
//! A token bucket in the store, with one second's worth of tokens, fills at the app's rate on the store's clock. The
//! rate is the app's own or the configured default; the registry passes it with each request, so a new rate is
//! effective as soon as the registry knows it. A request costs a token. A replica leases tokens in batches and spends
//! them locally: the first batch is one token, and each batch that is spent within [`LEASE`] is followed by one twice
//! as large, up to an eighth of the rate. Tokens that remain after that time are void. So an idle app costs no tokens
//! however many replicas there are, and a busy one some ten store requests per second. When the bucket is empty, the
//! store returns the time of the next token, and until then this replica refuses requests by itself.
//!
//! When the store does not respond, each replica limits alone for [`ALONE`] before it asks again, with its own bucket
//! of the same rate. So N replicas admit at most N times the rate, and a request does not wait for the store's timeout
//! each time.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::LimitsConfig;
use crate::store::Store;
use crate::store::limits::{Rate, Tokens};
use crate::telemetry::STORE_ERRORS;
use roomkeeper_core::ids::AppId;

use super::error::ApiError;
use super::middleware::observe;

/// The time within which leased tokens can be spent.
pub const LEASE: Duration = Duration::from_secs(1);

/// The time for which a replica limits alone after the store did not respond.
pub const ALONE: Duration = Duration::from_secs(1);

/// The settings of rate limits and cooldowns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitSettings {
    /// Requests per second of an app without a limit of its own; 0: unlimited.
    pub app_rate: u32,
    /// Enables cooldowns.
    pub cooldowns: bool,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            app_rate: 50,
            cooldowns: true,
        }
    }
}

impl From<LimitsConfig> for LimitSettings {
    fn from(config: LimitsConfig) -> Self {
        Self {
            app_rate: config.app_rate,
            cooldowns: config.cooldowns,
        }
    }
}

/// The rate limiter of all apps.
pub struct AppLimiter {
    store: Arc<dyn Store>,
    /// Requests per second of an app without a limit of its own; 0: unlimited.
    app_rate: u32,
    /// The tokens of each app that sent a request. Only authenticated apps get here.
    apps: Mutex<HashMap<AppId, Arc<AppTokens>>>,
}

impl fmt::Debug for AppLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppLimiter")
            .field("app_rate", &self.app_rate)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct AppTokens {
    local: Mutex<LocalTokens>,
    /// Held by the one request that leases tokens for all.
    leasing: tokio::sync::Mutex<()>,
}

impl AppLimiter {
    /// Creates a limiter with its tokens in this store.
    pub fn new(store: Arc<dyn Store>, settings: &LimitSettings) -> Self {
        Self {
            store,
            app_rate: settings.app_rate,
            apps: Mutex::default(),
        }
    }

    /// Admits a request, or refuses it with the time to wait. `own` is the app's own limit in requests per second, if
    /// it has one.
    pub(crate) async fn admit(&self, app: &AppId, own: Option<u32>) -> Result<(), ApiError> {
        let rate = match own.unwrap_or(self.app_rate) {
            0 => return Ok(()),
            rate => Rate::per_second(rate),
        };
        let tokens_of_app = self.tokens_of_app(app);
        let mut verdict = tokens_of_app.local().spend(rate, Instant::now());
        if verdict == Verdict::Lease {
            let _only_one = tokens_of_app.leasing.lock().await;
            // Another request may have leased for both.
            verdict = tokens_of_app.local().spend(rate, Instant::now());
            if verdict == Verdict::Lease {
                let want = tokens_of_app.local().next_batch(rate, Instant::now());
                let leased = self.store.take_tokens(app, rate, want).await;
                if let Err(error) = &leased {
                    metrics::counter!(STORE_ERRORS, "caller" => "api").increment(1);
                    let _span = observe::enter_request_span();
                    error.log_effect(
                        None,
                        "the store does not respond; limiting an app's requests on this replica alone",
                    );
                }
                verdict = tokens_of_app
                    .local()
                    .leased(rate, want, leased.ok(), Instant::now());
            }
        }
        match verdict {
            Verdict::Pass => Ok(()),
            Verdict::Wait(wait) => Err(ApiError::limited(
                "Rate limit exceeded: too many requests of this application",
                wait,
            )),
            Verdict::Lease => Err(ApiError::internal(&"a lease without a verdict")),
        }
    }

    fn tokens_of_app(&self, app: &AppId) -> Arc<AppTokens> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens_of_app) = apps.get(app) {
            return Arc::clone(tokens_of_app);
        }
        let tokens_of_app = Arc::<AppTokens>::default();
        apps.insert(app.clone(), Arc::clone(&tokens_of_app));
        tokens_of_app
    }
}

impl AppTokens {
    fn local(&self) -> MutexGuard<'_, LocalTokens> {
        self.local.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Pass,
    Wait(Duration),
    /// Tokens must be leased first.
    Lease,
}

/// One replica's tokens of one app. No I/O; the time is an argument.
#[derive(Default)]
struct LocalTokens {
    /// The rate for which these tokens were leased.
    rate: Option<Rate>,
    /// The number of leased tokens that are not spent.
    tokens: u32,
    /// The size of the last lease.
    batch: u32,
    /// The end of the last lease.
    lease_ends: Option<Instant>,
    /// The time of the next token, as the store reported.
    empty_until: Option<Instant>,
    /// The time until which the store gets no request, because it did not respond.
    alone_until: Option<Instant>,
    /// The time at which this replica's own bucket is full.
    own_full_at: Option<Instant>,
}

impl LocalTokens {
    /// Resets leases and waits when the rate changes. The time without the store is independent of the rate.
    fn set_rate(&mut self, rate: Rate) {
        if self.rate != Some(rate) {
            *self = Self {
                rate: Some(rate),
                alone_until: self.alone_until,
                ..Self::default()
            };
        }
    }

    fn spend(&mut self, rate: Rate, now: Instant) -> Verdict {
        self.set_rate(rate);
        if self.tokens > 0 && self.lease_ends.is_some_and(|end| now < end) {
            self.tokens -= 1;
            return Verdict::Pass;
        }
        if let Some(until) = self.empty_until
            && now < until
        {
            return Verdict::Wait(until - now);
        }
        if self.alone_until.is_some_and(|until| now < until) {
            return self.spend_own(rate, now);
        }
        Verdict::Lease
    }

    /// The number of tokens to lease: at most an eighth of the rate.
    fn next_batch(&mut self, rate: Rate, now: Instant) -> u32 {
        self.set_rate(rate);
        let most = (rate.burst / 8).max(1);
        let spent_in_time = self.tokens == 0 && self.lease_ends.is_some_and(|end| now < end);
        self.tokens = 0;
        if spent_in_time {
            self.batch.saturating_mul(2).clamp(1, most)
        } else {
            1
        }
    }

    /// Applies the store's response, whose first token the request spends; `None`: the store did not respond.
    fn leased(&mut self, rate: Rate, want: u32, answer: Option<Tokens>, now: Instant) -> Verdict {
        self.set_rate(rate);
        match answer {
            Some(Tokens::Granted(tokens)) => {
                self.batch = want;
                self.tokens = tokens.saturating_sub(1);
                self.lease_ends = Some(now + LEASE);
                self.own_full_at = None;
                Verdict::Pass
            }
            Some(Tokens::Wait(wait)) => {
                self.empty_until = Some(now + wait);
                Verdict::Wait(wait)
            }
            None => {
                self.alone_until = Some(now + ALONE);
                self.spend_own(rate, now)
            }
        }
    }

    fn spend_own(&mut self, rate: Rate, now: Instant) -> Verdict {
        // The bucket counts in durations relative to now.
        let missing = self
            .own_full_at
            .map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let (tokens, missing) = rate.take(missing, Duration::ZERO, 1);
        self.own_full_at = Some(now + missing);
        match tokens {
            Tokens::Granted(_) => Verdict::Pass,
            Tokens::Wait(wait) => Verdict::Wait(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_double_while_spent_in_time_and_reset_after_pause() {
        let (rate, start) = (Rate::per_second(64), Instant::now());
        let mut local = LocalTokens::default();
        let mut batches = Vec::new();
        for _ in 0..40 {
            if local.spend(rate, start) == Verdict::Lease {
                let want = local.next_batch(rate, start);
                batches.push(want);
                let granted = Some(Tokens::Granted(want));
                assert_eq!(local.leased(rate, want, granted, start), Verdict::Pass);
            }
        }
        assert_eq!(batches, [1, 2, 4, 8, 8, 8, 8, 8]);
        let later = start + LEASE;
        assert_eq!(
            local.spend(rate, later),
            Verdict::Lease,
            "remaining tokens are void"
        );
        assert_eq!(local.next_batch(rate, later), 1);
    }

    #[test]
    fn new_rate_voids_earlier_leases() {
        let now = Instant::now();
        let (fast, slow) = (Rate::per_second(1_000), Rate::per_second(1));
        let mut local = LocalTokens::default();
        let granted = Some(Tokens::Granted(100));
        assert_eq!(local.leased(fast, 100, granted, now), Verdict::Pass);
        assert_eq!(local.spend(fast, now), Verdict::Pass);
        assert_eq!(local.spend(slow, now), Verdict::Lease);
        assert_eq!(local.next_batch(slow, now), 1);
        let wait = Some(Tokens::Wait(Duration::from_secs(1)));
        local.leased(slow, 1, wait, now);
        assert_eq!(local.spend(fast, now), Verdict::Lease, "the wait, too");
        // A lease that was requested before the change does not count after it.
        local.leased(fast, 100, granted, now);
        assert_eq!(local.spend(slow, now), Verdict::Lease);
    }

    #[test]
    fn empty_bucket_gets_no_request_before_next_token() {
        let (rate, now) = (Rate::per_second(2), Instant::now());
        let mut local = LocalTokens::default();
        let wait = Duration::from_millis(300);
        let verdict = local.leased(rate, 1, Some(Tokens::Wait(wait)), now);
        assert_eq!(verdict, Verdict::Wait(wait));
        let soon = now + Duration::from_millis(100);
        assert_eq!(
            local.spend(rate, soon),
            Verdict::Wait(Duration::from_millis(200))
        );
        assert_eq!(local.spend(rate, now + wait), Verdict::Lease);
    }

    #[test]
    fn replica_limits_alone_without_store() {
        let (rate, now) = (Rate::per_second(2), Instant::now());
        let mut local = LocalTokens::default();
        assert_eq!(local.leased(rate, 1, None, now), Verdict::Pass);
        assert_eq!(local.spend(rate, now), Verdict::Pass);
        let half = Duration::from_millis(500);
        assert_eq!(local.spend(rate, now), Verdict::Wait(half));
        assert_eq!(local.spend(rate, now + half), Verdict::Pass);
        assert_eq!(local.spend(rate, now + ALONE), Verdict::Lease);
        // The store is still down: tokens spent meanwhile count.
        assert_eq!(local.leased(rate, 1, None, now + ALONE), Verdict::Pass);
        assert_eq!(local.spend(rate, now + ALONE), Verdict::Wait(half));
    }
}
