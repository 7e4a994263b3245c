//! Transfers: a call is connected with somebody outside of every room, and parks afterwards.
//!
//! One plan of FreeSWITCH (`bridge`) calls the other side, connects both, and parks the call when the other side ends, does
//! not answer, or is refused. The park carries the id of the plan.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dial::{TransferRequest, TransferTarget};
use crate::ids::{ChannelId, CommandUid};
use crate::room::dial::{DialOutcome, UNKNOWN_CAUSE};
use crate::time::Timestamp;

/// The time that FreeSWITCH may need beyond the timeout of a transfer to report its end.
pub(super) const OVERDUE: Duration = Duration::from_secs(10);

/// The time in which FreeSWITCH must confirm that a transfer ends.
pub(super) const ENDING: Duration = Duration::from_secs(10);

/// A transfer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// The request.
    pub request: Box<TransferRequest>,
    /// The channel of the other side, which is no call of the app.
    pub leg: ChannelId,
    /// The time of its command, which is the id that the call parks with afterwards; `None` until the call has left its
    /// room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Timestamp>,
    /// The reason for which it is being ended, and the caller's id of that command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<(TransferEnd, Option<CommandUid>)>,
    /// The caller's id of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_uid: Option<CommandUid>,
    /// FreeSWITCH must confirm the answer or the end by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
}

impl Transfer {
    /// Returns a transfer that has not begun.
    pub const fn new(
        request: Box<TransferRequest>,
        leg: ChannelId,
        command_uid: Option<CommandUid>,
    ) -> Self {
        Self {
            request,
            leg,
            id: None,
            ending: None,
            command_uid,
            deadline: None,
        }
    }

    /// Returns true if FreeSWITCH has a command to end it.
    pub const fn is_ending(&self) -> bool {
        self.ending.is_some() && self.deadline.is_some()
    }

    /// Returns the time for an answer.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.request.timeout as u64)
    }
}

/// The result of the last transfer that a channel carries in its variables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bridge {
    /// The other side answered.
    Answered {
        /// FreeSWITCH's hang-up cause of the other side, if it has ended.
        cause: Option<String>,
    },
    /// The other side did not answer.
    Failed {
        /// FreeSWITCH's hang-up cause.
        cause: String,
        /// The status of the last SIP response of the other side.
        sip_status: Option<u16>,
    },
}

/// The reason why a transfer failed or ended, as the webhook gives it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferEnd {
    /// The other side is busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The other side could not be called, or the outcome is unknown.
    Failed,
    /// A caller ended it.
    Cancelled,
    /// The other side hung up.
    Hangup,
    /// Somebody else moved the call.
    Removed,
}

impl TransferEnd {
    /// Returns the word in the webhook.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Hangup => "hangup",
            Self::Removed => "removed",
        }
    }

    /// Classifies FreeSWITCH's hang-up cause of a side that did not answer.
    pub fn from_cause(cause: &str) -> Self {
        match DialOutcome::from_cause(cause) {
            DialOutcome::Busy => Self::Busy,
            DialOutcome::NoAnswer => Self::NoAnswer,
            DialOutcome::Failed => Self::Failed,
            DialOutcome::Cancelled => Self::Cancelled,
        }
    }
}

/// A domain event of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransferEvent {
    /// The other side.
    pub to: TransferTarget,
    /// The change.
    pub change: TransferChange,
    /// The caller's id of the command.
    pub command_uid: Option<CommandUid>,
}

/// A change of a transfer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransferChange {
    /// The other side answered.
    Answered,
    /// The other side did not answer; the call is parked again.
    Failed {
        /// The reason.
        reason: TransferEnd,
        /// FreeSWITCH's hang-up cause.
        cause: String,
        /// The status of the last SIP response of the other side.
        sip_status: Option<u16>,
    },
    /// The call is parked again after a conversation.
    Ended {
        /// The reason.
        reason: TransferEnd,
        /// FreeSWITCH's hang-up cause of the other side, if it is known.
        cause: Option<String>,
    },
}

/// The cause of a transfer that FreeSWITCH never tried: the call stayed in its room, or the command did not arrive.
pub(super) const NOT_TRIED: &str = "NORMAL_TEMPORARY_FAILURE";

/// The cause of a transfer that a caller cancelled.
pub(super) const CANCELLED: &str = "ORIGINATOR_CANCEL";

/// Returns the cause of a transfer that ended for this reason and whose channel does not say why.
pub(super) const fn cause_of(reason: TransferEnd) -> &'static str {
    match reason {
        TransferEnd::Busy => "USER_BUSY",
        TransferEnd::NoAnswer => "NO_ANSWER",
        TransferEnd::Failed => NOT_TRIED,
        TransferEnd::Cancelled => CANCELLED,
        TransferEnd::Hangup | TransferEnd::Removed => UNKNOWN_CAUSE,
    }
}
