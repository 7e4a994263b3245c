//! The images that the files name, compared by `tests/compose-images` with a table of their public Dockerfiles.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::compose::Compose;
use super::{root, say};

/// The files that the script reads.
const FILES: [&str; 5] = [
    "docker-compose.yml",
    "Dockerfile",
    "freeswitch-conf/configuration/core.xml",
    "tests/compose-images",
    "tests/compose-images.json",
];

fn run(project: &Path, arguments: &[&str]) -> Output {
    let mut script = Command::new("python3");
    script
        .arg(project.join("tests/compose-images"))
        .args(arguments)
        .stdin(Stdio::null());
    script.output().expect("python3 starts")
}

/// Copies the files, changes one of them, and returns the script's complaints.
fn complaints(file: &str, from: &str, to: &str) -> String {
    let copy = tempfile::tempdir().unwrap();
    for name in FILES {
        let target = copy.path().join(name);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        let text = fs::read_to_string(root().join(name)).unwrap();
        let text = if name == file {
            assert!(text.contains(from), "{file} has no {from}");
            text.replacen(from, to, 1)
        } else {
            text
        };
        fs::write(target, text).unwrap();
    }
    let done = run(copy.path(), &[]);
    let errors = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{from} → {to}: {errors}");
    errors
}

#[test]
fn files_rely_only_on_what_the_images_have() {
    let done = run(root(), &[]);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{errors}");
    say(&String::from_utf8(done.stdout).unwrap());
}

#[test]
fn script_reads_the_services_that_compose_reads() {
    let done = run(root(), &["--compose"]);
    let read: BTreeMap<String, Vec<String>> = serde_json::from_slice(&done.stdout).unwrap();
    let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, service) in Compose::load().services {
        expected
            .entry(service.image().to_owned())
            .or_default()
            .push(name);
    }
    assert_eq!(read, expected);
}

#[test]
fn unknown_use_of_an_image_is_reported() {
    for (file, from, to, expected) in [
        (
            "docker-compose.yml",
            "redis:7.4-",
            "redis:8.0-",
            "the table has no such image",
        ),
        (
            "docker-compose.yml",
            "redis:/data",
            "redis:/var/data",
            "no path /var/data",
        ),
        (
            "docker-compose.yml",
            "\"redis-cli\"",
            "\"valkey-cli\"",
            "no program valkey-cli",
        ),
        (
            "docker-compose.yml",
            "[\"freeswitch\",",
            "[\"fs\",",
            "no program fs",
        ),
        ("docker-compose.yml", "| grep -q", "| awk", "no program awk"),
        (
            "docker-compose.yml",
            "\"bash\", \"-c\"",
            "\"zsh\", \"-c\"",
            "no program zsh",
        ),
        (
            "freeswitch-conf/configuration/core.xml",
            "mod_opus",
            "mod_g729",
            "no module mod_g729",
        ),
        (
            "freeswitch-conf/configuration/core.xml",
            "<load module=\"mod_shout\"/>",
            "<load module=\"mod_shout\" critical=\"true\"/>",
            "mod_shout is not certain",
        ),
        (
            "Dockerfile",
            "debian:bookworm-slim",
            "debian:trixie-slim",
            "no such image",
        ),
        (
            "Dockerfile",
            "&& cp target/release",
            "&& upx target/release",
            "no program upx",
        ),
        (
            "Dockerfile",
            "ENTRYPOINT [\"roomkeeper\"]",
            "ENTRYPOINT [\"rk\"]",
            "the Dockerfile has no",
        ),
        (
            "tests/compose-images.json",
            "\"commit\": \"e5650",
            "\"commit\": \"5650",
            "no commit",
        ),
        (
            "tests/compose-images.json",
            "\"/data\"",
            "\"/other\"",
            "nothing uses the path /other",
        ),
    ] {
        let errors = complaints(file, from, to);
        assert!(errors.contains(expected), "{from} → {to}: {errors}");
    }
}
