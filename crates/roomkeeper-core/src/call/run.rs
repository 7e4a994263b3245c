//! Action runs: the steps that a call goes through before it joins a conference or after it has left one.
//!
//! FreeSWITCH confirms each step before the next one begins. Each step has a deadline. A step that fails ends the run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::action::Step;
use crate::gather::GatherReading;
use crate::ids::RoomId;
use crate::time::Timestamp;

/// The time that a step may take in addition to its own duration.
const GRACE: Duration = Duration::from_secs(10);

/// The longest time that a command is expected to wait in queues before FreeSWITCH receives it.
pub(super) const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

/// FreeSWITCH's response for a file that it has played to its end (`mod_dptools.c`).
const PLAYED: &str = "FILE PLAYED";

/// The id of a step. FreeSWITCH returns it in the event that ends the step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepId {
    /// The action run.
    pub run: Uuid,
    /// The index of the step, from 0.
    pub index: u16,
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.run, self.index)
    }
}

impl FromStr for StepId {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, index) = text.split_once('.').ok_or(())?;
        Ok(Self {
            run: run.parse().map_err(|_| ())?,
            index: index.parse().map_err(|_| ())?,
        })
    }
}

/// A channel's own record of the progress of its action run, in the variable `roomkeeper_step`: `<run>.<index>` once a
/// step begins, `<run>.<index>=<response>` once it has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// The last step that began.
    pub step: StepId,
    /// FreeSWITCH's response, if the step has ended.
    pub response: Option<String>,
}

impl FromStr for Checkpoint {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (step, response) = match text.split_once('=') {
            Some((step, response)) => (step, Some(response.to_owned())),
            None => (text, None),
        };
        Ok(Self {
            step: step.parse()?,
            response,
        })
    }
}

/// The purpose of an action run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Pre-actions: the call is on its way into this room.
    Before(RoomId),
    /// Post-actions: the call has left this room.
    After(RoomId),
}

/// The steps of a call, and its progress.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActionRun {
    /// Its id.
    pub id: Uuid,
    /// The purpose.
    pub purpose: Purpose,
    /// The steps, at least one.
    pub steps: Vec<Step>,
    /// The index of the current step.
    pub at: u16,
    /// The time of the decision to begin the current step.
    pub begun_at: Timestamp,
    /// The time by which the current step must end.
    pub deadline: Timestamp,
    /// The time that a file or a text may take, in milliseconds.
    #[serde(rename = "patience_ms")]
    pub timeout_ms: u32,
}

impl ActionRun {
    /// Returns a new run; `None` if there are no steps. `timeout` is the time that a file or a text
    /// may take.
    pub fn new(
        id: Uuid,
        purpose: Purpose,
        steps: Vec<Step>,
        now: Timestamp,
        timeout: Duration,
    ) -> Option<Self> {
        let deadline = now + allowed(steps.first()?, timeout);
        Some(Self {
            id,
            purpose,
            steps,
            at: 0,
            begun_at: now,
            deadline,
            timeout_ms: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// Returns the room that the call is on its way into.
    pub const fn room(&self) -> Option<RoomId> {
        match self.purpose {
            Purpose::Before(room) => Some(room),
            Purpose::After(_) => None,
        }
    }

    /// Returns the room whose actions these are.
    pub const fn owning_room(&self) -> RoomId {
        match self.purpose {
            Purpose::Before(room) | Purpose::After(room) => room,
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    /// Returns the id of the current step.
    pub const fn step_id(&self) -> StepId {
        StepId {
            run: self.id,
            index: self.at,
        }
    }

    /// Returns the current step.
    pub fn step(&self) -> Option<&Step> {
        self.steps.get(usize::from(self.at))
    }

    /// Advances to the next step. Returns false if there is none.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let Some(step) = self.steps.get(usize::from(self.at) + 1) else {
            return false;
        };
        self.deadline = now + allowed(step, self.timeout());
        self.begun_at = now;
        self.at += 1;
        true
    }

    /// Starts a run that had to wait.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if let Some(step) = self.steps.first() {
            self.deadline = now + allowed(step, self.timeout());
        }
        self.begun_at = now;
    }

    /// Returns true if the command for the current step may not have reached FreeSWITCH yet.
    pub(super) fn may_still_be_queued(&self, now: Timestamp) -> bool {
        now.since(self.begun_at) < MAX_QUEUE_TIME
    }

    /// Returns the longest time that all steps can take together.
    pub fn longest(&self) -> Duration {
        let longest = self.steps.iter().map(|step| {
            let attempts = match step {
                Step::Pin(request) => request.tries.into(),
                Step::Answer
                | Step::Talk(_)
                | Step::Play(_)
                | Step::Beep
                | Step::Sleep(_)
                | Step::Hangup
                | Step::Gather(_) => 1,
            };
            allowed(step, self.timeout()) * attempts
        });
        longest.sum()
    }

    /// Adds another attempt of the current step, with one less left. Returns false if there was none left, or the step has
    /// no attempts.
    pub(super) fn retry(&mut self) -> bool {
        let Some(Step::Pin(request)) = self.step() else {
            return false;
        };
        if request.tries <= 1 {
            return false;
        }
        let mut next = request.clone();
        next.tries -= 1;
        self.steps.insert(usize::from(self.at) + 1, Step::Pin(next));
        true
    }

    /// Returns the meaning of FreeSWITCH's response to the current step.
    pub(super) fn read(&self, response: &str) -> StepResult {
        let succeeded = |succeeded| match succeeded {
            true => StepResult::Succeeded,
            false => StepResult::Failed,
        };
        match self.step() {
            Some(Step::Play(_) | Step::Beep) => succeeded(response == PLAYED),
            // These have no meaningful response. A missing speech engine is detected earlier.
            Some(Step::Answer | Step::Talk(_) | Step::Sleep(_) | Step::Hangup) => {
                StepResult::Succeeded
            }
            Some(Step::Gather(gather)) => {
                let reading = gather.read(response);
                succeeded(matches!(reading, GatherReading::Complete(_)))
            }
            Some(Step::Pin(request)) => match request.attempt().read(response) {
                GatherReading::Complete(digits) if request.hash.matches(&digits) => {
                    StepResult::Succeeded
                }
                GatherReading::Complete(_) | GatherReading::TooFew(_) => StepResult::WrongPin,
                GatherReading::NoPrompt => StepResult::Failed,
            },
            None => StepResult::Failed,
        }
    }
}

/// The meaning of FreeSWITCH's response to a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StepResult {
    /// The next step follows.
    Succeeded,
    /// The caller entered another PIN, or none.
    WrongPin,
    /// The run has failed.
    Failed,
}

fn allowed(step: &Step, timeout: Duration) -> Duration {
    match step {
        Step::Talk(_) | Step::Play(_) => timeout,
        Step::Sleep(ms) => Duration::from_millis((*ms).into()) + GRACE,
        Step::Answer | Step::Beep | Step::Hangup => GRACE,
        Step::Gather(gather) => gather.longest(timeout),
        Step::Pin(request) => request.attempt().longest(timeout),
    }
}
