//! Loads the node state from the store, reloads it when another writer may have changed it, and finds due deadlines.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::clock;
use crate::store::call::decode_call_state;
use crate::store::node_status::{UnreadableRecord, shortened};
use crate::store::room::decode_room;
use crate::store::{
    EntityId, NodeReader, RawRecord, Record, StoreError, Version, keys, unreadable,
};
use crate::telemetry as names;
use roomkeeper_core::time::Timestamp;

use crate::reconciler::ownership::progress_interval;

use super::batch::Item;
use super::{Actor, DUE_BATCH, STORE_PAUSE};

/// Loads the stored entities of a node into the node state.
struct StateLoader<'a> {
    actor: &'a mut Actor,
    rooms: usize,
    calls: usize,
}

impl NodeReader for StateLoader<'_> {
    fn expect(&mut self, rooms: usize, calls: usize) {
        self.actor.node_state.reserve(rooms, calls);
        self.actor.versions.reserve(rooms + calls);
    }

    fn entity(&mut self, id: EntityId, version: Version, stored: RawRecord<'_>) {
        match id {
            EntityId::Room(_) => self.rooms += 1,
            EntityId::Call(_) => self.calls += 1,
        }
        self.actor.load_or_quarantine(id, Some((version, stored)));
    }

    fn unreadable(&mut self, id: Option<EntityId>, error: StoreError) {
        match id {
            Some(entity) => self.actor.quarantine(entity, &error),
            None => {
                self.actor.unnamed_records.insert(describe_error(&error));
                unreadable::note_error(&error);
            }
        }
    }
}

impl Actor {
    /// Reads all entities of the node if the node state is stale.
    pub(super) async fn reload_if_stale(&mut self) {
        if !self.stale || self.lease.is_none() || Instant::now() < self.next_read {
            return;
        }
        let limiter = self.parts.limiter.clone();
        let mut permit = pin!(limiter.acquire());
        let progress_interval = progress_interval(self.parts.settings.lease_ttl);
        let permit = loop {
            tokio::select! {
                permit = &mut permit => break permit,
                () = self.parts.stop.cancelled() => return,
                // In a large fleet other nodes are read first. An actor that waits for them does not hang, and keeps its node.
                () = tokio::time::sleep(progress_interval) => self.parts.ownership.report_progress(),
            }
        };
        self.forget();
        self.unnamed_records.clear();
        self.unreadable.clear();
        let (store, node) = (Arc::clone(&self.parts.store), self.id());
        let mut loader = StateLoader {
            actor: self,
            rooms: 0,
            calls: 0,
        };
        let read = store.read_node(node, &mut loader).await;
        let StateLoader { rooms, calls, .. } = loader;
        match read {
            Ok(()) => {
                self.permit = permit;
                self.stale = false;
                self.report_lost_rooms().await;
                tracing::info!(node.id = %node, rooms, calls, "the node's state was read from the store");
                self.want_resync("the state was read from the store");
            }
            Err(error) => {
                error.log_effect(
                    Some(self.id()),
                    "the node's state cannot be read from the store yet",
                );
                // A partial state must not be used.
                self.forget();
                self.next_read = Instant::now() + STORE_PAUSE;
            }
        }
    }

    /// Drops the node state.
    pub(super) fn forget(&mut self) {
        self.node_state.clear();
        self.versions.clear();
        self.deadlines.clear();
        self.deadline_of.clear();
    }

    fn load_record(
        &mut self,
        entity: EntityId,
        stored: Option<(Version, RawRecord<'_>)>,
    ) -> Result<(), StoreError> {
        let (version, stored) = stored.unzip();
        let deadline = match entity {
            EntityId::Room(id) => {
                let room = stored.map(|stored| decode_room(id, stored)).transpose()?;
                let deadline = room.as_ref().and_then(|r| r.next_deadline());
                self.node_state.put_room(id, room);
                deadline
            }
            EntityId::Call(id) => {
                let call = stored
                    .map(|stored| decode_call_state(id, stored))
                    .transpose()?;
                let deadline = call.as_ref().and_then(|s| s.next_deadline());
                self.node_state.put_call(id, call);
                deadline
            }
        };
        match version {
            Some(version) => self.versions.insert(entity, version),
            None => self.versions.remove(&entity),
        };
        self.set_deadline(entity, deadline);
        Ok(())
    }

    /// Reads these entities again, and those that another replica has written together with them.
    pub(super) async fn reload(&mut self, entities: &BTreeSet<EntityId>) -> Result<(), StoreError> {
        self.read_all(entities, true).await
    }

    /// Reads those of these entities that another replica has written. Only valid if nothing was applied since the last
    /// commit: the others keep their node state, which contains more than the store does.
    pub(super) async fn refresh(
        &mut self,
        entities: &BTreeSet<EntityId>,
    ) -> Result<(), StoreError> {
        self.read_all(entities, false).await
    }

    async fn read_all(
        &mut self,
        entities: &BTreeSet<EntityId>,
        force: bool,
    ) -> Result<(), StoreError> {
        let coming = self.calls_entering(entities);
        self.read_each(entities, force).await?;
        let still = self.calls_entering(entities);
        let with_them: BTreeSet<EntityId> = entities
            .iter()
            .flat_map(|entity| self.node_state.written_together_with(*entity))
            .chain(coming.difference(&still).copied())
            .filter(|entity| !entities.contains(entity))
            .collect();
        self.read_each(&with_them, force).await?;
        self.forget_all_over(&with_them);
        Ok(())
    }

    /// Drops ended entities that were only read.
    pub(super) fn forget_all_over<'a>(&mut self, read: impl IntoIterator<Item = &'a EntityId>) {
        for entity in read {
            if self.node_state.forget_over(*entity) {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
    }

    async fn read_each(
        &mut self,
        entities: &BTreeSet<EntityId>,
        force: bool,
    ) -> Result<(), StoreError> {
        for entity in entities {
            // A room can have many members, and usually nobody has written since.
            if !force
                && let Some(known) = self.versions.get(entity).copied()
                && let Ok(Some(head)) = self.parts.store.read_head(*entity).await
                && head.version == known
            {
                continue;
            }
            let record = match self.parts.store.read(*entity).await {
                Err(error) if !error.is_retryable() => {
                    self.quarantine(*entity, &error);
                    continue;
                }
                record => record?,
            };
            let version = record.as_ref().map(|record| record.version);
            if !force && version.is_some() && version == self.versions.get(entity).copied() {
                continue;
            }
            if let EntityId::Room(id) = entity
                && self
                    .node_state
                    .room(*id)
                    .is_some_and(|r| r.registration().is_none())
            {
                if record.is_none() {
                    // An orphan exists in the node state only.
                    continue;
                }
                // Another replica created it, so its members must be read from FreeSWITCH.
                self.want_resync("a room turned out to be ours");
            }
            if record.is_none() && self.versions.contains_key(entity) {
                self.on_missing_record();
            }
            self.load_or_quarantine(*entity, record.as_ref().map(raw_record));
        }
        Ok(())
    }

    fn calls_entering(&self, entities: &BTreeSet<EntityId>) -> BTreeSet<EntityId> {
        entities
            .iter()
            .flat_map(|entity| self.node_state.calls_joining(*entity))
            .collect()
    }

    /// Loads a record, or quarantines it for the operator if it cannot be decoded: it must not cost the node.
    fn load_or_quarantine(&mut self, entity: EntityId, stored: Option<(Version, RawRecord<'_>)>) {
        match self.load_record(entity, stored) {
            Ok(()) => {
                self.node_state.mark_readable(entity);
                self.unreadable.remove(&entity);
                unreadable::clear(|| keys::entity(entity));
            }
            Err(error) => self.quarantine(entity, &error),
        }
    }

    /// Ignores an entity whose record cannot be decoded, and never overwrites the record.
    fn quarantine(&mut self, entity: EntityId, error: &StoreError) {
        self.versions.remove(&entity);
        self.set_deadline(entity, None);
        self.unreadable.insert(entity, describe_error(error));
        self.node_state.mark_unreadable(entity);
        unreadable::note_error(error);
    }

    pub(super) fn set_deadline(&mut self, entity: EntityId, at: Option<Timestamp>) {
        // Few entities have a deadline: most of a fleet are joined members.
        if !self.deadline_of.is_empty()
            && let Some(old) = self.deadline_of.remove(&entity)
        {
            self.deadlines.remove(&(old, entity));
        }
        if let Some(at) = at {
            self.deadline_of.insert(entity, at);
            self.deadlines.insert((at, entity));
        }
    }

    pub(super) async fn add_due(&mut self, items: &mut Vec<Item>) {
        if self.lease.is_none() || self.stale {
            return;
        }
        let now = clock::now();
        let mut due: BTreeSet<EntityId> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(DUE_BATCH)
            .map(|(_, entity)| *entity)
            .collect();
        if std::mem::take(&mut self.check_due) {
            match self.parts.store.due(self.id(), now, DUE_BATCH).await {
                Ok(stored) => {
                    // An unknown deadline was written by another replica, so its entity is read first.
                    let unknown: BTreeSet<EntityId> = stored
                        .into_iter()
                        .filter(|entity| !due.contains(entity))
                        .collect();
                    match self.refresh(&unknown).await {
                        Ok(()) => due.extend(unknown),
                        Err(error) => self.store_failed(&error),
                    }
                }
                // This replica's own deadlines are in memory.
                Err(error) if !error.is_retryable() => unreadable::note_error(&error),
                Err(error) => self.store_failed(&error),
            }
        }
        items.extend(due.into_iter().map(Item::Due));
        if self
            .node_state
            .recovery_deadline()
            .is_some_and(|at| at <= now)
        {
            items.push(Item::RecoveryOver);
        }
        if let Some(since) = self.down_since
            && !self.lost
            && since.elapsed() >= self.parts.settings.lost_after
        {
            self.lost = true;
            tracing::error!(node.id = %self.id(), "the node was not connected for fleet.lost_after: its calls count as lost");
            items.push(Item::NodeLost);
        }
    }

    /// Reads everything again after a new connection to the store: the server behind it may lack the last writes.
    pub(super) fn follow_store(&mut self) {
        let connections = self.parts.store.connections();
        if connections == self.store_connections {
            return;
        }
        self.store_connections = connections;
        if self.lease.is_some() && !self.stale {
            tracing::debug!(node.id = %self.id(), "the store has a new connection; reading the node's state again");
            self.mark_stale();
        }
    }

    /// Reads everything again because a record is missing that has not ended: others may be missing, too.
    fn on_missing_record(&mut self) {
        if self.lease.is_some() && !self.stale {
            tracing::warn!(node.id = %self.id(), "the store lacks a record; reading the node's state again");
            self.mark_stale();
        }
    }

    fn mark_stale(&mut self) {
        self.remember();
        self.stale = true;
        self.next_read = Instant::now();
        self.missed = true;
    }

    /// Remembers the live rooms before the node state is dropped.
    pub(super) fn remember(&mut self) {
        if self.lease.is_some() && !self.stale {
            self.remembered = self.node_state.live_rooms().collect();
        }
    }

    /// Reports rooms that the store has lost. Rooms with members come back with the next snapshot; only callers know the
    /// others.
    async fn report_lost_rooms(&mut self) {
        let mut lost = Vec::new();
        for room in std::mem::take(&mut self.remembered) {
            if self.node_state.room(room).is_some() {
                continue;
            }
            // If another replica ended it meanwhile, its record still exists.
            if let Ok(None) = self.parts.store.read_head(EntityId::Room(room)).await {
                lost.push(room.to_string());
            }
        }
        if !lost.is_empty() {
            let count = lost.len() as u64;
            metrics::counter!(names::STORE_LOST_ROOMS, "node" => self.label()).increment(count);
            tracing::error!(
                node.id = %self.id(),
                count,
                rooms = lost.join(" "),
                "the store has lost rooms; those without members cannot be restored"
            );
        }
    }

    pub(super) fn store_failed(&mut self, error: &StoreError) {
        error.log_effect(
            Some(self.id()),
            "the store does not answer; the next snapshot will recover missed changes",
        );
        metrics::counter!(names::STORE_ERRORS, "caller" => "reconciler").increment(1);
        self.remember();
        self.forget();
        self.stale = true;
        self.next_read = Instant::now() + STORE_PAUSE;
    }
}

/// The version of a record, and its borrowed fields.
fn raw_record(record: &Record) -> (Version, RawRecord<'_>) {
    (record.version, record.into())
}

/// Describes an unreadable record for a report.
fn describe_error(error: &StoreError) -> UnreadableRecord {
    match error {
        StoreError::Corrupt { key, why } => UnreadableRecord {
            key: shortened(key),
            why: shortened(why),
        },
        StoreError::Unavailable(_) => UnreadableRecord {
            key: String::new(),
            why: error.to_string(),
        },
    }
}
