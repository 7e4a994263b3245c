//! The rules for addresses that tenants may let this program call.
//!
//! Owns the classes of addresses and the resolver that returns only the allowed ones. Leaves out the request. The
//! HTTP client connects only to addresses from this resolver, so a DNS response that changes between the check and
//! the connection has no effect.
//!
//! A host that is an address is never resolved, so every caller checks the URL with [`Policy::check_url`] first.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use futures_util::future::BoxFuture;
use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;
use url::{Host, Url};

/// The maximum length of a URL, in characters.
pub const URL_LIMIT: usize = 2_048;

/// The configured exceptions to `https` at public addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Plain `http`.
    pub allow_http: bool,
    /// Private and loopback addresses. Link-local ones, where clouds keep their credentials, stay refused.
    pub allow_private: bool,
}

/// The reach of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// A public address.
    Public,
    /// An address of this machine or a private network.
    Private,
    /// No target for a webhook, or a form that embeds another address.
    Never,
}

/// The reason why a URL or host may not be called.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Neither `https` nor an allowed `http`.
    #[error("the scheme must be https{}", if *.allow_http { " or http" } else { "" })]
    Scheme {
        /// True if `http` would be allowed.
        allow_http: bool,
    },
    /// It is longer than [`URL_LIMIT`].
    #[error("the URL is longer than {URL_LIMIT} characters")]
    TooLong,
    /// There is no host.
    #[error("the URL has no host")]
    NoHost,
    /// It carries a user name or password, which would end up in logs.
    #[error("the URL must not carry a user name or password")]
    Credentials,
    /// The address may not be called.
    #[error("{0} is not an address that may be called")]
    Address(IpAddr),
    /// None of the name's addresses may be called.
    #[error("{host} has no address that may be called")]
    NoAddress {
        /// The name.
        host: String,
    },
}

/// A name that cannot be resolved. A tenant gets the same text as for [`Refused::NoAddress`], so that it cannot learn
/// which internal names exist.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{host} has no address that may be called")]
pub struct Unresolved {
    /// The name.
    pub host: String,
}

impl Policy {
    /// Checks a URL without resolving its host.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn check_url(self, url: &Url) -> Result<(), Refused> {
        let scheme_ok = match url.scheme() {
            "https" => true,
            "http" => self.allow_http,
            _ => false,
        };
        if !scheme_ok {
            return Err(Refused::Scheme {
                allow_http: self.allow_http,
            });
        }
        if url.as_str().len() > URL_LIMIT {
            return Err(Refused::TooLong);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::Credentials);
        }
        match url.host() {
            None => Err(Refused::NoHost),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(ip)) => self.check_address(ip.into()),
            Some(Host::Ipv6(ip)) => self.check_address(ip.into()),
        }
    }

    /// Checks one address.
    ///
    /// # Errors
    /// [`Refused::Address`].
    pub fn check_address(self, ip: IpAddr) -> Result<(), Refused> {
        match reach(ip) {
            Reach::Public => Ok(()),
            Reach::Private if self.allow_private => Ok(()),
            Reach::Private | Reach::Never => Err(Refused::Address(ip)),
        }
    }
}

/// The kind of an address.
pub fn reach(ip: IpAddr) -> Reach {
    match ip {
        IpAddr::V4(ip) => reach_v4(ip),
        IpAddr::V6(ip) => reach_v6(ip),
    }
}

fn reach_v4(ip: Ipv4Addr) -> Reach {
    match ip.octets() {
        [10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => {
            Reach::Private
        }
        // "This network", link-local, IETF and documentation blocks, the 6to4 relay, benchmarks, multicast, reserved.
        [0, ..]
        | [169, 254, ..]
        | [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Reach::Never,
        _ => Reach::Public,
    }
}

fn reach_v6(ip: Ipv6Addr) -> Reach {
    if ip.is_loopback() {
        return Reach::Private;
    }
    match ip.segments() {
        // Unique local.
        [0xfc00..=0xfdff, ..] => Reach::Private,
        // IETF protocol blocks, Teredo among them; documentation; 6to4.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => Reach::Never,
        // Global unicast. Everything else is unspecified, mapped, NAT64, discard, link-local, site-local, multicast
        // or not assigned.
        [0x2000..=0x3fff, ..] => Reach::Public,
        _ => Reach::Never,
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Looks up the addresses of a host name.
pub type Lookup =
    Arc<dyn Fn(String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// The system's resolver.
pub fn system_lookup() -> Lookup {
    Arc::new(|host| {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.collect()) })
    })
}

/// A resolver that returns only addresses that may be called.
#[derive(Clone)]
pub struct GuardedResolver {
    policy: Policy,
    lookup: Lookup,
}

impl GuardedResolver {
    /// Creates a resolver with this policy on top of the system's.
    pub fn new(policy: Policy) -> Self {
        Self::with_lookup(policy, system_lookup())
    }

    /// Creates a resolver with this policy on top of another one.
    pub fn with_lookup(policy: Policy, lookup: Lookup) -> Self {
        Self { policy, lookup }
    }

    async fn resolve(self, host: &str) -> Result<vec::IntoIter<SocketAddr>, BoxError> {
        match (self.lookup)(host.to_owned()).await {
            Ok(found) => Ok(permitted(self.policy, host, found.into_iter())?.into_iter()),
            Err(error) => {
                tracing::debug!(host, %error, "a host cannot be resolved");
                let host = host.to_owned();
                Err(Unresolved { host }.into())
            }
        }
    }
}

impl Service<Name> for GuardedResolver {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move { resolver.resolve(name.as_str()).await })
    }
}

impl reqwest::dns::Resolve for GuardedResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let resolver = self.clone();
        Box::pin(async move {
            let found = resolver.resolve(name.as_str()).await?;
            Ok(Box::new(found) as reqwest::dns::Addrs)
        })
    }
}

fn permitted(
    policy: Policy,
    host: &str,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Refused> {
    let allowed: Vec<SocketAddr> = found
        .filter(|at| policy.check_address(at.ip()).is_ok())
        .collect();
    if allowed.is_empty() {
        return Err(Refused::NoAddress {
            host: host.to_owned(),
        });
    }
    Ok(allowed)
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.allow_http, self.allow_private) {
            (false, false) => "https to public addresses",
            (true, false) => "http and https to public addresses",
            (false, true) => "https to public, private and loopback addresses",
            (true, true) => "http and https to public, private and loopback addresses",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &[&str], expected: Reach) {
        for text in addresses {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(reach(ip), expected, "{text}");
        }
    }

    #[test]
    fn public_addresses_are_allowed() {
        check(
            &[
                "1.1.1.1",
                "100.63.255.255",
                "100.128.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.1",
                "223.255.255.255",
                "2606:4700:4700::1111",
                "2001:200::1",
                "2001:4860:4860::8888",
                "3ffe::1",
            ],
            Reach::Public,
        );
    }

    #[test]
    fn private_addresses_need_permission() {
        check(
            &[
                "10.0.0.1",
                "127.0.0.1",
                "127.255.255.254",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "100.64.0.1",
                "100.127.255.255",
                "::1",
                "fc00::1",
                "fdff::1",
            ],
            Reach::Private,
        );
    }

    #[test]
    fn special_and_embedded_addresses_are_classified() {
        check(
            &[
                "0.0.0.0",
                "0.1.2.3",
                "169.254.169.254",
                "192.0.0.1",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "::127.0.0.1",
                "::ffff:127.0.0.1",
                "::ffff:1.1.1.1",
                "64:ff9b::10.0.0.1",
                "64:ff9b:1::1",
                "100::1",
                "2001::1",
                "2001:db8::1",
                "2002:7f00:1::",
                "3fff::1",
                "5f00::1",
                "fe80::1",
                "fec0::1",
                "ff02::1",
            ],
            Reach::Never,
        );
    }

    #[test]
    fn urls_are_checked_by_scheme_host_and_length() {
        let check = |policy: Policy, url: &str| policy.check_url(&Url::parse(url).unwrap());
        let public = Policy::default();
        let http = Policy {
            allow_http: true,
            ..public
        };
        let private = Policy {
            allow_private: true,
            ..public
        };
        assert_eq!(check(public, "https://example.com/hook?x=1"), Ok(()));
        assert_eq!(check(http, "http://example.com/hook"), Ok(()));
        assert_eq!(check(private, "https://127.0.0.1/hook"), Ok(()));
        assert_eq!(check(private, "https://[::1]/hook"), Ok(()));
        assert_eq!(
            check(public, "http://example.com/").unwrap_err(),
            Refused::Scheme { allow_http: false }
        );
        for url in ["ftp://example.com/", "file:///etc/passwd"] {
            assert_eq!(
                check(http, url).unwrap_err(),
                Refused::Scheme { allow_http: true }
            );
        }
        let long = |length: usize| {
            let begin = "https://example.com/";
            format!("{begin}{}", "x".repeat(length - begin.len()))
        };
        assert_eq!(check(public, &long(URL_LIMIT)), Ok(()));
        assert_eq!(
            check(public, &long(URL_LIMIT + 1)).unwrap_err(),
            Refused::TooLong
        );
        assert_eq!(
            check(public, "https://u:p@example.com/").unwrap_err(),
            Refused::Credentials
        );
        // Every spelling of an address has the same result.
        for url in [
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::ffff:127.0.0.1]/",
            "https://[::1]/",
        ] {
            assert!(
                matches!(check(public, url), Err(Refused::Address(_))),
                "{url}"
            );
        }
        for url in ["https://169.254.169.254/", "https://[fe80::1]/"] {
            assert!(
                matches!(check(private, url), Err(Refused::Address(_))),
                "{url}"
            );
        }
    }

    #[test]
    fn resolver_returns_only_allowed_addresses() {
        let found = |list: &[&str]| -> Vec<SocketAddr> {
            list.iter()
                .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
                .collect()
        };
        let public = Policy::default();
        let mixed = found(&["10.0.0.1", "1.1.1.1"]);
        assert_eq!(
            permitted(public, "h", mixed.into_iter()),
            Ok(found(&["1.1.1.1"]))
        );
        let hidden = found(&["10.0.0.1", "::ffff:1.1.1.1"]);
        assert_eq!(
            permitted(public, "h", hidden.into_iter()),
            Err(Refused::NoAddress { host: "h".into() })
        );
    }
}
