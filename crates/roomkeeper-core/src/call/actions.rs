//! Transitions of a call that runs the actions before or after a conference.

use crate::room::JoinFailure;

use super::effect::CallEffect;
use super::run::{ActionRun, Checkpoint, Purpose, StepId, StepResult};
use super::state::CallStatus;
use super::transition::Transition;

impl Transition<'_> {
    /// Starts a run. It replaces a run that is under way.
    pub(super) fn begin_run(&mut self, mut run: Box<ActionRun>) {
        run.begin(self.now);
        let room = run.room();
        self.state.run = Some(run);
        self.set_status(CallStatus::Acting(room), None);
        self.send_step();
    }

    fn send_step(&mut self) {
        if let Some(run) = &self.state.run
            && let Some(step) = run.step()
        {
            self.effects.push(CallEffect::Step {
                room: Some(run.owning_room()),
                id: run.step_id(),
                step: step.clone(),
            });
        }
    }

    pub(super) fn is_under_way(&self, step: StepId) -> bool {
        let acting = matches!(self.state.status, CallStatus::Acting(_));
        let run = self.state.run.as_ref();
        acting && run.is_some_and(|run| run.step_id() == step)
    }

    pub(super) fn step_ended(&mut self, response: &str) {
        let Some(run) = &mut self.state.run else {
            return;
        };
        match run.read(response) {
            StepResult::Succeeded => {}
            StepResult::WrongPin if run.retry() => {}
            StepResult::WrongPin => {
                return self.fail_run(self.state.parked(), JoinFailure::Pin);
            }
            StepResult::Failed => return self.give_up_run(self.state.parked()),
        }
        if run.advance(self.now) {
            self.state.changed = true;
            return self.send_step();
        }
        match run.purpose {
            Purpose::Before(room) => {
                self.state.run = None;
                self.set_status(CallStatus::Joining(room), None);
                self.effects.push(CallEffect::Ready { room });
            }
            Purpose::After(_) => {
                self.state.run = None;
                self.set_status(self.state.parked(), None);
            }
        }
    }

    /// Ends the run after a step failed. A join that waits for the run fails.
    pub(super) fn give_up_run(&mut self, next: CallStatus) {
        self.fail_run(next, JoinFailure::ActionFailed);
    }

    fn fail_run(&mut self, next: CallStatus, reason: JoinFailure) {
        let Some(run) = self.state.run.take() else {
            return;
        };
        let call = self.state.id;
        self.set_status(next, None);
        if let Some(room) = run.room() {
            self.effects
                .push(CallEffect::RoomNotEntered { room, call, reason });
        }
    }

    /// Applies the checkpoint that the channel carries: the event of the step's end may be lost, and its start may not have
    /// reached FreeSWITCH.
    pub(super) fn checkpoint_read(&mut self, requested: StepId, checkpoint: Option<Checkpoint>) {
        match checkpoint {
            Some(Checkpoint { step, response }) if step == requested => {
                if let Some(response) = response {
                    self.step_ended(&response);
                }
            }
            // FreeSWITCH has received an earlier step at most.
            Some(_) | None => {
                let run = self.state.run.as_deref();
                if run.is_some_and(|run| run.may_still_be_queued(self.now)) {
                    self.effects.push(CallEffect::CheckAgain);
                } else {
                    self.send_step();
                }
            }
        }
    }
}
