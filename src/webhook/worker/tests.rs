//! Against real receivers on the loopback interface. The store's clock is moved by hand, so that a retry of an hour
//! costs no time and none happens before it is asked for.

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
use crate::ids::{AppId, EndpointId, RoomId};
use crate::room::{RoomFact, RoomNotice};
use crate::store::deliveries::{Deliveries, Delivery, DeliveryStatus};
use crate::store::endpoints::{Disabled, DisabledWhy};
use crate::store::memory::MemoryStore;
use crate::store::{Commit, CommitOutcome, EntityId, EntityWrite, Life, Version};
use crate::webhook::guard::Policy;
use crate::webhook::payload::room_message;
use crate::webhook::sender::{Failure, Limits};

#[path = "../../../tests/support/store_behind.rs"]
#[macro_use]
mod store_behind;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const HOUR: Duration = Duration::from_secs(3600);
const MINUTE: Duration = Duration::from_secs(60);
const OPEN: Policy = Policy {
    allow_http: true,
    allow_private: true,
};

/// For what must happen soon; only a failing test waits so long.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("not in time: {what}"),
    }
}

/// Looks until it is so.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    soon(what, async {
        let mut looks = tokio::time::interval(Duration::from_millis(2));
        while !condition().await {
            looks.tick().await;
        }
    })
    .await;
}

/// A request as a receiver saw it.
#[derive(Clone, Debug)]
struct Seen {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Seen {
    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The room's uuid as a number, and the place of the event in it.
    fn place(&self) -> (u128, u64) {
        let body = self.json();
        let room: RoomId = body["room_id"].as_str().unwrap().parse().unwrap();
        (room.uuid().as_u128(), body["sequence"].as_u64().unwrap())
    }
}

struct Receiver {
    url: Url,
    seen: UnboundedReceiver<Seen>,
}

impl Receiver {
    /// A receiver that answers as it is told.
    async fn start(
        answer: impl Fn(Seen) -> BoxFuture<'static, Response> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let (tell, seen) = unbounded_channel();
        let answer = Arc::new(answer);
        let app = axum::Router::new().fallback(move |uri: Uri, headers: HeaderMap, body: Bytes| {
            let seen = Seen {
                path: uri.to_string(),
                headers,
                body,
            };
            // The test may be over.
            let _ = tell.send(seen.clone());
            answer(seen)
        });
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            url: Url::parse(&url).unwrap(),
            seen,
        }
    }

    /// A receiver that answers every request alike.
    async fn always(status: StatusCode) -> Self {
        Self::start(move |_| Box::pin(async move { status.into_response() })).await
    }

    async fn next(&mut self) -> Seen {
        soon("a request", self.seen.recv()).await.unwrap()
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

fn message(of: u128, sequence: u64) -> Message {
    let notice = RoomNotice {
        sequence,
        fact: RoomFact::Created {
            name: "Zoë's".into(),
        },
        command_uid: None,
        synthesized: false,
    };
    room_message(Uuid::new_v4(), &app(), room(of), &notice, Timestamp::now())
}

fn endpoint(url: &Url, events: &[&str]) -> Endpoint {
    let events = events.iter().map(|e| e.parse().unwrap()).collect();
    Endpoint::new(app(), url.clone(), vec![SECRET.parse().unwrap()], events)
}

/// A store with a clock of its own, and what a worker needs.
struct Bench {
    store: Arc<MemoryStore>,
    clock: Arc<Mutex<Duration>>,
    wake: Arc<Notify>,
    versions: Mutex<HashMap<u128, Version>>,
    disabling: Arc<Judged>,
    /// Those behind a message that fails wait for it so long: for ever, unless a test says otherwise.
    patience: Duration,
}

/// Which receivers were to be disabled, and why.
#[derive(Debug, Default)]
struct Judged(Mutex<Vec<(EndpointId, &'static str)>>);

impl Judged {
    fn all(&self) -> Vec<(EndpointId, &'static str)> {
        self.0.lock().unwrap().clone()
    }
}

#[async_trait::async_trait]
impl Disabling for Judged {
    async fn gone(&self, id: &EndpointId) -> Result<(), StoreError> {
        self.0.lock().unwrap().push((id.clone(), "gone"));
        Ok(())
    }

    async fn failing(&self, id: &EndpointId) -> Result<(), StoreError> {
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
            disabling: Arc::default(),
            patience: Duration::MAX,
        }
    }

    fn pass(&self, time: Duration) {
        *self.clock.lock().unwrap() += time;
        self.wake.notify_one();
    }

    /// Commits a change of a room and what tells of it.
    async fn commit(&self, of: u128, outbox: Vec<Message>) {
        let expected = self
            .versions
            .lock()
            .unwrap()
            .get(&of)
            .copied()
            .unwrap_or_default();
        let commit = Commit {
            node: node(),
            request: Uuid::new_v4(),
            lease: None,
            entities: vec![EntityWrite {
                entity: EntityId::Room(room(of)),
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
        self.versions.lock().unwrap().insert(of, expected.next());
        self.wake.notify_one();
    }

    async fn tell(&self, of: u128, sequences: impl IntoIterator<Item = u64>) {
        self.commit(of, sequences.into_iter().map(|s| message(of, s)).collect())
            .await;
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
        let receivers = Receivers {
            endpoints,
            disabling: Arc::clone(&self.disabling) as Arc<dyn Disabling>,
            pressure: Arc::new(Pressure::new(1_000)),
        };
        let worker = Worker::new(
            node(),
            store,
            receivers,
            Sender::new(OPEN, Limits::default()).unwrap(),
            Schedule::new([HOUR, HOUR]).with_patience(self.patience),
            settings,
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker.run(Arc::clone(&self.wake), stop.clone()));
        Running { task, stop }
    }

    async fn until_delivered(&self) {
        self.until_queues(0).await;
    }

    /// Until so many queues have something left; what a receiver has seen is then written down too.
    async fn until_queues(&self, left: u64) {
        until("the queues are empty", || async {
            let backlog = self.store.backlog(node()).await.unwrap();
            (backlog.outbox, backlog.queues) == (0, left)
        })
        .await;
    }

    /// What is kept of a receiver's messages that were given up.
    async fn dead(&self, receiver: &Url) -> Vec<Delivery> {
        let endpoint = endpoint(receiver, &["*"]).id;
        let dead = DeliveryStatus::Dead;
        let store = &self.store;
        let rows = store.list_deliveries(node(), &endpoint, dead, None, 100);
        rows.await.unwrap()
    }

    /// Until a claim is finished with a failure: its queue is then due in about an hour, no sooner.
    async fn until_retry_is_set(&self) {
        until("a retry is set", || async {
            let next = self.store.next_delivery(node()).await.unwrap();
            next.is_some_and(|next| next > HOUR / 2)
        })
        .await;
    }
}

#[tokio::test]
async fn an_event_arrives_whole_and_signed() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let running = bench.start([endpoint(&receiver.url, &["*"])]);
    let sent = message(1, 1);
    bench.commit(1, vec![sent.clone()]).await;
    let seen = receiver.next().await;
    standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(&seen.body, &seen.headers)
        .unwrap();
    assert_eq!(seen.id(), sent.id);
    assert_eq!(seen.body, sent.body.as_bytes());
    assert_eq!(seen.headers[header::CONTENT_TYPE], "application/json");
    bench.until_delivered().await;
    running.stop.cancel();
    soon("the worker stops", running.task).await.unwrap();
}

#[tokio::test]
async fn a_failure_keeps_its_room_waiting_and_no_other() {
    let bench = Bench::new();
    let failed = AtomicUsize::new(0);
    let mut receiver = Receiver::start(move |seen| {
        let first = seen.place() == (1, 1) && failed.fetch_add(1, Ordering::SeqCst) == 0;
        let status = if first {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::NO_CONTENT
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1, 2]).await;
    let first = receiver.next().await;
    assert_eq!(first.place(), (1, 1));
    bench.until_retry_is_set().await;
    bench.tell(2, [1, 2, 3]).await;
    for sequence in 1..=3 {
        assert_eq!(receiver.next().await.place(), (2, sequence));
    }
    bench.until_queues(1).await;
    bench.pass(2 * HOUR);
    let again = receiver.next().await;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.body, first.body);
    assert_eq!(receiver.next().await.place(), (1, 2));
    bench.until_delivered().await;
}

#[tokio::test]
async fn a_failure_that_lasts_is_parked_and_those_behind_it_go_on() {
    let bench = Bench {
        patience: MINUTE,
        ..Bench::new()
    };
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    let mut receiver = Receiver::start(move |seen| {
        let status = if seen.place().1 == 1 && fails.load(Ordering::SeqCst) {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::NO_CONTENT
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1, 2, 3]).await;
    let first = receiver.next().await;
    assert_eq!(first.place(), (1, 1));
    // One queue for what is parked, one for those behind it, which wait for a minute.
    bench.until_queues(2).await;
    assert!(receiver.seen.try_recv().is_err());
    bench.pass(MINUTE);
    for sequence in 2..=3 {
        assert_eq!(receiver.next().await.place(), (1, sequence));
    }
    bench.until_queues(1).await;
    failing.store(false, Ordering::SeqCst);
    bench.pass(2 * HOUR);
    let again = receiver.next().await;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.body, first.body);
    bench.until_delivered().await;
}

#[tokio::test]
async fn what_exhausts_its_attempts_is_dead_and_the_next_one_flows() {
    let bench = Bench::new();
    let mut receiver = Receiver::start(|seen| {
        let status = match seen.place().1 {
            1 => StatusCode::BAD_GATEWAY,
            2 => StatusCode::GONE,
            _ => StatusCode::OK,
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1, 2, 3]).await;
    for _ in 0..2 {
        assert_eq!(receiver.next().await.place(), (1, 1));
        bench.until_retry_is_set().await;
        bench.pass(2 * HOUR);
    }
    // The third attempt is the last; 410 is the last at once.
    for sequence in 1..=3 {
        assert_eq!(receiver.next().await.place(), (1, sequence));
    }
    bench.until_delivered().await;
    let dead = bench.dead(&receiver.url).await;
    let attempts: Vec<usize> = dead.iter().map(|row| row.attempts.len()).collect();
    assert_eq!(attempts, [1, 3], "the latest first");
    assert_eq!(dead[0].attempts[0].status, Some(410));
    let id = endpoint(&receiver.url, &["*"]).id;
    assert_eq!(bench.disabling.all(), [(id, "gone")]);
}

#[tokio::test]
async fn each_receiver_gets_what_it_wants() {
    let bench = Bench::new();
    let mut all = Receiver::always(StatusCode::OK).await;
    let mut calls = Receiver::always(StatusCode::OK).await;
    let _running = bench.start([
        endpoint(&all.url, &["conference.*"]),
        endpoint(&calls.url, &["call.*"]),
    ]);
    bench.tell(1, [1, 2]).await;
    assert_eq!(all.next().await.place(), (1, 1));
    assert_eq!(all.next().await.place(), (1, 2));
    bench.until_delivered().await;
    assert!(calls.seen.try_recv().is_err());
}

#[tokio::test]
async fn attempts_are_bounded_and_long_outboxes_are_handed_over_in_steps() {
    const ROOMS: u128 = 20;
    let bench = Bench::new();
    let under_way = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (count, peak) = (Arc::clone(&under_way), Arc::clone(&most));
    let mut receiver = Receiver::start(move |_| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        Box::pin(async move {
            let now = count.fetch_add(1, Ordering::SeqCst) + 1;
            peak.fetch_max(now, Ordering::SeqCst);
            // Long enough for any other that is allowed to come in.
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
            count.fetch_sub(1, Ordering::SeqCst);
            StatusCode::OK.into_response()
        })
    })
    .await;
    for room in 1..=ROOMS {
        bench.tell(room, [1, 2]).await;
    }
    // One endpoint of one app gets two or three of so many: the others are for other apps, and for the app's others.
    let settings = Settings {
        concurrency: 12,
        batch: 7,
        ..Settings::default()
    };
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    let _running = bench.start_within(store, [endpoint(&receiver.url, &["*"])], settings);
    bench.until_delivered().await;
    let mut last: HashMap<u128, u64> = HashMap::new();
    while let Ok(seen) = receiver.seen.try_recv() {
        let (room, sequence) = seen.place();
        let before = last.insert(room, sequence).unwrap_or_default();
        assert_eq!(sequence, before + 1, "room {room}");
    }
    assert_eq!(last.len() as u128, ROOMS);
    assert!(last.values().all(|sequence| *sequence == 2));
    // Side by side, and never more than allowed.
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn receivers_that_hang_leave_places_for_other_apps() {
    const APPS: usize = 10;
    let bench = Bench::new();
    let hangs = Receiver::start(|_| Box::pin(std::future::pending())).await;
    let mut good = Receiver::always(StatusCode::OK).await;
    let mut endpoints = vec![endpoint(&good.url, &["*"])];
    let mut events = Vec::new();
    for n in 0..APPS {
        let app: AppId = format!("hostile{n}").parse().unwrap();
        for path in 0..16 {
            let url = hangs.url.join(&format!("/{path}")).unwrap();
            let filters = vec!["*".parse().unwrap()];
            let secrets = vec![SECRET.parse().unwrap()];
            endpoints.push(Endpoint::new(app.clone(), url, secrets, filters));
        }
        events.extend((1..=10).map(|of| Message {
            app: app.clone(),
            ..message(of, 1)
        }));
    }
    let settings = Settings {
        concurrency: 32,
        ..Settings::default()
    };
    let store = Arc::clone(&bench.store) as Arc<dyn Store>;
    // All that hangs is there first, and due first.
    bench.commit(999, events).await;
    let _running = bench.start_within(store, endpoints, settings);
    until("they hang", || async {
        bench.store.backlog(node()).await.unwrap().outbox == 0
    })
    .await;
    for n in 1..=3 {
        let asked = Instant::now();
        bench.tell(1, [n]).await;
        assert_eq!(good.next().await.place(), (1, n));
        // An attempt that hangs ends after 10 s.
        assert!(asked.elapsed() < Duration::from_secs(5));
    }
}

#[tokio::test]
async fn a_worker_lost_before_it_wrote_down_its_success_leads_to_the_same_id_again() {
    let bench = Bench::new();
    let mut receiver = Receiver::start({
        let requests = AtomicUsize::new(0);
        move |_| {
            let first = requests.fetch_add(1, Ordering::SeqCst) == 0;
            Box::pin(async move {
                if first {
                    std::future::pending::<()>().await;
                }
                StatusCode::OK.into_response()
            })
        }
    })
    .await;
    let lost = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1]).await;
    let first = receiver.next().await;
    lost.task.abort();
    assert!(lost.task.await.unwrap_err().is_cancelled());

    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.pass(HOUR);
    let again = receiver.next().await;
    assert_eq!(again.id(), first.id());
    assert_eq!(again.body, first.body);
    bench.until_delivered().await;
}

#[tokio::test]
async fn a_stop_lets_what_is_under_way_finish_and_starts_nothing() {
    let bench = Bench::new();
    let release = Arc::new(Notify::new());
    let held = Arc::clone(&release);
    let mut receiver = Receiver::start(move |_| {
        let held = Arc::clone(&held);
        Box::pin(async move {
            held.notified().await;
            StatusCode::OK.into_response()
        })
    })
    .await;
    let running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1, 2]).await;
    assert_eq!(receiver.next().await.place(), (1, 1));
    running.stop.cancel();
    release.notify_one();
    soon("the worker stops", running.task).await.unwrap();
    assert!(receiver.seen.try_recv().is_err());
    // The first is delivered: what is claimed next is the second, at once and for the first time.
    let next = bench
        .store
        .claim_deliveries(node(), HOUR, Share::all(10))
        .await
        .unwrap();
    assert_eq!(next.len(), 1);
    assert_eq!((next[0].message.sequence, next[0].failed_attempts), (2, 0));
}

#[tokio::test]
async fn a_receiver_that_is_not_configured_here_is_left_to_others() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    // Handed over by one that knows the receiver, claimed by one that does not.
    bench.tell(1, [1]).await;
    let batch = bench.store.read_outbox(node(), 10).await.unwrap();
    let deliveries = [NewDelivery {
        endpoint: endpoint(&receiver.url, &["*"]).id,
        message: batch.messages[0].clone(),
        held: false,
    }];
    assert!(
        bench
            .store
            .fan_out(node(), &batch.from, &batch.to, &deliveries)
            .await
            .unwrap()
    );
    let ignorant = bench.start([]);
    bench.until_retry_is_set().await;
    ignorant.stop.cancel();
    soon("the worker stops", ignorant.task).await.unwrap();
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.pass(2 * HOUR);
    assert_eq!(receiver.next().await.place(), (1, 1));
    bench.until_delivered().await;
}

#[tokio::test]
async fn what_an_app_tells_that_is_not_known_yet_waits_for_it() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let nobody = Endpoints::new([]).with_apps(BTreeSet::new());
    let (apps, endpoints) = watch::channel(Arc::new(nobody));
    let store = Arc::new(Flaky {
        inner: Arc::clone(&bench.store),
        down: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
        looks: AtomicUsize::new(0),
        claims: AtomicUsize::new(0),
    });
    let settings = Settings {
        idle: Duration::from_millis(20),
        ..Settings::default()
    };
    let seen = Arc::clone(&store) as Arc<dyn Store>;
    let _running = bench.start_following(seen, endpoints, settings);
    bench.tell(1, [1]).await;
    // Several looks later it is still where it was.
    let before = store.looks.load(Ordering::SeqCst);
    until("it was looked for", || async {
        store.looks.load(Ordering::SeqCst) >= before + 5
    })
    .await;
    assert_eq!(bench.store.backlog(node()).await.unwrap().outbox, 1);
    let known = endpoint(&receiver.url, &["*"]);
    let ids = BTreeSet::from([known.app.clone()]);
    apps.send_replace(Arc::new(Endpoints::new([known]).with_apps(ids)));
    assert_eq!(receiver.next().await.place(), (1, 1));
    bench.until_delivered().await;
}

#[tokio::test]
async fn an_app_that_does_not_become_known_holds_nobody_up_for_long() {
    let bench = Bench::new();
    let known = BTreeSet::new();
    let (_, endpoints) = watch::channel(Arc::new(Endpoints::new([]).with_apps(known)));
    let store: Arc<dyn Store> = Arc::clone(&bench.store) as Arc<dyn Store>;
    let settings = Settings {
        idle: Duration::from_millis(20),
        ..Settings::default()
    };
    let _running = bench.start_following(store, endpoints, settings);
    bench.tell(1, [1]).await;
    let handed_over = async {
        while bench.store.backlog(node()).await.unwrap().outbox > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(UNKNOWN_APP_PATIENCE * 3, handed_over)
        .await
        .unwrap();
}

/// A store that is down as long as it is told to be, as far as a worker sees it.
#[derive(Debug)]
struct Flaky {
    inner: Arc<MemoryStore>,
    down: AtomicBool,
    refused: AtomicUsize,
    /// How often somebody has looked for what is to be told.
    looks: AtomicUsize,
    /// How often somebody has tried to claim something.
    claims: AtomicUsize,
}

impl Flaky {
    async fn gate(&self, method: &'static str) -> Result<&MemoryStore, StoreError> {
        if method == "read_outbox" {
            self.looks.fetch_add(1, Ordering::SeqCst);
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

#[tokio::test]
async fn a_store_that_is_down_is_waited_for() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let flaky = Arc::new(Flaky {
        inner: Arc::clone(&bench.store),
        down: AtomicBool::new(true),
        refused: AtomicUsize::new(0),
        looks: AtomicUsize::new(0),
        claims: AtomicUsize::new(0),
    });
    let store = Arc::clone(&flaky) as Arc<dyn Store>;
    let running = bench.start_on(store, [endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1]).await;
    until("the worker met the outage", || async {
        flaky.refused.load(Ordering::SeqCst) >= 2
    })
    .await;
    assert!(receiver.seen.try_recv().is_err());
    flaky.down.store(false, Ordering::SeqCst);
    assert_eq!(receiver.next().await.place(), (1, 1));
    bench.until_delivered().await;
    flaky.down.store(true, Ordering::SeqCst);
    running.stop.cancel();
    soon("the worker stops", running.task).await.unwrap();
}

#[tokio::test]
async fn where_nothing_is_due_nothing_is_claimed_and_what_another_replica_queues_is_found() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let store = Arc::new(Flaky {
        inner: Arc::clone(&bench.store),
        down: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
        looks: AtomicUsize::new(0),
        claims: AtomicUsize::new(0),
    });
    let endpoint = endpoint(&receiver.url, &["*"]);
    let (_told, endpoints) = watch::channel(Arc::new(Endpoints::new([endpoint.clone()])));
    let settings = Settings {
        idle: Duration::from_millis(20),
        ..Settings::default()
    };
    let seen = Arc::clone(&store) as Arc<dyn Store>;
    let _running = bench.start_following(seen, endpoints, settings);
    let looked = async |times: usize| {
        let before = store.looks.load(Ordering::SeqCst);
        until("it looked", || async {
            store.looks.load(Ordering::SeqCst) >= before + times
        })
        .await;
    };
    // What it does when it begins is behind it.
    looked(2).await;
    let claims = store.claims.load(Ordering::SeqCst);
    looked(5).await;
    assert_eq!(store.claims.load(Ordering::SeqCst), claims);
    let delivery = NewDelivery {
        endpoint: endpoint.id,
        message: message(1, 1),
        held: false,
    };
    bench.store.enqueue(node(), &delivery).await.unwrap();
    assert_eq!(receiver.next().await.place(), (1, 1));
    bench.until_delivered().await;
}

#[tokio::test]
async fn an_outage_at_the_end_of_an_attempt_sends_nothing_twice() {
    let bench = Bench::new();
    let flaky = Arc::new(Flaky {
        inner: Arc::clone(&bench.store),
        down: AtomicBool::new(false),
        refused: AtomicUsize::new(0),
        looks: AtomicUsize::new(0),
        claims: AtomicUsize::new(0),
    });
    let cut = Arc::clone(&flaky);
    let mut receiver = Receiver::start(move |_| {
        cut.down.store(true, Ordering::SeqCst);
        Box::pin(async { StatusCode::OK.into_response() })
    })
    .await;
    let store = Arc::clone(&flaky) as Arc<dyn Store>;
    let _running = bench.start_on(store, [endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1]).await;
    receiver.next().await;
    until("the outage was met", || async {
        flaky.refused.load(Ordering::SeqCst) >= 1
    })
    .await;
    flaky.down.store(false, Ordering::SeqCst);
    bench.until_delivered().await;
    assert!(receiver.seen.try_recv().is_err());
}

#[test]
fn back_offs_grow_to_a_limit() {
    let delays: Vec<u128> = (0..7).map(|n| back_off(n).as_millis()).collect();
    assert_eq!(delays, [100, 200, 400, 800, 1600, 2000, 2000]);
    assert_eq!(back_off(u32::MAX), Duration::from_secs(2));
}

// ---- one attempt --------------------------------------------------------------------------------------------------

async fn attempt(policy: Policy, request: Duration, url: &Url) -> Report {
    let limits = Limits {
        request,
        ..Limits::default()
    };
    let sender = Sender::new(policy, limits).unwrap();
    let endpoint = endpoint(url, &["*"]);
    soon("an attempt", sender.post(&endpoint, &message(1, 1))).await
}

const PATIENT: Duration = Duration::from_secs(10);
const IMPATIENT: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_receiver_that_hangs_is_left() {
    let receiver = Receiver::start(|_| Box::pin(std::future::pending())).await;
    let report = attempt(OPEN, IMPATIENT, &receiver.url).await;
    assert!(matches!(report.result, Err(Failure::Timeout)), "{report:?}");
    assert_eq!(report.outcome(), "timeout");
    assert_eq!(report.attempt(), Attempt::Failed { retry_after: None });
}

#[tokio::test]
async fn an_answer_that_drips_is_left_and_its_status_counts() {
    for (status, accepted) in [(StatusCode::OK, true), (StatusCode::BAD_GATEWAY, false)] {
        let receiver = Receiver::start(move |_| {
            let drip = futures_util::stream::iter([Ok::<_, std::io::Error>("x")])
                .chain(futures_util::stream::pending());
            Box::pin(async move { (status, Body::from_stream(drip)).into_response() })
        })
        .await;
        let report = attempt(OPEN, IMPATIENT, &receiver.url).await;
        assert!(report.took >= IMPATIENT, "{report:?}");
        assert_eq!(
            report.attempt() == Attempt::Accepted,
            accepted,
            "{report:?}"
        );
    }
}

#[tokio::test]
async fn of_an_endless_answer_only_the_beginning_is_read() {
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let mut receiver = Receiver::start(move |_| {
        let count = Arc::clone(&count);
        let flood = futures_util::stream::repeat_with(move || {
            count.fetch_add(65_536, Ordering::SeqCst);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 65_536]))
        });
        Box::pin(async move { Body::from_stream(flood).into_response() })
    })
    .await;
    let report = attempt(OPEN, PATIENT, &receiver.url).await;
    assert_eq!(report.attempt(), Attempt::Accepted);
    assert!(report.took < PATIENT, "it was read to the time limit");
    receiver.next().await;
    // What the sockets of both sides hold, and no more.
    assert!(produced.load(Ordering::SeqCst) < 64 * 1024 * 1024);
}

/// A receiver that answers each request by writing these bytes, the second again and again for as long as it is read, and
/// how many bytes it has written.
async fn writes(first: &'static [u8], then: &'static [u8]) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let written = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&written);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    if stream.write_all(first).await.is_err() {
                        return;
                    }
                    while !then.is_empty() && stream.write_all(then).await.is_ok() {
                        count.fetch_add(then.len(), Ordering::SeqCst);
                    }
                }
            });
        }
    });
    (Url::parse(&url).unwrap(), written)
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_informational_responses_end_the_attempt() {
    const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
    let long: &[u8] = format!(
        "HTTP/1.1 103 Early Hints\r\nX-Long: {}\r\n\r\n",
        "x".repeat(50_000)
    )
    .leak()
    .as_bytes();
    // A head that never ends is none that is counted.
    let endless: &[u8] = b"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    for (first, then) in [
        (HINTS, HINTS),
        (HINTS, long),
        (&b"HTTP/1.1 103 Early Hints\r\nX-Long: "[..], endless),
    ] {
        let (url, written) = writes(first, then).await;
        let report = attempt(OPEN, PATIENT, &url).await;
        assert!(report.took < PATIENT / 2, "{report:?}");
        assert_eq!(report.outcome(), "error", "{report:?}");
        // The connection is closed: what was written is in the buffers of the sockets, and no more follows.
        soon("the receiver cannot write any more", async {
            let mut looks = tokio::time::interval(Duration::from_millis(100));
            let mut before = usize::MAX;
            loop {
                looks.tick().await;
                let now = written.load(Ordering::SeqCst);
                if now == std::mem::replace(&mut before, now) {
                    break;
                }
            }
        })
        .await;
        let written = written.load(Ordering::SeqCst);
        assert!(written < 16 * 1024 * 1024, "{written} bytes");
    }
}

#[tokio::test]
async fn a_few_informational_responses_precede_an_answer() {
    let answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n";
    let (url, _) = writes(answer, b"").await;
    let limits = Limits::default();
    let sender = Sender::new(OPEN, limits).unwrap();
    let endpoint = endpoint(&url, &["*"]);
    // Each attempt begins to count anew, also on the same connection.
    for _ in 0..20 {
        let report = soon("an attempt", sender.post(&endpoint, &message(1, 1))).await;
        assert_eq!(report.attempt(), Attempt::Accepted, "{report:?}");
    }
}

#[tokio::test]
async fn a_name_without_an_address_says_no_more_than_one_that_is_refused() {
    let public = Policy {
        allow_http: true,
        allow_private: false,
    };
    let told = async |host: &str| {
        let url = Url::parse(&format!("http://{host}/hook")).unwrap();
        let report = attempt(public, PATIENT, &url).await;
        let error = report.attempted(Timestamp::now()).error.unwrap();
        (error.replace(host, "HOST"), report.outcome())
    };
    let (refused, outcome) = told("localhost").await;
    assert_eq!(outcome, "refused");
    // No label is so long: nobody has to be asked.
    let (unknown, outcome) = told(&format!("{}.invalid", "x".repeat(64))).await;
    // The operator sees the difference.
    assert_eq!(outcome, "connect");
    assert_eq!(unknown, refused);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let mut receiver = Receiver::start(|_| {
        Box::pin(async {
            (
                StatusCode::TEMPORARY_REDIRECT,
                [(header::LOCATION, "/elsewhere")],
            )
                .into_response()
        })
    })
    .await;
    let report = attempt(OPEN, PATIENT, &receiver.url).await;
    assert_eq!(
        report.result.as_ref().ok(),
        Some(&StatusCode::TEMPORARY_REDIRECT)
    );
    assert_eq!(report.outcome(), "status");
    assert_eq!(receiver.next().await.path, "/hook");
    assert!(receiver.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_receiver_can_ask_for_time() {
    let receiver = Receiver::start(|_| {
        Box::pin(async {
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "90")]).into_response()
        })
    })
    .await;
    let report = attempt(OPEN, PATIENT, &receiver.url).await;
    let retry_after = Some(Duration::from_secs(90));
    assert_eq!(report.attempt(), Attempt::Failed { retry_after });
}

#[tokio::test]
async fn a_private_address_is_refused_without_a_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let public = Policy {
        allow_http: true,
        allow_private: false,
    };
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0x7f000001",
    ] {
        let url = Url::parse(&format!("http://{host}:{port}/hook")).unwrap();
        let report = attempt(public, PATIENT, &url).await;
        assert!(
            matches!(report.result, Err(Failure::Refused(_))),
            "{host}: {report:?}"
        );
        let accepted = listener.accept();
        assert!(
            matches!(&accepted, Err(e) if e.kind() == std::io::ErrorKind::WouldBlock),
            "{host}: {accepted:?}"
        );
    }
    // The same address is called when that is allowed: it is the policy that refused.
    let url = Url::parse(&format!("http://localhost:{port}/hook")).unwrap();
    let report = attempt(OPEN, IMPATIENT, &url).await;
    assert!(
        !matches!(report.result, Err(Failure::Refused(_))),
        "{report:?}"
    );
    assert!(listener.accept().is_ok());
}

#[tokio::test]
async fn tls_is_really_asked_for() {
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let mut url = receiver.url.clone();
    url.set_scheme("https").unwrap();
    let report = attempt(OPEN, PATIENT, &url).await;
    assert_eq!(report.outcome(), "connect", "{report:?}");
    assert!(receiver.seen.try_recv().is_err());
}

#[tokio::test]
async fn nobody_there_says_so_without_the_query() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = Url::parse(&format!("http://127.0.0.1:{port}/hook?token=geheim")).unwrap();
    let report = attempt(OPEN, PATIENT, &url).await;
    assert_eq!(report.outcome(), "connect");
    let shown = format!("{report:?} {}", report.result.as_ref().unwrap_err());
    assert!(!shown.contains("geheim"), "{shown}");
    assert!(shown.contains("refused"), "{shown}");
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_for_days_is_to_be_disabled() {
    let bench = Bench::new();
    let works = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&works);
    let mut receiver = Receiver::start(move |_| {
        let status = match now.load(Ordering::SeqCst) {
            true => StatusCode::OK,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Box::pin(async move { status.into_response() })
    })
    .await;
    let _running = bench.start([endpoint(&receiver.url, &["*"])]);
    bench.tell(1, [1]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    bench.pass(DISABLED_AFTER - HOUR);
    receiver.next().await;
    bench.until_retry_is_set().await;
    assert_eq!(bench.disabling.all(), []);
    // Once it took something, it begins anew.
    works.store(true, Ordering::SeqCst);
    bench.pass(2 * HOUR);
    receiver.next().await;
    bench.until_delivered().await;
    works.store(false, Ordering::SeqCst);
    bench.tell(1, [2]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    assert_eq!(bench.disabling.all(), []);
    bench.pass(DISABLED_AFTER + HOUR);
    receiver.next().await;
    until("it is to be disabled", || async {
        bench.disabling.all().len() == 1
    })
    .await;
    assert_eq!(bench.disabling.all()[0].1, "failing");
}

#[tokio::test]
async fn what_comes_for_a_disabled_receiver_is_held_and_can_be_had_later() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::OK).await;
    let enabled = endpoint(&receiver.url, &["*"]);
    let mut disabled = enabled.clone();
    disabled.disabled = Some(Disabled {
        at: Timestamp::now(),
        why: DisabledWhy::Owner,
        told: true,
    });
    let (change, endpoints) = watch::channel(Arc::new(Endpoints::new([disabled])));
    let store: Arc<dyn Store> = Arc::clone(&bench.store) as Arc<dyn Store>;
    let _running = bench.start_following(store, endpoints, Settings::default());
    bench.tell(1, [1, 2, 3]).await;
    bench.until_delivered().await;
    let dead = bench.dead(&receiver.url).await;
    let sequences: Vec<u64> = dead.iter().map(|row| row.message.sequence).collect();
    assert_eq!(sequences, [3, 2, 1]);
    assert!(dead.iter().all(|row| row.attempts.is_empty()));
    let id = enabled.id.clone();
    change.send_replace(Arc::new(Endpoints::new([enabled])));
    let (store, from) = (&bench.store, &dead[1].position);
    let recovered = store.recover(node(), &id, from, 100).await.unwrap();
    assert_eq!((recovered.count, recovered.next), (2, None));
    bench.wake.notify_one();
    assert_eq!(receiver.next().await.place(), (1, 2));
    assert_eq!(receiver.next().await.place(), (1, 3));
    bench.until_delivered().await;
    assert_eq!(bench.dead(&receiver.url).await.len(), 1);
}

#[tokio::test]
async fn what_waits_for_a_receiver_that_was_removed_is_forgotten() {
    let bench = Bench::new();
    let mut receiver = Receiver::always(StatusCode::INTERNAL_SERVER_ERROR).await;
    let known = endpoint(&receiver.url, &["*"]);
    let id = known.id.clone();
    let (change, endpoints) = watch::channel(Arc::new(Endpoints::new([known])));
    let store: Arc<dyn Store> = Arc::clone(&bench.store) as Arc<dyn Store>;
    let _running = bench.start_following(store, endpoints, Settings::default());
    bench.tell(1, [1, 2]).await;
    receiver.next().await;
    bench.until_retry_is_set().await;
    let removed = Endpoints::new([]).with_removed(BTreeSet::from([id.clone()]));
    change.send_replace(Arc::new(removed));
    bench.pass(2 * HOUR);
    bench.until_delivered().await;
    let left = bench.store.forget_endpoint(node(), &id).await.unwrap();
    assert_eq!(left, 0);
    assert!(receiver.seen.try_recv().is_err());
    assert!(bench.dead(&receiver.url).await.is_empty());
}
