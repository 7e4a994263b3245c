//! The store over TLS: which servers and which clients are refused, and what errors say. The servers have no port without
//! TLS and require client certificates. That all of the store works over TLS is in the contract (`store_contract`).
// All of it is a test, also what the lint cannot know to be one.
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

/// A call's time where it must not run out: a busy machine must not look like a broken store.
const PATIENT: Duration = Duration::from_secs(10);
/// A call's time where it runs out.
const TIMEOUT: Duration = Duration::from_secs(1);
/// That a call ends by itself; only a hang breaks it.
const BOUND: Duration = Duration::from_secs(20);

const PASSWORDS: Passwords = Passwords {
    servers: Some("geheim"),
    sentinels: Some("verborgen"),
};
/// The name in a certificate of a server that is somewhere else.
const FOREIGN: &str = "redis.example";

/// Why this store cannot be used. No part of the error repeats a secret.
async fn refusal(url: &str, tls: TlsConfig) -> String {
    let store = store_with(url, PATIENT, Some(tls));
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

/// Lets in a client that trusts the authority and has its certificate; refuses others.
async fn refuses_others(url: &str, tls: &ServerTls) {
    let (right, wrong) = (&tls.authority, Authority::new());
    let store = store_with(url, PATIENT, Some(tls.client()));
    store.ping().await.unwrap();
    let unknown = refusal(url, wrong.client(Some(right))).await;
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    // The server closes the connection; its reason may be lost on the way.
    refusal(url, right.client(None)).await;
    refusal(url, right.client(Some(&wrong))).await;
    // In clear there is nothing to be had.
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

async fn refuses_foreign_name(url: &str, tls: &ServerTls) {
    let why = refusal(url, tls.client()).await;
    assert!(why.contains("certificate not valid for name"), "{why}");
}

#[tokio::test]
async fn server_and_client_check_each_others_certificates() {
    let authority = Authority::new();
    let [local, foreign] = [LOCAL, FOREIGN].map(|host| authority.server(host));
    let server = RedisServer::start_tls(PASSWORDS.servers, &local).await;
    refuses_others(&server.url(), &local).await;
    let server = RedisServer::start_tls(PASSWORDS.servers, &foreign).await;
    refuses_foreign_name(&server.url(), &foreign).await;
}

#[tokio::test]
async fn sentinels_and_their_master_are_both_checked() {
    let authority = Authority::new();
    let [local, foreign] = [LOCAL, FOREIGN].map(|host| authority.server(host));
    let sentinels = Sentinels::start_tls(1, PASSWORDS, &local, &local).await;
    refuses_others(&sentinels.url(), &local).await;
    let sentinels = Sentinels::start_tls(1, PASSWORDS, &local, &foreign).await;
    refuses_foreign_name(&sentinels.url(), &foreign).await;
    // The address of the master comes from the sentinel.
    let sentinels = Sentinels::start_tls(1, PASSWORDS, &foreign, &local).await;
    refuses_foreign_name(&sentinels.url(), &foreign).await;
}

#[tokio::test]
async fn cluster_nodes_are_checked() {
    let authority = Authority::new();
    let [local, foreign] = [LOCAL, FOREIGN].map(|host| authority.server(host));
    let cluster = Cluster::start_tls(PASSWORDS.servers, &local).await;
    refuses_others(&cluster.url(), &local).await;
    let cluster = Cluster::start_tls(PASSWORDS.servers, &foreign).await;
    refuses_foreign_name(&cluster.url(), &foreign).await;
}

/// Uses all kinds of connections: for commands, for many records, for subscriptions.
async fn use_all_connections(store: &Arc<RedisStore>, n: usize) {
    commit_until_applied(store, &change(room(n), Version::ABSENT)).await;
    let found = read_node(&**store).await.unwrap();
    assert!(found.records.iter().any(|(id, _)| *id == room(n)));
    let mut heard = store.subscribe_live(&[node()]).await.unwrap();
    let said = LiveEvent {
        app: "acme".parse().unwrap(),
        room: room_id(n),
        event: "member.talking".to_owned(),
        body: "{}".to_owned(),
    };
    store.publish_live(node(), &[said]).await.unwrap();
    let next = tokio::time::timeout(BOUND, heard.next()).await.unwrap();
    assert_eq!(next.unwrap().0, node());
}

#[tokio::test]
async fn restarted_server_is_used_again() {
    let tls = Authority::new().server(LOCAL);
    let mut server = RedisServer::start_tls(PASSWORDS.servers, &tls).await;
    let store = store_with(&server.url(), PATIENT, Some(tls.client()));
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
    let store = store_with(&sentinels.url(), PATIENT, Some(tls.client()));
    use_all_connections(&store, 1).await;
    sentinels.failover().await;
    let start = Instant::now();
    for n in 2.. {
        // For a moment the old master may go on taking writes.
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
    let store = store_with(&cluster.url(), PATIENT, Some(tls.client()));
    use_all_connections(&store, 1).await;
    let (slot, owner) = cluster.slot(&keys::lease(node())).await;
    let mut from = owner;
    for to in (0..3).filter(|to| *to != owner) {
        let moving = cluster.begin_move(slot, from, to).await;
        // What is not there yet is asked for at the other end: ASK.
        assert_eq!(store.read_head(room(99)).await.unwrap(), None);
        while moving.one_key().await {}
        moving.finish().await;
        // MOVED.
        use_all_connections(&store, 10 + to).await;
        let written = cluster.nodes[to].keys(&keys::entity(room(10 + to))).await;
        assert_eq!(written.len(), 1, "the new owner has it");
        from = to;
    }
}

#[tokio::test]
async fn handshake_that_hangs_ends_in_bounded_time() {
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
            "{form}: it hangs, it does not refuse"
        );
    }
    hanging.abort();
}
