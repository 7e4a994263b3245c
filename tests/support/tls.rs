//! Certificates for tests, and their files for servers and the configuration.
//!
//! Owns the authority. Leaves out the servers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use roomkeeper::store::redis::TlsConfig;
use roomkeeper::tls::{self, Identity};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use uuid::Uuid;

/// The host of every test server, the name in its certificate.
pub const LOCAL: &str = "127.0.0.1";

/// A certificate authority with one signed client certificate.
pub struct Authority {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Arc<Self> {
        let dir = tempfile::tempdir().expect("a directory for certificates");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, format!("authority {}", Uuid::new_v4()));
        let ca = params.self_signed(&key).expect("a certificate");
        let authority = Self {
            dir,
            issuer: Issuer::new(params, key),
        };
        authority.write("ca.pem", "CERTIFICATE", ca.der());
        authority.sign("client");
        Arc::new(authority)
    }

    /// Writes a key and a certificate for this host.
    fn sign(&self, host: &str) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer);
        let certificate = certificate.expect("a certificate");
        self.write(&format!("{host}.pem"), "CERTIFICATE", certificate.der());
        self.write(&format!("{host}.key"), "PRIVATE KEY", &key.serialize_der());
    }

    /// Writes a file in PEM form.
    fn write(&self, name: &str, label: &str, der: &[u8]) {
        let text = BASE64_STANDARD.encode(der);
        let pem = format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n");
        std::fs::write(self.file(name), pem).expect("the directory is writable");
    }

    /// The path of a file: `ca.pem`, `client.pem` or `client.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Signs a certificate for a server of this name.
    pub fn server(self: &Arc<Self>, host: &'static str) -> ServerTls {
        self.sign(host);
        ServerTls {
            authority: Arc::clone(self),
            host,
        }
    }

    /// Client settings that trust this authority, with a client certificate of `identity` if given.
    pub fn client(&self, identity: Option<&Self>) -> TlsConfig {
        TlsConfig::from(self.client_config(identity))
    }

    fn client_config(&self, identity: Option<&Self>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(self.file("ca.pem"));
        roots.add(ca.expect("PEM")).expect("an authority");
        let identity = identity.map(|authority| Identity {
            chain: vec![CertificateDer::from_pem_file(authority.file("client.pem")).expect("PEM")],
            key: PrivateKeyDer::from_pem_file(authority.file("client.key")).expect("PEM"),
        });
        tls::client_config(roots, identity).expect("a usable key")
    }
}

/// The TLS settings of a server that requires client certificates.
#[derive(Clone)]
pub struct ServerTls {
    pub authority: Arc<Authority>,
    host: &'static str,
}

impl ServerTls {
    /// The settings of redis-server. All its ports use TLS, also the one for replicas.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        let file = |name: &str| self.authority.file(name).display().to_string();
        vec![
            ("tls-ca-cert-file", file("ca.pem")),
            ("tls-cert-file", file(&format!("{}.pem", self.host))),
            ("tls-key-file", file(&format!("{}.key", self.host))),
            ("tls-auth-clients", "yes".to_owned()),
            ("tls-replication", "yes".to_owned()),
        ]
    }

    /// The store's client settings for this server.
    pub fn client(&self) -> TlsConfig {
        self.authority.client(Some(&self.authority))
    }

    /// The client settings as environment variables of the program.
    pub fn environment(&self) -> Vec<(String, String)> {
        let files = [
            ("TLS_CA", "ca.pem"),
            ("TLS_CERT", "client.pem"),
            ("TLS_KEY", "client.key"),
        ];
        let variable = |(key, file)| {
            let path = self.authority.file(file).display().to_string();
            (format!("ROOMKEEPER_STORE__{key}"), path)
        };
        files.into_iter().map(variable).collect()
    }

    /// Opens a TLS connection that expects this certificate's name at any address.
    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let config = self.authority.client_config(Some(&self.authority));
        let name = ServerName::try_from(self.host).expect("a name");
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await
    }
}
