//! Records as Redis has them: one, and all of a node.
//!
//! Owns what becomes of the fields of their hashes. Leaves out what the fields mean, and lists that are read a page at a
//! time. A restart reads all of a fleet, so that is done in few large answers: packed by a script as MessagePack, of which
//! every field is a piece of text.

use serde::Deserialize;

use super::{ENDED, Fields, LIVE, READ, RedisStore, no_place, since_and_uuid, stored};
use crate::ids::{ChannelId, NodeId, RoomId, SessionId};
use crate::store::{EntityId, EntityKind, NodeRecords, Record, StoreError, Version, keys};

/// How many entities are read at once when a node is: Redis does nothing else meanwhile, and rooms can be big; of a hundred
/// of ten members it takes a millisecond.
const READ_BATCH: usize = 128;

impl RedisStore {
    /// One entity, with its parts. These are read first: the two keys expire together, and the clock can step between the
    /// commands, so a head that is still there vouches for the parts that were read before it.
    pub(super) async fn read_whole(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HGETALL").arg(keys::parts(entity));
        pipe.cmd("HGETALL").arg(keys::entity(entity));
        let (parts, head): (Fields, Fields) =
            self.transaction(&keys::entity(entity), &pipe).await?;
        record(entity, pairs(&head), pairs(&parts))
    }

    /// One entity without its parts.
    pub(super) async fn read_head_of(
        &self,
        entity: EntityId,
    ) -> Result<Option<Record>, StoreError> {
        let key = keys::entity(entity);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let head: Fields = self.query(&key, &command).await?;
        record(entity, pairs(&head), std::iter::empty())
    }

    /// Every entity of a node that lives.
    pub(super) async fn read_all_of(&self, node: NodeId) -> Result<NodeRecords, StoreError> {
        let key = keys::lists(node);
        let mut command = redis::cmd("SMEMBERS");
        command.arg(&key);
        let lists: Vec<String> = self.query(&key, &command).await?;
        let mut found = NodeRecords::default();
        let mut entities = Vec::new();
        // All of them at once: what goes from one piece to another meanwhile would be in neither.
        let listed: Vec<u8> = if lists.is_empty() {
            Vec::new()
        } else {
            self.run(&LIVE, &key, lists.len(), |command| {
                command.arg(&lists);
            })
            .await?
        };
        let listed: Vec<Vec<&str>> = if listed.is_empty() {
            Vec::new()
        } else {
            unpacked(&key, &listed)?
        };
        for (list, places) in lists.iter().zip(listed) {
            let kind = [EntityKind::Room, EntityKind::Session]
                .into_iter()
                .find(|kind| list.starts_with(&keys::list_prefix(node, *kind)));
            for place in places {
                let entity = kind.and_then(|kind| entity_at(node, kind, place));
                match entity {
                    Some(entity) => entities.push(entity),
                    None => found.unreadable.push((None, no_place(list, place))),
                }
            }
        }
        for batch in entities.chunks(READ_BATCH) {
            match self.read_batch(node, batch, &mut found).await {
                // What cannot be read with the others can be read without them.
                Err(StoreError::Corrupt { .. }) => {
                    for entity in batch {
                        match self.read_batch(node, &[*entity], &mut found).await {
                            Err(error @ StoreError::Corrupt { .. }) => {
                                found.unreadable.push((Some(*entity), error));
                            }
                            other => other?,
                        }
                    }
                }
                other => other?,
            }
        }
        Ok(found)
    }

    /// Adds these entities to what was found, all of them or none.
    async fn read_batch(
        &self,
        node: NodeId,
        entities: &[EntityId],
        found: &mut NodeRecords,
    ) -> Result<(), StoreError> {
        let hashes: Vec<String> = entities
            .iter()
            .flat_map(|entity| {
                let parts = match entity.kind() {
                    EntityKind::Room => Some(keys::parts(*entity)),
                    // Calls have no parts.
                    EntityKind::Session => None,
                };
                parts.into_iter().chain([keys::entity(*entity)])
            })
            .collect();
        let lists = keys::lists(node);
        let packed: Vec<u8> = self
            .run(&READ, &lists, hashes.len(), |command| {
                command.arg(&hashes);
            })
            .await?;
        let mut hashes = unpacked::<Vec<Vec<&str>>>(&lists, &packed)?.into_iter();
        let mut next = || hashes.next().unwrap_or_default();
        let mut records = Vec::with_capacity(entities.len());
        for entity in entities {
            let parts = match entity.kind() {
                EntityKind::Room => next(),
                EntityKind::Session => Vec::new(),
            };
            let head = next();
            // What ended since the lists were read is not live any more.
            if in_twos(&head).any(|(field, _)| field == ENDED) {
                continue;
            }
            if let Some(record) = record(*entity, in_twos(&head), in_twos(&parts))? {
                records.push((*entity, record));
            }
        }
        found.records.extend(records);
        Ok(())
    }
}

fn pairs(fields: &Fields) -> impl ExactSizeIterator<Item = (&str, &str)> {
    fields.iter().map(|(name, value)| (&**name, &**value))
}

/// Of names and values in turn.
fn in_twos<'a>(fields: &'a [&'a str]) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> {
    fields.chunks_exact(2).map(|two| (two[0], two[1]))
}

/// What a script has packed.
fn unpacked<'a, T: Deserialize<'a>>(what: &str, packed: &'a [u8]) -> Result<T, StoreError> {
    rmp_serde::from_slice(packed).map_err(|error| StoreError::Corrupt {
        key: what.to_owned(),
        why: error.to_string(),
    })
}

fn record<'a>(
    entity: EntityId,
    head: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    parts: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<Record>, StoreError> {
    if head.len() == 0 {
        return Ok(None);
    }
    let key = || keys::entity(entity);
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let mut record = Record {
        version: Version::ABSENT,
        head: Vec::with_capacity(head.len()),
        parts: parts.map(owned).collect(),
    };
    for (field, value) in head {
        if field == "#v" {
            let version = value.parse().or_else(|_| stored(&key(), value));
            record.version = Version(version?);
        } else if let Some(name) = field.strip_prefix('h') {
            record.head.push(owned((name, value)));
        }
    }
    if record.version == Version::ABSENT {
        return Err(StoreError::Corrupt {
            key: key(),
            why: "it has no version".to_owned(),
        });
    }
    record.head.sort_unstable();
    record.parts.sort_unstable();
    Ok(Some(record))
}

pub(super) fn entity_at(node: NodeId, kind: EntityKind, place: &str) -> Option<EntityId> {
    let (_, uuid) = since_and_uuid(place)?;
    Some(match kind {
        EntityKind::Room => EntityId::Room(RoomId::new(node, uuid)),
        EntityKind::Session => EntityId::Session(SessionId::new(node, ChannelId::new(uuid))),
    })
}
