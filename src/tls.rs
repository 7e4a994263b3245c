//! TLS as a client: the cryptography of this process, and clients for HTTP that can be had wherever the program runs.
//!
//! Owns what is done where the system has no CA certificates, as in a small container: a client is made all the same, for
//! what is asked over http needs none, and every certificate that a server shows is unknown.

use std::sync::Arc;

use reqwest::{Client, ClientBuilder};
use rustls::crypto::ring;
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
pub fn config() -> Result<(ClientConfig, Option<rustls::Error>), rustls::Error> {
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
