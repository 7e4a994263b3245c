//! A store in memory whose methods can be made unavailable.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use roomkeeper::store::StoreError;
use roomkeeper::store::memory::MemoryStore;

/// The methods that never respond while they are unavailable.
const SILENT: [&str; 2] = ["ping", "list_all"];

pub struct Faulty {
    pub inner: Arc<MemoryStore>,
    /// The unavailable methods; those in [`SILENT`] never respond.
    pub broken: Mutex<BTreeSet<&'static str>>,
    /// The number of calls of unavailable methods.
    pub fired: AtomicU64,
    changed: tokio::sync::Notify,
}

impl Faulty {
    pub fn new(inner: Arc<MemoryStore>, broken: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            inner,
            broken: Mutex::new(broken.iter().copied().collect()),
            fired: AtomicU64::new(0),
            changed: tokio::sync::Notify::new(),
        })
    }

    /// Waits until unavailable methods were called this many times.
    pub async fn until_fired(&self, times: u64) {
        let fired = async {
            loop {
                let changed = self.changed.notified();
                if self.fired.load(Ordering::Relaxed) >= times {
                    return;
                }
                changed.await;
            }
        };
        let limit = std::time::Duration::from_secs(60);
        let fired = tokio::time::timeout(limit, fired).await;
        fired.expect("the fault fires");
    }

    async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError> {
        if self.broken.lock().unwrap().contains(method) {
            self.fired.fetch_add(1, Ordering::Relaxed);
            self.changed.notify_waiters();
            if SILENT.contains(&method) {
                std::future::pending::<()>().await;
            }
            return Err(StoreError::Unavailable("unavailable for a test".into()));
        }
        Ok(&self.inner)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

store_behind!(roomkeeper, Faulty);

mod tests {
    use super::*;
    use crate::world::*;
    use roomkeeper::store::{Commit, EntityId, Store};
    use serde_json::json;
    use std::time::Duration;
    use uuid::Uuid;

    const PATH: &str = "/api/v1/conferences";

    fn world(broken: &[&'static str]) -> (World, Arc<Faulty>) {
        let store = Arc::new(MemoryStore::new());
        let faulty = Faulty::new(store.clone(), broken);
        (World::with_store(faulty.clone(), store, settings()), faulty)
    }

    #[tokio::test]
    async fn unavailable_store_gives_503_with_retry_after() {
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
    async fn room_with_unconfirmed_name_is_created() {
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
    async fn name_is_freed_by_next_request() {
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
    async fn unreadable_record_gives_500() {
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
