//! Reads all rooms and calls of a node.
//!
//! A starting controller reads its whole fleet. It uses a separate connection, so that commits do not wait behind megabytes
//! of answers, and plain commands: a script that packs the same hashes takes Redis three times as long, and blocks
//! everything else meanwhile.
//!
//! Each batch is one pipeline, and [`IN_FLIGHT`] of them are in flight: Redis answers the next batch while this one is
//! decoded. So the size of a batch bounds the memory, not the size of the node.
//!
//! redis-rs makes a value of each field. A custom parser that left the fields in the buffer saved a quarter of the
//! controller's CPU time for a restart (200,000 members: 1.0 against 1.3 s), and no CPU time of Redis.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use redis::{AsyncConnectionConfig, Pipeline, Value};
use tokio::time::{Instant, timeout_at};

use super::RedisStore;
use super::connect::{Connection, Target};
use super::connection::{Fault, RedisOptions, Request};
use super::entity::{add_size, entity_at, fields, pass_to_reader};
use super::list_position::invalid_position;
use super::scripts::LIVE;
use super::values::{ENDED, VERSION, head_field};
use crate::store::{
    EntityId, EntityKind, FieldsRef, NodeReader, RawRecord, StoreError, call, keys, unreadable,
};
use roomkeeper_core::ids::NodeId;

/// Commands in a batch: one for a call, and four for a room, because rooms can be big. Each batch costs two switches
/// between the task that decodes and the one that owns the socket, so small batches are slow on a busy machine.
const BATCH: usize = 512;

/// Batches in flight.
const IN_FLIGHT: usize = 2;

/// The number of keys that one step of a scan visits.
const SCAN_COUNT: usize = 1_000;

/// The fields that are read of a call's hash: its version, its end, its head. `HGETALL` would repeat each name for each
/// call of a fleet.
static CALL_FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let own = [VERSION, ENDED].map(str::to_owned);
    own.into_iter().chain(call::HEAD.map(head_field)).collect()
});

impl RedisStore {
    /// Passes every live entity of a node to the reader.
    pub(super) async fn read_all_of(
        &self,
        node: NodeId,
        reader: &mut dyn NodeReader,
    ) -> Result<(), StoreError> {
        let key = keys::lists(node);
        let changes = match self.count_changes(node).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                unreadable::note_error(&error);
                Ok(0)
            }
            changes => changes,
        }?;
        let mut sizes = BTreeMap::new();
        let mut command = redis::cmd("SMEMBERS");
        command.arg(&key);
        let lists: Vec<String> = match self.query(&key, &command).await {
            Err(error @ StoreError::Corrupt { .. }) => {
                unreadable::note_error(&error);
                self.rebuild_set_of_lists(node).await?
            }
            lists => lists?,
        };
        if !lists.is_empty() {
            let target = self.route.target_for(&key).await?;
            let connection = NodeConnection::open(&target, &self.options).await?;
            let entities = self.read_lists(node, &connection, &lists, reader).await?;
            self.read_entities(&connection, &entities, reader, &mut sizes)
                .await?;
        }
        self.recount(node, changes, &sizes).await
    }

    /// Reads the ids on these lists and announces their number to the reader.
    async fn read_lists(
        &self,
        node: NodeId,
        connection: &NodeConnection,
        lists: &[String],
        reader: &mut dyn NodeReader,
    ) -> Result<Vec<EntityId>, StoreError> {
        let mut entities = Vec::new();
        let kinds =
            [EntityKind::Room, EntityKind::Call].map(|kind| (kind, keys::list_prefix(node, kind)));
        let mut add = |list: &str, position: &str| {
            let mut kinds = kinds.iter();
            let kind = kinds.find(|(_, prefix)| list.starts_with(prefix));
            match kind.and_then(|(kind, _)| entity_at(node, *kind, position)) {
                Some(entity) => entities.push(entity),
                None => reader.unreadable(None, invalid_position(list, position)),
            }
        };
        if !connection.read_lists(lists, &mut add).await? {
            // The script reads the pieces of all lists in one step, which blocks the server.
            let listed: Vec<Vec<String>> = self
                .run(&LIVE, &keys::lists(node), lists.len(), |command| {
                    command.arg(lists);
                })
                .await?;
            for (list, positions) in lists.iter().zip(listed) {
                positions.iter().for_each(|position| add(list, position));
            }
        }
        let is_room = |entity: &&EntityId| entity.kind() == EntityKind::Room;
        let rooms = entities.iter().filter(is_room).count();
        reader.expect(rooms, entities.len() - rooms);
        Ok(entities)
    }

    /// Passes these entities to the reader and sums up their sizes by app.
    async fn read_entities(
        &self,
        connection: &NodeConnection,
        entities: &[EntityId],
        reader: &mut dyn NodeReader,
        sizes: &mut BTreeMap<String, u64>,
    ) -> Result<(), StoreError> {
        let mut refused = Vec::new();
        let read = connection.read_entities(entities, |entity, hashes| match hashes {
            Some(RawRecord { head, parts }) => {
                add_size(entity, &head, sizes);
                pass_to_reader(entity, &head, parts, reader);
            }
            None => refused.push(entity),
        });
        read.await?;
        // A separate read shows the reason, or finds the entity on another server.
        for entity in refused {
            match self.hashes_of(entity).await {
                Ok((parts, head)) => {
                    let head = fields(&head);
                    add_size(entity, &head, sizes);
                    pass_to_reader(entity, &head, fields(&parts), reader);
                }
                Err(error @ StoreError::Corrupt { .. }) => reader.unreadable(Some(entity), error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Finds a node's lists among all keys, and rebuilds the set of them.
    async fn rebuild_set_of_lists(&self, node: NodeId) -> Result<Vec<String>, StoreError> {
        let key = keys::lists(node);
        let target = self.route.target_for(&key).await?;
        let connection = NodeConnection::open(&target, &self.options).await?;
        let mut found = BTreeSet::new();
        for kind in [EntityKind::Room, EntityKind::Call] {
            let prefix = keys::list_prefix(node, kind);
            let keys = connection.scan(&prefix).await?.into_iter();
            // The pieces of a list have one more colon.
            found.extend(keys.filter(|list| !list[prefix.len()..].contains(':')));
        }
        let mut pipe = redis::pipe();
        pipe.atomic();
        pipe.cmd("RENAME")
            .arg(&key)
            .arg(format!("{key}:unreadable"));
        if !found.is_empty() {
            pipe.cmd("SADD").arg(&key).arg(&found);
        }
        self.transaction::<Value>(&key, &pipe).await?;
        Ok(found.into_iter().collect())
    }
}

/// A connection that reads one node.
struct NodeConnection {
    connection: Connection,
    options: RedisOptions,
}

impl NodeConnection {
    async fn open(target: &Target, options: &RedisOptions) -> Result<Self, Fault> {
        // We enforce the timeout of each request.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let deadline = Instant::now() + options.connect_timeout;
        let Ok(opened) = timeout_at(deadline, target.open_commands(&config)).await else {
            return Err(Fault::Timeout(options.connect_timeout));
        };
        Ok(Self {
            connection: opened.map_err(Fault::Connect)?,
            options: options.clone(),
        })
    }

    async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        let mut commands = self.connection.commands.clone();
        let deadline = Instant::now() + self.options.timeout;
        match timeout_at(deadline, request.query(&mut commands)).await {
            Ok(answer) => answer.map_err(Fault::Answer),
            Err(_) => Err(Fault::Timeout(self.options.timeout)),
        }
    }

    /// Sends these commands and returns one answer for each, also if Redis refuses some.
    async fn send_all(&self, pipeline: &Pipeline) -> Result<Vec<Value>, Fault> {
        let answers = self.send(Request::Several(pipeline)).await?;
        Ok(answers.into_sequence().unwrap_or_default())
    }

    /// Returns the keys with this prefix.
    async fn scan(&self, prefix: &str) -> Result<Vec<String>, Fault> {
        let mut found = Vec::new();
        let mut cursor = 0_u64;
        loop {
            let mut command = redis::cmd("SCAN");
            command.arg(cursor).arg("MATCH").arg(format!("{prefix}*"));
            command.arg("COUNT").arg(SCAN_COUNT);
            let answer = self.send(Request::One(&command)).await?;
            let (next, keys): (u64, Vec<String>) =
                redis::from_redis_value(answer).map_err(|error| Fault::Answer(error.into()))?;
            found.extend(keys);
            cursor = next;
            if cursor == 0 {
                return Ok(found);
            }
        }
    }

    /// Passes each list and each of its positions to `each`. A list is stored in pieces (`scripts/rope.lua`), and all are
    /// read in one transaction, so that a position that moves between pieces is not missed. Returns `false`, and passes
    /// nothing, if the pieces have changed since, or the server does not have all of them.
    async fn read_lists(
        &self,
        lists: &[String],
        mut each: impl FnMut(&str, &str),
    ) -> Result<bool, Fault> {
        let mut pipe = redis::pipe();
        for list in lists {
            pipe.cmd("ZRANGE").arg(list).arg(0).arg(-1);
        }
        let answers = self.send_all(&pipe).await?;
        let known: Vec<Vec<String>> = lists
            .iter()
            .zip(&answers)
            .map(|(list, answer)| pieces_of(list, answer).unwrap_or_default())
            .collect();

        let mut pipe = redis::pipe();
        pipe.cmd("MULTI");
        for (list, pieces) in lists.iter().zip(&known) {
            for key in pieces.iter().chain([list]) {
                pipe.cmd("ZRANGE").arg(key).arg(0).arg(-1);
            }
        }
        pipe.cmd("EXEC");
        let answers = self.send_all(&pipe).await?;
        let exec = answers.last().unwrap_or(&Value::Nil);
        let Some(positions) = positions_on(lists, &known, exec) else {
            return Ok(false);
        };
        for (list, position) in positions {
            each(list, position);
        }
        Ok(true)
    }

    /// Passes each entity, in order, with a consistent copy of its hashes to `each`; `None` if the server refused them.
    async fn read_entities(
        &self,
        entities: &[EntityId],
        mut each: impl FnMut(EntityId, Option<RawRecord<'_>>),
    ) -> Result<(), Fault> {
        let mut batches = batches(entities);
        let mut in_flight = FuturesOrdered::new();
        for batch in batches.by_ref().take(IN_FLIGHT) {
            in_flight.push_back(self.read_batch(batch));
        }
        while let Some(read) = in_flight.next().await {
            let (batch, answers) = read?;
            if let Some(next) = batches.next() {
                in_flight.push_back(self.read_batch(next));
            }
            let mut rest = answers.as_slice();
            for entity in batch {
                let count = answers_for(entity.kind()).min(rest.len());
                let (own, others) = rest.split_at(count);
                each(*entity, hashes(entity.kind(), own));
                rest = others;
            }
            // Decoding a batch takes a millisecond; then other tasks on this thread run.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn read_batch<'a>(
        &self,
        batch: &'a [EntityId],
    ) -> Result<(&'a [EntityId], Vec<Value>), Fault> {
        Ok((batch, self.send_all(&read_commands(batch)).await?))
    }
}

/// Splits entities into batches of about [`BATCH`] commands.
fn batches(entities: &[EntityId]) -> impl Iterator<Item = &[EntityId]> {
    let mut commands = 0;
    entities.chunk_by(move |entity, _| {
        commands += answers_for(entity.kind());
        let is_full = commands >= BATCH;
        if is_full {
            commands = 0;
        }
        !is_full
    })
}

/// Returns the commands that read these entities. A call is one hash. A room is two, read in one transaction, parts first
/// (see [`read_whole`](RedisStore::read_whole)).
fn read_commands(entities: &[EntityId]) -> Pipeline {
    let mut pipe = Pipeline::with_capacity(4 * entities.len());
    for entity in entities {
        let head = keys::entity(*entity);
        match entity.kind() {
            EntityKind::Call => {
                pipe.cmd("HMGET").arg(head).arg(&*CALL_FIELDS);
            }
            EntityKind::Room => {
                pipe.cmd("MULTI");
                pipe.cmd("HGETALL").arg(keys::parts(*entity));
                pipe.cmd("HGETALL").arg(head);
                pipe.cmd("EXEC");
            }
        }
    }
    pipe
}

/// Returns the number of answers to the commands that read one entity.
const fn answers_for(kind: EntityKind) -> usize {
    match kind {
        EntityKind::Call => 1,
        EntityKind::Room => 4,
    }
}

/// Returns the hashes of an entity from the answers to its commands; `None` if the server refused one of them or a field is
/// not text.
fn hashes(kind: EntityKind, answers: &[Value]) -> Option<RawRecord<'_>> {
    let answer = answers.last()?;
    match kind {
        EntityKind::Call => Some(RawRecord {
            head: named_values(&CALL_FIELDS, answer)?,
            parts: FieldsRef::default(),
        }),
        EntityKind::Room => {
            let [parts, head] = answer.as_sequence()? else {
                return None;
            };
            Some(RawRecord {
                head: pairs(head)?,
                parts: pairs(parts)?,
            })
        }
    }
}

/// Returns the values that an answer has for these names.
fn named_values<'a>(names: &'a [String], answer: &'a Value) -> Option<FieldsRef<'a>> {
    let Value::Array(values) = answer else {
        return None;
    };
    let found = names.iter().zip(values);
    let found = found.filter(|(_, value)| **value != Value::Nil);
    found
        .map(|(name, value)| Some((name.as_str(), text(value)?)))
        .collect()
}

/// Returns the names and values of a hash.
fn pairs(answer: &Value) -> Option<FieldsRef<'_>> {
    let pairs = answer.as_map_iter()?;
    pairs
        .map(|(name, value)| Some((text(name)?, text(value)?)))
        .collect()
}

fn text(value: &Value) -> Option<&str> {
    let Value::BulkString(bytes) = value else {
        return None;
    };
    std::str::from_utf8(bytes).ok()
}

/// Returns the keys of a list's pieces: the list holds the first text of each.
fn pieces_of(list: &str, answer: &Value) -> Option<Vec<String>> {
    let begins = answer.as_sequence()?.iter();
    begins
        .map(|begin| Some(format!("{list}:{}", text(begin)?)))
        .collect()
}

/// Returns the positions in the answer to the transaction that reads all pieces of these lists, each piece followed by its
/// list; `None` if the pieces have changed or one cannot be read.
fn positions_on<'a>(
    lists: &'a [String],
    known: &[Vec<String>],
    exec: &'a Value,
) -> Option<Vec<(&'a str, &'a str)>> {
    let Value::Array(answers) = exec else {
        return None;
    };
    let mut answers = answers.iter();
    let mut found = Vec::new();
    for (list, pieces) in lists.iter().zip(known) {
        for piece in answers.by_ref().take(pieces.len()) {
            for position in piece.as_sequence()? {
                found.push((list.as_str(), text(position)?));
            }
        }
        if pieces_of(list, answers.next()?)? != *pieces {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use redis::Value::{Array, Nil, Okay};
    use uuid::Uuid;

    use super::*;
    use roomkeeper_core::ids::{CallId, ChannelId, RoomId};

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn texts(texts: &[&str]) -> Value {
        Array(texts.iter().map(|text| bulk(text)).collect())
    }

    /// A refusal as redis-rs parses it.
    fn refusal(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("refusal should parse")
    }

    fn queued() -> Value {
        Value::SimpleString("QUEUED".to_owned())
    }

    fn show(hashes: &RawRecord<'_>) -> (String, String) {
        let show = |fields: &FieldsRef<'_>| {
            let fields = fields.iter().map(|(name, value)| format!("{name}={value}"));
            fields.collect::<Vec<_>>().join(" ")
        };
        (show(&hashes.head), show(&hashes.parts))
    }

    #[test]
    fn batch_has_as_many_commands_of_rooms_as_of_calls() {
        let node: NodeId = "n0001".parse().expect("node id should be valid");
        let id = |n: usize| Uuid::from_u128(n as u128);
        let room = |n| EntityId::Room(RoomId::new(node, id(n)));
        let call = |n| EntityId::Call(CallId::new(node, ChannelId::new(id(n))));
        let entities: Vec<_> = (0..130).map(room).chain((0..1_100).map(call)).collect();
        let sizes: Vec<usize> = batches(&entities).map(<[_]>::len).collect();
        // The second batch has two rooms.
        assert_eq!(sizes, [128, 506, 512, 84]);
        assert!(batches(&entities).flatten().eq(&entities));
        assert_eq!(batches(&[]).count(), 0);
    }

    #[test]
    fn room_has_the_head_and_parts_of_its_transaction() {
        let exec = Array(vec![texts(&["a", "1\r\n2\u{e9}"]), texts(&["#v", "7"])]);
        let answers = [Okay, queued(), queued(), exec];
        let found = hashes(EntityKind::Room, &answers).expect("hashes should be complete");
        assert_eq!(
            show(&found),
            ("#v=7".to_owned(), "a=1\r\n2\u{e9}".to_owned())
        );
    }

    #[test]
    fn missing_field_of_call_differs_from_empty_one() {
        let show_call = |answer| {
            let answers = [answer];
            hashes(EntityKind::Call, &answers).map(|found| show(&found).0)
        };
        let some = Array(vec![bulk("7"), Nil, bulk(""), Nil, bulk("p2")]);
        assert_eq!(show_call(some), Some("#v=7 happ= hplace=p2".to_owned()));
        assert_eq!(show_call(Array(vec![Nil; 5])), Some(String::new()));
        assert_eq!(show_call(refusal("WRONGTYPE no")), None);
    }

    #[test]
    fn refused_or_unreadable_hash_is_none() {
        let empty = || Array(Vec::new());
        let binary = Value::BulkString(vec![0xff]);
        for (exec, is_found) in [
            (Array(vec![empty(), empty()]), true),
            (Array(vec![empty(), refusal("WRONGTYPE no")]), false),
            (refusal("EXECABORT no"), false),
            (Array(vec![empty(), Array(vec![bulk("a"), binary])]), false),
        ] {
            let answers = [Okay, queued(), queued(), exec];
            let found = hashes(EntityKind::Room, &answers);
            assert_eq!(found.is_some(), is_found, "{answers:?}");
        }
        assert_eq!(hashes(EntityKind::Room, &[]), None);
    }

    #[test]
    fn lists_with_changed_pieces_are_rejected() {
        let lists = ["list".to_owned()];
        // One piece, which begins with the empty text.
        let known = [vec!["list:".to_owned()]];
        let positions = texts(&["a"]);
        let same = Array(vec![positions.clone(), texts(&[""])]);
        assert_eq!(
            positions_on(&lists, &known, &same),
            Some(vec![("list", "a")])
        );
        for exec in [
            Array(vec![positions.clone(), texts(&["", "b"])]),
            Array(vec![positions]),
            Array(vec![refusal("WRONGTYPE no"), texts(&[""])]),
            refusal("EXECABORT no"),
            Nil,
        ] {
            assert_eq!(positions_on(&lists, &known, &exec), None, "{exec:?}");
        }
    }
}
