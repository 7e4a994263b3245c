//! The handle of a node, through which other modules send commands and read its status.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;
use tracing::field::Empty;

use crate::telemetry as names;
use crate::telemetry::trace::child_span;
use freeswitch_esl::command::{Api, Command, HeaderName, Line, Subclass};
use freeswitch_esl::{ApiFailure, ApiReply, CommandReply};
use roomkeeper_core::ids::NodeId;
use roomkeeper_core::time::Timestamp;

use super::{CommandError, FENCE_HEADER, FENCE_SUBCLASS, Link, Timing};

/// The answer to a command.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Api(ApiReply),
    Command(CommandReply),
}

/// A command to send. The connection chooses the id of a job.
#[derive(Clone, Debug)]
pub(super) enum OutgoingCommand {
    Command(Command),
    Job(Api),
}

impl OutgoingCommand {
    /// The command's first word, which never contains a tenant's data.
    fn name(&self) -> String {
        let text = match self {
            Self::Command(Command::Api(api)) | Self::Job(api) => api.to_string(),
            Self::Command(command) => command.to_string(),
        };
        text.split([' ', '\n'])
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

/// One command on its way to a connection.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) command: OutgoingCommand,
    pub(super) timeout: Duration,
    pub(super) reply: oneshot::Sender<Result<Answer, CommandError>>,
    /// The span of the request that caused the command.
    pub(super) span: Span,
}

/// The status of the connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectionStatus {
    /// The command connection.
    pub commands: Link,
    /// The event connection; `None` while this replica does not need it.
    pub events: Option<Link>,
    /// The number of event connections so far.
    pub connections: u64,
    /// An attempt to connect has failed.
    pub failed_once: bool,
    /// The values of the last HEARTBEAT.
    pub vitals: Vitals,
    /// The node has a module that speaks texts.
    pub speaks: bool,
}

impl ConnectionStatus {
    /// The status of the worse connection.
    pub fn link(&self) -> Link {
        match (&self.commands, &self.events) {
            (Link::Up, None | Some(Link::Up)) => Link::Up,
            (Link::Down { .. }, _) | (Link::Connecting, None) => self.commands.clone(),
            (_, Some(events)) => events.clone(),
        }
    }
}

/// The values of a HEARTBEAT.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vitals {
    /// `Session-Count`.
    pub calls: u64,
    /// `Max-Sessions`.
    pub max_calls: u64,
    /// The time of the last HEARTBEAT.
    pub last_heard: Option<Timestamp>,
}

/// A node's handle.
#[derive(Clone, Debug)]
pub struct NodeHandle {
    pub(super) id: NodeId,
    pub(super) timing: Timing,
    pub(super) commands: mpsc::Sender<Request>,
    pub(super) fences: mpsc::Sender<Request>,
    pub(super) status: watch::Receiver<ConnectionStatus>,
    pub(super) want_events: watch::Sender<bool>,
}

impl NodeHandle {
    /// The node.
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// The number of commands that wait to be sent.
    pub fn waiting(&self) -> usize {
        self.commands.max_capacity() - self.commands.capacity()
    }

    /// The status of its connections.
    pub fn status(&self) -> ConnectionStatus {
        self.status.borrow().clone()
    }

    /// The status of its worse connection.
    pub fn link(&self) -> Link {
        self.status.borrow().link()
    }

    /// ConnectionEvent whenever that changes.
    pub fn watch(&self) -> watch::Receiver<ConnectionStatus> {
        self.status.clone()
    }

    /// Opens or closes the event connection, which only the node's owner needs.
    pub fn want_events(&self, wanted: bool) {
        self.want_events.send_if_modified(|w| {
            let changed = *w != wanted;
            *w = wanted;
            changed
        });
    }

    /// The time until the next attempt to connect, if commands cannot be sent now.
    pub fn down_for(&self) -> Option<Duration> {
        match &self.status.borrow().commands {
            Link::Up => None,
            Link::Down { retry_after, .. } => Some(*retry_after),
            Link::Connecting => Some(Duration::from_secs(1)),
        }
    }

    /// Runs an API command that FreeSWITCH answers immediately. It is queued before this returns, so commands are sent in
    /// the order of the calls.
    pub fn api(&self, api: Api) -> impl Future<Output = Result<ApiReply, CommandError>> + use<> {
        let command = OutgoingCommand::Command(Command::Api(api));
        let sent = self.send(&self.commands, command, self.timing.command);
        async move { expect_api(sent?.await) }
    }

    /// Sends a command whose answer has no content. It is queued before this returns, like [`NodeHandle::api`].
    pub fn command(
        &self,
        command: Command,
    ) -> impl Future<Output = Result<(), CommandError>> + use<> {
        let sent = self.send(
            &self.commands,
            OutgoingCommand::Command(command),
            self.timing.command,
        );
        async move { expect_command(sent?.await) }
    }

    /// Runs a slow API command in the background; the answer is the job's result.
    pub fn job(&self, api: Api) -> impl Future<Output = Result<ApiReply, CommandError>> + use<> {
        self.job_within(api, self.timing.job)
    }

    /// Runs a background job like [`NodeHandle::job`], with another timeout.
    pub fn job_within(
        &self,
        api: Api,
        timeout: Duration,
    ) -> impl Future<Output = Result<ApiReply, CommandError>> + use<> {
        let sent = self.send(&self.commands, OutgoingCommand::Job(api), timeout);
        async move { expect_api(sent?.await) }
    }

    /// Sends a fence on the event connection; it comes back there as an event.
    pub fn fence(&self, token: u64) -> impl Future<Output = Result<(), CommandError>> + use<> {
        let command = fence(token);
        let sent = command.and_then(|command| {
            self.send(
                &self.fences,
                OutgoingCommand::Command(command),
                self.timing.command,
            )
        });
        async move { expect_command(sent?.await) }
    }

    fn send(
        &self,
        queue: &mpsc::Sender<Request>,
        command: OutgoingCommand,
        timeout: Duration,
    ) -> Result<oneshot::Receiver<Result<Answer, CommandError>>, CommandError> {
        let (reply, answer) = oneshot::channel();
        let span = child_span!(
            "command",
            otel.kind = "client",
            node.id = %self.id,
            command = command.name(),
            outcome = Empty
        );
        queue
            .try_send(Request {
                command,
                timeout,
                reply,
                span,
            })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    let node = self.id.to_string();
                    metrics::counter!(names::NODE_BUSY, "node" => node, "queue" => "commands")
                        .increment(1);
                    CommandError::Busy
                }
                // The program is stopping.
                mpsc::error::TrySendError::Closed(_) => CommandError::Down {
                    retry_after: Duration::from_secs(1),
                },
            })?;
        Ok(answer)
    }
}

fn fence(token: u64) -> Result<Command, CommandError> {
    let unfit = |e: freeswitch_esl::command::Unfit| CommandError::Refused(e.to_string());
    Ok(Command::SendEvent {
        subclass: Subclass::new(FENCE_SUBCLASS).map_err(unfit)?,
        headers: vec![(
            HeaderName::new(FENCE_HEADER).map_err(unfit)?,
            Line::new(token.to_string()).map_err(unfit)?,
        )],
    })
}

fn expect_command(
    answer: Result<Result<Answer, CommandError>, oneshot::error::RecvError>,
) -> Result<(), CommandError> {
    match answer {
        Ok(Ok(Answer::Command(CommandReply::Ok(_)))) => Ok(()),
        Ok(Ok(Answer::Command(CommandReply::Err(text)))) => {
            Err(command_error(ApiFailure::Refused(text)))
        }
        Ok(Ok(Answer::Api(_))) | Err(_) => Err(CommandError::Unknown),
        Ok(Err(error)) => Err(error),
    }
}

fn expect_api(
    answer: Result<Result<Answer, CommandError>, oneshot::error::RecvError>,
) -> Result<ApiReply, CommandError> {
    match answer {
        Ok(Ok(Answer::Api(reply))) => Ok(reply),
        // `api` and `bgapi` are answered by a command/reply only to refuse them.
        Ok(Ok(Answer::Command(CommandReply::Ok(text) | CommandReply::Err(text)))) => {
            Err(CommandError::Refused(text))
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(CommandError::Unknown),
    }
}

/// Classifies FreeSWITCH's refusals and recognizes an unknown call or member. The texts are those of 1.11.2, from
/// `uuid_transfer`, `uuid_kill`; `uuid_answer`; a member; the conference of a member; `sendmsg`.
pub fn command_error(failure: ApiFailure) -> CommandError {
    match failure {
        ApiFailure::Refused(text)
            if text.starts_with("No such channel")
                || text.starts_with("Cannot locate session")
                || text.starts_with("invalid session id")
                || text == "ERROR"
                || text.starts_with("Non-Existant")
                || (text.starts_with("Member: ") && text.ends_with(" not found."))
                || (text.starts_with("Conference ") && text.ends_with(" not found")) =>
        {
            CommandError::NoSuchChannel
        }
        ApiFailure::Refused(text) | ApiFailure::Unrecognised(text) => CommandError::Refused(text),
        ApiFailure::NoReply => CommandError::Refused("no reply".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn sorted(body: &'static str) -> CommandError {
        let failure = ApiReply::parse(Bytes::from_static(body.as_bytes()))
            .ok()
            .unwrap_err();
        command_error(failure)
    }

    #[tokio::test]
    async fn command_beyond_queue_limit_is_refused_and_counted() {
        let (commands, _queue) = mpsc::channel(1);
        let (fences, _) = mpsc::channel(1);
        let (_, status) = watch::channel(ConnectionStatus {
            commands: Link::Up,
            events: None,
            connections: 0,
            failed_once: false,
            speaks: false,
            vitals: Vitals::default(),
        });
        let handle = NodeHandle {
            id: "acW68".parse().unwrap(),
            timing: Timing::default(),
            commands,
            fences,
            status,
            want_events: watch::channel(false).0,
        };
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let refused = metrics::with_local_recorder(&recorder, || {
            let _waits = handle.api(Api::ConferenceList);
            handle.job(Api::ConferenceList)
        });
        assert_eq!(refused.await.err(), Some(CommandError::Busy));
        let page = recorder.handle().render();
        let counted = "roomkeeper_node_busy_total{node=\"acW68\",queue=\"commands\"} 1";
        assert!(page.contains(counted), "{page}");
    }

    #[test]
    fn refusal_without_text_says_so() {
        let refused = sorted("-ERR\n").to_string();
        assert_eq!(refused, "FreeSWITCH refused without a reason");
        let refused = sorted("-ERR Locked\n").to_string();
        assert_eq!(refused, "FreeSWITCH refused: Locked");
    }

    #[test]
    fn unknown_call_is_distinguished_from_other_refusals() {
        for body in [
            "-ERR No such channel!\n",
            "-ERROR\n",
            "-ERR Cannot locate session!\n",
            "-ERR Non-Existant member\n",
            "-ERR Non-Existant ID 99\n",
            "-ERR invalid session id [550e8400-e29b-41d4-a716-446655440000]\n",
            "-ERR Conference acW68-room-x not found\n",
        ] {
            assert_eq!(sorted(body), CommandError::NoSuchChannel, "{body}");
        }
        for body in ["-ERR no reply\n", "-USAGE: <uuid>\n", "-ERR Locked\n"] {
            assert!(matches!(sorted(body), CommandError::Refused(_)), "{body}");
        }
    }
}
