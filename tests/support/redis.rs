//! A real Redis server of a test's own: started on a free port, killed with the test.
//!
//! Owns the process. Leaves out what is stored in it. Every fault is a method, and each returns only when the fault
//! has happened.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than any start or stop takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running (or killed, or stopped) server.
pub struct RedisServer {
    child: Child,
    port: u16,
    /// Holds the append-only file, when there is one.
    dir: Option<tempfile::TempDir>,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// A server that has every write on disk before it answers.
    pub async fn start_durable() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the append-only file");
        Self::start_with(Some(dir)).await
    }

    async fn start_with(dir: Option<tempfile::TempDir>) -> Self {
        // Between our finding a port free and the server's taking it, someone else may.
        for _ in 0..5 {
            let port = free_port();
            let mut server = Self {
                child: spawn(command(port, dir.as_ref().map(|d| d.path().to_owned()))),
                port,
                dir: None,
            };
            if server.answers().await {
                server.dir = dir;
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
        self.child = spawn(command(
            self.port,
            self.dir.as_ref().map(|d| d.path().to_owned()),
        ));
        assert!(self.answers().await, "redis-server does not start again");
    }

    /// Stops it: it holds its connections and answers nothing.
    pub async fn pause(&self) {
        kill_process(self.pid(), Signal::STOP).expect("redis-server was running");
        self.until_state(|state| state == 'T').await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        kill_process(self.pid(), Signal::CONT).expect("redis-server was running");
        self.until_state(|state| state != 'T').await;
    }

    async fn until_state(&self, wanted: impl Fn(char) -> bool) {
        let path = format!("/proc/{}/stat", self.child.id());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stat = std::fs::read_to_string(&path).expect("redis-server is running");
            let state = stat
                .rsplit_once(") ")
                .and_then(|(_, rest)| rest.chars().next());
            if state.is_some_and(&wanted) {
                return;
            }
            assert!(Instant::now() < deadline, "the signal has no effect");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Waits until it answers a ping; `false` when it has ended instead.
    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.child.try_wait().expect("its state").is_some() {
                return false;
            }
            if ping(self.address()) {
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

fn ping(address: SocketAddr) -> bool {
    let pong = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        // While it reads its file it says LOADING.
        Ok(&answer == b"+PONG\r\n")
    };
    pong().unwrap_or(false)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

fn command(port: u16, dir: Option<PathBuf>) -> Command {
    // A test that is killed runs no destructors: the kernel must end its server.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "redis-server"]);
    command.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    command.args(["--save", "", "--daemonize", "no"]);
    match dir {
        None => command.args(["--appendonly", "no"]),
        Some(dir) => command
            .args(["--appendonly", "yes", "--appendfsync", "always", "--dir"])
            .arg(dir),
    };
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Starts the command from a thread that lives as long as the test process: the kernel sends the death signal when the
/// *thread* that started a process ends, and a test's thread ends before its process does.
fn spawn(command: Command) -> Child {
    type Order = (Command, mpsc::Sender<std::io::Result<Child>>);
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    assert!(
        installed("redis-server") && installed("setpriv"),
        "these tests need redis-server and setpriv (util-linux) installed; tests/run installs them"
    );
    let orders = ORDERS.get_or_init(|| {
        let (send, receive) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                // Whoever asked is waiting below.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(send)
    });
    let (send, receive) = mpsc::channel();
    orders
        .lock()
        .expect("no one panics with it")
        .send((command, send))
        .expect("the thread lives");
    receive
        .recv()
        .expect("the thread lives")
        .expect("setpriv starts")
}

fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
