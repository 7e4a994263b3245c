//! Creates the media proxy from the configuration.

use std::sync::Arc;

use axum::Router;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::media::PlayRules;
use crate::media::fetch::{FetchLimits, Fetcher, FetcherError};
use crate::media::link::{LinkKey, Links};
use crate::media::proxy::{self, Proxy, ProxyLimits};
use crate::webhook::guard::system_lookup;

/// The number of largest files that the media proxy's space holds: twice as many as it fetches from one host.
const LARGEST_FILE: u64 = 16;

/// The links to the media proxy. Replicas must accept each other's links, so the key is derived from a secret that they
/// share and no tenant has: the nodes' passwords.
pub(super) fn media_links(config: &Config) -> Option<Links> {
    let proxy = config.play.proxy.as_ref()?;
    if config.nodes.is_empty() {
        // Nothing plays, and there is no secret to sign with.
        return None;
    }
    let mut digests: Vec<[u8; 32]> = config
        .nodes
        .iter()
        .map(|node| Sha256::digest(node.password.expose_secret()).into())
        .collect();
    digests.sort_unstable();
    let mut hash = Sha256::new_with_prefix(b"roomkeeper media links");
    for digest in digests {
        hash.update(digest);
    }
    Some(Links::new(
        proxy.url.clone(),
        LinkKey::new(hash.finalize().into()),
    ))
}

/// The routes of the media proxy.
pub(super) fn media_routes(config: &Config) -> Result<Router, FetcherError> {
    let Some((settings, links)) = config.play.proxy.as_ref().zip(media_links(config)) else {
        return Ok(Router::new());
    };
    let limits = FetchLimits {
        file: settings.bytes / LARGEST_FILE,
        ..FetchLimits::default()
    };
    let rules = PlayRules::configured(&config.play);
    let fetcher = Fetcher::new(rules, limits, &system_lookup())?;
    let limits = ProxyLimits {
        bytes: settings.bytes,
        ..ProxyLimits::default()
    };
    Ok(proxy::router(Arc::new(Proxy::new(links, fetcher, limits))))
}
