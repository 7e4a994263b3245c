//! The connection to one Redis server: opened when a request needs it, and replaced when it is no longer useful.
//!
//! Decides when to connect, the time limit of a request, and which errors end a connection. [`sentinel`](super::sentinel)
//! finds the master and [`cluster`](super::cluster) the node of a slot. Driven by [`RedisStore`](super::RedisStore), in a
//! cluster once for each node.
//!
//! # Why this is not left to redis-rs
//!
//! redis-rs (1.8.1) provides the multiplexed connection. It does not decide when to leave it: a connection to a server that
//! hangs, or that was demoted to a replica (`READONLY`), stays open for ever. And it does not report that it has connected
//! again, after which this program must read its state again, because the server may have lost writes.
//!
//! # Rules
//!
//! One connection serves all requests, pipelined; no request on it blocks. The first request opens it, so a controller can
//! start before its Redis. When it drops, the next request opens a new one; while none can be opened, requests fail
//! immediately and do not pile up. A connection is replaced if a request times out that was sent after another timeout,
//! without an answer in between. Concurrent requests count as one: a server that only pauses, because it forks or its
//! machine is busy, keeps its connection, because a new one means reading all state again.
//!
//! If sentinels name the server, they are queried for each new connection, and once a second for an open one: a master that
//! was replaced while it was isolated continues to answer, and its writes are lost.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, Value};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use super::connect::{Connection, Target, TlsConfig};
use super::health::{ServerHealth, StoreHealth, has_code, is_broken};
use super::sentinel::Sentinels;
use crate::store::StoreError;

/// Options of the connections to Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Time limit of a call, including the wait for a connection.
    pub timeout: Duration,
    /// Time limit of an attempt to connect.
    pub connect_timeout: Duration,
    /// Required for a URL with TLS, rejected for a URL without.
    pub tls: Option<TlsConfig>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            // Less than the limit of a call, so that a hanging attempt ends before its call.
            connect_timeout: Duration::from_millis(800),
            tls: None,
        }
    }
}

impl RedisOptions {
    /// The time limit of queries to sentinels and cluster nodes for a server: half of the time to connect, so that some is
    /// left for the server, and short enough to leave an old master in time.
    pub(super) fn query_timeout(&self) -> Duration {
        const LIMIT: Duration = Duration::from_secs(1);
        LIMIT.min(self.connect_timeout / 2)
    }
}

/// The time after a failed attempt to connect in which calls fail without another attempt. Much less than the second within
/// which a restarted Redis must be used again.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);

/// The interval at which the sentinels are queried for the master of an open connection. With their time limit, much less
/// than the five seconds within which an old master must be left.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// The limit of requests that wait to be written: enough for every room of a busy node to commit at once. Beyond it callers
/// wait, each within its timeout.
const WRITE_QUEUE: usize = 1024;

/// The failure of a call to Redis.
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

/// The connection to one server, reopened when necessary.
pub(super) struct ServerConnection {
    source: Source,
    config: AsyncConnectionConfig,
    options: RedisOptions,
    /// Shared with the watch over the master, which holds a weak reference.
    state: Arc<Mutex<ConnectionState>>,
    /// Held by the one call that connects.
    connecting: tokio::sync::Mutex<()>,
    /// The connections of the whole store.
    all: Arc<StoreHealth>,
    /// The log of this server.
    health: Arc<ServerHealth>,
}

/// A new connection.
struct NewConnection {
    connection: Connection,
    server: Server,
}

/// The server of a connection.
enum Server {
    Only(Address),
    /// The master, until these sentinels name another.
    Master(Address, Arc<Sentinels>),
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Only(address) => address.fmt(f),
            Self::Master(address, _) => address.fmt(f),
        }
    }
}

/// The way to find the server.
enum Source {
    Server(Target),
    /// The master that the sentinels name.
    Master(Arc<Sentinels>),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(target) => target.address.fmt(f),
            Self::Master(sentinels) => write!(f, "master {}", sentinels.name()),
        }
    }
}

/// The open connection.
#[derive(Clone)]
struct OpenConnection {
    connection: Connection,
    /// Its number, so that a late error of an old connection does not end the new one.
    generation: u64,
    silence: Arc<Silence>,
}

/// The time of the first unanswered request of a connection.
#[derive(Default)]
struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// Notes a timeout. Returns true if the connection is useless: this call was sent after another timeout, and nothing was
    /// answered since.
    fn note_timeout(&self, sent: Instant) -> bool {
        let mut since = lock(&self.0);
        sent >= *since.get_or_insert_with(Instant::now)
    }

    fn note_answer(&self) {
        *lock(&self.0) = None;
    }
}

#[derive(Default)]
struct ConnectionState {
    current: Option<OpenConnection>,
    /// The master, if sentinels have named it.
    master: Option<Address>,
    /// Counts connections.
    generation: u64,
    /// Queries the sentinels for the connection's master; ends with the connection.
    watch: Option<AbortOnDropHandle<()>>,
    /// The last failed attempt to connect.
    last_failure: Option<(Instant, RedisError)>,
}

/// A unit of sending.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    One(&'a Cmd),
    Atomic(&'a Pipeline),
    /// Independent commands, answered together, even if the server refuses some.
    Several(&'a Pipeline),
}

impl Request<'_> {
    /// Sends the request on this connection. The caller enforces the timeout.
    pub(super) async fn query(
        self,
        connection: &mut MultiplexedConnection,
    ) -> Result<Value, RedisError> {
        match self {
            Self::One(command) => command.query_async(connection).await,
            Self::Atomic(pipeline) => {
                // The answers of MULTI and of queued commands count only if they are errors.
                let queued = pipeline.len() + 1;
                let mut answers = connection.req_packed_commands(pipeline, queued, 1).await?;
                // The pipeline would take an error of the transaction for an unknown answer.
                answers.pop().unwrap_or(Value::Nil).extract_error()
            }
            Self::Several(pipeline) => {
                let all = pipeline.len();
                let answers = connection.req_packed_commands(pipeline, 0, all).await?;
                Ok(Value::Array(answers))
            }
        }
    }

    /// Sends the request to the cluster node that a slot is migrating to.
    async fn ask(self, connection: &mut MultiplexedConnection) -> Result<Value, RedisError> {
        // `ASKING` applies to the next command, or to the transaction that it starts.
        let mut pipe = redis::pipe();
        pipe.cmd("ASKING");
        match self {
            Self::One(command) => {
                pipe.add_command(command.clone());
            }
            Self::Atomic(pipeline) | Self::Several(pipeline) => {
                pipe.cmd("MULTI");
                for command in pipeline.cmd_iter() {
                    pipe.add_command(command.clone());
                }
                pipe.cmd("EXEC");
            }
        }
        let mut answers: Vec<Value> = pipe.query_async(connection).await?;
        // The last answer is the command's, or contains those of the transaction.
        answers.pop().unwrap_or(Value::Nil).extract_error()
    }
}

impl ServerConnection {
    /// Creates the connection to this server without opening it.
    pub(super) fn to_server(
        target: Target,
        options: &RedisOptions,
        all: &Arc<StoreHealth>,
    ) -> Self {
        Self::new(Source::Server(target), options, all)
    }

    /// Creates the connection to the master that these sentinels name, without opening it.
    pub(super) fn to_master(
        sentinels: Sentinels,
        options: &RedisOptions,
        all: &Arc<StoreHealth>,
    ) -> Self {
        Self::new(Source::Master(Arc::new(sentinels)), options, all)
    }

    fn new(source: Source, options: &RedisOptions, all: &Arc<StoreHealth>) -> Self {
        let health = all.server(&source);
        Self {
            source,
            config: AsyncConnectionConfig::new()
                // We enforce timeouts around whole calls.
                .set_response_timeout(None)
                .set_pipeline_buffer_size(WRITE_QUEUE),
            options: options.clone(),
            state: Arc::default(),
            connecting: tokio::sync::Mutex::default(),
            all: Arc::clone(all),
            health,
        }
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        lock(&self.state)
    }

    /// Sends a request, on a new connection if there is none. It may be sent twice.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        let deadline = Instant::now() + self.options.timeout;
        self.send_by(deadline, request, false).await
    }

    /// Sends a request until the deadline, on a new connection if there is none. It may be sent twice. `asking` is for the
    /// cluster node that a slot is migrating to.
    pub(super) async fn send_by(
        &self,
        deadline: Instant,
        request: Request<'_>,
        asking: bool,
    ) -> Result<Value, Fault> {
        let (generation, first) = self.send_once(deadline, request, asking).await?;
        let Err(error) = &first else {
            return first.map_err(Fault::Answer);
        };
        if !self.leave_if_useless(generation, error) || !error.is_connection_dropped() {
            return first.map_err(Fault::Answer);
        }
        // Usually an idle connection to a server that has restarted. All our requests can be sent twice.
        let (generation, second) = self.send_once(deadline, request, asking).await?;
        if let Err(error) = &second {
            self.leave_if_useless(generation, error);
        }
        second.map_err(Fault::Answer)
    }

    async fn send_once(
        &self,
        deadline: Instant,
        request: Request<'_>,
        asking: bool,
    ) -> Result<(u64, Result<Value, RedisError>), Fault> {
        let OpenConnection {
            mut connection,
            generation,
            silence,
        } = match timeout_at(deadline, self.connection()).await {
            Ok(opened) => opened.map_err(Fault::Connect)?,
            Err(_) => return Err(Fault::Timeout(self.options.timeout)),
        };
        let sent = Instant::now();
        let answer = async {
            match asking {
                false => request.query(&mut connection.commands).await,
                true => Box::pin(request.ask(&mut connection.commands)).await,
            }
        };
        let Ok(answer) = timeout_at(deadline, answer).await else {
            let fault = Fault::Timeout(self.options.timeout);
            // A request that began shortly before its deadline says nothing about the server.
            if sent.elapsed() >= self.options.timeout / 4 {
                self.health.failed(&fault);
            }
            if silence.note_timeout(sent) {
                self.leave(generation, "it no longer answers");
            }
            return Err(fault);
        };
        // Errors are answers, too.
        silence.note_answer();
        if !answer.as_ref().is_err_and(is_broken) {
            self.health.answered(&answer);
        }
        Ok((generation, answer))
    }

    async fn connection(&self) -> Result<OpenConnection, RedisError> {
        if let Some(found) = &self.state().current {
            return Ok(found.clone());
        }
        let _only_one = self.connecting.lock().await;
        {
            let state = self.state();
            if let Some(found) = &state.current {
                return Ok(found.clone());
            }
            if let Some((at, error)) = &state.last_failure
                && at.elapsed() < BACK_OFF
            {
                return Err(error.clone());
            }
        }
        // Boxed: most calls find a connection and need no space for this future.
        let opened = Box::pin(self.connect()).await;
        let mut state = self.state();
        match opened {
            Ok(NewConnection { connection, server }) => {
                state.generation += 1;
                self.all.count_connection();
                state.last_failure = None;
                let generation = state.generation;
                let current = OpenConnection {
                    connection,
                    generation,
                    silence: Arc::default(),
                };
                state.current = Some(current.clone());
                self.health.connected(&server, generation);
                if let Server::Master(master, sentinels) = server {
                    state.master = Some(master.clone());
                    let watch = watch(
                        sentinels,
                        master,
                        generation,
                        Arc::downgrade(&self.state),
                        Arc::clone(&self.health),
                    );
                    state.watch = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
                }
                Ok(current)
            }
            Err(error) => {
                self.health.cannot_connect(&error);
                state.last_failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Returns the server, for a separate connection: a subscribed connection accepts no requests.
    pub(super) async fn target(&self) -> Result<Target, Fault> {
        match &self.source {
            Source::Server(target) => Ok(target.clone()),
            Source::Master(sentinels) => {
                // The server of the writes: during an election, the sentinels may name another one, whose data would be
                // taken for this one's.
                self.connection().await.map_err(Fault::Connect)?;
                let master = self.state().master.clone();
                let master = match master {
                    Some(master) => master,
                    None => sentinels.master().await.map_err(Fault::Connect)?,
                };
                Ok(sentinels.server(master))
            }
        }
    }

    async fn connect(&self) -> Result<NewConnection, RedisError> {
        let limit = self.options.connect_timeout;
        let (opened, late) = match &self.source {
            Source::Server(target) => (
                tokio::time::timeout(limit, self.connect_to_server(target)).await,
                "the server did not answer in time",
            ),
            Source::Master(sentinels) => (
                tokio::time::timeout(limit, self.connect_to_master(sentinels)).await,
                "the master that the sentinels name did not answer in time",
            ),
        };
        opened.unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, late))))
    }

    async fn connect_to_server(&self, target: &Target) -> Result<NewConnection, RedisError> {
        Ok(NewConnection {
            connection: target.open_commands(&self.config).await?,
            server: Server::Only(target.address.clone()),
        })
    }

    async fn connect_to_master(
        &self,
        sentinels: &Arc<Sentinels>,
    ) -> Result<NewConnection, RedisError> {
        let master = sentinels.master().await?;
        let target = sentinels.server(master.clone());
        let mut connection = target.open_commands(&self.config).await?;
        // Sentinels can be wrong for a moment, for example about a server that has just restarted.
        let role: Vec<Value> = redis::cmd("ROLE")
            .query_async(&mut connection.commands)
            .await?;
        let role = role.into_iter().next().map(redis::from_redis_value);
        if !matches!(role, Some(Ok::<String, _>(role)) if role == "master") {
            return Err(RedisError::from((
                ErrorKind::Io,
                "the server that the sentinels name is not a master",
                master.to_string(),
            )));
        }
        Ok(NewConnection {
            connection,
            server: Server::Master(master, Arc::clone(sentinels)),
        })
    }

    /// Leaves the connection and returns true if the error means that it will never work again.
    fn leave_if_useless(&self, generation: u64, error: &RedisError) -> bool {
        let demoted = has_code(error, "READONLY");
        let is_useless = demoted || is_broken(error);
        if is_useless {
            let why = match demoted {
                true => "the server is read-only",
                false => "it broke",
            };
            self.leave(generation, why);
        }
        is_useless
    }

    fn leave(&self, generation: u64, why: &str) {
        self.state().leave(generation, why);
    }
}

impl ConnectionState {
    /// Leaves this connection, if it is still in use.
    fn leave(&mut self, generation: u64, why: &str) {
        if self
            .current
            .take_if(|current| current.generation == generation)
            .is_some()
        {
            self.watch = None;
            // An outage or refusal, if there is one, is logged; a connection that can be replaced at once is not.
            tracing::debug!(
                connection = generation,
                "left the connection to Redis: {why}"
            );
        }
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves this connection when the sentinels name another master.
async fn watch(
    sentinels: Arc<Sentinels>,
    master: Address,
    generation: u64,
    state: Weak<Mutex<ConnectionState>>,
    health: Arc<ServerHealth>,
) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        if !sentinels.has_other_master(&master).await {
            continue;
        }
        if let Some(state) = state.upgrade() {
            let why = "the sentinels name another master";
            health.failed(why);
            lock(&state).leave(generation, why);
        }
        return;
    }
}
