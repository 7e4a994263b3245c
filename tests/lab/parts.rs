//! The containers' programs as plain processes on loopback, with the commands and environment of docker-compose.yml;
//! only addresses differ. Needs a FreeSWITCH; HAProxy is optional.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::compose::Compose;
use super::proxy::{self, Proxy};
use super::{root, say};
use crate::program::controller::binary;
use crate::program::freeswitch::{FreeSwitch, installed};
use crate::program::poll;
use crate::support::process::{self, free_port};

/// The time of the README's walk and a lease, with a margin for a busy machine.
const SCRIPT: Duration = Duration::from_secs(90);

/// A process of the lab, and its output file.
struct Part {
    child: Child,
    name: &'static str,
    program: &'static str,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
}

/// All processes, and their ports.
struct Lab {
    dir: tempfile::TempDir,
    compose: Compose,
    /// The loopback port that replaces each `host:port` in the file.
    places: BTreeMap<String, u16>,
    api: u16,
    nodes: Vec<FreeSwitch>,
    parts: Vec<Part>,
    _proxy: Option<Proxy>,
}

impl Drop for Lab {
    fn drop(&mut self) {
        for part in &mut self.parts {
            let _ = part.child.kill();
            let _ = part.child.wait();
        }
        if std::thread::panicking() {
            for part in &self.parts {
                let text = fs::read_to_string(self.dir.path().join(part.name)).unwrap_or_default();
                let lines: Vec<&str> = text.lines().collect();
                let tail = &lines[lines.len().saturating_sub(30)..];
                eprintln!("--- {} ---\n{}", part.name, tail.join("\n"));
            }
        }
    }
}

impl Lab {
    fn new() -> Self {
        let places = [
            "redis:6379",
            "receiver:9999",
            "roomkeeper-1:8080",
            "roomkeeper-1:8082",
            "roomkeeper-1:9090",
            "roomkeeper-2:8080",
            "roomkeeper-2:8082",
            "roomkeeper-2:9090",
        ];
        Self {
            dir: tempfile::tempdir().unwrap(),
            compose: Compose::load(),
            places: places.map(|place| (place.to_owned(), free_port())).into(),
            api: 0,
            nodes: Vec::new(),
            parts: Vec::new(),
            _proxy: None,
        }
    }

    fn port(&self, place: &str) -> u16 {
        self.places[place]
    }

    /// Replaces the addresses in a text.
    fn with_ports(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (place, port) in &self.places {
            text = text.replace(place, &format!("127.0.0.1:{port}"));
        }
        text
    }

    /// Returns a service's environment with replaced addresses.
    fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let environment = &self.compose.service(service).environment;
        environment
            .iter()
            .map(|(name, value)| (name.clone(), self.with_ports(value)))
            .collect()
    }

    fn launch(
        &self,
        name: &str,
        program: &str,
        arguments: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Child {
        let mut command: Command = if program == "roomkeeper" {
            binary()
        } else {
            process::command(program)
        };
        let out = self.dir.path().join(name);
        let out = File::options().create(true).append(true).open(out).unwrap();
        command
            .args(arguments)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out);
        process::spawn(command)
    }

    fn start(
        &mut self,
        name: &'static str,
        program: &'static str,
        arguments: Vec<String>,
        environment: BTreeMap<String, String>,
    ) {
        let child = self.launch(name, program, &arguments, &environment);
        self.parts.push(Part {
            child,
            name,
            program,
            arguments,
            environment,
        });
    }

    fn start_controller(&mut self, name: &'static str) {
        let mut environment = self.environment(name);
        let [api, media, admin] =
            [8080, 8082, 9090].map(|port| self.port(&format!("{name}:{port}")));
        environment.extend([
            (
                "ROOMKEEPER_HTTP__LISTEN".to_owned(),
                format!("127.0.0.1:{api}"),
            ),
            (
                "ROOMKEEPER_HTTP__ADMIN_LISTEN".to_owned(),
                format!("127.0.0.1:{admin}"),
            ),
            (
                "ROOMKEEPER_PLAY__PROXY_LISTEN".to_owned(),
                format!("127.0.0.1:{media}"),
            ),
            (
                "ROOMKEEPER_PLAY__PROXY_URL".to_owned(),
                format!("http://127.0.0.1:{media}"),
            ),
            // The store answers at once here, so a short lease is enough.
            ("ROOMKEEPER_FLEET__LEASE_TTL".to_owned(), "3".to_owned()),
        ]);
        let config = root().join("docker/roomkeeper.toml").display().to_string();
        let arguments = ["serve".to_owned(), "--config".to_owned(), config];
        self.start(name, "roomkeeper", arguments.into(), environment);
    }

    fn part(&mut self, name: &str) -> &mut Part {
        let part = self.parts.iter_mut().find(|part| part.name == name);
        part.expect("the process was started")
    }

    fn kill_part(&mut self, name: &str) {
        let port = self.places.get(&format!("{name}:8080")).copied();
        let part = self.part(name);
        assert!(
            part.child.try_wait().unwrap().is_none(),
            "{name} has ended by itself"
        );
        part.child.kill().unwrap();
        part.child.wait().unwrap();
        if let Some(port) = port {
            assert!(
                TcpStream::connect(("127.0.0.1", port)).is_err(),
                "{name} is still there"
            );
        }
    }

    fn start_part_again(&mut self, name: &str) {
        let at = self
            .parts
            .iter()
            .position(|part| part.name == name)
            .unwrap();
        let part = &self.parts[at];
        let child = self.launch(part.name, part.program, &part.arguments, &part.environment);
        self.parts[at].child = child;
    }

    async fn node(&mut self, program: std::path::PathBuf, name: &'static str) {
        let mut environment = self.environment(name);
        let relays = format!("{}:5090", environment["RK_SIP_IP"]);
        // A container has its own addresses; here everything is on loopback.
        for (name, value) in [
            ("RK_ESL_LISTEN", "127.0.0.1"),
            ("RK_ESL_ACL", "127.0.0.0/8"),
            ("RK_SIP_ACL", "127.0.0.0/8"),
            ("RK_RELAY_ACL", "127.0.0.0/8"),
            ("RK_SIP_IP", "127.0.0.1"),
        ] {
            let old = environment.insert(name.to_owned(), value.to_owned());
            assert!(old.is_some(), "{name} is not set in the file");
        }
        for ports in ["RK_RTP_START", "RK_RTP_END"] {
            environment.remove(ports).unwrap();
        }
        let settings: Vec<(&str, &str)> = environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let node = FreeSwitch::start(program, &settings).await;
        let port = node.server.address.port();
        self.places.insert(format!("{name}:8021"), port);
        self.places.insert(relays, node.relays.port());
        self.nodes.push(node);
    }

    /// Runs a part of `tests/compose` on these processes, and prints its output.
    async fn script(&self, what: &str, controllers: &[&str]) -> String {
        let admin: Vec<String> = controllers
            .iter()
            .map(|name| format!("http://127.0.0.1:{}", self.port(&format!("{name}:9090"))))
            .collect();
        let told = self.dir.path().join("receiver");
        let mut script = process::command("bash");
        script
            .arg(root().join("tests/compose"))
            .args(what.split(' '))
            .env("API", format!("http://127.0.0.1:{}/api/v1", self.api))
            .env("ADMIN", admin.join(" "))
            .env("TOLD", format!("cat '{}'", told.display()))
            .env("PATIENCE", "45")
            .env_remove("RK_API_KEY")
            .env_remove("RK_ADMIN_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut script = process::spawn(script);
        let readers = [
            read(script.stdout.take().unwrap()),
            read(script.stderr.take().unwrap()),
        ];
        let status = poll::until(&format!("tests/compose {what}"), SCRIPT, async || {
            script.try_wait().unwrap()
        })
        .await;
        let output: String = readers.map(|reader| reader.join().unwrap()).concat();
        say(&output);
        assert!(status.success(), "tests/compose {what}");
        output.trim().to_owned()
    }
}

fn read(from: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let lines = BufReader::new(from).lines().map_while(Result::ok);
        lines.map(|line| format!("  {line}\n")).collect()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_programs_work_and_survive_a_kill_of_each_kind() {
    let Some(program) = installed() else {
        say("No FreeSWITCH is installed: the containers' programs were not started.\n");
        return;
    };
    assert!(process::installed("curl"), "the README's walk needs curl");
    let mut lab = Lab::new();

    let mut redis = lab.compose.service("redis").command.clone();
    assert_eq!(redis.remove(0), "redis-server");
    let port = lab.port("redis:6379").to_string();
    let data = lab.dir.path().display().to_string();
    redis.extend(["--port", &port, "--bind", "127.0.0.1", "--dir", &data].map(str::to_owned));
    lab.start("redis", "redis-server", redis, BTreeMap::new());

    let nodes = ["freeswitch-1", "freeswitch-2"];
    for name in nodes {
        lab.node(program.clone(), name).await;
    }

    let controllers = ["roomkeeper-1", "roomkeeper-2"];
    for name in controllers {
        lab.start_controller(name);
    }
    let mut receiver = lab.compose.service("receiver").command.clone();
    let listen = receiver.iter_mut().find(|word| *word == "0.0.0.0:9999");
    *listen.unwrap() = format!("127.0.0.1:{}", lab.port("receiver:9999"));
    let environment = lab.environment("receiver");
    lab.start("receiver", "roomkeeper", receiver, environment);
    let callers = &lab.compose.service("callers").command;
    let mut callers: Vec<String> = callers.iter().map(|word| lab.with_ports(word)).collect();
    // No caller ends in the middle of a walk.
    let lasts = callers.iter().position(|word| word == "--lasts").unwrap();
    callers[lasts + 1] = "3600".to_owned();
    let environment = lab.environment("callers");
    lab.start("callers", "roomkeeper", callers, environment);
    let ports =
        controllers.map(|name| [8080, 9090].map(|port| lab.port(&format!("{name}:{port}"))));
    if proxy::installed() {
        let proxy = Proxy::start(ports);
        lab.api = proxy.address.port();
        lab._proxy = Some(proxy);
    } else {
        say("No HAProxy is installed: the second controller gets its requests directly.\n");
        lab.api = ports[1][0];
    }

    say("\nThe containers' programs, as processes:\n");
    lab.script("green", &controllers).await;
    lab.script("walk", &controllers).await;

    say("  The controller that reconciles the first node is killed:\n");
    let owner = lab.script("owner acW68", &controllers).await;
    let owner = format!("roomkeeper-{owner}");
    let others: Vec<&str> = controllers.into_iter().filter(|c| **c != owner).collect();
    assert_eq!(others.len(), 1, "{owner}");
    lab.kill_part(&owner);
    lab.script("green", &others).await;
    lab.script("walk", &others).await;
    lab.start_part_again(&owner);
    lab.script("green", &controllers).await;

    say("  A FreeSWITCH node is killed.\n");
    lab.nodes[0].kill();
    let callers = lab.dir.path().join("callers");
    poll::until("the callers notice", poll::TIMEOUT, async || {
        let output = fs::read_to_string(&callers).unwrap();
        output
            .contains("no call: node is unreachable")
            .then_some(())
    })
    .await;
    lab.nodes[0].start_again().await;
    lab.script("green", &controllers).await;
    lab.script("walk", &controllers).await;

    // On a stop signal, the callers hang up their calls.
    let pid = Pid::from_child(&lab.part("callers").child);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = poll::until("the callers end", poll::TIMEOUT, async || {
        lab.part("callers").child.try_wait().unwrap()
    })
    .await;
    assert!(ended.success());
    for node in &lab.nodes {
        poll::until("all calls have ended", poll::TIMEOUT, async || {
            let channels = node.api("show channels count").await;
            channels.contains("0 total").then_some(())
        })
        .await;
        assert!(
            node.log().contains("Successfully Loaded"),
            "FreeSWITCH does not log to stdout"
        );
    }
    for name in controllers.iter().chain(&["receiver"]) {
        let pid = Pid::from_child(&lab.part(name).child);
        kill_process(pid, Signal::TERM).unwrap();
        let ended = poll::until(name, poll::TIMEOUT, async || {
            lab.part(name).child.try_wait().unwrap()
        })
        .await;
        assert_eq!(ended.code(), Some(0), "{name}");
    }
}
