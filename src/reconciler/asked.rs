//! A caller who waits for what becomes of its intent: how it is answered, and what is counted of that.
//!
//! Owns the one answer that each intent gets, also when whoever had it is gone. Leaves out what the answer says.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;
use tracing::field::Empty;

use crate::node::CommandError;
use crate::telemetry as names;
use crate::telemetry::trace;

use super::intent::{Accepted, Intent, IntentError};

type Verdict = Result<Accepted, IntentError>;

/// Tells a caller what came of its intent. Dropped, it counts as unknown, which is what the caller is told then.
#[derive(Debug)]
pub(super) struct Reply {
    sender: Option<oneshot::Sender<Option<Verdict>>>,
    node: String,
    intent: &'static str,
    since: Instant,
    span: Span,
}

impl Reply {
    /// For an intent that is taken up now, as part of what the current span is about. What is received is `None` when it
    /// was given back ([`Self::give_back`]).
    pub(super) fn new(intent: &Intent) -> (Self, oneshot::Receiver<Option<Verdict>>) {
        let (sender, answer) = oneshot::channel();
        let (node, intent) = (intent.node().to_string(), intent.kind());
        let span = tracing::info_span!(target: trace::TARGET, "intent", node.id = node, intent, outcome = Empty);
        let reply = Self {
            sender: Some(sender),
            node,
            intent,
            since: Instant::now(),
            span,
        };
        (reply, answer)
    }

    /// The span of the intent. It ends with the answer.
    pub(super) const fn span(&self) -> &Span {
        &self.span
    }

    /// When it was asked.
    pub(super) const fn since(&self) -> Instant {
        self.since
    }

    pub(super) fn send(mut self, verdict: Verdict) {
        self.count(outcome(&verdict));
        if let Some(sender) = self.sender.take() {
            // A caller that hung up has its answer in the state.
            let _gone = sender.send(Some(verdict));
        }
    }

    /// Nothing came of it and nothing is counted: it is to be looked up, and asked again then.
    pub(super) fn give_back(mut self) {
        if let Some(sender) = self.sender.take() {
            // A caller that hung up does not ask again.
            let _gone = sender.send(None);
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

impl Drop for Reply {
    fn drop(&mut self) {
        if self.sender.is_some() {
            self.count("timeout");
        }
    }
}

const fn outcome(verdict: &Verdict) -> &'static str {
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
