//! A model of one FreeSWITCH node, as seen through the Event Socket.
//!
//! Owns channels, conferences, connections and due work, in virtual time. Leaves out sockets, clocks and randomness: `now`
//! is an argument (microseconds since the Unix epoch), identifiers and the timing of threads come from [`Ids`] and
//! [`Timing`]. The driver calls [`Core::advance`] up to the present, passes received bytes to [`Core::handle_bytes`], takes
//! output from [`Core::poll_output`], and sleeps until [`Core::next_wakeup`].
//!
//! The model is one of threads, as in the real server: a channel's thread notices a transfer only at its next frame of
//! audio, a conference gives the floor away when it mixes, `api` blocks its own connection and no other. Each such step is
//! work in a queue ordered by time.

mod api;
mod applications;
mod bridge;
mod bulk;
mod call;
mod callee;
mod channel;
mod channel_recordings;
mod channel_row;
mod collecting;
mod command;
mod conference;
mod conference_api;
mod conference_files;
mod conference_list;
mod conference_members;
mod conference_recordings;
mod config;
mod conn;
mod dates;
mod digits;
mod emit;
mod event;
mod files;
mod floor;
mod inline;
mod json;
mod originate;
mod pending;
mod recovery;
mod relay;
mod room;
mod show;
mod snapshot;
mod task;
mod timing;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use channel::Channel;
use channel_row::ChannelRow;
pub use config::{Callee, CalleeOutcome, Media, NodeConfig};
use conn::{Command, Conn};
pub use conn::{ConnId, MAX_DROPPED_IN_A_ROW, MAX_QUEUED_EVENTS};
use dates::dates;
pub use event::{Event, Format, Value, percent_decode};
pub use originate::InboundCall;
use pending::{Origination, Waiter};
pub use recovery::TrackedCall;
pub use relay::RelaySignal;
use room::Room;
pub use snapshot::{ChannelTruth, MemberTruth, RoomTruth, Snapshot};
use task::Task;
pub use timing::{
    FLOOR_MEMORY, FRAME, IdKind, Ids, MediaPace, SeededIds, Step, TALK_MEMORY, Timing,
};

/// Counters of the model, above all of faults: a test asserts that its injected faults occurred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events created.
    pub events: u64,
    /// Events that a full queue dropped.
    pub overflowed: u64,
    /// Events that [`Core::drop_next_events`] and [`Core::lose_events_about`] dropped.
    pub dropped: u64,
    /// Commands received.
    pub commands: u64,
    /// Connections given up because their client did not read.
    pub given_up: u64,
    /// Refused authentications.
    pub refused: u64,
    /// Refused joins.
    pub joins_refused: u64,
    /// Members that a conference removed because it ended.
    pub put_out: u64,
    /// Calls that hung up because they were transferred too often.
    pub out_of_forwards: u64,
}

/// The node.
pub struct Core {
    config: NodeConfig,
    core_uuid: String,
    ids: Box<dyn Ids>,
    timing: Box<dyn Timing>,
    now: u64,
    started: u64,
    sequence: u64,
    serial: u64,
    tasks: BTreeMap<(u64, u64), Task>,
    conns: BTreeMap<ConnId, Conn>,
    next_conn: u64,
    /// By id. A node has many, each looked up for each list; code that visits all of them sorts them.
    channels: HashMap<String, Channel>,
    rooms: BTreeMap<String, Room>,
    next_member: u64,
    sessions: u64,
    /// The rows of `show channels`: by session, the channel and its row.
    rows: BTreeMap<u64, (String, ChannelRow)>,
    pending: BTreeMap<u64, Waiter>,
    jobs: BTreeMap<u64, (String, String)>,
    originating: BTreeMap<String, Origination>,
    dirty: BTreeSet<String>,
    /// The stored calls of an earlier run that can be recovered.
    tracked: Vec<TrackedCall>,
    /// A second, and its form in events.
    dates: (u64, (String, String)),
    drop_events: u64,
    /// Events about this conference or channel are lost.
    lost: Option<String>,
    /// Signals to other nodes, which the server delivers.
    relay_signals: Vec<RelaySignal>,
    shut_down: bool,
    counters: Counters,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("core_uuid", &self.core_uuid)
            .field("now", &self.now)
            .field("channels", &self.channels.len())
            .field("rooms", &self.rooms.len())
            .field("conns", &self.conns.len())
            .finish_non_exhaustive()
    }
}

/// The origin of an event in the server: file, function, line.
type Origin = (&'static str, &'static str, u64);

impl Core {
    /// Creates a node that starts at `now`.
    #[must_use]
    pub fn new(
        config: NodeConfig,
        mut ids: Box<dyn Ids>,
        timing: Box<dyn Timing>,
        now: u64,
    ) -> Self {
        let core_uuid = ids.next(IdKind::Core);
        let heartbeat = config.heartbeat;
        let mut core = Self {
            config,
            core_uuid,
            ids,
            timing,
            now,
            started: now,
            sequence: 0,
            serial: 0,
            tasks: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            channels: HashMap::new(),
            rooms: BTreeMap::new(),
            next_member: 1,
            sessions: 0,
            rows: BTreeMap::new(),
            pending: BTreeMap::new(),
            jobs: BTreeMap::new(),
            originating: BTreeMap::new(),
            dirty: BTreeSet::new(),
            tracked: Vec::new(),
            dates: (0, dates(0)),
            drop_events: 0,
            lost: None,
            relay_signals: Vec::new(),
            shut_down: false,
            counters: Counters::default(),
        };
        core.schedule(now + heartbeat, Task::Heartbeat);
        core
    }

    /// Returns `Core-UUID`.
    #[must_use]
    pub fn core_uuid(&self) -> &str {
        &self.core_uuid
    }

    /// Returns the counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the configuration, to change media or the dialplan.
    pub fn config_mut(&mut self) -> &mut NodeConfig {
        &mut self.config
    }

    /// Sets the id of the next member, as on a node that has had members before.
    pub fn set_next_member_id(&mut self, id: u64) {
        self.next_member = id;
    }

    /// Loses the next `n` events for all clients, as if every queue were full.
    pub fn drop_next_events(&mut self, n: u64) {
        self.drop_events += n;
    }

    /// Loses events about this conference or channel for all clients from now on; `None` ends that.
    pub fn lose_events_about(&mut self, what: Option<String>) {
        self.lost = what;
    }

    /// Returns the time of the next work.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<u64> {
        self.tasks.keys().next().map(|(at, _)| *at)
    }

    /// Does all work that is due up to `now`.
    pub fn advance(&mut self, now: u64) {
        while let Some(entry) = self.tasks.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), task) = entry.remove_entry();
            self.now = self.now.max(at);
            self.perform(task);
            self.refresh_rows();
        }
        self.now = self.now.max(now);
    }

    /// Connects a client. The greeting is its first output.
    pub fn connect(&mut self, now: u64) -> ConnId {
        self.advance(now);
        self.next_conn += 1;
        let id = ConnId(self.next_conn);
        let mut conn = Conn::new(self.config.max_queued_events, self.config.poll, self.now);
        conn.reply(b"Content-Type: auth/request\n\n".to_vec());
        self.conns.insert(id, conn);
        self.schedule(self.now + self.config.auth_timeout, Task::AuthTimeout(id));
        id
    }

    /// Disconnects a client.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// Receives bytes from a client.
    pub fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8], now: u64) {
        self.advance(now);
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if !state.receive(bytes) {
            state.closing = true;
        }
        self.work_inbox(conn);
        self.check_events(conn);
    }

    /// Wakes the thread of a connection, which continues to deliver events.
    fn check_events(&mut self, conn: ConnId) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.check_events(self.now);
        }
    }

    /// Receives one command from a client: its lines, and a body behind a blank line.
    pub fn handle_command(&mut self, conn: ConnId, text: &str, now: u64) {
        self.advance(now);
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        state.inbox.push_back(Command::parse(text));
        self.work_inbox(conn);
        self.check_events(conn);
    }

    /// Runs the commands of a connection until one blocks its thread.
    fn work_inbox(&mut self, conn: ConnId) {
        loop {
            let Some(state) = self.conns.get_mut(&conn) else {
                return;
            };
            if state.busy || state.closing {
                return;
            }
            let Some(command) = state.inbox.pop_front() else {
                return;
            };
            self.counters.commands += 1;
            self.command(conn, &command);
            self.refresh_rows();
        }
    }

    /// Takes the output for a client, up to `limit` bytes.
    pub fn poll_output_up_to(&mut self, conn: ConnId, limit: usize) -> Bytes {
        self.conns
            .get_mut(&conn)
            .map(|state| state.take(limit))
            .unwrap_or_default()
    }

    /// Takes all output for a client.
    pub fn poll_output(&mut self, conn: ConnId) -> Vec<u8> {
        self.conns
            .get_mut(&conn)
            .map(Conn::take_all)
            .unwrap_or_default()
    }

    /// Returns true if there is output for a client.
    #[must_use]
    pub fn has_output(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(Conn::has_output)
    }

    /// Returns true if the server has closed this connection and all output was taken.
    #[must_use]
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_none_or(Conn::finished)
    }

    /// Returns the number of events that wait for a client.
    #[must_use]
    pub fn queued_events(&self, conn: ConnId) -> usize {
        self.conns.get(&conn).map_or(0, Conn::queued_events)
    }

    /// Returns the connections with event subscriptions.
    #[must_use]
    pub fn listeners(&self) -> Vec<ConnId> {
        self.conns
            .iter()
            .filter(|(_, conn)| conn.listening)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Inserts bytes into a client's stream that no server would send.
    pub fn inject(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.reply(bytes.to_vec());
        }
    }

    /// Begins to stop the node as a supervisor does: clients get a notice, calls end, then connections.
    pub fn shut_down(&mut self, now: u64) {
        self.advance(now);
        if self.shut_down {
            return;
        }
        self.shut_down = true;
        let mut event = self.event("SHUTDOWN", ("switch_core.c", "switch_core_destroy", 3033));
        event.add("Event-Info", "System Shutting Down");
        self.emit(event);
        self.hang_up_all("SYSTEM_SHUTDOWN");
        self.schedule(self.now + 1_000_000, Task::ShutdownNotice);
        self.refresh_rows();
    }

    fn shutdown_notice(&mut self) {
        let notice = "The system is being shut down.\n";
        for conn in self.conns.values_mut() {
            // Queued events go out first, then the notice.
            conn.check_events(self.now);
            let mut rest = conn.take_all();
            rest.extend_from_slice(disconnect_notice(notice).as_bytes());
            conn.reply(rest);
            conn.closing = true;
        }
    }

    fn schedule(&mut self, at: u64, task: Task) {
        if at == u64::MAX {
            return;
        }
        self.serial += 1;
        self.tasks.insert((at.max(self.now), self.serial), task);
    }

    /// Schedules a step of a thread.
    fn step(&mut self, step: Step, subject: &str, task: Task) {
        let at = self.timing.at(step, subject, self.now);
        self.schedule(at, task);
    }

    fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn perform(&mut self, task: Task) {
        match task {
            Task::Run(uuid) => self.run_channel(&uuid),
            Task::Leg(step, uuid) => self.leg_step(step, &uuid),
            Task::Callee(step, uuid) => self.callee_step(step, &uuid),
            Task::Recovered(uuid) => self.recovered(&uuid),
            Task::Inbound(step, uuid) => self.inbound_step(step, &uuid),
            Task::Join(uuid, app) => self.join(&uuid, &app),
            Task::Add(uuid, app, admission) => self.add(&uuid, &app, &admission),
            Task::PeerHangup(uuid, cause) => self.hang_up(&uuid, cause),
            Task::PeerNotice(uuid) => self.peer_notice(&uuid),
            Task::Report(uuid) => self.report(&uuid),
            Task::Destroy(uuid) => self.destroy(&uuid),
            Task::ParkTimeout(uuid, timer, cause) => self.park_timeout(&uuid, timer, cause),
            Task::Tone(uuid, tone, on, off, speaks) => self.tone(&uuid, tone, on, off, speaks),
            Task::TalkStart(uuid) => self.talk_start(&uuid),
            Task::TalkStop(uuid) => self.talk_stop(&uuid),
            Task::Floor(uid) => self.floor_tick(&uid),
            Task::RoomEnd(uid) => self.end_room(&uid),
            Task::RoomGone(uid) => self.destroy_room(&uid),
            Task::FileDone(uid, serial) => self.end_file(&uid, serial),
            Task::MemberFileDone(uid, member, serial) => {
                self.end_member_file(&uid, member, serial, false)
            }
            Task::FilesStop(uid, serials) => self.close_stopped_files(&uid, &serials),
            Task::RecordStart(uid, path) => self.record_start(&uid, &path),
            Task::RecordStop(uid, path) => self.record_stop(&uid, &path),
            Task::PlayOpened(pending, play) => self.play_opened(pending, &play),
            Task::Job(pending) => self.run_job(pending),
            Task::Sql(uuid) => self.refresh_row(&uuid),
            Task::Done(pending, body) => self.finish(pending, body.to_owned()),
            Task::Heartbeat => self.heartbeat(),
            Task::AuthTimeout(conn) => {
                if let Some(state) = self.conns.get_mut(&conn)
                    && !state.authed
                {
                    state.closing = true;
                }
            }
            Task::CheckEvents(conn) => {
                let again = self.conns.get_mut(&conn).and_then(|c| c.wake(self.now));
                if let Some(at) = again {
                    self.schedule(at, Task::CheckEvents(conn));
                }
            }
            Task::ShutdownNotice => self.shutdown_notice(),
        }
    }

    /// Answers the client that waits for a command.
    fn finish(&mut self, pending: u64, body: String) {
        match self.pending.remove(&pending) {
            Some(Waiter::Api(conn)) => {
                if let Some(state) = self.conns.get_mut(&conn) {
                    state.reply(api_reply(&body));
                    state.busy = false;
                }
                self.work_inbox(conn);
                self.check_events(conn);
            }
            Some(Waiter::Job { uuid, command, arg }) => {
                let mut event =
                    self.event("BACKGROUND_JOB", ("mod_event_socket.c", "api_exec", 1580));
                event.add("Job-UUID", uuid);
                event.add("Job-Command", command);
                if !arg.is_empty() {
                    event.add("Job-Command-Arg", arg);
                }
                event.body = Some(if body.is_empty() {
                    "-ERR no reply\n".to_owned()
                } else {
                    body
                });
                self.emit(event);
            }
            None => {}
        }
    }

    /// Writes the table behind `show channels`, a little later than the changes.
    fn refresh_rows(&mut self) {
        let lag = self.config.sql_lag;
        for uuid in std::mem::take(&mut self.dirty) {
            self.schedule(self.now + lag, Task::Sql(uuid));
        }
    }

    fn refresh_row(&mut self, uuid: &str) {
        match self.channels.get(uuid) {
            Some(channel) => {
                let row = self.row(channel);
                self.rows.insert(channel.session_id, (uuid.to_owned(), row));
            }
            None => self.rows.retain(|_, (of, _)| of != uuid),
        }
    }
}

/// Returns a `text/disconnect-notice` with this text.
fn disconnect_notice(text: &str) -> String {
    format!(
        "Content-Type: text/disconnect-notice\nContent-Length: {}\n\n{text}",
        text.len()
    )
}

fn api_reply(body: &str) -> Vec<u8> {
    let body = if body.is_empty() {
        "-ERR no reply\n"
    } else {
        body
    };
    format!(
        "Content-Type: api/response\nContent-Length: {}\n\n{body}",
        body.len()
    )
    .into_bytes()
}
