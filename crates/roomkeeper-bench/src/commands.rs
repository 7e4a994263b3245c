//! Commands in flight on one connection: what the program's own connection carries, beside a bare socket that pipelines
//! the same commands to the same server.
//!
//! Owns the scenario, and two servers that do nothing but answer: one answers each command with a write of its own, as
//! FreeSWITCH does, the other all that it has read with one write, as no FreeSWITCH does. With them it is the client
//! that is measured, and there is nothing to reach: nobody's Event Socket is so fast. With the simulated node, and a
//! real one, it is what a user gets.
//!
//! On the bare socket one thread sends a command for every answer, so many as it has read with one write. On ours one
//! task gives a command for every answer, as the one does that gives a node its orders. It is the one scenario that is
//! not of a controller as a whole: what one connection can carry is not to be seen from outside.

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
use super::world::{PASSWORD, PATIENCE, node_id};
use super::{BenchError, Run};

/// Commands in flight.
const IN_FLIGHT: usize = 64;

/// How often each is measured, in turn. The best of many short rounds: a machine that others share is faster for a second now
/// and then, and of a few long ones only the one or the other would meet that.
const ROUNDS: usize = 21;

/// What is echoed.
const WORD: &str = "roomkeeper";

/// # Errors
/// [`BenchError`] when it cannot be measured.
pub async fn measure(run: &Run<'_>) -> Result<Section, BenchError> {
    // A controller counts what its connections carry, so it is done here, unless somebody does already.
    let _counted = telemetry::init_metrics();
    let count = run.size(100_000, 2_000);
    let mut section = Section::new(format!("Commands on one connection, {IN_FLIGHT} in flight"));
    let mut add = |what: &str, (ours, bare): (Figure, Figure), goal: bool| {
        let row = Row::new(what, ours).beside("bare socket", bare);
        section.row(if goal { row.at_least(0.9) } else { row });
    };
    run.says("commands: a server that does nothing but answer");
    let each = beside(serving(Writes::Each)?, PASSWORD, count).await?;
    add("a server that does nothing but answer", each, false);
    run.says("commands: one that answers several with one write");
    let together = beside(serving(Writes::Together)?, PASSWORD, count).await?;
    add("one that answers several with one write", together, false);
    run.says("commands: the simulated node");
    let mut config = SimConfig::default();
    config.node.password = PASSWORD.to_owned();
    let sim = SimNode::start(config).await;
    let sim = sim.map_err(BenchError::system("start a simulated node"))?;
    let simulated = beside(sim.addr, PASSWORD, count / 10).await?;
    add("the simulated node", simulated, true);
    if let Some((address, password)) = &run.options.freeswitch {
        run.says("commands: a real FreeSWITCH");
        let real = beside(*address, password, count / 10).await?;
        add("a real FreeSWITCH", real, true);
    }
    section.note(format!(
        "`api echo {WORD}`; best of {ROUNDS} rounds in turn. FreeSWITCH answers each command with a write of its own, \
         and so does the first server. The first two are there to show what the client costs: no Event Socket answers \
         so fast, and it runs on the cores that the client runs on."
    ));
    Ok(section)
}

/// How a server writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    /// Each answer by itself.
    Each,
    /// The answers to all that was read.
    Together,
}

/// A server that answers whoever connects, for as long as the program runs; returned is where it listens.
fn serving(writes: Writes) -> Result<SocketAddr, BenchError> {
    let failed = || BenchError::system("listen");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed())?;
    let address = listener.local_addr().map_err(failed())?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                // It ends with the client.
                let _gone = answer_all(stream, writes);
            });
        }
    });
    Ok(address)
}

fn answer_all(mut stream: TcpStream, writes: Writes) -> io::Result<()> {
    const ACCEPTED: &[u8] = b"Content-Type: command/reply\nReply-Text: +OK accepted\n\n";
    stream.set_nodelay(true)?;
    stream.write_all(b"Content-Type: auth/request\n\n")?;
    let mut buffer = vec![0; 64 * 1024];
    let (mut came, mut answers) = (Vec::new(), Vec::new());
    loop {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        came.extend_from_slice(&buffer[..length]);
        let mut from = 0;
        while let Some(end) = memmem::find(&came[from..], b"\n\n") {
            let command = &came[from..from + end];
            from += end + 2;
            match command.strip_prefix(b"api ") {
                Some(api) => {
                    // To anything else than an echo it says that it does not have it.
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
            if writes == Writes::Each {
                stream.write_all(&answers)?;
                answers.clear();
            }
        }
        came.drain(..from);
        stream.write_all(&answers)?;
        answers.clear();
    }
}

/// A bare socket that has authenticated.
struct Bare {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// How long the answer to the command is: they are all the same.
    answer: usize,
}

impl Bare {
    fn to(address: SocketAddr, password: &str) -> io::Result<Self> {
        let mut bare = Self {
            stream: TcpStream::connect(address)?,
            buffer: vec![0; 64 * 1024],
            answer: 0,
        };
        bare.stream.set_nodelay(true)?;
        bare.until(|came| came.ends_with(b"\n\n"))?;
        let auth = format!("auth {password}\n\n");
        bare.stream.write_all(auth.as_bytes())?;
        bare.until(|came| came.ends_with(b"\n\n"))?;
        bare.stream.write_all(command().as_bytes())?;
        bare.answer = bare.until(|came| came.ends_with(WORD.as_bytes()))?;
        Ok(bare)
    }

    fn until(&mut self, done: impl Fn(&[u8]) -> bool) -> io::Result<usize> {
        let mut came = Vec::new();
        while !done(&came) {
            let length = self.read()?;
            came.extend_from_slice(&self.buffer[..length]);
        }
        Ok(came.len())
    }

    fn read(&mut self) -> io::Result<usize> {
        match self.stream.read(&mut self.buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => Ok(length),
        }
    }

    fn pipeline(&mut self, count: usize) -> io::Result<Duration> {
        let one = command();
        let commands = one.repeat(IN_FLIGHT);
        let some = |count: usize| &commands.as_bytes()[..count * one.len()];
        let begin = Instant::now();
        let (mut sent, mut came) = (IN_FLIGHT.min(count), 0);
        self.stream.write_all(some(sent))?;
        while came < count * self.answer {
            came += self.read()?;
            let more = (came / self.answer + IN_FLIGHT).min(count) - sent;
            self.stream.write_all(some(more))?;
            sent += more;
        }
        Ok(begin.elapsed())
    }
}

fn command() -> String {
    format!("api echo {WORD}\n\n")
}

/// Who is told of events: there are none, for they are not asked for.
struct Nobody;

impl EventSink for Nobody {
    fn up(&mut self) {}
    fn event(&mut self, _: &Event) {}
    fn down(&mut self) {}
}

async fn connected(
    address: SocketAddr,
    password: &str,
    stage: &ShutdownPhase,
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
    let handle = node::start(config, Nobody, stage).map_err(unfit)?;
    let mut status = handle.watch();
    let up = status.wait_for(|status| status.commands == Link::Up);
    match tokio::time::timeout(PATIENCE, up).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => {
            return Err(BenchError::Waited {
                what: "a connection stands".to_owned(),
                within: PATIENCE,
            });
        }
    }
    Ok(handle)
}

/// How long the connection takes for so many commands.
async fn through(handle: &NodeHandle, count: usize) -> Result<Duration, BenchError> {
    let word = Arg::new(WORD).map_err(|error| BenchError::Unexpected(error.to_string()))?;
    let handle = handle.clone();
    // On the runtime's own threads, as all that serves is; what it is called from is not.
    let giving = tokio::spawn(async move {
        let begin = Instant::now();
        let ask = || handle.api(Api::Echo(word.clone()));
        let mut given: FuturesUnordered<_> = (0..IN_FLIGHT.min(count)).map(|_| ask()).collect();
        let mut left = count - given.len();
        while let Some(answer) = given.next().await {
            match answer {
                Ok(answer) if answer.clone().text().is_ok_and(|text| text == WORD) => {}
                other => return Err(BenchError::Unexpected(format!("{other:?}"))),
            }
            if left > 0 {
                left -= 1;
                given.push(ask());
            }
        }
        Ok(begin.elapsed())
    });
    let took = giving.await;
    took.map_err(|error| BenchError::Unexpected(error.to_string()))?
}

/// Ours, and the bare socket: the best of both, measured in turn.
async fn beside(
    address: SocketAddr,
    password: &str,
    count: usize,
) -> Result<(Figure, Figure), BenchError> {
    let failed = || BenchError::system("pipeline commands");
    let stage = ShutdownPhase::new();
    let handle = connected(address, password, &stage).await?;
    let (mut bare, mut ours) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        let mut socket = Bare::to(address, password).map_err(failed())?;
        let piped = tokio::task::spawn_blocking(move || socket.pipeline(count)).await;
        let piped = piped.map_err(|error| BenchError::Unexpected(error.to_string()))?;
        bare = bare.min(piped.map_err(failed())?);
        ours = ours.min(through(&handle, count).await?);
    }
    if !stage.end(PATIENCE).await {
        return Err(BenchError::Waited {
            what: "a connection ends".to_owned(),
            within: PATIENCE,
        });
    }
    let rate = |took| Figure::rate(count as u64, took);
    Ok((rate(ours), rate(bare)))
}
