//! Authentication: the gateway API's headers, `Authorization: Bearer`, or `?token=`, in this order. A key identifies
//! its app.
//!
//! A token in the query is never logged: the log contains the route, not the query.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::http::auth::{Attempt, Caller, only};
use crate::http::error::ApiError;
use crate::http::state::Shared;
use crate::tenants::AuthenticatedApp;
use roomkeeper_core::ids::AppId;

/// The calling app and its id in this API; the first extractor of every handler.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    /// The app as the gateway API identifies it.
    pub(super) caller: Caller,
    /// The `customer_id` of its conferences.
    pub(super) id: Uuid,
}

impl FromRequestParts<Shared> for Customer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let caller = match key(parts) {
            Credentials::Headers => Caller::from_request_parts(parts, state).await?,
            Credentials::Key(key) => {
                let attempt = Attempt::begin(&parts.headers, &parts.extensions, &key)?;
                let known = state.apps.authenticate_key(&key).await?;
                let AuthenticatedApp { app, rate_limit } = attempt.end(known, UNAUTHORIZED)?;
                state.admit(&app, rate_limit, parts).await?;
                Caller { app }
            }
            Credentials::Missing => {
                let attempt = Attempt::begin(&parts.headers, &parts.extensions, b"")?;
                return attempt.end(None, UNAUTHORIZED);
            }
        };
        let id = customer_id(state, &caller.app);
        Ok(Self { caller, id })
    }
}

/// The app's id in this API; nil for an app that no longer exists.
pub(super) fn customer_id(state: &Shared, app: &AppId) -> Uuid {
    let tenants = state.apps.tenants();
    tenants
        .get(app)
        .map(|app| app.customer_id)
        .unwrap_or_default()
}

enum Credentials {
    Headers,
    Key(Vec<u8>),
    Missing,
}

fn key(parts: &Parts) -> Credentials {
    let headers = &parts.headers;
    if headers.contains_key("x-app-id") || headers.contains_key("x-api-key") {
        return Credentials::Headers;
    }
    if headers.contains_key(AUTHORIZATION) {
        let value = only(headers, AUTHORIZATION.as_str()).unwrap_or_default();
        let key = value
            .split_at_checked(7)
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, key)| key.trim_ascii().to_vec());
        return key.map_or(Credentials::Missing, Credentials::Key);
    }
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let mut tokens = url::form_urlencoded::parse(query)
        .filter(|(name, _)| name == "token")
        .map(|(_, value)| value.into_owned().into_bytes());
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Credentials::Key(token),
        // With two tokens it would be ambiguous which one was checked.
        (Some(_), Some(_)) | (None, _) => Credentials::Missing,
    }
}

/// The response does not reveal which part was wrong.
const UNAUTHORIZED: &str =
    "missing or invalid key: X-App-ID with X-API-Key, Authorization: Bearer, or token";
