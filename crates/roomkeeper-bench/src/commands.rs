//! Commands in flight on one connection: the throughput of the controller's node connection, beside a bare socket that
//! pipelines the same commands to the same server.
//!
//! Owns the scenario and two servers that only answer: one answers each command with a write of its own, as FreeSWITCH
//! does; the other answers everything that it has read with one write, which no FreeSWITCH does. They measure the client
//! alone, without a target, because no Event Socket is as fast. The simulated node and a real one show a user's throughput.
//!
//! On the bare socket one thread sends a command for every answer, with one write for all answers of one read. On the
//! controller's connection one task sends a command for every answer, like the task that sends a node its commands. Only
//! this scenario does not measure a whole controller: the throughput of one connection is not visible from outside.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use memchr::memmem;

use freeswitch_esl::Event;
use freeswitch_esl::command::{Api, Arg, ModuleName, Password, Unfit};
use freeswitch_sim::{SimConfig, SimNode};
use roomkeeper::node::{self, EventSink, Link, NodeConfig, NodeHandle, Nudge, Timing};
use roomkeeper::supervise::ShutdownPhase;
use roomkeeper::telemetry;
use roomkeeper_core::ids::NodeId;

use super::report::{Figure, Row, Section};
use super::world::{PASSWORD, TIMEOUT, node_id};
use super::{BenchError, Run};

/// Commands in flight.
const IN_FLIGHT: usize = 64;

/// Rounds per client, in turn; the best one counts. On a shared machine, many short rounds are more likely than a few long
/// ones to give both clients a fast moment.
const ROUNDS: usize = 21;

/// The echoed word.
const WORD: &str = "roomkeeper";

/// # Errors
/// [`BenchError`] when it cannot be measured.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    // A controller counts its traffic, so this scenario does, too, unless a recorder is already installed.
    let _counted = telemetry::init_metrics();
    let count = run.size(100_000, 2_000);
    let mut section = Section::new(format!("Commands on one connection, {IN_FLIGHT} in flight"));
    let mut add = |label: &str, (ours, bare): (Figure, Figure), has_target: bool| {
        let row = Row::new(label, ours).beside("bare socket", bare);
        section.row(if has_target { row.at_least(0.9) } else { row });
    };
    run.show_progress("commands: a server that only answers");
    let per_answer = compare(start_server(WriteMode::PerAnswer)?, PASSWORD, count).await?;
    add("a server that only answers", per_answer, false);
    run.show_progress("commands: a server that batches its answers");
    let batched = compare(start_server(WriteMode::Batched)?, PASSWORD, count).await?;
    add("a server that batches its answers", batched, false);
    run.show_progress("commands: the simulated node");
    let mut config = SimConfig::default();
    config.node.password = PASSWORD.to_owned();
    let sim = SimNode::start(config).await;
    let sim = sim.map_err(BenchError::system("start a simulated node"))?;
    let simulated = compare(sim.addr, PASSWORD, count / 10).await?;
    add("the simulated node", simulated, true);
    if let Some((address, password)) = &run.options.freeswitch {
        run.show_progress("commands: a real FreeSWITCH");
        let real = compare(*address, password, count / 10).await?;
        add("a real FreeSWITCH", real, true);
    }
    section.note(format!(
        "`api echo {WORD}`; the best of {ROUNDS} rounds, in turn. FreeSWITCH answers each command with a write of its own, \
         and so does the first server. The first two servers show the cost of the client: no Event Socket is as fast, and \
         they share the client's cores."
    ));
    Ok(section)
}

/// How a server writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteMode {
    /// One write per answer.
    PerAnswer,
    /// One write for the answers to all commands of one read.
    Batched,
}

/// Starts a server that answers every client until the program ends. Returns its address.
fn start_server(mode: WriteMode) -> Result<SocketAddr, BenchError> {
    let failed = || BenchError::system("listen");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed())?;
    let address = listener.local_addr().map_err(failed())?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // It fails when the client disconnects.
                let _gone = answer_commands(stream, mode);
            });
        }
    });
    Ok(address)
}

fn answer_commands(mut stream: TcpStream, mode: WriteMode) -> io::Result<()> {
    const ACCEPTED: &[u8] = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
    stream.set_nodelay(true)?;
    stream.write_all(b"Content-Type: auth/request\n\n")?;
    let mut buffer = vec![0; 64 * 1024];
    let (mut received, mut answers) = (Vec::new(), Vec::new());
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..length]);
        let mut from = 0;
        while let Some(end) = memmem::find(&received[from..], b"\n\n") {
            let command = &received[from..from + end];
            from += end + 2;
            match command.strip_prefix(b"api ") {
                Some(api) => {
                    // Any command but `echo` gets `false`.
                    let body = api.strip_prefix(b"echo ").unwrap_or(b"false");
                    let length = body.len();
                    write!(
                        answers,
                        "Content-Type: api/response\nContent-Length: {length}\n\n"
                    )?;
                    answers.extend_from_slice(body);
                }
                None => answers.extend_from_slice(ACCEPTED),
            }
            if mode == WriteMode::PerAnswer {
                stream.write_all(&answers)?;
                answers.clear();
            }
        }
        received.drain(..from);
        stream.write_all(&answers)?;
        answers.clear();
    }
}

/// A bare socket that has authenticated.
struct BareSocket {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// The length of an answer; all are equal.
    answer: usize,
}

impl BareSocket {
    fn connect(address: SocketAddr, password: &str) -> io::Result<Self> {
        let mut bare = Self {
            stream: TcpStream::connect(address)?,
            buffer: vec![0; 64 * 1024],
            answer: 0,
        };
        bare.stream.set_nodelay(true)?;
        bare.read_until(|received| received.ends_with(b"\n\n"))?;
        let auth = format!("auth {password}\n\n");
        bare.stream.write_all(auth.as_bytes())?;
        bare.read_until(|received| received.ends_with(b"\n\n"))?;
        bare.stream.write_all(echo_command().as_bytes())?;
        bare.answer = bare.read_until(|received| received.ends_with(WORD.as_bytes()))?;
        Ok(bare)
    }

    fn read_until(&mut self, done: impl Fn(&[u8]) -> bool) -> io::Result<usize> {
        let mut received = Vec::new();
        while !done(&received) {
            let length = self.read()?;
            received.extend_from_slice(&self.buffer[..length]);
        }
        Ok(received.len())
    }

    fn read(&mut self) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => Ok(length),
        }
    }

    fn pipeline(&mut self, count: usize) -> io::Result<Duration> {
        let one = echo_command();
        let commands = one.repeat(IN_FLIGHT);
        let some = |count: usize| &commands.as_bytes()[..count * one.len()];
        let start = Instant::now();
        let (mut sent, mut received) = (IN_FLIGHT.min(count), 0);
        self.stream.write_all(some(sent))?;
        while received < count * self.answer {
            received += self.read()?;
            let more = (received / self.answer + IN_FLIGHT).min(count) - sent;
            self.stream.write_all(some(more))?;
            sent += more;
        }
        Ok(start.elapsed())
    }
}

fn echo_command() -> String {
    format!("api echo {WORD}\n\n")
}

/// An event sink that ignores everything: this client does not subscribe to events.
struct IgnoredEvents;

impl EventSink for IgnoredEvents {
    fn up(&mut self) {}
    fn event(&mut self, _: &Event) {}
    fn down(&mut self) {}
}

async fn connect(
    address: SocketAddr,
    password: &str,
    phase: &ShutdownPhase,
) -> Result<NodeHandle, BenchError> {
    let unfit = |error: Unfit| BenchError::Unexpected(error.to_string());
    let id: Result<NodeId, _> = node_id(0).parse();
    let config = NodeConfig {
        id: id.map_err(|error| BenchError::Unexpected(error.to_string()))?,
        address: address.to_string(),
        password: Password::new(password).map_err(unfit)?,
        speech_module: ModuleName::new("mod_flite").map_err(unfit)?,
        timing: Timing::default(),
        nudge: Nudge::default(),
    };
    let handle = node::start(config, IgnoredEvents, phase).map_err(unfit)?;
    let mut status = handle.watch();
    let up = status.wait_for(|status| status.commands == Link::Up);
    match tokio::time::timeout(TIMEOUT, up).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => {
            return Err(BenchError::Timeout {
                what: "the connection is up".to_owned(),
                within: TIMEOUT,
            });
        }
    }
    Ok(handle)
}

/// Returns the time that the connection needs for `count` commands.
async fn time_commands(handle: &NodeHandle, count: usize) -> Result<Duration, BenchError> {
    let word = Arg::new(WORD).map_err(|error| BenchError::Unexpected(error.to_string()))?;
    let handle = handle.clone();
    // It runs on a worker thread, as in the controller; the caller is on the main thread.
    let sending = tokio::spawn(async move {
        let start = Instant::now();
        let send = || handle.api(Api::Echo(word.clone()));
        let mut pending: FuturesUnordered<_> = (0..IN_FLIGHT.min(count)).map(|_| send()).collect();
        let mut remaining = count - pending.len();
        while let Some(answer) = pending.next().await {
            match answer {
                Ok(answer) if answer.clone().text().is_ok_and(|text| text == WORD) => {}
                other => return Err(BenchError::Unexpected(format!("{other:?}"))),
            }
            if remaining > 0 {
                remaining -= 1;
                pending.push(send());
            }
        }
        Ok(start.elapsed())
    });
    let took = sending.await;
    took.map_err(|error| BenchError::Unexpected(error.to_string()))?
}

/// Measures the controller's connection and the bare socket in turn. Returns the best of each.
async fn compare(
    address: SocketAddr,
    password: &str,
    count: usize,
) -> Result<(Figure, Figure), BenchError> {
    let failed = || BenchError::system("pipeline commands");
    let phase = ShutdownPhase::new();
    let handle = connect(address, password, &phase).await?;
    let (mut bare, mut ours) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let mut socket = BareSocket::connect(address, password).map_err(failed())?;
        let pipelined = tokio::task::spawn_blocking(move || socket.pipeline(count)).await;
        let pipelined = pipelined.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        bare = bare.min(pipelined.map_err(failed())?);
        ours = ours.min(time_commands(&handle, count).await?);
    }
    if !phase.end(TIMEOUT).await {
        return Err(BenchError::Timeout {
            what: "the connection ends".to_owned(),
            within: TIMEOUT,
        });
    }
    let rate = |took| Figure::rate(count as u64, took);
    Ok((rate(ours), rate(bare)))
}
