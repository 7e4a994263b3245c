//! Tests of a worker with real receivers on the loopback interface. A test moves the store's clock by hand, so that a
//! retry after an hour costs no time, and none happens early.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;
use url::Url;
use uuid::Uuid;

use super::*;
use crate::clock;
use crate::store::deliveries::{Deliveries, Delivery, DeliveryStatus};
use crate::store::endpoints::{Disabled, DisabledWhy};
use crate::store::memory::MemoryStore;
use crate::store::{Commit, CommitOutcome, EntityId, EntityWrite, Life, Version};
use crate::webhook::endpoint::Endpoint;
use crate::webhook::guard::Policy;
use crate::webhook::payload::room_message;
use crate::webhook::schedule::Attempt;
use crate::webhook::sender::{Failure, Limits, Report};
use roomkeeper_core::ids::{AppId, EndpointId, RoomId};
use roomkeeper_core::room::{RoomEvent, RoomNotification};

#[path = "../../../tests/support/store_behind.rs"]
#[macro_use]
mod store_behind;

mod attempt;
mod changes;
mod delivery;
mod outage;
mod receivers;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const OPEN: Policy = Policy {
    allow_http: true,
    allow_private: true,
};

/// Waits for a result. Only a failing test waits for the whole time.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Polls until the condition holds.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    soon(what, async {
        let mut polls = tokio::time::interval(Duration::from_millis(2));
        while !condition().await {
            polls.tick().await;
        }
    })
    .await;
}

/// A request as received.
#[derive(Clone, Debug)]
struct ReceivedRequest {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl ReceivedRequest {
    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Returns the room's UUID as a number, and the event's sequence.
    fn room_and_sequence(&self) -> (u128, u64) {
        let body = self.json();
        let room: RoomId = body["room_id"].as_str().unwrap().parse().unwrap();
        (room.uuid().as_u128(), body["sequence"].as_u64().unwrap())
    }
}

struct Receiver {
    url: Url,
    requests: UnboundedReceiver<ReceivedRequest>,
}

impl Receiver {
    /// Starts a receiver with this response.
    async fn start(
        answer: impl Fn(ReceivedRequest) -> BoxFuture<'static, Response> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (sender, requests) = unbounded_channel();
        let answer = Arc::new(answer);
        let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let request = ReceivedRequest {
                path: uri.to_string(),
                headers,
                body,
            };
            // The test may be over.
            let _ = sender.send(request.clone());
            answer(request)
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url: Url::parse(&url).unwrap(),
            requests,
        }
    }

    /// Starts a receiver that answers every request with this status.
    async fn always(status: StatusCode) -> Self {
        Self::start(move |_| Box::pin(async move { status.into_response() })).await
    }

    async fn next(&mut self) -> ReceivedRequest {
        soon("a request", self.requests.recv()).await.unwrap()
    }
}

fn app() -> AppId {
    "demo".parse().unwrap()
}

fn node() -> NodeId {
    "acW68".parse().unwrap()
}

fn room(number: u128) -> RoomId {
    RoomId::new(node(), Uuid::from_u128(number))
}

fn message(room_number: u128, sequence: u64) -> Message {
    let notice = RoomNotification {
        sequence,
        event: RoomEvent::Created {
            name: "Zoë's".into(),
        },
        command_uid: None,
        synthesized: false,
    };
    room_message(
        Uuid::new_v4(),
        &app(),
        room(room_number),
        &notice,
        clock::now(),
    )
}

fn endpoint(url: &Url, events: &[&str]) -> Endpoint {
    let events = events.iter().map(|e| e.parse().unwrap()).collect();
    Endpoint::new(app(), url.clone(), vec![SECRET.parse().unwrap()], events)
}

/// The dependencies of a worker, with a store whose clock a test moves.
struct Bench {
    store: Arc<MemoryStore>,
    clock: Arc<Mutex<Duration>>,
    wake: Arc<Notify>,
    versions: Mutex<HashMap<u128, Version>>,
    disabler: Arc<RecordingDisabler>,
    /// The time for which a failing message holds those behind it: unlimited, unless a test sets it.
    hold_timeout: Duration,
}

/// Records the endpoints that the worker disables, with the reason.
#[derive(Debug, Default)]
struct RecordingDisabler(Mutex<Vec<(EndpointId, &'static str)>>);

impl RecordingDisabler {
    fn all(&self) -> Vec<(EndpointId, &'static str)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl EndpointDisabler for RecordingDisabler {
    async fn disable_gone(&self, id: &EndpointId) -> Result<(), StoreError> {
        self.0.lock().unwrap().push((id.clone(), "gone"));
        Ok(())
    }

    async fn disable_failing(&self, id: &EndpointId) -> Result<(), StoreError> {
        self.0.lock().unwrap().push((id.clone(), "failing"));
        Ok(())
    }
}

struct Running {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        let clock = Arc::new(Mutex::new(Duration::ZERO));
        let read = Arc::clone(&clock);
        Self {
            store: Arc::new(MemoryStore::with_clock(Arc::new(move || {
                *read.lock().unwrap()
            }))),
            clock,
            wake: Arc::default(),
            versions: Mutex::default(),
            disabler: Arc::default(),
            hold_timeout: Duration::MAX,
        }
    }

    fn advance(&self, time: Duration) {
        *self.clock.lock().unwrap() += time;
        self.wake.notify_one();
    }

    /// Commits a change of a room with its messages.
    async fn commit(&self, room_number: u128, outbox: Vec<Message>) {
        let expected = self
            .versions
            .lock()
            .unwrap()
            .get(&room_number)
            .copied()
            .unwrap_or_default();
        let commit = Commit {
            node: node(),
            request: Uuid::new_v4(),
            lease: None,
            entities: vec![EntityWrite {
                entity: EntityId::Room(room(room_number)),
                expected,
                head: Vec::new(),
                parts: Vec::new(),
                deadline: None,
                life: Life::Live,
                listed: None,
            }],
            outbox,
            views: Vec::new(),
        };
        assert_eq!(
            self.store.commit(&commit).await.unwrap(),
            CommitOutcome::Applied
        );
        self.versions
            .lock()
            .unwrap()
            .insert(room_number, expected.next());
        self.wake.notify_one();
    }

    /// Commits one event of a room for each sequence.
    async fn emit(&self, room: u128, sequences: impl IntoIterator<Item = u64>) {
        let messages = sequences.into_iter().map(|s| message(room, s)).collect();
        self.commit(room, messages).await;
    }

    fn start(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Running {
        let store: Arc<dyn Store> = Arc::clone(&self.store) as Arc<dyn Store>;
        self.start_on(store, endpoints)
    }

    fn start_on(
        &self,
        store: Arc<dyn Store>,
        endpoints: impl IntoIterator<Item = Endpoint>,
    ) -> Running {
        self.start_within(store, endpoints, Settings::default())
    }

    fn start_within(
        &self,
        store: Arc<dyn Store>,
        endpoints: impl IntoIterator<Item = Endpoint>,
        settings: Settings,
    ) -> Running {
        let (_, endpoints) = watch::channel(Arc::new(Endpoints::new(endpoints)));
        self.start_following(store, endpoints, settings)
    }

    fn start_following(
        &self,
        store: Arc<dyn Store>,
        endpoints: watch::Receiver<Arc<Endpoints>>,
        settings: Settings,
    ) -> Running {
        let context = WorkerContext {
            endpoints,
            disabler: Arc::clone(&self.disabler) as Arc<dyn EndpointDisabler>,
            backpressure: Arc::new(Backpressure::new(1_000)),
        };
        let worker = Worker::new(
            node(),
            store,
            context,
            Sender::new(OPEN, Limits::default()).unwrap(),
            Schedule::new([HOUR, HOUR]).with_hold_timeout(self.hold_timeout),
            settings,
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.run(Arc::clone(&self.wake), stop.clone()));
        Running { task, stop }
    }

    async fn until_delivered(&self) {
        self.until_queues(0).await;
    }

    /// Waits until exactly this number of queues have deliveries. The results of all others are stored then.
    async fn until_queues(&self, count: u64) {
        until("the queues are empty", || async {
            let backlog = self.store.backlog(node()).await.unwrap();
            (backlog.outbox, backlog.queues) == (0, count)
        })
        .await;
    }

    /// The dead deliveries of the endpoint at this URL.
    async fn dead(&self, url: &Url) -> Vec<Delivery> {
        let endpoint = endpoint(url, &["*"]).id;
        let dead = DeliveryStatus::Dead;
        let store = &self.store;
        let rows = store.list_deliveries(node(), &endpoint, dead, None, 100);
        rows.await.unwrap()
    }

    /// Waits until an attempt has failed: its queue is due in about an hour then.
    async fn until_retry_is_set(&self) {
        until("a retry is set", || async {
            let next = self.store.next_delivery(node()).await.unwrap();
            next.is_some_and(|next| next > HOUR / 2)
        })
        .await;
    }
}

/// A store that is unavailable while `down` is set.
#[derive(Debug)]
struct Flaky {
    inner: Arc<MemoryStore>,
    down: AtomicBool,
    refused: AtomicUsize,
    /// The number of reads of the outbox.
    reads: AtomicUsize,
    /// The number of claims of deliveries.
    claims: AtomicUsize,
}

impl Flaky {
    fn new(bench: &Bench, is_down: bool) -> Arc<Self> {
        Arc::new(Self {
            inner: Arc::clone(&bench.store),
            down: AtomicBool::new(is_down),
            refused: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
        })
    }

    async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError> {
        if method == "read_outbox" {
            self.reads.fetch_add(1, Ordering::SeqCst);
        }
        if method == "claim_deliveries" {
            self.claims.fetch_add(1, Ordering::SeqCst);
        }
        if self.down.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(StoreError::Unavailable("down for a test".into()));
        }
        Ok(&self.inner)
    }
}

store_behind!(crate, Flaky);
