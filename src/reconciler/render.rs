//! The text of switch commands.

use std::time::Duration;

use crate::clock;
use crate::media::link::Links;
use freeswitch_esl::command::{
    Api, AppName, ChannelUuid, CollectDigits, Command, ConferenceCommand, ConferenceName,
    ConferenceSound, ConferenceVarName, DialString, DialTemplate, DigitPrompt, DtmfTones,
    ExecutionId, HangupCause, JoinFlag, Leg, Line, MarkedResult, MediaUrl, MemberAction,
    MemberLevel, MemberSelector, Origination, ProfileName, QuotedText, RecordVerb, RecordingPath,
    SipHeaderName, SoundFile, SpokenText, Unfit, VarName, VarValue, Voice,
};
use roomkeeper_core::action::Step;
use roomkeeper_core::call::StepId;
use roomkeeper_core::dial::{
    CallerName, Destination, PhoneNumber, SipHeader, TransferRequest, TransferTarget,
};
use roomkeeper_core::entity::Target;
use roomkeeper_core::gather::{Gather, Prompt};
use roomkeeper_core::ids::{CallId, ChannelId, RoomId};
use roomkeeper_core::play_url::PlayUrl;
use roomkeeper_core::room::Media;
use roomkeeper_core::room::{
    DialRequest, Entry, Kind, Level, MemberFlag, MemberSettings, PlayCommand, RecordAction,
    RoomControl, Tone,
};

use super::plans;
use super::variables::{
    APP_VARIABLE, DIAL_VARIABLE, DIGITS_VARIABLE, LEG_VARIABLE, META_VARIABLE, RECORDING_VARIABLE,
    STEP_VARIABLE,
};
use roomkeeper_core::conference_meta as meta;
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};

/// Settings that the text of commands depends on.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The profile of rooms.
    pub profile: ProfileName,
    /// The profile of rooms for two calls.
    pub connect_profile: ProfileName,
    /// The speech engine.
    pub speech_engine: Voice,
    /// The voice of the speech engine.
    pub speech_voice: Voice,
    /// The time after which FreeSWITCH hangs up a parked call.
    pub park_timeout: Duration,
    /// The forms of dial strings.
    pub dial: DialTemplates,
    /// Links to the media proxy. Without them FreeSWITCH fetches files from their own servers.
    pub links: Option<Links>,
}

/// The forms of dial strings; a destination without one cannot be called.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DialTemplates {
    /// That of numbers.
    pub number: Option<DialTemplate>,
    /// That of SIP addresses.
    pub address: Option<DialTemplate>,
}

impl DialTemplates {
    /// Returns the dial string of a destination.
    fn dial_string(&self, to: &Destination) -> Result<DialString, Unfit> {
        let template = match to {
            Destination::Number(_) => &self.number,
            Destination::Address(_) => &self.address,
        };
        let what = "a destination without a configured route";
        let template = template.as_ref().ok_or(Unfit::Reserved { what })?;
        template.fill(&to.to_string())
    }
}

/// The text of a switch command for operators. Shows a step by its application.
///
/// # Errors
/// [`Unfit`]: it could not be sent.
pub fn text(command: &SwitchCommand, settings: &CommandSettings) -> Result<String, Unfit> {
    if let (SwitchAction::Step { step, .. }, Some(call)) = (&command.action, command.target.call())
    {
        let (app, arg) = application(step, settings)?;
        let arg = arg.map(|arg| format!(" {arg}")).unwrap_or_default();
        return Ok(format!("execute {} {app}{arg}", channel(call)));
    }
    api(command, settings).map(|api| api.to_string())
}

/// The commands of a step.
pub(super) struct StepCommands {
    /// Notes the step on the channel.
    pub(super) note: Api,
    /// Runs its application.
    pub(super) execute: Command,
    /// Has the channel note the result.
    pub(super) mark: Command,
}

/// Renders a step of a call.
pub(super) fn step(
    call: CallId,
    id: StepId,
    step: &Step,
    settings: &CommandSettings,
) -> Result<StepCommands, Unfit> {
    let (app, arg) = application(step, settings)?;
    let channel = channel(call);
    let variable = VarName::new(STEP_VARIABLE)?;
    let mark = ExecutionId::new(id.to_string())?;
    let result = match step {
        Step::Gather(_) | Step::Pin(_) => MarkedResult::Digits(VarName::new(DIGITS_VARIABLE)?),
        Step::Answer
        | Step::Talk(_)
        | Step::Play(_)
        | Step::Beep
        | Step::Sleep(_)
        | Step::Hangup => MarkedResult::Response,
    };
    let value = VarValue::new(id.to_string())?;
    Ok(StepCommands {
        note: Api::SetVar(channel, variable.clone(), value),
        execute: Command::Execute {
            channel,
            app,
            arg,
            event_uuid: mark.clone(),
            lock: true,
        },
        mark: Command::ExecuteMark {
            channel,
            variable,
            mark,
            result,
        },
    })
}

/// The application of a step and its argument.
fn application(step: &Step, settings: &CommandSettings) -> Result<(AppName, Option<Line>), Unfit> {
    let (app, arg) = match step {
        Step::Answer => ("answer", None),
        Step::Talk(text) => {
            let (engine, voice) = (&settings.speech_engine, &settings.speech_voice);
            ("speak", Some(format!("{engine}|{voice}|{}", text.as_str())))
        }
        Step::Play(url) => ("playback", Some(location(url, settings).to_string())),
        // Half a second of 640 Hz.
        Step::Beep => ("playback", Some("tone_stream://%(500,0,640)".to_owned())),
        Step::Sleep(ms) => ("sleep", Some(ms.to_string())),
        Step::Hangup => ("hangup", Some("NORMAL_CLEARING".to_owned())),
        Step::Gather(gather) => collect_digits(gather, settings)?,
        Step::Pin(request) => collect_digits(&request.attempt(), settings)?,
    };
    Ok((AppName::new(app)?, arg.map(Line::new).transpose()?))
}

/// The application of one attempt of a request for digits, and its argument.
fn collect_digits(
    gather: &Gather,
    settings: &CommandSettings,
) -> Result<(&'static str, Option<String>), Unfit> {
    let argument = attempt(gather, settings)?.argument()?;
    Ok(("play_and_get_digits", Some(argument.to_string())))
}

/// One attempt of a request for digits.
fn attempt(gather: &Gather, settings: &CommandSettings) -> Result<CollectDigits, Unfit> {
    let (engine, voice) = (&settings.speech_engine, &settings.speech_voice);
    Ok(CollectDigits {
        min: gather.min_digits,
        max: gather.max_digits,
        terminator: gather.terminator,
        timeout: Duration::from_millis(gather.timeout_ms.into()),
        digit_timeout: Duration::from_millis(gather.inter_digit_timeout_ms.into()),
        prompt: match &gather.prompt {
            Prompt::Silence => DigitPrompt::silence(),
            Prompt::Play(url) => {
                DigitPrompt::file(&MediaUrl::new(location(url, settings).as_str())?)
            }
            Prompt::Talk(text) => DigitPrompt::speech(engine, voice, text.as_str())?,
        },
        variable: VarName::new(DIGITS_VARIABLE)?,
    })
}

/// The API command of a switch command; a step has none.
pub(super) fn api(command: &SwitchCommand, settings: &CommandSettings) -> Result<Api, Unfit> {
    match command.target {
        Target::Room(room) => conference_command(&command.action, settings)
            .and_then(|conference| Ok(Api::Conference(name(room)?, conference))),
        Target::Call(call) => call_command(&command.action, channel(call), settings),
        Target::Member { room, call } => {
            member_command(&command.action, room, channel(call), settings)
        }
    }
}

fn conference_command(
    action: &SwitchAction,
    settings: &CommandSettings,
) -> Result<ConferenceCommand, Unfit> {
    Ok(match action {
        SwitchAction::SetLock { locked: true } => ConferenceCommand::Lock,
        SwitchAction::SetLock { locked: false } => ConferenceCommand::Unlock,
        SwitchAction::Describe { registration } => ConferenceCommand::SetVar(
            ConferenceVarName::new(META_VARIABLE)?,
            VarValue::new(meta::encode(registration))?,
        ),
        SwitchAction::Control(control) => room_control(control, settings)?,
        SwitchAction::Play(command) => play_command(command, None, settings)?,
        SwitchAction::Record { path, action, .. } => {
            let path = RecordingPath::new(path)?;
            match action {
                RecordAction::Start => ConferenceCommand::RecordStart(path),
                RecordAction::Stop => ConferenceCommand::RecordStop(path),
                RecordAction::Pause => ConferenceCommand::RecordPause(path),
                RecordAction::Resume => ConferenceCommand::RecordResume(path),
            }
        }
        _ => return Err(wrong_target("a room")),
    })
}

/// The command of a playback in a room, or to one member.
fn play_command(
    command: &PlayCommand,
    member: Option<ChannelUuid>,
    settings: &CommandSettings,
) -> Result<ConferenceCommand, Unfit> {
    Ok(match (command, member) {
        (
            PlayCommand::Start {
                file,
                media,
                volume,
            },
            _,
        ) => ConferenceCommand::Play {
            operation: file.operation.uuid(),
            index: file.index,
            volume: *volume,
            sound: sound_file(media, settings)?,
            member,
        },
        (PlayCommand::Stop, _) => ConferenceCommand::StopPlay(member),
        (PlayCommand::Toggle { .. }, None) => ConferenceCommand::PausePlay,
        (PlayCommand::Volume { volume }, None) => ConferenceCommand::FileVolume(*volume),
        (PlayCommand::Toggle { .. } | PlayCommand::Volume { .. }, Some(_)) => {
            return Err(wrong_target("a member"));
        }
    })
}

/// The file of a playback.
fn sound_file(media: &Media, settings: &CommandSettings) -> Result<SoundFile, Unfit> {
    match media {
        Media::Url(url) => Ok(SoundFile::Url(MediaUrl::new(
            location(url, settings).as_str(),
        )?)),
        Media::Speech(spoken) => {
            let voice = match &spoken.voice {
                Some(voice) => &Voice::new(voice.as_str())?,
                None => &settings.speech_voice,
            };
            let text = SpokenText::new(spoken.text.as_str())?;
            Ok(SoundFile::Speech(
                settings.speech_engine.clone(),
                voice.clone(),
                text,
            ))
        }
    }
}

/// The command of a control. FreeSWITCH fetches the files of tones and music again and again.
fn room_control(
    control: &RoomControl,
    settings: &CommandSettings,
) -> Result<ConferenceCommand, Unfit> {
    let file = |url: &PlayUrl| {
        let url = match &settings.links {
            Some(links) => links.lasting_link(url, clock::now(), rand::random()),
            None => url.clone(),
        };
        MediaUrl::new(url.as_str())
    };
    Ok(match control {
        RoomControl::MaxMembers(most) => ConferenceCommand::MaxMembers(*most),
        RoomControl::ToneFile(tone, url) => ConferenceCommand::SoundFile(sound(*tone), file(url)?),
        RoomControl::ToneOn(tone, on) => ConferenceCommand::SoundOn(sound(*tone), *on),
        RoomControl::AloneFile(url) => ConferenceCommand::MusicFile(file(url)?),
        RoomControl::NoAloneFile => ConferenceCommand::NoMusicFile,
        RoomControl::AloneOn(on) => ConferenceCommand::MusicOn(*on),
    })
}

const fn sound(tone: Tone) -> ConferenceSound {
    match tone {
        Tone::Enter => ConferenceSound::Enter,
        Tone::Exit => ConferenceSound::Exit,
    }
}

fn call_command(
    action: &SwitchAction,
    channel: ChannelUuid,
    settings: &CommandSettings,
) -> Result<Api, Unfit> {
    Ok(match action {
        SwitchAction::Park { id } | SwitchAction::Break { id } => Api::Transfer(
            channel,
            plans::park(id.0.as_micros(), settings.park_timeout)?,
        ),
        SwitchAction::Coach { member, id } => Api::Transfer(
            channel,
            plans::coach(
                self::channel(*member),
                id.0.as_micros(),
                settings.park_timeout,
            )?,
        ),
        SwitchAction::Transfer { request, leg, id } => {
            let leg = transfer_leg(request, *leg, channel, settings)?;
            Api::Transfer(
                channel,
                plans::transfer(leg, id.0.as_micros(), settings.park_timeout)?,
            )
        }
        SwitchAction::Prepare => Api::SetVars(channel, plans::preparation()?),
        SwitchAction::Answer => Api::Answer(channel),
        SwitchAction::CancelDial => Api::Kill(channel, None),
        SwitchAction::StopGather => Api::StopDigits(channel),
        SwitchAction::SendDigits { tones } => {
            let digits = DtmfTones::new(tones.digits())?;
            Api::SendDtmf(channel, digits, tones.duration_ms())
        }
        SwitchAction::Hangup { cause } => {
            Api::Kill(channel, cause.as_ref().map(HangupCause::new).transpose()?)
        }
        _ => return Err(wrong_target("a call")),
    })
}

fn member_command(
    action: &SwitchAction,
    room: RoomId,
    channel: ChannelUuid,
    settings: &CommandSettings,
) -> Result<Api, Unfit> {
    if let SwitchAction::Dial { request, entry } = action {
        return dial(request, entry, room, channel, settings);
    }
    let on_member = match action {
        SwitchAction::SetFlag { flag, on } => Some(match (flag, on) {
            (MemberFlag::Speak, true) => MemberAction::Unmute,
            (MemberFlag::Speak, false) => MemberAction::Mute,
            (MemberFlag::Hear, true) => MemberAction::Undeaf,
            (MemberFlag::Hear, false) => MemberAction::Deaf,
        }),
        SwitchAction::SetHearing { on: true } => Some(MemberAction::Undeaf),
        SwitchAction::SetHearing { on: false } => Some(MemberAction::Deaf),
        SwitchAction::Hold { on: true } => Some(MemberAction::Hold),
        SwitchAction::Hold { on: false } => Some(MemberAction::Unhold),
        _ => None,
    };
    if let SwitchAction::SetLevel { level, value } = action {
        let member = MemberSelector::Channel(channel);
        let command = ConferenceCommand::Level(member_level(*level), member, *value);
        return Ok(Api::Conference(name(room)?, command));
    }
    if let Some(action) = on_member {
        let member = MemberSelector::Channel(channel);
        let command = ConferenceCommand::Member(action, member);
        return Ok(Api::Conference(name(room)?, command));
    }
    if let SwitchAction::Play(command) = action {
        let command = play_command(command, Some(channel), settings)?;
        return Ok(Api::Conference(name(room)?, command));
    }
    if let SwitchAction::Record { path, action, .. } = action {
        let verb = match action {
            RecordAction::Start => RecordVerb::Start,
            RecordAction::Stop => RecordVerb::Stop,
            RecordAction::Pause => RecordVerb::Mask,
            RecordAction::Resume => RecordVerb::Unmask,
        };
        return Ok(Api::Record(channel, verb, RecordingPath::new(path)?));
    }
    let SwitchAction::Enter(entry) = action else {
        return call_command(action, channel, settings);
    };
    Ok(Api::Transfer(
        channel,
        plans::enter(plan_entry(entry, room, settings)?, settings.park_timeout)?,
    ))
}

/// The entry of a call, as its plan needs it.
fn plan_entry(
    entry: &Entry,
    room: RoomId,
    settings: &CommandSettings,
) -> Result<plans::Entry, Unfit> {
    Ok(plans::Entry {
        name: name(room)?,
        profile: match entry.kind {
            Kind::Conference => settings.profile.clone(),
            Kind::Connect => settings.connect_profile.clone(),
        },
        flags: join_flags(entry),
        levels: join_levels(&entry.member),
        obeys_lock: entry.kind == Kind::Connect,
        past_lock: entry.past_lock,
        registration: entry
            .registration
            .as_ref()
            .map(|registration| VarValue::new(meta::encode_for_plan(registration)))
            .transpose()?,
    })
}

/// The levels that a member has other than its profile's.
fn join_levels(settings: &MemberSettings) -> Vec<(MemberLevel, i32)> {
    let defaults = MemberSettings::default();
    let set = |level: &Level| level.get(settings) != level.get(&defaults);
    let levels = Level::ALL.into_iter().filter(set);
    let value = |level: Level| Some((member_level(level), level.get(settings)?));
    levels.filter_map(value).collect()
}

const fn member_level(level: Level) -> MemberLevel {
    match level {
        Level::VolumeIn => MemberLevel::VolumeIn,
        Level::VolumeOut => MemberLevel::VolumeOut,
        Level::Energy => MemberLevel::Energy,
    }
}

/// Makes a call that executes the plan of a join once it is answered.
fn dial(
    request: &DialRequest,
    entry: &Entry,
    room: RoomId,
    channel: ChannelUuid,
    settings: &CommandSettings,
) -> Result<Api, Unfit> {
    let header = |header: &SipHeader| {
        Ok((
            SipHeaderName::new(header.name())?,
            QuotedText::new(header.value())?,
        ))
    };
    let from = request.from.as_ref().map(PhoneNumber::as_str);
    let name = request.caller_name.as_ref().map(CallerName::as_str);
    let dialled_by = (
        VarName::new(DIAL_VARIABLE)?,
        VarValue::new(room.to_string())?,
    );
    let app = entry.registration.as_ref().map(|registration| {
        let app = VarValue::new(registration.app.as_str())?;
        Ok((VarName::new(APP_VARIABLE)?, app))
    });
    let leg = Leg {
        uuid: channel,
        timeout: request.timeout(),
        caller_number: from.map(QuotedText::new).transpose()?,
        caller_name: name.map(QuotedText::new).transpose()?,
        headers: request
            .headers
            .iter()
            .map(header)
            .collect::<Result<_, Unfit>>()?,
        variables: app.transpose()?.into_iter().chain([dialled_by]).collect(),
        to: settings.dial.dial_string(&request.to)?,
    };
    Ok(Api::Originate(Box::new(Origination {
        leg,
        plan: plans::enter(plan_entry(entry, room, settings)?, settings.park_timeout)?,
    })))
}

/// The other side of a transfer. An extension is called through the dialplan, by a `loopback` channel: if the context does
/// not have it, that channel alone hangs up.
fn transfer_leg(
    request: &TransferRequest,
    leg: ChannelId,
    call: ChannelUuid,
    settings: &CommandSettings,
) -> Result<Leg, Unfit> {
    let from = request.from.as_ref().map(PhoneNumber::as_str);
    let name = request.caller_name.as_ref().map(CallerName::as_str);
    let mut variables = vec![(
        VarName::new(LEG_VARIABLE)?,
        VarValue::new(call.to_string())?,
    )];
    let to = match &request.to {
        TransferTarget::Destination(to) => settings.dial.dial_string(to)?,
        TransferTarget::Extension(extension, context) => {
            for (name, value) in quirk_loopback_removes_itself() {
                variables.push((VarName::new(name)?, VarValue::new(value)?));
            }
            DialString::new(format!("loopback/{extension}/{context}/XML"))?
        }
    };
    Ok(Leg {
        uuid: ChannelUuid::from(leg.uuid()),
        timeout: Duration::from_secs(request.timeout.into()),
        caller_number: from.map(QuotedText::new).transpose()?,
        caller_name: name.map(QuotedText::new).transpose()?,
        headers: Vec::new(),
        variables,
        to,
    })
}

/// A `loopback` channel connects its two sides without itself once the extension is answered (`mod_loopback.c`), which
/// would move the call out of the plan of its transfer.
const fn quirk_loopback_removes_itself() -> [(&'static str, &'static str); 2] {
    [
        ("loopback_bowout", "false"),
        ("loopback_bowout_on_execute", "false"),
    ]
}

/// Returns the flags that a member has from the start.
fn join_flags(entry: &Entry) -> Vec<JoinFlag> {
    let flags = [
        (entry.muted, JoinFlag::Mute),
        (entry.deaf, JoinFlag::Deaf),
        (entry.detects_muted_talk, JoinFlag::MuteDetect),
    ];
    flags
        .into_iter()
        .filter_map(|(is_set, flag)| is_set.then_some(flag))
        .collect()
}

/// A command with those that set variables of the channel before and after it.
pub(super) struct RenderedCommand {
    pub(super) before: Option<Api>,
    pub(super) command: Api,
    pub(super) after: Option<Api>,
}

/// Renders a switch command with the variables that it needs.
///
/// # Errors
/// As [`api`].
pub(super) fn with_variables(
    command: &SwitchCommand,
    settings: &CommandSettings,
) -> Result<RenderedCommand, Unfit> {
    let (before, after) = recording_variables(command)?.unzip();
    Ok(RenderedCommand {
        before,
        command: api(command, settings)?,
        after,
    })
}

/// The variables that the start of a member's recording needs, before and after it; `None` for other commands.
fn recording_variables(command: &SwitchCommand) -> Result<Option<(Api, Api)>, Unfit> {
    let (Target::Member { room, call }, SwitchAction::Record { action, .. }) =
        (command.target, &command.action)
    else {
        return Ok(None);
    };
    if *action != RecordAction::Start {
        return Ok(None);
    }
    let (channel, read_only) = (
        channel(call),
        VarName::new(quirk_both_sides_are_recorded())?,
    );
    let before = vec![
        (read_only.clone(), VarValue::new("true")?),
        (
            VarName::new(RECORDING_VARIABLE)?,
            VarValue::new(room.to_string())?,
        ),
    ];
    let after = Api::SetVar(channel, read_only, VarValue::new("false")?);
    Ok(Some((Api::SetVars(channel, before), after)))
}

/// `uuid_record` records what a channel hears beside what it says, unless this variable says otherwise at its start
/// (`switch_ivr_async.c`). The variable stays, and would change later recordings of others.
const fn quirk_both_sides_are_recorded() -> &'static str {
    "record_read_only"
}

const fn wrong_target(what: &'static str) -> Unfit {
    Unfit::Reserved { what }
}

/// The location that FreeSWITCH fetches a file from.
fn location(url: &PlayUrl, settings: &CommandSettings) -> PlayUrl {
    match &settings.links {
        Some(links) => links.link(url, clock::now(), rand::random()),
        None => url.clone(),
    }
}

fn channel(call: CallId) -> ChannelUuid {
    ChannelUuid::from(call.channel().uuid())
}

fn name(room: RoomId) -> Result<ConferenceName, Unfit> {
    ConferenceName::new(room.to_string())
}
