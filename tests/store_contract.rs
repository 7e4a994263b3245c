//! The contract of the store: one case for each of its rules, run against every implementation.
//!
//! A case gets a [`Subject`]: an empty store, and a way to let the store's time pass. In memory the test moves the clock;
//! Redis has its own clock, so times are short and the test waits.
// The whole crate is test code, which the lint does not recognize.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "store_contract/audit.rs"]
mod audit;
#[path = "store_contract/deliveries.rs"]
mod deliveries;
#[path = "store_contract/dial_slots.rs"]
mod dial_slots;
#[path = "store_contract/lists.rs"]
mod lists;
#[path = "store_contract/live.rs"]
mod live;
#[path = "store_contract/node_status.rs"]
mod node_status;
#[path = "store_contract/polls.rs"]
mod polls;
#[path = "store_contract/retries.rs"]
mod retries;
mod support;
#[path = "store_contract/usage.rs"]
mod usage;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use audit::*;
use deliveries::*;
use dial_slots::*;
use futures_util::{StreamExt, stream};
use lists::*;
use live::*;
use node_status::*;
use polls::*;
use retries::*;
use roomkeeper::store::AppsWrite;
use roomkeeper::store::deliveries::{
    Backlog, ClaimedDelivery, DEAD_LIMIT, DeliveryResult, NewDelivery, OutboxCursor, QueueLimits,
    Share,
};
use roomkeeper::store::limits::{
    CommandStart, Cooldown, IdempotentCommand, Rate, StoredAnswer, Tokens,
};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::redis::{RedisOptions, RedisStore};
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityKind, EntityWrite, Fields, Lease, LeaseOutcome, Life,
    ListOf, Listing, Message, NameOutcome, REMEMBERED_REQUESTS, Record, Scope, Store, Version,
    ViewId, ViewKind, ViewWrite, call,
};
use roomkeeper_core::ids::{
    AppId, CallId, ChannelId, EndpointId, MemberId, NodeId, RecordingId, RoomId, RoomName,
};
use roomkeeper_core::time::Timestamp;
use support::redis::{Cluster, Passwords, RedisServer, Sentinels};
use support::store::read_node;
use support::tls::{Authority, LOCAL, ServerTls};
use usage::*;
use uuid::Uuid;

/// Longer than any test, for times that must not expire.
const LONG: Duration = Duration::from_secs(600);
/// Short enough to wait for. A case uses it only for expired times, never for times that must not have expired yet.
const SHORT: Duration = Duration::from_millis(20);
/// Long enough for the next step on a busy machine, and short enough to wait for.
const A_WHILE: Duration = Duration::from_millis(500);

/// Creates the subject's store with these limits.
type Make = Box<dyn Fn(QueueLimits) -> Arc<dyn Store> + Send + Sync>;

struct Subject {
    store: Arc<dyn Store>,
    make: Make,
    time: Time,
    _server: Option<RedisServer>,
}

enum Time {
    Ours(Arc<AtomicU64>),
    Theirs(redis::aio::MultiplexedConnection),
}

impl Subject {
    async fn memory() -> Self {
        let micros = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&micros);
        let make: Make = Box::new(move |limits| {
            let clock = Arc::clone(&clock);
            let clock = Arc::new(move || Duration::from_micros(clock.load(Ordering::SeqCst)));
            Arc::new(MemoryStore::with_clock(clock).with_limits(limits))
        });
        Self {
            store: make(QueueLimits::default()),
            make,
            time: Time::Ours(micros),
            _server: None,
        }
    }

    async fn redis() -> Self {
        let server = RedisServer::start().await;
        let mut subject = Self::at(&server.url(), &server).await;
        subject._server = Some(server);
        subject
    }

    /// The store at this URL, with this server's clock.
    async fn at(url: &str, clock: &RedisServer) -> Self {
        let options = RedisOptions {
            // A busy machine must not look like a broken store.
            timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(10),
            tls: clock.tls().map(ServerTls::client),
        };
        let url = url.to_owned();
        let make: Make = Box::new(move |limits| {
            let store = RedisStore::connect(&url, &options).unwrap();
            Arc::new(store.with_limits(limits))
        });
        Self {
            store: make(QueueLimits::default()),
            make,
            time: Time::Theirs(clock.connection().await.unwrap()),
            _server: None,
        }
    }

    /// The same empty store with these limits.
    fn limited(mut self, limits: QueueLimits) -> Self {
        self.store = (self.make)(limits);
        self
    }

    /// Lets this much of the store's time pass.
    async fn pass(&self, by: Duration) {
        match &self.time {
            Time::Ours(micros) => {
                let by = u64::try_from(by.as_micros()).unwrap();
                micros.fetch_add(by, Ordering::SeqCst);
            }
            Time::Theirs(connection) => {
                let mut connection = connection.clone();
                let mut now = async || -> Duration {
                    let (secs, micros): (u64, u64) = redis::cmd("TIME")
                        .query_async(&mut connection)
                        .await
                        .unwrap();
                    Duration::from_secs(secs) + Duration::from_micros(micros)
                };
                // Redis counts milliseconds, so one more is past every end.
                let until = now().await + by + Duration::from_millis(1);
                while now().await < until {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn commit(&self, commit: &Commit) -> CommitOutcome {
        self.store.commit(commit).await.unwrap()
    }

    /// Commits, and expects success.
    async fn apply(&self, commit: &Commit) {
        assert_eq!(self.commit(commit).await, CommitOutcome::Applied);
    }

    /// Reads the live entities of the node, all of which must be readable.
    async fn live(&self) -> Vec<(EntityId, Record)> {
        let found = read_node(&*self.store).await.unwrap();
        assert!(found.unreadable.is_empty(), "{found:?}");
        found.records
    }

    async fn version(&self, entity: EntityId) -> Version {
        let record = self.store.read_head(entity).await.unwrap();
        record.map_or(Version::ABSENT, |r| r.version)
    }

    /// Puts messages into the outbox, and from there into the queue of each endpoint.
    async fn queue(&self, endpoints: &[EndpointId], messages: Vec<Message>) {
        let mut commit = change(vec![write(room(999), Version::ABSENT)]);
        commit.entities[0].expected = self.version(room(999)).await;
        commit.outbox = messages;
        self.apply(&commit).await;
        let batch = self.store.read_outbox(node(), 100_000).await.unwrap();
        let deliveries: Vec<_> = batch
            .messages
            .iter()
            .flat_map(|message| endpoints.iter().map(|e| delivery(e, message)))
            .collect();
        assert!(
            self.store
                .fan_out(node(), &batch.from, &batch.to, &deliveries)
                .await
                .unwrap()
        );
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Vec<(String, EntityId)> {
        self.store
            .list(node(), EntityKind::Room, &app(), after, limit)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.position, entry.entity))
            .collect()
    }

    /// Writes views of one room together with the room.
    async fn put(&self, views: Vec<ViewWrite>) {
        let entity = EntityId::Room(views[0].room);
        let mut commit = change(vec![write(entity, self.version(entity).await)]);
        commit.views = views;
        self.apply(&commit).await;
    }

    async fn bodies(&self, views: &[ViewId]) -> Vec<Option<String>> {
        self.store.read_views(node(), views).await.unwrap()
    }

    async fn has_body(&self, view: ViewId) -> bool {
        self.bodies(&[view]).await[0].is_some()
    }

    async fn page(
        &self,
        kind: ViewKind,
        of: ListOf<'_>,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<(String, ViewId)> {
        self.store
            .list_views(node(), kind, of, after, limit)
            .await
            .unwrap()
            .into_iter()
            .map(|entry| (entry.position, entry.view))
            .collect()
    }

    /// All views of a list.
    async fn views(&self, kind: ViewKind, of: ListOf<'_>) -> Vec<ViewId> {
        let rows = self.page(kind, of, None, 10_000).await;
        rows.into_iter().map(|(_, view)| view).collect()
    }

    async fn lease(&self, owner: Uuid, ttl: Duration) -> Lease {
        match self.store.acquire_lease(node(), owner, ttl).await.unwrap() {
            LeaseOutcome::Held(lease) => lease,
            LeaseOutcome::Other { remaining } => panic!("another owner has it for {remaining:?}"),
        }
    }

    async fn reserve(&self, room: RoomId, ttl: Duration) -> NameOutcome {
        self.store
            .reserve_name(&app(), &name(), room, ttl)
            .await
            .unwrap()
    }

    async fn confirm(&self, room: RoomId) -> bool {
        self.store
            .confirm_name(&app(), &name(), room)
            .await
            .unwrap()
    }

    async fn free(&self, room: RoomId) {
        self.store.free_name(&app(), &name(), room).await.unwrap();
    }

    async fn claim(&self, visibility: Duration) -> Vec<ClaimedDelivery> {
        self.store
            .claim_deliveries(node(), visibility, Share::all(100))
            .await
            .unwrap()
    }

    async fn claim_one(&self, visibility: Duration) -> ClaimedDelivery {
        let mut claims = self.claim(visibility).await;
        assert_eq!(claims.len(), 1, "{claims:?}");
        claims.remove(0)
    }

    async fn finish(&self, claim: &ClaimedDelivery, result: DeliveryResult) -> bool {
        let finish = self.store.finish_delivery(node(), claim, result, None);
        finish.await.unwrap().is_some()
    }

    /// Returns the number of dead deliveries of an endpoint.
    async fn dead(&self, of: u8) -> u64 {
        let health = self.store.endpoint_health(node(), &[endpoint(of)]).await;
        health.unwrap()[0].dead
    }

    async fn cool(&self, about: EntityId, group: &str, holder: u128, window: Duration) -> Cooldown {
        let holder = Uuid::from_u128(holder);
        self.store
            .take_cooldown(about, group, holder, window)
            .await
            .unwrap()
    }

    async fn refund(&self, about: EntityId, group: &str, holder: u128) {
        let holder = Uuid::from_u128(holder);
        self.store
            .refund_cooldown(about, group, holder)
            .await
            .unwrap();
    }

    async fn begin(&self, command: &IdempotentCommand, hold: Duration) -> CommandStart {
        self.store.begin_command(command, hold).await.unwrap()
    }

    async fn answer(&self, command: &IdempotentCommand, status: u16, keep: Duration) -> bool {
        self.store
            .finish_command(command, &answered(status), keep)
            .await
            .unwrap()
    }

    async fn tokens(&self, app: &AppId, rate: Rate, want: u32) -> Tokens {
        self.store.take_tokens(app, rate, want).await.unwrap()
    }

    async fn backlog(&self) -> Backlog {
        self.store.backlog(node()).await.unwrap()
    }
}

fn node() -> NodeId {
    "acW68".parse().unwrap()
}

fn other_node() -> NodeId {
    "other".parse().unwrap()
}

fn app() -> AppId {
    "acme".parse().unwrap()
}

fn name() -> RoomName {
    "standup".parse().unwrap()
}

fn endpoint(n: u8) -> EndpointId {
    format!("ep_{n}").parse().unwrap()
}

fn room_id(n: u128) -> RoomId {
    RoomId::new(node(), Uuid::from_u128(n))
}

fn room(n: u128) -> EntityId {
    EntityId::Room(room_id(n))
}

fn session(n: u128) -> EntityId {
    EntityId::Call(CallId::new(node(), ChannelId::new(Uuid::from_u128(n))))
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn fields_from(pairs: &[(String, String)]) -> Fields {
    pairs.iter().cloned().collect()
}

/// A write that changes one field and nothing else.
fn write(entity: EntityId, expected: Version) -> EntityWrite {
    EntityWrite {
        entity,
        expected,
        head: vec![pair("topic", &expected.0.to_string())],
        parts: Vec::new(),
        deadline: None,
        life: Life::Live,
        listed: None,
    }
}

fn change(entities: Vec<EntityWrite>) -> Commit {
    Commit {
        node: node(),
        request: Uuid::new_v4(),
        lease: None,
        entities,
        outbox: Vec::new(),
        views: Vec::new(),
    }
}

fn create(entity: EntityId) -> Commit {
    change(vec![write(entity, Version::ABSENT)])
}

fn listed(entity: EntityId, created_ms: u64) -> Commit {
    let mut commit = create(entity);
    commit.entities[0].listed = Some(Listing {
        app: app(),
        created_at: Timestamp::from_millis(created_ms),
    });
    commit
}

fn end(entity: EntityId, expected: Version, keep: Duration) -> Commit {
    let mut commit = change(vec![write(entity, expected)]);
    commit.entities[0].life = Life::Ended { keep };
    commit
}

fn call(n: u128) -> ViewId {
    // Above the bits that hold the node.
    ViewId::Call(MemberId::generate(node(), Uuid::from_u128(n << 32)))
}

fn recording(n: u128) -> ViewId {
    ViewId::Recording(RecordingId::generate(node(), Uuid::from_u128(n << 32)))
}

fn conference(n: u128) -> ViewId {
    ViewId::Conference(room_id(n))
}

/// A live view.
fn view(view: ViewId, of_room: u128, created_ms: u64) -> ViewWrite {
    let body = match view {
        ViewId::Conference(_) => String::new(),
        ViewId::Call(_) | ViewId::Recording(_) => format!("{{\"id\":\"{view}\"}}"),
    };
    ViewWrite {
        view,
        body,
        listing: Listing {
            app: app(),
            created_at: Timestamp::from_millis(created_ms),
        },
        room: room_id(of_room),
        keep: None,
    }
}

/// The same view after its end.
fn over(view: &ViewWrite, keep: Duration) -> ViewWrite {
    ViewWrite {
        body: format!("over: {}", view.body),
        keep: Some(keep),
        ..view.clone()
    }
}

fn message(scope: u128, sequence: u64) -> Message {
    Message {
        id: format!("msg_{scope}_{sequence}"),
        app: app(),
        scope: Scope::Room(room_id(scope)),
        sequence,
        event: "conference.member.joined".to_owned(),
        // Characters that an encoding must escape.
        body: format!("{{\"n\":{sequence},\"text\":\"ü\\n\\\" {{}}\"}}\n"),
    }
}

fn delivery(endpoint: &EndpointId, message: &Message) -> NewDelivery {
    NewDelivery {
        endpoint: endpoint.clone(),
        message: message.clone(),
        held: false,
    }
}

// Entities and their versions.

async fn ping_succeeds(s: Subject) {
    s.store.ping().await.unwrap();
}

async fn unwritten_entity_is_absent(s: Subject) {
    assert_eq!(s.store.read(room(1)).await.unwrap(), None);
    assert_eq!(s.store.read_head(session(1)).await.unwrap(), None);
    assert_eq!(s.live().await, []);
}

async fn created_entity_reads_back_sorted(s: Subject) {
    let mut commit = create(room(1));
    commit.entities[0].head = vec![
        pair("z", "1"),
        pair("a", ""),
        pair("#v", "77"),
        pair("", "x"),
    ];
    commit.entities[0].parts = vec![
        ("m2".to_owned(), Some("zwei\0ü".to_owned())),
        ("m1".to_owned(), Some("one".to_owned())),
    ];
    s.apply(&commit).await;
    let record = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!(record.version, Version(1));
    let head = vec![
        pair("", "x"),
        pair("#v", "77"),
        pair("a", ""),
        pair("z", "1"),
    ];
    assert_eq!(record.head, fields_from(&head));
    assert_eq!(
        record.parts,
        fields_from(&[pair("m1", "one"), pair("m2", "zwei\0ü")])
    );
    let record = s.store.read_head(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.head, record.parts),
        (fields_from(&head), fields_from(&[]))
    );
}

async fn write_changes_only_named_fields(s: Subject) {
    let mut commit = create(room(1));
    commit.entities[0].head = vec![pair("a", "1"), pair("b", "1")];
    commit.entities[0].parts = vec![
        ("x".to_owned(), Some("1".to_owned())),
        ("y".to_owned(), Some("1".to_owned())),
        ("z".to_owned(), Some("1".to_owned())),
    ];
    s.apply(&commit).await;
    let mut commit = change(vec![write(room(1), Version(1))]);
    commit.entities[0].head = vec![pair("b", "2"), pair("c", "2")];
    commit.entities[0].parts = vec![
        ("x".to_owned(), None),
        ("y".to_owned(), Some("2".to_owned())),
        ("never there".to_owned(), None),
    ];
    s.apply(&commit).await;
    let record = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!(record.version, Version(2));
    let head = [pair("a", "1"), pair("b", "2"), pair("c", "2")];
    assert_eq!(record.head, fields_from(&head));
    assert_eq!(record.parts, fields_from(&[pair("y", "2"), pair("z", "1")]));
}

async fn empty_write_increments_version(s: Subject) {
    let mut commit = create(room(1));
    commit.entities[0].head.clear();
    s.apply(&commit).await;
    let record = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.version, record.head),
        (Version(1), fields_from(&[]))
    );
}

async fn write_from_other_version_is_a_conflict(s: Subject) {
    assert_eq!(
        s.commit(&change(vec![write(room(1), Version(1))])).await,
        CommitOutcome::Conflict(room(1)),
        "entity does not exist"
    );
    s.apply(&create(room(1))).await;
    assert_eq!(
        s.commit(&create(room(1))).await,
        CommitOutcome::Conflict(room(1)),
        "entity exists"
    );
    s.apply(&change(vec![write(room(1), Version(1))])).await;
    assert_eq!(
        s.commit(&change(vec![write(room(1), Version(1))])).await,
        CommitOutcome::Conflict(room(1))
    );
    assert_eq!(s.version(room(1)).await, Version(2));
}

async fn conflict_in_one_entity_changes_none(s: Subject) {
    s.apply(&create(room(2))).await;
    let mut commit = change(vec![
        write(room(1), Version::ABSENT),
        write(room(2), Version(7)),
    ]);
    commit.entities[0].deadline = Some(Timestamp::from_millis(1));
    commit.entities[0].listed = listed(room(1), 5).entities[0].listed.clone();
    commit.outbox = vec![message(1, 1)];
    assert_eq!(s.commit(&commit).await, CommitOutcome::Conflict(room(2)));
    assert_eq!(s.store.read(room(1)).await.unwrap(), None);
    assert_eq!(s.version(room(2)).await, Version(1));
    assert_eq!(s.list(None, 10).await, Vec::new());
    let due = s.store.due(node(), Timestamp::from_millis(9), 10).await;
    assert_eq!(due.unwrap(), Vec::new());
    assert_eq!(s.backlog().await, Backlog::default());
    // A rejected request id is not remembered as applied.
    commit.entities[1].expected = Version(1);
    s.apply(&commit).await;
    assert_eq!(s.version(room(2)).await, Version(2));
}

async fn one_commit_writes_several_entities(s: Subject) {
    let mut commit = create(room(1));
    commit.entities.push(write(session(1), Version::ABSENT));
    commit.entities[0].parts = vec![("m".to_owned(), Some("room's".to_owned()))];
    commit.entities[1].parts = vec![("m".to_owned(), Some("call's".to_owned()))];
    commit.outbox = vec![message(1, 1)];
    s.apply(&commit).await;
    let room = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!(room.parts, fields_from(&[pair("m", "room's")]));
    let call = s.store.read(session(1)).await.unwrap().unwrap();
    assert_eq!(call.parts, fields_from(&[pair("m", "call's")]));
    assert_eq!(s.backlog().await.outbox, 1);
}

async fn repeated_request_is_applied_once(s: Subject) {
    let mut commit = create(room(1));
    commit.outbox = vec![message(1, 1)];
    s.apply(&commit).await;
    s.apply(&commit).await;
    assert_eq!(s.version(room(1)).await, Version(1));
    assert_eq!(s.backlog().await.outbox, 1);
}

async fn repeated_request_is_recognized_after_other_writes(s: Subject) {
    let mut commit = create(room(1));
    commit.outbox = vec![message(1, 1)];
    s.apply(&commit).await;
    let others = u64::try_from(REMEMBERED_REQUESTS).unwrap() - 1;
    for version in 1..=others {
        s.apply(&change(vec![write(room(1), Version(version))]))
            .await;
    }
    s.apply(&commit).await;
    assert_eq!(s.version(room(1)).await, Version(others + 1));
    assert_eq!(s.backlog().await.outbox, 1);
    // A forgotten request is a conflict and changes nothing.
    s.apply(&change(vec![write(room(1), Version(others + 1))]))
        .await;
    assert_eq!(s.commit(&commit).await, CommitOutcome::Conflict(room(1)));
    assert_eq!(s.backlog().await.outbox, 1);
}

async fn repeated_request_is_recognized_after_lease_loss(s: Subject) {
    let lease = s.lease(Uuid::from_u128(1), LONG).await;
    let mut commit = create(room(1));
    commit.lease = Some(lease);
    s.apply(&commit).await;
    s.store.release_lease(lease).await.unwrap();
    s.apply(&commit).await;
    assert_eq!(s.version(room(1)).await, Version(1));
}

async fn big_records_are_read_and_written_whole(s: Subject) {
    let part = |n: usize| format!("member-{n:05}");
    let mut commit = create(room(1));
    commit.entities[0].parts = (0..10_000)
        .map(|n| (part(n), Some(format!("value {n}"))))
        .collect();
    s.apply(&commit).await;
    let mut commit = change(vec![write(room(1), Version(1))]);
    commit.entities[0].parts = (0..10_000)
        .map(|n| (part(n), (n % 2 == 0).then(|| format!("again {n}"))))
        .collect();
    s.apply(&commit).await;
    let record = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!(record.parts.len(), 5_000);
    for (n, (name, value)) in record.parts.iter().enumerate() {
        assert_eq!(pair(name, value), (part(2 * n), format!("again {}", 2 * n)));
    }
}

async fn one_of_concurrent_writes_wins_each_version(s: Subject) {
    s.apply(&create(room(1))).await;
    let mut won = 0;
    for version in 1..=5 {
        let outcomes: Vec<_> = stream::iter(0..20)
            .map(|_| {
                let store = Arc::clone(&s.store);
                let mut commit = change(vec![write(room(1), Version(version))]);
                commit.outbox = vec![message(1, version)];
                tokio::spawn(async move { store.commit(&commit).await.unwrap() })
            })
            .buffer_unordered(20)
            .map(|joined| joined.unwrap())
            .collect()
            .await;
        won += 1;
        let applied = |o: &&CommitOutcome| **o == CommitOutcome::Applied;
        assert_eq!(outcomes.iter().filter(applied).count(), 1);
        let conflict = CommitOutcome::Conflict(room(1));
        assert_eq!(outcomes.iter().filter(|o| **o == conflict).count(), 19);
    }
    assert_eq!(s.version(room(1)).await, Version(6));
    assert_eq!(s.backlog().await.outbox, won);
}

// Lists, deadlines, ends.

async fn read_node_returns_live_entities(s: Subject) {
    // More than one batch; some entities are on another node or have ended.
    let mut expected = BTreeSet::new();
    for n in 0..70 {
        let entity = if n % 2 == 0 { room(n) } else { session(n) };
        let mut commit = create(entity);
        let field = match entity {
            EntityId::Room(_) => "number",
            EntityId::Call(_) => call::HEAD[1],
        };
        commit.entities[0].head = vec![pair(field, &n.to_string())];
        if n % 2 == 0 {
            commit.entities[0].parts = vec![("part".to_owned(), Some(n.to_string()))];
        }
        s.apply(&commit).await;
        if n % 10 == 0 {
            s.apply(&end(entity, Version(1), LONG)).await;
        } else {
            expected.insert((entity, n.to_string()));
        }
    }
    let elsewhere = EntityId::Room(RoomId::new(other_node(), Uuid::from_u128(1)));
    let mut commit = create(elsewhere);
    commit.node = other_node();
    s.apply(&commit).await;
    let found: BTreeSet<_> = s
        .live()
        .await
        .into_iter()
        .map(|(entity, record)| {
            let parts: Vec<_> = record.parts.iter().map(|(_, part)| part).collect();
            let (_, number) = record.head.iter().next().unwrap();
            assert_eq!(
                parts,
                match entity {
                    EntityId::Room(_) => vec![number],
                    EntityId::Call(_) => Vec::new(),
                }
            );
            (entity, number.to_owned())
        })
        .collect();
    assert_eq!(found, expected);
}

async fn deadlines_are_due_earliest_first(s: Subject) {
    for (n, deadline) in [(1, Some(300)), (2, Some(100)), (3, None), (4, Some(200))] {
        let mut commit = create(room(n));
        commit.entities[0].deadline = deadline.map(Timestamp::from_micros);
        s.apply(&commit).await;
    }
    let due = async |now: u64, limit: usize| {
        let now = Timestamp::from_micros(now);
        s.store.due(node(), now, limit).await.unwrap()
    };
    assert_eq!(due(99, 9).await, []);
    assert_eq!(due(100, 9).await, [room(2)], "at its deadline");
    assert_eq!(due(1000, 9).await, [room(2), room(4), room(1)]);
    assert_eq!(due(1000, 2).await, [room(2), room(4)]);
    assert_eq!(due(1000, 0).await, []);
}

async fn write_moves_or_removes_deadline(s: Subject) {
    let exact = Timestamp::from_micros(1_778_070_896_672_025);
    let mut commit = create(room(1));
    commit.entities[0].deadline = Some(Timestamp::from_millis(1));
    s.apply(&commit).await;
    let mut commit = change(vec![write(room(1), Version(1))]);
    commit.entities[0].deadline = Some(exact);
    s.apply(&commit).await;
    let before = Timestamp::from_micros(exact.as_micros() - 1);
    assert_eq!(s.store.due(node(), before, 9).await.unwrap(), []);
    assert_eq!(s.store.due(node(), exact, 9).await.unwrap(), [room(1)]);
    s.apply(&change(vec![write(room(1), Version(2))])).await;
    assert_eq!(s.store.due(node(), exact, 9).await.unwrap(), []);
}

async fn lists_are_by_time_then_id_of_one_app_and_kind(s: Subject) {
    for (n, created) in [(3, 5), (1, 9), (2, 5), (4, 10_000_000_000)] {
        s.apply(&listed(room(n), created)).await;
    }
    let mut foreign = listed(room(5), 1);
    if let Some(listing) = &mut foreign.entities[0].listed {
        listing.app = "other".parse().unwrap();
    }
    s.apply(&foreign).await;
    s.apply(&listed(session(6), 1)).await;
    s.apply(&create(room(7))).await;
    let rows = s.list(None, 10).await;
    let entities: Vec<_> = rows.iter().map(|(_, entity)| *entity).collect();
    assert_eq!(entities, [room(2), room(3), room(1), room(4)]);
    assert_eq!(rows[0].0, format!("00000000000005:{}", room(2)));
    let sessions = s
        .store
        .list(node(), EntityKind::Call, &app(), None, 10)
        .await
        .unwrap();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions[0].entity, session(6));
}

async fn pages_neither_repeat_nor_miss_entries(s: Subject) {
    for n in 0..20 {
        s.apply(&listed(room(n), 100 + 2 * u64::try_from(n).unwrap()))
            .await;
    }
    let first = s.list(None, 7).await;
    assert_eq!(first.len(), 7);
    // The last row of the page leaves; one row is added before it and one after.
    s.apply(&end(room(6), Version(1), LONG)).await;
    s.apply(&listed(room(100), 101)).await;
    s.apply(&listed(room(101), 115)).await;
    let mut seen: Vec<_> = first.iter().map(|(_, entity)| *entity).collect();
    let mut after = first.last().unwrap().0.clone();
    loop {
        let page = s.list(Some(&after), 7).await;
        let Some((last, _)) = page.last() else { break };
        after = last.clone();
        seen.extend(page.iter().map(|(_, entity)| *entity));
    }
    let mut expected: Vec<_> = (0..20).map(room).collect();
    expected.insert(8, room(101));
    assert_eq!(seen, expected);
}

async fn listing_is_set_only_at_creation(s: Subject) {
    s.apply(&listed(room(1), 5)).await;
    s.apply(&change(vec![write(room(1), Version(1))])).await;
    assert_eq!(s.list(None, 10).await.len(), 1);
    s.apply(&end(room(1), Version(2), LONG)).await;
    assert_eq!(s.list(None, 10).await, []);
}

async fn ended_entity_leaves_lists_and_is_kept_for_its_time(s: Subject) {
    for n in [1, 2] {
        let mut commit = listed(room(n), 5);
        commit.entities[0].deadline = Some(Timestamp::from_millis(1));
        commit.entities[0].parts = vec![("m".to_owned(), Some("1".to_owned()))];
        s.apply(&commit).await;
    }
    let mut last_words = end(room(1), Version(1), SHORT);
    last_words.entities[0].deadline = Some(Timestamp::from_millis(1));
    last_words.outbox = vec![message(1, 1)];
    s.apply(&last_words).await;
    s.apply(&end(room(2), Version(1), LONG)).await;
    assert_eq!(s.list(None, 10).await, []);
    let late = Timestamp::from_millis(1000);
    assert_eq!(s.store.due(node(), late, 10).await.unwrap(), []);
    assert_eq!(s.live().await, []);
    assert_eq!(s.backlog().await.outbox, 1);
    s.pass(SHORT).await;
    assert_eq!(s.store.read(room(1)).await.unwrap(), None);
    assert_eq!(s.store.read_head(room(1)).await.unwrap(), None);
    let kept = s.store.read(room(2)).await.unwrap().unwrap();
    assert_eq!((kept.version, kept.parts.len()), (Version(2), 1));
}

async fn expired_entity_is_absent(s: Subject) {
    let mut commit = create(room(1));
    commit.entities[0].parts = vec![("m".to_owned(), Some("1".to_owned()))];
    s.apply(&commit).await;
    s.apply(&end(room(1), Version(1), SHORT)).await;
    s.pass(SHORT).await;
    let late = change(vec![write(room(1), Version(2))]);
    assert_eq!(s.commit(&late).await, CommitOutcome::Conflict(room(1)));
    s.apply(&create(room(1))).await;
    let record = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.version, record.parts),
        (Version(1), fields_from(&[]))
    );
}

async fn ended_entity_can_be_written_and_revived(s: Subject) {
    let mut commit = listed(room(1), 5);
    commit.entities[0].parts = vec![("m".to_owned(), Some("1".to_owned()))];
    s.apply(&commit).await;
    s.apply(&end(room(1), Version(1), A_WHILE)).await;
    s.apply(&end(room(1), Version(2), LONG)).await;
    assert_eq!(s.live().await, []);
    s.pass(A_WHILE).await;
    s.apply(&change(vec![write(room(1), Version(3))])).await;
    assert_eq!(s.live().await.len(), 1);
    assert_eq!(s.list(None, 10).await.len(), 1);
    s.apply(&end(room(1), Version(4), A_WHILE)).await;
    s.apply(&change(vec![write(room(1), Version(5))])).await;
    s.pass(A_WHILE).await;
    let record = s.store.read(room(1)).await.unwrap().unwrap();
    assert_eq!((record.version, record.parts.len()), (Version(6), 1));
}

// Views.

async fn unwritten_view_is_absent(s: Subject) {
    assert_eq!(s.bodies(&[]).await, []);
    let none = s.bodies(&[call(1), recording(1), conference(1)]).await;
    assert_eq!(none, [None, None, None]);
    for kind in [ViewKind::Conference, ViewKind::Call, ViewKind::Recording] {
        assert_eq!(s.views(kind, ListOf::App(&app())).await, []);
        assert_eq!(s.views(kind, ListOf::Room(room_id(1))).await, []);
    }
}

async fn views_read_back_as_last_written(s: Subject) {
    let (mut first, second) = (view(call(1), 1, 5), view(recording(2), 1, 5));
    s.put(vec![
        first.clone(),
        second.clone(),
        view(conference(1), 1, 5),
    ])
    .await;
    // Characters that an encoding must escape.
    first.body = "{\"text\":\"ü\\n\\\" {}\"}\0\n".to_owned();
    s.put(vec![first.clone()]).await;
    let ids = [recording(2), call(3), call(1), conference(1), recording(2)];
    let (first, second) = (Some(first.body), Some(second.body));
    let read = [second.clone(), None, first, None, second];
    assert_eq!(s.bodies(&ids).await, read);
    let mut twice = vec![view(call(1), 1, 5), view(call(1), 1, 5)];
    twice[1].body = "last".to_owned();
    s.put(twice).await;
    assert_eq!(
        s.bodies(&[call(1)]).await,
        [Some("last".to_owned())],
        "the last write of a commit should count"
    );
    assert_eq!(s.views(ViewKind::Call, ListOf::App(&app())).await.len(), 1);
}

async fn views_are_listed_by_app_and_by_room_in_order_of_time_then_id(s: Subject) {
    let other_app: AppId = "other".parse().unwrap();
    // An app's id can equal the digits of a room's id.
    let like_a_room: AppId = room_id(1).uuid().to_string().parse().unwrap();
    let mut views = vec![
        view(conference(1), 1, 2),
        view(recording(1), 1, 3),
        view(call(3), 1, 5),
        view(call(1), 1, 10_000_000_000),
        view(call(2), 1, 5),
        view(call(9), 1, 1),
        view(call(8), 1, 1),
    ];
    views[5].listing.app = other_app.clone();
    views[6].listing.app = like_a_room.clone();
    s.put(views).await;
    s.put(vec![view(call(4), 2, 4), view(conference(2), 2, 1)])
        .await;
    let (mine, one, two) = (app(), room_id(1), room_id(2));
    for (kind, of, expected) in [
        (
            ViewKind::Call,
            ListOf::App(&mine),
            vec![call(4), call(2), call(3), call(1)],
        ),
        (ViewKind::Call, ListOf::App(&other_app), vec![call(9)]),
        (ViewKind::Call, ListOf::App(&like_a_room), vec![call(8)]),
        (
            ViewKind::Call,
            ListOf::Room(one),
            vec![call(8), call(9), call(2), call(3), call(1)],
        ),
        (ViewKind::Call, ListOf::Room(two), vec![call(4)]),
        (ViewKind::Recording, ListOf::App(&mine), vec![recording(1)]),
        (ViewKind::Recording, ListOf::Room(one), vec![recording(1)]),
        (ViewKind::Recording, ListOf::Room(two), vec![]),
        (
            ViewKind::Conference,
            ListOf::App(&mine),
            vec![conference(2), conference(1)],
        ),
        // A conference is listed by its app only.
        (ViewKind::Conference, ListOf::Room(one), vec![]),
    ] {
        assert_eq!(s.views(kind, of).await, expected, "{kind:?} of {of:?}");
    }
    let rows = s.page(ViewKind::Call, ListOf::App(&mine), None, 1).await;
    assert_eq!(rows, [(format!("00000000000004:{}", call(4)), call(4))]);
    let elsewhere = s
        .store
        .list_views(other_node(), ViewKind::Call, ListOf::App(&mine), None, 9);
    assert_eq!(elsewhere.await.unwrap(), []);
}

async fn pages_of_views_neither_repeat_nor_miss_entries(s: Subject) {
    let at = |n: u128| view(call(n), 1, 100 + 2 * u64::try_from(n).unwrap());
    s.put((0..20).map(at).collect()).await;
    let (mine, room) = (app(), room_id(1));
    for of in [ListOf::App(&mine), ListOf::Room(room)] {
        assert_eq!(s.page(ViewKind::Call, of, None, 0).await, []);
    }
    let first = s.page(ViewKind::Call, ListOf::App(&mine), None, 7).await;
    assert_eq!(first.len(), 7);
    // The last row of the page and one after it leave; one row is added before it and one after.
    s.put(vec![over(&at(6), SHORT), over(&at(9), SHORT)]).await;
    s.pass(SHORT).await;
    s.put(vec![view(call(100), 1, 101), view(call(101), 1, 115)])
        .await;
    let mut expected: Vec<_> = (0..20).map(call).collect();
    expected.insert(8, call(101));
    expected.retain(|view| *view != call(9));
    for of in [ListOf::App(&mine), ListOf::Room(room)] {
        let mut seen: Vec<_> = first.iter().map(|(_, view)| *view).collect();
        let mut after = first.last().unwrap().0.clone();
        loop {
            let page = s.page(ViewKind::Call, of, Some(&after), 7).await;
            let Some((last, _)) = page.last() else { break };
            after = last.clone();
            seen.extend(page.iter().map(|(_, view)| *view));
        }
        assert_eq!(seen, expected, "{of:?}");
    }
}

async fn ended_view_is_kept_for_its_time(s: Subject) {
    let all = [
        view(conference(1), 1, 1),
        view(call(1), 1, 2),
        view(recording(1), 1, 3),
    ];
    let other = [
        view(conference(2), 2, 1),
        view(call(2), 2, 2),
        view(recording(2), 2, 3),
    ];
    s.put(all.to_vec()).await;
    s.put(other.to_vec()).await;
    let ended = |views: &[ViewWrite], keep| views.iter().map(|v| over(v, keep)).collect();
    s.put(ended(&all, SHORT)).await;
    s.put(ended(&other, LONG)).await;
    s.pass(SHORT).await;
    assert_eq!(
        s.bodies(&[call(1), recording(1), call(2), recording(2)])
            .await,
        [
            None,
            None,
            Some(over(&other[1], LONG).body),
            Some(over(&other[2], LONG).body)
        ]
    );
    let mine = app();
    for (kind, left) in [
        (ViewKind::Conference, conference(2)),
        (ViewKind::Call, call(2)),
        (ViewKind::Recording, recording(2)),
    ] {
        assert_eq!(s.views(kind, ListOf::App(&mine)).await, [left]);
        // Listing again gives the same result.
        assert_eq!(s.page(kind, ListOf::App(&mine), None, 1).await[0].1, left);
        assert_eq!(s.views(kind, ListOf::Room(room_id(1))).await, []);
    }
    let calls = s.views(ViewKind::Call, ListOf::Room(room_id(2))).await;
    assert_eq!(calls, [call(2)]);
}

async fn ended_view_can_be_written_again(s: Subject) {
    let (mine, room) = (app(), room_id(1));
    let [longer, revived, back] = [1, 2, 3].map(|n| view(call(n), 1, 5));
    let shown = view(conference(1), 1, 5);
    s.put(vec![
        over(&longer, A_WHILE),
        over(&revived, A_WHILE),
        over(&shown, A_WHILE),
        over(&back, SHORT),
    ])
    .await;
    s.put(vec![over(&longer, LONG), revived, shown]).await;
    s.pass(A_WHILE).await;
    assert!(!s.has_body(back.view).await);
    s.put(vec![back]).await;
    // A commit that ends a view removes expired ones.
    s.put(vec![over(&view(call(4), 1, 5), LONG)]).await;
    let all: Vec<_> = (1..=4).map(call).collect();
    for of in [ListOf::App(&mine), ListOf::Room(room)] {
        assert_eq!(s.views(ViewKind::Call, of).await, all);
    }
    for view in all {
        assert!(s.has_body(view).await, "{view}");
    }
    let conferences = s.views(ViewKind::Conference, ListOf::App(&mine)).await;
    assert_eq!(conferences, [conference(1)]);
}

async fn views_are_written_only_if_the_commit_is_applied(s: Subject) {
    let (mine, room_1) = (app(), room_id(1));
    let old = view(call(1), 1, 5);
    s.put(vec![old.clone()]).await;
    let mut new = over(&old, SHORT);
    new.body = "new".to_owned();
    let mut commit = change(vec![write(room(1), Version(7))]);
    commit.views = vec![new, view(call(2), 1, 6)];
    assert_eq!(s.commit(&commit).await, CommitOutcome::Conflict(room(1)));
    commit.entities[0].expected = Version(1);
    commit.lease = Some(Lease {
        node: node(),
        epoch: 1,
        owner: Uuid::from_u128(1),
    });
    assert_eq!(s.commit(&commit).await, CommitOutcome::LeaseLost);
    s.pass(SHORT).await;
    let read = s.bodies(&[call(1), call(2)]).await;
    assert_eq!(read, [Some(old.body), None]);
    for of in [ListOf::App(&mine), ListOf::Room(room_1)] {
        assert_eq!(s.views(ViewKind::Call, of).await, [call(1)]);
    }
    // A rejected request id is not remembered as applied.
    commit.lease = None;
    commit.views[0].keep = None;
    s.apply(&commit).await;
    assert_eq!(s.bodies(&[call(1)]).await, [Some("new".to_owned())]);
    assert!(s.has_body(call(2)).await);
}

async fn repeated_request_does_not_rewrite_views(s: Subject) {
    let mut commit = create(room(1));
    commit.views = vec![view(call(1), 1, 5)];
    s.apply(&commit).await;
    let ended = over(&commit.views[0], LONG);
    s.put(vec![ended.clone(), over(&view(call(2), 1, 5), SHORT)])
        .await;
    s.apply(&commit).await;
    assert_eq!(s.bodies(&[call(1)]).await, [Some(ended.body)]);
    s.pass(SHORT).await;
    let calls = s.views(ViewKind::Call, ListOf::App(&app())).await;
    assert_eq!(calls, [call(1)]);
}

async fn commit_writes_and_ends_many_views(s: Subject) {
    const MANY: u128 = 5_000;
    let (mine, room_1) = (app(), room_id(1));
    let all: Vec<_> = (0..MANY).map(|n| view(call(n), 1, 5)).collect();
    s.put(all.clone()).await;
    let ids: Vec<_> = (0..MANY).map(call).collect();
    let bodies: Vec<_> = all.iter().map(|view| Some(view.body.clone())).collect();
    assert_eq!(s.bodies(&ids).await, bodies);
    for of in [ListOf::App(&mine), ListOf::Room(room_1)] {
        assert_eq!(s.views(ViewKind::Call, of).await, ids);
    }
    // The last view stays and must be found behind all expired ones.
    let most = &all[..all.len() - 1];
    s.put(most.iter().map(|view| over(view, SHORT)).collect())
        .await;
    s.pass(SHORT).await;
    let last = call(MANY - 1);
    let page = s.page(ViewKind::Call, ListOf::App(&mine), None, 1).await;
    assert_eq!(page[0].1, last);
    let again: Vec<_> = (MANY..2 * MANY)
        .map(|n| over(&view(call(n), 1, 1), LONG))
        .collect();
    s.put(again).await;
    let mut expected: Vec<_> = (MANY..2 * MANY).map(call).collect();
    expected.push(last);
    for of in [ListOf::App(&mine), ListOf::Room(room_1)] {
        assert_eq!(s.views(ViewKind::Call, of).await, expected);
    }
}

// Leases.

async fn lease_has_one_owner_who_renews_it(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let lease = s.lease(one, LONG).await;
    assert_eq!((lease.node, lease.owner), (node(), one));
    assert!(lease.epoch > 0);
    let refused = s.store.acquire_lease(node(), two, LONG).await.unwrap();
    match refused {
        LeaseOutcome::Other { remaining } => {
            assert!(remaining <= LONG && remaining > LONG / 2, "{remaining:?}");
        }
        LeaseOutcome::Held(lease) => panic!("lease has two owners: {lease:?}"),
    }
    assert_eq!(
        s.lease(one, LONG).await,
        lease,
        "a renewed lease stays the same"
    );
    let elsewhere = s.store.acquire_lease(other_node(), two, LONG).await;
    assert!(matches!(elsewhere.unwrap(), LeaseOutcome::Held(_)));
}

async fn renewal_restarts_the_lifetime(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    s.lease(one, SHORT).await;
    let lease = s.lease(one, LONG).await;
    s.pass(SHORT).await;
    let refused = s.store.acquire_lease(node(), two, LONG).await.unwrap();
    assert!(matches!(refused, LeaseOutcome::Other { .. }));
    let mut commit = create(room(1));
    commit.lease = Some(lease);
    s.apply(&commit).await;
}

async fn expired_lease_goes_to_other_owner_with_higher_epoch(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let old = s.lease(one, SHORT).await;
    s.pass(SHORT).await;
    let new = s.lease(two, LONG).await;
    assert_eq!(new.epoch, old.epoch + 1);
    // The old owner's late release has no effect.
    s.store.release_lease(old).await.unwrap();
    let refused = s.store.acquire_lease(node(), one, LONG).await.unwrap();
    assert!(matches!(refused, LeaseOutcome::Other { .. }));
}

async fn released_lease_is_free_at_once_and_epoch_grows(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut epochs = Vec::new();
    for owner in [one, two, two, one] {
        let lease = s.lease(owner, LONG).await;
        epochs.push(lease.epoch);
        s.store.release_lease(lease).await.unwrap();
        s.store.release_lease(lease).await.unwrap();
    }
    let grown: Vec<u64> = (0..4).map(|n| epochs[0] + n).collect();
    assert_eq!(epochs, grown);
}

async fn commit_requires_its_lease(s: Subject) {
    let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let mut commit = create(room(1));
    commit.outbox = vec![message(1, 1)];
    let never = Lease {
        node: node(),
        epoch: 1,
        owner: one,
    };
    commit.lease = Some(never);
    assert_eq!(s.commit(&commit).await, CommitOutcome::LeaseLost, "none");
    let lease = s.lease(one, SHORT).await;
    for wrong in [
        Lease {
            epoch: lease.epoch + 1,
            ..lease
        },
        Lease {
            epoch: lease.epoch - 1,
            ..lease
        },
        Lease {
            owner: two,
            ..lease
        },
    ] {
        commit.lease = Some(wrong);
        assert_eq!(s.commit(&commit).await, CommitOutcome::LeaseLost);
    }
    s.pass(SHORT).await;
    commit.lease = Some(lease);
    assert_eq!(s.commit(&commit).await, CommitOutcome::LeaseLost, "expired");
    let new = s.lease(two, LONG).await;
    assert_eq!(s.commit(&commit).await, CommitOutcome::LeaseLost, "taken");
    assert_eq!(s.store.read(room(1)).await.unwrap(), None);
    assert_eq!(s.backlog().await.outbox, 0);
    commit.lease = Some(new);
    s.apply(&commit).await;
    // A replica without the lease writes by version only.
    s.apply(&change(vec![write(room(1), Version(1))])).await;
}

// Names and the creation of a room: reserve, commit, confirm.

async fn name_is_reserved_for_one_room(s: Subject) {
    assert_eq!(s.reserve(room_id(1), LONG).await, NameOutcome::Reserved);
    assert_eq!(s.reserve(room_id(1), LONG).await, NameOutcome::Reserved);
    let pending = NameOutcome::Pending { room: room_id(1) };
    assert_eq!(s.reserve(room_id(2), LONG).await, pending);
    // A repetition with a shorter time replaces the time.
    assert_eq!(s.reserve(room_id(1), SHORT).await, NameOutcome::Reserved);
    s.pass(SHORT).await;
    let taken = NameOutcome::Taken { room: room_id(1) };
    assert_eq!(s.reserve(room_id(2), LONG).await, taken);
    assert_eq!(
        s.reserve(room_id(2), LONG).await,
        taken,
        "a failed reservation changes nothing"
    );
    let elsewhere: AppId = "other".parse().unwrap();
    let outcome = s
        .store
        .reserve_name(&elsewhere, &name(), room_id(3), LONG)
        .await
        .unwrap();
    assert_eq!(outcome, NameOutcome::Reserved);
}

async fn confirmed_name_is_permanent(s: Subject) {
    assert!(!s.confirm(room_id(1)).await, "never reserved");
    s.reserve(room_id(1), SHORT).await;
    assert!(!s.confirm(room_id(2)).await, "another's");
    assert!(s.confirm(room_id(1)).await);
    assert!(s.confirm(room_id(1)).await, "again");
    s.pass(SHORT).await;
    let taken = NameOutcome::Taken { room: room_id(1) };
    assert_eq!(s.reserve(room_id(2), LONG).await, taken);
    assert_eq!(s.reserve(room_id(1), LONG).await, NameOutcome::Reserved);
    assert_eq!(
        s.reserve(room_id(2), LONG).await,
        taken,
        "a repeated reservation does not undo the confirmation"
    );
}

async fn late_confirmation_holds_unless_name_was_freed(s: Subject) {
    s.reserve(room_id(1), SHORT).await;
    s.pass(SHORT).await;
    assert!(s.confirm(room_id(1)).await);
}

async fn name_is_freed_only_by_its_room(s: Subject) {
    s.reserve(room_id(1), LONG).await;
    s.free(room_id(2)).await;
    let pending = NameOutcome::Pending { room: room_id(1) };
    assert_eq!(s.reserve(room_id(2), LONG).await, pending);
    s.free(room_id(1)).await;
    s.free(room_id(1)).await;
    assert_eq!(s.reserve(room_id(2), LONG).await, NameOutcome::Reserved);
    assert!(!s.confirm(room_id(1)).await);
}

/// Handles a taken name like a caller: if its room is not alive, frees it and reserves again.
async fn reserve_or_replace(s: &Subject, wanted: RoomId) -> NameOutcome {
    match s.reserve(wanted, LONG).await {
        NameOutcome::Taken { room } => {
            if s.live()
                .await
                .iter()
                .any(|(id, _)| *id == EntityId::Room(room))
            {
                return NameOutcome::Taken { room };
            }
            s.free(room).await;
            s.reserve(wanted, LONG).await
        }
        other @ (NameOutcome::Reserved | NameOutcome::Pending { .. }) => other,
    }
}

async fn creation_aborted_after_reservation_frees_name(s: Subject) {
    s.reserve(room_id(1), SHORT).await;
    s.pass(SHORT).await;
    assert_eq!(
        reserve_or_replace(&s, room_id(2)).await,
        NameOutcome::Reserved
    );
    // The aborted creation continues and must not get the name.
    s.apply(&listed(room(1), 5)).await;
    assert!(!s.confirm(room_id(1)).await);
}

async fn creation_aborted_after_commit_keeps_name(s: Subject) {
    s.reserve(room_id(1), SHORT).await;
    s.apply(&listed(room(1), 5)).await;
    s.pass(SHORT).await;
    let taken = NameOutcome::Taken { room: room_id(1) };
    assert_eq!(reserve_or_replace(&s, room_id(2)).await, taken);
    // The next request that finds it completes it.
    assert!(s.confirm(room_id(1)).await);
}

async fn ended_room_loses_its_name(s: Subject) {
    s.reserve(room_id(1), LONG).await;
    s.apply(&listed(room(1), 5)).await;
    assert!(s.confirm(room_id(1)).await);
    let taken = NameOutcome::Taken { room: room_id(1) };
    assert_eq!(reserve_or_replace(&s, room_id(2)).await, taken);
    s.apply(&end(room(1), Version(1), LONG)).await;
    assert_eq!(
        reserve_or_replace(&s, room_id(2)).await,
        NameOutcome::Reserved
    );
}

// The outbox and the queues.

async fn outbox_is_in_commit_order(s: Subject) {
    let empty = s.store.read_outbox(node(), 10).await.unwrap();
    assert_eq!(empty.from, OutboxCursor::default());
    assert_eq!((&empty.to, empty.messages.len()), (&empty.from, 0));
    let mut commit = create(room(1));
    commit.outbox = vec![message(1, 1), message(1, 2)];
    s.apply(&commit).await;
    let mut commit = create(room(2));
    commit.outbox = vec![message(2, 1)];
    s.apply(&commit).await;
    let two = s.store.read_outbox(node(), 2).await.unwrap();
    assert_eq!(two.messages, [message(1, 1), message(1, 2)]);
    let all = s.store.read_outbox(node(), 10).await.unwrap();
    assert_eq!(all.messages, [message(1, 1), message(1, 2), message(2, 1)]);
    assert_eq!(all.from, two.from, "reading changes nothing");
    assert_eq!(s.backlog().await.outbox, 3);
    assert!(
        s.store
            .fan_out(node(), &two.from, &two.to, &[])
            .await
            .unwrap()
    );
    let rest = s.store.read_outbox(node(), 10).await.unwrap();
    assert_eq!(rest.messages, [message(2, 1)]);
    assert_eq!((rest.from, rest.to), (two.to, all.to));
    assert_eq!(s.backlog().await.outbox, 1);
    assert_eq!(
        s.store.backlog(other_node()).await.unwrap(),
        Backlog::default()
    );
}

async fn fan_out_happens_once(s: Subject) {
    let mut commit = create(room(1));
    commit.outbox = vec![message(1, 1)];
    s.apply(&commit).await;
    let batch = s.store.read_outbox(node(), 10).await.unwrap();
    let deliveries = [delivery(&endpoint(1), &batch.messages[0])];
    let fan_out = async || {
        s.store
            .fan_out(node(), &batch.from, &batch.to, &deliveries)
            .await
            .unwrap()
    };
    assert!(fan_out().await);
    assert!(!fan_out().await);
    let claim = s.claim_one(LONG).await;
    assert!(s.finish(&claim, DeliveryResult::Delivered).await);
    assert_eq!(s.claim(LONG).await, [], "it was queued once");
    assert_eq!(s.backlog().await, Backlog::default());
}

async fn long_outbox_is_queued_without_loss(s: Subject) {
    // More messages than are kept behind the cursor, in pages, with commits in between.
    let total: u64 = 10_500;
    let mut written = 0;
    let mut version = Version::ABSENT;
    let mut read = Vec::new();
    loop {
        if written < total {
            let mut commit = change(vec![write(room(1), version)]);
            commit.outbox = (written + 1..=written + 3_500)
                .map(|n| message(1, n))
                .collect();
            s.apply(&commit).await;
            version = version.next();
            written += 3_500;
        }
        let batch = s.store.read_outbox(node(), 3_000).await.unwrap();
        if batch.messages.is_empty() {
            break;
        }
        read.extend(batch.messages.iter().map(|m| m.sequence));
        let left = written - u64::try_from(read.len()).unwrap();
        assert!(
            s.store
                .fan_out(node(), &batch.from, &batch.to, &[])
                .await
                .unwrap()
        );
        assert_eq!(s.backlog().await.outbox, left);
    }
    assert_eq!(read, (1..=total).collect::<Vec<_>>());
}

async fn queue_is_in_order_and_has_one_claim(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let first = s.claim_one(LONG).await;
    assert_eq!(first.message, message(1, 1));
    assert_eq!((&first.endpoint, first.failed_attempts), (&endpoint(1), 0));
    assert_eq!(s.claim(LONG).await, [], "the deliveries behind it wait");
    s.queue(&[endpoint(1)], vec![message(1, 3)]).await;
    assert_eq!(s.claim(LONG).await, [], "later deliveries wait, too");
    assert!(s.finish(&first, DeliveryResult::Delivered).await);
    for n in [2, 3] {
        let next = s.claim_one(LONG).await;
        assert_eq!(next.message, message(1, n));
        assert!(s.finish(&next, DeliveryResult::Delivered).await);
    }
    assert_eq!(s.claim(LONG).await, []);
}

async fn queues_do_not_wait_for_each_other(s: Subject) {
    let endpoints = [endpoint(1), endpoint(2)];
    s.queue(
        &endpoints,
        vec![message(1, 1), message(2, 1), message(1, 2)],
    )
    .await;
    assert_eq!(s.backlog().await.queues, 4);
    let two = s
        .store
        .claim_deliveries(node(), LONG, Share::all(2))
        .await
        .unwrap();
    assert_eq!(two.len(), 2);
    let rest = s.claim(LONG).await;
    assert_eq!(rest.len(), 2);
    let heads: BTreeSet<_> = two
        .iter()
        .chain(&rest)
        .map(|c| (c.endpoint.clone(), c.message.scope, c.message.sequence))
        .collect();
    assert_eq!(heads.len(), 4);
    assert!(heads.iter().all(|(_, _, sequence)| *sequence == 1));
    assert!(s.finish(&rest[0], DeliveryResult::Delivered).await);
    assert_eq!(
        s.store
            .claim_deliveries(other_node(), LONG, Share::all(9))
            .await
            .unwrap(),
        []
    );
}

async fn unfinished_claim_expires_and_can_be_claimed_again(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let lost = s.claim_one(SHORT).await;
    s.pass(SHORT).await;
    let again = s.claim_one(LONG).await;
    assert_eq!(again.message, lost.message);
    assert_eq!(
        again.failed_attempts, 0,
        "an expired claim is not a failure"
    );
    assert_ne!(again.token, lost.token);
    for result in [
        DeliveryResult::Delivered,
        DeliveryResult::Retry { after: SHORT },
        DeliveryResult::Park {
            after: SHORT,
            hold: SHORT,
        },
        DeliveryResult::Dead,
    ] {
        assert!(!s.finish(&lost, result).await);
    }
    assert_eq!(s.dead(1).await, 0);
    assert!(s.finish(&again, DeliveryResult::Delivered).await);
    assert!(!s.finish(&again, DeliveryResult::Delivered).await, "twice");
    let next = s.claim_one(LONG).await;
    assert_eq!(next.message, message(1, 2));
}

async fn retry_delays_its_queue(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let retry = |after| DeliveryResult::Retry { after };
    let first = s.claim_one(LONG).await;
    assert!(s.finish(&first, retry(SHORT)).await);
    s.pass(SHORT).await;
    let second = s.claim_one(LONG).await;
    assert_eq!(
        (&second.message, second.failed_attempts),
        (&message(1, 1), 1)
    );
    assert!(s.finish(&second, retry(LONG)).await);
    assert_eq!(s.claim(LONG).await, []);
    let wait = s.store.next_delivery(node()).await.unwrap().unwrap();
    assert!(wait <= LONG && wait > LONG / 2, "{wait:?}");
    assert_eq!(s.backlog().await.queues, 1);
}

async fn parked_delivery_is_retried_beside_its_queue(s: Subject) {
    s.queue(
        &[endpoint(1)],
        vec![message(1, 1), message(1, 2), message(1, 3)],
    )
    .await;
    let first = s.claim_one(LONG).await;
    assert!(!first.parked);
    assert_eq!(first.failing_for, Duration::ZERO);
    let after = Duration::ZERO;
    assert!(s.finish(&first, DeliveryResult::Retry { after }).await);
    let first = s.claim_one(LONG).await;
    assert_eq!(first.failed_attempts, 1);
    let park = DeliveryResult::Park {
        after: LONG,
        hold: A_WHILE,
    };
    assert!(s.finish(&first, park).await);
    assert!(!s.finish(&first, park).await, "twice");
    assert_eq!(
        s.claim(LONG).await,
        [],
        "the deliveries behind it still wait"
    );
    assert_eq!(s.backlog().await.queues, 2);
    s.pass(A_WHILE).await;
    for sequence in [2, 3] {
        let next = s.claim_one(LONG).await;
        assert_eq!(
            (&next.message, next.failed_attempts),
            (&message(1, sequence), 0)
        );
        assert!(!next.parked);
        assert!(s.finish(&next, DeliveryResult::Delivered).await);
    }
    assert_eq!(s.claim(LONG).await, []);
    assert_eq!(s.backlog().await.queues, 1);
    let wait = s.store.next_delivery(node()).await.unwrap().unwrap();
    assert!(wait <= LONG && wait > LONG / 2, "{wait:?}");
}

async fn parked_delivery_ends_beside_its_queue(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(2, 1)])
        .await;
    let park = |after, hold| DeliveryResult::Park { after, hold };
    for claim in s.claim(LONG).await {
        assert!(s.finish(&claim, park(A_WHILE, Duration::ZERO)).await);
    }
    // Their queues are empty, and later deliveries do not wait for them.
    s.queue(&[endpoint(1)], vec![message(1, 2)]).await;
    let other = s.claim_one(LONG).await;
    assert_eq!((&other.message, other.parked), (&message(1, 2), false));
    assert!(s.finish(&other, DeliveryResult::Delivered).await);
    s.pass(A_WHILE).await;
    let parked = s.claim(LONG).await;
    assert_eq!(parked.len(), 2);
    for claim in &parked {
        assert!(claim.parked);
        assert_eq!(claim.failed_attempts, 1);
        assert!(claim.failing_for >= SHORT && claim.failing_for < LONG);
        // Parked again, it stays in its queue.
        assert!(s.finish(claim, park(SHORT, LONG)).await);
    }
    s.pass(SHORT).await;
    let parked = s.claim(LONG).await;
    assert_eq!(parked.len(), 2);
    assert!(parked.iter().all(|claim| claim.failed_attempts == 2));
    assert!(s.finish(&parked[0], DeliveryResult::Delivered).await);
    assert!(s.finish(&parked[1], DeliveryResult::Dead).await);
    assert_eq!((s.backlog().await.queues, s.dead(1).await), (0, 1));
}

async fn new_delivery_waits_while_its_queue_is_held(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1)]).await;
    let first = s.claim_one(LONG).await;
    let park = DeliveryResult::Park {
        after: LONG,
        hold: A_WHILE,
    };
    assert!(s.finish(&first, park).await);
    s.queue(&[endpoint(1)], vec![message(1, 2)]).await;
    assert_eq!(s.claim(LONG).await, []);
    s.pass(A_WHILE).await;
    let next = s.claim_one(LONG).await;
    assert_eq!(next.message, message(1, 2));
}

async fn failures_are_counted_per_delivery(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    for failed in 0..3 {
        let claim = s.claim_one(LONG).await;
        assert_eq!(claim.failed_attempts, failed);
        let after = Duration::ZERO;
        assert!(s.finish(&claim, DeliveryResult::Retry { after }).await);
    }
    let claim = s.claim_one(LONG).await;
    assert!(s.finish(&claim, DeliveryResult::Delivered).await);
    let next = s.claim_one(LONG).await;
    assert_eq!((next.message.sequence, next.failed_attempts), (2, 0));
}

async fn dead_delivery_unblocks_its_queue(s: Subject) {
    s.queue(&[endpoint(1)], vec![message(1, 1), message(1, 2)])
        .await;
    let claim = s.claim_one(LONG).await;
    assert!(s.finish(&claim, DeliveryResult::Dead).await);
    assert_eq!((s.backlog().await.queues, s.dead(1).await), (1, 1));
    let next = s.claim_one(LONG).await;
    assert_eq!(next.message, message(1, 2));
    assert!(s.finish(&next, DeliveryResult::Dead).await);
    assert_eq!((s.backlog().await.queues, s.dead(1).await), (0, 2));
}

async fn dead_deliveries_are_bounded(s: Subject) {
    let count = usize::try_from(DEAD_LIMIT).unwrap() + 2;
    let messages = (1..=count).map(|n| message(u128::try_from(n).unwrap(), 1));
    s.queue(&[endpoint(1)], messages.collect()).await;
    let claims = s
        .store
        .claim_deliveries(node(), LONG, Share::all(count))
        .await
        .unwrap();
    assert_eq!(claims.len(), count);
    stream::iter(&claims)
        .for_each_concurrent(200, async |claim| {
            assert!(s.finish(claim, DeliveryResult::Dead).await);
        })
        .await;
    assert_eq!(s.backlog().await.queues, 0);
    assert_eq!(s.dead(1).await, DEAD_LIMIT);
}

async fn next_delivery_time_is_reported(s: Subject) {
    assert_eq!(s.store.next_delivery(node()).await.unwrap(), None);
    s.queue(&[endpoint(1)], vec![message(1, 1)]).await;
    let now = s.store.next_delivery(node()).await.unwrap();
    assert_eq!(now, Some(Duration::ZERO));
    let claim = s.claim_one(LONG).await;
    let wait = s.store.next_delivery(node()).await.unwrap().unwrap();
    assert!(
        wait <= LONG && wait > LONG / 2,
        "a claim may expire: {wait:?}"
    );
    s.queue(&[endpoint(1)], vec![message(2, 1)]).await;
    let now = s.store.next_delivery(node()).await.unwrap();
    assert_eq!(now, Some(Duration::ZERO), "the earliest queue counts");
    let other = s.claim_one(LONG).await;
    for claim in [claim, other] {
        assert!(s.finish(&claim, DeliveryResult::Delivered).await);
    }
    assert_eq!(s.store.next_delivery(node()).await.unwrap(), None);
}

// Shared limits: cooldowns, idempotent commands, rate limits.

async fn cooldown_belongs_to_one_holder_until_it_ends(s: Subject) {
    assert_eq!(s.cool(room(1), "play", 1, LONG).await, Cooldown::Taken);
    let Cooldown::Wait { remaining } = s.cool(room(1), "play", 2, SHORT).await else {
        panic!("cooldown was taken twice");
    };
    assert!(remaining <= LONG && remaining > LONG - A_WHILE * 20);
    assert_eq!(s.cool(room(2), "play", 3, SHORT).await, Cooldown::Taken);
    s.pass(SHORT).await;
    assert_eq!(s.cool(room(2), "play", 4, LONG).await, Cooldown::Taken);
}

async fn cooldown_taken_again_by_its_holder_is_not_extended(s: Subject) {
    assert_eq!(s.cool(room(1), "play", 1, A_WHILE).await, Cooldown::Taken);
    assert_eq!(s.cool(room(1), "play", 1, LONG).await, Cooldown::Taken);
    s.pass(A_WHILE).await;
    assert_eq!(s.cool(room(1), "play", 2, LONG).await, Cooldown::Taken);
}

async fn cooldowns_of_groups_rooms_and_calls_are_independent(s: Subject) {
    for about in [room(1), room(2), session(1), session(2)] {
        for group in ["conference", "conference_mute"] {
            assert_eq!(s.cool(about, group, 1, LONG).await, Cooldown::Taken);
            let again = s.cool(about, group, 2, LONG).await;
            assert!(matches!(again, Cooldown::Wait { .. }), "{again:?}");
        }
    }
}

async fn cooldown_is_refunded_by_its_holder_only(s: Subject) {
    s.cool(room(1), "play", 1, LONG).await;
    s.refund(room(1), "play", 2).await;
    s.refund(room(1), "other", 1).await;
    s.refund(room(2), "play", 1).await;
    let still = s.cool(room(1), "play", 2, LONG).await;
    assert!(matches!(still, Cooldown::Wait { .. }), "{still:?}");
    s.refund(room(1), "play", 1).await;
    assert_eq!(s.cool(room(1), "play", 2, LONG).await, Cooldown::Taken);
    // A late refund of another holder's cooldown has no effect.
    s.refund(room(1), "play", 1).await;
    let still = s.cool(room(1), "play", 3, LONG).await;
    assert!(matches!(still, Cooldown::Wait { .. }), "{still:?}");
}

async fn cooldown_after_refund_has_its_own_end(s: Subject) {
    s.cool(room(1), "play", 1, SHORT).await;
    s.refund(room(1), "play", 1).await;
    s.cool(room(1), "play", 2, LONG).await;
    s.pass(SHORT).await;
    let still = s.cool(room(1), "play", 3, LONG).await;
    assert!(matches!(still, Cooldown::Wait { .. }), "{still:?}");
}

async fn one_of_concurrent_requests_gets_the_cooldown(s: Subject) {
    let store = &s.store;
    let taken = stream::iter(1..=50)
        .map(|n| async move {
            let holder = Uuid::from_u128(n);
            let outcome = store.take_cooldown(session(1), "conference", holder, LONG);
            outcome.await.unwrap() == Cooldown::Taken
        })
        .buffer_unordered(50)
        .filter(|taken| std::future::ready(*taken))
        .count()
        .await;
    assert_eq!(taken, 1);
}

fn command(uid: &str, fingerprint: &str, token: u128) -> IdempotentCommand {
    IdempotentCommand {
        about: session(1),
        uid: uid.parse().unwrap(),
        fingerprint: fingerprint.to_owned(),
        token: Uuid::from_u128(token),
    }
}

fn answered(status: u16) -> StoredAnswer {
    StoredAnswer {
        status,
        body: format!("{{\"status\":\"ü\\n{status}\"}}"),
    }
}

async fn command_is_executed_once_and_its_answer_repeated(s: Subject) {
    let (first, second) = (command("u", "f", 1), command("u", "f", 2));
    assert_eq!(s.begin(&first, LONG).await, CommandStart::First);
    assert_eq!(s.begin(&first, LONG).await, CommandStart::First, "resent");
    assert_eq!(s.begin(&second, LONG).await, CommandStart::Pending);
    assert!(s.answer(&first, 202, LONG).await);
    let replay = CommandStart::Replay(answered(202));
    assert_eq!(s.begin(&second, LONG).await, replay);
    assert_eq!(s.begin(&first, LONG).await, replay);
}

async fn idempotency_key_belongs_to_one_command(s: Subject) {
    let first = command("u", "f", 1);
    assert_eq!(s.begin(&first, LONG).await, CommandStart::First);
    let other = command("u", "g", 2);
    assert_eq!(s.begin(&other, LONG).await, CommandStart::Different);
    assert!(s.answer(&first, 202, LONG).await);
    assert_eq!(s.begin(&other, LONG).await, CommandStart::Different);
    let apart = command("v", "g", 3);
    assert_eq!(s.begin(&apart, LONG).await, CommandStart::First);
    for about in [session(2), room(1), room(2)] {
        let mut elsewhere = command("u", "g", 4);
        elsewhere.about = about;
        assert_eq!(s.begin(&elsewhere, LONG).await, CommandStart::First);
    }
}

async fn forgotten_command_counts_as_first(s: Subject) {
    let (first, second) = (command("u", "f", 1), command("u", "f", 2));
    s.begin(&first, LONG).await;
    s.store.forget_command(&second).await.unwrap();
    assert_eq!(s.begin(&second, LONG).await, CommandStart::Pending);
    s.store.forget_command(&first).await.unwrap();
    assert_eq!(s.begin(&second, LONG).await, CommandStart::First);
    s.store.forget_command(&first).await.unwrap();
    assert_eq!(
        s.begin(&command("u", "f", 3), LONG).await,
        CommandStart::Pending
    );
}

async fn command_and_its_answer_expire(s: Subject) {
    let (first, second) = (command("u", "f", 1), command("u", "f", 2));
    s.begin(&first, SHORT).await;
    s.pass(SHORT).await;
    assert_eq!(s.begin(&second, LONG).await, CommandStart::First);
    assert!(
        !s.answer(&first, 202, LONG).await,
        "the command belongs to another request"
    );
    assert!(s.answer(&second, 200, SHORT).await);
    s.pass(SHORT).await;
    assert_eq!(s.begin(&first, LONG).await, CommandStart::First);
}

async fn late_answer_counts_unless_command_restarted(s: Subject) {
    let (first, second) = (command("u", "f", 1), command("u", "f", 2));
    s.begin(&first, SHORT).await;
    s.pass(SHORT).await;
    assert!(s.answer(&first, 202, LONG).await);
    let replay = CommandStart::Replay(answered(202));
    assert_eq!(s.begin(&second, LONG).await, replay);
}

async fn one_of_concurrent_requests_begins_the_command(s: Subject) {
    let store = &s.store;
    let starts = stream::iter(1..=50)
        .map(|n| async move {
            let outcome = store.begin_command(&command("u", "f", n), LONG).await;
            outcome.unwrap() == CommandStart::First
        })
        .buffer_unordered(50)
        .filter(|first| std::future::ready(*first))
        .count()
        .await;
    assert_eq!(starts, 1);
}

async fn tokens_follow_rate_and_belong_to_one_app(s: Subject) {
    let slow = Rate {
        every: LONG,
        burst: 3,
    };
    assert_eq!(s.tokens(&app(), slow, 2).await, Tokens::Granted(2));
    assert_eq!(s.tokens(&app(), slow, 2).await, Tokens::Granted(1));
    let Tokens::Wait(wait) = s.tokens(&app(), slow, 1).await else {
        panic!("more tokens were granted than the bucket holds");
    };
    assert!(wait <= LONG && wait > LONG - A_WHILE * 20, "{wait:?}");
    let elsewhere: AppId = "other".parse().unwrap();
    assert_eq!(s.tokens(&elsewhere, slow, 9).await, Tokens::Granted(3));
    let fast: AppId = "fast".parse().unwrap();
    let rate = Rate {
        every: SHORT,
        burst: 1,
    };
    assert_eq!(s.tokens(&fast, rate, 9).await, Tokens::Granted(1));
    s.pass(SHORT).await;
    assert_eq!(s.tokens(&fast, rate, 9).await, Tokens::Granted(1));
}

async fn missing_tokens_follow_changed_rate(s: Subject) {
    let rate = |every, burst| Rate { every, burst };
    let (slow, fast) = (rate(LONG, 3), rate(SHORT, 10));
    assert_eq!(s.tokens(&app(), slow, 9).await, Tokens::Granted(3));
    let Tokens::Wait(wait) = s.tokens(&app(), fast, 1).await else {
        panic!("the empty bucket granted tokens");
    };
    assert!(wait <= SHORT, "the wait follows the old rate: {wait:?}");
    s.pass(SHORT * 10).await;
    assert_eq!(s.tokens(&app(), fast, 99).await, Tokens::Granted(10));
    // The missing time is short at the slow rate, but not zero.
    assert_eq!(s.tokens(&app(), slow, 9).await, Tokens::Granted(2));
    assert!(matches!(
        s.tokens(&app(), slow, 1).await,
        Tokens::Wait(wait) if wait <= LONG
    ));
}

async fn no_apps_are_stored_at_first(s: Subject) {
    let none = s.store.read_apps(None).await.unwrap().unwrap();
    assert_eq!((none.version, none.records), (0, Vec::new()));
    assert_eq!(s.store.read_apps(Some(0)).await.unwrap(), None);
}

async fn put(s: &Subject, expected: u64, writes: &[AppsWrite<'_>]) -> bool {
    s.store.put_apps(expected, writes).await.unwrap()
}

async fn app_write_requires_its_version(s: Subject) {
    let (acme, beta): (AppId, AppId) = (app(), "beta".parse().unwrap());
    let write = async |expected, id: &AppId, record| {
        put(&s, expected, &[AppsWrite::App(id, Some(record))]).await
    };
    assert!(write(0, &beta, "b1").await);
    assert!(!write(0, &acme, "a1").await, "version before beta");
    assert!(write(1, &acme, "a1").await);
    assert!(write(2, &beta, "b2").await, "record should be replaced");
    let all = s.store.read_apps(Some(1)).await.unwrap().unwrap();
    assert_eq!(all.version, 3);
    let (a1, b2) = ("a1".to_owned(), "b2".to_owned());
    assert_eq!(all.records, [(acme, a1), (beta, b2)]);
    assert_eq!(s.store.read_apps(Some(3)).await.unwrap(), None);
}

async fn app_record_can_be_removed(s: Subject) {
    assert!(put(&s, 0, &[AppsWrite::App(&app(), Some("a1"))]).await);
    let remove = [AppsWrite::App(&app(), None)];
    assert!(!put(&s, 0, &remove).await, "version before the record");
    assert!(put(&s, 1, &remove).await);
    assert!(put(&s, 1, &remove).await, "a repeated write succeeds");
    let all = s.store.read_apps(None).await.unwrap().unwrap();
    assert_eq!((all.version, all.records), (2, Vec::new()));
}

async fn repeated_app_write_is_applied_once(s: Subject) {
    assert!(put(&s, 0, &[AppsWrite::App(&app(), Some("a1"))]).await);
    // The request is repeated because its answer was lost.
    assert!(put(&s, 0, &[AppsWrite::App(&app(), Some("a1"))]).await);
    let all = s.store.read_apps(None).await.unwrap().unwrap();
    assert_eq!(all.version, 1);
}

async fn one_of_concurrent_app_writes_wins_each_version(s: Subject) {
    let writes = (0..20).map(|n| {
        let store = Arc::clone(&s.store);
        let id: AppId = format!("app{n}").parse().unwrap();
        async move {
            let write = [AppsWrite::App(&id, Some("x"))];
            store.put_apps(0, &write).await.unwrap()
        }
    });
    let won = stream::iter(writes).buffer_unordered(20);
    assert_eq!(won.filter(|won| std::future::ready(*won)).count().await, 1);
}

/// Boxes a case on a server: a function that awaits all cases would need more stack for their futures than a test has.
fn on_server<'a, Case>(
    case: impl FnOnce(Subject) -> Case + 'a,
    url: String,
    server: &'a RedisServer,
) -> Pin<Box<dyn Future<Output = ()> + 'a>>
where
    Case: Future<Output = ()> + 'a,
{
    Box::pin(async move { case(Subject::at(&url, server).await).await })
}

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $case() { super::$case(super::Subject::memory().await).await; })*
        }
        mod redis_server {
            $(#[tokio::test] async fn $case() { super::$case(super::Subject::redis().await).await; })*
        }
        /// Runs all cases in turn on the master that a sentinel names, whose start takes seconds.
        #[tokio::test]
        async fn redis_behind_a_sentinel() {
            let sentinels = Sentinels::start(1).await;
            sentinels.disable_failure_detection().await;
            $(
                println!(stringify!($case));
                sentinels.wipe().await;
                on_server($case, sentinels.url(), &sentinels.servers[0]).await;
            )*
        }
        /// Runs all cases in turn in a cluster, which rejects requests for two slots.
        #[tokio::test]
        async fn redis_cluster() {
            let cluster = Cluster::start().await;
            $(
                println!(stringify!($case));
                cluster.wipe().await;
                on_server($case, cluster.url(), &cluster.nodes[0]).await;
            )*
        }
        /// Runs all cases in turn on servers that have no port without TLS and require a client certificate: a plain-text
        /// connection would fail.
        mod over_tls {
            use super::*;

            #[tokio::test]
            async fn redis_server() {
                let tls = Authority::new().server(LOCAL);
                let server = RedisServer::start_tls(None, &tls).await;
                $(
                    println!(stringify!($case));
                    server.run(&["FLUSHALL"]).await;
                    on_server(super::$case, server.url(), &server).await;
                )*
            }
            #[tokio::test]
            async fn redis_behind_a_sentinel() {
                let tls = Authority::new().server(LOCAL);
                let sentinels = Sentinels::start_tls(1, Passwords::default(), &tls, &tls).await;
                sentinels.disable_failure_detection().await;
                $(
                    println!(stringify!($case));
                    sentinels.wipe().await;
                    on_server(super::$case, sentinels.url(), &sentinels.servers[0]).await;
                )*
            }
            #[tokio::test]
            async fn redis_cluster() {
                let tls = Authority::new().server(LOCAL);
                let cluster = Cluster::start_tls(None, &tls).await;
                $(
                    println!(stringify!($case));
                    cluster.wipe().await;
                    on_server(super::$case, cluster.url(), &cluster.nodes[0]).await;
                )*
            }
        }
    };
}

contract! {
    ping_succeeds,
    unwritten_entity_is_absent,
    created_entity_reads_back_sorted,
    write_changes_only_named_fields,
    empty_write_increments_version,
    write_from_other_version_is_a_conflict,
    conflict_in_one_entity_changes_none,
    one_commit_writes_several_entities,
    repeated_request_is_applied_once,
    repeated_request_is_recognized_after_other_writes,
    repeated_request_is_recognized_after_lease_loss,
    big_records_are_read_and_written_whole,
    one_of_concurrent_writes_wins_each_version,
    read_node_returns_live_entities,
    deadlines_are_due_earliest_first,
    write_moves_or_removes_deadline,
    lists_are_by_time_then_id_of_one_app_and_kind,
    pages_neither_repeat_nor_miss_entries,
    listing_is_set_only_at_creation,
    list_of_all_apps_is_by_time_then_id,
    pages_of_all_apps_neither_repeat_nor_miss_entries,
    ended_entity_leaves_lists_and_is_kept_for_its_time,
    expired_entity_is_absent,
    ended_entity_can_be_written_and_revived,
    unwritten_view_is_absent,
    views_read_back_as_last_written,
    views_are_listed_by_app_and_by_room_in_order_of_time_then_id,
    pages_of_views_neither_repeat_nor_miss_entries,
    ended_view_is_kept_for_its_time,
    ended_view_can_be_written_again,
    views_are_written_only_if_the_commit_is_applied,
    repeated_request_does_not_rewrite_views,
    commit_writes_and_ends_many_views,
    lease_has_one_owner_who_renews_it,
    renewal_restarts_the_lifetime,
    expired_lease_goes_to_other_owner_with_higher_epoch,
    released_lease_is_free_at_once_and_epoch_grows,
    commit_requires_its_lease,
    name_is_reserved_for_one_room,
    confirmed_name_is_permanent,
    late_confirmation_holds_unless_name_was_freed,
    name_is_freed_only_by_its_room,
    creation_aborted_after_reservation_frees_name,
    creation_aborted_after_commit_keeps_name,
    ended_room_loses_its_name,
    no_apps_are_stored_at_first,
    app_write_requires_its_version,
    repeated_app_write_is_applied_once,
    app_record_can_be_removed,
    audit_entries_are_read_newest_first,
    audit_log_drops_oldest_entries_beyond_its_limits,
    one_of_concurrent_app_writes_wins_each_version,
    unwritten_node_status_is_default,
    draining_lasts_until_changed,
    requested_snapshots_are_counted,
    only_owner_writes_node_status,
    expired_lease_writes_no_node_status,
    poll_of_many_nodes_equals_polls_of_each,
    poll_reports_due_deadline,
    poll_reports_deliveries_only_if_ready,
    outbox_is_in_commit_order,
    fan_out_happens_once,
    long_outbox_is_queued_without_loss,
    outbox_is_read_after_any_position,
    positions_of_readers_and_webhook_cursor_are_independent,
    queued_messages_are_kept_for_a_while,
    live_events_reach_all_subscribers,
    queue_is_in_order_and_has_one_claim,
    queues_do_not_wait_for_each_other,
    unfinished_claim_expires_and_can_be_claimed_again,
    retry_delays_its_queue,
    parked_delivery_is_retried_beside_its_queue,
    parked_delivery_ends_beside_its_queue,
    new_delivery_waits_while_its_queue_is_held,
    failures_are_counted_per_delivery,
    dead_delivery_unblocks_its_queue,
    dead_deliveries_are_bounded,
    next_delivery_time_is_reported,
    delivery_is_listed_from_queueing_to_end,
    log_is_paged_latest_first,
    last_attempts_are_kept,
    held_delivery_is_dead_and_not_claimed,
    endpoint_with_its_share_is_skipped_despite_many_due_queues,
    apps_and_their_endpoints_take_turns,
    app_without_permits_gets_one_while_others_hold_many,
    lowered_endpoints_have_single_and_common_limit,
    claims_reach_endpoints_beyond_scan_limit,
    repeated_enqueue_queues_once,
    redelivery_bypasses_queue_and_restarts_schedule,
    redelivery_makes_waiting_retry_due_at_once,
    delivery_behind_parked_one_waits_until_its_end,
    retried_endpoint_has_its_waiting_deliveries_due,
    restarted_delivery_is_due_with_new_schedule,
    restarted_delivery_does_not_change_health,
    last_error_is_kept_until_endpoint_is_retried,
    dead_deliveries_are_recovered_in_order,
    endpoint_fails_from_its_first_failure_until_a_success,
    forgotten_endpoint_keeps_only_pending_deliveries,
    last_delivered_messages_are_kept,
    deliveries_beyond_limit_are_lost_and_counted,
    outbox_damage_is_counted,
    endpoint_write_requires_its_version,
    dial_slots_of_an_app_are_limited,
    dial_slot_taken_again_counts_once,
    dial_slots_of_apps_are_independent,
    only_settled_dial_slots_are_offered,
    cooldown_belongs_to_one_holder_until_it_ends,
    cooldown_taken_again_by_its_holder_is_not_extended,
    cooldowns_of_groups_rooms_and_calls_are_independent,
    cooldown_is_refunded_by_its_holder_only,
    cooldown_after_refund_has_its_own_end,
    one_of_concurrent_requests_gets_the_cooldown,
    command_is_executed_once_and_its_answer_repeated,
    idempotency_key_belongs_to_one_command,
    forgotten_command_counts_as_first,
    command_and_its_answer_expire,
    late_answer_counts_unless_command_restarted,
    one_of_concurrent_requests_begins_the_command,
    tokens_follow_rate_and_belong_to_one_app,
    missing_tokens_follow_changed_rate,
    entity_counts_large_values_until_keeping_time_ends,
    unlisted_entity_counts_for_no_app,
    kept_view_counts,
    message_counts_until_it_is_queued,
    delivery_counts_until_it_is_delivered_or_forgotten,
    delivered_bytes_are_bounded,
    queued_bytes_in_outbox_are_bounded,
}
