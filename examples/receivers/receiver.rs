//! A receiver of Roomkeeper's webhooks, in Rust: `WEBHOOK_SECRET=whsec_… PORT=9999 cargo run --example receiver`.
//!
//! It verifies each message with the official library of Standard Webhooks, handles each once, and prints it.
#![allow(clippy::print_stdout)]

use std::collections::{HashSet, VecDeque};
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::net::TcpListener;

/// Number of remembered ids. An application stores the id in the same transaction as the effect of the message.
const REMEMBERED: usize = 10_000;

struct Receiver {
    webhook: Webhook,
    seen: Mutex<(HashSet<String>, VecDeque<String>)>,
}

impl Receiver {
    /// Remembers the id and returns whether it is new.
    fn is_new(&self, id: &str) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.0.insert(id.to_owned()) {
            return false;
        }
        seen.1.push_back(id.to_owned());
        if seen.1.len() > REMEMBERED
            && let Some(oldest) = seen.1.pop_front()
        {
            seen.0.remove(&oldest);
        }
        true
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    // Verifies the bytes as received: parsed and serialized JSON has another signature. Also refuses a message older
    // than five minutes.
    if receiver.webhook.verify(&body, &headers).is_err() {
        return StatusCode::UNAUTHORIZED;
    }
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok());
    let message: Option<Value> = serde_json::from_slice(&body).ok();
    let (Some(id), Some(message)) = (id, message) else {
        return StatusCode::BAD_REQUEST;
    };
    // The same id is the same message, sent again because the answer was lost.
    if receiver.is_new(id) {
        let about = message.get("room_id").or(message.get("session_uuid"));
        let about = about.and_then(Value::as_str).unwrap_or("-");
        println!("{} {about} {}", message["event"], message["data"]);
    }
    // Answers at once: work that takes more than a few seconds follows the answer.
    StatusCode::NO_CONTENT
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = std::env::var("WEBHOOK_SECRET").map_err(|_| "WEBHOOK_SECRET is not set")?;
    let port = std::env::var("PORT").unwrap_or_else(|_| "9999".to_owned());
    let receiver = Receiver {
        webhook: Webhook::new(&secret)?,
        seen: Mutex::default(),
    };
    let routes = Router::new()
        .route("/hook", post(receive))
        .layer(DefaultBodyLimit::max(1024 * 1024))
        .with_state(Arc::new(receiver));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.parse()?)).await?;
    println!("listening on http://{}/hook", listener.local_addr()?);
    axum::serve(listener, routes).await?;
    Ok(())
}
