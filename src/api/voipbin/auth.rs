//! Who asks: by the gateway's headers, by `Authorization: Bearer`, or by `?token=`, in this order. A key names its app.
//!
//! The token of a query is never logged: the log has the route, not what was asked for.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use uuid::Uuid;

use crate::api::Shared;
use crate::api::auth::{Attempt, Caller, only};
use crate::api::error::ApiError;
use crate::api::registry::Known;
use crate::ids::AppId;

/// The app that asks, and its id in this API: the first extractor of every handler.
#[derive(Clone, Debug)]
pub(super) struct Customer {
    /// As the gateway API has it.
    pub(super) caller: Caller,
    /// What its conferences carry.
    pub(super) id: Uuid,
}

impl FromRequestParts<Shared> for Customer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, ApiError> {
        let caller = match key(parts) {
            Given::Headers => Caller::from_request_parts(parts, state).await?,
            Given::Key(key) => {
                let attempt = Attempt::begin(&parts.headers, &parts.extensions, &key)?;
                let known = state.apps.authenticate_key(&key).await?;
                let Known { app, rate_limit } = attempt.end(known, UNAUTHORIZED)?;
                state.admit(&app, rate_limit, parts).await?;
                Caller { app }
            }
            Given::Nothing => {
                let attempt = Attempt::begin(&parts.headers, &parts.extensions, b"")?;
                return attempt.end(None, UNAUTHORIZED);
            }
        };
        let id = customer_id(state, &caller.app);
        Ok(Self { caller, id })
    }
}

/// The app's id in this API; nil for one that is no more.
pub(super) fn customer_id(state: &Shared, app: &AppId) -> Uuid {
    let tenants = state.apps.tenants();
    tenants
        .get(app)
        .map(|app| app.customer_id)
        .unwrap_or_default()
}

enum Given {
    Headers,
    Key(Vec<u8>),
    Nothing,
}

fn key(parts: &Parts) -> Given {
    let headers = &parts.headers;
    if headers.contains_key("x-app-id") || headers.contains_key("x-api-key") {
        return Given::Headers;
    }
    if headers.contains_key(AUTHORIZATION) {
        let value = only(headers, AUTHORIZATION.as_str()).unwrap_or_default();
        let key = value
            .split_at_checked(7)
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
            .map(|(_, key)| key.trim_ascii().to_vec());
        return key.map_or(Given::Nothing, Given::Key);
    }
    let query = parts.uri.query().unwrap_or_default().as_bytes();
    let mut tokens = url::form_urlencoded::parse(query)
        .filter(|(name, _)| name == "token")
        .map(|(_, value)| value.into_owned().into_bytes());
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Given::Key(token),
        // Of two, nobody could say which was checked.
        (Some(_), Some(_)) | (None, _) => Given::Nothing,
    }
}

/// What exactly was wrong is not told.
const UNAUTHORIZED: &str =
    "missing or invalid key: X-App-ID with X-API-Key, Authorization: Bearer, or token";
