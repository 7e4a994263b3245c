//! Messages to the actor of a node, and their answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;

use roomkeeper_core::call::{Checkpoint, StepId};
use roomkeeper_core::command_error::CommandError;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::{ChannelId, CoreId, RoomId};
use roomkeeper_core::node_state::RecordedMember;
use roomkeeper_core::room::FileId;
use roomkeeper_core::room::plan::Suspect;
use roomkeeper_core::time::Timestamp;

use super::reply::{IntentError, Reply};
use super::resync_error::ResyncError;
use roomkeeper_core::intent::{Accepted, Decision, Depth, Intent};
use roomkeeper_core::switch_command::SwitchCommand;
use roomkeeper_core::switch_event::{ChannelDump, ListedChannel, ListedConference, Snapshot};

/// A message to the actor.
#[derive(Debug)]
pub(super) enum ActorMessage {
    /// A caller submits an intent.
    Submit {
        intent: Intent,
        reply: Reply<Accepted>,
    },
    /// A caller requests a decision about an intent, without its effect.
    Check {
        intent: Intent,
        depth: Depth,
        reply: Reply<Decision>,
    },
    /// FreeSWITCH did not carry out a command.
    Failed {
        command: SwitchCommand,
        error: CommandError,
    },
    /// FreeSWITCH carried out a command whose answer has content.
    Answered {
        command: SwitchCommand,
        /// The text behind `+OK`.
        text: String,
        /// The caller who waits for it, and the result unless the answer says otherwise.
        caller: Option<Waiting>,
    },
    /// A snapshot of the conferences, or a part of it.
    Snapshot(Part, oneshot::Sender<Merged>),
    /// Dumps of channels.
    Dumps(Vec<ChannelDump>),
    /// Calls that do not exist at FreeSWITCH.
    EndedCalls {
        channels: Vec<ChannelId>,
        core: CoreId,
        fence: u64,
    },
    /// Rooms and members that FreeSWITCH plays nothing to.
    Silent {
        targets: Vec<Target>,
        confirmed: BTreeSet<(Target, FileId)>,
        reply: oneshot::Sender<BTreeSet<(Target, FileId)>>,
    },
    /// Checkpoints of channels.
    Checkpoints(Vec<(ChannelId, StepId, Option<Checkpoint>)>),
    /// The recordings of members, each with true if its channel lists it; requested after this fence.
    RecordedMembers(Vec<(RecordedMember, bool)>, u64),
    /// The running resync has ended.
    Resynced(Result<ResyncSummary, ResyncError>),
}

/// A caller who waits for FreeSWITCH, and the result when all goes well.
pub(super) type Waiting = (Accepted, Reply<Accepted>);

impl ActorMessage {
    /// The intent of a caller.
    pub(super) const fn intent(&self) -> Option<&Intent> {
        match self {
            Self::Submit { intent, .. } | Self::Check { intent, .. } => Some(intent),
            Self::Failed { .. }
            | Self::Answered { .. }
            | Self::Snapshot(..)
            | Self::Dumps(_)
            | Self::EndedCalls { .. }
            | Self::Silent { .. }
            | Self::Checkpoints(_)
            | Self::RecordedMembers(..)
            | Self::Resynced(_) => None,
        }
    }

    /// Answers the caller that nothing was done.
    pub(super) fn refuse(self, error: impl FnOnce() -> IntentError) {
        match self {
            Self::Submit { reply, .. }
            | Self::Answered {
                caller: Some((_, reply)),
                ..
            } => reply.send(Err(error())),
            Self::Check { reply, .. } => reply.send(Err(error())),
            // The others notice the dropped sender.
            Self::Answered { caller: None, .. }
            | Self::Failed { .. }
            | Self::Snapshot(..)
            | Self::Dumps(_)
            | Self::EndedCalls { .. }
            | Self::Silent { .. }
            | Self::Checkpoints(_)
            | Self::RecordedMembers(..)
            | Self::Resynced(_) => {}
        }
    }
}

/// A part of a snapshot.
#[derive(Debug)]
pub(super) struct Part {
    /// The channels, with the first part: identities are learnt before the members of rooms.
    pub(super) listed: Option<Arc<[ListedChannel]>>,
    pub(super) snapshot: Snapshot,
    pub(super) confirmed: Arc<BTreeSet<Suspect>>,
    /// The last part.
    pub(super) end: Option<End>,
}

/// The additional contents of the last part of a snapshot.
#[derive(Debug)]
pub(super) struct End {
    /// The rooms of the earlier parts.
    pub(super) before: BTreeSet<RoomId>,
    /// All conferences.
    pub(super) all: Vec<ListedConference>,
    /// All channels.
    pub(super) listed: Arc<[ListedChannel]>,
}

/// The result of merging a part.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Memberships that the part lacks.
    pub(super) suspects: BTreeSet<Suspect>,
    /// Questions that the lists leave open; only for the last part.
    pub(super) open_questions: OpenQuestions,
}

/// Questions to FreeSWITCH about single channels and rooms.
#[derive(Debug, Default)]
pub(super) struct OpenQuestions {
    /// Channels to dump.
    pub(super) wanted: Vec<ChannelId>,
    /// Known calls that are not listed.
    pub(super) missing: Vec<ChannelId>,
    /// Rooms and members that something should play to.
    pub(super) playing: Vec<Target>,
    /// Calls that should be busy with a step.
    pub(super) acting: Vec<(ChannelId, StepId)>,
    /// Members that should be recorded.
    pub(super) recorded: Vec<RecordedMember>,
}

/// The actor's status, for reports.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ActorStatus {
    /// A snapshot has been merged.
    pub(super) synced: bool,
    /// The time of the last one.
    pub(super) resynced_at: Option<Timestamp>,
    /// The number of differences that snapshots revealed.
    pub(super) drift: u64,
    /// The time of the last difference.
    pub(super) drifted_at: Option<Timestamp>,
    /// Another replica reconciles the node.
    pub(super) owned_elsewhere: bool,
    /// The number of known calls.
    pub(super) calls: u64,
    /// The time from FreeSWITCH's clock to the commit of the last events, in milliseconds.
    pub(super) lag_ms: Option<u64>,
}

/// The result of one resync.
#[derive(Clone, Copy, Debug)]
pub(super) struct ResyncSummary {
    pub(super) rooms: usize,
    pub(super) channels: usize,
    pub(super) second_look: bool,
}
