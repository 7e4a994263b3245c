//! Redis, nodes and the controller, started together and ended together.
//!
//! Owns the processes and the configuration they run on. Leaves out what is done with them.

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

use super::process::{Running, free_port};
use super::stages::Moment;
use super::{BenchError, Run};

/// The app that asks.
pub const APP: &str = "bench";
/// Its key.
pub const KEY: &str = "bench-key";

const ADMIN_HEADER: &str = "X-Admin-API-Key";
const ADMIN_KEY: &str = "bench-admin-key";
/// The number that its callers dial.
pub const DID: &str = "747713001";
/// The secret its webhooks are signed with.
pub const SECRET: &str = "whsec_YmVuY2gtd2ViaG9vay1zZWNyZXQtYWxsLWtub3c=";
/// The nodes' password.
pub const PASSWORD: &str = "bench-node-password";

/// How long a node keeps its events back, in microseconds: not at all.
const NODE_POLL: u64 = 0;

/// How long one step of getting ready may take.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The controller's log, in its directory. It is as by default: what it costs is part of what is measured.
const LOG: &str = "roomkeeper.log";

/// How many warnings of a controller are shown.
const TOLD: usize = 20;

/// How often what is waited for is looked at.
const LOOKS: Duration = Duration::from_millis(5);

/// What is started.
#[derive(Debug, Default)]
pub struct Setup {
    /// How many simulated nodes.
    pub nodes: usize,
    /// A real one besides.
    pub freeswitch: Option<(SocketAddr, String)>,
    /// It is not nudged; without this it is, as it is by default.
    pub unnudged: bool,
    /// Where the app's webhooks go, if it wants any.
    pub hook: Option<String>,
    /// More of the configuration, in TOML: whole tables that are not there yet.
    pub more: String,
    /// Seconds between two timed snapshots, if not the default.
    pub resync_interval: Option<u32>,
    /// Commands have their cooldowns, as they have by default.
    pub cooldowns: bool,
}

impl Setup {
    /// This many simulated nodes, and no webhooks.
    pub fn nodes(nodes: usize) -> Self {
        Self {
            nodes,
            ..Self::default()
        }
    }
}

/// What runs. The controller ends before what it uses.
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

/// The id of the real one.
pub const REAL_NODE: &str = "bnfsw";

impl World {
    /// Starts all of it, and waits until every node is synced.
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
            // What is measured is the controller; what the poll of a real node adds is measured on a real one.
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

    /// Ends the controller as an operator would, then the rest.
    ///
    /// # Errors
    /// [`BenchError`] when it cannot be told to.
    pub async fn stop(self) -> Result<(), BenchError> {
        self.controller.stop().await
    }
}

/// Waits until something is so. Looks every 5 ms; it is used while getting ready, never for what is measured.
///
/// # Errors
/// [`BenchError::Waited`], or what `look` fails with.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>, BenchError>,
) -> Result<T, BenchError> {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > end {
            return Err(BenchError::Waited {
                what: what.to_owned(),
                within,
            });
        }
        tokio::time::sleep(LOOKS).await;
    }
}

/// A `redis-server` of our own, which keeps nothing on disk.
pub struct Redis {
    running: Running,
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
        let running = Running::start("redis-server", args)
            .map_err(BenchError::system("start redis-server"))?;
        let redis = Self {
            running,
            port,
            _dir: dir,
        };
        until("redis-server answers", PATIENCE, async || {
            let Ok(mut connection) = redis.connect().await else {
                return Ok(None);
            };
            let ping = redis::cmd("PING");
            Ok(ping.query_async::<String>(&mut connection).await.ok())
        })
        .await?;
        Ok(redis)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Its port, on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// A connection of the harness's own.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn connect(&self) -> Result<redis::aio::MultiplexedConnection, BenchError> {
        let client = redis::Client::open(self.url())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }
}

/// The controller as a child process, and how it is spoken to.
pub struct Controller {
    running: Running,
    program: PathBuf,
    dir: TempDir,
    http: u16,
    admin: u16,
    /// How many nodes it is to have.
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
            running: launch(program, &dir)?,
            program: program.to_owned(),
            dir,
            http,
            admin,
            nodes: nodes.len() + usize::from(setup.freeswitch.is_some()),
            client: reqwest::Client::builder()
                .timeout(PATIENCE)
                .no_proxy()
                .build()?,
        })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// The API's address.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.http))
    }

    /// Waits until it has synced all of its nodes.
    ///
    /// # Errors
    /// [`BenchError::Waited`].
    pub async fn until_synced(&self) -> Result<(), BenchError> {
        until("every node is synced", PATIENCE, async || {
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

    /// Asks the API as the app; `path` is what comes after `/api/v1`.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no answer.
    pub async fn ask(
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

    /// What its metrics say now.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no answer.
    pub async fn moment(&self) -> Result<Moment, BenchError> {
        Ok(Moment::read(&self.metrics().await?))
    }

    /// What its metrics say now of one node.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no answer.
    pub async fn moment_of(&self, node: &str) -> Result<Moment, BenchError> {
        Ok(Moment::of_node(&self.metrics().await?, node))
    }

    async fn metrics(&self) -> Result<String, BenchError> {
        let url = format!("http://127.0.0.1:{}/metrics", self.admin);
        let request = self.client.get(url).header(ADMIN_HEADER, ADMIN_KEY);
        Ok(request.send().await?.text().await?)
    }

    /// Asks the operator's listener; `path` is all of it.
    ///
    /// # Errors
    /// [`BenchError::Request`] when there is no answer.
    pub async fn operator(&self, method: Method, path: &str) -> Result<(u16, Value), BenchError> {
        let url = format!("http://127.0.0.1:{}{path}", self.admin);
        let request = self.client.request(method, url);
        let answer = request.header(ADMIN_HEADER, ADMIN_KEY).send().await?;
        let status = answer.status().as_u16();
        let bytes = answer.bytes().await?;
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Ok((status, body))
    }

    /// Waits until `/readyz` says that it is ready.
    ///
    /// # Errors
    /// [`BenchError::Waited`].
    pub async fn until_ready(&self) -> Result<(), BenchError> {
        until("it is ready", PATIENCE, async || {
            // Until it listens there is no answer.
            let answer = self.operator(Method::GET, "/readyz").await;
            Ok(matches!(answer, Ok((200, _))).then_some(()))
        })
        .await
    }

    /// Ends it with SIGTERM, as an operator would, and starts it again. Says when the new one was started.
    ///
    /// # Errors
    /// [`BenchError::System`].
    pub async fn stop_and_start_again(&mut self) -> Result<Instant, BenchError> {
        self.running
            .end(Duration::from_secs(12))
            .await
            .map_err(BenchError::system("stop the controller"))?;
        let begun = Instant::now();
        self.running = launch(&self.program, &self.dir)?;
        Ok(begun)
    }

    /// Kills it and starts it again; returns at once.
    ///
    /// # Errors
    /// [`BenchError::System`].
    pub fn kill_and_start_again(&mut self) -> Result<(), BenchError> {
        self.running
            .kill()
            .map_err(BenchError::system("kill the controller"))?;
        self.running = launch(&self.program, &self.dir)?;
        Ok(())
    }

    async fn stop(mut self) -> Result<(), BenchError> {
        let stopped = self.running.end(Duration::from_secs(12)).await;
        stopped.map_err(BenchError::system("stop the controller"))
    }
}

impl Drop for Controller {
    /// Its log has all that is said by default, so it goes to a file; what is wrong is for whoever looks on.
    fn drop(&mut self) {
        let log = fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
        let (first, count) = trouble(&log);
        for line in &first {
            // When standard error is closed, nobody looks on.
            let _ = writeln!(io::stderr(), "{line}");
        }
        if count > first.len() {
            let _ = writeln!(io::stderr(), "… and {} more", count - first.len());
        }
    }
}

fn launch(program: &Path, dir: &TempDir) -> Result<Running, BenchError> {
    let file = dir.path().join("roomkeeper.toml");
    let args = ["serve", "--config", &file.display().to_string()].map(str::to_owned);
    let log = File::options()
        .create(true)
        .append(true)
        .open(dir.path().join(LOG))
        .map_err(BenchError::system("write the controller's log"))?;
    Running::start_with_log(&program.display().to_string(), args, log)
        .map_err(BenchError::system("start the controller"))
}

/// The warnings and errors of a log, the first of them, and how many there are.
fn trouble(log: &str) -> (Vec<&str>, usize) {
    let is_trouble = |line: &&str| {
        let level = line.split_whitespace().nth(1);
        matches!(level, Some("WARN" | "ERROR"))
    };
    let lines = log.lines().filter(is_trouble);
    (lines.clone().take(TOLD).collect(), lines.count())
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
        put(
            &mut text,
            format_args!("[fleet]\nresync_interval = {seconds}\n"),
        );
    }
    put(&mut text, format_args!("{}\n", setup.more));
    let mut node = |id: &str, address: SocketAddr, password: &str, more: &str| {
        // A text of JSON is one of TOML.
        let password = Value::from(password);
        put(
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
        let nudge = if setup.unnudged {
            "nudge = \"off\"\n"
        } else {
            ""
        };
        node(REAL_NODE, *address, password, nudge);
    }
    put(
        &mut text,
        format_args!("[[apps]]\nid = \"{APP}\"\napi_key = \"{KEY}\"\ndids = [\"{DID}\"]\n"),
    );
    if let Some(hook) = &setup.hook {
        put(
            &mut text,
            format_args!(
                "[[apps.webhooks]]\nurl = \"{hook}\"\nsecret = \"{SECRET}\"\nevents = [\"*\"]\n"
            ),
        );
    }
    text
}

fn put(text: &mut String, more: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(more);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_log_only_what_is_wrong_is_shown() {
        let line =
            |level: &str| format!("2026-01-01T00:00:00.000000Z {level:>5} roomkeeper: said\n");
        let log = ["INFO", "WARN", "DEBUG", "ERROR"].map(line).concat();
        let (shown, count) = trouble(&log);
        assert_eq!(count, 2);
        assert!(shown[0].contains("WARN") && shown[1].contains("ERROR"));
        let log = line("WARN").repeat(TOLD + 3);
        let (shown, count) = trouble(&log);
        assert_eq!((shown.len(), count), (TOLD, TOLD + 3));
    }
}
