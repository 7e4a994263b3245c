//! Dial-outs of a room: calls that FreeSWITCH makes for it, until they are answered or have failed.
//!
//! An answered call becomes a joining member. Until then it is no call of the app: it has no session, only this record.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::dial::{CallerName, Destination, PhoneNumber, SipHeader};
use crate::ids::{CallId, CommandUid, MemberId};
use crate::time::Timestamp;

use super::member_settings::MemberSettings;
use super::settings::Sparse;

/// The maximum number of dial-outs of a room in progress: the room stores all of them in one field.
pub const MAX_DIALS: usize = 50;

/// The time that FreeSWITCH may need beyond the timeout of an attempt to report its end.
pub(super) const OVERDUE: Duration = Duration::from_secs(10);

/// The longest time that a command is expected to wait in queues before FreeSWITCH receives it. A younger attempt that
/// FreeSWITCH does not know may still begin.
pub(super) const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// The time for the event of a hang-up after the command has failed: only the event has the SIP status.
pub(super) const HANGUP_DELAY: Duration = Duration::from_secs(1);

/// The shortest and the longest pause between two commands that cancel an attempt.
pub(super) const CANCEL_PAUSE: (Duration, Duration) =
    (Duration::from_millis(500), Duration::from_secs(10));

/// The request of a dial-out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DialRequest {
    /// The destination.
    pub to: Destination,
    /// The caller's number that the callee sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<PhoneNumber>,
    /// The caller's name that the callee sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_name: Option<CallerName>,
    /// The time for an answer, in seconds.
    pub timeout: u16,
    /// True to enter muted.
    pub muted: bool,
    /// The number of attempts after the first.
    #[serde(default)]
    pub retries: u8,
    /// The pause before each of them, in seconds.
    #[serde(default)]
    pub retry_pause: u16,
    /// The settings of the member that the callee becomes.
    #[serde(default)]
    pub member: Sparse<MemberSettings>,
    /// SIP headers of the call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<SipHeader>,
}

impl DialRequest {
    /// Returns the time for an answer.
    pub const fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout as u64)
    }

    /// Returns the number of attempts.
    pub const fn attempts(&self) -> u8 {
        self.retries.saturating_add(1)
    }
}

/// The phase of a dial-out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DialPhase {
    /// FreeSWITCH has the command.
    Dialling,
    /// The callee's telephone rings.
    Ringing,
    /// The next attempt follows at the deadline.
    Waiting,
}

/// A dial-out in progress.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DialOut {
    /// Its id: the session of the first attempt.
    pub id: CallId,
    /// The request.
    pub request: Box<DialRequest>,
    /// The caller's id of the command, which every webhook repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_uid: Option<CommandUid>,
    /// The current attempt, or the last one; from 1.
    pub attempt: u8,
    /// The session of that attempt.
    pub session: CallId,
    /// The phase.
    pub phase: DialPhase,
    /// The time of the request to cancel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
    /// The cause with which the command of the attempt failed. The event of the hang-up may still arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// True if the attempt passed its deadline and nothing was reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// True if the callee enters deaf, because the room waited for a moderator when the command went out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deaf: bool,
    /// The time of the request.
    pub created_at: Timestamp,
    /// The start of the attempt.
    pub begun_at: Timestamp,
    /// The time of the next step, whatever FreeSWITCH reports until then.
    pub deadline: Timestamp,
}

impl DialOut {
    /// Returns a dial-out that begins now.
    pub fn new(
        id: CallId,
        request: DialRequest,
        command_uid: Option<CommandUid>,
        now: Timestamp,
    ) -> Self {
        let deadline = now + request.timeout() + OVERDUE;
        Self {
            id,
            request: Box::new(request),
            command_uid,
            attempt: 1,
            session: id,
            phase: DialPhase::Dialling,
            cancelled_at: None,
            refused: None,
            overdue: false,
            deaf: false,
            created_at: now,
            begun_at: now,
            deadline,
        }
    }

    /// Begins the next attempt.
    pub(super) fn begin(&mut self, session: CallId, now: Timestamp) {
        self.attempt += 1;
        self.session = session;
        self.phase = DialPhase::Dialling;
        self.refused = None;
        self.overdue = false;
        self.begun_at = now;
        self.deadline = now + self.request.timeout() + OVERDUE;
    }

    /// Returns true while FreeSWITCH may have a channel of it.
    pub fn is_in_flight(&self) -> bool {
        self.phase != DialPhase::Waiting
    }

    /// Returns the word in the API.
    pub const fn status(&self) -> &'static str {
        match (self.cancelled_at, self.phase) {
            (Some(_), _) => "cancelling",
            (None, DialPhase::Dialling) => "dialling",
            (None, DialPhase::Ringing) => "ringing",
            (None, DialPhase::Waiting) => "waiting",
        }
    }
}

/// The dial-outs of a room in progress, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DialOuts(pub(super) Vec<DialOut>);

impl DialOuts {
    /// Returns them, oldest first.
    pub fn iter(&self) -> std::slice::Iter<'_, DialOut> {
        self.0.iter()
    }

    /// Checks the invariants.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut seen = std::collections::BTreeSet::new();
        for dial in &self.0 {
            if !seen.insert(dial.id) {
                return Err(format!("it has the dial-out {} twice", dial.id));
            }
            if dial.attempt == 0 || dial.attempt > dial.request.attempts() {
                return Err(format!(
                    "its dial-out {} has an impossible attempt",
                    dial.id
                ));
            }
        }
        Ok(())
    }
}

/// The outcome of an attempt without an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DialOutcome {
    /// The callee is busy.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The call could not be made, or the outcome is unknown.
    Failed,
    /// The app, or the end of the room, cancelled it.
    Cancelled,
}

impl DialOutcome {
    /// Classifies FreeSWITCH's hang-up cause.
    pub fn from_cause(cause: &str) -> Self {
        match cause {
            "USER_BUSY" => Self::Busy,
            "NO_ANSWER"
            | "NO_USER_RESPONSE"
            | "ALLOTTED_TIMEOUT"
            | "PROGRESS_TIMEOUT"
            | "RECOVERY_ON_TIMER_EXPIRE" => Self::NoAnswer,
            _ => Self::Failed,
        }
    }
}

/// Returns true if another attempt can have another outcome.
pub(super) fn may_succeed_later(cause: &str) -> bool {
    !matches!(
        cause,
        UNKNOWN_CAUSE
            | "UNALLOCATED_NUMBER"
            | "NO_ROUTE_DESTINATION"
            | "CALL_REJECTED"
            | "NUMBER_CHANGED"
            | "INVALID_NUMBER_FORMAT"
            | "INVALID_GATEWAY"
            | "INVALID_PROFILE"
            | "INVALID_URL"
            | "CHAN_NOT_IMPLEMENTED"
            | "INCOMPATIBLE_DESTINATION"
            | "BEARERCAPABILITY_NOTAUTH"
    )
}

/// The cause of a dial-out that was cancelled between two attempts: FreeSWITCH's own for a caller who gives up.
pub(super) const CANCELLED_CAUSE: &str = "ORIGINATOR_CANCEL";

/// The cause of an attempt whose end no event reported. It is not repeated: it may have been answered.
pub const UNKNOWN_CAUSE: &str = "UNKNOWN";

/// A domain event of a dial-out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DialEvent {
    /// The dial-out.
    pub id: CallId,
    /// The session of the attempt.
    pub session: CallId,
    /// The destination.
    pub to: String,
    /// The attempt, from 1.
    pub attempt: u8,
    /// The number of attempts that the request allows.
    pub attempts: u8,
    /// The change.
    pub change: DialChange,
}

/// A change of a dial-out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DialChange {
    /// The callee's telephone rings.
    Ringing,
    /// The callee answered.
    Answered,
    /// The attempt ended without an answer.
    Ended {
        /// The outcome.
        outcome: DialOutcome,
        /// FreeSWITCH's hang-up cause.
        cause: String,
        /// The status of the callee's last SIP response.
        sip_status: Option<u16>,
        /// The time of the next attempt, if there is one.
        retry_at: Option<Timestamp>,
    },
}

/// An input of the dial-outs of a room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DialInput {
    /// A request to dial; the command goes out.
    Start(Box<DialOut>),
    /// A request to cancel; the command goes out.
    Cancel {
        /// The dial-out.
        id: CallId,
        /// The caller's id of the command.
        command_uid: Option<CommandUid>,
    },
    /// The pause after the last attempt is over; the command goes out.
    Retry {
        /// The dial-out.
        id: CallId,
        /// The session of the next attempt.
        session: CallId,
    },
    /// The callee's telephone rings.
    Ringing {
        /// The session of the attempt.
        session: CallId,
    },
    /// The callee answered.
    Answered {
        /// The session of the attempt.
        session: CallId,
        /// The membership id.
        member: MemberId,
        /// The call must have entered the room by then.
        deadline: Timestamp,
        /// True if the call is known already: it was answered before, and somebody else has moved it.
        elsewhere: bool,
        /// True if no event of the answer arrived.
        synthesized: bool,
    },
    /// The call ended without an answer.
    HungUp {
        /// The session of the attempt.
        session: CallId,
        /// FreeSWITCH's hang-up cause.
        cause: String,
        /// The status of the callee's last SIP response.
        sip_status: Option<u16>,
    },
    /// The command failed with this cause. The event of the hang-up may still arrive.
    Refused {
        /// The session of the attempt.
        session: CallId,
        /// FreeSWITCH's hang-up cause.
        cause: String,
    },
    /// FreeSWITCH knows no such channel.
    NotFound {
        /// The session of the attempt.
        session: CallId,
    },
}
