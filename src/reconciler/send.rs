//! Sends one switch command to its node, and reads FreeSWITCH's answer for the caller.

use std::future::Future;
use std::time::Duration;

use futures_util::future::Either;

use crate::node::{CommandError, NodeHandle, command_error};
use roomkeeper_core::action::Step;
use roomkeeper_core::call::StepId;
use roomkeeper_core::entity::Target;
use roomkeeper_core::ids::CallId;
use roomkeeper_core::intent::Refusal;
use roomkeeper_core::room::playback::OPENING;
use roomkeeper_core::room::{PlayCommand, RecordAction, RoomControl};
use roomkeeper_core::switch_command::{SwitchAction, SwitchCommand};

use super::render::{self, CommandSettings};
use super::reply::IntentError;

/// The time that FreeSWITCH may take beyond the callee's to answer a command that dials.
const DIAL_GRACE: Duration = Duration::from_secs(15);

/// The form of an answer that is no failure.
enum AnswerForm {
    Ok,
    Number,
    Level,
}

/// Sends a command. It is queued before this returns, so that commands reach FreeSWITCH in the order of the calls.
pub(super) fn send(
    command: &SwitchCommand,
    settings: &CommandSettings,
    node: &NodeHandle,
) -> impl Future<Output = Result<String, CommandError>> + use<> {
    let sent = match (&command.action, command.target.call()) {
        (SwitchAction::Step { id, step }, Some(call)) => {
            Either::Left(send_step(call, *id, step, settings, node))
        }
        _ => Either::Right(render::with_variables(command, settings).map(|rendered| {
            let before = rendered.before.map(|api| node.api(api));
            let answer = if let Some(timeout) = job_timeout(command) {
                Either::Left(node.job_within(rendered.command, timeout))
            } else {
                Either::Right(node.api(rendered.command))
            };
            (before, answer, rendered.after.map(|api| node.api(api)))
        })),
    };
    let form = match command.action {
        SwitchAction::Control(RoomControl::MaxMembers(_)) => AnswerForm::Number,
        SwitchAction::SetLevel { .. } => AnswerForm::Level,
        _ => AnswerForm::Ok,
    };
    async move {
        match sent {
            Either::Left(step) => step.await.map(|()| String::new()),
            Either::Right(Ok((before, answer, after))) => {
                if let Some(before) = before {
                    before.await?.ok().map_err(command_error)?;
                }
                let answer = answer.await?;
                let answer = match form {
                    AnswerForm::Ok => answer.ok(),
                    AnswerForm::Number => answer.ok_or_number(),
                    AnswerForm::Level => answer.ok_or_level(),
                };
                let answer = answer.map_err(command_error);
                if let Some(after) = after {
                    // The answer of the command itself decides.
                    let _answered = after.await;
                }
                answer
            }
            Either::Right(Err(unfit)) => Err(CommandError::Refused(unfit.to_string())),
        }
    }
}

/// Sends the three commands of a step. All are queued before this returns.
fn send_step(
    call: CallId,
    id: StepId,
    step: &Step,
    settings: &CommandSettings,
    node: &NodeHandle,
) -> impl Future<Output = Result<(), CommandError>> + use<> {
    let speaks = !step.speaks() || node.status().speaks;
    let commands = if speaks {
        let rendered = render::step(call, id, step, settings);
        rendered.map_err(|unfit| CommandError::Refused(unfit.to_string()))
    } else {
        Err(CommandError::Refused(
            "the node has no speech engine".to_owned(),
        ))
    };
    let sent = commands.map(|commands| {
        let noted = node.api(commands.note);
        let executed = node.command(commands.execute);
        let marked = node.command(commands.mark);
        (noted, executed, marked)
    });
    async move {
        let (noted, executed, marked) = sent?;
        noted.await?.ok().map_err(command_error)?;
        executed.await?;
        marked.await
    }
}

/// Returns the timeout of a command that runs as a job, because FreeSWITCH fetches a file or waits for the callee before
/// it answers.
fn job_timeout(command: &SwitchCommand) -> Option<Duration> {
    match &command.action {
        SwitchAction::Play(play) if play.opens_file() => Some(OPENING),
        SwitchAction::Dial { request, .. } => Some(request.timeout() + DIAL_GRACE),
        _ => None,
    }
}

/// Returns true for a command whose answer can take minutes. Nobody waits for it when the program ends.
pub(super) const fn may_take_minutes(command: &SwitchCommand) -> bool {
    matches!(command.action, SwitchAction::Dial { .. })
}

/// Returns true if the answer to the command changes the node state.
pub(super) const fn answer_has_content(command: &SwitchCommand) -> bool {
    match &command.action {
        SwitchAction::Play(play) => {
            matches!(play, PlayCommand::Start { .. } | PlayCommand::Toggle { .. })
        }
        // No event confirms the pause of a member's recording.
        SwitchAction::Record { action, .. } => {
            matches!(command.target, Target::Member { .. })
                && matches!(action, RecordAction::Pause | RecordAction::Resume)
        }
        SwitchAction::Dial { .. } => true,
        _ => false,
    }
}

/// The result of a command for the caller who waits for it.
pub(super) fn caller_result(
    command: &SwitchCommand,
    answer: &Result<String, CommandError>,
) -> Result<(), IntentError> {
    let Err(error) = answer else {
        return Ok(());
    };
    // The conference has ended: the request holds without it, and for the next one.
    if matches!(
        (&command.action, error),
        (
            SwitchAction::SetLock { .. } | SwitchAction::Describe { .. } | SwitchAction::Control(_),
            CommandError::NoSuchChannel
        )
    ) {
        return Ok(());
    }
    let play = if let SwitchAction::Play(play) = &command.action {
        Some(play)
    } else {
        None
    };
    match (play, error) {
        // FreeSWITCH does not answer a pause while nothing plays.
        (
            Some(PlayCommand::Toggle { .. }),
            CommandError::Refused(_) | CommandError::NoSuchChannel,
        ) => Err(Refusal::NothingPlaying.into()),
        // Nothing plays: the command for the next file has the volume with its path.
        (
            Some(PlayCommand::Volume { .. }),
            CommandError::Refused(_) | CommandError::NoSuchChannel,
        )
        | (Some(PlayCommand::Stop), CommandError::NoSuchChannel) => Ok(()),
        (Some(_) | None, error) => Err(error.clone().into()),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use roomkeeper_core::entity::Target;
    use roomkeeper_core::ids::OperationId;
    use roomkeeper_core::play_url::PlayUrl;
    use roomkeeper_core::room::{Details, FileId, Kind, Origin, Registration};
    use roomkeeper_core::time::Timestamp;

    use super::*;

    fn play_commands() -> [PlayCommand; 4] {
        [
            PlayCommand::Start {
                file: FileId {
                    operation: OperationId::new(Uuid::nil()),
                    index: 0,
                },
                media: PlayUrl::new("http://1.1.1.1/a").unwrap().into(),
                volume: 0,
            },
            PlayCommand::Toggle { command_uid: None },
            PlayCommand::Stop,
            PlayCommand::Volume { volume: 1 },
        ]
    }

    /// The callers' results of these commands after this error; `None` is success.
    fn results(error: &CommandError) -> Vec<Option<IntentError>> {
        let room = "acW68-room-550e8400-e29b-41d4-a716-446655440000";
        play_commands()
            .into_iter()
            .map(|command| {
                let target = Target::Room(room.parse().unwrap());
                let command = SwitchCommand::new(target, SwitchAction::Play(command));
                assert!(caller_result(&command, &Ok(String::new())).is_ok());
                caller_result(&command, &Err(error.clone())).err()
            })
            .collect()
    }

    #[test]
    fn lock_and_settings_need_no_conference() {
        let room = "acW68-room-550e8400-e29b-41d4-a716-446655440000";
        let registration = Box::new(Registration {
            app: "demo".parse().unwrap(),
            name: "standup".to_owned(),
            origin: Origin::Gateway,
            created_at: Timestamp::from_millis(1),
            kind: Kind::Conference,
            details: Details::default(),
        });
        for action in [
            SwitchAction::SetLock { locked: true },
            SwitchAction::Describe { registration },
            SwitchAction::Control(RoomControl::MaxMembers(2)),
        ] {
            let command = SwitchCommand::new(Target::Room(room.parse().unwrap()), action);
            let result = |error| caller_result(&command, &Err(error));
            assert!(result(CommandError::NoSuchChannel).is_ok());
            assert!(result(CommandError::Unknown).is_err());
        }
    }

    #[test]
    fn play_errors_have_their_results() {
        let refused = CommandError::Refused("no reply".to_owned());
        let down = CommandError::Down {
            retry_after: Duration::from_secs(1),
        };
        let nothing = || IntentError::from(Refusal::NothingPlaying);
        let same = |error: &CommandError| Some(IntentError::from(error.clone()));
        for (error, expected) in [
            // FreeSWITCH has no conference without members, and no file to pause: nothing plays.
            (
                CommandError::NoSuchChannel,
                [
                    same(&CommandError::NoSuchChannel),
                    Some(nothing()),
                    None,
                    None,
                ],
            ),
            (
                refused.clone(),
                [same(&refused), Some(nothing()), same(&refused), None],
            ),
            (down.clone(), std::array::from_fn(|_| same(&down))),
            (
                CommandError::Busy,
                std::array::from_fn(|_| same(&CommandError::Busy)),
            ),
            (
                CommandError::Unknown,
                std::array::from_fn(|_| same(&CommandError::Unknown)),
            ),
        ] {
            // Errors of the store are not comparable, so the test compares texts.
            let words = |results: &[Option<IntentError>]| format!("{results:?}");
            assert_eq!(words(&results(&error)), words(&expected), "{error}");
        }
    }
}
