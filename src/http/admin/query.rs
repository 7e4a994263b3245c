//! The query of an operator's request. Unknown parameters are ignored.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::http::error::ApiError;

/// The parameters of a query, decoded.
pub(super) struct Query(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let parameters = url::form_urlencoded::parse(query).into_owned();
        Ok(Self(parameters.collect()))
    }
}

impl Query {
    /// A text, if present. With two it would be ambiguous which one counts.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let mut values = self.0.iter().filter(|(given, _)| given == name);
        let first = values.next().map(|(_, value)| value.as_str());
        match values.next() {
            Some(_) => Err(ApiError::field(name, "is given twice")),
            None => Ok(first),
        }
    }

    /// A parsed value, if present.
    pub(super) fn parsed<T: FromStr<Err: Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, ApiError> {
        let parse = |text: &str| text.parse().map_err(|error| ApiError::field(name, error));
        self.text(name)?.map(parse).transpose()
    }

    /// `true` or `false`; `false` if absent.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name)? {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::field(name, "expected true or false")),
        }
    }
}
