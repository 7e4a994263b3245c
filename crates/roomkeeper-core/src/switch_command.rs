//! Switch commands: actions that FreeSWITCH must carry out once a change is committed.
//!
//! Pure. Leaves out the text of the commands and the time when they are sent: the reconciler does both.

use crate::action::Step;
use crate::call::{ParkId, StepId};
use crate::dial::TransferRequest;
use crate::entity::Target;
use crate::gather::Tones;
use crate::ids::{CallId, ChannelId, RecordingId};
use crate::room::{
    DialRequest, Entry, Level, MemberFlag, PlayCommand, RecordAction, Registration, RoomControl,
};

/// A command for FreeSWITCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SwitchCommand {
    /// The room, call or member that it applies to.
    pub target: Target,
    /// The time when it is sent.
    pub priority: Priority,
    /// The action.
    pub action: SwitchAction,
}

/// The time when a switch command is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Priority {
    /// At once: a caller waits for it, or a delay would be audible.
    Prompt,
    /// In turn, from the backlog.
    Paced,
}

/// An action for FreeSWITCH.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SwitchAction {
    /// Transfers the call into the room.
    Enter(Box<Entry>),
    /// Makes a call that enters the room once it is answered.
    Dial {
        /// The request.
        request: Box<DialRequest>,
        /// The entry of the answered call.
        entry: Box<Entry>,
    },
    /// Ends a call that is not answered yet.
    CancelDial,
    /// Transfers the call back into park.
    Park {
        /// The id of the park command, written on the channel.
        id: ParkId,
    },
    /// Sets a flag of a member.
    SetFlag {
        /// The flag.
        flag: MemberFlag,
        /// Its value.
        on: bool,
    },
    /// Holds or unholds a member.
    Hold {
        /// True holds it.
        on: bool,
    },
    /// Lets a member hear the room or not, because of its hold.
    SetHearing {
        /// True lets it hear.
        on: bool,
    },
    /// Sets a level of a member.
    SetLevel {
        /// The level.
        level: Level,
        /// Its value.
        value: i32,
    },
    /// Locks or unlocks the conference.
    SetLock {
        /// True locks it.
        locked: bool,
    },
    /// Writes the registration on the conference.
    Describe {
        /// The registration.
        registration: Box<Registration>,
    },
    /// Changes the conference.
    Control(RoomControl),
    /// Controls the playback of the room.
    Play(PlayCommand),
    /// Starts, ends, pauses or resumes a recording of the room, or of a member.
    Record {
        /// The recording.
        recording: RecordingId,
        /// The file on the node.
        path: String,
        /// The action.
        action: RecordAction,
    },
    /// Begins a step of the call's action run.
    Step {
        /// The step.
        id: StepId,
        /// The application and its argument.
        step: Step,
    },
    /// Makes the call heard by a member alone, and hear what the member hears; parks it afterwards.
    Coach {
        /// The member.
        member: CallId,
        /// The id of the park, written on the channel.
        id: ParkId,
    },
    /// Connects the call with the other side of a transfer; parks it afterwards.
    Transfer {
        /// The request.
        request: Box<TransferRequest>,
        /// The channel of the other side.
        leg: ChannelId,
        /// The id of the park, written on the channel.
        id: ParkId,
    },
    /// Stops the step or the transfer that runs, and parks the call.
    Break {
        /// The id of the park command, written on the channel.
        id: ParkId,
    },
    /// Prepares the channel of a new call: it can be transferred without limit, and stays up when its conference ends.
    Prepare,
    /// Ends the request for digits that runs, as a terminator of its own.
    StopGather,
    /// Sends tones to the call.
    SendDigits {
        /// The tones.
        tones: Tones,
    },
    /// Answers the call.
    Answer,
    /// Ends the call.
    Hangup {
        /// FreeSWITCH's hang-up cause.
        cause: Option<String>,
    },
}

impl SwitchCommand {
    /// Returns a command with the priority that its action has while no caller waits.
    pub const fn new(target: Target, action: SwitchAction) -> Self {
        Self {
            target,
            priority: action.priority(),
            action,
        }
    }

    /// Returns its name in metric labels.
    pub const fn name(&self) -> &'static str {
        self.action.name()
    }
}

impl SwitchAction {
    /// Returns its name in metric labels.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Enter(_) => "enter",
            Self::Dial { .. } => "dial",
            Self::CancelDial => "cancel_dial",
            Self::Park { .. } => "park",
            Self::SetFlag { flag, .. } => flag.names(false).command,
            Self::Hold { .. } => "hold",
            Self::SetHearing { .. } => "hearing",
            Self::SetLevel { level, .. } => level.name(),
            Self::SetLock { .. } => "lock",
            Self::Describe { .. } => "describe",
            Self::Control(_) => "control",
            Self::Play(_) => "play",
            Self::Record { action, .. } => action.name(),
            Self::Step { .. } => "step",
            Self::Coach { .. } => "coach",
            Self::Transfer { .. } => "transfer",
            Self::Break { .. } => "break",
            Self::Prepare => "prepare",
            Self::StopGather => "gather_stop",
            Self::SendDigits { .. } => "dtmf",
            Self::Answer => "answer",
            Self::Hangup { .. } => "hangup",
        }
    }

    /// Returns true if the action is repeated after a lost answer: it states its target, and a later snapshot repeats it
    /// unless it shows its effect.
    pub const fn is_repeated(&self) -> bool {
        matches!(self, Self::Control(_) | Self::SetLevel { .. })
    }

    /// Returns the priority of an action. A room of thousands can need one paced command for each member. Other
    /// commands are few for each room, and neither the next file, a recording nor a lock may be late.
    const fn priority(&self) -> Priority {
        match self {
            Self::Enter(_)
            | Self::Park { .. }
            | Self::SetFlag { .. }
            | Self::Describe { .. }
            | Self::Control(_)
            | Self::Step { .. }
            | Self::Break { .. }
            | Self::Coach { .. }
            | Self::Transfer { .. }
            | Self::Prepare => Priority::Paced,
            // A held member must not hear the room, and its caller must not wait for those of a large room.
            Self::Hold { .. }
            | Self::SetHearing { .. }
            | Self::SetLevel { .. }
            | Self::Dial { .. }
            | Self::CancelDial
            | Self::SetLock { .. }
            | Self::Play(_)
            | Self::StopGather
            | Self::SendDigits { .. }
            | Self::Record { .. }
            | Self::Answer
            | Self::Hangup { .. } => Priority::Prompt,
        }
    }
}
