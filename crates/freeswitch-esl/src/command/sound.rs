//! The file of `conference <name> play`: a URL, or a text for a speech engine.
//!
//! ```text
//! file = url / "'" parameters "tts://" engine "|" voice "|" text "'"
//! ```

use std::fmt;

use super::checked::{Line, MediaUrl, Unfit, Voice};

/// The sound that a conference plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoundFile {
    /// A file.
    Url(MediaUrl),
    /// A text that an engine speaks with a voice.
    Speech(Voice, Voice, SpokenText),
}

impl SoundFile {
    /// Returns the quote around it and its parameters: a text has spaces.
    pub(super) const fn quote(&self) -> &'static str {
        match self {
            Self::Url(_) => "",
            Self::Speech(..) => "'",
        }
    }
}

impl fmt::Display for SoundFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => url.fmt(f),
            Self::Speech(engine, voice, text) => write!(f, "tts://{engine}|{voice}|{}", text.0),
        }
    }
}

/// A text to be spoken, as it stands inside single quotes: up to 8,192 bytes without control characters, `${`, or a leading
/// `{`, where the engine reads its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpokenText(String);

impl SpokenText {
    /// Checks a text and writes it as FreeSWITCH can speak it.
    ///
    /// # Errors
    ///
    /// [`Unfit`] names the problem.
    pub fn new(text: &str) -> Result<Self, Unfit> {
        let line = Line::new(text)?;
        let text = quirk_no_quote_can_be_escaped(line.as_str());
        if text.trim_start().starts_with('{') {
            return Err(Unfit::Byte {
                what: "a spoken text",
                at: 0,
            });
        }
        Ok(Self(text))
    }
}

/// `'` would end the argument, and a backslash is removed with the letter that follows it, by the command and once more for a
/// member (`switch_channel_expand_variables`). The apostrophe has the same sound, and a backslash has none. Seen on
/// 1.11.3.
fn quirk_no_quote_can_be_escaped(text: &str) -> String {
    text.replace('\'', "\u{2019}").replace('\\', " ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::command::{Api, ConferenceCommand, ConferenceName};

    fn voice(text: &str) -> Voice {
        Voice::new(text).unwrap()
    }

    fn play(sound: SoundFile) -> String {
        let play = ConferenceCommand::Play {
            operation: Uuid::nil(),
            index: 1,
            volume: -3,
            sound,
            member: Some(Uuid::nil().into()),
        };
        Api::Conference(ConferenceName::new("r1").unwrap(), play).to_string()
    }

    /// The file in a command to speak.
    fn said(text: &str) -> Result<String, Unfit> {
        let text = SpokenText::new(text)?;
        let command = play(SoundFile::Speech(voice("flite"), voice("kal"), text));
        let nil = Uuid::nil();
        let start = format!("conference r1 play '{{op={nil},n=1,vol=-3}}tts://flite|kal|");
        let rest = command.strip_prefix(&start).unwrap();
        let end = format!("' uuid={nil}");
        Ok(rest.strip_suffix(&end).unwrap().to_owned())
    }

    #[test]
    fn url_has_no_quotes() {
        let url = MediaUrl::new("https://h.example/a.wav").unwrap();
        let nil = Uuid::nil();
        assert_eq!(
            play(SoundFile::Url(url)),
            format!("conference r1 play {{op={nil},n=1,vol=-3}}https://h.example/a.wav uuid={nil}")
        );
    }

    #[test]
    fn text_keeps_its_letters_inside_the_quotes() {
        for (given, written) in [
            ("Hello, world", "Hello, world"),
            ("don't", "don\u{2019}t"),
            ("a\\b", "a b"),
            ("\\'", " \u{2019}"),
            (
                "x|y \"z\" {a} [b] $5 `ls` ^^:c",
                "x|y \"z\" {a} [b] $5 `ls` ^^:c",
            ),
            ("日本語", "日本語"),
        ] {
            assert_eq!(said(given).unwrap(), written, "{given}");
        }
    }

    #[test]
    fn text_with_a_meaning_for_freeswitch_is_refused() {
        let long = "x".repeat(8_193);
        for bad in [
            "",
            "a\nb",
            "a\rb",
            "a\0b",
            "${uptime}",
            "a $${b}",
            "{rate=1}a",
            " {rate=1}a",
            "\\{rate=1}a",
            &long,
        ] {
            assert!(said(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn text_never_leaves_the_quotes(text in "[ a'\"\\\\{}$|\\n!,;\\PC]{0,40}") {
            if let Ok(said) = said(&text) {
                prop_assert!(!said.contains(['\'', '\\', '\n']), "{said}");
                let is_plain = !said.contains("${") && !said.trim_start().starts_with('{');
                prop_assert!(is_plain, "{said}");
            }
        }
    }
}
