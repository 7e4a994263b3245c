//! A webhook receiver that records when each webhook arrived.
//!
//! Owns the listener. Leaves out parsing the webhooks, which follows after the measurement, and checking signatures: the
//! receiver stands for another program, whose cost is not measured.

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

/// A received webhook.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The time when it was complete.
    pub at: Instant,
    /// Its body.
    pub body: Bytes,
}

impl Arrival {
    /// Parses its body; null when that is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

type Arrivals = Arc<Mutex<Vec<Arrival>>>;

/// A receiver on loopback. Dropping it stops the server.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    arrivals: Arrivals,
    _serving: AbortOnDropHandle<()>,
}

fn lock(arrivals: &Arrivals) -> MutexGuard<'_, Vec<Arrival>> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(State(arrivals): State<Arrivals>, body: Bytes) -> StatusCode {
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
            .route("/hook", post(receive))
            .with_state(Arc::clone(&arrivals));
        let serving = tokio::spawn(async move {
            // It serves until the task is aborted.
            let _ = axum::serve(listener, routes).await;
        });
        Ok(Self {
            address,
            arrivals,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// The URL for webhooks.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// The number of webhooks received since the last [`Receiver::take`].
    pub fn count(&self) -> usize {
        lock(&self.arrivals).len()
    }

    /// Takes the webhooks received since the last call, in order of arrival.
    pub fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut lock(&self.arrivals))
    }
}
