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
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError,
};

use super::address::Address;

/// Those that know a master.
pub(super) struct Sentinels {
    sentinels: Vec<Sentinel>,
    config: AsyncConnectionConfig,
    /// How long they have to answer.
    patience: Duration,
    /// What they call the master.
    name: String,
    /// How to introduce ourselves to it.
    settings: RedisConnectionInfo,
}

struct Sentinel {
    client: Client,
    /// Not here while one asks, so that who gives up on the answer does not leave it to the next who asks.
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// What one of them says.
struct Word {
    epoch: u64,
    master: Address,
}

impl Sentinels {
    /// Nothing connects yet. Of the time that connecting may take, they have half.
    pub(super) fn new(
        sentinels: &[Address],
        introduction: &RedisConnectionInfo,
        name: String,
        settings: RedisConnectionInfo,
        connect_timeout: Duration,
    ) -> Result<Self, RedisError> {
        let patience = connect_timeout / 2;
        let sentinel = |address: &Address| {
            Ok(Sentinel {
                client: Client::open(address.with(introduction)?)?,
                connection: Mutex::default(),
            })
        };
        Ok(Self {
            sentinels: sentinels
                .iter()
                .map(sentinel)
                .collect::<Result<_, RedisError>>()?,
            config: AsyncConnectionConfig::new()
                .set_connection_timeout(Some(patience))
                .set_response_timeout(Some(patience)),
            patience,
            name,
            settings,
        })
    }

    /// How to connect to a master they named.
    pub(super) fn server(&self, master: &Address) -> Result<ConnectionInfo, RedisError> {
        master.with(&self.settings)
    }

    /// Who the master is.
    ///
    /// # Errors
    ///
    /// When none of them says: what the last one said instead.
    pub(super) async fn master(&self) -> Result<Address, RedisError> {
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
                if words.len() > self.sentinels.len() / 2 {
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
            None => {
                self.client
                    .get_multiplexed_async_connection_with_config(config)
                    .await?
            }
        };
        let mut pipe = redis::pipe();
        // The address is that of the promoted replica as soon as there is one; the fields follow a little later.
        pipe.cmd("SENTINEL")
            .arg("GET-MASTER-ADDR-BY-NAME")
            .arg(name);
        pipe.cmd("SENTINEL").arg("MASTER").arg(name);
        type Answers = (Option<(String, u16)>, Vec<(String, String)>);
        let (address, fields): Answers = pipe.query_async(&mut connection).await?;
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

    fn connection(&self) -> std::sync::MutexGuard<'_, Option<MultiplexedConnection>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
