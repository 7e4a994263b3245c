//! One delivery attempt: the request to a receiver and its outcome.
//!
//! Owns the HTTP client and its limits. Leaves out the next attempt (`schedule`) and the caller (`worker`). Receivers
//! are not trusted: time and response size are limited, and redirects are not followed.
//!
//! Informational responses (1xx) may precede a response. The HTTP library reads and drops them, so a receiver that
//! sends them endlessly would keep a core busy until the timeout. So they are counted, and so are the bytes of a
//! connection for one request (`bounded`). Both are counted above TLS.
//!
//! The status decides. The body is read only to keep the connection, within the same limits, so a receiver that
//! answers 200 and then stalls does not get the same event eleven times.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::ext::on_informational;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Notify;
use tokio::time::{sleep_until, timeout, timeout_at};
use tower::Service;

use super::bounded::{Bounded, TooMuch};
use super::endpoint::Endpoint;
use super::guard::{GuardedResolver, Policy, Refused};
use super::schedule::{Attempt, parse_retry_after};
use super::sign;
use crate::clock;
use crate::store::Message;
use crate::store::deliveries::AttemptRecord;
use crate::telemetry::Chain;
use crate::tls;
use roomkeeper_core::time::Timestamp;

/// The maximum size of one head, of a response or an informational response.
const HEAD: usize = 64 * 1024;

/// The maximum bytes read for one request: informational responses, the head, and the start of the body.
const READ: usize = 128 * 1024;

/// The maximum number of informational responses before a response: a `100 Continue`, and some `103 Early Hints`.
const INFORMATIONAL: usize = 10;

const AGENT: &str = concat!("Roomkeeper/", env!("CARGO_PKG_VERSION"));

/// The limits of time and memory for one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The time for a connection, including TLS.
    pub connect: Duration,
    /// The time for everything: name, connection, request, and response with its body.
    pub request: Duration,
    /// The maximum bytes read of the response's body.
    pub answer: usize,
}

impl Default for Limits {
    /// 3 s, 10 s, 16 KiB.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            request: Duration::from_secs(10),
            answer: 16 * 1024,
        }
    }
}

/// The reason why there is no status.
#[derive(Debug)]
pub enum Failure {
    /// The address is forbidden; no request was sent.
    Refused(Refused),
    /// No response within the time limits.
    Timeout,
    /// Too many informational responses or bytes precede the response.
    Preceding,
    /// The name, the connection or TLS failed.
    Connect(legacy::Error),
    /// Another failure.
    Other(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// The label in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Timeout => "timeout",
            Self::Connect(_) => "connect",
            Self::Preceding | Self::Other(_) => "error",
        }
    }

    fn from_client(error: legacy::Error) -> Self {
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(refused) = inner.downcast_ref::<Refused>() {
                return Self::Refused(refused.clone());
            }
            let io = inner.downcast_ref::<io::Error>();
            if inner.is::<ConnectTimeout>()
                || io.is_some_and(|io| io.kind() == io::ErrorKind::TimedOut)
            {
                return Self::Timeout;
            }
            let is_too_much = |io: &io::Error| io.get_ref().is_some_and(|e| e.is::<TooMuch>());
            if io.is_some_and(is_too_much) {
                return Self::Preceding;
            }
            cause = inner.source();
        }
        if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Other(error.into())
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Timeout => f.write_str("no response in time"),
            Self::Preceding => write!(
                f,
                "more than {INFORMATIONAL} informational responses, or {READ} bytes, before the response"
            ),
            Self::Connect(error) => write!(f, "{}", innermost(error)),
            Self::Other(error) => write!(f, "{}", innermost(error.as_ref())),
        }
    }
}

/// Returns the innermost cause, which is the specific one: "connection refused", "unknown issuer".
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// No connection within [`Limits::connect`].
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
struct ConnectTimeout;

/// Connects within a time limit, including TLS.
#[derive(Clone, Debug)]
struct Connector {
    inner: HttpsConnector<HttpConnector<GuardedResolver>>,
    limit: Duration,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Connection =
    Bounded<<HttpsConnector<HttpConnector<GuardedResolver>> as Service<Uri>>::Response>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connects = timeout(self.limit, self.inner.call(uri));
        Box::pin(async move {
            match connects.await {
                Ok(connected) => Ok(Bounded::new(connected?, READ)),
                Err(_) => Err(ConnectTimeout.into()),
            }
        })
    }
}

/// Counts the informational responses that precede a response.
#[derive(Debug, Default)]
struct Preceding {
    count: AtomicUsize,
    too_many: Notify,
}

impl Preceding {
    fn add(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) >= INFORMATIONAL {
            self.too_many.notify_one();
        }
    }
}

/// The report of an attempt.
#[derive(Debug)]
pub struct Report {
    /// The status, or the reason why there is none.
    pub result: Result<StatusCode, Failure>,
    /// The endpoint's `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The duration.
    pub took: Duration,
}

impl Report {
    /// Its effect on the next attempt.
    pub fn attempt(&self) -> Attempt {
        match &self.result {
            Ok(status) if status.is_success() => Attempt::Accepted,
            Ok(status) if *status == StatusCode::GONE => Attempt::Gone,
            Ok(_) | Err(_) => Attempt::Failed {
                retry_after: self.retry_after,
            },
        }
    }

    /// Converts to the stored form of an attempt that began at `at`.
    pub fn attempted(&self, at: Timestamp) -> AttemptRecord {
        AttemptRecord {
            at: at.as_micros(),
            status: self.result.as_ref().ok().map(StatusCode::as_u16),
            error: self.result.as_ref().err().map(Failure::to_string),
            ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// True if there was no response within the time limits.
    pub fn is_timeout(&self) -> bool {
        matches!(self.result, Err(Failure::Timeout))
    }

    /// The label in metrics.
    pub fn outcome(&self) -> &'static str {
        match (&self.result, self.attempt()) {
            (Err(failure), _) => failure.as_str(),
            (Ok(_), Attempt::Accepted) => "ok",
            (Ok(_), Attempt::Gone) => "gone",
            (Ok(_), Attempt::Failed { .. }) => "status",
        }
    }
}

/// The HTTP client cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("cannot create the HTTP client for webhooks")]
pub struct SenderError(#[source] rustls::Error);

/// Sends webhooks. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client<Connector, Full<Bytes>>,
    policy: Policy,
    limits: Limits,
}

impl Sender {
    /// Creates a client that calls only addresses that the policy allows. Without CA certificates on this system, it
    /// logs a warning, and all requests over https fail.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(policy: Policy, limits: Limits) -> Result<Self, SenderError> {
        let (config, no_authorities) = tls::platform_config().map_err(SenderError)?;
        if let Some(error) = no_authorities {
            tracing::warn!(
                error = %Chain(&error),
                "CA certificates cannot be loaded from this system: no webhook can be delivered over https"
            );
        }
        // No proxy, because it would resolve names and connect without the guard.
        let mut connector = HttpConnector::new_with_resolver(GuardedResolver::new(policy));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        let connector = Connector {
            inner: HttpsConnector::from((connector, config)),
            limit: limits.connect,
        };
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(8)
            .pool_idle_timeout(Duration::from_secs(30))
            .http1_max_buf_size(HEAD)
            .build(connector);
        Ok(Self {
            client,
            policy,
            limits,
        })
    }

    /// The limits.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends a message to an endpoint once.
    pub async fn post(&self, endpoint: &Endpoint, message: &Message) -> Report {
        let started = Instant::now();
        let (result, retry_after) = match self.policy.check_url(&endpoint.url) {
            Err(refused) => (Err(Failure::Refused(refused)), None),
            Ok(()) => self.exchange(endpoint, message).await,
        };
        Report {
            result,
            retry_after,
            took: started.elapsed(),
        }
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        message: &Message,
    ) -> (Result<StatusCode, Failure>, Option<Duration>) {
        let now = clock::now();
        let end = tokio::time::Instant::now() + self.limits.request;
        let request = Request::post(endpoint.url.as_str())
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "*/*")
            .header(CONTENT_TYPE, "application/json")
            .header(sign::HEADER_ID, &message.id)
            .header(sign::HEADER_TIMESTAMP, now.as_secs())
            .header(
                sign::HEADER_SIGNATURE,
                sign::signatures(&endpoint.signing(now), &message.id, now, &message.body),
            )
            .body(Full::new(Bytes::from(message.body.clone())));
        let mut request = match request {
            Ok(request) => request,
            Err(error) => return (Err(Failure::Other(error.into())), None),
        };
        let preceding = Arc::<Preceding>::default();
        let counted = Arc::clone(&preceding);
        on_informational(&mut request, move |_| counted.add());
        // Dropping the future closes the connection.
        let response = tokio::select! {
            biased;
            () = preceding.too_many.notified() => return (Err(Failure::Preceding), None),
            response = self.client.request(request) => response,
            () = sleep_until(end) => return (Err(Failure::Timeout), None),
        };
        let response = match response {
            Ok(response) => response,
            Err(error) => return (Err(Failure::from_client(error)), None),
        };
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| parse_retry_after(value.to_str().ok()?, now));
        // The result is irrelevant: a body that is not read to its end only costs the connection.
        let _ = timeout_at(end, skim(response, self.limits.answer)).await;
        (Ok(status), retry_after)
    }
}

/// Reads and drops the body up to the limit.
async fn skim(response: Response<Incoming>, limit: usize) {
    let mut body = response.into_body();
    let mut read = 0;
    while read < limit {
        match body.frame().await {
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => break,
        }
    }
}
