//! A model of one FreeSWITCH node as it looks through the Event Socket.
//!
//! Owns channels, conferences, connections and the work that is due, in virtual time. Leaves out sockets,
//! clocks and randomness: `now` is an argument (microseconds since the Unix epoch), identifiers and the pace
//! of threads come from [`Ids`] and [`Timing`]. Whoever drives it calls [`Core::advance`] up to the present,
//! hands received bytes to [`Core::handle_bytes`], takes bytes to send from [`Core::poll_output`], and sleeps
//! until [`Core::next_wakeup`].
//!
//! The model is one of threads, as in the real server: a channel's thread sees a transfer only at its next
//! frame of audio, a conference gives the floor away when it mixes, `api` blocks its own connection and no
//! other. Each such step is work in a queue ordered by time.

mod api;
mod bulk;
mod call;
mod channel;
mod command;
mod conference;
mod conference_api;
mod conference_list;
mod conn;
mod event;
mod files;
mod json;
mod originate;
mod room;
mod show;
mod snapshot;
mod timing;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use bytes::Bytes;

use channel::Channel;
use conn::{Command, Conn};
pub use conn::{ConnId, MAX_DROPPED_IN_A_ROW, MAX_QUEUED_EVENTS};
pub use event::{Event, Format, Value, percent_decode};
pub use originate::InboundCall;
use room::Room;
pub use snapshot::{ChannelTruth, MemberTruth, RoomTruth, Snapshot};
pub use timing::{
    FLOOR_MEMORY, FRAME, IdKind, Ids, MediaPace, SeededIds, Step, TALK_MEMORY, Timing,
};

/// A file or URL that can be played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Media {
    /// How long it sounds, in microseconds; none: it cannot be opened.
    pub duration: Option<u64>,
    /// How long opening takes, as a fetch does, in microseconds.
    pub opening: u64,
}

/// What distinguishes one node from another, and what its surroundings are.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// The password of the Event Socket.
    pub password: String,
    /// `FreeSWITCH-Hostname`.
    pub hostname: String,
    /// `FreeSWITCH-Switchname`.
    pub switchname: String,
    /// `FreeSWITCH-IPv4`.
    pub ipv4: String,
    /// `FreeSWITCH-IPv6`.
    pub ipv6: String,
    /// `FreeSWITCH-Version`.
    pub version: String,
    /// `Conference-Domain`.
    pub domain: String,
    /// Between two HEARTBEATs, in microseconds.
    pub heartbeat: u64,
    /// How late `show channels` is, in microseconds.
    pub sql_lag: u64,
    /// How long a connection's thread sleeps before it looks for events again, in microseconds, unless bytes come from its
    /// client; 0: it tells them at once.
    pub poll: u64,
    /// How long a client may take to authenticate, in microseconds.
    pub auth_timeout: u64,
    /// How long a channel that found its conference takes to become a member, in microseconds. A conference that loses
    /// its last member meanwhile takes the channel in and puts it out.
    pub admission: u64,
    /// How many events wait for one connection before more are dropped.
    pub max_queued_events: usize,
    /// `Max-Sessions`; calls beyond are refused.
    pub max_sessions: u64,
    /// Known media by path. What is not listed can be opened and lasts [`NodeConfig::default_media`].
    pub media: BTreeMap<String, Media>,
    /// Media not listed.
    pub default_media: Media,
    /// The most members of a conference, by its profile; 0, as for one that is not listed: any number.
    pub max_members: BTreeMap<String, u64>,
    /// Modules that are loaded besides those that do the work.
    pub modules: Vec<String>,
    /// The dialplan: by extension, applications and their arguments.
    pub dialplan: BTreeMap<String, Vec<(String, String)>>,
    /// What an extension does that the dialplan does not list; empty: there is no route.
    pub default_plan: Vec<(String, String)>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let plan = |steps: &[(&str, &str)]| {
            steps
                .iter()
                .map(|(app, arg)| ((*app).to_owned(), (*arg).to_owned()))
                .collect::<Vec<_>>()
        };
        Self {
            password: "ClueCon".into(),
            hostname: "sim".into(),
            switchname: "sim".into(),
            ipv4: "192.0.2.2".into(),
            ipv6: "fd00::2".into(),
            version: "1.11.3-sim".into(),
            domain: "127.0.0.1".into(),
            heartbeat: 20_000_000,
            sql_lag: 100_000,
            poll: 20_000,
            auth_timeout: 25_000_000,
            admission: 0,
            max_queued_events: MAX_QUEUED_EVENTS,
            max_sessions: 20_000,
            media: BTreeMap::new(),
            default_media: Media {
                duration: Some(2_000_000),
                opening: 0,
            },
            max_members: BTreeMap::from([("roomkeeper-connect".into(), 2)]),
            modules: vec!["mod_flite".into()],
            dialplan: BTreeMap::from([
                (
                    "silence".into(),
                    plan(&[("answer", ""), ("playback", "silence_stream://-1")]),
                ),
                (
                    "talk".into(),
                    plan(&[
                        ("answer", ""),
                        ("playback", "tone_stream://%(1500,2500,440);loops=-1"),
                    ]),
                ),
                ("busy".into(), plan(&[("hangup", "USER_BUSY")])),
            ]),
            default_plan: plan(&[("answer", ""), ("park", "")]),
        }
    }
}

/// Work that is due at some time.
#[derive(Debug, Clone)]
enum Task {
    /// A channel's thread looks around.
    Run(String),
    /// A leg of an originated call does its next step.
    Leg(originate::LegStep, String),
    /// A call from outside does its next step.
    Inbound(originate::LegStep, String),
    /// A channel asks to enter the conference of its running application, which has this id.
    Join(String, String),
    /// A channel that was let in becomes a member of this conference.
    Add(String, String, conference::Admission),
    /// A channel is hung up by its peer.
    PeerHangup(String, &'static str),
    /// A channel finds its peer gone.
    PeerNotice(String),
    Report(String),
    Destroy(String),
    ParkTimeout(String, u64, &'static str),
    /// The other side of this channel starts or stops to speak; the number is the tone's.
    Tone(String, u64, u64, u64, bool),
    TalkStart(String),
    TalkStop(String),
    Floor(String),
    RoomEnd(String),
    RoomGone(String),
    /// Something of a room that has a serial number: the head file's end, a member file's.
    FileDone(String, u64),
    MemberFileDone(String, u64, u64),
    FilesStop(String, Vec<u64>),
    RecordStart(String, String),
    RecordStop(String, String),
    PlayOpened(u64, conference_api::Play),
    Job(u64),
    Sql(String),
    /// A command that took its time has its answer.
    Done(u64, &'static str),
    Heartbeat,
    AuthTimeout(ConnId),
    /// The thread of a connection has slept long enough.
    Look(ConnId),
    ShutdownNotice,
}

/// Who waits for the outcome of a command.
#[derive(Debug, Clone)]
enum Waiter {
    Api(ConnId),
    Job {
        uuid: String,
        command: String,
        arg: String,
    },
}

/// What the model counts, faults above all: a test asserts that those it injected did occur.
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
    /// Connections given up because they did not read.
    pub given_up: u64,
    /// Refused authentications.
    pub refused: u64,
    /// Refused joins.
    pub joins_refused: u64,
    /// Members that a conference put out because it ended.
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
    /// By id. A node has many, each looked up for each list; whoever goes through all of them puts them in order.
    channels: HashMap<String, Channel>,
    rooms: BTreeMap<String, Room>,
    next_member: u64,
    sessions: u64,
    /// What `show channels` has: by session, the channel and its row.
    rows: BTreeMap<u64, (String, show::ChannelRow)>,
    pending: BTreeMap<u64, Waiter>,
    jobs: BTreeMap<u64, (String, String)>,
    originating: BTreeMap<String, originate::Origination>,
    dirty: BTreeSet<String>,
    /// A second, and how events write it.
    dates: (u64, (String, String)),
    drop_events: u64,
    /// Events about this conference or channel are lost.
    lost: Option<String>,
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

/// Where in the server an event is created: file, function, line.
type Origin = (&'static str, &'static str, u64);

impl Core {
    /// A node that was started at `now`.
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
            dates: (0, dates(0)),
            drop_events: 0,
            lost: None,
            shut_down: false,
            counters: Counters::default(),
        };
        core.schedule(now + heartbeat, Task::Heartbeat);
        core
    }

    /// `Core-UUID`.
    #[must_use]
    pub fn core_uuid(&self) -> &str {
        &self.core_uuid
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The surroundings, to change media or the dialplan.
    pub fn config_mut(&mut self) -> &mut NodeConfig {
        &mut self.config
    }

    /// The next member gets this id, as on a node that has had members before.
    pub fn set_next_member_id(&mut self, id: u64) {
        self.next_member = id;
    }

    /// The next `n` events are lost to everyone, as if every queue had been full.
    pub fn drop_next_events(&mut self, n: u64) {
        self.drop_events += n;
    }

    /// Events about this conference or channel are lost to everyone from now on; `None`: no more.
    pub fn lose_events_about(&mut self, what: Option<String>) {
        self.lost = what;
    }

    /// When there is work to do next.
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

    /// A client connected. The greeting is its first output.
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

    /// A client is gone.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    /// Bytes came from a client.
    pub fn handle_bytes(&mut self, conn: ConnId, bytes: &[u8], now: u64) {
        self.advance(now);
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        if !state.receive(bytes) {
            state.closing = true;
        }
        self.work_inbox(conn);
        self.look(conn);
    }

    /// Something has woken the thread of a connection: it goes on to tell events.
    fn look(&mut self, conn: ConnId) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.look(self.now);
        }
    }

    /// One command came from a client: its lines, and behind a blank line its body.
    pub fn handle_command(&mut self, conn: ConnId, text: &str, now: u64) {
        self.advance(now);
        let Some(state) = self.conns.get_mut(&conn) else {
            return;
        };
        state.inbox.push_back(Command::parse(text));
        self.work_inbox(conn);
        self.look(conn);
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

    /// Takes what is to be sent to a client, up to `limit` bytes.
    pub fn poll_output_up_to(&mut self, conn: ConnId, limit: usize) -> Bytes {
        self.conns
            .get_mut(&conn)
            .map(|state| state.take(limit))
            .unwrap_or_default()
    }

    /// Takes all that is to be sent to a client.
    pub fn poll_output(&mut self, conn: ConnId) -> Vec<u8> {
        self.conns
            .get_mut(&conn)
            .map(Conn::take_all)
            .unwrap_or_default()
    }

    /// There is something to be sent to a client.
    #[must_use]
    pub fn has_output(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_some_and(Conn::has_output)
    }

    /// The server has closed this connection: all was taken that will ever come.
    #[must_use]
    pub fn is_closed(&self, conn: ConnId) -> bool {
        self.conns.get(&conn).is_none_or(Conn::finished)
    }

    /// How many events wait for a client.
    #[must_use]
    pub fn queued_events(&self, conn: ConnId) -> usize {
        self.conns.get(&conn).map_or(0, Conn::queued_events)
    }

    /// Connections that listen to events.
    #[must_use]
    pub fn listeners(&self) -> Vec<ConnId> {
        self.conns
            .iter()
            .filter(|(_, conn)| conn.listening)
            .map(|(id, _)| *id)
            .collect()
    }

    /// Puts bytes into a client's stream that no server would send.
    pub fn inject(&mut self, conn: ConnId, bytes: &[u8]) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.reply(bytes.to_vec());
        }
    }

    /// Begins to stop the node as a supervisor does: everyone is told, calls end, then connections.
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
            // What was queued is told first; the notice comes behind it.
            conn.look(self.now);
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
            Task::RoomEnd(uid) => self.room_end(&uid),
            Task::RoomGone(uid) => self.room_gone(&uid),
            Task::FileDone(uid, serial) => self.file_done(&uid, serial),
            Task::MemberFileDone(uid, member, serial) => {
                self.member_file_done(&uid, member, serial)
            }
            Task::FilesStop(uid, serials) => self.files_stop(&uid, &serials),
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
            Task::Look(conn) => {
                let again = self.conns.get_mut(&conn).and_then(|c| c.wake(self.now));
                if let Some(at) = again {
                    self.schedule(at, Task::Look(conn));
                }
            }
            Task::ShutdownNotice => self.shutdown_notice(),
        }
    }

    /// A new event with the headers that all have. Its sequence number is taken here.
    fn event(&mut self, name: impl Into<std::borrow::Cow<'static, str>>, origin: Origin) -> Event {
        self.new_event(name.into(), None, origin)
    }

    /// A new CUSTOM event.
    fn custom(&mut self, subclass: &str, origin: Origin) -> Event {
        self.new_event("CUSTOM".into(), Some(subclass.to_owned()), origin)
    }

    fn new_event(
        &mut self,
        name: std::borrow::Cow<'static, str>,
        subclass: Option<String>,
        (file, function, line): Origin,
    ) -> Event {
        self.sequence += 1;
        self.counters.events += 1;
        let second = self.now / 1_000_000;
        if self.dates.0 != second {
            self.dates = (second, dates(self.now));
        }
        let (local, gmt) = self.dates.1.clone();
        let mut event = Event {
            name: name.clone(),
            subclass,
            headers: Vec::with_capacity(90),
            body: None,
        };
        if let Some(subclass) = event.subclass.clone() {
            event.add("Event-Subclass", subclass);
        }
        event.headers.push(("Event-Name".into(), Value::Text(name)));
        event.add("Core-UUID", self.core_uuid.clone());
        event.add("FreeSWITCH-Hostname", self.config.hostname.clone());
        event.add("FreeSWITCH-Switchname", self.config.switchname.clone());
        event.add("FreeSWITCH-IPv4", self.config.ipv4.clone());
        event.add("FreeSWITCH-IPv6", self.config.ipv6.clone());
        event.add("Event-Date-Local", local);
        event.add("Event-Date-GMT", gmt);
        event.add("Event-Date-Timestamp", self.now);
        event.add("Event-Calling-File", file);
        event.add("Event-Calling-Function", function);
        event.add("Event-Calling-Line-Number", line);
        event.add("Event-Sequence", self.sequence);
        event
    }

    /// Offers an event to every connection.
    fn emit(&mut self, event: Event) {
        if self.drop_events > 0 {
            self.drop_events -= 1;
            self.counters.dropped += 1;
            return;
        }
        if let Some(what) = self.lost.as_deref()
            && ["Conference-Name", "Unique-ID"]
                .iter()
                .any(|name| event.get(name).as_deref() == Some(what))
        {
            self.counters.dropped += 1;
            return;
        }
        let event = Arc::new(event);
        let mut looks = Vec::new();
        for (id, conn) in &mut self.conns {
            let was_closing = conn.closing;
            if !conn.offer(&event) {
                self.counters.overflowed += 1;
                if conn.closing && !was_closing {
                    self.counters.given_up += 1;
                }
            }
            looks.extend(conn.next_look(self.now).map(|at| (at, *id)));
        }
        for (at, id) in looks {
            self.schedule(at, Task::Look(id));
        }
    }

    /// Emits an event about a channel, its variables included, then whatever `more` adds.
    fn emit_channel(
        &mut self,
        name: &'static str,
        uuid: &str,
        origin: Origin,
        more: &[(&'static str, String)],
    ) {
        let mut event = self.event(name, origin);
        let Some(channel) = self.channels.get(uuid) else {
            return;
        };
        channel.describe(&mut event);
        channel.describe_vars(&mut event);
        for (key, value) in more {
            event.add(*key, value.clone());
        }
        self.emit(event);
        self.dirty.insert(uuid.to_owned());
    }

    fn heartbeat(&mut self) {
        let up = self.now.saturating_sub(self.started) / 1000;
        let mut event = self.event("HEARTBEAT", ("switch_core.c", "send_heartbeat", 95));
        event.add("Event-Info", "System Ready");
        event.add("Up-Time", uptime(up * 1000));
        event.add("FreeSWITCH-Version", self.config.version.clone());
        event.add("Uptime-msec", up);
        event.add("Session-Count", self.channels.len() as u64);
        event.add("Max-Sessions", self.config.max_sessions);
        event.add("Session-Per-Sec", "1000");
        event.add("Session-Per-Sec-Last", "0");
        event.add("Session-Per-Sec-Max", "0");
        event.add("Session-Per-Sec-FiveMin", "0");
        event.add("Session-Since-Startup", self.sessions);
        event.add("Session-Peak-Max", self.channels.len() as u64);
        event.add("Session-Peak-FiveMin", self.channels.len() as u64);
        event.add("Idle-CPU", "97.333333");
        self.emit(event);
        if !self.shut_down {
            self.schedule(self.now + self.config.heartbeat, Task::Heartbeat);
        }
    }

    /// Answers whoever waits for a command.
    fn finish(&mut self, pending: u64, body: String) {
        match self.pending.remove(&pending) {
            Some(Waiter::Api(conn)) => {
                if let Some(state) = self.conns.get_mut(&conn) {
                    state.reply(api_reply(&body));
                    state.busy = false;
                }
                self.work_inbox(conn);
                self.look(conn);
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

    /// The table behind `show channels` is written a little later than things happen.
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

/// `text/disconnect-notice` with this text.
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

/// A moment as `Event-Date-Local` and as `Event-Date-GMT`; the node lives in UTC.
fn dates(now: u64) -> (String, String) {
    let stamp = i64::try_from(now)
        .ok()
        .and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok())
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    (
        stamp.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        stamp.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
    )
}

/// A duration in microseconds, in the words of the server.
fn uptime(micros: u64) -> String {
    let plural =
        |count: u64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    let seconds = micros / 1_000_000;
    [
        plural(seconds / 31_536_000, "year"),
        plural(seconds % 31_536_000 / 86_400, "day"),
        plural(seconds % 86_400 / 3_600, "hour"),
        plural(seconds % 3_600 / 60, "minute"),
        plural(seconds % 60, "second"),
        plural(micros % 1_000_000 / 1_000, "millisecond"),
        plural(micros % 1_000, "microsecond"),
    ]
    .join(", ")
}
