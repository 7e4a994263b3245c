//! Opens connections to Redis servers and sentinels.
//!
//! Owns the sockets, TLS and the login. Nothing else in the store opens a socket, and a [`Target`] requires a
//! [`Transport`], so all connections have the TLS settings of the store's URL, including those to addresses that sentinels
//! and cluster nodes return. [`connection`](super::connection) decides when to connect.
//!
//! This module opens the streams itself, because redis-rs reads the system's certificates from disk for each connection,
//! even if the configuration names others. One TLS configuration serves all connections, so a reconnect resumes the TLS
//! session.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::select_ok;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use tokio_util::task::AbortOnDropHandle;

use super::address::Address;
use crate::store::OpenError;

/// The TLS settings of the store: the trusted authorities and the client certificate.
#[derive(Clone)]
pub struct TlsConfig(Arc<ClientConfig>);

impl From<ClientConfig> for TlsConfig {
    fn from(config: ClientConfig) -> Self {
        Self(Arc::new(config))
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}

/// A TCP connection, with TLS or without.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Opens streams, all of them with TLS or all of them without.
#[derive(Clone)]
pub(super) struct Transport {
    tls: Option<TlsConnector>,
}

impl Transport {
    /// Creates the transport for a URL with TLS or without.
    ///
    /// # Errors
    /// Fails if the URL and the settings disagree: unused TLS settings would be a plain-text connection by mistake.
    pub(super) fn new(uses_tls: bool, tls: Option<&TlsConfig>) -> Result<Self, OpenError> {
        let why = match (uses_tls, tls) {
            (true, Some(TlsConfig(config))) => {
                let tls = Some(TlsConnector::from(Arc::clone(config)));
                return Ok(Self { tls });
            }
            (false, None) => return Ok(Self::plain()),
            (true, None) => "it requires TLS, and there are no TLS settings",
            (false, Some(_)) => "it has no TLS, and there are TLS settings",
        };
        Err(OpenError::Invalid {
            why: why.to_owned(),
        })
    }

    /// Creates a transport without TLS.
    pub(super) const fn plain() -> Self {
        Self { tls: None }
    }

    /// Connects to the first of the host's addresses that accepts, and completes the TLS handshake.
    async fn open(&self, address: &Address) -> io::Result<Stream> {
        let found: Vec<_> = lookup_host((address.host.as_str(), address.port))
            .await?
            .map(|at| Box::pin(self.open_at(at, &address.host)))
            .collect();
        if found.is_empty() {
            let none = format!("{} has no address", address.host);
            return Err(io::Error::new(io::ErrorKind::NotFound, none));
        }
        select_ok(found).await.map(|(stream, _)| stream)
    }

    async fn open_at(&self, at: SocketAddr, host: &str) -> io::Result<Stream> {
        let stream = TcpStream::connect(at).await?;
        // A request must not wait until the server has acknowledged the previous one.
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else {
            return Ok(Either::Left(stream));
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|_| {
            let why = format!("{host} is neither a host name nor an IP address");
            io::Error::new(io::ErrorKind::InvalidInput, why)
        })?;
        let stream = tls.connect(name, stream).await?;
        Ok(Either::Right(Box::new(stream)))
    }
}

/// The transport and the login for servers at any address.
#[derive(Clone)]
pub(super) struct Access {
    pub(super) transport: Transport,
    pub(super) login: RedisConnectionInfo,
}

impl Access {
    /// Returns the server at this address.
    pub(super) fn target(&self, address: Address) -> Target {
        Target {
            address,
            access: self.clone(),
        }
    }
}

/// A server or a sentinel that can be connected to.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: Address,
    access: Access,
}

/// A connection for commands. Clones share it; it closes when the last of them is dropped.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) commands: MultiplexedConnection,
    /// Without it, a connection to a server that never answers would stay open for ever.
    _driver: Arc<AbortOnDropHandle<()>>,
}

impl Target {
    /// Opens a stream on which nothing has been sent yet, not even a login.
    async fn open_stream(&self) -> io::Result<Stream> {
        self.access.transport.open(&self.address).await
    }

    /// Opens a connection for commands. The timeout for connecting is the caller's.
    pub(super) async fn open_commands(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<Connection, RedisError> {
        let stream = self.open_stream().await?;
        let (commands, driver) =
            MultiplexedConnection::new_with_config(&self.access.login, stream, config.clone())
                .await?;
        Ok(Connection {
            commands,
            _driver: Arc::new(AbortOnDropHandle::new(tokio::spawn(driver))),
        })
    }

    /// Opens a connection for subscriptions. The timeout for connecting is the caller's.
    pub(super) async fn open_pubsub(&self) -> Result<PubSub, RedisError> {
        let stream = self.open_stream().await?;
        PubSub::new(&self.access.login, stream).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn connections_do_not_delay_small_writes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = Address {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let stream = Transport::plain().open(&address).await.unwrap();
        let Either::Left(stream) = stream else {
            panic!("TLS without settings");
        };
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn transport_rejects_url_and_settings_that_disagree() {
        crate::tls::install_crypto();
        let roots = rustls::RootCertStore::empty();
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = TlsConfig::from(config);
        assert_eq!(format!("{tls:?}"), "TlsConfig { .. }");
        for (uses_tls, settings, is_valid) in [
            (true, Some(&tls), true),
            (false, None, true),
            (true, None, false),
            (false, Some(&tls), false),
        ] {
            let opened = Transport::new(uses_tls, settings);
            assert_eq!(opened.is_ok(), is_valid, "{uses_tls} {settings:?}");
            if let Ok(transport) = opened {
                assert_eq!(transport.tls.is_some(), uses_tls);
            }
        }
    }
}
