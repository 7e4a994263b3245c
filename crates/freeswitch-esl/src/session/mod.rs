//! The protocol's state machine for one connection, without the connection.
//!
//! Owns authentication, the order of replies, jobs and deadlines. Leaves out sockets and clocks: `now` is an argument, and
//! the driver polls for bytes to write, outputs and timeouts. The node's connection task drives it:
//!
//! ```text
//! frame from the codec      → handle_frame(frame, now)
//! a command to send         → submit(command, deadline, now)
//! the time of poll_timeout  → handle_timeout(now)
//! end of the stream         → handle_eof()
//! after each of them:  poll_transmit until None or transmit_into (write), poll_output until None (outputs),
//!                      codec.set_job_pending(job_pending()), poll_timeout (sleep until)
//! ```
//!
//! ```text
//!  Greeting ──auth/request──▶ Authenticating ──+OK──▶ Ready ──┐
//!     │ rude-rejection            │ -ERR                      │ disconnect-notice, eof,
//!     │ 25 s                      │ 25 s                      │ protocol error
//!     └───────────────────────────┴──────▶ Closed ◀───────────┘
//! ```
//!
//! FreeSWITCH answers strictly in the order of commands, and its answers name no command: the n-th answer belongs to the
//! n-th command. So a command that timed out keeps its position in the queue, and its late answer is dropped there. A job
//! gets two answers: at once a reply, later a `BACKGROUND_JOB` with the id that we chose and registered before the command
//! was written.
//!
//! Every accepted command ends in exactly one of [`Output::Reply`] (for a job: only if it was refused),
//! [`Output::JobDone`], [`Output::TimedOut`], [`Output::Lost`].

mod error;
mod output;

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};

use super::command::{self, ApiReply, Command, CommandReply, JobUuid, Password};
use super::content_type::ContentType;
use super::event::{Event, EventKind};
use super::frame::Frame;
use super::parser::Limits;

pub use error::{SessionError, SubmitError};
pub use output::{CommandId, Output, Reply, SessionStats};

/// A time: milliseconds since an origin that the driver chooses, never decreasing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// Returns the time this many milliseconds later.
    #[must_use]
    pub fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// The limits of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// The maximum number of commands without an answer plus jobs without a result. Further commands are refused: a
    /// server that answers nothing must not fill our memory.
    pub max_in_flight: usize,
    /// The time that authentication may take, in milliseconds: the server allows 25 s.
    pub auth_timeout_ms: u64,
    /// Bounds of an event's headers.
    pub limits: Limits,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 1_024,
            auth_timeout_ms: 25_000,
            limits: Limits::default(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Greeting,
    Authenticating,
    Ready,
    Closed,
}

/// A command whose reply has not arrived.
#[derive(Debug)]
struct PendingReply {
    id: CommandId,
    api: bool,
    job: Option<JobUuid>,
    since: Millis,
    /// `None` if the command has timed out and only its position is kept.
    deadline: Option<Millis>,
}

/// A job whose result has not arrived.
#[derive(Debug)]
struct Job {
    id: CommandId,
    deadline: Millis,
}

/// The protocol state of one connection; see the module for its use.
#[derive(Debug)]
pub struct Session {
    config: SessionConfig,
    password: Password,
    state: State,
    /// `exit` was accepted.
    leaving: bool,
    auth_deadline: Millis,
    next_id: u64,
    replies: VecDeque<PendingReply>,
    jobs: BTreeMap<String, Job>,
    /// The bytes to write, and the length of each command in them.
    unsent: BytesMut,
    transmit: VecDeque<(Option<CommandId>, usize)>,
    /// A lower bound of all deadlines; `None` if there is none.
    earliest: Option<Millis>,
    outputs: VecDeque<Output>,
    stats: SessionStats,
}

impl Session {
    /// Creates a session on a new connection.
    #[must_use]
    pub fn new(config: SessionConfig, password: Password, now: Millis) -> Self {
        Self {
            auth_deadline: now.after(config.auth_timeout_ms),
            config,
            password,
            state: State::Greeting,
            leaving: false,
            next_id: 1,
            replies: VecDeque::new(),
            jobs: BTreeMap::new(),
            unsent: BytesMut::new(),
            transmit: VecDeque::new(),
            earliest: None,
            outputs: VecDeque::new(),
            stats: SessionStats::default(),
        }
    }

    // ---- inputs ----

    /// Processes a message of the server.
    pub fn handle_frame(&mut self, frame: Frame, now: Millis) {
        if self.state == State::Closed {
            return;
        }
        match frame.content_type() {
            ContentType::AuthRequest => self.send_auth(),
            ContentType::CommandReply => self.command_reply(&frame),
            ContentType::ApiResponse => self.api_response(&frame),
            ContentType::EventPlain | ContentType::EventJson => self.event(frame),
            ContentType::DisconnectNotice => {
                let notice = notice(&frame);
                self.close(Output::Disconnect { notice });
            }
            ContentType::RudeRejection => {
                let notice = notice(&frame);
                self.close(Output::Rude { notice });
            }
            ContentType::EventXml | ContentType::LogData | ContentType::Other(_) => {
                self.stats.ignored_frames += 1;
            }
        }
        self.check_invariants(now);
    }

    /// Accepts a command, to be answered by `deadline`, and a job to be done by it.
    ///
    /// # Errors
    ///
    /// [`SubmitError`]; the command is not sent then.
    pub fn submit(
        &mut self,
        command: &Command,
        deadline: Millis,
        now: Millis,
    ) -> Result<CommandId, SubmitError> {
        if self.state != State::Ready {
            return Err(SubmitError::NotReady);
        }
        if self.in_flight() >= self.config.max_in_flight {
            return Err(SubmitError::TooMany {
                limit: self.config.max_in_flight,
            });
        }
        let id = CommandId(self.next_id);
        if let Some(job) = command.job() {
            if self.jobs.contains_key(job.as_str()) {
                return Err(SubmitError::DuplicateJob);
            }
            self.jobs
                .insert(job.as_str().to_owned(), Job { id, deadline });
        }
        self.earliest = match self.earliest {
            Some(earliest) if self.has_deadline() => Some(earliest.min(deadline)),
            Some(_) | None => Some(deadline),
        };
        self.next_id += 1;
        self.leaving |= matches!(command, Command::Exit);
        self.replies.push_back(PendingReply {
            id,
            api: command.is_api(),
            job: command.job().cloned(),
            since: now,
            deadline: Some(deadline),
        });
        let before = self.unsent.len();
        command.render_into(&mut self.unsent);
        self.transmit
            .push_back((Some(id), self.unsent.len() - before));
        self.check_invariants(now);
        Ok(id)
    }

    /// Requests a bare newline: the server ignores it as a command and looks for events at once, where it would have
    /// slept for up to 20 ms. Returns false if other bytes are about to be written, or if the state does not allow it:
    /// before authentication, and after `exit`, where bytes that the server has not read when it closes would cost us
    /// its last messages.
    pub fn wake(&mut self) -> bool {
        if self.state != State::Ready || self.leaving || !self.transmit.is_empty() {
            return false;
        }
        self.send(b"\n");
        true
    }

    /// Ends commands and jobs whose deadline has passed.
    pub fn handle_timeout(&mut self, now: Millis) {
        match self.state {
            State::Greeting | State::Authenticating => {
                if now >= self.auth_deadline {
                    self.close(Output::Fatal {
                        error: SessionError::AuthTimeout {
                            millis: self.config.auth_timeout_ms,
                        },
                    });
                }
            }
            State::Ready => self.expire(now),
            State::Closed => {}
        }
        self.check_invariants(now);
    }

    /// Ends the session with its stream. All waiting commands get an output.
    pub fn handle_eof(&mut self) {
        self.state = State::Closed;
        self.lose_all();
    }

    // ---- outputs ----

    /// Returns the next bytes to write: one complete command. The driver writes them before the next call.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let (_, length) = self.transmit.pop_front()?;
        Some(self.unsent.split_to(length).freeze())
    }

    /// Appends all commands to write, behind the bytes in `output`. The driver writes them before the next call.
    pub fn transmit_into(&mut self, output: &mut BytesMut) {
        output.extend_from_slice(&self.unsent);
        self.unsent.clear();
        self.transmit.clear();
    }

    /// Returns the next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the time of the next [`Session::handle_timeout`]; `None` if only other inputs matter. It can be the
    /// deadline of a command that was answered meanwhile: a search for the earliest one after each answer costs more
    /// than a needless call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Millis> {
        match self.state {
            State::Greeting | State::Authenticating => Some(self.auth_deadline),
            State::Ready => self.earliest.filter(|_| self.has_deadline()),
            State::Closed => None,
        }
    }

    /// Returns true if there may be a deadline.
    fn has_deadline(&self) -> bool {
        !(self.replies.is_empty() && self.jobs.is_empty())
    }

    fn send(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
        self.transmit.push_back((None, bytes.len()));
    }

    // ---- state ----

    /// Returns true if the session accepts commands.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Returns true if the session is over: close the connection.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Returns the number of commands without an answer, timed-out ones included, and of jobs without a result.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let answered = |job: &&Job| {
            self.replies
                .binary_search_by(|w| w.id.cmp(&job.id))
                .is_err()
        };
        self.replies.len() + self.jobs.values().filter(answered).count()
    }

    /// Returns true if a job has no result yet, for the codec's limit of a body.
    #[must_use]
    pub fn job_pending(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Returns the time since when the server owes an answer, for timed-out commands too: a stuck connection is better
    /// closed.
    #[must_use]
    pub fn unanswered_since(&self) -> Option<Millis> {
        self.replies.front().map(|waiting| waiting.since)
    }

    /// Returns the counts of dropped messages.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        self.stats
    }

    // ---- transitions ----

    fn send_auth(&mut self) {
        match self.state {
            State::Greeting => {
                self.state = State::Authenticating;
                let auth = command::auth(&self.password);
                self.send(&auth);
            }
            State::Authenticating | State::Ready | State::Closed => {
                self.unexpected(ContentType::AuthRequest);
            }
        }
    }

    fn command_reply(&mut self, frame: &Frame) {
        let reply = CommandReply::parse(&frame.reply_text());
        match self.state {
            State::Greeting => self.unexpected(ContentType::CommandReply),
            State::Authenticating => match reply {
                CommandReply::Ok(_) => {
                    self.state = State::Ready;
                    self.outputs.push_back(Output::Authenticated);
                }
                CommandReply::Err(reason) => self.close(Output::AuthRefused { reason }),
            },
            State::Ready => match self.replies.pop_front() {
                None => self.unexpected(ContentType::CommandReply),
                // FreeSWITCH refuses an `api` without permission by a `command/reply`; no other command is answered so.
                Some(waiting) if waiting.api && matches!(reply, CommandReply::Ok(_)) => {
                    self.replies.push_front(waiting);
                    self.close(Output::Fatal {
                        error: SessionError::WrongReply {
                            content_type: ContentType::CommandReply,
                        },
                    });
                }
                Some(waiting) => self.complete(waiting, Reply::Command(reply), frame),
            },
            State::Closed => {}
        }
    }

    fn api_response(&mut self, frame: &Frame) {
        match self.state {
            State::Greeting | State::Authenticating => self.unexpected(ContentType::ApiResponse),
            State::Ready => match self.replies.pop_front() {
                None => self.unexpected(ContentType::ApiResponse),
                Some(waiting) if !waiting.api => {
                    self.replies.push_front(waiting);
                    self.close(Output::Fatal {
                        error: SessionError::WrongReply {
                            content_type: ContentType::ApiResponse,
                        },
                    });
                }
                Some(waiting) => {
                    let reply = Reply::Api(ApiReply::parse(frame.body_bytes()));
                    self.complete(waiting, reply, frame);
                }
            },
            State::Closed => {}
        }
    }

    fn complete(&mut self, waiting: PendingReply, reply: Reply, frame: &Frame) {
        if waiting.deadline.is_none() {
            self.stats.late_replies += 1;
            return;
        }
        if let Some(ours) = &waiting.job {
            match &reply {
                Reply::Command(CommandReply::Ok(_)) => self.quirk_job_renamed(ours, frame),
                Reply::Command(CommandReply::Err(_)) | Reply::Api(_) => {
                    self.jobs.remove(ours.as_str());
                }
            }
        }
        self.outputs.push_back(Output::Reply {
            id: waiting.id,
            result: reply,
        });
    }

    /// Registers another `Job-UUID` if the server ignores ours and names its own in the reply.
    fn quirk_job_renamed(&mut self, ours: &JobUuid, frame: &Frame) {
        let Some(theirs) = frame.header("Job-UUID") else {
            return;
        };
        if theirs != ours.as_str()
            && !self.jobs.contains_key(theirs.as_ref())
            && let Some(job) = self.jobs.remove(ours.as_str())
        {
            self.jobs.insert(theirs.into_owned(), job);
        }
    }

    fn event(&mut self, frame: Frame) {
        if self.state != State::Ready {
            let content_type = frame.content_type().clone();
            return self.unexpected(content_type);
        }
        let event = match Event::with_limits(frame, &self.config.limits) {
            Ok(event) => event,
            Err(error) => return self.outputs.push_back(Output::BadEvent { error }),
        };
        if event.kind() != EventKind::BackgroundJob {
            return self.outputs.push_back(Output::Event(event));
        }
        let job = event
            .job_uuid()
            .and_then(|uuid| self.jobs.remove(uuid.as_ref()));
        let Some(job) = job else {
            self.stats.unknown_jobs += 1;
            return;
        };
        // If the result arrives before the reply, no caller waits for the reply any longer.
        if let Some(waiting) = self.replies.iter_mut().find(|w| w.id == job.id) {
            waiting.deadline = None;
        }
        self.outputs.push_back(Output::JobDone {
            id: job.id,
            result: ApiReply::parse(event.body_bytes().unwrap_or_default()),
        });
    }

    fn expire(&mut self, now: Millis) {
        let mut expired: Vec<CommandId> = Vec::new();
        for waiting in &mut self.replies {
            if waiting.deadline.is_some_and(|deadline| deadline <= now) {
                waiting.deadline = None;
                expired.push(waiting.id);
            }
        }
        self.jobs.retain(|_, job| {
            if job.deadline > now {
                return true;
            }
            expired.push(job.id);
            false
        });
        self.earliest = self
            .replies
            .iter()
            .filter_map(|waiting| waiting.deadline)
            .chain(self.jobs.values().map(|job| job.deadline))
            .min();
        expired.sort_unstable();
        // A job without its reply is in both lists.
        expired.dedup();
        for id in expired {
            let sent = !self.unsend(id);
            self.outputs.push_back(Output::TimedOut { id, sent });
        }
    }

    /// Removes a command that was not written yet; no answer will come for it.
    fn unsend(&mut self, id: CommandId) -> bool {
        let Some(at) = self.transmit.iter().position(|(of, _)| *of == Some(id)) else {
            return false;
        };
        let before: usize = self.transmit.iter().take(at).map(|(_, len)| len).sum();
        if let Some((_, length)) = self.transmit.remove(at) {
            let behind = self.unsent.split_off(before + length);
            self.unsent.truncate(before);
            self.unsent.unsplit(behind);
        }
        self.replies.retain(|waiting| waiting.id != id);
        true
    }

    fn unexpected(&mut self, content_type: ContentType) {
        self.close(Output::Fatal {
            error: SessionError::Unexpected { content_type },
        });
    }

    fn close(&mut self, final_output: Output) {
        self.state = State::Closed;
        self.outputs.push_back(final_output);
        self.lose_all();
    }

    fn lose_all(&mut self) {
        let mut lost: Vec<CommandId> = self
            .replies
            .drain(..)
            .filter(|waiting| waiting.deadline.is_some())
            .map(|waiting| waiting.id)
            .collect();
        lost.extend(
            std::mem::take(&mut self.jobs)
                .into_values()
                .map(|job| job.id),
        );
        lost.sort_unstable();
        lost.dedup();
        for id in lost {
            let sent = !self.unsend(id);
            self.outputs.push_back(Output::Lost { id, sent });
        }
        self.transmit.clear();
        self.unsent.clear();
    }

    fn check_invariants(&self, _now: Millis) {
        debug_assert!(
            self.replies.iter().is_sorted_by_key(|waiting| waiting.id),
            "replies are awaited in the order of commands"
        );
        debug_assert!(
            self.in_flight() <= self.config.max_in_flight,
            "more in flight than allowed"
        );
        debug_assert!(
            self.state == State::Ready || (self.replies.is_empty() && self.jobs.is_empty()),
            "somebody waits on a session that cannot answer"
        );
        debug_assert!(
            {
                let mut end = 0;
                let whole = self.transmit.iter().all(|(_, length)| {
                    end += length;
                    self.unsent[..end].ends_with(b"\n")
                });
                whole && end == self.unsent.len()
            },
            "half a command is to be written"
        );
        debug_assert!(
            self.state != State::Ready
                || self
                    .replies
                    .iter()
                    .filter_map(|waiting| waiting.deadline)
                    .chain(self.jobs.values().map(|job| job.deadline))
                    .all(|deadline| self.earliest.is_some_and(|earliest| earliest <= deadline)),
            "a deadline would be slept through"
        );
    }
}

fn notice(frame: &Frame) -> String {
    String::from_utf8_lossy(frame.body()).trim().to_owned()
}
