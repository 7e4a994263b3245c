//! The system under test: Redis, nodes and the controller, started and stopped together.
//!
//! Owns the processes and their configuration. Leaves out the scenarios.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use freeswitch_sim::{SimConfig, SimNode};

use super::process::{ChildProcess, free_port};
use super::stages::Metrics;
use super::{BenchError, Run};

/// The harness's app.
pub const APP: &str = "bench";
/// The app's key.
pub const KEY: &str = "bench-key";

const ADMIN_HEADER: &str = "X-Admin-API-Key";
const ADMIN_KEY: &str = "bench-admin-key";
/// The number that the app's callers dial.
pub const DID: &str = "747713001";
/// The secret that signs the app's webhooks.
pub const SECRET: &str = "whsec_YmVuY2gtd2ViaG9vay1zZWNyZXQtYWxsLWtub3c=";
/// The nodes' password.
pub const PASSWORD: &str = "bench-node-password";

/// How long a node delays its events, in microseconds: not at all.
const NODE_POLL: u64 = 0;

/// Time limit of one step of the preparation.
pub const TIMEOUT: Duration = Duration::from_secs(120);

/// The controller's log file. The log level is the default, because logging is part of the measured cost.
const LOG: &str = "roomkeeper.log";

/// Maximum number of a controller's warnings to show.
const MAX_SHOWN: usize = 20;

/// Poll interval of [`until`].
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The setup of a world.
#[derive(Debug, Default)]
pub struct Setup {
    /// The number of simulated nodes.
    pub nodes: usize,
    /// A real node in addition.
    pub freeswitch: Option<(SocketAddr, String)>,
    /// Disables wake-ups of the real node, which are on by default.
    pub without_wake_ups: bool,
    /// The URL for the app's webhooks, if it wants any.
    pub hook: Option<String>,
    /// Additional configuration in TOML: whole tables that the configuration does not contain yet.
    pub more: String,
    /// Seconds between timed snapshots, instead of the default.
    pub resync_interval: Option<u32>,
    /// Enables the default cooldowns of commands.
    pub cooldowns: bool,
}

impl Setup {
    /// A setup of simulated nodes without webhooks.
    pub fn nodes(nodes: usize) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }
}

/// The running system under test. The controller stops before its dependencies.
pub struct World {
    /// The controller.
    pub controller: Controller,
    /// The simulated nodes, by [`node_id`].
    pub nodes: Vec<SimNode>,
    /// The store.
    pub redis: Redis,
}

/// The id of the n-th simulated node.
pub fn node_id(n: usize) -> String {
    format!("bn{n:03}")
}

/// The id of the real node.
pub const REAL_NODE: &str = "bnfsw";

impl World {
    /// Starts everything, and waits until every node is synced.
    ///
    /// # Errors
    /// [`BenchError`] when a part does not start.
    pub async fn start(run: &Run<'_>, setup: Setup) -> Result<Self, BenchError> {
        let mut nodes = Vec::with_capacity(setup.nodes);
        for n in 0..setup.nodes {
            let mut config = SimConfig {
                seed: n as u64 + 1,
                ..SimConfig::default()
            };
            config.node.password = PASSWORD.to_owned();
            // The controller is measured without the poll interval of a real node, which has a scenario of its own.
            config.node.poll = NODE_POLL;
            let node = SimNode::start(config).await;
            nodes.push(node.map_err(BenchError::system("start a simulated node"))?);
        }
        let redis = Redis::start().await?;
        let controller = Controller::start(&run.options.controller, &setup, &nodes, &redis)?;
        let world = Self {
            controller,
            nodes,
            redis,
        };
        world.controller.until_synced().await?;
        Ok(world)
    }

    /// Stops the controller with SIGTERM, then the rest.
    ///
    /// # Errors
    /// [`BenchError`] when the signal cannot be sent.
    pub async fn stop(self) -> Result<(), BenchError> {
        self.controller.stop().await
    }
}

/// Polls a condition every 5 ms, with a time limit. It serves the preparation only, never a measured interval.
///
/// # Errors
/// [`BenchError::Timeout`], or the error of `poll`.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut poll: impl AsyncFnMut() -> Result<Option<T>, BenchError>,
) -> Result<T, BenchError> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = poll().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(BenchError::Timeout {
                what: what.to_owned(),
                within,
            });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// A `redis-server` of the harness, which writes nothing to disk.
pub struct Redis {
    process: ChildProcess,
    port: u16,
    _dir: TempDir,
}

impl Redis {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// [`BenchError`] when it is not installed or does not answer.
    pub async fn start() -> Result<Self, BenchError> {
        let dir = tempfile::tempdir().map_err(BenchError::system("make a directory"))?;
        let port = free_port().map_err(BenchError::system("find a free port"))?;
        let args = [
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--daemonize",
            "no",
            "--dir",
            &dir.path().display().to_string(),
        ]
        .map(str::to_owned);
        let process = ChildProcess::start("redis-server", args)
            .map_err(BenchError::system("start redis-server"))?;
        let redis = Self {
            process,
            port,
            _dir: dir,
        };
        until("redis-server answers", TIMEOUT, async || {
            let Ok(mut connection) = redis.connect().await else {
                return Ok(None);
            };
            let ping = redis::cmd("PING");
            Ok(ping.query_async::<String>(&mut connection).await.ok())
        })
        .await?;
        Ok(redis)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> Result<redis::aio::MultiplexedConnection, BenchError> {
        let client = redis::Client::open(self.url())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }
}

/// The controller as a child process, and a client of its listeners.
pub struct Controller {
    process: ChildProcess,
    program: PathBuf,
    dir: TempDir,
    http: u16,
    admin: u16,
    /// The number of its configured nodes.
    nodes: usize,
    client: reqwest::Client,
}

impl Controller {
    fn start(
        program: &Path,
        setup: &Setup,
        nodes: &[SimNode],
        redis: &Redis,
    ) -> Result<Self, BenchError> {
        // A second call finds a provider installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().map_err(BenchError::system("make a directory"))?;
        let port = || free_port().map_err(BenchError::system("find a free port"));
        let (http, admin) = (port()?, port()?);
        let text = configuration(setup, nodes, redis, http, admin);
        let file = dir.path().join("roomkeeper.toml");
        fs::write(&file, text).map_err(BenchError::system("write a configuration"))?;
        Ok(Self {
            process: launch(program, &dir)?,
            program: program.to_owned(),
            dir,
            http,
            admin,
            nodes: nodes.len() + usize::from(setup.freeswitch.is_some()),
            client: reqwest::Client::builder()
                .timeout(TIMEOUT)
                .no_proxy()
                .build()?,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The API's address.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http))
    }

    /// Waits until it has synced all of its nodes.
    ///
    /// # Errors
    /// [`BenchError::Timeout`].
    pub async fn until_synced(&self) -> Result<(), BenchError> {
        until("every node is synced", TIMEOUT, async || {
            let url = format!("http://127.0.0.1:{}/admin/nodes", self.admin);
            let request = self.client.get(url).header(ADMIN_HEADER, ADMIN_KEY);
            let Ok(answer) = request.send().await else {
                return Ok(None);
            };
            let bytes = answer.bytes().await?;
            let body: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let synced = body["nodes"].as_array().map_or(0, |nodes| {
                let ready = |n: &&Value| n["synced"] == true && n["link"] == "up";
                nodes.iter().filter(ready).count()
            });
            Ok((synced == self.nodes).then_some(()))
        })
        .await
    }

    /// Sends a request to the API as the app; `path` follows `/api/v1`.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no response.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), BenchError> {
        let url = format!("http://127.0.0.1:{}/api/v1{path}", self.http);
        let mut request = self
            .client
            .request(method, url)
            .header("X-App-ID", APP)
            .header("X-API-Key", KEY);
        if let Some(body) = body {
            request = request
                .header("Content-Type", "application/json")
                .body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        Ok((
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        ))
    }

    /// Reads its metrics.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no response.
    pub async fn metrics(&self) -> Result<Metrics, BenchError> {
        Ok(Metrics::parse(&self.metrics_page().await?))
    }

    /// Reads its metrics of one node.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no response.
    pub async fn metrics_for_node(&self, node: &str) -> Result<Metrics, BenchError> {
        Ok(Metrics::parse_for_node(&self.metrics_page().await?, node))
    }

    async fn metrics_page(&self) -> Result<String, BenchError> {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        let request = self.client.get(url).header(ADMIN_HEADER, ADMIN_KEY);
        Ok(request.send().await?.text().await?)
    }

    /// Sends a request to the admin listener; `path` is the complete path.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no response.
    pub async fn admin_request(
        &self,
        method: Method,
        path: &str,
    ) -> Result<(u16, Value), BenchError> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let request = self.client.request(method, url);
        let answer = request.header(ADMIN_HEADER, ADMIN_KEY).send().await?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok((status, body))
    }

    /// Waits until `/readyz` reports that it is ready.
    ///
    /// # Errors
    /// [`BenchError::Timeout`].
    pub async fn until_ready(&self) -> Result<(), BenchError> {
        until("the controller is ready", TIMEOUT, async || {
            // There is no response until it listens.
            let answer = self.admin_request(Method::GET, "/readyz").await;
            Ok(matches!(answer, Ok((200, _))).then_some(()))
        })
        .await
    }

    /// Stops it with SIGTERM, as an operator does, and starts it again. Returns the time of the start.
    ///
    /// # Errors
    /// [`BenchError::System`].
    pub async fn restart(&mut self) -> Result<Instant, BenchError> {
        self.process
            .stop(Duration::from_secs(12))
            .await
            .map_err(BenchError::system("stop the controller"))?;
        let start = Instant::now();
        self.process = launch(&self.program, &self.dir)?;
        Ok(start)
    }

    /// Kills it and starts it again; returns at once.
    ///
    /// # Errors
    /// [`BenchError::System`].
    pub fn kill_and_restart(&mut self) -> Result<(), BenchError> {
        self.process
            .kill()
            .map_err(BenchError::system("kill the controller"))?;
        self.process = launch(&self.program, &self.dir)?;
        Ok(())
    }

    async fn stop(mut self) -> Result<(), BenchError> {
        let stopped = self.process.stop(Duration::from_secs(12)).await;
        stopped.map_err(BenchError::system("stop the controller"))
    }
}

impl Drop for Controller {
    /// Prints the warnings and errors of its log, which goes to a file.
    fn drop(&mut self) {
        let log = fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
        let (first, count) = warnings(&log);
        for line in &first {
            // Standard error may be closed.
            let _ = writeln!(io::stderr(), "{line}");
        }
        if count > first.len() {
            let _ = writeln!(io::stderr(), "… and {} more", count - first.len());
        }
    }
}

fn launch(program: &Path, dir: &TempDir) -> Result<ChildProcess, BenchError> {
    let file = dir.path().join("roomkeeper.toml");
    let args = ["serve", "--config", &file.display().to_string()].map(str::to_owned);
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.path().join(LOG))
        .map_err(BenchError::system("write the controller's log"))?;
    ChildProcess::start_with_log(&program.display().to_string(), args, log)
        .map_err(BenchError::system("start the controller"))
}

/// Returns the first warnings and errors of a log, and their total number.
fn warnings(log: &str) -> (Vec<&str>, usize) {
    let is_warning = |line: &&str| {
        let level = line.split_whitespace().nth(1);
        matches!(level, Some("WARN" | "ERROR"))
    };
    let lines = log.lines().filter(is_warning);
    (lines.clone().take(MAX_SHOWN).collect(), lines.count())
}

fn configuration(setup: &Setup, nodes: &[SimNode], redis: &Redis, http: u16, admin: u16) -> String {
    let mut text = format!(
        r#"
[http]
listen = "127.0.0.1:{http}"
admin_listen = "127.0.0.1:{admin}"
admin_key = "{ADMIN_KEY}"
[store]
url = "{}"
[webhooks]
allow_http = true
allow_private = true
[limits]
app_rate = 0
cooldowns = {}
"#,
        redis.url(),
        setup.cooldowns
    );
    if let Some(seconds) = setup.resync_interval {
        append(
            &mut text,
            format_args!("[fleet]\nresync_interval = {seconds}\n"),
        );
    }
    append(&mut text, format_args!("{}\n", setup.more));
    let mut node = |id: &str, address: SocketAddr, password: &str, more: &str| {
        // A JSON string is a valid TOML string.
        let password = Value::from(password);
        append(
            &mut text,
            format_args!(
                "[[nodes]]\nid = \"{id}\"\naddress = \"{address}\"\npassword = {password}\n{more}"
            ),
        );
    };
    for (n, simulated) in nodes.iter().enumerate() {
        node(&node_id(n), simulated.addr, PASSWORD, "");
    }
    if let Some((address, password)) = &setup.freeswitch {
        let nudge = if setup.without_wake_ups {
            "nudge = \"off\"\n"
        } else {
            ""
        };
        node(REAL_NODE, *address, password, nudge);
    }
    append(
        &mut text,
        format_args!("[[apps]]\nid = \"{APP}\"\napi_key = \"{KEY}\"\ndids = [\"{DID}\"]\n"),
    );
    if let Some(hook) = &setup.hook {
        append(
            &mut text,
            format_args!(
                "[[apps.webhooks]]\nurl = \"{hook}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\n"
            ),
        );
    }
    text
}

fn append(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_first_warnings_and_errors_are_shown() {
        let line =
            |level: &str| format!("2026-01-01T00:00:00.000000Z {level:>5} roomkeeper: message\n");
        let log = ["INFO", "WARN", "DEBUG", "ERROR"].map(line).concat();
        let (shown, count) = warnings(&log);
        assert_eq!(count, 2);
        assert!(shown[0].contains("WARN") && shown[1].contains("ERROR"));
        let log = line("WARN").repeat(MAX_SHOWN + 3);
        let (shown, count) = warnings(&log);
        assert_eq!((shown.len(), count), (MAX_SHOWN, MAX_SHOWN + 3));
    }
}
