//! What we say to FreeSWITCH, as types, and what its answers mean.
//!
//! Here is the text of commands; `checked` has the texts that go into them, `reply` the reading of
//! answers. Leaves out when a command is sent and which reply is whose (`session`), and whether it
//! should be sent at all (the reconciler).
//!
//! Anything that did not come from our own source text enters through a newtype of `checked`, whose
//! constructor refuses what its place cannot carry.
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

use crate::play_url::PlayUrl;

mod checked;
mod reply;

pub use checked::{
    AppName, Arg, ChannelUuid, ConferenceName, ConferenceVarName, ContextName, EventName,
    ExecutionId, HangupCause, HeaderName, JobPrefix, JobUuid, Line, ModuleName, Number, Password,
    ProfileName, RecordingPath, Subclass, Unfit, VarName, VarValue, Voice,
};
pub(crate) use reply::quirk_error_without_text;
pub use reply::{ApiFailure, ApiReply, CommandReply};

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
    /// Writes what is heard in the room into a file on the node. `+OK` comes before the file is opened.
    RecordStart(RecordingPath),
    /// Ends the recording into that file.
    RecordStop(RecordingPath),
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
        /// True if the conference's lock binds the call also when FreeSWITCH dialled it.
        bound: bool,
        /// How long the call may be parked behind it, in whole seconds, until the node hangs it up by itself.
        park_timeout: Duration,
        /// A variable that the conference has from its creation, if the call creates it. A conference that exists keeps its
        /// own value.
        variable: (ConferenceVarName, Option<VarValue>),
    },
    /// Into the park, out of whatever it is in.
    Park {
        /// How long it may be parked, in whole seconds, until the node hangs it up by itself.
        park_timeout: Duration,
        /// A variable of the channel that is set before, and its value.
        noted: (VarName, u64),
        /// The `variable` of the conference plan before, which is cleared.
        cleared: ConferenceVarName,
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
    /// `uuid_setvar_multi`: gives a call that is seen for the first time what each plan gives it later: transfers
    /// without limit, and a conference's end that does not hang it up.
    Prepare(ChannelUuid),
    /// `uuid_setvar`: sets a variable of a channel.
    SetVar(ChannelUuid, VarName, VarValue),
    /// `uuid_getvar`: the value of a variable of a channel, or `_undef_`.
    GetVar(ChannelUuid, VarName),
    /// `uuid_exists`: `true` or `false`.
    Exists(ChannelUuid),
    /// `uuid_dump … json`: everything about a channel.
    Dump(ChannelUuid),
    /// `show channels`: written late (77–299 ms seen), so it proposes and does not decide.
    ShowChannels(TableForm),
    /// `conference <name> …`.
    Conference(ConferenceName, ConferenceCommand),
    /// `conference json_list compact`: the rooms and who is in them.
    ConferenceList,
    /// `originate` of a loopback call: one end comes in through the dialplan as a caller's does, the other is a caller who
    /// makes a little noise for a while and hangs up then. For trying things, without a phone.
    TestCall {
        /// The channel of the caller's end.
        uuid: ChannelUuid,
        /// The caller's number.
        from: Number,
        /// The number dialled.
        to: Number,
        /// Where in the dialplan.
        context: ContextName,
        /// Until the caller hangs up, in milliseconds.
        lasts: Duration,
    },
}

impl Api {
    /// Whether it changes nothing, so that no event will follow it.
    pub const fn only_asks(&self) -> bool {
        match self {
            Self::Echo(_)
            | Self::Uptime
            | Self::ModuleExists(_)
            | Self::GetVar(..)
            | Self::Exists(_)
            | Self::Dump(_)
            | Self::ShowChannels(_)
            | Self::ConferenceList
            | Self::Conference(_, ConferenceCommand::PlayStatus) => true,
            Self::Transfer(..)
            | Self::Kill(..)
            | Self::Answer(_)
            | Self::Prepare(_)
            | Self::SetVar(..)
            | Self::Conference(..)
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
            Self::Transfer(
                uuid,
                Destination::Park {
                    park_timeout,
                    noted: (name, value),
                    cleared,
                },
            ) => {
                write!(f, "uuid_transfer {uuid} ")?;
                write_plan_variables(f, *park_timeout, cleared, None)?;
                write!(f, ";{name}={value},park inline")
            }
            Self::Transfer(
                uuid,
                Destination::Conference {
                    room,
                    profile,
                    muted,
                    bound,
                    park_timeout,
                    variable: (name, value),
                },
            ) => {
                let flags = if *muted { "+flags{mute}" } else { "" };
                let bound = quirk_lock_does_not_bind_dialled_calls(*bound);
                write!(f, "uuid_transfer {uuid} ")?;
                write_plan_variables(f, *park_timeout, name, value.as_ref())?;
                write!(f, "{bound},conference:{room}@{profile}{flags},park inline")
            }
            Self::Kill(uuid, None) => write!(f, "uuid_kill {uuid}"),
            Self::Kill(uuid, Some(cause)) => write!(f, "uuid_kill {uuid} {cause}"),
            Self::Answer(uuid) => write!(f, "uuid_answer {uuid}"),
            Self::Prepare(uuid) => write!(
                f,
                "uuid_setvar_multi {uuid} {};{}",
                quirk_each_transfer_uses_up_a_forward(),
                quirk_conference_end_hangs_up()
            ),
            Self::SetVar(uuid, name, value) => write!(f, "uuid_setvar {uuid} {name} {value}"),
            Self::GetVar(uuid, name) => write!(f, "uuid_getvar {uuid} {name}"),
            Self::Exists(uuid) => write!(f, "uuid_exists {uuid}"),
            Self::Dump(uuid) => write!(f, "uuid_dump {uuid} json"),
            Self::ShowChannels(TableForm::Delimited) => {
                write!(f, "show channels as delim {}", char::from(DELIMITER))
            }
            Self::ShowChannels(TableForm::Json) => f.write_str("show channels as json"),
            Self::ConferenceList => f.write_str("conference json_list compact"),
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
                    ConferenceCommand::RecordStart(path) => write!(f, "recording start {path}"),
                    ConferenceCommand::RecordStop(path) => write!(f, "recording stop {path}"),
                    ConferenceCommand::Lock => f.write_str("lock"),
                    ConferenceCommand::Unlock => f.write_str("unlock"),
                }
            }
        }
    }
}

/// What stands between the values of a table: the unit separator, which no telephone types and hardly any header has.
pub const DELIMITER: u8 = 0x1f;

/// How `show` writes a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableForm {
    /// A line of names, then a line for each row, its values with [`DELIMITER`] between them: a third of the bytes, and
    /// read several times faster. Nothing is escaped.
    Delimited,
    /// An object for each row, escaped.
    Json,
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
        event_uuid: ExecutionId,
        /// Waits for what runs on the channel, instead of running inside it.
        lock: bool,
    },
    /// Once what runs on a channel is over, and whatever waits there before this, notes on the channel what that came to:
    /// `<mark>=<response>`.
    ExecuteMark {
        /// The channel.
        channel: ChannelUuid,
        /// Where it is noted.
        variable: VarName,
        /// What is noted in front.
        mark: ExecutionId,
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
        let mut bytes = BytesMut::new();
        self.render_into(&mut bytes);
        bytes.freeze()
    }

    /// The same, behind what is to be sent already.
    pub(crate) fn render_into(&self, bytes: &mut BytesMut) {
        // To memory this does not fail.
        let _ = write!(bytes, "{self}\n\n");
    }

    /// Whether the answer is an `api/response`, and not a `command/reply`.
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

    /// The job that it starts.
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
            // The one expansion that we want: `switch_core_session.c` clears that variable only after it has expanded the
            // argument.
            Self::ExecuteMark {
                channel,
                variable,
                mark,
            } => write!(
                f,
                "sendmsg {channel}\ncall-command: execute\nexecute-app-name: set\n\
                 execute-app-arg: {variable}={mark}=${{current_application_response}}\nevent-lock: true"
            ),
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

/// Writes the variables that every plan sets first. One application sets them all, since each application of a plan
/// sends two events. `;` separates them: none of their values contains one.
///
/// `mod_conference` copies each channel variable `confvar_X` into variable `X` of a conference that the channel creates,
/// before it sends `conference-create`. Every plan sets this one, so that no conference gets the value of an earlier one.
fn write_plan_variables(
    f: &mut fmt::Formatter<'_>,
    park_timeout: Duration,
    name: &ConferenceVarName,
    value: Option<&VarValue>,
) -> fmt::Result {
    write!(
        f,
        "multiset:^^;{};{};{};{};confvar_{name}=",
        quirk_each_transfer_uses_up_a_forward(),
        quirk_each_transfer_is_remembered(),
        quirk_conference_end_hangs_up(),
        quirk_park_clears_its_timeout(park_timeout)
    )?;
    value.map_or(Ok(()), |value| write!(f, "{value}"))
}

/// Each transfer uses up one of the channel's `max_session_transfers`, or else of its `max_forwards`: 70, or the
/// `Max-Forwards` of the SIP caller. The last one hangs the call up with `EXCHANGE_ROUTING_ERROR` (`switch_ivr.c`). The
/// value is FreeSWITCH's own default.
const fn quirk_each_transfer_uses_up_a_forward() -> &'static str {
    "max_session_transfers=70"
}

/// Each transfer appends its plan to `transfer_history`, which every dump and every event with variables carries.
/// An empty value removes the variable.
const fn quirk_each_transfer_is_remembered() -> &'static str {
    "transfer_history="
}

/// A conference that ends by itself hangs up its members, whatever their plan has next (`mod_conference.c`): by
/// `endconf`, by its silence timeout, or because the last member left while another one came in.
const fn quirk_conference_end_hangs_up() -> &'static str {
    "hangup_after_conference=false"
}

/// Each park clears `park_timeout`, so every plan sets it: seen on 1.11.2, where a call that was kicked out of its room
/// hung up by itself after that time.
fn quirk_park_clears_its_timeout(park_timeout: Duration) -> impl fmt::Display {
    format!("park_timeout={}", park_timeout.as_secs().max(1))
}

/// `lock` does not bind a call that FreeSWITCH dialled, unless the channel says so itself. `max-members` binds every call
/// (`mod_conference.c`).
const fn quirk_lock_does_not_bind_dialled_calls(bound: bool) -> &'static str {
    if bound {
        ";conference_enforce_security=true"
    } else {
        ""
    }
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
    Bytes::from(format!("auth {}\n\n", password.expose()))
}

#[cfg(test)]
mod tests;
