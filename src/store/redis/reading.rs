//! Records as Redis has them: one, and all of a node.
//!
//! Owns what becomes of the fields of their hashes. Leaves out what the fields mean, lists that are read a page at a time,
//! and how much is read at a time (`bulk`).

use super::bulk::Bulk;
use super::{ENDED, HEAD, LIVE, Pairs, RedisStore, VERSION, no_place, since_and_uuid, stored};
use crate::ids::{ChannelId, NodeId, RoomId, SessionId};
use crate::store::{EntityId, EntityKind, Fields, NodeRecords, Record, StoreError, Version, keys};

impl RedisStore {
    /// One entity, with its parts. These are read first: the two keys expire together, and the clock can step between the
    /// commands, so a head that is still there vouches for the parts that were read before it.
    pub(super) async fn read_whole(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        let (parts, head) = self.hashes_of(entity).await?;
        record(entity, pairs(&head), pairs(&parts))
    }

    /// Its parts and its head, of one moment.
    async fn hashes_of(&self, entity: EntityId) -> Result<(Pairs, Pairs), StoreError> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HGETALL").arg(keys::parts(entity));
        pipe.cmd("HGETALL").arg(keys::entity(entity));
        self.transaction(&keys::entity(entity), &pipe).await
    }

    /// One entity without its parts.
    pub(super) async fn read_head_of(
        &self,
        entity: EntityId,
    ) -> Result<Option<Record>, StoreError> {
        let key = keys::entity(entity);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let head: Pairs = self.query(&key, &command).await?;
        record(entity, pairs(&head), std::iter::empty())
    }

    /// Every entity of a node that lives.
    pub(super) async fn read_all_of(&self, node: NodeId) -> Result<NodeRecords, StoreError> {
        let key = keys::lists(node);
        let mut command = redis::cmd("SMEMBERS");
        command.arg(&key);
        let lists: Vec<String> = self.query(&key, &command).await?;
        let mut found = NodeRecords::default();
        if lists.is_empty() {
            return Ok(found);
        }
        let place = self.route.place(&key).await?;
        let mut bulk = Bulk::open(&place, &self.options).await?;
        let mut entities = Vec::new();
        let kinds = [EntityKind::Room, EntityKind::Session]
            .map(|kind| (kind, keys::list_prefix(node, kind)));
        let mut meet = |list: &str, place: &str| {
            let mut kinds = kinds.iter();
            let kind = kinds.find(|(_, prefix)| list.starts_with(prefix));
            match kind.and_then(|(kind, _)| entity_at(node, *kind, place)) {
                Some(entity) => entities.push(entity),
                None => found.unreadable.push((None, no_place(list, place))),
            }
        };
        if !bulk.on_lists(&lists, &mut meet).await? {
            // The server holds still for it.
            let listed: Vec<Vec<String>> = self
                .run(&LIVE, &key, lists.len(), |command| {
                    command.arg(&lists);
                })
                .await?;
            for (list, places) in lists.iter().zip(listed) {
                places.iter().for_each(|place| meet(list, place));
            }
        }
        self.read_many(&mut bulk, &entities, &mut found).await?;
        Ok(found)
    }

    /// Adds these entities to what was found.
    async fn read_many(
        &self,
        bulk: &mut Bulk,
        entities: &[EntityId],
        found: &mut NodeRecords,
    ) -> Result<(), StoreError> {
        let mut alone = Vec::new();
        found.records.reserve(entities.len());
        let read = bulk.read(entities, |entity, hashes| {
            match hashes.map(|hashes| {
                live(
                    entity,
                    hashes.head.iter().copied(),
                    hashes.parts.iter().copied(),
                )
            }) {
                Some(Ok(None)) => {}
                Some(Ok(Some(record))) => found.records.push((entity, record)),
                Some(Err(error)) => found.unreadable.push((Some(entity), error)),
                None => alone.push(entity),
            }
        });
        read.await?;
        // The server says why it did not hand them out, or that another has them by now.
        for entity in alone {
            let read = self.hashes_of(entity).await;
            match read.and_then(|(parts, head)| live(entity, pairs(&head), pairs(&parts))) {
                Ok(record) => found.records.extend(record.map(|record| (entity, record))),
                Err(error @ StoreError::Corrupt { .. }) => {
                    found.unreadable.push((Some(entity), error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// What has ended since the lists were read is not live any more.
fn live<'a>(
    entity: EntityId,
    head: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
    parts: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<Option<Record>, StoreError> {
    if head.clone().any(|(field, _)| field == ENDED) {
        return Ok(None);
    }
    record(entity, head, parts)
}

fn pairs(fields: &Pairs) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
    fields.iter().map(|(name, value)| (&**name, &**value))
}

fn record<'a>(
    entity: EntityId,
    head: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
    parts: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
) -> Result<Option<Record>, StoreError> {
    if head.len() == 0 {
        return Ok(None);
    }
    let key = || keys::entity(entity);
    let version = match head.clone().find(|(field, _)| *field == VERSION) {
        Some((_, value)) => value.parse().or_else(|_| stored(&key(), value))?,
        None => 0,
    };
    if Version(version) == Version::ABSENT {
        return Err(StoreError::Corrupt {
            key: key(),
            why: "it has no version".to_owned(),
        });
    }
    let named = head.filter_map(|(field, value)| Some((field.strip_prefix(HEAD)?, value)));
    Ok(Some(Record {
        version: Version(version),
        head: Fields::of(named),
        parts: Fields::of(parts),
    }))
}

pub(super) fn entity_at(node: NodeId, kind: EntityKind, place: &str) -> Option<EntityId> {
    let (_, uuid) = since_and_uuid(place)?;
    Some(match kind {
        EntityKind::Room => EntityId::Room(RoomId::new(node, uuid)),
        EntityKind::Session => EntityId::Session(SessionId::new(node, ChannelId::new(uuid))),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;

    use super::*;

    #[test]
    fn what_has_ended_is_read_and_is_not_live() {
        let entity = EntityId::Room(RoomId::new("n0001".parse().unwrap(), Uuid::from_u128(1)));
        let lives = [("#v", "7"), ("hrun", "{}")];
        let over = [("#v", "7"), ("hrun", "{}"), (ENDED, "1")];
        let read = record(entity, over.into_iter(), std::iter::empty()).unwrap();
        assert_eq!(read.unwrap().version, Version(7));
        let is_live = |head: &[(&'static str, &'static str)]| {
            let found = live(entity, head.iter().copied(), std::iter::empty());
            found.unwrap().is_some()
        };
        assert!(is_live(&lives));
        assert!(!is_live(&over));
    }
}
