//! Builds programs of the workspace that a test runs and Cargo does not build for it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// Builds the program of a package and returns its path. Cargo names only the programs of a test's own package to the
/// test.
pub fn build_program(package: &str) -> PathBuf {
    let built = Command::new(env!("CARGO"))
        .args(["build", "--locked", "--message-format", "json"])
        .args(["--package", package, "--bin", package])
        .output()
        .expect("cargo starts");
    let errors = String::from_utf8_lossy(&built.stderr);
    assert!(
        built.status.success(),
        "{package} does not build:\n{errors}"
    );
    let messages = String::from_utf8_lossy(&built.stdout).into_owned();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == package)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .expect("cargo names the program")
}
