//! Failures of a fetch.

use std::error::Error;
use std::io;

use reqwest::StatusCode;

use crate::telemetry::Chain;
use crate::webhook::guard::Refused;

/// The reason why a file cannot be fetched.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// The URL or a redirect leads to a forbidden address; no request was sent there.
    #[error("{0}")]
    Forbidden(String),
    /// The server does not have the file.
    #[error("the server answered 404")]
    NotFound,
    /// The server answered with another status.
    #[error("the server answered {0}")]
    Status(u16),
    /// There are too many redirects.
    #[error("too many redirects")]
    Redirects,
    /// The file is larger than the limit.
    #[error("the file is too large")]
    TooLarge,
    /// The file did not arrive in time.
    #[error("the file did not arrive in time")]
    Timeout,
    /// The name, the connection or TLS failed.
    #[error("the server cannot be reached: {0}")]
    Connect(String),
    /// Another failure.
    #[error("the fetch failed: {0}")]
    Failed(String),
    /// The limit of concurrent fetches is reached, in total or for this server.
    #[error("too many fetches at the same time")]
    Busy,
    /// There is no space for the file.
    #[error("no space for the file")]
    Full,
    /// The disk failed.
    #[error("the file cannot be stored: {0}")]
    Disk(String),
}

impl FetchError {
    /// The label in metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Forbidden(_) => "forbidden",
            Self::NotFound => "not_found",
            Self::Status(_) => "status",
            Self::Redirects => "redirects",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::Connect(_) => "connect",
            Self::Failed(_) => "error",
            Self::Busy => "busy",
            Self::Full => "full",
            Self::Disk(_) => "disk",
        }
    }

    /// The status of the response to FreeSWITCH.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Status(_)
            | Self::Redirects
            | Self::TooLarge
            | Self::Connect(_)
            | Self::Failed(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Busy | Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Disk(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<reqwest::Error> for FetchError {
    fn from(error: reqwest::Error) -> Self {
        // The URL's query must not enter the log.
        let error = error.without_url();
        let mut cause = error.source();
        while let Some(inner) = cause {
            if let Some(refused) = inner.downcast_ref::<Refused>() {
                return Self::Forbidden(refused.to_string());
            }
            cause = inner.source();
        }
        let text = Chain(&error).to_string();
        if error.is_timeout() {
            Self::Timeout
        } else if error.is_connect() {
            Self::Connect(text)
        } else {
            Self::Failed(text)
        }
    }
}

impl From<io::Error> for FetchError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}
