//! The borders between the crates of the workspace: which crates there are, and what the pure ones never depend on.
//!
//! Cargo refuses a `use` of a crate that is not in the manifest. These tests hold the manifests.
// All of it is a test, also what the lint cannot know to be one.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::process::Command;

/// Libraries of the outside world: runtimes, sockets, databases, HTTP, metrics, randomness.
const OUTSIDE: &[&str] = &[
    "axum",
    "futures-util",
    "hyper",
    "metrics",
    "rand",
    "redis",
    "reqwest",
    "tokio",
    "tokio-util",
    "tower",
    "tracing",
];

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of all crates that a package is built from, itself included.
fn dependencies(package: &str, more: &[&str]) -> BTreeSet<String> {
    let mut args = vec!["tree", "--edges", "normal,build", "--prefix", "none"];
    args.extend(["--package", package]);
    args.extend(more);
    let tree = cargo(&args);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

fn assert_without(found: &BTreeSet<String>, banned: &[&str]) {
    let bad: Vec<_> = banned
        .iter()
        .filter(|name| found.contains(**name))
        .collect();
    assert!(bad.is_empty(), "{bad:?} in {found:?}");
}

#[test]
fn workspace_has_a_crate_for_each_part() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    for name in [
        "freeswitch-esl",
        "freeswitch-sim",
        "roomkeeper",
        "roomkeeper-core",
    ] {
        assert!(names.contains(name), "{name} is not in {names:?}");
    }
}

#[test]
fn core_depends_on_nothing_of_the_outside() {
    let core = dependencies("roomkeeper-core", &[]);
    assert!(core.contains("roomkeeper-core"));
    assert_without(&core, OUTSIDE);
    assert_without(&core, &["freeswitch-esl", "freeswitch-sim"]);
}

#[test]
fn protocol_and_simulator_do_not_know_each_other_or_the_product() {
    let protocol = dependencies("freeswitch-esl", &[]);
    assert_without(
        &protocol,
        &["freeswitch-sim", "roomkeeper", "roomkeeper-core"],
    );
    let simulator = dependencies("freeswitch-sim", &[]);
    assert_without(
        &simulator,
        &["freeswitch-esl", "roomkeeper", "roomkeeper-core"],
    );
}
