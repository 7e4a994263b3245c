//! Reads the keys `store.tls_*`: the files that they name become one TLS configuration.
//!
//! Owns the checks. No problem repeats a value or a part of a file: by mistake, a value can be the private key itself.

use std::fmt;
use std::fs;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, Error, RootCertStore};

use super::tree::Section;
use crate::store::redis::TlsConfig;
use crate::tls::{self, Identity};

const CA: &str = "tls_ca";
const CERT: &str = "tls_cert";
const KEY: &str = "tls_key";

/// TLS to the store.
#[derive(Clone, Debug)]
pub struct StoreTls {
    /// The file of the trusted authorities; `None`: the system's.
    pub ca: Option<String>,
    /// The file of the client certificate.
    pub cert: Option<String>,
    /// The contents of the files.
    pub config: TlsConfig,
}

impl fmt::Display for StoreTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TLS, trusts ")?;
        match &self.ca {
            Some(path) => write!(f, "{path}")?,
            None => f.write_str("the system's authorities")?,
        }
        match &self.cert {
            Some(path) => write!(f, ", client certificate {path}"),
            None => f.write_str(", no client certificate"),
        }
    }
}

/// A marker for TLS settings that could not be read; the problems have the reasons.
pub(super) struct Invalid;

/// Reads the TLS settings. `None` if the store's URL has no TLS.
pub(super) fn read_tls(s: &mut Section<'_>, uses_tls: bool) -> Result<Option<StoreTls>, Invalid> {
    let given = [CA, CERT, KEY].map(|key| s.table.contains_key(key));
    let [ca, cert, key] = [CA, CERT, KEY].map(|key| s.text(key));
    if !uses_tls {
        for (key, _) in [CA, CERT, KEY]
            .iter()
            .zip(given)
            .filter(|(_, given)| *given)
        {
            s.problem(
                key,
                "has no effect: store.url has no TLS, which begins with rediss",
            );
        }
        return match given.contains(&true) {
            true => Err(Invalid),
            false => Ok(None),
        };
    }
    let [_, has_cert, has_key] = given;
    if has_cert != has_key {
        let (missing, present) = if has_cert { (KEY, CERT) } else { (CERT, KEY) };
        s.problem(missing, format!("is required with store.{present}"));
    }
    let roots = read_roots(s, given[0], ca.as_deref());
    let chain = cert.as_ref().map(|path| read_certificates(s, CERT, path));
    let private = key.as_ref().map(|path| read_private_key(s, path));
    let identity = match (has_cert || has_key, chain, private) {
        (false, ..) => None,
        (true, Some(Some(chain)), Some(Some(key))) => Some(Identity { chain, key }),
        (true, ..) => return Err(Invalid),
    };
    let config = client_config(s, roots.ok_or(Invalid)?, identity)?;
    Ok(Some(StoreTls {
        ca,
        cert,
        config: TlsConfig::from(config),
    }))
}

/// Returns the trusted authorities: those of the file, else the system's.
fn read_roots(s: &mut Section<'_>, is_given: bool, path: Option<&str>) -> Option<RootCertStore> {
    if !is_given {
        let roots = tls::system_roots();
        if roots.is_empty() {
            s.problem(CA, "is required: the system has no CA certificates");
            return None;
        }
        return Some(roots);
    }
    let mut roots = RootCertStore::empty();
    for (n, certificate) in read_certificates(s, CA, path?)?.into_iter().enumerate() {
        if roots.add(certificate).is_err() {
            s.problem(CA, format!("certificate {} is not usable", n + 1));
            return None;
        }
    }
    Some(roots)
}

fn read_pem(s: &mut Section<'_>, key: &str, path: &str) -> Option<Vec<u8>> {
    if path.contains("-----BEGIN") {
        s.problem(key, "expected the path of a file, found its content");
        return None;
    }
    match fs::read(path) {
        Ok(pem) => Some(pem),
        // The error names the reason and not the path.
        Err(error) => {
            s.problem(key, format!("file cannot be read: {error}"));
            None
        }
    }
}

fn read_certificates(
    s: &mut Section<'_>,
    key: &str,
    path: &str,
) -> Option<Vec<CertificateDer<'static>>> {
    let pem = read_pem(s, key, path)?;
    match CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if !found.is_empty() => return Some(found),
        Ok(_) => s.problem(key, "file has no certificate in PEM form"),
        // The error would repeat the line.
        Err(_) => s.problem(key, "file is not valid PEM"),
    }
    None
}

fn read_private_key(s: &mut Section<'_>, path: &str) -> Option<PrivateKeyDer<'static>> {
    let pem = read_pem(s, KEY, path)?;
    let found = PrivateKeyDer::from_pem_slice(&pem).ok();
    if found.is_none() {
        s.problem(
            KEY,
            "file has no private key in PEM form, or an encrypted one",
        );
    }
    found
}

fn client_config(
    s: &mut Section<'_>,
    roots: RootCertStore,
    identity: Option<Identity>,
) -> Result<ClientConfig, Invalid> {
    tls::client_config(roots, identity).map_err(|error| {
        if matches!(error, Error::InconsistentKeys(_)) {
            s.problem(KEY, "is not the private key of store.tls_cert");
        } else if matches!(error, Error::InvalidCertificate(_)) {
            s.problem(CERT, "certificate is not usable");
        } else {
            s.problem(
                KEY,
                "private key is not usable: expected RSA, ECDSA or Ed25519",
            );
        }
        Invalid
    })
}
