//! Processes that a test starts and that end with the test.
//!
//! Owns their start and their ports. Leaves out the programs themselves.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Time limit for the effect of a signal.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The first port to assign. The range is below the ephemeral ports, so a killed server finds its port free when it
/// restarts.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// Returns a command that the kernel kills when this process ends, because a killed test runs no destructors.
pub fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// Returns a free port on loopback. Each test process starts at another offset.
pub fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        let spread = std::process::id().wrapping_mul(97) % u32::from(PORTS);
        AtomicU16::new(u16::try_from(spread).expect("smaller than a port"))
    });
    for _ in 0..PORTS {
        let port = FIRST_PORT + next.fetch_add(1, Ordering::Relaxed) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Starts the command from a thread that lives as long as the test process. The kernel sends the death signal when the
/// *thread* that started a process ends, and a test's thread ends before its process.
pub fn spawn(command: Command) -> Child {
    type Request = (Command, mpsc::Sender<std::io::Result<Child>>);
    static REQUESTS: OnceLock<Mutex<mpsc::Sender<Request>>> = OnceLock::new();
    assert!(
        installed("redis-server") && installed("setpriv"),
        "these tests need redis-server and setpriv (util-linux) installed; tests/run installs them"
    );
    let requests = REQUESTS.get_or_init(|| {
        let (send, receive) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for (mut command, answer) in receive {
                // The receiver waits below.
                let _ = answer.send(command.spawn());
            }
        });
        Mutex::new(send)
    });
    let (send, receive) = mpsc::channel();
    requests
        .lock()
        .expect("the lock is not poisoned")
        .send((command, send))
        .expect("the thread lives");
    receive
        .recv()
        .expect("the thread lives")
        .expect("setpriv starts")
}

/// Stops a process with SIGSTOP, so that it keeps its connections and does nothing. Returns when it has stopped.
pub async fn pause(pid: Pid) {
    kill_process(pid, Signal::STOP).expect("the process runs");
    until_state(pid, |state| state == 'T').await;
}

/// Continues a stopped process.
pub async fn resume(pid: Pid) {
    kill_process(pid, Signal::CONT).expect("the process runs");
    until_state(pid, |state| state != 'T').await;
}

async fn until_state(pid: Pid, wanted: impl Fn(char) -> bool) {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let stat = std::fs::read_to_string(&path).expect("the process runs");
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

/// The resident memory of a process, in KiB.
pub fn resident(pid: Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .expect("a process has memory")
}

/// True if the `PATH` has this program.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}

/// Returns the path of a program of another package, which Cargo puts beside this package's `program`. A test does not
/// build it: `cargo test --workspace` does.
pub fn program_beside(program: &str, name: &str) -> PathBuf {
    let path = Path::new(program).with_file_name(name);
    let shown = path.display();
    assert!(
        path.exists(),
        "{shown} is missing: build it with \"cargo build -p {name}\""
    );
    path
}
