//! Supervises the connections of one node, each in its own task.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::clock;
use crate::supervise::{ShutdownPhase, supervise};
use crate::telemetry as names;
use freeswitch_esl::CONFERENCE_SUBCLASS;
use freeswitch_esl::command::{
    Api, Command, EventFormat, EventName, JobPrefix, ModuleName, Subclass, Unfit,
};
use freeswitch_esl::{Event, EventKind};
use roomkeeper_core::ids::NodeId;

use super::backoff::Backoff;
use super::connection::{self, ConnectionEvent, ConnectionSettings, EndReason, ExpectedMessages};
use super::handle::{ConnectionStatus, NodeHandle, Request, Vitals, WantedEvents};
use super::link_log::LinkLog;
use super::meters::EventMeters;
use super::{CommandError, EventSink, FENCE_SUBCLASS, Link, NodeConfig};

/// Commands that may wait to be written. A connection has 1,024 in flight; as many again may queue for the milliseconds
/// until one is answered. If more wait, the node does not keep up.
const COMMAND_QUEUE: usize = 1_024;

/// Fences that may wait: a resync has one at a time.
const FENCE_QUEUE: usize = 8;

/// After a connection of this duration, the next one is opened without a long pause.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// The subscribed events, besides those of conferences and fences.
pub const EVENTS: [&str; 14] = [
    "CHANNEL_CREATE",
    "CHANNEL_PROGRESS",
    "CHANNEL_PROGRESS_MEDIA",
    "CHANNEL_ANSWER",
    "CHANNEL_PARK",
    "CHANNEL_EXECUTE_COMPLETE",
    "CHANNEL_HANGUP",
    "CHANNEL_DESTROY",
    "MEDIA_BUG_START",
    "CHANNEL_BRIDGE",
    "RECORD_START",
    "RECORD_STOP",
    "HEARTBEAT",
    "SHUTDOWN",
];

/// The event of each digit, which is subscribed while an app wants it.
const DIGIT_EVENT: &str = "DTMF";

/// Starts both supervisors. They end with their phase.
///
/// # Errors
/// Fails if a constant of this file cannot be sent, which is a bug.
pub fn start(
    config: NodeConfig,
    sink: impl EventSink,
    phase: &ShutdownPhase,
) -> Result<NodeHandle, Unfit> {
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
    let (fences, fence_queue) = mpsc::channel(FENCE_QUEUE);
    let (wanted, events_wanted) = watch::channel(WantedEvents::default());
    let (status, status_seen) = watch::channel(ConnectionStatus {
        commands: Link::Connecting,
        events: None,
        connections: 0,
        failed_once: false,
        vitals: Vitals::default(),
        speaks: false,
    });
    let handle = NodeHandle {
        id: config.id,
        timing: config.timing,
        commands,
        fences,
        status: status_seen,
        wanted,
    };
    // Unique for each run, so that results of another run's jobs are not taken for ours. It is no secret.
    let run = Uuid::new_v4().simple().to_string();
    let jobs = JobPrefix::new(format!("rk{}", run.get(..12).unwrap_or(&run)))?;
    let command_sent = Arc::new(Notify::new());
    let log = Arc::new(LinkLog::new(config.id, config.address.clone()));
    let supervisor = |setup: Vec<Command>| ConnectionSupervisor {
        config: config.clone(),
        log: Arc::clone(&log),
        command_sent: Arc::clone(&command_sent),
        setup,
        jobs: jobs.clone(),
        status: status.clone(),
        stop: phase.stop().clone(),
    };
    let commands = supervisor(command_setup(&jobs)?);
    let events = supervisor(event_setup()?);
    phase.spawn(look_for_speech(
        handle.clone(),
        config.speech_module.clone(),
        status.clone(),
        phase.stop().clone(),
    ));
    let node = handle.id.to_string();
    phase.spawn(async move {
        let stop = commands.stop.clone();
        let state = (commands, command_queue);
        supervise(
            "command_connection",
            &node,
            &stop,
            state,
            |(supervisor, queue)| Box::pin(run_command_connection(supervisor, queue)),
        )
        .await;
    });
    let node = handle.id.to_string();
    phase.spawn(async move {
        let stop = events.stop.clone();
        let state = (events, fence_queue, events_wanted, sink);
        supervise(
            "event_connection",
            &node,
            &stop,
            state,
            |(supervisor, fences, wanted, sink)| {
                Box::pin(run_event_connection(supervisor, fences, wanted, sink))
            },
        )
        .await;
    });
    phase.spawn(report_status(handle.id, handle.watch()));
    Ok(handle)
}

/// The subscription of the command connection: the results of its own jobs.
fn command_setup(jobs: &JobPrefix) -> Result<Vec<Command>, Unfit> {
    Ok(vec![
        Command::Subscribe {
            format: EventFormat::Plain,
            names: vec![EventName::new("BACKGROUND_JOB")?],
            subclasses: Vec::new(),
        },
        Command::FilterJobs(jobs.clone()),
    ])
}

/// The subscription of the event connection.
fn event_setup() -> Result<Vec<Command>, Unfit> {
    let names = EVENTS.iter().map(|name| EventName::new(*name));
    Ok(vec![Command::Subscribe {
        format: EventFormat::Plain,
        names: names.collect::<Result<_, _>>()?,
        subclasses: vec![
            Subclass::new(CONFERENCE_SUBCLASS)?,
            Subclass::new(FENCE_SUBCLASS)?,
        ],
    }])
}

/// Updates the metric of the node's connections. Ends with the supervisors, which hold the sender.
async fn report_status(node: NodeId, mut status: watch::Receiver<ConnectionStatus>) {
    loop {
        let is_up = {
            let status = status.borrow_and_update();
            status.commands == Link::Up && matches!(status.events, None | Some(Link::Up))
        };
        metrics::gauge!(names::NODE_UP, "node" => node.to_string()).set(f64::from(u8::from(is_up)));
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Checks after each connect for the speech module, because the node's modules may have changed.
async fn look_for_speech(
    node: NodeHandle,
    module: ModuleName,
    status: watch::Sender<ConnectionStatus>,
    stop: CancellationToken,
) {
    let mut seen = node.watch();
    let mut stood = false;
    loop {
        let stands = seen.borrow_and_update().commands == Link::Up;
        if stands && !stood {
            match node.api(Api::ModuleExists(module.clone())).await {
                Ok(answer) => {
                    let speaks = answer.bool() == Ok(true);
                    status.send_if_modified(|s| std::mem::replace(&mut s.speaks, speaks) != speaks);
                }
                // The connection ended; the next one checks again.
                Err(error) => {
                    tracing::debug!(node.id = %node.id(), %error, "cannot check for the node's speech module");
                }
            }
        }
        stood = stands;
        // This task holds both ends of the status, so only `stop` ends it.
        tokio::select! {
            Ok(()) = seen.changed() => {}
            () = stop.cancelled() => return,
        }
    }
}

struct ConnectionSupervisor {
    config: NodeConfig,
    /// Shared by both connections.
    log: Arc<LinkLog>,
    /// The command connection's notification to the event connection that events will follow.
    command_sent: Arc<Notify>,
    setup: Vec<Command>,
    jobs: JobPrefix,
    status: watch::Sender<ConnectionStatus>,
    stop: CancellationToken,
}

async fn run_command_connection(
    supervisor: &ConnectionSupervisor,
    queue: &mut mpsc::Receiver<Request>,
) {
    let timing = supervisor.config.timing;
    // After a restart of this task there is no connection yet.
    supervisor
        .status
        .send_modify(|s| s.commands = Link::Connecting);
    let mut backoff = Backoff::new(timing.retry_min, timing.retry_max);
    loop {
        let mut since = None;
        let status = supervisor.status.clone();
        let mut on_event = |event: ConnectionEvent<'_>| match event {
            ConnectionEvent::Ready => {
                since = Some(Instant::now());
                status.send_modify(|s| s.commands = Link::Up);
                supervisor.log_if_up();
            }
            ConnectionEvent::Event(_) => {}
        };
        let settings = ConnectionSettings {
            setup: supervisor.setup.clone(),
            jobs: supervisor.jobs.clone(),
            silence: None,
            ping: Some(timing.ping),
            timeout: timing.command,
            nudge: supervisor.config.nudge.for_jobs(),
            expected: ExpectedMessages::Jobs(Arc::clone(&supervisor.command_sent)),
            node: supervisor.config.id,
            on_event: &mut on_event,
        };
        let ended = supervisor.connect(settings, queue, &supervisor.stop).await;
        if since.is_some_and(|s| s.elapsed() > STABLE_AFTER) {
            backoff.reset();
        }
        let Some((reason, wait)) = supervisor.after(ended, &mut backoff, "command") else {
            return;
        };
        supervisor.status.send_modify(|s| {
            s.failed_once = true;
            s.commands = Link::Down {
                reason,
                retry_after: wait,
            };
        });
        if !supervisor.wait_out(wait, queue).await {
            return;
        }
    }
}

async fn run_event_connection(
    supervisor: &ConnectionSupervisor,
    fences: &mut mpsc::Receiver<Request>,
    wanted: &mut watch::Receiver<WantedEvents>,
    sink: &mut impl EventSink,
) {
    supervisor.status.send_modify(|s| s.events = None);
    let timing = supervisor.config.timing;
    let mut meters = EventMeters::new(supervisor.config.id);
    let mut backoff = Backoff::new(timing.retry_min, timing.retry_max);
    loop {
        tokio::select! {
            () = supervisor.stop.cancelled() => return,
            changed = wanted.wait_for(|w| w.any) => if changed.is_err() { return },
        }
        supervisor
            .status
            .send_modify(|s| _ = s.events.get_or_insert(Link::Connecting));
        let (ended, since) = receive_events(supervisor, fences, wanted, sink, &mut meters).await;
        if since.is_some_and(|s| s.elapsed() > STABLE_AFTER) {
            backoff.reset();
        }
        if ended == EndReason::Stopped && !supervisor.stop.is_cancelled() {
            supervisor.status.send_modify(|s| s.events = None);
            supervisor.log_if_up();
            continue;
        }
        let Some((reason, wait)) = supervisor.after(ended, &mut backoff, "event") else {
            return;
        };
        supervisor.status.send_modify(|s| {
            s.failed_once = true;
            s.events = Some(Link::Down {
                reason,
                retry_after: wait,
            });
        });
        if !supervisor.wait_out(wait, fences).await {
            return;
        }
    }
}

/// Runs one event connection until it ends or is no longer wanted. Returns why it ended, and since when it was up.
async fn receive_events(
    supervisor: &ConnectionSupervisor,
    fences: &mut mpsc::Receiver<Request>,
    wanted: &mut watch::Receiver<WantedEvents>,
    sink: &mut impl EventSink,
    meters: &mut EventMeters,
) -> (EndReason, Option<Instant>) {
    let subscribed = *wanted.borrow_and_update();
    let mut setup = supervisor.setup.clone();
    if subscribed.digits
        && let Some(Command::Subscribe { names, .. }) = setup.first_mut()
    {
        names.extend(EventName::new(DIGIT_EVENT));
    }
    let unwanted = supervisor.stop.child_token();
    let mut since = None;
    let status = supervisor.status.clone();
    let mut on_event = |event: ConnectionEvent<'_>| match event {
        ConnectionEvent::Ready => {
            since = Some(Instant::now());
            status.send_modify(|s| {
                s.events = Some(Link::Up);
                s.connections += 1;
            });
            supervisor.log_if_up();
            sink.up();
        }
        ConnectionEvent::Event(event) => {
            let kind = event.kind();
            meters.count(&kind);
            if kind == EventKind::Heartbeat {
                status.send_modify(|s| s.vitals = vitals(event));
            }
            sink.event(event);
        }
    };
    let timing = supervisor.config.timing;
    let settings = ConnectionSettings {
        setup,
        jobs: supervisor.jobs.clone(),
        silence: Some(timing.silence),
        ping: None,
        timeout: timing.command,
        nudge: supervisor.config.nudge,
        expected: ExpectedMessages::Events(Arc::clone(&supervisor.command_sent)),
        node: supervisor.config.id,
        on_event: &mut on_event,
    };
    let ended = {
        let connection = supervisor.connect(settings, fences, &unwanted);
        tokio::pin!(connection);
        tokio::select! {
            ended = &mut connection => ended,
            () = until_unwanted(wanted, subscribed) => {
                unwanted.cancel();
                connection.await
            }
        }
    };
    if since.is_some() {
        sink.down();
    }
    (ended, since)
}

/// Waits until other events are needed than the subscribed ones, or all handles of the node are dropped.
async fn until_unwanted(wanted: &mut watch::Receiver<WantedEvents>, subscribed: WantedEvents) {
    let _end = wanted.wait_for(|w| *w != subscribed).await;
}

fn vitals(event: &Event) -> Vitals {
    Vitals {
        calls: event.session_count().map_or(0, u64::from),
        max_calls: event.max_sessions().map_or(0, u64::from),
        last_heard: Some(clock::now()),
    }
}

impl ConnectionSupervisor {
    /// Logs that the node is up, if all its wanted connections are.
    fn log_if_up(&self) {
        if self.status.borrow().link() == Link::Up {
            self.log.note_up();
        }
    }

    async fn connect(
        &self,
        settings: ConnectionSettings<'_>,
        queue: &mut mpsc::Receiver<Request>,
        stop: &CancellationToken,
    ) -> EndReason {
        let connecting = tokio::time::timeout(
            self.config.timing.connect,
            TcpStream::connect(&self.config.address),
        );
        let stream = tokio::select! {
            () = stop.cancelled() => return EndReason::Stopped,
            connected = connecting => match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return EndReason::Lost(error.to_string()),
                Err(_) => return EndReason::Lost(format!(
                    "no connection within {:?}",
                    self.config.timing.connect
                )),
            },
        };
        connection::run(stream, self.config.password.clone(), settings, queue, stop).await
    }

    /// Waits before reconnecting. Callers in the meantime receive an error with the remaining time. Returns false if the
    /// program stops.
    async fn wait_out(&self, wait: Duration, queue: &mut mpsc::Receiver<Request>) -> bool {
        let until = Instant::now() + wait;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                () = tokio::time::sleep_until(until) => return true,
                request = queue.recv() => match request {
                    Some(request) => {
                        let retry_after = until.saturating_duration_since(Instant::now());
                        let _gone = request.reply.send(Err(CommandError::Down { retry_after }));
                    }
                    None => return false,
                },
            }
        }
    }

    /// Logs the end of a connection. Returns the reason and the pause before reconnecting; `None` if the program stops.
    fn after(
        &self,
        ended: EndReason,
        backoff: &mut Backoff,
        which: &'static str,
    ) -> Option<(String, Duration)> {
        let (reason, wait) = match ended {
            EndReason::Stopped => return None,
            EndReason::Lost(reason) => (reason, backoff.next(rand::random())),
            EndReason::Refused(reason) => (reason, self.config.timing.retry_refused),
        };
        metrics::counter!(names::ESL_RECONNECTS, "node" => self.config.id.to_string(), "connection" => which)
            .increment(1);
        self.log.note_down(which, &reason);
        Some((reason, wait))
    }
}
