//! TLS as a client: the cryptography of this process, and clients for HTTP that can be had wherever the program runs.
//!
//! Owns what is done where the system has no CA certificates, as in a small container: a client is made all the same, for
//! what is asked over http needs none, and every certificate that a server shows is unknown.

use reqwest::{Client, ClientBuilder};

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
