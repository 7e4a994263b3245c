//! The program as an operator runs it: exit codes, configuration checks, apps.

mod support;

use std::process::{Command, Output};

fn roomkeeper(args: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(args)
        .env_clear()
        .envs(env.iter().copied())
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/fixtures/roomkeeper.example.toml"
);

/// Secrets in place of the example's placeholders.
const SECRETS: [(&str, &str); 4] = [
    ("ROOMKEEPER_NODES__0__PASSWORD", "ClueCon"),
    ("ROOMKEEPER_APPS__0__API_KEY", "demo-key"),
    (
        "ROOMKEEPER_APPS__0__WEBHOOKS__0__SECRET",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ),
    (
        "ROOMKEEPER_APPS__1__API_KEY_SHA256",
        "580843d03d2216ff1a275d0991bad66e4d1af871171d929e9de604b7959f9bca",
    ),
];

/// Runs the program's check on the example with its secrets and these variables.
fn check_example(env: &[(&str, &str)]) -> Output {
    let env: Vec<_> = SECRETS.iter().chain(env).copied().collect();
    roomkeeper(&["check", "--config", EXAMPLE], &env)
}

#[test]
fn check_of_example_names_what_to_fill_in() {
    let out = roomkeeper(&["check", "--config", EXAMPLE], &[]);
    assert_eq!(out.status.code(), Some(64));
    assert!(out.stdout.is_empty());
    let errors = text(&out.stderr);
    for key in [
        "nodes[0].password",
        "apps[0].api_key",
        "apps[0].webhooks[0].secret",
        "apps[1].api_key_sha256",
    ] {
        let line = format!("{key}: is still the example's placeholder: set ");
        assert_eq!(errors.matches(&line).count(), 1, "{key}: {errors}");
    }
    assert_eq!(errors.matches("placeholder").count(), 4, "{errors}");
    // The program does not start with them.
    let out = roomkeeper(&["serve", "--config", EXAMPLE], &[]);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("nodes[0].password: is still"));
}

#[test]
fn check_shows_configuration_without_secrets() {
    let out = check_example(&[("ROOMKEEPER_STORE__URL", "memory:")]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    let shown = text(&out.stdout);
    assert!(shown.contains("node acW68: 127.0.0.1:8021"), "{shown}");
    assert!(shown.contains("store: memory:"), "{shown}");
    let valid = format!("{EXAMPLE} is valid\n");
    assert!(shown.starts_with(&valid), "{shown}");
    for secret in ["ClueCon", "demo-key", "whsec_", "change-me"] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

#[test]
fn bad_configuration_exits_with_64_and_all_errors() {
    let env = [
        ("ROOMKEEPER_STORE__URL", "mongo://h"),
        ("ROOMKEEPER_LOG__FORMAT", "xml"),
    ];
    let out = check_example(&env);
    assert_eq!(out.status.code(), Some(64));
    let errors = text(&out.stderr);
    assert!(errors.contains("store.url: "), "{errors}");
    assert!(errors.contains("log.format: "), "{errors}");
    assert!(out.stdout.is_empty());

    let out = roomkeeper(&["check", "--config", "/nonexistent.toml"], &[]);
    assert_eq!(out.status.code(), Some(64));
    assert!(text(&out.stderr).contains("/nonexistent.toml: cannot be read"));
}

#[test]
fn store_url_is_checked_and_its_password_never_shown() {
    for (url, shown) in [
        (
            "redis+sentinel://:geheim@h1,h2:7/main/3?sentinel_password=geheim",
            Ok("h1,h2:7/main/3"),
        ),
        ("redis+cluster://ann:geheim@h1,h2:7", Ok("@h1,h2:7")),
        (
            "redis+sentinel://:geheim@h1,h2:7",
            Err("name of the master is missing"),
        ),
        (
            "redis+sentinel://:geheim@h1,h2:x/main",
            Err("host 2 is not"),
        ),
        ("redis+cluster://:geheim@h1,h2/3", Err("has no databases")),
        ("rediss://:geheim@h1/3#insecure", Err("no #insecure")),
        ("rediss+x://:geheim@h1/3", Err("expected memory:, ")),
    ] {
        let env = [("ROOMKEEPER_STORE__URL", url)];
        let out = check_example(&env);
        let all = text(&out.stdout) + &text(&out.stderr);
        let (code, part) = match shown {
            Ok(part) => (0, part),
            Err(part) => (64, part),
        };
        assert_eq!(out.status.code(), Some(code), "{all}");
        assert!(all.contains(part), "{url}: {all}");
        assert!(!all.contains("geheim"), "{all}");
    }
}

#[test]
fn store_trusts_configured_authorities_or_those_of_system() {
    let authority = support::tls::Authority::new();
    let ca = authority.file("ca.pem").display().to_string();
    let url = ("ROOMKEEPER_STORE__URL", "rediss://:geheim@h1/3");
    let (system, none) = (("SSL_CERT_FILE", ca.as_str()), ("SSL_CERT_FILE", "/none"));
    let named = ("ROOMKEEPER_STORE__TLS_CA", ca.as_str());
    for (env, code, part) in [
        (
            &[url, system][..],
            0,
            "trusts the system's authorities, no client".to_owned(),
        ),
        (&[url, none, named], 0, format!("trusts {ca}, no client")),
        (
            &[url, none],
            64,
            "store.tls_ca: is required: the system has no CA certificates".to_owned(),
        ),
    ] {
        let out = check_example(env);
        let all = text(&out.stdout) + &text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{all}");
        assert!(all.contains(&part), "{all}");
        assert!(!all.contains("geheim"), "{all}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for args in [&["--help"][..], &["check", "--help"]] {
        let out = roomkeeper(args, &[]);
        assert_eq!(out.status.code(), Some(0));
        assert!(text(&out.stdout).contains("Usage:"));
    }
    let out = roomkeeper(&["--version"], &[]);
    assert_eq!(
        text(&out.stdout),
        format!("roomkeeper {}\n", env!("CARGO_PKG_VERSION"))
    );
}

/// A controller process with its ports; commands run against it.
struct Controller {
    child: std::process::Child,
    _dir: tempfile::TempDir,
    http: u16,
    admin: u16,
}

impl Drop for Controller {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NODE_PASSWORD: &str = "node-password-of-the-test";
const ADMIN_KEY: &str = "operator-key-of-the-test";

impl Controller {
    /// Starts a controller whose node is down.
    fn start(store: &str) -> Self {
        Self::start_with(
            store,
            &format!("127.0.0.1:{}", support::process::free_port()),
        )
    }

    fn start_with(store: &str, node: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (http, admin) = (support::process::free_port(), support::process::free_port());
        let path = dir.path().join("roomkeeper.toml");
        let config = format!(
            "[http]\nlisten = \"127.0.0.1:{http}\"\nadmin_listen = \"127.0.0.1:{admin}\"\nadmin_key = \"{ADMIN_KEY}\"\n\
             [store]\nurl = \"{store}\"\n\
             [[nodes]]\nid = \"acW68\"\naddress = \"{node}\"\npassword = \"{NODE_PASSWORD}\"\n"
        );
        std::fs::write(&path, config).expect("the configuration is written");
        let mut command = support::process::command(env!("CARGO_BIN_EXE_roomkeeper"));
        command
            .args(["serve", "--config"])
            .arg(&path)
            .env("ROOMKEEPER_LOG__FILTER", "off")
            .stdin(std::process::Stdio::null());
        let controller = Self {
            child: support::process::spawn(command),
            _dir: dir,
            http,
            admin,
        };
        until("the controller listens", || {
            std::net::TcpStream::connect(("127.0.0.1", http)).is_ok()
        });
        controller
    }

    fn app(&self, args: &[&str]) -> Output {
        let admin = format!("http://127.0.0.1:{}", self.admin);
        let mut all = vec!["app"];
        all.extend(args);
        all.extend(["--admin", &admin]);
        roomkeeper(&all, &[("ROOMKEEPER_ADMIN_KEY", ADMIN_KEY)])
    }

    /// Runs a successful command and parses its JSON.
    fn app_json(&self, args: &[&str]) -> serde_json::Value {
        let mut all = args.to_vec();
        all.push("--json");
        let out = self.app(&all);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        serde_json::from_slice(&out.stdout).expect("JSON")
    }

    /// The API's status for a key.
    fn status(&self, app: &str, key: &str) -> u16 {
        self.get("conferences", app, key)[9..12]
            .parse()
            .expect("a status")
    }

    /// The API's response, head and body.
    fn get(&self, what: &str, app: &str, key: &str) -> String {
        use std::io::{Read, Write};
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", self.http)).expect("the controller listens");
        let request = format!(
            "GET /api/v1/{what} HTTP/1.1\r\nhost: test\r\nconnection: close\r\nx-app-id: {app}\r\nx-api-key: {key}\r\n\r\n"
        );
        stream
            .write_all(request.as_bytes())
            .expect("the request is sent");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the response is read");
        answer
    }
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !look() {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(20),
            "timed out: {what}"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn key(answer: &serde_json::Value) -> String {
    answer["api_key"].as_str().expect("a key").to_owned()
}

#[test]
fn app_keys_rotate_and_end_with_disable() {
    let controller = Controller::start("memory:");
    let opens = |keys: &[String]| -> Vec<u16> {
        keys.iter()
            .map(|key| controller.status("acme", key))
            .collect()
    };
    let out = controller.app(&["list"]);
    assert!(
        text(&out.stdout).contains("no apps yet"),
        "{}",
        text(&out.stdout)
    );

    let mut keys = vec![key(
        &controller.app_json(&["add", "acme", "--did", "100", "--did", "101"])
    )];
    assert_eq!(opens(&keys), [200]);
    keys.push(key(&controller.app_json(&["rotate-key", "acme"])));
    assert_eq!(opens(&keys), [200, 200], "the previous key stays active");
    keys.push(key(&controller.app_json(&["rotate-key", "acme"])));
    assert_eq!(
        opens(&keys),
        [401, 200, 200],
        "the oldest key is no longer valid"
    );

    let out = controller.app(&["list"]);
    let table = text(&out.stdout);
    assert!(table.starts_with("APP "), "{table}");
    assert!(
        table.contains("acme") && table.contains("active") && table.contains("100,101"),
        "{table}"
    );
    for key in &keys {
        assert!(!table.contains(&key[3..]), "{table}");
    }
    for (args, words, limit) in [
        (
            &["rate-limit", "acme", "7"][..],
            "7 requests per second",
            7.into(),
        ),
        (
            &["rate-limit", "acme"],
            "configured default",
            serde_json::Value::Null,
        ),
    ] {
        let out = controller.app(args);
        assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
        let shown = text(&out.stdout);
        assert!(shown.contains(words), "{shown}");
        assert_eq!(
            controller.app_json(&["list"])["apps"][0]["rate_limit"],
            limit
        );
    }
    let out = controller.app(&["disable", "acme"]);
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
    assert_eq!(opens(&keys), [401, 401, 401]);
    assert_eq!(controller.app_json(&["list"])["apps"][0]["disabled"], true);
}

#[test]
fn failures_have_reason_and_exit_code() {
    let controller = Controller::start("memory:");
    let out = controller.app(&["add", "acme", "--webhook-url", "http://127.0.0.1/"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        text(&out.stderr).contains("webhook_url"),
        "{}",
        text(&out.stderr)
    );
    let out = controller.app(&["add", "acme"]);
    let shown = text(&out.stdout);
    assert!(
        shown.contains("API key: rk_") && shown.contains("not shown again"),
        "{shown}"
    );
    for (args, words) in [
        (["add", "acme"], "there is already an app acme"),
        (["disable", "nobody"], "there is no app nobody"),
    ] {
        let out = controller.app(&args);
        assert_eq!(out.status.code(), Some(1));
        assert!(text(&out.stderr).contains(words), "{}", text(&out.stderr));
        assert!(out.stdout.is_empty());
    }
    let admin = format!("http://127.0.0.1:{}", controller.admin);
    let wrong = [("ROOMKEEPER_ADMIN_KEY", "wrong")];
    let out = roomkeeper(&["app", "list", "--admin", &admin], &wrong);
    assert_eq!(out.status.code(), Some(77), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("--admin-key"));
    // The API listener does not serve admin requests.
    let api = format!("http://127.0.0.1:{}", controller.http);
    let out = roomkeeper(&["app", "list", "--admin", &api], &[]);
    assert_eq!(out.status.code(), Some(1), "{}", text(&out.stderr));
    let unused = format!("http://127.0.0.1:{}", support::process::free_port());
    let out = roomkeeper(&["app", "list", "--admin", &unused], &[]);
    assert_eq!(out.status.code(), Some(69), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("no response from"));
    let out = roomkeeper(&["app", "add", "not an id"], &[]);
    assert_eq!(out.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_share_app_changes_through_redis() {
    let server = support::redis::RedisServer::start().await;
    two_controllers_share(&server.url());
}

#[tokio::test(flavor = "multi_thread")]
async fn controllers_share_app_changes_through_sentinels_and_cluster() {
    let sentinels = support::redis::Sentinels::start(1).await;
    two_controllers_share(&sentinels.url());
    let cluster = support::redis::Cluster::start().await;
    two_controllers_share(&cluster.url());
}

fn two_controllers_share(store: &str) {
    tokio::task::block_in_place(|| {
        let (one, two) = (Controller::start(store), Controller::start(store));
        let within = |what: &str, look: &mut dyn FnMut() -> bool| {
            let start = std::time::Instant::now();
            until(what, look);
            let took = start.elapsed();
            // The documented time is a second; a busy machine may take longer.
            assert!(
                took < std::time::Duration::from_secs(10),
                "{what}: {took:?}"
            );
        };
        let first = key(&one.app_json(&["add", "acme", "--did", "100"]));
        assert_eq!(
            one.status("acme", &first),
            200,
            "valid at once on the controller that created it"
        );
        within("the app is known", &mut || {
            two.status("acme", &first) == 200
        });
        let second = key(&two.app_json(&["rotate-key", "acme"]));
        within("the key is known", &mut || {
            one.status("acme", &second) == 200
        });
        let out = two.app(&["add", "beta", "--did", "100"]);
        assert_eq!(out.status.code(), Some(1), "the number belongs to acme");
        one.app_json(&["disable", "acme"]);
        within("it is closed", &mut || two.status("acme", &second) == 401);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn number_belongs_to_app_from_its_creation() {
    let mut config = freeswitch_sim::SimConfig::default();
    config.node.password = NODE_PASSWORD.to_owned();
    let sim = freeswitch_sim::SimNode::start(config)
        .await
        .expect("the node listens");
    tokio::task::block_in_place(|| {
        let controller = Controller::start_with("memory:", &sim.addr.to_string());
        let before = key(&controller.app_json(&["add", "before"]));
        // A call without an owner.
        sim.call_in("100", "527121101", &[]);
        let added = key(&controller.app_json(&["add", "acme", "--did", "100"]));
        let calls = |app: &str, key: &str| {
            let answer = controller.get("sessions", app, key);
            answer.matches("\"did\":\"100\"").count()
        };
        until("the app owns the earlier call", || {
            calls("acme", &added) == 1
        });
        sim.call_in("100", "527121102", &[]);
        until("a new call is the app's", || calls("acme", &added) == 2);
        assert_eq!(calls("before", &before), 0);
        controller.app_json(&["disable", "acme"]);
        assert_eq!(controller.status("acme", &added), 401);
        assert_eq!(sim.snapshot().channels.len(), 2, "its calls stay");
    });
}
