//! The connection to Redis: made when it is first needed, left when it is of no use any more.
//!
//! Owns when to connect, how long a call may take, and which errors mean that a server will never do again. Leaves out
//! what is asked, who the master is ([`sentinel`](super::sentinel)) and whose a slot is ([`cluster`](super::cluster)).
//! Driven by [`RedisStore`](super::RedisStore), in a cluster once for each node.
//!
//! One connection for all, pipelined; nothing on it ever blocks. It is made when it is first needed, so that a
//! controller starts before its Redis does. When it drops, the next call makes a new one, and while there is none to
//! be had, calls fail at once rather than pile up. A server that no longer answers (a call timed out, and one that
//! was sent after that did, too) or that was demoted to replica (`READONLY`) keeps the connection open for ever, so it is we
//! who leave it. However many calls wait at the same time, they tell of one silence: a server that only stood still for
//! a moment, as one does that forks or whose machine is busy, is not left, for whoever leaves one has to read all again.
//!
//! Where the server is one that sentinels name, they are asked anew for each connection, and once a second while there
//! is one: a master that was replaced while nobody could tell it goes on answering, and what is written to it is lost.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, Pipeline, RedisError, Value};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use super::connect::{Connection, Target, TlsConfig};
use super::sentinel::Sentinels;
use crate::store::StoreError;

/// How the store talks to Redis.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// How long a call may take, waiting for a connection included.
    pub timeout: Duration,
    /// How long an attempt to connect may take.
    pub connect_timeout: Duration,
    /// Required by a URL with TLS, refused by one without.
    pub tls: Option<TlsConfig>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(1),
            // Less than a call may take: an attempt that hangs is over before the call that makes it is.
            connect_timeout: Duration::from_millis(800),
            tls: None,
        }
    }
}

impl RedisOptions {
    /// How long those have to answer who know where a server is: of the time that connecting may take half, so that there
    /// is some left for the server, and never so long that an old master is left too late.
    pub(super) fn patience(&self) -> Duration {
        const MOST: Duration = Duration::from_secs(1);
        MOST.min(self.connect_timeout / 2)
    }
}

/// How long after a failed attempt to connect calls fail without making another. Much less than the second within which
/// a Redis that is back must be in use again.
pub(super) const BACK_OFF: Duration = Duration::from_millis(100);

/// How often the sentinels are asked whether the master is still the one we are connected to. With the time that they
/// have to answer, much less than the five seconds within which an old master must be left.
const WATCH_EVERY: Duration = Duration::from_secs(1);

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
    source: Source,
    config: AsyncConnectionConfig,
    options: RedisOptions,
    /// Shared with the watch over the master, which does not keep it alive.
    state: Arc<Mutex<LinkState>>,
    /// Held by the one call that connects.
    connecting: tokio::sync::Mutex<()>,
    /// How many connections there were, of all links of a store.
    made: Arc<AtomicU64>,
}

/// A new connection.
struct Made {
    connection: Connection,
    server: Server,
}

/// Where a connection leads.
enum Server {
    Only(Address),
    /// Until these name another.
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

/// Where the server is.
enum Source {
    Server(Target),
    /// Where the sentinels say.
    Master(Arc<Sentinels>),
}

/// The connection that a call is sent on.
#[derive(Clone)]
struct Current {
    connection: Connection,
    /// Which one it is, so that a late complaint about an old one does not cost the new one.
    generation: u64,
    silence: Arc<Silence>,
}

/// Since when a connection has answered nothing that was asked of it.
#[derive(Default)]
struct Silence(Mutex<Option<Instant>>);

impl Silence {
    /// Takes note of a call that was not answered in time. Whether the connection is no good any more: this call was sent
    /// after another had been given up, and nothing was answered since.
    fn goes_on(&self, sent: Instant) -> bool {
        let mut since = lock(&self.0);
        sent >= *since.get_or_insert_with(Instant::now)
    }

    fn ends(&self) {
        *lock(&self.0) = None;
    }
}

#[derive(Default)]
struct LinkState {
    current: Option<Current>,
    /// Whom it leads to, where sentinels have named it.
    master: Option<Address>,
    /// Counts connections.
    generation: u64,
    /// Asks the sentinels of the connection's master; ends with the connection.
    watch: Option<AbortOnDropHandle<()>>,
    /// The last failed attempt to connect.
    refused: Option<(Instant, RedisError)>,
}

/// What is sent as one.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    One(&'a Cmd),
    Atomic(&'a Pipeline),
    /// Each for itself, answered all together, also where some are refused.
    Several(&'a Pipeline),
}

impl Request<'_> {
    async fn query(self, connection: &mut MultiplexedConnection) -> Result<Value, RedisError> {
        match self {
            Self::One(command) => command.query_async(connection).await,
            Self::Atomic(pipeline) => {
                // What MULTI and the commands answer while they are queued counts only if it is an error.
                let queued = pipeline.len() + 1;
                let mut answers = connection.req_packed_commands(pipeline, queued, 1).await?;
                // Not for the pipeline to read: it takes an error of the whole for an answer it does not know.
                answers.pop().unwrap_or(Value::Nil).extract_error()
            }
            Self::Several(pipeline) => {
                let all = pipeline.len();
                let answers = connection.req_packed_commands(pipeline, 0, all).await?;
                Ok(Value::Array(answers))
            }
        }
    }

    /// Asks a node of a cluster that a slot is being moved to.
    async fn ask(self, connection: &mut MultiplexedConnection) -> Result<Value, RedisError> {
        // `ASKING` holds for the next command, or for the transaction that begins with it.
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
        // The last one is the command's, or holds those of the transaction.
        answers.pop().unwrap_or(Value::Nil).extract_error()
    }
}

impl Link {
    /// The connection to this server. Nothing connects yet.
    pub(super) fn to_server(target: Target, options: &RedisOptions, made: &Arc<AtomicU64>) -> Self {
        Self::new(Source::Server(target), options, made)
    }

    /// The connection to the master that these sentinels name. Nothing connects yet.
    pub(super) fn to_master(
        sentinels: Sentinels,
        options: &RedisOptions,
        made: &Arc<AtomicU64>,
    ) -> Self {
        Self::new(Source::Master(Arc::new(sentinels)), options, made)
    }

    fn new(source: Source, options: &RedisOptions, made: &Arc<AtomicU64>) -> Self {
        Self {
            source,
            config: AsyncConnectionConfig::new()
                // Timeouts are counted by us, once, around all of a call.
                .set_response_timeout(None)
                .set_pipeline_buffer_size(WRITE_QUEUE),
            options: options.clone(),
            state: Arc::default(),
            connecting: tokio::sync::Mutex::default(),
            made: Arc::clone(made),
        }
    }

    fn state(&self) -> MutexGuard<'_, LinkState> {
        lock(&self.state)
    }

    /// Sends it, on a new connection if there is none. What is sent may be sent twice.
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Value, Fault> {
        let deadline = Instant::now() + self.options.timeout;
        self.send_by(deadline, request, false).await
    }

    /// Sends it, on a new connection if there is none, and gives up at the deadline. What is sent may be sent twice.
    /// `asking` is for a node of a cluster that a slot is being moved to.
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
        // Most often an idle connection of a server that has been restarted since. All we send can be sent twice.
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
        let Current {
            mut connection,
            generation,
            silence,
        } = match timeout_at(deadline, self.connection()).await {
            Ok(made) => made.map_err(Fault::Connect)?,
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
            if silence.goes_on(sent) {
                self.leave(generation, "it no longer answers");
            }
            return Err(Fault::Timeout(self.options.timeout));
        };
        // Errors are answers too: what counts is that it speaks.
        silence.ends();
        Ok((generation, answer))
    }

    async fn connection(&self) -> Result<Current, RedisError> {
        if let Some(found) = &self.state().current {
            return Ok(found.clone());
        }
        let _only_one = self.connecting.lock().await;
        {
            let state = self.state();
            if let Some(found) = &state.current {
                return Ok(found.clone());
            }
            if let Some((at, error)) = &state.refused
                && at.elapsed() < BACK_OFF
            {
                return Err(error.clone());
            }
        }
        // Apart: room for it would have to be made for each call, and most find a connection.
        let made = Box::pin(self.connect()).await;
        let mut state = self.state();
        match made {
            Ok(Made { connection, server }) => {
                state.generation += 1;
                self.made.fetch_add(1, Ordering::SeqCst);
                state.refused = None;
                let generation = state.generation;
                let current = Current {
                    connection,
                    generation,
                    silence: Arc::default(),
                };
                state.current = Some(current.clone());
                tracing::info!(connection = generation, %server, "connected to Redis");
                if let Server::Master(master, sentinels) = server {
                    state.master = Some(master.clone());
                    let watch = watch(sentinels, master, generation, Arc::downgrade(&self.state));
                    state.watch = Some(AbortOnDropHandle::new(tokio::spawn(watch)));
                }
                Ok(current)
            }
            Err(error) => {
                state.refused = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    /// The server, for a connection of its own: who listens on one can ask nothing on it.
    pub(super) async fn place(&self) -> Result<Target, Fault> {
        match &self.source {
            Source::Server(target) => Ok(target.clone()),
            Source::Master(sentinels) => {
                // The one that is written to: while sentinels change their minds, one that is asked again may name another,
                // and what is read there would be believed of this one.
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

    async fn connect(&self) -> Result<Made, RedisError> {
        let limit = self.options.connect_timeout;
        let (made, late) = match &self.source {
            Source::Server(target) => (
                tokio::time::timeout(limit, self.connect_to_server(target)).await,
                "the server did not answer in time",
            ),
            Source::Master(sentinels) => (
                tokio::time::timeout(limit, self.connect_to_master(sentinels)).await,
                "the master that the sentinels name did not answer in time",
            ),
        };
        made.unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, late))))
    }

    async fn connect_to_server(&self, target: &Target) -> Result<Made, RedisError> {
        Ok(Made {
            connection: target.open_commands(&self.config).await?,
            server: Server::Only(target.address.clone()),
        })
    }

    async fn connect_to_master(&self, sentinels: &Arc<Sentinels>) -> Result<Made, RedisError> {
        let master = sentinels.master().await?;
        let target = sentinels.server(master.clone());
        let mut connection = target.open_commands(&self.config).await?;
        // They can be wrong for a moment, as about a server that was restarted after they last heard of it.
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
        Ok(Made {
            connection,
            server: Server::Master(master, Arc::clone(sentinels)),
        })
    }

    /// Whether the error means that this connection will never do again; then it is left.
    fn leave_if_useless(&self, generation: u64, error: &RedisError) -> bool {
        let demoted = says(error, "READONLY");
        let useless = demoted || error.is_unrecoverable_error() || error.is_io_error();
        if useless {
            let why = if demoted {
                "the server is read-only"
            } else {
                "it broke"
            };
            self.leave(generation, why);
        }
        useless
    }

    fn leave(&self, generation: u64, why: &str) {
        self.state().leave(generation, why);
    }
}

impl LinkState {
    /// Leaves this connection, if it is still the one in use.
    fn leave(&mut self, generation: u64, why: &str) {
        if self
            .current
            .take_if(|current| current.generation == generation)
            .is_some()
        {
            self.watch = None;
            tracing::warn!(
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
    state: Weak<Mutex<LinkState>>,
) {
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        if !sentinels.name_another_than(&master).await {
            continue;
        }
        if let Some(state) = state.upgrade() {
            lock(&state).leave(generation, "the sentinels name another master");
        }
        return;
    }
}

/// Whether the server answered with this code, to a command or to one of a transaction's.
pub(super) fn says(error: &RedisError, code: &str) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == code))
}
