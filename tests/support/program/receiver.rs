//! A webhook receiver as the documentation describes it: it verifies signatures with the official library.
//!
//! Owns the received requests with their times, and the checks that hold for every sequence of webhooks.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::poll;

pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The minimum pause before a retry. The schedule's first pause is 1 s ± 20 %, measured from the answer.
const MIN_RETRY_PAUSE: Duration = Duration::from_millis(750);

/// One received request.
#[derive(Clone, Debug)]
pub struct ReceivedWebhook {
    pub id: String,
    pub body: Value,
    pub at: Instant,
    /// The status of our answer.
    pub status: u16,
    /// The original headers, for tests that verify the signature themselves.
    pub headers: HeaderMap,
    pub text: String,
}

impl ReceivedWebhook {
    pub fn event(&self) -> &str {
        self.body["event"].as_str().expect("an event has a name")
    }

    pub fn sequence(&self) -> u64 {
        self.body["sequence"]
            .as_u64()
            .expect("an event has a sequence")
    }

    /// The scope of its sequence: the room or the call, or the endpoint of a `webhook.` event.
    pub fn scope(&self) -> &str {
        if self.event().starts_with("webhook.") {
            return self.body["data"]["endpoint_id"].as_str().unwrap();
        }
        let scope = if self.event().starts_with("conference.") {
            "room_id"
        } else {
            "session_uuid"
        };
        self.body[scope].as_str().expect("an event has its subject")
    }

    pub fn synthesized(&self) -> bool {
        self.body["data"]["synthesized"] == true
    }
}

#[derive(Default)]
struct Shared {
    arrivals: Mutex<Arrivals>,
    answer: AtomicU16,
    /// One request in this many fails; 0 means none.
    fails: AtomicUsize,
    requests: AtomicUsize,
    failed: AtomicUsize,
    /// Ignores the age of timestamps.
    any_timestamp: AtomicBool,
    /// While true, no request is answered.
    holds: watch::Sender<bool>,
    forged: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Arrivals {
    all: Vec<ReceivedWebhook>,
    /// The indexes in `all` by room or call, because many tests may share one receiver.
    by_scope: HashMap<String, Vec<usize>>,
}

impl Arrivals {
    fn in_scope<'a>(&'a self, scope: &str) -> impl Iterator<Item = &'a ReceivedWebhook> {
        let indexes = self.by_scope.get(scope).map_or(&[][..], Vec::as_slice);
        indexes.iter().map(|index| &self.all[*index])
    }
}

pub struct Receiver {
    pub url: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        shared.answer.store(204, Ordering::SeqCst);
        let routes = Router::new()
            .route("/hook", post(receive))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self { url, shared, task }
    }

    /// Answers every request with this status from now on.
    pub fn answer(&self, status: u16) {
        self.shared.answer.store(status, Ordering::SeqCst);
    }

    /// Answers one request in `n` with 500 from now on.
    pub fn fail_one_in(&self, n: usize) {
        self.shared.fails.store(n, Ordering::SeqCst);
    }

    /// The number of requests that failed through [`Self::fail_one_in`].
    pub fn failed(&self) -> usize {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// The number of received requests.
    pub fn count(&self) -> usize {
        self.shared.arrivals.lock().unwrap().all.len()
    }

    /// While true, requests are recorded and not answered.
    pub fn hold(&self, holds: bool) {
        self.shared.holds.send_replace(holds);
    }

    /// Accepts signatures with any timestamp from now on.
    pub fn accept_any_timestamp(&self) {
        self.shared.any_timestamp.store(true, Ordering::SeqCst);
    }

    /// All received requests in order.
    pub fn all(&self) -> Vec<ReceivedWebhook> {
        self.shared.arrivals.lock().unwrap().all.clone()
    }

    /// The first successful delivery of each message about this room or call, in order of arrival.
    pub fn delivered(&self, scope: &str) -> Vec<ReceivedWebhook> {
        let mut ids = BTreeMap::new();
        let mut delivered = Vec::new();
        for webhook in self.shared.arrivals.lock().unwrap().in_scope(scope) {
            if webhook.status < 300 && ids.insert(webhook.id.clone(), ()).is_none() {
                delivered.push(webhook.clone());
            }
        }
        delivered
    }

    /// The number of refused requests about this room or call.
    pub fn refused(&self, scope: &str) -> usize {
        let arrivals = self.shared.arrivals.lock().unwrap();
        arrivals
            .in_scope(scope)
            .filter(|webhook| webhook.status >= 300)
            .count()
    }

    /// Waits for the n-th message (from 1) of this event about this room or call.
    pub async fn nth(&self, scope: &str, event: &str, n: usize) -> ReceivedWebhook {
        let what = format!("webhook {event} of {scope}, number {n}");
        poll::until(&what, poll::REDELIVERY, async || {
            self.delivered(scope)
                .into_iter()
                .filter(|webhook| webhook.event() == event)
                .nth(n - 1)
        })
        .await
    }

    pub async fn first(&self, scope: &str, event: &str) -> ReceivedWebhook {
        self.nth(scope, event, 1).await
    }

    /// Checks all requests: every signature is valid, an id has one body, a sequence number has one id, and the
    /// sequence of each room and call arrives in order, from 1, without a gap.
    pub fn check_sequences(&self) {
        self.check(self.all());
    }

    /// Checks the requests about this room or call.
    pub fn check_sequences_for(&self, scope: &str) {
        let arrivals = self.shared.arrivals.lock().unwrap();
        self.check(arrivals.in_scope(scope).cloned().collect());
    }

    fn check(&self, arrived: Vec<ReceivedWebhook>) {
        let forged = self.shared.forged.lock().unwrap().clone();
        assert!(forged.is_empty(), "invalid signatures: {forged:?}");
        let mut by_id: HashMap<String, Value> = HashMap::new();
        let mut ids: HashMap<(String, u64), String> = HashMap::new();
        let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut refused: HashMap<String, Instant> = HashMap::new();
        for webhook in arrived.into_iter().filter(|webhook| webhook.sequence() > 0) {
            let first = by_id
                .entry(webhook.id.clone())
                .or_insert_with(|| webhook.body.clone());
            assert_eq!(*first, webhook.body, "{} has two bodies", webhook.id);
            let place = (webhook.scope().to_owned(), webhook.sequence());
            let id = ids.entry(place).or_insert_with(|| webhook.id.clone());
            assert_eq!(
                *id, webhook.id,
                "one transition has two ids: {}",
                webhook.body
            );
            if let Some(before) = refused.remove(&webhook.id) {
                let pause = webhook.at - before;
                assert!(
                    pause >= MIN_RETRY_PAUSE,
                    "{} repeated after {pause:?}",
                    webhook.id
                );
            }
            if webhook.status >= 300 {
                // 410 ends the schedule: only a requested recovery sends it again, at once.
                if webhook.status != 410 {
                    refused.insert(webhook.id.clone(), webhook.at);
                }
            } else {
                let sequence = order.entry(webhook.scope().to_owned()).or_default();
                if !sequence.contains(&webhook.sequence()) {
                    sequence.push(webhook.sequence());
                }
            }
        }
        for (scope, sequence) in order {
            let expected: Vec<u64> = (1..=sequence.len() as u64).collect();
            assert_eq!(sequence, expected, "the sequence of {scope}");
        }
    }
}

/// Verifies a signature of any age. The library also checks the time, so this signs the body again and compares.
fn verify_any_timestamp(
    verifier: &standardwebhooks::Webhook,
    id: &str,
    headers: &HeaderMap,
    body: &str,
) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let at = text("webhook-timestamp").and_then(|at| at.parse().ok());
    let at = at.ok_or("no timestamp")?;
    let signed = verifier.sign(id, at, body.as_bytes());
    let signed = signed.map_err(|error| error.to_string())?;
    match text("webhook-signature") {
        Some(given) if given.split(' ').any(|one| one == signed) => Ok(()),
        _ => Err("wrong signature".to_owned()),
    }
}

async fn receive(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: String,
) -> StatusCode {
    let at = Instant::now();
    let id = headers
        .get("webhook-id")
        .and_then(|id| id.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let verifier = standardwebhooks::Webhook::new(SECRET).unwrap();
    let verified = if shared.any_timestamp.load(Ordering::SeqCst) {
        verify_any_timestamp(&verifier, &id, &headers, &body)
    } else {
        let verified = verifier.verify(body.as_bytes(), &headers);
        verified.map_err(|error| error.to_string())
    };
    if let Err(error) = verified {
        shared.forged.lock().unwrap().push(format!("{id}: {error}"));
        return StatusCode::UNAUTHORIZED;
    }
    let mut status = shared.answer.load(Ordering::SeqCst);
    let request = shared.requests.fetch_add(1, Ordering::SeqCst);
    let one_in = shared.fails.load(Ordering::SeqCst);
    if one_in > 0 && request % one_in == one_in - 1 {
        shared.failed.fetch_add(1, Ordering::SeqCst);
        status = 500;
    }
    let webhook = ReceivedWebhook {
        id,
        body: serde_json::from_str(&body).unwrap(),
        at,
        status,
        headers,
        text: body,
    };
    {
        let mut arrivals = shared.arrivals.lock().unwrap();
        let index = arrivals.all.len();
        let indexes = arrivals
            .by_scope
            .entry(webhook.scope().to_owned())
            .or_default();
        indexes.push(index);
        arrivals.all.push(webhook);
    }
    let mut holds = shared.holds.subscribe();
    // The sender is in `shared`, so it outlives this wait.
    let _ = holds.wait_for(|holds| !holds).await;
    StatusCode::from_u16(status).unwrap()
}
