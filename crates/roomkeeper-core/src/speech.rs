//! Texts that FreeSWITCH speaks, and their voices.

use serde::{Deserialize, Serialize};

/// The maximum length of a text to be spoken, in bytes.
pub const MAX_TEXT: usize = 4_096;

/// A text for a speech engine: one line, not empty, and free of FreeSWITCH syntax.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Speech(String);

impl Speech {
    /// Checks a text. Line ends and tabs become spaces.
    ///
    /// # Errors
    /// Returns the reason why the text cannot be spoken.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = one_line(text);
        if text.is_empty() {
            return Err("text is empty");
        }
        if text.len() > MAX_TEXT {
            return Err("text is longer than 4096 bytes");
        }
        if text.chars().any(char::is_control) {
            return Err("text contains a control character");
        }
        if text.contains("${") {
            return Err("text contains ${, which FreeSWITCH would expand");
        }
        // Engine parameters are written there (switch_core_speech.c).
        if text.starts_with('{') {
            return Err("text begins with {");
        }
        Ok(Self(text))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Speech {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Speech> for String {
    fn from(speech: Speech) -> Self {
        speech.0
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The maximum length of a template, in bytes.
const MAX_TEMPLATE: usize = 512;

/// The place of the number in a template.
const COUNT: &str = "{count}";

/// A text to be spoken with a number, which replaces each `{count}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountTemplate(String);

impl CountTemplate {
    /// Checks a template. Line ends and tabs become spaces.
    ///
    /// # Errors
    /// Returns the reason why it cannot be spoken.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        if text.len() > MAX_TEMPLATE {
            return Err("text is longer than 512 bytes");
        }
        if !text.contains(COUNT) {
            return Err("text lacks {count}");
        }
        // Every number leaves the text as free of FreeSWITCH syntax as this one.
        Speech::new(&text.replace(COUNT, "2"))?;
        Ok(Self(one_line(text)))
    }

    /// Returns the text with this number.
    pub fn with_count(&self, count: usize) -> Speech {
        Speech(self.0.replace(COUNT, &count.to_string()))
    }
}

impl TryFrom<String> for CountTemplate {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<CountTemplate> for String {
    fn from(template: CountTemplate) -> Self {
        template.0
    }
}

/// The maximum length of the name of a voice.
const MAX_VOICE: usize = 64;

/// The name of a voice: letters, digits, `-`, `_` and `.`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VoiceName(String);

impl VoiceName {
    /// Checks a name.
    ///
    /// # Errors
    /// Returns the accepted form.
    pub fn new(name: &str) -> Result<Self, &'static str> {
        let is_allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let fits = !name.is_empty() && name.len() <= MAX_VOICE && name.bytes().all(is_allowed);
        if fits {
            Ok(Self(name.to_owned()))
        } else {
            Err("expected 1 to 64 letters, digits, \"-\", \"_\" or \".\"")
        }
    }

    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for VoiceName {
    type Error = &'static str;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(&name)
    }
}

impl From<VoiceName> for String {
    fn from(name: VoiceName) -> Self {
        name.0
    }
}
