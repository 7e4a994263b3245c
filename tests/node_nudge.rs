//! Newlines that make a node send its events at once: they are sent between commands only, only while they help, and in
//! bounded number to a node that does not read.
//!
//! The node is a server that only distinguishes commands from newlines.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests may panic as tests may"
)]

use std::time::Duration;

use freeswitch_esl::Event;
use freeswitch_esl::command::{Api, Arg, ChannelUuid, ModuleName, Password};
use roomkeeper::node::{self, EventSink, FENCE_SUBCLASS, NodeConfig, NodeHandle, Nudge, Timing};
use roomkeeper::supervise::ShutdownPhase;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than any expected wait, which takes milliseconds.
const TIMEOUT: Duration = Duration::from_secs(20);

const EVERY_MS: Nudge = Nudge::Every(Duration::from_millis(1));

/// An item that came from the client.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Received {
    Newline,
    /// Its lines, without the blank one.
    Command(String),
}

/// One connection of the client.
struct Link {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    buffer: Vec<u8>,
}

impl Link {
    async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = timeout(TIMEOUT, listener.accept()).await.unwrap().unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self {
            reader,
            writer,
            buffer: Vec::new(),
        }
    }

    async fn send(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    async fn event(&mut self, name: &str, more: &str) {
        self.send(&event(name, more)).await;
    }

    /// Cuts a whole item from the buffer. A newline counts where a command could begin; any other byte begins a command,
    /// which ends with a blank line and must be well-formed.
    fn cut(&mut self) -> Option<Received> {
        if *self.buffer.first()? == b'\n' {
            self.buffer.remove(0);
            return Some(Received::Newline);
        }
        let end = self.buffer.windows(2).position(|two| two == b"\n\n")?;
        let text = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        self.buffer.drain(..end + 2);
        let mut lines = text.lines();
        let word = lines.next().unwrap().split(' ').next().unwrap();
        let known = ["auth", "event", "filter", "api", "bgapi", "sendevent"];
        assert!(known.contains(&word), "no command: {text:?}");
        assert!(lines.all(|line| line.contains(": ")), "broken: {text:?}");
        Some(Received::Command(text))
    }

    async fn receive(&mut self) -> Received {
        timeout(TIMEOUT, self.receive_without_timeout())
            .await
            .unwrap()
    }

    async fn receive_without_timeout(&mut self) -> Received {
        loop {
            if let Some(received) = self.cut() {
                return received;
            }
            let read = self.reader.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the client closed the connection");
        }
    }

    /// Collects the items until none comes for the duration.
    async fn until_quiet(&mut self, quiet: Duration) -> Vec<Received> {
        let mut all = Vec::new();
        while let Ok(received) = timeout(quiet, self.receive_without_timeout()).await {
            all.push(received);
        }
        all
    }

    /// Returns the next command and the number of newlines before it.
    async fn command(&mut self) -> (String, usize) {
        let mut newlines = 0;
        loop {
            match self.receive().await {
                Received::Newline => newlines += 1,
                Received::Command(text) => return (text, newlines),
            }
        }
    }

    /// Answers until the client has authenticated and subscribed. Returns true if it subscribed to events.
    async fn set_up(&mut self) -> bool {
        self.send("Content-Type: auth/request\n\n").await;
        assert_eq!(self.command().await, ("auth secret".to_owned(), 0));
        self.accepted().await;
        let (subscription, newlines) = self.command().await;
        assert_eq!(newlines, 0, "no activity yet");
        self.accepted().await;
        let events = subscription.contains("CHANNEL_CREATE");
        if !events {
            assert!(self.command().await.0.starts_with("filter "));
            self.accepted().await;
        }
        events
    }

    async fn accepted(&mut self) {
        self.send("Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
            .await;
    }

    /// Answers one command of any kind.
    async fn answers(&mut self, text: &str) {
        if text.starts_with("api ") {
            let answer = text.split_once("echo ").map_or("false", |(_, rest)| rest);
            let length = answer.len();
            self.send(&format!(
                "Content-Type: api/response\nContent-Length: {length}\n\n{answer}"
            ))
            .await;
        } else {
            self.accepted().await;
        }
    }
}

fn event(name: &str, more: &str) -> String {
    let body = format!("Event-Name: {name}\nEvent-Sequence: 1\n{more}\n");
    let length = body.len();
    format!("Content-Length: {length}\nContent-Type: text/event-plain\n\n{body}")
}

struct RecordingSink(mpsc::UnboundedSender<String>);

impl EventSink for RecordingSink {
    fn up(&mut self) {
        let _ = self.0.send("up".to_owned());
    }
    fn event(&mut self, event: &Event) {
        let _ = self.0.send(event.name().into_owned());
    }
    fn down(&mut self) {
        let _ = self.0.send("down".to_owned());
    }
}

/// A node and its client, with both connections up.
struct Pair {
    handle: NodeHandle,
    commands: Link,
    events: Link,
    received_events: mpsc::UnboundedReceiver<String>,
    phase: ShutdownPhase,
}

impl Pair {
    async fn expect_event(&mut self, name: &str) {
        let received_events = timeout(TIMEOUT, self.received_events.recv()).await.unwrap();
        assert_eq!(received_events.as_deref(), Some(name));
    }

    async fn end(self) {
        assert!(self.phase.end(TIMEOUT).await);
    }
}

fn config(address: String, nudge: Nudge) -> NodeConfig {
    NodeConfig {
        id: "acW68".parse().unwrap(),
        address,
        password: Password::new("secret").unwrap(),
        speech_module: ModuleName::new("mod_flite").unwrap(),
        timing: Timing::default(),
        nudge,
    }
}

fn start(
    address: String,
    nudge: Nudge,
    phase: &ShutdownPhase,
) -> (NodeHandle, mpsc::UnboundedReceiver<String>) {
    let (sender, received_events) = mpsc::unbounded_channel();
    let handle = node::start(config(address, nudge), RecordingSink(sender), phase).unwrap();
    (handle, received_events)
}

async fn pair_on(listener: TcpListener, nudge: Nudge) -> Pair {
    let phase = ShutdownPhase::new();
    let (handle, received_events) =
        start(listener.local_addr().unwrap().to_string(), nudge, &phase);
    let mut commands = Link::accept(&listener).await;
    assert!(!commands.set_up().await);
    let (question, _) = commands.command().await;
    assert_eq!(question, "api module_exists mod_flite");
    commands.answers(&question).await;
    handle.want_events(true);
    let mut events = Link::accept(&listener).await;
    assert!(events.set_up().await);
    let mut pair = Pair {
        handle,
        commands,
        events,
        received_events,
        phase,
    };
    pair.expect_event("up").await;
    pair
}

async fn pair(nudge: Nudge) -> Pair {
    pair_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), nudge).await
}

#[tokio::test]
async fn event_is_followed_by_newlines_for_a_while() {
    let mut pair = pair(Nudge::Adaptive).await;
    // The requests during the setup cause some newlines.
    pair.events.until_quiet(Duration::from_secs(1)).await;
    for _ in 0..3 {
        pair.events.event("CHANNEL_PARK", "").await;
        pair.expect_event("CHANNEL_PARK").await;
        let received = pair.events.until_quiet(Duration::from_secs(1)).await;
        assert!(
            (1..=70).contains(&received.len()),
            "{} newlines",
            received.len()
        );
        assert!(
            received
                .iter()
                .all(|received| *received == Received::Newline),
            "{received:?}"
        );
    }
    // A node that sends only HEARTBEAT is idle.
    pair.events.event("HEARTBEAT", "").await;
    pair.expect_event("HEARTBEAT").await;
    let received = pair.events.until_quiet(Duration::from_millis(200)).await;
    assert_eq!(received, [], "after a HEARTBEAT");
    // The other connection awaits nothing either.
    let received = pair.commands.until_quiet(Duration::from_millis(100)).await;
    assert_eq!(received, []);
    pair.end().await;
}

#[tokio::test]
async fn command_sends_newlines_on_the_connection_of_its_event() {
    let mut pair = pair(Nudge::Adaptive).await;
    pair.events.until_quiet(Duration::from_secs(1)).await;
    // No event follows a read-only command.
    let answer = pair.handle.api(Api::Echo(Arg::new("x").unwrap()));
    let (command, newlines) = pair.commands.command().await;
    assert_eq!((command.as_str(), newlines), ("api echo x", 0));
    pair.commands.answers(&command).await;
    assert!(answer.await.is_ok());
    let received = pair.events.until_quiet(Duration::from_millis(100)).await;
    assert_eq!(received, []);
    let call = ChannelUuid::from(uuid::Uuid::from_u128(7));
    let answer = pair.handle.api(Api::Answer(call));
    let (command, newlines) = pair.commands.command().await;
    assert!(command.starts_with("api uuid_answer "), "{command}");
    assert_eq!(newlines, 0);
    assert_eq!(pair.events.receive().await, Received::Newline);
    let ok = "Content-Type: api/response\nContent-Length: 3\n\n+OK";
    pair.commands.send(ok).await;
    assert!(answer.await.is_ok());
    // FreeSWITCH answers at once; only the result of a job waits for its poll.
    let received = pair.commands.until_quiet(Duration::from_millis(100)).await;
    assert_eq!(received, []);
    let answer = pair.handle.job(Api::Echo(Arg::new("y").unwrap()));
    let (command, _) = pair.commands.command().await;
    pair.commands.accepted().await;
    assert_eq!(pair.commands.receive().await, Received::Newline);
    let job = command.split_once("Job-UUID: ").unwrap().1;
    let job = format!("Job-UUID: {job}\nContent-Length: 1\n\ny");
    pair.commands.event("BACKGROUND_JOB", &job).await;
    assert!(answer.await.is_ok());
    // Only newlines that were in flight when the result arrived.
    let received = pair.commands.until_quiet(Duration::from_millis(100)).await;
    assert!(received.len() < 70, "{} newlines", received.len());
    pair.end().await;
}

#[tokio::test]
async fn fence_sends_newlines_until_it_returns() {
    let mut pair = pair(Nudge::Adaptive).await;
    pair.events.until_quiet(Duration::from_secs(1)).await;
    let sent = pair.handle.fence(7);
    let (command, _) = pair.events.command().await;
    assert!(command.starts_with("sendevent "), "{command}");
    pair.events.accepted().await;
    assert!(sent.await.is_ok());
    assert_eq!(pair.events.receive().await, Received::Newline);
    let fence = format!("Event-Subclass: {FENCE_SUBCLASS}\n");
    pair.events.event("CUSTOM", &fence).await;
    pair.expect_event("CUSTOM").await;
    // Only newlines that were in flight when the fence returned: the node has no activity.
    let received = pair.events.until_quiet(Duration::from_millis(200)).await;
    assert!(received.len() < 30, "{} newlines", received.len());
    pair.end().await;
}

#[tokio::test]
async fn newlines_never_split_commands() {
    // A socket with a small buffer, so that commands are written in parts.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2_048).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(5).unwrap();
    let mut pair = pair_on(listener, EVERY_MS).await;
    let text = "x".repeat(1_000);
    let mut newlines = 0;
    for round in 0..4 {
        let jobs: Vec<_> = (0..500)
            .map(|n| {
                let text = Arg::new(format!("{round}-{n}-{text}")).unwrap();
                let answer = pair.handle.job(Api::Echo(text));
                tokio::spawn(answer)
            })
            .collect();
        let mut results = String::new();
        for n in 0..500 {
            let (command, before) = pair.commands.command().await;
            newlines += before;
            let (line, header) = command.split_once('\n').unwrap();
            assert_eq!(line, format!("bgapi echo {round}-{n}-{text}"));
            pair.commands.accepted().await;
            results += &event(
                "BACKGROUND_JOB",
                &format!("{header}\nContent-Length: 1\n\ny"),
            );
        }
        // Newlines continue until the results arrive.
        assert_eq!(pair.commands.receive().await, Received::Newline);
        newlines += 1;
        pair.commands.send(&results).await;
        for job in jobs {
            assert!(job.await.unwrap().is_ok());
        }
        // The same on the event connection.
        let fence = pair.handle.fence(round);
        let (command, before) = pair.events.command().await;
        newlines += before;
        assert!(command.starts_with("sendevent CUSTOM\n"), "{command}");
        pair.events.accepted().await;
        assert_eq!(fence.await, Ok(()));
    }
    assert!(newlines >= 4);
    pair.end().await;
}

#[tokio::test]
async fn off_sends_no_newlines() {
    let mut pair = pair(Nudge::Off).await;
    for n in 0..30 {
        pair.events.event("CHANNEL_PARK", "").await;
        pair.expect_event("CHANNEL_PARK").await;
        let fence = pair.handle.fence(n);
        assert_eq!(pair.events.command().await.1, 0);
        pair.events.accepted().await;
        assert_eq!(fence.await, Ok(()));
        let job = pair.handle.job(Api::ConferenceList);
        let (_, newlines) = pair.commands.command().await;
        assert_eq!(newlines, 0);
        pair.commands
            .send("Content-Type: command/reply\nReply-Text: -ERR no\n\n")
            .await;
        assert!(job.await.is_err());
    }
    let quiet = Duration::from_millis(200);
    assert_eq!(pair.events.until_quiet(quiet).await, []);
    assert_eq!(pair.commands.until_quiet(quiet).await, []);
    pair.end().await;
}

#[tokio::test]
async fn no_newlines_before_the_subscription_is_accepted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let phase = ShutdownPhase::new();
    let (handle, _events) = start(listener.local_addr().unwrap().to_string(), EVERY_MS, &phase);
    handle.want_events(true);
    let mut links = [Link::accept(&listener).await, Link::accept(&listener).await];
    let quiet = Duration::from_millis(100);
    for link in &mut links {
        assert_eq!(link.until_quiet(quiet).await, [], "before the greeting");
        link.send("Content-Type: auth/request\n\n").await;
        let auth = Received::Command("auth secret".to_owned());
        assert_eq!(link.until_quiet(quiet).await, [auth]);
        link.accepted().await;
        // No newline before the subscription is accepted either.
        let received = link.until_quiet(quiet).await;
        assert!(!received.contains(&Received::Newline), "{received:?}");
        assert!(!received.is_empty());
        link.accepted().await;
    }
    assert!(phase.end(TIMEOUT).await);
}

#[tokio::test]
async fn node_that_does_not_read_gets_a_bounded_number_of_newlines() {
    let mut pair = pair(Nudge::Adaptive).await;
    pair.events.until_quiet(Duration::from_secs(1)).await;
    // The node sends one event, stops reading, and resumes later.
    pair.events.event("CHANNEL_PARK", "").await;
    pair.expect_event("CHANNEL_PARK").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let received = pair.events.until_quiet(Duration::from_millis(100)).await;
    assert!(
        (1..=70).contains(&received.len()),
        "{} newlines",
        received.len()
    );
    pair.end().await;
}

#[tokio::test]
async fn fixed_interval_continues_without_activity() {
    let mut pair = pair(EVERY_MS).await;
    for _ in 0..500 {
        assert_eq!(pair.events.receive().await, Received::Newline);
    }
    pair.end().await;
}

/// A sink that blocks in its first event until the test resumes it.
struct BlockingSink {
    events: mpsc::UnboundedSender<String>,
    resume: std::sync::mpsc::Receiver<()>,
}

impl EventSink for BlockingSink {
    fn up(&mut self) {}
    fn event(&mut self, event: &Event) {
        let name = event.name().into_owned();
        if name == "CHANNEL_CREATE" {
            let _ = self.events.send(name);
            self.resume.recv_timeout(TIMEOUT).unwrap();
        } else {
            let _ = self.events.send(name);
        }
    }
    fn down(&mut self) {
        let _ = self.events.send("down".to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_before_the_end_arrive_although_newlines_cannot_be_sent() {
    // The client notices the broken connection before or after the remaining bytes, at random.
    for _ in 0..8 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let phase = ShutdownPhase::new();
        let (sender, mut received_events) = mpsc::unbounded_channel();
        let (go, resume) = std::sync::mpsc::channel();
        let sink = BlockingSink {
            events: sender,
            resume,
        };
        let handle = node::start(config(address.clone(), EVERY_MS), sink, &phase).unwrap();
        let _commands = Link::accept(&listener).await;
        handle.want_events(true);
        let mut events = Link::accept(&listener).await;
        assert!(events.set_up().await);
        events.event("CHANNEL_CREATE", "").await;
        let mut next_event = async || {
            timeout(TIMEOUT, received_events.recv())
                .await
                .unwrap()
                .unwrap()
        };
        assert_eq!(next_event().await, "CHANNEL_CREATE");
        // One write, because bytes that have not arrived are lost when the connection is reset.
        events.send(&event("CHANNEL_PARK", "").repeat(100)).await;
        // The node has unread bytes, so the drop resets the connection.
        drop(events);
        go.send(()).unwrap();
        for _ in 0..100 {
            assert_eq!(next_event().await, "CHANNEL_PARK");
        }
        assert_eq!(next_event().await, "down");
        assert!(phase.end(TIMEOUT).await);
    }
}
