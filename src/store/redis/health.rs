//! The log of Redis outages: servers that cannot be reached, and requests that they refuse.
//!
//! Every task of the program uses the store, so every task notices an outage. Only this module logs it, once for each
//! server; the tasks log their failed requests at debug level.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{RedisError, Value};
use tokio::time::Instant;

use crate::telemetry::outage::{OutageChange, OutageLog};
use crate::telemetry::{Chain, millis};

/// Errors that a caller handles: they are no outage.
const HANDLED: [&str; 5] = ["NOSCRIPT", "WRONGTYPE", "MOVED", "ASK", "TRYAGAIN"];

/// A server that refuses some requests answers others, so a refusal ends after this time without another one.
const REFUSAL_QUIET: Duration = Duration::from_secs(10);

/// The logs of all servers of a store, and the number of connections to them.
#[derive(Default, Debug)]
pub(super) struct StoreHealth {
    opened: AtomicU64,
    servers: Mutex<HashMap<String, Arc<ServerHealth>>>,
}

impl StoreHealth {
    /// The number of connections so far.
    pub(super) fn connections(&self) -> u64 {
        self.opened.load(Ordering::SeqCst)
    }

    /// Counts a connection. A caller that sees the number change reads its state again.
    pub(super) fn count_connection(&self) {
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    /// The log of the server with this name. The names are those of the configuration and of the cluster's nodes.
    pub(super) fn server(&self, name: &dyn Display) -> Arc<ServerHealth> {
        let name = name.to_string();
        let servers = self.servers.lock();
        let mut servers = servers.unwrap_or_else(PoisonError::into_inner);
        let found = servers
            .entry(name)
            .or_insert_with_key(|name| Arc::new(ServerHealth::new(name)));
        Arc::clone(found)
    }
}

/// The log of one server.
#[derive(Debug)]
pub(super) struct ServerHealth {
    name: String,
    unreachable: OutageLog,
    refusing: OutageLog,
    /// The server that a name of the sentinels stands for.
    address: Mutex<Option<String>>,
}

impl ServerHealth {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            unreachable: OutageLog::new(),
            refusing: OutageLog::new(),
            address: Mutex::default(),
        }
    }

    fn address(&self) -> MutexGuard<'_, Option<String>> {
        self.address.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last known address.
    fn server(&self) -> String {
        self.address().clone().unwrap_or_else(|| self.name.clone())
    }

    /// Notes that the server cannot be used.
    pub(super) fn failed(&self, cause: impl Display) {
        let Some(change) = self.unreachable.note_failure(Instant::now()) else {
            return;
        };
        let server = self.server();
        match change {
            OutageChange::Began { unlogged } => {
                tracing::warn!(server, error = %cause, earlier = counted(unlogged), "Redis is down");
            }
            OutageChange::Continues { down, failures } | OutageChange::Ended { down, failures } => {
                tracing::warn!(server, error = %cause, down_ms = millis(down), failures, "Redis is still down");
            }
        }
    }

    /// Notes a failed attempt to connect.
    pub(super) fn cannot_connect(&self, error: &RedisError) {
        self.failed(Chain(error));
    }

    /// Notes a new connection to the server at this address.
    pub(super) fn connected(&self, address: &dyn Display, generation: u64) {
        let address = address.to_string();
        let last = self.address().replace(address.clone());
        if self.unreachable.is_down() {
            self.log_end();
        } else if self.refusing.is_down() && last.is_some_and(|last| last == address) {
            // A read-only server is left at each refused write, so it is connected to again and again.
            tracing::debug!(server = %address, connection = generation, "connected to Redis again");
        } else {
            tracing::info!(server = %address, connection = generation, "connected to Redis");
        }
    }

    /// Notes that the server answered a request.
    pub(super) fn answered(&self, answer: &Result<Value, RedisError>) {
        self.log_end();
        let error = match answer {
            Err(error) => Some(error.clone()),
            Ok(Value::Array(answers)) => answers.iter().find_map(|answer| match answer {
                Value::ServerError(error) => Some(RedisError::from(error.clone())),
                _ => None,
            }),
            Ok(_) => None,
        };
        match error {
            Some(error) => self.refused(&error),
            None => {
                let now = Instant::now();
                if let Some(OutageChange::Ended { down, failures }) =
                    self.refusing.note_success_after(now, REFUSAL_QUIET)
                {
                    let (server, down_ms) = (self.server(), millis(down));
                    tracing::info!(
                        server,
                        down_ms,
                        failures,
                        "Redis accepts all requests again"
                    );
                }
            }
        }
    }

    /// Notes an error that the server answered.
    pub(super) fn refused(&self, error: &RedisError) {
        if is_broken(error) || HANDLED.iter().any(|code| has_code(error, code)) {
            return;
        }
        let Some(change) = self.refusing.note_failure(Instant::now()) else {
            return;
        };
        let (server, error) = (self.server(), Chain(error));
        match change {
            OutageChange::Began { unlogged } => {
                tracing::warn!(server, %error, earlier = counted(unlogged), "Redis refuses requests");
            }
            OutageChange::Continues { down, failures } | OutageChange::Ended { down, failures } => {
                tracing::warn!(server, %error, down_ms = millis(down), failures, "Redis still refuses requests");
            }
        }
    }

    fn log_end(&self) {
        if let Some(OutageChange::Ended { down, failures }) =
            self.unreachable.note_success(Instant::now())
        {
            let (server, down_ms) = (self.server(), millis(down));
            tracing::info!(server, down_ms, failures, "Redis is up again");
        }
    }
}

/// A number for a log field, which is absent if it is zero.
fn counted(number: u64) -> Option<u64> {
    (number > 0).then_some(number)
}

/// Returns true if the connection can carry no further request.
pub(super) fn is_broken(error: &RedisError) -> bool {
    error.is_unrecoverable_error() || error.is_io_error()
}

/// Returns true if the server answered a command, or one of a transaction, with this error code.
pub(super) fn has_code(error: &RedisError, code: &str) -> bool {
    let errors = error.clone().into_server_errors();
    errors.is_some_and(|errors| errors.iter().any(|(_, error)| error.code() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_only() -> RedisError {
        let answer = b"-READONLY You can't write against a read only replica.\r\n";
        let answer = redis::parse_redis_value(answer).unwrap();
        answer.extract_error().unwrap_err()
    }

    #[tokio::test(start_paused = true)]
    async fn read_only_server_refuses_until_no_write_fails_for_a_time() {
        let health = ServerHealth::new("127.0.0.1:6379");
        health.connected(&"127.0.0.1:6379", 1);
        for connection in 2..10 {
            health.answered(&Err(read_only()));
            health.connected(&"127.0.0.1:6379", connection);
            // Reads still succeed.
            health.answered(&Ok(Value::Okay));
            assert!(health.refusing.is_down());
            assert!(!health.unreachable.is_down());
            tokio::time::advance(REFUSAL_QUIET / 2).await;
        }
        tokio::time::advance(REFUSAL_QUIET / 2).await;
        health.answered(&Ok(Value::Okay));
        assert!(!health.refusing.is_down());
    }
}
