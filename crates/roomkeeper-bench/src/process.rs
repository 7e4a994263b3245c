//! Processes that a benchmark starts, and their cost.
//!
//! Owns that none outlives the harness, their ports, and reading `/proc`. Leaves out the programs themselves.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// `USER_HZ` of Linux, in which `/proc/PID/stat` counts CPU time; it is the same on every architecture that matters.
const TICKS_PER_SECOND: u64 = 100;

/// A child process. Dropping this kills it, and the kernel kills it when the harness dies.
#[derive(Debug)]
pub struct ChildProcess {
    child: Child,
}

impl ChildProcess {
    /// Starts a program.
    ///
    /// # Errors
    /// When the program or `setpriv` of util-linux cannot be started.
    pub fn start(program: &str, args: impl IntoIterator<Item = String>) -> io::Result<Self> {
        Self::start_with_log(program, args, Stdio::inherit())
    }

    /// As [`ChildProcess::start`], with standard error redirected to `log`.
    ///
    /// # Errors
    /// As [`ChildProcess::start`].
    pub fn start_with_log(
        program: &str,
        args: impl IntoIterator<Item = String>,
        log: impl Into<Stdio>,
    ) -> io::Result<Self> {
        // The kernel sends the signal when the *thread* that started the process ends. The harness starts its processes from a
        // thread that lives as long as itself.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns true if it has ended.
    ///
    /// # Errors
    /// When the kernel does not report its state.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }

    /// Sends SIGTERM and waits; after `timeout` it sends SIGKILL.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn stop(&mut self, timeout: Duration) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let deadline = Instant::now() + timeout;
        while Instant::now() < deadline {
            if self.has_ended()? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.kill()
    }

    /// Sends SIGKILL, like a crash, and waits until the process has ended.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a free port on loopback.
///
/// # Errors
/// When none is free.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

/// Returns the process at the other end of a connection; `None` when it is on another machine or not readable.
pub fn peer_pid(stream: &TcpStream) -> Option<u32> {
    let (here, there) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
    // The table has a line for each end; this finds the other end's.
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| {
            let table = fs::read_to_string(table).ok()?;
            table.lines().find_map(|line| {
                let mut fields = line.split_whitespace();
                let local = address(fields.nth(1)?)?;
                let remote = address(fields.next()?)?;
                (local == there && remote == here).then(|| fields.nth(6).map(str::to_owned))?
            })
        })?;
    let socket = format!("socket:[{inode}]");
    let owns_socket = |process: &Path| {
        let Ok(files) = fs::read_dir(process.join("fd")) else {
            return false;
        };
        let mut files = files.flatten().map(|file| fs::read_link(file.path()));
        files.any(|link| link.is_ok_and(|link| link.as_os_str() == socket.as_str()))
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        owns_socket(&process.path()).then_some(pid)
    })
}

/// Parses an address of `/proc/net/tcp`: hexadecimal, each four bytes as one number in this machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let mut bytes = [0; 16];
    let words = ip.as_bytes().chunks(8);
    for (word, four) in words.zip(bytes.chunks_mut(4)) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        four.copy_from_slice(&word.to_ne_bytes());
    }
    let ip = match ip.len() {
        8 => IpAddr::from(*bytes.first_chunk::<4>()?),
        32 => Ipv6Addr::from(bytes).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// The cost of a process since its start.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time of all its threads, including the kernel's part, with a resolution of 10 ms.
    pub cpu: Duration,
    /// Resident memory in bytes.
    pub resident: u64,
    /// The highest resident memory in bytes.
    pub peak: u64,
    /// The time of reading.
    pub at: Instant,
}

impl Usage {
    /// Reads the usage of a process.
    ///
    /// # Errors
    /// When the process does not exist or cannot be read.
    pub fn for_process(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let unreadable =
            || io::Error::new(io::ErrorKind::InvalidData, "/proc has an unexpected format");
        // The name in brackets may have spaces. utime and stime are the 14th and 15th field, and the state is the 3rd.
        let (_, fields) = stat.rsplit_once(") ").ok_or_else(unreadable)?;
        let ticks: u64 = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap_or(0))
            .sum();
        let memory = |what: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(what)?.trim().strip_suffix(" kB"))
                .and_then(|kib| kib.parse::<u64>().ok())
                .map(|kib| kib * 1_024)
                .ok_or_else(unreadable)
        };
        Ok(Self {
            cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND),
            resident: memory("VmRSS:")?,
            peak: memory("VmHWM:")?,
            at: Instant::now(),
        })
    }

    /// Reads the usage of this process.
    ///
    /// # Errors
    /// As [`Usage::for_process`].
    pub fn for_this_process() -> io::Result<Self> {
        Self::for_process(std::process::id())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn usage_counts_cpu_time_and_memory() {
        let before = Usage::for_this_process().unwrap();
        let mut sum = 0_u64;
        while Usage::for_this_process().unwrap().cpu < before.cpu + Duration::from_millis(30) {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| sum ^ n.wrapping_mul(sum | 1));
        }
        assert!(std::hint::black_box(sum) != 1);
        assert!(Usage::for_this_process().unwrap().resident > 1 << 20);
    }

    #[test]
    fn peer_process_of_local_connection_is_found() {
        for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            // Not every machine has IPv6.
            let Ok(listener) = TcpListener::bind(listen) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            let host = if listen.starts_with("[::1]") {
                "[::1]"
            } else {
                "127.0.0.1"
            };
            let stream = TcpStream::connect(format!("{host}:{port}")).unwrap();
            let accepted = listener.accept().unwrap();
            assert_eq!(peer_pid(&stream), Some(std::process::id()), "{listen}");
            drop(accepted);
        }
    }

    #[test]
    fn dropped_process_has_ended() {
        let process = ChildProcess::start("sleep", ["60".to_owned()]).unwrap();
        let pid = process.pid();
        assert!(Usage::for_process(pid).is_ok());
        drop(process);
        assert!(Usage::for_process(pid).is_err());
    }
}
