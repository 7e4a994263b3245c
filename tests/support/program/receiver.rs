//! A receiver of webhooks, as the documentation tells an app to write one: it verifies with the official library.
//!
//! Owns what arrived and when, and the check of what must hold of every story told by webhooks.

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

/// The schedule's first pause is 1 s, a fifth more or less, from the answer on.
const SOONEST: Duration = Duration::from_millis(750);

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Got {
    pub id: String,
    pub body: Value,
    pub at: Instant,
    /// The status it was answered with.
    pub status: u16,
    /// As it came, for those who verify it themselves.
    pub headers: HeaderMap,
    pub text: String,
}

impl Got {
    pub fn event(&self) -> &str {
        self.body["event"].as_str().expect("an event has a name")
    }

    pub fn sequence(&self) -> u64 {
        self.body["sequence"]
            .as_u64()
            .expect("an event has a sequence")
    }

    /// The room it counts in, or the call; of what is of neither, the endpoint that it is about.
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
    got: Mutex<Arrived>,
    answer: AtomicU16,
    /// One request in so many fails; 0: none.
    fails: AtomicUsize,
    requests: AtomicUsize,
    failed: AtomicUsize,
    /// How far the clock of whoever sends may be off is not looked at.
    any_time: AtomicBool,
    /// While held, what has arrived is not answered.
    holds: watch::Sender<bool>,
    forged: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Arrived {
    all: Vec<Got>,
    /// Where in `all` those of a room or call are: many tests may wait at one receiver.
    by_scope: HashMap<String, Vec<usize>>,
}

impl Arrived {
    fn of<'a>(&'a self, scope: &str) -> impl Iterator<Item = &'a Got> {
        let places = self.by_scope.get(scope).map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| &self.all[*place])
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
            .route("/hook", post(arrived))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.unwrap();
        });
        Self { url, shared, task }
    }

    /// From now on every request is answered with this status.
    pub fn answer(&self, status: u16) {
        self.shared.answer.store(status, Ordering::SeqCst);
    }

    /// From now on one request in so many is answered 500.
    pub fn fails_one_in(&self, n: usize) {
        self.shared.fails.store(n, Ordering::SeqCst);
    }

    /// How many requests it failed because it was told to fail some.
    pub fn failed(&self) -> usize {
        self.shared.failed.load(Ordering::SeqCst)
    }

    /// How many requests arrived.
    pub fn count(&self) -> usize {
        self.shared.got.lock().unwrap().all.len()
    }

    /// While held, what arrives is noted and not answered.
    pub fn hold(&self, holds: bool) {
        self.shared.holds.send_replace(holds);
    }

    /// From now on the time in a signature may be any.
    pub fn take_any_time(&self) {
        self.shared.any_time.store(true, Ordering::SeqCst);
    }

    /// Everything that arrived, in order.
    pub fn all(&self) -> Vec<Got> {
        self.shared.got.lock().unwrap().all.clone()
    }

    /// The first good delivery of each message about this room or call, in the order of arrival.
    pub fn delivered(&self, scope: &str) -> Vec<Got> {
        let mut seen = BTreeMap::new();
        let mut delivered = Vec::new();
        for got in self.shared.got.lock().unwrap().of(scope) {
            if got.status < 300 && seen.insert(got.id.clone(), ()).is_none() {
                delivered.push(got.clone());
            }
        }
        delivered
    }

    /// How many requests about this room or call were refused.
    pub fn refused(&self, scope: &str) -> usize {
        let got = self.shared.got.lock().unwrap();
        got.of(scope).filter(|got| got.status >= 300).count()
    }

    /// Waits for the n-th message (from 1) of this event about this room or call.
    pub async fn nth(&self, scope: &str, event: &str, n: usize) -> Got {
        let what = format!("{event} of {scope}, the {n}.");
        poll::until(&what, poll::REDELIVERY, async || {
            self.delivered(scope)
                .into_iter()
                .filter(|got| got.event() == event)
                .nth(n - 1)
        })
        .await
    }

    pub async fn first(&self, scope: &str, event: &str) -> Got {
        self.nth(scope, event, 1).await
    }

    /// Checks all arrivals, under any conditions: each signature is right; one id is one message, and
    /// one place in a sequence is one id; per room and per call the messages arrive in order, from 1, without a gap.
    pub fn check_story(&self) {
        self.check(self.all());
    }

    /// The same of what arrived about this room or call.
    pub fn check_story_of(&self, scope: &str) {
        let got = self.shared.got.lock().unwrap().of(scope).cloned().collect();
        self.check(got);
    }

    fn check(&self, arrived: Vec<Got>) {
        let forged = self.shared.forged.lock().unwrap().clone();
        assert!(forged.is_empty(), "wrong signatures: {forged:?}");
        let mut by_id: HashMap<String, Value> = HashMap::new();
        let mut by_place: HashMap<(String, u64), String> = HashMap::new();
        let mut order: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut refused: HashMap<String, Instant> = HashMap::new();
        for got in arrived.into_iter().filter(|got| got.sequence() > 0) {
            let first = by_id
                .entry(got.id.clone())
                .or_insert_with(|| got.body.clone());
            assert_eq!(*first, got.body, "{} came with two bodies", got.id);
            let place = (got.scope().to_owned(), got.sequence());
            let id = by_place.entry(place).or_insert_with(|| got.id.clone());
            assert_eq!(*id, got.id, "one transition has two ids: {}", got.body);
            if let Some(before) = refused.remove(&got.id) {
                let pause = got.at - before;
                assert!(pause >= SOONEST, "{} again after {pause:?}", got.id);
            }
            if got.status >= 300 {
                refused.insert(got.id.clone(), got.at);
            } else {
                let told = order.entry(got.scope().to_owned()).or_default();
                if !told.contains(&got.sequence()) {
                    told.push(got.sequence());
                }
            }
        }
        for (scope, told) in order {
            let expected: Vec<u64> = (1..=told.len() as u64).collect();
            assert_eq!(told, expected, "the sequence of {scope}");
        }
    }
}

/// The library looks at the time as well, so it is asked to sign the same again.
fn signed_at_any_time(
    verifier: &standardwebhooks::Webhook,
    id: &str,
    headers: &HeaderMap,
    body: &str,
) -> Result<(), String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let at = text("webhook-timestamp").and_then(|at| at.parse().ok());
    let at = at.ok_or("no time")?;
    let signed = verifier.sign(id, at, body.as_bytes());
    let signed = signed.map_err(|error| error.to_string())?;
    match text("webhook-signature") {
        Some(given) if given.split(' ').any(|one| one == signed) => Ok(()),
        _ => Err("another signature".to_owned()),
    }
}

async fn arrived(
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
    let verified = if shared.any_time.load(Ordering::SeqCst) {
        signed_at_any_time(&verifier, &id, &headers, &body)
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
    let got = Got {
        id,
        body: serde_json::from_str(&body).unwrap(),
        at,
        status,
        headers,
        text: body,
    };
    {
        let mut arrived = shared.got.lock().unwrap();
        let place = arrived.all.len();
        let places = arrived.by_scope.entry(got.scope().to_owned()).or_default();
        places.push(place);
        arrived.all.push(got);
    }
    let mut holds = shared.holds.subscribe();
    // Whoever is shared by us does not end before us.
    let _ = holds.wait_for(|holds| !holds).await;
    StatusCode::from_u16(status).unwrap()
}
