//! A real Redis server of a test's own: started on a free port, killed with the test.
//!
//! Owns the process. Leaves out what is stored in it. Every fault is a method, and each returns only when the fault
//! has happened.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::process::{self, free_port, spawn};

/// Longer than any start or stop takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running (or killed, or stopped) server.
pub struct RedisServer {
    child: Child,
    port: u16,
    keeps: Keeps,
    /// Holds what it has on disk.
    dir: tempfile::TempDir,
}

/// What a server has on disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Nothing,
    EveryWrite,
    /// Nothing but which slots are its own: all.
    Slots,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(Keeps::Nothing).await
    }

    /// A server that has every write on disk before it answers.
    pub async fn start_durable() -> Self {
        Self::start_with(Keeps::EveryWrite).await
    }

    /// A cluster of one: it has all slots, and refuses what touches two of them.
    pub async fn start_with_slots() -> Self {
        let server = Self::start_with(Keeps::Slots).await;
        assert_eq!(
            server.say("CLUSTER ADDSLOTSRANGE 0 16383").as_deref(),
            Some("+OK"),
            "the slots are free"
        );
        let deadline = Instant::now() + PATIENCE;
        while server.say("GET key").as_deref() != Some("$-1") {
            assert!(Instant::now() < deadline, "the cluster does not come up");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        server
    }

    async fn start_with(keeps: Keeps) -> Self {
        // Between our finding a port free and the server's taking it, someone else may.
        for _ in 0..5 {
            let dir = tempfile::tempdir().expect("a directory for the server's files");
            let port = free_port();
            let mut server = Self {
                child: spawn(command(port, keeps, dir.path())),
                port,
                keeps,
                dir,
            };
            if server.answers().await {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server has ended");
        assert!(
            TcpStream::connect(self.address()).is_err(),
            "killed, and still there"
        );
    }

    /// Starts it again where it was, with what is on disk.
    pub async fn restart(&mut self) {
        if self.child.try_wait().expect("its state").is_none() {
            self.kill();
        }
        self.child = spawn(command(self.port, self.keeps, self.dir.path()));
        assert!(self.answers().await, "redis-server does not start again");
    }

    /// Stops it: it holds its connections and answers nothing.
    pub async fn pause(&self) {
        process::pause(self.pid()).await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        process::resume(self.pid()).await;
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Sends one command on a connection of its own; the first line of the answer, or `None` when there is none.
    pub fn say(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    /// The text under a key.
    pub fn get(&self, key: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        stream.write_all(format!("GET {key}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        // First how long it is.
        lines
            .next()?
            .ok()?
            .strip_prefix('$')?
            .parse::<usize>()
            .ok()?;
        lines.next()?.ok()
    }

    /// Waits until it answers a ping; `false` when it has ended instead.
    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.child.try_wait().expect("its state").is_some() {
                return false;
            }
            if self.say("PING").as_deref() == Some("+PONG") {
                return true;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed already; a stopped one can be killed too.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(port: u16, keeps: Keeps, dir: &Path) -> Command {
    let mut command = process::command("redis-server");
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--daemonize", "no", "--dir"]);
    command.arg(dir);
    match keeps {
        Keeps::Nothing => command.args(["--appendonly", "no"]),
        Keeps::EveryWrite => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
        // The port for other members is of no use to one alone, but it must have a free one.
        Keeps::Slots => command.args([
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &free_port().to_string(),
        ]),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
