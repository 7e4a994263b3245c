//! Each scenario measures something, and the harness names what it lacks. No test asserts a figure: a test is no place
//! to measure speed.
#![allow(clippy::unwrap_used)]

#[path = "../../../tests/support/process.rs"]
#[allow(dead_code, reason = "each test uses a part")]
mod process;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use freeswitch_sim::{SimConfig, SimNode};
use roomkeeper_bench::Scenario;
use serde_json::Value;
use tempfile::tempdir;

/// The harness with a controller that exists and never runs.
fn harness() -> Command {
    let program = env!("CARGO_BIN_EXE_roomkeeper-bench");
    let mut command = process::command(program);
    command.args(["--controller", program]);
    command
}

#[test]
fn each_scenario_measures_something() {
    let run = process::command(env!("CARGO_BIN_EXE_roomkeeper-bench"))
        .args(["--size", "smoke", "--json", "--controller"])
        .arg(process::program_beside(
            env!("CARGO_BIN_EXE_roomkeeper-bench"),
            "roomkeeper",
        ))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(run.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&run.stdout).unwrap();
    let sections = report["sections"].as_array().unwrap();
    assert_eq!(sections.len(), Scenario::value_variants().len(), "{report}");
    for section in sections {
        let rows = section["rows"].as_array().unwrap();
        assert!(!rows.is_empty(), "{section}");
        for row in rows {
            let measured = row["measured"].as_f64();
            assert!(measured.is_some_and(|figure| figure >= 0.0), "{row}");
            // The figure beside it was measured, too.
            let beside = &row["beside"]["measured"];
            assert!(beside.is_null() || beside.as_f64() > Some(0.0), "{row}");
        }
        let is_positive = |row: &Value| row["measured"].as_f64() > Some(0.0);
        assert!(rows.iter().any(is_positive), "{section}");
    }
}

/// Returns the error of a harness that cannot use this server with this password.
fn login_error(address: SocketAddr, password: &str) -> String {
    let run = harness()
        .args(["webhooks", "--size", "smoke", "--freeswitch"])
        .arg(address.to_string())
        .env("RK_ESL_PASSWORD", password)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    assert!(run.stdout.is_empty(), "no scenario ran");
    String::from_utf8_lossy(&run.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_freeswitch_is_named_before_any_measurement() {
    let mut config = SimConfig::default();
    config.node.password = "right".to_owned();
    let node = SimNode::start(config).await.unwrap();
    let address = node.addr;
    let expected = format!("cannot log in to FreeSWITCH at {address}");
    let stderr = login_error(address, "wrong");
    assert!(stderr.contains(&expected), "{stderr}");
    assert!(stderr.contains("the password is refused"), "{stderr}");
    let unused = SocketAddr::from(([127, 0, 0, 1], process::free_port()));
    let stderr = login_error(unused, "right");
    assert!(stderr.contains("onnection refused"), "{stderr}");
}

#[test]
fn missing_redis_server_is_an_error() {
    let nothing = tempdir().unwrap();
    let program = env!("CARGO_BIN_EXE_roomkeeper-bench");
    let run = Command::new(program)
        .args(["idle", "--size", "smoke", "--controller", program])
        .env("PATH", nothing.path())
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(stderr.contains("cannot start redis-server"), "{stderr}");
}

#[test]
fn missing_controller_error_says_how_to_build_it() {
    let nothing = tempdir().unwrap();
    let missing = nothing.path().join("roomkeeper");
    let error = |program: &str, arguments: &[&str]| {
        let run = process::command(program)
            .args(["idle", "--size", "smoke"])
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(run.status.code(), Some(1));
        assert!(run.stdout.is_empty());
        String::from_utf8_lossy(&run.stderr).into_owned()
    };
    let expected = |path: &Path| {
        format!(
            "roomkeeper-bench: no controller at {}: build it with `cargo build --release -p roomkeeper`, or name one \
             with --controller\n",
            path.display()
        )
    };
    let harness = env!("CARGO_BIN_EXE_roomkeeper-bench");
    let option = ["--controller", missing.to_str().unwrap()];
    assert_eq!(error(harness, &option), expected(&missing));
    // Without the option the harness uses the controller in its own directory.
    let copy = nothing.path().join("roomkeeper-bench");
    std::fs::copy(harness, &copy).unwrap();
    assert_eq!(error(copy.to_str().unwrap(), &[]), expected(&missing));
}
