//! Cooldowns of groups of commands.
//!
//! Owns the durations and the refunds. The store holds the cooldowns, so that all replicas agree
//! ([`crate::store::limits`]).
//!
//! A command of a group starts the group's cooldown before it acts. The next command of that group on the same room or
//! call gets 429 until it ends. The state is checked first (`gateway::command`): 404, 409 and 200 `already_joined`
//! neither need nor start a cooldown. A command that FreeSWITCH refuses ends its cooldown. A timeout (504) does not,
//! because the command may have been executed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tracing::Instrument;
use uuid::Uuid;

use crate::node::CommandError;
use crate::reconciler::IntentError;
use crate::store::EntityId;
use crate::store::limits::Cooldown;
use crate::telemetry::Chain;

use super::error::ApiError;
use super::state::ApiState;

/// Commands that share a cooldown. Names and windows are those of the gateway API's documentation ("Rate limit" under
/// each endpoint).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its documented name.
    pub name: &'static str,
    /// The duration of the cooldown.
    pub window: Duration,
    /// Its commands, as the paths end.
    pub commands: &'static [&'static str],
    /// The object that has the cooldown: `room` or `call`.
    pub of: &'static str,
}

/// `play`: "conf_play group, 2 s cooldown per room".
pub const CONF_PLAY: Group = Group {
    name: "conf_play",
    window: Duration::from_secs(2),
    commands: &["play", "say"],
    of: "room",
};

/// `pause`, `stop`, `volume`: "conference_control group, 200 ms cooldown per room".
pub const CONFERENCE_CONTROL: Group = Group {
    name: "conference_control",
    window: Duration::from_millis(200),
    commands: &["pause", "stop", "volume"],
    of: "room",
};

/// `conference/join`, `conference/leave`: "conference group, 2 s cooldown per session".
pub const CONFERENCE: Group = Group {
    name: "conference",
    window: Duration::from_secs(2),
    commands: &["conference/join", "conference/leave"],
    of: "call",
};

/// `conference/mute`, `conference/unmute`: "conference_mute group, 2 s cooldown per session".
pub const CONFERENCE_MUTE: Group = Group {
    name: "conference_mute",
    window: Duration::from_secs(2),
    commands: &["conference/mute", "conference/unmute"],
    of: "call",
};

/// All groups.
pub const GROUPS: [Group; 4] = [CONFERENCE, CONFERENCE_MUTE, CONF_PLAY, CONFERENCE_CONTROL];

/// Returns the table of the cooldowns in Markdown.
pub fn cooldown_table_markdown() -> String {
    let mut table = "| commands | cooldown of each | seconds |\n|---|---|---|\n".to_owned();
    for group in GROUPS {
        let commands: Vec<_> = group.commands.iter().map(|c| format!("`{c}`")).collect();
        let (commands, seconds) = (commands.join(", "), group.window.as_secs_f64());
        table.push_str(&format!("| {commands} | {} | {seconds} |\n", group.of));
    }
    table
}

/// A cooldown that a command has started.
pub(crate) struct ActiveCooldown {
    about: EntityId,
    group: &'static Group,
    holder: Uuid,
}

impl ApiState {
    /// Starts the group's cooldown for this room or call; 429 while it runs. Must run in [`run_detached`]: an
    /// interrupted command could not refund it.
    pub(crate) async fn take_cooldown(
        &self,
        group: &'static Group,
        about: EntityId,
    ) -> Result<ActiveCooldown, ApiError> {
        let holder = Uuid::new_v4();
        let taken = self
            .store
            .take_cooldown(about, group.name, holder, group.window)
            .await?;
        match taken {
            Cooldown::Taken => Ok(ActiveCooldown {
                about,
                group,
                holder,
            }),
            Cooldown::Wait { remaining } => Err(ApiError::limited(
                format!("Rate limit exceeded: {} cooldown", group.name),
                remaining,
            )),
        }
    }

    /// Ends a cooldown early.
    pub(crate) async fn refund_cooldown(&self, taken: ActiveCooldown) {
        let ActiveCooldown {
            about,
            group,
            holder,
        } = taken;
        if let Err(error) = self.store.refund_cooldown(about, group.name, holder).await {
            tracing::warn!(error = %Chain(&error), %about, "cannot refund a cooldown; it will expire");
        }
    }
}

/// Returns true for a failure after which the command may have been executed.
pub(crate) fn may_have_acted(error: &IntentError) -> bool {
    matches!(error, IntentError::Command(CommandError::Unknown))
}

/// Runs work to completion, even if the client disconnects, so that the outcome of a started command is recorded.
///
/// The caller's task polls the work. Only if it is dropped early, the work moves to a task of its own; this saves a
/// task and a channel per request.
pub(crate) fn run_detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, ApiError>> + Send + 'static,
) -> impl Future<Output = Result<T, ApiError>> + Send {
    DetachedWork(Some(Box::pin(work.in_current_span())))
}

/// Work that continues in its own task when it is dropped early. `None` after completion or a panic.
struct DetachedWork<T: Send + 'static>(Option<BoxFuture<'static, Result<T, ApiError>>>);

impl<T: Send + 'static> Future for DetachedWork<T> {
    type Output = Result<T, ApiError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(mut work) = self.0.take() else {
            return Poll::Ready(Err(ApiError::internal(
                &"a finished command was polled again",
            )));
        };
        let outcome = work.as_mut().poll(cx);
        if outcome.is_pending() {
            self.0 = Some(work);
        }
        outcome
    }
}

impl<T: Send + 'static> Drop for DetachedWork<T> {
    fn drop(&mut self) {
        // Without a runtime the program is ending.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}
