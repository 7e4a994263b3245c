//! What we say to FreeSWITCH, as types, and what its answers mean.
//!
//! Owns the text of commands and the reading of replies. Leaves out when a command is sent and
//! which reply is whose (`session`), and whether it should be sent at all (the reconciler).
//!
//! Anything that did not come from our own source text enters through a newtype here, whose
//! constructor refuses what its place cannot carry. A newline would start a second command or add a
//! header; `${` is expanded in many places, with API calls inside; in an inline dialplan `,`
//! separates applications. So the alphabets below say what is allowed, not what is forbidden,
//! wherever the place has no need of free text.
//!
//! ```text
//! message = line *( header ) LF                 ; the blank line ends it
//! line    = ( "api" / "bgapi" ) SP name [ SP arguments ] LF
//!         / "auth" SP password LF  / "exit" LF  / "noevents" LF
//!         / "event" SP ( "plain" / "json" ) *( SP name ) [ SP "CUSTOM" 1*( SP subclass ) ] LF
//!         / "filter" SP header SP value LF
//!         / "sendevent" SP name LF  / "sendmsg" SP uuid LF
//! header  = name ": " value LF
//! ```

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::play_url::PlayUrl;

/// Why a text cannot stand where it was meant to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// There is nothing in it.
    #[error("{what} is empty")]
    Empty {
        /// What the text was to be.
        what: &'static str,
    },
    /// It is too long.
    #[error("{what} is longer than {limit} bytes")]
    Long {
        /// What the text was to be.
        what: &'static str,
        /// The limit, in bytes.
        limit: usize,
    },
    /// It holds something that its place cannot carry.
    #[error("{what} cannot hold what stands at byte {at}")]
    Byte {
        /// What the text was to be.
        what: &'static str,
        /// Offset of the first offending byte.
        at: usize,
    },
    /// It means something else to FreeSWITCH.
    #[error("{what} means something else to FreeSWITCH")]
    Reserved {
        /// What the text was to be.
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

/// A newtype over checked text: constructor, borrow, display.
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
            /// [`Unfit`] says what it cannot carry.
            pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
                let text = text.into();
                let $text = text.as_str();
                $check?;
                Ok(Self(text))
            }

            /// The text.
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
    /// One argument of an API command, up to 1,024 bytes of printable text. API commands split at
    /// spaces, `'`, `"` and `\` quote, a leading `^^` changes the delimiter, and backquotes run
    /// things: none of these can be in it, nor `${`.
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
    /// The value of a variable: up to 2,048 of letters, digits and `-._~=:`, which carries base64url
    /// and numbers. Free text goes in encoded.
    VarValue, "the value of a variable", |text| {
        check("a variable's value", text, 2_048, |b| {
            b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'=' | b':')
        })
    }
}

checked! {
    /// Why a call is ended: `^[A-Z_]{1,64}$`, such as `NORMAL_CLEARING`.
    HangupCause, "a hang-up cause", |text| {
        check("a hang-up cause", text, 64, |b| b.is_ascii_uppercase() || b == b'_')
    }
}

impl HangupCause {
    /// The ordinary end of a call.
    #[must_use]
    pub fn normal_clearing() -> Self {
        Self("NORMAL_CLEARING".to_owned())
    }
}

checked! {
    /// A `Job-UUID` of our choosing: up to 64 letters, digits and `-`. FreeSWITCH takes any text.
    JobUuid, "a job's id", |text| {
        check("a job id", text, 64, |b| b.is_ascii_alphanumeric() || b == b'-')
    }
}

checked! {
    /// What the [`JobUuid`]s of one connection start with, before a `-`: up to 40 letters, digits
    /// and `-`. It stands in a regular expression, where none of these is special.
    JobPrefix, "the start of a job's id", |text| {
        check("a job prefix", text, 40, |b| b.is_ascii_alphanumeric() || b == b'-')
    }
}

impl JobPrefix {
    /// The job of that number.
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
    /// One line of text, up to 8,192 bytes: no control character, no `${`. For an application's
    /// argument and a header's value. What the application makes of it is the caller's to know.
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
    /// The name of an event: up to 64 of `A-Z`, `0-9`, `_`. Not `CUSTOM`, behind which every word
    /// is a subclass, and not `ALL`.
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
    /// The name of a header we send: up to 64 letters, digits, `-` and `_`; none that frames the
    /// message or says what it is.
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

/// `^^` in front of arguments changes the character that separates them.
fn quirk_delimiter_prefix(what: &'static str, text: &str) -> Result<(), Unfit> {
    if text.starts_with("^^") {
        Err(Unfit::Byte { what, at: 0 })
    } else {
        Ok(())
    }
}

/// `conference <name> <sub>` and `conference <sub>` share their first word, in any case of letters:
/// a room called `json_list` could not be spoken to, and the list could no longer be had.
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

/// The UUID of a channel, in the only form FreeSWITCH makes: 36 lower-case characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelUuid(Uuid);

impl ChannelUuid {
    /// Checks that the text is a UUID as FreeSWITCH writes it. Another spelling of the same number
    /// would be another channel to it.
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

    /// The number itself.
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

/// The password of an Event Socket; its `Debug` does not tell.
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// Checks that the text fits behind `auth `: printable, and no space at either end, which the
    /// server would strip.
    ///
    /// # Errors
    ///
    /// [`Unfit`] says what it cannot carry.
    pub fn new(text: impl Into<String>) -> Result<Self, Unfit> {
        let text = text.into();
        let what = "a password";
        check(what, &text, 256, |b| b >= b' ' && b != 0x7f)?;
        if text.trim().len() != text.len() {
            return Err(Unfit::Byte { what, at: 0 });
        }
        Ok(Self(SecretString::from(text)))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Whom a conference command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberSelector {
    /// `Member-ID`.
    Number(u32),
    /// The member of that channel (1.10.7 and later).
    Channel(ChannelUuid),
    /// Everybody.
    All,
}

impl fmt::Display for MemberSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => write!(f, "{id}"),
            Self::Channel(uuid) => write!(f, "uuid={uuid}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// What is done to a member. Each states a target, none toggles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberAction {
    /// Cannot speak.
    Mute,
    /// Can speak.
    Unmute,
    /// Cannot hear.
    Deaf,
    /// Can hear.
    Undeaf,
    /// Neither, until unheld.
    Hold,
    /// No longer held.
    Unhold,
    /// Out of the room; the call goes on with what its plan has next.
    Kick,
    /// Out of the room, and the call ended.
    Hup,
}

impl MemberAction {
    /// The subcommand.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::Deaf => "deaf",
            Self::Undeaf => "undeaf",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Kick => "kick",
            Self::Hup => "hup",
        }
    }
}

/// One command of `conference <name> …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConferenceCommand {
    /// Something done to members.
    Member(MemberAction, MemberSelector),
    /// A variable of the room, which shows in snapshots and later events.
    SetVar(ConferenceVarName, VarValue),
    /// Opens a file and plays it after what plays already. Slow: the file is fetched first. What stands in front of the
    /// path comes back with the file's events.
    Play {
        /// `op`.
        operation: Uuid,
        /// `n`.
        index: u16,
        /// `vol`, in decibels; FreeSWITCH forgets it with the file.
        volume: i8,
        /// The path.
        url: PlayUrl,
    },
    /// Pauses the file that plays, or goes on with it; the answer says which. Without one there is no answer.
    PausePlay,
    /// Closes all files, each at its next frame.
    StopPlay,
    /// The volume of the file that plays, in decibels.
    FileVolume(i8),
    /// What plays, or `-ERR Nothing is playing`.
    PlayStatus,
    /// No one else gets in.
    Lock,
    /// Open again.
    Unlock,
}

/// Where a call goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into a room, and back into the park when the room refuses it, ends, or loses it by a kick:
    /// without that the call would be hung up.
    Conference {
        /// The room.
        room: ConferenceName,
        /// Its profile, should the room come to be by this.
        profile: ProfileName,
        /// Whether the member starts muted.
        muted: bool,
        /// How long the call may be parked behind it, in whole seconds, until the node hangs it up by itself.
        park_timeout: Duration,
    },
    /// Into the park, out of whatever it is in.
    Park {
        /// How long it may be parked, in whole seconds, until the node hangs it up by itself.
        park_timeout: Duration,
    },
}

/// The commands of FreeSWITCH's API that we use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// `echo`: answers with its argument. A ping that costs nothing.
    Echo(Arg),
    /// `uptime ms`: milliseconds since the start of the server.
    Uptime,
    /// `module_exists`: `true` or `false`.
    ModuleExists(ModuleName),
    /// `uuid_transfer … inline`: moves a call.
    Transfer(ChannelUuid, Destination),
    /// `uuid_kill`: ends a call.
    Kill(ChannelUuid, Option<HangupCause>),
    /// `uuid_answer`.
    Answer(ChannelUuid),
    /// `uuid_setvar`: sets a variable of a channel.
    SetVar(ChannelUuid, VarName, VarValue),
    /// `uuid_exists`: `true` or `false`.
    Exists(ChannelUuid),
    /// `uuid_dump … json`: everything about a channel.
    Dump(ChannelUuid),
    /// `show channels as json`: written late (77–299 ms seen), so it proposes and does not decide.
    ShowChannels,
    /// `conference <name> …`.
    Conference(ConferenceName, ConferenceCommand),
    /// `conference json_list compact`: the rooms and who is in them.
    ConferenceList,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo(text) => write!(f, "echo {text}"),
            Self::Uptime => f.write_str("uptime ms"),
            Self::ModuleExists(module) => write!(f, "module_exists {module}"),
            Self::Transfer(uuid, Destination::Park { park_timeout }) => {
                write!(f, "uuid_transfer {uuid} ")?;
                quirk_park_clears_its_timeout(f, *park_timeout)
            }
            Self::Transfer(
                uuid,
                Destination::Conference {
                    room,
                    profile,
                    muted,
                    park_timeout,
                },
            ) => {
                let flags = if *muted { "+flags{mute}" } else { "" };
                write!(
                    f,
                    "uuid_transfer {uuid} conference:{room}@{profile}{flags},"
                )?;
                quirk_park_clears_its_timeout(f, *park_timeout)
            }
            Self::Kill(uuid, None) => write!(f, "uuid_kill {uuid}"),
            Self::Kill(uuid, Some(cause)) => write!(f, "uuid_kill {uuid} {cause}"),
            Self::Answer(uuid) => write!(f, "uuid_answer {uuid}"),
            Self::SetVar(uuid, name, value) => write!(f, "uuid_setvar {uuid} {name} {value}"),
            Self::Exists(uuid) => write!(f, "uuid_exists {uuid}"),
            Self::Dump(uuid) => write!(f, "uuid_dump {uuid} json"),
            Self::ShowChannels => f.write_str("show channels as json"),
            Self::ConferenceList => f.write_str("conference json_list compact"),
            Self::Conference(room, command) => {
                write!(f, "conference {room} ")?;
                match command {
                    ConferenceCommand::Member(action, whom) => {
                        write!(f, "{} {whom}", action.as_str())
                    }
                    ConferenceCommand::SetVar(name, value) => write!(f, "setvar {name} {value}"),
                    ConferenceCommand::Play {
                        operation,
                        index,
                        volume,
                        url,
                    } => write!(f, "play {{op={operation},n={index},vol={volume}}}{url}"),
                    ConferenceCommand::PausePlay => f.write_str("pause_play"),
                    ConferenceCommand::StopPlay => f.write_str("stop all"),
                    ConferenceCommand::FileVolume(volume) => write!(f, "file-vol {volume}"),
                    ConferenceCommand::PlayStatus => f.write_str("play_status"),
                    ConferenceCommand::Lock => f.write_str("lock"),
                    ConferenceCommand::Unlock => f.write_str("unlock"),
                }
            }
        }
    }
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    /// Percent-encoded headers; cheaper on both sides.
    Plain,
    /// Flat JSON.
    Json,
}

/// One command, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Runs on the connection's own thread: while it runs, the connection delivers no events and
    /// answers nothing else.
    Api(Api),
    /// Runs on a thread of its own. Answered at once, and by a `BACKGROUND_JOB` when done, which
    /// may never come.
    BgApi(Api, JobUuid),
    /// Runs an application on a channel; `CHANNEL_EXECUTE_COMPLETE` bears `event_uuid`.
    Execute {
        /// The channel.
        channel: ChannelUuid,
        /// The application.
        app: AppName,
        /// Its argument. `${` in it would be expanded, so it holds none.
        arg: Option<Line>,
        /// What `Application-UUID` of the completion will be.
        event_uuid: Uuid,
        /// Waits for what runs on the channel, instead of running inside it.
        lock: bool,
    },
    /// Subscribes, in addition to what is subscribed.
    Subscribe {
        /// How events are to be written, for the whole connection.
        format: EventFormat,
        /// Events by name.
        names: Vec<EventName>,
        /// Subclasses of `CUSTOM`. With neither these nor names the server answers `-ERR`.
        subclasses: Vec<Subclass>,
    },
    /// From now on only events whose `Job-UUID` starts so: on a connection that subscribes to
    /// nothing but `BACKGROUND_JOB`, its own jobs.
    FilterJobs(JobPrefix),
    /// Fires a `CUSTOM` event, which comes back to those subscribed to it with a sequence: a fence.
    SendEvent {
        /// Its subclass.
        subclass: Subclass,
        /// Its headers.
        headers: Vec<(HeaderName, Line)>,
    },
    /// Ends all subscriptions and throws away what is queued.
    NoEvents,
    /// Asks the server to close.
    Exit,
}

impl Command {
    /// The whole command in one buffer, its blank line included.
    #[must_use]
    pub fn render(&self) -> Bytes {
        Bytes::from(format!("{self}\n\n"))
    }

    /// Whether the answer is an `api/response`, and not a `command/reply`.
    #[must_use]
    pub fn is_api(&self) -> bool {
        match self {
            Self::Api(_) => true,
            Self::BgApi(..)
            | Self::Execute { .. }
            | Self::Subscribe { .. }
            | Self::FilterJobs(_)
            | Self::SendEvent { .. }
            | Self::NoEvents
            | Self::Exit => false,
        }
    }

    /// The job that it starts.
    #[must_use]
    pub fn job(&self) -> Option<&JobUuid> {
        match self {
            Self::BgApi(_, job) => Some(job),
            Self::Api(_)
            | Self::Execute { .. }
            | Self::Subscribe { .. }
            | Self::FilterJobs(_)
            | Self::SendEvent { .. }
            | Self::NoEvents
            | Self::Exit => None,
        }
    }
}

impl fmt::Display for Command {
    /// The command without the line end and the blank line that end it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Api(api) => write!(f, "api {api}"),
            Self::BgApi(api, job) => write!(f, "bgapi {api}\nJob-UUID: {job}"),
            Self::Execute {
                channel,
                app,
                arg,
                event_uuid,
                lock,
            } => {
                write!(
                    f,
                    "sendmsg {channel}\ncall-command: execute\nexecute-app-name: {app}"
                )?;
                if let Some(arg) = arg {
                    write!(f, "\nexecute-app-arg: {arg}")?;
                }
                write!(f, "\nevent-uuid: {event_uuid}")?;
                if *lock {
                    f.write_str("\nevent-lock: true")?;
                }
                Ok(())
            }
            Self::Subscribe {
                format,
                names,
                subclasses,
            } => {
                f.write_str(match format {
                    EventFormat::Plain => "event plain",
                    EventFormat::Json => "event json",
                })?;
                for name in names {
                    write!(f, " {name}")?;
                }
                quirk_custom_goes_last(f, subclasses)
            }
            Self::FilterJobs(prefix) => write!(f, "filter Job-UUID /^{prefix}-/"),
            Self::SendEvent { subclass, headers } => {
                write!(f, "sendevent CUSTOM\nEvent-Subclass: {subclass}")?;
                for (name, value) in headers {
                    write!(f, "\n{name}: {value}")?;
                }
                Ok(())
            }
            Self::NoEvents => f.write_str("noevents"),
            Self::Exit => f.write_str("exit"),
        }
    }
}

/// `park_timeout` is cleared by each park, so it is set right before it, in the same plan: seen on 1.11.2, where a call
/// that was kicked out of its room ended by itself after that time.
fn quirk_park_clears_its_timeout(
    f: &mut fmt::Formatter<'_>,
    park_timeout: Duration,
) -> fmt::Result {
    write!(
        f,
        "set:park_timeout={},park inline",
        park_timeout.as_secs().max(1)
    )
}

/// Every word behind `CUSTOM` is taken for a subclass, so it stands behind all names of events.
fn quirk_custom_goes_last(f: &mut fmt::Formatter<'_>, subclasses: &[Subclass]) -> fmt::Result {
    if !subclasses.is_empty() {
        f.write_str(" CUSTOM")?;
    }
    for subclass in subclasses {
        write!(f, " {subclass}")?;
    }
    Ok(())
}

/// The answer to the greeting. Only a session sends it.
pub(crate) fn auth(password: &Password) -> Bytes {
    Bytes::from(format!("auth {}\n\n", password.0.expose_secret()))
}

// ---- answers ----

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
    /// Anything else: usage, free text. To one who expects `+OK` it is a failure.
    Other(String),
}

/// Why an API command did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiFailure {
    /// FreeSWITCH says no.
    #[error("FreeSWITCH refused: {0}")]
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
            Self::Json(body) => Ok(String::from_utf8_lossy(&body).into_owned()),
            other @ (Self::Err(_) | Self::NoReply) => Err(other.failure()),
        }
    }

    fn failure(self) -> ApiFailure {
        match self {
            Self::Err(text) => ApiFailure::Refused(text),
            Self::NoReply => ApiFailure::NoReply,
            Self::Ok(text) | Self::Other(text) => ApiFailure::Unrecognised(text),
            Self::Bool(answer) => ApiFailure::Unrecognised(answer.to_string()),
            Self::Json(body) => {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "75cdcc5c-a757-4d44-80d5-95d9e74567a2";

    fn uuid() -> ChannelUuid {
        ChannelUuid::new(UUID).unwrap()
    }

    fn room() -> ConferenceName {
        ConferenceName::new("nodeA-room-77afd03e").unwrap()
    }

    fn shows(command: Command, expected: &str) {
        assert_eq!(command.render(), expected.as_bytes());
    }

    #[test]
    fn commands_read_as_freeswitch_expects_them() {
        use Api as A;
        let api = |a: Api, text: &str| shows(Command::Api(a), &format!("api {text}\n\n"));
        let to_room = |muted| Destination::Conference {
            room: room(),
            profile: ProfileName::new("default").unwrap(),
            muted,
            park_timeout: Duration::from_secs(60),
        };
        let conference = |c| A::Conference(room(), c);
        let member = |a, m| conference(ConferenceCommand::Member(a, m));
        let value = || VarValue::new("eyJhIjoxfQ==").unwrap();
        api(A::Echo(Arg::new("ping-1").unwrap()), "echo ping-1");
        api(A::Uptime, "uptime ms");
        api(
            A::ModuleExists(ModuleName::new("mod_conference").unwrap()),
            "module_exists mod_conference",
        );
        api(
            A::Transfer(uuid(), to_room(true)),
            &format!(
                "uuid_transfer {UUID} conference:nodeA-room-77afd03e@default+flags{{mute}},set:park_timeout=60,park inline"
            ),
        );
        api(
            A::Transfer(uuid(), to_room(false)),
            &format!(
                "uuid_transfer {UUID} conference:nodeA-room-77afd03e@default,set:park_timeout=60,park inline"
            ),
        );
        api(
            A::Transfer(
                uuid(),
                Destination::Park {
                    park_timeout: Duration::from_secs(60),
                },
            ),
            &format!("uuid_transfer {UUID} set:park_timeout=60,park inline"),
        );
        api(A::Kill(uuid(), None), &format!("uuid_kill {UUID}"));
        api(
            A::Kill(uuid(), Some(HangupCause::normal_clearing())),
            &format!("uuid_kill {UUID} NORMAL_CLEARING"),
        );
        api(A::Answer(uuid()), &format!("uuid_answer {UUID}"));
        api(
            A::SetVar(
                uuid(),
                VarName::new("park_timeout").unwrap(),
                VarValue::new("600").unwrap(),
            ),
            &format!("uuid_setvar {UUID} park_timeout 600"),
        );
        api(A::Exists(uuid()), &format!("uuid_exists {UUID}"));
        api(A::Dump(uuid()), &format!("uuid_dump {UUID} json"));
        api(A::ShowChannels, "show channels as json");
        api(A::ConferenceList, "conference json_list compact");
        api(
            member(MemberAction::Mute, MemberSelector::Number(15)),
            "conference nodeA-room-77afd03e mute 15",
        );
        api(
            member(MemberAction::Kick, MemberSelector::Channel(uuid())),
            &format!("conference nodeA-room-77afd03e kick uuid={UUID}"),
        );
        api(
            member(MemberAction::Unmute, MemberSelector::All),
            "conference nodeA-room-77afd03e unmute all",
        );
        api(
            conference(ConferenceCommand::SetVar(
                ConferenceVarName::new("roomkeeper_meta").unwrap(),
                value(),
            )),
            "conference nodeA-room-77afd03e setvar roomkeeper_meta eyJhIjoxfQ==",
        );
        api(
            conference(ConferenceCommand::Lock),
            "conference nodeA-room-77afd03e lock",
        );
        api(
            conference(ConferenceCommand::Unlock),
            "conference nodeA-room-77afd03e unlock",
        );

        let prefix = JobPrefix::new("rk1").unwrap();
        shows(
            Command::BgApi(A::ConferenceList, prefix.job(7)),
            "bgapi conference json_list compact\nJob-UUID: rk1-7\n\n",
        );
        shows(Command::FilterJobs(prefix), "filter Job-UUID /^rk1-/\n\n");
        shows(
            Command::Subscribe {
                format: EventFormat::Plain,
                names: vec![
                    EventName::new("HEARTBEAT").unwrap(),
                    EventName::new("SHUTDOWN").unwrap(),
                ],
                subclasses: vec![
                    Subclass::new("conference::maintenance").unwrap(),
                    Subclass::new("roomkeeper::fence").unwrap(),
                ],
            },
            "event plain HEARTBEAT SHUTDOWN CUSTOM conference::maintenance roomkeeper::fence\n\n",
        );
        shows(
            Command::SendEvent {
                subclass: Subclass::new("roomkeeper::fence").unwrap(),
                headers: vec![(HeaderName::new("Fence").unwrap(), Line::new("a b").unwrap())],
            },
            "sendevent CUSTOM\nEvent-Subclass: roomkeeper::fence\nFence: a b\n\n",
        );
        shows(
            Command::Execute {
                channel: uuid(),
                app: AppName::new("playback").unwrap(),
                arg: Some(Line::new("http://192.0.2.1/one.wav").unwrap()),
                event_uuid: uuid().uuid(),
                lock: true,
            },
            &format!(
                "sendmsg {UUID}\ncall-command: execute\nexecute-app-name: playback\n\
                 execute-app-arg: http://192.0.2.1/one.wav\nevent-uuid: {UUID}\nevent-lock: true\n\n"
            ),
        );
        shows(Command::NoEvents, "noevents\n\n");
        shows(Command::Exit, "exit\n\n");
        assert_eq!(
            auth(&Password::new("ClueCon").unwrap()),
            "auth ClueCon\n\n".as_bytes()
        );
    }

    #[test]
    fn what_could_inject_is_refused() {
        for bad in [
            "", "a b", "a\nb", "a\rb", "a\0", "${x}", "a${", "'a", "\"", "\\", "`id`", "^^:a",
            "\u{7f}",
        ] {
            assert!(Arg::new(bad).is_err(), "{bad:?}");
        }
        assert!(Arg::new("$1.00-{é}").is_ok());
        for bad in [
            "",
            "a b",
            "a@b",
            "a+b",
            "a:b",
            "a,b",
            "a\tb",
            "{a}",
            "a|b",
            "json_list",
            "JSON_List",
            "list",
            "commands",
            "é",
            "a'b",
            "${a}",
        ] {
            assert!(ConferenceName::new(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "",
            UUID.to_uppercase().as_str(),
            "75cdcc5ca7574d4480d595d9e74567a2",
            "{75cdcc5c-a757-4d44-80d5-95d9e74567a2}",
            "75cdcc5c-a757-4d44-80d5-95d9e74567a2\n",
        ] {
            assert!(ChannelUuid::new(bad).is_err(), "{bad:?}");
        }
        for bad in [
            "Content-Length",
            "content-type",
            "Event-Name",
            "Event-Subclass",
            "a:b",
            "a b",
        ] {
            assert!(HeaderName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["seconds", "Action", "action", "1_a", "_a", "a-b"] {
            assert!(ConferenceVarName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["a b", "a,b", "{", "$", "a/b", ""] {
            assert!(VarValue::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["CUSTOM", "ALL", "heartbeat", "A B"] {
            assert!(EventName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "normal_clearing", "A B", "16"] {
            assert!(HangupCause::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "a\n\napi shutdown", " a", "a ", "a\t"] {
            assert!(Password::new(bad).is_err(), "{bad:?}");
        }
        assert!(Arg::new("a".repeat(1_025)).is_err());
    }

    #[test]
    fn a_password_does_not_show() {
        let password = Password::new("s3cret").unwrap();
        assert!(!format!("{password:?}").contains("s3cret"));
    }

    fn reply(body: &str) -> ApiReply {
        ApiReply::parse(Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn answers_are_told_apart() {
        let ok = |t: &str| ApiReply::Ok(t.to_owned());
        let err = |t: &str| ApiReply::Err(t.to_owned());
        assert_eq!(reply("+OK\n"), ok(""));
        assert_eq!(reply("+OK mute 15\n"), ok("mute 15"));
        assert_eq!(
            reply("+OK kicked 1\n+OK kicked 2\n"),
            ok("kicked 1\nkicked 2")
        );
        assert_eq!(reply("+OK kicked 1\n-ERR x\n"), err("x"));
        assert_eq!(reply("-ERR No such channel!\n"), err("No such channel!"));
        assert_eq!(reply("-ERR no reply\n"), ApiReply::NoReply);
        assert_eq!(reply(""), ApiReply::NoReply);
        assert_eq!(reply("true"), ApiReply::Bool(true));
        assert_eq!(reply("false"), ApiReply::Bool(false));
        assert!(matches!(reply("[]"), ApiReply::Json(_)));
        assert!(matches!(reply("{\"row_count\": 0}\n"), ApiReply::Json(_)));
        let usage = "mute <[member_id|all]|last|non_moderator> [<quiet>]";
        assert_eq!(reply(usage), ApiReply::Other(usage.to_owned()));
        assert_eq!(
            reply("Stopped recording file /a.wav\n+OK Stopped 1 recording files\n"),
            ok("Stopped 1 recording files")
        );
        assert_eq!(
            reply("-ERR non-existant recording '/a.wav'\n+OK Stopped 0 recording files\n"),
            err("non-existant recording '/a.wav'")
        );
        assert_eq!(
            reply("-USAGE: <uuid>\n"),
            ApiReply::Other("-USAGE: <uuid>".to_owned())
        );
    }

    #[test]
    fn only_the_expected_answer_is_success() {
        assert!(reply("+OK").ok().is_ok());
        for bad in ["-ERR no reply\n", "-ERR x", "true", "[]", "usage"] {
            assert!(reply(bad).ok().is_err(), "{bad}");
        }
        for bad in ["-ERR no reply\n", "-ERR x", "true", "+OK", "usage", ""] {
            assert!(reply(bad).json().is_err(), "{bad}");
        }
        assert_eq!(reply("false").bool(), Ok(false));
        assert_eq!(
            reply("-ERR x").bool(),
            Err(ApiFailure::Refused("x".to_owned()))
        );
        assert_eq!(reply("12345").text(), Ok("12345".to_owned()));
        assert_eq!(reply("-ERR no reply\n").text(), Err(ApiFailure::NoReply));
        assert_eq!(
            CommandReply::parse("+OK accepted"),
            CommandReply::Ok("accepted".to_owned())
        );
        assert_eq!(
            CommandReply::parse("-ERR invalid"),
            CommandReply::Err("invalid".to_owned())
        );
        assert_eq!(
            CommandReply::parse("odd"),
            CommandReply::Err("odd".to_owned())
        );
    }

    /// Every command that can be made with `text` in some place, with its number of lines.
    fn commands_with(text: &str) -> Vec<(Command, usize)> {
        let mut made = Vec::new();
        let api = Command::Api;
        if let Ok(arg) = Arg::new(text) {
            made.push((api(Api::Echo(arg)), 1));
        }
        if let Ok(name) = ConferenceName::new(text) {
            made.push((
                api(Api::Conference(name.clone(), ConferenceCommand::Lock)),
                1,
            ));
            let room = Destination::Conference {
                room: name,
                profile: ProfileName::new("default").unwrap(),
                muted: true,
                park_timeout: Duration::from_secs(60),
            };
            made.push((api(Api::Transfer(uuid(), room)), 1));
        }
        if let Ok(profile) = ProfileName::new(text) {
            let room = Destination::Conference {
                room: room(),
                profile,
                muted: false,
                park_timeout: Duration::from_secs(60),
            };
            made.push((api(Api::Transfer(uuid(), room)), 1));
        }
        if let Ok(channel) = ChannelUuid::new(text) {
            made.push((api(Api::Exists(channel)), 1));
        }
        if let Ok(cause) = HangupCause::new(text) {
            made.push((api(Api::Kill(uuid(), Some(cause))), 1));
        }
        if let Ok(name) = VarName::new(text) {
            made.push((
                api(Api::SetVar(uuid(), name, VarValue::new("1").unwrap())),
                1,
            ));
        }
        if let Ok(value) = VarValue::new(text) {
            made.push((
                api(Api::SetVar(uuid(), VarName::new("a").unwrap(), value)),
                1,
            ));
        }
        if let Ok(name) = ConferenceVarName::new(text) {
            let set = ConferenceCommand::SetVar(name, VarValue::new("1").unwrap());
            made.push((api(Api::Conference(room(), set)), 1));
        }
        if let Ok(module) = ModuleName::new(text) {
            made.push((api(Api::ModuleExists(module)), 1));
        }
        if let Ok(job) = JobUuid::new(text) {
            made.push((Command::BgApi(Api::Uptime, job), 2));
        }
        if let Ok(prefix) = JobPrefix::new(text) {
            made.push((Command::FilterJobs(prefix), 1));
        }
        let execute = |app: AppName, arg| Command::Execute {
            channel: uuid(),
            app,
            arg,
            event_uuid: uuid().uuid(),
            lock: false,
        };
        if let Ok(app) = AppName::new(text) {
            made.push((execute(app, None), 4));
        }
        if let Ok(line) = Line::new(text) {
            made.push((
                execute(AppName::new("sleep").unwrap(), Some(line.clone())),
                5,
            ));
            made.push((
                Command::SendEvent {
                    subclass: Subclass::new("a::b").unwrap(),
                    headers: vec![(HeaderName::new("A").unwrap(), line)],
                },
                3,
            ));
        }
        if let Ok(name) = HeaderName::new(text) {
            made.push((
                Command::SendEvent {
                    subclass: Subclass::new("a::b").unwrap(),
                    headers: vec![(name, Line::new("x").unwrap())],
                },
                3,
            ));
        }
        let subscribe = |names, subclasses| Command::Subscribe {
            format: EventFormat::Json,
            names,
            subclasses,
        };
        if let Ok(name) = EventName::new(text) {
            made.push((subscribe(vec![name], vec![]), 1));
        }
        if let Ok(subclass) = Subclass::new(text) {
            made.push((subscribe(vec![], vec![subclass]), 1));
        }
        made
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]
        #[test]
        fn nothing_that_can_be_made_injects(
            text in prop_oneof![
                any::<String>(),
                "[ -~]{0,40}",
                "[a-z0-9_]{1,20}",
                "[A-Z_]{1,20}",
                "[a-zA-Z0-9:._~=$ {\n\r,-]{1,40}",
                "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            ]
        ) {
            for (command, lines) in commands_with(&text) {
                let wire = command.render();
                let wire = std::str::from_utf8(&wire).unwrap();
                let inside = wire.strip_suffix("\n\n").unwrap();
                prop_assert!(!inside.contains("\n\n"), "{wire:?}");
                prop_assert_eq!(inside.lines().count(), lines, "{:?}", wire);
                prop_assert_eq!(inside.matches('\n').count() + 1, lines, "{:?}", wire);
                prop_assert!(!inside.contains('\r') && !inside.contains('\0'), "{wire:?}");
                prop_assert!(!inside.contains("${"), "{wire:?}");
            }
            if let Ok(password) = Password::new(text.as_str()) {
                let wire = auth(&password);
                let inside = wire.strip_suffix(b"\n\n").unwrap();
                prop_assert!(!inside.iter().any(|b| *b < b' '));
            }
        }
    }
}
