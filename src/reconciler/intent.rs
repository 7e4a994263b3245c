//! What callers of the API want, what they are told at once, and why they are refused.
//!
//! An intent is checked against the belief, committed, and only then told to FreeSWITCH; what it leads to comes
//! back as an event and reaches the caller as a webhook.

use crate::ids::{AppId, CommandUid, NodeId, OperationId, RoomId, SessionId};
use crate::node::CommandError;
use crate::room::Origin;
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
    /// The node that has to act.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::CreateRoom { room, .. } | Self::DeleteRoom { room, .. } => room.node(),
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
    /// The room is ending, and is not found any more.
    Deleted,
    /// The join is under way, or was already.
    Joining {
        /// The room.
        room: RoomId,
    },
    /// The call is in that room already.
    AlreadyJoined {
        /// The room.
        room: RoomId,
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
