//! Real Redis servers of a test's own: one, one that sentinels watch over, or a cluster. Started on free ports, killed
//! with the test.
//!
//! Owns the processes. Leaves out what is stored in them. Every fault is a method, and each returns only when the fault
//! has happened.

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

/// Longer than any start or stop takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running (or killed, or stopped) server.
pub struct RedisServer {
    child: Child,
    port: u16,
    args: Vec<String>,
    password: Option<&'static str>,
    tls: Option<ServerTls>,
    /// Holds what it has on disk.
    _dir: tempfile::TempDir,
}

impl RedisServer {
    /// A server that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(None, &["--appendonly", "no"]).await
    }

    /// A server that has every write on disk before it answers.
    pub async fn start_durable() -> Self {
        Self::start_with(None, &["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// A server that has no port without TLS, and keeps nothing on disk.
    pub async fn start_tls(password: Option<&'static str>, tls: &ServerTls) -> Self {
        Self::start_with_tls(password, Some(tls), &["--appendonly", "no"]).await
    }

    /// One that can become part of a cluster.
    async fn start_member(
        password: Option<&'static str>,
        tls: Option<&ServerTls>,
        timeout: Duration,
    ) -> Self {
        // The port for other members must be a free one, too; their usual one may be taken.
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
            // However long ago a replica last heard of its master, it may take its place.
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
            // A replica's first copy need not wait for others that may want one.
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
        // Between our finding a port free and the server's taking it, someone else may.
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

    /// Where it is.
    pub fn url(&self) -> String {
        let scheme = scheme(self.tls());
        match self.password {
            None => format!("{scheme}://{}/", self.address()),
            Some(password) => format!("{scheme}://:{password}@{}/", self.address()),
        }
    }

    /// Its TLS settings, if it has TLS.
    pub const fn tls(&self) -> Option<&ServerTls> {
        self.tls.as_ref()
    }

    /// Kills it at once, as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().expect("redis-server was running");
        self.child.wait().expect("redis-server has ended");
        assert!(
            TcpStream::connect(self.address()).is_err(),
            "killed, and still there"
        );
    }

    /// Starts it again where it was, with what is on disk.
    pub async fn restart(&mut self) {
        if self.child.try_wait().expect("its state").is_none() {
            self.kill();
        }
        self.child = spawn(command(&self.args));
        assert!(self.answers().await, "redis-server does not start again");
    }

    /// Stops it: it holds its connections and answers nothing.
    pub async fn pause(&self) {
        process::pause(self.pid()).await;
    }

    /// Lets it go on.
    pub async fn resume(&self) {
        process::resume(self.pid()).await;
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Sends one command on a connection of its own; the first line of the answer, or `None` when there is none.
    pub fn say(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    }

    /// A connection of a test's own, with the password. The library's own limits are half a second for an answer and one
    /// for a connection, which is too short for a machine that runs much else.
    pub async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let Some(tls) = &self.tls else {
            return redis::Client::open(self.url())?
                .get_multiplexed_async_connection_with_config(&patient)
                .await;
        };
        let stream = tls.connect(self.address()).await?;
        let info = self
            .url()
            .replacen("rediss", "redis", 1)
            .into_connection_info()?;
        let settings = info.redis_settings();
        let (connection, driver) =
            MultiplexedConnection::new_with_config(settings, stream, patient).await?;
        // It ends with the connection.
        tokio::spawn(driver);
        Ok(connection)
    }

    /// Sends one command on a connection of its own, with the password.
    pub async fn ask<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let (name, args) = command.split_first().expect("a command");
        let mut command = redis::cmd(name);
        command.arg(args);
        let ask = async || -> RedisResult<T> {
            let mut connection = self.connection().await?;
            command.query_async(&mut connection).await
        };
        match ask().await {
            // Sentinels cut all connections to a server that they demote.
            Err(error) if error.is_connection_dropped() => ask().await,
            answer => answer,
        }
    }

    /// Sends one command that must not fail.
    pub async fn tell(&self, command: &[&str]) {
        let answer = self.ask::<Value>(command).await;
        assert!(answer.is_ok(), "{command:?}: {answer:?}");
    }

    /// The keys it holds itself.
    pub async fn keys(&self, pattern: &str) -> Vec<String> {
        self.ask(&["KEYS", pattern]).await.expect("it answers")
    }

    /// `master` or `slave`.
    pub async fn role(&self) -> String {
        let role: Vec<Value> = self.ask(&["ROLE"]).await.expect("it answers");
        let role = role.into_iter().next().expect("it has one");
        redis::from_redis_value(role).expect("a name")
    }

    /// The text under a key.
    pub fn get(&self, key: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address()).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(format!("GET {key}\r\n").as_bytes()).ok()?;
        let mut lines = BufReader::new(stream).lines();
        // First how long it is.
        lines
            .next()?
            .ok()?
            .strip_prefix('$')?
            .parse::<usize>()
            .ok()?;
        lines.next()?.ok()
    }

    /// Waits until it answers a ping, if only that it wants a password; `false` when it has ended instead.
    async fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.child.try_wait().expect("its state").is_some() {
                return false;
            }
            let answers = match self.tls {
                None => matches!(
                    self.say("PING").as_deref(),
                    Some("+PONG" | "-NOAUTH Authentication required.")
                ),
                Some(_) => self.ask::<String>(&["PING"]).await.is_ok(),
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
        // It may have been killed already; a stopped one can be killed too.
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

/// Where a server listens: on one port, with TLS or without.
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

/// Waits until it is so.
pub async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < deadline, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The passwords of a test's servers, if they want any.
#[derive(Clone, Copy, Default)]
pub struct Passwords {
    /// Of the servers that hold data.
    pub servers: Option<&'static str>,
    /// Of the sentinels.
    pub sentinels: Option<&'static str>,
}

/// A master and its replica, and sentinels who watch over them. Servers are known by their numbers: the first master is
/// 0, its replica 1.
pub struct Sentinels {
    /// Each can be killed, paused, asked.
    pub servers: [RedisServer; 2],
    /// Each can be, too.
    pub sentinels: Vec<RedisServer>,
    passwords: Passwords,
}

/// The sentinels' name for the master.
const MASTER: &str = "main";

impl Sentinels {
    /// With so many sentinels, more than half of whom must agree. They act within a second or two.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, Passwords::default()).await
    }

    /// The same with passwords.
    pub async fn start_with(count: usize, passwords: Passwords) -> Self {
        Self::start_all(count, passwords, None, None).await
    }

    /// The same, and nobody has a port without TLS.
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
            .tell(&["REPLICAOF", "127.0.0.1", &master.port.to_string()])
            .await;
        until("the replica has its first copy", async || {
            let role: RedisResult<(String, String, u16, String)> =
                replica.ask_head(&["ROLE"]).await;
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
                sentinel.says("num-slaves").await == "1"
                    && sentinel.says("num-other-sentinels").await == others
            })
            .await;
        }
        all
    }

    /// Where the store is.
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

    /// Waits until all sentinels that run name this server, and it is a master.
    pub async fn until_master(&self, server: usize) {
        let server = &self.servers[server];
        for sentinel in &self.sentinels {
            until("the sentinels name the new master", async || {
                let asked = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
                let named: RedisResult<(String, u16)> = sentinel.ask(&asked).await;
                named.is_ok_and(|(_, port)| port == server.port)
            })
            .await;
        }
        assert_eq!(server.role().await, "master");
    }

    /// Replaces the first master by its replica, as an operator does. Both live; the old one becomes a replica some time
    /// later.
    pub async fn failover(&self) {
        let [sentinel, ..] = self.sentinels.as_slice() else {
            unreachable!("there is one");
        };
        let old = self.servers[0].port.to_string();
        until("the master is replaced", async || {
            let [port, flags] = [sentinel.says("port").await, sentinel.says("flags").await];
            // It gives up at once when it has not heard of the replica just now, on a busy machine.
            if port == old && !flags.contains("failover_in_progress") {
                let failover = ["SENTINEL", "FAILOVER", MASTER];
                let _: RedisResult<Value> = sentinel.ask(&failover).await;
            }
            port != old
        })
        .await;
        self.until_master(1).await;
    }

    /// From now on a master that does not answer for a while is no reason for another: on a busy machine it is only slow.
    pub async fn be_patient(&self) {
        for sentinel in &self.sentinels {
            let set = [
                "SENTINEL",
                "SET",
                MASTER,
                "down-after-milliseconds",
                "60000",
            ];
            sentinel.tell(&set).await;
        }
    }

    /// Waits until this server is a replica.
    pub async fn until_replica(&self, server: usize) {
        until("the old master is told", async || {
            self.servers[server].role().await == "slave"
        })
        .await;
    }

    /// Makes the replica a master that the sentinels name, while the first master is not told and goes on as one.
    pub async fn split(&self) {
        self.part().await;
        self.name_the_other().await;
        assert_eq!(self.servers[0].role().await, "master", "nobody told it");
    }

    /// Parts the replica from its master: it has what it has, and gets nothing more. Before long the sentinels would undo
    /// that.
    pub async fn part(&self) {
        self.servers[1].tell(&["REPLICAOF", "NO", "ONE"]).await;
    }

    /// The sentinels name the second server.
    pub async fn name_the_other(&self) {
        let quorum = (self.sentinels.len() / 2 + 1).to_string();
        let port = self.servers[1].port.to_string();
        for sentinel in &self.sentinels {
            sentinel.tell(&["SENTINEL", "REMOVE", MASTER]).await;
            let monitor = ["SENTINEL", "MONITOR", MASTER, "127.0.0.1", &port, &quorum];
            sentinel.tell(&monitor).await;
            if let Some(password) = self.passwords.servers {
                sentinel
                    .tell(&["SENTINEL", "SET", MASTER, "auth-pass", password])
                    .await;
            }
        }
        self.until_master(1).await;
    }

    /// Empties the first master.
    pub async fn wipe(&self) {
        self.servers[0].tell(&["FLUSHALL"]).await;
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
        std::fs::write(&path, conf).expect("its directory is ours");
        vec![path.display().to_string(), "--sentinel".to_owned()]
    })
    .await;
    // What they would do less often. Not much more often: of a replica from which they have not heard for three times the
    // first they say that it cannot be promoted, and one that was promoted four times the last ago without their having
    // been told they demote again.
    for (period, ms) in [
        ("info-period", "400"),
        ("ping-period", "200"),
        ("ask-period", "100"),
        ("publish-period", "500"),
    ] {
        started.tell(&["SENTINEL", "DEBUG", period, ms]).await;
    }
    started
}

impl RedisServer {
    /// A field of what a sentinel knows of the master.
    async fn says(&self, field: &str) -> String {
        let fields: Vec<(String, String)> = self
            .ask(&["SENTINEL", "MASTER", MASTER])
            .await
            .expect("it answers");
        let found = fields.into_iter().find(|(name, _)| name == field);
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// The first values of an answer that has more.
    async fn ask_head<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        let mut values: Vec<Value> = self.ask(command).await?;
        values.truncate(4);
        Ok(redis::from_redis_value(Value::Array(values))?)
    }
}

/// A cluster of three masters, each with a third of the slots. Nodes are known by their numbers; 0 to 2 are the first
/// masters.
pub struct Cluster {
    /// Each can be killed, paused, asked.
    pub nodes: Vec<RedisServer>,
    ids: Vec<String>,
    password: Option<&'static str>,
}

/// A slot on its way from one node to another.
pub struct Move<'a> {
    cluster: &'a Cluster,
    slot: String,
    from: usize,
    to: usize,
}

impl Cluster {
    /// The three alone.
    pub async fn start() -> Self {
        Self::start_with(&[], None).await
    }

    /// With a replica of each of these masters, and a password if they are to want one. Replicas are nodes 3, 4, 5.
    pub async fn start_with(replicas_of: &[usize], password: Option<&'static str>) -> Self {
        Self::start_all(replicas_of, password, None).await
    }

    /// The three alone, and none has a port without TLS.
    pub async fn start_tls(password: Option<&'static str>, tls: &ServerTls) -> Self {
        Self::start_all(&[], password, Some(tls)).await
    }

    async fn start_all(
        replicas_of: &[usize],
        password: Option<&'static str>,
        tls: Option<&ServerTls>,
    ) -> Self {
        // Where nobody can take a node's place, nobody is to be in a hurry to give it up: on a busy machine it is only slow.
        let timeout = if replicas_of.is_empty() { 15 } else { 1 };
        let timeout = Duration::from_secs(timeout);
        let mut nodes = Vec::new();
        let mut ids = Vec::new();
        for n in 0..3 + replicas_of.len() {
            let node = RedisServer::start_member(password, tls, timeout).await;
            ids.push(node.ask(&["CLUSTER", "MYID"]).await.expect("it has one"));
            let epoch = (n + 1).to_string();
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await;
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
            cluster.nodes[n].tell(&add).await;
        }
        let [first, others @ ..] = cluster.nodes.as_slice() else {
            unreachable!("there are three");
        };
        let bus = |node: &RedisServer| {
            let mut args = node.args.iter().skip_while(|arg| *arg != "--cluster-port");
            args.nth(1).cloned().expect("it was given one")
        };
        for other in others {
            let (port, bus) = (other.port.to_string(), bus(other));
            first
                .tell(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus])
                .await;
        }
        let known = cluster.nodes.len().to_string();
        cluster.until_all_say("cluster_known_nodes", &known).await;
        for (n, master) in replicas_of.iter().enumerate() {
            let replicate = ["CLUSTER", "REPLICATE", &cluster.ids[*master]];
            cluster.nodes[3 + n].tell(&replicate).await;
        }
        cluster.until_all_say("cluster_state", "ok").await;
        for n in 0..replicas_of.len() {
            let replica = &cluster.nodes[3 + n];
            until("the replica has its first copy", async || {
                let role: RedisResult<(String, String, u16, String)> =
                    replica.ask_head(&["ROLE"]).await;
                role.is_ok_and(|(.., state)| state == "connected")
            })
            .await;
        }
        cluster
    }

    /// Waits until every node that runs says this of the cluster.
    pub async fn until_all_say(&self, field: &str, value: &str) {
        for node in &self.nodes {
            until("the nodes agree", async || {
                let info: String = match node.ask(&["CLUSTER", "INFO"]).await {
                    Ok(info) => info,
                    Err(_) => return false,
                };
                let line = format!("{field}:{value}");
                info.lines().any(|l| l.trim_end() == line)
            })
            .await;
        }
    }

    /// Where the store is: two of its nodes.
    pub fn url(&self) -> String {
        let user = match self.password {
            None => String::new(),
            Some(password) => format!(":{password}@"),
        };
        let [first, second] = [0, 1].map(|n: usize| self.nodes[n].address());
        let scheme = scheme(self.nodes[0].tls());
        format!("{scheme}+cluster://{user}{first},{second}")
    }

    /// The slot of a key, and which of the first three has it as long as none was moved.
    pub async fn slot(&self, key: &str) -> (u16, usize) {
        let slot = self.nodes[0].ask(&["CLUSTER", "KEYSLOT", key]).await;
        let slot: u16 = slot.expect("it answers");
        (slot, usize::from(slot > 5460) + usize::from(slot > 10922))
    }

    /// Begins to move a slot: both ends know, and no key has gone.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) -> Move<'_> {
        let slot = slot.to_string();
        let set = ["CLUSTER", "SETSLOT", &slot];
        let importing = [&set[..], &["IMPORTING", &self.ids[from]]].concat();
        self.nodes[to].tell(&importing).await;
        let migrating = [&set[..], &["MIGRATING", &self.ids[to]]].concat();
        self.nodes[from].tell(&migrating).await;
        Move {
            cluster: self,
            slot,
            from,
            to,
        }
    }

    /// Moves a slot with all that is in it, key by key.
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        let moving = self.begin_move(slot, from, to).await;
        while moving.one_key().await {}
        moving.finish().await;
    }

    /// Kills all nodes.
    pub fn kill(&mut self) {
        for node in &mut self.nodes {
            node.kill();
        }
    }

    /// Starts all again, and waits until they serve.
    pub async fn restart(&mut self) {
        for node in &mut self.nodes {
            node.restart().await;
        }
        self.until_all_say("cluster_state", "ok").await;
    }

    /// Empties it.
    pub async fn wipe(&self) {
        for node in &self.nodes {
            if node.role().await == "master" {
                node.tell(&["FLUSHALL"]).await;
            }
        }
    }
}

impl Move<'_> {
    /// Moves these keys.
    pub async fn keys(&self, keys: &[&str]) {
        let port = self.cluster.nodes[self.to].port.to_string();
        let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000"];
        if let Some(password) = self.cluster.password {
            migrate.extend(["AUTH", password]);
        }
        migrate.push("KEYS");
        migrate.extend(keys);
        self.cluster.nodes[self.from].tell(&migrate).await;
    }

    /// Moves one key; `false` when none is left.
    pub async fn one_key(&self) -> bool {
        let get = ["CLUSTER", "GETKEYSINSLOT", &self.slot, "1"];
        let keys = self.cluster.nodes[self.from].ask(&get).await;
        let keys: Vec<String> = keys.expect("it answers");
        match keys.first() {
            Some(key) => {
                self.keys(&[key]).await;
                true
            }
            None => false,
        }
    }

    /// Says whose the slot is now. No key may be left behind.
    pub async fn finish(self) {
        let cluster = self.cluster;
        let id = &cluster.ids[self.to];
        let node = ["CLUSTER", "SETSLOT", &self.slot, "NODE", id];
        cluster.nodes[self.to].tell(&node).await;
        cluster.nodes[self.from].tell(&node).await;
        for n in (0..3).filter(|n| ![self.from, self.to].contains(n)) {
            cluster.nodes[n].tell(&node).await;
        }
    }
}
