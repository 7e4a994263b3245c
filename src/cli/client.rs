//! Asking a running controller over HTTP: the API as one of its apps, or the admin listener as its operator.
//!
//! Owns the credentials, how an answer is told from a failure, pages, and what a failure's exit code is. Leaves out what
//! is asked.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::ProgressBar;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::{Host, Url};

use super::arguments::AdminListener;
use crate::{admin_key, tls};

/// `EX_UNAVAILABLE` of sysexits.h: nobody answers, or somebody else.
pub const UNAVAILABLE: u8 = 69;

/// `EX_NOPERM`: the key is missing or wrong.
pub const NO_PERMISSION: u8 = 77;

/// Both listeners answer within the store's timeout and FreeSWITCH's.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often one page is asked for again where the controller says to wait, and how long it may say.
const TRIES: usize = 10;
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// Which listener is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Listener {
    Api,
    Admin,
}

impl Listener {
    const fn key(self) -> &'static str {
        match self {
            Self::Api => "listen",
            Self::Admin => "admin_listen",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Api => "API",
            Self::Admin => "admin listener",
        }
    }

    const fn credentials(self) -> &'static str {
        match self {
            Self::Api => {
                "give the app with --app or ROOMKEEPER_APP, and its key with --key or ROOMKEEPER_KEY"
            }
            Self::Admin => {
                "give the admin key with --admin-key or ROOMKEEPER_ADMIN_KEY, or its file with --admin-key-file"
            }
        }
    }
}

/// Why a controller did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered at this address.
    #[error("nobody answers at {url}: is the controller running, and is this its {listener}?")]
    Unreachable {
        /// Which.
        url: String,
        /// What it should be.
        listener: &'static str,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The key is missing or wrong.
    #[error("{error}: {hint}")]
    Unauthorized {
        /// In the controller's words.
        error: String,
        /// How to give one.
        hint: &'static str,
    },
    /// The controller refused.
    #[error("{error} ({status})")]
    Refused {
        /// With this status.
        status: StatusCode,
        /// In these words.
        error: String,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// The answer is not one of a controller.
    #[error("{url} does not answer as Roomkeeper's {what} does ({status})")]
    NotOurs {
        /// Which.
        url: String,
        /// What it should be.
        what: &'static str,
        /// What it answered.
        status: StatusCode,
    },
    /// The file with the key could not be read.
    #[error("cannot read the admin key in {path}")]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No client could be made.
    #[error("no HTTP client can be made")]
    NoClient(#[source] reqwest::Error),
}

impl ClientError {
    /// What the process ends with, after sysexits.h.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::NoClient(_) => 1,
            Self::Unreachable { .. } | Self::NotOurs { .. } => UNAVAILABLE,
            Self::Unauthorized { .. } | Self::KeyFile { .. } => NO_PERMISSION,
        }
    }

    /// The status of a refusal.
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unauthorized { .. } => Some(StatusCode::UNAUTHORIZED),
            Self::Unreachable { .. }
            | Self::NotOurs { .. }
            | Self::KeyFile { .. }
            | Self::NoClient(_) => None,
        }
    }
}

fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// A listener of a running controller.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    listener: Listener,
    credentials: HeaderMap,
}

impl Client {
    /// The API at this URL, as this app.
    ///
    /// # Errors
    /// When no client can be made, or what was given cannot be a key.
    pub fn api(
        base: Url,
        app: Option<&str>,
        key: Option<&SecretString>,
    ) -> Result<Self, ClientError> {
        let key = key.map(ExposeSecret::expose_secret);
        Self::new(base, Listener::Api, [("x-app-id", app), ("x-api-key", key)])
    }

    /// The admin listener. Without a key or its file, the key that a controller of this user has made.
    ///
    /// # Errors
    /// As for [`Client::api`], and when the file that was named cannot be read.
    pub fn admin(listener: AdminListener) -> Result<Self, ClientError> {
        let base = listener.admin;
        let found = match (listener.admin_key, listener.admin_key_file) {
            (Some(key), _) => Some(key),
            (None, Some(path)) => Some(
                admin_key::load(&path).map_err(|source| ClientError::KeyFile { path, source })?,
            ),
            // A key of this machine is for this machine.
            (None, None) if is_loopback(&base) => admin_key::find(|name| std::env::var_os(name)),
            (None, None) => None,
        };
        let key = found.as_ref().map(ExposeSecret::expose_secret);
        Self::new(base, Listener::Admin, [("x-admin-api-key", key)])
    }

    fn new<const N: usize>(
        base: Url,
        listener: Listener,
        given: [(&'static str, Option<&str>); N],
    ) -> Result<Self, ClientError> {
        let mut credentials = HeaderMap::new();
        for (name, value) in given {
            let Some(value) = value else { continue };
            let mut value =
                HeaderValue::from_str(value).map_err(|_| ClientError::Unauthorized {
                    error: "what was given has characters that no key has".to_owned(),
                    hint: listener.credentials(),
                })?;
            value.set_sensitive(true);
            credentials.insert(HeaderName::from_static(name), value);
        }
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(PATIENCE)
                // The key is for this address and no other.
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
        };
        // One that trusts nobody says so when https is asked for.
        let (http, _) = tls::client(builder).map_err(ClientError::NoClient)?;
        Ok(Self {
            http,
            base,
            listener,
            credentials,
        })
    }

    /// Whom it asks, as people may see it.
    pub fn shown(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// `GET`, with these parameters; the answer as it was given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        let answer = self.send(Method::GET, path, query, &[], None, Some(PATIENCE));
        self.json(answer.await?).await
    }

    /// `GET` of something that is text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.send(Method::GET, path, &[], &[], None, Some(PATIENCE));
        let answer = answer.await?;
        let status = answer.status();
        if status.is_success() {
            return answer.text().await.map_err(|e| self.failed(e));
        }
        match self.json(answer).await {
            Err(error) => Err(error),
            Ok(_) => Err(self.not_ours(status)),
        }
    }

    /// `POST`, with this body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let answer = self.send(Method::POST, path, &[], &[], body, Some(PATIENCE));
        self.json(answer.await?).await
    }

    /// `DELETE`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        let answer = self.send(Method::DELETE, path, &[], &[], None, Some(PATIENCE));
        self.json(answer.await?).await
    }

    /// `GET` of something that goes on: what has begun, to be read as it comes.
    ///
    /// # Errors
    /// [`ClientError`], also where it begins with anything but 200.
    pub async fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Response, ClientError> {
        let begun = self.send(Method::GET, path, query, headers, None, None);
        let answer = tokio::time::timeout(PATIENCE, begun)
            .await
            .map_err(|elapsed| self.unreachable(Box::new(elapsed)))??;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status();
        match self.json(answer).await {
            Err(error) => Err(error),
            Ok(_) => Err(self.not_ours(status)),
        }
    }

    /// A list to its end, all of its pages in one: `{<list>: […]}` and what else stood in the first, without its cursor.
    /// Where the controller says to wait, that is done.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn all(
        &self,
        path: &str,
        list: &str,
        limit: u32,
        progress: &ProgressBar,
    ) -> Result<Value, ClientError> {
        let limit = limit.to_string();
        let mut rows: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        let mut whole: Option<Map<String, Value>> = None;
        loop {
            let mut query = vec![("limit", limit.as_str())];
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = self.get_patiently(path, &query, progress).await?;
            let (Some(more), Some(next)) = (page[list].as_array(), page["cursor"].as_str()) else {
                return Err(self.not_ours(StatusCode::OK));
            };
            rows.extend(more.iter().cloned());
            progress.set_message(format!("{list}: {}", rows.len()));
            let next = next.to_owned();
            if !next.is_empty() && next == cursor {
                // It would never end.
                return Err(self.not_ours(StatusCode::OK));
            }
            let stale = page["stale"] == true;
            if whole.is_none() {
                whole = page.as_object().cloned();
            }
            if let Some(whole) = &mut whole
                && stale
            {
                whole.insert("stale".to_owned(), true.into());
            }
            cursor = next;
            if cursor.is_empty() {
                break;
            }
        }
        let mut whole = whole.unwrap_or_default();
        whole.remove("cursor");
        whole.insert(list.to_owned(), rows.into());
        Ok(whole.into())
    }

    async fn get_patiently(
        &self,
        path: &str,
        query: &[(&str, &str)],
        progress: &ProgressBar,
    ) -> Result<Value, ClientError> {
        let mut tries = 1;
        loop {
            match self.get(path, query).await {
                Err(ClientError::Refused {
                    status: StatusCode::TOO_MANY_REQUESTS,
                    retry_after: Some(wait),
                    ..
                }) if tries < TRIES && wait <= LONGEST_WAIT => {
                    progress.println(format!("too many requests: waiting for {wait:.0?}"));
                    tries += 1;
                    tokio::time::sleep(wait).await;
                }
                answer => return answer,
            }
        }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
        patience: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let mut url = Url::parse(&url).map_err(|_| self.not_ours(StatusCode::NOT_FOUND))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .http
            .request(method, url)
            .headers(self.credentials.clone());
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body.to_string());
        }
        request.send().await.map_err(|e| self.failed(e))
    }

    async fn json(&self, answer: Response) -> Result<Value, ClientError> {
        let status = answer.status();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let bytes = answer.bytes().await.map_err(|e| self.failed(e))?;
        let json: Option<Value> = serde_json::from_slice(&bytes).ok();
        let error = json.as_ref().and_then(|json| json["error"].as_str());
        match (json.as_ref(), error) {
            (Some(_), Some(error)) if status == StatusCode::UNAUTHORIZED => {
                Err(ClientError::Unauthorized {
                    error: error.to_owned(),
                    hint: self.listener.credentials(),
                })
            }
            (Some(_), Some(error)) => Err(ClientError::Refused {
                status,
                error: error.to_owned(),
                retry_after,
            }),
            (Some(json), None) if status.is_success() => Ok(json.clone()),
            (Some(_) | None, _) => Err(self.not_ours(status)),
        }
    }

    fn failed(&self, error: reqwest::Error) -> ClientError {
        self.unreachable(Box::new(error.without_url()))
    }

    fn unreachable(&self, source: Box<dyn Error + Send + Sync>) -> ClientError {
        ClientError::Unreachable {
            url: self.shown(),
            listener: self.listener.key(),
            source,
        }
    }

    fn not_ours(&self, status: StatusCode) -> ClientError {
        ClientError::NotOurs {
            url: self.shown(),
            what: self.listener.name(),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_of_this_machine_is_sent_to_this_machine_only() {
        let is_sent = |url: &str| is_loopback(&url.parse().unwrap());
        for here in [
            "http://127.0.0.1:9090",
            "http://127.0.0.2",
            "http://[::1]:9090",
            "http://localhost:9090",
        ] {
            assert!(is_sent(here), "{here}");
        }
        for elsewhere in [
            "http://10.0.0.1:9090",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "https://localhost.example.com",
        ] {
            assert!(!is_sent(elsewhere), "{elsewhere}");
        }
    }
}
