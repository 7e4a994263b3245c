//! The filters and the order of a list of members.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use utoipa::IntoParams;

use crate::http::error::ApiError;
use roomkeeper_core::ids::CallId;
use roomkeeper_core::room::{Member, Role};

/// The parameters of a list of members, beside those of its page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code, reason = "describes the query")]
pub(super) struct MemberFilters {
    /// Only muted members, or only others.
    muted: Option<bool>,
    /// Only members on hold, or only others.
    held: Option<bool>,
    /// `moderator` or `participant`: only members with this role.
    #[param(schema_with = role_schema)]
    role: Option<String>,
    /// Only members that have this value of the label `key`. More labels can be given, each as `label.` and its key; a
    /// member must have all.
    #[param(rename = "label.key")]
    label: Option<String>,
    /// `joined_at`: in the order in which they joined. Otherwise in the order of their session ids.
    #[param(schema_with = sort_schema)]
    sort: Option<String>,
}

fn role_schema() -> utoipa::openapi::ObjectBuilder {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .enum_values(Some(["moderator", "participant"]))
}

fn sort_schema() -> utoipa::openapi::ObjectBuilder {
    utoipa::openapi::ObjectBuilder::new()
        .schema_type(utoipa::openapi::Type::String)
        .enum_values(Some(["joined_at"]))
}

/// The requested members.
#[derive(Default, Debug)]
pub(super) struct MemberQuery {
    muted: Option<bool>,
    held: Option<bool>,
    role: Option<Role>,
    labels: Vec<(String, String)>,
    by_time: bool,
}

impl MemberQuery {
    /// Returns true for a member that the filters select.
    pub(super) fn selects(&self, member: &Member) -> bool {
        let mut labels = self.labels.iter();
        self.muted.is_none_or(|muted| muted != member.flags.speak)
            && self.held.is_none_or(|held| held == member.flags.hold)
            && self.role.is_none_or(|role| role == member.settings.role)
            && labels.all(|(key, value)| member.settings.labels.get(key) == Some(value))
    }

    /// Returns the position of a member in the list.
    pub(super) fn position(&self, call: CallId, member: &Member) -> (u64, CallId) {
        let time = if self.by_time {
            member.since.as_micros()
        } else {
            0
        };
        (time, call)
    }

    /// Returns the position in a cursor.
    pub(super) fn write(&self, (time, call): (u64, CallId)) -> String {
        match self.by_time {
            true => format!("{time} {call}"),
            false => call.to_string(),
        }
    }

    /// Reads the position in a cursor.
    pub(super) fn read(&self, text: &str) -> Result<(u64, CallId), ApiError> {
        let wrong = || ApiError::field("cursor", "it belongs to a list of another order");
        let (time, call) = match (self.by_time, text.split_once(' ')) {
            (true, Some((time, call))) => (time.parse().map_err(|_| wrong())?, call),
            (false, None) => (0, text),
            (true, None) | (false, Some(_)) => return Err(wrong()),
        };
        Ok((time, call.parse().map_err(|_| wrong())?))
    }
}

impl<S: Sync> FromRequestParts<S> for MemberQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let mut found = Self::default();
        for (name, value) in url::form_urlencoded::parse(query) {
            match &*name {
                "muted" => found.muted = Some(boolean("muted", &value)?),
                "held" => found.held = Some(boolean("held", &value)?),
                "role" => {
                    let role = value.parse();
                    found.role = Some(role.map_err(|error| ApiError::field("role", error))?);
                }
                "sort" if value == "joined_at" => found.by_time = true,
                "sort" => return Err(ApiError::form("sort", "joined_at", &value)),
                _ => {
                    if let Some(key) = name.strip_prefix("label.") {
                        if value.contains(char::REPLACEMENT_CHARACTER) && !has_replacement(query) {
                            return Err(ApiError::field(&name, "expected UTF-8"));
                        }
                        found.labels.push((key.to_owned(), value.into_owned()));
                    }
                }
            }
        }
        Ok(found)
    }
}

/// Returns true if the query itself has the character that stands for bytes that are not UTF-8.
fn has_replacement(query: &[u8]) -> bool {
    query
        .to_ascii_uppercase()
        .windows(9)
        .any(|part| part == b"%EF%BF%BD")
}

fn boolean(name: &str, text: &str) -> Result<bool, ApiError> {
    text.parse()
        .map_err(|_| ApiError::form(name, "true or false", text))
}
