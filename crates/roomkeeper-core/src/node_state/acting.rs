//! Action runs of calls, before they join a room and after they have left one: their start and their progress.

use crate::action::{Action, Step, steps};
use crate::call::{
    ActionRun, CallInput, CallState, CallStatus, Checkpoint, Gathering, Purpose, StepId,
};
use crate::ids::{CallId, ChannelId, RoomId};
use crate::pin::PinRequest;

use super::{Context, NodeState};

impl NodeState {
    /// Returns the run that the call must complete before it enters the room, if there is any: the PIN, then the
    /// pre-actions.
    pub(super) fn run_before(
        &self,
        call: &CallState,
        room: RoomId,
        (pin, actions): (Option<PinRequest>, &[Action]),
        cx: &mut Context<'_>,
    ) -> Option<ActionRun> {
        let is_answered = call.answered_at().is_some();
        let mut all = Vec::new();
        if let Some(request) = pin {
            all.extend((!is_answered).then_some(Step::Answer));
            all.push(Step::Pin(Box::new(request)));
        }
        all.extend(steps(actions, is_answered || !all.is_empty()));
        self.make_run(Purpose::Before(room), all, cx)
    }

    /// Starts the post-actions of a room that the call has left.
    pub(super) fn act_after(
        &mut self,
        call: CallId,
        room: RoomId,
        actions: &[Action],
        cx: &mut Context<'_>,
    ) {
        if let Some(state) = self.call(call)
            && let steps = steps(actions, state.answered_at().is_some())
            && let Some(run) = self.make_run(Purpose::After(room), steps, cx)
        {
            self.call_input(call, CallInput::ThenAct { run }, cx);
        }
    }

    fn make_run(
        &self,
        purpose: Purpose,
        steps: Vec<Step>,
        cx: &mut Context<'_>,
    ) -> Option<ActionRun> {
        if steps.is_empty() {
            return None;
        }
        ActionRun::new(
            cx.ids.next_uuid(),
            purpose,
            steps,
            cx.now,
            self.rules.timeouts.step,
        )
    }

    /// Applies the end of one of our steps (`CHANNEL_EXECUTE_COMPLETE`).
    pub(super) fn step_ended(
        &mut self,
        id: CallId,
        sequence: u64,
        (step, response): (StepId, String),
        cx: &mut Context<'_>,
    ) {
        // A late event of a digit that belongs to the step is not reported: it can be a part of a PIN.
        if self
            .call(id)
            .is_some_and(|call| self.rules.digit_apps.contains(call.app()))
        {
            self.digits.close(id, sequence, cx.now);
        }
        self.call_input(id, CallInput::StepEnded { step, response }, cx);
    }

    /// Returns the calls that should be running a step, or are asked for digits.
    pub fn acting_calls(&self) -> Vec<(ChannelId, StepId)> {
        self.calls
            .values()
            .filter_map(|call| {
                let run = call
                    .run()
                    .filter(|_| matches!(call.status(), CallStatus::Acting(_)));
                let gather = call.gather().map(Gathering::step_id);
                let step = gather.or_else(|| run.map(ActionRun::step_id))?;
                Some((call.id().channel(), step))
            })
            .collect()
    }

    /// Applies the checkpoints that the channels of those calls carry.
    pub fn apply_checkpoints(
        &mut self,
        checkpoints: Vec<(ChannelId, StepId, Option<Checkpoint>)>,
        cx: &mut Context<'_>,
    ) {
        for (channel, requested, checkpoint) in checkpoints {
            let id = CallId::new(self.node, channel);
            self.call_input(
                id,
                CallInput::CheckpointRead {
                    requested,
                    checkpoint,
                },
                cx,
            );
        }
    }
}
