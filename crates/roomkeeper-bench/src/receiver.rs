//! A receiver of webhooks that notes when each came.
//!
//! Owns the listener. Leaves out what the webhooks say, which is read when nothing is measured any more, and checking
//! signatures: it stands for somebody else's program, whose cost is not to be measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::BenchError;

/// A webhook that has come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// When all of it was there.
    pub at: Instant,
    /// Its body.
    pub body: Bytes,
}

impl Arrival {
    /// What it says; null when it is not JSON.
    pub fn says(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

type Arrivals = Arc<Mutex<Vec<Arrival>>>;

/// A receiver on loopback; it ends when this is dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    arrivals: Arrivals,
    _serving: AbortOnDropHandle<()>,
}

fn lock(arrivals: &Arrivals) -> MutexGuard<'_, Vec<Arrival>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn received(State(arrivals): State<Arrivals>, body: Bytes) -> StatusCode {
    let at = Instant::now();
    lock(&arrivals).push(Arrival { at, body });
    StatusCode::NO_CONTENT
}

impl Receiver {
    /// Starts it.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start() -> Result<Self, BenchError> {
        let listening = BenchError::system("listen for webhooks");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(listening)?;
        let address = listener
            .local_addr()
            .map_err(BenchError::system("listen for webhooks"))?;
        let arrivals = Arrivals::default();
        let routes = Router::new()
            .route("/hook", post(received))
            .with_state(Arc::clone(&arrivals));
        let serving = tokio::spawn(async move {
            // It serves until it is dropped.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            arrivals,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Where webhooks are to be sent.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// How many have come since they were last taken.
    pub fn count(&self) -> usize {
        lock(&self.arrivals).len()
    }

    /// What has come since they were last taken, in that order.
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut lock(&self.arrivals))
    }
}
