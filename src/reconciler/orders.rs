//! Orders as FreeSWITCH's commands.

use std::future::Future;
use std::time::Duration;

use futures_util::future::Either;

use crate::esl::command::{
    Api, ChannelUuid, ConferenceCommand, ConferenceName, ConferenceVarName, Destination,
    HangupCause, MemberAction, MemberSelector, ProfileName, Unfit, VarValue,
};
use crate::ids::{RoomId, SessionId};
use crate::node::{CommandError, NodeHandle};
use crate::room::PlayCommand;
use crate::room::playback::OPENING;

use super::belief::Order;
use super::intent::{IntentError, Refusal};
use super::meta;
use super::translate::META_VARIABLE;

/// What orders need besides themselves.
#[derive(Clone, Debug)]
pub struct OrderSettings {
    /// The profile that rooms are made with.
    pub profile: ProfileName,
    /// A parked call hangs up after this long, by the node itself.
    pub park_timeout: Duration,
}

/// Gives an order. It is queued before this returns, so that orders reach FreeSWITCH as they were decided.
pub(super) fn give(
    order: &Order,
    settings: &OrderSettings,
    node: &NodeHandle,
) -> impl Future<Output = Result<String, CommandError>> + use<> {
    let answer = command(order, settings).map(|api| {
        if is_slow(order) {
            Either::Left(node.job_within(api, OPENING))
        } else {
            Either::Right(node.api(api))
        }
    });
    async move {
        match answer {
            Ok(answer) => answer.await?.ok().map_err(CommandError::from_failure),
            Err(unfit) => Err(CommandError::Refused(unfit.to_string())),
        }
    }
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
    let command = match order {
        Order::Play { command, .. } => Some(command),
        Order::Enter { .. }
        | Order::Park { .. }
        | Order::Mute { .. }
        | Order::Describe { .. }
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
            muted,
        } => Api::Transfer(
            channel(*session),
            Destination::Conference {
                room: name(*room)?,
                profile: settings.profile.clone(),
                muted: *muted,
                park_timeout: settings.park_timeout,
            },
        ),
        Order::Park { session, .. } => Api::Transfer(
            channel(*session),
            Destination::Park {
                park_timeout: settings.park_timeout,
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
                    url: url.clone(),
                },
                PlayCommand::Toggle { .. } => ConferenceCommand::PausePlay,
                PlayCommand::Stop => ConferenceCommand::StopPlay,
                PlayCommand::Volume { volume } => ConferenceCommand::FileVolume(*volume),
            },
        ),
        Order::Answer { session } => Api::Answer(channel(*session)),
        Order::Hangup { session, cause } => Api::Kill(
            channel(*session),
            cause.as_ref().map(HangupCause::new).transpose()?,
        ),
    })
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
    use crate::play_url::PlayUrl;
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
