//! Commands to FreeSWITCH, as types, and the meaning of its answers.
//!
//! This module renders commands; `checked` has the texts inside them, `plan` the dialplans of transfers, `reply` the
//! classification of answers. Leaves out the time when a command is sent and the assignment of replies (`session`), and
//! the decision to send it (the reconciler).
//!
//! Any text from outside our own source code enters through a newtype of `checked`, whose constructor refuses what its
//! position cannot carry.
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

use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use uuid::Uuid;

mod checked;
mod digits;
mod leg;
mod originate;
mod plan;
mod relay;
mod reply;
mod sound;

pub use checked::{
    AppName, Arg, ChannelUuid, ConferenceName, ConferenceVarName, ContextName, DtmfTones,
    EventName, ExecutionId, HangupCause, HeaderName, JobPrefix, JobUuid, Line, MediaUrl,
    ModuleName, Number, Password, ProfileName, RecordingPath, Subclass, Unfit, VarName, VarValue,
    Voice,
};
pub use digits::{CollectDigits, DigitPrompt, STOP_KEY};
pub use leg::{DialString, DialTemplate, Leg, QuotedText, SipHeaderName};
pub use originate::Origination;
pub use plan::{InlinePlan, JoinFlag, PlanStep};
pub use relay::{RelayAddress, RelayKey, RelayTest};
pub use reply::{ApiFailure, ApiReply, CommandReply};
pub use sound::{SoundFile, SpokenText};

/// The members that a conference command applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberSelector {
    /// `Member-ID`.
    Number(u32),
    /// The member of that channel (1.10.7 and later).
    Channel(ChannelUuid),
    /// All members.
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

/// An action on a member. Each sets a state; none toggles.
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
    /// Removes the member; the call continues with its plan.
    Kick,
    /// Removes the member and ends the call.
    Hup,
}

impl MemberAction {
    /// Returns the subcommand.
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

/// A level of a member's sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberLevel {
    /// The volume of what it says; FreeSWITCH bounds it to -4 to 4.
    VolumeIn,
    /// The volume of what it hears; FreeSWITCH bounds it to -4 to 4.
    VolumeOut,
    /// The energy above which it is heard. FreeSWITCH does not bound it.
    Energy,
}

impl MemberLevel {
    /// Returns the subcommand.
    const fn as_str(self) -> &'static str {
        match self {
            Self::VolumeIn => "volume_in",
            Self::VolumeOut => "volume_out",
            Self::Energy => "energy",
        }
    }

    /// Returns the variable of a channel that joins with the level. `mod_conference` ignores values out of the range.
    const fn join_variable(self) -> &'static str {
        match self {
            Self::VolumeIn => "conference_join_volume_in",
            Self::VolumeOut => "conference_join_volume_out",
            Self::Energy => "conference_join_energy_level",
        }
    }
}

/// A subcommand of `conference <name> …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConferenceCommand {
    /// An action on members.
    Member(MemberAction, MemberSelector),
    /// Sets a level of members. `energy` answers without `+OK`, see [`ApiReply::ok_or_level`].
    Level(MemberLevel, MemberSelector, i32),
    /// Sets a variable of the room, which appears in snapshots and later events.
    SetVar(ConferenceVarName, VarValue),
    /// Opens a file and plays it after those that already play, to the room or to one member. Slow: the file is fetched
    /// first. The parameters in front of the path come back with the file's events.
    Play {
        /// `op`.
        operation: Uuid,
        /// `n`.
        index: u16,
        /// `vol`, in decibels; FreeSWITCH forgets it with the file.
        volume: i8,
        /// The sound.
        sound: SoundFile,
        /// The member that alone hears it.
        member: Option<ChannelUuid>,
    },
    /// Pauses or resumes the file that plays; the answer states which. Without a file there is no answer.
    PausePlay,
    /// Closes all files of the room or of one member, each at its next frame.
    StopPlay(Option<ChannelUuid>),
    /// Sets the volume of the file that plays, in decibels.
    FileVolume(i8),
    /// Requests the file that plays in the room or to one member; `-ERR Nothing is playing` without one.
    PlayStatus(Option<ChannelUuid>),
    /// Records the room into a file on the node. `+OK` comes before the file is opened.
    RecordStart(RecordingPath),
    /// Ends the recording into that file.
    RecordStop(RecordingPath),
    /// Limits the number of members; 0 is no limit. Answers with the previous limit.
    MaxMembers(u32),
    /// Sets the file of a sound.
    SoundFile(ConferenceSound, MediaUrl),
    /// Turns a sound on or off.
    SoundOn(ConferenceSound, bool),
    /// Sets the file that plays while one member is alone; stops the one that plays.
    MusicFile(MediaUrl),
    /// Returns to the music of the profile; does not stop the file that plays.
    NoMusicFile,
    /// Allows or stops music for a lone member, until the next member enters.
    MusicOn(bool),
    /// Pauses the recording into that file: the pause is cut out of it. A recording that is not open yet answers `+OK`
    /// and `-ERR`.
    RecordPause(RecordingPath),
    /// Resumes the recording into that file.
    RecordResume(RecordingPath),
    /// Refuses further members.
    Lock,
    /// Admits members again.
    Unlock,
}

/// A sound of a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceSound {
    /// Played when a member enters.
    Enter,
    /// Played when a member leaves.
    Exit,
}

impl ConferenceSound {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Enter => "enter_sound",
            Self::Exit => "exit_sound",
        }
    }
}

const fn on_or_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// The API commands of FreeSWITCH that this crate renders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Api {
    /// `echo`: answers with its argument. A ping that costs nothing.
    Echo(Arg),
    /// `uptime ms`: milliseconds since the start of the server.
    Uptime,
    /// `module_exists`: `true` or `false`.
    ModuleExists(ModuleName),
    /// `uuid_transfer … inline`: makes a call execute a plan instead of what it executes now.
    Transfer(ChannelUuid, InlinePlan),
    /// `uuid_kill`: ends a call.
    Kill(ChannelUuid, Option<HangupCause>),
    /// `uuid_answer`.
    Answer(ChannelUuid),
    /// `uuid_send_dtmf`: sends tones to a call, each of this duration in milliseconds.
    SendDtmf(ChannelUuid, DtmfTones, Option<u16>),
    /// `uuid_recv_dtmf` with [`STOP_KEY`]: ends the collection of digits, as if the caller had pressed that key.
    StopDigits(ChannelUuid),
    /// `uuid_record`: records a channel into a file on the node. Unlike that of a room, `+OK` follows the opening of
    /// the file.
    Record(ChannelUuid, RecordVerb, RecordingPath),
    /// `uuid_buglist`: lists what taps the sound of a channel, its recordings among it.
    BugList(ChannelUuid),
    /// `uuid_setvar_multi`: sets variables of a channel.
    SetVars(ChannelUuid, Vec<(VarName, VarValue)>),
    /// `uuid_setvar`: sets a variable of a channel.
    SetVar(ChannelUuid, VarName, VarValue),
    /// `uuid_getvar`: the value of a variable of a channel, or `_undef_`.
    GetVar(ChannelUuid, VarName),
    /// `uuid_exists`: `true` or `false`.
    Exists(ChannelUuid),
    /// `uuid_dump … json`: everything about a channel.
    Dump(ChannelUuid),
    /// `show channels`: written late (77–299 ms seen), so its rows are hints, not facts.
    ShowChannels(TableForm),
    /// `conference <name> …`.
    Conference(ConferenceName, ConferenceCommand),
    /// `conference json_list compact`: the conferences and their members.
    ConferenceList,
    /// `originate`: makes a call under the given UUID, which executes the plan once it is answered. Slow: it ends with the
    /// answer, or with the reason why there is none.
    Originate(Box<Origination>),
    /// `originate` of a relay that tests the way to another node. Slow, like [`Api::Originate`].
    RelayTest(Box<RelayTest>),
    /// `uuid_set_media_stats`: writes the figures of a call's RTP into its variables, where a dump shows them.
    SetMediaStats(ChannelUuid),
    /// `sofia recover`: brings back the SIP calls that a profile with `track-calls` had before the server restarted.
    RecoverCalls,
    /// `originate` of a loopback call, for trials without a phone: one end comes in through the dialplan like a
    /// caller's, the other is a caller that makes a little noise for a while and then hangs up.
    TestCall {
        /// The channel of the caller's end.
        uuid: ChannelUuid,
        /// The caller's number.
        from: Number,
        /// The dialled number.
        to: Number,
        /// The context of the dialplan.
        context: ContextName,
        /// The time until the caller hangs up, in milliseconds.
        lasts: Duration,
    },
}

impl Api {
    /// Returns true if the command changes nothing, so that no event follows it.
    pub const fn is_read_only(&self) -> bool {
        match self {
            Self::Echo(_)
            | Self::Uptime
            | Self::ModuleExists(_)
            | Self::GetVar(..)
            | Self::Exists(_)
            | Self::Dump(_)
            | Self::BugList(_)
            | Self::ShowChannels(_)
            | Self::ConferenceList
            | Self::Conference(_, ConferenceCommand::PlayStatus(_)) => true,
            Self::Transfer(..)
            | Self::Kill(..)
            | Self::Answer(_)
            | Self::SendDtmf(..)
            | Self::StopDigits(_)
            | Self::Record(..)
            | Self::SetVars(..)
            | Self::SetVar(..)
            | Self::Conference(..)
            | Self::Originate(_)
            | Self::RelayTest(_)
            | Self::SetMediaStats(_)
            | Self::RecoverCalls
            | Self::TestCall { .. } => false,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo(text) => write!(f, "echo {text}"),
            Self::Uptime => f.write_str("uptime ms"),
            Self::ModuleExists(module) => write!(f, "module_exists {module}"),
            Self::Transfer(uuid, plan) => write!(f, "uuid_transfer {uuid} {plan} inline"),
            Self::Kill(uuid, None) => write!(f, "uuid_kill {uuid}"),
            Self::Kill(uuid, Some(cause)) => write!(f, "uuid_kill {uuid} {cause}"),
            Self::Answer(uuid) => write!(f, "uuid_answer {uuid}"),
            Self::SendDtmf(uuid, tones, None) => write!(f, "uuid_send_dtmf {uuid} {tones}"),
            Self::SendDtmf(uuid, tones, Some(ms)) => {
                write!(f, "uuid_send_dtmf {uuid} {tones}@{ms}")
            }
            Self::StopDigits(uuid) => write!(f, "uuid_recv_dtmf {uuid} {STOP_KEY}"),
            Self::Record(uuid, verb, path) => {
                write!(f, "uuid_record {uuid} {} {path}", verb.as_str())
            }
            Self::BugList(uuid) => write!(f, "uuid_buglist {uuid}"),
            Self::SetVars(uuid, variables) => {
                write!(f, "uuid_setvar_multi {uuid} ")?;
                for (n, (name, value)) in variables.iter().enumerate() {
                    let separator = if n == 0 { "" } else { ";" };
                    write!(f, "{separator}{name}={value}")?;
                }
                Ok(())
            }
            Self::SetVar(uuid, name, value) => write!(f, "uuid_setvar {uuid} {name} {value}"),
            Self::GetVar(uuid, name) => write!(f, "uuid_getvar {uuid} {name}"),
            Self::Exists(uuid) => write!(f, "uuid_exists {uuid}"),
            Self::Dump(uuid) => write!(f, "uuid_dump {uuid} json"),
            Self::ShowChannels(TableForm::Delimited) => {
                write!(f, "show channels as delim {}", char::from(DELIMITER))
            }
            Self::ShowChannels(TableForm::Json) => f.write_str("show channels as json"),
            Self::ConferenceList => f.write_str("conference json_list compact"),
            Self::Originate(call) => write!(f, "originate {call}"),
            Self::RelayTest(call) => write!(f, "originate {call}"),
            Self::SetMediaStats(uuid) => write!(f, "uuid_set_media_stats {uuid}"),
            Self::RecoverCalls => f.write_str("sofia recover"),
            Self::TestCall {
                uuid,
                from,
                to,
                context,
                lasts,
            } => write!(
                f,
                "originate {{origination_uuid={uuid},origination_caller_id_number={from}}}\
                 loopback/{to}/{context} &playback(silence_stream://{},1400)",
                lasts.as_millis()
            ),
            Self::Conference(room, command) => {
                write!(f, "conference {room} ")?;
                match command {
                    ConferenceCommand::Member(action, whom) => {
                        write!(f, "{} {whom}", action.as_str())
                    }
                    ConferenceCommand::Level(level, whom, value) => {
                        write!(f, "{} {whom} {value}", level.as_str())
                    }
                    ConferenceCommand::SetVar(name, value) => write!(f, "setvar {name} {value}"),
                    ConferenceCommand::Play {
                        operation,
                        index,
                        volume,
                        sound,
                        member,
                    } => {
                        let quote = sound.quote();
                        write!(
                            f,
                            "play {quote}{{op={operation},n={index},vol={volume}}}{sound}{quote}"
                        )?;
                        write_member(f, *member)
                    }
                    ConferenceCommand::PausePlay => f.write_str("pause_play"),
                    ConferenceCommand::StopPlay(member) => {
                        f.write_str("stop all")?;
                        write_member(f, *member)
                    }
                    ConferenceCommand::FileVolume(volume) => write!(f, "file-vol {volume}"),
                    ConferenceCommand::PlayStatus(member) => {
                        f.write_str("play_status")?;
                        write_member(f, *member)
                    }
                    ConferenceCommand::RecordStart(path) => write!(f, "recording start {path}"),
                    ConferenceCommand::RecordStop(path) => write!(f, "recording stop {path}"),
                    ConferenceCommand::MaxMembers(most) => write!(f, "set max_members {most}"),
                    ConferenceCommand::SoundFile(sound, url) => {
                        write!(f, "{} file {url}", sound.as_str())
                    }
                    ConferenceCommand::SoundOn(sound, on) => {
                        write!(f, "{} {}", sound.as_str(), on_or_off(*on))
                    }
                    ConferenceCommand::MusicFile(url) => write!(f, "moh {url}"),
                    ConferenceCommand::NoMusicFile => f.write_str("moh reset"),
                    ConferenceCommand::MusicOn(on) => write!(f, "moh {}", on_or_off(*on)),
                    ConferenceCommand::RecordPause(path) => write!(f, "recording pause {path}"),
                    ConferenceCommand::RecordResume(path) => write!(f, "recording resume {path}"),
                    ConferenceCommand::Lock => f.write_str("lock"),
                    ConferenceCommand::Unlock => f.write_str("unlock"),
                }
            }
        }
    }
}

/// Writes the last argument of a subcommand that is about one member.
fn write_member(f: &mut fmt::Formatter<'_>, member: Option<ChannelUuid>) -> fmt::Result {
    match member {
        Some(member) => write!(f, " {}", MemberSelector::Channel(member)),
        None => Ok(()),
    }
}

/// The verb of `uuid_record`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordVerb {
    /// Starts the recording; a repeat has no effect.
    Start,
    /// Records silence from now on; a repeat has no effect.
    Mask,
    /// Records sound again; a repeat has no effect.
    Unmask,
    /// Ends the recording.
    Stop,
}

impl RecordVerb {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Mask => "mask",
            Self::Unmask => "unmask",
            Self::Stop => "stop",
        }
    }
}

/// The separator of values in a table: the unit separator, which no telephone sends and hardly any header contains.
pub const DELIMITER: u8 = 0x1f;

/// The format of a `show` table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// A line of names, then a line for each row, its values separated by [`DELIMITER`]: a third of the bytes, and
    /// parsed several times faster. Nothing is escaped.
    Delimited,
    /// A JSON object for each row, escaped.
    Json,
}

/// The format of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFormat {
    /// Percent-encoded headers; cheaper on both sides.
    Plain,
    /// Flat JSON.
    #[cfg(feature = "json")]
    Json,
}

/// The result that [`Command::ExecuteMark`] writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkedResult {
    /// The response of the application.
    Response,
    /// The result of collecting digits, and this variable with the digits: `<result>:<digits>`.
    Digits(VarName),
}

/// A complete command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Runs on the connection's own thread: meanwhile, the connection delivers no events and answers nothing else.
    Api(Api),
    /// Runs on its own thread. FreeSWITCH answers at once, and sends a `BACKGROUND_JOB` at the end, which may never
    /// come.
    BgApi(Api, JobUuid),
    /// Runs an application on a channel; its `CHANNEL_EXECUTE_COMPLETE` carries `event_uuid`.
    Execute {
        /// The channel.
        channel: ChannelUuid,
        /// The application.
        app: AppName,
        /// Its argument. FreeSWITCH would expand `${`, so it has none.
        arg: Option<Line>,
        /// The `Application-UUID` of the completion event.
        event_uuid: ExecutionId,
        /// Waits for the running application instead of running inside it.
        lock: bool,
    },
    /// Writes the result of the running application to a variable of the channel as `<mark>=<result>`, after it and
    /// everything queued before this command.
    ExecuteMark {
        /// The channel.
        channel: ChannelUuid,
        /// The variable.
        variable: VarName,
        /// The text in front of the result.
        mark: ExecutionId,
        /// The result.
        result: MarkedResult,
    },
    /// Adds to the subscription.
    Subscribe {
        /// The format of events, for the whole connection.
        format: EventFormat,
        /// Events by name.
        names: Vec<EventName>,
        /// Subclasses of `CUSTOM`. With neither these nor names the server answers `-ERR`.
        subclasses: Vec<Subclass>,
    },
    /// From now on admits only events whose `Job-UUID` starts with this prefix: on a connection that subscribes only to
    /// `BACKGROUND_JOB`, its own jobs.
    FilterJobs(JobPrefix),
    /// Sends a `CUSTOM` event, which comes back to its subscribers with a sequence: a fence.
    SendEvent {
        /// Its subclass.
        subclass: Subclass,
        /// Its headers.
        headers: Vec<(HeaderName, Line)>,
    },
    /// Ends all subscriptions and drops queued events.
    NoEvents,
    /// Asks the server to close.
    Exit,
}

impl Command {
    /// Returns the complete command in one buffer, with its blank line.
    #[must_use]
    pub fn render(&self) -> Bytes {
        let mut bytes = BytesMut::new();
        self.render_into(&mut bytes);
        bytes.freeze()
    }

    /// Appends the command to bytes that are sent before it.
    pub(crate) fn render_into(&self, bytes: &mut BytesMut) {
        // Writing to memory does not fail.
        let _ = write!(bytes, "{self}\n\n");
    }

    /// Returns true if the answer is an `api/response` instead of a `command/reply`.
    #[must_use]
    pub fn is_api(&self) -> bool {
        match self {
            Self::Api(_) => true,
            Self::BgApi(..)
            | Self::Execute { .. }
            | Self::ExecuteMark { .. }
            | Self::Subscribe { .. }
            | Self::FilterJobs(_)
            | Self::SendEvent { .. }
            | Self::NoEvents
            | Self::Exit => false,
        }
    }

    /// Returns the id of the job that it starts.
    #[must_use]
    pub fn job(&self) -> Option<&JobUuid> {
        match self {
            Self::BgApi(_, job) => Some(job),
            Self::Api(_)
            | Self::Execute { .. }
            | Self::ExecuteMark { .. }
            | Self::Subscribe { .. }
            | Self::FilterJobs(_)
            | Self::SendEvent { .. }
            | Self::NoEvents
            | Self::Exit => None,
        }
    }
}

impl fmt::Display for Command {
    /// Writes the command without the line end and the blank line behind it.
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
            // The only wanted expansion: `switch_core_session.c` clears that variable only after it has expanded the
            // argument.
            Self::ExecuteMark {
                channel,
                variable,
                mark,
                result,
            } => {
                write!(
                    f,
                    "sendmsg {channel}\ncall-command: execute\nexecute-app-name: set\n\
                     execute-app-arg: {variable}={mark}="
                )?;
                match result {
                    MarkedResult::Response => f.write_str("${current_application_response}")?,
                    MarkedResult::Digits(digits) => write!(f, "${{read_result}}:${{{digits}}}")?,
                }
                f.write_str("\nevent-lock: true")
            }
            Self::Subscribe {
                format,
                names,
                subclasses,
            } => {
                f.write_str(match format {
                    EventFormat::Plain => "event plain",
                    #[cfg(feature = "json")]
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

/// Writes `CUSTOM` last, because every word behind it is a subclass.
fn quirk_custom_goes_last(f: &mut fmt::Formatter<'_>, subclasses: &[Subclass]) -> fmt::Result {
    if !subclasses.is_empty() {
        f.write_str(" CUSTOM")?;
    }
    for subclass in subclasses {
        write!(f, " {subclass}")?;
    }
    Ok(())
}

/// Returns the answer to the greeting. Only a session sends it.
pub(crate) fn auth(password: &Password) -> Bytes {
    Bytes::from(format!("auth {}\n\n", password.expose()))
}

#[cfg(test)]
mod tests;
