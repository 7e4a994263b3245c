//! Faults of a store behind Sentinel or in a cluster only: masters that change, slots that move.
// The whole crate is test code, which the lint does not recognize.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use roomkeeper::store::deliveries::{Deliveries, DeliveryResult, NewDelivery, Share};
use roomkeeper::store::redis::RedisStore;
use roomkeeper::store::{
    CommitOutcome, LeaseOutcome, ListOf, Listing, Message, Scope, Store, StoreError, Version,
    ViewId, ViewKind, ViewWrite, keys,
};
use roomkeeper_core::ids::{AppId, EndpointId, MemberId};
use roomkeeper_core::time::Timestamp;
use support::redis::{Cluster, Passwords, RedisServer, Sentinels, until};
use support::store::{
    assert_unavailable, change, commit_until_applied, node, read_node, room, room_id, store_at,
    until_available,
};
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(600);
/// The configured time limit of a call.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The time limit of a call that must not expire: a busy machine must not look like a broken store.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);
/// The limit for a call that ends by itself, far above its usual time: this machine may be busy with all other tests, and
/// its host with other machines; the benchmarks measure durations.
const BOUND: Duration = Duration::from_secs(10);
/// The time within which an old master must be left.
const LEFT_IN: Duration = Duration::from_secs(20);
/// The time within which a returned server must be in use again.
const BACK_IN: Duration = Duration::from_secs(10);

/// Commits to a new room until a commit succeeds, each attempt in bounded time. Returns the number of the room.
async fn commit_one(store: &RedisStore) -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(1_000);
    let n = NEXT.fetch_add(1, Ordering::SeqCst);
    let commit = change(room(n), Version::ABSENT);
    let start = Instant::now();
    loop {
        let sent = Instant::now();
        let outcome = store.commit(&commit).await;
        assert!(sent.elapsed() < BOUND, "call should end in bounded time");
        match outcome {
            Ok(outcome) => {
                assert_eq!(outcome, CommitOutcome::Applied);
                return n;
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error:?}");
                assert!(start.elapsed() < LEFT_IN * 2, "{error:?}");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

async fn has(server: &RedisServer, n: usize) -> bool {
    !server.keys(&keys::entity(room(n))).await.is_empty()
}

/// Commits until this server gets a write. Returns the time taken.
async fn until_used(store: &RedisStore, server: &RedisServer) -> Duration {
    let start = Instant::now();
    while !has(server, commit_one(store).await).await {
        assert!(start.elapsed() < LEFT_IN * 2, "server is not used");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}

/// Reads the version of a room, and retries until the store answers.
async fn version(store: &RedisStore, n: usize) -> Version {
    let start = Instant::now();
    loop {
        match store.read_head(room(n)).await {
            Ok(record) => return record.unwrap().version,
            Err(error) => assert!(start.elapsed() < BACK_IN, "{error:?}"),
        }
    }
}

/// Returns the number of this server's answers with this error code.
async fn errors(server: &RedisServer, code: &str) -> u64 {
    let info: String = server.query(&["INFO", "errorstats"]).await.unwrap();
    let start = format!("errorstat_{code}:count=");
    let line = info.lines().find_map(|line| line.strip_prefix(&start));
    line.map_or(0, |count| count.trim_end().parse().unwrap())
}

/// Returns the number of connections to this server whose last command was a script: those of the store.
async fn used_by(server: &RedisServer) -> usize {
    let list: String = server.query(&["CLIENT", "LIST"]).await.unwrap();
    list.lines().filter(|l| l.contains(" cmd=eval")).count()
}

fn chain(error: &StoreError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    text
}

#[tokio::test]
async fn failover_is_followed_while_old_master_lives() {
    let sentinels = Sentinels::start(3).await;
    let [old, new] = &sentinels.servers;
    let store = store_at(&sentinels.url(), TIMEOUT);
    assert!(has(old, commit_one(&store).await).await);
    sentinels.failover().await;
    let took = until_used(&store, new).await;
    assert!(took < LEFT_IN, "{took:?}");
    sentinels.until_replica(0).await;
    let before = errors(old, "READONLY").await;
    for _ in 0..20 {
        let n = commit_one(&store).await;
        assert!(has(new, n).await, "acknowledged commit {n} is lost");
    }
    assert_eq!(
        errors(old, "READONLY").await,
        before,
        "the old master should get no requests"
    );
    assert_eq!(used_by(old).await, 0);
}

#[tokio::test]
async fn killed_master_is_replaced() {
    let mut sentinels = Sentinels::start(3).await;
    let store = store_at(&sentinels.url(), TIMEOUT);
    commit_one(&store).await;
    sentinels.servers[0].kill();
    assert_unavailable(store.ping().await);
    sentinels.until_master(1).await;
    let took = until_used(&store, &sentinels.servers[1]).await;
    assert!(took < BACK_IN, "{took:?}");
    // It returns as a replica and gets no requests.
    sentinels.servers[0].restart().await;
    sentinels.until_replica(0).await;
    let n = commit_one(&store).await;
    assert!(has(&sentinels.servers[1], n).await);
    assert_eq!(used_by(&sentinels.servers[0]).await, 0);
}

#[tokio::test]
async fn hanging_master_is_replaced() {
    let sentinels = Sentinels::start(3).await;
    let [old, new] = &sentinels.servers;
    let store = store_at(&sentinels.url(), TIMEOUT);
    commit_one(&store).await;
    old.pause().await;
    let late = change(room(1), Version::ABSENT);
    let start = Instant::now();
    assert_unavailable(store.commit(&late).await);
    assert!(
        start.elapsed() >= TIMEOUT / 2,
        "the server should hang and not refuse"
    );
    assert!(start.elapsed() < BOUND);
    sentinels.until_master(1).await;
    let took = until_used(&store, new).await;
    assert!(took < LEFT_IN, "{took:?}");
    commit_until_applied(&store, &late).await;
    old.resume().await;
    sentinels.until_replica(0).await;
    let n = commit_one(&store).await;
    assert!(has(new, n).await);
    assert_eq!(version(&store, 1).await, Version(1));
}

#[tokio::test]
async fn old_master_that_accepts_writes_is_left() {
    let sentinels = Sentinels::start(3).await;
    let [old, new] = &sentinels.servers;
    let store = store_at(&sentinels.url(), TIMEOUT);
    commit_one(&store).await;
    sentinels.split_brain().await;
    let took = until_used(&store, new).await;
    assert!(took < LEFT_IN, "{took:?}");
    let keys = async || old.keys("*").await.len();
    let before = keys().await;
    for _ in 0..20 {
        let n = commit_one(&store).await;
        assert!(has(new, n).await, "acknowledged commit {n} is lost");
    }
    assert_eq!(
        keys().await,
        before,
        "the old master should get no more writes"
    );
    assert_eq!(
        old.role().await,
        "master",
        "the old master would still accept writes"
    );
}

#[tokio::test]
async fn old_master_is_left_without_requests() {
    let sentinels = Sentinels::start(3).await;
    let [old, new] = &sentinels.servers;
    let store = store_at(&sentinels.url(), TIMEOUT);
    commit_one(&store).await;
    assert_eq!(used_by(old).await, 1);
    sentinels.split_brain().await;
    let start = Instant::now();
    until("the old master is left", async || used_by(old).await == 0).await;
    assert!(start.elapsed() < LEFT_IN, "{:?}", start.elapsed());
    let n = commit_one(&store).await;
    assert!(
        has(new, n).await,
        "the first call should reach the new master"
    );
    assert!(!has(old, n).await);
}

#[tokio::test]
async fn one_of_three_sentinels_suffices_to_find_master() {
    let mut sentinels = Sentinels::start(3).await;
    sentinels.sentinels[0].pause().await;
    sentinels.sentinels[1].kill();
    let store = store_at(&sentinels.url(), LONG_TIMEOUT);
    store.ping().await.unwrap();
    // Without any sentinel, the open connection stays.
    sentinels.sentinels[2].kill();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        store.ping().await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let lost = store_at(&sentinels.url(), TIMEOUT);
    let start = Instant::now();
    assert_unavailable(lost.ping().await);
    assert!(start.elapsed() < BOUND);
    sentinels.sentinels[0].resume().await;
    assert!(until_available(&lost).await < BACK_IN);
}

#[tokio::test]
async fn errors_hide_passwords_of_sentinels_and_servers() {
    let passwords = Passwords {
        servers: Some("geheim"),
        sentinels: Some("verborgen"),
    };
    let sentinels = Sentinels::start_with(1, passwords).await;
    let url = sentinels.url();
    let store = store_at(&url, LONG_TIMEOUT);
    let n = commit_one(&store).await;
    assert!(has(&sentinels.servers[0], n).await);
    // A node is read on a separate connection, which must log in, too: otherwise it would be read another way.
    let strangers = async || {
        let request = sentinels.servers[0].query::<String>(&["INFO", "errorstats"]);
        let errors = request.await.unwrap();
        let of_strangers = errors.lines().find(|line| line.contains("NOAUTH"));
        of_strangers.unwrap_or_default().to_owned()
    };
    let before = strangers().await;
    let found = read_node(&*store).await.unwrap();
    assert_eq!(found.records.len(), 1);
    assert_eq!(strangers().await, before);
    for (right, wrong) in [
        (":geheim@", ":falsch@"),
        (":geheim@", ""),
        ("=verborgen", "=falsch"),
        ("?sentinel_password=verborgen", ""),
        ("/main/", "/other/"),
    ] {
        assert!(url.contains(right));
        let store = store_at(&url.replace(right, wrong), TIMEOUT);
        let error = store.ping().await.unwrap_err();
        let shown = chain(&error);
        for secret in ["geheim", "verborgen", "falsch"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(error.is_retryable());
    }
    sentinels.split_brain().await;
    let took = until_used(&store, &sentinels.servers[1]).await;
    assert!(took < LEFT_IN, "{took:?}");
}

// In a cluster.

/// Returns the node's slot, its owner, and another master.
async fn slot_and_masters(cluster: &Cluster) -> (u16, usize, usize) {
    let (slot, owner) = cluster.slot(&keys::lease(node())).await;
    (slot, owner, (owner + 1) % 3)
}

fn message(n: usize, sequence: u64) -> Message {
    Message {
        id: format!("msg_{n}_{sequence}"),
        app: "acme".parse().unwrap(),
        scope: Scope::Room(room_id(n)),
        sequence,
        event: "conference.member.joined".to_owned(),
        body: "{}".to_owned(),
    }
}

fn view(n: usize, sequence: u64, keep: Option<Duration>) -> ViewWrite {
    let random = u128::from(sequence) << 64 | u128::try_from(n).unwrap() << 32;
    ViewWrite {
        view: ViewId::Call(MemberId::generate(node(), Uuid::from_u128(random))),
        body: format!("{sequence}"),
        listing: Listing {
            app: "acme".parse().unwrap(),
            created_at: Timestamp::from_millis(sequence),
        },
        room: room_id(n),
        keep,
    }
}

/// Queues the messages of the outbox and delivers them to one endpoint. Returns the delivered ones.
async fn deliver(store: &RedisStore, endpoint: &EndpointId) -> Result<Vec<Message>, StoreError> {
    let batch = store.read_outbox(node(), 100).await?;
    if !batch.messages.is_empty() {
        let deliveries: Vec<_> = batch
            .messages
            .iter()
            .map(|message| NewDelivery {
                endpoint: endpoint.clone(),
                message: message.clone(),
                held: false,
            })
            .collect();
        store
            .fan_out(node(), &batch.from, &batch.to, &deliveries)
            .await?;
    }
    let mut delivered = Vec::new();
    for claim in store
        .claim_deliveries(node(), LONG, Share::all(100))
        .await?
    {
        // The end of a claim is repeated until the store answers.
        loop {
            match store
                .finish_delivery(node(), &claim, DeliveryResult::Delivered, None)
                .await
            {
                Ok(_) => break,
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
        delivered.push(claim.message);
    }
    Ok(delivered)
}

#[tokio::test]
async fn slot_migration_neither_loses_nor_repeats_writes() {
    const ROOMS: usize = 8;
    let cluster = Cluster::start().await;
    let (slot, owner, _) = slot_and_masters(&cluster).await;
    let store = store_at(&cluster.url(), LONG_TIMEOUT);
    let stop = Arc::new(AtomicBool::new(false));
    let written = Arc::new(AtomicUsize::new(0));
    let writers: Vec<_> = (0..ROOMS)
        .map(|n| {
            let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
            let written = Arc::clone(&written);
            tokio::spawn(async move {
                let mut version = 0;
                while !stop.load(Ordering::SeqCst) {
                    let mut commit = change(room(n), Version(version));
                    commit.outbox = vec![message(n, version + 1)];
                    // Some views end at once, so that lists and notes come and go.
                    let keep = (version % 2 == 0).then_some(Duration::from_millis(20));
                    commit.views = vec![view(n, version, keep)];
                    commit_until_applied(&store, &commit).await;
                    version += 1;
                    written.fetch_add(1, Ordering::SeqCst);
                }
                version
            })
        })
        .collect();
    let receiver = {
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        tokio::spawn(async move {
            let endpoint = "ep_1".parse().unwrap();
            let mut received = Vec::new();
            loop {
                let stopped = stop.load(Ordering::SeqCst);
                match deliver(&store, &endpoint).await {
                    Ok(messages) if messages.is_empty() && stopped => return received,
                    Ok(messages) => received.extend(messages),
                    Err(error) => assert!(error.is_retryable(), "{error:?}"),
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let more = async |count: usize| {
        let before = written.load(Ordering::SeqCst);
        until("commits succeed", async || {
            written.load(Ordering::SeqCst) >= before + count
        })
        .await;
    };
    more(50).await;
    for step in 0..6 {
        let (from, to) = ((owner + step) % 3, (owner + step + 1) % 3);
        cluster.move_slot(slot, from, to).await;
        let there = cluster.nodes[to].keys("*").await;
        assert!(
            there.contains(&keys::outbox(node())),
            "slot should have moved"
        );
        assert!(
            cluster.nodes[from].keys("*{acW68}*").await.is_empty(),
            "no key should stay behind"
        );
        more(50).await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut versions = Vec::new();
    for writer in writers {
        versions.push(writer.await.unwrap());
    }
    let received = receiver.await.unwrap();
    let mut by_room: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for message in received {
        let sequences = by_room.entry(message.scope.to_string()).or_default();
        sequences.push(message.sequence);
    }
    for (n, last) in versions.into_iter().enumerate() {
        let applied = version(&store, n).await;
        assert_eq!(applied, Version(last), "each commit should be applied once");
        let delivered = &by_room[&room_id(n).to_string()];
        let expected: Vec<u64> = (1..=last).collect();
        assert_eq!(
            delivered, &expected,
            "each message should be delivered once, in order"
        );
    }
    let backlog = store.backlog(node()).await.unwrap();
    assert_eq!((backlog.outbox, backlog.queues), (0, 0));
    let mut counts = BTreeMap::new();
    for code in ["MOVED", "TRYAGAIN", "CROSSSLOT"] {
        let mut count = 0;
        for node in &cluster.nodes {
            count += errors(node, code).await;
        }
        counts.insert(code, count);
    }
    println!("{counts:?}");
    assert!(
        counts["MOVED"] >= 6 && counts["TRYAGAIN"] > 0,
        "the migration should have affected requests"
    );
    assert_eq!(counts["CROSSSLOT"], 0);
}

#[tokio::test]
async fn commit_into_migrating_slot_is_atomic() {
    let cluster = Cluster::start().await;
    let (slot, from, to) = slot_and_masters(&cluster).await;
    let [store, hasty] = [LONG_TIMEOUT, TIMEOUT].map(|timeout| store_at(&cluster.url(), timeout));
    let owner = Uuid::from_u128(1);
    let LeaseOutcome::Held(_) = store.acquire_lease(node(), owner, LONG).await.unwrap() else {
        panic!("no other replica should hold the lease");
    };
    // All declared keys of a commit of room 1 are here.
    let mut first = change(room(1), Version::ABSENT);
    first.entities[0].deadline = Some(Timestamp::from_millis(1));
    first.views = vec![view(1, 1, Some(LONG))];
    store.commit(&first).await.unwrap();
    let moving = cluster.start_migration(slot, from, to).await;
    // The commit also uses a view, which has moved.
    let mut second = change(room(1), Version(1));
    second.entities[0].deadline = Some(Timestamp::from_millis(1));
    second.views = vec![view(1, 2, None)];
    let before = errors(&cluster.nodes[from], "TRYAGAIN").await;
    until("the request is refused temporarily", async || {
        assert_unavailable(hasty.commit(&second).await);
        errors(&cluster.nodes[from], "TRYAGAIN").await > before
    })
    .await;
    let stored: String = cluster.nodes[from]
        .query(&["HGET", &keys::entity(room(1)), "#v"])
        .await
        .unwrap();
    assert_eq!(stored, "1", "the commit should change nothing");
    while moving.move_next_key().await {}
    moving.finish().await;
    commit_until_applied(&store, &second).await;
    assert_eq!(version(&store, 1).await, Version(2));
    assert_eq!(store.backlog(node()).await.unwrap().outbox, 2);
    let of = ListOf::Room(room_id(1));
    let listed = store.list_views(node(), ViewKind::Call, of, None, 9).await;
    assert_eq!(listed.unwrap().len(), 2);
}

#[tokio::test]
async fn delivery_left_behind_by_slot_migration_is_not_lost() {
    let cluster = Cluster::start().await;
    let (slot, from, to) = slot_and_masters(&cluster).await;
    let [store, hasty] = [LONG_TIMEOUT, TIMEOUT].map(|timeout| store_at(&cluster.url(), timeout));
    let endpoint: EndpointId = "ep_1".parse().unwrap();
    let mut commit = change(room(1), Version::ABSENT);
    commit.outbox = vec![message(1, 1), message(2, 1)];
    store.commit(&commit).await.unwrap();
    let batch = store.read_outbox(node(), 9).await.unwrap();
    let deliveries: Vec<_> = batch
        .messages
        .iter()
        .map(|message| NewDelivery {
            endpoint: endpoint.clone(),
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
    // One has failed before, the other has been claimed: all declared keys of a claim are here.
    let claims = store
        .claim_deliveries(node(), LONG, Share::all(9))
        .await
        .unwrap();
    assert_eq!(claims.len(), 2);
    let after = Duration::ZERO;
    let retry = DeliveryResult::Retry { after };
    let finish = store.finish_delivery(node(), &claims[0], retry, None);
    assert!(finish.await.unwrap().is_some());
    // It moves before the queues.
    let moving = cluster.start_migration(slot, from, to).await;
    let (due, claimed) = (keys::due(node()), keys::claims(node()));
    moving
        .move_keys(&[&due, &claimed, &keys::failed(node())])
        .await;
    let queues = format!("{}*", keys::queue_prefix(node()));
    assert_eq!(cluster.nodes[from].keys(&queues).await.len(), 2);
    let before = errors(&cluster.nodes[to], "TRYAGAIN").await;
    until("the request is refused temporarily", async || {
        let claimed = hasty.claim_deliveries(node(), LONG, Share::all(9));
        assert_unavailable(claimed.await);
        errors(&cluster.nodes[to], "TRYAGAIN").await > before
    })
    .await;
    while moving.move_next_key().await {}
    moving.finish().await;
    let again = store
        .claim_deliveries(node(), LONG, Share::all(9))
        .await
        .unwrap();
    assert_eq!(again.len(), 1, "delivery should still exist");
    assert_eq!(again[0].message, claims[0].message);
    for claim in [&again[0], &claims[1]] {
        let done = DeliveryResult::Delivered;
        let finish = store.finish_delivery(node(), claim, done, None);
        assert!(finish.await.unwrap().is_some());
    }
    assert_eq!(store.backlog(node()).await.unwrap().queues, 0);
}

#[tokio::test]
async fn request_for_migrating_slot_follows_ask() {
    let cluster = Cluster::start().await;
    let app: AppId = "acme".parse().unwrap();
    let (slot, from) = cluster.slot(&keys::tokens(&app)).await;
    let to = (from + 1) % 3;
    let store = store_at(&cluster.url(), LONG_TIMEOUT);
    let name = "standup".parse().unwrap();
    let other = "retro".parse().unwrap();
    store
        .reserve_name(&app, &name, room_id(1), LONG)
        .await
        .unwrap();
    let moving = cluster.start_migration(slot, from, to).await;
    assert!(moving.move_next_key().await);
    // One key has moved, and the other one never existed.
    assert!(store.confirm_name(&app, &name, room_id(1)).await.unwrap());
    store
        .reserve_name(&app, &other, room_id(2), LONG)
        .await
        .unwrap();
    assert!(errors(&cluster.nodes[from], "ASK").await >= 2);
    assert_eq!(cluster.nodes[to].keys("*{app:acme}*").await.len(), 2);
    moving.finish().await;
    assert!(store.confirm_name(&app, &other, room_id(2)).await.unwrap());
}

#[tokio::test]
async fn killed_cluster_node_is_replaced() {
    let mut cluster = Cluster::start_with(&[0, 1, 2], None).await;
    let (_, owner, _) = slot_and_masters(&cluster).await;
    let store = store_at(&cluster.url(), TIMEOUT);
    commit_one(&store).await;
    cluster.nodes[owner].kill();
    assert_unavailable(store.commit(&change(room(1), Version::ABSENT)).await);
    let replica = &cluster.nodes[3 + owner];
    until("the replica becomes master", async || {
        replica.role().await == "master"
    })
    .await;
    let n = commit_one(&store).await;
    assert!(has(replica, n).await);
    // Other slots are served as soon as the cluster is complete again.
    assert!(until_available(&store).await < BACK_IN * 2);
    cluster.nodes[owner].restart().await;
    let back = &cluster.nodes[owner];
    until("the server returns as a replica", async || {
        back.role().await == "slave"
    })
    .await;
    let n = commit_one(&store).await;
    assert!(has(&cluster.nodes[3 + owner], n).await);
}

#[tokio::test]
async fn hanging_cluster_node_is_replaced() {
    let cluster = Cluster::start_with(&[0, 1, 2], None).await;
    let (_, owner, _) = slot_and_masters(&cluster).await;
    let store = store_at(&cluster.url(), TIMEOUT);
    commit_one(&store).await;
    cluster.nodes[owner].pause().await;
    let late = change(room(1), Version::ABSENT);
    let start = Instant::now();
    assert_unavailable(store.commit(&late).await);
    assert!(
        start.elapsed() >= TIMEOUT,
        "the server should hang and not refuse"
    );
    assert!(start.elapsed() < BOUND);
    let replica = &cluster.nodes[3 + owner];
    until("the replica becomes master", async || {
        replica.role().await == "master"
    })
    .await;
    let took = until_used(&store, replica).await;
    assert!(took < LEFT_IN, "{took:?}");
    commit_until_applied(&store, &late).await;
    cluster.nodes[owner].resume().await;
    let back = &cluster.nodes[owner];
    until("the server becomes a replica", async || {
        back.role().await == "slave"
    })
    .await;
    let n = commit_one(&store).await;
    assert!(has(replica, n).await);
    assert_eq!(version(&store, 1).await, Version(1));
}

#[tokio::test]
async fn cluster_is_used_again_after_full_outage() {
    let mut cluster = Cluster::start().await;
    let before = store_at(&cluster.url(), TIMEOUT);
    commit_one(&before).await;
    cluster.kill();
    let reopened = store_at(&cluster.url(), TIMEOUT);
    for store in [&before, &reopened] {
        for _ in 0..5 {
            let start = Instant::now();
            assert_unavailable(store.commit(&change(room(1), Version::ABSENT)).await);
            assert!(start.elapsed() < BOUND);
        }
    }
    cluster.restart().await;
    for store in [&before, &reopened] {
        assert!(until_available(store).await < BACK_IN);
        commit_one(store).await;
    }
}

#[tokio::test]
async fn errors_hide_password_of_cluster() {
    let cluster = Cluster::start_with(&[], Some("geheim")).await;
    let url = cluster.url();
    let store = store_at(&url, LONG_TIMEOUT);
    let n = commit_one(&store).await;
    let (slot, from, to) = slot_and_masters(&cluster).await;
    assert!(has(&cluster.nodes[from], n).await);
    cluster.move_slot(slot, from, to).await;
    let n = commit_one(&store).await;
    assert!(has(&cluster.nodes[to], n).await);
    let found = read_node(&*store).await.unwrap();
    assert_eq!(found.records.len(), 2);
    for wrong in [":falsch@", ""] {
        let store = store_at(&url.replace(":geheim@", wrong), TIMEOUT);
        let error = store.ping().await.unwrap_err();
        let shown = chain(&error);
        assert!(
            !shown.contains("geheim") && !shown.contains("falsch"),
            "{shown}"
        );
        assert!(error.is_retryable());
    }
}
