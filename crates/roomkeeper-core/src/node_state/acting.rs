//! Action runs of calls, before they join a room and after they have left one: their start and their progress.

use crate::action::{Action, steps};
use crate::call::{
    ActionRun, CallInput, CallState, CallStatus, Checkpoint, Gathering, Purpose, StepId,
};
use crate::ids::{CallId, ChannelId, RoomId};

use super::{Context, NodeState};

impl NodeState {
    /// Returns the run of the pre-actions that the call must complete before it enters the room, if there are any.
    pub(super) fn run_before(
        &self,
        call: &CallState,
        room: RoomId,
        actions: &[Action],
        cx: &mut Context<'_>,
    ) -> Option<ActionRun> {
        self.make_run(call, Purpose::Before(room), actions, cx)
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
            && let Some(run) = self.make_run(state, Purpose::After(room), actions, cx)
        {
            self.call_input(call, CallInput::ThenAct { run }, cx);
        }
    }

    fn make_run(
        &self,
        call: &CallState,
        purpose: Purpose,
        actions: &[Action],
        cx: &mut Context<'_>,
    ) -> Option<ActionRun> {
        if actions.is_empty() {
            return None;
        }
        let steps = steps(actions, call.answered_at().is_some());
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
        channel: ChannelId,
        step: StepId,
        response: String,
        cx: &mut Context<'_>,
    ) {
        let id = CallId::new(self.node, channel);
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
