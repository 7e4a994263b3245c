//! Real Redis servers for a test: a single one, one with sentinels, or a cluster. They start on free ports and end with
//! the test.
//!
//! Owns the processes. Leaves out the stored data. Every fault is a method that returns when the fault has taken
//! effect.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, IntoConnectionInfo, RedisResult, Value};
use rustix::process::Pid;

use super::process::{self, free_port, spawn};
use super::tls::ServerTls;

/// Time limit of a start, a stop or an answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running, killed or stopped server.
pub struct RedisServer {
    child: Child,
    port: u16,
    args: Vec<String>,
    password: Option<&'static str>,
    tls: Option<ServerTls>,
    /// The directory of its files.
    _dir: tempfile::TempDir,
}

impl RedisServer {
    /// Starts a server without persistence.
    pub async fn start() -> Self {
        Self::start_with(None, &["--appendonly", "no"]).await
    }

    /// Starts a server that has every write on disk before it answers.
    pub async fn start_durable() -> Self {
        Self::start_with(None, &["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// Starts a server with TLS only and without persistence.
    pub async fn start_tls(password: Option<&'static str>, tls: &ServerTls) -> Self {
        Self::start_with_tls(password, Some(tls), &["--appendonly", "no"]).await
    }

    /// Starts a server that can join a cluster.
    async fn start_member(
        password: Option<&'static str>,
        tls: Option<&ServerTls>,
        timeout: Duration,
    ) -> Self {
        // The bus port must be free, too; the default one may be in use.
        let bus = free_port().to_string();
        let args = [
            "--appendonly",
            "no",
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            &timeout.as_millis().to_string(),
            // A replica may be promoted however old its last contact with its master is.
            "--cluster-replica-validity-factor",
            "0",
            "--tls-cluster",
            if tls.is_some() { "yes" } else { "no" },
        ];
        Self::start_with_tls(password, tls, &args).await
    }

    async fn start_with(password: Option<&'static str>, args: &[&str]) -> Self {
        Self::start_with_tls(password, None, args).await
    }

    async fn start_with_tls(
        password: Option<&'static str>,
        tls: Option<&ServerTls>,
        args: &[&str],
    ) -> Self {
        Self::launch(password, tls, |port, dir| {
            let mut all = Vec::new();
            for (name, value) in listen_settings(port, tls) {
                all.extend([format!("--{name}"), value]);
            }
            all.extend(
                ["--bind", "127.0.0.1", "--save", "", "--daemonize", "no"].map(str::to_owned),
            );
            all.extend(["--dir".to_owned(), dir.display().to_string()]);
            // A replica's first copy does not wait for other replicas.
            all.extend(["--repl-diskless-sync-delay", "0"].map(str::to_owned));
            if let Some(password) = password {
                all.extend(
                    ["--requirepass", password, "--masterauth", password].map(str::to_owned),
                );
            }
            all.extend(args.iter().map(|arg| (*arg).to_owned()));
            all
        })
        .await
    }

    async fn launch(
        password: Option<&'static str>,
        tls: Option<&ServerTls>,
        args: impl Fn(u16, &Path) -> Vec<String>,
    ) -> Self {
        // Another process may take the free port before the server does.
        for _ in 0..5 {
            let dir = tempfile::tempdir().expect("a directory for the server's files");
            let port = free_port();
            let args = args(port, dir.path());
            let mut server = Self {
                child: spawn(command(&args)),
                port,
                args,
                password,
                tls: tls.cloned(),
                _dir: dir,
            };
            if server.answers().await {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        let scheme = scheme(self.tls());
        match self.password {
            None => format!("{scheme}://{}/", self.address()),
            Some(password) => format!("{scheme}://:{password}@{}/", self.address()),
        }
    }

    /// Its TLS settings; `None` without TLS.
    pub const fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Kills it with SIGKILL, like a crash.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server has ended");
        assert!(
            TcpStream::connect(self.address()).is_err(),
            "a killed server still accepts connections"
        );
    }

    /// Restarts it on the same port with its files.
    pub async fn restart(&mut self) {
        if self.child.try_wait().expect("its state").is_none() {
            self.kill();
        }
        self.child = spawn(command(&self.args));
        assert!(self.answers().await, "redis-server does not restart");
    }

    /// Stops it with SIGSTOP: it keeps its connections and answers nothing.
    pub async fn pause(&self) {
        process::pause(self.pid()).await;
    }

    /// Continues it.
    pub async fn resume(&self) {
        process::resume(self.pid()).await;
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Sends one inline command on a new connection. Returns the first line of the answer, or `None` without one.
    pub fn send_inline(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    /// Opens a connection with the password. The library's default timeouts, 0.5 s for an answer and 1 s for a
    /// connection, are too short on a busy machine.
    pub async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(TIMEOUT))
            .set_response_timeout(Some(TIMEOUT));
        let Some(tls) = &self.tls else {
            return redis::Client::open(self.url())?
                .get_multiplexed_async_connection_with_config(&config)
                .await;
        };
        let stream = tls.connect(self.address()).await?;
        let info = self
            .url()
            .replacen("rediss", "redis", 1)
            .into_connection_info()?;
        let settings = info.redis_settings();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, config).await?;
        // It ends with the connection.
        tokio::spawn(driver);
        Ok(connection)
    }

    /// Runs one command on a new connection, with the password. Returns its answer.
    pub async fn query<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let (name, args) = command.split_first().expect("a command");
        let mut command = redis::cmd(name);
        command.arg(args);
        let query = async || -> RedisResult<T> {
            let mut connection = self.connection().await?;
            command.query_async(&mut connection).await
        };
        match query().await {
            // Sentinels close all connections to a server that they demote.
            Err(error) if error.is_connection_dropped() => query().await,
            answer => answer,
        }
    }

    /// Runs one command that must not fail.
    pub async fn run(&self, command: &[&str]) {
        let answer = self.query::<Value>(command).await;
        assert!(answer.is_ok(), "{command:?}: {answer:?}");
    }

    /// The keys that this server itself holds.
    pub async fn keys(&self, pattern: &str) -> Vec<String> {
        self.query(&["KEYS", pattern]).await.expect("it answers")
    }

    /// `master` or `slave`.
    pub async fn role(&self) -> String {
        let role: Vec<Value> = self.query(&["ROLE"]).await.expect("it answers");
        let role = role.into_iter().next().expect("a role");
        redis::from_redis_value(role).expect("a name")
    }

    /// The string value of a key.
    pub fn get(&self, key: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(TIMEOUT)).ok()?;
        stream.write_all(format!("GET {key}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        // The first line is the length.
        lines
            .next()?
            .ok()?
            .strip_prefix('$')?
            .parse::<usize>()
            .ok()?;
        lines.next()?.ok()
    }

    /// Waits until it answers a ping, also with an authentication error. Returns `false` if it has ended instead.
    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if self.child.try_wait().expect("its state").is_some() {
                return false;
            }
            let answers = match self.tls {
                None => matches!(
                    self.send_inline("PING").as_deref(),
                    Some("+PONG" | "-NOAUTH Authentication required.")
                ),
                Some(_) => self.query::<String>(&["PING"]).await.is_ok(),
            };
            if answers {
                return true;
            }
            assert!(Instant::now() < deadline, "redis-server does not answer");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have ended already. SIGKILL also ends a stopped process.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn scheme(tls: Option<&ServerTls>) -> &'static str {
    match tls {
        None => "redis",
        Some(_) => "rediss",
    }
}

/// The settings of a server's only port, with or without TLS.
fn listen_settings(port: u16, tls: Option<&ServerTls>) -> Vec<(&'static str, String)> {
    match tls {
        None => vec![("port", port.to_string())],
        Some(tls) => {
            let mut all = vec![("port", "0".to_owned()), ("tls-port", port.to_string())];
            all.extend(tls.settings());
            all
        }
    }
}

fn command(args: &[String]) -> Command {
    let mut command = process::command("redis-server");
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Waits until a condition holds. `what` names it.
pub async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !holds().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The passwords of a test's servers; `None` for no password.
#[derive(Clone, Copy, Default)]
pub struct Passwords {
    /// The password of the data servers.
    pub servers: Option<&'static str>,
    /// The password of the sentinels.
    pub sentinels: Option<&'static str>,
}

/// A master with a replica and their sentinels. The index of the first master is 0, that of its replica 1.
pub struct Sentinels {
    /// The data servers. A test can kill, pause and query each.
    pub servers: [RedisServer; 2],
    /// The sentinels, likewise.
    pub sentinels: Vec<RedisServer>,
    passwords: Passwords,
}

/// The sentinels' name for the master.
const MASTER: &str = "main";

impl Sentinels {
    /// Starts `count` sentinels with a majority as quorum. They act within one to two seconds.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, Passwords::default()).await
    }

    /// Starts them with passwords.
    pub async fn start_with(count: usize, passwords: Passwords) -> Self {
        Self::start_all(count, passwords, None, None).await
    }

    /// Starts them with TLS only.
    pub async fn start_tls(
        count: usize,
        passwords: Passwords,
        servers: &ServerTls,
        sentinels: &ServerTls,
    ) -> Self {
        Self::start_all(count, passwords, Some(servers), Some(sentinels)).await
    }

    async fn start_all(
        count: usize,
        passwords: Passwords,
        servers: Option<&ServerTls>,
        tls: Option<&ServerTls>,
    ) -> Self {
        let plain = ["--appendonly", "no"];
        let start = || RedisServer::start_with_tls(passwords.servers, servers, &plain);
        let master = start().await;
        let replica = start().await;
        replica
            .run(&["REPLICAOF", "127.0.0.1", &master.port.to_string()])
            .await;
        until("the replica has its first copy", async || {
            let role: RedisResult<(String, String, u16, String)> =
                replica.query_head(&["ROLE"]).await;
            role.is_ok_and(|(.., state)| state == "connected")
        })
        .await;
        let mut sentinels = Vec::with_capacity(count);
        for _ in 0..count {
            sentinels.push(sentinel(&master, count / 2 + 1, passwords, tls).await);
        }
        let all = Self {
            servers: [master, replica],
            sentinels,
            passwords,
        };
        for sentinel in &all.sentinels {
            until("the sentinels know each other", async || {
                let others = (count - 1).to_string();
                sentinel.master_field("num-slaves").await == "1"
                    && sentinel.master_field("num-other-sentinels").await == others
            })
            .await;
        }
        all
    }

    /// The store's URL.
    pub fn url(&self) -> String {
        let user = match self.passwords.servers {
            None => String::new(),
            Some(password) => format!(":{password}@"),
        };
        let hosts: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| sentinel.address().to_string())
            .collect();
        let own = match self.passwords.sentinels {
            None => String::new(),
            Some(password) => format!("?sentinel_password={password}"),
        };
        let scheme = scheme(self.sentinels.first().and_then(RedisServer::tls));
        let hosts = hosts.join(",");
        format!("{scheme}+sentinel://{user}{hosts}/{MASTER}/0{own}")
    }

    /// Waits until all sentinels name this server as master. Checks that it is one.
    pub async fn until_master(&self, server: usize) {
        let server = &self.servers[server];
        for sentinel in &self.sentinels {
            until("the sentinels name the new master", async || {
                let query = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
                let named: RedisResult<(String, u16)> = sentinel.query(&query).await;
                named.is_ok_and(|(_, port)| port == server.port)
            })
            .await;
        }
        assert_eq!(server.role().await, "master");
    }

    /// Fails over to the replica on an operator's command. Both servers run, and the old master becomes a replica
    /// later.
    pub async fn failover(&self) {
        let [sentinel, ..] = self.sentinels.as_slice() else {
            unreachable!("there is at least one sentinel");
        };
        let old = self.servers[0].port.to_string();
        until("the master is replaced", async || {
            let [port, flags] = [
                sentinel.master_field("port").await,
                sentinel.master_field("flags").await,
            ];
            // On a busy machine, a sentinel without recent contact to the replica gives up at once.
            if port == old && !flags.contains("failover_in_progress") {
                let failover = ["SENTINEL", "FAILOVER", MASTER];
                let _: RedisResult<Value> = sentinel.query(&failover).await;
            }
            port != old
        })
        .await;
        self.until_master(1).await;
    }

    /// Disables failover on missing answers for a minute, because a master on a busy machine may only be slow.
    pub async fn disable_failure_detection(&self) {
        for sentinel in &self.sentinels {
            let set = [
                "SENTINEL",
                "SET",
                MASTER,
                "down-after-milliseconds",
                "60000",
            ];
            sentinel.run(&set).await;
        }
    }

    /// Waits until this server is a replica.
    pub async fn until_replica(&self, server: usize) {
        until("the old master is a replica", async || {
            self.servers[server].role().await == "slave"
        })
        .await;
    }

    /// Promotes the replica in the sentinels, while the first master stays a master.
    pub async fn split_brain(&self) {
        self.detach_replica().await;
        self.promote_replica().await;
        assert_eq!(
            self.servers[0].role().await,
            "master",
            "the first master is not demoted"
        );
    }

    /// Stops the replication: the replica keeps its data and receives no more. The sentinels would revert this soon.
    pub async fn detach_replica(&self) {
        self.servers[1].run(&["REPLICAOF", "NO", "ONE"]).await;
    }

    /// Makes the sentinels name the second server as master.
    pub async fn promote_replica(&self) {
        let quorum = (self.sentinels.len() / 2 + 1).to_string();
        let port = self.servers[1].port.to_string();
        for sentinel in &self.sentinels {
            sentinel.run(&["SENTINEL", "REMOVE", MASTER]).await;
            let monitor = ["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, &quorum];
            sentinel.run(&monitor).await;
            if let Some(password) = self.passwords.servers {
                sentinel
                    .run(&["SENTINEL", "SET", MASTER, "auth-pass", password])
                    .await;
            }
        }
        self.until_master(1).await;
    }

    /// Empties the first master.
    pub async fn wipe(&self) {
        self.servers[0].run(&["FLUSHALL"]).await;
    }
}

async fn sentinel(
    master: &RedisServer,
    quorum: usize,
    passwords: Passwords,
    tls: Option<&ServerTls>,
) -> RedisServer {
    let started = RedisServer::launch(passwords.sentinels, tls, |port, dir| {
        let mut conf = String::new();
        for (name, value) in listen_settings(port, tls) {
            conf += &format!("{name} {value}\n");
        }
        conf += &format!(
            "bind 127.0.0.1\ndir {}\n\
             sentinel monitor {MASTER} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} 500\n\
             sentinel failover-timeout {MASTER} 5000\n",
            dir.display(),
            master.port
        );
        if let Some(password) = passwords.servers {
            conf += &format!("sentinel auth-pass {MASTER} {password}\n");
        }
        if let Some(password) = passwords.sentinels {
            conf += &format!("requirepass {password}\nsentinel sentinel-pass {password}\n");
        }
        let path = dir.join("sentinel.conf");
        std::fs::write(&path, conf).expect("the directory is writable");
        vec![path.display().to_string(), "--sentinel".to_owned()]
    })
    .await;
    // Shorter periods than the defaults, with two limits: a replica without contact for three times the info period is
    // not eligible for promotion, and a sentinel demotes a promoted replica again if the new configuration does not
    // reach it within four times the publish period.
    for (period, ms) in [
        ("info-period", "400"),
        ("ping-period", "200"),
        ("ask-period", "100"),
        ("publish-period", "500"),
    ] {
        started.run(&["SENTINEL", "DEBUG", period, ms]).await;
    }
    started
}

impl RedisServer {
    /// A field of the master's state in this sentinel.
    async fn master_field(&self, field: &str) -> String {
        let fields: Vec<(String, String)> = self
            .query(&["SENTINEL", "MASTER", MASTER])
            .await
            .expect("it answers");
        let found = fields.into_iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// Queries the first four values of a longer answer.
    async fn query_head<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let mut values: Vec<Value> = self.query(command).await?;
        values.truncate(4);
        Ok(redis::from_redis_value(Value::Array(values))?)
    }
}

/// A cluster of three masters, each with a third of the slots. Nodes are identified by index; 0 to 2 are the first
/// masters.
pub struct Cluster {
    /// The nodes. A test can kill, pause and query each.
    pub nodes: Vec<RedisServer>,
    ids: Vec<String>,
    password: Option<&'static str>,
}

/// A slot's migration from one node to another.
pub struct SlotMigration<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Cluster {
    /// Starts three masters.
    pub async fn start() -> Self {
        Self::start_with(&[], None).await
    }

    /// Starts three masters and a replica of each given master, optionally with a password. Replicas are nodes 3, 4, 5.
    pub async fn start_with(replicas_of: &[usize], password: Option<&'static str>) -> Self {
        Self::start_all(replicas_of, password, None).await
    }

    /// Starts three masters with TLS only.
    pub async fn start_tls(password: Option<&'static str>, tls: &ServerTls) -> Self {
        Self::start_all(&[], password, Some(tls)).await
    }

    async fn start_all(
        replicas_of: &[usize],
        password: Option<&'static str>,
        tls: Option<&ServerTls>,
    ) -> Self {
        // Without replicas, a failure has no remedy, and a node on a busy machine may only be slow: use a long timeout.
        let timeout = if replicas_of.is_empty() { 15 } else { 1 };
        let timeout = Duration::from_secs(timeout);
        let mut nodes = Vec::new();
        let mut ids = Vec::new();
        for n in 0..3 + replicas_of.len() {
            let node = RedisServer::start_member(password, tls, timeout).await;
            ids.push(node.query(&["CLUSTER", "MYID"]).await.expect("an id"));
            let epoch = (n + 1).to_string();
            node.run(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
            nodes.push(node);
        }
        let cluster = Self {
            nodes,
            ids,
            password,
        };
        for (n, (from, to)) in [("0", "5460"), ("5461", "10922"), ("10923", "16383")]
            .into_iter()
            .enumerate()
        {
            let add = ["CLUSTER", "ADDSLOTSRANGE", from, to];
            cluster.nodes[n].run(&add).await;
        }
        let [first, others @ ..] = cluster.nodes.as_slice() else {
            unreachable!("there are three masters");
        };
        let bus = |node: &RedisServer| {
            let mut args = node.args.iter().skip_while(|arg| *arg != "--cluster-port");
            args.nth(1).cloned().expect("a bus port")
        };
        for other in others {
            let (port, bus) = (other.port.to_string(), bus(other));
            first
                .run(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await;
        }
        let known = cluster.nodes.len().to_string();
        cluster
            .until_cluster_info("cluster_known_nodes", &known)
            .await;
        for (n, master) in replicas_of.iter().enumerate() {
            let replicate = ["CLUSTER", "REPLICATE", &cluster.ids[*master]];
            cluster.nodes[3 + n].run(&replicate).await;
        }
        cluster.until_cluster_info("cluster_state", "ok").await;
        for n in 0..replicas_of.len() {
            let replica = &cluster.nodes[3 + n];
            until("the replica has its first copy", async || {
                let role: RedisResult<(String, String, u16, String)> =
                    replica.query_head(&["ROLE"]).await;
                role.is_ok_and(|(.., state)| state == "connected")
            })
            .await;
        }
        cluster
    }

    /// Waits until `CLUSTER INFO` of every node has this value.
    pub async fn until_cluster_info(&self, field: &str, value: &str) {
        for node in &self.nodes {
            until("the nodes agree", async || {
                let info: String = match node.query(&["CLUSTER", "INFO"]).await {
                    Ok(info) => info,
                    Err(_) => return false,
                };
                let line = format!("{field}:{value}");
                info.lines().any(|l| l.trim_end() == line)
            })
            .await;
        }
    }

    /// The store's URL, with two of its nodes.
    pub fn url(&self) -> String {
        let user = match self.password {
            None => String::new(),
            Some(password) => format!(":{password}@"),
        };
        let [first, second] = [0, 1].map(|n: usize| self.nodes[n].address());
        let scheme = scheme(self.nodes[0].tls());
        format!("{scheme}+cluster://{user}{first},{second}")
    }

    /// The slot of a key, and its initial master.
    pub async fn slot(&self, key: &str) -> (u16, usize) {
        let slot = self.nodes[0].query(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: u16 = slot.expect("it answers");
        (slot, usize::from(slot > 5460) + usize::from(slot > 10922))
    }

    /// Starts to migrate a slot: both nodes are prepared, and no key has moved.
    pub async fn start_migration(&self, slot: u16, from: usize, to: usize) -> SlotMigration<'_> {
        let slot = slot.to_string();
        let set = ["CLUSTER", "SETSLOT", &slot];
        let importing = [&set[..], &["IMPORTING", &self.ids[from]]].concat();
        self.nodes[to].run(&importing).await;
        let migrating = [&set[..], &["MIGRATING", &self.ids[to]]].concat();
        self.nodes[from].run(&migrating).await;
        SlotMigration {
            cluster: self,
            slot,
            from,
            to,
        }
    }

    /// Migrates a slot with all its keys, one by one.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let moving = self.start_migration(slot, from, to).await;
        while moving.move_next_key().await {}
        moving.finish().await;
    }

    /// Kills all nodes.
    pub fn kill(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Restarts all nodes and waits until they serve.
    pub async fn restart(&mut self) {
        for node in &mut self.nodes {
            node.restart().await;
        }
        self.until_cluster_info("cluster_state", "ok").await;
    }

    /// Empties all masters.
    pub async fn wipe(&self) {
        for node in &self.nodes {
            if node.role().await == "master" {
                node.run(&["FLUSHALL"]).await;
            }
        }
    }
}

impl SlotMigration<'_> {
    /// Moves these keys.
    pub async fn move_keys(&self, keys: &[&str]) {
        let port = self.cluster.nodes[self.to].port.to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
        if let Some(password) = self.cluster.password {
            migrate.extend(["AUTH", password]);
        }
        migrate.push("KEYS");
        migrate.extend(keys);
        self.cluster.nodes[self.from].run(&migrate).await;
    }

    /// Moves one key. Returns `false` without a remaining key.
    pub async fn move_next_key(&self) -> bool {
        let get = ["CLUSTER", "GETKEYSINSLOT", &self.slot, "1"];
        let keys = self.cluster.nodes[self.from].query(&get).await;
        let keys: Vec<String> = keys.expect("it answers");
        match keys.first() {
            Some(key) => {
                self.move_keys(&[key]).await;
                true
            }
            None => false,
        }
    }

    /// Assigns the slot to its new node. All keys must have moved.
    pub async fn finish(self) {
        let cluster = self.cluster;
        let id = &cluster.ids[self.to];
        let node = ["CLUSTER", "SETSLOT", &self.slot, "NODE", id];
        cluster.nodes[self.to].run(&node).await;
        cluster.nodes[self.from].run(&node).await;
        for n in (0..3).filter(|n| ![self.from, self.to].contains(n)) {
            cluster.nodes[n].run(&node).await;
        }
    }
}
