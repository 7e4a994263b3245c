//! What a request says besides its body: ids in the path, and the page of a list in the query.

use std::str::FromStr;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;

use crate::ids::{InvalidId, RoomId, SessionId};

use super::error::ApiError;

/// An id that stands in a path.
pub(crate) trait InPath: FromStr<Err = InvalidId> {
    /// The parameter's name in the route.
    const PARAM: &'static str;
}

impl InPath for RoomId {
    const PARAM: &'static str = "room_id";
}

impl InPath for SessionId {
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

/// Which page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    limit: Option<usize>,
    /// As the caller gave it; an empty one, which is what the last page carries, is none.
    pub(crate) cursor: Option<String>,
}

impl Page {
    /// How many rows: what was asked for, within bounds.
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
                return Err(ApiError::field(&name, "it is given twice"));
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
    // One too large to be a number is still a positive integer, and will be clamped.
    let number = digits.then(|| text.parse().unwrap_or(usize::MAX));
    number
        .filter(|n| *n > 0)
        .ok_or_else(|| ApiError::field("limit", "expected a positive integer"))
}
