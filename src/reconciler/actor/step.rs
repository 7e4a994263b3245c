//! One batch: apply, commit, carry out; and its failure when it cannot be committed.

use std::collections::BTreeSet;

use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::clock;
use crate::reconciler::feed::NodeInput;
use crate::reconciler::messages::ActorMessage;
use crate::reconciler::reply::IntentError;
use crate::store::call::encode_call_state;
use crate::store::room::encode_room;
use crate::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Listing, Message, StoreError, Version,
    ViewWrite,
};
use crate::telemetry as names;
use crate::telemetry::trace::{self, SpanRef};
use crate::webhook::payload;
use roomkeeper_core::node_state::{IdSource, Notification, Subject};
use roomkeeper_core::room::RoomStatus;
use roomkeeper_core::time::Timestamp;

use super::batch::{BatchResult, Item};
use super::load::about;
use super::{Actor, CONFLICT_TRIES, views};

/// The writes of a batch: rooms and calls, views of memberships and recordings, and the next deadline of each entity.
type Writes = (
    Vec<EntityWrite>,
    Vec<ViewWrite>,
    Vec<(EntityId, Option<Timestamp>)>,
);

impl Actor {
    /// Keeps the items that a replica without the lease handles. The others are the owner's, and are counted as dropped.
    fn drop_switch_events(&self, items: Vec<Item>) -> Vec<Item> {
        self.meters.dropped(&items, "not_owned");
        items
            .into_iter()
            .filter(|item| match item {
                Item::Message(_) => true,
                Item::SwitchEvent(_) | Item::Due(_) | Item::NodeLost | Item::RecoveryOver => false,
            })
            .collect()
    }

    pub(super) async fn step(&mut self, items: Vec<Item>) {
        let now = Instant::now();
        self.meters.batch.record(items.len() as f64);
        items
            .iter()
            .for_each(|item| self.meters.record_wait(item, now));
        let refused = self.step_once(items, true).await;
        if refused.is_empty() {
            return;
        }
        // Another replica may have written since, so the store is read before a refusal counts.
        let named = refused.iter().filter_map(|item| match item {
            Item::Message(work) => Some(about(work)),
            Item::SwitchEvent(_) | Item::Due(_) | Item::NodeLost | Item::RecoveryOver => None,
        });
        let named: BTreeSet<EntityId> = named.flatten().collect();
        if let Err(error) = self.refresh(&named).await {
            return self.fail(refused, error);
        }
        self.step_once(refused, false).await;
        self.forget_all_over(&named);
    }

    /// Applies and commits a batch. Returns the intents and checks that must be decided once more after their
    /// entities are read again.
    async fn step_once(&mut self, items: Vec<Item>, may_recheck: bool) -> Vec<Item> {
        let owner = self.lease.is_some();
        if owner && self.stale {
            self.drop_batch(items);
            return Vec::new();
        }
        let items = if owner {
            items
        } else {
            self.drop_switch_events(items)
        };
        if items.is_empty() {
            return Vec::new();
        }
        let mut read = BTreeSet::new();
        if owner {
            match self.load_missing(&items).await {
                Ok(unknown) => read = unknown,
                Err(error) => return self.give_up(items, error),
            }
        }
        let may_recheck = may_recheck && owner;
        let run = self.node_state.run();
        for _ in 0..CONFLICT_TRIES {
            if !owner && let Err(error) = self.load_for(&items).await {
                return self.give_up(items, error);
            }
            let now = clock::now();
            let applied = self.apply(&items, now);
            let touched = self.node_state.take_touched();
            let outcome = self.write_batch(&items, &applied, &touched, now).await;
            match outcome {
                Ok(CommitOutcome::Applied) => {
                    let refused = self.finish_batch(items, applied, &touched, now, may_recheck);
                    self.forget_all_over(&read);
                    return refused;
                }
                Ok(CommitOutcome::Conflict(entity)) => {
                    read.extend(&touched);
                    metrics::counter!(names::COMMIT_CONFLICTS, "node" => self.label()).increment(1);
                    tracing::debug!(node.id = %self.id(), %entity, "another replica has written the entity; applying the batch again");
                    if let Err(error) = self.reload(&touched).await {
                        return self.give_up(items, error);
                    }
                    // The batch can name FreeSWITCH's core: the next attempt must set it again.
                    self.node_state.restore_run(run);
                }
                Ok(CommitOutcome::LeaseLost) => {
                    self.lease_refused();
                    for item in items {
                        self.skip(item);
                    }
                    return Vec::new();
                }
                Err(error) => return self.give_up(items, error),
            }
        }
        let error = StoreError::Unavailable("too many writers at once".into());
        self.give_up(items, error)
    }

    /// Drops a batch that arrives while the node state must be read again.
    fn drop_batch(&mut self, items: Vec<Item>) {
        self.meters.dropped(&items, "store");
        for item in items {
            self.skip(item);
        }
        self.missed = true;
        self.want_resync("the store did not answer");
    }

    /// Reads the entities that a batch of the owner names and that are not loaded. Returns those of this node.
    async fn load_missing(&mut self, items: &[Item]) -> Result<BTreeSet<EntityId>, StoreError> {
        let unknown = self.load_unknown(items).await?;
        self.load_foreign_rooms(items).await?;
        Ok(unknown)
    }

    /// Commits the changes of an applied batch, if there are any, and notes the versions and deadlines that it stored.
    async fn write_batch(
        &mut self,
        items: &[Item],
        applied: &BatchResult,
        touched: &BTreeSet<EntityId>,
        now: Timestamp,
    ) -> Result<CommitOutcome, StoreError> {
        let (writes, views, deadlines) = self.writes(touched, now);
        if writes.is_empty() {
            return Ok(CommitOutcome::Applied);
        }
        let commit = Commit {
            node: self.id(),
            request: Uuid::new_v4(),
            lease: self.lease,
            outbox: self.messages(&applied.out.notifications, now),
            entities: writes,
            views,
        };
        let span = self.meters.commit_span(items, &commit);
        let cause = SpanRef::from_span(&span);
        let outcome = self.commit(&commit).instrument(span).await?;
        if outcome == CommitOutcome::Applied {
            self.note_commit(&commit, deadlines, &cause);
        }
        Ok(outcome)
    }

    /// Notes the versions, deadlines and messages that a commit stored, and wakes the webhook worker.
    fn note_commit(
        &mut self,
        commit: &Commit,
        deadlines: Vec<(EntityId, Option<Timestamp>)>,
        cause: &SpanRef,
    ) {
        for message in &commit.outbox {
            trace::remember(&message.id, cause);
        }
        for write in &commit.entities {
            self.versions.insert(write.entity, write.expected.next());
        }
        for (entity, at) in deadlines {
            self.set_deadline(entity, at);
        }
        if !commit.outbox.is_empty() {
            self.parts.outbox_signal.notify_one();
            self.parts.live.outbox_changed();
        }
    }

    /// Fails a batch with [`Self::fail`]. No intent remains to be decided.
    fn give_up(&mut self, items: Vec<Item>, error: StoreError) -> Vec<Item> {
        self.fail(items, error);
        Vec::new()
    }

    /// Commits, and repeats the commit under the same request id if the answer was lost.
    pub(super) async fn commit(&self, commit: &Commit) -> Result<CommitOutcome, StoreError> {
        let started = Instant::now();
        let mut outcome = self.parts.store.commit(commit).await;
        if matches!(outcome, Err(StoreError::Unavailable(_))) {
            outcome = self.parts.store.commit(commit).await;
        }
        self.meters.committed(&outcome, started.elapsed());
        outcome
    }

    /// Encodes the changes of the touched entities, with their new deadlines.
    pub(super) fn writes(&mut self, touched: &BTreeSet<EntityId>, now: Timestamp) -> Writes {
        let mut writes = Vec::new();
        let mut view_writes = Vec::new();
        let mut deadlines = Vec::new();
        for entity in touched {
            let expected = self.versions.get(entity).copied().unwrap_or_default();
            let created = expected == Version::ABSENT;
            let write = match entity {
                EntityId::Room(id) => {
                    let Some(room) = self.node_state.room_mut(*id) else {
                        continue;
                    };
                    let changes = room.take_changes();
                    let Some(registration) = room.registration() else {
                        continue;
                    };
                    if changes.is_empty() {
                        continue;
                    }
                    let (head, parts) = encode_room(room, &changes, created);
                    view_writes.extend(views::room_views(
                        room,
                        &changes,
                        created,
                        &self.parts.settings,
                        now,
                    ));
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head,
                        parts,
                        deadline: room.next_deadline(),
                        life: match room.status() {
                            RoomStatus::Terminated => Life::Ended {
                                keep: self.parts.settings.keep_ended_rooms,
                            },
                            RoomStatus::Starting
                            | RoomStatus::Progressing
                            | RoomStatus::Terminating { .. } => Life::Live,
                        },
                        listed: Some(Listing {
                            app: registration.app.clone(),
                            created_at: registration.created_at,
                        }),
                    }
                }
                EntityId::Call(id) => {
                    let Some(call) = self.node_state.call_mut(*id) else {
                        continue;
                    };
                    if !call.take_changed() {
                        continue;
                    }
                    EntityWrite {
                        entity: *entity,
                        expected,
                        head: encode_call_state(call),
                        parts: Vec::new(),
                        deadline: call.next_deadline(),
                        life: if call.is_over() {
                            Life::Ended {
                                keep: self.parts.settings.keep_ended_sessions,
                            }
                        } else {
                            Life::Live
                        },
                        listed: Some(Listing {
                            app: call.app().clone(),
                            created_at: call.created_at(),
                        }),
                    }
                }
            };
            deadlines.push((*entity, write.deadline));
            writes.push(write);
        }
        (writes, view_writes, deadlines)
    }

    /// Creates the webhook messages. Their ids are made here, before the commit, and never again for the same change.
    pub(super) fn messages(&mut self, notices: &[Notification], now: Timestamp) -> Vec<Message> {
        notices
            .iter()
            .map(|notice| match &notice.about {
                Subject::Room(room, notification) => payload::room_message(
                    self.ids.next_uuid(),
                    &notice.app,
                    *room,
                    notification,
                    now,
                ),
                Subject::Call(call, notification) => payload::session_message(
                    self.ids.next_uuid(),
                    &notice.app,
                    *call,
                    notification,
                    now,
                ),
            })
            .collect()
    }

    /// Handles a failed commit: callers receive the error, and the next snapshot recovers the events.
    pub(super) fn fail(&mut self, items: Vec<Item>, error: StoreError) {
        self.store_failed(&error);
        let mut first = Some(error);
        for item in items {
            match item {
                Item::Message(
                    work @ (ActorMessage::Submit { .. }
                    | ActorMessage::Check { .. }
                    | ActorMessage::Answered { .. }),
                ) => work.refuse(|| {
                    IntentError::Store(first.take().unwrap_or_else(|| {
                        StoreError::Unavailable("the state cannot be written".into())
                    }))
                }),
                other => {
                    self.skip(other);
                }
            }
        }
        self.missed = true;
        self.want_resync("the store did not answer");
    }

    /// Drops an item that cannot be applied now.
    pub(super) fn skip(&mut self, item: Item) {
        match item {
            Item::SwitchEvent(NodeInput::Up) => {}
            Item::SwitchEvent(NodeInput::Down) => self.parts.fences.lose_all(),
            // Earlier events may not be applied.
            Item::SwitchEvent(NodeInput::Fence { token, .. }) => self.parts.fences.lose(token),
            Item::NodeLost => self.lost = false,
            Item::SwitchEvent(NodeInput::SwitchEvent(_)) | Item::Due(_) | Item::RecoveryOver => {}
            Item::Message(ActorMessage::Resynced(result)) => self.resynced(result),
            // The caller notices the dropped reply.
            Item::Message(work) => work.refuse(|| {
                IntentError::Store(StoreError::Unavailable("the store does not answer".into()))
            }),
        }
    }
}
