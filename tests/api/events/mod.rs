//! The event stream: content (`wanted`), resumption (`resumed`), and end (`life`).

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, Request};
use futures_util::StreamExt;
use roomkeeper::http::{ApiSettings, StreamSettings};
use roomkeeper::store::deliveries::Deliveries;
use roomkeeper::store::live::{Live, LiveEvent};
use roomkeeper::store::memory::MemoryStore;
use roomkeeper::store::{
    Commit, CommitOutcome, EntityId, EntityWrite, Life, Message, Scope, Store, StoreError, Version,
};
use roomkeeper_core::ids::{NodeId, RoomId};
use roomkeeper_core::room::{RoomInput, RoomStatus};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::faulty::Faulty;
use crate::world::*;

mod life;
mod resumed;
mod wanted;

const PATH: &str = "/api/v1/events";

/// Longer than any successful step takes.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A client of a stream.
struct Client {
    headers: HeaderMap,
    data: BodyDataStream,
    text: String,
}

/// The text between two empty lines.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Block {
    id: Option<String>,
    event: String,
    data: String,
    retry: Option<String>,
    comments: usize,
}

impl Block {
    fn parse(text: &str) -> Self {
        let mut block = Self::default();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap();
            let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
            match field {
                "" => block.comments += 1,
                "id" => assert_eq!(block.id.replace(value), None),
                "event" => block.event = value,
                "data" => {
                    assert_eq!(block.data, "", "one line of data");
                    block.data = value;
                }
                "retry" => block.retry = Some(value),
                other => panic!("{other}: {value}"),
            }
        }
        block
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }

    fn id(&self) -> &str {
        self.id.as_deref().unwrap()
    }
}

impl Client {
    /// The next block; `None` at the end of the stream.
    async fn try_next(&mut self) -> Option<Block> {
        let read = async {
            loop {
                if let Some((block, rest)) = self.text.split_once("\n\n") {
                    let (block, rest) = (block.to_owned(), rest.to_owned());
                    self.text = rest;
                    return Some(Block::parse(&block));
                }
                let Some(bytes) = self.data.next().await else {
                    assert_eq!(self.text, "", "the stream ends after a complete block");
                    return None;
                };
                self.text += std::str::from_utf8(&bytes.unwrap()).unwrap();
            }
        };
        let read = tokio::time::timeout(TIMEOUT, read).await;
        read.expect("a block or the end arrives in time")
    }

    async fn next(&mut self) -> Block {
        self.try_next().await.expect("the stream continues")
    }

    /// The next event, without comments.
    async fn event(&mut self) -> Block {
        loop {
            let block = self.next().await;
            if !block.event.is_empty() {
                return block;
            }
        }
    }

    /// The next `count` events.
    async fn events(&mut self, count: usize) -> Vec<Block> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.event().await);
        }
        events
    }
}

fn stream_request(caller: (&str, &str), query: &str, last: Option<&str>) -> Request<Body> {
    let mut request = request(caller, "GET", &format!("{PATH}{query}"), None);
    if let Some(last) = last {
        request
            .headers_mut()
            .insert("Last-Event-ID", last.parse().unwrap());
    }
    request
}

/// Opens a stream; returns it with its first event.
async fn open_with(router: &Router, request: Request<Body>) -> (Client, Block) {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    if parts.status != 200 {
        let text = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        panic!("{}: {text:?}", parts.status);
    }
    let mut client = Client {
        headers: parts.headers,
        data: body.into_data_stream(),
        text: String::new(),
    };
    let first = client.next().await;
    assert_eq!(first.event, "stream.open");
    (client, first)
}

async fn open(router: &Router, query: &str) -> Client {
    open_with(router, stream_request(DEMO, query, None)).await.0
}

async fn resume(router: &Router, query: &str, last: &str) -> Client {
    let (client, first) = open_with(router, stream_request(DEMO, query, Some(last))).await;
    assert_eq!(first.json()["data"], json!({"resumed": true}));
    assert_eq!(first.id(), last, "the stream resumes at the given id");
    client
}

fn message(app_id: &str, scope: Scope, event: &str, n: u64) -> Message {
    Message {
        id: format!("msg_{}", Uuid::new_v4().simple()),
        app: app(app_id),
        scope,
        sequence: n,
        event: event.to_owned(),
        // With a space after a colon and unsorted keys, so that a test detects a body that is serialized again.
        body: format!(r#"{{"sequence": {n}, "event":"{event}","text":"ü \n"}}"#),
    }
}

fn call_scope(node: &str) -> Scope {
    Scope::Session(session_id(node, 1))
}

/// Commits messages and notifies the streams, like a controller.
async fn commit_messages(store: &dyn Store, node: &str, messages: Vec<Message>) {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 32);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let entity = EntityId::Call(session_id(node, n.into()));
    let node = node_id(node);
    let commit = Commit {
        node,
        request: Uuid::new_v4(),
        lease: None,
        entities: vec![EntityWrite {
            entity,
            expected: Version::ABSENT,
            head: Vec::new(),
            parts: Vec::new(),
            deadline: None,
            life: Life::Live,
            listed: None,
        }],
        outbox: messages,
        views: Vec::new(),
    };
    assert_eq!(store.commit(&commit).await.unwrap(), CommitOutcome::Applied);
    // Without subscribers this fails, which is no error.
    let _ = store.publish_live(node, &[]).await;
}

/// Commits events of the demo app with these sequences.
async fn commit_events(store: &dyn Store, node: &str, numbers: impl Iterator<Item = u64>) {
    let messages = numbers.map(|n| message("demo", call_scope(node), "call.answered", n));
    commit_messages(store, node, messages.collect()).await;
}

fn numbers(blocks: &[Block]) -> Vec<u64> {
    let number = |block: &Block| block.json()["sequence"].as_u64().unwrap();
    blocks.iter().map(number).collect()
}

/// Fans out the whole outbox, so that old messages are trimmed.
async fn fan_out_all(store: &MemoryStore, node: NodeId) {
    let batch = store.read_outbox(node, usize::MAX).await.unwrap();
    let moved = store.fan_out(node, &batch.from, &batch.to, &[]).await;
    assert!(moved.unwrap());
}

/// The live event of a member that starts or stops talking.
fn talking(owner: &str, room: RoomId, talking: bool) -> LiveEvent {
    LiveEvent {
        app: app(owner),
        room,
        event: "member.talking".to_owned(),
        body: json!({"event": "member.talking", "data": {"talking": talking}}).to_string(),
    }
}

// ---- faulty stores --------------------------------------------------------------------------------------------------

/// A store that counts the streams' reads of an outbox.
struct ReadCounter {
    inner: Arc<MemoryStore>,
    reads: AtomicU64,
}

impl ReadCounter {
    fn new(inner: Arc<MemoryStore>) -> Arc<Self> {
        let reads = AtomicU64::new(0);
        Arc::new(Self { inner, reads })
    }

    async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError> {
        if method == "read_outbox_after" {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        Ok(&self.inner)
    }
}

/// A store whose first subscription to live events gets none.
struct SilentSubscription {
    inner: Arc<MemoryStore>,
    silent: MemoryStore,
    subscriptions: AtomicU64,
}

impl SilentSubscription {
    async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError> {
        let is_first =
            method == "subscribe_live" && self.subscriptions.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(if is_first { &self.silent } else { &self.inner })
    }
}

/// A store that can be replaced by an empty one.
#[derive(Default)]
struct WipeableStore {
    before: Arc<MemoryStore>,
    after: MemoryStore,
    is_wiped: AtomicBool,
}

impl WipeableStore {
    fn wipe(&self) {
        self.is_wiped.store(true, Ordering::SeqCst);
    }

    async fn gate(&self, _: &'static str) -> Result<&MemoryStore, StoreError> {
        Ok(match self.is_wiped.load(Ordering::SeqCst) {
            false => &self.before,
            true => &self.after,
        })
    }
}

macro_rules! debug_by_name {
    ($($store:ident),*) => {
        $(impl fmt::Debug for $store {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($store))
            }
        }

        store_behind!(roomkeeper, $store);)*
    };
}

debug_by_name!(ReadCounter, SilentSubscription, WipeableStore);
