//! A run: the steps that a call goes through before it comes into a conference, or after it has left it.
//!
//! Each step is confirmed before the next one is begun, and has a deadline. A step that fails ends the run.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::action::Step;
use crate::ids::RoomId;
use crate::time::Timestamp;

/// What a step may take besides the time that it lasts by itself.
const GRACE: Duration = Duration::from_secs(10);

/// A command can wait this long behind others until FreeSWITCH hears of it.
pub(super) const ON_ITS_WAY: Duration = Duration::from_secs(5);

/// What FreeSWITCH says of a file that it has played to its end (`mod_dptools.c`).
const PLAYED: &str = "FILE PLAYED";

/// Which step of which run: it comes back with the event that tells of its end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepId {
    /// The run.
    pub run: Uuid,
    /// The step in it, from 0.
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

/// What the channel itself says of where its run is: `roomkeeper_step`, `<run>.<index>` from before a step on, and
/// `<run>.<index>=<response>` once it is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// The last step that was begun.
    pub step: StepId,
    /// What it came to, if it is over.
    pub response: Option<String>,
}

impl FromStr for Mark {
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

/// What a run is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The call is on its way into this room.
    Before(RoomId),
    /// It has left this room.
    After(RoomId),
}

/// The steps of a call, and how far it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: Uuid,
    /// What it is for.
    pub purpose: Purpose,
    /// What there is to do, at least one step.
    pub steps: Vec<Step>,
    /// Which of them is under way.
    pub at: u16,
    /// When that was decided.
    pub begun_at: Timestamp,
    /// It must be over by then.
    pub deadline: Timestamp,
    /// What a file or a text may take, in milliseconds.
    pub patience_ms: u32,
}

impl Run {
    /// A run that is about to begin; `None` when there is nothing to do. `patience` is what a file or a text may take.
    pub fn new(
        id: Uuid,
        purpose: Purpose,
        steps: Vec<Step>,
        now: Timestamp,
        patience: Duration,
    ) -> Option<Self> {
        let deadline = now + allowed(steps.first()?, patience);
        Some(Self {
            id,
            purpose,
            steps,
            at: 0,
            begun_at: now,
            deadline,
            patience_ms: u32::try_from(patience.as_millis()).unwrap_or(u32::MAX),
        })
    }

    /// The room that the call is on its way into.
    pub const fn room(&self) -> Option<RoomId> {
        match self.purpose {
            Purpose::Before(room) => Some(room),
            Purpose::After(_) => None,
        }
    }

    /// The room whose actions these are.
    pub const fn of(&self) -> RoomId {
        match self.purpose {
            Purpose::Before(room) | Purpose::After(room) => room,
        }
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms.into())
    }

    /// The id of the step that is under way.
    pub const fn step_id(&self) -> StepId {
        StepId {
            run: self.id,
            index: self.at,
        }
    }

    /// The step that is under way.
    pub fn step(&self) -> Option<&Step> {
        self.steps.get(usize::from(self.at))
    }

    /// Goes on to the next step; `false`: that was the last one.
    pub(super) fn advance(&mut self, now: Timestamp) -> bool {
        let Some(step) = self.steps.get(usize::from(self.at) + 1) else {
            return false;
        };
        self.deadline = now + allowed(step, self.patience());
        self.begun_at = now;
        self.at += 1;
        true
    }

    /// It begins now: it had to wait.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if let Some(step) = self.steps.first() {
            self.deadline = now + allowed(step, self.patience());
        }
        self.begun_at = now;
    }

    /// FreeSWITCH has not heard of the step that is under way: whether it will, if it is only waited for a little.
    pub(super) fn may_be_on_its_way(&self, now: Timestamp) -> bool {
        now.since(self.begun_at) < ON_ITS_WAY
    }

    /// How long the whole of it can last.
    pub fn longest(&self) -> Duration {
        let allowed = self.steps.iter().map(|step| allowed(step, self.patience()));
        allowed.sum()
    }

    /// Whether the step that is under way has done what it should, going by what FreeSWITCH says that it came to.
    pub fn succeeds_with(&self, response: &str) -> bool {
        match self.step() {
            Some(Step::Play(_) | Step::Beep) => response == PLAYED,
            // They have nothing to say. An engine that is not there is found out before.
            Some(Step::Answer | Step::Talk(_) | Step::Sleep(_) | Step::Hangup) => true,
            None => false,
        }
    }
}

fn allowed(step: &Step, patience: Duration) -> Duration {
    match step {
        Step::Talk(_) | Step::Play(_) => patience,
        Step::Sleep(ms) => Duration::from_millis((*ms).into()) + GRACE,
        Step::Answer | Step::Beep | Step::Hangup => GRACE,
    }
}
