//! Records as Redis has them: one, and all of a node.
//!
//! Owns what becomes of the fields of their hashes. Leaves out what the fields mean, lists that are read a page at a time,
//! and how much is read at a time (`bulk`).

use std::collections::{BTreeMap, BTreeSet};

use redis::AsyncConnectionConfig;
use tokio::time::timeout;

use super::bulk::Bulk;
use super::link::Fault;
use super::{
    ENDED, HEAD, LIVE, Pairs, RedisStore, VERSION, head_field, no_place, since_and_uuid, stored,
};
use crate::ids::{ChannelId, NodeId, RoomId, SessionId};
use crate::store::usage::ENTITY_BYTES;
use crate::store::{
    EntityId, EntityKind, Hashes, Named, NodeReader, Record, StoreError, Version, call, keys,
    unreadable,
};

/// Which list an entity is on: 8 digits, and the app.
const LISTED: &str = "#l";

/// The bytes of an entity's large values.
const LARGE_BYTES: &str = "#b";

/// How many keys are looked through at a time.
const SCANNED: usize = 1_000;

impl RedisStore {
    /// One entity, with its parts. These are read first: the two keys expire together, and the clock can step between the
    /// commands, so a head that is still there vouches for the parts that were read before it.
    pub(super) async fn read_whole(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        let (parts, head) = self.hashes_of(entity).await?;
        Ok(record(seen(entity, &fields(&head), fields(&parts))?))
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
        Ok(record(seen(entity, &fields(&head), Named::default())?))
    }

    /// Hands over every entity of a node that lives.
    pub(super) async fn read_all_of(
        &self,
        node: NodeId,
        reader: &mut dyn NodeReader,
    ) -> Result<(), StoreError> {
        let key = keys::lists(node);
        let mut command = redis::cmd("SMEMBERS");
        command.arg(&key);
        let changes = match self.count_changes(node).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                unreadable::note_error(&error);
                Ok(0)
            }
            changes => changes,
        }?;
        let mut sums = BTreeMap::new();
        let lists: Vec<String> = match self.query(&key, &command).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                unreadable::note_error(&error);
                self.find_lists(node).await?
            }
            lists => lists?,
        };
        if lists.is_empty() {
            self.recount(node, changes, &sums).await?;
            return Ok(());
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
                None => reader.unreadable(None, no_place(list, place)),
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
        let is_room = |entity: &&EntityId| entity.kind() == EntityKind::Room;
        let rooms = entities.iter().filter(is_room).count();
        reader.expect(rooms, entities.len() - rooms);
        self.read_many(&mut bulk, &entities, reader, &mut sums)
            .await?;
        self.recount(node, changes, &sums).await
    }

    /// Finds the lists of a node's live entities without the set of them, among all keys, and makes the set anew.
    async fn find_lists(&self, node: NodeId) -> Result<Vec<String>, StoreError> {
        let key = keys::lists(node);
        let place = self.route.place(&key).await?;
        let config = AsyncConnectionConfig::new();
        let limit = self.options.connect_timeout;
        let opened = timeout(limit, place.open_commands(&config)).await;
        let opened = opened.map_err(|_| Fault::Timeout(limit))?;
        let mut server = opened.map_err(Fault::Connect)?;
        let prefixes =
            [EntityKind::Room, EntityKind::Session].map(|kind| keys::list_prefix(node, kind));
        let mut found = BTreeSet::new();
        for prefix in prefixes {
            let mut cursor = 0_u64;
            loop {
                let mut command = redis::cmd("SCAN");
                command.arg(cursor).arg("MATCH").arg(format!("{prefix}*"));
                command.arg("COUNT").arg(SCANNED);
                let answer = timeout(
                    self.options.timeout,
                    command.query_async(&mut server.commands),
                )
                .await;
                let (next, keys): (u64, Vec<String>) = match answer {
                    Ok(answer) => answer.map_err(Fault::Answer)?,
                    Err(_) => return Err(Fault::Timeout(self.options.timeout).into()),
                };
                // The pieces of a list have one more colon.
                let lists = keys.into_iter();
                found.extend(lists.filter(|list| !list[prefix.len()..].contains(':')));
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("RENAME")
            .arg(&key)
            .arg(format!("{key}:unreadable"));
        if !found.is_empty() {
            pipe.cmd("SADD").arg(&key).arg(&found);
        }
        self.transaction::<redis::Value>(&key, &pipe).await?;
        Ok(found.into_iter().collect())
    }

    /// Hands over these.
    async fn read_many(
        &self,
        bulk: &mut Bulk,
        entities: &[EntityId],
        reader: &mut dyn NodeReader,
        sums: &mut BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let mut alone = Vec::new();
        let read = bulk.read(entities, |entity, hashes| match hashes {
            Some(Hashes { head, parts }) => {
                count(entity, &head, sums);
                hand_over(entity, &head, parts, reader);
            }
            None => alone.push(entity),
        });
        read.await?;
        // The server says why it did not hand them out, or that another has them by now.
        for entity in alone {
            match self.hashes_of(entity).await {
                Ok((parts, head)) => {
                    let head = fields(&head);
                    count(entity, &head, sums);
                    hand_over(entity, &head, fields(&parts), reader);
                }
                Err(error @ StoreError::Corrupt { .. }) => reader.unreadable(Some(entity), error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Adds what an entity that lives counts for to the sum of its app.
fn count(entity: EntityId, head: &Named<'_>, sums: &mut BTreeMap<String, u64>) {
    if head.get(ENDED).is_some() {
        return;
    }
    let app = match entity.kind() {
        EntityKind::Room => head.get(LISTED).and_then(|at| at.get(keys::SINCE_DIGITS..)),
        // What is read of a call has its app as a field.
        EntityKind::Session => head.get(&head_field(call::APP)),
    };
    let large: u64 = head
        .get(LARGE_BYTES)
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or_default();
    if let Some(app) = app.filter(|app| !app.is_empty()) {
        *sums.entry(app.to_owned()).or_default() += ENTITY_BYTES + large;
    }
}

/// Hands over what lives. What has ended since the lists were read does not any more.
fn hand_over<'a>(
    entity: EntityId,
    head: &Named<'a>,
    parts: Named<'a>,
    reader: &mut dyn NodeReader,
) {
    if head.get(ENDED).is_some() {
        return;
    }
    match seen(entity, head, parts) {
        Ok(None) => {}
        Ok(Some((version, stored))) => reader.entity(entity, version, stored),
        Err(error) => reader.unreadable(Some(entity), error),
    }
}

fn fields(pairs: &Pairs) -> Named<'_> {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (&**name, &**value)).collect()
}

/// What the hashes of an entity say of it; `None`: there is none.
fn seen<'a>(
    entity: EntityId,
    head: &Named<'a>,
    parts: Named<'a>,
) -> Result<Option<(Version, Hashes<'a>)>, StoreError> {
    if head.is_empty() {
        return Ok(None);
    }
    let key = || keys::entity(entity);
    let version = match head.get(VERSION) {
        Some(value) => value.parse().or_else(|_| stored(&key(), value))?,
        None => 0,
    };
    if Version(version) == Version::ABSENT {
        return Err(StoreError::Corrupt {
            key: key(),
            why: "it has no version".to_owned(),
        });
    }
    let named = head
        .iter()
        .filter_map(|(field, value)| Some((field.strip_prefix(HEAD)?, value)));
    let stored = Hashes {
        head: named.collect(),
        parts,
    };
    Ok(Some((Version(version), stored)))
}

fn record(seen: Option<(Version, Hashes<'_>)>) -> Option<Record> {
    seen.map(|(version, stored)| Record::of(version, &stored))
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

    /// How many were handed over.
    #[derive(Default)]
    struct Counting(usize);

    impl NodeReader for Counting {
        fn expect(&mut self, _: usize, _: usize) {}

        fn entity(&mut self, _: EntityId, _: Version, _: Hashes<'_>) {
            self.0 += 1;
        }

        fn unreadable(&mut self, _: Option<EntityId>, error: StoreError) {
            panic!("{error}");
        }
    }

    #[test]
    fn what_has_ended_is_read_and_is_not_live() {
        let entity = EntityId::Room(RoomId::new("n0001".parse().unwrap(), Uuid::from_u128(1)));
        let lives: Named<'_> = [("#v", "7"), ("hrun", "{}")].into_iter().collect();
        let over = [("#v", "7"), ("hrun", "{}"), (ENDED, "1")];
        let over: Named<'_> = over.into_iter().collect();
        let read = record(seen(entity, &over, Named::default()).unwrap());
        assert_eq!(read.unwrap().version, Version(7));
        let is_live = |head: &Named<'_>| {
            let mut handed_over = Counting::default();
            hand_over(entity, head, Named::default(), &mut handed_over);
            handed_over.0 == 1
        };
        assert!(is_live(&lives));
        assert!(!is_live(&over));
    }
}
