//! Faults of the store on Redis only: a server that dies, hangs, is demoted, or holds data that is not ours.
// The whole crate is test code, which the lint does not recognize.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use roomkeeper::store::deliveries::{
    Deliveries, DeliveryResult, NewDelivery, OutboxBatch, QueueLimits, Share,
};
use roomkeeper::store::live::{Live, LiveEvent, LiveStream, OutboxSlice};
use roomkeeper::store::node_status::{NodeStatus, NodeStatusStore};
use roomkeeper::store::polls::{NodePoll, NodePolls};
use roomkeeper::store::redis::{RedisOptions, RedisStore};
use roomkeeper::store::usage::Usage;
use roomkeeper::store::{
    CommitOutcome, EntityId, EntityKind, LeaseOutcome, Life, ListOf, Listing, Message, NameOutcome,
    OpenError, Scope, Store, StoreError, Version, ViewId, ViewKind, ViewWrite, call, keys, open,
    unreadable,
};
use roomkeeper_core::ids::{AppId, CallId, ChannelId, MemberId, NodeId};
use roomkeeper_core::time::Timestamp;
use support::redis::RedisServer;
use support::store::{
    assert_unavailable, change, commit_until_applied, node, read_node, room, room_id, store_at,
    until_available,
};
use tokio::io::{AsyncReadExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(600);
/// The time limit of a call in tests that let it expire.
const TIMEOUT: Duration = Duration::from_millis(200);
/// The time limit of a call that must not expire: a busy machine must not look like a broken store.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);
/// The limit for a call that ends by itself, far above its usual time: this machine may be busy with all other tests, and
/// its host with other machines; the benchmarks measure durations.
const BOUND: Duration = Duration::from_secs(10);
/// The time within which a returned server must be in use again.
const BACK_IN: Duration = Duration::from_secs(10);

fn store(server: &RedisServer, timeout: Duration) -> Arc<RedisStore> {
    store_at(&server.url(), timeout)
}

async fn raw(server: &RedisServer) -> redis::aio::MultiplexedConnection {
    server.connection().await.unwrap()
}

#[tokio::test]
async fn store_opens_before_its_server_starts() {
    let mut server = RedisServer::start().await;
    server.kill();
    let store = store(&server, TIMEOUT);
    assert_unavailable(store.ping().await);
    server.restart().await;
    assert!(until_available(&store).await < BACK_IN);
}

#[tokio::test]
async fn restarted_server_is_used_again_without_loss() {
    let mut server = RedisServer::start_durable().await;
    let store = store(&server, Duration::from_secs(1));
    let stop = Arc::new(AtomicBool::new(false));
    let failed = Arc::new(AtomicUsize::new(0));
    let written = Arc::new(AtomicUsize::new(0));
    let writer = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        let (failed, written) = (Arc::clone(&failed), Arc::clone(&written));
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                match store.commit(&change(room(n), Version::ABSENT)).await {
                    Ok(outcome) => {
                        assert_eq!(outcome, CommitOutcome::Applied);
                        acknowledged.push(n);
                        written.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(error) => {
                        assert!(error.is_retryable(), "{error:?}");
                        failed.fetch_add(1, Ordering::SeqCst);
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            }
            acknowledged
        })
    };
    let reached = async |counter: &AtomicUsize, count: usize| {
        let start = Instant::now();
        while counter.load(Ordering::SeqCst) < count {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "counter does not grow"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    reached(&written, 50).await;
    server.kill();
    reached(&failed, 3).await;
    let start = Instant::now();
    assert_unavailable(store.ping().await);
    assert!(start.elapsed() < BOUND, "call should fail in bounded time");
    server.restart().await;
    assert!(until_available(&store).await < BACK_IN);
    let before = written.load(Ordering::SeqCst);
    reached(&written, before + 50).await;
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writer.await.unwrap();
    assert!(acknowledged.len() >= 100);
    for n in acknowledged {
        let record = store.read(room(n)).await.unwrap();
        assert!(record.is_some(), "acknowledged commit {n} is lost");
    }
}

#[tokio::test]
async fn timed_out_write_applies_once() {
    let server = RedisServer::start().await;
    let store = store(&server, TIMEOUT);
    let first = change(room(1), Version::ABSENT);
    commit_until_applied(&store, &first).await;
    server.pause().await;
    let commit = change(room(1), Version(1));
    for _ in 0..2 {
        let start = Instant::now();
        assert_unavailable(store.commit(&commit).await);
        assert!(
            start.elapsed() >= TIMEOUT,
            "call should fail by its timeout"
        );
        assert!(start.elapsed() < BOUND);
    }
    server.resume().await;
    commit_until_applied(&store, &commit).await;
    let store = store_at(&server.url(), LONG_TIMEOUT);
    let record = store.read_head(room(1)).await.unwrap().unwrap();
    assert_eq!(record.version, Version(2));
    assert_eq!(store.backlog(node()).await.unwrap().outbox, 2);
}

#[tokio::test]
async fn hanging_server_is_left_and_its_writes_apply_once() {
    let server = RedisServer::start().await;
    let store = store(&server, TIMEOUT);
    until_available(&store).await;
    let mut raw = raw(&server).await;
    let connections = async |raw: &mut redis::aio::MultiplexedConnection| -> usize {
        let info: String = redis::cmd("INFO")
            .arg("stats")
            .query_async(raw)
            .await
            .unwrap();
        let line = info
            .lines()
            .find_map(|l| l.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse().unwrap()
    };
    let before = connections(&mut raw).await;
    server.pause().await;
    let commit = change(room(1), Version::ABSENT);
    for _ in 0..8 {
        let start = Instant::now();
        assert_unavailable(store.commit(&commit).await);
        assert!(start.elapsed() < BOUND);
    }
    server.resume().await;
    assert!(until_available(&store).await < BACK_IN);
    commit_until_applied(&store, &commit).await;
    assert!(
        connections(&mut raw).await > before,
        "a second timeout should replace the connection"
    );
    let store = store_at(&server.url(), LONG_TIMEOUT);
    let record = store.read_head(room(1)).await.unwrap().unwrap();
    assert_eq!(record.version, Version(1));
    assert_eq!(store.backlog(node()).await.unwrap().outbox, 1);
}

#[tokio::test]
async fn paused_server_is_not_left_after_concurrent_timeouts() {
    let server = RedisServer::start().await;
    let store = store(&server, TIMEOUT * 10);
    until_available(&store).await;
    assert_eq!(store.connections(), 1);
    server.pause().await;
    futures_util::future::join_all((0..8).map(|_| store.ping()))
        .await
        .into_iter()
        .for_each(assert_unavailable);
    server.resume().await;
    until_available(&store).await;
    assert_eq!(store.connections(), 1, "concurrent timeouts count as one");
}

/// A proxy to a server, whose first connection can be made silent.
struct SilentProxy {
    address: SocketAddr,
    /// The bytes sent on the first connection since it is silent.
    swallowed: Arc<AtomicUsize>,
    silence: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for SilentProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl SilentProxy {
    async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let swallowed = Arc::<AtomicUsize>::default();
        let (silence, silent) = watch::channel(false);
        let counted = Arc::clone(&swallowed);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let (mut first, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let mut redis = TcpStream::connect(server).await.unwrap();
                let mut silent = silent;
                tokio::select! {
                    _ = copy_bidirectional(&mut first, &mut redis) => return,
                    _ = silent.wait_for(|silent| *silent) => {}
                }
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = first.read(&mut bytes).await {
                    counted.fetch_add(read, Ordering::SeqCst);
                }
            });
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                connections.spawn(async move {
                    let mut redis = TcpStream::connect(server).await.unwrap();
                    // The end of one side ends the other.
                    let _ = copy_bidirectional(&mut client, &mut redis).await;
                });
            }
        });
        Self {
            address,
            swallowed,
            silence,
            task,
        }
    }

    /// Returns when more than this number of bytes was swallowed.
    async fn wait_for_swallowed(&self, bytes: usize) {
        let start = Instant::now();
        while self.swallowed.load(Ordering::SeqCst) <= bytes {
            assert!(start.elapsed() < BOUND, "no bytes are sent");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn unanswered_requests_of_old_connection_keep_new_one() {
    let server = RedisServer::start().await;
    let proxy = SilentProxy::start(server.address()).await;
    let timeout = Duration::from_millis(1000);
    let store = store_at(&format!("redis://{}/", proxy.address), timeout);
    store.ping().await.unwrap();
    proxy.silence.send_replace(true);
    let three = || {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let (a, b, c) = tokio::join!(store.ping(), store.ping(), store.ping());
            [a, b, c]
        })
    };
    // One silence keeps the connection, however many calls time out.
    three()
        .await
        .unwrap()
        .into_iter()
        .for_each(assert_unavailable);
    assert_eq!(store.connections(), 1);
    let sent = proxy.swallowed.load(Ordering::SeqCst);
    let early = three();
    proxy.wait_for_swallowed(sent).await;
    // The new connection opens before these calls time out.
    tokio::time::sleep(timeout / 2).await;
    let sent = proxy.swallowed.load(Ordering::SeqCst);
    let late = three();
    proxy.wait_for_swallowed(sent).await;
    early
        .await
        .unwrap()
        .into_iter()
        .for_each(assert_unavailable);
    until_available(&store).await;
    assert_eq!(
        store.connections(),
        2,
        "the silent connection should be replaced"
    );
    late.await.unwrap().into_iter().for_each(assert_unavailable);
    until_available(&store).await;
    assert_eq!(store.connections(), 2, "the new connection always answered");
}

#[tokio::test]
async fn late_write_after_timeout_is_rejected() {
    let server = RedisServer::start().await;
    let [store, hasty] = [LONG_TIMEOUT, TIMEOUT].map(|timeout| store(&server, timeout));
    store
        .commit(&change(room(1), Version::ABSENT))
        .await
        .unwrap();
    until_available(&hasty).await;
    server.pause().await;
    let given_up = change(room(1), Version(1));
    assert_unavailable(hasty.commit(&given_up).await);
    server.resume().await;
    // The late write was applied or not. The version shows which, and decides between it and its replacement.
    let found = store.read_head(room(1)).await.unwrap().unwrap().version;
    let instead = change(room(1), found);
    assert_eq!(
        store.commit(&instead).await.unwrap(),
        CommitOutcome::Applied
    );
    let last = store.read_head(room(1)).await.unwrap().unwrap().version;
    assert_eq!(last, found.next());
    assert_eq!(store.backlog(node()).await.unwrap().outbox, last.0);
}

#[tokio::test]
async fn demoted_server_is_left() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    let mut raw = raw(&server).await;
    let ours = async |raw: &mut redis::aio::MultiplexedConnection| -> BTreeSet<String> {
        let list: String = redis::cmd("CLIENT")
            .arg("LIST")
            .query_async(raw)
            .await
            .unwrap();
        list.lines()
            .filter_map(|l| Some(l.split_once(' ')?.0.to_owned()))
            .collect()
    };
    store.ping().await.unwrap();
    let before = ours(&mut raw).await;
    let replica_of = async |raw: &mut redis::aio::MultiplexedConnection, host: &str, port: &str| {
        let mut command = redis::cmd("REPLICAOF");
        command.arg(host).arg(port);
        command.query_async::<()>(raw).await.unwrap();
    };
    // Its master does not exist, but it is a replica all the same.
    replica_of(&mut raw, "127.0.0.1", "1").await;
    let commit = change(room(1), Version::ABSENT);
    assert_unavailable(store.commit(&commit).await);
    replica_of(&mut raw, "NO", "ONE").await;
    assert_eq!(store.commit(&commit).await.unwrap(), CommitOutcome::Applied);
    let after = ours(&mut raw).await;
    assert_eq!(after.difference(&before).count(), 1, "a new connection");
    assert_eq!(
        before.difference(&after).count(),
        1,
        "the old connection should be closed"
    );
}

#[tokio::test]
async fn scripts_are_reloaded_after_script_flush() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    store
        .commit(&change(room(1), Version::ABSENT))
        .await
        .unwrap();
    assert_eq!(server.send_inline("SCRIPT FLUSH").as_deref(), Some("+OK"));
    store.commit(&change(room(1), Version(1))).await.unwrap();
    let record = store.read_head(room(1)).await.unwrap().unwrap();
    assert_eq!(record.version, Version(2));
}

#[tokio::test]
async fn foreign_value_is_corrupt_and_not_retried() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    let mut raw = raw(&server).await;
    let mut put = async |command: &[&str]| {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query_async::<()>(&mut raw).await.unwrap();
    };
    put(&["SET", &keys::entity(room(1)), "text"]).await;
    put(&["HSET", &keys::entity(room(2)), "#v", "many"]).await;
    put(&["HSET", &keys::entity(room(3)), "hfield", "value"]).await;
    put(&["ZADD", &keys::deadlines(node()), "1", "nonsense"]).await;
    let calls = |n| keys::view_list(node(), ViewKind::Call, ListOf::Room(room_id(n)));
    put(&["ZADD", &calls(1), "0", "nonsense"]).await;
    put(&["SET", &calls(2), "text"]).await;
    let corrupt = |error: StoreError| {
        assert!(!error.is_retryable(), "{error:?}");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    };
    for n in 1..=3 {
        corrupt(store.read(room(n)).await.unwrap_err());
        corrupt(store.read_head(room(n)).await.unwrap_err());
    }
    // The next read reports it.
    let commit = change(room(1), Version::ABSENT);
    let outcome = store.commit(&commit).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Conflict(room(1)));
    let late = Timestamp::from_millis(1);
    corrupt(store.due(node(), late, 9).await.unwrap_err());
    for n in 1..=2 {
        let of = ListOf::Room(room_id(n));
        let listed = store.list_views(node(), ViewKind::Call, of, None, 9).await;
        assert_eq!(listed.unwrap(), [], "other rows should be listed");
    }
    // Scripts note foreign keys, and polls of the node report them.
    store.poll_nodes(&[node()], late).await.unwrap();
    let noted: BTreeSet<String> = unreadable::of_node(node())
        .into_iter()
        .map(|f| f.key)
        .collect();
    for key in [keys::entity(room(1)), calls(1), calls(2)] {
        assert!(noted.contains(&key), "{key}: {noted:?}");
    }
    store.ping().await.unwrap();
}

#[tokio::test]
async fn foreign_value_of_one_node_does_not_affect_polls_of_others() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    let mut raw = raw(&server).await;
    let nodes: [NodeId; 4] = ["node1", "node2", "node3", "node4"].map(|id| id.parse().unwrap());
    for key in [keys::node_status(nodes[0]), keys::due(nodes[2])] {
        let mut cmd = redis::cmd("SET");
        cmd.arg(key).arg("text");
        cmd.query_async::<()>(&mut raw).await.unwrap();
    }
    store.set_draining(nodes[3], true).await.unwrap();
    let now = Timestamp::from_millis(1);
    let mut seen = store.poll_nodes(&nodes, now).await.unwrap().into_iter();
    let mut next = || seen.next().unwrap();
    let nothing = NodePoll {
        status: Some(NodeStatus::default()),
        ..NodePoll::default()
    };
    assert_eq!(next().unwrap().status, None);
    assert_eq!(next().unwrap(), nothing);
    assert!(
        next().unwrap().deliveries,
        "unreadable keys should wake the worker"
    );
    assert!(next().unwrap().status.unwrap().draining);
    for (node, key) in [
        (nodes[0], keys::node_status(nodes[0])),
        (nodes[2], keys::due(nodes[2])),
    ] {
        let noted = unreadable::of_node(node);
        assert!(noted.iter().any(|found| found.key == key), "{noted:?}");
    }
}

#[tokio::test]
async fn messages_queued_by_other_replica_are_noticed_once() {
    let server = RedisServer::start().await;
    let [one, two] = [0; 2].map(|_| store(&server, Duration::from_secs(5)));
    let mut commit = change(room(1), Version::ABSENT);
    commit.outbox = vec![Message {
        id: "msg_1".to_owned(),
        app: "acme".parse().unwrap(),
        scope: Scope::Room(room_id(1)),
        sequence: 1,
        event: "conference.created".to_owned(),
        body: "{}".to_owned(),
    }];
    one.commit(&commit).await.unwrap();
    let batch = one.read_outbox(node(), 9).await.unwrap();
    assert!(
        one.fan_out(node(), &batch.from, &batch.to, &[])
            .await
            .unwrap()
    );
    let has = async |store: &RedisStore| {
        let seen = store.poll_nodes(&[node()], Timestamp::from_millis(1)).await;
        seen.unwrap().remove(0).unwrap().deliveries
    };
    assert!(!has(&one).await);
    assert!(has(&two).await, "a moved cursor means unknown messages");
    assert!(!has(&two).await);
}

#[tokio::test]
async fn whole_node_is_read_from_its_database() {
    let server = RedisServer::start().await;
    let store = store_at(&format!("{}3", server.url()), Duration::from_secs(5));
    // Fewer and more entities than one batch.
    let mut large = change(room(1), Version::ABSENT);
    let parts = (0..20_000).map(|n| (format!("part{n:06}"), Some(format!("{n:0>40}"))));
    large.entities[0].parts = parts.collect();
    store.commit(&large).await.unwrap();
    for n in 2..=400 {
        let one = change(room(n), Version::ABSENT);
        store.commit(&one).await.unwrap();
    }
    for n in 1..=200 {
        let call = CallId::new(node(), ChannelId::new(Uuid::from_u128(n)));
        let mut one = change(EntityId::Call(call), Version::ABSENT);
        let value = |field: &str| (field.to_owned(), format!("{field} of {n}"));
        // An empty value differs from a missing one.
        let fields = call::HEAD.into_iter().take(if n % 2 == 0 { 2 } else { 3 });
        one.entities[0].head = fields.map(value).collect();
        one.entities[0].head[0].1.clear();
        one.entities[0].parts.clear();
        store.commit(&one).await.unwrap();
    }
    let mut found = read_node(&*store).await.unwrap();
    assert!(found.unreadable.is_empty(), "{:?}", found.unreadable);
    assert_eq!(found.records.len(), 600);
    found.records.sort_by_key(|(entity, _)| *entity);
    for (entity, record) in found.records {
        assert_eq!(store.read(entity).await.unwrap(), Some(record), "{entity}");
    }
}

#[tokio::test]
async fn unreadable_record_does_not_affect_rest_of_node() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    let mut raw = raw(&server).await;
    // More than one batch.
    for n in 1..=40 {
        store
            .commit(&change(room(n), Version::ABSENT))
            .await
            .unwrap();
    }
    let mut put = async |command: &[&str]| {
        let mut cmd = redis::cmd(command[0]);
        cmd.arg(&command[1..]);
        cmd.query_async::<()>(&mut raw).await.unwrap();
    };
    let (third, fifth) = (keys::entity(room(3)), keys::entity(room(5)));
    put(&["HDEL", &third, "#v"]).await;
    put(&["SET", &fifth, "text"]).await;
    put(&["HSET", &keys::entity(room(7)), "#v", "many"]).await;
    let list = keys::list_prefix(node(), EntityKind::Room);
    put(&["ZADD", &format!("{list}:"), "0", "nonsense"]).await;
    let found = read_node(&*store).await.unwrap();
    let read: BTreeSet<_> = found.records.iter().map(|(entity, _)| *entity).collect();
    let good: BTreeSet<_> = (1..=40)
        .filter(|n| ![3, 5, 7].contains(n))
        .map(room)
        .collect();
    assert_eq!(read, good);
    assert_eq!(found.records.len(), good.len());
    for (_, error) in &found.unreadable {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    }
    let named: Vec<_> = found.unreadable.iter().map(|(entity, _)| *entity).collect();
    assert_eq!(named.len(), 4);
    let bad: BTreeSet<_> = named.into_iter().collect();
    let expected = [None, Some(room(3)), Some(room(5)), Some(room(7))];
    assert_eq!(bad, BTreeSet::from(expected));
    // A repaired record is readable again.
    put(&["HSET", &third, "#v", "1"]).await;
    let found = read_node(&*store).await.unwrap();
    assert_eq!((found.records.len(), found.unreadable.len()), (38, 3));
}

/// Returns a commit to a separate room with one message of this id.
fn reporting_commit(n: usize, id: &str) -> roomkeeper::store::Commit {
    let mut commit = change(room(n), Version::ABSENT);
    commit.outbox[0].id = id.to_owned();
    commit
}

async fn commits(store: &RedisStore, n: usize, id: &str) {
    let outcome = store.commit(&reporting_commit(n, id)).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Applied);
}

/// Returns the deliveries of a batch for one endpoint.
fn deliveries_of(batch: &OutboxBatch) -> Vec<NewDelivery> {
    let delivery = |message: &Message| NewDelivery {
        endpoint: "ep_1".parse().unwrap(),
        message: message.clone(),
        held: false,
    };
    batch.messages.iter().map(delivery).collect()
}

async fn queue_batch(store: &RedisStore, batch: &OutboxBatch) -> bool {
    let deliveries = deliveries_of(batch);
    let done = store.fan_out(node(), &batch.from, &batch.to, &deliveries);
    done.await.unwrap()
}

#[tokio::test]
async fn own_commits_are_queued_without_read() {
    let server = RedisServer::start().await;
    let [here, there] = [(); 2].map(|()| store(&server, LONG_TIMEOUT));
    assert_eq!(here.fresh_outbox(node(), 9), None);
    commits(&here, 1, "msg_a").await;
    commits(&here, 2, "msg_b").await;
    let fresh = here.fresh_outbox(node(), 9).unwrap();
    assert_eq!(fresh, here.read_outbox(node(), 9).await.unwrap());
    assert_eq!(fresh.messages.len(), 2);
    let fresh = here.fresh_outbox(node(), 9).unwrap();
    assert!(queue_batch(&here, &fresh).await);
    assert_eq!(here.fresh_outbox(node(), 9), None);
    assert_eq!(here.backlog(node()).await.unwrap().outbox, 0);
    assert!(!queue_batch(&here, &fresh).await, "once");

    // Another replica's message in between is not cached, and must not be skipped.
    commits(&here, 3, "msg_c").await;
    commits(&there, 4, "msg_d").await;
    commits(&here, 5, "msg_e").await;
    let fresh = here.fresh_outbox(node(), 9).unwrap();
    assert_eq!(fresh.messages.len(), 1);
    assert!(queue_batch(&here, &fresh).await);
    assert_eq!(here.fresh_outbox(node(), 9), None);
    let read = here.read_outbox(node(), 9).await.unwrap();
    let ids: Vec<_> = read.messages.iter().map(|message| &message.id).collect();
    assert_eq!(ids, ["msg_d", "msg_e"]);

    assert!(queue_batch(&here, &read).await);

    // Messages that another replica has queued are not queued again.
    commits(&here, 6, "msg_f").await;
    assert!(queue_batch(&there, &there.read_outbox(node(), 9).await.unwrap()).await);
    let stale = here.fresh_outbox(node(), 9).unwrap();
    assert!(!queue_batch(&here, &stale).await);
    assert_eq!(here.fresh_outbox(node(), 9), None);
    assert!(
        here.read_outbox(node(), 9)
            .await
            .unwrap()
            .messages
            .is_empty()
    );
    let claims = here.claim_deliveries(node(), LONG, Share::all(9)).await;
    let claimed: Vec<_> = claims.unwrap().into_iter().map(|c| c.message.id).collect();
    // All belong to one room, so only the first can be claimed.
    assert_eq!(claimed, ["msg_a"]);
    let backlog = here.backlog(node()).await.unwrap();
    assert_eq!((backlog.outbox, backlog.queues), (0, 1));
}

/// Reads and queues the outbox. Returns the ids, and the numbers of missing and unreadable messages.
async fn read_and_queue(store: &RedisStore) -> (Vec<String>, u64, u64) {
    let mut found = (Vec::new(), 0, 0);
    loop {
        let batch = store.read_outbox(node(), 2).await.unwrap();
        if batch.from == batch.to {
            return found;
        }
        found.0.extend(batch.messages.iter().map(|m| m.id.clone()));
        found.1 += batch.missing;
        found.2 += batch.unreadable;
        assert!(queue_batch(store, &batch).await, "{batch:?}");
    }
}

fn ids(slice: &OutboxSlice) -> Vec<(u64, &str)> {
    let messages = slice.messages.iter();
    messages
        .map(|(at, message)| (*at, message.id.as_str()))
        .collect()
}

#[tokio::test]
async fn positions_continue_after_outbox_is_deleted() {
    let server = RedisServer::start().await;
    let [here, there] = [(); 2].map(|()| store(&server, LONG_TIMEOUT));
    for n in 1..=3 {
        commits(&here, n, &format!("msg_{n}")).await;
    }
    assert_eq!(read_and_queue(&here).await.0, ["msg_1", "msg_2", "msg_3"]);
    let outbox = keys::outbox(node());
    server.run(&["DEL", &outbox]).await;
    // All messages were queued, so none is lost, and new ones are found.
    assert_eq!(read_and_queue(&here).await, (Vec::new(), 0, 0));
    let before = here.read_outbox_after(node(), Some(3), 9).await.unwrap();
    assert_eq!((before.oldest, before.newest), (4, 3));
    commits(&there, 4, "msg_4").await;
    commits(&here, 5, "msg_5").await;
    let found = read_and_queue(&here).await;
    assert_eq!(found, (vec!["msg_4".to_owned(), "msg_5".to_owned()], 0, 0));
    // Event streams continue from their positions, too.
    let slice = here.read_outbox_after(node(), Some(3), 9).await.unwrap();
    assert_eq!((slice.oldest, slice.newest), (4, 5));
    assert_eq!(ids(&slice), [(4, "msg_4"), (5, "msg_5")]);
}

#[tokio::test]
async fn deleted_outbox_messages_are_counted_and_others_queued() {
    let server = RedisServer::start().await;
    let [here, there] = [(); 2].map(|()| store(&server, LONG_TIMEOUT));
    commits(&here, 1, "msg_1").await;
    assert_eq!(read_and_queue(&here).await.0, ["msg_1"]);
    for n in 2..=4 {
        commits(&here, n, &format!("msg_{n}")).await;
    }
    let outbox = keys::outbox(node());
    server.run(&["DEL", &outbox]).await;
    // This replica has its commits cached, but the store has lost them.
    let fresh = here.fresh_outbox(node(), 9).unwrap();
    assert!(!queue_batch(&here, &fresh).await);
    // A poll wakes the worker although there is nothing to read.
    let seen = there.poll_nodes(&[node()], Timestamp::from_millis(1)).await;
    drop(seen);
    let seen = there.poll_nodes(&[node()], Timestamp::from_millis(1)).await;
    assert!(seen.unwrap().remove(0).unwrap().deliveries);
    assert_eq!(here.backlog(node()).await.unwrap().outbox, 3);
    assert_eq!(read_and_queue(&there).await, (Vec::new(), 3, 0));
    assert_eq!(here.backlog(node()).await.unwrap().outbox, 0);
    commits(&here, 5, "msg_5").await;
    assert_eq!(
        read_and_queue(&here).await,
        (vec!["msg_5".to_owned()], 0, 0)
    );
    let slice = here.read_outbox_after(node(), Some(1), 9).await.unwrap();
    assert_eq!((slice.oldest, slice.newest), (5, 5), "three are missing");

    // One message in the middle, and those at the end.
    for n in 6..=10 {
        commits(&there, n, &format!("msg_{n}")).await;
    }
    server.run(&["XDEL", &outbox, "0-7", "0-9", "0-10"]).await;
    let found = read_and_queue(&here).await;
    assert_eq!(found, (vec!["msg_6".to_owned(), "msg_8".to_owned()], 3, 0));
    commits(&here, 11, "msg_11").await;
    assert_eq!(
        read_and_queue(&here).await,
        (vec!["msg_11".to_owned()], 0, 0)
    );
}

#[tokio::test]
async fn foreign_outbox_entries_are_skipped_and_counted() {
    let outbox = keys::outbox(node());
    let spoils: [(&str, &[&str]); 6] = [
        (
            "a valid position",
            &["XADD", &outbox, "0-*", "some", "thing"],
        ),
        (
            "far ahead",
            &["XADD", &outbox, "0-900", "id", "msg_x", "app", "no app!"],
        ),
        ("an id of its own", &["XADD", &outbox, "*", "some", "thing"]),
        ("a list", &["RPUSH", &outbox, "some", "thing"]),
        ("a text", &["SET", &outbox, "some"]),
        ("a hash", &["HSET", &outbox, "some", "thing"]),
    ];
    for (what, spoil) in spoils {
        // Found by a read, or by a commit.
        for reads_first in [true, false] {
            let server = RedisServer::start().await;
            let store = store(&server, LONG_TIMEOUT);
            commits(&store, 1, "msg_1").await;
            assert_eq!(read_and_queue(&store).await.0, ["msg_1"]);
            let is_stream = spoil[0] == "XADD";
            if is_stream {
                commits(&store, 2, "msg_2").await;
            } else {
                server.run(&["DEL", &outbox]).await;
            }
            server.run(spoil).await;
            let mut found = (Vec::new(), 0, 0);
            if reads_first {
                found = read_and_queue(&store).await;
            }
            commits(&store, 3, "msg_3").await;
            let then = read_and_queue(&store).await;
            found.0.extend(then.0);
            let expected: &[&str] = match is_stream {
                true => &["msg_2", "msg_3"],
                false => &["msg_3"],
            };
            assert_eq!(found.0, expected, "{what} {reads_first}");
            let far = what == "far ahead";
            let missing = if far { 897 } else { 0 };
            assert_eq!(found.1 + then.1, missing, "{what} {reads_first}");
            let noted = store.backlog(node()).await.unwrap().unreadable;
            let passed = found.2 + then.2;
            assert_eq!(noted + passed, 1, "{what} {reads_first}");
            // Event streams skip it, too.
            let page = store.read_outbox_after(node(), Some(0), 9).await.unwrap();
            let (_, last) = page.messages.last().unwrap();
            assert_eq!(last.id, "msg_3", "{what} {reads_first}");
            assert_eq!(page.newest, page.messages.last().unwrap().0);
        }
    }
}

#[tokio::test]
async fn invalid_cursor_requeues_kept_messages() {
    for spoil in [&["SET", "", "some"][..], &["LPUSH", "", "some"]] {
        let server = RedisServer::start().await;
        let store = store(&server, LONG_TIMEOUT);
        commits(&store, 1, "msg_1").await;
        assert_eq!(read_and_queue(&store).await.0, ["msg_1"]);
        commits(&store, 2, "msg_2").await;
        let cursor = keys::cursor(node());
        server.run(&["DEL", &cursor]).await;
        server.run(&[spoil[0], &cursor, spoil[2]]).await;
        assert_eq!(read_and_queue(&store).await.0, ["msg_1", "msg_2"]);
        let claims = store.claim_deliveries(node(), LONG, Share::all(9)).await;
        assert_eq!(claims.unwrap()[0].message.id, "msg_1");
        let endpoints = ["ep_1".parse().unwrap()];
        let log = store.endpoint_health(node(), &endpoints);
        assert_eq!(
            log.await.unwrap()[0].pending,
            2,
            "no message is queued twice"
        );
    }
}

#[tokio::test]
async fn due_times_of_other_type_are_rebuilt() {
    let endpoint = "ep_1".parse().unwrap();
    let (due, queues) = (keys::due(node()), keys::due_queues(node(), &endpoint));
    let spoilt: [&[&str]; 3] = [&[&due], &[&queues], &[&due, &queues]];
    for spoilt in spoilt {
        for found_by in ["a claim", "a query", "a commit", "the first commit"] {
            let server = RedisServer::start().await;
            let store = store(&server, LONG_TIMEOUT);
            let mut expected = Vec::new();
            if found_by != "the first commit" {
                commits(&store, 1, "msg_1").await;
                assert_eq!(read_and_queue(&store).await.0, ["msg_1"]);
                expected.push("msg_1");
            }
            for key in spoilt {
                server.run(&["DEL", key]).await;
                server.run(&["RPUSH", key, "some", "thing"]).await;
            }
            match found_by {
                "a query" => {
                    let next = store.next_delivery(node()).await.unwrap();
                    assert_eq!(next, Some(Duration::ZERO), "{spoilt:?}");
                }
                "a commit" | "the first commit" => {
                    commits(&store, 2, "msg_2").await;
                    assert_eq!(read_and_queue(&store).await.0, ["msg_2"]);
                    expected.push("msg_2");
                }
                _ => {}
            }
            // Both deliveries are in one queue.
            for id in expected {
                let claims = store.claim_deliveries(node(), LONG, Share::all(9)).await;
                let claims = claims.unwrap();
                assert_eq!(claims.len(), 1, "{spoilt:?} {found_by}");
                assert_eq!(claims[0].message.id, id, "{spoilt:?} {found_by}");
                let delivered = DeliveryResult::Delivered;
                let finish = store.finish_delivery(node(), &claims[0], delivered, None);
                assert!(finish.await.unwrap().is_some(), "{spoilt:?} {found_by}");
            }
            assert_eq!(store.backlog(node()).await.unwrap().queues, 0);
            for key in spoilt {
                let noted = &["HEXISTS", &keys::unreadable(node()), key];
                assert_eq!(server.query::<u64>(noted).await.unwrap(), 1, "{key}");
                let aside = &["LLEN", &format!("{key}:unreadable")];
                assert_eq!(server.query::<u64>(aside).await.unwrap(), 2, "{key}");
            }
        }
    }
}

#[tokio::test]
async fn invalid_newest_position_is_rebuilt_from_outbox() {
    let last = keys::outbox_last(node());
    for spoil in [&["SET", &last, "some"][..], &["LPUSH", &last, "some"]] {
        for reads_first in [true, false] {
            let server = RedisServer::start().await;
            let store = store(&server, LONG_TIMEOUT);
            commits(&store, 1, "msg_1").await;
            server.run(&["DEL", &last]).await;
            server.run(spoil).await;
            let mut found = Vec::new();
            if reads_first {
                found = read_and_queue(&store).await.0;
            }
            commits(&store, 2, "msg_2").await;
            let (then, missing, unreadable) = read_and_queue(&store).await;
            found.extend(then);
            assert_eq!(found, ["msg_1", "msg_2"], "{spoil:?} {reads_first}");
            assert_eq!((missing, unreadable), (0, 0), "{spoil:?} {reads_first}");
            let noted = &["HEXISTS", &keys::unreadable(node()), &last];
            assert_eq!(server.query::<u64>(noted).await.unwrap(), 1);
            let aside = &["EXISTS", &format!("{last}:unreadable")];
            assert_eq!(server.query::<u64>(aside).await.unwrap(), 1);
        }
    }
}

#[tokio::test]
async fn invalid_positions_do_not_end_lists() {
    let server = RedisServer::start().await;
    let store = store(&server, LONG_TIMEOUT);
    let app: AppId = "acme".parse().unwrap();
    for n in 1..=5 {
        let mut commit = change(room(n), Version::ABSENT);
        commit.entities[0].listed = Some(Listing {
            app: app.clone(),
            created_at: Timestamp::from_millis(n.try_into().unwrap()),
        });
        store.commit(&commit).await.unwrap();
    }
    // The first piece of the list.
    let piece = format!("{}:", keys::list(node(), EntityKind::Room, &app));
    for position in ["!a", "!b", "!c", "zz"] {
        server.run(&["ZADD", &piece, "0", position]).await;
    }
    for of_all in [false, true] {
        let mut seen = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let (kind, from) = (EntityKind::Room, after.as_deref());
            let page = if of_all {
                store.list_all(node(), kind, from, 2).await.unwrap()
            } else {
                store.list(node(), kind, &app, from, 2).await.unwrap()
            };
            after = page.last().map(|entry| entry.position.clone());
            seen.extend(page.iter().map(|entry| entry.entity));
            if page.len() < 2 {
                break;
            }
        }
        assert_eq!(seen, (1..=5).map(room).collect::<Vec<_>>(), "{of_all}");
    }
}

/// Covers an upgrade, during which replicas of both versions run.
#[tokio::test]
async fn queues_of_earlier_version_are_claimed() {
    let server = RedisServer::start().await;
    let store = store(&server, LONG_TIMEOUT);
    commits(&store, 1, "msg_a").await;
    assert!(queue_batch(&store, &store.read_outbox(node(), 9).await.unwrap()).await);
    // An earlier version has one set of all queues.
    let endpoint = "ep_1".parse().unwrap();
    let mut raw = raw(&server).await;
    let due: Vec<(String, u64)> = redis::cmd("ZRANGE")
        .arg(keys::due_queues(node(), &endpoint))
        .arg(0)
        .arg(-1)
        .arg("WITHSCORES")
        .query_async(&mut raw)
        .await
        .unwrap();
    let [(queue, at)] = &due[..] else {
        panic!("{due:?}");
    };
    let mut pipe = redis::pipe();
    pipe.zadd(keys::ready(node()), queue, *at).ignore();
    // A queue that is gone.
    pipe.zadd(keys::ready(node()), "ep_1:nothing", *at).ignore();
    pipe.del(keys::due(node())).ignore();
    pipe.del(keys::due_queues(node(), &endpoint)).ignore();
    pipe.query_async::<()>(&mut raw).await.unwrap();
    let claims = store.claim_deliveries(node(), LONG, Share::all(9)).await;
    let claims = claims.unwrap();
    assert_eq!(claims.len(), 1);
    assert_eq!(claims[0].message.id, "msg_a");
    let finish = store.finish_delivery(node(), &claims[0], DeliveryResult::Delivered, None);
    assert!(finish.await.unwrap().is_some());
    assert_eq!(store.backlog(node()).await.unwrap().queues, 0);
    let mut exists = redis::cmd("EXISTS");
    exists.arg(keys::ready(node()));
    let left: u64 = exists.query_async(&mut raw).await.unwrap();
    assert_eq!(left, 0);
}

/// A new server may lack the last writes of the old one, and have others at their positions.
#[tokio::test]
async fn cached_outbox_of_old_server_is_not_queued() {
    for is_fresh in [true, false] {
        let server = RedisServer::start().await;
        let [here, there] = [(); 2].map(|()| store(&server, LONG_TIMEOUT));
        commits(&here, 1, "msg_a").await;
        commits(&here, 2, "msg_b").await;
        let batch = match is_fresh {
            true => here.fresh_outbox(node(), 9).unwrap(),
            false => here.read_outbox(node(), 9).await.unwrap(),
        };
        server.run(&["FLUSHALL"]).await;
        commits(&there, 3, "msg_x").await;
        commits(&there, 4, "msg_y").await;
        assert!(!queue_batch(&here, &batch).await);
        assert_eq!(here.fresh_outbox(node(), 9), None);
        let read = here.read_outbox(node(), 9).await.unwrap();
        let ids: Vec<_> = read.messages.iter().map(|message| &message.id).collect();
        assert_eq!(ids, ["msg_x", "msg_y"], "no message is skipped");
        assert!(queue_batch(&here, &read).await);
    }
}

#[tokio::test]
async fn outbox_is_trimmed_only_behind_its_cursor() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(20));
    let mut raw = raw(&server).await;
    let mut len = async || -> u64 {
        let mut command = redis::cmd("XLEN");
        command.arg(keys::outbox(node()));
        command.query_async(&mut raw).await.unwrap()
    };
    let many = usize::try_from(keys::OUTBOX_KEPT).unwrap() + 100;
    let mut commit = change(room(1), Version::ABSENT);
    commit.outbox = vec![commit.outbox[0].clone(); many];
    store.commit(&commit).await.unwrap();
    let first = store.read_outbox(node(), 50).await.unwrap();
    assert!(
        store
            .fan_out(node(), &first.from, &first.to, &[])
            .await
            .unwrap()
    );
    assert_eq!(
        len().await,
        keys::OUTBOX_KEPT + 100,
        "messages after the cursor are kept"
    );
    let rest = store.read_outbox(node(), many).await.unwrap();
    assert_eq!(rest.messages.len(), many - 50);
    assert!(
        store
            .fan_out(node(), &rest.from, &rest.to, &[])
            .await
            .unwrap()
    );
    assert_eq!(len().await, keys::OUTBOX_KEPT);
    assert_eq!(store.backlog(node()).await.unwrap().outbox, 0);
}

#[tokio::test]
async fn ended_data_leaves_no_keys() {
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    let app = "acme".parse().unwrap();
    let name = "standup".parse().unwrap();
    let owner = Uuid::from_u128(1);
    let LeaseOutcome::Held(lease) = store.acquire_lease(node(), owner, LONG).await.unwrap() else {
        panic!("no other replica should hold the lease");
    };
    let reserved = store.reserve_name(&app, &name, room_id(1), LONG).await;
    assert_eq!(reserved.unwrap(), NameOutcome::Reserved);
    let mut commit = change(room(1), Version::ABSENT);
    commit.lease = Some(lease);
    commit.entities[0].deadline = Some(Timestamp::from_millis(1));
    commit.entities[0].listed = Some(Listing {
        app: app.clone(),
        created_at: Timestamp::from_millis(1),
    });
    store.commit(&commit).await.unwrap();
    assert!(store.confirm_name(&app, &name, room_id(1)).await.unwrap());
    let mut commit = change(room(1), Version(1));
    commit.entities[0].life = Life::Ended {
        keep: Duration::from_millis(1),
    };
    store.commit(&commit).await.unwrap();
    store.free_name(&app, &name, room_id(1)).await.unwrap();
    let batch = store.read_outbox(node(), 10).await.unwrap();
    let deliveries: Vec<_> = batch
        .messages
        .iter()
        .map(|message| NewDelivery {
            endpoint: "ep_1".parse().unwrap(),
            message: message.clone(),
            held: false,
        })
        .collect();
    assert!(
        store
            .fan_out(node(), &batch.from, &batch.to, &deliveries)
            .await
            .unwrap()
    );
    let after = Duration::ZERO;
    for result in [
        DeliveryResult::Retry { after },
        DeliveryResult::Delivered,
        DeliveryResult::Delivered,
    ] {
        let claims = store
            .claim_deliveries(node(), LONG, Share::all(1))
            .await
            .unwrap();
        let finish = store.finish_delivery(node(), &claims[0], result, None);
        assert!(finish.await.unwrap().is_some());
    }
    let endpoint = "ep_1".parse().unwrap();
    assert_eq!(store.forget_endpoint(node(), &endpoint).await.unwrap(), 0);
    store.release_lease(lease).await.unwrap();
    let mut raw = raw(&server).await;
    let expected: BTreeSet<_> = [
        keys::epoch(node()),
        keys::cursor(node()),
        keys::outbox(node()),
        keys::outbox_last(node()),
        keys::live_bytes(node()),
    ]
    .into();
    let start = Instant::now();
    loop {
        let left: BTreeSet<String> = redis::cmd("KEYS")
            .arg("*")
            .query_async(&mut raw)
            .await
            .unwrap();
        if left == expected {
            break;
        }
        // A read of the counts removes expired ones.
        store.read_usage(node()).await.unwrap();
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "keys remain: {left:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn expired_views_leave_lists_without_reads() {
    const ENDED: usize = 300;
    let server = RedisServer::start().await;
    let store = store(&server, Duration::from_secs(5));
    let app: AppId = "acme".parse().unwrap();
    let ended = |n: usize, keep| {
        let random = Uuid::from_u128(u128::try_from(n).unwrap() << 32);
        ViewWrite {
            view: ViewId::Call(MemberId::generate(node(), random)),
            body: "{}".to_owned(),
            listing: Listing {
                app: app.clone(),
                created_at: Timestamp::from_millis(1),
            },
            room: room_id(1),
            keep: Some(keep),
        }
    };
    let commit = async |version: u64, views| {
        let mut commit = change(room(1), Version(version));
        commit.views = views;
        let outcome = store.commit(&commit).await.unwrap();
        assert_eq!(outcome, CommitOutcome::Applied);
    };
    let mut raw = raw(&server).await;
    let of_app = keys::view_list(node(), ViewKind::Call, ListOf::App(&app));
    let of_room = keys::view_list(node(), ViewKind::Call, ListOf::Room(room_id(1)));
    let over = keys::views_over(node());
    let mut sizes = async || -> [usize; 3] {
        let mut pieces = redis::cmd("ZRANGE");
        pieces.arg(&of_app).arg(0).arg(-1);
        let pieces: Vec<String> = pieces.query_async(&mut raw).await.unwrap();
        let mut pipe = redis::pipe();
        pipe.cmd("ZCARD").arg(&of_room).cmd("ZCARD").arg(&over);
        for piece in pieces {
            pipe.cmd("ZCARD").arg(format!("{of_app}:{piece}"));
        }
        let sizes: Vec<usize> = pipe.query_async(&mut raw).await.unwrap();
        [sizes[2..].iter().sum(), sizes[0], sizes[1]]
    };
    let soon = Duration::from_millis(1);
    commit(0, (0..ENDED).map(|n| ended(n, soon)).collect()).await;
    assert_eq!(sizes().await, [ENDED; 3]);
    // All bodies have expired, by the server's clock.
    let start = Instant::now();
    let bodies = format!("{}*", keys::view_prefix(node(), ViewKind::Call));
    let mut raw = self::raw(&server).await;
    loop {
        let mut command = redis::cmd("KEYS");
        let left: Vec<String> = command.arg(&bodies).query_async(&mut raw).await.unwrap();
        if left.is_empty() {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{left:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut versions = 1..;
    let mut end_one = async || {
        let version = versions.next().unwrap();
        let view = ended(ENDED + usize::try_from(version).unwrap(), LONG);
        commit(version, vec![view]).await;
        version
    };
    end_one().await;
    let [left, ..] = sizes().await;
    assert!(left > ENDED / 2, "one commit should not remove all views");
    while sizes().await[2] > 20 {
        assert!(end_one().await < 20, "expired views are not removed");
    }
    let left = end_one().await;
    assert_eq!(sizes().await, [usize::try_from(left).unwrap(); 3]);
}

#[tokio::test]
async fn url_selects_the_store() {
    let server = RedisServer::start().await;
    let options = RedisOptions::default();
    for url in ["memory:".to_owned(), server.url()] {
        open(&url, &options, QueueLimits::default())
            .unwrap()
            .ping()
            .await
            .unwrap();
    }
    for scheme in ["rediss+unix", "redis+unix", "postgres"] {
        let url = format!("{scheme}://:secret@127.0.0.1/");
        let error = open(&url, &options, QueueLimits::default()).unwrap_err();
        assert_eq!(
            error,
            OpenError::Unsupported {
                scheme: scheme.to_owned()
            }
        );
        assert!(!error.to_string().contains("secret"));
    }
    for url in [
        "",
        "redis",
        "redis://:secret@/x/y",
        "redis://:secret@127.0.0.1/many",
        "redis+sentinel://:secret@127.0.0.1",
        "redis+cluster://:secret@127.0.0.1/1",
        // Without TLS settings.
        "rediss://:secret@127.0.0.1/1",
    ] {
        let error = open(url, &options, QueueLimits::default()).unwrap_err();
        assert!(matches!(error, OpenError::Invalid { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    for url in [
        "redis://:secret@127.0.0.1/",
        "redis+sentinel://:secret@127.0.0.1/main?sentinel_password=secret",
        "redis+cluster://:secret@127.0.0.1",
    ] {
        let debug = format!("{:?}", RedisStore::connect(url, &options).unwrap());
        assert!(!debug.contains("secret"), "{debug}");
    }
}

/// Prints the commits per second of one connection. Checks nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "prints a measurement"]
async fn commit_rate() {
    const COMMITS: u64 = 50_000;
    for writers in [1, 64] {
        let server = RedisServer::start().await;
        let store = store(&server, Duration::from_secs(5));
        let start = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|n| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for version in 0..COMMITS / u64::try_from(writers).unwrap() {
                        let commit = change(room(n), Version(version));
                        assert_eq!(store.commit(&commit).await.unwrap(), CommitOutcome::Applied);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let rate = f64::from(u32::try_from(COMMITS).unwrap()) / start.elapsed().as_secs_f64();
        println!("{writers} writers: {rate:.0} commits a second");
    }
}

fn word(n: u32) -> LiveEvent {
    LiveEvent {
        app: "acme".parse().unwrap(),
        room: room_id(1),
        event: "member.talking".to_owned(),
        body: format!("{{\"n\":{n}}}"),
    }
}

#[tokio::test]
async fn live_events_stay_within_their_database() {
    let server = RedisServer::start().await;
    let in_database = |n: u32| store_at(&format!("{}{n}", server.url()), LONG);
    let (zero, one) = (in_database(0), in_database(1));
    let mut events = zero.subscribe_live(&[node()]).await.unwrap();
    one.publish_live(node(), &[word(1)]).await.unwrap();
    zero.publish_live(node(), &[word(2)]).await.unwrap();
    assert_eq!(events.next().await, Some((node(), vec![word(2)])));
}

/// Subscribes to the node's live stream, retrying until it succeeds.
async fn subscribe(store: &RedisStore) -> LiveStream {
    let start = Instant::now();
    loop {
        match store.subscribe_live(&[node()]).await {
            Ok(events) => return events,
            Err(error) => assert!(start.elapsed() < BACK_IN, "{error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn subscription_ends_when_server_stops_answering() {
    let mut server = RedisServer::start().await;
    let store = store(&server, TIMEOUT);
    let mut events = subscribe(&store).await;
    // An invalid message still announces outbox messages.
    let channel = keys::live_channel(node(), 0);
    server.run(&["PUBLISH", &channel, "nonsense"]).await;
    assert_eq!(events.next().await, Some((node(), Vec::new())));
    // The subscription pings the server at intervals.
    let speaker = store_at(&server.url(), LONG);
    let was_pinged = async {
        loop {
            let clients: String = server.query(&["CLIENT", "LIST"]).await.unwrap();
            if clients.contains("cmd=ping") {
                return speaker.publish_live(node(), &[word(1)]).await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (received, ()) = tokio::join!(events.next(), was_pinged);
    assert_eq!(received, Some((node(), vec![word(1)])));
    server.pause().await;
    let end = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    assert_eq!(end.expect("stream should end"), None);
    assert!(store.subscribe_live(&[node()]).await.is_err());
    server.resume().await;
    // A lost server ends the stream at once.
    let mut events = subscribe(&store).await;
    server.kill();
    let end = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    assert_eq!(end.expect("stream should end"), None);
    assert_unavailable(store.publish_live(node(), &[]).await);
}

#[tokio::test]
async fn commits_succeed_without_channel_permission() {
    let server = RedisServer::start().await;
    server
        .run(&[
            "ACL",
            "SETUSER",
            "mute",
            "on",
            ">p",
            "~rk1:*",
            "+@all",
            "resetchannels",
        ])
        .await;
    let url = server.url().replace("redis://", "redis://mute:p@");
    let store = store_at(&url, LONG);
    assert!(store.publish_live(node(), &[]).await.is_err());
    assert!(store.subscribe_live(&[node()]).await.is_err());
    let commit = change(room(1), Version::ABSENT);
    assert_eq!(store.commit(&commit).await.unwrap(), CommitOutcome::Applied);
    let slice = store.read_outbox_after(node(), Some(0), 10).await.unwrap();
    assert_eq!(slice.messages.len(), 1);
    // With access to the channels, it receives events.
    server.run(&["ACL", "SETUSER", "mute", "&rk1:*"]).await;
    let store = store_at(&url, LONG);
    let mut events = store.subscribe_live(&[node()]).await.unwrap();
    store.publish_live(node(), &[word(1)]).await.unwrap();
    assert_eq!(events.next().await, Some((node(), vec![word(1)])));
}
