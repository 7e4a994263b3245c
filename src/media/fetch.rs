//! One fetch of a file from its server, within limits.
//!
//! Owns the HTTP client, the redirects and the limits. Servers are not trusted: time and bytes are limited, and a
//! redirect leads only to URLs that a caller could name. The client connects to the addresses that the guard returned
//! and resolves no name a second time.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Client, Response, StatusCode, redirect};
use sha2::{Digest, Sha256};
use url::Url;

use super::cache::{Cache, StoredFile};
use super::fetch_error::FetchError;
use super::rules::PlayRules;
use crate::telemetry::Chain;
use crate::tls;
use crate::webhook::guard::{GuardedResolver, Lookup};
use roomkeeper_core::play_url::PlayUrl;

/// The limits of time and space of a fetch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchLimits {
    /// The time for a connection, including TLS.
    pub connect: Duration,
    /// The time for everything, including redirects and body. FreeSWITCH has 30 s to open a file.
    pub time: Duration,
    /// The largest file, in bytes.
    pub file: u64,
    /// The maximum number of redirects.
    pub redirects: usize,
}

impl Default for FetchLimits {
    /// 3 s, 20 s, 32 MiB, 5.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            time: Duration::from_secs(20),
            file: 32 << 20,
            redirects: 5,
        }
    }
}

/// The HTTP client cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the HTTP client of the media proxy")]
pub struct FetcherError(#[source] reqwest::Error);

/// Fetches files. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Fetcher {
    client: Client,
    rules: PlayRules,
    limits: FetchLimits,
}

impl Fetcher {
    /// Creates a client with these rules, limits and name lookup.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(
        rules: PlayRules,
        limits: FetchLimits,
        lookup: &Lookup,
    ) -> Result<Self, FetcherError> {
        let resolver = GuardedResolver::with_lookup(rules.policy(), Arc::clone(lookup));
        let builder = || {
            Client::builder()
                .user_agent(concat!("Roomkeeper/", env!("CARGO_PKG_VERSION")))
                // This module checks each redirect before it follows.
                .redirect(redirect::Policy::none())
                // A proxy would resolve names and connect without the guard.
                .no_proxy()
                .dns_resolver(Arc::new(resolver.clone()))
                .connect_timeout(limits.connect)
                .pool_max_idle_per_host(2)
                .pool_idle_timeout(Duration::from_secs(10))
        };
        let (client, no_authorities) = tls::client(builder).map_err(FetcherError)?;
        if let Some(error) = no_authorities {
            tracing::warn!(
                error = %Chain(&error),
                "CA certificates cannot be loaded from this system: no file can be played from https"
            );
        }
        Ok(Self {
            client,
            rules,
            limits,
        })
    }

    /// Fetches a file into the cache's space.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch(&self, url: &PlayUrl, cache: &Cache) -> Result<StoredFile, FetchError> {
        let fetched = tokio::time::timeout(self.limits.time, async {
            let response = self.follow(url).await?;
            self.store(response, cache).await
        });
        fetched.await.unwrap_or(Err(FetchError::Timeout))
    }

    /// Follows redirects and returns the final response.
    async fn follow(&self, url: &PlayUrl) -> Result<Response, FetchError> {
        let mut url =
            Url::parse(url.as_str()).map_err(|error| FetchError::Failed(error.to_string()))?;
        for _ in 0..=self.limits.redirects {
            // A host that is an address is never resolved, so the guard does not see it.
            self.rules.check_url(&url).map_err(FetchError::Forbidden)?;
            let response = self.client.get(url.clone()).send().await?;
            let Some(location) = location(&response) else {
                return match response.status() {
                    StatusCode::OK => Ok(response),
                    StatusCode::NOT_FOUND | StatusCode::GONE => Err(FetchError::NotFound),
                    other => Err(FetchError::Status(other.as_u16())),
                };
            };
            url = url
                .join(&location)
                .map_err(|_| FetchError::Forbidden("a redirect has an invalid URL".to_owned()))?;
        }
        Err(FetchError::Redirects)
    }

    async fn store(&self, mut response: Response, cache: &Cache) -> Result<StoredFile, FetchError> {
        if response
            .content_length()
            .is_some_and(|length| length > self.limits.file)
        {
            return Err(FetchError::TooLarge);
        }
        let content_type = content_type(response.headers());
        let max_age = max_age(response.headers());
        let mut space = cache.space();
        let mut digest = Sha256::new();
        let mut length = 0;
        let mut file = blocking(tempfile::tempfile).await?;
        while let Some(chunk) = response.chunk().await? {
            let bytes = chunk.len() as u64;
            length += bytes;
            if length > self.limits.file {
                return Err(FetchError::TooLarge);
            }
            if !cache.grow(&mut space, bytes) {
                return Err(FetchError::Full);
            }
            digest.update(&chunk);
            file = blocking(move || file.write_all(&chunk).map(|()| file)).await?;
        }
        let digest: String = digest.finalize()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Ok(StoredFile {
            file,
            length,
            content_type,
            etag: format!("\"{digest}\""),
            max_age,
            space,
        })
    }
}

/// Runs disk I/O on a blocking thread.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

fn location(response: &Response) -> Option<String> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// Returns the audio type. If the URL has no extension, FreeSWITCH derives the file's extension from the type, so all
/// other types are replaced.
fn content_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| {
            let essence = value.split(';').next().unwrap_or_default();
            essence.trim().to_ascii_lowercase()
        })
        .filter(|essence| {
            let is_sound = essence.starts_with("audio/")
                || essence.starts_with("video/")
                || essence == "application/ogg";
            let is_token = |b: u8| b.is_ascii_alphanumeric() || b"/-+.".contains(&b);
            is_sound && essence.matches('/').count() == 1 && essence.bytes().all(is_token)
        })
        .unwrap_or_else(|| "application/octet-stream".to_owned())
}

/// The cache lifetime that the server allows; unlimited if it sends none.
fn max_age(headers: &HeaderMap) -> Duration {
    let mut longest = Duration::MAX;
    for value in headers.get_all(CACHE_CONTROL) {
        let text = value.to_str().unwrap_or_default().to_ascii_lowercase();
        for directive in text.split(',').map(str::trim) {
            if matches!(directive, "no-store" | "no-cache") {
                longest = Duration::ZERO;
            } else if let Some(seconds) = directive.strip_prefix("max-age=") {
                let seconds = seconds.trim_matches('"').parse().unwrap_or(0);
                longest = longest.min(Duration::from_secs(seconds));
            }
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(name: reqwest::header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_audio_content_types_pass() {
        for (given, passed) in [
            ("audio/mpeg", "audio/mpeg"),
            ("Audio/X-Wav; charset=binary", "audio/x-wav"),
            ("application/ogg", "application/ogg"),
            ("text/html", "application/octet-stream"),
            ("audio/../x", "application/octet-stream"),
            ("audio/a b", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(content_type(&headers(CONTENT_TYPE, given)), passed);
        }
    }

    #[test]
    fn max_age_is_the_shortest_of_the_directives() {
        for (given, seconds) in [
            ("max-age=60", Some(60)),
            ("public, max-age=60, no-cache", Some(0)),
            ("no-store", Some(0)),
            ("max-age=never", Some(0)),
            ("public", None),
        ] {
            let expected = seconds.map_or(Duration::MAX, Duration::from_secs);
            assert_eq!(max_age(&headers(CACHE_CONTROL, given)), expected, "{given}");
        }
    }
}
