//! Orders as FreeSWITCH's commands.

use std::future::Future;
use std::time::Duration;

use crate::esl::command::{
    Api, ChannelUuid, ConferenceCommand, ConferenceName, ConferenceVarName, Destination,
    HangupCause, MemberAction, MemberSelector, ProfileName, Unfit, VarValue,
};
use crate::ids::{RoomId, SessionId};
use crate::node::{CommandError, NodeHandle};

use super::belief::Order;
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
) -> impl Future<Output = Result<(), CommandError>> + use<> {
    let answer = command(order, settings).map(|api| node.api(api));
    async move {
        match answer {
            Ok(answer) => answer
                .await?
                .ok()
                .map(|_| ())
                .map_err(CommandError::from_failure),
            Err(unfit) => Err(CommandError::Refused(unfit.to_string())),
        }
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
