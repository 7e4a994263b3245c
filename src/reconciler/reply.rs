//! The answer to a caller's intent, and its metrics.
//!
//! Owns the one answer that each intent or check gets, even if its holder is dropped, and the errors in it.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::node::CommandError;
use crate::store::StoreError;
use crate::telemetry as names;
use crate::telemetry::trace;
use roomkeeper_core::ids::NodeId;

use roomkeeper_core::intent::{Accepted, Decision, Intent, Refusal};

/// The reason why an intent has no result.
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// It is refused: nothing has changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The configuration has no such node.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// FreeSWITCH refused it or could not be reached: see [`CommandError`] for what that means for the state.
    #[error("FreeSWITCH did not carry out the command")]
    Command(#[from] CommandError),
    /// The store failed: nothing is known to have changed.
    #[error("the state could not be written")]
    Store(#[from] StoreError),
    /// Too much waits for this node, or the program is stopping.
    #[error("the node's reconciler accepts no more requests right now")]
    Busy,
}

/// Answers a caller. Dropped, it counts as unknown, which is the caller's answer then.
#[derive(Debug)]
pub(super) struct Reply<T> {
    sender: Option<oneshot::Sender<Result<T, IntentError>>>,
    node: String,
    intent: &'static str,
    since: Instant,
    span: Span,
    /// A check that refuses nothing is followed by the intent, and counts as that.
    counts_success: bool,
}

/// The caller's end of a [`Reply`].
pub(super) type Answer<T> = oneshot::Receiver<Result<T, IntentError>>;

impl Reply<Accepted> {
    /// For a submitted intent, as part of the current span.
    pub(super) fn to_submit(intent: &Intent) -> (Self, Answer<Accepted>) {
        let (node, name) = (intent.node(), intent.action.name());
        let span = tracing::info_span!(target: trace::TARGET, "intent", node.id = %node, intent = name, outcome = Empty);
        Self::new(intent, span, true)
    }
}

impl Reply<Decision> {
    /// For a check.
    pub(super) fn to_check(intent: &Intent) -> (Self, Answer<Decision>) {
        Self::new(intent, Span::none(), false)
    }
}

impl<T> Reply<T> {
    fn new(intent: &Intent, span: Span, counts_success: bool) -> (Self, Answer<T>) {
        let (sender, answer) = oneshot::channel();
        let reply = Self {
            sender: Some(sender),
            node: intent.node().to_string(),
            intent: intent.action.name(),
            since: Instant::now(),
            span,
            counts_success,
        };
        (reply, answer)
    }

    /// The span of the intent. It ends with the answer.
    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// The time of the request.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn send(mut self, verdict: Result<T, IntentError>) {
        if verdict.is_err() || self.counts_success {
            self.count(outcome(&verdict));
        }
        if let Some(sender) = self.sender.take() {
            // A caller that hung up has its answer in the state.
            let _gone = sender.send(verdict);
        }
    }

    fn count(&self, outcome: &'static str) {
        let took: Duration = self.since.elapsed();
        self.span.record("outcome", outcome);
        metrics::counter!(
            names::INTENTS,
            "node" => self.node.clone(), "intent" => self.intent, "outcome" => outcome
        )
        .increment(1);
        metrics::histogram!(names::INTENT_SECONDS, "node" => self.node.clone(), "intent" => self.intent)
            .record(took.as_secs_f64());
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        if self.sender.is_some() {
            self.count("timeout");
        }
    }
}

const fn outcome<T>(verdict: &Result<T, IntentError>) -> &'static str {
    match verdict {
        Ok(_) => "accepted",
        Err(IntentError::Refused(_) | IntentError::UnknownNode(_)) => "refused",
        Err(IntentError::Command(error)) => match error {
            CommandError::Down { .. } => "down",
            CommandError::NoSuchChannel | CommandError::Refused(_) => "failed",
            CommandError::Unknown => "timeout",
            CommandError::Busy => "busy",
        },
        Err(IntentError::Store(_)) => "store",
        Err(IntentError::Busy) => "busy",
    }
}
