//! Reads one room or call, and turns its hashes into a record.
//!
//! Owns the names of the scripts' own fields. [`node`](super::node) reads all entities of a node, and `store::encoding`
//! decodes the other fields.

use std::collections::BTreeMap;

use super::RedisStore;
use super::list_position::parse_list_position;
use super::values::{ENDED, HEAD, Pairs, VERSION, head_field, stored};
use crate::store::usage::ENTITY_BYTES;
use crate::store::{
    EntityId, EntityKind, FieldsRef, NodeReader, RawRecord, Record, StoreError, Version, call, keys,
};
use roomkeeper_core::ids::{CallId, ChannelId, NodeId, RoomId};

/// The field with the position in the list of an app: 8 digits, then the app.
const LISTED: &str = "#l";

/// The field with the size of an entity's large values, bytes.
const LARGE_BYTES: &str = "#b";

impl RedisStore {
    /// Reads one entity with its parts. The parts are read first: both keys expire together, and the server's clock can
    /// step between the two commands, so a head that still exists proves that the parts did, too.
    pub(super) async fn read_whole(&self, entity: EntityId) -> Result<Option<Record>, StoreError> {
        let (parts, head) = self.hashes_of(entity).await?;
        Ok(record(decode(entity, &fields(&head), fields(&parts))?))
    }

    /// Reads the parts and the head of an entity in one transaction.
    pub(super) async fn hashes_of(&self, entity: EntityId) -> Result<(Pairs, Pairs), StoreError> {
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("HGETALL").arg(keys::parts(entity));
        pipe.cmd("HGETALL").arg(keys::entity(entity));
        self.transaction(&keys::entity(entity), &pipe).await
    }

    /// Reads one entity without its parts.
    pub(super) async fn read_head_of(
        &self,
        entity: EntityId,
    ) -> Result<Option<Record>, StoreError> {
        let key = keys::entity(entity);
        let mut command = redis::cmd("HGETALL");
        command.arg(&key);
        let head: Pairs = self.query(&key, &command).await?;
        Ok(record(decode(
            entity,
            &fields(&head),
            FieldsRef::default(),
        )?))
    }
}

/// Adds the size of a live entity to the sum of its app.
pub(super) fn add_size(entity: EntityId, head: &FieldsRef<'_>, sums: &mut BTreeMap<String, u64>) {
    if head.get(ENDED).is_some() {
        return;
    }
    let app = match entity.kind() {
        EntityKind::Room => head.get(LISTED).and_then(|at| at.get(keys::SINCE_DIGITS..)),
        // A call's list position is not read; its app is a field.
        EntityKind::Call => head.get(&head_field(call::APP)),
    };
    let large: u64 = head
        .get(LARGE_BYTES)
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or_default();
    if let Some(app) = app.filter(|app| !app.is_empty()) {
        *sums.entry(app.to_owned()).or_default() += ENTITY_BYTES + large;
    }
}

/// Passes an entity to the reader, unless it has ended since the lists were read.
pub(super) fn pass_to_reader<'a>(
    entity: EntityId,
    head: &FieldsRef<'a>,
    parts: FieldsRef<'a>,
    reader: &mut dyn NodeReader,
) {
    if head.get(ENDED).is_some() {
        return;
    }
    match decode(entity, head, parts) {
        Ok(None) => {}
        Ok(Some((version, stored))) => reader.entity(entity, version, stored),
        Err(error) => reader.unreadable(Some(entity), error),
    }
}

pub(super) fn fields(pairs: &Pairs) -> FieldsRef<'_> {
    let pairs = pairs.iter();
    pairs.map(|(name, value)| (&**name, &**value)).collect()
}

/// Decodes the hashes of an entity; `None` when it does not exist.
fn decode<'a>(
    entity: EntityId,
    head: &FieldsRef<'a>,
    parts: FieldsRef<'a>,
) -> Result<Option<(Version, RawRecord<'a>)>, StoreError> {
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
    let stored = RawRecord {
        head: named.collect(),
        parts,
    };
    Ok(Some((Version(version), stored)))
}

fn record(found: Option<(Version, RawRecord<'_>)>) -> Option<Record> {
    found.map(|(version, stored)| Record::from_raw(version, &stored))
}

/// Returns the entity at a list position.
pub(super) fn entity_at(node: NodeId, kind: EntityKind, position: &str) -> Option<EntityId> {
    let (_, uuid) = parse_list_position(position)?;
    Some(match kind {
        EntityKind::Room => EntityId::Room(RoomId::new(node, uuid)),
        EntityKind::Call => EntityId::Call(CallId::new(node, ChannelId::new(uuid))),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use uuid::Uuid;

    use super::*;

    /// Counts the entities that it receives.
    #[derive(Default)]
    struct Counter(usize);

    impl NodeReader for Counter {
        fn expect(&mut self, _: usize, _: usize) {}

        fn entity(&mut self, _: EntityId, _: Version, _: RawRecord<'_>) {
            self.0 += 1;
        }

        fn unreadable(&mut self, _: Option<EntityId>, error: StoreError) {
            panic!("{error}");
        }
    }

    #[test]
    fn ended_entity_is_readable_and_not_live() {
        let entity = EntityId::Room(RoomId::new("n0001".parse().unwrap(), Uuid::from_u128(1)));
        let live: FieldsRef<'_> = [("#v", "7"), ("hrun", "{}")].into_iter().collect();
        let ended = [("#v", "7"), ("hrun", "{}"), (ENDED, "1")];
        let ended: FieldsRef<'_> = ended.into_iter().collect();
        let read = record(decode(entity, &ended, FieldsRef::default()).unwrap());
        assert_eq!(read.unwrap().version, Version(7));
        let is_live = |head: &FieldsRef<'_>| {
            let mut counter = Counter::default();
            pass_to_reader(entity, head, FieldsRef::default(), &mut counter);
            counter.0 == 1
        };
        assert!(is_live(&live));
        assert!(!is_live(&ended));
    }
}
