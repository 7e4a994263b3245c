//! Processes of a test's own, which end when it does.
//!
//! Owns how they are started, and the ports they get. Leaves out what they are.

use std::net::TcpListener;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};

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

/// Whether a program is found.
pub fn installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
