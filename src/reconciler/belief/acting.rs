//! What calls do before they come into a room and after they have left one: which steps are begun, and what becomes of
//! them.

use crate::action::{Action, steps};
use crate::ids::{ChannelId, RoomId, SessionId};
use crate::session::{Mark, Place, Purpose, Run, SessionInput, SessionState, StepId};

use super::{Belief, Cx};

impl Belief {
    /// What the call has to do before it goes into the room, if anything.
    pub(super) fn run_before(
        &self,
        call: &SessionState,
        room: RoomId,
        actions: &[Action],
        cx: &mut Cx<'_>,
    ) -> Option<Run> {
        self.make_run(call, Purpose::Before(room), actions, cx)
    }

    /// The call has left a room that has something for it to do.
    pub(super) fn act_after(
        &mut self,
        session: SessionId,
        room: RoomId,
        actions: &[Action],
        cx: &mut Cx<'_>,
    ) {
        if let Some(call) = self.session(session)
            && let Some(run) = self.make_run(call, Purpose::After(room), actions, cx)
        {
            self.session_input(session, SessionInput::ThenAct { run }, cx);
        }
    }

    fn make_run(
        &self,
        call: &SessionState,
        purpose: Purpose,
        actions: &[Action],
        cx: &mut Cx<'_>,
    ) -> Option<Run> {
        if actions.is_empty() {
            return None;
        }
        let steps = steps(actions, call.answered_at().is_some());
        Run::new(
            cx.ids.uuid(),
            purpose,
            steps,
            cx.now,
            self.rules.patience.step,
        )
    }

    /// `CHANNEL_EXECUTE_COMPLETE` of one of our steps.
    pub(super) fn step_ended(
        &mut self,
        channel: ChannelId,
        step: StepId,
        response: String,
        cx: &mut Cx<'_>,
    ) {
        let id = SessionId::new(self.node, channel);
        self.session_input(id, SessionInput::StepEnded { step, response }, cx);
    }

    /// The calls that should be busy with a step.
    pub fn acting(&self) -> Vec<(ChannelId, StepId)> {
        self.sessions
            .values()
            .filter(|call| matches!(call.place(), Place::Acting(_)))
            .filter_map(|call| Some((call.id().channel(), call.run()?.step_id())))
            .collect()
    }

    /// What the channels of those calls say of how far they are.
    pub fn marked(&mut self, marks: Vec<(ChannelId, StepId, Option<Mark>)>, cx: &mut Cx<'_>) {
        for (channel, asked, mark) in marks {
            let id = SessionId::new(self.node, channel);
            self.session_input(id, SessionInput::Marked { asked, mark }, cx);
        }
    }
}
