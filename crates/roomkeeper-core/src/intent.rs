//! Intents: commands of API callers, the results of the accepted ones, and the refusals of the others.
//!
//! Pure. `commands!` below lists every action with its result and its name; all other code reads that list.

use crate::dial::TransferRequest;
use crate::entity::{EntityId, Target};
use crate::gather::{Gather as Request, Tones};
use crate::ids::{AppId, CallId, CommandUid, MemberId, NodeId, OperationId, RecordingId, RoomId};
use crate::labels::{InvalidLabel, LabelsUpdate};
use crate::play_url::PlayUrl;
use crate::room::{Announcement, Media};
use crate::room::{
    Details, DialRequest, Kind, MemberFlag, MemberSettings, MemberUpdate, Origin, Sparse, Update,
};

/// The sender of an intent, which decides about ownership.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Requester {
    /// An app: it changes its own rooms and calls.
    App(AppId),
    /// The operator: it changes the rooms and calls of all apps, and owns none.
    Operator,
}

impl Requester {
    /// Returns true if it may change what this app owns.
    pub fn may_change(&self, owner: &AppId) -> bool {
        match self {
            Self::App(app) => app == owner,
            Self::Operator => true,
        }
    }

    /// Returns the app; `None` for the operator.
    pub const fn app(&self) -> Option<&AppId> {
        match self {
            Self::App(app) => Some(app),
            Self::Operator => None,
        }
    }
}

impl From<AppId> for Requester {
    fn from(app: AppId) -> Self {
        Self::App(app)
    }
}

/// A command of a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Intent {
    /// The room, call or member that it names.
    pub target: Target,
    /// Its sender.
    pub requester: Requester,
    /// The caller's id of the command, which the resulting webhook repeats.
    pub command_uid: Option<CommandUid>,
    /// The wanted action.
    pub action: Action,
}

impl Intent {
    /// Returns an intent without a caller's id.
    pub fn new(target: Target, requester: impl Into<Requester>, action: impl Into<Action>) -> Self {
        Self {
            target,
            requester: requester.into(),
            command_uid: None,
            action: action.into(),
        }
    }

    /// Sets the caller's id of the command.
    #[must_use]
    pub fn with_uid(self, command_uid: Option<CommandUid>) -> Self {
        Self {
            command_uid,
            ..self
        }
    }

    /// Returns the node that acts: the call's node, except that a kick acts on the room.
    pub const fn node(&self) -> NodeId {
        match (&self.action, self.target.room()) {
            (Action::Kick(_), Some(room)) => room.node(),
            _ => self.target.node(),
        }
    }

    /// Returns the call that the action names beside the target.
    const fn other_call(&self) -> Option<CallId> {
        if let Action::Coach(coach) = &self.action {
            Some(coach.coach)
        } else {
            None
        }
    }

    /// Returns the rooms of a join or a move that are on another node than the call.
    pub fn foreign_rooms(&self) -> impl Iterator<Item = RoomId> + use<> {
        let node = self.node();
        let rooms = self.target.room().into_iter().chain(self.new_room());
        rooms.filter(move |room| room.node() != node)
    }

    /// Returns the entities that it names.
    pub fn entities(&self) -> impl Iterator<Item = EntityId> + use<> {
        let new_room = self.new_room().map(EntityId::Room);
        let other_call = self.other_call().map(EntityId::Call);
        let others = new_room.into_iter().chain(other_call);
        self.target.entities().chain(others)
    }

    /// Returns the room that a member is to move to.
    const fn new_room(&self) -> Option<RoomId> {
        if let Action::Move(moved) = &self.action {
            Some(moved.to)
        } else {
            None
        }
    }

    /// Returns the refusal of an intent whose node is not configured: its target cannot exist.
    pub const fn not_found(&self) -> Refusal {
        match (&self.action, &self.target) {
            (Action::Kick(_), _) | (_, Target::Room(_)) => Refusal::RoomNotFound,
            (_, Target::Call(_) | Target::Member { .. }) => Refusal::CallNotFound,
        }
    }
}

/// An action type that has its own result type.
pub trait TypedAction: Into<Action> + Send + 'static {
    /// The result of an accepted intent.
    type Accepted: Send + 'static;

    /// Extracts the result from an [`Accepted`]; `None` if it belongs to another action.
    fn accepted(accepted: Accepted) -> Option<Self::Accepted>;
}

/// Declares the actions: for each its type, its result type, and its name in metric labels.
macro_rules! commands {
    ($($(#[$doc:meta])* $action:ident => $accepted:ty, $name:expr;)+) => {
        /// A wanted action.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Action {
            $($(#[$doc])* $action($action),)+
        }

        /// The result of an accepted intent.
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub enum Accepted {
            $($(#[$doc])* $action($accepted),)+
        }

        impl Action {
            /// Returns its name in metric labels.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$action(action) => {
                        let name: fn(&$action) -> &'static str = $name;
                        name(action)
                    })+
                }
            }
        }

        $(
            impl From<$action> for Action {
                fn from(action: $action) -> Self {
                    Self::$action(action)
                }
            }

            impl TypedAction for $action {
                type Accepted = $accepted;

                fn accepted(accepted: Accepted) -> Option<$accepted> {
                    if let Accepted::$action(accepted) = accepted {
                        Some(accepted)
                    } else {
                        None
                    }
                }
            }
        )+
    };
}

commands! {
    /// Creates a room whose name is reserved.
    CreateRoom => (), |_| "create_room";
    /// Changes the details of a room.
    UpdateRoom => UpdateAccepted, |_| "update_room";
    /// Ends a room.
    DeleteRoom => DeleteAccepted, |_| "delete_room";
    /// Puts a call into a room.
    Join => JoinAccepted, |_| "join";
    /// Takes a call out of its room.
    Leave => LeaveAccepted, |_| "leave";
    /// Takes a call out of one room, even while it is still joining.
    Kick => LeaveAccepted, |_| "kick";
    /// Takes a member out of its room and into another one.
    Move => MoveAccepted, |_| "move";
    /// Changes the settings of a member.
    UpdateMember => UpdateAccepted, |_| "update_member";
    /// Locks or unlocks a room.
    SetLock => LockAccepted, |lock| if lock.locked { "lock" } else { "unlock" };
    /// Sets a flag of a member.
    SetFlag => FlagAccepted, |set| set.flag.names(set.on).command;
    /// Holds or unholds a member.
    SetHold => HoldAccepted, |set| if set.on { "hold" } else { "unhold" };
    /// Starts a recording.
    StartRecording => RecordingAccepted, |_| "record_start";
    /// Ends the recording.
    StopRecording => RecordingAccepted, |_| "record_stop";
    /// Pauses or resumes the recording.
    PauseRecording => RecordingAccepted, |set| if set.pause { "record_pause" } else { "record_resume" };
    /// Makes a call coach a member of a room.
    Coach => CoachAccepted, |_| "coach";
    /// Ends the coaching of a member.
    Uncoach => CoachAccepted, |_| "uncoach";
    /// Plays files into a room, after those that already play.
    Play => OperationAccepted, |_| "play";
    /// Pauses or resumes the playback.
    Pause => PauseAccepted, |_| "pause";
    /// Stops everything that plays or waits to play.
    Stop => StopAccepted, |_| "stop";
    /// Sets the volume of the playback, now and later.
    SetVolume => VolumeAccepted, |_| "volume";
    /// Makes a call that enters the room once it is answered.
    Dial => DialAccepted, |_| "dial";
    /// Cancels a dial-out.
    CancelDial => DialCancelled, |_| "cancel_dial";
    /// Asks a caller for digits.
    Gather => OperationAccepted, |_| "gather";
    /// Stops asking a caller for digits.
    StopGather => OperationAccepted, |_| "gather_stop";
    /// Sends digits to a call.
    SendDigits => OperationAccepted, |_| "dtmf";
    /// Connects a call with somebody outside of every room.
    Transfer => TransferAccepted, |_| "transfer";
    /// Ends a transfer.
    CancelTransfer => TransferAccepted, |_| "cancel_transfer";
    /// Answers a ringing call.
    Answer => OperationAccepted, |_| "answer";
    /// Ends a call.
    Hangup => OperationAccepted, |_| "hangup";
}

/// See [`Action::CreateRoom`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CreateRoom {
    /// Its name.
    pub name: String,
    /// The API that creates it.
    pub origin: Origin,
    /// The kind of conference.
    pub kind: Kind,
    /// Its details.
    pub details: Box<Details>,
}

/// See [`Action::UpdateRoom`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateRoom {
    /// The changes. Its labels come from `labels`.
    pub update: Box<Update>,
    /// The changed labels.
    pub labels: LabelsUpdate,
}

/// See [`Action::UpdateMember`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdateMember {
    /// The changes. Its labels come from `labels`.
    pub update: Box<MemberUpdate>,
    /// The changed labels.
    pub labels: LabelsUpdate,
}

/// See [`Action::DeleteRoom`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeleteRoom;

/// See [`Action::Join`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Join {
    /// Joins muted or not; `None` selects the default of the room's API.
    pub muted: Option<bool>,
    /// The settings of the member.
    pub settings: Sparse<MemberSettings>,
    /// True if the caller is not asked for the PIN of the room.
    pub skip_pin: bool,
}

/// See [`Action::Leave`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leave;

/// See [`Action::Kick`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kick {
    /// The membership; `None` selects the present one.
    pub member: Option<MemberId>,
}

/// See [`Action::Move`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    /// The other room.
    pub to: RoomId,
    /// Enters it muted or not; `None` leaves the member as it is.
    pub muted: Option<bool>,
}

/// See [`Action::SetLock`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetLock {
    /// True locks the room, false unlocks it.
    pub locked: bool,
}

/// See [`Action::SetFlag`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetFlag {
    /// The flag.
    pub flag: MemberFlag,
    /// Its wanted value.
    pub on: bool,
}

/// See [`Action::SetHold`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetHold {
    /// True holds the member, false unholds it.
    pub on: bool,
    /// The music, already checked by the API.
    pub music: Option<PlayUrl>,
}

/// See [`Action::StartRecording`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StartRecording {
    /// The announcement before it; `None` for that of the room's settings. Not for members.
    pub announcement: Option<Announcement>,
}

/// See [`Action::StopRecording`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StopRecording;

/// See [`Action::Coach`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Coach {
    /// The call that coaches the member.
    pub coach: CallId,
}

/// See [`Action::Uncoach`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Uncoach;

/// See [`Action::PauseRecording`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PauseRecording {
    /// True pauses it, false resumes it.
    pub pause: bool,
}

/// See [`Action::Play`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Play {
    /// The files and texts, already checked by the API.
    pub media: Vec<Media>,
}

/// See [`Action::Pause`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pause;

/// See [`Action::Stop`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stop;

/// See [`Action::SetVolume`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SetVolume {
    /// In decibels.
    pub volume: i8,
}

/// See [`Action::Dial`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dial {
    /// The session of the first attempt.
    pub session: CallId,
    /// The request.
    pub request: Box<DialRequest>,
}

/// See [`Action::CancelDial`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CancelDial {
    /// The dial-out.
    pub id: CallId,
}

/// See [`Action::Gather`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gather {
    /// The request, already checked by the API.
    pub request: Box<Request>,
}

/// See [`Action::StopGather`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StopGather;

/// See [`Action::SendDigits`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SendDigits {
    /// The tones.
    pub tones: Tones,
}

/// See [`Action::Transfer`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// The request.
    pub request: Box<TransferRequest>,
}

/// See [`Action::CancelTransfer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CancelTransfer;

/// See [`Action::Answer`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Answer;

/// See [`Action::Hangup`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hangup {
    /// FreeSWITCH's hang-up cause, already checked by the API; `None` stands for `NORMAL_CLEARING`.
    pub cause: Option<String>,
}

/// The call is being made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialAccepted {
    /// The session of the first attempt, which is also the id of the dial-out.
    pub session: CallId,
}

/// The dial-out is being cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DialCancelled {
    /// True if it is over already, because no attempt was in progress.
    pub over: bool,
}

/// A transfer is in progress, or ending.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransferAccepted;

/// The room is ending and is no longer found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeleteAccepted {
    /// The app that owns it.
    pub app: AppId,
    /// Its name.
    pub name: String,
    /// The API that created it.
    pub origin: Origin,
}

/// The call joins, or has joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinAccepted {
    /// The join is in progress, perhaps since an earlier request.
    Joining {
        /// The room.
        room: RoomId,
        /// The membership.
        member: MemberId,
    },
    /// The call is in that room already.
    AlreadyJoined {
        /// The room.
        room: RoomId,
        /// The membership.
        member: MemberId,
    },
}

/// The leave is in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaveAccepted {
    /// The room.
    pub room: RoomId,
}

/// The move is in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveAccepted {
    /// The other room.
    pub room: RoomId,
}

/// The settings are changed, or are about to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UpdateAccepted {
    /// All of them had the wanted values.
    Unchanged,
    /// They are changed.
    Updated,
}

/// The flag is being set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FlagAccepted {
    /// The room.
    pub room: RoomId,
    /// The flag.
    pub flag: MemberFlag,
    /// Its wanted value.
    pub on: bool,
}

/// The member is being held or unheld.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HoldAccepted {
    /// The room.
    pub room: RoomId,
    /// True if it is being held.
    pub on: bool,
}

/// The lock is being set, or already has the wanted value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LockAccepted {
    /// FreeSWITCH has a command to set it.
    InProgress,
    /// The room is as wanted, without a command for FreeSWITCH.
    Locked {
        /// True if the room is locked.
        locked: bool,
    },
}

/// A recording is about to start, to end, to pause or to resume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecordingAccepted {
    /// Its id.
    pub recording: RecordingId,
}

/// A coaching is about to begin or to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CoachAccepted {
    /// The call that coaches.
    pub coach: CallId,
}

/// An operation is in progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OperationAccepted {
    /// Its id.
    pub operation: OperationId,
}

/// FreeSWITCH paused or resumed the playback.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PauseAccepted {
    /// The operation that plays.
    pub operation: OperationId,
    /// True if it is paused.
    pub paused: bool,
}

/// Nothing plays any longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StopAccepted {
    /// The operation that played.
    pub operation: Option<OperationId>,
}

/// The volume is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VolumeAccepted {
    /// The operation that plays.
    pub operation: Option<OperationId>,
    /// In decibels.
    pub volume: i8,
}

impl Accepted {
    /// Returns true if the caller waits for FreeSWITCH's answer. A deleted room ends, files play, and calls are made or
    /// cancelled, whatever FreeSWITCH answers.
    pub const fn waits_for_switch(&self) -> bool {
        !matches!(
            self,
            Self::DeleteRoom(_) | Self::Play(_) | Self::Dial(_) | Self::CancelDial(_)
        )
    }

    /// Returns false if the target already was as wanted, or became so without FreeSWITCH. Such a command costs no
    /// cooldown, and no event follows that would confirm it.
    pub const fn acted(&self) -> bool {
        !matches!(
            self,
            Self::Join(JoinAccepted::AlreadyJoined { .. })
                | Self::SetLock(LockAccepted::Locked { .. })
                | Self::UpdateRoom(UpdateAccepted::Unchanged)
                | Self::UpdateMember(UpdateAccepted::Unchanged)
        )
    }
}

/// The depth of a check.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// The target exists and belongs to the app.
    Ownership,
    /// The rules about the state hold, too.
    State,
}

/// The outcome of a check that passed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The intent can be carried out.
    Act,
    /// The target already has the wanted state, or will have it: there is nothing to do.
    NoChange(Accepted),
}

/// The reason why an intent cannot be carried out. Each one is a row of the API's tables of errors.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// 404.
    #[error("session not found")]
    CallNotFound,
    /// 404.
    #[error("room not found")]
    RoomNotFound,
    /// 403.
    #[error("the session belongs to a different application")]
    ForeignCall,
    /// 403.
    #[error("the room belongs to a different application")]
    ForeignRoom,
    /// 403.
    #[error("only an application can create a room, because it owns the room")]
    NoOwner,
    /// 404.
    #[error("the session is not in any conference")]
    NotInRoom,
    /// 409.
    #[error("the session is still joining the conference")]
    StillJoining,
    /// 409.
    #[error("the session is still leaving the conference")]
    StillLeaving,
    /// 409.
    #[error("Session is already in a different conference room. Use conference/leave first.")]
    InOtherRoom {
        /// The room it is in.
        room: RoomId,
    },
    /// 409.
    #[error("the session is already in this conference")]
    InSameRoom,
    /// 409.
    #[error("the session is on node {call_node}, but the room is on node {room_node}")]
    OtherNode {
        /// The node of the call.
        call_node: NodeId,
        /// The node of the room.
        room_node: NodeId,
    },
    /// 409.
    #[error("the session is already {}", flag.names(*on).state)]
    FlagAlreadySet {
        /// The flag.
        flag: MemberFlag,
        /// Its value.
        on: bool,
    },
    /// 409.
    #[error("the call is not answered yet")]
    NotAnswered,
    /// 409.
    #[error("the call is running actions")]
    RunningActions,
    /// 409.
    #[error("the caller is already asked for digits")]
    AlreadyGathering,
    /// 409.
    #[error("the caller is not asked for digits")]
    NotGathering,
    /// 409.
    #[error("the session is {}on hold", if *on { "already " } else { "not " })]
    HoldAlreadySet {
        /// True if it is held.
        on: bool,
    },
    /// 409.
    #[error("the call is already answered")]
    AlreadyAnswered,
    /// 409.
    #[error("the conference has no members yet")]
    NoMembers,
    /// 409.
    #[error("the conference waits for a moderator")]
    WaitsForModerator,
    /// 409.
    #[error("the conference is full")]
    RoomFull,
    /// 409.
    #[error("the conference is locked")]
    RoomLocked,
    /// 409.
    #[error("the name of a conference created through the gateway API cannot be changed")]
    NameFixed,
    /// 409.
    #[error("labels: {0}")]
    Labels(InvalidLabel),
    /// 409.
    #[error("the conference is already being recorded")]
    AlreadyRecording,
    /// 409.
    #[error("the conference is not being recorded")]
    NotRecording,
    /// 409.
    #[error("a session cannot coach itself")]
    CoachItself,
    /// 409.
    #[error("the session has a coach already")]
    AlreadyCoached,
    /// 409.
    #[error("the session has no coach")]
    NotCoached,
    /// 409.
    #[error("the coach must be answered and parked, outside of any conference")]
    CoachNotParked,
    /// 409.
    #[error("the session coaches a member of a conference")]
    Coaching,
    /// 409.
    #[error("the session is being transferred, or is connected by a transfer")]
    Transferring,
    /// 409.
    #[error("the session is not being transferred")]
    NotTransferring,
    /// 409.
    #[error("the session is already being recorded")]
    AlreadyRecordingMember,
    /// 409.
    #[error("the session is not being recorded")]
    NotRecordingMember,
    /// 409.
    #[error("the recording has not started yet")]
    RecordingStarting,
    /// 409.
    #[error("the conference has too many recordings")]
    TooManyRecordings,
    /// 403.
    #[error(
        "the configuration does not allow the application to call this destination, or to call it from this number"
    )]
    DestinationNotAllowed,
    /// 404.
    #[error("dial-out not found: it does not exist, or was answered, or has ended")]
    DialNotFound,
    /// 409.
    #[error("the conference has too many dial-outs in progress")]
    TooManyDials,
    /// 409.
    #[error("nothing is playing")]
    NothingPlaying,
    /// 409.
    #[error("the playback queue is full; try again later")]
    TooMuchPlaying,
}
