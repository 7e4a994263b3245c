//! Finds the master by Redis Sentinel.
//!
//! Keeps the connections to the sentinels and chooses between their answers. [`connection`](super::connection) decides when
//! to query them, and connects to the master.
//!
//! # Why this is not left to redis-rs
//!
//! The sentinel client of redis-rs (1.8.1) queries one sentinel after the other. It was measured against this one: it trusts
//! a stale sentinel, and waits 1 to 1.5 s for one that hangs.
//!
//! # Rules
//!
//! All sentinels are queried at once. When more than half have answered, or the time is over, the answer of the latest
//! election (`config-epoch`) counts: an isolated sentinel, perhaps together with an old master, does not know later
//! elections.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError};

use super::address::Address;
use super::connect::{Access, Connection, Target};

/// The sentinels of a master.
pub(super) struct Sentinels {
    sentinels: Vec<Sentinel>,
    config: AsyncConnectionConfig,
    /// The time limit of their answers.
    timeout: Duration,
    /// Their name of the master.
    name: String,
    /// The transport and login for the master.
    servers: Access,
}

struct Sentinel {
    target: Target,
    /// Taken out during a query, so that an abandoned query does not leave its answer to the next one.
    connection: Mutex<Option<Connection>>,
}

/// The answer of one sentinel.
struct SentinelReply {
    epoch: u64,
    master: Address,
}

impl Sentinels {
    /// The sentinels' name of the master.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Creates the sentinels without connecting.
    pub(super) fn new(
        sentinels: Vec<Target>,
        name: String,
        servers: Access,
        timeout: Duration,
    ) -> Self {
        let sentinel = |target| Sentinel {
            target,
            connection: Mutex::default(),
        };
        Self {
            sentinels: sentinels.into_iter().map(sentinel).collect(),
            // One timeout covers all of them.
            config: AsyncConnectionConfig::new().set_response_timeout(None),
            timeout,
            name,
            servers,
        }
    }

    /// Returns the target of a master that they named.
    pub(super) fn server(&self, master: Address) -> Target {
        self.servers.target(master)
    }

    /// Finds the master, as soon as more than half have answered.
    ///
    /// # Errors
    ///
    /// Fails with the last error if no sentinel names a master.
    pub(super) async fn master(&self) -> Result<Address, RedisError> {
        self.ask(self.sentinels.len() / 2 + 1).await
    }

    /// Returns true if the sentinels name another master than this one. Waits for all of them, so that slow ones keep their
    /// connections. Without any answer it returns false.
    pub(super) async fn has_other_master(&self, master: &Address) -> bool {
        let named = self.ask(self.sentinels.len()).await;
        named.is_ok_and(|named| named != *master)
    }

    /// Finds the master as soon as `enough` sentinels have answered or the time is over.
    async fn ask(&self, enough: usize) -> Result<Address, RedisError> {
        let mut queries: FuturesUnordered<_> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.ask(&self.name, &self.config))
            .collect();
        let mut replies: Vec<SentinelReply> = Vec::with_capacity(self.sentinels.len());
        let mut error = RedisError::from((ErrorKind::Io, "no sentinel answered in time"));
        let collect = async {
            while let Some(answer) = queries.next().await {
                match answer {
                    Ok(reply) => replies.push(reply),
                    Err(other) => error = other,
                }
                if replies.len() >= enough {
                    break;
                }
            }
        };
        // After the timeout, the received answers count.
        let _ = tokio::time::timeout(self.timeout, collect).await;
        let latest = replies.into_iter().max_by_key(|reply| reply.epoch);
        latest.map(|reply| reply.master).ok_or(error)
    }
}

impl Sentinel {
    async fn ask(
        &self,
        name: &str,
        config: &AsyncConnectionConfig,
    ) -> Result<SentinelReply, RedisError> {
        let kept = self.connection().take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.target.open_commands(config).await?,
        };
        let mut pipe = redis::pipe();
        // The address is that of a promoted replica immediately; the fields follow a little later.
        pipe.cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name);
        pipe.cmd("SENTINEL").arg("MASTER").arg(name);
        type Answers = (Option<(String, u16)>, Vec<(String, String)>);
        let (address, fields): Answers = pipe.query_async(&mut connection.commands).await?;
        // It answered, so the connection can be reused.
        *self.connection() = Some(connection);
        let epoch = fields.iter().find(|(field, _)| field == "config-epoch");
        match (address, epoch.and_then(|(_, epoch)| epoch.parse().ok())) {
            (Some((host, port)), Some(epoch)) => Ok(SentinelReply {
                epoch,
                master: Address { host, port },
            }),
            _ => Err(RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "a sentinel does not name the master",
            ))),
        }
    }

    fn connection(&self) -> std::sync::MutexGuard<'_, Option<Connection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use redis::RedisConnectionInfo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::super::connect::Transport;
    use super::*;

    // Longer than the pauses of a busy machine.
    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Starts a sentinel that gives this answer to each request, or none.
    async fn sentinel(answer: Option<String>) -> Address {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(answer) = answer.clone() else {
                    silent.push(stream);
                    continue;
                };
                tokio::spawn(async move {
                    let mut buffer = [0; 1024];
                    while stream.read(&mut buffer).await.is_ok_and(|n| n > 0) {
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                });
            }
        });
        Address {
            host: "127.0.0.1".to_owned(),
            port,
        }
    }

    fn master_reply(master: &str, epoch: u32) -> Option<String> {
        let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let (master, epoch) = (text(master), text(&epoch.to_string()));
        let (port, field) = (text("6379"), text("config-epoch"));
        Some(format!("*2\r\n{master}{port}*2\r\n{field}{epoch}"))
    }

    async fn find_master(answers: Vec<Option<String>>) -> Result<String, String> {
        let mut addresses = Vec::new();
        for answer in answers {
            addresses.push(sentinel(answer).await);
        }
        let servers = Access {
            transport: Transport::plain(),
            login: RedisConnectionInfo::default().set_skip_set_lib_name(),
        };
        let targets = addresses.into_iter().map(|at| servers.target(at)).collect();
        let sentinels = Sentinels::new(targets, "main".to_owned(), servers, TIMEOUT);
        let mut found = Vec::new();
        // The second round uses the connections of the first.
        for _ in 0..2 {
            let start = Instant::now();
            let found_now = sentinels.master().await;
            if let Ok(master) = &found_now {
                assert!(!sentinels.has_other_master(master).await);
                let other = Address {
                    port: 1,
                    ..master.clone()
                };
                assert!(sentinels.has_other_master(&other).await);
            }
            found.push(found_now);
            assert!(start.elapsed() < 5 * TIMEOUT, "{:?}", start.elapsed());
        }
        let found: Vec<_> = found
            .into_iter()
            .map(|found| found.map(|a| a.host).map_err(|e| e.to_string()))
            .collect();
        assert_eq!(found[0], found[1]);
        found[0].clone()
    }

    #[tokio::test]
    async fn latest_election_wins() {
        let [old, new] = [|| master_reply("old", 2), || master_reply("new", 3)];
        // Concurrently, because silent sentinels take their whole time.
        let found = join_all([
            find_master(vec![old(), new(), None]),
            find_master(vec![None, new(), old()]),
            find_master(vec![new(), old()]),
            find_master(vec![old(), None, None, new()]),
        ]);
        for found in found.await {
            assert_eq!(found.as_deref(), Ok("new"));
        }
    }

    #[tokio::test]
    async fn one_answer_suffices_and_unknown_masters_are_ignored() {
        let unknown = "*-1\r\n-ERR No such master with that name\r\n";
        let unknown = || Some(unknown.to_owned());
        let known = vec![None, unknown(), master_reply("new", 0)];
        assert_eq!(find_master(known).await.as_deref(), Ok("new"));
        let error = find_master(vec![unknown()]).await.unwrap_err();
        assert!(error.contains("No such master"), "{error}");
        let error = find_master(vec![None]).await.unwrap_err();
        assert!(error.contains("in time"), "{error}");
    }
}
