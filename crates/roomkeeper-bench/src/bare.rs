//! What a read is held against: a server of axum whose one handler asks Redis for one hash and answers with it as JSON.
//!
//! Owns that server, which is a program of its own while it is measured, and starting it. It has what every such server
//! has (a router, an extractor, one connection to Redis for all, a runtime of as many threads) and nothing else: no keys,
//! no owners, no log, no metrics, no deadlines.

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
use super::process::{Running, free_port};
use super::raw;
use super::world::{PATIENCE, Redis, until};

/// The command of the program that runs it. It is for the harness alone, and not shown.
pub const COMMAND: &str = "bare-handler";

#[derive(Clone)]
struct Bare {
    redis: MultiplexedConnection,
    /// What stands before the id in the key.
    prefix: String,
}

/// Serves until the process is ended. `GET /<id>` answers with the hash that lies under `prefix` and the id; 404 when there is
/// none.
///
/// # Errors
/// When Redis cannot be reached, or the address not be listened on.
pub async fn serve(listen: SocketAddr, redis: &str, prefix: String) -> Result<(), BenchError> {
    let redis = redis::Client::open(redis)?
        .get_multiplexed_async_connection()
        .await?;
    let listener = TcpListener::bind(listen).await;
    let listener = listener.map_err(BenchError::system("listen"))?;
    let listener = listener.tap_io(|stream| {
        // As the controller's: an answer must not wait for more. It is served all the same where it cannot be said.
        let _ = stream.set_nodelay(true);
    });
    let routes = Router::new()
        .route("/{id}", get(read))
        .with_state(Bare { redis, prefix });
    axum::serve(listener, routes)
        .await
        .map_err(BenchError::system("serve"))
}

async fn read(
    State(bare): State<Bare>,
    Path(id): Path<String>,
) -> Result<Json<HashMap<String, String>>, StatusCode> {
    let Bare { mut redis, prefix } = bare;
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

/// The server as a child process.
#[derive(Debug)]
pub struct Handler {
    running: Running,
    /// Where it listens.
    pub address: SocketAddr,
    /// The paths of the keys, in their order.
    pub paths: Vec<String>,
}

/// What all keys have in common, and what they have not.
fn parts(key: &str) -> (&str, &str) {
    let id = key.rfind(':').map_or(0, |at| at + 1);
    key.split_at(id)
}

impl Handler {
    /// Starts it for these keys, which differ in their last part alone, and waits until it answers for the first.
    ///
    /// # Errors
    /// [`BenchError`] when it does not.
    pub async fn start(redis: &Redis, keys: &[String]) -> Result<Self, BenchError> {
        let (prefix, _) = parts(keys.first().map_or("", String::as_str));
        let paths = keys
            .iter()
            .map(|key| format!("/{}", parts(key).1))
            .collect();
        let port = free_port().map_err(BenchError::system("find a free port"))?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let program = std::env::current_exe().map_err(BenchError::system("find this program"))?;
        let args = [COMMAND, &address.to_string(), &redis.url(), prefix].map(str::to_owned);
        let running = Running::start(&program.display().to_string(), args);
        let handler = Self {
            running: running.map_err(BenchError::system("start the bare handler"))?,
            address,
            paths,
        };
        let first = handler.paths.first().map_or("/", String::as_str);
        let request = raw::get(first, raw::BENCH);
        until("the bare handler answers", PATIENCE, async || {
            let Ok(mut connection) = raw::Http::to(address).await else {
                return Ok(None);
            };
            Ok((connection.ask(&request).await.ok() == Some(200)).then_some(()))
        })
        .await?;
        Ok(handler)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }
}
