//! The HTTP client for a running controller: its API on behalf of an app, or its admin listener on behalf of the
//! operator.
//!
//! Owns credentials, the distinction of responses and failures, pagination, and the exit codes of failures. Leaves out
//! the requests.

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

use crate::{admin_key, tls};

/// `EX_UNAVAILABLE` of sysexits.h: nothing answers, or something other than Roomkeeper.
pub const UNAVAILABLE: u8 = 69;

/// `EX_NOPERM`: the key is missing or wrong.
pub const NO_PERMISSION: u8 = 77;

/// The timeout of a request: longer than the store's and FreeSWITCH's timeouts, within which both listeners respond.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The maximum number of requests for one page when the controller sends `Retry-After`.
const MAX_TRIES: usize = 10;

/// The longest `Retry-After` that is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);

/// The listener that a client talks to.
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
                "give the app with --app or ROOMKEEPER_APP, and its key with --key or ROOMKEEPER_KEY, or choose a context"
            }
            Self::Admin => {
                "give the admin key with --admin-key or ROOMKEEPER_ADMIN_KEY, its file with --admin-key-file, or choose a context"
            }
        }
    }
}

/// The failure of a request to a controller.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No response from this address.
    #[error("no response from {url}: is the controller running, and is this its {listener}?")]
    Unreachable {
        /// The address.
        url: String,
        /// The configuration key of the expected listener.
        listener: &'static str,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The key is missing or wrong.
    #[error("{error}: {hint}")]
    Unauthorized {
        /// The controller's error.
        error: String,
        /// How to pass a key.
        hint: &'static str,
    },
    /// The controller refused the request.
    #[error("{error} ({status}){}", later(.retry_after))]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The controller's error.
        error: String,
        /// The time after which to retry.
        retry_after: Option<Duration>,
    },
    /// The response is not from Roomkeeper.
    #[error("the response of {url} is not from Roomkeeper's {what} ({status})")]
    NotRoomkeeper {
        /// The address.
        url: String,
        /// The name of the expected listener.
        what: &'static str,
        /// The HTTP status of the response.
        status: StatusCode,
    },
    /// The file with the key could not be read.
    #[error("cannot read the admin key in {path}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The HTTP client could not be created.
    #[error("cannot create an HTTP client")]
    NoClient(#[source] reqwest::Error),
}

impl ClientError {
    /// The exit code of the process, after sysexits.h.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Refused { .. } | Self::NoClient(_) => 1,
            Self::Unreachable { .. } | Self::NotRoomkeeper { .. } => UNAVAILABLE,
            Self::Unauthorized { .. } | Self::KeyFile { .. } => NO_PERMISSION,
        }
    }

    /// The HTTP status of a refusal.
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unauthorized { .. } => Some(StatusCode::UNAUTHORIZED),
            Self::Unreachable { .. }
            | Self::NotRoomkeeper { .. }
            | Self::KeyFile { .. }
            | Self::NoClient(_) => None,
        }
    }
}

/// The part of a message that names the time to retry.
fn later(retry_after: &Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| {
        format!("; try again in {} s", wait.as_secs().max(1))
    })
}

fn is_loopback(base: &Url) -> bool {
    match base.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The admin listener and its key.
#[derive(Debug)]
pub struct AdminAccess {
    /// The listener.
    pub listener: Url,
    /// The key.
    pub key: Option<SecretString>,
    /// A file with the key, which is read without a key.
    pub key_file: Option<PathBuf>,
}

/// The pages of a list to fetch.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    /// The path of the list.
    pub path: &'a str,
    /// The field with the rows.
    pub list: &'a str,
    /// The number of rows of a page.
    pub page: u32,
    /// Further parameters.
    pub query: &'a [(&'a str, &'a str)],
    /// The maximum number of rows of all pages.
    pub most: usize,
}

impl Default for Pages<'_> {
    fn default() -> Self {
        Self {
            path: "",
            list: "",
            page: 200,
            query: &[],
            most: usize::MAX,
        }
    }
}

/// A client of one listener of a running controller.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    listener: Listener,
    credentials: HeaderMap,
}

impl Client {
    /// Creates a client of the API at this URL for an app.
    ///
    /// # Errors
    /// If the client cannot be created, or the app or key has invalid characters.
    pub fn api(
        base: Url,
        app: Option<&str>,
        key: Option<&SecretString>,
    ) -> Result<Self, ClientError> {
        let key = key.map(ExposeSecret::expose_secret);
        Self::new(base, Listener::Api, [("x-app-id", app), ("x-api-key", key)])
    }

    /// Creates a client of the admin listener. Without a key or file it uses the key that this user's controller
    /// generated.
    ///
    /// # Errors
    /// As for [`Client::api`], and if the key file cannot be read.
    pub fn admin(access: AdminAccess) -> Result<Self, ClientError> {
        let base = access.listener;
        let found = match (access.key, access.key_file) {
            (Some(key), _) => Some(key),
            (None, Some(path)) => Some(
                admin_key::load(&path).map_err(|source| ClientError::KeyFile { path, source })?,
            ),
            // The generated key of this machine is never sent to another one.
            (None, None) if is_loopback(&base) => admin_key::find(|name| std::env::var_os(name)),
            (None, None) => None,
        };
        let key = found.as_ref().map(ExposeSecret::expose_secret);
        Self::new(base, Listener::Admin, [("x-admin-api-key", key)])
    }

    fn new<const N: usize>(
        base: Url,
        listener: Listener,
        headers: [(&'static str, Option<&str>); N],
    ) -> Result<Self, ClientError> {
        let mut credentials = HeaderMap::new();
        for (name, value) in headers {
            let Some(value) = value else { continue };
            let mut value =
                HeaderValue::from_str(value).map_err(|_| ClientError::Unauthorized {
                    error: "the app or key has characters that no header can contain".to_owned(),
                    hint: listener.credentials(),
                })?;
            value.set_sensitive(true);
            credentials.insert(HeaderName::from_static(name), value);
        }
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(REQUEST_TIMEOUT)
                // The key is for this address only.
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
        };
        // Without CA certificates the client fails only on https.
        let (http, _) = tls::client(builder).map_err(ClientError::NoClient)?;
        Ok(Self {
            http,
            base,
            listener,
            credentials,
        })
    }

    /// The listener's origin, without credentials.
    pub fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// Sends a `GET` with these parameters and returns the JSON response.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        let answer = self.send(Method::GET, path, query, &[], None, Some(REQUEST_TIMEOUT));
        self.json(answer.await?).await
    }

    /// Sends a `GET` and returns the response as text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn text(&self, path: &str) -> Result<String, ClientError> {
        let answer = self.send(Method::GET, path, &[], &[], None, Some(REQUEST_TIMEOUT));
        let answer = answer.await?;
        let status = answer.status();
        if status.is_success() {
            return answer.text().await.map_err(|e| self.failed(e));
        }
        match self.json(answer).await {
            Err(error) => Err(error),
            Ok(_) => Err(self.not_roomkeeper(status)),
        }
    }

    /// Sends a `POST` with this body.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn post(&self, path: &str, body: Option<&Value>) -> Result<Value, ClientError> {
        let answer = self.send(Method::POST, path, &[], &[], body, Some(REQUEST_TIMEOUT));
        self.json(answer.await?).await
    }

    /// Sends a request with these parameters and this body, and returns the JSON response.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let answer = self.send(method, path, query, &[], body, Some(REQUEST_TIMEOUT));
        self.json(answer.await?).await
    }

    /// Sends a `GET` for a stream and returns the response before its body.
    ///
    /// # Errors
    /// [`ClientError`], also for any status other than 200.
    pub async fn stream(
        &self,
        path: &str,
        query: &[(&str, &str)],
        headers: &[(&'static str, &str)],
    ) -> Result<Response, ClientError> {
        let response = self.send(Method::GET, path, query, headers, None, None);
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, response)
            .await
            .map_err(|elapsed| self.unreachable(Box::new(elapsed)))??;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status();
        match self.json(answer).await {
            Err(error) => Err(error),
            Ok(_) => Err(self.not_roomkeeper(status)),
        }
    }

    /// Fetches all pages of a list as one: `{<list>: […]}` with the other fields of the first page, without the cursor.
    /// Obeys `Retry-After`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_all(
        &self,
        path: &str,
        list: &str,
        limit: u32,
        progress: &ProgressBar,
    ) -> Result<Value, ClientError> {
        let pages = Pages {
            path,
            list,
            page: limit,
            ..Pages::default()
        };
        self.get_pages(pages, progress).await
    }

    /// Fetches the pages of a list until it has enough rows, as [`Client::get_all`].
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn get_pages(
        &self,
        pages: Pages<'_>,
        progress: &ProgressBar,
    ) -> Result<Value, ClientError> {
        let Pages {
            path,
            list,
            page: limit,
            query: filter,
            most,
        } = pages;
        let limit = limit.to_string();
        let mut rows: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        let mut document: Option<Map<String, Value>> = None;
        loop {
            let mut query = vec![("limit", limit.as_str())];
            query.extend_from_slice(filter);
            if !cursor.is_empty() {
                query.push(("cursor", &cursor));
            }
            let page = self.get_with_retries(path, &query, progress).await?;
            let (more, next) = match (&page[list], &page["cursor"]) {
                (Value::Array(more), Value::String(next)) => (more, next.as_str()),
                (Value::Array(more), Value::Null) => (more, ""),
                (_, _) => return Err(self.not_roomkeeper(StatusCode::OK)),
            };
            rows.extend(more.iter().cloned());
            progress.set_message(format!("{list}: {}", rows.len()));
            let next = next.to_owned();
            if !next.is_empty() && next == cursor {
                // The same cursor again would repeat the page forever.
                return Err(self.not_roomkeeper(StatusCode::OK));
            }
            let stale = page["stale"] == true;
            if document.is_none() {
                document = page.as_object().cloned();
            }
            if let Some(document) = &mut document
                && stale
            {
                document.insert("stale".to_owned(), true.into());
            }
            cursor = next;
            if cursor.is_empty() || rows.len() >= most {
                break;
            }
        }
        rows.truncate(most);
        let mut document = document.unwrap_or_default();
        document.remove("cursor");
        document.insert(list.to_owned(), rows.into());
        Ok(document.into())
    }

    async fn get_with_retries(
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
                }) if tries < MAX_TRIES && wait <= MAX_RETRY_AFTER => {
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
        timeout: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let url = format!("{}/{path}", self.base.as_str().trim_end_matches('/'));
        let mut url = Url::parse(&url).map_err(|_| self.not_roomkeeper(StatusCode::NOT_FOUND))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .http
            .request(method, url)
            .headers(self.credentials.clone());
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
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
            (Some(_) | None, _) => Err(self.not_roomkeeper(status)),
        }
    }

    fn failed(&self, error: reqwest::Error) -> ClientError {
        self.unreachable(Box::new(error.without_url()))
    }

    fn unreachable(&self, source: Box<dyn Error + Send + Sync>) -> ClientError {
        ClientError::Unreachable {
            url: self.origin(),
            listener: self.listener.key(),
            source,
        }
    }

    fn not_roomkeeper(&self, status: StatusCode) -> ClientError {
        ClientError::NotRoomkeeper {
            url: self.origin(),
            what: self.listener.name(),
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_key_is_sent_to_loopback_only() {
        let is_sent = |url: &str| is_loopback(&url.parse().unwrap());
        for local in [
            "http://127.0.0.1:9090",
            "http://127.0.0.2",
            "http://[::1]:9090",
            "http://localhost:9090",
        ] {
            assert!(is_sent(local), "{local}");
        }
        for remote in [
            "http://10.0.0.1:9090",
            "http://127.0.0.1.example.com",
            "http://127.0.0.1@example.com",
            "https://localhost.example.com",
        ] {
            assert!(!is_sent(remote), "{remote}");
        }
    }
}
