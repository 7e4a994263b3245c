//! Request parts other than the body: ids in the path, and the page of a list in the query.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use roomkeeper_core::ids::{CallId, InvalidId, RoomId};

use super::error::ApiError;

/// An id in a path.
pub(crate) trait InPath: FromStr<Err = InvalidId> {
    /// The parameter's name in the route.
    const PARAM: &'static str;
}

impl InPath for RoomId {
    const PARAM: &'static str = "room_id";
}

impl InPath for CallId {
    const PARAM: &'static str = "uuid";
}

/// The id in the path.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: InPath, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::field(T::PARAM, "not valid UTF-8"))?;
        let text = params
            .iter()
            .find(|(name, _)| *name == T::PARAM)
            .map(|(_, value)| value)
            .ok_or_else(|| ApiError::internal(&"a route without its id"))?;
        text.parse()
            .map(Self)
            .map_err(|e| ApiError::field(T::PARAM, e))
    }
}

/// The requested page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    limit: Option<usize>,
    /// The cursor as sent; an empty one, as on the last page, counts as none.
    pub(crate) cursor: Option<String>,
}

impl Page {
    /// The number of rows, within bounds.
    pub(crate) fn limit(&self, default: usize, max: usize) -> usize {
        self.limit.unwrap_or(default).min(max)
    }
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let (mut limit, mut cursor) = (None, None);
        for (name, value) in url::form_urlencoded::parse(query) {
            let twice = match &*name {
                "limit" => limit.replace(positive(&value)?).is_some(),
                "cursor" => cursor.replace(value.into_owned()).is_some(),
                _ => false,
            };
            if twice {
                return Err(ApiError::field(&name, "is given twice"));
            }
        }
        Ok(Self {
            limit,
            cursor: cursor.filter(|text| !text.is_empty()),
        })
    }
}

fn positive(text: &str) -> Result<usize, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that overflows is still a positive integer and gets clamped.
    let number = digits.then(|| text.parse().unwrap_or(usize::MAX));
    number
        .filter(|n| *n > 0)
        .ok_or_else(|| ApiError::form("limit", "a positive integer", text))
}
