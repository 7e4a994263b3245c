//! Orders as FreeSWITCH's commands.

use std::future::Future;
use std::time::Duration;

use futures_util::future::Either;

use crate::action::Step;
use crate::esl::command::{
    Api, AppName, ChannelUuid, Command, ConferenceCommand, ConferenceName, ConferenceVarName,
    Destination, ExecutionId, HangupCause, Line, MemberAction, MemberSelector, ProfileName,
    RecordingPath, Unfit, VarName, VarValue, Voice,
};
use crate::ids::{RoomId, SessionId};
use crate::media::link::Links;
use crate::node::{CommandError, NodeHandle};
use crate::play_url::PlayUrl;
use crate::room::playback::OPENING;
use crate::room::{Kind, PlayCommand};
use crate::session::StepId;
use crate::time::Timestamp;

use super::belief::Order;
use super::intent::{IntentError, Refusal};
use super::meta;
use super::translate::{META_VARIABLE, PARK_VARIABLE, STEP_VARIABLE};

/// What orders need besides themselves.
#[derive(Clone, Debug)]
pub struct OrderSettings {
    /// The profile that rooms are made with.
    pub profile: ProfileName,
    /// The profile of rooms of two.
    pub connect_profile: ProfileName,
    /// The engine that speaks texts.
    pub speech_engine: Voice,
    /// Its voice.
    pub speech_voice: Voice,
    /// A parked call hangs up after this long, by the node itself.
    pub park_timeout: Duration,
    /// The links to the media proxy; without them FreeSWITCH fetches files from their own servers.
    pub links: Option<Links>,
}

/// The command that an order is given as, as text for people; a step is shown by its application.
///
/// # Errors
/// [`Unfit`]: it could not be given.
pub fn text(order: &Order, settings: &OrderSettings) -> Result<String, Unfit> {
    match order {
        Order::Step { session, step, .. } => {
            let (app, arg) = application(step, settings)?;
            let arg = arg.map(|arg| format!(" {arg}")).unwrap_or_default();
            Ok(format!("execute {} {app}{arg}", channel(*session)))
        }
        Order::Enter { .. }
        | Order::Park { .. }
        | Order::Mute { .. }
        | Order::Describe { .. }
        | Order::Play { .. }
        | Order::RecordStart { .. }
        | Order::RecordStop { .. }
        | Order::Lock { .. }
        | Order::Break { .. }
        | Order::Prepare { .. }
        | Order::Answer { .. }
        | Order::Hangup { .. } => command(order, settings).map(|api| api.to_string()),
    }
}

/// Gives an order. It is queued before this returns, so that orders reach FreeSWITCH as they were decided.
pub(super) fn give(
    order: &Order,
    settings: &OrderSettings,
    node: &NodeHandle,
) -> impl Future<Output = Result<String, CommandError>> + use<> {
    let given = match order {
        Order::Step {
            session, id, step, ..
        } => Either::Left(begin(*session, *id, step, settings, node)),
        Order::Enter { .. }
        | Order::Park { .. }
        | Order::Mute { .. }
        | Order::Lock { .. }
        | Order::Describe { .. }
        | Order::Play { .. }
        | Order::RecordStart { .. }
        | Order::RecordStop { .. }
        | Order::Break { .. }
        | Order::Prepare { .. }
        | Order::Answer { .. }
        | Order::Hangup { .. } => Either::Right(command(order, settings).map(|api| {
            if is_slow(order) {
                Either::Left(node.job_within(api, OPENING))
            } else {
                Either::Right(node.api(api))
            }
        })),
    };
    async move {
        match given {
            Either::Left(step) => step.await.map(|()| String::new()),
            Either::Right(Ok(answer)) => answer.await?.ok().map_err(CommandError::from_failure),
            Either::Right(Err(unfit)) => Err(refused(&unfit)),
        }
    }
}

fn refused(unfit: &Unfit) -> CommandError {
    CommandError::Refused(unfit.to_string())
}

/// Begins a step: notes it on the channel, runs its application, and has the channel note what that came to. All three
/// are queued before this returns.
fn begin(
    session: SessionId,
    id: StepId,
    step: &Step,
    settings: &OrderSettings,
    node: &NodeHandle,
) -> impl Future<Output = Result<(), CommandError>> + use<> {
    let speaks = !matches!(step, Step::Talk(_)) || node.status().speaks;
    let fit = if speaks {
        application(step, settings).map_err(|unfit| refused(&unfit))
    } else {
        Err(CommandError::Refused(
            "the node has no speech engine".to_owned(),
        ))
    };
    let given = fit.and_then(|(app, arg)| {
        let channel = channel(session);
        let variable = VarName::new(STEP_VARIABLE).map_err(|unfit| refused(&unfit))?;
        let mark = ExecutionId::new(id.to_string()).map_err(|unfit| refused(&unfit))?;
        let value = VarValue::new(id.to_string()).map_err(|unfit| refused(&unfit))?;
        let noted = node.api(Api::SetVar(channel, variable.clone(), value));
        let begun = node.command(Command::Execute {
            channel,
            app,
            arg,
            event_uuid: mark.clone(),
            lock: true,
        });
        let marked = node.command(Command::ExecuteMark {
            channel,
            variable,
            mark,
        });
        Ok((noted, begun, marked))
    });
    async move {
        let (noted, begun, marked) = given?;
        noted.await?.ok().map_err(CommandError::from_failure)?;
        begun.await?;
        marked.await
    }
}

/// The application of a step and its argument.
fn application(step: &Step, settings: &OrderSettings) -> Result<(AppName, Option<Line>), Unfit> {
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
    };
    Ok((AppName::new(app)?, arg.map(Line::new).transpose()?))
}

/// Whether FreeSWITCH does it on a thread of its own: a file is fetched before the command is answered.
fn is_slow(order: &Order) -> bool {
    matches!(
        order,
        Order::Play {
            command: PlayCommand::Start { .. },
            ..
        }
    )
}

/// Whether a good answer says something that is believed then.
pub(super) fn is_told(order: &Order) -> bool {
    matches!(
        order,
        Order::Play {
            command: PlayCommand::Start { .. } | PlayCommand::Toggle { .. },
            ..
        }
    )
}

/// What an answer means for the caller who waits for it.
pub(super) fn verdict(
    order: &Order,
    answer: &Result<String, CommandError>,
) -> Result<(), IntentError> {
    let Err(error) = answer else {
        return Ok(());
    };
    // Its conference has ended: what was asked for holds without it.
    if matches!(
        (order, error),
        (Order::Lock { .. }, CommandError::NoSuchChannel)
    ) {
        return Ok(());
    }
    let command = match order {
        Order::Play { command, .. } => Some(command),
        Order::Enter { .. }
        | Order::Park { .. }
        | Order::Mute { .. }
        | Order::Lock { .. }
        | Order::Describe { .. }
        | Order::RecordStart { .. }
        | Order::RecordStop { .. }
        | Order::Step { .. }
        | Order::Break { .. }
        | Order::Prepare { .. }
        | Order::Answer { .. }
        | Order::Hangup { .. } => None,
    };
    match (command, error) {
        // A pause of nothing has no answer at all.
        (
            Some(PlayCommand::Toggle { .. }),
            CommandError::Refused(_) | CommandError::NoSuchChannel,
        ) => Err(Refusal::NothingPlaying.into()),
        // Nothing plays: the next file is told its volume with its path.
        (
            Some(PlayCommand::Volume { .. }),
            CommandError::Refused(_) | CommandError::NoSuchChannel,
        )
        | (Some(PlayCommand::Stop), CommandError::NoSuchChannel) => Ok(()),
        (Some(_) | None, error) => Err(error.clone().into()),
    }
}

fn command(order: &Order, settings: &OrderSettings) -> Result<Api, Unfit> {
    Ok(match order {
        Order::Enter {
            session,
            room,
            kind,
            muted,
            registration,
        } => Api::Transfer(
            channel(*session),
            Destination::Conference {
                room: name(*room)?,
                profile: match kind {
                    Kind::Conference => settings.profile.clone(),
                    Kind::Connect => settings.connect_profile.clone(),
                },
                muted: *muted,
                bound: *kind == Kind::Connect,
                park_timeout: settings.park_timeout,
                variable: (
                    ConferenceVarName::new(META_VARIABLE)?,
                    registration
                        .as_deref()
                        .map(|registration| VarValue::new(meta::encode_for_plan(registration)))
                        .transpose()?,
                ),
            },
        ),
        Order::Park {
            session, parking, ..
        }
        | Order::Break {
            session, parking, ..
        } => Api::Transfer(
            channel(*session),
            Destination::Park {
                park_timeout: settings.park_timeout,
                noted: (VarName::new(PARK_VARIABLE)?, parking.0.as_micros()),
                cleared: ConferenceVarName::new(META_VARIABLE)?,
            },
        ),
        Order::Mute {
            session,
            room,
            mute,
        } => Api::Conference(
            name(*room)?,
            ConferenceCommand::Member(
                if *mute {
                    MemberAction::Mute
                } else {
                    MemberAction::Unmute
                },
                MemberSelector::Channel(channel(*session)),
            ),
        ),
        Order::Lock { room, lock } => Api::Conference(
            name(*room)?,
            if *lock {
                ConferenceCommand::Lock
            } else {
                ConferenceCommand::Unlock
            },
        ),
        Order::Describe { room, registration } => Api::Conference(
            name(*room)?,
            ConferenceCommand::SetVar(
                ConferenceVarName::new(META_VARIABLE)?,
                VarValue::new(meta::encode(registration))?,
            ),
        ),
        Order::Play { room, command } => Api::Conference(
            name(*room)?,
            match command {
                PlayCommand::Start { file, url, volume } => ConferenceCommand::Play {
                    operation: file.operation.uuid(),
                    index: file.index,
                    volume: *volume,
                    url: location(url, settings),
                },
                PlayCommand::Toggle { .. } => ConferenceCommand::PausePlay,
                PlayCommand::Stop => ConferenceCommand::StopPlay,
                PlayCommand::Volume { volume } => ConferenceCommand::FileVolume(*volume),
            },
        ),
        Order::RecordStart { room, path, .. } => Api::Conference(
            name(*room)?,
            ConferenceCommand::RecordStart(RecordingPath::new(path)?),
        ),
        Order::RecordStop { room, path, .. } => Api::Conference(
            name(*room)?,
            ConferenceCommand::RecordStop(RecordingPath::new(path)?),
        ),
        Order::Step { .. } => return Err(Unfit::Reserved { what: "a step" }),
        Order::Prepare { session } => Api::Prepare(channel(*session)),
        Order::Answer { session } => Api::Answer(channel(*session)),
        Order::Hangup { session, cause } => Api::Kill(
            channel(*session),
            cause.as_ref().map(HangupCause::new).transpose()?,
        ),
    })
}

/// Where FreeSWITCH fetches a file from.
fn location(url: &PlayUrl, settings: &OrderSettings) -> PlayUrl {
    match &settings.links {
        Some(links) => links.link(url, Timestamp::now(), rand::random()),
        None => url.clone(),
    }
}

fn channel(session: SessionId) -> ChannelUuid {
    ChannelUuid::from(session.channel().uuid())
}

fn name(room: RoomId) -> Result<ConferenceName, Unfit> {
    ConferenceName::new(room.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use uuid::Uuid;

    use crate::ids::OperationId;
    use crate::room::FileId;

    use super::*;

    fn about_playing() -> [PlayCommand; 4] {
        [
            PlayCommand::Start {
                file: FileId {
                    operation: OperationId::new(Uuid::nil()),
                    index: 0,
                },
                url: PlayUrl::new("http://1.1.1.1/a").unwrap(),
                volume: 0,
            },
            PlayCommand::Toggle { command_uid: None },
            PlayCommand::Stop,
            PlayCommand::Volume { volume: 1 },
        ]
    }

    /// What callers are told of these commands when FreeSWITCH answers so: `None` is success.
    fn told(error: &CommandError) -> Vec<Option<IntentError>> {
        let room = "acW68-room-550e8400-e29b-41d4-a716-446655440000";
        about_playing()
            .into_iter()
            .map(|command| {
                let order = Order::Play {
                    room: room.parse().unwrap(),
                    command,
                };
                assert!(verdict(&order, &Ok(String::new())).is_ok());
                verdict(&order, &Err(error.clone())).err()
            })
            .collect()
    }

    #[test]
    fn what_callers_are_told_of_playing() {
        let refused = CommandError::Refused("no reply".to_owned());
        let down = CommandError::Down {
            retry_after: Duration::from_secs(1),
        };
        let nothing = || IntentError::from(Refusal::NothingPlaying);
        let same = |error: &CommandError| Some(IntentError::from(error.clone()));
        for (error, expected) in [
            // FreeSWITCH has no room without members, and no file to pause or turn down: nothing is playing.
            (
                CommandError::NoSuchChannel,
                [
                    same(&CommandError::NoSuchChannel),
                    Some(nothing()),
                    None,
                    None,
                ],
            ),
            (
                refused.clone(),
                [same(&refused), Some(nothing()), same(&refused), None],
            ),
            (down.clone(), std::array::from_fn(|_| same(&down))),
            (
                CommandError::Busy,
                std::array::from_fn(|_| same(&CommandError::Busy)),
            ),
            (
                CommandError::Unknown,
                std::array::from_fn(|_| same(&CommandError::Unknown)),
            ),
        ] {
            // Errors of the store in it cannot be compared, so their words are.
            let words = |told: &[Option<IntentError>]| format!("{told:?}");
            assert_eq!(words(&told(&error)), words(&expected), "{error}");
        }
    }
}
