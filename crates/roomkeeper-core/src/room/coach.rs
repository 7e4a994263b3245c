//! The reasons and changes of coachings: a call is heard by one member of a room alone.

use serde::{Deserialize, Serialize};

use crate::ids::CallId;

/// The coach of a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberCoach {
    /// The call.
    pub call: CallId,
    /// FreeSWITCH has confirmed that it coaches.
    pub began: bool,
}

/// The reason why a coaching ended, as the webhook gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoachEnd {
    /// A command ended it.
    Requested,
    /// The member left the room.
    MemberLeft,
    /// The coach hung up.
    Hangup,
    /// The coach was parked or moved by something else.
    Removed,
    /// FreeSWITCH did not confirm the beginning in time.
    Timeout,
    /// FreeSWITCH refused the command, or could not listen to the member.
    Refused,
    /// The node was lost or restarted.
    Orphan,
}

impl CoachEnd {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::MemberLeft => "member_left",
            Self::Hangup => "hangup",
            Self::Removed => "removed",
            Self::Timeout => "timeout",
            Self::Refused => "refused",
            Self::Orphan => "orphan",
        }
    }
}

/// A change of a coaching, as its webhook reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CoachChange {
    /// It began.
    Began,
    /// It did not begin.
    Failed(CoachEnd),
    /// It ended.
    Ended(CoachEnd),
}
