//! How fast callers may ask: the app's limit over all requests, and the cooldowns of groups of commands.
//!
//! Owns the windows, the rates and what does not count. Leaves out where cooldowns and tokens are held, which is the
//! store, so that all replicas agree ([`crate::store::gate`]).
//!
//! # Cooldowns
//!
//! A command of a group takes the group's cooldown before it acts, and the next of that group on the same room or call is
//! 429 until it is over. State comes before it (409, 404 and 200 `already_joined` are answered whether or not it runs),
//! and only the node's actor knows the state for sure. So the cooldown is taken, the actor is asked, and what it refuses
//! or did not have to do gives the cooldown back; only when the cooldown is another's already does the API look up in the
//! store whether the state would have answered first. Also what FreeSWITCH refuses is given back. What it did not answer
//! in time (504) is not: the command may have been carried out.
//!
//! Existence and ownership come before that. Where the node's reconciler vouches for them, they are looked up only when the
//! cooldown is another's: nobody is told of a cooldown of what is not its own.
//!
//! # The app's limit
//!
//! A bucket of tokens in the store, one second's worth, fills at the app's rate on the store's clock. The rate is the
//! app's own, where it has one, else that of all apps; the registry says so with each request, so that another rate counts
//! as soon as the registry knows it. A request costs a token. A replica takes tokens in batches, ahead, and spends them without asking anyone: the first batch is one token,
//! each that is spent within [`LEASE`] is followed by one twice as large, up to an eighth of the rate; what is left after
//! that time is void. So a quiet app costs no tokens that it does not use however many replicas there are, and a busy one
//! some ten questions a second, not one a request. When the bucket is empty, the store says when the next token comes,
//! and until then this replica turns requests away by itself.
//!
//! When the store does not answer, each replica limits alone for [`ALONE`] before it asks again, with a bucket of the same
//! rate of its own: so many replicas let through so many times the rate at most, and a request does not wait for the
//! store's timeout each time.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::config::LimitsConfig;
use crate::ids::AppId;
use crate::node::CommandError;
use crate::reconciler::{Accepted, Intent, IntentError};
use crate::store::gate::{Cooldown, Rate, Tokens};
use crate::store::{EntityId, Store};
use crate::telemetry::{Chain, STORE_ERRORS};

use super::ApiState;
use super::access::LookUp;
use super::error::ApiError;
use super::observe;

/// Commands that share a cooldown. Names and windows are those of the gateway API's documentation ("Rate limit" under
/// each endpoint).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name there.
    pub name: &'static str,
    /// How long the cooldown lasts.
    pub window: Duration,
}

/// `play`: "conf_play group, 2 s cooldown per room".
pub const CONF_PLAY: Group = Group {
    name: "conf_play",
    window: Duration::from_secs(2),
};

/// `pause`, `stop`, `volume`: "conference_control group, 200 ms cooldown per room".
pub const CONFERENCE_CONTROL: Group = Group {
    name: "conference_control",
    window: Duration::from_millis(200),
};

/// `conference/join`, `conference/leave`: "conference group, 2 s cooldown per session".
pub const CONFERENCE: Group = Group {
    name: "conference",
    window: Duration::from_secs(2),
};

/// `conference/mute`, `conference/unmute`: "conference_mute group, 2 s cooldown per session".
pub const CONFERENCE_MUTE: Group = Group {
    name: "conference_mute",
    window: Duration::from_secs(2),
};

/// How long leased tokens may be spent.
pub const LEASE: Duration = Duration::from_secs(1);

/// How long a replica limits alone before it asks a store again that did not answer.
pub const ALONE: Duration = Duration::from_secs(1);

/// What the limits can be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitSettings {
    /// Requests a second that an app may make that has no limit of its own; 0: as many as it likes.
    pub app_rate: u32,
    /// Whether there are cooldowns.
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

impl ApiState {
    /// The one domain call, at the cost of the group's cooldown for this room or call. To be run to its end
    /// ([`to_the_end`]): cut off, it cannot give back what it took.
    pub(crate) async fn submit_cooled(
        &self,
        group: &Group,
        about: EntityId,
        mut look_up: LookUp,
        intent: Intent,
    ) -> Result<Accepted, ApiError> {
        if !self.settings.limits.cooldowns {
            let outcome = self.submit_looked_up(&mut look_up, intent).await?;
            return outcome.map_err(|error| self.failed(error));
        }
        look_up.done_or_vouched(self, &intent).await?;
        let holder = Uuid::new_v4();
        let taken = self
            .store
            .take_cooldown(about, group.name, holder, group.window)
            .await?;
        if let Cooldown::Wait { remaining } = taken {
            look_up.finish().await?;
            return match self.answered_by_state(&intent).await? {
                Some(accepted) => Ok(accepted),
                None => Err(ApiError::limited(
                    format!("Rate limit exceeded: {} cooldown", group.name),
                    remaining,
                )),
            };
        }
        let outcome = self.submit_looked_up(&mut look_up, intent).await;
        if !outcome.as_ref().is_ok_and(costs)
            && let Err(error) = self.store.refund_cooldown(about, group.name, holder).await
        {
            tracing::warn!(error = %Chain(&error), %about, "a cooldown could not be given back and runs its time");
        }
        outcome?.map_err(|error| self.failed(error))
    }
}

/// Whether what came of an intent costs its cooldown: it was, or may have been, carried out.
fn costs(outcome: &Result<Accepted, IntentError>) -> bool {
    match outcome {
        Ok(Accepted::AlreadyJoined { .. } | Accepted::Locked { .. }) => false,
        Ok(
            Accepted::Created
            | Accepted::Updated
            | Accepted::Recording { .. }
            | Accepted::RecordingStops { .. }
            | Accepted::Deleted
            | Accepted::Joining { .. }
            | Accepted::Leaving { .. }
            | Accepted::Locking
            | Accepted::Muted { .. }
            | Accepted::Unmuted { .. }
            | Accepted::InProgress { .. }
            | Accepted::Playing { .. }
            | Accepted::Toggled { .. }
            | Accepted::Stopped { .. }
            | Accepted::VolumeSet { .. },
        ) => true,
        Err(error) => may_have_acted(error),
    }
}

/// Whether a command that failed so may have been carried out all the same.
fn may_have_acted(error: &IntentError) -> bool {
    matches!(error, IntentError::Command(CommandError::Unknown))
}

/// Does this to its end, also when the caller who waits for it goes away: a command that is under way is counted and
/// remembered as what came of it.
///
/// It is done by whoever waits for it. A task of its own, which each answer has to be handed over to, is made only when
/// the caller goes away.
pub(crate) fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> + Send {
    ToTheEnd(Some(Box::pin(work.in_current_span())))
}

/// Work that goes on by itself when it is dropped before its end. `None`: it is at its end, or has panicked.
struct ToTheEnd<T: Send + 'static>(Option<BoxFuture<'static, Result<T, ApiError>>>);

impl<T: Send + 'static> Future for ToTheEnd<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut work) = self.0.take() else {
            return Poll::Ready(Err(ApiError::internal(&"a command was asked for twice")));
        };
        let outcome = work.as_mut().poll(cx);
        if outcome.is_pending() {
            self.0 = Some(work);
        }
        outcome
    }
}

impl<T: Send + 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        // Without a runtime the program has ended.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

/// Counts every app's requests.
pub struct AppLimiter {
    store: Arc<dyn Store>,
    /// Requests a second that an app may make that has no limit of its own; 0: as many as it likes.
    app_rate: u32,
    /// One an app that has asked: only apps whose key was good get here.
    apps: Mutex<HashMap<AppId, Arc<Desk>>>,
}

impl fmt::Debug for AppLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppLimiter")
            .field("app_rate", &self.app_rate)
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Desk {
    local: Mutex<Local>,
    /// Held by the one request that leases for all.
    leasing: tokio::sync::Mutex<()>,
}

impl AppLimiter {
    /// One whose tokens are in this store.
    pub fn new(store: Arc<dyn Store>, settings: &LimitSettings) -> Self {
        Self {
            store,
            app_rate: settings.app_rate,
            apps: Mutex::default(),
        }
    }

    /// Lets a request pass, or tells it to wait. `own` is how many a second this app may make, where that is not what
    /// every app may.
    pub(crate) async fn admit(&self, app: &AppId, own: Option<u32>) -> Result<(), ApiError> {
        let rate = match own.unwrap_or(self.app_rate) {
            0 => return Ok(()),
            rate => Rate::per_second(rate),
        };
        let desk = self.desk(app);
        let mut verdict = desk.local().spend(rate, Instant::now());
        if verdict == Verdict::Lease {
            let _only_one = desk.leasing.lock().await;
            // Whoever leased before this one did it for both.
            verdict = desk.local().spend(rate, Instant::now());
            if verdict == Verdict::Lease {
                let want = desk.local().next_batch(rate, Instant::now());
                let leased = self.store.take_tokens(app, rate, want).await;
                if let Err(error) = &leased {
                    metrics::counter!(STORE_ERRORS, "caller" => "api").increment(1);
                    let _named = observe::named();
                    tracing::warn!(app.id = %app, error = %Chain(error), "an app's requests are counted here alone: the store does not answer");
                }
                verdict = desk.local().leased(rate, want, leased.ok(), Instant::now());
            }
        }
        match verdict {
            Verdict::Pass => Ok(()),
            Verdict::Wait(wait) => Err(ApiError::limited(
                "Rate limit exceeded: too many requests of this application",
                wait,
            )),
            Verdict::Lease => Err(ApiError::internal(&"a lease that led to nothing")),
        }
    }

    fn desk(&self, app: &AppId) -> Arc<Desk> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(desk) = apps.get(app) {
            return Arc::clone(desk);
        }
        let desk = Arc::<Desk>::default();
        apps.insert(app.clone(), Arc::clone(&desk));
        desk
    }
}

impl Desk {
    fn local(&self) -> MutexGuard<'_, Local> {
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

/// What one replica knows of one app's tokens. No I/O; the time is handed in.
#[derive(Default)]
struct Local {
    /// The rate that all of it is about.
    rate: Option<Rate>,
    /// Leased and not spent.
    tokens: u32,
    /// How many the last lease was of.
    batch: u32,
    /// The end of the last lease.
    lease_ends: Option<Instant>,
    /// When the next token comes, as the store said.
    empty_until: Option<Instant>,
    /// Until when the store is not asked, because it did not answer.
    alone_until: Option<Instant>,
    /// When the bucket of this replica alone is full.
    own_full_at: Option<Instant>,
}

impl Local {
    /// What was leased, and for how long there is nothing, means nothing at another rate. That the store does not answer
    /// has nothing to do with it.
    fn follow(&mut self, rate: Rate) {
        if self.rate != Some(rate) {
            *self = Self {
                rate: Some(rate),
                alone_until: self.alone_until,
                ..Self::default()
            };
        }
    }

    fn spend(&mut self, rate: Rate, now: Instant) -> Verdict {
        self.follow(rate);
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

    /// How many tokens to ask for: an eighth of a second's worth at most.
    fn next_batch(&mut self, rate: Rate, now: Instant) -> u32 {
        self.follow(rate);
        let most = (rate.burst / 8).max(1);
        let spent_in_time = self.tokens == 0 && self.lease_ends.is_some_and(|end| now < end);
        self.tokens = 0;
        if spent_in_time {
            self.batch.saturating_mul(2).clamp(1, most)
        } else {
            1
        }
    }

    /// Takes in what the store answered to the request that asked, which spends the first token; `None`: nothing.
    fn leased(&mut self, rate: Rate, want: u32, answer: Option<Tokens>, now: Instant) -> Verdict {
        self.follow(rate);
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
        // Counted from now, so that the bucket of durations can be asked.
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
    fn batches_grow_while_they_are_spent_in_time_and_begin_anew_after_a_pause() {
        let (rate, begun) = (Rate::per_second(64), Instant::now());
        let mut local = Local::default();
        let mut batches = Vec::new();
        for _ in 0..40 {
            if local.spend(rate, begun) == Verdict::Lease {
                let want = local.next_batch(rate, begun);
                batches.push(want);
                let granted = Some(Tokens::Granted(want));
                assert_eq!(local.leased(rate, want, granted, begun), Verdict::Pass);
            }
        }
        assert_eq!(batches, [1, 2, 4, 8, 8, 8, 8, 8]);
        let later = begun + LEASE;
        assert_eq!(
            local.spend(rate, later),
            Verdict::Lease,
            "what is left is void"
        );
        assert_eq!(local.next_batch(rate, later), 1);
    }

    #[test]
    fn another_rate_voids_what_was_leased_at_the_one_before() {
        let now = Instant::now();
        let (fast, slow) = (Rate::per_second(1_000), Rate::per_second(1));
        let mut local = Local::default();
        let granted = Some(Tokens::Granted(100));
        assert_eq!(local.leased(fast, 100, granted, now), Verdict::Pass);
        assert_eq!(local.spend(fast, now), Verdict::Pass);
        assert_eq!(local.spend(slow, now), Verdict::Lease);
        assert_eq!(local.next_batch(slow, now), 1);
        let wait = Some(Tokens::Wait(Duration::from_secs(1)));
        local.leased(slow, 1, wait, now);
        assert_eq!(local.spend(fast, now), Verdict::Lease, "the wait, too");
        // A lease that was asked for before the change does not count after it.
        local.leased(fast, 100, granted, now);
        assert_eq!(local.spend(slow, now), Verdict::Lease);
    }

    #[test]
    fn an_empty_bucket_is_not_asked_again_before_the_next_token() {
        let (rate, now) = (Rate::per_second(2), Instant::now());
        let mut local = Local::default();
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
    fn alone_it_still_limits() {
        let (rate, now) = (Rate::per_second(2), Instant::now());
        let mut local = Local::default();
        assert_eq!(local.leased(rate, 1, None, now), Verdict::Pass);
        assert_eq!(local.spend(rate, now), Verdict::Pass);
        let half = Duration::from_millis(500);
        assert_eq!(local.spend(rate, now), Verdict::Wait(half));
        assert_eq!(local.spend(rate, now + half), Verdict::Pass);
        assert_eq!(local.spend(rate, now + ALONE), Verdict::Lease);
        // Still down: what was spent meanwhile counts.
        assert_eq!(local.leased(rate, 1, None, now + ALONE), Verdict::Pass);
        assert_eq!(local.spend(rate, now + ALONE), Verdict::Wait(half));
    }
}
