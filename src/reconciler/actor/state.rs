//! Between the belief and the store: reading what is stored, again when it may be another's, and finding what is due.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::store::board::{UnreadableRecord, shortened};
use crate::store::record::{decode_room, decode_session};
use crate::store::{EntityId, Hashes, NodeReader, Record, StoreError, Version, keys, unreadable};
use crate::telemetry as names;
use crate::telemetry::Chain;
use crate::time::Timestamp;

use super::{Actor, DUE_BATCH, Item, STORE_PAUSE, comes_round};

/// What is stored of the node, on its way into the belief.
struct Taking<'a> {
    actor: &'a mut Actor,
    rooms: usize,
    calls: usize,
}

impl NodeReader for Taking<'_> {
    fn expect(&mut self, rooms: usize, calls: usize) {
        self.actor.belief.expect(rooms, calls);
        self.actor.versions.reserve(rooms + calls);
    }

    fn entity(&mut self, id: EntityId, version: Version, stored: Hashes<'_>) {
        match id {
            EntityId::Room(_) => self.rooms += 1,
            EntityId::Session(_) => self.calls += 1,
        }
        self.actor.believe_or_leave(id, Some((version, stored)));
    }

    fn unreadable(&mut self, id: Option<EntityId>, error: StoreError) {
        match id {
            Some(entity) => self.actor.leave(entity, &error),
            None => {
                self.actor.nameless.insert(described(&error));
                unreadable::note_error(&error);
            }
        }
    }
}

impl Actor {
    /// Reads everything of the node again, if that is due.
    pub(super) async fn read_again(&mut self) {
        if !self.stale || self.lease.is_none() || Instant::now() < self.next_read {
            return;
        }
        let turns = self.parts.turns.clone();
        let mut turn = pin!(turns.take());
        let comes_round = comes_round(self.parts.settings.lease_ttl);
        let turn = loop {
            tokio::select! {
                turn = &mut turn => break turn,
                () = self.parts.stop.cancelled() => return,
                // Of a large fleet others are read first; whoever waits for that is not hung, and keeps its node.
                () = tokio::time::sleep(comes_round) => self.parts.ownership.moves(),
            }
        };
        self.forget();
        self.nameless.clear();
        self.unreadable.clear();
        let (store, node) = (Arc::clone(&self.parts.store), self.id());
        let mut taking = Taking {
            actor: self,
            rooms: 0,
            calls: 0,
        };
        let read = store.read_node(node, &mut taking).await;
        let Taking { rooms, calls, .. } = taking;
        match read {
            Ok(()) => {
                self.turn = turn;
                self.stale = false;
                self.miss_rooms().await;
                tracing::info!(node.id = %node, rooms, calls, "what is stored of the node is read");
                self.want_resync("the state was read from the store");
            }
            Err(error) => {
                tracing::warn!(node.id = %self.id(), error = %Chain(&error), "what is stored of the node cannot be read yet");
                // Half of it is nothing to be believed.
                self.forget();
                self.next_read = Instant::now() + STORE_PAUSE;
            }
        }
    }

    fn believe(
        &mut self,
        entity: EntityId,
        stored: Option<(Version, Hashes<'_>)>,
    ) -> Result<(), StoreError> {
        let (version, stored) = stored.unzip();
        let deadline = match entity {
            EntityId::Room(id) => {
                let room = stored.map(|stored| decode_room(id, stored)).transpose()?;
                let deadline = room.as_ref().and_then(|r| r.next_deadline());
                self.belief.put_room(id, room);
                deadline
            }
            EntityId::Session(id) => {
                let session = stored
                    .map(|stored| decode_session(id, stored))
                    .transpose()?;
                let deadline = session.as_ref().and_then(|s| s.next_deadline());
                self.belief.put_session(id, session);
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

    /// Reads these again, whatever is believed of them, and what another replica has written together with them.
    pub(super) async fn reload(&mut self, entities: &BTreeSet<EntityId>) -> Result<(), StoreError> {
        self.read_all(entities, true).await
    }

    /// The same where nothing has been applied since the last commit: what is believed of what nobody has written since
    /// says more than what is stored of it.
    pub(super) async fn catch_up(
        &mut self,
        entities: &BTreeSet<EntityId>,
    ) -> Result<(), StoreError> {
        self.read_all(entities, false).await
    }

    async fn read_all(
        &mut self,
        entities: &BTreeSet<EntityId>,
        anew: bool,
    ) -> Result<(), StoreError> {
        let coming = self.coming_into(entities);
        self.read_each(entities, anew).await?;
        let still = self.coming_into(entities);
        let with_them: BTreeSet<EntityId> = entities
            .iter()
            .flat_map(|entity| self.belief.written_with(*entity))
            .chain(coming.difference(&still).copied())
            .filter(|entity| !entities.contains(entity))
            .collect();
        self.read_each(&with_them, anew).await?;
        self.forget_all_over(&with_them);
        Ok(())
    }

    /// What was read and is over is nothing to be kept.
    pub(super) fn forget_all_over<'a>(&mut self, read: impl IntoIterator<Item = &'a EntityId>) {
        for entity in read {
            if self.belief.forget_over(*entity) {
                self.versions.remove(entity);
                self.set_deadline(*entity, None);
            }
        }
    }

    async fn read_each(
        &mut self,
        entities: &BTreeSet<EntityId>,
        anew: bool,
    ) -> Result<(), StoreError> {
        for entity in entities {
            // Members can be many, and mostly nobody has written since.
            if !anew
                && let Some(known) = self.versions.get(entity).copied()
                && let Ok(Some(head)) = self.parts.store.read_head(*entity).await
                && head.version == known
            {
                continue;
            }
            let record = match self.parts.store.read(*entity).await {
                Err(error) if !error.is_retryable() => {
                    self.leave(*entity, &error);
                    continue;
                }
                record => record?,
            };
            let version = record.as_ref().map(|record| record.version);
            if !anew && version.is_some() && version == self.versions.get(entity).copied() {
                continue;
            }
            if let EntityId::Room(id) = entity
                && self
                    .belief
                    .room(*id)
                    .is_some_and(|r| r.registration().is_none())
            {
                if record.is_none() {
                    // An orphan: what is believed of it is all there is.
                    continue;
                }
                // It was another replica's to make: who is in it is to be seen anew.
                self.want_resync("a room turned out to be ours");
            }
            if record.is_none() && self.versions.contains_key(entity) {
                self.store_forgot();
            }
            self.believe_or_leave(*entity, record.as_ref().map(lies));
        }
        Ok(())
    }

    fn coming_into(&self, entities: &BTreeSet<EntityId>) -> BTreeSet<EntityId> {
        entities
            .iter()
            .flat_map(|entity| self.belief.on_their_way_into(*entity))
            .collect()
    }

    /// One unreadable record must not cost the node: it is left as it is, for a person to look at.
    fn believe_or_leave(&mut self, entity: EntityId, stored: Option<(Version, Hashes<'_>)>) {
        match self.believe(entity, stored) {
            Ok(()) => {
                self.belief.take_up(entity);
                self.unreadable.remove(&entity);
                unreadable::clear(|| keys::entity(entity));
            }
            Err(error) => self.leave(entity, &error),
        }
    }

    /// Believes nothing of an entity whose record cannot be read, and writes nothing over it.
    fn leave(&mut self, entity: EntityId, error: &StoreError) {
        self.versions.remove(&entity);
        self.set_deadline(entity, None);
        self.unreadable.insert(entity, described(error));
        self.belief.leave_alone(entity);
        unreadable::note_error(error);
    }

    pub(super) fn set_deadline(&mut self, entity: EntityId, at: Option<Timestamp>) {
        // Almost nothing has one: a fleet that is read is mostly members that stay.
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
        let now = Timestamp::now();
        let mut due: BTreeSet<EntityId> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(DUE_BATCH)
            .map(|(_, entity)| *entity)
            .collect();
        if std::mem::take(&mut self.look) {
            match self.parts.store.due(self.id(), now, DUE_BATCH).await {
                Ok(stored) => {
                    // One that we do not know to be due was written by another replica: it is read first.
                    let unknown: BTreeSet<EntityId> = stored
                        .into_iter()
                        .filter(|entity| !due.contains(entity))
                        .collect();
                    match self.catch_up(&unknown).await {
                        Ok(()) => due.extend(unknown),
                        Err(error) => self.store_failed(&error),
                    }
                }
                // Not those of this replica: it knows them itself.
                Err(error) if !error.is_retryable() => unreadable::note_error(&error),
                Err(error) => self.store_failed(&error),
            }
        }
        items.extend(due.into_iter().map(Item::Due));
        if let Some(since) = self.down_since
            && !self.lost
            && since.elapsed() >= self.parts.settings.lost_after
        {
            self.lost = true;
            tracing::error!(node.id = %self.id(), "the node could not be reached for so long that its calls are taken for lost");
            items.push(Item::NodeLost);
        }
    }

    /// Reads everything again when there may be another server behind the store: what was written last may be gone.
    pub(super) fn follow_store(&mut self) {
        let connections = self.parts.store.connections();
        if connections == self.store_connections {
            return;
        }
        self.store_connections = connections;
        if self.lease.is_some() && !self.stale {
            tracing::info!(node.id = %self.id(), "the connection to the store is another; what is stored of the node is read again");
            self.read_all_again();
        }
    }

    /// Something that was stored is not there any more, though it has not ended: what else is gone?
    fn store_forgot(&mut self) {
        if self.lease.is_some() && !self.stale {
            tracing::warn!(node.id = %self.id(), "the store has forgotten something; what is stored of the node is read again");
            self.read_all_again();
        }
    }

    fn read_all_again(&mut self) {
        self.remember();
        self.stale = true;
        self.next_read = Instant::now();
        self.missed = true;
    }

    /// Keeps in mind which rooms there are, before all is forgotten.
    pub(super) fn remember(&mut self) {
        if self.lease.is_some() && !self.stale {
            self.remembered = self.belief.live_rooms().collect();
        }
    }

    /// Says which rooms the store does not have any more. Those that somebody is in come back with the next snapshot; of
    /// the others nobody but the callers knows.
    async fn miss_rooms(&mut self) {
        let mut lost = Vec::new();
        for room in std::mem::take(&mut self.remembered) {
            if self.belief.room(room).is_some() {
                continue;
            }
            // It may have ended meanwhile, through another replica: then that is still stored.
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
                "the store has lost rooms; those that nobody is in are gone"
            );
        }
    }

    pub(super) fn store_failed(&mut self, error: &StoreError) {
        tracing::warn!(node.id = %self.id(), error = %Chain(error), "the store does not answer; what it missed will be read from FreeSWITCH");
        metrics::counter!(names::STORE_ERRORS, "caller" => "reconciler").increment(1);
        self.remember();
        self.forget();
        self.stale = true;
        self.next_read = Instant::now() + STORE_PAUSE;
    }
}

/// The version of a record, and its hashes.
fn lies(record: &Record) -> (Version, Hashes<'_>) {
    (record.version, record.into())
}

/// An error of a record, as a report has it.
fn described(error: &StoreError) -> UnreadableRecord {
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
