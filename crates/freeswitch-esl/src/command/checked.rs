//! Texts inside commands, each a newtype whose constructor refuses what its position cannot carry.
//!
//! Owns the alphabets and limits, and the quirks of FreeSWITCH behind them. Leaves out the position of each text in a
//! command.
//!
//! A newline would start a second command or add a header; `${` is expanded in many places, with API calls inside; in
//! an inline dialplan `,` separates applications. So, wherever a position does not need free text, its alphabet lists
//! the allowed characters instead of the forbidden ones.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// The reason why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// The purpose of the text.
        what: &'static str,
    },
    /// The text is too long.
    #[error("{what} is longer than {limit} bytes")]
    Long {
        /// The purpose of the text.
        what: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The text has a character that its position cannot carry.
    #[error("{what} has an invalid character at byte {at}")]
    Byte {
        /// The purpose of the text.
        what: &'static str,
        /// The offset of the first offending byte.
        at: usize,
    },
    /// FreeSWITCH would give the text another meaning.
    #[error("{what} has a special meaning in FreeSWITCH")]
    Reserved {
        /// The purpose of the text.
        what: &'static str,
    },
}

/// Checks length and alphabet.
fn check(
    what: &'static str,
    text: &str,
    limit: usize,
    allowed: impl Fn(u8) -> bool,
) -> Result<(), Unfit> {
    if text.is_empty() {
        return Err(Unfit::Empty { what });
    }
    if text.len() > limit {
        return Err(Unfit::Long { what, limit });
    }
    match text.bytes().position(|b| !allowed(b)) {
        Some(at) => Err(Unfit::Byte { what, at }),
        None => Ok(()),
    }
}

/// Refuses `${`, which FreeSWITCH expands, with API calls inside.
fn no_expansion(what: &'static str, text: &str) -> Result<(), Unfit> {
    match text.find("${") {
        Some(at) => Err(Unfit::Byte { what, at }),
        None => Ok(()),
    }
}

/// Declares a newtype over checked text: constructor, borrow, display.
macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $what:literal, |$text:ident| $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            #[doc = concat!("Checks that the text can be ", $what, ".")]
            ///
            /// # Errors
            ///
            /// [`Unfit`] names the problem.
            pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
                let text = text.into();
                let $text = text.as_str();
                $check?;
                Ok(Self(text))
            }

            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked! {
    /// One argument of an API command, up to 1,024 bytes of printable text. API commands split at spaces, `'`, `"` and
    /// `\` quote, a leading `^^` changes the delimiter, and backquotes run commands: none of these is allowed, nor
    /// `${`.
    Arg, "one argument", |text| {
        check("an argument", text, 1_024, |b| {
            b > b' ' && b != 0x7f && !matches!(b, b'\'' | b'"' | b'\\' | b'`')
        })
        .and_then(|()| no_expansion("an argument", text))
        .and_then(|()| quirk_delimiter_prefix("an argument", text))
    }
}

checked! {
    /// The name of a conference, up to 128 bytes of letters, digits, `-`, `_`, `.` and `~`. In a
    /// dial string `@` and `+` end it, `:` and `,` mean something in an inline dialplan, and a
    /// conference named like a subcommand takes that subcommand over.
    ConferenceName, "the name of a conference", |text| {
        check("a conference name", text, 128, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~')
        })
        .and_then(|()| quirk_subcommand_takes_the_name(text))
    }
}

checked! {
    /// The name of a conference profile: up to 64 letters, digits, `-`, `_` and `.`.
    ProfileName, "the name of a profile", |text| {
        check("a profile name", text, 64, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
        })
    }
}

checked! {
    /// The name of a channel variable: up to 64 of `a-z`, `0-9`, `_`, a letter first.
    VarName, "the name of a variable", |text| variable_name("a variable name", text)
}

checked! {
    /// The name of a conference variable: a [`VarName`] with a `_` in it. The variable shows as a
    /// bare header of every later event of the room, where `seconds` would hide the event's own;
    /// none of these has a `_`.
    ConferenceVarName, "the name of a conference variable", |text| {
        variable_name("a conference variable name", text).and_then(|()| {
            if text.contains('_') {
                Ok(())
            } else {
                Err(Unfit::Reserved { what: "a conference variable name without `_`" })
            }
        })
    }
}

checked! {
    /// The value of a variable: up to 2,048 letters, digits and `-._~=:`, which carries base64url and numbers. Free
    /// text must be encoded.
    VarValue, "the value of a variable", |text| {
        check("a variable's value", text, 2_048, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'=' | b':')
        })
    }
}

checked! {
    /// The file of a recording: an absolute path of up to 512 letters, digits and `-._~/`.
    RecordingPath, "the path of a recording", |text| {
        check("a recording's path", text, 512, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/')
        })
        .and_then(|()| {
            if text.starts_with('/') {
                Ok(())
            } else {
                Err(Unfit::Byte { what: "a recording's path", at: 0 })
            }
        })
    }
}

checked! {
    /// The `http` or `https` URL of an audio file: up to 6,144 letters, digits and `-._~/&+=%?:`, percent-encoded by
    /// its owner. FreeSWITCH splits commands at spaces, file lists at `!`, parameters at `{[(`, and reads a user name in
    /// front of the first `@`: none of these can be in it.
    MediaUrl, "the URL of an audio file", |text| {
        check("a media URL", text, 6_144, |b| {
            b.is_ascii_alphanumeric()
                || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/' | b'&' | b'+' | b'=' | b'%' | b'?' | b':')
        })
        .and_then(|()| {
            if text.starts_with("http://") || text.starts_with("https://") {
                Ok(())
            } else {
                Err(Unfit::Byte { what: "a media URL", at: 0 })
            }
        })
    }
}

checked! {
    /// The id of an application's execution, which the event of its end carries: up to 64 lower-case letters, digits, `-` and `.`.
    ExecutionId, "the id of an application's run", |text| {
        check("an execution's id", text, 64, |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.')
        })
    }
}

checked! {
    /// An engine or a voice: up to 64 letters, digits, `-`, `_` and `.`. `|` stands between them.
    Voice, "an engine or a voice", |text| {
        check("a voice", text, 64, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
        })
    }
}

checked! {
    /// A hang-up cause: `^[A-Z_]{1,64}$`, such as `NORMAL_CLEARING`.
    HangupCause, "a hang-up cause", |text| {
        check("a hang-up cause", text, 64, |b| b.is_ascii_uppercase() || b == b'_')
    }
}

impl HangupCause {
    /// Returns the ordinary cause.
    #[must_use]
    pub fn normal_clearing() -> Self {
        Self("NORMAL_CLEARING".to_owned())
    }
}

checked! {
    /// A `Job-UUID` of our choice: up to 64 letters, digits and `-`. FreeSWITCH accepts any text.
    JobUuid, "a job's id", |text| {
        check("a job id", text, 64, |b| b.is_ascii_alphanumeric() || b == b'-')
    }
}

checked! {
    /// The prefix of the [`JobUuid`]s of one connection, before a `-`: up to 40 letters, digits and `-`. It becomes
    /// part of a regular expression, in which none of these is special.
    JobPrefix, "the start of a job's id", |text| {
        check("a job prefix", text, 40, |b| b.is_ascii_alphanumeric() || b == b'-')
    }
}

impl JobPrefix {
    /// Returns the id of the job with this number.
    #[must_use]
    pub fn job(&self, number: u64) -> JobUuid {
        JobUuid(format!("{}-{number}", self.0))
    }
}

checked! {
    /// A dialplan application: up to 64 of `a-z`, `0-9`, `_`. An unknown one hangs the call up.
    AppName, "the name of an application", |text| {
        check("an application", text, 64, |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
        })
    }
}

checked! {
    /// One line of text, up to 8,192 bytes, without control characters or `${`, for the argument of an application and
    /// the value of a header. The caller is responsible for its meaning to the application.
    Line, "one line of text", |text| {
        check("a line", text, 8_192, |b| b >= b' ' && b != 0x7f)
            .and_then(|()| no_expansion("a line", text))
    }
}

checked! {
    /// The subclass of a `CUSTOM` event, such as `roomkeeper::fence`: up to 64 letters, digits,
    /// `-`, `_` and `:`.
    Subclass, "the subclass of an event", |text| {
        check("a subclass", text, 64, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b':')
        })
    }
}

checked! {
    /// The name of an event: up to 64 of `A-Z`, `0-9`, `_`. `CUSTOM` is refused, because every word behind it is a
    /// subclass, and so is `ALL`.
    EventName, "the name of an event", |text| {
        check("an event name", text, 64, |b| {
            b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_'
        })
        .and(match text {
            "CUSTOM" | "ALL" => Err(Unfit::Reserved { what: "an event name" }),
            _ => Ok(()),
        })
    }
}

checked! {
    /// The name of a header that we send: up to 64 letters, digits, `-` and `_`; none that frames the message or
    /// determines its kind.
    HeaderName, "the name of a header", |text| {
        check("a header name", text, 64, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')
        })
        .and_then(|()| {
            if ["Content-Length", "Content-Type", "Event-Name", "Event-Subclass"]
                .iter()
                .any(|taken| taken.eq_ignore_ascii_case(text))
            {
                Err(Unfit::Reserved { what: "a header name" })
            } else {
                Ok(())
            }
        })
    }
}

checked! {
    /// The name of a module, such as `mod_conference`: up to 64 of `a-z`, `0-9`, `_`.
    ModuleName, "the name of a module", |text| {
        check("a module name", text, 64, |b| {
            b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
        })
    }
}

checked! {
    /// A telephone number: up to 32 digits, `*` and `#`, and a `+` in front.
    Number, "a telephone number", |text| {
        let digits = text.strip_prefix('+').unwrap_or(text);
        check("a telephone number", digits, 32, |b| {
            b.is_ascii_digit() || matches!(b, b'*' | b'#')
        })
    }
}

checked! {
    /// Tones for a call: up to 64 keys of a telephone, `w` and `W` for pauses. `@` would set their duration.
    DtmfTones, "tones for a call", |text| {
        check("tones", text, 64, |b| {
            matches!(b, b'0'..=b'9' | b'A'..=b'D' | b'*' | b'#' | b'w' | b'W')
        })
    }
}

impl Number {
    /// Returns true if it has only digits.
    #[must_use]
    pub fn of_digits(number: u64) -> Self {
        Self(number.to_string())
    }
}

checked! {
    /// The name of a dialplan's context: up to 64 letters, digits, `-`, `_` and `.`.
    ContextName, "the name of a context", |text| {
        check("a context's name", text, 64, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
        })
    }
}

fn variable_name(what: &'static str, text: &str) -> Result<(), Unfit> {
    check(what, text, 64, |b| {
        b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'
    })?;
    if text.as_bytes().first().is_some_and(u8::is_ascii_lowercase) {
        Ok(())
    } else {
        Err(Unfit::Byte { what, at: 0 })
    }
}

/// Refuses a leading `^^`, which changes the separator of the arguments.
fn quirk_delimiter_prefix(what: &'static str, text: &str) -> Result<(), Unfit> {
    if text.starts_with("^^") {
        Err(Unfit::Byte { what, at: 0 })
    } else {
        Ok(())
    }
}

/// Refuses names that equal a subcommand: `conference <name> <sub>` and `conference <sub>` share their first word, in
/// upper or lower case. A room called `json_list` could not be addressed, and the list could no longer be requested.
fn quirk_subcommand_takes_the_name(text: &str) -> Result<(), Unfit> {
    const TAKEN: &[&str] = &[
        "agc",
        "all",
        "auto-3d-position",
        "bgdial",
        "bgdialv",
        "chkrecord",
        "clear-vid-floor",
        "codec-group",
        "commands",
        "count",
        "deaf",
        "dial",
        "dtmf",
        "energy",
        "enforce_floor",
        "exit_sound",
        "enter_sound",
        "file-vol",
        "file_seek",
        "floor",
        "force-canvas-bg-img",
        "get",
        "get-uuid",
        "getvar",
        "help",
        "hold",
        "hup",
        "json_list",
        "kick",
        "list",
        "lock",
        "moh",
        "mute",
        "nopin",
        "norecord",
        "pause",
        "pause_play",
        "pin",
        "play",
        "play_status",
        "position",
        "reconnect",
        "record",
        "recording",
        "relate",
        "resume",
        "say",
        "saymember",
        "send",
        "set",
        "setvar",
        "stop",
        "tmute",
        "transfer",
        "tvmute",
        "unban",
        "undeaf",
        "unhold",
        "unlock",
        "unmute",
        "unvmute",
        "vid-floor",
        "vid-layout",
        "vmute",
        "volume_in",
        "volume_out",
        "xml_list",
    ];
    if TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(text)) {
        Err(Unfit::Reserved {
            what: "a conference name",
        })
    } else {
        Ok(())
    }
}

/// The UUID of a channel, in the only form that FreeSWITCH makes: 36 lower-case characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelUuid(Uuid);

impl ChannelUuid {
    /// Checks that the text is a UUID as FreeSWITCH writes it. To FreeSWITCH, another spelling of the same number is
    /// another channel.
    ///
    /// # Errors
    ///
    /// [`Unfit`] if it is not.
    pub fn new(text: &str) -> Result<Self, Unfit> {
        let what = "a channel's UUID";
        if text.len() != 36 || text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Unfit::Byte { what, at: 0 });
        }
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| Unfit::Byte { what, at: 0 })
    }

    /// Returns the number itself.
    #[must_use]
    pub fn uuid(self) -> Uuid {
        self.0
    }
}

impl From<Uuid> for ChannelUuid {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for ChannelUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// The password of an Event Socket; its `Debug` output hides it.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// Checks that the text fits behind `auth `: printable, and without a space at either end, which the server would
    /// strip.
    ///
    /// # Errors
    ///
    /// [`Unfit`] names the problem.
    pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
        let text = text.into();
        let what = "a password";
        check(what, &text, 256, |b| b >= b' ' && b != 0x7f)?;
        if text.trim().len() != text.len() {
            return Err(Unfit::Byte { what, at: 0 });
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Returns the text, for the one command that carries it.
    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}
