//! Digits that a caller is asked for: the request, its limits, and the meaning of FreeSWITCH's answer.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::ids::{CommandUid, OperationId};
use crate::play_url::PlayUrl;
use crate::speech::Speech;

/// The most digits of one request.
pub const MAX_DIGITS: u8 = 64;

/// The most attempts of one request.
pub const MAX_TRIES: u8 = 10;

/// The accepted timeouts, in milliseconds. FreeSWITCH waits for a second at least.
pub const TIMEOUTS: std::ops::RangeInclusive<u32> = 1_000..=60_000;

/// The longest text of a prompt, in bytes. FreeSWITCH's command carries it escaped.
pub const MAX_PROMPT_TEXT: usize = 1_024;

/// The time that an attempt may take in addition to its prompt and its timeouts.
const GRACE: Duration = Duration::from_secs(10);

/// Digits that a caller entered. They can be a secret, so `Debug` shows their number alone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Digits(SmolStr);

impl Digits {
    /// Keeps the characters that are digits of a telephone. Others belong to no keypad.
    pub fn from_reported(text: &str) -> Self {
        let digits = text.chars().filter(|digit| is_digit(*digit));
        Self(digits.take(MAX_DIGITS.into()).collect())
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({})", self.len())
    }
}

/// Returns true for a key of a telephone: `0` to `9`, `*`, `#`, and `A` to `D`.
pub const fn is_digit(digit: char) -> bool {
    matches!(digit, '0'..='9' | 'A'..='D' | '*' | '#')
}

/// Tones for a call: keys of a telephone, `w` for a pause of half a second, `W` for one of a second. `Debug` shows their
/// number alone, because they can be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Tones {
    digits: SmolStr,
    duration_ms: Option<u16>,
}

/// The most tones of one command.
pub const MAX_TONES: usize = 64;

/// The accepted duration of a tone, in milliseconds.
pub const TONE_DURATIONS: std::ops::RangeInclusive<u16> = 50..=2_000;

impl Tones {
    /// Checks tones.
    ///
    /// # Errors
    /// The field that is wrong, and the accepted values.
    pub fn new(digits: &str, duration_ms: Option<u16>) -> Result<Self, InvalidGather> {
        let is_tone = |tone: char| is_digit(tone) || matches!(tone, 'w' | 'W');
        if digits.is_empty() || digits.len() > MAX_TONES || !digits.chars().all(is_tone) {
            return Err(InvalidGather {
                field: "digits",
                expected: "expected 1 to 64 of 0123456789*#ABCD, w and W",
            });
        }
        if duration_ms.is_some_and(|ms| !TONE_DURATIONS.contains(&ms)) {
            return Err(InvalidGather {
                field: "duration_ms",
                expected: "expected 50 to 2000",
            });
        }
        Ok(Self {
            digits: digits.into(),
            duration_ms,
        })
    }

    /// Returns the tones.
    pub fn digits(&self) -> &str {
        &self.digits
    }

    /// Returns the duration of each tone, if it is not FreeSWITCH's own.
    pub const fn duration_ms(&self) -> Option<u16> {
        self.duration_ms
    }
}

impl fmt::Debug for Tones {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tones({})", self.digits.len())
    }
}

/// The prompt before the digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// None: the caller knows that digits are expected.
    Silence,
    /// A file.
    Play(PlayUrl),
    /// A spoken text.
    Talk(Speech),
}

impl Prompt {
    /// Returns the URL of a file.
    pub const fn url(&self) -> Option<&PlayUrl> {
        match self {
            Self::Play(url) => Some(url),
            Self::Silence | Self::Talk(_) => None,
        }
    }
}

/// A request for digits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gather {
    /// The prompt, which the first digit interrupts.
    pub prompt: Prompt,
    /// Fewer digits are no input.
    pub min_digits: u8,
    /// The last digit ends the input.
    pub max_digits: u8,
    /// The key that ends the input and is not part of it.
    pub terminator: Option<char>,
    /// The time for the first digit, after the prompt.
    pub timeout_ms: u32,
    /// The time for each further digit.
    pub inter_digit_timeout_ms: u32,
    /// The number of attempts, each with the prompt.
    pub tries: u8,
}

/// A limit of [`Gather`] that a request breaks: the field, and the accepted values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{expected}")]
pub struct InvalidGather {
    /// The field.
    pub field: &'static str,
    /// The accepted values.
    pub expected: &'static str,
}

impl Gather {
    /// Checks the limits.
    ///
    /// # Errors
    /// The first field that breaks one.
    pub fn check(self) -> Result<Self, InvalidGather> {
        let invalid = |field, expected| Err(InvalidGather { field, expected });
        if !(1..=MAX_DIGITS).contains(&self.max_digits) {
            return invalid("max_digits", "expected 1 to 64");
        }
        if !(1..=self.max_digits).contains(&self.min_digits) {
            return invalid("min_digits", "expected 1 to max_digits");
        }
        if self.terminator.is_some_and(|key| !is_digit(key)) {
            return invalid("terminator", "expected one of 0123456789*#ABCD, or \"\"");
        }
        if !TIMEOUTS.contains(&self.timeout_ms) {
            return invalid("timeout_ms", "expected 1000 to 60000");
        }
        if !TIMEOUTS.contains(&self.inter_digit_timeout_ms) {
            return invalid("inter_digit_timeout_ms", "expected 1000 to 60000");
        }
        if !(1..=MAX_TRIES).contains(&self.tries) {
            return invalid("tries", "expected 1 to 10");
        }
        if let Prompt::Talk(text) = &self.prompt
            && text.as_str().len() > MAX_PROMPT_TEXT
        {
            return invalid("prompt_text", "is longer than 1024 bytes");
        }
        Ok(self)
    }

    /// Returns the longest time of one attempt; `prompt` is the time that a file or a text may take.
    pub fn longest(&self, prompt: Duration) -> Duration {
        let digits = self
            .inter_digit_timeout_ms
            .saturating_mul(self.max_digits.into());
        let wait = self.timeout_ms.saturating_add(digits);
        prompt + Duration::from_millis(wait.into()) + GRACE
    }

    /// Reads FreeSWITCH's response to an attempt: `<read_result>:<digits>`.
    pub fn read(&self, response: &str) -> GatherReading {
        let (result, digits) = response.split_once(':').unwrap_or((response, ""));
        let digits = Digits::from_reported(digits);
        // FreeSWITCH sets a result once it waits for digits: without one the prompt was not played.
        if result.is_empty() {
            return GatherReading::NoPrompt;
        }
        if digits.len() >= usize::from(self.min_digits) {
            GatherReading::Complete(digits)
        } else {
            GatherReading::TooFew(digits)
        }
    }
}

/// The outcome of one attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GatherReading {
    /// Enough digits.
    Complete(Digits),
    /// Fewer digits than needed, or none.
    TooFew(Digits),
    /// The prompt could not be played.
    NoPrompt,
}

/// The reason why a request for digits ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GatherEnd {
    /// The caller entered enough digits.
    Matched,
    /// The caller entered too few digits.
    Timeout,
    /// The caller entered none.
    NoInput,
    /// The call ended.
    Hangup,
    /// The app stopped it, or the call was moved.
    Stopped,
    /// The prompt could not be played, or FreeSWITCH did not report the end.
    Failed,
}

impl GatherEnd {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Timeout => "timeout",
            Self::NoInput => "no_input",
            Self::Hangup => "hangup",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// The result of a request for digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GatherResult {
    /// The request.
    pub operation: OperationId,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
    /// The digits so far.
    pub digits: Digits,
    /// The reason of the end.
    pub reason: GatherEnd,
    /// The prompt that could not be played.
    pub failed_prompt: Option<PlayUrl>,
    /// True if no event of FreeSWITCH reported it.
    pub synthesized: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather() -> Gather {
        Gather {
            prompt: Prompt::Silence,
            min_digits: 2,
            max_digits: 4,
            terminator: Some('#'),
            timeout_ms: 5_000,
            inter_digit_timeout_ms: 2_000,
            tries: 1,
        }
    }

    #[test]
    fn response_of_freeswitch_is_classified() {
        let complete = |text| GatherReading::Complete(Digits::from_reported(text));
        let too_few = |text| GatherReading::TooFew(Digits::from_reported(text));
        for (response, expected) in [
            ("success:12", complete("12")),
            ("timeout:123", complete("123")),
            ("failure:1", too_few("1")),
            ("failure:", too_few("")),
            ("success:*#", complete("*#")),
            (":", GatherReading::NoPrompt),
            ("", GatherReading::NoPrompt),
            ("success:1x2${y}", complete("12")),
        ] {
            assert_eq!(gather().read(response), expected, "{response:?}");
        }
    }

    #[test]
    fn debug_hides_digits() {
        let shown = format!("{:?}", gather().read("success:9876"));
        assert_eq!(shown, "Complete(Digits(4))");
    }

    #[test]
    fn limits_name_the_field() {
        assert!(gather().check().is_ok());
        type Change = fn(&mut Gather);
        let cases: [(Change, &str); 7] = [
            (|g| g.max_digits = 0, "max_digits"),
            (|g| g.max_digits = 65, "max_digits"),
            (|g| g.min_digits = 5, "min_digits"),
            (|g| g.terminator = Some('F'), "terminator"),
            (|g| g.timeout_ms = 999, "timeout_ms"),
            (
                |g| g.inter_digit_timeout_ms = 60_001,
                "inter_digit_timeout_ms",
            ),
            (|g| g.tries = 11, "tries"),
        ];
        for (change, field) in cases {
            let mut bad = gather();
            change(&mut bad);
            assert_eq!(bad.check().unwrap_err().field, field);
        }
    }
}
