//! The files of `deploy/`: the names, ports and paths in them are those of the program, the image and the package.
//! `tests/kubernetes` validates the manifests against the schemas of Kubernetes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use figment::Figment;
use figment::providers::{Format, Toml};
use roomkeeper::config::{Config, KEYS};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::{exists, read, root};

const KUBERNETES: &str = "deploy/kubernetes";
const OVERLAY: &str = "deploy/kubernetes/overlays/example";
const UNIT: &str = "deploy/systemd/roomkeeper.service";

/// The seconds that the program takes to stop, at most.
const SHUTDOWN: i64 = 10;

/// The documents of a file.
fn yaml(path: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&read(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The YAML files below a folder.
fn yaml_files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            found.extend(yaml_files(&path));
        } else if path.ends_with(".yaml") {
            found.push(path);
        }
    }
    found
}

/// All objects except those for kustomize itself.
fn objects() -> Vec<Yaml> {
    let files = yaml_files(KUBERNETES).into_iter();
    let files = files.filter(|path| !path.ends_with("/kustomization.yaml"));
    let objects: Vec<Yaml> = files.flat_map(|path| yaml(&path)).collect();
    assert!(objects.len() >= 12, "{}", objects.len());
    objects
}

fn of_kind<'a>(objects: &'a [Yaml], kind: &str) -> Vec<&'a Yaml> {
    let found: Vec<&Yaml> = objects
        .iter()
        .filter(|object| text(&object["kind"]) == kind)
        .collect();
    assert!(!found.is_empty(), "no {kind}");
    found
}

fn text(yaml: &Yaml) -> &str {
    yaml.as_str().unwrap_or_default()
}

fn list(yaml: &Yaml) -> impl Iterator<Item = &Yaml> {
    yaml.as_vec().into_iter().flatten()
}

/// The pod of the base.
fn pod() -> Yaml {
    yaml("deploy/kubernetes/base/deployment.yaml")[0]["spec"]["template"].clone()
}

fn container(pod: &Yaml) -> &Yaml {
    &pod["spec"]["containers"][0]
}

/// The containers of the base and of the component.
fn containers() -> Vec<Yaml> {
    let deployments = objects();
    let deployments = of_kind(&deployments, "Deployment");
    let containers = deployments
        .iter()
        .flat_map(|d| list(&d["spec"]["template"]["spec"]["containers"]));
    containers.cloned().collect()
}

/// The named ports of all containers.
fn ports() -> BTreeMap<String, u16> {
    let containers = containers();
    let ports = containers.iter().flat_map(|c| list(&c["ports"]));
    ports
        .map(|port| {
            let number = port["containerPort"].as_i64().unwrap();
            (
                text(&port["name"]).to_owned(),
                u16::try_from(number).unwrap(),
            )
        })
        .collect()
}

/// The variables of a file of `NAME=value` lines.
fn variables(path: &str) -> Vec<(String, String)> {
    let text = read(path);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.map(|line| {
        line.split_once('=')
            .unwrap_or_else(|| panic!("{path}: {line}"))
    });
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The same variables with secrets in place of their placeholders.
fn filled(variables: Vec<(String, String)>) -> Vec<(String, String)> {
    let variables = variables.into_iter();
    variables
        .map(|(name, value)| (name, value.replace("replace-me", "a-secret")))
        .collect()
}

/// The configuration of the overlay, with its secrets.
fn overlay_config() -> Config {
    let secrets = filled(variables(&format!("{OVERLAY}/secrets.env")));
    Config::from_text(&read(&format!("{OVERLAY}/roomkeeper.toml")), secrets).unwrap()
}

/// Runs `roomkeeper check` on a file with these variables alone. Returns its errors.
fn check(path: &str, variables: &[(String, String)]) -> Result<(), String> {
    let done = Command::new(env!("CARGO_BIN_EXE_roomkeeper"))
        .args(["check", "--config"])
        .arg(root().join(path))
        .env_clear()
        .envs(variables.iter().map(|(k, v)| (k, v)))
        .output()
        .unwrap();
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

/// The key that a variable replaces, as `config::KEYS` writes it.
fn key_of(variable: &str) -> String {
    let path = variable.strip_prefix("ROOMKEEPER_").unwrap();
    let steps: Vec<&str> = path.split("__").collect();
    let mut key = String::new();
    for step in steps {
        if step.parse::<usize>().is_ok() {
            key.push_str("[]");
        } else {
            let dot = if key.is_empty() { "" } else { "." };
            key = format!("{key}{dot}{}", step.to_lowercase());
        }
    }
    key
}

/// The manifest's metadata for cargo-deb.
fn package() -> Value {
    let manifest = Figment::from(Toml::string(&read("Cargo.toml")));
    let manifest: Value = manifest.extract().unwrap();
    manifest["package"]["metadata"]["deb"].clone()
}

/// The path of each packed file on the system, and its source.
fn assets() -> Vec<(String, String)> {
    let package = package();
    let assets = package["assets"].as_array().unwrap().iter();
    let assets = assets.map(|asset| {
        let source = asset[0].as_str().unwrap();
        let to = asset[1].as_str().unwrap();
        let name = source.rsplit('/').next().unwrap();
        let path = if to.ends_with('/') {
            format!("/{to}{name}")
        } else {
            format!("/{to}")
        };
        (path, source.to_owned())
    });
    assets.collect()
}

/// The values of a setting of the unit.
fn unit(setting: &str) -> Vec<String> {
    let unit = read(UNIT);
    let prefix = format!("{setting}=");
    let values = unit.lines().filter_map(|line| line.strip_prefix(&prefix));
    values.map(str::to_owned).collect()
}

fn seconds(text: &str) -> i64 {
    text.trim_end_matches('s').parse().unwrap()
}

#[test]
fn shipped_configurations_pass_the_check_once_their_secrets_are_set() {
    for (config, secrets) in [
        (
            format!("{OVERLAY}/roomkeeper.toml"),
            format!("{OVERLAY}/secrets.env"),
        ),
        (
            "deploy/debian/roomkeeper.toml".to_owned(),
            "deploy/debian/roomkeeper.env".to_owned(),
        ),
    ] {
        let secrets = variables(&secrets);
        let errors = check(&config, &secrets).unwrap_err();
        let placeholders = errors.matches("is still the example's placeholder").count();
        assert_eq!(placeholders, secrets.len(), "{errors}");
        check(&config, &filled(secrets)).unwrap();
    }
}

#[test]
fn configuration_of_the_package_listens_on_loopback() {
    let secrets = filled(variables("deploy/debian/roomkeeper.env"));
    let config = Config::from_text(&read("deploy/debian/roomkeeper.toml"), secrets).unwrap();
    assert!(config.http.listen.ip().is_loopback());
    assert!(config.http.admin_listen.ip().is_loopback());
}

#[test]
fn variables_name_keys_of_the_configuration() {
    let secrets = variables(&format!("{OVERLAY}/secrets.env"));
    let secrets: BTreeSet<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    let debian = variables("deploy/debian/roomkeeper.env");
    for name in secrets
        .iter()
        .copied()
        .chain(debian.iter().map(|(n, _)| n.as_str()))
    {
        let key = key_of(name);
        assert!(KEYS.iter().any(|k| k.key == key), "{name} names no key");
    }
    // A container's own variables: those of the command line, or of the configuration, from the Secret.
    let mut command = roomkeeper::cli::Arguments::command();
    command.build();
    let commands = command.get_subcommands();
    let of_client: BTreeSet<&str> = commands
        .flat_map(|command| command.get_arguments())
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let mut seen = 0;
    for container in &containers() {
        for variable in list(&container["env"]) {
            let name = text(&variable["name"]);
            let is_known = of_client.contains(name) || secrets.contains(name);
            assert!(is_known, "nothing reads {name}");
            let key = text(&variable["valueFrom"]["secretKeyRef"]["key"]);
            assert!(secrets.contains(key), "{name}: the Secret has no {key}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

#[test]
fn ports_are_those_of_the_configuration() {
    let config = overlay_config();
    let ports = ports();
    let proxy = config.play.proxy.as_ref().unwrap();
    assert_eq!(ports["api"], config.http.listen.port());
    assert_eq!(ports["admin"], config.http.admin_listen.port());
    assert_eq!(ports["media"], proxy.listen.port());
    let image = read("Dockerfile");
    let exposed = super::between(&image, "EXPOSE ", "\n");
    for name in ["api", "admin", "media"] {
        let number = ports[name].to_string();
        assert!(exposed.split(' ').any(|p| p == number), "{name} {number}");
    }
    // Prometheus' port is that of the second container, which asks the admin listener.
    let haproxy = read("deploy/kubernetes/components/service-monitor/haproxy.cfg");
    assert_eq!(
        super::between(&haproxy, "bind :", "\n"),
        ports["metrics"].to_string()
    );
    let asked = super::between(&haproxy, "server roomkeeper 127.0.0.1:", "\n");
    assert_eq!(asked, ports["admin"].to_string());

    let objects = objects();
    let mut service_ports = BTreeMap::new();
    for service in of_kind(&objects, "Service") {
        for port in list(&service["spec"]["ports"]) {
            let target = text(&port["targetPort"]);
            assert!(ports.contains_key(target), "{service:?}");
            service_ports.insert(text(&port["name"]), port["port"].as_i64().unwrap());
        }
    }
    for monitor in of_kind(&objects, "ServiceMonitor") {
        for endpoint in list(&monitor["spec"]["endpoints"]) {
            assert!(service_ports.contains_key(text(&endpoint["port"])));
        }
    }
    // The nodes reach the media proxy at the port of its Service.
    let url = url_port(proxy.url.as_str());
    assert_eq!(service_ports["media"], url);

    let mut egress = BTreeSet::new();
    for policy in of_kind(&objects, "NetworkPolicy") {
        for rule in list(&policy["spec"]["ingress"]) {
            for port in list(&rule["ports"]) {
                assert!(ports.contains_key(text(&port["port"])), "{policy:?}");
            }
        }
        for rule in list(&policy["spec"]["egress"]) {
            egress.extend(list(&rule["ports"]).map(|port| port["port"].as_i64().unwrap()));
        }
    }
    let secrets = variables(&format!("{OVERLAY}/secrets.env"));
    let store = secrets.iter().find(|(name, _)| key_of(name) == "store.url");
    let mut needed = BTreeSet::from([53, 80, 443, url_port(&store.unwrap().1)]);
    for node in &config.nodes {
        let address = node.address.to_string();
        needed.insert(address.rsplit(':').next().unwrap().parse().unwrap());
    }
    assert_eq!(egress, needed);
}

/// The port in a URL.
fn url_port(url: &str) -> i64 {
    let (_, rest) = url.split_once("://").unwrap();
    let host = rest.split('/').next().unwrap();
    host.rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn probes_ask_for_routes_of_the_admin_listener() {
    let pod = pod();
    let container = container(&pod);
    for (probe, expected) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        let request = &container[probe]["httpGet"];
        assert_eq!(text(&request["port"]), "admin", "{probe}");
        assert_eq!(text(&request["path"]), expected, "{probe}");
        assert!(exists("GET", expected).await, "{expected}");
    }
    for monitor in of_kind(&objects(), "ServiceMonitor") {
        for endpoint in list(&monitor["spec"]["endpoints"]) {
            let path = text(&endpoint["path"]);
            assert!(exists("GET", path).await, "{path}");
            let haproxy = read("deploy/kubernetes/components/service-monitor/haproxy.cfg");
            assert!(haproxy.contains(&format!("{{ path {path} }}")), "{path}");
        }
    }
}

#[test]
fn pod_fits_the_image_and_the_configuration() {
    let image = read("Dockerfile");
    let pod = pod();
    let container = container(&pod);
    // The image's command reads the mounted file.
    let command = super::between(&image, "CMD [", "]");
    let file = command.rsplit('"').nth(1).unwrap();
    let kustomization = &yaml(&format!("{OVERLAY}/kustomization.yaml"))[0];
    let config = &kustomization["configMapGenerator"][0];
    let mounts: BTreeMap<&str, &str> = list(&container["volumeMounts"])
        .map(|mount| (text(&mount["name"]), text(&mount["mountPath"])))
        .collect();
    assert_eq!(
        file,
        format!("{}/{}", mounts["config"], text(&config["files"][0]))
    );
    let volumes: BTreeMap<&str, &Yaml> = list(&pod["spec"]["volumes"])
        .map(|volume| (text(&volume["name"]), volume))
        .collect();
    assert_eq!(config["name"], volumes["config"]["configMap"]["name"]);
    let secret = &kustomization["secretGenerator"][0]["name"];
    assert_eq!(*secret, container["envFrom"][0]["secretRef"]["name"]);
    assert_eq!(kustomization["images"][0]["name"], container["image"]);
    // The media proxy's files fit into the volume.
    let size = text(&volumes["tmp"]["emptyDir"]["sizeLimit"]);
    let size: u64 = size.strip_suffix("Mi").unwrap().parse().unwrap();
    let bytes = overlay_config().play.proxy.unwrap().bytes;
    assert!(size << 20 > bytes, "{size} Mi and {bytes}");
    assert_eq!(mounts["tmp"], "/tmp");
    // The image's user.
    let user = super::between(&image, "USER ", "\n");
    let context = &pod["spec"]["securityContext"];
    let ids = ["runAsUser", "runAsGroup"].map(|id| context[id].as_i64().unwrap());
    assert_eq!(user, format!("{}:{}", ids[0], ids[1]));
}

#[test]
fn shutdown_has_enough_time() {
    let pod = pod();
    let pause = &container(&pod)["lifecycle"]["preStop"]["exec"]["command"][1];
    let pause = seconds(text(pause));
    let grace = pod["spec"]["terminationGracePeriodSeconds"].as_i64();
    assert!(grace.unwrap() > pause + SHUTDOWN, "{grace:?}");
    assert!(seconds(&unit("TimeoutStopSec")[0]) > SHUTDOWN);
}

#[test]
fn selectors_match_the_pods() {
    let objects = objects();
    let pod = pod();
    let labels = &pod["metadata"]["labels"];
    let matches = |selector: &Yaml, labels: &Yaml| {
        let selector = selector.as_hash().expect("a selector");
        let all = selector.iter().all(|(k, v)| labels[text(k)] == *v);
        assert!(all && !selector.is_empty(), "{selector:?}");
    };
    for kind in ["Service", "NetworkPolicy", "PodDisruptionBudget"] {
        for object in of_kind(&objects, kind) {
            let spec = &object["spec"];
            match kind {
                // The component's patch has none.
                "Service" if spec["selector"].is_badvalue() => {}
                "Service" => matches(&spec["selector"], labels),
                "NetworkPolicy" => matches(&spec["podSelector"]["matchLabels"], labels),
                _ => matches(&spec["selector"]["matchLabels"], labels),
            }
        }
    }
    let monitor = of_kind(&objects, "ServiceMonitor")[0];
    let admin = of_kind(&objects, "Service");
    let admin = admin.iter().find(|s| {
        text(&s["metadata"]["name"]) == "roomkeeper-admin" && !s["spec"]["selector"].is_badvalue()
    });
    let labels = &admin.unwrap()["metadata"]["labels"];
    matches(&monitor["spec"]["selector"]["matchLabels"], labels);
}

#[test]
fn kustomizations_name_existing_files_and_all_of_them() {
    let mut named = BTreeSet::new();
    let files = yaml_files(KUBERNETES);
    let kustomizations = files.iter().filter(|f| f.ends_with("/kustomization.yaml"));
    for path in kustomizations {
        let folder = Path::new(path).parent().unwrap();
        let yaml = &yaml(path)[0];
        let mut files: Vec<&str> = Vec::new();
        for key in ["resources", "components"] {
            files.extend(list(&yaml[key]).map(text));
        }
        files.extend(list(&yaml["patches"]).map(|patch| text(&patch["path"])));
        for key in ["configMapGenerator", "secretGenerator"] {
            for generator in list(&yaml[key]) {
                files.extend(list(&generator["files"]).map(text));
                files.extend(list(&generator["envs"]).map(text));
            }
        }
        for file in files {
            let there = root().join(folder).join(file);
            assert!(there.exists(), "{path} names {file}");
            named.insert(there.canonicalize().unwrap());
        }
    }
    for file in files.iter().filter(|f| !f.ends_with("/kustomization.yaml")) {
        let there = root().join(file).canonicalize().unwrap();
        assert!(named.contains(&there), "no kustomization names {file}");
    }
}

#[test]
fn unit_uses_files_of_the_package() {
    let assets = assets();
    let packed = |path: &str| assets.iter().any(|(to, _)| to == path);
    let [start] = &unit("ExecStart")[..] else {
        panic!("not one ExecStart");
    };
    let words: Vec<&str> = start.split(' ').collect();
    assert!(packed(words[0]), "the package has no {}", words[0]);
    let [serve, option, file] = words[1..] else {
        panic!("{start}");
    };
    assert_eq!((serve, option), ("serve", "--config"));
    let credential = &unit("LoadCredential")[0];
    let (name, source) = credential.split_once(':').unwrap();
    assert_eq!(file, format!("%d/{name}"));
    let package = package();
    let kept = package["conf-files"].as_array().unwrap();
    let environment = &unit("EnvironmentFile")[0];
    for path in [source, environment.trim_start_matches('-')] {
        assert!(packed(path), "the package has no {path}");
        assert!(kept.iter().any(|k| k == path), "an upgrade replaces {path}");
    }
    assert_eq!(kept.len(), 2);
    // Where the client commands read a service's admin key.
    let state = format!("/var/lib/{}/admin-key", unit("StateDirectory")[0]);
    assert!(read("docs/admin-api.md").contains("`/var/lib/roomkeeper`"));
    assert!(read("src/admin_key.rs").contains(&state), "{state}");
    let folder = package["systemd-units"]["unit-scripts"].as_str().unwrap();
    let name = package["systemd-units"]["unit-name"].as_str().unwrap();
    assert_eq!(UNIT, format!("{folder}/{name}.service"));
    // The other files are in the source, or the build script makes them.
    let build = read("deploy/debian/build");
    for (_, source) in &assets {
        let made = source.starts_with("target/");
        assert!(made || root().join(source).exists(), "{source}");
        if let Some(page) = source.strip_prefix("target/deb/") {
            let page = page.split('/').next().unwrap();
            assert!(build.contains(&format!("$pages/{page}")), "{source}");
        }
    }
}
