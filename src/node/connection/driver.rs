//! The state of one connection: the waiting callers, and the time of its next timer.
//!
//! Does no I/O: the loop in [`super`] reads and writes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::codec::Decoder;
use tracing::Span;

use crate::telemetry as names;
use crate::telemetry::Chain;
use freeswitch_esl::command::{Api, Arg, Command, Password};
use freeswitch_esl::{
    ApiReply, CommandId, CommandReply, EslCodec, EventKind, Millis, Output, Reply, Session,
    SessionConfig,
};

use super::settings::{ConnectionEvent, ConnectionSettings, EndReason, ExpectedMessages};
use crate::node::handle::{Answer, OutgoingCommand, Request};
use crate::node::meters::CommandMeters;
use crate::node::nudge::WakeUpScheduler;
use crate::node::{CommandError, FENCE_SUBCLASS};

/// A busy command connection notifies the event connection at this interval: often enough for fast wake-ups, but not for
/// each of thousands of commands a second.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(10);

/// The number of connections of this process with scheduled wake-ups, whose cost all nodes share.
static SCHEDULED: AtomicU32 = AtomicU32::new(0);

/// Counts one connection among them until it is dropped.
#[derive(Default)]
struct CountedWakeUps(bool);

impl CountedWakeUps {
    fn set(&mut self, scheduled: bool) {
        if std::mem::replace(&mut self.0, scheduled) == scheduled {
            return;
        }
        if scheduled {
            SCHEDULED.fetch_add(1, Ordering::Relaxed);
        } else {
            SCHEDULED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for CountedWakeUps {
    fn drop(&mut self) {
        self.set(false);
    }
}

enum Waiter {
    Setup,
    Ping,
    Caller {
        reply: oneshot::Sender<Result<Answer, CommandError>>,
        /// The answer is the job's result, not its acceptance.
        job: bool,
        since: Instant,
        /// The command's span. It ends with the answer.
        span: Span,
    },
}

pub(super) struct Driver<'a> {
    session: Session,
    settings: ConnectionSettings<'a>,
    /// The waiting callers in the order of their commands, which is usually the order of the answers.
    waiting: VecDeque<(CommandId, Waiter)>,
    /// The number of callers answered since the last requests.
    answered: usize,
    /// The time of the last step: one clock reading serves all input that arrived together.
    now: Instant,
    meters: CommandMeters,
    setup_left: usize,
    ready: bool,
    next_job: u64,
    origin: Instant,
    last_input: Instant,
    wake_ups: WakeUpScheduler,
    scheduled: CountedWakeUps,
    /// The last bytes contained an event other than HEARTBEAT.
    has_events: bool,
    /// The last notification of the other connection about a command.
    notified: Option<Instant>,
    /// The other connection must be notified after the command is written.
    must_notify: bool,
    ended: Option<EndReason>,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        config: SessionConfig,
        password: Password,
        settings: ConnectionSettings<'a>,
    ) -> Self {
        let origin = Instant::now();
        Self {
            session: Session::new(config, password, Millis(0)),
            waiting: VecDeque::new(),
            answered: 0,
            now: origin,
            meters: CommandMeters::new(settings.node),
            wake_ups: WakeUpScheduler::new(settings.nudge),
            scheduled: CountedWakeUps::default(),
            has_events: false,
            notified: None,
            must_notify: false,
            setup_left: settings.setup.len(),
            ready: false,
            next_job: 0,
            origin,
            last_input: origin,
            ended: None,
            settings,
        }
    }
}

impl Driver<'_> {
    /// The time at which the connection started.
    pub(super) const fn origin(&self) -> Instant {
        self.origin
    }

    /// Returns true if the connection is authenticated and set up.
    pub(super) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// The number of commands without an answer.
    pub(super) fn in_flight(&self) -> usize {
        self.session.in_flight()
    }

    /// Returns true if a job of this connection has no result yet.
    pub(super) fn job_pending(&self) -> bool {
        self.session.job_pending()
    }

    /// Appends the bytes to send.
    pub(super) fn transmit_into(&mut self, output: &mut BytesMut) {
        self.session.transmit_into(output);
    }

    /// Ends the connection.
    pub(super) fn end(&mut self, ended: EndReason) {
        self.ended = Some(ended);
    }

    /// Ends the connection as lost, unless it ended for another reason before.
    pub(super) fn lose(&mut self, reason: impl Into<String>) {
        self.ended.get_or_insert(EndReason::Lost(reason.into()));
    }

    /// Answers all callers and returns why the connection ended, if it has.
    pub(super) fn finish(&mut self) -> Option<EndReason> {
        let ended = self.ended.take()?;
        self.lose_all();
        Some(ended)
    }

    /// Notes that FreeSWITCH sent bytes.
    pub(super) fn bytes_received(&mut self) {
        self.last_input = self.read_clock();
    }

    /// Notes that the other connection sent a command: events follow.
    pub(super) fn on_other_command(&mut self) {
        self.read_clock();
        self.on_activity();
    }

    /// Returns true if more than one caller was answered since the last requests.
    pub(super) const fn answered_several(&self) -> bool {
        self.answered > 1
    }

    /// Submits commands.
    pub(super) fn requests(&mut self, requests: impl IntoIterator<Item = Request>) {
        self.answered = 0;
        self.read_clock();
        for request in requests {
            self.request(request);
        }
    }

    /// Reads the clock.
    fn read_clock(&mut self) -> Instant {
        self.now = Instant::now();
        self.now
    }

    fn now(&self) -> Millis {
        self.millis(self.now)
    }

    /// The time since the connection was made.
    fn age(&self) -> Duration {
        self.now.saturating_duration_since(self.origin)
    }

    fn millis(&self, at: Instant) -> Millis {
        let elapsed = at.saturating_duration_since(self.origin).as_millis();
        Millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn deadline(&self, after: Duration) -> Millis {
        self.millis(self.now + after)
    }

    pub(super) fn frames(&mut self, codec: &mut EslCodec, input: &mut BytesMut) {
        loop {
            match codec.decode(input) {
                Ok(Some(frame)) => {
                    let now = self.now();
                    self.session.handle_frame(frame, now);
                    // Each event is passed on before the next is parsed, so none waits in memory.
                    self.settle();
                    if self.ended.is_some() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    metrics::counter!(names::ESL_BAD_FRAMES, "node" => self.settings.node.to_string())
                        .increment(1);
                    self.ended = Some(EndReason::Lost(Chain(&error).to_string()));
                    return;
                }
            }
        }
    }

    /// Handles the outputs of the session.
    pub(super) fn settle(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Authenticated => self.set_up(),
                Output::AuthRefused { reason } => {
                    self.ended = Some(EndReason::Refused(format!(
                        "FreeSWITCH refuses the password: {reason}"
                    )));
                }
                Output::Rude { notice } => {
                    self.ended = Some(EndReason::Refused(format!(
                        "FreeSWITCH's access list refuses this address: {}",
                        notice.trim()
                    )));
                }
                Output::Event(event) => {
                    let kind = event.kind();
                    if matches!(&kind, EventKind::Custom(subclass) if subclass == FENCE_SUBCLASS) {
                        self.wake_ups.on_reply();
                    } else {
                        // A node that only sends HEARTBEAT is idle.
                        self.has_events = self.has_events || kind != EventKind::Heartbeat;
                    }
                    (self.settings.on_event)(ConnectionEvent::Event(&event));
                }
                Output::BadEvent { error } => {
                    metrics::counter!(names::ESL_BAD_EVENTS, "node" => self.settings.node.to_string())
                        .increment(1);
                    tracing::warn!(node.id = %self.settings.node, error = %Chain(&error), "skipped an event of FreeSWITCH that cannot be parsed");
                }
                Output::Reply { id, result } => self.replied(id, result),
                Output::JobDone { id, result } => self.answer(id, Ok(Answer::Api(result))),
                Output::TimedOut { id, .. } => self.answer(id, Err(CommandError::Unknown)),
                Output::Lost { id, sent } => {
                    let error = if sent {
                        CommandError::Unknown
                    } else {
                        CommandError::Down {
                            retry_after: Duration::from_secs(1),
                        }
                    };
                    self.answer(id, Err(error));
                }
                Output::Disconnect { notice } => {
                    let words = notice.lines().next().unwrap_or_default().to_owned();
                    self.lose(format!("FreeSWITCH disconnects: {words}"));
                }
                Output::Fatal { error } => {
                    metrics::counter!(names::ESL_BAD_FRAMES, "node" => self.settings.node.to_string())
                        .increment(1);
                    self.lose(error.to_string());
                }
            }
        }
    }

    fn set_up(&mut self) {
        let now = self.now();
        let deadline = self.deadline(self.settings.timeout);
        for command in std::mem::take(&mut self.settings.setup) {
            match self.session.submit(&command, deadline, now) {
                Ok(id) => self.waiting.push_back((id, Waiter::Setup)),
                Err(error) => self.ended = Some(EndReason::Lost(error.to_string())),
            }
        }
        self.become_ready();
    }

    fn become_ready(&mut self) {
        if self.setup_left == 0 && !self.ready {
            self.ready = true;
            (self.settings.on_event)(ConnectionEvent::Ready);
        }
    }

    fn replied(&mut self, id: CommandId, result: Reply) {
        match result {
            Reply::Api(reply) => self.answer(id, Ok(Answer::Api(reply))),
            Reply::Command(CommandReply::Ok(_))
                if matches!(self.waiter(id), Some(Waiter::Caller { job: true, .. })) =>
            {
                // The job runs now, and most jobs end quickly.
                self.on_activity();
            }
            Reply::Command(reply) => self.answer(id, Ok(Answer::Command(reply))),
        }
    }

    fn waiter_index(&self, id: CommandId) -> Option<usize> {
        match self.waiting.front() {
            Some((first, _)) if *first == id => Some(0),
            // Jobs end in any order.
            Some(_) | None => self.waiting.binary_search_by_key(&id, |(id, _)| *id).ok(),
        }
    }

    fn waiter(&self, id: CommandId) -> Option<&Waiter> {
        let index = self.waiter_index(id)?;
        self.waiting.get(index).map(|(_, waiter)| waiter)
    }

    fn answer(&mut self, id: CommandId, result: Result<Answer, CommandError>) {
        let index = self.waiter_index(id);
        let waiter = index.and_then(|index| self.waiting.remove(index));
        match waiter.map(|(_, waiter)| waiter) {
            Some(Waiter::Caller {
                reply, since, span, ..
            }) => {
                let took = self.now.saturating_duration_since(since);
                span.record("outcome", self.meters.count(&result, took));
                self.answered += 1;
                // The caller may have given up.
                let _gone = reply.send(result);
            }
            Some(Waiter::Setup) => match result {
                Ok(Answer::Command(CommandReply::Ok(_))) => {
                    self.setup_left -= 1;
                    self.become_ready();
                }
                Ok(Answer::Command(CommandReply::Err(text))) => {
                    self.ended = Some(EndReason::Lost(format!(
                        "FreeSWITCH refuses the subscription: {text}"
                    )));
                }
                Ok(Answer::Api(_)) | Err(_) => {
                    self.lose("FreeSWITCH does not answer");
                }
            },
            Some(Waiter::Ping) if !matches!(result, Ok(Answer::Api(ApiReply::Other(_)))) => {
                self.lose("FreeSWITCH does not answer");
            }
            Some(Waiter::Ping) | None => {}
        }
    }

    /// Notifies the other connection of commands, if necessary.
    pub(super) fn notify_other(&mut self) {
        if std::mem::take(&mut self.must_notify)
            && let ExpectedMessages::Jobs(other) = &self.settings.expected
        {
            other.notify_one();
        }
    }

    /// Notes an activity on the node.
    fn on_activity(&mut self) {
        self.wake_ups.on_activity(self.age());
    }

    /// Notes that the frames of the last bytes were handled.
    pub(super) fn frames_handled(&mut self) {
        self.wake_ups.on_input(self.age());
        if std::mem::take(&mut self.has_events) {
            self.on_activity();
        }
    }

    /// Wakes the node if a wake-up is due and no pending command wakes it as well. Sends nothing while earlier bytes are
    /// unwritten: a node that does not read gets no more, and at most one byte waits in memory.
    pub(super) fn wake_if_due(&mut self, all_written: bool) {
        // Without jobs nothing arrives here, so the timer must not fire.
        if matches!(self.settings.expected, ExpectedMessages::Jobs(_))
            && !self.session.job_pending()
        {
            self.wake_ups.stop();
        }
        if self.wake_ups.next().is_none() {
            self.scheduled.set(false);
            return;
        }
        let busy = SCHEDULED.load(Ordering::Relaxed).max(1);
        let due = self.wake_ups.due(self.age(), busy);
        self.scheduled.set(self.wake_ups.next().is_some());
        if !due {
            return;
        }
        if self.ready && all_written && self.session.wake() {
            self.meters.nudged();
        }
    }

    fn request(&mut self, request: Request) {
        let Request {
            command,
            timeout,
            reply,
            span,
        } = request;
        let may_change_state = match &command {
            OutgoingCommand::Command(Command::Api(api)) | OutgoingCommand::Job(api) => {
                !api.is_read_only()
            }
            OutgoingCommand::Command(_) => true,
        };
        let (command, is_job) = match command {
            OutgoingCommand::Command(command) => (command, false),
            OutgoingCommand::Job(api) => {
                self.next_job += 1;
                (
                    Command::BgApi(api, self.settings.jobs.job(self.next_job)),
                    true,
                )
            }
        };
        let since = self.now;
        match &self.settings.expected {
            // The answer to this request is an event of our own.
            ExpectedMessages::Events(_) => self.wake_ups.on_request(self.age()),
            ExpectedMessages::Jobs(_) => {
                if may_change_state
                    && self
                        .notified
                        .is_none_or(|last| since > last + NOTIFY_INTERVAL)
                {
                    self.notified = Some(since);
                    self.must_notify = true;
                }
                if is_job {
                    self.on_activity();
                }
            }
        }
        let (deadline, now) = (self.deadline(timeout), self.millis(since));
        match self.session.submit(&command, deadline, now) {
            Ok(id) => {
                let caller = Waiter::Caller {
                    reply,
                    job: is_job,
                    since,
                    span,
                };
                self.waiting.push_back((id, caller));
            }
            Err(_) => {
                let node = self.settings.node.to_string();
                metrics::counter!(names::NODE_BUSY, "node" => node, "queue" => "connection")
                    .increment(1);
                let _gone = reply.send(Err(CommandError::Busy));
            }
        }
    }

    pub(super) fn next_wake(&self) -> Instant {
        let at = |ms: Millis| self.origin + Duration::from_millis(ms.0);
        let mut wake = self
            .session
            .poll_timeout()
            .map_or_else(|| self.now + Duration::from_secs(60), at);
        if let Some(deadline) = self.stall_deadline() {
            wake = wake.min(deadline);
        }
        if self.ready
            && let Some(next) = self.wake_ups.next()
        {
            wake = wake.min(self.origin + next);
        }
        if let Some(silence) = self.settings.silence {
            wake = wake.min(self.last_input + silence);
        }
        if let Some(ping) = self.settings.ping
            && self.ready
            && self.waiting.is_empty()
        {
            wake = wake.min(self.last_input + ping);
        }
        wake
    }

    /// The time at which a silent connection with unanswered commands is closed: a dead connection would otherwise stay open
    /// while its commands time out one by one.
    fn stall_deadline(&self) -> Option<Instant> {
        let since = self.session.unanswered_since()?;
        let sent_at = self.origin + Duration::from_millis(since.0);
        Some(sent_at.max(self.last_input) + self.settings.timeout * 2)
    }

    /// Handles the timer: command timeouts, silence, and the ping of an idle connection.
    pub(super) fn woken(&mut self) {
        self.read_clock();
        let now = self.now();
        self.session.handle_timeout(now);
        let idle = self.now.saturating_duration_since(self.last_input);
        if self.settings.silence.is_some_and(|s| idle >= s) {
            self.lose(format!("nothing came for {idle:.0?}"));
        }
        if self.stall_deadline().is_some_and(|at| self.now >= at) {
            self.lose("FreeSWITCH does not answer");
        }
        if self.settings.ping.is_some_and(|p| idle >= p) && self.ready && self.waiting.is_empty() {
            self.ping(now);
        }
    }

    fn ping(&mut self, now: Millis) {
        let Ok(word) = Arg::new("roomkeeper") else {
            return;
        };
        let deadline = self.deadline(self.settings.timeout);
        match self
            .session
            .submit(&Command::Api(Api::Echo(word)), deadline, now)
        {
            Ok(id) => self.waiting.push_back((id, Waiter::Ping)),
            Err(error) => {
                self.lose(error.to_string());
            }
        }
    }

    fn lose_all(&mut self) {
        self.session.handle_eof();
        self.settle();
        for (_, waiter) in self.waiting.drain(..) {
            if let Waiter::Caller { reply, .. } = waiter {
                let _gone = reply.send(Err(CommandError::Unknown));
            }
        }
    }
}
