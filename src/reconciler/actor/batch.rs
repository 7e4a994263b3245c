//! One batch of an actor: its items, and the result of applying them.

use std::collections::{BTreeSet, HashMap};

use crate::reconciler::feed::NodeInput;
use crate::reconciler::messages::ActorMessage;
use crate::reconciler::reply::IntentError;
use crate::store::EntityId;
use roomkeeper_core::entity::Target;
use roomkeeper_core::intent::{Accepted, Decision};
use roomkeeper_core::node_state::Outcome;
use roomkeeper_core::room::FileId;
use roomkeeper_core::room::plan::Suspect;

/// One item of a batch.
pub(super) enum Item {
    SwitchEvent(NodeInput),
    Message(ActorMessage),
    Due(EntityId),
    NodeLost,
    RecoveryOver,
}

/// The result of applying a batch. Indexes are those of the items.
#[derive(Default)]
pub(super) struct BatchResult {
    pub(super) out: Outcome,
    /// The verdict on each submitted intent, and on each answer of FreeSWITCH to one.
    pub(super) verdicts: HashMap<usize, Verdict>,
    /// The decision on each check.
    pub(super) decisions: HashMap<usize, Result<Decision, IntentError>>,
    pub(super) suspects: HashMap<usize, BTreeSet<Suspect>>,
    pub(super) silent: HashMap<usize, BTreeSet<(Target, FileId)>>,
    /// The number of notices after each item.
    pub(super) notices_after: Vec<usize>,
}

/// The verdict on a submitted intent.
pub(super) struct Verdict {
    pub(super) answer: Result<Accepted, IntentError>,
    /// Nothing changed: the intent was refused, or held already. So no commit confirms the state that decided it.
    pub(super) unchanged: bool,
    /// The index of its first switch command.
    pub(super) command: Option<usize>,
}
