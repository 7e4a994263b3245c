//! A store that panics or hangs where it is told to, and otherwise is the one in memory.

use std::collections::BTreeMap;
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
use tokio::sync::Notify;
use uuid::Uuid;

/// What happens to a call.
#[derive(Clone)]
pub enum Act {
    /// The first one panics, the others are as ever.
    PanicOnce,
    /// Each waits until it is let go.
    Hold(Arc<Notify>),
}

pub struct Tampered {
    inner: MemoryStore,
    acts: Mutex<BTreeMap<&'static str, Act>>,
    /// How often something happened to a call.
    fired: AtomicU64,
}

impl Tampered {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::new(),
            acts: Mutex::default(),
            fired: AtomicU64::new(0),
        })
    }

    pub fn will(&self, method: &'static str, act: Act) {
        self.acts.lock().unwrap().insert(method, act);
    }

    /// From now on calls are as ever. Those that are held still wait.
    pub fn behaves(&self, method: &'static str) {
        self.acts.lock().unwrap().remove(method);
    }

    pub fn fired(&self) -> u64 {
        self.fired.load(Ordering::SeqCst)
    }

    async fn before(&self, method: &'static str) {
        let act = {
            let mut acts = self.acts.lock().unwrap();
            let act = acts.get(method).cloned();
            if matches!(act, Some(Act::PanicOnce)) {
                acts.remove(method);
            }
            act
        };
        if act.is_some() {
            self.fired.fetch_add(1, Ordering::SeqCst);
        }
        match act {
            None => {}
            Some(Act::PanicOnce) => panic!("the store was told to panic"),
            Some(Act::Hold(go)) => go.notified().await,
        }
    }
}

impl fmt::Debug for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tampered")
    }
}

macro_rules! passed_on {
    ($($name:ident($($arg:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Store for Tampered {
            $(
                async fn $name(&self, $($arg: $type),*) -> Result<$out, StoreError> {
                    self.before(stringify!($name)).await;
                    self.inner.$name($($arg),*).await
                }
            )*
        }
    };
}

passed_on! {
    ping() -> ();
    acquire_lease(node: NodeId, owner: Uuid, ttl: Duration) -> LeaseOutcome;
    release_lease(lease: Lease) -> ();
    read_apps(known: Option<u64>) -> Option<StoredApps>;
    put_app(expected: u64, app: &AppId, record: &str) -> bool;
    read(entity: EntityId) -> Option<Record>;
    read_head(entity: EntityId) -> Option<Record>;
    read_node(node: NodeId) -> NodeRecords;
    commit(commit: &Commit) -> CommitOutcome;
    due(node: NodeId, now: Timestamp, limit: usize) -> Vec<EntityId>;
    read_views(node: NodeId, views: &[ViewId]) -> Vec<Option<String>>;
    list_views(node: NodeId, kind: ViewKind, of: ListOf<'_>, after: Option<&str>, limit: usize) -> Vec<ViewEntry>;
    list(node: NodeId, kind: EntityKind, app: &AppId, after: Option<&str>, limit: usize) -> Vec<ListEntry>;
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
