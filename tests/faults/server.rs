//! The process of a real FreeSWITCH on this machine, which rows stop, kill and restart.
//!
//! The server runs again after the row, also after a failed one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::program::poll;
use crate::program::world::{PASSWORD, World};
use crate::support::process;

/// Time limit of a start: FreeSWITCH loads its modules before it answers.
const START: Duration = Duration::from_secs(60);

pub struct ServerProcess {
    pid: Pid,
    /// The original arguments; directory and environment follow.
    arguments: Vec<Vec<u8>>,
    directory: PathBuf,
    environment: Vec<Vec<u8>>,
}

impl ServerProcess {
    /// Finds the process of this world's node.
    pub async fn for_world(world: &World) -> Self {
        let run = world.fs("eval ${run_dir}").await;
        let file = PathBuf::from(run.trim()).join("freeswitch.pid");
        let text = fs::read_to_string(&file)
            .unwrap_or_else(|e| panic!("{}: {e}; is the server on this machine?", file.display()));
        let pid: i32 = text
            .trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .unwrap();
        let lines = |what: &str| -> Vec<Vec<u8>> {
            let bytes = fs::read(format!("/proc/{pid}/{what}")).unwrap();
            let parts = bytes.split(|byte| *byte == 0);
            parts
                .filter(|part| !part.is_empty())
                .map(<[u8]>::to_vec)
                .collect()
        };
        Self {
            pid: Pid::from_raw(pid).unwrap(),
            arguments: lines("cmdline"),
            directory: fs::read_link(format!("/proc/{pid}/cwd")).unwrap(),
            environment: lines("environ"),
        }
    }

    pub async fn pause(&self) {
        process::pause(self.pid).await;
    }

    pub async fn resume(&self) {
        process::resume(self.pid).await;
    }

    fn is_running(&self) -> bool {
        // A zombie still exists, so its state counts, too.
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero()));
        test_kill_process(self.pid).is_ok() && stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// Sends SIGKILL. Returns when the process has ended.
    pub async fn kill(&self) {
        kill_process(self.pid, Signal::KILL).unwrap();
        poll::until("the server has ended", poll::TIMEOUT, async || {
            (!self.is_running()).then_some(())
        })
        .await;
    }

    /// Restarts it with its original settings; it outlives this process. Returns when it answers.
    pub async fn restart(&mut self, world: &World) {
        self.launch();
        poll::until("the server answers", START, async || {
            world.switch.answers(PASSWORD).await.then_some(())
        })
        .await;
    }

    // The server outlives this process, which cannot wait for its end.
    #[allow(clippy::zombie_processes)]
    fn launch(&mut self) {
        let [program, arguments @ ..] = self.arguments.as_slice() else {
            panic!("the server's command line is empty");
        };
        let mut command = Command::new(OsStr::from_bytes(program));
        command
            .args(arguments.iter().map(|argument| OsStr::from_bytes(argument)))
            .current_dir(&self.directory)
            .env_clear()
            // Signals to this process's group do not reach it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        for variable in &self.environment {
            let mut parts = variable.splitn(2, |byte| *byte == b'=');
            if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
                command.env(OsStr::from_bytes(name), OsStr::from_bytes(value));
            }
        }
        let child = command.spawn().unwrap();
        self.pid = Pid::from_child(&child);
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if self.is_running() {
            let _ = kill_process(self.pid, Signal::CONT);
        } else {
            self.launch();
        }
    }
}
