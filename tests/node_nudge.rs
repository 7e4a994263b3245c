//! Newlines sent to a node to make it send its events at once: they stand between commands and never in one, only
//! while that is of use, and never many that are not read.
//!
//! The node is a server that knows commands from newlines and nothing else.

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

/// Whatever is waited for takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

const EVERY_MS: Nudge = Nudge::Every(Duration::from_millis(1));

/// An item that came from the client.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Got {
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
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        Self {
            reader,
            writer,
            buffer: Vec::new(),
        }
    }

    async fn say(&mut self, text: &str) {
        self.writer.write_all(text.as_bytes()).await.unwrap();
    }

    async fn event(&mut self, name: &str, more: &str) {
        self.say(&event(name, more)).await;
    }

    /// Cuts a whole item from the buffer. A newline is one where a command could begin; anything else begins a command
    /// until its blank line, and everything in it must look like one.
    fn cut(&mut self) -> Option<Got> {
        if *self.buffer.first()? == b'\n' {
            self.buffer.remove(0);
            return Some(Got::Newline);
        }
        let end = self.buffer.windows(2).position(|two| two == b"\n\n")?;
        let text = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        self.buffer.drain(..end + 2);
        let mut lines = text.lines();
        let word = lines.next().unwrap().split(' ').next().unwrap();
        let known = ["auth", "event", "filter", "api", "bgapi", "sendevent"];
        assert!(known.contains(&word), "no command: {text:?}");
        assert!(lines.all(|line| line.contains(": ")), "broken: {text:?}");
        Some(Got::Command(text))
    }

    async fn got(&mut self) -> Got {
        timeout(PATIENCE, self.got_any_time()).await.unwrap()
    }

    async fn got_any_time(&mut self) -> Got {
        loop {
            if let Some(got) = self.cut() {
                return got;
            }
            let read = self.reader.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the client has gone");
        }
    }

    /// Collects the items until none comes for the duration.
    async fn until_quiet(&mut self, quiet: Duration) -> Vec<Got> {
        let mut all = Vec::new();
        while let Ok(got) = timeout(quiet, self.got_any_time()).await {
            all.push(got);
        }
        all
    }

    /// The next command, and how many newlines came before it.
    async fn command(&mut self) -> (String, usize) {
        let mut newlines = 0;
        loop {
            match self.got().await {
                Got::Newline => newlines += 1,
                Got::Command(text) => return (text, newlines),
            }
        }
    }

    /// Answers until the client has authenticated and subscribed; `true`: to events.
    async fn set_up(&mut self) -> bool {
        self.say("Content-Type: auth/request\n\n").await;
        assert_eq!(self.command().await, ("auth secret".to_owned(), 0));
        self.accepted().await;
        let (subscription, newlines) = self.command().await;
        assert_eq!(newlines, 0, "nothing has happened yet");
        self.accepted().await;
        let events = subscription.contains("CHANNEL_CREATE");
        if !events {
            assert!(self.command().await.0.starts_with("filter "));
            self.accepted().await;
        }
        events
    }

    async fn accepted(&mut self) {
        self.say("Content-Type: command/reply\nReply-Text: +OK accepted\n\n")
            .await;
    }

    /// Answers one command of any kind.
    async fn answers(&mut self, text: &str) {
        if text.starts_with("api ") {
            let answer = text.split_once("echo ").map_or("false", |(_, rest)| rest);
            let length = answer.len();
            self.say(&format!(
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

struct Heard(mpsc::UnboundedSender<String>);

impl EventSink for Heard {
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

/// A node and its client, whose both connections stand.
struct Pair {
    handle: NodeHandle,
    commands: Link,
    events: Link,
    heard: mpsc::UnboundedReceiver<String>,
    stage: ShutdownPhase,
}

impl Pair {
    async fn hears(&mut self, what: &str) {
        let heard = timeout(PATIENCE, self.heard.recv()).await.unwrap();
        assert_eq!(heard.as_deref(), Some(what));
    }

    async fn end(self) {
        assert!(self.stage.end(PATIENCE).await);
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
    stage: &ShutdownPhase,
) -> (NodeHandle, mpsc::UnboundedReceiver<String>) {
    let (told, heard) = mpsc::unbounded_channel();
    let handle = node::start(config(address, nudge), Heard(told), stage).unwrap();
    (handle, heard)
}

async fn pair_on(listener: TcpListener, nudge: Nudge) -> Pair {
    let stage = ShutdownPhase::new();
    let (handle, heard) = start(listener.local_addr().unwrap().to_string(), nudge, &stage);
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
        heard,
        stage,
    };
    pair.hears("up").await;
    pair
}

async fn pair(nudge: Nudge) -> Pair {
    pair_on(TcpListener::bind("127.0.0.1:0").await.unwrap(), nudge).await
}

#[tokio::test]
async fn what_happens_is_followed_by_newlines_for_a_while() {
    let mut pair = pair(Nudge::Adaptive).await;
    // What was asked while the connections were made has been followed by some.
    pair.events.until_quiet(Duration::from_secs(1)).await;
    for _ in 0..3 {
        pair.events.event("CHANNEL_PARK", "").await;
        pair.hears("CHANNEL_PARK").await;
        let got = pair.events.until_quiet(Duration::from_secs(1)).await;
        assert!((1..=70).contains(&got.len()), "{} newlines", got.len());
        assert!(got.iter().all(|got| *got == Got::Newline), "{got:?}");
    }
    // A node that only says that it lives is idle.
    pair.events.event("HEARTBEAT", "").await;
    pair.hears("HEARTBEAT").await;
    let got = pair.events.until_quiet(Duration::from_millis(200)).await;
    assert_eq!(got, [], "after a HEARTBEAT");
    // Nor has the other connection anything to wait for.
    let got = pair.commands.until_quiet(Duration::from_millis(100)).await;
    assert_eq!(got, []);
    pair.end().await;
}

#[tokio::test]
async fn a_command_is_followed_by_newlines_where_its_event_will_come() {
    let mut pair = pair(Nudge::Adaptive).await;
    pair.events.until_quiet(Duration::from_secs(1)).await;
    // One that only asks has no event to come.
    let answer = pair.handle.api(Api::Echo(Arg::new("x").unwrap()));
    let (command, newlines) = pair.commands.command().await;
    assert_eq!((command.as_str(), newlines), ("api echo x", 0));
    pair.commands.answers(&command).await;
    assert!(answer.await.is_ok());
    let got = pair.events.until_quiet(Duration::from_millis(100)).await;
    assert_eq!(got, []);
    let call = ChannelUuid::from(uuid::Uuid::from_u128(7));
    let answer = pair.handle.api(Api::Answer(call));
    let (command, newlines) = pair.commands.command().await;
    assert!(command.starts_with("api uuid_answer "), "{command}");
    assert_eq!(newlines, 0);
    assert_eq!(pair.events.got().await, Got::Newline);
    let ok = "Content-Type: api/response\nContent-Length: 3\n\n+OK";
    pair.commands.say(ok).await;
    assert!(answer.await.is_ok());
    // FreeSWITCH answers at once; only the result of a job waits to be found.
    let got = pair.commands.until_quiet(Duration::from_millis(100)).await;
    assert_eq!(got, []);
    let answer = pair.handle.job(Api::Echo(Arg::new("y").unwrap()));
    let (command, _) = pair.commands.command().await;
    pair.commands.accepted().await;
    assert_eq!(pair.commands.got().await, Got::Newline);
    let job = command.split_once("Job-UUID: ").unwrap().1;
    let job = format!("Job-UUID: {job}\nContent-Length: 1\n\ny");
    pair.commands.event("BACKGROUND_JOB", &job).await;
    assert!(answer.await.is_ok());
    // What was on its way when the result came, and no more.
    let got = pair.commands.until_quiet(Duration::from_millis(100)).await;
    assert!(got.len() < 70, "{} newlines", got.len());
    pair.end().await;
}

#[tokio::test]
async fn a_fence_is_followed_by_newlines_until_it_comes_back() {
    let mut pair = pair(Nudge::Adaptive).await;
    pair.events.until_quiet(Duration::from_secs(1)).await;
    let raised = pair.handle.fence(7);
    let (command, _) = pair.events.command().await;
    assert!(command.starts_with("sendevent "), "{command}");
    pair.events.accepted().await;
    assert!(raised.await.is_ok());
    assert_eq!(pair.events.got().await, Got::Newline);
    let fence = format!("Event-Subclass: {FENCE_SUBCLASS}\n");
    pair.events.event("CUSTOM", &fence).await;
    pair.hears("CUSTOM").await;
    // What was on its way when it came, and no more: nothing has happened on the node.
    let got = pair.events.until_quiet(Duration::from_millis(200)).await;
    assert!(got.len() < 30, "{} newlines", got.len());
    pair.end().await;
}

#[tokio::test]
async fn commands_are_whole_however_many_newlines_there_are() {
    // A socket that takes little at a time, so that commands are written in parts.
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
        // Until they have their results, they are waited for.
        assert_eq!(pair.commands.got().await, Got::Newline);
        newlines += 1;
        pair.commands.say(&results).await;
        for job in jobs {
            assert!(job.await.unwrap().is_ok());
        }
        // And on the connection of the events.
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
async fn off_means_none() {
    let mut pair = pair(Nudge::Off).await;
    for n in 0..30 {
        pair.events.event("CHANNEL_PARK", "").await;
        pair.hears("CHANNEL_PARK").await;
        let fence = pair.handle.fence(n);
        assert_eq!(pair.events.command().await.1, 0);
        pair.events.accepted().await;
        assert_eq!(fence.await, Ok(()));
        let job = pair.handle.job(Api::ConferenceList);
        let (_, newlines) = pair.commands.command().await;
        assert_eq!(newlines, 0);
        pair.commands
            .say("Content-Type: command/reply\nReply-Text: -ERR no\n\n")
            .await;
        assert!(job.await.is_err());
    }
    let quiet = Duration::from_millis(200);
    assert_eq!(pair.events.until_quiet(quiet).await, []);
    assert_eq!(pair.commands.until_quiet(quiet).await, []);
    pair.end().await;
}

#[tokio::test]
async fn none_before_authentication_is_over() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = ShutdownPhase::new();
    let (handle, _heard) = start(listener.local_addr().unwrap().to_string(), EVERY_MS, &stage);
    handle.want_events(true);
    let mut links = [Link::accept(&listener).await, Link::accept(&listener).await];
    let quiet = Duration::from_millis(100);
    for link in &mut links {
        assert_eq!(link.until_quiet(quiet).await, [], "before the greeting");
        link.say("Content-Type: auth/request\n\n").await;
        let auth = Got::Command("auth secret".to_owned());
        assert_eq!(link.until_quiet(quiet).await, [auth]);
        link.accepted().await;
        // Nor before the subscription is accepted.
        let got = link.until_quiet(quiet).await;
        assert!(!got.contains(&Got::Newline), "{got:?}");
        assert!(!got.is_empty());
        link.accepted().await;
    }
    assert!(stage.end(PATIENCE).await);
}

#[tokio::test]
async fn a_node_that_does_not_read_is_not_sent_more_and_more() {
    let mut pair = pair(Nudge::Adaptive).await;
    pair.events.until_quiet(Duration::from_secs(1)).await;
    // It tells one more thing, stops, and goes on a while later.
    pair.events.event("CHANNEL_PARK", "").await;
    pair.hears("CHANNEL_PARK").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let got = pair.events.until_quiet(Duration::from_millis(100)).await;
    assert!((1..=70).contains(&got.len()), "{} newlines", got.len());
    pair.end().await;
}

#[tokio::test]
async fn a_fixed_interval_goes_on_while_nothing_happens() {
    let mut pair = pair(EVERY_MS).await;
    for _ in 0..500 {
        assert_eq!(pair.events.got().await, Got::Newline);
    }
    pair.end().await;
}

/// Its first event is not done with before it is told so.
struct Slow {
    events: mpsc::UnboundedSender<String>,
    go_on: std::sync::mpsc::Receiver<()>,
}

impl EventSink for Slow {
    fn up(&mut self) {}
    fn event(&mut self, event: &Event) {
        let name = event.name().into_owned();
        if name == "CHANNEL_CREATE" {
            let _ = self.events.send(name);
            self.go_on.recv_timeout(PATIENCE).unwrap();
        } else {
            let _ = self.events.send(name);
        }
    }
    fn down(&mut self) {
        let _ = self.events.send("down".to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_the_end_is_heard_though_newlines_cannot_be_sent_any_more() {
    // Which of the two is seen first, the broken connection or what is left in it, is chance.
    for _ in 0..8 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stage = ShutdownPhase::new();
        let (told, mut heard) = mpsc::unbounded_channel();
        let (go, go_on) = std::sync::mpsc::channel();
        let sink = Slow {
            events: told,
            go_on,
        };
        let handle = node::start(config(address.clone(), EVERY_MS), sink, &stage).unwrap();
        let _commands = Link::accept(&listener).await;
        handle.want_events(true);
        let mut events = Link::accept(&listener).await;
        assert!(events.set_up().await);
        events.event("CHANNEL_CREATE", "").await;
        let mut hears = async || timeout(PATIENCE, heard.recv()).await.unwrap().unwrap();
        assert_eq!(hears().await, "CHANNEL_CREATE");
        // In one piece, for what is sent and has not come is lost with such an end.
        events.say(&event("CHANNEL_PARK", "").repeat(100)).await;
        // It has not read all that it was sent, so its end is a sudden one.
        drop(events);
        go.send(()).unwrap();
        for _ in 0..100 {
            assert_eq!(hears().await, "CHANNEL_PARK");
        }
        assert_eq!(hears().await, "down");
        assert!(stage.end(PATIENCE).await);
    }
}
