//! The listener that FreeSWITCH fetches audio from.
//!
//! Owns the responses, the limits on concurrent fetches, metrics and logs. Leaves out the fetch itself.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::cache::{Cache, CacheEntry, Outcome, StoredFile, Ticket};
use super::fetch::{Fetcher, blocking};
use super::fetch_error::FetchError;
use super::link::Links;
use crate::clock;
use crate::telemetry as names;
use roomkeeper_core::play_url::PlayUrl;

/// The size of the pieces in which a file is read and sent.
const PIECE: usize = 64 * 1024;

/// The limits of the proxy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyLimits {
    /// The bytes on disk of cached files and running fetches.
    pub bytes: u64,
    /// The number of cached files.
    pub files: usize,
    /// The number of concurrent fetches.
    pub fetches: usize,
    /// The number of concurrent fetches from one host, so that a host that hangs leaves permits to the others.
    pub fetches_from_host: usize,
}

impl Default for ProxyLimits {
    /// 512 MiB, 512, 256 and 8. A fetch costs a socket and an open file, a cached file costs an open file.
    fn default() -> Self {
        Self {
            bytes: 512 << 20,
            files: 512,
            fetches: 256,
            fetches_from_host: 8,
        }
    }
}

/// Fetches, caches and serves files.
#[derive(Debug)]
pub struct Proxy {
    links: Links,
    fetcher: Fetcher,
    cache: Cache,
    permits: Arc<Semaphore>,
    hosts: Mutex<HashMap<String, usize>>,
    limits: ProxyLimits,
}

impl Proxy {
    /// Creates a proxy with an empty cache.
    pub fn new(links: Links, fetcher: Fetcher, limits: ProxyLimits) -> Self {
        Self {
            links,
            fetcher,
            cache: Cache::new(limits.bytes, limits.files),
            permits: Arc::new(Semaphore::new(limits.fetches)),
            hosts: Mutex::default(),
            limits,
        }
    }

    /// Returns the file at this URL, and whether it came from the cache.
    async fn file(self: &Arc<Self>, url: &PlayUrl) -> (Outcome, bool) {
        let mut outcome = match self.cache.find(url) {
            CacheEntry::Ready(file) => return (Ok(file), true),
            CacheEntry::Fetching(outcome) => outcome,
            CacheEntry::Missing(ticket) => {
                let outcome = ticket.outcome();
                match FetchPermit::acquire(self, url.host()) {
                    // In its own task, because others may wait for the file after this caller disconnects.
                    Some(permit) => {
                        tokio::spawn(Arc::clone(self).fetch(url.clone(), ticket, permit));
                    }
                    None => self.finish(url, ticket, Err(FetchError::Busy)),
                }
                outcome
            }
        };
        let outcome = match outcome.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone(),
            Err(_) => None,
        };
        let ended = || Err(FetchError::Failed("the fetch ended early".to_owned()));
        (outcome.unwrap_or_else(ended), false)
    }

    async fn fetch(self: Arc<Self>, url: PlayUrl, ticket: Ticket, permit: FetchPermit) {
        let outcome = self.fetcher.fetch(&url, &self.cache).await;
        drop(permit);
        self.finish(&url, ticket, outcome.map(Arc::new));
    }

    /// Counts and logs the outcome of a fetch, and wakes the waiting requests.
    fn finish(&self, url: &PlayUrl, ticket: Ticket, outcome: Outcome) {
        let label = match &outcome {
            Ok(file) => {
                metrics::counter!(names::MEDIA_FETCHED_BYTES).increment(file.length);
                "ok"
            }
            Err(error @ FetchError::Forbidden(_)) => {
                tracing::warn!(host = url.host(), %error, "a play URL leads to a forbidden address");
                error.as_str()
            }
            Err(error) => {
                tracing::info!(host = url.host(), %error, "cannot fetch a media file");
                error.as_str()
            }
        };
        metrics::counter!(names::MEDIA_FETCHES, "outcome" => label).increment(1);
        self.cache.finish(url, ticket, outcome);
        metrics::gauge!(names::MEDIA_STORED_BYTES).set(self.cache.used() as f64);
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, HashMap<String, usize>> {
        // No code that holds the lock panics.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit to fetch one file, released when dropped.
struct FetchPermit {
    proxy: Arc<Proxy>,
    host: String,
    _permit: OwnedSemaphorePermit,
}

impl FetchPermit {
    fn acquire(proxy: &Arc<Proxy>, host: &str) -> Option<Self> {
        let permit = Arc::clone(&proxy.permits).try_acquire_owned().ok()?;
        let mut hosts = proxy.hosts();
        let fetches = hosts.entry(host.to_owned()).or_default();
        if *fetches >= proxy.limits.fetches_from_host {
            return None;
        }
        *fetches += 1;
        drop(hosts);
        Some(Self {
            proxy: Arc::clone(proxy),
            host: host.to_owned(),
            _permit: permit,
        })
    }
}

impl Drop for FetchPermit {
    fn drop(&mut self) {
        let mut hosts = self.proxy.hosts();
        if let Some(fetches) = hosts.get_mut(&self.host) {
            *fetches -= 1;
            if *fetches == 0 {
                hosts.remove(&self.host);
            }
        }
    }
}

/// The routes of the listener.
pub fn router(proxy: Arc<Proxy>) -> Router {
    Router::new()
        // GET answers HEAD, too.
        .route("/media/{token}/{file}", get(serve))
        .with_state(proxy)
}

async fn serve(
    State(proxy): State<Arc<Proxy>>,
    Path((token, _)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let counted = |outcome: &'static str| {
        metrics::counter!(names::MEDIA_REQUESTS, "outcome" => outcome).increment(1);
    };
    let url = match proxy.links.open(&token, clock::now()) {
        Ok(url) => url,
        Err(error) => {
            counted("invalid_link");
            tracing::info!(%error, "request of the media proxy is refused");
            return refusal(StatusCode::FORBIDDEN, &error.to_string());
        }
    };
    match proxy.file(&url).await {
        (Ok(file), was_held) => {
            counted(if was_held { "held" } else { "fetched" });
            answer(file, &headers)
        }
        (Err(error), _) => {
            counted("failed");
            refusal(error.status(), error.as_str())
        }
    }
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, sealed(), why.to_owned()).into_response()
}

/// The headers of every response. With `no-store`, FreeSWITCH deletes the file after playing; a link is never played
/// twice.
fn sealed() -> [(HeaderName, &'static str); 2] {
    [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ]
}

fn answer(file: Arc<StoredFile>, request: &HeaderMap) -> Response {
    let has_it = request
        .get(IF_NONE_MATCH)
        .is_some_and(|known| known.as_bytes() == file.etag.as_bytes());
    if has_it {
        return (
            StatusCode::NOT_MODIFIED,
            sealed(),
            [(ETAG, file.etag.clone())],
        )
            .into_response();
    }
    let headers = [
        (CONTENT_TYPE, file.content_type.clone()),
        (CONTENT_LENGTH, file.length.to_string()),
        (ETAG, file.etag.clone()),
        (ACCEPT_RANGES, "none".to_owned()),
    ];
    let pieces = futures_util::stream::try_unfold((file, 0), |(file, offset)| async move {
        if offset >= file.length {
            return Ok::<_, io::Error>(None);
        }
        let (bytes, file) = blocking(move || Ok((file.read(offset, PIECE)?, file))).await?;
        let next = offset + bytes.len() as u64;
        Ok(Some((Bytes::from(bytes), (file, next))))
    });
    (sealed(), headers, Body::from_stream(pieces)).into_response()
}
