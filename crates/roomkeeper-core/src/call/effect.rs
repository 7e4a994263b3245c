//! Effects of an input on a call, and the notifications of calls.

use std::time::Duration;

use crate::action::Step;
use crate::dial::TransferRequest;
use crate::gather::{GatherResult, PressedDigit};
use crate::ids::{CallId, ChannelId, CommandUid, RoomId};
use crate::room::effect::named_events;
use crate::room::{CoachChange, JoinFailure, LeftReason};

use super::run::StepId;
use super::state::{Direction, ParkId};
use super::transferring::{TransferChange, TransferEvent};

/// A domain event of a call, with its number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallNotification {
    /// Its number, from 1 without gaps.
    pub sequence: u64,
    /// The domain event.
    pub event: CallEvent,
    /// True if derived from a snapshot, not from an event.
    pub synthesized: bool,
}

/// A domain event of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallEvent {
    /// The call is new.
    New {
        /// The caller's number.
        caller_id: String,
        /// The dialled number.
        did: String,
        /// Inbound or outbound.
        direction: Direction,
    },
    /// The call was answered.
    Answered,
    /// A request for digits ended while the call was parked, or after it had left its room.
    Gathered(Box<GatherResult>),
    /// The call received a digit outside of a room.
    Digit(PressedDigit),
    /// A transfer was answered, failed, or ended.
    Transfer(TransferEvent),
    /// The call ended.
    Hangup {
        /// FreeSWITCH's hang-up cause.
        cause: String,
        /// The time since the answer; zero if the call was never answered.
        duration: Duration,
    },
}

impl CallEvent {
    named_events! {
        Self::New { .. } => "call.new",
        Self::Answered => "call.answered",
        Self::Gathered(_) => "call.gathered",
        Self::Digit(_) => "call.dtmf",
        Self::Transfer(TransferEvent { change: TransferChange::Answered, .. }) => "call.transferred",
        Self::Transfer(TransferEvent { change: TransferChange::Failed { .. }, .. }) => "call.transfer_failed",
        Self::Transfer(TransferEvent { change: TransferChange::Ended { .. }, .. }) => "call.transfer_ended",
        Self::Hangup { .. } => "call.hangup",
    }
}

/// An effect of an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallEffect {
    /// Notifies the app.
    Notify(CallNotification),
    /// Reports to the room that the call has left it, even without an event of the conference.
    RoomGone {
        /// The room.
        room: RoomId,
        /// The call.
        call: CallId,
        /// The sequence of the event that shows it; `None` if no event does.
        sequence: Option<u64>,
        /// The reason.
        reason: LeftReason,
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
    /// Makes FreeSWITCH begin this step.
    Step {
        /// The room of the step; `None` for a parked call that is asked for digits.
        room: Option<RoomId>,
        /// The id of the step.
        id: StepId,
        /// The step.
        step: Step,
    },
    /// Makes FreeSWITCH end the request for digits that runs.
    StopGather,
    /// Reports the result of a request for digits to the room of the call.
    Gathered {
        /// The room.
        room: RoomId,
        /// The result.
        result: Box<GatherResult>,
    },
    /// Requests another check of the call: FreeSWITCH may not have received the step or the park command yet.
    CheckAgain,
    /// Makes FreeSWITCH stop the step that runs and park the call ([`CallInput::ParkSent`](super::CallInput::ParkSent)).
    Break {
        /// The room whose actions ran.
        room: RoomId,
    },
    /// Makes FreeSWITCH connect the call with the other side of a transfer.
    Transfer {
        /// The request.
        request: Box<TransferRequest>,
        /// The channel of the other side.
        leg: ChannelId,
        /// The id that the call parks with afterwards.
        id: ParkId,
    },
    /// Makes FreeSWITCH end a transfer and park the call ([`CallInput::ParkSent`](super::CallInput::ParkSent)).
    EndTransfer,
    /// Makes FreeSWITCH let the call coach this member.
    Coach {
        /// The room.
        room: RoomId,
        /// The member.
        member: CallId,
        /// The id that the call parks with afterwards.
        id: ParkId,
    },
    /// Reports to the room that a coaching began, failed or ended.
    CoachChanged {
        /// The room.
        room: RoomId,
        /// The member.
        member: CallId,
        /// The change.
        change: CoachChange,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
    /// Reports to the room that the call's pre-actions are done.
    Ready {
        /// The room.
        room: RoomId,
    },
    /// Reports to the room that the call will not enter it.
    RoomNotEntered {
        /// The room.
        room: RoomId,
        /// The call.
        call: CallId,
        /// The reason.
        reason: JoinFailure,
    },
}
