//! What follows from an input, as data. Nothing here has happened yet: the reconciler commits first.

use std::fmt;

use crate::ids::{CommandUid, MemberId, OperationId, RecordingId, SessionId};
use crate::play_url::PlayUrl;

use super::details::Update;
use super::playback::{FileId, Unplayed};

/// Why a member left, as the webhook says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeftReason {
    /// The call ended.
    Hangup,
    /// It was taken out: by a leave, a kick, the console of FreeSWITCH.
    Removed,
    /// It went to another room.
    Moved,
    /// The room was deleted.
    RoomDestroyed,
    /// The room's time was over.
    Timeout,
    /// The node that carried it was lost or restarted.
    Orphan,
}

impl LeftReason {
    /// The word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hangup => "hangup",
            Self::Removed => "removed",
            Self::Moved => "moved",
            Self::RoomDestroyed => "room_destroyed",
            Self::Timeout => "timeout",
            Self::Orphan => "orphan",
        }
    }
}

impl fmt::Display for LeftReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a join came to nothing, as the webhook says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JoinFailure {
    /// FreeSWITCH did not confirm it in time.
    Timeout,
    /// FreeSWITCH refused the command, or parked the call again (locked, full).
    Refused,
    /// The call ended first.
    Hangup,
    /// The room was deleted first.
    RoomDestroyed,
    /// The call went elsewhere first.
    Moved,
    /// The node was lost or restarted.
    Orphan,
    /// It was taken out before it came in.
    Removed,
    /// What the call had to do before did not succeed.
    ActionFailed,
}

impl JoinFailure {
    /// The word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Hangup => "hangup",
            Self::RoomDestroyed => "room_destroyed",
            Self::Moved => "moved",
            Self::Orphan => "orphan",
            Self::Removed => "removed",
            Self::ActionFailed => "action_failed",
        }
    }
}

/// What FreeSWITCH is to be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomCommand {
    /// Put the call into the room.
    Enter {
        /// The call.
        session: SessionId,
        /// Muted.
        muted: bool,
    },
    /// Put the call back into park.
    Park {
        /// The call.
        session: SessionId,
    },
    /// Mute or unmute a member.
    Mute {
        /// The call.
        session: SessionId,
        /// Mute, or unmute.
        mute: bool,
    },
    /// Lock its conference, or unlock it.
    Lock {
        /// Lock, or unlock.
        lock: bool,
    },
    /// Write on the conference whose it is, so that a lost store can be rebuilt from FreeSWITCH.
    Describe,
    /// About what plays in it.
    Play(PlayCommand),
    /// Begin to record it.
    RecordStart {
        /// The recording.
        id: RecordingId,
        /// The file on the node.
        path: String,
    },
    /// End its recording.
    RecordStop {
        /// The recording.
        id: RecordingId,
        /// The file on the node.
        path: String,
    },
}

/// What FreeSWITCH is to be told of what plays in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayCommand {
    /// Open a file and play it after what plays already.
    Start {
        /// Which, to be known again by.
        file: FileId,
        /// Where it is fetched from.
        url: PlayUrl,
        /// In decibels.
        volume: i8,
    },
    /// Pause what plays, or go on: FreeSWITCH says which it was.
    Toggle {
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// Stop what plays and what is ready.
    Stop,
    /// The volume of the file that plays; FreeSWITCH forgets it with the file.
    Volume {
        /// In decibels.
        volume: i8,
    },
}

/// What the app is told of what plays in a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PlayFact {
    /// Files were asked for; they play when those before them have.
    Started {
        /// Their operation.
        operation: OperationId,
        /// Where they are fetched from.
        urls: Vec<PlayUrl>,
    },
    /// The last of its files is over.
    Finished {
        /// The operation.
        operation: OperationId,
        /// What was not played, and why.
        errors: Vec<(PlayUrl, Unplayed)>,
    },
    /// It is paused.
    Paused {
        /// The operation.
        operation: OperationId,
    },
    /// It goes on.
    Resumed {
        /// The operation.
        operation: OperationId,
    },
    /// It was stopped, by a command or by the end of the conference.
    Stopped {
        /// The operation.
        operation: OperationId,
    },
    /// The volume of what plays and of all that follows was set.
    VolumeChanged {
        /// The operation that plays.
        operation: Option<OperationId>,
        /// In decibels.
        volume: i8,
    },
}

/// Something that the app is told, with the number it gets in the room's order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RoomNotice {
    /// From 1 without a gap.
    pub sequence: u64,
    /// What.
    pub fact: RoomFact,
    /// The caller's id of the command that led to it.
    pub command_uid: Option<CommandUid>,
    /// Known from a snapshot, not from an event.
    pub synthesized: bool,
}

/// What the app is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomFact {
    /// The room was made.
    Created {
        /// Its name.
        name: String,
    },
    /// Its owner changed what it says of it.
    Updated(Update),
    /// It was locked or unlocked.
    Locked {
        /// Locked now.
        locked: bool,
    },
    /// The room is over.
    Destroyed,
    /// It is being recorded.
    RecordingStarted {
        /// The recording.
        recording: RecordingId,
    },
    /// The recording is over, and its file is there.
    RecordingStopped {
        /// The recording.
        recording: RecordingId,
    },
    /// The recording did not begin.
    RecordingFailed {
        /// The recording.
        recording: RecordingId,
    },
    /// A member came in.
    MemberJoined {
        /// The call.
        session: SessionId,
        /// The stay.
        member: MemberId,
        /// The caller's number.
        caller_id: String,
        /// The number dialled.
        did: String,
        /// It came in muted.
        muted: bool,
    },
    /// A member is gone.
    MemberLeft {
        /// The call.
        session: SessionId,
        /// The stay.
        member: MemberId,
        /// Why.
        reason: LeftReason,
    },
    /// A join came to nothing.
    JoinFailed {
        /// The call.
        session: SessionId,
        /// The stay that never was.
        member: MemberId,
        /// Why.
        reason: JoinFailure,
    },
    /// A member was muted.
    MemberMuted {
        /// The call.
        session: SessionId,
    },
    /// A member was unmuted.
    MemberUnmuted {
        /// The call.
        session: SessionId,
    },
    /// Something about what plays.
    Play(PlayFact),
}

/// What is true for the moment: shown to an app that looks, and never stored. It changes with every word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LiveFact {
    /// A member began to talk, or stopped. One that leaves is not said to stop.
    Talking {
        /// The call.
        session: SessionId,
        /// The stay.
        member: MemberId,
        /// It talks now.
        talking: bool,
    },
    /// The floor changed hands.
    Floor {
        /// The call that has it now.
        holder: Option<SessionId>,
        /// Its stay, where there is one.
        member: Option<MemberId>,
    },
}

/// What follows from an input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RoomEffect {
    /// Tell FreeSWITCH.
    Command(RoomCommand),
    /// Tell the app.
    Notify(RoomNotice),
    /// Tell the app, if it looks just now.
    Live(LiveFact),
    /// The call is in this room now.
    SessionEntered {
        /// The call.
        session: SessionId,
        /// Since this event.
        sequence: u64,
        /// Known from a snapshot, not from an event.
        synthesized: bool,
    },
    /// The call is not in this room any more.
    SessionLeft {
        /// The call.
        session: SessionId,
        /// Since this event; `None` when no event says so.
        sequence: Option<u64>,
    },
    /// The call is not on its way into this room any more.
    SessionNotEntered {
        /// The call.
        session: SessionId,
        /// FreeSWITCH is told to park it, since it may be about to let it in.
        turned_away: bool,
    },
    /// The call is parked again, and FreeSWITCH is told once more to let it into this room.
    SessionReenters {
        /// The call.
        session: SessionId,
    },
    /// The call has come into this room, which is over: it is to be parked.
    SessionStrayed {
        /// The call.
        session: SessionId,
        /// Since this event.
        sequence: u64,
    },
    /// The call is, after all, still in this room.
    SessionStays {
        /// The call.
        session: SessionId,
    },
}
