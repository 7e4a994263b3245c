//! The store over TLS: rejected servers and clients, and their errors. The servers have no port without TLS and require
//! client certificates. The contract (`store_contract`) covers all functions of the store over TLS.
// The whole crate is test code, which the lint does not recognize.
#![allow(clippy::unwrap_used)]

mod support;

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use roomkeeper::store::live::{Live, LiveEvent};
use roomkeeper::store::redis::{RedisOptions, RedisStore, TlsConfig};
use roomkeeper::store::{Store, Version, keys};
use support::redis::{Cluster, Passwords, RedisServer, Sentinels};
use support::store::{
    change, commit_until_applied, node, read_node, room, room_id, store_with, until_available,
};
use support::tls::{Authority, LOCAL, ServerTls};
use tokio::net::TcpListener;

/// The time limit of a call that must not expire: a busy machine must not look like a broken store.
const LONG_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit of a call that expires.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The limit for a call that ends by itself; only a hang exceeds it.
const BOUND: Duration = Duration::from_secs(20);

const PASSWORDS: Passwords = Passwords {
    servers: Some("geheim"),
    sentinels: Some("verborgen"),
};
/// The name in the certificate of another server.
const FOREIGN: &str = "redis.example";

/// Returns the error of a store that cannot be used, and checks that it contains no secret.
async fn refusal(url: &str, tls: TlsConfig) -> String {
    let store = store_with(url, LONG_TIMEOUT, Some(tls));
    let start = Instant::now();
    let error = store.ping().await.unwrap_err();
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert!(error.is_retryable(), "{error:?}");
    let mut text = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(" {error} {error:?}");
        source = error.source();
    }
    for secret in ["geheim", "verborgen", "PRIVATE KEY"] {
        assert!(!text.contains(secret), "{text}");
    }
    text
}

/// Checks that the server accepts only a client that trusts the authority and has its certificate.
async fn check_client_certificates(url: &str, tls: &ServerTls) {
    let (right, wrong) = (&tls.authority, Authority::new());
    let store = store_with(url, LONG_TIMEOUT, Some(tls.client()));
    store.ping().await.unwrap();
    let unknown = refusal(url, wrong.client(Some(right))).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    // The server closes the connection; its reason may be lost on the way.
    refusal(url, right.client(None)).await;
    refusal(url, right.client(Some(&wrong))).await;
    // Without TLS, the connection fails.
    let options = RedisOptions {
        timeout: TIMEOUT,
        ..RedisOptions::default()
    };
    let plain = url.replacen("rediss", "redis", 1);
    let plain = RedisStore::connect(&plain, &options).unwrap();
    plain.ping().await.unwrap_err();
    let error = RedisStore::connect(url, &options).unwrap_err();
    assert!(error.to_string().contains("TLS settings"), "{error}");
}

async fn check_foreign_name(url: &str, tls: &ServerTls) {
    let why = refusal(url, tls.client()).await;
    assert!(why.contains("certificate not valid for name"), "{why}");
}

#[tokio::test]
async fn server_and_client_check_certificates() {
    let authority = Authority::new();
    let [local, foreign] = [LOCAL, FOREIGN].map(|host| authority.server(host));
    let server = RedisServer::start_tls(PASSWORDS.servers, &local).await;
    check_client_certificates(&server.url(), &local).await;
    let server = RedisServer::start_tls(PASSWORDS.servers, &foreign).await;
    check_foreign_name(&server.url(), &foreign).await;
}

#[tokio::test]
async fn sentinel_and_master_certificates_are_checked() {
    let authority = Authority::new();
    let [local, foreign] = [LOCAL, FOREIGN].map(|host| authority.server(host));
    let sentinels = Sentinels::start_tls(1, PASSWORDS, &local, &local).await;
    check_client_certificates(&sentinels.url(), &local).await;
    let sentinels = Sentinels::start_tls(1, PASSWORDS, &local, &foreign).await;
    check_foreign_name(&sentinels.url(), &foreign).await;
    // The address of the master comes from the sentinel.
    let sentinels = Sentinels::start_tls(1, PASSWORDS, &foreign, &local).await;
    check_foreign_name(&sentinels.url(), &foreign).await;
}

#[tokio::test]
async fn cluster_nodes_are_checked() {
    let authority = Authority::new();
    let [local, foreign] = [LOCAL, FOREIGN].map(|host| authority.server(host));
    let cluster = Cluster::start_tls(PASSWORDS.servers, &local).await;
    check_client_certificates(&cluster.url(), &local).await;
    let cluster = Cluster::start_tls(PASSWORDS.servers, &foreign).await;
    check_foreign_name(&cluster.url(), &foreign).await;
}

/// Uses all kinds of connections: for commands, for reads of a node, for subscriptions.
async fn use_all_connections(store: &Arc<RedisStore>, n: usize) {
    commit_until_applied(store, &change(room(n), Version::ABSENT)).await;
    let found = read_node(&**store).await.unwrap();
    assert!(found.records.iter().any(|(id, _)| *id == room(n)));
    let mut events = store.subscribe_live(&[node()]).await.unwrap();
    let event = LiveEvent {
        app: "acme".parse().unwrap(),
        room: room_id(n),
        event: "member.talking".to_owned(),
        body: "{}".to_owned(),
    };
    store.publish_live(node(), &[event]).await.unwrap();
    let next = tokio::time::timeout(BOUND, events.next()).await.unwrap();
    assert_eq!(next.unwrap().0, node());
}

#[tokio::test]
async fn restarted_server_is_used_again() {
    let tls = Authority::new().server(LOCAL);
    let mut server = RedisServer::start_tls(PASSWORDS.servers, &tls).await;
    let store = store_with(&server.url(), LONG_TIMEOUT, Some(tls.client()));
    use_all_connections(&store, 1).await;
    // It does not know the TLS session that the next connection wants to resume.
    server.restart().await;
    until_available(&store).await;
    use_all_connections(&store, 2).await;
    assert!(store.connections() >= 2);
}

#[tokio::test]
async fn new_master_is_reached_over_tls() {
    let tls = Authority::new().server(LOCAL);
    let sentinels = Sentinels::start_tls(3, PASSWORDS, &tls, &tls).await;
    let store = store_with(&sentinels.url(), LONG_TIMEOUT, Some(tls.client()));
    use_all_connections(&store, 1).await;
    sentinels.failover().await;
    let start = Instant::now();
    for n in 2.. {
        // For a moment, the old master may still accept writes.
        commit_until_applied(&store, &change(room(n), Version::ABSENT)).await;
        let key = keys::entity(room(n));
        if !sentinels.servers[1].keys(&key).await.is_empty() {
            break;
        }
        assert!(start.elapsed() < BOUND, "the new master is not used");
    }
    sentinels.until_replica(0).await;
    use_all_connections(&store, 1_000_000).await;
}

#[tokio::test]
async fn redirections_are_followed_over_tls() {
    let tls = Authority::new().server(LOCAL);
    let cluster = Cluster::start_tls(PASSWORDS.servers, &tls).await;
    let store = store_with(&cluster.url(), LONG_TIMEOUT, Some(tls.client()));
    use_all_connections(&store, 1).await;
    let (slot, owner) = cluster.slot(&keys::lease(node())).await;
    let mut from = owner;
    for to in (0..3).filter(|to| *to != owner) {
        let moving = cluster.start_migration(slot, from, to).await;
        // ASK: a key that has not moved yet is requested from the other node.
        assert_eq!(store.read_head(room(99)).await.unwrap(), None);
        while moving.move_next_key().await {}
        moving.finish().await;
        // MOVED: the slot has a new owner.
        use_all_connections(&store, 10 + to).await;
        let written = cluster.nodes[to].keys(&keys::entity(room(10 + to))).await;
        assert_eq!(written.len(), 1, "the new owner should have the key");
        from = to;
    }
}

#[tokio::test]
async fn hanging_handshake_ends_in_bounded_time() {
    let listener = TcpListener::bind((LOCAL, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let hanging = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let authority = Authority::new();
    for form in [
        "rediss://A/",
        "rediss+sentinel://A/main",
        "rediss+cluster://A",
    ] {
        let url = form.replace('A', &address.to_string());
        let store = store_with(&url, TIMEOUT, Some(authority.client(None)));
        let start = Instant::now();
        let error = store.ping().await.unwrap_err();
        assert!(error.is_retryable(), "{error:?}");
        assert!(start.elapsed() < BOUND, "{form}: {:?}", start.elapsed());
        assert!(
            start.elapsed() >= TIMEOUT / 4,
            "{form}: the server should hang and not refuse"
        );
    }
    hanging.abort();
}
