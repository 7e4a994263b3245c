//! One attempt: a request to a receiver, and what came of it.
//!
//! Owns the HTTP client and its limits. Leaves out what follows from the outcome (`schedule`) and who asks
//! (`worker`). A receiver is a stranger: it gets a bounded time and a bounded answer, and sends us nowhere else.
//!
//! The status decides. What follows it is read only to keep the connection, within the same bounds, so a receiver that
//! said 200 and then stalls is not sent the same event eleven times.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};

use super::endpoint::Endpoint;
use super::guard::{GuardedResolver, Policy, Refused};
use super::schedule::{Attempt, parse_retry_after};
use super::sign;
use crate::store::Message;
use crate::store::deliveries::Attempted;
use crate::telemetry::Chain;
use crate::time::Timestamp;
use crate::tls;

/// How much of our time and memory a receiver gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// To connect, TLS included.
    pub connect: Duration,
    /// For everything: name, connection, request, and answer with its body.
    pub request: Duration,
    /// How much of the answer's body is read, in bytes.
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

/// Why no status came back.
#[derive(Debug)]
pub enum Failure {
    /// The address may not be called; nobody was.
    Refused(Refused),
    /// Not within the limits.
    Timeout,
    /// The name, the connection or TLS.
    Connect(reqwest::Error),
    /// Anything else on the way.
    Other(reqwest::Error),
}

impl Failure {
    /// For metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Timeout => "timeout",
            Self::Connect(_) => "connect",
            Self::Other(_) => "error",
        }
    }

    fn of(error: reqwest::Error) -> Self {
        // The URL would take its query into the log.
        let error = error.without_url();
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(refused) = inner.downcast_ref::<Refused>() {
                return Self::Refused(refused.clone());
            }
            cause = inner.source();
        }
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect(error)
        } else {
            Self::Other(error)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => why.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Connect(e) | Self::Other(e) => {
                // The innermost cause is the one that tells: "connection refused", "unknown issuer".
                let mut cause: &dyn Error = e;
                while let Some(inner) = cause.source() {
                    cause = inner;
                }
                write!(f, "{cause}")
            }
        }
    }
}

/// What came of an attempt.
#[derive(Debug)]
pub struct Report {
    /// The status, or why there is none.
    pub result: Result<StatusCode, Failure>,
    /// What the receiver asked for.
    pub retry_after: Option<Duration>,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// What it means for the next attempt.
    pub fn attempt(&self) -> Attempt {
        match &self.result {
            Ok(status) if status.is_success() => Attempt::Accepted,
            Ok(status) if *status == StatusCode::GONE => Attempt::Gone,
            Ok(_) | Err(_) => Attempt::Failed {
                retry_after: self.retry_after,
            },
        }
    }

    /// What is kept of it; it began `at` this time.
    pub fn attempted(&self, at: Timestamp) -> Attempted {
        Attempted {
            at: at.as_micros(),
            status: self.result.as_ref().ok().map(StatusCode::as_u16),
            error: self.result.as_ref().err().map(Failure::to_string),
            ms: u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Tells whether there was no answer within the limits.
    pub fn is_timeout(&self) -> bool {
        matches!(self.result, Err(Failure::Timeout))
    }

    /// For metrics.
    pub fn outcome(&self) -> &'static str {
        match (&self.result, self.attempt()) {
            (Err(failure), _) => failure.as_str(),
            (Ok(_), Attempt::Accepted) => "ok",
            (Ok(_), Attempt::Gone) => "gone",
            (Ok(_), Attempt::Failed { .. }) => "status",
        }
    }
}

/// The HTTP client could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for webhooks could not be made")]
pub struct SenderError(#[source] reqwest::Error);

/// Makes attempts. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Sender {
    client: Client,
    policy: Policy,
    limits: Limits,
}

impl Sender {
    /// A client that calls only what the policy allows. Where the system has no CA certificates it fails whoever is
    /// called over https, and says so in the log.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(policy: Policy, limits: Limits) -> Result<Self, SenderError> {
        let builder = || {
            Client::builder()
                .user_agent(concat!("Roomkeeper/", env!("CARGO_PKG_VERSION")))
                .redirect(redirect::Policy::none())
                // A proxy would resolve names and connect for us, past the guard.
                .no_proxy()
                .dns_resolver(Arc::new(GuardedResolver::new(policy)))
                .connect_timeout(limits.connect)
                .pool_max_idle_per_host(8)
                .pool_idle_timeout(Duration::from_secs(30))
        };
        let (client, trusts_nobody) = tls::client(builder).map_err(SenderError)?;
        if let Some(error) = trusts_nobody {
            tracing::warn!(
                    error = %Chain(&error),
                "CA certificates cannot be loaded from this system: no webhook can be delivered over https"
            );
        }
        Ok(Self {
            client,
            policy,
            limits,
        })
    }

    /// The limits it keeps.
    pub const fn limits(&self) -> Limits {
        self.limits
    }

    /// Sends a message to a receiver, once.
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
        let now = Timestamp::now();
        let end = tokio::time::Instant::now() + self.limits.request;
        let request = self
            .client
            .post(endpoint.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(sign::HEADER_ID, &message.id)
            .header(sign::HEADER_TIMESTAMP, now.as_secs())
            .header(
                sign::HEADER_SIGNATURE,
                sign::signatures(&endpoint.signing(now), &message.id, now, &message.body),
            )
            .body(message.body.clone());
        let response = match tokio::time::timeout_at(end, request.send()).await {
            Err(_) => return (Err(Failure::Timeout), None),
            Ok(Err(e)) => return (Err(Failure::of(e)), None),
            Ok(Ok(response)) => response,
        };
        let status = response.status();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| parse_retry_after(value.to_str().ok()?, now));
        // Whatever comes of it: an answer that was not read to its end costs its connection, no more.
        let _ = tokio::time::timeout_at(end, skim(response, self.limits.answer)).await;
        (Ok(status), retry_after)
    }
}

/// Reads the body as far as the limit, and drops it.
async fn skim(mut response: Response, limit: usize) {
    let mut read = 0;
    while read < limit {
        match response.chunk().await {
            Ok(Some(chunk)) => read += chunk.len(),
            Ok(None) | Err(_) => break,
        }
    }
}
