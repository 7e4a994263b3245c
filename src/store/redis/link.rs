//! The connection to Redis: made when it is first needed, left when it is of no use any more.
//!
//! Owns when to connect, how long a call may take, and which errors mean that a server will never do again. Leaves out
//! what is asked. Driven by [`RedisStore`](super::RedisStore).
//!
//! One connection for all, pipelined; nothing on it ever blocks. It is made when it is first needed, so that a
//! controller starts before its Redis does. When it drops, the next call makes a new one, and while there is none to
//! be had, calls fail at once rather than pile up. A server that no longer answers (three timeouts in a row) or that
//! was demoted to replica (`READONLY`) keeps the connection open for ever, so it is we who leave it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisError, Value};
use tokio::time::Instant;

use crate::store::{OpenError, StoreError};

/// How the store talks to Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// How long a call may take, waiting for a connection included.
    pub timeout: Duration,
    /// How long an attempt to connect may take.
    pub connect_timeout: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            // Less than a call may take: an attempt that hangs is over before the call that makes it is.
            connect_timeout: Duration::from_millis(800),
        }
    }
}

/// How long after a failed attempt to connect calls fail without making another. Much less than the second within which
/// a Redis that is back must be in use again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// So many timeouts without an answer between them and the connection is given up.
const TIMEOUTS_IN_A_ROW: u32 = 3;

/// How many requests may wait to be written. Beyond it callers wait, each within its timeout: enough for every room of
/// a busy node to commit at once.
const WRITE_QUEUE: usize = 1024;

/// Why a call to Redis came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no answer from Redis within {0:?}")]
    Timeout(Duration),
    #[error("Redis cannot be reached")]
    Connect(#[source] RedisError),
    #[error("Redis answered with an error")]
    Answer(#[source] RedisError),
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::Unavailable(Box::new(fault))
    }
}

/// The connection, made anew whenever it has to be.
pub(super) struct Link {
    client: redis::Client,
    config: AsyncConnectionConfig,
    timeout: Duration,
    state: Mutex<LinkState>,
    /// Held by the one call that connects.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct LinkState {
    connection: Option<MultiplexedConnection>,
    /// Counts connections, so that a late complaint about an old one does not cost the new one.
    generation: u64,
    timeouts: u32,
    /// The last failed attempt to connect.
    refused: Option<(Instant, RedisError)>,
}

/// What is sent as one.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    One(&'a Cmd),
    Atomic(&'a Pipeline),
}

impl Link {
    /// The connection to this `redis://` URL. Nothing connects yet.
    pub(super) fn new(url: &str, options: &RedisOptions) -> Result<Self, OpenError> {
        let client = redis::Client::open(url).map_err(|error| OpenError::Invalid {
            // The detail of the error may quote the URL and so the password; its category does not.
            why: error.category().to_owned(),
        })?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            // Timeouts are counted by us, once, around all of a call.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WRITE_QUEUE);
        Ok(Self {
            client,
            config,
            timeout: options.timeout,
            state: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends it, on a new connection if there is none. What is sent may be sent twice.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        match tokio::time::timeout(self.timeout, self.send_until_sent(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                let mut state = self.state();
                state.timeouts += 1;
                if state.timeouts >= TIMEOUTS_IN_A_ROW {
                    state.drop_connection("it no longer answers");
                }
                Err(Fault::Timeout(self.timeout))
            }
        }
    }

    async fn send_until_sent(&self, request: Request<'_>) -> Result<Value, Fault> {
        let (generation, first) = self.send_once(request).await?;
        let Err(error) = &first else {
            return first.map_err(Fault::Answer);
        };
        if !self.leave_if_useless(generation, error) || !error.is_connection_dropped() {
            return first.map_err(Fault::Answer);
        }
        // Most often an idle connection of a server that has been restarted since. All we send can be sent twice.
        let (generation, second) = self.send_once(request).await?;
        if let Err(error) = &second {
            self.leave_if_useless(generation, error);
        }
        second.map_err(Fault::Answer)
    }

    async fn send_once(
        &self,
        request: Request<'_>,
    ) -> Result<(u64, Result<Value, RedisError>), Fault> {
        let (generation, mut connection) = self.connection().await.map_err(Fault::Connect)?;
        let answer = match request {
            Request::One(command) => command.query_async(&mut connection).await,
            Request::Atomic(pipeline) => pipeline.query_async(&mut connection).await,
        };
        // Errors are answers too: what counts is that it speaks.
        self.state().timeouts = 0;
        Ok((generation, answer))
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), RedisError> {
        if let Some(found) = self.state().current() {
            return Ok(found);
        }
        let _only_one = self.connecting.lock().await;
        {
            let state = self.state();
            if let Some(found) = state.current() {
                return Ok(found);
            }
            if let Some((at, error)) = &state.refused
                && at.elapsed() < BACK_OFF
            {
                return Err(error.clone());
            }
        }
        let made = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config)
            .await;
        let mut state = self.state();
        match made {
            Ok(connection) => {
                state.generation += 1;
                state.timeouts = 0;
                state.refused = None;
                state.connection = Some(connection.clone());
                tracing::info!(connection = state.generation, "connected to Redis");
                Ok((state.generation, connection))
            }
            Err(error) => {
                state.refused = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Whether the error means that this connection will never do again; then it is left.
    fn leave_if_useless(&self, generation: u64, error: &RedisError) -> bool {
        let demoted = says(error, "READONLY");
        let useless = demoted || error.is_unrecoverable_error() || error.is_io_error();
        if useless {
            let mut state = self.state();
            if state.generation == generation {
                state.drop_connection(if demoted {
                    "the server is read-only"
                } else {
                    "it broke"
                });
            }
        }
        useless
    }
}

impl LinkState {
    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let connection = self.connection.clone()?;
        Some((self.generation, connection))
    }

    fn drop_connection(&mut self, why: &str) {
        self.timeouts = 0;
        if self.connection.take().is_some() {
            tracing::warn!(
                connection = self.generation,
                "left the connection to Redis: {why}"
            );
        }
    }
}

/// Whether the server answered with this code, to a command or to one of a transaction's.
pub(super) fn says(error: &RedisError, code: &str) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == code))
}
