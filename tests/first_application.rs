//! The documents' examples against `roomkeeper lab`: the first application in both languages, and the README's walk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use reqwest::Client;
use roomkeeper::clock;
use roomkeeper::webhook::sign::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Secret, signatures,
};
use roomkeeper_core::time::Timestamp;
use serde_json::{Value, json};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=";
/// The number of calls at the lab's limit: 3 parked ones, 3 members of its own room, and 5 more.
const LAB_CALLS: usize = 11;
const PATIENCE: Duration = Duration::from_secs(20);

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A process whose lines are read; it is killed with the test.
struct Program {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Program {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = process::spawn(command);
        let out = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        Self { child, lines }
    }

    /// Reads up to the first line that this function accepts, and returns its result.
    fn until<T>(&self, what: &str, accept: impl Fn(&str) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let mut skipped = Vec::new();
        loop {
            match self.lines.recv_timeout(end.duration_since(Instant::now())) {
                Ok(line) => match accept(&line) {
                    Some(found) => return found,
                    None => skipped.push(line),
                },
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line shows that {what}: {skipped:#?}")
                }
            }
        }
    }
}

/// `roomkeeper lab` on free ports, and a client of its API.
struct Lab {
    program: Program,
    api: String,
    client: Client,
    _state: tempfile::TempDir,
}

impl Lab {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = tempfile::tempdir().unwrap();
        let mut command = process::command(env!("CARGO_BIN_EXE_roomkeeper"));
        command.env("XDG_STATE_HOME", state.path()).args([
            "lab",
            "--port",
            "0",
            "--admin-port",
            "0",
        ]);
        let program = Program::start(command);
        let api = program.until("the API listens", |line| {
            let rest = line.trim().strip_prefix("API ")?;
            rest.split_whitespace().next().map(str::to_owned)
        });
        program.until("the lab is ready", |line| {
            line.contains("Ctrl-C ends the lab").then_some(())
        });
        let client = Client::builder().no_proxy().timeout(PATIENCE);
        Self {
            program,
            api,
            client: client.build().unwrap(),
            _state: state,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let url = format!("{}/api/v1{path}", self.api);
        let request = self.client.get(url).header("X-App-ID", "demo");
        let answer = request.header("X-API-Key", "lab-key").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{path}");
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }

    /// Waits until the application has taken as many calls as the lab keeps besides the parked ones, and returns the rooms.
    async fn until_full(&self) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let sessions = self.get("/sessions").await;
            let rooms = self.get("/conferences").await["conferences"].clone();
            let calls = sessions["sessions"].as_array().unwrap();
            let in_rooms = calls.iter().filter(|call| call["state"] == "in_room");
            // The rooms of the calls, and the lab's own room with three members.
            if calls.len() == LAB_CALLS && in_rooms.count() + 2 == calls.len() {
                return rooms;
            }
            assert!(Instant::now() < end, "{sessions}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns a parked call. The lab places a new call when it ends.
    async fn parked_call(&self) -> String {
        let all = self.get("/sessions").await;
        let sessions = all["sessions"].as_array().unwrap();
        let parked = sessions.iter().find(|call| call["state"] == "parked");
        parked.unwrap()["uuid"].as_str().unwrap().to_owned()
    }
}

/// Runs the commands of a page with this address of the API, and returns their output.
fn run_commands(commands: &str, lab: &Lab) -> String {
    assert!(
        process::installed("curl"),
        "the commands need curl; tests/run installs it"
    );
    let default = "API=http://127.0.0.1:8080/api/v1\n";
    assert!(commands.contains(default), "{commands}");
    let script = commands.replace(default, &format!("API={}/api/v1\n", lab.api));
    let done = process::command("bash").args(["-c", &script]).output();
    String::from_utf8(done.unwrap().stdout).unwrap()
}

/// The shell blocks of a page.
fn shell_blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(project(page)).unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let blocks = blocks.filter_map(|block| block.split("```").next());
    blocks.map(str::to_owned).collect()
}

/// Posts a signed webhook to the application and returns the status of its answer.
async fn deliver(lab: &Lab, url: &str, secret: &str, id: &str, at: Timestamp, body: &str) -> u16 {
    let secrets: [Secret; 1] = [secret.parse().unwrap()];
    let request = lab.client.post(url).body(body.to_owned());
    let request = request
        .header(HEADER_ID, id)
        .header(HEADER_TIMESTAMP, at.as_secs())
        .header(HEADER_SIGNATURE, signatures(&secrets, id, at, body));
    request.send().await.unwrap().status().as_u16()
}

/// Follows docs/getting-started.md with this application.
async fn application_joins_each_new_call(interpreter: &str, script: &str) {
    assert!(
        process::installed(interpreter),
        "this test needs {interpreter}; tests/run installs it"
    );
    let lab = Lab::start();
    let mut command = process::command(interpreter);
    command
        .arg(project(script))
        .env("ROOMKEEPER_API", &lab.api)
        .env("WEBHOOK_SECRET", SECRET)
        .env("PORT", "0");
    let application = Program::start(command);
    let url = application.until("the application listens", |line| {
        line.strip_prefix("listening on ").map(str::to_owned)
    });
    // The page's commands register the endpoint and end a call; the lab places a new one.
    let ended = lab.parked_call().await;
    let commands = shell_blocks("docs/getting-started.md")[2..].concat();
    assert!(commands.contains(SECRET), "{commands}");
    let commands = commands.replace("http://127.0.0.1:9999/hook", &url);
    let output = run_commands(&commands, &lab);
    for part in [url.as_str(), "\"status\":\"in_progress\""] {
        assert!(output.contains(part), "{output}");
    }
    let (call, room) = application.until("the new call joined its room", |line| {
        let rest = line.strip_prefix("call ")?;
        let (call, room) = rest.split_once(" joined room ")?;
        Some((call.to_owned(), room.to_owned()))
    });
    assert_ne!(call, ended);
    let members = lab.get(&format!("/conferences/{room}/members")).await;
    assert_eq!(members["members"][0]["uuid"], call.as_str(), "{members}");
    assert_eq!(members["members"][0]["muted"], false, "{members}");
    let name = lab.get(&format!("/conferences/{room}")).await;
    assert_eq!(name["name"], format!("call-{call}"));

    // A webhook that comes again makes no second room.
    let rooms = async || lab.get("/conferences").await["conferences"].clone();
    // The application takes each call, so the lab places the next one, up to its limit.
    let before = lab.until_full().await;
    let now = clock::now();
    let body = json!({ "event": "call.new", "session_uuid": call, "data": {} }).to_string();
    let again = deliver(&lab, &url, SECRET, "msg_again", now, &body).await;
    assert_eq!(again, 204);
    assert_eq!(rooms().await, before);
    // A call that is gone is not retried.
    let gone = json!({ "event": "call.new", "session_uuid": ended, "data": {} }).to_string();
    assert_eq!(
        deliver(&lab, &url, SECRET, "msg_gone", now, &gone).await,
        204
    );
    assert_eq!(rooms().await, before);
    // Forged and old webhooks are refused.
    let old = Timestamp::from_millis(now.as_millis() - 600_000);
    for (secret, at) in [(OTHER_SECRET, now), (SECRET, old)] {
        assert_eq!(
            deliver(&lab, &url, secret, "msg_forged", at, &body).await,
            401
        );
    }
    let unsigned = lab.client.post(&url).body(body).send().await.unwrap();
    assert_eq!(unsigned.status().as_u16(), 401);
}

#[tokio::test]
async fn first_application_in_python_joins_each_new_call() {
    application_joins_each_new_call("python3", "docs/examples/first_application.py").await;
}

#[tokio::test]
async fn first_application_in_javascript_joins_each_new_call() {
    application_joins_each_new_call("node", "docs/examples/first_application.mjs").await;
}

#[tokio::test]
async fn walk_of_readme_works_twice_in_a_row() {
    let lab = Lab::start();
    let blocks = shell_blocks("README.md").into_iter();
    let walks: Vec<String> = blocks.filter(|block| block.starts_with("API=")).collect();
    for round in ["first", "second"] {
        let out = run_commands(&walks[0], &lab);
        let statuses: Vec<&str> = out
            .lines()
            .filter_map(|line| line.rsplit_once("   (")?.1.strip_suffix(')'))
            .collect();
        let expected = [
            "200", "202", "202", "200", "200", "202", "200", "202", "200", "404",
        ];
        assert_eq!(statuses, expected, "the {round} walk:\n{out}");
        assert!(out.contains("\"members\":1"), "the {round} walk:\n{out}");
    }
    lab.program
        .until("the webhooks of the second room are printed", {
            let rooms = std::cell::Cell::new(0);
            move |line| {
                rooms.set(rooms.get() + usize::from(line.contains("conference.destroyed")));
                (rooms.get() == 2).then_some(())
            }
        });
}
