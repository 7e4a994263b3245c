//! The state of a request for digits.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::gather::Gather;
use crate::ids::{CommandUid, OperationId, RoomId};
use crate::time::Timestamp;

use super::run::StepId;

/// A request for digits that is under way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gathering {
    /// Its id.
    pub operation: OperationId,
    /// The caller's id of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command_uid: Option<CommandUid>,
    /// The room of the call; `None` for a parked call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    /// The request.
    pub gather: Gather,
    /// The index of the attempt, from 0.
    pub attempt: u8,
    /// The time of the decision to begin the attempt.
    pub begun_at: Timestamp,
    /// The time by which the attempt must end.
    pub deadline: Timestamp,
    /// The longest time of one attempt, in milliseconds.
    pub longest_ms: u32,
    /// The number of stop commands so far.
    #[serde(default)]
    pub stops: u8,
    /// True if the app stopped it.
    #[serde(default)]
    pub stopping: bool,
}

impl Gathering {
    /// Returns a request that begins now; `prompt` is the time that a file or a text may take.
    pub fn new(
        operation: OperationId,
        command_uid: Option<CommandUid>,
        room: Option<RoomId>,
        gather: Gather,
        (now, prompt): (Timestamp, Duration),
    ) -> Self {
        let longest = gather.longest(prompt);
        Self {
            operation,
            command_uid,
            room,
            gather,
            attempt: 0,
            begun_at: now,
            deadline: now + longest,
            longest_ms: u32::try_from(longest.as_millis()).unwrap_or(u32::MAX),
            stops: 0,
            stopping: false,
        }
    }

    /// Returns the id of the current attempt.
    pub const fn step_id(&self) -> StepId {
        StepId {
            run: self.operation.uuid(),
            index: self.attempt as u16,
        }
    }

    pub(super) fn next_attempt(&mut self, now: Timestamp) {
        self.attempt += 1;
        self.begun_at = now;
        self.deadline = now + Duration::from_millis(self.longest_ms.into());
    }
}
