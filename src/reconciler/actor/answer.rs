//! After the commit of a batch: commands for the node, answers to callers, metrics.

use std::collections::{BTreeSet, HashMap};

use crate::clock;
use crate::node::CommandError;
use crate::reconciler::feed::NodeInput;
use crate::reconciler::messages::{ActorMessage, Merged, OpenQuestions, Waiting};
use crate::reconciler::reply::{IntentError, Reply};
use crate::store::EntityId;
use crate::telemetry as names;
use crate::telemetry::millis;
use roomkeeper_core::ids::{ChannelId, IdSet};
use roomkeeper_core::intent::{Accepted, Decision, Intent};
use roomkeeper_core::switch_command::{Priority, SwitchCommand};
use roomkeeper_core::switch_event::ListedChannel;
use roomkeeper_core::time::Timestamp;

use super::batch::{BatchResult, Item, Verdict};
use super::{Actor, meters};

/// The answers of a batch.
#[derive(Default)]
struct Answers {
    ready: Vec<(Reply<Accepted>, Result<Accepted, IntentError>)>,
    /// The callers who wait for FreeSWITCH, by the index of their command.
    waiting: HashMap<usize, Waiting>,
    /// Intents and checks to decide once more.
    recheck: Vec<Item>,
}

impl Answers {
    /// Sorts the answer to a submitted intent.
    fn sort_submit(
        &mut self,
        intent: Intent,
        reply: Reply<Accepted>,
        verdict: Option<Verdict>,
        may_recheck: bool,
    ) {
        match verdict {
            Some(verdict) if verdict.unchanged && may_recheck => {
                self.recheck
                    .push(Item::Message(ActorMessage::Submit { intent, reply }));
            }
            Some(Verdict {
                answer: Ok(accepted),
                command: Some(command),
                ..
            }) if accepted.waits_for_switch() => {
                self.waiting.insert(command, (accepted, reply));
            }
            Some(verdict) => self.ready.push((reply, verdict.answer)),
            None => self.ready.push((reply, Err(IntentError::Busy))),
        }
    }
}

impl Actor {
    /// Carries out the effects of a committed batch. Returns the intents and checks that must be decided once more.
    pub(super) fn finish_batch(
        &mut self,
        items: Vec<Item>,
        mut applied: BatchResult,
        touched: &BTreeSet<EntityId>,
        now: Timestamp,
        may_recheck: bool,
    ) -> Vec<Item> {
        self.drop_ended(touched, now);
        self.report_batch(&items, &mut applied, now);
        // Callers are answered when all commands are on their way.
        let mut answers = Answers::default();
        self.sort_answers(items, &mut applied, may_recheck, &mut answers);
        self.send_commands(applied.out.commands, &mut answers);
        for (reply, verdict) in answers.ready {
            reply.send(verdict);
        }
        if self.lease.is_none() {
            self.forget();
        }
        answers.recheck
    }

    fn drop_ended(&mut self, touched: &BTreeSet<EntityId>, now: Timestamp) {
        for entity in touched {
            self.node_state.drop_over(*entity, now);
            let gone = match entity {
                EntityId::Room(id) => self.node_state.room(*id).is_none(),
                EntityId::Call(id) => self.node_state.call(*id).is_none(),
            };
            if gone {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
    }

    /// Counts, measures and publishes a batch.
    fn report_batch(&mut self, items: &[Item], applied: &mut BatchResult, now: Timestamp) {
        if !applied.out.revealed.is_empty() {
            let notices = &applied.out.notifications;
            let revealed = applied
                .out
                .revealed
                .iter()
                .filter_map(|at| notices.get(*at));
            self.drifted(&revealed.collect::<Vec<_>>());
        }
        self.meters.ignored.increment(applied.out.ignored);
        self.meters.foreign.increment(applied.out.foreign);
        self.settle(items, applied);
        self.measure_lag(items);
        self.parts.live.publish(applied.out.live.drain(..), now);
        if let Some(why) = applied.out.resync {
            self.want_resync(why);
        }
    }

    /// Sorts the answers of a batch: to be sent, to wait for FreeSWITCH, to be decided once more.
    fn sort_answers(
        &mut self,
        items: Vec<Item>,
        applied: &mut BatchResult,
        may_recheck: bool,
        answers: &mut Answers,
    ) {
        for (index, item) in items.into_iter().enumerate() {
            match item {
                // The input only wakes the actor, which reads the connection's status itself.
                Item::SwitchEvent(NodeInput::Up) => {}
                // The same; and a pending fence is lost with the connection.
                Item::SwitchEvent(NodeInput::Down) => self.parts.fences.lose_all(),
                Item::SwitchEvent(NodeInput::Fence {
                    token,
                    core,
                    sequence,
                }) => self.parts.fences.pass(token, (core, sequence)),
                Item::SwitchEvent(NodeInput::SwitchEvent(_))
                | Item::Due(_)
                | Item::NodeLost
                | Item::RecoveryOver => {}
                Item::Message(ActorMessage::Submit { intent, reply }) => {
                    let verdict = applied.verdicts.remove(&index);
                    answers.sort_submit(intent, reply, verdict, may_recheck);
                }
                Item::Message(ActorMessage::Check {
                    intent,
                    depth,
                    reply,
                }) => match applied.decisions.remove(&index) {
                    Some(Err(IntentError::Refused(_)) | Ok(Decision::NoChange(_)))
                        if may_recheck =>
                    {
                        answers.recheck.push(Item::Message(ActorMessage::Check {
                            intent,
                            depth,
                            reply,
                        }));
                    }
                    Some(decision) => reply.send(decision),
                    None => reply.send(Err(IntentError::Busy)),
                },
                Item::Message(ActorMessage::Snapshot(part, reply)) => {
                    let merged = Merged {
                        suspects: applied.suspects.remove(&index).unwrap_or_default(),
                        open_questions: part
                            .end
                            .map(|end| self.open_questions(&end.listed))
                            .unwrap_or_default(),
                    };
                    let _gone = reply.send(merged);
                }
                Item::Message(ActorMessage::Answered {
                    caller: Some((accepted, reply)),
                    ..
                }) => {
                    let answer = applied.verdicts.remove(&index);
                    let answered = answer.and_then(|verdict| verdict.answer.ok());
                    answers
                        .ready
                        .push((reply, Ok(answered.unwrap_or(accepted))));
                }
                Item::Message(ActorMessage::Silent { reply, .. }) => {
                    let suspects = applied.silent.remove(&index).unwrap_or_default();
                    let _gone = reply.send(suspects);
                }
                Item::Message(ActorMessage::Resynced(result)) => self.resynced(result),
                Item::Message(
                    ActorMessage::Answered { caller: None, .. }
                    | ActorMessage::Failed { .. }
                    | ActorMessage::Dumps(_)
                    | ActorMessage::Checkpoints(_)
                    | ActorMessage::RecordedMembers(..)
                    | ActorMessage::EndedCalls { .. },
                ) => {}
            }
        }
    }

    /// Hands the commands of a batch over for the node.
    fn send_commands(&mut self, commands: Vec<SwitchCommand>, answers: &mut Answers) {
        let commands = commands.into_iter().enumerate();
        let commands = commands.map(|(index, mut command)| {
            let caller = answers.waiting.remove(&index);
            if caller.is_some() {
                command.priority = Priority::Prompt;
            }
            (command, caller)
        });
        let refused = self.parts.dispatch.give(commands);
        if !refused.is_empty() {
            let count = refused.len() as u64;
            tracing::error!(node.id = %self.id(), count, "switch commands were dropped: too many wait for the node");
            metrics::counter!(names::NODE_BUSY, "node" => self.label(), "queue" => "orders")
                .increment(count);
        }
        for (command, caller) in refused {
            if let Some((_, reply)) = caller {
                answers.ready.push((reply, Err(CommandError::Busy.into())));
            }
            let error = CommandError::Busy;
            self.own.push(ActorMessage::Failed { command, error });
        }
    }

    /// The questions that the lists of a merged snapshot leave open.
    fn open_questions(&mut self, listed: &[ListedChannel]) -> OpenQuestions {
        let known: IdSet<ChannelId> = listed.iter().map(|listed| listed.channel).collect();
        let missing = self.node_state.missing_from(&known);
        self.node_state.drop_unlisted_identities(&known);
        OpenQuestions {
            wanted: self.node_state.channels_to_dump(listed),
            missing,
            playing: self.node_state.playing_targets(),
            acting: self.node_state.acting_calls(),
            recorded: self.node_state.recorded_members(),
        }
    }

    /// Starts to measure the intents of a batch, and ends the measurement of those that its events settle.
    fn settle(&mut self, items: &[Item], applied: &BatchResult) {
        let mut from = 0;
        for (index, (item, to)) in items.iter().zip(&applied.notices_after).enumerate() {
            if let Item::Message(ActorMessage::Submit { intent, reply }) = item
                && let Some(verdict) = applied.verdicts.get(&index)
                && verdict.answer.as_ref().is_ok_and(Accepted::acted)
                && !verdict.unchanged
            {
                self.meters.expect(intent, reply);
            }
            for notice in applied.out.notifications.get(from..*to).unwrap_or_default() {
                self.meters.settle(notice, meters::span(item));
            }
            from = *to;
        }
    }

    /// Records the age of each event of the batch at its commit. FreeSWITCH's clock is up to 20 ms early.
    fn measure_lag(&self, items: &[Item]) {
        let now = clock::now();
        let mut most = None;
        for item in items {
            if let Item::SwitchEvent(NodeInput::SwitchEvent(received)) = item {
                let lag = now.since(received.event.at);
                self.meters.lag.record(lag);
                most = most.max(Some(lag));
            }
        }
        if let Some(lag) = most {
            let lag_ms = Some(millis(lag));
            self.parts.actor_status.send_if_modified(|s| {
                let changed = s.lag_ms != lag_ms;
                s.lag_ms = lag_ms;
                changed
            });
        }
    }
}
