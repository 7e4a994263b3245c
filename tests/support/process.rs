//! Processes of a test's own, which end when it does.
//!
//! Owns how they are started, and the ports they get. Leaves out what they are.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than a signal takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ports are given out from here on: below the range that connections take theirs from, so that a server that was
/// killed finds its port free when it comes back.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;

/// A command that the kernel kills when this process ends: a test that is killed runs no destructors.
pub fn command(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]);
    command
}

/// A port on loopback that nobody listens on. Test processes begin at different ones.
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

/// Starts the command from a thread that lives as long as the test process: the kernel sends the death signal when the
/// *thread* that started a process ends, and a test's thread ends before its process does.
pub fn spawn(command: Command) -> Child {
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

/// Stops a process: it keeps its connections and does nothing. Returns when it has stopped.
pub async fn pause(pid: Pid) {
    kill_process(pid, Signal::STOP).expect("the process runs");
    until_state(pid, |state| state == 'T').await;
}

/// Lets a process go on that was stopped.
pub async fn resume(pid: Pid) {
    kill_process(pid, Signal::CONT).expect("the process runs");
    until_state(pid, |state| state != 'T').await;
}

async fn until_state(pid: Pid, wanted: impl Fn(char) -> bool) {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let deadline = Instant::now() + PATIENCE;
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

/// How much memory a process has, in KiB.
pub fn resident(pid: Pid) -> u64 {
    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .expect("a process has memory")
}

/// True if a program is found.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
