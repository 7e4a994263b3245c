//! Parses the URL of a store on Redis.
//!
//! Owns the grammar of the three forms. Leaves out connecting. Used by [`RedisStore`](super::RedisStore), and by the
//! configuration, which reports errors before the start.
//!
//! ```text
//! redis://[user:password@]host[:port][/db]
//! redis+sentinel://[user:password@]host[:port][,host[:port]…]/master[/db][?sentinel_user=…&sentinel_password=…]
//! redis+cluster://[user:password@]host[:port][,host[:port]…]
//! ```
//!
//! With `rediss` instead of `redis`, every connection uses TLS: to servers, to sentinels, and to the addresses that they
//! return. Certificates are always checked; `#insecure` is refused.
//!
//! User and password are those of the servers; the sentinels have their own, or none. Both must be percent-encoded. No
//! error repeats a part of a URL that can be a secret.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};
use url::{Host, Url, form_urlencoded};

use crate::store::OpenError;

/// The default port of a server.
const SERVER_PORT: u16 = 6379;
/// The default port of a sentinel.
const SENTINEL_PORT: u16 = 26379;
/// The schemes of URLs with TLS.
const TLS_SCHEMES: [&str; 3] = ["rediss", "rediss+sentinel", "rediss+cluster"];

/// The address of a server or a sentinel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Address {
    /// A name or an address, of IPv6 without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Parses `host:port` in the form of a cluster redirection: IPv6 without brackets, and no host for the redirecting
    /// node's own.
    pub(super) fn from_redirect(text: &str, from: &Self) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Some(Self {
            host: match host {
                "" => from.host.clone(),
                host => host.to_owned(),
            },
            port: port.parse().ok()?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// A parsed URL. Its debug output has no passwords.
#[derive(Debug)]
pub(super) struct StoreUrl {
    pub(super) uses_tls: bool,
    pub(super) topology: Topology,
}

/// The servers of a URL. Its debug output has no passwords.
#[derive(Debug)]
pub(super) enum Topology {
    Server {
        address: Address,
        settings: RedisConnectionInfo,
    },
    Sentinel {
        /// At least one.
        sentinels: Vec<Address>,
        /// The login for the sentinels.
        introduction: RedisConnectionInfo,
        /// The sentinels' name of the master.
        master: String,
        /// The login for the master.
        settings: RedisConnectionInfo,
    },
    Cluster {
        /// At least one node; the nodes know the others.
        nodes: Vec<Address>,
        settings: RedisConnectionInfo,
    },
}

/// Checks the form of a `redis://`, `redis+sentinel://` or `redis+cluster://` URL, or of one of them with TLS.
///
/// # Errors
///
/// Fails if it is not one; the reason repeats no secret.
pub fn check_url(url: &str) -> Result<(), OpenError> {
    StoreUrl::parse(url).map(drop)
}

/// Returns true if connections to this URL use TLS.
pub fn uses_tls(url: &str) -> bool {
    TLS_SCHEMES.iter().any(|scheme| {
        let rest = url.strip_prefix(scheme);
        rest.is_some_and(|rest| rest.starts_with("://"))
    })
}

impl StoreUrl {
    pub(super) fn parse(url: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| invalid("it does not begin with a scheme and ://"))?;
        let uses_tls = uses_tls(url);
        if uses_tls && rest.contains('#') {
            return Err(invalid(
                "# is not allowed: certificates are always checked (no #insecure), and # in a user or a password must be percent-encoded",
            ));
        }
        let topology = match scheme {
            "redis" | "rediss" => Topology::server(rest),
            "redis+sentinel" | "rediss+sentinel" => Topology::sentinel(rest),
            "redis+cluster" | "rediss+cluster" => Topology::cluster(rest),
            _ => Err(OpenError::Unsupported {
                scheme: scheme.to_owned(),
            }),
        };
        Ok(Self {
            uses_tls,
            topology: topology?,
        })
    }
}

impl Topology {
    fn server(rest: &str) -> Result<Self, OpenError> {
        let info = server(&format!("redis://{rest}"))?;
        let ConnectionAddr::Tcp(host, port) = info.addr() else {
            return Err(invalid("it names no host"));
        };
        Ok(Self::Server {
            address: Address {
                host: host.clone(),
                port: *port,
            },
            settings: info.redis_settings().clone(),
        })
    }

    fn sentinel(rest: &str) -> Result<Self, OpenError> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = user_and_hosts(authority);
        let (master, db) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(invalid(
                "the name of the master is missing: redis+sentinel://host,host/master",
            ));
        }
        // The same characters as in Sentinel itself.
        if !master
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        {
            return Err(invalid(
                "the name of the master can only hold letters, digits and ._-",
            ));
        }
        if !db.is_empty() && db.parse::<u16>().is_err() {
            return Err(invalid("the database is not a number"));
        }
        let mut introduction = RedisConnectionInfo::default().set_skip_set_lib_name();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            introduction = match name.as_ref() {
                "sentinel_user" => introduction.set_username(value),
                "sentinel_password" => introduction.set_password(value),
                _ => {
                    return Err(invalid(
                        "after the ? only sentinel_user and sentinel_password have a meaning",
                    ));
                }
            };
        }
        Ok(Self::Sentinel {
            sentinels: addresses(hosts, SENTINEL_PORT)?,
            introduction,
            master: master.to_owned(),
            settings: settings(user, db)?,
        })
    }

    fn cluster(rest: &str) -> Result<Self, OpenError> {
        let (authority, path) = rest.split_once(['/', '?']).unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err(invalid(
                "nothing follows the hosts of a cluster: it has no databases",
            ));
        }
        let (user, hosts) = user_and_hosts(authority);
        Ok(Self::Cluster {
            nodes: addresses(hosts, SERVER_PORT)?,
            settings: settings(user, "")?,
        })
    }
}

fn invalid(why: &str) -> OpenError {
    OpenError::Invalid {
        why: why.to_owned(),
    }
}

fn server(url: &str) -> Result<ConnectionInfo, OpenError> {
    url.into_connection_info().map_err(|error| {
        // Its detail may quote the URL and thus the password; its category does not.
        invalid(error.category())
    })
}

/// Splits a text after its last `@`.
fn user_and_hosts(authority: &str) -> (&str, &str) {
    authority.split_at(authority.rfind('@').map_or(0, |at| at + 1))
}

/// Parses user, password and database in the form of the URL of a single server.
fn settings(user: &str, db: &str) -> Result<RedisConnectionInfo, OpenError> {
    if user.contains(['/', '?', '#']) {
        return Err(invalid(
            "/, ? and # in a user or a password must be percent-encoded",
        ));
    }
    let info = server(&format!("redis://{user}host/{db}"))
        .map_err(|_| invalid("user and password are not of the form user:password@"))?;
    Ok(info.redis_settings().clone())
}

fn addresses(hosts: &str, port: u16) -> Result<Vec<Address>, OpenError> {
    let mut found: Vec<Address> = Vec::new();
    for (n, host) in hosts.split(',').enumerate() {
        let address = address(host, port).ok_or_else(|| OpenError::Invalid {
            why: format!("host {} is not of the form host or host:port", n + 1),
        })?;
        if !found.contains(&address) {
            found.push(address);
        }
    }
    Ok(found)
}

fn address(text: &str, port: u16) -> Option<Address> {
    if text.contains(['/', '?', '#', '@', '%']) {
        return None;
    }
    let url = Url::parse(&format!("redis://{text}")).ok()?;
    let host = match url.host()? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    (!host.is_empty()).then(|| Address {
        host,
        port: url.port().unwrap_or(port),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(url: &str) -> String {
        let error = StoreUrl::parse(url).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("geheim"), "{shown}");
        error.to_string()
    }

    fn shown(addresses: &[Address]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn sentinels_have_a_master_and_a_password_of_their_own() {
        let url = "redis+sentinel://ann:ge%2Fheim@h1,[::1]:7,10.0.0.1:8,h1/m-1/3?sentinel_password=auch%20geheim";
        let StoreUrl { uses_tls, topology } = StoreUrl::parse(url).unwrap();
        assert!(!uses_tls);
        let debug = format!("{topology:?}");
        assert!(!debug.contains("heim"), "{debug}");
        let Topology::Sentinel {
            sentinels,
            introduction,
            master,
            settings,
        } = topology
        else {
            panic!("{debug}");
        };
        assert_eq!(shown(&sentinels), ["h1:26379", "[::1]:7", "10.0.0.1:8"]);
        assert_eq!(introduction.password(), Some("auch geheim"));
        assert_eq!(introduction.username(), None);
        assert_eq!((master.as_str(), settings.db()), ("m-1", 3));
        assert_eq!(settings.username(), Some("ann"));
        assert_eq!(settings.password(), Some("ge/heim"));
    }

    #[test]
    fn cluster_url_has_nodes() {
        let StoreUrl { topology, .. } = StoreUrl::parse("redis+cluster://:p@h1,h2:7").unwrap();
        let Topology::Cluster { nodes, settings } = topology else {
            panic!("{topology:?}");
        };
        assert_eq!(shown(&nodes), ["h1:6379", "h2:7"]);
        assert_eq!(settings.password(), Some("p"));
    }

    #[test]
    fn url_errors_hide_password() {
        for (url, part) in [
            (
                "redis+sentinel://:geheim@h1,h2",
                "name of the master is missing",
            ),
            (
                "redis+sentinel://:geheim@h1,h2/",
                "name of the master is missing",
            ),
            (
                "redis+sentinel://:geheim@h1,h2/a b",
                "name of the master can",
            ),
            (
                "redis+sentinel://:geheim@h1,h2/m/x",
                "database is not a number",
            ),
            ("redis+sentinel://:geheim@h1,/m", "host 2 is not"),
            ("redis+sentinel://:geheim@h1:x/m", "host 1 is not"),
            ("redis+sentinel://h1/m?password=geheim", "after the ?"),
            ("redis+cluster://", "host 1 is not"),
            ("redis+cluster://:geheim@h1,h2/0", "nothing follows"),
            ("redis+cluster://:geheim@h1?x", "nothing follows"),
            ("redis+cluster://:geheim/x@h1", "nothing follows"),
            ("redis+cluster://:geheim#x@h1", "percent-encoded"),
            ("rediss://:geheim@h1/#insecure", "no #insecure"),
            ("rediss+sentinel://:geheim@h1/m#insecure", "no #insecure"),
            ("rediss+cluster://:geheim@h1#insecure", "no #insecure"),
            ("rediss+cluster://:geheim#x@h1", "percent-encoded"),
            ("rediss://:geheim@h1/x", "invalid client config"),
            (
                "rediss+sentinel://:geheim@h1,h2",
                "name of the master is missing",
            ),
            ("rediss+x://:geheim@h1/", "rediss+x: is not supported"),
            ("redis", "does not begin"),
        ] {
            let why = why(url);
            assert!(why.contains(part), "{url}: {why}");
        }
    }

    #[test]
    fn schemes_with_tls_have_same_topology() {
        for (plain, port) in [
            ("redis://ann:ge%2Fheim@h1/3", ":6379"),
            ("redis://ann:ge%2Fheim@[::1]:7/3", ":7"),
            ("redis+sentinel://ann:ge%2Fheim@h1/m/3", ":26379"),
            ("redis+cluster://ann:ge%2Fheim@h1", ":6379"),
        ] {
            let with_tls = plain.replacen("redis", "rediss", 1);
            assert!(uses_tls(&with_tls) && !uses_tls(plain), "{plain}");
            let [plain, tls] = [plain, &with_tls].map(|url| StoreUrl::parse(url).unwrap());
            assert!(tls.uses_tls && !plain.uses_tls);
            assert_eq!(
                format!("{:?}", tls.topology),
                format!("{:?}", plain.topology)
            );
            let (address, settings) = match tls.topology {
                Topology::Server { address, settings } => (address, settings),
                Topology::Sentinel {
                    sentinels,
                    settings,
                    ..
                } => (sentinels[0].clone(), settings),
                Topology::Cluster { nodes, settings } => (nodes[0].clone(), settings),
            };
            assert!(address.to_string().ends_with(port), "{address}");
            assert_eq!(settings.password(), Some("ge/heim"));
        }
    }

    #[test]
    fn redirect_contains_host_or_only_port() {
        let from = Address {
            host: "h1".to_owned(),
            port: 1,
        };
        for (text, expected) in [
            ("10.0.0.1:7", Some("10.0.0.1:7")),
            ("::1:7", Some("[::1]:7")),
            (":7", Some("h1:7")),
            ("h2", None),
            ("h2:x", None),
        ] {
            let found = Address::from_redirect(text, &from).map(|a| a.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
