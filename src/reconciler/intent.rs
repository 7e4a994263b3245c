//! What callers of the API want, what they are told at once, and why they are refused.
//!
//! An intent is checked against the belief, committed, and only then told to FreeSWITCH; what it leads to comes
//! back as an event and reaches the caller as a webhook.

use crate::ids::{
    AppId, CommandUid, MemberId, NodeId, OperationId, RecordingId, RoomId, SessionId,
};
use crate::node::CommandError;
use crate::play_url::PlayUrl;
use crate::room::{Details, Kind, Origin, Update};
use crate::store::StoreError;

/// What a caller wants. The node it is for is that of the room or session it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Intent {
    /// Make a room. Its name has been reserved before.
    CreateRoom {
        /// The new room.
        room: RoomId,
        /// Whose.
        app: AppId,
        /// Its name.
        name: String,
        /// Through which API.
        origin: Origin,
        /// Which kind of conference.
        kind: Kind,
        /// What its owner says of it.
        details: Box<Details>,
    },
    /// Change what the owner of a room says of it.
    UpdateRoom {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// What changes.
        update: Box<Update>,
    },
    /// End a room.
    DeleteRoom {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
    },
    /// Put a call into a room.
    Join {
        /// The call.
        session: SessionId,
        /// The room, possibly of another node: that is refused.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// Muted or not; `None`: as the room's API has it.
        muted: Option<bool>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Take a call out of its room.
    Leave {
        /// The call.
        session: SessionId,
        /// Who asks.
        app: AppId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Take a call out of one room, also one that has not come in yet.
    Kick {
        /// The call.
        session: SessionId,
        /// The room.
        room: RoomId,
        /// The stay, when another one of the same call is not meant.
        member: Option<MemberId>,
        /// Who asks.
        app: AppId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Lock a room, so that nobody else comes in, or unlock it.
    Lock {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// Lock, or unlock.
        lock: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Record a room.
    RecordStart {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// End the recording of a room.
    RecordStop {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Mute or unmute a call in its room.
    Mute {
        /// The call.
        session: SessionId,
        /// Who asks.
        app: AppId,
        /// Mute, or unmute.
        mute: bool,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Play files into a room, one after the other, after what plays already.
    Play {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// The files; the API has seen to it that FreeSWITCH may fetch them.
        urls: Vec<PlayUrl>,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Pause what plays in a room, or go on with it.
    Pause {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Stop what plays in a room, and all that waits to.
    Stop {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// The volume of what plays in a room and of all that follows.
    Volume {
        /// The room.
        room: RoomId,
        /// Who asks.
        app: AppId,
        /// In decibels.
        volume: i8,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Answer a call that rings.
    Answer {
        /// The call.
        session: SessionId,
        /// Who asks.
        app: AppId,
    },
    /// End a call.
    Hangup {
        /// The call.
        session: SessionId,
        /// Who asks.
        app: AppId,
        /// FreeSWITCH's hang-up cause, checked by the API; `None`: `NORMAL_CLEARING`.
        cause: Option<String>,
    },
}

impl Intent {
    /// To begin to record a room.
    pub const fn record_start(room: RoomId, app: AppId, command_uid: Option<CommandUid>) -> Self {
        Self::RecordStart {
            room,
            app,
            command_uid,
        }
    }

    /// To end the recording of a room.
    pub const fn record_stop(room: RoomId, app: AppId, command_uid: Option<CommandUid>) -> Self {
        Self::RecordStop {
            room,
            app,
            command_uid,
        }
    }

    /// What is wanted, as a label.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::CreateRoom { .. } => "create_room",
            Self::UpdateRoom { .. } => "update_room",
            Self::DeleteRoom { .. } => "delete_room",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Kick { .. } => "kick",
            Self::RecordStart { .. } => "record_start",
            Self::RecordStop { .. } => "record_stop",
            Self::Lock { lock: true, .. } => "lock",
            Self::Lock { lock: false, .. } => "unlock",
            Self::Mute { mute: true, .. } => "mute",
            Self::Mute { mute: false, .. } => "unmute",
            Self::Play { .. } => "play",
            Self::Pause { .. } => "pause",
            Self::Stop { .. } => "stop",
            Self::Volume { .. } => "volume",
            Self::Answer { .. } => "answer",
            Self::Hangup { .. } => "hangup",
        }
    }

    /// The node that has to act.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::CreateRoom { room, .. }
            | Self::UpdateRoom { room, .. }
            | Self::RecordStart { room, .. }
            | Self::RecordStop { room, .. }
            | Self::Kick { room, .. }
            | Self::DeleteRoom { room, .. }
            | Self::Lock { room, .. }
            | Self::Play { room, .. }
            | Self::Pause { room, .. }
            | Self::Stop { room, .. }
            | Self::Volume { room, .. } => room.node(),
            Self::Join { session, .. }
            | Self::Leave { session, .. }
            | Self::Mute { session, .. }
            | Self::Answer { session, .. }
            | Self::Hangup { session, .. } => session.node(),
        }
    }
}

/// What a caller is told when its intent stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The room is made.
    Created,
    /// What the owner of the room says of it is changed.
    Updated,
    /// The room is ending, and is not found any more.
    Deleted,
    /// The join is under way, or was already.
    Joining {
        /// The room.
        room: RoomId,
        /// The stay that comes of it.
        member: MemberId,
    },
    /// The call is in that room already.
    AlreadyJoined {
        /// The room.
        room: RoomId,
        /// Its stay.
        member: MemberId,
    },
    /// The leave is under way.
    Leaving {
        /// The room.
        room: RoomId,
    },
    /// The mute is under way.
    Muted {
        /// The room.
        room: RoomId,
    },
    /// The unmute is under way.
    Unmuted {
        /// The room.
        room: RoomId,
    },
    /// The lock or the unlock is under way.
    Locking,
    /// The room is locked or unlocked, and FreeSWITCH need not be told.
    Locked {
        /// Locked.
        locked: bool,
    },
    /// The files are queued; those at the head are on their way to FreeSWITCH.
    Playing {
        /// The id of the operation.
        operation: OperationId,
    },
    /// FreeSWITCH has paused what plays, or goes on with it.
    Toggled {
        /// The operation that plays.
        operation: OperationId,
        /// Paused now.
        paused: bool,
    },
    /// Nothing plays any more.
    Stopped {
        /// The operation that played.
        operation: Option<OperationId>,
    },
    /// The volume is set.
    VolumeSet {
        /// The operation that plays.
        operation: Option<OperationId>,
        /// In decibels.
        volume: i8,
    },
    /// The recording is about to begin.
    Recording {
        /// Its id.
        recording: RecordingId,
    },
    /// The recording is about to end.
    RecordingStops {
        /// Its id.
        recording: RecordingId,
    },
    /// FreeSWITCH took the command.
    InProgress {
        /// The id of the operation.
        operation: OperationId,
    },
}

/// Why an intent may not stand. Each is one row of the API's tables.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// 404.
    #[error("session not found")]
    SessionNotFound,
    /// 404.
    #[error("room not found")]
    RoomNotFound,
    /// 403.
    #[error("the session belongs to a different application")]
    ForeignSession,
    /// 403.
    #[error("the room belongs to a different application")]
    ForeignRoom,
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
    #[error("the session is on another node than the room")]
    OtherNode {
        /// Where the session is.
        session_node: NodeId,
        /// Where the room is.
        room_node: NodeId,
    },
    /// 409.
    #[error("the session is already muted")]
    AlreadyMuted,
    /// 409.
    #[error("the session is already unmuted")]
    AlreadyUnmuted,
    /// 409.
    #[error("the call is already answered")]
    AlreadyAnswered,
    /// 409.
    #[error("the conference has no members yet")]
    NoMembers,
    /// 409.
    #[error("the conference is of two, and has them")]
    RoomFull,
    /// 409.
    #[error("the conference is locked")]
    RoomLocked,
    /// 409.
    #[error("the conference is being recorded already")]
    AlreadyRecording,
    /// 409.
    #[error("the conference is not being recorded")]
    NotRecording,
    /// 409.
    #[error("the conference has been recorded too often")]
    TooManyRecordings,
    /// 409.
    #[error("nothing is playing")]
    NothingPlaying,
    /// 409.
    #[error("too much is waiting to be played; try again when some of it has been")]
    TooMuchPlaying,
}

/// Why an intent got no [`Accepted`].
#[derive(Debug, thiserror::Error)]
pub enum IntentError {
    /// It may not stand: nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The configuration has no such node.
    #[error("there is no node {0}")]
    UnknownNode(NodeId),
    /// FreeSWITCH refused it, or could not be told: see [`CommandError`] for what that means for the state.
    #[error("FreeSWITCH did not carry the command out")]
    Command(#[from] CommandError),
    /// The store did not take it: nothing is known to have changed.
    #[error("the state could not be written")]
    Store(#[from] StoreError),
    /// Too much is waiting for this node, or the program is stopping.
    #[error("the node's reconciler takes no more work right now")]
    Busy,
}
