//! The clients in `clients/`: generated from the committed document, and tried against `roomkeeper lab`.
//!
//! The tests that need packages of Python and npm are ignored by default. `tests/run` installs those under
//! `target/clients` and runs them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/process.rs"]
#[allow(dead_code)]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

const PYTHON: &str = "target/clients/python/bin/python";

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The generated files below a folder.
fn generated(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            generated(&path, found);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "py" || kind == "ts")
        {
            found.push(path);
        }
    }
}

#[test]
fn clients_are_generated_from_committed_document() {
    let manifest = std::fs::read(project("clients/generated.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    let document = std::fs::read(project("fixtures/openapi.json")).unwrap();
    assert_eq!(
        manifest["document"],
        hex(&Sha256::digest(&document)),
        "fixtures/openapi.json has changed: run clients/generate"
    );
    let python = project("clients/python/roomkeeper_client");
    let mut files = Vec::new();
    generated(&python.join("generated"), &mut files);
    generated(&project("clients/typescript/src/generated"), &mut files);
    for file in ["generated_events.py", "generated_operations.py"] {
        files.push(python.join(file));
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        let name = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
        hash.update(name.to_str().unwrap());
        hash.update([0]);
        hash.update(std::fs::read(file).unwrap());
    }
    assert_eq!(
        manifest["files"],
        hex(&hash.finalize()),
        "a generated file was edited: run clients/generate"
    );
}

#[test]
fn clients_have_the_version_of_the_api() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, line) in [
        (
            "clients/python/pyproject.toml",
            format!("version = \"{version}\""),
        ),
        (
            "clients/typescript/package.json",
            format!("\"version\": \"{version}\""),
        ),
    ] {
        let text = std::fs::read_to_string(project(file)).unwrap();
        assert!(text.contains(&line), "{file} has another version");
    }
}

fn run(mut command: Command) {
    let status = command
        .env("ROOMKEEPER_BINARY", env!("CARGO_BIN_EXE_roomkeeper"))
        .status();
    assert!(status.unwrap().success(), "{command:?} has failed");
}

#[test]
#[ignore = "needs packages of Python: tests/run installs them"]
fn documents_are_valid_openapi() {
    for document in ["fixtures/openapi.json", "fixtures/openapi-admin.json"] {
        let mut command = process::command(project(PYTHON).to_str().unwrap());
        command
            .args(["-m", "openapi_spec_validator", "--schema", "3.1"])
            .arg(project(document));
        run(command);
    }
}

#[test]
#[ignore = "needs packages of Python: tests/run installs them"]
fn python_client_works_with_lab() {
    let mut command = process::command(project(PYTHON).to_str().unwrap());
    command
        .args(["-m", "unittest", "discover", "--start-directory"])
        .arg(project("clients/python/tests"));
    run(command);
}

#[test]
#[ignore = "needs packages of npm: tests/run installs them"]
fn typescript_client_works_with_lab() {
    let mut command = process::command("node");
    command
        .args([
            "--test",
            "test/retry.test.mjs",
            "test/stream.test.mjs",
            "test/lab.test.mjs",
        ])
        .current_dir(project("target/clients/typescript"));
    run(command);
}
