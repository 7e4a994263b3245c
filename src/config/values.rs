//! Values of single keys: the address of a node, the digest of an API key.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::Host;

/// The expected form of a key, for error messages.
pub(super) const KEY_FORM: &str =
    "expected 1 to 256 visible ASCII characters, as a header can carry them";

/// Returns true if a secret is one that the examples contain, so that nobody deploys it.
pub(super) fn is_placeholder(secret: &str) -> bool {
    secret.to_ascii_lowercase().contains("replace-me")
}

/// A host, by name or address, and a port.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NodeAddress {
    /// Without the brackets of an IPv6 address.
    pub host: String,
    /// Not 0.
    pub port: u16,
}

impl FromStr for NodeAddress {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port: u16 = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
        let host = match Host::parse(host).map_err(|_| bad())? {
            Host::Domain(name) => name,
            Host::Ipv4(ip) => ip.to_string(),
            Host::Ipv6(ip) => ip.to_string(),
        };
        Ok(Self { host, port })
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The SHA-256 of an API key, which identifies the key but cannot be used as one.
#[derive(Clone, Copy, Eq)]
pub struct ApiKeyDigest([u8; 32]);

impl ApiKeyDigest {
    /// Computes the digest of a key.
    pub fn from_key(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Returns true if this is the key's digest. Takes constant time.
    pub fn matches(&self, key: &str) -> bool {
        *self == Self::from_key(key)
    }

    /// Returns the digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for ApiKeyDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl std::hash::Hash for ApiKeyDigest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl FromStr for ApiKeyDigest {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        const BAD: &str = "not a SHA-256: expected 64 hexadecimal digits";
        if text.len() != 64 {
            return Err(BAD);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |b: u8| char::from(b).to_digit(16);
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(BAD);
            };
            *byte = u8::try_from(high * 16 + low).map_err(|_| BAD)?;
        }
        Ok(Self(digest))
    }
}

impl fmt::Debug for ApiKeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED digest]")
    }
}
