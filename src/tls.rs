//! TLS as a client: the cryptography of this process, clients for HTTP that can be had wherever the program runs, and the
//! configuration of other connections.
//!
//! Owns what is done where the system has no CA certificates, as in a small container: a client is made all the same, for
//! what is asked over http needs none, and every certificate that a server shows is unknown. Leaves out which files hold
//! certificates.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;

/// Makes ring the cryptography of this process. The one place that does; again, it changes nothing.
pub fn install_crypto() {
    // An error means that there is one already, and any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client as `builder` says, and why it trusts nobody, if that is so: the system's certificates cannot be had.
///
/// # Errors
/// When it cannot be made in any case.
pub fn client(
    builder: impl Fn() -> ClientBuilder,
) -> Result<(Client, Option<reqwest::Error>), reqwest::Error> {
    install_crypto();
    match builder().build() {
        Ok(client) => Ok((client, None)),
        // Whatever else is wrong is wrong with this one, too.
        Err(why) => Ok((builder().tls_certs_only([]).build()?, Some(why))),
    }
}

/// A TLS configuration that trusts whom the system trusts, and why it trusts nobody, if that is so: the system's
/// certificates cannot be loaded.
///
/// # Errors
/// When it cannot be made in any case.
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
    /// The key of the first of them.
    pub key: PrivateKeyDer<'static>,
}

/// The authorities that the system trusts. Empty where the system has none.
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // One certificate that cannot be read or used does not cost the others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

/// A client that trusts these authorities and identifies itself, if it has an identity.
///
/// # Errors
/// When the identity cannot be used, such as a key of another certificate.
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
