//! One TCP connection, from its greeting to its end: moves bytes between the socket and [`Session`], and answers those
//! who wait for commands.
//!
//! Reading never waits for writing: a server that stops reading must not keep us from reading it.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::codec::Decoder;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::esl::command::{Api, Arg, Command, JobPrefix, Password};
use crate::esl::{
    ApiReply, CommandId, CommandReply, EslCodec, Event, EventKind, Limits, Millis, Output,
    READ_BUFFER, Reply, Session, SessionConfig,
};
use crate::telemetry as names;
use crate::telemetry::Chain;

use crate::ids::NodeId;

use super::handle::{Answer, Ask, Request};
use super::meters::CommandMeters;
use super::nudge::{Nudge, Pacer};
use super::{CommandError, FENCE_SUBCLASS};

/// A busy command connection says so this often: often enough for the nudges of the event connection to stay fast, and not
/// for each of thousands of commands a second.
const TELL: Duration = Duration::from_millis(10);

/// How many connections of this process are being nudged: what that costs is shared by all nodes.
static NUDGED: AtomicU32 = AtomicU32::new(0);

/// Whether one connection is among them, until it is dropped.
#[derive(Default)]
struct Nudged(bool);

impl Nudged {
    fn set(&mut self, nudged: bool) {
        if std::mem::replace(&mut self.0, nudged) == nudged {
            return;
        }
        if nudged {
            NUDGED.fetch_add(1, Ordering::Relaxed);
        } else {
            NUDGED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Nudged {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Why a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// It could not be made, or broke, in words for the operator.
    Lost(String),
    /// The password or our address is refused: asking again soon does not help.
    Refused(String),
    /// It is not wanted any more.
    Stopped,
}

/// What a connection is for.
pub(super) struct Purpose<'a> {
    /// Sent after authentication; each must be accepted.
    pub(super) setup: Vec<Command>,
    /// What the job ids of this connection start with.
    pub(super) jobs: JobPrefix,
    /// Dead when nothing came for this long.
    pub(super) silence: Option<Duration>,
    /// Asked whether it lives when idle for this long.
    pub(super) ping: Option<Duration>,
    /// How long a setup command or a ping may take.
    pub(super) patience: Duration,
    /// How the node is made to tell at once what it has to tell here.
    pub(super) nudge: Nudge,
    /// What that is.
    pub(super) expects: Expects,
    /// Which node, for the metrics.
    pub(super) node: NodeId,
    /// Told of events, and that the connection is ready.
    pub(super) tell: &'a mut (dyn FnMut(Told<'_>) + Send),
}

/// What comes on a connection besides answers, and would wait for the node's next look.
pub(super) enum Expects {
    /// Events, at any time; it is told when a command was given on the other connection, for they follow commands.
    Events(Arc<Notify>),
    /// The results of its own jobs; it tells when a command is given.
    Jobs(Arc<Notify>),
}

/// What a connection tells.
pub(super) enum Told<'a> {
    /// Authenticated and set up.
    Ready,
    /// An event.
    Event(&'a Event),
}

enum Waits {
    Setup,
    Ping,
    Caller {
        reply: oneshot::Sender<Result<Answer, CommandError>>,
        /// The answer is the job's result, not that it was taken.
        job: bool,
        since: Instant,
        /// That of the command; it ends with the answer.
        span: Span,
    },
}

struct Driver<'a> {
    session: Session,
    purpose: Purpose<'a>,
    /// Who waits for what, in the order in which it was sent, in which it is mostly answered, too.
    waiting: VecDeque<(CommandId, Waits)>,
    /// How many callers have been answered since requests were last taken in.
    answered: usize,
    /// When the connection last came round: one look at the clock is enough for all that came at once.
    now: Instant,
    meters: CommandMeters,
    setup_left: usize,
    ready: bool,
    next_job: u64,
    origin: Instant,
    last_heard: Instant,
    pacer: Pacer,
    nudged: Nudged,
    /// An event came with the last bytes that says that something happens.
    eventful: bool,
    /// When the other connection was last told of a command.
    told: Option<Instant>,
    /// It is to be told, once the command is written: nothing comes of it before.
    tells: bool,
    ended: Option<Ended>,
}

/// Runs a connection until it ends. Whoever still waits then is told that the outcome is unknown.
pub(super) async fn run(
    mut stream: TcpStream,
    password: Password,
    purpose: Purpose<'_>,
    requests: &mut mpsc::Receiver<Request>,
    stop: &CancellationToken,
) -> Ended {
    if let Err(error) = stream.set_nodelay(true) {
        return Ended::Lost(error.to_string());
    }
    let (mut reader, mut writer) = stream.split();
    let config = SessionConfig::default();
    let max_in_flight = config.max_in_flight;
    let origin = Instant::now();
    let mut driver = Driver {
        session: Session::new(config, password, Millis(0)),
        waiting: VecDeque::new(),
        answered: 0,
        now: origin,
        meters: CommandMeters::new(purpose.node),
        pacer: Pacer::new(purpose.nudge),
        nudged: Nudged::default(),
        eventful: false,
        told: None,
        tells: false,
        setup_left: purpose.setup.len(),
        ready: false,
        next_job: 0,
        origin,
        last_heard: origin,
        ended: None,
        purpose,
    };
    let mut codec = EslCodec::new(Limits::default());
    let mut input = BytesMut::with_capacity(READ_BUFFER);
    let mut output = BytesMut::new();
    let other = match &driver.purpose.expects {
        Expects::Events(commands) => Some(Arc::clone(commands)),
        Expects::Jobs(_) => None,
    };
    // Why nothing can be written any more.
    let mut broken: Option<String> = None;
    let mut fresh = Vec::new();
    let mut armed = origin;
    let mut sleep = pin!(tokio::time::sleep_until(armed));
    let mut stopped = pin!(stop.cancelled());
    loop {
        driver.settle();
        driver.nudge(output.is_empty() && broken.is_none());
        driver.session.transmit_into(&mut output);
        // Mostly there is room, and nothing to be waited for.
        if !output.is_empty() && broken.is_none() {
            match writer.try_write(&output) {
                Ok(0) | Err(_) => {}
                Ok(n) => output.advance(n),
            }
        }
        driver.tell_other();
        codec.set_job_pending(driver.session.job_pending());
        if let Some(ended) = driver.ended.take() {
            driver.lose_all();
            return ended;
        }
        let wake = driver.next_wake();
        if wake != armed {
            sleep.as_mut().reset(wake);
            armed = wake;
        }
        let in_flight = driver.session.in_flight();
        let takes_more = driver.ready && broken.is_none() && in_flight < max_in_flight;
        tokio::select! {
            () = &mut stopped => driver.ended = Some(Ended::Stopped),
            read = reader.read_buf(&mut input) => match read {
                Ok(0) => {
                    let lost = match (codec.decode_eof(&mut input), broken.take()) {
                        (Ok(_), None) => "FreeSWITCH closed the connection".to_owned(),
                        (Ok(_), Some(error)) => error,
                        (Err(error), _) => format!("FreeSWITCH closed the connection: {error}"),
                    };
                    driver.ended.get_or_insert(Ended::Lost(lost));
                }
                Ok(_) => {
                    driver.last_heard = driver.look();
                    driver.frames(&mut codec, &mut input);
                    driver.heard();
                }
                Err(error) => driver.ended = Some(Ended::Lost(error.to_string())),
            },
            // Written in the order they came, so a nudge is before a command or behind it and never within.
            written = writer.write(&output), if !output.is_empty() && broken.is_none() => match written {
                // What was said before the end is still there to be read, and then the end.
                Ok(0) => broken = Some("the connection takes no more bytes".to_owned()),
                Ok(n) => output.advance(n),
                Err(error) => broken = Some(error.to_string()),
            },
            () = commanded(other.as_deref()) => {
                driver.look();
                driver.stir();
            }
            taken = requests.recv_many(&mut fresh, max_in_flight.saturating_sub(in_flight)), if takes_more => {
                if taken == 0 {
                    driver.ended = Some(Ended::Stopped);
                }
                // Callers that were just answered together are about to ask again, and so are those whose commands are in
                // flight: they have their turn before this is written. What else has queued by then goes with it into one
                // write.
                if in_flight + taken > 1 || driver.answered > 1 {
                    tokio::task::yield_now().await;
                }
                driver.answered = 0;
                driver.look();
                for request in fresh.drain(..) {
                    driver.request(request);
                }
                while driver.session.in_flight() < max_in_flight
                    && let Ok(request) = requests.try_recv()
                {
                    driver.request(request);
                }
            },
            () = &mut sleep => {
                driver.look();
                driver.woken();
            }
        }
    }
}

/// Waits until the other connection gives a command, if that is of interest.
async fn commanded(other: Option<&Notify>) {
    match other {
        Some(other) => other.notified().await,
        None => std::future::pending().await,
    }
}

impl Driver<'_> {
    /// Looks at the clock.
    fn look(&mut self) -> Instant {
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

    fn frames(&mut self, codec: &mut EslCodec, input: &mut BytesMut) {
        loop {
            match codec.decode(input) {
                Ok(Some(frame)) => {
                    let now = self.now();
                    self.session.handle_frame(frame, now);
                    // One by one: an event is told before the next is read, so none waits in memory.
                    self.settle();
                    if self.ended.is_some() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    metrics::counter!(names::ESL_BAD_FRAMES, "node" => self.purpose.node.to_string())
                        .increment(1);
                    self.ended = Some(Ended::Lost(Chain(&error).to_string()));
                    return;
                }
            }
        }
    }

    /// Takes in whatever the session has to tell.
    fn settle(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Authenticated => self.set_up(),
                Output::AuthRefused { reason } => {
                    self.ended = Some(Ended::Refused(format!(
                        "FreeSWITCH refuses the password: {reason}"
                    )));
                }
                Output::Rude { notice } => {
                    self.ended = Some(Ended::Refused(format!(
                        "FreeSWITCH's access list refuses this address: {}",
                        notice.trim()
                    )));
                }
                Output::Event(event) => {
                    let kind = event.kind();
                    if matches!(&kind, EventKind::Custom(subclass) if subclass == FENCE_SUBCLASS) {
                        self.pacer.settled();
                    } else {
                        // A node that only says that it lives is idle.
                        self.eventful = self.eventful || kind != EventKind::Heartbeat;
                    }
                    (self.purpose.tell)(Told::Event(&event));
                }
                Output::BadEvent { error } => {
                    metrics::counter!(names::ESL_BAD_EVENTS, "node" => self.purpose.node.to_string())
                        .increment(1);
                    tracing::warn!(node.id = %self.purpose.node, error = %Chain(&error), "an event of FreeSWITCH could not be read and is skipped");
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
                    self.ended
                        .get_or_insert(Ended::Lost(format!("FreeSWITCH disconnects: {words}")));
                }
                Output::Fatal { error } => {
                    metrics::counter!(names::ESL_BAD_FRAMES, "node" => self.purpose.node.to_string())
                        .increment(1);
                    self.ended.get_or_insert(Ended::Lost(error.to_string()));
                }
            }
        }
    }

    fn set_up(&mut self) {
        let now = self.now();
        let deadline = self.deadline(self.purpose.patience);
        for command in std::mem::take(&mut self.purpose.setup) {
            match self.session.submit(&command, deadline, now) {
                Ok(id) => self.waiting.push_back((id, Waits::Setup)),
                Err(error) => self.ended = Some(Ended::Lost(error.to_string())),
            }
        }
        self.become_ready();
    }

    fn become_ready(&mut self) {
        if self.setup_left == 0 && !self.ready {
            self.ready = true;
            (self.purpose.tell)(Told::Ready);
        }
    }

    fn replied(&mut self, id: CommandId, result: Reply) {
        match result {
            Reply::Api(reply) => self.answer(id, Ok(Answer::Api(reply))),
            Reply::Command(CommandReply::Ok(_))
                if matches!(self.who_waits(id), Some(Waits::Caller { job: true, .. })) =>
            {
                // It runs now, and most are done in a moment.
                self.stir();
            }
            Reply::Command(reply) => self.answer(id, Ok(Answer::Command(reply))),
        }
    }

    fn place_of(&self, id: CommandId) -> Option<usize> {
        match self.waiting.front() {
            Some((first, _)) if *first == id => Some(0),
            // Jobs are done in any order.
            Some(_) | None => self.waiting.binary_search_by_key(&id, |(id, _)| *id).ok(),
        }
    }

    fn who_waits(&self, id: CommandId) -> Option<&Waits> {
        let place = self.place_of(id)?;
        self.waiting.get(place).map(|(_, waits)| waits)
    }

    fn answer(&mut self, id: CommandId, result: Result<Answer, CommandError>) {
        let place = self.place_of(id);
        let waits = place.and_then(|place| self.waiting.remove(place));
        match waits.map(|(_, waits)| waits) {
            Some(Waits::Caller {
                reply, since, span, ..
            }) => {
                let took = self.now.saturating_duration_since(since);
                span.record("outcome", self.meters.count(&result, took));
                self.answered += 1;
                // A caller that gave up does not need to know.
                let _gone = reply.send(result);
            }
            Some(Waits::Setup) => match result {
                Ok(Answer::Command(CommandReply::Ok(_))) => {
                    self.setup_left -= 1;
                    self.become_ready();
                }
                Ok(Answer::Command(CommandReply::Err(text))) => {
                    self.ended = Some(Ended::Lost(format!(
                        "FreeSWITCH refuses the subscription: {text}"
                    )));
                }
                Ok(Answer::Api(_)) | Err(_) => {
                    self.ended
                        .get_or_insert(Ended::Lost("FreeSWITCH does not answer".to_owned()));
                }
            },
            Some(Waits::Ping) if !matches!(result, Ok(Answer::Api(ApiReply::Other(_)))) => {
                self.ended
                    .get_or_insert(Ended::Lost("FreeSWITCH does not answer".to_owned()));
            }
            Some(Waits::Ping) | None => {}
        }
    }

    /// Tells the other connection of commands, if it is to be.
    fn tell_other(&mut self) {
        if std::mem::take(&mut self.tells)
            && let Expects::Jobs(other) = &self.purpose.expects
        {
            other.notify_one();
        }
    }

    /// Something happens on the node, or will.
    fn stir(&mut self) {
        self.pacer.stir(self.age());
    }

    /// Bytes came, and what they say was told.
    fn heard(&mut self) {
        self.pacer.heard(self.age());
        if std::mem::take(&mut self.eventful) {
            self.stir();
        }
    }

    /// Nudges the node if it is time, and of use: there may be something to come, and no command is on its way that wakes it as
    /// well. Not while the last bytes are not taken: a node that does not read is not sent more, and in our memory waits one byte at
    /// most.
    fn nudge(&mut self, all_written: bool) {
        // Once all jobs are done nothing comes here: the timer is not to wake for it.
        if matches!(self.purpose.expects, Expects::Jobs(_)) && !self.session.job_pending() {
            self.pacer.rest();
        }
        if self.pacer.next().is_none() {
            self.nudged.set(false);
            return;
        }
        let busy = NUDGED.load(Ordering::Relaxed).max(1);
        let due = self.pacer.due(self.age(), busy);
        self.nudged.set(self.pacer.next().is_some());
        if !due {
            return;
        }
        if self.ready && all_written && self.session.wake() {
            self.meters.nudged();
        }
    }

    fn request(&mut self, request: Request) {
        let Request {
            ask,
            timeout,
            reply,
            span,
        } = request;
        let changes = match &ask {
            Ask::Command(Command::Api(api)) | Ask::Job(api) => !api.only_asks(),
            Ask::Command(_) => true,
        };
        let (command, job) = match ask {
            Ask::Command(command) => (command, false),
            Ask::Job(api) => {
                self.next_job += 1;
                (
                    Command::BgApi(api, self.purpose.jobs.job(self.next_job)),
                    true,
                )
            }
        };
        let since = self.now;
        match &self.purpose.expects {
            // What is asked here is told by an event of our own.
            Expects::Events(_) => self.pacer.ask(self.age()),
            Expects::Jobs(_) => {
                if changes && self.told.is_none_or(|told| since > told + TELL) {
                    self.told = Some(since);
                    self.tells = true;
                }
                if job {
                    self.stir();
                }
            }
        }
        let (deadline, now) = (self.deadline(timeout), self.millis(since));
        match self.session.submit(&command, deadline, now) {
            Ok(id) => {
                let caller = Waits::Caller {
                    reply,
                    job,
                    since,
                    span,
                };
                self.waiting.push_back((id, caller));
            }
            Err(_) => {
                let node = self.purpose.node.to_string();
                metrics::counter!(names::NODE_BUSY, "node" => node, "queue" => "connection")
                    .increment(1);
                let _gone = reply.send(Err(CommandError::Busy));
            }
        }
    }

    fn next_wake(&self) -> Instant {
        let at = |ms: Millis| self.origin + Duration::from_millis(ms.0);
        let mut wake = self
            .session
            .poll_timeout()
            .map_or_else(|| self.now + Duration::from_secs(60), at);
        if let Some(stuck) = self.stuck_at() {
            wake = wake.min(stuck);
        }
        if self.ready
            && let Some(next) = self.pacer.next()
        {
            wake = wake.min(self.origin + next);
        }
        if let Some(silence) = self.purpose.silence {
            wake = wake.min(self.last_heard + silence);
        }
        if let Some(ping) = self.purpose.ping
            && self.ready
            && self.waiting.is_empty()
        {
            wake = wake.min(self.last_heard + ping);
        }
        wake
    }

    /// When a connection that owes an answer and says nothing is given up: commands that time out one by one would keep a
    /// dead one open for ever.
    fn stuck_at(&self) -> Option<Instant> {
        let since = self.session.unanswered_since()?;
        let asked = self.origin + Duration::from_millis(since.0);
        Some(asked.max(self.last_heard) + self.purpose.patience * 2)
    }

    fn woken(&mut self) {
        let now = self.now();
        self.session.handle_timeout(now);
        let idle = self.now.saturating_duration_since(self.last_heard);
        if self.purpose.silence.is_some_and(|s| idle >= s) {
            self.ended
                .get_or_insert(Ended::Lost(format!("nothing came for {idle:.0?}")));
        }
        if self.stuck_at().is_some_and(|at| self.now >= at) {
            self.ended
                .get_or_insert(Ended::Lost("FreeSWITCH does not answer".to_owned()));
        }
        if self.purpose.ping.is_some_and(|p| idle >= p) && self.ready && self.waiting.is_empty() {
            self.ping(now);
        }
    }

    fn ping(&mut self, now: Millis) {
        let Ok(word) = Arg::new("roomkeeper") else {
            return;
        };
        let deadline = self.deadline(self.purpose.patience);
        match self
            .session
            .submit(&Command::Api(Api::Echo(word)), deadline, now)
        {
            Ok(id) => self.waiting.push_back((id, Waits::Ping)),
            Err(error) => {
                self.ended.get_or_insert(Ended::Lost(error.to_string()));
            }
        }
    }

    fn lose_all(&mut self) {
        self.session.handle_eof();
        self.settle();
        for (_, waits) in self.waiting.drain(..) {
            if let Waits::Caller { reply, .. } = waits {
                let _gone = reply.send(Err(CommandError::Unknown));
            }
        }
    }
}
