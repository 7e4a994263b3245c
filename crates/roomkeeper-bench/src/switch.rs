//! A real FreeSWITCH: calls of the harness on it, and an operator who mutes them.
//!
//! Owns that these calls end: when the harness is done with them, when it fails, when it is interrupted; and if it is
//! killed, by themselves after a quarter of an hour. Nothing else on the node is touched. Leaves out the rooms, which the controller
//! makes; they end there with their last call.
//!
//! It blocks its thread: nothing is asked while something is measured but by [`Operator`], whose answers a thread of its
//! own reads.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::BenchError;
use super::process::other_end;
use super::raw::esl_answer;
use super::rooms::{Member, Room};
use super::world::APP;

/// How long a call lasts when nobody ends it: longer than anything is measured.
const LIFE: Duration = Duration::from_secs(900);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// How often what was hung up is looked for.
const LOOKS: Duration = Duration::from_millis(10);

/// Where it is, and how one gets in.
#[derive(Clone)]
struct Door {
    address: SocketAddr,
    password: String,
}

impl Door {
    fn of((address, password): &(SocketAddr, String)) -> Self {
        Self {
            address: *address,
            password: password.clone(),
        }
    }
}

/// Looks whether it can be reached and takes the password.
///
/// # Errors
/// [`BenchError::System`] when not.
pub fn may_log_in(node: &(SocketAddr, String)) -> Result<(), BenchError> {
    log_in(&Door::of(node)).map(drop)
}

fn log_in(door: &Door) -> Result<Console, BenchError> {
    let what = format!("log in to FreeSWITCH at {}", door.address);
    Console::at(door).map_err(BenchError::system(what))
}

/// The channels of calls that are on it, or may be.
type Calls = Arc<Mutex<Vec<String>>>;

fn lock(calls: &Calls) -> MutexGuard<'_, Vec<String>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A FreeSWITCH. What this has made there ends when it is dropped.
pub struct Switch {
    door: Door,
    console: Console,
    calls: Calls,
}

impl Switch {
    /// Logs in. From now on a signal to stop ends the calls first, then the program.
    ///
    /// # Errors
    /// [`BenchError::System`] when it cannot be reached or refuses the password.
    pub fn at(node: &(SocketAddr, String)) -> Result<Self, BenchError> {
        let door = Door::of(node);
        let console = log_in(&door)?;
        let calls = Calls::default();
        ended_by_signals(&door, &calls)?;
        Ok(Self {
            door,
            console,
            calls,
        })
    }

    /// Its process, if that is on this machine.
    pub fn process(&self) -> Option<u32> {
        let pid = other_end(&self.console.stream)?;
        // Not whatever passes the connection on.
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "freeswitch").then_some(pid)
    }

    /// Makes a call that comes in for the harness's app from this number, and is parked; returned is its channel.
    ///
    /// It has one leg, on the endpoint `null` of mod_dptools, which takes all sound and makes none: it needs no extension,
    /// and nobody begins to talk.
    ///
    /// # Errors
    /// [`BenchError`] when it is refused.
    pub fn call(&mut self, from: &str) -> Result<String, BenchError> {
        let channel = Uuid::new_v4().to_string();
        let calls = Arc::clone(&self.calls);
        // Whoever ends the calls waits until this one is there, and can be ended.
        let mut calls = lock(&calls);
        // Before it is there: the answer may be lost.
        calls.push(channel.clone());
        let life = LIFE.as_secs();
        self.expect(&format!(
            "originate {{origination_uuid={channel},origination_caller_id_number={from},roomkeeper_app={APP},\
             park_timeout={life}}}null/{APP} &park()"
        ))?;
        self.expect(&format!("sched_hangup +{life} {channel}"))?;
        Ok(channel)
    }

    /// Who is in this conference: channel and `Member-ID`.
    ///
    /// # Errors
    /// [`BenchError`] when there is no such conference.
    pub fn members(&mut self, conference: &str) -> Result<Vec<(String, u64)>, BenchError> {
        let list = self.ask(&format!("conference {conference} json_list"))?;
        let unexpected = || BenchError::Unexpected(format!("json_list was answered with {list}"));
        let parsed: Value = serde_json::from_str(&list).map_err(|_| unexpected())?;
        let members = parsed[0]["members"].as_array().ok_or_else(unexpected)?;
        let each = members.iter().map(|member| {
            let channel = member["uuid"].as_str()?.to_owned();
            Some((channel, member["id"].as_u64()?))
        });
        each.collect::<Option<_>>().ok_or_else(unexpected)
    }

    /// An operator on a connection of its own.
    ///
    /// # Errors
    /// [`BenchError::System`] when there is no connection.
    pub fn operator(&self) -> Result<Operator, BenchError> {
        let failed = BenchError::system("log in to FreeSWITCH");
        Operator::at(&self.door).map_err(failed)
    }

    /// Ends all calls that were made; returns when they are gone.
    ///
    /// # Errors
    /// [`BenchError::System`] when they are not.
    pub fn hang_up(&self) -> Result<(), BenchError> {
        let failed = BenchError::system("hang up calls on FreeSWITCH");
        hang_up(&self.door, &mut lock(&self.calls)).map_err(failed)
    }

    fn ask(&mut self, command: &str) -> Result<String, BenchError> {
        let failed = BenchError::system("ask FreeSWITCH");
        self.console.api(command).map_err(failed)
    }

    fn expect(&mut self, command: &str) -> Result<(), BenchError> {
        let answer = self.ask(command)?;
        if answer.starts_with("+OK") {
            return Ok(());
        }
        let what = command.split(' ').next().unwrap_or_default();
        let why = format!("FreeSWITCH answered {what} with {:?}", answer.trim());
        Err(BenchError::Unexpected(why))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if let Err(error) = hang_up(&self.door, &mut lock(&self.calls)) {
            left_behind(&error);
        }
    }
}

fn left_behind(error: &io::Error) {
    tracing::warn!(
        %error,
        "calls of the harness are left on FreeSWITCH: they end by themselves {} s after they were made",
        LIFE.as_secs()
    );
}

/// From here on SIGINT and SIGTERM end the calls, and then the program.
fn ended_by_signals(door: &Door, calls: &Calls) -> Result<(), BenchError> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let signal = signal(kind).map_err(BenchError::system("listen for signals"));
        let (mut signal, door, calls) = (signal?, door.clone(), Arc::clone(calls));
        // The thread that measures is busy, and asks nobody. This goes on behind it: once a signal is listened for, it does
        // nothing by itself any more.
        tokio::spawn(async move {
            signal.recv().await;
            // Held to the end: no other call is made meanwhile.
            let mut calls = lock(&calls);
            if let Err(error) = hang_up(&door, &mut calls) {
                left_behind(&error);
            }
            // As a shell tells of one that a signal ended. The processes that were started end with this one.
            std::process::exit(128 + kind.as_raw_value());
        });
    }
    Ok(())
}

fn hang_up(door: &Door, calls: &mut Vec<String>) -> io::Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    // On a connection of its own: it may be the other one that failed.
    let mut console = Console::at(door)?;
    for channel in calls.iter() {
        // One that has ended by itself is not there any more.
        console.api(&format!("uuid_kill {channel}"))?;
    }
    let end = Instant::now() + ANSWER;
    for channel in calls.iter() {
        let exists = format!("uuid_exists {channel}");
        while console.api(&exists)?.trim() == "true" {
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(LOOKS);
        }
    }
    calls.clear();
    Ok(())
}

/// A connection to its Event Socket on which one asks and waits.
struct Console {
    stream: TcpStream,
    came: Vec<u8>,
}

impl Console {
    fn at(door: &Door) -> io::Result<Self> {
        let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let stream = TcpStream::connect_timeout(&door.address, ANSWER)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let mut console = Self {
            stream,
            came: Vec::new(),
        };
        let greeting = console.answer()?;
        if !greeting.contains("auth/request") {
            return Err(refused(format!("it says {:?}", greeting.trim())));
        }
        if door.password.contains(char::is_control) {
            return Err(refused("no password has control characters".to_owned()));
        }
        write!(console.stream, "auth {}\n\n", door.password)?;
        if console.answer()?.contains("Reply-Text: +OK") {
            Ok(console)
        } else {
            Err(refused("the password is refused".to_owned()))
        }
    }

    /// The body of its answer.
    fn api(&mut self, command: &str) -> io::Result<String> {
        // In one write: what it has half of, FreeSWITCH waits for.
        let command = format!("api {command}\n\n");
        self.stream.write_all(command.as_bytes())?;
        self.answer().map(|answer| body(&answer).to_owned())
    }

    /// The next answer, with its headers.
    fn answer(&mut self) -> io::Result<String> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((length, answer)) = esl_answer(&self.came)? {
                self.came.drain(..length);
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.came.extend_from_slice(&buffer[..length]),
            }
        }
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\n\n").map_or("", |(_, body)| body)
}

/// An operator who mutes and unmutes members, and does not wait for the answers.
#[derive(Debug)]
pub struct Operator {
    stream: TcpStream,
    given: u64,
    /// What became of the first command that could not be written.
    broken: Option<io::Error>,
    answers: JoinHandle<io::Result<Answers>>,
}

/// What the commands of an operator were answered.
#[derive(Debug, Default)]
struct Answers {
    done: u64,
    /// The first that was no success.
    refused: Option<String>,
}

impl Operator {
    fn at(door: &Door) -> io::Result<Self> {
        let mut console = Console::at(door)?;
        let stream = console.stream.try_clone()?;
        let answers = thread::spawn(move || {
            let mut answers = Answers::default();
            loop {
                let answer = console.answer()?;
                if answer.starts_with("Content-Type: command/reply") {
                    // To `exit`, which is the last.
                    return Ok(answers);
                }
                match body(&answer) {
                    done if done.starts_with("+OK") => answers.done += 1,
                    refused => {
                        answers.refused.get_or_insert_with(|| refused.to_owned());
                    }
                }
            }
        });
        Ok(Self {
            stream,
            given: 0,
            broken: None,
            answers,
        })
    }

    /// Mutes a member, or unmutes it. Whether that worked is told by [`Operator::leave`].
    pub fn mute(&mut self, room: &Room, member: &Member, mute: bool) {
        let verb = if mute { "mute" } else { "unmute" };
        let command = format!("api conference {} {verb} {}\n\n", room.id, member.number);
        match self.stream.write_all(command.as_bytes()) {
            Ok(()) => self.given += 1,
            Err(error) => {
                self.broken.get_or_insert(error);
            }
        }
    }

    /// Logs out, once all that was given has been answered.
    ///
    /// # Errors
    /// [`BenchError`] when something was not done.
    pub fn leave(mut self) -> Result<(), BenchError> {
        let failed = || BenchError::system("command FreeSWITCH");
        if let Some(error) = self.broken.take() {
            return Err(failed()(error));
        }
        self.stream.write_all(b"exit\n\n").map_err(failed())?;
        let answers = self.answers.join();
        let answers = answers.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let answers = answers.map_err(failed())?;
        if answers.done == self.given {
            return Ok(());
        }
        let why = format!(
            "FreeSWITCH did {} of {} commands; another it answered with {:?}",
            answers.done,
            self.given,
            answers.refused.unwrap_or_default().trim()
        );
        Err(BenchError::Unexpected(why))
    }
}
