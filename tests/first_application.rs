//! The documents' examples against `roomkeeper lab`: the first application in both languages, two complete
//! applications, and the README's walk.
//!
//! The applications need the clients, which `tests/run` installs under `target/clients`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/program/poll.rs"]
#[allow(dead_code)]
mod poll;
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

    /// Posts an empty body, and returns the status of the answer.
    async fn post(&self, path: &str) -> u16 {
        let url = format!("{}/api/v1{path}", self.api);
        let request = self.client.post(url).header("X-App-ID", "demo");
        let answer = request.header("X-API-Key", "lab-key").send().await.unwrap();
        answer.status().as_u16()
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

/// An example as a command: Python's in the environment of its client, JavaScript's beside the client's package.
fn example(name: &str) -> Command {
    let (interpreter, script) = match name.strip_suffix(".py") {
        Some(_) => (
            project("target/clients/python/bin/python"),
            project("docs/examples").join(name),
        ),
        None => (
            PathBuf::from("node"),
            project("target/clients/typescript").join(name),
        ),
    };
    let mut command = process::command(interpreter.to_str().unwrap());
    command.arg(script);
    command
}

/// Follows docs/getting-started.md with this application.
async fn application_joins_each_new_call(script: &str) {
    let lab = Lab::start();
    let mut command = example(script);
    command
        .env("ROOMKEEPER_API", &lab.api)
        .env("WEBHOOK_SECRET", SECRET)
        .env("PORT", "0");
    let application = Program::start(command);
    let url = application.until("the application listens", |line| {
        line.strip_prefix("listening on ").map(str::to_owned)
    });
    // The page's commands register the endpoint and end a call; the lab places a new one.
    let ended = lab.parked_call().await;
    let commands = shell_blocks("docs/getting-started.md")[2..4].concat();
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
    let body = new_call(&call);
    let again = deliver(&lab, &url, SECRET, "msg_again", now, &body).await;
    assert_eq!(again, 204);
    assert_eq!(rooms().await, before);
    // A call that is gone is not retried.
    let gone = new_call(&ended);
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

/// The body of a webhook that reports this call.
fn new_call(call: &str) -> String {
    json!({
        "event": "call.new",
        "timestamp": "2026-05-06T12:34:56.000000Z",
        "app_id": "demo",
        "session_uuid": call,
        "sequence": 1,
        "data": { "caller_id": "527121101", "did": "747713001", "direction": "inbound" },
    })
    .to_string()
}

#[tokio::test]
#[ignore = "needs the client in Python: tests/run installs it"]
async fn first_application_in_python_joins_each_new_call() {
    application_joins_each_new_call("first_application.py").await;
}

#[tokio::test]
#[ignore = "needs the client in TypeScript: tests/run installs it"]
async fn first_application_in_javascript_joins_each_new_call() {
    application_joins_each_new_call("first_application.mjs").await;
}

/// A started conference line, and its address.
fn start_line(lab: &Lab, port: u16) -> (Program, String) {
    let mut command = example("conference_line.py");
    command
        .env("ROOMKEEPER_API", &lab.api)
        .env("WEBHOOK_SECRET", SECRET)
        .env("MODERATOR_TOKEN", "moderator")
        .env("PORT", port.to_string());
    let line = Program::start(command);
    let url = line.until("the line listens", |line| {
        line.strip_prefix("listening on ").map(str::to_owned)
    });
    (line, url)
}

/// Sends a moderator's request, and returns the status and the body of the answer.
async fn moderate(lab: &Lab, method: &str, url: &str) -> (u16, Value) {
    let request = lab.client.request(method.parse().unwrap(), url);
    let answer = request.bearer_auth("moderator").send().await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Waits until a list of the API has a row that this function accepts.
async fn find(lab: &Lab, path: &str, rows: &str, accept: impl Fn(&Value) -> bool) -> Value {
    poll::until("the state was reached", PATIENCE, async || {
        let list = lab.get(path).await;
        let rows = list[rows].as_array().unwrap();
        rows.iter().find(|row| accept(row)).cloned()
    })
    .await
}

#[tokio::test]
#[ignore = "needs the client in Python: tests/run installs it"]
async fn conference_line_places_calls_and_survives_restart() {
    let lab = Lab::start();
    // The parked call came before the application runs.
    let early = lab.parked_call().await;
    let (line, url) = start_line(&lab, 0);
    let in_line = |call: &str| {
        let call = call.to_owned();
        move |row: &Value| row["uuid"] == call.as_str() && row["state"] == "in_room"
    };
    let placed = find(&lab, "/sessions", "sessions", in_line(&early)).await;
    let room = placed["room_id"].as_str().unwrap().to_owned();
    line.until("the join was reported", |line| {
        line.contains(&format!("joined {room}")).then_some(())
    });

    // A moderator sees the room, and mutes the member; anybody else is refused.
    let stranger = lab.client.get(format!("{url}/rooms")).send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
    let (status, rooms) = moderate(&lab, "GET", &format!("{url}/rooms")).await;
    assert_eq!((status, rooms[0]["room"].as_str().unwrap()), (200, &*room));
    // The callers of the lab join it, too.
    let members = rooms[0]["members"].as_array().unwrap();
    let joined = members.iter().find(|member| member["call"] == *early);
    assert!(joined.is_some(), "{rooms}");
    let member = format!("{url}/rooms/{room}/members/{early}");
    assert_eq!(
        moderate(&lab, "POST", &format!("{member}/mute")).await.0,
        204
    );
    let members = format!("/conferences/{room}/members");
    find(&lab, &members, "members", |row| row["muted"] == true).await;
    assert_eq!(
        moderate(&lab, "POST", &format!("{member}/dance")).await.0,
        404
    );

    // While the application is down, the call ends and another one comes.
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    drop(line);
    assert_eq!(
        lab.post(&format!("/sessions/{early}/commands/hangup"))
            .await,
        202
    );
    let late = find(&lab, "/sessions", "sessions", |row| {
        row["state"] == "parked"
    })
    .await;
    let late = late["uuid"].as_str().unwrap();
    let (line, _) = start_line(&lab, port);
    let placed = find(&lab, "/sessions", "sessions", in_line(late)).await;
    assert_eq!(placed["room_id"], room.as_str(), "the room is the same");
    drop(line);
}

#[tokio::test]
#[ignore = "needs the client in TypeScript: tests/run installs it"]
async fn standup_passes_the_turn_and_survives_restart() {
    let lab = Lab::start();
    let state = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = example("standup.mjs");
        command
            .env("ROOMKEEPER_API", &lab.api)
            .env("STATE_FILE", state.path().join("standup.json"))
            .env("TURN_SECONDS", "3600");
        Program::start(command)
    };
    let turn = |line: &str| {
        let (number, call) = line.strip_prefix("turn ")?.split_once(": ")?;
        Some((number.parse::<u32>().unwrap(), call.to_owned()))
    };
    let first_call = lab.parked_call().await;
    let standup = start();
    let (number, first) = standup.until("the first turn begins", turn);
    assert_eq!((number, &first), (1, &first_call));
    let room = find(&lab, "/sessions", "sessions", |row| {
        row["uuid"] == first.as_str()
    })
    .await;
    let members = format!("/conferences/{}/members", room["room_id"].as_str().unwrap());
    let speaks = |call: &str| {
        let call = call.to_owned();
        move |row: &Value| row["uuid"] == call.as_str() && row["muted"] == false
    };
    find(&lab, &members, "members", speaks(&first)).await;

    // Another call waits, muted, until the speaker leaves.
    let other = lab.get("/sessions").await["sessions"].clone();
    let other = other
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["state"] == "in_room" && row["room_id"] != room["room_id"]);
    let other = other.unwrap()["uuid"].as_str().unwrap();
    assert_eq!(
        lab.post(&format!("/sessions/{other}/commands/hangup"))
            .await,
        202
    );
    let waiting = find(&lab, &members, "members", |row| {
        row["uuid"] != first.as_str()
    })
    .await;
    assert_eq!(waiting["muted"], true);
    let waiting = waiting["uuid"].as_str().unwrap();

    // The speaker leaves while the application is down.
    drop(standup);
    assert_eq!(
        lab.post(&format!("/sessions/{first}/commands/hangup"))
            .await,
        202
    );
    find(&lab, "/sessions", "sessions", |row| row["uuid"] == waiting).await;
    let standup = start();
    let (number, second) = standup.until("the second turn begins", |line| {
        turn(line).filter(|(number, _)| *number == 2)
    });
    assert_eq!((number, second.as_str()), (2, waiting));
    find(&lab, &members, "members", speaks(waiting)).await;
    drop(standup);
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
