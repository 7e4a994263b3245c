//! Runs commands against the controller of a test, as an operator does. Each suite uses a part.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::controller::{KEY, binary};
use crate::program::poll::{self, TIMEOUT};
use crate::program::world::World;
use crate::support::process;

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The program with the ports and keys of this world in its environment.
pub fn roomkeeper(world: &World) -> Command {
    let [http, admin] = world.controller.ports();
    let mut command = binary();
    command
        .env("ROOMKEEPER_API", format!("http://127.0.0.1:{http}"))
        .env("ROOMKEEPER_APP", &world.app)
        .env("ROOMKEEPER_KEY", KEY)
        .env("ROOMKEEPER_ADMIN", format!("http://127.0.0.1:{admin}"))
        .env("XDG_STATE_HOME", world.controller.state_dir())
        // No context of the user who runs the tests.
        .env("XDG_CONFIG_HOME", world.controller.state_dir())
        .env("TZ", "Europe/Berlin");
    command
}

pub fn run(world: &World, args: &[&str]) -> Output {
    let mut command = roomkeeper(world);
    command.args(args);
    tokio::task::block_in_place(|| command.output().unwrap())
}

pub fn shown(world: &World, args: &[&str]) -> String {
    let out = run(world, args);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    text(&out.stdout)
}

pub fn document(world: &World, args: &[&str]) -> Value {
    serde_json::from_str(&shown(world, args)).unwrap()
}

/// A running command with its output so far.
pub struct RunningCommand {
    pub child: Child,
    pub stdout: Arc<Mutex<Vec<String>>>,
    pub stderr: Arc<Mutex<Vec<String>>>,
}

impl Drop for RunningCommand {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn collect_lines(from: impl std::io::Read + Send + 'static) -> Arc<Mutex<Vec<String>>> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            collected.lock().unwrap().push(line);
        }
    });
    lines
}

impl RunningCommand {
    pub fn start(world: &World, args: &[&str]) -> Self {
        let mut command = roomkeeper(world);
        command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = process::spawn(command);
        let stdout = collect_lines(child.stdout.take().unwrap());
        let stderr = collect_lines(child.stderr.take().unwrap());
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub fn printed(&self) -> Vec<String> {
        self.stdout.lock().unwrap().clone()
    }

    pub fn errors(&self) -> String {
        self.stderr.lock().unwrap().join("\n")
    }

    pub async fn reports(&self, words: &str) {
        let what = format!("it reports {words:?}");
        poll::until(&what, TIMEOUT, async || {
            self.errors().contains(words).then_some(())
        })
        .await;
    }

    pub async fn prints(&self, words: &str) -> String {
        let what = format!("it prints {words:?}");
        poll::until(&what, TIMEOUT, async || {
            let lines = self.printed();
            lines.into_iter().find(|line| line.contains(words))
        })
        .await
    }

    pub async fn ends(&mut self) -> Option<i32> {
        let status = poll::until("it ends", TIMEOUT, async || self.child.try_wait().unwrap()).await;
        // Each reader holds its lines until the end of the output.
        poll::until("its output was read", TIMEOUT, async || {
            let readers = Arc::strong_count(&self.stdout) + Arc::strong_count(&self.stderr) - 2;
            (readers == 0).then_some(())
        })
        .await;
        status.code()
    }

    /// Sends SIGINT, as Ctrl-C does, and waits for the end.
    pub async fn interrupt(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.ends().await
    }
}
