//! What FreeSWITCH answers, read.
//!
//! Owns the forms of answers, and each oddity in them as a function named `quirk_*`. Leaves out
//! which answer is whose (`session`), and what follows from it.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr;

/// The answer to an API command, as text tells it: there is nothing else to tell it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiReply {
    /// `+OK`, with what follows it; several lines if there were several.
    Ok(String),
    /// `-ERR`, with what follows it. One `-ERR` among several lines makes the answer one.
    Err(String),
    /// The command wrote nothing. For most that is a failure; which they are is the caller's to
    /// know.
    NoReply,
    /// `true` or `false`, of `uuid_exists` and `module_exists`.
    Bool(bool),
    /// An object or array, by its first byte; not parsed.
    Json(Bytes),
    /// A table of `show`, by its last line; not parsed.
    Table(Bytes),
    /// Anything else: usage, free text. To one who expects `+OK` it is a failure.
    Other(String),
}

/// Why an API command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiFailure {
    /// FreeSWITCH says no.
    #[error("FreeSWITCH refused{}", quirk_error_without_text(.0))]
    Refused(String),
    /// FreeSWITCH says nothing.
    #[error("FreeSWITCH wrote no reply")]
    NoReply,
    /// FreeSWITCH says something that is no known answer to this, such as usage.
    #[error("FreeSWITCH answered {0:?}, which is no answer to this command")]
    Unrecognised(String),
}

impl ApiReply {
    /// Reads a body of an `api/response`, or of a `BACKGROUND_JOB`.
    #[must_use]
    pub fn parse(body: Bytes) -> Self {
        if matches!(body.first(), Some(b'{' | b'[')) {
            return Self::Json(body);
        }
        if body.ends_with(b" total.\n") && !matches!(body.first(), Some(b'+' | b'-')) {
            return Self::Table(body);
        }
        let text = String::from_utf8_lossy(&body);
        let text = quirk_trailing_newline(&text);
        match text {
            "" => return Self::NoReply,
            "true" => return Self::Bool(true),
            "false" => return Self::Bool(false),
            _ if quirk_silence_is_an_error(text) => return Self::NoReply,
            _ => {}
        }
        quirk_several_lines(text)
    }

    /// What stood behind `+OK`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn ok(self) -> Result<String, ApiFailure> {
        match self {
            Self::Ok(text) => Ok(text),
            other @ (Self::Err(_)
            | Self::NoReply
            | Self::Bool(_)
            | Self::Json(_)
            | Self::Table(_)
            | Self::Other(_)) => Err(other.failure()),
        }
    }

    /// `true` or `false`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn bool(self) -> Result<bool, ApiFailure> {
        match self {
            Self::Bool(answer) => Ok(answer),
            other @ (Self::Ok(_)
            | Self::Err(_)
            | Self::NoReply
            | Self::Json(_)
            | Self::Table(_)
            | Self::Other(_)) => Err(other.failure()),
        }
    }

    /// JSON, not parsed. A snapshot that is not this says nothing about what exists.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn json(self) -> Result<Bytes, ApiFailure> {
        match self {
            Self::Json(body) => Ok(body),
            other @ (Self::Ok(_)
            | Self::Err(_)
            | Self::NoReply
            | Self::Bool(_)
            | Self::Table(_)
            | Self::Other(_)) => Err(other.failure()),
        }
    }

    /// A table of `show`, not parsed. A snapshot that is not this says nothing about what exists.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn table(self) -> Result<Bytes, ApiFailure> {
        match self {
            Self::Table(body) => Ok(body),
            other @ (Self::Ok(_)
            | Self::Err(_)
            | Self::NoReply
            | Self::Bool(_)
            | Self::Json(_)
            | Self::Other(_)) => Err(other.failure()),
        }
    }

    /// Free text, of `echo` and `uptime`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] if it was `-ERR` or nothing.
    pub fn text(self) -> Result<String, ApiFailure> {
        match self {
            Self::Ok(text) | Self::Other(text) => Ok(text),
            Self::Bool(answer) => Ok(answer.to_string()),
            Self::Json(body) | Self::Table(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            other @ (Self::Err(_) | Self::NoReply) => Err(other.failure()),
        }
    }

    fn failure(self) -> ApiFailure {
        match self {
            Self::Err(text) => ApiFailure::Refused(text),
            Self::NoReply => ApiFailure::NoReply,
            Self::Ok(text) | Self::Other(text) => ApiFailure::Unrecognised(text),
            Self::Bool(answer) => ApiFailure::Unrecognised(answer.to_string()),
            Self::Json(body) | Self::Table(body) => {
                let start = body.get(..body.len().min(80)).unwrap_or_default();
                ApiFailure::Unrecognised(String::from_utf8_lossy(start).into_owned())
            }
        }
    }
}

/// Some answers end in a newline and some do not.
fn quirk_trailing_newline(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

/// A command that wrote nothing is answered `-ERR no reply`, whether it worked or not.
fn quirk_silence_is_an_error(text: &str) -> bool {
    text == "-ERR no reply"
}

/// A command about several members answers a line for each; `recording stop` puts a line of free
/// text before its `+OK`, and a `-ERR` before the `+OK` of having stopped none.
fn quirk_several_lines(text: &str) -> ApiReply {
    if let Some(error) = quirk_error_in_full(text) {
        return error;
    }
    let after = |line: &str, mark: &str| line.strip_prefix(mark).map(|rest| rest.trim().to_owned());
    // As most are.
    if memchr(b'\n', text.as_bytes()).is_none() {
        return match (after(text, "-ERR"), after(text, "+OK")) {
            (Some(error), _) => ApiReply::Err(error),
            (None, Some(good)) => ApiReply::Ok(good),
            (None, None) => ApiReply::Other(text.to_owned()),
        };
    }
    if let Some(error) = text.lines().find_map(|line| after(line, "-ERR")) {
        return ApiReply::Err(error);
    }
    let good: Vec<String> = text.lines().filter_map(|line| after(line, "+OK")).collect();
    let last_is_good = text
        .lines()
        .next_back()
        .is_some_and(|l| l.starts_with("+OK"));
    if text.starts_with("+OK") || last_is_good {
        ApiReply::Ok(good.join("\n"))
    } else {
        ApiReply::Other(text.to_owned())
    }
}

/// `uuid_answer` of an unknown channel says `-ERROR`, and nothing more (seen on 1.11.2).
fn quirk_error_in_full(text: &str) -> Option<ApiReply> {
    (text == "-ERROR").then(|| ApiReply::Err("ERROR".to_owned()))
}

/// A transfer that FreeSWITCH refuses answers `-ERR` and nothing more. This is what follows "FreeSWITCH refused" in a
/// message: the text, or that there is none.
pub(crate) fn quirk_error_without_text(text: &str) -> Cow<'static, str> {
    if text.is_empty() {
        Cow::Borrowed(" without a reason")
    } else {
        Cow::Owned(format!(": {text}"))
    }
}

/// The answer to anything but `api`: its `Reply-Text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// `+OK`, with what follows it.
    Ok(String),
    /// `-ERR`, with what follows it, or a text that is neither.
    Err(String),
}

impl CommandReply {
    /// Reads a `Reply-Text`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("+OK") {
            Some(rest) => Self::Ok(rest.trim().to_owned()),
            None => Self::Err(text.strip_prefix("-ERR").unwrap_or(text).trim().to_owned()),
        }
    }
}
