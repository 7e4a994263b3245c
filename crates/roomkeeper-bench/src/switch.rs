//! A real FreeSWITCH: calls of the harness on it, and an operator who mutes them.
//!
//! Owns that these calls end: when the harness has finished, when it fails, when it is interrupted; and if it is killed, by
//! themselves after 15 minutes. It touches nothing else on the node. Leaves out the rooms, which the controller creates; they
//! end with their last call.
//!
//! It blocks its thread: during a measurement only [`Operator`] sends commands, and a thread of its own reads their answers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use super::BenchError;
use super::process::peer_pid;
use super::raw::parse_esl_answer;
use super::rooms::{Member, Room};
use super::world::APP;

/// Maximum duration of a call: longer than any measurement.
const MAX_CALL_DURATION: Duration = Duration::from_secs(900);

/// Time limit of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Poll interval while calls end.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The address and the password of an Event Socket.
#[derive(Clone)]
struct Login {
    address: SocketAddr,
    password: String,
}

impl Login {
    fn from_pair((address, password): &(SocketAddr, String)) -> Self {
        Self {
            address: *address,
            password: password.clone(),
        }
    }
}

/// Checks that FreeSWITCH can be reached and accepts the password.
///
/// # Errors
/// [`BenchError::System`] otherwise.
pub fn check_login(node: &(SocketAddr, String)) -> Result<(), BenchError> {
    log_in(&Login::from_pair(node)).map(drop)
}

fn log_in(login: &Login) -> Result<Console, BenchError> {
    let what = format!("log in to FreeSWITCH at {}", login.address);
    Console::log_in(login).map_err(BenchError::system(what))
}

/// The channels of the harness's calls, including those that may not exist yet.
type Calls = Arc<Mutex<Vec<String>>>;

fn lock(calls: &Calls) -> MutexGuard<'_, Vec<String>> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A FreeSWITCH. Dropping this ends the calls that it has made.
pub struct Switch {
    login: Login,
    console: Console,
    calls: Calls,
}

impl Switch {
    /// Logs in. From now on SIGINT and SIGTERM end the calls first, then the program.
    ///
    /// # Errors
    /// [`BenchError::System`] when it cannot be reached or refuses the password.
    pub fn log_in(node: &(SocketAddr, String)) -> Result<Self, BenchError> {
        let login = Login::from_pair(node);
        let console = log_in(&login)?;
        let calls = Calls::default();
        end_calls_on_signals(&login, &calls)?;
        Ok(Self {
            login,
            console,
            calls,
        })
    }

    /// Its process id, if it runs on this machine.
    pub fn process(&self) -> Option<u32> {
        let pid = peer_pid(&self.console.stream)?;
        // Excludes a proxy that forwards the connection.
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (name.trim() == "freeswitch").then_some(pid)
    }

    /// Creates an inbound call of the harness's app from this number, and parks it. Returns its channel.
    ///
    /// It has one leg, on the endpoint `null` of mod_dptools, which discards all audio and produces none: it needs no
    /// extension, and never talks.
    ///
    /// # Errors
    /// [`BenchError`] when it is refused.
    pub fn create_call(&mut self, from: &str) -> Result<String, BenchError> {
        let channel = Uuid::new_v4().to_string();
        let calls = Arc::clone(&self.calls);
        // Holding the lock delays a hangup until this call exists and can be ended.
        let mut calls = lock(&calls);
        // Recorded before it exists, because the answer may be lost.
        calls.push(channel.clone());
        let max_duration = MAX_CALL_DURATION.as_secs();
        self.expect(&format!(
            "originate {{origination_uuid={channel},origination_caller_id_number={from},roomkeeper_app={APP},\
             park_timeout={max_duration}}}null/{APP} &park()"
        ))?;
        self.expect(&format!("sched_hangup +{max_duration} {channel}"))?;
        Ok(channel)
    }

    /// Lists the members of a conference: channel and `Member-ID`.
    ///
    /// # Errors
    /// [`BenchError`] when the conference does not exist.
    pub fn members(&mut self, conference: &str) -> Result<Vec<(String, u64)>, BenchError> {
        let list = self.send(&format!("conference {conference} json_list"))?;
        let unexpected =
            || BenchError::Unexpected(format!("unexpected answer to json_list: {list}"));
        let parsed: Value = serde_json::from_str(&list).map_err(|_| unexpected())?;
        let members = parsed[0]["members"].as_array().ok_or_else(unexpected)?;
        let each = members.iter().map(|member| {
            let channel = member["uuid"].as_str()?.to_owned();
            Some((channel, member["id"].as_u64()?))
        });
        each.collect::<Option<_>>().ok_or_else(unexpected)
    }

    /// Connects an operator, on a connection of its own.
    ///
    /// # Errors
    /// [`BenchError::System`] when it cannot connect.
    pub fn connect_operator(&self) -> Result<Operator, BenchError> {
        let failed = BenchError::system("log in to FreeSWITCH");
        Operator::log_in(&self.login).map_err(failed)
    }

    /// Ends all calls of the harness. Returns when they are gone.
    ///
    /// # Errors
    /// [`BenchError::System`] when they do not end.
    pub fn hang_up(&self) -> Result<(), BenchError> {
        let failed = BenchError::system("hang up calls on FreeSWITCH");
        hang_up(&self.login, &mut lock(&self.calls)).map_err(failed)
    }

    fn send(&mut self, command: &str) -> Result<String, BenchError> {
        let failed = BenchError::system("send a command to FreeSWITCH");
        self.console.api(command).map_err(failed)
    }

    fn expect(&mut self, command: &str) -> Result<(), BenchError> {
        let answer = self.send(command)?;
        if answer.starts_with("+OK") {
            return Ok(());
        }
        let name = command.split(' ').next().unwrap_or_default();
        let why = format!("FreeSWITCH answered {name} with {:?}", answer.trim());
        Err(BenchError::Unexpected(why))
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        if let Err(error) = hang_up(&self.login, &mut lock(&self.calls)) {
            warn_calls_remain(&error);
        }
    }
}

fn warn_calls_remain(error: &io::Error) {
    tracing::warn!(
        %error,
        "cannot end the harness's calls on FreeSWITCH: they end by themselves {} s after their start",
        MAX_CALL_DURATION.as_secs()
    );
}

/// Makes SIGINT and SIGTERM end the calls, and then the program.
fn end_calls_on_signals(login: &Login, calls: &Calls) -> Result<(), BenchError> {
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let signal = signal(kind).map_err(BenchError::system("listen for signals"));
        let (mut signal, login, calls) = (signal?, login.clone(), Arc::clone(calls));
        // The measuring thread blocks, so a task handles the signal. Once a signal has a listener, it no longer ends the program
        // by itself.
        tokio::spawn(async move {
            signal.recv().await;
            // Held to the end, so that no further call is made.
            let mut calls = lock(&calls);
            if let Err(error) = hang_up(&login, &mut calls) {
                warn_calls_remain(&error);
            }
            // The exit code that a shell reports for a signal. The child processes end with this one.
            std::process::exit(128 + kind.as_raw_value());
        });
    }
    Ok(())
}

fn hang_up(login: &Login, calls: &mut Vec<String>) -> io::Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    // On a new connection, because the other one may have failed.
    let mut console = Console::log_in(login)?;
    for channel in calls.iter() {
        // A call that has ended by itself no longer exists; its error is ignored.
        console.api(&format!("uuid_kill {channel}"))?;
    }
    let end = Instant::now() + ANSWER_TIMEOUT;
    for channel in calls.iter() {
        let exists = format!("uuid_exists {channel}");
        while console.api(&exists)?.trim() == "true" {
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
    calls.clear();
    Ok(())
}

/// An Event Socket connection with one command in flight.
struct Console {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Console {
    fn log_in(login: &Login) -> io::Result<Self> {
        let refused = |why: String| io::Error::new(io::ErrorKind::PermissionDenied, why);
        let stream = TcpStream::connect_timeout(&login.address, ANSWER_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let mut console = Self {
            stream,
            received: Vec::new(),
        };
        let greeting = console.read_answer()?;
        if !greeting.contains("auth/request") {
            return Err(refused(format!(
                "unexpected greeting {:?}",
                greeting.trim()
            )));
        }
        if login.password.contains(char::is_control) {
            return Err(refused(
                "the password contains control characters".to_owned(),
            ));
        }
        write!(console.stream, "auth {}\n\n", login.password)?;
        if console.read_answer()?.contains("Reply-Text: +OK") {
            Ok(console)
        } else {
            Err(refused("the password is refused".to_owned()))
        }
    }

    /// Runs an API command and returns the body of its answer.
    fn api(&mut self, command: &str) -> io::Result<String> {
        // In one write: FreeSWITCH waits for the rest of a partial command.
        let command = format!("api {command}\n\n");
        self.stream.write_all(command.as_bytes())?;
        self.read_answer().map(|answer| body(&answer).to_owned())
    }

    /// Reads the next answer, with its headers.
    fn read_answer(&mut self) -> io::Result<String> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some((length, answer)) = parse_esl_answer(&self.received)? {
                self.received.drain(..length);
                return Ok(String::from_utf8_lossy(&answer).into_owned());
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => self.received.extend_from_slice(&buffer[..length]),
            }
        }
    }
}

fn body(answer: &str) -> &str {
    answer.split_once("\n\n").map_or("", |(_, body)| body)
}

/// An operator who mutes and unmutes members without waiting for the answers.
#[derive(Debug)]
pub struct Operator {
    stream: TcpStream,
    sent: u64,
    /// The error of the first command that could not be written.
    write_error: Option<io::Error>,
    answers: JoinHandle<io::Result<Answers>>,
}

/// The answers to an operator's commands.
#[derive(Debug, Default)]
struct Answers {
    succeeded: u64,
    /// The first answer that is no success.
    refused: Option<String>,
}

impl Operator {
    fn log_in(login: &Login) -> io::Result<Self> {
        let mut console = Console::log_in(login)?;
        let stream = console.stream.try_clone()?;
        let answers = thread::spawn(move || {
            let mut answers = Answers::default();
            loop {
                let answer = console.read_answer()?;
                if answer.starts_with("Content-Type: command/reply") {
                    // The answer to `exit`, the last command.
                    return Ok(answers);
                }
                match body(&answer) {
                    succeeded if succeeded.starts_with("+OK") => answers.succeeded += 1,
                    refused => {
                        answers.refused.get_or_insert_with(|| refused.to_owned());
                    }
                }
            }
        });
        Ok(Self {
            stream,
            sent: 0,
            write_error: None,
            answers,
        })
    }

    /// Mutes or unmutes a member. [`Operator::log_out`] reports a failure.
    pub fn mute(&mut self, room: &Room, member: &Member, mute: bool) {
        let verb = if mute { "mute" } else { "unmute" };
        let command = format!("api conference {} {verb} {}\n\n", room.id, member.number);
        match self.stream.write_all(command.as_bytes()) {
            Ok(()) => self.sent += 1,
            Err(error) => {
                self.write_error.get_or_insert(error);
            }
        }
    }

    /// Logs out after all commands are answered.
    ///
    /// # Errors
    /// [`BenchError`] when a command failed.
    pub fn log_out(mut self) -> Result<(), BenchError> {
        let failed = || BenchError::system("command FreeSWITCH");
        if let Some(error) = self.write_error.take() {
            return Err(failed()(error));
        }
        self.stream.write_all(b"exit\n\n").map_err(failed())?;
        let answers = self.answers.join();
        let answers = answers.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let answers = answers.map_err(failed())?;
        if answers.succeeded == self.sent {
            return Ok(());
        }
        let why = format!(
            "FreeSWITCH executed {} of {} commands; it answered another with {:?}",
            answers.succeeded,
            self.sent,
            answers.refused.unwrap_or_default().trim()
        );
        Err(BenchError::Unexpected(why))
    }
}
