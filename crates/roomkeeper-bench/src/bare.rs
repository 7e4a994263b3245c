//! The bare handler: the baseline for reads. An axum server whose one handler reads one hash from Redis and returns it as JSON.
//!
//! Owns that server, which runs as a process of its own while it is measured, and its start. It has what every such server
//! has (a router, an extractor, one shared connection to Redis, a runtime with as many threads) and nothing else: no keys,
//! no ownership, no log, no metrics, no deadlines.

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use redis::aio::MultiplexedConnection;
use tokio::net::TcpListener;

use super::BenchError;
use super::process::{ChildProcess, free_port};
use super::raw;
use super::world::{Redis, TIMEOUT, until};

/// The hidden subcommand of the harness that runs the bare handler.
pub const COMMAND: &str = "bare-handler";

#[derive(Clone)]
struct HandlerState {
    redis: MultiplexedConnection,
    /// The part of the key before the id.
    prefix: String,
}

/// Serves until the process ends. `GET /<id>` returns the hash under `prefix` and the id, or 404.
///
/// # Errors
/// When Redis cannot be reached, or the address is not free.
pub async fn serve(listen: SocketAddr, redis: &str, prefix: String) -> Result<(), BenchError> {
    let redis = redis::Client::open(redis)?
        .get_multiplexed_async_connection()
        .await?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(BenchError::system("listen"))?;
    let listener = listener.tap_io(|stream| {
        // As in the controller: a response is sent at once. The server also works if the option cannot be set.
        let _ = stream.set_nodelay(true);
    });
    let routes = Router::new()
        .route("/{id}", get(read))
        .with_state(HandlerState { redis, prefix });
    axum::serve(listener, routes)
        .await
        .map_err(BenchError::system("serve"))
}

async fn read(
    State(state): State<HandlerState>,
    Path(id): Path<String>,
) -> Result<Json<HashMap<String, String>>, StatusCode> {
    let HandlerState { mut redis, prefix } = state;
    let hash: Result<HashMap<_, _>, _> = redis::cmd("HGETALL")
        .arg(format!("{prefix}{id}"))
        .query_async(&mut redis)
        .await;
    match hash {
        Ok(hash) if hash.is_empty() => Err(StatusCode::NOT_FOUND),
        Ok(hash) => Ok(Json(hash)),
        Err(_) => Err(StatusCode::BAD_GATEWAY),
    }
}

/// The bare handler as a child process.
#[derive(Debug)]
pub struct Handler {
    process: ChildProcess,
    /// The address it listens on.
    pub address: SocketAddr,
    /// The request paths, in the order of the keys.
    pub paths: Vec<String>,
}

/// Splits a key into the prefix that all keys share and its id.
fn split_key(key: &str) -> (&str, &str) {
    let id = key.rfind(':').map_or(0, |at| at + 1);
    key.split_at(id)
}

impl Handler {
    /// Starts it for these keys, which differ only in their last part, and waits until it answers for the first.
    ///
    /// # Errors
    /// [`BenchError`] when it does not answer.
    pub async fn start(redis: &Redis, keys: &[String]) -> Result<Self, BenchError> {
        let (prefix, _) = split_key(keys.first().map_or("", String::as_str));
        let paths = keys
            .iter()
            .map(|key| format!("/{}", split_key(key).1))
            .collect();
        let port = free_port().map_err(BenchError::system("find a free port"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let program = std::env::current_exe().map_err(BenchError::system("find this program"))?;
        let args = [COMMAND, &address.to_string(), &redis.url(), prefix].map(str::to_owned);
        let process = ChildProcess::start(&program.display().to_string(), args);
        let handler = Self {
            process: process.map_err(BenchError::system("start the bare handler"))?,
            address,
            paths,
        };
        let first = handler.paths.first().map_or("/", String::as_str);
        let request = raw::get(first, raw::BENCH);
        until("the bare handler answers", TIMEOUT, async || {
            let Ok(mut connection) = raw::Http::connect(address).await else {
                return Ok(None);
            };
            Ok((connection.send(&request).await.ok() == Some(200)).then_some(()))
        })
        .await?;
        Ok(handler)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}
