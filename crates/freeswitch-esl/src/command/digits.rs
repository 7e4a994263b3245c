//! The argument of `play_and_get_digits`: one attempt to collect digits from a caller.
//!
//! ```text
//! argument = min SP max SP "1" SP timeout SP terminators SP prompt SP invalid SP variable SP pattern SP digit-timeout
//! ```

use std::fmt;
use std::time::Duration;

use super::checked::{Line, MediaUrl, Unfit, VarName, Voice};

/// The key that ends an attempt on our command. It is the flash key, which FreeSWITCH accepts among the terminators and
/// no keypad has.
pub const STOP_KEY: char = 'F';

/// The application splits its argument at spaces and treats `'` as a quote; FreeSWITCH removes one level of backslashes
/// before that (`switch_channel_expand_variables`). Seen on 1.11.3.
fn quirk_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            ' ' => escaped.push_str("\\s"),
            '\'' => escaped.push_str("\\\\'"),
            // A backslash has no sound.
            '\\' => escaped.push_str("\\s"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The prompt of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigitPrompt(String);

impl DigitPrompt {
    /// No prompt.
    #[must_use]
    pub fn silence() -> Self {
        Self("silence".to_owned())
    }

    /// A file.
    #[must_use]
    pub fn file(url: &MediaUrl) -> Self {
        Self(url.to_string())
    }

    /// A text for a speech engine.
    ///
    /// # Errors
    ///
    /// [`Unfit`] for control characters, `${`, and a text that is empty or longer than a command.
    pub fn speech(engine: &Voice, voice: &Voice, text: &str) -> Result<Self, Unfit> {
        let line = Line::new(text)?;
        // The engine reads its parameters there.
        if text.trim_start().starts_with('{') {
            return Err(Unfit::Byte {
                what: "a prompt",
                at: 0,
            });
        }
        let text = quirk_escape(line.as_str());
        Ok(Self(format!("tts://{engine}|{voice}|{text}")))
    }
}

/// One attempt to collect digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectDigits {
    /// Fewer digits are a failure.
    pub min: u8,
    /// The last digit ends the attempt.
    pub max: u8,
    /// The key of a telephone that ends the attempt.
    pub terminator: Option<char>,
    /// The time for the first digit.
    pub timeout: Duration,
    /// The time for each further digit.
    pub digit_timeout: Duration,
    /// The prompt.
    pub prompt: DigitPrompt,
    /// The variable of the channel that gets the digits.
    pub variable: VarName,
}

impl CollectDigits {
    /// Returns the argument.
    ///
    /// # Errors
    ///
    /// [`Unfit`] if the terminator is no key, or the argument is too long.
    pub fn argument(&self) -> Result<Line, Unfit> {
        let is_key = |key: char| matches!(key, '0'..='9' | 'A'..='D' | '*' | '#');
        if self.terminator.is_some_and(|key| !is_key(key)) {
            return Err(Unfit::Byte {
                what: "a terminator",
                at: 0,
            });
        }
        Line::new(self.to_string())
    }
}

impl fmt::Display for CollectDigits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} 1 {} ",
            self.min,
            self.max,
            self.timeout.as_millis()
        )?;
        if let Some(key) = self.terminator {
            write!(f, "{key}")?;
        }
        // The file for invalid digits cannot be left out: it is a millisecond of silence. Any digit is valid.
        write!(
            f,
            "{STOP_KEY} {} silence_stream://1 {} .+ {}",
            self.prompt.0,
            self.variable,
            self.digit_timeout.as_millis()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(name: &str) -> Voice {
        Voice::new(name).unwrap()
    }

    fn collect(prompt: DigitPrompt, terminator: Option<char>) -> CollectDigits {
        CollectDigits {
            min: 1,
            max: 4,
            terminator,
            timeout: Duration::from_secs(5),
            digit_timeout: Duration::from_secs(2),
            prompt,
            variable: VarName::new("digits").unwrap(),
        }
    }

    fn says(prompt: DigitPrompt, terminator: Option<char>, keys: &str, expected: &str) {
        let argument = collect(prompt, terminator).argument().unwrap();
        let expected = format!("1 4 1 5000 {keys} {expected} silence_stream://1 digits .+ 2000");
        assert_eq!(argument.as_str(), expected);
    }

    #[test]
    fn argument_has_one_attempt_and_our_own_terminator() {
        says(DigitPrompt::silence(), Some('#'), "#F", "silence");
        let url = MediaUrl::new("https://h.example/a.wav").unwrap();
        says(
            DigitPrompt::file(&url),
            None,
            "F",
            "https://h.example/a.wav",
        );
    }

    #[test]
    fn spoken_prompt_is_one_word_for_the_application() {
        let speech = |text| DigitPrompt::speech(&voice("flite"), &voice("kal"), text);
        let expected = "tts://flite|kal|don\\\\'t\\ssay\\s\"x\"\\sor\\sy|z";
        says(
            speech("don't say \"x\" or\\y|z").unwrap(),
            None,
            "F",
            expected,
        );
        for bad in ["", "a\nb", "${x}", "{rate=1}a", " {rate=1}a"] {
            assert!(speech(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn terminator_is_a_key() {
        for bad in ['F', 'w', ' ', 'é'] {
            let argument = collect(DigitPrompt::silence(), Some(bad)).argument();
            assert!(argument.is_err(), "{bad:?}");
        }
    }
}
