//! Protection against requests that a page of another site makes a browser send.
//!
//! A browser can send them to loopback and to networks that the page's own server does not reach. Three headers
//! reveal them: `Origin` and `Sec-Fetch-Site` name a page of another origin; `Host` has the name that the browser
//! resolved, which after DNS rebinding is the other site's. A program that is no browser sends neither of the first
//! two, and calls a loopback listener by a loopback name or an address.
//!
//! Owns the refusal of such requests. Leaves out keys.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use crate::http::body::is_json;
use crate::http::error::ApiError;

const SEC_FETCH_SITE: &str = "sec-fetch-site";
const SEC_FETCH_MODE: &str = "sec-fetch-mode";

/// The accepted host names of a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AllowedHosts {
    /// Any name.
    Any,
    /// Addresses, loopback names, and these names in lower case.
    Only(Arc<[String]>),
}

impl AllowedHosts {
    /// Accepts addresses, loopback names, and these names.
    pub fn only(names: &[String]) -> Self {
        Self::Only(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    fn allows(&self, authority: &str) -> bool {
        let Self::Only(names) = self else {
            return true;
        };
        let Ok(authority) = authority.parse::<Authority>() else {
            return false;
        };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        // An address cannot be rebound.
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || names.iter().any(|name| name == host)
    }
}

/// Middleware of all routes of the admin listener.
pub(crate) async fn guard_admin(
    State(hosts): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    check_host(&hosts, &request)?;
    check_origin(request.headers())?;
    check_site(request.headers())?;
    let headers = request.headers();
    let has_body = headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|n| n != "0");
    let is_json = headers.contains_key(CONTENT_TYPE) && is_json(headers);
    if !request.method().is_safe() && has_body && !is_json {
        // A page can send any other type without a preflight request.
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the Content-Type must be application/json",
        ));
    }
    Ok(next.run(request).await)
}

/// Middleware of the API listener's pages, which need no key.
pub(crate) async fn guard_pages(
    State(hosts): State<AllowedHosts>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    check_host(&hosts, &request)?;
    check_origin(request.headers())?;
    // A page of another site may link here: it cannot read the page that the browser then shows.
    let mode = request.headers().get(SEC_FETCH_MODE);
    let is_link = request.method() == Method::GET && mode.is_some_and(|mode| mode == "navigate");
    if !is_link {
        check_site(request.headers())?;
    }
    Ok(next.run(request).await)
}

fn check_host(hosts: &AllowedHosts, request: &Request) -> Result<(), ApiError> {
    let target = request.uri().authority().map(Authority::as_str);
    let host = request.headers().get(HOST);
    let host = host.map(|value| value.to_str().unwrap_or_default());
    // An HTTP/1.0 client without a host is no browser.
    if target
        .into_iter()
        .chain(host)
        .all(|name| hosts.allows(name))
    {
        return Ok(());
    }
    let error = "this listener is not called by this name; http.allowed_hosts can allow it";
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, error).debug_log_only())
}

fn check_origin(headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let is_own = |origin: &str| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority
            .zip(host)
            .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    let mut origins = headers.get_all(ORIGIN).iter();
    match origins.all(|origin| origin.to_str().is_ok_and(is_own)) {
        true => Ok(()),
        false => Err(cross_site()),
    }
}

fn check_site(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter();
    match sites.all(|site| site == "same-origin" || site == "none") {
        true => Ok(()),
        false => Err(cross_site()),
    }
}

fn cross_site() -> ApiError {
    let error = "a page of another origin must not send this request";
    ApiError::new(StatusCode::FORBIDDEN, error).debug_log_only()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_rebound_are_refused() {
        let hosts = AllowedHosts::only(&["Admin.Example.com".to_owned()]);
        for good in [
            "127.0.0.1:9090",
            "[::1]:9090",
            "10.1.2.3",
            "localhost:9090",
            "LOCALHOST",
            "a.localhost:1",
            "admin.example.com",
            "admin.example.com.:9090",
        ] {
            assert!(hosts.allows(good), "{good}");
        }
        for bad in [
            "evil.example",
            "127.0.0.1.evil.example:9090",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1@evil.example",
            "",
            "a b",
        ] {
            assert!(!hosts.allows(bad), "{bad}");
        }
        assert!(AllowedHosts::Any.allows("evil.example"));
    }
}
