//! Minimal commits, and helpers that wait until a store applies them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomkeeper::store::redis::{RedisOptions, RedisStore, TlsConfig};
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Message, NodeReader, RawRecord, Record,
    Scope, Store, StoreError, Version,
};
use roomkeeper_core::ids::{NodeId, RoomId};
use uuid::Uuid;

/// Time limit for a store to be available again.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Connects to the store at this URL, with the connect timeout of a configured store.
pub fn store_at(url: &str, timeout: Duration) -> Arc<RedisStore> {
    store_with(url, timeout, None)
}

/// Connects like [`store_at`], with these TLS settings.
pub fn store_with(url: &str, timeout: Duration, tls: Option<TlsConfig>) -> Arc<RedisStore> {
    let options = RedisOptions {
        timeout,
        connect_timeout: timeout * 4 / 5,
        tls,
    };
    Arc::new(RedisStore::connect(url, &options).expect("a good URL"))
}

/// The node of all entities in these tests.
pub fn node() -> NodeId {
    "acW68".parse().expect("an id")
}

/// The id of the node's n-th room.
pub fn room_id(n: usize) -> RoomId {
    RoomId::new(
        node(),
        Uuid::from_u128(u128::try_from(n).expect("a small number")),
    )
}

/// The n-th room as an entity.
pub fn room(n: usize) -> EntityId {
    EntityId::Room(room_id(n))
}

/// A commit that writes a field and a part, with one message in the outbox.
pub fn change(entity: EntityId, expected: Version) -> Commit {
    Commit {
        node: node(),
        request: Uuid::new_v4(),
        lease: None,
        entities: vec![EntityWrite {
            entity,
            expected,
            head: vec![("field".to_owned(), "value".to_owned())],
            parts: vec![("part".to_owned(), Some("value".to_owned()))],
            deadline: None,
            life: Life::Live,
            listed: None,
        }],
        outbox: vec![Message {
            id: format!("msg_{}", expected.0),
            app: "acme".parse().expect("an id"),
            scope: Scope::Room(room_id(1)),
            sequence: expected.0 + 1,
            event: "conference.member.joined".to_owned(),
            body: "{}".to_owned(),
        }],
        views: Vec::new(),
    }
}

/// Asserts that the result is a retryable error.
pub fn assert_unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    match result {
        Err(error @ StoreError::Unavailable(_)) => assert!(error.is_retryable()),
        other => panic!("not unavailable: {other:?}"),
    }
}

/// All stored records of a node.
#[derive(Debug, Default)]
pub struct NodeRecords {
    /// The announced numbers of rooms and calls.
    pub expected: Option<(usize, usize)>,
    pub records: Vec<(EntityId, Record)>,
    pub unreadable: Vec<(Option<EntityId>, StoreError)>,
}

impl NodeReader for NodeRecords {
    fn expect(&mut self, rooms: usize, calls: usize) {
        assert_eq!(
            self.expected.replace((rooms, calls)),
            None,
            "the counts are announced once"
        );
    }

    fn entity(&mut self, id: EntityId, version: Version, stored: RawRecord<'_>) {
        assert!(self.expected.is_some(), "the counts are announced first");
        self.records.push((id, Record::from_raw(version, &stored)));
    }

    fn unreadable(&mut self, id: Option<EntityId>, error: StoreError) {
        self.unreadable.push((id, error));
    }
}

/// Reads all records of the node.
pub async fn read_node(store: &dyn Store) -> Result<NodeRecords, StoreError> {
    let mut stored = NodeRecords::default();
    store.read_node(node(), &mut stored).await?;
    Ok(stored)
}

/// Repeats the commit under the same id until the store answers.
pub async fn commit_until_applied(store: &RedisStore, commit: &Commit) {
    let start = Instant::now();
    loop {
        match store.commit(commit).await {
            Ok(outcome) => return assert_eq!(outcome, CommitOutcome::Applied),
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                assert!(start.elapsed() < TIMEOUT, "{error:?}");
            }
        }
    }
}

/// Pings the store until it answers. Returns the elapsed time.
pub async fn until_available(store: &RedisStore) -> Duration {
    let start = Instant::now();
    while let Err(error) = store.ping().await {
        assert!(start.elapsed() < TIMEOUT, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}
