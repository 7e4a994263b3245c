//! A store that fails where it is told to, and otherwise is the one in memory.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use roomkeeper::ids::{AppId, NodeId, RoomId, RoomName};
use roomkeeper::store::apps::StoredApps;
use roomkeeper::store::gate::{Command, CommandAnswer, CommandStart, Cooldown, Rate, Tokens};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{
    Backlog, ClaimedDelivery, Commit, CommitOutcome, DeliveryResult, EntityId, EntityKind, Lease,
    LeaseOutcome, ListEntry, ListOf, NameOutcome, NewDelivery, NodeRecords, OutboxBatch,
    OutboxCursor, Record, Store, StoreError, ViewEntry, ViewId, ViewKind,
};
use roomkeeper::time::Timestamp;
use uuid::Uuid;

pub struct Faulty {
    pub inner: Arc<MemoryStore>,
    /// Methods that are unavailable; "ping" never answers.
    pub broken: Mutex<BTreeSet<&'static str>>,
    /// How often one of them was called.
    pub fired: AtomicU64,
}

impl Faulty {
    pub fn new(inner: Arc<MemoryStore>, broken: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            inner,
            broken: Mutex::new(broken.iter().copied().collect()),
            fired: AtomicU64::new(0),
        })
    }

    fn check(&self, method: &'static str) -> Result<(), StoreError> {
        if self.broken.lock().unwrap().contains(method) {
            self.fired.fetch_add(1, Ordering::Relaxed);
            return Err(StoreError::Unavailable("told to fail".into()));
        }
        Ok(())
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

macro_rules! passed_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Store for Faulty {
            async fn ping(&self) -> Result<(), StoreError> {
                if self.check("ping").is_err() {
                    std::future::pending::<()>().await;
                }
                self.inner.ping().await
            }
            $(
                async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                    self.check(stringify!($name))?;
                    self.inner.$name($($arg),*).await
                }
            )*
        }
    };
}

passed_on! {
    acquire_lease(node: NodeId, owner: Uuid, ttl: Duration) -> LeaseOutcome;
    release_lease(lease: Lease) -> ();
    read_apps(known: Option<u64>) -> Option<StoredApps>;
    put_app(expected: u64, app: &AppId, record: &str) -> bool;
    read(entity: EntityId) -> Option<Record>;
    read_head(entity: EntityId) -> Option<Record>;
    read_node(node: NodeId) -> NodeRecords;
    commit(commit: &Commit) -> CommitOutcome;
    due(node: NodeId, now: Timestamp, limit: usize) -> Vec<EntityId>;
    list(node: NodeId, kind: EntityKind, app: &AppId, after: Option<&str>, limit: usize) -> Vec<ListEntry>;
    read_views(node: NodeId, views: &[ViewId]) -> Vec<Option<String>>;
    list_views(node: NodeId, kind: ViewKind, of: ListOf<'_>, after: Option<&str>, limit: usize) -> Vec<ViewEntry>;
    reserve_name(app: &AppId, name: &RoomName, room: RoomId, ttl: Duration) -> NameOutcome;
    confirm_name(app: &AppId, name: &RoomName, room: RoomId) -> bool;
    free_name(app: &AppId, name: &RoomName, room: RoomId) -> ();
    read_outbox(node: NodeId, limit: usize) -> OutboxBatch;
    fan_out(node: NodeId, from: &OutboxCursor, to: &OutboxCursor, deliveries: &[NewDelivery]) -> bool;
    claim_deliveries(node: NodeId, visibility: Duration, limit: usize) -> Vec<ClaimedDelivery>;
    finish_delivery(node: NodeId, claim: &ClaimedDelivery, result: DeliveryResult) -> bool;
    next_delivery(node: NodeId) -> Option<Duration>;
    backlog(node: NodeId) -> Backlog;
    take_cooldown(about: EntityId, group: &str, holder: Uuid, window: Duration) -> Cooldown;
    refund_cooldown(about: EntityId, group: &str, holder: Uuid) -> ();
    begin_command(command: &Command, hold: Duration) -> CommandStart;
    finish_command(command: &Command, answer: &CommandAnswer, keep: Duration) -> bool;
    forget_command(command: &Command) -> ();
    take_tokens(app: &AppId, rate: Rate, want: u32) -> Tokens;
}

mod tests {
    use super::*;
    use crate::world::*;
    use serde_json::json;

    const PATH: &str = "/api/v1/conferences";

    fn world(broken: &[&'static str]) -> (World, Arc<Faulty>) {
        let store = Arc::new(MemoryStore::new());
        let faulty = Faulty::new(store.clone(), broken);
        (World::on(faulty.clone(), store, settings()), faulty)
    }

    #[tokio::test]
    async fn unavailable_503_with_retry_after() {
        let (world, faulty) = world(&["read", "read_head", "list", "reserve_name"]);
        let room = room_id("acW68", 1);
        let session = session_id("acW68", 1);
        let paths = [
            PATH.to_owned(),
            format!("{PATH}/{room}"),
            format!("{PATH}/{room}/members"),
            "/api/v1/sessions".to_owned(),
            format!("/api/v1/sessions/{session}"),
        ];
        for path in &paths {
            world.get(path).await.fails(503);
        }
        world.delete(&paths[1]).await.fails(503);
        world.post(PATH, json!({"name": "n"})).await.fails(503);
        let join = format!("/api/v1/sessions/{session}/commands/conference/join");
        world
            .post(&join, json!({"room_id": room.to_string()}))
            .await
            .fails(503);
        assert!(faulty.fired.load(Ordering::Relaxed) >= 8);
        assert!(world.intents().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_whose_name_could_not_be_confirmed_is_created_all_the_same() {
        let (world, faulty) = world(&["confirm_name"]);
        let made = world.post(PATH, json!({"name": "n"})).await;
        assert_eq!(made.status.as_u16(), 201);
        assert_eq!(faulty.fired.load(Ordering::Relaxed), 1);
        faulty.broken.lock().unwrap().clear();
        let again = world.post(PATH, json!({"name": "n"})).await;
        assert_eq!(again.fails(409)["detail"], made.json());
        tokio::time::sleep(Duration::from_secs(60)).await;
        let again = world.post(PATH, json!({"name": "n"})).await;
        assert_eq!(again.fails(409)["detail"], made.json());
    }

    #[tokio::test]
    async fn a_name_that_could_not_be_freed_is_freed_by_the_next() {
        let (world, faulty) = world(&["free_name"]);
        let made = world.post(PATH, json!({"name": "n"})).await.json();
        let path = format!("{PATH}/{}", made["room_id"].as_str().unwrap());
        world.delete(&path).await.is(200, made);
        assert_eq!(faulty.fired.load(Ordering::Relaxed), 1);
        faulty.broken.lock().unwrap().clear();
        assert_eq!(
            world.post(PATH, json!({"name": "n"})).await.status.as_u16(),
            201
        );
    }

    #[tokio::test]
    async fn an_unreadable_record_500() {
        let (world, _) = world(&[]);
        let room = room_id("acW68", 1);
        world.room(room, "demo", "n", 1, 0).await;
        let record = world
            .store
            .read_head(EntityId::Room(room))
            .await
            .unwrap()
            .unwrap();
        let commit = Commit {
            node: room.node(),
            request: Uuid::new_v4(),
            lease: None,
            entities: vec![roomkeeper::store::EntityWrite {
                entity: EntityId::Room(room),
                expected: record.version,
                head: vec![("run".to_owned(), "{".to_owned())],
                parts: Vec::new(),
                deadline: None,
                life: roomkeeper::store::Life::Live,
                listed: None,
            }],
            outbox: Vec::new(),
            views: Vec::new(),
        };
        world.store.commit(&commit).await.unwrap();
        world.get(&format!("{PATH}/{room}")).await.fails(500);
    }
}
