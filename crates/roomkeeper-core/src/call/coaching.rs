//! Coaching: a call that is heard by one member of a room alone, and hears what that member hears.
//!
//! FreeSWITCH lets the coach listen at the member's channel (`eavesdrop`) and parks it when that ends. FreeSWITCH would let
//! it follow the member out of the room; here a coaching ends with the membership.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::{CallId, CommandUid, RoomId};
use crate::room::CoachEnd;
use crate::time::Timestamp;

/// The time in which FreeSWITCH must confirm that a coaching begins or ends.
pub const COACH_TIMEOUT: Duration = Duration::from_secs(10);

/// The work of a coach.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Coaching {
    /// The room.
    pub room: RoomId,
    /// The member that hears the coach.
    pub member: CallId,
    /// FreeSWITCH has confirmed that it began.
    pub began: bool,
    /// The reason for which it is being ended, and the caller's id of that command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<(CoachEnd, Option<CommandUid>)>,
    /// The caller's id of the command that begins it, until that is confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_uid: Option<CommandUid>,
    /// FreeSWITCH must confirm the beginning or the end by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}
