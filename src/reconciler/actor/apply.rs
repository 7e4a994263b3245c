//! Applies a batch to the node state.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::node::CommandError;
use crate::reconciler::feed::NodeInput;
use crate::reconciler::messages::ActorMessage;
use crate::reconciler::reply::IntentError;
use crate::store::node_status::UnreadableRecord;
use crate::store::{EntityId, StoreError};
use roomkeeper_core::intent::{Action, Decision, Depth, Intent};
use roomkeeper_core::node_state::{Context, NodeState};
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};
use roomkeeper_core::time::Timestamp;

use super::Actor;
use super::batch::{BatchResult, Item, Verdict};

impl Actor {
    pub(super) fn apply(&mut self, items: &[Item], now: Timestamp) -> BatchResult {
        let started = Instant::now();
        let mut applied = BatchResult::default();
        let down_for = self.parts.node.down_for();
        self.node_state.set_reachable(down_for.is_none());
        let mut cx = Context::new(now, &mut self.ids);
        for (index, item) in items.iter().enumerate() {
            match item {
                Item::SwitchEvent(NodeInput::Up | NodeInput::Down) => {}
                Item::SwitchEvent(NodeInput::SwitchEvent(received)) => {
                    self.node_state.apply_event(received.event.clone(), &mut cx);
                }
                Item::SwitchEvent(NodeInput::Fence { core, .. }) => {
                    self.node_state.core_changed(Some(*core), &mut cx);
                }
                Item::NodeLost => self.node_state.core_changed(None, &mut cx),
                Item::RecoveryOver => self.node_state.end_recovery(&mut cx),
                Item::Due(entity) => self.node_state.deadline(*entity, &mut cx),
                Item::Message(work) => {
                    apply_work(
                        &mut self.node_state,
                        &self.unreadable,
                        down_for,
                        work,
                        index,
                        &mut applied,
                        &mut cx,
                    );
                }
            }
            applied.notices_after.push(cx.out.notifications.len());
        }
        applied.out = cx.out;
        self.meters.apply.record(started.elapsed());
        applied
    }
}

/// Applies one message.
fn apply_work(
    node_state: &mut NodeState,
    unreadable: &Unreadable,
    down_for: Option<Duration>,
    work: &ActorMessage,
    index: usize,
    applied: &mut BatchResult,
    cx: &mut Context<'_>,
) {
    match work {
        ActorMessage::Submit { intent, .. } => {
            let node = (&mut *node_state, unreadable, down_for);
            let verdict = decide(intent, node, cx);
            applied.verdicts.insert(index, verdict);
        }
        ActorMessage::Check { intent, depth, .. } => {
            let node = (&*node_state, unreadable, down_for);
            let decision = check(intent, *depth, node);
            applied.decisions.insert(index, decision);
        }
        ActorMessage::Failed { command, error } => {
            node_state.revert_command(command, error, cx);
        }
        ActorMessage::Answered { command, text, .. } => {
            if let Some(accepted) = node_state.apply_answer(command, text, cx) {
                let verdict = Verdict {
                    answer: Ok(accepted),
                    unchanged: false,
                    command: None,
                };
                applied.verdicts.insert(index, verdict);
            }
        }
        ActorMessage::Silent {
            targets, confirmed, ..
        } => {
            let suspects = node_state.apply_silence_report(targets, confirmed, cx);
            applied.silent.insert(index, suspects);
        }
        ActorMessage::Snapshot(part, _) => {
            if let Some(listed) = &part.listed {
                node_state.find_listed(listed, cx);
                node_state.add_identities(listed);
            }
            let suspects = node_state.merge_snapshot_part(
                &part.snapshot,
                &part.confirmed,
                part.end.as_ref().map(|end| &end.before),
                cx,
            );
            if let Some(end) = &part.end {
                node_state.conferences_listed(&end.all, cx.now);
            }
            applied.suspects.insert(index, suspects);
        }
        ActorMessage::Dumps(dumps) => {
            for dump in dumps {
                node_state.apply_dump(dump.clone(), cx);
            }
        }
        ActorMessage::EndedCalls {
            channels,
            core,
            fence,
        } => {
            if node_state.core() == Some(*core) {
                for channel in channels {
                    node_state.end_vanished_call(*channel, *fence, cx);
                }
            }
        }
        ActorMessage::Checkpoints(checkpoints) => {
            node_state.apply_checkpoints(checkpoints.clone(), cx)
        }
        ActorMessage::RecordedMembers(listed, fence) => {
            node_state.apply_recorded_members(listed, *fence, cx);
        }
        ActorMessage::Resynced(_) => {}
    }
}

/// The records of a node that cannot be read.
type Unreadable = BTreeMap<EntityId, UnreadableRecord>;

/// Checks an intent. On a node that is down, only a room can be created: any other intent that is not refused
/// gets an error, and has no effect.
fn check(
    intent: &Intent,
    depth: Depth,
    (node_state, unreadable, down_for): (&NodeState, &Unreadable, Option<Duration>),
) -> Result<Decision, IntentError> {
    if let Some(UnreadableRecord { key, why }) = intent
        .entities()
        .find_map(|entity| unreadable.get(&entity).cloned())
    {
        return Err(StoreError::Corrupt { key, why }.into());
    }
    let decision = node_state.check(intent, depth)?;
    let creates = matches!(intent.action, Action::CreateRoom(_));
    match (depth, down_for) {
        (Depth::State, Some(retry_after)) if !creates => {
            Err(CommandError::Down { retry_after }.into())
        }
        (Depth::State | Depth::Ownership, _) => Ok(decision),
    }
}

/// Checks an intent and, if it is permitted, applies it.
fn decide(
    intent: &Intent,
    (node_state, unreadable, down_for): (&mut NodeState, &Unreadable, Option<Duration>),
    cx: &mut Context<'_>,
) -> Verdict {
    let command = cx.out.commands.len();
    let (answer, unchanged) = match check(intent, Depth::State, (node_state, unreadable, down_for))
    {
        Err(error) => {
            let is_refused = matches!(error, IntentError::Refused(_));
            (Err(error), is_refused)
        }
        Ok(Decision::NoChange(accepted)) => (Ok(accepted), true),
        Ok(Decision::Act) => {
            let accepted = node_state.apply(intent.clone(), cx);
            (accepted.map_err(IntentError::from), false)
        }
    };
    Verdict {
        answer,
        unchanged,
        // Nobody waits until a file is open: FreeSWITCH may have to fetch it first, and a webhook reports a failure.
        command: (cx.out.commands.get(command))
            .is_some_and(|sent| !opens_file(sent))
            .then_some(command),
    }
}

fn opens_file(command: &SwitchCommand) -> bool {
    matches!(&command.action, SwitchAction::Play(play) if play.opens_file())
}
