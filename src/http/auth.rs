//! Authentication of requests by their headers, and admission of authenticated requests. [`crate::tenants`] owns the
//! apps and keys. Nothing here is ever logged.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, StatusCode};

use crate::http::listen::{Connection, Outcome};
use crate::store::audit::AuditActor;
use crate::tenants::{AuthenticatedApp, KeyDigest};
use roomkeeper_core::ids::AppId;

use super::body::announced_bytes;
use super::error::ApiError;
use super::middleware::audit::note_sender;
use super::state::{ApiState, Shared};

const APP_ID: &str = "x-app-id";
const API_KEY: &str = "x-api-key";

/// `Retry-After` while queues are full: they are measured every five seconds.
const FULL: Duration = Duration::from_secs(5);

/// The calling app. The first extractor of every handler, so that nothing else is evaluated before authentication.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The app's id.
    pub(crate) app: AppId,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let AuthenticatedApp { app, rate_limit } =
            Self::known(state, &parts.headers, &parts.extensions).await?;
        // Unauthenticated requests do not count against the app's limits.
        state.admit(&app, rate_limit, parts).await?;
        Ok(Self { app })
    }
}

impl Caller {
    /// Authenticates a request by its headers.
    pub(super) async fn known(
        state: &ApiState,
        headers: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<AuthenticatedApp, ApiError> {
        let id: Option<AppId> = only(headers, APP_ID)
            .and_then(|value| std::str::from_utf8(value).ok())
            .and_then(|text| text.parse().ok());
        let key = only(headers, API_KEY).unwrap_or_default();
        let attempt = Attempt::begin(headers, extensions, key)?;
        let known = state.apps.authenticate(id.as_ref(), key).await?;
        attempt.end(known, unauthorized(headers))
    }
}

/// The error of a request without a valid key. It names what the caller knows, and not which of two values is wrong.
fn unauthorized(headers: &HeaderMap) -> &'static str {
    let count = |name: &str| headers.get_all(name).iter().count();
    match (count(APP_ID), count(API_KEY)) {
        (0, 0) => "the headers X-App-ID and X-API-Key are missing",
        (0, _) => "the header X-App-ID is missing",
        (_, 0) => "the header X-API-Key is missing",
        (1, 1) => "X-App-ID names no app, or X-API-Key is not its key",
        _ => "X-App-ID or X-API-Key is given more than once",
    }
}

/// A key during its check: an address that sends wrong keys is throttled.
pub(super) struct Attempt<'a> {
    /// `None`: the request did not come through a listener.
    connection: Option<(&'a Connection, IpAddr)>,
    key: &'a [u8],
}

impl<'a> Attempt<'a> {
    /// Must be called before the key is checked.
    ///
    /// # Errors
    /// 429 if the address has sent too many wrong keys.
    pub(super) fn begin(
        headers: &HeaderMap,
        extensions: &'a Extensions,
        key: &'a [u8],
    ) -> Result<Self, ApiError> {
        let connection = extensions.get::<Arc<Connection>>();
        let connection = connection.map(|one| (one.as_ref(), one.client(headers)));
        if let Some((connection, client)) = connection
            && !key.is_empty()
            && let Err(wait) = connection.attempts().admit(client, key)
        {
            let error = "too many requests with a wrong key from this address";
            return Err(ApiError::limited(error, wait).debug_log_only());
        }
        Ok(Self { connection, key })
    }

    /// Ends the check with the owner of the key.
    ///
    /// # Errors
    /// 401 with this text if there is none.
    pub(super) fn end<T>(self, owner: Option<T>, error: &'static str) -> Result<T, ApiError> {
        let outcome = match &owner {
            Some(_) => Outcome::Valid,
            None if self.key.is_empty() => Outcome::Missing,
            None => Outcome::Wrong,
        };
        if let Some((connection, client)) = self.connection {
            connection.attempts().settle(client, self.key, outcome);
            if outcome == Outcome::Valid {
                connection.keep();
            }
        }
        owner.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, error).debug_log_only())
    }
}

impl ApiState {
    /// Admits a request of an app, or refuses it with `Retry-After`: above the rate limit, and for changes also under
    /// backpressure or above the quota.
    pub(super) async fn admit(
        &self,
        app: &AppId,
        rate_limit: Option<u32>,
        request: &mut Parts,
    ) -> Result<(), ApiError> {
        self.limiter.admit(app, rate_limit).await?;
        note_sender(&request.extensions, || AuditActor::App(app.clone()));
        if let Some(why) = self.backpressure.refusal(app)
            && !request.method.is_safe()
        {
            return Err(ApiError::unavailable(why, FULL));
        }
        let (method, path) = (&request.method, request.uri.path());
        let body = self
            .quota
            .admit(app, method, path, announced_bytes(request))?;
        if let Some(body) = body {
            request.extensions.insert(body);
        }
        Ok(())
    }
}

/// The digest of a request's key.
pub(super) fn given_key(headers: &HeaderMap) -> KeyDigest {
    KeyDigest::for_key(only(headers, API_KEY).unwrap_or_default())
}

/// The header's value if it occurs exactly once: with two it would be ambiguous which one was checked.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}
