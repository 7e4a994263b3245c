//! Reads docker-compose.yml as Compose does, and checks its properties.

mod phones;

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use roomkeeper::config::Config;
use yaml_rust2::{Yaml, YamlLoader, yaml::Hash};

use super::{read, root, say};
use crate::program::controller::binary;
use crate::support::process;

/// A service after merging, with every variable at its default.
#[derive(Clone, Debug)]
pub struct Service {
    pub command: Vec<String>,
    pub environment: BTreeMap<String, String>,
    all: Yaml,
}

impl Service {
    pub fn image(&self) -> &str {
        self.all["image"].as_str().expect("a service has an image")
    }
}

/// The whole file.
pub struct Compose {
    pub services: BTreeMap<String, Service>,
    all: Yaml,
    /// Each replaced `${…}`.
    variables: Vec<String>,
}

impl Compose {
    pub fn load() -> Self {
        let documents = YamlLoader::load_from_str(&read("docker-compose.yml")).unwrap();
        let [document] = documents.as_slice() else {
            panic!("{} documents", documents.len());
        };
        let mut variables = Vec::new();
        let all = resolved(document, &mut variables);
        let services = all["services"].as_hash().unwrap();
        let services = services.iter().map(|(name, service)| {
            let environment = service["environment"].as_hash().cloned();
            let environment = environment.unwrap_or_default();
            let service = Service {
                command: strings(&service["command"]),
                environment: environment
                    .iter()
                    .map(|(name, value)| (text(name), text(value)))
                    .collect(),
                all: service.clone(),
            };
            (text(name), service)
        });
        Self {
            services: services.collect(),
            all: all.clone(),
            variables,
        }
    }

    pub fn service(&self, name: &str) -> &Service {
        let service = self.services.get(name);
        service.unwrap_or_else(|| panic!("there is no service {name}"))
    }
}

/// Returns a scalar as a container gets it.
fn text(yaml: &Yaml) -> String {
    let number = yaml.as_i64().map(|number| number.to_string());
    let text = yaml.as_str().map(str::to_owned).or(number);
    text.unwrap_or_else(|| panic!("{yaml:?} is not a text: quote it"))
}

fn strings(yaml: &Yaml) -> Vec<String> {
    yaml.as_vec()
        .map(|list| list.iter().map(text).collect())
        .unwrap_or_default()
}

/// Merges `<<` and replaces variables, Compose's only additions to YAML.
fn resolved(yaml: &Yaml, variables: &mut Vec<String>) -> Yaml {
    if let Some(text) = yaml.as_str() {
        return Yaml::String(interpolated(text, variables));
    }
    if let Some(list) = yaml.as_vec() {
        return Yaml::Array(list.iter().map(|item| resolved(item, variables)).collect());
    }
    let Some(map) = yaml.as_hash() else {
        return yaml.clone();
    };
    let mut merged = Hash::new();
    let merge = Yaml::String("<<".to_owned());
    if let Some(base) = map.get(&merge) {
        let base = resolved(base, variables);
        merged.extend(base.into_hash().expect("only maps are merged"));
    }
    for (key, value) in map.iter().filter(|(key, _)| **key != merge) {
        merged.insert(key.clone(), resolved(value, variables));
    }
    Yaml::Hash(merged)
}

/// Replaces `${NAME:-default}` by its default and `$$` by `$`. Any other use of `$` is an error.
fn interpolated(text: &str, variables: &mut Vec<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let inside = after.strip_prefix('{').and_then(|a| a.split_once('}'));
        let (inside, after) = inside.unwrap_or_else(|| panic!("{text:?}: $ without braces"));
        let (name, default) = inside
            .split_once(":-")
            .unwrap_or_else(|| panic!("{text:?}: {inside} has no default"));
        let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(name.chars().all(is_name), "{text:?}: {name} is not a name");
        assert!(!default.is_empty(), "{text:?}: {name} is empty by default");
        variables.push(name.to_owned());
        out.push_str(default);
        rest = after;
    }
    out + rest
}

#[test]
fn variables_are_replaced_as_compose_does() {
    let mut found = Vec::new();
    let out = interpolated("a${B:-c:-d}$$e${F_1:-g}", &mut found);
    assert_eq!(out, "ac:-d$eg");
    assert_eq!(found, ["B", "F_1"]);
    for bad in ["$A", "${A}", "${A:-}", "${a:-b}"] {
        let caught = std::panic::catch_unwind(|| interpolated(bad, &mut Vec::new()));
        assert!(caught.is_err(), "{bad} was accepted");
    }
}

#[test]
fn services_are_those_of_an_installation() {
    let compose = Compose::load();
    let names: BTreeSet<&str> = compose.services.keys().map(String::as_str).collect();
    let expected = [
        "callers",
        "freeswitch-1",
        "freeswitch-2",
        "grafana",
        "phones",
        "prometheus",
        "proxy",
        "receiver",
        "redis",
        "roomkeeper-1",
        "roomkeeper-2",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for (name, service) in &compose.services {
        let profiles = strings(&service.all["profiles"]);
        let wanted = match name.as_str() {
            "grafana" | "prometheus" => vec!["monitoring"],
            "phones" => vec!["phones"],
            _ => vec![],
        };
        assert_eq!(profiles, wanted, "{name}");
        for other in needed(&service.all["depends_on"]) {
            assert!(
                compose.services.contains_key(&other),
                "{name} needs {other}"
            );
        }
    }
    // Two services of one kind differ only in their location.
    for (one, two) in [
        ("roomkeeper-1", "roomkeeper-2"),
        ("freeswitch-1", "freeswitch-2"),
    ] {
        let [mut one, mut two] = [one, two].map(|name| compose.service(name).all.clone());
        for service in [&mut one, &mut two] {
            let Yaml::Hash(map) = service else {
                panic!("a service is a map");
            };
            // One of the services on our image builds it.
            for place in ["ports", "networks", "build"] {
                map.remove(&Yaml::String(place.to_owned()));
            }
            let environment = map.get_mut(&Yaml::String("environment".to_owned()));
            if let Some(Yaml::Hash(environment)) = environment {
                environment.remove(&Yaml::String("RK_SIP_IP".to_owned()));
            }
        }
        assert_eq!(one, two);
    }
}

fn needed(yaml: &Yaml) -> Vec<String> {
    match yaml.as_hash() {
        Some(map) => map.keys().map(text).collect(),
        None => strings(yaml),
    }
}

#[test]
fn every_service_has_a_health_check_and_limits() {
    for (name, service) in Compose::load().services {
        let all = &service.all;
        assert_eq!(all["restart"].as_str(), Some("unless-stopped"), "{name}");
        assert!(
            all["stop_grace_period"].as_str().is_some(),
            "{name} may be cut off"
        );
        assert!(
            all["mem_limit"].as_str().is_some(),
            "{name} has no memory limit"
        );
        assert!(
            all["logging"]["options"]["max-size"].as_str().is_some(),
            "{name}"
        );
        let health = &all["healthcheck"];
        if name == "callers" {
            // The callers have no listener. Compose 2.26 ends "up --wait" with an error at a service whose check is
            // disabled, and without a check waits until the service runs.
            assert!(health.is_badvalue(), "{name}: {health:?}");
            continue;
        }
        assert!(
            strings(&health["test"]).len() >= 2,
            "{name} has no health check"
        );
        for key in ["interval", "timeout", "retries"] {
            assert!(!health[key].is_badvalue(), "{name}: no {key}");
        }
    }
    // A controller's grace period is longer than its own time to stop.
    let compose = Compose::load();
    let grace = &compose.service("roomkeeper-1").all["stop_grace_period"];
    let seconds: u32 = grace
        .as_str()
        .unwrap()
        .strip_suffix('s')
        .unwrap()
        .parse()
        .unwrap();
    assert!(seconds > 10, "{seconds} s");
}

#[test]
fn ports_are_published_on_loopback_only() {
    let mut ports = BTreeSet::new();
    for (name, service) in Compose::load().services {
        for port in strings(&service.all["ports"]) {
            let parts: Vec<&str> = port.split(':').collect();
            let [address, outside, _inside] = parts.as_slice() else {
                panic!("{name} publishes {port}");
            };
            assert_eq!(*address, "127.0.0.1", "{name} publishes {port}");
            let (_, protocol) = port.split_once('/').unwrap_or((&port, "tcp"));
            assert!(
                ports.insert((protocol.to_owned(), (*outside).to_owned())),
                "{outside} is published twice"
            );
        }
        assert!(service.all["network_mode"].is_badvalue(), "{name}");
        assert!(service.all["privileged"].is_badvalue(), "{name}");
    }
    assert!(ports.len() >= 5, "{ports:?}");
}

#[test]
fn nodes_fetch_audio_only_from_the_controllers() {
    let path = root().join("docker/roomkeeper.toml");
    let config = Config::load(&path, std::iter::empty()).unwrap();
    assert!(!config.play.allow_private);
    let proxy = config.play.proxy.expect("the proxy is used");
    let compose = Compose::load();
    for name in ["roomkeeper-1", "roomkeeper-2"] {
        let service = &compose.service(name).all;
        let aliases = strings(&service["networks"]["rooms"]["aliases"]);
        assert_eq!(aliases, [proxy.url.host()], "{name}");
        // Its own files are read-only, so the audio needs a tmpfs.
        let [folder] = strings(&service["tmpfs"]).try_into().unwrap();
        let (folder, options) = folder.split_once(':').unwrap();
        assert_eq!(folder, "/tmp", "{name}");
        let size = options.strip_prefix("size=").unwrap();
        let size: u64 = size.split_once('m').unwrap().0.parse().unwrap();
        assert!(size << 20 > proxy.bytes, "{name}: {size} MiB");
    }
    assert!(proxy.listen.ip().is_unspecified());
    let port = format!(":{}/", proxy.listen.port());
    assert!(proxy.url.as_str().ends_with(&port), "{}", proxy.url);
}

#[test]
fn every_image_has_a_version_tag() {
    let mut builders = Vec::new();
    for (name, service) in Compose::load().services {
        let image = service.all["image"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} has no image"));
        let tag = image.rsplit('/').next().unwrap().split_once(':');
        let (_, tag) = tag.unwrap_or_else(|| panic!("{name}: {image} has no tag"));
        assert_ne!(tag, "latest", "{name}");
        let ours = image == "roomkeeper:lab";
        // Our image is in no registry.
        let pulled = service.all["pull_policy"].as_str() != Some("never");
        assert_eq!(pulled, !ours, "{name}: {image}");
        if !service.all["build"].is_badvalue() {
            assert!(ours, "{name}: {image}");
            assert_eq!(service.all["build"].as_str(), Some("."), "{name}");
            builders.push(name);
        }
    }
    // Each service that builds gets its own image, labelled with its name; the last one has the tag, and the next "up"
    // would recreate the containers of the others.
    assert_eq!(builders.len(), 1, "{builders:?}");
}

#[test]
fn freeswitch_gets_the_stop_signal_and_logs_to_stdout() {
    for name in ["freeswitch-1", "freeswitch-2", "phones"] {
        let compose = Compose::load();
        let service = compose.service(name);
        // The container's first process is FreeSWITCH, so that a stop reaches it and waits until it has hung up its
        // calls, and it may open the container's output. The images' own scripts end before it and start it as another
        // user.
        let entrypoint = strings(&service.all["entrypoint"]);
        assert_eq!(entrypoint, ["freeswitch", "-nonat", "-nf", "-nc"], "{name}");
        // The command adds no arguments.
        assert!(service.command.is_empty(), "{name}: {:?}", service.command);
        let user = &service.all["user"];
        assert!(user.is_badvalue(), "{name}: {user:?}");
        let log = service.environment.get("RK_LOG_FILE").map(String::as_str);
        assert_eq!(log, Some("/dev/stdout"), "{name}");
    }
}

#[test]
fn mounted_paths_exist_and_are_read_only() {
    let compose = Compose::load();
    let volumes = compose.all["volumes"].as_hash().unwrap();
    let configs = compose.all["configs"].as_hash().unwrap();
    for (name, service) in &compose.services {
        for volume in strings(&service.all["volumes"]) {
            let (source, inside) = volume.split_once(':').unwrap();
            match source.strip_prefix("./") {
                Some(file) => {
                    assert!(root().join(file).exists(), "{name} mounts {source}");
                    assert!(inside.ends_with(":ro"), "{name} could change {source}");
                }
                None => {
                    let known = volumes.contains_key(&Yaml::String(source.to_owned()));
                    assert!(known, "{name} mounts {source}");
                }
            }
        }
        for config in service.all["configs"].as_vec().into_iter().flatten() {
            assert!(
                configs.contains_key(&config["source"]),
                "{name}: {config:?}"
            );
        }
    }
}

#[test]
fn every_secret_is_a_lab_default_and_can_be_replaced() {
    let compose = Compose::load();
    let text = read("docker-compose.yml");
    for word in ["PASSWORD", "KEY", "SECRET"] {
        for line in text
            .lines()
            .filter(|line| line.contains(&format!("{word}: ")))
        {
            let value = line.split_once(": ").unwrap().1;
            let replaceable = value.starts_with("${RK_") && value.contains(":-");
            let lab = value.contains(":-lab-") || value.contains(":-whsec_");
            assert!(replaceable && lab, "{line}");
        }
    }
    for name in [
        "RK_ESL_PASSWORD",
        "RK_ADMIN_KEY",
        "RK_API_KEY",
        "RK_WEBHOOK_SECRET",
        "RK_RELAY_KEY",
    ] {
        assert!(compose.variables.iter().any(|v| v == name), "{name}");
    }
    // A variable has the same default wherever it is used.
    let mut defaults: BTreeMap<&str, &str> = BTreeMap::new();
    for rest in text.split("${").skip(1) {
        let (name, default) = rest.split_once('}').unwrap().0.split_once(":-").unwrap();
        let first = *defaults.entry(name).or_insert(default);
        assert_eq!(first, default, "{name}");
    }
}

#[test]
fn addresses_and_secrets_of_services_agree() {
    let compose = Compose::load();
    let controller = &compose.service("roomkeeper-1").environment;
    let vars = read("freeswitch-conf/vars.xml");
    for (n, node) in ["freeswitch-1", "freeswitch-2"].into_iter().enumerate() {
        let theirs = &compose.service(node).environment;
        assert_eq!(
            theirs["RK_ESL_PASSWORD"],
            controller[&format!("ROOMKEEPER_NODES__{n}__PASSWORD")]
        );
        assert_eq!(
            controller[&format!("ROOMKEEPER_NODES__{n}__ADDRESS")],
            format!("{node}:8021")
        );
        assert_eq!(theirs["RK_RELAY_KEY"], controller["ROOMKEEPER_RELAY__KEY"]);
        assert_eq!(
            controller[&format!("ROOMKEEPER_NODES__{n}__RELAY")],
            format!("{}:5090", theirs["RK_SIP_IP"])
        );
        // The container reads the variables that the file sets.
        for name in theirs.keys() {
            assert!(
                vars.contains(&format!("=${name}\"")),
                "no configuration reads {name}"
            );
        }
        let callers = compose.service("callers");
        assert_eq!(
            callers.environment["RK_ESL_PASSWORD"],
            theirs["RK_ESL_PASSWORD"]
        );
        assert!(callers.command.contains(&format!("{node}:8021")));
    }
    let receiver = compose.service("receiver");
    assert_eq!(
        receiver.environment["ROOMKEEPER_LAB_SECRET"],
        controller["ROOMKEEPER_APPS__0__WEBHOOKS__0__SECRET"]
    );
    let key = compose.all["configs"]["admin-key"]["content"].as_str();
    assert_eq!(key, Some(controller["ROOMKEEPER_HTTP__ADMIN_KEY"].as_str()));
    let prometheus = read("docker/prometheus/prometheus.yml");
    let target = &compose.service("prometheus").all["configs"][0]["target"];
    assert!(prometheus.contains(target.as_str().unwrap()));
    for yaml in [
        "docker/prometheus/prometheus.yml",
        "docker/grafana/provisioning/datasources/prometheus.yml",
        "docker/grafana/provisioning/dashboards/roomkeeper.yml",
    ] {
        assert_eq!(
            YamlLoader::load_from_str(&read(yaml)).unwrap().len(),
            1,
            "{yaml}"
        );
    }
    for service in ["roomkeeper-1", "roomkeeper-2"] {
        assert!(prometheus.contains(&format!("{service}:9090")), "{service}");
    }
}

/// Returns the result of `roomkeeper check` on the lab's configuration with this environment.
fn check(environment: &BTreeMap<String, String>) -> (bool, String) {
    let mut command = binary();
    command
        .args(["check", "--config"])
        .arg(root().join("docker/roomkeeper.toml"))
        .envs(environment)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let done = process::spawn(command).wait_with_output().unwrap();
    let output = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(output).unwrap())
}

#[test]
fn controllers_accept_their_configuration() {
    let compose = Compose::load();
    let (good, alone) = check(&BTreeMap::new());
    assert!(good, "{alone}");
    let (good, output) = check(&compose.service("roomkeeper-1").environment);
    assert!(good, "{output}");
    // Both configurations agree where they set the same key.
    assert_eq!(output, alone);
    let bad = [(
        "ROOMKEEPER_NODES__1__ADDRESS".to_owned(),
        "nowhere".to_owned(),
    )];
    assert!(!check(&bad.into()).0, "the check can fail");
}

#[test]
fn compose_accepts_the_file() {
    let compose = |args: &[&str]| {
        let mut command = Command::new("docker");
        command.args(["compose", "--file"]);
        command.arg(root().join("docker-compose.yml")).args(args);
        command.output()
    };
    // Without the plugin, `docker` takes these arguments for its own.
    let version = Command::new("docker").args(["compose", "version"]).output();
    if !version.is_ok_and(|done| done.status.success()) {
        say("No docker compose is installed: docker-compose.yml was checked without it.\n");
        return;
    }
    for profile in [
        &[][..],
        &["--profile", "monitoring"],
        &["--profile", "phones"],
    ] {
        let done = compose(&[profile, &["config", "--quiet"]].concat());
        let done = done.unwrap();
        let output = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{output}");
    }
}
