//! Processes that a benchmark starts, and what they cost.
//!
//! Owns that none outlives the harness, the ports they get, and reading `/proc`. Leaves out what they are.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
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
        // The kernel sends the signal when the *thread* that started it ends: the harness starts its processes from the
        // thread that runs as long as it does.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", program])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
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
    pub async fn stop(mut self, patience: Duration) -> io::Result<()> {
        self.end(patience).await
    }

    /// The same, for one that another is to take the place of.
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
    fn what_is_dropped_has_ended() {
        let running = Running::start("sleep", ["60".to_owned()]).unwrap();
        let pid = running.pid();
        assert!(Usage::of(pid).is_ok());
        drop(running);
        assert!(Usage::of(pid).is_err());
    }
}
