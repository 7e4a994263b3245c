//! A member of a room: one presence of a call, from the request to join to its end.

use smol_str::SmolStr;

use crate::ids::{CallId, CommandUid, ConferenceId, CoreId, MemberId, RoomId};
use crate::time::Timestamp;

use super::audio::{Hold, MemberAudio};
use super::effect::LeftReason;
use super::flag::{FlagRequests, Flags};
use super::member_settings::MemberSettings;
use super::settings::Sparse;
use super::stamp::Sequence;

/// One presence of a channel in a conference. The same call can leave and come back under the same `Member-ID`, so the
/// sequence of its start identifies a presence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Membership {
    /// The core of FreeSWITCH.
    pub core: CoreId,
    /// The conference instance.
    pub conference: ConferenceId,
    /// The sequence of its add-member, or of the fence or event that revealed it.
    pub opened: Sequence,
    /// A snapshot showed it before its add-member event arrived. An add-member event above `opened` belongs to this
    /// presence then, because `mod_conference` sends it before the list has the member. It sends all other events later.
    pub revealed: bool,
    /// The fence of the last snapshot that showed it, which includes all events before the fence. Not stored, because a
    /// later owner ignores events before its own first fence.
    pub confirmed: Sequence,
}

/// The attempt of a join. A conference that is ending can admit a call and remove it again; the join is repeated once
/// then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum JoinAttempt {
    /// The first attempt.
    #[default]
    First,
    /// A conference that is ending admitted the call. FreeSWITCH parks the call, then the second attempt follows.
    Interrupted,
    /// The second attempt.
    Second,
}

/// The status of a member. It only moves forward, except after a leave that was not confirmed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MemberStatus {
    /// Requested; FreeSWITCH has not confirmed it.
    Joining {
        /// The join fails then.
        deadline: Timestamp,
        /// The `command_uid` of the join.
        command_uid: Option<CommandUid>,
        /// The current attempt.
        attempt: JoinAttempt,
    },
    /// In the room.
    Joined,
    /// In the room, and on its way out.
    Leaving {
        /// The leave is reverted then if the call is still there.
        deadline: Timestamp,
        /// The reason in the webhook.
        reason: LeftReason,
        /// The `command_uid` of the leave.
        command_uid: Option<CommandUid>,
    },
}

/// The part of a move between two rooms that concerns one membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Move {
    /// A leaving member is on its way to this room.
    To(RoomId),
    /// A joining member comes from another room.
    From {
        /// That room.
        room: RoomId,
        /// Its flags there, which it gets again if this room refuses it.
        flags: Flags,
    },
    /// A joining member returns, because another room refused it. A lock does not apply to it.
    Back,
}

impl Move {
    /// Returns the room that a leaving member is on its way to.
    pub const fn to(&self) -> Option<RoomId> {
        match self {
            Self::To(room) => Some(*room),
            Self::From { .. } | Self::Back => None,
        }
    }

    /// Returns the room that a joining member comes from.
    pub const fn from(&self) -> Option<RoomId> {
        match self {
            Self::From { room, .. } => Some(*room),
            Self::To(_) | Self::Back => None,
        }
    }
}

/// One membership of one call, from the request to join to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// The conferencecall id.
    pub id: MemberId,
    /// The status.
    pub status: MemberStatus,
    /// `None` while it is joining.
    pub membership: Option<Membership>,
    /// The caller's number, fixed by the first event of the call.
    pub caller_id: SmolStr,
    /// The number dialled, fixed by the first event of the call.
    pub did: SmolStr,
    /// As last reported; while joining, as requested.
    pub flags: Flags,
    /// The sequence of the event that reported the flags.
    pub flags_at: Sequence,
    /// True if a webhook has reported that it talks, and none since that it stopped.
    pub talk_reported: bool,
    /// Requests to set a flag that FreeSWITCH has not confirmed.
    pub requests: FlagRequests,
    /// The sound that it alone hears, and its hold.
    pub audio: Option<Box<MemberAudio>>,
    /// The time of the request to join, or of the first event.
    pub since: Timestamp,
    /// Its part in a move. Most members have none, so this is one pointer.
    pub moving: Option<Box<Move>>,
    /// The settings that its app chose.
    pub settings: Sparse<MemberSettings>,
}

impl Member {
    /// Returns the hold that the member keeps over another join.
    pub(crate) fn kept_hold(&self) -> Option<Hold> {
        self.audio.as_ref()?.hold.as_ref()?.kept()
    }

    /// Returns its hold, if it is held, or is about to be or not to be.
    pub fn hold(&self) -> Option<&Hold> {
        self.audio.as_ref()?.hold.as_ref()
    }

    /// Returns the room that the member is on its way to.
    pub fn moving_to(&self) -> Option<RoomId> {
        self.moving.as_deref().and_then(Move::to)
    }

    /// Returns the room that the member comes from.
    pub fn moving_from(&self) -> Option<RoomId> {
        self.moving.as_deref().and_then(Move::from)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let status = match &self.status {
            MemberStatus::Joining { deadline, .. } | MemberStatus::Leaving { deadline, .. } => {
                Some(*deadline)
            }
            MemberStatus::Joined => None,
        };
        let audio = self.audio.as_ref().and_then(|audio| audio.deadline());
        let deadlines = [status, self.requests.deadline(), audio];
        deadlines.into_iter().flatten().min()
    }
}

/// The status of a membership, for readers of its history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MembershipStatus {
    /// Requested.
    Joining,
    /// In the room.
    Joined,
    /// On its way out.
    Leaving,
    /// Over, or it never began.
    Left,
}

impl MembershipStatus {
    /// Returns the word in the VoIPBIN API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Joined => "joined",
            Self::Leaving => "leaving",
            Self::Left => "leaved",
        }
    }
}

impl MemberStatus {
    /// Returns the status for readers.
    pub const fn membership_status(&self) -> MembershipStatus {
        match self {
            Self::Joining { .. } => MembershipStatus::Joining,
            Self::Joined => MembershipStatus::Joined,
            Self::Leaving { .. } => MembershipStatus::Leaving,
        }
    }
}

/// A change of the status of a membership.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MembershipChange {
    /// The call.
    pub call: CallId,
    /// The status.
    pub status: MembershipStatus,
    /// The time of the request to join, or of the first event.
    pub since: Timestamp,
}

/// The end of a membership, kept so that a late event does not open it again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Tombstone {
    pub(super) conference: ConferenceId,
    pub(super) sequence: Sequence,
    /// The last flags that were reported of the call in this conference after the end, and their sequence.
    pub(super) flags_since: Option<(Sequence, Flags)>,
    pub(super) at: Timestamp,
}
