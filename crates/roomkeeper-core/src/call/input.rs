//! Inputs of a call.

use crate::gather::PressedDigit;
use crate::ids::{CallId, CommandUid, CoreId, RoomId};
use crate::room::CoachEnd;
use crate::time::Timestamp;

use super::coaching::Coaching;
use super::gathering::Gathering;
use super::run::{ActionRun, Checkpoint, StepId};
use super::state::ParkId;
use super::transferring::{Bridge, Transfer, TransferEnd};

/// An input of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CallInput {
    /// The first event or snapshot that names the call.
    FirstSeen {
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
    /// The call was answered.
    Answered {
        /// The time of the answer.
        at: Timestamp,
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
    /// The call is parked, since this event or fence.
    Parked {
        /// `Event-Sequence`.
        sequence: u64,
        /// The last park command that was carried out on its channel.
        by: Option<ParkId>,
        /// The result of the last transfer that its channel carries.
        bridge: Option<Bridge>,
    },
    /// A command to park the call is sent.
    ParkSent(ParkId),
    /// A caller requests that the call joins a room.
    Joining {
        /// The room.
        room: RoomId,
    },
    /// A caller requests that the call moves from its room into another one.
    Moving {
        /// The other room.
        to: RoomId,
    },
    /// A caller requests that the call joins a room, and the call has pre-actions to run first.
    Acting {
        /// The action run.
        run: ActionRun,
    },
    /// The call has left a room, and runs post-actions once it is parked.
    ThenAct {
        /// The action run.
        run: ActionRun,
    },
    /// A caller requests digits.
    Gather(Box<Gathering>),
    /// A caller stops the request for digits.
    StopGather,
    /// The call received a digit that its app wants.
    Digit(PressedDigit),
    /// A step ended.
    StepEnded {
        /// The step.
        step: StepId,
        /// FreeSWITCH's response.
        response: String,
    },
    /// FreeSWITCH did not begin a step.
    StepRefused {
        /// The step.
        step: StepId,
    },
    /// The checkpoint that the channel carries.
    CheckpointRead {
        /// The step that ran when the checkpoint was requested.
        requested: StepId,
        /// The checkpoint, if the channel has one.
        checkpoint: Option<Checkpoint>,
    },
    /// A caller requests that the call coaches a member; it is parked.
    Coach {
        /// The member, and the deadline.
        coaching: Coaching,
        /// The id that the call parks with afterwards.
        id: ParkId,
    },
    /// FreeSWITCH lets the call coach this member.
    Coaches {
        /// The member.
        member: CallId,
        /// `Event-Sequence`; `None` if a dump shows it.
        sequence: Option<u64>,
    },
    /// The coaching must end; the command goes out.
    EndCoaching {
        /// The member.
        member: CallId,
        /// The reason.
        reason: CoachEnd,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// FreeSWITCH refused to begin the coaching with this id.
    CoachRefused(ParkId),
    /// A caller requests a transfer; the call is parked, or leaves its room first.
    Transfer(Box<Transfer>),
    /// The plan of the transfer with this id runs.
    Bridged {
        /// The id that the call parks with after the transfer.
        id: Option<ParkId>,
        /// True if the other side has answered.
        answered: bool,
        /// `Event-Sequence`; `None` if a dump shows it.
        sequence: Option<u64>,
    },
    /// The transfer must end; the command goes out.
    EndTransfer {
        /// The reason.
        reason: TransferEnd,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// FreeSWITCH refused to begin the transfer with this id.
    TransferRefused(ParkId),
    /// FreeSWITCH restarted, and may recover the call.
    CoreRestarted,
    /// FreeSWITCH has recovered the call after a restart.
    Recovered {
        /// The core that runs.
        core: CoreId,
    },
    /// A deadline may have passed.
    Deadline,
    /// The call is in a room, since this event or fence.
    Entered {
        /// The room.
        room: RoomId,
        /// `Event-Sequence`.
        sequence: u64,
    },
    /// A caller requests that the call leaves its room.
    Leaving,
    /// The call stays in this room: its leave is reverted.
    Stays {
        /// The room.
        room: RoomId,
    },
    /// The call has left this room.
    Left {
        /// The room.
        room: RoomId,
        /// `Event-Sequence`, if an event reported it.
        sequence: Option<u64>,
    },
    /// The call is no longer on its way into this room.
    NotEntered {
        /// The room.
        room: RoomId,
        /// True if FreeSWITCH gets another park command.
        turned_away: bool,
    },
    /// The call entered a room that is over, since this event or fence, and must be parked.
    Strayed {
        /// `Event-Sequence`.
        sequence: u64,
    },
    /// The call ended.
    Ended {
        /// FreeSWITCH's hang-up cause, such as `NORMAL_CLEARING`.
        cause: String,
        /// The time of the end.
        at: Timestamp,
        /// `Event-Sequence`, if an event reported it.
        sequence: Option<u64>,
        /// True if the node was lost or restarted; false if the call hung up.
        orphan: bool,
        /// True if derived from a snapshot, not from an event.
        synthesized: bool,
    },
}
