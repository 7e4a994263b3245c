//! Answering and ending calls.

use crate::entity::Target;
use crate::ids::{CallId, OperationId};

use crate::intent::{Decision, Hangup, OperationAccepted, Refusal};
use crate::switch_command::{SwitchAction, SwitchCommand};

use super::intent::Request;
use super::{Context, NodeState};

impl NodeState {
    pub(super) fn check_answer(&self, call: CallId) -> Result<Decision, Refusal> {
        let state = self.call(call).ok_or(Refusal::CallNotFound)?;
        if state.answered_at().is_some() {
            return Err(Refusal::AlreadyAnswered);
        }
        Ok(Decision::Act)
    }

    pub(super) fn answer(
        &mut self,
        by: &Request,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        Ok(operation(by.call()?, SwitchAction::Answer, cx))
    }

    pub(super) fn hang_up(
        &mut self,
        by: &Request,
        hangup: Hangup,
        cx: &mut Context<'_>,
    ) -> Result<OperationAccepted, Refusal> {
        let action = SwitchAction::Hangup {
            cause: hangup.cause,
        };
        Ok(operation(by.call()?, action, cx))
    }
}

fn operation(call: CallId, action: SwitchAction, cx: &mut Context<'_>) -> OperationAccepted {
    let command = SwitchCommand::new(Target::Call(call), action);
    cx.out.commands.push(command);
    OperationAccepted {
        operation: OperationId::new(cx.ids.next_uuid()),
    }
}
