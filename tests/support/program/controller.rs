//! The controller as a process, and how it is spoken to.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::poll;
use crate::support::process;

pub const KEY: &str = "walk-key";

/// No request may take longer: a caller is always answered.
const ANSWER: Duration = Duration::from_secs(15);

/// How much of the log of a failed test is shown.
const LOG_LINES: usize = 80;

/// The binary under test, with nothing in its environment that would configure it.
pub fn binary() -> Command {
    let mut command = process::command(env!("CARGO_BIN_EXE_roomkeeper"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROOMKEEPER_") {
            command.env_remove(name);
        }
    }
    command.env_remove("STATE_DIRECTORY");
    command.stdin(Stdio::null());
    command
}

/// An answer of the API.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Null when it is not JSON.
    pub body: Value,
    pub headers: HeaderMap,
    pub retry_after: Option<u64>,
    pub took: Duration,
}

/// A request of an API, to the letter.
#[derive(Clone, Debug, Default)]
pub struct Ask<'a> {
    pub method: &'a str,
    /// The path after `/api/v1`; one that begins with `/v1.0` is the whole path.
    pub path: &'a str,
    pub app: Option<&'a str>,
    pub key: Option<&'a str>,
    pub authorization: Option<&'a str>,
    pub content_type: Option<&'a str>,
    pub body: Option<String>,
}

pub struct Controller {
    child: Child,
    dir: tempfile::TempDir,
    http: u16,
    admin: u16,
    app: String,
    client: reqwest::Client,
    environment: Vec<(String, String)>,
}

impl Controller {
    /// Starts the program. `rest` is the configuration but for the listeners.
    pub fn start(app: &str, rest: &str) -> Self {
        Self::start_under(app, rest, Vec::new())
    }

    /// The same, with this in its environment.
    pub fn start_under(app: &str, rest: &str, environment: Vec<(String, String)>) -> Self {
        // The second of two tests finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let (http, admin) = (process::free_port(), process::free_port());
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:{http}\"\nadmin_listen = \"127.0.0.1:{admin}\"\n{rest}"
        );
        fs::write(dir.path().join("roomkeeper.toml"), text).unwrap();
        let client = reqwest::Client::builder()
            .timeout(ANSWER)
            .no_proxy()
            // A process that was killed leaves no connection that a request could be lost on.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self {
            child: launch(&dir, &environment),
            dir,
            http,
            admin,
            app: app.to_owned(),
            client,
            environment,
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The port of the APIs, on loopback.
    pub fn http(&self) -> u16 {
        self.http
    }

    /// The ports that it listens on, on loopback.
    pub fn ports(&self) -> [u16; 2] {
        [self.http, self.admin]
    }

    /// Where it keeps the admin key that it has made.
    pub fn state_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The admin key that it has made; `None`: not yet.
    pub fn admin_key(&self) -> Option<String> {
        let path = self.state_dir().join("roomkeeper/admin-key");
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned())
    }

    /// SIGKILL, and the proof of it.
    pub fn kill(&mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "it ended before it was killed"
        );
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it died of SIGKILL");
        assert!(
            std::net::TcpStream::connect(("127.0.0.1", self.http)).is_err(),
            "killed, and still there"
        );
    }

    /// Starts it again after a [`Controller::kill`], as it was.
    pub fn start_again(&mut self) {
        self.child = launch(&self.dir, &self.environment);
    }

    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub async fn ended(&mut self, patience: Duration) -> ExitStatus {
        poll::until("the controller ends", patience, async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Waits until it listens; `false`: it has ended instead.
    pub async fn starts(&mut self) -> bool {
        poll::until("it listens or ends", poll::PATIENCE, async || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            self.operator("/healthz").await.map(|_| true)
        })
        .await
    }

    /// Waits until it says that it is ready.
    pub async fn until_ready(&self) -> Value {
        poll::until("the controller is ready", poll::PATIENCE, async || {
            let answer = self.operator("/readyz").await?;
            (answer.status == 200).then_some(answer.body)
        })
        .await
    }

    /// True if it reconciles its first node.
    pub async fn owns(&self) -> bool {
        let nodes = self.operator("/admin/nodes").await;
        nodes.is_some_and(|nodes| nodes.body["nodes"][0]["owned_elsewhere"] == false)
    }

    /// Waits until the node is its own and has been synced.
    pub async fn until_synced(&self) {
        poll::until("the node is synced", poll::PATIENCE, async || {
            let nodes = self.operator("/admin/nodes").await?.body;
            let node = &nodes["nodes"][0];
            (node["synced"] == true && node["owned_elsewhere"] == false && node["link"] == "up")
                .then_some(())
        })
        .await;
    }

    /// The answer of the operator's listener; `None`: it does not answer.
    pub async fn operator(&self, path: &str) -> Option<Answer> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let request = self.with_admin_key(self.client.get(url));
        self.send(request).await.ok()
    }

    fn with_admin_key(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.admin_key() {
            Some(key) => request.header("X-Admin-API-Key", key),
            None => request,
        }
    }

    /// Sends an operator's request there.
    pub async fn operate(&self, path: &str) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let sent = self.send(self.with_admin_key(self.client.post(url))).await;
        sent.expect("the operator is answered")
    }

    /// The page of metrics.
    pub async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        let page = self.client.get(url).send().await.unwrap();
        page.text().await.unwrap()
    }

    /// A counter or gauge, summed over its labels that contain `label`; 0 when there is none.
    pub async fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.metrics().await;
        text.lines()
            .filter(|line| {
                let rest = line.strip_prefix(name);
                rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(label))
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> reqwest::Result<Answer> {
        let begun = Instant::now();
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let headers = answer.headers().clone();
        let retry_after = headers
            .get("retry-after")
            .and_then(|v| v.to_str().ok()?.parse().ok());
        let bytes = answer.bytes().await?;
        Ok(Answer {
            status,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            headers,
            retry_after,
            took: begun.elapsed(),
        })
    }

    /// A request of the gateway API, once.
    pub async fn once(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        self.exactly(Ask {
            method,
            path,
            app: Some(&self.app),
            key: Some(KEY),
            content_type: body.map(|_| "application/json"),
            body: body.map(Value::to_string),
            ..Ask::default()
        })
        .await
    }

    /// This request and no other, once.
    pub async fn exactly(&self, ask: Ask<'_>) -> reqwest::Result<Answer> {
        let api = if ask.path.starts_with("/v1.0") {
            ""
        } else {
            "/api/v1"
        };
        let url = format!("http://127.0.0.1:{}{api}{}", self.http, ask.path);
        let mut request = self.client.request(ask.method.parse().unwrap(), url);
        for (name, value) in [
            ("X-App-ID", ask.app),
            ("X-API-Key", ask.key),
            ("Authorization", ask.authorization),
            ("Content-Type", ask.content_type),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(body) = ask.body {
            request = request.body(body);
        }
        self.send(request).await
    }

    /// A request as a good caller makes it: again when nobody answers, or when it is asked to come back.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let what = format!("an answer to {method} {path}");
        poll::until(&what, poll::PATIENCE, async || {
            let answer = self.once(method, path, body).await.ok()?;
            if answer.status == 503 {
                assert!(answer.retry_after.is_some(), "503 says when to come back");
                return None;
            }
            Some(answer)
        })
        .await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, None).await
    }

    fn log_tail(&self) -> String {
        self.log_about(|_| true)
    }

    /// The last lines of the log of which this holds.
    pub fn log_about(&self, wanted: impl Fn(&str) -> bool) -> String {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| wanted(line)).collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

fn launch(dir: &tempfile::TempDir, environment: &[(String, String)]) -> Child {
    let log: PathBuf = dir.path().join("log");
    let log: File = OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .unwrap();
    let mut command = binary();
    command
        .args(["serve", "--config"])
        .arg(dir.path().join("roomkeeper.toml"))
        .env("ROOMKEEPER_LOG__FILTER", "info,roomkeeper=debug")
        .env("XDG_STATE_HOME", dir.path())
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(Stdio::null())
        .stderr(log);
    process::spawn(command)
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the controller's log ---\n{}", self.log_tail());
        }
    }
}
