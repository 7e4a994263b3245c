//! `roomkeeper lab`, as a newcomer runs it: its first screen, the printed commands, and the calls that it keeps.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freeswitch_sim::{SimConfig, SimNode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::program::controller::binary;
use crate::program::poll::{self, TIMEOUT};
use crate::support::process;

/// `EX_UNAVAILABLE`: the exit code for a port in use or a node that is not available.
const EXIT_UNAVAILABLE: i32 = 69;

/// The members of the demo room, and the calls in use besides the parked ones, at most.
const SPEAKERS: usize = 3;
const USED_CALLS: usize = 5;

/// The lab's process, killed with the test.
pub struct Lab {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    client: reqwest::Client,
    /// Directory of its admin key.
    _state: tempfile::TempDir,
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the lab ---\n{}", self.lines.lock().unwrap().join("\n"));
        }
    }
}

/// The command of a lab on free ports, with the directory of its admin key.
fn command(arguments: &[&str], state: &tempfile::TempDir) -> Command {
    let mut command = binary();
    command
        .env("XDG_STATE_HOME", state.path())
        .env_remove("RK_ESL_PASSWORD")
        .args(["lab", "--port", "0", "--admin-port", "0"])
        .args(arguments);
    command
}

impl Lab {
    pub async fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let mut command = command(arguments, &state);
        command.envs(environment.iter().copied());
        Self::run(command, state).await
    }

    async fn run(mut command: Command, state: tempfile::TempDir) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        command.stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = process::spawn(command);
        let out = child.stdout.take().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                seen.lock().unwrap().push(line);
            }
        });
        let client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
        let lab = Self {
            child,
            lines,
            client: client.build().unwrap(),
            _state: state,
        };
        lab.line("the lab is ready", |line| {
            line.contains("Ctrl-C ends the lab")
        })
        .await;
        lab
    }

    pub async fn line(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        // A real node on a busy machine takes many seconds to bring the calls in.
        poll::until(what, 4 * TIMEOUT, async || {
            let lines = self.lines.lock().unwrap();
            lines.iter().find(|line| wanted(line)).cloned()
        })
        .await
    }

    /// The lines up to the webhooks.
    fn screen(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let end = lines.iter().position(|line| line.contains("Ctrl-C ends"));
        lines[..=end.unwrap()].to_vec()
    }

    /// The commands of the screen, each with all its lines, by their comments.
    fn commands(&self) -> Vec<(String, String)> {
        let mut commands: Vec<(String, String)> = Vec::new();
        for line in self.screen() {
            if let Some(comment) = line.strip_prefix("# ") {
                commands.push((comment.to_owned(), String::new()));
            } else if let Some((_, command)) = commands.last_mut()
                && !line.is_empty()
                && !line.starts_with("Ctrl-C")
            {
                command.push_str(&line);
                command.push('\n');
            }
        }
        commands
    }

    fn api(&self) -> String {
        let screen = self.screen();
        let line = screen
            .iter()
            .find_map(|line| line.trim().strip_prefix("API "));
        let address = line.unwrap().split_whitespace().next().unwrap();
        format!("{address}/api/v1")
    }

    pub async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.api());
        let mut request = self.client.request(method.parse().unwrap(), url);
        request = request.header("X-App-ID", "demo");
        request = request.header("X-API-Key", "lab-key");
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json");
            request = request.body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    pub async fn calls(&self) -> Vec<Value> {
        let (status, body) = self.ask("GET", "/sessions?limit=200", None).await;
        assert_eq!(status, 200, "{body}");
        body["sessions"].as_array().unwrap().clone()
    }

    pub async fn parked(&self) -> Vec<String> {
        let calls = self.calls().await.into_iter();
        let parked = calls.filter(|call| call["state"] == "parked");
        parked
            .map(|call| call["uuid"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The demo room.
    pub async fn lobby(&self) -> String {
        let (_, body) = self.ask("GET", "/conferences", None).await;
        let rooms = body["conferences"].as_array().unwrap();
        let lobby = rooms.iter().find(|room| room["name"] == "lobby").unwrap();
        lobby["room_id"].as_str().unwrap().to_owned()
    }

    pub async fn members(&self, room: &str) -> usize {
        let path = format!("/conferences/{room}/members");
        let (_, body) = self.ask("GET", &path, None).await;
        body["members"].as_array().map_or(0, Vec::len)
    }

    pub async fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let status = poll::until("the lab ends", Duration::from_secs(15), async || {
            self.child.try_wait().unwrap()
        })
        .await;
        assert_eq!(status.code(), Some(0));
    }
}

/// Runs a lab that must end by itself.
async fn ended(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = process::spawn(command);
    poll::until("the lab ends", 2 * TIMEOUT, async || {
        child.try_wait().unwrap()
    })
    .await;
    child.wait_with_output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn first_screen_fits_and_its_commands_work_as_pasted() {
    assert!(process::installed("curl"), "the commands need curl");
    let lab = Lab::start(&[], &[]).await;
    let screen = lab.screen();
    assert!(screen.len() < 24, "{screen:#?}");
    for line in &screen {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for (link, path) in [
        ("console", "/console"),
        ("docs", "/docs"),
        ("API", "/openapi.json"),
        ("metrics", "/metrics"),
    ] {
        let line = screen.iter().find(|line| line.trim().starts_with(link));
        let url = line.unwrap().split_whitespace().nth(1).unwrap();
        let url = if link == "API" {
            format!("{url}{path}")
        } else {
            url.to_owned()
        };
        assert!(url.ends_with(path), "{url}");
        let answer = lab.client.get(&url).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{url}");
    }

    let commands = lab.commands();
    let [rooms, join, follow] = &commands[..] else {
        panic!("{commands:#?}");
    };
    let paste = |command: &str| {
        let done = process::command("bash")
            .args(["-c", command])
            .output()
            .unwrap();
        String::from_utf8(done.stdout).unwrap()
    };
    let listed = paste(&rooms.1);
    assert!(listed.contains("\"name\":\"lobby\""), "{listed}");
    let joining = paste(&join.1);
    assert!(joining.contains("\"status\":\"joining\""), "{joining}");
    lab.line("the webhook is printed", |line| {
        line.contains("conference.member.joined")
    })
    .await;
    // The stream has the members who talk by turns.
    let mut stream = process::command("bash");
    stream
        .args(["-c", &format!("exec {}", follow.1)])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut stream = process::spawn(stream);
    let events = BufReader::new(stream.stdout.take().unwrap()).lines();
    let mut starts = std::collections::BTreeSet::new();
    let reading = tokio::task::spawn_blocking(move || {
        for line in events.map_while(Result::ok) {
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let event: Value = serde_json::from_str(data).unwrap();
            if event["event"] == "member.talking" && event["data"]["talking"] == true {
                starts.insert(event["session_uuid"].to_string());
                if starts.len() == 2 {
                    return true;
                }
            }
        }
        false
    });
    let talked = tokio::time::timeout(Duration::from_secs(30), reading).await;
    assert!(talked.expect("members talk").unwrap(), "the stream ended");
    let _ = stream.kill();
    let _ = stream.wait();
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn used_calls_are_replaced_up_to_a_limit() {
    let lab = Lab::start(&["--callers", "1"], &[]).await;
    let lobby = lab.lobby().await;
    assert_eq!(lab.parked().await.len(), 1);
    assert_eq!(lab.calls().await.len(), 1 + SPEAKERS);
    let another = async |used: &str| {
        poll::until("another call is parked", TIMEOUT, async || {
            let parked = lab.parked().await;
            parked.into_iter().find(|call| call != used)
        })
        .await
    };
    // A call that ends.
    let ended = lab.parked().await.remove(0);
    let path = format!("/sessions/{ended}/commands/hangup");
    assert_eq!(lab.ask("POST", &path, None).await.0, 202);
    let mut parked = another(&ended).await;
    // Calls that join, until the limit.
    let mut last = String::new();
    for n in 1..=USED_CALLS {
        let path = format!("/sessions/{parked}/commands/conference/join");
        let body = json!({ "room_id": lobby });
        assert_eq!(lab.ask("POST", &path, Some(body)).await.0, 202);
        last.clone_from(&parked);
        if n < USED_CALLS {
            parked = another(&last).await;
        }
    }
    // The limit counts the parked call as well, so the last one is still replaced.
    let parked = another(&last).await;
    let path = format!("/sessions/{parked}/commands/conference/join");
    let body = json!({ "room_id": lobby });
    assert_eq!(lab.ask("POST", &path, Some(body)).await.0, 202);
    lab.line("the limit is reported", |line| {
        line.contains("as many as the lab keeps")
    })
    .await;
    assert_eq!(lab.calls().await.len(), 1 + SPEAKERS + USED_CALLS);
    assert_eq!(lab.parked().await, Vec::<String>::new());
    // One ends, so a new one comes in.
    let path = format!("/sessions/{parked}/commands/hangup");
    assert_eq!(lab.ask("POST", &path, None).await.0, 202);
    another(&parked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_room_is_filled_again() {
    let lab = Lab::start(&["--callers", "0"], &[]).await;
    let lobby = lab.lobby().await;
    assert_eq!(lab.members(&lobby).await, SPEAKERS);
    assert_eq!(lab.parked().await.len(), 0);
    let comments: Vec<String> = lab.commands().into_iter().map(|c| c.0).collect();
    assert_eq!(comments[1], "list the calls");
    let speaker = lab.calls().await[0]["uuid"].as_str().unwrap().to_owned();
    let path = format!("/sessions/{speaker}/commands/hangup");
    assert_eq!(lab.ask("POST", &path, None).await.0, 202);
    lab.line("the call ended", |line| {
        line.contains("call.hangup") && line.contains(&speaker)
    })
    .await;
    poll::until("another member joins", TIMEOUT, async || {
        (lab.members(&lobby).await == SPEAKERS).then_some(())
    })
    .await;
    // A deleted room comes back with another id.
    let (status, _) = lab
        .ask("DELETE", &format!("/conferences/{lobby}"), None)
        .await;
    assert_eq!(status, 200);
    poll::until("another room is filled", TIMEOUT, async || {
        let (_, body) = lab.ask("GET", "/conferences", None).await;
        let rooms = body["conferences"].as_array()?;
        let other = rooms.iter().find(|room| room["room_id"] != *lobby)?;
        let other = other["room_id"].as_str().unwrap();
        (lab.members(other).await == SPEAKERS).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn taken_port_is_an_error_that_names_its_option() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--port", "--admin-port"] {
        let other = if option == "--port" {
            "--admin-port"
        } else {
            "--port"
        };
        let state = tempfile::tempdir().unwrap();
        let mut command = binary();
        command
            .env("XDG_STATE_HOME", state.path())
            .args(["lab", option, &port, other, "0"]);
        let done = ended(command).await;
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(EXIT_UNAVAILABLE), "{error}");
        let expected = format!("127.0.0.1:{port} is in use: choose another port with {option},");
        assert!(error.contains(&expected), "{error}");
        assert!(done.stdout.is_empty(), "no screen");
    }
    // The same port for both.
    let free = process::free_port().to_string();
    let mut command = binary();
    command.args(["lab", "--port", &free, "--admin-port", &free]);
    let done = ended(command).await;
    assert_eq!(done.status.code(), Some(EXIT_UNAVAILABLE));
    assert!(
        String::from_utf8(done.stderr)
            .unwrap()
            .contains("--admin-port")
    );
}

/// Returns a printed webhook of a lab that runs on a terminal.
async fn webhook_on_a_terminal(environment: &[(&str, &str)]) -> String {
    let state = tempfile::tempdir().unwrap();
    let mut command = process::command("python3");
    command
        .args(["-c", "import pty, sys; pty.spawn(sys.argv[1:])"])
        .arg(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(["lab", "--port", "0", "--admin-port", "0"])
        .env("XDG_STATE_HOME", state.path())
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR")
        .envs(environment.iter().copied())
        .stdin(Stdio::null());
    let lab = Lab::run(command, state).await;
    let call = lab.parked().await.remove(0);
    let path = format!("/sessions/{call}/commands/hangup");
    assert_eq!(lab.ask("POST", &path, None).await.0, 202);
    lab.line("the webhook is printed", |line| {
        line.contains("call.hangup")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_have_colours_only_on_a_terminal_that_wants_them() {
    const ESCAPE: char = '\u{1b}';
    let coloured = webhook_on_a_terminal(&[]).await;
    assert!(coloured.contains(ESCAPE), "{coloured:?}");
    let plain = webhook_on_a_terminal(&[("NO_COLOR", "1")]).await;
    assert!(!plain.contains(ESCAPE), "{plain:?}");
    for (when, expected) in [("auto", false), ("always", true)] {
        let lab = Lab::start(&["--color", when], &[]).await;
        let call = lab.parked().await.remove(0);
        let path = format!("/sessions/{call}/commands/hangup");
        assert_eq!(lab.ask("POST", &path, None).await.0, 202);
        let line = lab
            .line("the webhook is printed", |line| {
                line.contains("call.hangup")
            })
            .await;
        assert_eq!(line.contains(ESCAPE), expected, "{when}: {line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lab_uses_another_node_and_leaves_it_empty() {
    const PASSWORD: &str = "a \"password\" of a node\\";
    let mut config = SimConfig::default();
    config.node.password = PASSWORD.to_owned();
    let node = SimNode::start(config).await.unwrap();
    let address = node.addr.to_string();
    let lab = Lab::start(
        &["--freeswitch", &address],
        &[("RK_ESL_PASSWORD", PASSWORD)],
    )
    .await;
    assert!(lab.screen()[0].contains(&address), "{:?}", lab.screen());
    let lobby = lab.lobby().await;
    assert_eq!(lab.members(&lobby).await, SPEAKERS);
    assert_eq!(lab.parked().await.len(), 3);
    // Both ends of each call are channels there.
    assert_eq!(node.snapshot().channels.len(), 2 * (SPEAKERS + 3));
    let used = lab.parked().await.remove(0);
    let path = format!("/sessions/{used}/commands/hangup");
    assert_eq!(lab.ask("POST", &path, None).await.0, 202);
    poll::until("the call is replaced", TIMEOUT, async || {
        let parked = lab.parked().await;
        (parked.len() == 3 && !parked.contains(&used)).then_some(())
    })
    .await;
    lab.stop().await;
    poll::until("all calls have ended", TIMEOUT, async || {
        node.snapshot().channels.is_empty().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_node_is_an_error_that_names_it() {
    let node = SimNode::start(SimConfig::default()).await.unwrap();
    let refusing = node.addr.to_string();
    let closed = format!("127.0.0.1:{}", process::free_port());
    for address in [refusing, closed] {
        let state = tempfile::tempdir().unwrap();
        let mut command = command(&["--freeswitch", &address], &state);
        command.env("RK_ESL_PASSWORD", "another-password");
        let done = ended(command).await;
        let error = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(EXIT_UNAVAILABLE), "{error}");
        let expected = format!("cannot use FreeSWITCH at {address}: ");
        assert!(error.contains(&expected), "{error}");
    }
    // Without a password, or with a wrong address, the arguments are invalid.
    for arguments in [
        &["--freeswitch", "127.0.0.1:8021"][..],
        &["--freeswitch", "127.0.0.1", "--password", "x"],
    ] {
        let state = tempfile::tempdir().unwrap();
        let done = ended(command(arguments, &state)).await;
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
    }
}
