//! A real FreeSWITCH of a test's own, on the configuration that the project brings along: where one is installed.
//!
//! Owns how it is found, its folders and ports, and its end, which is the test's at the latest. Leaves out what is said to
//! it: to the rest of a test it is a [`RealServer`].

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::poll;
use super::switch::{RealServer, read_message};
use crate::support::process::{self, free_port};

/// The modules are loaded before it answers.
const START: Duration = Duration::from_secs(60);

/// Media ports are given out from here on, below all others of the tests; sockets of media are bound only for as long as a
/// call lasts, so nobody can look which are free.
const FIRST_MEDIA: u32 = 10_000;
const MEDIA: u32 = 100;
const RANGES: u32 = 99;

/// How much of the log of a failed test is shown.
const LOG_LINES: usize = 60;

/// The configuration that is tested.
pub fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("freeswitch-conf")
}

/// The program, where it is installed: `FREESWITCH_BIN` names it, or it is in the `PATH`, or at a usual place.
pub fn installed() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("FREESWITCH_BIN").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        assert!(
            named.is_file(),
            "FREESWITCH_BIN names no file: {}",
            named.display()
        );
        return Some(named);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = [
        "/usr/bin",
        "/usr/local/bin",
        "/usr/local/freeswitch/bin",
        "/opt/freeswitch/bin",
    ];
    std::env::split_paths(&path)
        .chain(usual.map(PathBuf::from))
        .map(|folder| folder.join("freeswitch"))
        .find(|program| program.is_file())
}

/// A server, which runs or has been killed.
pub struct FreeSwitch {
    program: PathBuf,
    child: Child,
    environment: BTreeMap<String, String>,
    dir: tempfile::TempDir,
    /// `host:port` of trunks' and of softphones' SIP.
    pub sip: SocketAddr,
    pub phones: SocketAddr,
    pub server: RealServer,
}

impl FreeSwitch {
    /// Starts it on loopback and ports of its own, with these settings besides, and waits until it answers.
    pub async fn start(program: PathBuf, settings: &[(&str, &str)]) -> Self {
        let server = Self::start_unasked(program, settings);
        server.until_ready().await;
        server
    }

    /// The same, and does not wait.
    pub fn start_unasked(program: PathBuf, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["log", "db", "run", "recordings", "storage", "temp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let [esl, sip, phones] =
            [(); 3].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let media = FIRST_MEDIA + u32::from(esl.port()) % RANGES * MEDIA;
        let mut environment: BTreeMap<String, String> = [
            ("RK_ESL_PORT", u32::from(esl.port())),
            ("RK_SIP_PORT", u32::from(sip.port())),
            ("RK_PHONE_PORT", u32::from(phones.port())),
            ("RK_RTP_START", media),
            ("RK_RTP_END", media + MEDIA - 2),
        ]
        .map(|(name, number)| (name.to_owned(), number.to_string()))
        .into();
        environment.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let password = environment
            .get("RK_ESL_PASSWORD")
            .cloned()
            .unwrap_or_default();
        let server = RealServer {
            address: esl,
            password,
        };
        let child = launch(&program, &environment, dir.path());
        Self {
            program,
            child,
            environment,
            dir,
            sip,
            phones,
            server,
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until it says that it is ready.
    pub async fn until_ready(&self) {
        poll::until("FreeSWITCH is ready", START, async || {
            let said = self.ask("status").await?;
            said.contains("is ready").then_some(())
        })
        .await;
    }

    /// One `api` command, by the password that was set; `None`: no answer.
    pub async fn ask(&self, command: &str) -> Option<String> {
        let (server, command) = (self.server.clone(), command.to_owned());
        tokio::task::spawn_blocking(move || server.ask(&command).ok())
            .await
            .unwrap()
    }

    /// One `api` command that must be answered.
    pub async fn api(&self, command: &str) -> String {
        self.ask(command).await.expect("FreeSWITCH answers")
    }

    /// A folder of it.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The text that it has logged.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("stdout") + &read("log/freeswitch.log")
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("FreeSWITCH was running");
        self.child.wait().expect("FreeSWITCH has ended");
        assert!(
            TcpStream::connect(self.server.address).is_err(),
            "killed, and still there"
        );
    }

    /// Starts it again after a [`FreeSwitch::kill`], as it was.
    pub async fn start_again(&mut self) {
        self.child = launch(&self.program, &self.environment, self.dir.path());
        self.until_ready().await;
    }

    /// Tells it to end, and waits for that.
    pub async fn terminate(&mut self) -> ExitStatus {
        kill_process(self.pid(), Signal::TERM).unwrap();
        poll::until("FreeSWITCH ends", START, async || {
            self.child.try_wait().unwrap()
        })
        .await
    }
}

impl Drop for FreeSwitch {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_LINES)..];
            eprintln!("--- FreeSWITCH's log ---\n{}", tail.join("\n"));
        }
    }
}

fn launch(program: &Path, environment: &BTreeMap<String, String>, dir: &Path) -> Child {
    let mut command = process::command(program.to_str().expect("a path of text"));
    command.args(["-nonat", "-nonatmap", "-np", "-nf", "-nc"]);
    command.arg("-conf").arg(configuration());
    for folder in ["log", "db", "run", "recordings", "storage", "temp"] {
        command.arg(format!("-{folder}")).arg(dir.join(folder));
    }
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RK_") {
            command.env_remove(name);
        }
    }
    let out = File::options()
        .create(true)
        .append(true)
        .open(dir.join("stdout"))
        .unwrap();
    command
        .envs(environment)
        .stdin(Stdio::null())
        .stderr(out.try_clone().unwrap())
        .stdout(out);
    process::spawn(command)
}

/// A connection that hears events, and notes which.
pub struct Ear {
    /// Names of events, and of `CUSTOM` ones the subclass.
    heard: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Ear {
    /// Hears these events and these subclasses from now on.
    pub async fn on(server: &RealServer, names: &[&str], subclasses: &[&str]) -> Self {
        let server = server.clone();
        let wanted = format!(
            "event plain {} CUSTOM {}\n\n",
            names.join(" "),
            subclasses.join(" ")
        );
        let heard = Arc::new(Mutex::new(BTreeMap::new()));
        let noted = Arc::clone(&heard);
        let (subscribed, when_subscribed) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            read_message(&mut reader).unwrap();
            write!(stream, "auth {}\n\n{wanted}", server.password).unwrap();
            for _ in 0..2 {
                let (reply, _) = read_message(&mut reader).unwrap();
                assert!(reply.contains("+OK"), "{reply}");
            }
            subscribed.send(()).unwrap();
            // Until the server ends.
            while let Ok((_, body)) = read_message(&mut reader) {
                let value = |name: &str| {
                    let mut lines = body.lines().filter_map(|line| line.strip_prefix(name));
                    lines.next().map(|value| value.replace("%3A", ":"))
                };
                let name = value("Event-Subclass: ").or_else(|| value("Event-Name: "));
                if let Some(name) = name {
                    *noted.lock().unwrap().entry(name).or_default() += 1;
                }
            }
        });
        when_subscribed.await.expect("subscribed");
        Self { heard }
    }

    /// How many of this event have come.
    pub fn heard(&self, name: &str) -> usize {
        self.heard.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// Waits until one has come.
    pub async fn until_heard(&self, name: &str, patience: Duration) {
        poll::until(&format!("{name} comes"), patience, async || {
            (self.heard(name) > 0).then_some(())
        })
        .await;
    }
}
