//! Who the master is, as Redis Sentinel has it.
//!
//! Owns the connections to the sentinels, and which of their answers counts. Leaves out the connection to the master and
//! when to ask ([`link`](super::link)).
//!
//! All are asked at once. When more than half have answered, or the time is over, the answer of the latest election
//! (`config-epoch`) counts: a sentinel that was cut off, together with an old master perhaps, does not know of the
//! elections since.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError};

use super::address::Address;
use super::connect::{Access, Connection, Target};

/// Those that know a master.
pub(super) struct Sentinels {
    sentinels: Vec<Sentinel>,
    config: AsyncConnectionConfig,
    /// How long they have to answer.
    patience: Duration,
    /// What they call the master.
    name: String,
    /// How to connect to it.
    servers: Access,
}

struct Sentinel {
    target: Target,
    /// Not here while one asks, so that who gives up on the answer does not leave it to the next who asks.
    connection: Mutex<Option<Connection>>,
}

/// What one of them says.
struct Word {
    epoch: u64,
    master: Address,
}

impl Sentinels {
    /// Nothing connects yet.
    pub(super) fn new(
        sentinels: Vec<Target>,
        name: String,
        servers: Access,
        patience: Duration,
    ) -> Self {
        let sentinel = |target| Sentinel {
            target,
            connection: Mutex::default(),
        };
        Self {
            sentinels: sentinels.into_iter().map(sentinel).collect(),
            // Timeouts are counted by us, once, around all of them.
            config: AsyncConnectionConfig::new().set_response_timeout(None),
            patience,
            name,
            servers,
        }
    }

    /// How to connect to a master they named.
    pub(super) fn server(&self, master: Address) -> Target {
        self.servers.target(master)
    }

    /// Who the master is, as soon as more than half have said so.
    ///
    /// # Errors
    ///
    /// When none of them says: what the last one said instead.
    pub(super) async fn master(&self) -> Result<Address, RedisError> {
        self.ask(self.sentinels.len() / 2 + 1).await
    }

    /// Whether the master is another than this one, for someone who is in no hurry: all are waited for, so that those who
    /// answer last keep their connections. That none answers says nothing of the master.
    pub(super) async fn name_another_than(&self, master: &Address) -> bool {
        let named = self.ask(self.sentinels.len()).await;
        named.is_ok_and(|named| named != *master)
    }

    /// Who the master is, when so many have said it or the time is over.
    async fn ask(&self, enough: usize) -> Result<Address, RedisError> {
        let mut asked: FuturesUnordered<_> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.ask(&self.name, &self.config))
            .collect();
        let mut words: Vec<Word> = Vec::with_capacity(self.sentinels.len());
        let mut error = RedisError::from((ErrorKind::Io, "no sentinel answered in time"));
        let hear = async {
            while let Some(answer) = asked.next().await {
                match answer {
                    Ok(word) => words.push(word),
                    Err(other) => error = other,
                }
                if words.len() >= enough {
                    break;
                }
            }
        };
        // When the time is over, those who have answered are all there are.
        let _ = tokio::time::timeout(self.patience, hear).await;
        let latest = words.into_iter().max_by_key(|word| word.epoch);
        latest.map(|word| word.master).ok_or(error)
    }
}

impl Sentinel {
    async fn ask(&self, name: &str, config: &AsyncConnectionConfig) -> Result<Word, RedisError> {
        let kept = self.connection().take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.target.open_commands(config).await?,
        };
        let mut pipe = redis::pipe();
        // The address is that of the promoted replica as soon as there is one; the fields follow a little later.
        pipe.cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name);
        pipe.cmd("SENTINEL").arg("MASTER").arg(name);
        type Answers = (Option<(String, u16)>, Vec<(String, String)>);
        let (address, fields): Answers = pipe.query_async(&mut connection.commands).await?;
        // It answered, so it is of use again.
        *self.connection() = Some(connection);
        let epoch = fields.iter().find(|(field, _)| field == "config-epoch");
        match (address, epoch.and_then(|(_, epoch)| epoch.parse().ok())) {
            (Some((host, port)), Some(epoch)) => Ok(Word {
                epoch,
                master: Address { host, port },
            }),
            _ => Err(RedisError::from((
                ErrorKind::MasterNameNotFoundBySentinel,
                "a sentinel does not say who the master is",
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

    // More than a machine does nothing for that has others to serve.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// One that gives this answer to all that it is asked, or none.
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
                    let mut asked = [0; 1024];
                    while stream.read(&mut asked).await.is_ok_and(|n| n > 0) {
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

    fn names(master: &str, epoch: u32) -> Option<String> {
        let text = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let (master, epoch) = (text(master), text(&epoch.to_string()));
        let (port, field) = (text("6379"), text("config-epoch"));
        Some(format!("*2\r\n{master}{port}*2\r\n{field}{epoch}"))
    }

    async fn asked(answers: Vec<Option<String>>) -> Result<String, String> {
        let mut addresses = Vec::new();
        for answer in answers {
            addresses.push(sentinel(answer).await);
        }
        let servers = Access {
            transport: Transport::plain(),
            login: RedisConnectionInfo::default().set_skip_set_lib_name(),
        };
        let targets = addresses.into_iter().map(|at| servers.target(at)).collect();
        let sentinels = Sentinels::new(targets, "main".to_owned(), servers, PATIENCE);
        let mut found = Vec::new();
        // The second time on the connections of the first.
        for _ in 0..2 {
            let start = Instant::now();
            let found_now = sentinels.master().await;
            if let Ok(master) = &found_now {
                assert!(!sentinels.name_another_than(master).await);
                let other = Address {
                    port: 1,
                    ..master.clone()
                };
                assert!(sentinels.name_another_than(&other).await);
            }
            found.push(found_now);
            assert!(start.elapsed() < 5 * PATIENCE, "{:?}", start.elapsed());
        }
        let found: Vec<_> = found
            .into_iter()
            .map(|found| found.map(|a| a.host).map_err(|e| e.to_string()))
            .collect();
        assert_eq!(found[0], found[1]);
        found[0].clone()
    }

    #[tokio::test]
    async fn the_latest_election_counts() {
        let [old, new] = [|| names("old", 2), || names("new", 3)];
        // At the same time: those that are silent take what they take.
        let found = join_all([
            asked(vec![old(), new(), None]),
            asked(vec![None, new(), old()]),
            asked(vec![new(), old()]),
            asked(vec![old(), None, None, new()]),
        ]);
        for found in found.await {
            assert_eq!(found.as_deref(), Ok("new"));
        }
    }

    #[tokio::test]
    async fn one_who_answers_is_enough_and_one_who_does_not_know_counts_for_nothing() {
        let unknown = "*-1\r\n-ERR No such master with that name\r\n";
        let unknown = || Some(unknown.to_owned());
        let known = vec![None, unknown(), names("new", 0)];
        assert_eq!(asked(known).await.as_deref(), Ok("new"));
        let error = asked(vec![unknown()]).await.unwrap_err();
        assert!(error.contains("No such master"), "{error}");
        let error = asked(vec![None]).await.unwrap_err();
        assert!(error.contains("in time"), "{error}");
    }
}
