//! The controller as a process, and requests to it.

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

/// The time limit of every request.
const ANSWER: Duration = Duration::from_secs(15);

/// The number of log lines that a failed test prints.
const LOG_LINES: usize = 80;

/// Returns the command of the binary under test, without environment variables that would configure it.
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
    /// The JSON body; null for another type.
    pub body: Value,
    pub headers: HeaderMap,
    pub retry_after: Option<u64>,
    pub took: Duration,
}

/// A request of an API, with all its headers.
#[derive(Clone, Debug, Default)]
pub struct ApiRequest<'a> {
    pub method: &'a str,
    /// The path after `/api/v1`, or a whole path that begins with `/v1.0`.
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
    /// Starts the program. `rest` is the configuration without the listeners.
    pub fn start(app: &str, rest: &str) -> Self {
        Self::start_with_env(app, rest, Vec::new())
    }

    /// Starts the program with these environment variables.
    pub fn start_with_env(app: &str, rest: &str, environment: Vec<(String, String)>) -> Self {
        // Another test of this process may have installed it.
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
            // No request can be lost on an idle connection to a killed process.
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

    /// The ports of the APIs and of the admin listener, on loopback.
    pub fn ports(&self) -> [u16; 2] {
        [self.http, self.admin]
    }

    /// The directory of its generated admin key.
    pub fn state_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The generated admin key; `None` before it exists.
    pub fn admin_key(&self) -> Option<String> {
        let path = self.state_dir().join("roomkeeper/admin-key");
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned())
    }

    /// Kills the process with SIGKILL and checks that it has ended.
    pub fn kill(&mut self) {
        assert!(
            self.child.try_wait().unwrap().is_none(),
            "the controller ended before the kill"
        );
        self.child.kill().unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "the signal that ended it");
        assert!(
            std::net::TcpStream::connect(("127.0.0.1", self.http)).is_err(),
            "a killed controller still accepts connections"
        );
    }

    /// Restarts it after a [`Controller::kill`] with the same configuration.
    pub fn start_again(&mut self) {
        self.child = launch(&self.dir, &self.environment);
    }

    pub fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits until the process ends.
    pub async fn ended(&mut self, timeout: Duration) -> ExitStatus {
        poll::until("the controller ends", timeout, async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    /// Waits until it listens. Returns `false` if it has ended instead.
    pub async fn until_listening(&mut self) -> bool {
        poll::until("it listens or ends", poll::TIMEOUT, async || {
            if self.child.try_wait().unwrap().is_some() {
                return Some(false);
            }
            self.operator("/healthz").await.map(|_| true)
        })
        .await
    }

    /// Waits until `/readyz` answers 200.
    pub async fn until_ready(&self) -> Value {
        poll::until("the controller is ready", poll::TIMEOUT, async || {
            let answer = self.operator("/readyz").await?;
            (answer.status == 200).then_some(answer.body)
        })
        .await
    }

    /// True if it owns its first node.
    pub async fn owns(&self) -> bool {
        let nodes = self.operator("/admin/nodes").await;
        nodes.is_some_and(|nodes| nodes.body["nodes"][0]["owned_elsewhere"] == false)
    }

    /// Waits until it owns the node and has merged a snapshot.
    pub async fn until_synced(&self) {
        poll::until("the node is synced", poll::TIMEOUT, async || {
            let nodes = self.operator("/admin/nodes").await?.body;
            let node = &nodes["nodes"][0];
            (node["synced"] == true && node["owned_elsewhere"] == false && node["link"] == "up")
                .then_some(())
        })
        .await;
    }

    /// Sends a GET to the admin listener; `None` without an answer.
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

    /// Sends a POST to the admin listener.
    pub async fn operate(&self, path: &str) -> Answer {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let sent = self.send(self.with_admin_key(self.client.post(url))).await;
        sent.expect("the admin listener answers")
    }

    /// The page of metrics.
    pub async fn metrics(&self) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        let page = self.client.get(url).send().await.unwrap();
        page.text().await.unwrap()
    }

    /// The sum of a counter or gauge over the series whose labels contain `label`; 0 without a series.
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
        let start = Instant::now();
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
            took: start.elapsed(),
        })
    }

    /// Sends a request of the gateway API, without retries.
    pub async fn once(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        self.exactly(ApiRequest {
            method,
            path,
            app: Some(&self.app),
            key: Some(KEY),
            content_type: body.map(|_| "application/json"),
            body: body.map(Value::to_string),
            ..ApiRequest::default()
        })
        .await
    }

    /// Sends exactly this request, without retries.
    pub async fn exactly(&self, given: ApiRequest<'_>) -> reqwest::Result<Answer> {
        let api = if given.path.starts_with("/v1.0") {
            ""
        } else {
            "/api/v1"
        };
        let url = format!("http://127.0.0.1:{}{api}{}", self.http, given.path);
        let mut request = self.client.request(given.method.parse().unwrap(), url);
        for (name, value) in [
            ("X-App-ID", given.app),
            ("X-API-Key", given.key),
            ("Authorization", given.authorization),
            ("Content-Type", given.content_type),
        ] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        if let Some(body) = given.body {
            request = request.body(body);
        }
        self.send(request).await
    }

    /// Sends a request and retries it without an answer or after a 503, as a well-behaved client does.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let what = format!("an answer to {method} {path}");
        poll::until(&what, poll::TIMEOUT, async || {
            let answer = self.once(method, path, body).await.ok()?;
            if answer.status == 503 {
                assert!(answer.retry_after.is_some(), "503 has Retry-After");
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

    /// Returns the last lines of the log that match the filter.
    pub fn log_about(&self, matches: impl Fn(&str) -> bool) -> String {
        let text = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().filter(|line| matches(line)).collect();
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
