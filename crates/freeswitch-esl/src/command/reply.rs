//! Answers of FreeSWITCH.
//!
//! Owns the forms of answers, and each oddity in them as a function named `quirk_*`. Leaves out the assignment of
//! answers to commands (`session`) and the consequences.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr;

/// The answer to an API command, classified by its text, which is the only indication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiReply {
    /// `+OK` and the text behind it; several lines if there were several.
    Ok(String),
    /// `-ERR` and the text behind it. One `-ERR` among several lines makes the whole answer an error.
    Err(String),
    /// The command wrote nothing, which is a failure of most commands; the caller knows of which.
    NoReply,
    /// `true` or `false`, of `uuid_exists` and `module_exists`.
    Bool(bool),
    /// An object or array, by its first byte; not parsed.
    Json(Bytes),
    /// A table of `show`, by its last line; not parsed.
    Table(Bytes),
    /// Anything else: usage, free text. It is a failure where `+OK` is expected.
    Other(String),
}

/// The reason why an API command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiFailure {
    /// FreeSWITCH refused it.
    #[error("FreeSWITCH refused{}", quirk_error_without_text(.0))]
    Refused(String),
    /// FreeSWITCH wrote nothing.
    #[error("FreeSWITCH wrote no reply")]
    NoReply,
    /// FreeSWITCH wrote a text that is no known answer, such as usage.
    #[error("FreeSWITCH answered {0:?}, which is no answer to this command")]
    Unrecognised(String),
}

impl ApiReply {
    /// Classifies the body of an `api/response` or of a `BACKGROUND_JOB`.
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

    /// Returns the text behind `+OK`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn ok(self) -> Result<String, ApiFailure> {
        match self {
            Self::Ok(text) => Ok(text),
            other => Err(other.failure()),
        }
    }

    /// Returns the text behind `+OK`, or a number alone, the answer of `conference … set`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn ok_or_number(self) -> Result<String, ApiFailure> {
        match self {
            Self::Other(text) if text.bytes().all(|b| b.is_ascii_digit()) => Ok(text),
            other => other.ok(),
        }
    }

    /// Returns the text behind `+OK`, or the answer of `conference … energy`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn ok_or_level(self) -> Result<String, ApiFailure> {
        match self {
            Self::Other(text) if quirk_energy_is_not_ok(&text) => Ok(text),
            other => other.ok(),
        }
    }

    /// Returns `true` or `false`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn bool(self) -> Result<bool, ApiFailure> {
        match self {
            Self::Bool(answer) => Ok(answer),
            other => Err(other.failure()),
        }
    }

    /// Returns JSON, not parsed. A snapshot that is anything else proves nothing.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn json(self) -> Result<Bytes, ApiFailure> {
        match self {
            Self::Json(body) => Ok(body),
            other => Err(other.failure()),
        }
    }

    /// Returns a table of `show`, not parsed. A snapshot that is anything else proves nothing.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] for every other answer.
    pub fn table(self) -> Result<Bytes, ApiFailure> {
        match self {
            Self::Table(body) => Ok(body),
            other => Err(other.failure()),
        }
    }

    /// Returns free text, of `echo` and `uptime`.
    ///
    /// # Errors
    ///
    /// [`ApiFailure`] if it was `-ERR` or empty.
    pub fn text(self) -> Result<String, ApiFailure> {
        match self {
            Self::Ok(text) | Self::Other(text) => Ok(text),
            Self::Bool(answer) => Ok(answer.to_string()),
            Self::Json(body) | Self::Table(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            other => Err(other.failure()),
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

/// Strips the newline that some answers end in.
fn quirk_trailing_newline(text: &str) -> &str {
    text.trim_end_matches(['\n', '\r'])
}

/// Returns true for `-ERR no reply`, the answer of a command that wrote nothing, whether it worked or not.
fn quirk_silence_is_an_error(text: &str) -> bool {
    text == "-ERR no reply"
}

/// Classifies an answer of several lines: a command for several members answers with a line for each; `recording stop`
/// writes a line of free text before its `+OK`, and a `-ERR` before the `+OK` if it stopped none.
fn quirk_several_lines(text: &str) -> ApiReply {
    if let Some(error) = quirk_error_in_full(text) {
        return error;
    }
    let after = |line: &str, mark: &str| line.strip_prefix(mark).map(|rest| rest.trim().to_owned());
    // Most answers have one line.
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

/// Recognizes `Energy <member> = <level>`, the answer of `conference … energy` for one member, which has no `+OK`.
fn quirk_energy_is_not_ok(text: &str) -> bool {
    let text = text.strip_prefix("Energy ");
    let levels = text.and_then(|text| text.split_once(" = "));
    levels.is_some_and(|(member, level)| {
        // A second line says that FreeSWITCH's own adjustment of the level is off.
        let level = level.lines().next().unwrap_or_default();
        member.parse::<u32>().is_ok() && level.parse::<i32>().is_ok()
    })
}

/// Recognizes `-ERROR` without further text, the answer of `uuid_answer` for an unknown channel (seen on 1.11.2).
fn quirk_error_in_full(text: &str) -> Option<ApiReply> {
    (text == "-ERROR").then(|| ApiReply::Err("ERROR".to_owned()))
}

/// Returns the words behind "FreeSWITCH refused" in a message: the text of the refusal, or that there is none, because
/// a refused transfer answers `-ERR` without text.
fn quirk_error_without_text(text: &str) -> Cow<'static, str> {
    if text.is_empty() {
        Cow::Borrowed(" without a reason")
    } else {
        Cow::Owned(format!(": {text}"))
    }
}

/// The answer to every command but `api`: its `Reply-Text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandReply {
    /// `+OK` and the text behind it.
    Ok(String),
    /// `-ERR` and the text behind it, or a text that is neither.
    Err(String),
}

impl CommandReply {
    /// Classifies a `Reply-Text`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix("+OK") {
            Some(rest) => Self::Ok(rest.trim().to_owned()),
            None => Self::Err(text.strip_prefix("-ERR").unwrap_or(text).trim().to_owned()),
        }
    }
}
