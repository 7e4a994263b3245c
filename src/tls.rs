//! TLS as a client: the cryptography of this process, HTTP clients, and the configuration of other connections.
//!
//! Owns the fallback for systems without CA certificates, such as a small container: a client still works over http, and
//! trusts no server over https. Leaves out the files of certificates.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// Installs ring as the cryptography of this process. Further calls change nothing.
pub fn install_crypto() {
    // An error means that a provider is installed already; any works.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Creates a client with `builder`. If the system's certificates are not available, the client trusts no server, and the
/// error is returned beside it.
///
/// # Errors
/// Fails if no client can be created even without certificates.
pub fn client(
    builder: impl Fn() -> ClientBuilder,
) -> Result<(Client, Option<reqwest::Error>), reqwest::Error> {
    install_crypto();
    match builder().build() {
        Ok(client) => Ok((client, None)),
        // Any other error also fails this client.
        Err(why) => Ok((builder().tls_certs_only([]).build()?, Some(why))),
    }
}

/// Creates a TLS configuration that trusts the system's certificates. If they cannot be loaded, it trusts no server, and
/// the error is returned beside it.
///
/// # Errors
/// Fails if no configuration can be created even without certificates.
pub fn platform_config() -> Result<(ClientConfig, Option<rustls::Error>), rustls::Error> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let (config, why) = match Verifier::new(provider) {
        Ok(verifier) => {
            let builder = builder.dangerous();
            let config = builder.with_custom_certificate_verifier(Arc::new(verifier));
            (config, None)
        }
        Err(why) => (
            builder.with_root_certificates(RootCertStore::empty()),
            Some(why),
        ),
    };
    Ok((config.with_no_client_auth(), why))
}

/// A certificate with its intermediates, the certificate first, and its private key.
pub struct Identity {
    /// The certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

/// Returns the CA certificates that the system trusts; none if the system has none.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // A certificate that cannot be read or used is skipped.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// Creates a configuration that trusts these CA certificates and presents the identity, if there is one.
///
/// # Errors
/// Fails if the identity cannot be used, for example because the key belongs to another certificate.
pub fn client_config(
    roots: RootCertStore,
    identity: Option<Identity>,
) -> Result<ClientConfig, rustls::Error> {
    install_crypto();
    let builder = ClientConfig::builder().with_root_certificates(roots);
    match identity {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key),
        None => Ok(builder.with_no_client_auth()),
    }
}
