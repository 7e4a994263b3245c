//! Transitions of a call whose caller is asked for digits, parked or in a room.
//!
//! FreeSWITCH plays the prompt and collects the digits of one attempt, as a step of its own id; the attempts are counted
//! here. The result is reported once: by the event of the step's end, by the checkpoint on the channel, by a change of
//! the call's place, or by a deadline.

use std::time::Duration;

use crate::action::Step;
use crate::gather::{Digits, GatherEnd, GatherReading, GatherResult};

use super::effect::{CallEffect, CallEvent};
use super::gathering::Gathering;
use super::run::{Checkpoint, MAX_QUEUE_TIME, StepId};
use super::state::CallStatus;
use super::transition::Transition;

/// The time for FreeSWITCH to report the end of an attempt that is stopped.
const STOPPING: Duration = Duration::from_secs(3);

/// The number of stop commands. One is lost if it arrives before the attempt begins.
const MAX_STOPS: u8 = 3;

impl Transition<'_> {
    /// Asks for digits, unless another request is under way.
    pub(super) fn begin_gather(&mut self, gathering: Box<Gathering>) {
        if self.state.gather.is_none() {
            self.state.gather = Some(gathering);
            self.state.changed = true;
            self.send_attempt();
        }
    }

    fn send_attempt(&mut self) {
        if let Some(gathering) = &self.state.gather {
            self.effects.push(CallEffect::Step {
                room: gathering.room,
                id: gathering.step_id(),
                step: Step::Gather(Box::new(gathering.gather.clone())),
            });
        }
    }

    pub(super) fn gathers(&self, step: StepId) -> bool {
        let gathering = self.state.gather.as_ref();
        gathering.is_some_and(|gathering| gathering.step_id() == step)
    }

    /// Applies FreeSWITCH's response to the current attempt.
    pub(super) fn attempt_ended(&mut self, response: &str, synthesized: bool) {
        let Some(gathering) = &mut self.state.gather else {
            return;
        };
        let stopping = gathering.stopping;
        let is_last = gathering.stops > 0 || gathering.attempt + 1 >= gathering.gather.tries;
        let (reason, digits) = match gathering.gather.read(response) {
            GatherReading::Complete(digits) => (GatherEnd::Matched, digits),
            GatherReading::NoPrompt => (GatherEnd::Failed, Digits::default()),
            GatherReading::TooFew(_) if !is_last => {
                gathering.next_attempt(self.now);
                self.state.changed = true;
                return self.send_attempt();
            }
            GatherReading::TooFew(digits) if digits == Digits::default() => {
                (GatherEnd::NoInput, digits)
            }
            GatherReading::TooFew(digits) => (GatherEnd::Timeout, digits),
        };
        let reason = if stopping { GatherEnd::Stopped } else { reason };
        self.end_gather(reason, digits, synthesized);
    }

    /// Ends the request and reports it. Without one, there is nothing to do.
    pub(super) fn end_gather(&mut self, reason: GatherEnd, digits: Digits, synthesized: bool) {
        let Some(gathering) = self.state.gather.take() else {
            return;
        };
        self.state.changed = true;
        let Gathering {
            operation,
            command_uid,
            room,
            gather,
            ..
        } = *gathering;
        let failed_prompt = match reason {
            GatherEnd::Failed => gather.prompt.url().cloned(),
            GatherEnd::Matched
            | GatherEnd::Timeout
            | GatherEnd::NoInput
            | GatherEnd::Hangup
            | GatherEnd::Stopped => None,
        };
        let result = Box::new(GatherResult {
            operation,
            command_uid,
            digits,
            reason,
            failed_prompt,
            synthesized,
        });
        match room {
            Some(room) => self.effects.push(CallEffect::Gathered { room, result }),
            None => self.notify(CallEvent::Gathered(result), synthesized),
        }
    }

    /// Ends the request because the call changes its place. A transfer ends the attempt at FreeSWITCH, too; a step of
    /// another run would wait for it.
    pub(super) fn interrupt_gather(&mut self, next: &CallStatus) {
        if self.state.gather.is_none() {
            return;
        }
        let reason = match next {
            CallStatus::Ended => GatherEnd::Hangup,
            CallStatus::Acting(_) => {
                self.effects.push(CallEffect::StopGather);
                GatherEnd::Stopped
            }
            CallStatus::Ringing
            | CallStatus::Parked
            | CallStatus::Coaching
            | CallStatus::Transferring
            | CallStatus::Transferred
            | CallStatus::Joining(_)
            | CallStatus::Moving { .. }
            | CallStatus::InRoom(_)
            | CallStatus::Leaving(_) => GatherEnd::Stopped,
        };
        self.end_gather(reason, Digits::default(), false);
    }

    /// Stops the current attempt on request. Its end reports the digits so far.
    pub(super) fn stop_gather(&mut self) {
        if let Some(gathering) = &mut self.state.gather {
            gathering.stopping = true;
            self.send_stop();
        }
    }

    fn send_stop(&mut self) {
        if let Some(gathering) = &mut self.state.gather {
            gathering.stops += 1;
            gathering.deadline = self.now + STOPPING;
            self.state.changed = true;
            self.effects.push(CallEffect::StopGather);
        }
    }

    /// Handles an attempt whose deadline has passed: FreeSWITCH gets a command to stop it, and then the request has failed.
    pub(super) fn gather_overdue(&mut self) {
        let Some(gathering) = &self.state.gather else {
            return;
        };
        if gathering.deadline > self.now {
            return;
        }
        if gathering.stops < MAX_STOPS {
            return self.send_stop();
        }
        let reason = match gathering.stopping {
            true => GatherEnd::Stopped,
            false => GatherEnd::Failed,
        };
        self.end_gather(reason, Digits::default(), true);
    }

    /// Applies the checkpoint that the channel carries: the event of the attempt's end may be lost, and its start may
    /// not have reached FreeSWITCH.
    pub(super) fn attempt_checked(&mut self, requested: StepId, checkpoint: Option<Checkpoint>) {
        match checkpoint {
            Some(Checkpoint { step, response }) if step == requested => {
                if let Some(response) = response {
                    self.attempt_ended(&response, true);
                }
            }
            Some(_) | None => {
                let Some(gathering) = &self.state.gather else {
                    return;
                };
                if self.now.since(gathering.begun_at) < MAX_QUEUE_TIME {
                    self.effects.push(CallEffect::CheckAgain);
                } else if gathering.stopping {
                    self.end_gather(GatherEnd::Stopped, Digits::default(), true);
                } else {
                    self.send_attempt();
                }
            }
        }
    }
}
