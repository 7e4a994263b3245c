//! Processes that a benchmark starts, and what they cost.
//!
//! Owns that none outlives the harness, the ports they get, and reading `/proc`. Leaves out what they are.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// `USER_HZ` of Linux, in which `/proc/PID/stat` counts CPU time; it is the same on every architecture that matters.
const TICKS_PER_SECOND: u64 = 100;

/// A process that is killed when this is dropped, and by the kernel when the harness itself is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts a program.
    ///
    /// # Errors
    /// When it cannot be started, or `setpriv` of util-linux cannot.
    pub fn start(program: &str, args: impl IntoIterator<Item = String>) -> io::Result<Self> {
        Self::start_with_log(program, args, Stdio::inherit())
    }

    /// The same; what it says on standard error goes there.
    ///
    /// # Errors
    /// As [`Running::start`].
    pub fn start_with_log(
        program: &str,
        args: impl IntoIterator<Item = String>,
        log: impl Into<Stdio>,
    ) -> io::Result<Self> {
        // The kernel sends the signal when the *thread* that started it ends: the harness starts its processes from the
        // thread that runs as long as it does.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self { child })
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn has_ended(&mut self) -> io::Result<bool> {
        self.child.try_wait().map(|status| status.is_some())
    }

    /// Ends it with SIGTERM, and waits; after `patience` with SIGKILL.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn end(&mut self, patience: Duration) -> io::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let until = Instant::now() + patience;
        while Instant::now() < until {
            if self.has_ended()? {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.kill()
    }

    /// Ends it with SIGKILL, as a crash would, and waits until it has ended.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port on loopback that nobody listens on at the moment.
///
/// # Errors
/// When none can be had.
pub fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    Ok(listener.local_addr()?.port())
}

/// The process at the other end of a connection; `None` when it does not run on this machine, or may not be looked at.
pub fn other_end(stream: &TcpStream) -> Option<u32> {
    let (here, there) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
    // The connection has a line of each end; what is looked for is the other's.
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
    let has_it = |process: &Path| {
        let Ok(files) = fs::read_dir(process.join("fd")) else {
            return false;
        };
        let mut files = files.flatten().map(|file| fs::read_link(file.path()));
        files.any(|link| link.is_ok_and(|link| link.as_os_str() == socket.as_str()))
    };
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        has_it(&process.path()).then_some(pid)
    })
}

/// An address as `/proc/net/tcp` has it: in hexadecimal, each four bytes as one number of this machine's.
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

/// What a process has cost since it was started.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// CPU time of all its threads, in the kernel as well; to 10 ms.
    pub cpu: Duration,
    /// Bytes in memory now.
    pub resident: u64,
    /// The most that it has been.
    pub peak: u64,
    /// When this was read.
    pub at: Instant,
}

impl Usage {
    /// Reads it.
    ///
    /// # Errors
    /// When there is no such process, or it cannot be read.
    pub fn of(pid: u32) -> io::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let unreadable =
            || io::Error::new(io::ErrorKind::InvalidData, "/proc is not as it should be");
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

    /// Of this process.
    ///
    /// # Errors
    /// As of any other.
    pub fn own() -> io::Result<Self> {
        Self::of(std::process::id())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn work_costs_time_and_memory() {
        let before = Usage::own().unwrap();
        let mut sum = 0_u64;
        while Usage::own().unwrap().cpu < before.cpu + Duration::from_millis(30) {
            sum = (0..1_000_000_u64).fold(sum, |sum, n| sum ^ n.wrapping_mul(sum | 1));
        }
        assert!(std::hint::black_box(sum) != 1);
        assert!(Usage::own().unwrap().resident > 1 << 20);
    }

    #[test]
    fn whose_the_other_end_is_can_be_told() {
        for listen in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            // Not every machine has an IPv6.
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
            assert_eq!(other_end(&stream), Some(std::process::id()), "{listen}");
            drop(accepted);
        }
    }

    #[test]
    fn what_is_dropped_has_ended() {
        let running = Running::start("sleep", ["60".to_owned()]).unwrap();
        let pid = running.pid();
        assert!(Usage::of(pid).is_ok());
        drop(running);
        assert!(Usage::of(pid).is_err());
    }
}
