//! The rules for files that may be played.
//!
//! The API checks each URL by these rules. The media proxy checks the URL and every redirect again. Without the media
//! proxy, FreeSWITCH resolves names again and follows redirects unchecked: then these rules stop only URLs that name a
//! forbidden address directly, and the nodes need a firewall.

use std::collections::BTreeMap;
use std::time::Duration;

use url::{Host, Url};

use crate::config::PlayConfig;
use crate::webhook::guard::Policy;
use roomkeeper_core::play_url::PlayUrl;

/// The timeout for resolving names.
const RESOLVE: Duration = Duration::from_secs(2);

/// The rules for files that may be played.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlayRules {
    /// The allowed hosts, in lower case; all if empty.
    pub allow_hosts: Vec<String>,
    /// Allows private and loopback addresses.
    pub allow_private: bool,
}

impl PlayRules {
    /// Takes the rules from the configuration.
    pub fn configured(play: &PlayConfig) -> Self {
        Self {
            allow_hosts: play.allow_hosts.clone(),
            allow_private: play.allow_private,
        }
    }

    pub(super) const fn policy(&self) -> Policy {
        Policy {
            allow_http: true,
            allow_private: self.allow_private,
        }
    }

    /// Checks a URL without resolving its host.
    pub(super) fn check_url(&self, url: &Url) -> Result<(), String> {
        self.policy().check_url(url).map_err(|e| e.to_string())?;
        let host = url.host_str().unwrap_or_default();
        if !self.allow_hosts.is_empty() && !self.allow_hosts.iter().any(|allowed| allowed == host) {
            return Err(format!("{host} is not a host that may be played from"));
        }
        Ok(())
    }

    /// Checks a URL without resolving its host, and returns the name that must be resolved, if any.
    fn check(&self, url: &PlayUrl) -> Result<Option<String>, String> {
        let parsed = Url::parse(url.as_str()).map_err(|e| e.to_string())?;
        self.check_url(&parsed)?;
        Ok(match parsed.host() {
            Some(Host::Domain(name)) => Some(name.to_owned()),
            Some(Host::Ipv4(_) | Host::Ipv6(_)) | None => None,
        })
    }

    /// Returns the host names that must be resolved, each with the index of the first file that has it.
    ///
    /// # Errors
    /// The index of the first file that may not be played, and the reason.
    pub(crate) fn names<'a>(
        &self,
        urls: impl IntoIterator<Item = &'a PlayUrl>,
    ) -> Result<BTreeMap<String, usize>, (usize, String)> {
        let mut names = BTreeMap::new();
        for (index, url) in urls.into_iter().enumerate() {
            if let Some(name) = self.check(url).map_err(|why| (index, why))? {
                names.entry(name).or_insert(index);
            }
        }
        Ok(names)
    }

    /// Resolves all names concurrently.
    ///
    /// # Errors
    /// The index of a file whose host may not be called, and the reason.
    pub(crate) async fn resolve_all(
        &self,
        names: BTreeMap<String, usize>,
    ) -> Result<(), (usize, String)> {
        let looks = names.into_iter().map(|(name, index)| async move {
            self.resolve(&name).await.map_err(|why| (index, why))
        });
        futures_util::future::try_join_all(looks).await?;
        Ok(())
    }

    /// Checks that every address of a name is allowed, because FreeSWITCH may use any of them.
    async fn resolve(&self, name: &str) -> Result<(), String> {
        let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((name, 0)))
            .await
            .map_err(|_| format!("{name} was not resolved in time"))?
            .map_err(|_| format!("{name} cannot be resolved"))?;
        let mut any = false;
        for address in found {
            any = true;
            self.policy()
                .check_address(address.ip())
                .map_err(|_| format!("{name} has an address that may not be called"))?;
        }
        if any {
            Ok(())
        } else {
            Err(format!("{name} has no address"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &PlayRules, url: &str) -> Result<Option<String>, String> {
        rules.check(&PlayUrl::new(url).unwrap())
    }

    #[test]
    fn hosts() {
        let any = PlayRules::default();
        assert_eq!(check(&any, "http://1.1.1.1/a"), Ok(None));
        assert_eq!(
            check(&any, "https://cdn.example.com/a"),
            Ok(Some("cdn.example.com".to_owned()))
        );
        for inside in ["http://127.0.0.1/a", "http://10.0.0.1/a", "http://0x7f.1/a"] {
            assert!(check(&any, inside).is_err(), "{inside}");
        }
        let private = PlayRules {
            allow_private: true,
            ..PlayRules::default()
        };
        assert_eq!(check(&private, "http://127.0.0.1:9/a"), Ok(None));
        assert!(check(&private, "http://169.254.169.254/a").is_err());
        let listed = PlayRules {
            allow_hosts: vec!["cdn.example.com".to_owned(), "10.0.0.1".to_owned()],
            allow_private: false,
        };
        assert!(check(&listed, "http://CDN.example.com:81/a").is_ok());
        assert!(check(&listed, "http://example.com/a").is_err());
        assert!(
            check(&listed, "http://10.0.0.1/a").is_err(),
            "private still"
        );
    }

    #[tokio::test]
    async fn names() {
        let private = PlayRules {
            allow_private: true,
            ..PlayRules::default()
        };
        assert_eq!(private.resolve("localhost").await, Ok(()));
        assert!(PlayRules::default().resolve("localhost").await.is_err());
        assert!(private.resolve("nowhere.invalid").await.is_err());
    }
}
