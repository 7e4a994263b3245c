//! Failed switch commands and expired deadlines: the node state reverts changes that FreeSWITCH did not make.

use crate::call::CallInput;
use crate::command_error::CommandError;
use crate::entity::EntityId;
use crate::ids::{CallId, RecordingId, RoomId};
use crate::room::{JoinFailure, RecordAction, RecordInput, RoomInput};

use crate::switch_command::{SwitchAction, SwitchCommand};

use super::{Context, NodeState};

impl NodeState {
    /// Reverts a command that FreeSWITCH did not carry out.
    pub fn revert_command(
        &mut self,
        command: &SwitchCommand,
        error: &CommandError,
        cx: &mut Context<'_>,
    ) {
        if let Some(room) = command.target.room() {
            self.refused_in(room, command, error, cx);
        }
        if let Some(call) = command.target.call() {
            self.refused_of(call, command, error, cx);
        }
        let asks_for_snapshot = match &command.action {
            SwitchAction::Play(play) => play.opens_file(),
            // A call that is gone needs no preparation, and its first transfer has the same effect. An attempt without a
            // channel has its own rules.
            SwitchAction::Prepare | SwitchAction::Dial { .. } | SwitchAction::CancelDial => false,
            // The deadline of the request repeats it.
            SwitchAction::StopGather => false,
            SwitchAction::Enter(_)
            | SwitchAction::Park { .. }
            | SwitchAction::SetFlag { .. }
            | SwitchAction::Hold { .. }
            | SwitchAction::SetHearing { .. }
            | SwitchAction::SetLevel { .. }
            | SwitchAction::SetLock { .. }
            | SwitchAction::Describe { .. }
            | SwitchAction::Control(_)
            | SwitchAction::Record { .. }
            | SwitchAction::Step { .. }
            | SwitchAction::Break { .. }
            | SwitchAction::Coach { .. }
            | SwitchAction::Transfer { .. }
            | SwitchAction::SendDigits { .. }
            | SwitchAction::Answer
            | SwitchAction::Hangup { .. } => true,
        };
        if *error == CommandError::NoSuchChannel && asks_for_snapshot {
            cx.out.resync = Some("FreeSWITCH does not know a call or a room");
        }
    }

    /// Reverts a refused command in a room.
    fn refused_in(
        &mut self,
        room: RoomId,
        command: &SwitchCommand,
        error: &CommandError,
        cx: &mut Context<'_>,
    ) {
        let call = command.target.call();
        let input = match (&command.action, call) {
            (SwitchAction::Play(play), _) => {
                return self.play_refused(command.target, play, error, cx);
            }
            (SwitchAction::SetLock { locked }, _) => {
                return self.lock_refused(room, *locked, error, cx);
            }
            (SwitchAction::Dial { .. }, Some(call)) => {
                return self.dial_refused(room, call, error, cx);
            }
            (SwitchAction::CancelDial, Some(call)) if *error == CommandError::NoSuchChannel => {
                return self.dial_not_found(room, call, cx);
            }
            (SwitchAction::Control(_) | SwitchAction::SetLevel { .. }, _) => {
                RoomInput::ControlFailed
            }
            (SwitchAction::Enter(_), Some(call)) => RoomInput::NotEntered {
                call,
                reason: JoinFailure::Refused,
            },
            (SwitchAction::Park { .. }, Some(call)) => RoomInput::LeaveRefused { call },
            (SwitchAction::SetFlag { flag, on }, Some(call)) => RoomInput::FlagRefused {
                call,
                flag: *flag,
                on: *on,
            },
            (SwitchAction::Hold { on }, Some(call)) => RoomInput::HoldRefused { call, on: *on },
            (SwitchAction::SetHearing { .. }, Some(call)) => RoomInput::HearingRefused { call },
            (
                SwitchAction::Record {
                    recording, action, ..
                },
                call,
            ) => RoomInput::Record(record_refused(*recording, *action, call, error)),
            _ => return,
        };
        self.room_input(room, input, cx);
    }

    /// Reverts a refused command at a call.
    fn refused_of(
        &mut self,
        call: CallId,
        command: &SwitchCommand,
        error: &CommandError,
        cx: &mut Context<'_>,
    ) {
        match &command.action {
            // Once the node is back, the checkpoint of the call is read.
            SwitchAction::Step { id, .. } if !matches!(error, CommandError::Down { .. }) => {
                self.call_input(call, CallInput::StepRefused { step: *id }, cx);
            }
            SwitchAction::Park { .. } | SwitchAction::Break { .. } => self.not_parked(call, cx),
            SwitchAction::Coach { id, .. } => {
                self.call_input(call, CallInput::CoachRefused(*id), cx);
            }
            // Without an answer FreeSWITCH may have carried it out: its events or a snapshot decide.
            SwitchAction::Transfer { id, .. } if *error != CommandError::Unknown => {
                self.call_input(call, CallInput::TransferRefused(*id), cx);
            }
            SwitchAction::Transfer { .. }
            | SwitchAction::Step { .. }
            | SwitchAction::Enter(_)
            | SwitchAction::Dial { .. }
            | SwitchAction::CancelDial
            | SwitchAction::SetFlag { .. }
            | SwitchAction::Hold { .. }
            | SwitchAction::SetHearing { .. }
            | SwitchAction::SetLevel { .. }
            | SwitchAction::SetLock { .. }
            | SwitchAction::Describe { .. }
            | SwitchAction::Control(_)
            | SwitchAction::Play(_)
            | SwitchAction::Record { .. }
            | SwitchAction::Prepare
            | SwitchAction::StopGather
            | SwitchAction::SendDigits { .. }
            | SwitchAction::Answer
            | SwitchAction::Hangup { .. } => {}
        }
    }

    /// Requests a snapshot: FreeSWITCH may never report that the call is parked.
    fn not_parked(&self, call: CallId, cx: &mut Context<'_>) {
        let state = self.call(call);
        if state.is_some_and(|state| state.pending_park().is_some()) {
            cx.out.resync = Some("a call may not have been parked");
        }
    }

    /// Applies a deadline of a room or call that has passed.
    pub fn deadline(&mut self, entity: EntityId, cx: &mut Context<'_>) {
        match entity {
            EntityId::Room(id) => {
                if self.rooms.contains_key(&id) {
                    self.retry_dials(id, cx);
                    self.room_input(id, RoomInput::Deadline, cx);
                }
            }
            EntityId::Call(id) => self.call_input(id, CallInput::Deadline, cx),
        }
    }
}

/// FreeSWITCH's answer to `uuid_record … stop` for a file that it does not record into (`mod_commands.c`).
const NOT_RECORDED: &str = "Cannot stop record session!";

/// Returns the input for a command of a recording that failed.
fn record_refused(
    id: RecordingId,
    action: RecordAction,
    call: Option<CallId>,
    error: &CommandError,
) -> RecordInput {
    match action {
        RecordAction::Start => RecordInput::StartRefused { id },
        RecordAction::Stop => {
            let is_over = match error {
                CommandError::Refused(text) => text == NOT_RECORDED,
                CommandError::NoSuchChannel => true,
                CommandError::Down { .. } | CommandError::Busy | CommandError::Unknown => false,
            };
            if call.is_some() && is_over {
                return RecordInput::Stopped {
                    id,
                    length: None,
                    synthesized: true,
                };
            }
            RecordInput::StopRefused { id }
        }
        RecordAction::Pause | RecordAction::Resume => RecordInput::PauseRefused {
            id,
            pause: action == RecordAction::Pause,
        },
    }
}
