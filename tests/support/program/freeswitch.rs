//! A real FreeSWITCH for one test, with the project's configuration, where FreeSWITCH is installed.
//!
//! Owns the search for the program, its folders and ports, and its end, at the latest with the test. Leaves out the
//! commands to it: the rest of a test uses it as a [`RealServer`].

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

/// Time limit of a start: FreeSWITCH loads its modules before it answers.
const START: Duration = Duration::from_secs(60);

/// The first media port, below all other ports of the tests. Media sockets are bound only during a call, so a search
/// for free ones is not possible.
const FIRST_MEDIA: u32 = 10_000;
const MEDIA: u32 = 100;
const RANGES: u32 = 99;

/// The number of log lines that a failed test prints.
const LOG_LINES: usize = 60;

/// The directory of the configuration under test.
pub fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("freeswitch-conf")
}

/// Finds the program: `FREESWITCH_BIN`, or in the `PATH`, or in a usual directory.
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

/// A running or killed server.
pub struct FreeSwitch {
    program: PathBuf,
    child: Child,
    environment: BTreeMap<String, String>,
    dir: tempfile::TempDir,
    /// `host:port` of SIP for trunks. `phones` is the one for softphones.
    pub sip: SocketAddr,
    pub phones: SocketAddr,
    /// `host:port` where it accepts relays.
    pub relays: SocketAddr,
    pub server: RealServer,
}

impl FreeSwitch {
    /// Starts it on loopback with free ports and additional settings, and waits until it answers.
    pub async fn start(program: PathBuf, settings: &[(&str, &str)]) -> Self {
        let server = Self::start_without_waiting(program, settings);
        server.until_ready().await;
        server
    }

    /// Starts it like [`FreeSwitch::start`], without waiting.
    pub fn start_without_waiting(program: PathBuf, settings: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["log", "db", "run", "recordings", "storage", "temp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let [esl, sip, phones, relays] =
            [(); 4].map(|()| SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())));
        let media = FIRST_MEDIA + u32::from(esl.port()) % RANGES * MEDIA;
        let mut environment: BTreeMap<String, String> = [
            ("RK_ESL_PORT", u32::from(esl.port())),
            ("RK_SIP_PORT", u32::from(sip.port())),
            ("RK_PHONE_PORT", u32::from(phones.port())),
            ("RK_RELAY_PORT", u32::from(relays.port())),
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
            relays,
            server,
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Waits until `status` reports that it is ready.
    pub async fn until_ready(&self) {
        poll::until("FreeSWITCH is ready", START, async || {
            let status = self.ask("status").await?;
            status.contains("is ready").then_some(())
        })
        .await;
    }

    /// Runs one `api` command with the configured password; `None` without an answer.
    pub async fn ask(&self, command: &str) -> Option<String> {
        let (server, command) = (self.server.clone(), command.to_owned());
        tokio::task::spawn_blocking(move || server.ask(&command).ok())
            .await
            .unwrap()
    }

    /// Runs one `api` command that must have an answer.
    pub async fn api(&self, command: &str) -> String {
        self.ask(command).await.expect("FreeSWITCH answers")
    }

    /// The path of one of its folders.
    pub fn folder(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The text of its log.
    pub fn log(&self) -> String {
        let read = |name: &str| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default();
        read("stdout") + &read("log/freeswitch.log")
    }

    /// Kills it with SIGKILL, like a crash.
    pub fn kill(&mut self) {
        self.child.kill().expect("FreeSWITCH was running");
        self.child.wait().expect("FreeSWITCH has ended");
        assert!(
            TcpStream::connect(self.server.address).is_err(),
            "a killed server still accepts connections"
        );
    }

    /// Restarts it after a [`FreeSwitch::kill`] with the same settings.
    pub async fn start_again(&mut self) {
        self.child = launch(&self.program, &self.environment, self.dir.path());
        self.until_ready().await;
    }

    /// Sends SIGTERM and waits until it ends.
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

/// A connection that subscribes to events and counts them.
pub struct EventCounter {
    /// Counts by event name, or by subclass for `CUSTOM` events.
    counts: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl EventCounter {
    /// Subscribes to these events and subclasses.
    pub async fn on(server: &RealServer, names: &[&str], subclasses: &[&str]) -> Self {
        let server = server.clone();
        let subscription = format!(
            "event plain {} CUSTOM {}\n\n",
            names.join(" "),
            subclasses.join(" ")
        );
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&counts);
        let (subscribed, when_subscribed) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut stream = TcpStream::connect(server.address).unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            read_message(&mut reader).unwrap();
            write!(stream, "auth {}\n\n{subscription}", server.password).unwrap();
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
                    *counted.lock().unwrap().entry(name).or_default() += 1;
                }
            }
        });
        when_subscribed.await.expect("subscribed");
        Self { counts }
    }

    /// The number of received events of this name.
    pub fn count(&self, name: &str) -> usize {
        self.counts.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// Waits until one has arrived.
    pub async fn until_received(&self, name: &str, timeout: Duration) {
        poll::until(&format!("{name} arrives"), timeout, async || {
            (self.count(name) > 0).then_some(())
        })
        .await;
    }
}
