//! Request parts other than the body: the id in the path, the page of a list.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use crate::http::error::ApiError;
use roomkeeper_core::ids::{RoomId, node_in_uuid};

/// The default and maximum number of rows of a page.
const PAGE: usize = 100;

/// The uuid in the path.
#[derive(Debug)]
pub(super) struct PathUuid(pub(super) Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathUuid {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::field("id", "not valid UTF-8"))?;
        let (name, text) = params
            .iter()
            .next()
            .ok_or_else(|| ApiError::internal(&"a route without its id"))?;
        uuid(text)
            .map(Self)
            .ok_or_else(|| ApiError::field(name, "expected a uuid"))
    }
}

/// Parses a UUID in its hyphenated form, in either case.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
}

/// Finds the room with this UUID; `None` if no room of this service can have it.
pub(super) fn room(conference: Uuid) -> Option<RoomId> {
    Some(RoomId::new(node_in_uuid(conference)?, conference))
}

/// The page of a list.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) size: usize,
    /// The token of the page; an empty one, as on the last page, counts as none.
    pub(super) token: Option<String>,
    /// Only rows of this conference.
    pub(super) conference: Option<Uuid>,
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let (mut size, mut token, mut conference) = (None, None, None);
        for (name, value) in url::form_urlencoded::parse(query) {
            let twice = match &*name {
                "page_size" => size.replace(positive(&value)?).is_some(),
                "page_token" => token.replace(value.into_owned()).is_some(),
                "conference_id" => {
                    let id = uuid(&value)
                        .ok_or_else(|| ApiError::field("conference_id", "expected a uuid"))?;
                    conference.replace(id).is_some()
                }
                _ => false,
            };
            if twice {
                return Err(ApiError::field(&name, "is given twice"));
            }
        }
        Ok(Self {
            size: size.unwrap_or(PAGE).min(PAGE),
            token: token.filter(|text| !text.is_empty()),
            conference,
        })
    }
}

fn positive(text: &str) -> Result<usize, ApiError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number that overflows is still a positive integer and gets clamped.
    let number = digits.then(|| text.parse().unwrap_or(usize::MAX));
    number
        .filter(|n| *n > 0)
        .ok_or_else(|| ApiError::field("page_size", "expected a positive integer"))
}
