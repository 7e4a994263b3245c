//! Keeps the connections of one node up: one task each.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::esl::CONFERENCE_SUBCLASS;
use crate::esl::command::{
    Api, Command, EventFormat, EventName, JobPrefix, ModuleName, Subclass, Unfit,
};
use crate::esl::{Event, EventKind};
use crate::supervise::{Stage, keep};
use crate::telemetry as names;
use crate::time::Timestamp;

use super::backoff::Backoff;
use super::connection::{self, Ended, Expects, Purpose, Told};
use super::handle::{NodeHandle, NodeStatus, Request, Vitals};
use super::meters::EventMeters;
use super::{CommandError, EventSink, FENCE_SUBCLASS, Link, NodeConfig};

/// Commands that may wait to be written. A connection takes 1,024 in flight; as many again may queue for the
/// milliseconds until one is answered, more is a node that does not keep up.
const COMMAND_QUEUE: usize = 1_024;

/// Fences that may wait: a resync has one at a time.
const FENCE_QUEUE: usize = 8;

/// A connection that stood this long was a good one: the next one is made without a long wait.
const GOOD: Duration = Duration::from_secs(10);

/// The events that rooms and calls are known by, besides those of conferences and our own.
pub const EVENTS: [&str; 8] = [
    "CHANNEL_CREATE",
    "CHANNEL_ANSWER",
    "CHANNEL_PARK",
    "CHANNEL_EXECUTE_COMPLETE",
    "CHANNEL_HANGUP",
    "CHANNEL_DESTROY",
    "HEARTBEAT",
    "SHUTDOWN",
];

/// Starts both supervisors. They end with their stage.
///
/// # Errors
/// When a constant of this file is not fit to be sent, which is a mistake of ours.
pub fn start(config: NodeConfig, sink: impl EventSink, stage: &Stage) -> Result<NodeHandle, Unfit> {
    let (commands, command_queue) = mpsc::channel(COMMAND_QUEUE);
    let (fences, fence_queue) = mpsc::channel(FENCE_QUEUE);
    let (want_events, events_wanted) = watch::channel(false);
    let (status, status_seen) = watch::channel(NodeStatus {
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
        want_events,
    };
    // Unguessable enough to tell this run's jobs from another's; it is no secret.
    let run = Uuid::new_v4().simple().to_string();
    let jobs = JobPrefix::new(format!("rk{}", run.get(..12).unwrap_or(&run)))?;
    let command_setup = vec![
        Command::Subscribe {
            format: EventFormat::Plain,
            names: vec![EventName::new("BACKGROUND_JOB")?],
            subclasses: Vec::new(),
        },
        Command::FilterJobs(jobs.clone()),
    ];
    let event_setup = vec![Command::Subscribe {
        format: EventFormat::Plain,
        names: EVENTS
            .iter()
            .map(|name| EventName::new(*name))
            .collect::<Result<_, _>>()?,
        subclasses: vec![
            Subclass::new(CONFERENCE_SUBCLASS)?,
            Subclass::new(FENCE_SUBCLASS)?,
        ],
    }];
    stage.spawn(look_for_speech(
        handle.clone(),
        config.speech_module.clone(),
        status.clone(),
        stage.stop().clone(),
    ));
    let label = handle.id.to_string();
    let commanded = Arc::new(Notify::new());
    let commands = Keeper {
        config: config.clone(),
        commanded: Arc::clone(&commanded),
        setup: command_setup,
        jobs: jobs.clone(),
        status: status.clone(),
        stop: stage.stop().clone(),
    };
    let events = Keeper {
        config,
        commanded,
        setup: event_setup,
        jobs,
        status,
        stop: stage.stop().clone(),
    };
    let of = label.clone();
    stage.spawn(async move {
        let stop = commands.stop.clone();
        let state = (commands, command_queue);
        keep(
            "command_connection",
            &of,
            &stop,
            state,
            |(keeper, queue)| Box::pin(keep_commands(keeper, queue)),
        )
        .await;
    });
    let of = label.clone();
    stage.spawn(async move {
        let stop = events.stop.clone();
        let state = (events, fence_queue, events_wanted, sink);
        keep(
            "event_connection",
            &of,
            &stop,
            state,
            |(keeper, fences, wanted, sink)| Box::pin(keep_events(keeper, fences, wanted, sink)),
        )
        .await;
    });
    let mut seen = handle.watch();
    stage.spawn(async move {
        // Ends with the supervisors, who hold the other end.
        loop {
            let up = {
                let status = seen.borrow_and_update();
                status.commands == Link::Up && matches!(status.events, None | Some(Link::Up))
            };
            metrics::gauge!(names::NODE_UP, "node" => label.clone()).set(f64::from(u8::from(up)));
            if seen.changed().await.is_err() {
                return;
            }
        }
    });
    Ok(handle)
}

/// Whether a node can speak is asked of it whenever it is reached: its modules may have changed meanwhile.
async fn look_for_speech(
    node: NodeHandle,
    module: ModuleName,
    status: watch::Sender<NodeStatus>,
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
                // It is gone again, and is asked when it is back.
                Err(error) => {
                    tracing::debug!(node.id = %node.id(), %error, "whether the node can speak is not known");
                }
            }
        }
        stood = stands;
        // It holds both ends of the status itself, so only this ends it.
        tokio::select! {
            Ok(()) = seen.changed() => {}
            () = stop.cancelled() => return,
        }
    }
}

struct Keeper {
    config: NodeConfig,
    /// By the command connection to the event connection: events will follow.
    commanded: Arc<Notify>,
    setup: Vec<Command>,
    jobs: JobPrefix,
    status: watch::Sender<NodeStatus>,
    stop: CancellationToken,
}

async fn keep_commands(keeper: &Keeper, queue: &mut mpsc::Receiver<Request>) {
    let timing = keeper.config.timing;
    // Begun anew, there is none yet.
    keeper.status.send_modify(|s| s.commands = Link::Connecting);
    let mut backoff = Backoff::new(timing.retry_min, timing.retry_max);
    loop {
        let mut since = None;
        let status = keeper.status.clone();
        let mut tell = |told: Told<'_>| match told {
            Told::Ready => {
                since = Some(Instant::now());
                status.send_modify(|s| s.commands = Link::Up);
                tracing::info!(node.id = %keeper.config.id, "the command connection is up");
            }
            Told::Event(_) => {}
        };
        let purpose = Purpose {
            setup: keeper.setup.clone(),
            jobs: keeper.jobs.clone(),
            silence: None,
            ping: Some(timing.ping),
            patience: timing.command,
            nudge: keeper.config.nudge.for_jobs(),
            expects: Expects::Jobs(Arc::clone(&keeper.commanded)),
            node: keeper.config.id,
            tell: &mut tell,
        };
        let ended = keeper.connect(purpose, queue, &keeper.stop).await;
        if since.is_some_and(|s| s.elapsed() > GOOD) {
            backoff.reset();
        }
        let Some((reason, wait)) = keeper.after(ended, &mut backoff, "command") else {
            return;
        };
        keeper.status.send_modify(|s| {
            s.failed_once = true;
            s.commands = Link::Down {
                reason,
                retry_after: wait,
            };
        });
        if !keeper.wait_out(wait, queue).await {
            return;
        }
    }
}

async fn keep_events(
    keeper: &Keeper,
    fences: &mut mpsc::Receiver<Request>,
    wanted: &mut watch::Receiver<bool>,
    sink: &mut impl EventSink,
) {
    keeper.status.send_modify(|s| s.events = None);
    let timing = keeper.config.timing;
    let mut meters = EventMeters::new(keeper.config.id);
    let mut backoff = Backoff::new(timing.retry_min, timing.retry_max);
    loop {
        tokio::select! {
            () = keeper.stop.cancelled() => return,
            changed = wanted.wait_for(|w| *w) => if changed.is_err() { return },
        }
        keeper
            .status
            .send_modify(|s| _ = s.events.get_or_insert(Link::Connecting));
        let unwanted = keeper.stop.child_token();
        let mut since = None;
        let status = keeper.status.clone();
        let mut tell = |told: Told<'_>| match told {
            Told::Ready => {
                since = Some(Instant::now());
                status.send_modify(|s| {
                    s.events = Some(Link::Up);
                    s.connections += 1;
                });
                tracing::info!(node.id = %keeper.config.id, "the event connection is up");
                sink.up();
            }
            Told::Event(event) => {
                let kind = event.kind();
                meters.count(&kind);
                if kind == EventKind::Heartbeat {
                    status.send_modify(|s| s.vitals = vitals(event));
                }
                sink.event(event);
            }
        };
        let purpose = Purpose {
            setup: keeper.setup.clone(),
            jobs: keeper.jobs.clone(),
            silence: Some(timing.silence),
            ping: None,
            patience: timing.command,
            nudge: keeper.config.nudge,
            expects: Expects::Events(Arc::clone(&keeper.commanded)),
            node: keeper.config.id,
            tell: &mut tell,
        };
        let ended = {
            let connection = keeper.connect(purpose, fences, &unwanted);
            tokio::pin!(connection);
            tokio::select! {
                ended = &mut connection => ended,
                () = is_unwanted(wanted) => {
                    unwanted.cancel();
                    connection.await
                }
            }
        };
        if since.is_some() {
            sink.down();
        }
        if since.is_some_and(|s| s.elapsed() > GOOD) {
            backoff.reset();
        }
        if ended == Ended::Stopped && !keeper.stop.is_cancelled() {
            keeper.status.send_modify(|s| s.events = None);
            continue;
        }
        let Some((reason, wait)) = keeper.after(ended, &mut backoff, "event") else {
            return;
        };
        keeper.status.send_modify(|s| {
            s.failed_once = true;
            s.events = Some(Link::Down {
                reason,
                retry_after: wait,
            });
        });
        if !keeper.wait_out(wait, fences).await {
            return;
        }
    }
}

/// Waits until the events are not wanted any more, or nobody is left to want them.
async fn is_unwanted(wanted: &mut watch::Receiver<bool>) {
    let _end = wanted.wait_for(|w| !*w).await;
}

fn vitals(event: &Event) -> Vitals {
    Vitals {
        calls: event.session_count().map_or(0, u64::from),
        max_calls: event.max_sessions().map_or(0, u64::from),
        last_heard: Some(Timestamp::now()),
    }
}

impl Keeper {
    async fn connect(
        &self,
        purpose: Purpose<'_>,
        queue: &mut mpsc::Receiver<Request>,
        stop: &CancellationToken,
    ) -> Ended {
        let connecting = tokio::time::timeout(
            self.config.timing.connect,
            TcpStream::connect(&self.config.address),
        );
        let stream = tokio::select! {
            () = stop.cancelled() => return Ended::Stopped,
            connected = connecting => match connected {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Ended::Lost(error.to_string()),
                Err(_) => return Ended::Lost(format!(
                    "no connection within {:?}",
                    self.config.timing.connect
                )),
            },
        };
        connection::run(stream, self.config.password.clone(), purpose, queue, stop).await
    }

    /// Waits before connecting again; whoever asks meanwhile is told for how long. `false`: we are stopping.
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

    /// What to say of an end, and how long to wait after it; `None`: not at all, we are stopping.
    fn after(
        &self,
        ended: Ended,
        backoff: &mut Backoff,
        which: &'static str,
    ) -> Option<(String, Duration)> {
        let (reason, wait) = match ended {
            Ended::Stopped => return None,
            Ended::Lost(reason) => (reason, backoff.next(rand::random())),
            Ended::Refused(reason) => (reason, self.config.timing.retry_refused),
        };
        metrics::counter!(names::ESL_RECONNECTS, "node" => self.config.id.to_string(), "connection" => which)
            .increment(1);
        tracing::warn!(
            node.id = %self.config.id,
            connection = which,
            reason,
            retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            "a connection to FreeSWITCH is down"
        );
        Some((reason, wait))
    }
}
